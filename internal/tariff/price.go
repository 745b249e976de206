package tariff

import (
	"errors"
	"math/bits"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// riseStep is the least rise of the register that counts as charging, for idle
// time (contract §8.4).
const riseStep = evcs.KWh / 100

// errUncovered means that a snapshot's segments do not cover the day, which
// Freeze does not let happen.
var errUncovered = errors.New("the snapshot's segments do not cover the day")

// Price is the one pricing function (contract §8.4), in integers only:
//
//  1. readings are ordered by time and falling ones dropped;
//  2. the session is cut at every segment boundary of the station's wall clock;
//     the energy at a cut lies on the straight line between its neighbours,
//     rounded half up to 0.1 Wh, so that the pieces add up to the total exactly;
//  3. each piece with energy is one line, each price rounded half up to the fen;
//  4. idle time and parking are lines of their own;
//  5. totals are sums of lines.
//
// A stop before the start counts as at the start.
func Price(s Snapshot, c Curve) (Bill, error) {
	if c.Stop.Before(c.Start) {
		c.Stop = c.Start
	}
	curve, falling := ordered(c)
	bill := Bill{Falling: falling}
	if err := bill.energy(s, c, curve); err != nil {
		return Bill{}, err
	}
	bill.idle(s.Fees, c, curve)
	bill.parking(s.Fees, c)
	for i := range bill.Lines {
		l := &bill.Lines[i]
		bill.Amount += l.Amount
		switch l.Kind {
		case KindEnergy:
			bill.Electricity += l.Electricity
			bill.Service += l.Service
		case KindIdle:
			bill.Idle += l.Amount
		case KindParking:
			bill.Parking += l.Amount
		}
	}
	return bill, nil
}

// ordered is the curve by time, from (Start, 0) to (Stop, Total), without
// falling values. Of several readings of one moment the highest counts.
func ordered(c Curve) (points []Point, falling bool) {
	points = make([]Point, 0, len(c.Points)+2)
	points = append(points, Point{At: c.Start})
	sorted := c.Points
	byTime := func(a, b Point) int {
		if d := a.At.Compare(b.At); d != 0 {
			return d
		}
		return int(min(max(a.Energy-b.Energy, -1), 1))
	}
	if !slices.IsSortedFunc(sorted, byTime) {
		sorted = slices.SortedFunc(slices.Values(sorted), byTime)
	}
	for _, p := range sorted {
		if p.At.Before(c.Start) || !p.At.Before(c.Stop) {
			continue
		}
		last := &points[len(points)-1]
		switch {
		case p.Energy < last.Energy, p.Energy > c.Total:
			falling = true
		case p.At.Equal(last.At) && len(points) > 1:
			last.Energy = p.Energy
		case p.At.Equal(last.At): // a rise at the very start belongs to the first stretch
		default:
			points = append(points, p)
		}
	}
	return append(points, Point{At: c.Stop, Energy: c.Total}), falling
}

// energy cuts the curve at the boundaries and appends a line per piece.
func (b *Bill) energy(s Snapshot, c Curve, curve []Point) error {
	if c.Total <= 0 {
		return nil
	}
	from, done := c.Start, evcs.Energy(0)
	next := 1 // the first point behind from
	for {
		segment, to, err := covering(s.Segments, from.In(c.Zone))
		if err != nil {
			return err
		}
		last := !to.Before(c.Stop)
		upTo := c.Total
		if last {
			to = c.Stop
		} else {
			for next < len(curve)-1 && !curve[next].At.After(to) {
				next++
			}
			upTo = between(curve[next-1], curve[next], to)
		}
		if upTo > done {
			b.Lines = append(b.Lines, energyLine(segment, from, to, upTo-done))
		}
		if last {
			return nil
		}
		from, done = to, upTo
	}
}

func energyLine(s Segment, from, to time.Time, e evcs.Energy) Line {
	l := Line{
		Kind: KindEnergy, PeriodKind: s.Kind, From: from.UTC(), To: to.UTC(), Energy: e,
		EnergyPrice: s.EnergyPrice, ServicePrice: s.ServicePrice,
		Electricity: evcs.Cost(e, s.EnergyPrice), Service: evcs.Cost(e, s.ServicePrice),
	}
	l.Amount = l.Electricity + l.Service
	return l
}

// covering finds the segment of a wall-clock moment and the moment at which
// the wall clock leaves it. On a day of a clock change the wall clock's name of
// the hour decides.
func covering(segments []Segment, at time.Time) (Segment, time.Time, error) {
	minute := at.Hour()*60 + at.Minute()
	for _, s := range segments {
		if minute < s.From || minute >= s.To {
			continue
		}
		return s, leaving(s, at, minute), nil
	}
	return Segment{}, time.Time{}, errUncovered
}

// leaving walks forward to the first moment whose wall clock lies outside s:
// the segment's end, or a clock change that jumps over or back into another.
func leaving(s Segment, at time.Time, minute int) time.Time {
	_, offset := at.Zone()
	begun := at.Add(-time.Duration(at.Second())*time.Second - time.Duration(at.Nanosecond()))
	end := begun.Add(time.Duration(s.To-minute) * time.Minute)
	if _, then := end.Zone(); then == offset {
		return end
	}
	// The offset changes on the way: go by quarters of an hour, the grid of
	// segments and of every clock change.
	step := begun.Add(time.Duration(15-minute%15) * time.Minute)
	for {
		m := step.Hour()*60 + step.Minute()
		if m < s.From || m >= s.To || step.Sub(begun) > 26*time.Hour {
			return step
		}
		step = step.Add(15 * time.Minute)
	}
}

// between is the energy at a moment on the straight line from a to b, rounded
// half up to 0.1 Wh.
func between(a, b Point, at time.Time) evcs.Energy {
	span := b.At.Sub(a.At).Milliseconds()
	if span <= 0 {
		return b.Energy
	}
	part := min(max(at.Sub(a.At).Milliseconds(), 0), span)
	// (rise · part + span/2) / span in 128 bits, so that no length of a session
	// overflows.
	high, low := bits.Mul64(uint64(b.Energy-a.Energy), uint64(part))
	low, carry := bits.Add64(low, uint64(span)/2, 0)
	quotient, _ := bits.Div64(high+carry, low, uint64(span))
	return a.Energy + evcs.Energy(quotient)
}

// idle appends the line of the time after the last rise of the register.
func (b *Bill) idle(f Fees, c Curve, curve []Point) {
	if f.IdleMinutePrice == nil || *f.IdleMinutePrice == 0 {
		return
	}
	from := c.LastRise
	if from.IsZero() {
		from = lastRise(curve)
	}
	if from.Before(c.Start) {
		from = c.Start
	}
	minutes := begun(c.Stop.Sub(from)) - f.IdleFreeMinutes
	if minutes <= 0 {
		return
	}
	amount := perMinute(minutes, *f.IdleMinutePrice)
	reason := ""
	if f.IdleMax != nil && amount > *f.IdleMax {
		amount, reason = *f.IdleMax, "CAPPED"
	}
	b.Lines = append(b.Lines, Line{
		Kind: KindIdle, From: from.UTC(), To: c.Stop.UTC(), Minutes: minutes, MinutePrice: *f.IdleMinutePrice, Amount: amount, Reason: reason,
	})
}

// lastRise is the moment of the last reading by which the register had risen
// by riseStep or more since it was last seen rising.
func lastRise(curve []Point) time.Time {
	at, level := curve[0].At, curve[0].Energy
	for _, p := range curve[1:] {
		if p.Energy-level >= riseStep {
			at, level = p.At, p.Energy
		}
	}
	return at
}

// parking appends the line of the whole stay beyond the free time.
func (b *Bill) parking(f Fees, c Curve) {
	if f.ParkingHourPrice == nil || *f.ParkingHourPrice == 0 {
		return
	}
	minutes := begun(c.Stop.Sub(c.Start)) - f.ParkingFreeMinutes
	if minutes <= 0 {
		return
	}
	const perFen = 1000 * 60 // 1e-5 CNY per hour and minute
	amount := evcs.Money((minutes*int64(*f.ParkingHourPrice) + perFen/2) / perFen)
	b.Lines = append(b.Lines, Line{
		Kind: KindParking, From: c.Start.UTC(), To: c.Stop.UTC(), Minutes: minutes,
		MinutePrice: evcs.UnitPrice((int64(*f.ParkingHourPrice) + 30) / 60), Amount: amount,
	})
}

// begun counts every begun minute.
func begun(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d + time.Minute - 1) / time.Minute)
}

// perMinute is minutes at a price of 1e-5 CNY, half up to the fen.
func perMinute(minutes int64, price evcs.UnitPrice) evcs.Money {
	const perFen = 1000
	return evcs.Money((minutes*int64(price) + perFen/2) / perFen)
}
