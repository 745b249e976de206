package tariff

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Question is what decides which plan prices a session (contract §8.3).
type Question struct {
	Tenant  evcs.TenantID
	Station evcs.StationID
	Charger evcs.ChargerID
	Own     evcs.PlanID // the charger's plan, zero: none
	Asked   evcs.PlanID // the start's plan, zero: none
	At      time.Time
	Zone    *time.Location
}

// Chosen is the plan that prices a session, and why.
type Chosen struct {
	Plan   Plan
	Reason string // ChosenAsked, …
}

// The reasons of Chosen.
const (
	ChosenAsked   = "ASKED"
	ChosenCharger = "CHARGER"
	ChosenStation = "STATION"
	ChosenTenant  = "TENANT"
)

// String is the plan, its revision and the reason, for people.
func (c Chosen) String() string {
	return c.Plan.Code + " r" + strconv.FormatInt(c.Plan.Revision, 10) + " " + c.Reason
}

// Shelf is where Choose finds plans; Store is one.
type Shelf interface {
	Plan(ctx context.Context, scope evcs.Scope, id evcs.PlanID) (*Plan, error)
	Enabled(ctx context.Context, scope evcs.Scope, station evcs.StationID) ([]Plan, error)
}

// Choose finds the plan of a session: the one asked for, else the charger's,
// else the station's, else the tenant's, in their dates. An asked plan that
// cannot be used, and none at all, is 3007: there is no built-in price.
func Choose(ctx context.Context, s Shelf, q Question) (Chosen, error) {
	today := q.At.In(q.Zone).Format(time.DateOnly)
	for _, own := range []struct {
		id     evcs.PlanID
		reason string
	}{{q.Asked, ChosenAsked}, {q.Own, ChosenCharger}} {
		if own.id == 0 {
			continue
		}
		p, err := s.Plan(ctx, evcs.Only(q.Tenant), own.id)
		switch {
		case err == nil && p.usable(q.Station, today):
			return Chosen{*p, own.reason}, nil
		case err != nil && !errors.Is(err, ErrNotFound):
			return Chosen{}, err
		case own.id == q.Asked:
			return Chosen{}, q.none(own.id)
		}
	}
	plans, err := s.Enabled(ctx, evcs.Only(q.Tenant), q.Station)
	if err != nil {
		return Chosen{}, err
	}
	var best Plan
	for _, p := range plans { // the list may be somebody's memory: it stays as it is
		if p.usable(q.Station, today) && (best.ID == 0 || before(p, best) < 0) {
			best = p
		}
	}
	if best.ID == 0 {
		return Chosen{}, q.none(0)
	}
	if best.Station == 0 {
		return Chosen{best, ChosenTenant}, nil
	}
	return Chosen{best, ChosenStation}, nil
}

// Candidate is a plan that Choose looks at, and why it is or is not the one.
type Candidate struct {
	Plan Plan
	Why  string // WhyChosen, …
}

// The reasons of a Candidate.
const (
	WhyChosen   = "CHOSEN"
	WhyAssigned = "ASSIGNED"    // the charger's own plan, or the one asked for, goes first
	WhyDisabled = "DISABLED"    // assigned, but not enabled
	WhyDates    = "DATES"       // not valid on that day
	WhyStation  = "STATION"     // assigned, but of another station
	WhyWide     = "TENANT_WIDE" // a plan of the station goes first
	WhyPriority = "PRIORITY"    // another has a higher one
	WhyDefault  = "DEFAULT"     // another is the default
	WhyOlder    = "OLDER"       // another is newer
)

// Weigh is Choose with every plan that came into question, in the order in
// which they are taken; none is 3007 as well.
func Weigh(ctx context.Context, s Shelf, q Question) (Chosen, []Candidate, error) {
	chosen, err := Choose(ctx, s, q)
	if err != nil {
		return Chosen{}, nil, err
	}
	today := q.At.In(q.Zone).Format(time.DateOnly)
	var list []Candidate
	assigned := chosen.Reason == ChosenAsked || chosen.Reason == ChosenCharger
	if own := q.Own; own != 0 && chosen.Plan.ID != own && chosen.Reason != ChosenAsked {
		p, err := s.Plan(ctx, evcs.Only(q.Tenant), own)
		if err == nil {
			list = append(list, Candidate{*p, p.unusable(q.Station, today)})
		} else if !errors.Is(err, ErrNotFound) {
			return Chosen{}, nil, err
		}
	}
	list = append(list, Candidate{chosen.Plan, WhyChosen})
	plans, err := s.Enabled(ctx, evcs.Only(q.Tenant), q.Station)
	if err != nil {
		return Chosen{}, nil, err
	}
	for _, p := range slices.SortedFunc(slices.Values(plans), before) {
		if slices.ContainsFunc(list, func(c Candidate) bool { return c.Plan.ID == p.ID }) {
			continue
		}
		why := p.unusable(q.Station, today)
		switch {
		case why != "":
		case assigned:
			why = WhyAssigned
		default:
			why = behind(p, chosen.Plan)
		}
		list = append(list, Candidate{p, why})
	}
	return chosen, list, nil
}

// behind says by what p stands behind the chosen plan.
func behind(p, chosen Plan) string {
	switch {
	case wide(p) != wide(chosen):
		return WhyWide
	case p.Priority != chosen.Priority:
		return WhyPriority
	case p.Default != chosen.Default:
		return WhyDefault
	}
	return WhyOlder
}

// unusable says why the plan cannot price a session at the station today; ""
// when it can.
func (p *Plan) unusable(at evcs.StationID, today string) string {
	switch {
	case !p.Enabled:
		return WhyDisabled
	case p.Station != 0 && p.Station != at:
		return WhyStation
	case p.StartDate != "" && p.StartDate > today, p.EndDate != "" && today > p.EndDate:
		return WhyDates
	}
	return ""
}

// before orders plans: the station's first, then priority, default, newest.
func before(a, b Plan) int {
	return cmp.Or(
		cmp.Compare(wide(a), wide(b)),
		cmp.Compare(b.Priority, a.Priority),
		cmp.Compare(mark(b), mark(a)),
		cmp.Compare(b.ID, a.ID),
	)
}

func wide(p Plan) int {
	if p.Station == 0 {
		return 1
	}
	return 0
}

func mark(p Plan) int {
	if p.Default {
		return 1
	}
	return 0
}

// usable reports whether the plan may price a session at the station today.
func (p *Plan) usable(at evcs.StationID, today string) bool { return p.unusable(at, today) == "" }

func (q Question) none(asked evcs.PlanID) error {
	facts := map[string]any{"stationId": q.Station, "chargerId": q.Charger, "billingPlanId": nil}
	if asked != 0 {
		facts["billingPlanId"] = asked
	}
	return evcs.With(ErrNoPlan, facts)
}

// Covered is a segment and its place in its day.
type Covered struct {
	Segment Segment
	Index   int
}

// Covering is the segment of a moment and the one after it, with the moment it
// begins. The moment's location is the station's.
func (s *Snapshot) Covering(at time.Time) (now, next Covered, from time.Time, err error) {
	find := func(at time.Time) (Covered, time.Time, error) {
		day := s.on(at).segments
		found, until, err := covering(day, at)
		return Covered{found, slices.Index(day, found)}, until, err
	}
	if now, from, err = find(at); err != nil {
		return now, next, from, err
	}
	next, _, err = find(from)
	return now, next, from, err
}
