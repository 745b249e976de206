// Package webhook tells programs outside of events. It promises: every event
// that a webhook asked for is delivered in the order of the published sequence,
// at least once, across restarts and by one node at a time; a receiver that is
// down holds up its own webhook only; an event is given up after three days of
// attempts and stays listed as such.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// Webhook is a receiver of events.
type Webhook struct {
	ID     evcs.WebhookID
	Tenant evcs.TenantID
	// Owner is the user whose permissions hold when an event is delivered.
	Owner              evcs.UserID
	Name               string
	URL                string
	Types              []string // an event type, or a family such as charger.*
	IncludeDescendants bool
	Enabled            bool
	Sealed             string // the secret
	LastSuccess        time.Time
	LastError          string
	Pending            int64 // filled by reads
	Created            time.Time
	Updated            time.Time
	Deleted            time.Time
	Version            int64
}

// Wants reports whether the webhook asked for a type.
func (w *Webhook) Wants(kind string) bool {
	return slices.ContainsFunc(w.Types, func(t string) bool {
		family, wide := strings.CutSuffix(t, "*")
		return t == kind || wide && strings.HasPrefix(kind, family)
	})
}

// State is where a delivery stands.
type State string

// The states of contract §15.2.
const (
	Pending   State = "PENDING"
	Delivered State = "DELIVERED"
	Failed    State = "FAILED"
)

// Delivery is one event for one webhook.
type Delivery struct {
	ID          int64
	Tenant      evcs.TenantID // of the webhook
	Webhook     evcs.WebhookID
	Event       evcs.EventID
	EventTenant evcs.TenantID
	Type        string
	Body        string
	State       State
	Attempts    int64
	LastStatus  int64
	LastError   string
	First       time.Time // the first attempt
	Next        time.Time
	Created     time.Time
	Ended       time.Time
	Version     int64
}

// The refusals.
var (
	ErrNotFound = evcs.NewError(evcs.CodeWebhookNotFound, "no such webhook or delivery")
	ErrDelivery = evcs.NewError(evcs.CodeDeliveryFailed, "the receiver did not take it")
)

// Store keeps webhooks.
type Store interface {
	Webhook(ctx context.Context, scope evcs.Scope, id evcs.WebhookID) (*Webhook, error)
	Count(ctx context.Context, scope evcs.Scope) (int, error)
	Insert(ctx context.Context, w *Webhook) error
	// Update compares the version and increments it.
	Update(ctx context.Context, w *Webhook) error
	// Note writes how the last delivery went; it is no change of the webhook and
	// leaves its version alone.
	Note(ctx context.Context, w *Webhook, at time.Time, failure string) error
	// Again makes deliveries of a webhook pending: one by its id, or all that are
	// not from an event on. It returns how many.
	Again(ctx context.Context, w *Webhook, delivery int64, from evcs.EventID, now time.Time) (int64, error)
	// Missed are up to n kept events from one on for which the webhook has no
	// delivery, whoever's they are.
	Missed(ctx context.Context, w *Webhook, from evcs.EventID, n int) ([]evcs.Event, error)
	InsertDelivery(ctx context.Context, d *Delivery) error
	// Above are a tenant and its ancestors.
	Above(ctx context.Context, t evcs.TenantID) ([]evcs.TenantID, error)
}

// Tx is what the verbs need of a transaction.
type Tx interface {
	Tenants() tenant.Store
	Webhooks() Store
}

// Sealer keeps secrets; auth.Sealer is one.
type Sealer interface {
	Seal(plain []byte) (string, error)
	Open(sealed string) ([]byte, error)
}

// Courier posts a body; notify has one. status is the receiver's, 0 when it
// did not answer; an err says that it was not taken.
type Courier interface {
	Post(ctx context.Context, url string, header map[string]string, body []byte) (status int, err error)
}

// Registry has the verbs on webhooks.
type Registry struct {
	Clock    evcs.Clock
	Transact func(ctx context.Context, fn func(Tx) error) error
	Sealer   Sealer
	Courier  Courier
	// Body words an event for the wire.
	Body func(evcs.Event) ([]byte, error)
	// PlainHTTP takes URLs without TLS; for receivers in a network of one's own.
	PlainHTTP bool
}

