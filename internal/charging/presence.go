package charging

import (
	"context"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
)

// Connected records a new connection that stands in the hub. One that a newer
// has replaced meanwhile is not recorded. Charging sessions go on as they were.
func (e *Engine) Connected(ctx context.Context, x device.Session) error {
	id, info, now := x.Identity(), x.Info(), e.Clock.Now()
	if e.Hub.Get(id.Charger) != x {
		return nil
	}
	flaps := e.joined(id, info.Address, now)
	err := e.act(ctx, placeOf(id), e.Urgent, reread, func(tx Tx, s *site) error {
		s.charger.Connected, s.charger.ConnectedSince, s.charger.LastSeen, s.charger.Node = true, now, now, e.Node
		set(&s.charger.RemoteAddress, info.Address)
		if s.charger.Protocol == "" {
			s.charger.Protocol = info.Protocol
		}
		s.writeCharger(now)
		if err := tx.Stations().CredentialUsed(ctx, s.scope(), s.place.id, now); err != nil {
			return err
		}
		if err := s.heardAgain(ctx, tx, now); err != nil {
			return err
		}
		if flaps != "" {
			if err := s.flapping(ctx, tx, flaps, now); err != nil {
				return err
			}
		}
		return tx.Emit(ctx, s.event(evcs.EventChargerConnected, 0, now, evcs.Object{}.Text("protocol", info.Protocol).Text("remoteAddress", info.Address)))
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.back[id.Charger] = now
	delete(e.gone, id.Charger)
	return nil
}

// heardAgain brings a charger that was offline back.
func (s *site) heardAgain(ctx context.Context, tx Tx, now time.Time) error {
	s.charger.OfflineSince = time.Time{}
	if err := alarm.Cure(ctx, tx.Alarms(), alarm.ChargerOffline, s.tenant, alarm.OfCharger(s.place.id), "", now); err != nil {
		return err
	}
	return s.refresh(ctx, tx, now)
}

// Disconnected records the end of a connection that was dropped from the hub,
// unless a newer one has taken its place. No charging session ends by it.
func (e *Engine) Disconnected(ctx context.Context, x device.Session, reason string) {
	if e.Hub.Get(x.Identity().Charger) != nil {
		return
	}
	id, now := x.Identity(), e.Clock.Now()
	e.mu.Lock()
	e.gone[id.Charger] = order.Heard{Tenant: id.Tenant, Charger: id.Charger, At: now}
	delete(e.back, id.Charger)
	e.mu.Unlock()
	err := e.act(context.WithoutCancel(ctx), placeOf(id), e.Urgent, reread, func(tx Tx, s *site) error {
		if !s.charger.Connected || s.charger.Node != e.Node {
			return nil
		}
		s.charger.Connected, s.charger.ConnectedSince = false, time.Time{}
		s.writeCharger(now)
		return tx.Emit(ctx, s.event(evcs.EventChargerDisconnected, 0, now, evcs.Object{}.Text("reason", reason)))
	})
	if err != nil {
		e.Log.WarnContext(ctx, "disconnection not stored", slog.Any("charger", id.Charger), slog.Any("error", err))
	}
}

// Heard remembers a sign of life; the store follows within a minute.
func (e *Engine) Heard(id device.Identity, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if h := e.heard[id.Charger]; at.After(h.At) {
		e.heard[id.Charger] = order.Heard{Tenant: id.Tenant, Charger: id.Charger, At: at}
	}
}

// flush writes who was heard. What cannot be written is kept for the next time.
func (e *Engine) flush(ctx context.Context) error {
	e.mu.Lock()
	list := make([]order.Heard, 0, len(e.heard))
	for _, h := range e.heard {
		list = append(list, h)
	}
	clear(e.heard)
	e.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	err := e.Rolls.Heard(ctx, list)
	if err != nil {
		e.mu.Lock()
		for _, h := range list {
			if h.At.After(e.heard[h.Charger].At) {
				e.heard[h.Charger] = h
			}
		}
		e.mu.Unlock()
		return err
	}
	return e.wakeSilent(ctx, list)
}

// wakeSilent brings chargers back that were offline and have been heard.
func (e *Engine) wakeSilent(ctx context.Context, list []order.Heard) error {
	for _, h := range list {
		u := e.unit(h.Charger)
		u.mu.Lock()
		offline := u.known == nil || u.known.charger.Status == station.Offline // not known: the store says
		u.mu.Unlock()
		if !offline {
			continue
		}
		err := e.act(ctx, place{h.Tenant, h.Charger}, e.Patient, reread, func(tx Tx, s *site) error {
			if s.charger.Status != station.Offline {
				return nil
			}
			return s.heardAgain(ctx, tx, h.At)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// silence brings a charger that is not heard to 0. Its sessions stay open.
func (e *Engine) silence(ctx context.Context, h order.Heard, before time.Time) error {
	now := e.Clock.Now()
	return e.act(ctx, place{h.Tenant, h.Charger}, e.Urgent, reread, func(tx Tx, s *site) error {
		if s.charger.Status == station.Offline || s.charger.LastSeen.After(before) {
			return nil
		}
		s.charger.OfflineSince = s.charger.LastSeen
		if s.charger.Protocol == device.CloudCharge {
			s.charger.Connected = false
		}
		if err := s.derive(ctx, tx, false, now); err != nil {
			return err
		}
		severity := alarm.Medium
		if len(s.running) > 0 {
			severity = alarm.High
		}
		return alarm.Raise(ctx, tx.Alarms(), alarm.Alert{
			Tenant: s.tenant, Rule: alarm.ChargerOffline, Severity: severity, Target: alarm.OfCharger(s.place.id), Station: s.charger.Station,
			Charger: s.place.id, Message: s.charger.Code,
		}, now)
	})
}
