package payment

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"strings"
	"time"
)

const (
	// leastKeyBits is what both channels sign with at least.
	leastKeyBits = 2048
	mostKeyBits  = 8192
	// maxKeyText bounds a key as text; RSA-8192 as PEM is below 7 KiB.
	maxKeyText = 16 << 10
)

// What is wrong with a key; none quotes it.
var (
	errNotPrivate = errors.New("is no RSA private key: PEM, or the base64 of PKCS#1 or PKCS#8")
	errNotPublic  = errors.New("is no RSA public key: PEM, a certificate, or the base64 of PKIX")
	errKeySize    = errors.New("must be an RSA key of 2048 to 8192 bits")
)

// der is the bytes of a key: of the PEM block, or of the bare base64 that
// channels hand out.
func der(text string) (block string, raw []byte, ok bool) {
	text = strings.TrimSpace(text)
	if len(text) > maxKeyText {
		return "", nil, false
	}
	if p, rest := pem.Decode([]byte(text)); p != nil {
		return p.Type, p.Bytes, len(strings.TrimSpace(string(rest))) == 0
	}
	joined := strings.Join(strings.Fields(text), "")
	raw, err := base64.StdEncoding.DecodeString(joined)
	return "", raw, err == nil && len(raw) > 0
}

// ParsePrivateKey reads an RSA private key of at least 2048 bits. The error
// never quotes it.
func ParsePrivateKey(text string) (*rsa.PrivateKey, error) {
	_, raw, ok := der(text)
	if !ok {
		return nil, errNotPrivate
	}
	key, err := x509.ParsePKCS1PrivateKey(raw)
	if err != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(raw)
		if err != nil {
			return nil, errNotPrivate
		}
		if key, ok = parsed.(*rsa.PrivateKey); !ok {
			return nil, errNotPrivate
		}
	}
	if n := key.N.BitLen(); n < leastKeyBits || n > mostKeyBits {
		return nil, errKeySize
	}
	return key, nil
}

// ParsePublicKey reads an RSA public key of at least 2048 bits, or that of a
// certificate together with the certificate's end; the time is zero for a bare
// key.
func ParsePublicKey(text string) (*rsa.PublicKey, time.Time, error) {
	block, raw, ok := der(text)
	if !ok {
		return nil, time.Time{}, errNotPublic
	}
	var parsed any
	var end time.Time
	var err error
	switch block {
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(raw); err == nil {
			parsed, end = c.PublicKey, c.NotAfter.UTC()
		}
	case "RSA PUBLIC KEY":
		parsed, err = x509.ParsePKCS1PublicKey(raw)
	default:
		parsed, err = x509.ParsePKIXPublicKey(raw)
	}
	key, ok := parsed.(*rsa.PublicKey)
	if err != nil || !ok {
		return nil, time.Time{}, errNotPublic
	}
	if n := key.N.BitLen(); n < leastKeyBits || n > mostKeyBits {
		return nil, time.Time{}, errKeySize
	}
	return key, end, nil
}

// printKey is the fingerprint of a public key: the beginning of the SHA-256 of
// its PKIX form, the same however it was written.
func printKey(key *rsa.PublicKey) string {
	raw, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return ""
	}
	return printOf(raw)
}

// printOf tells secrets apart without showing them.
func printOf(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:8])
}
