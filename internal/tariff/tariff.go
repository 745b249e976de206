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

// Fees are what a plan charges beside energy.
type Fees struct {
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
	Fees     Fees
	Created  time.Time
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

// Store keeps plans and snapshots.
type Store interface {
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
	KindEnergy   = "ENERGY"
	KindParking  = "PARKING"
	KindIdle     = "IDLE"
	KindDiscount = "DISCOUNT"
)

// Line is one line of a bill. Amount is Electricity + Service for energy, the
// fee for parking and idle time, negative for a discount.
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

// Bill is what a session costs.
type Bill struct {
	Lines                               []Line
	Electricity, Service, Parking, Idle evcs.Money
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
	// LastRise is when the register rose last, for idle time; zero means that it
	// is found from Points.
	LastRise time.Time
}
