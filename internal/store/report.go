package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/report"
)

// Reports reads the figures of dashboards.
type Reports struct{ q querier }

// Reports are the figures of dashboards.
func (r Reader) Reports() Reports { return Reports(r) }

// Counts are the figures of now; orders are counted by their start in [from, to).
func (s Reports) Counts(ctx context.Context, scope evcs.Scope, now, from, to time.Time) (report.Counts, error) {
	var c report.Counts
	in := func(column string) string { cond, _ := scopeCond(column, scope); return cond }
	t := int64(scope.Tenant)
	err := s.q.one(ctx, "count for the dashboard", sql.ErrNoRows, []any{
		&c.Tenants, &c.Users, &c.StationsOpen, &c.Stations, &c.ChargersEnabled, &c.Chargers, &c.Online, &c.Connectors, &c.Sessions, &c.OrdersInPeriod,
	}, `SELECT
		(SELECT COUNT(*) FROM tenants t WHERE t.deleted_at = 0 AND `+in("t.id")+` AND NOT EXISTS (
			SELECT 1 FROM tenant_ancestors x JOIN tenants p ON p.id = x.ancestor_id
			WHERE x.tenant_id = t.id AND (p.status <> 1 OR p.expire_at > 0 AND p.expire_at <= ?))),
		(SELECT COUNT(*) FROM users u WHERE u.deleted_at = 0 AND u.status = 1 AND `+in("u.tenant_id")+`),
		(SELECT COUNT(*) FROM stations st WHERE st.deleted_at = 0 AND st.status = 1 AND `+in("st.tenant_id")+`),
		(SELECT COUNT(*) FROM stations st WHERE st.deleted_at = 0 AND `+in("st.tenant_id")+`),
		(SELECT COUNT(*) FROM chargers c WHERE c.deleted_at = 0 AND c.enabled AND `+in("c.tenant_id")+`),
		(SELECT COUNT(*) FROM chargers c WHERE c.deleted_at = 0 AND `+in("c.tenant_id")+`),
		(SELECT COUNT(*) FROM chargers c WHERE c.deleted_at = 0 AND c.enabled AND c.status <> 0 AND `+in("c.tenant_id")+`),
		(SELECT COUNT(*) FROM connectors k JOIN chargers c ON c.id = k.charger_id WHERE c.deleted_at = 0 AND c.enabled AND `+in("k.tenant_id")+`),
		(SELECT COUNT(*) FROM sessions s WHERE s.state IN ('ACTIVE', 'SUSPENDED') AND `+in("s.tenant_id")+`),
		(SELECT COUNT(*) FROM orders o WHERE o.status <> 2 AND o.started_at >= ? AND o.started_at < ? AND `+in("o.tenant_id")+`)`,
		t, evcs.Millis(now), t, t, t, t, t, t, t, t, evcs.Millis(from), evcs.Millis(to), t)
	return c, err
}

// ChargerStatus counts enabled chargers by status; a zero station is all.
func (s Reports) ChargerStatus(ctx context.Context, scope evcs.Scope, station evcs.StationID) (report.ChargerStatus, error) {
	var c report.ChargerStatus
	var f filter
	f.scope("c.tenant_id", scope)
	f.add("c.deleted_at = 0")
	f.add("c.enabled")
	if station != 0 {
		f.add("c.station_id = ?", station)
	}
	err := s.q.each(ctx, "count chargers by status", func(rows *sql.Rows) error {
		var status int
		var n int64
		err := rows.Scan(&status, &n)
		if status >= 0 && status < len(c) {
			c[status] += n
		}
		return err
	}, `SELECT c.status, COUNT(*) FROM chargers c`+f.where()+` GROUP BY c.status`, f.args...)
	return c, err
}

// quarter is the finest step at which any time zone begins a day.
const quarter = 15 * 60 * 1000

