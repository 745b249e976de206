package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tariff"
)

func (a *assets) catalog() tariff.Catalog {
	return tariff.Catalog{Clock: fixed{day}, Transact: func(ctx context.Context, fn func(tariff.Tx) error) error {
		return a.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}}
}

// flat is an enabled plan of one price.
func (a *assets) flat(code string, change ...func(*tariff.Plan)) tariff.Plan {
	p := tariff.Plan{Tenant: a.tenant, Code: code, Name: code, Enabled: true, Segments: []tariff.Segment{{To: 1440, Kind: tariff.Flat, EnergyPrice: 100_000}}}
	for _, c := range change {
		c(&p)
	}
	return p
}

func (a *assets) plan(t *testing.T, code string, change ...func(*tariff.Plan)) *tariff.Plan {
	t.Helper()
	made, err := a.catalog().Create(t.Context(), boss(), a.flat(code, change...))
	must(t, err)
	return made
}

func TestPlansKeepEveryField(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		in := func(fn func(s tariff.Store) error) error {
			return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx.Tariffs()) })
		}
		var want tariff.Plan
		new(filler).fill(t, &want)
		want.Tenant = a.tenant
		must(t, in(func(s tariff.Store) error { return s.InsertPlan(ctx, &want) }))
		read := func() *tariff.Plan {
			got, err := db.Reader().Tariffs().Plan(ctx, evcs.Subtree(1), want.ID)
			must(t, err)
			return got
		}
		if diff := cmp.Diff(&want, read()); diff != "" {
			t.Errorf("inserted: %s", diff)
		}
		old := want
		(&filler{n: 80}).fill(t, &want)
		want.ID, want.Tenant, want.Station, want.Created, want.Version = old.ID, old.Tenant, old.Station, old.Created, old.Version
		want.Fees.IdleMax, want.StartDate, want.Remark, want.Enabled = nil, "", nil, false
		must(t, in(func(s tariff.Store) error { v := want; return s.UpdatePlan(ctx, evcs.Only(a.tenant), &v) }))
		want.Version++
		if diff := cmp.Diff(&want, read()); diff != "" {
			t.Errorf("updated: %s", diff)
		}
		for what, fn := range map[string]func(s tariff.Store) error{
			"an old version":     func(s tariff.Store) error { v := old; return s.UpdatePlan(ctx, evcs.Only(a.tenant), &v) },
			"a foreign scope":    func(s tariff.Store) error { v := want; return s.UpdatePlan(ctx, evcs.Only(a.other), &v) },
			"a foreign deletion": func(s tariff.Store) error { return s.DeletePlan(ctx, evcs.Only(a.other), &want, day) },
			"a taken code":       func(s tariff.Store) error { v := want; v.Default = false; return s.InsertPlan(ctx, &v) },
		} {
			if err := in(fn); !errors.Is(err, evcs.ErrStale) {
				t.Errorf("%s: %v, want stale", what, err)
			}
		}
		var frozen tariff.Snapshot
		(&filler{n: 30}).fill(t, &frozen)
		frozen.Tenant = a.tenant
		must(t, in(func(s tariff.Store) error { return s.Freeze(ctx, &frozen) }))
		got, err := db.Reader().Tariffs().Snapshot(ctx, evcs.Only(a.tenant), frozen.ID)
		if diff := cmp.Diff(&frozen, got); err != nil || diff != "" {
			t.Errorf("frozen: %v %s", err, diff)
		}
		r := db.Reader().Tariffs()
		if _, err := r.Snapshot(ctx, evcs.Subtree(a.other), frozen.ID); !errors.Is(err, tariff.ErrNotFound) {
			t.Errorf("a foreign snapshot: %v", err)
		}
		if _, err := r.Plan(ctx, evcs.Subtree(a.other), want.ID); !errors.Is(err, tariff.ErrNotFound) {
			t.Errorf("a foreign plan: %v", err)
		}
		if _, err := r.PlanByCode(ctx, evcs.Only(a.other), want.Code); !errors.Is(err, tariff.ErrNotFound) {
			t.Errorf("a foreign code: %v", err)
		}
	})
}

