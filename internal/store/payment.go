package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// Payments keeps payments and refunds, the accounts they run over, and the
// inbox of callbacks.
type Payments struct {
	PaymentBooks
	PaymentDesk
	PaymentRequests
}

// Payments is the money noun's store within the transaction.
func (tx *Tx) Payments() payment.Store {
	return Payments{PaymentBooks{tx.q}, PaymentDesk{tx.q}, PaymentRequests{tx.q}}
}

// Payments reads what was committed.
func (r Reader) Payments() Payments {
	return Payments{PaymentBooks{r.q}, PaymentDesk{r.q}, PaymentRequests{r.q}}
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
			settles = ?, failure_code = ?, failure_message = ?, last_query_at = ?, next_query_at = ?, queries = ?, updated_at = ?, version = version + 1
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
	next_query_at, queries, created_at, updated_at, version`

func scanRefund(rows row) (payment.Refund, error) {
	var r payment.Refund
	var accepted, success, nextQuery, created, updated int64
	err := rows.Scan(&r.ID, &r.Tenant, &r.RefundNo, &r.Payment, &r.TradeNo, &r.Order, &r.Amount, &r.Status, &r.Reason, &r.Channel, &r.ChannelRefundNo,
		&r.Automatic, &r.FailureCode, &r.FailureMessage, &r.RequestedBy, &r.RequestKey, &accepted, &success, &nextQuery, &r.Queries,
		&created, &updated, &r.Version)
	r.AcceptedAt, r.SuccessAt, r.NextQueryAt = evcs.FromMillis(accepted), evcs.FromMillis(success), evcs.FromMillis(nextQuery)
	r.CreatedAt, r.UpdatedAt = evcs.FromMillis(created), evcs.FromMillis(updated)
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
			failure_code, failure_message, requested_by, request_key, accepted_at, success_at, next_query_at, queries, created_at, updated_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) RETURNING id`,
		scope.Tenant, r.RefundNo, r.Payment, r.TradeNo, r.Order, r.Amount, r.Status, r.Reason, r.Channel, nullText(r.ChannelRefundNo),
		nullText(r.Automatic), nullText(r.FailureCode), nullText(r.FailureMessage), r.RequestedBy, nullText(r.RequestKey), evcs.Millis(r.AcceptedAt),
		evcs.Millis(r.SuccessAt), evcs.Millis(r.NextQueryAt), r.Queries, evcs.Millis(r.CreatedAt), evcs.Millis(r.UpdatedAt))
	r.ID, r.Version = evcs.RefundID(id), 1
	return err
}

