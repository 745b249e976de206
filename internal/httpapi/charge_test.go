package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// forecourt is a real store and engine behind the operations of charging: the
// charger 1 with two connectors, the simulated charger 2, and the charger 3 of
// another tenant.
type forecourt struct {
	t      *testing.T
	h      http.Handler
	db     *store.DB
	engine *charging.Engine
	clock  *moving
	plug   *plugged
	first  evcs.ChargerID
	words  []string // @1 is the first charger's id, @P the plan's
}

type moving struct {
	mu sync.Mutex
	at time.Time
}

func (m *moving) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *moving) add(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = m.at.Add(d)
}

// plugged is a charger on the wire.
type plugged struct {
	device.Session
	id     device.Identity
	answer func(device.Command) (device.Answer, error)
}

func (p *plugged) Identity() device.Identity { return p.id }
func (p *plugged) Info() device.Info         { return device.Info{Protocol: device.OCPP16} }
func (p *plugged) Close(string)              {}
func (p *plugged) Send(_ context.Context, c device.Command) (device.Answer, error) {
	return p.answer(c)
}

func eachForecourt(t *testing.T, test func(*forecourt)) {
	t.Helper()
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(newForecourt(t, db)) })
}

func newForecourt(t *testing.T, db *store.DB) *forecourt {
	t.Helper()
	f := &forecourt{t: t, db: db, clock: &moving{at: time.Date(2026, 2, 10, 2, 0, 0, 0, time.UTC)}}
	if err := db.Transact(t.Context(), func(tx *store.Tx) error { return f.build(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
	urgent := func(ctx context.Context, fn func(charging.Tx) error) error {
		return db.Transact(ctx, store.Afresh(func(tx *store.Tx) error { return fn(tx) }))
	}
	f.engine = charging.New(charging.Config{Urgent: urgent, Patient: urgent, Rolls: db.Rolls(), Tenants: db.Reader().Tenants(), Hub: device.NewHub(), Clock: f.clock, Node: "n"})
	t.Cleanup(f.engine.Drain)
	allow := func(list ...evcs.Permission) map[evcs.Permission]bool {
		m := make(map[evcs.Permission]bool)
		for _, p := range list {
			m[p] = true
		}
		return m
	}
	all := allow("order:control", "charger:charge", "order:list", "order:query", "order:manage", "order:adjust", "session:query", "session:manage",
		"charger:query", "charger:control", "protocol:event", "protocol:debug")
	read := db.Reader()
	orders := Orders{Clock: f.clock, Read: read.Orders(), Chargers: read.Stations(), Engine: f.engine}
	s := New(Config{
		Clock: f.clock, Log: slog.New(slog.DiscardHandler), Tree: read.Tenants(), Replays: db.Idempotency(f.clock, "n"),
		Guard: guards{
			"all": {User: 1, Name: "anna", Tenant: 1, Zone: time.UTC, Permissions: all}, "other": {User: 2, Name: "bo", Tenant: 2, Zone: time.UTC, Permissions: all},
			"control": {User: 3, Tenant: 1, Zone: time.UTC, Permissions: allow("order:control")},
			"charge":  {User: 4, Tenant: 1, Zone: time.UTC, Permissions: allow("charger:charge")},
			"reader":  {User: 5, Tenant: 1, Zone: time.UTC, Permissions: allow("order:query")},
		},
		Parts: []Part{
			Dashboard{Clock: f.clock, Read: store.NewReports(f.db)},
			orders,
			Sessions{Read: read.Orders(), Orders: orders, Chargers: read.Stations(), Engine: f.engine},
			Commands{Read: read.Commands(), Chargers: read.Stations(), Engine: f.engine},
			Debug{Clock: f.clock, Read: read.Orders(), Chargers: read.Stations(), Frames: read.Frames(), Engine: f.engine},
		},
	})
	f.h = checked(t, s)
	return f
}

func (f *forecourt) build(ctx context.Context, tx *store.Tx) error {
	at := f.clock.Now()
	for _, t := range []*tenant.Tenant{
		{Code: "A", Name: "A", Type: tenant.Platform, Enabled: true, Created: at, Updated: at},
		{Code: "B", Name: "B", Type: tenant.Platform + 1, Parent: 1, Enabled: true, Created: at, Updated: at, ContactPerson: "x", ContactPhone: "1"},
	} {
		if err := tx.Tenants().Insert(ctx, t); err != nil {
			return err
		}
	}
	for i, owner := range []evcs.TenantID{1, 1, 2} {
		code := fmt.Sprint("C", i+1)
		s := &station.Station{Tenant: owner, Code: code, Name: code, Address: "x", Enabled: true, Type: 1, Created: at, Updated: at}
		if err := tx.Stations().InsertStation(ctx, s); err != nil {
			return err
		}
		c := &station.Charger{
			Tenant: owner, Station: s.ID, Code: code, Name: code, DeviceID: code, Type: 1, RatedPower: 60_000, Enabled: true, Created: at, Updated: at,
			Protocol: device.OCPP16, Simulated: i == 1,
		}
		if err := tx.Stations().InsertCharger(ctx, c); err != nil {
			return err
		}
		if i == 0 {
			f.first, f.words = c.ID, nil
		}
		f.words = append(f.words, fmt.Sprint("@", i+1), fmt.Sprint(c.ID))
		for no := 1; no <= 2; no++ {
			err := tx.Stations().InsertConnector(ctx, &station.Connector{Charger: c.ID, No: no, Tenant: owner, Station: s.ID, Enabled: true, Updated: at})
			if err != nil {
				return err
			}
		}
	}
	p := &tariff.Plan{
		Tenant: 1, Code: "P", Name: "P", Enabled: true, Default: true, Created: at, Updated: at, Revision: 1,
		Segments: []tariff.Segment{{From: 0, To: 1440, Kind: tariff.Flat, EnergyPrice: 100_000, ServicePrice: 50_000}},
	}
	if err := tx.Tariffs().InsertPlan(ctx, p); err != nil {
		return err
	}
	f.words = append(f.words, "@P", fmt.Sprint(p.ID), "@9", "99")
	frozen := &tariff.Snapshot{Tenant: 1, Plan: p.ID, PlanCode: "P", PlanName: "P", Revision: 1, Segments: p.Segments, Created: at}
	if err := tx.Tariffs().Freeze(ctx, frozen); err != nil {
		return err
	}
	p.Snapshot = frozen.ID
	return tx.Tariffs().UpdatePlan(ctx, evcs.Only(1), p)
}

func (f *forecourt) from() device.From {
	return device.From{Identity: f.plug.id, Protocol: device.OCPP16, Received: f.clock.Now(), Type: "x", Raw: []byte("{}")}
}

// connect puts charger 1 on the wire; it does what it is asked.
func (f *forecourt) connect() {
	f.t.Helper()
	f.plug = &plugged{id: device.Identity{Tenant: 1, Charger: f.first, DeviceID: "C1"}, answer: f.obey}
	f.engine.Hub.Put(f.plug) // as a protocol does
	if err := f.engine.Connected(f.t.Context(), f.plug); err != nil {
		f.t.Fatal(err)
	}
	for no := 1; no <= 2; no++ {
		if err := f.engine.StatusReported(f.t.Context(), device.Status{From: f.from(), Connector: no, State: device.Idle}); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *forecourt) obey(c device.Command) (device.Answer, error) {
	var err error
	switch c.Kind {
	case device.KindStart:
		_, err = f.engine.Started(f.t.Context(), device.Started{
			From: f.from(), Connector: c.Connector, Key: fmt.Sprint(c.ID), IDTag: c.IDTag, Register: new(evcs.Energy), At: f.clock.Now(),
		})
	case device.KindStop:
		e := 10 * evcs.KWh
		_, err = f.engine.Stopped(f.t.Context(), device.Stopped{From: f.from(), Transaction: c.Transaction, Register: &e, At: f.clock.Now()})
	}
	return device.Answer{Accepted: true}, err
}

// do sends a request as somebody and wants a code; it returns the data.
func (f *forecourt) do(who string, want int, method, target, body string) map[string]any {
	f.t.Helper()
	words := strings.NewReplacer(f.words...)
	target, body = words.Replace(target), words.Replace(body)
	w := call(f.t, f.h, method, target, body, "Authorization", "Bearer "+who)
	var got struct {
		Code int `json:"code"`
		Data any `json:"data"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got.Code != want {
		f.t.Errorf("%s %s %s as %s: %s, want %d", method, target, body, who, w.Body, want)
	}
	data, _ := got.Data.(map[string]any)
	if list, ok := got.Data.([]any); ok {
		data = map[string]any{"list": list}
	}
	if data == nil {
		data = make(map[string]any)
	}
	return data
}

func TestStartAndStopOverTheWire(t *testing.T) {
	eachForecourt(t, func(f *forecourt) {
		const start, stop = "/api/order/start", "/api/order/stop"
		f.do("reader", 9403, "POST", start, `{"chargerId":@1,"connectorNo":1}`)
		f.do("reader", 9403, "POST", "/api/charger/@1/connectors/1/start", `{}`)
		f.do("control", 2004, "POST", start, `{"chargerId":@1,"connectorNo":1}`)
		f.do("control", 9403, "POST", "/api/charger/@1/connectors/1/start", `{}`)
		f.do("charge", 2004, "POST", "/api/charger/@1/connectors/1/start", `{}`)
		f.connect()
		f.do("all", 9400, "POST", start, `{"chargerId":@1}`)
		f.do("all", 9400, "POST", start, `{"chargerId":@1,"connectorNo":1,"stationId":2}`)
		f.do("all", 9400, "POST", start, `{"chargerId":@1,"connectorNo":1,"initialEnergy":1}`)
		f.do("all", 2002, "POST", start, `{"chargerId":@99,"connectorNo":1}`)
		f.do("all", 2005, "POST", start, `{"chargerId":@1,"connectorNo":9}`)
		f.do("all", 2017, "POST", start, `{"chargerId":@1,"connectorNo":1,"idTag":"WHO"}`)
		f.do("other", 2002, "POST", start, `{"chargerId":@1,"connectorNo":1}`)

		o := f.do("charge", 200, "POST", start, `{"chargerId":@1,"connectorNo":1,"userId":7,"sessionId":"mine-1"}`)
		if o["startState"] != "STARTED" || o["status"] != 0.0 || o["duplicate"] != false || o["source"] != "CLIENT" {
			f.t.Fatalf("%v", o)
		}
		if again := f.do("control", 200, "POST", start, `{"chargerId":@1,"connectorNo":1,"sessionId":"mine-1"}`); again["duplicate"] != true || again["orderId"] != o["orderId"] {
			f.t.Errorf("%v", again)
		}
		f.do("all", 3006, "POST", start, `{"chargerId":@1,"connectorNo":2,"sessionId":"mine-1"}`)
		f.do("all", 2006, "POST", start, `{"chargerId":@1,"connectorNo":1}`)
		f.do("all", 2003, "POST", "/api/charger/@1/reset", `{}`)
		f.do("all", 9400, "POST", stop, `{"sessionId":"mine-1","energy":10}`)
		f.do("all", 9400, "POST", stop, `{}`)
		f.do("all", 3001, "POST", stop, `{"sessionId":"nobody"}`)
		f.do("all", 3001, "POST", stop, `{"orderId":99}`)
		f.do("other", 3001, "POST", stop, `{"sessionId":"mine-1"}`)
		f.clock.add(30 * time.Minute)
		done := f.do("charge", 200, "POST", stop, `{"sessionId":"mine-1","reason":"bye"}`)
		if done["status"] != 10.0 || done["amount"] != 15.0 || done["duplicate"] != false {
			f.t.Fatalf("%v", done)
		}
		if again := f.do("all", 200, "POST", stop, `{"sessionId":"mine-1"}`); again["duplicate"] != true || again["amount"] != 15.0 {
			f.t.Errorf("%v", again)
		}
	})
}

func TestRefusalsOfTheDevice(t *testing.T) {
	eachForecourt(t, func(f *forecourt) {
		f.connect()
		f.plug.answer = func(device.Command) (device.Answer, error) { return device.Answer{Reason: "Rejected"}, nil }
		o := f.do("all", 2009, "POST", "/api/order/start", `{"chargerId":@1,"connectorNo":1,"sessionId":"no-1"}`)
		if o["orderStatus"] != 2.0 || o["orderNo"] == nil {
			f.t.Errorf("%v", o)
		}
		f.do("all", 3003, "POST", "/api/order/start", `{"chargerId":@1,"connectorNo":1,"sessionId":"no-1"}`)
		f.do("all", 3003, "POST", "/api/order/stop", `{"sessionId":"no-1"}`)
		f.do("all", 2009, "POST", "/api/charger/@1/reset", `{}`)
		f.plug.answer = func(device.Command) (device.Answer, error) { return device.Answer{}, context.DeadlineExceeded }
		f.do("all", 2010, "POST", "/api/order/start", `{"chargerId":@1,"connectorNo":1}`)
		f.do("all", 2010, "POST", "/api/charger/@1/connectors/1/unlock", `{}`)
		f.plug.answer = func(device.Command) (device.Answer, error) { return device.Answer{}, device.ErrUnsupported }
		if data := f.do("all", 2014, "POST", "/api/charger/@1/command", `{"type":"READ_DATA","wait":5}`); data["type"] != "READ_DATA" || data["protocol"] != "OCPP16" {
			f.t.Errorf("%v", data)
		}
		f.do("all", 2005, "POST", "/api/charger/@1/connectors/9/unlock", `{}`)
		f.do("all", 9400, "POST", "/api/charger/@1/command", `{"type":"START"}`)
		f.do("all", 2004, "POST", "/api/charger/@2/reset", `{}`)
		f.do("other", 2002, "POST", "/api/charger/@1/reset", `{}`)

		f.plug.answer = f.obey
		c := f.do("all", 200, "POST", "/api/charger/@1/command", `{"type":"TRIGGER","params":{"message":"Heartbeat"},"wait":5}`)
		if c["state"] != "ACCEPTED" {
			f.t.Errorf("%v", c)
		}
		target := fmt.Sprintf("/api/command/%v", c["commandId"])
		f.do("all", 200, "GET", target+"?wait=1", "")
		f.do("all", 2013, "POST", target+"/cancel", "")
		f.do("all", 2008, "GET", "/api/command/999", "")
		f.do("other", 2008, "GET", target, "")
		f.do("other", 2008, "POST", target+"/cancel", "")
		f.do("all", 200, "GET", "/api/command?state=TIMEOUT&type=START", "")
		f.do("all", 200, "GET", "/api/command/page?chargerId=@1", "")
	})
}

func TestOrdersOverTheWire(t *testing.T) {
	eachForecourt(t, func(f *forecourt) {
		f.do("charge", 9403, "POST", "/api/order/start", `{"chargerId":@1,"connectorNo":1,"source":"DEVICE"}`)
		o := f.do("all", 200, "POST", "/api/order/start", `{"chargerId":@1,"connectorNo":1,"source":"DEVICE","sessionId":"gw:1","initialEnergy":100,"userId":7}`)
		if o["source"] != "DEVICE" || o["startState"] != "STARTED" || o["command"] != nil {
			f.t.Fatalf("%v", o)
		}
		again := f.do("all", 200, "POST", "/api/order/start", `{"chargerId":@1,"connectorNo":1,"source":"DEVICE","sessionId":"gw:1"}`)
		if again["duplicate"] != true || again["orderId"] != o["orderId"] {
			f.t.Errorf("%v", again)
		}
		one := fmt.Sprintf("/api/order/%v", o["orderId"])
		f.do("all", 3004, "POST", one+"/to-pay", "")
		f.do("all", 3002, "POST", one+"/adjust", `{"discountAmount":1,"reason":"x"}`)
		f.do("all", 2004, "POST", one+"/cancel", `{"reason":"x"}`)
		f.clock.add(time.Hour)
		f.do("all", 9400, "POST", "/api/order/stop", `{"sessionId":"gw:1","source":"DEVICE"}`)
		done := f.do("all", 200, "POST", "/api/order/stop", `{"sessionId":"gw:1","source":"DEVICE","meterStop":110,"reason":"full"}`)
		if done["status"] != 10.0 || done["energy"] != 10.0 || done["amount"] != 15.0 || len(done["lines"].([]any)) == 0 { //nolint:forcetypeassert // a test
			f.t.Fatalf("%v", done)
		}
		if again := f.do("all", 200, "POST", "/api/order/stop", `{"sessionId":"gw:1","source":"DEVICE","meterStop":900}`); again["amount"] != 15.0 || again["duplicate"] != true {
			f.t.Errorf("%v", again)
		}
		for _, path := range []string{"", "/page", "/list"} {
			f.do("all", 200, "GET", "/api/order"+path+"?chargerId=@1&status=10", "")
		}
		f.do("all", 200, "GET", "/api/order/by-session?sessionId=gw:1", "")
		f.do("all", 3001, "GET", "/api/order/by-session?sessionId=gw:2", "")
		f.do("all", 200, "GET", one+"/timeline", "")
		f.do("all", 200, "GET", "/api/order/statistics/city", "")
		for _, try := range [][3]string{
			{"GET", "", ""},
			{"GET", "/timeline", ""},
			{"POST", "/to-pay", ""},
			{"POST", "/cancel", `{"reason":"x"}`},
			{"POST", "/adjust", `{"discountAmount":1,"reason":"x"}`},
			{"POST", "/reprice", `{"billingPlanId":@P,"reason":"x"}`},
		} {
			f.do("other", 3001, try[0], one+try[1], try[2])
			f.do("all", 3001, try[0], "/api/order/999"+try[1], try[2])
		}
		f.do("other", 3001, "GET", "/api/order/by-session?sessionId=gw:1", "")
		f.do("reader", 9403, "POST", one+"/to-pay", "")
		f.do("all", 3002, "POST", one+"/reprice", `{"billingPlanId":@P,"reason":"x"}`)
		f.do("all", 9400, "POST", one+"/cancel", "")
		f.do("all", 9400, "POST", one+"/adjust", `{"discountAmount":16,"reason":"x"}`)
		if cut := f.do("all", 200, "POST", one+"/adjust", `{"discountAmount":5,"reason":"sorry"}`); cut["amount"] != 10.0 || cut["discountAmount"] != 5.0 {
			f.t.Errorf("%v", cut)
		}
		if waived := f.do("all", 200, "POST", one+"/cancel", `{"reason":"waived"}`); waived["status"] != 2.0 || waived["cancelReason"] != "waived" {
			f.t.Errorf("%v", waived)
		}
		f.do("all", 3004, "POST", one+"/to-pay", "")
	})
}

func TestSessionsOverTheWire(t *testing.T) {
	eachForecourt(t, func(f *forecourt) {
		f.connect()
		o := f.do("all", 200, "POST", "/api/order/start", `{"chargerId":@1,"connectorNo":1}`)
		uid, _ := o["sessionId"].(string)
		var samples []evcs.Sample
		for i := range 100 {
			at := f.clock.Now().Add(time.Duration(i) * 10 * time.Second)
			power := evcs.Power(1000)
			if i == 37 {
				power = 59_000
			}
			samples = append(samples, evcs.Sample{At: at, Have: evcs.HasRegister | evcs.HasPower, Register: evcs.Energy(i) * evcs.KWh / 100, Power: power})
		}
		f.clock.add(17 * time.Minute)
		if _, err := f.engine.Metered(f.t.Context(), device.Metered{From: f.from(), Connector: 1, Session: uid, Samples: samples}); err != nil {
			f.t.Fatal(err)
		}
		curve := f.do("all", 200, "GET", "/api/session/"+uid+"/curve?maxPoints=10", "")
		points, _ := curve["points"].([]any)
		if curve["total"] != 100.0 || curve["downsampled"] != true || len(points) < 3 || len(points) > 10 {
			f.t.Fatalf("%d points of %v", len(points), curve["total"])
		}
		meter := func(i int) any { return points[i].(map[string]any)["meter"] } //nolint:forcetypeassert // a test
		peak := false
		for _, p := range points {
			peak = peak || p.(map[string]any)["power"] == 59.0 //nolint:forcetypeassert // a test
		}
		if meter(0) != 0.0 || meter(len(points)-1) != 0.99 || !peak {
			f.t.Errorf("first %v, last %v, the peak is kept: %v", meter(0), meter(len(points)-1), peak)
		}
		if all := f.do("all", 200, "GET", "/api/session/"+uid+"/curve", ""); all["downsampled"] != false {
			f.t.Errorf("%v", all)
		}
		f.do("all", 3015, "POST", "/api/session/"+uid+"/adopt", `{"reason":"x"}`)
		f.do("all", 3014, "POST", fmt.Sprintf("/api/order/%v/cancel", o["orderId"]), `{"reason":"x"}`)
		f.do("all", 9400, "POST", "/api/session/"+uid+"/close", `{"reason":"x","energy":1,"meterStop":1}`)
		if closed := f.do("all", 200, "POST", "/api/session/"+uid+"/close", `{"reason":"gone"}`); closed["estimated"] != true || closed["status"] != 10.0 {
			f.t.Errorf("%v", closed)
		}
		f.do("all", 3015, "POST", "/api/session/"+uid+"/close", `{"reason":"gone"}`)

		e := 5 * evcs.KWh
		a, err := f.engine.Stopped(f.t.Context(), device.Stopped{From: f.from(), Connector: 2, Transaction: 777, Energy: &e, At: f.clock.Now()})
		if err != nil || !a.Orphan {
			f.t.Fatalf("%+v %v", a, err)
		}
		f.do("other", 3005, "POST", "/api/session/"+a.Session+"/adopt", `{"reason":"x"}`)
		if made := f.do("all", 200, "POST", "/api/session/"+a.Session+"/adopt", `{"reason":"ours"}`); made["held"] != true || made["source"] != string(order.Adopted) {
			f.t.Errorf("%v", made)
		}
		for _, path := range []string{"/api/session?state=ENDED", "/api/session/page", "/api/session/list", "/api/session/" + uid, "/api/charger/@1/connectors/1/sessions"} {
			f.do("all", 200, "GET", path, "")
		}
		f.do("all", 3005, "GET", "/api/charger/@1/connectors/2/sessions/"+uid+"/curve", "")
		for _, path := range []string{"/api/session/nobody", "/api/session/nobody/curve"} {
			f.do("all", 3005, "GET", path, "")
		}
		for _, path := range []string{"/api/session/" + uid, "/api/session/" + uid + "/curve"} {
			f.do("other", 3005, "GET", path, "")
		}
		f.do("other", 2002, "GET", "/api/charger/@1/connectors/1/sessions", "")
	})
}

func TestSimulatedChargers(t *testing.T) {
	eachForecourt(t, func(f *forecourt) {
		const p = "/debug/protocol/"
		f.do("reader", 9403, "POST", p+"simulate/heartbeat", `{"chargerId":@2}`)
		f.do("all", 2012, "POST", p+"simulate/heartbeat", `{"chargerId":@1}`)
		f.do("all", 2002, "POST", p+"simulate/heartbeat", `{"chargerId":@9}`)
		f.do("other", 2002, "POST", p+"simulate/heartbeat", `{"chargerId":@2}`)
		beat := f.do("all", 200, "POST", p+"simulate/heartbeat", `{"chargerId":@2}`)
		if id, _ := beat["eventId"].(float64); id == 0 {
			f.t.Errorf("%v", beat)
		}
		f.do("all", 9400, "POST", p+"simulate/status", `{"chargerId":@2}`)
		f.do("all", 2003, "POST", p+"simulate/status", `{"chargerId":@2,"newStatus":1,"oldStatus":3}`)
		f.do("all", 2005, "POST", p+"simulate/status", `{"chargerId":@2,"newStatus":1,"connectorNo":7}`)
		if s := f.do("all", 200, "POST", p+"simulate/status", `{"chargerId":@2,"status":1,"oldStatus":0}`); s["oldStatus"] != 0.0 || s["newStatus"] != 1.0 {
			f.t.Errorf("%v", s)
		}
		f.do("all", 2012, "POST", p+"simulate/start", `{"chargerId":@1}`)
		o := f.do("all", 200, "POST", p+"simulate/start", `{"chargerId":@2,"userId":5,"sessionId":"sim:1"}`)
		if o["sessionId"] != "sim:1" || o["orderNo"] == "" {
			f.t.Fatalf("%v", o)
		}
		f.do("all", 200, "POST", p+"simulate/start", `{"chargerId":@2,"sessionId":"sim:1"}`)
		f.do("all", 2006, "POST", p+"simulate/start", `{"chargerId":@2,"sessionId":"sim:2"}`)
		f.do("all", 3006, "POST", p+"simulate/start", `{"chargerId":@2,"sessionId":"sim:1","connectorNo":2}`)
		f.do("all", 2005, "POST", p+"simulate/start", `{"chargerId":@2,"connectorNo":8}`)
		f.clock.add(time.Hour)
		f.do("all", 3001, "POST", p+"simulate/stop", `{"sessionId":"sim:9","energy":1}`)
		f.do("all", 9400, "POST", p+"simulate/stop", `{"energy":1}`)
		stop := fmt.Sprintf(`{"orderNo":%q,"energy":10,"duration":60}`, o["orderNo"])
		if done := f.do("all", 200, "POST", p+"simulate/stop", stop); done["amount"] != 15.0 || done["orderId"] != o["orderId"] {
			f.t.Errorf("%v", done)
		}
		for kind, n := range map[string]int{"HEARTBEAT": 1, "STATUS_CHANGE": 2, "CHARGING_START": 2, "CHARGING_STOP": 1, "ERROR": 2, "TELEMETRY": 0} {
			list, _ := f.do("all", 200, "GET", p+"events/history?limit=50&chargerId=@2&eventType="+kind, "")["list"].([]any)
			if len(list) != n {
				f.t.Errorf("%d of %s, want %d: %v", len(list), kind, n, list)
			}
		}
		f.do("other", 2002, "GET", p+"events/history?chargerId=@2", "")
		if stats := f.do("all", 200, "GET", p+"stats", ""); stats["totalEvents"] != stats["simulatedEvents"] || stats["totalEvents"] == 0.0 {
			f.t.Errorf("%v", stats)
		}
		if stats := f.do("other", 200, "GET", p+"stats", ""); stats["totalEvents"] != 0.0 {
			f.t.Errorf("%v", stats)
		}
	})
}

func TestDebugIsOffByDefault(t *testing.T) {
	t.Parallel()
	s := New(Config{Clock: fixedClock{time.Unix(0, 0)}, Log: slog.New(slog.DiscardHandler), Guard: guards{}, Parts: []Part{Commands{}}})
	w := call(t, s, "GET", "/debug/protocol/stats", "")
	if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), "9404") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
