package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/event"
)

const (
	ticketLife   = time.Minute
	maxTickets   = 10_000
	streamBuffer = 1000
	streamBatch  = 500
	streamBehind = 10_000
	streamBeat   = 15 * time.Second
	streamCheck  = time.Second / 2 // of its credential; the guard knows it for half a second
)

var errStreamOver = errors.New("the stream is over")

// tickets are one-time credentials for streams. They live in this process.
type tickets struct {
	clock evcs.Clock
	mu    sync.Mutex
	open  map[string]ticket // guarded by mu
}

type ticket struct {
	actor   evcs.Actor
	bearer  string
	expires time.Time
}

func newTickets(clock evcs.Clock) *tickets {
	return &tickets{clock: clock, open: make(map[string]ticket)}
}

func (t *tickets) make(a *evcs.Actor, bearer string) (string, time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	for text, old := range t.open {
		if !old.expires.After(now) || len(t.open) >= maxTickets {
			delete(t.open, text)
		}
	}
	text, expires := rand.Text(), now.Add(ticketLife)
	t.open[text] = ticket{*a, bearer, expires}
	return text, expires
}

// use takes a ticket; it opens one stream only.
func (t *tickets) use(text string) (ticket, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.open[text]
	delete(t.open, text)
	return found, ok && found.expires.After(t.clock.Now())
}

// stream serves one event stream until its reader, its credential or the
// daemon ends.
func (e Events) stream(ctx context.Context, a *evcs.Actor, in *streamEvents, reply Reply) error {
	bearer := bearerOf(reply.Request)
	if a == nil {
		taken, ok := e.tickets.use(in.Ticket)
		if !ok {
			return errUnauthenticated
		}
		a, bearer = &taken.actor, taken.bearer
	}
	if !a.May("event:subscribe") {
		return errForbidden
	}
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return err
	}
	from, resume, err := in.from()
	if err != nil {
		return err
	}
	if !e.streams.enter(a.Tenant) {
		return evcs.With(errTooMany, map[string]any{"retryAfter": 30})
	}
	defer e.streams.leave(a.Tenant)
	r := &reading{events: e, in: in, scope: scope, reply: reply, actor: a, bearer: bearer, known: map[evcs.TenantID]bool{scope.Tenant: true}}
	return r.run(ctx, from, resume)
}

func bearerOf(r *http.Request) string {
	const scheme = "Bearer "
	if h := r.Header.Get("Authorization"); len(h) > len(scheme) {
		return h[len(scheme):]
	}
	return ""
}

// from is where the stream begins.
func (in *streamEvents) from() (evcs.EventID, bool, error) {
	if in.Last.Set {
		return in.Last.Value, true, nil
	}
	if in.LastHeader == "" {
		return 0, false, nil
	}
	id, err := strconv.ParseInt(in.LastHeader, 10, 64)
	if err != nil || id < 0 {
		return 0, false, evcs.Invalid(evcs.FieldFault{Field: "Last-Event-ID", Message: "must be an event id"})
	}
	return evcs.EventID(id), true, nil
}

// reading is one stream.
type reading struct {
	events Events
	in     *streamEvents
	scope  evcs.Scope
	reply  Reply
	actor  *evcs.Actor
	bearer string                 // empty: a trusted proxy said who it is
	known  map[evcs.TenantID]bool // of tenants: in scope?
	last   evcs.EventID           // the place reached
}

func (r *reading) run(ctx context.Context, from evcs.EventID, resume bool) error {
	sub := r.subscribe()
	defer func() { sub.Close() }()
	oldest, newest, err := r.events.Read.EventBounds(ctx)
	if err != nil {
		return err
	}
	h := r.reply.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no")
	r.reply.WriteHeader(http.StatusOK)
	if err := r.write([]byte("retry: 3000\n\n")); err != nil {
		return nil // the reader is gone
	}
	r.last = newest
	switch {
	case resume && from+1 < oldest, resume && from > newest:
		if err := r.gap(oldest); err != nil {
			return nil // the reader is gone
		}
	case resume:
		r.last = from
		if err := r.replay(ctx); err != nil {
			return r.over(err)
		}
		if err := r.beat(); err != nil { // what was missed is complete
			return r.over(err)
		}
	}
	for {
		err := r.live(ctx, sub)
		if !errors.Is(err, errBehind) {
			return r.over(err)
		}
		sub.Close()
		sub = r.subscribe()
		if err := r.replay(ctx); err != nil {
			return r.over(err)
		}
	}
}

