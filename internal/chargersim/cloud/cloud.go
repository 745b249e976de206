// Package cloud words the calls of a simulated charger in cloudcharge, with bytes
// of its own: signed HTTP requests.
package cloud

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/chargersim/wire"
	"github.com/evcs/evcs/internal/evcs"
)

// link speaks cloudcharge: every message is a signed POST, commands come
// back with the heartbeats. It is "connected" while its polls succeed.
type link struct {
	client *http.Client
	base   string
	device string
	secret string
	accent wire.Accent
	clock  evcs.Clock
	out    chan<- wire.Event
	stop   context.CancelFunc
	done   <-chan struct{}
	async  func(func(context.Context)) // runs a call in a goroutine that close waits for
	wg     sync.WaitGroup

	mu      sync.Mutex
	results []fields        // guarded by mu; outcomes of commands, for the next heartbeat
	known   map[string]bool // guarded by mu; commands seen
	polls   int             // guarded by mu
}

// pollWait is how long a heartbeat waits for commands.
const pollWait = 20

// Target is one charger of one server.
type Target struct {
	Address          string // "http://host:8085"
	DeviceID, Secret string
	Accent           wire.Accent
	Timeout          time.Duration // of an answer
	Clock            evcs.Clock
	Transport        http.RoundTripper
}

// Dial connects to a target.
func Dial(t Target) wire.Dial {
	return func(ctx context.Context, out chan<- wire.Event) (wire.Conn, error) {
		w := &link{
			client: &http.Client{Transport: t.Transport, Timeout: t.Timeout + pollWait*time.Second},
			base:   strings.TrimSuffix(t.Address, "/") + "/api/cloudcharge/", device: t.DeviceID, secret: t.Secret,
			accent: t.Accent, clock: t.Clock, out: out, known: map[string]bool{},
		}
		life, stop := context.WithCancel(ctx)
		w.stop, w.done = stop, life.Done()
		w.async = func(f func(context.Context)) { w.wg.Go(func() { f(life) }) }
		if _, err := w.heartbeat(life, 0); err != nil {
			stop()
			return nil, fmt.Errorf("connect %s: %w", t.DeviceID, err)
		}
		w.async(w.poll)
		return w, nil
	}
}

func (w *link) Close() {
	w.stop()
	w.wg.Wait()
}

func (w *link) Raw(text string) error {
	w.async(func(ctx context.Context) {
		// garbage has no answer; post closes the body
		_, _, _ = w.post(ctx, "status", []byte(text))
	})
	return nil
}

func (w *link) tell(e wire.Event) {
	e.Conn = w
	select {
	case w.out <- e:
	case <-w.done:
	}
}

