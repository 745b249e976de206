// Package sandboxpay is the explicit sandbox channel: a pretended bank with
// books of its own, which knows only what a real one would. It needs no
// network, is told how to behave trade by trade, signs what it notifies and
// makes a statement out of its books, with faults on request. Its one
// invariant: its money is never anything but sandbox money.
package sandboxpay

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// Outcome is how a trade is told to behave when it is paid.
type Outcome string

// The outcomes.
const (
	// Succeed pays and notifies.
	Succeed Outcome = "SUCCESS"
	// Fail refuses the payer for good and notifies.
	Fail Outcome = "FAIL"
	// WrongAmount notifies, rightly signed, another amount; nothing is paid.
	WrongAmount Outcome = "WRONG_AMOUNT"
	// DuplicateNotify pays and notifies three times, the last under another
	// event id.
	DuplicateNotify Outcome = "DUPLICATE_NOTIFY"
	// Late pays after the trade was closed.
	Late Outcome = "LATE"
)

// Valid reports whether o is an outcome.
func (o Outcome) Valid() bool {
	switch o {
	case Succeed, Fail, WrongAmount, DuplicateNotify, Late:
		return true
	}
	return false
}

// Bank is the pretended bank. It implements payment.Channel.
type Bank struct {
	// Transact opens the bank's own books.
	Transact func(ctx context.Context, fn func(payment.SandboxBooks) error) error
	Clock    evcs.Clock
}

// Create implements payment.Channel.
func (b *Bank) Create(ctx context.Context, m payment.Merchant, r payment.CreateRequest) (payment.Offer, error) {
	err := b.Transact(ctx, func(books payment.SandboxBooks) error {
		scope := evcs.Only(m.Tenant)
		known, err := books.Trade(ctx, scope, r.TradeNo)
		if err == nil {
			if known.Amount != r.Amount {
				return refuse("CONTEXT_INCONSISTENT", "the number was used for another amount")
			}
			return nil
		}
		if !errors.Is(err, payment.ErrNotFound) {
			return err
		}
		return books.InsertTrade(ctx, scope, &payment.SandboxTrade{
			Number: r.TradeNo, Tenant: m.Tenant, ChannelNo: channelNo(m, r.TradeNo), Amount: r.Amount, State: payment.TradeWaiting, CreatedAt: b.Clock.Now(),
		})
	})
	return payment.Offer{Params: json.RawMessage(`{"instruction":"POST /api/payment/sandbox/` + r.TradeNo + `/pay"}`)}, err
}

func refuse(code, message string) error {
	return evcs.With(payment.ErrRefused, map[string]any{"channelCode": code, "channelMessage": message})
}

// channelNo is the bank's own number of a trade, told by its secret.
func channelNo(m payment.Merchant, number string) string {
	mac := hmac.New(sha256.New, m.Secrets)
	mac.Write([]byte("number:" + number))
	return "SB" + hex.EncodeToString(mac.Sum(nil)[:12])
}

func answer(t payment.SandboxTrade) payment.Trade {
	a := payment.Trade{State: t.State, ChannelTradeNo: t.ChannelNo}
	switch t.State {
	case payment.TradePaid:
		a.Amount, a.PaidAt = t.Amount, t.DoneAt
	case payment.TradeFailed:
		a.Code, a.Message = "PAYER_REFUSED", "the payer's bank refused"
	case payment.TradeClosed, payment.TradeWaiting, payment.TradeUnknown:
	}
	return a
}

// Query implements payment.Channel.
func (b *Bank) Query(ctx context.Context, m payment.Merchant, tradeNo string) (payment.Trade, error) {
	t := payment.SandboxTrade{State: payment.TradeUnknown}
	err := b.Transact(ctx, func(books payment.SandboxBooks) error {
		found, err := books.Trade(ctx, evcs.Only(m.Tenant), tradeNo)
		if errors.Is(err, payment.ErrNotFound) {
			return nil
		}
		t = found
		return err
	})
	return answer(t), err
}

