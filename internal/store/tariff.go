package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// Tariffs keeps billing plans, frozen prices and special days. It implements
// tariff.Store.
type Tariffs struct {
	Days
	q querier
}

// Tariffs is the plans as this transaction sees and changes them.
func (tx *Tx) Tariffs() tariff.Store { return Tariffs{Days{tx.q}, tx.q} }

// Tariffs is the committed plans.
func (r Reader) Tariffs() Tariffs { return Tariffs{Days{r.q}, r.q} }

// segmentRow and pricesRow are segments and frozen prices as JSON keeps them.
// Rows of a released version stay readable for ever.
type segmentRow struct {
	From    int               `json:"from"`
	To      int               `json:"to"`
	Kind    tariff.PeriodKind `json:"kind"`
	Energy  int64             `json:"energy"`
	Service int64             `json:"service"`
}

type calendarRow struct {
	Days     []tariff.DayClass `json:"days"`
	Segments []segmentRow      `json:"segments"`
}

type holidayRow struct {
	Day      string          `json:"day"`
	Name     string          `json:"name,omitempty"`
	CountsAs tariff.DayClass `json:"as"`
}

type pricesRow struct {
	Code               string        `json:"code"`
	Name               string        `json:"name"`
	Segments           []segmentRow  `json:"segments"`
	Calendars          []calendarRow `json:"calendars,omitempty"`
	Holidays           []holidayRow  `json:"holidays,omitempty"`
	StartFee           *int64        `json:"startFee,omitempty"`
	MinAmount          *int64        `json:"minAmount,omitempty"`
	MaxAmount          *int64        `json:"maxAmount,omitempty"`
	IdleFreeMinutes    int64         `json:"idleFreeMinutes,omitempty"`
	IdleMinutePrice    *int64        `json:"idleMinutePrice,omitempty"`
	IdleMax            *int64        `json:"idleMax,omitempty"`
	ParkingFreeMinutes int64         `json:"parkingFreeMinutes,omitempty"`
	ParkingHourPrice   *int64        `json:"parkingHourPrice,omitempty"`
}

func segmentRows(list []tariff.Segment) []segmentRow {
	rows := make([]segmentRow, len(list))
	for i, s := range list {
		rows[i] = segmentRow{From: s.From, To: s.To, Kind: s.Kind, Energy: int64(s.EnergyPrice), Service: int64(s.ServicePrice)}
	}
	return rows
}

func segmentsOf(rows []segmentRow) []tariff.Segment {
	list := make([]tariff.Segment, len(rows))
	for i, r := range rows {
		list[i] = tariff.Segment{From: r.From, To: r.To, Kind: r.Kind, EnergyPrice: evcs.UnitPrice(r.Energy), ServicePrice: evcs.UnitPrice(r.Service)}
	}
	return list
}

func calendarRows(list []tariff.Calendar) []calendarRow {
	rows := make([]calendarRow, len(list))
	for i, c := range list {
		rows[i] = calendarRow{c.Days, segmentRows(c.Segments)}
	}
	return rows
}

func calendarsOf(rows []calendarRow) []tariff.Calendar {
	var list []tariff.Calendar
	for _, r := range rows {
		list = append(list, tariff.Calendar{Days: r.Days, Segments: segmentsOf(r.Segments)})
	}
	return list
}

// schedule is a plan's segments and calendars as columns; without calendars
// that is NULL.
func schedule(p *tariff.Plan) (segments string, calendars *string, err error) {
	base, err := json.Marshal(segmentRows(p.Segments))
	if err != nil || len(p.Calendars) == 0 {
		return string(base), nil, err
	}
	more, err := json.Marshal(calendarRows(p.Calendars))
	text := string(more)
	return string(base), &text, err
}

// number is an optional figure of another integer type.
func number[To, From ~int64](v *From) *To {
	if v == nil {
		return nil
	}
	n := To(*v)
	return &n
}

