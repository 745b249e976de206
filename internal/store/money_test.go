package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// within runs fn in a transaction that must succeed.
func within(t *testing.T, db *store.DB, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if err := db.Transact(t.Context(), func(tx *store.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

// refused runs fn in a transaction that must fail with want.
func refused(t *testing.T, db *store.DB, want error, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if err := db.Transact(t.Context(), func(tx *store.Tx) error { return fn(t.Context(), tx) }); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// billed stores an order to pay of 61.38.
func billed(t *testing.T, db *store.DB, owner evcs.TenantID, no string) *order.Order {
	t.Helper()
	o := &order.Order{
		Tenant: owner, No: no, Session: "S-" + no, Station: 1, Charger: 10001, Connector: 1, Status: order.ToPay, StartState: order.Started,
		Source: order.FromClient, StartedAt: day.Add(-time.Hour), EndedAt: day, Snapshot: 1, ElectricityAmount: 4230, ServiceAmount: 1908, Amount: 6138,
		CreatedAt: day, UpdatedAt: day,
	}
	within(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.Orders().InsertOrder(ctx, o) })
	return o
}

func TestJournal(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		bill := ledger.Billed(1, 7, day, ledger.Bill{Electricity: 4230, Service: 1908, Discount: 100})
		captured := ledger.Captured(ledger.Money{Tenant: 1, Order: 7, Payment: 3, Channel: "sandbox", Amount: 6038, At: day.Add(time.Minute), Sandbox: true, Owed: true})
		for range 2 { // the same key again changes nothing
			within(t, db, func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(ledger.Book(ctx, tx.Ledger(), bill), ledger.Book(ctx, tx.Ledger(), captured))
			})
		}
		refused(t, db, ledger.ErrUnbalanced, func(ctx context.Context, tx *store.Tx) error {
			odd := captured
			odd.Key, odd.Postings = "odd", []ledger.Posting{{Account: ledger.Account{Kind: ledger.Bank}, Amount: 2}, {Account: ledger.Account{Kind: ledger.Fee}, Amount: -1}}
			return ledger.Book(ctx, tx.Ledger(), odd)
		})
		trial, err := db.Reader().Ledger().TrialBalance(t.Context(), evcs.Subtree(1), day.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		want := ledger.Trial{
			{Account: ledger.Account{Kind: ledger.Clearing, Name: "sandbox"}, Debit: 6038},
			{Account: ledger.Account{Kind: ledger.Discount}, Debit: 100},
			{Account: ledger.Account{Kind: ledger.Receivable}, Debit: 6038, Credit: 6038},
			{Account: ledger.Account{Kind: ledger.RevenueElectricity}, Credit: 4230},
			{Account: ledger.Account{Kind: ledger.RevenueService}, Credit: 1908},
		}
		if d := cmp.Diff(want, trial); d != "" || !trial.Balanced() {
			t.Error(d)
		}
		entries, err := db.Reader().Ledger().EntriesOf(t.Context(), evcs.Only(1), 7)
		if err != nil || len(entries) != 2 {
			t.Fatalf("%v %v", entries, err)
		}
		for i := range entries {
			if entries[i].Booked.IsZero() || entries[i].Phase != ledger.Posted {
				t.Errorf("%+v", entries[i])
			}
			entries[i].ID, entries[i].Booked, entries[i].Phase = 0, time.Time{}, ""
		}
		if d := cmp.Diff([]ledger.Entry{bill, captured}, entries); d != "" {
			t.Error(d)
		}
		if others, err := db.Reader().Ledger().EntriesOf(t.Context(), evcs.Only(2), 7); err != nil || len(others) != 0 {
			t.Errorf("a stranger reads %v %v", others, err)
		}
		held, err := db.Reader().Ledger().Balance(t.Context(), evcs.Only(1), ledger.Account{Kind: ledger.Clearing, Name: "sandbox"}, day.Add(time.Minute))
		if err != nil || held != 0 {
			t.Errorf("before the moment: %s %v", held, err)
		}
	})
}

func aPayment(o *order.Order, no string) payment.Payment {
	fee := evcs.Money(37)
	return payment.Payment{
		Tenant: o.Tenant, Order: o.ID, OrderNo: o.No, UserRef: 9, TradeNo: no, Method: payment.MethodSandbox, Channel: "sandbox", Amount: 6138,
		Status: payment.Processing, PayParams: []byte(`{"a":1}`), PayURL: "u", Description: "d", ExpireAt: day.Add(time.Hour), Fee: &fee, Sandbox: true,
		Merchant: 1, RequestKey: "k-" + no, NextQueryAt: day.Add(5 * time.Second), CreatedAt: day, UpdatedAt: day,
	}
}

func TestPaymentsAndRefunds(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		o := billed(t, db, 1, "O1")
		p := aPayment(o, "EV1")
		within(t, db, func(ctx context.Context, tx *store.Tx) error {
			p = aPayment(o, "EV1")
			return tx.Payments().Insert(ctx, evcs.Only(1), &p)
		})
		read := db.Reader().Payments()
		got, err := read.ByTrade(t.Context(), evcs.Subtree(1), "EV1")
		if d := cmp.Diff(p, got); err != nil || d != "" {
			t.Fatal(err, d)
		}
		if id, err := read.PaymentOf(t.Context(), evcs.Only(1), "k-EV1"); err != nil || id != p.ID {
			t.Errorf("by key: %d %v", id, err)
		}
		if _, err := read.Payment(t.Context(), evcs.Only(2), p.ID); !errors.Is(err, payment.ErrNotFound) {
			t.Errorf("a stranger: %v", err)
		}
		second := aPayment(o, "EV2")
		refused(t, db, evcs.ErrStale, func(ctx context.Context, tx *store.Tx) error {
			second = aPayment(o, "EV2") // one live payment per order
			return tx.Payments().Insert(ctx, evcs.Only(1), &second)
		})
		claimDue(t, db, p.ID)
		within(t, db, func(ctx context.Context, tx *store.Tx) error {
			p, err := tx.Payments().Payment(ctx, evcs.Only(1), p.ID)
			if err != nil {
				return err
			}
			p.Succeed("CH1", day, day)
			p.Settles = true
			if err := p.BeginRefund(138, day); err != nil {
				return err
			}
			r := payment.Refund{
				Tenant: 1, RefundNo: "ER1", Payment: p.ID, TradeNo: p.TradeNo, Order: p.Order, Amount: 138, Status: payment.RefundProcessing, Reason: "r",
				Channel: p.Channel, RequestedBy: "bo", RequestKey: "rk", NextQueryAt: day, CreatedAt: day, UpdatedAt: day,
			}
			if err := tx.Payments().InsertRefund(ctx, evcs.Only(1), &r); err != nil {
				return err
			}
			return errors.Join(tx.Payments().Update(ctx, evcs.Only(1), &p), tx.Payments().Note(ctx, evcs.Only(1), payment.Event{Payment: p.ID, At: day, Event: "PAID", Source: "callback"}))
		})
		if no, err := read.RefundOf(t.Context(), evcs.Only(1), "rk"); err != nil || no != "ER1" {
			t.Errorf("refund by key: %q %v", no, err)
		}
		refundLife(t, db)
		stale := p
		refused(t, db, evcs.ErrStale, func(ctx context.Context, tx *store.Tx) error { return tx.Payments().Update(ctx, evcs.Only(1), &stale) })
		page, err := read.PaymentPage(t.Context(), evcs.Subtree(1), payment.Filter{
			Order: o.ID, OrderNo: "o", TradeNo: "EV1", Methods: []string{"SANDBOX"}, Channels: []string{"sandbox"}, Statuses: []int{4}, From: evcs.Millis(day), To: evcs.Millis(day) + 1,
		}, evcs.PageRequest{Page: 1, Size: 10})
		if err != nil || len(page.Records) != 1 {
			t.Errorf("page: %+v %v", page, err)
		}
		events, err := read.PaymentEvents(t.Context(), evcs.Only(1), p.ID)
		if err != nil || len(events) != 1 || events[0].Event != "PAID" {
			t.Errorf("events: %v %v", events, err)
		}
	})
}

