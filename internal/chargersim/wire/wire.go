// Package wire is what a simulated charger and its server have to say to each
// other, before a protocol words it: calls and answers, orders and replies, and
// the connection they travel on.
package wire

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/chargersim/journal"
)

// Action is what a charger tells.
type Action string

// The actions.
const (
	Boot      Action = "BootNotification"
	Heartbeat Action = "Heartbeat"
	Status    Action = "StatusNotification"
	Authorize Action = "Authorize"
	Start     Action = "StartTransaction"
	Meter     Action = "MeterValues"
	Stop      Action = "StopTransaction"
)

// Call is one message to the server. Which fields count depends on the action.
type Call struct {
	Action    Action
	Connector int
	At        time.Time
	Register  journal.Energy
	Reading   Reading
	Reason    string // of a stop; empty when the charger gives none
	State     State
	Tag       string
	// Request is the id of a cloudcharge request: the same in every repeat.
	Request string
	// Transaction and Session name the charging session, as far as it has a name;
	// Command is the order that asked for it.
	Transaction      int64
	Session, Command string
	Offline          bool
	// Bill is what the charger reckons itself that the session cost, in fen; 0: it
	// does not say.
	Bill int64
}

// Transactional reports whether the call must be repeated until answered.
func (c *Call) Transactional() bool {
	return c.Action == Start || c.Action == Meter || c.Action == Stop
}

// Reading is what the meter shows beside the register: W, V, mA and thousandths
// of a percent, SoC negative when it is not known.
type Reading struct{ Watts, Volts, Milliamps, SoC int64 }

// State is the state of a connector in the words of OCPP 1.6.
type State string

// The states a simulated connector can have.
const (
	Available   State = "Available"
	Preparing   State = "Preparing"
	Charging    State = "Charging"
	SuspendedEV State = "SuspendedEV"
	Finishing   State = "Finishing"
	Unavailable State = "Unavailable"
)

// Plugged reports whether a car is there.
func (s State) Plugged() bool { return s != Available && s != Unavailable }

// Verdict is how the server took a call.
type Verdict int

// The verdicts.
const (
	Taken   Verdict = iota // answered, stored
	Later                  // not now: repeat
	Refused                // refused for good
)

// Answer is the server's answer, understood.
type Answer struct {
	ID          string
	Verdict     Verdict
	Fault       string // error word
	Status      string // boot, tag
	Interval    time.Duration
	Now         time.Time // the server's clock
	Transaction int64
	Session     string
	OrderNo     string
}

// Order is something the server asks of the charger.
type Order struct {
	ID          string
	Kind        string // OCPP action or cloudcharge command type
	Connector   int
	Tag         string
	Transaction int64
	Session     string
	Hard        bool
	Operative   bool
	Trigger     string
	Keys        []string
	Key, Value  string
}

// Reply is the charger's answer to an order.
type Reply struct {
	Status  string
	Fault   string // CALLERROR code; empty for a result
	Config  []Setting
	Unknown []string
}

// Setting is one configuration key.
type Setting struct {
	Key, Value string
	ReadOnly   bool
}

// Event is what happens on a connection. Exactly one of Answer, Order and Gone
// is set.
type Event struct {
	Conn   Conn
	Answer *Answer
	Order  *Order
	Gone   error
}

// Conn is one connection in one protocol.
type Conn interface {
	// Send puts a call on the wire; its answer comes as an event.
	Send(id string, c Call) error
	Reply(o Order, r Reply) error
	// Raw sends bytes that are no message.
	Raw(text string) error
	// Close ends the connection and waits for its goroutines.
	Close()
}

// Dial opens a connection whose events go to out until ctx ends.
type Dial func(ctx context.Context, out chan<- Event) (Conn, error)

// Accent is how one charger writes what the standards leave open.
type Accent struct {
	Style  Style
	Spaced bool // "[2, "id", …]"
	Kilo   bool // registers in kWh instead of Wh
	Model  string
	Serial string
}

// Style is how a charger writes times.
type Style int

// The styles.
const (
	StyleMillis Style = iota
	StyleSeconds
	StyleMicros
	Styles // how many there are
)

// Exact is the moment that remains of t once it has been written.
func (s Style) Exact(t time.Time) time.Time {
	if s == StyleSeconds {
		return t.Truncate(time.Second)
	}
	return t.Truncate(time.Millisecond)
}

// Write writes t.
func (s Style) Write(t time.Time) string {
	switch s {
	case StyleSeconds:
		return t.UTC().Format("2006-01-02T15:04:05Z")
	case StyleMicros:
		return t.UTC().Format("2006-01-02T15:04:05.000000+00:00")
	case StyleMillis, Styles:
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
