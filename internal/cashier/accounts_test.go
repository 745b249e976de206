package cashier_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/store"
)

// rsaPair is a key pair as an account takes it.
type rsaPair struct{ private, public string }

var (
	ownKeys   = sync.OnceValue(newPair)
	theirKeys = sync.OnceValue(newPair)
	newKeys   = sync.OnceValue(newPair)
)

func newPair() rsaPair {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	return rsaPair{base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(key)), base64.StdEncoding.EncodeToString(public)}
}

func some[T any](v T) *T { return &v }

// account is an Alipay account that takes payments.
func account(app string) payment.MerchantChange {
	return payment.MerchantChange{
		Channel: "alipay", Name: some("main"), AppID: &app, PrivateKey: some(ownKeys().private), AlipayPublicKey: some(theirKeys().public), Enabled: some(true),
	}
}

// counter is the bank behind the name of a real channel: what it notifies names
// the application, and a test can spoil it.
type counter struct {
	*line
	foreign atomic.Value // what a message names that is not the account's
	probe   atomic.Bool
}

func (c *counter) Account(n payment.Notice) string { return n.Header.Get("App") }

func (c *counter) Verify(ctx context.Context, m payment.Merchant, n payment.Notice) (payment.Notification, error) {
	if c.probe.Load() {
		return payment.Notification{}, payment.ErrProbe
	}
	told, err := c.line.Verify(ctx, m, n)
	told.Foreign, _ = c.foreign.Load().(string)
	return told, err
}

// real opens the bank under the name of a real channel as well.
func (s *shop) real() *counter {
	c := &counter{line: s.line}
	s.channels["alipay"] = c
	return c
}

