package order

import (
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// Claim is a charger's own bill of an order, as it was first told.
type Claim struct {
	Tenant   evcs.TenantID
	Order    evcs.OrderID
	Charger  evcs.ChargerID
	Bill     evcs.ChargerBill
	Received time.Time
}

// periodTolerance is by how much a charger's money may be off in each kind of
// period: chargers cut where we round (contract §6.3).
const periodTolerance evcs.Money = 1

// ClaimCheck is a charger's bill beside ours.
type ClaimCheck struct {
	Energy evcs.Energy // ours
	Amount evcs.Money  // ours for energy: what a charger can know
	// EnergyOff: more than 0.01 kWh apart. AmountOff: more than 0.01 CNY apart in
	// some period, or in all by more than that for each.
	EnergyOff, AmountOff bool
}

// Agrees reports whether nothing is off.
func (c ClaimCheck) Agrees() bool { return !c.EnergyOff && !c.AmountOff }

// CheckClaim compares a charger's bill with an order's energy and lines. What
// was not told is not off; neither is money that we have not priced.
func CheckClaim(b evcs.ChargerBill, energy evcs.Energy, lines []tariff.Line) ClaimCheck {
	c := ClaimCheck{Energy: energy}
	ours := make(map[string]evcs.Money)
	for _, l := range lines {
		if l.Kind == tariff.KindEnergy {
			ours[string(l.PeriodKind)] += l.Amount
			c.Amount += l.Amount
		}
	}
	c.EnergyOff = b.Energy != nil && absEnergy(*b.Energy-energy) > recordTolerance
	if energy > 0 && len(ours) == 0 {
		return c
	}
	kinds := len(ours)
	for _, p := range b.Periods {
		mine, known := ours[p.Kind]
		if !known {
			kinds++
		}
		c.AmountOff = c.AmountOff || absMoney(p.Amount-mine) > periodTolerance
		delete(ours, p.Kind)
	}
	if len(b.Periods) > 0 {
		for _, mine := range ours { // periods that the charger does not have
			c.AmountOff = c.AmountOff || mine > periodTolerance
		}
	}
	c.AmountOff = c.AmountOff || b.Amount != nil && absMoney(*b.Amount-c.Amount) > periodTolerance*evcs.Money(max(kinds, 1))
	return c
}

// Marks are the anomalies of a check.
func (c ClaimCheck) Marks() []Anomaly {
	var list []Anomaly
	if c.EnergyOff {
		list = append(list, RecordMismatch)
	}
	if c.AmountOff {
		list = append(list, DeviceBillDiff)
	}
	return list
}

func absMoney(m evcs.Money) evcs.Money { return max(m, -m) }
