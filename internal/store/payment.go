package store

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// Payments keeps payments and refunds, the accounts they run over, and the
// inbox of callbacks.
type Payments struct {
	PaymentBooks
	PaymentDesk
	PaymentInbox
	PaymentWork
	PaymentRequests
}

// Payments is the money noun's store within the transaction.
func (tx *Tx) Payments() payment.Store {
	return paymentsOf(tx.q)
}

// Payments reads what was committed.
func (r Reader) Payments() Payments {
	return paymentsOf(r.q)
}

func paymentsOf(q querier) Payments {
	return Payments{PaymentBooks{q}, PaymentDesk{q}, PaymentInbox{q}, PaymentWork{q}, PaymentRequests{q}}
}

// PaymentRequests implements payment.Requests.
type PaymentRequests struct{ q querier }

// PaymentOf implements payment.Requests.
func (p PaymentRequests) PaymentOf(ctx context.Context, scope evcs.Scope, key string) (evcs.PaymentID, error) {
	var id evcs.PaymentID
	err := p.q.one(ctx, "find payment of key", nil, []any{&id}, `SELECT id FROM payments WHERE request_key = ? AND `+moneyWithin(scope), key, scope.Tenant)
	return id, err
}

// RefundOf implements payment.Requests.
func (p PaymentRequests) RefundOf(ctx context.Context, scope evcs.Scope, key string) (string, error) {
	var no string
	err := p.q.one(ctx, "find refund of key", nil, []any{&no}, `SELECT refund_no FROM refunds WHERE request_key = ? AND `+moneyWithin(scope), key, scope.Tenant)
	return no, err
}

// PaymentBooks implements payment.Books.
type PaymentBooks struct{ q querier }

const paymentColumns = `id, tenant_id, order_id, order_no, user_ref, trade_no, COALESCE(channel_trade_no, ''), method, channel, amount, status,
	COALESCE(pay_params, ''), COALESCE(pay_url, ''), description, expire_at, paid_at, refunded_amount, refunding_amount, fee, sandbox, settles,
	COALESCE(failure_code, ''), COALESCE(failure_message, ''), merchant_id, COALESCE(request_key, ''), last_query_at, next_query_at, queries,
	created_at, updated_at, version`

func scanPayment(rows row) (payment.Payment, error) {
	var p payment.Payment
	var params string
	var expire, paid, lastQuery, nextQuery, created, updated int64
	err := rows.Scan(&p.ID, &p.Tenant, &p.Order, &p.OrderNo, &p.UserRef, &p.TradeNo, &p.ChannelTradeNo, &p.Method, &p.Channel, &p.Amount, &p.Status,
		&params, &p.PayURL, &p.Description, &expire, &paid, &p.Refunded, &p.Refunding, &p.Fee, &p.Sandbox, &p.Settles,
		&p.FailureCode, &p.FailureMessage, &p.Merchant, &p.RequestKey, &lastQuery, &nextQuery, &p.Queries, &created, &updated, &p.Version)
	if params != "" {
		p.PayParams = json.RawMessage(params)
	}
	p.ExpireAt, p.PaidAt = evcs.FromMillis(expire), evcs.FromMillis(paid)
	p.LastQueryAt, p.NextQueryAt = evcs.FromMillis(lastQuery), evcs.FromMillis(nextQuery)
	p.CreatedAt, p.UpdatedAt = evcs.FromMillis(created), evcs.FromMillis(updated)
	return p, err
}

func (b PaymentBooks) payments(ctx context.Context, what, where string, args ...any) ([]payment.Payment, error) {
	list := []payment.Payment{}
	err := b.q.each(ctx, what, func(rows *sql.Rows) error {
		p, err := scanPayment(rows)
		list = append(list, p)
		return err
	}, `SELECT `+paymentColumns+` FROM payments WHERE `+where, args...)
	return list, err
}

func (b PaymentBooks) payment(ctx context.Context, facts map[string]any, where string, args ...any) (payment.Payment, error) {
	list, err := b.payments(ctx, "read payment", where, args...)
	if err != nil {
		return payment.Payment{}, err
	}
	if len(list) == 0 {
		return payment.Payment{}, evcs.With(payment.ErrNotFound, facts)
	}
	return list[0], nil
}

