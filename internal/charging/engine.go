// Package charging is what happens between a plugged-in car and a bill:
// authorise, start, meter, stop and settle, by the device or by an operator,
// with the commands that go out and what becomes of them. Its one promise: what
// a device told is durable before the method that took it returns, and telling
// it again changes nothing and gets the same answer.
package charging

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// Tx is the part of a transaction that charging needs.
type Tx interface {
	Tenants() tenant.Store
	Stations() station.Store
	Tariffs() tariff.Store
	Orders() order.Store
	Commands() command.Store
	Ledger() ledger.Store
	Payments() payment.Store
	Alarms() alarm.Store
	Emit(ctx context.Context, e evcs.Event) error
	KeepFrame(ctx context.Context, f evcs.Frame) error
}

// Transact runs a function in one durable transaction, again when it was stale.
type Transact func(ctx context.Context, fn func(Tx) error) error

// Rolls is the store's view over all tenants for the daemon's own rounds.
type Rolls interface {
	// Heard writes when chargers were last heard; it never goes back.
	Heard(ctx context.Context, list []order.Heard) error
	// LeastHeard lists chargers that are not offline, the one that was not heard
	// for longest first.
	LeastHeard(ctx context.Context, n int) ([]order.Heard, error)
	// Connected lists chargers that the node shows as connected.
	Connected(ctx context.Context, node string) ([]order.Heard, error)
	// Overdue lists running sessions idle or silent since before the moments.
	Overdue(ctx context.Context, idle, silent time.Time, n int) ([]*order.Session, error)
	// Running lists running sessions with ids above after.
	Running(ctx context.Context, after int64, n int) ([]*order.Session, error)
	// Mark is station.Live's.
	Mark(ctx context.Context) (int64, error)
	Due(ctx context.Context, now time.Time, n int) ([]*command.Command, error)
	Waiting(ctx context.Context, n int) ([]*command.Command, error)
	// Command reads one command outside a transaction.
	Command(ctx context.Context, scope evcs.Scope, id evcs.CommandID) (*command.Command, error)
}

// Config is what an engine is built of.
type Config struct {
	Urgent  Transact // starts, stops, money: committed at once
	Patient Transact // readings and reports: may wait for company
	Rolls   Rolls
	Tenants Chains
	Hub     *device.Hub
	Clock   evcs.Clock
	Log     *slog.Logger
	Node    string // name of this node in the commands it sends
	// OfflineAfter is how long a silent charger counts as there; zero: 5 min.
	OfflineAfter time.Duration
}

// Engine is everything charging. It implements device.Handler and
// device.Presence.
type Engine struct {
	Config
	memory  memory
	age     atomic.Int64 // of what chargers' messages are judged by: older memory does not count
	mark    atomic.Int64 // the store's, as this node last saw it
	mu      sync.Mutex
	units   map[evcs.ChargerID]*unit                      // guarded by mu
	waiters map[evcs.CommandID]map[chan struct{}]struct{} // guarded by mu
	heard   map[evcs.ChargerID]order.Heard                // guarded by mu: not yet in the store
	back    map[evcs.ChargerID]time.Time                  // guarded by mu: connected, stops to be repeated
	gone    map[evcs.ChargerID]order.Heard                // guarded by mu: sockets closed, and when
	joins   map[evcs.ChargerID]*joins                     // guarded by mu: when chargers connected lately
	tidied  time.Time                                     // guarded by mu: when memory was last tidied
	audible time.Time                                     // of the rounds alone: nobody is silent before it
	blocked map[evcs.TenantID]time.Time                   // guarded by mu: tenants whose chargers are disconnected, and since when
	nudged  chan struct{}
	frames  []evcs.Frame // guarded by mu: evidence that may wait
	sending sync.WaitGroup
}

