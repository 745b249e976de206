package daemon

import (
	"context"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/jobs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
)

// sandboxChannel is the name of the channel whose money is not real.
const sandboxChannel = "sandbox"

const (
	moneyBatch = 100
	// dueEvery is how often payments are asked about; a callback is faster.
	dueEvery = 2 * time.Second
	// noticeEvery is how often the pretended bank sends its callbacks.
	noticeEvery = 500 * time.Millisecond
	// channelPace is the least time between two questions of the jobs to one
	// account: 20 a second, far below what channels take.
	channelPace = 50 * time.Millisecond
)

// wireMoney makes the till and its channels.
func (d *Daemon) wireMoney(p *parts) error {
	channels, err := d.realChannels(p)
	if err != nil {
		return err
	}
	p.channels = channels
	p.till = cashier.New(cashier.Config{
		Clock: d.opt.Clock, Log: d.log(health.Payment, "cashier"), Channels: channels, Sealer: p.sealer, Alarm: raiseForCashier, CallbackBase: d.opt.Config.Payment.CallbackBase,
		Node: d.node(), Pace: channelPace,
		Heard: func(channel string, v payment.Verdict) {
			p.metrics.Add("evcs_callback_total", 1, channel, strings.ToLower(v.String()))
		},
		Payments: d.db.Reader().Payments(), Orders: d.db.Reader().Orders(),
		Transact: func(ctx context.Context, fn func(cashier.Tx) error) error {
			return d.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
		},
	})
	p.runner.Jobs = append(p.runner.Jobs, jobs.Job{Name: "payments due", Every: dueEvery, Full: moneyBatch, Run: func(ctx context.Context) (int, error) {
		return p.till.Due(ctx, moneyBatch)
	}})
	if d.opt.Config.Payment.Sandbox {
		d.wireSandbox(p, channels)
	}
	p.api = append(p.api, d.moneyParts(p)...)
	return nil
}

// wireSandbox opens the pretended bank.
func (d *Daemon) wireSandbox(p *parts, channels map[string]payment.Channel) {
	p.bank = &sandboxpay.Bank{Clock: d.opt.Clock, Transact: func(ctx context.Context, fn func(payment.SandboxBooks) error) error {
		return d.db.Transact(ctx, func(tx *store.Tx) error { return fn(store.Sandbox(tx)) })
	}}
	channels[sandboxChannel] = p.bank
	p.runner.Jobs = append(p.runner.Jobs, jobs.Job{Name: "sandbox callbacks", Every: noticeEvery, Full: moneyBatch, Run: func(ctx context.Context) (int, error) {
		return p.bank.Notify(ctx, moneyBatch, p.till.SandboxMerchant, payer{p.bank, p.till, d.opt.Clock}.deliver)
	}})
}

// raiseForCashier raises the alerts of the till in the transaction of their
// cause. The till's own Tx has no alerts; the store's, which it is, has.
func raiseForCashier(ctx context.Context, tx cashier.Tx, a cashier.Alert) error {
	keeper, ok := tx.(interface{ Alarms() alarm.Store })
	if !ok {
		return nil
	}
	return alarm.Raise(ctx, keeper.Alarms(), alarm.Alert{
		Tenant: a.Tenant, Rule: alarm.Rule(a.Rule), Severity: alarm.Severity(a.Severity), Message: a.Message,
		Target: alarm.Target{Type: a.TargetType, ID: a.TargetID},
	}, a.At)
}

// payer is the pretended payer: it tells the bank how to behave and has it
// deliver its notification through the very path of a real one.
type payer struct {
	bank  *sandboxpay.Bank
	till  *cashier.Till
	clock evcs.Clock
}

// Pay implements httpapi.Payer.
func (x payer) Pay(ctx context.Context, p payment.Payment, outcome string, delay time.Duration) error {
	if err := x.bank.Pay(ctx, p.Tenant, p.TradeNo, sandboxpay.Outcome(outcome), x.clock.Now().Add(delay)); err != nil || delay > 0 {
		return err
	}
	return x.bank.NotifyOne(ctx, p.Tenant, p.TradeNo, x.till.SandboxMerchant, x.deliver)
}

// deliver hands a notification to the till as its HTTP entry does.
func (x payer) deliver(ctx context.Context, m payment.Merchant, n payment.Notice) payment.Reply {
	return x.till.Callback(ctx, sandboxChannel, m.CallbackToken, n)
}

// moneyParts are the operations of payments, callbacks and the journal.
func (d *Daemon) moneyParts(p *parts) []httpapi.Part {
	read := d.db.Reader()
	orders := httpapi.Orders{Clock: d.opt.Clock, Read: read.Orders(), Chargers: read.Stations(), Engine: p.engine}
	payments := httpapi.Payments{Read: read.Payments(), Orders: orders, Till: p.till}
	if p.bank != nil {
		payments.Payer = payer{p.bank, p.till, d.opt.Clock}
	}
	return []httpapi.Part{payments, httpapi.Merchants{Read: read.Payments(), Write: cashier.Accounts{Till: p.till}}, httpapi.Callbacks{Till: p.till}, d.ledgerPart(orders)}
}
