package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
)

// PaymentReader reads payments; store.Payments satisfies it.
type PaymentReader interface {
	PaymentPage(ctx context.Context, scope evcs.Scope, w payment.Filter, r evcs.PageRequest) (evcs.Page[payment.Payment], error)
	PaymentIn(ctx context.Context, scope evcs.Scope, id evcs.PaymentID) (payment.Payment, error)
	PaymentEvents(ctx context.Context, scope evcs.Scope, id evcs.PaymentID) ([]payment.Event, error)
	Refunds(ctx context.Context, scope evcs.Scope, id evcs.PaymentID) ([]payment.Refund, error)
	RefundPage(ctx context.Context, scope evcs.Scope, w payment.RefundFilter, r evcs.PageRequest) (evcs.Page[payment.Refund], error)
}

// Payer is the pretended payer of the sandbox channel.
type Payer interface {
	// Pay has the payer of a sandbox payment do something after a delay, and
	// delivers the channel's notification when it is due at once.
	Pay(ctx context.Context, p payment.Payment, outcome string, delay time.Duration) error
}

// Payments are the operations of payments and refunds.
type Payments struct {
	Read   PaymentReader
	Orders Orders
	Till   *cashier.Till
	Payer  Payer // nil: the sandbox is not offered
}

type paymentFilter struct {
	Paging
	OrderID        Opt[evcs.OrderID] `query:"orderId" minimum:"1"`
	OrderNo        string            `query:"orderNo" maxLength:"32"`
	TradeNo        string            `query:"tradeNo" maxLength:"64" doc:"Exact"`
	ChannelTradeNo string            `query:"channelTradeNo" maxLength:"64" doc:"Exact"`
	PaymentMethod  []string          `query:"paymentMethod" maxItems:"6" enum:"ALIPAY_APP,ALIPAY_QR,WECHAT_JSAPI,WECHAT_NATIVE,SANDBOX,OFFLINE"`
	Channel        []string          `query:"channel" maxItems:"4" enum:"alipay,wechat,sandbox,offline"`
	Status         []int             `query:"status" maxItems:"8" minimum:"0" maximum:"7"`
	StartTime      Opt[api.Time]     `query:"startTime" doc:"Of the creation"`
	EndTime        Opt[api.Time]     `query:"endTime" doc:"Of the creation"`
	PaidStart      Opt[api.Time]     `query:"paidStart"`
	PaidEnd        Opt[api.Time]     `query:"paidEnd"`
}

type refundFilter struct {
	Paging
	OrderID      Opt[evcs.OrderID] `query:"orderId" minimum:"1"`
	TradeNo      string            `query:"tradeNo" maxLength:"64" doc:"Exact"`
	RefundStatus []int             `query:"refundStatus" maxItems:"3" minimum:"1" maximum:"3"`
	Approval     []string          `query:"approval" maxItems:"3" enum:"PENDING,APPROVED,REJECTED"`
	StartTime    Opt[api.Time]     `query:"startTime"`
	EndTime      Opt[api.Time]     `query:"endTime"`
}

type refundPath struct {
	RefundNo string `path:"refundNo" minLength:"1" maxLength:"64"`
}

type tradePath struct {
	TradeNo string `path:"tradeNo" minLength:"1" maxLength:"64"`
}

