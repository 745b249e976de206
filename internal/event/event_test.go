package event_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/event"
)

// outbox is a source in memory: the store is outside this package.
type outbox struct {
	mu     sync.Mutex
	fresh  []evcs.Event
	placed []evcs.Event
	broken bool
}

var errBroken = errors.New("the disk is gone")

func (o *outbox) commit(types ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, typ := range types {
		o.fresh = append(o.fresh, evcs.Event{Type: typ})
	}
}

func (o *outbox) Sequence(_ context.Context, n int) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken {
		return 0, errBroken
	}
	n = min(n, len(o.fresh))
	for _, e := range o.fresh[:n] {
		e.ID = evcs.EventID(len(o.placed) + 1)
		o.placed = append(o.placed, e)
	}
	o.fresh = o.fresh[n:]
	return n, nil
}

func (o *outbox) EventsAfter(_ context.Context, after evcs.EventID, n int) ([]evcs.Event, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rest := o.placed[after:]
	return append([]evcs.Event(nil), rest[:min(n, len(rest))]...), nil
}

func (o *outbox) Newest(context.Context) (evcs.EventID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return evcs.EventID(len(o.placed)), nil
}

// pass lets the bubble's clock go on.
func pass(d time.Duration) { <-time.NewTimer(d).C }

func everything(evcs.Event) bool { return true }

func run(t *testing.T, o *outbox, b *event.Broker) *event.Relay {
	t.Helper()
	relay := event.NewRelay(o, b, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- relay.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return relay
}

func TestEveryEventInOrderOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, b := &outbox{}, event.NewBroker()
		o.commit("history")
		if _, err := o.Sequence(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		all := b.Subscribe(5000, everything)
		some := b.Subscribe(5000, func(e evcs.Event) bool { return e.Type == "b" })
		relay := run(t, o, b)
		for range 700 {
			o.commit("a", "b")
		}
		relay.Wake()
		pass(time.Second) // the relay has polled
		if n := len(all.Events()); n != 1400 {
			t.Fatalf("%d events, want 1400", n)
		}
		for want := evcs.EventID(2); want <= 1401; want++ {
			if e := <-all.Events(); e.ID != want {
				t.Fatalf("event %d where %d was due", e.ID, want)
			}
		}
		if n := len(some.Events()); n != 700 {
			t.Errorf("the filter let %d through, want 700", n)
		}
	})
}

func TestASlowReaderIsToldAndHarmsNobody(t *testing.T) {
	t.Parallel()
	b := event.NewBroker()
	slow, quick := b.Subscribe(2, everything), b.Subscribe(10, everything)
	b.Publish([]evcs.Event{{ID: 1}, {ID: 2}, {ID: 3}})
	b.Publish([]evcs.Event{{ID: 4}})
	select {
	case <-slow.Behind():
	default:
		t.Error("the slow reader was not told")
	}
	if n := len(slow.Events()); n != 2 {
		t.Errorf("the slow reader holds %d events, want the first 2", n)
	}
	if n := len(quick.Events()); n != 4 {
		t.Errorf("the quick reader holds %d events, want 4", n)
	}
	slow.Close()
	quick.Close()
	if n := b.Subscribers(); n != 0 {
		t.Errorf("%d subscribers are left", n)
	}
}

func TestTheRelayOutlivesABrokenStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, b := &outbox{broken: true}, event.NewBroker()
		sub := b.Subscribe(10, everything)
		run(t, o, b)
		o.commit("late")
		pass(5 * time.Second)
		if n := len(sub.Events()); n != 0 {
			t.Fatalf("%d events came out of a broken store", n)
		}
		o.mu.Lock()
		o.broken = false
		o.mu.Unlock()
		pass(2 * time.Second)
		if n := len(sub.Events()); n != 1 {
			t.Errorf("%d events after the store was back, want 1", n)
		}
	})
}
