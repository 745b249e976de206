package evcstest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/store/storetest"
)

// notTheirs are places that take no identifier of a tenant's things, each with
// the reason. "*.name" is the name in every operation.
var notTheirs = map[string]string{
	"*.fromEventId":                "a place in the stream; the webhook beside it is tried",
	"*.deliveryId":                 "a number within a webhook, whose id stands beside it",
	"*.targetId":                   "his own attempts are on his record, with what they were aimed at",
	"orderPaymentCallback.tradeNo": "the operation needs the internal token",
	"orderPaymentCallback.tradeId": "the operation needs the internal token",
	"startOrder.sessionId":         "what it will be called; unique in the tenant alone",
	"startConnector.sessionId":     "what it will be called; unique in the tenant alone",
	"simulateStart.sessionId":      "what it will be called; unique in the tenant alone",
	"*.connectorNo":                "a number within a charger, whose id stands beside it",
	"*.idempotentKey":              "the caller's own word",
	"*.afterId":                    "a place in the stream; what is seen from there is decided by the scope",
	"*.lastEventId":                "a place in the stream; what is seen from there is decided by the scope",
	"*.channel":                    "one of three words",
	"*.socialCode":                 "a text",
	"*.parkingNo":                  "a text",
	"*.pinIccid":                   "a text",
	"*.appId":                      "the channel's",
	"*.openId":                     "the channel's",
	"*.sellerId":                   "the channel's",
	"*.mchId":                      "the channel's",
	"*.merchantSerialNo":           "the channel's",
	"*.excludeId":                  "excludes from the caller's own",
	"*.callbackToken":              "a secret of the merchant account, which is the credential",
	"*.refreshToken":               "a credential",
	"confirmTotp.code":             "a credential",
	"disableTotp.code":             "a credential",
	"*.parentIdTag":                "a text that groups the tags of one tenant",
	"*.traceId":                    "the caller's own word",
	"*.minSoc":                     "a percentage",
	"*.serviceName":                "one of the parts of the daemon",
	"*.resource":                   "one of some words",
	"*.action":                     "one of some words",
	"*.account":                    "one of some words: each tenant has accounts of these kinds",
	"createApiKey.code":            "",
	"createTenant.tenantCode":      "unique in the installation: may answer taken",
	"checkTenantCode.tenantCode":   "unique in the installation: true = taken",
	"createCharger.deviceId":       "unique in the installation: may answer taken",
	"updateCharger.deviceId":       "unique in the installation: may answer taken",
	"createStation.stationCode":    "what it will be called; unique in the tenant alone",
	"updateStation.stationCode":    "what it will be called; unique in the tenant alone",
	"createCharger.chargerCode":    "what it will be called; unique in the tenant alone",
	"updateCharger.chargerCode":    "what it will be called; unique in the tenant alone",
	"createIdTag.idTag":            "what it will be called; unique in the tenant alone",
	"updateIdTag.idTag":            "fixed; another value is refused whatever it is",
	"createPlan.code":              "what it will be called; unique in the tenant alone",
	"updatePlan.code":              "what it will be called; unique in the tenant alone",
	"clonePlan.code":               "what it will be called; unique in the tenant alone",
	"createRole.roleCode":          "what it will be called; unique in the tenant alone",
}

// driver are the userId fields that name a driver of the caller's own app.
const driver = "startConnector createIdTag updateIdTag startOrder createPayment adoptSession simulateStart listConnectorSessions listIdTags listOrders listSessions exportOrder exportOrderLine exportSession"

// excused are attackers who are told of an identifier what is their own.
func excused(a attacker, x described, s spot) bool {
	switch s.name {
	case "parentId": // the child, of itself
		return a.name == "child" && strings.HasPrefix(x.ID, "listTenants")
	case "targetTenantId": // who was refused there, of his own attempts
		return a.known && (x.ID == "listAudit" || x.ID == "exportAuditLog")
	}
	return false
}

