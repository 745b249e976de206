package closing_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// statements are those of a day as the bank gives them.
func (s *shop) statements(day string) (trade, fund []byte) {
	s.t.Helper()
	m, err := s.till.SandboxMerchant(s.t.Context(), 1)
	if err != nil {
		s.t.Fatal(err)
	}
	t, err := s.bank.Fetch(s.t.Context(), m, day)
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := s.bank.FetchFund(s.t.Context(), m, day)
	if err != nil {
		s.t.Fatal(err)
	}
	return t.Body, f.Body
}

// handIn hands a statement in that must verify.
func (s *shop) handIn(day, kind string, text []byte) recon.Statement {
	s.t.Helper()
	st, err := s.closer.HandIn(s.t.Context(), closing.Upload{Tenant: 1, Channel: "sandbox", Day: day, Kind: kind, File: s.file(text)})
	if err != nil {
		s.t.Fatalf("%v %+v", err, st.Summary.Problems)
	}
	return st
}

// fundText writes a fund statement of movements: kind, channel number, amount.
func fundText(day string, moves ...[3]string) []byte {
	var b bytes.Buffer
	b.WriteString("kind,channelNo,tradeNo,amount,balance,time\n")
	var balance, in, out evcs.Money
	for _, m := range moves {
		amount, _ := evcs.ParseMoney(m[2])
		balance += amount
		if amount > 0 {
			in += amount
		} else {
			out -= amount
		}
		fmt.Fprintf(&b, "%s,%s,,%s,%s,%s\n", m[0], m[1], amount, balance, at(day, 12).Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "TOTAL,%d,%s,%s\n", len(moves), in, out)
	return b.Bytes()
}

func TestThreeLegsAgree(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.sell()
		s.clock.set(at(second, 11))
		b := s.run(first)
		f := b.Figures.Funds
		if b.Status != recon.Success || f == nil || f.Movements != 5 || f.Keys != 2 || f.Matched != 2 || f.Payments != 2*6138 || f.Fees != 2*37 ||
			f.Ledger != f.Moved() || f.Drift != 0 || !f.Balanced || f.Other["OTHER"] != -f.Moved() {
			t.Fatalf("%+v of %+v", f, b.Figures)
		}
		if again := s.run(first); again.RunNo != 1 {
			t.Errorf("nothing changed, and yet run %d", again.RunNo)
		}
	})
}

// TestTheMoneyDidNotMove: what the trade statement says and the account does
// not is found number by number, and what nobody lists is drift.
func TestTheMoneyDidNotMove(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		for range 4 {
			s.sell()
		}
		s.clock.set(at(second, 11))
		trade, _ := s.statements(first)
		var numbers []string
		for line := range strings.SplitSeq(string(trade), "\n") {
			if f := strings.Split(line, ","); f[0] == "PAY" {
				numbers = append(numbers, f[3])
			}
		}
		s.handIn(first, recon.KindTrade, trade)
		s.handIn(first, recon.KindFund, fundText(first,
			[3]string{"PAYMENT", numbers[0], "61.38"}, [3]string{"FEE", numbers[0], "-0.37"},
			[3]string{"PAYMENT", numbers[1], "61.30"}, [3]string{"FEE", numbers[1], "-0.37"},
			[3]string{"PAYMENT", numbers[2], "61.38"}, [3]string{"FEE", numbers[2], "-0.50"},
			[3]string{"PAYMENT", "NOBODY", "5.00"}, [3]string{"OTHER", "W", "-100.00"},
		))
		b := s.run(first)
		f := b.Figures.Funds
		if b.Status != recon.Partial || b.Figures.Matched != 4 || f.Matched != 1 || f.Keys != 5 || f.Drift != 0 || b.Figures.Counts.Total() != 0 || b.Figures.SuspenseIn != 0 {
			t.Fatalf("%+v of %+v", f, b.Figures)
		}
		found := make(map[string]recon.Difference)
		for _, d := range s.differences(b) {
			if recon.LegOf(&d) != recon.FacetFundFlow || d.Gap() != 0 || d.LocalRaw == "" && d.ChannelRaw == "" {
				t.Errorf("%+v", d)
			}
			found[d.ChannelNo] = d
		}
		for no, want := range map[string]recon.Kind{numbers[1]: recon.AmountMismatch, numbers[2]: recon.FeeMismatch, numbers[3]: recon.LocalOnly, "NOBODY": recon.ChannelOnly} {
			if found[no].Kind != want {
				t.Errorf("%s is %s, want %s", no, found[no].Kind, want)
			}
		}
		if len(found) != 4 || found[numbers[3]].State != recon.Suspended {
			t.Errorf("%+v", found)
		}
		if _, err := s.closer.Close(t.Context(), maker, b.ID, ""); !errors.Is(err, recon.ErrBlocked) {
			t.Errorf("closed with money that did not move: %v", err)
		}
		if _, err := s.closer.Resolve(t.Context(), maker, found["NOBODY"].ID, closing.Proposal{Action: recon.WriteOff, Reason: "r"}); !errors.Is(err, evcs.ErrInvalid) {
			t.Errorf("wrote off what is not in our books: %v", err)
		}
		for _, d := range found {
			if d.State == recon.Open {
				s.settle(d, recon.Explain)
			}
		}
		if _, err := s.closer.Close(t.Context(), maker, b.ID, ""); err != nil {
			t.Fatal(err)
		}
		s.movedLate(t, found[numbers[3]])
	})
}

