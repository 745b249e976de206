package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tariff"
)

// PlanReader reads billing plans; store.Tariffs satisfies it.
type PlanReader interface {
	tariff.Store
	PlanPage(ctx context.Context, scope evcs.Scope, want tariff.PlanFilter, r evcs.PageRequest) (evcs.Page[tariff.Plan], error)
}

// Plans are the operations of billing plans.
type Plans struct {
	Clock   evcs.Clock
	Read    PlanReader
	Write   tariff.Catalog
	Places  ChargerReader
	Tenants ChainReader

	s *Server
}

type planPath struct {
	PlanID evcs.PlanID `path:"planId"`
}

type planFilter struct {
	Paging
	StationID Opt[evcs.StationID] `query:"stationId" minimum:"1"`
	Name      string              `query:"name" maxLength:"100"`
	Code      string              `query:"code" maxLength:"64"`
	Status    []int               `query:"status" maxItems:"2" minimum:"0" maximum:"1"`
	IsDefault Opt[api.Flag]       `query:"isDefault"`
}

func (p Plans) register(s *Server) {
	p.s = s
	op := func(id, method, path string, permission evcs.Permission, summary string, errors ...evcs.Code) operation {
		return operation{
			ID: id, Method: method, Path: "/api/billing/plan" + path, Group: "billing", Permission: permission, Summary: summary,
			Errors: append(errors, evcs.CodePlanNotFound),
		}
	}
	registerList(s, operation{
		ID: "listPlans", Path: "/api/billing/plan", Group: "billing", Permission: "billing:query", Summary: "Billing plans, without their segments",
		Sorts: []string{"planId", "createTime", "code", "name", "priority"},
	}, p.list)
	create := op("createPlan", http.MethodPost, "", "billing:edit", "Create a billing plan",
		evcs.CodeStationNotFound, evcs.CodePlanCodeExists, evcs.CodePlanSegmentsInvalid, evcs.CodePlanLimit, evcs.CodeTenantNotFound)
	create.Said, create.ReadOnly = created, []any{api.Plan{}}
	register(s, create, p.create)
	register(s, op("validatePlan", http.MethodPost, "/validate", "billing:query", "Check segments without storing anything"), p.validate)
	register(s, op("getPlan", http.MethodGet, "/{planId}", "billing:query", "One billing plan with its segments"), p.get)
	update := op("updatePlan", http.MethodPut, "/{planId}", "billing:edit", "Change a billing plan; changed prices make a new revision",
		evcs.CodePlanCodeExists, evcs.CodePlanSegmentsInvalid, evcs.CodePlanLimit)
	update.ReadOnly = []any{api.Plan{}}
	register(s, update, p.update)
	register(s, op("deletePlan", http.MethodDelete, "/{planId}", "billing:edit", "Delete a billing plan that nothing uses", evcs.CodePlanInUse), p.remove)
	register(s, op("makeDefaultPlan", http.MethodPost, "/{planId}/default", "billing:edit", "Make it the default of its station or tenant"), p.makeDefault)
	clone := op("clonePlan", http.MethodPost, "/{planId}/clone", "billing:edit", "Copy a billing plan, disabled", evcs.CodePlanCodeExists, evcs.CodeStationNotFound)
	clone.Said = created
	register(s, clone, p.clone)
	register(s, op("assignPlan", http.MethodPost, "/{planId}/assign", "billing:assign", "Assign the plan to chargers, or take it away", evcs.CodeChargerNotFound), p.assign)
	register(s, op("quotePlan", http.MethodPost, "/{planId}/quote", "billing:query", "Price a session that did not happen, by the function that bills; by the plan's newest revision"), p.quote)
	p.registerTariff(op)
	register(s, operation{
		ID: "effectivePlan", Method: http.MethodGet, Path: "/api/billing/effective", Group: "billing", Permission: "billing:query",
		Summary: "The plan and segment a charger would bill by", Errors: []evcs.Code{evcs.CodeChargerNotFound, evcs.CodeNoBillingPlan},
	}, p.effective)
	register(s, operation{
		ID: "getSnapshot", Method: http.MethodGet, Path: "/api/billing/snapshot/{tariffSnapshotId}", Group: "billing", Permission: "billing:query",
		Summary: "Frozen prices", Errors: []evcs.Code{evcs.CodePlanNotFound},
	}, p.snapshot)
}

