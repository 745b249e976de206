package daemon

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// hand is a clock that a test sets.
type hand struct{ at time.Time }

func (h *hand) Now() time.Time { return h.at }

// installation is a daemon of which only what alert rules read exists.
type installation struct {
	t     *testing.T
	db    *store.DB
	clock *hand
	watch *alarm.Watch

	broken error // what the device listener answers
}

func installed(t *testing.T, d *Daemon, p *parts) *installation {
	t.Helper()
	x := &installation{t: t, db: storetest.SQLite(t), clock: &hand{time.Date(2026, 2, 10, 4, 0, 0, 0, time.UTC)}}
	d.db, d.opt.Clock, d.opt.Log, d.opt.Config.Node = x.db, x.clock, slog.New(slog.DiscardHandler), "one"
	p.watch = health.NewWatch(health.Config{
		Clock: x.clock, Log: d.opt.Log, Store: x.db.Watched(), Requests: health.NewRecorder(x.clock), Node: health.Node{ID: "one", Host: "h", Started: x.clock.at},
		Probes: []health.Probe{{Name: health.StoreRead, Try: x.db.Ping}, {Name: health.DeviceListener, Try: func(context.Context) error { return x.broken }}},
		Sample: func(context.Context) health.System { return health.System{} },
	})
	p.requests = health.NewRecorder(x.clock)
	x.watch = &alarm.Watch{
		Clock: x.clock, Log: d.opt.Log, Gauges: gauges{d, p}, Node: "one",
		Transact: func(ctx context.Context, fn func(alarm.Store, alarm.Conditions) error) error {
			return x.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx.Alarms(), store.ConditionsOf(tx)) })
		},
	}
	return x
}

// after passes time, evaluates, and tells the severity of the open alert; "":
// there is none.
func (x *installation) after(d time.Duration, rule alarm.Rule, target alarm.Target) alarm.Severity {
	x.t.Helper()
	x.clock.at = x.clock.at.Add(d)
	if _, err := x.watch.Evaluate(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
	a, err := x.db.Reader().Alarms().OpenAlert(x.t.Context(), evcs.Scope{}, rule, target)
	if errors.Is(err, alarm.ErrNotFound) {
		return ""
	}
	if err != nil {
		x.t.Fatal(err)
	}
	return a.Severity
}

// The certificates of the listeners and of the chargers' authorities are told
// 60, 30 and 7 days before their end, and a new file ends the alert.
func TestCertificatesThatExpireAreTold(t *testing.T) {
	t.Parallel()
	const days, slow = 24 * time.Hour, 10 * time.Minute // the metric is read no oftener
	dir := t.TempDir()
	d := &Daemon{opt: Options{Config: config.Config{Server: config.Server{TLS: config.TLS{
		Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), DeviceCA: filepath.Join(dir, "cert.pem"),
	}}}}}
	x := installed(t, d, new(parts))
	selfSigned(t, dir, "one", x.clock.at.Add(61*days))
	if err := d.readCertificates(); err != nil {
		t.Fatal(err)
	}
	told := func(pass time.Duration, want alarm.Severity) {
		t.Helper()
		for _, id := range []string{"listener CN=one", "device authority CN=one"} {
			if got := x.after(pass, alarm.CertificateExpiring, alarm.Target{Type: "CERTIFICATE", ID: id}); got != want {
				t.Errorf("%s at %s: %q, want %q", id, x.clock.at.Format(time.RFC3339), got, want)
			}
			pass = 0
		}
	}
	told(0, "")
	told(days-time.Millisecond, "")
	told(slow, alarm.Low)
	told(30*days-slow, alarm.Low)
	told(slow, alarm.Medium)
	told(23*days-slow, alarm.Medium)
	told(slow, alarm.Critical)
	told(8*days, alarm.Critical) // over
	selfSigned(t, dir, "one", x.clock.at.Add(62*days))
	told(time.Hour, "")
}

// So are the certificates by which a payment channel proves what it sends; a key
// without an end is not.
func TestMerchantCertificatesThatExpireAreTold(t *testing.T) {
	t.Parallel()
	const days, slow = 24 * time.Hour, 10 * time.Minute
	x := installed(t, new(Daemon), new(parts))
	sealer, err := auth.NewSealer([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	own, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	shape := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "platform"}, NotAfter: x.clock.at.Add(31 * days)}
	raw, err := x509.CreateCertificate(rand.Reader, shape, shape, &theirs.PublicKey, theirs)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
	text := func(s string) *string { return &s }
	m := payment.Merchant{Tenant: 1, Channel: "wechat", Mode: payment.Live, CallbackToken: "TOKEN", CreatedAt: x.clock.at, UpdatedAt: x.clock.at}
	if _, err := m.Change(payment.MerchantChange{
		Channel: "wechat", Name: text("main"), AppID: text("wx1"), MchID: text("1900000001"), MerchantSerialNo: text("5157"), APIV3Key: text(strings.Repeat("k", 32)),
		PrivateKey:   text(base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PrivateKey(own))),
		PlatformKeys: &[]payment.PlatformKey{{Serial: "CERT01", PublicKey: string(certificate)}},
	}, sealer, x.clock.at); err != nil {
		t.Fatal(err)
	}
	if err := x.db.Transact(t.Context(), func(tx *store.Tx) error { return tx.Payments().InsertMerchant(t.Context(), evcs.Only(1), &m) }); err != nil {
		t.Fatal(err)
	}
	target := alarm.Target{Type: "CERTIFICATE", ID: "merchant 1"}
	for _, step := range []struct {
		pass time.Duration
		want alarm.Severity
	}{{0, alarm.Low}, {days + slow, alarm.Medium}, {23 * days, alarm.Critical}} {
		if got := x.after(step.pass, alarm.CertificateExpiring, target); got != step.want {
			t.Errorf("after %s: %q, want %q", step.pass, got, step.want)
		}
	}
}

// A service that is DOWN for a minute is CRITICAL, and ends when it was not for
// two. While another node does the work it is not DOWN.
func TestAServiceThatIsDownIsTold(t *testing.T) {
	t.Parallel()
	d, p := new(Daemon), new(parts)
	x := installed(t, d, p)
	target := alarm.Target{Type: "SERVICE", ID: health.Protocol}
	step := func(pass time.Duration, broken error, want alarm.Severity) {
		t.Helper()
		x.clock.at = x.clock.at.Add(pass)
		x.broken = broken
		p.watch.Round(t.Context())
		if got := x.after(0, alarm.ServiceDown, target); got != want {
			t.Errorf("%s: %q, want %q", x.clock.at.Format(time.TimeOnly), got, want)
		}
	}
	closed := errors.New("connection refused")
	step(0, nil, "")
	step(time.Hour, closed, "")
	step(59*time.Second, closed, "")
	step(time.Second, closed, alarm.Critical)
	step(time.Hour, closed, alarm.Critical)
	step(time.Minute, nil, alarm.Critical)
	step(119*time.Second, nil, alarm.Critical)
	step(time.Second, nil, "")
	other := health.Node{ID: "two", Host: "h", Started: x.clock.at, Seen: x.clock.at.Add(time.Hour), State: health.State{
		Checks: []health.Check{{Name: health.DeviceListener, Status: health.Up}, {Name: health.StoreRead, Status: health.Up}},
	}}
	if err := x.db.Watched().SaveNode(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	step(time.Minute, closed, "")
	step(10*time.Minute, closed, "")
	if got := x.after(0, alarm.ServiceDown, alarm.Target{Type: "SERVICE", ID: health.Order}); got != "" {
		t.Errorf("a service that does not need the listener: %q", got)
	}
}
