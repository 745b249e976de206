package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

type standing struct{ at time.Time }

func (s standing) Now() time.Time { return s.at }

// identity is a server with the operations of tenants and people on a real store.
func identity(t *testing.T, db *store.DB) http.Handler {
	t.Helper()
	clock := standing{time.Date(2026, 2, 10, 10, 35, 0, 0, time.UTC)}
	authTx := func(ctx context.Context, fn func(auth.Tx) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}
	tenantTx := func(ctx context.Context, fn func(tenant.Tx) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}
	hasher, err := auth.NewHasher()
	if err != nil {
		t.Fatal(err)
	}
	people, tree := db.Reader().Auth(), db.Reader().Tenants()
	guard, err := auth.NewGuard(auth.Config{
		Clock: clock, Transact: authTx, Read: people, Tenants: tree, Hasher: hasher, Secret: []byte(strings.Repeat("s", 32)),
	})
	if err != nil {
		t.Fatal(err)
	}
	users := &auth.Registry{Clock: clock, Transact: authTx, Hasher: hasher, Changed: guard.Forget}
	if _, _, err := users.Bootstrap(t.Context(), "Correct-horse-7"); err != nil {
		t.Fatal(err)
	}
	return httpapi.New(httpapi.Config{
		Clock: clock, Log: slog.New(slog.DiscardHandler), Guard: guard, Tree: tree, Replays: db.Idempotency(clock, "n"),
		Crossings: &tenant.Crossings{Clock: clock, Transact: tenantTx, Log: slog.New(slog.DiscardHandler)},
		Parts: []httpapi.Part{
			httpapi.Auth{Guard: guard, Keys: &auth.KeyRing{Clock: clock, Transact: authTx, Changed: guard.Forget}, Read: people, Tenants: tree},
			httpapi.Users{Clock: clock, Write: users, Read: people, Tenants: tree},
			httpapi.Roles{Write: users, Read: people, Tenants: tree},
			httpapi.Tenants{Clock: clock, Write: &tenant.Registry{Clock: clock, Transact: tenantTx, Changed: guard.Forget}, Found: users, Read: tree},
			httpapi.Audit{Clock: clock, Read: tree},
		},
	})
}

// caller sends requests as one principal.
type caller struct {
	t      *testing.T
	server http.Handler
	token  string
}

