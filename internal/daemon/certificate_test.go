package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/config"
)

// selfSigned writes a certificate that ends at a moment, and its key.
func selfSigned(t *testing.T, dir, name string, until time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(until.Unix()), Subject: pkix.Name{CommonName: name}, NotBefore: until.Add(-time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}))
	write(t, filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func write(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Whoever watches certificates sees those in use now, and what replaced them.
func TestCertificatesInUse(t *testing.T) {
	t.Parallel()
	dir, until := t.TempDir(), time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	selfSigned(t, dir, "one", until)
	d := &Daemon{opt: Options{Log: slog.New(slog.DiscardHandler), Config: config.Config{Server: config.Server{TLS: config.TLS{
		Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), DeviceCA: filepath.Join(dir, "cert.pem"),
	}}}}}
	if err := d.readCertificates(); err != nil {
		t.Fatal(err)
	}
	list := d.Certificates()
	if len(list) != 2 || list[0].Purpose != "listener" || list[1].Purpose != "device authority" || list[0].Subject != "CN=one" || !list[0].Until.Equal(until) {
		t.Errorf("%+v", list)
	}
	selfSigned(t, dir, "another", until.Add(time.Hour))
	if list := d.Certificates(); list[0].Subject != "CN=another" || list[1].Subject != "CN=another" || !list[1].Until.Equal(until.Add(time.Hour)) {
		t.Errorf("after the change: %+v", list)
	}
}

func TestCertificatesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	selfSigned(t, dir, "one", time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	cert, key, rubbish := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "rubbish")
	write(t, rubbish, []byte("rubbish"))
	for want, s := range map[string]config.TLS{
		"server.tls":          {Cert: rubbish, Key: key},
		"no such file":        {Cert: filepath.Join(dir, "nothing"), Key: key},
		"server.tls.deviceCa": {Cert: cert, Key: key, DeviceCA: rubbish},
	} {
		d := &Daemon{opt: Options{Log: slog.New(slog.DiscardHandler), Config: config.Config{Server: config.Server{TLS: s}}}}
		if err := d.readCertificates(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", s, err, want)
		}
	}
}
