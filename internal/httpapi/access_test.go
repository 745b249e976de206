package httpapi

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// paced are operations of every pace.
type paced struct{}

func (paced) register(s *Server) {
	for path, op := range map[string]operation{
		"/api/paced/start": {Pace: paceStart, Permission: "thing:query"}, "/api/paced/export": {Pace: paceExport, Permission: "thing:query"},
		"/api/paced/callback": {Pace: paceCallback, Access: public}, "/api/paced/any": {Permission: "thing:query"},
	} {
		op.ID, op.Method, op.Path, op.Group, op.Summary = path[len("/api/paced/"):], http.MethodGet, path, "thing", "Paced"
		register(s, op, func(ctx context.Context, _ *evcs.Actor, _ *struct{}) (*string, error) {
			return &exchangeOf(ctx).address, nil
		})
	}
	register(s, operation{ID: "createStation", Method: http.MethodPost, Path: "/api/paced/station", Group: "station", Permission: "thing:create", Summary: "Write"},
		func(context.Context, *evcs.Actor, *struct{}) (*Null, error) { return nil, nil })
	register(s, operation{ID: "updateStation", Method: http.MethodPut, Path: "/api/paced/station/{id}", Group: "station", Permission: "thing:query", Summary: "Across"},
		func(context.Context, *evcs.Actor, *struct {
			ID int64 `path:"id"`
		},
		) (*Null, error) {
			return nil, evcs.With(errCrossTenant, map[string]any{"permission": "tenant:descendants:write"})
		})
}

// refusals are Crossings that remember.
type refusals struct{ list []tenant.Refusal }

func (*refusals) CrossedRead(context.Context, *evcs.Actor, string, evcs.TenantID) {}

func (r *refusals) Refused(_ context.Context, _ *evcs.Actor, x tenant.Refusal) {
	r.list = append(r.list, x)
}

func pacedServer(change func(*Config)) *Server {
	query := map[evcs.Permission]bool{"thing:query": true}
	c := Config{
		Clock: fixedClock{time.Date(2026, 2, 10, 10, 35, 0, 0, time.UTC)}, Log: slog.New(slog.DiscardHandler), Tree: tree{},
		Guard: guards{
			"one": {User: 1, Tenant: 1, Zone: time.UTC, Permissions: query}, "two": {User: 2, Tenant: 1, Zone: time.UTC, Permissions: query},
			"other": {User: 3, Tenant: 2, Zone: time.UTC, Permissions: query},
		},
		Parts:  []Part{paced{}},
		Limits: Limits{TenantPerSecond: 20, TenantBurst: 40, StartPerSecond: 3, CallbackPerSecond: 2, ExportPerMinute: 2},
	}
	if change != nil {
		change(&c)
	}
	return New(c)
}

func ask(h http.Handler, path, bearer, address string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	r.RemoteAddr = address + ":999"
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPaces(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path                 string
		allowed              int
		first, same, another [2]string     // bearer, address: who fills the bucket, who shares it, who does not
		wait                 time.Duration // until one more passes
	}{
		"starts of a tenant":       {"start", 3, [2]string{"one", "10.0.0.1"}, [2]string{"two", "10.0.0.2"}, [2]string{"other", "10.0.0.1"}, time.Second},
		"exports of a user":        {"export", 2, [2]string{"one", "10.0.0.1"}, [2]string{"one", "10.0.0.2"}, [2]string{"two", "10.0.0.1"}, 30 * time.Second},
		"callbacks of an address":  {"callback", 2, [2]string{"", "10.0.0.1"}, [2]string{"", "10.0.0.1"}, [2]string{"", "10.0.0.2"}, time.Second},
		"all requests of a tenant": {"any", 40, [2]string{"one", "10.0.0.1"}, [2]string{"two", "10.0.0.2"}, [2]string{"other", "10.0.0.1"}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := pacedServer(nil)
				path := "/api/paced/" + c.path
				for i := range c.allowed {
					// What a stranger says of his address opens no new bucket.
					if w := ask(h, path, c.first[0], c.first[1], "X-Forwarded-For", "192.0.2."+strconv.Itoa(i)); w.Code != http.StatusOK {
						t.Fatalf("request %d: %d %s", i, w.Code, w.Body)
					}
				}
				w := ask(h, path, c.same[0], c.same[1])
				seconds := strconv.Itoa(int(c.wait.Seconds()))
				if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") != seconds || !strings.Contains(w.Body.String(), `"retryAfter":`+seconds+`}`) {
					t.Errorf("one too many: %d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
				}
				if w := ask(h, path, c.another[0], c.another[1]); w.Code != http.StatusOK {
					t.Errorf("somebody else: %d %s", w.Code, w.Body)
				}
				time.Sleep(c.wait)
				if w := ask(h, path, c.same[0], c.same[1]); w.Code != http.StatusOK {
					t.Errorf("after Retry-After: %d %s", w.Code, w.Body)
				}
			})
		})
	}
}