// UpdateRefund implements payment.Books.
func (b PaymentBooks) UpdateRefund(ctx context.Context, scope evcs.Scope, r *payment.Refund) error {
	unroll := func() (bool, error) { return b.q.unrollRefund(ctx, r.Tenant, r.ID, r.Version) }
	err := b.q.swapRolled(ctx, "update refund", unroll, `
		UPDATE refunds SET status = ?, channel_refund_no = ?, failure_code = ?, failure_message = ?, accepted_at = ?, success_at = ?, next_query_at = ?,
			queries = ?, updated_at = ?, version = version + 1
		WHERE id = ? AND `+moneyWithin(scope)+` AND version = ? AND (NOT rolled OR status = ? AND success_at = ?)`,
		r.Status, nullText(r.ChannelRefundNo), nullText(r.FailureCode), nullText(r.FailureMessage), evcs.Millis(r.AcceptedAt), evcs.Millis(r.SuccessAt),
		evcs.Millis(r.NextQueryAt), r.Queries, evcs.Millis(r.UpdatedAt), r.ID, scope.Tenant, r.Version, r.Status, evcs.Millis(r.SuccessAt))
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

// PaymentDesk implements payment.Desk.
type PaymentDesk struct{ q querier }

const merchantColumns = `id, tenant_id, channel, name, mode, status, config, secrets, callback_token, fee_rate, created_at, updated_at, version`

func (d PaymentDesk) merchant(ctx context.Context, missing error, where string, args ...any) (payment.Merchant, error) {
	var m payment.Merchant
	var status, created, updated int64
	err := d.q.one(ctx, "read merchant", missing, []any{
		&m.ID, &m.Tenant, &m.Channel, &m.Name, &m.Mode, &status, &m.Config, &m.Sealed, &m.CallbackToken, &m.FeeRate, &created, &updated, &m.Version,
	}, `SELECT `+merchantColumns+` FROM merchants WHERE deleted_at = 0 AND `+where, args...)
	m.Enabled = status == 1
	m.CreatedAt, m.UpdatedAt = evcs.FromMillis(created), evcs.FromMillis(updated)
	return m, err
}

// Merchant implements payment.Desk.
func (d PaymentDesk) Merchant(ctx context.Context, scope evcs.Scope, id payment.MerchantID) (payment.Merchant, error) {
	return d.merchant(ctx, evcs.With(payment.ErrNoMerchant, map[string]any{"merchantId": id}), `id = ? AND `+moneyWithin(scope), id, scope.Tenant)
}

// EnabledMerchant implements payment.Desk.
func (d PaymentDesk) EnabledMerchant(ctx context.Context, scope evcs.Scope, channel string) (payment.Merchant, error) {
	return d.merchant(ctx, evcs.With(payment.ErrNotConfigured, map[string]any{"channel": channel}),
		`status = 1 AND channel = ? AND `+moneyWithin(scope), channel, scope.Tenant)
}

// MerchantByToken implements payment.Desk: callbacks come without a tenant.
func (d PaymentDesk) MerchantByToken(ctx context.Context, channel, token string) (payment.Merchant, error) {
	return d.merchant(ctx, payment.ErrNoMerchant, `channel = ? AND callback_token = ? AND tenant_id > 0`, channel, token)
}

// Merchants lists the accounts of a channel, enabled or not.
func (d PaymentDesk) Merchants(ctx context.Context, scope evcs.Scope, channel string) ([]payment.Merchant, error) {
	var ids []payment.MerchantID
	if err := d.q.each(ctx, "list merchants", func(rows *sql.Rows) error {
		var id payment.MerchantID
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT id FROM merchants WHERE deleted_at = 0 AND channel = ? AND `+moneyWithin(scope)+` ORDER BY id`, channel, scope.Tenant); err != nil {
		return nil, err
	}
	list := make([]payment.Merchant, 0, len(ids))
	for _, id := range ids {
		m, err := d.Merchant(ctx, scope, id)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// InsertMerchant implements payment.Desk.
func (d PaymentDesk) InsertMerchant(ctx context.Context, scope evcs.Scope, m *payment.Merchant) error {
	id, err := d.q.insertID(ctx, "insert merchant", `
		INSERT INTO merchants (tenant_id, channel, name, mode, status, config, secrets, callback_token, fee_rate, created_at, updated_at, deleted_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1) RETURNING id`,
		scope.Tenant, m.Channel, m.Name, m.Mode, switched(m.Enabled), m.Config, m.Sealed, m.CallbackToken, m.FeeRate,
		evcs.Millis(m.CreatedAt), evcs.Millis(m.UpdatedAt))
	m.ID, m.Version = payment.MerchantID(id), 1
	return err
}

func switched(on bool) int {
	if on {
		return 1
	}
	return 0
}

// UpdateMerchant implements payment.Desk.
func (d PaymentDesk) UpdateMerchant(ctx context.Context, scope evcs.Scope, m *payment.Merchant) error {
	err := d.q.swap(ctx, "update merchant", `
		UPDATE merchants SET name = ?, mode = ?, status = ?, config = ?, secrets = ?, fee_rate = ?, updated_at = ?, version = version + 1
		WHERE id = ? AND `+moneyWithin(scope)+` AND version = ?`,
		m.Name, m.Mode, switched(m.Enabled), m.Config, m.Sealed, m.FeeRate, evcs.Millis(m.UpdatedAt), m.ID, scope.Tenant, m.Version)
	if err == nil {
		m.Version++
	}
	return err
}

// Keep implements payment.Desk.
func (d PaymentDesk) Keep(ctx context.Context, scope evcs.Scope, c *payment.Callback) (bool, error) {
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

// Settle implements payment.Desk.
func (d PaymentDesk) Settle(ctx context.Context, scope evcs.Scope, c payment.Callback) error {
	_, err := d.q.exec(ctx, "settle callback", `UPDATE callbacks SET outcome = ?, trade_no = ? WHERE id = ? AND `+moneyWithin(scope), c.Outcome, c.TradeNo, c.ID, scope.Tenant)
	return err
}

// ClaimPayments implements payment.Desk: due work is every tenant's.
func (d PaymentDesk) ClaimPayments(ctx context.Context, now, until time.Time, n int) ([]payment.Payment, error) {
	list := []payment.Payment{}
	err := d.q.each(ctx, "claim payments", func(rows *sql.Rows) error {
		p, err := scanPayment(rows)
		list = append(list, p)
		return err
	}, `
		UPDATE payments SET next_query_at = ?, version = version + 1
		WHERE id IN (SELECT id FROM payments WHERE next_query_at > 0 AND next_query_at <= ? ORDER BY next_query_at LIMIT ?)
			AND next_query_at > 0 AND next_query_at <= ? AND tenant_id > 0
		RETURNING `+paymentColumns, evcs.Millis(until), evcs.Millis(now), n, evcs.Millis(now))
	return list, err
}

// ClaimRefunds implements payment.Desk: due work is every tenant's.
func (d PaymentDesk) ClaimRefunds(ctx context.Context, now, until time.Time, n int) ([]payment.Refund, error) {
	list := []payment.Refund{}
	err := d.q.each(ctx, "claim refunds", func(rows *sql.Rows) error {
		r, err := scanRefund(rows)
		list = append(list, r)
		return err
	}, `
		UPDATE refunds SET next_query_at = ?, version = version + 1
		WHERE id IN (SELECT id FROM refunds WHERE next_query_at > 0 AND next_query_at <= ? ORDER BY next_query_at LIMIT ?)
			AND next_query_at > 0 AND next_query_at <= ? AND tenant_id > 0
		RETURNING `+refundColumns, evcs.Millis(until), evcs.Millis(now), n, evcs.Millis(now))
	return list, err
}
