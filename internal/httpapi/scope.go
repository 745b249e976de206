package httpapi

import (
	"context"

	"github.com/evcs/evcs/internal/evcs"
)

const (
	readDescendants  evcs.Permission = "tenant:descendants:read"
	writeDescendants evcs.Permission = "tenant:descendants:write"
)

var (
	errTenantUnknown = evcs.NewError(evcs.CodeTenantNotFound, "the tenant is outside the caller's subtree")
	errCrossTenant   = evcs.NewError(evcs.CodeCrossTenantDenied, "the permission on descendants is missing")
)

// scope decides what a list or an aggregate covers (§1.8).
func (x *exchange) scope(ctx context.Context, a *evcs.Actor, t *Target) (evcs.Scope, error) {
	tenant := a.Tenant
	if t.TenantID.Set && t.TenantID.Value != tenant {
		tenant = t.TenantID.Value
		if err := x.s.reach(ctx, a, tenant, readDescendants); err != nil {
			return evcs.Scope{}, err
		}
	}
	wide := t.TenantScope == scopeWide
	if wide && !a.May(readDescendants) {
		return evcs.Scope{}, evcs.With(errCrossTenant, map[string]any{"permission": string(readDescendants)})
	}
	if t.TenantScope == "" && x.op.WideByDefault && a.May(readDescendants) {
		wide = true
	}
	covered := scopeSelf
	if wide {
		covered = scopeWide
	}
	x.w.Header().Set("X-Tenant-Scope", covered)
	if audit := x.s.cfg.Crossings; audit != nil && (wide || tenant != a.Tenant) {
		audit.CrossedRead(ctx, a, x.op.ID, tenant)
	}
	return evcs.Scope{Tenant: tenant, Descendants: wide}, nil
}

// reach says whether a may act on another tenant: 5001 outside its subtree,
// 5003 without the permission on descendants.
func (s *Server) reach(ctx context.Context, a *evcs.Actor, tenant evcs.TenantID, needed evcs.Permission) error {
	if tenant == a.Tenant {
		return nil
	}
	if x := exchangeOf(ctx); x != nil {
		x.target = tenant
	}
	below, err := s.cfg.Tree.Below(ctx, a.Tenant, tenant)
	if err != nil {
		return err
	}
	if !below {
		return evcs.With(errTenantUnknown, map[string]any{"tenantId": tenant})
	}
	if !a.May(needed) {
		return evcs.With(errCrossTenant, map[string]any{"permission": string(needed)})
	}
	return nil
}

// CreateFor is the tenant a creation is for: the actor's own, or the descendant
// that tenantId names (5001, 5003). Verbs that check this by themselves need
// not ask.
func (s *Server) createFor(ctx context.Context, a *evcs.Actor, tenant *int64) (evcs.TenantID, error) {
	if tenant == nil {
		return a.Tenant, nil
	}
	return evcs.TenantID(*tenant), s.reach(ctx, a, evcs.TenantID(*tenant), writeDescendants)
}
