package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

var noon = time.Date(2026, 2, 10, 12, 0, 0, 0, time.UTC)

// yard is the operations of stations, chargers and plans on a real store, each
// request and answer judged by the document: root (tenant 1), lee (2, below 1,
// with everything but the descendants) and zoe (3, his sister).
type yard struct {
	t      *testing.T
	db     *store.DB
	hub    *device.Hub
	server http.Handler
}

// someone has every permission but those named.
func someone(user evcs.UserID, of evcs.TenantID, without ...evcs.Permission) *evcs.Actor {
	a := &evcs.Actor{User: user, Name: "u", Tenant: of, Platform: of == 1, Zone: time.FixedZone("", 8*3600), Permissions: make(map[evcs.Permission]bool)}
	for _, p := range auth.Permissions() {
		a.Permissions[p.Code] = true
	}
	for _, p := range without {
		delete(a.Permissions, p)
	}
	return a
}

func newYard(t *testing.T, db *store.DB) *yard {
	t.Helper()
	clock, hub, read := fixedClock{noon}, device.NewHub(), db.Reader()
	actors := guards{
		"root": someone(1, 1), "lee": someone(2, 2, readDescendants, writeDescendants, "protocol:debug"), "zoe": someone(3, 3),
		"looker": someone(4, 1, writeDescendants), "proud": someone(5, 1, readDescendants, writeDescendants), "nobody": {User: 6, Tenant: 2, Zone: time.UTC},
	}
	stationTx := func(ctx context.Context, fn func(station.Tx) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}
	tariffTx := func(ctx context.Context, fn func(tariff.Tx) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}
	sealer, err := auth.NewSealer([32]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Transact(t.Context(), func(tx *store.Tx) error {
		if err := tx.Tenants().Insert(t.Context(), &tenant.Tenant{ID: 1, Code: "SYSTEM", Name: "root", Type: tenant.Platform, Enabled: true, Created: noon, Updated: noon}); err != nil {
			return err
		}
		for i, limits := range []tenant.Limits{{Stations: num(4), Chargers: num(4)}, {}} {
			if _, err := tenant.Create(t.Context(), tx.Tenants(), actors["root"], noon, tenant.New{
				Code: fmt.Sprintf("T%d", i+2), Name: fmt.Sprintf("Tenant %d", i+2), Parent: 1, Type: tenant.Operator, ContactPerson: "a", ContactPhone: "13800138000", Limits: limits,
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	registry := &station.Registry{Clock: clock, Transact: stationTx, Sealer: sealer}
	s := New(Config{
		Clock: clock, Log: slog.New(slog.DiscardHandler), Guard: actors, Tree: read.Tenants(), Replays: db.Idempotency(clock, "n"),
		Parts: []Part{
			Stations{Read: read.Stations(), Write: registry},
			Chargers{Clock: clock, Read: read.Stations(), Write: station.Fleet{Registry: registry}},
			DeviceKeys{Read: read.Stations(), Keys: station.Keys{Registry: registry}, Tags: station.Tags{Registry: registry}},
			Plans{Clock: clock, Read: read.Tariffs(), Write: tariff.Catalog{Transact: tariffTx, Clock: clock}, Places: read.Stations(), Tenants: read.Tenants()},
			Devices{Hub: hub, Chargers: read.Stations(), Rejections: read.Rejections(), Frames: read.Frames(), Tree: read.Tenants()},
		},
	})
	return &yard{t, db, hub, checked(t, s)}
}

func num(n int64) *int64 { return &n }

// heard is an answer.
type heard struct {
	Code    int
	Message string
	Data    any
	text    string
}

func (y *yard) call(who, method, path, body string, headers ...string) heard {
	y.t.Helper()
	r := httptest.NewRequestWithContext(y.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+who)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	y.server.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Body)
	if err != nil {
		y.t.Fatal(err)
	}
	a := heard{text: string(text)}
	if err := json.Unmarshal(text, &a); err != nil {
		y.t.Fatalf("%s %s: %q: %v", method, path, text, err)
	}
	return a
}

// want fails the test unless the answer has the code, and returns its data.
func (y *yard) want(code int, who, method, path, body string, headers ...string) map[string]any {
	y.t.Helper()
	a := y.call(who, method, path, body, headers...)
	if a.Code != code {
		y.t.Errorf("%s: %s %s: %s; want %d", who, method, path, a.text, code)
	}
	fields, _ := a.Data.(map[string]any)
	return fields
}

// list are the values of a field in a list or page.
func (y *yard) list(who, path, field string) []any {
	y.t.Helper()
	a := y.call(who, http.MethodGet, path, "")
	rows, ok := a.Data.([]any)
	if page, isPage := a.Data.(map[string]any); isPage {
		rows, ok = page["records"].([]any)
	}
	if a.Code != 200 || !ok {
		y.t.Errorf("%s: %s", path, a.text)
	}
	values := []any{}
	for _, row := range rows {
		fields, _ := row.(map[string]any)
		values = append(values, fields[field])
	}
	return values
}

func (y *yard) same(what string, want, got any) {
	y.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		y.t.Errorf("%s: %s", what, diff)
	}
}

// facts fails the test unless data holds these values.
func (y *yard) facts(data map[string]any, want map[string]any) {
	y.t.Helper()
	for name, value := range want {
		if diff := cmp.Diff(value, data[name]); diff != "" {
			y.t.Errorf("%s: %s", name, diff)
		}
	}
}

const (
	flatDay    = `"segments":[{"startTime":"00:00","endTime":"24:00","periodKind":"FLAT","energyPrice":1,"serviceFee":0.5}]`
	aStation   = `{"stationCode":%q,"stationName":"One","address":"Road 1"}`
	aCharger   = `{"stationId":1,"chargerCode":%q,"chargerName":"N","chargerType":1,"ratedPower":60,"gunCount":2}`
	aPlan      = `{"code":%q,"name":"P",` + flatDay + `}`
	everyScope = "?tenantScope=SELF_AND_DESCENDANTS"
	theCharger = "/api/charger/10001"
)

// stock gives lee a station, a charger with two connectors and a plan.
func (y *yard) stock() {
	y.t.Helper()
	y.want(200, "lee", "POST", "/api/station", fmt.Sprintf(aStation, "S1"))
	y.want(200, "lee", "POST", "/api/charger", fmt.Sprintf(aCharger, "C1"))
	y.want(200, "lee", "POST", "/api/billing/plan", fmt.Sprintf(aPlan, "P1"))
}

// charge puts a running order on the second connector of charger 10001.
func (y *yard) charge() {
	y.t.Helper()
	ctx := y.t.Context()
	err := y.db.Transact(ctx, func(tx *store.Tx) error {
		o := &order.Order{
			Tenant: 2, No: "ORD-1", Station: 1, Charger: 10001, Connector: 2, Status: order.Charging, StartState: order.Started, Source: order.FromClient,
			Plan: 1, Snapshot: 1, Session: "SES-1", CreatedAt: noon, UpdatedAt: noon, StartedAt: noon,
		}
		if err := tx.Orders().InsertOrder(ctx, o); err != nil {
			return err
		}
		u := &order.Session{
			UID: "SES-1", Tenant: 2, Order: o.ID, Station: 1, Charger: 10001, Connector: 2, User: 77, Protocol: "OCPP16", State: order.SessionActive,
			StartedAt: noon, ReceivedStartAt: noon, Energy: 12_345, Seconds: 61, CreatedAt: noon, UpdatedAt: noon,
		}
		if err := tx.Orders().InsertSession(ctx, u); err != nil {
			return err
		}
		scope := evcs.Only(2)
		connectors, err := tx.Stations().Connectors(ctx, scope, 10001)
		if err != nil {
			return err
		}
		connectors[1].SessionID = u.ID
		connectors[1].Refresh(true)
		if err := tx.Stations().UpdateConnector(ctx, scope, connectors[1]); err != nil {
			return err
		}
		c, err := tx.Stations().Charger(ctx, scope, 10001)
		if err != nil {
			return err
		}
		c.Status, c.LastSeen = station.Derive(connectors), noon
		return tx.Stations().UpdateCharger(ctx, scope, c)
	})
	if err != nil {
		y.t.Fatal(err)
	}
}

func eachYard(t *testing.T, test func(y *yard)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(newYard(t, db)) })
}

func TestStationOperations(t *testing.T) {
	t.Parallel()
	eachYard(t, func(y *yard) {
		full := `{"stationCode":"S1","stationName":"One","address":"Road 1","latitude":22.5405,"longitude":114.0611,"province":"GD","city":"SZ","district":"FT",
			"stationType":2,"operatorName":"O","operatorPhone":"1","serviceHours":"00:00-24:00","facilities":["toilet"],"timeZone":"Asia/Tokyo","remark":"a\nb"}`
		made := y.want(200, "lee", "POST", "/api/station", full)
		y.facts(made, map[string]any{"stationId": 1.0, "tenantId": 2.0, "tenantName": "Tenant 2", "status": 1.0, "latitude": 22.5405, "version": 1.0, "createBy": 2.0, "totalChargers": 0.0})
		y.same("read again", made, y.want(200, "lee", "GET", "/api/station/1", ""))
		y.facts(y.want(1001, "lee", "POST", "/api/station", full), map[string]any{"stationCode": "S1"})
		y.want(200, "zoe", "POST", "/api/station", full) // codes are a tenant's own
		y.want(9400, "lee", "POST", "/api/station", `{"stationCode":"x y","stationName":"","address":"a"}`)
		y.want(9400, "lee", "POST", "/api/station", `{"stationCode":"S9","stationName":"n","address":"a","latitude":1}`)
		y.want(9400, "lee", "POST", "/api/station", `{"stationCode":"S9","stationName":"n","address":"a","timeZone":"Nowhere/Land"}`)
		y.want(9400, "lee", "POST", "/api/station", `{"stationCode":"S9","stationName":"n","address":"a","totalChargers":3,"colour":"red"}`)
		y.want(9403, "nobody", "POST", "/api/station", full)
		for _, code := range []string{"S2", "S3", "S4"} {
			y.want(200, "lee", "POST", "/api/station", fmt.Sprintf(aStation, code))
		}
		y.facts(y.want(5006, "lee", "POST", "/api/station", fmt.Sprintf(aStation, "S5")),
			map[string]any{"resourceType": "stations", "current": 4.0, "limit": 4.0, "limitingTenantId": 2.0})

		changed := y.want(200, "lee", "PUT", "/api/station/1", `{"stationName":"Uno","city":null,"latitude":null,"longitude":null,"version":1}`)
		y.facts(changed, map[string]any{"stationName": "Uno", "city": nil, "latitude": nil, "province": "GD", "version": 2.0})
		sentBack, err := json.Marshal(changed)
		if err != nil {
			y.t.Fatal(err)
		}
		y.want(200, "lee", "PUT", "/api/station/1", string(sentBack)) // a read object may be sent back
		y.facts(y.want(9409, "lee", "PUT", "/api/station/1", string(sentBack)), map[string]any{"currentVersion": 3.0})
		y.want(9409, "lee", "PUT", "/api/station/1", `{"stationName":"x"}`, "If-Match", `"1"`)
		y.want(9400, "lee", "PUT", "/api/station/1", `{"tenantId":3}`)
		y.want(9400, "lee", "PUT", "/api/station/1", `{"latitude":1}`)
		y.want(1001, "lee", "PUT", "/api/station/1", `{"stationCode":"S3"}`)
		y.want(1002, "lee", "PUT", "/api/station/99", `{"stationName":"x"}`)

		y.want(200, "lee", "POST", "/api/charger", fmt.Sprintf(aCharger, "C1"))
		y.want(200, "lee", "POST", "/api/billing/plan", fmt.Sprintf(aPlan, "P1"))
		y.charge()
		y.facts(y.want(200, "lee", "PUT", "/api/station/1/status", `{"status":0}`), map[string]any{"stationId": 1.0, "status": 0.0, "runningSessions": 1.0})
		y.facts(y.want(200, "lee", "GET", "/api/station/1", ""), map[string]any{"status": 0.0, "totalChargers": 1.0, "chargingChargers": 1.0, "totalConnectors": 2.0})
		y.want(200, "lee", "PUT", "/api/station/1/status?status=1", "")
		y.want(9400, "lee", "PUT", "/api/station/1/status", `{"status":2}`)
		y.facts(y.want(1004, "lee", "DELETE", "/api/station/1", ""), map[string]any{"stationId": 1.0, "chargerCount": 1.0})
		y.want(200, "lee", "DELETE", "/api/station/5", "")
		y.want(1002, "lee", "DELETE", "/api/station/5", "")
		y.same("taken", []any{true, false, false, false}, []any{
			y.call("lee", "GET", "/api/station/check-code?stationCode=S1", "").Data, y.call("lee", "GET", "/api/station/check-code?stationCode=S1&excludeId=1", "").Data,
			y.call("lee", "GET", "/api/station/check-code?stationCode=S4", "").Data, y.call("root", "GET", "/api/station/check-code?stationCode=S1", "").Data,
		})
		y.same("counts", []any{3.0, 0.0, 0.0, 4.0}, []any{
			y.call("lee", "GET", "/api/station/count", "").Data, y.call("lee", "GET", "/api/station/count?status=0", "").Data,
			y.call("root", "GET", "/api/station/count", "").Data, y.call("root", "GET", "/api/station/count"+everyScope, "").Data,
		})
		for _, path := range []string{"/api/station", "/api/station/page", "/api/station/list"} {
			y.same(path, []any{"S3", "S2", "S1"}, y.list("lee", path, "stationCode"))
		}
		y.same("found", []any{"S1"}, y.list("lee", "/api/station/list?keyword=uno&stationType=2&province=GD&sort=totalChargers,desc", "stationCode"))
		y.same("the first of two", []any{"S3"}, y.list("lee", "/api/station?cursor=&size=1", "stationCode"))
		y.want(9400, "lee", "GET", "/api/station?stationNme=x", "")
		y.want(9414, "lee", "GET", "/api/station?cursor=nonsense", "")
	})
}

func TestNearby(t *testing.T) {
	t.Parallel()
	eachYard(t, func(y *yard) {
		place := func(who, code, lat, lon string, status int) {
			y.want(200, who, "POST", "/api/station", fmt.Sprintf(`{"stationCode":%q,"stationName":"n","address":"a","latitude":%s,"longitude":%s,"status":%d}`, code, lat, lon, status))
		}
		place("zoe", "here", "22.5431", "114.0579", 1)
		place("zoe", "example", "22.5405", "114.0611", 1)
		place("zoe", "off", "22.5431", "114.0579", 0)
		place("zoe", "twin", "22.5405", "114.0611", 1)
		place("zoe", "far", "22.7", "114.0579", 1)
		place("zoe", "fiji", "-17", "179.99", 1)
		y.want(200, "zoe", "POST", "/api/station", fmt.Sprintf(aStation, "nowhere"))
		place("lee", "foreign", "22.5431", "114.0579", 1)
		at := "/api/station/nearby?latitude=22.5431&longitude=114.0579"
		y.same("10 km", []any{"here", "example", "twin"}, y.list("zoe", at, "stationCode"))
		y.same("distances", []any{0.0, 0.438, 0.438}, y.list("zoe", at, "distance"))
		y.same("18 km", []any{"here", "example", "twin", "far"}, y.list("zoe", at+"&radius=18", "stationCode"))
		y.same("limited", []any{"here"}, y.list("zoe", at+"&limit=1&radius=0.001", "stationCode"))
		y.same("across the date line", []any{"fiji"}, y.list("zoe", "/api/station/nearby?latitude=-17&longitude=-179.99", "stationCode"))
		y.same("whose", []any{}, y.list("root", at, "stationCode"))
		y.same("everybody's", []any{"here", "foreign", "example", "twin"}, y.list("root", at+"&tenantScope=SELF_AND_DESCENDANTS", "stationCode"))
		y.want(200, "zoe", "POST", "/api/charger", `{"stationId":2,"chargerCode":"C1","chargerName":"N","chargerType":3,"ratedPower":60}`)
		y.same("with DC or both", []any{"example"}, y.list("zoe", at+"&chargerType=1", "stationCode"))
		y.same("none is idle", []any{}, y.list("zoe", at+"&availableOnly=1", "stationCode"))
		y.want(200, "zoe", "PUT", theCharger+"/status?status=1", "")
		y.same("one is idle", []any{"example"}, y.list("zoe", at+"&availableOnly=1", "stationCode"))
		for _, wrong := range []string{"&radius=0", "&radius=50.001", "&limit=0", "&limit=101", "&chargerType=4"} {
			y.want(9400, "zoe", "GET", at+wrong, "")
		}
		y.want(9400, "zoe", "GET", "/api/station/nearby?latitude=91&longitude=0", "")
		y.want(9400, "zoe", "GET", "/api/station/nearby?latitude=9", "")
	})
}