var errBehind = errors.New("the reader fell behind")

// over is nil for the ordinary ends of a stream.
func (r *reading) over(err error) error {
	if errors.Is(err, errStreamOver) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (r *reading) subscribe() *event.Subscription {
	in, scope := r.in, r.scope
	return r.events.Broker.Subscribe(streamBuffer, func(e evcs.Event) bool {
		return (scope.Descendants || e.Tenant == scope.Tenant) && wanted(in.Types, e.Type) &&
			(!in.Station.Set || e.Station == in.Station.Value) && (!in.Charger.Set || e.Charger == in.Charger.Value)
	})
}

// replay sends what the outbox holds behind the place reached.
func (r *reading) replay(ctx context.Context) error {
	_, newest, err := r.events.Read.EventBounds(ctx)
	if err != nil {
		return err
	}
	for {
		list, err := r.events.Read.ReadEvents(ctx, r.scope, r.in.Types, r.in.Station.Value, r.in.Charger.Value, r.last, streamBatch)
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := r.send(e); err != nil {
				return err
			}
		}
		if len(list) < streamBatch {
			r.last = max(r.last, newest)
			return nil
		}
	}
}

func (r *reading) live(ctx context.Context, sub *event.Subscription) error {
	beat, check := time.NewTicker(streamBeat), time.NewTicker(streamCheck)
	defer beat.Stop()
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return errStreamOver
		case <-r.events.Stopping:
			return errStreamOver
		case <-sub.Behind():
			if _, newest, err := r.events.Read.EventBounds(ctx); err != nil || newest-r.last > streamBehind {
				return errStreamOver // it resumes by id
			}
			return errBehind
		case e := <-sub.Events():
			if e.ID <= r.last || !r.covers(ctx, e.Tenant) {
				continue
			}
			if err := r.send(e); err != nil {
				return err
			}
		case <-check.C:
			if !r.permitted(ctx) {
				return errStreamOver
			}
		case <-beat.C:
			if err := r.beat(); err != nil {
				return err
			}
		}
	}
}

// permitted reports whether the credential still opens this stream.
func (r *reading) permitted(ctx context.Context) bool {
	var a *evcs.Actor
	var err error
	proxies, proxied := r.events.Guard.(Proxies)
	if r.bearer == "" && proxied {
		a, err = proxies.Impersonate(ctx, r.actor.User, r.actor.Tenant, r.reply.Address)
	} else {
		a, err = r.events.Guard.Authenticate(ctx, r.bearer, r.reply.Address)
	}
	return err == nil && a.May("event:subscribe") && (!r.scope.Descendants || a.May(readDescendants))
}

// covers reports whether a tenant lies in the stream's scope.
func (r *reading) covers(ctx context.Context, t evcs.TenantID) bool {
	in, ok := r.known[t]
	if ok || !r.scope.Descendants {
		return in
	}
	in, err := r.events.tree.Below(ctx, r.scope.Tenant, t)
	if err == nil {
		r.known[t] = in
	}
	return in && err == nil
}

func (r *reading) send(e evcs.Event) error {
	text, err := r.events.worded.text(e)
	if err != nil {
		return err
	}
	if err := r.write(text); err != nil {
		return err
	}
	r.last = e.ID
	return nil
}

func (r *reading) gap(oldest evcs.EventID) error {
	text, err := json.Marshal(api.EventGap{OldestEventID: int64(oldest)})
	if err != nil {
		return fmt.Errorf("write reset: %w", err)
	}
	return r.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", api.EventReset, text))
}

// beat sends a comment, which readers ignore.
func (r *reading) beat() error { return r.write([]byte(":\n\n")) }

// write sends a piece at once; a reader that does not read is let go.
func (r *reading) write(text []byte) error {
	out := http.NewResponseController(r.reply.ResponseWriter)
	if _, err := r.reply.Write(text); err != nil {
		return errStreamOver
	}
	if err := out.Flush(); err != nil {
		return errStreamOver
	}
	return nil
}