// movedLate has the day after bring the movement that the first lacked.
func (s *shop) movedLate(t *testing.T, d recon.Difference) {
	t.Helper()
	s.clock.set(at(third, 11))
	trade, _ := s.statements(second)
	s.handIn(second, recon.KindTrade, trade)
	s.handIn(second, recon.KindFund, fundText(second, [3]string{"PAYMENT", d.ChannelNo, "61.38"}, [3]string{"FEE", d.ChannelNo, "-0.37"}))
	b := s.run(second)
	late, err := s.db.Reader().Recon().Difference(t.Context(), evcs.Only(1), d.ID)
	if err != nil || late.State != recon.AutoResolved || late.Resolution.Day != second {
		t.Errorf("%v %+v", err, late)
	}
	if f := b.Figures.Funds; f.Drift != 0 || f.Matched != f.Keys {
		t.Errorf("%+v", f)
	}
	var opening int
	for _, d := range s.differences(b) {
		if recon.LegOf(&d) != recon.FacetBalance || !slices.Contains(d.Facets, recon.FacetOpening) {
			t.Errorf("%+v", d)
		}
		opening++
	}
	if opening != 1 { // the account of the first day did not end at nothing
		t.Errorf("%d differences of the opening balance", opening)
	}
}

// TestDrift: the journal moved what neither the channel nor a difference knows.
func TestDrift(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.within(func(ctx context.Context, tx *store.Tx) error {
			return ledger.Book(ctx, tx.Ledger(), ledger.WrittenOff(1, "sandbox", 999, 1, at(first, 12), 123))
		})
		s.clock.set(at(second, 11))
		b := s.run(first)
		list := s.differences(b)
		if b.Status != recon.Partial || b.Figures.Funds.Drift != 123 || len(list) != 1 || list[0].Kind != recon.AmountMismatch || recon.LegOf(&list[0]) != recon.FacetBalance || list[0].State != recon.Open {
			t.Fatalf("%+v %+v", b.Figures.Funds, list)
		}
		s.within(func(ctx context.Context, tx *store.Tx) error {
			return ledger.Book(ctx, tx.Ledger(), ledger.WriteOffUndone(1, "sandbox", 999, 1, at(first, 13), -123))
		})
		forced, err := s.execute(closing.Request{Day: first, Force: true})
		if list = s.differences(b); err != nil || forced.Status != recon.Success || len(list) != 1 || list[0].State != recon.Superseded {
			t.Errorf("%v %+v %+v", err, forced.Figures.Funds, list)
		}
	})
}

