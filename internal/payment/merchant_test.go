package payment_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

var noon = time.Date(2026, 2, 10, 12, 0, 0, 0, time.UTC)

// pair is a key pair, made once.
type pair struct{ private, public, bare, certificate, ended string }

var (
	ours   = sync.OnceValue(makePair)
	theirs = sync.OnceValue(makePair)
	next   = sync.OnceValue(makePair)
)

func makePair() pair {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		panic(err)
	}
	certificate := func(end time.Time) string {
		c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "platform"}, NotBefore: noon.AddDate(-1, 0, 0), NotAfter: end}
		raw, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
		if err != nil {
			panic(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}))
	}
	return pair{
		private:     string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		public:      string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})),
		bare:        base64.StdEncoding.EncodeToString(public),
		certificate: certificate(noon.AddDate(0, 0, 20)),
		ended:       certificate(noon.AddDate(0, 0, -1)),
	}
}

func sealer(t *testing.T) *auth.Sealer {
	t.Helper()
	s, err := auth.NewSealer([32]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func p[T any](v T) *T { return &v }

func alipay() payment.MerchantChange {
	return payment.MerchantChange{
		Channel: "alipay", Name: p("main"), AppID: p("2021000000000001"), SellerID: p("2088000000000001"),
		PrivateKey: p(ours().private), AlipayPublicKey: p(theirs().public),
	}
}

func wechat() payment.MerchantChange {
	return payment.MerchantChange{
		Channel: "wechat", Name: p("main"), AppID: p("wx0000000000000001"), MchID: p("1900000001"), MerchantSerialNo: p("5157F09EFDC096DE"),
		PrivateKey: p(ours().private), APIV3Key: p(strings.Repeat("k", 32)),
		PlatformKeys: &[]payment.PlatformKey{{Serial: "PUB_KEY_ID_01", PublicKey: theirs().public}},
	}
}

func blank(channel string) payment.Merchant {
	return payment.Merchant{Tenant: 3, Channel: channel, Mode: payment.Live, FeeRate: payment.DefaultFeeRate, CallbackToken: "TOKEN-" + channel}
}

// made is an account as a change makes it.
func made(t *testing.T, n payment.MerchantChange) payment.Merchant {
	t.Helper()
	m := blank(n.Channel)
	if _, err := m.Change(n, sealer(t), noon); err != nil {
		t.Fatal(err)
	}
	return m
}

func keysOf(t *testing.T, m payment.Merchant, now time.Time) payment.Secrets {
	t.Helper()
	if err := m.Unseal(sealer(t), now); err != nil {
		t.Fatal(err)
	}
	keys, err := m.Keys()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestBadAccounts(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // that is the point
	if err != nil {
		t.Fatal(err)
	}
	weakKey := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(weak)}))
	a := func(edit func(*payment.MerchantChange)) payment.MerchantChange { n := alipay(); edit(&n); return n }
	w := func(edit func(*payment.MerchantChange)) payment.MerchantChange { n := wechat(); edit(&n); return n }
	keys := func(k ...payment.PlatformKey) *[]payment.PlatformKey { return &k }
	for name, c := range map[string]struct {
		n      payment.MerchantChange
		fields []string
	}{
		"nothing": {payment.MerchantChange{Channel: "alipay"}, []string{"alipayPublicKey", "appId", "name", "privateKey"}},
		"nothing, wechat": {
			payment.MerchantChange{Channel: "wechat"},
			[]string{"apiV3Key", "appId", "mchId", "merchantSerialNo", "name", "platformKeys", "privateKey"},
		},
		"another channel":   {payment.MerchantChange{Channel: "sandbox", Name: p("x"), AppID: p("x"), PrivateKey: p(ours().private)}, []string{"channel"}},
		"mode":              {a(func(n *payment.MerchantChange) { n.Mode = p("TEST") }), []string{"mode"}},
		"fee":               {a(func(n *payment.MerchantChange) { n.FeeRate = p(evcs.UnitPrice(100_001)) }), []string{"feeRate"}},
		"negative fee":      {a(func(n *payment.MerchantChange) { n.FeeRate = p(evcs.UnitPrice(-1)) }), []string{"feeRate"}},
		"app":               {a(func(n *payment.MerchantChange) { n.AppID = p("a b") }), []string{"appId"}},
		"seller":            {a(func(n *payment.MerchantChange) { n.SellerID = p("x") }), []string{"sellerId"}},
		"no key":            {a(func(n *payment.MerchantChange) { n.PrivateKey = p("nonsense!") }), []string{"privateKey"}},
		"weak key":          {a(func(n *payment.MerchantChange) { n.PrivateKey = &weakKey }), []string{"privateKey"}},
		"public as private": {a(func(n *payment.MerchantChange) { n.PrivateKey = p(theirs().public) }), []string{"privateKey"}},
		"huge key":          {a(func(n *payment.MerchantChange) { n.PrivateKey = p(strings.Repeat("A", 20_000)) }), []string{"privateKey"}},
		"our own as theirs": {a(func(n *payment.MerchantChange) { n.AlipayPublicKey = p(ours().bare) }), []string{"alipayPublicKey"}},
		"private as public": {a(func(n *payment.MerchantChange) { n.AlipayPublicKey = p(theirs().private) }), []string{"alipayPublicKey"}},
		"wechat's in alipay": {
			a(func(n *payment.MerchantChange) { n.APIV3Key, n.MchID, n.PlatformKeys = p("x"), p("1"), keys() }),
			[]string{"apiV3Key", "mchId", "platformKeys"},
		},
		"alipay's in wechat": {
			w(func(n *payment.MerchantChange) { n.SellerID, n.AlipayPublicKey = p("1"), p("x") }), []string{"alipayPublicKey", "sellerId"},
		},
		"31 bytes":        {w(func(n *payment.MerchantChange) { n.APIV3Key = p(strings.Repeat("k", 31)) }), []string{"apiV3Key"}},
		"32 characters":   {w(func(n *payment.MerchantChange) { n.APIV3Key = p(strings.Repeat("钥", 32)) }), []string{"apiV3Key"}},
		"no platform key": {w(func(n *payment.MerchantChange) { n.PlatformKeys = keys() }), []string{"platformKeys"}},
		"a serial twice": {
			w(func(n *payment.MerchantChange) {
				n.PlatformKeys = keys(payment.PlatformKey{Serial: "A", PublicKey: theirs().public}, payment.PlatformKey{Serial: "A", PublicKey: next().public})
			}), []string{"platformKeys[1].serial"},
		},
		"a serial nobody knows": {w(func(n *payment.MerchantChange) { n.PlatformKeys = keys(payment.PlatformKey{Serial: "A"}) }), []string{"platformKeys[0].publicKey"}},
		"ended": {w(func(n *payment.MerchantChange) {
			n.PlatformKeys = keys(payment.PlatformKey{Serial: "A", PublicKey: theirs().ended})
		}), []string{"platformKeys[0].publicKey"}},
		"an odd serial": {w(func(n *payment.MerchantChange) {
			n.PlatformKeys = keys(payment.PlatformKey{Serial: "a b", PublicKey: theirs().public})
		}), []string{"platformKeys[0].serial"}},
	} {
		m := blank(c.n.Channel)
		if c.n.Mode != nil {
			m.Mode = *c.n.Mode
		}
		_, err := m.Change(c.n, sealer(t), noon)
		var fields []string
		if _, data, _ := evcs.Classify(err); data != nil {
			for _, f := range data["errors"].([]evcs.FieldFault) {
				fields = append(fields, f.Field)
				for _, secret := range []string{ours().private, theirs().private, weakKey} {
					if strings.Contains(f.Message, secret[40:80]) {
						t.Errorf("%s: a fault quotes a key", name)
					}
				}
			}
		}
		slices.Sort(fields)
		if !errors.Is(err, evcs.ErrInvalid) || !slices.Equal(fields, c.fields) {
			t.Errorf("%s: %v, want %v", name, fields, c.fields)
		}
	}
}