func theirs(x described, s spot) bool {
	id, _, _ := strings.Cut(strings.TrimSuffix(x.ID, "Plain"), ".")
	if notTheirs["*."+s.name] != "" || notTheirs[id+"."+s.name] != "" {
		return false
	}
	return s.name != "userId" || !slices.Contains(strings.Fields(driver), id)
}

// needed are values for what an operation requires besides identifiers, so that
// the request is refused for its identifier and for nothing else.
func needed(x described, own *estate, at spot) given {
	body := func(fields map[string]any) given {
		g := make(given)
		for name, v := range fields {
			g[spot{"body", name}] = v
		}
		return g
	}
	id, _, _ := strings.Cut(x.ID, ".")
	switch id {
	case "createCharger":
		return body(map[string]any{"chargerCode": fresh(), "chargerName": "new", "chargerType": 1, "ratedPower": 60})
	case "createStation":
		return body(map[string]any{"stationCode": fresh(), "stationName": "new", "address": "new"})
	case "createTenant":
		return body(map[string]any{"tenantCode": fresh(), "tenantName": "new", "tenantType": 2, "contactPerson": "a", "contactPhone": "13800000000"})
	case "createUser":
		return body(map[string]any{"username": fresh()})
	case "createRole":
		return body(map[string]any{"roleCode": fresh(), "permissions": []string{"station:list"}})
	case "createApiKey":
		return body(map[string]any{"scopes": []string{"station:list"}})
	case "createPlan", "clonePlan", "validatePlan":
		return body(map[string]any{"code": fresh(), "name": "new", "segments": []map[string]any{{"startTime": "00:00", "endTime": "24:00", "periodKind": "FLAT", "energyPrice": 1, "serviceFee": 0.5}}})
	case "importPlans":
		return body(map[string]any{"plans": []map[string]any{{
			"code": fresh(), "name": "new", "segments": []map[string]any{{"startTime": "00:00", "endTime": "24:00", "periodKind": "FLAT", "energyPrice": 1, "serviceFee": 0.5}},
		}}})
	case "setHolidays":
		return body(map[string]any{"days": []map[string]any{{"date": "2027-05-01"}}})
	case "explainPrice":
		return body(map[string]any{"startTime": "2027-02-10T01:00:00Z", "endTime": "2027-02-10T02:00:00Z", "energy": 1})
	case "createIdTag":
		return body(map[string]any{"idTag": fresh()})
	case "updateCharger":
		return body(map[string]any{"chargerId": own.ids["chargerId"]})
	case "enableCharger":
		return body(map[string]any{"enabled": 1})
	case "setStationStatus", "setUserStatus", "setTenantStatus":
		return body(map[string]any{"status": 1})
	case "setQuota":
		return body(map[string]any{"maxUsers": 90})
	case "simulateStatus":
		return body(map[string]any{"newStatus": 1})
	case "createAlertRule":
		return body(map[string]any{"name": fresh(), "metric": own.ids["metric"], "op": "gt"})
	case "getAlertRule":
		if at.name == "tenantId" { // a built-in rule, whose values are a tenant's
			return given{{"path", "ruleId"}: 1}
		}
	case "streamEvents": // all that is kept
		return given{{"query", "lastEventId"}: 0}
	case "redeliverWebhook":
		return body(map[string]any{"fromEventId": 1})
	case "adoptSession":
		return given{{"path", "sessionId"}: own.ids["orphanId"]}
	case "startOrder", "startConnector", "stopOrder", "stopConnector", "resetCharger", "unlockConnector", "sendCommand", "simulateStart", "simulateStop":
		g := make(given)
		for _, s := range x.Spots {
			if s.name == "wait" {
				g[s] = 0
			}
		}
		connector := map[string]int{"startConnector": 3, "startOrder": 6}[id] // each start one of its own
		if connector > 0 {
			connector += map[string]int{"billingPlanId": 1, "idTag": 2}[at.name]
		}
		if connector > 0 {
			g[spot{"body", "connectorNo"}], g[spot{"path", "connectorNo"}] = connector, connector
		}
		if id == "sendCommand" {
			g[spot{"body", "type"}], g[spot{"body", "params"}] = "TRIGGER", map[string]any{"message": "Heartbeat"}
		}
		return g
	case "executeReconciliation", "dailyReconciliation", "setStatementFaults":
		g := body(map[string]any{"reconciliationDate": "2027-02-08", "date": "2027-02-08", "channel": "sandbox"})
		g[spot{"path", "channel"}] = "sandbox"
		return g
	case "bookMovement", "reverseMovement":
		return body(map[string]any{"kind": "PAID_OUT", "channel": "alipay", "reference": fresh(), "amount": 1})
	case "resetPassword":
		return body(map[string]any{"newPassword": "Another-password-7"})
	case "moveTenant":
		return given{{"path", "id"}: own.ids["childId"]}
	case "createMerchant":
		return body(map[string]any{"channel": "alipay", "name": fresh(), "appId": fresh(), "privateKey": merchantKeys().private, "alipayPublicKey": merchantKeys().public})
	case "rejectRefund":
		return body(map[string]any{"reason": "r"})
	case "resolveDifference":
		return body(map[string]any{"action": "WRITE_OFF", "reason": "r"})
	}
	return given{}
}