// TestWrittenOffAndThenPaid: a row that was unknown here is written off, and
// then turns out to be ours: the write-off is taken back and the day closes.
func TestWrittenOffAndThenPaid(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.clock.set(at(second, 11))
		trade, fund := s.statements(first)
		extra := strings.Replace(string(trade), "TOTAL,1,61.38,0.00,0.37", "PAY,EV99,,C99,5.00,0.00,SUCCESS,"+at(first, 12).Format(time.RFC3339)+"\nTOTAL,2,66.38,0.00,0.37", 1)
		s.handIn(first, recon.KindTrade, []byte(extra))
		b := s.run(first)
		odd := s.differences(b)
		if len(odd) != 1 || odd[0].Kind != recon.ChannelOnly {
			t.Fatalf("%+v", odd)
		}
		if done := s.settle(odd[0], recon.WriteOff); done.State != recon.WrittenOff {
			t.Fatalf("%+v", done)
		}
		held := func() evcs.Money {
			sum, err := s.db.Reader().Ledger().Balance(t.Context(), evcs.Only(1), ledger.Account{Kind: ledger.Clearing, Name: "sandbox"}, at(second, 0))
			if err != nil {
				t.Fatal(err)
			}
			return sum
		}
		if got := held(); got != 6138-37+500 {
			t.Errorf("written off, the channel holds %s", got)
		}
		s.clock.set(at(second, 12))
		s.handIn(first, recon.KindTrade, append(bytes.Clone(trade), '\n'))
		s.handIn(first, recon.KindFund, fund)
		b = s.run(first)
		got := s.differences(b)[0]
		if b.Status != recon.Success || got.State != recon.WrittenOff || !slices.Contains(got.Facets, recon.FacetGone) || got.Resolution.Undone == "" || held() != 6138-37 {
			t.Errorf("%+v %+v, the channel holds %s", b.Figures, got, held())
		}
		s.handIn(first, recon.KindTrade, []byte(extra+"\n"))
		b = s.run(first)
		if got = s.differences(b)[0]; got.State != recon.Open || slices.Contains(got.Facets, recon.FacetGone) || b.OpenDifferences != 1 {
			t.Errorf("there again: %+v", got)
		}
		s.settle(got, recon.WriteOff)
		if held() != 6138-37+500 {
			t.Errorf("written off again, the channel holds %s", held())
		}
		proof, err := s.closer.Close(t.Context(), maker, b.ID, "")
		if err != nil || proof.LedgerClosing != proof.Closing {
			t.Errorf("%v %+v", err, proof)
		}
	})
}

// busy is a channel over which a payment arrives while its statement is read.
type busy struct {
	*sandboxpay.Bank
	arrive func()
}

func (b *busy) Read(ctx context.Context, m payment.Merchant, day string, r io.Reader, row func(payment.Row) error) (payment.Summary, error) {
	if arrive := b.arrive; arrive != nil {
		b.arrive = nil
		arrive()
	}
	return b.Bank.Read(ctx, m, day, r, row)
}

// TestAPaymentInFlight: a payment whose callback arrives between the reading of
// our books and of the statement is no difference.
func TestAPaymentInFlight(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		p := s.offer()
		lost := func(context.Context, payment.Merchant, payment.Notice) payment.Reply {
			return payment.Reply{Status: 503}
		}
		if err := s.bank.NotifyOne(t.Context(), 1, p.TradeNo, s.till.SandboxMerchant, lost); err != nil {
			t.Fatal(err)
		}
		s.channels["sandbox"] = &busy{s.bank, func() {
			if _, _, err := s.till.Query(t.Context(), maker, p.TradeNo, "always"); err != nil {
				t.Error(err)
			}
		}}
		s.clock.set(at(first, 20))
		b := s.run(first)
		if b.Status != recon.Success || b.Figures.Total != 2 || b.Figures.Matched != 2 {
			t.Errorf("%+v %+v", b.Figures, s.differences(b))
		}
	})
}

// TestALargeStatement lies in several pieces and comes out as it went in.
func TestALargeStatement(t *testing.T) {
	t.Parallel()
	s := open(t, storetest.SQLite(t))
	s.clock.set(at(second, 11))
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	var b bytes.Buffer
	b.WriteString("direction,tradeNo,refundNo,channelNo,amount,fee,status,time\n")
	const n = 30_000
	for i := range n {
		fmt.Fprintf(&b, "PAY,EV%d,,%016x%016x,1.00,0.00,SUCCESS,%s\n", i, random.Uint64(), random.Uint64(), at(first, 12).Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "TOTAL,%d,%d.00,0.00,0.00\n", n, n)
	st := s.handIn(first, recon.KindTrade, b.Bytes())
	kept, err := s.db.Reader().Recon().StatementOf(t.Context(), evcs.Only(1), st.Merchant, first, recon.KindTrade)
	if err != nil || kept.ID != st.ID || kept.Size < 600<<10 {
		t.Fatalf("%v %+v", err, kept)
	}
	if again := s.handIn(first, recon.KindTrade, b.Bytes()); again.ID != st.ID {
		t.Errorf("the same file again is %d and %d", st.ID, again.ID)
	}
	pieces := 0
	if err := s.db.Reader().Recon().EachPiece(t.Context(), evcs.Only(1), kept, func([]byte) error { pieces++; return nil }); err != nil || pieces != 2 {
		t.Errorf("%d pieces, %v", pieces, err)
	}
	run, err := s.execute(closing.Request{Day: first, DryRun: true})
	if err != nil || run.Figures.Total != n || run.Figures.Counts.ChannelOnly != n || run.StatementSHA256 != st.SHA256 {
		t.Errorf("%v %+v", err, run.Figures)
	}
}

// TestAbandonedPieces go after a day; those of statements stay.
func TestAbandonedPieces(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.clock.set(at(second, 11))
		trade, _ := s.statements(first)
		s.handIn(first, recon.KindTrade, trade)
		s.within(func(ctx context.Context, tx *store.Tx) error {
			for i := range 3 {
				if err := tx.Recon().KeepPiece(ctx, evcs.Only(1), recon.Piece{File: "nobody's", No: i, At: s.clock.Now(), Body: []byte("x")}); err != nil {
					return err
				}
			}
			return nil
		})
		if gone, err := s.closer.CleanUp(t.Context(), 100); gone != 0 || err != nil {
			t.Errorf("%d pieces went at once, %v", gone, err)
		}
		s.clock.set(at(third, 12))
		for _, want := range []int{2, 1, 0} {
			if gone, err := s.closer.CleanUp(t.Context(), 2); gone != want || err != nil {
				t.Errorf("%d abandoned pieces went, want %d, %v", gone, want, err)
			}
		}
		if b := s.run(first); b.Status != recon.Success || b.StatementSHA256 == "" {
			t.Errorf("%+v", b)
		}
	})
}

