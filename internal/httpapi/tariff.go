package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// registerTariff declares what goes beyond one plan: special days, imports,
// explanations.
func (p Plans) registerTariff(plan func(id, method, path string, permission evcs.Permission, summary string, errors ...evcs.Code) operation) {
	taken := plan("importPlans", http.MethodPost, "/import", "billing:edit", "Take over billing plans, all or none",
		evcs.CodeStationNotFound, evcs.CodePlanCodeExists, evcs.CodePlanSegmentsInvalid, evcs.CodePlanLimit, evcs.CodeTenantNotFound)
	taken.Description = "A plan is created, or with replace=1 takes the place of the one with its code, whole: what it does not say is as for a new plan. " +
		"Unchanged prices keep their revision. A fault names the plan that has it (plans[2].segments[0]) and nothing is stored."
	register(p.s, taken, p.take)
	day := func(id, method string, permission evcs.Permission, summary string, errors ...evcs.Code) operation {
		return operation{
			ID: id, Method: method, Path: "/api/billing/holiday", Group: "billing", Permission: permission, Summary: summary,
			Errors: append(errors, evcs.CodeTenantNotFound),
			Description: "A special day counts as HOLIDAY or as a day of the week in the calendars of the tenant's own billing plans. A change makes a new revision " +
				"of every plan with calendars; running orders keep what was frozen at their start.",
		}
	}
	register(p.s, day("listHolidays", http.MethodGet, "billing:query", "The tenant's special days, by date"), p.holidays)
	set := day("setHolidays", http.MethodPost, "billing:edit", "Say what days count as, in the place of what was known of them")
	register(p.s, set, p.setHolidays)
	register(p.s, day("clearHolidays", http.MethodDelete, "billing:edit", "Forget the special days from a date to another"), p.clearHolidays)
	register(p.s, operation{
		ID: "explainPrice", Method: http.MethodPost, Path: "/api/billing/explain", Group: "billing", Permission: "billing:query",
		Summary: "Price a session that did not happen and say why, line by line",
		Description: "By the function that bills. With chargerId the plan is chosen as for a start at startTime, and every plan that came into question is listed " +
			"with the reason why it stands where it does.",
		Errors: []evcs.Code{evcs.CodePlanNotFound, evcs.CodeChargerNotFound, evcs.CodeNoBillingPlan},
	}, p.explain)
}

func (p Plans) take(ctx context.Context, a *evcs.Actor, in *struct{ Body api.ImportPlans }) (*[]api.ImportedPlan, error) {
	b := in.Body
	owner, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	batch := tariff.Batch{Tenant: owner, Replace: bool(orZero(b.Replace)), Dry: bool(orZero(b.DryRun))}
	for i, one := range b.Plans {
		if one.TenantID != nil && evcs.TenantID(*one.TenantID) != owner {
			return nil, evcs.Invalid(evcs.FieldFault{Field: fmt.Sprintf("plans[%d].tenantId", i), Message: "is fixed at creation"})
		}
		v, err := planOf(one)
		if err != nil {
			return nil, err
		}
		batch.Plans = append(batch.Plans, v)
	}
	done, err := p.Write.Import(ctx, a, batch)
	if err != nil {
		return nil, err
	}
	return api.Ptr(listOf(done, func(x tariff.Imported) api.ImportedPlan {
		out := api.ImportedPlan{Code: x.Plan.Code, PlanID: idOrNil(x.Plan.ID), Action: x.Action, Revision: x.Plan.Revision}
		if batch.Dry && x.Action == tariff.ImportCreated {
			out.PlanID = nil
		}
		return out
	})), nil
}

func holidaysJSON(list []tariff.Holiday) []api.Holiday {
	return listOf(list, func(h tariff.Holiday) api.Holiday {
		return api.Holiday{Date: api.Date(h.Date), Name: textOrNil(h.Name), CountsAs: string(h.CountsAs)}
	})
}

type holidayFilter struct {
	StartDate Opt[api.Date] `query:"startDate" doc:"First day, included; open when absent"`
	EndDate   Opt[api.Date] `query:"endDate" doc:"Last day, included; open when absent"`
	TenantID  Opt[int64]    `query:"tenantId" minimum:"1" doc:"Self or a descendant; the caller's own when absent"`
}

func (in *holidayFilter) span() (from, to string, err error) {
	from, to = string(in.StartDate.Or("")), string(in.EndDate.Or(""))
	if from != "" && to != "" && to < from {
		return "", "", evcs.Invalid(evcs.FieldFault{Field: "endDate", Message: "lies before startDate"})
	}
	return from, to, nil
}

