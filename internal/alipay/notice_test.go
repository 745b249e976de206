package alipay_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/alipay"
	"github.com/evcs/evcs/internal/paygate"
	"github.com/evcs/evcs/internal/payment"
)

func privateText(t testing.TB, key *rsa.PrivateKey) string {
	t.Helper()
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return b64(raw)
}

func publicText(t testing.TB, key *rsa.PublicKey) string {
	t.Helper()
	raw, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return b64(raw)
}

// platform is a pair of keys that Alipay could have.
var platform = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

const golden = "gmt_create=2026-02-10+18%3A36%3A10&charset=utf-8&seller_email=seller%40example.com&subject=%E5%85%85%E7%94%B5%E8%AE%A2%E5%8D%95+ORD-20260210000017&body=" +
	"&buyer_id=2088102116773037&invoice_amount=61.38&notify_id=2026021000222183636044751451234567&fund_bill_list=%5B%7B%22amount%22%3A%2261.38%22%2C%22fundChannel%22%3A%22PCREDIT%22%7D%5D" +
	"&notify_type=trade_status_sync&trade_status=TRADE_SUCCESS&receipt_amount=61.38&app_id=2021000122671234&buyer_pay_amount=61.38&sign_type=RSA2&seller_id=2088101117955611" +
	"&gmt_payment=2026-02-10+18%3A36%3A43&notify_time=2026-02-10+18%3A36%3A44&version=1.0&out_trade_no=EV01KH3TQ0Z8V5M2C7R9XAWD4NB6&total_amount=61.38&trade_no=2026021022001473031400550001" +
	"&auth_app_id=2021000122671234&buyer_logon_id=158****66&point_amount=0.00"

