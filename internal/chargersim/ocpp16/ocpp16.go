// Package ocpp16 words the calls of a simulated charger in OCPP 1.6J, with bytes
// of its own: it shares nothing with the platform.
package ocpp16

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/chargersim/wire"
	"github.com/evcs/evcs/internal/evcs"
)

// link speaks OCPP 1.6J. The unit writes, one goroutine reads.
type link struct {
	conn   *websocket.Conn
	accent wire.Accent
	clock  evcs.Clock
	out    chan<- wire.Event
	done   chan struct{}
	once   sync.Once
	wg     sync.WaitGroup
	mu     sync.Mutex
	asked  map[string]wire.Action // guarded by mu; calls without an answer
}

// Target is one charger of one server.
type Target struct {
	Address          string // without the charger's id, "ws://host:8085/ocpp"
	DeviceID, Secret string
	Accent           wire.Accent
	Clock            evcs.Clock
	Net              func(ctx context.Context, network, address string) (net.Conn, error)
}

const writeTimeout = 5 * time.Second

// Dial connects to a target.
func Dial(t Target) wire.Dial {
	return func(ctx context.Context, out chan<- wire.Event) (wire.Conn, error) {
		d := websocket.Dialer{
			NetDialContext: t.Net, HandshakeTimeout: 10 * time.Second, Subprotocols: []string{"ocpp1.6"},
			ReadBufferSize: 1024, WriteBufferSize: 1024,
		}
		h := http.Header{}
		if t.Secret != "" {
			h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(t.DeviceID+":"+t.Secret)))
		}
		conn, res, err := d.DialContext(ctx, strings.TrimSuffix(t.Address, "/")+"/"+url.PathEscape(t.DeviceID), h)
		if res != nil {
			_ = res.Body.Close() // the body of a finished handshake
		}
		if err != nil {
			return nil, dialError(t.DeviceID, res, err)
		}
		conn.SetReadLimit(256 << 10)
		w := &link{
			conn: conn, accent: t.Accent, clock: t.Clock, out: out, asked: map[string]wire.Action{}, done: make(chan struct{}),
		}
		w.wg.Go(w.read)
		return w, nil
	}
}

func dialError(id string, res *http.Response, err error) error {
	if res != nil {
		return fmt.Errorf("connect %s: server answered %s: %w", id, res.Status, err)
	}
	return fmt.Errorf("connect %s: %w", id, err)
}

func (w *link) Close() {
	w.once.Do(func() { close(w.done) })
	_ = w.conn.Close() // the socket is given up
	w.wg.Wait()
}

func (w *link) read() {
	for {
		_, data, err := w.conn.ReadMessage()
		e := wire.Event{Conn: w, Gone: err}
		if err == nil {
			e = w.understand(data)
		}
		if e.Answer == nil && e.Order == nil && e.Gone == nil {
			continue
		}
		select {
		case w.out <- e:
		case <-w.done:
			return
		}
		if err != nil {
			return
		}
	}
}