func (p Plans) holidays(ctx context.Context, a *evcs.Actor, in *holidayFilter) (*[]api.Holiday, error) {
	from, to, err := in.span()
	if err != nil {
		return nil, err
	}
	owner := a.Tenant
	if in.TenantID.Set {
		owner = evcs.TenantID(in.TenantID.Value)
		if err := p.s.reach(ctx, a, owner, readDescendants); err != nil {
			return nil, err
		}
	}
	list, err := p.Read.Holidays(ctx, evcs.Only(owner), from, to)
	return api.Ptr(holidaysJSON(list)), err
}

func (p Plans) setHolidays(ctx context.Context, a *evcs.Actor, in *struct{ Body api.SetHolidays }) (*api.HolidaysChanged, error) {
	owner, err := p.s.createFor(ctx, a, in.Body.TenantID)
	if err != nil {
		return nil, err
	}
	days := listOf(in.Body.Days, func(d api.Holiday) tariff.Holiday {
		h := tariff.Holiday{Date: string(d.Date), Name: orZero(d.Name), CountsAs: tariff.DayClass(d.CountsAs)}
		if h.CountsAs == "" {
			h.CountsAs = tariff.OnHoliday
		}
		return h
	})
	plans, err := p.Write.SetHolidays(ctx, a, owner, days)
	if err != nil {
		return nil, err
	}
	return &api.HolidaysChanged{Days: int64(len(days)), Plans: plans}, nil
}

func (p Plans) clearHolidays(ctx context.Context, a *evcs.Actor, in *struct {
	StartDate api.Date   `query:"startDate" required:"true" doc:"First day, included"`
	EndDate   api.Date   `query:"endDate" required:"true" doc:"Last day, included"`
	TenantID  Opt[int64] `query:"tenantId" minimum:"1" doc:"Self or a descendant; the caller's own when absent"`
},
) (*api.HolidaysChanged, error) {
	if in.EndDate < in.StartDate {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "endDate", Message: "lies before startDate"})
	}
	var target *int64
	if in.TenantID.Set {
		target = &in.TenantID.Value
	}
	owner, err := p.s.createFor(ctx, a, target)
	if err != nil {
		return nil, err
	}
	removed, plans, err := p.Write.ClearHolidays(ctx, a, owner, string(in.StartDate), string(in.EndDate))
	if err != nil {
		return nil, err
	}
	return &api.HolidaysChanged{Days: removed, Plans: plans}, nil
}

// hypothesis is a session that did not happen: what it would be priced by, and
// why.
type hypothesis struct {
	snapshot   *tariff.Snapshot
	choice     string
	candidates []tariff.Candidate
	zone       *time.Location
}

func (p Plans) explain(ctx context.Context, a *evcs.Actor, in *struct{ Body api.ExplainRequest }) (*api.Explanation, error) {
	b := in.Body
	var h hypothesis
	var err error
	switch {
	case (b.PlanID == nil) == (b.ChargerID == nil):
		return nil, evcs.Invalid(evcs.FieldFault{Field: "planId", Message: "or chargerId is required, not both"})
	case (b.Energy == nil) == (len(b.Samples) == 0):
		return nil, evcs.Invalid(evcs.FieldFault{Field: "energy", Message: "or samples is required, not both"})
	case b.PlanID != nil:
		h, err = p.byPlan(ctx, a, evcs.PlanID(*b.PlanID))
	default:
		h, err = p.byCharger(ctx, a, evcs.ChargerID(*b.ChargerID), b.StartTime)
	}
	if err != nil {
		return nil, err
	}
	c, err := quoteCurve(api.QuoteRequest{StartTime: b.StartTime, EndTime: b.EndTime, Energy: b.Energy, Samples: b.Samples}, h.zone)
	if err != nil {
		return nil, err
	}
	x, err := tariff.Explain(*h.snapshot, c)
	if err != nil {
		return nil, err
	}
	out := explanationJSON(&charging.Explained{
		Explanation: x, Snapshot: h.snapshot, Choice: h.choice, Zone: h.zone, Start: c.Start, Stop: c.Stop, Energy: c.Total, Agrees: true,
	})
	out.Candidates = listOf(h.candidates, func(k tariff.Candidate) api.PlanCandidate {
		return api.PlanCandidate{
			PlanID: int64(k.Plan.ID), Code: k.Plan.Code, StationID: idOrNil(k.Plan.Station), Priority: k.Plan.Priority, IsDefault: api.Flag(k.Plan.Default), Why: k.Why,
		}
	})
	return out, nil
}