// nullText is the text, or NULL for an empty one.
func nullText(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// Insert implements payment.Books.
func (b PaymentBooks) Insert(ctx context.Context, scope evcs.Scope, p *payment.Payment) error {
	id, err := b.q.insertID(ctx, "insert payment", `
		INSERT INTO payments (tenant_id, order_id, order_no, user_ref, trade_no, channel_trade_no, method, channel, amount, status, pay_params, pay_url,
			description, expire_at, paid_at, refunded_amount, refunding_amount, fee, sandbox, settles, failure_code, failure_message, merchant_id,
			request_key, last_query_at, next_query_at, queries, created_at, updated_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) RETURNING id`,
		scope.Tenant, p.Order, p.OrderNo, p.UserRef, p.TradeNo, nullText(p.ChannelTradeNo), p.Method, p.Channel, p.Amount, p.Status,
		nullText(string(p.PayParams)), nullText(p.PayURL), p.Description, evcs.Millis(p.ExpireAt), evcs.Millis(p.PaidAt), p.Refunded, p.Refunding, p.Fee,
		p.Sandbox, p.Settles, nullText(p.FailureCode), nullText(p.FailureMessage), p.Merchant, nullText(p.RequestKey), evcs.Millis(p.LastQueryAt),
		evcs.Millis(p.NextQueryAt), p.Queries, evcs.Millis(p.CreatedAt), evcs.Millis(p.UpdatedAt))
	p.ID, p.Version = evcs.PaymentID(id), 1
	return err
}

// Update implements payment.Books.
func (b PaymentBooks) Update(ctx context.Context, scope evcs.Scope, p *payment.Payment) error {
	unroll := func() (bool, error) { return b.q.unrollPayment(ctx, p.Tenant, p.ID, p.Version) }
	err := b.q.swapRolled(ctx, "update payment", unroll, `
		UPDATE payments SET channel_trade_no = ?, status = ?, pay_params = ?, pay_url = ?, paid_at = ?, refunded_amount = ?, refunding_amount = ?, fee = ?,
			settles = ?, failure_code = ?, failure_message = ?, last_query_at = ?, next_query_at = ?, queries = ?, claimed_by = '', updated_at = ?, version = version + 1
		WHERE id = ? AND `+moneyWithin(scope)+` AND version = ? AND (NOT rolled OR paid_at = ?)`,
		nullText(p.ChannelTradeNo), p.Status, nullText(string(p.PayParams)), nullText(p.PayURL), evcs.Millis(p.PaidAt), p.Refunded, p.Refunding, p.Fee,
		p.Settles, nullText(p.FailureCode), nullText(p.FailureMessage), evcs.Millis(p.LastQueryAt), evcs.Millis(p.NextQueryAt), p.Queries,
		evcs.Millis(p.UpdatedAt), p.ID, scope.Tenant, p.Version, evcs.Millis(p.PaidAt))
	if err == nil {
		p.Version++
	}
	return err
}

// Payment implements payment.Books.
func (b PaymentBooks) Payment(ctx context.Context, scope evcs.Scope, id evcs.PaymentID) (payment.Payment, error) {
	return b.payment(ctx, map[string]any{"paymentId": id}, `id = ? AND `+moneyWithin(scope), id, scope.Tenant)
}

// ByTrade implements payment.Books.
func (b PaymentBooks) ByTrade(ctx context.Context, scope evcs.Scope, tradeNo string) (payment.Payment, error) {
	return b.payment(ctx, map[string]any{"tradeNo": tradeNo}, `trade_no = ? AND `+moneyWithin(scope), tradeNo, scope.Tenant)
}

// OfOrder implements payment.Books.
func (b PaymentBooks) OfOrder(ctx context.Context, scope evcs.Scope, o evcs.OrderID) ([]payment.Payment, error) {
	return b.payments(ctx, "read payments of order", `order_id = ? AND `+moneyWithin(scope)+` ORDER BY id`, o, scope.Tenant)
}

const refundColumns = `id, tenant_id, refund_no, payment_id, trade_no, order_id, amount, status, reason, channel, COALESCE(channel_refund_no, ''),
	COALESCE(automatic, ''), COALESCE(failure_code, ''), COALESCE(failure_message, ''), requested_by, COALESCE(request_key, ''), accepted_at, success_at,
	next_query_at, queries, approval, requested_user, decided_by, decided_at, decision_note, created_at, updated_at, version`

func scanRefund(rows row) (payment.Refund, error) {
	var r payment.Refund
	var accepted, success, nextQuery, decided, created, updated int64
	err := rows.Scan(&r.ID, &r.Tenant, &r.RefundNo, &r.Payment, &r.TradeNo, &r.Order, &r.Amount, &r.Status, &r.Reason, &r.Channel, &r.ChannelRefundNo,
		&r.Automatic, &r.FailureCode, &r.FailureMessage, &r.RequestedBy, &r.RequestKey, &accepted, &success, &nextQuery, &r.Queries,
		&r.Approval, &r.RequestedUser, &r.DecidedBy, &decided, &r.DecisionNote, &created, &updated, &r.Version)
	r.AcceptedAt, r.SuccessAt, r.NextQueryAt = evcs.FromMillis(accepted), evcs.FromMillis(success), evcs.FromMillis(nextQuery)
	r.DecidedAt, r.CreatedAt, r.UpdatedAt = evcs.FromMillis(decided), evcs.FromMillis(created), evcs.FromMillis(updated)
	return r, err
}

func (b PaymentBooks) refunds(ctx context.Context, what, where string, args ...any) ([]payment.Refund, error) {
	list := []payment.Refund{}
	err := b.q.each(ctx, what, func(rows *sql.Rows) error {
		r, err := scanRefund(rows)
		list = append(list, r)
		return err
	}, `SELECT `+refundColumns+` FROM refunds WHERE `+where, args...)
	return list, err
}

// InsertRefund implements payment.Books.
func (b PaymentBooks) InsertRefund(ctx context.Context, scope evcs.Scope, r *payment.Refund) error {
	id, err := b.q.insertID(ctx, "insert refund", `
		INSERT INTO refunds (tenant_id, refund_no, payment_id, trade_no, order_id, amount, status, reason, channel, channel_refund_no, automatic,
			failure_code, failure_message, requested_by, request_key, accepted_at, success_at, next_query_at, queries, approval, requested_user,
			decided_by, decided_at, decision_note, created_at, updated_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) RETURNING id`,
		scope.Tenant, r.RefundNo, r.Payment, r.TradeNo, r.Order, r.Amount, r.Status, r.Reason, r.Channel, nullText(r.ChannelRefundNo),
		nullText(r.Automatic), nullText(r.FailureCode), nullText(r.FailureMessage), r.RequestedBy, nullText(r.RequestKey), evcs.Millis(r.AcceptedAt),
		evcs.Millis(r.SuccessAt), evcs.Millis(r.NextQueryAt), r.Queries, r.Approval, r.RequestedUser, r.DecidedBy, evcs.Millis(r.DecidedAt), r.DecisionNote,
		evcs.Millis(r.CreatedAt), evcs.Millis(r.UpdatedAt))
	r.ID, r.Version = evcs.RefundID(id), 1
	return err
}

// UpdateRefund implements payment.Books.
func (b PaymentBooks) UpdateRefund(ctx context.Context, scope evcs.Scope, r *payment.Refund) error {
	unroll := func() (bool, error) { return b.q.unrollRefund(ctx, r.Tenant, r.ID, r.Version) }
	err := b.q.swapRolled(ctx, "update refund", unroll, `
		UPDATE refunds SET status = ?, channel_refund_no = ?, failure_code = ?, failure_message = ?, accepted_at = ?, success_at = ?, next_query_at = ?,
			queries = ?, approval = ?, decided_by = ?, decided_at = ?, decision_note = ?, claimed_by = '', updated_at = ?, version = version + 1
		WHERE id = ? AND `+moneyWithin(scope)+` AND version = ? AND (NOT rolled OR status = ? AND success_at = ?)`,
		r.Status, nullText(r.ChannelRefundNo), nullText(r.FailureCode), nullText(r.FailureMessage), evcs.Millis(r.AcceptedAt), evcs.Millis(r.SuccessAt),
		evcs.Millis(r.NextQueryAt), r.Queries, r.Approval, r.DecidedBy, evcs.Millis(r.DecidedAt), r.DecisionNote, evcs.Millis(r.UpdatedAt), r.ID, scope.Tenant, r.Version, r.Status, evcs.Millis(r.SuccessAt))
	if err == nil {
		r.Version++
	}
	return err
}

// Refund implements payment.Books.
func (b PaymentBooks) Refund(ctx context.Context, scope evcs.Scope, refundNo string) (payment.Refund, error) {
	list, err := b.refunds(ctx, "read refund", `refund_no = ? AND `+moneyWithin(scope), refundNo, scope.Tenant)
	if err != nil {
		return payment.Refund{}, err
	}
	if len(list) == 0 {
		return payment.Refund{}, evcs.With(payment.ErrRefundNotFound, map[string]any{"refundNo": refundNo})
	}
	return list[0], nil
}

// Refunds implements payment.Books.
func (b PaymentBooks) Refunds(ctx context.Context, scope evcs.Scope, p evcs.PaymentID) ([]payment.Refund, error) {
	return b.refunds(ctx, "read refunds of payment", `payment_id = ? AND `+moneyWithin(scope)+` ORDER BY id`, p, scope.Tenant)
}

// Note implements payment.Books.
func (b PaymentBooks) Note(ctx context.Context, scope evcs.Scope, e payment.Event) error {
	_, err := b.q.exec(ctx, "note payment event", `INSERT INTO payment_events (tenant_id, payment_id, at, event, source, detail) VALUES (?, ?, ?, ?, ?, ?)`,
		scope.Tenant, e.Payment, evcs.Millis(e.At), e.Event, e.Source, e.Detail)
	return err
}

// Events lists the history of a payment, oldest first.
func (b PaymentBooks) Events(ctx context.Context, scope evcs.Scope, p evcs.PaymentID) ([]payment.Event, error) {
	list := []payment.Event{}
	err := b.q.each(ctx, "read payment events", func(rows *sql.Rows) error {
		var e payment.Event
		var at int64
		err := rows.Scan(&e.Payment, &at, &e.Event, &e.Source, &e.Detail)
		e.At = evcs.FromMillis(at)
		list = append(list, e)
		return err
	}, `SELECT payment_id, at, event, source, detail FROM payment_events WHERE payment_id = ? AND `+moneyWithin(scope)+` ORDER BY id`, p, scope.Tenant)
	return list, err
}
