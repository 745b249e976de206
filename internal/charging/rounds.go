package charging

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
)

const (
	round      = time.Second
	together   = 50 * time.Millisecond // changes of settings that one look at the connections serves
	flushEvery = 30 * time.Second
	// settleDown is how long a charger that has come back is left alone before
	// an old stop is asked again.
	settleDown = 10 * time.Second
	goneAfter  = 60 * time.Second
	idleLimit  = 30 * time.Minute
	muteLimit  = 24 * time.Hour
	batch      = 100
)

// Run makes the rounds until ctx ends: deadlines of commands, chargers gone
// silent, stops to be asked again, sessions whose stop never comes. It waits
// for the commands on the wire before it returns.
func (e *Engine) Run(ctx context.Context) error {
	tick := time.NewTicker(round)
	defer tick.Stop()
	defer e.Drain()
	flushed, asked := e.Clock.Now(), false
	soon := time.NewTimer(round)
	defer soon.Stop()
	for {
		select {
		case <-ctx.Done():
			return errors.Join(e.flush(context.WithoutCancel(ctx)), e.evidence(context.WithoutCancel(ctx)))
		case <-e.nudged:
			if !asked {
				asked = true
				soon.Reset(together)
			}
			continue
		case <-soon.C:
			asked = false
			if err := errors.Join(e.look(ctx), e.evict(ctx)); err != nil && ctx.Err() == nil {
				e.Log.WarnContext(ctx, "chargers of blocked tenants not disconnected", slog.Any("error", err))
			}
			continue
		case <-tick.C:
		}
		if now := e.Clock.Now(); now.Sub(flushed) >= flushEvery {
			flushed = now
			if err := e.flush(ctx); err != nil {
				e.Log.WarnContext(ctx, "presence not written", slog.Any("error", err))
			}
		}
		if err := e.Round(ctx); err != nil && ctx.Err() == nil {
			e.Log.WarnContext(ctx, "charging round failed", slog.Any("error", err))
		}
	}
}

// Round does everything that is due now.
func (e *Engine) Round(ctx context.Context) error {
	return errors.Join(e.look(ctx), e.evict(ctx), e.evidence(ctx), e.deadlines(ctx), e.claim(ctx), e.returned(ctx), e.silences(ctx), e.overdue(ctx), e.tidy(ctx))
}

func (e *Engine) deadlines(ctx context.Context) error {
	due, err := e.Rolls.Due(ctx, e.Clock.Now(), batch)
	for _, c := range due {
		_, failed := e.expire(ctx, c)
		err = errors.Join(err, failed)
	}
	return err
}

// claim sends waiting commands of chargers that this node holds: those that
// another node stored, and those that were stored before a restart.
func (e *Engine) claim(ctx context.Context) error {
	list, err := e.Rolls.Waiting(ctx, batch)
	for _, c := range list {
		if e.Hub.Get(c.Charger) != nil && e.Clock.Now().Before(c.Deadline) && e.Clock.Now().Sub(c.CreatedAt) > round {
			e.sendSoon(ctx, c)
		}
	}
	return err
}

// returned asks again for the stops that a charger missed.
func (e *Engine) returned(ctx context.Context) error {
	now := e.Clock.Now()
	var list []evcs.ChargerID
	e.mu.Lock()
	for id, since := range e.back {
		if now.Sub(since) >= settleDown {
			list = append(list, id)
			delete(e.back, id)
		}
	}
	e.mu.Unlock()
	var failed error
	for _, id := range list {
		session := e.Hub.Get(id)
		if session == nil {
			continue
		}
		failed = errors.Join(failed, e.stopAgain(ctx, placeOf(session.Identity())))
	}
	return failed
}

func (e *Engine) stopAgain(ctx context.Context, who place) error {
	var list []*command.Command
	err := e.act(ctx, who, e.Urgent, reread, func(tx Tx, s *site) error {
		list = nil
		open, err := tx.Commands().OpenCommands(ctx, who.scope(), who.id)
		if err != nil {
			return err
		}
		waiting := make(map[string]bool)
		for _, c := range open {
			waiting[c.Session] = waiting[c.Session] || c.Type == command.Stop
		}
		for _, r := range s.running {
			if r.order == nil || r.order.StopRequestedAt.IsZero() || waiting[r.session.UID] {
				continue
			}
			c, err := e.putStop(ctx, tx, s, evcs.System(who.tenant), r, "asked again", 0, e.Clock.Now())
			if err != nil {
				return err
			}
			list = append(list, c)
		}
		return nil
	})
	for _, c := range list {
		e.sendSoon(ctx, c)
	}
	return err
}

