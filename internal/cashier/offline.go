package cashier

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/tenant"
)

// PaidRequest says that an order was paid outside of every channel.
type PaidRequest struct {
	Order     evcs.OrderID
	Amount    *evcs.Money // nil: what is due
	Method    string      // CASH, TRANSFER, OTHER
	Reference string
	PaidAt    time.Time // zero: now
}

// MarkPaid settles an order with a payment of method OFFLINE. An order that was
// paid offline before is answered unchanged.
func (t *Till) MarkPaid(ctx context.Context, a *evcs.Actor, q PaidRequest) (o *order.Order, err error) {
	no, err := payment.Number(payment.TradeNumber, t.now(), t.cfg.Random)
	if err != nil {
		return nil, err
	}
	err = t.cfg.Transact(ctx, func(tx Tx) (err error) {
		if o, err = tx.Orders().Order(ctx, evcs.Subtree(a.Tenant), q.Order); err != nil {
			return err
		}
		if err := tenant.Reach(a, o.Tenant, true); err != nil {
			return err
		}
		if o.Status == order.Paid && o.PaymentMethod == string(payment.MethodOffline) {
			return nil
		}
		if err := payment.CheckNoLive(ctx, tx.Payments(), evcs.Only(o.Tenant), o.ID); err != nil {
			return err
		}
		return t.settleOffline(ctx, tx, a, o, no, q)
	})
	return o, err
}

func (t *Till) settleOffline(ctx context.Context, tx Tx, a *evcs.Actor, o *order.Order, no string, q PaidRequest) error {
	now := t.now()
	paidAt := orNow(q.PaidAt, now)
	if paidAt.After(now) {
		return evcs.Invalid(evcs.FieldFault{Field: "paidTime", Message: "must not be in the future"})
	}
	amount := o.Payable()
	if q.Amount != nil {
		amount = *q.Amount
	}
	p := payment.Payment{
		Tenant: o.Tenant, Order: o.ID, OrderNo: o.No, UserRef: o.User, TradeNo: no, ChannelTradeNo: q.Reference, Method: payment.MethodOffline,
		Channel: payment.ChannelOffline, Amount: amount, Status: payment.Success, Settles: true,
		Description: strings.TrimSpace(q.Method + " " + q.Reference), ExpireAt: now, PaidAt: paidAt, CreatedAt: now, UpdatedAt: now,
	}
	probe := *o // the row needs an id before the order can name it; a refusal comes first
	if _, err := probe.Paid(orderPayment(&p), now); err != nil {
		return err
	}
	if amount == 0 { // nothing was due: no money, no payment
		change, err := o.ToPay(true, now)
		if err != nil {
			return err
		}
		change.By = a.Name
		if err := order.Record(ctx, tx, o, change); err != nil || change.None() {
			return err
		}
		return auditPaid(ctx, tx, a, o, q, amount, now)
	}
	if err := tx.Payments().Insert(ctx, evcs.Only(o.Tenant), &p); err != nil {
		return err
	}
	change, err := o.Paid(orderPayment(&p), now)
	if err != nil {
		return err
	}
	change.By, change.Detail = a.Name, p.Description
	if err := order.Record(ctx, tx, o, change); err != nil {
		return err
	}
	if err := tell(ctx, tx, &p, "PAID", "api", p.Description); err != nil {
		return err
	}
	if err := ledger.Book(ctx, tx.Ledger(), ledger.Captured(money(&p, p.Amount, p.PaidAt))); err != nil {
		return err
	}
	return auditPaid(ctx, tx, a, o, q, amount, now)
}

func auditPaid(ctx context.Context, tx Tx, a *evcs.Actor, o *order.Order, q PaidRequest, amount evcs.Money, now time.Time) error {
	return tenant.Audit(ctx, tx.Tenants(), a, tenant.AuditRow{
		At: now, Action: tenant.OrderMarkPaid, Target: o.Tenant, TargetType: tenant.KindOrder, TargetID: o.No, Success: true,
		Details: map[string]any{"amount": amount.String(), "method": q.Method, "reference": q.Reference},
	})
}

func orderPayment(p *payment.Payment) order.Payment {
	return order.Payment{ID: p.ID, TradeNo: p.TradeNo, Method: string(p.Method), Amount: p.Amount, At: p.PaidAt, Sandbox: p.Sandbox}
}

// MarkRefunded confirms the pay-out of an OFFLINE refund, or asks the channel
// about another one. While the money is not back the order stays and 3004 is
// the answer; when no refund is in flight any more a refunded order is
// answered unchanged.
func (t *Till) MarkRefunded(ctx context.Context, a *evcs.Actor, id evcs.OrderID, reference string) (*order.Order, error) {
	var o *order.Order
	var p payment.Payment
	if err := t.cfg.Transact(ctx, func(tx Tx) (err error) {
		p, o, err = refundTarget(ctx, tx, a, RefundRequest{Order: id})
		if err != nil {
			return err
		}
		return tenant.Reach(a, o.Tenant, true)
	}); err != nil {
		return o, err
	}
	if o.Status == order.Refunded {
		return o, nil
	}
	r, ok, err := t.inFlight(ctx, p)
	if err != nil {
		return o, err
	}
	if ok && r.Waiting() {
		return o, refundPending(o.ID)
	}
	if ok && r.Channel == payment.ChannelOffline {
		_, err = t.refunded(ctx, r, payment.RefundAnswer{State: payment.RefundSuccess, ChannelRefundNo: reference, Amount: r.Amount})
	} else if ok {
		r, err = t.askRefund(ctx, r)
		ok = r.Status == payment.RefundSuccess
	}
	if err != nil && !errors.Is(err, payment.ErrRefused) {
		return o, err
	}
	if o, err = t.orderOf(ctx, p); err != nil {
		return o, err
	}
	if !ok {
		_, err = order.Refunds{Order: o}.Succeeded(o.Refundable(), t.now())
		if err == nil { // the channel has not paid it out yet
			err = refundPending(o.ID)
		}
	}
	return o, err
}

func refundPending(id evcs.OrderID) error {
	return evcs.With(order.ErrTransition, map[string]any{
		"orderId": id, "currentStatus": order.Refunding, "requested": order.Refunded, "allowed": []order.Status{},
	})
}
