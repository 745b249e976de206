package cashier

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/tenant"
)

// RefundRequest asks for money back. Exactly one of Payment, TradeNo and Order
// names the payment; an order means the payment that settled it.
type RefundRequest struct {
	Payment evcs.PaymentID
	TradeNo string
	Order   evcs.OrderID
	Amount  evcs.Money // 0: all that is left
	Reason  string
	Key     string
	// Agreed says that a second person has agreed to it already, elsewhere.
	Agreed bool
}

// Refund gives money back through the payment's own channel. The refund and
// the order's 11 → 12 are committed before the channel is called; an outcome
// that nobody knows is 4002 and is asked again by the daemon. What, with all
// that went back of the payment before, is more than the tenant's limit waits
// for a second person (Review) before the channel is called.
func (t *Till) Refund(ctx context.Context, a *evcs.Actor, q RefundRequest) (payment.Refund, error) {
	r, p, err := t.promise(ctx, a, q)
	if err != nil || r.Status != payment.RefundProcessing || r.Channel == payment.ChannelOffline || r.Waiting() {
		return r, err
	}
	return t.payOut(ctx, r, p)
}

// promise commits a refund, or answers the one of the same key.
func (t *Till) promise(ctx context.Context, a *evcs.Actor, q RefundRequest) (r payment.Refund, p payment.Payment, err error) {
	no, err := payment.Number(payment.RefundNumber, t.now(), t.cfg.Random)
	if err != nil {
		return r, p, err
	}
	err = t.cfg.Transact(ctx, func(tx Tx) (err error) {
		var o *order.Order
		if p, o, err = refundTarget(ctx, tx, a, q); err != nil {
			return err
		}
		if err := tenant.Reach(a, p.Tenant, true); err != nil {
			return err
		}
		var again bool
		if r, again, err = promised(ctx, tx, &p, q); err != nil || again {
			return err
		}
		now := t.now()
		amount := q.Amount
		if amount == 0 {
			amount = p.Refundable()
		}
		if err := payable(ctx, tx, &p); err != nil {
			return err
		}
		r = refundOf(&p, no, amount, q.Reason, now)
		r.RequestedBy, r.RequestedUser, r.RequestKey = a.Name, a.User, q.Key
		limit, err := approvalAbove(ctx, tx, p.Tenant)
		if err != nil {
			return err
		}
		if limit != nil && p.Refunded+amount > *limit && !q.Agreed {
			r.Await(now)
		}
		if err := t.beginRefund(ctx, tx, &p, &r, o); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, tenant.AuditRow{
			At: now, Action: tenant.Refund, Target: p.Tenant, TargetType: tenant.KindPayment, TargetID: p.TradeNo, Success: true,
			Details: refundDetails(&r),
		})
	})
	return r, p, err
}

// promised is the refund that the request's key has made, if it has.
func promised(ctx context.Context, tx Tx, p *payment.Payment, q RefundRequest) (r payment.Refund, again bool, err error) {
	if q.Key == "" {
		return r, false, nil
	}
	scope := evcs.Only(p.Tenant)
	seen, err := tx.Payments().RefundOf(ctx, scope, q.Key)
	if err != nil || seen == "" {
		return r, false, err
	}
	r, err = tx.Payments().Refund(ctx, scope, seen)
	if err == nil && (r.Payment != p.ID || q.Amount != 0 && r.Amount != q.Amount) {
		err = ErrKeyReused
	}
	return r, true, err
}

func refundDetails(r *payment.Refund) map[string]any {
	details := map[string]any{"refundNo": r.RefundNo, "amount": r.Amount.String(), "reason": r.Reason}
	if r.Approval != "" {
		details["approval"] = string(r.Approval)
	}
	return details
}

// payable refuses (4007) a refund over a merchant account that was deleted:
// nobody could pay it out.
func payable(ctx context.Context, tx Tx, p *payment.Payment) error {
	if p.Channel == payment.ChannelOffline {
		return nil
	}
	_, err := tx.Payments().HoldMerchant(ctx, evcs.Only(p.Tenant), p.Channel, p.Merchant)
	if errors.Is(err, payment.ErrNoMerchant) {
		return evcs.WithDetail(payment.ErrState, evcs.Detail{ZH: "收款的商户账户已删除", EN: "the merchant account it was paid over is deleted"},
			map[string]any{"tradeNo": p.TradeNo, "currentStatus": int(p.Status)})
	}
	return err
}

