package store_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// nearWorld is what a brute search walks through.
type nearWorld struct {
	stations []nearStation
	tenants  []evcs.TenantID
	under    map[evcs.TenantID][]evcs.TenantID // itself included
}

type nearStation struct {
	id            evcs.StationID
	owner         evcs.TenantID
	lat, lon      station.Degree
	placed        bool
	enabled, gone bool
	idle          map[int]bool // by the type of a charger
	kinds         map[int]bool
}

// hotSpots are where a search could go wrong: poles, antimeridian, the origin,
// and a town.
var hotSpots = [][2]float64{{90, 0}, {-90, 17}, {89.9, -120}, {0, 180}, {10, -180}, {-17, 179.9}, {0, 0}, {22.5431, 114.0579}}

func newNearWorld(t *testing.T, db *store.DB) nearWorld {
	t.Helper()
	plant(t, db)
	left := mustSprout(t, db, 1, "left", tenant.Limits{})
	right := mustSprout(t, db, 1, "right", tenant.Limits{})
	below := mustSprout(t, db, left, "below", tenant.Limits{})
	w := nearWorld{tenants: []evcs.TenantID{1, left, right, below}, under: map[evcs.TenantID][]evcs.TenantID{1: {1, left, right, below}, left: {left, below}, right: {right}, below: {below}}}
	dice := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same world every time
	var stations, chargers []string
	for i := range 400 {
		spot := hotSpots[i%len(hotSpots)]
		s := nearStation{
			id: evcs.StationID(i + 1), owner: w.tenants[dice.IntN(4)], placed: dice.IntN(20) > 0, enabled: dice.IntN(10) > 0, gone: dice.IntN(20) == 0,
			idle: map[int]bool{}, kinds: map[int]bool{},
		}
		spread := []float64{0, 0.00001, 0.01, 0.4}[dice.IntN(4)]
		s.lat = station.Degree(max(-90, min(90, spot[0]+(dice.Float64()-0.5)*spread)) * 1e7)
		lon := spot[1] + (dice.Float64()-0.5)*spread
		if spot[0] > 89 || spot[0] < -89 {
			lon = dice.Float64()*360 - 180
		}
		if lon > 180 {
			lon -= 360
		} else if lon < -180 {
			lon += 360
		}
		s.lon = station.Degree(lon * 1e7)
		lat, lonText := "NULL", "NULL"
		if s.placed {
			lat, lonText = fmt.Sprint(int64(s.lat)), fmt.Sprint(int64(s.lon))
		}
		stations = append(stations, fmt.Sprintf("(%d, %d, 'S%d', 'S', '', %s, %s, %d, 1, '[]', 0, 0, 0, 0, %d, 1)",
			s.id, s.owner, i, lat, lonText, one(s.enabled), one(s.gone)))
		shownLat, shownLon := lat, lonText // as the store keeps them
		if !s.enabled || s.gone {
			shownLat, shownLon = "NULL", "NULL"
		}
		for j := range dice.IntN(3) {
			kind, status, enabled, gone := 1+dice.IntN(3), dice.IntN(6), dice.IntN(4) > 0, dice.IntN(6) == 0
			if !gone {
				s.kinds[kind] = true
				s.idle[kind] = s.idle[kind] || status == 1 && enabled
			}
			chargers = append(chargers, fmt.Sprintf("(%d, %d, 'C%d-%d', '', 'D%d-%d', %d, 1, 0, FALSE, %d, %t, 0, FALSE, 0, 0, 0, '', 0, 0, 0, 0, 0, 0, 0, %d, 1, %s, %s)",
				s.owner, s.id, i, j, i, j, kind, status, enabled, one(gone), shownLat, shownLon))
		}
		w.stations = append(w.stations, s)
	}
	meddle(t, db, "%s", `INSERT INTO stations (id, tenant_id, code, name, address, latitude, longitude, status, type, facilities, created_at, updated_at, created_by,
		updated_by, deleted_at, version) VALUES `+strings.Join(stations, ", "))
	meddle(t, db, "%s", `INSERT INTO chargers (tenant_id, station_id, code, name, device_id, type, rated_power, plan_id, simulated, status, enabled, fault_since, connected,
		connected_since, last_seen_at, offline_since, node, total_sessions, total_energy, total_seconds, created_at, updated_at, created_by, updated_by, deleted_at,
		version, latitude, longitude) VALUES `+strings.Join(chargers, ", "))
	meddle(t, db, `INSERT INTO connectors (charger_id, no, tenant_id, station_id, enabled, status, reported, latched, session_id, last_meter_at, updated_at, version)
		SELECT c.id, k.n, c.tenant_id, c.station_id, c.id %% 3 > 0, (c.status + c.id * k.n) %% 6, 1, FALSE, 0, 0, 0, 1
		FROM chargers c JOIN (SELECT 1 AS n UNION ALL SELECT 2) k ON k.n <= c.id %% 3`)
	return w
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// search looks at every station.
func (w nearWorld) search(scope evcs.Scope, want station.NearFilter, c station.Circle, limit int) []station.Spot {
	owners := []evcs.TenantID{scope.Tenant}
	if scope.Descendants {
		owners = w.under[scope.Tenant]
	}
	found := []station.Spot{}
	for _, s := range w.stations {
		km := station.DistanceKM(c.Latitude, c.Longitude, s.lat, s.lon)
		if !s.placed || !s.enabled || s.gone || km > c.RadiusKM || !slices.Contains(owners, s.owner) || !s.has(want) {
			continue
		}
		found = append(found, station.Spot{ID: s.id, Latitude: s.lat, Longitude: s.lon, DistanceKM: km})
	}
	slices.SortStableFunc(found, func(a, b station.Spot) int { return cmp.Compare(a.DistanceKM, b.DistanceKM) }) // they are by id
	return found[:min(limit, len(found))]
}

func (s nearStation) has(want station.NearFilter) bool {
	if !want.Available && len(want.ChargerTypes) == 0 {
		return true
	}
	kinds := want.ChargerTypes
	if len(kinds) == 0 {
		kinds = []int{1, 2, 3}
	}
	return slices.ContainsFunc(kinds, func(k int) bool { return s.kinds[k] && (!want.Available || s.idle[k]) })
}

// What is found nearby is what a walk through all stations finds, in the same
// order: at poles, across the antimeridian, for identical points, whatever the
// scope and the filter.
func TestNearbyIsWhatABruteSearchFinds(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newNearWorld(t, db)
		seen := 0
		rapid.Check(t, func(r *rapid.T) {
			spot := rapid.SampledFrom(hotSpots).Draw(r, "spot")
			shift := func(name string) float64 {
				return rapid.SampledFrom([]float64{0, 0, 0.00001, -0.003, 0.1}).Draw(r, name)
			}
			c := station.Circle{
				Latitude:  station.Degree(max(-90, min(90, spot[0]+shift("north"))) * 1e7),
				Longitude: station.Degree(max(-180, min(180, spot[1]+shift("east"))) * 1e7),
				RadiusKM:  rapid.SampledFrom([]float64{0.0005, 0.001, 0.3, 5, 20, 50}).Draw(r, "radius"),
			}
			scope := evcs.Scope{Tenant: rapid.SampledFrom(append(w.tenants, 1, 99)).Draw(r, "tenant"), Descendants: rapid.Bool().Draw(r, "descendants")}
			want := station.NearFilter{Available: rapid.Bool().Draw(r, "available")}
			want.ChargerTypes = rapid.SampledFrom([][]int{nil, nil, {1, 3}, {2, 3}, {3}}).Draw(r, "types")
			limit := rapid.IntRange(1, 100).Draw(r, "limit")
			rows, err := db.Reader().Stations().Nearby(t.Context(), scope, want, c, limit)
			if err != nil {
				r.Fatal(err)
			}
			got := make([]station.Spot, len(rows))
			for i, v := range rows {
				got[i] = station.Spot{ID: v.ID, Latitude: *v.Latitude, Longitude: *v.Longitude, DistanceKM: v.DistanceKM}
			}
			seen += len(got)
			if diff := gocmp.Diff(w.search(scope, want, c, limit), got); diff != "" {
				r.Fatalf("%+v %+v %+v: %s", scope, want, c, diff)
			}
		})
		if seen == 0 {
			t.Error("nothing was ever found")
		}
		// Each is shown as it is when it is asked for alone, with its counts.
		var chargers, connectors int64
		for _, spot := range hotSpots {
			c := station.Circle{Latitude: station.Degree(spot[0] * 1e7), Longitude: station.Degree(spot[1] * 1e7), RadiusKM: 50}
			rows, err := db.Reader().Stations().Nearby(t.Context(), evcs.Subtree(1), station.NearFilter{}, c, 100)
			must(t, err)
			for _, r := range rows {
				alone, err := db.Reader().Stations().StationRow(t.Context(), evcs.Subtree(1), r.ID)
				must(t, err)
				if diff := gocmp.Diff(*alone, r.StationRow); diff != "" {
					t.Errorf("station %d: %s", r.ID, diff)
				}
				chargers += r.Counts.Available
				connectors += r.Counts.AvailableConnectors
			}
		}
		if chargers == 0 || connectors == 0 {
			t.Errorf("%d available chargers and %d connectors: the world is too small", chargers, connectors)
		}
	})
}

