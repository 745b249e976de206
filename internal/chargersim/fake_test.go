package chargersim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/evcs"
)

// pipes is a listener without a network, for bubbles of synctest.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// call is what the fake server heard.
type call struct {
	device, id, action string
	payload            map[string]any
	raw                string
}

// csms is a fake management system: it answers like an honest one and remembers
// starts by their natural key.
type csms struct {
	t      *testing.T
	mu     sync.Mutex
	calls  []call
	starts map[string]int64
	stops  map[int64][]int64 // meterStop by transaction
	meters map[string]int    // times heard, by transaction, time and value
	next   int64
	conns  map[string]*websocket.Conn
	// answer may replace the answer: nil result and empty fault is silence.
	answer func(c call) (result any, fault string, mine bool)
	heard  chan call
	// results are the answers to our own calls.
	results chan string
}

func newCSMS(t *testing.T) *csms {
	return &csms{
		t: t, starts: map[string]int64{}, stops: map[int64][]int64{}, meters: map[string]int{}, next: 100,
		conns: map[string]*websocket.Conn{}, heard: make(chan call, 100_000), results: make(chan string, 100),
	}
}

// serve starts the fake on pipes and returns a configuration for it.
func (s *csms) serve(cfg Config) Config {
	p := newPipes()
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(p)
	}()
	s.t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	cfg.Endpoint, cfg.Dial = "ws://127.0.0.1:1/ocpp", p.dial
	return cfg
}

func (s *csms) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	device := strings.TrimPrefix(r.URL.Path, "/ocpp/")
	user, secret, _ := r.BasicAuth()
	if user != device || secret != "secret" {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{"ocpp1.6"}}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.conns[device] = conn
	s.mu.Unlock()
	defer conn.Close()
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			return
		}
		out := s.take(device, data)
		if out == nil {
			continue
		}
		s.mu.Lock()
		err = conn.WriteMessage(websocket.TextMessage, out)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// ask sends a call to a charger and waits for the raw answer.
func (s *csms) ask(device, id, action, payload string) string {
	s.mu.Lock()
	conn := s.conns[device]
	err := conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `[2,%q,%q,%s]`, id, action, payload))
	s.mu.Unlock()
	if err != nil {
		s.t.Error(err)
	}
	return <-s.results
}

func (s *csms) take(device string, data []byte) []byte {
	var parts []json.RawMessage
	if json.Unmarshal(data, &parts) != nil || len(parts) < 3 {
		return nil
	}
	if string(parts[0]) != "2" {
		if strings.HasPrefix(string(parts[1]), `"ask`) {
			s.results <- string(data)
		}
		return nil
	}
	c := call{device: device, raw: string(data)}
	if len(parts) < 4 || json.Unmarshal(parts[1], &c.id) != nil || json.Unmarshal(parts[2], &c.action) != nil ||
		json.Unmarshal(parts[3], &c.payload) != nil {
		return nil
	}
	s.mu.Lock()
	s.calls = append(s.calls, c)
	result, fault := s.judge(c)
	if s.answer != nil {
		if r, f, mine := s.answer(c); mine {
			result, fault = r, f
		}
	}
	s.mu.Unlock()
	s.heard <- c
	if fault != "" {
		return fmt.Appendf(nil, `[4,%q,%q,"",{}]`, c.id, fault)
	}
	if result == nil {
		return nil
	}
	text, err := json.Marshal(result)
	if err != nil {
		s.t.Error(err)
	}
	return fmt.Appendf(nil, `[3,%q,%s]`, c.id, text)
}

// judge answers and remembers; s.mu is held.
func (s *csms) judge(c call) (any, string) {
	accepted := map[string]any{"status": "Accepted"}
	switch c.action {
	case "BootNotification":
		return map[string]any{"status": "Accepted", "interval": 300, "currentTime": evcs.SystemClock{}.Now().Format(time.RFC3339)}, ""
	case "Heartbeat":
		return map[string]any{"currentTime": evcs.SystemClock{}.Now().Format(time.RFC3339)}, ""
	case "Authorize":
		return map[string]any{"idTagInfo": accepted}, ""
	case "StartTransaction":
		key := fmt.Sprint(c.device, c.payload["connectorId"], c.payload["timestamp"], c.payload["meterStart"], c.payload["idTag"])
		if s.starts[key] == 0 {
			s.next++
			s.starts[key] = s.next
		}
		return map[string]any{"transactionId": s.starts[key], "idTagInfo": accepted}, ""
	case "StopTransaction":
		id := int64(c.payload["transactionId"].(float64))
		s.stops[id] = append(s.stops[id], int64(c.payload["meterStop"].(float64)))
		return map[string]any{"idTagInfo": accepted}, ""
	case "MeterValues":
		s.meters[fmt.Sprint(c.payload["transactionId"], c.payload["meterValue"])]++
		return map[string]any{}, ""
	case "StatusNotification":
		return map[string]any{}, ""
	}
	return nil, "NotImplemented"
}

// heardOf waits for the next call with that action.
func (s *csms) heardOf(action string) call {
	for c := range s.heard {
		if c.action == action {
			return c
		}
	}
	return call{}
}
