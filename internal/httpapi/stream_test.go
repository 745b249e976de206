package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/event"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// wire is events on a real store with two tenants, read by whom the test says.
type wire struct {
	t      *testing.T
	db     *store.DB
	broker *event.Broker
	server http.Handler
	after  evcs.EventID // of what was published
}

func newWire(t *testing.T, streams int) *wire {
	t.Helper()
	w := &wire{t: t, db: storetest.SQLite(t), broker: event.NewBroker()}
	if err := w.db.Transact(t.Context(), func(tx *store.Tx) error {
		for i, code := range []string{"SYSTEM", "FT"} {
			x := tenant.Tenant{Code: code, Name: code, Type: tenant.Platform, Parent: evcs.TenantID(i), Level: i, Enabled: true, Created: payday, Updated: payday}
			if err := tx.Tenants().Insert(t.Context(), &x); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	clock, may := fixedClock{payday}, map[evcs.Permission]bool{"event:subscribe": true}
	w.server = New(Config{
		Clock: clock, Log: slog.New(slog.DiscardHandler), Tree: w.db.Reader().Tenants(), Replays: w.db.Idempotency(clock, "n"), Limits: Limits{StreamsPerTenant: streams},
		Guard: guards{"boss": {User: 1, Name: "boss", Tenant: 1, Zone: time.UTC, Permissions: may}, "lee": {User: 2, Name: "lee", Tenant: 2, Zone: time.UTC, Permissions: may}},
		Parts: []Part{Events{Read: outbox{w.db}, Broker: w.broker, Clock: clock, Stopping: make(chan struct{})}},
	})
	return w
}

// outbox reads events as the daemon does.
type outbox struct{ db *store.DB }

func (o outbox) EventBounds(ctx context.Context) (oldest, newest evcs.EventID, err error) {
	return o.db.Reader().EventBounds(ctx)
}

func (o outbox) ReadEvents(ctx context.Context, scope evcs.Scope, types []string, at evcs.StationID, charger evcs.ChargerID, after evcs.EventID, n int) ([]evcs.Event, error) {
	return o.db.Reader().Events(ctx, scope, store.EventFilter{Types: types, Station: at, Charger: charger}, after, n)
}

// emit commits n events and publishes them, as the relay does.
func (w *wire) emit(n int) {
	w.t.Helper()
	ctx := w.t.Context()
	err := w.db.Transact(ctx, func(tx *store.Tx) error {
		for range n {
			if err := tx.Emit(ctx, evcs.Event{Type: "order.created", Time: payday, Tenant: 1, Data: []byte(`{}`)}); err != nil {
				return err
			}
		}
		return nil
	})
	for given := -1; err == nil && given != 0; {
		given, err = w.db.Sequence(ctx, 1000)
	}
	for err == nil {
		var list []evcs.Event
		if list, err = w.db.Source().EventsAfter(ctx, w.after, 1000); len(list) == 0 {
			break
		}
		w.broker.Publish(list)
		w.after = list[len(list)-1].ID
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// listener is a reader of one stream that takes its first event when it is
// let. It is the ResponseWriter of its request.
type listener struct {
	open, held, let, over chan struct{} // closed when it is so
	hangUp                context.CancelFunc
	once, first           sync.Once
	header                http.Header

	mu     sync.Mutex
	status int             // guarded by mu
	text   strings.Builder // guarded by mu
}

func (l *listener) Header() http.Header              { return l.header }
func (l *listener) Flush()                           {}
func (l *listener) SetWriteDeadline(time.Time) error { return nil }

func (l *listener) WriteHeader(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status = status
}

func (l *listener) Write(p []byte) (int, error) {
	if strings.HasPrefix(string(p), "id: ") {
		l.first.Do(func() {
			close(l.held)
			<-l.let
		})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.text.Write(p)
	l.once.Do(func() { close(l.open) })
	return n, err
}

// read is the status and what came so far.
func (l *listener) read() (int, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status, l.text.String()
}

func (w *wire) listen(who string, headers ...string) *listener {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/events/stream", http.NoBody)
	r.Header.Set("Authorization", "Bearer "+who)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	made := func() chan struct{} { return make(chan struct{}) }
	l := &listener{open: made(), held: made(), let: made(), over: made(), hangUp: cancel, header: make(http.Header)}
	go func() {
		defer close(l.over)
		w.server.ServeHTTP(l, r)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-l.over
	})
	w.await("the stream begins", l.open)
	return l
}

func (w *wire) await(what string, c <-chan struct{}) {
	w.t.Helper()
	select {
	case <-c:
	case <-time.After(30 * time.Second):
		w.t.Fatalf("in vain: %s", what)
	}
}

// A reader that is some thousand events behind gets them all from the store;
// one that is more than ten thousand behind is let go, and resumes by id.
func TestAStreamFarBehindEnds(t *testing.T) {
	t.Parallel()
	for _, behind := range []int{3000, 12_000} {
		t.Run(fmt.Sprint(behind), func(t *testing.T) {
			t.Parallel()
			w := newWire(t, 0)
			l := w.listen("boss")
			w.emit(1)
			w.await("its first event", l.held)
			w.emit(behind) // while it does not read
			close(l.let)
			if behind > streamBehind {
				w.await("its end", l.over)
				if _, text := l.read(); strings.Count(text, "id: ") > streamBuffer+1 {
					t.Errorf("%d events", strings.Count(text, "id: "))
				}
				return
			}
			last := fmt.Sprintf("id: %d\n", w.after)
			for range 3000 {
				if _, text := l.read(); strings.Contains(text, last) {
					break
				}
				<-time.After(10 * time.Millisecond)
			}
			_, text := l.read()
			if got := strings.Count(text, "id: "); got != behind+1 {
				t.Errorf("%d events, want %d", got, behind+1)
			}
			select {
			case <-l.over:
				t.Error("it was let go")
			default:
			}
		})
	}
}

func TestStreamsOfATenantAreLimited(t *testing.T) {
	t.Parallel()
	w := newWire(t, 2)
	first := w.listen("boss")
	w.listen("boss")
	if status, text := w.listen("boss").read(); status != http.StatusTooManyRequests || !strings.Contains(text, `"code":9429`) {
		t.Errorf("one too many: %d %s", status, text)
	}
	if status, text := w.listen("lee").read(); status != http.StatusOK {
		t.Errorf("another tenant: %d %s", status, text)
	}
	first.hangUp()
	w.await("its end", first.over)
	if status, text := w.listen("boss").read(); status != http.StatusOK {
		t.Errorf("when one has ended: %d %s", status, text)
	}
}

// What is no longer kept cannot be replayed: the reader is told, and hears what
// happens from now on.
func TestAStreamFromBeforeTheRetention(t *testing.T) {
	t.Parallel()
	w := newWire(t, 0)
	w.emit(10)
	err := w.db.Transact(t.Context(), func(tx *store.Tx) error {
		n, err := tx.PruneEvents(t.Context(), evcs.Millis(payday.Add(time.Second)), 6)
		if n != 6 {
			err = errors.Join(err, fmt.Errorf("%d events went", n))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{"5": "event: reset\ndata: {\"oldestEventId\":7}\n", "6": "id: 7\n", "9": "id: 10\n"} {
		l := w.listen("boss", "Last-Event-ID", from)
		close(l.let)
		w.await("a word", l.open)
		if from == "5" {
			w.emit(1)
		}
		w.await("an event", l.held)
		for range 3000 {
			if _, text := l.read(); strings.Contains(text, "id: ") {
				break
			}
			<-time.After(10 * time.Millisecond)
		}
		_, text := l.read()
		if !strings.HasPrefix(text, "retry: 3000\n\n"+want) {
			t.Errorf("from %s: %q", from, text)
		}
		l.hangUp()
		w.await("its end", l.over)
	}
}
