// Package cashier is what happens between an order and its money: create a
// payment, believe a callback, ask the channel, refund, and bring the order
// along, each in one transaction with its entry in the journal. Channels are
// called outside of transactions, always after the intention is committed, so
// that a crash at any point leaves something to resume. Its one invariant:
// money that a channel reports is booked exactly once, and either settles an
// order or goes back.
package cashier

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/tenant"
)

// Tx is what the cashier does within one transaction.
type Tx interface {
	Orders() order.Store
	Payments() payment.Store
	Ledger() ledger.Store
	Tenants() tenant.Store
	Emit(ctx context.Context, e evcs.Event) error
}

// Sealer encrypts the secrets of merchant accounts.
type Sealer interface {
	payment.Sealer
	Seal(plain []byte) (string, error)
}

// PaymentReader reads committed payments without waiting for a writer.
type PaymentReader interface {
	Payment(ctx context.Context, scope evcs.Scope, id evcs.PaymentID) (payment.Payment, error)
	ByTrade(ctx context.Context, scope evcs.Scope, tradeNo string) (payment.Payment, error)
	Refund(ctx context.Context, scope evcs.Scope, refundNo string) (payment.Refund, error)
	Refunds(ctx context.Context, scope evcs.Scope, p evcs.PaymentID) ([]payment.Refund, error)
	Merchant(ctx context.Context, scope evcs.Scope, id payment.MerchantID) (payment.Merchant, error)
	MerchantByToken(ctx context.Context, channel, token string) (payment.Merchant, error)
	MerchantsByHint(ctx context.Context, channel, hint string, n int) ([]payment.Merchant, error)
}

// OrderReader reads committed orders.
type OrderReader interface {
	Order(ctx context.Context, scope evcs.Scope, id evcs.OrderID) (*order.Order, error)
}

// Alert is what somebody should look at.
type Alert struct {
	Rule       string // CallbackRejected, DuplicatePayment, LatePayment, RefundStuck
	Severity   string
	Tenant     evcs.TenantID
	TargetType string
	TargetID   string
	Message    string
	At         time.Time
}

// The alerts of the cashier, contract §14.3.
const (
	RuleCallbackRejected = "CallbackRejected"
	RuleDuplicatePayment = "DuplicatePayment"
	RuleLatePayment      = "LatePayment"
	// RuleRefundStuck is not in the contract's table: a promised refund that the
	// channel has not answered for a day.
	RuleRefundStuck = "RefundStuck"
	// RuleMerchantKeyChanged tells of every change of an account's keys: whoever
	// can put in a channel's key can make payments.
	RuleMerchantKeyChanged = "MerchantKeyChanged"

	severityHigh     = "HIGH"
	severityCritical = "CRITICAL"
)

// Config is what a Till is made of.
type Config struct {
	Transact func(ctx context.Context, fn func(Tx) error) error
	Payments PaymentReader
	Orders   OrderReader
	Clock    evcs.Clock
	Log      *slog.Logger
	Channels map[string]payment.Channel // by name
	Sealer   Sealer
	// Alarm raises an alert in the transaction of its cause; nil: nobody looks.
	Alarm func(ctx context.Context, tx Tx, a Alert) error
	// Heard is told what became of every callback; nil: nobody counts.
	Heard func(channel string, v payment.Verdict)
	// Node is in whose name due work is claimed; no two nodes have one name.
	Node string
	// Pace is the least time between two questions of due work to one account at
	// its channel; 0: none.
	Pace time.Duration
	// CallbackBase is the public address that channels call back; "": none.
	CallbackBase string
	// Random is where numbers and secrets come from; nil: the machine's.
	Random io.Reader
}

// Till does the cashier's work. It is safe for concurrent use.
type Till struct {
	cfg     Config
	probes  probes
	freedAt atomic.Int64 // when claims of nodes that are gone were looked for; 0: never
}

// New makes a till.
func New(c Config) *Till {
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Alarm == nil {
		c.Alarm = func(context.Context, Tx, Alert) error { return nil }
	}
	return &Till{cfg: c}
}

func (t *Till) now() time.Time { return t.cfg.Clock.Now() }

// channel is the implementation of a channel; 4009 when there is none.
func (t *Till) channel(name string) (payment.Channel, error) {
	ch, ok := t.cfg.Channels[name]
	if !ok {
		return nil, evcs.With(payment.ErrNotConfigured, map[string]any{"channel": name})
	}
	return ch, nil
}

// account reads a payment's merchant account with its secrets opened.
func (t *Till) account(ctx context.Context, owner evcs.TenantID, id payment.MerchantID) (payment.Merchant, error) {
	m, err := t.cfg.Payments.Merchant(ctx, evcs.Only(owner), id)
	if err != nil {
		return m, err
	}
	return m, m.Unseal(t.cfg.Sealer, t.now())
}

