package closing

import (
	"context"
	"errors"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/tenant"
)

// Bookkeeper books what people report: money that moved outside of the
// platform. A closed day of a channel does not change by it.
type Bookkeeper struct {
	Clock    evcs.Clock
	Transact func(ctx context.Context, fn func(Tx) error) error
}

// outsideKinds are the kinds that move a channel's money beside payments,
// refunds, fees and write-offs, and their reversal.
func outsideKinds() []ledger.Kind { return append(ledger.OutsideKinds(), ledger.KindReversed) }

// paidOut is what left the channel since the closed day before.
func paidOut(ctx context.Context, tx Tx, b *recon.Batch, around recon.Around) (evcs.Money, error) {
	var from time.Time
	if around.Before != nil {
		_, from, _ = recon.Bounds(around.Before.Day)
	}
	_, to, _ := recon.Bounds(b.Day)
	return tx.Ledger().Moved(ctx, evcs.Only(b.Tenant), ledger.Account{Kind: ledger.Clearing, Name: b.Channel}, outsideKinds(), from, to)
}

// Book books a movement. The same again is answered with what is booked; the
// same reference with anything else is refused (9400).
func (k *Bookkeeper) Book(ctx context.Context, a *evcs.Actor, o ledger.Outside) (ledger.Entry, error) {
	now := k.Clock.Now()
	if o.At.IsZero() {
		o.At = now
	}
	if err := evcs.Invalid(o.Faults(now)...); err != nil {
		return ledger.Entry{}, err
	}
	var booked ledger.Entry
	err := k.Transact(ctx, func(tx Tx) error {
		if err := tenant.Reach(a, o.Tenant, true); err != nil {
			return err
		}
		scope, entry := evcs.Only(o.Tenant), o.Entry()
		was, err := tx.Ledger().Entry(ctx, scope, entry.Key)
		if err != nil {
			return err
		}
		if was != nil {
			booked = *was
			return same(ctx, tx, was, &entry)
		}
		if err := k.unclosed(ctx, tx, o.Tenant, o.Channel, o.At); err != nil {
			return err
		}
		if err := k.book(ctx, tx, entry, &booked); err != nil {
			return err
		}
		return k.audit(ctx, tx, a, tenant.LedgerBook, &booked)
	})
	return booked, err
}

// same refuses a reference that is used for something else, or was taken back.
func same(ctx context.Context, tx Tx, was, now *ledger.Entry) error {
	back, err := tx.Ledger().Entry(ctx, evcs.Only(was.Tenant), ledger.Reversed(*was, was.At, "").Key)
	if err != nil {
		return err
	}
	if back != nil {
		return evcs.Invalid(evcs.FieldFault{Field: "reference", Message: "was booked and taken back: use another"})
	}
	if was.Postings[0] != now.Postings[0] || was.Postings[1] != now.Postings[1] {
		return evcs.Invalid(evcs.FieldFault{Field: "reference", Message: "is booked with another amount"})
	}
	return nil
}

// Reverse takes a movement back by another entry. Again it is answered with
// what was booked then.
func (k *Bookkeeper) Reverse(ctx context.Context, a *evcs.Actor, o ledger.Outside, reason string) (ledger.Entry, error) {
	var booked ledger.Entry
	err := k.Transact(ctx, func(tx Tx) error {
		if err := tenant.Reach(a, o.Tenant, true); err != nil {
			return err
		}
		scope, now := evcs.Only(o.Tenant), k.Clock.Now()
		was, err := tx.Ledger().Entry(ctx, scope, o.Entry().Key)
		if err != nil {
			return err
		}
		if was == nil || !was.Reversible() {
			return evcs.Invalid(evcs.FieldFault{Field: "reference", Message: "nothing is booked under it"})
		}
		entry := ledger.Reversed(*was, now, reason)
		done, err := tx.Ledger().Entry(ctx, scope, entry.Key)
		if err != nil || done != nil {
			if done != nil {
				booked = *done
			}
			return err
		}
		if err := k.unclosed(ctx, tx, o.Tenant, o.Channel, now); err != nil {
			return err
		}
		if err := k.book(ctx, tx, entry, &booked); err != nil {
			return err
		}
		return k.audit(ctx, tx, a, tenant.LedgerReverse, &booked)
	})
	return booked, err
}

// book books the entry and reads it back with its number.
func (k *Bookkeeper) book(ctx context.Context, tx Tx, e ledger.Entry, booked *ledger.Entry) error {
	if err := ledger.Book(ctx, tx.Ledger(), e); err != nil {
		return err
	}
	kept, err := tx.Ledger().Entry(ctx, evcs.Only(e.Tenant), e.Key)
	if err == nil && kept != nil {
		*booked = *kept
	}
	return err
}

// unclosed refuses (4014) what would change a closed day of a channel.
func (k *Bookkeeper) unclosed(ctx context.Context, tx Tx, owner evcs.TenantID, channel string, at time.Time) error {
	if channel == "" {
		return nil
	}
	scope, day := evcs.Only(owner), recon.DayOf(at)
	b, err := tx.Recon().BatchOf(ctx, scope, channel, day)
	if err != nil && !errors.Is(err, recon.ErrNoBatch) {
		return err
	}
	if err == nil {
		if err := b.CheckOpen(); err != nil {
			return err
		}
	}
	around, err := tx.Recon().Around(ctx, scope, channel, day)
	if err == nil && around.ClosedAfter {
		err = evcs.With(recon.ErrClosed, map[string]any{"channel": channel, "reconciliationDate": day})
	}
	return err
}

func (k *Bookkeeper) audit(ctx context.Context, tx Tx, a *evcs.Actor, action tenant.Action, e *ledger.Entry) error {
	return tenant.Audit(ctx, tx.Tenants(), a, tenant.AuditRow{
		At: k.Clock.Now(), Action: action, Target: e.Tenant, TargetType: tenant.KindLedgerEntry, TargetID: number(e.ID), Success: true,
		Details: map[string]any{"key": e.Key, "amount": e.Postings[0].Amount.String(), "memo": e.Memo},
	})
}

const (
	// withdrawal is the word of both channels for a pay-out to the bank.
	withdrawal = "提现"
	// maxPaidOut bounds the pay-outs of a day; a channel makes one or two.
	maxPaidOut = 1000
)

// payOut keeps a movement that is a pay-out to the bank.
func (r *run) payOut(m *payment.Movement) {
	if m.Kind != payment.MovedOther || m.Word != withdrawal || m.Amount >= 0 || m.ChannelNo == "" || len(r.paidOut) == maxPaidOut {
		return
	}
	o := ledger.Outside{
		Tenant: r.Tenant, Kind: ledger.KindPaidOut, Channel: r.Channel, Reference: m.ChannelNo, Amount: -m.Amount, At: m.At, Memo: m.Word + " " + r.Day,
	}
	if recon.DayOf(o.At) != r.Day {
		o.At = lastMoment(r.Day)
	}
	r.paidOut = append(r.paidOut, o)
}

// bookPayOuts books what the fund statements say left for the bank, once by its
// number at the channel: what a person has booked under it stands.
func (r *run) bookPayOuts(ctx context.Context, tx Tx) error {
	for _, o := range r.paidOut {
		if err := ledger.Book(ctx, tx.Ledger(), o.Entry()); err != nil {
			return err
		}
	}
	return nil
}
