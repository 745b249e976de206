package closing_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tariff"
)

// says has the charger of an order of 42.5 kWh, 61.38, say what it cost and
// delivered itself, now.
func (s *shop) says(p payment.Payment, b evcs.ChargerBill) {
	s.t.Helper()
	s.within(func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.Orders().Order(ctx, evcs.Only(1), p.Order)
		if err != nil {
			return err
		}
		if o.Energy == 0 {
			o.Energy = 42*evcs.KWh + evcs.KWh/2
			if err := tx.Orders().UpdateOrder(ctx, evcs.Only(1), o); err != nil {
				return err
			}
			if err := tx.Orders().SetLines(ctx, o, []tariff.Line{
				{Kind: tariff.KindEnergy, PeriodKind: tariff.Flat, Energy: 20 * evcs.KWh, Electricity: 1600, Service: 800, Amount: 2400},
				{Kind: tariff.KindEnergy, PeriodKind: tariff.Peak, Energy: 22*evcs.KWh + evcs.KWh/2, Electricity: 2630, Service: 1108, Amount: 3738},
			}); err != nil {
				return err
			}
		}
		return tx.Orders().KeepClaim(ctx, &order.Claim{Tenant: 1, Order: o.ID, Charger: o.Charger, Bill: b, Received: s.clock.Now()})
	})
}

func bill(kwh float64, fen evcs.Money) evcs.ChargerBill {
	e := evcs.Energy(kwh * 10_000)
	return evcs.ChargerBill{Energy: &e, Amount: &fen}
}

// leg are the differences of a batch that are the chargers', by order number.
func (s *shop) leg(b recon.Batch) map[string]recon.Difference {
	s.t.Helper()
	found := make(map[string]recon.Difference)
	for _, d := range s.differences(b) {
		if recon.LegOf(&d) == recon.FacetCharger {
			found[d.OrderNo] = d
		}
	}
	return found
}

// TestChargersOwnRecordIsALedger: what chargers say beside what we billed is in
// the day of the channel: equal ones are counted, others listed with both sides,
// dealt with by two people, and the day is closed.
func TestChargersOwnRecordIsALedger(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell() // says nothing
		s.says(s.sell(), bill(42.5, 6138))
		s.says(s.sell(), bill(42.51, 6136)) // within what is allowed
		money, energy := s.sell(), s.sell()
		s.says(money, bill(42.5, 6200))
		s.says(money, bill(42.5, 6138)) // the first word counts
		s.says(energy, evcs.ChargerBill{Energy: bill(40, 0).Energy})
		s.offer() // not paid as far as we know
		s.clock.set(at(second, 11))
		b := s.run(first)
		c := b.Figures.Claims
		if b.Status != recon.Partial || c == nil || *c != (recon.ClaimFigures{
			Count: 4, Matched: 2, EnergyOff: 1, MoneyOff: 1, Ours: 3 * 6138, Theirs: 6138 + 6136 + 6200, OurEnergy: 170 * evcs.KWh, TheirEnergy: 167*evcs.KWh + evcs.KWh/2 + 100,
		}) {
			t.Fatalf("%s %+v", b.Status, c)
		}
		if b.Figures.Funds.Drift != 0 || b.Figures.Counts.AmountMismatch != 0 {
			t.Errorf("the chargers' word moved money: %+v", b.Figures)
		}
		found := s.leg(b)
		m, e := found[fmt.Sprint("ORD-", 4)], found[fmt.Sprint("ORD-", 5)]
		if len(found) != 2 || !slices.Equal(m.Facets, []string{"CHARGER", "MONEY"}) || *m.LocalAmount != 6138 || *m.ChannelAmount != 6200 || m.Payment != money.ID ||
			!strings.Contains(m.LocalRaw, `"PEAK":["22.5000","37.38"]`) || m.Gap() != 0 || m.State != recon.Open {
			t.Errorf("%+v", m)
		}
		if !slices.Equal(e.Facets, []string{"CHARGER", "ENERGY"}) || e.ChannelAmount != nil || *e.LocalEnergy != 425_000 || *e.ChannelEnergy != 400_000 {
			t.Errorf("%+v", e)
		}
		if got := s.worded(m); got != "sandbox 2026-02-09 AMOUNT_MISMATCH of CHARGER/ORD-4: ours 61.38, 42.5000 kWh, theirs 62.00, 42.5000 kWh" {
			t.Errorf("the alert says %q", got)
		}
		if again := s.run(first); again.RunNo != 1 {
			t.Errorf("nothing changed, and yet run %d", again.RunNo)
		}
		for _, action := range []recon.Action{recon.WriteOff, recon.AdoptChannel} {
			if _, err := s.closer.Resolve(t.Context(), maker, m.ID, closing.Proposal{Action: action, Reason: "r"}); !errors.Is(err, evcs.ErrInvalid) {
				t.Errorf("%s of what a charger says: %v", action, err)
			}
		}
		for _, d := range s.differences(b) {
			if d.State != recon.Open {
				continue
			}
			if _, err := s.closer.Close(t.Context(), maker, b.ID, ""); !errors.Is(err, recon.ErrBlocked) {
				t.Errorf("closed with %s open: %v", d.Key, err)
			}
			action := recon.Explain
			if recon.LegOf(&d) == "" {
				action = recon.AdoptChannel
			}
			s.settle(d, action)
		}
		s.force(first)
		if now := s.leg(b); now["ORD-4"].State != recon.Resolved || now["ORD-5"].State != recon.Resolved || now["ORD-4"].Resolution.Reason != "seeded" {
			t.Errorf("a new run forgot what people decided: %+v", now)
		}
		proof, err := s.closer.Close(t.Context(), maker, b.ID, "")
		if err != nil || !proof.Verify() {
			t.Fatalf("%+v %v", proof, err)
		}
		s.balanced()
	})
}

