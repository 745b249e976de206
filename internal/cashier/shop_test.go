package cashier_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
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

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var (
	errLost = errors.New("the line is dead")
	errDead = errors.New("the process is dead")
)

// line is the line to the bank: it can lose what is said, before or after the
// bank has heard it, and word refusals of its own.
type line struct {
	payment.Channel
	mu      sync.Mutex
	before  error  // instead of calling
	after   error  // instead of the bank's answer
	refunds error  // the answer to refunds
	notify  string // where the bank was last told to notify
	manner  manner
	dead    func() bool // the till that calls is dead; nil: never
}

// manner is how a real channel differs from our bank.
type manner int

const (
	plain     manner = iota
	unscanned        // it knows no trade before it is paid, and closes none
	accepting        // it takes refunds and pays them out later
	abnormal         // it takes refunds and cannot pay them out
)

func (l *line) behave(m manner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.manner = m
}

func (l *line) how() manner {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.manner
}

func (l *line) set(before, after, refunds error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before, l.after, l.refunds = before, after, refunds
}

func (l *line) faults() (before, after, refunds error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.before, l.after, l.refunds
}

func through[A any](l *line, call func() (A, error)) (A, error) {
	before, after, _ := l.faults()
	var none A
	if l.dead != nil && l.dead() {
		return none, errDead
	}
	if before != nil {
		return none, before
	}
	a, err := call()
	if after != nil {
		return none, after
	}
	return a, err
}

func (l *line) Create(ctx context.Context, m payment.Merchant, r payment.CreateRequest) (payment.Offer, error) {
	l.mu.Lock()
	l.notify = r.NotifyURL
	l.mu.Unlock()
	return through(l, func() (payment.Offer, error) { return l.Channel.Create(ctx, m, r) })
}

func (l *line) Query(ctx context.Context, m payment.Merchant, no string) (payment.Trade, error) {
	return through(l, func() (payment.Trade, error) { return l.seen(l.Channel.Query(ctx, m, no)) })
}

// seen is a trade as the channel tells it.
func (l *line) seen(trade payment.Trade, err error) (payment.Trade, error) {
	if l.how() == unscanned && trade.State == payment.TradeWaiting {
		trade.State = payment.TradeUnknown
	}
	return trade, err
}

func (l *line) Close(ctx context.Context, m payment.Merchant, no string) (payment.Trade, error) {
	return through(l, func() (payment.Trade, error) {
		if l.how() == unscanned {
			return l.seen(l.Channel.Query(ctx, m, no))
		}
		return l.Channel.Close(ctx, m, no)
	})
}

func (l *line) Refund(ctx context.Context, m payment.Merchant, r payment.RefundRequest) (payment.RefundAnswer, error) {
	return through(l, func() (payment.RefundAnswer, error) {
		done, err := l.QueryRefund(ctx, m, r.TradeNo, r.RefundNo)
		if err == nil && done.State != payment.RefundSuccess {
			switch l.how() {
			case accepting:
				return payment.RefundAnswer{State: payment.RefundProcessing}, nil
			case abnormal:
				return payment.RefundAnswer{State: payment.RefundFailed, Code: "ABNORMAL", Message: "the card is dead"}, nil
			case plain, unscanned:
			}
		}
		if _, _, refused := l.faults(); refused != nil && err == nil && done.State != payment.RefundSuccess {
			return payment.RefundAnswer{}, refused // what was paid out is never refused
		}
		return l.Channel.Refund(ctx, m, r)
	})
}

// shop is a till with a bank, a clock and orders on a real store.
type shop struct {
	t     testing.TB
	db    *store.DB
	clock *clock
	till  *cashier.Till
	bank  *sandboxpay.Bank
	line  *line
	boss  *evcs.Actor

	channels map[string]payment.Channel
	sealer   *auth.Sealer
	config   cashier.Config
	broken   atomic.Bool // the store is away

	orders []evcs.OrderID
}

// another is a till of another node on the same store.
func (s *shop) another(node string) *cashier.Till {
	c := s.config
	c.Node = node
	return cashier.New(c)
}

func outcomeOf(word string) sandboxpay.Outcome { return sandboxpay.Outcome(word) }

func nodeOf(name string, seen time.Time) health.Node {
	return health.Node{ID: name, Host: name, Started: opening, Seen: seen}
}