// Change is what a webhook is made of, or what changes of one; nil fields take
// the default or stay.
type Change struct {
	Name               *string
	URL                *string
	Types              *[]string
	IncludeDescendants *bool
	Enabled            *bool
	Rotate             bool
	Version            *int64
}

const (
	perTenant = 50
	maxTypes  = 30
	maxURL    = 2000
)

// Create makes a webhook of the actor's and returns its secret, which is shown
// only here. The caller has checked that the actor may write in the tenant.
func (r *Registry) Create(ctx context.Context, a *evcs.Actor, t evcs.TenantID, c Change) (*Webhook, string, error) {
	now := r.Clock.Now()
	w := Webhook{Tenant: t, Owner: a.User, Enabled: true, Created: now, Updated: now}
	c.apply(&w)
	if err := evcs.Invalid(w.faults(r.PlainHTTP)...); err != nil {
		return nil, "", err
	}
	secret, err := r.newSecret(&w)
	if err != nil {
		return nil, "", err
	}
	var made Webhook
	err = r.Transact(ctx, func(tx Tx) error {
		made = w
		n, err := tx.Webhooks().Count(ctx, evcs.Only(t))
		if err != nil {
			return err
		}
		if n >= perTenant {
			return evcs.Invalid(evcs.FieldFault{Field: "name", Message: fmt.Sprintf("a tenant has at most %d webhooks", perTenant)})
		}
		if err := tx.Webhooks().Insert(ctx, &made); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, made.row(now, tenant.Created(tenant.KindWebhook), map[string]any{
			"name": made.Name, "url": made.URL, "types": made.Types,
		}))
	})
	if err != nil {
		return nil, "", err
	}
	return &made, secret, nil
}

func (r *Registry) newSecret(w *Webhook) (string, error) {
	secret := "whsec_" + rand.Text() + rand.Text()
	sealed, err := r.Sealer.Seal([]byte(secret))
	if err != nil {
		return "", err
	}
	w.Sealed = sealed
	return secret, nil
}

func (c *Change) apply(w *Webhook) {
	take(&w.Name, c.Name)
	take(&w.URL, c.URL)
	take(&w.Types, c.Types)
	take(&w.IncludeDescendants, c.IncludeDescendants)
	take(&w.Enabled, c.Enabled)
}

func take[T any](place, given *T) {
	if given != nil {
		*place = *given
	}
}

func (w *Webhook) faults(plainHTTP bool) []evcs.FieldFault {
	var faults []evcs.FieldFault
	fault := func(bad bool, field, message string) {
		if bad {
			faults = append(faults, evcs.FieldFault{Field: field, Message: message})
		}
	}
	fault(w.Name == "" || len([]rune(w.Name)) > 64, "name", "must have 1 to 64 characters")
	message := urlFault(w.URL, plainHTTP)
	fault(message != "", "url", message)
	fault(len(w.Types) == 0 || len(w.Types) > maxTypes, "types", "must have 1 to 30 entries")
	for i, t := range w.Types {
		fault(!known(t), "types["+strconv.Itoa(i)+"]", "is no event type: "+clip(t, 40))
	}
	return faults
}

func known(t string) bool {
	family, wide := strings.CutSuffix(t, ".*")
	return slices.ContainsFunc(evcs.EventTypes(), func(kind string) bool { return kind == t || wide && strings.HasPrefix(kind, family+".") })
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

func urlFault(raw string, plainHTTP bool) string {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return "is required"
	case len(raw) > maxURL:
		return "must have at most 2000 characters"
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return "must be an absolute URL"
	case u.Scheme != "https" && !(plainHTTP && u.Scheme == "http"):
		return "must begin with https://"
	case u.User != nil:
		return "must not hold a user or password"
	case u.Fragment != "":
		return "must not have a fragment"
	}
	return ""
}

func (w *Webhook) row(at time.Time, action tenant.Action, details map[string]any) tenant.AuditRow {
	return tenant.AuditRow{
		At: at, Action: action, Target: w.Tenant, TargetType: tenant.KindWebhook, TargetID: strconv.FormatInt(int64(w.ID), 10), Success: true, Details: details,
	}
}