func (s *shop) open(owner evcs.TenantID, n payment.MerchantChange) payment.Merchant {
	s.t.Helper()
	m, err := cashier.Accounts{Till: s.till}.Create(s.t.Context(), s.boss, owner, n)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// notice has the bank act on a payment over an account and catches what it
// would notify.
func (s *shop) notice(p payment.Payment, m payment.Merchant, outcome string, app string) payment.Notice {
	s.t.Helper()
	var caught payment.Notice
	if err := s.bank.Pay(s.t.Context(), p.Tenant, p.TradeNo, outcomeOf(outcome), s.clock.Now()); err != nil {
		s.t.Fatal(err)
	}
	if err := m.Unseal(s.sealer, s.clock.Now()); err != nil {
		s.t.Fatal(err)
	}
	err := s.bank.NotifyOne(s.t.Context(), p.Tenant, p.TradeNo, func(context.Context, evcs.TenantID) (payment.Merchant, error) { return m, nil },
		func(_ context.Context, _ payment.Merchant, n payment.Notice) payment.Reply {
			caught = n
			return payment.Reply{Status: http.StatusOK}
		})
	if err != nil {
		s.t.Fatal(err)
	}
	caught.Header.Set("App", app)
	return caught
}

func (s *shop) collect(o *order.Order, key string) payment.Payment {
	s.t.Helper()
	p, err := s.till.Create(s.t.Context(), s.boss, cashier.CreateRequest{Order: o.ID, Amount: 6138, Method: payment.MethodAlipayQR, Key: key})
	if err != nil {
		s.t.Fatalf("create: %v", err)
	}
	return p
}

func TestAccountsLife(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.real()
		verbs := cashier.Accounts{Till: s.till}
		bad := account("app")
		bad.PrivateKey = some("x")
		if _, err := verbs.Create(t.Context(), s.boss, 1, bad); code(err) != evcs.CodeValidationFailed {
			t.Errorf("a bad key: %v", err)
		}
		m := s.open(1, account("2021000000000001"))
		if got := verbs.CallbackURL(&m); !strings.HasPrefix(got, "https://pay.example/evcs/api/payment/callback/alipay/"+m.CallbackToken) || len(m.CallbackToken) < 32 {
			t.Errorf("notified at %q", got)
		}
		if _, err := verbs.Create(t.Context(), s.boss, 1, account("2021000000000002")); code(err) != evcs.CodeMerchantExists {
			t.Errorf("a second one that is on: %v", err)
		}
		off := account("2021000000000002")
		off.Enabled = nil
		second := s.open(1, off)
		if _, err := verbs.Change(t.Context(), s.boss, 1, second.ID, payment.MerchantChange{Enabled: some(true)}); code(err) != evcs.CodeMerchantExists {
			t.Errorf("switched on beside another: %v", err)
		}
		if _, err := verbs.Change(t.Context(), s.boss, 2, m.ID, payment.MerchantChange{Name: some("x")}); code(err) != evcs.CodeMerchantNotFound {
			t.Errorf("another tenant's: %v", err)
		}
		if _, err := verbs.Change(t.Context(), s.boss, 1, m.ID, payment.MerchantChange{Name: some("x"), Version: some(int64(9))}); code(err) != evcs.CodeVersionConflict {
			t.Errorf("a stale version: %v", err)
		}
		id := fmt.Sprint(m.ID)
		if s.alert(alarm.MerchantKeyChanged, "MERCHANT", id) != nil {
			t.Error("somebody was told of nothing")
		}
		rotated, err := verbs.Change(t.Context(), s.boss, 1, m.ID, payment.MerchantChange{AlipayPublicKey: some(newKeys().public)})
		if err != nil {
			t.Fatal(err)
		}
		if a := s.alert(alarm.MerchantKeyChanged, "MERCHANT", id); a == nil || a.Severity != alarm.High || !strings.Contains(a.Message, "alipayPublicKey") {
			t.Errorf("alert: %+v", a)
		}
		p := s.collect(s.owe(), "a")
		if p.Merchant != m.ID || p.Sandbox {
			t.Errorf("%+v", p)
		}
		if _, err := verbs.Change(t.Context(), s.boss, 1, m.ID, payment.MerchantChange{AppID: some("other")}); code(err) != evcs.CodeValidationFailed {
			t.Errorf("another application: %v", err)
		}
		if err := verbs.Delete(t.Context(), s.boss, 1, m.ID, nil); code(err) != evcs.CodePaymentState {
			t.Errorf("deleted with a live payment: %v", err)
		}
		n := s.notice(p, rotated, "SUCCESS", "")
		if reply := s.till.Callback(t.Context(), "alipay", m.CallbackToken, n); reply.Status != http.StatusOK {
			t.Fatalf("%+v", reply)
		}
		s.want(p, order.Paid, payment.Success)
		if err := verbs.Delete(t.Context(), s.boss, 1, m.ID, some(int64(1))); code(err) != evcs.CodeVersionConflict {
			t.Errorf("deleted by a stale version: %v", err)
		}
		closed := s.collect(s.owe(), "b")
		if _, err := s.till.Close(t.Context(), s.boss, closed.TradeNo); err != nil {
			t.Fatal(err)
		}
		if err := verbs.Delete(t.Context(), s.boss, 1, m.ID, nil); code(err) != evcs.CodePaymentState {
			t.Errorf("deleted while a closed payment may still be paid: %v", err)
		}
		for range 30 {
			s.clock.pass(time.Hour)
			s.due()
		}
		if err := verbs.Delete(t.Context(), s.boss, 1, m.ID, nil); err != nil {
			t.Fatal(err)
		}
		if err := verbs.Delete(t.Context(), s.boss, 1, m.ID, nil); code(err) != evcs.CodeMerchantNotFound {
			t.Errorf("deleted twice: %v", err)
		}
		before := s.refunds(p)
		if _, err := s.refund(p, 100, ""); code(err) != evcs.CodePaymentState || len(s.refunds(p)) != len(before) {
			t.Errorf("refunded over a deleted account: %v", err)
		}
		if reply := s.till.Callback(t.Context(), "alipay", m.CallbackToken, n); reply.Status != http.StatusBadRequest {
			t.Errorf("a deleted account is called back: %+v", reply)
		}
	})
}

func TestOneEnabledAccountUnderConcurrency(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		results := at8(func(i int) evcs.Code {
			_, err := cashier.Accounts{Till: s.till}.Create(t.Context(), s.boss, 1, account(fmt.Sprint("app", i)))
			return code(err)
		})
		if results[200] != 1 || results[evcs.CodeMerchantExists] != 7 {
			t.Errorf("%v", results)
		}
	})
}

