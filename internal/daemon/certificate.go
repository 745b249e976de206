package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"
)

// Certificate is one that the daemon uses, for whoever watches their expiry.
type Certificate struct {
	Purpose string // "listener" or "device authority"
	File    string
	Subject string
	Until   time.Time
}

// Certificates lists the certificates in use, as the files are now: those that
// the listeners show (the whole chain) and the authorities of the chargers'.
func (d *Daemon) Certificates() []Certificate {
	var list []Certificate
	add := func(purpose, file string, chain []*x509.Certificate) {
		for _, c := range chain {
			list = append(list, Certificate{purpose, file, c.Subject.String(), c.NotAfter.UTC()})
		}
	}
	if d.pair != nil {
		add("listener", d.pair.files[0], d.pair.present().chain)
	}
	if d.authorities != nil {
		add("device authority", d.authorities.files[0], d.authorities.present().chain)
	}
	return list
}

// material is what was read of certificate files.
type material struct {
	own   tls.Certificate
	pool  *x509.CertPool
	chain []*x509.Certificate
}

// reloaded is certificate files that may change while the daemon runs: they are
// looked at with every handshake, which costs far more than the look. Files
// that cannot be used, perhaps because they are being written, leave what was
// read before in use.
type reloaded struct {
	files []string
	read  func(files []string) (*material, error)
	log   *slog.Logger

	mu    sync.Mutex
	stamp string    // guarded by mu: of the files when they were last tried
	last  *material // guarded by mu
}

func reload(log *slog.Logger, read func([]string) (*material, error), files ...string) (*reloaded, error) {
	r := &reloaded{files: files, read: read, log: log}
	stamp, err := r.look()
	if err != nil {
		return nil, err
	}
	if r.last, err = read(files); err != nil {
		return nil, err
	}
	r.stamp = stamp
	return r, nil
}

// look is different for files of another time or size.
func (r *reloaded) look() (string, error) {
	stamp := ""
	for _, file := range r.files {
		info, err := os.Stat(file)
		if err != nil {
			return "", err
		}
		stamp += fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size(), " ")
	}
	return stamp, nil
}

// present is what the files hold now, or last held.
func (r *reloaded) present() *material {
	r.mu.Lock()
	defer r.mu.Unlock()
	stamp, err := r.look()
	if err == nil && stamp == r.stamp {
		return r.last
	}
	var made *material
	if err == nil {
		made, err = r.read(r.files)
	}
	if stamp == r.stamp {
		return r.last // told before
	}
	r.stamp = stamp
	if err != nil {
		r.log.Error("a changed certificate cannot be used, the one before stays", slog.String("file", r.files[0]), slog.Any("error", err))
		return r.last
	}
	r.last = made
	r.log.Info("a certificate was read again", slog.String("file", r.files[0]), slog.Time("until", made.chain[0].NotAfter.UTC()))
	return r.last
}

// readPair reads a certificate with its chain, and the key to it.
func readPair(files []string) (*material, error) {
	own, err := tls.LoadX509KeyPair(files[0], files[1])
	if err != nil {
		return nil, fmt.Errorf("read the certificate (server.tls): %w", err)
	}
	m := &material{own: own}
	for _, der := range own.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("read the certificate (server.tls.cert): %w", err)
		}
		m.chain = append(m.chain, c)
	}
	return m, nil
}

var errNoAuthority = errors.New("it holds no certificate")

// readAuthorities reads the certificates of one file.
func readAuthorities(files []string) (*material, error) {
	text, err := os.ReadFile(files[0])
	if err != nil {
		return nil, fmt.Errorf("read the authorities (server.tls.deviceCa): %w", err)
	}
	m := &material{pool: x509.NewCertPool()}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read the authorities (server.tls.deviceCa): %w", err)
		}
		m.pool.AddCert(c)
		m.chain = append(m.chain, c)
	}
	if len(m.chain) == 0 {
		return nil, fmt.Errorf("read the authorities (server.tls.deviceCa): %w", errNoAuthority)
	}
	return m, nil
}

// readCertificates reads the files that the settings name.
func (d *Daemon) readCertificates() error {
	s := d.opt.Config.Server.TLS
	var err error
	if s.Cert != "" {
		if d.pair, err = reload(d.opt.Log, readPair, s.Cert, s.Key); err != nil {
			return err
		}
	}
	if s.DeviceCA != "" {
		d.authorities, err = reload(d.opt.Log, readAuthorities, s.DeviceCA)
	}
	return err
}

// deviceAuthorities are the authorities of chargers' certificates; nil: none.
func (d *Daemon) deviceAuthorities() *x509.CertPool {
	if d.authorities == nil {
		return nil
	}
	return d.authorities.present().pool
}

// restTLS is the TLS of the REST listener; nil: none.
func (d *Daemon) restTLS() *tls.Config {
	if d.pair == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &d.pair.present().own, nil },
	}
}

// deviceTLS is the TLS of a device listener; nil: none. Chargers are asked for
// a certificate and need not show one: what it proves is the gate's to judge.
func (d *Daemon) deviceTLS() *tls.Config {
	c := d.restTLS()
	if c == nil {
		return nil
	}
	c.ClientAuth = tls.RequestClientCert
	// The OCPP security whitepaper demands the last two, which Go leaves out; there
	// are chargers that have no other.
	c.CipherSuites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
	}
	return c
}

// deviceListeners serve chargers. A listener for TLS of its own leaves the
// ordinary one to chargers that know no TLS.
func (d *Daemon) deviceListeners(h http.Handler) []part {
	const patience = 10 * time.Second
	if d.secure == nil {
		return []part{{"device listener", d.serveHTTP(d.device, h, d.deviceTLS(), patience)}}
	}
	return []part{
		{"device listener", d.serveHTTP(d.device, h, nil, patience)},
		{"device listener over TLS", d.serveHTTP(d.secure, h, d.deviceTLS(), patience)},
	}
}
