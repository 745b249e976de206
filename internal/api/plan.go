package api

// The kinds of a period, dearest first.
const (
	PeriodSharp  = "SHARP"
	PeriodPeak   = "PEAK"
	PeriodFlat   = "FLAT"
	PeriodValley = "VALLEY"
)

// Plan is a billing plan. Segments is left out of lists.
type Plan struct {
	PlanID             int64     `json:"planId"`
	TenantID           int64     `json:"tenantId"`
	StationID          *int64    `json:"stationId" doc:"Null: tenant-wide"`
	Name               string    `json:"name"`
	Code               string    `json:"code"`
	Status             int       `json:"status" doc:"0 disabled, 1 enabled"`
	IsDefault          Flag      `json:"isDefault"`
	Priority           int       `json:"priority"`
	EffectiveStartDate *Date     `json:"effectiveStartDate"`
	EffectiveEndDate   *Date     `json:"effectiveEndDate"`
	Segments           []Segment `json:"segments,omitzero"`
	IdleFreeMinutes    int64     `json:"idleFreeMinutes"`
	IdleMinutePrice    *Price    `json:"idleMinutePrice"`
	IdleMaxAmount      *Money    `json:"idleMaxAmount"`
	ParkingFreeMinutes int64     `json:"parkingFreeMinutes"`
	ParkingHourPrice   *Price    `json:"parkingHourPrice"`
	Kind               string    `json:"kind" enum:"FIXED,TOU"`
	Revision           int64     `json:"revision"`
	TariffSnapshotID   int64     `json:"tariffSnapshotId"`
	GridMinutes        int       `json:"gridMinutes" doc:"30 or 15"`
	Pushable           bool      `json:"pushable"`
	Remark             *string   `json:"remark"`
	CreateTime         Time      `json:"createTime"`
	UpdateTime         Time      `json:"updateTime"`
	Version            int64     `json:"version"`
}

// Segment is a part of the day with its prices, in local time of the station.
type Segment struct {
	SegmentIndex int    `json:"segmentIndex" required:"false" minimum:"0" doc:"Its place in the day; given by the server"`
	StartTime    string `json:"startTime" pattern:"^([01][0-9]|2[0-3]):[0-5][0-9]$" doc:"HH:mm"`
	EndTime      string `json:"endTime" pattern:"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$" doc:"HH:mm or 24:00"`
	PeriodKind   string `json:"periodKind" enum:"SHARP,PEAK,FLAT,VALLEY"`
	EnergyPrice  Price  `json:"energyPrice" minimum:"0" maximum:"100" doc:"CNY per kWh"`
	ServiceFee   Price  `json:"serviceFee" minimum:"0" maximum:"100" doc:"CNY per kWh"`
}

// CreatePlan is the body of POST /api/billing/plan.
type CreatePlan struct {
	StationID          *int64    `json:"stationId,omitempty" minimum:"1"`
	Name               string    `json:"name" minLength:"1" maxLength:"100"`
	Code               string    `json:"code" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.-]+$"`
	Status             *int      `json:"status,omitempty" minimum:"0" maximum:"1"`
	IsDefault          *Flag     `json:"isDefault,omitempty"`
	Priority           *int      `json:"priority,omitempty" minimum:"-1000" maximum:"1000"`
	EffectiveStartDate *Date     `json:"effectiveStartDate,omitempty"`
	EffectiveEndDate   *Date     `json:"effectiveEndDate,omitempty"`
	Segments           []Segment `json:"segments" minItems:"1" maxItems:"96"`
	IdleFreeMinutes    *int64    `json:"idleFreeMinutes,omitempty" minimum:"0" maximum:"10080"`
	IdleMinutePrice    *Price    `json:"idleMinutePrice,omitempty" minimum:"0" maximum:"100"`
	IdleMaxAmount      *Money    `json:"idleMaxAmount,omitempty" minimum:"0"`
	ParkingFreeMinutes *int64    `json:"parkingFreeMinutes,omitempty" minimum:"0" maximum:"10080"`
	ParkingHourPrice   *Price    `json:"parkingHourPrice,omitempty" minimum:"0" maximum:"100"`
	Remark             *string   `json:"remark,omitempty" maxLength:"500"`
	TenantID           *int64    `json:"tenantId,omitempty" minimum:"1"`
}

