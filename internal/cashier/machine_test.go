package cashier_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store/storetest"
)

// reach lists where an order may have come from a state, in any number of steps.
var reach = map[order.Status][]order.Status{
	order.Ended:     {order.Ended, order.ToPay, order.Paid, order.Refunding, order.Refunded, order.Cancelled},
	order.ToPay:     {order.ToPay, order.Paid, order.Refunding, order.Refunded, order.Cancelled},
	order.Paid:      {order.Paid, order.Refunding, order.Refunded},
	order.Refunding: {order.Paid, order.Refunding, order.Refunded},
	order.Refunded:  {order.Refunded},
	order.Cancelled: {order.Cancelled},
}

// world is the state machine: two orders, their payments, and a line to the
// bank that dies before or after the bank has heard.
type world struct {
	*shop
	ctx  context.Context
	seen map[evcs.OrderID]order.Order
	keys int
}

func (w *world) anOrder(t *rapid.T) evcs.OrderID {
	return rapid.SampledFrom(w.orders).Draw(t, "order")
}

func (w *world) aPayment(t *rapid.T) (payment.Payment, bool) {
	list, err := w.db.Reader().Payments().OfOrder(w.ctx, evcs.Only(1), w.anOrder(t))
	if err != nil || len(list) == 0 {
		return payment.Payment{}, false
	}
	return rapid.SampledFrom(list).Draw(t, "payment"), true
}

// tolerate fails the test on anything but a refusal of the table or a lost line.
func tolerate(t *rapid.T, what string, err error) {
	if err != nil && !errors.Is(err, errLost) && code(err) == evcs.CodeInternalError {
		t.Fatalf("%s: %v", what, err)
	}
}

func (w *world) Create(t *rapid.T) {
	var key string
	if w.keys > 0 && rapid.Bool().Draw(t, "again") {
		key = strconv.Itoa(rapid.IntRange(1, w.keys).Draw(t, "key"))
	} else {
		w.keys++
		key = strconv.Itoa(w.keys)
	}
	_, err := w.till.Create(w.ctx, w.boss, cashier.CreateRequest{Order: w.anOrder(t), Amount: 6138, Method: payment.MethodSandbox, Key: key})
	tolerate(t, "create", err)
}

func (w *world) Pay(t *rapid.T) {
	p, ok := w.aPayment(t)
	if !ok {
		return
	}
	outcome := rapid.SampledFrom([]sandboxpay.Outcome{
		sandboxpay.Succeed, sandboxpay.Succeed, sandboxpay.Fail, sandboxpay.WrongAmount, sandboxpay.DuplicateNotify, sandboxpay.Late,
	}).Draw(t, "outcome")
	err := w.bank.Pay(w.ctx, 1, p.TradeNo, outcome, w.clock.Now())
	if err != nil {
		tolerate(t, "pay", err)
		return
	}
	w.Notify(t)
}

func (w *world) Notify(t *rapid.T) {
	deliver := w.deliver
	if rapid.Bool().Draw(t, "lost") {
		deliver = func(context.Context, payment.Merchant, payment.Notice) payment.Reply {
			return payment.Reply{Status: 503}
		}
	}
	_, err := w.bank.Notify(w.ctx, 100, w.till.SandboxMerchant, deliver)
	tolerate(t, "notify", err)
}

func (w *world) Close(t *rapid.T) {
	if p, ok := w.aPayment(t); ok {
		_, err := w.till.Close(w.ctx, w.boss, p.TradeNo)
		tolerate(t, "close", err)
	}
}

func (w *world) Query(t *rapid.T) {
	if p, ok := w.aPayment(t); ok {
		_, _, err := w.till.Query(w.ctx, w.boss, p.TradeNo, "always")
		tolerate(t, "query", err)
	}
}

func (w *world) Refund(t *rapid.T) {
	if p, ok := w.aPayment(t); ok {
		amount := rapid.SampledFrom([]evcs.Money{0, 1, 3000, 6138, 6139}).Draw(t, "amount")
		_, err := w.refund(p, amount, "")
		tolerate(t, "refund", err)
	}
}

