package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/chargersim"
	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/evcs"
)

// verifier compares the platform with the truth.
type verifier struct {
	*torture
	s *summary

	sessions map[string]api.Session // by charger and device transaction, or by name
	orders   map[int64]api.Order    // by id
	cloud    map[int64]bool         // chargers that speak cloudcharge
	zone     *time.Location

	bills    []toldBill             // acknowledged, by chargers
	payments map[string]api.Payment // by number
	refunds  map[string]api.Refund  // by number

	billed, payable, paid, refunded int64 // fen
	writtenOff                      int   // differences
}

func (v *verifier) check(ok bool, k kind, format string, args ...any) {
	if !ok {
		v.faulty.add(k, format, args...)
	}
}

// verify finds every violation. An error means that it could not look.
func (v *verifier) verify(ctx context.Context) error {
	var err error
	if v.zone, err = time.LoadLocation(evcs.DefaultTimeZone); err != nil {
		return fmt.Errorf("time zone: %w", err)
	}
	j := v.fleet.Journal()
	v.check(j.Dropped() == 0, invented, "the simulator's own journal lost %d entries", j.Dropped())
	for _, violation := range j.Violations() {
		v.check(false, doubled, "a charger saw: %s", violation)
	}
	for what, n := range j.Refused() {
		v.check(false, notTaken, "%d times refused for good: %s", n, what)
	}
	for _, step := range []func(context.Context) error{v.loadSessions, v.loadOrders, v.compareSessions, v.comparePayments, v.compareGate, v.compareReviews, v.compareBills, v.compareJournal} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := v.daemon.Process().Stop(30 * time.Second); err != nil {
		v.check(false, notRecovering, "evcsd did not stop well: %v", err)
	}
	return v.leftBehind(ctx)
}

// page is the cursor form of a list.
type page[T any] struct {
	Records    []T     `json:"records"`
	NextCursor *string `json:"nextCursor"`
}

