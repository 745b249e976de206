package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/cashier"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/sandboxpay"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

var payday = time.Date(2026, 2, 10, 10, 35, 0, 0, time.UTC)

const internalSecret = "internal-token-of-32-characters-!"

// counter is the operations of money on a real store and the pretended bank,
// each request and answer judged by the document. The principals: "boss"
// (tenant 1), "lee" (tenant 2), "poor" (tenant 1, may only query).
type counter struct {
	t      *testing.T
	db     *store.DB
	bank   *sandboxpay.Bank
	till   *cashier.Till
	server http.Handler
	orders int
}

// counterPayer is the pretended payer of the counter's bank.
type counterPayer struct{ c *counter }

func (x counterPayer) Pay(ctx context.Context, p payment.Payment, outcome string, delay time.Duration) error {
	if err := x.c.bank.Pay(ctx, p.Tenant, p.TradeNo, sandboxpay.Outcome(outcome), payday.Add(delay)); err != nil || delay > 0 {
		return err
	}
	return x.c.bank.NotifyOne(ctx, p.Tenant, p.TradeNo, x.c.till.SandboxMerchant, func(ctx context.Context, m payment.Merchant, n payment.Notice) payment.Reply {
		w := x.c.send("", http.MethodPost, "/api/payment/callback/sandbox/"+m.CallbackToken, n.Body, n.Header)
		return payment.Reply{Status: w.Code, Body: w.Body.String()}
	})
}

func newCounter(t *testing.T, db *store.DB) *counter {
	t.Helper()
	clock, read := fixedClock{payday}, db.Reader()
	sealer, err := auth.NewSealer([32]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{t: t, db: db}
	c.bank = &sandboxpay.Bank{Clock: clock, Transact: func(ctx context.Context, fn func(payment.SandboxBooks) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(store.Sandbox(tx)) })
	}}
	c.till = cashier.New(cashier.Config{
		Clock: clock, Channels: map[string]payment.Channel{"sandbox": c.bank}, Sealer: sealer, Payments: read.Payments(), Orders: read.Orders(),
		Transact: func(ctx context.Context, fn func(cashier.Tx) error) error {
			return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
		},
	})
	on := true
	c.within(func(ctx context.Context, tx *store.Tx) error {
		for i, code := range []string{"SYSTEM", "FT", "OFF"} {
			x := tenant.Tenant{Code: code, Name: code, Type: tenant.Operator, Parent: 1, Level: 1, Enabled: true, Created: payday, Updated: payday}
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
	all := map[evcs.Permission]bool{}
	for _, p := range []evcs.Permission{
		"payment:create", "payment:query", "payment:refund", "order:settle", "order:query", "reconciliation:query", readDescendants, writeDescendants,
	} {
		all[p] = true
	}
	orders := Orders{Clock: clock, Read: read.Orders(), Chargers: read.Stations()}
	c.server = checked(t, New(Config{
		Clock: clock, Log: slog.New(slog.DiscardHandler), Tree: read.Tenants(), Replays: db.Idempotency(clock, "n"),
		InternalToken: internalSecret, InternalCIDR: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Guard: guards{
			"boss": {User: 1, Name: "boss", Tenant: 1, Zone: time.UTC, Permissions: all}, "lee": {User: 2, Name: "lee", Tenant: 2, Zone: time.UTC, Permissions: all},
			"poor": {User: 3, Name: "poor", Tenant: 1, Zone: time.UTC, Permissions: map[evcs.Permission]bool{"payment:query": true, "order:settle": true}},
		},
		Parts: []Part{
			Payments{Read: read.Payments(), Orders: orders, Till: c.till, Payer: counterPayer{c}},
			Callbacks{Till: c.till},
			Ledger{Read: read.Ledger(), Orders: orders, Clock: clock},
		},
	}))
	return c
}

func (c *counter) within(fn func(ctx context.Context, tx *store.Tx) error) {
	c.t.Helper()
	if err := c.db.Transact(c.t.Context(), func(tx *store.Tx) error { return fn(c.t.Context(), tx) }); err != nil {
		c.t.Fatal(err)
	}
}

// owe stores a billed order of 61.38.
func (c *counter) owe(owner evcs.TenantID, status order.Status) evcs.OrderID {
	c.t.Helper()
	c.orders++
	no := fmt.Sprintf("ORD-%d", c.orders)
	var o *order.Order
	c.within(func(ctx context.Context, tx *store.Tx) error {
		o = &order.Order{
			Tenant: owner, No: no, Session: "S-" + no, Station: 1, Charger: 10001, Connector: 1, Status: status, StartState: order.Started,
			Source: order.FromClient, StartedAt: payday.Add(-time.Hour), EndedAt: payday, Snapshot: 1, ElectricityAmount: 4230, ServiceAmount: 1908,
			Amount: 6138, CreatedAt: payday, UpdatedAt: payday,
		}
		if err := tx.Orders().InsertOrder(ctx, o); err != nil {
			return err
		}
		return ledger.Book(ctx, tx.Ledger(), ledger.Billed(owner, o.ID, payday, ledger.Bill{Electricity: 4230, Service: 1908}))
	})
	return o.ID
}

func (c *counter) send(token, method, target string, body []byte, header http.Header) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, target, bytes.NewReader(body))
	r.RemoteAddr = "127.0.0.1:5000"
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	return w
}

