package order

import (
	"testing"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// What a plan's cap takes off stands beside what a person takes off: the parts
// add up, and a discount never goes below nothing.
func TestADiscountStandsBesideTheCap(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 10, 10, 0, 0, 0, time.UTC)
	bill := tariff.Bill{
		Lines: []tariff.Line{
			{Kind: tariff.KindEnergy, Electricity: 4000, Service: 250, Amount: 4250},
			{Kind: tariff.KindIdle, Amount: 2000},
			{Kind: tariff.KindCap, Amount: -3250},
		},
		Electricity: 4000, Service: 250, Idle: 2000, Discount: 3250, Amount: 3000,
	}
	o := &Order{Status: Charging, StartState: Started, StartedAt: at}
	if _, err := (Charge{Order: o}).Settle(Settlement{EndedAt: at, Energy: evcs.KWh, Bill: bill}, at); err != nil {
		t.Fatal(err)
	}
	if o.Amount != 3000 || o.DiscountAmount != 3250 || o.Amount != o.before()-o.DiscountAmount {
		t.Fatalf("settled: %+v", o)
	}
	lines := bill.Lines
	for _, x := range []struct{ discount, amount evcs.Money }{{500, 2500}, {1000, 2000}, {0, 3000}} {
		var err error
		if _, lines, err = (Review{Order: o}).Adjust(x.discount, "r", lines, at); err != nil {
			t.Fatal(err)
		}
		sum := evcs.Money(0)
		for _, l := range lines {
			sum += l.Amount
		}
		if o.Amount != x.amount || sum != x.amount || o.DiscountAmount != 3250+x.discount || o.Amount != o.before()-o.DiscountAmount {
			t.Errorf("a discount of %s: %+v, lines of %s", x.discount, o, sum)
		}
	}
	before := *o
	_, _, err := (Review{Order: o}).Adjust(3001, "r", lines, at)
	_, facts, _ := evcs.Classify(err)
	faults, _ := facts["errors"].([]evcs.FieldFault)
	if len(faults) != 1 || faults[0].Message != "must be 0.00 to 30.00" || o.Amount != before.Amount {
		t.Errorf("more than there is: %v %+v", err, o)
	}
	if c, _, err := (Review{Order: o}).Adjust(3000, "r", lines, at); err != nil || c.To != Paid || o.Amount != 0 {
		t.Errorf("all there is: %+v %v %+v", c, err, o)
	}
}
