package evcstest_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/store/storetest"
)

// atMost is how long a subtree may go on after it was blocked, or after it was
// let in again (contract §1.8), and what a busy machine adds.
const atMost, jitter = time.Second, 500 * time.Millisecond

// branch is a tenant below another one, with somebody and something on every
// way into the daemon.
type branch struct {
	t        *testing.T
	d        *evcstest.Daemon // where it is seen from
	platform evcstest.Caller
	parent   int64
	own      int64
	boss     evcstest.Caller
	refresh  string
	key      string
	stream   *listening
	idle     *websocket.Conn   // of an OCPP charger that does nothing
	busy     *point            // of one that charges
	number   int64             // of its transaction
	secrets  map[string]string // by device
}

const proxySecret = "a-proxy-secret-of-some-length-2026"

func believeProxies(c *config.Config) {
	c.Server.TrustedProxy.CIDRs, c.Server.TrustedProxy.Secret = []string{"127.0.0.1/32"}, proxySecret
	c.RateLimit.LoginPerMinute = 0
}

func growBranch(t *testing.T, d *evcstest.Daemon) *branch {
	t.Helper()
	d.Clock.Set(begun)
	b := &branch{t: t, d: d, platform: d.Admin(), secrets: make(map[string]string)}
	tenant := func(by evcstest.Caller, code string) (made struct{ TenantID int64 }) {
		by.OK(t, http.MethodPost, "/api/tenant", map[string]any{
			"tenantCode": code, "tenantName": code, "tenantType": 2, "contactPerson": "a", "contactPhone": "13800000000",
			"admin": map[string]any{"username": "boss", "password": evcstest.Password},
		}).Into(t, &made)
		return made
	}
	b.parent = tenant(b.platform, "UP").TenantID
	b.own = tenant(d.SignIn("boss@UP", evcstest.Password), "DOWN").TenantID
	b.enter()
	y := build(t, d, b.boss, "IDLE-1")
	b.secrets["IDLE-1"] = y.secret
	z := y.another(t, "C2", "BUSY-1")
	b.secrets["BUSY-1"] = z.secret
	var cloud struct{ ChargerID int64 }
	b.boss.OK(t, http.MethodPost, "/api/charger", map[string]any{
		"stationId": y.StationID, "chargerCode": "C3", "chargerName": "C3", "deviceId": "CLOUD-1", "protocol": "CLOUDCHARGE", "chargerType": 1, "ratedPower": 60, "gunCount": 1,
	}).Into(t, &cloud)
	b.secrets["CLOUD-1"] = newPile(t, d, b.boss, cloud.ChargerID, "CLOUD-1").secret
	b.open()
	b.busy = connect(t, d, "BUSY-1", b.secrets["BUSY-1"])
	var started struct {
		TransactionID int64 `json:"transactionId"`
	}
	b.busy.call("StartTransaction", map[string]any{"connectorId": 1, "idTag": "T1", "meterStart": 0, "timestamp": begun}, &started)
	b.number = started.TransactionID
	if a := b.device("start", "CLOUD-S1", map[string]any{"connectorNo": 1}); a != 0 {
		t.Fatalf("a cloudcharge start: %d", a)
	}
	return b
}

// enter signs in and makes a key.
func (b *branch) enter() {
	b.t.Helper()
	a := b.d.Anyone().OK(b.t, http.MethodPost, "/api/auth/login", map[string]any{"identifier": "boss@DOWN", "password": evcstest.Password})
	var tokens struct{ RefreshToken string }
	a.Into(b.t, &tokens)
	b.refresh = tokens.RefreshToken
	b.boss = b.d.SignIn("boss@DOWN", evcstest.Password)
	var key struct{ Key string }
	b.boss.OK(b.t, http.MethodPost, "/api/auth/api-keys", map[string]any{
		"name": "k", "scopes": []string{"station:*"}, "expireTime": b.d.Clock.Now().AddDate(1, 0, 0),
	}).Into(b.t, &key)
	b.key = key.Key
}

// open opens what stays open: a stream and a charger's connection.
func (b *branch) open() {
	b.t.Helper()
	b.stream = openStream(b.t, b.d, b.boss.Token(), "")
	if b.stream.line("retry: ") == "" {
		b.t.Fatal("the stream did not begin")
	}
	conn, status := b.dial("IDLE-1")
	if conn == nil {
		b.t.Fatalf("the charger is refused: %d", status)
	}
	b.idle = conn
}

