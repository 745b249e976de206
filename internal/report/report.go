// Package report words the figures of dashboards and the rules behind them:
// what lies in a period, and how a meter reading is divided at its ends. It
// only reads.
package report

import (
	"math/bits"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Now are the figures of now and of a day.
type Now struct {
	Tenants, Users               int64
	StationsOpen, Stations       int64
	ChargersEnabled, Chargers    int64
	Connectors, Online, Sessions int64
	Orders                       int64 // of the day, as the rest
	Energy                       evcs.Energy
	Revenue                      Revenue
	Sandbox                      bool // sandbox money was counted
}

// ChargerStatus are the enabled chargers by status, indexed by the contract's
// numbers 0 to 5.
type ChargerStatus [6]int64

// Total is the sum of all.
func (c ChargerStatus) Total() int64 {
	var n int64
	for _, part := range c {
		n += part
	}
	return n
}

// Revenue is the money of a period: payments that succeeded in it and refunds
// that succeeded in it. A refund counts on its own day.
type Revenue struct{ Gross, Refund evcs.Money }

// Net is payments minus refunds.
func (r Revenue) Net() evcs.Money { return r.Gross - r.Refund }

// Order is an order in few words.
type Order struct {
	ID                       evcs.OrderID
	No, Session              string
	Tenant                   evcs.TenantID
	StationName, ChargerCode string
	Connector                int
	UserName                 *string
	Energy                   evcs.Energy
	Amount                   evcs.Money
	Status                   int
	Created                  time.Time
}

// StationRank is what a station did in a period.
type StationRank struct {
	Station evcs.StationID
	Name    string
	Orders  int64
	Energy  evcs.Energy
	Revenue evcs.Money
}

// By is the figure a ranking goes by.
func (r StationRank) By(what string) int64 {
	switch what {
	case "energy":
		return int64(r.Energy)
	case "revenue":
		return int64(r.Revenue)
	}
	return r.Orders
}

// Utilization is how long a charger's connectors were in use.
type Utilization struct {
	Charger             evcs.ChargerID
	Code, StationName   string
	Occupied, Available time.Duration
}

// Share is the use in hundredths of a percent.
func (u Utilization) Share() int64 { return Share(int64(u.Occupied), int64(u.Available)) }

// Share is part of whole in hundredths of a percent, rounded half up, at most
// all of it; zero of nothing.
func Share(part, whole int64) int64 {
	if whole <= 0 || part <= 0 {
		return 0
	}
	const all = 10_000
	if part >= whole {
		return all
	}
	high, low := bits.Mul64(uint64(part), all) // wider than 64 bits for long durations
	share, rest := bits.Div64(high, low, uint64(whole))
	if rest >= uint64(whole)-rest {
		share++
	}
	return int64(share)
}

// Bounds are the beginnings of periods in a row, and the end of the last.
type Bounds []time.Time

// LastDays are the bounds of the last n days of a zone, today included.
func LastDays(now time.Time, zone *time.Location, n int) Bounds {
	today := now.In(zone)
	bounds := make(Bounds, n+1)
	for i := range bounds {
		bounds[i] = dayStart(today.Year(), today.Month(), today.Day()+1-n+i, zone)
	}
	return bounds
}

// OneDay are the bounds of the local day of a moment.
func OneDay(at time.Time, zone *time.Location) Bounds {
	day := DayOf(at, zone)
	return Bounds{day, next(day)}
}

// Place is the period that a moment lies in; -1 outside of all.
func (b Bounds) Place(at time.Time) int {
	i, found := slices.BinarySearchFunc(b, at, time.Time.Compare)
	if !found {
		i--
	}
	if i == len(b)-1 {
		return -1
	}
	return i
}

// First and Last are the ends of the whole.
func (b Bounds) First() time.Time { return b[0] }

// Last is the end of the last period.
func (b Bounds) Last() time.Time { return b[len(b)-1] }
