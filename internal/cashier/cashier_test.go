package cashier_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
)

func TestPayByCallback(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		o := s.owe()
		p := s.create(o, "k1")
		if p.Status != payment.Pending || len(p.PayParams) == 0 || !p.Sandbox || !p.ExpireAt.Equal(opening.Add(15*time.Minute)) {
			t.Errorf("created: %+v", p)
		}
		s.want(p, order.ToPay, payment.Pending)
		m, err := s.till.SandboxMerchant(t.Context(), 1)
		if want := "https://pay.example/evcs/api/payment/callback/sandbox/" + m.CallbackToken; err != nil || m.CallbackToken == "" || s.line.notify != want {
			t.Errorf("the bank is to notify %q, want %q: %v", s.line.notify, want, err)
		}
		s.audit()
		if again := s.create(o, "k1"); again.ID != p.ID {
			t.Errorf("the same key made payment %d", again.ID)
		}
		for _, r := range []cashier.CreateRequest{
			{Order: o.ID, Amount: 6137, Method: payment.MethodSandbox, Key: "k1"},
			{Order: s.owe().ID, Amount: 6138, Method: payment.MethodSandbox, Key: "k1"},
		} {
			if _, err := s.till.Create(t.Context(), s.boss, r); code(err) != evcs.CodeIdempotencyKeyReused {
				t.Errorf("the key for another request: %v", err)
			}
		}
		s.clock.pass(time.Second)
		s.pay(p, sandboxpay.Succeed)
		s.want(p, order.Paid, payment.Success)
		paid, got := s.now(p)
		if paid.PaidAmount != 6138 || paid.TradeNo != p.TradeNo || !paid.PaidAt.Equal(s.clock.Now()) || !paid.Sandbox || !got.Settles || *got.Fee != 37 {
			t.Errorf("paid: %+v %+v", paid, got)
		}
		if _, err := s.till.Create(t.Context(), s.boss, s.request(o, "k2")); code(err) != evcs.CodeAlreadyPaid {
			t.Errorf("a paid order: %v", err)
		}
		if again := s.create(o, "k1"); again.Status != payment.Success {
			t.Errorf("the key after payment: %s", again.Status)
		}
		if err := s.bank.Pay(t.Context(), 1, p.TradeNo, sandboxpay.Succeed, s.clock.Now()); code(err) != evcs.CodePaymentState {
			t.Errorf("paid again: %v", err)
		}
		if s.bankHolds() != 6138 {
			t.Errorf("the bank holds %s", s.bankHolds())
		}
	})
}

func TestCreateRefusals(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		dead, other := s.owe(), s.oweTo(3)
		s.cancel(dead.ID)
		foreign := &evcs.Actor{Tenant: 2, Permissions: map[evcs.Permission]bool{}}
		o := s.owe()
		for name, c := range map[string]struct {
			who  *evcs.Actor
			r    cashier.CreateRequest
			want evcs.Code
		}{
			"amount":      {s.boss, cashier.CreateRequest{Order: o.ID, Amount: 6100, Method: payment.MethodSandbox}, evcs.CodeAmountMismatch},
			"no order":    {s.boss, cashier.CreateRequest{Order: 99, Amount: 6138, Method: payment.MethodSandbox}, evcs.CodeOrderNotFound},
			"stranger":    {foreign, s.request(o, ""), evcs.CodeOrderNotFound},
			"cancelled":   {s.boss, s.request(dead, ""), evcs.CodeOrderCancelled},
			"no channel":  {s.boss, cashier.CreateRequest{Order: o.ID, Amount: 6138, Method: payment.MethodAlipayQR}, evcs.CodeChannelNotConfigured},
			"sandbox off": {s.boss, s.request(other, ""), evcs.CodeChannelNotConfigured},
		} {
			if _, err := s.till.Create(t.Context(), c.who, c.r); code(err) != c.want {
				t.Errorf("%s: %v, want %d", name, err, c.want)
			}
		}
		s.line.set(errLost, nil, nil)
		if _, err := s.till.Create(t.Context(), s.boss, s.request(o, "k")); code(err) != evcs.CodePaymentTimeout {
			t.Errorf("no answer: %v", err)
		}
		s.line.set(nil, nil, nil)
		p := s.create(o, "k") // the same key resumes
		if p.Status != payment.Pending || len(p.PayParams) == 0 {
			t.Errorf("resumed: %+v", p)
		}
		x := s.owe()
		s.line.set(evcs.With(payment.ErrRefused, map[string]any{"channelCode": "C", "channelMessage": "M"}), nil, nil)
		for range 2 {
			if _, err := s.till.Create(t.Context(), s.boss, s.request(x, "kx")); code(err) != evcs.CodePaymentFailed {
				t.Errorf("refused: %v", err)
			}
		}
		s.line.set(nil, nil, nil)
		s.create(x, "ky") // the refused one is out of the way
	})
}

