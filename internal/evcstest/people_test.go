package evcstest_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/store/storetest"
)

// eachUnlimited is each without a bound on failed sign-ins of an address.
func eachUnlimited(t *testing.T, test func(t *testing.T, d *evcstest.Daemon)) {
	t.Helper()
	options := evcstest.WithConfig(func(c *config.Config) { c.RateLimit.LoginPerMinute = 0 })
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, evcstest.Start(t, options))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if storetest.Server(t) != "" {
			test(t, evcstest.StartOn(t, storetest.PostgresURL(t), t.TempDir(), options))
		}
	})
}

// TestAnAdministratorStays: the administrators of a tenant are disabled, demoted
// and deleted at once, each by himself; one stays, and the others are told 6011
// or are done.
func TestAnAdministratorStays(t *testing.T) {
	t.Parallel()
	eachUnlimited(t, func(t *testing.T, d *evcstest.Daemon) {
		admin := d.Admin()
		for round := range 5 {
			code := fmt.Sprint("ADM", round)
			var made struct {
				TenantID int64
				Admin    struct{ UserID int64 }
			}
			admin.OK(t, http.MethodPost, "/api/tenant", map[string]any{
				"tenantCode": code, "tenantName": code, "tenantType": 2, "contactPerson": "a", "contactPhone": "13800000000",
				"admin": map[string]any{"username": "boss", "password": evcstest.Password},
			}).Into(t, &made)
			ids := []int64{made.Admin.UserID}
			for i := range 3 {
				var user struct{ UserID int64 }
				admin.OK(t, http.MethodPost, "/api/user", map[string]any{
					"username": fmt.Sprint("boss", i), "password": evcstest.Password, "roles": []string{"ADMIN"}, "tenantId": made.TenantID, "mustChangePassword": 0,
				}).Into(t, &user)
				ids = append(ids, user.UserID)
			}
			answers := make([]evcstest.Answer, len(ids))
			var all sync.WaitGroup
			for i, id := range ids {
				all.Go(func() {
					switch path := evcstest.Path("/api/user/%d", id); i % 3 {
					case 0:
						answers[i] = admin.Call(t, http.MethodPut, path+"/status", map[string]any{"status": 0})
					case 1:
						answers[i] = admin.Call(t, http.MethodPut, path+"/roles", map[string]any{"roles": []string{"VIEWER"}})
					default:
						answers[i] = admin.Call(t, http.MethodDelete, path, nil)
					}
				})
			}
			all.Wait()
			refused := 0
			for _, a := range answers {
				if evcs.Code(a.Code) == evcs.CodeLastAdmin {
					refused++
				} else if a.Status != http.StatusOK {
					t.Errorf("%d %d %s", a.Status, a.Code, a.Message)
				}
			}
			var left struct{ Total int }
			admin.OK(t, http.MethodGet, evcstest.Path("/api/user?tenantId=%d&roleCode=ADMIN&status=1", made.TenantID), nil).Into(t, &left)
			if refused != 1 || left.Total != 1 {
				t.Errorf("round %d: %d refused, %d administrators left; want one each", round, refused, left.Total)
			}
		}
	})
}

// TestGuessingAtOnce: many guesses at the same time are no way around the
// lockout: the account is locked as after five in a row, the right password does
// not help, attempts do not extend it, and afterwards it does.
func TestGuessingAtOnce(t *testing.T) {
	t.Parallel()
	eachUnlimited(t, func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun)
		admin := d.Admin()
		admin.OK(t, http.MethodPost, "/api/user", map[string]any{"username": "cy", "password": evcstest.Password, "mustChangePassword": 0})
		guess := func(password string) evcstest.Answer {
			return d.Anyone().Call(t, http.MethodPost, "/api/auth/login", map[string]any{"identifier": "cy@tenant1", "password": password})
		}
		var mu sync.Mutex
		said := make(map[evcs.Code]int) // guarded by mu
		var all sync.WaitGroup
		for i := range 24 {
			all.Go(func() {
				a := guess(fmt.Sprint("guess-", i))
				mu.Lock()
				defer mu.Unlock()
				said[evcs.Code(a.Code)]++
			})
		}
		all.Wait()
		// Two hashes are made at once: a guess may be under way when the fifth is counted.
		if checked := said[evcs.CodeBadCredentials]; checked < 5 || checked > 7 || checked+said[evcs.CodeAccountLocked] != 24 {
			t.Errorf("answers %v, want five to seven guesses checked and the rest 6002", said)
		}
		until := func() string {
			a := guess(evcstest.Password)
			var facts struct{ LockedUntil string }
			a.Into(t, &facts)
			if evcs.Code(a.Code) != evcs.CodeAccountLocked || a.Header.Get("Retry-After") == "" {
				t.Fatalf("%d %d %s", a.Status, a.Code, a.Message)
			}
			return facts.LockedUntil
		}
		first := until()
		d.Clock.Advance(10 * time.Minute)
		if second := until(); first != second || first != begun.Add(15*time.Minute).Format(time.RFC3339) {
			t.Errorf("locked until %s, then until %s", first, second)
		}
		d.Clock.Advance(5*time.Minute + time.Second)
		if a := guess(evcstest.Password); a.Status != http.StatusOK {
			t.Errorf("after the lock: %d %d", a.Status, a.Code)
		}
	})
}