// silences brings chargers to 0 that have not been heard for long, or whose
// socket has been closed for a minute.
func (e *Engine) silences(ctx context.Context) error {
	now := e.Clock.Now()
	failed := e.unheard(ctx, now)
	e.mu.Lock()
	var gone []order.Heard
	for id, h := range e.gone {
		if now.Sub(h.At) >= goneAfter {
			gone = append(gone, h)
			delete(e.gone, id)
		}
	}
	e.mu.Unlock()
	for _, h := range gone {
		if e.Hub.Get(h.Charger) == nil {
			failed = errors.Join(failed, e.silence(ctx, h, now))
		}
	}
	return failed
}

// unheard brings chargers to 0 that have not been heard for long. It looks when
// the one least heard may have become silent, or after a tenth of the limit: a
// charger may come back with an old time.
func (e *Engine) unheard(ctx context.Context, now time.Time) error {
	if now.Before(e.audible) {
		return nil
	}
	list, err := e.Rolls.LeastHeard(ctx, batch)
	if err != nil {
		return err
	}
	next := now.Add(e.OfflineAfter / 10)
	var failed error
	for _, h := range list {
		if silent := h.At.Add(e.OfflineAfter); silent.After(now) {
			if silent.Before(next) {
				next = silent
			}
			e.audible = next
			return failed
		}
		e.mu.Lock()
		heard := e.heard[h.Charger].At
		e.mu.Unlock()
		if now.Sub(heard) >= e.OfflineAfter {
			failed = errors.Join(failed, e.silence(ctx, h, now.Add(-e.OfflineAfter)))
		}
	}
	if len(list) < batch && failed == nil {
		e.audible = next
	}
	return failed
}

// overdue closes sessions whose stop never comes from their last reading, where
// the tenant wants that.
func (e *Engine) overdue(ctx context.Context) error {
	now := e.Clock.Now()
	list, err := e.Rolls.Overdue(ctx, now.Add(-idleLimit), now.Add(-muteLimit), batch)
	if err != nil {
		return err
	}
	var failed error
	for _, x := range list {
		failed = errors.Join(failed, e.act(ctx, place{x.Tenant, x.Charger}, e.Urgent, reread, func(tx Tx, s *site) error {
			r := s.findRunning(x.UID, 0)
			if r == nil || r.order == nil || !s.settings.SettleFromEstimate {
				return nil
			}
			idle := !r.session.IdleSince.IsZero() && now.Sub(r.session.IdleSince) >= idleLimit
			mute := now.Sub(r.session.UpdatedAt) >= muteLimit
			if !idle && !mute {
				return nil
			}
			return e.end(ctx, tx, s, r, ending{stop: estimate(r.session, now, order.StopOther), detail: "no stop came"}, now)
		}))
	}
	return failed
}

// recovering is how many chargers are put in order at once: they share commits.
const recovering = 128

// Recover puts the store in order after a restart of this node: commands that
// were on the wire have no answer coming, and no charger is connected yet.
// Open orders and sessions stay as they are.
func (e *Engine) Recover(ctx context.Context) error {
	list, err := e.Rolls.Connected(ctx, e.Node)
	if err != nil {
		return err
	}
	now := e.Clock.Now()
	results := make([]error, len(list))
	var group errgroup.Group
	group.SetLimit(recovering)
	for i, h := range list {
		group.Go(func() error {
			results[i] = e.recoverCharger(ctx, h, now)
			return nil
		})
	}
	return errors.Join(append(results, group.Wait())...)
}

func (e *Engine) recoverCharger(ctx context.Context, h order.Heard, now time.Time) error {
	err := e.act(ctx, place{h.Tenant, h.Charger}, e.Urgent, reread, func(tx Tx, s *site) error {
		open, err := tx.Commands().OpenCommands(ctx, s.scope(), h.Charger)
		if err != nil {
			return err
		}
		for _, c := range open {
			if c.Node != e.Node || c.State != command.Sent || c.AwaitsSession() || !c.Expire("evcsd was restarted", now) {
				continue // a start or stop may still be confirmed by the session's event
			}
			if err := s.saveCommand(ctx, tx, c, now); err != nil {
				return err
			}
		}
		if s.charger.Connected && s.charger.Node == e.Node {
			s.charger.Connected, s.charger.ConnectedSince = false, time.Time{}
			if err := tx.Stations().KeepCharger(ctx, s.charger); err != nil {
				return err
			}
		}
		return nil
	})
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gone[h.Charger] = order.Heard{Tenant: h.Tenant, Charger: h.Charger, At: now}
	return err
}
