// Package command keeps what was asked of a charger and what became of it. A
// command moves forward only; its outcome is always known, if only as "not in
// time".
package command

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// State is how far a command has come (contract §5.4).
type State string

// The states.
const (
	Pending   State = "PENDING"  // stored, not yet sent
	Sent      State = "SENT"     // on the wire
	Accepted  State = "ACCEPTED" // the device said yes; START and STOP await their session event
	Completed State = "COMPLETED"
	Rejected  State = "REJECTED"
	Timeout   State = "TIMEOUT"
	Failed    State = "FAILED"
	Cancelled State = "CANCELLED"
)

// Open reports whether an outcome is still awaited.
func (s State) Open() bool { return s == Pending || s == Sent || s == Accepted }

// The kinds that await something after the device's yes: an event of a session,
// or of a firmware update its report.
const (
	Start    = "START"
	Stop     = "STOP"
	Firmware = "UPDATE_FIRMWARE"
)

// The refusals of a command.
var (
	ErrNotFound    = evcs.NewError(evcs.CodeCommandNotFound, "no such command")
	ErrState       = evcs.NewError(evcs.CodeCommandState, "the command's state does not allow this")
	ErrRejected    = evcs.NewError(evcs.CodeCommandRejected, "the device refused the command")
	ErrTimeout     = evcs.NewError(evcs.CodeCommandTimeout, "the device did not answer in time")
	ErrUnsupported = evcs.NewError(evcs.CodeCommandUnsupported, "the protocol has no such command")
)

// Command is one thing asked of a charger.
type Command struct {
	ID          evcs.CommandID
	Tenant      evcs.TenantID
	Charger     evcs.ChargerID
	Connector   int    // zero: the whole charger
	Type        string // START, STOP, RESET, …
	State       State
	Params      json.RawMessage // an object
	Result      json.RawMessage // nil: none
	Reason      string
	Order       evcs.OrderID
	Session     string
	RequestedBy string
	CreatedAt   time.Time
	SentAt      time.Time
	AnsweredAt  time.Time
	EndedAt     time.Time
	Deadline    time.Time
	Node        string // the node that sends it
	Version     int64
}

// AwaitsSession reports whether the device's yes is not yet the effect.
func (c *Command) AwaitsSession() bool { return c.Type == Start || c.Type == Stop }

// Final reports whether the outcome is known as far as anybody waits for it.
func (c *Command) Final() bool {
	return !c.State.Open() || c.State == Accepted && !c.AwaitsSession()
}

// StateError is 2013 with its facts.
func (c *Command) StateError() error {
	return evcs.With(ErrState, map[string]any{"commandId": c.ID, "state": c.State})
}

func (c *Command) move(to State, at time.Time, from ...State) error {
	if !slices.Contains(from, c.State) {
		return c.StateError()
	}
	c.State = to
	if !to.Open() {
		c.EndedAt = at
		c.forget()
	}
	return nil
}

// Send puts the command on the wire of a node.
func (c *Command) Send(node string, at time.Time) error {
	if err := c.move(Sent, at, Pending); err != nil {
		return err
	}
	c.Node, c.SentAt = node, at
	return nil
}

// Answer records what the device said. After the end of the waiting the answer
// is kept and changes the state no more.
func (c *Command) Answer(accepted bool, reason string, result json.RawMessage, at time.Time) {
	if c.AnsweredAt.IsZero() {
		c.AnsweredAt = at
	}
	if result != nil {
		c.Result = result
	}
	if !c.State.Open() {
		if result == nil && (c.State != Completed || !accepted) { // its effect came before its yes: nothing is late
			c.Result = lateResult(accepted, reason)
		}
		return
	}
	if c.State == Accepted {
		return
	}
	if accepted {
		c.State = Accepted
		if c.Final() {
			c.Params = c.Shown() // told once and for all
		}
		return
	}
	c.State, c.Reason, c.EndedAt = Rejected, reason, at
	c.forget()
}

