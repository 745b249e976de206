package contracttest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/judge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	internalToken = "an-internal-token-of-32-characters"
	proxySecret   = "a-proxy-secret-of-some-length-2026"
)

// open switches on what is off by default.
func open(c *config.Config) {
	c.Internal.Token = internalToken
	c.Debug.Protocol.Enabled = true
	c.Server.TrustedProxy.CIDRs = []string{"127.0.0.1/32"}
	c.Server.TrustedProxy.Secret = proxySecret
}

// world is a daemon with a station, a plan and chargers.
type world struct {
	d       *evcstest.Daemon
	admin   evcstest.Caller
	n       atomic.Int64
	station int64
	plan    int64
	charger *charger
}

type object = map[string]any

func newWorld(t *testing.T, change ...evcstest.Option) *world {
	t.Helper()
	w := &world{d: evcstest.Start(t, append([]evcstest.Option{evcstest.WithConfig(open)}, change...)...)}
	w.d.Manner = judge.Exact
	w.admin = w.d.Admin()
	w.admin.OK(t, "PUT", "/api/tenant/1/settings", object{"sandboxPayments": true})
	w.station = w.newStation(t)
	w.plan = w.newPlan(t, w.station)
	w.charger = w.newCharger(t, w.station)
	return w
}

// name is a name that nobody had yet.
func (w *world) name(prefix string) string { return prefix + strconv.FormatInt(w.n.Add(1), 10) }

// made is the id that a creation answers with.
func made(t *testing.T, a evcstest.Answer, field string) int64 {
	t.Helper()
	var data map[string]json.RawMessage
	a.Into(t, &data)
	id, err := strconv.ParseInt(string(data[field]), 10, 64)
	if err != nil {
		t.Fatalf("%s in %s: %v", field, a.Data, err)
	}
	return id
}

func text(t *testing.T, a evcstest.Answer, field string) string {
	t.Helper()
	var data map[string]any
	a.Into(t, &data)
	s, ok := data[field].(string)
	if !ok {
		t.Fatalf("%s in %s", field, a.Data)
	}
	return s
}

func (w *world) newStation(t *testing.T) int64 {
	t.Helper()
	return made(t, w.admin.OK(t, "POST", "/api/station", object{"stationCode": w.name("S"), "stationName": "Futian", "address": "Road 1"}), "stationId")
}

func segments() []object {
	return []object{{"startTime": "00:00", "endTime": "24:00", "periodKind": "FLAT", "energyPrice": 1, "serviceFee": 0.5}}
}

func (w *world) newPlan(t *testing.T, station int64) int64 {
	t.Helper()
	return made(t, w.admin.OK(t, "POST", "/api/billing/plan", object{
		"code": w.name("P"), "name": "Flat", "stationId": station, "status": 1, "segments": segments(),
	}), "planId")
}

// newUser makes a user of a tenant and signs it in.
func (w *world) newUser(t *testing.T, tenant int64, roles ...string) (evcstest.Caller, int64) {
	t.Helper()
	name := w.name("u")
	id := made(t, w.admin.OK(t, "POST", "/api/user", object{
		"username": name, "password": evcstest.Password, "identifier": name + "@test", "roles": roles, "tenantId": tenant, "mustChangePassword": 0,
	}), "userId")
	return w.d.SignIn(name+"@test", evcstest.Password), id
}

// newTenant makes a tenant below another.
func (w *world) newTenant(t *testing.T, parent int64, more object) int64 {
	t.Helper()
	body := object{
		"tenantCode": w.name("T"), "tenantName": "Operator", "contactPerson": "Li", "contactPhone": "13800138000", "tenantType": 2, "parentId": parent,
	}
	maps.Copy(body, more)
	return made(t, w.admin.OK(t, "POST", "/api/tenant", body), "tenantId")
}

// charger is a charger that speaks cloudcharge.
type charger struct {
	w      *world
	id     int64
	device string
	secret string
}

