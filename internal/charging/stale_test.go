package charging_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// change does something to the yard that no engine is told of, as another node
// does.
func (y *yard) change(f func(ctx context.Context, tx *store.Tx) error) {
	y.t.Helper()
	if err := y.db.Transact(y.t.Context(), func(tx *store.Tx) error { return f(y.t.Context(), tx) }); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) tag(tag string) {
	y.change(func(ctx context.Context, tx *store.Tx) error {
		return tx.Stations().InsertIDTag(ctx, &station.IDTag{Tenant: y.id.Tenant, Tag: tag, Created: began, Updated: began})
	})
}

func (y *yard) online(key, tag string) (device.StartAnswer, error) {
	y.t.Helper()
	return y.engine.Started(y.t.Context(), device.Started{
		From: y.from("StartTransaction"), Connector: 1, Key: key, IDTag: tag, Register: energy(1), At: y.clock.Now(),
	})
}

func (y *yard) authorize(tag string) device.TagStatus {
	y.t.Helper()
	a, err := y.engine.Authorize(y.t.Context(), device.Authorize{From: y.from("Authorize"), IDTag: tag})
	if err != nil {
		y.t.Fatal(err)
	}
	return a.Status
}

// settingsTurned are changes that make the next start impossible.
var settingsTurned = map[string]func(y *yard) func(context.Context, *store.Tx) error{
	"charger disabled": func(y *yard) func(context.Context, *store.Tx) error {
		return func(ctx context.Context, tx *store.Tx) error {
			c, err := tx.Stations().Charger(ctx, evcs.Only(y.id.Tenant), y.id.Charger)
			if err != nil {
				return err
			}
			c.Enabled = false
			return tx.Stations().UpdateCharger(ctx, evcs.Only(y.id.Tenant), c)
		}
	},
	"station disabled": func(y *yard) func(context.Context, *store.Tx) error {
		return func(ctx context.Context, tx *store.Tx) error {
			c, err := tx.Stations().Charger(ctx, evcs.Only(y.id.Tenant), y.id.Charger)
			if err != nil {
				return err
			}
			s, err := tx.Stations().Station(ctx, evcs.Only(y.id.Tenant), c.Station)
			if err != nil {
				return err
			}
			s.Enabled = false
			return tx.Stations().UpdateStation(ctx, evcs.Only(y.id.Tenant), s)
		}
	},
	"tenant disabled": func(y *yard) func(context.Context, *store.Tx) error {
		return func(ctx context.Context, tx *store.Tx) error {
			t, err := tx.Tenants().Tenant(ctx, evcs.Only(y.id.Tenant), y.id.Tenant)
			if err != nil {
				return err
			}
			t.Enabled = false
			return tx.Tenants().Update(ctx, t)
		}
	},
	"card blocked": func(y *yard) func(context.Context, *store.Tx) error {
		return func(ctx context.Context, tx *store.Tx) error {
			card, err := tx.Stations().IDTagByTag(ctx, y.id.Tenant, "CARD")
			if err != nil {
				return err
			}
			card.Blocked = true
			return tx.Stations().UpdateIDTag(ctx, evcs.Only(y.id.Tenant), card)
		}
	},
}

// What was changed on another node holds for the very next start, and for the
// next question about a card once this node has made its round; an earlier
// start keeps its answer.
func TestChangedSettingsHoldAtTheNextStart(t *testing.T) {
	t.Parallel()
	for name, turn := range settingsTurned {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				y := newYard(t, db, true)
				y.tag("CARD")
				first, err := y.online("K1", "CARD")
				if err != nil {
					t.Fatal(err)
				}
				y.clock.add(time.Minute)
				y.stop(device.Stopped{Transaction: first.Transaction, Register: energy(2), At: y.clock.Now()})
				if s := y.authorize("CARD"); s != device.TagAccepted {
					t.Fatalf("the card is %v before the change", s)
				}
				y.change(turn(y))
				y.clock.add(time.Minute)
				if a, err := y.online("K2", "CARD"); err == nil || a.Order != 0 {
					t.Errorf("a start after the change: order %d, %v", a.Order, err)
				}
				if err := y.engine.Round(t.Context()); err != nil {
					t.Fatal(err)
				}
				if s := y.authorize("CARD"); s == device.TagAccepted {
					t.Error("the card is accepted after the round")
				}
				if again, err := y.online("K1", "CARD"); err != nil || again.Order != first.Order || again.Transaction != first.Transaction {
					t.Errorf("the repeat of the first start: %+v, %v; want %+v", again, err, first)
				}
			})
		})
	}
}

