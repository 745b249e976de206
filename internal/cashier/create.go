package cashier

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/tenant"
)

// ErrKeyReused is 9410: the key made another payment or refund.
var ErrKeyReused = evcs.NewError(evcs.CodeIdempotencyKeyReused, "the idempotency key was used for another request")

// CreateRequest asks for a payment of an order.
type CreateRequest struct {
	Order       evcs.OrderID
	Amount      evcs.Money
	Method      payment.Method
	UserRef     int64
	Key         string        // the caller's idempotency key, "" for none
	Description string        // "" for the usual one
	Expire      time.Duration // 0: the tenant's
	Options     json.RawMessage
}

// maxCloses bounds how many live payments one create closes before it gives up.
const maxCloses = 3

// Create makes a payment. Its row is committed before the channel is called.
// A payment of another key that may still be paid is closed at its channel
// first; when it turns out paid the order is settled with it (4008). The same
// key again goes on with the same payment. A refusal of the channel is 4001,
// an outcome that nobody knows 4002.
func (t *Till) Create(ctx context.Context, a *evcs.Actor, r CreateRequest) (payment.Payment, error) {
	for closed := 0; ; closed++ {
		p, older, err := t.propose(ctx, a, r)
		if err != nil {
			return p, err
		}
		if older == nil {
			switch p.Status {
			case payment.Processing:
				return t.offer(ctx, p, r)
			case payment.Failed: // the same key again: the same refusal
				return p, refusedBy(&p)
			}
			return p, nil
		}
		if closed == maxCloses { // others keep coming; theirs stands
			return payment.Payment{}, unknown(older, nil)
		}
		if _, err := t.shut(ctx, *older); err != nil && !errors.Is(err, payment.ErrState) {
			return p, err
		}
	}
}

// propose commits the payment, or answers the one of the same key, or names an
// older one that must be closed first.
func (t *Till) propose(ctx context.Context, a *evcs.Actor, r CreateRequest) (p payment.Payment, older *payment.Payment, err error) {
	no, err := payment.Number(payment.TradeNumber, t.now(), t.cfg.Random)
	if err != nil {
		return p, nil, err
	}
	err = t.cfg.Transact(ctx, func(tx Tx) error {
		p, older = payment.Payment{}, nil
		o, err := tx.Orders().Order(ctx, evcs.Subtree(a.Tenant), r.Order)
		if err != nil {
			return err
		}
		if err := tenant.Reach(a, o.Tenant, true); err != nil {
			return err
		}
		scope := evcs.Only(o.Tenant)
		if r.Key != "" {
			id, err := tx.Payments().PaymentOf(ctx, scope, r.Key)
			if err != nil {
				return err
			}
			if id != 0 {
				p, err = tx.Payments().Payment(ctx, scope, id)
				if err == nil && (p.Order != r.Order || p.Amount != r.Amount || p.Method != r.Method) {
					err = ErrKeyReused
				}
				return err
			}
		}
		if err := payableBy(o, r.Amount); err != nil {
			return err
		}
		list, err := tx.Payments().OfOrder(ctx, scope, o.ID)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].Status.Live() {
				older = &list[i]
				return nil
			}
		}
		p, err = t.insert(ctx, tx, o, no, r)
		return err
	})
	return p, older, err
}

// payableBy refuses an order that cannot be paid with this amount.
func payableBy(o *order.Order, amount evcs.Money) error {
	switch {
	case o.Status == order.Cancelled:
		return o.CancelledError()
	case o.Status == order.Paid || o.Status == order.Refunding || o.Status == order.Refunded:
		return evcs.With(payment.ErrAlreadyPaid, map[string]any{"orderId": o.ID, "tradeNo": o.TradeNo})
	case o.Held || o.Payable() <= 0:
		return o.StateError()
	case amount != o.Payable():
		return evcs.WithDetail(payment.ErrAmount,
			evcs.Detail{ZH: "应付 " + o.Payable().String() + ",收到 " + amount.String(), EN: o.Payable().String() + " is due, " + amount.String() + " was given"},
			map[string]any{"expected": o.Payable(), "given": amount})
	}
	return nil
}

// insert writes the payment and takes the order to 10.
func (t *Till) insert(ctx context.Context, tx Tx, o *order.Order, no string, r CreateRequest) (payment.Payment, error) {
	now := t.now()
	channel := r.Method.Channel()
	if _, err := t.channel(channel); err != nil {
		return payment.Payment{}, err
	}
	m, err := t.merchantFor(ctx, tx, o.Tenant, channel)
	if err != nil {
		return payment.Payment{}, err
	}
	if r.Expire == 0 {
		chain, err := tx.Tenants().Chain(ctx, o.Tenant)
		if err != nil {
			return payment.Payment{}, err
		}
		r.Expire = time.Duration(chain.Settings().PaymentTimeoutMinutes) * time.Minute
	}
	if r.Description == "" {
		r.Description = "充电订单 " + o.No
	}
	if r.UserRef == 0 {
		r.UserRef = o.User
	}
	p := payment.Payment{
		Tenant: o.Tenant, Order: o.ID, OrderNo: o.No, UserRef: r.UserRef, TradeNo: no, Method: r.Method, Channel: channel, Amount: r.Amount,
		Status: payment.Processing, Description: r.Description, ExpireAt: now.Add(r.Expire), Sandbox: m.Mode != payment.Live, Merchant: m.ID,
		RequestKey: r.Key, CreatedAt: now, UpdatedAt: now,
	}
	p.Plan(now)
	if err := due(ctx, tx, o, now); err != nil {
		return p, err
	}
	if err := tx.Payments().Insert(ctx, evcs.Only(o.Tenant), &p); err != nil {
		return p, err
	}
	return p, tell(ctx, tx, &p, "CREATED", "api", "")
}