// want sends a request that must be answered with the code; it returns data.
func (c *counter) want(code int, token, method, target, body string, headers ...string) map[string]any {
	c.t.Helper()
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	w := c.send(token, method, target, []byte(body), h)
	var answer struct {
		Code int `json:"code"`
		Data any `json:"data"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		c.t.Fatalf("%s %s: %q", method, target, w.Body)
	}
	if answer.Code != code {
		c.t.Errorf("%s %s: %s; want %d", method, target, w.Body, code)
	}
	data, _ := answer.Data.(map[string]any) // a list has none
	return data
}

func (c *counter) create(id evcs.OrderID, key string) string {
	c.t.Helper()
	p := c.want(200, "boss", "POST", "/api/payment/create", fmt.Sprintf(`{"orderId":%d,"amount":61.38,"paymentMethod":"SANDBOX"}`, id), "Idempotency-Key", key)
	no, _ := p["tradeNo"].(string) // an empty one fails next
	return no
}

func TestPaymentsOverTheWire(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c := newCounter(t, db)
		o := c.owe(1, order.Ended)
		body := fmt.Sprintf(`{"orderId":%d,"amount":61.38,"paymentMethod":"SANDBOX"}`, o)
		p := c.want(200, "boss", "POST", "/api/payment/create", body, "Idempotency-Key", "k1")
		if p["status"] != 0.0 || p["statusName"] != "PENDING" || p["channel"] != "sandbox" || p["sandbox"] != true || p["paidTime"] != nil {
			t.Errorf("created: %v", p)
		}
		no := fmt.Sprint(p["tradeNo"])
		if again := c.want(200, "boss", "POST", "/api/payment/create", body, "Idempotency-Key", "k1"); again["tradeNo"] != no {
			t.Errorf("the same key: %v", again)
		}
		c.want(9410, "boss", "POST", "/api/payment/create", strings.Replace(body, "61.38", "61.00", 1), "Idempotency-Key", "k1")
		c.want(3013, "boss", "POST", fmt.Sprintf("/api/order/%d/paid", o), "{}")
		paid := c.want(200, "boss", "POST", "/api/payment/sandbox/"+no+"/pay", `{"outcome":"DUPLICATE_NOTIFY"}`)
		if paid["status"] != 2.0 || paid["fee"] != 0.37 || paid["refundableAmount"] != 61.38 {
			t.Errorf("paid: %v", paid)
		}
		c.want(4007, "boss", "POST", "/api/payment/sandbox/"+no+"/pay", "")
		c.want(4008, "boss", "POST", "/api/payment/create", body)
		c.want(4007, "boss", "POST", "/api/payment/"+no+"/close", "")
		if q := c.want(200, "boss", "GET", "/api/payment/query/"+no+"?refresh=always", ""); q["channelChecked"] != true {
			t.Errorf("query: %v", q)
		}
		if d := c.want(200, "boss", "GET", fmt.Sprintf("/api/payment/%v", p["paymentId"]), ""); len(d["events"].([]any)) < 3 {
			t.Errorf("detail: %v", d)
		}
		for _, path := range []string{"", "/page?status=2&channel=sandbox&tradeNo=" + no, "/list?orderNo=ord&paymentMethod=SANDBOX", "/page?cursor=&size=1"} {
			c.want(200, "boss", "GET", "/api/payment"+path, "")
		}
		hint := c.want(200, "", "POST", "/api/order/payment/callback", `{"tradeNo":"`+no+`","success":true}`, "X-Internal-Token", internalSecret)
		if hint["applied"] != false || hint["status"] != 11.0 {
			t.Errorf("hint: %v", hint)
		}
		c.want(4004, "", "POST", "/api/order/payment/callback", `{"tradeId":"EV0","success":true}`, "X-Internal-Token", internalSecret)
		c.want(9404, "", "POST", "/api/order/payment/callback", `{"tradeId":"EV0","success":true}`) // §17.1: as if it were not there
		c.refunds(o, no)
		trial := c.want(200, "boss", "GET", "/api/ledger/trial-balance", "")
		if trial["balanced"] != true || trial["debitTotal"] != trial["creditTotal"] {
			t.Errorf("trial: %v", trial)
		}
		c.want(200, "boss", "GET", fmt.Sprintf("/api/ledger/order/%d", o), "")
		c.want(3001, "boss", "GET", "/api/ledger/order/999", "")
	})
}

// refunds gives a paid payment back in two steps.
func (c *counter) refunds(o evcs.OrderID, no string) {
	c.t.Helper()
	ask := func(what, amount string) string {
		return `{` + what + `,"refundAmount":` + amount + `,"refundReason":"goodwill"}`
	}
	byTrade := `"tradeNo":"` + no + `"`
	c.want(4005, "boss", "POST", "/api/payment/refund", ask(byTrade, "61.39"))
	c.want(9400, "boss", "POST", "/api/payment/refund", ask(byTrade, "0.00"))
	c.want(9400, "boss", "POST", "/api/payment/refund", ask(byTrade+`,"paymentId":1`, "1.00"), "X-Manner", "unseen")
	c.want(4004, "boss", "POST", "/api/payment/refund", ask(`"paymentId":999`, "1.00"))
	c.want(3001, "boss", "POST", "/api/payment/refund", ask(`"orderId":999`, "1.00"))
	c.want(9403, "poor", "POST", "/api/payment/refund", ask(byTrade, "1.00"))
	c.want(4004, "lee", "POST", "/api/payment/refund", ask(byTrade, "1.00"))
	r := c.want(200, "boss", "POST", "/api/payment/refund", ask(byTrade, "1.38"), "Idempotency-Key", "r1")
	if r["refundStatus"] != 2.0 || r["statusName"] != "SUCCESS" || r["automatic"] != nil || r["requestedBy"] != "boss" {
		c.t.Errorf("refund: %v", r)
	}
	if again := c.want(200, "boss", "POST", "/api/payment/refund", ask(byTrade, "1.38"), "Idempotency-Key", "r1"); again["refundNo"] != r["refundNo"] {
		c.t.Errorf("the same key: %v", again)
	}
	c.want(9403, "poor", "POST", fmt.Sprintf("/api/order/%d/refunding", o), `{"reason":"r"}`)
	if done := c.want(200, "boss", "POST", fmt.Sprintf("/api/order/%d/refunding", o), `{"reason":"the rest"}`); done["status"] != 13.0 || done["refundedAmount"] != 61.38 {
		c.t.Errorf("refunding: %v", done)
	}
	c.want(3004, "boss", "POST", fmt.Sprintf("/api/order/%d/refunding", o), `{"reason":"r"}`)
	c.want(4007, "boss", "POST", "/api/payment/refund", ask(byTrade, "1.00"))
	c.want(200, "boss", "POST", fmt.Sprintf("/api/order/%d/refunded", o), "")
	c.want(200, "boss", "GET", fmt.Sprintf("/api/payment/refund/%v", r["refundNo"]), "")
	c.want(4010, "lee", "GET", fmt.Sprintf("/api/payment/refund/%v", r["refundNo"]), "")
	c.want(4010, "boss", "GET", "/api/payment/refund/ER0", "")
	for _, path := range []string{"", "/page?refundStatus=2&tradeNo=" + no, "/list?orderId=1"} {
		c.want(200, "boss", "GET", "/api/payment/refund"+path, "")
	}
}

func TestPaymentRefusalsOverTheWire(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c := newCounter(t, db)
		o, dead, running, off := c.owe(1, order.ToPay), c.owe(1, order.Cancelled), c.owe(1, order.Charging), c.owe(3, order.ToPay)
		create := func(id evcs.OrderID, amount, method string) string {
			return fmt.Sprintf(`{"orderId":%d,"amount":%s,"paymentMethod":%q}`, id, amount, method)
		}
		for name, x := range map[string]struct {
			code        int
			token, body string
		}{
			"unknown order": {3001, "boss", create(99, "61.38", "SANDBOX")},
			"stranger":      {3001, "lee", create(o, "61.38", "SANDBOX")},
			"running":       {3002, "boss", create(running, "61.38", "SANDBOX")},
			"cancelled":     {3003, "boss", create(dead, "61.38", "SANDBOX")},
			"amount":        {4003, "boss", create(o, "61.00", "SANDBOX")},
			"no account":    {4009, "boss", create(o, "61.38", "ALIPAY_QR")},
			"sandbox off":   {4009, "boss", create(off, "61.38", "SANDBOX")},
			"offline":       {9400, "boss", create(o, "61.38", "OFFLINE")},
			"zero":          {9400, "boss", create(o, "0", "SANDBOX")},
			"fractions":     {9400, "boss", create(o, "61.381", "SANDBOX")},
			"no permission": {9403, "poor", create(o, "61.38", "SANDBOX")},
			"description":   {9400, "boss", `{"orderId":1,"amount":61.38,"paymentMethod":"SANDBOX","description":"a,b"}`},
			"nobody":        {6006, "", create(o, "61.38", "SANDBOX")},
		} {
			t.Run(name, func(t *testing.T) {
				here := *c
				here.t = t
				here.want(x.code, x.token, "POST", "/api/payment/create", x.body)
			})
		}
		if data := c.want(4003, "boss", "POST", "/api/payment/create", create(o, "61.00", "SANDBOX")); data["expected"] != 61.38 || data["given"] != 61.0 {
			t.Errorf("4003: %v", data)
		}
		no := c.create(o, "a")
		for _, path := range []string{"/api/payment/query/" + no, "/api/payment/1"} {
			c.want(4004, "lee", "GET", path, "")
		}
		c.want(4004, "lee", "POST", "/api/payment/"+no+"/close", "")
		c.want(4004, "lee", "POST", "/api/payment/sandbox/"+no+"/pay", "")
		c.want(4004, "boss", "GET", "/api/payment/query/EV0", "")
		c.want(9400, "boss", "GET", "/api/payment/query/"+no+"?refresh=perhaps", "")
		c.want(9400, "boss", "POST", "/api/payment/sandbox/"+no+"/pay", `{"outcome":"MAYBE"}`)
		if p := c.want(200, "boss", "POST", "/api/payment/"+no+"/close", ""); p["status"] != 7.0 {
			t.Errorf("closed: %v", p)
		}
		c.want(4003, "boss", "POST", fmt.Sprintf("/api/order/%d/paid", o), `{"amount":1.00}`)
		c.want(3001, "lee", "POST", fmt.Sprintf("/api/order/%d/paid", o), "{}")
		for range 2 {
			if done := c.want(200, "boss", "POST", fmt.Sprintf("/api/order/%d/paid", o), `{"method":"CASH","reference":"r1"}`); done["status"] != 11.0 || done["paymentMethod"] != "OFFLINE" {
				t.Errorf("paid: %v", done)
			}
		}
		c.want(3004, "boss", "POST", fmt.Sprintf("/api/order/%d/refunded", o), "")
		if x := c.want(200, "boss", "POST", fmt.Sprintf("/api/order/%d/refunding", o), `{"amount":1.00,"reason":"r"}`); x["status"] != 12.0 {
			t.Errorf("refunding: %v", x)
		}
		if x := c.want(200, "boss", "POST", fmt.Sprintf("/api/order/%d/refunded", o), `{"reference":"x"}`); x["status"] != 11.0 || x["refundedAmount"] != 1.0 {
			t.Errorf("refunded: %v", x)
		}
		c.want(3004, "boss", "POST", fmt.Sprintf("/api/order/%d/paid", dead), "{}")
	})
}

func TestCallbacksOverTheWire(t *testing.T) {
	t.Parallel()
	c := newCounter(t, storetest.SQLite(t))
	no := c.create(c.owe(1, order.ToPay), "a")
	m, err := c.till.SandboxMerchant(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	signature := http.Header{"Sandbox-Signature": {"00"}}
	large := bytes.Repeat([]byte("x"), cashier.MaxCallback+1)
	for name, x := range map[string]struct {
		path   string
		body   []byte
		status int
		answer string
	}{
		"forged":      {"sandbox/" + m.CallbackToken, []byte(`{"eventId":"e"}`), 400, "failure"},
		"refund path": {"sandbox/" + m.CallbackToken + "/refund", []byte(`{"eventId":"e"}`), 400, "failure"},
		"odd token":   {"sandbox/x", []byte(`{}`), 400, "failure"},
		"too large":   {"sandbox/" + m.CallbackToken, large, 400, "failure"},
		"alipay":      {"alipay", []byte(`a=b`), 400, "failure"},
		"alipay back": {"alipay/refund", []byte(`a=b`), 400, "failure"},
		"wechat":      {"wechat", []byte(`{}`), 401, "FAIL"},
	} {
		if w := c.send("", "POST", "/api/payment/callback/"+x.path, x.body, signature); w.Code != x.status || !strings.Contains(w.Body.String(), x.answer) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if p := c.want(200, "boss", "GET", "/api/payment/query/"+no+"?refresh=never", ""); p["status"] != 0.0 {
		t.Errorf("a forged callback counted: %v", p)
	}
}