// A plan that was changed on another node prices the very next session, and
// not the one that has begun.
func TestAChangedPlanPricesTheNextSession(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		y := newYard(t, db, true)
		sell := func(key string, between func()) evcs.Money {
			a := y.start(key, y.clock.Now(), energy(1))
			between()
			y.clock.add(30 * time.Minute)
			y.stop(device.Stopped{Transaction: a.Transaction, Register: energy(11), At: y.clock.Now()})
			y.clock.add(time.Minute)
			return y.order(a.Session).Amount
		}
		dearer := func() {
			y.change(func(ctx context.Context, tx *store.Tx) error {
				p, err := tx.Tariffs().Plan(ctx, evcs.Only(y.id.Tenant), y.plan)
				if err != nil {
					return err
				}
				p.Segments[0].EnergyPrice *= 2
				p.Revision++
				s := &tariff.Snapshot{Tenant: p.Tenant, Plan: p.ID, PlanCode: p.Code, PlanName: p.Name, Revision: p.Revision, Segments: p.Segments, Created: began}
				if err := tx.Tariffs().Freeze(ctx, s); err != nil {
					return err
				}
				p.Snapshot = s.ID
				return tx.Tariffs().UpdatePlan(ctx, evcs.Only(y.id.Tenant), p)
			})
		}
		before, during, after := sell("K1", func() {}), sell("K2", dearer), sell("K3", func() {})
		if before != 1500 || during != 1500 || after != 2500 {
			t.Errorf("10 kWh cost %v, %v, %v; want 15.00, 15.00, 25.00", before, during, after)
		}
	})
}

// A quota that was set on another node is kept by the very next start.
func TestAQuotaHoldsAtTheNextStart(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		y := newYard(t, db, true)
		y.start("K1", y.clock.Now(), energy(1))
		y.change(func(ctx context.Context, tx *store.Tx) error {
			t, err := tx.Tenants().Tenant(ctx, evcs.Only(y.id.Tenant), y.id.Tenant)
			if err != nil {
				return err
			}
			one := int64(1)
			t.Limits.Sessions = &one
			return tx.Tenants().Update(ctx, t)
		})
		y.clock.add(time.Minute)
		_, err := y.engine.Started(t.Context(), device.Started{
			From:      device.From{Identity: y.id, Protocol: device.CloudCharge, Received: y.clock.Now(), Type: "start", MessageID: "1", Raw: []byte("{}")},
			Connector: 2, Key: "K2", Register: energy(1), At: y.clock.Now(),
		})
		if !errors.Is(err, tenant.ErrQuota) {
			t.Errorf("a second session: %v, want 5006", err)
		}
	})
}

// Two engines on one database are two nodes. What one did with the charger's
// sessions, the other finds although it remembers otherwise.
func TestAnotherNodeMovedTheSessions(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		here := newYard(t, db, true)
		there := &yard{t: here.t, db: here.db, clock: here.clock, id: here.id, plan: here.plan, actor: here.actor}
		there.restart()
		a := here.start("K1", here.clock.Now(), energy(1))
		if again := there.start("K1", here.clock.Now(), energy(1)); again != a {
			t.Errorf("there the start is answered with %+v, here with %+v", again, a)
		}
		here.clock.add(time.Minute)
		there.stop(device.Stopped{Transaction: a.Transaction, Register: energy(2), At: here.clock.Now()})
		here.clock.add(time.Minute)
		b := here.start("K2", here.clock.Now(), energy(2)) // remembers the first as running
		if b.Order == a.Order || b.Order == 0 {
			t.Fatalf("the second start got order %d, the first %d", b.Order, a.Order)
		}
		if o := here.order(a.Session); o.Status == order.Charging || o.Energy != *energy(1) || o.Estimated {
			t.Errorf("the first order: status %d, %v, estimated %v", o.Status, o.Energy, o.Estimated)
		}
		here.clock.add(time.Minute)
		if m := there.meter(b.Transaction, register(here.clock.Now(), 3)); m.Accepted != 1 {
			t.Errorf("there a reading of the second is %+v", m)
		}
		here.clock.add(time.Minute)
		here.stop(device.Stopped{Transaction: b.Transaction, Register: energy(5), At: here.clock.Now()})
		if o := here.order(b.Session); o.Energy != *energy(3) {
			t.Errorf("the second order has %v", o.Energy)
		}
	})
}