// A search for a type of charger follows the station: where it was made, moved
// to, closed and opened again, for chargers of before and after.
func TestASearchForAChargerFollowsItsStation(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a := build(t, db) // its station has no place yet, and a charger of type 1
		found := func(at station.Degree, kind int) int {
			t.Helper()
			rows, err := db.Reader().Stations().Nearby(t.Context(), evcs.Only(a.tenant), station.NearFilter{ChargerTypes: []int{kind}},
				station.Circle{Latitude: at, Longitude: at, RadiusKM: 1}, 20)
			must(t, err)
			return len(rows)
		}
		want := func(what string, at station.Degree, kind, n int) {
			t.Helper()
			if got := found(at, kind); got != n {
				t.Errorf("%s: %d stations, want %d", what, got, n)
			}
		}
		change := func(fn func(*station.Station) error) {
			t.Helper()
			_, err := a.registry.UpdateStation(t.Context(), boss(), a.station.ID, nil, fn)
			must(t, err)
		}
		place := func(at station.Degree) func(*station.Station) error {
			return func(s *station.Station) error { s.Latitude, s.Longitude = &at, &at; return nil }
		}
		open := func(yes bool) func(*station.Station) error {
			return func(s *station.Station) error { s.Enabled = yes; return nil }
		}
		const here, there = 100_000_000, 200_000_000
		want("without a place", 0, 1, 0)
		change(place(here))
		want("placed", here, 1, 1)
		change(place(there))
		want("moved away", here, 1, 0)
		want("moved to", there, 1, 1)
		change(open(false))
		want("closed", there, 1, 0)
		second := a.draft("C2")
		second.Type = 2
		_, _, err := a.fleet().Create(t.Context(), boss(), second, 1)
		must(t, err)
		want("made while closed", there, 2, 0)
		change(open(true))
		want("opened", there, 1, 1)
		want("opened, the second", there, 2, 1)
		third := a.draft("C3")
		third.Type = 3
		_, _, err = a.fleet().Create(t.Context(), boss(), third, 1)
		must(t, err)
		want("made while open", there, 3, 1)
	})
}

