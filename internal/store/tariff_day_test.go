package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tariff"
)

func calendared(p *tariff.Plan) {
	p.Calendars = []tariff.Calendar{{
		Days: []tariff.DayClass{tariff.Saturday, tariff.Sunday, tariff.OnHoliday}, Segments: []tariff.Segment{{To: 1440, Kind: tariff.Valley, EnergyPrice: 50_000}},
	}}
}

// A special day makes a new revision of every plan that could be priced by it;
// what was frozen before keeps its own days.
func TestSpecialDaysAreFrozen(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		plain, with := a.plan(t, "plain"), a.plan(t, "with", calendared)
		national := []tariff.Holiday{{Date: "2026-10-02", CountsAs: tariff.OnHoliday}, {Date: "2026-10-01", Name: "国庆节", CountsAs: tariff.OnHoliday}}
		n, err := a.catalog().SetHolidays(ctx, boss(), a.tenant, national)
		if err != nil || n != 1 {
			t.Fatalf("%d plans frozen anew: %v", n, err)
		}
		r := db.Reader().Tariffs()
		read := func(id evcs.PlanID) (*tariff.Plan, *tariff.Snapshot) {
			t.Helper()
			p, err := r.Plan(ctx, evcs.Only(a.tenant), id)
			must(t, err)
			s, err := r.Snapshot(ctx, evcs.Only(a.tenant), p.Snapshot)
			must(t, err)
			return p, s
		}
		if p, s := read(plain.ID); p.Revision != 1 || s.Holidays != nil {
			t.Errorf("a plan without calendars: %+v %+v", p, s)
		}
		p, s := read(with.ID)
		if diff := cmp.Diff([]tariff.Holiday{national[1], national[0]}, s.Holidays); p.Revision != 2 || diff != "" {
			t.Errorf("revision %d: %s", p.Revision, diff)
		}
		if before, err := r.Snapshot(ctx, evcs.Only(a.tenant), with.Snapshot); err != nil || before.Holidays != nil || before.Revision != 1 {
			t.Errorf("what was frozen before: %+v %v", before, err)
		}
		if n, err := a.catalog().SetHolidays(ctx, boss(), a.tenant, national[:1]); err != nil || n != 0 {
			t.Errorf("said again: %d %v", n, err)
		}
		if n, err := a.catalog().SetHolidays(ctx, boss(), a.tenant, []tariff.Holiday{{Date: "2026-10-01", Name: "国庆节", CountsAs: tariff.Monday}}); err != nil || n != 1 {
			t.Errorf("another class: %d %v", n, err)
		}
		later := a.plan(t, "later", calendared)
		if _, s := read(later.ID); len(s.Holidays) != 2 || s.Holidays[0].CountsAs != tariff.Monday {
			t.Errorf("a plan made later: %+v", s)
		}
		removed, n, err := a.catalog().ClearHolidays(ctx, boss(), a.tenant, "2026-10-02", "2026-12-31")
		if err != nil || removed != 1 || n != 2 {
			t.Errorf("removed %d, %d plans: %v", removed, n, err)
		}
		left, err := r.Holidays(ctx, evcs.Only(a.tenant), "2026-01-01", "")
		if err != nil || len(left) != 1 || left[0].Date != "2026-10-01" {
			t.Errorf("left: %v %v", left, err)
		}
		if foreign, err := r.Holidays(ctx, evcs.Only(a.other), "", ""); err != nil || foreign != nil {
			t.Errorf("another tenant's: %v %v", foreign, err)
		}
	})
}

