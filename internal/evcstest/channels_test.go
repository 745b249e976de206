package evcstest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/judge"
	"github.com/evcs/evcs/internal/paygate"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/store/storetest"
)

// gateKeys are the keys of the gateway and its merchants, made once.
var gateKeys = sync.OnceValues(func() (*paygate.Keys, error) { return paygate.NewKeys(evcs.SystemClock{}.Now()) })

// told is a notification of the gateway and how it was answered.
type told struct {
	path   string
	header http.Header
	body   []byte
	status int
	answer string
}

// tap stands between the gateway and the daemon, sees what is notified, and may
// keep it back.
type tap struct {
	t       testing.TB
	mu      sync.Mutex
	to      string // the daemon's address
	swallow bool   // take notifications as if they had arrived
	seen    []told
}

func (p *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	n := told{path: r.URL.Path, header: r.Header.Clone(), body: body, status: http.StatusOK, answer: "success"}
	p.mu.Lock()
	to, swallow := p.to, p.swallow
	p.mu.Unlock()
	if !swallow {
		if n.status, n.answer, err = post(p.t, r, to, n); err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
	}
	p.mu.Lock()
	p.seen = append(p.seen, n)
	p.mu.Unlock()
	w.WriteHeader(n.status)
	if n.status != http.StatusNoContent {
		io.WriteString(w, n.answer)
	}
}

// post hands a notification to the daemon. The document judges the answer.
func post(t testing.TB, r *http.Request, to string, n told) (status int, answer string, err error) {
	t.Helper()
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPost, to+n.path, bytes.NewReader(n.body))
	if err != nil {
		return 0, "", err
	}
	out.Header = n.header.Clone()
	got, err := http.DefaultClient.Do(out)
	if err != nil {
		return 0, "", err
	}
	defer got.Body.Close() // read whole
	text, err := io.ReadAll(got.Body)
	if err == nil {
		judge.Committed(t).Check(t, judge.Exchange{
			Method: http.MethodPost, URL: to + n.path, Header: out.Header, Body: n.body, Status: got.StatusCode, AnswerHeader: got.Header, Answer: text,
		}, judge.Unseen)
	}
	return got.StatusCode, string(text), err
}

func (p *tap) keep(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallow = on
}

func (p *tap) aim(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
}