const planColumns = `p.id, p.tenant_id, p.station_id, p.code, p.name, p.status, p.is_default, p.priority, p.start_date, p.end_date, p.segments,
	p.calendars, p.start_fee, p.min_amount, p.max_amount, p.idle_free_minutes, p.idle_minute_price, p.idle_max_amount, p.parking_free_minutes,
	p.parking_hour_price, p.revision, p.snapshot_id, p.remark, p.created_at, p.updated_at, p.version`

func scanPlan(r row) (tariff.Plan, error) {
	var p tariff.Plan
	var status int
	var start, end, calendars *string
	var segments string
	var created, updated int64
	err := r.Scan(&p.ID, &p.Tenant, &p.Station, &p.Code, &p.Name, &status, &p.Default, &p.Priority, &start, &end, &segments,
		&calendars, &p.Fees.Start, &p.Fees.Min, &p.Fees.Max, &p.Fees.IdleFreeMinutes, &p.Fees.IdleMinutePrice, &p.Fees.IdleMax, &p.Fees.ParkingFreeMinutes, &p.Fees.ParkingHourPrice, &p.Revision,
		&p.Snapshot, &p.Remark, &created, &updated, &p.Version)
	if err != nil {
		return p, err
	}
	if start != nil {
		p.StartDate = *start
	}
	if end != nil {
		p.EndDate = *end
	}
	p.Enabled, p.Created, p.Updated = status == 1, evcs.FromMillis(created), evcs.FromMillis(updated)
	var rows []segmentRow
	if err := json.Unmarshal([]byte(segments), &rows); err != nil {
		return p, fmt.Errorf("segments of plan %d: %w", p.ID, err)
	}
	p.Segments = segmentsOf(rows)
	if calendars != nil {
		var rows []calendarRow
		if err := json.Unmarshal([]byte(*calendars), &rows); err != nil {
			return p, fmt.Errorf("calendars of plan %d: %w", p.ID, err)
		}
		p.Calendars = calendarsOf(rows)
	}
	return p, nil
}

// Plan implements tariff.Store.
func (s Tariffs) Plan(ctx context.Context, scope evcs.Scope, id evcs.PlanID) (*tariff.Plan, error) {
	cond, arg := scopeCond("p.tenant_id", scope)
	return first(ctx, s.q, "read plan", tariff.Missing(id), scanPlan,
		`SELECT `+planColumns+` FROM plans p WHERE p.id = ? AND p.deleted_at = 0 AND `+cond, id, arg)
}

// PlanByCode implements tariff.Store.
func (s Tariffs) PlanByCode(ctx context.Context, scope evcs.Scope, code string) (*tariff.Plan, error) {
	cond, arg := scopeCond("p.tenant_id", scope)
	return first(ctx, s.q, "read plan by code", tariff.ErrNotFound, scanPlan,
		`SELECT `+planColumns+` FROM plans p WHERE p.code = ? AND p.deleted_at = 0 AND `+cond, code, arg)
}

// InsertPlan implements tariff.Store.
func (s Tariffs) InsertPlan(ctx context.Context, p *tariff.Plan) error {
	s.q.changed()
	segments, calendars, err := schedule(p)
	if err != nil {
		return err
	}
	id, err := s.q.insertID(ctx, "insert plan", `
		INSERT INTO plans (tenant_id, station_id, code, name, status, is_default, priority, start_date, end_date, segments, calendars,
			start_fee, min_amount, max_amount, idle_free_minutes, idle_minute_price, idle_max_amount, parking_free_minutes, parking_hour_price, revision, snapshot_id, remark, created_at, updated_at,
			deleted_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1) RETURNING id`,
		p.Tenant, p.Station, p.Code, p.Name, flag(p.Enabled), p.Default, p.Priority, optional(p.StartDate), optional(p.EndDate), segments, calendars,
		p.Fees.Start, p.Fees.Min, p.Fees.Max, p.Fees.IdleFreeMinutes, p.Fees.IdleMinutePrice, p.Fees.IdleMax, p.Fees.ParkingFreeMinutes, p.Fees.ParkingHourPrice, p.Revision, p.Snapshot,
		p.Remark, evcs.Millis(p.Created), evcs.Millis(p.Updated))
	p.ID, p.Version = evcs.PlanID(id), 1
	return err
}