func TestARevisionIsFrozenWhenPricesChange(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		p := a.plan(t, "P")
		named, err := a.catalog().Update(ctx, boss(), p.ID, nil, func(p *tariff.Plan) error { p.Name = "other"; return nil })
		if err != nil || named.Revision != 1 || named.Snapshot != p.Snapshot {
			t.Errorf("a new name is no new price: %+v %v", named, err)
		}
		dear, err := a.catalog().Update(ctx, boss(), p.ID, &named.Version, func(p *tariff.Plan) error {
			p.Segments = []tariff.Segment{{To: 1440, Kind: tariff.Flat, EnergyPrice: 200_000}}
			return nil
		})
		if err != nil || dear.Revision != 2 || dear.Snapshot == p.Snapshot {
			t.Fatalf("a new price: %+v %v", dear, err)
		}
		fee, err := a.catalog().Update(ctx, boss(), p.ID, nil, func(p *tariff.Plan) error { p.Fees.IdleMinutePrice = ptr(evcs.UnitPrice(5)); return nil })
		if err != nil || fee.Revision != 3 {
			t.Errorf("a new fee: %+v %v", fee, err)
		}
		first, err := db.Reader().Tariffs().Snapshot(ctx, evcs.Only(a.tenant), p.Snapshot)
		if err != nil || first.Segments[0].EnergyPrice != 100_000 || first.Revision != 1 || first.PlanName != "P" {
			t.Errorf("the first prices are kept: %+v %v", first, err)
		}
		_, err = a.catalog().Update(ctx, boss(), p.ID, &named.Version, func(*tariff.Plan) error { return nil })
		if _, facts, _ := evcs.Classify(err); !errors.Is(err, evcs.ErrVersion) || facts["currentVersion"] != fee.Version {
			t.Errorf("an old version: %v %v", err, facts)
		}
	})
}

// The mark moves in one transaction, and one plan has it however many ask.
func TestTheDefaultMarkMoves(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		marked := func(p *tariff.Plan) { p.Default = true }
		here := func(p *tariff.Plan) { p.Station = a.station.ID }
		a.plan(t, "wide", marked)
		var ids []evcs.PlanID
		for i := range 4 {
			ids = append(ids, a.plan(t, fmt.Sprintf("P%d", i), marked, here).ID)
		}
		if got := together(8, func(i int) error { _, err := a.catalog().MakeDefault(ctx, boss(), ids[i%4]); return err }); got[0] != 8 {
			t.Errorf("%v", got)
		}
		page, err := db.Reader().Tariffs().PlanPage(ctx, evcs.Only(a.tenant), tariff.PlanFilter{Default: ptr(true)}, evcs.PageRequest{Page: 1, Size: 10})
		if err != nil || page.Total != 2 { // one of the tenant, one of the station
			t.Errorf("%d marks: %v", page.Total, err)
		}
		if wide, err := db.Reader().Tariffs().DefaultPlan(ctx, evcs.Only(a.tenant), 0); err != nil || wide == nil || wide.Code != "wide" {
			t.Errorf("the tenant's mark: %+v %v", wide, err)
		}
		if none, err := db.Reader().Tariffs().DefaultPlan(ctx, evcs.Only(a.other), 0); err != nil || none != nil {
			t.Errorf("another tenant's mark: %+v %v", none, err)
		}
	})
}