// OrderCounts counts orders by their start in each period.
func (s Reports) OrderCounts(ctx context.Context, scope evcs.Scope, station evcs.StationID, b report.Bounds) ([]int64, error) {
	counts := make([]int64, len(b)-1)
	f := periodFilter("o.tenant_id", "o.started_at", scope, station, b)
	f.add("o.status <> 2")
	err := s.q.each(ctx, "count orders by period", func(rows *sql.Rows) error {
		var place, n int64
		err := rows.Scan(&place, &n)
		if i := b.Place(time.UnixMilli(place * quarter)); i >= 0 {
			counts[i] += n
		}
		return err
	}, `SELECT o.started_at / 900000 AS place, COUNT(*) FROM orders o`+f.where()+` GROUP BY o.started_at / 900000`, f.args...)
	return counts, err
}

func periodFilter(tenant, at string, scope evcs.Scope, of evcs.StationID, b report.Bounds) filter {
	var f filter
	f.scope(tenant, scope)
	if of != 0 {
		f.add("o.station_id = ?", of)
	}
	f.within(at, evcs.Millis(b.First()), evcs.Millis(b.Last()))
	return f
}

// Live reports whether a scope has an enabled merchant account for real money.
func (s Reports) Live(ctx context.Context, scope evcs.Scope) (bool, error) {
	cond, tenant := scopeCond("m.tenant_id", scope)
	live := false
	err := s.q.one(ctx, "look for live merchants", sql.ErrNoRows, []any{&live},
		`SELECT EXISTS (SELECT 1 FROM merchants m WHERE m.mode = 'LIVE' AND m.status = 1 AND m.deleted_at = 0 AND `+cond+`)`, tenant)
	return live, err
}

// Revenue is the money of each period. Sandbox money counts only where there
// is no real account.
func (s Reports) Revenue(ctx context.Context, scope evcs.Scope, station evcs.StationID, b report.Bounds) (list []report.Revenue, sandbox bool, err error) {
	live, err := s.Live(ctx, scope)
	if err != nil {
		return nil, false, err
	}
	list = make([]report.Revenue, len(b)-1)
	paid := periodFilter("p.tenant_id", "p.paid_at", scope, station, b)
	refunded := periodFilter("r.tenant_id", "r.success_at", scope, station, b)
	refunded.add("r.status = 2")
	if live {
		paid.add("NOT p.sandbox")
		refunded.add("NOT p.sandbox")
	}
	sum := func(add func(r *report.Revenue, m evcs.Money)) func(rows *sql.Rows) error {
		return func(rows *sql.Rows) error {
			var place int64
			var m evcs.Money
			err := rows.Scan(&place, &m)
			if i := b.Place(time.UnixMilli(place * quarter)); i >= 0 {
				add(&list[i], m)
			}
			return err
		}
	}
	err = s.q.each(ctx, "sum payments", sum(func(r *report.Revenue, m evcs.Money) { r.Gross += m }),
		`SELECT p.paid_at / 900000 AS place, CAST(SUM(p.amount) AS BIGINT) FROM payments p JOIN orders o ON o.id = p.order_id`+paid.where()+
			` AND p.paid_at > 0 GROUP BY p.paid_at / 900000`, paid.args...)
	if err != nil {
		return nil, false, err
	}
	err = s.q.each(ctx, "sum refunds", sum(func(r *report.Revenue, m evcs.Money) { r.Refund += m }),
		`SELECT r.success_at / 900000 AS place, CAST(SUM(r.amount) AS BIGINT) FROM refunds r JOIN payments p ON p.id = r.payment_id
			JOIN orders o ON o.id = r.order_id`+refunded.where()+` GROUP BY r.success_at / 900000`, refunded.args...)
	return list, !live, err
}

// RecentOrders are the newest orders.
func (s Reports) RecentOrders(ctx context.Context, scope evcs.Scope, station evcs.StationID, n int) ([]report.Order, error) {
	var f filter
	f.scope("o.tenant_id", scope)
	if station != 0 {
		f.add("o.station_id = ?", station)
	}
	var list []report.Order
	err := s.q.each(ctx, "read recent orders", func(rows *sql.Rows) error {
		var o report.Order
		var created int64
		err := rows.Scan(&o.ID, &o.No, &o.Session, &o.Tenant, &o.StationName, &o.ChargerCode, &o.Connector, &o.UserName, &o.Energy, &o.Amount, &o.Status, &created)
		o.Created = evcs.FromMillis(created)
		list = append(list, o)
		return err
	}, `SELECT o.id, o.order_no, o.session_uid, o.tenant_id, o.station_name, o.charger_code, o.connector_no, o.user_name, o.energy, o.amount,
			o.status, o.created_at FROM orders o`+f.where()+` ORDER BY o.id DESC LIMIT ?`, append(f.args, n)...)
	return list, err
}

