package outbound

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestAddressesThatMayNotBeReached(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"8.8.8.8:443": true, "[2606:4700::1111]:443": true,
		"127.0.0.1:80": false, "10.0.0.1:80": false, "172.16.3.4:80": false, "192.168.1.1:80": false, "169.254.169.254:80": false,
		"0.0.0.0:80": false, "100.64.0.1:80": false, "224.0.0.1:80": false, "255.255.255.255:80": false, "192.0.2.7:1": false, "198.18.0.1:80": false,
		"[::1]:80": false, "[::]:80": false, "[fe80::1%eth0]:80": false, "[fc00::1]:80": false, "[::ffff:127.0.0.1]:80": false,
		"[::ffff:10.1.2.3]:80": false, "[64:ff9b::7f00:1]:80": false, "[2002:7f00:1::]:80": false, "[ff02::1]:80": false, "nonsense": false,
	} {
		if err := Open(nil).Allow(address); (err == nil) != want {
			t.Errorf("%s: %v, want allowed %v", address, err, want)
		}
	}
	open := Open{netip.MustParsePrefix("10.0.0.0/8")}
	if open.Allow("10.9.8.7:80") != nil || open.Allow("192.168.1.1:80") == nil {
		t.Error("the settings open their networks and no other")
	}
}

func TestGateways(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"": true, "https://relay.example": true, "https://relay.example:8443/": true, "http://127.0.0.1:9100": true, "http://[::1]:9100": true, "http://localhost:1": true,
		"http://relay.example": false, "http://10.0.0.1": false, "ftp://127.0.0.1": false, "https://u:p@relay.example": false, "https://relay.example/x": false,
		"https://relay.example?x=1": false, "127.0.0.1:9100": false, "http://": false, "http://127.0.0.1.evil.example": false,
	} {
		if _, err := ParseGateway(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A guard with a gateway on this machine sends the hosts of the channel there,
// and nothing else anywhere.
func TestTheGuard(t *testing.T) {
	t.Parallel()
	var seen []string
	h := http.NewServeMux()
	h.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.RequestURI)
		_, _ = io.Copy(w, r.Body)
	})
	h.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/inner", http.StatusFound) })
	h.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2000)) })
	h.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 500)); err != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	})
	h.HandleFunc("/mute", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server sees the caller go
		<-r.Context().Done()
	})
	server := httptest.NewServer(h)
	defer server.Close()
	gateway, err := ParseGateway(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	g := New(Config{Hosts: []string{"pay.example"}, Gateway: gateway, Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	client := g.Bulk(1000, time.Second)
	ask := func(url, body string) (string, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return string(text), err
	}
	if text, err := ask("https://pay.example/v3/x?secret=1", "hello"); err != nil || text != "hello" {
		t.Errorf("%q %v", text, err)
	}
	if text, err := ask("http://PAY.example/v3/x", "plain"); err != nil || text != "plain" {
		t.Errorf("%q %v", text, err)
	}
	for url, want := range map[string]error{
		"https://evil.example/": ErrHost, "https://pay.example.evil.example/": ErrHost, "https://pay.example:8443/": ErrHost, "https://u@pay.example/": ErrHost,
		server.URL + "/": ErrHost, "https://pay.example/away": ErrRedirect, "https://pay.example/long": ErrTooLong, "https://pay.example/endless": ErrTooLong,
		"https://pay.example/mute": context.DeadlineExceeded,
	} {
		if _, err := ask(url, "x"); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", url, err, want)
		}
	}
	if len(seen) != 2 || seen[0] != "POST /v3/x?secret=1" {
		t.Errorf("the gateway saw %q", seen)
	}
	if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "path=/v3/x") {
		t.Errorf("the log says %s", log.String())
	}
}

// Without a gateway on this machine the guard does not connect to it, whatever
// the name of a host resolves to.
func TestTheGuardKeepsOut(t *testing.T) {
	t.Parallel()
	hit := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit = true }))
	defer server.Close()
	gateway, err := ParseGateway("https://" + strings.Replace(server.Listener.Addr().String(), "127.0.0.1", "0.0.0.0", 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Config{
		"another gateway": {Hosts: []string{"pay.example"}, Gateway: gateway},
		"host itself":     {Hosts: []string{"localhost"}},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+c.Hosts[0]+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := New(c).Client().Do(r)
		if err == nil {
			answer.Body.Close()
		}
		if !errors.Is(err, ErrAddress) || Reason(err) != ErrAddress.Error() {
			t.Errorf("%s: %v", name, err)
		}
	}
	if hit {
		t.Error("the machine was reached")
	}
	loop := New(Config{Gateway: gateway, Open: Open{netip.MustParsePrefix("0.0.0.0/0")}})
	if loop.Loopback() || !errors.Is(onlyLoopback("10.0.0.1:1"), ErrAddress) || onlyLoopback("[::1]:1") != nil {
		t.Error("what is this machine is decided by the address")
	}
}

func TestACappedBodyFailsAndIsNotCut(t *testing.T) {
	t.Parallel()
	for n, ok := range map[int]bool{0: true, 9: true, 10: true, 11: false, 500: false} {
		done := false
		text, err := io.ReadAll(&capped{io.NopCloser(iotest.OneByteReader(bytes.NewReader(make([]byte, n)))), 10, func() { done = true }})
		if ok && !done {
			t.Errorf("%d bytes: the time of a reply that was read and not closed runs on", n)
		}
		if ok != (err == nil) || ok && len(text) != n || !ok && (!errors.Is(err, ErrTooLong) || len(text) != 10) {
			t.Errorf("%d bytes: %d, %v", n, len(text), err)
		}
	}
}

func TestASpooledReplyIsRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	f, err := Spool(strings.NewReader("a long reply"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if text, err := io.ReadAll(f); err != nil || string(text) != "a long reply" {
			t.Errorf("%q %v", text, err)
		}
		if err := f.Rewind(); err != nil {
			t.Error(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Spool(iotest.ErrReader(ErrTooLong)); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left %v %v", left, err)
	}
}

// Three failures in a row are trouble, until one exchange is answered.
func TestTrouble(t *testing.T) {
	t.Parallel()
	status := http.StatusBadGateway
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	gateway, err := ParseGateway(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	g := New(Config{Hosts: []string{"pay.example"}, Gateway: gateway})
	ask := func(ctx context.Context, host string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := g.Client().Do(r); err == nil {
			answer.Body.Close()
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		ask(t.Context(), "evil.example")
		ask(gone, "pay.example")
	}
	ask(t.Context(), "pay.example")
	ask(t.Context(), "pay.example")
	if why := g.Trouble(); why != "" {
		t.Errorf("two failures: %q", why)
	}
	ask(t.Context(), "pay.example")
	if why := g.Trouble(); why != "HTTP 502" {
		t.Errorf("three failures: %q", why)
	}
	status = http.StatusBadRequest // refused is answered
	ask(t.Context(), "pay.example")
	if why := g.Trouble(); why != "" {
		t.Errorf("answered: %q", why)
	}
	server.Close()
	for range 3 {
		ask(t.Context(), "pay.example")
	}
	if why := g.Trouble(); why != "the connection was refused" {
		t.Errorf("gone: %q", why)
	}
}
