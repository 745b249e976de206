package charging_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// clock is set by the test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// socket is a charger's connection whose answers the test decides.
type socket struct {
	id     device.Identity
	host   string // "": 192.0.2.1
	answer func(device.Command) (device.Answer, error)
	mu     sync.Mutex
	asked  []device.Command
	closed bool
}

func (s *socket) Identity() device.Identity { return s.id }
func (s *socket) Info() device.Info {
	return device.Info{Protocol: device.OCPP16, Address: cmp.Or(s.host, "192.0.2.1")}
}

func (s *socket) Close(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *socket) Send(_ context.Context, c device.Command) (device.Answer, error) {
	s.mu.Lock()
	s.asked = append(s.asked, c)
	s.mu.Unlock()
	if s.answer == nil {
		return device.Answer{Accepted: true}, nil
	}
	return s.answer(c)
}

// yard is a tenant with one station, one charger of two connectors, and a plan.
type yard struct {
	t      *testing.T
	db     *store.DB
	clock  *clock
	engine *charging.Engine
	id     device.Identity
	plan   evcs.PlanID
	actor  *evcs.Actor
}

var began = time.Date(2026, 2, 10, 2, 0, 0, 0, time.UTC) // 10:00 in Shanghai

func newYard(t *testing.T, db *store.DB, withPlan bool) *yard {
	t.Helper()
	y := &yard{t: t, db: db, clock: &clock{at: began}}
	err := db.Transact(t.Context(), func(tx *store.Tx) error { return y.build(t.Context(), tx, withPlan) })
	if err != nil {
		t.Fatal(err)
	}
	y.actor = &evcs.Actor{Tenant: y.id.Tenant, Name: "anna", User: 7}
	y.restart()
	return y
}

func (y *yard) build(ctx context.Context, tx *store.Tx, withPlan bool) error {
	t := &tenant.Tenant{Code: "A", Name: "A", Type: tenant.Platform, Enabled: true, Created: began, Updated: began}
	if err := tx.Tenants().Insert(ctx, t); err != nil {
		return fmt.Errorf("tenant: %w", err)
	}
	s := &station.Station{Tenant: t.ID, Code: "S", Name: "Station", Address: "x", Enabled: true, Type: 1, Created: began, Updated: began}
	if err := tx.Stations().InsertStation(ctx, s); err != nil {
		return fmt.Errorf("station: %w", err)
	}
	c := &station.Charger{
		Tenant: t.ID, Station: s.ID, Code: "C", Name: "C", DeviceID: "C", Type: 1, RatedPower: 60_000, Enabled: true, Created: began, Updated: began,
		Protocol: device.OCPP16,
	}
	if err := tx.Stations().InsertCharger(ctx, c); err != nil {
		return fmt.Errorf("charger: %w", err)
	}
	for no := 1; no <= 2; no++ {
		err := tx.Stations().InsertConnector(ctx, &station.Connector{Charger: c.ID, No: no, Tenant: t.ID, Station: s.ID, Enabled: true, Updated: began})
		if err != nil {
			return fmt.Errorf("connector: %w", err)
		}
	}
	y.id = device.Identity{Tenant: t.ID, Charger: c.ID, DeviceID: "C"}
	if !withPlan {
		return nil
	}
	p := &tariff.Plan{
		Tenant: t.ID, Code: "P", Name: "P", Enabled: true, Default: true, Created: began, Updated: began, Revision: 1,
		Segments: []tariff.Segment{{From: 0, To: 1440, Kind: tariff.Flat, EnergyPrice: 100_000, ServicePrice: 50_000}},
	}
	if err := tx.Tariffs().InsertPlan(ctx, p); err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	frozen := &tariff.Snapshot{Tenant: t.ID, Plan: p.ID, PlanCode: p.Code, PlanName: p.Name, Revision: 1, Segments: p.Segments, Created: began}
	if err := tx.Tariffs().Freeze(ctx, frozen); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	p.Snapshot = frozen.ID
	y.plan = p.ID
	return tx.Tariffs().UpdatePlan(ctx, evcs.Only(t.ID), p)
}

