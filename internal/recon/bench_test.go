package recon_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

// index finds local rows without walking all of them.
func index(w *world) recon.Find {
	by := make(map[string]recon.Local, len(w.locals))
	for _, l := range w.locals {
		by[l.No] = l
	}
	return func(_ context.Context, _ payment.Direction, numbers []string) ([]recon.Local, error) {
		var found []recon.Local
		for _, no := range numbers {
			if l, ok := by[no]; ok {
				found = append(found, l)
			}
		}
		return found, nil
	}
}

// BenchmarkReconcile matches a day of 100 000 rows with one difference in a
// thousand, beside a bare hash join of the same rows that only counts them.
func BenchmarkReconcile(b *testing.B) {
	const n = 100_000
	w := &world{want: make(map[string]recon.Kind)}
	for i := range n {
		l, r := pair(payment.Pay, i, evcs.Money(i%9000+1))
		fault := recon.Kind("")
		if i%1000 == 0 {
			fault = recon.AmountMismatch
		}
		w.add(l, r, fault)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(w.rows), func(i, j int) { w.rows[i], w.rows[j] = w.rows[j], w.rows[i] }) //nolint:gosec // a benchmark
	find := index(w)
	b.Run("product", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m := recon.NewMatcher(day, []payment.Merchant{account()}, nil, nil)
			for i := range w.locals {
				if err := m.Local(&w.locals[i]); err != nil {
					b.Fatal(err)
				}
			}
			for _, r := range w.rows {
				if err := m.Row(7, r); err != nil {
					b.Fatal(err)
				}
			}
			out, err := m.Outcome(b.Context(), find)
			if err != nil || len(out.Differences) != n/1000 {
				b.Fatal(err, len(out.Differences))
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			amounts := make(map[string]evcs.Money, n)
			for i := range w.locals {
				amounts[w.locals[i].No] = w.locals[i].Amount
			}
			differ := 0
			for _, r := range w.rows {
				if amount, ok := amounts[r.TradeNo]; !ok || amount != r.Amount {
					differ++
				}
				delete(amounts, r.TradeNo)
			}
			if differ+len(amounts) != n/1000 {
				b.Fatal(differ, len(amounts))
			}
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}