// UpdatePlan is the body of PUT /api/billing/plan/{planId}; Segments replaces
// all of them.
type UpdatePlan struct {
	Name               *string          `json:"name,omitempty" minLength:"1" maxLength:"100"`
	Code               *string          `json:"code,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.-]+$"`
	Status             *int             `json:"status,omitempty" minimum:"0" maximum:"1"`
	IsDefault          *Flag            `json:"isDefault,omitempty"`
	Priority           *int             `json:"priority,omitempty" minimum:"-1000" maximum:"1000"`
	EffectiveStartDate Optional[Date]   `json:"effectiveStartDate,omitzero"`
	EffectiveEndDate   Optional[Date]   `json:"effectiveEndDate,omitzero"`
	Segments           *[]Segment       `json:"segments,omitempty" minItems:"1" maxItems:"96"`
	IdleFreeMinutes    *int64           `json:"idleFreeMinutes,omitempty" minimum:"0" maximum:"10080"`
	IdleMinutePrice    Optional[Price]  `json:"idleMinutePrice,omitzero" minimum:"0" maximum:"100"`
	IdleMaxAmount      Optional[Money]  `json:"idleMaxAmount,omitzero" minimum:"0"`
	ParkingFreeMinutes *int64           `json:"parkingFreeMinutes,omitempty" minimum:"0" maximum:"10080"`
	ParkingHourPrice   Optional[Price]  `json:"parkingHourPrice,omitzero" minimum:"0" maximum:"100"`
	Remark             Optional[string] `json:"remark,omitzero" maxLength:"500"`
	TenantID           *int64           `json:"tenantId,omitempty" minimum:"1" doc:"Fixed at creation"`
	StationID          Optional[int64]  `json:"stationId,omitzero" minimum:"1" doc:"Fixed at creation"`
	Version            *int64           `json:"version,omitempty" minimum:"0"`
}

// ClonePlan is the body of POST /api/billing/plan/{planId}/clone.
type ClonePlan struct {
	Name      string `json:"name" minLength:"1" maxLength:"100"`
	Code      string `json:"code" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.-]+$"`
	StationID *int64 `json:"stationId,omitempty" minimum:"1"`
}

// AssignPlan is the body of POST /api/billing/plan/{planId}/assign.
type AssignPlan struct {
	ChargerIDs []int64 `json:"chargerIds" minItems:"1" maxItems:"500"`
	Unassign   *Flag   `json:"unassign,omitempty"`
}

// PlanAssigned is its answer.
type PlanAssigned struct {
	Assigned int64     `json:"assigned"`
	Skipped  []Skipped `json:"skipped"`
}

// Skipped is a charger that was left out, and why.
type Skipped struct {
	ChargerID int64  `json:"chargerId"`
	Reason    string `json:"reason"`
}

// ValidatePlan is the body of POST /api/billing/plan/validate.
type ValidatePlan struct {
	Segments []Segment `json:"segments" maxItems:"96"`
}

// PlanValidity is its answer; Slots has 48 or 96 period kinds when valid.
type PlanValidity struct {
	Valid       bool     `json:"valid"`
	Errors      []Fault  `json:"errors"`
	GridMinutes int      `json:"gridMinutes"`
	Pushable    bool     `json:"pushable"`
	Slots       []string `json:"slots"`
}

// QuoteRequest is the body of POST /api/billing/plan/{planId}/quote.
type QuoteRequest struct {
	StartTime Time          `json:"startTime"`
	EndTime   Time          `json:"endTime"`
	Energy    *KWh          `json:"energy,omitempty" minimum:"0" doc:"Required, or samples"`
	Samples   []QuoteSample `json:"samples,omitempty" maxItems:"5000"`
}

// QuoteSample is a register value to price.
type QuoteSample struct {
	Time  Time `json:"time"`
	Meter KWh  `json:"meter" minimum:"0"`
}

// Quote is what the function that bills would bill.
type Quote struct {
	Lines             []Line `json:"lines"`
	ElectricityAmount Money  `json:"electricityAmount"`
	ServiceAmount     Money  `json:"serviceAmount"`
	Amount            Money  `json:"amount"`
}

// EffectivePlan is the plan that a charger would bill by at a moment.
type EffectivePlan struct {
	PlanID  int64    `json:"planId"`
	Reason  string   `json:"reason"`
	Segment Segment  `json:"segment"`
	Next    *Segment `json:"next"`
}

// Snapshot is frozen prices; it never changes.
type Snapshot struct {
	TariffSnapshotID   int64     `json:"tariffSnapshotId"`
	PlanID             int64     `json:"planId"`
	TenantID           int64     `json:"tenantId"`
	Revision           int64     `json:"revision"`
	Name               string    `json:"name"`
	Code               string    `json:"code"`
	Segments           []Segment `json:"segments"`
	IdleFreeMinutes    int64     `json:"idleFreeMinutes"`
	IdleMinutePrice    *Price    `json:"idleMinutePrice"`
	IdleMaxAmount      *Money    `json:"idleMaxAmount"`
	ParkingFreeMinutes int64     `json:"parkingFreeMinutes"`
	ParkingHourPrice   *Price    `json:"parkingHourPrice"`
	CreateTime         Time      `json:"createTime"`
}