// restart forgets everything in memory.
func (y *yard) restart() {
	y.engine = charging.New(charging.Config{
		Urgent: func(ctx context.Context, fn func(charging.Tx) error) error {
			return y.db.Transact(ctx, store.Afresh(func(tx *store.Tx) error { return fn(tx) }))
		},
		Patient: func(ctx context.Context, fn func(charging.Tx) error) error {
			return y.db.Gather(ctx, store.Afresh(func(tx *store.Tx) error { return fn(tx) }))
		},
		Rolls: y.db.Rolls(), Tenants: y.db.Reader().Tenants(), Hub: device.NewHub(), Clock: y.clock, Node: "n1",
	})
}

func (y *yard) from(kind string) device.From {
	return device.From{Identity: y.id, Protocol: device.OCPP16, Received: y.clock.Now(), Type: kind, MessageID: "1", Raw: []byte(`[2]`)}
}

func energy(kwh float64) *evcs.Energy {
	e := evcs.Energy(kwh * 10_000)
	return &e
}

func (y *yard) start(key string, at time.Time, register *evcs.Energy) device.StartAnswer {
	y.t.Helper()
	a, err := y.engine.Started(y.t.Context(), device.Started{
		From: y.from("StartTransaction"), Connector: 1, Key: key, IDTag: "", Register: register, At: at, Offline: true,
	})
	if err != nil {
		y.t.Fatal(err)
	}
	return a
}

func (y *yard) stop(m device.Stopped) device.StopAnswer {
	y.t.Helper()
	m.From = y.from("StopTransaction")
	a, err := y.engine.Stopped(y.t.Context(), m)
	if err != nil {
		y.t.Fatal(err)
	}
	return a
}

func (y *yard) meter(tx int64, samples ...evcs.Sample) device.MeterAnswer {
	y.t.Helper()
	a, err := y.engine.Metered(y.t.Context(), device.Metered{From: y.from("MeterValues"), Connector: 1, Transaction: tx, Samples: samples})
	if err != nil {
		y.t.Fatal(err)
	}
	return a
}

func register(at time.Time, kwh float64) evcs.Sample {
	return evcs.Sample{At: at, Have: evcs.HasRegister, Register: *energy(kwh)}
}

func (y *yard) order(session string) *order.Order {
	y.t.Helper()
	o, err := y.db.Reader().Orders().OrderBySession(y.t.Context(), evcs.Only(y.id.Tenant), session)
	if err != nil {
		y.t.Fatal(err)
	}
	lines, err := y.db.Reader().Orders().Lines(y.t.Context(), evcs.Only(y.id.Tenant), o.ID)
	if err != nil {
		y.t.Fatal(err)
	}
	var sum evcs.Money
	for _, l := range lines {
		sum += l.Amount
	}
	if o.Status != order.Charging && sum != o.Amount {
		y.t.Errorf("the lines of %s are %s, the order %s", o.No, sum, o.Amount)
	}
	return o
}

func (y *yard) orders() int64 {
	y.t.Helper()
	p, err := y.db.Reader().Orders().OrderPage(y.t.Context(), evcs.Only(y.id.Tenant), order.Filter{}, evcs.PageRequest{Page: 1, Size: 100})
	if err != nil {
		y.t.Fatal(err)
	}
	return p.Total
}

func (y *yard) session(uid string) *order.Session {
	y.t.Helper()
	x, err := y.db.Reader().Orders().Session(y.t.Context(), evcs.Only(y.id.Tenant), uid)
	if err != nil {
		y.t.Fatal(err)
	}
	return x
}

// disconnect ends a connection as a protocol does.
func (y *yard) disconnect(s *socket) {
	if y.engine.Hub.Drop(s) {
		y.engine.Disconnected(y.t.Context(), s, "gone")
	}
}

func (y *yard) connect(answer func(device.Command) (device.Answer, error)) *socket {
	y.t.Helper()
	return y.join(&socket{id: y.id, answer: answer})
}

// join connects the charger by a socket.
func (y *yard) join(s *socket) *socket {
	y.t.Helper()
	if old := y.engine.Hub.Put(s); old != nil { // as a protocol does
		old.Close("replaced by a newer connection")
	}
	if err := y.engine.Connected(y.t.Context(), s); err != nil {
		y.t.Fatal(err)
	}
	for no := 1; no <= 2; no++ {
		if err := y.engine.StatusReported(y.t.Context(), device.Status{From: y.from("StatusNotification"), Connector: no, State: device.Idle}); err != nil {
			y.t.Fatal(err)
		}
	}
	return s
}

