package charging

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
)

// Stopped ends the session and settles its order, or finds the one this report
// is a repeat of. A stop of a session nobody knows is matched within the
// charger when only one fits, else kept as an orphan; it is always answered.
func (e *Engine) Stopped(ctx context.Context, m device.Stopped) (device.StopAnswer, error) {
	var answer device.StopAnswer
	now := e.received(m.From)
	err := e.act(ctx, placeOf(m.Identity), e.Urgent, remembered, func(tx Tx, s *site) error {
		answer = device.StopAnswer{Tag: device.TagAccepted}
		t := &stopping{Engine: e, tx: tx, s: s, m: m, now: now}
		x, err := t.which(ctx)
		if err != nil {
			return err
		}
		if x == nil {
			answer, err = t.unknown(ctx)
		} else {
			answer, err = t.known(ctx, x)
		}
		if err != nil {
			return err
		}
		return keep(ctx, tx, m.From, answer.Session, "")
	})
	return answer, err
}

type stopping struct {
	*Engine
	tx  Tx
	s   *site
	m   device.Stopped
	now time.Time
}

// digest is what the stop says, without its reason: some chargers send it
// twice, once with a reason and once without. What the charger says that it cost
// is no part of it: that is kept beside (see order.Claim).
func (t *stopping) digest() string {
	return fmt.Sprintf("%s|%s|%d", numberText(t.m.Register), numberText(t.m.Energy), evcs.Millis(t.m.At))
}

func numberText(e *evcs.Energy) string {
	if e == nil {
		return "-"
	}
	return e.String()
}

// orphanKey is the natural key of a stop that belongs to no session.
func (t *stopping) orphanKey() string {
	return fmt.Sprintf("stop:%d:%s:%d:%s:%s", t.m.Connector, t.m.Session, t.m.Transaction, t.m.IDTag, t.digest())
}

// which finds the session the stop is about; nil when none is known.
func (t *stopping) which(ctx context.Context) (*order.Session, error) {
	if r := t.s.findRunning(t.m.Session, t.m.Transaction); r != nil {
		return r.session, nil
	}
	orders := t.tx.Orders()
	if t.m.Session != "" {
		x, err := orders.Session(ctx, t.s.scope(), t.m.Session)
		if err == nil && x.Charger == t.s.place.id {
			return t.orphanOf(ctx, x)
		}
		if err != nil && !errors.Is(err, order.ErrSessionNotFound) {
			return nil, err
		}
	}
	if t.m.Transaction > 0 {
		x, err := orders.SessionByNumber(ctx, t.s.scope(), t.s.place.id, t.m.Transaction)
		if err == nil || !errors.Is(err, order.ErrSessionNotFound) {
			return x, err
		}
	}
	x, err := orders.SessionByKey(ctx, t.s.scope(), t.s.place.id, t.orphanKey())
	if err == nil || !errors.Is(err, order.ErrSessionNotFound) {
		return x, err
	}
	return t.fitting(ctx)
}

// orphanOf is what a device did under the id of a cancelled session, when it
// began it nevertheless.
func (t *stopping) orphanOf(ctx context.Context, x *order.Session) (*order.Session, error) {
	if x.Begun() || x.State != order.SessionEnded {
		return x, nil
	}
	recent, err := t.tx.Orders().RecentSessions(ctx, t.s.scope(), t.s.place.id, 20)
	if err != nil {
		return nil, err
	}
	for _, c := range recent {
		if c.Order == 0 && c.StopReasonRaw == cancelledMark && c.Connector == x.Connector && c.DeviceKey == "session:"+x.UID {
			return c, nil
		}
	}
	return x, nil
}

