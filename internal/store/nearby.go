package store

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// Nearby lists at most limit enabled stations of scope within a circle that are
// wanted, nearest first, then by id. It looks into growing circles, so that a
// crowded town costs little, and counts chargers only for what it returns.
func (p Places) Nearby(ctx context.Context, scope evcs.Scope, want station.NearFilter, c station.Circle, limit int) ([]station.Near, error) {
	whose, err := p.owners(ctx, scope)
	if err != nil || whose.none {
		return nil, err
	}
	var nearest []station.Spot
	for ring := c.Inner(); ; ring = c.Wider(ring, len(nearest), limit) {
		spots, err := p.spots(ctx, whose, want, ring.Box())
		if err != nil {
			return nil, err
		}
		if nearest = ring.Nearest(once(spots)); len(nearest) >= limit || ring.RadiusKM >= c.RadiusKM {
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
	var f filter
	f.scope("s.tenant_id + 0", scope) // they are found by their ids
	f.add("s.deleted_at + 0 = 0 AND s.status + 0 = 1")
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
	f.add("c.deleted_at + 0 = 0")
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

// owners are the tenants of a scope as a search for places needs them.
type owners struct {
	scope evcs.Scope
	// few are its tenants, nil when they are many, or all that there are: then the
	// rows of a place are looked at, whosever they are.
	few  []evcs.TenantID
	none bool // there is no such tenant
}

// fewTenants is how many tenants a search looks for one by one.
const fewTenants = 32

func (p Places) owners(ctx context.Context, scope evcs.Scope) (owners, error) {
	if !scope.Descendants {
		return owners{scope: scope, few: []evcs.TenantID{scope.Tenant}}, nil
	}
	o := owners{scope: scope}
	most, bound := p.q.limit(fewTenants + 1)
	if err := p.q.rows(ctx, "read tenants of a scope", func(rows row) error {
		var id evcs.TenantID
		err := rows.Scan(&id)
		o.few = append(o.few, id)
		return err
	}, `SELECT a.tenant_id FROM tenant_ancestors a WHERE a.ancestor_id = ?`+most, append([]any{scope.Tenant}, bound...)...); err != nil {
		return o, err
	}
	if o.none = len(o.few) == 0; o.none {
		return o, nil
	}
	if len(o.few) > fewTenants {
		o.few = nil
		return o, nil
	}
	var all int
	err := p.q.one(ctx, "count tenants", sql.ErrNoRows, []any{&all}, `SELECT COUNT(*) FROM (SELECT 1 FROM tenants`+most+`) t`, bound...)
	if all <= len(o.few) {
		o.few = nil
	}
	return o, err
}

// Stripes of latitude as migration 26 has them. A tenant and a type of charger
// are added to a stripe's number where an index knows them.
const (
	stripeHeight = 500_000
	southPole    = -900_000_000
	antimeridian = 1_800_000_000
	perType      = 10_000
	perTenant    = 100_000
)

// mostProbes is how many places of an index a search by tenant looks at; beyond
// that a walk over everybody's is thought cheaper.
const mostProbes = 2048

// spots are the places in a box, some of them several times.
func (p Places) spots(ctx context.Context, whose owners, want station.NearFilter, b station.Box) ([]station.Spot, error) {
	if b.West > b.East {
		east := b
		b.East, east.West = antimeridian, -antimeridian
		west, err := p.spots(ctx, whose, want, b)
		if err != nil {
			return nil, err
		}
		rest, err := p.spots(ctx, whose, want, east)
		return append(west, rest...), err
	}
	f, query := whose.shownStations(b)
	if want.Available || len(want.ChargerTypes) > 0 {
		f, query = whose.shownChargers(b, want)
	}
	var found []station.Spot
	err := p.q.rows(ctx, "look for stations nearby", func(rows row) error {
		var s station.Spot
		err := rows.Scan(&s.ID, &s.Latitude, &s.Longitude)
		found = append(found, s)
		return err
	}, query+f.where(), f.args...)
	return found, err
}

// shownStations are the shown stations of the owners in a box.
func (o owners) shownStations(b station.Box) (filter, string) {
	var f filter
	o.narrow(&f, b, "p.deleted_at = 0 AND p.status = 1", "(p.latitude + 900000000) / 500000", stripesOf(b))
	return f, `SELECT p.id, p.latitude, p.longitude FROM stations p`
}

// shownChargers are the wanted chargers of the owners in a box.
func (o owners) shownChargers(b station.Box, want station.NearFilter) (filter, string) {
	types := want.ChargerTypes
	if len(types) == 0 {
		types = []int{1, 2, 3}
	}
	var places []int64
	for _, t := range types {
		for _, n := range stripesOf(b) {
			places = append(places, int64(t)*perType+n)
		}
	}
	which := "p.deleted_at = 0"
	if want.Available {
		which = "p.deleted_at = 0 AND p.enabled AND p.status = 1"
	}
	var f filter
	o.narrow(&f, b, which, "p.type * 10000 + (p.latitude + 900000000) / 500000", places)
	return f, `SELECT p.station_id, p.latitude, p.longitude FROM chargers p`
}

// narrow keeps the rows of the owners in a box that are shown: by the index that
// begins with them, or from a walk over everybody's. The expressions are those
// of migration 26.
func (o owners) narrow(f *filter, b station.Box, shown, place string, places []int64) {
	if len(o.few) == 0 || len(o.few)*len(places) > mostProbes {
		f.scope("p.tenant_id + 0", o.scope)
		among(f, "CASE WHEN "+shown+" THEN "+place+" END", padded(places))
		f.add("p.longitude BETWEEN ? AND ? AND p.latitude BETWEEN ? AND ?", b.West, b.East, b.South, b.North)
		return
	}
	of := make([]int64, 0, len(o.few)*len(places))
	for _, tenant := range o.few {
		for _, n := range places {
			of = append(of, int64(tenant)*perTenant+n)
		}
	}
	among(f, "CASE WHEN "+shown+" THEN p.tenant_id * 100000 + "+place+" END", padded(of))
	f.add("p.longitude + 0 BETWEEN ? AND ? AND p.latitude + 0 BETWEEN ? AND ?", b.West, b.East, b.South, b.North)
}

// once keeps one spot of each station: it was found by every charger that fits.
func once(spots []station.Spot) []station.Spot {
	slices.SortFunc(spots, func(a, b station.Spot) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(spots, func(a, b station.Spot) bool { return a.ID == b.ID })
}

// stripesOf are the stripes of a box.
func stripesOf(b station.Box) []int64 {
	first, last := (int64(b.South)-southPole)/stripeHeight, (int64(b.North)-southPole)/stripeHeight
	stripes := make([]int64, 0, last-first+1)
	for n := first; n <= last; n++ {
		stripes = append(stripes, n)
	}
	return stripes
}

// padded repeats the last until they are a power of two: one text serves several
// numbers.
func padded(list []int64) []int64 {
	for len(list)&(len(list)-1) != 0 {
		list = append(list, list[len(list)-1])
	}
	return list
}