var counter atomic.Int64

// fresh is a code that nothing has.
func fresh() string { return fmt.Sprint("NEW", counter.Add(1)) }

// values are what a request to the operation holds when the place s holds v:
// the rest is the caller's own.
func values(x described, own *estate, s spot, v any) given {
	g := make(given)
	for _, other := range x.Spots {
		if !x.required[other] {
			continue
		}
		if id, ok := own.id(x, other); ok {
			g[other] = id
		}
	}
	maps.Copy(g, needed(x, own, s))
	g[s] = v
	return g
}

// never is an identifier of the same form as real that nobody has.
func never(real any) any {
	switch v := real.(type) {
	case string:
		if strings.HasPrefix(v, "S-") || strings.HasPrefix(v, "ORD-") {
			return v[:len(v)-4] + "0000"
		}
		if strings.Contains(v, "VIC") {
			return strings.ReplaceAll(v, "VIC", "VXX")
		}
		return strings.Repeat("9", len(v))
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = never(v[i])
		}
		return list
	}
	return 999_999_999
}

// same says where two answers differ but for the identifier that was asked
// for; "" when nowhere.
func same(a, b *http.Response, textA, textB string, real, fake any) string {
	if a.StatusCode != b.StatusCode {
		return fmt.Sprintf("status %d and %d: %s %s", a.StatusCode, b.StatusCode, textA, textB)
	}
	if d := headers(a, b); d != "" {
		return d
	}
	for one, ok := real.([]any); ok && len(one) == 1; one, ok = real.([]any) {
		real, fake = one[0], fake.([]any)[0]
	}
	return differ("", tree(textA), tree(textB), text(real), text(fake))
}

func headers(a, b *http.Response) string {
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		if name != "Date" && name != "X-Request-Id" && name != "Content-Length" && !slices.Equal(a.Header[name], b.Header[name]) {
			return fmt.Sprintf("header %s: %v and %v", name, a.Header[name], b.Header[name])
		}
	}
	if len(a.Header) != len(b.Header) {
		return fmt.Sprintf("headers %v and %v", a.Header, b.Header)
	}
	return ""
}

// tree is an answer, without what is different every time.
func tree(body string) any {
	var node any
	dec := json.NewDecoder(strings.NewReader(body))
	dec.UseNumber()
	if dec.Decode(&node) != nil {
		return body
	}
	for _, name := range []string{"traceId", "timestamp", "path"} {
		delete(object(node), name)
	}
	return node
}

func differ(where string, a, b any, real, fake string) string {
	switch x := a.(type) {
	case map[string]any:
		y := object(b)
		if len(x) != len(y) {
			return fmt.Sprintf("%s: %v and %v", where, a, b)
		}
		for name, v := range x {
			if name == "version" {
				continue // one of the two came later
			}
			if d := differ(where+"."+name, v, y[name], real, fake); d != "" {
				return d
			}
		}
		return ""
	case []any:
		y := listOf(b)
		if len(x) != len(y) {
			return fmt.Sprintf("%s: %v and %v", where, a, b)
		}
		for i := range x {
			if d := differ(fmt.Sprint(where, "[", i, "]"), x[i], y[i], real, fake); d != "" {
				return d
			}
		}
		return ""
	}
	left, right := fmt.Sprint(a), fmt.Sprint(b)
	if left == right || strings.ReplaceAll(left, real, fake) == right {
		return ""
	}
	return fmt.Sprintf("%s: %s and %s", where, left, right)
}

