package closing

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
)

// NightReader reads what the nightly check looks at.
type NightReader interface {
	ledger.Journal
	ledger.Completeness
	// Checked is the day, counted from 1970, whose check is done.
	Checked(ctx context.Context) (int64, error)
}

// NightTx is what the nightly check writes.
type NightTx interface {
	Alarms() alarm.Store
	Leases() alarm.Conditions
	NoteChecked(ctx context.Context, day int64) error
}

// Night checks the journal of every tenant once a night: its seals, that its
// entries balance, and that every order, payment and refund is booked. What it
// finds is an alert.
type Night struct {
	Node     string
	Clock    evcs.Clock
	Log      *slog.Logger
	Read     NightReader
	Transact func(ctx context.Context, fn func(NightTx) error) error
}

const (
	// nightly is the hour of the day, in the zone of statements, after which the
	// check is due.
	nightly = 3 * time.Hour
	// sealsBack and gapsBack are how many days the nightly check goes back; a
	// person may check everything.
	sealsBack = 62
	gapsBack  = 35
	nightGaps = 1000
	nightHeld = 2 * time.Hour // the lease: longer than a check takes
	inMessage = 5             // findings that an alert's message names
)

// Run does the check of the night when it is due and nobody has done it. It
// returns how many tenants have something wrong.
func (n *Night) Run(ctx context.Context) (int, error) {
	now := n.Clock.Now()
	day := (evcs.Millis(now) + 8*3600_000 - nightly.Milliseconds()) / (24 * 3600_000)
	done, err := n.Read.Checked(ctx)
	if err != nil || done >= day {
		return 0, err
	}
	mine := false
	if err := n.Transact(ctx, func(tx NightTx) (err error) {
		mine, err = tx.Leases().Claim(ctx, "ledger check", n.Node, now, now.Add(nightHeld))
		return err
	}); err != nil || !mine {
		return 0, err
	}
	scope := evcs.Subtree(evcs.PlatformTenant)
	checked, err := ledger.Verify(ctx, n.Read, scope, ledger.Range{From: ledger.DayOf(now.AddDate(0, 0, -sealsBack))})
	if err != nil {
		return 0, fmt.Errorf("verify the journal: %w", err)
	}
	gaps, err := n.Read.Gaps(ctx, scope, now.AddDate(0, 0, -gapsBack), now, nightGaps)
	if err != nil {
		return 0, fmt.Errorf("look for gaps of the journal: %w", err)
	}
	return n.tell(ctx, checked, gaps, day, now)
}

// tell raises and ends the alerts of tenants, and notes that the check is done.
func (n *Night) tell(ctx context.Context, checked []ledger.Checked, gaps []ledger.Gap, day int64, now time.Time) (int, error) {
	broken, missing, tenants := make(map[evcs.TenantID]string), make(map[evcs.TenantID]string), make(map[evcs.TenantID]bool)
	for i := range checked {
		c := &checked[i]
		tenants[c.Tenant] = true
		if !c.Sound() {
			broken[c.Tenant] = findings(len(c.Problems), func(i int) string {
				p := c.Problems[i]
				return fmt.Sprintf("%s %s entry %d", p.Day, p.Defect, p.Entry)
			})
			n.Log.ErrorContext(ctx, "the journal is not what it was", slog.Int64("tenant_id", int64(c.Tenant)), slog.Int("problems", len(c.Problems)))
		}
	}
	of := make(map[evcs.TenantID][]ledger.Gap)
	for _, g := range gaps {
		tenants[g.Tenant] = true
		of[g.Tenant] = append(of[g.Tenant], g)
	}
	for t, list := range of {
		missing[t] = findings(len(list), func(i int) string {
			return fmt.Sprintf("%s %s: booked %s, not %s", list[i].Subject, list[i].Name, list[i].Booked, list[i].Expected)
		})
	}
	return len(broken) + len(missing), n.Transact(ctx, func(tx NightTx) error {
		for t := range tenants {
			if err := settle(ctx, tx, alarm.LedgerBroken, t, broken[t], now); err != nil {
				return err
			}
			if err := settle(ctx, tx, alarm.LedgerIncomplete, t, missing[t], now); err != nil {
				return err
			}
		}
		return tx.NoteChecked(ctx, day)
	})
}

// findings words the first of n.
func findings(n int, word func(i int) string) string {
	text := fmt.Sprintf("%d", n)
	for i := range min(n, inMessage) {
		text += "; " + word(i)
	}
	return text
}

// settle raises the alert of a tenant, or ends it when there is nothing to say.
func settle(ctx context.Context, tx NightTx, rule alarm.Rule, t evcs.TenantID, message string, now time.Time) error {
	if message == "" {
		return alarm.Cure(ctx, tx.Alarms(), rule, t, alarm.OfTenant(t), "nightly check", now)
	}
	return alarm.Raise(ctx, tx.Alarms(), alarm.Alert{Tenant: t, Rule: rule, Target: alarm.OfTenant(t), Message: message}, now)
}