// poll asks for commands for as long as the wire lives.
func (w *link) poll(ctx context.Context) {
	for ctx.Err() == nil {
		res, err := w.heartbeat(ctx, pollWait)
		if err != nil {
			w.tell(wire.Event{Gone: err})
			return
		}
		w.take(res.Data.Commands)
		pause := time.NewTimer(max(time.Duration(res.Data.pause())*time.Second, 200*time.Millisecond))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// reply is the answer to any operation.
type reply struct {
	Code      string  `json:"code"`
	Message   string  `json:"message"`
	ErrorCode any     `json:"errorCode"`
	RequestID string  `json:"requestId"`
	Data      content `json:"data"`
}

type content struct {
	SessionID     string    `json:"sessionId"`
	OrderNo       string    `json:"orderNo"`
	Timestamp     string    `json:"timestamp"`
	NextHeartbeat int       `json:"nextHeartbeat"`
	Commands      []command `json:"commands"`
	waited        bool
}

// pause is the time in seconds until the next poll: none when the server holds
// polls open.
func (d content) pause() int {
	if d.waited || len(d.Commands) > 0 {
		return 0
	}
	return min(d.NextHeartbeat, 2)
}

type command struct {
	CommandID   json.Number `json:"commandId"`
	Type        string      `json:"type"`
	ConnectorNo int         `json:"connectorNo"`
	SessionID   string      `json:"sessionId"`
	IDTag       string      `json:"idTag"`
	Params      struct {
		Operative bool     `json:"operative"`
		Message   string   `json:"message"`
		Key       string   `json:"key"`
		Value     string   `json:"value"`
		Keys      []string `json:"keys"`
		Type      string   `json:"type"`
	} `json:"params"`
}

func (w *link) heartbeat(ctx context.Context, wait int) (reply, error) {
	w.mu.Lock()
	w.polls++
	request := fmt.Sprintf("hb-%d-%d", w.clock.Now().UnixMilli(), w.polls)
	results := w.results
	w.mu.Unlock()
	data := fields{"wait": wait}
	if len(results) > 0 {
		data["commandResults"] = results
	}
	began := w.clock.Now()
	res, status, err := w.call(ctx, "heartbeat", request, "", data)
	if err != nil {
		return res, err
	}
	if status != http.StatusOK {
		return res, fmt.Errorf("heartbeat: server answered %d %s", status, res.Message)
	}
	res.Data.waited = w.clock.Now().Sub(began) > time.Second
	w.mu.Lock()
	w.results = slices.Clone(w.results[len(results):])
	w.mu.Unlock()
	return res, nil
}

// take hands commands on, each once: the server repeats them until it knows the
// outcome.
func (w *link) take(commands []command) {
	for _, c := range commands {
		id := c.CommandID.String()
		w.mu.Lock()
		seen := w.known[id]
		w.known[id] = true
		w.mu.Unlock()
		if seen {
			continue
		}
		w.tell(wire.Event{Order: &wire.Order{
			ID: id, Kind: c.Type, Connector: c.ConnectorNo, Tag: c.IDTag, Session: c.SessionID, Hard: c.Params.Type == "hard",
			Operative: c.Params.Operative, Trigger: c.Params.Message, Key: c.Params.Key, Value: c.Params.Value, Keys: c.Params.Keys,
		}})
	}
}

func (w *link) Reply(o wire.Order, r wire.Reply) error {
	result := fields{"commandId": json.Number(o.ID), "result": "ACCEPTED"}
	switch {
	case r.Fault != "":
		result["result"], result["reason"] = "REJECTED", r.Fault
	case r.Status == "Rejected" || r.Status == "NotSupported":
		result["result"], result["reason"] = "REJECTED", r.Status
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.results = append(w.results, result)
	return nil
}

func (w *link) Send(id string, m wire.Call) error {
	op, session, data := w.word(m)
	if op == "" { // cloudcharge has no such message: it is taken as said
		w.async(func(context.Context) { w.tell(wire.Event{Answer: &wire.Answer{ID: id, Status: "Accepted"}}) })
		return nil
	}
	request := m.Request
	w.async(func(ctx context.Context) {
		res, status, err := w.call(ctx, op, request, session, data)
		if err != nil {
			w.tell(wire.Event{Gone: err})
			return
		}
		w.take(res.Data.Commands)
		a := &wire.Answer{
			ID: id, Verdict: verdictOf(status), Status: "Accepted", Session: res.Data.SessionID, OrderNo: res.Data.OrderNo,
			Interval: time.Duration(res.Data.NextHeartbeat) * time.Second,
		}
		if a.Verdict != wire.Taken {
			a.Fault = fmt.Sprintf("%d %v %s", status, res.ErrorCode, res.Message)
		}
		if t, err := time.Parse(time.RFC3339, res.Data.Timestamp); err == nil {
			a.Now = t
		}
		w.tell(wire.Event{Answer: a})
	})
	return nil
}

func verdictOf(status int) wire.Verdict {
	switch {
	case status == http.StatusOK:
		return wire.Taken
	case status >= http.StatusInternalServerError || status == http.StatusTooManyRequests:
		return wire.Later
	}
	return wire.Refused
}

// word gives the operation, the session and the data of a message.
func (w *link) word(m wire.Call) (op, session string, data fields) {
	at := func() string { return w.accent.Style.Write(m.At) }
	number := func(e journal.Energy) json.RawMessage { return json.RawMessage(e.String()) }
	switch m.Action {
	case wire.Boot, wire.Heartbeat:
		return "heartbeat", "", fields{"wait": 0}
	case wire.Status:
		return "status", "", fields{"connectorNo": max(m.Connector, 1), "status": stateNumber(m.State), "plugged": m.State.Plugged()}
	case wire.Start:
		data := fields{
			"connectorNo": m.Connector, "idTag": m.Tag, "initialEnergy": number(m.Register), "startTime": at(),
			"offline": m.Offline,
		}
		if m.Command != "" {
			data["commandId"] = json.Number(m.Command)
		}
		return "start", m.Session, data
	case wire.Meter:
		return "meter", m.Session, fields{"connectorNo": m.Connector, "samples": []fields{{
			"time": at(), "meter": number(m.Register), "power": json.RawMessage(thousandths(m.Reading.Watts)),
			"voltage": m.Reading.Volts, "current": json.RawMessage(thousandths(m.Reading.Milliamps)),
		}}}
	case wire.Stop:
		data := fields{"connectorNo": m.Connector, "meterStop": number(m.Register), "endTime": at(), "reason": m.Reason}
		if m.Bill > 0 {
			data["amount"] = json.RawMessage(fmt.Sprintf("%d.%02d", m.Bill/100, m.Bill%100))
		}
		return "stop", m.Session, data
	case wire.Authorize: // tags are judged by the start
	}
	return "", "", nil
}

func thousandths(n int64) string { return fmt.Sprintf("%d.%03d", n/1000, n%1000) }

// call signs, sends and reads one operation.
func (w *link) call(ctx context.Context, op, request, session string, data fields) (reply, int, error) {
	stamp := w.clock.Now().UTC().Format("2006-01-02T15:04:05Z")
	body, err := signed(w.secret, envelope{
		id: request, stamp: stamp, device: w.device, session: session, action: op, data: data,
	})
	if err != nil {
		return reply{}, 0, err
	}
	return w.post(ctx, op, body)
}

func (w *link) post(ctx context.Context, op string, body []byte) (reply, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+op, bytes.NewReader(body))
	if err != nil {
		return reply{}, 0, fmt.Errorf("%s: %w", op, err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := w.client.Do(req)
	if err != nil {
		return reply{}, 0, fmt.Errorf("%s: %w", op, err)
	}
	defer res.Body.Close() // read to its end
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return reply{}, 0, fmt.Errorf("%s: %w", op, err)
	}
	var a reply
	if err := json.Unmarshal(text, &a); err != nil {
		return a, res.StatusCode, errors.Join(fmt.Errorf("%s: unreadable answer with status %d", op, res.StatusCode), err)
	}
	return a, res.StatusCode, nil
}

// envelope is that of contract §16.1.
type envelope struct {
	id, stamp, device, session, action string
	data                               fields
}

// signed writes the request with its signature. Texts are signed as they are,
// everything else as the very bytes of the body.
func signed(secret string, r envelope) ([]byte, error) {
	var text, body strings.Builder
	fmt.Fprintf(&text, "requestId=%s&apiVersion=3.0&timestamp=%s&deviceCode=%s", r.id, r.stamp, r.device)
	fmt.Fprintf(&body, `{"requestId":%q,"apiVersion":"3.0","timestamp":%q,"deviceCode":%q`, r.id, r.stamp, r.device)
	if r.session != "" {
		fmt.Fprintf(&text, "&sessionId=%s", r.session)
		fmt.Fprintf(&body, `,"sessionId":%q`, r.session)
	}
	if r.action != "" {
		fmt.Fprintf(&text, "&action=%s", r.action)
		fmt.Fprintf(&body, `,"action":%q`, r.action)
	}
	body.WriteString(`,"data":{`)
	for i, key := range sortedKeys(r.data) {
		raw, err := json.Marshal(r.data[key])
		if err != nil {
			return nil, fmt.Errorf("word %s: %w", key, err)
		}
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, "%q:%s", key, raw)
		if s, ok := r.data[key].(string); ok {
			raw = []byte(s)
		}
		fmt.Fprintf(&text, "&%s=%s", key, raw)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text.String()))
	fmt.Fprintf(&body, `},"signature":%q}`, hex.EncodeToString(mac.Sum(nil)))
	return []byte(body.String()), nil
}

func sortedKeys(m fields) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// stateNumber is a state in the numbers of cloudcharge.
func stateNumber(s wire.State) int {
	switch s {
	case wire.Charging, wire.SuspendedEV:
		return 2
	case wire.Unavailable:
		return 4
	case wire.Available, wire.Preparing, wire.Finishing:
	}
	return 1
}

// fields is a JSON object.
type fields map[string]any
