// Package tariff is what energy costs: billing plans with time-of-use segments,
// their frozen snapshots, the choice among them, and the one pricing function
// that orders, quotes and running costs share. Its one invariant: the sum of a
// bill's lines is its total, and their energies add up to the session's, both
// exactly.
package tariff

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// PeriodKind is the kind of a period of the day.
type PeriodKind string

// The kinds: 尖, 峰, 平, 谷.
const (
	Sharp  PeriodKind = "SHARP"
	Peak   PeriodKind = "PEAK"
	Flat   PeriodKind = "FLAT"
	Valley PeriodKind = "VALLEY"
)

// Segment is a part of the day, in minutes of the station's local time:
// 0 ≤ From < To ≤ 1440. Prices are per kWh.
type Segment struct {
	From, To     int
	Kind         PeriodKind
	EnergyPrice  evcs.UnitPrice
	ServicePrice evcs.UnitPrice
}

// Fees are what a plan charges beside energy, and the bounds of the whole.
type Fees struct {
	// Start is taken once of a session that has taken energy; nil: none.
	Start *evcs.Money
	// Min and Max bound the amount of a session before a discount; nil: none. Min
	// is asked only of a session that has taken energy.
	Min, Max           *evcs.Money
	IdleFreeMinutes    int64
	IdleMinutePrice    *evcs.UnitPrice // per minute; nil: none
	IdleMax            *evcs.Money     // nil: no cap
	ParkingFreeMinutes int64
	ParkingHourPrice   *evcs.UnitPrice // per hour; nil: none
}

// Plan is a billing plan as operators edit it. Dates are days in the tenant's
// zone, "" when open.
type Plan struct {
	ID         evcs.PlanID
	Tenant     evcs.TenantID
	Station    evcs.StationID // zero: tenant-wide
	Code, Name string
	Enabled    bool
	Default    bool
	Priority   int
	StartDate  string
	EndDate    string
	Segments   []Segment // sorted, covering the day exactly once
	Calendars  []Calendar
	Fees       Fees
	Revision   int64
	Snapshot   evcs.SnapshotID
	Remark     *string
	Created    time.Time
	Updated    time.Time
	Version    int64
}

// Snapshot is the prices of one revision of a plan, frozen for ever.
type Snapshot struct {
	ID       evcs.SnapshotID
	Tenant   evcs.TenantID
	Plan     evcs.PlanID
	PlanCode string
	PlanName string
	Revision int64
	Segments []Segment
	// Calendars are the plan's days with prices of their own, Holidays the
	// tenant's special days as they were known when this was frozen, by date.
	Calendars []Calendar
	Holidays  []Holiday
	Fees      Fees
	Created   time.Time
}

// The refusals of this noun.
var (
	ErrNoPlan     = evcs.NewError(evcs.CodeNoBillingPlan, "no usable billing plan")
	ErrNotFound   = evcs.NewError(evcs.CodePlanNotFound, "no such billing plan")
	ErrCodeExists = evcs.NewError(evcs.CodePlanCodeExists, "the plan code is taken")
	ErrSegments   = evcs.NewError(evcs.CodePlanSegmentsInvalid, "the segments do not cover the day exactly once")
	ErrLimit      = evcs.NewError(evcs.CodePlanLimit, "too many enabled plans")
	ErrInUse      = evcs.NewError(evcs.CodePlanInUse, "the plan is in use")
)

// Missing is 3008 with its fact.
func Missing(id evcs.PlanID) error { return evcs.With(ErrNotFound, map[string]any{"planId": id}) }

// Days keeps the special days of tenants.
type Days interface {
	// Holidays lists the special days of a tenant from a date to another, both
	// included and each open when empty, by date.
	Holidays(ctx context.Context, scope evcs.Scope, from, to string) ([]Holiday, error)
	// SetHolidays replaces what is known of the days given.
	SetHolidays(ctx context.Context, owner evcs.TenantID, days []Holiday, at time.Time) error
	// ClearHolidays forgets the special days from a date to another, both
	// included, and returns how many there were.
	ClearHolidays(ctx context.Context, owner evcs.TenantID, from, to string) (int64, error)
	// Calendared lists the tenant's live plans that have calendars.
	Calendared(ctx context.Context, scope evcs.Scope) ([]Plan, error)
}

