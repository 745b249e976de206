package alipay_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alipay"
	"github.com/evcs/evcs/internal/outbound"
	"github.com/evcs/evcs/internal/paygate"
	"github.com/evcs/evcs/internal/payment"
)

// certifiedOf is the gateway's merchant in certificate mode.
func certifiedOf(t *testing.T, k *paygate.Keys) payment.Merchant {
	t.Helper()
	var given struct {
		PrivateKey, AppCertificate, AlipayRootCertificate string
		AlipayCertificates                                []string
	}
	text, err := k.CertifiedMerchant()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &given); err != nil {
		t.Fatal(err)
	}
	m := merchantOf(t, k)
	s := payment.Secrets{PrivateKey: given.PrivateKey, AppCertificate: given.AppCertificate, AlipayRoot: given.AlipayRootCertificate}
	for _, text := range given.AlipayCertificates {
		c, err := payment.ParseCertificate(text)
		if err != nil {
			t.Fatal(err)
		}
		s.PlatformKeys = append(s.PlatformKeys, payment.PlatformKey{Serial: c.SN, PublicKey: text})
	}
	m.Secrets = []byte(textOf(t, s))
	return m
}

// counting counts the calls of a method that pass to the gateway.
type counting struct {
	mu    sync.Mutex
	calls map[string]int
	http.Handler
}

func (c *counting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err == nil {
		c.mu.Lock()
		c.calls[r.PostForm.Get("method")]++
		c.mu.Unlock()
		r.Body = http.NoBody
		body := r.PostForm.Encode()
		again, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), strings.NewReader(body))
		if err == nil {
			again.Header = r.Header
			r = again
		}
	}
	c.Handler.ServeHTTP(w, r)
}

func (c *counting) of(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[method]
}

const downloads = "alipay.open.app.alipaycert.download"

// vaulted is a stand in certificate mode that keeps what it learns.
type vaulted struct {
	*stand
	calls *counting
	mu    sync.Mutex
	kept  []string
	fails error
}

func (v *vaulted) keep(_ context.Context, m payment.Merchant, certificate, sn string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fails != nil {
		return v.fails
	}
	if c, err := payment.ParseCertificate(certificate); err != nil || c.SN != sn || m.ID != 7 {
		return errors.New("not what was learned")
	}
	v.kept = append(v.kept, sn)
	return nil
}

func (v *vaulted) learned() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.kept
}

