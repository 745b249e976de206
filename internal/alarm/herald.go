package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// NoticeKind is what a notice says of its alert.
type NoticeKind string

// The kinds of notices.
const (
	Raised   NoticeKind = "RAISED"
	Repeated NoticeKind = "REPEATED"
	Cleared  NoticeKind = "RESOLVED"
)

// NoticeState is where a notice stands; all but NoticePending are final.
type NoticeState string

// The states of notices.
const (
	NoticePending NoticeState = "PENDING"
	NoticeSent    NoticeState = "SENT"
	NoticeFailed  NoticeState = "FAILED" // given up after a day
	NoticeMuted   NoticeState = "MUTED"  // no longer worth telling
)

// Notice is one alert to be told on one channel: a row that lasts until it is
// told, muted or given up.
type Notice struct {
	ID        int64
	Tenant    evcs.TenantID // of the channel
	Channel   evcs.ChannelID
	Alert     evcs.AlertID
	Kind      NoticeKind
	Severity  Severity
	State     NoticeState
	Due       time.Time
	Attempts  int64
	LastError string
	Created   time.Time
	Ended     time.Time // last attempt, or when it was muted
	Version   int64
}

// Told is what a channel has heard of an alert.
type Told struct {
	Channel evcs.ChannelID
	Alert   evcs.AlertID
	Last    time.Time
	Waiting bool
}

// NoticeStore keeps notices.
type NoticeStore interface {
	InsertNotice(ctx context.Context, n *Notice) error
	// UpdateNotice compares the version and increments it.
	UpdateNotice(ctx context.Context, n *Notice) error
	// NoticesOf are those of an alert on a channel, oldest first.
	NoticesOf(ctx context.Context, alert evcs.AlertID, c evcs.ChannelID) ([]Notice, error)
	// ClaimChannel gives the caller the channel until a moment, and reports
	// whether nobody else has it.
	ClaimChannel(ctx context.Context, id evcs.ChannelID, now, until time.Time) (*Channel, bool, error)
	ReleaseChannel(ctx context.Context, id evcs.ChannelID) error
	// DueNotices are up to n notices of a channel that are due, oldest first.
	DueNotices(ctx context.Context, id evcs.ChannelID, now time.Time, n int) ([]Notice, error)
	// Standing is what channels have heard of alerts that are ACTIVE.
	Standing(ctx context.Context) ([]Told, error)
	// AnyAlert is an alert of any tenant: the event said whose it is.
	AnyAlert(ctx context.Context, id evcs.AlertID) (*Alert, error)
	// CriticalOpen reports whether a CRITICAL alert of the target is open.
	CriticalOpen(ctx context.Context, t evcs.TenantID, target Target) (bool, error)
}

// Outbox is the outbox as one of its lasting readers sees it.
type Outbox interface {
	// Unread are up to n events of some types behind the reader's place, and the
	// place to advance to when they are dealt with.
	Unread(ctx context.Context, reader string, types []string, n int) (events []evcs.Event, from, to evcs.EventID, err error)
	// Advance is ErrStale when another node was first.
	Advance(ctx context.Context, reader string, from, to evcs.EventID) error
}

// HeraldTx is what the herald needs of a transaction.
type HeraldTx interface {
	Tenants() tenant.Store
	Channels() ChannelStore
	AlertRules() RuleStore
	Notices() NoticeStore
	Outbox() Outbox
	Leases() Conditions
}

// HeraldReads is the committed state, asked before a transaction is begun.
type HeraldReads interface {
	// Behind reports whether a reader of the outbox has something to read.
	Behind(ctx context.Context, reader string) (bool, error)
	// DueChannels are the channels with a notice that is due.
	DueChannels(ctx context.Context, now time.Time, n int) ([]evcs.ChannelID, error)
}

// Message is what a channel is to tell: several alerts that came together.
type Message struct {
	Channel  Channel
	Endpoint Endpoint
	English  bool
	Zone     *time.Location
	At       time.Time
	Test     bool // nothing has happened
	Items    []Item
}

// Item is one alert of a message.
type Item struct {
	Notice int64
	Kind   NoticeKind
	Alert  Alert
}

// Courier delivers messages; notify has one.
type Courier interface {
	// Send delivers, or says why not. status is the receiver's (HTTP), 0 when it
	// did not answer.
	Send(ctx context.Context, m Message) (status int, err error)
}

