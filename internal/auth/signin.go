package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// The lockout of contract §3.1.
const (
	maxFailures  = 5
	lockFor      = 15 * time.Minute
	failuresSpan = 15 * time.Minute
)

// Tokens is what a sign-in or a refresh gives.
type Tokens struct {
	Access     string
	AccessEnd  time.Time
	Refresh    string
	RefreshEnd time.Time
	User       *User
}

// From is where a request came from.
type From struct{ Address, Agent string }

// ErrTooManyFailures is 9429: an address has failed too often.
var ErrTooManyFailures = evcs.NewError(evcs.CodeRateLimited, "too many failed sign-ins from one address")

// Proof is what somebody shows to sign in: his password and, when he has a
// second factor, a code of it or a recovery code.
type Proof struct{ Password, Code string }

// SignIn checks an identifier and a proof and begins a sign-in. Before the
// password is right every cause is 6001 after the same time; then 6004, 5004,
// 5005 or, of the second factor, 6001 with ErrSecondFactor's data. Five failures
// in a row, of either, lock the account (6002).
func (g *Guard) SignIn(ctx context.Context, identifier string, proof Proof, from From) (*Tokens, error) {
	now := g.cfg.Clock.Now()
	if wait := g.misses.wait(from.Address, now); wait > 0 {
		return nil, evcs.With(ErrTooManyFailures, map[string]any{"retryAfter": seconds(wait)})
	}
	identifier = strings.TrimSpace(identifier)
	u, err := g.cfg.Read.Find(ctx, identifier)
	if err != nil {
		return nil, fmt.Errorf("find the account: %w", err)
	}
	key := "text/" + digest(strings.ToLower(identifier))
	if u != nil {
		key = AccountKey(u.ID)
	}
	err = g.cfg.Hasher.verify(ctx, u, proof.Password, func() error { return g.unlocked(ctx, key) },
		func() error { return g.failed(ctx, u, key, identifier, from) })
	switch {
	case errors.Is(err, ErrLocked):
		g.misses.add(from.Address, now)
		return nil, errors.Join(err, g.record(ctx, u, identifier, from, tenant.LoginFailed, err))
	case errors.Is(err, ErrBadCredentials):
		g.misses.add(from.Address, now)
		return nil, err
	case err != nil:
		return nil, err
	}
	if err := g.mayEnter(ctx, u); err != nil {
		return nil, errors.Join(err, g.record(ctx, u, identifier, from, tenant.LoginFailed, err))
	}
	return g.enter(ctx, u, key, proof.Code, from)
}

func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// unlocked refuses with 6002 while the account is locked.
func (g *Guard) unlocked(ctx context.Context, key string) error {
	f, err := g.cfg.Read.Failures(ctx, key)
	if err != nil {
		return fmt.Errorf("read failures: %w", err)
	}
	return f.locked(g.cfg.Clock.Now())
}

// locked is 6002 while the account is locked.
func (f Failures) locked(now time.Time) error {
	if !f.LockedUntil.After(now) {
		return nil
	}
	return evcs.With(ErrLocked, map[string]any{
		"lockedUntil": f.LockedUntil.UTC().Format(time.RFC3339), "retryAfter": seconds(f.LockedUntil.Sub(now)),
	})
}

// failed counts a failure and answers 6001.
func (g *Guard) failed(ctx context.Context, u *User, key, identifier string, from From) error {
	now := g.cfg.Clock.Now()
	err := g.cfg.Transact(ctx, func(tx Tx) error {
		if err := g.count(ctx, tx, u, key, now); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), principalOf(u, identifier, from), loginRow(now, u, identifier, tenant.LoginFailed, ErrBadCredentials))
	})
	if err != nil {
		return fmt.Errorf("count a failed sign-in: %w", err)
	}
	return ErrBadCredentials
}

// count counts a failure; u is nil for a text that is no account.
func (g *Guard) count(ctx context.Context, tx Tx, u *User, key string, now time.Time) error {
	f := failing(now)
	after, err := tx.Auth().Fail(ctx, key, f)
	if err != nil || u == nil || g.cfg.LockedOut == nil || !after.LockedUntil.Equal(f.Lock) {
		return err
	}
	return g.cfg.LockedOut(ctx, tx, u, now)
}

