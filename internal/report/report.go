// Package report words the figures of dashboards and the rules behind them:
// what lies in a period, and how a meter reading is divided at its ends. It
// only reads.
package report

import (
	"math/bits"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Counts are the figures of now.
type Counts struct {
	Tenants, Users               int64
	StationsOpen, Stations       int64
	ChargersEnabled, Chargers    int64
	Connectors, Online, Sessions int64
	OrdersInPeriod               int64
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

// Point is the energy of a session at a moment.
type Point struct {
	At     time.Time
	Energy evcs.Energy
}

// Between is the energy at a moment between two points, on the straight line
// that joins them.
func Between(before, after Point, at time.Time) evcs.Energy {
	span, part := after.At.Sub(before.At).Milliseconds(), at.Sub(before.At).Milliseconds()
	switch {
	case part <= 0:
		return before.Energy
	case part >= span:
		return after.Energy
	}
	rise := int64(after.Energy - before.Energy)
	return before.Energy + evcs.Energy(rise/span*part+rise%span*part/span)
}

// Bounds are the beginnings of periods in a row, and the end of the last.
type Bounds []time.Time

// LastDays are the bounds of the last n days of a zone, today included.
func LastDays(now time.Time, zone *time.Location, n int) Bounds {
	today := now.In(zone)
	bounds := make(Bounds, n+1)
	for i := range bounds {
		bounds[i] = time.Date(today.Year(), today.Month(), today.Day()+1-n+i, 0, 0, 0, 0, zone)
	}
	return bounds
}

// Slots are the bounds of the slots of a day, hours long each.
func Slots(day time.Time, hours int) Bounds {
	bounds := make(Bounds, 24/hours+1)
	for i := range bounds {
		bounds[i] = time.Date(day.Year(), day.Month(), day.Day(), i*hours, 0, 0, 0, day.Location())
	}
	return bounds
}

// Place is the period that a moment lies in; -1 outside of all.
func (b Bounds) Place(at time.Time) int {
	for i := len(b) - 2; i >= 0; i-- {
		if !at.Before(b[i]) {
			if at.Before(b[i+1]) {
				return i
			}
			return -1
		}
	}
	return -1
}

// First and Last are the ends of the whole.
func (b Bounds) First() time.Time { return b[0] }

// Last is the end of the last period.
func (b Bounds) Last() time.Time { return b[len(b)-1] }
