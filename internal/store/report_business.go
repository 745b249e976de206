package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/report"
)

// Business counts the figures of now; drivers are those of orders begun in
// [from, to), new ones those without an order before in the scope.
func (s Reports) Business(ctx context.Context, scope evcs.Scope, from, to time.Time) (report.Business, error) {
	var b report.Business
	in := func(column string) string { cond, _ := scopeCond(column, scope); return cond }
	t, begin, end := int64(scope.Tenant), evcs.Millis(from), evcs.Millis(to)
	err := s.db.Reader().q.one(ctx, "count for monitoring", sql.ErrNoRows, []any{
		&b.ActiveOrders, &b.ActiveChargers, &b.ActiveUsers, &b.NewUsers, &b.Held, &b.Orphans, &b.OpenDifference,
	}, `SELECT
		(SELECT COUNT(*) FROM orders o WHERE o.status = 0 AND `+in("o.tenant_id")+`),
		(SELECT COUNT(DISTINCT s.charger_id) FROM sessions s WHERE s.state IN ('ACTIVE', 'SUSPENDED') AND NOT s.rolled AND `+in("s.tenant_id")+`),
		(SELECT COUNT(DISTINCT o.user_ref) FROM orders o WHERE o.user_ref <> 0 AND o.status <> 2 AND o.started_at >= ? AND o.started_at < ? AND `+in("o.tenant_id")+`),
		(SELECT COUNT(DISTINCT o.user_ref) FROM orders o WHERE o.user_ref <> 0 AND o.status <> 2 AND o.started_at >= ? AND o.started_at < ? AND `+in("o.tenant_id")+`
			AND NOT EXISTS (SELECT 1 FROM orders e WHERE e.user_ref = o.user_ref AND e.status <> 2 AND e.started_at < ? AND `+in("e.tenant_id")+`)),
		(SELECT COUNT(*) FROM orders o WHERE o.held AND `+in("o.tenant_id")+`),
		(SELECT COUNT(*) FROM sessions s WHERE s.state = 'ORPHAN' AND `+in("s.tenant_id")+`),
		(SELECT COUNT(*) FROM recon_differences d WHERE d.state = 'OPEN' AND `+in("d.tenant_id")+`)`,
		t, t, begin, end, t, begin, end, t, begin, t, t, t, t)
	return b, err
}

// Outcomes counts what was decided in [from, to): starts by the start of their
// order, payments by their decision, orders by their end.
func (s Reports) Outcomes(ctx context.Context, scope evcs.Scope, from, to time.Time) (report.Outcomes, error) {
	var o report.Outcomes
	in := func(column string) string { cond, _ := scopeCond(column, scope); return cond }
	t, begin, end := int64(scope.Tenant), evcs.Millis(from), evcs.Millis(to)
	var confirmed int64
	err := s.db.Reader().q.one(ctx, "count outcomes", sql.ErrNoRows, []any{
		&confirmed, &o.FailedStarts, &o.Paid, &o.FailedPayments, &o.Ended, &o.EndedHeld, &o.Enabled, &o.Offline, &o.Running,
	}, `SELECT x.started, x.failed, y.paid, y.failed, z.ended, z.held, c.enabled, c.offline, r.running
		FROM (SELECT COUNT(*) FILTER (WHERE o.start_state = 'STARTED') AS started, COUNT(*) FILTER (WHERE o.start_state = 'FAILED') AS failed
				FROM orders o WHERE o.source <> 'ADOPTED' AND o.started_at >= ? AND o.started_at < ? AND `+in("o.tenant_id")+`) x,
			(SELECT COUNT(*) FILTER (WHERE p.status IN (2, 4, 5, 6)) AS paid, COUNT(*) FILTER (WHERE p.status = 3) AS failed
				FROM payments p WHERE p.status >= 2 AND p.updated_at >= ? AND (p.status = 3 AND p.updated_at < ? OR p.paid_at >= ? AND p.paid_at < ?)
				AND `+in("p.tenant_id")+`) y,
			(SELECT COUNT(*) AS ended, COUNT(*) FILTER (WHERE o.held) AS held
				FROM orders o WHERE o.status <> 2 AND o.started_at >= ? AND o.ended_at >= ? AND o.ended_at < ? AND `+in("o.tenant_id")+`) z,
			(SELECT COUNT(*) AS enabled, COUNT(*) FILTER (WHERE c.status = 0) AS offline
				FROM chargers c WHERE c.deleted_at = 0 AND c.enabled AND `+in("c.tenant_id")+`) c,
			(SELECT COUNT(*) AS running FROM sessions s WHERE s.state IN ('ACTIVE', 'SUSPENDED') AND NOT s.rolled AND `+in("s.tenant_id")+`) r`,
		begin, end, t, begin, end, begin, end, t, begin-longestOrder, begin, end, t, t, t)
	o.Starts = confirmed + o.FailedStarts
	return o, err
}

// longestOrder is how long before its end an order may have begun to be found
// by its start, which is what the index knows: seven days in milliseconds.
const longestOrder = 7 * 24 * 3600 * 1000

// SettlementDue is when the oldest payment or refund that waits to be asked
// about became due, in milliseconds, whoever's it is; 0 when none waits.
func (r Reader) SettlementDue(ctx context.Context) (int64, error) {
	var at int64
	err := r.q.one(ctx, "read settlement age", nil, []any{&at}, `SELECT COALESCE(MIN(x.due), 0) FROM (
		SELECT MIN(next_query_at) AS due FROM payments WHERE next_query_at > 0 UNION ALL
		SELECT MIN(next_query_at) AS due FROM refunds WHERE next_query_at > 0) x`)
	return at, err
}

// GaugeCounts are the figures of the whole installation that Prometheus
// shows: by one label each.
type GaugeCounts struct {
	ActiveOrders int64
	Chargers     report.ChargerStatus
	Differences  map[string]int64 // open ones by channel
	Alerts       map[string]int64 // not resolved, by severity
}

// GaugeCounts counts for Prometheus, every tenant's.
func (s Reports) GaugeCounts(ctx context.Context) (GaugeCounts, error) {
	g := GaugeCounts{Differences: make(map[string]int64), Alerts: make(map[string]int64)}
	err := s.db.Reader().q.one(ctx, "count running orders", sql.ErrNoRows, []any{&g.ActiveOrders}, `SELECT COUNT(*) FROM orders WHERE status = 0`)
	if err != nil {
		return g, err
	}
	err = s.db.Reader().q.rows(ctx, "count chargers by status", func(rows row) error {
		var status int
		var n int64
		err := rows.Scan(&status, &n)
		if status >= 0 && status < len(g.Chargers) {
			g.Chargers[status] = n
		}
		return err
	}, `SELECT status, COUNT(*) FROM chargers WHERE deleted_at = 0 AND enabled GROUP BY status`)
	if err != nil {
		return g, err
	}
	into := func(m map[string]int64) func(row) error {
		return func(rows row) error {
			var label string
			var n int64
			err := rows.Scan(&label, &n)
			m[label] = n
			return err
		}
	}
	if err := s.db.Reader().q.rows(ctx, "count open differences", into(g.Differences), `SELECT channel, COUNT(*) FROM recon_differences WHERE state = 'OPEN' GROUP BY channel`); err != nil {
		return g, err
	}
	return g, s.db.Reader().q.rows(ctx, "count open alerts", into(g.Alerts), `SELECT severity, COUNT(*) FROM alerts WHERE status <> 'RESOLVED' GROUP BY severity`)
}