// The few readings that are remembered price a session as all of them do.
func TestRememberedReadingsPriceAsAllDo(t *testing.T) {
	t.Parallel()
	segments := []tariff.Segment{
		{From: 0, To: 480, Kind: tariff.Valley, EnergyPrice: 30_000, ServicePrice: 20_000},
		{From: 480, To: 615, Kind: tariff.Peak, EnergyPrice: 120_000, ServicePrice: 60_000},
		{From: 615, To: 1440, Kind: tariff.Flat, EnergyPrice: 70_000, ServicePrice: 40_000},
	}
	db := storetest.SQLite(t)
	y := newYard(t, db, false)
	idle := evcs.UnitPrice(50_000)
	fees := tariff.Fees{IdleFreeMinutes: 2, IdleMinutePrice: &idle}
	y.change(func(ctx context.Context, tx *store.Tx) error {
		p := &tariff.Plan{
			Tenant: y.id.Tenant, Code: "P", Name: "P", Enabled: true, Default: true, Created: began, Updated: began, Revision: 1, Segments: segments, Fees: fees,
		}
		if err := tx.Tariffs().InsertPlan(ctx, p); err != nil {
			return err
		}
		s := &tariff.Snapshot{Tenant: y.id.Tenant, Plan: p.ID, PlanCode: "P", PlanName: "P", Revision: 1, Segments: segments, Fees: fees, Created: began}
		if err := tx.Tariffs().Freeze(ctx, s); err != nil {
			return err
		}
		p.Snapshot = s.ID
		return tx.Tariffs().UpdatePlan(ctx, evcs.Only(y.id.Tenant), p)
	})
	n := 0
	rapid.Check(t, func(r *rapid.T) {
		n++
		y.clock.add(began.Add(time.Duration(n) * 24 * time.Hour).Sub(y.clock.Now())) // the same time of a new day
		from, kwh := y.clock.Now(), 1.0
		a := y.start("R"+time.Duration(n).String(), from, energy(kwh))
		for range rapid.IntRange(0, 25).Draw(r, "readings") {
			y.clock.add(time.Duration(rapid.IntRange(1, 1500).Draw(r, "seconds")) * time.Second)
			if rapid.Bool().Draw(r, "rises") {
				kwh += float64(rapid.IntRange(0, 20).Draw(r, "kwh")) / 10
			}
			y.meter(a.Transaction, register(y.clock.Now(), kwh))
			if rapid.IntRange(0, 30).Draw(r, "restart") == 0 {
				y.restart()
			}
		}
		y.clock.add(time.Duration(rapid.IntRange(1, 900).Draw(r, "last")) * time.Second)
		y.stop(device.Stopped{Transaction: a.Transaction, Register: energy(kwh + rapid.SampledFrom([]float64{0, 0.3}).Draw(r, "rest")), At: y.clock.Now()})
		o := y.order(a.Session)
		x, err := db.Reader().Orders().Session(y.t.Context(), evcs.Only(y.id.Tenant), a.Session)
		if err != nil {
			r.Fatal(err)
		}
		all, err := db.Reader().Orders().Curve(y.t.Context(), x)
		if err != nil {
			r.Fatal(err)
		}
		var points []tariff.Point
		for _, s := range all {
			if s.Has(evcs.HasRegister) || s.Has(evcs.HasEnergy) {
				points = append(points, tariff.Point{At: s.At, Energy: s.Energy})
			}
		}
		snapshot, err := db.Reader().Tariffs().Snapshot(y.t.Context(), evcs.Only(y.id.Tenant), o.Snapshot)
		if err != nil {
			r.Fatal(err)
		}
		zone := tenant.Chain{}.Settings().Zone()
		want, err := tariff.Price(*snapshot, tariff.Curve{Zone: zone, Start: x.StartedAt, Stop: x.StoppedAt, Points: points, Total: x.Energy})
		if err != nil {
			r.Fatal(err)
		}
		if o.Amount != want.Amount {
			r.Fatalf("billed %v, all %d readings make %v", o.Amount, len(all), want.Amount)
		}
		why, err := y.bills().Explain(y.t.Context(), o)
		if err != nil {
			r.Fatal(err)
		}
		if !why.Agrees || why.Bill.Amount != o.Amount {
			r.Fatalf("billed %v, explained %v: %s", o.Amount, why.Bill.Amount, sums(why))
		}
	})
}