// StationRanks are the figures of every station that had any in a period, best
// first.
func (s Reports) StationRanks(ctx context.Context, scope evcs.Scope, b report.Bounds, by string, n int) ([]report.StationRank, error) {
	ranks := make(map[evcs.StationID]*report.StationRank)
	of := func(id evcs.StationID) *report.StationRank {
		if ranks[id] == nil {
			ranks[id] = &report.StationRank{Station: id}
		}
		return ranks[id]
	}
	if err := s.rankOrders(ctx, scope, b, of); err != nil {
		return nil, err
	}
	err := s.divide(ctx, scope, 0, b, func(station evcs.StationID, _ int, e evcs.Energy) { of(station).Energy += e })
	if err != nil {
		return nil, err
	}
	if err := s.rankRevenue(ctx, scope, b, of); err != nil {
		return nil, err
	}
	list := make([]report.StationRank, 0, len(ranks))
	for _, r := range ranks {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(x, y report.StationRank) int {
		return cmp.Or(cmp.Compare(y.By(by), x.By(by)), cmp.Compare(x.Station, y.Station))
	})
	list = list[:min(n, len(list))]
	return list, s.nameStations(ctx, list)
}

func (s Reports) rankOrders(ctx context.Context, scope evcs.Scope, b report.Bounds, of func(evcs.StationID) *report.StationRank) error {
	f := periodFilter("o.tenant_id", "o.started_at", scope, 0, b)
	f.add("o.status <> 2")
	return s.q.each(ctx, "count orders of stations", func(rows *sql.Rows) error {
		var id evcs.StationID
		var n int64
		err := rows.Scan(&id, &n)
		of(id).Orders = n
		return err
	}, `SELECT o.station_id, COUNT(*) FROM orders o`+f.where()+` GROUP BY o.station_id`, f.args...)
}

func (s Reports) rankRevenue(ctx context.Context, scope evcs.Scope, b report.Bounds, of func(evcs.StationID) *report.StationRank) error {
	live, err := s.Live(ctx, scope)
	if err != nil {
		return err
	}
	paid := periodFilter("p.tenant_id", "p.paid_at", scope, 0, b)
	refunded := periodFilter("r.tenant_id", "r.success_at", scope, 0, b)
	refunded.add("r.status = 2")
	if live {
		paid.add("NOT p.sandbox")
		refunded.add("NOT p.sandbox")
	}
	add := func(sign evcs.Money) func(rows *sql.Rows) error {
		return func(rows *sql.Rows) error {
			var id evcs.StationID
			var m evcs.Money
			err := rows.Scan(&id, &m)
			of(id).Revenue += sign * m
			return err
		}
	}
	err = s.q.each(ctx, "sum payments of stations", add(1),
		`SELECT o.station_id, CAST(SUM(p.amount) AS BIGINT) FROM payments p JOIN orders o ON o.id = p.order_id`+paid.where()+` GROUP BY o.station_id`, paid.args...)
	if err != nil {
		return err
	}
	return s.q.each(ctx, "sum refunds of stations", add(-1),
		`SELECT o.station_id, CAST(SUM(r.amount) AS BIGINT) FROM refunds r JOIN payments p ON p.id = r.payment_id JOIN orders o ON o.id = r.order_id`+
			refunded.where()+` GROUP BY o.station_id`, refunded.args...)
}

func (s Reports) nameStations(ctx context.Context, list []report.StationRank) error {
	if len(list) == 0 {
		return nil
	}
	ids := make([]any, len(list))
	for i, r := range list {
		ids[i] = r.Station
	}
	return s.q.each(ctx, "name stations", func(rows *sql.Rows) error {
		var id evcs.StationID
		var name string
		err := rows.Scan(&id, &name)
		for i := range list {
			if list[i].Station == id {
				list[i].Name = name
			}
		}
		return err
	}, `SELECT id, name FROM stations WHERE id IN (`+binds(len(ids))+`)`, ids...)
}
