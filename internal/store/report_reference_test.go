package store_test

import (
	"cmp"
	"database/sql"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/report"
	"github.com/evcs/evcs/internal/store"
)

// world is every row that figures are made of, read whole. Its methods are the
// definitions of the contract (§13) word by word, and slow.
type world struct {
	orders   []worldOrder
	sessions []worldSession
	payments []worldMoney
	refunds  []worldMoney
	chargers []worldCharger
	cities   map[evcs.StationID][2]string
	names    map[evcs.StationID]string
	inScope  map[evcs.TenantID]bool
	live     bool
}

type worldOrder struct {
	tenant              evcs.TenantID
	station             evcs.StationID
	status              int
	started             time.Time
	energy, amount, net int64
}

type worldSession struct {
	id         int64
	tenant     evcs.TenantID
	station    evcs.StationID
	charger    evcs.ChargerID
	begin, end time.Time
	energy     int64
	running    bool
	points     []worldPoint
}

type worldPoint struct {
	at     time.Time
	energy int64
}

type worldMoney struct {
	tenant  evcs.TenantID
	station evcs.StationID
	at      time.Time
	amount  evcs.Money
	sandbox bool
}

type worldCharger struct {
	id         evcs.ChargerID
	code       string
	station    evcs.StationID
	created    time.Time
	connectors int64
}

// readWorld reads all rows of the tenants.
func readWorld(t testing.TB, db *store.DB, tenants []evcs.TenantID) *world {
	t.Helper()
	w := &world{cities: make(map[evcs.StationID][2]string), names: make(map[evcs.StationID]string), inScope: make(map[evcs.TenantID]bool)}
	for _, id := range tenants {
		w.inScope[id] = true
	}
	in := strings.Trim(strings.ReplaceAll(fmt.Sprint(tenants), " ", ", "), "[]")
	look := func(query string, scan func(*sql.Rows) error) {
		t.Helper()
		query = strings.Replace(query, "ours", "tenant_id IN ("+in+")", 1)
		if err := store.Look(t.Context(), db, query, scan); err != nil {
			t.Fatal(err)
		}
	}
	look(`SELECT o.tenant_id, o.station_id, o.status, o.started_at, o.energy, o.amount, o.paid_amount - o.refunded_amount, s.energy
		FROM orders o JOIN sessions s ON s.id = o.session_id WHERE o.ours`, func(r *sql.Rows) error {
		var o worldOrder
		var started, running int64
		err := r.Scan(&o.tenant, &o.station, &o.status, &started, &o.energy, &o.amount, &o.net, &running)
		if o.started = time.UnixMilli(started); o.status == 0 {
			o.energy = running
		}
		if w.inScope[o.tenant] {
			w.orders = append(w.orders, o)
		}
		return err
	})
	look(`SELECT id, tenant_id, station_id, charger_id, state, started_at, stopped_at, energy, last_at, last_energy FROM sessions WHERE ours`, func(r *sql.Rows) error {
		var s worldSession
		var state string
		var begin, stop, last, lastEnergy int64
		err := r.Scan(&s.id, &s.tenant, &s.station, &s.charger, &state, &begin, &stop, &s.energy, &last, &lastEnergy)
		s.begin, s.end, s.running = time.UnixMilli(begin), time.UnixMilli(stop), stop == 0
		if s.running {
			s.end, s.energy = time.UnixMilli(max(begin, last)), lastEnergy
		}
		if w.inScope[s.tenant] && begin > 0 && state != "ORPHAN" {
			w.sessions = append(w.sessions, s)
		}
		return err
	})
	look(`SELECT session_id, at, energy FROM samples WHERE ours AND have IN (1, 2, 3) ORDER BY session_id, at`, func(r *sql.Rows) error {
		var id, at, energy int64
		err := r.Scan(&id, &at, &energy)
		for i := range w.sessions {
			if w.sessions[i].id == id {
				w.sessions[i].points = append(w.sessions[i].points, worldPoint{time.UnixMilli(at), energy})
			}
		}
		return err
	})
	money := func(list *[]worldMoney) func(r *sql.Rows) error {
		return func(r *sql.Rows) error {
			var m worldMoney
			var at int64
			err := r.Scan(&m.tenant, &m.station, &at, &m.amount, &m.sandbox)
			m.at = time.UnixMilli(at)
			if w.inScope[m.tenant] {
				*list = append(*list, m)
			}
			return err
		}
	}
	look(`SELECT p.tenant_id, o.station_id, p.paid_at, p.amount, p.sandbox FROM payments p JOIN orders o ON o.id = p.order_id WHERE p.paid_at > 0 AND p.ours`, money(&w.payments))
	look(`SELECT r.tenant_id, o.station_id, r.success_at, r.amount, p.sandbox FROM refunds r JOIN payments p ON p.id = r.payment_id
		JOIN orders o ON o.id = r.order_id WHERE r.status = 2 AND r.ours`, money(&w.refunds))
	look(`SELECT c.tenant_id, c.id, c.code, c.station_id, c.created_at, (SELECT COUNT(*) FROM connectors k WHERE k.charger_id = c.id)
		FROM chargers c WHERE c.deleted_at = 0 AND c.ours ORDER BY c.id`, func(r *sql.Rows) error {
		var c worldCharger
		var tenant evcs.TenantID
		var created int64
		err := r.Scan(&tenant, &c.id, &c.code, &c.station, &created, &c.connectors)
		c.created = time.UnixMilli(created)
		if w.inScope[tenant] {
			w.chargers = append(w.chargers, c)
		}
		return err
	})
	look(`SELECT id, name, COALESCE(province, ''), COALESCE(city, '') FROM stations WHERE ours`, func(r *sql.Rows) error {
		var id evcs.StationID
		var name, province, city string
		err := r.Scan(&id, &name, &province, &city)
		w.names[id], w.cities[id] = name, [2]string{province, city}
		return err
	})
	look(`SELECT tenant_id FROM merchants WHERE mode = 'LIVE' AND status = 1 AND deleted_at = 0 AND ours`, func(r *sql.Rows) error {
		var id evcs.TenantID
		err := r.Scan(&id)
		w.live = w.live || w.inScope[id]
		return err
	})
	return w
}

