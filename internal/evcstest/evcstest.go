// Package evcstest runs a whole daemon in the test process: a temporary
// database of either engine, port 0, a clock that a test can set, and help to
// provision through the public API, as a customer would.
package evcstest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/daemon"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/judge"
)

// Password is the administrator's in every test daemon.
const Password = "Evcs-test-2026"

// nowhere stands for the hosts of payment channels, so that no test reaches
// them; a test that needs a gateway names it.
const nowhere = "http://127.0.0.1:1"

// Clock is a clock that a test sets; without a setting it is the machine's.
type Clock struct {
	mu    sync.Mutex
	fixed time.Time     // guarded by mu
	ahead time.Duration // guarded by mu
}

// Now implements evcs.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fixed.IsZero() {
		return c.fixed
	}
	return evcs.SystemClock{}.Now().Add(c.ahead)
}

// Set stops the clock at a moment.
func (c *Clock) Set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fixed = at.UTC().Truncate(time.Millisecond)
}

// Advance moves the clock on, running or stopped.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.fixed.IsZero() {
		c.fixed = c.fixed.Add(d)
		return
	}
	c.ahead += d
}

// Daemon is a running evcsd.
type Daemon struct {
	// URL is the base of the REST listener, DeviceURL that of the device
	// listener (http; a charger uses ws for the same address).
	URL, DeviceURL string
	SecureURL      string // of the device listener for TLS, when there is one
	Clock          *Clock
	Config         config.Config
	// Manner is how the requests of its callers keep to the document.
	Manner judge.Manner
	// Language is what its callers ask for with Accept-Language; empty: nothing.
	Language string

	t     testing.TB
	http  *http.Client
	stop  context.CancelFunc
	done  chan error
	once  sync.Once
	asked asked
}

// Option changes the settings of a test daemon.
type Option func(*daemon.Options)

// WithConfig changes its settings.
func WithConfig(change func(*config.Config)) Option {
	return func(o *daemon.Options) { change(&o.Config) }
}

// WithLog shows its log.
func WithLog(log *slog.Logger) Option { return func(o *daemon.Options) { o.Log = log } }

// Durable keeps every commit's flush, which tests otherwise leave out.
func Durable() Option { return func(o *daemon.Options) { o.SyncOff = false } }

// Start runs a daemon on SQLite until the test ends.
func Start(t testing.TB, options ...Option) *Daemon {
	t.Helper()
	return StartOn(t, "", t.TempDir(), options...)
}

// StartOn runs a daemon on the database of a URL ("": SQLite in dir) with its
// keys in dir, so that a test can stop it and start it again on the same data.
func StartOn(t testing.TB, databaseURL, dir string, options ...Option) *Daemon {
	t.Helper()
	c := config.Defaults()
	c.DataDir, c.Database.URL = dir, databaseURL
	c.Database.RowSecurity = strings.HasPrefix(databaseURL, "postgres")
	c.Server.REST, c.Server.Device = "127.0.0.1:0", "127.0.0.1:0"
	c.Admin.Password = Password
	c.Payment.Alipay.Gateway, c.Payment.Wechat.Gateway = nowhere, nowhere
	d := &Daemon{Clock: new(Clock), Manner: judge.Lenient, t: t, done: make(chan error, 1)}
	opt := daemon.Options{Config: c, Clock: d.Clock, Migrate: true, SyncOff: true, Build: daemon.Build{Version: "test"}}
	if databaseURL == "" {
		opt.Statements = d.asked.note
	}
	for _, o := range options {
		o(&opt)
	}
	d.Config = opt.Config
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	d.stop = cancel
	made, err := daemon.New(ctx, opt)
	if err != nil {
		cancel()
		t.Fatalf("start evcsd: %v", err)
	}
	d.address(made)
	go func() { d.done <- made.Run(ctx) }()
	t.Cleanup(d.Stop)
	return d
}

// address notes where the daemon listens. Its certificate is trusted blindly.
func (d *Daemon) address(made *daemon.Daemon) {
	d.URL, d.DeviceURL, d.http = "http://"+made.REST().String(), "http://"+made.Device().String(), http.DefaultClient
	if d.Config.Server.TLS.Cert == "" {
		return
	}
	d.URL = "https://" + made.REST().String()
	d.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}}}
	if at := made.DeviceTLS(); at != nil {
		d.SecureURL = "https://" + at.String()
	} else {
		d.DeviceURL = "https://" + made.Device().String()
	}
}

// Stop stops the daemon in order, as a signal would, and waits.
func (d *Daemon) Stop() {
	d.once.Do(func() {
		d.stop()
		d.http.CloseIdleConnections()
		if err := <-d.done; err != nil {
			d.t.Errorf("evcsd did not stop cleanly: %v", err)
		}
		d.asked.judge(d.t, filepath.Join(d.Config.DataDir, "evcs.db"))
	})
}

// Answer is an envelope as it came.
type Answer struct {
	Status  int             `json:"-"`
	Header  http.Header     `json:"-"`
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// Into reads the data.
func (a Answer) Into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.Data, v); err != nil {
		t.Fatalf("%v in %s", err, a.Data)
	}
}

// Caller is somebody who calls the API.
type Caller struct {
	d      *Daemon
	token  string
	manner judge.Manner
}

// Anyone calls without a credential.
func (d *Daemon) Anyone() Caller { return Caller{d: d, manner: d.Manner} }

// Admin signs the platform's administrator in.
func (d *Daemon) Admin() Caller {
	d.t.Helper()
	return d.SignIn("admin@tenant1", Password)
}

// SignIn signs a user in.
func (d *Daemon) SignIn(identifier, password string) Caller {
	d.t.Helper()
	var tokens struct {
		Token string `json:"token"`
	}
	d.Anyone().OK(d.t, http.MethodPost, "/api/auth/login", map[string]any{"identifier": identifier, "password": password}).Into(d.t, &tokens)
	return Caller{d: d, token: tokens.Token, manner: d.Manner}
}

// Token is the caller's bearer token.
func (c Caller) Token() string { return c.token }

// As is a caller whose requests keep to the document in another manner.
func (c Caller) As(m judge.Manner) Caller {
	c.manner = m
	return c
}

// Call sends a request; a nil body sends none. headers come in pairs. The
// document judges the request and the answer too.
func (c Caller) Call(t testing.TB, method, path string, body any, headers ...string) Answer {
	t.Helper()
	var reader io.Reader = http.NoBody
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(sent)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, c.d.URL+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.d.Language != "" {
		r.Header.Set("Accept-Language", c.d.Language)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := c.d.http.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() // read whole
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	e := judge.Exchange{Method: method, URL: c.d.URL + path, Header: r.Header, Body: sent, Status: answer.StatusCode, AnswerHeader: answer.Header, Answer: text}
	judge.Committed(t).Check(t, e, c.manner)
	a := Answer{Status: answer.StatusCode, Header: answer.Header}
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatalf("%s %s: %d %s", method, path, answer.StatusCode, text)
	}
	return a
}

// OK is Call that must succeed.
func (c Caller) OK(t testing.TB, method, path string, body any, headers ...string) Answer {
	t.Helper()
	a := c.Call(t, method, path, body, headers...)
	if a.Status != http.StatusOK || a.Code != http.StatusOK {
		t.Fatalf("%s %s: %d %d %s %s", method, path, a.Status, a.Code, a.Message, a.Data)
	}
	return a
}

// Eventually asks until ok says yes, for at most ten seconds.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("in vain: %s", what)
		case <-ticker.C:
		}
	}
}

// Path words a path with its parameters.
func Path(format string, args ...any) string { return fmt.Sprintf(format, args...) }