// fitting finds the only session of this charger that the stop can be of: by
// connector, tag, time and register. A made-up transaction number needs the
// tag to agree.
func (t *stopping) fitting(ctx context.Context) (*order.Session, error) {
	recent, err := t.tx.Orders().RecentSessions(ctx, t.s.scope(), t.s.place.id, 20)
	if err != nil {
		return nil, err
	}
	at, _ := order.Plausible(t.m.At, t.now)
	for _, x := range recent { // the repeat of a stop that was matched before
		if x.State == order.SessionEnded && x.Begun() && x.StopDigest == t.digest() && t.m.Register != nil && !t.m.At.IsZero() &&
			(t.m.Connector == 0 || t.m.Connector == x.Connector) && (t.m.IDTag == "" || t.m.IDTag == x.IDTag) && t.m.Session == "" {
			return x, nil
		}
	}
	var found *order.Session
	for _, x := range recent {
		open := x.Running() && x.Begun() || x.State == order.SessionOrphan && x.Begun() && x.StoppedAt.IsZero()
		if !open || t.m.Session != "" || !t.fits(x, at) {
			continue
		}
		if found != nil {
			return nil, nil //nolint:nilnil // two fit: nobody guesses
		}
		found = x
	}
	if found != nil {
		if r := t.s.findRunning(found.UID, 0); r != nil {
			return r.session, nil
		}
	}
	return found, nil
}

func (t *stopping) fits(x *order.Session, at time.Time) bool {
	switch {
	case t.m.Connector > 0 && t.m.Connector != x.Connector,
		t.m.IDTag != "" && x.IDTag != "" && t.m.IDTag != x.IDTag,
		t.m.Transaction > 0 && (t.m.IDTag == "" || t.m.IDTag != x.IDTag),
		at.Before(x.StartedAt), at.Sub(x.StartedAt) > 72*time.Hour:
		return false
	case t.m.Register == nil:
		return t.m.Energy != nil || t.m.Connector > 0 || t.m.IDTag != ""
	case x.Last.Has(evcs.HasRegister):
		return *t.m.Register >= x.Last.Register
	case x.MeterStart != nil:
		return *t.m.Register >= *x.MeterStart
	}
	return true
}

// known ends a session that is known, or answers a repeat.
func (t *stopping) known(ctx context.Context, x *order.Session) (device.StopAnswer, error) {
	switch {
	case x.State == order.SessionEnded:
		return t.again(ctx, x)
	case x.State == order.SessionOrphan && (!x.StoppedAt.IsZero() || x.StopReasonRaw == cancelledMark):
		return t.orphaned(ctx, x)
	case x.State == order.SessionOrphan: // its start was history: now it can be billed
		r := &running{session: x}
		if err := t.samples(ctx, r); err != nil {
			return device.StopAnswer{}, err
		}
		x.State = order.SessionActive
		if err := t.billPast(ctx, t.tx, t.s, r, order.FromDevice, t.ending(x), t.now); err != nil {
			return device.StopAnswer{}, err
		}
		return t.answer(x, r.order), nil
	}
	r := t.s.findRunning(x.UID, 0)
	if r == nil || r.order == nil {
		return device.StopAnswer{}, fmt.Errorf("the running session %s has no order: %w", x.UID, evcs.ErrStale)
	}
	if !x.Begun() { // the stop of a session whose start was never told
		x.Begin(order.Start{Key: "session:" + x.UID, Protocol: t.m.Protocol, IDTag: t.m.IDTag, At: x.CreatedAt, Received: x.CreatedAt})
	}
	if err := t.samples(ctx, r); err != nil {
		return device.StopAnswer{}, err
	}
	if err := t.end(ctx, t.tx, t.s, r, t.ending(x), t.now); err != nil {
		return device.StopAnswer{}, err
	}
	return t.answer(x, r.order), nil
}

// samples stores the readings that came with the stop.
func (t *stopping) samples(ctx context.Context, r *running) error {
	_, err := t.s.read(ctx, t.tx, r, t.m.Samples, true, t.now)
	return err
}

