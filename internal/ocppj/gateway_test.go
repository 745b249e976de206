package ocppj_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ocppj"
)

// gate admits CP-1 with its secret and refuses the rest in various ways.
type gate struct {
	mu      sync.Mutex
	refused []device.Refusal
}

func (g *gate) Admit(_ context.Context, c device.Credential) (device.Identity, error) {
	switch c.DeviceID {
	case "CP-1":
		if c.Verify == nil || !c.Verify("secret") {
			return device.Identity{}, device.ErrAuthFailed
		}
		return device.Identity{Tenant: 2, Charger: 10001, DeviceID: c.DeviceID}, nil
	case "OLD-1": // profile 0: allowed without a password
		return device.Identity{Tenant: 2, Charger: 10002, DeviceID: c.DeviceID}, nil
	case "OFF-1":
		return device.Identity{}, evcs.NewError(evcs.CodeChargerDisabled, "disabled")
	case "BLOCKED-1":
		return device.Identity{}, evcs.NewError(evcs.CodeTenantDisabled, "disabled")
	case "EXPIRED-1":
		return device.Identity{}, evcs.NewError(evcs.CodeTenantExpired, "expired")
	case "STORE-1":
		return device.Identity{}, evcs.ErrUnavailable
	}
	return device.Identity{}, device.ErrUnknown
}

func (g *gate) Refused(_ context.Context, r device.Refusal) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refused = append(g.refused, r)
}

func (g *gate) last() device.Refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.refused) == 0 {
		return device.Refusal{}
	}
	return g.refused[len(g.refused)-1]
}

// presence tells the test who comes and goes.
type presence struct{ events chan string }

func (p *presence) Connected(_ context.Context, s device.Session) error {
	p.events <- "connected " + s.Identity().DeviceID
	return nil
}

func (p *presence) Disconnected(_ context.Context, s device.Session, _ string) {
	p.events <- "disconnected " + s.Identity().DeviceID
}
func (p *presence) Heard(device.Identity, time.Time) {}

// plain is a dialect that echoes.
type plain struct{}

func (plain) Subprotocol() string { return "ocpp1.6" }
func (plain) Protocol() string    { return device.OCPP16 }
func (plain) Words() ocppj.Words  { return ocppj.Words{} }
func (plain) Open(id device.Identity, address string, c *ocppj.Conn) ocppj.Session {
	return &plainSession{id: id, address: address, conn: c, answers: echo}
}

type plainSession struct {
	answers
	id      device.Identity
	address string
	conn    *ocppj.Conn
}

func (s *plainSession) Identity() device.Identity { return s.id }
func (s *plainSession) Info() device.Info         { return device.Info{Address: s.address} }
func (s *plainSession) Close(reason string)       { s.conn.Close(ocppj.CloseNormal, reason) }
func (s *plainSession) Send(context.Context, device.Command) (device.Answer, error) {
	return device.Answer{}, device.ErrUnsupported
}

// site is a gateway on loopback.
type site struct {
	gate     *gate
	presence *presence
	hub      *device.Hub
	server   *httptest.Server
	stop     func() error
}

func newSite(t *testing.T, o ocppj.Options) *site {
	t.Helper()
	s := &site{gate: &gate{}, presence: &presence{events: make(chan string, 100)}, hub: device.NewHub()}
	g := ocppj.NewGateway(ocppj.Config{
		Gate: s.gate, Presence: s.presence, Hub: s.hub, Dialects: []ocppj.Dialect{plain{}}, Engine: ocppj.NewEngine(o),
	})
	s.server = httptest.NewServer(g)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	s.stop = sync.OnceValue(func() error {
		cancel()
		err := <-ended
		s.server.Close()
		return err
	})
	t.Cleanup(func() { _ = s.stop() })
	return s
}

func (s *site) url(path string) string { return "ws" + strings.TrimPrefix(s.server.URL, "http") + path }

func basic(user, password string) http.Header {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, password)
	return r.Header
}

