package charging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tenant"
)

// RemoteTag is the id tag that goes with a remote start whose driver showed
// none: it comes back in the device's own start and tells which order it is.
func RemoteTag(session string) string { return session[max(len(session)-20, 0):] }

// Started opens a session and its order, confirms the one that was asked for,
// or finds the one this report is a repeat of. What has begun without us
// (Offline) is stored whatever the rules say.
func (e *Engine) Started(ctx context.Context, m device.Started) (device.StartAnswer, error) {
	var answer device.StartAnswer
	var refusal error
	now := e.received(m.From)
	err := e.act(ctx, placeOf(m.Identity), e.Urgent, proven, func(tx Tx, s *site) error {
		b := &beginning{Engine: e, tx: tx, s: s, m: m, now: now}
		answer, refusal = device.StartAnswer{}, nil
		var err error
		answer, refusal, err = b.find(ctx)
		if err != nil {
			return err
		}
		if refusal != nil {
			code, _, _ := evcs.Classify(refusal)
			return keep(ctx, tx, m.From, m.Session, code.Name())
		}
		return keep(ctx, tx, m.From, answer.Session, "")
	})
	if errors.Is(err, tenant.ErrQuota) { // undone; what was told is kept all the same
		kept := e.Patient(ctx, func(tx Tx) error {
			if err := exceeded(ctx, tx, err, e.Clock.Now()); err != nil {
				return err
			}
			return keep(ctx, tx, m.From, m.Session, evcs.CodeQuotaExceeded.Name())
		})
		if kept != nil {
			return device.StartAnswer{}, kept
		}
	}
	if err != nil {
		return device.StartAnswer{}, err
	}
	if answer.Tag == device.TagBlocked && answer.Order == 0 && answer.Transaction != 0 {
		e.tellToStop(ctx, placeOf(m.Identity), m.Connector, answer)
	}
	return answer, refusal
}

// beginning is one start report under way. A refusal is kept with its frame;
// an error undoes everything.
type beginning struct {
	*Engine
	tx  Tx
	s   *site
	m   device.Started
	now time.Time
	// looked says that the store was asked for an earlier report.
	looked bool
}

func (b *beginning) find(ctx context.Context) (device.StartAnswer, error, error) { // a refusal and a failure are two things
	if !b.mayBeNew() {
		if done, a, refusal, err := b.again(ctx); done || err != nil {
			return a, refusal, err
		}
	}
	a, refusal, err := b.judge(ctx)
	switch {
	case b.looked || refusal == nil && !errors.Is(err, tenant.ErrQuota):
		return a, refusal, err
	case err != nil: // what it did before must be undone first
		return a, nil, fmt.Errorf("%w: %w", evcs.ErrStale, err)
	}
	// Refused, though it may be the repeat of what was accepted long ago.
	if done, a, refusal, err := b.again(ctx); done || err != nil {
		return a, refusal, err
	}
	return a, refusal, err
}

// mayBeNew reports whether what is remembered does not know the report. That
// is not certain; the unique index on the natural key is, and has the
// transaction run again on what the store says.
func (b *beginning) mayBeNew() bool {
	if b.s.fresh || b.m.Session != "" {
		return false
	}
	for _, r := range b.s.running {
		if r.session.DeviceKey == b.key() {
			return false
		}
	}
	return true
}

// again answers the repeat of a report.
func (b *beginning) again(ctx context.Context) (done bool, a device.StartAnswer, refusal, err error) {
	b.looked = true
	x, err := b.repeat(ctx)
	if err != nil || x == nil {
		return false, a, nil, err
	}
	if x.Connector != b.m.Connector {
		return true, a, evcs.With(order.ErrSessionConflict, map[string]any{"sessionId": x.UID}), nil
	}
	a, err = b.answer(ctx, x)
	return true, a, nil, err
}

// judge takes a report that was not taken before.
func (b *beginning) judge(ctx context.Context) (device.StartAnswer, error, error) { // a refusal and a failure are two things
	if _, err := b.s.connector(b.m.Connector); err != nil {
		return device.StartAnswer{}, err, nil
	}
	if done, a, refusal, err := b.asked(ctx); done || err != nil {
		return a, refusal, err
	}
	tag, refusal, err := b.allowed(ctx)
	if err != nil || refusal != nil && !b.m.Offline {
		return device.StartAnswer{Tag: tag}, refusal, err
	}
	a, err := b.open(ctx, tag, refusal)
	return a, nil, err
}