func TestOneLivePayment(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		o := s.owe()
		first := s.create(o, "a")
		second := s.create(o, "b")
		s.want(first, order.ToPay, payment.Closed)
		// The payer pays the second at the bank; nobody is told. A third create finds out.
		if err := s.bank.Pay(t.Context(), 1, second.TradeNo, sandboxpay.Succeed, s.clock.Now()); err != nil {
			t.Fatal(err)
		}
		dead := func(context.Context, payment.Merchant, payment.Notice) payment.Reply {
			return payment.Reply{Status: 503}
		}
		if err := s.bank.NotifyOne(t.Context(), 1, second.TradeNo, s.till.SandboxMerchant, dead); err != nil {
			t.Fatal(err)
		}
		if _, err := s.till.Create(t.Context(), s.boss, s.request(o, "c")); code(err) != evcs.CodeAlreadyPaid {
			t.Errorf("the older one was paid: %v", err)
		}
		s.want(second, order.Paid, payment.Success)
		s.clock.pass(time.Minute)
		s.notifyAll() // the lost notification comes again: nothing new
		s.want(second, order.Paid, payment.Success)
		if p, err := s.till.Close(t.Context(), s.boss, first.TradeNo); err != nil || p.Status != payment.Closed {
			t.Errorf("close again: %s %v", p.Status, err)
		}
		if _, err := s.till.Close(t.Context(), s.boss, second.TradeNo); code(err) != evcs.CodePaymentState {
			t.Errorf("close a paid one: %v", err)
		}
	})
}

func TestDuplicateAndLateMoneyGoesBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		o := s.owe()
		first := s.create(o, "a")
		s.pay(first, sandboxpay.Late) // waits for the close
		s.want(first, order.ToPay, payment.Pending)
		second := s.create(o, "b") // closes the first
		s.want(first, order.ToPay, payment.Closed)
		s.pay(second, sandboxpay.Succeed)
		s.audit()
		s.notifyAll() // now the late one pays
		s.want(first, order.Paid, payment.Refunding)
		s.audit()
		if a := s.alert(alarm.DuplicatePayment, "PAYMENT", first.TradeNo); a == nil || a.Severity != alarm.High {
			t.Errorf("alert: %+v", a)
		}
		s.due()
		s.want(first, order.Paid, payment.Refunded)
		s.want(second, order.Paid, payment.Success)
		if r := s.refunds(first); len(r) != 1 || r[0].Automatic != payment.AutomaticDuplicate || r[0].Status != payment.RefundSuccess {
			t.Errorf("refunds: %+v", r)
		}
		s.audit()

		// Late money settles an order that is still unpaid.
		late := s.create(s.owe(), "c")
		s.pay(late, sandboxpay.Late)
		s.clock.pass(16 * time.Minute)
		s.due() // expired: closed at the bank
		s.want(late, order.ToPay, payment.Closed)
		s.notifyAll()
		s.want(late, order.Paid, payment.Success)

		// Late money of a cancelled order goes back.
		gone := s.create(s.owe(), "d")
		s.pay(gone, sandboxpay.Late)
		if _, err := s.till.Close(t.Context(), s.boss, gone.TradeNo); err != nil {
			t.Fatal(err)
		}
		s.cancel(gone.Order)
		s.notifyAll()
		s.want(gone, order.Cancelled, payment.Refunding)
		if s.alert(alarm.LatePayment, "PAYMENT", gone.TradeNo) == nil {
			t.Error("no alert")
		}
		s.audit()
		s.due()
		s.want(gone, order.Cancelled, payment.Refunded)
		if s.bankHolds() != 2*6138 {
			t.Errorf("the bank holds %s", s.bankHolds())
		}
	})
}

