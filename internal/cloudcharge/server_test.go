package cloudcharge

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

const secret = "k3Zt9vQmX2bR7wLpD5yHsE8uJ4nGfA1c"

const vector = `{"requestId":"REQ-0001","apiVersion":"3.0","timestamp":"2026-02-10T18:30:05","deviceCode":"CP-001","sessionId":"S-7f3a","action":"stop",
 "data":{"connectorNo":1,"duration":60,"endTime":"2026-02-10T18:30:00","energy":42.5000,"reason":"EV full"},
 "signature":"cc4e369289496a56ae666851f64af0ed8b588f101f1be66b66ff36017e073517"}`

func TestVectorOfTheContract(t *testing.T) {
	t.Parallel()
	q, err := parseRequest("stop", []byte(vector))
	if err != nil || !q.verify(secret) || q.verify(secret+"x") {
		t.Fatalf("%v, signed %q", err, q.signed())
	}
}

// outside is everything the server talks to.
type outside struct {
	device.Handler
	mu      sync.Mutex
	replies map[string]Reply
	stops   int
	orphan  bool
	err     error
	last    device.Stopped
	clock   time.Time
}

func (o *outside) Now() time.Time { return o.clock }
func (o *outside) Admit(_ context.Context, c device.Credential) (device.Identity, error) {
	if c.DeviceID != "CP-001" {
		return device.Identity{}, device.ErrUnknown
	}
	if !c.Verify(secret) {
		return device.Identity{}, device.ErrAuthFailed
	}
	return device.Identity{Tenant: 2, Charger: 10001, DeviceID: "CP-001", Zone: time.FixedZone("", 8*3600)}, nil
}
func (*outside) Refused(context.Context, device.Refusal)              {}
func (*outside) Connected(context.Context, device.Session) error      { return nil }
func (*outside) Disconnected(context.Context, device.Session, string) {}
func (*outside) Heard(device.Identity, time.Time)                     {}
func (o *outside) Recall(_ context.Context, _ evcs.Scope, _ evcs.ChargerID, id string) (Reply, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r, ok := o.replies[id]
	return r, ok, nil
}

func (o *outside) Remember(_ context.Context, _ evcs.Scope, _ evcs.ChargerID, id string, r Reply) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.replies[id] = r
	return nil
}

func (o *outside) Stopped(_ context.Context, m device.Stopped) (device.StopAnswer, error) {
	o.stops++
	o.last = m
	return device.StopAnswer{
		Session: m.Session, OrderNo: "ORD-20260210000019", Energy: 425000, Duration: time.Hour, Amount: 6163, Orphan: o.orphan,
	}, o.err
}

func newServer() (*Server, *outside) {
	o := &outside{replies: map[string]Reply{}, clock: time.Date(2026, 2, 10, 10, 30, 5, 0, time.UTC)}
	return NewServer(Config{Gate: o, Presence: o, Hub: device.NewHub(), Handler: o, Replays: o, Clock: o}), o
}

func post(s *Server, operation, body string) (int, string) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("POST", "/api/cloudcharge/"+operation, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

// sign makes a heartbeat with this data.
func sign(id, data, signed string) string {
	text := "requestId=" + id + "&apiVersion=3.0&timestamp=2026-02-10T10:30:05Z&deviceCode=CP-001" + signed
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return `{"requestId":"` + id + `","apiVersion":"3.0","timestamp":"2026-02-10T10:30:05Z","deviceCode":"CP-001","data":` + data +
		`,"signature":"` + hex.EncodeToString(mac.Sum(nil)) + `"}`
}

func TestStop(t *testing.T) {
	t.Parallel()
	s, o := newServer()
	status, first := post(s, "stop", vector)
	for _, part := range []string{`"code":"200"`, `"energy":42.5000`, `"duration":60`, `"amount":61.63`, `"timestamp":"2026-02-10T18:30:05"`} {
		if status != 200 || !strings.Contains(first, part) {
			t.Errorf("%d %s lacks %s", status, first, part)
		}
	}
	if *o.last.Energy != 425000 || o.last.Reason != "EV_FULL" || o.last.Duration != time.Hour {
		t.Errorf("%+v", o.last)
	}
	o.clock = o.clock.Add(time.Hour) // a repeat, whatever its age
	if _, again := post(s, "stop", vector); again != first || o.stops != 1 {
		t.Errorf("repeat: %s after %d stops", again, o.stops)
	}
	delete(o.replies, "REQ-0001")
	if status, body := post(s, "stop", vector); status != 401 || !strings.Contains(body, `"errorCode":2022`) {
		t.Errorf("old: %d %s", status, body)
	}
}

// Eight copies of one call at once have one effect and one answer.
func TestRepeatsAtOnce(t *testing.T) {
	t.Parallel()
	s, o := newServer()
	answers := make([]string, 8)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			status, body := post(s, "stop", vector)
			answers[i] = fmt.Sprint(status, " ", body)
		})
	}
	wg.Wait()
	for _, a := range answers {
		if a != answers[0] || !strings.HasPrefix(a, "200 ") {
			t.Errorf("%s, and another %s", a, answers[0])
		}
	}
	if o.stops != 1 {
		t.Errorf("%d effects", o.stops)
	}
}