// UpdatePlan implements tariff.Store.
func (s Tariffs) UpdatePlan(ctx context.Context, scope evcs.Scope, p *tariff.Plan) error {
	s.q.changed()
	segments, calendars, err := schedule(p)
	if err != nil {
		return err
	}
	cond, arg := scopeCond("tenant_id", scope)
	err = s.q.swap(ctx, "update plan", `
		UPDATE plans SET code = ?, name = ?, status = ?, is_default = ?, priority = ?, start_date = ?, end_date = ?, segments = ?, calendars = ?,
			start_fee = ?, min_amount = ?, max_amount = ?, idle_free_minutes = ?, idle_minute_price = ?, idle_max_amount = ?, parking_free_minutes = ?, parking_hour_price = ?, revision = ?, snapshot_id = ?, remark = ?,
			updated_at = ?, version = version + 1
		WHERE id = ? AND version = ? AND deleted_at = 0 AND `+cond,
		p.Code, p.Name, flag(p.Enabled), p.Default, p.Priority, optional(p.StartDate), optional(p.EndDate), segments, calendars,
		p.Fees.Start, p.Fees.Min, p.Fees.Max, p.Fees.IdleFreeMinutes,
		p.Fees.IdleMinutePrice, p.Fees.IdleMax, p.Fees.ParkingFreeMinutes, p.Fees.ParkingHourPrice, p.Revision, p.Snapshot, p.Remark,
		evcs.Millis(p.Updated), p.ID, p.Version, arg)
	if err == nil {
		p.Version++
	}
	return err
}

// DeletePlan implements tariff.Store.
func (s Tariffs) DeletePlan(ctx context.Context, scope evcs.Scope, p *tariff.Plan, at time.Time) error {
	s.q.changed()
	cond, arg := scopeCond("tenant_id", scope)
	return s.q.swap(ctx, "delete plan",
		`UPDATE plans SET deleted_at = ?, is_default = ?, version = version + 1 WHERE id = ? AND version = ? AND deleted_at = 0 AND `+cond,
		evcs.Millis(at), false, p.ID, p.Version, arg)
}

// Enabled implements tariff.Store.
func (s Tariffs) Enabled(ctx context.Context, scope evcs.Scope, station evcs.StationID) ([]tariff.Plan, error) {
	cond, arg := scopeCond("p.tenant_id", scope)
	var found []tariff.Plan
	err := s.q.each(ctx, "read enabled plans", func(rows *sql.Rows) error {
		p, err := scanPlan(rows)
		found = append(found, p)
		return err
	}, `SELECT `+planColumns+` FROM plans p WHERE p.status = 1 AND p.deleted_at = 0 AND p.station_id IN (0, ?) AND `+cond+` ORDER BY p.id`, station, arg)
	return found, err
}

// Freeze implements tariff.Store.
func (s Tariffs) Freeze(ctx context.Context, f *tariff.Snapshot) error {
	holidays := make([]holidayRow, len(f.Holidays))
	for i, h := range f.Holidays {
		holidays[i] = holidayRow{h.Date, h.Name, h.CountsAs}
	}
	body, err := json.Marshal(pricesRow{
		Code: f.PlanCode, Name: f.PlanName, Segments: segmentRows(f.Segments), Calendars: calendarRows(f.Calendars), Holidays: holidays,
		StartFee: number[int64](f.Fees.Start), MinAmount: number[int64](f.Fees.Min), MaxAmount: number[int64](f.Fees.Max),
		IdleFreeMinutes: f.Fees.IdleFreeMinutes,
		IdleMinutePrice: number[int64](f.Fees.IdleMinutePrice), IdleMax: number[int64](f.Fees.IdleMax),
		ParkingFreeMinutes: f.Fees.ParkingFreeMinutes, ParkingHourPrice: number[int64](f.Fees.ParkingHourPrice),
	})
	if err != nil {
		return err
	}
	id, err := s.q.insertID(ctx, "freeze prices",
		`INSERT INTO tariff_snapshots (tenant_id, plan_id, revision, body, created_at) VALUES (?, ?, ?, ?, ?) RETURNING id`,
		f.Tenant, f.Plan, f.Revision, string(body), evcs.Millis(f.Created))
	f.ID = evcs.SnapshotID(id)
	return err
}

