package recon_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

const day = "2026-02-09"

var noon = time.Date(2026, 2, 9, 4, 0, 0, 0, time.UTC)

func account() payment.Merchant {
	return payment.Merchant{ID: 7, Tenant: 1, Channel: payment.ChannelSandbox, FeeRate: 600}
}

// world is both sides of a day, and what must be found.
type world struct {
	locals []recon.Local // of the day
	others []recon.Local // known here, but not of the day
	rows   []payment.Row
	want   map[string]recon.Kind
	keys   int
	limit  int // of rows in memory; 0: the matcher's own
}

func (w *world) find(_ context.Context, d payment.Direction, numbers []string) ([]recon.Local, error) {
	var found []recon.Local
	for _, l := range slices.Concat(w.locals, w.others) {
		if l.Direction == d && slices.Contains(numbers, l.No) {
			found = append(found, l)
		}
	}
	return found, nil
}

func key(d payment.Direction, no string) string { return fmt.Sprintf("%s/7/%s", d, no) }

func pair(d payment.Direction, i int, amount evcs.Money) (recon.Local, payment.Row) {
	no := fmt.Sprintf("EV%026d", i)
	l := recon.Local{
		Direction: d, Merchant: 7, No: no, TradeNo: no, ChannelNo: "C" + strconv.Itoa(i), Amount: amount, Status: "SUCCESS", Succeeded: true, At: noon,
		Payment: evcs.PaymentID(i + 1), Order: 1,
	}
	r := payment.Row{Direction: d, TradeNo: no, ChannelNo: l.ChannelNo, Amount: amount, Succeeded: true, Status: "SUCCESS", At: noon, Raw: no}
	if d == payment.Pay {
		r.Fee = account().FeeOn(amount)
	} else {
		r.RefundNo = no
	}
	return l, r
}

// generate makes a day row by row, each right or wrong in one known way.
func generate(t *rapid.T) *world {
	w := &world{want: make(map[string]recon.Kind), limit: rapid.SampledFrom([]int{0, 1, 7, 30}).Draw(t, "limit")}
	for i := range rapid.IntRange(0, 60).Draw(t, "rows") {
		d := rapid.SampledFrom([]payment.Direction{payment.Pay, payment.Pay, payment.RefundBack}).Draw(t, "direction")
		l, r := pair(d, i, evcs.Money(rapid.Int64Range(1, 1_000_00).Draw(t, "amount")))
		w.keys++
		fault := rapid.SampledFrom([]recon.Kind{"", "", "", recon.LocalOnly, recon.ChannelOnly, recon.AmountMismatch, recon.StatusMismatch, recon.Duplicate, recon.FeeMismatch, "LATE", "UNPAID"}).Draw(t, "fault")
		w.add(l, r, fault)
	}
	w.rows = rapid.Permutation(w.rows).Draw(t, "order")
	w.locals = rapid.Permutation(w.locals).Draw(t, "ours")
	return w
}

func (w *world) add(l recon.Local, r payment.Row, fault recon.Kind) {
	name := key(l.Direction, l.No)
	ours, theirs, want := true, 1, fault
	switch fault {
	case recon.LocalOnly:
		theirs = 0
	case recon.ChannelOnly:
		ours = false
	case recon.AmountMismatch:
		r.Amount++
	case recon.StatusMismatch:
		r.Succeeded, r.Status = false, "CLOSED"
	case recon.Duplicate:
		theirs = 2
	case recon.FeeMismatch:
		if l.Direction != payment.Pay {
			want = ""
		} else {
			r.Fee += 100
		}
	case "LATE": // paid there, not known here as paid
		l.Succeeded, l.Status, l.At = false, "PENDING", time.Time{}
		w.others = append(w.others, l)
		ours, want = false, recon.StatusMismatch
	case "UNPAID": // neither side calls it paid
		l.Succeeded, l.Status, l.At = false, "CLOSED", time.Time{}
		r.Succeeded, r.Status = false, "CLOSED"
		w.others = append(w.others, l)
		ours, want = false, ""
	}
	if ours {
		w.locals = append(w.locals, l)
	}
	for range theirs {
		w.rows = append(w.rows, r)
	}
	if want != "" {
		w.want[name] = want
	}
}

