package paygate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5" // as Alipay numbers its certificates
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"
)

// authority is what Alipay's certificates come from here, in the manner of the
// real ones: a root among roots of other kinds, and an issuer without basic
// constraints that gives certificates to applications too.
type authority struct {
	root, issuer      *rsa.PrivateKey
	rootDER, otherDER []byte // the second is of a kind that is not counted
	issuerDER         []byte
	appDER            []byte // our merchant's application
	first             *certified
}

// certified is a certificate that Alipay signs with.
type certified struct {
	key *rsa.PrivateKey
	sn  string
	// handed is the file that is handed out for its number; nil: none is.
	handed []byte
}

const (
	authorityUnit = "Certification Authority"
	alipayUnit    = "Alipay"
	rootName      = "Paygate Certification Authority R1"
	issuerName    = "Paygate Certification Authority Class 2 R1"
	organization  = "Paygate"
)

func name(unit, common string) pkix.Name {
	return pkix.Name{Country: []string{"CN"}, Organization: []string{organization}, OrganizationalUnit: []string{unit}, CommonName: common}
}

// snOf is Alipay's number of a certificate: the issuer's name as RFC 2253 has it,
// and the serial in decimal.
func snOf(unit, issuer string, serial *big.Int) string {
	sum := md5.Sum([]byte("CN=" + issuer + ",OU=" + unit + ",O=" + organization + ",C=CN" + serial.String()))
	return hex.EncodeToString(sum[:])
}

func pemOf(certificates ...[]byte) []byte {
	var text []byte
	for _, raw := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})...)
	}
	return text
}

// unsigned is a certificate that is not signed yet.
func unsigned(subject pkix.Name, from, until time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a serial: %w", err)
	}
	return &x509.Certificate{SerialNumber: serial, Subject: subject, NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature}, nil
}

// issue makes a certificate under a name and key; a nil parent signs itself.
func issue(t, parent *x509.Certificate, public any, by any) ([]byte, error) {
	if parent == nil {
		parent = t
	}
	raw, err := x509.CreateCertificate(rand.Reader, t, parent, public, by)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return raw, nil
}