// all reads a whole list by its cursor.
func all[T any](ctx context.Context, c *probe.Client, path, query string, each func(T)) error {
	cursor := ""
	for {
		var page page[T]
		if err := c.Do(ctx, http.MethodGet, path+"?size=100&cursor="+url.QueryEscape(cursor)+"&"+query, "", nil, &page); err != nil {
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

// keyOf names a session: by the number the platform gave to a charger, or, with
// cloudcharge, by the name it goes by on both sides.
func (v *verifier) keyOf(charger int64, transaction, session string) string {
	if v.cloud[charger] {
		return fmt.Sprint(charger, "/", session)
	}
	return fmt.Sprint(charger, "/", transaction)
}

func (v *verifier) loadSessions(ctx context.Context) error {
	v.sessions, v.cloud = map[string]api.Session{}, map[int64]bool{}
	for _, c := range v.site.Chargers {
		v.cloud[c.ID] = c.Protocol == chargersim.CloudCharge
	}
	return all(ctx, v.admin, "/api/session", "", func(s api.Session) {
		key := v.keyOf(s.ChargerID, text(s.DeviceTransactionID), s.SessionID)
		if old, twice := v.sessions[key]; twice {
			v.check(false, doubled, "transaction %s is there twice: sessions %s and %s", key, old.SessionID, s.SessionID)
		}
		v.check(s.State == api.SessionEnded, lostStop, "session %s (%s) is %s after everything was told", s.SessionID, key, s.State)
		v.check(s.OrderID != nil, lostOrder, "session %s (%s) has no order", s.SessionID, key)
		v.sessions[key] = s
	})
}

func (v *verifier) loadOrders(ctx context.Context) error {
	v.orders = map[int64]api.Order{}
	bySession := map[string]string{}
	return all(ctx, v.admin, "/api/order", "", func(o api.Order) {
		if old, twice := bySession[o.SessionID]; twice {
			v.check(false, doubled, "session %s has two orders: %s and %s", o.SessionID, old, o.OrderNo)
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
		key := v.count(s, ids[s.DeviceID])
		if s.Start == nil || s.Stop == nil {
			v.check(false, notTaken, "%s: start or stop was never acknowledged", s.Local)
			continue
		}
		energy += s.Energy()
		known[key] = true
		got, there := v.sessions[key]
		if !there || got.StartTime == nil {
			v.check(false, lostStart, "%s: the acknowledged start of transaction %s, %d attempts, acknowledged %v, is lost", s.Local, key, s.Start.Attempts, s.Start.Answered)
		}
		if !there {
			v.check(len(s.Samples) == 0, lostMeter, "%s: its %d acknowledged meter values are lost with it", s.Local, len(s.Samples))
			v.check(false, lostStop, "%s: the acknowledged stop of %s is lost with it", s.Local, key)
			continue
		}
		v.session(s, got)
		v.told(s, got)
		group.Go(func() error { return v.curve(ctx, s, got) })
	}
	for key, s := range v.sessions {
		v.check(known[key], invented, "session %s (%s) was never begun by a charger", s.SessionID, key)
	}
	v.s.Energy = energy.String()
	v.s.Billed = api.Money(v.billed).String()
	var total int64
	for _, o := range v.orders {
		total += int64(o.Energy)
	}
	v.check(total == int64(energy), wrongEnergy, "orders say %s kWh, chargers %s", api.KWh(total), energy)
	v.check(len(v.orders) >= len(truth), lostOrder, "%d orders for %d sessions", len(v.orders), len(truth))
	v.check(len(v.orders) <= len(truth), doubled, "%d orders for %d sessions", len(v.orders), len(truth))
	return group.Wait()
}

// count adds a session of the chargers to the summary, and returns its key.
func (v *verifier) count(s journal.Session, charger int64) string {
	v.s.Samples += len(s.Samples)
	if s.Start != nil {
		v.s.Starts++
	}
	if s.Stop != nil {
		v.s.Stops++
	}
	if s.Offline {
		v.s.Offline++
	}
	if v.cloud[charger] {
		v.s.Cloud++
	}
	return v.keyOf(charger, fmt.Sprint(s.Transaction), s.Session)
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
	v.check(got.ConnectorNo == want.Connector, changed, "%s: connector %d, platform says %d", want.Local, want.Connector, got.ConnectorNo)
	v.check(register(got.MeterStart) == int64(want.Start.Register) && at(got.StartTime).Equal(want.Start.Time), changed,
		"%s: began at %v with %s kWh, platform says %v with %d", want.Local, want.Start.Time, want.Start.Register, at(got.StartTime), register(got.MeterStart))
	v.check(register(got.MeterStop) == int64(want.Stop.Register) && at(got.StopTime).Equal(want.Stop.Time), changed,
		"%s: ended at %v with %s kWh, platform says %v with %d", want.Local, want.Stop.Time, want.Stop.Register, at(got.StopTime), register(got.MeterStop))
	v.check(int64(got.Energy) == int64(want.Energy()), wrongEnergy, "%s: %s kWh, platform says %s", want.Local, want.Energy(), got.Energy)
	if got.OrderID == nil {
		return
	}
	o, there := v.orders[*got.OrderID]
	if !there {
		v.check(false, lostOrder, "%s: its order %d is lost", want.Local, *got.OrderID)
		return
	}
	v.check(int64(o.Energy) == int64(want.Energy()), wrongEnergy, "%s: order %s bills %s kWh of %s", want.Local, o.OrderNo, o.Energy, want.Energy())
	if o.Held {
		v.check(false, changed, "%s: order %s is held for %v, and nothing was falsified", want.Local, o.OrderNo, o.Anomalies)
		return
	}
	v.s.Priced++
	bill := price(want, v.zone)
	v.check(int64(o.Amount) == bill, wrongMoney, "%s: order %s bills %s, right is %s", want.Local, o.OrderNo, o.Amount, api.Money(bill))
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
		v.check(n > 0, lostMeter, "%s: the acknowledged meter value %s kWh of %v is lost", want.Local, e.Register, e.Time)
		v.check(n < 2, doubled, "%s: the meter value %s kWh of %v is there %d times", want.Local, e.Register, e.Time, n)
	}
	return nil
}

// comparePayments holds the customers' receipts against the books.
func (v *verifier) comparePayments(ctx context.Context) error {
	l := v.till
	v.payments, v.refunds = map[string]api.Payment{}, map[string]api.Refund{}
	v.s.Payments, v.s.Refunds = len(l.pays), len(l.refunds)
	back := map[int64]int64{} // by order
	seen := map[string]bool{}
	err := all(ctx, v.admin, "/api/payment/refund", "", func(r api.Refund) {
		ack, acked := l.refunds[r.RefundNo]
		v.check(!seen[r.RefundNo], doubled, "refund %s is there twice", r.RefundNo)
		v.check(acked && r.RefundStatus == api.RefundSuccess, invented, "refund %s of %s in state %s was never acknowledged so", r.RefundNo, r.RefundAmount, r.StatusName)
		v.check(!acked || ack.RefundAmount == r.RefundAmount, wrongMoney, "refund %s was of %s, now it is of %s", r.RefundNo, ack.RefundAmount, r.RefundAmount)
		seen[r.RefundNo], v.refunds[r.RefundNo] = true, r
		back[r.OrderID] += int64(r.RefundAmount)
		v.refunded += int64(r.RefundAmount)
	})
	if err != nil {
		return err
	}
	for no := range l.refunds {
		v.check(seen[no], lostRefund, "the acknowledged refund %s is lost", no)
	}
	trade := map[int64]string{}
	err = all(ctx, v.admin, "/api/payment", "", func(p api.Payment) {
		_, twice := v.payments[p.TradeNo]
		v.check(!twice, doubled, "payment %s is there twice", p.TradeNo)
		v.payments[p.TradeNo] = p
		if !settled(p.Status) {
			return
		}
		v.paid += int64(p.Amount)
		v.check(trade[p.OrderID] == "", doubled, "order %s was paid twice: %s and %s", p.OrderNo, trade[p.OrderID], p.TradeNo)
		trade[p.OrderID] = p.TradeNo
		v.payment(p, back[p.OrderID])
	})
	for id, p := range l.pays {
		v.check(trade[id] != "" && (p.TradeNo == "" || trade[id] == p.TradeNo), lostPayment, "the acknowledged payment %s of order %s is lost", p.TradeNo, p.OrderNo)
	}
	v.s.Paid, v.s.Refunded = api.Money(v.paid).String(), api.Money(v.refunded).String()
	return err
}

func (v *verifier) payment(p api.Payment, back int64) {
	ack, acked := v.till.pays[p.OrderID]
	v.check(acked && (ack.TradeNo == "" || ack.TradeNo == p.TradeNo), invented, "payment %s of %s was never acknowledged", p.TradeNo, p.Amount)
	v.check(!acked || ack.Amount == p.Amount, wrongMoney, "payment %s was of %s, now it is of %s", p.TradeNo, ack.Amount, p.Amount)
	v.check(int64(p.RefundedAmount) == back, wrongMoney, "payment %s: %s refunded, its refunds are %s", p.TradeNo, p.RefundedAmount, api.Money(back))
	o := v.orders[p.OrderID]
	v.check(o.PaidAmount == p.Amount && int64(o.RefundedAmount) == back && p.Amount == o.Amount, wrongMoney,
		"order %s of %s: paid %s, refunded %s; payment %s: %s, %s", o.OrderNo, o.Amount, o.PaidAmount, o.RefundedAmount, p.TradeNo,
		p.Amount, api.Money(back))
	want := api.OrderPaid
	if back == int64(p.Amount) {
		want = api.OrderRefunded
	}
	v.check(o.Status == want, movedBack, "order %s is %s after payment %s and refunds of %s", o.OrderNo, o.StatusName, p.Amount, api.Money(back))
}

// compareReviews looks for what the clerks were told about differences.
func (v *verifier) compareReviews(ctx context.Context) error {
	states := map[int64]string{}
	rows := map[string]int64{}
	err := all(ctx, v.clerks.maker, "/api/reconciliation/difference", "", func(d api.Difference) {
		states[d.DifferenceID] = d.State
		if d.State == api.DifferenceWrittenOff {
			v.writtenOff++
		}
		if d.State == api.DifferenceSuperseded {
			return
		}
		row := fmt.Sprint(d.BatchID, " ", subject(d))
		v.check(rows[row] == 0, doubled, "differences %d and %d are one: %s", rows[row], d.DifferenceID, row)
		rows[row] = d.DifferenceID
	})
	for id, state := range v.clerks.reviews {
		v.check(states[id] == state, lostReview, "difference %d was acknowledged %s, now it is %q", id, state, states[id])
	}
	return err
}