func TestStopOutcomes(t *testing.T) {
	t.Parallel()
	s, o := newServer()
	o.err = evcs.ErrUnavailable
	if status, _ := post(s, "stop", vector); status != 503 || len(o.replies) != 0 {
		t.Errorf("store down: %d, %d remembered", status, len(o.replies))
	}
	o.err, o.orphan = nil, true
	if status, body := post(s, "stop", vector); status != 404 || !strings.Contains(body, `"stored":true`) || !strings.Contains(body, `3005`) {
		t.Errorf("orphan: %d %s", status, body)
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	s, o := newServer()
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"not JSON":      {`{`, 400, "9400"},
		"empty":         {``, 400, "9400"},
		"key twice":     {strings.Replace(vector, `"duration":60`, `"duration":60,"duration":60`, 1), 400, "9400"},
		"ampersand":     {strings.Replace(vector, `EV full`, `a&b`, 1), 400, "9400"},
		"control":       {strings.Replace(vector, `EV full`, `a\u0000b`, 1), 400, "9400"},
		"forged":        {strings.Replace(vector, `42.5000`, `42.50`, 1), 401, "2020"},
		"stranger":      {strings.Replace(vector, `CP-001`, `CP-002`, 1), 404, "2021"},
		"other action":  {strings.Replace(vector, `"stop"`, `"start"`, 1), 400, "9400"},
		"other version": {strings.Replace(vector, `"3.0"`, `"2.0"`, 1), 400, "9400"},
		"too large":     {`{"x":"` + strings.Repeat("x", 256<<10) + `"}`, 413, "9413"},
	} {
		if status, body := post(s, "stop", c.body); status != c.status || !strings.Contains(body, `"errorCode":`+c.code) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if status, _ := post(s, "nothing", vector); status != 404 || o.stops != 0 {
		t.Errorf("unknown operation %d, stops %d", status, o.stops)
	}
}

func TestReusedRequestID(t *testing.T) {
	t.Parallel()
	s, _ := newServer()
	if status, body := post(s, "heartbeat", sign("R1", `{"wait":0}`, "&wait=0")); status != 200 || !strings.Contains(body, `"nextHeartbeat":60`) {
		t.Fatalf("%d %s", status, body)
	}
	if status, body := post(s, "heartbeat", sign("R1", `{}`, "")); status != 409 || !strings.Contains(body, "2023") {
		t.Errorf("%d %s", status, body)
	}
}

// A command is handed out with every heartbeat until its result comes.
func TestCommands(t *testing.T) {
	t.Parallel()
	s, _ := newServer()
	post(s, "heartbeat", sign("R1", `{}`, ""))
	session := s.config.Hub.Get(10001)
	answer := make(chan device.Answer, 1)
	go func() {
		a, _ := session.Send(t.Context(), device.Command{ID: 7, Kind: device.KindReset})
		answer <- a
	}()
	for _, id := range []string{"R2", "R3"} {
		_, body := post(s, "heartbeat", sign(id, `{"wait":20}`, "&wait=20"))
		var got struct {
			Data struct{ Commands []commandJSON }
		}
		if json.Unmarshal([]byte(body), &got) != nil || len(got.Data.Commands) != 1 || got.Data.Commands[0].CommandID != 7 {
			t.Errorf("%s: %s", id, body)
		}
	}
	results := `[{"commandId":7,"result":"REJECTED","reason":"busy"}]`
	post(s, "heartbeat", sign("R4", `{"commandResults":`+results+`}`, "&commandResults="+results))
	if a := <-answer; a.Accepted || a.Reason != "busy" {
		t.Errorf("%+v", a)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(vector))
	f.Add([]byte(`{"data":{"a":[{"b":1,"b":2}]}}`))
	f.Add([]byte(`{"a":"\ud800","b":"\\\""}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		fields, err := scanObject(body)
		if err == nil {
			var want map[string]json.RawMessage
			if json.Unmarshal(body, &want) != nil || len(want) != len(fields) {
				t.Fatalf("%q: %d fields, want %d", body, len(fields), len(want))
			}
			for _, got := range fields {
				if string(want[got.name]) != string(got.raw) {
					t.Fatalf("%q: %q is %q, want %q", body, got.name, got.raw, want[got.name])
				}
			}
		}
		if q, err := parseRequest("stop", body); err == nil {
			_ = q.verify("x")
		}
	})
}
