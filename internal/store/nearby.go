package store

import (
	"context"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// Nearby lists at most limit enabled stations of scope within a circle that are
// wanted, nearest first, then by id. It looks into growing circles, so that a
// crowded town costs little, and counts chargers only for what it returns.
func (p Places) Nearby(ctx context.Context, scope evcs.Scope, want station.StationFilter, c station.Circle, limit int) ([]station.Near, error) {
	var nearest []station.Spot
	for ring := c.Inner(); ; ring = c.Wider(ring, len(nearest), limit) {
		spots, err := p.spots(ctx, scope, want, ring.Box())
		if err != nil {
			return nil, err
		}
		if nearest = ring.Nearest(spots); len(nearest) >= limit || ring.RadiusKM >= c.RadiusKM {
			break
		}
	}
	if len(nearest) == 0 {
		return nil, nil
	}
	nearest = nearest[:min(limit, len(nearest))]
	ids := make([]evcs.StationID, len(nearest))
	for i, s := range nearest {
		ids[i] = s.ID
	}
	f := nearFilter(scope, want)
	among(&f, "s.id", ids)
	counts, err := p.counts(ctx, scope, ids)
	if err != nil {
		return nil, err
	}
	byID := make(map[evcs.StationID]station.StationRow, len(ids))
	if err := p.q.rows(ctx, "read stations nearby", func(rows row) error {
		var v station.StationRow
		var err error
		v.Station, err = scanStation(rows, &v.TenantName)
		v.Counts = counts[v.ID]
		byID[v.ID] = v
		return err
	}, `SELECT `+stationColumns+`, (SELECT t.name FROM tenants t WHERE t.id = s.tenant_id) FROM stations s`+f.where(), f.args...); err != nil {
		return nil, err
	}
	return placed(nearest, byID), nil
}

// counts are the counts of several stations in one walk over their chargers and
// connectors.
func (p Places) counts(ctx context.Context, scope evcs.Scope, ids []evcs.StationID) (map[evcs.StationID]station.Counts, error) {
	var f filter
	f.scope("c.tenant_id + 0", scope)
	among(&f, "c.station_id", ids)
	f.add("c.deleted_at = 0")
	counts := make(map[evcs.StationID]station.Counts, len(ids))
	known := make(map[evcs.ChargerID]bool)
	err := p.q.rows(ctx, "count chargers nearby", func(rows row) error {
		var at evcs.StationID
		var id evcs.ChargerID
		var status station.Status
		var enabled bool
		var connector *station.Status
		var works *bool
		if err := rows.Scan(&at, &id, &status, &enabled, &connector, &works); err != nil {
			return err
		}
		n := counts[at]
		if !known[id] {
			known[id] = true
			n.AddCharger(status, enabled)
		}
		if connector != nil {
			n.AddConnector(*connector, enabled && *works)
		}
		counts[at] = n
		return nil
	}, `SELECT c.station_id, c.id, c.status, c.enabled, k.status, k.enabled FROM chargers c LEFT JOIN connectors k ON k.charger_id = c.id`+f.where(), f.args...)
	return counts, err
}

// placed puts rows into the order of the spots. One that was moved or went away
// in between is left out.
func placed(spots []station.Spot, byID map[evcs.StationID]station.StationRow) []station.Near {
	list := make([]station.Near, 0, len(spots))
	for _, s := range spots {
		r, there := byID[s.ID]
		if there && r.Latitude != nil && r.Longitude != nil && *r.Latitude == s.Latitude && *r.Longitude == s.Longitude {
			list = append(list, station.Near{StationRow: r, DistanceKM: s.DistanceKM})
		}
	}
	return list
}

// nearFilter is a filter that stations_near serves. SQLite would rather read
// all stations of a tenant, hence the + 0.
func nearFilter(scope evcs.Scope, want station.StationFilter) filter {
	want.Status = nil
	f := stationFilter(scope, want)
	f.conds[0], _ = scopeCond("s.tenant_id + 0", scope)
	f.add("s.status = 1")
	return f
}

// spots are the places in a box.
func (p Places) spots(ctx context.Context, scope evcs.Scope, want station.StationFilter, b station.Box) ([]station.Spot, error) {
	f := nearFilter(scope, want)
	f.add("s.latitude BETWEEN ? AND ?", b.South, b.North)
	if b.West <= b.East {
		f.add("s.longitude BETWEEN ? AND ?", b.West, b.East)
	} else {
		f.add("(s.longitude >= ? OR s.longitude <= ?)", b.West, b.East)
	}
	var found []station.Spot
	err := p.q.rows(ctx, "look for stations nearby", func(rows row) error {
		var s station.Spot
		err := rows.Scan(&s.ID, &s.Latitude, &s.Longitude)
		found = append(found, s)
		return err
	}, `SELECT s.id, s.latitude, s.longitude FROM stations s`+f.where(), f.args...)
	return found, err
}
