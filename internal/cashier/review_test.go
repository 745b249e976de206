package cashier_test

import (
	"context"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
)

// limit sets the tenant's limit for refunds by one person.
func (s *shop) limit(m evcs.Money) {
	s.t.Helper()
	s.within(func(ctx context.Context, tx *store.Tx) error {
		x, err := tx.Tenants().Tenant(ctx, evcs.Only(1), 1)
		if err != nil {
			return err
		}
		x.Own.RefundApprovalAbove = &m
		return tx.Tenants().Update(ctx, x)
	})
}

func person(id evcs.UserID, name string) *evcs.Actor {
	return &evcs.Actor{User: id, Name: name, Tenant: 1, Permissions: map[evcs.Permission]bool{}}
}

func TestRefundsThatNeedASecondPerson(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.limit(2000)
		checker := person(2, "checker")
		review := cashier.Review{Till: s.till}
		p := s.create(s.owe(), "a")
		s.pay(p, sandboxpay.Succeed)
		small, err := s.refund(p, 1500, "r0")
		if err != nil || small.Approval != "" || small.Status != payment.RefundSuccess {
			t.Fatalf("below the limit: %+v %v", small, err)
		}
		r, err := s.refund(p, 600, "r1") // 21.00 in all: several small ones count together
		if err != nil || !r.Waiting() || r.Status != payment.RefundProcessing {
			t.Fatalf("above: %+v %v", r, err)
		}
		s.want(p, order.Refunding, payment.Refunding)
		s.audit()
		if again, err := s.refund(p, 600, "r1"); err != nil || again.RefundNo != r.RefundNo || !again.Waiting() {
			t.Errorf("the same key: %+v %v", again, err)
		}
		if _, err := s.refund(p, 100, ""); code(err) != evcs.CodePaymentState {
			t.Errorf("another one beside it: %v", err)
		}
		held := s.bankHolds()
		s.clock.pass(time.Hour)
		s.due()
		for _, ask := range []func() error{
			func() error { _, err := s.till.QueryRefund(t.Context(), s.boss, r.RefundNo); return err },
			func() error { _, _, err := s.till.Query(t.Context(), s.boss, p.TradeNo, "always"); return err },
		} {
			if err := ask(); err != nil {
				t.Error(err)
			}
		}
		if _, err := s.till.MarkRefunded(t.Context(), s.boss, p.Order, "x"); code(err) != evcs.CodeOrderTransition {
			t.Errorf("confirmed before it was agreed to: %v", err)
		}
		if s.bankHolds() != held {
			t.Fatal("the money left without the second person")
		}
		if _, err := review.Approve(t.Context(), s.boss, r.RefundNo, ""); code(err) != evcs.CodeCheckerRequired {
			t.Errorf("the maker agrees: %v", err)
		}
		if _, err := review.Reject(t.Context(), s.boss, r.RefundNo, "no"); code(err) != evcs.CodeCheckerRequired {
			t.Errorf("the maker refuses: %v", err)
		}
		if _, err := review.Approve(t.Context(), &evcs.Actor{User: 9, Tenant: 2}, r.RefundNo, ""); code(err) != evcs.CodeRefundNotFound {
			t.Errorf("a stranger: %v", err)
		}
		if _, err := review.Approve(t.Context(), evcs.System(1), r.RefundNo, ""); code(err) != evcs.CodeCheckerRequired {
			t.Errorf("nobody in person: %v", err)
		}
		s.clock.pass(25 * time.Hour)
		s.due()
		if s.alert(cashier.RuleRefundStuck, "REFUND", r.RefundNo) == nil {
			t.Error("nobody is reminded")
		}
		before := s.audits()
		got, err := review.Approve(t.Context(), checker, r.RefundNo, "seen")
		if err != nil || got.Status != payment.RefundSuccess || got.Approval != payment.ApprovalGiven || got.DecidedBy != "checker" || got.DecisionNote != "seen" {
			t.Fatalf("agreed: %+v %v", got, err)
		}
		s.want(p, order.Paid, payment.PartiallyRefunded)
		if again, err := review.Approve(t.Context(), checker, r.RefundNo, ""); err != nil || again.Status != payment.RefundSuccess || s.audits() != before+1 {
			t.Errorf("agreed again: %+v %v", again, err)
		}
		if _, err := review.Reject(t.Context(), checker, r.RefundNo, "late"); code(err) != evcs.CodePaymentState {
			t.Errorf("refused after all: %v", err)
		}
		if s.bankHolds() != held-600 {
			t.Errorf("the bank holds %s", s.bankHolds())
		}
		if _, err := review.Approve(t.Context(), checker, small.RefundNo, ""); code(err) != evcs.CodePaymentState {
			t.Errorf("one that needs nobody: %v", err)
		}

		rest, err := s.refund(p, 3000, "r2")
		if err != nil || !rest.Waiting() {
			t.Fatalf("%+v %v", rest, err)
		}
		no, err := review.Reject(t.Context(), checker, rest.RefundNo, "not now")
		if err != nil || no.Status != payment.RefundFailed || no.FailureCode != "REJECTED" || no.FailureMessage != "not now" || no.Approval != payment.ApprovalRejected {
			t.Errorf("refused: %+v %v", no, err)
		}
		s.want(p, order.Paid, payment.PartiallyRefunded)
		s.audit()
		if again, err := review.Reject(t.Context(), checker, rest.RefundNo, "x"); err != nil || again.DecisionNote != "not now" {
			t.Errorf("refused again: %+v %v", again, err)
		}
		if s.bankHolds() != held-600 {
			t.Errorf("the bank holds %s", s.bankHolds())
		}
		if agreed, err := s.till.Refund(t.Context(), s.boss, cashier.RefundRequest{TradeNo: p.TradeNo, Amount: 3000, Reason: "r", Agreed: true}); err != nil || agreed.Approval != "" || agreed.Status != payment.RefundSuccess {
			t.Errorf("agreed elsewhere: %+v %v", agreed, err)
		}
	})
}