// claimDue proves that due work is taken once until its lease ends.
func claimDue(t *testing.T, db *store.DB, id evcs.PaymentID) {
	t.Helper()
	for i, want := range []int{0, 1, 0} {
		now := day.Add(time.Duration(i) * 5 * time.Second)
		within(t, db, func(ctx context.Context, tx *store.Tx) error {
			list, err := tx.Payments().ClaimPayments(ctx, payment.Claim{Now: now, Until: now.Add(time.Minute), Most: 10})
			if len(list) != want || want == 1 && list[0].ID != id {
				t.Errorf("claim %d: %v", i, list)
			}
			return err
		})
	}
}

func refundLife(t *testing.T, db *store.DB) {
	t.Helper()
	within(t, db, func(ctx context.Context, tx *store.Tx) error {
		list, err := tx.Payments().ClaimRefunds(ctx, payment.Claim{Now: day, Until: day.Add(time.Minute), Most: 10})
		if err != nil || len(list) != 1 {
			t.Errorf("claim refunds: %v %v", list, err)
			return err
		}
		r := list[0]
		r.Done("CR1", day, day)
		if err := tx.Payments().UpdateRefund(ctx, evcs.Only(1), &r); err != nil {
			return err
		}
		got, err := tx.Payments().Refund(ctx, evcs.Subtree(1), "ER1")
		if d := cmp.Diff(r, got); d != "" {
			t.Error(d)
		}
		return err
	})
	page, err := db.Reader().Payments().RefundPage(t.Context(), evcs.Only(1), payment.RefundFilter{TradeNo: "EV1", Statuses: []int{2}}, evcs.PageRequest{Page: 1, Size: 10})
	if err != nil || len(page.Records) != 1 {
		t.Errorf("refund page: %+v %v", page, err)
	}
	if _, err := db.Reader().Payments().Refund(t.Context(), evcs.Only(2), "ER1"); !errors.Is(err, payment.ErrRefundNotFound) {
		t.Errorf("a stranger: %v", err)
	}
}

