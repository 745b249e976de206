package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

func TestBuiltInRoles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		role     evcs.RoleID
		platform bool
		n        int
		holds    []evcs.Permission
		lacks    []evcs.Permission
	}{
		{RoleAdmin, true, len(permissions), []evcs.Permission{"protocol:debug", "monitoring:system"}, nil},
		{RoleAdmin, false, len(permissions) - 2, []evcs.Permission{"tenant:descendants:write", "payment:merchant"}, []evcs.Permission{"protocol:debug", "monitoring:system"}},
		{RoleOperator, true, 0, []evcs.Permission{"tenant:descendants:read", "monitoring:system", "charger:control"}, []evcs.Permission{"payment:refund", "tenant:audit"}},
		{RoleOperator, false, 0, []evcs.Permission{"user:query", "idtag:edit"}, []evcs.Permission{"tenant:descendants:read", "order:settle", "reconciliation:query"}},
		{RoleFinance, false, 0, []evcs.Permission{"order:settle", "tenant:audit", "billing:edit"}, []evcs.Permission{"idtag:query", "station:add", "user:query"}},
		{RoleViewer, false, 0, []evcs.Permission{"idtag:query", "reconciliation:query", "event:subscribe"}, []evcs.Permission{"payment:create", "export:create", "monitoring:alert"}},
	} {
		set := Resolve([]Role{{ID: c.role}}, c.platform)
		if c.n != 0 && len(set) != c.n {
			t.Errorf("role %d holds %d permissions, want %d", c.role, len(set), c.n)
		}
		for _, p := range c.holds {
			if !set[p] {
				t.Errorf("role %d (platform %v) lacks %s", c.role, c.platform, p)
			}
		}
		for _, p := range c.lacks {
			if set[p] {
				t.Errorf("role %d (platform %v) holds %s", c.role, c.platform, p)
			}
		}
	}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	own := Resolve([]Role{{ID: 9, Grants: []string{"station:*", "order:list", "protocol:debug", "nothing:*"}}}, false)
	if len(own) != 6 || !own["station:remove"] || own["protocol:debug"] {
		t.Errorf("resolved: %v", own)
	}
	if key := Within(own, []string{"station:query", "charger:*", "order:*"}); len(key) != 2 || !key["order:list"] {
		t.Errorf("a key's: %v", key)
	}
	a := &evcs.Actor{Permissions: own}
	err := MayGrant(a, []string{"station:*", "order:*"})
	if _, data, _ := evcs.Classify(err); !errors.Is(err, ErrGrant) || len(data["permissions"].([]string)) != 5 { //nolint:forcetypeassert // a test
		t.Errorf("granting: %v, %v", err, data)
	}
	if MayGrant(a, []string{"station:*"}) != nil || Known("station:*") != true || Known("x:*") || Known("station:nope") {
		t.Error("grants")
	}
}

func TestPasswordPolicy(t *testing.T) {
	t.Parallel()
	for password, ok := range map[string]bool{
		"Correct-horse-7": true, "充电桩运营平台密码": true, "short7!": false, "password": false, "Admin123": false,
		"12345678": false, "qwertyuiop": false, "aaaaaaaaaa": false, "xx-Lee-2026-xx": false, "": false,
		"0123456789012345678901234567890123456789012345678901234567890123x": false,
	} {
		if err := CheckPassword("password", password, "lee"); errors.Is(err, ErrPassword) == ok {
			t.Errorf("%q: %v", password, err)
		}
	}
	for range 20 {
		if err := CheckPassword("password", Generate(), "admin"); err != nil {
			t.Error(err)
		}
	}
}

func TestMasks(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		MaskPhone("13812341234"): "138****1234", MaskPhone("123"): "***", MaskEmail("abcdef@x.cn"): "abc***@x.cn", MaskEmail("nomail"): "******",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestSealer(t *testing.T) {
	t.Parallel()
	s, err := NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewSealer([32]byte{2})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(r, "plain")
		sealed, err := s.Seal(plain)
		if err != nil {
			r.Fatal(err)
		}
		if opened, err := s.Open(sealed); err != nil || !bytes.Equal(opened, plain) {
			r.Fatalf("%x, %v", opened, err)
		}
		if _, err := other.Open(sealed); !errors.Is(err, ErrSealed) {
			r.Fatalf("another key: %v", err)
		}
		if _, err := s.Open(sealed + "A"); !errors.Is(err, ErrSealed) {
			r.Fatalf("damaged: %v", err)
		}
	})
}