func code(err error) evcs.Code {
	c, _, _ := evcs.Classify(err)
	if err == nil {
		return 0
	}
	return c
}

func each(t *testing.T, test func(*yard)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(newYard(t, db, true)) })
}

func TestSessionIsBilledOnce(t *testing.T) {
	each(t, func(y *yard) {
		a := y.start("k1", began, energy(100))
		y.clock.add(30 * time.Minute)
		y.meter(a.Transaction, register(began.Add(30*time.Minute), 110))
		y.clock.add(30 * time.Minute)
		stop := device.Stopped{Transaction: a.Transaction, Register: energy(120), At: began.Add(time.Hour), Reason: order.StopLocal}
		first := y.stop(stop)
		if first.Energy != *energy(20) || first.Amount != 3000 || first.Orphan {
			t := y.t
			t.Fatalf("settled %+v", first)
		}
		y.restart() // evcsd too
		for range 5 {
			stop.Reason = "" // twice, with and without a reason
			if again := y.stop(stop); again != first {
				y.t.Errorf("the repeat says %+v, not %+v", again, first)
			}
		}
		o := y.order(a.Session)
		if o.Status != order.ToPay || o.Amount != 3000 || o.Held || o.Anomalies.String() != "GAP" {
			y.t.Errorf("order %+v", o)
		}
		if again := y.start("k1", began, energy(100)); again.Transaction != a.Transaction || again.OrderNo != a.OrderNo {
			y.t.Errorf("the start's repeat says %+v, not %+v", again, a)
		}
		other := stop
		other.Register = energy(900)
		if late := y.stop(other); late.Amount != 3000 {
			y.t.Errorf("a second stop changed the amount: %+v", late)
		}
		if o = y.order(a.Session); !o.Anomalies.Has(order.LateStop) || o.Amount != 3000 || o.Held {
			y.t.Errorf("after the second stop: %+v", o)
		}
	})
}