func (t *stopping) ending(x *order.Session) ending {
	reason := t.m.Reason
	if reason == "" {
		reason = order.StopOther
	}
	if r := t.s.findRunning(x.UID, 0); r != nil && r.order != nil && !r.order.StopRequestedAt.IsZero() && reason == order.StopOther {
		reason = order.StopRemote
	}
	return ending{by: "device", stop: order.Stop{
		At: t.m.At, Received: t.now, Register: t.m.Register, Energy: t.m.Energy, Duration: t.m.Duration,
		Reason: reason, ReasonRaw: t.m.ReasonRaw, Digest: t.digest(), Bill: t.m.Bill,
	}}
}

func (t *stopping) answer(x *order.Session, o *order.Order) device.StopAnswer {
	a := device.StopAnswer{Session: x.UID, Energy: x.Energy, Duration: time.Duration(x.Seconds) * time.Second, Tag: device.TagAccepted}
	if o != nil {
		a.OrderNo, a.Amount = o.No, o.Amount
		a.Cancelled = o.Status == order.Cancelled
	}
	return a
}

// again answers a stop of an ended session with what was stored. Other values
// are kept beside it (LATE_STOP) and change no amount.
func (t *stopping) again(ctx context.Context, x *order.Session) (device.StopAnswer, error) {
	if err := t.samples(ctx, &running{session: x}); err != nil {
		return device.StopAnswer{}, err
	}
	if x.Order == 0 {
		return t.answer(x, nil), nil
	}
	o, err := t.tx.Orders().Order(ctx, t.s.scope(), x.Order)
	if err != nil {
		return device.StopAnswer{}, err
	}
	if o.Status == order.Cancelled {
		return t.cancelled(ctx, x, o)
	}
	claim := x.LateClaim(t.m.Bill, t.lateEnergy(x))
	late := (x.StopDigest != t.digest() || claim == nil && t.otherBill(x)) && !x.Anomalies.Has(order.LateStop)
	if claim == nil && !late {
		return t.answer(x, o), nil
	}
	var marks []order.Anomaly
	news := order.Change{Event: "CHARGER_BILL", From: o.Status, To: o.Status, At: t.now, By: "device"}
	if late {
		marks, news.Event, news.Detail = append(marks, order.LateStop), "LATE_STOP", t.said()
	}
	if claim != nil {
		found, err := t.compare(ctx, o, claim)
		if err != nil {
			return device.StopAnswer{}, err
		}
		marks = append(marks, found...)
	}
	x.Anomalies, o.Anomalies, o.UpdatedAt = x.Anomalies.With(marks...), o.Anomalies.With(marks...), t.now
	if err := t.tx.Orders().UpdateSession(ctx, t.s.scope(), x); err != nil {
		return device.StopAnswer{}, err
	}
	if err := order.Record(ctx, t.tx, o, news); err != nil {
		return device.StopAnswer{}, err
	}
	return t.answer(x, o), nil
}

// otherBill reports whether the stop says another amount than the first one did.
func (t *stopping) otherBill(x *order.Session) bool {
	return t.m.Bill != nil && t.m.Bill.Amount != nil && x.DeviceAmount != nil && *t.m.Bill.Amount != *x.DeviceAmount
}

// said is all that the stop says, for the timeline.
func (t *stopping) said() string {
	if t.m.Bill == nil || t.m.Bill.Amount == nil {
		return t.digest()
	}
	return t.digest() + "|" + t.m.Bill.Amount.String()
}

// lateEnergy is what a late stop says was delivered; nil: it does not say.
func (t *stopping) lateEnergy(x *order.Session) *evcs.Energy {
	if t.m.Register != nil && x.MeterStart != nil {
		v := *t.m.Register - *x.MeterStart
		return &v
	}
	return t.m.Energy
}

