package cashier

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

const (
	// lease is how long claimed work belongs to the node that claimed it. What a
	// node claimed that is gone is free at once: see silence.
	lease = time.Minute
	// silence is after what time a node counts as gone: three of its signs of
	// life are missing. One that was only slow is not harmed, nor is anybody
	// else: two nodes that ask about the same payment ask with the same number,
	// and what they hear is applied once.
	silence = 30 * time.Second
	// freeEvery is how often it is looked for nodes that are gone.
	freeEvery = 10 * time.Second
	// callLimit bounds one question to a channel.
	callLimit = 20 * time.Second
	// lanesAtOnce bounds how many accounts are worked on at once.
	lanesAtOnce = 8
	// maxSilent is after how many questions in a row without an answer an account
	// is left alone until its leases end.
	maxSilent = 3
)

// lane is the work of one tenant at one channel, in the order it fell due.
type lane struct {
	payments []payment.Payment
	refunds  []payment.Refund
}

type laneKey struct {
	tenant  evcs.TenantID
	channel string
}

// Due does up to n pieces of work of each kind that are due: asks channels
// about payments and refunds, closes what has expired, pays out automatic
// refunds. It returns how many it took; one that fails is tried again later and
// does not stop the others. Accounts are worked on side by side, each at its
// pace; what is not reached while the lease lasts is due again when it ends.
func (t *Till) Due(ctx context.Context, n int) (int, error) {
	now := t.now()
	c := payment.Claim{Node: t.cfg.Node, Now: now, Until: now.Add(lease), Most: n}
	payments, refunds, err := t.claim(ctx, c)
	if err != nil {
		return 0, err
	}
	lanes := make(map[laneKey]*lane)
	at := func(k laneKey) *lane {
		if lanes[k] == nil {
			lanes[k] = new(lane)
		}
		return lanes[k]
	}
	for _, p := range payments {
		l := at(laneKey{p.Tenant, p.Channel})
		l.payments = append(l.payments, p)
	}
	for _, r := range refunds {
		l := at(laneKey{r.Tenant, r.Channel})
		l.refunds = append(l.refunds, r)
	}
	var group errgroup.Group
	group.SetLimit(lanesAtOnce)
	for _, l := range lanes {
		group.Go(func() error {
			t.work(ctx, l, c.Until)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return len(payments) + len(refunds), nil
}

// claim takes what is due, after freeing what nodes hold that are gone.
func (t *Till) claim(ctx context.Context, c payment.Claim) (payments []payment.Payment, refunds []payment.Refund, err error) {
	look := c.Node != "" && c.Now.Sub(evcs.FromMillis(t.freedAt.Load())) >= freeEvery
	err = t.cfg.Transact(ctx, func(tx Tx) error {
		if look {
			if err := t.free(ctx, tx, c); err != nil {
				return err
			}
		}
		if payments, err = tx.Payments().ClaimPayments(ctx, c); err != nil {
			return err
		}
		refunds, err = tx.Payments().ClaimRefunds(ctx, c)
		return err
	})
	if err == nil && look {
		t.freedAt.Store(evcs.Millis(c.Now))
	}
	return payments, refunds, err
}

func (t *Till) free(ctx context.Context, tx Tx, c payment.Claim) error {
	n, err := tx.Payments().Free(ctx, c, c.Now.Add(-silence))
	if err == nil && t.freedAt.Load() == 0 { // the first look of this life
		var own int64
		own, err = tx.Payments().FreeOwn(ctx, c)
		n += own
	}
	if n > 0 {
		t.cfg.Log.InfoContext(ctx, "took over payments and refunds that a node had claimed which is gone", slog.Int64("count", n))
	}
	return err
}

// work goes through a lane.
func (t *Till) work(ctx context.Context, l *lane, until time.Time) {
	w := worker{till: t, until: until}
	for _, p := range l.payments {
		if !w.next(ctx) {
			return
		}
		w.done(ctx, t.follow, p)
	}
	for _, r := range l.refunds {
		if !w.next(ctx) {
			return
		}
		w.doneRefund(ctx, r)
	}
}

// worker keeps the pace of a lane and its patience.
type worker struct {
	till   *Till
	until  time.Time
	begun  bool
	silent int
}

// next waits for the pace and reports whether there is time for another
// question and somebody who answers.
func (w *worker) next(ctx context.Context) bool {
	if w.begun && w.till.cfg.Pace > 0 {
		timer := time.NewTimer(w.till.cfg.Pace)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	w.begun = true
	return ctx.Err() == nil && w.silent < maxSilent && w.till.now().Add(callLimit).Before(w.until)
}

func (w *worker) done(ctx context.Context, follow func(context.Context, payment.Payment) error, p payment.Payment) {
	limited, cancel := context.WithTimeout(ctx, callLimit)
	err := follow(limited, p)
	cancel()
	if err == nil {
		w.silent = 0
		return
	}
	w.silent++
	w.till.cfg.Log.InfoContext(ctx, "a payment could not be followed up", slog.String("trade_no", p.TradeNo), slog.Any("error", err))
	w.till.missed(ctx, p)
}

func (w *worker) doneRefund(ctx context.Context, r payment.Refund) {
	if r.Waiting() { // the channel is not asked before the second person was
		w.till.missedRefund(ctx, r)
		return
	}
	limited, cancel := context.WithTimeout(ctx, callLimit)
	_, err := w.till.askRefund(limited, r)
	cancel()
	if err == nil || errors.Is(err, payment.ErrRefused) {
		w.silent = 0
		return
	}
	w.silent++
	w.till.cfg.Log.InfoContext(ctx, "a refund could not be followed up", slog.String("refund_no", r.RefundNo), slog.Any("error", err))
	w.till.missedRefund(ctx, r)
}

// missed plans the next question about a payment whose channel gave no answer.
// When that fails too, the claim's lease ends by itself.
func (t *Till) missed(ctx context.Context, p payment.Payment) {
	if _, err := t.change(ctx, p, func(tx Tx, p *payment.Payment) error {
		p.Queries++
		p.Plan(t.now())
		return tx.Payments().Update(ctx, evcs.Only(p.Tenant), p)
	}); err != nil {
		t.cfg.Log.WarnContext(ctx, "a payment could not be postponed", slog.String("trade_no", p.TradeNo), slog.Any("error", err))
	}
}

// missedRefund is missed for a refund.
func (t *Till) missedRefund(ctx context.Context, r payment.Refund) {
	if err := t.cfg.Transact(ctx, func(tx Tx) error {
		now, err := tx.Payments().Refund(ctx, evcs.Only(r.Tenant), r.RefundNo)
		if err != nil {
			return err
		}
		return t.postpone(ctx, tx, &now)
	}); err != nil {
		t.cfg.Log.WarnContext(ctx, "a refund could not be postponed", slog.String("refund_no", r.RefundNo), slog.Any("error", err))
	}
}

// follow asks about one payment; one that has expired is closed at its channel.
func (t *Till) follow(ctx context.Context, p payment.Payment) error {
	if !p.Status.Live() || p.ExpireAt.After(t.now()) {
		_, err := t.ask(ctx, p, "query")
		return err
	}
	_, err := t.shut(ctx, p)
	return err
}
