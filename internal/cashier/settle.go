package cashier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/tenant"
)

// errForeign says that what the channel reports is not what we asked for.
var errForeign = errors.New("the channel reports another amount")

// apply takes the channel's word about a payment, in a transaction of its own.
func (t *Till) apply(ctx context.Context, p payment.Payment, trade payment.Trade, source string) (payment.Payment, error) {
	return t.change(ctx, p, func(tx Tx, p *payment.Payment) error {
		now := t.now()
		if source != "callback" {
			p.LastQueryAt = now
			p.Queries++
		}
		err := t.take(ctx, tx, p, trade, source)
		if errors.Is(err, errForeign) {
			t.cfg.Log.WarnContext(ctx, "a channel reports another amount than ours", slog.Any("trade_no", p.TradeNo), slog.Any("amount", trade.Amount.String()))
			err = t.cfg.Alarm(ctx, tx, Alert{
				Rule: RuleCallbackRejected, Severity: severityCritical, Tenant: p.Tenant, TargetType: "PAYMENT", TargetID: p.TradeNo, At: now,
				Message: fmt.Sprintf("the channel reports %s instead of %s for %s", trade.Amount, p.Amount, p.TradeNo),
			})
		}
		if err != nil {
			return err
		}
		p.Plan(now)
		return tx.Payments().Update(ctx, evcs.Only(p.Tenant), p)
	})
}

// take brings a payment to what the channel reports of it. A report never
// lowers a state.
func (t *Till) take(ctx context.Context, tx Tx, p *payment.Payment, trade payment.Trade, source string) error {
	now := t.now()
	switch trade.State {
	case payment.TradePaid:
		return t.paid(ctx, tx, p, trade, source)
	case payment.TradeFailed:
		if p.Fail(trade.Code, trade.Message, now) {
			return save(ctx, tx, p, "FAILED", source, trade.Code)
		}
	case payment.TradeClosed:
		if !p.Status.Live() {
			return nil
		}
		if _, err := p.Close(now); err != nil {
			return err
		}
		return save(ctx, tx, p, "CLOSED", source, "")
	case payment.TradeWaiting, payment.TradeUnknown:
	}
	return nil
}

// paid books money that came: it settles the order, or, when the order is paid
// or cancelled, is promised back at once.
func (t *Till) paid(ctx context.Context, tx Tx, p *payment.Payment, trade payment.Trade, source string) error {
	if trade.Amount != p.Amount {
		return fmt.Errorf("%w: %s instead of %s", errForeign, trade.Amount, p.Amount)
	}
	now := t.now()
	if !p.Succeed(trade.ChannelTradeNo, trade.PaidAt, now) {
		return nil
	}
	m, err := tx.Payments().HoldMerchant(ctx, evcs.Only(p.Tenant), p.Channel, p.Merchant)
	if err != nil {
		return err
	}
	fee := m.FeeOn(p.Amount)
	p.Fee = &fee
	o, err := tx.Orders().Order(ctx, evcs.Only(p.Tenant), p.Order)
	if err != nil {
		return err
	}
	change, refused := o.Paid(order.Payment{
		ID: p.ID, TradeNo: p.TradeNo, Method: string(p.Method), Amount: p.Amount, At: p.PaidAt, Sandbox: p.Sandbox,
	}, now)
	p.Settles = refused == nil && !change.None()
	if p.Settles {
		change.By, change.Detail = p.Channel, p.TradeNo
		if err := order.Record(ctx, tx, o, change); err != nil {
			return err
		}
	}
	if err := save(ctx, tx, p, "PAID", source, trade.ChannelTradeNo); err != nil {
		return err
	}
	if err := ledger.Book(ctx, tx.Ledger(), ledger.Captured(money(p, p.Amount, p.PaidAt))); err != nil {
		return err
	}
	if p.Settles {
		return nil
	}
	return t.giveBack(ctx, tx, p, o)
}

func money(p *payment.Payment, amount evcs.Money, at time.Time) ledger.Money {
	return ledger.Money{
		Tenant: p.Tenant, Order: p.Order, Payment: p.ID, Channel: p.Channel, Amount: amount, At: at, Sandbox: p.Sandbox, Owed: p.Settles,
	}
}

// giveBack promises back a payment that settled nothing. The channel is called
// by the due work, which finds the refund due at once.
func (t *Till) giveBack(ctx context.Context, tx Tx, p *payment.Payment, o *order.Order) error {
	why := payment.AutomaticLate
	if o.Payment != 0 {
		why = payment.AutomaticDuplicate
	}
	now := t.now()
	r, err := t.newRefund(p, p.Amount, why, now)
	if err != nil {
		return err
	}
	r.Automatic, r.RequestedBy = why, "system"
	if err := t.beginRefund(ctx, tx, p, &r, nil); err != nil {
		return err
	}
	return t.cfg.Alarm(ctx, tx, Alert{
		Rule: ruleOf(why), Severity: severityHigh, Tenant: p.Tenant, TargetType: "PAYMENT", TargetID: p.TradeNo, At: now,
		Message: fmt.Sprintf("%s of order %s came when it was %s; it is refunded as %s", p.Amount, p.OrderNo, o.Status.Name(), r.RefundNo),
	})
}