func TestRefusedAutomaticRefundIsToldAndTriedAgain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		p := s.create(s.owe(), "a")
		s.pay(p, sandboxpay.Late)
		if _, err := s.till.Close(t.Context(), s.boss, p.TradeNo); err != nil {
			t.Fatal(err)
		}
		s.cancel(p.Order)
		s.line.set(nil, nil, evcs.With(payment.ErrRefused, map[string]any{"channelCode": "NOT_ENOUGH", "channelMessage": "m"}))
		s.notifyAll()
		s.due()
		s.want(p, order.Cancelled, payment.Refunding)
		if a := s.alert(alarm.LatePayment, "PAYMENT", p.TradeNo); a == nil || a.Severity != alarm.Critical || !strings.Contains(a.Message, "NOT_ENOUGH") {
			t.Errorf("alert: %+v", a)
		}
		s.audit()
		for range 6 {
			s.clock.pass(24 * time.Hour)
			s.due()
		}
		if r := s.refunds(p); len(r) != 5 || r[4].Status != payment.RefundFailed {
			t.Errorf("the tries: %+v", r)
		}
		s.want(p, order.Cancelled, payment.Success)
		s.audit()
		s.line.set(nil, nil, nil)
		if r, err := s.refund(p, 6138, ""); err != nil || r.Status != payment.RefundSuccess { // a person
			t.Errorf("by hand: %+v %v", r, err)
		}
	})
}

func TestCallbacksThatMustNotCount(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		p, stranger := s.create(s.owe(), "a"), s.create(s.oweTo(2), "b")
		m, err := s.till.SandboxMerchant(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		body := `{"eventId":"e","tradeNo":"` + p.TradeNo + `","state":"PAID","amountFen":6138}`
		for name, c := range map[string]struct {
			channel, token string
			n              payment.Notice
		}{
			"forged":     {"sandbox", m.CallbackToken, forged(body)},
			"unsigned":   {"sandbox", m.CallbackToken, payment.Notice{Header: http.Header{}, Body: []byte(body)}},
			"no token":   {"sandbox", "", forged(body)},
			"odd token":  {"sandbox", "x", forged(body)},
			"no channel": {"alipay", m.CallbackToken, forged(body)},
			"too large":  {"sandbox", m.CallbackToken, payment.Notice{Header: http.Header{}, Body: bytes.Repeat([]byte("x"), cashier.MaxCallback+1)}},
			"not json":   {"sandbox", m.CallbackToken, forged("\x00")},
		} {
			if reply := s.till.Callback(t.Context(), c.channel, c.token, c.n); reply.Status != 400 || reply.Body != "failure" {
				t.Errorf("%s: %+v", name, reply)
			}
		}
		if a := s.alert(alarm.CallbackRejected, "MERCHANT", "sandbox"); a == nil || a.Severity != alarm.Critical || a.Occurrences != 2 {
			t.Errorf("alert: %+v", a) // two bodies, one of them twice
		}
		s.want(p, order.ToPay, payment.Pending)

		// Rightly signed by the account of one tenant, about the payment of another.
		var notices []payment.Notice
		catch := func(_ context.Context, _ payment.Merchant, n payment.Notice) payment.Reply {
			notices = append(notices, n)
			return payment.Reply{Status: 200}
		}
		if err := s.bank.Pay(t.Context(), 2, stranger.TradeNo, sandboxpay.Succeed, s.clock.Now()); err != nil {
			t.Fatal(err)
		}
		if err := s.bank.NotifyOne(t.Context(), 2, stranger.TradeNo, func(context.Context, evcs.TenantID) (payment.Merchant, error) { return m, nil }, catch); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if reply := s.till.Callback(t.Context(), "sandbox", m.CallbackToken, notices[0]); reply.Status != 400 {
				t.Errorf("foreign: %+v", reply)
			}
		}
		s.want(stranger, order.ToPay, payment.Pending)

		s.pay(p, sandboxpay.WrongAmount)
		s.want(p, order.ToPay, payment.Pending)
		if a := s.alert(alarm.CallbackRejected, "MERCHANT", "sandbox"); a.Occurrences != 4 || !strings.Contains(a.Message, p.TradeNo) {
			t.Errorf("alert: %+v", a)
		}
		s.pay(p, sandboxpay.DuplicateNotify)
		s.want(p, order.Paid, payment.Success)
		s.clock.pass(10 * time.Second)
		s.due()
		s.want(stranger, order.Paid, payment.Success) // by asking the bank
	})
}

