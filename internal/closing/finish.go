package closing

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

// maxAsked bounds how many rows of a run the channel is asked about.
const maxAsked = 200

// ask asks the channel about rows that only one side calls succeeded. What our
// books learn by that is matched again and recorded as resolved by itself.
func (c *Closer) ask(ctx context.Context, r *run, out recon.Outcome) (recon.Outcome, error) {
	r.denied = make(map[string]string)
	var adopted []recon.Difference
	asked := 0
	for i := range out.Differences {
		d := out.Differences[i]
		late := d.Kind == recon.StatusMismatch && d.ChannelDone && !d.LocalDone && d.Payment != 0
		if asked == maxAsked || !late && d.Kind != recon.LocalOnly {
			continue
		}
		asked++
		if d.Kind == recon.LocalOnly {
			c.askMissing(ctx, r, &d)
			continue
		}
		if err := c.adopt(ctx, &d); err != nil {
			c.cfg.Log.InfoContext(ctx, "a channel did not answer about a difference", slog.String("key", d.Key), slog.Any("error", err))
			continue
		}
		if d.LocalDone {
			d.Settled(c.now())
			adopted = append(adopted, d)
		}
	}
	if len(adopted) == 0 {
		return out, nil
	}
	if err := c.locals(ctx, r); err != nil {
		return out, err
	}
	again, t, err := c.outcome(ctx, r)
	if err == nil && t != nil {
		err = fmt.Errorf("the statement read again: %s: %w", t.message, t.rule)
	}
	again.Add(adopted)
	return again, err
}

// askMissing notes whether the channel denies a row that its statement lacks.
func (c *Closer) askMissing(ctx context.Context, r *run, d *recon.Difference) {
	account := r.accounts[slices.IndexFunc(r.accounts, func(m payment.Merchant) bool { return m.ID == d.Merchant })]
	if d.Direction == payment.RefundBack {
		answer, err := r.ch.QueryRefund(ctx, account, d.TradeNo, d.RefundNo)
		if err == nil && answer.State == payment.RefundFailed {
			r.denied[d.Key] = answer.State.String()
		}
		return
	}
	trade, err := r.ch.Query(ctx, account, d.TradeNo)
	if err == nil && trade.State != payment.TradePaid {
		r.denied[d.Key] = string(trade.State)
	}
}

// adopt has the cashier ask the channel, and takes what our books say then.
func (c *Closer) adopt(ctx context.Context, d *recon.Difference) error {
	self := evcs.System(d.Tenant)
	no := d.TradeNo
	var err error
	if d.Direction == payment.RefundBack {
		no = d.RefundNo
		_, err = c.cfg.Cashier.QueryRefund(ctx, self, no)
	} else {
		_, _, err = c.cfg.Cashier.Query(ctx, self, no, "always")
	}
	if err != nil {
		return err
	}
	list, err := c.cfg.Read.FindLocal(ctx, evcs.Only(d.Tenant), d.Channel, d.Direction, []string{no})
	for i := range list {
		d.Adopted(list[i])
	}
	return err
}

// finish stores the outcome of a run: differences, suspense, fees, alerts.
func (c *Closer) finish(ctx context.Context, r *run, out recon.Outcome) error {
	digest := r.digest()
	kept, err := c.evidence(ctx, r)
	if err != nil {
		return err
	}
	moved, funds := r.moved, r.figures
	return c.change(ctx, r, func(tx Tx, b *recon.Batch) error {
		now := c.now()
		figures := out.Figures
		figures.Ignored = r.ignored()
		if funds != nil {
			f := *funds
			r.figures = &f // a transaction may run again
		}
		delta := figures.Fees - b.Figures.Booked
		if err := ledger.Book(ctx, tx.Ledger(), ledger.Fees(b.Tenant, b.Channel, b.ID, b.RunNo+1, lastMoment(b.Day), delta)); err != nil {
			return err
		}
		figures.Booked = figures.Fees
		if err := r.bookPayOuts(ctx, tx); err != nil {
			return err
		}
		suspended, odd, err := c.merge(ctx, tx, r, b, slices.Concat(out.Differences, moved), out.Crossed, now)
		if err != nil {
			return err
		}
		figures.Counts.Suspense, figures.SuspenseIn = suspended, suspended
		if figures.Funds = r.figures; odd {
			figures.Status = recon.Partial
		}
		if err := c.pool(ctx, tx, r, out.Crossed, now); err != nil {
			return err
		}
		if err := keep(ctx, tx, kept); err != nil {
			return err
		}
		b.Finish(figures, r.sha, digest, now)
		if err := alarm.Cure(ctx, tx.Alarms(), alarm.ReconciliationFailed, b.Tenant, ofBatch(b.ID), "run "+number(b.RunNo), now); err != nil {
			return err
		}
		return emit(ctx, tx, b)
	})
}

// ignored adds up what the statements have beside payments and refunds.
func (r *run) ignored() map[string]int {
	var all map[string]int
	for _, s := range r.sources {
		for word, n := range s.summary.Ignored {
			if all == nil {
				all = make(map[string]int)
			}
			all[word] += n
		}
	}
	return all
}

