package store

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/report"
)

// Reports reads the figures of dashboards. Each answer is of one moment: rolled
// rows from the tables that Roller keeps, the rest from the rows themselves.
// Bounds begin at local midnights of the zone whose days are asked for.
type Reports struct{ db *DB }

// NewReports are the figures of a store.
func NewReports(db *DB) Reports { return Reports{db} }

// view is one reading of the figures.
type view struct {
	q       querier
	scope   evcs.Scope
	station evcs.StationID // 0: all
	zone    int64
	late    []any // tenants whose figures are not kept by this zone yet
}

func (s Reports) view(ctx context.Context, scope evcs.Scope, station evcs.StationID, zone *time.Location, fn func(view) error) error {
	return s.db.snapshot(ctx, func(q querier) error {
		v := view{q: q, scope: scope, station: station}
		if err := v.find(ctx, zone); err != nil {
			return err
		}
		return fn(v)
	})
}

// find looks for the zone and for tenants whose figures do not have it.
func (v *view) find(ctx context.Context, zone *time.Location) error {
	if err := v.q.one(ctx, "find zone", nil, []any{&v.zone}, `SELECT id FROM zones WHERE name = ?`, zone.String()); err != nil {
		return err
	}
	cond, tenant := scopeCond("a.tenant_id", v.scope)
	return v.q.rows(ctx, "look for figures that are not built", func(rows row) error {
		var id int64
		err := rows.Scan(&id)
		v.late = append(v.late, id)
		return err
	}, `SELECT a.tenant_id FROM tenant_ancestors a WHERE a.depth = 0 AND `+cond+`
		AND NOT EXISTS (SELECT 1 FROM report_zones r WHERE r.tenant_id = a.tenant_id AND r.zone_id = ? AND r.ready)`, tenant, v.zone)
}

// raw calls read with the conditions of the rows that are not in the figures.
// The alias is the table's in the query; station is its column. What read adds
// says started_at + 0: the few rows that are not rolled have an index of their
// own, and the one by time must not be taken instead.
func (v view) raw(alias, station string, read func(filter) error) error {
	var f filter
	f.scope(alias+".tenant_id", v.scope)
	f.add("NOT " + alias + ".rolled")
	if v.station != 0 {
		f.add(station+" = ?", v.station)
	}
	if err := read(f); err != nil || len(v.late) == 0 {
		return err
	}
	f = filter{}
	among(&f, alias+".tenant_id", v.late)
	f.add(alias + ".rolled")
	if v.station != 0 {
		f.add(station+" = ?", v.station)
	}
	return read(f)
}

// rolled are the conditions of the rows of a report table in a stretch of time.
func (v view) rolled(alias string, span int, from, to time.Time) filter {
	var f filter
	f.scope(alias+".tenant_id", v.scope)
	if len(v.late) > 0 {
		f.add(alias+".tenant_id NOT IN ("+binds(len(v.late))+")", v.late...)
	}
	f.add(alias+".zone_id = ?", v.zone)
	f.add(alias+".span = ?", span)
	f.add(alias+".day >= ? AND "+alias+".day < ?", evcs.Millis(from), evcs.Millis(to))
	return f
}

// days reads sums of report_stations by day.
func (v view) days(ctx context.Context, b report.Bounds, columns string, scan func(place int, rows row) error) error {
	span := spanTenantDay
	if v.station != 0 {
		span = spanDay
	}
	f := v.rolled("d", span, b.First(), b.Last())
	if v.station != 0 { // each of its days is found by its key
		f.add("d.tenant_id = (SELECT st.tenant_id FROM stations st WHERE st.id = ?)", v.station)
		f.add("d.station_id = ?", v.station)
		starts := make([]int64, len(b)-1)
		for i := range starts {
			starts[i] = evcs.Millis(b[i])
		}
		among(&f, "d.day", starts)
	}
	return v.q.rows(ctx, "read figures by day", func(rows row) error {
		return scan(-1, rows)
	}, `SELECT d.day, `+columns+` FROM report_stations d`+f.where()+` GROUP BY d.day`, f.args...)
}