func TestSecretsAreSealedAndBound(t *testing.T) {
	t.Parallel()
	m := made(t, wechat())
	keys := keysOf(t, m, noon)
	if keys.PrivateKey != ours().private || keys.APIV3Key != strings.Repeat("k", 32) || len(keys.PlatformKeys) != 1 || keys.PlatformKeys[0].Serial != "PUB_KEY_ID_01" {
		t.Errorf("%+v", keys)
	}
	for _, secret := range []string{strings.Repeat("k", 32), ours().private[40:100]} {
		if strings.Contains(m.Sealed, secret) || strings.Contains(m.Config, secret) {
			t.Error("a secret lies open")
		}
	}
	// A row's secrets are of no use in another account, tenant or field.
	for name, edit := range map[string]func(*payment.Merchant){
		"tenant":  func(m *payment.Merchant) { m.Tenant = 4 },
		"account": func(m *payment.Merchant) { m.CallbackToken = "OTHER" },
		"channel": func(m *payment.Merchant) { m.Channel = "alipay" },
		"field": func(m *payment.Merchant) {
			m.Sealed = strings.Replace(strings.Replace(m.Sealed, `"apiV3Key"`, `"x"`, 1), `"privateKey"`, `"apiV3Key"`, 1)
		},
		"version": func(m *payment.Merchant) { m.Sealed = strings.Replace(m.Sealed, `"version":1`, `"version":2`, 1) },
		"damage":  func(m *payment.Merchant) { m.Sealed = m.Sealed[:len(m.Sealed)-1] },
	} {
		other := m
		edit(&other)
		if err := other.Unseal(sealer(t), noon); err == nil {
			t.Errorf("%s: the secrets can be opened", name)
		}
	}
	notes := map[string]string{}
	for _, n := range m.SecretNotes() {
		notes[n.Name] = n.Fingerprint
	}
	if len(notes) != 4 || notes["privateKey"] == "" || notes["apiV3Key"] == "" || notes["platformKeys"] == "" || notes["platformKeys/PUB_KEY_ID_01"] == "" {
		t.Errorf("%v", notes)
	}
	if bare := made(t, alipay()); bare.SecretNotes()[1].Fingerprint != notes["privateKey"] {
		t.Error("one key has two fingerprints")
	}
	m.Sealed, m.Secrets = "", nil
	if notes := m.SecretNotes(); len(notes) != 0 {
		t.Errorf("%v", notes)
	}
}