func TestBadSpecialDaysChangeNothing(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		with := a.plan(t, "with", calendared)
		many := make([]tariff.Holiday, tariff.MaxHolidays)
		for i := range many {
			many[i] = tariff.Holiday{Date: day.AddDate(0, 0, i).Format(time.DateOnly), CountsAs: tariff.OnHoliday}
		}
		if _, err := a.catalog().SetHolidays(ctx, boss(), a.tenant, many); err != nil {
			t.Fatal(err)
		}
		for want, given := range map[string][]tariff.Holiday{
			"days at most 400 special days are kept for a tenant":                               {{Date: "2000-01-01", CountsAs: tariff.OnHoliday}},
			"days[0].date is not a date: yyyy-MM-dd":                                            {{Date: "2026-02-30", CountsAs: tariff.OnHoliday}},
			"days[1].date is given twice":                                                       {{Date: "2026-02-10", CountsAs: tariff.Sunday}, {Date: "2026-02-10", CountsAs: tariff.Monday}},
			"days[0].countsAs is MON to SUN or HOLIDAY":                                         {{Date: "2026-02-10", CountsAs: "EASTER"}},
			"days[0].date is not a date: yyyy-MM-dd, days[0].countsAs is MON to SUN or HOLIDAY": {{Date: "tomorrow"}},
		} {
			_, err := a.catalog().SetHolidays(ctx, boss(), a.tenant, given)
			if got := faultWords(err); !errors.Is(err, evcs.ErrInvalid) || got != want {
				t.Errorf("%v: %q %v, want %q", given, got, err, want)
			}
		}
		if p, err := db.Reader().Tariffs().Plan(ctx, evcs.Only(a.tenant), with.ID); err != nil || p.Revision != 2 {
			t.Errorf("%+v %v", p, err)
		}
		if left, err := db.Reader().Tariffs().Holidays(ctx, evcs.Only(a.tenant), "", ""); err != nil || len(left) != len(many) {
			t.Errorf("%d days: %v", len(left), err)
		}
	})
}

// faultWords are the faults of an error as "field message, …".
func faultWords(err error) string {
	_, facts, _ := evcs.Classify(err)
	faults, _ := facts["errors"].([]evcs.FieldFault)
	words := make([]string, len(faults))
	for i, f := range faults {
		words[i] = f.Field + " " + f.Message
	}
	return strings.Join(words, ", ")
}

// Plans made and special days said at the same time: every plan ends up frozen
// with the days that there are.
func TestPlansAndSpecialDaysMeet(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		codes := together(12, func(i int) error {
			if i%2 == 0 {
				_, err := a.catalog().Create(ctx, boss(), a.flat(fmt.Sprint("P", i), calendared))
				return err
			}
			_, err := a.catalog().SetHolidays(ctx, boss(), a.tenant, []tariff.Holiday{{Date: fmt.Sprintf("2026-10-%02d", i), CountsAs: tariff.OnHoliday}})
			return err
		})
		r := db.Reader().Tariffs()
		days, err := r.Holidays(ctx, evcs.Only(a.tenant), "", "")
		must(t, err)
		plans, err := r.Calendared(ctx, evcs.Only(a.tenant))
		must(t, err)
		if len(days) != 6 || len(plans) != 6 {
			t.Fatalf("%d days, %d plans: %v", len(days), len(plans), codes)
		}
		for _, p := range plans {
			s, err := r.Snapshot(ctx, evcs.Only(a.tenant), p.Snapshot)
			must(t, err)
			if diff := cmp.Diff(days, s.Holidays); diff != "" {
				t.Errorf("plan %s, revision %d: %s", p.Code, p.Revision, diff)
			}
		}
	})
}