var opening = time.Date(2026, 2, 10, 10, 30, 0, 0, time.UTC)

func open(t testing.TB, db *store.DB) *shop {
	t.Helper()
	sealer, err := auth.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, db: db, clock: &clock{now: opening}, sealer: sealer}
	s.boss = &evcs.Actor{User: 1, Name: "boss", Tenant: 1, Platform: true, Permissions: map[evcs.Permission]bool{
		tenant.ReadDescendants: true, tenant.WriteDescendants: true,
	}}
	s.start()
	on := true
	s.within(func(ctx context.Context, tx *store.Tx) error {
		for i, code := range []string{"SYSTEM", "FT", "OFF"} {
			x := tenant.Tenant{Code: code, Name: code, Type: tenant.Operator, Parent: 1, Level: 1, Enabled: true, Created: opening, Updated: opening}
			if i == 0 {
				x.ID, x.Type, x.Parent, x.Level = 1, tenant.Platform, 0, 0
			}
			if i != 2 {
				x.Own.SandboxPayments = &on
			}
			if err := tx.Tenants().Insert(ctx, &x); err != nil {
				return err
			}
		}
		return nil
	})
	return s
}

// start makes the till and the bank on the store as it is open.
func (s *shop) start() {
	db := s.db
	s.bank = &sandboxpay.Bank{Clock: s.clock, Transact: func(ctx context.Context, fn func(payment.SandboxBooks) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(store.Sandbox(tx)) })
	}}
	s.line = &line{Channel: s.bank}
	s.channels = map[string]payment.Channel{"sandbox": s.line}
	s.config = cashier.Config{
		Clock: s.clock, Channels: s.channels, Sealer: s.sealer,
		Payments: db.Reader().Payments(), Orders: db.Reader().Orders(), CallbackBase: "https://pay.example/evcs/",
		Transact: func(ctx context.Context, fn func(cashier.Tx) error) error {
			if s.broken.Load() {
				return errAway
			}
			return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
		},
		Alarm: func(ctx context.Context, tx cashier.Tx, a cashier.Alert) error {
			return alarm.Raise(ctx, tx.(*store.Tx).Alarms(), alarm.Alert{
				Tenant: a.Tenant, Rule: alarm.Rule(a.Rule), Severity: alarm.Severity(a.Severity), Message: a.Message,
				Target: alarm.Target{Type: a.TargetType, ID: a.TargetID},
			}, a.At)
		},
	}
	s.till = cashier.New(s.config)
}

// each runs a test on a shop of either engine and checks the books at the end.
func each(t *testing.T, test func(t *testing.T, s *shop)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		s := open(t, db)
		test(t, s)
		s.audit()
	})
}

func (s *shop) within(fn func(ctx context.Context, tx *store.Tx) error) {
	s.t.Helper()
	ctx := context.WithoutCancel(s.t.Context())
	if err := s.db.Transact(ctx, func(tx *store.Tx) error { return fn(ctx, tx) }); err != nil {
		s.t.Fatal(err)
	}
}

// owe stores an ended and billed order of 61.38.
func (s *shop) owe() *order.Order { return s.oweTo(1) }

func (s *shop) oweTo(owner evcs.TenantID) *order.Order {
	s.t.Helper()
	no := fmt.Sprintf("ORD-%d", len(s.orders)+1)
	var o *order.Order
	s.within(func(ctx context.Context, tx *store.Tx) error {
		now := s.clock.Now()
		o = &order.Order{
			Tenant: owner, No: no, Session: "S-" + no, Station: 1, Charger: 10001, Connector: 1, Status: order.Ended, StartState: order.Started,
			Source: order.FromClient, StartedAt: now.Add(-time.Hour), EndedAt: now, Snapshot: 1, ElectricityAmount: 4230, ServiceAmount: 1908,
			Amount: 6138, CreatedAt: now, UpdatedAt: now,
		}
		if err := tx.Orders().InsertOrder(ctx, o); err != nil {
			return err
		}
		return ledger.Book(ctx, tx.Ledger(), ledger.Billed(owner, o.ID, now, ledger.Bill{Electricity: 4230, Service: 1908}))
	})
	s.orders = append(s.orders, o.ID)
	return o
}

