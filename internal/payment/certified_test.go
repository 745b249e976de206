package payment_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/paygate"
	"github.com/evcs/evcs/internal/payment"
)

// files are an account's of a gateway.
type files struct {
	PrivateKey            string
	AppCertificate        string
	AlipayRootCertificate string
	AlipayCertificates    []string
	gate                  *paygate.Gateway
}

var (
	one   = sync.OnceValue(makeFiles)
	other = sync.OnceValue(makeFiles)
)

func makeFiles() *files {
	k, err := paygate.NewKeys(noon)
	if err != nil {
		panic(err)
	}
	text, err := k.CertifiedMerchant()
	if err != nil {
		panic(err)
	}
	f := &files{gate: paygate.New(paygate.Config{Keys: k, Now: func() time.Time { return noon }})}
	if err := json.Unmarshal(text, f); err != nil {
		panic(err)
	}
	return f
}

// more is another certificate that the gateway goes over to.
func (f *files) more(t *testing.T, kind string) (text, sn string) {
	t.Helper()
	sn, raw, err := f.gate.Certify(kind)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw), sn
}

func certified(f *files) payment.MerchantChange {
	return payment.MerchantChange{
		Channel: "alipay", Name: p("certified"), AppID: p("2021000000000001"), PrivateKey: p(f.PrivateKey),
		AppCertificate: p(f.AppCertificate), AlipayRoot: p(f.AlipayRootCertificate), AlipayCertificates: f.AlipayCertificates,
	}
}

func faultsOf(t *testing.T, err error) map[string]string {
	t.Helper()
	var invalid *evcs.Error
	if !errors.As(err, &invalid) {
		t.Fatalf("%v", err)
	}
	found := make(map[string]string)
	_, data, _ := evcs.Classify(err)
	list, _ := data["errors"].([]evcs.FieldFault)
	for _, f := range list {
		found[f.Field] = f.Message
	}
	return found
}

