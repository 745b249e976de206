package webhook_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/notify"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
	"github.com/evcs/evcs/internal/webhook"
)

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// receiver is the program outside.
type receiver struct {
	t      *testing.T
	mu     sync.Mutex
	down   bool     // guarded by mu
	got    []string // event ids that were taken; guarded by mu
	tries  int      // guarded by mu
	secret string   // guarded by mu
	server *httptest.Server
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	body, err := io.ReadAll(q.Body)
	if err != nil {
		r.t.Error(err)
	}
	var stamp int64
	if _, err := fmt.Sscan(q.Header.Get("X-Evcs-Timestamp"), &stamp); err != nil {
		r.t.Errorf("timestamp: %v", err)
	}
	if want := webhook.Sign(r.secret, stamp, body); r.secret != "" && q.Header.Get("X-Evcs-Signature") != want {
		r.t.Errorf("signature %s, want %s", q.Header.Get("X-Evcs-Signature"), want)
	}
	if r.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r.got = append(r.got, q.Header.Get("X-Evcs-Event-Id"))
}

func (r *receiver) set(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

func (r *receiver) taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// view is a transaction as webhooks see it.
type view struct{ *store.Tx }

func (v view) Webhooks() webhook.Store { return store.WebhooksOf(v.Tx) }
func (v view) Queue() webhook.Queue    { return store.WebhookQueueOf(v.Tx) }

// owners says what the owner may do: the guard is another package's.
type owners struct {
	actor *evcs.Actor
	err   error
}

func (o *owners) Impersonate(context.Context, evcs.UserID, evcs.TenantID, string) (*evcs.Actor, error) {
	return o.actor, o.err
}

type bench struct {
	t        *testing.T
	db       *store.DB
	clock    *clock
	receiver *receiver
	owners   *owners
	sealer   *auth.Sealer
	registry *webhook.Registry
	boss     *evcs.Actor
}

var local = outbound.Open{netip.MustParsePrefix("127.0.0.0/8")}

func body(e evcs.Event) ([]byte, error) {
	return json.Marshal(map[string]any{"eventId": e.ID, "type": e.Type, "tenantId": e.Tenant})
}

func newBench(t *testing.T, db *store.DB) *bench {
	t.Helper()
	sealer, err := auth.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	may := map[evcs.Permission]bool{"webhook:manage": true, "event:subscribe": true, "tenant:descendants:read": true}
	b := &bench{
		t: t, db: db, clock: &clock{at: time.Date(2026, 2, 10, 4, 0, 0, 0, time.UTC)}, receiver: &receiver{t: t}, sealer: sealer,
		boss: &evcs.Actor{User: 1, Tenant: 1, Name: "boss", Permissions: may}, owners: &owners{actor: &evcs.Actor{User: 1, Tenant: 1, Permissions: may}},
	}
	b.receiver.server = httptest.NewServer(b.receiver)
	t.Cleanup(b.receiver.server.Close)
	b.registry = &webhook.Registry{
		Clock: b.clock, Sealer: sealer, Courier: notify.NewSender(local, nil), Body: body, PlainHTTP: true,
		Transact: func(ctx context.Context, fn func(webhook.Tx) error) error {
			return db.Transact(ctx, func(tx *store.Tx) error { return fn(view{tx}) })
		},
	}
	hasher, err := auth.NewHasher()
	if err != nil {
		t.Fatal(err)
	}
	people := &auth.Registry{Clock: b.clock, Hasher: hasher, Changed: func() {}, Transact: func(ctx context.Context, fn func(auth.Tx) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}}
	if _, _, err := people.Bootstrap(t.Context(), "Correct-horse-7"); err != nil {
		t.Fatal(err)
	}
	return b
}

// pump is a node; another one is a restart.
func (b *bench) pump() *webhook.Pump {
	return &webhook.Pump{
		Clock: b.clock, Log: slog.New(slog.DiscardHandler), Read: b.db.Reader().WebhookQueue(), Sealer: b.sealer, Courier: notify.NewSender(local, nil),
		Owners: b.owners, Body: body, Transact: func(ctx context.Context, fn func(webhook.PumpTx) error) error {
			return b.db.Transact(ctx, func(tx *store.Tx) error { return fn(view{tx}) })
		},
	}
}

func (b *bench) hook(types ...string) *webhook.Webhook {
	b.t.Helper()
	name, url := "w", b.receiver.server.URL+"/in"
	w, secret, err := b.registry.Create(b.t.Context(), b.boss, 1, webhook.Change{Name: &name, URL: &url, Types: &types})
	if err != nil {
		b.t.Fatal(err)
	}
	b.receiver.secret = secret
	return w
}

func (b *bench) emit(t evcs.TenantID, kinds ...string) {
	b.t.Helper()
	err := b.db.Transact(b.t.Context(), func(tx *store.Tx) error {
		for _, kind := range kinds {
			if err := tx.Emit(b.t.Context(), evcs.Event{Type: kind, Time: b.clock.Now(), Tenant: t, Data: []byte(`{}`)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.db.Sequence(b.t.Context(), 1000); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) turn(p *webhook.Pump) {
	b.t.Helper()
	if _, err := p.Enqueue(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	if _, err := p.Deliver(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) deliveries(w *webhook.Webhook) []webhook.Delivery {
	b.t.Helper()
	page, err := b.db.Reader().Webhooks().DeliveryPage(b.t.Context(), evcs.Only(1), w.ID, nil, evcs.PageRequest{Page: 1, Size: 100, Sort: []evcs.Sort{{Field: "deliveryId"}}})
	if err != nil {
		b.t.Fatal(err)
	}
	return page.Records
}

func TestInOrderOnceAndOnlyWhatWasAskedFor(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		b.emit(1, "order.created") // before there was anybody
		p, other := b.pump(), b.pump()
		b.turn(p)
		w := b.hook("order.*", "payment.status")
		b.emit(1, "order.created", "charger.status", "payment.status", "order.status")
		b.emit(2, "order.created") // somebody else's
		b.emit(0, "alert.raised")  // the host's
		var all sync.WaitGroup
		for _, node := range []*webhook.Pump{p, other} {
			all.Go(func() { b.turn(node) })
		}
		all.Wait()
		b.turn(p)
		if diff := cmp.Diff([]string{"2", "4", "5"}, b.receiver.taken()); diff != "" {
			t.Errorf("taken (-want +got):\n%s", diff)
		}
		for _, d := range b.deliveries(w) {
			if d.State != webhook.Delivered || d.Attempts != 1 || d.LastStatus != 200 {
				t.Errorf("delivery %+v", d)
			}
		}
	})
}

func TestARetryKeepsTheOrderAndARestartLosesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, storetest.SQLite(t))
	w := b.hook("order.created")
	b.receiver.set(true)
	b.emit(1, "order.created", "order.created")
	b.turn(b.pump())
	if list := b.deliveries(w); len(list) != 2 || list[0].Attempts != 1 || list[0].LastStatus != 503 || list[1].Attempts != 0 {
		t.Fatalf("after the first attempt: %+v", list)
	}
	b.clock.pass(4 * time.Second)
	b.turn(b.pump()) // a restart in the middle
	if b.receiver.tries != 1 {
		t.Fatalf("%d attempts before the wait was over", b.receiver.tries)
	}
	for i, wait := range []time.Duration{time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 3 * time.Hour, 3 * time.Hour} {
		b.clock.pass(wait)
		b.turn(b.pump())
		if b.receiver.tries != 2+i {
			t.Fatalf("%d attempts after %s, want %d", b.receiver.tries, wait, 2+i)
		}
	}
	if r, err := b.db.Reader().Gauges().Read(t.Context(), "webhook_undelivered", b.clock.Now()); err != nil || len(r) != 1 || r[0].Value < 60_000 {
		t.Errorf("the figure of the alert: %v %v", r, err)
	}
	b.emit(1, "order.created")
	b.receiver.set(false)
	b.clock.pass(3 * time.Hour)
	b.turn(b.pump())
	if diff := cmp.Diff([]string{"1", "2", "3"}, b.receiver.taken()); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
	if r, err := b.db.Reader().Gauges().Read(t.Context(), "webhook_undelivered", b.clock.Now()); err != nil || len(r) != 0 {
		t.Errorf("the figure after the delivery: %v %v", r, err)
	}
}

func TestGivenUpAfterThreeDaysAndRedelivered(t *testing.T) {
	t.Parallel()
	b := newBench(t, storetest.SQLite(t))
	w := b.hook("order.created")
	b.receiver.set(true)
	b.emit(1, "order.created")
	p := b.pump()
	for range 60 {
		b.turn(p)
		b.clock.pass(3*time.Hour + time.Minute)
	}
	list := b.deliveries(w)
	if len(list) != 1 || list[0].State != webhook.Failed || list[0].Attempts < 20 {
		t.Fatalf("after a week: %+v", list)
	}
	b.receiver.set(false)
	n, err := b.registry.Redeliver(t.Context(), b.boss, 1, w.ID, 0, 1)
	if err != nil || n != 1 {
		t.Fatalf("redelivered %d, %v", n, err)
	}
	b.turn(p)
	if _, err := b.registry.Redeliver(t.Context(), b.boss, 1, w.ID, 999, 0); err == nil {
		t.Error("a delivery that is none was redelivered")
	}
	if diff := cmp.Diff([]string{"1"}, b.receiver.taken()); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
}

func TestTheOwnerDecides(t *testing.T) {
	t.Parallel()
	b := newBench(t, storetest.SQLite(t))
	w := b.hook("order.created")
	p := b.pump()
	b.owners.err = tenant.ErrDisabled
	b.emit(1, "order.created")
	b.turn(p)
	if list := b.deliveries(w); b.receiver.tries != 0 || list[0].State != webhook.Pending || list[0].Attempts != 0 || list[0].LastError != "TENANT_DISABLED" {
		t.Fatalf("a disabled tenant: %d tries, %+v", b.receiver.tries, list)
	}
	b.owners.err = nil
	may := b.owners.actor.Permissions
	b.owners.actor = &evcs.Actor{User: 1, Tenant: 1, Permissions: map[evcs.Permission]bool{"webhook:manage": true}}
	b.clock.pass(time.Minute)
	b.turn(p)
	if b.receiver.tries != 0 {
		t.Fatal("sent without event:subscribe")
	}
	b.owners.actor = &evcs.Actor{User: 1, Tenant: 1, Permissions: may}
	b.clock.pass(time.Minute)
	b.turn(p)
	if diff := cmp.Diff([]string{"1"}, b.receiver.taken()); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
}

func TestWhatIsNoWebhook(t *testing.T) {
	t.Parallel()
	b := newBench(t, storetest.SQLite(t))
	strict := *b.registry
	strict.PlainHTTP = false
	name, types := "w", []string{"order.*"}
	for _, url := range []string{"", "http://example.com/x", "https://user:pw@example.com/", "ftp://example.com", "https://", "/x", "https://e.com/#a"} {
		if _, _, err := strict.Create(t.Context(), b.boss, 1, webhook.Change{Name: &name, URL: &url, Types: &types}); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
	good := "https://example.com/in"
	for _, list := range [][]string{nil, {"order"}, {"order.made"}, {"*"}, {"nothing.*"}} {
		if _, _, err := strict.Create(t.Context(), b.boss, 1, webhook.Change{Name: &name, URL: &good, Types: &list}); err == nil {
			t.Errorf("%q were taken", list)
		}
	}
	if _, _, err := strict.Create(t.Context(), b.boss, 1, webhook.Change{Name: &name, URL: &good, Types: &types}); err != nil {
		t.Errorf("a good one: %v", err)
	}
}