// dial connects CP-1.
func (s *site) dial(t *testing.T) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"ocpp1.6"}, EnableCompression: true}
	c, resp, err := d.Dial(s.url("/ocpp/CP-1"), basic("CP-1", "secret"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if h := resp.Header.Get("Sec-WebSocket-Extensions"); h != "" || c.Subprotocol() != "ocpp1.6" {
		t.Errorf("extensions %q, subprotocol %q", h, c.Subprotocol())
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *site) event(t *testing.T, want string) {
	t.Helper()
	if got := <-s.presence.events; got != want {
		t.Errorf("event %q, want %q", got, want)
	}
}

func exchange(t *testing.T, c *websocket.Conn, id string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(`[2,"`+id+`","X",{}]`)); err != nil {
		t.Fatal(err)
	}
	_, got, err := c.ReadMessage()
	if err != nil || string(got) != `[3,"`+id+`",{}]` {
		t.Fatalf("read %s, %v", got, err)
	}
}

func closedWith(t *testing.T, c *websocket.Conn, code int) {
	t.Helper()
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			if !websocket.IsCloseError(err, code) {
				t.Errorf("ended with %v, want %d", err, code)
			}
			return
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t, ocppj.Options{})
	for _, c := range []struct {
		path        string
		subprotocol []string
		header      http.Header
		status      int
		reason      string
		text        string
	}{
		{"/ocpp/CP-1", nil, basic("CP-1", "secret"), 400, "MISSING_SUBPROTOCOL", "offered: ocpp1.6"},
		{"/ocpp/CP-1", []string{"ocpp1.5"}, basic("CP-1", "secret"), 400, "UNSUPPORTED_SUBPROTOCOL", "offered: ocpp1.6"},
		{"/ocpp/CP-1", []string{"ocpp1.6"}, basic("CP-1", "wrong"), 401, "BAD_CREDENTIAL", ""},
		{"/ocpp/CP-1", []string{"ocpp1.6"}, basic("CP-2", "secret"), 401, "BAD_CREDENTIAL", ""},
		{"/ocpp/CP-1", []string{"ocpp1.6"}, nil, 401, "BAD_CREDENTIAL", ""},
		{"/ocpp/CP-9", []string{"ocpp1.6"}, basic("CP-9", "secret"), 404, "UNKNOWN_ID", ""},
		{"/ocpp/CP%201", []string{"ocpp1.6"}, nil, 404, "UNKNOWN_ID", ""},
		{"/ocpp/" + strings.Repeat("x", 49), []string{"ocpp1.6"}, nil, 404, "UNKNOWN_ID", ""},
		{"/ocpp/OFF-1", []string{"ocpp1.6"}, basic("OFF-1", "x"), 403, "CHARGER_DISABLED", ""},
		{"/ocpp/BLOCKED-1", []string{"ocpp1.6"}, basic("BLOCKED-1", "x"), 403, "TENANT_DISABLED", ""},
		{"/ocpp/EXPIRED-1", []string{"ocpp1.6"}, basic("EXPIRED-1", "x"), 403, "TENANT_EXPIRED", ""},
		{"/ocpp", []string{"ocpp1.6"}, nil, 404, "WRONG_PATH", ""},
		{"/ocpp/", []string{"ocpp1.6"}, nil, 404, "WRONG_PATH", ""},
		{"/ocpp/1.6/CP-1", []string{"ocpp1.6"}, nil, 404, "WRONG_PATH", ""},
		{"/CP-1", []string{"ocpp1.6"}, nil, 404, "WRONG_PATH", ""},
		{"/ocpp/STORE-1", []string{"ocpp1.6"}, basic("STORE-1", "x"), 503, "", ""},
	} {
		d := websocket.Dialer{Subprotocols: c.subprotocol}
		before := len(s.gate.refused)
		_, resp, err := d.Dial(s.url(c.path), c.header)
		if !errors.Is(err, websocket.ErrBadHandshake) {
			t.Fatalf("%s: %v", c.path, err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != c.status || !strings.Contains(string(body), c.text) {
			t.Errorf("%s: status %d %q, want %d %q", c.path, resp.StatusCode, body, c.status, c.text)
		}
		if c.reason == "" {
			if len(s.gate.refused) != before {
				t.Errorf("%s: listed", c.path)
			}
			continue
		}
		if r := s.gate.last(); r.Reason != c.reason || r.Hint == "" || r.Address == "" || r.At.IsZero() {
			t.Errorf("%s: listed as %+v, want %s", c.path, r, c.reason)
		}
	}
	resp, err := http.Get(s.server.URL + "/ocpp/CP-1")
	if err != nil || resp.StatusCode != 400 || s.gate.last().Reason != "NOT_WEBSOCKET" {
		t.Errorf("plain GET: %v %+v", err, s.gate.last())
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
}

// Some firmware has no Basic authentication; the Gate decides on it.
func TestWithoutPassword(t *testing.T) {
	t.Parallel()
	s := newSite(t, ocppj.Options{})
	d := websocket.Dialer{Subprotocols: []string{"ocpp2.0.1", "OCPP1.6"}}
	c, resp, err := d.Dial(s.url("/ocpp/OLD-1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	defer func() { _ = c.Close() }()
	exchange(t, c, "1")
}

func TestGuessingIsSlowed(t *testing.T) {
	t.Parallel()
	s := newSite(t, ocppj.Options{})
	d := websocket.Dialer{Subprotocols: []string{"ocpp1.6"}}
	status := 0
	for range 31 {
		_, resp, _ := d.Dial(s.url("/ocpp/CP-1"), basic("CP-1", "guess"))
		status = resp.StatusCode
		_ = resp.Body.Close()
	}
	if status != 429 || len(s.gate.refused) != 30 {
		t.Errorf("status %d, listed %d", status, len(s.gate.refused))
	}
	d = websocket.Dialer{Subprotocols: []string{"ocpp1.6"}}
	c, resp, err := d.Dial(s.url("/ocpp/OLD-1"), nil) // its neighbour behind the same address
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	_ = c.Close()
}

func TestNewestConnectionReplacesTheOld(t *testing.T) {
	t.Parallel()
	s := newSite(t, ocppj.Options{})
	first := s.dial(t)
	s.event(t, "connected CP-1")
	exchange(t, first, "1")
	second := s.dial(t)
	s.event(t, "connected CP-1")
	closedWith(t, first, ocppj.CloseNormal)
	exchange(t, second, "1") // message ids start again at every boot
	if got := s.hub.Get(10001); got == nil {
		t.Error("the hub lost the new connection")
	}
	_ = second.Close()
	s.event(t, "disconnected CP-1") // once, for the one that was present
	if got := s.hub.Get(10001); got != nil {
		t.Error("the hub kept a dead connection")
	}
}

func TestStopTellsStationsToGoAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, ocppj.Options{})
	c := s.dial(t)
	exchange(t, c, "1")
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		closedWith(t, c, ocppj.CloseGoingAway)
	}()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	<-gone
}

func TestTooLargeMessage(t *testing.T) {
	t.Parallel()
	s := newSite(t, ocppj.Options{})
	c := s.dial(t)
	big := `[2,"1","DataTransfer",{"data":"` + strings.Repeat("x", 250<<10) + `"}]`
	if err := c.WriteMessage(websocket.TextMessage, []byte(big)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := c.ReadMessage(); err != nil || len(got) < 250<<10 {
		t.Fatalf("250 KiB: %v", err)
	}
	w, err := c.NextWriter(websocket.TextMessage) // in fragments
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if _, err := w.Write(make([]byte, 1<<10)); err != nil {
			break
		}
	}
	_, _, err = c.ReadMessage()
	if err == nil {
		t.Error("300 KiB were taken")
	}
}

func TestGarbagePingsAndHalves(t *testing.T) {
	t.Parallel()
	s := newSite(t, ocppj.Options{})
	c := s.dial(t)
	for _, garbage := range []string{"", "\x00\xff", "[", `[2,"1"`, `{"hello":1}`, strings.Repeat("[", 10_000), "null"} {
		if err := c.WriteMessage(websocket.BinaryMessage, []byte(garbage)); err != nil {
			t.Fatal(err)
		}
	}
	pong := make(chan string, 1)
	c.SetPongHandler(func(data string) error { pong <- data; return nil })
	if err := c.WriteControl(websocket.PingMessage, []byte("hi"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	for {
		if err := c.WriteMessage(websocket.TextMessage, []byte(`[2,"end","X",{}]`)); err != nil {
			t.Fatal(err)
		}
		_, got, err := c.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if string(got) == `[3,"end",{}]` {
			break
		}
	}
	if got := <-pong; got != "hi" {
		t.Errorf("pong %q", got)
	}
}

// A station may send its first message together with the handshake.
func TestFirstMessageBehindTheHandshake(t *testing.T) {
	t.Parallel()
	s := newSite(t, ocppj.Options{})
	c, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	frame := []byte("\x81\x8f\x00\x00\x00\x00" + `[2,"1","X1",{}]`) // masked with zeros
	_, err = fmt.Fprintf(c, "GET /ocpp/OLD-1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\r\n%s", frame)
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v %v", resp, err)
	}
	got := make([]byte, 2+len(`[3,"1",{}]`))
	if _, err := io.ReadFull(r, got); err != nil || string(got[2:]) != `[3,"1",{}]` {
		t.Errorf("read %q %v", got, err)
	}
}
