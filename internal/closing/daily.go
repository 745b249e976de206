package closing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

const (
	// catchUp is how many days back a missed day is made up for.
	catchUp = 30
	// opens and ends are when, after a day, its statement is asked for.
	opens = 10*time.Hour + 20*time.Minute
	ends  = 14 * time.Hour
	retry = 30 * time.Minute
	// aged is how long a difference may be open before somebody is told.
	aged      = 24 * time.Hour
	agedBatch = 1000
)

// Daily does what is due: the days of every tenant and channel that have no
// verified statement yet, oldest first, and the alerts of differences that are
// open for long. It answers how many days it ran.
func (c *Closer) Daily(ctx context.Context) (int, error) {
	accounts, err := c.cfg.Read.Accounts(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	var failures []error
	for _, account := range accounts {
		for _, day := range c.days(account) {
			if ctx.Err() != nil {
				return n, ctx.Err()
			}
			ran, err := c.due(ctx, account, day)
			if err != nil {
				failures = append(failures, fmt.Errorf("reconcile %s %s of tenant %d: %w", account.Channel, day, account.Tenant, err))
			}
			if ran {
				n++
			}
		}
	}
	return n, errors.Join(append(failures, c.tellAged(ctx))...)
}

// days are the ended days of an account whose statement may be asked for.
func (c *Closer) days(account recon.Account) []string {
	now := c.now()
	last := recon.DayOf(now.Add(-opens).AddDate(0, 0, -1))
	first := max(recon.DayOf(account.Since), recon.After(last, 1-catchUp))
	var days []string
	for day := first; day <= last; day = recon.After(day, 1) {
		days = append(days, day)
	}
	return days
}

// due runs a day when it has not been run, or when it failed and it is time to
// try again: each half hour of the morning, and once at its end.
func (c *Closer) due(ctx context.Context, account recon.Account, day string) (bool, error) {
	b, err := c.cfg.Read.BatchOf(ctx, evcs.Only(account.Tenant), account.Channel, day)
	now := c.now()
	q := Request{Tenant: account.Tenant, Channel: account.Channel, Day: day}
	switch {
	case errors.Is(err, recon.ErrNoBatch):
	case err != nil:
		return false, err
	case b.Closed():
		return false, nil
	case c.fundless(&b, now):
		q.funds = true
	case b.Shown(now) != recon.Failed || !again(b.FinishedAt, now):
		return false, nil
	}
	r, err := c.begin(ctx, q)
	if errors.Is(err, recon.ErrRunning) || errors.Is(err, recon.ErrClosed) {
		return false, nil // another node
	}
	if err != nil {
		return false, err
	}
	b, err = c.perform(ctx, r)
	if err == nil || b.FailureCode == 0 {
		return true, err
	}
	c.cfg.Log.WarnContext(ctx, "a day could not be reconciled", slog.Int64("batch_id", int64(b.ID)), slog.Any("error", err))
	if timeOfDay(now) < ends && recon.After(day, 1) == recon.DayOf(now) {
		return true, nil // there is still time
	}
	return true, c.cfg.Transact(ctx, func(tx Tx) error {
		return alarm.Raise(ctx, tx.Alarms(), alarm.Alert{
			Tenant: b.Tenant, Rule: alarm.ReconciliationFailed, Target: ofBatch(b.ID),
			Message: fmt.Sprintf("%s %s: %d %s", b.Channel, b.Day, b.FailureCode, b.FailureMessage),
		}, c.now())
	})
}

// fundless reports whether a day was reconciled without the fund statement that
// its channel may have by now: it is asked for each half hour of the morning.
func (c *Closer) fundless(b *recon.Batch, now time.Time) bool {
	_, tells := c.cfg.Channels[b.Channel].(payment.FundChannel)
	clock := timeOfDay(now)
	return tells && b.Shown(now).Verified() && b.Figures.Funds == nil && b.Figures.Rows > 0 && recon.After(b.Day, 1) == recon.DayOf(now) &&
		clock >= opens && clock < ends && now.Sub(b.StartedAt) >= retry
}

func again(last, now time.Time) bool {
	clock := timeOfDay(now)
	if clock >= opens && clock < ends {
		return now.Sub(last) >= retry
	}
	return clock >= ends && (now.Sub(last) >= 24*time.Hour || recon.DayOf(last) < recon.DayOf(now) || timeOfDay(last) < ends)
}

// timeOfDay is the time since midnight in the zone of statements.
func timeOfDay(at time.Time) time.Duration {
	from, _, _ := recon.Bounds(recon.DayOf(at))
	return at.Sub(from)
}

// tellAged raises an alert, once, for each difference that is open for long.
func (c *Closer) tellAged(ctx context.Context) error {
	now := c.now()
	list, err := c.cfg.Read.Aged(ctx, now.Add(-aged), agedBatch)
	if err != nil || len(list) == 0 {
		return err
	}
	return c.cfg.Transact(ctx, func(tx Tx) error {
		for i := range list {
			d := &list[i]
			_, err := tx.Alarms().OpenAlert(ctx, evcs.Only(d.Tenant), alarm.ReconciliationDifference, ofDifference(d.ID))
			if err == nil {
				continue
			}
			if !errors.Is(err, alarm.ErrNotFound) {
				return err
			}
			if err := alert(ctx, tx, d, alarm.High, now); err != nil {
				return err
			}
		}
		return nil
	})
}