func lateResult(accepted bool, reason string) json.RawMessage {
	data, _ := json.Marshal(struct { // a bool and a text
		Late     bool   `json:"late"`
		Accepted bool   `json:"accepted"`
		Reason   string `json:"reason,omitempty"`
	}{true, accepted, reason})
	return data
}

// Complete records that the effect was seen. It reports whether that was news.
func (c *Command) Complete(at time.Time) bool {
	if c.move(Completed, at, Pending, Sent, Accepted) != nil {
		return false
	}
	if c.AnsweredAt.IsZero() {
		c.AnsweredAt = at
	}
	return true
}

// Worked records the end of what the device's yes set in motion (a firmware
// update); word is the device's. It reports whether that was news.
func (c *Command) Worked(done bool, word string, at time.Time) bool {
	to := Completed
	if !done {
		to = Failed
	}
	if c.move(to, at, Sent, Accepted) != nil {
		return false
	}
	c.Reason = word
	if c.AnsweredAt.IsZero() {
		c.AnsweredAt = at
	}
	return true
}

// Expire ends the waiting; it reports whether it was still waiting. A firmware
// update that was accepted is waited for until its report.
func (c *Command) Expire(reason string, at time.Time) bool {
	reports := c.Type == Firmware && c.State == Accepted
	if c.Final() && !reports || c.move(Timeout, at, Pending, Sent, Accepted) != nil {
		return false
	}
	c.Reason = reason
	return true
}

// Fail ends a command that could not be sent.
func (c *Command) Fail(reason string, at time.Time) error {
	if err := c.move(Failed, at, Pending, Sent); err != nil {
		return err
	}
	c.Reason = reason
	return nil
}

// Cancel takes back a command that was not sent yet (2013 otherwise).
func (c *Command) Cancel(at time.Time) error {
	if err := c.move(Cancelled, at, Pending); err != nil {
		return err
	}
	c.Reason = "cancelled"
	return nil
}

// Event is the envelope and the facts of the event about the command.
func (c *Command) Event(at time.Time) evcs.Event {
	data, _ := json.Marshal(struct { // plain fields
		CommandID evcs.CommandID `json:"commandId"`
		Type      string         `json:"type"`
		State     State          `json:"state"`
		Reason    string         `json:"reason,omitempty"`
	}{c.ID, c.Type, c.State, c.Reason})
	return evcs.Event{
		Type: evcs.EventCommandUpdated, Time: at, Tenant: c.Tenant, Charger: c.Charger, Connector: c.Connector,
		Order: c.Order, Session: c.Session, Data: data,
	}
}

// Blocked reports whether a command must wait for one of the open commands of
// its charger: of one kind and connector one is on the wire, in the order of
// asking.
func Blocked(c *Command, open []*Command) bool {
	return slices.ContainsFunc(open, func(o *Command) bool {
		return o.ID != c.ID && o.Type == c.Type && o.Connector == c.Connector && (o.State == Sent || o.State == Pending && o.ID < c.ID)
	})
}

// Store keeps commands.
type Store interface {
	Command(ctx context.Context, scope evcs.Scope, id evcs.CommandID) (*Command, error)
	InsertCommand(ctx context.Context, c *Command) error
	UpdateCommand(ctx context.Context, scope evcs.Scope, c *Command) error
	// OpenCommands lists the charger's commands whose outcome is awaited.
	OpenCommands(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID) ([]*Command, error)
	// NewestAccepted is the charger's newest command of a type that the device has
	// said yes to; nil when there is none.
	NewestAccepted(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID, typ string) (*Command, error)
	// DueCommands lists open commands of any tenant whose deadline has passed.
	DueCommands(ctx context.Context, now time.Time, n int) ([]*Command, error)
	// WaitingCommands lists PENDING commands of any tenant, oldest first.
	WaitingCommands(ctx context.Context, n int) ([]*Command, error)
}
