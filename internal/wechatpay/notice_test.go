package wechatpay_test

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/paygate"
	"github.com/evcs/evcs/internal/payment"
)

func privateText(t testing.TB, key *rsa.PrivateKey) string {
	t.Helper()
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func publicText(t testing.TB, key *rsa.PublicKey) string {
	t.Helper()
	raw, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// platform is a pair of keys that WeChat Pay could have.
var platform = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

const (
	apiKey = "0123456789abcdef0123456789abcdef"
	serial = "PUB_KEY_ID_0116000000012026021000000000001234"
	golden = `{"mchid":"1600000001","appid":"wxd678efh567hg6787","out_trade_no":"EV01KH3TQ0Z8V5M2C7R9XAWD4NB6","transaction_id":"4200002026021012345678901234",` +
		`"trade_type":"NATIVE","trade_state":"SUCCESS","trade_state_desc":"支付成功","bank_type":"OTHERS","attach":"","success_time":"2026-02-10T18:36:43+08:00",` +
		`"payer":{"openid":"oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},"amount":{"total":6138,"payer_total":6138,"currency":"CNY","payer_currency":"CNY"}}`
	goldenRefund = `{"mchid":"1600000001","out_trade_no":"EV01KH3TQ0Z8V5M2C7R9XAWD4NB6","transaction_id":"4200002026021012345678901234",` +
		`"out_refund_no":"ER01KH3TQ0Z8V5M2C7R9XAWD4NB6","refund_id":"50300802026021012345678901234","refund_status":"SUCCESS","success_time":"2026-02-10T19:00:00+08:00",` +
		`"user_received_account":"招商银行信用卡0403","amount":{"total":6138,"refund":1000,"payer_total":6138,"payer_refund":1000}}`
)

var moment = time.Date(2026, 2, 10, 10, 36, 44, 0, time.UTC)

func goldenMerchant(t testing.TB) payment.Merchant {
	t.Helper()
	return payment.Merchant{
		ID: 9, Tenant: 1, Channel: payment.ChannelWechat, Mode: payment.SandboxMode, Version: 1, Enabled: true,
		Config: textOf(t, payment.Account{AppID: "wxd678efh567hg6787", MchID: "1600000001", MerchantSerialNo: "5157F09EFDC096DE15EBE81A47057A7200000000"}),
		Secrets: []byte(textOf(t, payment.Secrets{
			PrivateKey: privateText(t, platform()), APIV3Key: apiKey,
			PlatformKeys: []payment.PlatformKey{{Serial: serial, PublicKey: publicText(t, &platform().PublicKey)}},
		})),
	}
}

// parcel is a message before it is signed.
type parcel struct {
	ID           string         `json:"id"`
	CreateTime   string         `json:"create_time"`
	EventType    string         `json:"event_type"`
	ResourceType string         `json:"resource_type"`
	Summary      string         `json:"summary"`
	Resource     map[string]any `json:"resource,omitempty"`
}

func sealWith(t testing.TB, key, plain string) map[string]any {
	t.Helper()
	block, err := aes.NewCipher([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"algorithm": "AEAD_AES_256_GCM", "original_type": "transaction", "associated_data": "transaction", "nonce": "fdasflkja484",
		"ciphertext": base64.StdEncoding.EncodeToString(gcm.Seal(nil, []byte("fdasflkja484"), []byte(plain), []byte("transaction"))),
	}
}

func wrap(t testing.TB, event, plain string) parcel {
	t.Helper()
	return parcel{
		ID: "EV-2018022511223320873", CreateTime: "2026-02-10T18:36:43+08:00", EventType: event, ResourceType: "encrypt-resource", Summary: "支付成功",
		Resource: sealWith(t, apiKey, plain),
	}
}

func signNotice(t testing.TB, key *rsa.PrivateKey, body string, at time.Time) payment.Notice {
	t.Helper()
	stamp, nonce := strconv.FormatInt(at.Unix(), 10), "593BEC0C930BF1AFEB40B4A08C8FB242"
	sum := sha256.Sum256([]byte(stamp + "\n" + nonce + "\n" + body + "\n"))
	raw, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Set("Wechatpay-Timestamp", stamp)
	h.Set("Wechatpay-Nonce", nonce)
	h.Set("Wechatpay-Serial", serial)
	h.Set("Wechatpay-Signature", base64.StdEncoding.EncodeToString(raw))
	h.Set("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048")
	return payment.Notice{Header: h, Body: []byte(body)}
}

func goldenNotice(t testing.TB, event, plain string) payment.Notice {
	t.Helper()
	return signNotice(t, platform(), textOf(t, wrap(t, event, plain)), moment)
}

func TestGoldenNotifications(t *testing.T) {
	t.Parallel()
	c, m := channelTo(t, "", "", func() time.Time { return moment }, io.Discard), goldenMerchant(t)
	paid := payment.Notification{
		EventID: "EV-2018022511223320873", TradeNo: "EV01KH3TQ0Z8V5M2C7R9XAWD4NB6", Account: "1600000001",
		Trade: payment.Trade{State: payment.TradePaid, ChannelTradeNo: "4200002026021012345678901234", Amount: 6138, PaidAt: time.Date(2026, 2, 10, 10, 36, 43, 0, time.UTC)},
	}
	refunded := payment.Notification{
		EventID: paid.EventID, TradeNo: paid.TradeNo, Account: paid.Account, RefundNo: "ER01KH3TQ0Z8V5M2C7R9XAWD4NB6",
		Refund: payment.RefundAnswer{State: payment.RefundSuccess, ChannelRefundNo: "50300802026021012345678901234", Amount: 1000, AcceptedAt: time.Date(2026, 2, 10, 11, 0, 0, 0, time.UTC)},
	}
	for name, x := range map[string]struct {
		event, plain string
		want         payment.Notification
		but          func(*payment.Notification)
	}{
		"paid":     {"TRANSACTION.SUCCESS", golden, paid, nil},
		"refunded": {"REFUND.SUCCESS", goldenRefund, refunded, nil},
		"abnormal": {"REFUND.ABNORMAL", strings.Replace(goldenRefund, `"SUCCESS"`, `"ABNORMAL"`, 1), refunded, func(n *payment.Notification) {
			n.Refund.State, n.Refund.Code, n.Refund.Message = payment.RefundFailed, "ABNORMAL", "the payer's account did not take the money"
		}},
		"closed": {"REFUND.CLOSED", strings.Replace(strings.Replace(goldenRefund, `"SUCCESS"`, `"CLOSED"`, 1), `"success_time":"2026-02-10T19:00:00+08:00",`, "", 1), refunded, func(n *payment.Notification) {
			n.Refund.State, n.Refund.Code, n.Refund.Message, n.Refund.AcceptedAt = payment.RefundFailed, "CLOSED", "the refund was closed", time.Time{}
		}},
		"another merchant": {"TRANSACTION.SUCCESS", strings.Replace(golden, "1600000001", "1600000002", 1), paid, func(n *payment.Notification) {
			n.Account, n.Foreign = "1600000002", "merchant"
		}},
		"another application": {"TRANSACTION.SUCCESS", strings.Replace(golden, "wxd678", "wxd679", 1), paid, func(n *payment.Notification) { n.Foreign = "application" }},
		"another currency":    {"TRANSACTION.SUCCESS", strings.Replace(golden, `"CNY"`, `"USD"`, 1), paid, func(n *payment.Notification) { n.Foreign = "currency" }},
		"no currency":         {"TRANSACTION.SUCCESS", strings.Replace(golden, `"currency":"CNY",`, ``, 1), paid, func(n *payment.Notification) { n.Foreign = "currency" }},
	} {
		n := goldenNotice(t, x.event, x.plain)
		got, err := c.Verify(t.Context(), m, n)
		if x.but != nil {
			x.but(&x.want)
		}
		if diff := cmp.Diff(x.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
		if hint := c.Account(n); hint != serial {
			t.Errorf("%s: hint %q", name, hint)
		}
	}
}

// Everything that a holder of the key could do wrong, or anybody else.
func TestForgedNotifications(t *testing.T) {
	t.Parallel()
	c, m := channelTo(t, "", "", func() time.Time { return moment }, io.Discard), goldenMerchant(t)
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	body := textOf(t, wrap(t, "TRANSACTION.SUCCESS", golden))
	header := func(change func(http.Header)) payment.Notice {
		n := signNotice(t, platform(), body, moment)
		change(n.Header)
		return n
	}
	signed := func(change func(*parcel)) payment.Notice {
		p := wrap(t, "TRANSACTION.SUCCESS", golden)
		change(&p)
		return signNotice(t, platform(), textOf(t, p), moment)
	}
	plain := func(event, text string) payment.Notice { return goldenNotice(t, event, text) }
	tampered := signNotice(t, platform(), body, moment)
	tampered.Body[len(tampered.Body)-2] ^= 1
	for name, n := range map[string]payment.Notice{
		"nothing":                            {},
		"no headers":                         {Body: []byte(body)},
		"tampered":                           tampered,
		"a foreign key":                      signNotice(t, foreign, body, moment),
		"old":                                signNotice(t, platform(), body, moment.Add(-301*time.Second)),
		"of the future":                      signNotice(t, platform(), body, moment.Add(301*time.Second)),
		"another time":                       header(func(h http.Header) { h.Set("Wechatpay-Timestamp", strconv.FormatInt(moment.Unix()+1, 10)) }),
		"no time":                            header(func(h http.Header) { h.Del("Wechatpay-Timestamp") }),
		"a time that is none":                header(func(h http.Header) { h.Set("Wechatpay-Timestamp", "now") }),
		"a time beyond all":                  header(func(h http.Header) { h.Set("Wechatpay-Timestamp", "9223372036854775807") }),
		"no nonce":                           header(func(h http.Header) { h.Del("Wechatpay-Nonce") }),
		"another nonce":                      header(func(h http.Header) { h.Set("Wechatpay-Nonce", "x") }),
		"no serial":                          header(func(h http.Header) { h.Del("Wechatpay-Serial") }),
		"an unknown serial":                  header(func(h http.Header) { h.Set("Wechatpay-Serial", "PUB_KEY_ID_0") }),
		"two serials":                        header(func(h http.Header) { h.Add("Wechatpay-Serial", "PUB_KEY_ID_0") }),
		"no signature":                       header(func(h http.Header) { h.Del("Wechatpay-Signature") }),
		"a signature of nothing":             header(func(h http.Header) { h.Set("Wechatpay-Signature", "====") }),
		"another kind":                       header(func(h http.Header) { h.Set("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH-SM3") }),
		"no JSON":                            signNotice(t, platform(), "hello", moment),
		"null":                               signNotice(t, platform(), "null", moment),
		"too long":                           signNotice(t, platform(), `"`+strings.Repeat("x", 64<<10)+`"`, moment),
		"no resource":                        signed(func(p *parcel) { p.Resource = nil }),
		"no event id":                        signed(func(p *parcel) { p.ID = "" }),
		"a short nonce":                      signed(func(p *parcel) { p.Resource["nonce"] = "x" }),
		"no resource nonce":                  signed(func(p *parcel) { delete(p.Resource, "nonce") }),
		"another algorithm":                  signed(func(p *parcel) { p.Resource["algorithm"] = "AEAD_SM4_GCM" }),
		"no ciphertext":                      signed(func(p *parcel) { delete(p.Resource, "ciphertext") }),
		"ciphertext of nothing":              signed(func(p *parcel) { p.Resource["ciphertext"] = "%" }),
		"other additional data":              signed(func(p *parcel) { p.Resource["associated_data"] = "refund" }),
		"another apiV3Key":                   signed(func(p *parcel) { p.Resource = sealWith(t, strings.Repeat("x", 32), golden) }),
		"an unknown event":                   plain("TRANSACTION.PARTIALLY", golden),
		"an event that is not its content's": plain("REFUND.CLOSED", goldenRefund),
		"a payment as a refund":              plain("REFUND.SUCCESS", golden),
		"not paid":                           plain("TRANSACTION.SUCCESS", strings.Replace(golden, `"SUCCESS"`, `"NOTPAY"`, 1)),
		"no trade":                           plain("TRANSACTION.SUCCESS", strings.Replace(golden, "EV01KH3TQ0Z8V5M2C7R9XAWD4NB6", "", 1)),
		"no amount":                          plain("TRANSACTION.SUCCESS", strings.Replace(golden, `"total":6138,`, ``, 1)),
		"a negative amount":                  plain("TRANSACTION.SUCCESS", strings.Replace(golden, `"total":6138`, `"total":-6138`, 1)),
		"an amount with decimals":            plain("TRANSACTION.SUCCESS", strings.Replace(golden, `"total":6138`, `"total":61.38`, 1)),
		"an amount beyond all":               plain("TRANSACTION.SUCCESS", strings.Replace(golden, `"total":6138`, `"total":99999999999999999999`, 1)),
		"content that is no JSON":            plain("TRANSACTION.SUCCESS", "hello"),
	} {
		told, err := c.Verify(t.Context(), m, n)
		if !errors.Is(err, payment.ErrSignature) || told.TradeNo != "" {
			t.Errorf("%s: %+v %v", name, told, err)
		}
	}
	probe := header(func(h http.Header) { h.Set("Wechatpay-Signature", "WECHATPAY/SIGNTEST/"+h.Get("Wechatpay-Signature")) })
	if _, err := c.Verify(t.Context(), m, probe); !errors.Is(err, payment.ErrProbe) {
		t.Errorf("a probe: %v", err)
	}
	// At the edge of the window, and the same bytes again: the inbox knows what came before.
	for _, at := range []time.Time{moment.Add(-300 * time.Second), moment.Add(300 * time.Second), moment, moment} {
		if _, err := c.Verify(t.Context(), m, signNotice(t, platform(), body, at)); err != nil {
			t.Errorf("%v: %v", at, err)
		}
	}
}

// While keys change over, either signs; the key is chosen by its serial.
func TestKeysChangeOver(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	used := map[string]bool{}
	for range 40 {
		r, _ := s.create(payment.MethodWechatNative)
		s.press(paygate.Pay{TradeNo: r.TradeNo})
		n := s.notice()
		if _, err := s.channel.Verify(t.Context(), s.m, n); err != nil {
			t.Fatal(err)
		}
		used[s.channel.Account(n)] = true
		if len(used) == 2 {
			return
		}
	}
	t.Errorf("only %v signed", used)
}

// What the gateway is told to spoil.
func TestSpoiltNotifications(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	r, _ := s.create(payment.MethodWechatNative)
	for outcome, want := range map[paygate.Outcome]error{paygate.Forged: payment.ErrSignature, paygate.Stale: payment.ErrSignature, paygate.Probe: payment.ErrProbe} {
		s.press(paygate.Pay{TradeNo: r.TradeNo, Outcome: outcome})
		if _, err := s.channel.Verify(t.Context(), s.m, s.notice()); !errors.Is(err, want) {
			t.Errorf("%s: %v", outcome, err)
		}
	}
	s.press(paygate.Pay{TradeNo: r.TradeNo, Outcome: paygate.WrongAmount})
	if told := s.verified(); told.Trade.Amount != r.Amount+1 {
		t.Errorf("wrong amount: %+v", told)
	}
	if got := s.query(r.TradeNo); got.State != payment.TradeWaiting {
		t.Errorf("nothing was paid: %+v", got)
	}
	s.press(paygate.Pay{TradeNo: r.TradeNo, Outcome: paygate.Duplicate})
	first, second, third := s.verified(), s.verified(), s.verified()
	if first.EventID != second.EventID || third.EventID == first.EventID || third.TradeNo != r.TradeNo {
		t.Errorf("events %s %s %s", first.EventID, second.EventID, third.EventID)
	}
}

// The gateway tries again, with a fresh signature, until it is answered well.
func TestTheAnswerIsAStatus(t *testing.T) {
	t.Parallel()
	s := newStand(t)
	const kind = "application/json"
	for v, reply := range map[payment.Verdict]payment.Reply{
		payment.VerdictDone:        {Status: 204},
		payment.VerdictForged:      {Status: 401, ContentType: kind, Body: `{"code":"FAIL","message":"signature verification failed"}`},
		payment.VerdictRejected:    {Status: 400, ContentType: kind, Body: `{"code":"FAIL","message":"rejected"}`},
		payment.VerdictUnavailable: {Status: 503, ContentType: kind, Body: `{"code":"FAIL","message":"try again"}`},
	} {
		got := s.channel.Reply(v)
		if diff := cmp.Diff(reply, got); diff != "" || got.Body != "" && !json.Valid([]byte(got.Body)) {
			t.Errorf("%v: %s", v, diff)
		}
	}
	s.mu.Lock()
	s.answer = s.channel.Reply(payment.VerdictUnavailable)
	s.mu.Unlock()
	r, _ := s.create(payment.MethodWechatNative)
	s.press(paygate.Pay{TradeNo: r.TradeNo})
	first := s.notice()
	s.mu.Lock()
	s.answer = payment.Reply{Status: 204}
	s.mu.Unlock()
	again := s.notice()
	one, err1 := s.channel.Verify(t.Context(), s.m, first)
	two, err2 := s.channel.Verify(t.Context(), s.m, again)
	if err1 != nil || err2 != nil || one.EventID != two.EventID || first.Header.Get("Wechatpay-Nonce") == again.Header.Get("Wechatpay-Nonce") {
		t.Errorf("%+v %v, %+v %v", one, err1, two, err2)
	}
}

// Whatever the headers and the body say, only what was signed verifies.
func FuzzVerify(f *testing.F) {
	m := goldenMerchant(f)
	c := channelTo(f, "", "", func() time.Time { return moment }, io.Discard)
	good := goldenNotice(f, "TRANSACTION.SUCCESS", golden)
	get := good.Header.Get
	f.Add(get("Wechatpay-Timestamp"), get("Wechatpay-Nonce"), get("Wechatpay-Serial"), get("Wechatpay-Signature"), good.Body)
	f.Add(get("Wechatpay-Timestamp"), get("Wechatpay-Nonce"), get("Wechatpay-Serial"), "WECHATPAY/SIGNTEST/AAAA", good.Body)
	f.Add("", "\n", "PUB_KEY_ID", "====", []byte("null"))
	f.Fuzz(func(t *testing.T, stamp, nonce, serial, signature string, body []byte) {
		h := http.Header{}
		h.Set("Wechatpay-Timestamp", stamp)
		h.Set("Wechatpay-Nonce", nonce)
		h.Set("Wechatpay-Serial", serial)
		h.Set("Wechatpay-Signature", signature)
		n := payment.Notice{Header: h, Body: body}
		c.Account(n)
		told, err := c.Verify(t.Context(), m, n)
		switch {
		case err == nil && (string(body) != string(good.Body) || told.TradeNo != "EV01KH3TQ0Z8V5M2C7R9XAWD4NB6"):
			t.Errorf("verified %q: %+v", body, told)
		case err != nil && !errors.Is(err, payment.ErrSignature) && !errors.Is(err, payment.ErrProbe):
			t.Errorf("another error: %v", err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	m := goldenMerchant(b)
	c := channelTo(b, "", "", func() time.Time { return moment }, io.Discard)
	n := goldenNotice(b, "TRANSACTION.SUCCESS", golden)
	for b.Loop() {
		if _, err := c.Verify(b.Context(), m, n); err != nil {
			b.Fatal(err)
		}
	}
}