// Herald tells people of alerts. Alerts come to it through the outbox, so that
// none is missed across restarts, and each is told by one node.
type Herald struct {
	Clock    evcs.Clock
	Log      *slog.Logger
	Node     string
	Read     HeraldReads
	Transact func(ctx context.Context, fn func(HeraldTx) error) error
	Sealer   Sealer
	Courier  Courier
}

const (
	noticeReader = "notices"
	noticeBatch  = 200
	perMessage   = 20
	claimFor     = 2 * time.Minute
	giveUpAfter  = 24 * time.Hour
	atOnce       = 8 // channels
)

// Enqueue turns the alerts' news into notices and returns how many events it
// has dealt with, up to Batch.
func (h *Herald) Enqueue(ctx context.Context) (int, error) {
	fresh, err := h.Read.Behind(ctx, noticeReader)
	if err != nil || !fresh {
		return 0, err
	}
	now := h.Clock.Now()
	n := 0
	err = h.Transact(ctx, func(tx HeraldTx) error {
		events, from, to, err := tx.Outbox().Unread(ctx, noticeReader, []string{evcs.EventAlertRaised, evcs.EventAlertUpdated}, noticeBatch)
		if err != nil {
			return err
		}
		n = len(events)
		for _, e := range events {
			if err := h.hear(ctx, tx, e, now); err != nil {
				return err
			}
		}
		return tx.Outbox().Advance(ctx, noticeReader, from, to)
	})
	return n, err
}

// NoticeBatch is what Enqueue deals with at most in one call.
const NoticeBatch = noticeBatch

// hear makes the notices of one piece of news.
func (h *Herald) hear(ctx context.Context, tx HeraldTx, e evcs.Event, now time.Time) error {
	var facts struct {
		AlertID evcs.AlertID `json:"alertId"`
	}
	if err := json.Unmarshal(e.Data, &facts); err != nil {
		h.Log.ErrorContext(ctx, "an alert event cannot be read", slog.Int64("event_id", int64(e.ID)), slog.Any("error", err))
		return nil
	}
	a, err := tx.Notices().AnyAlert(ctx, facts.AlertID)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	channels, err := tx.Channels().Hearing(ctx, a.Tenant)
	if err != nil || len(channels) == 0 {
		return err
	}
	chosen, err := chosenChannels(ctx, tx, a)
	if err != nil {
		return err
	}
	for i := range channels {
		c := &channels[i]
		if a.Severity.Weight() < c.MinSeverity.Weight() || len(chosen) > 0 && !slices.Contains(chosen, c.ID) {
			continue
		}
		if err := h.queue(ctx, tx, c, a, now); err != nil {
			return err
		}
	}
	return nil
}

// chosenChannels are the channels that the alert's rule names; none: all.
func chosenChannels(ctx context.Context, tx HeraldTx, a *Alert) ([]evcs.ChannelID, error) {
	list, err := tx.AlertRules().Settings(ctx, evcs.Only(a.Tenant))
	for _, s := range list {
		if s.Name == string(a.Rule) {
			return s.Channels, nil
		}
	}
	return nil, err
}

// queue decides what a channel is to be told of an alert now.
func (h *Herald) queue(ctx context.Context, tx HeraldTx, c *Channel, a *Alert, now time.Time) error {
	told, err := tx.Notices().NoticesOf(ctx, a.ID, c.ID)
	if err != nil {
		return err
	}
	heaviest, sent, cleared := 0, false, false
	for i := range told {
		n := &told[i]
		heaviest = max(heaviest, n.Severity.Weight())
		cleared = cleared || n.Kind == Cleared
		if a.Status == Resolved && n.State == NoticePending && n.Kind != Cleared && n.Severity != Critical {
			n.State, n.Ended = NoticeMuted, now // over before anybody was told
			if err := tx.Notices().UpdateNotice(ctx, n); err != nil {
				return err
			}
			continue
		}
		sent = sent || n.Kind != Cleared && n.State != NoticeMuted
	}
	n := &Notice{Tenant: c.Tenant, Channel: c.ID, Alert: a.ID, Severity: a.Severity, State: NoticePending, Created: now, Due: now.Add(c.Group)}
	switch {
	case a.Status == Resolved && sent && !cleared:
		n.Kind = Cleared
	case a.Status != Resolved && a.Severity.Weight() > heaviest:
		n.Kind = Raised
	default:
		return nil
	}
	return tx.Notices().InsertNotice(ctx, n)
}