// TestAStatementThatDoesNotFit is refused as a whole: nobody deals with a
// hundred thousand differences.
func TestAStatementThatDoesNotFit(t *testing.T) {
	t.Parallel()
	s := open(t, storetest.SQLite(t))
	s.sell()
	s.clock.set(at(second, 11))
	var b bytes.Buffer
	b.WriteString("direction,tradeNo,refundNo,channelNo,amount,fee,status,time\n")
	const n = 100_001
	for i := range n {
		fmt.Fprintf(&b, "PAY,EV%d,,%d,1.00,0.00,SUCCESS,%s\n", i, i, at(first, 12).Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "TOTAL,%d,%d.00,0.00,0.00\n", n, n)
	s.handIn(first, recon.KindTrade, b.Bytes())
	run, err := s.execute(closing.Request{Day: first})
	if !errors.Is(err, recon.ErrInvalid) || run.Status != recon.Failed || !strings.Contains(run.FailureMessage, "does not look like") || len(s.differences(run)) > 0 {
		t.Errorf("%v %+v", err, run)
	}
}

// silent is a channel that has no statement and says why.
type silent struct {
	*sandboxpay.Bank
	word string
}

func (s *silent) Fetch(context.Context, payment.Merchant, string) (payment.Statement, error) {
	return payment.Statement{}, evcs.With(payment.ErrNotReady, map[string]any{"channelMessage": s.word})
}

func (s *silent) FetchFund(ctx context.Context, m payment.Merchant, day string) (payment.Statement, error) {
	return s.Fetch(ctx, m, day)
}

// TestADayWithoutRows: WeChat says that a day is empty; Alipay's word means that
// only from 14:00 of the next day on; neither is believed while we have rows.
func TestADayWithoutRows(t *testing.T) {
	t.Parallel()
	s := open(t, storetest.SQLite(t))
	accounts := make(map[string]payment.MerchantID)
	for channel, word := range map[string]string{"alipay": "isp.bill_not_exist", "wechat": "NO_STATEMENT_EXIST", "other": "NO_STATEMENT_EXIST"} {
		s.channels[channel] = &silent{s.bank, word}
		s.within(func(ctx context.Context, tx *store.Tx) error {
			m := payment.Merchant{Tenant: 1, Channel: channel, Name: channel, Mode: "LIVE", Enabled: true, Config: "{}", Sealed: "{}", CallbackToken: channel, CreatedAt: s.clock.Now(), UpdatedAt: s.clock.Now()}
			if err := tx.Payments().InsertMerchant(ctx, evcs.Only(1), &m); err != nil {
				return err
			}
			accounts[channel] = m.ID
			return nil
		})
	}
	for _, c := range []struct {
		channel string
		hour    int
		want    recon.Status
	}{{"wechat", 11, recon.Success}, {"alipay", 13, recon.Failed}, {"alipay", 14, recon.Success}, {"other", 15, recon.Failed}} {
		s.clock.set(at(second, c.hour))
		b, err := s.closer.Execute(t.Context(), closing.Request{Tenant: 1, Channel: c.channel, Day: first, Force: true}, time.Minute)
		if b.Status != c.want || (err == nil) != (c.want == recon.Success) || err != nil && !errors.Is(err, payment.ErrNotReady) {
			t.Errorf("%s at %d: %v %+v", c.channel, c.hour, err, b)
		}
	}
	s.clock.set(at(first, 10))
	p := s.sell()
	s.within(func(ctx context.Context, tx *store.Tx) error {
		p, err := tx.Payments().Payment(ctx, evcs.Only(1), p.ID)
		if err != nil {
			return err
		}
		p.TradeNo, p.Channel, p.Merchant, p.Settles, p.RequestKey = "EV"+strings.Repeat("7", 26), "wechat", accounts["wechat"], false, ""
		return tx.Payments().Insert(ctx, evcs.Only(1), &p)
	})
	s.clock.set(at(second, 15))
	b, err := s.closer.Execute(t.Context(), closing.Request{Tenant: 1, Channel: "wechat", Day: first, Force: true}, time.Minute)
	if !errors.Is(err, payment.ErrNotReady) || b.Status != recon.Failed || b.Figures.Total != 1 {
		t.Errorf("a day with rows of ours: %v %+v", err, b)
	}
}

// TestMidnight: the channel has a payment before midnight, we have it after:
// both days close, the first with the row in suspense, the second without.
func TestMidnight(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.clock.set(at(second, 0).Add(10 * time.Second))
		p := s.sell()
		s.within(func(ctx context.Context, tx *store.Tx) error {
			trade, err := store.Sandbox(tx).Trade(ctx, evcs.Only(1), p.TradeNo)
			if err != nil {
				return err
			}
			trade.DoneAt = at(second, 0).Add(-time.Second)
			return store.Sandbox(tx).UpdateTrade(ctx, evcs.Only(1), &trade)
		})
		s.clock.set(at(second, 11))
		b := s.run(first)
		list := s.differences(b)
		if b.Status != recon.Partial || len(list) != 1 || list[0].Kind != recon.ChannelOnly || list[0].State != recon.Suspended || b.Figures.Funds.Drift != 0 {
			t.Fatalf("%+v %+v %+v", b.Figures, b.Figures.Funds, list)
		}
		proof, err := s.closer.Close(t.Context(), maker, b.ID, "")
		if err != nil || proof.SuspenseIn != -6138 || proof.Closing != 6138-37 || proof.LedgerClosing != -37 {
			t.Fatalf("%v %+v", err, proof)
		}
		s.clock.set(at(third, 11))
		b = s.run(second)
		late, err := s.db.Reader().Recon().Difference(t.Context(), evcs.Only(1), list[0].ID)
		if err != nil || late.State != recon.AutoResolved || late.Resolution.Day != second || b.Status != recon.Success || b.Figures.SuspenseOut != 1 || b.Figures.Funds.Drift != 0 {
			t.Fatalf("%v %+v %+v %+v", err, late, b.Figures, b.Figures.Funds)
		}
		if proof, err = s.closer.Close(t.Context(), maker, b.ID, ""); err != nil || proof.SuspenseOut != -6138 || proof.LedgerClosing != proof.Closing {
			t.Errorf("%v %+v", err, proof)
		}
	})
}

