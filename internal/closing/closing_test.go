package closing_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

func each(t *testing.T, test func(t *testing.T, s *shop)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := open(t, db)
		test(t, s)
		s.balanced()
	})
}

// TestDaysEndToEnd sells, refunds, reconciles and closes four days in a row,
// with every fault that a statement can have on the second.
func TestDaysEndToEnd(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		for range 4 {
			s.sell()
		}
		if _, err := s.till.Refund(t.Context(), maker, cashier.RefundRequest{TradeNo: s.sell().TradeNo, Amount: 1000, Reason: "r"}); err != nil {
			t.Fatal(err)
		}
		s.clock.set(at(second, 9))
		b := s.run(first)
		if f := b.Figures; b.Status != recon.Success || b.RunNo != 1 || f.Total != 6 || f.Matched != 6 || f.System != 5*6138-1000 || f.System != f.Channel() {
			t.Errorf("%+v", b)
		}
		if again := s.run(first); again.RunNo != 1 || again.FinishedAt != b.FinishedAt {
			t.Errorf("nothing changed, and yet %+v", again)
		}
		forced, err := s.execute(closing.Request{Day: first, Force: true})
		if err != nil || forced.RunNo != 2 || forced.Status != recon.Success {
			t.Errorf("%v %+v", err, forced)
		}
		proof, err := s.closer.Close(t.Context(), maker, b.ID, "")
		if err != nil || !proof.Verify() || proof.Closing != 5*6138-1000-5*37 || proof.LedgerClosing != proof.Closing {
			t.Fatalf("%v %+v", err, proof)
		}
		if _, err := s.execute(closing.Request{Day: first, Force: true}); !errors.Is(err, recon.ErrClosed) {
			t.Errorf("a closed day ran: %v", err)
		}
		s.faultyDay(t, proof)
	})
}

func (s *shop) faultyDay(t *testing.T, before recon.Proof) {
	t.Helper()
	for range 8 {
		s.sell()
	}
	s.faults(second, sandboxpay.Faults{Amount: 1, Missing: 1, Extra: 2, Status: 1, Duplicate: 1, Fee: 1})
	s.clock.set(at(third, 11))
	b := s.run(second)
	want := recon.Counts{LocalOnly: 1, ChannelOnly: 2, AmountMismatch: 1, StatusMismatch: 1, Duplicate: 1, FeeMismatch: 1, Suspense: 1}
	if b.Status != recon.Partial || b.Figures.Counts != want || b.Figures.Total != 10 || b.Figures.Matched != 3 || b.OpenDifferences != 6 {
		t.Fatalf("%+v", b)
	}
	if _, err := s.closer.Close(t.Context(), maker, b.ID, ""); !errors.Is(err, recon.ErrBlocked) {
		t.Errorf("closed with open differences: %v", err)
	}
	var missing recon.Difference
	for _, d := range s.differences(b) {
		switch d.Kind {
		case recon.LocalOnly:
			missing = d
		case recon.ChannelOnly, recon.AmountMismatch:
			s.settle(d, recon.WriteOff)
		default:
			s.settle(d, recon.Explain)
		}
	}
	if missing.State != recon.Suspended || missing.SuspendedUntil != fourth {
		t.Errorf("%+v", missing)
	}
	proof, err := s.closer.Close(t.Context(), checker, b.ID, "")
	if err != nil || proof.PreviousHash != before.Hash || proof.Opening != before.Closing || proof.SuspenseIn != 6138 || proof.LedgerClosing != proof.Closing+6138 {
		t.Fatalf("%v %+v", err, proof)
	}
	s.sell()
	s.clock.set(at(fourth, 11))
	next := s.run(third)
	s.clock.set(at("2026-02-13", 11))
	last := s.run(fourth)
	late, err := s.db.Reader().Recon().Difference(t.Context(), evcs.Only(1), missing.ID)
	if err != nil || late.State != recon.Open {
		t.Fatalf("two days later: %v %+v", err, late)
	}
	s.alert(t, alarm.ReconciliationDifference, "DIFFERENCE", int64(late.ID), true)
	if done := s.settle(late, recon.WriteOff); done.State != recon.WrittenOff || done.Resolution.Day != "2026-02-13" {
		t.Errorf("%+v", done)
	}
	s.alert(t, alarm.ReconciliationDifference, "DIFFERENCE", int64(late.ID), false)
	s.clock.set(at("2026-02-14", 11))
	for _, id := range []evcs.BatchID{next.ID, last.ID, s.run("2026-02-13").ID} {
		if proof, err = s.closer.Close(t.Context(), maker, id, ""); err != nil || !proof.Verify() {
			t.Fatalf("close %d: %v", id, err)
		}
	}
	if proof.SuspenseOut != 6138 || proof.LedgerClosing != proof.Closing {
		t.Errorf("%+v", proof)
	}
	if _, err := s.closer.Reopen(t.Context(), checker, last.ID, "r"); !errors.Is(err, evcs.ErrInvalid) {
		t.Errorf("reopened before a later one: %v", err)
	}
}