func (p *tap) all() []told {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// street is a daemon whose real channels lead to a gateway on this machine.
type street struct {
	t    *testing.T
	d    *evcstest.Daemon
	gate *paygate.Gateway
	keys *paygate.Keys
	tap  *tap
	with evcstest.Option
}

// lay lays a street; start is then given the option that a daemon needs.
func lay(t *testing.T, start func(evcstest.Option) *evcstest.Daemon) *street {
	t.Helper()
	return layAt(t, evcs.SystemClock{}.Now, start)
}

// layAt lays a street whose gateway does its business at another time.
func layAt(t *testing.T, now func() time.Time, start func(evcstest.Option) *evcstest.Daemon) *street {
	t.Helper()
	keys, err := gateKeys()
	if err != nil {
		t.Fatal(err)
	}
	s := &street{t: t, keys: keys, tap: &tap{t: t}}
	s.gate = paygate.New(paygate.Config{Keys: keys, Now: now, Wall: evcs.SystemClock{}.Now, EarlyBills: true, Retry: []time.Duration{200 * time.Millisecond, time.Second, time.Second, 5 * time.Second}})
	var work sync.WaitGroup
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	work.Go(func() {
		if err := s.gate.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	served, notified := httptest.NewServer(s.gate.Handler()), httptest.NewServer(s.tap)
	t.Cleanup(func() {
		stop()
		work.Wait()
		notified.Close()
		served.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	s.with = evcstest.WithConfig(func(c *config.Config) {
		c.Payment.CallbackBase, c.Payment.Alipay.Gateway, c.Payment.Wechat.Gateway = notified.URL, served.URL, served.URL
	})
	s.d = start(s.with)
	s.tap.aim(s.d.URL)
	return s
}

// yesterday is a running clock that begins at noon of yesterday in China: what a
// gateway does by it is of one day, whenever the test runs.
func yesterday() (now func() time.Time, day api.Date) {
	wall := evcs.SystemClock{}.Now()
	local := wall.In(payment.StatementZone())
	noon := time.Date(local.Year(), local.Month(), local.Day()-1, 12, 0, 0, 0, local.Location())
	return func() time.Time { return noon.Add(evcs.SystemClock{}.Now().Sub(wall)) }, api.DateOf(noon)
}

// eachStreet runs a test on a street of either engine.
func eachStreet(t *testing.T, test func(t *testing.T, s *street)) {
	t.Helper()
	eachStreetAt(t, evcs.SystemClock{}.Now, test)
}

// eachStreetAt is eachStreet with a gateway that does its business at another time.
func eachStreetAt(t *testing.T, now func() time.Time, test func(t *testing.T, s *street)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, layAt(t, now, func(o evcstest.Option) *evcstest.Daemon { return evcstest.Start(t, o) }))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if storetest.Server(t) == "" {
			return
		}
		test(t, layAt(t, now, func(o evcstest.Option) *evcstest.Daemon {
			return evcstest.StartOn(t, storetest.PostgresURL(t), t.TempDir(), o)
		}))
	})
}

// shopkeeper is a tenant with accounts at both channels and a charger.
type shopkeeper struct {
	*estate
	s      *street
	point  *point
	orders int
	token  map[string]string // the path of the callback address, by channel
}

func (s *street) tenant(code string) *shopkeeper {
	s.t.Helper()
	platform := s.d.Admin()
	k := &shopkeeper{estate: settle(s.t, s.d, platform, code, 1, 2), s: s, token: make(map[string]string)}
	platform.OK(s.t, http.MethodPut, fmt.Sprintf("/api/tenant/%v/settings", k.ids["tenantId"]), map[string]any{"sandboxPayments": true})
	for _, channel := range []paygate.Channel{paygate.Alipay, paygate.Wechat} {
		text, err := s.keys.Merchant(channel)
		if err != nil {
			s.t.Fatal(err)
		}
		body := make(map[string]any)
		if err := json.Unmarshal(text, &body); err != nil {
			s.t.Fatal(err)
		}
		body["status"] = 1
		var made api.Merchant
		k.boss.OK(s.t, http.MethodPost, "/api/payment/merchant", body).Into(s.t, &made)
		if made.CallbackURL == nil {
			s.t.Fatal("no callback address")
		}
		u, err := url.Parse(*made.CallbackURL)
		if err != nil {
			s.t.Fatal(err)
		}
		k.token[string(channel)] = u.Path
		var trial api.MerchantTrial
		k.boss.OK(s.t, http.MethodPost, evcstest.Path("/api/payment/merchant/%d/verify", made.MerchantID), nil).Into(s.t, &trial)
		if !trial.OK || len(trial.Checks) < 5 {
			s.t.Fatalf("%s: %+v", channel, trial)
		}
	}
	k.post(s.t, "/api/station", map[string]any{"stationCode": "S" + code, "stationName": code, "address": code}, "stationId")
	k.post(s.t, "/api/billing/plan", map[string]any{
		"code": "P" + code, "name": code, "stationId": k.ids["stationId"], "status": 1,
		"segments": []map[string]any{{"startTime": "00:00", "endTime": "24:00", "periodKind": "FLAT", "energyPrice": 1, "serviceFee": 0.5}},
	})
	k.post(s.t, "/api/charger", map[string]any{
		"stationId": k.ids["stationId"], "chargerCode": "C" + code, "chargerName": code, "deviceId": "CP-" + code, "protocol": "OCPP16", "chargerType": 1, "ratedPower": 60, "gunCount": 1,
	}, "chargerId")
	secret := k.post(s.t, fmt.Sprintf("/api/charger/%v/credential", k.ids["chargerId"]), map[string]any{})["secret"].(string)
	k.post(s.t, "/api/id-tag", map[string]any{"idTag": "T" + code, "userId": 77}, "idTag")
	k.point = connect(s.t, s.d, "CP-"+code, secret)
	k.point.call("BootNotification", map[string]any{"chargePointVendor": code, "chargePointModel": "M"}, nil)
	k.point.call("StatusNotification", map[string]any{"connectorId": 1, "errorCode": "NoError", "status": "Available"}, nil)
	return k
}

// owe is a charged order of 15.00.
func (k *shopkeeper) owe() int64 {
	k.s.t.Helper()
	k.charge(k.s.t, k.s.d, k.point, k.orders)
	k.orders++
	var orders []api.Order
	evcstest.Eventually(k.s.t, "the order", func() bool {
		k.boss.OK(k.s.t, http.MethodGet, "/api/order/list", nil).Into(k.s.t, &orders)
		return len(orders) == k.orders && orders[0].Status == 10
	})
	return orders[0].OrderID
}

func (k *shopkeeper) collect(order int64, method string) api.Payment {
	k.s.t.Helper()
	body := map[string]any{"orderId": order, "amount": 15, "paymentMethod": method}
	if method == "WECHAT_JSAPI" {
		body["wechatOptions"] = map[string]any{"openId": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"}
	}
	var p api.Payment
	k.boss.OK(k.s.t, http.MethodPost, "/api/payment/create", body).Into(k.s.t, &p)
	return p
}

// press has the payer act the way the method wants.
func (k *shopkeeper) press(p api.Payment, outcome paygate.Outcome, refunds paygate.RefundOutcome) {
	k.s.t.Helper()
	press := paygate.Pay{TradeNo: p.TradeNo, Outcome: outcome, Refunds: refunds}
	var params map[string]string
	if err := json.Unmarshal(p.PayParams, &params); err != nil {
		k.s.t.Fatalf("%v in %s", err, p.PayParams)
	}
	switch p.PaymentMethod {
	case "ALIPAY_APP":
		press.TradeNo, press.OrderString = "", params["orderString"]
	case "WECHAT_JSAPI":
		press.Page = params
	}
	if err := k.s.gate.Press(press); err != nil {
		k.s.t.Fatalf("%s %s: %v", p.PaymentMethod, p.TradeNo, err)
	}
}

func (k *shopkeeper) now(p api.Payment) (api.PaymentDetail, api.Order) {
	k.s.t.Helper()
	var got api.PaymentDetail
	var o api.Order
	k.boss.OK(k.s.t, http.MethodGet, evcstest.Path("/api/payment/%d", p.PaymentID), nil).Into(k.s.t, &got)
	k.boss.OK(k.s.t, http.MethodGet, evcstest.Path("/api/order/%d", p.OrderID), nil).Into(k.s.t, &o)
	return got, o
}

// becomes waits until payment and order are in a state.
func (k *shopkeeper) becomes(p api.Payment, paid, order int) {
	k.s.t.Helper()
	var got api.PaymentDetail
	var o api.Order
	evcstest.Eventually(k.s.t, fmt.Sprintf("%s %s: payment %d, order %d", p.PaymentMethod, p.TradeNo, paid, order), func() bool {
		got, o = k.now(p)
		return got.Status == paid && o.Status == order
	})
}

// entries counts the journal's entries of an order by kind.
func (k *shopkeeper) entries(order int64) map[string]int {
	k.s.t.Helper()
	var list []api.LedgerEntry
	k.boss.OK(k.s.t, http.MethodGet, evcstest.Path("/api/ledger/order/%d", order), nil).Into(k.s.t, &list)
	kinds := make(map[string]int)
	for _, e := range list {
		kinds[e.Kind]++
	}
	return kinds
}

func (k *shopkeeper) balanced() {
	k.s.t.Helper()
	var trial api.TrialBalance
	k.boss.OK(k.s.t, http.MethodGet, "/api/ledger/trial-balance", nil).Into(k.s.t, &trial)
	if !trial.Balanced {
		k.s.t.Errorf("the journal does not balance: %+v", trial)
	}
}

// send sends a notification to the daemon itself.
func (s *street) send(n told) (int, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.d.URL, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	status, answer, err := post(s.t, r, s.d.URL, n)
	if err != nil {
		s.t.Fatal(err)
	}
	return status, answer
}

// Both channels, all methods: created, paid, told by a signed callback, given
// back in two parts, booked once.
func TestRealChannelsEndToEnd(t *testing.T) {
	t.Parallel()
	now, day := yesterday()
	eachStreetAt(t, now, func(t *testing.T, s *street) {
		k := s.tenant("E2E")
		for _, method := range []string{"ALIPAY_QR", "ALIPAY_APP", "WECHAT_NATIVE", "WECHAT_JSAPI"} {
			order := k.owe()
			p := k.collect(order, method)
			if p.Status != 0 || !p.Sandbox || p.MerchantID == nil || len(p.PayParams) < 10 {
				t.Fatalf("%s: %+v", method, p)
			}
			before := len(s.tap.all())
			k.press(p, paygate.Succeed, "")
			k.becomes(p, 2, 11)
			evcstest.Eventually(t, "the callback is answered", func() bool { return len(s.tap.all()) > before })
			if n := s.tap.all()[before]; n.path != k.token[p.Channel] || p.Channel == "alipay" && (n.status != 200 || n.answer != "success") ||
				p.Channel == "wechat" && (n.status != 204 || n.answer != "") {
				t.Errorf("%s: %s is answered %d %q", method, n.path, n.status, n.answer)
			}
			got, _ := k.now(p)
			if got.ChannelTradeNo == nil || got.PaidTime == nil || got.Fee == nil || *got.Fee != 9 {
				t.Errorf("%s: %+v", method, got.Payment)
			}
			for _, part := range []struct {
				yuan   int
				status int
				order  int
			}{{5, 6, 11}, {10, 5, 13}} {
				var r api.Refund
				k.boss.OK(t, http.MethodPost, "/api/payment/refund", map[string]any{"tradeNo": p.TradeNo, "refundAmount": part.yuan, "refundReason": "r"}).Into(t, &r)
				k.becomes(p, part.status, part.order)
			}
			if kinds := k.entries(order); kinds["CAPTURED"] != 1 || kinds["REFUND_BEGUN"] != 2 || kinds["REFUNDED"] != 2 {
				t.Errorf("%s: %v", method, kinds)
			}
		}
		k.balanced()
		k.reconciles("alipay", day)
		k.reconciles("wechat", day)
	})
}

// reconciles has a day compared with what the gateway says of it: two payments
// and four refunds of the channel are there on both sides.
func (k *shopkeeper) reconciles(channel string, day api.Date) {
	k.s.t.Helper()
	var result api.ReconResult
	k.boss.OK(k.s.t, http.MethodPost, "/api/reconciliation/execute", map[string]any{"reconciliationDate": day, "channel": channel, "force": 1}).Into(k.s.t, &result)
	if result.Status != api.ReconSuccess || result.OpenDifferences != 0 || result.MatchedCount != 6 {
		k.s.t.Errorf("%s: %+v", channel, result)
	}
}

// What is not signed by the account's channel, or is not about what the account
// was asked for, changes nothing; what is changes it once.
func TestHostileCallbacks(t *testing.T) {
	t.Parallel()
	eachStreet(t, func(t *testing.T, s *street) {
		k, other := s.tenant("VIC"), s.tenant("ATT")
		s.tap.keep(true)
		for _, call := range []string{"trade.query", "out-trade-no"} { // nobody finds out by asking
			if err := s.gate.Break(paygate.Fault{Call: call, Kind: paygate.FaultBusy, Times: 1000}); err != nil {
				t.Fatal(err)
			}
		}
		for _, method := range []string{"ALIPAY_QR", "WECHAT_NATIVE"} {
			order := k.owe()
			p := k.collect(order, method)
			genuine := s.next(func() { k.press(p, paygate.Succeed, "") })
			bad := s.spoilt(p.Channel, genuine)
			bad["another tenant's address"] = genuine
			for _, outcome := range []paygate.Outcome{paygate.Forged, paygate.Probe, paygate.WrongAmount, paygate.Stale} {
				if p.Channel == "alipay" && (outcome == paygate.Stale || outcome == paygate.Probe) {
					continue // Alipay's have no age, and it tries nobody
				}
				q := k.collect(k.owe(), method)
				bad[string(outcome)] = s.next(func() { k.press(q, outcome, "") })
			}
			for name, n := range bad {
				if name == "another tenant's address" {
					n.path = other.token[p.Channel]
				}
				for range 2 {
					if status, answer := s.send(n); status != http.StatusBadRequest && status != http.StatusUnauthorized || strings.Contains(answer, "success") {
						t.Errorf("%s, %s: %d %s", method, name, status, answer)
					}
				}
			}
			if got, o := k.now(p); got.Status > 1 || o.Status != 10 {
				t.Fatalf("%s: the payment is %s, the order %s", method, got.StatusName, o.StatusName)
			}
			s.atOnce(50, genuine)
			k.becomes(p, 2, 11)
			for range 3 { // long after, to the bare address, and to those of refunds
				for _, path := range []string{genuine.path, "/api/payment/callback/" + p.Channel, genuine.path + "/refund", "/api/payment/callback/" + p.Channel + "/refund"} {
					n := genuine
					n.path = path
					if status, answer := s.send(n); status != 200 && status != 204 {
						t.Errorf("%s, again at %s: %d %s", method, path, status, answer)
					}
				}
			}
			if kinds := k.entries(order); kinds["CAPTURED"] != 1 || len(kinds) != 2 {
				t.Errorf("%s: %v", method, kinds)
			}
			var alerts api.Page[api.Alert]
			if k.boss.OK(t, http.MethodGet, "/api/monitoring/alerts?alertType=CallbackRejected", nil).Into(t, &alerts); len(alerts.Records) == 0 {
				t.Errorf("%s: nobody was told", method)
			}
		}
		k.balanced()
		other.balanced()
		var payments []api.Payment
		if other.boss.OK(t, http.MethodGet, "/api/payment/list", nil).Into(t, &payments); len(payments) != 0 {
			t.Errorf("the other tenant has %+v", payments)
		}
	})
}

// next is the notification that an act makes the gateway send.
func (s *street) next(act func()) told {
	s.t.Helper()
	before := len(s.tap.all())
	act()
	evcstest.Eventually(s.t, "a notification", func() bool { return len(s.tap.all()) > before })
	return s.tap.all()[before]
}

// spoilt are copies of a genuine notification that somebody has touched.
func (s *street) spoilt(channel string, genuine told) map[string]told {
	edit := func(change func(n *told)) told {
		n := genuine
		n.header, n.body = genuine.header.Clone(), slices.Clone(genuine.body)
		change(&n)
		return n
	}
	list := map[string]told{
		"oversized":     edit(func(n *told) { n.body = append(n.body, bytes.Repeat([]byte("&x=1"), 20_000)...) }),
		"cut":           edit(func(n *told) { n.body = n.body[:len(n.body)/2] }),
		"empty":         edit(func(n *told) { n.body = nil }),
		"another token": edit(func(n *told) { n.path = "/api/payment/callback/" + channel + "/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }),
	}
	if channel == "alipay" {
		list["tampered"] = edit(func(n *told) {
			n.body = bytes.Replace(n.body, []byte("total_amount=15.00"), []byte("total_amount=0.01"), 1)
		})
		list["a field twice"] = edit(func(n *told) { n.body = append(n.body, "&total_amount=15.00"...) })
		list["a field more"] = edit(func(n *told) { n.body = append(n.body, "&x=1"...) })
		list["unsigned"] = edit(func(n *told) {
			form, _ := url.ParseQuery(string(n.body)) // the gateway's own
			form.Del("sign")
			n.body = []byte(form.Encode())
		})
		list["SHA-1"] = edit(func(n *told) { n.body = bytes.Replace(n.body, []byte("sign_type=RSA2"), []byte("sign_type=RSA"), 1) })
		return list
	}
	list["tampered"] = edit(func(n *told) { n.body = bytes.Replace(n.body, []byte("TRANSACTION"), []byte("TRANSACTIOM"), 1) })
	list["unsigned"] = edit(func(n *told) { n.header.Del("Wechatpay-Signature") })
	list["another serial"] = edit(func(n *told) { n.header.Set("Wechatpay-Serial", "0000") })
	list["another time"] = edit(func(n *told) { n.header.Set("Wechatpay-Timestamp", "1700000000") })
	return list
}

// atOnce sends the same notification many times at the same moment.
func (s *street) atOnce(times int, n told) {
	s.t.Helper()
	var all sync.WaitGroup
	answers := make([]int, times)
	for i := range answers {
		all.Go(func() { answers[i], _ = s.send(n) })
	}
	all.Wait()
	taken := 0
	for _, status := range answers {
		switch status {
		case http.StatusOK, http.StatusNoContent:
			taken++
		case http.StatusServiceUnavailable: // send it again, says the daemon
		default:
			s.t.Errorf("one of %d was answered %d", times, status)
		}
	}
	if taken == 0 {
		s.t.Error("none was taken")
	}
}

// Late, duplicate and reordered: money that came too late or twice goes back, a
// refund that is told of before its payment harms nothing, and a payment that
// nobody told of is found by asking.
func TestLateDuplicateAndReordered(t *testing.T) {
	t.Parallel()
	eachStreet(t, func(t *testing.T, s *street) {
		k := s.tenant("LATE")
		for _, method := range []string{"ALIPAY_QR", "WECHAT_NATIVE"} {
			// The first is paid although it was closed for the second: whichever is
			// heard of first settles the order, the other one goes back.
			order := k.owe()
			first := k.collect(order, method)
			k.press(first, paygate.Scan, "")
			k.press(first, paygate.Late, "")
			s.tap.aim("http://127.0.0.1:1") // the line is down until both are paid
			second := k.collect(order, method)
			k.press(second, paygate.Duplicate, "")
			s.tap.aim(s.d.URL)
			var kept, back api.PaymentDetail
			evcstest.Eventually(t, method+": one is kept, one goes back", func() bool {
				kept, _ = k.now(first)
				back, _ = k.now(second)
				if kept.Status != 2 {
					kept, back = back, kept
				}
				return kept.Status == 2 && back.Status == 5
			})
			if _, o := k.now(first); o.Status != 11 || o.PaidAmount != 1500 || len(kept.Refunds) != 0 || len(back.Refunds) != 1 ||
				back.Refunds[0].Automatic == nil || *back.Refunds[0].Automatic != "DUPLICATE_PAYMENT" {
				t.Errorf("%s: %+v %+v", method, o, back.Refunds)
			}
			if kinds := k.entries(order); kinds["CAPTURED"] != 2 || kinds["REFUNDED"] != 1 {
				t.Errorf("%s: %v", method, kinds)
			}

			// Nobody tells of it; the daemon asks, refunds, and hears of the refund first.
			silent := k.collect(k.owe(), method)
			k.press(silent, paygate.Silent, paygate.RefundFirst)
			k.boss.OK(t, http.MethodGet, "/api/payment/query/"+silent.TradeNo+"?refresh=always", nil)
			k.becomes(silent, 2, 11)
			k.boss.OK(t, http.MethodPost, "/api/payment/refund", map[string]any{"tradeNo": silent.TradeNo, "refundAmount": 15, "refundReason": "r"})
			k.becomes(silent, 5, 13)
			if kinds := k.entries(silent.OrderID); kinds["CAPTURED"] != 1 || kinds["REFUNDED"] != 1 {
				t.Errorf("%s: %v", method, kinds)
			}
		}

		// A refund that the payer's bank does not take leaves everything as it was.
		order := k.owe()
		p := k.collect(order, "WECHAT_NATIVE")
		k.press(p, paygate.Succeed, paygate.RefundAbnormal)
		k.becomes(p, 2, 11)
		k.boss.Call(t, http.MethodPost, "/api/payment/refund", map[string]any{"tradeNo": p.TradeNo, "refundAmount": 15, "refundReason": "r"})
		evcstest.Eventually(t, "the refund fails", func() bool {
			got, o := k.now(p)
			return len(got.Refunds) == 1 && got.Refunds[0].RefundStatus == 3 && got.Status == 2 && o.Status == 11
		})
		if kinds := k.entries(order); kinds["REFUND_FAILED"] != 1 || kinds["REFUNDED"] != 0 {
			t.Errorf("%v", kinds)
		}
		k.balanced()
	})
}

// While the daemon is away the channel repeats; a creation and a refund whose
// answers were lost go on under the same numbers.
func TestChannelsOutlastTheDaemon(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := lay(t, func(o evcstest.Option) *evcstest.Daemon { return evcstest.StartOn(t, "", dir, o) })
	k := s.tenant("AWAY")
	p, unpaid := k.collect(k.owe(), "ALIPAY_QR"), k.owe()
	wechat := k.collect(k.owe(), "WECHAT_NATIVE")
	if err := s.gate.Break(paygate.Fault{Call: "precreate", Kind: paygate.FaultUnsigned, Times: 1}); err != nil {
		t.Fatal(err)
	}
	body := map[string]any{"orderId": unpaid, "amount": 15, "paymentMethod": "ALIPAY_QR", "idempotentKey": "lost"}
	refused(t, k.boss.Call(t, http.MethodPost, "/api/payment/create", body), 0, evcs.CodePaymentTimeout, nil)
	s.d.Stop()
	k.press(p, paygate.Succeed, "")
	k.press(wechat, paygate.Succeed, "")
	s.d = evcstest.StartOn(t, "", dir, s.with)
	s.tap.aim(s.d.URL)
	k.boss = s.d.SignIn("boss@AWAY", evcstest.Password)
	k.becomes(p, 2, 11)
	k.becomes(wechat, 2, 11)
	var resumed api.Payment
	k.boss.OK(t, http.MethodPost, "/api/payment/create", body).Into(t, &resumed)
	if resumed.Status != 0 || len(resumed.PayParams) < 10 {
		t.Errorf("resumed: %+v", resumed)
	}
	if err := s.gate.Break(paygate.Fault{Call: "trade.refund", Kind: paygate.FaultForged, Times: 1}); err != nil {
		t.Fatal(err)
	}
	refused(t, k.boss.Call(t, http.MethodPost, "/api/payment/refund", map[string]any{"tradeNo": p.TradeNo, "refundAmount": 15, "refundReason": "r"}), 0, evcs.CodePaymentTimeout, nil)
	k.becomes(p, 5, 13)
	if kinds := k.entries(p.OrderID); kinds["CAPTURED"] != 1 || kinds["REFUNDED"] != 1 {
		t.Errorf("%v", kinds)
	}
	k.balanced()
}

// A refund above the tenant's limit reaches the channel only when a second
// person has agreed to it.
func TestASecondPersonAgreesToARefund(t *testing.T) {
	t.Parallel()
	eachStreet(t, func(t *testing.T, s *street) {
		k := s.tenant("FOUR")
		settings := fmt.Sprintf("/api/tenant/%v/settings", k.ids["tenantId"])
		refused(t, k.boss.Call(t, http.MethodPut, settings, map[string]any{"refundApprovalAbove": -1}), 0, evcs.CodeValidationFailed, nil)
		var set api.Settings
		k.boss.OK(t, http.MethodPut, settings, map[string]any{"refundApprovalAbove": 10}).Into(t, &set)
		if set.RefundApprovalAbove == nil || *set.RefundApprovalAbove != 1000 {
			t.Errorf("%+v", set)
		}
		k.boss.OK(t, http.MethodPost, "/api/user", map[string]any{"username": "checker", "password": evcstest.Password, "roles": []string{"FINANCE"}, "mustChangePassword": 0})
		checker := s.d.SignIn("checker@FOUR", evcstest.Password)
		atGate := func(p api.Payment) int {
			for _, o := range s.gate.Trades() {
				if o.TradeNo == p.TradeNo {
					return len(o.Refunds)
				}
			}
			return -1
		}
		for _, agreed := range []bool{true, false} {
			p := k.collect(k.owe(), "WECHAT_NATIVE")
			k.press(p, paygate.Succeed, "")
			k.becomes(p, 2, 11)
			var r api.Refund
			k.boss.OK(t, http.MethodPost, "/api/payment/refund", map[string]any{"tradeNo": p.TradeNo, "refundAmount": 15, "refundReason": "r"}).Into(t, &r)
			if r.Approval == nil || *r.Approval != "PENDING" || r.RefundStatus != 1 || atGate(p) != 0 {
				t.Fatalf("%+v, %d at the gateway", r, atGate(p))
			}
			path := "/api/payment/refund/" + r.RefundNo
			refused(t, k.boss.Call(t, http.MethodPost, path+"/approve", nil), 0, evcs.CodeCheckerRequired, nil)
			refused(t, k.boss.Call(t, http.MethodPost, path+"/reject", map[string]any{"reason": "mine"}), 0, evcs.CodeCheckerRequired, nil)
			refused(t, checker.Call(t, http.MethodPost, path+"/reject", map[string]any{"reason": ""}), 0, evcs.CodeValidationFailed, nil)
			var waiting []api.Refund
			checker.OK(t, http.MethodGet, "/api/payment/refund/list?approval=PENDING", nil).Into(t, &waiting)
			if len(waiting) != 1 || waiting[0].RefundNo != r.RefundNo || atGate(p) != 0 {
				t.Errorf("%+v", waiting)
			}
			if agreed {
				checker.OK(t, http.MethodPost, path+"/approve", map[string]any{"note": "seen"})
				k.becomes(p, 5, 13)
				refused(t, checker.Call(t, http.MethodPost, path+"/reject", map[string]any{"reason": "late"}), 0, evcs.CodePaymentState, nil)
				continue
			}
			checker.OK(t, http.MethodPost, path+"/reject", map[string]any{"reason": "not this one"}).Into(t, &r)
			if r.RefundStatus != 3 || *r.FailureCode != "REJECTED" || *r.DecidedBy != "checker" || *r.DecisionNote != "not this one" {
				t.Errorf("%+v", r)
			}
			k.becomes(p, 2, 11)
			if atGate(p) != 0 {
				t.Error("what was refused went to the channel")
			}
		}
		k.balanced()
	})
}