func TestImport(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		take := func(b tariff.Batch) (string, error) {
			b.Tenant = a.tenant
			done, err := a.catalog().Import(ctx, boss(), b)
			words := make([]string, len(done))
			for i, x := range done {
				words[i] = fmt.Sprintf("%s %s r%d", x.Plan.Code, x.Action, x.Plan.Revision)
			}
			return strings.Join(words, ", "), err
		}
		codes := func() string {
			var list []string
			for _, code := range []string{"A", "B", "C", "D"} {
				if p, err := db.Reader().Tariffs().PlanByCode(ctx, evcs.Only(a.tenant), code); err == nil {
					list = append(list, fmt.Sprintf("%s r%d", p.Code, p.Revision))
				} else if !errors.Is(err, tariff.ErrNotFound) {
					t.Error(err)
				}
			}
			return strings.Join(list, ", ")
		}
		dear := func(p *tariff.Plan) {
			p.Segments = []tariff.Segment{{To: 1440, Kind: tariff.Peak, EnergyPrice: 200_000}}
		}
		named := func(p *tariff.Plan) { p.Name = "another" }
		gap := func(p *tariff.Plan) { p.Segments = []tariff.Segment{{To: 720, Kind: tariff.Flat}} }
		here := func(p *tariff.Plan) { p.Station = a.station.ID }
		nowhere := func(p *tariff.Plan) { p.Station = 999 }
		two := []tariff.Plan{a.flat("A"), a.flat("B", calendared)}
		for _, x := range []struct {
			name   string
			batch  tariff.Batch
			say    string
			fault  string
			code   evcs.Code
			stands string
		}{
			{name: "a dry run", batch: tariff.Batch{Plans: two, Dry: true}, say: "A CREATED r1, B CREATED r1"},
			{name: "two", batch: tariff.Batch{Plans: two}, say: "A CREATED r1, B CREATED r1", stands: "A r1, B r1"},
			{name: "again", batch: tariff.Batch{Plans: two}, code: evcs.CodePlanCodeExists, stands: "A r1, B r1"},
			{name: "again, replacing", batch: tariff.Batch{Plans: two, Replace: true}, say: "A UNCHANGED r1, B UNCHANGED r1", stands: "A r1, B r1"},
			{
				name: "a new price, a new name, a new plan", batch: tariff.Batch{Plans: []tariff.Plan{a.flat("A", dear), a.flat("B", calendared, named), a.flat("C")}, Replace: true},
				say: "A UPDATED r2, B UPDATED r1, C CREATED r1", stands: "A r2, B r1, C r1",
			},
			{
				name: "all or none", batch: tariff.Batch{Plans: []tariff.Plan{a.flat("D"), a.flat("C", gap)}, Replace: true},
				code: evcs.CodePlanSegmentsInvalid, fault: "plans[1].segments 12:00 is not covered", stands: "A r2, B r1, C r1",
			},
			{
				name: "another station", batch: tariff.Batch{Plans: []tariff.Plan{a.flat("D"), a.flat("A", here)}, Replace: true},
				code: evcs.CodeValidationFailed, fault: "plans[1].stationId is fixed at creation", stands: "A r2, B r1, C r1",
			},
			{name: "no such station", batch: tariff.Batch{Plans: []tariff.Plan{a.flat("D", nowhere)}}, code: evcs.CodeStationNotFound, stands: "A r2, B r1, C r1"},
			{
				name: "one code twice", batch: tariff.Batch{Plans: []tariff.Plan{a.flat("D"), a.flat("D")}, Replace: true},
				code: evcs.CodeValidationFailed, fault: "plans[1].code is given twice", stands: "A r2, B r1, C r1",
			},
			{
				name: "a highest amount below the least", batch: tariff.Batch{Plans: []tariff.Plan{a.flat("D", func(p *tariff.Plan) { p.Fees.Min, p.Fees.Max = ptr(evcs.Money(2)), ptr(evcs.Money(1)) })}},
				code: evcs.CodeValidationFailed, fault: "plans[0].maxAmount is less than minAmount", stands: "A r2, B r1, C r1",
			},
		} {
			said, err := take(x.batch)
			code, _, _ := evcs.Classify(err)
			if err == nil {
				code = 0
			}
			if code != x.code || said != x.say || faultWords(err) != x.fault {
				t.Errorf("%s: %q, %v %q", x.name, said, err, faultWords(err))
			}
			if got := codes(); got != x.stands {
				t.Errorf("%s: now there are %s, want %s", x.name, got, x.stands)
			}
		}
	})
}

func TestCandidatesSayWhy(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		here := func(p *tariff.Plan) { p.Station = a.station.ID }
		own := a.plan(t, "own", func(p *tariff.Plan) { p.Enabled = false })
		a.plan(t, "wide")
		a.plan(t, "low", here, func(p *tariff.Plan) { p.Priority = -1 })
		a.plan(t, "old", here)
		a.plan(t, "past", here, func(p *tariff.Plan) { p.EndDate = "2026-02-09" })
		a.plan(t, "new", here)
		q := tariff.Question{Tenant: a.tenant, Station: a.station.ID, Charger: a.charger.ID, Own: own.ID, At: day, Zone: time.UTC}
		say := func() string {
			_, list, err := tariff.Weigh(ctx, db.Reader().Tariffs(), q)
			must(t, err)
			words := make([]string, len(list))
			for i, c := range list {
				words[i] = c.Plan.Code + " " + c.Why
			}
			return strings.Join(words, ", ")
		}
		if got := say(); got != "own DISABLED, new CHOSEN, past DATES, old OLDER, low PRIORITY, wide TENANT_WIDE" {
			t.Error(got)
		}
		mark := a.plan(t, "mark", here, func(p *tariff.Plan) { p.Default = true })
		if got := say(); got != "own DISABLED, mark CHOSEN, new DEFAULT, past DATES, old DEFAULT, low PRIORITY, wide TENANT_WIDE" {
			t.Error(got)
		}
		q.Own = mark.ID
		if got := say(); got != "mark CHOSEN, new ASSIGNED, past DATES, old ASSIGNED, low ASSIGNED, wide ASSIGNED" {
			t.Error(got)
		}
	})
}
