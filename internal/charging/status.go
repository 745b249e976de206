package charging

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
)

// Booted records what the charger says of itself. It ends no session: a charger
// may reboot in the middle of one and go on.
func (e *Engine) Booted(ctx context.Context, m device.Boot) error {
	now := e.received(m.From)
	return e.act(ctx, placeOf(m.Identity), e.Urgent, remembered, func(tx Tx, s *site) error {
		if err := keep(ctx, tx, m.From, "", ""); err != nil {
			return err
		}
		changed := set(&s.charger.Firmware, m.Firmware)
		changed = s.charger.Brand == nil && set(&s.charger.Brand, m.Vendor) || changed
		changed = s.charger.Model == nil && set(&s.charger.Model, m.Model) || changed
		if !changed {
			return nil
		}
		s.writeCharger(now)
		return nil
	})
}

// set writes a text where it differs and is not empty.
func set(place **string, v string) bool {
	if v == "" || *place != nil && **place == v {
		return false
	}
	*place = &v
	return true
}

// StatusReported takes a report of one connector, or of the charger itself. It
// never ends a session. A connector nobody has registered is refused (2005);
// the frame is kept.
func (e *Engine) StatusReported(ctx context.Context, m device.Status) error {
	var refusal error
	now := e.received(m.From)
	err := e.act(ctx, placeOf(m.Identity), e.Patient, remembered, func(tx Tx, s *site) error {
		refusal = nil
		targets, err := s.targets(m)
		if err != nil {
			refusal = err
			return keep(ctx, tx, m.From, "", evcs.CodeConnectorNotFound.Name())
		}
		if err := keep(ctx, tx, m.From, "", ""); err != nil {
			return err
		}
		if m.Connector == 0 && m.Protocol != device.CloudCharge {
			return s.whole(ctx, tx, m, now)
		}
		for _, c := range targets {
			if err := s.report(ctx, tx, c, m, now); err != nil {
				return err
			}
		}
		return s.refresh(ctx, tx, now)
	})
	if err != nil {
		return err
	}
	return refusal
}

func (s *site) targets(m device.Status) ([]*station.Connector, error) {
	if m.Connector == 0 {
		return s.connectors, nil
	}
	c, err := s.connector(m.Connector)
	return []*station.Connector{c}, err
}

// whole takes a report of the charger itself: a fault of all of it, or its end.
func (s *site) whole(ctx context.Context, tx Tx, m device.Status, now time.Time) error {
	code := m.FaultCode
	if m.State != device.Fault {
		code = ""
	} else if code == "" {
		code = m.Word
	}
	if s.charger.FaultCode == nil && code == "" || s.charger.FaultCode != nil && *s.charger.FaultCode == code {
		return s.refresh(ctx, tx, now)
	}
	s.charger.FaultCode, s.charger.FaultDetail, s.charger.FaultSince = nil, nil, time.Time{}
	if code != "" {
		set(&s.charger.FaultCode, code)
		set(&s.charger.FaultDetail, m.FaultDetail)
		s.charger.FaultSince = now
	}
	s.writeCharger(now)
	return s.faultAlert(ctx, tx, now)
}

// report takes the report of one connector.
func (s *site) report(ctx context.Context, tx Tx, c *station.Connector, m device.Status, now time.Time) error {
	before := c.Status
	changed := c.TakeReport(station.Report{Status: station.Status(m.State), Plugged: m.Plugged, FaultCode: m.FaultCode, Detail: m.FaultDetail}, now)
	if m.Sample.Have != 0 {
		merge(&c.Live, m.Sample)
		c.LastMeter = now
		changed = true
	}
	if r := s.running[c.No]; r != nil && r.session.Begun() {
		idle := m.State == device.Idle
		if idle == r.session.IdleSince.IsZero() {
			r.session.IdleSince = time.Time{}
			if idle {
				r.session.IdleSince = now
			}
			if err := tx.Orders().UpdateSession(ctx, s.scope(), r.session); err != nil {
				return err
			}
		}
	}
	if !changed {
		return nil
	}
	return s.saveConnector(ctx, tx, c, before, now)
}

