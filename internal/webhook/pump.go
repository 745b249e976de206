package webhook

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evcs/evcs/internal/evcs"
)

// Queue is what the pump needs of the store besides.
type Queue interface {
	// Unread are up to n events of some types (none: all) behind a reader's
	// place in the outbox, and the place to advance to when they are dealt with.
	Unread(ctx context.Context, reader string, types []string, n int) (events []evcs.Event, from, to evcs.EventID, err error)
	// Advance is ErrStale when another node was first.
	Advance(ctx context.Context, reader string, from, to evcs.EventID) error
	// Skip advances to the newest place: nobody listens.
	Skip(ctx context.Context, reader string) error
	// Enabled are the webhooks of every tenant that are on.
	Enabled(ctx context.Context) ([]Webhook, error)
	// Claim gives the caller a webhook until a moment and reports whether nobody
	// else has it.
	Claim(ctx context.Context, id evcs.WebhookID, now, until time.Time) (*Webhook, bool, error)
	Release(ctx context.Context, id evcs.WebhookID) error
	// Head is the delivery that is next in order; nil when none waits.
	Head(ctx context.Context, id evcs.WebhookID) (*Delivery, error)
	// UpdateDelivery compares the version and increments it.
	UpdateDelivery(ctx context.Context, d *Delivery) error
}

// PumpTx is what the pump needs of a transaction.
type PumpTx interface {
	Webhooks() Store
	Queue() Queue
}

// Reads is the committed state, asked before a transaction is begun.
type Reads interface {
	// Behind reports whether a reader of the outbox has something to read.
	Behind(ctx context.Context, reader string) (bool, error)
	// Any reports whether any webhook is on.
	Any(ctx context.Context) (bool, error)
	// Due are the webhooks whose next delivery is due.
	Due(ctx context.Context, now time.Time, n int) ([]evcs.WebhookID, error)
}

// Owners says what a user may do now. It refuses whom the guard would refuse:
// disabled users and those of blocked tenants.
type Owners interface {
	Impersonate(ctx context.Context, user evcs.UserID, t evcs.TenantID, address string) (*evcs.Actor, error)
}

// Pump moves events from the outbox to the receivers.
type Pump struct {
	Clock    evcs.Clock
	Log      *slog.Logger
	Read     Reads
	Transact func(ctx context.Context, fn func(PumpTx) error) error
	Sealer   Sealer
	Courier  Courier
	Owners   Owners
	Body     func(evcs.Event) ([]byte, error)
}

const (
	reader    = "webhooks"
	atOnce    = 8 // webhooks
	perClaim  = 200
	claimFor  = 2 * time.Minute
	claimWork = time.Minute // then somebody else gets a turn
	heldBack  = time.Minute
	giveUp    = 72 * time.Hour
)

// Batch is what Enqueue deals with at most in one call.
const Batch = 500

// Enqueue turns events into deliveries, once, whatever the number of nodes,
// and returns how many events it has dealt with.
func (p *Pump) Enqueue(ctx context.Context) (int, error) {
	fresh, err := p.Read.Behind(ctx, reader)
	if err != nil || !fresh {
		return 0, err
	}
	anybody, err := p.Read.Any(ctx)
	if err != nil {
		return 0, err
	}
	now := p.Clock.Now()
	n := 0
	err = p.Transact(ctx, func(tx PumpTx) error {
		n = 0
		if !anybody {
			return tx.Queue().Skip(ctx, reader)
		}
		hooks, err := tx.Queue().Enabled(ctx)
		if err != nil {
			return err
		}
		events, from, to, err := tx.Queue().Unread(ctx, reader, nil, Batch)
		if err != nil {
			return err
		}
		n = len(events)
		if _, err := queue(ctx, tx.Webhooks(), hooks, events, p.Body, now); err != nil {
			return err
		}
		return tx.Queue().Advance(ctx, reader, from, to)
	})
	return n, err
}