// newAuthority makes roots, issuer and the first certificates.
func newAuthority(k *Keys, now time.Time) (*authority, error) {
	a := &authority{first: new(certified)}
	for _, place := range []**rsa.PrivateKey{&a.root, &a.issuer, &a.first.key} {
		made, err := rsa.GenerateKey(rand.Reader, keyBits)
		if err != nil {
			return nil, fmt.Errorf("make a key: %w", err)
		}
		*place = made
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	from := now.Add(-time.Hour)
	steps := []func() error{
		func() (err error) { a.rootDER, err = selfSigned(rootName, &a.root.PublicKey, a.root, from); return err },
		func() (err error) {
			a.otherDER, err = selfSigned("Paygate Certification Authority E1", &other.PublicKey, other, from)
			return err
		},
		func() (err error) {
			a.issuerDER, err = a.under(a.rootDER, a.root, name(authorityUnit, issuerName), &a.issuer.PublicKey, from, from.AddDate(10, 0, 0))
			return err
		},
		func() (err error) {
			a.appDER, err = a.under(a.issuerDER, a.issuer, name(alipayUnit, k.SellerID+"-"+k.AppID), &k.aliMerchant.PublicKey, from, from.AddDate(2, 0, 0))
			return err
		},
		func() (err error) {
			a.first, err = a.certify(k, a.first.key, from, from.AddDate(2, 0, 0))
			return err
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func selfSigned(common string, public, by any, from time.Time) ([]byte, error) {
	t, err := unsigned(name(authorityUnit, common), from, from.AddDate(20, 0, 0))
	if err != nil {
		return nil, err
	}
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	return issue(t, nil, public, by)
}

// under makes a certificate that parent signs.
func (*authority) under(parent []byte, by *rsa.PrivateKey, subject pkix.Name, public *rsa.PublicKey, from, until time.Time) ([]byte, error) {
	t, err := unsigned(subject, from, until)
	if err != nil {
		return nil, err
	}
	p, err := x509.ParseCertificate(parent)
	if err != nil {
		return nil, fmt.Errorf("read a certificate: %w", err)
	}
	return issue(t, p, public, by)
}

// alipayName is under what Alipay has its certificate for a merchant.
func (k *Keys) alipayName() pkix.Name {
	return name(alipayUnit, "支付宝(中国)网络技术有限公司-"+k.SellerID)
}

// certify gives Alipay a certificate of the issuer.
func (a *authority) certify(k *Keys, key *rsa.PrivateKey, from, until time.Time) (*certified, error) {
	raw, err := a.under(a.issuerDER, a.issuer, k.alipayName(), &key.PublicKey, from, until)
	if err != nil {
		return nil, err
	}
	return handedOut(raw, key, issuerName, a.issuerDER)
}

// handedOut is a certificate that is handed out with what it was issued by.
func handedOut(raw []byte, key *rsa.PrivateKey, issuer string, with ...[]byte) (*certified, error) {
	c, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, fmt.Errorf("read a certificate: %w", err)
	}
	unit := authorityUnit
	if issuer != issuerName && issuer != rootName {
		unit = alipayUnit
	}
	return &certified{key, snOf(unit, issuer, c.SerialNumber), pemOf(append([][]byte{raw}, with...)...)}, nil
}

func (a *authority) rootSN() (string, error) {
	c, err := x509.ParseCertificate(a.rootDER)
	if err != nil {
		return "", fmt.Errorf("read a certificate: %w", err)
	}
	return snOf(authorityUnit, rootName, c.SerialNumber), nil
}

func (a *authority) appSN() (string, error) {
	c, err := x509.ParseCertificate(a.appDER)
	if err != nil {
		return "", fmt.Errorf("read a certificate: %w", err)
	}
	return snOf(authorityUnit, issuerName, c.SerialNumber), nil
}

// The certificates that Alipay can go over to.
const (
	CertificateNew = "new" // a good one
	// CertificateForeign comes from a root of the same name that is another one.
	CertificateForeign = "foreign"
	// CertificateExpired has ended.
	CertificateExpired = "expired"
	// CertificateApplication is the certificate of somebody's application.
	CertificateApplication = "application"
	// CertificatePretended is issued by somebody's application.
	CertificatePretended = "pretended"
	// CertificateSwapped is handed out as another one.
	CertificateSwapped = "swapped"
	// CertificateHidden is not handed out.
	CertificateHidden = "hidden"
)

// CertificateKinds lists them.
func CertificateKinds() []string {
	return []string{
		CertificateNew, CertificateForeign, CertificateExpired, CertificateApplication, CertificatePretended, CertificateSwapped, CertificateHidden,
	}
}

// ErrCertificate says that there is no such kind of certificate.
var ErrCertificate = errors.New("the kind of certificate is not known")

const maxCertificates = 100

// Certify has Alipay sign with another certificate from now on, for accounts in
// certificate mode. It returns the certificate's number and its file.
func (g *Gateway) Certify(kind string) (sn string, file []byte, err error) {
	if !slices.Contains(CertificateKinds(), kind) {
		return "", nil, ErrCertificate
	}
	key := g.cfg.Keys.foreign
	if kind == CertificateNew {
		if key, err = rsa.GenerateKey(rand.Reader, keyBits); err != nil {
			return "", nil, fmt.Errorf("make a key: %w", err)
		}
	}
	made, err := g.cfg.Keys.certifyAs(kind, key, g.cfg.Wall())
	if err != nil {
		return "", nil, err
	}
	file = slices.Clone(made.handed)
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.certificates) >= maxCertificates {
		return "", nil, ErrCertificate
	}
	switch kind {
	case CertificateSwapped:
		made.handed = g.certificate.handed
	case CertificateHidden:
		made.handed = nil
	}
	g.certificates[made.sn], g.certificate = made, made
	g.cfg.Tell("Alipay signs with the certificate " + made.sn)
	return made.sn, file, nil
}

func (k *Keys) certifyAs(kind string, key *rsa.PrivateKey, now time.Time) (*certified, error) {
	a := k.authority
	from, until := now.Add(-time.Hour), now.AddDate(1, 0, 0)
	switch kind {
	case CertificateForeign:
		fake := &authority{issuer: k.foreign}
		root, err := selfSigned(rootName, &k.foreign.PublicKey, k.foreign, from)
		if err != nil {
			return nil, err
		}
		if fake.issuerDER, err = fake.under(root, k.foreign, name(authorityUnit, issuerName), &k.foreign.PublicKey, from, until); err != nil {
			return nil, err
		}
		made, err := fake.certify(k, key, from, until)
		if err == nil {
			made.handed = append(made.handed, pemOf(root)...)
		}
		return made, err
	case CertificateExpired:
		return a.certify(k, key, now.AddDate(-1, 0, 0), now.Add(-time.Minute))
	case CertificateApplication:
		raw, err := a.under(a.issuerDER, a.issuer, name(alipayUnit, "2088000000000009-2021000000000009"), &key.PublicKey, from, until)
		if err != nil {
			return nil, err
		}
		return handedOut(raw, key, issuerName, a.issuerDER)
	case CertificatePretended:
		const application = "2088000000000009-2021000000000009"
		app, err := a.under(a.issuerDER, a.issuer, name(alipayUnit, application), &key.PublicKey, from, until)
		if err != nil {
			return nil, err
		}
		raw, err := a.under(app, key, k.alipayName(), &key.PublicKey, from, until)
		if err != nil {
			return nil, err
		}
		return handedOut(raw, key, application, app, a.issuerDER)
	}
	return a.certify(k, key, from, until)
}

// certificateFault is what is wrong with the certificates that a call names. A
// call that names none is of an application in the mode of the public key.
func (g *Gateway) certificateFault(f map[string]string) said {
	app, root := f["app_cert_sn"], f["alipay_root_cert_sn"]
	switch {
	case app == "" && root == "":
		return nil
	case app == "":
		return invalid("isv.missing-app-cert-sn", "缺少应用公钥证书序列号")
	case root == "":
		return invalid("isv.missing-alipay-root-cert-sn", "缺少支付宝根证书序列号")
	}
	ours, err := g.cfg.Keys.authority.appSN()
	if err != nil || app != ours {
		return invalid("isv.app-cert-not-exist", "应用公钥证书不存在")
	}
	if ours, err = g.cfg.Keys.authority.rootSN(); err != nil || root != ours {
		return invalid("isv.invalid-alipay-root-cert-sn", "支付宝根证书序列号无效")
	}
	return nil
}

// aliCertificate hands out a certificate by its number.
func (g *Gateway) aliCertificate(b biz) said {
	c := g.certificates[b.AlipayCertSN]
	if c == nil || c.handed == nil {
		return no("isv.alipay-cert-not-exist", "支付宝公钥证书不存在")
	}
	a := ok()
	a["alipay_cert_content"] = base64.StdEncoding.EncodeToString(c.handed)
	return a
}

// Certificates are the files of the certificate mode as Alipay's console names
// them, of the merchant and of the certificate that Alipay began with.
func (k *Keys) Certificates() map[string][]byte {
	a := k.authority
	return map[string][]byte{
		"appCertPublicKey.crt": pemOf(a.appDER), "alipayCertPublicKey_RSA2.crt": a.first.handed, "alipayRootCert.crt": pemOf(a.otherDER, a.rootDER),
	}
}

// CertifiedMerchant is Merchant of Alipay for an account in certificate mode.
func (k *Keys) CertifiedMerchant() ([]byte, error) {
	text, err := k.Merchant(Alipay)
	if err != nil {
		return nil, err
	}
	var account map[string]any
	if err := json.Unmarshal(text, &account); err != nil {
		return nil, fmt.Errorf("read an account: %w", err)
	}
	files := k.Certificates()
	delete(account, "alipayPublicKey")
	account["name"], account["appCertificate"] = "Local gateway Alipay, certificates", string(files["appCertPublicKey.crt"])
	account["alipayRootCertificate"] = string(files["alipayRootCert.crt"])
	account["alipayCertificates"] = []string{string(files["alipayCertPublicKey_RSA2.crt"])}
	return json.MarshalIndent(account, "", "  ")
}

// authorityFile is the form in which an authority is kept.
type authorityFile struct {
	Private map[string][]byte `json:"private"`
	Root    []byte            `json:"root"`
	Other   []byte            `json:"other"`
	Issuer  []byte            `json:"issuer"`
	App     []byte            `json:"app"`
	SN      string            `json:"sn"`
	Handed  []byte            `json:"handed"`
}

func (a *authority) private() []named {
	return []named{{"root", &a.root}, {"issuer", &a.issuer}, {"first", &a.first.key}}
}

func (a *authority) file() *authorityFile {
	f := &authorityFile{Private: make(map[string][]byte), Root: a.rootDER, Other: a.otherDER, Issuer: a.issuerDER, App: a.appDER, SN: a.first.sn, Handed: a.first.handed}
	for _, p := range a.private() {
		f.Private[p.name] = x509.MarshalPKCS1PrivateKey(*p.key)
	}
	return f
}

func (f *authorityFile) read() (*authority, error) {
	a := &authority{rootDER: f.Root, otherDER: f.Other, issuerDER: f.Issuer, appDER: f.App, first: &certified{sn: f.SN, handed: f.Handed}}
	for _, p := range a.private() {
		key, err := x509.ParsePKCS1PrivateKey(f.Private[p.name])
		if err != nil {
			return nil, errors.New("the gateway's keys cannot be read: " + p.name + " of the certificates is missing")
		}
		*p.key = key
	}
	return a, nil
}