// cancel waives an order.
func (s *shop) cancel(id evcs.OrderID) {
	s.t.Helper()
	if err := s.waive(id); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) waive(id evcs.OrderID) error {
	ctx := context.WithoutCancel(s.t.Context())
	return s.db.Transact(ctx, func(tx *store.Tx) error {
		o, err := tx.Orders().Order(ctx, evcs.Subtree(1), id)
		if err != nil {
			return err
		}
		if err := payment.CheckNoLive(ctx, tx.Payments(), evcs.Only(1), id); err != nil {
			return err
		}
		change, err := o.Cancel("goodwill", s.clock.Now())
		if err != nil || change.None() {
			return err
		}
		if err := order.Record(ctx, tx, o, change); err != nil {
			return err
		}
		return ledger.Book(ctx, tx.Ledger(), ledger.Waived(o.Tenant, o.ID, s.clock.Now(), o.Amount))
	})
}

func (s *shop) request(o *order.Order, key string) cashier.CreateRequest {
	return cashier.CreateRequest{Order: o.ID, Amount: 6138, Method: payment.MethodSandbox, Key: key}
}

func (s *shop) create(o *order.Order, key string) payment.Payment {
	s.t.Helper()
	p, err := s.till.Create(s.t.Context(), s.boss, s.request(o, key))
	if err != nil {
		s.t.Fatalf("create: %v", err)
	}
	return p
}

// pay has the payer act at once and delivers the notification.
func (s *shop) pay(p payment.Payment, o sandboxpay.Outcome) {
	s.t.Helper()
	if err := s.bank.Pay(s.t.Context(), p.Tenant, p.TradeNo, o, s.clock.Now()); err != nil {
		s.t.Fatalf("pay %s: %v", p.TradeNo, err)
	}
	if err := s.bank.NotifyOne(s.t.Context(), p.Tenant, p.TradeNo, s.till.SandboxMerchant, s.deliver); err != nil {
		s.t.Fatalf("notify %s: %v", p.TradeNo, err)
	}
}

func (s *shop) deliver(ctx context.Context, m payment.Merchant, n payment.Notice) payment.Reply {
	return s.till.Callback(ctx, m.Channel, m.CallbackToken, n)
}

func (s *shop) due() {
	s.t.Helper()
	if _, err := s.till.Due(s.t.Context(), 100); err != nil {
		s.t.Fatalf("due: %v", err)
	}
}

func (s *shop) notifyAll() {
	s.t.Helper()
	if _, err := s.bank.Notify(s.t.Context(), 100, s.till.SandboxMerchant, s.deliver); err != nil {
		s.t.Fatalf("notify: %v", err)
	}
}

func (s *shop) refund(p payment.Payment, amount evcs.Money, key string) (payment.Refund, error) {
	return s.till.Refund(s.t.Context(), s.boss, cashier.RefundRequest{TradeNo: p.TradeNo, Amount: amount, Reason: "r", Key: key})
}