func (p Payments) register(s *Server) {
	p.registerReads(s)
	p.registerMarks(s)
	op := func(id, path string, permission evcs.Permission, summary string, errors ...evcs.Code) operation {
		return operation{ID: id, Method: http.MethodPost, Path: "/api/payment/" + path, Group: "payment", Permission: permission, Summary: summary, Errors: errors}
	}
	create := op("createPayment", "create", "payment:create", "Collect the amount of an order",
		evcs.CodeOrderNotFound, evcs.CodeOrderState, evcs.CodeOrderCancelled, evcs.CodePaymentFailed, evcs.CodePaymentTimeout, evcs.CodeAmountMismatch,
		evcs.CodeAlreadyPaid, evcs.CodeChannelNotConfigured)
	create.Said, create.ReplayForever = created, true
	register(s, create, p.create)
	refund := op("createRefund", "refund", "payment:refund", "Give money of a payment back",
		evcs.CodePaymentNotFound, evcs.CodeOrderNotFound, evcs.CodeRefundExceeds, evcs.CodePaymentState, evcs.CodePaymentFailed, evcs.CodePaymentTimeout,
		evcs.CodeOrderTransition)
	refund.Said, refund.ReplayForever = created, true
	register(s, refund, p.refund)
	decide := func(id, verb, summary, description string, errors ...evcs.Code) operation {
		o := op(id, "refund/{refundNo}/"+verb, "payment:refund", summary, append(errors, evcs.CodeRefundNotFound, evcs.CodePaymentState, evcs.CodeCheckerRequired)...)
		o.Description = description
		return o
	}
	register(s, decide("approveRefund", "approve", "Agree to a refund that waits for a second person",
		"A refund that, with all that went back of its payment before, is more than the tenant's setting refundApprovalAbove stays PROCESSING with approval PENDING, its amount reserved, until another user than its maker "+
			"decides. Approved it goes to the channel, and the answer is that of the refund; approving again asks the channel again.",
		evcs.CodePaymentFailed, evcs.CodePaymentTimeout), p.approve)
	register(s, decide("rejectRefund", "reject", "Refuse a refund that waits for a second person",
		"The refund ends as FAILED with failureCode REJECTED; payment and order are as before. Its maker cannot do it."), p.reject)
	register(s, op("closePayment", "{tradeNo}/close", "payment:create", "Close a payment that nobody paid",
		evcs.CodePaymentNotFound, evcs.CodePaymentState, evcs.CodePaymentTimeout), p.close)
	register(s, op("paySandbox", "sandbox/{tradeNo}/pay", "payment:create", "Be the payer of a sandbox payment",
		evcs.CodePaymentNotFound, evcs.CodePaymentState, evcs.CodeChannelNotConfigured), p.paySandbox)
}

func (p Payments) registerReads(s *Server) {
	registerList(s, operation{
		ID: "listPayments", Path: "/api/payment", Group: "payment", Permission: "payment:query", Summary: "Payments",
		Sorts: []string{"paymentId", "createTime", "paidTime", "amount"},
	}, p.list)
	registerList(s, operation{
		ID: "listRefunds", Path: "/api/payment/refund", Group: "payment", Permission: "payment:query", Summary: "Refunds",
		Sorts: []string{"refundId", "createTime", "refundAmount"},
	}, p.refunds)
	get := func(id, path, summary string, errors ...evcs.Code) operation {
		return operation{ID: id, Method: http.MethodGet, Path: "/api/payment/" + path, Group: "payment", Permission: "payment:query", Summary: summary, Errors: errors}
	}
	register(s, get("queryPayment", "query/{tradeNo}", "A payment as it is now; asks the channel while it may change", evcs.CodePaymentNotFound), p.query)
	register(s, get("getRefund", "refund/{refundNo}", "One refund; asks the channel while it is not final", evcs.CodeRefundNotFound), p.getRefund)
	register(s, get("getPayment", "{paymentId}", "One payment with its refunds and events", evcs.CodePaymentNotFound), p.get)
}

func (p Payments) list(ctx context.Context, a *evcs.Actor, in *paymentFilter, page evcs.PageRequest) (evcs.Page[api.Payment], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Payment]{}, err
	}
	w := payment.Filter{
		Order: in.OrderID.Or(0), OrderNo: in.OrderNo, TradeNo: in.TradeNo, ChannelTradeNo: in.ChannelTradeNo, Methods: in.PaymentMethod,
		Channels: in.Channel, Statuses: in.Status,
	}
	w.From, w.To = span(a, in.StartTime, in.EndTime)
	w.PaidFrom, w.PaidTo = span(a, in.PaidStart, in.PaidEnd)
	found, err := p.Read.PaymentPage(ctx, scope, w, page)
	return pageOf(found, paymentJSON), err
}

