package sandboxpay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// Deliver hands a notification to a callback address and returns its answer.
type Deliver func(ctx context.Context, m payment.Merchant, n payment.Notice) payment.Reply

// AccountOf is a tenant's account at the bank with its secret.
type AccountOf func(ctx context.Context, t evcs.TenantID) (payment.Merchant, error)

// notifications is how often a duplicate notifies.
const notifications = 3

// maxNotified bounds how often an undeliverable notification is tried.
const maxNotified = 50

// Notify moves the trades whose time has come and delivers their signed
// notifications through deliver, the very path of every callback. What is not
// taken is tried again. It returns how many trades it worked on.
func (b *Bank) Notify(ctx context.Context, n int, account AccountOf, deliver Deliver) (int, error) {
	var due []payment.SandboxTrade
	if err := b.Transact(ctx, func(books payment.SandboxBooks) (err error) {
		due, err = books.TradesDue(ctx, b.Clock.Now(), n)
		return err
	}); err != nil {
		return 0, err
	}
	var failed error
	for _, t := range due {
		if err := b.notify(ctx, t, account, deliver); err != nil {
			// One that cannot be notified must not hold up the others.
			failed = errors.Join(failed, err, b.noted(ctx, t, false))
		}
	}
	return len(due), failed
}

// NotifyOne is Notify for one trade, when it is due.
func (b *Bank) NotifyOne(ctx context.Context, owner evcs.TenantID, tradeNo string, account AccountOf, deliver Deliver) error {
	var t payment.SandboxTrade
	if err := b.Transact(ctx, func(books payment.SandboxBooks) (err error) {
		t, err = books.Trade(ctx, evcs.Only(owner), tradeNo)
		return err
	}); err != nil {
		return err
	}
	if t.NotifyAt.IsZero() || t.NotifyAt.After(b.Clock.Now()) {
		return nil
	}
	return b.notify(ctx, t, account, deliver)
}

func (b *Bank) notify(ctx context.Context, t payment.SandboxTrade, account AccountOf, deliver Deliver) error {
	m, err := account(ctx, t.Tenant)
	if err != nil {
		return fmt.Errorf("notify %s: %w", t.Number, err)
	}
	if t, err = b.happen(ctx, t); err != nil || t.NotifyAt.IsZero() {
		return err
	}
	times := 1
	if Outcome(t.Outcome) == DuplicateNotify {
		times = notifications
	}
	taken := true
	for i := range times {
		notice, err := b.word(m, t, i)
		if err != nil {
			return err
		}
		reply := deliver(ctx, m, notice)
		// A wrong amount must be refused; asking again would not change it.
		taken = taken && (reply.Status == http.StatusOK || Outcome(t.Outcome) == WrongAmount && reply.Status == http.StatusBadRequest)
	}
	return b.noted(ctx, t, taken)
}

// happen is the moment in which the payer acts. It happens once: the books say
// whether it has. A late payer waits for the trade to be closed.
func (b *Bank) happen(ctx context.Context, t payment.SandboxTrade) (payment.SandboxTrade, error) {
	number, owner := t.Number, t.Tenant
	err := b.Transact(ctx, func(books payment.SandboxBooks) (err error) {
		if t, err = books.Trade(ctx, evcs.Only(owner), number); err != nil {
			return err
		}
		if t.NotifyAt.IsZero() || t.NotifyAt.After(b.Clock.Now()) {
			return nil
		}
		before := t.State
		switch Outcome(t.Outcome) {
		case Succeed, DuplicateNotify:
			if t.State == payment.TradeWaiting {
				t.State = payment.TradePaid
			}
		case Late:
			if t.State == payment.TradeWaiting {
				t.NotifyAt = time.Time{} // closing wakes it
				return books.UpdateTrade(ctx, evcs.Only(owner), &t)
			}
			t.State = payment.TradePaid
		case Fail:
			if t.State == payment.TradeWaiting {
				t.State = payment.TradeFailed
			}
		case WrongAmount:
		}
		if t.State == before {
			return nil
		}
		t.DoneAt = b.Clock.Now()
		return books.UpdateTrade(ctx, evcs.Only(owner), &t)
	})
	return t, err
}

// word writes and signs the i-th notification of a trade.
func (b *Bank) word(m payment.Merchant, t payment.SandboxTrade, i int) (payment.Notice, error) {
	msg := message{EventID: t.ChannelNo + "-" + t.Outcome, TradeNo: t.Number, ChannelNo: t.ChannelNo, State: t.State, Amount: t.Amount, PaidAt: evcs.Millis(t.DoneAt)}
	switch {
	case Outcome(t.Outcome) == WrongAmount:
		msg.State, msg.PaidAt = payment.TradePaid, evcs.Millis(b.Clock.Now())
		msg.Amount++
	case i == notifications-1:
		msg.EventID += "-again"
	}
	body, err := json.Marshal(msg)
	if err != nil {
		return payment.Notice{}, fmt.Errorf("write a notification: %w", err)
	}
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set(signatureHeader, sign(m.Secrets, body))
	return payment.Notice{Header: header, Body: body}, nil
}

// noted remembers that the notification was taken, or when to try again.
func (b *Bank) noted(ctx context.Context, t payment.SandboxTrade, taken bool) error {
	number, owner := t.Number, t.Tenant
	return b.Transact(ctx, func(books payment.SandboxBooks) error {
		t, err := books.Trade(ctx, evcs.Only(owner), number)
		if err != nil {
			return err
		}
		t.Notified++
		t.NotifyAt = b.Clock.Now().Add(time.Duration(t.Notified) * time.Minute)
		if taken || t.Notified >= maxNotified {
			t.NotifyAt = time.Time{}
		}
		return books.UpdateTrade(ctx, evcs.Only(owner), &t)
	})
}