// dates are the last n dates of a zone.
func dates(now time.Time, zone *time.Location, n int) []string {
	y, m, d := now.In(zone).Date()
	list := make([]string, n)
	for i := range list {
		list[i] = time.Date(y, m, d-n+1+i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
	}
	return list
}

func dateOf(at time.Time, zone *time.Location) string { return at.In(zone).Format(time.DateOnly) }

// begins is the first quarter of an hour that bears a date.
func begins(date string, zone *time.Location) time.Time {
	noon, err := time.ParseInLocation(time.DateOnly+" 15:04", date+" 12:00", zone)
	if err != nil {
		panic(err)
	}
	first := noon
	for at := noon; noon.Sub(at) < 14*time.Hour; at = at.Add(-15 * time.Minute) {
		if dateOf(at, zone) == date {
			first = at
		}
	}
	return first
}

func dayAfter(date string) string {
	at, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	return at.AddDate(0, 0, 1).Format(time.DateOnly)
}

// energyBy is the energy that a session has delivered by a moment: readings
// that fall are dropped, between two the line is straight, rounded half up.
func (s worldSession) energyBy(at time.Time) int64 {
	if !at.After(s.begin) {
		return 0
	}
	if !at.Before(s.end) {
		return s.energy
	}
	before, after := worldPoint{at: s.begin}, worldPoint{s.end, s.energy}
	for _, p := range s.points {
		if p.at.Before(s.begin) || !p.at.Before(s.end) || p.energy < before.energy || p.energy > s.energy || p.at.Equal(s.begin) {
			continue
		}
		if p.at.After(at) {
			after = p
			break
		}
		before = p
	}
	rise := new(big.Rat).SetFrac64((after.energy-before.energy)*at.Sub(before.at).Milliseconds(), after.at.Sub(before.at).Milliseconds())
	rise.Add(rise, big.NewRat(1, 2))
	return before.energy + new(big.Int).Div(rise.Num(), rise.Denom()).Int64()
}

func (s worldSession) energyOf(date string, zone *time.Location) int64 {
	from, to := begins(date, zone), begins(dayAfter(date), zone)
	by := s.energyBy(to) - s.energyBy(from)
	if s.begin.Equal(s.end) && dateOf(s.begin, zone) == date {
		return s.energy
	}
	return by
}

func (w *world) energy(list []string, zone *time.Location, station evcs.StationID) []evcs.Energy {
	sums := make([]evcs.Energy, len(list))
	for i, date := range list {
		for _, s := range w.sessions {
			if station == 0 || s.station == station {
				sums[i] += evcs.Energy(s.energyOf(date, zone))
			}
		}
	}
	return sums
}

func (w *world) revenue(list []string, zone *time.Location, station evcs.StationID) []report.Revenue {
	sums := make([]report.Revenue, len(list))
	sum := func(money []worldMoney, add func(*report.Revenue, evcs.Money)) {
		for _, m := range money {
			i := slices.Index(list, dateOf(m.at, zone))
			if i >= 0 && (station == 0 || m.station == station) && (!m.sandbox || !w.live) {
				add(&sums[i], m.amount)
			}
		}
	}
	sum(w.payments, func(r *report.Revenue, m evcs.Money) { r.Gross += m })
	sum(w.refunds, func(r *report.Revenue, m evcs.Money) { r.Refund += m })
	return sums
}

func (w *world) ordersOf(list []string, zone *time.Location) int64 {
	n := int64(0)
	for _, o := range w.orders {
		if o.status != 2 && slices.Contains(list, dateOf(o.started, zone)) {
			n++
		}
	}
	return n
}

func (w *world) slots(date string, zone *time.Location, hours int) []int64 {
	counts := make([]int64, 24/hours)
	for _, o := range w.orders {
		if o.status != 2 && dateOf(o.started, zone) == date {
			counts[o.started.In(zone).Hour()/hours]++
		}
	}
	return counts
}

func (w *world) ranks(list []string, zone *time.Location, by string, n int) []report.StationRank {
	var ranks []report.StationRank
	for id, name := range w.names {
		r := report.StationRank{Station: id, Name: name}
		for _, o := range w.orders {
			if o.station == id && o.status != 2 && slices.Contains(list, dateOf(o.started, zone)) {
				r.Orders++
			}
		}
		for _, e := range w.energy(list, zone, id) {
			r.Energy += e
		}
		for _, m := range w.revenue(list, zone, id) {
			r.Revenue += m.Gross - m.Refund
		}
		if r.Orders != 0 || r.Energy != 0 || r.Revenue != 0 {
			ranks = append(ranks, r)
		}
	}
	value := map[string]func(report.StationRank) int64{
		"orders": func(r report.StationRank) int64 { return r.Orders }, "energy": func(r report.StationRank) int64 { return int64(r.Energy) },
		"revenue": func(r report.StationRank) int64 { return int64(r.Revenue) },
	}[by]
	slices.SortFunc(ranks, func(a, b report.StationRank) int {
		return cmp.Or(cmp.Compare(value(b), value(a)), cmp.Compare(a.Station, b.Station))
	})
	return ranks[:min(n, len(ranks))]
}

func (w *world) utilizations(from, now time.Time, station evcs.StationID) []report.Utilization {
	var list []report.Utilization
	for _, c := range w.chargers {
		if station != 0 && c.station != station {
			continue
		}
		u := report.Utilization{Charger: c.id, Code: c.code, StationName: w.names[c.station]}
		since := from
		if c.created.After(from) {
			since = c.created
		}
		u.Available = max(now.Sub(since), 0) * time.Duration(c.connectors)
		for _, s := range w.sessions {
			end := s.end
			if s.running || end.After(now) {
				end = now
			}
			begin := s.begin
			if begin.Before(from) {
				begin = from
			}
			if s.charger == c.id && end.After(begin) {
				u.Occupied += end.Sub(begin)
			}
		}
		list = append(list, u)
	}
	return list
}

func (w *world) byCity(from, to time.Time) []order.CityFigures {
	figures := make(map[[2]string]*order.CityFigures)
	stations := make(map[evcs.StationID]bool)
	for _, o := range w.orders {
		if o.status == 2 || o.started.Before(from) || !o.started.Before(to) {
			continue
		}
		place := w.cities[o.station]
		c := figures[place]
		if c == nil {
			c = &order.CityFigures{Province: place[0], City: place[1]}
			figures[place] = c
		}
		c.Orders++
		c.Energy += evcs.Energy(o.energy)
		c.Amount += evcs.Money(o.amount)
		c.NetPaid += evcs.Money(o.net)
		if !stations[o.station] {
			stations[o.station] = true
			c.Stations++
		}
	}
	list := []order.CityFigures{}
	for _, c := range figures {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b order.CityFigures) int {
		return cmp.Or(cmp.Compare(b.Orders, a.Orders), cmp.Compare(a.Province, b.Province), cmp.Compare(a.City, b.City))
	})
	return list
}

// total counts the orders of some statuses, of all when none is named.
func (w *world) total(statuses []order.Status) int64 {
	n := int64(0)
	for _, o := range w.orders {
		if len(statuses) == 0 || slices.Contains(statuses, order.Status(o.status)) {
			n++
		}
	}
	return n
}
