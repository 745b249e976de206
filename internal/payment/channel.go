package payment

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/evcs/evcs/internal/evcs"
)

// MerchantID names a merchant account.
type MerchantID int64

// Merchant is a tenant's account at a channel.
type Merchant struct {
	ID            MerchantID
	Tenant        evcs.TenantID
	Channel       string
	Name          string
	Mode          string // LIVE or SANDBOX
	Enabled       bool
	Config        string // the channel's own JSON, no secrets
	Sealed        string // the secrets, encrypted
	CallbackToken string // selects this account on the callback path
	FeeRate       evcs.UnitPrice
	CreatedAt     time.Time
	UpdatedAt     time.Time
	DeletedAt     time.Time
	Version       int64
	// Secrets are the opened secrets; they are in memory only.
	Secrets []byte
}

// CallbackURL is the address that the channel notifies about this account, under
// the public address of the daemon; "" when there is none: nobody outside can
// call back then, and payments are settled by asking.
func (m Merchant) CallbackURL(base string) string {
	if base == "" || m.CallbackToken == "" {
		return ""
	}
	return strings.TrimRight(base, "/") + "/api/payment/callback/" + m.Channel + "/" + m.CallbackToken
}

// FeeOn is the channel's fee on an amount: amount × rate, half up.
func (m Merchant) FeeOn(amount evcs.Money) evcs.Money {
	const unit = 100_000
	return evcs.Money((int64(amount)*int64(m.FeeRate) + unit/2) / unit)
}

// Channel is what a payment channel can be asked. Each call names the account
// it runs over. An error is one of: ErrRefused (definitely not done; facts
// channelCode, channelMessage), ErrUnknownOutcome (ask again), ErrSignature,
// ErrNotReady; anything else counts as an unknown outcome.
type Channel interface {
	// Create makes the trade known to the channel. Repeating it with the same
	// number is harmless.
	Create(ctx context.Context, m Merchant, r CreateRequest) (Offer, error)
	// Query asks what became of a trade.
	Query(ctx context.Context, m Merchant, tradeNo string) (Trade, error)
	// Close ends an unpaid trade and answers what it then is: closed, or paid.
	Close(ctx context.Context, m Merchant, tradeNo string) (Trade, error)
	// Refund gives money back. The same number refunds once.
	Refund(ctx context.Context, m Merchant, r RefundRequest) (RefundAnswer, error)
	// QueryRefund asks what became of a refund.
	QueryRefund(ctx context.Context, m Merchant, tradeNo, refundNo string) (RefundAnswer, error)
	// Account is what a notification says about whose it is: a hint that proves
	// nothing, "" when it says nothing.
	Account(n Notice) string
	// Verify checks the signature over the raw bytes with the account's key and
	// reads the notification. What does not verify is ErrSignature; a signature
	// that the channel spoilt on purpose, to see that it is refused, is ErrProbe.
	// ErrUnknownOutcome: it cannot be told now, the channel is to repeat it.
	Verify(ctx context.Context, m Merchant, n Notice) (Notification, error)
	// Reply is the channel's own way to be answered.
	Reply(v Verdict) Reply
	// Fetch gets the statement of a day, "2026-02-09" in Asia/Shanghai; ErrNotReady
	// when there is none yet.
	Fetch(ctx context.Context, m Merchant, day string) (Statement, error)
	// Read reads a statement row by row and hands each to row. It verifies the
	// footer. An error is a failure of reading or of row; what is wrong with the
	// statement is listed in the summary.
	Read(ctx context.Context, m Merchant, day string, r io.Reader, row func(Row) error) (Summary, error)
}

// Checker is a Channel that can try an account out: a question that is signed
// with the account's key and whose answer is signed by the channel.
type Checker interface {
	// Check tries what only the channel can tell. A check that fails is told; the
	// error says that nobody answered (ErrUnknownOutcome).
	Check(ctx context.Context, m Merchant) ([]Check, error)
}

// Check is one thing that was tried of an account.
type Check struct {
	Name    string // KEYS_PARSE, KEYS_DIFFER, CHANNEL_ANSWERS, …
	OK      bool
	Message evcs.Detail // says nothing of a secret
}

// CreateRequest describes a trade to a channel.
type CreateRequest struct {
	TradeNo     string
	Method      Method
	Amount      evcs.Money
	Description string
	ExpireAt    time.Time
	Options     json.RawMessage // wechatOptions
	// NotifyURL is Merchant.CallbackURL; refunds are notified there too, under
	// /refund or the same address.
	NotifyURL string
}

// Offer is what the payer's device needs to pay.
type Offer struct {
	Params json.RawMessage
	URL    string
}

// TradeState is a trade as the channel sees it.
type TradeState string

