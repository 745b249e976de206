package store_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// figured is a tenant whose rows the metrics of alert rules read.
type figured struct {
	*assets
	t      *testing.T
	serial int
}

// measured runs a test of a metric on both engines.
func measured(t *testing.T, test func(f *figured)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(&figured{assets: build(t, db), t: t}) })
}

// want reads a metric at a moment and compares it with what it should give.
func (f *figured) want(metric string, now time.Time, want ...alarm.Reading) {
	f.t.Helper()
	got, err := f.db.Reader().Gauges().Read(f.t.Context(), metric, now)
	if err != nil {
		f.t.Fatalf("%s: %v", metric, err)
	}
	byTarget := func(a, b alarm.Reading) int { return cmp.Compare(a.Target.ID, b.Target.ID) }
	slices.SortFunc(got, byTarget)
	slices.SortFunc(want, byTarget)
	if !slices.Equal(got, want) {
		f.t.Errorf("%s at %s:\n got %+v\nwant %+v", metric, now.Format(time.RFC3339Nano), got, want)
	}
}

// ofTenant is a reading of the tenant itself.
func (f *figured) ofTenant(value evcs.Milli, samples int64) alarm.Reading {
	return alarm.Reading{Tenant: f.tenant, Target: alarm.OfTenant(f.tenant), Value: value, Samples: samples}
}

// order stores an order of the first charger, ended and to be paid unless
// changed.
func (f *figured) order(change func(*order.Order)) *order.Order {
	f.t.Helper()
	f.serial++
	no := fmt.Sprintf("O%d", f.serial)
	o := &order.Order{
		Tenant: f.tenant, No: no, Session: "S" + no, Station: f.station.ID, Charger: f.charger.ID, Connector: 1, Status: order.ToPay,
		StartState: order.Started, Source: order.FromClient, StartedAt: day.Add(-time.Minute), EndedAt: day, CreatedAt: day, UpdatedAt: day,
	}
	change(o)
	within(f.t, f.db, func(ctx context.Context, tx *store.Tx) error { return tx.Orders().InsertOrder(ctx, o) })
	return o
}

func TestOrderFailureRate(t *testing.T) {
	measured(t, func(f *figured) {
		f.want("order_failure_rate", day)
		at := func(before time.Duration, state order.StartState, source order.Source) {
			f.order(func(o *order.Order) {
				o.StartedAt, o.StartState, o.Source = day.Add(-before), state, source
				if state == order.Failed {
					o.Status = order.Cancelled
				}
			})
		}
		at(5*time.Minute, order.Failed, order.FromClient) // just inside
		at(0, order.Failed, order.FromDevice)
		at(time.Minute, order.Started, order.FromClient)
		at(time.Minute, order.Started, order.FromDevice)
		at(5*time.Minute+time.Millisecond, order.Failed, order.FromClient) // just outside
		at(time.Minute, order.Starting, order.FromClient)                  // not decided
		at(time.Minute, order.Started, order.Adopted)                      // began without an order
		f.want("order_failure_rate", day, f.ofTenant(50_000, 4))
		f.want("order_failure_rate", day.Add(time.Millisecond), f.ofTenant(33_333, 3))
		f.want("order_failure_rate", day.Add(time.Hour))
	})
}

func TestOrderHeldRate(t *testing.T) {
	measured(t, func(f *figured) {
		ended := func(before time.Duration, held bool, status order.Status) {
			f.order(func(o *order.Order) {
				o.StartedAt, o.EndedAt, o.Held, o.Status = day.Add(-before-25*time.Hour+time.Minute), day.Add(-before), held, status
			})
		}
		ended(time.Hour, true, order.Ended) // just inside, after a day of charging
		ended(time.Minute, false, order.ToPay)
		ended(time.Minute, false, order.Paid)
		ended(0, false, order.ToPay)
		ended(time.Hour+time.Millisecond, true, order.Ended) // just outside
		ended(time.Minute, true, order.Cancelled)            // waived
		f.order(func(o *order.Order) { o.Status, o.Held, o.EndedAt = order.Charging, true, time.Time{} })
		f.want("order_held_rate", day, f.ofTenant(25_000, 4))
		f.want("order_held_rate", day.Add(time.Millisecond), f.ofTenant(0, 3))
		f.want("order_held_rate", day.Add(2*time.Hour))
	})
}

