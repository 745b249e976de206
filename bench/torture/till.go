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

// till is the customers, and what was acknowledged to them.
type till struct {
	t    *torture
	wg   sync.WaitGroup
	stop chan struct{}

	mu      sync.Mutex
	pays    map[int64]api.Payment // guarded by mu; by order
	refunds map[string]api.Refund // guarded by mu; by number
	faults  []string              // guarded by mu
	done    map[int64]bool        // guarded by mu
}

// newTill lets customers pay until close.
func newTill(t *torture, ctx context.Context) *till { //nolint:revive // the torture is the receiver in all but name
	l := &till{t: t, stop: make(chan struct{}), pays: map[int64]api.Payment{}, refunds: map[string]api.Refund{}, done: map[int64]bool{}}
	for i := range t.customers {
		l.wg.Go(func() { l.serve(ctx, i) })
	}
	return l
}

// close ends the customers once no bill is left, and returns what they have to
// complain of.
func (l *till) close() []string {
	close(l.stop)
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults
}

// serve pays every n-th bill, and asks some of the money back.
func (l *till) serve(ctx context.Context, n int) {
	for ctx.Err() == nil {
		found, err := l.bills(ctx, n)
		if err != nil && l.t.customerFault(err) {
			l.fault("list of bills: %v", err)
			return
		}
		for _, o := range found {
			l.settle(ctx, o)
		}
		if err == nil && len(found) == 0 && l.stopped() {
			return
		}
		pause(ctx, 50*time.Millisecond)
	}
}

func (l *till) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
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
func (*torture) customerFault(err error) bool {
	var r *probe.Refusal
	return errors.As(err, &r) && r.Final()
}

func (l *till) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// bills are the unpaid orders of one customer.
func (l *till) bills(ctx context.Context, n int) ([]api.Order, error) {
	var page page[api.Order]
	if err := l.t.admin.Do(ctx, http.MethodGet, "/api/order?status=10&cursor=&size=100&sort=orderId", "", nil, &page); err != nil {
		return nil, err
	}
	var mine []api.Order
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range page.Records {
		if int(o.OrderID)%l.t.customers == n && !l.done[o.OrderID] {
			mine = append(mine, o)
		}
	}
	return mine, nil
}

// until repeats a call with the same key until it is answered for good.
func (l *till) until(ctx context.Context, path, key string, body, out any) error {
	for {
		err := l.t.admin.Do(ctx, http.MethodPost, path, key, body, out)
		if err == nil || l.t.customerFault(err) && !inProgress(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// inProgress: an earlier copy of the same call is still being done.
func inProgress(err error) bool {
	var r *probe.Refusal
	return errors.As(err, &r) && (r.Code == 9411 || r.Code == 9409)
}

// wrongState: the payment is not in a state for this, perhaps because an
// earlier copy of the same call was done and its answer lost.
func wrongState(err error) bool {
	var r *probe.Refusal
	return errors.As(err, &r) && (r.Code == 4007 || r.Code == 4005)
}

// settle pays one bill and perhaps takes money back. What is answered is
// written down.
func (l *till) settle(ctx context.Context, o api.Order) {
	l.mu.Lock()
	l.done[o.OrderID] = true
	l.mu.Unlock()
	var p api.Payment
	body := map[string]any{"orderId": o.OrderID, "amount": o.PayableAmount, "paymentMethod": "SANDBOX"}
	if err := l.until(ctx, "/api/payment/create", fmt.Sprintf("pay-%d", o.OrderID), body, &p); err != nil {
		l.fault("pay order %s: %v", o.OrderNo, err)
		return
	}
	paid, err := l.pay(ctx, o.OrderID, p.TradeNo)
	if err != nil || paid.Status != api.PaymentSuccess {
		l.fault("pay %s of order %s: status %d, %v", p.TradeNo, o.OrderNo, paid.Status, err)
		return
	}
	l.mu.Lock()
	l.pays[o.OrderID] = paid
	l.mu.Unlock()
	amount := paid.Amount
	switch o.OrderID % 10 {
	case 3: // all of it
	case 7:
		amount = (amount + 2) / 3
	default:
		return
	}
	r, err := l.refund(ctx, o.OrderID, p.TradeNo, amount)
	if err != nil {
		l.fault("refund of %s: %v", p.TradeNo, err)
		return
	}
	l.mu.Lock()
	l.refunds[r.RefundNo] = r
	l.mu.Unlock()
}

// pay lets the sandbox pay, and asks when an earlier attempt may have done it.
func (l *till) pay(ctx context.Context, order int64, tradeNo string) (api.Payment, error) {
	var p api.Payment
	err := l.until(ctx, "/api/payment/sandbox/"+tradeNo+"/pay", fmt.Sprintf("do-%d", order), map[string]any{}, &p)
	if wrongState(err) {
		err = l.ask(ctx, "/api/payment/query/"+tradeNo, &p)
	}
	return p, err
}

// refund takes money back, and looks when an earlier attempt may have done it.
func (l *till) refund(ctx context.Context, order int64, tradeNo string, amount api.Money) (api.Refund, error) {
	var r api.Refund
	back := map[string]any{"tradeNo": tradeNo, "refundAmount": amount, "refundReason": "torture"}
	err := l.until(ctx, "/api/payment/refund", fmt.Sprintf("back-%d", order), back, &r)
	if !wrongState(err) {
		return r, err
	}
	var list page[api.Refund]
	if asked := l.ask(ctx, "/api/payment/refund?cursor=&tradeNo="+tradeNo, &list); asked != nil || len(list.Records) != 1 {
		return r, errors.Join(fmt.Errorf("%w; then %d refunds are listed", err, len(list.Records)), asked)
	}
	return list.Records[0], nil
}

// ask reads until it is answered for good.
func (l *till) ask(ctx context.Context, path string, out any) error {
	for {
		err := l.t.admin.Do(ctx, http.MethodGet, path, "", nil, out)
		if err == nil || l.t.customerFault(err) || ctx.Err() != nil {
			return err
		}
		pause(ctx, 100*time.Millisecond)
	}
}