func (p Plans) byPlan(ctx context.Context, a *evcs.Actor, id evcs.PlanID) (hypothesis, error) {
	v, err := p.load(ctx, a, id)
	if err != nil {
		return hypothesis{}, err
	}
	zone, err := p.zone(ctx, v.Tenant, v.Station)
	if err != nil {
		return hypothesis{}, err
	}
	frozen, err := p.Read.Snapshot(ctx, evcs.Only(v.Tenant), v.Snapshot)
	return hypothesis{snapshot: frozen, choice: tariff.ChosenAsked, zone: zone}, err
}

func (p Plans) byCharger(ctx context.Context, a *evcs.Actor, id evcs.ChargerID, start api.Time) (hypothesis, error) {
	charger, err := p.Places.ChargerRow(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return hypothesis{}, err
	}
	if err := readable(ctx, a, charger.Tenant); err != nil {
		return hypothesis{}, err
	}
	zone, err := p.zone(ctx, charger.Tenant, charger.Station)
	if err != nil {
		return hypothesis{}, err
	}
	chosen, list, err := tariff.Weigh(ctx, p.Read, question(&charger.Charger, start.In(zone), zone))
	if err != nil {
		return hypothesis{}, err
	}
	frozen, err := p.Read.Snapshot(ctx, evcs.Only(charger.Tenant), chosen.Plan.Snapshot)
	return hypothesis{frozen, chosen.Reason, list, zone}, err
}

// explanationJSON is an explanation, without what is only of orders.
func explanationJSON(x *charging.Explained) *api.Explanation {
	out := &api.Explanation{
		Choice: textOrNil(x.Choice), Candidates: []api.PlanCandidate{}, TimeZone: x.Zone.String(), StartTime: api.AtMS(x.Start), EndTime: api.AtMS(x.Stop),
		Energy: api.KWh(x.Energy), Running: x.Running, Lines: make([]api.ExplainedLine, len(x.Steps)), DroppedSamples: listOf(x.Dropped, readingJSON),
		ElectricityAmount: api.Money(x.Bill.Electricity), ServiceAmount: api.Money(x.Bill.Service), ParkingAmount: api.Money(x.Bill.Parking),
		IdleAmount: api.Money(x.Bill.Idle), DiscountAmount: api.Money(x.Bill.Discount), Amount: api.Money(x.Bill.Amount), Agrees: x.Agrees,
	}
	if f := x.Snapshot; f != nil {
		out.PlanID, out.TariffSnapshotID, out.PlanCode, out.PlanName = idOrNil(f.Plan), idOrNil(f.ID), &f.PlanCode, &f.PlanName
		out.Revision = &f.Revision
	}
	for i, step := range x.Steps {
		out.Lines[i] = explainedJSON(i+1, x.Snapshot, step)
	}
	if !x.Agrees {
		out.BilledLines = linesJSON(x.Billed)
	}
	return out
}

func explainedJSON(no int, f *tariff.Snapshot, step tariff.Step) api.ExplainedLine {
	out := api.ExplainedLine{Line: lineJSON(no, step.Line), Arithmetic: step.Arithmetic}
	if step.Line.Kind != tariff.KindEnergy {
		return out
	}
	day := f.Segments
	if step.Calendar >= 0 {
		day, out.Calendar = f.Calendars[step.Calendar].Segments, &step.Calendar
	}
	for i, segment := range day {
		if segment == step.Segment {
			out.Segment = api.Ptr(segmentJSON(i, segment))
		}
	}
	out.Date, out.DayClass = api.Ptr(api.Date(step.Date)), api.Ptr(string(step.Class))
	out.DayName = textOrNil(step.DayName)
	out.Begins, out.Ends = api.Ptr(cutJSON(step.Begins)), api.Ptr(cutJSON(step.Ends))
	return out
}

func cutJSON(c tariff.Cut) api.Cut {
	out := api.Cut{Time: api.AtMS(c.At), Energy: api.KWh(c.Energy), How: c.How}
	if c.How == tariff.CutBetween || c.How == tariff.CutReading {
		out.Before = api.Ptr(readingJSON(c.Before))
	}
	if c.How == tariff.CutBetween {
		out.After = api.Ptr(readingJSON(c.After))
	}
	return out
}

func readingJSON(p tariff.Point) api.Reading {
	return api.Reading{Time: api.AtMS(p.At), Energy: api.KWh(p.Energy)}
}