func (w *world) newCharger(t *testing.T, station int64) *charger {
	t.Helper()
	c := &charger{w: w, device: w.name("CP-")}
	c.id = made(t, w.admin.OK(t, "POST", "/api/charger", object{
		"stationId": station, "chargerCode": c.device, "chargerName": c.device, "deviceId": c.device, "protocol": "CLOUDCHARGE", "chargerType": 1,
		"ratedPower": 60, "gunCount": 2,
	}), "chargerId")
	c.secret = text(t, w.admin.OK(t, "POST", evcstest.Path("/api/charger/%d/credential", c.id), object{}), "secret")
	return c
}

// online is a charger that was heard.
func (w *world) online(t *testing.T) *charger {
	t.Helper()
	c := w.newCharger(t, w.station)
	c.ok(t, "heartbeat", "", object{"connectors": []object{{"connectorNo": 1, "status": 1}, {"connectorNo": 2, "status": 1}}})
	return c
}

// chargePoint is a charger of OCPP 1.6 and where it connects.
type chargePoint struct {
	id              int64
	address, secret string
	header          http.Header // of the last dial
}

func (w *world) newChargePoint(t *testing.T) *chargePoint {
	t.Helper()
	device := w.name("CP-")
	id := made(t, w.admin.OK(t, "POST", "/api/charger", object{
		"stationId": w.station, "chargerCode": device, "chargerName": device, "deviceId": device, "protocol": "OCPP16", "chargerType": 1,
		"ratedPower": 60, "gunCount": 1,
	}), "chargerId")
	secret := text(t, w.admin.OK(t, "POST", evcstest.Path("/api/charger/%d/credential", id), object{}), "secret")
	return &chargePoint{id: id, address: w.d.DeviceURL + "/ocpp/" + device, secret: secret}
}

// dial connects with a secret. Of a refusal the answer's body is in memory.
func (p *chargePoint) dial(t *testing.T, secret string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	device := p.address[strings.LastIndexByte(p.address, '/')+1:]
	p.header = http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(device+":"+secret))}}
	dialer := websocket.Dialer{Subprotocols: []string{"ocpp1.6"}}
	return dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(p.address, "http"), p.header)
}

// silent is a charger that is connected and answers nothing it is asked.
func (w *world) silent(t *testing.T) int64 {
	t.Helper()
	p := w.newChargePoint(t)
	conn, answer, err := p.dial(t, p.secret)
	if err != nil {
		t.Fatalf("%v %v", err, answer)
	}
	t.Cleanup(func() { conn.Close() })
	for i, call := range []object{
		{"chargePointVendor": "V", "chargePointModel": "M"}, {"connectorId": 1, "errorCode": "NoError", "status": "Available"},
	} {
		action := []string{"BootNotification", "StatusNotification"}[i]
		if err := conn.WriteJSON([]any{2, action, action, call}); err != nil {
			t.Fatal(err)
		}
		for frame := []any{}; len(frame) < 2 || frame[1] != action; { // its answer; calls are left alone
			if err := conn.ReadJSON(&frame); err != nil {
				t.Fatal(err)
			}
		}
	}
	return p.id
}

// told is the answer of the device port.
type told struct {
	Status    int    `json:"-"`
	Code      string `json:"code"`
	ErrorCode int    `json:"errorCode"`
	Data      json.RawMessage
}