func (w *link) write(frame []byte, err error) error {
	if err != nil {
		return err
	}
	if err := w.conn.SetWriteDeadline(w.clock.Now().Add(writeTimeout)); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := w.conn.WriteMessage(websocket.TextMessage, frame); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

func (w *link) Raw(text string) error { return w.write([]byte(text), nil) }

func (w *link) Send(id string, m wire.Call) error {
	w.mu.Lock()
	w.asked[id] = m.Action
	w.mu.Unlock()
	return w.write(w.frame(2, id, string(m.Action), w.payload(m)))
}

// frame joins the parts of an OCPP-J array.
func (w *link) frame(parts ...any) ([]byte, error) {
	comma := ","
	if w.accent.Spaced {
		comma = ", "
	}
	texts := make([][]byte, len(parts))
	for i, part := range parts {
		text, err := json.Marshal(part)
		if err != nil {
			return nil, fmt.Errorf("word a frame: %w", err)
		}
		texts[i] = text
	}
	return []byte("[" + string(bytes.Join(texts, []byte(comma))) + "]"), nil
}

// understand reads one frame; what makes no sense is nothing.
func (w *link) understand(data []byte) wire.Event {
	var parts []json.RawMessage
	if json.Unmarshal(data, &parts) != nil || len(parts) < 3 {
		return wire.Event{}
	}
	var id string
	if json.Unmarshal(parts[1], &id) != nil {
		return wire.Event{}
	}
	switch string(bytes.TrimSpace(parts[0])) {
	case "2":
		if len(parts) < 4 {
			return wire.Event{}
		}
		return wire.Event{Conn: w, Order: readOrder(id, parts[2], parts[3])}
	case "3":
		if act, ok := w.forget(id); ok {
			return wire.Event{Conn: w, Answer: readAnswer(id, act, parts[2])}
		}
	case "4":
		if _, ok := w.forget(id); ok {
			return wire.Event{Conn: w, Answer: readError(id, parts[2])}
		}
	}
	return wire.Event{}
}

func (w *link) forget(id string) (wire.Action, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	act, ok := w.asked[id]
	delete(w.asked, id)
	return act, ok
}

func readError(id string, part json.RawMessage) *wire.Answer {
	a := &wire.Answer{ID: id, Verdict: wire.Later}
	if json.Unmarshal(part, &a.Fault) != nil {
		a.Fault = "GenericError"
	}
	switch a.Fault {
	case "InternalError", "GenericError", "SecurityError":
	default: // the server understood and will not change its mind
		a.Verdict = wire.Refused
	}
	return a
}

type tagInfo struct {
	Status string `json:"status"`
}

func readAnswer(id string, act wire.Action, part json.RawMessage) *wire.Answer {
	var p struct {
		Status        string   `json:"status"`
		CurrentTime   string   `json:"currentTime"`
		Interval      int      `json:"interval"`
		TransactionID *int64   `json:"transactionId"`
		IDTagInfo     *tagInfo `json:"idTagInfo"`
	}
	a := &wire.Answer{ID: id}
	if err := json.Unmarshal(part, &p); err != nil {
		return &wire.Answer{ID: id, Verdict: wire.Later, Fault: "unreadable Answer: " + err.Error()}
	}
	a.Status, a.Interval = p.Status, time.Duration(p.Interval)*time.Second
	if p.IDTagInfo != nil {
		a.Status = p.IDTagInfo.Status
	}
	if t, err := time.Parse(time.RFC3339Nano, p.CurrentTime); err == nil {
		a.Now = t
	}
	if act == wire.Start {
		if p.TransactionID == nil || p.IDTagInfo == nil {
			return &wire.Answer{ID: id, Verdict: wire.Later, Fault: "a start was answered without transactionId or idTagInfo"}
		}
		a.Transaction = *p.TransactionID
	}
	return a
}

func readOrder(id string, name, payload json.RawMessage) *wire.Order {
	var p struct {
		ConnectorID      int      `json:"connectorId"`
		IDTag            string   `json:"idTag"`
		TransactionID    int64    `json:"transactionId"`
		Type             string   `json:"type"`
		RequestedMessage string   `json:"requestedMessage"`
		Key              jsonKeys `json:"key"`
		Value            string   `json:"value"`
	}
	o := &wire.Order{ID: id}
	if json.Unmarshal(name, &o.Kind) != nil || json.Unmarshal(payload, &p) != nil {
		o.Kind = "?"
		return o
	}
	o.Connector, o.Tag, o.Transaction = p.ConnectorID, p.IDTag, p.TransactionID
	o.Hard, o.Operative = p.Type == "Hard", p.Type == "Operative"
	o.Trigger, o.Keys, o.Value = p.RequestedMessage, p.Key, p.Value
	if len(p.Key) > 0 {
		o.Key = p.Key[0]
	}
	return o
}

// jsonKeys is "key" of ChangeConfiguration (a text) and of GetConfiguration (a list).
type jsonKeys []string

// UnmarshalJSON implements json.Unmarshaler.
func (k *jsonKeys) UnmarshalJSON(data []byte) error {
	var one string
	if json.Unmarshal(data, &one) == nil {
		*k = jsonKeys{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return errors.New("key is neither text nor list")
	}
	*k = many
	return nil
}

type fields map[string]any

func (w *link) payload(m wire.Call) fields {
	time := func() string { return w.accent.Style.Write(m.At) }
	switch m.Action {
	case wire.Boot:
		return fields{
			"chargePointVendor": "EVCS Simulator", "chargePointModel": w.accent.Model,
			"chargePointSerialNumber": w.accent.Serial, "firmwareVersion": "1.0.0",
		}
	case wire.Status:
		return fields{"connectorId": m.Connector, "status": string(m.State), "errorCode": "NoError", "timestamp": time()}
	case wire.Authorize:
		return fields{"idTag": m.Tag}
	case wire.Start:
		return fields{"connectorId": m.Connector, "idTag": m.Tag, "meterStart": m.Register.Wh(), "timestamp": time()}
	case wire.Meter:
		return fields{
			"connectorId": m.Connector, "transactionId": m.Transaction,
			"meterValue": []fields{{"timestamp": time(), "sampledValue": w.sampled(m)}},
		}
	case wire.Stop:
		p := fields{
			"transactionId": m.Transaction, "idTag": m.Tag, "meterStop": m.Register.Wh(), "timestamp": time(),
		}
		if m.Reason != "" {
			p["reason"] = m.Reason
		}
		return p
	case wire.Heartbeat:
	}
	return fields{}
}

func (w *link) sampled(m wire.Call) []fields {
	register, unit := strconv.FormatInt(m.Register.Wh(), 10), "Wh"
	if w.accent.Kilo {
		wh := m.Register.Wh()
		register, unit = fmt.Sprintf("%d.%03d", wh/1000, wh%1000), "kWh"
	}
	r := m.Reading
	values := []fields{
		{"value": register, "context": "Sample.Periodic", "measurand": "Energy.Active.Import.Register", "unit": unit},
		{"value": strconv.FormatInt(r.Watts, 10), "measurand": "Power.Active.Import", "unit": "W"},
		{"value": strconv.FormatInt(r.Volts, 10), "measurand": "Voltage", "unit": "V"},
		{"value": fmt.Sprintf("%d.%03d", r.Milliamps/1000, r.Milliamps%1000), "measurand": "Current.Import", "unit": "A"},
	}
	if r.SoC >= 0 {
		values = append(values, fields{"value": strconv.FormatInt(r.SoC/1000, 10), "measurand": "SoC", "unit": "Percent"})
	}
	return values
}

func (w *link) Reply(o wire.Order, r wire.Reply) error {
	if r.Fault != "" {
		return w.write(w.frame(4, o.ID, r.Fault, "", fields{}))
	}
	p := fields{"status": r.Status}
	if o.Kind == "GetConfiguration" {
		keys := make([]fields, 0, len(r.Config))
		for _, s := range r.Config {
			keys = append(keys, fields{"key": s.Key, "readonly": s.ReadOnly, "value": s.Value})
		}
		p = fields{"configurationKey": keys}
		if len(r.Unknown) > 0 {
			p["unknownKey"] = r.Unknown
		}
	}
	return w.write(w.frame(3, o.ID, p))
}