// merge brings the stored differences of the batch to what was found, then
// weighs the day and brings those of the third leg along. It counts the rows in
// suspense; odd says that the third leg found something.
func (c *Closer) merge(ctx context.Context, tx Tx, r *run, b *recon.Batch, found []recon.Difference, crossed []string, now time.Time) (suspended int64, odd bool, err error) {
	stored, err := tx.Recon().DifferencesOf(ctx, evcs.Only(b.Tenant), b.ID)
	if err != nil {
		return 0, false, err
	}
	var rows, balances []recon.Difference
	for i := range stored {
		if recon.LegOf(&stored[i]) == recon.FacetBalance {
			balances = append(balances, stored[i])
		} else {
			rows = append(rows, stored[i])
		}
	}
	insert, update := recon.Merge(rows, found, now)
	for _, d := range slices.Concat(insert, update) {
		if word, ok := r.denied[d.Key]; ok && d.State == recon.Suspended {
			d.Deny(word, now)
		}
		if d.State == recon.Suspended && recon.LegOf(d) == "" {
			suspended++
		}
	}
	if err := c.apply(ctx, tx, b, insert, update, now); err != nil {
		return 0, false, err
	}
	own := rows
	for _, d := range insert {
		own = append(own, *d)
	}
	weighed, err := c.weigh(ctx, tx, r, b, own, crossed)
	if err != nil {
		return 0, false, err
	}
	odd = len(weighed) > 0
	insert, update = recon.Merge(balances, weighed, now)
	return suspended, odd, c.apply(ctx, tx, b, insert, update, now)
}

// apply stores what a merge says.
func (c *Closer) apply(ctx context.Context, tx Tx, b *recon.Batch, insert, update []*recon.Difference, now time.Time) error {
	for _, d := range insert {
		d.Batch = b.ID
		if err := tx.Recon().InsertDifference(ctx, d); err != nil {
			return err
		}
		if err := raise(ctx, tx, d, now); err != nil {
			return err
		}
	}
	for _, d := range update {
		if err := c.undo(ctx, tx, d); err != nil {
			return err
		}
		if err := c.write(ctx, tx, d, now); err != nil {
			return err
		}
	}
	return nil
}

// undo takes the posting of a write-off back whose difference is there no more.
func (c *Closer) undo(ctx context.Context, tx Tx, d *recon.Difference) error {
	entry := ledger.WriteOffUndone(d.Tenant, d.Channel, d.ID, d.Version, lastMoment(d.Day), 0)
	amount := recon.Undo(d, entry.Key)
	return ledger.Book(ctx, tx.Ledger(), ledger.WriteOffUndone(d.Tenant, d.Channel, d.ID, d.Version, lastMoment(d.Day), amount))
}

// write stores a difference that exists and brings its alert along.
func (c *Closer) write(ctx context.Context, tx Tx, d *recon.Difference, now time.Time) error {
	if err := tx.Recon().UpdateDifference(ctx, evcs.Only(d.Tenant), d); err != nil {
		return err
	}
	if d.Unsettled() {
		return raise(ctx, tx, d, now)
	}
	return alarm.Cure(ctx, tx.Alarms(), alarm.ReconciliationDifference, d.Tenant, ofDifference(d.ID), string(d.State), now)
}

// raise raises the alert of a difference that somebody must look at at once.
func raise(ctx context.Context, tx Tx, d *recon.Difference, now time.Time) error {
	denied := slices.Contains(d.Facets, recon.FacetDenied)
	if d.State != recon.Open || d.Kind != recon.AmountMismatch && !denied {
		return nil
	}
	severity := alarm.High
	if denied {
		severity = alarm.Critical
	}
	return alert(ctx, tx, d, severity, now)
}

func alert(ctx context.Context, tx Tx, d *recon.Difference, severity alarm.Severity, now time.Time) error {
	return alarm.Raise(ctx, tx.Alarms(), alarm.Alert{
		Tenant: d.Tenant, Rule: alarm.ReconciliationDifference, Severity: severity, Target: ofDifference(d.ID),
		Message: fmt.Sprintf("%s %s %s of %s: ours %s, theirs %s", d.Channel, d.Day, d.Kind, d.Key, text(d.LocalAmount, d.LocalEnergy), text(d.ChannelAmount, d.ChannelEnergy)),
	}, now)
}

// text words one side of a difference.
func text(amount *evcs.Money, energy *evcs.Energy) string {
	var words []string
	if amount != nil {
		words = append(words, amount.String())
	}
	if energy != nil {
		words = append(words, energy.String()+" kWh")
	}
	if words == nil {
		return "-"
	}
	return strings.Join(words, ", ")
}

// pool settles the suspense of days before: what this statement has is found,
// what no statement of its days had is opened.
func (c *Closer) pool(ctx context.Context, tx Tx, r *run, crossed []string, now time.Time) error {
	waiting, err := tx.Recon().Suspense(ctx, evcs.Only(r.Tenant), r.Channel, r.Day, now.Add(time.Hour))
	if err != nil {
		return err
	}
	for i := range waiting {
		d := &waiting[i]
		switch {
		case d.Unsettled() && slices.Contains(crossed, d.Key):
			d.Found(r.Day, now)
		case !d.Expire(r.Day, now):
			continue
		}
		if err := c.write(ctx, tx, d, now); err != nil {
			return err
		}
		if d.State != recon.Open {
			continue
		}
		if err := alert(ctx, tx, d, alarm.High, now); err != nil {
			return err
		}
	}
	return nil
}