// dial connects an OCPP charger; nil and the status when it is refused.
func (b *branch) dial(device string) (*websocket.Conn, int) {
	b.t.Helper()
	h := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(device+":"+b.secrets[device]))}}
	dialer := websocket.Dialer{Subprotocols: []string{"ocpp1.6"}, HandshakeTimeout: 5 * time.Second}
	conn, answer, err := dialer.DialContext(b.t.Context(), "ws"+strings.TrimPrefix(b.d.DeviceURL, "http")+"/ocpp/"+device, h)
	if err == nil {
		b.t.Cleanup(func() { conn.Close() })
		return conn, answer.StatusCode
	}
	if answer == nil {
		b.t.Fatal(err)
	}
	return nil, answer.StatusCode
}

// device sends a cloudcharge message and returns the error code.
func (b *branch) device(operation, session string, data map[string]any) evcs.Code {
	b.t.Helper()
	return pile{b.t, b.d, "CLOUD-1", b.secrets["CLOUD-1"]}.send(operation, session, data)
}

// pile is a charger that speaks cloudcharge.
type pile struct {
	t              *testing.T
	d              *evcstest.Daemon
	device, secret string
}

// newPile is a charger with its secret.
func newPile(t *testing.T, d *evcstest.Daemon, by evcstest.Caller, charger int64, device string) pile {
	t.Helper()
	var key struct{ Secret string }
	by.OK(t, http.MethodPost, evcstest.Path("/api/charger/%d/credential", charger), map[string]any{}).Into(t, &key)
	return pile{t, d, device, key.Secret}
}

// send sends a signed message and returns the error code, 0 for none.
func (p pile) send(operation, session string, data map[string]any) evcs.Code {
	p.t.Helper()
	m := map[string]any{"requestId": fresh(), "apiVersion": "3.0", "timestamp": p.d.Clock.Now().Format(time.RFC3339), "deviceCode": p.device, "data": data}
	signed := fmt.Sprintf("requestId=%s&apiVersion=3.0&timestamp=%s&deviceCode=%s", m["requestId"], m["timestamp"], p.device)
	if session != "" {
		m["sessionId"] = session
		signed += "&sessionId=" + session
	}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		signed += fmt.Sprintf("&%s=%v", name, data[name])
	}
	mac := hmac.New(sha256.New, []byte(p.secret))
	mac.Write([]byte(signed))
	m["signature"] = hex.EncodeToString(mac.Sum(nil))
	body, err := json.Marshal(m)
	if err != nil {
		p.t.Error(err)
		return evcs.CodeInternalError
	}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.d.DeviceURL+"/api/cloudcharge/"+operation, bytes.NewReader(body))
	if err != nil {
		p.t.Error(err)
		return evcs.CodeInternalError
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Error(err)
		return evcs.CodeInternalError
	}
	defer answer.Body.Close()
	var told struct{ ErrorCode evcs.Code }
	if err := json.NewDecoder(answer.Body).Decode(&told); err != nil {
		p.t.Error(err)
	}
	return told.ErrorCode
}

// ask asks with a bearer and headers and returns the code of the refusal.
func (b *branch) ask(method, path, bearer string, body any, headers ...string) evcs.Code {
	b.t.Helper()
	if bearer != "" {
		headers = append(headers, "Authorization", "Bearer "+bearer)
	}
	a := b.d.Anyone().Call(b.t, method, path, body, headers...)
	if a.Status == http.StatusOK {
		return 0
	}
	return evcs.Code(a.Code)
}