func TestAlipayKeyRotation(t *testing.T) {
	t.Parallel()
	m := made(t, alipay())
	changed, err := m.Change(payment.MerchantChange{AlipayPublicKey: p(theirs().bare)}, sealer(t), noon)
	if err != nil || len(changed) != 0 {
		t.Errorf("the same key written otherwise: %v %v", changed, err)
	}
	later := noon.Add(time.Hour)
	changed, err = m.Change(payment.MerchantChange{AlipayPublicKey: p(next().public)}, sealer(t), later)
	if err != nil || !slices.Equal(changed, []string{"alipayPublicKey"}) {
		t.Fatalf("%v %v", changed, err)
	}
	if keys := keysOf(t, m, later).PlatformKeys; len(keys) != 2 || keys[0].PublicKey != next().public || keys[1].PublicKey != theirs().public {
		t.Errorf("%d keys", len(keys))
	}
	if keys := keysOf(t, m, later.Add(payment.KeyOverlap+time.Second)).PlatformKeys; len(keys) != 1 || keys[0].PublicKey != next().public {
		t.Errorf("after the overlap: %d keys", len(keys))
	}
	dropped := m
	changed, err = dropped.Change(payment.MerchantChange{DropOldKeys: true}, sealer(t), later)
	if err != nil || len(changed) != 1 {
		t.Errorf("%v %v", changed, err)
	}
	if keys := keysOf(t, dropped, later).PlatformKeys; len(keys) != 1 {
		t.Errorf("dropped: %d keys", len(keys))
	}
	if _, err := m.Change(payment.MerchantChange{PrivateKey: p(next().private)}, sealer(t), later); !errors.Is(err, evcs.ErrInvalid) {
		t.Errorf("their key as ours: %v", err)
	}
}

func TestWechatKeyRotation(t *testing.T) {
	t.Parallel()
	m := made(t, wechat())
	before := m.Sealed
	both := []payment.PlatformKey{{Serial: "CERT02", PublicKey: next().certificate}, {Serial: "PUB_KEY_ID_01"}}
	changed, err := m.Change(payment.MerchantChange{PlatformKeys: &both}, sealer(t), noon.Add(time.Hour))
	if err != nil || !slices.Equal(changed, []string{"platformKeys/CERT02"}) {
		t.Fatalf("%v %v", changed, err)
	}
	keys := keysOf(t, m, noon).PlatformKeys
	if len(keys) != 2 || keys[0].Serial != "CERT02" || keys[1].PublicKey != theirs().public {
		t.Errorf("%+v", keys)
	}
	if !slices.Equal(m.Hints(), []string{"CERT02", "PUB_KEY_ID_01"}) || !m.CertificateExpires().Equal(noon.AddDate(0, 0, 20)) {
		t.Errorf("%v %s", m.Hints(), m.CertificateExpires())
	}
	one := both[:1]
	changed, err = m.Change(payment.MerchantChange{PlatformKeys: &one}, sealer(t), noon)
	if err != nil || !slices.Equal(changed, []string{"platformKeys/PUB_KEY_ID_01"}) || len(keysOf(t, m, noon).PlatformKeys) != 1 {
		t.Errorf("%v %v", changed, err)
	}
	if m.Sealed == before {
		t.Error("nothing changed")
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	m := made(t, wechat())
	ok := func(secrets payment.Secrets) (all []bool) {
		m.Secrets, _ = json.Marshal(secrets)
		for _, c := range m.Probe(noon) {
			all = append(all, c.OK)
			if c.Message.ZH == "" || c.Message.EN == "" {
				t.Errorf("%s says nothing", c.Name)
			}
		}
		return all
	}
	good := keysOf(t, m, noon)
	if got := ok(good); !slices.Equal(got, []bool{true, true}) {
		t.Errorf("good: %v", got)
	}
	mixed := good
	mixed.PlatformKeys = []payment.PlatformKey{{Serial: "A", PublicKey: ours().public}}
	if got := ok(mixed); !slices.Equal(got, []bool{true, false}) {
		t.Errorf("our own: %v", got)
	}
	short := good
	short.APIV3Key = "x"
	if got := ok(short); !slices.Equal(got, []bool{false, true}) {
		t.Errorf("short key: %v", got)
	}
}
