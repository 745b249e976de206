package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
)

// Factors keeps second factors.
type Factors struct{ q querier }

// Factor implements auth.FactorStore.
func (s Factors) Factor(ctx context.Context, scope evcs.Scope, id evcs.UserID) (*auth.Factor, error) {
	f := auth.Factor{User: id}
	var confirmed, created int64
	var recovery string
	cond, arg := scopeCond("tenant_id", scope)
	err := s.q.one(ctx, "read second factor", errNone, []any{&f.Tenant, &f.Sealed, &confirmed, &f.LastStep, &recovery, &created, &f.Version},
		`SELECT tenant_id, sealed, confirmed_at, last_step, recovery, created_at, version FROM totp WHERE `+cond+` AND user_id = ?`, arg, id)
	if err == errNone { //nolint:errorlint // our own value, never wrapped
		return nil, nil //nolint:nilnil // none is no failure here
	}
	if err != nil {
		return nil, err
	}
	f.Confirmed, f.Created = evcs.FromMillis(confirmed), evcs.FromMillis(created)
	if err := json.Unmarshal([]byte(recovery), &f.Recovery); err != nil {
		return nil, fmt.Errorf("recovery codes of user %d: %w", id, err)
	}
	return &f, nil
}

// InsertFactor implements auth.FactorStore.
func (s Factors) InsertFactor(ctx context.Context, f *auth.Factor) error {
	err := s.q.swap(ctx, "insert second factor", `
		INSERT INTO totp (user_id, tenant_id, sealed, confirmed_at, last_step, recovery, created_at, version)
		VALUES (?, ?, ?, 0, 0, '[]', ?, 1) ON CONFLICT (user_id) DO NOTHING`, f.User, f.Tenant, f.Sealed, evcs.Millis(f.Created))
	if err == nil {
		f.Version = 1
	}
	return err
}

// UpdateFactor implements auth.FactorStore.
func (s Factors) UpdateFactor(ctx context.Context, f *auth.Factor) error {
	recovery, err := json.Marshal(append([]string{}, f.Recovery...))
	if err != nil {
		return fmt.Errorf("encode recovery codes: %w", err)
	}
	err = s.q.swap(ctx, "update second factor", `
		UPDATE totp SET sealed = ?, confirmed_at = ?, last_step = ?, recovery = ?, created_at = ?, version = version + 1
		WHERE user_id = ? AND tenant_id = ? AND version = ?`,
		f.Sealed, evcs.Millis(f.Confirmed), f.LastStep, string(recovery), evcs.Millis(f.Created), f.User, f.Tenant, f.Version)
	if err == nil {
		f.Version++
	}
	return err
}

// DeleteFactor implements auth.FactorStore.
func (s Factors) DeleteFactor(ctx context.Context, f *auth.Factor) error {
	return s.q.swap(ctx, "delete second factor", `DELETE FROM totp WHERE user_id = ? AND tenant_id = ? AND version = ?`, f.User, f.Tenant, f.Version)
}