// attacker is somebody who has no business with the victim.
type attacker struct {
	name   string
	bearer string
	own    *estate
	// all is the code that every request gets; zero: as if the thing did not exist.
	all evcs.Code
	// known: it lies below his tenant and he may be told so (5003).
	known bool
}

func TestNoTenantSeesAnother(t *testing.T) {
	t.Parallel()
	options := []evcstest.Option{evcstest.WithConfig(func(c *config.Config) {
		c.Debug.Protocol.Enabled, c.RateLimit.ExportPerMinute = true, 0
	})}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		sweep(t, evcstest.Start(t, options...))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if storetest.Server(t) != "" {
			sweep(t, evcstest.StartOn(t, storetest.PostgresURL(t), t.TempDir(), options...))
		}
	})
}

func sweep(t *testing.T, d *evcstest.Daemon) {
	t.Helper()
	d.Clock.Set(begun)
	platform := d.Admin()
	parent := settle(t, d, platform, "PAR", 1, 1)
	victim := settle(t, d, platform, "VIC", parent.ids["tenantId"], 1)
	sibling := settle(t, d, platform, "SIB", parent.ids["tenantId"], 2)
	child := settle(t, d, platform, "CHI", victim.ids["tenantId"], 2)
	stranger := settle(t, d, platform, "STR", 1, 1)
	attackers := []attacker{
		{name: "sibling", bearer: sibling.boss.Token(), own: sibling},
		{name: "child", bearer: child.boss.Token(), own: child},
	}
	attackers = append(attackers, shutOut(t, d, platform, sibling)...)
	for _, e := range []*estate{parent, sibling, child, stranger} {
		e.furnish(t, d, platform, 1)
	}
	attackers = append(attackers,
		attacker{name: "stranger", bearer: watcher(t, d, stranger).Token(), own: stranger},
		attacker{name: "parent's user", bearer: watcher(t, d, parent).Token(), own: parent, known: true})

	ops := readDocument(t, d)
	everyPlaceIsKnown(t, ops, parent)
	listeners := make([]*listener, len(attackers))
	views := make([]map[string]string, len(attackers))
	for i, a := range attackers {
		if a.all == 0 {
			view(t, d, ops, a, victim.mark) // what reading itself leaves behind
			views[i] = view(t, d, ops, a, victim.mark)
			listeners[i] = listen(t, d, a.bearer)
		}
	}
	owner := listen(t, d, victim.boss.Token())
	victim.furnish(t, d, platform, 7)
	for i, a := range attackers {
		if a.all != 0 {
			continue
		}
		after := view(t, d, ops, a, victim.mark)
		for _, id := range slices.Sorted(maps.Keys(views[i])) {
			if before := views[i][id]; before != after[id] {
				t.Errorf("%s sees in %s that the victim has grown:\n%.600s\n%.600s", a.name, id, before, after[id])
			}
		}
	}
	owner.until(t, "alert.raised", "payment.status", "reconciliation.finished")
	tried := 0
	for _, a := range attackers {
		for _, x := range ops {
			tried += attack(t, d, x, a, victim)
		}
	}
	for i, a := range attackers {
		if listeners[i] != nil {
			listeners[i].heardNothingOf(t, a.name, victim)
		}
	}
	if tried < 1000 {
		t.Errorf("only %d attacks", tried)
	}
	t.Logf("%d operations, %d attacks", len(ops), tried)
	teeth(t, d, ops, victim)
}