func failing(now time.Time) Failing {
	return Failing{At: now, Since: now.Add(-failuresSpan), Lock: now.Add(lockFor), Limit: maxFailures}
}

// record audits a sign-in that had no other effect.
func (g *Guard) record(ctx context.Context, u *User, identifier string, from From, action tenant.Action, cause error) error {
	now := g.cfg.Clock.Now()
	err := g.cfg.Transact(ctx, func(tx Tx) error {
		return tenant.Audit(ctx, tx.Tenants(), principalOf(u, identifier, from), loginRow(now, u, identifier, action, cause))
	})
	if err != nil {
		return fmt.Errorf("audit a sign-in: %w", err)
	}
	return nil
}

// principalOf is the actor of a sign-in, who is nobody yet. What an unknown
// text tried is told to the platform.
func principalOf(u *User, identifier string, from From) *evcs.Actor {
	a := &evcs.Actor{Tenant: evcs.PlatformTenant, Name: clip(identifier, 100), Address: from.Address, Agent: from.Agent}
	if u != nil {
		a.Tenant, a.User, a.Name = u.Tenant, u.ID, u.Username
	}
	return a
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

func loginRow(now time.Time, u *User, identifier string, action tenant.Action, cause error) tenant.AuditRow {
	row := tenant.AuditRow{
		At: now, Action: action, TargetType: tenant.KindUser, Success: cause == nil,
		Details: map[string]any{"identifier": clip(identifier, 100)},
	}
	if u != nil {
		row.Target, row.TargetID = u.Tenant, fmt.Sprint(u.ID)
	}
	if cause != nil {
		code, _, _ := evcs.Classify(cause)
		row.ErrorCode, row.ErrorMessage = code, code.Text(false)
	}
	return row
}

// mayEnter refuses a disabled account (6004) and a blocked tenant (5004, 5005).
func (g *Guard) mayEnter(ctx context.Context, u *User) error {
	if !u.Enabled {
		return ErrAccountDisabled
	}
	chain, err := g.cfg.Tenants.Chain(ctx, u.Tenant)
	if err != nil {
		return fmt.Errorf("read the tenant: %w", err)
	}
	return chain.Blocked(g.cfg.Clock.Now())
}

// enter begins the sign-in, if the second factor allows it.
func (g *Guard) enter(ctx context.Context, found *User, key, code string, from From) (*Tokens, error) {
	now := g.cfg.Clock.Now()
	var tokens *Tokens
	var refusal error
	err := g.cfg.Transact(ctx, func(tx Tx) error {
		tokens, refusal = nil, nil
		u, err := tx.Auth().User(ctx, evcs.Only(found.Tenant), found.ID)
		if errors.Is(err, ErrUserNotFound) || err == nil && u.PasswordHash != found.PasswordHash {
			return ErrBadCredentials // changed since it was compared
		}
		if err != nil {
			return err
		}
		if refusal, err = g.second(ctx, tx, u, code, now); err != nil {
			return err
		}
		if refusal != nil { // committed together with what it counted
			return tenant.Audit(ctx, tx.Tenants(), principalOf(u, "", from), loginRow(now, u, u.Identifier, tenant.LoginFailed, refusal))
		}
		s := SignIn{
			ID: rand.Text(), Tenant: u.Tenant, User: u.ID, At: now, MaxEnd: now.Add(g.cfg.RefreshMax),
			Address: from.Address, Agent: clip(from.Agent, 256),
		}
		if err := tx.Auth().InsertSignIn(ctx, s); err != nil {
			return err
		}
		if err := errors.Join(tx.Auth().Clear(ctx, key), tx.Auth().NoteSignIn(ctx, u, now, from.Address)); err != nil {
			return err
		}
		if tokens, err = g.issue(ctx, tx, u, s, now); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), principalOf(u, "", from), loginRow(now, u, u.Identifier, tenant.Login, nil))
	})
	if err != nil {
		return nil, fmt.Errorf("begin a sign-in: %w", err)
	}
	if refusal != nil {
		g.misses.add(from.Address, now)
		return nil, refusal
	}
	return tokens, nil
}