func (s *shop) alert(t *testing.T, rule alarm.Rule, kind string, id int64, want bool) {
	t.Helper()
	s.within(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Alarms().OpenAlert(ctx, evcs.Only(1), rule, alarm.OfNumber(kind, id))
		if errors.Is(err, alarm.ErrNotFound) == want {
			t.Errorf("%s of %s %d: %v", rule, kind, id, err)
		}
		return nil
	})
}

// TestDifferencesAreTold: amounts that differ at once, others when they have
// been open for more than a day, and what is settled no more.
func TestDifferencesAreTold(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		for range 4 {
			s.sell()
		}
		s.faults(first, sandboxpay.Faults{Amount: 1, Extra: 1})
		s.clock.set(at(second, 11))
		b := s.run(first)
		var odd, extra recon.Difference
		for _, d := range s.differences(b) {
			switch d.Kind {
			case recon.AmountMismatch:
				odd = d
			case recon.ChannelOnly:
				extra = d
			default:
				t.Errorf("%+v", d)
			}
		}
		told := func(when string, d recon.Difference, want bool) {
			t.Helper()
			if _, err := s.closer.Daily(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Log(when)
			s.alert(t, alarm.ReconciliationDifference, "DIFFERENCE", int64(d.ID), want)
		}
		told("at once", odd, true)
		told("at once", extra, false)
		s.clock.set(at(third, 11).Add(-time.Second))
		told("within a day", extra, false)
		s.clock.set(at(third, 11).Add(time.Second))
		told("after a day", extra, true)
		s.settle(odd, recon.WriteOff)
		told("settled", odd, false)
		told("not settled", extra, true)
		s.settle(extra, recon.WriteOff)
		told("settled", extra, false)
	})
}

// TestNoStatementIsAFailure is the difference to systems that call a missing
// statement a day without differences.
func TestNoStatementIsAFailure(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.faults(first, sandboxpay.Faults{NotReady: true})
		s.clock.set(at(second, 11))
		b, err := s.execute(closing.Request{Day: first})
		if !errors.Is(err, payment.ErrNotReady) || b.Status != recon.Failed || b.FailureCode != evcs.CodeStatementNotReady || b.Figures.Total != 1 || b.Figures.Matched != 0 {
			t.Fatalf("%v %+v", err, b)
		}
		if code, _, _ := evcs.Classify(err); code != evcs.CodeStatementNotReady {
			t.Errorf("code %d", code)
		}
		if n, err := s.closer.Daily(t.Context()); n != 0 || err != nil {
			t.Errorf("tried again at once: %d %v", n, err)
		}
		s.alert(t, alarm.ReconciliationFailed, "BATCH", int64(b.ID), false)
		s.clock.set(at(second, 14))
		if n, err := s.closer.Daily(t.Context()); n != 1 || err != nil {
			t.Errorf("the last try: %d %v", n, err)
		}
		s.alert(t, alarm.ReconciliationFailed, "BATCH", int64(b.ID), true)
		if n, _ := s.closer.Daily(t.Context()); n != 0 {
			t.Error("tried again after the last try")
		}
		if _, err := s.closer.Close(t.Context(), maker, b.ID, ""); !errors.Is(err, recon.ErrBlocked) {
			t.Errorf("closed without a statement: %v", err)
		}
		s.faults(first, sandboxpay.Faults{Broken: true})
		b, err = s.execute(closing.Request{Day: first})
		if !errors.Is(err, recon.ErrInvalid) || b.Status != recon.Failed || len(b.Figures.Problems) == 0 {
			t.Fatalf("%v %+v", err, b)
		}
		dry, err := s.execute(closing.Request{Day: first, DryRun: true})
		if !errors.Is(err, recon.ErrInvalid) || dry.ID != b.ID {
			t.Errorf("%v %+v", err, dry)
		}
		s.faults(first, sandboxpay.Faults{})
		if b = s.run(first); b.Status != recon.Success || b.FailureCode != 0 || b.RunNo != 4 {
			t.Errorf("%+v", b)
		}
		s.alert(t, alarm.ReconciliationFailed, "BATCH", int64(b.ID), false)
	})
}