// New returns an engine. Its rounds run in Run.
func New(c Config) *Engine {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.OfflineAfter <= 0 {
		c.OfflineAfter = 5 * time.Minute
	}
	return &Engine{
		Config: c, units: make(map[evcs.ChargerID]*unit), waiters: make(map[evcs.CommandID]map[chan struct{}]struct{}),
		heard: make(map[evcs.ChargerID]order.Heard), back: make(map[evcs.ChargerID]time.Time), gone: make(map[evcs.ChargerID]order.Heard),
		joins: make(map[evcs.ChargerID]*joins), blocked: make(map[evcs.TenantID]time.Time), nudged: make(chan struct{}, 1),
	}
}

// unit is one charger in memory: a lock that keeps its messages in a row, and
// what was last committed about it.
type unit struct {
	mu    sync.Mutex
	known *site // guarded by mu; nil: read it again
}

func (e *Engine) unit(id evcs.ChargerID) *unit {
	e.mu.Lock()
	defer e.mu.Unlock()
	u := e.units[id]
	if u == nil {
		u = new(unit)
		e.units[id] = u
	}
	return u
}

// Invalidate forgets what is remembered of a charger, or of all chargers when
// id is zero. Whoever changes a charger, its connectors, its tenant or its
// station outside this package calls it after the commit.
func (e *Engine) Invalidate(id evcs.ChargerID) {
	if id == 0 {
		e.age.Add(1)
		e.nudge()
		return
	}
	e.mu.Lock()
	u := e.units[id]
	e.mu.Unlock()
	if u != nil {
		u.mu.Lock()
		u.known = nil
		u.mu.Unlock()
	}
}

// look forgets everything when settings were changed anywhere since it was
// last called.
func (e *Engine) look(ctx context.Context) error {
	mark, err := e.Rolls.Mark(ctx)
	if err == nil && e.mark.Swap(mark) != mark {
		e.age.Add(1)
	}
	return err
}

// freshness says whether what is remembered will do.
type freshness int

const (
	remembered freshness = iota
	// proven is remembered when no settings were changed meanwhile, on any node.
	proven
	reread
)

// act runs fn on the charger in one transaction. fn works on a copy of what is
// remembered; it replaces the memory only after the commit. A stale copy makes
// the transaction run again on what the store says.
func (e *Engine) act(ctx context.Context, who place, how Transact, f freshness, fn func(tx Tx, s *site) error) error {
	u := e.unit(who.id)
	u.mu.Lock()
	defer u.mu.Unlock()
	age := e.age.Load()
	known := u.known
	if f == reread || known != nil && known.age != age {
		known = nil
	}
	var next *site
	err := how(ctx, func(tx Tx) error {
		s, err := e.site(ctx, tx, known, who, f)
		known, next = nil, nil // a second run reads afresh
		if err != nil {
			return err
		}
		s.age = age
		if err := fn(tx, s); err != nil {
			return err
		}
		if err := s.seal(ctx, tx, e.Clock.Now()); err != nil {
			return err
		}
		next = s
		return nil
	})
	switch {
	case err == nil:
		e.memory.learn(next.mark, next.learned)
		next.learned, next.fresh = nil, false
		u.known = next
		e.announce(next)
	case errors.Is(err, evcs.ErrStale):
		u.known = nil
	}
	return err
}

// place names a charger and its tenant.
type place struct {
	tenant evcs.TenantID
	id     evcs.ChargerID
}

func placeOf(id device.Identity) place { return place{id.Tenant, id.Charger} }

func (p place) scope() evcs.Scope { return evcs.Only(p.tenant) }

// announce wakes those who wait for commands that were touched.
func (e *Engine) announce(s *site) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range s.touched {
		for c := range e.waiters[id] {
			select {
			case c <- struct{}{}:
			default: // told already
			}
		}
	}
	s.touched = nil
}

// keep stores the frame of what was told.
func keep(ctx context.Context, tx Tx, f device.From, session, outcome string) error {
	frame := f.Frame()
	frame.Session, frame.Outcome = session, outcome
	return tx.KeepFrame(ctx, frame)
}

// received is when the platform got the message.
func (e *Engine) received(f device.From) time.Time {
	if f.Received.IsZero() {
		return e.Clock.Now()
	}
	return f.Received.UTC().Truncate(time.Millisecond)
}
