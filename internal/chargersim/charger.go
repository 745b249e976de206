package chargersim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/evcs/evcs/internal/chargersim/journal"
)

// Charger is the handle of one charger of a running fleet. Its methods may be
// called from any goroutine; they take effect in order.
type Charger struct {
	id   string
	box  chan func()
	wg   sync.WaitGroup
	gone chan struct{} // closed when the charger has stopped
	unit *unit

	mu      sync.Mutex
	seen    Snapshot      // guarded by mu
	changed chan struct{} // guarded by mu; closed at the next change
}

// Snapshot is a charger at one moment.
type Snapshot struct {
	// Connected: there is a connection, and the server has taken the charger in.
	Connected bool
	// Queued is the number of transaction messages that are not answered yet.
	Queued int
	// Sessions and Stopped count the sessions begun and ended.
	Sessions, Stopped int
	Connectors        []ConnectorSnapshot
}

// ConnectorSnapshot is one connector of a Snapshot.
type ConnectorSnapshot struct {
	No       int
	State    string // in the words of OCPP 1.6
	Plugged  bool
	Charging bool
	Local    string // of the running session
	// Started: the running session was acknowledged; under Transaction or Session.
	Started     bool
	Transaction int64
	Session     string
	Register    journal.Energy
}

func newCharger(u *unit) *Charger {
	return &Charger{
		id: u.conf.DeviceID, unit: u, box: make(chan func(), 64), gone: make(chan struct{}), changed: make(chan struct{}),
	}
}

// ErrStopped is the answer of a charger that is not running any more.
var ErrStopped = errors.New("the simulated charger has stopped")

// ID is the charger's device id.
func (c *Charger) ID() string { return c.id }

// do runs f in the charger's goroutine and returns its error.
func (c *Charger) do(ctx context.Context, f func(*unit) error) error {
	done := make(chan error, 1)
	select {
	case c.box <- func() { done <- f(c.unit) }:
	case <-c.gone:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("charger %s: %w", c.id, ctx.Err())
	}
	select {
	case err := <-done:
		return err
	case <-c.gone:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("charger %s: %w", c.id, ctx.Err())
	}
}

func (c *Charger) at(ctx context.Context, no int, f func(*unit, *connector) error) error {
	return c.do(ctx, func(u *unit) error {
		p := u.connector(no)
		if p == nil {
			return fmt.Errorf("charger %s has no connector %d", c.id, no)
		}
		return f(u, p)
	})
}

// Plug brings a car to a free connector.
func (c *Charger) Plug(ctx context.Context, no int) error {
	return c.at(ctx, no, func(u *unit, p *connector) error {
		u.plug(p)
		return nil
	})
}

// Unplug takes the car away; a running session ends.
func (c *Charger) Unplug(ctx context.Context, no int) error {
	return c.at(ctx, no, func(u *unit, p *connector) error {
		u.unplug(p, u.sim())
		return nil
	})
}

// StartLocal presents a tag. Online the server is asked first and the session
// begins when it agrees; offline it begins at once.
func (c *Charger) StartLocal(ctx context.Context, no int, tag string) error {
	return c.at(ctx, no, func(u *unit, p *connector) error {
		if p.charge != nil {
			return fmt.Errorf("charger %s: connector %d is charging", c.id, no)
		}
		u.plug(p)
		u.present(p, tag)
		return nil
	})
}

// StopLocal ends the running session at the charger; the car stays.
func (c *Charger) StopLocal(ctx context.Context, no int) error {
	return c.at(ctx, no, func(u *unit, p *connector) error {
		if p.charge == nil {
			return fmt.Errorf("charger %s: connector %d is not charging", c.id, no)
		}
		u.finish(p, u.sim(), "Local")
		return nil
	})
}

// GoOffline cuts the connection until GoOnline.
func (c *Charger) GoOffline(ctx context.Context) error {
	return c.do(ctx, func(u *unit) error {
		u.goOffline()
		return nil
	})
}

// GoOnline lets the charger connect again.
func (c *Charger) GoOnline(ctx context.Context) error {
	return c.do(ctx, func(u *unit) error {
		u.goOnline()
		return nil
	})
}

// Inject lets a fault befall the next transaction message.
func (c *Charger) Inject(ctx context.Context, f Fault) error {
	if !slices.Contains(AllFaults(), f) {
		return fmt.Errorf("fault %q: not one of %v", f, AllFaults())
	}
	return c.do(ctx, func(u *unit) error {
		u.injected = append(u.injected, f)
		return nil
	})
}

// WindUp ends all sessions, goes online and lets the charger stop when
// everything is told. No fault happens any more.
func (c *Charger) WindUp(ctx context.Context) error {
	return c.do(ctx, func(u *unit) error {
		u.windUp(u.sim())
		return nil
	})
}

// Snapshot is the charger as it is now.
func (c *Charger) Snapshot() Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// Await waits until is holds, and returns the snapshot it held for.
func (c *Charger) Await(ctx context.Context, is func(Snapshot) bool) (Snapshot, error) {
	for {
		c.mu.Lock()
		seen, changed := c.seen, c.changed
		c.mu.Unlock()
		if is(seen) {
			return seen, nil
		}
		select {
		case <-changed:
		case <-c.gone:
			if last := c.Snapshot(); is(last) {
				return last, nil
			}
			return seen, ErrStopped
		case <-ctx.Done():
			return seen, fmt.Errorf("charger %s: awaited in vain: %w", c.id, ctx.Err())
		}
	}
}

// Connected holds when the server has taken the charger in.
func Connected(s Snapshot) bool { return s.Connected }

// Drained holds when everything told is answered.
func Drained(s Snapshot) bool { return s.Queued == 0 }

// Charging holds when the session at a connector is acknowledged.
func Charging(connector int) func(Snapshot) bool {
	return func(s Snapshot) bool {
		return connector >= 1 && connector <= len(s.Connectors) && s.Connectors[connector-1].Started
	}
}

// Idle holds when no session runs at a connector and everything is answered.
func Idle(connector int) func(Snapshot) bool {
	return func(s Snapshot) bool {
		return connector >= 1 && connector <= len(s.Connectors) && !s.Connectors[connector-1].Charging && Drained(s)
	}
}

// finish tells those who wait that the charger has stopped.
func (c *Charger) finish() {
	c.wg.Wait()
	c.unit.dirty = true
	c.unit.publish()
	close(c.gone)
}

// publish makes the present state visible.
func (u *unit) publish() {
	if !u.dirty {
		return
	}
	u.dirty = false
	s := Snapshot{Connected: u.online(), Queued: len(u.queue), Sessions: u.sessions, Stopped: u.stopped}
	for _, c := range u.connectors {
		p := ConnectorSnapshot{No: c.no, State: string(c.state), Plugged: c.car != nil, Register: c.meter.register()}
		if ch := c.charge; ch != nil {
			p.Charging, p.Local, p.Started, p.Transaction, p.Session = true, ch.local, ch.acked, ch.transaction, ch.session
		}
		s.Connectors = append(s.Connectors, p)
	}
	u.handle.mu.Lock()
	defer u.handle.mu.Unlock()
	u.handle.seen = s
	close(u.handle.changed)
	u.handle.changed = make(chan struct{})
}

func (u *unit) drained() bool { return len(u.queue) == 0 && len(u.pending) == 0 }
