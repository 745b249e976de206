package store

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/report"
	"github.com/evcs/evcs/internal/tariff"
)

// The spans of report_stations and report_chargers.
const (
	spanDay       = 1
	spanMonth     = 2
	spanTenantDay = 3 // of report_stations only, station 0
)

// The columns of report_stations that are summed.
const (
	colOrders = iota
	colOrderEnergy
	colOrderAmount
	colOrderNet
	colEnergy
	colGross
	colRefund
	colSandboxGross
	colSandboxRefund
	columnsSummed
)

type stationKey struct {
	tenant    evcs.TenantID
	zone      int64
	span, day int64
	station   evcs.StationID
}

type chargerKey struct {
	tenant    evcs.TenantID
	zone      int64
	span, day int64
	charger   evcs.ChargerID
}

type splitKey struct {
	session, zone, day int64
}

type statusKey struct {
	tenant evcs.TenantID
	status int
}

// everyRow is the place behind every row of a table.
const everyRow = math.MaxInt64

// dayZone is a zone whose days a tenant's figures are kept by, and up to which
// rows.
type dayZone struct {
	id       int64
	location *time.Location
	to       [kinds]int64
}

// kind is a table whose rows are rolled.
type kind int

const (
	kindOrder kind = iota
	kindSession
	kindPayment
	kindRefund
	kinds
)

// figures gathers what rows add to the report tables, or take back.
type figures struct {
	sign     int64
	zones    map[evcs.TenantID][]dayZone
	stations map[stationKey]*[columnsSummed]int64
	chargers map[chargerKey]int64
	statuses map[statusKey]int64
	splits   map[splitKey]evcs.Energy
	owner    map[int64]evcs.TenantID // of the sessions in splits
}

func newFigures(sign int64, zones map[evcs.TenantID][]dayZone) *figures {
	return &figures{
		sign: sign, zones: zones, stations: make(map[stationKey]*[columnsSummed]int64), chargers: make(map[chargerKey]int64),
		statuses: make(map[statusKey]int64), splits: make(map[splitKey]evcs.Energy), owner: make(map[int64]evcs.TenantID),
	}
}

// of are the zones that a row belongs to.
func (f *figures) of(tenant evcs.TenantID, k kind, id int64) []dayZone {
	var list []dayZone
	for _, z := range f.zones[tenant] {
		if id <= z.to[k] {
			list = append(list, z)
		}
	}
	return list
}

// add puts values on the day of a station, on its month and on the tenant's day.
func (f *figures) add(tenant evcs.TenantID, station evcs.StationID, z dayZone, day time.Time, values map[int]int64) {
	for _, key := range [...]stationKey{
		{tenant, z.id, spanDay, evcs.Millis(day), station},
		{tenant, z.id, spanMonth, evcs.Millis(report.MonthOf(day, z.location)), station},
		{tenant, z.id, spanTenantDay, evcs.Millis(day), 0},
	} {
		sums := f.stations[key]
		if sums == nil {
			sums = new([columnsSummed]int64)
			f.stations[key] = sums
		}
		for column, v := range values {
			sums[column] += f.sign * v
		}
	}
}

// rolledOrder is what is kept of an order.
type rolledOrder struct {
	id                  int64
	tenant              evcs.TenantID
	station             evcs.StationID
	status              int
	started             int64
	energy, amount, net int64
}

const rolledOrderColumns = `id, tenant_id, station_id, status, started_at, energy, amount, paid_amount - refunded_amount`

func scanRolledOrder(r row) (rolledOrder, error) {
	var o rolledOrder
	err := r.Scan(&o.id, &o.tenant, &o.station, &o.status, &o.started, &o.energy, &o.amount, &o.net)
	return o, err
}

func (f *figures) order(o rolledOrder) {
	f.statuses[statusKey{o.tenant, o.status}] += f.sign
	f.orderDays(o, f.of(o.tenant, kindOrder, o.id))
}

func (f *figures) orderDays(o rolledOrder, zones []dayZone) {
	if o.status == int(order.Cancelled) || o.started <= 0 {
		return
	}
	for _, z := range zones {
		f.add(o.tenant, o.station, z, report.DayOf(evcs.FromMillis(o.started), z.location), map[int]int64{
			colOrders: 1, colOrderEnergy: o.energy, colOrderAmount: o.amount, colOrderNet: o.net,
		})
	}
}

// rolledMoney is what is kept of a payment or a refund.
type rolledMoney struct {
	id, order, amount, at int64
	tenant                evcs.TenantID
	station               evcs.StationID
	sandbox, refund       bool
}