// key is the natural key of the start.
func (b *beginning) key() string {
	if b.m.Key != "" {
		return b.m.Key
	}
	return "session:" + b.m.Session
}

// repeat finds the session that this very report began before.
func (b *beginning) repeat(ctx context.Context) (*order.Session, error) {
	x, err := b.tx.Orders().SessionByKey(ctx, b.s.scope(), b.s.place.id, b.key())
	if errors.Is(err, order.ErrSessionNotFound) {
		return nil, nil //nolint:nilnil // none is no failure
	}
	return x, err
}

// answer is what was stored for a session, the same for every repeat.
func (b *beginning) answer(ctx context.Context, x *order.Session) (device.StartAnswer, error) {
	a := device.StartAnswer{Session: x.UID, Transaction: x.ID, Tag: device.TagAccepted}
	if x.Order == 0 {
		if x.State == order.SessionOrphan && len(x.DeviceKey) > 0 && x.StopReasonRaw == cancelledMark {
			a.Tag = device.TagBlocked
		}
		return a, nil
	}
	o, err := b.tx.Orders().Order(ctx, b.s.scope(), x.Order)
	if err != nil {
		return a, err
	}
	a.Order, a.OrderNo = o.ID, o.No
	if o.Anomalies.Has(order.IDTagRefused) {
		a.Tag = device.TagUnknown
	}
	return a, nil
}

// cancelledMark stands on the session of a device that began after its order
// was cancelled.
const cancelledMark = "ORDER_CANCELLED"

// asked looks for the order this start was asked for: by the session id, by the
// command, or by the tag that went with a remote start.
func (b *beginning) asked(ctx context.Context) (done bool, a device.StartAnswer, refusal, err error) {
	for _, r := range b.s.running {
		if r.order == nil || r.session.Begun() {
			continue
		}
		byID := b.m.Session != "" && r.session.UID == b.m.Session
		byTag := b.m.Session == "" && b.m.IDTag != "" && r.session.Connector == b.m.Connector && b.m.IDTag == tagFor(r.order)
		if !byID && !byTag {
			continue
		}
		if r.session.Connector != b.m.Connector {
			return true, a, evcs.With(order.ErrSessionConflict, map[string]any{"sessionId": r.session.UID}), nil
		}
		a, err = b.confirm(ctx, r)
		return true, a, nil, err
	}
	x, err := b.formerly(ctx)
	if err != nil || x == nil {
		return false, a, nil, err
	}
	return b.afterwards(ctx, x)
}

// tagFor is the tag that a remote start of the order carries.
func tagFor(o *order.Order) string {
	if o.IDTag != "" {
		return o.IDTag
	}
	return RemoteTag(o.Session)
}

// formerly finds a session of the past that the report names.
func (b *beginning) formerly(ctx context.Context) (*order.Session, error) {
	if b.m.Session != "" {
		x, err := b.tx.Orders().Session(ctx, b.s.scope(), b.m.Session)
		if errors.Is(err, order.ErrSessionNotFound) {
			return nil, nil //nolint:nilnil // none is no failure
		}
		return x, err
	}
	if b.m.IDTag == "" {
		return nil, nil //nolint:nilnil // none is no failure
	}
	recent, err := b.s.stray(ctx, b.tx)
	if err != nil {
		return nil, err
	}
	for _, x := range recent {
		if !x.Begun() && x.State == order.SessionEnded && x.Connector == b.m.Connector && RemoteTag(x.UID) == b.m.IDTag {
			return x, nil
		}
	}
	return nil, nil //nolint:nilnil // none is no failure
}

