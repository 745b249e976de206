// Package payment holds payments and refunds: their states, their numbers, the
// merchant accounts they run over, the port a channel implements and the inbox
// of what channels notify. It believes nothing a channel did not sign. Its one
// invariant: a payment's state never goes back, and no more is ever returned
// than was paid.
package payment

import (
	"encoding/json"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Status is a state of a payment, contract §9.1.
type Status int

// The states of a payment.
const (
	Pending           Status = 0
	Processing        Status = 1
	Success           Status = 2
	Failed            Status = 3
	Refunding         Status = 4
	Refunded          Status = 5
	PartiallyRefunded Status = 6
	Closed            Status = 7
)

// String is the contract's name of the state.
func (s Status) String() string {
	switch s {
	case Pending:
		return "PENDING"
	case Processing:
		return "PROCESSING"
	case Success:
		return "SUCCESS"
	case Failed:
		return "FAILED"
	case Refunding:
		return "REFUNDING"
	case Refunded:
		return "REFUNDED"
	case PartiallyRefunded:
		return "PARTIALLY_REFUNDED"
	case Closed:
		return "CLOSED"
	}
	return "UNKNOWN"
}

// Live reports whether the payer may still pay.
func (s Status) Live() bool { return s == Pending || s == Processing }

// Paid reports whether the channel has had the money, whatever became of it.
func (s Status) Paid() bool {
	return s == Success || s == Refunding || s == Refunded || s == PartiallyRefunded
}

// The channels.
const (
	ChannelAlipay  = "alipay"
	ChannelWechat  = "wechat"
	ChannelSandbox = "sandbox"
	ChannelOffline = "offline"
)

// Method is how the payer pays.
type Method string

// The methods.
const (
	MethodAlipayApp    Method = "ALIPAY_APP"
	MethodAlipayQR     Method = "ALIPAY_QR"
	MethodWechatJSAPI  Method = "WECHAT_JSAPI"
	MethodWechatNative Method = "WECHAT_NATIVE"
	MethodSandbox      Method = "SANDBOX"
	MethodOffline      Method = "OFFLINE"
)

// Channel is the channel a method runs over, "" for an unknown one.
func (m Method) Channel() string {
	switch m {
	case MethodAlipayApp, MethodAlipayQR:
		return ChannelAlipay
	case MethodWechatJSAPI, MethodWechatNative:
		return ChannelWechat
	case MethodSandbox:
		return ChannelSandbox
	case MethodOffline:
		return ChannelOffline
	}
	return ""
}

// Payment is one attempt to pay an order.
type Payment struct {
	ID             evcs.PaymentID
	Tenant         evcs.TenantID
	Order          evcs.OrderID
	OrderNo        string
	UserRef        int64 // the driver in the integrator's numbering; 0: none
	TradeNo        string
	ChannelTradeNo string
	Method         Method
	Channel        string
	Amount         evcs.Money
	Status         Status
	PayParams      json.RawMessage // nil: none
	PayURL         string
	Description    string
	ExpireAt       time.Time
	PaidAt         time.Time // the channel's success time
	Refunded       evcs.Money
	Refunding      evcs.Money // in flight
	Fee            *evcs.Money
	Sandbox        bool
	// Settles says that this payment settled its order; of all payments of an
	// order at most one does.
	Settles        bool
	FailureCode    string
	FailureMessage string
	Merchant       MerchantID
	RequestKey     string // the caller's idempotency key, kept for ever
	LastQueryAt    time.Time
	NextQueryAt    time.Time // when the daemon asks the channel; zero: never
	Queries        int
	CreatedAt      time.Time
	UpdatedAt      time.Time
	Version        int64
}

// The rules of payments and refunds.
var (
	ErrNotFound       = evcs.NewError(evcs.CodePaymentNotFound, "no such payment")
	ErrState          = evcs.NewError(evcs.CodePaymentState, "the payment's state does not allow this")
	ErrAmount         = evcs.NewError(evcs.CodeAmountMismatch, "the amount is not the order's")
	ErrExceeds        = evcs.NewError(evcs.CodeRefundExceeds, "more than is left cannot be refunded")
	ErrAlreadyPaid    = evcs.NewError(evcs.CodeAlreadyPaid, "the order is paid")
	ErrRefused        = evcs.NewError(evcs.CodePaymentFailed, "the channel refused")
	ErrUnknownOutcome = evcs.NewError(evcs.CodePaymentTimeout, "the channel's outcome is not known")
	ErrNotConfigured  = evcs.NewError(evcs.CodeChannelNotConfigured, "the tenant has no account at the channel")
	ErrSignature      = evcs.NewError(evcs.CodeBadSignature, "the callback's signature does not verify")
	ErrProbe          = evcs.NewError(evcs.CodeBadSignature, "the channel tries whether a bad signature is refused")
	ErrRefundNotFound = evcs.NewError(evcs.CodeRefundNotFound, "no such refund")
	ErrNotReady       = evcs.NewError(evcs.CodeStatementNotReady, "the channel has no statement for the day yet")
	ErrNoMerchant     = evcs.NewError(evcs.CodeMerchantNotFound, "no such merchant account")
	ErrMerchantExists = evcs.NewError(evcs.CodeMerchantExists, "the channel already has an enabled merchant account")
	ErrMerchantInUse  = evcs.NewError(evcs.CodePaymentState, "the merchant account has payments or refunds that are not final")
	ErrChecker        = evcs.NewError(evcs.CodeCheckerRequired, "who asked for the refund cannot decide about it")
)

func (p *Payment) refuse() error {
	return evcs.With(ErrState, map[string]any{"tradeNo": p.TradeNo, "currentStatus": int(p.Status)})
}

// Offered takes the channel's answer to the creation: what the payer's device
// needs. On a payment that went on meanwhile it only fills in the parameters.
func (p *Payment) Offered(o Offer, at time.Time) {
	p.PayParams, p.PayURL = o.Params, o.URL
	if p.Status == Processing {
		p.Status = Pending
	}
	p.UpdatedAt = at
}

// Fail records that the channel refused for good. It reports whether that
// changed anything; a payment that was paid or closed is not lowered.
func (p *Payment) Fail(code, message string, at time.Time) bool {
	if !p.Status.Live() {
		return false
	}
	p.Status, p.FailureCode, p.FailureMessage = Failed, code, message
	p.UpdatedAt, p.NextQueryAt = at, time.Time{}
	return true
}

// Succeed records that the channel has the money, also for a payment that had
// failed or was closed: money that came is never ignored. It reports whether
// that was news.
func (p *Payment) Succeed(channelTradeNo string, paidAt, at time.Time) bool {
	if p.Status.Paid() {
		return false
	}
	p.Status, p.ChannelTradeNo, p.PaidAt = Success, channelTradeNo, paidAt
	p.FailureCode, p.FailureMessage = "", ""
	p.UpdatedAt, p.NextQueryAt = at, time.Time{}
	return true
}

// Close ends a payment that nobody paid. Closing again changes nothing; a
// payment that was paid or refused cannot be closed (4007).
func (p *Payment) Close(at time.Time) (bool, error) {
	switch {
	case p.Status == Closed:
		return false, nil
	case !p.Status.Live():
		return false, p.refuse()
	}
	p.Status, p.UpdatedAt = Closed, at
	return true, nil
}

// Refundable is what is left to give back.
func (p *Payment) Refundable() evcs.Money {
	if !p.Status.Paid() {
		return 0
	}
	return p.Amount - p.Refunded - p.Refunding
}

// BeginRefund reserves an amount for a refund: only of money that is there
// (4005), and one refund at a time (4007).
func (p *Payment) BeginRefund(amount evcs.Money, at time.Time) error {
	if p.Status != Success && p.Status != PartiallyRefunded {
		return p.refuse()
	}
	if amount <= 0 || amount > p.Refundable() {
		return evcs.WithDetail(ErrExceeds,
			evcs.Detail{ZH: "可退 " + p.Refundable().String(), EN: p.Refundable().String() + " is left"},
			map[string]any{"refundable": p.Refundable(), "given": amount})
	}
	p.Status, p.Refunding, p.UpdatedAt = Refunding, amount, at
	return nil
}

// RefundDone takes the refund in flight as paid out.
func (p *Payment) RefundDone(at time.Time) error {
	if p.Status != Refunding {
		return p.refuse()
	}
	p.Refunded += p.Refunding
	p.Refunding = 0
	p.Status, p.UpdatedAt = PartiallyRefunded, at
	if p.Refunded == p.Amount {
		p.Status = Refunded
	}
	return nil
}

// RefundUndone takes the refund in flight as refused: the money stayed.
func (p *Payment) RefundUndone(at time.Time) error {
	if p.Status != Refunding {
		return p.refuse()
	}
	p.Refunding = 0
	p.Status, p.UpdatedAt = Success, at
	if p.Refunded > 0 {
		p.Status = PartiallyRefunded
	}
	return nil
}

// schedule is when the daemon asks the channel by itself, after the creation.
var schedule = [...]time.Duration{5 * time.Second, 30 * time.Second, time.Minute, 3 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute}

// NextQuery is when the daemon asks after a thing created at created that it
// asked queries times, then hourly until last; zero when it is enough.
func NextQuery(created time.Time, queries int, now, last time.Time) time.Time {
	next := now.Add(time.Hour)
	if queries < len(schedule) {
		next = created.Add(schedule[queries])
		if next.Before(now) {
			next = now.Add(schedule[0])
		}
	}
	if next.After(last) {
		return time.Time{}
	}
	return next
}

// Plan sets when the channel is asked next; at the latest at its expiry while
// the payer may still pay, and no more a day after that.
func (p *Payment) Plan(now time.Time) {
	p.NextQueryAt = NextQuery(p.CreatedAt, p.Queries, now, p.ExpireAt.Add(24*time.Hour))
	if p.Status.Live() && p.ExpireAt.After(now) && (p.NextQueryAt.IsZero() || p.NextQueryAt.After(p.ExpireAt)) {
		p.NextQueryAt = p.ExpireAt
	}
	if p.Status.Paid() || p.Status == Failed {
		p.NextQueryAt = time.Time{}
	}
}

// Event is one line of a payment's history.
type Event struct {
	Payment evcs.PaymentID
	At      time.Time
	Event   string // CREATED, OFFERED, REFUSED, PAID, CLOSED, REFUND_BEGUN, …
	Source  string // api, callback, query, system
	Detail  string
}