// Close implements payment.Channel.
func (b *Bank) Close(ctx context.Context, m payment.Merchant, tradeNo string) (payment.Trade, error) {
	t := payment.SandboxTrade{State: payment.TradeUnknown}
	err := b.Transact(ctx, func(books payment.SandboxBooks) (err error) {
		t, err = books.Trade(ctx, evcs.Only(m.Tenant), tradeNo)
		if errors.Is(err, payment.ErrNotFound) {
			t.State = payment.TradeUnknown
			return nil
		}
		if err != nil || t.State != payment.TradeWaiting {
			return err
		}
		t.State = payment.TradeClosed
		switch now := b.Clock.Now(); {
		case Outcome(t.Outcome) != Late:
			t.NotifyAt = time.Time{}
		case t.NotifyAt.Before(now):
			t.NotifyAt = now // the late payer pays now
		}
		return books.UpdateTrade(ctx, evcs.Only(m.Tenant), &t)
	})
	return answer(t), err
}

// Refund implements payment.Channel: the money goes back at once.
func (b *Bank) Refund(ctx context.Context, m payment.Merchant, r payment.RefundRequest) (payment.RefundAnswer, error) {
	var done payment.SandboxTrade
	err := b.Transact(ctx, func(books payment.SandboxBooks) error {
		scope := evcs.Only(m.Tenant)
		known, err := books.Trade(ctx, scope, r.RefundNo)
		if err == nil {
			if known.Amount != r.Amount || known.Parent != r.TradeNo {
				return refuse("CONTEXT_INCONSISTENT", "the number was used for another refund")
			}
			done = known
			return nil
		}
		if !errors.Is(err, payment.ErrNotFound) {
			return err
		}
		var made bool
		if done, made, err = b.payBack(ctx, books, m, r); err != nil || made {
			return err
		}
		return books.InsertTrade(ctx, scope, &done)
	})
	return refundAnswer(done), err
}

// payBack words a refund that is to be made; made: another call with its number
// has made it since the caller looked.
func (b *Bank) payBack(ctx context.Context, books payment.SandboxBooks, m payment.Merchant, r payment.RefundRequest) (refund payment.SandboxTrade, made bool, err error) {
	scope := evcs.Only(m.Tenant)
	paid, err := books.Trade(ctx, scope, r.TradeNo)
	if errors.Is(err, payment.ErrNotFound) || err == nil && (paid.State != payment.TradePaid || paid.Refund) {
		return paid, false, refuse("TRADE_NOT_PAID", "there is no such paid trade")
	}
	if err != nil {
		return paid, false, err
	}
	// The version of the payment's row serialises refunds of one payment.
	if err := books.UpdateTrade(ctx, scope, &paid); err != nil {
		return paid, false, err
	}
	before, err := books.RefundsOf(ctx, scope, r.TradeNo)
	if err != nil {
		return paid, false, err
	}
	left := paid.Amount
	for _, each := range before {
		if each.Number == r.RefundNo && each.Amount == r.Amount {
			return each, true, nil
		}
		left -= each.Amount
	}
	if r.Amount <= 0 || r.Amount > left {
		return paid, false, refuse("NOT_ENOUGH", "more than was paid cannot be refunded")
	}
	now := b.Clock.Now()
	return payment.SandboxTrade{
		Number: r.RefundNo, Tenant: m.Tenant, Refund: true, Parent: r.TradeNo, ChannelNo: channelNo(m, r.RefundNo), Amount: r.Amount,
		State: payment.TradePaid, DoneAt: now, CreatedAt: now,
	}, false, nil
}

func refundAnswer(t payment.SandboxTrade) payment.RefundAnswer {
	if t.State != payment.TradePaid {
		return payment.RefundAnswer{State: payment.RefundProcessing}
	}
	return payment.RefundAnswer{State: payment.RefundSuccess, ChannelRefundNo: t.ChannelNo, Amount: t.Amount, AcceptedAt: t.DoneAt}
}

