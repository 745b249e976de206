package auth

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

const (
	// fresh is how long the guard believes what it has read. Changes made by
	// this node are seen at once, those of other nodes after this.
	fresh = 500 * time.Millisecond
	// maxKept bounds the principals in memory.
	maxKept = 50_000
	// touchEvery bounds how often the last use of a key is written.
	touchEvery = time.Minute
)

// Reads is the committed state as the guard needs it.
type Reads interface {
	User(ctx context.Context, scope evcs.Scope, id evcs.UserID) (*User, error)
	Find(ctx context.Context, identifier string) (*User, error)
	SignIn(ctx context.Context, id string) (*SignIn, error)
	Failures(ctx context.Context, key string) (Failures, error)
	KeyByHash(ctx context.Context, hash string) (*Key, error)
	Factor(ctx context.Context, scope evcs.Scope, id evcs.UserID) (*Factor, error)
}

// Chains reads the committed tree.
type Chains interface {
	Chain(ctx context.Context, id evcs.TenantID) (tenant.Chain, error)
}

// Config is what a Guard is made of. A zero time to live takes the default of
// contract §1.11.
type Config struct {
	Clock      evcs.Clock
	Transact   Transact
	Read       Reads
	Tenants    Chains
	Hasher     *Hasher
	Sealer     *Sealer // of second factors; without one there are none
	Secret     []byte  // signs access tokens, 32 bytes at least
	AccessTTL  time.Duration
	RefreshTTL time.Duration
	RefreshMax time.Duration
	// FailuresPerMinute bounds failed sign-ins of one address; 0 is off.
	FailuresPerMinute int
	// LockedOut is told of an account that a failure has just locked, in the
	// transaction of that; nil: nobody cares.
	LockedOut func(ctx context.Context, tx Tx, u *User, at time.Time) error
}

// Guard lets principals in: it signs people in and says whose a token or key
// is. A token that was seen in the last half second costs no query.
type Guard struct {
	cfg    Config
	signer *signer
	mu     sync.RWMutex
	kept   map[string]*principal // guarded by mu
	round  int64                 // guarded by mu; raised by Forget
	misses misses
}

// principal is what the store said of a token, a key or a proxied user.
type principal struct {
	actor evcs.Actor
	chain tenant.Chain
	key   *Key // nil for a person
	until time.Time
}

// NewGuard makes a Guard; it refuses a short secret.
func NewGuard(c Config) (*Guard, error) {
	s, err := newSigner(c.Secret, c.Clock)
	if err != nil {
		return nil, err
	}
	c.AccessTTL = orDefault(c.AccessTTL, 2*time.Hour)
	c.RefreshTTL = orDefault(c.RefreshTTL, 7*24*time.Hour)
	c.RefreshMax = orDefault(c.RefreshMax, 30*24*time.Hour)
	return &Guard{cfg: c, signer: s, kept: make(map[string]*principal), misses: misses{limit: c.FailuresPerMinute}}, nil
}

func orDefault(d, other time.Duration) time.Duration {
	if d <= 0 {
		return other
	}
	return d
}

// Authenticate says who a bearer credential belongs to. It refuses with 6003,
// 6004, 6006, 5002, 5004 or 5005. The actor is shared: copy it to change it.
func (g *Guard) Authenticate(ctx context.Context, bearer, address string) (*evcs.Actor, error) {
	if strings.HasPrefix(bearer, keyPrefix) {
		return g.byKey(ctx, bearer, address)
	}
	who, err := g.signer.read(bearer)
	if err != nil {
		return nil, err
	}
	p, err := g.keep(ctx, "s"+who.signIn, func() (*principal, error) {
		s, err := g.cfg.Read.SignIn(ctx, who.signIn)
		if err != nil {
			return nil, err
		}
		if s == nil || !s.Revoked.IsZero() || s.User != who.user || s.Tenant != who.tenant {
			return nil, ErrUnauthenticated
		}
		p, err := g.person(ctx, who.user, who.tenant)
		if err == nil {
			p.actor.Login = who.signIn
		}
		return p, err
	})
	if err != nil {
		return nil, err
	}
	return &p.actor, p.chain.Blocked(g.cfg.Clock.Now())
}

// Impersonate is the actor of a user that a trusted proxy has named; 6006 when
// there is none such, or he is disabled.
func (g *Guard) Impersonate(ctx context.Context, user evcs.UserID, t evcs.TenantID, _ string) (*evcs.Actor, error) {
	p, err := g.keep(ctx, "p"+strconv.FormatInt(int64(user), 10)+"/"+strconv.FormatInt(int64(t), 10), func() (*principal, error) {
		p, err := g.person(ctx, user, t)
		if errors.Is(err, ErrAccountDisabled) {
			err = ErrUnauthenticated
		}
		return p, err
	})
	if err != nil {
		return nil, err
	}
	return &p.actor, p.chain.Blocked(g.cfg.Clock.Now())
}

// Forget makes the guard read everything anew. Whoever changes users, roles,
// keys, sign-ins or tenants calls it after the commit.
func (g *Guard) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.kept)
	g.round++
}