// TestNobodyGrantsWhatHeLacks tries every way to hand out a permission: roles,
// users, keys, new passwords; and to change what is built in.
func TestNobodyGrantsWhatHeLacks(t *testing.T) {
	t.Parallel()
	eachUnlimited(t, func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun)
		admin := d.Admin()
		admin.OK(t, http.MethodPost, "/api/role", map[string]any{"roleCode": "CLERK", "roleName": "c", "permissions": []string{
			"user:add", "user:edit", "user:query", "user:reset", "role:edit", "role:query", "apikey:manage", "station:list",
		}})
		admin.OK(t, http.MethodPost, "/api/role", map[string]any{"roleCode": "MORE", "roleName": "m", "permissions": []string{"payment:refund"}})
		user := func(name, role string) int64 {
			var made struct{ UserID int64 }
			admin.OK(t, http.MethodPost, "/api/user", map[string]any{"username": name, "password": evcstest.Password, "roles": []string{role}, "mustChangePassword": 0}).Into(t, &made)
			return made.UserID
		}
		user("clerk", "CLERK")
		more, plain := user("more", "MORE"), user("plain", "CLERK")
		clerk := d.SignIn("clerk@tenant1", evcstest.Password)
		var own struct{ RoleID int64 }
		clerk.OK(t, http.MethodPost, "/api/role", map[string]any{"roleCode": "OWN", "roleName": "o", "permissions": []string{"station:list"}}).Into(t, &own)
		soon := d.Clock.Now().AddDate(0, 1, 0)
		for what, x := range map[string]struct {
			method, path string
			body         map[string]any
			want         evcs.Code
		}{
			"a role with more":            {"POST", "/api/role", map[string]any{"roleCode": "BIG", "roleName": "b", "permissions": []string{"payment:refund"}}, 6017},
			"a role with a whole module":  {"POST", "/api/role", map[string]any{"roleCode": "BIG", "roleName": "b", "permissions": []string{"station:*"}}, 6017},
			"more for a role of his":      {"PUT", evcstest.Path("/api/role/%d", own.RoleID), map[string]any{"permissions": []string{"station:list", "payment:refund"}}, 6017},
			"a user with a bigger role":   {"POST", "/api/user", map[string]any{"username": "x1", "roles": []string{"MORE"}}, 6017},
			"an administrator":            {"POST", "/api/user", map[string]any{"username": "x2", "roles": []string{"ADMIN"}}, 6017},
			"a bigger role for a user":    {"PUT", evcstest.Path("/api/user/%d/roles", plain), map[string]any{"roles": []string{"MORE"}}, 6017},
			"the same by another path":    {"PUT", evcstest.Path("/api/user/%d", plain), map[string]any{"roles": []string{"ADMIN"}}, 6017},
			"a password of who holds it":  {"POST", evcstest.Path("/api/user/%d/reset-password", more), map[string]any{}, 6017},
			"a password of the admin":     {"POST", "/api/user/1/reset-password", map[string]any{}, 6017},
			"a key with more":             {"POST", "/api/auth/api-keys", map[string]any{"name": "k", "scopes": []string{"payment:refund"}, "expireTime": soon}, 6017},
			"a key with a whole module":   {"POST", "/api/auth/api-keys", map[string]any{"name": "k", "scopes": []string{"station:*"}, "expireTime": soon}, 6017},
			"a key in another's name":     {"POST", "/api/auth/api-keys", map[string]any{"name": "k", "scopes": []string{"payment:refund"}, "expireTime": soon, "userId": more}, 6017},
			"a change of ADMIN":           {"PUT", "/api/role/1", map[string]any{"roleName": "x"}, 6015},
			"less for OPERATOR":           {"PUT", "/api/role/2", map[string]any{"permissions": []string{"station:list"}}, 6015},
			"the end of FINANCE":          {"DELETE", "/api/role/3", nil, 6015},
			"a remark at VIEWER":          {"PUT", "/api/role/4", map[string]any{"remark": "x"}, 6015},
			"the end of a role in use":    {"DELETE", evcstest.Path("/api/role/%d", own.RoleID-2), nil, 6015},
			"what he holds (no refusal)":  {"POST", "/api/role", map[string]any{"roleCode": "FINE", "roleName": "f", "permissions": []string{"station:list"}}, 0},
			"a user like him, no refusal": {"POST", "/api/user", map[string]any{"username": "x3", "roles": []string{"OWN"}}, 0},
		} {
			var body any
			if x.body != nil {
				body = x.body
			}
			a := clerk.Call(t, x.method, x.path, body)
			if got := evcs.Code(a.Code); got != x.want && (x.want != 0 || a.Status != http.StatusOK) {
				t.Errorf("%s: %d %d %s, want %d", what, a.Status, a.Code, a.Message, x.want)
			}
		}
	})
}