// now reads an order and a payment as they are.
func (s *shop) now(p payment.Payment) (*order.Order, payment.Payment) {
	s.t.Helper()
	got, err := s.db.Reader().Payments().Payment(s.t.Context(), evcs.Subtree(1), p.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	o, err := s.db.Reader().Orders().Order(s.t.Context(), evcs.Subtree(1), got.Order)
	if err != nil {
		s.t.Fatal(err)
	}
	return o, got
}

// want compares the states of an order and a payment.
func (s *shop) want(p payment.Payment, os order.Status, ps payment.Status) {
	s.t.Helper()
	o, got := s.now(p)
	if o.Status != os || got.Status != ps {
		s.t.Errorf("order %s, payment %s; want %s, %s", o.Status.Name(), got.Status, os.Name(), ps)
	}
}

func (s *shop) alert(rule alarm.Rule, kind, id string) *alarm.Alert {
	s.t.Helper()
	var found *alarm.Alert
	s.within(func(ctx context.Context, tx *store.Tx) error {
		a, err := tx.Alarms().OpenAlert(ctx, evcs.Only(1), rule, alarm.Target{Type: kind, ID: id})
		if errors.Is(err, alarm.ErrNotFound) {
			return nil
		}
		found = a
		return err
	})
	return found
}

func (s *shop) refunds(p payment.Payment) []payment.Refund {
	s.t.Helper()
	list, err := s.db.Reader().Payments().Refunds(s.t.Context(), evcs.Subtree(1), p.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// audit proves that the journal balances and says what orders, payments and
// refunds say.
func (s *shop) audit() {
	s.t.Helper()
	if err := s.check(); err != nil {
		s.t.Error(err)
	}
}

func (s *shop) check() error {
	ctx := context.WithoutCancel(s.t.Context())
	want := map[ledger.Account]evcs.Money{}
	read := s.db.Reader()
	for _, id := range s.orders {
		o, err := read.Orders().Order(ctx, evcs.Subtree(1), id)
		if err != nil {
			return err
		}
		want[ledger.Account{Kind: ledger.Receivable}] += o.Payable()
		list, err := read.Payments().OfOrder(ctx, evcs.Subtree(1), id)
		if err != nil {
			return err
		}
		settled := evcs.Money(0)
		for _, p := range list {
			if !p.Status.Paid() {
				continue
			}
			want[ledger.Account{Kind: ledger.Clearing, Name: p.Channel}] += p.Amount - p.Refunded
			want[ledger.Account{Kind: ledger.RefundPayable}] -= p.Refunding
			if p.Settles {
				settled += p.Amount
				want[ledger.Account{Kind: ledger.RevenueRefunded}] += p.Refunded + p.Refunding
				if o.RefundedAmount != p.Refunded || o.Payment != p.ID {
					return fmt.Errorf("order %d knows %s refunded, payment %d %s", id, o.RefundedAmount, p.ID, p.Refunded)
				}
			} else {
				want[ledger.Account{Kind: ledger.Suspense}] -= p.Amount - p.Refunded - p.Refunding
			}
		}
		if settled != o.PaidAmount {
			return fmt.Errorf("order %d has %s, its payments settle %s", id, o.PaidAmount, settled)
		}
	}
	trial, err := read.Ledger().TrialBalance(ctx, evcs.Subtree(1), s.clock.Now().Add(time.Hour))
	if err != nil {
		return err
	}
	if !trial.Balanced() {
		return fmt.Errorf("the journal does not balance: %+v", trial)
	}
	have := map[ledger.Account]evcs.Money{}
	for _, b := range trial {
		have[b.Account] = b.Net()
	}
	for _, kind := range []ledger.AccountKind{ledger.Receivable, ledger.RefundPayable, ledger.RevenueRefunded, ledger.Suspense} {
		if a := (ledger.Account{Kind: kind}); have[a] != want[a] {
			return fmt.Errorf("%s is %s, want %s", a, have[a], want[a])
		}
	}
	for _, name := range []string{"sandbox", "offline", "alipay"} {
		if a := (ledger.Account{Kind: ledger.Clearing, Name: name}); have[a] != want[a] {
			return fmt.Errorf("%s is %s, want %s", a, have[a], want[a])
		}
	}
	return nil
}

// bankHolds is what the bank's own books say it holds.
func (s *shop) bankHolds() evcs.Money {
	s.t.Helper()
	var sum evcs.Money
	s.within(func(ctx context.Context, tx *store.Tx) error {
		sum = 0
		for _, owner := range []evcs.TenantID{1, 2} {
			list, err := store.Sandbox(tx).TradesDone(ctx, evcs.Only(owner), opening.Add(-time.Hour), s.clock.Now().Add(time.Hour))
			if err != nil {
				return err
			}
			for _, x := range list {
				if x.Refund {
					sum -= x.Amount
				} else {
					sum += x.Amount
				}
			}
		}
		return nil
	})
	return sum
}

// forged is a notification with a signature of nobody.
func forged(body string) payment.Notice {
	h := http.Header{}
	h.Set("Sandbox-Signature", "00ff")
	return payment.Notice{Header: h, Body: []byte(body)}
}

func code(err error) evcs.Code {
	if err == nil {
		return 200
	}
	c, _, _ := evcs.Classify(err)
	return c
}

// audits counts the audit rows of the platform.
func (s *shop) audits() int64 {
	s.t.Helper()
	page, err := s.db.Reader().Tenants().AuditPage(s.t.Context(), evcs.Only(1), tenant.AuditWanted{}, evcs.PageRequest{Page: 1, Size: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	return page.Total
}

func discounted(o evcs.OrderID, at time.Time) ledger.Entry {
	bill := ledger.Bill{Electricity: 4230, Service: 1908}
	less := bill
	less.Discount = 6138
	return ledger.Rebilled(1, o, at, bill, less, 2)
}
