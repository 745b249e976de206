package store

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
)

// SignIns keeps sign-ins, refresh tokens and failures. They are found by what
// only their owner holds, so there is no scope.
type SignIns struct{ q querier }

// InsertSignIn implements auth.SignIns.
func (s SignIns) InsertSignIn(ctx context.Context, i auth.SignIn) error {
	_, err := s.q.exec(ctx, "insert sign-in", `
		INSERT INTO logins (id, tenant_id, user_id, created_at, max_expires_at, revoked_at, address, agent, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)`,
		i.ID, i.Tenant, i.User, evcs.Millis(i.At), evcs.Millis(i.MaxEnd), evcs.Millis(i.Revoked), i.Address, i.Agent)
	return err
}

// SignIn implements auth.SignIns.
func (s SignIns) SignIn(ctx context.Context, id string) (*auth.SignIn, error) {
	var i auth.SignIn
	var at, maxEnd, revoked int64
	err := s.q.one(ctx, "read sign-in", errNone, []any{&i.ID, &i.Tenant, &i.User, &at, &maxEnd, &revoked, &i.Address, &i.Agent},
		`SELECT id, tenant_id, user_id, created_at, max_expires_at, revoked_at, address, agent FROM logins WHERE id = ?`, id)
	if err == errNone { //nolint:errorlint // our own value, never wrapped
		return nil, nil //nolint:nilnil // none is no failure here
	}
	i.At, i.MaxEnd, i.Revoked = evcs.FromMillis(at), evcs.FromMillis(maxEnd), evcs.FromMillis(revoked)
	return &i, err
}

// Revoke implements auth.SignIns.
func (s SignIns) Revoke(ctx context.Context, t evcs.TenantID, id string, at time.Time) error {
	_, err := s.q.exec(ctx, "revoke sign-in", `UPDATE logins SET revoked_at = ?, version = version + 1
		WHERE id = ? AND tenant_id = ? AND revoked_at = 0`, evcs.Millis(at), id, t)
	return err
}

// RevokeAll implements auth.SignIns.
func (s SignIns) RevokeAll(ctx context.Context, u *auth.User, except string, at time.Time) error {
	_, err := s.q.exec(ctx, "revoke sign-ins", `UPDATE logins SET revoked_at = ?, version = version + 1
		WHERE user_id = ? AND tenant_id = ? AND id <> ? AND revoked_at = 0`, evcs.Millis(at), u.ID, u.Tenant, except)
	return err
}

// InsertRefresh implements auth.SignIns.
func (s SignIns) InsertRefresh(ctx context.Context, r auth.RefreshToken) error {
	_, err := s.q.exec(ctx, "insert refresh token", `
		INSERT INTO refresh_tokens (hash, login_id, tenant_id, issued_at, expires_at, used_at) VALUES (?, ?, ?, ?, ?, 0)`,
		r.Hash, r.SignIn, r.Tenant, evcs.Millis(r.Issued), evcs.Millis(r.Expires))
	return err
}

// Refresh implements auth.SignIns.
func (s SignIns) Refresh(ctx context.Context, hash string) (*auth.RefreshToken, error) {
	r := auth.RefreshToken{Hash: hash}
	var issued, expires, used int64
	err := s.q.one(ctx, "read refresh token", errNone, []any{&r.SignIn, &r.Tenant, &issued, &expires, &used},
		`SELECT login_id, tenant_id, issued_at, expires_at, used_at FROM refresh_tokens WHERE hash = ?`, hash)
	if err == errNone { //nolint:errorlint // our own value, never wrapped
		return nil, nil //nolint:nilnil // none is no failure here
	}
	r.Issued, r.Expires, r.Used = evcs.FromMillis(issued), evcs.FromMillis(expires), evcs.FromMillis(used)
	return &r, err
}

// UseRefresh implements auth.SignIns.
func (s SignIns) UseRefresh(ctx context.Context, r *auth.RefreshToken, at time.Time) error {
	return s.q.swap(ctx, "use refresh token", `UPDATE refresh_tokens SET used_at = ?
		WHERE hash = ? AND tenant_id = ? AND used_at = 0`, evcs.Millis(at), r.Hash, r.Tenant)
}

// Failures implements auth.SignIns.
func (s SignIns) Failures(ctx context.Context, key string) (auth.Failures, error) {
	var f auth.Failures
	var since, locked int64
	err := s.q.one(ctx, "read failed sign-ins", nil, []any{&f.Count, &since, &locked},
		`SELECT count, since, locked_until FROM login_failures WHERE identifier_key = ?`, key)
	f.Since, f.LockedUntil = evcs.FromMillis(since), evcs.FromMillis(locked)
	return f, err
}

// Fail implements auth.SignIns. A lock that holds is left as it is.
func (s SignIns) Fail(ctx context.Context, key string, failing auth.Failing) (auth.Failures, error) {
	at, since, lock := evcs.Millis(failing.At), evcs.Millis(failing.Since), evcs.Millis(failing.Lock)
	first := int64(0)
	if failing.Limit <= 1 {
		first = lock
	}
	_, err := s.q.exec(ctx, "count failed sign-in", `
		INSERT INTO login_failures (identifier_key, count, since, locked_until) VALUES (?, 1, ?, ?)
		ON CONFLICT (identifier_key) DO UPDATE SET
			count = CASE WHEN login_failures.since < ? OR login_failures.locked_until > 0 THEN 1 ELSE login_failures.count + 1 END,
			since = CASE WHEN login_failures.since < ? OR login_failures.locked_until > 0 THEN EXCLUDED.since ELSE login_failures.since END,
			locked_until = CASE WHEN login_failures.since >= ? AND login_failures.locked_until = 0 AND login_failures.count + 1 >= ?
				THEN CAST(? AS BIGINT) ELSE EXCLUDED.locked_until END
		WHERE login_failures.locked_until <= ?`,
		key, at, first, since, since, since, failing.Limit, lock, at)
	if err != nil {
		return auth.Failures{}, err
	}
	return s.Failures(ctx, key)
}

// Clear implements auth.SignIns.
func (s SignIns) Clear(ctx context.Context, key string) error {
	_, err := s.q.exec(ctx, "forget failed sign-ins", `DELETE FROM login_failures WHERE identifier_key = ?`, key)
	return err
}