// afterwards judges a start that names a session which is over: another
// charger's or connector's is 3006, a cancelled one is kept as an orphan and
// told to stop, any other is a repeat.
func (b *beginning) afterwards(ctx context.Context, x *order.Session) (bool, device.StartAnswer, error, error) { // a refusal and a failure are two things
	if x.Charger != b.s.place.id || x.Connector != b.m.Connector {
		return true, device.StartAnswer{}, evcs.With(order.ErrSessionConflict, map[string]any{"sessionId": x.UID}), nil
	}
	if x.Order == 0 {
		a, err := b.answer(ctx, x)
		return true, a, nil, err
	}
	o, err := b.tx.Orders().Order(ctx, b.s.scope(), x.Order)
	if err != nil {
		return true, device.StartAnswer{}, nil, err
	}
	if o.Status != order.Cancelled {
		a, err := b.answer(ctx, x)
		return true, a, nil, err
	}
	orphan := b.session()
	orphan.UID = order.NewSession(b.now)
	orphan.Begin(b.start())
	orphan.StopReasonRaw = cancelledMark
	if err := b.orphan(ctx, b.tx, b.s, orphan, "the device began after order "+o.No+" was cancelled", b.now); err != nil {
		return true, device.StartAnswer{}, nil, err
	}
	var refusal error
	if b.m.Protocol == device.CloudCharge {
		refusal = o.CancelledError()
	}
	return true, device.StartAnswer{Session: orphan.UID, Transaction: orphan.ID, Tag: device.TagBlocked}, refusal, nil
}

func (b *beginning) session() *order.Session {
	uid := b.m.Session
	if uid == "" {
		uid = order.NewSession(b.now)
	}
	return &order.Session{
		UID: uid, Tenant: b.s.tenant, Station: b.s.charger.Station, Charger: b.s.place.id, Connector: b.m.Connector, User: b.m.User,
		IDTag: b.m.IDTag, Protocol: b.m.Protocol, State: order.SessionActive, CreatedAt: b.now, UpdatedAt: b.now,
	}
}

func (b *beginning) start() order.Start {
	return order.Start{
		Key: b.key(), Protocol: b.m.Protocol, IDTag: b.m.IDTag, User: b.m.User, Register: b.m.Register, At: b.m.At, Received: b.now,
	}
}

// confirm is the device's start of an order that was asked for.
func (b *beginning) confirm(ctx context.Context, r *running) (device.StartAnswer, error) {
	x, o := r.session, r.order
	x.Begin(b.start())
	if err := b.tx.Orders().UpdateSession(ctx, b.s.scope(), x); err != nil {
		return device.StartAnswer{}, err
	}
	c, err := order.Charge{Order: o}.Confirm(x.StartedAt, b.now)
	if err != nil {
		return device.StartAnswer{}, err
	}
	if err := order.Record(ctx, b.tx, o, c); err != nil {
		return device.StartAnswer{}, err
	}
	open, err := b.tx.Commands().OpenCommands(ctx, b.s.scope(), b.s.place.id)
	if err != nil {
		return device.StartAnswer{}, err
	}
	for _, c := range open {
		if c.Type == command.Start && c.Session == x.UID && c.Complete(b.now) {
			if err := b.s.saveCommand(ctx, b.tx, c, b.now); err != nil {
				return device.StartAnswer{}, err
			}
		}
	}
	if err := b.begun(ctx, r); err != nil {
		return device.StartAnswer{}, err
	}
	return b.answer(ctx, x)
}

// begun is what follows the start of a session: the connector is taken, people
// are told.
func (b *beginning) begun(ctx context.Context, r *running) error {
	b.s.running[r.session.Connector], b.s.moved = r, true
	if err := b.s.occupy(ctx, b.tx, r.session.Connector, r.session.ID, b.now); err != nil {
		return err
	}
	return b.tx.Emit(ctx, b.s.sessionEvent(evcs.EventSessionStarted, r.session, r.order, b.now, evcs.Object{}.
		Text("state", string(r.session.State)).Text("startState", string(r.order.StartState)).Whole("userId", r.order.User).
		Text("source", string(r.order.Source))))
}