// shutOut are principals whose time is over: each request gets one answer.
func shutOut(t *testing.T, d *evcstest.Daemon, platform evcstest.Caller, own *estate) []attacker {
	t.Helper()
	off, old := settle(t, d, platform, "OFF", 1, 2), settle(t, d, platform, "OLD", 1, 2)
	soon := d.Clock.Now().Add(time.Minute)
	platform.OK(t, http.MethodPut, fmt.Sprintf("/api/tenant/%v/status", off.ids["tenantId"]), map[string]any{"status": 0})
	platform.OK(t, http.MethodPut, fmt.Sprintf("/api/tenant/%v", old.ids["tenantId"]), map[string]any{"expireTime": soon})
	var key struct{ Key string }
	own.boss.OK(t, http.MethodPost, "/api/auth/api-keys", map[string]any{"name": "old", "scopes": []string{"station:*"}, "expireTime": soon}).Into(t, &key)
	d.Clock.Advance(2 * time.Minute)
	return []attacker{
		{name: "disabled tenant", bearer: off.boss.Token(), own: own, all: evcs.CodeTenantDisabled},
		{name: "expired tenant", bearer: old.boss.Token(), own: own, all: evcs.CodeTenantExpired},
		{name: "expired key", bearer: key.Key, own: own, all: evcs.CodeTokenExpired},
	}
}

// watcher is a user of a tenant who may everything but look below it, and at
// the machine with what it logs of everybody.
func watcher(t *testing.T, d *evcstest.Daemon, e *estate) evcstest.Caller {
	t.Helper()
	var me struct{ Permissions []string }
	e.boss.OK(t, http.MethodGet, "/api/auth/userinfo", nil).Into(t, &me)
	mine := slices.DeleteFunc(me.Permissions, func(p string) bool { return strings.HasPrefix(p, "tenant:descendants:") || p == "monitoring:system" })
	e.boss.OK(t, http.MethodPost, "/api/role", map[string]any{"roleCode": "WATCHER", "roleName": "Watcher", "permissions": mine})
	e.boss.OK(t, http.MethodPost, "/api/user", map[string]any{
		"username": "watcher", "password": evcstest.Password, "roles": []string{"WATCHER"}, "mustChangePassword": 0,
	})
	return d.SignIn("watcher@"+e.code, evcstest.Password)
}

// everyPlaceIsKnown fails for an identifier that the sweep could not try: the
// estate needs one, or notTheirs a reason.
func everyPlaceIsKnown(t *testing.T, ops []described, e *estate) {
	t.Helper()
	for _, x := range ops {
		for _, s := range x.idSpots() {
			if _, ok := e.id(x, s); !ok && theirs(x, s) && x.Group != "internal" {
				t.Errorf("%s takes %s in its %s, which no estate has", x.ID, s.name, s.in)
			}
		}
	}
}

// unsteady are reads whose answer changes by itself.
func unsteady(x described) bool {
	record := x.ID == "listAudit" || x.ID == "exportAuditLog" || x.ID == "verifyAudit" || x.ID == "countCrossLayer" // his own reads are on it
	return record || x.Group == "monitoring" && !strings.Contains(x.Path, "alerts")
}

// view is everything that an attacker can read without anybody's identifier
// but his own.
func view(t *testing.T, d *evcstest.Daemon, ops []described, a attacker, mark string) map[string]string {
	t.Helper()
	seen := make(map[string]string)
	for _, x := range ops {
		if x.Method != http.MethodGet || x.Media == "text/event-stream" {
			continue
		}
		for _, wide := range []string{"", "SELF_AND_DESCENDANTS"} {
			g := values(x, a.own, spot{}, nil)
			delete(g, spot{})
			at := spot{"query", "tenantScope"}
			if wide != "" {
				if !slices.Contains(x.Spots, at) || a.name == "child" {
					continue
				}
				g[at] = wide
			}
			answer, body := x.judged(t, d.URL, a.bearer, g)
			if strings.Contains(body, mark) {
				t.Errorf("%s reads the victim's %s: %s", a.name, x.ID, body)
			}
			if !unsteady(x) && !(a.known && x.Group == "quota") { // a quota counts what lies below
				seen[x.ID+" "+wide] = fmt.Sprint(answer.StatusCode, tree(body))
			}
		}
	}
	return seen
}