func TestPlansAreLimitedPerStation(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		for i := range 14 {
			a.plan(t, fmt.Sprintf("P%d", i))
		}
		off := a.plan(t, "off", func(p *tariff.Plan) { p.Enabled = false })
		got := together(6, func(i int) error {
			_, err := a.catalog().Create(ctx, boss(), a.flat(fmt.Sprintf("Q%d", i)))
			return err
		})
		if diff := cmp.Diff(map[evcs.Code]int{0: 2, evcs.CodePlanLimit: 4}, got); diff != "" {
			t.Error(diff)
		}
		if _, err := a.catalog().Update(ctx, boss(), off.ID, nil, func(p *tariff.Plan) error { p.Enabled = true; return nil }); !errors.Is(err, tariff.ErrLimit) {
			t.Errorf("the seventeenth: %v", err)
		}
		a.plan(t, "elsewhere", func(p *tariff.Plan) { p.Station = a.station.ID })
		if got := together(8, func(int) error {
			_, err := a.catalog().Create(ctx, boss(), a.flat("same", func(p *tariff.Plan) { p.Enabled = false }))
			return err
		}); got[0] != 1 || got[evcs.CodePlanCodeExists] != 7 {
			t.Errorf("one code: %v", got)
		}
	})
}

func TestAssignAndDelete(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		elsewhere, err := a.registry.CreateStation(ctx, boss(), station.Station{Tenant: a.tenant, Code: "S2", Type: 1})
		must(t, err)
		p, foreign := a.plan(t, "P"), a.plan(t, "F", func(p *tariff.Plan) { p.Station = elsewhere.ID })
		var touched []evcs.ChargerID
		catalog := a.catalog()
		catalog.Touched = func(id evcs.ChargerID) { touched = append(touched, id) }
		one := []evcs.ChargerID{a.charger.ID, a.charger.ID}
		if n, skipped, err := catalog.Assign(ctx, boss(), p.ID, one, false); n != 1 || len(skipped) != 0 || err != nil || len(touched) != 1 {
			t.Errorf("%d %v %v, told of %v", n, skipped, err, touched)
		}
		if c, err := db.Reader().Stations().Charger(ctx, evcs.Only(a.tenant), a.charger.ID); err != nil || c.Plan != p.ID || c.Version != a.charger.Version+1 {
			t.Errorf("%+v %v", c, err)
		}
		if _, skipped, err := catalog.Assign(ctx, boss(), foreign.ID, one, false); err != nil || len(skipped) != 1 || skipped[0].Reason != tariff.SkippedStation {
			t.Errorf("a plan of another station: %v %v", skipped, err)
		}
		if _, skipped, err := catalog.Assign(ctx, boss(), a.plan(t, "Q").ID, one, true); err != nil || len(skipped) != 1 || skipped[0].Reason != tariff.SkippedAssigned {
			t.Errorf("taking away what it has not: %v %v", skipped, err)
		}
		if _, _, err := catalog.Assign(ctx, boss(), p.ID, []evcs.ChargerID{9}, false); !errors.Is(err, station.ErrChargerNotFound) {
			t.Errorf("an unknown charger: %v", err)
		}
		err = catalog.Delete(ctx, boss(), p.ID)
		if _, facts, _ := evcs.Classify(err); !errors.Is(err, tariff.ErrInUse) || facts["chargers"] != int64(1) || facts["runningOrders"] != int64(0) {
			t.Errorf("in use: %v %v", err, facts)
		}
		if n, _, err := catalog.Assign(ctx, boss(), p.ID, one, true); n != 1 || err != nil {
			t.Errorf("%d %v", n, err)
		}
		must(t, catalog.Delete(ctx, boss(), p.ID))
		if _, err := catalog.Clone(ctx, boss(), p.ID, "x", "x", 0); !errors.Is(err, tariff.ErrNotFound) {
			t.Errorf("a deleted one: %v", err)
		}
		a.plan(t, "P") // its code is free again
	})
}

