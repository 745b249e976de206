package main

import (
	"slices"
	"time"

	"github.com/evcs/evcs/internal/chargersim/journal"
)

// tariff is the plan of the site, worded a second time: minutes of the day, and
// prices in 1e-5 CNY per kWh.
type tariff struct{ from, energy, service int64 }

func plan() []tariff {
	return []tariff{
		{0, 35_000, 40_000}, {8 * 60, 105_230, 45_000}, {11 * 60, 68_710, 45_000}, {18 * 60, 123_450, 50_000}, {21 * 60, 68_710, 40_000},
	}
}

// point is one known register of a session.
type point struct {
	at       int64 // ms
	register int64 // 0.1 Wh
}

// price is the bill of a session in fen by the words of contract §8.4, done
// independently of the platform.
func price(s journal.Session, zone *time.Location) int64 {
	curve := points(s)
	var total int64
	first := curve[0]
	for _, cut := range cuts(first.at, curve[len(curve)-1].at, zone) {
		register := registerAt(curve, cut)
		energy := register - first.register
		if energy > 0 {
			p := priceAt(first.at, zone)
			total += fen(energy, p.energy) + fen(energy, p.service)
		}
		first = point{cut, register}
	}
	return total
}

func fen(energy, price int64) int64 { return (energy*price + 5_000_000) / 10_000_000 }

// points are the registers in the order of time; falling ones are left out.
func points(s journal.Session) []point {
	list := []point{{s.Start.Time.UnixMilli(), int64(s.Start.Register)}}
	for _, e := range s.Samples {
		list = append(list, point{e.Time.UnixMilli(), int64(e.Register)})
	}
	list = append(list, point{s.Stop.Time.UnixMilli(), int64(s.Stop.Register)})
	slices.SortStableFunc(list, func(a, b point) int { return int(a.at - b.at) })
	return list
}

// cuts are the segment boundaries within a session, and its end.
func cuts(from, to int64, zone *time.Location) []int64 {
	var list []int64
	day := time.UnixMilli(from).In(zone)
	midnight := time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, zone)
	for ; midnight.UnixMilli() < to; midnight = midnight.AddDate(0, 0, 1) {
		for _, t := range plan() {
			if at := midnight.UnixMilli() + t.from*60_000; at > from && at < to {
				list = append(list, at)
			}
		}
	}
	return append(list, to)
}

// registerAt is the register at a moment on the straight line between its
// neighbours, rounded half up.
func registerAt(curve []point, at int64) int64 {
	i, _ := slices.BinarySearchFunc(curve, at, func(p point, at int64) int { return int(p.at - at) })
	if i == len(curve) || i == 0 {
		return curve[min(i, len(curve)-1)].register
	}
	a, b := curve[i-1], curve[i]
	if b.at == at {
		return b.register
	}
	span := b.at - a.at
	return a.register + (2*(b.register-a.register)*(at-a.at)+span)/(2*span)
}

// priceAt is the price of the segment that a moment is in.
func priceAt(at int64, zone *time.Location) tariff {
	t := time.UnixMilli(at).In(zone)
	minute := int64(t.Hour()*60 + t.Minute())
	found := plan()[0]
	for _, p := range plan() {
		if p.from <= minute {
			found = p
		}
	}
	return found
}
