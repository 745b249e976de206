package ocppj

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

// ErrCrowded says that too many commands wait for the wire of this charger.
var ErrCrowded = evcs.NewError(evcs.CodeRateLimited, "too many commands wait for this charger")

// Request is one call of this side.
type Request struct {
	Action  string
	Payload []byte // a JSON object
	// Late is called at most once, with the answer that came after Call had
	// given up. It may be nil.
	Late func(result []byte, err error)
	// Seen is told of the request before it is written and of its answer, also a
	// late one. It must return soon. It may be nil.
	Seen func(Traffic)
}

// Traffic is one message of a request as it goes over the wire. Its slices are
// valid during the call.
type Traffic struct {
	Out     bool // the request itself
	ID      string
	Text    []byte
	Payload []byte // of a result; nil for a CALLERROR
	Code    string // of a CALLERROR
}

// outgoing is a request on the wire, or given up and perhaps answered later.
type outgoing struct {
	id     string
	answer chan reply // holds one
	late   func([]byte, error)
	text   []byte
	seen   func(Traffic)
}

type reply struct {
	result []byte
	err    error
}

// maxLate is how many given-up requests of one connection are remembered.
const maxLate = 16

// Call asks the station and waits for its answer until ctx ends. One request
// is on the wire at a time, others wait their turn. The error is a *CallError
// when the station said so, device.ErrGone when the connection ended.
func (c *Conn) Call(ctx context.Context, r Request) ([]byte, error) {
	if c.waiting.Add(1) > int32(c.engine.options.Waiting) {
		c.waiting.Add(-1)
		return nil, ErrCrowded
	}
	defer c.waiting.Add(-1)
	turn := c.line()
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to call %s: %w", r.Action, ctx.Err())
	case <-c.done:
		return nil, device.ErrGone
	}
	defer func() { <-turn }()
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("waiting to call %s: %w", r.Action, err)
	}
	o, err := c.send(r)
	if err != nil {
		return nil, err
	}
	if o.seen != nil {
		o.seen(Traffic{Out: true, ID: o.id, Text: o.text})
	}
	return c.await(ctx, o, r.Action)
}

// line is where callers queue; most stations are never called.
func (c *Conn) line() chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn == nil {
		c.turn = make(chan struct{}, 1)
	}
	return c.turn
}

// send writes the request from a goroutine of its own, so that a station that
// does not read cannot hold the caller beyond its deadline.
func (c *Conn) send(r Request) (*outgoing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.ended {
		return nil, device.ErrGone
	}
	c.serial++
	o := &outgoing{
		id: c.prefix + strconv.FormatUint(c.serial, 10), answer: make(chan reply, 1), late: r.Late, seen: r.Seen,
	}
	c.pending = o
	o.text = AppendCall(nil, o.id, r.Action, r.Payload)
	c.work.Go(func() { c.write(o.text) })
	return o, nil
}

func (c *Conn) await(ctx context.Context, o *outgoing, action string) ([]byte, error) {
	var err error
	select {
	case a := <-o.answer:
		return a.result, a.err
	case <-ctx.Done():
		err = fmt.Errorf("waiting for the answer to %s: %w", action, ctx.Err())
	case <-c.done:
		err = device.ErrGone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case a := <-o.answer: // it came in the same moment
		return a.result, a.err
	default:
	}
	c.pending = nil
	if o.late != nil || o.seen != nil {
		if len(c.late) == maxLate {
			c.late = slices.Delete(c.late, 0, 1)
		}
		c.late = append(c.late, o)
	}
	return nil, err
}

// settle brings an answer of the station to who asked.
func (c *Conn) settle(f frame, text []byte) {
	o := c.deliver(f)
	if o == nil {
		c.engine.counters.Stray.Add(1)
		return
	}
	if o.seen == nil {
		return
	}
	t := Traffic{ID: o.id, Text: text, Payload: f.payload}
	if f.kind == typeError {
		t.Code = cleanText(f.name)
	}
	o.seen(t)
}

// deliver hands an answer over and returns what it answers; nil when nothing
// was asked.
func (c *Conn) deliver(f frame) *outgoing {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := messageID(f.id)
	if p := c.pending; p != nil && p.id == id {
		c.pending = nil
		p.answer <- f.reply()
		return p
	}
	i := slices.IndexFunc(c.late, func(o *outgoing) bool { return o.id == id })
	if i < 0 {
		return nil
	}
	o := c.late[i]
	c.late = slices.Delete(c.late, i, i+1)
	c.engine.counters.Late.Add(1)
	a := f.reply()
	if !c.ended && o.late != nil {
		c.work.Go(func() { o.late(a.result, a.err) })
	}
	return o
}

// reply copies the answer out of the message.
func (f frame) reply() reply {
	if f.kind == typeError {
		return reply{err: &CallError{Code: cleanText(f.name), Description: cleanText(f.detail)}}
	}
	if !json.Valid(f.payload) {
		return reply{err: &CallError{Code: "FormationViolation", Description: "the station's answer is not JSON"}}
	}
	return reply{result: bytes.Clone(bytes.TrimSpace(f.payload))}
}

func cleanText(b []byte) string {
	return clip(strings.ToValidUTF8(string(b), "\uFFFD"), maxDescription)
}

// newPrefix makes message ids that do not repeat across connections.
func newPrefix() string { return rand.Text()[:12] + "-" }
