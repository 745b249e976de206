package cloudcharge

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

// poller is the session of a charger that fetches its commands with
// heartbeats. It lives as long as the charger calls.
type poller struct {
	server  *Server
	id      device.Identity
	address string
	since   time.Time
	last    atomic.Int64 // ms
	in, out atomic.Int64 // requests, answers

	mu      sync.Mutex
	closed  bool             // guarded by mu
	waiting []*asked         // guarded by mu: not answered yet
	given   []device.Command // guarded by mu: asked in vain so far
	wake    chan struct{}    // guarded by mu: closed and replaced at every change
	done    chan struct{}
}

// asked is a command without answer.
type asked struct {
	command device.Command
	answer  chan device.Answer // holds one
}

const (
	maxWaiting = 32
	maxGiven   = 32
)

var errCrowded = evcs.NewError(evcs.CodeRateLimited, "too many commands wait for this charger")

func (s *Server) newPoller(id device.Identity, address string, now time.Time) *poller {
	p := &poller{
		server: s, id: id, address: address, since: now,
		wake: make(chan struct{}), done: make(chan struct{}),
	}
	p.last.Store(evcs.Millis(now))
	return p
}

// Identity implements device.Session.
func (p *poller) Identity() device.Identity { return p.id }

// Info implements device.Session.
func (p *poller) Info() device.Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	return device.Info{
		Protocol: device.CloudCharge, Version: apiVersion, Address: p.address,
		Since: p.since, Last: evcs.FromMillis(p.last.Load()), In: p.in.Load(), Out: p.out.Load(), Pending: len(p.waiting),
	}
}

// Close implements device.Session.
func (p *poller) Close(string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		close(p.done)
		p.stir()
	}
}

// stir wakes whoever waits for commands; mu is held.
func (p *poller) stir() {
	close(p.wake)
	p.wake = make(chan struct{})
}

// Send implements device.Session. The command is handed out with every
// heartbeat until its result or its session event comes, or ctx ends.
func (p *poller) Send(ctx context.Context, c device.Command) (device.Answer, error) {
	if !slices.Contains(device.Commands(device.CloudCharge), c.Kind) {
		return device.Answer{}, device.ErrUnsupported
	}
	a := &asked{command: c, answer: make(chan device.Answer, 1)}
	if err := p.put(a); err != nil {
		return device.Answer{}, err
	}
	var err error
	select {
	case answer := <-a.answer:
		return answer, nil
	case <-ctx.Done():
		err = fmt.Errorf("waiting for the charger's answer: %w", ctx.Err())
	case <-p.done:
		err = device.ErrGone
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case answer := <-a.answer: // it came in the same moment
		return answer, nil
	default:
	}
	p.waiting = slices.DeleteFunc(p.waiting, func(w *asked) bool { return w == a })
	if len(p.given) == maxGiven {
		p.given = slices.Delete(p.given, 0, 1)
	}
	p.given = append(p.given, c)
	return device.Answer{}, err
}

func (p *poller) put(a *asked) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return device.ErrGone
	case len(p.waiting) >= maxWaiting:
		return errCrowded
	}
	p.waiting = append(p.waiting, a)
	p.stir()
	return nil
}

// resolve brings an answer to the commands that match; late ones are returned.
func (p *poller) resolve(match func(device.Command) bool, answer device.Answer) (late []device.Command) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = slices.DeleteFunc(p.waiting, func(w *asked) bool {
		if match(w.command) {
			w.answer <- answer
			return true
		}
		return false
	})
	p.given = slices.DeleteFunc(p.given, func(c device.Command) bool {
		if match(c) {
			late = append(late, c)
			return true
		}
		return false
	})
	return late
}

// poll returns the commands to hand out. It waits for one as long as wait,
// and gives way to the next poll of the same charger.
func (p *poller) poll(ctx context.Context, wait time.Duration) []device.Command {
	limit := time.NewTimer(wait)
	defer limit.Stop()
	first := true
	for {
		p.mu.Lock()
		if first {
			p.stir() // an older poll of this charger is of no use any more
			first = false
		}
		commands := make([]device.Command, 0, len(p.waiting))
		for _, w := range p.waiting {
			commands = append(commands, w.command)
		}
		wake := p.wake
		p.mu.Unlock()
		if len(commands) > 0 || wait <= 0 {
			return commands
		}
		select {
		case <-wake:
			wait = 0 // look once more, then answer
		case <-limit.C:
			return commands
		case <-ctx.Done():
			return commands
		case <-p.server.stopping:
			return commands
		}
	}
}

// commandJSON is a command on the wire.
type commandJSON struct {
	CommandID evcs.CommandID  `json:"commandId"`
	Type      device.Kind     `json:"type"`
	Connector *int            `json:"connectorNo"`
	SessionID *string         `json:"sessionId"`
	OrderNo   *string         `json:"orderNo"`
	UserID    *int64          `json:"userId"`
	IDTag     *string         `json:"idTag"`
	Params    json.RawMessage `json:"params"`
}

func wireCommands(list []device.Command) []commandJSON {
	out := make([]commandJSON, 0, len(list))
	for _, c := range list {
		out = append(out, commandJSON{
			CommandID: c.ID, Type: c.Kind, Connector: told(c.Connector), SessionID: told(c.Session),
			OrderNo: told(c.OrderNo), UserID: told(c.User), IDTag: told(c.IDTag), Params: params(c),
		})
	}
	return out
}

// told is nil for the zero value, which means that nothing was said.
func told[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func params(c device.Command) json.RawMessage {
	p := map[string]any{}
	switch c.Kind {
	case device.KindReset:
		p["type"] = "soft"
		if c.Hard {
			p["type"] = "hard"
		}
	case device.KindAvailability:
		p["operative"] = c.Operative
	case device.KindTrigger:
		p["message"] = c.Message
	case device.KindGetConfig:
		p["keys"] = c.Keys
	case device.KindSetConfig:
		p["key"], p["value"] = c.Key, c.Value
	}
	text, err := json.Marshal(p)
	if err != nil {
		return json.RawMessage(`{}`)
	}
	return text
}
