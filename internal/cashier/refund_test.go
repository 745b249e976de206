package cashier_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
)

func TestRefunds(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		p := s.create(s.owe(), "a")
		if _, err := s.refund(p, 1, ""); code(err) != evcs.CodePaymentState {
			t.Errorf("unpaid: %v", err)
		}
		s.pay(p, sandboxpay.Succeed)
		for _, amount := range []evcs.Money{6139, -1} {
			if _, err := s.refund(p, amount, ""); code(err) != evcs.CodeRefundExceeds {
				t.Errorf("%s: %v", amount, err)
			}
		}
		first, err := s.refund(p, 1000, "r1")
		if err != nil || first.Status != payment.RefundSuccess {
			t.Fatalf("%+v %v", first, err)
		}
		s.want(p, order.Paid, payment.PartiallyRefunded)
		if again, err := s.refund(p, 1000, "r1"); err != nil || again.RefundNo != first.RefundNo {
			t.Errorf("the same key: %+v %v", again, err)
		}
		if _, err := s.refund(p, 2000, "r1"); code(err) != evcs.CodeIdempotencyKeyReused {
			t.Errorf("the key for another: %v", err)
		}
		s.audit()
		s.line.set(nil, errLost, nil) // the bank pays out, the answer is lost
		if _, err := s.refund(p, 138, "r2"); code(err) != evcs.CodePaymentTimeout {
			t.Errorf("lost: %v", err)
		}
		s.want(p, order.Refunding, payment.Refunding)
		if _, err := s.refund(p, 1, ""); code(err) != evcs.CodePaymentState {
			t.Errorf("two at once: %v", err)
		}
		s.audit()
		s.line.set(nil, nil, nil)
		s.due()
		s.want(p, order.Paid, payment.PartiallyRefunded)
		s.line.set(nil, nil, evcs.With(payment.ErrRefused, map[string]any{"channelCode": "C"}))
		if _, err := s.refund(p, 5000, ""); code(err) != evcs.CodePaymentFailed {
			t.Errorf("refused: %v", err)
		}
		s.want(p, order.Paid, payment.PartiallyRefunded)
		s.audit()
		s.line.set(nil, nil, nil)
		last, err := s.till.Refund(t.Context(), s.boss, cashier.RefundRequest{Order: p.Order, Reason: "rest"})
		if err != nil || last.Amount != 5000 {
			t.Errorf("the rest: %+v %v", last, err)
		}
		s.want(p, order.Refunded, payment.Refunded)
		if _, err := s.refund(p, 1, ""); code(err) != evcs.CodePaymentState {
			t.Errorf("nothing left: %v", err)
		}
		if got, err := s.till.QueryRefund(t.Context(), s.boss, last.RefundNo); err != nil || got.Status != payment.RefundSuccess {
			t.Errorf("%+v %v", got, err)
		}
		if _, err := s.till.QueryRefund(t.Context(), &evcs.Actor{Tenant: 2}, last.RefundNo); code(err) != evcs.CodeRefundNotFound {
			t.Errorf("a stranger: %v", err)
		}
		if s.bankHolds() != 0 {
			t.Errorf("the bank holds %s", s.bankHolds())
		}
	})
}

func TestStuckRefundIsAskedWithinBounds(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		p := s.create(s.owe(), "a")
		s.pay(p, sandboxpay.Succeed)
		s.line.set(errLost, nil, nil)
		r, err := s.refund(p, 6138, "")
		if code(err) != evcs.CodePaymentTimeout {
			t.Fatal(err)
		}
		for range 24 * 9 {
			s.clock.pass(time.Hour)
			s.due()
		}
		got := s.refunds(p)[0]
		if got.Queries > 200 || got.NextQueryAt.Sub(s.clock.Now()) < 10*time.Hour && got.Queries < 150 {
			t.Errorf("asked %d times, next %s", got.Queries, got.NextQueryAt)
		}
		if s.alert(cashier.RuleRefundStuck, "REFUND", r.RefundNo) == nil {
			t.Error("nobody was told")
		}
		s.clock.pass(30 * 24 * time.Hour)
		s.due()
		if got := s.refunds(p)[0]; !got.NextQueryAt.IsZero() || got.Status != payment.RefundProcessing {
			t.Errorf("asked for ever: %+v", got)
		}
		s.line.set(nil, nil, nil)
		if got, err := s.till.QueryRefund(t.Context(), s.boss, r.RefundNo); err != nil || got.Status != payment.RefundSuccess {
			t.Errorf("a person asks: %+v %v", got, err)
		}
		s.want(p, order.Refunded, payment.Refunded)
	})
}

