package store

import (
	"context"

	"github.com/evcs/evcs/internal/evcs"
)

// Present keeps who was heard when: the figures of presence on chargers, which
// move without a version, because nobody decides by them inside a transaction.
type Present struct{ q querier }

// Presence keeps who was heard when.
func Presence(tx *Tx) Present { return Present{tx.q} }

// Present reads who was heard when.
func (r Reader) Present() Present { return Present(r) }

// Heard writes when a charger was last heard; it never goes back.
func (s Present) Heard(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID, at int64) error {
	in, tenant := scopeCond("tenant_id", scope)
	_, err := s.q.exec(ctx, "note last seen", `UPDATE chargers SET last_seen_at = ? WHERE id = ? AND last_seen_at < ? AND `+in, at, charger, at, tenant)
	return err
}

// Silent is a charger that may have gone silent.
type Silent struct {
	Charger evcs.ChargerID
	Tenant  evcs.TenantID
	Last    int64
}

// LeastHeard lists chargers of any tenant that are not offline, the one that was
// not heard for longest first.
func (s Present) LeastHeard(ctx context.Context, n int) ([]Silent, error) {
	var list []Silent
	limit, bound := s.q.limit(n)
	err := s.q.rows(ctx, "look for silent chargers", func(r row) error {
		var x Silent
		err := r.Scan(&x.Charger, &x.Tenant, &x.Last)
		list = append(list, x)
		return err
	}, `SELECT id, tenant_id, last_seen_at FROM chargers WHERE status <> 0 AND deleted_at = 0 ORDER BY last_seen_at, id`+limit, bound...)
	return list, err
}

// ConnectedTo lists chargers that a node shows as connected; every node's when
// node is empty.
func (s Present) ConnectedTo(ctx context.Context, node string) ([]Silent, error) {
	var list []Silent
	err := s.q.rows(ctx, "read connected chargers", func(rows row) error {
		var x Silent
		err := rows.Scan(&x.Charger, &x.Tenant, &x.Last)
		list = append(list, x)
		return err
	}, `SELECT id, tenant_id, last_seen_at FROM chargers WHERE connected AND (node = ? OR ? = '') AND deleted_at = 0 ORDER BY id`, node, node)
	return list, err
}
