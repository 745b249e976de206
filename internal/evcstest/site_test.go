package evcstest_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/evcstest"
)

// begun is 11:00 in Shanghai, an hour before the price changes.
var begun = time.Date(2027, 2, 10, 3, 0, 0, 0, time.UTC)

// yard is a station with one charger and a plan of two prices: 1.50 CNY per kWh
// before noon in Shanghai (1.00 and 0.50 service), 2.10 after (1.50 and 0.60).
type yard struct {
	d                            *evcstest.Daemon
	by                           evcstest.Caller
	StationID, PlanID, ChargerID int64
	device, secret               string
}

// build makes a yard through the public API, with the tag T1.
func build(t *testing.T, d *evcstest.Daemon, by evcstest.Caller, device string) *yard {
	t.Helper()
	y := &yard{d: d, by: by, device: device}
	by.OK(t, http.MethodPost, "/api/station", map[string]any{"stationCode": "S1", "stationName": "One", "address": "Road 1"}).Into(t, y)
	segment := func(from, to, kind string, energy, service json.Number) map[string]any {
		return map[string]any{"startTime": from, "endTime": to, "periodKind": kind, "energyPrice": energy, "serviceFee": service}
	}
	by.OK(t, http.MethodPost, "/api/billing/plan", map[string]any{
		"code": "TOU", "name": "Two prices", "stationId": y.StationID, "status": 1,
		"segments": []map[string]any{segment("00:00", "12:00", "FLAT", "1", "0.5"), segment("12:00", "24:00", "PEAK", "1.5", "0.6")},
	}).Into(t, y)
	y.charger(t, "C1")
	by.OK(t, http.MethodPost, "/api/id-tag", map[string]any{"idTag": "T1"})
	return y
}

// charger adds a charger whose id is the yard's device and keeps its secret.
func (y *yard) charger(t *testing.T, code string) {
	t.Helper()
	y.by.OK(t, http.MethodPost, "/api/charger", map[string]any{
		"stationId": y.StationID, "chargerCode": code, "chargerName": code, "deviceId": y.device, "protocol": "OCPP16", "chargerType": 1,
		"ratedPower": 60, "gunCount": 1,
	}).Into(t, y)
	var key struct{ Secret string }
	y.by.OK(t, http.MethodPost, evcstest.Path("/api/charger/%d/credential", y.ChargerID), map[string]any{}).Into(t, &key)
	y.secret = key.Secret
}

// another is a further charger of the same station.
func (y *yard) another(t *testing.T, code, device string) *yard {
	t.Helper()
	z := *y
	z.device = device
	z.charger(t, code)
	return &z
}

// pass lets time pass and signs in again, since a token does not outlive it.
func (y *yard) pass(d time.Duration) {
	y.d.Clock.Advance(d)
	y.by = y.d.Admin()
}

// restart stops the daemon and starts it again on the same data and time.
func (y *yard) restart(t *testing.T) {
	t.Helper()
	now := y.d.Clock.Now()
	y.d.Stop()
	y.d = evcstest.StartOn(t, y.d.Config.Database.URL, y.d.Config.DataDir)
	y.d.Clock.Set(now)
	y.by = y.d.Admin()
}

// bill is what a test reads of an order.
type bill struct {
	OrderID         int64
	SessionID       string
	ChargerID       int64
	Status          int
	Energy, Amount  json.Number
	Electricity     json.Number `json:"electricityAmount"`
	Service         json.Number `json:"serviceAmount"`
	DurationSeconds int64
	Held            bool
	Duplicate       bool
	Anomalies       []string
	Lines           []struct {
		PeriodKind     string
		Energy, Amount json.Number
	}
}

// orders are all orders of the yard's tenant, newest last.
func (y *yard) orders(t *testing.T) []bill {
	t.Helper()
	var page struct{ Records []bill }
	y.by.OK(t, http.MethodGet, "/api/order?size=100&sort=orderId", nil).Into(t, &page)
	return page.Records
}

// order is the only order there is, with its lines.
func (y *yard) order(t *testing.T) bill {
	t.Helper()
	all := y.orders(t)
	if len(all) != 1 {
		t.Fatalf("%d orders, want one: %+v", len(all), all)
	}
	var b bill
	y.by.OK(t, http.MethodGet, evcstest.Path("/api/order/%d", all[0].OrderID), nil).Into(t, &b)
	return b
}

// billed checks the only order against a bill computed by hand.
func (y *yard) billed(t *testing.T, energy, electricity, service, amount json.Number) {
	t.Helper()
	b := y.order(t)
	if b.Status != 10 || b.Held || b.Energy != energy || b.Electricity != electricity || b.Service != service || b.Amount != amount {
		t.Errorf("got %+v, want %s kWh for %s + %s = %s", b, energy, electricity, service, amount)
	}
}
