package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
)

// booked is the sum that a subject's entries post to a kind of account. They are
// found by their order.
func booked(about, account string) string {
	return `(SELECT CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM journal j JOIN postings p ON p.entry_id = j.id JOIN accounts a ON a.id = p.account_id
		WHERE +j.tenant_id = x.tenant_id AND j.order_id <> 0 AND ` + about + ` AND a.kind = '` + account + `')`
}

// gapQueries give tenant, id, name, what the subject's rows say and what its
// entries say. Each takes the scope's tenant, from and to.
func gapQueries(scope evcs.Scope) []struct {
	subject ledger.Subject
	text    string
} {
	in := moneyWithin(scope)
	const bills = `j.order_id = x.id AND j.kind IN ('BILLED', 'REBILLED', 'DISCOUNTED', 'WAIVED')`
	return []struct {
		subject ledger.Subject
		text    string
	}{
		// What an ended order asks for is billed; a cancelled one asks for nothing.
		{ledger.OfOrder, `SELECT tenant_id, id, order_no AS name, CASE WHEN status = 2 THEN 0 ELSE amount END AS expected, ` + booked(bills, "RECEIVABLE") + ` AS found
			FROM orders x WHERE x.` + in + ` AND x.started_at >= ? AND x.started_at < ? AND x.status <> 0`},
		{ledger.OfPayment, `SELECT tenant_id, id, trade_no AS name, amount AS expected, ` +
			booked(`j.order_id = x.order_id AND j.payment_id = x.id AND j.kind = 'CAPTURED'`, "CLEARING") + ` AS found
			FROM payments x WHERE x.` + in + ` AND x.paid_at >= ? AND x.paid_at < ?`},
		// In flight it is owed.
		{ledger.OfRefund, `SELECT tenant_id, id, refund_no AS name, CASE WHEN status = 1 THEN -amount ELSE 0 END AS expected, ` +
			booked(`j.order_id = x.order_id AND j.refund_id = x.id`, "REFUND_PAYABLE") + ` AS found
			FROM refunds x WHERE x.` + in + ` AND x.created_at >= ? AND x.created_at < ? AND x.status IN (1, 2, 3)`},
		// Paid out it has left the channel.
		{ledger.OfRefund, `SELECT tenant_id, id, refund_no AS name, CASE WHEN status = 2 THEN -amount ELSE 0 END AS expected, ` +
			booked(`j.order_id = x.order_id AND j.refund_id = x.id`, "CLEARING") + ` AS found
			FROM refunds x WHERE x.` + in + ` AND x.created_at >= ? AND x.created_at < ? AND x.status IN (1, 2, 3)`},
		// And it was promised.
		{ledger.OfRefund, `SELECT tenant_id, id, refund_no AS name, -amount AS expected, ` +
			booked(`j.order_id = x.order_id AND j.refund_id = x.id AND j.kind = 'REFUND_BEGUN'`, "REFUND_PAYABLE") + ` AS found
			FROM refunds x WHERE x.` + in + ` AND x.created_at >= ? AND x.created_at < ? AND x.status IN (1, 2, 3)`},
		// No entry without its subject.
		{ledger.OfEntry, `SELECT tenant_id, id, key AS name, 0 AS expected, (SELECT CAST(COALESCE(SUM(p.amount), 0) AS BIGINT) FROM postings p WHERE p.entry_id = x.id AND p.amount > 0) AS found
			FROM journal x WHERE x.` + in + ` AND x.at >= ? AND x.at < ? AND (
				x.order_id <> 0 AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = x.order_id AND o.tenant_id = x.tenant_id)
				OR x.payment_id <> 0 AND NOT EXISTS (SELECT 1 FROM payments y WHERE y.id = x.payment_id AND y.tenant_id = x.tenant_id AND y.paid_at > 0)
				OR x.refund_id <> 0 AND NOT EXISTS (SELECT 1 FROM refunds y WHERE y.id = x.refund_id AND y.tenant_id = x.tenant_id))`},
	}
}

// Gaps implements ledger.Completeness.
func (l Ledger) Gaps(ctx context.Context, scope evcs.Scope, from, to time.Time, n int) ([]ledger.Gap, error) {
	list := []ledger.Gap{}
	for _, q := range gapQueries(scope) {
		if len(list) >= n {
			break
		}
		err := l.q.each(ctx, "look for gaps of the journal", func(rows *sql.Rows) error {
			g := ledger.Gap{Subject: q.subject}
			err := rows.Scan(&g.Tenant, &g.ID, &g.Name, &g.Expected, &g.Booked)
			list = append(list, g)
			return err
		}, `SELECT tenant_id, id, name, expected, found FROM (`+q.text+`) g WHERE found <> expected ORDER BY id LIMIT ?`,
			scope.Tenant, evcs.Millis(from), evcs.Millis(to), n-len(list))
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}
