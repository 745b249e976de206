// Package order is what is owed for a charge (Order) and what the device did
// (Session): the state machine of contract §7.2, the metering of a running
// session in constant time per reading, and the anomalies that keep money from
// being billed blindly. Its one invariant: an order never goes back, and the
// sum of its lines is its amount to the fen.
package order

import (
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Status is the state of an order, with the contract's numbers.
type Status int

// The states of contract §7.2.
const (
	Charging  Status = 0
	Ended     Status = 1
	Cancelled Status = 2
	ToPay     Status = 10
	Paid      Status = 11
	Refunding Status = 12
	Refunded  Status = 13
	// None stands before the first state in a timeline.
	None Status = -1
)

// Name is the contract's statusName.
func (s Status) Name() string {
	switch s {
	case Charging:
		return "CHARGING"
	case Ended:
		return "COMPLETED"
	case Cancelled:
		return "CANCELLED"
	case ToPay:
		return "TO_PAY"
	case Paid:
		return "PAID"
	case Refunding:
		return "REFUNDING"
	case Refunded:
		return "REFUNDED"
	case None:
		return ""
	}
	return ""
}

// Final reports whether nothing can follow.
func (s Status) Final() bool { return s == Cancelled || s == Refunded }

// StartState says how far a start has come.
type StartState string

// The start states.
const (
	Starting StartState = "STARTING" // asked, not yet confirmed by the device
	Started  StartState = "STARTED"
	Failed   StartState = "FAILED"
)

// Source says who began the order.
type Source string

// The sources.
const (
	FromClient Source = "CLIENT"
	FromDevice Source = "DEVICE"
	Adopted    Source = "ADOPTED"
)

// The reasons the platform itself cancels with.
const (
	StartRejected = "START_REJECTED"
	StartTimeout  = "START_TIMEOUT"
	StartFailed   = "START_FAILED"
)

// Order is what is owed for one session. Optional texts are empty, optional
// numbers zero, when the contract says null.
type Order struct {
	ID          evcs.OrderID
	Tenant      evcs.TenantID
	No          string // unique in the tenant
	Station     evcs.StationID
	StationName string
	Charger     evcs.ChargerID
	ChargerCode string
	Connector   int
	SessionID   int64  // row of the session
	Session     string // its public id, unique in the tenant
	User        int64  // the driver, in the integrator's numbering
	UserName    string
	IDTag       string
	Status      Status
	StartState  StartState
	Source      Source
	StartedAt   time.Time
	EndedAt     time.Time
	Energy      evcs.Energy
	Seconds     int64
	Zone        string // in which it is priced, frozen with its prices; "": made before zones were kept
	Plan        evcs.PlanID
	Snapshot    evcs.SnapshotID // zero: no tariff
	PlanChosen  string          // which plan and why, for the timeline of its creation; not kept here

	ElectricityAmount evcs.Money
	ServiceAmount     evcs.Money
	ParkingAmount     evcs.Money
	IdleAmount        evcs.Money
	DiscountAmount    evcs.Money
	Amount            evcs.Money // electricity + service + parking + idle − discount
	PaidAmount        evcs.Money
	RefundedAmount    evcs.Money

	Payment       evcs.PaymentID // the one that settled it
	TradeNo       string
	PaymentMethod string
	PaidAt        time.Time
	Sandbox       bool

	StopReason      string
	CancelReason    string
	StopRequestedAt time.Time
	Held            bool // not billed until an operator releases it
	Anomalies       Anomalies
	Estimated       bool
	CreatedAt       time.Time
	UpdatedAt       time.Time
	Version         int64
}

// Payable is what remains to be paid: nothing unless the order is ended or to
// pay.
func (o *Order) Payable() evcs.Money {
	if o.Status != Ended && o.Status != ToPay {
		return 0
	}
	return o.Amount - o.PaidAmount
}

// Refundable is what can still be paid back.
func (o *Order) Refundable() evcs.Money { return o.PaidAmount - o.RefundedAmount }

// Minutes is the duration, a begun minute being whole.
func (o *Order) Minutes() int64 { return (o.Seconds + 59) / 60 }

// before is the amount before discounts and the plan's cap.
func (o *Order) before() evcs.Money {
	return o.ElectricityAmount + o.ServiceAmount + o.ParkingAmount + o.IdleAmount
}

// Event is the envelope of an event about the order.
func (o *Order) Event(kind string, at time.Time) evcs.Event {
	return evcs.Event{
		Type: kind, Time: at, Tenant: o.Tenant, Station: o.Station, Charger: o.Charger, Connector: o.Connector,
		Order: o.ID, OrderNo: o.No, Session: o.Session,
	}
}
