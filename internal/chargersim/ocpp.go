package chargersim

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/evcs"
)

// ocppWire speaks OCPP 1.6J. The unit writes, one goroutine reads.
type ocppWire struct {
	conn   *websocket.Conn
	accent accent
	clock  evcs.Clock
	out    chan<- event
	done   chan struct{}
	once   sync.Once
	wg     sync.WaitGroup
	mu     sync.Mutex
	asked  map[string]action // guarded by mu; calls without an answer
}

// accent is how one charger writes what the standard leaves open.
type accent struct {
	style  style
	spaced bool // "[2, "id", …]"
	kilo   bool // registers in kWh instead of Wh
	model  string
	serial string
}

const writeTimeout = 5 * time.Second

func dialOCPP(c Config, ch ChargerConfig, a accent) dial {
	return func(ctx context.Context, out chan<- event) (wire, error) {
		d := websocket.Dialer{
			NetDialContext: c.Dial, HandshakeTimeout: 10 * time.Second, Subprotocols: []string{"ocpp1.6"},
			ReadBufferSize: 1024, WriteBufferSize: 1024,
		}
		h := http.Header{}
		if ch.Secret != "" {
			h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(ch.DeviceID+":"+ch.Secret)))
		}
		conn, res, err := d.DialContext(ctx, strings.TrimSuffix(c.Endpoint, "/")+"/"+url.PathEscape(ch.DeviceID), h)
		if res != nil {
			_ = res.Body.Close() // the body of a finished handshake
		}
		if err != nil {
			return nil, dialError(ch.DeviceID, res, err)
		}
		conn.SetReadLimit(256 << 10)
		w := &ocppWire{
			conn: conn, accent: a, clock: c.Clock, out: out, asked: map[string]action{}, done: make(chan struct{}),
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

func (w *ocppWire) close() {
	w.once.Do(func() { close(w.done) })
	_ = w.conn.Close() // the socket is given up
	w.wg.Wait()
}

func (w *ocppWire) read() {
	for {
		_, data, err := w.conn.ReadMessage()
		e := event{wire: w, gone: err}
		if err == nil {
			e = w.understand(data)
		}
		if e.answer == nil && e.order == nil && e.gone == nil {
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

func (w *ocppWire) write(frame []byte, err error) error {
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

func (w *ocppWire) raw(text string) error { return w.write([]byte(text), nil) }

func (w *ocppWire) send(id string, m *message) error {
	w.mu.Lock()
	w.asked[id] = m.action
	w.mu.Unlock()
	return w.write(w.frame(2, id, string(m.action), w.payload(m)))
}

// frame joins the parts of an OCPP-J array.
func (w *ocppWire) frame(parts ...any) ([]byte, error) {
	comma := ","
	if w.accent.spaced {
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
func (w *ocppWire) understand(data []byte) event {
	var parts []json.RawMessage
	if json.Unmarshal(data, &parts) != nil || len(parts) < 3 {
		return event{}
	}
	var id string
	if json.Unmarshal(parts[1], &id) != nil {
		return event{}
	}
	switch string(bytes.TrimSpace(parts[0])) {
	case "2":
		if len(parts) < 4 {
			return event{}
		}
		return event{wire: w, order: readOrder(id, parts[2], parts[3])}
	case "3":
		if act, ok := w.forget(id); ok {
			return event{wire: w, answer: readAnswer(id, act, parts[2])}
		}
	case "4":
		if _, ok := w.forget(id); ok {
			return event{wire: w, answer: readError(id, parts[2])}
		}
	}
	return event{}
}

func (w *ocppWire) forget(id string) (action, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	act, ok := w.asked[id]
	delete(w.asked, id)
	return act, ok
}

func readError(id string, part json.RawMessage) *answer {
	a := &answer{id: id, verdict: later}
	if json.Unmarshal(part, &a.fault) != nil {
		a.fault = "GenericError"
	}
	switch a.fault {
	case "InternalError", "GenericError", "SecurityError":
	default: // the server understood and will not change its mind
		a.verdict = refused
	}
	return a
}

type tagInfo struct {
	Status string `json:"status"`
}

func readAnswer(id string, act action, part json.RawMessage) *answer {
	var p struct {
		Status        string   `json:"status"`
		CurrentTime   string   `json:"currentTime"`
		Interval      int      `json:"interval"`
		TransactionID *int64   `json:"transactionId"`
		IDTagInfo     *tagInfo `json:"idTagInfo"`
	}
	a := &answer{id: id}
	if err := json.Unmarshal(part, &p); err != nil {
		return &answer{id: id, verdict: later, fault: "unreadable answer: " + err.Error()}
	}
	a.status, a.interval = p.Status, time.Duration(p.Interval)*time.Second
	if p.IDTagInfo != nil {
		a.status = p.IDTagInfo.Status
	}
	if t, err := time.Parse(time.RFC3339Nano, p.CurrentTime); err == nil {
		a.now = t
	}
	if act == actStart {
		if p.TransactionID == nil || p.IDTagInfo == nil {
			return &answer{id: id, verdict: later, fault: "a start was answered without transactionId or idTagInfo"}
		}
		a.transaction = *p.TransactionID
	}
	return a
}

func readOrder(id string, name, payload json.RawMessage) *order {
	var p struct {
		ConnectorID      int      `json:"connectorId"`
		IDTag            string   `json:"idTag"`
		TransactionID    int64    `json:"transactionId"`
		Type             string   `json:"type"`
		RequestedMessage string   `json:"requestedMessage"`
		Key              jsonKeys `json:"key"`
		Value            string   `json:"value"`
	}
	o := &order{id: id}
	if json.Unmarshal(name, &o.kind) != nil || json.Unmarshal(payload, &p) != nil {
		o.kind = "?"
		return o
	}
	o.connector, o.tag, o.transaction = p.ConnectorID, p.IDTag, p.TransactionID
	o.hard, o.operative = p.Type == "Hard", p.Type == "Operative"
	o.trigger, o.keys, o.value = p.RequestedMessage, p.Key, p.Value
	if len(p.Key) > 0 {
		o.key = p.Key[0]
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

func (w *ocppWire) payload(m *message) fields {
	time := func() string { return w.accent.style.write(m.at) }
	switch m.action {
	case actBoot:
		return fields{
			"chargePointVendor": "EVCS Simulator", "chargePointModel": w.accent.model,
			"chargePointSerialNumber": w.accent.serial, "firmwareVersion": "1.0.0",
		}
	case actStatus:
		return fields{"connectorId": m.connector, "status": string(m.state), "errorCode": "NoError", "timestamp": time()}
	case actAuthorize:
		return fields{"idTag": m.tag}
	case actStart:
		return fields{"connectorId": m.connector, "idTag": m.tag, "meterStart": m.register.Wh(), "timestamp": time()}
	case actMeter:
		return fields{
			"connectorId": m.connector, "transactionId": m.charge.transaction,
			"meterValue": []fields{{"timestamp": time(), "sampledValue": w.sampled(m)}},
		}
	case actStop:
		p := fields{
			"transactionId": m.charge.transaction, "idTag": m.tag, "meterStop": m.register.Wh(), "timestamp": time(),
		}
		if m.reason != "" && !m.copy {
			p["reason"] = m.reason
		}
		return p
	case actHeartbeat:
	}
	return fields{}
}

func (w *ocppWire) sampled(m *message) []fields {
	register, unit := strconv.FormatInt(m.register.Wh(), 10), "Wh"
	if w.accent.kilo {
		wh := m.register.Wh()
		register, unit = fmt.Sprintf("%d.%03d", wh/1000, wh%1000), "kWh"
	}
	r := m.reading
	values := []fields{
		{"value": register, "context": "Sample.Periodic", "measurand": "Energy.Active.Import.Register", "unit": unit},
		{"value": strconv.FormatInt(r.watts, 10), "measurand": "Power.Active.Import", "unit": "W"},
		{"value": strconv.FormatInt(r.volts, 10), "measurand": "Voltage", "unit": "V"},
		{"value": fmt.Sprintf("%d.%03d", r.milliamps/1000, r.milliamps%1000), "measurand": "Current.Import", "unit": "A"},
	}
	if r.soc >= 0 {
		values = append(values, fields{"value": strconv.FormatInt(r.soc/1000, 10), "measurand": "SoC", "unit": "Percent"})
	}
	return values
}

func (w *ocppWire) reply(o order, r reply) error {
	if r.fault != "" {
		return w.write(w.frame(4, o.id, r.fault, "", fields{}))
	}
	p := fields{"status": r.status}
	if o.kind == "GetConfiguration" {
		keys := make([]fields, 0, len(r.config))
		for _, s := range r.config {
			keys = append(keys, fields{"key": s.key, "readonly": s.readOnly, "value": s.value})
		}
		p = fields{"configurationKey": keys}
		if len(r.unknown) > 0 {
			p["unknownKey"] = r.unknown
		}
	}
	return w.write(w.frame(3, o.id, p))
}
