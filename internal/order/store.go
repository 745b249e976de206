package order

import (
	"context"
	"encoding/json"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// Store keeps orders and sessions.
type Store interface {
	Orders
	Sessions
	Samples
	Claims
}

// Orders keeps orders, their lines and their timeline.
type Orders interface {
	// Order finds an order in the scope; ErrNotFound when there is none.
	Order(ctx context.Context, scope evcs.Scope, id evcs.OrderID) (*Order, error)
	OrderBySession(ctx context.Context, scope evcs.Scope, uid string) (*Order, error)
	// InsertOrder gives the order its id. A second open order of a connector, or
	// a second order of a session, is evcs.ErrStale.
	InsertOrder(ctx context.Context, o *Order) error
	// UpdateOrder compares the version and counts it up; evcs.ErrStale when the
	// order moved on.
	UpdateOrder(ctx context.Context, scope evcs.Scope, o *Order) error
	Lines(ctx context.Context, scope evcs.Scope, id evcs.OrderID) ([]tariff.Line, error)
	// SetLines replaces all lines.
	SetLines(ctx context.Context, o *Order, lines []tariff.Line) error
	Note(ctx context.Context, e Entry) error
	Timeline(ctx context.Context, scope evcs.Scope, id evcs.OrderID) ([]Entry, error)
	// NextNumber is the running number of a tenant's day, from 1.
	NextNumber(ctx context.Context, tenant evcs.TenantID, day string) (int64, error)
	// Unpaid is an order of the driver in 10, or zero.
	Unpaid(ctx context.Context, scope evcs.Scope, user int64) (evcs.OrderID, error)
}

// Sessions keeps sessions and their samples.
type Sessions interface {
	Session(ctx context.Context, scope evcs.Scope, uid string) (*Session, error)
	SessionByKey(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID, key string) (*Session, error)
	SessionByNumber(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID, number int64) (*Session, error)
	// RunningSessions lists the charger's sessions in ACTIVE and SUSPENDED.
	RunningSessions(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID) ([]*Session, error)
	// RecentSessions lists the charger's newest sessions, at most n.
	RecentSessions(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID, n int) ([]*Session, error)
	InsertSession(ctx context.Context, s *Session) error
	UpdateSession(ctx context.Context, scope evcs.Scope, s *Session) error
	// UpdateReading is UpdateSession for what a reading moves.
	UpdateReading(ctx context.Context, s *Session) error
	// Link is UpdateSession for the order of a new session.
	Link(ctx context.Context, s *Session) error
}

// Samples keeps the readings of sessions.
type Samples interface {
	// AddSample stores a reading; false when the session has one of that moment. The
	// newest of a running session is written with the session, or not at all.
	AddSample(ctx context.Context, s *Session, r evcs.Sample) (bool, error)
	// Curve lists the session's readings by time.
	Curve(ctx context.Context, s *Session) ([]evcs.Sample, error)
}

// Claims keeps what chargers say themselves that orders cost.
type Claims interface {
	// KeepClaim stores a charger's bill of an order, unless the order has one.
	KeepClaim(ctx context.Context, c *Claim) error
	// Claim finds the charger's bill of an order; nil when there is none.
	Claim(ctx context.Context, scope evcs.Scope, id evcs.OrderID) (*Claim, error)
}

// Entry is one line of an order's timeline.
type Entry struct {
	Tenant   evcs.TenantID
	Order    evcs.OrderID
	At       time.Time
	Event    string
	From, To Status
	By       string
	Detail   string
}

// Heard is when a charger was last heard.
type Heard struct {
	Tenant  evcs.TenantID
	Charger evcs.ChargerID
	At      time.Time
}

// Recorder is the part of a transaction that Record needs.
type Recorder interface {
	Orders() Store
	Emit(ctx context.Context, e evcs.Event) error
}

// Facts is the data of an order event.
type Facts struct {
	OrderID      evcs.OrderID    `json:"orderId"`
	OrderNo      string          `json:"orderNo"`
	Status       Status          `json:"status"`
	StatusName   string          `json:"statusName"`
	StartState   StartState      `json:"startState"`
	UserID       int64           `json:"userId,omitempty"`
	Energy       json.RawMessage `json:"energy"`
	Amount       json.RawMessage `json:"amount"`
	PaidAmount   json.RawMessage `json:"paidAmount"`
	Refunded     json.RawMessage `json:"refundedAmount"`
	Held         bool            `json:"held"`
	Anomalies    []Anomaly       `json:"anomalies"`
	CancelReason string          `json:"cancelReason,omitempty"`
	Sandbox      bool            `json:"sandbox"`
	Event        string          `json:"event,omitempty"`
	Before       *Status         `json:"before,omitempty"`
	After        *Status         `json:"after,omitempty"`
}

// facts are the order's main fields as an event carries them.
func (o *Order) facts(c Change) json.RawMessage {
	f := evcs.Object{}.Whole("orderId", int64(o.ID)).Text("orderNo", o.No).Whole("status", int64(o.Status)).Text("statusName", o.Status.Name()).
		Text("startState", string(o.StartState))
	if o.User != 0 {
		f = f.Whole("userId", o.User)
	}
	f = f.Number("energy", o.Energy).Number("amount", o.Amount).Number("paidAmount", o.PaidAmount).Number("refundedAmount", o.RefundedAmount).
		Truth("held", o.Held)
	f = evcs.Texts(f, "anomalies", o.Anomalies)
	if o.CancelReason != "" {
		f = f.Text("cancelReason", o.CancelReason)
	}
	f = f.Truth("sandbox", o.Sandbox)
	if !c.None() {
		f = f.Text("event", c.Event)
		if c.From != None {
			f = f.Whole("before", int64(c.From))
		}
		f = f.Whole("after", int64(c.To))
	}
	return f.JSON()
}

// Record writes the order, and for each change its timeline entry and its
// event, in the caller's transaction. Changes that moved nothing are left out;
// when none is left, nothing is written: a repeat leaves no trace.
func Record(ctx context.Context, tx Recorder, o *Order, changes ...Change) error {
	written := false
	for _, c := range changes {
		if c.None() {
			continue
		}
		if !written {
			if err := tx.Orders().UpdateOrder(ctx, evcs.Only(o.Tenant), o); err != nil {
				return err
			}
			written = true
		}
		if err := note(ctx, tx, o, c, evcs.EventOrderStatus); err != nil {
			return err
		}
	}
	return nil
}

// Create inserts a new order with its timeline entries and events: its
// creation, and the changes it has gone through already.
func Create(ctx context.Context, tx Recorder, o *Order, by string, changes ...Change) error {
	if err := tx.Orders().InsertOrder(ctx, o); err != nil {
		return err
	}
	if err := note(ctx, tx, o, Change{Event: "CREATED", From: None, To: Charging, At: o.CreatedAt, By: by, Detail: o.PlanChosen}, evcs.EventOrderCreated); err != nil {
		return err
	}
	for _, c := range changes {
		if c.None() {
			continue
		}
		if err := note(ctx, tx, o, c, evcs.EventOrderStatus); err != nil {
			return err
		}
	}
	return nil
}

func note(ctx context.Context, tx Recorder, o *Order, c Change, kind string) error {
	by := c.By
	if by == "" {
		by = "system"
	}
	entry := Entry{Tenant: o.Tenant, Order: o.ID, At: c.At, Event: c.Event, From: c.From, To: c.To, By: by, Detail: c.Detail}
	if err := tx.Orders().Note(ctx, entry); err != nil {
		return err
	}
	e := o.Event(kind, c.At)
	e.Data = o.facts(c)
	return tx.Emit(ctx, e)
}