// nearCase is a search that is measured.
type nearCase struct {
	scope evcs.Scope
	want  station.NearFilter
	km    float64
	limit int
	none  bool // nothing is found
}

// nearCases are searches of the platform and of tenants; the last three find
// nothing among many.
var nearCases = map[string]nearCase{
	"10km":             {evcs.Subtree(1), station.NearFilter{}, 10, 20, false},
	"50km-100":         {evcs.Subtree(1), station.NearFilter{}, 50, 100, false},
	"50km-tenant":      {evcs.Only(7), station.NearFilter{}, 50, 20, false},
	"50km-available":   {evcs.Subtree(1), station.NearFilter{Available: true, ChargerTypes: []int{1, 3}}, 50, 20, false},
	"50km-tenant-idle": {evcs.Only(7), station.NearFilter{Available: true, ChargerTypes: []int{2, 3}}, 50, 20, false},
	"50km-no-type":     {evcs.Subtree(1), station.NearFilter{ChargerTypes: []int{3}}, 50, 20, true},
	"50km-none-idle":   {evcs.Subtree(1), station.NearFilter{Available: true, ChargerTypes: []int{3}}, 50, 20, true},
	"50km-no-tenant":   {evcs.Only(52), station.NearFilter{}, 50, 20, true},
}

// BenchmarkNearby searches among 100 thousand stations: spread over a country,
// and all of them in one town. PostgreSQL is asked with and without statistics.
func BenchmarkNearby(b *testing.B) {
	engines := map[string]func(testing.TB) string{"sqlite": storetest.SQLiteURL}
	if storetest.Server(b) != "" {
		engines["postgres"], engines["unanalysed"] = storetest.PostgresURL, storetest.PostgresURL
	}
	for engine, fresh := range engines {
		for _, world := range []struct {
			name  string
			width int // of the square, in 1e-7 degrees
		}{{"country", 300_000_000}, {"town", 9_000_000}} {
			b.Run(engine+"/"+world.name, func(b *testing.B) {
				// As the owner of its tables, who may analyse them.
				db, err := store.Open(b.Context(), store.Config{URL: fresh(b), SyncOff: true})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() {
					if err := db.Close(); err != nil {
						b.Error(err)
					}
				})
				crowd(b, db, world.width)
				if engine == "postgres" {
					if err := store.Meddle(b.Context(), db, `ANALYZE`); err != nil {
						b.Fatal(err)
					}
				}
				at := station.Degree(world.width / 2)
				for name, c := range nearCases {
					b.Run(name, func(b *testing.B) {
						for b.Loop() {
							found, err := db.Reader().Stations().Nearby(b.Context(), c.scope, c.want,
								station.Circle{Latitude: 200_000_000 + at, Longitude: 800_000_000 + at, RadiusKM: c.km}, c.limit)
							if err != nil || (len(found) == 0) != c.none {
								b.Fatalf("%d stations, %v", len(found), err)
							}
						}
					})
				}
			})
		}
	}
}

