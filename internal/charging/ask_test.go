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
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tenant"
)

func TestAsk(t *testing.T) {
	for name, c := range map[string]struct {
		answer device.Answer
		err    error
		want   evcs.Code
		state  command.State
	}{
		"accepted":    {device.Answer{Accepted: true}, nil, 0, command.Accepted},
		"rejected":    {device.Answer{Reason: "Busy"}, nil, evcs.CodeCommandRejected, command.Rejected},
		"silent":      {device.Answer{}, context.DeadlineExceeded, evcs.CodeCommandTimeout, command.Timeout},
		"unsupported": {device.Answer{}, device.ErrUnsupported, evcs.CodeCommandUnsupported, command.Failed},
	} {
		for _, kind := range []device.Kind{device.KindReset, device.KindUnlock} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				each(t, func(y *yard) {
					q := charging.CommandRequest{Charger: y.id.Charger, Kind: kind, Wait: 5 * time.Second}
					if kind == device.KindUnlock {
						q.Connector = 1
					}
					if _, err := y.engine.Ask(y.t.Context(), y.actor, y.id.Tenant, q); code(err) != evcs.CodeChargerOffline {
						y.t.Errorf("offline: %v", err)
					}
					y.connect(func(device.Command) (device.Answer, error) { return c.answer, c.err })
					made, err := y.engine.Ask(y.t.Context(), y.actor, y.id.Tenant, q)
					if made == nil || made.State != c.state {
						y.t.Fatalf("%+v %v", made, err)
					}
					got, data, _ := evcs.Classify(err)
					if code(err) != c.want {
						y.t.Errorf("%v", err)
					}
					if c.want == evcs.CodeCommandUnsupported && (data["type"] != string(kind) || data["protocol"] != device.OCPP16) {
						y.t.Errorf("%v %v", got, data)
					}
					y.engine.Drain()
				})
			})
		}
	}
}

// One command of a kind and connector is on the wire; the next of its kind waits
// and may be cancelled, others go at once.
func TestOneCommandOfAKindIsOutstanding(t *testing.T) {
	each(t, func(y *yard) {
		asked, free := make(chan device.Command, 9), make(chan struct{})
		y.connect(func(c device.Command) (device.Answer, error) {
			asked <- c
			if c.Key == "first" {
				<-free
			}
			return device.Answer{Accepted: true}, nil
		})
		ask := func(connector int, kind device.Kind, key string) evcs.CommandID {
			y.t.Helper()
			c, err := y.engine.Ask(y.t.Context(), y.actor, y.id.Tenant, charging.CommandRequest{
				Charger: y.id.Charger, Connector: connector, Kind: kind, Params: charging.Params{Key: key, Value: "1"},
			})
			if err != nil {
				y.t.Fatal(err)
			}
			return c.ID
		}
		state := func(id evcs.CommandID, want command.State) {
			y.t.Helper()
			c, err := y.db.Reader().Commands().Command(y.t.Context(), evcs.Only(y.id.Tenant), id)
			if err != nil || c.State != want {
				y.t.Errorf("%+v %v, want %s", c, err, want)
			}
		}
		first := ask(0, device.KindSetConfig, "first")
		<-asked
		second, third := ask(0, device.KindSetConfig, "second"), ask(0, device.KindSetConfig, "third")
		ask(1, device.KindUnlock, "")
		if c := <-asked; c.Kind != device.KindUnlock {
			y.t.Errorf("%+v overtook", c)
		}
		y.round(2 * time.Second)
		state(first, command.Sent)
		state(second, command.Pending)
		if _, err := y.engine.CancelCommand(y.t.Context(), &evcs.Actor{Tenant: y.id.Tenant, User: 1, Name: "1"}, evcs.Only(y.id.Tenant), second); err != nil {
			y.t.Error(err)
		}
		if _, err := y.engine.CancelCommand(y.t.Context(), &evcs.Actor{Tenant: y.id.Tenant, User: 1, Name: "1"}, evcs.Only(y.id.Tenant), first); err == nil {
			y.t.Error("what is on the wire was cancelled")
		}
		close(free)
		y.engine.Drain()
		state(first, command.Accepted)
		y.round(2 * time.Second)
		if c := <-asked; c.Key != "third" {
			y.t.Errorf("%+v", c)
		}
		y.engine.Drain()
		state(second, command.Cancelled)
		state(third, command.Accepted)
	})
}

