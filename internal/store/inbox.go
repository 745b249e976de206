package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// PaymentInbox implements payment.Inbox.
type PaymentInbox struct{ q querier }

// Keep implements payment.Inbox.
func (d PaymentInbox) Keep(ctx context.Context, scope evcs.Scope, c *payment.Callback) (bool, error) {
	err := d.q.one(ctx, "keep callback", errBooked, []any{&c.ID}, `
		INSERT INTO callbacks (tenant_id, channel, merchant_id, event_id, received_at, headers, body, outcome, trade_no)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (channel, merchant_id, event_id) DO NOTHING RETURNING id`,
		scope.Tenant, c.Channel, c.Merchant, c.EventID, evcs.Millis(c.ReceivedAt), c.Header, c.Body, c.Outcome, c.TradeNo)
	if errors.Is(err, errBooked) {
		return false, d.q.one(ctx, "read callback", evcs.ErrStale, []any{&c.ID, &c.Outcome},
			`SELECT id, outcome FROM callbacks WHERE `+moneyWithin(scope)+` AND channel = ? AND merchant_id = ? AND event_id = ?`,
			scope.Tenant, c.Channel, c.Merchant, c.EventID)
	}
	return err == nil, err
}

// Settle implements payment.Inbox.
func (d PaymentInbox) Settle(ctx context.Context, scope evcs.Scope, c payment.Callback) error {
	_, err := d.q.exec(ctx, "settle callback", `UPDATE callbacks SET outcome = ?, trade_no = ? WHERE id = ? AND `+moneyWithin(scope), c.Outcome, c.TradeNo, c.ID, scope.Tenant)
	return err
}

// Unverified implements payment.Inbox.
func (d PaymentInbox) Unverified(ctx context.Context, scope evcs.Scope, m payment.MerchantID, since time.Time) (n int, err error) {
	err = d.q.one(ctx, "count unverified callbacks", nil, []any{&n},
		`SELECT COUNT(*) FROM callbacks WHERE merchant_id = ? AND received_at >= ? AND outcome = 'FORGED' AND `+moneyWithin(scope), m, evcs.Millis(since), scope.Tenant)
	return n, err
}

// PruneForged deletes up to n callbacks that did not verify and came before a
// moment.
func PruneForged(tx *Tx, ctx context.Context, before int64, n int) (int64, error) { //nolint:revive // as Tx's own methods, for the table of jobs
	return tx.q.exec(ctx, "prune forged callbacks",
		`DELETE FROM callbacks WHERE id IN (SELECT id FROM callbacks WHERE outcome = 'FORGED' AND received_at < ? AND tenant_id > 0 LIMIT ?)`, before, n)
}

// PaymentWork implements payment.Work.
type PaymentWork struct{ q querier }

// ClaimPayments implements payment.Work: due work is every tenant's.
func (d PaymentWork) ClaimPayments(ctx context.Context, c payment.Claim) ([]payment.Payment, error) {
	list := []payment.Payment{}
	err := d.q.each(ctx, "claim payments", func(rows *sql.Rows) error {
		p, err := scanPayment(rows)
		list = append(list, p)
		return err
	}, `
		UPDATE payments SET next_query_at = ?, claimed_by = ?, version = version + 1
		WHERE id IN (SELECT id FROM payments WHERE next_query_at > 0 AND next_query_at <= ? ORDER BY next_query_at LIMIT ?)
			AND next_query_at > 0 AND next_query_at <= ? AND tenant_id > 0
		RETURNING `+paymentColumns, evcs.Millis(c.Until), c.Node, evcs.Millis(c.Now), c.Most, evcs.Millis(c.Now))
	return list, err
}

// ClaimRefunds implements payment.Work: due work is every tenant's.
func (d PaymentWork) ClaimRefunds(ctx context.Context, c payment.Claim) ([]payment.Refund, error) {
	list := []payment.Refund{}
	err := d.q.each(ctx, "claim refunds", func(rows *sql.Rows) error {
		r, err := scanRefund(rows)
		list = append(list, r)
		return err
	}, `
		UPDATE refunds SET next_query_at = ?, claimed_by = ?, version = version + 1
		WHERE id IN (SELECT id FROM refunds WHERE next_query_at > 0 AND next_query_at <= ? ORDER BY next_query_at LIMIT ?)
			AND next_query_at > 0 AND next_query_at <= ? AND tenant_id > 0
		RETURNING `+refundColumns, evcs.Millis(c.Until), c.Node, evcs.Millis(c.Now), c.Most, evcs.Millis(c.Now))
	return list, err
}

// Free implements payment.Work: claims are every tenant's.
func (d PaymentWork) Free(ctx context.Context, c payment.Claim, heard time.Time) (int64, error) {
	return d.free(ctx, `claimed_by <> ? AND claimed_by NOT IN (SELECT id FROM nodes WHERE last_seen_at >= ?)`, c, evcs.Millis(heard))
}

// FreeOwn implements payment.Work: claims are every tenant's.
func (d PaymentWork) FreeOwn(ctx context.Context, c payment.Claim) (int64, error) {
	return d.free(ctx, `claimed_by = ?`, c)
}

func (d PaymentWork) free(ctx context.Context, whose string, c payment.Claim, args ...any) (int64, error) {
	args = append([]any{evcs.Millis(c.Now), c.Node}, args...)
	payments, err := d.q.exec(ctx, "free claimed payments",
		`UPDATE payments SET next_query_at = ?, claimed_by = '', version = version + 1 WHERE claimed_by <> '' AND tenant_id + 0 > 0 AND `+whose, args...)
	if err != nil {
		return 0, err
	}
	refunds, err := d.q.exec(ctx, "free claimed refunds",
		`UPDATE refunds SET next_query_at = ?, claimed_by = '', version = version + 1 WHERE claimed_by <> '' AND tenant_id + 0 > 0 AND `+whose, args...)
	return payments + refunds, err
}
