package charging

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/span"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tenant"
)

// StartRequest is a client's start.
type StartRequest struct {
	Tenant    evcs.TenantID // of the charger
	Charger   evcs.ChargerID
	Connector int            // zero: the only one
	Station   evcs.StationID // zero: not asked
	User      int64
	Session   string // zero: made here
	Plan      evcs.PlanID
	IDTag     string
	Wait      time.Duration
}

// Result is what became of a start or a stop.
type Result struct {
	Order     *order.Order
	Command   *command.Command // nil: none was needed
	Duplicate bool
}

// ErrBusy is 2006.
var ErrBusy = station.ErrConnectorBusy

// Start opens an order and asks the charger to begin. With a wait the answer is
// final: the order has STARTED, or it is cancelled and the error says why
// (2009, 2010). A refusal before that leaves nothing behind. The same session
// id again is the same order, without a second command.
func (e *Engine) Start(ctx context.Context, a *evcs.Actor, q StartRequest) (Result, error) {
	ctx, end := span.Begin(ctx, span.Use, "start")
	res, err := e.begin(ctx, a, q)
	end(err)
	return res, err
}

func (e *Engine) begin(ctx context.Context, a *evcs.Actor, q StartRequest) (Result, error) {
	var res Result
	now := e.Clock.Now()
	who := place{q.Tenant, q.Charger}
	err := e.act(ctx, who, e.Urgent, reread, func(tx Tx, s *site) error {
		res = Result{}
		if q.Station != 0 && q.Station != s.charger.Station {
			return evcs.Invalid(evcs.FieldFault{Field: "stationId", Message: "is not the charger's station"})
		}
		if q.Connector == 0 && len(s.connectors) == 1 {
			q.Connector = s.connectors[0].No
		}
		if q.Connector == 0 {
			return evcs.Invalid(evcs.FieldFault{Field: "connectorNo", Message: "is required: the charger has several connectors"})
		}
		if q.Session != "" {
			again, err := s.startedBefore(ctx, tx, q)
			if err != nil || again != nil {
				res = Result{Order: again, Duplicate: true}
				return err
			}
		}
		if err := s.mayStart(ctx, tx, &q, now); err != nil {
			return err
		}
		var err error
		res, err = e.open(ctx, tx, s, a, q, now)
		return err
	})
	if err != nil || res.Duplicate {
		return res, err
	}
	if res.Command, err = e.outcome(ctx, res.Command, q.Wait); err != nil {
		return res, err
	}
	if q.Wait <= 0 {
		return res, nil
	}
	if res.Order, err = e.orderNow(ctx, who, res.Order.Session); err != nil {
		return res, err
	}
	return res, CommandError(res.Command, res.Order)
}

// startedBefore answers a repeated session id: the same order, 3006 for
// another connector, 3003 for a cancelled one.
func (s *site) startedBefore(ctx context.Context, tx Tx, q StartRequest) (*order.Order, error) {
	o, err := tx.Orders().OrderBySession(ctx, s.scope(), q.Session)
	if errors.Is(err, order.ErrNotFound) {
		if _, err := tx.Orders().Session(ctx, s.scope(), q.Session); err == nil {
			return nil, evcs.With(order.ErrSessionConflict, map[string]any{"sessionId": q.Session})
		} else if !errors.Is(err, order.ErrSessionNotFound) {
			return nil, err
		}
		return nil, nil //nolint:nilnil // none is no failure
	}
	switch {
	case err != nil:
		return nil, err
	case o.Charger != q.Charger || o.Connector != q.Connector:
		return nil, evcs.With(order.ErrSessionConflict, map[string]any{"sessionId": q.Session})
	case o.Status == order.Cancelled:
		return nil, o.CancelledError()
	}
	return o, nil
}

