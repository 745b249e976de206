package chargersim

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

	"github.com/evcs/evcs/internal/evcs"
)

// cloudWire speaks cloudcharge: every message is a signed POST, commands come
// back with the heartbeats. It is "connected" while its polls succeed.
type cloudWire struct {
	client *http.Client
	base   string
	device string
	secret string
	accent accent
	clock  evcs.Clock
	out    chan<- event
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

func dialCloud(c Config, ch ChargerConfig, a accent, transport http.RoundTripper) dial {
	return func(ctx context.Context, out chan<- event) (wire, error) {
		w := &cloudWire{
			client: &http.Client{Transport: transport, Timeout: c.AnswerTimeout + pollWait*time.Second},
			base:   strings.TrimSuffix(c.HTTP, "/") + "/api/cloudcharge/", device: ch.DeviceID, secret: ch.Secret,
			accent: a, clock: c.Clock, out: out, known: map[string]bool{},
		}
		life, stop := context.WithCancel(ctx)
		w.stop, w.done = stop, life.Done()
		w.async = func(f func(context.Context)) { w.wg.Go(func() { f(life) }) }
		if _, err := w.heartbeat(life, 0); err != nil {
			stop()
			return nil, fmt.Errorf("connect %s: %w", ch.DeviceID, err)
		}
		w.async(w.poll)
		return w, nil
	}
}

func (w *cloudWire) close() {
	w.stop()
	w.wg.Wait()
}

func (w *cloudWire) raw(text string) error {
	w.async(func(ctx context.Context) {
		// garbage has no answer; post closes the body
		_, _, _ = w.post(ctx, "status", []byte(text))
	})
	return nil
}

func (w *cloudWire) tell(e event) {
	e.wire = w
	select {
	case w.out <- e:
	case <-w.done:
	}
}

// poll asks for commands for as long as the wire lives.
func (w *cloudWire) poll(ctx context.Context) {
	for ctx.Err() == nil {
		res, err := w.heartbeat(ctx, pollWait)
		if err != nil {
			w.tell(event{gone: err})
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

// cloudAnswer is the answer to any operation.
type cloudAnswer struct {
	Code      string    `json:"code"`
	Message   string    `json:"message"`
	ErrorCode any       `json:"errorCode"`
	RequestID string    `json:"requestId"`
	Data      cloudData `json:"data"`
}

type cloudData struct {
	SessionID     string         `json:"sessionId"`
	OrderNo       string         `json:"orderNo"`
	Timestamp     string         `json:"timestamp"`
	NextHeartbeat int            `json:"nextHeartbeat"`
	Commands      []cloudCommand `json:"commands"`
	waited        bool
}

// pause is the time in seconds until the next poll: none when the server holds
// polls open.
func (d cloudData) pause() int {
	if d.waited || len(d.Commands) > 0 {
		return 0
	}
	return min(d.NextHeartbeat, 2)
}

type cloudCommand struct {
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

func (w *cloudWire) heartbeat(ctx context.Context, wait int) (cloudAnswer, error) {
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
func (w *cloudWire) take(commands []cloudCommand) {
	for _, c := range commands {
		id := c.CommandID.String()
		w.mu.Lock()
		seen := w.known[id]
		w.known[id] = true
		w.mu.Unlock()
		if seen {
			continue
		}
		w.tell(event{order: &order{
			id: id, kind: c.Type, connector: c.ConnectorNo, tag: c.IDTag, session: c.SessionID, hard: c.Params.Type == "hard",
			operative: c.Params.Operative, trigger: c.Params.Message, key: c.Params.Key, value: c.Params.Value, keys: c.Params.Keys,
		}})
	}
}

func (w *cloudWire) reply(o order, r reply) error {
	result := fields{"commandId": json.Number(o.id), "result": "ACCEPTED"}
	switch {
	case r.fault != "":
		result["result"], result["reason"] = "REJECTED", r.fault
	case r.status == "Rejected" || r.status == "NotSupported":
		result["result"], result["reason"] = "REJECTED", r.status
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.results = append(w.results, result)
	return nil
}

func (w *cloudWire) send(id string, m *message) error {
	op, session, data := w.word(m)
	if op == "" { // cloudcharge has no such message: it is taken as said
		w.async(func(context.Context) { w.tell(event{answer: &answer{id: id, status: "Accepted"}}) })
		return nil
	}
	request := m.request
	w.async(func(ctx context.Context) {
		res, status, err := w.call(ctx, op, request, session, data)
		if err != nil {
			w.tell(event{gone: err})
			return
		}
		w.take(res.Data.Commands)
		a := &answer{
			id: id, verdict: verdictOf(status), status: "Accepted", session: res.Data.SessionID, orderNo: res.Data.OrderNo,
			interval: time.Duration(res.Data.NextHeartbeat) * time.Second,
		}
		if a.verdict != taken {
			a.fault = fmt.Sprintf("%d %v %s", status, res.ErrorCode, res.Message)
		}
		if t, err := time.Parse(time.RFC3339, res.Data.Timestamp); err == nil {
			a.now = t
		}
		w.tell(event{answer: a})
	})
	return nil
}

func verdictOf(status int) verdict {
	switch {
	case status == http.StatusOK:
		return taken
	case status >= http.StatusInternalServerError || status == http.StatusTooManyRequests:
		return later
	}
	return refused
}

// word gives the operation, the session and the data of a message.
func (w *cloudWire) word(m *message) (op, session string, data fields) {
	at := func() string { return w.accent.style.write(m.at) }
	number := func(e Energy) json.RawMessage { return json.RawMessage(e.String()) }
	switch m.action {
	case actBoot, actHeartbeat:
		return "heartbeat", "", fields{"wait": 0}
	case actStatus:
		return "status", "", fields{"connectorNo": max(m.connector, 1), "status": m.state.number(), "plugged": m.state.plugged()}
	case actStart:
		data := fields{
			"connectorNo": m.connector, "idTag": m.tag, "initialEnergy": number(m.register), "startTime": at(),
			"offline": m.charge.offline,
		}
		if m.charge.command != "" {
			data["commandId"] = json.Number(m.charge.command)
		}
		return "start", m.charge.session, data
	case actMeter:
		return "meter", m.charge.session, fields{"connectorNo": m.connector, "samples": []fields{{
			"time": at(), "meter": number(m.register), "power": json.RawMessage(thousandths(m.reading.watts)),
			"voltage": m.reading.volts, "current": json.RawMessage(thousandths(m.reading.milliamps)),
		}}}
	case actStop:
		return "stop", m.charge.session, fields{
			"connectorNo": m.connector, "meterStop": number(m.register), "endTime": at(), "reason": m.reason,
		}
	case actAuthorize: // tags are judged by the start
	}
	return "", "", nil
}

func thousandths(n int64) string { return fmt.Sprintf("%d.%03d", n/1000, n%1000) }

// call signs, sends and reads one operation.
func (w *cloudWire) call(ctx context.Context, op, request, session string, data fields) (cloudAnswer, int, error) {
	stamp := w.clock.Now().UTC().Format("2006-01-02T15:04:05Z")
	body, err := signed(w.secret, cloudRequest{
		id: request, stamp: stamp, device: w.device, session: session, action: op, data: data,
	})
	if err != nil {
		return cloudAnswer{}, 0, err
	}
	return w.post(ctx, op, body)
}

func (w *cloudWire) post(ctx context.Context, op string, body []byte) (cloudAnswer, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+op, bytes.NewReader(body))
	if err != nil {
		return cloudAnswer{}, 0, fmt.Errorf("%s: %w", op, err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := w.client.Do(req)
	if err != nil {
		return cloudAnswer{}, 0, fmt.Errorf("%s: %w", op, err)
	}
	defer res.Body.Close() // read to its end
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return cloudAnswer{}, 0, fmt.Errorf("%s: %w", op, err)
	}
	var a cloudAnswer
	if err := json.Unmarshal(text, &a); err != nil {
		return a, res.StatusCode, errors.Join(fmt.Errorf("%s: unreadable answer with status %d", op, res.StatusCode), err)
	}
	return a, res.StatusCode, nil
}

// cloudRequest is the envelope of contract §16.1.
type cloudRequest struct {
	id, stamp, device, session, action string
	data                               fields
}

// signed writes the request with its signature. Texts are signed as they are,
// everything else as the very bytes of the body.
func signed(secret string, r cloudRequest) ([]byte, error) {
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
