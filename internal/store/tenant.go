package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// Tenants keeps the tree of tenants and its audit record. It implements
// tenant.Store.
type Tenants struct {
	AuditTrail
	TenantLists
	q querier
}

// Tenants is the tree as this transaction sees and changes it.
func (tx *Tx) Tenants() tenant.Store { return tenantsOf(tx.q) }

// Tenants is the committed tree.
func (r Reader) Tenants() Tenants { return tenantsOf(r.q) }

func tenantsOf(q querier) Tenants { return Tenants{AuditTrail{q}, TenantLists{q}, q} }

const tenantColumns = `t.id, t.code, t.name, t.parent_id, t.level, t.type, t.status, t.expire_at, t.contact_person, t.contact_phone,
	t.contact_email, t.address, t.social_code, t.license_url, t.remark, t.max_users, t.max_stations, t.max_chargers, t.max_children,
	t.max_sessions, t.settings, t.created_at, t.updated_at, t.created_by, t.version`

func scanTenant(r row, more ...any) (tenant.Tenant, error) {
	var t tenant.Tenant
	var status int
	var expires, created, updated int64
	var settings string
	dest := []any{
		&t.ID, &t.Code, &t.Name, &t.Parent, &t.Level, &t.Type, &status, &expires, &t.ContactPerson, &t.ContactPhone,
		&t.ContactEmail, &t.Address, &t.SocialCode, &t.LicenseURL, &t.Remark, &t.Limits.Users, &t.Limits.Stations, &t.Limits.Chargers,
		&t.Limits.Children, &t.Limits.Sessions, &settings, &created, &updated, &t.CreatedBy, &t.Version,
	}
	if err := r.Scan(append(dest, more...)...); err != nil {
		return t, err
	}
	t.Enabled = status == 1
	t.Expires, t.Created, t.Updated = evcs.FromMillis(expires), evcs.FromMillis(created), evcs.FromMillis(updated)
	var own settingsRow
	if err := json.Unmarshal([]byte(settings), &own); err != nil {
		return t, fmt.Errorf("settings of tenant %d: %w", t.ID, err)
	}
	t.Own = tenant.Overrides(own)
	return t, nil
}

// settingsRow is tenant.Overrides as it is stored.
type settingsRow struct {
	TimeZone              *string     `json:"timeZone,omitempty"`
	Locale                *string     `json:"locale,omitempty"`
	AutoToPay             *bool       `json:"autoToPay,omitempty"`
	SettleFromEstimate    *bool       `json:"settleFromEstimate,omitempty"`
	BlockUnpaidUsers      *bool       `json:"blockUnpaidUsers,omitempty"`
	SandboxPayments       *bool       `json:"sandboxPayments,omitempty"`
	PaymentTimeoutMinutes *int        `json:"paymentTimeoutMinutes,omitempty"`
	RefundApprovalAbove   *evcs.Money `json:"refundApprovalAbove,omitempty"`
	IDTagPolicy           *string     `json:"idTagPolicy,omitempty"`
	MeterRetentionDays    *int        `json:"meterRetentionDays,omitempty"`
	MessageRetentionDays  *int        `json:"messageRetentionDays,omitempty"`
	AuditRetentionDays    *int        `json:"auditRetentionDays,omitempty"`
}

func noTenant(id evcs.TenantID) error {
	return evcs.With(tenant.ErrNotFound, map[string]any{"tenantId": id})
}

// Tenant implements tenant.Store.
func (s Tenants) Tenant(ctx context.Context, scope evcs.Scope, id evcs.TenantID) (*tenant.Tenant, error) {
	var f filter
	f.scope("t.id", scope)
	f.add("t.id = ?", id)
	f.add("t.deleted_at = 0")
	list, err := tenantRows(ctx, s.q, "read tenant", `SELECT `+tenantColumns+` FROM tenants t`+f.where(), f.args...)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, noTenant(id)
	}
	return &list[0], nil
}