// attack tries every identifier of the victim at every place of an operation.
func attack(t *testing.T, d *evcstest.Daemon, x described, a attacker, victim *estate) int {
	t.Helper()
	n := 0
	for _, s := range x.idSpots() {
		real, ok := victim.id(x, s)
		if !ok || !theirs(x, s) || excused(a, x, s) {
			continue
		}
		n++
		fake := never(real)
		// Each is asked alone: what the first changes, a version at most, is blinded.
		got, body := x.ask(t, d.URL, a.bearer, values(x, a.own, s, real))
		if a.all != 0 && !strings.HasPrefix(x.Path, "/api/payment/callback/") {
			if got.StatusCode != a.all.Status() || !strings.Contains(body, fmt.Sprintf(`"code":%d`, a.all)) {
				t.Errorf("%s: %s gets %d %s", a.name, x.ID, got.StatusCode, body)
			}
		}
		if a.known && got.StatusCode == http.StatusForbidden && strings.Contains(body, `"code":5003`) {
			if strings.Contains(body, victim.mark) {
				t.Errorf("%s: the refusal of %s tells more than it should: %s", a.name, x.ID, body)
			}
			continue
		}
		want, nobody := x.ask(t, d.URL, a.bearer, values(x, a.own, s, fake))
		if diff := same(got, want, body, nobody, real, fake); diff != "" {
			t.Errorf("%s: %s %s with %s %s=%v is not answered as if there were none: %.800s", a.name, x.Method, x.Path, s.in, s.name, real, diff)
		}
	}
	return n
}

// teeth shows that the attacks were real ones: to the owner, his own thing is
// something else than nothing, at every place that was tried.
func teeth(t *testing.T, d *evcstest.Daemon, ops []described, victim *estate) {
	t.Helper()
	order := []string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete}
	slices.SortStableFunc(ops, func(a, b described) int { return slices.Index(order, a.Method) - slices.Index(order, b.Method) })
	for _, x := range ops {
		for _, s := range x.idSpots() {
			real, ok := victim.id(x, s)
			if !ok || !theirs(x, s) {
				continue
			}
			if x.Method == http.MethodDelete && strings.Contains(x.ID, ".") { // its other path has just deleted it
				continue
			}
			fake := never(real)
			want, nobody := x.ask(t, d.URL, victim.boss.Token(), values(x, victim, s, fake))
			got, body := x.judged(t, d.URL, victim.boss.Token(), values(x, victim, s, real))
			if same(got, want, body, nobody, real, fake) == "" {
				t.Errorf("%s %s with %s %s=%v says nothing to its owner either, so the attack on it proves nothing: %d %.300s", x.Method, x.Path, s.in, s.name, real, got.StatusCode, body)
			}
		}
	}
}

// listener reads an event stream.
type listener struct {
	mu    sync.Mutex
	lines []string // guarded by mu
	stop  context.CancelFunc
	done  chan struct{}
}

func listen(t *testing.T, d *evcstest.Daemon, bearer string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &listener{stop: cancel, done: make(chan struct{})}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL+"/api/events/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("stream: %v %v", answer, err)
	}
	go func() {
		defer close(l.done)
		defer answer.Body.Close()
		lines := bufio.NewScanner(answer.Body)
		for lines.Scan() {
			l.mu.Lock()
			l.lines = append(l.lines, lines.Text())
			l.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-l.done
	})
	return l
}

func (l *listener) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

// until waits for events of these types.
func (l *listener) until(t *testing.T, types ...string) {
	t.Helper()
	for _, kind := range types {
		evcstest.Eventually(t, "the owner hears "+kind, func() bool { return strings.Contains(l.all(), "event: "+kind) })
	}
}

func (l *listener) heardNothingOf(t *testing.T, name string, victim *estate) {
	t.Helper()
	if heard := l.all(); strings.Contains(heard, victim.mark) || strings.Contains(heard, fmt.Sprintf(`"tenantId":%v,`, victim.ids["tenantId"])) {
		t.Errorf("%s hears of the victim: %s", name, heard)
	}
}