func (p Plans) list(ctx context.Context, a *evcs.Actor, in *planFilter, page evcs.PageRequest) (evcs.Page[api.Plan], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Plan]{}, err
	}
	found, err := p.Read.PlanPage(ctx, scope, tariff.PlanFilter{
		Station: in.StationID.Or(0), Name: in.Name, Code: in.Code, Status: in.Status, Default: flagPtr(in.IsDefault),
	}, page)
	return pageOf(found, func(v tariff.Plan) api.Plan {
		out := planJSON(&v)
		out.Segments, out.Calendars = nil, nil
		return out
	}), err
}

func planJSON(v *tariff.Plan) api.Plan {
	kind, all := "TOU", tariff.All(v.Segments, v.Calendars)
	if tariff.Fixed(all) {
		kind = "FIXED"
	}
	return api.Plan{
		PlanID: int64(v.ID), TenantID: int64(v.Tenant), StationID: idOrNil(v.Station), Name: v.Name, Code: v.Code, Status: flagOf(v.Enabled),
		IsDefault: api.Flag(v.Default), Priority: v.Priority, EffectiveStartDate: dateOrNil(v.StartDate), EffectiveEndDate: dateOrNil(v.EndDate),
		Segments: segmentsJSON(v.Segments), Calendars: calendarsJSON(v.Calendars), StartFee: (*api.Money)(v.Fees.Start), MinAmount: (*api.Money)(v.Fees.Min),
		MaxAmount: (*api.Money)(v.Fees.Max), IdleFreeMinutes: v.Fees.IdleFreeMinutes, IdleMinutePrice: (*api.Price)(v.Fees.IdleMinutePrice),
		IdleMaxAmount: (*api.Money)(v.Fees.IdleMax), ParkingFreeMinutes: v.Fees.ParkingFreeMinutes, ParkingHourPrice: (*api.Price)(v.Fees.ParkingHourPrice),
		Kind: kind, Revision: v.Revision, TariffSnapshotID: int64(v.Snapshot), GridMinutes: tariff.GridMinutes(all),
		Pushable: len(v.Calendars) == 0 && tariff.Pushable(v.Segments),
		Remark:   v.Remark, CreateTime: api.At(v.Created), UpdateTime: api.At(v.Updated), Version: v.Version,
	}
}

func dateOrNil(s string) *api.Date {
	if s == "" {
		return nil
	}
	return api.Ptr(api.Date(s))
}

func segmentsJSON(list []tariff.Segment) []api.Segment {
	out := make([]api.Segment, len(list))
	for i, s := range list {
		out[i] = segmentJSON(i, s)
	}
	return out
}

func segmentJSON(i int, s tariff.Segment) api.Segment {
	return api.Segment{
		SegmentIndex: i, StartTime: tariff.HHMM(s.From), EndTime: tariff.HHMM(s.To), PeriodKind: string(s.Kind), EnergyPrice: api.Price(s.EnergyPrice),
		ServiceFee: api.Price(s.ServicePrice),
	}
}

func calendarsJSON(list []tariff.Calendar) []api.Calendar {
	return listOf(list, func(c tariff.Calendar) api.Calendar {
		return api.Calendar{
			Days: listOf(c.Days, func(d tariff.DayClass) string { return string(d) }), Segments: segmentsJSON(c.Segments),
		}
	})
}

// calendarDrafts reads calendars as somebody wrote them.
func calendarDrafts(list []api.Calendar) ([]tariff.Calendar, error) {
	out := make([]tariff.Calendar, len(list))
	for i, c := range list {
		segments, err := drafts(c.Segments)
		if err != nil {
			return nil, err
		}
		out[i] = tariff.Calendar{Days: listOf(c.Days, func(d string) tariff.DayClass { return tariff.DayClass(d) }), Segments: segments}
	}
	return out, nil
}