func (f *figures) money(m rolledMoney, zones []dayZone) {
	column := colGross
	switch {
	case m.refund && m.sandbox:
		column = colSandboxRefund
	case m.refund:
		column = colRefund
	case m.sandbox:
		column = colSandboxGross
	}
	for _, z := range zones {
		f.add(m.tenant, m.station, z, report.DayOf(evcs.FromMillis(m.at), z.location), map[int]int64{column: m.amount})
	}
}

// rolledSession is what is kept of a session.
type rolledSession struct {
	id      int64
	tenant  evcs.TenantID
	station evcs.StationID
	charger evcs.ChargerID
	counts  bool // has begun and is nobody's orphan
	report.Session
}

const rolledSessionColumns = `id, tenant_id, station_id, charger_id, state, started_at, CASE WHEN stopped_at > 0 THEN stopped_at ELSE last_at END,
	CASE WHEN stopped_at > 0 THEN energy ELSE last_energy END, stopped_at`

func scanRolledSession(r row) (rolledSession, error) {
	var s rolledSession
	var state string
	var begin, end, stopped int64
	err := r.Scan(&s.id, &s.tenant, &s.station, &s.charger, &state, &begin, &end, &s.Energy, &stopped)
	s.Begin, s.End = evcs.FromMillis(begin), evcs.FromMillis(max(begin, end))
	s.Running = stopped == 0
	s.counts = begin > 0 && state != string(order.SessionOrphan)
	return s, err
}

// session adds a session by its days; splits are how it was divided before,
// nil when it is divided now along its readings.
func (f *figures) session(s rolledSession, zones []dayZone, readings func() ([]tariff.Point, error), splits map[splitKey]evcs.Energy) error {
	if !s.counts {
		return nil
	}
	for _, z := range zones {
		days := s.Days(z.location)
		for i := range len(days) - 1 {
			if took := s.Occupied(days[i], days[i+1]); took > 0 {
				ms := f.sign * took.Milliseconds()
				f.chargers[chargerKey{s.tenant, z.id, spanDay, evcs.Millis(days[i]), s.charger}] += ms
				f.chargers[chargerKey{s.tenant, z.id, spanMonth, evcs.Millis(report.MonthOf(days[i], z.location)), s.charger}] += ms
			}
		}
		if len(days) == 2 {
			f.add(s.tenant, s.station, z, days[0], map[int]int64{colEnergy: int64(s.Energy)})
			continue
		}
		parts := make([]evcs.Energy, len(days)-1)
		if splits == nil {
			points, err := readings()
			if err != nil {
				return err
			}
			parts = s.Divide(days, points)
		}
		for i, day := range days[:len(days)-1] {
			key := splitKey{s.id, z.id, evcs.Millis(day)}
			if splits != nil {
				parts[i] = splits[key]
			}
			if parts[i] != 0 {
				f.splits[key], f.owner[s.id] = parts[i], s.tenant
				f.add(s.tenant, s.station, z, day, map[int]int64{colEnergy: int64(parts[i])})
			}
		}
	}
	return nil
}

// write adds the figures to the tables, in one order so that two nodes never
// wait for each other.
func (f *figures) write(ctx context.Context, q querier) error {
	for _, k := range slices.SortedFunc(keys(f.stations), compareStations) {
		v := f.stations[k]
		if _, err := q.exec(ctx, "roll figures of a station", `
			INSERT INTO report_stations (tenant_id, zone_id, span, day, station_id, orders, order_energy, order_amount, order_net, energy, gross, refund,
				sandbox_gross, sandbox_refund)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant_id, zone_id, span, day, station_id) DO UPDATE SET orders = report_stations.orders + excluded.orders,
				order_energy = report_stations.order_energy + excluded.order_energy, order_amount = report_stations.order_amount + excluded.order_amount,
				order_net = report_stations.order_net + excluded.order_net, energy = report_stations.energy + excluded.energy,
				gross = report_stations.gross + excluded.gross, refund = report_stations.refund + excluded.refund,
				sandbox_gross = report_stations.sandbox_gross + excluded.sandbox_gross,
				sandbox_refund = report_stations.sandbox_refund + excluded.sandbox_refund`,
			k.tenant, k.zone, k.span, k.day, k.station, v[colOrders], v[colOrderEnergy], v[colOrderAmount], v[colOrderNet], v[colEnergy],
			v[colGross], v[colRefund], v[colSandboxGross], v[colSandboxRefund]); err != nil {
			return err
		}
	}
	for _, k := range slices.SortedFunc(keys(f.chargers), compareChargers) {
		if _, err := q.exec(ctx, "roll figures of a charger", `
			INSERT INTO report_chargers (tenant_id, zone_id, span, day, charger_id, occupied) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (tenant_id, zone_id, span, day, charger_id) DO UPDATE SET occupied = report_chargers.occupied + excluded.occupied`,
			k.tenant, k.zone, k.span, k.day, k.charger, f.chargers[k]); err != nil {
			return err
		}
	}
	return f.writeRest(ctx, q)
}

