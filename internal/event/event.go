// Package event brings committed events from the outbox to whoever listens in
// this process. It promises: nothing is published before its commit; every
// subscriber sees the events it asked for in the order of their places, each at
// most once; a subscriber that falls behind is told so and reads on from the
// outbox by the place it has reached, so nothing is lost. It keeps no event.
package event

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Source is the outbox.
type Source interface {
	// Sequence gives up to n committed events their place and says how many.
	Sequence(ctx context.Context, n int) (int, error)
	// EventsAfter reads up to n events behind a place, oldest first.
	EventsAfter(ctx context.Context, after evcs.EventID, n int) ([]evcs.Event, error)
	// Newest is the newest place given, zero when there is none.
	Newest(ctx context.Context) (evcs.EventID, error)
}

const (
	batch = 500
	// poll finds what other nodes have published; a local commit wakes at once.
	poll = 250 * time.Millisecond
	// pauseAfterError keeps a broken store from being asked in a tight loop.
	pauseAfterError = time.Second
)

// Relay moves events from a Source to a Broker.
type Relay struct {
	source Source
	broker *Broker
	log    *slog.Logger
	wake   chan struct{}
}

// NewRelay returns a relay that has not begun.
func NewRelay(source Source, broker *Broker, log *slog.Logger) *Relay {
	return &Relay{source: source, broker: broker, log: log, wake: make(chan struct{}, 1)}
}

// Wake says that a commit of this process has emitted events. It never blocks.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends. It begins with what is committed after now:
// older events are history, which subscribers read from the outbox.
func (r *Relay) Run(ctx context.Context) error {
	at, err := r.begin(ctx)
	if err != nil {
		return nil // the context ended while the store was not there
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		at, err = r.publish(ctx, at)
		if err != nil && ctx.Err() == nil {
			r.log.ErrorContext(ctx, "event relay failed", slog.Any("error", err))
			if !sleep(ctx, pauseAfterError) {
				return nil
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-ticker.C:
		}
	}
}

func (r *Relay) begin(ctx context.Context) (evcs.EventID, error) {
	for {
		at, err := r.source.Newest(ctx)
		if err == nil {
			return at, nil
		}
		r.log.ErrorContext(ctx, "event relay cannot begin", slog.Any("error", err))
		if !sleep(ctx, pauseAfterError) {
			return 0, ctx.Err()
		}
	}
}

// publish gives places to what is fresh and hands on everything behind at.
func (r *Relay) publish(ctx context.Context, at evcs.EventID) (evcs.EventID, error) {
	for {
		given, err := r.source.Sequence(ctx, batch)
		if err != nil {
			return at, err
		}
		for {
			events, err := r.source.EventsAfter(ctx, at, batch)
			if err != nil {
				return at, err
			}
			r.broker.Publish(events)
			if len(events) > 0 {
				at = events[len(events)-1].ID
			}
			if len(events) < batch {
				break
			}
		}
		if given < batch {
			return at, nil
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Broker fans events out to subscribers of this process.
type Broker struct {
	mu   sync.RWMutex
	subs map[*Subscription]struct{} // guarded by mu
}

// NewBroker returns a broker without subscribers.
func NewBroker() *Broker { return &Broker{subs: make(map[*Subscription]struct{})} }

// Subscription receives events until it is closed.
type Subscription struct {
	broker *Broker
	want   func(evcs.Event) bool
	events chan evcs.Event
	behind chan struct{}
	once   sync.Once
}

// Subscribe receives every event that want accepts, from now on. At most
// buffer wait for the reader; with more, the subscription falls behind and
// receives nothing further. want must be quick and must not block.
func (b *Broker) Subscribe(buffer int, want func(evcs.Event) bool) *Subscription {
	s := &Subscription{broker: b, want: want, events: make(chan evcs.Event, buffer), behind: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs[s] = struct{}{}
	return s
}

// Events is where events arrive, in the order of their places.
func (s *Subscription) Events() <-chan evcs.Event { return s.events }

// Behind is closed when the reader was too slow: what is still in Events is
// whole and in order, what comes after is in the outbox.
func (s *Subscription) Behind() <-chan struct{} { return s.behind }

// Close ends the subscription; it may be called twice.
func (s *Subscription) Close() {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	delete(s.broker.subs, s)
}

// Publish hands events to every subscriber that wants them. It does not wait
// for any of them.
func (b *Broker) Publish(events []evcs.Event) {
	if len(events) == 0 {
		return
	}
	var slow []*Subscription
	b.mu.RLock()
	for s := range b.subs {
		if !s.take(events) {
			slow = append(slow, s)
		}
	}
	b.mu.RUnlock()
	for _, s := range slow {
		s.Close()
		s.once.Do(func() { close(s.behind) })
	}
}

// take reports whether s kept up.
func (s *Subscription) take(events []evcs.Event) bool {
	for _, e := range events {
		if !s.want(e) {
			continue
		}
		select {
		case s.events <- e:
		default:
			return false
		}
	}
	return true
}

// Subscribers counts them, for monitoring.
func (b *Broker) Subscribers() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.subs)
}
