package daemon

import (
	"context"
	"fmt"
	"log/slog"
)

// giveBack gives back what an earlier life of this node held when it was killed:
// idempotency keys of requests that were not answered, and days whose
// reconciliation was going on. Whoever repeats them is served at once. (The
// engine recovers chargers by itself.) Two nodes must not have one name.
func (d *Daemon) giveBack(ctx context.Context, p *parts) error {
	keys, err := d.db.Idempotency(d.opt.Clock, d.node()).Abandon(ctx)
	if err != nil {
		return fmt.Errorf("give back the keys of unanswered requests: %w", err)
	}
	runs, err := p.closer.Recover(ctx)
	if err != nil {
		return fmt.Errorf("give back interrupted reconciliations: %w", err)
	}
	if keys > 0 || runs > 0 {
		d.opt.Log.InfoContext(ctx, "gave back what an earlier life held", slog.Int64("requests", keys), slog.Int("reconciliations", runs))
	}
	return nil
}