// merchantFor is the account that new payments of a tenant run over. Money that
// is not real, our own sandbox's or a channel's, is taken only where the tenant
// has switched it on. Our sandbox's account is made when it is first used.
func (t *Till) merchantFor(ctx context.Context, tx Tx, owner evcs.TenantID, channel string) (payment.Merchant, error) {
	m, err := tx.Payments().HoldMerchant(ctx, evcs.Only(owner), channel, 0)
	own := channel == payment.ChannelSandbox
	if err != nil && !(own && errors.Is(err, payment.ErrNotConfigured)) || err == nil && m.Mode == payment.Live {
		return m, err
	}
	chain, failed := tx.Tenants().Chain(ctx, owner)
	if failed != nil {
		return payment.Merchant{}, failed
	}
	if !chain.Settings().SandboxPayments {
		return payment.Merchant{}, evcs.WithDetail(payment.ErrNotConfigured, sandboxOff, map[string]any{"channel": channel})
	}
	if err == nil {
		return m, nil
	}
	return t.openSandbox(ctx, tx, owner)
}

var sandboxOff = evcs.Detail{ZH: "租户未启用沙箱支付", EN: "sandbox payments are off for the tenant"}

// SandboxFeeRate is what the pretended bank keeps: 0.6 %.
const SandboxFeeRate evcs.UnitPrice = 600

func (t *Till) openSandbox(ctx context.Context, tx Tx, owner evcs.TenantID) (payment.Merchant, error) {
	var noise [52]byte
	if _, err := io.ReadFull(t.cfg.Random, noise[:]); err != nil {
		return payment.Merchant{}, fmt.Errorf("make a merchant secret: %w", err)
	}
	sealed, err := t.cfg.Sealer.Seal(noise[:32])
	if err != nil {
		return payment.Merchant{}, fmt.Errorf("seal a merchant secret: %w", err)
	}
	now := t.now()
	m := payment.Merchant{
		Tenant: owner, Channel: payment.ChannelSandbox, Name: payment.ChannelSandbox, Mode: payment.SandboxMode, Enabled: true, Config: "{}", Sealed: sealed,
		CallbackToken: tokenOf(noise[32:]),
		FeeRate:       SandboxFeeRate, CreatedAt: now, UpdatedAt: now,
	}
	return m, tx.Payments().InsertMerchant(ctx, evcs.Only(owner), &m)
}

// tokenOf words 20 random bytes for a path.
func tokenOf(noise []byte) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(noise)
}

// SandboxMerchant is the tenant's account at the sandbox, made when it is first
// used; 4009 when sandbox payments are off.
func (t *Till) SandboxMerchant(ctx context.Context, owner evcs.TenantID) (payment.Merchant, error) {
	var m payment.Merchant
	err := t.cfg.Transact(ctx, func(tx Tx) (err error) {
		m, err = t.merchantFor(ctx, tx, owner, payment.ChannelSandbox)
		return err
	})
	if err != nil {
		return m, err
	}
	return m, m.Unseal(t.cfg.Sealer, t.now())
}

// save writes a payment, a line of its history, and its event.
func save(ctx context.Context, tx Tx, p *payment.Payment, event, source, detail string) error {
	scope := evcs.Only(p.Tenant)
	if err := tx.Payments().Update(ctx, scope, p); err != nil {
		return err
	}
	return tell(ctx, tx, p, event, source, detail)
}

func tell(ctx context.Context, tx Tx, p *payment.Payment, event, source, detail string) error {
	note := payment.Event{Payment: p.ID, At: p.UpdatedAt, Event: event, Source: source, Detail: detail}
	if err := tx.Payments().Note(ctx, evcs.Only(p.Tenant), note); err != nil {
		return err
	}
	return tx.Emit(ctx, evcs.Event{
		Type: evcs.EventPaymentStatus, Time: p.UpdatedAt, Tenant: p.Tenant, Order: p.Order, OrderNo: p.OrderNo,
		Data: facts(map[string]any{
			"paymentId": p.ID, "orderId": p.Order, "tradeNo": p.TradeNo, "channel": p.Channel, "status": p.Status, "statusName": p.Status.String(),
			"amount": json.Number(p.Amount.String()), "refundedAmount": json.Number(p.Refunded.String()), "sandbox": p.Sandbox,
		}),
	})
}

func tellRefund(ctx context.Context, tx Tx, r *payment.Refund) error {
	return tx.Emit(ctx, evcs.Event{
		Type: evcs.EventRefundStatus, Time: r.UpdatedAt, Tenant: r.Tenant, Order: r.Order,
		Data: facts(map[string]any{
			"refundId": r.ID, "refundNo": r.RefundNo, "paymentId": r.Payment, "tradeNo": r.TradeNo, "orderId": r.Order,
			"channel": r.Channel, "refundAmount": json.Number(r.Amount.String()), "refundStatus": r.Status, "statusName": r.Status.String(),
		}),
	})
}

func facts(m map[string]any) json.RawMessage {
	data, _ := json.Marshal(m) // plain values
	return data
}

// unknown is 4002 with what the caller needs to go on.
func unknown(p *payment.Payment, cause error) error {
	return errors.Join(evcs.With(payment.ErrUnknownOutcome, map[string]any{
		"paymentId": p.ID, "tradeNo": p.TradeNo, "status": int(p.Status),
	}), cause)
}

// refusal reads a definite refusal of a channel.
func refusal(err error) (code, message string, ok bool) {
	if !errors.Is(err, payment.ErrRefused) {
		return "", "", false
	}
	_, data, _ := evcs.Classify(err)
	code, _ = data["channelCode"].(string)       // absent is ""
	message, _ = data["channelMessage"].(string) // absent is ""
	return code, message, true
}
