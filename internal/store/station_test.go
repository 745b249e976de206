package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// filler gives every field of a struct a value of its own that is not zero, so
// that a column that is forgotten or mixed up shows.
type filler struct{ n int }

func (f *filler) fill(t *testing.T, v any) {
	t.Helper()
	f.value(t, reflect.ValueOf(v).Elem())
}

func (f *filler) value(t *testing.T, v reflect.Value) {
	t.Helper()
	f.n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(day.Add(time.Duration(f.n) * time.Minute)))
		return
	case json.RawMessage:
		v.Set(reflect.ValueOf(json.RawMessage(fmt.Sprintf(`{"n":%d}`, f.n))))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(f.n), 0}), 24)))
		return
	case time.Duration:
		v.Set(reflect.ValueOf(time.Duration(f.n) * time.Second))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f.value(t, v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.value(t, v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.value(t, v.Index(0))
		f.value(t, v.Index(1))
	case reflect.String:
		v.SetString(fmt.Sprintf("text-%d", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.n))
	case reflect.Uint8:
		v.SetUint(uint64(f.n))
	default:
		t.Fatalf("no value for %s", v.Type())
	}
}

// assets is a tenant with a station, a charger and its two connectors.
type assets struct {
	db         *store.DB
	registry   *station.Registry
	tenant     evcs.TenantID
	other      evcs.TenantID
	station    *station.Station
	charger    *station.Charger
	connectors []*station.Connector
}

func build(t *testing.T, db *store.DB) *assets {
	t.Helper()
	plant(t, db)
	a := &assets{db: db, tenant: mustSprout(t, db, 1, "one", tenant.Limits{}), other: mustSprout(t, db, 1, "two", tenant.Limits{})}
	sealer, err := auth.NewSealer([32]byte{1})
	must(t, err)
	a.registry = &station.Registry{Clock: fixed{day}, Sealer: sealer, Transact: func(ctx context.Context, fn func(station.Tx) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}}
	if a.station, err = a.registry.CreateStation(t.Context(), boss(), station.Station{Tenant: a.tenant, Code: "S1", Name: "One", Address: "Road 1", Enabled: true, Type: 1}); err != nil {
		t.Fatal(err)
	}
	a.charger, a.connectors, err = a.fleet().Create(t.Context(), boss(), a.draft("C1"), 2)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *assets) fleet() station.Fleet { return station.Fleet{Registry: a.registry} }

func (a *assets) draft(code string) station.Charger {
	return station.Charger{Tenant: a.tenant, Station: a.station.ID, Code: code, Name: code, Type: 1, RatedPower: 60_000, Enabled: true}
}

