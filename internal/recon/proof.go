package recon

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Proof is the arithmetic of a closed day, chained to the closed day before.
type Proof struct {
	Batch           evcs.BatchID
	Channel         string
	Day             string
	Opening         evcs.Money
	Payments        evcs.Money
	Refunds         evcs.Money
	Fees            evcs.Money
	SuspenseIn      evcs.Money
	SuspenseOut     evcs.Money
	Adjustments     evcs.Money
	Closing         evcs.Money
	LedgerClosing   evcs.Money
	StatementSHA256 string
	StatementRows   int64
	ClosedBy        evcs.UserID
	ClosedAt        time.Time
	PreviousHash    string
	Hash            string
}

// Seal is the hash over the proof and the hash before it.
func (p *Proof) Seal() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "evcs proof 1\n%d\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%d\n%d\n%d\n%s\n",
		p.Batch, p.Channel, p.Day, p.Opening, p.Payments, p.Refunds, p.Fees, p.SuspenseIn, p.SuspenseOut, p.Adjustments, p.Closing,
		p.LedgerClosing, p.StatementSHA256, p.StatementRows, p.ClosedBy, evcs.Millis(p.ClosedAt), p.PreviousHash))
	return hex.EncodeToString(sum[:])
}

// Verify reports whether the proof adds up by itself and carries its hash.
func (p *Proof) Verify() bool {
	return p.Hash == p.Seal() && p.Closing == p.Opening+p.Payments-p.Refunds-p.Fees+p.Adjustments
}

// Closure is what a day is closed from.
type Closure struct {
	Batch  *Batch
	Around Around
	Own    []Difference // of the batch
	// Earlier are the differences of days before that waited, see Suspense.
	Earlier []Difference
	Ledger  evcs.Money // what our journal says the channel holds at the day's end
	// Moved is what was paid out of the channel, beside refunds, since the closed
	// day before: negative.
	Moved evcs.Money
	By    *evcs.Actor
	At    time.Time
}

// Close makes the proof of a day, or refuses (4021) with what is in its way.
func Close(c Closure) (*Proof, error) {
	b := c.Batch
	if err := b.CheckOpen(); err != nil {
		return nil, err
	}
	if b.RunningUntil.After(c.At) {
		return nil, evcs.With(ErrRunning, map[string]any{"batchId": b.ID})
	}
	var problems []string
	if !b.Figures.Status.Verified() {
		problems = append(problems, "the day has no verified statement")
	}
	if c.Around.OpenBefore != "" {
		problems = append(problems, c.Around.OpenBefore+" is not closed")
	}
	if c.Around.ClosedAfter {
		problems = append(problems, "a later day is closed")
	}
	open, pending := unresolved(c.Own)
	p := c.proof()
	if was := c.pool(); p.LedgerClosing-p.Closing != was+p.SuspenseIn-p.SuspenseOut && open+pending == 0 {
		problems = append(problems, fmt.Sprintf("the journal says %s, the proof %s with %s in suspense", p.LedgerClosing, p.Closing, was+p.SuspenseIn-p.SuspenseOut))
	}
	if open+pending > 0 || len(problems) > 0 {
		if problems == nil {
			problems = []string{}
		}
		return nil, evcs.With(ErrBlocked, map[string]any{"batchId": b.ID, "open": open, "pendingReview": pending, "problems": problems})
	}
	p.Hash = p.Seal()
	b.Proof, b.ClosedAt, b.ClosedBy = p, c.At, c.By.User
	return p, nil
}

func unresolved(list []Difference) (open, pending int64) {
	for i := range list {
		switch list[i].State {
		case Open:
			open++
		case PendingReview:
			pending++
		default:
		}
	}
	return open, pending
}

// pool is what was in suspense when the day began.
func (c *Closure) pool() evcs.Money {
	if c.Around.Before == nil {
		return 0
	}
	return c.Around.Before.LedgerClosing - c.Around.Before.Closing
}

// proof adds up the day. A difference that is settled within its day by no
// posting adjusts the channel's figures; one that outlives its day goes into
// suspense and comes out on the day that settles it.
func (c *Closure) proof() *Proof {
	f := c.Batch.Figures
	p := &Proof{
		Batch: c.Batch.ID, Channel: c.Batch.Channel, Day: c.Batch.Day, Payments: f.Payments, Refunds: f.Refunds, Fees: f.Fees,
		Adjustments: c.Moved, LedgerClosing: c.Ledger, StatementSHA256: c.Batch.StatementSHA256, StatementRows: f.Rows, ClosedBy: c.By.User, ClosedAt: c.At,
	}
	if before := c.Around.Before; before != nil {
		p.Opening, p.PreviousHash = before.Closing, before.Hash
	}
	for i := range c.Own {
		d := &c.Own[i]
		switch {
		case d.State == Superseded:
		case d.Resolution == nil || d.Resolution.Day != p.Day:
			p.SuspenseIn += d.Gap()
		case d.State != WrittenOff:
			p.Adjustments += d.Gap()
		}
	}
	for i := range c.Earlier {
		d := &c.Earlier[i]
		if d.Resolution == nil || d.Resolution.Day != p.Day || d.State == Superseded || d.Unsettled() {
			continue
		}
		p.SuspenseOut += d.Gap()
		if d.State == Resolved {
			p.Adjustments += d.Gap()
		}
	}
	p.Closing = p.Opening + p.Payments - p.Refunds - p.Fees + p.Adjustments
	return p
}

// Reopen opens the newest closed day of a channel again, by another person than
// the one who closed it.
func (b *Batch) Reopen(a *evcs.Actor, around Around) error {
	if !b.Closed() || around.ClosedAfter {
		return evcs.Invalid(errNotNewest)
	}
	if a.User == b.ClosedBy {
		return evcs.With(ErrChecker, map[string]any{"maker": b.ClosedBy})
	}
	b.ClosedAt, b.ClosedBy, b.Proof = time.Time{}, 0, nil
	return nil
}
