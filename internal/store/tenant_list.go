package store

import (
	"context"
	"database/sql"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// TenantLists lists tenants.
type TenantLists struct{ q querier }

var tenantListing = listing[tenant.Listed]{
	what: "list tenants",
	columns: tenantColumns + `, COALESCE(p.name, ''),
		(SELECT COUNT(*) FROM tenants c WHERE c.parent_id = t.id AND c.deleted_at = 0)`,
	from: `tenants t LEFT JOIN tenants p ON p.id = t.parent_id`,
	id:   "t.id",
	sorts: map[string]sortColumn{
		"tenantId": {expr: "t.id"}, "tenantCode": {expr: "t.code", text: true}, "tenantName": {expr: "t.name", text: true},
		"createTime": {expr: "t.created_at"}, "expireTime": {expr: "t.expire_at"},
	},
	scan: func(r row) (tenant.Listed, error) {
		var l tenant.Listed
		var err error
		l.Tenant, err = scanTenant(r, &l.ParentName, &l.Children)
		return l, err
	},
}

// nearestBlock is the status of the nearest blocked tenant of t's chain: 0
// disabled, 1 expired, no row when nobody is blocked. Its bind is the present.
const nearestBlock = `(SELECT x.status FROM tenant_ancestors a JOIN tenants x ON x.id = a.ancestor_id
	WHERE a.tenant_id = t.id AND (x.status = 0 OR (x.expire_at > 0 AND x.expire_at <= ?)) ORDER BY a.depth LIMIT 1)`

func tenantFilter(scope evcs.Scope, want tenant.Wanted) filter {
	var f filter
	f.scope("t.id", scope)
	f.add("t.deleted_at = 0")
	f.contains(want.Name, "t.name")
	f.contains(want.Code, "t.code")
	among(&f, "t.type", want.Types)
	if want.Enabled != nil {
		f.add("t.status = ?", flag(*want.Enabled))
	}
	if want.Parent != 0 {
		f.add("t.parent_id = ?", want.Parent)
	}
	if want.ID != 0 {
		f.add("t.id = ?", want.ID)
	}
	now := evcs.Millis(want.Now)
	switch want.State {
	case tenant.Active:
		f.add(nearestBlock+` IS NULL`, now)
	case tenant.Disabled:
		f.add(nearestBlock+` = 0`, now)
	case tenant.Expired:
		f.add(nearestBlock+` = 1`, now)
	}
	return f
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Page lists the tenants of scope that are wanted.
func (s TenantLists) Page(ctx context.Context, scope evcs.Scope, want tenant.Wanted, r evcs.PageRequest) (evcs.Page[tenant.Listed], error) {
	result, err := page(ctx, s.q, tenantListing, tenantFilter(scope, want), r)
	if err == nil {
		err = s.addStates(ctx, result.Records, want)
	}
	return result, err
}

// One is the live tenant id of scope with what a list says of it, or 5001.
func (s TenantLists) One(ctx context.Context, scope evcs.Scope, id evcs.TenantID, want tenant.Wanted) (tenant.Listed, error) {
	want.ID = id
	list, err := all(ctx, s.q, tenantListing, tenantFilter(scope, want))
	if err == nil && len(list) == 0 {
		err = noTenant(id)
	}
	if err == nil {
		err = s.addStates(ctx, list, want)
	}
	if err != nil {
		return tenant.Listed{}, err
	}
	return list[0], nil
}

// addStates finds what holds for each tenant together with its ancestors.
func (s TenantLists) addStates(ctx context.Context, list []tenant.Listed, want tenant.Wanted) error {
	for start := 0; start < len(list); start += 500 {
		part := list[start:min(start+500, len(list))]
		ids := make([]any, len(part))
		for i := range part {
			ids[i] = part[i].ID
		}
		chains := make(map[evcs.TenantID]tenant.Chain, len(part))
		err := s.q.rows(ctx, "read tenant chains", func(rows row) error {
			var of evcs.TenantID
			t, err := scanTenant(rows, &of)
			chains[of] = append(chains[of], t)
			return err
		}, `SELECT `+tenantColumns+`, a.tenant_id FROM tenant_ancestors a JOIN tenants t ON t.id = a.ancestor_id
			WHERE a.tenant_id IN (`+binds(len(ids))+`) ORDER BY a.tenant_id, a.depth`, ids...)
		if err != nil {
			return err
		}
		for i := range part {
			part[i].State, part[i].BlockedBy = chains[part[i].ID].State(want.Now)
		}
	}
	return nil
}

// Below reports whether the live tenant t is under, or lies below it.
func (s TenantLists) Below(ctx context.Context, under, t evcs.TenantID) (bool, error) {
	var below bool
	err := s.q.one(ctx, "look below tenant", sql.ErrNoRows, []any{&below}, `
		SELECT EXISTS (SELECT 1 FROM tenant_ancestors a JOIN tenants t ON t.id = a.tenant_id
			WHERE a.ancestor_id = ? AND a.tenant_id = ? AND t.deleted_at = 0)`, under, t)
	return below, err
}

// Descendants are the live tenants below scope's own, ascending.
func (s TenantLists) Descendants(ctx context.Context, scope evcs.Scope) ([]evcs.TenantID, error) {
	ids := []evcs.TenantID{}
	err := s.q.rows(ctx, "list descendants", func(rows row) error {
		var id evcs.TenantID
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT t.id FROM tenant_ancestors a JOIN tenants t ON t.id = a.tenant_id
		WHERE a.ancestor_id = ? AND a.tenant_id <> ? AND t.deleted_at = 0 ORDER BY t.id`, scope.Tenant, scope.Tenant)
	return ids, err
}
