package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/evcs"
)

// verifier compares the platform with the truth.
type verifier struct {
	*torture
	s *summary

	mu    sync.Mutex
	found []string // guarded by mu

	sessions map[string]api.Session // by charger and device transaction
	orders   map[int64]api.Order    // by id
	zone     *time.Location

	billed, payable, paid, refunded int64 // fen
}

func (v *verifier) check(ok bool, format string, args ...any) {
	if ok {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.found = append(v.found, fmt.Sprintf(format, args...))
}

// verify finds every violation. An error means that it could not look.
func (v *verifier) verify(ctx context.Context) error {
	var err error
	if v.zone, err = time.LoadLocation(evcs.DefaultTimeZone); err != nil {
		return fmt.Errorf("time zone: %w", err)
	}
	j := v.fleet.Journal()
	v.check(j.Dropped() == 0, "the simulator's journal lost %d entries", j.Dropped())
	for _, violation := range j.Violations() {
		v.check(false, "a charger saw: %s", violation)
	}
	for _, complaint := range v.complaints {
		v.check(false, "a customer was refused: %s", complaint)
	}
	for what, n := range j.Refused() {
		v.check(false, "%d times refused for good: %s", n, what)
	}
	for _, step := range []func(context.Context) error{v.loadSessions, v.loadOrders, v.compareSessions, v.comparePayments} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := v.daemon.Process().Stop(30 * time.Second); err != nil {
		v.check(false, "evcsd did not stop well: %v", err)
	}
	return v.balances(ctx)
}

// page is the cursor form of a list.
type page[T any] struct {
	Records    []T     `json:"records"`
	NextCursor *string `json:"nextCursor"`
}

// all reads a whole list by its cursor.
func all[T any](ctx context.Context, v *verifier, path string, each func(T)) error {
	cursor := ""
	for {
		var page page[T]
		if err := v.admin.Do(ctx, http.MethodGet, path+"?size=100&cursor="+url.QueryEscape(cursor), "", nil, &page); err != nil {
			return err
		}
		for _, one := range page.Records {
			each(one)
		}
		if page.NextCursor == nil {
			return nil
		}
		cursor = *page.NextCursor
	}
}

func (v *verifier) loadSessions(ctx context.Context) error {
	v.sessions = map[string]api.Session{}
	return all(ctx, v, "/api/session", func(s api.Session) {
		if s.DeviceTransactionID == nil {
			v.check(false, "session %s has no device transaction", s.SessionID)
			return
		}
		key := fmt.Sprint(s.ChargerID, "/", *s.DeviceTransactionID)
		if old, twice := v.sessions[key]; twice {
			v.check(false, "transaction %s is there twice: sessions %s and %s", key, old.SessionID, s.SessionID)
		}
		v.check(s.State == api.SessionEnded, "session %s (%s) is %s after everything was told", s.SessionID, key, s.State)
		v.check(s.OrderID != nil, "session %s (%s) has no order", s.SessionID, key)
		v.sessions[key] = s
	})
}

func (v *verifier) loadOrders(ctx context.Context) error {
	v.orders = map[int64]api.Order{}
	bySession := map[string]string{}
	return all(ctx, v, "/api/order", func(o api.Order) {
		if old, twice := bySession[o.SessionID]; twice {
			v.check(false, "session %s has two orders: %s and %s", o.SessionID, old, o.OrderNo)
		}
		bySession[o.SessionID] = o.OrderNo
		v.orders[o.OrderID] = o
		v.billed += int64(o.Amount)
		v.payable += int64(o.PayableAmount)
	})
}

// compareSessions holds every acknowledged session against the platform's.
func (v *verifier) compareSessions(ctx context.Context) error {
	ids := map[string]int64{}
	for _, c := range v.site.Chargers {
		ids[c.DeviceID] = c.ID
	}
	truth := v.fleet.Journal().Sessions()
	v.s.Sessions = len(truth)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	var energy journal.Energy
	known := map[string]bool{}
	for _, s := range truth {
		v.s.Samples += len(s.Samples)
		if s.Start == nil || s.Stop == nil {
			v.check(false, "%s: start or stop was never acknowledged", s.Local)
			continue
		}
		v.s.Starts++
		v.s.Stops++
		energy += s.Energy()
		key := fmt.Sprint(ids[s.DeviceID], "/", s.Transaction)
		known[key] = true
		got, there := v.sessions[key]
		if !there {
			v.check(false, "%s: the acknowledged transaction %s is lost", s.Local, key)
			continue
		}
		v.session(s, got)
		group.Go(func() error { return v.curve(ctx, s, got) })
	}
	for key, s := range v.sessions {
		v.check(known[key], "session %s (%s) was never begun by a charger", s.SessionID, key)
	}
	v.s.Energy = energy.String()
	v.s.Billed = api.Money(v.billed).String()
	var total int64
	for _, o := range v.orders {
		total += int64(o.Energy)
	}
	v.check(total == int64(energy), "orders say %s kWh, chargers %s", api.KWh(total), energy)
	v.check(len(v.orders) == len(truth), "%d orders for %d sessions", len(v.orders), len(truth))
	return group.Wait()
}

// session compares start, stop and bill of one session.
func (v *verifier) session(want journal.Session, got api.Session) {
	at := func(t *api.TimeMS) time.Time {
		if t == nil {
			return time.Time{}
		}
		return t.Std()
	}
	register := func(e *api.KWh) int64 {
		if e == nil {
			return -1
		}
		return int64(*e)
	}
	v.check(got.ConnectorNo == want.Connector, "%s: connector %d, platform says %d", want.Local, want.Connector, got.ConnectorNo)
	v.check(register(got.MeterStart) == int64(want.Start.Register) && at(got.StartTime).Equal(want.Start.Time),
		"%s: began at %v with %s kWh, platform says %v with %d", want.Local, want.Start.Time, want.Start.Register, at(got.StartTime), register(got.MeterStart))
	v.check(register(got.MeterStop) == int64(want.Stop.Register) && at(got.StopTime).Equal(want.Stop.Time),
		"%s: ended at %v with %s kWh, platform says %v with %d", want.Local, want.Stop.Time, want.Stop.Register, at(got.StopTime), register(got.MeterStop))
	v.check(int64(got.Energy) == int64(want.Energy()), "%s: %s kWh, platform says %s", want.Local, want.Energy(), got.Energy)
	if got.OrderID == nil {
		return
	}
	o, there := v.orders[*got.OrderID]
	if !there {
		v.check(false, "%s: its order %d is lost", want.Local, *got.OrderID)
		return
	}
	v.check(int64(o.Energy) == int64(want.Energy()), "%s: order %s bills %s kWh of %s", want.Local, o.OrderNo, o.Energy, want.Energy())
	if o.Held {
		v.check(false, "%s: order %s is held for %v, and nothing was falsified", want.Local, o.OrderNo, o.Anomalies)
		return
	}
	v.s.Priced++
	bill := price(want, v.zone)
	v.check(int64(o.Amount) == bill, "%s: order %s bills %s, right is %s", want.Local, o.OrderNo, o.Amount, api.Money(bill))
}

// curve looks for every acknowledged meter value, exactly once.
func (v *verifier) curve(ctx context.Context, want journal.Session, got api.Session) error {
	var c api.Curve
	path := "/api/session/" + url.PathEscape(got.SessionID) + "/curve?maxPoints=5000"
	if err := v.admin.Do(ctx, http.MethodGet, path, "", nil, &c); err != nil {
		return err
	}
	seen := map[string]int{}
	for _, p := range c.Points {
		if p.Meter != nil {
			seen[strconv.FormatInt(p.Time.Std().UnixMilli(), 10)+"/"+p.Meter.String()]++
		}
	}
	for _, e := range want.Samples {
		n := seen[strconv.FormatInt(e.Time.UnixMilli(), 10)+"/"+e.Register.String()]
		v.check(n == 1, "%s: the meter value %s kWh of %v is there %d times", want.Local, e.Register, e.Time, n)
	}
	return nil
}

// comparePayments holds the customers' receipts against the books.
func (v *verifier) comparePayments(ctx context.Context) error {
	l := v.till
	v.s.Payments, v.s.Refunds = len(l.pays), len(l.refunds)
	back := map[int64]int64{} // by order
	err := all(ctx, v, "/api/payment/refund", func(r api.Refund) {
		ack, acked := l.refunds[r.RefundNo]
		v.check(acked && ack.RefundAmount == r.RefundAmount && r.RefundStatus == api.RefundSuccess,
			"refund %s of %s in state %s was never acknowledged so", r.RefundNo, r.RefundAmount, r.StatusName)
		delete(l.refunds, r.RefundNo)
		back[r.OrderID] += int64(r.RefundAmount)
		v.refunded += int64(r.RefundAmount)
	})
	if err != nil {
		return err
	}
	for no := range l.refunds {
		v.check(false, "the acknowledged refund %s is lost", no)
	}
	settled := map[int64]string{}
	err = all(ctx, v, "/api/payment", func(p api.Payment) {
		switch p.Status {
		case api.PaymentSuccess, api.PaymentRefunded, api.PaymentPartiallyRefunded, api.PaymentRefunding:
		default:
			return
		}
		v.paid += int64(p.Amount)
		v.check(settled[p.OrderID] == "", "order %s was paid twice: %s and %s", p.OrderNo, settled[p.OrderID], p.TradeNo)
		settled[p.OrderID] = p.TradeNo
		v.payment(p, back[p.OrderID])
	})
	for id, p := range l.pays {
		v.check(settled[id] == p.TradeNo, "the acknowledged payment %s of order %s is lost", p.TradeNo, p.OrderNo)
	}
	v.s.Paid, v.s.Refunded = api.Money(v.paid).String(), api.Money(v.refunded).String()
	return err
}

func (v *verifier) payment(p api.Payment, back int64) {
	ack, acked := v.till.pays[p.OrderID]
	v.check(acked && ack.TradeNo == p.TradeNo && ack.Amount == p.Amount, "payment %s of %s was never acknowledged", p.TradeNo, p.Amount)
	v.check(int64(p.RefundedAmount) == back, "payment %s: %s refunded, its refunds are %s", p.TradeNo, p.RefundedAmount, api.Money(back))
	o := v.orders[p.OrderID]
	v.check(o.PaidAmount == p.Amount && int64(o.RefundedAmount) == back && p.Amount == o.Amount,
		"order %s of %s: paid %s, refunded %s; payment %s: %s, %s", o.OrderNo, o.Amount, o.PaidAmount, o.RefundedAmount, p.TradeNo,
		p.Amount, api.Money(back))
	want := api.OrderPaid
	if back == int64(p.Amount) {
		want = api.OrderRefunded
	}
	v.check(o.Status == want, "order %s is %s after payment %s and refunds of %s", o.OrderNo, o.StatusName, p.Amount, api.Money(back))
}
