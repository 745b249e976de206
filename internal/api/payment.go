package api

import "encoding/json"

// The states of a payment and of a refund.
const (
	PaymentPending           = 0
	PaymentProcessing        = 1
	PaymentSuccess           = 2
	PaymentFailed            = 3
	PaymentRefunding         = 4
	PaymentRefunded          = 5
	PaymentPartiallyRefunded = 6
	PaymentClosed            = 7

	RefundProcessing = 1
	RefundSuccess    = 2
	RefundFailed     = 3
)

// Payment is one attempt to collect money for an order.
type Payment struct {
	PaymentID        int64           `json:"paymentId"`
	TenantID         int64           `json:"tenantId"`
	OrderID          int64           `json:"orderId"`
	OrderNo          string          `json:"orderNo"`
	UserID           *int64          `json:"userId"`
	TradeNo          string          `json:"tradeNo"`
	ChannelTradeNo   *string         `json:"channelTradeNo"`
	PaymentMethod    string          `json:"paymentMethod" enum:"ALIPAY_APP,ALIPAY_QR,WECHAT_JSAPI,WECHAT_NATIVE,SANDBOX,OFFLINE"`
	Channel          string          `json:"channel" enum:"alipay,wechat,sandbox,offline"`
	Amount           Money           `json:"amount"`
	Status           int             `json:"status" doc:"0 pending, 1 processing, 2 success, 3 failed, 4 refunding, 5 refunded, 6 partially refunded, 7 closed"`
	StatusName       string          `json:"statusName" enum:"PENDING,PROCESSING,SUCCESS,FAILED,REFUNDING,REFUNDED,PARTIALLY_REFUNDED,CLOSED"`
	PayParams        json.RawMessage `json:"payParams"`
	PayURL           *string         `json:"payUrl"`
	Description      *string         `json:"description"`
	ExpireTime       *Time           `json:"expireTime"`
	PaidTime         *Time           `json:"paidTime"`
	RefundedAmount   Money           `json:"refundedAmount"`
	RefundableAmount Money           `json:"refundableAmount"`
	Fee              *Money          `json:"fee"`
	Sandbox          bool            `json:"sandbox"`
	FailureCode      *string         `json:"failureCode"`
	FailureMessage   *string         `json:"failureMessage"`
	MerchantID       *int64          `json:"merchantId"`
	LastQueryTime    *Time           `json:"lastQueryTime"`
	CreateTime       Time            `json:"createTime"`
	UpdateTime       Time            `json:"updateTime"`
	Version          int64           `json:"version"`
}

// QueriedPayment is the answer to the query; ChannelChecked tells whether the
// channel was asked and answered.
type QueriedPayment struct {
	Payment
	ChannelChecked bool `json:"channelChecked"`
}

// PaymentDetail is a payment with its refunds and events.
type PaymentDetail struct {
	Payment
	Refunds []Refund       `json:"refunds"`
	Events  []PaymentEvent `json:"events"`
}

// PaymentEvent is one thing that happened to a payment.
type PaymentEvent struct {
	Time   Time    `json:"time"`
	Event  string  `json:"event"`
	Source string  `json:"source"`
	Detail *string `json:"detail"`
}

// CreatePayment is the body of POST /api/payment/create.
type CreatePayment struct {
	OrderID       int64          `json:"orderId" minimum:"1"`
	Amount        Money          `json:"amount" exclusiveMinimum:"0" doc:"Must equal payableAmount"`
	PaymentMethod string         `json:"paymentMethod" enum:"ALIPAY_APP,ALIPAY_QR,WECHAT_JSAPI,WECHAT_NATIVE,SANDBOX"`
	UserID        *int64         `json:"userId,omitempty" minimum:"1"`
	IdempotentKey *string        `json:"idempotentKey,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
	Description   *string        `json:"description,omitempty" maxLength:"127"`
	ExpireMinutes *int           `json:"expireMinutes,omitempty" minimum:"1" maximum:"1440"`
	WechatOptions *WechatOptions `json:"wechatOptions,omitempty"`
}

// WechatOptions are what only WeChat wants to know.
type WechatOptions struct {
	AppID         *string `json:"appId,omitempty" maxLength:"32"`
	OpenID        *string `json:"openId,omitempty" maxLength:"128"`
	PayerClientIP *string `json:"payerClientIp,omitempty" maxLength:"45"`
	Attach        *string `json:"attach,omitempty" maxLength:"128"`
	GoodsTag      *string `json:"goodsTag,omitempty" maxLength:"32"`
}

// SandboxPay is the body of POST /api/payment/sandbox/{tradeNo}/pay.
type SandboxPay struct {
	Outcome      *string `json:"outcome,omitempty" enum:"SUCCESS,FAIL,WRONG_AMOUNT,DUPLICATE_NOTIFY,LATE"`
	DelaySeconds *int    `json:"delaySeconds,omitempty" minimum:"0" maximum:"3600"`
}

// CreateRefund is the body of POST /api/payment/refund: exactly one of
// PaymentID, TradeNo and OrderID.
type CreateRefund struct {
	PaymentID     *int64  `json:"paymentId,omitempty" minimum:"1"`
	TradeNo       *string `json:"tradeNo,omitempty" maxLength:"64"`
	OrderID       *int64  `json:"orderId,omitempty" minimum:"1"`
	RefundAmount  Money   `json:"refundAmount" exclusiveMinimum:"0"`
	RefundReason  string  `json:"refundReason" minLength:"1" maxLength:"80"`
	IdempotentKey *string `json:"idempotentKey,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9_-]+$"`
}

// Refund is money going back to the payer of a payment.
type Refund struct {
	RefundID        int64   `json:"refundId"`
	RefundNo        string  `json:"refundNo"`
	PaymentID       int64   `json:"paymentId"`
	TradeNo         string  `json:"tradeNo"`
	OrderID         int64   `json:"orderId"`
	RefundAmount    Money   `json:"refundAmount"`
	RefundStatus    int     `json:"refundStatus" doc:"1 processing, 2 success, 3 failed"`
	StatusName      string  `json:"statusName" enum:"PROCESSING,SUCCESS,FAILED"`
	RefundReason    string  `json:"refundReason"`
	ChannelRefundNo *string `json:"channelRefundNo"`
	Automatic       *string `json:"automatic" enum:"DUPLICATE_PAYMENT,LATE_PAYMENT"`
	FailureCode     *string `json:"failureCode"`
	FailureMessage  *string `json:"failureMessage"`
	RequestedBy     *string `json:"requestedBy" doc:"Who asked: a user name, or system"`
	Approval        *string `json:"approval" enum:"PENDING,APPROVED,REJECTED" doc:"Of a refund that needs a second person; null: it needs none"`
	DecidedBy       *string `json:"decidedBy" doc:"The second person"`
	DecidedTime     *Time   `json:"decidedTime"`
	DecisionNote    *string `json:"decisionNote"`
	CreateTime      Time    `json:"createTime"`
	SuccessTime     *Time   `json:"successTime"`
}