// ways are the ways in that hold no connection; each says its refusal, 0 when it
// is open.
func (b *branch) ways() map[string]func() evcs.Code {
	get := func(bearer string, headers ...string) func() evcs.Code {
		return func() evcs.Code { return b.ask(http.MethodGet, "/api/station", bearer, nil, headers...) }
	}
	var me struct{ UserID, TenantID json.Number }
	b.boss.OK(b.t, http.MethodGet, "/api/auth/userinfo", nil).Into(b.t, &me)
	return map[string]func() evcs.Code{
		"sign-in": func() evcs.Code {
			return b.ask(http.MethodPost, "/api/auth/login", "", map[string]any{"identifier": "boss@DOWN", "password": evcstest.Password})
		},
		"token":   get(b.boss.Token()),
		"API key": get(b.key),
		"proxy":   get("", "X-Proxy-Secret", proxySecret, "X-User-Id", me.UserID.String(), "X-Tenant-Id", me.TenantID.String()),
		"write": func() evcs.Code {
			return b.ask(http.MethodPost, "/api/id-tag", b.boss.Token(), map[string]any{"idTag": fresh()})
		},
		"ticket": func() evcs.Code { return b.ask(http.MethodPost, "/api/events/ticket", b.boss.Token(), nil) },
	}
}

// settles waits until every way says so, all at once. What is asked a second
// after from must be answered so.
func (b *branch) settles(ways map[string]func() evcs.Code, want evcs.Code, from time.Time) {
	b.t.Helper()
	var all sync.WaitGroup
	for name, way := range ways {
		all.Go(func() {
			pace := time.NewTicker(20 * time.Millisecond)
			defer pace.Stop()
			for {
				asked := evcs.Monotonic()
				said := way()
				switch late := asked.Sub(from) > atMost+jitter; {
				case said == want && !late:
					return
				case said == want:
					b.t.Errorf("%s says %d only after %v", name, want, asked.Sub(from))
					return
				case asked.Sub(from) > 10*time.Second:
					b.t.Errorf("%s says %d, not %d", name, said, want)
					return
				}
				<-pace.C
			}
		})
	}
	all.Wait()
}

// closes waits until a connection is closed from the other side.
func (b *branch) closes(what string, conn *websocket.Conn, from time.Time) {
	if err := conn.SetReadDeadline(evcs.Monotonic().Add(10 * time.Second)); err != nil {
		b.t.Error(err)
	}
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			if took := evcs.Monotonic().Sub(from); took > atMost+jitter {
				b.t.Errorf("%s is closed only after %v: %v", what, took, err)
			}
			return
		}
	}
}

// TestABlockedSubtreeIsCutOff blocks a tenant, by hand and by its expiry: within
// a second nobody below it comes in on any way, streams and idle chargers are
// cut off, and what was being charged is still settled. Let in again, all is as
// it was. On PostgreSQL the subtree is seen from another node than the one that
// blocks it.
func TestABlockedSubtreeIsCutOff(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		d := evcstest.Start(t, evcstest.WithConfig(believeProxies))
		cutOff(t, d, d)
	})
	t.Run("postgres, two nodes", func(t *testing.T) {
		t.Parallel()
		if storetest.Server(t) == "" {
			return
		}
		url := storetest.PostgresURL(t)
		node := func(name string) *evcstest.Daemon {
			return evcstest.StartOn(t, url, t.TempDir(), evcstest.WithConfig(believeProxies), evcstest.WithConfig(func(c *config.Config) {
				c.Node, c.Auth.JWTSecret, c.Auth.SealingKey = name, strings.Repeat("k", 32), strings.Repeat("a", 64)
			}))
		}
		cutOff(t, node("one"), node("two"))
	})
}

func cutOff(t *testing.T, by, seen *evcstest.Daemon) {
	t.Helper()
	b := growBranch(t, seen)
	by.Clock.Set(seen.Clock.Now())
	admin := by.Admin()
	status := evcstest.Path("/api/tenant/%d/status", b.parent)
	tenant := evcstest.Path("/api/tenant/%d", b.parent)
	ways := b.ways()
	b.settles(ways, 0, evcs.Monotonic())

	from := evcs.Monotonic()
	admin.OK(t, http.MethodPut, status, map[string]any{"status": 0})
	b.shut(ways, evcs.CodeTenantDisabled, from)
	b.delivered()
	from = evcs.Monotonic()
	admin.OK(t, http.MethodPut, status, map[string]any{"status": 1})
	b.letIn(ways, from)

	admin.OK(t, http.MethodPut, tenant, map[string]any{"expireTime": seen.Clock.Now().Add(time.Minute)})
	b.settles(ways, 0, evcs.Monotonic())
	from = evcs.Monotonic()
	for _, d := range []*evcstest.Daemon{by, seen} {
		d.Clock.Set(begun.Add(2 * time.Minute))
	}
	b.shut(ways, evcs.CodeTenantExpired, from)
	from = evcs.Monotonic()
	admin.OK(t, http.MethodPut, tenant, map[string]any{"expireTime": nil})
	b.letIn(ways, from)
}