// content is the text that is signed, made here once more on its own.
func content(form url.Values) string {
	names := []string{}
	for name := range form {
		if !slices.Contains([]string{"sign", "sign_type", "alipay_cert_sn"}, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	parts := []string{}
	for _, name := range names {
		parts = append(parts, name+"="+form.Get(name))
	}
	return strings.Join(parts, "&")
}

func signedForm(t testing.TB, key *rsa.PrivateKey, body string, change func(url.Values)) url.Values {
	t.Helper()
	form, err := url.ParseQuery(body)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(form)
	}
	sum := sha256.Sum256([]byte(content(form)))
	raw, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	form.Set("sign", base64.StdEncoding.EncodeToString(raw))
	return form
}

func goldenMerchant(t *testing.T) payment.Merchant {
	t.Helper()
	return changed(t, merchantOf(t, keys()), func(a *payment.Account, k *payment.Secrets) {
		a.AppID, a.SellerID = "2021000122671234", "2088101117955611"
		k.PlatformKeys = []payment.PlatformKey{{PublicKey: publicText(t, &platform().PublicKey)}}
	})
}

func TestGoldenNotifications(t *testing.T) {
	t.Parallel()
	c, m := channelTo(t, "", io.Discard), goldenMerchant(t)
	paid := payment.Notification{
		EventID: "2026021000222183636044751451234567", TradeNo: "EV01KH3TQ0Z8V5M2C7R9XAWD4NB6", Account: "2021000122671234",
		Trade: payment.Trade{State: payment.TradePaid, ChannelTradeNo: "2026021022001473031400550001", Amount: 6138},
	}
	for name, x := range map[string]struct {
		change func(url.Values)
		want   func(n *payment.Notification)
	}{
		"paid":     {nil, func(*payment.Notification) {}},
		"finished": {func(f url.Values) { f.Set("trade_status", "TRADE_FINISHED") }, func(*payment.Notification) {}},
		"closed": {func(f url.Values) { f.Set("trade_status", "TRADE_CLOSED"); f.Del("gmt_payment") }, func(n *payment.Notification) {
			n.Trade.State = payment.TradeClosed
		}},
		"waiting": {func(f url.Values) { f.Set("trade_status", "WAIT_BUYER_PAY"); f.Del("gmt_payment") }, func(n *payment.Notification) {
			n.Trade.State = payment.TradeWaiting
		}},
		"a state that is new": {func(f url.Values) { f.Set("trade_status", "TRADE_PENDING") }, func(n *payment.Notification) { n.Trade.State = payment.TradeUnknown }},
		"partial refund": {func(f url.Values) {
			f.Set("refund_fee", "10.00")
			f.Set("gmt_refund", "2026-02-10 19:00:00.123")
			f.Set("out_biz_no", "ER01KH3TQ0Z8V5M2C7R9XAWD4NB6")
		}, refunded("ER01KH3TQ0Z8V5M2C7R9XAWD4NB6")},
		"full refund": {func(f url.Values) {
			f.Set("trade_status", "TRADE_CLOSED")
			f.Set("refund_fee", "61.38")
			f.Set("gmt_refund", "2026-02-10 19:00:00.123")
			f.Set("gmt_close", "2026-02-10 19:00:00")
			f.Set("out_biz_no", "ER01KH3TQ0Z8V5M2C7R9XAWD4NB6")
		}, refunded("ER01KH3TQ0Z8V5M2C7R9XAWD4NB6")},
		"refund at Alipay's own counter": {func(f url.Values) {
			f.Set("refund_fee", "10.00")
			f.Set("gmt_refund", "2026-02-10 19:00:00.123")
		}, refunded("EV01KH3TQ0Z8V5M2C7R9XAWD4NB6")},
		"applied refund": {func(f url.Values) {
			f.Set("refund_status", "REFUND_SUCCESS")
			f.Set("out_request_no", "ER01KH3TQ0Z8V5M2C7R9XAWD4NB6")
		}, refunded("ER01KH3TQ0Z8V5M2C7R9XAWD4NB6")},
		"another application": {func(f url.Values) { f.Set("app_id", "2021000000000001") }, func(n *payment.Notification) {
			n.Account, n.Foreign = "2021000000000001", "application"
		}},
		"another seller": {func(f url.Values) { f.Set("seller_id", "2088000000000001") }, func(n *payment.Notification) { n.Foreign = "merchant" }},
		"no seller":      {func(f url.Values) { f.Del("seller_id") }, func(n *payment.Notification) { n.Foreign = "merchant" }},
		"with a certificate's number, which is not signed": {func(f url.Values) { f.Set("alipay_cert_sn", "0123456789abcdef") }, func(*payment.Notification) {}},
	} {
		want := paid
		form := signedForm(t, platform(), golden, x.change)
		n := payment.Notice{Body: []byte(form.Encode())}
		got, err := c.Verify(t.Context(), m, n)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		x.want(&want)
		if at := got.Trade.PaidAt; want.Trade.State == payment.TradePaid && at.Format("2006-01-02T15:04:05Z07:00") != "2026-02-10T10:36:43Z" {
			t.Errorf("%s: paid at %v", name, at)
		}
		got.Trade.PaidAt = want.Trade.PaidAt
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if hint := c.Account(n); hint != want.Account {
			t.Errorf("%s: hint %q", name, hint)
		}
	}
}

func refunded(no string) func(*payment.Notification) {
	return func(n *payment.Notification) {
		n.RefundNo, n.AskRefund = no, true
		n.Trade = payment.Trade{State: payment.TradeUnknown, ChannelTradeNo: n.Trade.ChannelTradeNo}
		n.Refund.State = payment.RefundProcessing
	}
}

func TestForgedNotifications(t *testing.T) {
	t.Parallel()
	c, m := channelTo(t, "", io.Discard), goldenMerchant(t)
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := signedForm(t, platform(), golden, nil)
	with := func(change func(url.Values)) string {
		form := url.Values{}
		for name := range good {
			form.Set(name, good.Get(name))
		}
		change(form)
		return form.Encode()
	}
	for name, body := range map[string]string{
		"nothing":                     "",
		"unsigned":                    golden,
		"an empty signature":          with(func(f url.Values) { f.Set("sign", "") }),
		"a signature that is none":    with(func(f url.Values) { f.Set("sign", "%%%") }),
		"another amount":              with(func(f url.Values) { f.Set("total_amount", "0.01") }),
		"another trade":               with(func(f url.Values) { f.Set("out_trade_no", "EV01KH3TQ0Z8V5M2C7R9XAWD4NB7") }),
		"one byte more":               with(func(f url.Values) { f.Set("subject", f.Get("subject")+" ") }),
		"an empty field left out":     with(func(f url.Values) { f.Del("body") }),
		"a field more":                with(func(f url.Values) { f.Set("x", "1") }),
		"a field twice, behind":       good.Encode() + "&total_amount=0.01",
		"a field twice, before":       "total_amount=0.01&" + good.Encode(),
		"the same field twice":        good.Encode() + "&total_amount=61.38",
		"a field without value":       good.Encode() + "&x",
		"a field that cannot be read": good.Encode() + "&x=%zz",
		"a foreign key":               signedForm(t, foreign, golden, nil).Encode(),
		"SHA-1":                       sha1Form(t).Encode(),
		"SHA-1 that says RSA2":        with(func(f url.Values) { f.Set("sign", sha1Form(t).Get("sign")) }),
		"no sign_type":                with(func(f url.Values) { f.Del("sign_type") }),
		"another charset":             signedForm(t, platform(), golden, func(f url.Values) { f.Set("charset", "GBK") }).Encode(),
		"no event":                    signedForm(t, platform(), golden, func(f url.Values) { f.Del("notify_id") }).Encode(),
		"no trade":                    signedForm(t, platform(), golden, func(f url.Values) { f.Del("out_trade_no") }).Encode(),
		"no amount":                   signedForm(t, platform(), golden, func(f url.Values) { f.Del("total_amount") }).Encode(),
		"three decimals":              signedForm(t, platform(), golden, func(f url.Values) { f.Set("total_amount", "61.380") }).Encode(),
		"a negative amount":           signedForm(t, platform(), golden, func(f url.Values) { f.Set("total_amount", "-61.38") }).Encode(),
		"an amount beyond all":        signedForm(t, platform(), golden, func(f url.Values) { f.Set("total_amount", "99999999999999999999.00") }).Encode(),
		"too long":                    signedForm(t, platform(), golden, func(f url.Values) { f.Set("body", strings.Repeat("x", 64<<10)) }).Encode(),
		"too many fields":             signedForm(t, platform(), golden, func(f url.Values) { many(f) }).Encode(),
		"JSON":                        `{"app_id":"2021000122671234"}`,
	} {
		told, err := c.Verify(t.Context(), m, payment.Notice{Body: []byte(body)})
		if !errors.Is(err, payment.ErrSignature) || told.TradeNo != "" {
			t.Errorf("%s: %+v %v", name, told, err)
		}
	}
	noKey := changed(t, m, func(_ *payment.Account, k *payment.Secrets) { k.PlatformKeys = nil })
	if _, err := c.Verify(t.Context(), noKey, payment.Notice{Body: []byte(good.Encode())}); !errors.Is(err, payment.ErrSignature) {
		t.Errorf("an account without a key: %v", err)
	}
	// The same bytes again verify again: that they came before is the inbox's to know.
	for range 2 {
		if told, err := c.Verify(t.Context(), m, payment.Notice{Body: []byte(good.Encode())}); err != nil || told.EventID != "2026021000222183636044751451234567" {
			t.Errorf("replayed: %+v %v", told, err)
		}
	}
}

func many(f url.Values) {
	for i := range 100 {
		f.Set("x"+strings.Repeat("y", i), "1")
	}
}

// sha1Form is signed as Alipay signed before RSA2.
func sha1Form(t *testing.T) url.Values {
	t.Helper()
	form := signedForm(t, platform(), golden, func(f url.Values) { f.Set("sign_type", "RSA") })
	sum := sha1.Sum([]byte(content(form)))
	raw, err := rsa.SignPKCS1v15(rand.Reader, platform(), crypto.SHA1, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	form.Set("sign", base64.StdEncoding.EncodeToString(raw))
	return form
}

// An unknown certificate number in an unproven message makes nobody go out.
func TestAnUnprovenMessageAsksNobody(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	form := signedForm(t, platform(), golden, func(f url.Values) { f.Set("alipay_cert_sn", "0123456789abcdef") })
	if _, err := s.channel.Verify(t.Context(), s.m, payment.Notice{Body: []byte(form.Encode())}); !errors.Is(err, payment.ErrSignature) {
		t.Error(err)
	}
	if s.log.Len() != 0 {
		t.Errorf("somebody was asked: %s", s.log)
	}
}

// What the gateway is told to spoil, and the order in which it may come.
func TestSpoiltNotifications(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	r, _ := s.create(payment.MethodAlipayQR)
	s.press(paygate.Pay{TradeNo: r.TradeNo, Outcome: paygate.Forged})
	if _, err := s.channel.Verify(t.Context(), s.m, s.notice()); !errors.Is(err, payment.ErrSignature) {
		t.Errorf("forged: %v", err)
	}
	if err := s.gate.Press(paygate.Pay{TradeNo: r.TradeNo, Outcome: paygate.Stale}); !errors.Is(err, paygate.ErrOutcome) {
		t.Errorf("Alipay's messages do not age: %v", err)
	}
	s.press(paygate.Pay{TradeNo: r.TradeNo, Outcome: paygate.WrongAmount})
	if told := s.verified(); told.Trade.Amount != r.Amount+1 {
		t.Errorf("wrong amount: %+v", told)
	}
	if got := s.query(r.TradeNo); got.State != payment.TradeUnknown {
		t.Errorf("nothing was paid: %+v", got)
	}
	s.press(paygate.Pay{TradeNo: r.TradeNo, Outcome: paygate.Duplicate, Refunds: paygate.RefundFirst})
	refund := payment.RefundRequest{TradeNo: r.TradeNo, RefundNo: number(t, "ER"), Total: r.Amount, Amount: r.Amount}
	if answer, err := s.channel.Refund(t.Context(), s.m, refund); err != nil || answer.State != payment.RefundSuccess {
		t.Errorf("refund: %+v %v", answer, err)
	}
	if told := s.verified(); !told.AskRefund {
		t.Errorf("the refund comes first: %+v", told)
	}
	other, _ := s.create(payment.MethodAlipayQR)
	if told := s.verified(); told.TradeNo != r.TradeNo {
		t.Errorf("then the payment: %+v", told)
	}
	s.press(paygate.Pay{TradeNo: other.TradeNo, Outcome: paygate.Duplicate})
	first, second, third := s.verified(), s.verified(), s.verified()
	if first.EventID != second.EventID || third.EventID == first.EventID || third.TradeNo != other.TradeNo {
		t.Errorf("events %s %s %s", first.EventID, second.EventID, third.EventID)
	}
}

// The gateway asks for the very word, and tries again until it hears it.
func TestTheAnswerIsTheVeryWord(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	done := s.channel.Reply(payment.VerdictDone)
	want := map[payment.Verdict]payment.Reply{
		payment.VerdictDone:        {Status: 200, ContentType: "text/plain; charset=utf-8", Body: "success"},
		payment.VerdictForged:      {Status: 400, ContentType: "text/plain; charset=utf-8", Body: "failure"},
		payment.VerdictRejected:    {Status: 400, ContentType: "text/plain; charset=utf-8", Body: "failure"},
		payment.VerdictUnavailable: {Status: 503, ContentType: "text/plain; charset=utf-8", Body: "failure"},
	}
	for v, reply := range want {
		if diff := cmp.Diff(reply, s.channel.Reply(v)); diff != "" {
			t.Errorf("%v: %s", v, diff)
		}
	}
	s.mu.Lock()
	s.answer = s.channel.Reply(payment.VerdictUnavailable)
	s.mu.Unlock()
	r, _ := s.create(payment.MethodAlipayQR)
	s.press(paygate.Pay{TradeNo: r.TradeNo})
	first := s.verified()
	s.mu.Lock()
	s.answer = done
	s.mu.Unlock()
	if again := s.verified(); again.EventID != first.EventID {
		t.Errorf("tried again as %s, was %s", again.EventID, first.EventID)
	}
}

func FuzzVerify(f *testing.F) {
	good := signedForm(f, platform(), golden, nil).Encode()
	f.Add([]byte(good))
	f.Add([]byte(golden))
	f.Add([]byte("sign_type=RSA2&sign=&&&=%"))
	f.Add([]byte("a=1&a=2;b=3"))
	m := payment.Merchant{ // one pair of keys is enough here, and soon made
		ID: 1, Mode: payment.SandboxMode, Config: `{"appId":"2021000122671234","sellerId":"2088101117955611"}`,
		Secrets: []byte(`{"privateKey":"` + privateText(f, platform()) + `","platformKeys":[{"publicKey":"` + publicText(f, &platform().PublicKey) + `"}]}`),
	}
	c := alipay.New(alipay.Config{Guard: guardOf()})
	want := signedForm(f, platform(), golden, nil)
	f.Fuzz(func(t *testing.T, body []byte) {
		n := payment.Notice{Body: body}
		c.Account(n)
		told, err := c.Verify(t.Context(), m, n)
		if err != nil {
			if !errors.Is(err, payment.ErrSignature) {
				t.Errorf("another error: %v", err)
			}
			return
		}
		// Only what was signed can verify, in whatever order and spelling.
		form, parse := url.ParseQuery(string(body))
		if parse != nil || content(form) != content(want) || told.TradeNo != want.Get("out_trade_no") {
			t.Errorf("verified %q", body)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	c := alipay.New(alipay.Config{Guard: guardOf()})
	m := payment.Merchant{
		ID: 1, Mode: payment.SandboxMode, Config: `{"appId":"2021000122671234","sellerId":"2088101117955611"}`,
		Secrets: []byte(`{"privateKey":"` + privateText(b, platform()) + `","platformKeys":[{"publicKey":"` + publicText(b, &platform().PublicKey) + `"}]}`),
	}
	n := payment.Notice{Body: []byte(signedForm(b, platform(), golden, nil).Encode())}
	for b.Loop() {
		if _, err := c.Verify(b.Context(), m, n); err != nil {
			b.Fatal(err)
		}
	}
}
