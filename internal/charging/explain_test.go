package charging_test

import (
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tariff"
)

func (y *yard) bills() charging.Bills {
	r := y.db.Reader()
	return charging.Bills{Orders: r.Orders(), Tariffs: r.Tariffs(), Stations: r.Stations(), Tenants: r.Tenants()}
}

func (y *yard) explain(o *order.Order) *charging.Explained {
	y.t.Helper()
	x, err := y.bills().Explain(y.t.Context(), o)
	if err != nil {
		y.t.Fatal(err)
	}
	return x
}

// sums are the last sums of each step.
func sums(x *charging.Explained) string {
	words := make([]string, len(x.Steps))
	for i, s := range x.Steps {
		words[i] = s.Line.Kind + " " + s.Arithmetic[len(s.Arithmetic)-1]
	}
	return strings.Join(words, "; ")
}

// An order is explained in every state: without a tariff, while it runs, when
// it has ended, with a discount, priced anew.
func TestAnOrderIsExplainedInEveryState(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		y := newYard(t, db, false)
		o := y.ended("none")
		if x := y.explain(o); x.Snapshot != nil || len(x.Steps) != 0 || !x.Agrees || x.Choice != "" || x.Running {
			t.Errorf("without a tariff: %+v", x)
		}
		y.write(func(tx *store.Tx) error { return y.makePlan(t.Context(), tx) })
		if _, err := y.engine.Reprice(t.Context(), y.actor, o, y.plan, "no tariff", false); err != nil {
			t.Fatal(err)
		}
		if x := y.explain(y.order(o.Session)); x.Choice != tariff.ChosenAsked || !x.Agrees || x.Bill.Amount != 1500 {
			t.Errorf("priced anew: %+v", x)
		}
		a := y.start("K", y.clock.Now(), energy(1))
		y.clock.add(10 * time.Minute)
		y.meter(a.Transaction, register(y.clock.Now(), 3))
		o = y.order(a.Session)
		if x := y.explain(o); !x.Running || x.Bill.Amount != o.Amount || o.Amount == 0 || x.Choice != tariff.ChosenTenant {
			t.Errorf("running at %s: %+v", o.Amount, x)
		}
		y.clock.add(10 * time.Minute)
		y.stop(device.Stopped{Transaction: a.Transaction, Register: energy(5), At: y.clock.Now()})
		o = y.order(a.Session)
		if x := y.explain(o); x.Running || !x.Agrees || sums(x) != "ENERGY 4.0000 kWh × 0.5000 = 2.00" || x.Bill.Amount != o.Amount {
			t.Errorf("ended at %s: %s %+v", o.Amount, sums(x), x)
		}
		if _, err := y.engine.Adjust(t.Context(), y.actor, o, 50, "late"); err != nil {
			t.Fatal(err)
		}
		o = y.order(a.Session)
		if x := y.explain(o); !x.Agrees || sums(x) != "ENERGY 4.0000 kWh × 0.5000 = 2.00; DISCOUNT 6.00 − 0.50 = 5.50" || x.Bill.Amount != o.Amount || x.Bill.Discount != 50 {
			t.Errorf("with a discount: %s %+v", sums(x), x)
		}
		y.write(func(tx *store.Tx) error { // as if somebody had changed the book
			lines, err := tx.Orders().Lines(t.Context(), evcs.Only(o.Tenant), o.ID)
			if err != nil {
				return err
			}
			lines[0].Amount++
			return tx.Orders().SetLines(t.Context(), o, lines)
		})
		if x := y.explain(o); x.Agrees || len(x.Billed) != 2 {
			t.Errorf("with another line: %+v", x)
		}
	})
}

// TestAnOrderKeepsItsZone: a station that moves to another zone, in the middle of
// a session or after it, changes neither what the session costs nor why. An
// order from before zones were kept follows its station.
func TestAnOrderKeepsItsZone(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		y := newYard(t, db, false)
		y.write(func(tx *store.Tx) error {
			if err := y.makePlan(t.Context(), tx); err != nil {
				return err
			}
			p, err := tx.Tariffs().Plan(t.Context(), evcs.Only(y.id.Tenant), y.plan)
			if err != nil {
				return err
			}
			p.Revision, p.Segments = 2, []tariff.Segment{ // mornings 1.50, afternoons 3.00
				{From: 0, To: 720, Kind: tariff.Valley, EnergyPrice: 100_000, ServicePrice: 50_000},
				{From: 720, To: 1440, Kind: tariff.Peak, EnergyPrice: 200_000, ServicePrice: 100_000},
			}
			frozen := &tariff.Snapshot{Tenant: p.Tenant, Plan: p.ID, PlanCode: p.Code, PlanName: p.Name, Revision: 2, Segments: p.Segments, Created: began}
			if err := tx.Tariffs().Freeze(t.Context(), frozen); err != nil {
				return err
			}
			p.Snapshot = frozen.ID
			return tx.Tariffs().UpdatePlan(t.Context(), evcs.Only(p.Tenant), p)
		})
		move := func(zone string) {
			y.write(func(tx *store.Tx) error {
				s, err := tx.Stations().Station(t.Context(), evcs.Only(y.id.Tenant), 1)
				if err != nil {
					return err
				}
				s.TimeZone = &zone
				return tx.Stations().UpdateStation(t.Context(), evcs.Only(y.id.Tenant), s)
			})
		}
		a, stop := y.charge("moves") // 10:00 to 11:00 in Shanghai
		move("Pacific/Auckland")     // 15:00 to 16:00 there
		if o := y.order(a.Session); y.explain(o).Zone.String() != "Asia/Shanghai" {
			t.Errorf("running: explained in %s", y.explain(o).Zone)
		}
		y.stop(stop)
		o := y.order(a.Session)
		if x := y.explain(o); o.Amount != 3000 || o.Zone != "Asia/Shanghai" || x.Zone.String() != o.Zone || !x.Agrees || x.Bill.Amount != o.Amount {
			t.Errorf("%s in %s, explained as %s in %s, agrees %v", o.Amount, o.Zone, x.Bill.Amount, x.Zone, x.Agrees)
		}
		held := y.order(y.stopHeld().Session)
		repriced, err := y.engine.Reprice(t.Context(), y.actor, held, y.plan, "again", true)
		if err != nil || held.Zone != "Pacific/Auckland" || len(repriced.Lines) != 1 || repriced.Lines[0].PeriodKind != tariff.Peak {
			t.Errorf("the next order is of %s, priced as %+v, %v", held.Zone, repriced.Lines, err)
		}
		move("America/Sao_Paulo") // the first was there before midnight, the second after it
		if repriced, err = y.engine.Reprice(t.Context(), y.actor, held, y.plan, "again", true); err != nil || repriced.Lines[0].PeriodKind != tariff.Peak {
			t.Errorf("priced anew after the move: %+v, %v", repriced.Lines, err)
		}
		old := *o
		old.Zone = ""
		if x := y.explain(&old); x.Zone.String() != "America/Sao_Paulo" || x.Agrees {
			t.Errorf("an old order is explained in %s, agrees %v", x.Zone, x.Agrees)
		}
	})
}

// stopHeld is a session that ends held, for an absurd meter.
func (y *yard) stopHeld() device.StopAnswer {
	y.t.Helper()
	a, stop := y.charge("held")
	stop.Register = energy(9000)
	got := y.stop(stop)
	if got.Session != a.Session {
		y.t.Fatalf("%+v", got)
	}
	return got
}
