package daemon

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/jobs"
	"github.com/evcs/evcs/internal/store"
)

const (
	pruneBatch = 1000
	// keepReplies is how long the answer to a device's request is repeated (§16.1).
	keepReplies = 72 * time.Hour
	// keepForged is how long payment callbacks that did not verify are kept.
	keepForged = 30 * 24 * time.Hour
)

// housekeeping are the jobs that keep the store from growing for ever.
func (d *Daemon) housekeeping() []jobs.Job {
	prune := func(age time.Duration, f func(tx *store.Tx, ctx context.Context, before int64, n int) (int64, error)) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			var n int64
			before := evcs.Millis(d.opt.Clock.Now().Add(-age))
			err := d.db.Gather(ctx, func(tx *store.Tx) error {
				var err error
				n, err = f(tx, ctx, before, pruneBatch)
				return err
			})
			return int(n), err
		}
	}
	return []jobs.Job{
		{Name: "prune events", Every: 10 * time.Minute, Full: pruneBatch, Run: prune(d.opt.Config.Events.Retention, (*store.Tx).PruneEvents)},
		{Name: "prune request figures", Every: time.Hour, Full: pruneBatch, Run: prune(httpapi.PerformanceKept, (*store.Tx).PruneMinutes)},
		{Name: "prune device replies", Every: time.Hour, Full: pruneBatch, Run: prune(keepReplies, (*store.Tx).PruneReplies)},
		{Name: "prune forged callbacks", Every: time.Hour, Full: pruneBatch, Run: prune(keepForged, store.PruneForged)},
		{Name: "prune idempotency keys", Every: 10 * time.Minute, Full: pruneBatch, Run: func(ctx context.Context) (int, error) {
			n, err := d.db.Idempotency(d.opt.Clock, d.node()).Prune(ctx, pruneBatch)
			return int(n), err
		}},
		{Name: "tenants' retention", Every: time.Hour, Run: d.retain},
	}
}
