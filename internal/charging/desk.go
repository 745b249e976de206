package charging

import (
	"context"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// Adoption makes an order of an orphan.
type Adoption struct {
	Reason string
	User   int64
	Plan   evcs.PlanID // zero: as for any start
}

// Adopt bills an orphan session: an order of source ADOPTED, held until a
// person releases it.
func (e *Engine) Adopt(ctx context.Context, a *evcs.Actor, x *order.Session, q Adoption) (*order.Order, error) {
	return e.settleOrphan(ctx, a, x, order.Adopted, q, order.Stop{})
}

func (e *Engine) settleOrphan(ctx context.Context, a *evcs.Actor, old *order.Session, source order.Source, q Adoption, stop order.Stop) (*order.Order, error) {
	var made *order.Order
	now := e.Clock.Now()
	err := e.act(ctx, place{old.Tenant, old.Charger}, e.Urgent, reread, func(tx Tx, s *site) error {
		x, err := tx.Orders().Session(ctx, s.scope(), old.UID)
		if err != nil {
			return err
		}
		if x.State != order.SessionOrphan {
			return x.StateError()
		}
		how := orphanEnding(x, stop, now)
		how.by, how.detail, how.hold = a.Name, q.Reason, []order.Anomaly{order.OrphanAdopted}
		if q.User != 0 {
			x.User = q.User
		}
		x.Anomalies = x.Anomalies.Without(order.NoTariff)
		r := &running{session: x}
		if r.order, err = s.newOrder(ctx, tx, x, source, now); err != nil {
			return err
		}
		if q.Plan != 0 {
			err = s.freeze(ctx, tx, r, q.Plan, now)
		} else {
			err = s.freezeIfAny(ctx, tx, r, x.StartedAt)
		}
		if err != nil {
			return err
		}
		if err := e.end(ctx, tx, s, r, how, now); err != nil {
			return err
		}
		if err := s.cureOrphan(ctx, tx, x, a.Name, now); err != nil {
			return err
		}
		made = r.order
		return audit(ctx, tx, a, tenant.SessionAdopt, x.ID, made, q.Reason, now)
	})
	return made, err
}

// orphanEnding is how an orphan is ended: by what it said itself, else by what
// the operator says, else by its last reading.
func orphanEnding(x *order.Session, given order.Stop, now time.Time) ending {
	if given.Energy != nil || given.Register != nil {
		return ending{stop: given}
	}
	if x.StoppedAt.IsZero() {
		return ending{stop: estimate(x, now, order.StopForced)}
	}
	s := order.Stop{
		At: x.StoppedAt, Received: x.ReceivedStopAt, Register: x.MeterStop, Energy: x.DeviceEnergy, Reason: x.StopReason, ReasonRaw: x.StopReasonRaw,
		Digest: x.StopDigest,
	}
	if s.Energy == nil && x.MeterStart == nil { // a register alone says nothing about the session
		energy := x.Energy
		s.Energy = &energy
	}
	return ending{stop: s}
}

// Closing is what an operator knows about a session whose device is gone.
type Closing struct {
	Reason    string
	MeterStop *evcs.Energy
	Energy    *evcs.Energy
	StopTime  time.Time // zero: of the last reading
}

// Close ends a session whose device is gone, from its last reading unless
// values are given; the order is marked ESTIMATED. An orphan gets an order. An
// ended session is 3015.
func (e *Engine) Close(ctx context.Context, a *evcs.Actor, old *order.Session, q Closing) (*order.Order, error) {
	now := e.Clock.Now()
	given := func(x *order.Session) order.Stop {
		s := estimate(x, now, order.StopForced)
		if q.MeterStop != nil || q.Energy != nil {
			s.Register, s.Energy = q.MeterStop, q.Energy
		}
		if !q.StopTime.IsZero() {
			s.At = q.StopTime
		}
		return s
	}
	if old.State == order.SessionOrphan {
		return e.settleOrphan(ctx, a, old, order.Adopted, Adoption{Reason: q.Reason}, given(old))
	}
	var made *order.Order
	err := e.act(ctx, place{old.Tenant, old.Charger}, e.Urgent, reread, func(tx Tx, s *site) error {
		r := s.findRunning(old.UID, 0)
		if r == nil || r.order == nil {
			x, err := tx.Orders().Session(ctx, s.scope(), old.UID)
			if err != nil {
				return err
			}
			return x.StateError()
		}
		if err := e.end(ctx, tx, s, r, ending{stop: given(r.session), by: a.Name, detail: q.Reason}, now); err != nil {
			return err
		}
		made = r.order
		return audit(ctx, tx, a, tenant.SessionClose, r.session.ID, made, q.Reason, now)
	})
	return made, err
}

// ToPay releases an ended order for payment, held or not.
func (e *Engine) ToPay(ctx context.Context, a *evcs.Actor, o *order.Order) (*order.Order, error) {
	return e.change(ctx, a, o, tenant.OrderToPay, "", func(_ Tx, _ *site, o *order.Order, now time.Time) (order.Change, error) {
		return o.ToPay(true, now)
	})
}

// change makes one step of an order in a transaction, with its audit row.
func (e *Engine) change(ctx context.Context, a *evcs.Actor, old *order.Order, action tenant.Action, detail string,
	step func(Tx, *site, *order.Order, time.Time) (order.Change, error),
) (*order.Order, error) {
	var made *order.Order
	now := e.Clock.Now()
	err := e.act(ctx, place{old.Tenant, old.Charger}, e.Urgent, reread, func(tx Tx, s *site) error {
		var err error
		if made, err = tx.Orders().Order(ctx, s.scope(), old.ID); err != nil {
			return err
		}
		c, err := step(tx, s, made, now)
		if err != nil || c.None() {
			return err
		}
		c.By = a.Name
		if c.Detail == "" {
			c.Detail = detail
		}
		if err := order.Record(ctx, tx, made, c); err != nil {
			return err
		}
		if err := s.settled(ctx, tx, made, a.Name, now); err != nil {
			return err
		}
		return audit(ctx, tx, a, action, int64(made.ID), made, c.Detail, now)
	})
	return made, err
}

// Adjust sets the discount of an ended order.
func (e *Engine) Adjust(ctx context.Context, a *evcs.Actor, old *order.Order, discount evcs.Money, reason string) (*order.Order, error) {
	return e.change(ctx, a, old, tenant.OrderAdjust, reason, func(tx Tx, s *site, o *order.Order, now time.Time) (order.Change, error) {
		if err := payment.CheckNoLive(ctx, tx.Payments(), s.scope(), o.ID); err != nil {
			return order.Change{}, err
		}
		lines, err := tx.Orders().Lines(ctx, s.scope(), o.ID)
		if err != nil {
			return order.Change{}, err
		}
		before := ledgerBill(o)
		c, lines, err := order.Review{Order: o}.Adjust(discount, reason, lines, now)
		if err != nil {
			return c, err
		}
		if err := tx.Orders().SetLines(ctx, o, lines); err != nil {
			return c, err
		}
		return c, ledger.Book(ctx, tx.Ledger(), ledger.Rebilled(o.Tenant, o.ID, now, before, ledgerBill(o), o.Version))
	})
}

// Repriced is an order priced anew, and what it was before.
type Repriced struct {
	Order         *order.Order
	Lines, Before []tariff.Line
	AmountBefore  evcs.Money
}

// Reprice prices a held order anew by the present revision of a plan, enabled
// and in its dates or not: a person chose it. An unknown one is 3008. A dry run
// changes nothing.
func (e *Engine) Reprice(ctx context.Context, a *evcs.Actor, old *order.Order, plan evcs.PlanID, reason string, dry bool) (Repriced, error) {
	var out Repriced
	errDry := evcs.NewError(evcs.CodeInternalError, "a dry run ends here")
	made, err := e.change(ctx, a, old, tenant.OrderReprice, reason, func(tx Tx, s *site, o *order.Order, now time.Time) (order.Change, error) {
		out = Repriced{AmountBefore: o.Amount}
		x, err := tx.Orders().Session(ctx, s.scope(), o.Session)
		if err != nil {
			return order.Change{}, err
		}
		if out.Before, err = tx.Orders().Lines(ctx, s.scope(), o.ID); err != nil {
			return order.Change{}, err
		}
		chosen, err := tx.Tariffs().Plan(ctx, s.scope(), plan)
		switch {
		case err != nil:
			return order.Change{}, err
		case chosen.Station != 0 && chosen.Station != o.Station:
			return order.Change{}, evcs.Invalid(evcs.FieldFault{Field: "billingPlanId", Message: "belongs to another station"})
		}
		r := &running{session: x, order: o}
		if r.snapshot, err = s.frozen(ctx, tx, chosen.Snapshot); err != nil {
			return order.Change{}, err
		}
		readings, err := curve(ctx, tx, x)
		if err != nil {
			return order.Change{}, err
		}
		bill, err := s.bill(r, readings)
		if err != nil {
			return order.Change{}, err
		}
		before := ledgerBill(o)
		out.Lines = bill.Lines
		c, err := order.Review{Order: o}.Reprice(plan, chosen.Snapshot, bill, now)
		if err != nil {
			return c, err
		}
		if dry {
			out.Order = o
			return order.Change{}, errDry
		}
		claim, err := tx.Orders().Claim(ctx, s.scope(), o.ID)
		if err != nil {
			return c, err
		}
		if claim != nil {
			o.Anomalies = o.Anomalies.Without(order.DeviceBillDiff).With(order.CheckClaim(claim.Bill, o.Energy, out.Lines).Marks()...)
		}
		if err := tx.Orders().SetLines(ctx, o, out.Lines); err != nil {
			return c, err
		}
		return c, ledger.Book(ctx, tx.Ledger(), ledger.Rebilled(o.Tenant, o.ID, now, before, ledgerBill(o), o.Version))
	})
	if dry && out.Order != nil {
		return out, nil
	}
	out.Order = made
	return out, err
}

// audit records what a person did to a session or an order.
func audit(ctx context.Context, tx Tx, a *evcs.Actor, action tenant.Action, id int64, o *order.Order, detail string, now time.Time) error {
	kind := "ORDER"
	if action == tenant.SessionAdopt || action == tenant.SessionClose {
		kind = "SESSION"
	}
	return tenant.Audit(ctx, tx.Tenants(), a, tenant.AuditRow{
		At: now, Action: action, Target: o.Tenant, TargetType: kind, TargetID: strconv.FormatInt(id, 10), Success: true,
		Details: map[string]any{"orderNo": o.No, "detail": detail},
	})
}
