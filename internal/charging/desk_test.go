package charging_test

import (
	"context"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// ended is an order of 10 kWh for 15.00.
func (y *yard) ended(key string) *order.Order {
	y.t.Helper()
	a := y.start(key, y.clock.Now(), energy(10))
	at := y.clock.Now().Add(5 * time.Minute)
	y.clock.add(5 * time.Minute)
	y.meter(a.Transaction, register(at, 12))
	y.clock.add(25 * time.Minute)
	y.stop(device.Stopped{Transaction: a.Transaction, Register: energy(20), At: y.clock.Now(), Reason: order.StopLocal})
	return y.order(a.Session)
}

func TestAdjust(t *testing.T) {
	each(t, func(y *yard) {
		o := y.ended("k")
		o, err := y.engine.Adjust(y.t.Context(), y.actor, o, 500, "sorry")
		if err != nil || o.Amount != 1000 || o.DiscountAmount != 500 || o.Status != order.ToPay {
			y.t.Fatalf("%+v %v", o, err)
		}
		if o, err = y.engine.Adjust(y.t.Context(), y.actor, o, 200, "less"); err != nil || o.Amount != 1300 {
			y.t.Fatalf("the second discount replaces the first: %+v %v", o, err)
		}
		y.order(o.Session) // lines and amount agree
		if _, err := y.engine.Adjust(y.t.Context(), y.actor, o, 1501, "too much"); code(err) != evcs.CodeValidationFailed {
			y.t.Errorf("more than the bill: %v", err)
		}
		if o, err = y.engine.Adjust(y.t.Context(), y.actor, o, 1500, "all"); err != nil || o.Status != order.Paid || o.Amount != 0 {
			y.t.Errorf("to nothing: %+v %v", o, err)
		}
		if _, err := y.engine.Adjust(y.t.Context(), y.actor, o, 0, "again"); code(err) != evcs.CodeOrderState {
			y.t.Errorf("a paid order: %v", err)
		}
		y.balanced()
	})
}

// balanced fails the test when the books do not balance.
func (y *yard) balanced() {
	y.t.Helper()
	trial, err := y.db.Reader().Ledger().TrialBalance(y.t.Context(), evcs.Only(y.id.Tenant), y.clock.Now().Add(time.Hour))
	if err != nil {
		y.t.Fatal(err)
	}
	if !trial.Balanced() {
		y.t.Errorf("the books do not balance: %+v", trial)
	}
}

func TestReprice(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		y := newYard(t, db, false)
		o := y.ended("k")
		if !o.Held || o.Amount != 0 {
			t.Fatalf("%+v", o)
		}
		y.write(func(tx *store.Tx) error { return y.makePlan(t.Context(), tx) })
		dry, err := y.engine.Reprice(t.Context(), y.actor, o, y.plan, "no tariff", true)
		if err != nil || dry.Order.Amount != 1500 || len(dry.Lines) == 0 || len(dry.Before) != 0 || dry.AmountBefore != 0 {
			t.Fatalf("dry: %+v %v", dry, err)
		}
		if now := y.order(o.Session); now.Amount != 0 || now.Version != o.Version {
			t.Errorf("a dry run changed %+v", now)
		}
		repriced, err := y.engine.Reprice(t.Context(), y.actor, o, y.plan, "no tariff", false)
		made := repriced.Order
		if err != nil || made.Amount != 1500 || made.Anomalies.Has(order.NoTariff) {
			t.Fatalf("%+v %v", made, err)
		}
		if made, err = y.engine.ToPay(t.Context(), y.actor, y.order(o.Session)); err != nil || made.Status != order.ToPay || made.Held {
			t.Errorf("release: %+v %v", made, err)
		}
		if _, err := y.engine.Reprice(t.Context(), y.actor, made, y.plan, "again", false); code(err) != evcs.CodeOrderState {
			t.Errorf("an order to pay: %v", err)
		}
		y.balanced()
	})
}