// Change changes a webhook; with Rotate it returns the new secret, which is
// shown only here, and what is signed from now on is signed with it. Who
// changes where or what it sends becomes its owner.
func (r *Registry) Change(ctx context.Context, a *evcs.Actor, t evcs.TenantID, id evcs.WebhookID, c Change) (*Webhook, string, error) {
	now := r.Clock.Now()
	var made Webhook
	var secret string
	err := r.Transact(ctx, func(tx Tx) error {
		w, err := tx.Webhooks().Webhook(ctx, evcs.Only(t), id)
		if err != nil {
			return err
		}
		if c.Version != nil && *c.Version != w.Version {
			return evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": w.Version})
		}
		before := *w
		c.apply(w)
		if err := evcs.Invalid(w.faults(r.PlainHTTP)...); err != nil {
			return err
		}
		secret = ""
		if c.Rotate {
			if secret, err = r.newSecret(w); err != nil {
				return err
			}
		}
		if w.URL != before.URL || !slices.Equal(w.Types, before.Types) || w.IncludeDescendants != before.IncludeDescendants || c.Rotate {
			w.Owner = a.User
		}
		w.Updated = now
		if err := tx.Webhooks().Update(ctx, w); err != nil {
			return err
		}
		made = *w
		details := map[string]any{"name": w.Name, "secretRotated": c.Rotate}
		tenant.Differ(details, "name", before.Name, w.Name)
		tenant.Differ(details, "url", before.URL, w.URL)
		tenant.Differ(details, "types", strings.Join(before.Types, ","), strings.Join(w.Types, ","))
		tenant.Differ(details, "enabled", before.Enabled, w.Enabled)
		tenant.Differ(details, "includeDescendants", before.IncludeDescendants, w.IncludeDescendants)
		return tenant.Audit(ctx, tx.Tenants(), a, w.row(now, tenant.Updated(tenant.KindWebhook), details))
	})
	if err != nil {
		return nil, "", err
	}
	return &made, secret, nil
}

// Delete deletes a webhook; what waits for it is not delivered.
func (r *Registry) Delete(ctx context.Context, a *evcs.Actor, t evcs.TenantID, id evcs.WebhookID, version *int64) error {
	now := r.Clock.Now()
	return r.Transact(ctx, func(tx Tx) error {
		w, err := tx.Webhooks().Webhook(ctx, evcs.Only(t), id)
		if err != nil {
			return err
		}
		if version != nil && *version != w.Version {
			return evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": w.Version})
		}
		w.Deleted, w.Updated, w.Sealed = now, now, ""
		if err := tx.Webhooks().Update(ctx, w); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, w.row(now, tenant.Deleted(tenant.KindWebhook), map[string]any{"name": w.Name}))
	})
}

// mostAgain bounds one redelivery.
const mostAgain = 10_000

// Redeliver sends again: one delivery, or everything from an event on that the
// webhook asked for and that is still kept, in the order of the events. What
// waits already is left alone. It returns how many were queued.
func (r *Registry) Redeliver(ctx context.Context, a *evcs.Actor, t evcs.TenantID, id evcs.WebhookID, delivery int64, from evcs.EventID) (int64, error) {
	now := r.Clock.Now()
	var queued int64
	err := r.Transact(ctx, func(tx Tx) error {
		s := tx.Webhooks()
		w, err := s.Webhook(ctx, evcs.Only(t), id)
		if err != nil {
			return err
		}
		if queued, err = s.Again(ctx, w, delivery, from, now); err != nil {
			return err
		}
		if delivery != 0 && queued == 0 {
			return evcs.With(ErrNotFound, map[string]any{"webhookId": id})
		}
		if delivery == 0 {
			missed, err := s.Missed(ctx, w, from, mostAgain)
			if err != nil {
				return err
			}
			n, err := queue(ctx, s, []Webhook{*w}, missed, r.Body, now)
			if err != nil {
				return err
			}
			queued += n
		}
		return tenant.Audit(ctx, tx.Tenants(), a, w.row(now, tenant.Updated(tenant.KindWebhook), map[string]any{
			"name": w.Name, "redelivered": queued, "fromEventId": from, "deliveryId": delivery,
		}))
	})
	return queued, err
}

