package daemon

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/jobs"
	"github.com/evcs/evcs/internal/store"
)

// How often the figures of dashboards are rolled. What is not rolled yet is
// read from the rows, so that a figure is never late.
const (
	rollEvery  = 15 * time.Second
	zonesEvery = 30 * time.Second
	// rollBatch is few enough not to hold up the writers beside it.
	rollBatch = 250
)

// reportJobs keep the figures of dashboards by day and month.
func (d *Daemon) reportJobs() []jobs.Job {
	roller := store.NewRoller(d.db, rollBatch)
	return []jobs.Job{
		{Name: "report zones", Every: zonesEvery, Full: 1, Run: roller.Zones},
		{Name: "report figures", Every: rollEvery, Full: rollBatch, Run: func(ctx context.Context) (int, error) {
			return roller.Roll(ctx, d.opt.Clock.Now())
		}},
	}
}
