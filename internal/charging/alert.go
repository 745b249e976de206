package charging

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
)

// faultState is what is known of a charger's ChargerFault alert, so that a
// change of status costs no question to the store.
type faultState int8

const (
	faultUnknown faultState = iota
	faultNone
	faultOpen
)

func (s *site) alert(rule alarm.Rule, target alarm.Target, message string) alarm.Alert {
	return alarm.Alert{
		Tenant: s.tenant, Rule: rule, Target: target, Station: s.charger.Station, Charger: s.place.id, Message: message,
	}
}

// faulty reports whether a connector or the charger itself is in fault.
func (s *site) faulty() bool {
	if s.charger.FaultCode != nil {
		return true
	}
	for _, c := range s.connectors {
		if c.Status == station.Fault {
			return true
		}
	}
	return false
}

// faultAlert raises ChargerFault with the first fault, and cures it with the
// end of the last.
func (s *site) faultAlert(ctx context.Context, tx Tx, now time.Time) error {
	target := alarm.OfCharger(s.place.id)
	switch faulty := s.faulty(); {
	case faulty && s.fault != faultOpen:
		s.fault = faultOpen
		return alarm.Raise(ctx, tx.Alarms(), s.alert(alarm.ChargerFault, target, s.charger.Code), now)
	case !faulty && s.fault != faultNone:
		s.fault = faultNone
		return alarm.Cure(ctx, tx.Alarms(), alarm.ChargerFault, s.tenant, target, "the fault ended", now)
	}
	return nil
}

// cureOrphan ends the alert of an orphan that has got its order.
func (s *site) cureOrphan(ctx context.Context, tx Tx, x *order.Session, by string, now time.Time) error {
	s.shifted()
	return alarm.Cure(ctx, tx.Alarms(), alarm.OrphanSession, s.tenant, alarm.OfNumber("SESSION", x.ID), by, now)
}

// settled ends the alert of an order that is held no more, or waived.
func (s *site) settled(ctx context.Context, tx Tx, o *order.Order, by string, now time.Time) error {
	if !o.Anomalies.Has(order.EnergyImplausible) || o.Held && o.Status != order.Cancelled {
		return nil
	}
	return alarm.Cure(ctx, tx.Alarms(), alarm.EnergyImplausible, s.tenant, alarm.OfNumber("ORDER", int64(o.ID)), by, now)
}

const (
	flapReconnects = 6
	flapWindow     = 5 * time.Minute
	flapCalm       = 2 * time.Minute // after the window
)

// joins are the last connections of one charger.
type joins struct {
	tenant evcs.TenantID
	at     []joint // oldest first, one more than reconnects make flapping
	raised bool
}

type joint struct {
	at   time.Time
	host string
}

// joined counts a connection. When the charger is flapping it says how: by
// connecting too often, or from two addresses in turn, as two devices of one
// number do that throw each other out.
func (e *Engine) joined(id device.Identity, address string, now time.Time) (how string) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	j := e.joins[id.Charger]
	if j == nil {
		j = &joins{tenant: id.Tenant}
		e.joins[id.Charger] = j
	}
	if j.at = append(j.at, joint{now, host}); len(j.at) > flapReconnects+1 {
		j.at = j.at[1:]
	}
	n := len(j.at)
	switch {
	case n > 2 && j.at[n-3].host == host && j.at[n-2].host != host && now.Sub(j.at[n-3].at) <= flapWindow:
		how = j.at[n-2].host + ", " + host
	case n > flapReconnects && now.Sub(j.at[0].at) <= flapWindow:
		how = host
	}
	j.raised = j.raised || how != ""
	return how
}

func (s *site) flapping(ctx context.Context, tx Tx, how string, now time.Time) error {
	return alarm.Raise(ctx, tx.Alarms(), s.alert(alarm.DeviceFlapping, alarm.OfCharger(s.place.id), s.charger.Code+": "+how), now)
}

// tidyEvery is how often memory is tidied.
const tidyEvery = time.Minute

// tidy forgets what memory need not hold: chargers that are not connected and
// have no session open, and connections of long ago. It ends the alert of a
// charger that flaps no more.
func (e *Engine) tidy(ctx context.Context) error {
	now := e.Clock.Now()
	var calm []place
	e.mu.Lock()
	if now.Sub(e.tidied) < tidyEvery && now.Sub(e.tidied) >= 0 {
		e.mu.Unlock()
		return nil
	}
	e.tidied = now
	for id, j := range e.joins {
		if now.Sub(j.at[len(j.at)-1].at) <= flapWindow+flapCalm {
			continue
		}
		if j.raised {
			calm = append(calm, place{j.tenant, id})
		}
		delete(e.joins, id)
	}
	for id, u := range e.units {
		if e.Hub.Get(id) == nil && u.idle() {
			delete(e.units, id)
		}
	}
	e.mu.Unlock()
	var failed error
	for _, who := range calm {
		failed = errors.Join(failed, e.act(ctx, who, e.Patient, remembered, func(tx Tx, s *site) error {
			return alarm.Cure(ctx, tx.Alarms(), alarm.DeviceFlapping, s.tenant, alarm.OfCharger(s.place.id), "calm again", now)
		}))
	}
	return failed
}

// idle reports whether nobody works on the charger and no session is open. A
// charger that is forgotten while somebody waits for it is only read again:
// versions, not this memory, keep two writers apart.
func (u *unit) idle() bool {
	if !u.mu.TryLock() {
		return false
	}
	defer u.mu.Unlock()
	return u.known == nil || len(u.known.running) == 0
}
