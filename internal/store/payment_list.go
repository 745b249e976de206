package store

import (
	"context"
	"database/sql"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

var paymentListing = listing[payment.Payment]{
	what: "list payments", columns: paymentColumns, from: "payments", id: "id", scan: scanPayment,
	sorts: map[string]sortColumn{
		"paymentId": {expr: "id"}, "createTime": {expr: "created_at"}, "paidTime": {expr: "paid_at"}, "amount": {expr: "amount"},
	},
}

// PaymentPage lists the payments of scope that are wanted.
func (b PaymentBooks) PaymentPage(ctx context.Context, scope evcs.Scope, w payment.Filter, r evcs.PageRequest) (evcs.Page[payment.Payment], error) {
	var f filter
	f.scope("tenant_id", scope)
	if w.Order != 0 {
		f.add("order_id = ?", w.Order)
	}
	f.contains(w.OrderNo, "order_no")
	f.exact("trade_no", w.TradeNo)
	f.exact("channel_trade_no", w.ChannelTradeNo)
	among(&f, "method", w.Methods)
	among(&f, "channel", w.Channels)
	among(&f, "status", w.Statuses)
	f.within("created_at", w.From, w.To)
	f.within("paid_at", w.PaidFrom, w.PaidTo)
	return page(ctx, b.q, paymentListing, f, r)
}

// PaymentIn finds a payment in a scope that may hold a subtree.
func (b PaymentBooks) PaymentIn(ctx context.Context, scope evcs.Scope, id evcs.PaymentID) (payment.Payment, error) {
	cond, arg := scopeCond("tenant_id", scope)
	return b.payment(ctx, map[string]any{"paymentId": id}, `id = ? AND `+cond, id, arg)
}

// PaymentEvents lists what happened to a payment, oldest first.
func (b PaymentBooks) PaymentEvents(ctx context.Context, scope evcs.Scope, id evcs.PaymentID) ([]payment.Event, error) {
	cond, arg := scopeCond("tenant_id", scope)
	var list []payment.Event
	err := b.q.each(ctx, "read payment events", func(rows *sql.Rows) error {
		var e payment.Event
		var at int64
		err := rows.Scan(&at, &e.Event, &e.Source, &e.Detail)
		e.Payment, e.At = id, evcs.FromMillis(at)
		list = append(list, e)
		return err
	}, `SELECT at, event, source, detail FROM payment_events WHERE payment_id = ? AND `+cond+` ORDER BY id`, id, arg)
	return list, err
}

var refundListing = listing[payment.Refund]{
	what: "list refunds", columns: refundColumns, from: "refunds", id: "id", scan: scanRefund,
	sorts: map[string]sortColumn{"refundId": {expr: "id"}, "createTime": {expr: "created_at"}, "refundAmount": {expr: "amount"}},
}

// RefundPage lists the refunds of scope that are wanted.
func (b PaymentBooks) RefundPage(ctx context.Context, scope evcs.Scope, w payment.RefundFilter, r evcs.PageRequest) (evcs.Page[payment.Refund], error) {
	var f filter
	f.scope("tenant_id", scope)
	if w.Order != 0 {
		f.add("order_id = ?", w.Order)
	}
	f.exact("trade_no", w.TradeNo)
	among(&f, "status", w.Statuses)
	among(&f, "approval", w.Approvals)
	f.within("created_at", w.From, w.To)
	return page(ctx, b.q, refundListing, f, r)
}
