package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

func addUser(ctx context.Context, db *store.DB, t evcs.TenantID, name string) error {
	return db.Transact(ctx, func(tx *store.Tx) error {
		u := auth.User{Tenant: t, Username: name, Enabled: true, Created: day, Updated: day}
		a := boss()
		for _, p := range auth.Permissions() {
			a.Permissions[p.Code] = true
		}
		return auth.Admit(ctx, tx, a, &u, []string{"VIEWER"})
	})
}

func authTx(db *store.DB) auth.Transact {
	return func(ctx context.Context, fn func(auth.Tx) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}
}

// hand is a clock that is set by hand.
type hand struct {
	mu sync.Mutex
	at time.Time
}

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hand) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

const rightPassword = "Correct-horse-7"

// house is an installation with its administrator and everything of package auth.
type house struct {
	db    *store.DB
	clock *hand
	guard *auth.Guard
	reg   *auth.Registry
	keys  *auth.KeyRing
	tree  *tenant.Registry
}

func found(t *testing.T, db *store.DB) *house {
	t.Helper()
	hasher, err := auth.NewHasher()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{db: db, clock: &hand{at: day}}
	sealer, err := auth.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	h.guard, err = auth.NewGuard(auth.Config{
		Sealer: sealer,
		Clock:  h.clock, Transact: authTx(db), Read: db.Reader().Auth(), Tenants: db.Reader().Tenants(), Hasher: hasher,
		Secret: []byte("0123456789abcdef0123456789abcdef"),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.reg = &auth.Registry{Clock: h.clock, Transact: authTx(db), Hasher: hasher, Changed: h.guard.Forget}
	h.keys = &auth.KeyRing{Clock: h.clock, Transact: authTx(db), Changed: h.guard.Forget}
	h.tree = &tenant.Registry{Clock: h.clock, Transact: tenantTx(db), Changed: h.guard.Forget}
	if _, made, err := h.reg.Bootstrap(t.Context(), rightPassword); err != nil || !made {
		t.Fatalf("bootstrap: %v, %v", made, err)
	}
	if _, made, err := h.reg.Bootstrap(t.Context(), rightPassword); err != nil || made {
		t.Fatalf("bootstrap again: %v, %v", made, err)
	}
	return h
}

func (h *house) enter(t *testing.T, identifier string) (*auth.Tokens, *evcs.Actor) {
	t.Helper()
	tokens, err := h.guard.SignIn(t.Context(), identifier, auth.Proof{Password: rightPassword}, auth.From{Address: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	a, err := h.guard.Authenticate(t.Context(), tokens.Access, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return tokens, a
}

func TestSignInAndLockout(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h, ctx := found(t, db), t.Context()
		for _, name := range []string{"admin@tenant1", "ADMIN@system"} {
			if _, a := h.enter(t, name); a.User != 1 || !a.Platform || !a.May("protocol:debug") {
				t.Errorf("%s: %+v", name, a)
			}
		}
		for i, who := range []string{"admin@tenant1", "nobody@nowhere"} {
			wrong := func() error {
				_, err := h.guard.SignIn(ctx, who, auth.Proof{Password: "wrong"}, auth.From{})
				return err
			}
			for range 4 {
				if err := wrong(); !errors.Is(err, auth.ErrBadCredentials) {
					t.Fatal(err)
				}
			}
			h.clock.pass(16 * time.Minute) // the first four are forgotten
			for range 5 {
				if err := wrong(); !errors.Is(err, auth.ErrBadCredentials) {
					t.Fatal(err)
				}
			}
			h.clock.pass(14 * time.Minute)
			_, err := h.guard.SignIn(ctx, who, auth.Proof{Password: rightPassword}, auth.From{})
			if _, data, _ := evcs.Classify(err); !errors.Is(err, auth.ErrLocked) || data["retryAfter"] != int64(60) {
				t.Errorf("locked: %v, %v", err, data)
			}
			h.clock.pass(61 * time.Second) // not extended by the attempt
			if _, err := h.guard.SignIn(ctx, who, auth.Proof{Password: rightPassword}, auth.From{}); (err == nil) != (i == 0) || errors.Is(err, auth.ErrLocked) {
				t.Errorf("after the lock: %v", err)
			}
		}
	})
}

func TestRefreshRotatesAndDetectsReuse(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h, ctx := found(t, db), t.Context()
		first, _ := h.enter(t, "admin@tenant1")
		second, err := h.guard.Refresh(ctx, first.Refresh, auth.From{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.guard.Refresh(ctx, first.Refresh, auth.From{}); !errors.Is(err, auth.ErrRefresh) {
			t.Errorf("a replaced token: %v", err)
		}
		if _, err := h.guard.Refresh(ctx, second.Refresh, auth.From{}); !errors.Is(err, auth.ErrRefresh) {
			t.Errorf("its successor after the reuse: %v", err)
		}
		if _, err := h.guard.Authenticate(ctx, second.Access, ""); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("the access token after the reuse: %v", err)
		}
		third, _ := h.enter(t, "admin@tenant1")
		h.clock.pass(2*time.Hour + time.Second)
		if _, err := h.guard.Authenticate(ctx, third.Access, ""); !errors.Is(err, auth.ErrTokenExpired) {
			t.Errorf("an old access token: %v", err)
		}
		h.clock.pass(7 * 24 * time.Hour)
		if _, err := h.guard.Refresh(ctx, third.Refresh, auth.From{}); !errors.Is(err, auth.ErrRefresh) {
			t.Errorf("an old refresh token: %v", err)
		}
		if v, err := db.Reader().Tenants().Verify(ctx, evcs.Subtree(1)); err != nil || v.FirstBroken != 0 || v.Rows == 0 {
			t.Errorf("audit: %+v, %v", v, err)
		}
	})
}

func TestChangesReachLiveTokens(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		h, ctx := found(t, db), t.Context()
		_, admin := h.enter(t, "admin@tenant1")
		made, err := h.reg.Found(ctx, admin, tenant.New{
			Code: "FT", Name: "Futian", Parent: 1, Type: tenant.Operator, ContactPerson: "Li", ContactPhone: "13800138000",
		}, &auth.NewUser{Username: "lee", Password: rightPassword})
		if err != nil {
			t.Fatal(err)
		}
		tokens, lee := h.enter(t, "lee@ft")
		if lee.Platform || lee.May("protocol:debug") || !lee.May("tenant:audit") || lee.Tenant != made.Tenant.ID {
			t.Errorf("the new administrator: %+v", lee)
		}
		if _, err := h.reg.UpdateUser(ctx, lee, lee.User, auth.UserChange{Enabled: new(bool)}); !errors.Is(err, auth.ErrLastAdmin) {
			t.Errorf("the last administrator: %v", err)
		}
		if _, err := h.reg.UpdateUser(ctx, lee, 1, auth.UserChange{}); !errors.Is(err, auth.ErrUserNotFound) {
			t.Errorf("a user above: %v", err)
		}
		if _, err := h.reg.CreateRole(ctx, lee, auth.NewRole{Tenant: lee.Tenant, Code: "DEV", Name: "d", Grants: []string{"protocol:debug"}}); !errors.Is(err, auth.ErrGrant) {
			t.Errorf("granting what he does not hold: %v", err)
		}
		if _, err := h.reg.CreateUser(ctx, lee, auth.NewUser{Tenant: lee.Tenant, Username: "eve", Identifier: "admin@tenant1"}); !errors.Is(err, evcs.ErrInvalid) {
			t.Errorf("an identifier of another's form: %v", err)
		}
		_, key, err := h.keys.Create(ctx, lee, auth.NewKey{Name: "k", Scopes: []string{"station:*"}, Expires: h.clock.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		machine, err := h.guard.Authenticate(ctx, key, "10.0.0.1")
		if err != nil || !machine.May("station:add") || machine.May("order:list") || machine.Key == 0 {
			t.Errorf("a key: %+v, %v", machine, err)
		}
		if _, err := h.tree.SetStatus(ctx, admin, lee.Tenant, false, nil); err != nil {
			t.Fatal(err)
		}
		for _, bearer := range []string{tokens.Access, key} {
			if _, err := h.guard.Authenticate(ctx, bearer, "10.0.0.1"); !errors.Is(err, tenant.ErrDisabled) {
				t.Errorf("a disabled tenant: %v", err)
			}
		}
		if _, err := h.guard.Refresh(ctx, tokens.Refresh, auth.From{}); !errors.Is(err, tenant.ErrDisabled) {
			t.Errorf("refresh in a disabled tenant: %v", err)
		}
		if _, err := h.tree.SetStatus(ctx, admin, lee.Tenant, true, nil); err != nil {
			t.Fatal(err)
		}
		if err := h.guard.ChangePassword(ctx, lee, rightPassword, "Another-staple-9"); err != nil {
			t.Fatal(err)
		}
		if err := h.guard.SignOut(ctx, lee, false); err != nil {
			t.Fatal(err)
		}
		if _, err := h.guard.Authenticate(ctx, tokens.Access, ""); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("after signing out: %v", err)
		}
		if err := h.tree.Delete(ctx, admin, lee.Tenant); err != nil {
			t.Fatal(err)
		}
		if _, err := h.guard.Authenticate(ctx, key, "10.0.0.1"); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("a key of a deleted tenant: %v", err)
		}
	})
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, clock := t.Context(), &hand{at: day}
		kept := db.Idempotency(clock, "n")
		results := make([]string, 8)
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() {
				status, _, err := kept.Begin(ctx, 1, "op", "k", "d")
				results[i] = fmt.Sprint(status, errors.Is(err, store.ErrInProgress), err == nil)
			})
		}
		all.Wait()
		counts := make(map[string]int)
		for _, r := range results {
			counts[r]++
		}
		if counts["0 false true"] != 1 || counts["0 true false"] != 7 {
			t.Errorf("claims: %v", counts)
		}
		if err := kept.Keep(ctx, 1, "op", "k", 200, []byte("answer"), false); err != nil {
			t.Fatal(err)
		}
		if status, body, err := kept.Begin(ctx, 1, "op", "k", "d"); status != 200 || string(body) != "answer" || err != nil {
			t.Errorf("replay: %d %q %v", status, body, err)
		}
		if _, _, err := kept.Begin(ctx, 1, "op", "k", "other"); !errors.Is(err, store.ErrKeyReused) {
			t.Errorf("another request: %v", err)
		}
		clock.pass(25 * time.Hour)
		if n, err := kept.Prune(ctx, 10); n != 1 || err != nil {
			t.Errorf("prune: %d, %v", n, err)
		}
	})
}