func tenantRows(ctx context.Context, q querier, what, query string, args ...any) ([]tenant.Tenant, error) {
	var list []tenant.Tenant
	err := q.rows(ctx, what, func(rows row) error {
		t, err := scanTenant(rows)
		list = append(list, t)
		return err
	}, query, args...)
	return list, err
}

// Chain implements tenant.Store.
func (s Tenants) Chain(ctx context.Context, id evcs.TenantID) (tenant.Chain, error) {
	chain, err := tenantRows(ctx, s.q, "read tenant chain", `SELECT `+tenantColumns+`
		FROM tenant_ancestors a JOIN tenants t ON t.id = a.ancestor_id
		WHERE a.tenant_id = ? AND t.deleted_at = 0 ORDER BY a.depth`, id)
	if err != nil {
		return nil, err
	}
	if len(chain) == 0 || chain[0].ID != id {
		return nil, noTenant(id)
	}
	return chain, nil
}

// LockChain implements tenant.Store. The root comes before the chain is read:
// who moves a tenant holds it, so the chain stays as it was read, and however
// many wait, each has to wait but once.
func (s Tenants) LockChain(ctx context.Context, id evcs.TenantID) (tenant.Chain, error) {
	if err := s.lockOne(ctx, evcs.PlatformTenant); err != nil {
		return nil, err
	}
	return s.lock(ctx, id, func(t *tenant.Tenant) bool { return t.ID != evcs.PlatformTenant })
}

func (s Tenants) lockOne(ctx context.Context, id evcs.TenantID) error {
	return s.q.swap(ctx, "lock tenant", `UPDATE tenants SET chain_seq = chain_seq + 1 WHERE id = ? AND deleted_at = 0`, id)
}

// LockLimited implements tenant.Store.
func (s Tenants) LockLimited(ctx context.Context, id evcs.TenantID, kind tenant.Resource) (tenant.Chain, error) {
	return s.lock(ctx, id, func(t *tenant.Tenant) bool { return t.Limits.Of(kind) != nil })
}

// lock bumps chain_seq of the members that are wanted, the root first, so that
// two transactions never wait for each other, and then reads the chain again:
// what counted before the lock may be old. A chain that was moved meanwhile is
// stale.
func (s Tenants) lock(ctx context.Context, id evcs.TenantID, wanted func(*tenant.Tenant) bool) (tenant.Chain, error) {
	seen, err := s.Chain(ctx, id)
	if err != nil {
		return nil, err
	}
	locked := 0
	for i := len(seen) - 1; i >= 0; i-- {
		if !wanted(&seen[i]) {
			continue
		}
		locked++
		if err := s.lockOne(ctx, seen[i].ID); err != nil {
			return nil, err
		}
	}
	if locked == 0 {
		return seen, nil
	}
	chain, err := s.Chain(ctx, id)
	if err != nil {
		return nil, err
	}
	same := slices.EqualFunc(seen, chain, func(a, b tenant.Tenant) bool { return a.ID == b.ID })
	if !same {
		return nil, fmt.Errorf("lock chain of tenant %d: %w", id, evcs.ErrStale)
	}
	return chain, nil
}

// HoldStarts implements tenant.Store. Every start writes the row of its charger
// by its version.
func (s Tenants) HoldStarts(ctx context.Context, id evcs.TenantID) error {
	_, err := s.q.exec(ctx, "hold starts", `UPDATE chargers SET version = version + 1 WHERE deleted_at = 0 AND `+inSubtree, id)
	return err
}

// usageQueries count what lies below a tenant; each has one bind. A running
// session is never rolled: saying so finds it among the few that are not.
var usageQueries = map[tenant.Resource]string{
	tenant.Users:    `SELECT COUNT(*) FROM users WHERE deleted_at = 0 AND ` + inSubtree,
	tenant.Stations: `SELECT COUNT(*) FROM stations WHERE deleted_at = 0 AND ` + inSubtree,
	tenant.Chargers: `SELECT COUNT(*) FROM chargers WHERE deleted_at = 0 AND ` + inSubtree,
	tenant.Children: `SELECT COUNT(*) FROM tenants WHERE deleted_at = 0 AND parent_id = ?`,
	tenant.Sessions: `SELECT COUNT(*) FROM sessions WHERE state IN ('ACTIVE', 'SUSPENDED') AND NOT rolled AND ` + inSubtree,
	tenant.Subtree:  `SELECT COUNT(*) FROM tenants WHERE deleted_at = 0 AND id IN (SELECT tenant_id FROM tenant_ancestors WHERE ancestor_id = ?)`,
	tenant.Orders:   `SELECT COUNT(*) FROM orders WHERE ` + inSubtree,
}