// An account is deleted, and its application changed, at the moment when
// somebody begins a payment or a refund over it: one of them is refused.
func TestAccountGoesWhileMoneyBegins(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.real()
		verbs := cashier.Accounts{Till: s.till}
		race := func(begin, end func() error) (begun, ended evcs.Code) {
			var both sync.WaitGroup
			both.Go(func() { begun = code(begin()) })
			both.Go(func() { ended = code(end()) })
			both.Wait()
			return begun, ended
		}
		for i := range 20 {
			m := s.open(1, account(fmt.Sprint("app", i)))
			drop := func() error { return verbs.Delete(t.Context(), s.boss, 1, m.ID, nil) }
			pay := func() error {
				_, err := s.till.Create(t.Context(), s.boss, cashier.CreateRequest{Order: s.orders[len(s.orders)-1], Amount: 6138, Method: payment.MethodAlipayQR})
				return err
			}
			o := s.owe()
			end, unlike := drop, evcs.CodePaymentState
			if i%2 == 1 {
				end, unlike = func() error {
					_, err := verbs.Change(t.Context(), s.boss, 1, m.ID, payment.MerchantChange{AppID: some("other"), Enabled: some(false)})
					return err
				}, evcs.CodeValidationFailed
			}
			begun, ended := race(pay, end)
			if !(begun == 200 && ended == unlike) && !(begun == evcs.CodeChannelNotConfigured && ended == 200) {
				t.Fatalf("%d: the payment %d, the account %d", i, begun, ended)
			}
			if begun != 200 {
				if list, err := s.db.Reader().Payments().OfOrder(t.Context(), evcs.Only(1), o.ID); err != nil || len(list) != 0 {
					t.Fatalf("%+v %v", list, err)
				}
				continue
			}
			list, err := s.db.Reader().Payments().OfOrder(t.Context(), evcs.Only(1), o.ID)
			if err != nil || len(list) != 1 || list[0].Merchant != m.ID {
				t.Fatalf("%+v %v", list, err)
			}
			p := list[0]
			if reply := s.till.Callback(t.Context(), "alipay", m.CallbackToken, s.notice(p, m, "SUCCESS", "")); reply.Status != http.StatusOK {
				t.Fatalf("%+v", reply)
			}
			begun, ended = race(func() error { _, err := s.refund(p, 100, ""); return err }, drop)
			switch {
			case begun == evcs.CodePaymentState && ended == 200:
			case begun == 200: // the bank may have paid it out before the account went
				if r := s.refunds(p); len(r) != 1 || r[0].Status != payment.RefundSuccess {
					t.Fatalf("%d: %+v", i, r)
				}
				if ended != 200 && ended != evcs.CodePaymentState {
					t.Fatalf("%d: the account %d", i, ended)
				}
			default:
				t.Fatalf("%d: the refund %d, the account %d", i, begun, ended)
			}
			if ended != 200 {
				if err := drop(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestVerifyAccount(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.real()
		verbs := cashier.Accounts{Till: s.till}
		sandbox := account("app")
		sandbox.Mode = some(payment.SandboxMode)
		m := s.open(3, sandbox) // a tenant that takes no sandbox money
		find := func(checks []payment.Check) map[string]bool {
			found := make(map[string]bool)
			for _, c := range checks {
				found[c.Name] = c.OK
				if c.Message.ZH == "" || c.Message.EN == "" {
					t.Errorf("%s says nothing", c.Name)
				}
			}
			return found
		}
		checks, err := verbs.Verify(t.Context(), 3, m.ID)
		got := find(checks)
		if err != nil || !got["KEYS_PARSE"] || !got["KEYS_DIFFER"] || !got["CALLBACK_ADDRESS"] || !got["CHANNEL_ANSWERS"] || got["SANDBOX_ALLOWED"] || len(got) != 5 {
			t.Errorf("%v %v", got, err)
		}
		if _, err := s.till.Create(t.Context(), s.boss, cashier.CreateRequest{Order: s.oweTo(3).ID, Amount: 6138, Method: payment.MethodAlipayQR}); code(err) != evcs.CodeChannelNotConfigured {
			t.Errorf("sandbox money where it is off: %v", err)
		}
		s.line.set(errLost, nil, nil)
		if _, err := verbs.Verify(t.Context(), 3, m.ID); code(err) != evcs.CodePaymentTimeout {
			t.Errorf("nobody answers: %v", err)
		}
		s.line.set(evcs.With(payment.ErrRefused, map[string]any{"channelCode": "isv.invalid-app-id"}), nil, nil)
		checks, err = verbs.Verify(t.Context(), 3, m.ID)
		if got := find(checks); err != nil || got["CHANNEL_ANSWERS"] || !strings.Contains(checks[len(checks)-1].Message.EN, "invalid-app-id") {
			t.Errorf("%v %v", checks, err)
		}
		if _, err := verbs.Verify(t.Context(), 1, m.ID); code(err) != evcs.CodeMerchantNotFound {
			t.Errorf("another tenant's: %v", err)
		}
	})
}

// Two tenants may share an application: the signature of either proves both, and
// what counts is whose number it is.
func TestBarePath(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.real()
		first, second := s.open(1, account("shared")), s.open(2, account("shared"))
		mine, other := s.collect(s.owe(), "a"), s.collect(s.oweTo(2), "b")
		n := s.notice(other, second, "SUCCESS", "shared")
		if reply := s.till.Callback(t.Context(), "alipay", "", payment.Notice{Header: http.Header{"App": {"nobody"}}, Body: n.Body}); reply.Status != http.StatusBadRequest {
			t.Errorf("an application nobody has: %+v", reply)
		}
		if reply := s.till.Callback(t.Context(), "alipay", "", n); reply.Status != http.StatusOK {
			t.Errorf("bare: %+v", reply)
		}
		s.want(other, order.Paid, payment.Success)
		s.want(mine, order.ToPay, payment.Pending)
		forged := s.notice(mine, first, "SUCCESS", "shared")
		forged.Body = bytes.Replace(forged.Body, []byte("6138"), []byte("6139"), 1)
		if reply := s.till.Callback(t.Context(), "alipay", "", forged); reply.Status != http.StatusBadRequest {
			t.Errorf("tampered: %+v", reply)
		}
		s.want(mine, order.ToPay, payment.Pending)
		// Rightly signed by the first tenant's account about the second's payment.
		late := s.notice(s.collect(s.oweTo(2), "c"), first, "SUCCESS", "shared")
		if reply := s.till.Callback(t.Context(), "alipay", first.CallbackToken, late); reply.Status != http.StatusBadRequest {
			t.Errorf("across tenants: %+v", reply)
		}
		s.clock.pass(10 * time.Second)
		s.due()
		s.want(mine, order.Paid, payment.Success) // by asking
	})
}

func TestForeignMessagesAreRejectedOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		c := s.real()
		m := s.open(1, account("app"))
		p := s.collect(s.owe(), "a")
		n := s.notice(p, m, "SUCCESS", "app")
		c.foreign.Store("merchant")
		for range 2 {
			if reply := s.till.Callback(t.Context(), "alipay", m.CallbackToken, n); reply.Status != http.StatusBadRequest {
				t.Errorf("%+v", reply)
			}
		}
		if a := s.alert(alarm.CallbackRejected, "MERCHANT", "alipay"); a == nil || a.Occurrences != 1 {
			t.Errorf("alert: %+v", a)
		}
		s.want(p, order.ToPay, payment.Pending)
		c.foreign.Store("")
		s.clock.pass(10 * time.Second)
		s.due()
		s.want(p, order.Paid, payment.Success)
	})
}

func TestProbesAndFloods(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		c := s.real()
		m := s.open(1, account("app"))
		c.probe.Store(true)
		send := func(i int) int {
			return s.till.Callback(t.Context(), "alipay", m.CallbackToken, forgedBy(fmt.Sprint("probe ", i))).Status
		}
		for i := range 5 {
			if got := send(i); got != http.StatusBadRequest {
				t.Errorf("probe: %d", got)
			}
		}
		if s.alert(alarm.CallbackRejected, "MERCHANT", "alipay") != nil || s.unverified(m) != 0 {
			t.Error("a few probes are told or kept")
		}
		s.clock.pass(6 * time.Minute)
		for i := range 6 {
			send(i)
		}
		if a := s.alert(alarm.CallbackRejected, "MERCHANT", "alipay"); a == nil || a.Occurrences != 1 {
			t.Errorf("many probes: %+v", a)
		}
		c.probe.Store(false)
		for i := range 205 {
			if got := send(i); got != http.StatusBadRequest {
				t.Fatalf("forged: %d", got)
			}
		}
		if n := s.unverified(m); n != 200 {
			t.Errorf("%d forged messages are kept", n)
		}
		s.clock.pass(2 * time.Hour)
		send(1000)
		if n := s.unverified(m); n != 1 {
			t.Errorf("%d forged messages are kept of the last hour", n)
		}
		gone := int64(0)
		s.within(func(ctx context.Context, tx *store.Tx) (err error) {
			gone, err = store.PruneForged(tx, ctx, evcs.Millis(s.clock.Now().Add(-time.Hour)), 1000)
			return err
		})
		if gone != 200 || s.unverified(m) != 1 {
			t.Errorf("%d forged messages were let go", gone)
		}
	})
}

func forgedBy(body string) payment.Notice { return forged(body) }

func (s *shop) unverified(m payment.Merchant) (n int) {
	s.t.Helper()
	s.within(func(ctx context.Context, tx *store.Tx) (err error) {
		n, err = tx.Payments().Unverified(ctx, evcs.Only(m.Tenant), m.ID, s.clock.Now().Add(-time.Hour))
		return err
	})
	return n
}

