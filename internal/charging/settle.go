package charging

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/tariff"
)

// newOrder words an order for a session; it is not stored yet.
func (s *site) newOrder(ctx context.Context, tx Tx, x *order.Session, source order.Source, at time.Time) (*order.Order, error) {
	no, err := s.number(ctx, tx, at)
	if err != nil {
		return nil, err
	}
	return &order.Order{
		Tenant: s.tenant, No: no, Station: s.charger.Station, StationName: s.station.Name, Charger: s.place.id, ChargerCode: s.charger.Code,
		Connector: x.Connector, SessionID: x.ID, Session: x.UID, User: x.User, IDTag: x.IDTag, Source: source, StartState: order.Started,
		StartedAt: x.StartedAt, CreatedAt: at, UpdatedAt: at, Zone: s.zone.String(),
	}, nil
}

// freeze chooses the tariff of an order and freezes its prices; without one
// the order has none (3007 for a client, NO_TARIFF for a device).
func (s *site) freeze(ctx context.Context, tx Tx, r *running, asked evcs.PlanID, at time.Time) error {
	chosen, err := tariff.Choose(ctx, shelf{s, tx}, tariff.Question{
		Tenant: s.tenant, Station: s.charger.Station, Charger: s.place.id, Own: s.charger.Plan, Asked: asked, At: at, Zone: s.zone,
	})
	if err != nil {
		return err
	}
	r.order.Plan, r.order.Snapshot, r.order.PlanChosen = chosen.Plan.ID, chosen.Plan.Snapshot, chosen.String()
	r.snapshot, err = s.frozen(ctx, tx, chosen.Plan.Snapshot)
	return err
}

// freezeIfAny is freeze for what has begun anyhow.
func (s *site) freezeIfAny(ctx context.Context, tx Tx, r *running, at time.Time) error {
	err := s.freeze(ctx, tx, r, 0, at)
	if errors.Is(err, tariff.ErrNoPlan) {
		r.order.Anomalies = r.order.Anomalies.With(order.NoTariff)
		return nil
	}
	return err
}

// priced is the zone in which an order is priced: the one that was frozen with
// it; of an order from before zones were kept, the station's present one.
func priced(o *order.Order, present *time.Location) *time.Location {
	if o.Zone == "" || o.Zone == present.String() {
		return present
	}
	if zone, err := evcs.Zone(o.Zone); err == nil {
		return zone
	}
	return present
}

// bill prices a session that has ended or goes on, by its track or, where that
// does not tell all, by every reading. Without a tariff it is empty, and the
// order is held.
func (s *site) bill(r *running, readings []tariff.Point) (tariff.Bill, error) {
	if r.snapshot == nil {
		return tariff.Bill{}, nil
	}
	x, zone := r.session, priced(r.order, s.zone)
	if readings == nil {
		return tariff.Price(*r.snapshot, r.track.Curve(zone, x.StartedAt, x.Until(), x.Energy))
	}
	return tariff.Price(*r.snapshot, tariff.Curve{Zone: zone, Start: x.StartedAt, Stop: x.Until(), Points: readings, Total: x.Energy})
}

// curve is what pricing needs of a session's readings.
func curve(ctx context.Context, tx Tx, x *order.Session) ([]tariff.Point, error) {
	list, err := tx.Orders().Curve(ctx, x)
	return points(list), err
}

// points are the readings that say how much energy there was; not nil.
func points(list []evcs.Sample) []tariff.Point {
	points := make([]tariff.Point, 0, len(list))
	for _, c := range list {
		if c.Has(evcs.HasRegister) || c.Has(evcs.HasEnergy) {
			points = append(points, tariff.Point{At: c.At, Energy: c.Energy})
		}
	}
	return points
}

// ending is what a session ends by.
type ending struct {
	stop   order.Stop
	detail string // for the timeline
	by     string
	hold   []order.Anomaly
}

// end ends a running or orphan session that has an order in r (stored or not:
// an order without id is inserted) and settles it in this transaction: lines,
// amounts, books, totals, events, commands.
func (e *Engine) end(ctx context.Context, tx Tx, s *site, r *running, how ending, at time.Time) error {
	x, o := r.session, r.order
	how.stop.Power = s.charger.RatedPower
	if err := x.End(how.stop); err != nil {
		return err
	}
	x.Anomalies = x.Anomalies.With(how.hold...)
	if taken, err := e.takeBack(ctx, tx, s, r, how, at); taken || err != nil {
		return err
	}
	var readings []tariff.Point // nil: the track tells all
	if !r.whole || r.late || !r.track.Tells(x.StartedAt, x.StoppedAt, x.Energy) {
		var err error
		if readings, err = curve(ctx, tx, x); err != nil {
			return err
		}
	}
	if r.snapshot == nil && x.Energy > 0 {
		x.Anomalies = x.Anomalies.With(order.NoTariff)
	}
	bill, err := s.bill(r, readings)
	if err != nil { // a defect of the readings never makes a bill of nothing
		x.Anomalies, bill = x.Anomalies.With(order.EnergyImplausible), tariff.Bill{}
		e.Log.ErrorContext(ctx, "pricing failed", slog.Any("session", x.UID), slog.Any("error", err))
	}
	claim := x.Claim(how.stop.Bill)
	if claim != nil {
		x.Anomalies = x.Anomalies.With(order.CheckClaim(*claim, x.Energy, bill.Lines).Marks()...)
	}
	changes, err := settle(o, x, bill, s.settings.AutoToPay, at)
	if err != nil {
		return err
	}
	for i := range changes {
		changes[i].By, changes[i].Detail = how.by, how.detail
	}
	if o.ID == 0 {
		if err := order.Create(ctx, tx, o, how.by, changes...); err != nil {
			return err
		}
	} else if err := order.Record(ctx, tx, o, changes...); err != nil {
		return err
	}
	x.Order = o.ID
	if err := tx.Orders().UpdateSession(ctx, s.scope(), x); err != nil {
		return err
	}
	if err := tx.Orders().SetLines(ctx, o, bill.Lines); err != nil {
		return err
	}
	if err := ledger.Book(ctx, tx.Ledger(), ledger.Billed(o.Tenant, o.ID, o.EndedAt, ledgerBill(o))); err != nil {
		return err
	}
	if err := keepClaim(ctx, tx, o, claim, at); err != nil {
		return err
	}
	return e.leave(ctx, tx, s, r, at)
}

