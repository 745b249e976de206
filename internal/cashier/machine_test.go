package cashier_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
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

// world is the state machine: two orders, their payments, a line to the bank
// that dies before or after the bank has heard, a bank with the manners of real
// channels, a tenant that wants a second person for refunds above 30.00, and a
// process that may be killed between any two of its steps.
type world struct {
	*shop
	ctx     context.Context
	url     string
	seen    map[evcs.OrderID]order.Order
	keys    int
	notices []payment.Notice // what was delivered, to be delivered again
	token   string
	left    atomic.Int64 // transactions that the process will still live to commit
	mortal  bool
}

// life makes the till's process mortal.
func (w *world) life() {
	inner := w.config.Transact
	w.line.dead = func() bool { return w.mortal && w.left.Load() <= 0 }
	w.config.Transact = func(ctx context.Context, fn func(cashier.Tx) error) error {
		if w.mortal && w.left.Add(-1) < 0 {
			return errDead
		}
		return inner(ctx, fn)
	}
	w.till = cashier.New(w.config)
}

// Crash kills the process in the midst of something and starts it again on the
// same file.
func (w *world) Crash(t *rapid.T) {
	w.mortal = true
	w.left.Store(int64(rapid.IntRange(0, 3).Draw(t, "transactions")))
	switch rapid.IntRange(0, 5).Draw(t, "while") {
	case 0:
		w.Create(t)
	case 1:
		w.Notify(t)
	case 2:
		w.Close(t)
	case 3:
		w.Refund(t)
	case 4:
		w.Decide(t)
	default:
		w.Due(t)
	}
	w.mortal = false
	w.reopen(t)
}

// reopen closes the store and opens it again; the bank keeps its manners.
func (w *world) reopen(t *rapid.T) {
	manner := w.line.how()
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(w.ctx, store.Config{URL: w.url, SyncOff: true})
	if err != nil {
		t.Fatal(err)
	}
	w.db = db
	w.start()
	w.line.behave(manner)
	w.life()
}

// Manner has the bank behave as some real channel does.
func (w *world) Manner(t *rapid.T) {
	w.line.behave(rapid.SampledFrom([]manner{plain, unscanned, accepting, abnormal}).Draw(t, "manner"))
}

// Replay delivers something again that was delivered before, to the address of
// the account or with its signature spoilt.
func (w *world) Replay(t *rapid.T) {
	if len(w.notices) == 0 {
		return
	}
	n := rapid.SampledFrom(w.notices).Draw(t, "notice")
	if rapid.Bool().Draw(t, "tampered") {
		n.Body = bytes.Replace(n.Body, []byte(`"PAID"`), []byte(`"FAILED"`), 1)
	}
	w.till.Callback(w.ctx, "sandbox", w.token, n)
}

// Decide has a second person look at the refunds that wait.
func (w *world) Decide(t *rapid.T) {
	word := rapid.SampledFrom([]payment.Approval{payment.ApprovalGiven, payment.ApprovalRejected}).Draw(t, "word")
	for _, r := range w.waiting(t) {
		tolerate(t, "decide", w.decide(r, word))
	}
}

func (w *world) decide(r payment.Refund, word payment.Approval) (err error) {
	review := cashier.Review{Till: w.till}
	if word == payment.ApprovalGiven {
		_, err = review.Approve(w.ctx, person(2, "checker"), r.RefundNo, "")
	} else {
		_, err = review.Reject(w.ctx, person(2, "checker"), r.RefundNo, "no")
	}
	return err
}

func (w *world) waiting(t *rapid.T) (list []payment.Refund) {
	page, err := w.db.Reader().Payments().RefundPage(w.ctx, evcs.Only(1), payment.RefundFilter{Approvals: []string{"PENDING"}}, evcs.PageRequest{Page: 1, Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	return page.Records
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
	if err != nil && !errors.Is(err, errLost) && !errors.Is(err, errDead) && code(err) == evcs.CodeInternalError {
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

// Collect makes a payment that is paid and told of at once.
func (w *world) Collect(t *rapid.T) {
	w.Create(t)
	w.Pay(t)
	w.Query(t)
}

func (w *world) Notify(t *rapid.T) {
	deliver := w.keeping
	if rapid.Bool().Draw(t, "lost") {
		deliver = func(context.Context, payment.Merchant, payment.Notice) payment.Reply {
			return payment.Reply{Status: 503}
		}
	}
	_, err := w.bank.Notify(w.ctx, 100, w.till.SandboxMerchant, deliver)
	tolerate(t, "notify", err)
}

// keeping delivers and keeps what it delivered.
func (w *world) keeping(ctx context.Context, m payment.Merchant, n payment.Notice) payment.Reply {
	w.notices, w.token = append(w.notices, n), m.CallbackToken
	return w.deliver(ctx, m, n)
}

func (w *world) Close(t *rapid.T) {
	if p, ok := w.aPayment(t); ok {
		_, err := w.till.Close(w.ctx, w.boss, p.TradeNo)
		tolerate(t, "close", err)
	}
}

func (w *world) Query(t *rapid.T) {
	for _, id := range w.orders {
		list, err := w.db.Reader().Payments().OfOrder(w.ctx, evcs.Only(1), id)
		tolerate(t, "read", err)
		for _, p := range list {
			_, _, err := w.till.Query(w.ctx, w.boss, p.TradeNo, "always")
			tolerate(t, "query", err)
		}
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
	if rapid.IntRange(0, 7).Draw(t, "cash") > 0 { // the counter is seldom open: most is paid through the bank
		return
	}
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
	w.unagreed(t)
}

// unagreed fails when money left that the second person did not agree to.
func (w *world) unagreed(t *rapid.T) {
	page, err := w.db.Reader().Payments().RefundPage(w.ctx, evcs.Only(1), payment.RefundFilter{Approvals: []string{"PENDING", "REJECTED"}}, evcs.PageRequest{Page: 1, Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page.Records {
		answer, err := w.bank.QueryRefund(w.ctx, payment.Merchant{Tenant: r.Tenant}, r.TradeNo, r.RefundNo)
		if err != nil || answer.State == payment.RefundSuccess {
			t.Fatalf("refund %s is %s and at the bank %d: %v", r.RefundNo, r.Approval, answer.State, err)
		}
	}
}

// settle lets everything that is under way come to its end over a good line.
func (w *world) settle(t *rapid.T) {
	w.line.set(nil, nil, nil)
	w.line.behave(plain)
	for range 60 {
		for _, r := range w.waiting(t) {
			tolerate(t, "decide", w.decide(r, payment.ApprovalGiven))
		}
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
		url := storetest.SQLiteURL(t)
		db, err := store.Open(t.Context(), store.Config{URL: url, SyncOff: true})
		if err != nil {
			rt.Fatal(err)
		}
		w := &world{shop: open(t, db), ctx: t.Context(), url: url, seen: make(map[evcs.OrderID]order.Order)}
		defer func() { // what was opened last
			if err := w.db.Close(); err != nil {
				rt.Error(err)
			}
		}()
		w.life()
		w.limit(3000)
		w.owe()
		w.owe()
		rt.Repeat(map[string]func(*rapid.T){
			"": w.Check, "create": w.Create, "pay": w.Pay, "pay at once": w.Collect, "notify": w.Notify, "close": w.Close, "query": w.Query, "refund": w.Refund,
			"offline": w.Offline, "cancel": w.Cancel, "fault": w.Fault, "due": w.Due,
			"crash": w.Crash, "manner": w.Manner, "replay": w.Replay, "decide": w.Decide,
		})
		w.settle(rt)
	})
}