func (w *world) Offline(t *rapid.T) {
	id := w.anOrder(t)
	_, err := w.till.MarkPaid(w.ctx, w.boss, cashier.PaidRequest{Order: id, Method: "CASH"})
	tolerate(t, "mark paid", err)
	_, err = w.till.MarkRefunded(w.ctx, w.boss, id, "ref")
	tolerate(t, "mark refunded", err)
}

func (w *world) Cancel(t *rapid.T) {
	id := w.anOrder(t)
	o := w.seen[id]
	list, err := w.db.Reader().Payments().OfOrder(w.ctx, evcs.Only(1), id)
	live := slices.ContainsFunc(list, func(p payment.Payment) bool { return p.Status.Live() })
	if err == nil && !live && (o.Status == order.Ended || o.Status == order.ToPay) {
		w.cancel(id)
	}
}

func (w *world) Fault(t *rapid.T) {
	switch rapid.IntRange(0, 3).Draw(t, "fault") {
	case 0:
		w.line.set(errLost, nil, nil)
	case 1:
		w.line.set(nil, errLost, nil)
	case 2:
		w.line.set(nil, nil, evcs.With(payment.ErrRefused, map[string]any{"channelCode": "C"}))
	default:
		w.line.set(nil, nil, nil)
	}
}

func (w *world) Due(t *rapid.T) {
	w.clock.pass(time.Duration(rapid.SampledFrom([]int{1, 30, 1000, 4000}).Draw(t, "seconds")) * time.Second)
	_, err := w.till.Due(w.ctx, 100)
	tolerate(t, "due", err)
}

// Check holds after every step.
func (w *world) Check(t *rapid.T) {
	if err := w.check(); err != nil {
		t.Fatal(err)
	}
	for _, id := range w.orders {
		o, err := w.db.Reader().Orders().Order(w.ctx, evcs.Only(1), id)
		if err != nil {
			t.Fatal(err)
		}
		if before, ok := w.seen[id]; ok && (!slices.Contains(reach[before.Status], o.Status) || o.RefundedAmount < before.RefundedAmount || o.PaidAmount < before.PaidAmount) {
			t.Fatalf("order %d went back from %s to %s", id, before.Status.Name(), o.Status.Name())
		}
		w.seen[id] = *o
	}
}

// settle lets everything that is under way come to its end over a good line.
func (w *world) settle(t *rapid.T) {
	w.line.set(nil, nil, nil)
	for range 60 {
		_, err := w.bank.Notify(w.ctx, 100, w.till.SandboxMerchant, w.deliver)
		tolerate(t, "notify", err)
		_, err = w.till.Due(w.ctx, 100)
		tolerate(t, "due", err)
		w.clock.pass(time.Hour)
	}
	w.Check(t)
	trial, err := w.db.Reader().Ledger().TrialBalance(w.ctx, evcs.Only(1), w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range trial {
		if b.Account.Kind == ledger.Clearing && b.Account.Name == "sandbox" && b.Net() != w.bankHolds() {
			t.Fatalf("the journal says %s, the bank %s", b.Net(), w.bankHolds())
		}
	}
	for _, id := range w.orders {
		list, err := w.db.Reader().Payments().OfOrder(w.ctx, evcs.Only(1), id)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			if p.Channel == "sandbox" && (p.Status.Live() || p.Status == payment.Refunding) {
				t.Fatalf("payment %d is still %s", p.ID, p.Status)
			}
		}
	}
}

func TestMoneyIsConserved(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := &world{shop: open(t, storetest.SQLite(t)), ctx: t.Context(), seen: make(map[evcs.OrderID]order.Order)}
		w.owe()
		w.owe()
		rt.Repeat(map[string]func(*rapid.T){
			"": w.Check, "create": w.Create, "pay": w.Pay, "notify": w.Notify, "close": w.Close, "query": w.Query, "refund": w.Refund,
			"offline": w.Offline, "cancel": w.Cancel, "fault": w.Fault, "due": w.Due,
		})
		w.settle(rt)
	})
}