func (p Payments) refunds(ctx context.Context, a *evcs.Actor, in *refundFilter, page evcs.PageRequest) (evcs.Page[api.Refund], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Refund]{}, err
	}
	w := payment.RefundFilter{Order: in.OrderID.Or(0), TradeNo: in.TradeNo, Statuses: in.RefundStatus, Approvals: in.Approval}
	w.From, w.To = span(a, in.StartTime, in.EndTime)
	found, err := p.Read.RefundPage(ctx, scope, w, page)
	return pageOf(found, refundJSON), err
}

func (p Payments) get(ctx context.Context, a *evcs.Actor, in *struct {
	PaymentID evcs.PaymentID `path:"paymentId"`
},
) (*api.PaymentDetail, error) {
	x, err := p.Read.PaymentIn(ctx, evcs.Subtree(a.Tenant), in.PaymentID)
	if err != nil {
		return nil, err
	}
	if err := readable(ctx, a, x.Tenant); err != nil {
		return nil, err
	}
	refunds, err := p.Read.Refunds(ctx, evcs.Only(x.Tenant), x.ID)
	if err != nil {
		return nil, err
	}
	events, err := p.Read.PaymentEvents(ctx, evcs.Only(x.Tenant), x.ID)
	return &api.PaymentDetail{
		Payment: paymentJSON(x), Refunds: listOf(refunds, refundJSON), Events: listOf(events, func(e payment.Event) api.PaymentEvent {
			return api.PaymentEvent{Time: api.At(e.At), Event: e.Event, Source: e.Source, Detail: textOrNil(e.Detail)}
		}),
	}, err
}

func (p Payments) query(ctx context.Context, a *evcs.Actor, in *struct {
	tradePath
	Refresh string `query:"refresh" enum:"auto,never,always" doc:"auto when absent"`
},
) (*api.QueriedPayment, error) {
	refresh := in.Refresh
	if refresh == "" {
		refresh = "auto"
	}
	x, checked, err := p.Till.Query(ctx, a, in.TradeNo, refresh)
	if err != nil {
		return nil, err
	}
	return &api.QueriedPayment{Payment: paymentJSON(x), ChannelChecked: checked}, nil
}

func (p Payments) getRefund(ctx context.Context, a *evcs.Actor, in *refundPath) (*api.Refund, error) {
	r, err := p.Till.QueryRefund(ctx, a, in.RefundNo)
	if err != nil {
		return nil, err
	}
	return api.Ptr(refundJSON(r)), nil
}

func (p Payments) create(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreatePayment }) (*api.Payment, error) {
	b := in.Body
	key, err := requestKey(ctx, b.IdempotentKey)
	if err != nil {
		return nil, err
	}
	description := orZero(b.Description)
	if strings.ContainsAny(description, ",\t`") {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "description", Message: "must not hold a comma, tab or backtick"})
	}
	if b.PaymentMethod == string(payment.MethodWechatJSAPI) && orZero(orZero(b.WechatOptions).OpenID) == "" {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "wechatOptions.openId", Message: "is required"})
	}
	q := cashier.CreateRequest{
		Order: evcs.OrderID(b.OrderID), Amount: evcs.Money(b.Amount), Method: payment.Method(b.PaymentMethod), UserRef: orZero(b.UserID), Key: key,
		Description: description, Expire: time.Duration(orZero(b.ExpireMinutes)) * time.Minute,
	}
	if b.WechatOptions != nil {
		if q.Options, err = json.Marshal(b.WechatOptions); err != nil {
			return nil, err
		}
	}
	x, err := p.Till.Create(ctx, a, q)
	if err != nil {
		return nil, err
	}
	return api.Ptr(paymentJSON(x)), nil
}