// keepClaim stores what the charger says itself that an order cost, if anything.
func keepClaim(ctx context.Context, tx Tx, o *order.Order, b *evcs.ChargerBill, at time.Time) error {
	if b == nil {
		return nil
	}
	return tx.Orders().KeepClaim(ctx, &order.Claim{Tenant: o.Tenant, Order: o.ID, Charger: o.Charger, Bill: *b, Received: at})
}

func ledgerBill(o *order.Order) ledger.Bill {
	return ledger.Bill{
		Electricity: o.ElectricityAmount, Service: o.ServiceAmount, Parking: o.ParkingAmount, Idle: o.IdleAmount, Discount: o.DiscountAmount,
	}
}

// settle moves the order 0 → 1, and on to 10 or 11 when the tenant wants that.
func settle(o *order.Order, x *order.Session, bill tariff.Bill, auto bool, at time.Time) ([]order.Change, error) {
	x.Anomalies = x.Anomalies.With(o.Anomalies...)
	ended, err := order.Charge{Order: o}.Settle(order.Settlement{
		EndedAt: x.StoppedAt, Energy: x.Energy, Seconds: x.Seconds, StopReason: x.StopReason, Bill: bill, Anomalies: x.Anomalies, Estimated: x.Estimated,
	}, at)
	if err != nil || ended.None() {
		return nil, err
	}
	if !auto && o.Amount > 0 {
		return []order.Change{ended}, nil
	}
	asked, err := o.ToPay(false, at)
	return []order.Change{ended, asked}, err
}

// leave is what follows the end of a session: the connector is free, the
// totals of the charger grow, waiting commands are done, people are told.
func (e *Engine) leave(ctx context.Context, tx Tx, s *site, r *running, at time.Time) error {
	x, o := r.session, r.order
	s.moved = true
	if now := s.running[x.Connector]; now != nil && now.session.ID == x.ID {
		delete(s.running, x.Connector)
		if err := s.occupy(ctx, tx, x.Connector, 0, at); err != nil {
			return err
		}
	}
	s.count(x, at)
	// An order that the device made and nobody asked to stop has no command.
	if o.Source != order.FromDevice || !o.StopRequestedAt.IsZero() {
		if err := e.done(ctx, tx, s, x.UID, at); err != nil {
			return err
		}
	}
	if x.Anomalies.Has(order.EnergyImplausible) {
		err := alarm.Raise(ctx, tx.Alarms(), alarm.Alert{
			Tenant: s.tenant, Rule: alarm.EnergyImplausible, Target: alarm.OfNumber("ORDER", int64(o.ID)), Station: s.charger.Station,
			Charger: s.place.id, Message: o.No + ": " + x.Energy.String() + " kWh",
		}, at)
		if err != nil {
			return err
		}
	}
	return tx.Emit(ctx, s.sessionEvent(evcs.EventSessionEnded, x, o, at, evcs.Texts(evcs.Object{}.
		Text("state", string(x.State)).Number("energy", x.Energy).Whole("durationSeconds", x.Seconds).Text("stopReason", x.StopReason).
		Number("amount", o.Amount).Truth("estimated", x.Estimated), "anomalies", x.Anomalies)))
}

// orphan keeps a session without an order and calls for a person.
func (e *Engine) orphan(ctx context.Context, tx Tx, s *site, x *order.Session, why string, at time.Time) error {
	x.State, x.Order = order.SessionOrphan, 0
	s.shifted()
	if err := tx.Orders().InsertSession(ctx, x); err != nil {
		return err
	}
	err := alarm.Raise(ctx, tx.Alarms(), alarm.Alert{
		Tenant: s.tenant, Rule: alarm.OrphanSession, Target: alarm.OfNumber("SESSION", x.ID), Station: s.charger.Station,
		Charger: s.place.id, Message: s.charger.Code + ": " + why,
	}, at)
	if err != nil {
		return err
	}
	return tx.Emit(ctx, s.sessionEvent(evcs.EventSessionOrphan, x, nil, at, evcs.Object{}.Text("state", string(x.State)).Text("reason", why).Number("energy", x.Energy)))
}