func (y *yard) makePlan(ctx context.Context, tx *store.Tx) error {
	p := &tariff.Plan{
		Tenant: y.id.Tenant, Code: "P", Name: "P", Enabled: true, Default: true, Created: began, Updated: began, Revision: 1,
		Segments: []tariff.Segment{{From: 0, To: 1440, Kind: tariff.Flat, EnergyPrice: 100_000, ServicePrice: 50_000}},
	}
	if err := tx.Tariffs().InsertPlan(ctx, p); err != nil {
		return err
	}
	frozen := &tariff.Snapshot{Tenant: p.Tenant, Plan: p.ID, PlanCode: p.Code, PlanName: p.Name, Revision: 1, Segments: p.Segments, Created: began}
	if err := tx.Tariffs().Freeze(ctx, frozen); err != nil {
		return err
	}
	p.Snapshot, y.plan = frozen.ID, p.ID
	return tx.Tariffs().UpdatePlan(ctx, evcs.Only(p.Tenant), p)
}

func TestCloseEndsWhatTheDeviceLeft(t *testing.T) {
	each(t, func(y *yard) {
		a := y.start("k", began, energy(10))
		y.clock.add(10 * time.Minute)
		y.meter(a.Transaction, register(y.clock.Now(), 14))
		y.clock.add(time.Hour)
		o, err := y.engine.Close(y.t.Context(), y.actor, y.session(a.Session), charging.Closing{Reason: "burnt down"})
		if err != nil || o.Energy != *energy(4) || !o.Estimated || o.Status != order.ToPay || o.Amount != 600 {
			y.t.Fatalf("from the last reading: %+v %v", o, err)
		}
		if _, err := y.engine.Close(y.t.Context(), y.actor, y.session(a.Session), charging.Closing{}); code(err) != evcs.CodeSessionState {
			y.t.Errorf("closed twice: %v", err)
		}
		b := y.start("k2", y.clock.Now(), energy(14))
		y.clock.add(time.Hour)
		o, err = y.engine.Close(y.t.Context(), y.actor, y.session(b.Session), charging.Closing{
			Reason: "read by eye", MeterStop: energy(20), StopTime: y.clock.Now().Add(-30 * time.Minute),
		})
		if err != nil || o.Energy != *energy(6) || o.Seconds != 1800 || !o.Estimated {
			y.t.Errorf("with values: %+v %v", o, err)
		}
		orphan := y.session(y.stop(device.Stopped{Connector: 2, Transaction: 999, Energy: energy(3), At: y.clock.Now()}).Session)
		o, err = y.engine.Close(y.t.Context(), y.actor, orphan, charging.Closing{Reason: "ours", Energy: energy(2)})
		if err != nil || !o.Held || o.Source != order.Adopted || o.Energy != *energy(2) {
			y.t.Errorf("an orphan: %+v %v", o, err)
		}
		y.balanced()
	})
}

func TestCancelBeforeTheDeviceBegins(t *testing.T) {
	each(t, func(y *yard) {
		s := y.connect(nil)
		res, err := y.engine.Start(y.t.Context(), y.actor, charging.StartRequest{Tenant: y.id.Tenant, Charger: y.id.Charger, Connector: 1})
		if err != nil {
			y.t.Fatal(err)
		}
		y.engine.Drain()
		o, err := y.engine.CancelOrder(y.t.Context(), y.actor, res.Order, "changed my mind")
		if err != nil || o.Status != order.Cancelled || o.CancelReason != "changed my mind" || o.StartState != order.Failed {
			y.t.Fatalf("%+v %v", o, err)
		}
		if again, err := y.engine.CancelOrder(y.t.Context(), y.actor, o, "once more"); err != nil || again.CancelReason != "changed my mind" {
			y.t.Errorf("repeat: %+v %v", again, err)
		}
		late := device.Started{From: y.from("StartTransaction"), Connector: 1, Key: "late", IDTag: charging.RemoteTag(o.Session), At: y.clock.Now()}
		if a, err := y.engine.Started(y.t.Context(), late); err != nil || a.Tag != device.TagBlocked {
			y.t.Errorf("%+v %v", a, err)
		}
		y.engine.Drain()
		if n := len(s.asked); n != 2 || s.asked[1].Kind != device.KindStop {
			y.t.Errorf("the device was not told to stop: %+v", s.asked)
		}
	})
}

