package evcstest_test

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/paygate"
)

// alipayAccount is the tenant's account of Alipay as it is now.
func (k *shopkeeper) alipayAccount() api.Merchant {
	k.s.t.Helper()
	var page api.Page[api.Merchant]
	k.boss.OK(k.s.t, http.MethodGet, "/api/payment/merchant?channel=alipay", nil).Into(k.s.t, &page)
	if len(page.Records) != 1 {
		k.s.t.Fatalf("%d accounts", len(page.Records))
	}
	return page.Records[0]
}

// fields are fields of the gateway's accounts.
func (s *street) fields(certified bool, names ...string) map[string]any {
	s.t.Helper()
	text, err := s.keys.Merchant(paygate.Alipay)
	if certified {
		text, err = s.keys.CertifiedMerchant()
	}
	all, some := make(map[string]any), make(map[string]any)
	if err := errors.Join(err, json.Unmarshal(text, &all)); err != nil {
		s.t.Fatal(err)
	}
	for _, name := range names {
		some[name] = all[name]
	}
	return some
}

// certify has the account work with certificates.
func (k *shopkeeper) certify() {
	k.s.t.Helper()
	m := k.alipayAccount()
	k.boss.OK(k.s.t, http.MethodPut, evcstest.Path("/api/payment/merchant/%d", m.MerchantID), k.s.fields(true, "appCertificate", "alipayRootCertificate", "alipayCertificates"))
}

// certificates counts the certificates of Alipay of the account.
func (k *shopkeeper) certificates() (n int) {
	k.s.t.Helper()
	for name := range k.alipayAccount().Secrets {
		if strings.HasPrefix(name, "alipayCertificates/") {
			n++
		}
	}
	return n
}

func (s *street) goOver(kind string) string {
	s.t.Helper()
	sn, _, err := s.gate.Certify(kind)
	if err != nil {
		s.t.Fatal(err)
	}
	return sn
}

func (k *shopkeeper) refund(p api.Payment, yuan int) {
	k.s.t.Helper()
	k.boss.OK(k.s.t, http.MethodPost, "/api/payment/refund", map[string]any{"tradeNo": p.TradeNo, "refundAmount": yuan, "refundReason": "r"})
}

// An account of Alipay changes over to certificates and back while payments are
// in flight, and Alipay to another certificate in between: all is paid, given
// back, booked once and in the statement.
func TestAlipayCertificatesEndToEnd(t *testing.T) {
	t.Parallel()
	now, day := yesterday()
	eachStreetAt(t, now, func(t *testing.T, s *street) {
		k := s.tenant("CER")
		inFlight := k.collect(k.owe(), "ALIPAY_QR")
		k.certify()
		m := k.alipayAccount()
		if m.KeyMode == nil || *m.KeyMode != "CERTIFICATE" || m.CertificateExpireTime == nil || k.certificates() != 1 || m.Secrets["appCertificate"].ExpireTime == nil {
			t.Fatalf("%+v", m)
		}
		k.press(inFlight, paygate.Succeed, "") // signed with the bare key
		k.becomes(inFlight, 2, 11)

		var trial api.MerchantTrial
		k.boss.OK(t, http.MethodPost, evcstest.Path("/api/payment/merchant/%d/verify", m.MerchantID), nil).Into(t, &trial)
		if !trial.OK {
			t.Fatalf("%+v", trial)
		}
		whole := k.collect(k.owe(), "ALIPAY_APP")
		k.press(whole, paygate.Succeed, "")
		k.becomes(whole, 2, 11)

		// Alipay goes over to another certificate: a notification tells of it first.
		rotated := k.collect(k.owe(), "ALIPAY_QR")
		sn := s.goOver(paygate.CertificateNew)
		k.press(rotated, paygate.Succeed, "")
		k.becomes(rotated, 2, 11)
		if _, ok := k.alipayAccount().Secrets["alipayCertificates/"+sn]; !ok || k.certificates() != 2 {
			t.Errorf("the new certificate is not kept: %v", maps.Keys(k.alipayAccount().Secrets))
		}
		// And once more: the answer to a refund does.
		sn = s.goOver(paygate.CertificateNew)
		k.refund(whole, 15)
		k.becomes(whole, 5, 13)
		if _, ok := k.alipayAccount().Secrets["alipayCertificates/"+sn]; !ok || k.certificates() != 3 {
			t.Error("the certificate of an answer is not kept")
		}
		k.told("MerchantKeyChanged")

		back := k.collect(k.owe(), "ALIPAY_QR")
		change := s.fields(false, "alipayPublicKey")
		change["appCertificate"] = nil
		k.boss.OK(t, http.MethodPut, evcstest.Path("/api/payment/merchant/%d", m.MerchantID), change)
		if mode := k.alipayAccount().KeyMode; mode == nil || *mode != "PUBLIC_KEY" {
			t.Errorf("mode %v", mode)
		}
		k.press(back, paygate.Succeed, "") // signed with a certificate
		k.becomes(back, 2, 11)
		k.refund(back, 15)
		k.becomes(back, 5, 13)
		k.balanced()
		k.reconciles("alipay", day)
	})
}

// told waits for an alert.
func (k *shopkeeper) told(kind string) {
	k.s.t.Helper()
	evcstest.Eventually(k.s.t, "the alert "+kind, func() bool {
		var page api.Page[api.Alert]
		k.boss.OK(k.s.t, http.MethodGet, "/api/monitoring/alerts?size=100", nil).Into(k.s.t, &page)
		return slices.ContainsFunc(page.Records, func(a api.Alert) bool { return a.AlertType == kind })
	})
}

// Certificates that are not Alipay's prove nothing, also when the gateway itself
// hands them out; when it has a good one again, what was paid meanwhile is taken.
func TestAlipayCertificatesThatAreNotTrusted(t *testing.T) {
	t.Parallel()
	eachStreet(t, func(t *testing.T, s *street) {
		k := s.tenant("CEX")
		k.certify()
		for _, kind := range []string{paygate.CertificateForeign, paygate.CertificateExpired, paygate.CertificatePretended} {
			p := k.collect(k.owe(), "ALIPAY_QR")
			s.goOver(kind)
			s.tap.keep(true)
			n := s.next(func() { k.press(p, paygate.Succeed, "") })
			if status, answer := s.send(n); status != http.StatusBadRequest || answer != "failure" {
				t.Errorf("%s: answered %d %s", kind, status, answer)
			}
			if got, _ := k.now(p); got.Status == 2 || k.certificates() > 3 {
				t.Errorf("%s: paid by it", kind)
			}
			before := k.certificates()
			sn := s.goOver(paygate.CertificateNew)
			k.becomes(p, 2, 11) // by asking: the next answer names a good one
			if _, ok := k.alipayAccount().Secrets["alipayCertificates/"+sn]; !ok || k.certificates() != before+1 {
				t.Errorf("%s: %d certificates", kind, k.certificates())
			}
		}
		k.told("CallbackRejected")
		k.balanced()
	})
}