// stretches reads sums of a report table over whole days and months.
func (v view) stretches(from, to time.Time, read func(filter) error) error {
	for _, s := range report.Stretches(from, to) {
		span := spanDay
		if s.Months {
			span = spanMonth
		}
		if err := read(v.rolled("d", span, s.From, s.To)); err != nil {
			return err
		}
	}
	return nil
}

// quarter is the finest step at which any time zone begins a day.
const quarter = 15 * 60 * 1000

// Now are the figures of now and of a day.
func (s Reports) Now(ctx context.Context, scope evcs.Scope, now time.Time, day report.Bounds) (report.Now, error) {
	var n report.Now
	err := s.view(ctx, scope, 0, day.First().Location(), func(v view) error {
		if err := v.counts(ctx, now, &n); err != nil {
			return err
		}
		orders, err := v.countOrders(ctx, day)
		if err != nil {
			return err
		}
		energy, err := v.energy(ctx, day)
		if err != nil {
			return err
		}
		money, sandbox, err := v.revenue(ctx, day)
		if err != nil {
			return err
		}
		n.Orders, n.Energy, n.Revenue, n.Sandbox = orders, energy[0], money[0], sandbox
		return nil
	})
	return n, err
}

func (v view) counts(ctx context.Context, now time.Time, n *report.Now) error {
	in := func(column string) string { cond, _ := scopeCond(column, v.scope); return cond }
	t := int64(v.scope.Tenant)
	return v.q.one(ctx, "count for the dashboard", sql.ErrNoRows, []any{
		&n.Tenants, &n.Users, &n.StationsOpen, &n.Stations, &n.ChargersEnabled, &n.Chargers, &n.Online, &n.Connectors, &n.Sessions,
	}, `SELECT
		(SELECT COUNT(*) FROM tenants t WHERE t.deleted_at = 0 AND `+in("t.id")+` AND NOT EXISTS (
			SELECT 1 FROM tenant_ancestors x JOIN tenants p ON p.id = x.ancestor_id
			WHERE x.tenant_id = t.id AND (p.status <> 1 OR p.expire_at > 0 AND p.expire_at <= ?))),
		(SELECT COUNT(*) FROM users u WHERE u.deleted_at = 0 AND u.status = 1 AND `+in("u.tenant_id")+`),
		st.open, st.total, c.enabled, c.total, c.online,
		(SELECT COUNT(*) FROM connectors k WHERE `+in("k.tenant_id")+`)
			- (SELECT COUNT(*) FROM chargers c JOIN connectors k ON k.charger_id = c.id WHERE (c.deleted_at <> 0 OR NOT c.enabled) AND `+in("c.tenant_id")+`),
		(SELECT COUNT(*) FROM sessions s WHERE s.state IN ('ACTIVE', 'SUSPENDED') AND NOT s.rolled AND `+in("s.tenant_id")+`)
		FROM (SELECT COUNT(*) AS total, COUNT(*) FILTER (WHERE st.status = 1) AS open FROM stations st WHERE st.deleted_at = 0 AND `+in("st.tenant_id")+`) st,
			(SELECT COUNT(*) AS total, COUNT(*) FILTER (WHERE c.enabled) AS enabled, COUNT(*) FILTER (WHERE c.enabled AND c.status <> 0) AS online
				FROM chargers c WHERE c.deleted_at = 0 AND `+in("c.tenant_id")+`) c`,
		t, evcs.Millis(now), t, t, t, t, t, t)
}

