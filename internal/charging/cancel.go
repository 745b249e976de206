package charging

import (
	"context"
	"encoding/json"
	"time"

	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// cancelWait is how long the device may take to end what is cancelled.
const cancelWait = 30 * time.Second

// CancelOrder cancels an order. One whose device has begun is cancelled only
// without energy, and the device is told to stop first: its own stop without
// energy takes the order back; with energy it is billed (3014). Offline is
// 2004, silent 2010. A live payment refuses (3013).
func (e *Engine) CancelOrder(ctx context.Context, a *evcs.Actor, old *order.Order, reason string) (*order.Order, error) {
	var stop *command.Command
	made, err := e.change(ctx, a, old, tenant.OrderCancel, reason, func(tx Tx, s *site, o *order.Order, now time.Time) (order.Change, error) {
		stop = nil
		if err := payment.CheckNoLive(ctx, tx.Payments(), s.scope(), o.ID); err != nil {
			return order.Change{}, err
		}
		if r := s.findRunning(o.Session, 0); o.Status == order.Charging && r != nil && r.session.Begun() {
			var c order.Change
			var err error
			stop, c, err = e.stopToCancel(ctx, tx, s, a, r, o, reason, now)
			return c, err
		}
		return e.cancelNow(ctx, tx, s, o, reason, now)
	})
	if err != nil || stop == nil {
		return made, err
	}
	return e.cancelled(ctx, made, stop)
}

// cancelNow cancels an order that no device is at work for.
func (e *Engine) cancelNow(ctx context.Context, tx Tx, s *site, o *order.Order, reason string, now time.Time) (order.Change, error) {
	before, owed := o.Status, o.Amount-o.PaidAmount
	c, err := o.Cancel(reason, now)
	if err != nil || c.None() {
		return c, err
	}
	if before != order.Charging {
		return c, ledger.Book(ctx, tx.Ledger(), ledger.Waived(o.Tenant, o.ID, now, owed))
	}
	r := s.findRunning(o.Session, 0)
	if r == nil {
		return c, nil
	}
	r.session.State, r.session.StoppedAt, r.session.UpdatedAt = order.SessionEnded, now, now
	if err := tx.Orders().UpdateSession(ctx, s.scope(), r.session); err != nil {
		return c, err
	}
	delete(s.running, r.session.Connector)
	if err := e.abandon(ctx, tx, s, o.Session, now); err != nil {
		return c, err
	}
	return c, s.occupy(ctx, tx, r.session.Connector, 0, now)
}

// stopToCancel stores the STOP of a session whose order is to be cancelled.
func (e *Engine) stopToCancel(ctx context.Context, tx Tx, s *site, a *evcs.Actor, r *running, o *order.Order, reason string, now time.Time) (*command.Command, order.Change, error) {
	if energy := max(o.Energy, r.session.Energy); energy > 0 {
		return nil, order.Change{}, hasEnergy(o, energy)
	}
	if !s.charger.Connected {
		return nil, order.Change{}, s.charger.OfflineError()
	}
	order.Charge{Order: o}.RequestStop(now)
	o.UpdatedAt = now
	r.order = o
	c, err := e.put(ctx, tx, s, a, CommandRequest{
		Charger: s.place.id, Connector: r.session.Connector, Kind: device.KindStop, Wait: cancelWait,
		Params: Params{Number: r.session.ID, OrderNo: o.No, Reason: reason, IDTag: tagFor(o), Cancel: true},
	}, now)
	return c, order.Change{Event: "STOP_REQUESTED", From: o.Status, To: o.Status, At: now, Detail: reason}, err
}

func hasEnergy(o *order.Order, energy evcs.Energy) error {
	return evcs.With(order.ErrHasEnergy, map[string]any{"orderId": o.ID, "energy": energy})
}

// cancelled waits for the device's stop and says what became of the order.
func (e *Engine) cancelled(ctx context.Context, o *order.Order, stop *command.Command) (*order.Order, error) {
	c, err := e.outcome(ctx, stop, cancelWait)
	if err != nil {
		return nil, err
	}
	now, err := e.orderNow(ctx, place{o.Tenant, o.Charger}, o.Session)
	switch {
	case err != nil:
		return nil, err
	case now.Status == order.Cancelled:
		return now, nil
	case now.Status != order.Charging && now.Energy > 0:
		return nil, hasEnergy(now, now.Energy)
	case now.Status != order.Charging:
		_, err := now.Cancel("", e.Clock.Now()) // what was settled meanwhile
		return now, err
	}
	return nil, CommandError(c, now)
}

// takeBack cancels the order of a session that ended without energy when its
// stop was asked for to cancel it.
func (e *Engine) takeBack(ctx context.Context, tx Tx, s *site, r *running, how ending, at time.Time) (bool, error) {
	x, o := r.session, r.order
	if o.ID == 0 || o.Status != order.Charging || o.StopRequestedAt.IsZero() || x.Energy != 0 {
		return false, nil
	}
	open, err := tx.Commands().OpenCommands(ctx, s.scope(), s.place.id)
	if err != nil {
		return false, err
	}
	reason, asked := "", false
	for _, c := range open {
		var p Params
		if c.Session == x.UID && c.Type == command.Stop && json.Unmarshal(c.Params, &p) == nil && p.Cancel {
			reason, asked = p.Reason, true
		}
	}
	if !asked {
		return false, nil
	}
	order.Charge{Order: o}.Estimate(0, x.Seconds, tariff.Bill{})
	o.EndedAt, o.StopReason, o.Anomalies = x.StoppedAt, x.StopReason, o.Anomalies.With(x.Anomalies...)
	c, err := o.Cancel(reason, at)
	if err != nil {
		return false, err
	}
	c.By, c.Detail = how.by, reason
	if err := order.Record(ctx, tx, o, c); err != nil {
		return false, err
	}
	x.Order = o.ID
	if err := tx.Orders().UpdateSession(ctx, s.scope(), x); err != nil {
		return false, err
	}
	return true, e.leave(ctx, tx, s, r, at)
}

// abandon ends the commands of a session that is cancelled.
func (e *Engine) abandon(ctx context.Context, tx Tx, s *site, session string, now time.Time) error {
	open, err := tx.Commands().OpenCommands(ctx, s.scope(), s.place.id)
	if err != nil {
		return err
	}
	for _, c := range open {
		if c.Session != session {
			continue
		}
		c.State, c.Reason, c.EndedAt = command.Cancelled, "order cancelled", now
		if err := s.saveCommand(ctx, tx, c, now); err != nil {
			return err
		}
	}
	return nil
}