// TestTheFundStatementComesLate: a day stands without it, it is asked for again
// in the morning, and a channel that fails then takes nothing away.
func TestTheFundStatementComesLate(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.slow.unmoved = true
		daily := func(clock time.Duration, want int) recon.Batch {
			t.Helper()
			s.clock.set(at(second, 0).Add(clock))
			if n, err := s.closer.Daily(t.Context()); n != want || err != nil {
				t.Errorf("at %s: %d runs, %v", clock, n, err)
			}
			b, err := s.db.Reader().Recon().BatchOf(t.Context(), evcs.Only(1), "sandbox", first)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		const open = 10*time.Hour + 20*time.Minute
		if b := daily(open, 1); b.Status != recon.Success || b.Figures.Funds != nil {
			t.Fatalf("%+v", b)
		}
		daily(open+5*time.Minute, 0)
		if b := daily(open+30*time.Minute, 1); b.Status != recon.Success || b.RunNo != 1 || b.Figures.Funds != nil {
			t.Errorf("%+v", b)
		}
		daily(open+35*time.Minute, 0)
		s.faults(first, sandboxpay.Faults{NotReady: true})
		if b := daily(open+60*time.Minute, 1); b.Status != recon.Success || b.RunNo != 1 || b.FailureMessage != "" {
			t.Errorf("the channel failed: %+v", b)
		}
		s.faults(first, sandboxpay.Faults{})
		s.slow.unmoved = false
		if b := daily(open+90*time.Minute, 1); b.Status != recon.Success || b.RunNo != 2 || b.Figures.Funds == nil || b.Figures.Funds.Drift != 0 {
			t.Errorf("%+v", b)
		}
		daily(open+120*time.Minute, 0)
	})
}
