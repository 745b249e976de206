package order

import (
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// The refusals of an order.
var (
	ErrNotFound   = evcs.NewError(evcs.CodeOrderNotFound, "no such order")
	ErrState      = evcs.NewError(evcs.CodeOrderState, "the order's state does not allow this")
	ErrCancelled  = evcs.NewError(evcs.CodeOrderCancelled, "the order was cancelled")
	ErrTransition = evcs.NewError(evcs.CodeOrderTransition, "the order cannot move there")
	ErrHasEnergy  = evcs.NewError(evcs.CodeOrderHasEnergy, "energy was delivered, the order cannot be cancelled")
	ErrRefund     = evcs.NewError(evcs.CodeRefundExceeds, "the refund exceeds what is refundable")
	ErrAmount     = evcs.NewError(evcs.CodeAmountMismatch, "the amount is not what is due")
)

// Change is one step of an order's life, to be recorded with it (see Record).
// The zero Change says that the event was a repeat and nothing moved.
type Change struct {
	Event    string
	From, To Status
	At       time.Time
	By       string // who; empty: the system
	Detail   string
}

// None reports whether nothing moved.
func (c Change) None() bool { return c.Event == "" }

// allowed lists where each state may go (contract §7.2).
func (s Status) allowed() []Status {
	switch s {
	case Charging:
		return []Status{Ended, Cancelled}
	case Ended:
		return []Status{ToPay, Paid, Cancelled}
	case ToPay:
		return []Status{Paid, Cancelled}
	case Paid:
		return []Status{Refunding}
	case Refunding:
		return []Status{Paid, Refunded}
	case None, Cancelled, Refunded:
	}
	return []Status{}
}

// refuse is 3004 with its facts.
func (o *Order) refuse(to Status) error {
	return evcs.With(ErrTransition, map[string]any{
		"orderId": o.ID, "currentStatus": o.Status, "requested": to, "allowed": o.Status.allowed(),
	})
}

// StateError is 3002 with its facts.
func (o *Order) StateError() error {
	return evcs.With(ErrState, map[string]any{"orderId": o.ID, "currentStatus": o.Status})
}

// CancelledError is 3003 with its facts.
func (o *Order) CancelledError() error {
	return evcs.With(ErrCancelled, map[string]any{"orderId": o.ID, "orderNo": o.No, "cancelReason": o.CancelReason})
}

func (o *Order) move(event string, to Status, at time.Time) Change {
	c := Change{Event: event, From: o.Status, To: to, At: at}
	o.Status, o.UpdatedAt = to, at
	return c
}

// Charge is an order's way from its start to its end.
type Charge struct{ Order *Order }

// Confirm records that the device has begun the session. A repeat changes
// nothing.
func (c Charge) Confirm(started, at time.Time) (Change, error) {
	o := c.Order
	switch {
	case o.Status == Cancelled:
		return Change{}, o.CancelledError()
	case o.Status != Charging || o.StartState == Started:
		return Change{}, nil
	}
	o.StartState, o.StartedAt = Started, started
	return o.move("STARTED", Charging, at), nil
}

// Settlement is how a session ended and what it costs.
type Settlement struct {
	EndedAt    time.Time
	Energy     evcs.Energy
	Seconds    int64
	StopReason string
	Bill       tariff.Bill
	Anomalies  Anomalies // all of the session's
	Estimated  bool
}

// Settle ends the charge: 0 → 1, with its amounts. On an order that has ended
// before it changes nothing: the first stop counts. A cancelled order refuses
// (3003).
func (c Charge) Settle(s Settlement, at time.Time) (Change, error) {
	o := c.Order
	switch o.Status {
	case Charging:
	case Cancelled:
		return Change{}, o.CancelledError()
	default:
		return Change{}, nil
	}
	if o.StartState == Starting {
		o.StartState = Started
	}
	o.EndedAt, o.Energy, o.Seconds, o.StopReason, o.Estimated = s.EndedAt, s.Energy, s.Seconds, s.StopReason, s.Estimated
	if o.StartedAt.IsZero() {
		o.StartedAt = s.EndedAt
	}
	o.Anomalies = o.Anomalies.With(s.Anomalies...)
	o.Held = o.Anomalies.Hold()
	o.price(s.Bill)
	return o.move("ENDED", Ended, at), nil
}

func (o *Order) price(b tariff.Bill) {
	o.ElectricityAmount, o.ServiceAmount, o.ParkingAmount, o.IdleAmount = b.Electricity, b.Service, b.Parking, b.Idle
	o.DiscountAmount, o.Amount = b.Discount, b.Amount
}

// Estimate writes the running figures of a charge that goes on.
func (c Charge) Estimate(energy evcs.Energy, seconds int64, b tariff.Bill) {
	o := c.Order
	if o.Status == Charging {
		o.Energy, o.Seconds = energy, seconds
		o.price(b)
	}
}

// ToPay asks for the money: 1 → 10, or 1 → 11 when there is nothing to pay. By
// itself (explicit false) it leaves a held order alone; explicitly it releases
// the hold, except of energy nobody has priced: that needs a tariff first. On
// an order to pay it changes nothing.
func (o *Order) ToPay(explicit bool, at time.Time) (Change, error) {
	switch {
	case o.Status == ToPay || o.Status == Paid && o.Amount == 0 && explicit:
		return Change{}, nil
	case o.Status != Ended:
		return Change{}, o.refuse(ToPay)
	case o.Held && !explicit:
		return Change{}, nil
	case o.Unpriced():
		return Change{}, evcs.WithDetail(o.refuse(ToPay), evcs.Detail{ZH: "没有计费方案,请先重新计价", EN: "no tariff: reprice it first"}, nil)
	}
	o.Held = false
	if o.Amount == 0 {
		o.PaidAt = at
		return o.move("NOTHING_TO_PAY", Paid, at), nil
	}
	return o.move("TO_PAY", ToPay, at), nil
}

// Unpriced reports whether energy was delivered that no tariff has priced.
func (o *Order) Unpriced() bool { return o.Snapshot == 0 && o.Energy > 0 }

// Payment is what settles an order.
type Payment struct {
	ID      evcs.PaymentID
	TradeNo string
	Method  string
	Amount  evcs.Money
	At      time.Time // the channel's success time
	Sandbox bool
}

// Paid settles the order with a payment: 1 or 10 → 11. The same payment again
// changes nothing; another one, a held order and a cancelled one are refused
// (3004), a wrong amount too (4003): the caller keeps that money and pays it
// back.
func (o *Order) Paid(p Payment, at time.Time) (Change, error) {
	switch {
	case o.Status >= Paid && o.Payment == p.ID && p.ID != 0:
		return Change{}, nil
	case o.Status != Ended && o.Status != ToPay, o.Held:
		return Change{}, o.refuse(Paid)
	case p.Amount != o.Payable():
		return Change{}, evcs.With(ErrAmount, map[string]any{"expected": o.Payable(), "given": p.Amount})
	}
	o.PaidAmount, o.PaidAt = p.Amount, p.At
	o.Payment, o.TradeNo, o.PaymentMethod, o.Sandbox = p.ID, p.TradeNo, p.Method, p.Sandbox
	return o.move("PAID", Paid, at), nil
}

// Cancel ends the order without money: 0, 1 or 10 → 2. While charging only
// without delivered energy (3014). A cancelled order stays as it is, with its
// first reason.
func (o *Order) Cancel(reason string, at time.Time) (Change, error) {
	switch o.Status {
	case Cancelled:
		return Change{}, nil
	case Charging:
		if o.Energy > 0 {
			return Change{}, evcs.With(ErrHasEnergy, map[string]any{"orderId": o.ID, "energy": o.Energy})
		}
		if o.StartState == Starting {
			o.StartState = Failed
		}
		o.price(tariff.Bill{}) // the running figures were an estimate
		if o.EndedAt.IsZero() {
			o.EndedAt = at
		}
	case Ended, ToPay:
	default:
		return Change{}, o.refuse(Cancelled)
	}
	o.CancelReason = reason
	return o.move("CANCELLED", Cancelled, at), nil
}

// Refunds are what an order pays back.
type Refunds struct{ Order *Order }

// Begin opens a refund of amount: 11 → 12. More than is refundable is
// 4005.
func (r Refunds) Begin(amount evcs.Money, at time.Time) (Change, error) {
	o := r.Order
	switch {
	case o.Status != Paid:
		return Change{}, o.refuse(Refunding)
	case amount <= 0 || amount > o.Refundable():
		return Change{}, evcs.With(ErrRefund, map[string]any{"refundable": o.Refundable(), "given": amount})
	}
	return o.move("REFUND_BEGUN", Refunding, at), nil
}

// Failed takes a refund back: 12 → 11. A repeat on 11 changes nothing.
func (r Refunds) Failed(at time.Time) (Change, error) {
	o := r.Order
	switch o.Status {
	case Paid:
		return Change{}, nil
	case Refunding:
		return o.move("REFUND_FAILED", Paid, at), nil
	default:
		return Change{}, o.refuse(Paid)
	}
}

// Succeeded counts what was paid back: 12 → 13 when that is all, else
// 12 → 11.
func (r Refunds) Succeeded(amount evcs.Money, at time.Time) (Change, error) {
	o := r.Order
	switch {
	case o.Status != Refunding:
		return Change{}, o.refuse(Refunded)
	case amount <= 0 || amount > o.Refundable():
		return Change{}, evcs.With(ErrRefund, map[string]any{"refundable": o.Refundable(), "given": amount})
	}
	o.RefundedAmount += amount
	if o.RefundedAmount == o.PaidAmount {
		return o.move("REFUNDED", Refunded, at), nil
	}
	return o.move("PARTLY_REFUNDED", Paid, at), nil
}

// ErrDiscount refuses a discount above the bill.
var ErrDiscount = evcs.NewError(evcs.CodeValidationFailed, "the discount exceeds the bill")

// Review is what an operator changes of a bill.
type Review struct{ Order *Order }

// Adjust sets the discount of an ended order, beside what its plan's cap takes
// off, and returns its lines with the discount as the last one. Only 1 and 10
// can be adjusted (3002). Reaching
// zero is left to ToPay or PaidByDiscount of the caller.
func (r Review) Adjust(discount evcs.Money, reason string, lines []tariff.Line, at time.Time) (Change, []tariff.Line, error) {
	o := r.Order
	if o.Status != Ended && o.Status != ToPay {
		return Change{}, nil, o.StateError()
	}
	kept := make([]tariff.Line, 0, len(lines)+1)
	capped := evcs.Money(0)
	for _, l := range lines {
		if l.Kind != tariff.KindDiscount {
			kept = append(kept, l)
		}
		if l.Kind == tariff.KindCap {
			capped -= l.Amount
		}
	}
	most := o.before() - capped
	if discount < 0 || discount > most {
		return Change{}, nil, evcs.Invalid(evcs.FieldFault{Field: "discountAmount", Message: "must be 0.00 to " + most.String()})
	}
	if discount > 0 {
		kept = append(kept, tariff.Line{Kind: tariff.KindDiscount, From: o.StartedAt, To: o.EndedAt, Amount: -discount, Reason: reason})
	}
	o.DiscountAmount, o.Amount = capped+discount, most-discount
	if o.Amount == 0 && !o.Held {
		o.PaidAt = at
		return o.move("ADJUSTED", Paid, at), kept, nil
	}
	return o.move("ADJUSTED", o.Status, at), kept, nil
}

// Reprice replaces the tariff and the bill of a held order; NO_TARIFF is cured
// by it, other reasons to hold stay. Anything but a held 1 is 3002.
func (r Review) Reprice(plan evcs.PlanID, snapshot evcs.SnapshotID, b tariff.Bill, at time.Time) (Change, error) {
	o := r.Order
	if o.Status != Ended || !o.Held {
		return Change{}, o.StateError()
	}
	o.Plan, o.Snapshot = plan, snapshot
	o.Anomalies = o.Anomalies.Without(NoTariff)
	o.price(b)
	return o.move("REPRICED", Ended, at), nil
}

// RequestStop remembers when the driver or an operator asked for the end, the
// first time.
func (c Charge) RequestStop(at time.Time) {
	o := c.Order
	if o.Status == Charging && o.StopRequestedAt.IsZero() {
		o.StopRequestedAt = at
	}
}