func TestFailureAndQuery(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		o := s.owe()
		p := s.create(o, "a")
		s.pay(p, sandboxpay.Fail)
		s.want(p, order.ToPay, payment.Failed)
		if err := s.bank.Pay(t.Context(), 1, p.TradeNo, sandboxpay.Succeed, s.clock.Now()); code(err) != evcs.CodePaymentState {
			t.Errorf("pay a failed one: %v", err)
		}
		q := s.create(o, "b")
		s.line.set(errLost, nil, nil)
		if _, checked, err := s.till.Query(t.Context(), s.boss, q.TradeNo, "auto"); checked || err != nil {
			t.Errorf("a dead line: %t %v", checked, err)
		}
		for range 12 { // a dead line is asked by the schedule, not for ever at once
			s.clock.pass(time.Minute)
			s.due()
		}
		if _, now := s.now(q); now.Queries > 7 || now.NextQueryAt.IsZero() || now.Status != payment.Pending {
			t.Errorf("asked %d times, next %s", now.Queries, now.NextQueryAt)
		}
		s.line.set(nil, nil, nil)
		if err := s.bank.Pay(t.Context(), 1, q.TradeNo, sandboxpay.Succeed, s.clock.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if got, checked, err := s.till.Query(t.Context(), s.boss, q.TradeNo, "auto"); !checked || err != nil || got.Status != payment.Pending {
			t.Errorf("%s %t %v", got.Status, checked, err)
		}
		if _, checked, _ := s.till.Query(t.Context(), s.boss, q.TradeNo, "auto"); checked {
			t.Error("asked twice within 3 s")
		}
		if _, _, err := s.till.Query(t.Context(), &evcs.Actor{Tenant: 2}, q.TradeNo, "auto"); code(err) != evcs.CodePaymentNotFound {
			t.Errorf("a stranger: %v", err)
		}
		s.clock.pass(time.Minute)
		s.notifyAll()
		s.want(q, order.Paid, payment.Success)
		before, applied, err := s.till.Confirm(t.Context(), q.TradeNo)
		if err != nil || applied || before.Status != order.Paid {
			t.Errorf("confirm: %t %v", applied, err)
		}
	})
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		p, crashed := s.create(s.owe(), "a"), s.owe()
		s.line.set(errLost, nil, nil)
		if _, err := s.till.Create(t.Context(), s.boss, s.request(crashed, "b")); code(err) != evcs.CodePaymentTimeout {
			t.Fatal(err)
		}
		s.line.set(nil, nil, nil)
		s.clock.pass(15 * time.Minute)
		s.due()
		s.want(p, order.ToPay, payment.Closed)
		list, err := s.db.Reader().Payments().OfOrder(t.Context(), evcs.Only(1), crashed.ID)
		if err != nil || len(list) != 1 || list[0].Status != payment.Closed {
			t.Errorf("the bank never knew it: %+v %v", list, err)
		}
		for range 40 {
			s.clock.pass(time.Hour)
			s.due()
		}
		if _, now := s.now(p); !now.NextQueryAt.IsZero() {
			t.Errorf("asked for ever: %s", now.NextQueryAt)
		}
	})
}
