package evcstest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
)

// authority issues certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	own := a.issue(name, time.Now(), 24*time.Hour)
	a.cert, a.key, a.pem = own.Leaf, own.PrivateKey.(*ecdsa.PrivateKey), encode("CERTIFICATE", own.Leaf.Raw)
	return a
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// issue makes a certificate; the first one of an authority is its own.
func (a *authority) issue(name string, from time.Time, life time.Duration) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	number, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: number, Subject: pkix.Name{CommonName: name}, NotBefore: from.Add(-time.Hour), NotAfter: from.Add(life),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: a.cert == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// write stores a certificate and its key, as an administrator would.
func (a *authority) write(dir string, c tls.Certificate) (certFile, keyFile string) {
	a.t.Helper()
	der, err := x509.MarshalECPrivateKey(c.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		a.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	a.file(keyFile, encode("EC PRIVATE KEY", der))
	a.file(certFile, encode("CERTIFICATE", c.Certificate[0]))
	return certFile, keyFile
}

func (a *authority) file(name string, content []byte) {
	a.t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func pinOf(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return hex.EncodeToString(sum[:])
}

// secured is a daemon with TLS on a listener of its own and an authority for
// chargers.
func secured(t *testing.T) (*evcstest.Daemon, *authority) {
	t.Helper()
	a, dir := newAuthority(t, "Test CA"), t.TempDir()
	certFile, keyFile := a.write(dir, a.issue("evcsd-1", time.Now(), time.Hour))
	a.file(filepath.Join(dir, "devices.pem"), a.pem)
	return evcstest.Start(t, evcstest.WithConfig(func(c *config.Config) {
		c.Server.TLS = config.TLS{Cert: certFile, Key: keyFile, Device: "127.0.0.1:0", DeviceCA: filepath.Join(dir, "devices.pem")}
	})), a
}

// knock tries a handshake and returns the status; 101 when it was let in.
func (y *yard) knock(t *testing.T, base, password string, certificates ...tls.Certificate) int {
	t.Helper()
	h := http.Header{}
	if password != "" {
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(y.device+":"+password)))
	}
	dialer := websocket.Dialer{
		Subprotocols: []string{"ocpp1.6"}, HandshakeTimeout: 5 * time.Second,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: certificates},
	}
	conn, answer, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(base, "http")+"/ocpp/"+y.device, h)
	if answer == nil {
		t.Fatalf("%s: %v", base, err)
	}
	if err == nil {
		conn.Close()
	} else if !errors.Is(err, websocket.ErrBadHandshake) {
		t.Fatal(err)
	}
	return answer.StatusCode
}

func (y *yard) prove(t *testing.T, how map[string]any) {
	t.Helper()
	y.by.OK(t, http.MethodPut, evcstest.Path("/api/charger/%d/credential", y.ChargerID), how)
}

// hint is the newest hint of the list of refused devices.
func (y *yard) hint(t *testing.T) string {
	t.Helper()
	var page struct {
		Records []struct{ Reason, Hint string }
	}
	y.by.OK(t, http.MethodGet, "/api/protocol/rejection?deviceId="+y.device, nil).Into(t, &page)
	if len(page.Records) == 0 {
		return ""
	}
	return page.Records[0].Reason + " " + page.Records[0].Hint
}