// Repeat queues what has been told and still stands unacknowledged.
func (h *Herald) Repeat(ctx context.Context) (int, error) {
	now := h.Clock.Now()
	n := 0
	err := h.Transact(ctx, func(tx HeraldTx) error {
		n = 0
		mine, err := tx.Leases().Claim(ctx, "alert repeats", h.Node, now, now.Add(claimFor))
		if err != nil || !mine {
			return err
		}
		list, err := tx.Notices().Standing(ctx)
		if err != nil {
			return err
		}
		for _, told := range list {
			if told.Waiting {
				continue
			}
			again, err := h.again(ctx, tx, told, now)
			if err != nil {
				return err
			}
			if again {
				n++
			}
		}
		return nil
	})
	return n, err
}

func (h *Herald) again(ctx context.Context, tx HeraldTx, told Told, now time.Time) (bool, error) {
	a, err := tx.Notices().AnyAlert(ctx, told.Alert)
	if err != nil {
		return false, err
	}
	channels, err := tx.Channels().Hearing(ctx, a.Tenant)
	if err != nil {
		return false, err
	}
	i := slices.IndexFunc(channels, func(c Channel) bool { return c.ID == told.Channel })
	if i < 0 || a.Status != Active || now.Sub(told.Last) < channels[i].repeat(a.Severity) {
		return false, nil
	}
	return true, tx.Notices().InsertNotice(ctx, &Notice{
		Tenant: channels[i].Tenant, Channel: told.Channel, Alert: a.ID, Kind: Repeated, Severity: a.Severity, State: NoticePending,
		Created: now, Due: now.Add(channels[i].Group),
	})
}