// shut checks that nothing is let in any more.
func (b *branch) shut(ways map[string]func() evcs.Code, want evcs.Code, from time.Time) {
	b.t.Helper()
	var open sync.WaitGroup
	open.Go(func() { b.closes("an idle charger's connection", b.idle, from) })
	open.Go(func() {
		if !b.stream.ended(10 * time.Second) {
			b.t.Error("the stream goes on")
		} else if took := evcs.Monotonic().Sub(from); took > atMost+jitter {
			b.t.Errorf("the stream ends only after %v", took)
		}
	})
	b.settles(ways, want, from)
	open.Wait()
	if code := b.ask(http.MethodPost, "/api/auth/refresh", "", map[string]any{"refreshToken": b.refresh}); code != want {
		b.t.Errorf("refresh: %d, want %d", code, want)
	}
	if a := b.d.Anyone().Call(b.t, http.MethodGet, "/api/events/stream", nil, "Authorization", "Bearer "+b.boss.Token()); evcs.Code(a.Code) != want {
		b.t.Errorf("stream: %d, want %d", a.Code, want)
	}
	if conn, status := b.dial("IDLE-1"); conn != nil || status != http.StatusForbidden {
		b.t.Errorf("a new connection: %d", status)
	}
	if code := b.device("heartbeat", "", map[string]any{}); code != want {
		b.t.Errorf("heartbeat: %d, want %d", code, want)
	}
	if code := b.device("start", fresh(), map[string]any{"connectorNo": 1}); code != want {
		b.t.Errorf("a new session: %d, want %d", code, want)
	}
}

// delivered ends the sessions that went on: they are stored and settled, and
// then the charger is cut off as well.
func (b *branch) delivered() {
	b.t.Helper()
	b.busy.call("MeterValues", map[string]any{"connectorId": 1, "transactionId": b.number, "meterValue": []map[string]any{{
		"timestamp": begun, "sampledValue": []map[string]any{{"value": "900"}},
	}}}, nil)
	var tag struct {
		IDTagInfo struct{ Status string } `json:"idTagInfo"`
	}
	b.busy.call("Authorize", map[string]any{"idTag": "T1"}, &tag)
	if tag.IDTagInfo.Status != "Blocked" {
		b.t.Errorf("a card at a blocked charger: %+v", tag)
	}
	b.busy.call("StopTransaction", map[string]any{"transactionId": b.number, "meterStop": 1000, "timestamp": begun}, nil)
	from := evcs.Monotonic()
	b.closes("the connection of a charger that has settled", b.busy.conn, from)
	if code := b.device("stop", "CLOUD-S1", map[string]any{"connectorNo": 1, "energy": 2, "duration": 1}); code != 0 {
		b.t.Errorf("a stop of what was delivered: %d", code)
	}
	var page struct {
		Records []struct {
			Status int
			Energy json.Number
		}
	}
	b.platform.OK(b.t, http.MethodGet, evcstest.Path("/api/order?tenantId=%d&sort=orderId", b.own), nil).Into(b.t, &page)
	if len(page.Records) != 2 || page.Records[0].Status == 0 || page.Records[0].Energy != "1.0000" || page.Records[1].Status == 0 || page.Records[1].Energy != "2.0000" {
		b.t.Errorf("orders %+v, want both ended", page.Records)
	}
}

// letIn checks that all is as before.
func (b *branch) letIn(ways map[string]func() evcs.Code, from time.Time) {
	b.t.Helper()
	b.settles(ways, 0, from)
	var tokens struct{ RefreshToken string }
	b.d.Anyone().OK(b.t, http.MethodPost, "/api/auth/refresh", map[string]any{"refreshToken": b.refresh}).Into(b.t, &tokens)
	b.refresh = tokens.RefreshToken
	b.open()
	if code := b.device("heartbeat", "", map[string]any{}); code != 0 {
		b.t.Errorf("heartbeat: %d", code)
	}
}