// message signs a message as contract §16.1 says.
func (c *charger) message(operation, session string, data object, change func(object)) object {
	m := object{
		"requestId": c.w.name("REQ-"), "apiVersion": "3.0", "timestamp": c.w.d.Clock.Now().Format(time.RFC3339), "deviceCode": c.device,
		"action": operation, "data": data,
	}
	if session != "" {
		m["sessionId"] = session
	}
	if change != nil {
		change(m)
	}
	signed := fmt.Sprintf("requestId=%s&apiVersion=%s&timestamp=%s&deviceCode=%s", m["requestId"], m["apiVersion"], m["timestamp"], m["deviceCode"])
	for _, name := range []string{"sessionId", "action"} {
		if m[name] != nil {
			signed += fmt.Sprintf("&%s=%s", name, m[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		value, isText := data[name].(string)
		if !isText {
			raw, _ := json.Marshal(data[name]) // of plain maps
			value = string(raw)
		}
		signed += "&" + name + "=" + value
	}
	mac := hmac.New(sha256.New, []byte(c.secret))
	mac.Write([]byte(signed))
	if m["signature"] == nil {
		m["signature"] = hex.EncodeToString(mac.Sum(nil))
	}
	return m
}

func (c *charger) send(t *testing.T, operation string, m object) told {
	t.Helper()
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	e := exchange(t, "POST", c.w.d.DeviceURL+"/api/cloudcharge/"+operation, body, "Content-Type", "application/json")
	judge.Committed(t).Check(t, e, judge.Unseen)
	answer := told{Status: e.Status}
	if err := json.Unmarshal(e.Answer, &answer); err != nil {
		t.Fatalf("%v in %s", err, e.Answer)
	}
	return answer
}

func (c *charger) call(t *testing.T, operation, session string, data object) told {
	t.Helper()
	return c.send(t, operation, c.message(operation, session, data, nil))
}

func (c *charger) ok(t *testing.T, operation, session string, data object) told {
	t.Helper()
	answer := c.call(t, operation, session, data)
	if answer.Status != http.StatusOK {
		t.Fatalf("%s: %d %d %s", operation, answer.Status, answer.ErrorCode, answer.Data)
	}
	return answer
}

// begin starts a session at a connector as the device does.
func (c *charger) begin(t *testing.T, connector int) (session string, order int64) {
	t.Helper()
	session = c.w.name("S-")
	c.ok(t, "start", session, object{"connectorNo": connector, "userId": 20031, "initialEnergy": 0})
	return session, made(t, c.w.admin.OK(t, "GET", "/api/order/by-session?sessionId="+session, nil), "orderId")
}

// owed is an order to be paid.
func (w *world) owed(t *testing.T) (order int64, amount json.Number) {
	t.Helper()
	c := w.online(t)
	session, order := c.begin(t, 1)
	w.d.Clock.Advance(time.Hour)
	w.admin = w.d.Admin()
	c.ok(t, "stop", session, object{"energy": 10, "duration": 60})
	var o struct{ PayableAmount json.Number }
	w.admin.OK(t, "GET", evcstest.Path("/api/order/%d", order), nil).Into(t, &o)
	return order, o.PayableAmount
}

// paid is an order that was paid in the sandbox.
func (w *world) paid(t *testing.T) (order int64, trade string) {
	t.Helper()
	order, amount := w.owed(t)
	trade = w.pay(t, order, amount)
	w.admin.OK(t, "POST", "/api/payment/sandbox/"+trade+"/pay", object{"outcome": "SUCCESS"})
	evcstest.Eventually(t, "the payment arrives", func() bool {
		var p struct{ Status int }
		w.admin.OK(t, "GET", "/api/payment/query/"+trade, nil).Into(t, &p)
		return p.Status == 2
	})
	return order, trade
}

func (w *world) pay(t *testing.T, order int64, amount json.Number) string {
	t.Helper()
	return text(t, w.admin.OK(t, "POST", "/api/payment/create", object{"orderId": order, "amount": amount, "paymentMethod": "SANDBOX"}), "tradeNo")
}

// exchange sends a request as it is and keeps everything. headers come in
// pairs.
func exchange(t *testing.T, method, url string, body []byte, headers ...string) judge.Exchange {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return judge.Exchange{
		Method: method, URL: url, Header: r.Header, Body: body, Status: answer.StatusCode, AnswerHeader: answer.Header, Answer: got,
	}
}