// Deliver sends what is due on every channel, a few channels at a time, and
// returns how many channels it has served.
func (h *Herald) Deliver(ctx context.Context) (int, error) {
	ids, err := h.Read.DueChannels(ctx, h.Clock.Now(), 100)
	if err != nil {
		return 0, err
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	var mu sync.Mutex
	served := 0
	for _, id := range ids {
		group.Go(func() error {
			ok, err := h.serve(ctx, id)
			mu.Lock()
			defer mu.Unlock()
			if ok {
				served++
			}
			return err
		})
	}
	return served, group.Wait()
}

// serve tells one channel what is due, in one message.
func (h *Herald) serve(ctx context.Context, id evcs.ChannelID) (bool, error) {
	now := h.Clock.Now()
	var m *Message
	var list []Notice
	err := h.Transact(ctx, func(tx HeraldTx) error {
		m, list = nil, nil
		c, mine, err := tx.Notices().ClaimChannel(ctx, id, now, now.Add(claimFor))
		if err != nil || !mine {
			return err
		}
		m, list, err = h.compose(ctx, tx, c, now)
		if err == nil && m == nil {
			err = tx.Notices().ReleaseChannel(ctx, id)
		}
		return err
	})
	if err != nil || m == nil {
		return false, err
	}
	status, failure := h.send(ctx, m)
	return true, h.note(context.WithoutCancel(ctx), &m.Channel, list, status, failure)
}

func (h *Herald) send(ctx context.Context, m *Message) (int, error) {
	if m.Channel.Type != ByEmail {
		to, err := m.Channel.Endpoint(h.Sealer)
		if err != nil {
			return 0, err
		}
		m.Endpoint = to
	}
	return h.Courier.Send(ctx, *m)
}

// compose is the message of a channel; what is not worth telling any more is
// muted, what comes in quiet hours waits for their end. A nil message: nothing.
func (h *Herald) compose(ctx context.Context, tx HeraldTx, c *Channel, now time.Time) (*Message, []Notice, error) {
	list, err := tx.Notices().DueNotices(ctx, c.ID, now.Add(c.Group), perMessage)
	if err != nil {
		return nil, nil, err
	}
	chain, err := tx.Tenants().Chain(ctx, c.Tenant)
	if err != nil && !errors.Is(err, tenant.ErrNotFound) {
		return nil, nil, err
	}
	dead := err != nil || chain.Blocked(now) != nil || !c.Enabled || !c.Deleted.IsZero()
	settings := chain.Settings()
	m := &Message{Channel: *c, English: settings.Locale == "en", Zone: settings.Zone(), At: now}
	var telling []Notice
	for i := range list {
		n := &list[i]
		a, err := tx.Notices().AnyAlert(ctx, n.Alert)
		if err != nil {
			return nil, nil, err
		}
		mute, err := h.muted(ctx, tx, n, a)
		if err != nil {
			return nil, nil, err
		}
		until := c.quietUntil(now, settings.Zone())
		switch {
		case dead || mute:
			n.State, n.Ended = NoticeMuted, now
			err = tx.Notices().UpdateNotice(ctx, n)
		case !until.IsZero() && n.Severity != Critical:
			n.Due = until
			err = tx.Notices().UpdateNotice(ctx, n)
		default:
			telling = append(telling, *n)
			m.Items = append(m.Items, Item{n.ID, n.Kind, *a})
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if len(telling) == 0 {
		return nil, nil, nil
	}
	return m, telling, nil
}

// muted reports whether a notice has become pointless: its alert is over or
// taken care of, or a CRITICAL one of the same target speaks for it.
func (h *Herald) muted(ctx context.Context, tx HeraldTx, n *Notice, a *Alert) (bool, error) {
	switch {
	case n.Kind == Repeated && a.Status != Active, n.Kind == Raised && a.Status == Resolved && n.Severity != Critical:
		return true, nil
	case n.Kind == Cleared || n.Severity == Critical:
		return false, nil
	}
	return tx.Notices().CriticalOpen(ctx, a.Tenant, a.Target)
}

// note writes down how a delivery went.
func (h *Herald) note(ctx context.Context, c *Channel, list []Notice, status int, failure error) error {
	now := h.Clock.Now()
	text := ""
	if failure != nil {
		text = brief(failure, status)
		h.Log.WarnContext(ctx, "alerts could not be told", slog.Int64("channel_id", int64(c.ID)), slog.Int64("tenant_id", int64(c.Tenant)), slog.String("reason", text))
	}
	return h.Transact(ctx, func(tx HeraldTx) error {
		for _, n := range list {
			n.Attempts++
			n.LastError = text
			switch {
			case failure == nil:
				n.State, n.Ended = NoticeSent, now
			case now.Sub(n.Created) >= giveUpAfter:
				n.State, n.Ended = NoticeFailed, now
			default:
				n.Due, n.Ended = now.Add(wait(n.Attempts)), now
			}
			if err := tx.Notices().UpdateNotice(ctx, &n); err != nil {
				return err
			}
		}
		if err := tx.Channels().NoteChannel(ctx, c, now, text); err != nil {
			return err
		}
		return tx.Notices().ReleaseChannel(ctx, c.ID)
	})
}

// wait is how long after the nth failure the next attempt is made.
func wait(n int64) time.Duration {
	waits := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour}
	return waits[min(max(n, 1), int64(len(waits)))-1]
}

func brief(err error, status int) string {
	text := err.Error()
	if status != 0 {
		text = "HTTP " + strconv.Itoa(status) + ": " + text
	}
	if r := []rune(text); len(r) > 300 {
		text = string(r[:300])
	}
	return text
}

// Trial is how a test of a channel went.
type Trial struct {
	Status int
	Took   time.Duration
}

// ErrDelivery is 7007.
var ErrDelivery = evcs.NewError(evcs.CodeDeliveryFailed, "the receiver did not take it")

// Test sends a message that says it is a test, at once. A receiver that does
// not take it is 7007 with its status and words.
func (d *Directory) Test(ctx context.Context, t evcs.TenantID, id evcs.ChannelID) (Trial, error) {
	now := d.Clock.Now()
	var m Message
	err := d.Transact(ctx, func(tx Tx) error {
		c, err := tx.Channels().Channel(ctx, evcs.Only(t), id)
		if err != nil {
			return err
		}
		chain, err := tx.Tenants().Chain(ctx, t)
		if err != nil {
			return err
		}
		settings := chain.Settings()
		m = Message{Channel: *c, English: settings.Locale == "en", Zone: settings.Zone(), At: now, Test: true}
		return nil
	})
	if err != nil {
		return Trial{}, err
	}
	if m.Channel.Type != ByEmail {
		if m.Endpoint, err = m.Channel.Endpoint(d.Sealer); err != nil {
			return Trial{}, err
		}
	}
	begun := evcs.Monotonic()
	status, failure := d.Courier.Send(ctx, m)
	took := evcs.Monotonic().Sub(begun)
	text := ""
	if failure != nil {
		text = brief(failure, status)
	}
	err = d.Transact(ctx, func(tx Tx) error { return tx.Channels().NoteChannel(ctx, &m.Channel, now, text) })
	if err != nil {
		return Trial{}, err
	}
	if failure != nil {
		return Trial{}, evcs.With(fmt.Errorf("%w: %w", ErrDelivery, failure), map[string]any{"status": status, "error": text})
	}
	return Trial{Status: status, Took: took}, nil
}