// TestTheChannelIsAsked: the bank was paid and its callback was lost; the run
// asks, and the ordinary states are applied.
func TestTheChannelIsAsked(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		p := s.offer()
		lost := func(context.Context, payment.Merchant, payment.Notice) payment.Reply {
			return payment.Reply{Status: 503}
		}
		if err := s.bank.NotifyOne(t.Context(), 1, p.TradeNo, s.till.SandboxMerchant, lost); err != nil {
			t.Fatal(err)
		}
		s.clock.set(at(second, 11))
		b := s.run(first)
		if b.Status != recon.Partial || b.Figures.Counts.StatusMismatch != 1 || b.OpenDifferences != 0 || b.Figures.System != 6138 {
			t.Errorf("%+v", b)
		}
		got, err := s.db.Reader().Payments().Payment(t.Context(), evcs.Only(1), p.ID)
		if err != nil || got.Status != payment.Success {
			t.Errorf("%v %s", err, got.Status)
		}
		if list := s.differences(b); len(list) != 1 || list[0].State != recon.AutoResolved || list[0].Gap() != 0 {
			t.Errorf("%+v", list)
		}
		if _, err := s.closer.Close(t.Context(), maker, b.ID, ""); err != nil {
			t.Error(err)
		}
	})
}

func TestOneRunAtATime(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.clock.set(at(second, 11))
		s.slow.hold = make(chan struct{})
		const n = 8
		refused := make(chan error, n)
		var all sync.WaitGroup
		var mu sync.Mutex
		var done []recon.Batch
		for range n {
			all.Go(func() {
				b, err := s.execute(closing.Request{Day: first})
				if err != nil {
					refused <- err
					return
				}
				mu.Lock()
				defer mu.Unlock()
				done = append(done, b)
			})
		}
		for range n - 1 {
			if err := <-refused; !errors.Is(err, recon.ErrRunning) {
				t.Errorf("refused with %v", err)
			}
		}
		running, err := s.db.Reader().Recon().BatchOf(t.Context(), evcs.Only(1), "sandbox", first)
		if err != nil || running.Shown(s.clock.Now()) != recon.Running {
			t.Errorf("%v %+v", err, running)
		}
		close(s.slow.hold)
		all.Wait()
		if len(done) != 1 || done[0].RunNo != 1 || done[0].Status != recon.Success {
			t.Errorf("%+v", done)
		}
	})
}

// TestARunThatTakesLong answers RUNNING and goes on by itself; the stop waits.
func TestARunThatTakesLong(t *testing.T) {
	t.Parallel()
	s := open(t, storetest.SQLite(t))
	s.sell()
	s.clock.set(at(second, 11))
	s.slow.hold = make(chan struct{})
	b, err := s.closer.Execute(t.Context(), closing.Request{Tenant: 1, Channel: "sandbox", Day: first}, 0)
	if err != nil || b.Status != recon.Running || b.ID == 0 {
		t.Fatalf("%v %+v", err, b)
	}
	close(s.slow.hold)
	stop, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.closer.Run(stop); err != nil {
		t.Fatal(err)
	}
	b, err = s.db.Reader().Recon().Batch(t.Context(), evcs.Only(1), b.ID)
	if err != nil || b.Shown(s.clock.Now()) == recon.Running {
		t.Errorf("%v %+v", err, b)
	}
}