// A firmware update of which nothing more is heard ends half an hour later.
func TestAFirmwareUpdateThatIsNotReportedTimesOut(t *testing.T) {
	each(t, func(y *yard) {
		y.connect(nil)
		made, err := y.engine.Ask(y.t.Context(), y.actor, y.id.Tenant, charging.CommandRequest{
			Charger: y.id.Charger, Kind: device.KindFirmware, Params: charging.Params{URL: "https://example.com/f.bin"},
		})
		if err != nil {
			y.t.Fatal(err)
		}
		y.engine.Drain()
		for _, step := range []struct {
			pass time.Duration
			want command.State
		}{{30*time.Minute - time.Millisecond, command.Accepted}, {2 * time.Millisecond, command.Timeout}} {
			y.round(step.pass)
			if c, err := y.db.Reader().Commands().Command(y.t.Context(), evcs.Only(y.id.Tenant), made.ID); err != nil || c.State != step.want {
				y.t.Errorf("%+v %v, want %s", c, err, step.want)
			}
		}
	})
}

func TestResetOfABusyCharger(t *testing.T) {
	each(t, func(y *yard) {
		s := y.connect(nil)
		a := y.start("k", began, energy(1))
		q := charging.CommandRequest{Charger: y.id.Charger, Kind: device.KindReset, Wait: 5 * time.Second}
		if _, err := y.engine.Ask(y.t.Context(), y.actor, y.id.Tenant, q); code(err) != evcs.CodeChargerState {
			y.t.Errorf("%v", err)
		}
		s.answer = func(c device.Command) (device.Answer, error) {
			if c.Kind == device.KindStop {
				y.stop(device.Stopped{Transaction: c.Transaction, Register: energy(2), At: y.clock.Now()})
			}
			return device.Answer{Accepted: true}, nil
		}
		q.Force = true
		made, err := y.engine.Ask(y.t.Context(), y.actor, y.id.Tenant, q)
		if err != nil || made.State != command.Accepted {
			y.t.Errorf("%+v %v", made, err)
		}
		if o := y.order(a.Session); o.Status != order.ToPay {
			y.t.Errorf("%+v", o)
		}
		y.engine.Drain()
	})
}

func (y *yard) frames(kind string) int64 {
	y.t.Helper()
	p, err := y.db.Reader().Frames().FramePage(y.t.Context(), evcs.Only(y.id.Tenant), store.FrameFilter{Charger: y.id.Charger, Types: []string{kind}}, evcs.PageRequest{Page: 1, Size: 50})
	if err != nil {
		y.t.Fatal(err)
	}
	return p.Total
}

func TestSessionQuota(t *testing.T) {
	each(t, func(y *yard) {
		one := int64(1)
		y.changeTenant(func(t *tenant.Tenant) { t.Limits.Sessions = &one })
		y.connect(nil)
		if _, err := y.engine.Start(y.t.Context(), y.actor, charging.StartRequest{Tenant: y.id.Tenant, Charger: y.id.Charger, Connector: 1}); err != nil {
			y.t.Fatal(err)
		}
		_, err := y.engine.Start(y.t.Context(), y.actor, charging.StartRequest{Tenant: y.id.Tenant, Charger: y.id.Charger, Connector: 2})
		if code(err) != evcs.CodeQuotaExceeded || y.orders() != 1 {
			y.t.Errorf("%v, %d orders", err, y.orders())
		}
		// a cloudcharge charger asks first: refused, nothing begun, the frame kept
		m := device.Started{From: y.from("charging/start"), Connector: 2, Session: "CC:1", At: y.clock.Now()}
		m.Protocol = device.CloudCharge
		before := y.frames("charging/start")
		if _, err := y.engine.Started(y.t.Context(), m); code(err) != evcs.CodeQuotaExceeded {
			y.t.Errorf("cloudcharge: %v", err)
		}
		if n := y.frames("charging/start"); n != before+1 || y.orders() != 1 {
			y.t.Errorf("%d frames, %d orders", n, y.orders())
		}
		// what has begun is billed, with a mark
		a, err := y.engine.Started(y.t.Context(), device.Started{From: y.from("StartTransaction"), Connector: 2, Key: "k", Register: energy(1), At: y.clock.Now(), Offline: true})
		if err != nil {
			y.t.Fatal(err)
		}
		if o := y.order(a.Session); !o.Anomalies.Has(order.QuotaExceeded) || o.Status != order.Charging {
			y.t.Errorf("%+v", o)
		}
		y.engine.Drain()
	})
}