// However the channel answers, what was agreed to is paid out once.
func TestApprovalAndALostLine(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.limit(0)
		p := s.create(s.owe(), "a")
		s.pay(p, sandboxpay.Succeed)
		r, err := s.refund(p, 6138, "")
		if err != nil || !r.Waiting() {
			t.Fatalf("%+v %v", r, err)
		}
		s.line.set(nil, errLost, nil)
		review := cashier.Review{Till: s.till}
		if _, err := review.Approve(t.Context(), person(2, "checker"), r.RefundNo, ""); code(err) != evcs.CodePaymentTimeout {
			t.Errorf("lost: %v", err)
		}
		s.line.set(nil, nil, nil)
		s.clock.pass(time.Minute)
		s.due()
		s.want(p, order.Refunded, payment.Refunded)
		if s.bankHolds() != 0 {
			t.Errorf("the bank holds %s", s.bankHolds())
		}
	})
}

func TestApproveAndRejectAtOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.limit(0)
		review := cashier.Review{Till: s.till}
		for range 4 {
			p := s.create(s.owe(), "")
			s.pay(p, sandboxpay.Succeed)
			held := s.bankHolds()
			r, err := s.refund(p, 1000, "")
			if err != nil {
				t.Fatal(err)
			}
			results := at8(func(i int) evcs.Code {
				var err error
				if i%2 == 0 {
					_, err = review.Approve(t.Context(), person(evcs.UserID(10+i), "a"), r.RefundNo, "")
				} else {
					_, err = review.Reject(t.Context(), person(evcs.UserID(10+i), "b"), r.RefundNo, "no")
				}
				return code(err)
			})
			s.clock.pass(time.Minute)
			s.due()
			got := s.refunds(p)[0]
			paid := evcs.Money(0)
			if got.Approval == payment.ApprovalGiven {
				paid = 1000
			}
			if s.bankHolds() != held-paid || (got.Status == payment.RefundSuccess) != (paid > 0) || results[evcs.CodePaymentState] == 0 {
				t.Errorf("%s %s: the bank paid %s; %v", got.Approval, got.Status, held-s.bankHolds(), results)
			}
			s.audit()
		}
	})
}

func TestOfflineRefundWaitsToo(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.limit(1000)
		o := s.owe()
		if _, err := s.till.MarkPaid(t.Context(), s.boss, cashier.PaidRequest{Order: o.ID, Method: "CASH"}); err != nil {
			t.Fatal(err)
		}
		r, err := s.till.Refund(t.Context(), s.boss, cashier.RefundRequest{Order: o.ID, Amount: 6138, Reason: "r"})
		if err != nil || !r.Waiting() {
			t.Fatalf("%+v %v", r, err)
		}
		if _, err := s.till.MarkRefunded(t.Context(), s.boss, o.ID, "x"); code(err) != evcs.CodeOrderTransition {
			t.Errorf("paid out before it was agreed to: %v", err)
		}
		if got, err := (cashier.Review{Till: s.till}).Approve(t.Context(), person(2, "c"), r.RefundNo, ""); err != nil || got.Status != payment.RefundProcessing || !got.NextQueryAt.IsZero() {
			t.Errorf("%+v %v", got, err)
		}
		if got, err := s.till.MarkRefunded(t.Context(), s.boss, o.ID, "x"); err != nil || got.Status != order.Refunded {
			t.Errorf("%+v %v", got, err)
		}
	})
}