// queue makes the deliveries of events for the webhooks that want them.
func queue(ctx context.Context, s Store, hooks []Webhook, events []evcs.Event, body func(evcs.Event) ([]byte, error), now time.Time) (int64, error) {
	reach := audience{s, make(map[evcs.TenantID][]evcs.TenantID)}
	var n int64
	for _, e := range events {
		if e.Tenant == 0 {
			continue // the host's own
		}
		for i := range hooks {
			w := &hooks[i]
			mine, err := reach.includes(ctx, w, e)
			if err != nil {
				return n, err
			}
			if !mine {
				continue
			}
			text, err := body(e)
			if err != nil {
				return n, fmt.Errorf("word event %d: %w", e.ID, err)
			}
			n++
			if err := s.InsertDelivery(ctx, &Delivery{
				Tenant: w.Tenant, Webhook: w.ID, Event: e.ID, EventTenant: e.Tenant, Type: e.Type, Body: string(text), State: Pending, Next: now, Created: now,
			}); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// audience knows whose events a webhook hears; it reads each tenant's
// ancestors once.
type audience struct {
	s     Store
	above map[evcs.TenantID][]evcs.TenantID
}

func (a audience) includes(ctx context.Context, w *Webhook, e evcs.Event) (bool, error) {
	switch {
	case !w.Wants(e.Type):
		return false, nil
	case e.Tenant == w.Tenant:
		return true, nil
	case !w.IncludeDescendants:
		return false, nil
	}
	chain, seen := a.above[e.Tenant]
	if !seen {
		var err error
		if chain, err = a.s.Above(ctx, e.Tenant); err != nil {
			return false, err
		}
		a.above[e.Tenant] = chain
	}
	return slices.Contains(chain, w.Tenant), nil
}

// Sign is the signature of a body: v1= and the hexadecimal HMAC-SHA256 of
// timestamp, a dot and the body. timestamp is in Unix seconds.
func Sign(secret string, timestamp int64, body []byte) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(strconv.FormatInt(timestamp, 10)))
	h.Write([]byte{'.'})
	h.Write(body)
	return "v1=" + hex.EncodeToString(h.Sum(nil))
}

// Header is what a signed body is sent with.
func Header(secret string, event evcs.EventID, at time.Time, body []byte) map[string]string {
	return map[string]string{
		"Content-Type": "application/json", "X-Evcs-Event-Id": strconv.FormatInt(int64(event), 10),
		"X-Evcs-Timestamp": strconv.FormatInt(at.Unix(), 10), "X-Evcs-Signature": Sign(secret, at.Unix(), body),
	}
}

// Trial is how a test went.
type Trial struct {
	Status int
	Took   time.Duration
}

// TestType is the type of the event that a test sends; it is never subscribed
// to and has the id 0.
const TestType = "webhook.test"

// Test posts an event that says it is a test, signed as all are. A receiver
// that does not take it is 7007 with its status and words.
func (r *Registry) Test(ctx context.Context, t evcs.TenantID, id evcs.WebhookID) (Trial, error) {
	var w *Webhook
	err := r.Transact(ctx, func(tx Tx) (err error) {
		w, err = tx.Webhooks().Webhook(ctx, evcs.Only(t), id)
		return err
	})
	if err != nil {
		return Trial{}, err
	}
	secret, err := r.Sealer.Open(w.Sealed)
	if err != nil {
		return Trial{}, err
	}
	now := r.Clock.Now()
	body, err := r.Body(evcs.Event{Type: TestType, Time: now, Tenant: t, Data: []byte(`{"webhookId":` + strconv.FormatInt(int64(id), 10) + `}`)})
	if err != nil {
		return Trial{}, err
	}
	begun := evcs.Monotonic()
	status, err := r.Courier.Post(ctx, w.URL, Header(string(secret), 0, now, body), body)
	if err != nil {
		return Trial{}, evcs.With(ErrDelivery, map[string]any{"status": status, "error": clip(err.Error(), 300)})
	}
	return Trial{Status: status, Took: evcs.Monotonic().Sub(begun)}, nil
}
