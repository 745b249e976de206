package ledger_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
)

var noon = time.Date(2026, 2, 10, 4, 0, 0, 0, time.UTC)

// An entry and its reversal move nothing, whatever it books; a refund that
// fails is the reversal of its promise.
func TestAReversalMovesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		amount := evcs.Money(rapid.Int64Range(1, 1e12).Draw(r, "amount"))
		m := ledger.Money{Tenant: 1, Order: 1, Payment: 2, Refund: 3, Channel: "alipay", Amount: amount, At: noon, Owed: rapid.Bool().Draw(r, "owed")}
		outside := ledger.Outside{Tenant: 1, Kind: rapid.SampledFrom(ledger.OutsideKinds()).Draw(r, "kind"), Reference: "r", Amount: amount, At: noon}
		if outside.Kind != ledger.KindShared {
			outside.Channel = "alipay"
		}
		if outside.Kind != ledger.KindPaidOut {
			outside.Party = "park"
		}
		if faults := outside.Faults(noon); len(faults) > 0 {
			r.Fatal(faults)
		}
		for _, pair := range [][2]ledger.Entry{
			{ledger.RefundBegun(m), ledger.RefundFailed(m)},
			{outside.Entry(), ledger.Reversed(outside.Entry(), noon.Add(time.Hour), "wrong")},
		} {
			sums := make(map[ledger.Account]evcs.Money)
			for _, e := range pair {
				if err := e.Check(); err != nil {
					r.Fatal(err)
				}
				for _, p := range e.Postings {
					sums[p.Account] += p.Amount
				}
			}
			for account, sum := range sums {
				if sum != 0 {
					r.Fatalf("%s keeps %s", account, sum)
				}
			}
			if pair[1].Refers != pair[0].Key || pair[1].Key == pair[0].Key {
				r.Fatalf("%q refers to %q, not to %q", pair[1].Key, pair[1].Refers, pair[0].Key)
			}
		}
		if ledger.RefundBegun(m).Phase != ledger.Pending || ledger.RefundFailed(m).Phase != ledger.Void || ledger.Refunded(m).Refers != ledger.RefundBegun(m).Key {
			r.Fatal("the phases of a refund")
		}
	})
}

func TestWhatIsNotBooked(t *testing.T) {
	t.Parallel()
	good := ledger.Captured(ledger.Money{Tenant: 1, Order: 1, Payment: 2, Channel: "alipay", Amount: 5, At: noon, Owed: true})
	for name, change := range map[string]func(*ledger.Entry){
		"no tenant":            func(e *ledger.Entry) { e.Tenant = 0 },
		"no time":              func(e *ledger.Entry) { e.At = time.Time{} },
		"one side":             func(e *ledger.Entry) { e.Postings = e.Postings[:1] },
		"nothing moves":        func(e *ledger.Entry) { e.Postings[0].Amount, e.Postings[1].Amount = 0, 0 },
		"clearing of nobody":   func(e *ledger.Entry) { e.Postings[0].Account.Name = "" },
		"a bank with a name":   func(e *ledger.Entry) { e.Postings[1].Account = ledger.Account{Kind: ledger.Bank, Name: "x"} },
		"twice to one account": func(e *ledger.Entry) { e.Postings[1].Account = e.Postings[0].Account },
	} {
		e := good
		e.Postings = append([]ledger.Posting(nil), good.Postings...)
		change(&e)
		if err := e.Check(); !errors.Is(err, ledger.ErrIncomplete) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	odd := good
	odd.Postings = []ledger.Posting{good.Postings[0], {Account: good.Postings[1].Account, Amount: -4}}
	if err := odd.Check(); !errors.Is(err, ledger.ErrUnbalanced) {
		t.Errorf("off by one: %v", err)
	}
}

func TestFaultsOfAMovement(t *testing.T) {
	t.Parallel()
	for field, o := range map[string]ledger.Outside{
		"kind":      {Kind: ledger.KindBilled, Channel: "alipay", Party: "p", Reference: "r", Amount: 1, At: noon},
		"channel":   {Kind: ledger.KindPaidOut, Reference: "r", Amount: 1, At: noon},
		"party":     {Kind: ledger.KindPaidOut, Channel: "alipay", Party: "p", Reference: "r", Amount: 1, At: noon},
		"reference": {Kind: ledger.KindPaidOut, Channel: "alipay", Amount: 1, At: noon},
		"amount":    {Kind: ledger.KindPaidOut, Channel: "alipay", Reference: "r", At: noon},
		"time":      {Kind: ledger.KindPaidOut, Channel: "alipay", Reference: "r", Amount: 1, At: noon.Add(time.Second)},
	} {
		faults := o.Faults(noon)
		if len(faults) != 1 || faults[0].Field != field {
			t.Errorf("%s: %v", field, faults)
		}
	}
}

// Every kind of account has a label in both languages.
func TestEveryAccountHasALabel(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, kind := range ledger.Kinds() {
		label := kind.Label()
		if label.ZH == "" || label.EN == "" || seen[label.ZH] {
			t.Errorf("%s: %+v", kind, label)
		}
		seen[label.ZH] = true
	}
	if len(seen) != 15 {
		t.Errorf("%d kinds", len(seen))
	}
}