// worded is what is said of a difference.
func (s *shop) worded(d recon.Difference) string {
	s.t.Helper()
	message := ""
	s.within(func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.Alarms().OpenAlert(ctx, evcs.Only(1), alarm.ReconciliationDifference, alarm.OfNumber("DIFFERENCE", int64(d.ID)))
		if err == nil {
			message = a.Message
		}
		return err
	})
	return message
}

// force runs a day anew.
func (s *shop) force(day string) {
	s.t.Helper()
	if _, err := s.execute(closing.Request{Day: day, Force: true}); err != nil {
		s.t.Fatal(err)
	}
}

// TestChargersBillComesLate: a bill that comes after its day was closed is of the
// day on which it came, and one that comes before the money of the day of the
// money; each of one day only.
func TestChargersBillComesLate(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		late, early := s.sell(), s.offer()
		s.says(early, bill(42.5, 100)) // the bill is here before the money
		s.clock.set(at(second, 11))
		b := s.run(first)
		if b.Figures.Claims != nil || len(s.leg(b)) != 0 {
			t.Fatalf("a bill without money on %s: %+v", first, b.Figures.Claims)
		}
		if _, err := s.closer.Close(t.Context(), maker, b.ID, ""); err != nil {
			t.Fatal(err)
		}
		s.says(late, bill(42.5, 200))
		s.paid(early)
		s.clock.set(at(third, 11))
		b = s.run(second)
		if found := s.leg(b); b.Figures.Claims == nil || b.Figures.Claims.Count != 2 || len(found) != 2 ||
			*found["ORD-1"].ChannelAmount != 200 || *found["ORD-2"].ChannelAmount != 100 {
			t.Fatalf("on %s: %+v %+v", second, b.Figures.Claims, found)
		}
		s.clock.set(at(fourth, 11))
		if b = s.run(third); b.Figures.Claims != nil || len(s.leg(b)) != 0 {
			t.Errorf("there twice: %+v", s.leg(b))
		}
	})
}

// TestChargersOfADayAreMany: the figures count all, the list is bounded, and a day
// whose chargers told nothing reads nothing.
func TestChargersOfADayAreMany(t *testing.T) {
	t.Parallel()
	c := recon.NewClaims("sandbox", first)
	if list, figures := c.Outcome(); list != nil || figures != nil || c.Digest() != "" {
		t.Errorf("of nothing: %v %+v %q", list, figures, c.Digest())
	}
	for i := range 10_005 {
		x := &recon.Claimed{Claim: order.Claim{Tenant: 1, Order: evcs.OrderID(i), Bill: bill(1, 5)}, OrderNo: fmt.Sprint(i), Energy: evcs.KWh, PaidAt: time.UnixMilli(1), Lines: []tariff.Line{{Kind: tariff.KindEnergy, Amount: 100}}}
		if err := c.Add(x); err != nil {
			t.Fatal(err)
		}
	}
	list, figures := c.Outcome()
	if len(list) != 10_000 || figures.Count != 10_005 || figures.Unlisted != 5 || figures.MoneyOff != 10_005 || figures.Matched != 0 {
		t.Errorf("%d listed, %+v", len(list), figures)
	}
}