func TestConcurrentStartsAreOne(t *testing.T) {
	each(t, func(y *yard) {
		var wg sync.WaitGroup
		answers := make([]device.StartAnswer, 8)
		other := y.engine
		y.restart() // two nodes
		engines := []*charging.Engine{other, y.engine}
		for i := range answers {
			wg.Go(func() {
				for { // a node that was too slow every time keeps silent; the charger tries again
					a, err := engines[i%2].Started(y.t.Context(), device.Started{From: y.from("StartTransaction"), Connector: 1, Key: "k", Register: energy(1), At: began})
					if err == nil {
						answers[i] = a
						return
					}
					if !errors.Is(err, evcs.ErrStale) {
						y.t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		for _, a := range answers {
			if a.Transaction == 0 || a.Transaction != answers[0].Transaction || a.OrderNo != answers[0].OrderNo {
				y.t.Errorf("%+v is not %+v", a, answers[0])
			}
		}
		if n := y.orders(); n != 1 {
			y.t.Errorf("%d orders", n)
		}
	})
}

func TestConnectionAndStatusEndNothing(t *testing.T) {
	each(t, func(y *yard) {
		s := y.connect(nil)
		a := y.start("k1", began, energy(5))
		y.disconnect(s)
		if err := y.engine.Booted(y.t.Context(), device.Boot{From: y.from("BootNotification"), Firmware: "1"}); err != nil {
			y.t.Fatal(err)
		}
		if err := y.engine.StatusReported(y.t.Context(), device.Status{From: y.from("StatusNotification"), Connector: 1, State: device.Idle}); err != nil {
			y.t.Fatal(err)
		}
		if o := y.order(a.Session); o.Status != order.Charging {
			y.t.Errorf("order is %v", o.Status)
		}
		y.clock.add(31 * time.Minute)
		if err := y.engine.Round(y.t.Context()); err != nil {
			y.t.Fatal(err)
		}
		if o := y.order(a.Session); o.Status == order.Charging || !o.Estimated || !o.Anomalies.Has(order.Estimated) {
			y.t.Errorf("after half an hour of idling: %+v", o)
		}
		y.stop(device.Stopped{Transaction: a.Transaction, Register: energy(6), At: began.Add(time.Minute)})
		if x := y.session(a.Session); x.DeviceEnergy == nil || *x.DeviceEnergy != *energy(1) {
			y.t.Errorf("the device's own word is lost: %+v", x)
		}
	})
}

func TestNewTransactionEndsTheOld(t *testing.T) {
	each(t, func(y *yard) {
		a := y.start("k1", began, energy(0))
		y.clock.add(10 * time.Minute)
		y.meter(a.Transaction, register(began.Add(10*time.Minute), 2))
		y.clock.add(time.Minute)
		b := y.start("k2", y.clock.Now(), energy(2))
		if o := y.order(a.Session); o.Status == order.Charging || !o.Estimated || o.Energy != *energy(2) {
			y.t.Errorf("the old one: %+v", o)
		}
		if o := y.order(b.Session); o.Status != order.Charging {
			y.t.Errorf("the new one: %+v", o)
		}
	})
}

func TestHistoryIsBilledBesideTheRunning(t *testing.T) {
	each(t, func(y *yard) {
		y.clock.add(2 * time.Hour)
		running := y.start("new", y.clock.Now(), energy(50))
		old := y.start("old", began, energy(10))
		if y.orders() != 1 || old.Transaction == running.Transaction {
			y.t.Fatal("history opened an order")
		}
		if again := y.start("old", began, energy(10)); again.Transaction != old.Transaction {
			y.t.Errorf("repeat %+v", again)
		}
		a := y.stop(device.Stopped{Transaction: old.Transaction, Register: energy(20), At: began.Add(time.Hour)})
		if a.Orphan || a.Amount != 1500 || a.Energy != *energy(10) {
			y.t.Errorf("history was settled as %+v", a)
		}
		if o := y.order(running.Session); o.Status != order.Charging {
			y.t.Errorf("the running one: %v", o.Status)
		}
	})
}

func TestStopBeforeStart(t *testing.T) {
	each(t, func(y *yard) {
		y.clock.add(2 * time.Hour)
		m := device.Stopped{Connector: 1, Transaction: -1, Register: energy(20), At: began.Add(time.Hour), IDTag: "T"}
		first := y.stop(m)
		if !first.Orphan {
			y.t.Fatalf("%+v", first)
		}
		if again := y.stop(m); again != first {
			y.t.Errorf("repeat %+v is not %+v", again, first)
		}
		a, err := y.engine.Started(y.t.Context(), device.Started{
			From: y.from("StartTransaction"), Connector: 1, Key: "k", IDTag: "T", Register: energy(10), At: began, Offline: true,
		})
		if err != nil {
			y.t.Fatal(err)
		}
		o := y.order(a.Session)
		if o.Status != order.ToPay || o.Energy != *energy(10) || !o.Anomalies.Has(order.IDTagRefused) {
			y.t.Errorf("%+v", o)
		}
		if again := y.stop(m); again.OrderNo != o.No {
			y.t.Errorf("the stop once more: %+v", again)
		}
	})
}

func TestMadeUpStopEndsNobody(t *testing.T) {
	each(t, func(y *yard) {
		a := y.start("k", began, energy(10))
		y.clock.add(time.Hour)
		if got := y.stop(device.Stopped{Connector: 1, Transaction: 99999, Register: energy(20), At: y.clock.Now()}); !got.Orphan {
			y.t.Errorf("%+v", got)
		}
		if o := y.order(a.Session); o.Status != order.Charging {
			y.t.Errorf("a made-up stop ended the session: %v", o.Status)
		}
		got := y.stop(device.Stopped{Connector: 1, Transaction: -1, Register: energy(21), At: y.clock.Now()})
		if got.Orphan || got.Session != a.Session {
			y.t.Errorf("the only session was not matched: %+v", got)
		}
	})
}

func TestMetersThatCannotBe(t *testing.T) {
	for name, c := range map[string]struct {
		start   *evcs.Energy
		samples []float64
		stop    *evcs.Energy
		energy  *evcs.Energy
		held    bool
	}{
		"begin 0, then the lifetime register": {energy(0), []float64{910, 910.08}, energy(910.08), energy(0.08), true},
		"relative readings between lifetimes": {energy(4076), []float64{1, 2}, energy(4079), energy(3), false},
		"a falling register":                  {energy(100), []float64{105, 40}, energy(106), energy(6), true},
		"a stop below the readings":           {energy(100), []float64{105}, energy(20), energy(5), true},
		"8 MWh":                               {energy(0), nil, energy(8000), energy(8000), true},
		"nothing":                             {energy(100), nil, energy(100), energy(0), false},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(y *yard) {
				a := y.start("k", began, c.start)
				for _, v := range c.samples {
					y.clock.add(5 * time.Minute)
					y.meter(a.Transaction, register(y.clock.Now(), v))
				}
				y.clock.add(5 * time.Minute)
				got := y.stop(device.Stopped{Transaction: a.Transaction, Register: c.stop, At: y.clock.Now()})
				o := y.order(a.Session)
				if got.Energy != *c.energy || o.Held != c.held {
					y.t.Errorf("%s kWh, held %v %v", got.Energy, o.Held, o.Anomalies)
				}
				if *c.energy == 0 && o.Status != order.Paid {
					y.t.Errorf("nothing to pay, yet %v", o.Status)
				}
				if o.Held {
					if o, err := y.engine.ToPay(y.t.Context(), y.actor, o); err != nil || o.Status != order.ToPay {
						y.t.Errorf("release: %v %v", o, err)
					}
				}
			})
		})
	}
}

func TestReadingsComeOnce(t *testing.T) {
	each(t, func(y *yard) {
		a := y.start("k", began, energy(10))
		y.clock.add(20 * time.Minute)
		at := func(m int) time.Time { return began.Add(time.Duration(m) * time.Minute) }
		if got := y.meter(a.Transaction, register(at(5), 11), register(at(10), 12)); got.Accepted != 2 {
			y.t.Errorf("%+v", got)
		}
		if got := y.meter(a.Transaction, register(at(5), 11), register(at(10), 12), register(at(7), 11.5)); got.Accepted != 1 || got.Ignored != 2 {
			y.t.Errorf("%+v", got)
		}
		if got := y.meter(0, register(time.Date(1970, 1, 1, 0, 0, 9, 0, time.UTC), 0)); got.Accepted != 0 {
			y.t.Errorf("1970 was taken: %+v", got)
		}
		y.stop(device.Stopped{Transaction: a.Transaction, Register: energy(13), At: at(20)})
		if got := y.meter(a.Transaction, register(at(25), 14)); got.Accepted != 1 {
			y.t.Errorf("a reading after the stop is not kept: %+v", got)
		}
		if o := y.order(a.Session); o.Energy != *energy(3) || o.Held {
			y.t.Errorf("%+v", o)
		}
		if x := y.session(a.Session); x.Samples != 4 || x.Energy != *energy(3) {
			y.t.Errorf("%d samples, %s", x.Samples, x.Energy)
		}
	})
}

func TestAbsurdClockIsHeld(t *testing.T) {
	each(t, func(y *yard) {
		a := y.start("k", time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC), energy(10))
		y.clock.add(time.Hour)
		y.stop(device.Stopped{Transaction: a.Transaction, Register: energy(11), At: y.clock.Now()})
		if o := y.order(a.Session); !o.Held || !o.Anomalies.Has(order.ClockAbsurd) || !o.StartedAt.Equal(began) {
			y.t.Errorf("%+v", o)
		}
	})
}

func TestNoTariffIsHeldAndRepriced(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		y := newYard(t, db, false)
		a := y.start("k", began, energy(10))
		y.clock.add(time.Hour)
		got := y.stop(device.Stopped{Transaction: a.Transaction, Register: energy(20), At: y.clock.Now()})
		o := y.order(a.Session)
		if !o.Held || o.Status != order.Ended || got.Amount != 0 {
			t.Fatalf("%+v", o)
		}
		if _, err := y.engine.ToPay(t.Context(), y.actor, o); code(err) != evcs.CodeOrderTransition {
			t.Errorf("energy was given away: %v", err)
		}
	})
}

