package recon_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/recon"
)

var (
	maker   = &evcs.Actor{User: 1, Name: "maker"}
	checker = &evcs.Actor{User: 2, Name: "checker"}
)

func TestTwoPersons(t *testing.T) {
	t.Parallel()
	five, six := evcs.Money(500), evcs.Money(600)
	d := recon.Difference{ID: 3, Day: day, State: recon.Open, Kind: recon.AmountMismatch, Direction: "PAY", LocalAmount: &five, ChannelAmount: &six, LocalDone: true, ChannelDone: true}
	if err := d.Approve(checker, "", "", day, noon); !errors.Is(err, recon.ErrState) {
		t.Errorf("approved without a proposal: %v", err)
	}
	if err := d.Propose(maker, recon.Refund, "give it back", noon); !errors.Is(err, evcs.ErrInvalid) {
		t.Errorf("a refund of what is not known: %v", err)
	}
	if err := d.Propose(maker, recon.WriteOff, "small", noon); err != nil {
		t.Fatal(err)
	}
	if err := d.Propose(maker, recon.Explain, "again", noon); !errors.Is(err, recon.ErrState) {
		t.Errorf("proposed twice: %v", err)
	}
	if err := d.Approve(maker, "", "", day, noon); !errors.Is(err, recon.ErrChecker) {
		t.Errorf("approved by its maker: %v", err)
	}
	if err := d.Reject(maker, "", noon); !errors.Is(err, recon.ErrChecker) {
		t.Errorf("rejected by its maker: %v", err)
	}
	rejected := d
	if err := rejected.Reject(checker, "no", noon); err != nil || rejected.State != recon.Open {
		t.Errorf("%v %s", err, rejected.State)
	}
	if err := d.Approve(checker, "yes", "posting", day, noon); err != nil || d.State != recon.WrittenOff {
		t.Errorf("%v %s", err, d.State)
	}
	if d.Gap() != -100 {
		t.Errorf("gap %s", d.Gap())
	}
}

// TestProofsChain closes generated days one after the other: what the journal
// holds is carried along by the same rules that close proves.
func TestProofsChain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var ledger evcs.Money
		var last *recon.Proof
		on := day
		for i := range rapid.IntRange(1, 6).Draw(t, "days") {
			pay := evcs.Money(rapid.Int64Range(0, 9_999).Draw(t, "payments"))
			back := evcs.Money(rapid.Int64Range(0, 99).Draw(t, "refunds"))
			fee := evcs.Money(rapid.Int64Range(0, 99).Draw(t, "fees"))
			explained := evcs.Money(rapid.Int64Range(-50, 50).Draw(t, "explained"))
			suspended := evcs.Money(rapid.Int64Range(0, 50).Draw(t, "suspended"))
			zero := evcs.Money(0)
			own := []recon.Difference{
				{State: recon.Resolved, Direction: "PAY", LocalAmount: &explained, LocalDone: true, ChannelAmount: &zero, Resolution: &recon.Resolution{Day: on}},
				{State: recon.Suspended, Direction: "PAY", LocalAmount: &suspended, LocalDone: true},
			}
			ledger += pay - back - fee + explained + suspended
			b := &recon.Batch{ID: evcs.BatchID(i + 1), Channel: "sandbox", Day: on, StatementSHA256: "x"}
			b.Figures = recon.Figures{Status: recon.Partial, Payments: pay, Refunds: back, Fees: fee}
			at := noon.Add(time.Duration(i) * time.Hour)
			wrong := recon.Closure{Batch: b, Around: recon.Around{Before: last}, Own: own, Ledger: ledger + 1, By: maker, At: at}
			if _, err := recon.Close(wrong); !errors.Is(err, recon.ErrBlocked) || b.Closed() {
				t.Fatalf("a proof that does not add up: %v", err)
			}
			p, err := recon.Close(recon.Closure{Batch: b, Around: recon.Around{Before: last}, Own: own, Ledger: ledger, By: maker, At: at})
			if err != nil {
				t.Fatal(err)
			}
			if !p.Verify() || last != nil && (p.Opening != last.Closing || p.PreviousHash != last.Hash) {
				t.Fatalf("%+v behind %+v", p, last)
			}
			forged := *p
			forged.Payments++
			if forged.Verify() {
				t.Fatal("a changed proof verifies")
			}
			last, on = p, recon.After(on, 1)
		}
	})
}

func TestCloseIsBlocked(t *testing.T) {
	t.Parallel()
	fresh := func() *recon.Batch {
		return &recon.Batch{ID: 1, Channel: "sandbox", Day: day, Figures: recon.Figures{Status: recon.Success}}
	}
	for name, c := range map[string]recon.Closure{
		"open difference":   {Batch: fresh(), Own: []recon.Difference{{State: recon.Open}}},
		"pending review":    {Batch: fresh(), Own: []recon.Difference{{State: recon.PendingReview}}},
		"no statement":      {Batch: &recon.Batch{ID: 1, Day: day, Figures: recon.Figures{Status: recon.Failed}}},
		"a day before open": {Batch: fresh(), Around: recon.Around{OpenBefore: "2026-02-08"}},
		"a later day shut":  {Batch: fresh(), Around: recon.Around{ClosedAfter: true}},
	} {
		c.By, c.At = maker, noon
		if _, err := recon.Close(c); !errors.Is(err, recon.ErrBlocked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := fresh()
	if _, err := recon.Close(recon.Closure{Batch: b, By: maker, At: noon}); err != nil {
		t.Fatal(err)
	}
	if err := b.Begin("n", noon, noon.Add(time.Hour)); !errors.Is(err, recon.ErrClosed) {
		t.Errorf("a run of a closed day: %v", err)
	}
	if err := b.Reopen(maker, recon.Around{}); !errors.Is(err, recon.ErrChecker) {
		t.Errorf("reopened by its closer: %v", err)
	}
	if err := b.Reopen(checker, recon.Around{ClosedAfter: true}); !errors.Is(err, evcs.ErrInvalid) {
		t.Errorf("reopened before a later one: %v", err)
	}
	if err := b.Reopen(checker, recon.Around{}); err != nil || b.Closed() {
		t.Errorf("%v", err)
	}
}