func newVaulted(t *testing.T) *vaulted {
	t.Helper()
	v := &vaulted{stand: newStand(t), calls: &counting{calls: make(map[string]int)}}
	v.calls.Handler = v.gate.Handler()
	server := httptest.NewServer(v.calls)
	t.Cleanup(server.Close)
	to, err := outbound.ParseGateway(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	v.channel = alipay.New(alipay.Config{Guard: outbound.New(outbound.Config{Hosts: alipay.Hosts(), Gateway: to}), Now: v.clock, Keep: v.keep})
	v.m = certifiedOf(t, keys())
	return v
}

func (v *vaulted) goOver(kind string) string {
	v.t.Helper()
	sn, _, err := v.gate.Certify(kind)
	if err != nil {
		v.t.Fatal(err)
	}
	return sn
}

// The whole way in certificate mode, with an order for an app.
func TestCertificateModeFromCreationToRefund(t *testing.T) {
	t.Parallel()
	v := newVaulted(t)
	r, params := v.create(payment.MethodAlipayApp)
	form, err := url.ParseQuery(params["orderString"])
	if err != nil || len(form.Get("app_cert_sn")) != 32 || len(form.Get("alipay_root_cert_sn")) != 32 {
		t.Fatalf("order %v %v", form, err)
	}
	v.press(paygate.Pay{OrderString: params["orderString"]})
	n := v.notice()
	if !strings.Contains(string(n.Body), "alipay_cert_sn=") {
		t.Fatalf("the notification names no certificate: %s", n.Body)
	}
	told, err := v.channel.Verify(t.Context(), v.m, n)
	if err != nil || told.Trade.State != payment.TradePaid || told.TradeNo != r.TradeNo {
		t.Errorf("%+v %v", told, err)
	}
	v.refundTwice(r)
	if checks, err := v.channel.Check(t.Context(), v.m); err != nil || !checks[0].OK {
		t.Errorf("%+v %v", checks, err)
	}
	if len(v.learned()) != 0 || v.calls.of(downloads) != 0 {
		t.Errorf("learned %v", v.learned())
	}
}

// Alipay goes over to another certificate: the answer that names it is believed
// once the certificate was got, checked and kept, whatever the call.
func TestANewCertificateIsLearnedFromAnAnswer(t *testing.T) {
	t.Parallel()
	v := newVaulted(t)
	r := v.paid()
	sn := v.goOver(paygate.CertificateNew)
	answer, err := v.channel.Refund(t.Context(), v.m, payment.RefundRequest{TradeNo: r.TradeNo, RefundNo: number(t, payment.RefundNumber), Total: r.Amount, Amount: 100})
	if err != nil || answer.State != payment.RefundSuccess || answer.Amount != 100 {
		t.Errorf("a refund while the certificate changes: %+v %v", answer, err)
	}
	if got := v.learned(); len(got) != 1 || got[0] != sn {
		t.Errorf("learned %v, want %s", got, sn)
	}
	if told := v.verified(); told.RefundNo == "" {
		t.Errorf("%+v", told)
	}
	v.query(r.TradeNo)
	if n := v.calls.of(downloads); n != 1 {
		t.Errorf("asked %d times for one certificate", n)
	}
}

func TestANewCertificateIsLearnedFromANotification(t *testing.T) {
	t.Parallel()
	v := newVaulted(t)
	r, _ := v.create(payment.MethodAlipayQR)
	before := v.paidNotice()
	sn := v.goOver(paygate.CertificateNew)
	v.press(paygate.Pay{TradeNo: r.TradeNo})
	n := v.notice()
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			told, err := v.channel.Verify(t.Context(), v.m, n)
			if err != nil || told.TradeNo != r.TradeNo {
				t.Errorf("%+v %v", told, err)
			}
		})
	}
	work.Wait()
	if got := v.learned(); len(got) != 1 || got[0] != sn || v.calls.of(downloads) != 1 {
		t.Errorf("learned %v, asked %d times", got, v.calls.of(downloads))
	}
	if _, err := v.channel.Verify(t.Context(), v.m, before); err != nil {
		t.Errorf("a message of before the change: %v", err)
	}
	// What one certificate signed is not proved by another.
	swapped := renamed(t, n, v.serialOf(before))
	if _, err := v.channel.Verify(t.Context(), v.m, swapped); !errors.Is(err, payment.ErrSignature) {
		t.Errorf("the number of another certificate: %v", err)
	}
}

func (v *vaulted) paidNotice() payment.Notice {
	v.t.Helper()
	r, _ := v.create(payment.MethodAlipayQR)
	v.press(paygate.Pay{TradeNo: r.TradeNo})
	return v.notice()
}

func (v *vaulted) serialOf(n payment.Notice) string {
	v.t.Helper()
	form, err := url.ParseQuery(string(n.Body))
	if err != nil {
		v.t.Fatal(err)
	}
	return form.Get("alipay_cert_sn")
}

// renamed is a message that names another certificate; the name is not signed.
func renamed(t *testing.T, n payment.Notice, sn string) payment.Notice {
	t.Helper()
	form, err := url.ParseQuery(string(n.Body))
	if err != nil {
		t.Fatal(err)
	}
	form.Set("alipay_cert_sn", sn)
	return payment.Notice{Header: n.Header, Body: []byte(form.Encode())}
}