// do sends a request and returns the answer's code and data.
func (c caller) do(method, path, body string) (int, map[string]any, []any) {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:5000"
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	var answer struct {
		Code int `json:"code"`
		Data any `json:"data"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		c.t.Fatalf("%s %s: %q: %v", method, path, w.Body, err)
	}
	fields, _ := answer.Data.(map[string]any)
	list, _ := answer.Data.([]any)
	if answer.Code == int(evcs.CodeInternalError) || answer.Code == int(evcs.CodeValidationFailed) {
		c.t.Logf("%s %s: %s", method, path, w.Body)
	}
	return answer.Code, fields, list
}

// want fails the test unless the answer has the code; it returns the data.
func (c caller) want(code int, method, path, body string) map[string]any {
	c.t.Helper()
	got, data, _ := c.do(method, path, body)
	if got != code {
		c.t.Errorf("%s %s: code %d, data %v; want %d", method, path, got, data, code)
	}
	return data
}

func (c caller) enter(identifier, password string) caller {
	c.t.Helper()
	data := c.want(200, "POST", "/api/auth/login", fmt.Sprintf(`{"identifier":%q,"password":%q}`, identifier, password))
	token, _ := data["token"].(string)
	return caller{c.t, c.server, token}
}

func TestTenantsAndPeopleOverTheWire(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		anyone := caller{t, identity(t, db), ""}
		anyone.want(6001, "POST", "/api/auth/login", `{"identifier":"admin@tenant1","password":"no"}`)
		anyone.want(6006, "GET", "/api/auth/userinfo", "")
		root := anyone.enter("admin@tenant1", "Correct-horse-7")
		if me := root.want(200, "GET", "/api/auth/userinfo", ""); me["userType"] != 0.0 || me["tenantCode"] != "SYSTEM" {
			t.Errorf("userinfo: %v", me)
		}
		made := root.want(200, "POST", "/api/tenant", `{"tenantCode":"FT","tenantName":"Futian","contactPerson":"Li","contactPhone":"13800138000",
			"tenantType":2,"maxUsers":3,"admin":{"username":"lee"}}`)
		admin, _ := made["admin"].(map[string]any)
		password, _ := admin["password"].(string)
		root.want(5007, "POST", "/api/tenant", `{"tenantCode":"ft","tenantName":"x","contactPerson":"Li","contactPhone":"13800138000","tenantType":2}`)
		lee := anyone.enter("lee@ft", password)
		lee.want(6012, "GET", "/api/tenant/tree", "")
		lee.want(200, "POST", "/api/auth/password", fmt.Sprintf(`{"oldPassword":%q,"newPassword":"Another-staple-9"}`, password))

		lee.want(5001, "GET", "/api/tenant/1", "")
		lee.want(5009, "PUT", "/api/tenant/2", `{"maxUsers":99}`)
		lee.want(5009, "PUT", "/api/tenant/2/status", `{"status":0}`)
		lee.want(200, "POST", "/api/user", `{"username":"bo","roles":["OPERATOR"]}`)
		lee.want(6010, "POST", "/api/user", `{"username":"BO"}`)
		user := lee.want(200, "POST", "/api/user", `{"username":"cy"}`)
		if full := lee.want(5006, "POST", "/api/user", `{"username":"di"}`); full["limitingTenantId"] != 2.0 || full["limit"] != 3.0 {
			t.Errorf("quota: %v", full)
		}
		if check := lee.want(200, "GET", "/api/tenant/quota/check/add-user/2", ""); check["allowed"] != false || check["limitingTenantId"] != 2.0 {
			t.Errorf("forecast: %v", check)
		}
		lee.want(200, "PUT", fmt.Sprintf("/api/user/%v/roles", user["userId"]), `{"roles":["FINANCE"]}`)
		lee.want(6013, "PUT", fmt.Sprintf("/api/user/%v/roles", user["userId"]), `{"roles":["NOBODY"]}`)
		lee.want(6009, "GET", "/api/user/1", "")
		lee.want(6017, "POST", "/api/role", `{"roleCode":"DEV","roleName":"dev","permissions":["protocol:debug"]}`)
		role := lee.want(200, "POST", "/api/role", `{"roleCode":"DESK","roleName":"desk","permissions":["station:*"]}`)
		lee.want(6014, "POST", "/api/role", `{"roleCode":"DESK","roleName":"desk","permissions":[]}`)
		lee.want(6015, "PUT", "/api/role/1", `{"roleName":"x"}`)
		if role["roleId"] != 5.0 {
			t.Errorf("the first own role: %v", role)
		}
		key := lee.want(200, "POST", "/api/auth/api-keys", `{"name":"k","scopes":["tenant:query"],"expireTime":"2026-12-01T00:00:00Z"}`)
		text, _ := key["key"].(string)
		machine := caller{t, anyone.server, text}
		machine.want(200, "GET", "/api/tenant/2", "")
		machine.want(9403, "GET", "/api/user", "")
		machine.want(9403, "GET", "/api/auth/api-keys", "")
		if me := machine.want(200, "GET", "/api/auth/userinfo", ""); me["principalType"] != "API_KEY" {
			t.Errorf("a key's userinfo: %v", me)
		}
		if set := root.want(200, "PUT", "/api/tenant/2/settings", `{"timeZone":"Asia/Tokyo","sandboxPayments":true}`); set["timeZone"] != "Asia/Tokyo" {
			t.Errorf("settings: %v", set)
		}
		root.want(9400, "PUT", "/api/tenant/2/settings", `{"timeZone":"Nowhere/Land"}`)
		if done := root.want(200, "PUT", "/api/tenant/2/status", `{"status":0}`); done["effectiveStatus"] != "DISABLED" {
			t.Errorf("disable: %v", done)
		}
		lee.want(5004, "GET", "/api/auth/userinfo", "")
		machine.want(5004, "GET", "/api/tenant/2", "")
		root.want(200, "PUT", "/api/tenant/2/status", `{"status":1}`)
		_, list, records := root.do("GET", "/api/tenant/list", "")
		if len(records) != 2 {
			t.Errorf("list: %v %v", list, records)
		}
		for _, path := range []string{"/api/tenant/page?cursor=&size=1", "/api/tenant/audit-log/page?action=CROSS_LAYER_WRITE", "/api/user?tenantId=2", "/api/role/list"} {
			if code, data, _ := root.do("GET", path, ""); code != 200 {
				t.Errorf("%s: %d %v", path, code, data)
			}
		}
		root.want(200, "GET", "/api/tenant/audit-log/actions", "")
		root.want(200, "GET", "/api/tenant/audit-log/statistics/cross-layer?startTime=2026-02-03%2000:00:00", "")
		if v := root.want(200, "GET", "/api/tenant/audit-log/verify", ""); v["ok"] != true {
			t.Errorf("verify: %v", v)
		}
		root.want(200, "DELETE", "/api/tenant/2", "")
		root.want(5001, "GET", "/api/tenant/2", "")
		lee.want(5002, "GET", "/api/auth/userinfo", "")
	})
}