func TestKeyUsable(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 2, 10, 12, 0, 0, 0, time.UTC)
	whole := Key{Hash: "new", Previous: "old", PreviousUntil: now.Add(time.Hour), Enabled: true, Expires: now.Add(time.Hour), AllowCIDR: []string{"10.0.0.0/8"}}
	for name, c := range map[string]struct {
		change        func(*Key)
		hash, address string
		want          error
	}{
		"right":           {func(*Key) {}, "new", "10.1.1.1", nil},
		"rotated":         {func(*Key) {}, "old", "::ffff:10.1.1.1", nil},
		"overlap is over": {func(k *Key) { k.PreviousUntil = now }, "old", "10.1.1.1", ErrUnauthenticated},
		"elsewhere":       {func(*Key) {}, "new", "11.1.1.1", ErrUnauthenticated},
		"anywhere":        {func(k *Key) { k.AllowCIDR = nil }, "new", "11.1.1.1", nil},
		"disabled":        {func(k *Key) { k.Enabled = false }, "new", "10.1.1.1", ErrUnauthenticated},
		"expired":         {func(k *Key) { k.Expires = now }, "new", "10.1.1.1", ErrTokenExpired},
	} {
		k := whole
		c.change(&k)
		if err := k.usable(c.hash, c.address, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// otherNode is a store in which another node switches things.
type otherNode struct {
	Reads
	reads   atomic.Int64
	revoked atomic.Bool
}

func (o *otherNode) SignIn(_ context.Context, id string) (*SignIn, error) {
	o.reads.Add(1)
	s := &SignIn{ID: id, Tenant: 1, User: 1}
	if o.revoked.Load() {
		s.Revoked = time.Unix(1, 0)
	}
	return s, nil
}

func (o *otherNode) User(context.Context, evcs.Scope, evcs.UserID) (*User, error) {
	return &User{ID: 1, Tenant: 1, Enabled: true, Roles: []Role{{ID: RoleViewer}}}, nil
}

func (o *otherNode) Chain(context.Context, evcs.TenantID) (tenant.Chain, error) {
	return tenant.Chain{{ID: 1, Enabled: true}}, nil
}

func TestTokensAreCheapAndChangesOfOtherNodesAreSeenWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		node := &otherNode{}
		g, err := NewGuard(Config{Clock: evcs.SystemClock{}, Read: node, Tenants: node, Secret: bytes.Repeat([]byte("s"), 32)})
		if err != nil {
			t.Fatal(err)
		}
		now := evcs.SystemClock{}.Now()
		token, err := g.signer.sign(&User{ID: 1, Tenant: 1}, "sid", now, now.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			if _, err := g.Authenticate(t.Context(), token, ""); err != nil {
				t.Fatal(err)
			}
		}
		if n := node.reads.Load(); n != 1 {
			t.Errorf("100 requests read the store %d times", n)
		}
		node.revoked.Store(true)
		second := time.NewTimer(time.Second)
		<-second.C
		if _, err := g.Authenticate(t.Context(), token, ""); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("a second after another node revoked it: %v", err)
		}
		for _, forged := range []string{"", "x.y.z", token + "x", "eyJhbGciOiJub25lIn0.e30."} {
			if _, err := g.Authenticate(t.Context(), forged, ""); !errors.Is(err, ErrUnauthenticated) {
				t.Errorf("%q: %v", forged, err)
			}
		}
	})
}

// A token is read once, yet neither lives a moment longer for that nor takes
// room without a bound.
func TestTokensAreRememberedUntilTheirEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := newSigner(bytes.Repeat([]byte("s"), 32), evcs.SystemClock{})
		if err != nil {
			t.Fatal(err)
		}
		sign := func(sid string, d time.Duration) string {
			now := evcs.SystemClock{}.Now()
			token, err := s.sign(&User{ID: 7, Tenant: 3}, sid, now, now.Add(d))
			if err != nil {
				t.Fatal(err)
			}
			return token
		}
		short, long := sign("a", time.Minute), sign("b", time.Hour)
		for _, token := range []string{short, long, short, long} {
			who, err := s.read(token)
			if want := (bearerOf{7, 3, map[bool]string{true: "a", false: "b"}[token == short]}); err != nil || who != want {
				t.Errorf("%+v, %v, want %+v", who, err, want)
			}
		}
		minute := time.NewTimer(time.Minute)
		<-minute.C
		if _, err := s.read(short); !errors.Is(err, ErrTokenExpired) {
			t.Errorf("at its end: %v", err)
		}
		if _, err := s.read(long); err != nil {
			t.Errorf("before its end: %v", err)
		}
		if _, err := s.read(long + "x"); !errors.Is(err, ErrUnauthenticated) || len(s.seen) != 2 {
			t.Errorf("a forged one: %v, %d are remembered", err, len(s.seen))
		}
		var hash [32]byte
		for i := range 2 * maxSeen {
			hash[0], hash[1], hash[2] = byte(i), byte(i>>8), byte(i>>16)
			s.remember(hash, seenToken{end: evcs.SystemClock{}.Now().Add(time.Hour)})
		}
		if len(s.seen) > maxSeen {
			t.Errorf("%d are remembered", len(s.seen))
		}
		if _, err := s.read(long); err != nil {
			t.Errorf("forgotten or not: %v", err)
		}
	})
}

func BenchmarkReadToken(b *testing.B) {
	s, err := newSigner(bytes.Repeat([]byte("s"), 32), evcs.SystemClock{})
	if err != nil {
		b.Fatal(err)
	}
	now := evcs.SystemClock{}.Now()
	token, err := s.sign(&User{ID: 7, Tenant: 3}, "sid", now, now.Add(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.parse(token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.read(token); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestAddressesThatFailTooOften(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 2, 10, 12, 0, 0, 0, time.UTC)
	m := misses{limit: 3}
	for range 3 {
		if m.wait("a", now) != 0 {
			t.Fatal("too early")
		}
		m.add("a", now)
	}
	if w := m.wait("a", now.Add(20*time.Second)); w != 40*time.Second {
		t.Error(w)
	}
	if m.wait("b", now) != 0 || m.wait("a", now.Add(time.Minute)) != 0 {
		t.Error("another address, or a minute later, waits")
	}
}

func ExamplePermissions() {
	fmt.Println(len(Permissions()), Permissions()[0].Code)
	// Output: 66 station:list
}
