package chargersim

import (
	"context"
	"time"
)

// action is what a charger tells.
type action string

const (
	actBoot      action = "BootNotification"
	actHeartbeat action = "Heartbeat"
	actStatus    action = "StatusNotification"
	actAuthorize action = "Authorize"
	actStart     action = "StartTransaction"
	actMeter     action = "MeterValues"
	actStop      action = "StopTransaction"
)

// message is one call to the server, before it is worded.
type message struct {
	action    action
	connector int
	charge    *charge // of authorize, start, meter, stop
	at        time.Time
	register  Energy
	reading   reading
	reason    string
	state     state
	tag       string
	// request is the id of a cloudcharge request: the same in every repeat.
	request string
	// faults befall the message when it is sent; each does so once.
	faults []Fault
	// attempts counts the times it was put on the wire.
	attempts int
	// lose: the answer to it will not be seen.
	lose bool
	// again: once it is answered it is told again.
	again bool
	// copy marks a repeat of a message that was answered already.
	copy bool
	// held until then, so that a later message overtakes it; real time.
	held time.Time
	// after is the earliest moment of the next attempt; real time.
	after time.Time
	// tampered is the fault that falsified its figures.
	tampered Fault
}

// transactional reports whether the message must be repeated until answered.
func (m *message) transactional() bool {
	return m.action == actStart || m.action == actMeter || m.action == actStop
}

// reading is what the meter shows beside the register.
type reading struct{ watts, volts, milliamps, soc int64 }

// verdict is how the server took a message.
type verdict int

const (
	taken   verdict = iota // answered, stored
	later                  // not now: repeat
	refused                // refused for good
)

// answer is the server's answer, understood.
type answer struct {
	id          string
	verdict     verdict
	fault       string // error word
	status      string // boot, tag
	interval    time.Duration
	now         time.Time // the server's clock
	transaction int64
	session     string
	orderNo     string
}

// order is something the server asks of the charger.
type order struct {
	id          string
	kind        string // OCPP action or cloudcharge command type
	connector   int
	tag         string
	transaction int64
	session     string
	hard        bool
	operative   bool
	trigger     string
	keys        []string
	key, value  string
}

// reply is the charger's answer to an order.
type reply struct {
	status  string
	fault   string // CALLERROR code; empty for a result
	config  []setting
	unknown []string
}

type setting struct {
	key, value string
	readOnly   bool
}

// event is what happens on a wire. Exactly one of the pointers is set, or gone.
type event struct {
	wire   wire
	answer *answer
	order  *order
	gone   error
}

// wire is one connection in one protocol.
type wire interface {
	// send puts a call on the wire; its answer comes as an event.
	send(id string, m *message) error
	reply(o order, r reply) error
	// raw sends bytes that are no message.
	raw(text string) error
	// close ends the connection and waits for its goroutines.
	close()
}

// dial opens a wire whose events go to out until ctx ends.
type dial func(ctx context.Context, out chan<- event) (wire, error)