// issue makes the tokens of a sign-in. No token outlives the sign-in.
func (g *Guard) issue(ctx context.Context, tx Tx, u *User, s SignIn, now time.Time) (*Tokens, error) {
	t := &Tokens{
		AccessEnd: earlier(now.Add(g.cfg.AccessTTL), s.MaxEnd), RefreshEnd: earlier(now.Add(g.cfg.RefreshTTL), s.MaxEnd),
		Refresh: newSecret(refreshPrefix, keyLetters), User: u,
	}
	var err error
	if t.Access, err = g.signer.sign(u, s.ID, now, t.AccessEnd); err != nil {
		return nil, err
	}
	return t, tx.Auth().InsertRefresh(ctx, RefreshToken{
		Hash: digest(t.Refresh), SignIn: s.ID, Tenant: u.Tenant, Issued: now, Expires: t.RefreshEnd,
	})
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Refresh replaces a refresh token and gives a new access token. One that was
// replaced before has leaked: its whole sign-in is revoked (6005).
func (g *Guard) Refresh(ctx context.Context, token string, from From) (*Tokens, error) {
	now := g.cfg.Clock.Now()
	var tokens *Tokens
	var refusal error
	err := g.cfg.Transact(ctx, func(tx Tx) error {
		tokens, refusal = nil, nil
		old, s, u, err := g.refreshing(ctx, tx, token)
		if err != nil {
			return err
		}
		if !old.Used.IsZero() {
			refusal = ErrRefresh // committed together with the revocation
			return g.reused(ctx, tx, u, s.ID, from, now)
		}
		if !old.Expires.After(now) {
			return ErrRefresh
		}
		if err := mayRefresh(ctx, tx, u, now); err != nil {
			return err
		}
		if err := tx.Auth().UseRefresh(ctx, old, now); err != nil {
			return err
		}
		tokens, err = g.issue(ctx, tx, u, *s, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	if refusal != nil {
		g.Forget()
		return nil, refusal
	}
	return tokens, nil
}

// refreshing finds the token, its living sign-in and its user, or 6005.
func (g *Guard) refreshing(ctx context.Context, tx Tx, token string) (*RefreshToken, *SignIn, *User, error) {
	t, err := tx.Auth().Refresh(ctx, digest(token))
	if err != nil {
		return nil, nil, nil, err
	}
	if t == nil {
		return nil, nil, nil, ErrRefresh
	}
	s, err := tx.Auth().SignIn(ctx, t.SignIn)
	if err != nil {
		return nil, nil, nil, err
	}
	if s == nil || !s.Revoked.IsZero() {
		return nil, nil, nil, ErrRefresh
	}
	u, err := tx.Auth().User(ctx, evcs.Only(s.Tenant), s.User)
	if errors.Is(err, ErrUserNotFound) {
		err = ErrRefresh
	}
	return t, s, u, err
}

func mayRefresh(ctx context.Context, tx Tx, u *User, now time.Time) error {
	if !u.Enabled {
		return ErrAccountDisabled
	}
	chain, err := tx.Tenants().Chain(ctx, u.Tenant)
	if err != nil {
		return err
	}
	return chain.Blocked(now)
}

func (g *Guard) reused(ctx context.Context, tx Tx, u *User, signIn string, from From, now time.Time) error {
	if err := tx.Auth().Revoke(ctx, u.Tenant, signIn, now); err != nil {
		return err
	}
	return tenant.Audit(ctx, tx.Tenants(), principalOf(u, "", from), loginRow(now, u, u.Identifier, tenant.RefreshReuse, ErrRefresh))
}

// SignOut revokes the actor's sign-in, or all of his.
func (g *Guard) SignOut(ctx context.Context, a *evcs.Actor, everywhere bool) error {
	now := g.cfg.Clock.Now()
	err := g.cfg.Transact(ctx, func(tx Tx) error {
		var err error
		if everywhere {
			err = tx.Auth().RevokeAll(ctx, &User{ID: a.User, Tenant: a.Tenant}, "", now)
		} else {
			err = tx.Auth().Revoke(ctx, a.Tenant, a.Login, now)
		}
		if err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, tenant.AuditRow{
			At: now, Action: tenant.Logout, Target: a.Tenant, TargetType: tenant.KindUser, TargetID: fmt.Sprint(a.User), Success: true,
			Details: map[string]any{"all": everywhere},
		})
	})
	g.Forget()
	if err != nil {
		return fmt.Errorf("sign out: %w", err)
	}
	return nil
}

// ChangePassword sets the actor's own password after checking the old one
// (6008, which counts towards the lockout) and revokes his other sign-ins.
func (g *Guard) ChangePassword(ctx context.Context, a *evcs.Actor, old, password string) error {
	u, err := g.cfg.Read.User(ctx, evcs.Only(a.Tenant), a.User)
	if err != nil {
		return err
	}
	if err := CheckPassword("newPassword", password, u.Username); err != nil {
		return err
	}
	if u, err = g.prove(ctx, a, old, tenant.ChangePassword); err != nil {
		return err
	}
	key, now := AccountKey(u.ID), g.cfg.Clock.Now()
	hash, err := g.cfg.Hasher.Hash(ctx, password)
	if err != nil {
		return err
	}
	err = g.cfg.Transact(ctx, func(tx Tx) error {
		u, err := tx.Auth().User(ctx, evcs.Only(a.Tenant), a.User)
		if err != nil {
			return err
		}
		u.PasswordHash, u.MustChange, u.Updated = hash, false, now
		if err := tx.Auth().UpdateUser(ctx, u); err != nil {
			return err
		}
		if err := errors.Join(tx.Auth().RevokeAll(ctx, u, a.Login, now), tx.Auth().Clear(ctx, key)); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, loginRow(now, u, u.Identifier, tenant.ChangePassword, nil))
	})
	g.Forget()
	if err != nil {
		return fmt.Errorf("change the password: %w", err)
	}
	return nil
}

// prove is the actor as a user once his password is right; a wrong one is 6008,
// counts towards the lockout and is audited as action.
func (g *Guard) prove(ctx context.Context, a *evcs.Actor, password string, action tenant.Action) (*User, error) {
	u, err := g.cfg.Read.User(ctx, evcs.Only(a.Tenant), a.User)
	if err != nil {
		return nil, err
	}
	err = g.cfg.Hasher.verify(ctx, u, password, func() error { return g.unlocked(ctx, AccountKey(u.ID)) },
		func() error { return g.wrongOldPassword(ctx, a, u, action) })
	return u, err
}

// wrongOldPassword counts a failure and answers 6008.
func (g *Guard) wrongOldPassword(ctx context.Context, a *evcs.Actor, u *User, action tenant.Action) error {
	now := g.cfg.Clock.Now()
	err := g.cfg.Transact(ctx, func(tx Tx) error {
		if err := g.count(ctx, tx, u, AccountKey(u.ID), now); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, loginRow(now, u, u.Identifier, action, ErrOldPassword))
	})
	if err != nil {
		return fmt.Errorf("count a wrong old password: %w", err)
	}
	return ErrOldPassword
}

// misses counts failed sign-ins per address and minute.
type misses struct {
	limit int
	mu    sync.Mutex
	since time.Time
	count map[string]int // guarded by mu
}

func (m *misses) wait(address string, now time.Time) time.Duration {
	if m.limit <= 0 {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	if m.count[address] < m.limit {
		return 0
	}
	return m.since.Add(time.Minute).Sub(now)
}

func (m *misses) add(address string, now time.Time) {
	if m.limit <= 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	if _, known := m.count[address]; known || len(m.count) < maxKept {
		m.count[address]++
	}
}

// turn begins a new minute. The caller holds mu.
func (m *misses) turn(now time.Time) {
	if m.count == nil || now.Sub(m.since) >= time.Minute || now.Before(m.since) {
		m.since, m.count = now, make(map[string]int)
	}
}