func TestPaymentFailureRate(t *testing.T) {
	measured(t, func(f *figured) {
		pay := func(status payment.Status, paid, updated time.Duration) {
			o := f.order(func(*order.Order) {})
			p := aPayment(o, "P"+o.No)
			p.UpdatedAt = day.Add(-updated)
			within(f.t, f.db, func(ctx context.Context, tx *store.Tx) error {
				p = aPayment(o, "P"+o.No)
				p.Merchant, p.UpdatedAt = 1, day.Add(-updated)
				if err := tx.Payments().Insert(ctx, evcs.Only(f.tenant), &p); err != nil || status == payment.Processing {
					return err
				}
				p.Status = status
				if paid >= 0 {
					p.PaidAt = day.Add(-paid)
				}
				return tx.Payments().Update(ctx, evcs.Only(f.tenant), &p)
			})
		}
		never := time.Duration(-1)
		pay(payment.Failed, never, 5*time.Minute) // just inside
		pay(payment.Success, 5*time.Minute, 5*time.Minute)
		pay(payment.Success, time.Minute, time.Minute)
		pay(payment.Refunded, time.Minute, 0) // it was paid before
		pay(payment.Failed, never, 5*time.Minute+time.Millisecond)
		pay(payment.Success, 5*time.Minute+time.Millisecond, 0) // told late, paid before
		pay(payment.Closed, never, 0)                           // given up, nobody failed
		pay(payment.Processing, never, 0)
		f.want("payment_failure_rate", day, f.ofTenant(25_000, 4))
		f.want("payment_failure_rate", day.Add(time.Millisecond), f.ofTenant(0, 2))
	})
}

// chargers adds chargers and sets each as told.
func (f *figured) chargers(n int, change func(i int, c *station.Charger)) []*station.Charger {
	f.t.Helper()
	var list []*station.Charger
	for i := range n {
		f.serial++
		c, _, err := f.fleet().Create(f.t.Context(), boss(), f.draft(fmt.Sprintf("N%d", f.serial)), 1)
		must(f.t, err)
		change(i, c)
		must(f.t, f.in(f.t, func(s station.Store) error { return s.UpdateCharger(f.t.Context(), evcs.Only(f.tenant), c) }))
		list = append(list, c)
	}
	return list
}

func TestChargerOfflineFigures(t *testing.T) {
	measured(t, func(f *figured) {
		list := f.chargers(5, func(i int, c *station.Charger) {
			c.Status = station.Idle
			switch i {
			case 0:
				c.Status, c.OfflineSince = station.Offline, day.Add(-90*time.Second)
			case 1:
				c.Status, c.OfflineSince, c.Enabled = station.Offline, day.Add(-time.Hour), false
			case 2:
				c.Status, c.OfflineSince = station.Offline, day.Add(-time.Hour) // and deleted
			}
		})
		meddle(f.t, f.db, `UPDATE chargers SET deleted_at = 1 WHERE id = %d`, list[2].ID)
		// The first charger was never heard: it is offline, but since no moment.
		f.want("charger_offline_rate", day, f.ofTenant(50_000, 4))
		f.want("charger_offline_minutes", day, alarm.Reading{
			Tenant: f.tenant, Station: f.station.ID, Charger: list[0].ID, Target: alarm.OfCharger(list[0].ID), Value: 1500,
			Since: day.Add(-90 * time.Second), Note: list[0].Code,
		})
	})
}

// session stores a running session on a connector.
func (f *figured) session(connector int, state order.State, idle time.Time) *order.Session {
	f.t.Helper()
	f.serial++
	uid := fmt.Sprintf("U%d", f.serial)
	x := &order.Session{
		UID: uid, DeviceKey: uid, Tenant: f.tenant, Station: f.station.ID, Charger: f.charger.ID, Connector: connector, Protocol: "OCPP16", State: state,
		IdleSince: idle, StartedAt: day, ReceivedStartAt: day, CreatedAt: day, UpdatedAt: day,
	}
	within(f.t, f.db, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.Orders().InsertSession(ctx, x); err != nil {
			return err
		}
		return tx.Orders().UpdateSession(ctx, evcs.Only(f.tenant), x)
	})
	return x
}

// NoActiveOrders looks between 08:00 and 22:00 of the tenant's own clock.
func TestRunningSessionsByDay(t *testing.T) {
	measured(t, func(f *figured) {
		f.chargers(1, func(_ int, c *station.Charger) { c.Enabled = false })
		f.session(1, order.SessionActive, time.Time{})
		f.session(2, order.SessionSuspended, time.Time{})
		f.session(1, order.SessionEnded, time.Time{})
		f.session(1, order.SessionOrphan, time.Time{})
		zone := time.FixedZone("Shanghai", 8*3600)
		running := f.ofTenant(2000, 1)
		f.want("running_sessions", day, running)
		eight, ten := time.Date(2026, 2, 10, 8, 0, 0, 0, zone), time.Date(2026, 2, 10, 22, 0, 0, 0, zone)
		f.want("running_sessions_daytime", eight.Add(-time.Millisecond))
		f.want("running_sessions_daytime", eight, running)
		f.want("running_sessions_daytime", ten.Add(-time.Millisecond), running)
		f.want("running_sessions_daytime", ten)
		meddle(f.t, f.db, `UPDATE tenants SET settings = '{"timeZone":"Asia/Urumqi"}' WHERE id = %d`, f.tenant)
		f.want("running_sessions_daytime", eight)
		f.want("running_sessions_daytime", ten, running)
		meddle(f.t, f.db, `UPDATE tenants SET status = 0 WHERE id = %d`, f.tenant)
		f.want("running_sessions_daytime", ten)
	})
}

