package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/report"
)

// RecentOrders are the newest orders.
func (s Reports) RecentOrders(ctx context.Context, scope evcs.Scope, station evcs.StationID, n int) ([]report.Order, error) {
	f := orderFilter(scope, order.Filter{Station: station})
	var list []report.Order
	err := s.db.Reader().q.rows(ctx, "read recent orders", func(rows row) error {
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

// StationRanks are the n best stations of a period, of those that had any
// figure in it.
func (s Reports) StationRanks(ctx context.Context, scope evcs.Scope, b report.Bounds, by string, n int) ([]report.StationRank, error) {
	whole := report.Bounds{b.First(), b.Last()}
	ranks := make(map[evcs.StationID]*report.StationRank)
	of := func(id evcs.StationID) *report.StationRank {
		if ranks[id] == nil {
			ranks[id] = &report.StationRank{Station: id}
		}
		return ranks[id]
	}
	var list []report.StationRank
	err := s.view(ctx, scope, 0, b.First().Location(), func(v view) error {
		if err := v.rank(ctx, whole, of); err != nil {
			return err
		}
		for _, r := range ranks {
			if r.Orders != 0 || r.Energy != 0 || r.Revenue != 0 {
				list = append(list, *r)
			}
		}
		slices.SortFunc(list, func(x, y report.StationRank) int {
			return cmp.Or(cmp.Compare(y.By(by), x.By(by)), cmp.Compare(x.Station, y.Station))
		})
		list = list[:min(n, len(list))]
		return v.nameStations(ctx, list)
	})
	return list, err
}

func (v view) rank(ctx context.Context, whole report.Bounds, of func(evcs.StationID) *report.StationRank) error {
	live, err := v.live(ctx)
	if err != nil {
		return err
	}
	if err := v.stretches(whole.First(), whole.Last(), func(f filter) error {
		return v.q.rows(ctx, "read figures of stations", func(rows row) error {
			var id, orders, energy, gross, refund int64 // without reflection
			err := rows.Scan(&id, &orders, &energy, &gross, &refund)
			r := of(evcs.StationID(id))
			r.Orders, r.Energy, r.Revenue = r.Orders+orders, r.Energy+evcs.Energy(energy), r.Revenue+evcs.Money(gross-refund)
			return err
		}, `SELECT d.station_id, `+v.q.sums("d.orders", "d.energy")+`, `+v.q.sums(moneySums(live)...)+` FROM report_stations d`+f.where()+v.q.by("d.station_id"), f.args...)
	}); err != nil {
		return err
	}
	if err := v.raw("o", "o.station_id", func(f filter) error {
		f.add("o.status <> 2")
		f.within("o.started_at + 0", evcs.Millis(whole.First()), evcs.Millis(whole.Last()))
		return v.q.rows(ctx, "count orders of stations", func(rows row) error {
			var id evcs.StationID
			var n int64
			err := rows.Scan(&id, &n)
			of(id).Orders += n
			return err
		}, `SELECT o.station_id, COUNT(*) FROM orders o`+f.where()+` GROUP BY o.station_id`, f.args...)
	}); err != nil {
		return err
	}
	if err := v.rawSessions(ctx, whole, func(s rolledSession, parts []evcs.Energy) { of(s.station).Energy += parts[0] }); err != nil {
		return err
	}
	return v.rawMoney(ctx, whole, live, func(station evcs.StationID, _ int, gross, refund evcs.Money) { of(station).Revenue += gross - refund })
}

// sums are columns to be summed by what by is given. SQLite would sort the rows
// for it, or look each up in a table of its own; adding them up here costs less.
func (q querier) sums(columns ...string) string {
	if !q.dollars {
		return strings.Join(columns, ", ")
	}
	return `CAST(SUM(` + strings.Join(columns, `) AS BIGINT), CAST(SUM(`) + `) AS BIGINT)`
}

// by groups what sums sums.
func (q querier) by(column string) string {
	if !q.dollars {
		return ""
	}
	return ` GROUP BY ` + column
}

func (v view) nameStations(ctx context.Context, list []report.StationRank) error {
	if len(list) == 0 {
		return nil
	}
	ids := make([]any, len(list))
	for i, r := range list {
		ids[i] = r.Station
	}
	return v.q.rows(ctx, "name stations", func(rows row) error {
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

// Utilizations says how much each live charger was used from a midnight until
// now, by the charger's id.
func (s Reports) Utilizations(ctx context.Context, scope evcs.Scope, station evcs.StationID, from, now time.Time) ([]report.Utilization, error) {
	var list []report.Utilization
	err := s.view(ctx, scope, station, from.Location(), func(v view) error {
		occupied, err := v.occupied(ctx, from, now)
		if err != nil {
			return err
		}
		list, err = v.chargers(ctx, from, now, occupied)
		return err
	})
	return list, err
}

// occupied is for how long the chargers were in use, in milliseconds.
func (v view) occupied(ctx context.Context, from, now time.Time) (map[evcs.ChargerID]int64, error) {
	sums := make(map[evcs.ChargerID]int64)
	err := v.stretches(from, report.OneDay(now, from.Location()).Last(), func(f filter) error {
		if v.station != 0 {
			f.add("d.charger_id IN (SELECT c.id FROM chargers c WHERE c.station_id = ?)", v.station)
		}
		return v.q.rows(ctx, "read use of chargers", func(rows row) error {
			var id, ms int64 // without reflection
			err := rows.Scan(&id, &ms)
			sums[evcs.ChargerID(id)] += ms
			return err
		}, `SELECT d.charger_id, `+v.q.sums("d.occupied")+` FROM report_chargers d`+f.where()+v.q.by("d.charger_id"), f.args...)
	})
	if err != nil {
		return nil, err
	}
	err = v.raw("s", "s.station_id", func(f filter) error {
		f.add("s.state <> ?", order.SessionOrphan)
		f.add("s.started_at + 0 > 0 AND s.started_at + 0 < ?", evcs.Millis(now))
		f.add("(s.stopped_at = 0 OR s.stopped_at >= ?)", evcs.Millis(from))
		return v.q.rows(ctx, "read use of chargers", func(rows row) error {
			s, err := scanRolledSession(rows)
			sums[s.charger] += s.Occupied(from, now).Milliseconds()
			return err
		}, `SELECT `+rolledSessionColumns+` FROM sessions s`+f.where(), f.args...)
	})
	return sums, err
}

func (v view) chargers(ctx context.Context, from, now time.Time, occupied map[evcs.ChargerID]int64) ([]report.Utilization, error) {
	var f filter
	f.scope("c.tenant_id", v.scope)
	if v.station != 0 {
		f.add("c.station_id = ?", v.station)
	}
	f.add("c.deleted_at = 0")
	begin, end := evcs.Millis(from), evcs.Millis(now)
	var list []report.Utilization
	err := v.q.rows(ctx, "read chargers", func(rows row) error {
		var u report.Utilization
		var created, connectors int64
		err := rows.Scan(&u.Charger, &u.Code, &u.StationName, &created, &connectors)
		u.Occupied = time.Duration(occupied[u.Charger]) * time.Millisecond
		u.Available = time.Duration(max(0, end-max(begin, created))*connectors) * time.Millisecond
		list = append(list, u)
		return err
	}, `SELECT c.id, c.code, COALESCE(st.name, ''), c.created_at, (SELECT COUNT(*) FROM connectors k WHERE k.charger_id = c.id)
		FROM chargers c LEFT JOIN stations st ON st.id = c.station_id`+f.where(), f.args...)
	slices.SortFunc(list, func(a, b report.Utilization) int { return cmp.Compare(a.Charger, b.Charger) })
	return list, err
}

// Cities sums orders that are not cancelled by the city of their station, for
// starts in [from, to), most orders first. The zone says whose days are used
// for what lies between.
func (s Reports) Cities(ctx context.Context, scope evcs.Scope, from, to time.Time, zone *time.Location) ([]order.CityFigures, error) {
	var list []order.CityFigures
	err := s.view(ctx, scope, 0, zone, func(v view) error {
		sums, err := v.orderSums(ctx, from.In(zone), to.In(zone))
		if err != nil {
			return err
		}
		list, err = v.byCity(ctx, sums)
		return err
	})
	return list, err
}

// orderSum are the figures of orders of one station.
type orderSum struct {
	orders      int64
	energy      evcs.Energy
	amount, net evcs.Money
}

// orderSums reads whole days from the figures and the ends from the rows.
func (v view) orderSums(ctx context.Context, from, to time.Time) (map[evcs.StationID]orderSum, error) {
	sums := make(map[evcs.StationID]orderSum)
	read := func(query string, f filter, by string) error {
		return v.q.rows(ctx, "sum orders of stations", func(rows row) error {
			var station, orders, energy, amount, net int64 // without reflection
			err := rows.Scan(&station, &orders, &energy, &amount, &net)
			id := evcs.StationID(station)
			have := sums[id]
			sums[id] = orderSum{have.orders + orders, have.energy + evcs.Energy(energy), have.amount + evcs.Money(amount), have.net + evcs.Money(net)}
			return err
		}, query+f.where()+by, f.args...)
	}
	const ofOrders = `SELECT o.station_id, COUNT(*), CAST(SUM(CASE WHEN o.status = 0
			THEN COALESCE((SELECT s.energy FROM sessions s WHERE s.id = o.session_id AND s.tenant_id = o.tenant_id), o.energy) ELSE o.energy END) AS BIGINT), CAST(SUM(o.amount) AS BIGINT),
		CAST(SUM(o.paid_amount - o.refunded_amount) AS BIGINT) FROM orders o`
	every := func(from, to time.Time) error {
		if !from.Before(to) {
			return nil
		}
		var f filter
		f.scope("o.tenant_id", v.scope)
		f.add("o.started_at >= ? AND o.started_at < ?", evcs.Millis(from), evcs.Millis(to))
		f.add("o.status <> 2")
		return read(ofOrders, f, ` GROUP BY 1`)
	}
	first, last := report.DayOf(from, from.Location()), report.DayOf(to, to.Location())
	if first.Before(from) {
		first = report.OneDay(from, from.Location()).Last()
	}
	if !first.Before(last) {
		return sums, every(from, to)
	}
	if err := every(from, first); err != nil {
		return nil, err
	}
	if err := every(last, to); err != nil {
		return nil, err
	}
	if err := v.stretches(first, last, func(f filter) error {
		return read(`SELECT d.station_id, `+v.q.sums("d.orders", "d.order_energy", "d.order_amount", "d.order_net")+` FROM report_stations d`, f, v.q.by("d.station_id"))
	}); err != nil {
		return nil, err
	}
	return sums, v.raw("o", "o.station_id", func(f filter) error {
		f.add("o.started_at + 0 >= ? AND o.started_at + 0 < ?", evcs.Millis(first), evcs.Millis(last))
		f.add("o.status <> 2")
		return read(ofOrders, f, ` GROUP BY 1`)
	})
}

// namedStations is how many stations one statement names.
const namedStations = 500

func (v view) byCity(ctx context.Context, sums map[evcs.StationID]orderSum) ([]order.CityFigures, error) {
	type place struct{ province, city string }
	places := make(map[evcs.StationID]place, len(sums))
	ids := slices.Sorted(keys(sums))
	for part := range slices.Chunk(ids, namedStations) {
		var f filter
		f.scope("st.tenant_id", v.scope)
		among(&f, "st.id", part)
		if err := v.q.rows(ctx, "read cities of stations", func(rows row) error {
			var id evcs.StationID
			var p place
			err := rows.Scan(&id, &p.province, &p.city)
			places[id] = p
			return err
		}, `SELECT st.id, COALESCE(st.province, ''), COALESCE(st.city, '') FROM stations st`+f.where(), f.args...); err != nil {
			return nil, err
		}
	}
	byPlace := make(map[place]*order.CityFigures)
	for id, n := range sums {
		if n.orders == 0 {
			continue
		}
		c := byPlace[places[id]]
		if c == nil {
			c = &order.CityFigures{Province: places[id].province, City: places[id].city}
			byPlace[places[id]] = c
		}
		c.Orders, c.Stations, c.Energy, c.Amount, c.NetPaid = c.Orders+n.orders, c.Stations+1, c.Energy+n.energy, c.Amount+n.amount, c.NetPaid+n.net
	}
	list := make([]order.CityFigures, 0, len(byPlace))
	for _, c := range byPlace {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b order.CityFigures) int {
		return cmp.Or(cmp.Compare(b.Orders, a.Orders), cmp.Compare(a.Province, b.Province), cmp.Compare(a.City, b.City))
	})
	return list, nil
}
