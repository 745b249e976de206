// Package closing is the end of a day: the statement of a channel is fetched
// and verified, our books are compared with it, people deal with what differs,
// and the day is closed with a proof. A day without a verified statement is a
// failure, never a success. Its one invariant: of a tenant's channel and day
// one run goes on at a time, and a closed day does not change.
package closing

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/tenant"
)

// Tx is what closing does within one transaction.
type Tx interface {
	Recon() recon.Store
	Ledger() ledger.Store
	Tenants() tenant.Store
	Alarms() alarm.Store
	Emit(ctx context.Context, e evcs.Event) error
}

// Reader reads what was committed, outside of transactions: a day may be large.
type Reader interface {
	Merchants(ctx context.Context, scope evcs.Scope, channel string) ([]payment.Merchant, error)
	EachLocal(ctx context.Context, scope evcs.Scope, channel string, from, to time.Time, fn func(*recon.Local) error) error
	FindLocal(ctx context.Context, scope evcs.Scope, channel string, d payment.Direction, numbers []string) ([]recon.Local, error)
	EachClaimed(ctx context.Context, scope evcs.Scope, channel string, from, to time.Time, fn func(*recon.Claimed) error) error
	BatchOf(ctx context.Context, scope evcs.Scope, channel, day string) (recon.Batch, error)
	Suspense(ctx context.Context, scope evcs.Scope, channel, before string, since time.Time) ([]recon.Difference, error)
	StatementOf(ctx context.Context, scope evcs.Scope, m payment.MerchantID, day, kind string) (*recon.Statement, error)
	EachPiece(ctx context.Context, scope evcs.Scope, st *recon.Statement, fn func([]byte) error) error
	Accounts(ctx context.Context) ([]recon.Account, error)
	Aged(ctx context.Context, since time.Time, n int) ([]recon.Difference, error)
}

// Cashier brings our books to what a channel says, and gives money back.
type Cashier interface {
	Query(ctx context.Context, a *evcs.Actor, tradeNo, refresh string) (p payment.Payment, checked bool, err error)
	QueryRefund(ctx context.Context, a *evcs.Actor, refundNo string) (payment.Refund, error)
	Refund(ctx context.Context, a *evcs.Actor, q cashier.RefundRequest) (payment.Refund, error)
	// SandboxMerchant is the tenant's account at the sandbox, made when it is
	// first used; 4009 when the tenant has none.
	SandboxMerchant(ctx context.Context, owner evcs.TenantID) (payment.Merchant, error)
}

// Config is what a Closer is made of.
type Config struct {
	Node     string // in whose name days are leased; no two nodes have one name
	Transact func(ctx context.Context, fn func(Tx) error) error
	Read     Reader
	Clock    evcs.Clock
	Log      *slog.Logger
	Channels map[string]payment.Channel // by name
	Sealer   payment.Sealer
	Cashier  Cashier
	// Spool is a directory for statements and rows while they are worked on; "":
	// the system's for temporary files.
	Spool string
}

// Closer reconciles and closes days. It is safe for concurrent use.
type Closer struct {
	cfg       Config
	runs      sync.WaitGroup
	stopping  chan struct{}
	receiving chan struct{}
}

// New makes a closer.
func New(c Config) *Closer {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Closer{cfg: c, stopping: make(chan struct{}), receiving: make(chan struct{}, receivers)}
}

// Run waits until ctx ends, and then for the runs that nobody waited for.
func (c *Closer) Run(ctx context.Context) error {
	<-ctx.Done()
	close(c.stopping)
	c.runs.Wait()
	return nil
}

func (c *Closer) now() time.Time { return c.cfg.Clock.Now() }

// channel is the implementation of a channel and the tenant's accounts there,
// opened; 4009 when there is none. An account that is off counts while it has
// rows in the day, which the matcher tells.
func (c *Closer) channel(ctx context.Context, owner evcs.TenantID, name string) (payment.Channel, []payment.Merchant, error) {
	ch, ok := c.cfg.Channels[name]
	accounts, err := c.cfg.Read.Merchants(ctx, evcs.Only(owner), name)
	if err != nil {
		return nil, nil, err
	}
	if ok && len(accounts) == 0 && name == payment.ChannelSandbox {
		made, err := c.cfg.Cashier.SandboxMerchant(ctx, owner)
		return ch, []payment.Merchant{made}, err
	}
	if !ok || len(accounts) == 0 {
		return nil, nil, evcs.With(payment.ErrNotConfigured, map[string]any{"channel": name})
	}
	for i := range accounts {
		if err := accounts[i].Unseal(c.cfg.Sealer, c.now()); err != nil {
			return nil, nil, err
		}
	}
	return ch, accounts, nil
}

// lastMoment is the last moment of a day: what a day's statement books happens
// then.
func lastMoment(day string) time.Time {
	_, to, _ := recon.Bounds(day)
	return to.Add(-time.Millisecond)
}

func (c *Closer) audit(ctx context.Context, tx Tx, a *evcs.Actor, row tenant.AuditRow) error {
	row.At, row.Success = c.now(), true
	return tenant.Audit(ctx, tx.Tenants(), a, row)
}

func number[N ~int64](n N) string { return strconv.FormatInt(int64(n), 10) }

func emit(ctx context.Context, tx Tx, b *recon.Batch) error {
	data, err := json.Marshal(map[string]any{
		"batchId": b.ID, "runNo": b.RunNo, "channel": b.Channel, "reconciliationDate": b.Day, "status": b.Status,
		"totalCount": b.Figures.Total, "matchedCount": b.Figures.Matched, "failureCode": b.FailureCode,
	})
	if err != nil {
		return fmt.Errorf("write the event of a run: %w", err)
	}
	return tx.Emit(ctx, evcs.Event{Type: evcs.EventReconFinished, Time: b.FinishedAt, Tenant: b.Tenant, Data: data})
}

func ofBatch(id evcs.BatchID) alarm.Target { return alarm.OfNumber("BATCH", int64(id)) }

func ofDifference(id evcs.DifferenceID) alarm.Target {
	return alarm.OfNumber("DIFFERENCE", int64(id))
}