// TestSecurityProfiles walks the four profiles of OCPP: what each lets in, what
// it keeps out, and what the installer is told.
func TestSecurityProfiles(t *testing.T) {
	t.Parallel()
	d, ca := secured(t)
	y := build(t, d, d.Admin(), "SEC-1")
	stranger := newAuthority(t, "Test CA") // of the same name, with another key
	own := ca.issue("SEC-1", time.Now(), time.Hour)
	forged, neighbour := stranger.issue("SEC-1", time.Now(), time.Hour), ca.issue("SEC-2", time.Now(), time.Hour)
	expired := ca.issue("SEC-1", time.Now().Add(-48*time.Hour), time.Hour)
	for _, c := range []struct {
		name     string
		profile  map[string]any
		base     string
		password string
		shown    []tls.Certificate
		status   int
		hint     string
	}{
		{"1: secret", map[string]any{"securityProfile": 1}, d.DeviceURL, y.secret, nil, 101, ""},
		{"1: secret over TLS", nil, d.SecureURL, y.secret, nil, 101, ""},
		{"1: no secret", nil, d.DeviceURL, "", nil, 401, "no password"},
		{"1: a certificate is no secret", nil, d.SecureURL, "", []tls.Certificate{own}, 401, "no password"},
		{"2: secret without TLS", map[string]any{"securityProfile": 2}, d.DeviceURL, y.secret, nil, 401, "wss://"},
		{"2: secret over TLS", nil, d.SecureURL, y.secret, nil, 101, ""},
		{"2: wrong secret over TLS", nil, d.SecureURL, "x", nil, 401, "not the charger's secret"},
		{"3: secret over TLS, no certificate", map[string]any{"securityProfile": 3}, d.SecureURL, y.secret, nil, 401, "showed none"},
		{"3: no TLS", nil, d.DeviceURL, y.secret, nil, 401, "wss://"},
		{"3: own name, known authority", nil, d.SecureURL, "", []tls.Certificate{own}, 101, ""},
		{"3: own name, unknown authority", nil, d.SecureURL, "", []tls.Certificate{forged}, 401, "not the stored one"},
		{"3: another's certificate", nil, d.SecureURL, "", []tls.Certificate{neighbour}, 401, "CN SEC-2"},
		{"3: expired", nil, d.SecureURL, "", []tls.Certificate{expired}, 401, "until " + expired.Leaf.NotAfter.UTC().Format(time.DateOnly)},
		{"3: pinned, whoever issued it", map[string]any{"clientCertFingerprint": strings.ToUpper(pinOf(forged))}, d.SecureURL, "", []tls.Certificate{forged}, 101, ""},
		{"3: pinned, another is shown", nil, d.SecureURL, "", []tls.Certificate{own}, 401, pinOf(own)},
		{"0: none, address allowed", map[string]any{"securityProfile": 0, "allowCidr": []string{"127.0.0.0/8"}}, d.DeviceURL, "", nil, 101, ""},
		{"0: none, address not allowed", map[string]any{"allowCidr": []string{"192.0.2.0/24"}}, d.DeviceURL, "", nil, 401, "allowCidr"},
	} {
		if c.profile != nil {
			y.prove(t, c.profile)
		}
		if got := y.knock(t, c.base, c.password, c.shown...); got != c.status {
			t.Errorf("%s: %d, want %d", c.name, got, c.status)
		}
		if c.hint != "" && !strings.Contains(y.hint(t), c.hint) {
			t.Errorf("%s: told %q, want %q", c.name, y.hint(t), c.hint)
		}
		d.Clock.Advance(time.Second) // the newest refusal is the last one
	}
}

func TestProfilesThatCannotBeSet(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	y := build(t, d, d.Admin(), "SEC-1")
	for _, how := range []map[string]any{
		{"securityProfile": 0},
		{"securityProfile": 4},
		{"clientCertFingerprint": "ab:cd"},
		{"clientCertFingerprint": strings.Repeat("xy", 32)},
		{"allowCidr": []string{"10.0.0.0/33"}},
	} {
		refused(t, y.by.Call(t, http.MethodPut, evcstest.Path("/api/charger/%d/credential", y.ChargerID), how), http.StatusBadRequest, evcs.CodeValidationFailed, nil)
	}
	var now struct{ SecurityProfile int }
	y.by.OK(t, http.MethodGet, evcstest.Path("/api/charger/%d/credential", y.ChargerID), nil).Into(t, &now)
	if now.SecurityProfile != 1 {
		t.Errorf("%+v", now)
	}
}

// TestCertificatesAreReadAgain replaces the files under a running daemon, with
// rubbish first.
func TestCertificatesAreReadAgain(t *testing.T) {
	t.Parallel()
	d, ca := secured(t)
	shown := func(base string) string {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(base, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	both := func(want string) {
		t.Helper()
		for _, base := range []string{d.URL, d.SecureURL} {
			if got := shown(base); got != want {
				t.Errorf("%s shows %s, want %s", base, got, want)
			}
		}
	}
	both("evcsd-1")
	ca.file(d.Config.Server.TLS.Cert, []byte("half a certif"))
	both("evcsd-1")
	ca.write(filepath.Dir(d.Config.Server.TLS.Cert), ca.issue("evcsd-2", time.Now(), time.Hour))
	both("evcsd-2")
	y := build(t, d, d.Admin(), "SEC-1")
	y.prove(t, map[string]any{"securityProfile": 3})
	next := newAuthority(t, "Next CA")
	if got := y.knock(t, d.SecureURL, "", next.issue("SEC-1", time.Now(), time.Hour)); got != 401 {
		t.Errorf("an authority that is not known yet: %d", got)
	}
	ca.file(d.Config.Server.TLS.DeviceCA, append(next.pem, ca.pem...))
	for _, by := range []*authority{next, ca} {
		if got := y.knock(t, d.SecureURL, "", by.issue("SEC-1", time.Now(), time.Hour)); got != 101 {
			t.Errorf("a known authority: %d", got)
		}
	}
}
