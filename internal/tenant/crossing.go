package tenant

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// foldWindow is how long equal reads and equal refusals of one principal and
// operation count on one row.
const foldWindow = time.Minute

// Crossings audits what changes nothing: reads below the own tenant and what
// was refused with 403. The first one of a principal, an operation and a target
// is written at once; those of the next 60 s are counted in memory and added to
// its row when the minute is over.
type Crossings struct {
	Clock    evcs.Clock
	Transact Transact
	Log      *slog.Logger

	mu   sync.Mutex
	open map[crossing]*folding // guarded by mu
}

type crossing struct {
	user      evcs.UserID
	key       evcs.KeyID
	operation string
	target    evcs.TenantID
	object    string
	code      evcs.Code // zero: nothing was refused
}

type folding struct {
	row   int64
	until time.Time
	more  int64
}

// maxFolding bounds what is remembered; beyond it each is a row.
const maxFolding = 10_000

// CrossedRead notes that a read below its tenant. A row that cannot be written
// is logged; the read has happened.
func (c *Crossings) CrossedRead(ctx context.Context, a *evcs.Actor, operation string, target evcs.TenantID) {
	id := crossing{user: a.User, key: a.Key, operation: operation, target: target}
	if c.folded(id, c.Clock.Now()) { // which most are
		return
	}
	c.note(ctx, a, id, AuditRow{
		Action: CrossLayerRead, Target: target, TargetType: KindTenant, TargetID: number(target), Success: true,
		CrossLayer: true, Details: map[string]any{"operation": operation},
	})
}

// Refusal is what somebody was not allowed to do.
type Refusal struct {
	Operation            string
	Action               Action
	Target               evcs.TenantID // zero: not known
	TargetType, TargetID string
	Code                 evcs.Code // with status 403
	Cross                bool      // it was below the own tenant
}

// Refused notes a refusal in a transaction of its own: what was refused has
// none. A row that cannot be written is logged.
func (c *Crossings) Refused(ctx context.Context, a *evcs.Actor, r Refusal) {
	c.note(ctx, a, crossing{a.User, a.Key, r.Operation, r.Target, r.TargetID, r.Code}, AuditRow{
		Action: r.Action, Target: r.Target, TargetType: r.TargetType, TargetID: r.TargetID, ErrorCode: r.Code, ErrorMessage: r.Code.Text(false),
		CrossLayer: r.Cross, Details: map[string]any{"operation": r.Operation},
	})
}

// note writes the row, or counts on the one that is open.
func (c *Crossings) note(ctx context.Context, a *evcs.Actor, id crossing, row AuditRow) {
	now := c.Clock.Now()
	if c.folded(id, now) {
		return
	}
	if err := c.settle(ctx, id); err != nil {
		c.Log.ErrorContext(ctx, "folded rows not counted", slog.Any("error", err))
	}
	row.At = now
	row.signedBy(ctx, a)
	if err := c.Transact(context.WithoutCancel(ctx), func(tx Tx) error {
		r := row
		err := tx.Tenants().Record(ctx, &r)
		row.ID = r.ID
		return err
	}); err != nil {
		c.Log.ErrorContext(ctx, "not audited", slog.String("action", string(row.Action)), slog.String("operation", id.operation), slog.Any("error", err))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[crossing]*folding)
	}
	if len(c.open) < maxFolding {
		c.open[id] = &folding{row: row.ID, until: now.Add(foldWindow)}
	}
}

// folded counts a read on the open row, if there is one.
func (c *Crossings) folded(id crossing, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.open[id]
	if f == nil || !now.Before(f.until) {
		return false
	}
	f.more++
	return true
}

// settle closes the row of id and writes what was counted on it.
func (c *Crossings) settle(ctx context.Context, id crossing) error {
	c.mu.Lock()
	f := c.open[id]
	delete(c.open, id)
	c.mu.Unlock()
	if f == nil || f.more == 0 {
		return nil
	}
	err := c.Transact(context.WithoutCancel(ctx), func(tx Tx) error { return tx.Tenants().Fold(ctx, f.row, f.more) })
	if err != nil {
		return fmt.Errorf("fold rows of %s: %w", id.operation, err)
	}
	return nil
}

// Flush writes what was counted: of the minutes that are over, or of all.
func (c *Crossings) Flush(ctx context.Context, everything bool) error {
	now := c.Clock.Now()
	c.mu.Lock()
	var due []crossing
	for id, f := range c.open {
		if everything || !now.Before(f.until) {
			due = append(due, id)
		}
	}
	c.mu.Unlock()
	for _, id := range due {
		if err := c.settle(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// Run flushes now and then until ctx ends, and everything at its end.
func (c *Crossings) Run(ctx context.Context) error {
	tick := time.NewTicker(foldWindow / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return c.Flush(context.WithoutCancel(ctx), true)
		case <-tick.C:
			if err := c.Flush(ctx, false); err != nil {
				c.Log.ErrorContext(ctx, "folded rows not counted", slog.Any("error", err))
			}
		}
	}
}
