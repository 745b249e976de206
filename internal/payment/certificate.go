package payment

import (
	"crypto/md5" // Alipay's serial numbers are made with it; nothing is proved by it
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"
)

const (
	// maxCertificateText bounds a file of certificates; that of Alipay's roots has 5 KiB.
	maxCertificateText = 16 << 10
	// maxChain bounds the certificates between one of Alipay and its root.
	maxChain = 4
)

// What is wrong with a certificate.
var (
	errNotCertificate = errors.New("is no X.509 certificate in PEM")
	errNotRoot        = errors.New("holds no root certificate with an RSA key")
	errTooLong        = errors.New("must be at most 16384 bytes")
	errChain          = errors.New("is not from alipayRootCertificate")
	errEnded          = errors.New("is a certificate that has ended")
	errEarly          = errors.New("is a certificate that is not valid yet")
	errOtherSubject   = errors.New("is not Alipay's certificate for this merchant")
	errOtherSerial    = errors.New("is a certificate of another serial number")
)

// Certificate is one of Alipay's or of an application: the first of its file.
// What else the file holds helps to prove it.
type Certificate struct {
	SN          string // as Alipay counts: MD5 of issuer and serial
	Text        string // all of its file, in plain PEM
	Key         *rsa.PublicKey
	From, Until time.Time
	leaf        *x509.Certificate
	with        []*x509.Certificate
}

// ParseCertificate reads a file of certificates whose first has an RSA key of
// 2048 to 8192 bits.
func ParseCertificate(text string) (Certificate, error) {
	list, err := certificates(text)
	if err != nil {
		return Certificate{}, err
	}
	if len(list) == 0 || list[0] == nil {
		return Certificate{}, errNotCertificate
	}
	key, ok := list[0].PublicKey.(*rsa.PublicKey)
	if !ok {
		return Certificate{}, errKeySize
	}
	if n := key.N.BitLen(); n < leastKeyBits || n > mostKeyBits {
		return Certificate{}, errKeySize
	}
	c := Certificate{SN: serialOf(list[0]), Key: key, From: list[0].NotBefore.UTC(), Until: list[0].NotAfter.UTC(), leaf: list[0]}
	c.Text = plain(list[0])
	for _, other := range list[1:] {
		if other != nil {
			c.with = append(c.with, other)
			c.Text += plain(other)
		}
	}
	return c, nil
}

// certificates are those of a PEM file in their order; nil for one of a kind
// that cannot be read, such as SM2.
func certificates(text string) ([]*x509.Certificate, error) {
	if len(text) > maxCertificateText {
		return nil, errTooLong
	}
	var list []*x509.Certificate
	rest := []byte(strings.TrimSpace(text))
	for len(rest) > 0 {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errNotCertificate
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			c = nil
		}
		list = append(list, c)
		rest = []byte(strings.TrimSpace(string(after)))
	}
	return list, nil
}

// plain is a certificate in PEM, without what may stand around it in a file.
func plain(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// Valid reports whether now is within the certificate's time.
func (c *Certificate) Valid(now time.Time) bool { return within(c.leaf, now) == nil }

// within says what is wrong with the time of a certificate.
func within(c *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(c.NotBefore):
		return errEarly
	case now.After(c.NotAfter):
		return errEnded
	}
	return nil
}

// serialOf is the number by which Alipay names a certificate.
func serialOf(c *x509.Certificate) string {
	sum := md5.Sum([]byte(c.Issuer.String() + c.SerialNumber.String()))
	return hex.EncodeToString(sum[:])
}

// Roots are the certificates that all of Alipay's come from.
type Roots struct {
	// SN is what a call names them by: those with an RSA signature, joined.
	SN    string
	Text  string    // those that prove something, in plain PEM
	Until time.Time // of the one that ends last
	list  []*x509.Certificate
}

// ParseRoots reads alipayRootCert.crt. Certificates of other kinds than RSA may
// be in it and prove nothing.
func ParseRoots(text string) (Roots, error) {
	list, err := certificates(text)
	if err != nil {
		return Roots{}, err
	}
	var r Roots
	var names []string
	for _, c := range list {
		if c == nil || !c.IsCA || c.SignatureAlgorithm != x509.SHA256WithRSA && c.SignatureAlgorithm != x509.SHA1WithRSA {
			continue
		}
		if _, ok := c.PublicKey.(*rsa.PublicKey); !ok {
			continue
		}
		names = append(names, serialOf(c))
		r.list = append(r.list, c)
		r.Text += plain(c)
		if c.NotAfter.After(r.Until) {
			r.Until = c.NotAfter.UTC()
		}
	}
	if len(r.list) == 0 {
		return r, errNotRoot
	}
	r.SN = strings.Join(names, "_")
	return r, nil
}

// Prove checks that the certificate is valid now and was issued under one of the
// roots, by itself or through what its file and more hold.
//
// Alipay's intermediate certificates carry no basic constraints, so that
// x509.Verify refuses all of them, and applications get certificates under the
// very same ones. Here an issuer is a certification authority by its basic
// constraints, or, without any, by standing in the organisational unit of its
// own issuer, which applications never do.
func (r Roots) Prove(c *Certificate, more []Certificate, now time.Time) error {
	if err := within(c.leaf, now); err != nil {
		return err
	}
	if c.leaf.IsCA {
		return errChain
	}
	between := slices.Clone(c.with)
	for i := range more {
		between = append(between, more[i].with...)
	}
	if !r.reaches(c.leaf, between, now, maxChain) {
		return errChain
	}
	return nil
}

// reaches reports whether c comes from a root, through at most deep others.
func (r Roots) reaches(c *x509.Certificate, between []*x509.Certificate, now time.Time, deep int) bool {
	for _, root := range r.list {
		if within(root, now) == nil && issued(root, c) {
			return true
		}
	}
	if deep == 0 {
		return false
	}
	for i, issuer := range between {
		if within(issuer, now) != nil || !issued(issuer, c) {
			continue
		}
		others := slices.Delete(slices.Clone(between), i, i+1)
		if authority(issuer) && r.reaches(issuer, others, now, deep-1) {
			return true
		}
	}
	return false
}

// issued reports whether issuer names and signed c.
func issued(issuer, c *x509.Certificate) bool {
	return string(issuer.RawSubject) == string(c.RawIssuer) && issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// authority reports whether c, which is no root, may issue certificates.
func authority(c *x509.Certificate) bool {
	if c.BasicConstraintsValid {
		return c.IsCA
	}
	unit := c.Issuer.OrganizationalUnit
	return len(unit) == 1 && unit[0] != "" && slices.Equal(unit, c.Subject.OrganizationalUnit)
}

// ReadLearned reads a certificate that Alipay handed out for a serial number and
// checks it as one of Alipay: its number, its chain, and that it is for whom the
// trusted ones are for. Whoever has an application has a certificate of the same
// root, but under another name.
func (r Roots) ReadLearned(text, sn string, trusted []Certificate, now time.Time) (Certificate, error) {
	c, err := ParseCertificate(text)
	if err != nil {
		return c, err
	}
	if c.SN != sn {
		return c, errOtherSerial
	}
	named := func(t Certificate) bool { return t.leaf.Subject.CommonName == c.leaf.Subject.CommonName }
	if c.leaf.Subject.CommonName == "" || !slices.ContainsFunc(trusted, named) {
		return c, errOtherSubject
	}
	return c, r.Prove(&c, trusted, now)
}