// Snapshot implements tariff.Store.
func (s Tariffs) Snapshot(ctx context.Context, scope evcs.Scope, id evcs.SnapshotID) (*tariff.Snapshot, error) {
	cond, arg := scopeCond("tenant_id", scope)
	return first(ctx, s.q, "read snapshot", evcs.With(tariff.ErrNotFound, map[string]any{"planId": nil}), scanSnapshot,
		`SELECT id, tenant_id, plan_id, revision, body, created_at FROM tariff_snapshots WHERE id = ? AND `+cond, id, arg)
}

func scanSnapshot(r row) (tariff.Snapshot, error) {
	var f tariff.Snapshot
	var body string
	var created int64
	if err := r.Scan(&f.ID, &f.Tenant, &f.Plan, &f.Revision, &body, &created); err != nil {
		return f, err
	}
	var p pricesRow
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		return f, fmt.Errorf("frozen prices %d: %w", f.ID, err)
	}
	f.PlanCode, f.PlanName, f.Segments, f.Created = p.Code, p.Name, segmentsOf(p.Segments), evcs.FromMillis(created)
	f.Calendars = calendarsOf(p.Calendars)
	for _, h := range p.Holidays {
		f.Holidays = append(f.Holidays, tariff.Holiday{Date: h.Day, Name: h.Name, CountsAs: h.CountsAs})
	}
	f.Fees = tariff.Fees{
		Start: number[evcs.Money](p.StartFee), Min: number[evcs.Money](p.MinAmount), Max: number[evcs.Money](p.MaxAmount), IdleFreeMinutes: p.IdleFreeMinutes,
		IdleMinutePrice: number[evcs.UnitPrice](p.IdleMinutePrice), IdleMax: number[evcs.Money](p.IdleMax),
		ParkingFreeMinutes: p.ParkingFreeMinutes, ParkingHourPrice: number[evcs.UnitPrice](p.ParkingHourPrice),
	}
	return f, nil
}

// Uses implements tariff.Store.
func (s Tariffs) Uses(ctx context.Context, scope evcs.Scope, id evcs.PlanID) (chargers, runningOrders int64, err error) {
	cond, arg := scopeCond("tenant_id", scope)
	chargers, err = s.q.count(ctx, "count chargers of plan", `SELECT COUNT(*) FROM chargers WHERE plan_id = ? AND deleted_at = 0 AND `+cond, id, arg)
	if err != nil {
		return 0, 0, err
	}
	runningOrders, err = s.q.count(ctx, "count orders of plan", `SELECT COUNT(*) FROM orders WHERE plan_id = ? AND status = 0 AND `+cond, id, arg)
	return chargers, runningOrders, err
}

// DefaultPlan implements tariff.Store.
func (s Tariffs) DefaultPlan(ctx context.Context, scope evcs.Scope, station evcs.StationID) (*tariff.Plan, error) {
	cond, arg := scopeCond("p.tenant_id", scope)
	return first(ctx, s.q, "read default plan", nil, scanPlan,
		`SELECT `+planColumns+` FROM plans p WHERE p.is_default AND p.deleted_at = 0 AND p.station_id = ? AND `+cond, station, arg)
}