// requestKey is the caller's idempotency key, from the header or the body.
func requestKey(ctx context.Context, body *string) (string, error) {
	header := exchangeOf(ctx).r.Header.Get("Idempotency-Key")
	if body != nil && header != "" && *body != header {
		return "", evcs.Invalid(evcs.FieldFault{Field: "idempotentKey", Message: "differs from the Idempotency-Key header"})
	}
	if body != nil {
		return *body, nil
	}
	return header, nil
}

func (p Payments) refund(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateRefund }) (*api.Refund, error) {
	b := in.Body
	given := 0
	for _, set := range []bool{b.PaymentID != nil, b.TradeNo != nil, b.OrderID != nil} {
		if set {
			given++
		}
	}
	if given != 1 {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "paymentId", Message: "tradeNo or orderId: exactly one is required"})
	}
	key, err := requestKey(ctx, b.IdempotentKey)
	if err != nil {
		return nil, err
	}
	r, err := p.Till.Refund(ctx, a, cashier.RefundRequest{
		Payment: evcs.PaymentID(orZero(b.PaymentID)), TradeNo: orZero(b.TradeNo), Order: evcs.OrderID(orZero(b.OrderID)),
		Amount: evcs.Money(b.RefundAmount), Reason: b.RefundReason, Key: key,
	})
	if err != nil {
		return nil, err
	}
	return api.Ptr(refundJSON(r)), nil
}

func (p Payments) approve(ctx context.Context, a *evcs.Actor, in *struct {
	refundPath
	Body *api.ApproveRefund
},
) (*api.Refund, error) {
	r, err := cashier.Review{Till: p.Till}.Approve(ctx, a, in.RefundNo, orZero(orZero(in.Body).Note))
	if err != nil {
		return nil, err
	}
	return api.Ptr(refundJSON(r)), nil
}

