package cashier

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// MaxCallback bounds the body of a callback in bytes.
const MaxCallback = 64 << 10

// Callback takes a notification of a channel. token selects the merchant
// account; "" is the bare path, where only the channel's own hint could. What
// is not signed by that account's key is quarantined and changes nothing; the
// same event again is answered as the first time. The answer is sent after
// commit.
func (t *Till) Callback(ctx context.Context, channel, token string, n payment.Notice) payment.Reply {
	verdict, err := t.receive(ctx, channel, token, n)
	if _, ok := t.cfg.Channels[channel]; ok && t.cfg.Heard != nil {
		t.cfg.Heard(channel, verdict)
	}
	if err != nil {
		t.cfg.Log.WarnContext(ctx, "a callback could not be taken", slog.String("channel", channel), slog.Any("error", err))
	}
	if ch, ok := t.cfg.Channels[channel]; ok {
		return ch.Reply(verdict)
	}
	return payment.Refusal(channel)
}

func (t *Till) receive(ctx context.Context, channel, token string, n payment.Notice) (payment.Verdict, error) {
	ch, err := t.channel(channel)
	if err != nil || token == "" || len(n.Body) > MaxCallback {
		return payment.VerdictForged, err
	}
	m, err := t.cfg.Payments.MerchantByToken(ctx, channel, token)
	if errors.Is(err, payment.ErrNoMerchant) {
		return payment.VerdictForged, err
	}
	if err == nil {
		m, err = t.opened(m)
	}
	if err != nil {
		return payment.VerdictUnavailable, err
	}
	told, err := ch.Verify(ctx, m, n)
	if err != nil {
		return t.quarantine(ctx, m, n, err)
	}
	verdict, err := t.believe(ctx, m, n, told)
	if err != nil {
		return payment.VerdictUnavailable, err
	}
	return verdict, nil
}

func callbackOf(m payment.Merchant, n payment.Notice, event string) payment.Callback {
	header, _ := json.Marshal(safeHeader(n.Header)) // a map of texts
	return payment.Callback{Tenant: m.Tenant, Channel: m.Channel, Merchant: m.ID, EventID: event, Header: string(header), Body: n.Body}
}

func safeHeader(h http.Header) http.Header {
	kept := h.Clone()
	kept.Del("Authorization")
	kept.Del("Cookie")
	return kept
}

// quarantine keeps what does not verify, once, and raises the alarm.
func (t *Till) quarantine(ctx context.Context, m payment.Merchant, n payment.Notice, cause error) (payment.Verdict, error) {
	sum := sha256.Sum256(n.Body)
	c := callbackOf(m, n, "unverified:"+hex.EncodeToString(sum[:]))
	c.Outcome = payment.VerdictForged.String()
	err := t.cfg.Transact(ctx, func(tx Tx) error {
		c := c
		c.ReceivedAt = t.now()
		fresh, err := tx.Payments().Keep(ctx, evcs.Only(m.Tenant), &c)
		if err != nil || !fresh {
			return err
		}
		return t.cfg.Alarm(ctx, tx, t.rejected(m, "", "the signature does not verify"))
	})
	if err != nil {
		return payment.VerdictUnavailable, err
	}
	return payment.VerdictForged, cause
}

func (t *Till) rejected(m payment.Merchant, number, why string) Alert {
	return Alert{
		Rule: RuleCallbackRejected, Severity: severityCritical, Tenant: m.Tenant, TargetType: "MERCHANT", TargetID: m.Channel,
		Message: why + " " + number, At: t.now(),
	}
}

// believe applies a verified notification, once, in the transaction that keeps
// it.
func (t *Till) believe(ctx context.Context, m payment.Merchant, n payment.Notice, told payment.Notification) (payment.Verdict, error) {
	var verdict payment.Verdict
	err := t.cfg.Transact(ctx, func(tx Tx) error {
		verdict = payment.VerdictDone
		c := callbackOf(m, n, told.EventID)
		c.ReceivedAt, c.TradeNo, c.Outcome = t.now(), told.TradeNo, verdict.String()
		fresh, err := tx.Payments().Keep(ctx, evcs.Only(m.Tenant), &c)
		if err != nil {
			return err
		}
		if !fresh {
			if c.Outcome == payment.VerdictRejected.String() {
				verdict = payment.VerdictRejected
			}
			return nil
		}
		err = t.act(ctx, tx, m, told)
		if why, bad := unacceptable(err); bad {
			verdict, c.Outcome = payment.VerdictRejected, payment.VerdictRejected.String()
			if err := tx.Payments().Settle(ctx, evcs.Only(m.Tenant), c); err != nil {
				return err
			}
			return t.cfg.Alarm(ctx, tx, t.rejected(m, told.TradeNo, why))
		}
		return err
	})
	return verdict, err
}

var errOtherAccount = errors.New("the number belongs to another account")

func unacceptable(err error) (string, bool) {
	switch {
	case errors.Is(err, errForeign):
		return "the amount is not ours", true
	case errors.Is(err, errOtherAccount):
		return "the payment is of another account", true
	case errors.Is(err, payment.ErrNotFound), errors.Is(err, payment.ErrRefundNotFound):
		return "the number is not known", true
	}
	return "", false
}

// act applies what a verified notification says to the payment or refund of
// that very account.
func (t *Till) act(ctx context.Context, tx Tx, m payment.Merchant, told payment.Notification) error {
	scope := evcs.Only(m.Tenant)
	if told.RefundNo != "" {
		r, err := tx.Payments().Refund(ctx, scope, told.RefundNo)
		if err != nil {
			return err
		}
		p, err := tx.Payments().Payment(ctx, scope, r.Payment)
		if err != nil {
			return err
		}
		if p.Merchant != m.ID {
			return errOtherAccount
		}
		if told.AskRefund {
			r.NextQueryAt = t.now()
			return tx.Payments().UpdateRefund(ctx, scope, &r)
		}
		return t.takeRefund(ctx, tx, &r, told.Refund)
	}
	p, err := tx.Payments().ByTrade(ctx, scope, told.TradeNo)
	if err != nil {
		return err
	}
	if p.Merchant != m.ID {
		return errOtherAccount
	}
	if told.Trade.Amount != 0 && told.Trade.Amount != p.Amount {
		return errForeign
	}
	return t.take(ctx, tx, &p, told.Trade, "callback")
}
