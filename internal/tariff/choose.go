package tariff

import (
	"cmp"
	"context"
	"errors"
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
	Reason string // ASKED, CHARGER, STATION, TENANT
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
	}{{q.Asked, "ASKED"}, {q.Own, "CHARGER"}} {
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
		return Chosen{best, "TENANT"}, nil
	}
	return Chosen{best, "STATION"}, nil
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
func (p *Plan) usable(at evcs.StationID, today string) bool {
	return p.Enabled && (p.Station == 0 || p.Station == at) &&
		(p.StartDate == "" || p.StartDate <= today) && (p.EndDate == "" || today <= p.EndDate)
}

func (q Question) none(asked evcs.PlanID) error {
	facts := map[string]any{"stationId": q.Station, "chargerId": q.Charger, "billingPlanId": nil}
	if asked != 0 {
		facts["billingPlanId"] = asked
	}
	return evcs.With(ErrNoPlan, facts)
}

// Covering is the segment of a moment and the one after it, with the moment it
// begins.
func Covering(segments []Segment, at time.Time) (now, next Segment, from time.Time, err error) {
	now, from, err = covering(segments, at)
	if err != nil {
		return now, next, from, err
	}
	next, _, err = covering(segments, from)
	return now, next, from, err
}