// crowd makes 100 thousand stations of 50 tenants in a square, with two
// chargers each, every fourth of them idle.
func crowd(b *testing.B, db *store.DB, width int) {
	b.Helper()
	plant(b, db)
	var first, last evcs.TenantID
	for i := range 51 { // the last has no station
		id, err := sprout(b.Context(), db, 1, fmt.Sprintf("t%d", i), tenant.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if first == 0 {
			first = id
		}
		last = id - 1
	}
	for _, statement := range []string{
		fmt.Sprintf(`INSERT INTO stations (tenant_id, code, name, address, latitude, longitude, status, type, facilities, created_at, updated_at, created_by, updated_by,
				deleted_at, version)
			WITH RECURSIVE n (i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
			SELECT %[1]d + i %% %[2]d, 'S' || i, 'S', '', 200000000 + (i * 7919 * 1009) %% %[3]d, 800000000 + (i * 104729 * 31) %% %[3]d, 1, 1, '[]', 0, 0, 0, 0, 0, 1
			FROM n`, first, last-first+1, width),
		`INSERT INTO chargers (tenant_id, station_id, code, name, device_id, type, rated_power, plan_id, simulated, status, enabled, fault_since, connected,
				connected_since, last_seen_at, offline_since, node, total_sessions, total_energy, total_seconds, created_at, updated_at, created_by, updated_by,
				deleted_at, version, latitude, longitude)
			SELECT s.tenant_id, s.id, k.n || s.code, '', k.n || s.code, 1 + s.id % 2, 1, 0, FALSE, (s.id + k.n) % 4, TRUE, 0, FALSE, 0, 0, 0, '', 0, 0, 0, 0, 0, 0, 0, 0, 1,
				s.latitude, s.longitude
			FROM stations s JOIN (SELECT 1 AS n UNION ALL SELECT 2) k ON 1 = 1`,
		`INSERT INTO connectors (charger_id, no, tenant_id, station_id, enabled, status, reported, latched, session_id, last_meter_at, updated_at, version)
			SELECT id, 1, tenant_id, station_id, TRUE, status, status, FALSE, 0, 0, 0, 1 FROM chargers`,
	} {
		if err := store.Meddle(b.Context(), db, statement); err != nil {
			b.Fatal(err)
		}
	}
}