func (p Payments) reject(ctx context.Context, a *evcs.Actor, in *struct {
	refundPath
	Body api.RejectRefund
},
) (*api.Refund, error) {
	r, err := cashier.Review{Till: p.Till}.Reject(ctx, a, in.RefundNo, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return api.Ptr(refundJSON(r)), nil
}

func (p Payments) close(ctx context.Context, a *evcs.Actor, in *tradePath) (*api.Payment, error) {
	x, err := p.Till.Close(ctx, a, in.TradeNo)
	if err != nil {
		return nil, err
	}
	return api.Ptr(paymentJSON(x)), nil
}

func (p Payments) paySandbox(ctx context.Context, a *evcs.Actor, in *struct {
	tradePath
	Body *api.SandboxPay
},
) (*api.Payment, error) {
	x, _, err := p.Till.Query(ctx, a, in.TradeNo, "never")
	if err != nil {
		return nil, err
	}
	if err := writable(a, x.Tenant); err != nil {
		return nil, err
	}
	if p.Payer == nil || x.Channel != payment.ChannelSandbox {
		return nil, evcs.With(payment.ErrNotConfigured, map[string]any{"channel": payment.ChannelSandbox})
	}
	b := orZero(in.Body)
	outcome := orZero(b.Outcome)
	if outcome == "" {
		outcome = "SUCCESS"
	}
	if err := p.Payer.Pay(ctx, x, outcome, time.Duration(orZero(b.DelaySeconds))*time.Second); err != nil {
		return nil, err
	}
	if x, _, err = p.Till.Query(ctx, a, in.TradeNo, "never"); err != nil {
		return nil, err
	}
	return api.Ptr(paymentJSON(x)), nil
}

// registerMarks declares the operations that move an order by money (§7.3).
func (p Payments) registerMarks(s *Server) {
	op := func(id, path string, summary string, errors ...evcs.Code) operation {
		return operation{
			ID: id, Method: http.MethodPost, Path: "/api/order/{orderId}/" + path, Group: "order", Permission: "order:settle", Summary: summary,
			Errors: append(errors, evcs.CodeOrderNotFound, evcs.CodeOrderTransition),
		}
	}
	register(s, op("markPaid", "paid", "The order was paid outside of every channel", evcs.CodeOrderHasPayment, evcs.CodeAmountMismatch), p.paid)
	refunding := op("refundOrder", "refunding", "Give money of an order back", evcs.CodeRefundExceeds, evcs.CodePaymentState, evcs.CodePaymentNotFound)
	refunding.Description = "The same as a refund of its payment; needs payment:refund as well."
	register(s, refunding, p.refunding)
	register(s, op("markRefunded", "refunded", "Confirm a pay-out, or ask the channel for it", evcs.CodePaymentTimeout), p.refunded)
	register(s, operation{
		ID: "orderPaymentCallback", Method: http.MethodPost, Path: "/api/order/payment/callback", Group: "order", Access: internalOnly,
		Summary: "A hint that a payment has changed; the daemon looks for itself", Errors: []evcs.Code{evcs.CodePaymentNotFound},
	}, p.hint)
}

func (p Payments) paid(ctx context.Context, a *evcs.Actor, in *struct {
	orderPath
	Body *api.MarkPaid
},
) (*api.Order, error) {
	b := orZero(in.Body)
	q := cashier.PaidRequest{Order: in.OrderID, Amount: (*evcs.Money)(b.Amount), Method: orZero(b.Method), Reference: orZero(b.Reference)}
	if q.Method == "" {
		q.Method = "OTHER"
	}
	if b.PaidTime != nil {
		q.PaidAt = b.PaidTime.In(a.Zone)
	}
	if _, err := p.Till.MarkPaid(ctx, a, q); err != nil {
		return nil, err
	}
	return p.Orders.whole(ctx, a, in.OrderID)
}

func (p Payments) refunding(ctx context.Context, a *evcs.Actor, in *struct {
	orderPath
	Body api.RefundOrder
},
) (*api.Order, error) {
	if !a.May("payment:refund") {
		return nil, evcs.With(errForbidden, map[string]any{"permission": "payment:refund"})
	}
	o, err := p.Orders.change(ctx, a, in.OrderID)
	if err != nil {
		return nil, err
	}
	if o.Status != order.Paid {
		_, err := order.Refunds{Order: o}.Begin(1, o.UpdatedAt)
		return nil, err
	}
	key, err := requestKey(ctx, nil)
	if err != nil {
		return nil, err
	}
	if _, err := p.Till.Refund(ctx, a, cashier.RefundRequest{Order: in.OrderID, Amount: evcs.Money(orZero(in.Body.Amount)), Reason: in.Body.Reason, Key: key}); err != nil {
		return nil, err
	}
	return p.Orders.whole(ctx, a, in.OrderID)
}

func (p Payments) refunded(ctx context.Context, a *evcs.Actor, in *struct {
	orderPath
	Body *api.ConfirmRefund
},
) (*api.Order, error) {
	if _, err := p.Till.MarkRefunded(ctx, a, in.OrderID, orZero(orZero(in.Body).Reference)); err != nil {
		return nil, err
	}
	return p.Orders.whole(ctx, a, in.OrderID)
}

func (p Payments) hint(ctx context.Context, _ *evcs.Actor, in *struct{ Body api.OrderCallback }) (*api.OrderCallbackResult, error) {
	b := in.Body
	number := orZero(b.TradeID)
	switch {
	case number == "":
		number = orZero(b.TradeNo)
	case b.TradeNo != nil && *b.TradeNo != number:
		return nil, evcs.Invalid(evcs.FieldFault{Field: "tradeNo", Message: "differs from tradeId"})
	}
	if number == "" {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "tradeId", Message: "is required"})
	}
	o, applied, err := p.Till.Confirm(ctx, number)
	if err != nil {
		return nil, err
	}
	return &api.OrderCallbackResult{OrderID: int64(o.ID), OrderNo: o.No, Status: int(o.Status), Applied: applied}, nil
}