func TestOperatorStart(t *testing.T) {
	each(t, func(y *yard) {
		ask := charging.StartRequest{Tenant: y.id.Tenant, Charger: y.id.Charger, Connector: 1, Wait: 5 * time.Second, User: 9}
		if _, err := y.engine.Start(y.t.Context(), y.actor, ask); code(err) != evcs.CodeChargerOffline {
			y.t.Errorf("offline: %v", err)
		}
		var tag string
		s := y.connect(nil)
		s.answer = func(c device.Command) (device.Answer, error) {
			if c.Kind == device.KindStart {
				tag = c.IDTag
				_, err := y.engine.Started(y.t.Context(), device.Started{From: y.from("StartTransaction"), Connector: 1, Key: "k", IDTag: c.IDTag, Register: energy(1), At: y.clock.Now()})
				if err != nil {
					y.t.Error(err)
				}
			}
			return device.Answer{Accepted: true}, nil
		}
		res, err := y.engine.Start(y.t.Context(), y.actor, ask)
		if err != nil || res.Order.StartState != order.Started || res.Command.State != command.Completed || tag == "" {
			y.t.Fatalf("%+v %v", res, err)
		}
		again := ask
		again.Session = res.Order.Session
		if dup, err := y.engine.Start(y.t.Context(), y.actor, again); err != nil || !dup.Duplicate || dup.Order.ID != res.Order.ID {
			y.t.Errorf("repeat: %+v %v", dup, err)
		}
		again.Connector = 2
		if _, err := y.engine.Start(y.t.Context(), y.actor, again); code(err) != evcs.CodeSessionConflict {
			y.t.Errorf("other connector: %v", err)
		}
		if _, err := y.engine.Start(y.t.Context(), y.actor, ask); code(err) != evcs.CodeConnectorBusy {
			y.t.Errorf("busy: %v", err)
		}
		s.answer = func(c device.Command) (device.Answer, error) {
			_, err := y.engine.Stopped(y.t.Context(), device.Stopped{From: y.from("StopTransaction"), Transaction: c.Transaction, Register: energy(3), At: y.clock.Now()})
			return device.Answer{Accepted: true}, err
		}
		y.clock.add(time.Hour)
		done, err := y.engine.Stop(y.t.Context(), y.actor, res.Order, "bye", 5*time.Second)
		if err != nil || done.Order.Status != order.ToPay || done.Order.Amount != 300 || done.Order.StopReason != order.StopRemote {
			y.t.Fatalf("%+v %v", done.Order, err)
		}
		if dup, err := y.engine.Stop(y.t.Context(), y.actor, res.Order, "bye", time.Second); err != nil || !dup.Duplicate {
			y.t.Errorf("stop again: %+v %v", dup, err)
		}
		y.engine.Drain()
	})
}