func TestOffline(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		live := s.create(s.owe(), "a")
		if _, err := s.till.MarkPaid(t.Context(), s.boss, cashier.PaidRequest{Order: live.Order}); code(err) != evcs.CodeOrderHasPayment {
			t.Errorf("a live payment: %v", err)
		}
		o := s.owe()
		wrong := evcs.Money(1)
		if _, err := s.till.MarkPaid(t.Context(), s.boss, cashier.PaidRequest{Order: o.ID, Amount: &wrong}); code(err) != evcs.CodeAmountMismatch {
			t.Errorf("amount: %v", err)
		}
		for range 2 {
			got, err := s.till.MarkPaid(t.Context(), s.boss, cashier.PaidRequest{Order: o.ID, Method: "CASH", Reference: "r-1"})
			if err != nil || got.Status != order.Paid || got.PaymentMethod != "OFFLINE" {
				t.Errorf("%+v %v", got, err)
			}
		}
		s.audit()
		if _, err := s.till.MarkRefunded(t.Context(), s.boss, o.ID, "x"); code(err) != evcs.CodeOrderTransition {
			t.Errorf("no refund: %v", err)
		}
		r, err := s.till.Refund(t.Context(), s.boss, cashier.RefundRequest{Order: o.ID, Amount: 6138, Reason: "r"})
		if err != nil || r.Status != payment.RefundProcessing {
			t.Errorf("%+v %v", r, err)
		}
		s.clock.pass(time.Hour)
		s.due()
		got, err := s.till.MarkRefunded(t.Context(), s.boss, o.ID, "x")
		if err != nil || got.Status != order.Refunded {
			t.Errorf("%+v %v", got, err)
		}
		if got, err = s.till.MarkRefunded(t.Context(), s.boss, o.ID, "x"); err != nil || got.Status != order.Refunded {
			t.Errorf("again: %+v %v", got, err)
		}
		free := s.owe()
		s.within(func(ctx context.Context, tx *store.Tx) error {
			x, err := tx.Orders().Order(ctx, evcs.Only(1), free.ID)
			if err != nil {
				return err
			}
			x.Amount, x.DiscountAmount = 0, 6138
			return tx.Orders().UpdateOrder(ctx, evcs.Only(1), x)
		})
		before := s.audits()
		if got, err := s.till.MarkPaid(t.Context(), s.boss, cashier.PaidRequest{Order: free.ID}); err != nil || got.Status != order.Paid {
			t.Errorf("nothing due: %+v %v", got, err)
		}
		if s.audits() != before+1 {
			t.Error("nothing due was not audited")
		}
		s.within(func(ctx context.Context, tx *store.Tx) error {
			return tx.Ledger().Append(ctx, evcs.Only(1), discounted(free.ID, s.clock.Now()))
		})
	})
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		o := s.owe()
		results := at8(func(i int) evcs.Code {
			_, err := s.till.Create(t.Context(), s.boss, s.request(o, "same"))
			return code(err)
		})
		if results[200] != 8 {
			t.Errorf("one key: %v", results)
		}
		results = at8(func(i int) evcs.Code {
			_, err := s.till.Create(t.Context(), s.boss, s.request(o, string(rune('a'+i))))
			return code(err)
		})
		if results[200] == 0 || results[200]+results[evcs.CodePaymentTimeout]+results[evcs.CodeInternalError] != 8 {
			t.Errorf("eight keys: %v", results)
		}
		list, err := s.db.Reader().Payments().OfOrder(t.Context(), evcs.Only(1), o.ID)
		if err != nil {
			t.Fatal(err)
		}
		var live []payment.Payment
		for _, p := range list {
			if p.Status.Live() {
				live = append(live, p)
			}
		}
		if len(live) != 1 {
			t.Fatalf("live: %+v", live)
		}
		p := live[0]
		m, err := s.till.SandboxMerchant(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		var notice payment.Notice
		if err := s.bank.Pay(t.Context(), 1, p.TradeNo, sandboxpay.Succeed, s.clock.Now()); err != nil {
			t.Fatal(err)
		}
		if err := s.bank.NotifyOne(t.Context(), 1, p.TradeNo, s.till.SandboxMerchant, func(_ context.Context, _ payment.Merchant, n payment.Notice) payment.Reply {
			notice = n
			return payment.Reply{Status: 200}
		}); err != nil {
			t.Fatal(err)
		}
		statuses := at8(func(int) evcs.Code {
			return evcs.Code(s.till.Callback(t.Context(), "sandbox", m.CallbackToken, notice).Status)
		})
		if statuses[200]+statuses[503] != 8 || statuses[200] == 0 {
			t.Errorf("callbacks: %v", statuses)
		}
		s.want(p, order.Paid, payment.Success)
		s.audit()
		results = at8(func(int) evcs.Code { // each wants a quarter: four fit at most
			_, err := s.refund(p, 1534, "")
			return code(err)
		})
		o, got := s.now(p)
		if n := evcs.Money(results[200]); n == 0 || n > 4 || got.Refunded != n*1534 || o.RefundedAmount != got.Refunded {
			t.Errorf("refunds: %v, refunded %s", results, got.Refunded)
		}
		if s.bankHolds() != 6138-got.Refunded {
			t.Errorf("the bank holds %s, we returned %s", s.bankHolds(), got.Refunded)
		}
	})
}

// at8 runs fn eight times at once and counts the answers.
func at8(fn func(i int) evcs.Code) map[evcs.Code]int {
	var all sync.WaitGroup
	answers := make([]evcs.Code, 8)
	for i := range answers {
		all.Go(func() { answers[i] = fn(i) })
	}
	all.Wait()
	counts := make(map[evcs.Code]int)
	for _, c := range answers {
		counts[c]++
	}
	return counts
}

func TestCancelAndCreateAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		for range 5 {
			o := s.owe()
			s.create(o, "")
			first, err := s.db.Reader().Payments().OfOrder(t.Context(), evcs.Only(1), o.ID)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.till.Close(t.Context(), s.boss, first[0].TradeNo); err != nil {
				t.Fatal(err)
			}
			at8(func(i int) evcs.Code { // the order is to pay and nobody may pay it
				if i%2 == 0 {
					_, err := s.till.Create(t.Context(), s.boss, s.request(o, ""))
					return code(err)
				}
				return code(s.waive(o.ID))
			})
			now, err := s.db.Reader().Orders().Order(t.Context(), evcs.Only(1), o.ID)
			if err != nil {
				t.Fatal(err)
			}
			list, err := s.db.Reader().Payments().OfOrder(t.Context(), evcs.Only(1), o.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range list {
				if now.Status == order.Cancelled && p.Status.Live() {
					t.Errorf("order %d is cancelled and payment %d may be paid", o.ID, p.ID)
				}
			}
		}
	})
}
