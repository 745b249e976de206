package daemon

import (
	"context"

	"github.com/evcs/evcs/internal/evcs"
)

// retain lets go what tenants keep no longer: raw messages, readings between
// the quarters of an hour, and the beginning of their audit record. It works
// through everything that is due, in batches that do not hold up the writer.
func (d *Daemon) retain(ctx context.Context) (int, error) {
	old, now := d.db.Retention(), d.opt.Clock.Now()
	newest, err := old.Plan(ctx, now)
	if err != nil {
		return 0, err
	}
	for after := int64(0); ; {
		if after, err = old.Frames(ctx, newest.Frames, after, pruneBatch); err != nil || after == 0 {
			break
		}
	}
	if err != nil {
		return 0, err
	}
	if err := d.thin(ctx, newest.Samples); err != nil {
		return 0, err
	}
	for after := evcs.TenantID(0); ; {
		due, err := old.Chains(ctx, after, pruneBatch)
		if err != nil || len(due) == 0 {
			return 0, err
		}
		for _, t := range due {
			for gone := int64(1); gone > 0; {
				if gone, err = old.Audit(ctx, t, now, pruneBatch); err != nil {
					return 0, err
				}
			}
		}
		after = due[len(due)-1]
	}
}

// thinBatch is how many sessions' curves one transaction thins.
const thinBatch = 50

func (d *Daemon) thin(ctx context.Context, newest int64) error {
	old := d.db.Retention()
	after, err := old.Thinned(ctx)
	whole := true
	for err == nil {
		if after, whole, err = old.Curves(ctx, newest, after, whole, thinBatch); after == 0 {
			break
		}
	}
	return err
}