// mayStart refuses a client's start, in the contract's order.
func (s *site) mayStart(ctx context.Context, tx Tx, q *StartRequest, now time.Time) error {
	if err := s.chain.Blocked(now); err != nil {
		return err
	}
	if err := s.station.MayCharge(); err != nil {
		return err
	}
	c, err := s.connector(q.Connector)
	if err != nil {
		return err
	}
	if err := s.charger.MayStart(c); err != nil {
		return err
	}
	if r := s.running[q.Connector]; r != nil {
		return s.connectorBusy(c, r)
	}
	if q.IDTag != "" {
		status, tag, err := s.judge(ctx, tx, q.IDTag, now)
		if err != nil {
			return err
		}
		if status != device.TagAccepted {
			return station.TagRefused(q.IDTag, string(status))
		}
		if tag != nil && q.User == 0 {
			q.User = tag.User
		}
	}
	if q.User != 0 && s.settings.BlockUnpaidUsers {
		id, err := tx.Orders().Unpaid(ctx, s.scope(), q.User)
		if err != nil {
			return err
		}
		if id != 0 {
			return evcs.With(order.ErrState, map[string]any{"orderId": id, "currentStatus": order.ToPay})
		}
	}
	return nil
}

func (s *site) connectorBusy(c *station.Connector, r *running) error {
	facts := map[string]any{
		"chargerId": s.place.id, "connectorNo": c.No, "currentStatus": int(c.Status), "orderId": nil, "sessionId": r.session.UID,
	}
	if r.order != nil {
		facts["orderId"] = r.order.No
	}
	return evcs.With(station.ErrConnectorBusy, facts)
}

// busyError is 2003 because a session runs.
func (s *site) busyError(r *running) error {
	no := ""
	if r.order != nil {
		no = r.order.No
	}
	return s.charger.StateError(no, station.BusyCharging)
}

// open writes the order, its session and its START command.
func (e *Engine) open(ctx context.Context, tx Tx, s *site, a *evcs.Actor, q StartRequest, now time.Time) (Result, error) {
	uid := q.Session
	if uid == "" {
		uid = order.NewSession(now)
	}
	x := &order.Session{
		UID: uid, Tenant: s.tenant, Station: s.charger.Station, Charger: s.place.id, Connector: q.Connector, User: q.User, IDTag: q.IDTag,
		Protocol: s.charger.Protocol, State: order.SessionActive, CreatedAt: now, UpdatedAt: now,
	}
	r := &running{session: x, order: &order.Order{}, whole: true}
	if err := s.freeze(ctx, tx, r, q.Plan, now); err != nil {
		return Result{}, err
	}
	if err := tenant.Reserve(ctx, tx.Tenants(), s.tenant, tenant.Sessions, 1); err != nil {
		return Result{}, err
	}
	if err := tx.Orders().InsertSession(ctx, x); err != nil {
		return Result{}, err
	}
	plan, snapshot := r.order.Plan, r.order.Snapshot
	var err error
	if r.order, err = s.newOrder(ctx, tx, x, order.FromClient, now); err != nil {
		return Result{}, err
	}
	r.order.Plan, r.order.Snapshot, r.order.StartState, r.order.StartedAt = plan, snapshot, order.Starting, now
	if err := order.Create(ctx, tx, r.order, a.Name); err != nil {
		return Result{}, err
	}
	x.Order = r.order.ID
	if err := tx.Orders().UpdateSession(ctx, s.scope(), x); err != nil {
		return Result{}, err
	}
	s.running[x.Connector], s.moved = r, true
	c, err := e.put(ctx, tx, s, a, CommandRequest{
		Charger: s.place.id, Connector: x.Connector, Kind: device.KindStart, Wait: q.Wait,
		Params: Params{IDTag: tagFor(r.order), User: q.User, OrderNo: r.order.No},
	}, now)
	o := *r.order
	return Result{Order: &o, Command: c}, err
}

// orderNow reads the order of a session again.
func (e *Engine) orderNow(ctx context.Context, who place, session string) (*order.Order, error) {
	var o *order.Order
	err := e.Patient(ctx, func(tx Tx) error {
		var err error
		o, err = tx.Orders().OrderBySession(ctx, who.scope(), session)
		return err
	})
	return o, err
}

// Stop asks the charger to end a session. Only the device's own stop settles
// it. Offline is 2004, silent 2010; in both the order goes on, and the stop is
// asked again when the charger returns.
func (e *Engine) Stop(ctx context.Context, a *evcs.Actor, o *order.Order, reason string, wait time.Duration) (Result, error) {
	ctx, end := span.Begin(ctx, span.Use, "stop")
	res, err := e.halt(ctx, a, o, reason, wait)
	end(err)
	return res, err
}

