package daemon

import (
	"context"
	"path/filepath"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/jobs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tenant"
)

// dailyEvery is how often it is looked whether a day is due.
const dailyEvery = 5 * time.Minute

// piecesBatch is how many pieces of abandoned statements go at a time.
const piecesBatch = 32

// wireClosing makes what reconciles and closes days. It comes after wireMoney.
func (d *Daemon) wireClosing(p *parts) {
	read := d.db.Reader()
	p.closer = closing.New(closing.Config{
		Node: d.node(), Clock: d.opt.Clock, Log: d.log(health.Payment, "closing"), Channels: p.channels, Sealer: p.sealer, Cashier: p.till, Read: days{read.Recon(), read.Payments().PaymentDesk},
		Spool: filepath.Join(d.opt.Config.DataDir, "spool"),
		Transact: func(ctx context.Context, fn func(closing.Tx) error) error {
			return d.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
		},
	})
	p.work = append(p.work, part{"reconciliation runs", p.closer.Run})
	p.runner.Jobs = append(p.runner.Jobs, jobs.Job{Name: "daily reconciliation", Every: dailyEvery, Run: p.closer.Daily},
		jobs.Job{Name: "prune statement pieces", Every: time.Hour, Full: piecesBatch, Run: func(ctx context.Context) (int, error) {
			return p.closer.CleanUp(ctx, piecesBatch)
		}})
	p.api = append(p.api, httpapi.Recon{Clock: d.opt.Clock, Read: read.Recon(), Closer: p.closer, Faults: faults{d, p}}, d.reconReports())
}

// days answers closing.Reader.
type days struct {
	store.Recon
	store.PaymentDesk
}

// faults answers httpapi.FaultSetter.
type faults struct {
	d *Daemon
	p *parts
}

// SetFaults implements httpapi.FaultSetter: the faults of a day are part of the
// configuration of the tenant's account at the pretended bank.
func (f faults) SetFaults(ctx context.Context, a *evcs.Actor, owner evcs.TenantID, given httpapi.StatementFaults) error {
	if f.p.bank == nil {
		return evcs.With(payment.ErrNotConfigured, map[string]any{"channel": sandboxChannel})
	}
	account, err := f.p.till.SandboxMerchant(ctx, owner) // made when it is first used
	if err != nil {
		return err
	}
	wanted := sandboxpay.Faults{
		Amount: given.Amount, Missing: given.Missing, Extra: given.Extra, Status: given.Status, Duplicate: given.Duplicate, Fee: given.Fee,
		NotReady: given.NotReady, Broken: given.Broken,
	}
	return f.d.db.Transact(ctx, func(tx *store.Tx) error {
		m, err := tx.Payments().Merchant(ctx, evcs.Only(owner), account.ID)
		if err != nil {
			return err
		}
		if m.Config, err = sandboxpay.WithFaults(m.Config, given.Day, wanted); err != nil {
			return err
		}
		m.UpdatedAt = f.d.opt.Clock.Now()
		if err := tx.Payments().UpdateMerchant(ctx, evcs.Only(owner), &m); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, tenant.AuditRow{
			At: m.UpdatedAt, Action: tenant.Updated("MERCHANT"), Target: owner, TargetType: "MERCHANT", TargetID: strconv.FormatInt(int64(m.ID), 10), Success: true,
			Details: map[string]any{"date": given.Day, "statementFaults": wanted},
		})
	})
}