// Store keeps plans, snapshots and special days.
type Store interface {
	Plans
	Days
}

// Plans keeps plans and snapshots.
type Plans interface {
	// Plan finds a live plan; ErrNotFound.
	Plan(ctx context.Context, scope evcs.Scope, id evcs.PlanID) (*Plan, error)
	PlanByCode(ctx context.Context, scope evcs.Scope, code string) (*Plan, error)
	// InsertPlan gives the plan its id. A taken code is evcs.ErrStale.
	InsertPlan(ctx context.Context, p *Plan) error
	// UpdatePlan compares the version and counts it up; evcs.ErrStale.
	UpdatePlan(ctx context.Context, scope evcs.Scope, p *Plan) error
	DeletePlan(ctx context.Context, scope evcs.Scope, p *Plan, at time.Time) error
	// Enabled lists the enabled plans of a tenant: of the station and
	// tenant-wide ones.
	Enabled(ctx context.Context, scope evcs.Scope, station evcs.StationID) ([]Plan, error)
	// DefaultPlan is the live plan with the mark of a station or (zero) of the
	// tenant; nil when there is none.
	DefaultPlan(ctx context.Context, scope evcs.Scope, station evcs.StationID) (*Plan, error)
	// Freeze stores a snapshot and gives it its id.
	Freeze(ctx context.Context, s *Snapshot) error
	// Snapshot finds frozen prices; ErrNotFound.
	Snapshot(ctx context.Context, scope evcs.Scope, id evcs.SnapshotID) (*Snapshot, error)
	// Uses counts the chargers a plan is assigned to and the running orders its
	// snapshots price.
	Uses(ctx context.Context, scope evcs.Scope, id evcs.PlanID) (chargers, runningOrders int64, err error)
}

// The kinds of a bill line.
const (
	KindStart    = "START"
	KindEnergy   = "ENERGY"
	KindIdle     = "IDLE"
	KindParking  = "PARKING"
	KindMinimum  = "MINIMUM" // what is missing to the plan's minimum
	KindCap      = "CAP"     // what the plan's maximum takes off
	KindDiscount = "DISCOUNT"
)

// ReasonCapped marks idle time at its highest amount.
const ReasonCapped = "CAPPED"

// Line is one line of a bill. Amount is Electricity + Service for energy, the
// fee for parking and idle time, negative for a cap and a discount. The start
// fee and what fills up the minimum are service.
type Line struct {
	Kind         string
	PeriodKind   PeriodKind // of energy; else empty
	From, To     time.Time
	Energy       evcs.Energy
	EnergyPrice  evcs.UnitPrice // per kWh
	ServicePrice evcs.UnitPrice
	Minutes      int64          // of parking and idle time
	MinutePrice  evcs.UnitPrice // 1e-5 CNY per minute
	Electricity  evcs.Money
	Service      evcs.Money
	Amount       evcs.Money
	Reason       string
}

// Same reports whether the lines are alike, wherever their times are told.
func (l Line) Same(o Line) bool {
	from, to := l.From.Equal(o.From), l.To.Equal(o.To)
	l.From, l.To, o.From, o.To = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return from && to && l == o
}

// Bill is what a session costs: Amount is Electricity + Service + Parking +
// Idle − Discount, and the sum of the lines.
type Bill struct {
	Lines                               []Line
	Electricity, Service, Parking, Idle evcs.Money
	Discount                            evcs.Money // of the cap
	Amount                              evcs.Money
	// Falling says that a value below its predecessor was dropped.
	Falling bool
}

// Point is one reading of the curve: energy since the start of the session.
type Point struct {
	At     time.Time
	Energy evcs.Energy
}

// Curve is a session as pricing sees it. Points lie between Start and Stop, in
// any order; the energy at Start is zero, and Total is the energy at Stop.
type Curve struct {
	Zone        *time.Location // of the station; its wall clock names the segments
	Start, Stop time.Time
	Points      []Point
	Total       evcs.Energy
	// Rise is when the register rose last, for idle time, where Points lacks
	// readings between its own; zero means that it is found from Points.
	Rise Rise
}