func TestCancelTellsTheDeviceToStopFirst(t *testing.T) {
	for name, c := range map[string]struct {
		register float64 // at the stop; 10 at the start
		answer   string  // "stop", "reject", "silent"
		want     evcs.Code
		status   order.Status
	}{
		"nothing delivered": {10, "stop", 0, order.Cancelled},
		"delivered":         {11, "stop", evcs.CodeOrderHasEnergy, order.ToPay},
		"refused":           {0, "reject", evcs.CodeCommandRejected, order.Charging},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(y *yard) {
				a := y.start("k", began, energy(10))
				if _, err := y.engine.CancelOrder(y.t.Context(), y.actor, y.order(a.Session), "no"); code(err) != evcs.CodeChargerOffline {
					y.t.Errorf("offline: %v", err)
				}
				stop := device.Stopped{Transaction: a.Transaction, Register: energy(c.register), At: began.Add(time.Minute)}
				y.connect(func(device.Command) (device.Answer, error) {
					if y.order(a.Session).Status != order.Charging {
						y.t.Error("cancelled before the device was told")
					}
					if c.answer == "stop" {
						y.stop(stop)
					}
					return device.Answer{Accepted: c.answer != "reject", Reason: "no"}, nil
				})
				y.clock.add(time.Minute)
				_, err := y.engine.CancelOrder(y.t.Context(), y.actor, y.order(a.Session), "no")
				o := y.order(a.Session)
				if code(err) != c.want || o.Status != c.status {
					y.t.Fatalf("%+v %v", o, err)
				}
				y.engine.Drain()
				if c.answer != "stop" {
					return
				}
				before := y.orphans()
				if again := y.stop(stop); again.Energy != *energy(c.register - 10) || y.orphans() != before {
					y.t.Errorf("repeat of the stop: %+v", again)
				}
				if x := y.session(a.Session); x.State != order.SessionEnded {
					y.t.Errorf("%+v", x)
				}
				if b := y.start("k2", y.clock.Now(), energy(20)); b.Order == 0 {
					y.t.Error("the connector is not free")
				}
				y.balanced()
			})
		})
	}
}

func (y *yard) orphans() int64 {
	y.t.Helper()
	p, err := y.db.Reader().Orders().SessionPage(y.t.Context(), evcs.Only(y.id.Tenant), order.SessionFilter{States: []order.State{order.SessionOrphan}},
		evcs.PageRequest{Page: 1, Size: 10})
	if err != nil {
		y.t.Fatal(err)
	}
	return p.Total
}

func TestCancelWithEnergyIsRefused(t *testing.T) {
	each(t, func(y *yard) {
		s := y.connect(nil)
		a := y.start("k", began, energy(10))
		y.clock.add(time.Minute)
		y.meter(a.Transaction, register(y.clock.Now(), 10.5))
		_, err := y.engine.CancelOrder(y.t.Context(), y.actor, y.order(a.Session), "no")
		if code(err) != evcs.CodeOrderHasEnergy || len(s.asked) != 0 {
			y.t.Errorf("%v, asked %+v", err, s.asked)
		}
	})
}