func (s *site) saveConnector(ctx context.Context, tx Tx, c *station.Connector, before station.Status, now time.Time) error {
	if err := tx.Stations().KeepConnector(ctx, c); err != nil {
		return err
	}
	if c.Status == before {
		return nil
	}
	if c.Status != station.Offline {
		if err := s.faultAlert(ctx, tx, now); err != nil {
			return err
		}
	}
	facts := changed(before, c.Status).TextOrNull("faultCode", c.FaultCode)
	if c.Plugged == nil {
		facts = facts.Null("plugged")
	} else {
		facts = facts.Truth("plugged", *c.Plugged)
	}
	return tx.Emit(ctx, s.event(evcs.EventConnectorStatus, c.No, now, facts))
}

// merge takes the figures that were measured.
func merge(live *evcs.Sample, r evcs.Sample) {
	live.At = r.At
	live.Have |= r.Have
	pick(r.Has(evcs.HasRegister), &live.Register, r.Register)
	pick(r.Has(evcs.HasEnergy), &live.Energy, r.Energy)
	pick(r.Has(evcs.HasPower), &live.Power, r.Power)
	pick(r.Has(evcs.HasVoltage), &live.Voltage, r.Voltage)
	pick(r.Has(evcs.HasCurrent), &live.Current, r.Current)
	pick(r.Has(evcs.HasSoC), &live.SoC, r.SoC)
	pick(r.Has(evcs.HasTemperature), &live.Temperature, r.Temperature)
}

func pick[T any](has bool, place *T, v T) {
	if has {
		*place = v
	}
}

// occupy marks a connector as taken by a session, or free (zero).
func (s *site) occupy(ctx context.Context, tx Tx, no int, session int64, now time.Time) error {
	c, err := s.connector(no)
	if err != nil {
		return nil //nolint:nilerr // a connector that was removed meanwhile has no state to keep
	}
	before := c.Status
	c.SessionID = session
	if session == 0 {
		c.Live = evcs.Sample{}
		if c.Reported == station.Charging {
			c.Reported = station.Idle // until the device says otherwise
		}
	}
	c.Refresh(true)
	c.Updated = now
	if err := s.saveConnector(ctx, tx, c, before, now); err != nil {
		return err
	}
	return s.refresh(ctx, tx, now)
}

// refresh brings every connector and the charger to what holds while the
// charger is heard, and tells when that changed.
func (s *site) refresh(ctx context.Context, tx Tx, now time.Time) error {
	return s.derive(ctx, tx, true, now)
}

func (s *site) derive(ctx context.Context, tx Tx, heard bool, now time.Time) error {
	for _, c := range s.connectors {
		if before := c.Status; c.Refresh(heard) {
			if heard && before == station.Offline && c.Status == station.Offline {
				continue
			}
			c.Updated = now
			if err := s.saveConnector(ctx, tx, c, before, now); err != nil {
				return err
			}
		}
	}
	before := s.charger.Status
	after := station.Derive(s.connectors)
	if after == before {
		return nil
	}
	s.charger.Status = after
	if after != station.Offline {
		s.charger.OfflineSince = time.Time{}
	}
	s.writeCharger(now)
	return tx.Emit(ctx, s.event(evcs.EventChargerStatus, 0, now, changed(before, after)))
}

// changed is what an event says of a status that moved.
func changed(before, after station.Status) evcs.Object {
	return evcs.Object{}.Whole("before", int64(before)).Whole("after", int64(after)).Whole("status", int64(after))
}

// writeCharger has the end of the transaction write the charger, once; it was
// heard now.
func (s *site) writeCharger(now time.Time) {
	if s.charger.Status != station.Offline && now.After(s.charger.LastSeen) {
		s.charger.LastSeen = now
	}
	s.charger.Updated = now
	s.owed = true
}

// count adds an ended session to the charger's totals.
func (s *site) count(x *order.Session, now time.Time) {
	s.charger.TotalSessions++
	s.charger.TotalEnergy += x.Energy
	s.charger.TotalSeconds += x.Seconds
	s.writeCharger(now)
}

// enabled refuses new sessions at a disabled station, charger or connector.
func (s *site) enabled(no int) error {
	if err := s.station.MayCharge(); err != nil {
		return err
	}
	c, err := s.connector(no)
	switch {
	case err != nil:
		return err
	case !s.charger.Enabled:
		return s.charger.DisabledError(0)
	case !c.Enabled:
		return s.charger.DisabledError(no)
	}
	return nil
}