func TestGatesStaySmall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate[int](1, 1)
		for i := range 3 * maxBuckets {
			g.wait(i)
		}
		if n := len(g.by); n > maxBuckets {
			t.Errorf("%d buckets", n)
		}
		g = newGate[int](1, 2)
		g.wait(-1)
		g.wait(-1)
		for i := range maxBuckets - 1 {
			g.wait(i)
		}
		time.Sleep(1100 * time.Millisecond) // all but -1 are full again
		g.wait(maxBuckets)
		if g.by[-1] == nil || len(g.by) != 2 {
			t.Errorf("%d buckets, the busy one is kept: %t", len(g.by), g.by[-1] != nil)
		}
	})
}

func TestClientAddress(t *testing.T) {
	t.Parallel()
	const secret = "a proxy's secret"
	h := pacedServer(func(c *Config) {
		c.ProxyCIDR, c.ProxySecret = []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, secret
	})
	for name, c := range map[string]struct {
		peer    string
		headers []string
		want    string
	}{
		"no proxy":                  {"192.0.2.7", nil, "192.0.2.7"},
		"a stranger's word":         {"192.0.2.7", []string{"X-Forwarded-For", "1.1.1.1", "X-Proxy-Secret", secret}, "192.0.2.7"},
		"a proxy without secret":    {"10.1.0.1", []string{"X-Forwarded-For", "1.1.1.1"}, "10.1.0.1"},
		"a proxy, another secret":   {"10.1.0.1", []string{"X-Forwarded-For", "1.1.1.1", "X-Proxy-Secret", "guess"}, "10.1.0.1"},
		"a proxy":                   {"10.1.0.1", []string{"X-Forwarded-For", "1.1.1.1", "X-Proxy-Secret", secret}, "1.1.1.1"},
		"the client forged a hop":   {"10.1.0.1", []string{"X-Forwarded-For", "127.0.0.1, 1.1.1.1", "X-Proxy-Secret", secret}, "1.1.1.1"},
		"in two header lines":       {"10.1.0.1", []string{"X-Forwarded-For", "127.0.0.1", "X-Forwarded-For", "1.1.1.1", "X-Proxy-Secret", secret}, "1.1.1.1"},
		"two proxies":               {"10.1.0.1", []string{"X-Forwarded-For", "9.9.9.9, 1.1.1.1, 10.1.0.2", "X-Proxy-Secret", secret}, "1.1.1.1"},
		"only proxies":              {"10.1.0.1", []string{"X-Forwarded-For", "10.1.0.3, 10.1.0.2", "X-Proxy-Secret", secret}, "10.1.0.3"},
		"nonsense behind the proxy": {"10.1.0.1", []string{"X-Forwarded-For", "1.1.1.1, unknown", "X-Proxy-Secret", secret}, "10.1.0.1"},
		"IPv6 in brackets":          {"10.1.0.1", []string{"X-Forwarded-For", "[2001:db8::1]", "X-Proxy-Secret", secret}, "2001:db8::1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if w := ask(h, "/api/paced/any", "one", c.peer, c.headers...); !strings.Contains(w.Body.String(), `"data":"`+c.want+`"`) {
				t.Errorf("want %s: %s", c.want, w.Body)
			}
		})
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	h := pacedServer(nil)
	for _, path := range []string{"/api/paced/any", "/api/nothing", "/v3/api-docs", "/swagger-ui.html"} {
		head := ask(h, path, "one", "10.0.0.1").Header()
		policy := closedPolicy
		cache := "no-store"
		if path == pagePath {
			policy, cache = head.Get("Content-Security-Policy"), "no-cache" // TestPagePolicy
		}
		got := map[string]string{}
		want := map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
			"Content-Security-Policy": policy, "Cache-Control": cache, "Strict-Transport-Security": "", "Access-Control-Allow-Origin": "",
		}
		for name := range want {
			got[name] = head.Get(name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/api/paced/any", http.NoBody)
	r.TLS = new(tls.ConnectionState)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Header().Get("Strict-Transport-Security") != "max-age=31536000" {
		t.Errorf("over TLS: %v", w.Header())
	}
}

// The page may run its own script and style, and nothing else that is inline.
func TestPagePolicy(t *testing.T) {
	t.Parallel()
	s := pacedServer(nil)
	for name, h := range map[string]http.Handler{"rest": s, "device": s.DeviceDocuments()} {
		w := ask(h, pagePath, "", "10.0.0.1")
		policy := w.Header().Get("Content-Security-Policy")
		for _, tag := range []string{"script", "style"} {
			written := strings.Count(w.Body.String(), "<"+tag+">")
			_, rest, _ := strings.Cut(policy, tag+"-src 'self'")
			own, _, _ := strings.Cut(rest, ";")
			if tag == "style" {
				written++ // the library's
			}
			if hashes := strings.Count(own, " 'sha256-"); written < 2 || hashes != written || strings.Contains(own, "unsafe") {
				t.Errorf("%s: %d %s elements in the page: %s", name, written, tag, policy)
			}
		}
		if w := ask(h, pagePath+"/swagger-ui-bundle.js", "", "10.0.0.1"); w.Code != http.StatusOK || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: a part of the page: %d %v", name, w.Code, w.Header())
		}
	}
}