func TestHandIn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.sell()
		s.clock.set(at(second, 11))
		m, err := s.till.SandboxMerchant(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		st, err := s.bank.Fetch(t.Context(), m, first)
		if err != nil {
			t.Fatal(err)
		}
		s.faults(first, sandboxpay.Faults{NotReady: true})
		u := closing.Upload{Tenant: 1, Channel: "sandbox", Day: first, Kind: recon.KindTrade, File: s.file(bytes.Replace(st.Body, []byte("61.38"), []byte("61.39"), 1))}
		bad, err := s.closer.HandIn(t.Context(), u)
		if !errors.Is(err, recon.ErrInvalid) || len(bad.Summary.Problems) == 0 {
			t.Errorf("%v %+v", err, bad.Summary)
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(st.Body); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		u.File = s.file(packed.Bytes())
		kept, err := s.closer.HandIn(t.Context(), u)
		if err != nil || kept.Summary.Rows != 2 || kept.SHA256 != st.SHA256 {
			t.Fatalf("%v %+v", err, kept)
		}
		if again, err := s.closer.HandIn(t.Context(), u); err != nil || again.ID != kept.ID {
			t.Errorf("the same file again: %v %d", err, again.ID)
		}
		b := s.run(first)
		if b.Status != recon.Success || b.StatementSHA256 != st.SHA256 {
			t.Errorf("%+v", b)
		}
		if _, err := s.closer.Close(t.Context(), maker, b.ID, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := s.closer.HandIn(t.Context(), u); !errors.Is(err, recon.ErrClosed) {
			t.Errorf("a closed day took a statement: %v", err)
		}
		reopened, err := s.closer.Reopen(t.Context(), checker, b.ID, "look again")
		if err != nil || reopened.Closed() {
			t.Errorf("%v %+v", err, reopened)
		}
		if _, err := s.closer.HandIn(t.Context(), u); err != nil {
			t.Error(err)
		}
	})
}

func TestRefundOfADifference(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.faults(first, sandboxpay.Faults{Duplicate: 1})
		s.clock.set(at(second, 11))
		b := s.run(first)
		d := s.differences(b)[0]
		done := s.settle(d, recon.Refund)
		list, err := s.db.Reader().Payments().Refunds(t.Context(), evcs.Only(1), d.Payment)
		if err != nil || len(list) != 1 || done.Resolution.Effect != "refund "+list[0].RefundNo {
			t.Errorf("%v %+v %+v", err, list, done.Resolution)
		}
		if _, err := s.closer.Approve(t.Context(), checker, d.ID, ""); !errors.Is(err, recon.ErrState) {
			t.Errorf("approved twice: %v", err)
		}
		s.faults(first, sandboxpay.Faults{})
		if b = s.run(first); b.Status != recon.Success || b.RunNo != 2 {
			t.Errorf("%+v", b)
		}
	})
}

func TestCatchUp(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.clock.set(at(fourth, 10).Add(20 * time.Minute))
		if n, err := s.closer.Daily(t.Context()); n != 3 || err != nil {
			t.Errorf("%d %v", n, err)
		}
		var got []string
		for _, day := range []string{first, second, third, fourth} {
			if _, err := s.db.Reader().Recon().BatchOf(t.Context(), evcs.Only(1), "sandbox", day); err == nil {
				got = append(got, day)
			}
		}
		if !slices.Equal(got, []string{first, second, third}) {
			t.Errorf("%v", got)
		}
	})
}

// TestAKilledRunDoesNotHoldItsDay: a node that died in a run gives the day back
// when it starts again, and the new run is the same batch. Another node's start
// gives nothing back.
func TestAKilledRunDoesNotHoldItsDay(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.clock.set(at(second, 9))
		s.within(func(ctx context.Context, tx *store.Tx) error { // what a run leaves when it is killed
			b := recon.Batch{Tenant: 1, Channel: "sandbox", Day: first}
			if err := b.Begin("killed", s.clock.Now(), s.clock.Now().Add(time.Hour)); err != nil {
				return err
			}
			return tx.Recon().InsertBatch(ctx, &b)
		})
		if _, err := s.execute(closing.Request{Day: first}); !errors.Is(err, recon.ErrRunning) {
			t.Errorf("the day was not held: %v", err)
		}
		for node, want := range map[string]int{"other": 0, "killed": 1} {
			n, err := closing.New(closing.Config{Node: node, Clock: s.clock, Transact: s.transact()}).Recover(t.Context())
			if n != want || err != nil {
				t.Errorf("%s gave back %d days, %v", node, n, err)
			}
		}
		left, err := s.db.Reader().Recon().BatchOf(t.Context(), evcs.Only(1), "sandbox", first)
		if err != nil || left.Status != recon.Failed || left.FailureMessage == "" {
			t.Errorf("left as %+v, %v", left, err)
		}
		if b := s.run(first); b.ID != left.ID || b.Status != recon.Success || b.RunNo != 1 || b.FailureMessage != "" {
			t.Errorf("run again: %+v", b)
		}
	})
}
