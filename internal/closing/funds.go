package closing

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

// readFunds gives the movements of every account to the second leg.
func (c *Closer) readFunds(ctx context.Context, r *run) ([]payment.Problem, error) {
	r.figures, r.paidOut = nil, nil
	channel, ok := r.ch.(payment.FundChannel)
	if !ok || r.flows == nil {
		return nil, nil
	}
	var problems []payment.Problem
	figures := &recon.FundFigures{SHA256: r.fundSHA, Balanced: true}
	for _, s := range r.funds {
		if s.empty != "" {
			figures.Balanced = false
			continue
		}
		f, err := c.openSource(ctx, s)
		if err != nil {
			return nil, err
		}
		summary, err := channel.ReadFund(ctx, s.account, r.Day, f, func(m payment.Movement) error {
			r.payOut(&m)
			return r.flows.Moved(s.account.ID, &m)
		})
		if err != nil {
			return nil, fmt.Errorf("read the fund statement of merchant %d: %w", s.account.ID, err)
		}
		s.summary = payment.Summary{Rows: summary.Rows, Problems: summary.Problems}
		problems = append(problems, s.problems()...)
		figures.Opening += summary.Opening
		figures.Closing += summary.Closing
		figures.Balanced = figures.Balanced && summary.Balanced
		for word, amount := range summary.Other {
			if figures.Other == nil {
				figures.Other = make(map[string]evcs.Money)
			}
			figures.Other[word] += amount
		}
	}
	r.figures = figures
	return problems, nil
}

// flow ends the second leg.
func (c *Closer) flow(ctx context.Context, r *run, out *recon.Outcome) error {
	r.moved = nil
	if r.flows == nil {
		return nil
	}
	list, crossed, figures, err := r.flows.Outcome(ctx)
	if err != nil {
		return err
	}
	figures.SHA256, figures.Opening, figures.Closing = r.figures.SHA256, r.figures.Opening, r.figures.Closing
	figures.Balanced, figures.Other = r.figures.Balanced, r.figures.Other
	r.figures, r.moved = &figures, list
	out.Crossed = append(out.Crossed, crossed...)
	if len(list) > 0 {
		out.Figures.Status = recon.Partial
	}
	return nil
}

// weigh is the third leg: what the journal moved in the day beside what moved on
// the channel's accounts. It comes after everything that the run books.
func (c *Closer) weigh(ctx context.Context, tx Tx, r *run, b *recon.Batch, own []recon.Difference, crossed []string) ([]recon.Difference, error) {
	if r.figures == nil {
		return nil, nil
	}
	from, to, _ := recon.Bounds(b.Day)
	account := ledger.Account{Kind: ledger.Clearing, Name: b.Channel}
	opening, err := tx.Ledger().Balance(ctx, evcs.Only(b.Tenant), account, from)
	if err != nil {
		return nil, err
	}
	closing, err := tx.Ledger().Balance(ctx, evcs.Only(b.Tenant), account, to)
	if err != nil {
		return nil, err
	}
	// Pay-outs and shares that people have booked are not trade, as the statement's
	// withdrawals and transfers are not.
	outside, err := tx.Ledger().Moved(ctx, evcs.Only(b.Tenant), account, outsideKinds(), from, to)
	if err != nil {
		return nil, err
	}
	var before *recon.FundFigures
	last, err := tx.Recon().BatchOf(ctx, evcs.Only(b.Tenant), b.Channel, recon.After(b.Day, -1))
	switch {
	case err == nil:
		before = last.Figures.Funds
	case !errors.Is(err, recon.ErrNoBatch):
		return nil, err
	}
	// Out of suspense on this day came what its statement has, and what was given
	// up in it.
	out := slices.DeleteFunc(slices.Clone(r.waiting), func(d recon.Difference) bool {
		given := d.State == recon.WrittenOff && d.Resolution != nil && d.Resolution.Day == b.Day
		return !given && !slices.Contains(crossed, d.Key)
	})
	return r.figures.Weigh(b, r.accounts[0], closing-opening-outside, own, out, before), nil
}