// drafts reads segments as somebody wrote them; their texts fit the schema.
func drafts(list []api.Segment) ([]tariff.Draft, error) {
	out := make([]tariff.Draft, len(list))
	var faults []evcs.FieldFault
	for i, s := range list {
		from, okFrom := minuteOf(s.StartTime)
		to, okTo := minuteOf(s.EndTime)
		if !okFrom || !okTo {
			faults = append(faults, evcs.FieldFault{Field: fmt.Sprintf("segments[%d]", i), Message: "times are HH:mm"})
			continue
		}
		out[i] = tariff.Draft{
			From: from, To: to, Kind: tariff.PeriodKind(s.PeriodKind), EnergyPrice: evcs.UnitPrice(s.EnergyPrice), ServicePrice: evcs.UnitPrice(s.ServiceFee),
		}
	}
	return out, evcs.Invalid(faults...)
}

func minuteOf(text string) (int, bool) {
	var hour, minute int
	if _, err := fmt.Sscanf(text, "%02d:%02d", &hour, &minute); err != nil || len(text) != 5 || hour > 24 || minute > 59 || hour == 24 && minute > 0 {
		return 0, false
	}
	return hour*60 + minute, true
}

func (p Plans) create(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreatePlan }) (*api.Plan, error) {
	b := in.Body
	owner, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	v, err := planOf(b)
	if err != nil {
		return nil, err
	}
	v.Tenant = owner
	made, err := p.Write.Create(ctx, a, v)
	if err != nil {
		return nil, err
	}
	return api.Ptr(planJSON(made)), nil
}

// planOf is a plan as somebody wrote it, without its tenant.
func planOf(b api.CreatePlan) (tariff.Plan, error) {
	segments, err := drafts(b.Segments)
	if err != nil {
		return tariff.Plan{}, err
	}
	calendars, err := calendarDrafts(b.Calendars)
	return tariff.Plan{
		Station: evcs.StationID(orZero(b.StationID)), Code: b.Code, Name: b.Name, Enabled: b.Status == nil || *b.Status == 1,
		Default: bool(orZero(b.IsDefault)), Priority: orZero(b.Priority), StartDate: string(orZero(b.EffectiveStartDate)),
		EndDate: string(orZero(b.EffectiveEndDate)), Segments: segments, Calendars: calendars, Remark: b.Remark,
		Fees: tariff.Fees{
			Start: (*evcs.Money)(b.StartFee), Min: (*evcs.Money)(b.MinAmount), Max: (*evcs.Money)(b.MaxAmount),
			IdleFreeMinutes: orZero(b.IdleFreeMinutes), IdleMinutePrice: (*evcs.UnitPrice)(b.IdleMinutePrice), IdleMax: (*evcs.Money)(b.IdleMaxAmount),
			ParkingFreeMinutes: orZero(b.ParkingFreeMinutes), ParkingHourPrice: (*evcs.UnitPrice)(b.ParkingHourPrice),
		},
	}, err
}

func (p Plans) get(ctx context.Context, a *evcs.Actor, in *planPath) (*api.Plan, error) {
	v, err := p.load(ctx, a, in.PlanID)
	if err != nil {
		return nil, err
	}
	return api.Ptr(planJSON(v)), nil
}

