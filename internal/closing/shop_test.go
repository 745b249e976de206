package closing_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tenant"
)

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = at
}

// slow is a channel whose statements come when the test says so.
type slow struct {
	payment.Channel
	bank    *sandboxpay.Bank
	hold    chan struct{} // nil: at once
	unmoved bool          // there is no fund statement
}

func (s *slow) Fetch(ctx context.Context, m payment.Merchant, day string) (payment.Statement, error) {
	if s.hold != nil {
		<-s.hold
	}
	return s.Channel.Fetch(ctx, m, day)
}

func (s *slow) FetchFund(ctx context.Context, m payment.Merchant, day string) (payment.Statement, error) {
	if s.unmoved {
		return payment.Statement{}, payment.ErrNotReady
	}
	return s.bank.FetchFund(ctx, m, day)
}

func (s *slow) ReadFund(ctx context.Context, m payment.Merchant, day string, r io.Reader, each func(payment.Movement) error) (payment.FundSummary, error) {
	return s.bank.ReadFund(ctx, m, day, r, each)
}

// shop is a till, a bank and a closer on a real store.
type shop struct {
	t      testing.TB
	db     *store.DB
	clock  *clock
	till   *cashier.Till
	bank   *sandboxpay.Bank
	slow   *slow
	closer *closing.Closer
	orders int
	// channels are those of the closer and the till.
	channels map[string]payment.Channel
}

const (
	first  = "2026-02-09"
	second = "2026-02-10"
	third  = "2026-02-11"
	fourth = "2026-02-12"
)

var (
	maker   = &evcs.Actor{User: 1, Name: "maker", Tenant: 1, Platform: true}
	checker = &evcs.Actor{User: 2, Name: "checker", Tenant: 1, Platform: true}
)

// at is an hour of a day in Shanghai.
func at(day string, hour int) time.Time {
	from, _, _ := recon.Bounds(day)
	return from.Add(time.Duration(hour) * time.Hour)
}

type days struct {
	store.Recon
	store.PaymentDesk
}

func (s *shop) transact() func(ctx context.Context, fn func(closing.Tx) error) error {
	return func(ctx context.Context, fn func(closing.Tx) error) error {
		return s.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}
}

func open(t testing.TB, db *store.DB) *shop {
	t.Helper()
	sealer, err := auth.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, db: db, clock: &clock{now: at(first, 10)}}
	s.bank = &sandboxpay.Bank{Clock: s.clock, Transact: func(ctx context.Context, fn func(payment.SandboxBooks) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(store.Sandbox(tx)) })
	}}
	s.slow = &slow{Channel: s.bank, bank: s.bank}
	channels := map[string]payment.Channel{"sandbox": s.slow}
	s.channels = channels
	s.till = cashier.New(cashier.Config{
		Clock: s.clock, Channels: channels, Sealer: sealer, Payments: db.Reader().Payments(), Orders: db.Reader().Orders(),
		Transact: func(ctx context.Context, fn func(cashier.Tx) error) error {
			return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
		},
	})
	s.closer = closing.New(closing.Config{
		Clock: s.clock, Channels: channels, Sealer: sealer, Cashier: s.till, Read: days{db.Reader().Recon(), db.Reader().Payments().PaymentDesk},
		Transact: s.transact(),
	})
	on := true
	s.within(func(ctx context.Context, tx *store.Tx) error {
		x := tenant.Tenant{ID: 1, Code: "SYSTEM", Name: "SYSTEM", Type: tenant.Platform, Enabled: true, Created: s.clock.Now(), Updated: s.clock.Now()}
		x.Own.SandboxPayments = &on
		return tx.Tenants().Insert(ctx, &x)
	})
	if _, err := s.till.SandboxMerchant(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *shop) within(fn func(ctx context.Context, tx *store.Tx) error) {
	s.t.Helper()
	ctx := context.WithoutCancel(s.t.Context())
	if err := s.db.Transact(ctx, func(tx *store.Tx) error { return fn(ctx, tx) }); err != nil {
		s.t.Fatal(err)
	}
}

// sell has an order of 61.38 charged, billed and paid now.
func (s *shop) sell() payment.Payment {
	s.t.Helper()
	p := s.offer()
	s.paid(p)
	return p
}