func TestMerchantsAndInbox(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		m := payment.Merchant{}
		within(t, db, func(ctx context.Context, tx *store.Tx) error {
			m = payment.Merchant{Tenant: 1, Channel: "sandbox", Name: "s", Mode: "SANDBOX", Enabled: true, Config: "{}", Sealed: "x", CallbackToken: "TOK", FeeRate: 600, CreatedAt: day, UpdatedAt: day}
			return tx.Payments().InsertMerchant(ctx, evcs.Only(1), &m)
		})
		refused(t, db, evcs.ErrStale, func(ctx context.Context, tx *store.Tx) error {
			other := m // one enabled account per channel
			other.CallbackToken = "TOK2"
			return tx.Payments().InsertMerchant(ctx, evcs.Only(1), &other)
		})
		read := db.Reader().Payments()
		for name, ask := range map[string]func() (payment.Merchant, error){
			"id":      func() (payment.Merchant, error) { return read.Merchant(t.Context(), evcs.Only(1), m.ID) },
			"enabled": func() (payment.Merchant, error) { return read.EnabledMerchant(t.Context(), evcs.Only(1), "sandbox") },
			"token":   func() (payment.Merchant, error) { return read.MerchantByToken(t.Context(), "sandbox", "TOK") },
		} {
			got, err := ask()
			if d := cmp.Diff(m, got); err != nil || d != "" {
				t.Error(name, err, d)
			}
		}
		if _, err := read.MerchantByToken(t.Context(), "alipay", "TOK"); !errors.Is(err, payment.ErrNoMerchant) {
			t.Errorf("another channel's token: %v", err)
		}
		if _, err := read.EnabledMerchant(t.Context(), evcs.Only(2), "sandbox"); !errors.Is(err, payment.ErrNotConfigured) {
			t.Errorf("a stranger: %v", err)
		}
		for i, want := range []bool{true, false} {
			within(t, db, func(ctx context.Context, tx *store.Tx) error {
				c := payment.Callback{Tenant: 1, Channel: "sandbox", Merchant: m.ID, EventID: "e", ReceivedAt: day, Header: "{}", Body: []byte{0xff, 0}, Outcome: "DONE"}
				fresh, err := tx.Payments().Keep(ctx, evcs.Only(1), &c)
				if fresh != want || c.Outcome != [...]string{"DONE", "REJECTED"}[i] {
					t.Errorf("keep %d: %t %q %v", i, fresh, c.Outcome, err)
				}
				c.Outcome = "REJECTED"
				return errors.Join(err, tx.Payments().Settle(ctx, evcs.Only(1), c))
			})
		}
		within(t, db, func(ctx context.Context, tx *store.Tx) error {
			m := m
			m.Enabled, m.Sealed = false, "y"
			return tx.Payments().UpdateMerchant(ctx, evcs.Only(1), &m)
		})
		if list, err := read.Merchants(t.Context(), evcs.Only(1), "sandbox"); err != nil || len(list) != 1 || list[0].Enabled || list[0].Sealed != "y" {
			t.Errorf("merchants: %+v %v", list, err)
		}
	})
}