func TestIDTagPolicy(t *testing.T) {
	each(t, func(y *yard) {
		y.write(func(tx *store.Tx) error {
			for tag, change := range map[string]func(*station.IDTag){
				"GOOD": func(*station.IDTag) {}, "BLOCKED": func(t *station.IDTag) { t.Blocked = true },
				"OLD": func(t *station.IDTag) { t.Expires = began.Add(-time.Hour) },
			} {
				row := &station.IDTag{Tenant: y.id.Tenant, Tag: tag, User: 77, Created: began, Updated: began}
				change(row)
				if err := tx.Stations().InsertIDTag(y.t.Context(), row); err != nil {
					return err
				}
			}
			return nil
		})
		judge := func(tag string) device.TagStatus {
			a, err := y.engine.Authorize(y.t.Context(), device.Authorize{From: y.from("Authorize"), IDTag: tag})
			if err != nil {
				y.t.Error(err)
			}
			return a.Status
		}
		for tag, want := range map[string]device.TagStatus{
			"GOOD": device.TagAccepted, "BLOCKED": device.TagBlocked, "OLD": device.TagExpired, "WHO": device.TagUnknown,
		} {
			if got := judge(tag); got != want {
				y.t.Errorf("%s is %s", tag, got)
			}
		}
		refused := device.Started{From: y.from("StartTransaction"), Connector: 1, Key: "w", IDTag: "WHO", Register: energy(1), At: began}
		if _, err := y.engine.Started(y.t.Context(), refused); code(err) != evcs.CodeIDTagRefused || y.orders() != 0 {
			y.t.Errorf("an unknown tag at a connected charger: %v", err)
		}
		good := refused
		good.Key, good.IDTag = "g", "GOOD"
		a, err := y.engine.Started(y.t.Context(), good)
		if err != nil || y.order(a.Session).User != 77 {
			y.t.Errorf("%+v %v", a, err)
		}
		all := tenant.AcceptAll
		y.changeTenant(func(t *tenant.Tenant) { t.Own.IDTagPolicy = &all })
		if got := judge("WHO"); got != device.TagAccepted {
			y.t.Errorf("ACCEPT_ALL: %s", got)
		}
		if got := judge("BLOCKED"); got != device.TagBlocked {
			y.t.Errorf("ACCEPT_ALL, a blocked one: %s", got)
		}
		y.changeTenant(func(t *tenant.Tenant) { t.Enabled = false })
		if got := judge("GOOD"); got != device.TagBlocked {
			y.t.Errorf("a blocked tenant: %s", got)
		}
	})
}

func TestCloudChargeSession(t *testing.T) {
	each(t, func(y *yard) {
		from := func(kind string) device.From {
			f := y.from(kind)
			f.Protocol = device.CloudCharge
			return f
		}
		start := device.Started{From: from("start"), Connector: 1, Session: "order:2026-1", User: 5, At: began}
		a, err := y.engine.Started(y.t.Context(), start)
		if err != nil || a.Session != "order:2026-1" {
			y.t.Fatalf("%+v %v", a, err)
		}
		if again, err := y.engine.Started(y.t.Context(), start); err != nil || again.Order != a.Order {
			y.t.Errorf("repeat: %+v %v", again, err)
		}
		other := start
		other.Connector = 2
		if _, err := y.engine.Started(y.t.Context(), other); code(err) != evcs.CodeSessionConflict {
			y.t.Errorf("another connector: %v", err)
		}
		y.clock.add(30 * time.Minute)
		sample := evcs.Sample{At: y.clock.Now(), Have: evcs.HasEnergy, Energy: *energy(5)}
		m, err := y.engine.Metered(y.t.Context(), device.Metered{From: from("meter"), Session: "order:2026-1", Samples: []evcs.Sample{sample}})
		if err != nil || m.Accepted != 1 {
			y.t.Errorf("%+v %v", m, err)
		}
		if _, err := y.engine.Metered(y.t.Context(), device.Metered{From: from("meter"), Session: "nobody's", Samples: []evcs.Sample{sample}}); code(err) != evcs.CodeSessionNotFound {
			y.t.Errorf("an unknown session: %v", err)
		}
		stop := device.Stopped{From: from("stop"), Session: "order:2026-1", Energy: energy(10), Duration: 30 * time.Minute, At: y.clock.Now()}
		done, err := y.engine.Stopped(y.t.Context(), stop)
		if err != nil || done.Amount != 1500 || done.OrderNo == "" {
			y.t.Fatalf("%+v %v", done, err)
		}
		if again, err := y.engine.Stopped(y.t.Context(), stop); err != nil || again != done {
			y.t.Errorf("repeat: %+v %v", again, err)
		}
	})
}
