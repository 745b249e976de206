package closing_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/store"
)

// A pay-out to the bank leaves the channel in the proof of its day and in no
// other; a closed day takes none.
func TestPayOuts(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		books := &closing.Bookkeeper{Clock: s.clock, Transact: s.transact()}
		pay := func(reference string, amount evcs.Money, day string) (ledger.Entry, error) {
			return books.Book(t.Context(), maker, ledger.Outside{
				Tenant: 1, Kind: ledger.KindPaidOut, Channel: "sandbox", Reference: reference, Amount: amount, At: at(day, 15),
			})
		}
		for range 3 {
			s.sell()
		}
		s.clock.set(at(second, 9))
		if _, err := pay("B1", 5000, first); err != nil {
			t.Fatal(err)
		}
		b := s.run(first)
		proof, err := s.closer.Close(t.Context(), maker, b.ID, "")
		if err != nil || proof.Adjustments != -5000 || proof.Closing != 3*6138-3*37-5000 || proof.LedgerClosing != proof.Closing || !proof.Verify() {
			t.Fatalf("%v %+v", err, proof)
		}
		if _, err := pay("B2", 100, first); !errors.Is(err, recon.ErrClosed) {
			t.Errorf("into a closed day: %v", err)
		}
		if again, err := pay("B1", 5000, first); err != nil || again.ID == 0 {
			t.Errorf("what is booked is answered: %v", err)
		}
		s.sell()
		s.clock.set(at(third, 9))
		if _, err := pay("B2", 100, second); err != nil {
			t.Fatal(err)
		}
		if _, err := books.Reverse(t.Context(), checker, ledger.Outside{Tenant: 1, Kind: ledger.KindPaidOut, Channel: "sandbox", Reference: "B1"}, "another account"); err != nil {
			t.Fatal(err)
		}
		if b = s.run(second); b.Figures.Funds != nil && b.Figures.Funds.Drift != 0 {
			t.Errorf("the funds drift: %+v", b.Figures.Funds)
		}
		next, err := s.closer.Close(t.Context(), maker, b.ID, "")
		if err != nil || next.Opening != proof.Closing || next.Adjustments != -100 || next.LedgerClosing != next.Closing {
			t.Fatalf("%v %+v", err, next)
		}
		s.sell()
		s.clock.set(at(fourth, 9))
		if next, err = s.closer.Close(t.Context(), maker, s.run(third).ID, ""); err != nil || next.Adjustments != 5000 || next.LedgerClosing != next.Closing {
			t.Errorf("the day of the reversal: %v %+v", err, next)
		}
		found, err := ledger.Verify(t.Context(), s.db.Reader().Ledger().Seals(), evcs.Only(1), ledger.Range{})
		if err != nil || len(found) != 1 || !found[0].Sound() {
			t.Errorf("%v %+v", err, found)
		}
		gaps, err := s.db.Reader().Ledger().Gaps(context.WithoutCancel(t.Context()), evcs.Only(1), at(first, 0), at(fourth, 23), 10)
		if err != nil || len(gaps) != 0 {
			t.Errorf("%v %+v", err, gaps)
		}
		s.lose(t)
	})
}

// teller is a channel that calls what it pays out by the channels' word.
type teller struct{ *slow }

func (c teller) ReadFund(ctx context.Context, m payment.Merchant, day string, r io.Reader, each func(payment.Movement) error) (payment.FundSummary, error) {
	return c.slow.ReadFund(ctx, m, day, r, func(x payment.Movement) error {
		if x.Kind == payment.MovedOther {
			x.Word, x.ChannelNo = "提现", "W-"+day
		}
		return each(x)
	})
}

// What the fund statement says left for the bank is booked by itself, once, and
// the clearing account is back at zero.
func TestPayOutsOfTheStatement(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		sealer, err := auth.NewSealer([32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		s.closer = closing.New(closing.Config{
			Clock: s.clock, Channels: map[string]payment.Channel{"sandbox": teller{s.slow}}, Sealer: sealer, Cashier: s.till,
			Read: days{s.db.Reader().Recon(), s.db.Reader().Payments().PaymentDesk}, Transact: s.transact(),
		})
		for range 3 {
			s.sell()
		}
		s.clock.set(at(second, 9))
		b := s.run(first)
		if b.Status != recon.Success || b.Figures.Funds == nil || b.Figures.Funds.Drift != 0 {
			t.Fatalf("%+v %+v", b, b.Figures.Funds)
		}
		if _, err := s.execute(closing.Request{Day: first, Force: true}); err != nil { // books nothing twice
			t.Fatal(err)
		}
		proof, err := s.closer.Close(t.Context(), maker, b.ID, "")
		if err != nil || proof.Adjustments != -(3*6138-3*37) || proof.Closing != 0 || proof.LedgerClosing != 0 {
			t.Errorf("%v %+v", err, proof)
		}
		entries, err := s.db.Reader().Ledger().Lists().EntryPage(t.Context(), evcs.Only(1), ledger.EntryFilter{Kinds: []string{"PAID_OUT"}}, evcs.PageRequest{Page: 1, Size: 10})
		if err != nil || len(entries.Records) != 1 || entries.Records[0].Key != "outside/PAID_OUT/sandbox//W-"+first || recon.DayOf(entries.Records[0].At) != first {
			t.Errorf("%v %+v", err, entries.Records)
		}
	})
}

// lose has an order whose bill was never booked, and an entry that nothing
// stands behind: both are found.
func (s *shop) lose(t *testing.T) {
	t.Helper()
	s.within(func(ctx context.Context, tx *store.Tx) error {
		return ledger.Book(ctx, tx.Ledger(), ledger.Captured(ledger.Money{Tenant: 1, Order: 999, Payment: 999, Channel: "alipay", Amount: 7, At: s.clock.Now(), Owed: true}))
	})
	o := &order.Order{
		Tenant: 1, No: "LOST", Session: "S-LOST", Station: 1, Charger: 10001, Connector: 2, Status: order.Ended, StartState: order.Started, Source: order.FromClient,
		StartedAt: at(third, 8), EndedAt: at(third, 9), Snapshot: 1, ElectricityAmount: 4230, ServiceAmount: 1908, Amount: 6138, CreatedAt: s.clock.Now(), UpdatedAt: s.clock.Now(),
	}
	s.within(func(ctx context.Context, tx *store.Tx) error { return tx.Orders().InsertOrder(ctx, o) })
	gaps, err := s.db.Reader().Ledger().Gaps(t.Context(), evcs.Only(1), at(first, 0), at(fourth, 23), 10)
	if err != nil || len(gaps) != 2 {
		t.Fatalf("%v %+v", err, gaps)
	}
	if g := gaps[0]; g.Subject != ledger.OfOrder || g.ID != int64(o.ID) || g.Expected != 6138 || g.Booked != 0 {
		t.Errorf("the order: %+v", g)
	}
	if g := gaps[1]; g.Subject != ledger.OfEntry || g.Name != "payment/999/captured" || g.Booked != 7 {
		t.Errorf("the entry: %+v", g)
	}
	if one, err := s.db.Reader().Ledger().Gaps(t.Context(), evcs.Only(1), at(first, 0), at(fourth, 23), 1); err != nil || len(one) != 1 {
		t.Errorf("one at most: %+v %v", one, err)
	}
}