// claimed is how many payments somebody holds.
func (s *shop) claim(node string) int {
	s.t.Helper()
	n := 0
	s.within(func(ctx context.Context, tx *store.Tx) error {
		now := s.clock.Now()
		list, err := tx.Payments().ClaimPayments(ctx, payment.Claim{Node: node, Now: now, Until: now.Add(time.Minute), Most: 10})
		n = len(list)
		return err
	})
	return n
}

func (s *shop) heard(node string) {
	s.t.Helper()
	if err := s.db.Watched().SaveNode(s.t.Context(), nodeOf(node, s.clock.Now())); err != nil {
		s.t.Fatal(err)
	}
}

func TestWorkOfAGoneNode(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		paid := func() payment.Payment {
			p := s.create(s.owe(), "")
			if err := s.bank.Pay(t.Context(), 1, p.TradeNo, outcomeOf("SUCCESS"), s.clock.Now()); err != nil {
				t.Fatal(err)
			}
			return p
		}
		pay := func(p payment.Payment) { // the notification is lost
			lost := func(context.Context, payment.Merchant, payment.Notice) payment.Reply {
				return payment.Reply{Status: 503}
			}
			if err := s.bank.NotifyOne(t.Context(), 1, p.TradeNo, s.till.SandboxMerchant, lost); err != nil {
				t.Fatal(err)
			}
		}
		p := paid()
		pay(p)
		s.clock.pass(10 * time.Second)
		s.heard("a")
		if n := s.claim("a"); n != 1 {
			t.Fatalf("claimed %d", n)
		}
		b := s.another("b")
		run := func(till *cashier.Till) {
			t.Helper()
			if _, err := till.Due(t.Context(), 100); err != nil {
				t.Fatal(err)
			}
		}
		run(b)
		s.want(p, order.ToPay, payment.Pending) // a lives and is at it
		s.clock.pass(31 * time.Second)
		run(b) // a has been silent for three signs of life; its lease would last on
		s.want(p, order.Paid, payment.Success)

		q := paid()
		pay(q)
		s.clock.pass(10 * time.Second)
		s.heard("a")
		if n := s.claim("a"); n != 1 {
			t.Fatalf("claimed %d", n)
		}
		run(s.another("a")) // the same node, started again
		s.want(q, order.Paid, payment.Success)

		r := paid()
		pay(r)
		s.clock.pass(10 * time.Second)
		s.heard("a")
		if n := s.claim("a"); n != 1 {
			t.Fatalf("claimed %d", n)
		}
		for range 4 { // a node that hangs and shows signs of life loses its lease in the end
			s.clock.pass(20 * time.Second)
			s.heard("a")
			run(b)
		}
		s.want(r, order.Paid, payment.Success)
	})
}

// A channel that answers nobody does not keep the others waiting, and is not
// asked without end.
func TestSilentChannelHoldsUpNobody(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		c := s.real()
		c.line = &line{Channel: s.bank}
		s.open(1, account("app"))
		for range 6 {
			s.collect(s.owe(), "")
		}
		p := s.create(s.owe(), "")
		if err := s.bank.Pay(t.Context(), 1, p.TradeNo, outcomeOf("SUCCESS"), s.clock.Now()); err != nil {
			t.Fatal(err)
		}
		c.line.set(errLost, nil, nil)
		s.clock.pass(10 * time.Second)
		s.due()
		asked := 0
		for _, id := range s.orders {
			list, err := s.db.Reader().Payments().OfOrder(t.Context(), evcs.Only(1), id)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range list {
				if x.Channel == "alipay" {
					asked += x.Queries
				}
			}
		}
		if asked != 3 {
			t.Errorf("a silent channel was asked %d times in one round", asked)
		}
		s.notifyAll()
		s.want(p, order.Paid, payment.Success)
	})
}

func TestErrorsOfTheStoreAreToldToTheChannel(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.real()
		m := s.open(1, account("app"))
		p := s.collect(s.owe(), "a")
		n := s.notice(p, m, "SUCCESS", "app")
		s.broken.Store(true)
		if reply := s.till.Callback(t.Context(), "alipay", m.CallbackToken, n); reply.Status != http.StatusServiceUnavailable {
			t.Errorf("the store is away: %+v", reply)
		}
		s.broken.Store(false)
		s.want(p, order.ToPay, payment.Pending)
		if reply := s.till.Callback(t.Context(), "alipay", m.CallbackToken, n); reply.Status != http.StatusOK {
			t.Errorf("sent again: %+v", reply)
		}
		s.want(p, order.Paid, payment.Success)
	})
}

var errAway = errors.New("the store is away")