func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	preflight := func(h http.Handler, origin string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodOptions, "/api/paced/any", http.NoBody)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", http.MethodPut)
		r.Header.Set("Access-Control-Request-Headers", "authorization,content-type")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const ours, foreign = "https://ops.example.com", "https://evil.example.com"
	if w := preflight(pacedServer(nil), ours); w.Code < http.StatusBadRequest || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("off by default: %d %v", w.Code, w.Header())
	}
	h := pacedServer(func(c *Config) { c.CORSOrigins = []string{ours} })
	w := preflight(h, ours)
	if w.Code != http.StatusNoContent || w.Header().Get("Access-Control-Allow-Origin") != ours || w.Header().Get("Access-Control-Allow-Methods") != http.MethodPut ||
		w.Header().Get("Access-Control-Allow-Headers") != "authorization,content-type" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("ours: %d %v", w.Code, w.Header())
	}
	if w := preflight(h, foreign); w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a foreign page: %v", w.Header())
	}
	if w := ask(h, "/api/paced/any", "one", "10.0.0.1", "Origin", ours); w.Header().Get("Access-Control-Allow-Origin") != ours || !strings.Contains(w.Header().Get("Access-Control-Expose-Headers"), "X-Tenant-Scope") {
		t.Errorf("a request of ours: %v", w.Header())
	}
	if w := ask(h, "/api/paced/any", "one", "10.0.0.1", "Origin", foreign); w.Code != http.StatusOK || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a request of a foreign page: %d %v", w.Code, w.Header())
	}
}

func TestRefusalsAreRecorded(t *testing.T) {
	t.Parallel()
	seen := new(refusals)
	h := pacedServer(func(c *Config) { c.Crossings = seen })
	for _, x := range [][2]string{{http.MethodPost, "/api/paced/station"}, {http.MethodPut, "/api/paced/station/7"}} {
		r := httptest.NewRequest(x[0], x[1], http.NoBody)
		r.Header.Set("Authorization", "Bearer one")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusForbidden {
			t.Fatalf("%v: %d %s", x, w.Code, w.Body)
		}
	}
	want := []tenant.Refusal{
		{Operation: "createStation", Action: "CREATE_STATION", TargetType: "STATION", Code: evcs.CodePermissionDenied},
		{Operation: "updateStation", Action: "UPDATE_STATION", TargetType: "STATION", TargetID: "7", Code: evcs.CodeCrossTenantDenied, Cross: true},
	}
	if diff := cmp.Diff(want, seen.list); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}

// Every write has an action under which a refusal is recorded, or is one of
// those that change nothing of anybody's.
func TestEveryWriteHasAnAction(t *testing.T) {
	t.Parallel()
	nothing := map[string]bool{
		"quotePlan": true, "validatePlan": true, "explainPrice": true, "createEventTicket": true, // they change nothing
		"login": true, "refreshToken": true, // nobody is known yet
		"createPayment": true, "closePayment": true, "paySandbox": true, "setStatementFaults": true, // payments have a journal of their own
		"dailyReconciliation": true, "executeReconciliation": true, "uploadStatement": true, // they can be repeated
	}
	for _, d := range everything().operations {
		if d.Access == deviceOnly {
			continue // chargers are no people; what they do is on record as messages
		}
		id, _, _ := strings.Cut(d.ID, ".")
		if d.Method == http.MethodGet || d.Access == public || d.Access == internalOnly || d.Group == "cloudcharge" || nothing[id] {
			continue
		}
		if action := refusalAction(d); tenant.Actions()[action].EN == "" {
			t.Errorf("%s: %q is no action: add it to refusalActions, or to the list of this test with its reason", d.ID, action)
		}
	}
}