// approvalAbove is the tenant's limit for refunds by one person, nil for none.
func approvalAbove(ctx context.Context, tx Tx, owner evcs.TenantID) (*evcs.Money, error) {
	chain, err := tx.Tenants().Chain(ctx, owner)
	if err != nil {
		return nil, err
	}
	return chain.Settings().RefundApprovalAbove, nil
}

// refundTarget finds the payment that is meant, and its order.
func refundTarget(ctx context.Context, tx Tx, a *evcs.Actor, q RefundRequest) (p payment.Payment, o *order.Order, err error) {
	scope := evcs.Subtree(a.Tenant)
	switch {
	case q.Payment != 0:
		p, err = tx.Payments().Payment(ctx, scope, q.Payment)
	case q.TradeNo != "":
		p, err = tx.Payments().ByTrade(ctx, scope, q.TradeNo)
	default:
		if o, err = tx.Orders().Order(ctx, scope, q.Order); err != nil {
			return p, nil, err
		}
		if o.Payment == 0 {
			_, err := order.Refunds{Order: o}.Begin(max(q.Amount, 1), o.UpdatedAt) // 3004, or there is nothing to give back
			if err == nil {
				err = o.StateError()
			}
			return p, nil, err
		}
		p, err = tx.Payments().Payment(ctx, scope, o.Payment)
	}
	if err == nil && o == nil {
		o, err = tx.Orders().Order(ctx, scope, p.Order)
	}
	return p, o, err
}

func (t *Till) newRefund(p *payment.Payment, amount evcs.Money, reason string, now time.Time) (payment.Refund, error) {
	no, err := payment.Number(payment.RefundNumber, now, t.cfg.Random)
	return refundOf(p, no, amount, reason, now), err
}

func refundOf(p *payment.Payment, no string, amount evcs.Money, reason string, now time.Time) payment.Refund {
	r := payment.Refund{
		Tenant: p.Tenant, RefundNo: no, Payment: p.ID, TradeNo: p.TradeNo, Order: p.Order, Amount: amount, Status: payment.RefundProcessing,
		Reason: reason, Channel: p.Channel, CreatedAt: now, UpdatedAt: now, NextQueryAt: now,
	}
	if p.Channel == payment.ChannelOffline {
		r.NextQueryAt = time.Time{} // a person confirms it
	}
	return r
}

// beginRefund writes the promise: the payment, the refund, the journal, and the
// order when this payment settled it.
func (t *Till) beginRefund(ctx context.Context, tx Tx, p *payment.Payment, r *payment.Refund, o *order.Order) error {
	scope := evcs.Only(p.Tenant)
	if err := p.BeginRefund(r.Amount, r.CreatedAt); err != nil {
		return err
	}
	if err := tx.Payments().InsertRefund(ctx, scope, r); err != nil {
		return err
	}
	if p.Settles && o != nil {
		change, err := order.Refunds{Order: o}.Begin(r.Amount, r.CreatedAt)
		if err != nil {
			return err
		}
		change.By, change.Detail = r.RequestedBy, r.RefundNo
		if err := order.Record(ctx, tx, o, change); err != nil {
			return err
		}
	}
	if err := save(ctx, tx, p, "REFUND_BEGUN", source(r), r.RefundNo); err != nil {
		return err
	}
	if err := tellRefund(ctx, tx, r); err != nil {
		return err
	}
	return ledger.Book(ctx, tx.Ledger(), ledger.RefundBegun(refundMoney(p, r, r.CreatedAt)))
}

func source(r *payment.Refund) string {
	if r.Automatic != "" {
		return "system"
	}
	return "api"
}

func refundMoney(p *payment.Payment, r *payment.Refund, at time.Time) ledger.Money {
	m := money(p, r.Amount, at)
	m.Refund = r.ID
	return m
}