// in runs a function on the stations in one transaction.
func (a *assets) in(t *testing.T, fn func(s station.Store) error) error {
	t.Helper()
	return a.db.Transact(t.Context(), func(tx *store.Tx) error { return fn(tx.Stations()) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stale fails the test unless fn is refused as stale, for good.
func (a *assets) stale(t *testing.T, what string, fn func(s station.Store) error) {
	t.Helper()
	if err := a.in(t, fn); !errors.Is(err, evcs.ErrStale) {
		t.Errorf("%s: %v, want stale", what, err)
	}
}

func TestStationsKeepEveryField(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		var want station.Station
		new(filler).fill(t, &want)
		want.ID, want.Tenant = 0, a.tenant
		must(t, a.in(t, func(s station.Store) error { return s.InsertStation(ctx, &want) }))
		read := func() *station.Station {
			got, err := db.Reader().Stations().Station(ctx, evcs.Only(a.tenant), want.ID)
			must(t, err)
			return got
		}
		if diff := cmp.Diff(&want, read()); diff != "" {
			t.Errorf("inserted: %s", diff)
		}
		old, created, by := want, want.Created, want.CreatedBy
		(&filler{n: 50}).fill(t, &want)
		want.ID, want.Tenant, want.Version, want.Created, want.CreatedBy, want.Enabled = old.ID, a.tenant, old.Version, created, by, false
		must(t, a.in(t, func(s station.Store) error {
			v := want
			err := s.UpdateStation(ctx, evcs.Only(a.tenant), &v)
			want.Version = old.Version + 1
			return err
		}))
		if diff := cmp.Diff(&want, read()); diff != "" {
			t.Errorf("updated: %s", diff)
		}
		a.stale(t, "an old version", func(s station.Store) error { v := old; return s.UpdateStation(ctx, evcs.Only(a.tenant), &v) })
		a.stale(t, "a foreign scope", func(s station.Store) error { v := want; return s.UpdateStation(ctx, evcs.Only(a.other), &v) })
		a.stale(t, "a foreign deletion", func(s station.Store) error { return s.DeleteStation(ctx, evcs.Only(a.other), &want, day) })
		must(t, a.in(t, func(s station.Store) error { return s.DeleteStation(ctx, evcs.Subtree(1), &want, day) }))
		a.stale(t, "a deleted one", func(s station.Store) error {
			v := want
			v.Version++
			return s.UpdateStation(ctx, evcs.Only(a.tenant), &v)
		})
	})
}

func TestChargersKeepEveryField(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		want := *a.charger
		(&filler{n: 100}).fill(t, &want)
		want.ID, want.Tenant, want.Station, want.DeviceID, want.Simulated = a.charger.ID, a.tenant, a.station.ID, a.charger.DeviceID, false
		want.Created, want.CreatedBy, want.Version = a.charger.Created, a.charger.CreatedBy, a.charger.Version
		must(t, a.in(t, func(s station.Store) error { v := want; return s.UpdateCharger(ctx, evcs.Only(a.tenant), &v) }))
		want.Version++
		got, err := db.Reader().Stations().Charger(ctx, evcs.Subtree(1), want.ID)
		must(t, err)
		if diff := cmp.Diff(&want, got); diff != "" {
			t.Error(diff)
		}
		if got.ID < 10001 {
			t.Errorf("charger %d: they start at 10001", got.ID)
		}
		earlier := want
		earlier.LastSeen = day.Add(-time.Hour) // a slow node does not turn the clock back
		must(t, a.in(t, func(s station.Store) error { v := earlier; return s.UpdateCharger(ctx, evcs.Only(a.tenant), &v) }))
		if got, err = db.Reader().Stations().ChargerByDevice(ctx, want.DeviceID); err != nil || !got.LastSeen.Equal(want.LastSeen) {
			t.Errorf("last seen %v, want %v: %v", got.LastSeen, want.LastSeen, err)
		}
		a.stale(t, "an old version", func(s station.Store) error { v := want; return s.UpdateCharger(ctx, evcs.Only(a.tenant), &v) })
		a.stale(t, "a foreign scope", func(s station.Store) error { return s.UpdateCharger(ctx, evcs.Only(a.other), got) })
		a.stale(t, "a foreign deletion", func(s station.Store) error { return s.DeleteCharger(ctx, evcs.Only(a.other), got, day) })
		if used, err := db.Reader().Stations().EverUsed(ctx, evcs.Only(a.tenant), want.ID); err != nil || !used {
			t.Errorf("a charger that was heard was used: %t %v", used, err)
		}
	})
}

func TestConnectorsKeepEveryField(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		want := *a.connectors[1]
		(&filler{n: 100}).fill(t, &want)
		want.Charger, want.No, want.Tenant, want.Station, want.Version = a.charger.ID, 2, a.tenant, a.station.ID, 1
		want.Live.Have = evcs.HasRegister | evcs.HasPower | evcs.HasVoltage | evcs.HasCurrent | evcs.HasSoC | evcs.HasTemperature
		want.Live.At, want.Live.Energy = want.LastMeter, 0 // the energy of a session is the session's
		must(t, a.in(t, func(s station.Store) error { v := want; return s.UpdateConnector(ctx, evcs.Only(a.tenant), &v) }))
		want.Version++
		got, err := db.Reader().Stations().Connectors(ctx, evcs.Only(a.tenant), a.charger.ID)
		must(t, err)
		if diff := cmp.Diff([]*station.Connector{a.connectors[0], &want}, got); diff != "" {
			t.Error(diff)
		}
		half := want
		half.Live.Have = evcs.HasPower
		must(t, a.in(t, func(s station.Store) error { return s.UpdateConnector(ctx, evcs.Only(a.tenant), &half) }))
		got, err = db.Reader().Stations().Connectors(ctx, evcs.Only(a.tenant), a.charger.ID)
		must(t, err)
		if l := got[1].Live; l.Have != evcs.HasPower || l.Power != want.Live.Power || l.Voltage != 0 {
			t.Errorf("what was not measured is unknown, not zero: %+v", l)
		}
		a.stale(t, "an old version", func(s station.Store) error { return s.UpdateConnector(ctx, evcs.Only(a.tenant), &want) })
		a.stale(t, "a foreign scope", func(s station.Store) error { return s.UpdateConnector(ctx, evcs.Only(a.other), got[1]) })
		a.stale(t, "a foreign deletion", func(s station.Store) error { return s.DeleteConnector(ctx, evcs.Only(a.other), got[1]) })
	})
}

