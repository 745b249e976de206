package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// AuditTrail keeps the audit record. It implements tenant.Trail.
type AuditTrail struct{ q querier }

// Record implements tenant.Trail. The counter row of the tenant's chain gives
// the number and stays locked until the end of the transaction, so rows of one
// tenant are chained one after the other on either engine.
func (s AuditTrail) Record(ctx context.Context, row *tenant.AuditRow) error {
	details, err := row.DetailsText()
	if err != nil {
		return err
	}
	if err := s.q.one(ctx, "number audit row", sql.ErrNoRows, []any{&row.ChainNo}, `
		INSERT INTO sequences (name, next) VALUES (?, 2)
		ON CONFLICT (name) DO UPDATE SET next = sequences.next + 1 RETURNING next - 1`, auditSequence(row.OperatorTenant)); err != nil {
		return err
	}
	var previous string
	if err := s.q.one(ctx, "read audit chain", nil, []any{&previous},
		`SELECT hash FROM audit WHERE operator_tenant_id = ? AND chain_no = ?`, row.OperatorTenant, row.ChainNo-1); err != nil {
		return err
	}
	row.Hash = row.Seal(previous, details)
	row.ID, err = s.q.insertID(ctx, "insert audit row", `
		INSERT INTO audit (operator_tenant_id, operator_user_id, operator_name, key_id, target_tenant_id, target_type, target_id, action,
			success, error_code, error_message, cross_layer, count, details, trace, client_ip, agent, at, chain_no, hash)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		row.OperatorTenant, row.OperatorUser, row.OperatorName, row.Key, row.Target, row.TargetType, row.TargetID, row.Action,
		row.Success, row.ErrorCode, row.ErrorMessage, row.CrossLayer, row.Count, details, row.Trace, row.Address, row.Agent,
		evcs.Millis(row.At), row.ChainNo, row.Hash)
	return err
}

func auditSequence(t evcs.TenantID) string { return fmt.Sprintf("audit/%d", t) }

// Fold implements tenant.Trail.
func (s AuditTrail) Fold(ctx context.Context, id, n int64) error {
	return s.q.swap(ctx, "fold audit row", `UPDATE audit SET count = count + ? WHERE id = ? AND (action = ? OR NOT success)`, n, id, tenant.CrossLayerRead)
}

const auditColumns = `r.id, r.operator_tenant_id, r.operator_user_id, r.operator_name, r.key_id, r.target_tenant_id, r.target_type,
	r.target_id, r.action, r.success, r.error_code, r.error_message, r.cross_layer, r.count, r.details, r.trace, r.client_ip, r.agent,
	r.at, r.chain_no, r.hash`

// scanAudit returns the row and the exact text of its details.
func scanAudit(from row, more ...any) (a tenant.AuditRow, details string, err error) {
	var at int64
	dest := []any{
		&a.ID, &a.OperatorTenant, &a.OperatorUser, &a.OperatorName, &a.Key, &a.Target, &a.TargetType,
		&a.TargetID, &a.Action, &a.Success, &a.ErrorCode, &a.ErrorMessage, &a.CrossLayer, &a.Count, &details, &a.Trace, &a.Address, &a.Agent,
		&at, &a.ChainNo, &a.Hash,
	}
	if err = from.Scan(append(dest, more...)...); err == nil {
		a.At = evcs.FromMillis(at)
	}
	return a, details, err
}

var auditListing = listing[tenant.AuditRow]{
	what:    "list audit rows",
	columns: auditColumns + `, COALESCE(t.name, '')`,
	from:    `audit r LEFT JOIN tenants t ON t.id = r.target_tenant_id`,
	id:      "r.id",
	sorts:   map[string]sortColumn{"auditId": {expr: "r.id"}, "operateTime": {expr: "r.at"}, "createTime": {expr: "r.at"}},
	scan: func(r row) (tenant.AuditRow, error) {
		var name string
		a, details, err := scanAudit(r, &name)
		if err != nil {
			return a, err
		}
		a.TargetName = name
		if err := json.Unmarshal([]byte(details), &a.Details); err != nil {
			return a, fmt.Errorf("details of audit row %d: %w", a.ID, err)
		}
		return a, nil
	},
}

// auditScope keeps rows whose operator or target lies in the scope.
func auditScope(f *filter, scope evcs.Scope) {
	operator, arg := scopeCond("r.operator_tenant_id", scope)
	target, _ := scopeCond("r.target_tenant_id", scope)
	f.add(`(`+operator+` OR `+target+`)`, arg, arg)
}

// AuditPage lists the rows of scope that are wanted.
func (s AuditTrail) AuditPage(ctx context.Context, scope evcs.Scope, want tenant.AuditWanted, r evcs.PageRequest) (evcs.Page[tenant.AuditRow], error) {
	var f filter
	auditScope(&f, scope)
	if want.Target != 0 {
		f.add("r.target_tenant_id = ?", want.Target)
	}
	if want.Operator != 0 {
		f.add("r.operator_user_id = ?", want.Operator)
	}
	among(&f, "r.action", want.Actions)
	if want.Success != nil {
		f.add("r.success = ?", *want.Success)
	}
	if want.CrossLayer != nil {
		f.add("r.cross_layer = ?", *want.CrossLayer)
	}
	f.exact("r.target_type", want.TargetType)
	f.exact("r.target_id", want.TargetID)
	f.exact("r.trace", want.Trace)
	f.contains(want.Keyword, "r.operator_name", "r.action", "r.details", "r.error_message", "r.target_id")
	f.within("r.at", evcs.Millis(want.From), evcs.Millis(want.To))
	return page(ctx, s.q, auditListing, f, r)
}

// CrossLayer counts the cross-layer rows of scope in the time by action, the
// most frequent first. A folded row counts as often as it was folded.
func (s AuditTrail) CrossLayer(ctx context.Context, scope evcs.Scope, want tenant.AuditWanted) ([]tenant.ActionCount, error) {
	var f filter
	auditScope(&f, scope)
	f.add("r.cross_layer = ?", true)
	f.within("r.at", evcs.Millis(want.From), evcs.Millis(want.To))
	var list []tenant.ActionCount
	err := s.q.rows(ctx, "count cross-layer rows", func(rows row) error {
		var c tenant.ActionCount
		err := rows.Scan(&c.Action, &c.Count, &c.Succeeded)
		list = append(list, c)
		return err
	}, `SELECT r.action, CAST(SUM(r.count) AS BIGINT), CAST(COALESCE(SUM(r.count) FILTER (WHERE r.success), 0) AS BIGINT)
		FROM audit r`+f.where()+` GROUP BY r.action ORDER BY 2 DESC, 1`, f.args...)
	return list, err
}

// Verify walks the chains of the operator tenants of scope, each from its
// anchor on. It finds changed and missing rows, and rows cut off at the end.
func (s AuditTrail) Verify(ctx context.Context, scope evcs.Scope) (tenant.Verification, error) {
	for range attempts {
		begins, err := s.anchors(ctx, scope)
		if err != nil {
			return tenant.Verification{}, err
		}
		found, err := s.walk(ctx, scope, begins)
		if err != nil || found.OK() {
			return found, err
		}
		now, err := s.anchors(ctx, scope)
		if err != nil || maps.Equal(begins, now) {
			return found, err
		} // retention was at work meanwhile
	}
	return tenant.Verification{}, fmt.Errorf("verify audit rows: %w", evcs.ErrStale)
}

// walk checks the rows behind the anchors. The ends are read first: what is
// added meanwhile is only more.
func (s AuditTrail) walk(ctx context.Context, scope evcs.Scope, begins map[evcs.TenantID]anchor) (tenant.Verification, error) {
	var v tenant.Verifier
	for t, a := range begins {
		v.Anchor(t, a.no, a.hash)
	}
	ends := make(map[evcs.TenantID]int64)
	var f filter
	f.scope("t.id", scope)
	err := s.q.rows(ctx, "read audit ends", func(rows row) error {
		var t evcs.TenantID
		var next int64
		err := rows.Scan(&t, &next)
		ends[t] = next - 1
		return err
	}, `SELECT t.id, s.next FROM tenants t JOIN sequences s ON s.name = 'audit/' || CAST(t.id AS TEXT)`+f.where(), f.args...)
	if err != nil {
		return tenant.Verification{}, err
	}
	f = filter{}
	f.scope("r.operator_tenant_id", scope)
	err = s.q.rows(ctx, "verify audit rows", func(rows row) error {
		a, details, err := scanAudit(rows)
		if err == nil {
			v.Add(&a, details)
		}
		return err
	}, `SELECT `+auditColumns+` FROM audit r`+f.where()+` ORDER BY r.operator_tenant_id, r.chain_no`, f.args...)
	for _, t := range slices.Sorted(maps.Keys(ends)) {
		v.End(t, ends[t])
	}
	return v.Result(), err
}

// anchor is where the kept part of a chain begins.
type anchor struct {
	no   int64
	hash string
}

func (s AuditTrail) anchors(ctx context.Context, scope evcs.Scope) (map[evcs.TenantID]anchor, error) {
	found := make(map[evcs.TenantID]anchor)
	var f filter
	f.scope("a.tenant_id", scope)
	err := s.q.rows(ctx, "read audit anchors", func(rows row) error {
		var t evcs.TenantID
		var a anchor
		err := rows.Scan(&t, &a.no, &a.hash)
		found[t] = a
		return err
	}, `SELECT a.tenant_id, a.chain_no, a.hash FROM audit_anchors a`+f.where(), f.args...)
	return found, err
}
