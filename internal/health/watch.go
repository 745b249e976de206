package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Store keeps what nodes say of themselves.
type Store interface {
	// SaveNode writes a node's row, unless a newer start of it wrote one.
	SaveNode(ctx context.Context, n Node) error
	// RemoveNode takes the row of a node that stopped in order.
	RemoveNode(ctx context.Context, id string) error
	// Nodes are all nodes heard since a time, by id.
	Nodes(ctx context.Context, since time.Time) ([]Node, error)
	// ForgetNodes deletes those not heard since a time.
	ForgetNodes(ctx context.Context, before time.Time) error
	// AddMinutes adds minutes of a node.
	AddMinutes(ctx context.Context, node string, list []Minute) error
	// EachMinute calls f for every stored minute of a window.
	EachMinute(ctx context.Context, w Window, f func(*Minute) error) error
}

// Probe tries something; an error says that it does not work.
type Probe struct {
	Name string // of the checks
	Try  func(ctx context.Context) error
}

const (
	// Every is the distance of two rounds of checks.
	Every = 10 * time.Second
	// checkLimit is what a check may take.
	checkLimit = 2 * time.Second
)

// Config is what a Watch is made of.
type Config struct {
	Clock  evcs.Clock
	Log    *slog.Logger
	Store  Store
	Node   Node // without Seen and State
	Probes []Probe
	// Sample measures host, process and database.
	Sample func(ctx context.Context) System
	// Requests are those of this node.
	Requests *Recorder
}

// Watch checks this node every ten seconds, tells the others by its row, and
// answers how all of them are.
type Watch struct {
	cfg    Config
	mu     sync.Mutex
	system System    // guarded by mu
	node   Node      // guarded by mu
	minute time.Time // up to where minutes were written; Run's
}

// NewWatch makes a Watch; it does nothing before Run.
func NewWatch(c Config) *Watch { return &Watch{cfg: c, node: c.Node} }

// Run checks until ctx ends, then writes what is left and takes the node's row
// away: a node that stops in order is not missed.
func (w *Watch) Run(ctx context.Context) error {
	ticker := time.NewTicker(Every)
	defer ticker.Stop()
	for {
		w.Round(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return w.leave(ctx)
		}
	}
}

func (w *Watch) leave(ctx context.Context) error {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkLimit)
	defer cancel()
	w.flush(last, w.cfg.Clock.Now().Add(time.Minute))
	if err := w.cfg.Store.RemoveNode(last, w.cfg.Node.ID); err != nil {
		w.cfg.Log.WarnContext(last, "the node's row stays behind", slog.Any("error", err))
	}
	return nil
}

// Round does what is due now: it samples, checks, writes the node's row and the
// minutes that are over.
func (w *Watch) Round(ctx context.Context) {
	limit, cancel := context.WithTimeout(ctx, checkLimit)
	system := w.cfg.Sample(limit)
	cancel()
	checks := w.check(ctx)
	n := w.cfg.Node
	n.State = State{
		Checks: checks, MemoryUsed: system.Runtime.HeapUsed, MemoryMax: system.Runtime.HeapMax, Threads: system.Runtime.Threads,
		PeakThreads: system.Runtime.Peak, Goroutines: system.Process.Goroutines,
	}
	if system.Process.RSS != nil {
		n.State.MemoryUsed = *system.Process.RSS
	}
	n.Seen = w.cfg.Clock.Now()
	n.State.Checks = append(n.State.Checks, w.try(ctx, Probe{StoreWrite, func(ctx context.Context) error {
		return w.cfg.Store.SaveNode(ctx, n)
	}}))
	w.mu.Lock()
	w.system, w.node = system, n
	w.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	if now := w.cfg.Clock.Now().Truncate(time.Minute); !now.Equal(w.minute) {
		w.flush(ctx, now)
		w.minute = now
		if err := w.cfg.Store.ForgetNodes(ctx, now.Add(-forgetAfter)); err != nil {
			w.cfg.Log.WarnContext(ctx, "old nodes not forgotten", slog.Any("error", err))
		}
	}
}

// check runs the probes side by side.
func (w *Watch) check(ctx context.Context) []Check {
	list := make([]Check, len(w.cfg.Probes))
	var all sync.WaitGroup
	for i, p := range w.cfg.Probes {
		all.Go(func() { list[i] = w.try(ctx, p) })
	}
	all.Wait()
	return list
}

// ErrNotChecked is the answer of a probe that has nothing to compare with here.
var ErrNotChecked = errors.New("cannot be checked here")

func (w *Watch) try(ctx context.Context, p Probe) Check {
	limit, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	begun := evcs.Monotonic()
	err := p.Try(limit)
	c := Check{Name: p.Name, Status: Up, Took: evcs.Monotonic().Sub(begun)}
	if err == nil && c.Took > checkLimit {
		err = fmt.Errorf("took longer than %s", checkLimit)
	}
	if err != nil {
		c.Status, c.Message = Down, reason(err)
		if !vital(p.Name) {
			c.Status = Degraded
		}
		if ctx.Err() == nil {
			w.cfg.Log.WarnContext(ctx, "check failed", slog.String("check", p.Name), slog.Any("error", err))
		}
	}
	return c
}

// Reason is a failure whose words may be shown to those who look at monitoring.
type Reason string

// Error implements error.
func (r Reason) Error() string { return string(r) }

// reason keeps what a driver or the network says inside: it may name addresses.
func reason(err error) string {
	var r Reason
	switch {
	case errors.As(err, &r):
		return string(r)
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return "failed, see the log"
}

// flush writes the minutes that began before a time.
func (w *Watch) flush(ctx context.Context, before time.Time) {
	list := w.cfg.Requests.take(before)
	if len(list) == 0 {
		return
	}
	if err := w.cfg.Store.AddMinutes(ctx, w.cfg.Node.ID, list); err != nil {
		w.cfg.Requests.giveBack(list)
		w.cfg.Log.WarnContext(ctx, "request figures not written", slog.Any("error", err))
	}
}

// System is the last sample of this node; zero before the first.
func (w *Watch) System() System {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.system
}

// Nodes are all nodes of the database. This node's own state is taken from
// memory: it is known even when its row cannot be written. When the store cannot
// be read either, this node is the only one that is known.
func (w *Watch) Nodes(ctx context.Context) []Node {
	w.mu.Lock()
	own := w.node
	w.mu.Unlock()
	nodes, err := w.cfg.Store.Nodes(ctx, w.cfg.Clock.Now().Add(-forgetAfter))
	if err != nil {
		w.cfg.Log.WarnContext(ctx, "the other nodes cannot be seen", slog.Any("error", err))
	}
	for i := range nodes {
		if nodes[i].ID == own.ID {
			nodes[i] = own
			return nodes
		}
	}
	return append(nodes, own)
}

// Parts says how every part of the daemon is.
func (w *Watch) Parts(ctx context.Context) []Part {
	return Judge(w.Nodes(ctx), w.cfg.Clock.Now())
}

// Requests merges the minutes of a window over all nodes, most requests first.
// Minutes that other nodes have not written yet are missing.
func (w *Watch) Requests(ctx context.Context, window Window) ([]Minute, error) {
	t := make(tally)
	err := w.cfg.Store.EachMinute(ctx, window, func(m *Minute) error {
		t.add(m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	held := w.cfg.Requests.held(window)
	for i := range held {
		t.add(&held[i])
	}
	return t.list(), nil
}