// payOut calls the channel for a committed refund and applies its answer. It
// may be called again for the same refund: the channel refunds a number once.
// One that waits for a second person stays as it is.
func (t *Till) payOut(ctx context.Context, r payment.Refund, p payment.Payment) (payment.Refund, error) {
	if r.Waiting() {
		return r, nil
	}
	ch, err := t.channel(r.Channel)
	if err != nil {
		return r, err
	}
	m, err := t.account(ctx, r.Tenant, p.Merchant)
	if err != nil {
		return r, err
	}
	answer, err := ch.Refund(ctx, m, payment.RefundRequest{
		TradeNo: r.TradeNo, RefundNo: r.RefundNo, Total: p.Amount, Amount: r.Amount, Reason: r.Reason,
	})
	if code, message, refused := refusal(err); refused {
		answer, err = payment.RefundAnswer{State: payment.RefundFailed, Code: code, Message: message}, nil
	}
	if err != nil {
		return r, unknown(&p, err)
	}
	if r, err = t.refunded(ctx, r, answer); err != nil {
		return r, err
	}
	if r.Status == payment.RefundFailed {
		return r, evcs.With(payment.ErrRefused, map[string]any{
			"tradeNo": r.TradeNo, "channel": r.Channel, "channelCode": r.FailureCode, "channelMessage": r.FailureMessage,
		})
	}
	return r, nil
}

// refunded takes the channel's word about a refund, in a transaction.
func (t *Till) refunded(ctx context.Context, r payment.Refund, answer payment.RefundAnswer) (payment.Refund, error) {
	var now payment.Refund
	err := t.cfg.Transact(ctx, func(tx Tx) (err error) {
		if now, err = tx.Payments().Refund(ctx, evcs.Only(r.Tenant), r.RefundNo); err != nil {
			return err
		}
		return t.takeRefund(ctx, tx, &now, answer)
	})
	if err != nil {
		return r, err
	}
	return now, nil
}

// takeRefund brings a refund to what the channel says of it, together with its
// payment, its order and the journal.
func (t *Till) takeRefund(ctx context.Context, tx Tx, r *payment.Refund, answer payment.RefundAnswer) error {
	now := t.now()
	scope := evcs.Only(r.Tenant)
	if answer.State == payment.RefundSuccess && answer.Amount != 0 && answer.Amount != r.Amount {
		return errForeign
	}
	done := answer.State == payment.RefundSuccess && r.Done(answer.ChannelRefundNo, orNow(answer.AcceptedAt, now), now)
	failed := answer.State == payment.RefundFailed && r.Fail(answer.Code, answer.Message, now)
	if !done && !failed {
		return t.postpone(ctx, tx, r)
	}
	p, err := tx.Payments().Payment(ctx, scope, r.Payment)
	if err != nil {
		return err
	}
	if err := tx.Payments().UpdateRefund(ctx, scope, r); err != nil {
		return err
	}
	event, entry := "REFUND_FAILED", ledger.RefundFailed(refundMoney(&p, r, now))
	if done {
		event, entry = "REFUNDED", ledger.Refunded(refundMoney(&p, r, r.AcceptedAt))
		err = p.RefundDone(now)
	} else {
		err = p.RefundUndone(now)
	}
	if err != nil {
		return err
	}
	if err := save(ctx, tx, &p, event, source(r), r.RefundNo); err != nil {
		return err
	}
	if err := tellRefund(ctx, tx, r); err != nil {
		return err
	}
	if err := ledger.Book(ctx, tx.Ledger(), entry); err != nil {
		return err
	}
	if failed && r.Automatic != "" {
		return t.giveBackAgain(ctx, tx, &p, r)
	}
	return refundedOrder(ctx, tx, &p, r, now)
}

// postpone plans when a refund that is not final is asked about next. Money
// that was promised for a day and is not back is told to somebody.
func (t *Till) postpone(ctx context.Context, tx Tx, r *payment.Refund) error {
	if r.Waiting() {
		return t.remind(ctx, tx, r)
	}
	if r.Status != payment.RefundProcessing || r.Channel == payment.ChannelOffline {
		return nil
	}
	now := t.now()
	r.Postpone(now)
	if err := tx.Payments().UpdateRefund(ctx, evcs.Only(r.Tenant), r); err != nil || !r.Stuck(now) {
		return err
	}
	return t.cfg.Alarm(ctx, tx, Alert{
		Rule: RuleRefundStuck, Severity: severityHigh, Tenant: r.Tenant, TargetType: "REFUND", TargetID: r.RefundNo, At: now,
		Message: "the channel has not answered about refund " + r.RefundNo + " of " + r.Amount.String() + " for a day",
	})
}

