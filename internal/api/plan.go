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
	PlanID             int64      `json:"planId"`
	TenantID           int64      `json:"tenantId"`
	StationID          *int64     `json:"stationId" doc:"Null: tenant-wide"`
	Name               string     `json:"name"`
	Code               string     `json:"code"`
	Status             int        `json:"status" doc:"0 disabled, 1 enabled"`
	IsDefault          Flag       `json:"isDefault"`
	Priority           int        `json:"priority"`
	EffectiveStartDate *Date      `json:"effectiveStartDate"`
	EffectiveEndDate   *Date      `json:"effectiveEndDate"`
	Segments           []Segment  `json:"segments,omitzero"`
	Calendars          []Calendar `json:"calendars,omitzero" doc:"Days with segments of their own; left out of lists"`
	StartFee           *Money     `json:"startFee" doc:"Taken once of a session that took energy; null: none"`
	MinAmount          *Money     `json:"minAmount" doc:"Least amount of a session that took energy; null: none"`
	MaxAmount          *Money     `json:"maxAmount" doc:"Highest amount of a session; null: none"`
	IdleFreeMinutes    int64      `json:"idleFreeMinutes"`
	IdleMinutePrice    *Price     `json:"idleMinutePrice"`
	IdleMaxAmount      *Money     `json:"idleMaxAmount"`
	ParkingFreeMinutes int64      `json:"parkingFreeMinutes"`
	ParkingHourPrice   *Price     `json:"parkingHourPrice"`
	Kind               string     `json:"kind" enum:"FIXED,TOU"`
	Revision           int64      `json:"revision"`
	TariffSnapshotID   int64      `json:"tariffSnapshotId"`
	GridMinutes        int        `json:"gridMinutes" doc:"30 or 15"`
	Pushable           bool       `json:"pushable" doc:"A YKC charger can hold the prices: half hours, at most 4 pairs, every day alike"`
	Remark             *string    `json:"remark"`
	CreateTime         Time       `json:"createTime"`
	UpdateTime         Time       `json:"updateTime"`
	Version            int64      `json:"version"`
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

// Calendar is the segments of some days of the week, or of holidays, in the
// place of the plan's own.
type Calendar struct {
	Days     []string  `json:"days" minItems:"1" maxItems:"8" enum:"MON,TUE,WED,THU,FRI,SAT,SUN,HOLIDAY" doc:"A day belongs to one calendar at most; HOLIDAY goes before the day of the week"`
	Segments []Segment `json:"segments" minItems:"1" maxItems:"96"`
}

// CreatePlan is the body of POST /api/billing/plan.
type CreatePlan struct {
	StationID          *int64     `json:"stationId,omitempty" minimum:"1"`
	Name               string     `json:"name" minLength:"1" maxLength:"100"`
	Code               string     `json:"code" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.-]+$"`
	Status             *int       `json:"status,omitempty" minimum:"0" maximum:"1"`
	IsDefault          *Flag      `json:"isDefault,omitempty"`
	Priority           *int       `json:"priority,omitempty" minimum:"-1000" maximum:"1000"`
	EffectiveStartDate *Date      `json:"effectiveStartDate,omitempty"`
	EffectiveEndDate   *Date      `json:"effectiveEndDate,omitempty"`
	Segments           []Segment  `json:"segments" minItems:"1" maxItems:"96"`
	Calendars          []Calendar `json:"calendars,omitempty" maxItems:"8"`
	StartFee           *Money     `json:"startFee,omitempty" minimum:"0"`
	MinAmount          *Money     `json:"minAmount,omitempty" minimum:"0"`
	MaxAmount          *Money     `json:"maxAmount,omitempty" minimum:"0"`
	IdleFreeMinutes    *int64     `json:"idleFreeMinutes,omitempty" minimum:"0" maximum:"10080"`
	IdleMinutePrice    *Price     `json:"idleMinutePrice,omitempty" minimum:"0" maximum:"100"`
	IdleMaxAmount      *Money     `json:"idleMaxAmount,omitempty" minimum:"0"`
	ParkingFreeMinutes *int64     `json:"parkingFreeMinutes,omitempty" minimum:"0" maximum:"10080"`
	ParkingHourPrice   *Price     `json:"parkingHourPrice,omitempty" minimum:"0" maximum:"100"`
	Remark             *string    `json:"remark,omitempty" maxLength:"500"`
	TenantID           *int64     `json:"tenantId,omitempty" minimum:"1"`
}