// countOrders counts orders of a period that are not cancelled.
func (v view) countOrders(ctx context.Context, b report.Bounds) (int64, error) {
	var n int64
	err := v.days(ctx, b, `CAST(COALESCE(SUM(d.orders), 0) AS BIGINT)`, func(_ int, rows row) error {
		var day, count int64
		err := rows.Scan(&day, &count)
		n += count
		return err
	})
	if err != nil {
		return 0, err
	}
	err = v.raw("o", "o.station_id", func(f filter) error {
		f.add("o.status <> 2")
		f.within("o.started_at + 0", evcs.Millis(b.First()), evcs.Millis(b.Last()))
		var count int64
		err := v.q.one(ctx, "count orders", sql.ErrNoRows, []any{&count}, `SELECT COUNT(*) FROM orders o`+f.where(), f.args...)
		n += count
		return err
	})
	return n, err
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
	err := s.db.Reader().q.rows(ctx, "count chargers by status", func(rows row) error {
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

// OrderCounts counts the orders of a local day by the wall clock's hour of
// their start, hours to a slot. On the day of a clock change an hour that comes
// twice is one slot, one that is jumped over is empty.
func (s Reports) OrderCounts(ctx context.Context, scope evcs.Scope, station evcs.StationID, day report.Bounds, hours int) ([]int64, error) {
	counts := make([]int64, 24/hours)
	zone := day.First().Location()
	var f filter
	f.scope("o.tenant_id", scope)
	if station != 0 {
		f.add("o.station_id = ?", station)
	}
	f.within("o.started_at", evcs.Millis(day.First()), evcs.Millis(day.Last()))
	f.add("o.status <> 2")
	err := s.db.Reader().q.rows(ctx, "count orders by period", func(rows row) error {
		var place, n int64
		err := rows.Scan(&place, &n)
		counts[time.UnixMilli(place*quarter).In(zone).Hour()/hours] += n
		return err
	}, `SELECT o.started_at / 900000 AS place, COUNT(*) FROM orders o`+f.where()+` GROUP BY o.started_at / 900000`, f.args...)
	return counts, err
}

// Revenue is the money of each day. Sandbox money counts only where there is
// no real account.
func (s Reports) Revenue(ctx context.Context, scope evcs.Scope, station evcs.StationID, b report.Bounds) (list []report.Revenue, sandbox bool, err error) {
	err = s.view(ctx, scope, station, b.First().Location(), func(v view) error {
		list, sandbox, err = v.revenue(ctx, b)
		return err
	})
	return list, sandbox, err
}

// live reports whether the scope has an enabled merchant account for real
// money.
func (v view) live(ctx context.Context) (bool, error) {
	cond, tenant := scopeCond("m.tenant_id", v.scope)
	live := false
	err := v.q.one(ctx, "look for live merchants", sql.ErrNoRows, []any{&live},
		`SELECT EXISTS (SELECT 1 FROM merchants m WHERE m.mode = 'LIVE' AND m.status = 1 AND m.deleted_at = 0 AND `+cond+`)`, tenant)
	return live, err
}

// moneySums are what is summed of report_stations.
func moneySums(live bool) []string {
	if live {
		return []string{"d.gross", "d.refund"}
	}
	return []string{"d.gross + d.sandbox_gross", "d.refund + d.sandbox_refund"}
}

// moneyColumns are the sums of report_stations that count.
func moneyColumns(live bool) string {
	return `CAST(SUM(` + strings.Join(moneySums(live), `) AS BIGINT), CAST(SUM(`) + `) AS BIGINT)`
}

func (v view) revenue(ctx context.Context, b report.Bounds) ([]report.Revenue, bool, error) {
	live, err := v.live(ctx)
	if err != nil {
		return nil, false, err
	}
	list := make([]report.Revenue, len(b)-1)
	err = v.days(ctx, b, moneyColumns(live), func(_ int, rows row) error {
		var day int64
		var r report.Revenue
		err := rows.Scan(&day, &r.Gross, &r.Refund)
		if i := b.Place(evcs.FromMillis(day)); i >= 0 {
			list[i].Gross += r.Gross
			list[i].Refund += r.Refund
		}
		return err
	})
	if err != nil {
		return nil, false, err
	}
	err = v.rawMoney(ctx, b, live, func(_ evcs.StationID, i int, gross, refund evcs.Money) {
		list[i].Gross += gross
		list[i].Refund += refund
	})
	return list, !live, err
}

// rawMoney reads payments and refunds that are not in the figures, by station
// and period.
func (v view) rawMoney(ctx context.Context, b report.Bounds, live bool, add func(station evcs.StationID, i int, gross, refund evcs.Money)) error {
	read := func(what, query, at string, refund bool) func(filter) error {
		return func(f filter) error {
			f.within(at, evcs.Millis(b.First()), evcs.Millis(b.Last()))
			if live {
				f.add("NOT p.sandbox")
			}
			return v.q.rows(ctx, what, func(rows row) error {
				var station evcs.StationID
				var place int64
				var m evcs.Money
				err := rows.Scan(&station, &place, &m)
				i := b.Place(time.UnixMilli(place * quarter))
				switch {
				case i < 0:
				case refund:
					add(station, i, 0, m)
				default:
					add(station, i, m, 0)
				}
				return err
			}, query+f.where()+` GROUP BY o.station_id, `+at+` / 900000`, f.args...)
		}
	}
	payments := read("sum payments", `SELECT o.station_id, p.paid_at / 900000, CAST(SUM(p.amount) AS BIGINT) FROM payments p JOIN orders o ON o.id = p.order_id`,
		"p.paid_at", false)
	if err := v.raw("p", "o.station_id", func(f filter) error {
		f.add("p.paid_at > 0")
		return payments(f)
	}); err != nil {
		return err
	}
	refunds := read("sum refunds", `SELECT o.station_id, r.success_at / 900000, CAST(SUM(r.amount) AS BIGINT)
		FROM refunds r JOIN payments p ON p.id = r.payment_id JOIN orders o ON o.id = r.order_id`, "r.success_at", true)
	return v.raw("r", "o.station_id", func(f filter) error {
		f.add("r.status = 2")
		return refunds(f)
	})
}

// Energy is the metered energy of each day; sessions that cross its ends are
// divided there. A zero station is all.
func (s Reports) Energy(ctx context.Context, scope evcs.Scope, station evcs.StationID, b report.Bounds) (list []evcs.Energy, err error) {
	err = s.view(ctx, scope, station, b.First().Location(), func(v view) error {
		list, err = v.energy(ctx, b)
		return err
	})
	return list, err
}

func (v view) energy(ctx context.Context, b report.Bounds) ([]evcs.Energy, error) {
	list := make([]evcs.Energy, len(b)-1)
	err := v.days(ctx, b, `CAST(SUM(d.energy) AS BIGINT)`, func(_ int, rows row) error {
		var day int64
		var e evcs.Energy
		err := rows.Scan(&day, &e)
		if i := b.Place(evcs.FromMillis(day)); i >= 0 {
			list[i] += e
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = v.rawSessions(ctx, b, func(s rolledSession, parts []evcs.Energy) {
		for i, e := range parts {
			list[i] += e
		}
	})
	return list, err
}

// rawSessions divides the sessions that are not in the figures; those of an
// orphan never count.
func (v view) rawSessions(ctx context.Context, b report.Bounds, add func(rolledSession, []evcs.Energy)) error {
	return v.raw("s", "s.station_id", func(f filter) error {
		f.add("s.state <> ?", order.SessionOrphan)
		f.add("s.started_at + 0 > 0 AND s.started_at + 0 < ?", evcs.Millis(b.Last()))
		f.add("(s.stopped_at = 0 OR s.stopped_at >= ?)", evcs.Millis(b.First()))
		var list []rolledSession
		err := v.q.rows(ctx, "read energy of sessions", func(rows row) error {
			s, err := scanRolledSession(rows)
			list = append(list, s)
			return err
		}, `SELECT `+rolledSessionColumns+` FROM sessions s`+f.where(), f.args...)
		if err != nil {
			return err
		}
		for _, s := range list {
			parts, err := v.divide(ctx, s, b)
			if err != nil {
				return err
			}
			add(s, parts)
		}
		return nil
	})
}

// divide gives the energy of a session to the periods it lies in; its readings
// are read only when it crosses an end.
func (v view) divide(ctx context.Context, s rolledSession, b report.Bounds) ([]evcs.Energy, error) {
	first, last := b.Place(s.Begin), b.Place(s.End)
	if first == last && first >= 0 {
		parts := make([]evcs.Energy, len(b)-1)
		parts[first] = s.Energy
		return parts, nil
	}
	readings, err := points(ctx, v.q, s.tenant, s.id)
	return s.Divide(b, readings), err
}