// remind tells somebody that a refund waits for a second person.
func (t *Till) remind(ctx context.Context, tx Tx, r *payment.Refund) error {
	now := t.now()
	r.Await(now)
	r.UpdatedAt = now
	if err := tx.Payments().UpdateRefund(ctx, evcs.Only(r.Tenant), r); err != nil {
		return err
	}
	return t.cfg.Alarm(ctx, tx, Alert{
		Rule: RuleRefundStuck, Severity: severityHigh, Tenant: r.Tenant, TargetType: "REFUND", TargetID: r.RefundNo, At: now,
		Message: "refund " + r.RefundNo + " of " + r.Amount.String() + " by " + r.RequestedBy + " waits for a second person",
	})
}

func orNow(at, now time.Time) time.Time {
	if at.IsZero() {
		return now
	}
	return at
}

// refundedOrder brings the order along when this payment settled it.
func refundedOrder(ctx context.Context, tx Tx, p *payment.Payment, r *payment.Refund, now time.Time) error {
	if !p.Settles {
		return nil
	}
	o, err := tx.Orders().Order(ctx, evcs.Only(p.Tenant), p.Order)
	if err != nil {
		return err
	}
	var change order.Change
	if r.Status == payment.RefundSuccess {
		change, err = order.Refunds{Order: o}.Succeeded(r.Amount, now)
	} else {
		change, err = order.Refunds{Order: o}.Failed(now)
	}
	if err != nil {
		return err
	}
	change.By, change.Detail = r.Channel, r.RefundNo
	return order.Record(ctx, tx, o, change)
}

// askRefund asks the channel about a refund that is not final. A channel that
// does not know the number is asked to refund, because the call may have died
// with the process.
func (t *Till) askRefund(ctx context.Context, r payment.Refund) (payment.Refund, error) {
	if r.Waiting() {
		return r, nil
	}
	p, err := t.cfg.Payments.Payment(ctx, evcs.Only(r.Tenant), r.Payment)
	if err != nil {
		return r, err
	}
	return t.payOut(ctx, r, p)
}

// askRefundOf asks about the refund in flight of a payment.
func (t *Till) askRefundOf(ctx context.Context, p payment.Payment) error {
	r, ok, err := t.inFlight(ctx, p)
	if err != nil || !ok || r.Channel == payment.ChannelOffline {
		return err
	}
	if _, err = t.askRefund(ctx, r); errors.Is(err, payment.ErrRefused) {
		return nil // applied: the refund failed
	}
	return err
}

func (t *Till) inFlight(ctx context.Context, p payment.Payment) (r payment.Refund, ok bool, err error) {
	list, err := t.cfg.Payments.Refunds(ctx, evcs.Only(p.Tenant), p.ID)
	for _, each := range list {
		if each.Status == payment.RefundProcessing {
			r, ok = each, true
		}
	}
	return r, ok, err
}

// QueryRefund is a refund as it is now; while it is not final the channel is
// asked, and a channel that does not answer changes nothing.
func (t *Till) QueryRefund(ctx context.Context, a *evcs.Actor, refundNo string) (payment.Refund, error) {
	r, err := t.cfg.Payments.Refund(ctx, evcs.Subtree(a.Tenant), refundNo)
	if err != nil {
		return r, err
	}
	if err := tenant.Reach(a, r.Tenant, false); err != nil {
		return r, err
	}
	if r.Status != payment.RefundProcessing || r.Channel == payment.ChannelOffline {
		return r, nil
	}
	asked, err := t.askRefund(ctx, r)
	if err != nil && !errors.Is(err, payment.ErrRefused) {
		t.cfg.Log.InfoContext(ctx, "a channel did not answer about a refund", slog.Any("refund_no", refundNo), slog.Any("error", err))
		return r, nil // the stored state is the answer
	}
	return asked, nil
}