func ruleOf(automatic string) string {
	if automatic == payment.AutomaticDuplicate {
		return RuleDuplicatePayment
	}
	return RuleLatePayment
}

// maxAutomatic bounds how often one payment is given back by itself.
const maxAutomatic = 5

// giveBackAgain is what follows when the channel refused an automatic refund:
// somebody is told, and a new refund is promised, later each time, until the
// bound; then it is left to a person.
func (t *Till) giveBackAgain(ctx context.Context, tx Tx, p *payment.Payment, r *payment.Refund) error {
	now := t.now()
	before, err := tx.Payments().Refunds(ctx, evcs.Only(p.Tenant), p.ID)
	if err != nil {
		return err
	}
	next := "a person must refund it"
	if tries := len(before); tries < maxAutomatic {
		again, err := t.newRefund(p, r.Amount, r.Reason, now)
		if err != nil {
			return err
		}
		again.Automatic, again.RequestedBy, again.NextQueryAt = r.Automatic, r.RequestedBy, now.Add(time.Hour<<(tries-1))
		if err := t.beginRefund(ctx, tx, p, &again, nil); err != nil {
			return err
		}
		next = "it is tried again as " + again.RefundNo
	}
	return t.cfg.Alarm(ctx, tx, Alert{
		Rule: ruleOf(r.Automatic), Severity: severityCritical, Tenant: p.Tenant, TargetType: "PAYMENT", TargetID: p.TradeNo, At: now,
		Message: fmt.Sprintf("the channel refused refund %s of %s (%s): %s", r.RefundNo, r.Amount, r.FailureCode, next),
	})
}

// Query is a payment as it is now. refresh "always" asks the channel, "never"
// does not, "auto" asks when the payment may still change and the last answer
// is older than 3 s. A channel that does not answer changes nothing; checked
// tells whether it did.
func (t *Till) Query(ctx context.Context, a *evcs.Actor, tradeNo, refresh string) (p payment.Payment, checked bool, err error) {
	if p, err = t.find(ctx, a, tradeNo, false); err != nil {
		return p, false, err
	}
	open := p.Status.Live() || p.Status == payment.Refunding
	fresh := t.now().Sub(p.LastQueryAt) <= 3*time.Second
	if refresh == "never" || p.Channel == payment.ChannelOffline || refresh != "always" && (!open || fresh) {
		return p, false, nil
	}
	asked, err := t.ask(ctx, p, "query")
	if err != nil {
		t.cfg.Log.InfoContext(ctx, "a channel did not answer a query", slog.Any("trade_no", p.TradeNo), slog.Any("error", err))
		return p, false, nil // the contract: channelChecked false
	}
	return asked, true, nil
}

// ask asks the channel about a payment, and about its refund in flight.
func (t *Till) ask(ctx context.Context, p payment.Payment, source string) (payment.Payment, error) {
	ch, err := t.channel(p.Channel)
	if err != nil {
		return p, err
	}
	m, err := t.account(ctx, p.Tenant, p.Merchant)
	if err != nil {
		return p, err
	}
	if p.Status == payment.Refunding {
		if err := t.askRefundOf(ctx, p); err != nil {
			return p, err
		}
		return t.change(ctx, p, func(tx Tx, p *payment.Payment) error {
			p.LastQueryAt = t.now()
			return tx.Payments().Update(ctx, evcs.Only(p.Tenant), p)
		})
	}
	trade, err := ch.Query(ctx, m, p.TradeNo)
	if err != nil {
		return p, err
	}
	return t.apply(ctx, p, trade, source)
}

// Confirm never believes that a payment succeeded or failed: when it is not
// final it asks the channel. applied tells whether that changed the order.
func (t *Till) Confirm(ctx context.Context, tradeNo string) (o *order.Order, applied bool, err error) {
	p, err := t.find(ctx, everywhere(), tradeNo, false)
	if err != nil {
		return nil, false, err
	}
	before, err := t.orderOf(ctx, p)
	if err != nil {
		return nil, false, err
	}
	if !p.Status.Paid() && p.Channel != payment.ChannelOffline {
		if _, err := t.ask(ctx, p, "query"); err != nil {
			return nil, false, unknown(&p, err)
		}
	}
	if o, err = t.orderOf(ctx, p); err != nil {
		return nil, false, err
	}
	return o, o.Status != before.Status, nil
}

func (t *Till) orderOf(ctx context.Context, p payment.Payment) (*order.Order, error) {
	return t.cfg.Orders.Order(ctx, evcs.Only(p.Tenant), p.Order)
}

// everywhere is the daemon itself looking at any tenant's payment: the internal
// operation names no tenant.
func everywhere() *evcs.Actor {
	a := evcs.System(evcs.PlatformTenant)
	a.Permissions = map[evcs.Permission]bool{tenant.ReadDescendants: true, tenant.WriteDescendants: true}
	return a
}