// A certificate that is not Alipay's proves nothing: not what is answered, not
// what is notified, and it is not kept.
func TestCertificatesThatAreNotTrusted(t *testing.T) {
	t.Parallel()
	for _, kind := range paygate.CertificateKinds()[1:] {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			v := newVaulted(t)
			r := v.paid()
			v.goOver(kind)
			v.press(paygate.Pay{TradeNo: r.TradeNo, Outcome: paygate.WrongAmount}) // notified once more
			if _, err := v.channel.Verify(t.Context(), v.m, v.notice()); !errors.Is(err, payment.ErrSignature) {
				t.Errorf("a notification is believed: %v", err)
			}
			if got, err := v.channel.Query(t.Context(), v.m, r.TradeNo); !errors.Is(err, payment.ErrUnknownOutcome) || errors.Is(err, payment.ErrRefused) {
				t.Errorf("an answer is believed: %+v %v", got, err)
			}
			if checks, err := v.channel.Check(t.Context(), v.m); err != nil || checks[0].OK || !strings.Contains(checks[0].Message.EN, "certificate") {
				t.Errorf("%+v %v", checks, err)
			}
			if len(v.learned()) != 0 || v.calls.of(downloads) == 0 || v.calls.of(downloads) > 2 {
				t.Errorf("learned %v, asked %d times", v.learned(), v.calls.of(downloads))
			}
		})
	}
}

// Anybody can name any certificate: that does not make evcsd ask without end,
// nor keep it from asking for the one that Alipay names.
func TestNamesThatNothingProvesAreAskedForSeldom(t *testing.T) {
	t.Parallel()
	v := newVaulted(t)
	n := v.paidNotice()
	for i := range 40 {
		fake := renamed(t, n, strings.Repeat("0", 30)+string([]byte{'a' + byte(i%6), '0' + byte(i/6)}))
		if _, err := v.channel.Verify(t.Context(), v.m, fake); !errors.Is(err, payment.ErrSignature) {
			t.Fatalf("%v", err)
		}
	}
	if asked := v.calls.of(downloads); asked > 8 {
		t.Errorf("asked %d times", asked)
	}
	for _, sn := range []string{"x", strings.Repeat("0", 64), strings.Repeat("Z", 32), "../../.."} {
		if _, err := v.channel.Verify(t.Context(), v.m, renamed(t, n, sn)); !errors.Is(err, payment.ErrSignature) {
			t.Errorf("%q: %v", sn, err)
		}
	}
	before := v.calls.of(downloads)
	live := v.m
	live.ID, live.Mode = 9, payment.Live
	if _, err := v.channel.Verify(t.Context(), live, renamed(t, n, strings.Repeat("0", 32))); !errors.Is(err, payment.ErrSignature) || v.calls.of(downloads) != before {
		t.Errorf("an account of real money at a gateway without: %v", err)
	}
	sn := v.goOver(paygate.CertificateNew)
	v.query("EV000000000000000000000PROBE")
	if got := v.learned(); len(got) != 1 || got[0] != sn || v.calls.of(downloads) != before+1 {
		t.Errorf("learned %v, asked %d times more", got, v.calls.of(downloads)-before)
	}
}

// While the certificate cannot be got or kept, nothing is decided: the channel
// repeats, and it works again soon.
func TestACertificateThatCannotBeGotNow(t *testing.T) {
	t.Parallel()
	v := newVaulted(t)
	r, _ := v.create(payment.MethodAlipayQR)
	v.goOver(paygate.CertificateNew)
	if err := v.gate.Break(paygate.Fault{Call: downloads, Kind: paygate.FaultBusy, Times: 1}); err != nil {
		t.Fatal(err)
	}
	v.press(paygate.Pay{TradeNo: r.TradeNo})
	n := v.notice()
	for range 2 { // the second one does not ask
		if _, err := v.channel.Verify(t.Context(), v.m, n); !errors.Is(err, payment.ErrUnknownOutcome) || errors.Is(err, payment.ErrSignature) {
			t.Errorf("busy: %v", err)
		}
	}
	v.set(v.clock().Add(20 * time.Second))
	v.mu.Lock()
	v.fails = errors.New("the store is away")
	v.mu.Unlock()
	if _, err := v.channel.Verify(t.Context(), v.m, n); !errors.Is(err, payment.ErrUnknownOutcome) {
		t.Errorf("not kept: %v", err)
	}
	v.mu.Lock()
	v.fails = nil
	v.mu.Unlock()
	v.set(v.clock().Add(20 * time.Second))
	if told, err := v.channel.Verify(t.Context(), v.m, n); err != nil || told.TradeNo != r.TradeNo || len(v.learned()) != 1 {
		t.Errorf("%+v %v, learned %v", told, err, v.learned())
	}
}