// paid has the bank tell us of a trade.
func (s *shop) paid(p payment.Payment) {
	s.t.Helper()
	if err := s.bank.NotifyOne(s.t.Context(), 1, p.TradeNo, s.till.SandboxMerchant, func(ctx context.Context, m payment.Merchant, n payment.Notice) payment.Reply {
		return s.till.Callback(ctx, m.Channel, m.CallbackToken, n)
	}); err != nil {
		s.t.Fatalf("notify %s: %v", p.TradeNo, err)
	}
}

// offer has an order paid at the bank, which does not tell us yet.
func (s *shop) offer() payment.Payment {
	s.t.Helper()
	s.orders++
	no := fmt.Sprintf("ORD-%d", s.orders)
	var o *order.Order
	s.within(func(ctx context.Context, tx *store.Tx) error {
		now := s.clock.Now()
		o = &order.Order{
			Tenant: 1, No: no, Session: "S-" + no, Station: 1, Charger: 10001, Connector: 1, Status: order.Ended, StartState: order.Started,
			Source: order.FromClient, StartedAt: now.Add(-time.Hour), EndedAt: now, Snapshot: 1, ElectricityAmount: 4230, ServiceAmount: 1908,
			Amount: 6138, CreatedAt: now, UpdatedAt: now,
		}
		if err := tx.Orders().InsertOrder(ctx, o); err != nil {
			return err
		}
		return ledger.Book(ctx, tx.Ledger(), ledger.Billed(1, o.ID, now, ledger.Bill{Electricity: 4230, Service: 1908}))
	})
	p, err := s.till.Create(s.t.Context(), maker, cashier.CreateRequest{Order: o.ID, Amount: 6138, Method: payment.MethodSandbox})
	if err != nil {
		s.t.Fatalf("create: %v", err)
	}
	if err := s.bank.Pay(s.t.Context(), 1, p.TradeNo, sandboxpay.Succeed, s.clock.Now()); err != nil {
		s.t.Fatalf("pay: %v", err)
	}
	return p
}

// faults seeds the statement of a day.
func (s *shop) faults(day string, f sandboxpay.Faults) {
	s.t.Helper()
	s.within(func(ctx context.Context, tx *store.Tx) error {
		m, err := tx.Payments().EnabledMerchant(ctx, evcs.Only(1), "sandbox")
		if err != nil {
			return err
		}
		if m.Config, err = sandboxpay.WithFaults(m.Config, day, f); err != nil {
			return err
		}
		return tx.Payments().UpdateMerchant(ctx, evcs.Only(1), &m)
	})
}

func (s *shop) execute(q closing.Request) (recon.Batch, error) {
	q.Tenant, q.Channel = 1, "sandbox"
	return s.closer.Execute(s.t.Context(), q, time.Minute)
}

// file takes a statement in.
func (s *shop) file(text []byte) closing.File {
	s.t.Helper()
	f, err := s.closer.Receive(s.t.Context(), bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { f.Close() })
	return f
}

// run reconciles a day that must be verified.
func (s *shop) run(day string) recon.Batch {
	s.t.Helper()
	b, err := s.execute(closing.Request{Day: day})
	if err != nil {
		s.t.Fatalf("run %s: %v", day, err)
	}
	return b
}

func (s *shop) differences(b recon.Batch) []recon.Difference {
	s.t.Helper()
	list, err := s.db.Reader().Recon().DifferencesOf(s.t.Context(), evcs.Only(1), b.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// settle proposes and approves.
func (s *shop) settle(d recon.Difference, action recon.Action) recon.Difference {
	s.t.Helper()
	if _, err := s.closer.Resolve(s.t.Context(), maker, d.ID, closing.Proposal{Action: action, Reason: "seeded"}); err != nil {
		s.t.Fatalf("resolve %s: %v", d.Kind, err)
	}
	done, err := s.closer.Approve(s.t.Context(), checker, d.ID, "")
	if err != nil {
		s.t.Fatalf("approve %s: %v", d.Kind, err)
	}
	return done
}

// balanced proves that the journal balances.
func (s *shop) balanced() {
	s.t.Helper()
	trial, err := s.db.Reader().Ledger().TrialBalance(s.t.Context(), evcs.Only(1), s.clock.Now().AddDate(1, 0, 0))
	if err != nil || !trial.Balanced() {
		s.t.Errorf("%v %+v", err, trial)
	}
}