func TestCredentialsAndTagsKeepEveryField(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		read := db.Reader().Stations()
		none, err := read.Credential(ctx, evcs.Only(a.tenant), a.charger.ID)
		if err != nil || none.Version != 0 || none.SecurityProfile != 1 || none.Heartbeat != station.DefaultHeartbeat {
			t.Errorf("no credential yet: %+v %v", none, err)
		}
		for version := range int64(2) { // inserted, then updated
			var want station.Credential
			(&filler{n: int(version) * 40}).fill(t, &want)
			want.Charger, want.Tenant, want.Version = a.charger.ID, a.tenant, version
			must(t, a.in(t, func(s station.Store) error { v := want; return s.PutCredential(ctx, evcs.Only(a.tenant), &v) }))
			a.stale(t, "an old version", func(s station.Store) error { v := want; return s.PutCredential(ctx, evcs.Only(a.tenant), &v) })
			want.Version++
			a.stale(t, "a foreign scope", func(s station.Store) error { v := want; return s.PutCredential(ctx, evcs.Only(a.other), &v) })
			got, err := read.Credential(ctx, evcs.Subtree(1), a.charger.ID)
			must(t, err)
			if diff := cmp.Diff(&want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Error(diff)
			}
		}
		must(t, a.in(t, func(s station.Store) error { return s.DeleteCredential(ctx, evcs.Only(a.other), a.charger.ID) }))
		if c, err := read.Credential(ctx, evcs.Only(a.tenant), a.charger.ID); err != nil || c.Secret == "" {
			t.Errorf("another tenant revoked it: %v", err)
		}
		var want station.IDTag
		new(filler).fill(t, &want)
		want.Tenant = a.tenant
		must(t, a.in(t, func(s station.Store) error { return s.InsertIDTag(ctx, &want) }))
		a.stale(t, "a taken tag", func(s station.Store) error { v := want; return s.InsertIDTag(ctx, &v) })
		old := want
		(&filler{n: 60}).fill(t, &want)
		want.ID, want.Tenant, want.Created, want.Version, want.Blocked = old.ID, old.Tenant, old.Created, old.Version, false
		must(t, a.in(t, func(s station.Store) error { v := want; return s.UpdateIDTag(ctx, evcs.Only(a.tenant), &v) }))
		want.Version++
		for _, ask := range []func(s station.Store) (*station.IDTag, error){
			func(s station.Store) (*station.IDTag, error) { return s.IDTag(ctx, evcs.Subtree(1), want.ID) },
			func(s station.Store) (*station.IDTag, error) { return s.IDTagByTag(ctx, a.tenant, want.Tag) },
		} {
			must(t, a.in(t, func(s station.Store) error {
				got, err := ask(s)
				if diff := cmp.Diff(&want, got); diff != "" {
					t.Error(diff)
				}
				return err
			}))
		}
		a.stale(t, "an old version", func(s station.Store) error { return s.UpdateIDTag(ctx, evcs.Only(a.tenant), &old) })
		a.stale(t, "a foreign deletion", func(s station.Store) error { return s.DeleteIDTag(ctx, evcs.Only(a.other), &want, day) })
	})
}