func TestRefusedStartLeavesACancelledOrder(t *testing.T) {
	each(t, func(y *yard) {
		y.connect(func(device.Command) (device.Answer, error) { return device.Answer{Reason: "Rejected"}, nil })
		ask := charging.StartRequest{Tenant: y.id.Tenant, Charger: y.id.Charger, Connector: 1, Wait: 5 * time.Second}
		res, err := y.engine.Start(y.t.Context(), y.actor, ask)
		c, data, _ := evcs.Classify(err)
		if c != evcs.CodeCommandRejected || data["orderStatus"] != order.Cancelled || data["reason"] != "Rejected" {
			y.t.Fatalf("%v %v", err, data)
		}
		o := y.order(res.Order.Session)
		if o.CancelReason != order.StartRejected || o.StartState != order.Failed {
			y.t.Errorf("%+v", o)
		}
		// the device begins nevertheless: it is told to stop, the order stays
		y.clock.add(time.Minute)
		late := device.Started{From: y.from("StartTransaction"), Connector: 1, Key: "late", IDTag: charging.RemoteTag(o.Session), Register: energy(1), At: y.clock.Now()}
		a, err := y.engine.Started(y.t.Context(), late)
		if err != nil || a.Tag != device.TagBlocked || a.Order != 0 {
			y.t.Fatalf("%+v %v", a, err)
		}
		if again, err := y.engine.Started(y.t.Context(), late); err != nil || again != a {
			y.t.Errorf("repeat %+v %v", again, err)
		}
		y.clock.add(time.Hour)
		stop := device.Stopped{Transaction: a.Transaction, Register: energy(2), At: y.clock.Now()}
		got := y.stop(stop)
		if !got.Cancelled || got.OrderNo != "" || y.stop(stop) != got {
			y.t.Errorf("%+v", got)
		}
		x := y.session(a.Session)
		if x.State != order.SessionOrphan || x.Energy != *energy(1) {
			y.t.Errorf("%+v", x)
		}
		made, err := y.engine.Adopt(y.t.Context(), y.actor, x, charging.Adoption{Reason: "it was charged"})
		if err != nil || !made.Held || made.Amount != 150 || !made.Anomalies.Has(order.OrphanAdopted) {
			y.t.Errorf("%+v %v", made, err)
		}
		if _, err := y.engine.Adopt(y.t.Context(), y.actor, x, charging.Adoption{}); code(err) != evcs.CodeSessionState {
			y.t.Errorf("adopted twice: %v", err)
		}
		y.engine.Drain()
	})
}

