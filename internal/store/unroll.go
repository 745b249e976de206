package store

import (
	"context"
	"fmt"

	"github.com/evcs/evcs/internal/evcs"
)

// swapRolled is swap for a row whose figures may stand in the report tables. The
// update says AND NOT rolled (or that nothing they hold changes), so it
// costs nothing while the row is young; when it meets a rolled row, unroll
// takes the figures back and the update runs again. Readers see both or
// neither.
func (q querier) swapRolled(ctx context.Context, what string, unroll func() (bool, error), query string, args ...any) error {
	n, err := q.exec(ctx, what, query, args...)
	if err != nil || n > 0 {
		return err
	}
	was, err := unroll()
	if err != nil {
		return err
	}
	if !was {
		return fmt.Errorf("%s: %w", what, evcs.ErrStale)
	}
	return q.swap(ctx, what, query, args...)
}

// unrollOrder takes an order out of the figures; false when it is not in them.
func (q querier) unrollOrder(ctx context.Context, tenant evcs.TenantID, id evcs.OrderID, version int64) (bool, error) {
	var found []rolledOrder
	err := q.rows(ctx, "take an order out of the figures", func(rows row) error {
		o, err := scanRolledOrder(rows)
		found = append(found, o)
		return err
	}, `UPDATE orders SET rolled = FALSE WHERE id = ? AND version = ? AND tenant_id = ? AND rolled RETURNING `+rolledOrderColumns, id, version, tenant)
	if err != nil || len(found) == 0 {
		return false, err
	}
	f, err := q.taking(ctx, tenant)
	if err != nil {
		return false, err
	}
	f.order(found[0])
	return true, f.write(ctx, q)
}

// taking begins to take figures of a tenant back.
func (q querier) taking(ctx context.Context, tenant evcs.TenantID) (*figures, error) {
	zones, err := zonesOf(ctx, q, []evcs.TenantID{tenant}, true)
	return newFigures(-1, zones), err
}

// unrollSession takes a session out of the figures.
func (q querier) unrollSession(ctx context.Context, tenant evcs.TenantID, id, version int64) (bool, error) {
	var found []rolledSession
	err := q.rows(ctx, "take a session out of the figures", func(rows row) error {
		s, err := scanRolledSession(rows)
		found = append(found, s)
		return err
	}, `UPDATE sessions SET rolled = FALSE WHERE id = ? AND version = ? AND tenant_id = ? AND rolled RETURNING `+rolledSessionColumns, id, version, tenant)
	if err != nil || len(found) == 0 {
		return false, err
	}
	f, err := q.taking(ctx, tenant)
	if err != nil {
		return false, err
	}
	splits := make(map[splitKey]evcs.Energy)
	if err := q.rows(ctx, "take back how a session is divided", func(rows row) error {
		k := splitKey{session: id}
		var e evcs.Energy
		err := rows.Scan(&k.zone, &k.day, &e)
		splits[k] = e
		return err
	}, `DELETE FROM report_splits WHERE session_id = ? AND tenant_id = ? RETURNING zone_id, day, energy`, id, tenant); err != nil {
		return false, err
	}
	if err := f.session(found[0], f.of(tenant, kindSession, id), nil, splits); err != nil {
		return false, err
	}
	return true, f.write(ctx, q)
}

// unrollPayment takes a payment out of the figures.
func (q querier) unrollPayment(ctx context.Context, tenant evcs.TenantID, id evcs.PaymentID, version int64) (bool, error) {
	return q.unrollMoney(ctx, tenant, kindPayment, `UPDATE payments SET rolled = FALSE WHERE id = ? AND version = ? AND tenant_id = ? AND rolled RETURNING `+rolledPaymentColumns,
		id, version, tenant)
}

// unrollRefund takes a refund out of the figures.
func (q querier) unrollRefund(ctx context.Context, tenant evcs.TenantID, id evcs.RefundID, version int64) (bool, error) {
	return q.unrollMoney(ctx, tenant, kindRefund, `UPDATE refunds SET rolled = FALSE WHERE id = ? AND version = ? AND tenant_id = ? AND rolled RETURNING `+rolledRefundColumns,
		id, version, tenant)
}

func (q querier) unrollMoney(ctx context.Context, tenant evcs.TenantID, k kind, query string, args ...any) (bool, error) {
	list, err := q.rolledMoney(ctx, "take money out of the figures", k, query, args...)
	if err != nil || len(list) == 0 {
		return false, err
	}
	f, err := q.taking(ctx, tenant)
	if err != nil {
		return false, err
	}
	f.money(list[0], f.of(tenant, k, list[0].id))
	return true, f.write(ctx, q)
}

const (
	rolledPaymentColumns = `id, tenant_id, order_id, amount, paid_at, sandbox`
	rolledRefundColumns  = `id, tenant_id, order_id, amount, success_at, (SELECT p.sandbox FROM payments p WHERE p.id = refunds.payment_id)`
)

// rolledMoney reads payments or refunds and then the stations of their orders.
func (q querier) rolledMoney(ctx context.Context, what string, k kind, query string, args ...any) ([]rolledMoney, error) {
	var list []rolledMoney
	err := q.rows(ctx, what, func(rows row) error {
		m := rolledMoney{refund: k == kindRefund}
		err := rows.Scan(&m.id, &m.tenant, &m.order, &m.amount, &m.at, &m.sandbox)
		list = append(list, m)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	for i := range list {
		m := &list[i]
		if err := q.one(ctx, "read station of an order", nil, []any{&m.station}, `SELECT station_id FROM orders WHERE id = ? AND tenant_id = ?`, m.order, m.tenant); err != nil {
			return nil, err
		}
	}
	return list, nil
}
