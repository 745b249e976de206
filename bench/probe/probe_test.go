package probe

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/evcs/evcs/internal/config"
)

func TestOwnProcess(t *testing.T) {
	t.Parallel()
	if _, err := CPU(os.Getpid()); err != nil {
		t.Error(err)
	}
	if n, err := RSS(os.Getpid()); err != nil || n < 1<<20 {
		t.Errorf("memory %d, %v", n, err)
	}
	if _, err := CPU(1 << 30); err == nil {
		t.Error("a process that is not there has used CPU")
	}
	if CheckFiles(1) != nil || CheckFiles(1<<30) == nil {
		t.Error("the limit of open files is not looked at")
	}
	if a := Monotonic(); a <= 0 || Monotonic() < a {
		t.Error("time runs backwards")
	}
}

// TestSettingsAreThoseOfEvcsd reads the file that Prepare writes as evcsd does.
func TestSettingsAreThoseOfEvcsd(t *testing.T) {
	t.Parallel()
	d := &Daemon{Binary: "evcsd", Dir: t.TempDir(), DSN: "postgres://u@127.0.0.1/x", Extra: LimitsOff, Password: "Some-pass-1"}
	if err := d.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	flags := pflag.NewFlagSet("evcsd", pflag.ContinueOnError)
	config.AddFlags(flags)
	if err := flags.Parse(d.arguments()[1:]); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(flags, d.environment())
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != d.Dir || "http://"+c.Server.REST != d.BaseURL() || "http://"+c.Server.Device != d.CloudURL() ||
		c.RateLimit.DevicePerSecond != 0 || c.Admin.Password != d.Password || c.Database.URL != d.DSN {
		t.Errorf("evcsd would read %+v", c)
	}
}

func TestDaemonThatDoesNotStart(t *testing.T) {
	t.Parallel()
	d := &Daemon{Binary: filepath.Join(t.TempDir(), "none"), Dir: t.TempDir()}
	if err := d.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Start(t.Context(), time.Second); err == nil {
		t.Error("a program that is not there started")
	}
	d.Binary = "/bin/false"
	if err := d.Start(t.Context(), 5*time.Second); err == nil {
		t.Error("a program that ended at once is ready")
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/api/auth/login":
			_, _ = w.Write([]byte(`{"code":200,"data":{"token":"T"}}`))
		case r.Header.Get("Authorization") != "Bearer T":
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"code":6006,"message":"who are you","data":null}`))
		default:
			_, _ = w.Write([]byte(`{"code":200,"data":{"key":"` + r.Header.Get("Idempotency-Key") + `"}}`))
		}
	}))
	t.Cleanup(srv.Close)
	c := NewClient(srv.URL, 2)
	err := c.Do(t.Context(), http.MethodGet, "/x", "", nil, nil)
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Code != 6006 || !refusal.Final() {
		t.Errorf("refused with %v", err)
	}
	if err := c.Login(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	var got struct{ Key string }
	if err := c.Do(t.Context(), http.MethodPost, "/x", "k-1", struct{}{}, &got); err != nil || got.Key != "k-1" {
		t.Errorf("got %+v, %v", got, err)
	}
}