func TestRecordOverdue(t *testing.T) {
	measured(t, func(f *figured) {
		since := day.Add(-10 * time.Minute)
		x := f.session(1, order.SessionActive, since)
		f.session(2, order.SessionActive, time.Time{})
		f.session(1, order.SessionEnded, since)
		f.want("record_overdue", day, alarm.Reading{
			Tenant: f.tenant, Station: f.station.ID, Charger: f.charger.ID, Value: 1000, Since: since, Label: "1",
			Target: alarm.Target{Type: "CONNECTOR", ID: fmt.Sprintf("%d/1", f.charger.ID)}, Note: f.charger.Code + " " + x.UID + " #1",
		})
	})
}

func TestConnectorFigures(t *testing.T) {
	measured(t, func(f *figured) {
		must(f.t, f.in(f.t, func(s station.Store) error {
			one, two := f.connectors[0], f.connectors[1]
			one.Status, one.Updated = station.Charging, day.Add(-time.Minute)
			one.Live, one.LastMeter = evcs.Sample{Have: evcs.HasTemperature, Temperature: 71_500}, day.Add(-10*time.Minute)
			two.Status, two.SessionID, two.Updated = station.Charging, 5, day
			two.Live, two.LastMeter = evcs.Sample{Have: evcs.HasTemperature, Temperature: 80_000}, day.Add(-10*time.Minute-time.Millisecond)
			return errors.Join(s.UpdateConnector(f.t.Context(), evcs.Only(f.tenant), one), s.UpdateConnector(f.t.Context(), evcs.Only(f.tenant), two))
		}))
		r := alarm.Reading{
			Tenant: f.tenant, Station: f.station.ID, Charger: f.charger.ID, Value: 1000, Since: day.Add(-time.Minute), Label: "1",
			Target: alarm.Target{Type: "CONNECTOR", ID: fmt.Sprintf("%d/1", f.charger.ID)}, Note: f.charger.Code + " #1",
		}
		f.want("charging_without_session", day, r)
		r.Value, r.Since = 71_500, time.Time{}
		f.want("connector_temperature", day, r)
	})
}

// What waits in suspense must have risen from day to day, without a break.
func TestSuspenseRisingDays(t *testing.T) {
	measured(t, func(f *figured) {
		batch := func(channel string, back int, status recon.Status, suspense int64) {
			b := &recon.Batch{
				Tenant: f.tenant, Channel: channel, Day: day.AddDate(0, 0, -back).Format(time.DateOnly), RunNo: 1, Status: status,
				Figures: recon.Figures{Status: status, Counts: recon.Counts{Suspense: suspense}}, StartedAt: day,
			}
			within(f.t, f.db, func(ctx context.Context, tx *store.Tx) error { return tx.Recon().InsertBatch(ctx, b) })
		}
		for back, n := range []int64{5, 4, 3, 2} {
			batch("alipay", back+1, recon.Success, n) // three rises
		}
		for back, n := range []int64{5, 4, 4, 2} {
			batch("wechat", back+1, recon.Partial, n) // one, then a day that did not rise
		}
		batch("sandbox", 1, recon.Success, 9)
		batch("sandbox", 2, recon.Failed, 1) // says nothing
		batch("sandbox", 11, recon.Success, 0)
		reading := func(channel string, rises evcs.Milli) alarm.Reading {
			return alarm.Reading{Tenant: f.tenant, Target: alarm.Target{Type: "CHANNEL", ID: channel}, Label: channel, Note: channel, Value: rises * 1000}
		}
		f.want("suspense_rising_days", day, reading("alipay", 3), reading("wechat", 1), reading("sandbox", 0))
	})
}

// The plain counts: what is counted, and what is not.
func TestCountedFigures(t *testing.T) {
	measured(t, func(f *figured) {
		f.order(func(o *order.Order) { o.Held, o.Status = true, order.Ended })
		f.order(func(*order.Order) {})
		f.order(func(o *order.Order) { o.Status = order.Paid })
		f.session(1, order.SessionOrphan, time.Time{})
		within(f.t, f.db, func(ctx context.Context, tx *store.Tx) error {
			b := &recon.Batch{Tenant: f.tenant, Channel: "alipay", Day: "2026-02-09", RunNo: 1, Status: recon.Partial, StartedAt: day}
			if err := tx.Recon().InsertBatch(ctx, b); err != nil {
				return err
			}
			for i, state := range []recon.State{recon.Open, recon.Resolved, recon.Open} {
				d := &recon.Difference{
					Tenant: f.tenant, Batch: b.ID, Channel: "alipay", Day: "2026-02-09", Kind: recon.LocalOnly, Key: fmt.Sprint("D", i), State: state,
					Direction: payment.Pay, CreatedAt: day,
				}
				if err := tx.Recon().InsertDifference(ctx, d); err != nil {
					return err
				}
			}
			return nil
		})
		one := f.ofTenant(1000, 0)
		f.want("held_orders", day, one)
		f.want("orphan_sessions", day, one)
		f.want("open_differences", day, f.ofTenant(2000, 0))
		zero := func(t evcs.TenantID) alarm.Reading { return alarm.Reading{Tenant: t, Target: alarm.OfTenant(t)} }
		f.want("unpaid_orders", day, zero(1), one, zero(f.other))
	})
}
