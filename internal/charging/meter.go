package charging

import (
	"context"
	"errors"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
)

// tellEvery is how often the running figures of a session are told.
const tellEvery = 10 * time.Second

// Metered stores readings. Each is one per session and moment: repeats are
// ignored, late ones stored. Readings of a session that is not known here are
// kept as frames; a device that named its session hears 3005.
func (e *Engine) Metered(ctx context.Context, m device.Metered) (device.MeterAnswer, error) {
	var answer device.MeterAnswer
	var refusal error
	now := e.received(m.From)
	err := e.act(ctx, placeOf(m.Identity), e.Patient, remembered, func(tx Tx, s *site) error {
		answer, refusal = device.MeterAnswer{Ignored: len(m.Samples)}, nil
		r, err := s.metered(ctx, tx, m)
		if err != nil {
			return err
		}
		if r == nil {
			if m.Session != "" {
				refusal = order.SessionMissing(m.Session)
			}
			return keep(ctx, tx, m.From, m.Session, "")
		}
		if err := keep(ctx, tx, m.From, r.session.UID, ""); err != nil {
			return err
		}
		named := m.Session != "" || m.Transaction > 0
		n, err := s.read(ctx, tx, r, m.Samples, named, now)
		if err != nil {
			return err
		}
		answer = device.MeterAnswer{Accepted: n, Ignored: len(m.Samples) - n}
		if n == 0 {
			return nil
		}
		return s.follow(ctx, tx, r, now)
	})
	if err != nil {
		return device.MeterAnswer{}, err
	}
	return answer, refusal
}

// metered finds whose readings these are; nil when nobody's.
func (s *site) metered(ctx context.Context, tx Tx, m device.Metered) (*running, error) {
	if r := s.findRunning(m.Session, m.Transaction); r != nil {
		return r, nil
	}
	var x *order.Session
	var err error
	switch {
	case m.Session != "":
		x, err = tx.Orders().Session(ctx, s.scope(), m.Session)
	case m.Transaction > 0:
		x, err = tx.Orders().SessionByNumber(ctx, s.scope(), s.place.id, m.Transaction)
	default:
		r := s.running[m.Connector]
		if r == nil || !r.session.Begun() {
			return nil, nil //nolint:nilnil // nobody's
		}
		return r, nil
	}
	if errors.Is(err, order.ErrSessionNotFound) || err == nil && x.Charger != s.place.id {
		return nil, nil //nolint:nilnil // nobody's here
	}
	if err != nil {
		return nil, err
	}
	return &running{session: x}, nil
}

// read stores the readings that are new and returns how many.
func (s *site) read(ctx context.Context, tx Tx, r *running, samples []evcs.Sample, named bool, now time.Time) (int, error) {
	n := 0
	x := r.session
	for _, sample := range samples {
		at, absurd := order.Plausible(sample.At, now)
		if absurd && !named {
			continue // a clock before its time, and of no session: evidence only
		}
		if absurd {
			x.Anomalies = x.Anomalies.With(order.ClockAbsurd)
		}
		sample.At = at
		if at.Equal(x.Last.At) {
			continue
		}
		before := *x
		kept := x.Read(sample, s.charger.RatedPower)
		fresh, err := tx.Orders().AddSample(ctx, x, kept)
		if err != nil {
			return n, err
		}
		if !fresh {
			*x = before
			continue
		}
		n++
		r.late = r.late || kept.At.Before(before.Last.At)
		if !kept.At.Before(before.Last.At) && kept.Has(evcs.HasRegister) || kept.Has(evcs.HasEnergy) {
			r.point(kept)
		}
	}
	return n, nil
}

// follow writes what the readings moved: the session at once, the order's
// estimate, the connector's figures and the event at most every ten seconds.
func (s *site) follow(ctx context.Context, tx Tx, r *running, now time.Time) error {
	x := r.session
	if err := tx.Orders().UpdateReading(ctx, x); err != nil {
		return err
	}
	if !x.Running() || r.order == nil || now.Sub(r.told) < tellEvery && now.Sub(r.told) >= 0 {
		return nil
	}
	r.told = now
	bill, err := s.bill(r, nil)
	if err == nil && r.order.Status == order.Charging {
		order.Charge{Order: r.order}.Estimate(x.Energy, x.Seconds, bill)
		r.order.UpdatedAt = now
		if err := tx.Orders().UpdateOrder(ctx, s.scope(), r.order); err != nil {
			return err
		}
	}
	if c, err := s.connector(x.Connector); err == nil {
		before := c.Status
		merge(&c.Live, x.Last)
		c.LastMeter = x.Last.At
		if err := s.saveConnector(ctx, tx, c, before, now); err != nil {
			return err
		}
	}
	return tx.Emit(ctx, s.sessionEvent(evcs.EventSessionMeter, x, r.order, now, meterFacts(x, r.order)))
}

func meterFacts(x *order.Session, o *order.Order) evcs.Object {
	facts := evcs.Object{}.Text("state", string(x.State)).Number("energy", x.Energy).Whole("durationSeconds", x.Seconds).Number("amount", o.Amount)
	facts = measured(facts, "power", x.Last.Has(evcs.HasPower), x.Last.Power)
	facts = measured(facts, "voltage", x.Last.Has(evcs.HasVoltage), x.Last.Voltage)
	facts = measured(facts, "current", x.Last.Has(evcs.HasCurrent), x.Last.Current)
	facts = measured(facts, "soc", x.Last.Has(evcs.HasSoC), x.Last.SoC)
	facts = measured(facts, "temperature", x.Last.Has(evcs.HasTemperature), x.Last.Temperature)
	return measured(facts, "meter", x.Last.Has(evcs.HasRegister), x.Last.Register)
}

func measured(facts evcs.Object, name string, has bool, v interface{ String() string }) evcs.Object {
	if !has {
		return facts.Null(name)
	}
	return facts.Number(name, v)
}