// Deliver sends what is due, several webhooks at a time, each in order, and
// returns how many attempts were made.
func (p *Pump) Deliver(ctx context.Context) (int, error) {
	ids, err := p.Read.Due(ctx, p.Clock.Now(), 100)
	if err != nil {
		return 0, err
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	var mu sync.Mutex
	total := 0
	for _, id := range ids {
		group.Go(func() error {
			n, err := p.serve(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			total += n
			return err
		})
	}
	return total, group.Wait()
}

// serve sends what one webhook has waiting until something does not go.
func (p *Pump) serve(ctx context.Context, id evcs.WebhookID) (attempts int, err error) {
	var w *Webhook
	mine := false
	err = p.Transact(ctx, func(tx PumpTx) (err error) {
		now := p.Clock.Now()
		w, mine, err = tx.Queue().Claim(ctx, id, now, now.Add(claimFor))
		return err
	})
	if err != nil || !mine {
		return 0, err
	}
	defer func() {
		released := p.Transact(context.WithoutCancel(ctx), func(tx PumpTx) error { return tx.Queue().Release(ctx, id) })
		err = errors.Join(err, released)
	}()
	begun := evcs.Monotonic()
	for attempts < perClaim && ctx.Err() == nil && evcs.Monotonic().Sub(begun) < claimWork {
		d, err := p.head(ctx, id)
		if err != nil || d == nil || d.Next.After(p.Clock.Now()) {
			return attempts, err
		}
		went, err := p.attempt(ctx, w, d)
		if err != nil || !went {
			return attempts, err
		}
		attempts++
	}
	return attempts, nil
}

func (p *Pump) head(ctx context.Context, id evcs.WebhookID) (d *Delivery, err error) {
	err = p.Transact(ctx, func(tx PumpTx) (err error) {
		d, err = tx.Queue().Head(ctx, id)
		return err
	})
	return d, err
}

// attempt sends one delivery and writes down how it went. It reports whether
// the next one may follow.
func (p *Pump) attempt(ctx context.Context, w *Webhook, d *Delivery) (bool, error) {
	hold, drop := p.allowed(ctx, w, d)
	if hold != nil {
		return false, p.hold(ctx, w, d, hold)
	}
	if drop != nil {
		d.State, d.LastError, d.Ended = Failed, drop.Error(), p.Clock.Now()
		return true, p.keep(ctx, w, d, d.LastError)
	}
	secret, err := p.Sealer.Open(w.Sealed)
	if err != nil {
		return false, p.hold(ctx, w, d, err)
	}
	at := p.Clock.Now()
	body := []byte(d.Body)
	status, failure := p.Courier.Post(ctx, w.URL, Header(string(secret), d.Event, at, body), body)
	if failure != nil && ctx.Err() != nil {
		return false, nil //nolint:nilerr // we are stopping; it is sent again after the start
	}
	d.after(status, failure, at, p.Clock.Now())
	return failure == nil || d.State == Failed, p.keep(context.WithoutCancel(ctx), w, d, d.LastError)
}

var (
	errOwner = errors.New("the owner may no longer send events: give the webhook a new owner by changing it")
	errScope = errors.New("the owner may no longer read the tenant of this event")
)

// allowed checks what the owner may do now. hold: nothing may be sent; drop:
// this event may not.
func (p *Pump) allowed(ctx context.Context, w *Webhook, d *Delivery) (hold, drop error) {
	owner, err := p.Owners.Impersonate(ctx, w.Owner, w.Tenant, "")
	if code, _, _ := evcs.Classify(err); err != nil && w.Owner != 0 {
		if code == evcs.CodeInternalError {
			return err, nil
		}
		return errors.New(code.Name()), nil
	}
	if err != nil || !owner.May("webhook:manage") || !owner.May("event:subscribe") {
		return errOwner, nil
	}
	if d.EventTenant != w.Tenant && (!w.IncludeDescendants || !owner.May("tenant:descendants:read")) {
		return nil, errScope
	}
	return nil, nil
}

// hold leaves a delivery waiting without counting an attempt; what was held
// back for three days is given up.
func (p *Pump) hold(ctx context.Context, w *Webhook, d *Delivery, why error) error {
	now := p.Clock.Now()
	d.LastError, d.Next = clip(why.Error(), 300), now.Add(heldBack)
	if now.Sub(d.Created) >= giveUp {
		d.State, d.Ended = Failed, now
	}
	return p.keep(context.WithoutCancel(ctx), w, d, d.LastError)
}

func (p *Pump) keep(ctx context.Context, w *Webhook, d *Delivery, failure string) error {
	return p.Transact(ctx, func(tx PumpTx) error {
		if err := tx.Queue().UpdateDelivery(ctx, d); err != nil {
			return err
		}
		return tx.Webhooks().Note(ctx, w, p.Clock.Now(), failure)
	})
}

// after is what an attempt made of a delivery.
func (d *Delivery) after(status int, failure error, at, now time.Time) {
	if d.First.IsZero() {
		d.First = at
	}
	d.Attempts++
	d.LastStatus, d.LastError = int64(status), ""
	if failure == nil {
		d.State, d.Ended = Delivered, now
		return
	}
	d.LastError = clip(failure.Error(), 300)
	next := now.Add(wait(d.Attempts))
	if next.Sub(d.First) > giveUp {
		d.State, d.Ended = Failed, now
		return
	}
	d.Next = next
}

// wait is how long after the nth attempt the next one is made.
func wait(n int64) time.Duration {
	waits := []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour}
	if n <= int64(len(waits)) {
		return waits[max(n, 1)-1]
	}
	return 3 * time.Hour
}