// An answer that was changed on its way, or signed by somebody else under the
// right number, is believed by nobody; so are messages after the certificate's
// end.
func TestAnswersInCertificateModeThatProveNothing(t *testing.T) {
	t.Parallel()
	v := newVaulted(t)
	r := v.paid()
	if err := v.gate.Break(paygate.Fault{Call: "query", Kind: paygate.FaultForged, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if got, err := v.channel.Query(t.Context(), v.m, r.TradeNo); !errors.Is(err, payment.ErrUnknownOutcome) {
		t.Errorf("forged: %+v %v", got, err)
	}
	n := v.paidNotice()
	tampered := payment.Notice{Header: n.Header, Body: []byte(strings.Replace(string(n.Body), "total_amount=61.38", "total_amount=61.37", 1))}
	if _, err := v.channel.Verify(t.Context(), v.m, tampered); !errors.Is(err, payment.ErrSignature) {
		t.Errorf("tampered: %v", err)
	}
	v.set(v.clock().AddDate(3, 0, 0))
	if _, err := v.channel.Verify(t.Context(), v.m, n); !errors.Is(err, payment.ErrSignature) {
		t.Errorf("after the certificate's end: %v", err)
	}
	if got, err := v.channel.Query(t.Context(), v.m, r.TradeNo); !errors.Is(err, payment.ErrUnknownOutcome) || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("after the certificate's end: %+v %v", got, err)
	}
}

// An account that changed over believes both: what was signed before, and what
// is signed now, in either direction.
func TestBothModesAtOnce(t *testing.T) {
	t.Parallel()
	v := newVaulted(t)
	bare, certified := merchantOf(t, keys()), v.m
	both := certified
	var first, second payment.Secrets
	if err := errors.Join(json.Unmarshal(certified.Secrets, &first), json.Unmarshal(bare.Secrets, &second)); err != nil {
		t.Fatal(err)
	}
	first.PlatformKeys = append(first.PlatformKeys, second.PlatformKeys...)
	both.Secrets, both.ID = []byte(textOf(t, first)), 8
	signed := v.paidNotice()
	v.m = bare
	plain := v.paidNotice()
	for name, x := range map[string]struct {
		m  payment.Merchant
		n  payment.Notice
		ok bool
	}{
		"both, certificate": {both, signed, true},
		"both, bare key":    {both, plain, true},
		"certificate alone": {certified, plain, false},
		"bare key alone":    {bare, signed, false},
	} {
		if _, err := v.channel.Verify(t.Context(), x.m, x.n); (err == nil) != x.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What the library makes of the files is what the account makes of them.
func TestTheLibraryNamesTheSameCertificates(t *testing.T) {
	t.Parallel()
	v := newVaulted(t)
	_, params := v.create(payment.MethodAlipayApp)
	form, err := url.ParseQuery(params["orderString"])
	if err != nil {
		t.Fatal(err)
	}
	var s payment.Secrets
	if err := json.Unmarshal(v.m.Secrets, &s); err != nil {
		t.Fatal(err)
	}
	app, err1 := payment.ParseCertificate(s.AppCertificate)
	roots, err2 := payment.ParseRoots(s.AlipayRoot)
	if err := errors.Join(err1, err2); err != nil || form.Get("app_cert_sn") != app.SN || form.Get("alipay_root_cert_sn") != roots.SN {
		t.Errorf("%v: %s %s", err, app.SN, roots.SN)
	}
}