// scratchFile is a file of a test that is gone when it is closed.
type scratchFile struct{ *os.File }

func (f scratchFile) Close() error { return errors.Join(f.File.Close(), os.Remove(f.Name())) }

func onDisk(t interface{ Fatal(args ...any) }) recon.Scratch {
	return func() (recon.ScratchFile, error) {
		f, err := os.CreateTemp("", "recon-test-*")
		if err != nil {
			t.Fatal(err)
		}
		return scratchFile{f}, nil
	}
}

func (w *world) match(t interface{ Fatal(args ...any) }, waiting ...recon.Difference) (recon.Outcome, *recon.Matcher) {
	m := recon.NewMatcher(day, []payment.Merchant{account()}, waiting, onDisk(t))
	defer func() {
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}()
	if w.limit > 0 {
		m.Limit(w.limit)
	}
	for i := range w.locals {
		if err := m.Local(&w.locals[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range w.rows {
		if err := m.Row(7, r); err != nil {
			t.Fatal(err)
		}
	}
	out, err := m.Outcome(context.Background(), w.find)
	if err != nil {
		t.Fatal(err)
	}
	return out, m
}

// TestEveryDifferenceIsFoundAndNoneInvented holds the package's invariant over
// generated days.
func TestEveryDifferenceIsFoundAndNoneInvented(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := generate(t)
		out, _ := w.match(t)
		got := make(map[string]recon.Kind)
		var gap evcs.Money
		for i := range out.Differences {
			d := &out.Differences[i]
			if _, twice := got[d.Key]; twice {
				t.Fatalf("%s is two differences", d.Key)
			}
			got[d.Key] = d.Kind
			gap += d.Gap()
		}
		if !maps.Equal(got, w.want) {
			t.Fatalf("got %v\nwant %v", got, w.want)
		}
		f := out.Figures
		if f.Total != int64(w.keys) || f.Matched != f.Total-int64(len(w.want)) || f.Counts.Total() != int64(len(w.want)) {
			t.Fatalf("%+v of %d keys with %d differences", f, w.keys, len(w.want))
		}
		if f.System-f.Channel() != gap {
			t.Fatalf("the sides differ by %s, the differences explain %s", f.System-f.Channel(), gap)
		}
		if (f.Status == recon.Success) != (len(w.want) == 0) {
			t.Fatalf("status %s with %d differences", f.Status, len(w.want))
		}
	})
}

func TestDigestSeesEveryChange(t *testing.T) {
	t.Parallel()
	w := &world{want: map[string]recon.Kind{}}
	for i := range 3 {
		l, r := pair(payment.Pay, i, 100)
		w.add(l, r, "")
	}
	_, first := w.match(t)
	_, same := w.match(t)
	if first.Digest() != same.Digest() {
		t.Error("the same rows have two digests")
	}
	w.locals[1].Amount++
	_, other := w.match(t)
	if first.Digest() == other.Digest() {
		t.Error("another amount has the same digest")
	}
}

func TestMatchedByTheChannelsNumber(t *testing.T) {
	t.Parallel()
	w := &world{}
	l, r := pair(payment.Pay, 1, 500)
	r.TradeNo = "SOMETHING-ELSE"
	w.locals, w.rows = []recon.Local{l}, []payment.Row{r}
	out, _ := w.match(t)
	if f := out.Figures; f.Total != 1 || f.Matched != 1 || len(out.Differences) != 0 {
		t.Errorf("%+v %+v", f, out.Differences)
	}
	r.Amount = 501
	w.rows = []payment.Row{r}
	out, _ = w.match(t)
	if len(out.Differences) != 1 || out.Differences[0].Kind != recon.AmountMismatch || !slices.Contains(out.Differences[0].Facets, recon.FacetNumber) {
		t.Errorf("%+v", out.Differences)
	}
}

// TestCrossDay follows a row over midnight: in suspense on its day, found the
// day after, and open when two days have passed without it.
func TestCrossDay(t *testing.T) {
	t.Parallel()
	l, r := pair(payment.Pay, 1, 500)
	first := &world{locals: []recon.Local{l}}
	out, _ := first.match(t)
	insert, _ := recon.Merge(nil, out.Differences, noon)
	d := *insert[0]
	if d.Kind != recon.LocalOnly || d.State != recon.Suspended || d.SuspendedUntil != "2026-02-11" {
		t.Fatalf("%+v", d)
	}
	l.At = noon.AddDate(0, 0, -1)
	second := &world{others: []recon.Local{l}, rows: []payment.Row{r}}
	found, _ := second.match(t, d)
	if len(found.Crossed) != 1 || len(found.Differences) != 0 || found.Figures.Matched != 1 {
		t.Errorf("%+v", found)
	}
	unknown, _ := second.match(t)
	if len(unknown.Differences) != 1 || unknown.Differences[0].Kind != recon.ChannelOnly || unknown.Differences[0].Gap() != -500 {
		t.Errorf("%+v", unknown.Differences)
	}
	if late := d; late.Expire("2026-02-10", noon) || !late.Expire("2026-02-11", noon) || late.State != recon.Open {
		t.Errorf("%+v", late)
	}
	d.Found("2026-02-10", noon)
	if d.State != recon.AutoResolved || d.Resolution.Day != "2026-02-10" {
		t.Errorf("%+v", d)
	}
}

func TestMergeKeepsStates(t *testing.T) {
	t.Parallel()
	w := &world{want: map[string]recon.Kind{}}
	for i := range 3 {
		l, r := pair(payment.Pay, i, 100)
		w.add(l, r, recon.AmountMismatch)
	}
	out, _ := w.match(t)
	insert, _ := recon.Merge(nil, out.Differences, noon)
	var stored []recon.Difference
	for _, d := range insert {
		stored = append(stored, *d)
	}
	maker := &evcs.Actor{User: 1}
	if err := stored[0].Propose(maker, recon.Explain, "rounding", noon); err != nil {
		t.Fatal(err)
	}
	again, _ := w.match(t)
	insert, update := recon.Merge(slices.Clone(stored), again.Differences[:2], noon.Add(time.Hour))
	if len(insert) != 0 || len(update) != 3 {
		t.Fatalf("%d new, %d changed", len(insert), len(update))
	}
	got := []recon.State{update[0].State, update[1].State, update[2].State}
	if want := []recon.State{recon.PendingReview, recon.Open, recon.Superseded}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestTheChannelIsADayAhead follows a row that the channel has before midnight
// and we have after it.
func TestTheChannelIsADayAhead(t *testing.T) {
	t.Parallel()
	for _, direction := range []payment.Direction{payment.Pay, payment.RefundBack} {
		l, r := pair(direction, 1, 500)
		l.At = noon.AddDate(0, 0, 1)
		first := &world{others: []recon.Local{l}, rows: []payment.Row{r}}
		out, _ := first.match(t)
		insert, _ := recon.Merge(nil, out.Differences, noon)
		d := *insert[0]
		if d.Kind != recon.ChannelOnly || d.State != recon.Suspended || d.SuspendedUntil != "2026-02-11" || !slices.Contains(d.Facets, recon.FacetLater) || d.Gap() == 0 {
			t.Fatalf("%+v", d)
		}
		l.At = noon // the matcher of the next day
		second := &world{locals: []recon.Local{l}}
		found, _ := second.match(t, d)
		if !slices.Equal(found.Crossed, []string{d.Key}) || len(found.Differences) != 0 || found.Figures.Matched != 1 {
			t.Errorf("%+v", found)
		}
		d.Found("2026-02-10", noon)
		if again, _ := second.match(t, func() recon.Difference { d := d; d.Resolution.Day = day; return d }()); len(again.Crossed) != 1 {
			t.Errorf("run again: %+v", again)
		}
		other := d
		five := evcs.Money(501)
		other.State, other.ChannelAmount = recon.Suspended, &five
		if left, _ := second.match(t, other); len(left.Crossed) != 0 || len(left.Differences) != 1 || left.Differences[0].Kind != recon.LocalOnly {
			t.Errorf("another amount: %+v", left)
		}
	}
}