// UpdatePlan is the body of PUT /api/billing/plan/{planId}; Segments replaces
// all of them.
type UpdatePlan struct {
	Name               *string              `json:"name,omitempty" minLength:"1" maxLength:"100"`
	Code               *string              `json:"code,omitempty" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9_.-]+$"`
	Status             *int                 `json:"status,omitempty" minimum:"0" maximum:"1"`
	IsDefault          *Flag                `json:"isDefault,omitempty"`
	Priority           *int                 `json:"priority,omitempty" minimum:"-1000" maximum:"1000"`
	EffectiveStartDate Optional[Date]       `json:"effectiveStartDate,omitzero"`
	EffectiveEndDate   Optional[Date]       `json:"effectiveEndDate,omitzero"`
	Segments           *[]Segment           `json:"segments,omitempty" minItems:"1" maxItems:"96"`
	Calendars          Optional[[]Calendar] `json:"calendars,omitzero" maxItems:"8" doc:"Replaces all of them; null or empty: every day alike"`
	StartFee           Optional[Money]      `json:"startFee,omitzero" minimum:"0"`
	MinAmount          Optional[Money]      `json:"minAmount,omitzero" minimum:"0"`
	MaxAmount          Optional[Money]      `json:"maxAmount,omitzero" minimum:"0"`
	IdleFreeMinutes    *int64               `json:"idleFreeMinutes,omitempty" minimum:"0" maximum:"10080"`
	IdleMinutePrice    Optional[Price]      `json:"idleMinutePrice,omitzero" minimum:"0" maximum:"100"`
	IdleMaxAmount      Optional[Money]      `json:"idleMaxAmount,omitzero" minimum:"0"`
	ParkingFreeMinutes *int64               `json:"parkingFreeMinutes,omitempty" minimum:"0" maximum:"10080"`
	ParkingHourPrice   Optional[Price]      `json:"parkingHourPrice,omitzero" minimum:"0" maximum:"100"`
	Remark             Optional[string]     `json:"remark,omitzero" maxLength:"500"`
	TenantID           *int64               `json:"tenantId,omitempty" minimum:"1" doc:"Fixed at creation"`
	StationID          Optional[int64]      `json:"stationId,omitzero" minimum:"1" doc:"Fixed at creation"`
	Version            *int64               `json:"version,omitempty" minimum:"0"`
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
	Segments  []Segment  `json:"segments" maxItems:"96"`
	Calendars []Calendar `json:"calendars,omitempty" maxItems:"8"`
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
	ParkingAmount     Money  `json:"parkingAmount"`
	IdleAmount        Money  `json:"idleAmount"`
	DiscountAmount    Money  `json:"discountAmount" doc:"What the plan's highest amount takes off"`
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
	TariffSnapshotID   int64      `json:"tariffSnapshotId"`
	PlanID             int64      `json:"planId"`
	TenantID           int64      `json:"tenantId"`
	Revision           int64      `json:"revision"`
	Name               string     `json:"name"`
	Code               string     `json:"code"`
	Segments           []Segment  `json:"segments"`
	Calendars          []Calendar `json:"calendars" doc:"Days with segments of their own"`
	Holidays           []Holiday  `json:"holidays" doc:"The tenant's special days as they were then"`
	StartFee           *Money     `json:"startFee"`
	MinAmount          *Money     `json:"minAmount"`
	MaxAmount          *Money     `json:"maxAmount"`
	IdleFreeMinutes    int64      `json:"idleFreeMinutes"`
	IdleMinutePrice    *Price     `json:"idleMinutePrice"`
	IdleMaxAmount      *Money     `json:"idleMaxAmount"`
	ParkingFreeMinutes int64      `json:"parkingFreeMinutes"`
	ParkingHourPrice   *Price     `json:"parkingHourPrice"`
	CreateTime         Time       `json:"createTime"`
}

// Holiday is a day that does not count as what the week says.
type Holiday struct {
	Date     Date    `json:"date"`
	Name     *string `json:"name,omitempty" maxLength:"50" doc:"Such as 国庆节; prices nothing"`
	CountsAs string  `json:"countsAs" required:"false" enum:"MON,TUE,WED,THU,FRI,SAT,SUN,HOLIDAY" doc:"HOLIDAY when absent; a day of the week makes a worked Sunday count as that"`
}

// SetHolidays is the body of POST /api/billing/holiday.
type SetHolidays struct {
	Days     []Holiday `json:"days" minItems:"1" maxItems:"400"`
	TenantID *int64    `json:"tenantId,omitempty" minimum:"1"`
}

// HolidaysChanged is the answer to a change of special days.
type HolidaysChanged struct {
	Days  int64 `json:"days" doc:"How many days were set or removed"`
	Plans int   `json:"plans" doc:"How many billing plans with calendars got a new revision by it"`
}

// ImportPlans is the body of POST /api/billing/plan/import.
type ImportPlans struct {
	Plans    []CreatePlan `json:"plans" minItems:"1" maxItems:"100"`
	Replace  *Flag        `json:"replace,omitempty" doc:"1: a plan takes the place of the one with its code; 0: a taken code is 3009"`
	DryRun   *Flag        `json:"dryRun,omitempty" doc:"1: check everything and store nothing"`
	TenantID *int64       `json:"tenantId,omitempty" minimum:"1"`
}