// What does not fit is told by its field, all at once.
func TestCertificatesThatAreRefused(t *testing.T) {
	t.Parallel()
	expired, _ := one().more(t, paygate.CertificateExpired)
	foreign, _ := one().more(t, paygate.CertificateForeign)
	pretended, _ := one().more(t, paygate.CertificatePretended)
	long := strings.Repeat("x", 16<<10+1)
	for name, x := range map[string]struct {
		change func(*payment.MerchantChange)
		want   map[string]string
	}{
		"no certificates": {func(n *payment.MerchantChange) {
			n.AppCertificate, n.AlipayRoot, n.AlipayCertificates = p("MIIB"), p(ours().public), []string{theirs().public}
		}, map[string]string{"appCertificate": "is no X.509 certificate in PEM", "alipayRootCertificate": "is no X.509 certificate in PEM"}},
		"too long": {func(n *payment.MerchantChange) {
			n.AppCertificate, n.AlipayRoot = &long, &long
		}, map[string]string{"appCertificate": "must be at most 16384 bytes", "alipayRootCertificate": "must be at most 16384 bytes"}},
		"another private key": {
			func(n *payment.MerchantChange) { n.PrivateKey = p(ours().private) },
			map[string]string{"appCertificate": "does not belong to the private key"},
		},
		"ended": {
			func(n *payment.MerchantChange) {
				n.AlipayCertificates = append(slices.Clone(n.AlipayCertificates), expired)
			},
			map[string]string{"alipayCertificates[1]": "is a certificate that has ended"},
		},
		"from another root": {
			func(n *payment.MerchantChange) { n.AlipayCertificates = []string{foreign} },
			map[string]string{"alipayCertificates[0]": "is not from alipayRootCertificate"},
		},
		"issued by an application": {
			func(n *payment.MerchantChange) { n.AlipayCertificates = []string{pretended} },
			map[string]string{"alipayCertificates[0]": "is not from alipayRootCertificate"},
		},
		"the root of another": {
			func(n *payment.MerchantChange) { n.AlipayRoot = p(other().AlipayRootCertificate) },
			map[string]string{"alipayCertificates[0]": "is not from alipayRootCertificate", "alipayRootCertificate": ""},
		},
		"a certificate as root": {
			func(n *payment.MerchantChange) { n.AlipayRoot = p(n.AlipayCertificates[0]) },
			map[string]string{"alipayRootCertificate": "holds no root certificate with an RSA key"},
		},
		"our own as Alipay's": {
			func(n *payment.MerchantChange) {
				n.AlipayCertificates = []string{n.AlipayCertificates[0], n.AlipayCertificates[0]}
			},
			map[string]string{"alipayCertificates[1]": "is given twice"},
		},
		"nothing else": {
			func(n *payment.MerchantChange) { n.AlipayRoot, n.AlipayCertificates = nil, nil },
			map[string]string{"alipayRootCertificate": "is required"},
		},
		"no certificate of Alipay": {
			func(n *payment.MerchantChange) { n.AlipayCertificates = nil },
			map[string]string{"alipayCertificates": "is required"},
		},
		"both modes": {
			func(n *payment.MerchantChange) { n.AlipayPublicKey = p(theirs().public) },
			map[string]string{"alipayPublicKey": "is not for an account with appCertificate; null there goes back to the public key"},
		},
		"without its own": {
			func(n *payment.MerchantChange) { n.AppCertificate = nil },
			map[string]string{"alipayPublicKey": "is required", "alipayRootCertificate": "needs appCertificate", "alipayCertificates": "needs appCertificate"},
		},
	} {
		n := certified(one())
		x.change(&n)
		m := payment.Merchant{ID: 1, Tenant: 1, Channel: "alipay", Mode: payment.Live, CallbackToken: "T"}
		_, err := m.Change(n, sealer(t), noon)
		got := faultsOf(t, err)
		if _, ok := x.want["alipayRootCertificate"]; ok && x.want["alipayRootCertificate"] == "" {
			delete(x.want, "alipayRootCertificate")
			delete(got, "alipayRootCertificate")
		}
		if diff := cmp.Diff(x.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	m := payment.Merchant{ID: 1, Tenant: 1, Channel: "alipay", Mode: payment.Live, CallbackToken: "T"}
	if _, err := m.Change(certified(one()), sealer(t), noon.AddDate(-1, 0, 0)); faultsOf(t, err)["appCertificate"] != "is a certificate that is not valid yet" {
		t.Errorf("too early: %v", err)
	}
	w := payment.Merchant{ID: 1, Tenant: 1, Channel: "wechat", Mode: payment.Live, CallbackToken: "T"}
	n := wechat()
	n.AppCertificate, n.AlipayRoot, n.AlipayCertificates = p("x"), p("x"), []string{"x"}
	if _, err := w.Change(n, sealer(t), noon); len(faultsOf(t, err)) != 3 {
		t.Errorf("for WeChat Pay: %v", err)
	}
}

func (f *files) made(t *testing.T) payment.Merchant {
	t.Helper()
	return made(t, certified(f))
}

func certifiedNow(t *testing.T, m payment.Merchant, at time.Time) bool {
	t.Helper()
	keys := keysOf(t, m, at)
	return keys.Certified()
}

// The account keeps what it is given under its numbers, tells when it ends, and
// opens it; every field is sealed and moves to a new sealing key.
func TestCertificatesAreKept(t *testing.T) {
	t.Parallel()
	m := one().made(t)
	c, err := payment.ParseCertificate(one().AlipayCertificates[0])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"alipayCertificates/" + c.SN, "alipayRootCertificate", "appCertificate", "privateKey"}
	var names []string
	for _, n := range m.SecretNotes() {
		names = append(names, n.Name)
		if n.Fingerprint == "" || (n.Name != "privateKey") == n.ExpireAt.IsZero() {
			t.Errorf("%+v", n)
		}
	}
	if !slices.Equal(names, want) || m.KeyMode() != payment.ModeCertificate || !m.CertificateExpires().Equal(c.Until) {
		t.Errorf("%v %s %s", names, m.KeyMode(), m.CertificateExpires())
	}
	if strings.Contains(m.Sealed, "BEGIN") {
		t.Error("a certificate is not sealed")
	}
	next, err := auth.NewSealer([32]byte{8})
	if err != nil {
		t.Fatal(err)
	}
	moved := 0
	text, err := payment.ResealVault(m.Sealed, func(sealed string) (string, error) {
		moved++
		return "new " + sealed, nil
	})
	if err != nil || moved != 4 || strings.Count(text, `"new `) != 4 {
		t.Errorf("%d texts moved: %v", moved, err)
	}
	before := m.Sealed
	keys := keysOf(t, m, noon)
	if !keys.Certified() || len(keys.PlatformKeys) != 1 || keys.PlatformKeys[0].Serial != c.SN || keys.AlipayRoot == "" {
		t.Errorf("%+v", keys)
	}
	if m.Unseal(next, noon) == nil {
		t.Error("another key opens it")
	}
	changed, err := m.Change(certified(one()), sealer(t), noon)
	if err != nil || len(changed) != 0 || m.Sealed != before {
		t.Errorf("the same again changes %v: %v", changed, err)
	}
}

// Certificates of Alipay join each other; the old ones can be dropped.
func TestCertificatesOfAlipayJoin(t *testing.T) {
	t.Parallel()
	f := makeFiles()
	m := f.made(t)
	text, sn := f.more(t, paygate.CertificateNew)
	changed, err := m.Change(payment.MerchantChange{AlipayCertificates: []string{text}}, sealer(t), noon.Add(time.Hour))
	if err != nil || !slices.Equal(changed, []string{"alipayCertificates/" + sn}) || len(keysOf(t, m, noon).PlatformKeys) != 2 {
		t.Fatalf("%v %v", changed, err)
	}
	if changed, err = m.Change(payment.MerchantChange{DropOldKeys: true}, sealer(t), noon.Add(2*time.Hour)); err != nil || len(changed) != 1 {
		t.Errorf("%v %v", changed, err)
	}
	if keys := keysOf(t, m, noon).PlatformKeys; len(keys) != 1 || keys[0].Serial != sn {
		t.Errorf("%+v", keys)
	}
	root := other().AlipayRootCertificate
	if _, err := m.Change(payment.MerchantChange{AlipayRoot: &root}, sealer(t), noon.Add(2*time.Hour)); faultsOf(t, err)["alipayRootCertificate"] != "none of alipayCertificates is from it" {
		t.Errorf("%v", err)
	}
	m = f.made(t)
	list := f.AlipayCertificates
	for range 10 {
		text, _ := f.more(t, paygate.CertificateSwapped) // of one key, which the gateway needs no time for
		list = append(slices.Clone(list), text)
	}
	if _, err := m.Change(payment.MerchantChange{AlipayCertificates: list}, sealer(t), noon); faultsOf(t, err)["alipayCertificates"] != "must be at most 10 with the stored ones" {
		t.Errorf("%v", err)
	}
}

// A certificate that Alipay handed out is taken over when it is Alipay's for this
// merchant, and nothing else is.
func TestLearning(t *testing.T) {
	t.Parallel()
	f := makeFiles()
	m := f.made(t)
	for _, kind := range []string{paygate.CertificateForeign, paygate.CertificateExpired, paygate.CertificateApplication, paygate.CertificatePretended} {
		text, sn := f.more(t, kind)
		tried := m
		if name, err := tried.Learn(text, sn, sealer(t), noon); err == nil || name != "" {
			t.Errorf("%s: %q", kind, name)
		}
	}
	text, sn := f.more(t, paygate.CertificateNew)
	tried := m
	if _, err := tried.Learn(text, strings.Repeat("0", 32), sealer(t), noon); err == nil {
		t.Error("under another number")
	}
	if name, err := m.Learn(text, sn, sealer(t), noon); err != nil || name != "alipayCertificates/"+sn || len(keysOf(t, m, noon).PlatformKeys) != 2 {
		t.Errorf("%q %v", name, err)
	}
	if name, err := m.Learn(text, sn, sealer(t), noon); err != nil || name != "" {
		t.Errorf("once more: %q %v", name, err)
	}
	bare := made(t, alipay())
	if _, err := bare.Learn(text, sn, sealer(t), noon); err == nil {
		t.Error("an account without certificates learns one")
	}
	// At most ten are kept: the one that ends first goes.
	for range 12 {
		text, sn := f.more(t, paygate.CertificateSwapped)
		if _, err := m.Learn(text, sn, sealer(t), noon); err != nil {
			t.Fatal(err)
		}
	}
	if keys := keysOf(t, m, noon).PlatformKeys; len(keys) != 10 {
		t.Errorf("%d are kept", len(keys))
	}
}

// What verified in one mode verifies for seven days in the other.
func TestTheModeChanges(t *testing.T) {
	t.Parallel()
	m := made(t, payment.MerchantChange{
		Channel: "alipay", Name: p("main"), AppID: p("2021000000000001"), PrivateKey: p(one().PrivateKey), AlipayPublicKey: p(theirs().public),
	})
	serials := func(at time.Time) (list []string) {
		for _, k := range keysOf(t, m, at).PlatformKeys {
			list = append(list, map[bool]string{true: "bare", false: "certificate"}[k.Serial == ""])
		}
		slices.Sort(list)
		return list
	}
	n := certified(one())
	n.Channel, n.PrivateKey = "", nil
	changed, err := m.Change(n, sealer(t), noon)
	if err != nil || len(changed) != 4 || m.KeyMode() != payment.ModeCertificate {
		t.Fatalf("%v %v", changed, err)
	}
	if got := serials(noon.Add(payment.KeyOverlap)); !slices.Equal(got, []string{"bare", "certificate"}) {
		t.Errorf("within the week: %v", got)
	}
	if got := serials(noon.Add(payment.KeyOverlap + time.Second)); !slices.Equal(got, []string{"certificate"}) {
		t.Errorf("after it: %v", got)
	}
	later := noon.Add(24 * time.Hour)
	if _, err := m.Change(payment.MerchantChange{AppCertificate: new(string)}, sealer(t), later); faultsOf(t, err)["alipayPublicKey"] != "is required" {
		t.Errorf("back to nothing: %v", err)
	}
	back := payment.MerchantChange{AppCertificate: new(string), AlipayPublicKey: p(next().public)}
	if _, err := m.Change(back, sealer(t), later); err != nil || m.KeyMode() != payment.ModePublicKey || certifiedNow(t, m, later) || !m.CertificateExpires().IsZero() {
		t.Fatalf("%v %s", err, m.KeyMode())
	}
	if got := serials(later); !slices.Equal(got, []string{"bare", "bare", "certificate"}) {
		t.Errorf("back: %v", got)
	}
	n.AlipayPublicKey = nil
	if _, err := m.Change(n, sealer(t), later); err != nil {
		t.Fatal(err)
	}
	if got := serials(later); !slices.Equal(got, []string{"bare", "bare", "certificate"}) {
		t.Errorf("there again: %v", got)
	}
	if changed, err := m.Change(payment.MerchantChange{DropOldKeys: true}, sealer(t), later); err != nil || len(changed) != 2 || !slices.Equal(serials(later), []string{"certificate"}) {
		t.Errorf("%v %v %v", changed, err, serials(later))
	}
}

func TestProbeOfCertificates(t *testing.T) {
	t.Parallel()
	m := one().made(t)
	good := keysOf(t, m, noon)
	for name, x := range map[string]struct {
		change func(*payment.Secrets)
		at     time.Time
		ok     bool
	}{
		"good":        {func(*payment.Secrets) {}, noon, true},
		"ended":       {func(*payment.Secrets) {}, noon.AddDate(3, 0, 0), false},
		"other key":   {func(s *payment.Secrets) { s.PrivateKey = ours().private }, noon, false},
		"broken root": {func(s *payment.Secrets) { s.AlipayRoot = "x" }, noon, false},
		"none":        {func(s *payment.Secrets) { s.PlatformKeys = nil }, noon, false},
	} {
		s := good
		x.change(&s)
		m.Secrets, _ = json.Marshal(s)
		checks := m.Probe(x.at)
		last := checks[len(checks)-1]
		if last.Name != "CERTIFICATES_VALID" || last.OK != x.ok || last.Message.ZH == "" || last.Message.EN == "" {
			t.Errorf("%s: %+v", name, last)
		}
	}
}

// The real files of Alipay's sandbox: numbers as Alipay's own libraries make
// them, roots of kinds that cannot be read, an end that is past.
func TestRealCertificates(t *testing.T) {
	t.Parallel()
	text := make(map[string]string)
	for _, name := range []string{"alipayRootCert.crt", "alipayPublicCert.crt"} {
		raw, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		text[name] = string(raw)
	}
	roots, err := payment.ParseRoots(text["alipayRootCert.crt"])
	if err != nil || roots.SN != "687b59193f3f462dd5336e5abf83c5d8_02941eef3187dddf3d3b83462e1dfcf6" {
		t.Errorf("%v %s", err, roots.SN)
	}
	c, err := payment.ParseCertificate(text["alipayPublicCert.crt"])
	if err != nil || len(c.SN) != 32 || c.Until.Year() != 2024 {
		t.Fatalf("%v %+v", err, c.Until)
	}
	if err := roots.Prove(&c, nil, c.From.Add(time.Hour)); err == nil || !strings.Contains(err.Error(), "alipayRootCertificate") {
		t.Errorf("the sandbox's comes from the sandbox's root: %v", err)
	}
	if err := roots.Prove(&c, nil, noon); err == nil || !strings.Contains(err.Error(), "ended") {
		t.Errorf("%v", err)
	}
}

func FuzzParseCertificate(f *testing.F) {
	for _, text := range slices.Sorted(maps.Values(map[string]string{"a": one().AppCertificate, "b": one().AlipayRootCertificate, "c": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"})) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := payment.ParseCertificate(text); err == nil && (c.Key == nil || len(c.SN) != 32) {
			t.Errorf("%+v", c)
		}
		if r, err := payment.ParseRoots(text); err == nil && r.SN == "" {
			t.Errorf("%+v", r)
		}
	})
}