// allowed judges a start that the device made by itself: the tag, the tenant,
// the station, the charger.
func (b *beginning) allowed(ctx context.Context) (device.TagStatus, error, error) { // a refusal and a failure are two things
	if err := b.s.chain.Blocked(b.now); err != nil {
		return device.TagBlocked, err, nil
	}
	if err := b.s.enabled(b.m.Connector); err != nil {
		return device.TagBlocked, err, nil
	}
	if b.m.IDTag == "" {
		return device.TagAccepted, nil, nil
	}
	status, known, err := b.s.judge(ctx, b.tx, b.m.IDTag, b.now)
	if err != nil {
		return status, nil, err
	}
	if known != nil && b.m.User == 0 {
		b.m.User = known.User
	}
	if status != device.TagAccepted {
		return status, station.TagRefused(b.m.IDTag, string(status)), nil
	}
	return status, nil, nil
}

// open makes the session and the order of a start that nobody asked for. A
// session that still runs on the connector is over: a charger has one at a
// time. A start older than that is history: it waits for its own stop.
func (b *beginning) open(ctx context.Context, tag device.TagStatus, refusal error) (device.StartAnswer, error) {
	x := b.session()
	x.Begin(b.start())
	if errors.Is(refusal, station.ErrTagRefused) {
		x.Anomalies = x.Anomalies.With(order.IDTagRefused)
	}
	if before := b.s.running[x.Connector]; before != nil {
		if before.session.Begun() && x.StartedAt.Before(before.session.StartedAt) {
			return b.history(ctx, x, "a start older than the running session")
		}
		if err := b.supersede(ctx, before); err != nil {
			return device.StartAnswer{}, err
		}
	}
	if err := b.reserve(ctx); errors.Is(err, tenant.ErrQuota) {
		if !b.m.Offline && b.m.Protocol == device.CloudCharge {
			return device.StartAnswer{}, err
		}
		x.Anomalies = x.Anomalies.With(order.QuotaExceeded)
		if err := exceeded(ctx, b.tx, err, b.now); err != nil {
			return device.StartAnswer{}, err
		}
	} else if err != nil {
		return device.StartAnswer{}, err
	}
	if orphan, err := b.stoppedBefore(ctx, x); err != nil || orphan != nil {
		if err != nil {
			return device.StartAnswer{}, err
		}
		return b.join(ctx, x, orphan)
	}
	if err := b.tx.Orders().InsertSession(ctx, x); err != nil {
		return device.StartAnswer{}, err
	}
	r := &running{session: x, whole: true}
	var err error
	if r.order, err = b.s.newOrder(ctx, b.tx, x, order.FromDevice, b.now); err != nil {
		return device.StartAnswer{}, err
	}
	r.order.Anomalies = r.order.Anomalies.With(x.Anomalies...)
	if err := b.s.freezeIfAny(ctx, b.tx, r, x.StartedAt); err != nil {
		return device.StartAnswer{}, err
	}
	if err := order.Create(ctx, b.tx, r.order, "device"); err != nil {
		return device.StartAnswer{}, err
	}
	x.Order = r.order.ID
	if err := b.tx.Orders().Link(ctx, x); err != nil {
		return device.StartAnswer{}, err
	}
	if err := b.begun(ctx, r); err != nil {
		return device.StartAnswer{}, err
	}
	return device.StartAnswer{Session: x.UID, Transaction: x.ID, Tag: tag, Order: r.order.ID, OrderNo: r.order.No}, nil
}

// reserve keeps the quota of sessions. Where nobody on the chain limits them,
// which was proven for this transaction, there is nothing to count.
func (b *beginning) reserve(ctx context.Context) error {
	if !slices.ContainsFunc(b.s.chain, func(t tenant.Tenant) bool { return t.Limits.Of(tenant.Sessions) != nil }) {
		return nil
	}
	return tenant.Reserve(ctx, b.tx.Tenants(), b.s.tenant, tenant.Sessions, 1)
}

// history keeps a start that belongs to the past: a session without an order,
// which its own stop will bill.
func (b *beginning) history(ctx context.Context, x *order.Session, why string) (device.StartAnswer, error) {
	if err := b.orphan(ctx, b.tx, b.s, x, why, b.now); err != nil {
		return device.StartAnswer{}, err
	}
	return device.StartAnswer{Session: x.UID, Transaction: x.ID, Tag: device.TagAccepted}, nil
}