const inSubtree = `tenant_id IN (SELECT tenant_id FROM tenant_ancestors WHERE ancestor_id = ?)`

// Usage implements tenant.Store.
func (s Tenants) Usage(ctx context.Context, id evcs.TenantID, kind tenant.Resource) (int64, error) {
	query, ok := usageQueries[kind]
	if !ok {
		return 0, fmt.Errorf("count %q: no such resource", kind)
	}
	var n int64
	err := s.q.everywhere(ctx, func(ctx context.Context) error {
		return s.q.one(ctx, "count "+string(kind), sql.ErrNoRows, []any{&n}, query, id)
	})
	return n, err
}

// Holder implements tenant.Store.
func (s Tenants) Holder(ctx context.Context, code string) (evcs.TenantID, error) {
	var id evcs.TenantID
	err := s.q.everywhere(ctx, func(ctx context.Context) error {
		return s.q.one(ctx, "look up tenant code", nil, []any{&id},
			`SELECT id FROM tenants WHERE LOWER(code) = LOWER(?) AND deleted_at = 0`, code)
	})
	return id, err
}

// errHasID says that Insert was given a tenant that exists.
var errHasID = errors.New("insert tenant: only the root comes with its id")

// Insert implements tenant.Store. The root, and only it, comes with its ID set.
func (s Tenants) Insert(ctx context.Context, t *tenant.Tenant) error {
	if t.ID != 0 && (t.ID != evcs.PlatformTenant || t.Parent != 0) {
		return errHasID
	}
	columns, args, err := tenantValues(t)
	if err != nil {
		return err
	}
	columns = append(columns, "code", "parent_id", "level", "chain_seq", "created_at", "created_by", "deleted_at", "version")
	args = append(args, t.Code, t.Parent, t.Level, 0, evcs.Millis(t.Created), t.CreatedBy, 0, 1)
	if t.ID != 0 {
		columns, args = append(columns, "id"), append(args, t.ID)
	}
	return s.q.everywhere(ctx, func(ctx context.Context) error { // it lies in nobody's subtree yet
		id, err := s.q.insertID(ctx, "insert tenant", `INSERT INTO tenants (`+strings.Join(columns, ", ")+`) VALUES (`+binds(len(columns))+`) RETURNING id`, args...)
		if err != nil {
			return err
		}
		t.ID, t.Version = evcs.TenantID(id), 1
		return s.place(ctx, t, id)
	})
}

// place puts a new tenant under the ancestors of its parent.
func (s Tenants) place(ctx context.Context, t *tenant.Tenant, id int64) error {
	_, err := s.q.exec(ctx, "place tenant", `
		INSERT INTO tenant_ancestors (tenant_id, ancestor_id, depth)
		SELECT CAST(? AS BIGINT), ancestor_id, depth + 1 FROM tenant_ancestors WHERE tenant_id = ?
		UNION ALL SELECT CAST(? AS BIGINT), CAST(? AS BIGINT), 0`, id, t.Parent, id, id)
	return err
}