// QueryRefund implements payment.Channel.
func (b *Bank) QueryRefund(ctx context.Context, m payment.Merchant, _, refundNo string) (payment.RefundAnswer, error) {
	var t payment.SandboxTrade
	err := b.Transact(ctx, func(books payment.SandboxBooks) (err error) {
		t, err = books.Trade(ctx, evcs.Only(m.Tenant), refundNo)
		if errors.Is(err, payment.ErrNotFound) {
			return nil
		}
		return err
	})
	return refundAnswer(t), err
}

// Pay tells a trade how to behave, from at on: at that moment the payer pays.
// A trade that was paid refuses (4007); a closed one can only be paid late.
func (b *Bank) Pay(ctx context.Context, owner evcs.TenantID, tradeNo string, o Outcome, at time.Time) error {
	return b.Transact(ctx, func(books payment.SandboxBooks) error {
		t, err := books.Trade(ctx, evcs.Only(owner), tradeNo)
		if err != nil {
			return err
		}
		if t.Refund || t.State == payment.TradePaid || t.State != payment.TradeWaiting && o != Late {
			return evcs.With(payment.ErrState, map[string]any{"tradeNo": tradeNo, "currentStatus": string(t.State)})
		}
		t.Outcome, t.NotifyAt, t.Notified = string(o), at, 0
		return books.UpdateTrade(ctx, evcs.Only(owner), &t)
	})
}

// Header of the signature of a notification.
const signatureHeader = "Sandbox-Signature"

// message is a notification's body.
type message struct {
	EventID   string             `json:"eventId"`
	TradeNo   string             `json:"tradeNo"`
	ChannelNo string             `json:"channelTradeNo"`
	State     payment.TradeState `json:"state"`
	Amount    evcs.Money         `json:"amountFen"`
	PaidAt    int64              `json:"paidAt"`
}

func sign(secret, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("notify:"))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Account implements payment.Channel: only the path names the account.
func (*Bank) Account(payment.Notice) string { return "" }

// Verify implements payment.Channel.
func (*Bank) Verify(_ context.Context, m payment.Merchant, n payment.Notice) (payment.Notification, error) {
	given, err := hex.DecodeString(n.Header.Get(signatureHeader))
	if err != nil || len(m.Secrets) == 0 {
		return payment.Notification{}, payment.ErrSignature
	}
	want, _ := hex.DecodeString(sign(m.Secrets, n.Body)) // our own text
	if !hmac.Equal(given, want) {
		return payment.Notification{}, payment.ErrSignature
	}
	var msg message
	if err := json.Unmarshal(n.Body, &msg); err != nil || msg.EventID == "" || !payment.ValidNumber(msg.TradeNo) {
		return payment.Notification{}, payment.ErrSignature
	}
	return payment.Notification{
		EventID: msg.EventID, TradeNo: msg.TradeNo,
		Trade: payment.Trade{
			State: msg.State, ChannelTradeNo: msg.ChannelNo, Amount: msg.Amount, PaidAt: evcs.FromMillis(msg.PaidAt),
			Code: "PAYER_REFUSED", Message: "the payer's bank refused",
		},
	}, nil
}

// Reply implements payment.Channel.
func (*Bank) Reply(v payment.Verdict) payment.Reply {
	const text = "text/plain; charset=utf-8"
	switch v {
	case payment.VerdictDone:
		return payment.Reply{Status: http.StatusOK, ContentType: text, Body: "success"}
	case payment.VerdictForged, payment.VerdictRejected:
		return payment.Reply{Status: http.StatusBadRequest, ContentType: text, Body: "failure"}
	case payment.VerdictUnavailable:
	}
	return payment.Reply{Status: http.StatusServiceUnavailable, ContentType: text, Body: "failure"}
}