func (e *Engine) halt(ctx context.Context, a *evcs.Actor, o *order.Order, reason string, wait time.Duration) (Result, error) {
	var res Result
	var offline error
	now := e.Clock.Now()
	who := place{o.Tenant, o.Charger}
	err := e.act(ctx, who, e.Urgent, reread, func(tx Tx, s *site) error {
		res, offline = Result{}, nil
		r := s.findRunning(o.Session, 0)
		if r == nil || r.order == nil {
			done, err := tx.Orders().OrderBySession(ctx, who.scope(), o.Session)
			if err == nil && done.Status == order.Cancelled {
				err = done.CancelledError()
			}
			res = Result{Order: done, Duplicate: true}
			return err
		}
		order.Charge{Order: r.order}.RequestStop(now)
		r.order.UpdatedAt = now
		asked := order.Change{Event: "STOP_REQUESTED", From: r.order.Status, To: r.order.Status, At: now, By: a.Name, Detail: reason}
		if err := order.Record(ctx, tx, r.order, asked); err != nil {
			return err
		}
		known := *r.order
		res.Order = &known
		if !s.charger.Connected {
			offline = s.charger.OfflineError()
			return nil
		}
		var err error
		res.Command, err = e.putStop(ctx, tx, s, a, r, reason, wait, now)
		return err
	})
	switch {
	case err != nil:
		return res, err
	case offline != nil:
		return res, offline
	case res.Duplicate:
		return res, nil
	}
	if res.Command, err = e.outcome(ctx, res.Command, wait); err != nil || wait <= 0 {
		return res, err
	}
	if res.Order, err = e.orderNow(ctx, who, o.Session); err != nil {
		return res, err
	}
	return res, CommandError(res.Command, res.Order)
}

// putStop stores the STOP of a running session.
func (e *Engine) putStop(ctx context.Context, tx Tx, s *site, a *evcs.Actor, r *running, reason string, wait time.Duration, now time.Time) (*command.Command, error) {
	return e.put(ctx, tx, s, a, CommandRequest{
		Charger: s.place.id, Connector: r.session.Connector, Kind: device.KindStop, Wait: wait,
		Params: Params{Number: r.session.ID, OrderNo: r.order.No, Reason: reason, IDTag: tagFor(r.order)},
	}, now)
}

// stopAll stops every session of a charger in the ordinary way.
func (e *Engine) stopAll(ctx context.Context, a *evcs.Actor, t evcs.TenantID, q CommandRequest) error {
	var list []*order.Order
	err := e.act(ctx, place{t, q.Charger}, e.Urgent, reread, func(_ Tx, s *site) error {
		list = nil
		for _, r := range s.running {
			if r.order != nil {
				o := *r.order
				list = append(list, &o)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, o := range list {
		if _, err := e.Stop(ctx, a, o, "reset", max(q.Wait, time.Second)); err != nil {
			return err
		}
	}
	return nil
}

// tellToStop asks a charger to end what it began after its order was cancelled.
func (e *Engine) tellToStop(ctx context.Context, who place, connector int, x device.StartAnswer) {
	var c *command.Command
	err := e.act(ctx, who, e.Urgent, remembered, func(tx Tx, s *site) error {
		open, err := tx.Commands().OpenCommands(ctx, who.scope(), who.id)
		if err != nil {
			return err
		}
		for _, o := range open {
			if o.Type == command.Stop && o.Session == x.Session {
				c = nil
				return nil
			}
		}
		c, err = e.put(ctx, tx, s, evcs.System(who.tenant), CommandRequest{
			Charger: who.id, Connector: connector, Kind: device.KindStop, Session: x.Session, Params: Params{Number: x.Transaction},
		}, e.Clock.Now())
		return err
	})
	if err != nil {
		e.Log.WarnContext(ctx, "stop of a cancelled session not stored", slog.Any("charger", who.id), slog.Any("error", err))
		return
	}
	if c != nil {
		e.sendSoon(ctx, c)
	}
}