func TestSilentStartTimesOut(t *testing.T) {
	each(t, func(y *yard) {
		y.connect(nil) // says yes and never begins
		res, err := y.engine.Start(y.t.Context(), y.actor, charging.StartRequest{Tenant: y.id.Tenant, Charger: y.id.Charger, Connector: 2})
		if err != nil || res.Order.StartState != order.Starting {
			y.t.Fatalf("%+v %v", res, err)
		}
		y.engine.Drain()
		y.clock.add(2 * time.Minute)
		if err := y.engine.Round(y.t.Context()); err != nil {
			y.t.Fatal(err)
		}
		if o := y.order(res.Order.Session); o.Status != order.Cancelled || o.CancelReason != order.StartTimeout {
			y.t.Errorf("%+v", o)
		}
	})
}

func TestMissedStopIsAskedAgain(t *testing.T) {
	each(t, func(y *yard) {
		a := y.start("k", began, energy(1))
		o := y.order(a.Session)
		if _, err := y.engine.Stop(y.t.Context(), y.actor, o, "now", time.Second); code(err) != evcs.CodeChargerOffline {
			y.t.Fatal(err)
		}
		s := y.connect(nil)
		y.clock.add(11 * time.Second)
		if err := y.engine.Round(y.t.Context()); err != nil {
			y.t.Fatal(err)
		}
		y.engine.Drain()
		if len(s.asked) != 1 || s.asked[0].Kind != device.KindStop || s.asked[0].Transaction != a.Transaction {
			y.t.Errorf("asked %+v", s.asked)
		}
		if o := y.order(a.Session); o.Status != order.Charging || o.StopRequestedAt.IsZero() {
			y.t.Errorf("%+v", o)
		}
	})
}

func TestUnknownConnectorAndPresence(t *testing.T) {
	each(t, func(y *yard) {
		first := y.connect(nil)
		second := y.connect(nil)
		if !first.closed || second.closed {
			y.t.Error("the newer connection does not win")
		}
		err := y.engine.StatusReported(y.t.Context(), device.Status{From: y.from("StatusNotification"), Connector: 9, State: device.Idle})
		if code(err) != evcs.CodeConnectorNotFound {
			y.t.Error(err)
		}
		y.clock.add(6 * time.Minute)
		if err := y.engine.Round(y.t.Context()); err != nil {
			y.t.Fatal(err)
		}
		c, err := y.db.Reader().Stations().Charger(y.t.Context(), evcs.Only(y.id.Tenant), y.id.Charger)
		if err != nil || c.Status != station.Offline {
			y.t.Errorf("%+v %v", c, err)
		}
		if err := y.engine.StatusReported(y.t.Context(), device.Status{From: y.from("StatusNotification"), Connector: 1, State: device.Idle}); err != nil {
			y.t.Fatal(err)
		}
		if c, err = y.db.Reader().Stations().Charger(y.t.Context(), evcs.Only(y.id.Tenant), y.id.Charger); err != nil || c.Status != station.Idle {
			y.t.Errorf("%v %v", c.Status, err)
		}
	})
}
