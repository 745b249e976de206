package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/jobs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tenant"
)

const (
	// sealEvery is how often it is looked whether a day of the journal has ended.
	sealEvery = 10 * time.Minute
	// nightEvery is how often it is looked whether the nightly check is due.
	nightEvery = 10 * time.Minute
)

// journal is what the checks of the journal read.
type journal struct {
	store.LedgerSeals
	ledger.Completeness
}

// night is a transaction of the nightly check.
type night struct{ outward }

// NoteChecked implements closing.NightTx.
func (x night) NoteChecked(ctx context.Context, day int64) error {
	return store.SealsOf(x.Tx).NoteChecked(ctx, day)
}

// ledgerPart are the operations of the journal.
func (d *Daemon) ledgerPart(orders httpapi.Orders) httpapi.Ledger {
	read := d.db.Reader().Ledger()
	return httpapi.Ledger{
		Read: read, Lists: read.Lists(), Journal: read.Seals(), Orders: orders, Clock: d.opt.Clock,
		Books: &closing.Bookkeeper{Clock: d.opt.Clock, Transact: within(d, func(x outward) closing.Tx { return x.Tx })},
	}
}

// ledgerJobs seal the days of the journal and check it by night.
func (d *Daemon) ledgerJobs() []jobs.Job {
	log, read := d.log(health.Payment, "ledger"), d.db.Reader().Ledger()
	sealer := &ledger.Sealer{
		Clock: d.opt.Clock, Read: read.Seals(), Transact: within(d, func(x outward) ledger.SealTx { return store.SealsOf(x.Tx) }),
		Done: func(ctx context.Context, s ledger.Seal) {
			log.InfoContext(ctx, "a day of the journal is sealed", slog.Int64("tenant_id", int64(s.Tenant)), slog.String("day", s.Day),
				slog.Int64("entries", s.Entries), slog.String("hash", s.Hash))
		},
	}
	check := &closing.Night{
		Node: d.node(), Clock: d.opt.Clock, Log: log, Read: journal{read.Seals(), read}, Transact: within(d, func(x outward) closing.NightTx { return night{x} }),
	}
	return []jobs.Job{
		{Name: "seal journal", Every: sealEvery, Full: 1, Run: sealer.Run},
		{Name: "check journal", Every: nightEvery, Run: check.Run},
	}
}

// reconReports are the reports of reconciled days.
func (d *Daemon) reconReports() httpapi.ReconReports {
	read := d.db.Reader()
	return httpapi.ReconReports{
		Recon: httpapi.Recon{Read: read.Recon(), Clock: d.opt.Clock}, Lists: read.Ledger().Lists(), Clock: d.opt.Clock,
		Note: func(ctx context.Context, a *evcs.Actor, row tenant.AuditRow) error {
			return d.db.Transact(ctx, func(tx *store.Tx) error { return tenant.Audit(ctx, tx.Tenants(), a, row) })
		},
	}
}
