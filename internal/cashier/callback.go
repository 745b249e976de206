package cashier

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

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
	if err != nil || len(n.Body) > MaxCallback {
		return payment.VerdictForged, err
	}
	accounts, err := t.candidates(ctx, ch, channel, token, n)
	if errors.Is(err, payment.ErrNoMerchant) {
		return payment.VerdictForged, err
	}
	if err != nil {
		return payment.VerdictUnavailable, err
	}
	return t.prove(ctx, ch, accounts, n)
}

// maxCandidates bounds how many accounts a notification on the bare path is
// tried with: several tenants may share an application or a platform key.
const maxCandidates = 16

// candidates are the accounts that a notification may be about: the one of the
// token, or on the bare path those of the channel's hint, which proves nothing.
func (t *Till) candidates(ctx context.Context, ch payment.Channel, channel, token string, n payment.Notice) ([]payment.Merchant, error) {
	var list []payment.Merchant
	if token != "" {
		m, err := t.cfg.Payments.MerchantByToken(ctx, channel, token)
		if err != nil {
			return nil, err
		}
		list = []payment.Merchant{m}
	} else if hint := ch.Account(n); hint != "" {
		var err error
		if list, err = t.cfg.Payments.MerchantsByHint(ctx, channel, hint, maxCandidates); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, payment.ErrNoMerchant
	}
	for i := range list {
		if err := list[i].Unseal(t.cfg.Sealer, t.now()); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// prove finds whose key signed the notification and applies it there. When the
// keys of several accounts did, the one that knows the number is meant.
func (t *Till) prove(ctx context.Context, ch payment.Channel, accounts []payment.Merchant, n payment.Notice) (payment.Verdict, error) {
	type proof struct {
		m    payment.Merchant
		told payment.Notification
	}
	var proven []proof
	var cause, unknown error
	for _, m := range accounts {
		told, err := ch.Verify(ctx, m, n)
		if err != nil {
			cause = err
			if errors.Is(err, payment.ErrUnknownOutcome) {
				unknown = err
			}
			continue
		}
		proven = append(proven, proof{m, told})
	}
	if len(proven) == 0 {
		if unknown != nil {
			return payment.VerdictUnavailable, unknown
		}
		if errors.Is(cause, payment.ErrProbe) {
			return t.probed(ctx, accounts[0])
		}
		return t.quarantine(ctx, accounts[0], n, cause)
	}
	chosen := proven[0]
	for _, p := range proven[1:] {
		known, err := t.knows(ctx, p.m, p.told)
		if err != nil {
			return payment.VerdictUnavailable, err
		}
		if known || chosen.told.Foreign != "" && p.told.Foreign == "" {
			chosen = p
		}
		if known {
			break
		}
	}
	verdict, err := t.believe(ctx, chosen.m, n, chosen.told)
	if err != nil {
		return payment.VerdictUnavailable, err
	}
	return verdict, nil
}

// knows reports whether the number is of a payment over that account.
func (t *Till) knows(ctx context.Context, m payment.Merchant, told payment.Notification) (bool, error) {
	p, err := t.cfg.Payments.ByTrade(ctx, evcs.Only(m.Tenant), told.TradeNo)
	if errors.Is(err, payment.ErrNotFound) {
		return false, nil
	}
	return err == nil && p.Merchant == m.ID, err
}

const (
	// probesTold is how many signature probes of one account within probeSpan are
	// told to somebody: a few are the channel's custom.
	probesTold = 5
	probeSpan  = 5 * time.Minute
	// maxUnverified is how many notifications that do not verify are kept of one
	// account within unverifiedSpan; more are refused and counted, not kept.
	maxUnverified  = 200
	unverifiedSpan = time.Hour
	// keptUnverified is how much of such a body is kept: a real one is shorter.
	keptUnverified = 16 << 10
)

// probed refuses what the channel signed wrongly on purpose.
func (t *Till) probed(ctx context.Context, m payment.Merchant) (payment.Verdict, error) {
	if t.probes.count(m.ID, t.now()) != probesTold+1 {
		return payment.VerdictForged, payment.ErrProbe
	}
	err := t.cfg.Transact(ctx, func(tx Tx) error {
		return t.cfg.Alarm(ctx, tx, t.rejected(m, "", "more signature probes than are usual"))
	})
	if err != nil {
		return payment.VerdictUnavailable, err
	}
	return payment.VerdictForged, payment.ErrProbe
}

// probes counts signature probes by account.
type probes struct {
	mu   sync.Mutex
	seen map[payment.MerchantID][]time.Time // guarded by mu; at most probesTold+1 each
}

// count notes a probe and returns how many there were within probeSpan, at most
// probesTold+1; when that is reached it begins anew.
func (p *probes) count(m payment.MerchantID, now time.Time) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = make(map[payment.MerchantID][]time.Time)
	}
	recent := p.seen[m]
	for len(recent) > 0 && now.Sub(recent[0]) >= probeSpan {
		recent = recent[1:]
	}
	recent = append(recent, now)
	p.seen[m] = recent
	if len(recent) > probesTold {
		delete(p.seen, m)
	}
	return len(recent)
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

// quarantine keeps what does not verify, once and within bounds, and raises the
// alarm.
func (t *Till) quarantine(ctx context.Context, m payment.Merchant, n payment.Notice, cause error) (payment.Verdict, error) {
	sum := sha256.Sum256(n.Body)
	c := callbackOf(m, n, "unverified:"+hex.EncodeToString(sum[:]))
	c.Body = c.Body[:min(len(c.Body), keptUnverified)]
	c.Outcome = payment.VerdictForged.String()
	err := t.cfg.Transact(ctx, func(tx Tx) error {
		c := c
		c.ReceivedAt = t.now()
		kept, err := tx.Payments().Unverified(ctx, evcs.Only(m.Tenant), m.ID, c.ReceivedAt.Add(-unverifiedSpan))
		if err != nil || kept >= maxUnverified {
			return err
		}
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

var (
	errOtherAccount = errors.New("the number belongs to another account")
	// errOtherMerchant says that a rightly signed message is about another
	// merchant, application or currency.
	errOtherMerchant = errors.New("the message is about another merchant")
)

func unacceptable(err error) (string, bool) {
	switch {
	case errors.Is(err, errForeign):
		return "the amount is not ours", true
	case errors.Is(err, errOtherAccount):
		return "the payment is of another account", true
	case errors.Is(err, errOtherMerchant):
		return "the message names another merchant, application or currency", true
	case errors.Is(err, payment.ErrNotFound), errors.Is(err, payment.ErrRefundNotFound):
		return "the number is not known", true
	}
	return "", false
}

// act applies what a verified notification says to the payment or refund of
// that very account.
func (t *Till) act(ctx context.Context, tx Tx, m payment.Merchant, told payment.Notification) error {
	if told.Foreign != "" {
		return errOtherMerchant
	}
	if told.RefundNo != "" {
		return t.actRefund(ctx, tx, m, told)
	}
	scope := evcs.Only(m.Tenant)
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

// actRefund is act for what a notification says of a refund.
func (t *Till) actRefund(ctx context.Context, tx Tx, m payment.Merchant, told payment.Notification) error {
	scope := evcs.Only(m.Tenant)
	r, err := tx.Payments().Refund(ctx, scope, told.RefundNo)
	if err != nil {
		return err
	}
	p, err := tx.Payments().Payment(ctx, scope, r.Payment)
	switch {
	case err != nil:
		return err
	case p.Merchant != m.ID:
		return errOtherAccount
	case told.TradeNo != "" && told.TradeNo != r.TradeNo, told.Refund.Amount != 0 && told.Refund.Amount != r.Amount:
		return errForeign
	case r.Status != payment.RefundProcessing || r.Waiting():
		return nil // it is final, or the channel was not asked yet
	case told.AskRefund:
		r.NextQueryAt = t.now()
		return tx.Payments().UpdateRefund(ctx, scope, &r)
	}
	return t.takeRefund(ctx, tx, &r, told.Refund)
}