// Contract §8.3: the start's, the charger's, the station's, the tenant's.
func TestChoice(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		elsewhere, err := a.registry.CreateStation(ctx, boss(), station.Station{Tenant: a.tenant, Code: "S2", Type: 1})
		must(t, err)
		here := func(p *tariff.Plan) { p.Station = a.station.ID }
		there := func(p *tariff.Plan) { p.Station = elsewhere.ID }
		first := func(p *tariff.Plan) { p.Priority = 9 }
		off := func(p *tariff.Plan) { p.Enabled = false }
		dates := func(from, to string) func(*tariff.Plan) {
			return func(p *tariff.Plan) { p.StartDate, p.EndDate = from, to }
		}
		id := map[string]evcs.PlanID{}
		ask := func(own, asked string, at time.Time) (string, error) {
			q := tariff.Question{
				Tenant: a.tenant, Station: a.station.ID, Charger: a.charger.ID, Own: id[own], Asked: id[asked], At: at, Zone: time.FixedZone("", 8*3600),
			}
			got, err := tariff.Choose(ctx, db.Reader().Tariffs(), q)
			weighed, list, refusal := tariff.Weigh(ctx, db.Reader().Tariffs(), q)
			chosen := slices.IndexFunc(list, func(c tariff.Candidate) bool { return c.Why == tariff.WhyChosen })
			if !cmp.Equal(got, weighed) || (err == nil) != (refusal == nil) || err == nil && list[chosen].Plan.ID != got.Plan.ID {
				t.Errorf("weighed: %v %v %v", weighed, list, refusal)
			}
			return got.Reason + " " + got.Plan.Code, err
		}
		want := func(own, asked, say string) {
			t.Helper()
			if got, err := ask(own, asked, day); err != nil || got != say {
				t.Errorf("charger %q, start %q: %s, want %s; %v", own, asked, got, say, err)
			}
		}
		refused := func(asked string) {
			t.Helper()
			_, err := ask("", asked, day)
			var plan any
			if asked != "" {
				plan = id[asked]
			}
			facts := map[string]any{"stationId": a.station.ID, "chargerId": a.charger.ID, "billingPlanId": plan}
			_, got, _ := evcs.Classify(err)
			if diff := cmp.Diff(facts, got); !errors.Is(err, tariff.ErrNoPlan) || diff != "" {
				t.Errorf("start %q: %v %s", asked, err, diff)
			}
		}
		add := func(code string, change ...func(*tariff.Plan)) { id[code] = a.plan(t, code, change...).ID }
		refused("") // there is no built-in price
		add("off", here, first, off)
		add("there", there, first)
		add("past", here, first, dates("", "2026-02-09"))
		add("coming", here, first, dates("2026-02-11", ""))
		refused("")
		id["unknown"] = 999
		for _, asked := range []string{"off", "there", "past", "coming", "unknown"} {
			refused(asked)
		}
		add("wide-old")
		want("", "", "TENANT wide-old")
		add("wide-new")
		want("", "", "TENANT wide-new") // the newest of equals
		if _, err := a.catalog().MakeDefault(ctx, boss(), id["wide-old"]); err != nil {
			t.Error(err)
		}
		want("", "", "TENANT wide-old") // the default of equals
		add("wide-first", first)
		want("", "", "TENANT wide-first") // priority comes before the mark
		add("here")
		want("", "", "TENANT wide-first")
		add("station", here, func(p *tariff.Plan) { p.Priority = -1000 })
		want("", "", "STATION station") // the station's before any of the tenant's
		want("wide-old", "", "CHARGER wide-old")
		want("wide-old", "wide-new", "ASKED wide-new")
		for _, own := range []string{"off", "there", "past", "unknown"} {
			want(own, "", "STATION station") // a charger's plan that cannot be used is passed over
		}
		add("today", here, first, dates("2026-02-10", "2026-02-10"))
		want("", "", "STATION today")
		midnight := time.Date(2026, 2, 10, 16, 0, 0, 0, time.UTC) // the next day where the station is
		if got, err := ask("", "", midnight); err != nil || got != "STATION coming" {
			t.Errorf("after midnight: %s %v", got, err)
		}
	})
}