// supersede ends what was open on the connector: a running session by its last
// reading, a start that never came by cancelling it.
func (b *beginning) supersede(ctx context.Context, r *running) error {
	if r.session.Begun() && r.order != nil {
		return b.end(ctx, b.tx, b.s, r, ending{stop: estimate(r.session, b.now, order.StopOther), detail: "a new session began on the connector"}, b.now)
	}
	return b.drop(ctx, b.tx, b.s, r, order.StartFailed, "", b.now)
}

// estimate is the stop of a session whose own stop never came: its last
// reading.
func estimate(x *order.Session, now time.Time, reason string) order.Stop {
	at := x.Last.At
	if at.IsZero() {
		at = x.StartedAt
	}
	energy := x.Last.Energy
	return order.Stop{At: at, Received: now, Energy: &energy, Reason: reason, Estimated: true}
}

// stoppedBefore finds the stop that came ahead of this start: the only orphan
// without a start that fits.
func (b *beginning) stoppedBefore(ctx context.Context, x *order.Session) (*order.Session, error) {
	recent, err := b.s.stray(ctx, b.tx)
	if err != nil {
		return nil, err
	}
	var found *order.Session
	for _, c := range recent {
		fits := c.State == order.SessionOrphan && !c.Begun() && (c.Connector == x.Connector || c.Connector == 0) &&
			(c.IDTag == "" || c.IDTag == x.IDTag) && !c.StoppedAt.Before(x.StartedAt) && c.StoppedAt.Sub(x.StartedAt) < 24*time.Hour &&
			(c.MeterStop == nil || x.MeterStart == nil || *c.MeterStop >= *x.MeterStart)
		if !fits {
			continue
		}
		if found != nil {
			return nil, nil //nolint:nilnil // two fit: nobody guesses
		}
		found = c
	}
	return found, nil
}

// join puts a start and the stop that came before it together: one session,
// billed at once.
func (b *beginning) join(ctx context.Context, x, stop *order.Session) (device.StartAnswer, error) {
	joined := *stop
	joined.Connector, joined.DeviceKey, joined.StartedAt, joined.ReceivedStartAt = x.Connector, x.DeviceKey, x.StartedAt, x.ReceivedStartAt
	joined.MeterStart, joined.User, joined.Protocol = x.MeterStart, x.User, x.Protocol
	if joined.IDTag == "" {
		joined.IDTag = x.IDTag
	}
	joined.Anomalies = x.Anomalies // what was said of the stop alone is judged anew
	r := &running{session: &joined}
	how := ending{
		stop: order.Stop{
			At: stop.StoppedAt, Received: b.now, Register: stop.MeterStop, Reason: stop.StopReason, ReasonRaw: stop.StopReasonRaw, Digest: stop.StopDigest,
		},
		detail: "the stop came before the start",
	}
	if stop.MeterStop == nil || x.MeterStart == nil {
		how.stop.Energy = stop.DeviceEnergy
	}
	if err := b.billPast(ctx, b.tx, b.s, r, order.FromDevice, how, b.now); err != nil {
		return device.StartAnswer{}, err
	}
	return device.StartAnswer{Session: joined.UID, Transaction: joined.ID, Tag: device.TagAccepted, Order: r.order.ID, OrderNo: r.order.No}, nil
}

// billPast makes the order of a session that is over already, without ever
// opening it on its connector, and settles it.
func (e *Engine) billPast(ctx context.Context, tx Tx, s *site, r *running, source order.Source, how ending, at time.Time) error {
	var err error
	if r.order, err = s.newOrder(ctx, tx, r.session, source, at); err != nil {
		return err
	}
	if err := s.freezeIfAny(ctx, tx, r, r.session.StartedAt); err != nil {
		return err
	}
	if err := s.cureOrphan(ctx, tx, r.session, how.by, at); err != nil {
		return err
	}
	return e.end(ctx, tx, s, r, how, at)
}

// exceeded tells of the quota that a start has met.
func exceeded(ctx context.Context, tx Tx, refusal error, at time.Time) error {
	if e, ok := tenant.Exceeded(refusal, at); ok {
		return tx.Emit(ctx, e)
	}
	return nil
}