// keep is the principal under id, read again when it is not fresh.
func (g *Guard) keep(_ context.Context, id string, read func() (*principal, error)) (*principal, error) {
	now := evcs.Monotonic()
	g.mu.RLock()
	p, round := g.kept[id], g.round
	g.mu.RUnlock()
	if p != nil && now.Before(p.until) {
		return p, nil
	}
	p, err := read()
	if err != nil {
		return nil, err
	}
	p.until = now.Add(fresh) // from before the reading
	g.mu.Lock()
	defer g.mu.Unlock()
	if round != g.round {
		return p, nil // something changed while it was read: not for the next
	}
	if len(g.kept) >= maxKept {
		for old, q := range g.kept {
			if len(g.kept) >= maxKept || !now.Before(q.until) {
				delete(g.kept, old)
			}
		}
	}
	g.kept[id] = p
	return p, nil
}

// person reads a user with everything that decides what he may do.
func (g *Guard) person(ctx context.Context, user evcs.UserID, t evcs.TenantID) (*principal, error) {
	u, err := g.cfg.Read.User(ctx, evcs.Only(t), user)
	switch {
	case errors.Is(err, ErrUserNotFound):
		return nil, g.noUser(ctx, t)
	case err != nil:
		return nil, err
	case !u.Enabled:
		return nil, ErrAccountDisabled
	}
	chain, err := g.cfg.Tenants.Chain(ctx, t)
	if errors.Is(err, tenant.ErrNotFound) {
		return nil, ErrNoTenant
	}
	if err != nil {
		return nil, err
	}
	return &principal{actor: actorOf(u, chain), chain: chain}, nil
}

// noUser is why a user is gone: with his tenant (5002) or alone (6006).
func (g *Guard) noUser(ctx context.Context, t evcs.TenantID) error {
	_, err := g.cfg.Tenants.Chain(ctx, t)
	if errors.Is(err, tenant.ErrNotFound) {
		return ErrNoTenant
	}
	if err != nil {
		return err
	}
	return ErrUnauthenticated
}

// actorOf is who a user is when he acts.
func actorOf(u *User, chain tenant.Chain) evcs.Actor {
	platform := chain.Self().Type == tenant.Platform
	return evcs.Actor{
		User: u.ID, Name: u.Username, Tenant: u.Tenant, Platform: platform && u.Admin(), Zone: chain.Settings().Zone(),
		MustChangePassword: u.MustChange, Permissions: Resolve(u.Roles, platform),
	}
}

func (g *Guard) byKey(ctx context.Context, secret, address string) (*evcs.Actor, error) {
	if len(secret) != len(keyPrefix)+keyLetters {
		return nil, ErrUnauthenticated
	}
	hash := digest(secret)
	p, err := g.keep(ctx, "k"+hash, func() (*principal, error) { return g.machine(ctx, hash) })
	if err != nil {
		return nil, err
	}
	now := g.cfg.Clock.Now()
	if err := p.key.usable(hash, address, now); err != nil {
		return nil, err
	}
	if err := p.chain.Blocked(now); err != nil {
		return nil, err
	}
	return &p.actor, g.touch(ctx, p.key, address, now)
}

// machine reads a key with its owner. It can do what its scopes and its
// owner's present permissions have in common.
func (g *Guard) machine(ctx context.Context, hash string) (*principal, error) {
	k, err := g.cfg.Read.KeyByHash(ctx, hash)
	if err != nil {
		return nil, err
	}
	if k == nil {
		return nil, ErrUnauthenticated
	}
	p, err := g.person(ctx, k.User, k.Tenant)
	if err != nil {
		return nil, err
	}
	p.key = k
	p.actor.Key, p.actor.Name, p.actor.MustChangePassword = k.ID, k.Name, false
	p.actor.Permissions = Within(p.actor.Permissions, k.Scopes)
	return p, nil
}

// usable says whether a key may be used with this secret from this address.
func (k *Key) usable(hash, address string, now time.Time) error {
	switch {
	case !k.Enabled, hash != k.Hash && !k.PreviousUntil.After(now), !k.allows(address):
		return ErrUnauthenticated
	case !k.Expires.After(now):
		return ErrTokenExpired
	}
	return nil
}

// allows reports whether the address lies in one of the key's networks; a key
// without networks may be used from anywhere.
func (k *Key) allows(address string) bool {
	if len(k.AllowCIDR) == 0 {
		return true
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	for _, text := range k.AllowCIDR {
		if network, err := netip.ParsePrefix(text); err == nil && network.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}

// touch writes the last use of a key now and then.
func (g *Guard) touch(ctx context.Context, k *Key, address string, now time.Time) error {
	g.mu.Lock()
	due := now.Sub(k.LastUsed) >= touchEvery
	if due {
		k.LastUsed = now // of the kept copy: the next caller need not
	}
	g.mu.Unlock()
	if !due {
		return nil
	}
	return g.cfg.Transact(ctx, func(tx Tx) error { return tx.Auth().TouchKey(ctx, k, now, address) })
}
