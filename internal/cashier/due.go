package cashier

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// lease is how long claimed work belongs to the node that claimed it.
const lease = 2 * time.Minute

// Due does up to n pieces of work that are due: asks channels about payments
// and refunds, closes what has expired, pays out automatic refunds. It returns
// how many it took; one that fails is tried again later and does not stop the
// others.
func (t *Till) Due(ctx context.Context, n int) (int, error) {
	var payments []payment.Payment
	var refunds []payment.Refund
	err := t.cfg.Transact(ctx, func(tx Tx) (err error) {
		now := t.now()
		if payments, err = tx.Payments().ClaimPayments(ctx, now, now.Add(lease), n); err != nil {
			return err
		}
		refunds, err = tx.Payments().ClaimRefunds(ctx, now, now.Add(lease), n)
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, p := range payments {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := t.follow(ctx, p); err != nil {
			t.cfg.Log.InfoContext(ctx, "a payment could not be followed up", slog.String("trade_no", p.TradeNo), slog.Any("error", err))
			t.missed(ctx, p)
		}
	}
	for _, r := range refunds {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if _, err := t.askRefund(ctx, r); err != nil && !errors.Is(err, payment.ErrRefused) {
			t.cfg.Log.InfoContext(ctx, "a refund could not be followed up", slog.String("refund_no", r.RefundNo), slog.Any("error", err))
			t.missedRefund(ctx, r)
		}
	}
	return len(payments) + len(refunds), nil
}

// missed plans the next question about a payment whose channel gave no answer.
// When that fails too, the claim's lease ends by itself.
func (t *Till) missed(ctx context.Context, p payment.Payment) {
	if _, err := t.change(ctx, p, func(tx Tx, p *payment.Payment) error {
		p.Queries++
		p.Plan(t.now())
		return tx.Payments().Update(ctx, evcs.Only(p.Tenant), p)
	}); err != nil {
		t.cfg.Log.WarnContext(ctx, "a payment could not be postponed", slog.String("trade_no", p.TradeNo), slog.Any("error", err))
	}
}

// missedRefund is missed for a refund.
func (t *Till) missedRefund(ctx context.Context, r payment.Refund) {
	if err := t.cfg.Transact(ctx, func(tx Tx) error {
		now, err := tx.Payments().Refund(ctx, evcs.Only(r.Tenant), r.RefundNo)
		if err != nil {
			return err
		}
		return t.postpone(ctx, tx, &now)
	}); err != nil {
		t.cfg.Log.WarnContext(ctx, "a refund could not be postponed", slog.String("refund_no", r.RefundNo), slog.Any("error", err))
	}
}

// follow asks about one payment; one that has expired is closed at its channel.
func (t *Till) follow(ctx context.Context, p payment.Payment) error {
	if !p.Status.Live() || p.ExpireAt.After(t.now()) {
		_, err := t.ask(ctx, p, "query")
		return err
	}
	_, err := t.shut(ctx, p)
	return err
}