// compare keeps a charger's bill that came after the session's end and says what
// is odd about it.
func (t *stopping) compare(ctx context.Context, o *order.Order, b *evcs.ChargerBill) ([]order.Anomaly, error) {
	lines, err := t.tx.Orders().Lines(ctx, t.s.scope(), o.ID)
	if err != nil {
		return nil, err
	}
	return order.CheckClaim(*b, o.Energy, lines).Marks(), keepClaim(ctx, t.tx, o, b, t.now)
}

// cancelled takes the stop of a session whose order was cancelled before the
// device began. What was delivered is left to an operator; the order stays.
func (t *stopping) cancelled(ctx context.Context, x *order.Session, o *order.Order) (device.StopAnswer, error) {
	a := t.answer(x, o)
	a.Cancelled = true
	if x.StopDigest == t.digest() { // the very stop that ended it
		return a, nil
	}
	if t.m.Energy != nil && *t.m.Energy == 0 || t.m.Register != nil && x.MeterStart != nil && *t.m.Register <= *x.MeterStart {
		return a, nil
	}
	_, err := t.tx.Orders().SessionByKey(ctx, t.s.scope(), t.s.place.id, t.orphanKey())
	if !errors.Is(err, order.ErrSessionNotFound) {
		return a, err
	}
	orphan, err := t.keepOrphan(ctx, x.Connector, "energy for the cancelled order "+o.No)
	if err == nil {
		a.Energy, a.Duration = orphan.Energy, time.Duration(orphan.Seconds)*time.Second
	}
	return a, err
}

// unknown keeps the stop of a session nobody knows.
func (t *stopping) unknown(ctx context.Context) (device.StopAnswer, error) {
	x, err := t.keepOrphan(ctx, t.m.Connector, "a stop of an unknown session")
	if err != nil {
		return device.StopAnswer{}, err
	}
	return t.orphanAnswer(x), nil
}

func (t *stopping) orphanAnswer(x *order.Session) device.StopAnswer {
	a := t.answer(x, nil)
	a.Orphan = true
	return a
}

// keepOrphan stores the stop as a session of its own.
func (t *stopping) keepOrphan(ctx context.Context, connector int, why string) (*order.Session, error) {
	uid := order.NewSession(t.now)
	if t.m.Session != "" {
		if _, err := t.tx.Orders().Session(ctx, t.s.scope(), t.m.Session); errors.Is(err, order.ErrSessionNotFound) {
			uid = t.m.Session
		} else if err != nil {
			return nil, err
		}
	}
	x := &order.Session{
		UID: uid, Tenant: t.s.tenant, Station: t.s.charger.Station, Charger: t.s.place.id, Connector: connector, IDTag: t.m.IDTag,
		Protocol: t.m.Protocol, DeviceKey: t.orphanKey(), CreatedAt: t.now, UpdatedAt: t.now,
	}
	how := t.ending(x)
	how.stop.Power = t.s.charger.RatedPower
	if err := x.End(how.stop); err != nil {
		return nil, err
	}
	if err := t.orphan(ctx, t.tx, t.s, x, why, t.now); err != nil {
		return nil, err
	}
	return x, t.samples(ctx, &running{session: x})
}

// orphaned ends an orphan that a device began, or answers its repeat.
func (t *stopping) orphaned(ctx context.Context, x *order.Session) (device.StopAnswer, error) {
	cancelled := x.StopReasonRaw == cancelledMark
	if x.StoppedAt.IsZero() {
		if err := t.samples(ctx, &running{session: x}); err != nil {
			return device.StopAnswer{}, err
		}
		how := t.ending(x)
		how.stop.Power = t.s.charger.RatedPower
		if err := x.End(how.stop); err != nil {
			return device.StopAnswer{}, err
		}
		x.State, x.StopReasonRaw = order.SessionOrphan, cancelledMark
		if err := t.tx.Orders().UpdateSession(ctx, t.s.scope(), x); err != nil {
			return device.StopAnswer{}, err
		}
	}
	a := t.orphanAnswer(x)
	a.Cancelled = cancelled
	a.Orphan = !cancelled
	return a, nil
}