func (p Plans) load(ctx context.Context, a *evcs.Actor, id evcs.PlanID) (*tariff.Plan, error) {
	v, err := p.Read.Plan(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	return v, readable(ctx, a, v.Tenant)
}

func (p Plans) update(ctx context.Context, a *evcs.Actor, in *struct {
	planPath
	Body api.UpdatePlan
},
) (*api.Plan, error) {
	made, err := p.Write.Update(ctx, a, in.PlanID, in.Body.Version, func(v *tariff.Plan) error { return applyPlan(v, in.Body) })
	if err != nil {
		return nil, err
	}
	return api.Ptr(planJSON(made)), nil
}

func applyPlan(v *tariff.Plan, b api.UpdatePlan) error {
	at := b.StationID.Value // null is 0, as tenant-wide is
	if !b.StationID.Set {
		at = int64(v.Station)
	}
	if err := cmp.Or(fixed("tenantId", b.TenantID, int64(v.Tenant)), fixed("stationId", &at, int64(v.Station))); err != nil {
		return err
	}
	put(&v.Name, b.Name)
	put(&v.Code, b.Code)
	put(&v.Priority, b.Priority)
	put(&v.Fees.IdleFreeMinutes, b.IdleFreeMinutes)
	put(&v.Fees.ParkingFreeMinutes, b.ParkingFreeMinutes)
	if b.Status != nil {
		v.Enabled = *b.Status == 1
	}
	if b.IsDefault != nil {
		v.Default = bool(*b.IsDefault)
	}
	if b.EffectiveStartDate.Set {
		v.StartDate = string(b.EffectiveStartDate.Value)
	}
	if b.EffectiveEndDate.Set {
		v.EndDate = string(b.EffectiveEndDate.Value)
	}
	if b.StartFee.Set {
		v.Fees.Start = (*evcs.Money)(b.StartFee.Ptr())
	}
	if b.MinAmount.Set {
		v.Fees.Min = (*evcs.Money)(b.MinAmount.Ptr())
	}
	if b.MaxAmount.Set {
		v.Fees.Max = (*evcs.Money)(b.MaxAmount.Ptr())
	}
	if b.IdleMinutePrice.Set {
		v.Fees.IdleMinutePrice = (*evcs.UnitPrice)(b.IdleMinutePrice.Ptr())
	}
	if b.IdleMaxAmount.Set {
		v.Fees.IdleMax = (*evcs.Money)(b.IdleMaxAmount.Ptr())
	}
	if b.ParkingHourPrice.Set {
		v.Fees.ParkingHourPrice = (*evcs.UnitPrice)(b.ParkingHourPrice.Ptr())
	}
	b.Remark.Into(&v.Remark)
	var err error
	if b.Calendars.Set {
		if v.Calendars, err = calendarDrafts(b.Calendars.Value); err != nil {
			return err
		}
	}
	if b.Segments != nil {
		v.Segments, err = drafts(*b.Segments)
	}
	return err
}

func (p Plans) remove(ctx context.Context, a *evcs.Actor, in *planPath) (*Null, error) {
	return nil, p.Write.Delete(ctx, a, in.PlanID)
}

func (p Plans) makeDefault(ctx context.Context, a *evcs.Actor, in *planPath) (*api.Plan, error) {
	made, err := p.Write.MakeDefault(ctx, a, in.PlanID)
	if err != nil {
		return nil, err
	}
	return api.Ptr(planJSON(made)), nil
}

func (p Plans) clone(ctx context.Context, a *evcs.Actor, in *struct {
	planPath
	Body api.ClonePlan
},
) (*api.Plan, error) {
	made, err := p.Write.Clone(ctx, a, in.PlanID, in.Body.Name, in.Body.Code, evcs.StationID(orZero(in.Body.StationID)))
	if err != nil {
		return nil, err
	}
	return api.Ptr(planJSON(made)), nil
}

func (p Plans) assign(ctx context.Context, a *evcs.Actor, in *struct {
	planPath
	Body api.AssignPlan
},
) (*api.PlanAssigned, error) {
	ids := make([]evcs.ChargerID, len(in.Body.ChargerIDs))
	for i, id := range in.Body.ChargerIDs {
		ids[i] = evcs.ChargerID(id)
	}
	n, skipped, err := p.Write.Assign(ctx, a, in.PlanID, ids, bool(orZero(in.Body.Unassign)))
	if err != nil {
		return nil, err
	}
	return &api.PlanAssigned{Assigned: int64(n), Skipped: listOf(skipped, func(s tariff.Skipped) api.Skipped {
		return api.Skipped{ChargerID: int64(s.Charger), Reason: s.Reason}
	})}, nil
}

func (p Plans) validate(_ context.Context, _ *evcs.Actor, in *struct{ Body api.ValidatePlan }) (*api.PlanValidity, error) {
	out := &api.PlanValidity{Errors: []api.Fault{}, Slots: []string{}}
	list, calendars, err := normalized(in.Body)
	if err != nil {
		_, facts, _ := evcs.Classify(err)
		faults, _ := facts["errors"].([]evcs.FieldFault)
		out.Errors = listOf(faults, func(f evcs.FieldFault) api.Fault { return api.Fault{Field: f.Field, Message: f.Message} })
		return out, nil
	}
	out.Valid, out.GridMinutes = true, tariff.GridMinutes(tariff.All(list, calendars))
	out.Pushable = len(calendars) == 0 && tariff.Pushable(list)
	for _, kind := range tariff.Slots(list) {
		out.Slots = append(out.Slots, string(kind))
	}
	return out, nil
}

func normalized(b api.ValidatePlan) ([]tariff.Segment, []tariff.Calendar, error) {
	list, err := drafts(b.Segments)
	if err == nil {
		list, err = tariff.Normalize(list)
	}
	if err != nil {
		return nil, nil, err
	}
	calendars, err := calendarDrafts(b.Calendars)
	if err == nil {
		calendars, err = tariff.NormalizeCalendars(calendars)
	}
	return list, calendars, err
}

func (p Plans) quote(ctx context.Context, a *evcs.Actor, in *struct {
	planPath
	Body api.QuoteRequest
},
) (*api.Quote, error) {
	v, err := p.load(ctx, a, in.PlanID)
	if err != nil {
		return nil, err
	}
	zone, err := p.zone(ctx, v.Tenant, v.Station)
	if err != nil {
		return nil, err
	}
	curve, err := quoteCurve(in.Body, zone)
	if err != nil {
		return nil, err
	}
	frozen, err := p.Read.Snapshot(ctx, evcs.Only(v.Tenant), v.Snapshot)
	if err != nil {
		return nil, err
	}
	bill, err := tariff.Price(*frozen, curve)
	if err != nil {
		return nil, err
	}
	return &api.Quote{
		Lines: linesJSON(bill.Lines), ElectricityAmount: api.Money(bill.Electricity), ServiceAmount: api.Money(bill.Service),
		ParkingAmount: api.Money(bill.Parking), IdleAmount: api.Money(bill.Idle), DiscountAmount: api.Money(bill.Discount), Amount: api.Money(bill.Amount),
	}, nil
}

// maxQuote bounds what one quote may compute.
const maxQuote = 31 * 24 * time.Hour

func quoteCurve(b api.QuoteRequest, zone *time.Location) (tariff.Curve, error) {
	c := tariff.Curve{Zone: zone, Start: b.StartTime.In(zone), Stop: b.EndTime.In(zone)}
	switch {
	case c.Stop.Before(c.Start):
		return c, evcs.Invalid(evcs.FieldFault{Field: "endTime", Message: "lies before startTime"})
	case c.Stop.Sub(c.Start) > maxQuote:
		return c, evcs.Invalid(evcs.FieldFault{Field: "endTime", Message: "is more than 31 days after startTime"})
	case (b.Energy == nil) == (len(b.Samples) == 0):
		return c, evcs.Invalid(evcs.FieldFault{Field: "energy", Message: "or samples is required, not both"})
	case b.Energy != nil:
		c.Total = evcs.Energy(*b.Energy)
		return c, nil
	}
	return quoteSamples(c, b.Samples)
}

// quoteSamples makes a curve of register values, whatever their order.
func quoteSamples(c tariff.Curve, samples []api.QuoteSample) (tariff.Curve, error) {
	sorted := slices.SortedStableFunc(slices.Values(samples), func(x, y api.QuoteSample) int {
		return x.Time.In(c.Zone).Compare(y.Time.In(c.Zone))
	})
	first, last := sorted[0], sorted[len(sorted)-1]
	switch {
	case first.Time.In(c.Zone).Before(c.Start) || last.Time.In(c.Zone).After(c.Stop):
		return c, evcs.Invalid(evcs.FieldFault{Field: "samples", Message: "lie outside startTime to endTime"})
	case last.Meter < first.Meter:
		return c, evcs.Invalid(evcs.FieldFault{Field: "samples", Message: "end below their beginning"})
	}
	for _, s := range sorted {
		c.Points = append(c.Points, tariff.Point{At: s.Time.In(c.Zone), Energy: evcs.Energy(s.Meter - first.Meter)})
	}
	c.Total = evcs.Energy(last.Meter - first.Meter)
	return c, nil
}

// zone is the zone whose wall clock names the segments.
func (p Plans) zone(ctx context.Context, owner evcs.TenantID, at evcs.StationID) (*time.Location, error) {
	chain, err := p.Tenants.Chain(ctx, owner)
	if err != nil {
		return nil, err
	}
	zone := chain.Settings().Zone()
	if at == 0 {
		return zone, nil
	}
	place, err := p.Places.Station(ctx, evcs.Only(owner), at)
	if err != nil {
		return nil, err
	}
	return place.Zone(zone), nil
}

func (p Plans) effective(ctx context.Context, a *evcs.Actor, in *struct {
	ChargerID evcs.ChargerID `query:"chargerId" required:"true" minimum:"1"`
	At        Opt[api.Time]  `query:"at" doc:"Now when absent"`
},
) (*api.EffectivePlan, error) {
	charger, err := p.Places.ChargerRow(ctx, evcs.Subtree(a.Tenant), in.ChargerID)
	if err != nil {
		return nil, err
	}
	if err := readable(ctx, a, charger.Tenant); err != nil {
		return nil, err
	}
	zone, err := p.zone(ctx, charger.Tenant, charger.Station)
	if err != nil {
		return nil, err
	}
	at := p.Clock.Now()
	if in.At.Set {
		at = in.At.Value.In(a.Zone)
	}
	chosen, err := tariff.Choose(ctx, p.Read, question(&charger.Charger, at, zone))
	if err != nil {
		return nil, err
	}
	frozen, err := p.Read.Snapshot(ctx, evcs.Only(charger.Tenant), chosen.Plan.Snapshot)
	if err != nil {
		return nil, err
	}
	now, next, _, err := frozen.Covering(at.In(zone))
	if err != nil {
		return nil, err
	}
	out := &api.EffectivePlan{PlanID: int64(chosen.Plan.ID), Reason: chosen.Reason, Segment: segmentJSON(now.Index, now.Segment)}
	if next.Segment != now.Segment {
		out.Next = api.Ptr(segmentJSON(next.Index, next.Segment))
	}
	return out, nil
}

func question(c *station.Charger, at time.Time, zone *time.Location) tariff.Question {
	return tariff.Question{Tenant: c.Tenant, Station: c.Station, Charger: c.ID, Own: c.Plan, At: at, Zone: zone}
}

func (p Plans) snapshot(ctx context.Context, a *evcs.Actor, in *struct {
	TariffSnapshotID evcs.SnapshotID `path:"tariffSnapshotId"`
},
) (*api.Snapshot, error) {
	f, err := p.Read.Snapshot(ctx, evcs.Subtree(a.Tenant), in.TariffSnapshotID)
	if err != nil {
		return nil, err
	}
	if err := readable(ctx, a, f.Tenant); err != nil {
		return nil, err
	}
	return &api.Snapshot{
		TariffSnapshotID: int64(f.ID), PlanID: int64(f.Plan), TenantID: int64(f.Tenant), Revision: f.Revision, Name: f.PlanName, Code: f.PlanCode,
		Segments: segmentsJSON(f.Segments), Calendars: calendarsJSON(f.Calendars), Holidays: holidaysJSON(f.Holidays), StartFee: (*api.Money)(f.Fees.Start),
		MinAmount: (*api.Money)(f.Fees.Min), MaxAmount: (*api.Money)(f.Fees.Max), IdleFreeMinutes: f.Fees.IdleFreeMinutes, IdleMinutePrice: (*api.Price)(f.Fees.IdleMinutePrice),
		IdleMaxAmount: (*api.Money)(f.Fees.IdleMax), ParkingFreeMinutes: f.Fees.ParkingFreeMinutes, ParkingHourPrice: (*api.Price)(f.Fees.ParkingHourPrice),
		CreateTime: api.At(f.Created),
	}, nil
}