// tenantValues are the columns that creation and change have in common.
func tenantValues(t *tenant.Tenant) (columns []string, args []any, err error) {
	own, err := json.Marshal(settingsRow(t.Own))
	if err != nil {
		return nil, nil, fmt.Errorf("encode settings: %w", err)
	}
	status := 0
	if t.Enabled {
		status = 1
	}
	columns = []string{
		"name", "type", "status", "expire_at", "contact_person", "contact_phone", "contact_email", "address", "social_code",
		"license_url", "remark", "max_users", "max_stations", "max_chargers", "max_children", "max_sessions", "settings", "updated_at",
	}
	args = []any{
		t.Name, t.Type, status, evcs.Millis(t.Expires), t.ContactPerson, t.ContactPhone, t.ContactEmail, t.Address, t.SocialCode,
		t.LicenseURL, t.Remark, t.Limits.Users, t.Limits.Stations, t.Limits.Chargers, t.Limits.Children, t.Limits.Sessions, string(own), evcs.Millis(t.Updated),
	}
	return columns, args, nil
}

// Update implements tenant.Store.
func (s Tenants) Update(ctx context.Context, t *tenant.Tenant) error {
	s.q.changed()
	columns, args, err := tenantValues(t)
	if err != nil {
		return err
	}
	err = s.q.swap(ctx, "update tenant", `UPDATE tenants SET `+strings.Join(columns, " = ?, ")+` = ?, version = version + 1
		WHERE id = ? AND version = ? AND deleted_at = 0`, append(args, t.ID, t.Version)...)
	if err == nil {
		t.Version++
	}
	return err
}

// Move implements tenant.Store. The caller holds the locks of both chains.
func (s Tenants) Move(ctx context.Context, t *tenant.Tenant, parent evcs.TenantID) error {
	s.q.changed()
	var level int
	if err := s.q.one(ctx, "read level", noTenant(parent), []any{&level}, `SELECT level FROM tenants WHERE id = ? AND deleted_at = 0`, parent); err != nil {
		return err
	}
	if _, err := s.q.exec(ctx, "leave ancestors", `
		DELETE FROM tenant_ancestors
		WHERE tenant_id IN (SELECT tenant_id FROM tenant_ancestors WHERE ancestor_id = ?)
		  AND ancestor_id IN (SELECT ancestor_id FROM tenant_ancestors WHERE tenant_id = ? AND ancestor_id <> ?)`, t.ID, t.ID, t.ID); err != nil {
		return err
	}
	if _, err := s.q.exec(ctx, "join ancestors", `
		INSERT INTO tenant_ancestors (tenant_id, ancestor_id, depth)
		SELECT down.tenant_id, up.ancestor_id, down.depth + up.depth + 1
		FROM tenant_ancestors down CROSS JOIN tenant_ancestors up
		WHERE down.ancestor_id = ? AND up.tenant_id = ?`, t.ID, parent); err != nil {
		return err
	}
	if _, err := s.q.exec(ctx, "shift levels", `
		UPDATE tenants SET level = level + ? WHERE id IN (SELECT tenant_id FROM tenant_ancestors WHERE ancestor_id = ?)`,
		level+1-t.Level, t.ID); err != nil {
		return err
	}
	err := s.q.swap(ctx, "move tenant", `UPDATE tenants SET parent_id = ?, updated_at = ?, version = version + 1 WHERE id = ? AND version = ?`,
		parent, evcs.Millis(t.Updated), t.ID, t.Version)
	if err == nil {
		t.Parent, t.Level, t.Version = parent, level+1, t.Version+1
	}
	return err
}

// Delete implements tenant.Store. Sign-ins of the users need no touch: they
// end with their user.
func (s Tenants) Delete(ctx context.Context, t *tenant.Tenant, at time.Time) error {
	s.q.changed()
	ms := evcs.Millis(at)
	if err := s.q.swap(ctx, "delete tenant", `UPDATE tenants SET deleted_at = ?, updated_at = ?, version = version + 1
		WHERE id = ? AND version = ? AND deleted_at = 0`, ms, ms, t.ID, t.Version); err != nil {
		return err
	}
	for _, table := range [...]string{"users", "roles", "api_keys"} {
		if _, err := s.q.exec(ctx, "delete "+table+" of tenant",
			`UPDATE `+table+` SET deleted_at = ?, version = version + 1 WHERE tenant_id = ? AND deleted_at = 0`, ms, t.ID); err != nil {
			return err
		}
	}
	return nil
}