// Another tenant sees nothing, whatever it asks for.
func TestAnotherTenantSeesNoAssets(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		stranger, everything := evcs.Only(a.other), evcs.PageRequest{Page: 1, Size: 100}
		must(t, a.in(t, func(s station.Store) error {
			return s.InsertIDTag(ctx, &station.IDTag{Tenant: a.tenant, Tag: "T1", Created: day, Updated: day})
		}))
		for _, scope := range []evcs.Scope{stranger, evcs.Subtree(a.other), evcs.Only(1), {}} { // the parent without its descendants neither
			must(t, a.in(t, func(s station.Store) error {
				for what, ask := range map[string]func() error{
					"station": func() error { _, err := s.Station(ctx, scope, a.station.ID); return err },
					"charger": func() error { _, err := s.Charger(ctx, scope, a.charger.ID); return err },
					"tag":     func() error { _, err := s.IDTag(ctx, scope, 1); return err },
				} {
					if err := ask(); err == nil {
						t.Errorf("%s is seen by %+v", what, scope)
					} else if code, _, _ := evcs.Classify(err); code != evcs.CodeStationNotFound && code != evcs.CodeChargerNotFound && code != evcs.CodeIDTagNotFound {
						t.Errorf("%s: %v", what, err)
					}
				}
				list, err := s.Connectors(ctx, scope, a.charger.ID)
				if len(list) > 0 {
					t.Errorf("connectors: %v", list)
				}
				return err
			}))
			r := db.Reader().Stations()
			stations, err := r.StationPage(ctx, scope, station.StationFilter{}, everything)
			must(t, err)
			chargers, err := r.ChargerPage(ctx, scope, station.ChargerFilter{}, everything)
			must(t, err)
			tags, err := r.IDTagPage(ctx, scope, station.IDTagFilter{}, everything)
			must(t, err)
			connectors, err := r.ConnectorList(ctx, scope, []evcs.ChargerID{a.charger.ID})
			must(t, err)
			census, err := r.Census(ctx, scope, 0)
			must(t, err)
			n, err := r.CountStations(ctx, scope, nil)
			must(t, err)
			near, err := r.Nearby(ctx, scope, station.NearFilter{}, station.Circle{RadiusKM: 21_000}, 100)
			must(t, err)
			if len(stations.Records)+len(chargers.Records)+len(tags.Records)+len(connectors)+len(near) > 0 || n > 0 || census != (station.Census{}) {
				t.Errorf("%+v sees %v %v %v %v %v %d %+v", scope, stations, chargers, tags, connectors, near, n, census)
			}
		}
	})
}

// together runs f n times at once and counts the answers by code; 0 is done.
func together(n int, f func(i int) error) map[evcs.Code]int {
	codes, all, mu := make(map[evcs.Code]int), sync.WaitGroup{}, sync.Mutex{}
	for i := range n {
		all.Go(func() {
			err := f(i)
			code, _, _ := evcs.Classify(err)
			if err == nil {
				code = 0
			}
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	all.Wait()
	return codes
}

func TestOneOfManySameCodesIsMade(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		got := together(8, func(int) error {
			_, err := a.registry.CreateStation(ctx, boss(), station.Station{Tenant: a.tenant, Code: "S2", Name: "Two", Type: 1})
			return err
		})
		if diff := cmp.Diff(map[evcs.Code]int{0: 1, evcs.CodeStationCodeExists: 7}, got); diff != "" {
			t.Errorf("stations: %s", diff)
		}
		got = together(8, func(int) error {
			_, _, err := a.fleet().Create(ctx, boss(), a.draft("C2"), 1)
			return err
		})
		if diff := cmp.Diff(map[evcs.Code]int{0: 1, evcs.CodeChargerCodeExists: 7}, got); diff != "" {
			t.Errorf("chargers: %s", diff)
		}
		got = together(8, func(i int) error {
			c := a.draft(fmt.Sprintf("D%d", i))
			c.DeviceID = "CP-9"
			_, _, err := a.fleet().Create(ctx, boss(), c, 1)
			return err
		})
		if diff := cmp.Diff(map[evcs.Code]int{0: 1, evcs.CodeDeviceIDExists: 7}, got); diff != "" {
			t.Errorf("device ids: %s", diff)
		}
		got = together(8, func(int) error {
			_, err := station.Tags{Registry: a.registry}.Create(ctx, boss(), station.IDTag{Tenant: a.tenant, Tag: "T1"})
			return err
		})
		if diff := cmp.Diff(map[evcs.Code]int{0: 1, evcs.CodeIDTagExists: 7}, got); diff != "" {
			t.Errorf("tags: %s", diff)
		}
	})
}

// A station is deleted or it has chargers, never both.
func TestDeletionAndCreationExclude(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		for round := range 5 {
			s, err := a.registry.CreateStation(ctx, boss(), station.Station{Tenant: a.tenant, Code: fmt.Sprintf("R%d", round), Type: 1})
			must(t, err)
			codes := together(2, func(i int) error {
				if i == 0 {
					return a.registry.DeleteStation(ctx, boss(), s.ID)
				}
				c := a.draft(fmt.Sprintf("RC%d", round))
				c.Station = s.ID
				_, _, err := a.fleet().Create(ctx, boss(), c, 1)
				return err
			})
			if codes[0] != 1 || codes[evcs.CodeStationNotFound]+codes[evcs.CodeStationHasChargers] != 1 {
				t.Errorf("round %d: %v", round, codes)
			}
		}
	})
}