// The states of a trade at a channel.
const (
	TradeUnknown TradeState = "UNKNOWN" // the channel does not know the number
	TradeWaiting TradeState = "WAITING"
	TradePaid    TradeState = "PAID"
	TradeFailed  TradeState = "FAILED"
	TradeClosed  TradeState = "CLOSED"
)

// Trade is the channel's answer about a payment.
type Trade struct {
	State          TradeState
	ChannelTradeNo string
	Amount         evcs.Money // when paid
	PaidAt         time.Time
	Code, Message  string // of a failure
}

// RefundRequest describes a refund to a channel.
type RefundRequest struct {
	TradeNo, RefundNo string
	Total, Amount     evcs.Money
	Reason            string
}

// RefundAnswer is the channel's answer about a refund.
type RefundAnswer struct {
	State           RefundStatus
	ChannelRefundNo string
	Amount          evcs.Money
	AcceptedAt      time.Time
	Code, Message   string
}

// Notice is a callback as it came: nothing in it is believed before Verify.
type Notice struct {
	Header http.Header
	Body   []byte
}

// Notification is a verified callback.
type Notification struct {
	EventID  string
	TradeNo  string
	RefundNo string // of a refund event
	// Account is the merchant the message names, "" when it names none.
	Account string
	// Foreign is what a rightly signed message names that is not the account's
	// own: "merchant", "application" or "currency"; "" when all of it is. Verify
	// tells it and does not refuse: the message is kept and rejected.
	Foreign string
	Trade   Trade
	Refund  RefundAnswer
	// AskRefund says that the message only hints at a refund's end: the channel
	// is asked.
	AskRefund bool
}

// Verdict is what became of a callback.
type Verdict int

// The verdicts.
const (
	VerdictDone Verdict = iota
	VerdictForged
	VerdictRejected
	VerdictUnavailable
)

// String is the verdict as the inbox keeps it.
func (v Verdict) String() string {
	return [...]string{"DONE", "FORGED", "REJECTED", "UNAVAILABLE"}[v]
}

// Reply is the answer to a callback on the wire.
type Reply struct {
	Status      int
	ContentType string
	Body        string
}

// Statement is a channel's file of a day.
type Statement struct {
	Body []byte
	// File is the content instead of Body when it is large; the caller closes it.
	File io.ReadCloser
	// SHA256 is what the channel declares, hexadecimal; "" when it declares none.
	SHA256 string
}

// Direction of a statement row.
type Direction string

// The directions.
const (
	Pay        Direction = "PAY"
	RefundBack Direction = "REFUND"
)

// Row is one line of a statement.
type Row struct {
	Line      int
	Direction Direction
	TradeNo   string // ours
	RefundNo  string // ours, of a refund
	ChannelNo string
	Amount    evcs.Money
	// Settled is what the channel owes us for it before its fee, or takes back:
	// Amount without what the merchant himself granted.
	Settled   evcs.Money
	Fee       evcs.Money // negative when it is given back
	Succeeded bool
	Status    string // the channel's word
	At        time.Time
	Raw       string
	// GBK says that Raw is GB18030, see Text.
	GBK bool
}

// Text is the line as it came, in UTF-8.
func (r *Row) Text() string { return utf8Of(r.Raw, r.GBK) }

func utf8Of(raw string, gbk bool) string {
	if gbk {
		if text, err := simplifiedchinese.GB18030.NewDecoder().String(raw); err == nil {
			return text
		}
	}
	return strings.ToValidUTF8(raw, "�")
}

// Summary is what reading a statement found.
type Summary struct {
	Rows                            int
	PayTotal, RefundTotal, FeeTotal evcs.Money
	Problems                        []Problem
	// Ignored counts lines that are neither payment nor refund by the channel's
	// word for them.
	Ignored map[string]int
}

// Problem is one thing wrong with a statement.
type Problem struct {
	Line    int
	Message string
}

// Refusal answers a callback of a channel that has no account here at all, in
// the channel's own form.
func Refusal(channel string) Reply {
	if channel == ChannelWechat {
		return Reply{Status: http.StatusUnauthorized, ContentType: "application/json", Body: `{"code":"FAIL","message":"signature verification failed"}`}
	}
	return Reply{Status: http.StatusBadRequest, ContentType: "text/plain; charset=utf-8", Body: "failure"}
}

// StatementZone is the zone of the days of statements: China's, which has no
// daylight saving.
func StatementZone() *time.Location { return time.FixedZone("Asia/Shanghai", 8*60*60) }

// StatementDay is the first moment of a day, "2026-02-09", and of the next, in the
// zone of statements.
func StatementDay(day string) (from, to time.Time, err error) {
	from, err = time.ParseInLocation(time.DateOnly, day, StatementZone())
	if err != nil {
		return from, to, fmt.Errorf("the day of a statement: %w", err)
	}
	return from, from.AddDate(0, 0, 1), nil
}
