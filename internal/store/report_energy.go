package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/report"
)

// Energy is the metered energy of each period; sessions that cross its ends are
// divided there. A zero station is all.
func (s Reports) Energy(ctx context.Context, scope evcs.Scope, station evcs.StationID, b report.Bounds) ([]evcs.Energy, error) {
	list := make([]evcs.Energy, len(b)-1)
	err := s.divide(ctx, scope, station, b, func(_ evcs.StationID, i int, e evcs.Energy) { list[i] += e })
	return list, err
}

// metered is a session that crosses a bound.
type metered struct {
	id         int64
	tenant     evcs.TenantID
	station    evcs.StationID
	begin, end time.Time
	energy     evcs.Energy
}

// divide gives the energy of every session to the periods it lies in.
func (s Reports) divide(ctx context.Context, scope evcs.Scope, station evcs.StationID, b report.Bounds, add func(evcs.StationID, int, evcs.Energy)) error {
	var f filter
	f.scope("s.tenant_id", scope)
	if station != 0 {
		f.add("s.station_id = ?", station)
	}
	f.add("s.state <> 'ORPHAN'")
	f.add("s.started_at > 0 AND s.started_at < ?", evcs.Millis(b.Last()))
	f.add("(s.stopped_at = 0 OR s.stopped_at >= ?)", evcs.Millis(b.First()))
	var crossing []metered
	err := s.q.each(ctx, "read energy of sessions", func(rows *sql.Rows) error {
		var m metered
		var begin, end int64
		if err := rows.Scan(&m.id, &m.tenant, &m.station, &begin, &end, &m.energy); err != nil {
			return err
		}
		m.begin, m.end = evcs.FromMillis(begin), evcs.FromMillis(max(begin, end))
		first, last := b.Place(m.begin), b.Place(m.end)
		if first == last && first >= 0 {
			add(m.station, first, m.energy)
		} else if m.end.After(b.First()) {
			crossing = append(crossing, m)
		}
		return nil
	}, `SELECT s.id, s.tenant_id, s.station_id, s.started_at, CASE WHEN s.stopped_at > 0 THEN s.stopped_at ELSE s.last_at END,
			CASE WHEN s.stopped_at > 0 THEN s.energy ELSE s.last_energy END
		FROM sessions s`+f.where(), f.args...)
	if err != nil {
		return err
	}
	for _, m := range crossing {
		if err := s.divideOne(ctx, m, b, add); err != nil {
			return err
		}
	}
	return nil
}

func (s Reports) divideOne(ctx context.Context, m metered, b report.Bounds, add func(evcs.StationID, int, evcs.Energy)) error {
	at := make([]evcs.Energy, len(b))
	for i, bound := range b {
		switch {
		case !bound.After(m.begin):
		case !bound.Before(m.end):
			at[i] = m.energy
		default:
			e, err := s.energyAt(ctx, m, bound)
			if err != nil {
				return err
			}
			at[i] = e
		}
	}
	for i := range len(b) - 1 {
		if e := at[i+1] - at[i]; e != 0 {
			add(m.station, i, e)
		}
	}
	return nil
}

// energyAt is the energy of a session at a moment, on the line between the
// readings around it.
func (s Reports) energyAt(ctx context.Context, m metered, at time.Time) (evcs.Energy, error) {
	points := []report.Point{{At: m.begin}, {At: m.end, Energy: m.energy}}
	for i, way := range [...]string{"at <= ? ORDER BY at DESC", "at >= ? ORDER BY at"} {
		err := s.q.each(ctx, "read the reading around a moment", func(rows *sql.Rows) error {
			var ms int64
			var e evcs.Energy
			err := rows.Scan(&ms, &e)
			points[i] = report.Point{At: evcs.FromMillis(ms), Energy: e}
			return err
		}, `SELECT at, energy FROM samples WHERE tenant_id = ? AND session_id = ? AND have / 2 % 2 = 1 AND `+way+` LIMIT 1`, m.tenant, m.id, evcs.Millis(at))
		if err != nil {
			return 0, err
		}
	}
	return min(max(report.Between(points[0], points[1], at), 0), m.energy), nil
}

// Utilizations says how much the enabled chargers were used in [from, to).
func (s Reports) Utilizations(ctx context.Context, scope evcs.Scope, station evcs.StationID, from, to time.Time) ([]report.Utilization, error) {
	var f filter
	f.scope("c.tenant_id", scope)
	if station != 0 {
		f.add("c.station_id = ?", station)
	}
	f.add("c.deleted_at = 0")
	begin, end := evcs.Millis(from), evcs.Millis(to)
	args := append([]any{begin, begin, end, end, end, begin}, f.args...)
	var list []report.Utilization
	err := s.q.each(ctx, "read utilization", func(rows *sql.Rows) error {
		var u report.Utilization
		var created, connectors, occupied int64
		err := rows.Scan(&u.Charger, &u.Code, &u.StationName, &created, &connectors, &occupied)
		u.Occupied = time.Duration(occupied) * time.Millisecond
		u.Available = time.Duration(max(0, end-max(begin, created))*connectors) * time.Millisecond
		list = append(list, u)
		return err
	}, `SELECT c.id, c.code, COALESCE(st.name, ''), c.created_at,
			(SELECT COUNT(*) FROM connectors k WHERE k.charger_id = c.id),
			(SELECT CAST(COALESCE(SUM(CASE WHEN x.ends > x.begins THEN x.ends - x.begins ELSE 0 END), 0) AS BIGINT) FROM (
				SELECT CASE WHEN s.started_at < ? THEN ? ELSE s.started_at END AS begins,
					CASE WHEN s.stopped_at = 0 OR s.stopped_at > ? THEN ? ELSE s.stopped_at END AS ends
				FROM sessions s WHERE s.charger_id = c.id AND s.started_at > 0 AND s.started_at < ? AND s.state <> 'ORPHAN'
					AND (s.stopped_at = 0 OR s.stopped_at >= ?)) x)
		FROM chargers c LEFT JOIN stations st ON st.id = c.station_id`+f.where(), args...)
	slices.SortFunc(list, func(a, b report.Utilization) int { return int(a.Charger - b.Charger) })
	return list, err
}