func TestSandboxBooks(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		pay := payment.SandboxTrade{Number: "EV1", Tenant: 1, ChannelNo: "SB1", Amount: 10, State: payment.TradeWaiting, NotifyAt: day, CreatedAt: day}
		back := payment.SandboxTrade{Number: "ER1", Tenant: 1, Refund: true, Parent: "EV1", ChannelNo: "SB2", Amount: 4, State: payment.TradePaid, DoneAt: day, CreatedAt: day}
		within(t, db, func(ctx context.Context, tx *store.Tx) error {
			books := store.Sandbox(tx)
			return errors.Join(books.InsertTrade(ctx, evcs.Only(1), &pay), books.InsertTrade(ctx, evcs.Only(1), &back))
		})
		within(t, db, func(ctx context.Context, tx *store.Tx) error {
			books := store.Sandbox(tx)
			due, err := books.TradesDue(ctx, day, 10)
			if err != nil || len(due) != 1 {
				t.Errorf("due: %v %v", due, err)
				return err
			}
			got := due[0]
			if d := cmp.Diff(pay, got); d != "" {
				t.Error(d)
			}
			got.State, got.DoneAt, got.NotifyAt = payment.TradePaid, day, time.Time{}
			if err := books.UpdateTrade(ctx, evcs.Only(1), &got); err != nil {
				return err
			}
			done, err := books.TradesDone(ctx, evcs.Only(1), day, day.Add(time.Second))
			if err != nil || len(done) != 2 || !done[0].Refund {
				t.Errorf("done: %v %v", done, err)
			}
			refunds, err := books.RefundsOf(ctx, evcs.Only(1), "EV1")
			if d := cmp.Diff([]payment.SandboxTrade{back}, refunds); d != "" || err != nil {
				t.Error(d, err)
			}
			if _, err := books.Trade(ctx, evcs.Only(2), "EV1"); !errors.Is(err, payment.ErrNotFound) {
				t.Errorf("a stranger: %v", err)
			}
			return nil
		})
		refused(t, db, evcs.ErrStale, func(ctx context.Context, tx *store.Tx) error {
			old := pay
			return store.Sandbox(tx).UpdateTrade(ctx, evcs.Only(1), &old)
		})
	})
}

// One order is found by its tenant and by those above it; what a row lacks does
// not come from the row that was read before it.
func TestOneOrderInItsScope(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		above := mustSprout(t, db, 1, "A", tenant.Limits{})
		owner, other := mustSprout(t, db, above, "A1", tenant.Limits{}), mustSprout(t, db, 1, "B", tenant.Limits{})
		full := &order.Order{
			Tenant: owner, No: "F", Session: "S-F", Station: 1, Charger: 10001, Connector: 1, Status: order.ToPay, StartState: order.Started,
			Source: order.FromClient, StartedAt: day.Add(-time.Hour), EndedAt: day, CreatedAt: day, UpdatedAt: day,
			UserName: "Li", IDTag: "04A1", StopReason: "LOCAL", Anomalies: order.Anomalies{"METER_RESET"}, Zone: "Asia/Urumqi",
		}
		within(t, db, func(ctx context.Context, tx *store.Tx) error { return tx.Orders().InsertOrder(ctx, full) })
		plain := billed(t, db, owner, "P")
		read := db.Reader().Orders()
		for _, want := range []*order.Order{full, plain, full, plain} {
			for _, scope := range []evcs.Scope{evcs.Only(owner), evcs.Subtree(owner), evcs.Subtree(above), evcs.Subtree(evcs.PlatformTenant)} {
				got, err := read.ListedOrder(t.Context(), scope, want.ID)
				if err != nil || got.TenantName != "A1" {
					t.Fatalf("%+v: %+v, %v", scope, got, err)
				}
				o := got.Order
				if o.No != want.No || o.UserName != want.UserName || o.IDTag != want.IDTag || o.StopReason != want.StopReason || o.Zone != want.Zone ||
					len(o.Anomalies) != len(want.Anomalies) || o.Amount != want.Amount || !o.EndedAt.Equal(want.EndedAt) || !o.PaidAt.IsZero() {
					t.Errorf("%+v: got %+v, want %+v", scope, o, want)
				}
			}
			for _, scope := range []evcs.Scope{evcs.Only(above), evcs.Only(other), evcs.Subtree(other), {}} {
				if _, err := read.ListedOrder(t.Context(), scope, want.ID); !errors.Is(err, order.ErrNotFound) {
					t.Errorf("%+v finds it: %v", scope, err)
				}
			}
		}
	})
}