func TestRecoverAtBoot(t *testing.T) {
	each(t, func(y *yard) {
		y.connect(nil)
		b, err := y.engine.Started(y.t.Context(), device.Started{From: y.from("StartTransaction"), Connector: 2, Key: "two", Register: energy(5), At: y.clock.Now()})
		if err != nil {
			y.t.Fatal(err)
		}
		y.write(func(tx *store.Tx) error { // a reset was on the wire when the node died
			now := y.clock.Now()
			c := &command.Command{
				Tenant: y.id.Tenant, Charger: y.id.Charger, Type: string(device.KindReset), State: command.Pending, Params: []byte("{}"), CreatedAt: now,
				Deadline: now.Add(time.Hour), RequestedBy: "anna",
			}
			if err := tx.Commands().InsertCommand(y.t.Context(), c); err != nil {
				return err
			}
			if err := c.Send("n1", now); err != nil {
				return err
			}
			return tx.Commands().UpdateCommand(y.t.Context(), evcs.Only(y.id.Tenant), c)
		})
		y.restart()
		if err := y.engine.Recover(y.t.Context()); err != nil {
			y.t.Fatal(err)
		}
		c, err := y.db.Reader().Stations().Charger(y.t.Context(), evcs.Only(y.id.Tenant), y.id.Charger)
		if err != nil || c.Connected {
			y.t.Errorf("still connected: %+v %v", c, err)
		}
		list, err := y.db.Reader().Commands().CommandPage(y.t.Context(), evcs.Only(y.id.Tenant), command.Filter{Types: []string{"RESET"}}, evcs.PageRequest{Page: 1, Size: 9})
		if err != nil || len(list.Records) != 1 || list.Records[0].State != command.Timeout {
			y.t.Errorf("%+v %v", list, err)
		}
		if o := y.order(b.Session); o.Status != order.Charging {
			y.t.Errorf("the restart ended a session: %+v", o)
		}
		if got := y.stop(device.Stopped{Transaction: b.Transaction, Register: energy(6), At: y.clock.Now()}); got.Energy != *energy(1) {
			y.t.Errorf("%+v", got)
		}
	})
}

func TestAnotherTenantFindsNothing(t *testing.T) {
	each(t, func(y *yard) {
		o := y.ended("k")
		var stranger evcs.TenantID
		y.write(func(tx *store.Tx) error {
			t := &tenant.Tenant{
				Code: "B", Name: "B", Parent: y.id.Tenant, Type: tenant.Platform + 1, Enabled: true, Created: began, Updated: began, ContactPerson: "x", ContactPhone: "1",
			}
			err := tx.Tenants().Insert(y.t.Context(), t)
			stranger = t.ID
			return err
		})
		foreign := *o
		foreign.Tenant = stranger
		x := *y.session(o.Session)
		x.Tenant = stranger
		ctx := y.t.Context()
		ask := charging.StartRequest{Tenant: stranger, Charger: y.id.Charger, Connector: 1}
		for name, try := range map[string]func() error{
			"start":   func() error { _, err := y.engine.Start(ctx, y.actor, ask); return err },
			"stop":    func() error { _, err := y.engine.Stop(ctx, y.actor, &foreign, "", 0); return err },
			"cancel":  func() error { _, err := y.engine.CancelOrder(ctx, y.actor, &foreign, "x"); return err },
			"adjust":  func() error { _, err := y.engine.Adjust(ctx, y.actor, &foreign, 1, "x"); return err },
			"to pay":  func() error { _, err := y.engine.ToPay(ctx, y.actor, &foreign); return err },
			"reprice": func() error { _, err := y.engine.Reprice(ctx, y.actor, &foreign, y.plan, "x", false); return err },
			"close":   func() error { _, err := y.engine.Close(ctx, y.actor, &x, charging.Closing{}); return err },
			"adopt": func() error {
				x.State = order.SessionOrphan
				_, err := y.engine.Adopt(ctx, y.actor, &x, charging.Adoption{})
				return err
			},
			"ask": func() error {
				_, err := y.engine.Ask(ctx, y.actor, stranger, charging.CommandRequest{Charger: y.id.Charger, Kind: device.KindReset})
				return err
			},
			"device": func() error {
				m := device.Started{From: y.from("StartTransaction"), Connector: 1, Key: "z"}
				m.Identity.Tenant = stranger
				_, err := y.engine.Started(ctx, m)
				return err
			},
		} {
			if err := try(); code(err) != evcs.CodeChargerNotFound && code(err) != evcs.CodeOrderNotFound && code(err) != evcs.CodeSessionNotFound {
				y.t.Errorf("%s: %v", name, err)
			}
		}
		if now := y.order(o.Session); now.Version != o.Version {
			y.t.Errorf("changed: %+v", now)
		}
	})
}
