package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/api"
)

// till is the customers, and what was acknowledged to them. When something is
// paid over a real channel, what counts is that evcsd says it is paid.
type till struct {
	t       *torture
	bills   chan api.Order
	workers sync.WaitGroup
	reader  sync.WaitGroup
	stop    chan struct{}

	mu      sync.Mutex
	pays    map[int64]api.Payment // guarded by mu; by order
	refunds map[string]api.Refund // guarded by mu; by number
	done    map[int64]bool        // guarded by mu; orders that somebody has taken
}

// newTill lets customers pay until close.
func newTill(t *torture, ctx context.Context) *till { //nolint:revive // the torture is the receiver in all but name
	l := &till{
		t: t, bills: make(chan api.Order), stop: make(chan struct{}), pays: map[int64]api.Payment{}, refunds: map[string]api.Refund{},
		done: map[int64]bool{},
	}
	l.reader.Go(func() { l.hand(ctx) })
	for range t.customers {
		l.workers.Go(func() {
			for o := range l.bills {
				l.settle(ctx, o)
			}
		})
	}
	return l
}

// close ends the customers once no bill is left.
func (l *till) close() {
	close(l.stop)
	l.reader.Wait()
	l.workers.Wait()
}

// hand gives unpaid bills to the customers, each once, and ends when there are
// none left and the till closes.
func (l *till) hand(ctx context.Context) {
	defer close(l.bills)
	for ctx.Err() == nil {
		closing := ended(l.stop)
		found, err := l.unpaid(ctx)
		if err != nil && customerFault(err) {
			l.t.faulty.add(notTaken, "list of bills: %v", err)
			return
		}
		for _, o := range found {
			select {
			case l.bills <- o:
			case <-ctx.Done():
				return
			}
		}
		if closing && err == nil && len(found) == 0 {
			return
		}
		pause(ctx, 50*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// customerFault reports whether err is an answer that asking again would not
// change. Everything else is the daemon being dead.
func customerFault(err error) bool {
	var r *probe.Refusal
	return errors.As(err, &r) && r.Final()
}

// refusedWith reports whether err is a refusal with one of the codes.
func refusedWith(err error, codes ...int) bool {
	var r *probe.Refusal
	if !errors.As(err, &r) {
		return false
	}
	for _, code := range codes {
		if r.Code == code {
			return true
		}
	}
	return false
}

// unpaid are the unpaid orders that no customer has yet.
func (l *till) unpaid(ctx context.Context) ([]api.Order, error) {
	var page page[api.Order]
	if err := l.t.admin.Do(ctx, http.MethodGet, "/api/order?status=10&cursor=&size=100&sort=orderId", "", nil, &page); err != nil {
		return nil, err
	}
	var mine []api.Order
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range page.Records {
		if !l.done[o.OrderID] && !o.Held {
			l.done[o.OrderID] = true
			mine = append(mine, o)
		}
	}
	return mine, nil
}

// claimTime is how long an earlier copy of a call may go on being done.
const claimTime = 20 * time.Second

// until repeats a call with the same key until it is answered for good.
func until(ctx context.Context, c *probe.Client, method, path, key string, body, out any) error {
	deadline := probe.Monotonic() + claimTime
	for {
		err := c.Do(ctx, method, path, key, body, out)
		busy := refusedWith(err, 9411, 9409, 4013) // an earlier copy of the call is still being done
		if err == nil || customerFault(err) && (!busy || probe.Monotonic() > deadline) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !busy {
			deadline = probe.Monotonic() + claimTime
		}
		pause(ctx, 30*time.Millisecond)
	}
}

// atDesk is the channel of payments outside of every channel.
const atDesk = "offline"

// cash pays at the desk: one call, one transaction, no key; the order itself
// makes a repeat harmless.
func (l *till) cash(ctx context.Context, o api.Order) {
	var paid api.Order
	err := l.do(ctx, fmt.Sprintf("/api/order/%d/paid", o.OrderID), "", map[string]any{"amount": o.PayableAmount, "method": "CASH"}, &paid)
	if err != nil {
		l.t.faulty.add(notTaken, "pay order %s in cash: %v", o.OrderNo, err)
		return
	}
	if paid.TradeNo == nil || paid.Status != api.OrderPaid { // acknowledged all the same
		l.t.faulty.add(changed, "order %s was paid in cash, and is answered as %s", o.OrderNo, paid.StatusName)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pays[o.OrderID] = api.Payment{OrderID: o.OrderID, OrderNo: o.OrderNo, TradeNo: text(paid.TradeNo), Amount: o.PayableAmount, Channel: atDesk, PaidTime: paid.PaidTime}
}

// settle pays one bill and perhaps takes money back, in one or several parts.
// What is answered is written down.
func (l *till) settle(ctx context.Context, o api.Order) {
	method := l.method(o.OrderID)
	if method == "" {
		l.cash(ctx, o)
		return
	}
	var p api.Payment
	body := map[string]any{"orderId": o.OrderID, "amount": o.PayableAmount, "paymentMethod": method}
	if err := l.do(ctx, "/api/payment/create", fmt.Sprintf("pay-%d", o.OrderID), body, &p); err != nil {
		l.t.faulty.add(notTaken, "pay order %s: %v", o.OrderNo, err)
		return
	}
	pay := l.pay
	if method != "SANDBOX" {
		pay = l.payAtGate
	}
	paid, err := pay(ctx, o.OrderID, p.TradeNo)
	if err != nil || paid.Status != api.PaymentSuccess {
		l.t.faulty.add(notTaken, "pay %s of order %s: status %d, %v", p.TradeNo, o.OrderNo, paid.Status, err)
		return
	}
	l.mu.Lock()
	l.pays[o.OrderID] = paid
	l.mu.Unlock()
	for i, part := range back(o.OrderID, paid.Amount) {
		var r api.Refund
		body := map[string]any{"tradeNo": p.TradeNo, "refundAmount": part, "refundReason": "torture"}
		err := l.do(ctx, "/api/payment/refund", fmt.Sprintf("back-%d-%d", o.OrderID, i), body, &r)
		if err == nil {
			r, err = l.returned(ctx, r)
		}
		if err != nil {
			l.t.faulty.add(notTaken, "refund %d of %s: %v", i+1, p.TradeNo, err)
			return
		}
		l.mu.Lock()
		l.refunds[r.RefundNo] = r
		l.mu.Unlock()
	}
}

func (l *till) do(ctx context.Context, path, key string, body, out any) error {
	return until(ctx, l.t.admin, http.MethodPost, path, key, body, out)
}

// back is what the customer of an order takes back, part by part.
func back(order int64, amount api.Money) []api.Money {
	third := (amount + 2) / 3
	var parts []api.Money
	switch order % 10 {
	case 3:
		parts = []api.Money{amount}
	case 7:
		parts = []api.Money{third}
	case 8:
		parts = []api.Money{third, third, amount - 2*third}
	case 9:
		parts = []api.Money{third, third}
	}
	for i, left := 0, amount; i < len(parts); i++ {
		if parts[i] <= 0 || parts[i] > left {
			return parts[:i] // of very little
		}
		left -= parts[i]
	}
	return parts
}

// pay lets the sandbox pay: at once, with its callback told three times, or
// later, by a callback of its own. It asks when an earlier attempt may have
// done it.
func (l *till) pay(ctx context.Context, order int64, tradeNo string) (api.Payment, error) {
	var p api.Payment
	how := map[string]any{}
	switch order % 10 {
	case 5:
		how["outcome"] = "DUPLICATE_NOTIFY"
	case 6:
		how["delaySeconds"] = 1
	}
	err := l.do(ctx, "/api/payment/sandbox/"+tradeNo+"/pay", fmt.Sprintf("do-%d", order), how, &p)
	if err != nil && !refusedWith(err, 4007, 4005) {
		return p, err
	}
	// A callback that was not taken comes again after a minute, twice that, …; the
	// platform asks by itself before.
	patience := min(payTime, l.t.drain)
	deadline := probe.Monotonic() + patience
	for p.Status != api.PaymentSuccess {
		if probe.Monotonic() > deadline {
			return p, fmt.Errorf("it was not paid within %v: %s", patience, l.t.sandboxState(ctx, tradeNo))
		}
		err := until(ctx, l.t.admin, http.MethodGet, "/api/payment/query/"+tradeNo+"?refresh=auto", "", nil, &p)
		if err != nil {
			return p, err
		}
		if p.Status != api.PaymentSuccess {
			pause(ctx, 200*time.Millisecond)
		}
	}
	return p, nil
}

// payTime is how long a callback may take.
const payTime = 4 * time.Minute