func (f *figures) writeRest(ctx context.Context, q querier) error {
	byStatus := func(a, b statusKey) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.status, b.status))
	}
	for _, k := range slices.SortedFunc(keys(f.statuses), byStatus) {
		if _, err := q.exec(ctx, "roll counts of orders", `
			INSERT INTO report_orders (tenant_id, status, orders) VALUES (?, ?, ?)
			ON CONFLICT (tenant_id, status) DO UPDATE SET orders = report_orders.orders + excluded.orders`, k.tenant, k.status, f.statuses[k]); err != nil {
			return err
		}
	}
	if f.sign < 0 {
		return nil
	}
	bySession := func(a, b splitKey) int {
		return cmp.Or(cmp.Compare(a.session, b.session), cmp.Compare(a.zone, b.zone), cmp.Compare(a.day, b.day))
	}
	for _, k := range slices.SortedFunc(keys(f.splits), bySession) {
		if _, err := q.exec(ctx, "keep how a session is divided", `INSERT INTO report_splits (session_id, zone_id, day, tenant_id, energy) VALUES (?, ?, ?, ?, ?)`,
			k.session, k.zone, k.day, f.owner[k.session], f.splits[k]); err != nil {
			return err
		}
	}
	return nil
}

func keys[K comparable, V any](m map[K]V) func(yield func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func compareStations(a, b stationKey) int {
	return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.zone, b.zone), cmp.Compare(a.span, b.span), cmp.Compare(a.day, b.day),
		cmp.Compare(a.station, b.station))
}

func compareChargers(a, b chargerKey) int {
	return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.zone, b.zone), cmp.Compare(a.span, b.span), cmp.Compare(a.day, b.day),
		cmp.Compare(a.charger, b.charger))
}

// zonesOf are the zones that the figures of tenants are kept by; locked keeps
// the rows they are built up to from moving until the transaction ends.
func zonesOf(ctx context.Context, q querier, tenants []evcs.TenantID, locked bool) (map[evcs.TenantID][]dayZone, error) {
	slices.Sort(tenants)
	tenants = slices.Compact(tenants)
	zones := make(map[evcs.TenantID][]dayZone, len(tenants))
	names := make(map[int64]*time.Location)
	if err := q.rows(ctx, "read zones", func(rows row) error {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return err
		}
		location, err := evcs.Zone(name)
		if err != nil {
			return fmt.Errorf("time zone %q: %w", name, err)
		}
		names[id] = location
		return nil
	}, `SELECT id, name FROM zones`); err != nil {
		return nil, err
	}
	columns := `zone_id, orders_to, sessions_to, payments_to, refunds_to`
	query := `SELECT ` + columns + ` FROM report_zones WHERE tenant_id = ?`
	if locked {
		query = `UPDATE report_zones SET ready = ready WHERE tenant_id = ? RETURNING ` + columns
	}
	for _, tenant := range tenants {
		if err := q.rows(ctx, "read zones of a tenant", func(rows row) error {
			var z dayZone
			err := rows.Scan(&z.id, &z.to[kindOrder], &z.to[kindSession], &z.to[kindPayment], &z.to[kindRefund])
			z.location = names[z.id]
			zones[tenant] = append(zones[tenant], z)
			return err
		}, query, tenant); err != nil {
			return nil, err
		}
	}
	return zones, nil
}

// points are the readings of a session that say its energy.
func points(ctx context.Context, q querier, tenant evcs.TenantID, session int64) ([]tariff.Point, error) {
	var list []tariff.Point
	err := q.rows(ctx, "read readings of a session", func(rows row) error {
		var at int64
		var p tariff.Point
		err := rows.Scan(&at, &p.Energy)
		p.At = evcs.FromMillis(at)
		list = append(list, p)
		return err
	}, `SELECT at, energy FROM samples WHERE session_id = ? AND tenant_id = ? AND (have % 2 = 1 OR have / 2 % 2 = 1) ORDER BY at`, session, tenant)
	return list, err
}