// ImportedPlan is what became of a plan of an import.
type ImportedPlan struct {
	Code     string `json:"code"`
	PlanID   *int64 `json:"planId" doc:"Null in a dry run when it would be created"`
	Action   string `json:"action" enum:"CREATED,UPDATED,UNCHANGED"`
	Revision int64  `json:"revision"`
}

// ExplainRequest is the body of POST /api/billing/explain.
type ExplainRequest struct {
	PlanID    *int64        `json:"planId,omitempty" minimum:"1" doc:"Required, or chargerId"`
	ChargerID *int64        `json:"chargerId,omitempty" minimum:"1" doc:"The plan is the one that this charger would bill by at startTime"`
	StartTime Time          `json:"startTime"`
	EndTime   Time          `json:"endTime"`
	Energy    *KWh          `json:"energy,omitempty" minimum:"0" doc:"Required, or samples"`
	Samples   []QuoteSample `json:"samples,omitempty" maxItems:"5000"`
}

// Explanation is a bill line by line with its reasons: of an order, or of a
// session that did not happen.
type Explanation struct {
	OrderID           *int64          `json:"orderId"`
	OrderNo           *string         `json:"orderNo"`
	PlanID            *int64          `json:"planId" doc:"Null: no tariff"`
	TariffSnapshotID  *int64          `json:"tariffSnapshotId"`
	PlanCode          *string         `json:"planCode"`
	PlanName          *string         `json:"planName"`
	Revision          *int64          `json:"revision"`
	Choice            *string         `json:"choice" enum:"ASKED,CHARGER,STATION,TENANT" doc:"Why this plan: asked for, the charger's own, the station's, the tenant's; null when it is not known"`
	Candidates        []PlanCandidate `json:"candidates" doc:"The plans that came into question, in the order in which they are taken; only with chargerId"`
	TimeZone          string          `json:"timeZone" doc:"Its wall clock names the segments"`
	StartTime         TimeMS          `json:"startTime"`
	EndTime           TimeMS          `json:"endTime"`
	Energy            KWh             `json:"energy"`
	Running           bool            `json:"running" doc:"The session goes on: this is an estimate"`
	Lines             []ExplainedLine `json:"lines"`
	DroppedSamples    []Reading       `json:"droppedSamples" doc:"Readings below their predecessor or above the total, which price nothing"`
	ElectricityAmount Money           `json:"electricityAmount"`
	ServiceAmount     Money           `json:"serviceAmount"`
	ParkingAmount     Money           `json:"parkingAmount"`
	IdleAmount        Money           `json:"idleAmount"`
	DiscountAmount    Money           `json:"discountAmount"`
	Amount            Money           `json:"amount"`
	// Of an order that has ended: what was billed, and whether pricing its
	// readings again says the same.
	BilledAmount *Money `json:"billedAmount" doc:"What the order was billed; null without an ended order"`
	Agrees       bool   `json:"agrees" doc:"The lines are those that were billed; false when readings were thinned or the station's zone changed since"`
	BilledLines  []Line `json:"billedLines,omitzero" doc:"Only when they do not agree"`
}

// PlanCandidate is a plan that came into question.
type PlanCandidate struct {
	PlanID    int64  `json:"planId"`
	Code      string `json:"code"`
	StationID *int64 `json:"stationId"`
	Priority  int    `json:"priority"`
	IsDefault Flag   `json:"isDefault"`
	Why       string `json:"why" enum:"CHOSEN,ASSIGNED,DISABLED,DATES,STATION,TENANT_WIDE,PRIORITY,DEFAULT,OLDER" doc:"CHOSEN, or why it stands behind"`
}

// ExplainedLine is a line of a bill and why it is so.
type ExplainedLine struct {
	Line
	Segment    *Segment `json:"segment" doc:"Of energy: the segment that prices it"`
	Date       *Date    `json:"date" doc:"Day of the station's wall clock"`
	DayClass   *string  `json:"dayClass" enum:"MON,TUE,WED,THU,FRI,SAT,SUN,HOLIDAY" doc:"What the day counts as"`
	DayName    *string  `json:"dayName" doc:"Of a special day, such as 国庆节"`
	Calendar   *int     `json:"calendar" doc:"Place of the plan's calendar; null: the plan's own segments"`
	Begins     *Cut     `json:"begins"`
	Ends       *Cut     `json:"ends"`
	Arithmetic []string `json:"arithmetic" doc:"The sums as they were done; → is rounding half up"`
}

// Cut is a moment at which the curve of a session is cut.
type Cut struct {
	Time   TimeMS   `json:"time"`
	Energy KWh      `json:"energy" doc:"Since the start of the session"`
	How    string   `json:"how" enum:"START,READING,BETWEEN,STOP" doc:"BETWEEN: on the straight line between two readings"`
	Before *Reading `json:"before"`
	After  *Reading `json:"after"`
}

// Reading is a reading as pricing sees it.
type Reading struct {
	Time   TimeMS `json:"time"`
	Energy KWh    `json:"energy" doc:"Since the start of the session"`
}