// due takes the order to 10. The order is written even when it is there
// already: its version is what tells a cancellation, a discount or a cash
// payment at the same moment that somebody was first.
func due(ctx context.Context, tx Tx, o *order.Order, now time.Time) error {
	if o.Status != order.Ended {
		return tx.Orders().UpdateOrder(ctx, evcs.Only(o.Tenant), o)
	}
	change, err := o.ToPay(true, now)
	if err != nil {
		return err
	}
	return order.Record(ctx, tx, o, change)
}

// offer calls the channel for a committed payment and stores its answer.
func (t *Till) offer(ctx context.Context, p payment.Payment, r CreateRequest) (payment.Payment, error) {
	ch, err := t.channel(p.Channel)
	if err != nil {
		return p, err
	}
	m, err := t.account(ctx, p.Tenant, p.Merchant)
	if err != nil {
		return p, err
	}
	offer, called := ch.Create(ctx, m, payment.CreateRequest{
		TradeNo: p.TradeNo, Method: p.Method, Amount: p.Amount, Description: p.Description, ExpireAt: p.ExpireAt, Options: r.Options,
		NotifyURL: m.CallbackURL(t.cfg.CallbackBase),
	})
	code, message, refused := refusal(called)
	if called != nil && !refused {
		return p, unknown(&p, called)
	}
	p, err = t.change(ctx, p, func(tx Tx, p *payment.Payment) error {
		if refused {
			if !p.Fail(code, message, t.now()) {
				return nil
			}
			return save(ctx, tx, p, "REFUSED", "api", code)
		}
		if p.Status != payment.Processing && len(p.PayParams) > 0 {
			return nil // the same request at the same moment was first
		}
		p.Offered(offer, t.now())
		return save(ctx, tx, p, "OFFERED", "api", "")
	})
	if err == nil && refused {
		return p, refusedBy(&p)
	}
	return p, err
}

// refusedBy is 4001 with the channel's words.
func refusedBy(p *payment.Payment) error {
	return evcs.With(payment.ErrRefused, map[string]any{
		"tradeNo": p.TradeNo, "channel": p.Channel, "channelCode": p.FailureCode, "channelMessage": p.FailureMessage,
	})
}

// change runs fn on the payment as it now is, in a transaction.
func (t *Till) change(ctx context.Context, p payment.Payment, fn func(tx Tx, p *payment.Payment) error) (payment.Payment, error) {
	var now payment.Payment
	err := t.cfg.Transact(ctx, func(tx Tx) (err error) {
		if now, err = tx.Payments().Payment(ctx, evcs.Only(p.Tenant), p.ID); err != nil {
			return err
		}
		return fn(tx, &now)
	})
	if err != nil {
		return p, err
	}
	return now, nil
}

// shut ends a payment at its channel; what the channel says is applied.
func (t *Till) shut(ctx context.Context, p payment.Payment) (payment.Payment, error) {
	ch, err := t.channel(p.Channel)
	if err != nil {
		return p, err
	}
	m, err := t.account(ctx, p.Tenant, p.Merchant)
	if err != nil {
		return p, err
	}
	trade, err := ch.Close(ctx, m, p.TradeNo)
	if err != nil {
		return p, unknown(&p, err)
	}
	if trade.State == payment.TradeUnknown || trade.State == payment.TradeWaiting {
		trade.State = payment.TradeClosed // the channel never knew it, or took the order to close it
	}
	return t.apply(ctx, p, trade, "close")
}

// Close ends a payment that nobody paid: 7, or 2 when the channel says paid.
func (t *Till) Close(ctx context.Context, a *evcs.Actor, tradeNo string) (payment.Payment, error) {
	p, err := t.find(ctx, a, tradeNo, true)
	if err != nil || p.Status == payment.Closed {
		return p, err
	}
	if !p.Status.Live() {
		_, err := p.Close(t.now())
		return p, err
	}
	return t.shut(ctx, p)
}

// find reads a payment the actor may see, or change.
func (t *Till) find(ctx context.Context, a *evcs.Actor, tradeNo string, write bool) (payment.Payment, error) {
	p, err := t.cfg.Payments.ByTrade(ctx, evcs.Subtree(a.Tenant), tradeNo)
	if err != nil {
		return p, err
	}
	return p, tenant.Reach(a, p.Tenant, write)
}