// TestAbandonedKeysAreFreeAgain: what a killed node had claimed can be asked
// again at once; what it had answered, and what others claimed, stays.
func TestAbandonedKeysAreFreeAgain(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, clock := t.Context(), &hand{at: day}
		killed, other := db.Idempotency(clock, "a"), db.Idempotency(clock, "b")
		for key, by := range map[string]store.Idempotency{"open": killed, "done": killed, "foreign": other} {
			if _, _, err := by.Begin(ctx, 1, "op", key, "d"); err != nil {
				t.Fatal(err)
			}
		}
		if err := killed.Keep(ctx, 1, "op", "done", 200, []byte("answer"), true); err != nil {
			t.Fatal(err)
		}
		if n, err := killed.Abandon(ctx); n != 1 || err != nil {
			t.Errorf("%d keys were given back, %v", n, err)
		}
		if status, _, err := killed.Begin(ctx, 1, "op", "open", "d"); status != 0 || err != nil {
			t.Errorf("the abandoned key: %d, %v", status, err)
		}
		if status, body, err := killed.Begin(ctx, 1, "op", "done", "d"); status != 200 || string(body) != "answer" || err != nil {
			t.Errorf("the answered key: %d %q, %v", status, body, err)
		}
		if _, _, err := killed.Begin(ctx, 1, "op", "foreign", "d"); !errors.Is(err, store.ErrInProgress) {
			t.Errorf("the other node's key: %v", err)
		}
	})
}
