package payment

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
)

var began = time.Date(2026, 2, 10, 10, 30, 0, 0, time.UTC)

func TestWhatAStateAllows(t *testing.T) {
	t.Parallel()
	for s := Pending; s <= Closed; s++ {
		p := Payment{Status: s, Amount: 100}
		if got, want := p.Succeed("c", began, began), !s.Paid(); got != want {
			t.Errorf("%s: succeed is news: %t", s, got)
		}
		p = Payment{Status: s, Amount: 100}
		if got := p.Fail("c", "m", began); got != s.Live() || !got && p.Status != s {
			t.Errorf("%s: fail is news: %t, now %s", s, got, p.Status)
		}
		p = Payment{Status: s, Amount: 100}
		moved, err := p.Close(began)
		if moved != s.Live() || (err != nil) != (!s.Live() && s != Closed) {
			t.Errorf("%s: close: %t %v", s, moved, err)
		}
		p = Payment{Status: s, Amount: 100}
		if err := p.BeginRefund(100, began); (err == nil) != (s == Success || s == PartiallyRefunded) {
			t.Errorf("%s: refund: %v", s, err)
		}
	}
}

func TestNoMoreIsReturnedThanWasPaid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := Payment{Status: Success, Amount: evcs.Money(rapid.Int64Range(1, 1000).Draw(t, "amount"))}
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if p.Refunded < 0 || p.Refunding < 0 || p.Refunded+p.Refunding > p.Amount || (p.Status == Refunding) != (p.Refunding > 0) {
					t.Fatalf("%+v", p)
				}
			},
			"begin": func(t *rapid.T) {
				amount := evcs.Money(rapid.Int64Range(-1, 1001).Draw(t, "part"))
				err := p.BeginRefund(amount, began)
				if err != nil && !errors.Is(err, ErrState) && !errors.Is(err, ErrExceeds) {
					t.Fatal(err)
				}
			},
			"done":   func(*rapid.T) { _ = p.RefundDone(began) },
			"undone": func(*rapid.T) { _ = p.RefundUndone(began) },
		})
	})
}

// asked counts the questions over d when every one is in vain.
func asked(next func(now time.Time) time.Time, d time.Duration) (n int, last time.Time) {
	for now := next(began); !now.IsZero() && now.Sub(began) < d; now = next(now) {
		n, last = n+1, now
	}
	return n, last
}

func TestQuestionsAreBounded(t *testing.T) {
	t.Parallel()
	p := Payment{Status: Pending, CreatedAt: began, ExpireAt: began.Add(15 * time.Minute)}
	n, last := asked(func(now time.Time) time.Time {
		p.Plan(now)
		p.Queries++
		return p.NextQueryAt
	}, 365*24*time.Hour)
	if n > 40 || last.After(p.ExpireAt.Add(24*time.Hour)) {
		t.Errorf("a payment is asked about %d times, last %s", n, last)
	}
	r := Refund{Status: RefundProcessing, CreatedAt: began}
	n, last = asked(func(now time.Time) time.Time {
		r.Postpone(now)
		return r.NextQueryAt
	}, 365*24*time.Hour)
	if n < 180 || n > 220 || last.Sub(began) > 30*24*time.Hour || last.Sub(began) < 28*24*time.Hour {
		t.Errorf("a refund is asked about %d times, last %s", n, last)
	}
	if r.Stuck(began.Add(time.Hour)) || !r.Stuck(last) {
		t.Error("stuck after a day")
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for range 1000 {
		no, err := Number(TradeNumber, began, rand.Reader)
		if err != nil || !ValidNumber(no) || seen[no] {
			t.Fatalf("%q %v", no, err)
		}
		seen[no] = true
	}
	for _, odd := range []string{"", "EV", "ev01KH3TQ0Z8V5M2C7R9XAWD4NB6", "EV01KH3TQ0Z8V5M2C7R9XAWD4NB6X"} {
		if ValidNumber(odd) {
			t.Errorf("%q is valid", odd)
		}
	}
}
