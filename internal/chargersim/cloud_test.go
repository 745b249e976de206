package chargersim

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/chargersim/journal"
)

// signatureOf is the signature by the words of the contract, from the decoded
// request.
func signatureOf(t *testing.T, secret, id, stamp, device, session, action string, data json.RawMessage) string {
	t.Helper()
	var values map[string]json.RawMessage
	must(t, json.Unmarshal(data, &values))
	text := "requestId=" + id + "&apiVersion=3.0&timestamp=" + stamp + "&deviceCode=" + device
	if session != "" {
		text += "&sessionId=" + session
	}
	if action != "" {
		text += "&action=" + action
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		var plain string
		if json.Unmarshal(values[key], &plain) != nil {
			plain = string(values[key])
		}
		text += "&" + key + "=" + plain
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

func serveCloud(t *testing.T, s *cloudServer, cfg Config) (*Fleet, *Charger, func()) {
	t.Helper()
	p := newPipes()
	srv := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(p)
	}()
	cfg.HTTP, cfg.Dial = "http://127.0.0.1:1", p.dial
	cfg.Chargers = []ChargerConfig{{DeviceID: "CC-1", Secret: "secret", Protocol: CloudCharge, Kind: "AC11"}}
	fleet, err := New(cfg)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(ctx) }()
	return fleet, fleet.Charger("CC-1"), func() {
		must(t, fleet.WindUp(ctx))
		if err := <-ended; err != nil {
			t.Error(err)
		}
		cancel()
		_ = srv.Close()
		<-done
	}
}

func TestCloudSession(t *testing.T) {
	t.Parallel()
	for _, fault := range []Fault{"", FaultLostAnswer, FaultDuplicate, FaultReboot, FaultGarbage} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &cloudServer{csms: newCSMS(t), answers: map[string]string{}}
				cfg := Config{}
				if fault != "" {
					cfg.Faults = FaultPlan{fault: 2}
				}
				fleet, c, end := serveCloud(t, s, cfg)
				await(t, c, Connected)
				must(t, c.StartLocal(t.Context(), 1, "TAG"))
				seen := await(t, c, Charging(1))
				if !strings.HasPrefix(seen.Connectors[0].Session, "SIM-CC-1-1-") {
					t.Errorf("session %q", seen.Connectors[0].Session)
				}
				pass(5*time.Minute + time.Second)
				must(t, c.StopLocal(t.Context(), 1))
				await(t, c, Idle(1))
				end()
				s.mu.Lock()
				defer s.mu.Unlock()
				truth := fleet.Journal().Sessions()
				if len(truth) != 1 || len(truth[0].Samples) != 5 || truth[0].Stop == nil || len(s.starts) != 1 {
					t.Errorf("journal %+v, server %v", truth, s.starts)
				}
				if truth[0].OrderNo != "ORD-1" || truth[0].Energy() <= 0 || len(fleet.Journal().Violations()) > 0 {
					t.Errorf("session %+v, %v", truth[0], fleet.Journal().Violations())
				}
			})
		})
	}
}

// TestCloudOwnBill: what Reckon says is told with the stop, in every repeat, and
// written down; it sees the session with the stop that is to come.
func TestCloudOwnBill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &cloudServer{csms: newCSMS(t), answers: map[string]string{}}
		var seen []journal.Session
		fleet, c, end := serveCloud(t, s, Config{Reckon: func(s journal.Session) int64 {
			seen = append(seen, s)
			return 1234
		}})
		await(t, c, Connected)
		fiveMinutes(t, c, FaultLostAnswer)
		end()
		s.mu.Lock()
		defer s.mu.Unlock()
		truth := fleet.Journal().Sessions()
		if len(truth) != 1 || len(seen) != 1 || len(s.amounts) != 1 || s.amounts[0] != 12.34 || truth[0].Stop.Bill != 1234 || len(fleet.Journal().Violations()) > 0 {
			t.Fatalf("%d sessions, reckoned %d times, amounts %v, %v", len(truth), len(seen), s.amounts, fleet.Journal().Violations())
		}
		got, want := seen[0], truth[0]
		if got.Start == nil || len(got.Samples) == 0 || len(got.Samples) != len(want.Samples) || got.Energy() != want.Energy() || !got.Stop.Time.Equal(want.Stop.Time) {
			t.Errorf("reckoned %+v, told %+v", got, want)
		}
	})
}

// fiveMinutes is five minutes of charging; the fault comes before the stop.
func fiveMinutes(t *testing.T, c *Charger, f Fault) {
	t.Helper()
	must(t, c.StartLocal(t.Context(), 1, "TAG"))
	await(t, c, Charging(1))
	pass(5*time.Minute + time.Second)
	if f != "" {
		must(t, c.Inject(t.Context(), f))
	}
	must(t, c.StopLocal(t.Context(), 1))
	await(t, c, Idle(1))
}

// TestCloudWrongBill: the fault has the stop say what the charger reckons, the
// same in every repeat; without it nothing is said.
func TestCloudWrongBill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &cloudServer{csms: newCSMS(t), answers: map[string]string{}}
		fleet, c, end := serveCloud(t, s, Config{})
		await(t, c, Connected)
		for i := range 2 {
			if i == 1 {
				must(t, c.Inject(t.Context(), FaultWrongBill))
			}
			fiveMinutes(t, c, []Fault{"", FaultLostAnswer}[i])
		}
		end()
		s.mu.Lock()
		defer s.mu.Unlock()
		truth := fleet.Journal().Sessions()
		if len(truth) != 2 || len(s.amounts) != 2 || s.amounts[0] != nil || len(fleet.Journal().Violations()) > 0 {
			t.Fatalf("%d sessions, amounts %v, %v", len(truth), s.amounts, fleet.Journal().Violations())
		}
		fair := float64(truth[1].Energy().Fen(simPrice)) / 100
		if said, ok := s.amounts[1].(float64); !ok || said < fair+0.99 || said > fair+10 || truth[1].Tampered != "" {
			t.Errorf("the charger says %v of %s kWh, tampered %q", s.amounts[1], truth[1].Energy(), truth[1].Tampered)
		}
		if told := truth[1].Stop.Bill; truth[0].Stop.Bill != 0 || float64(told)/100 != s.amounts[1] {
			t.Errorf("the journal has bills of %d and %d fen, the server heard %v", truth[0].Stop.Bill, told, s.amounts[1])
		}
	})
}

func TestCloudCommandsAreObeyedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &cloudServer{csms: newCSMS(t), answers: map[string]string{}, commands: []string{
			`{"commandId":7,"type":"START","connectorNo":1,"sessionId":"S-01","idTag":"APP"}`,
		}}
		fleet, c, end := serveCloud(t, s, Config{})
		await(t, c, Charging(1))
		pass(time.Minute)
		end()
		s.mu.Lock()
		defer s.mu.Unlock()
		if truth := fleet.Journal().Sessions(); len(truth) != 1 || truth[0].Session != "S-01" || truth[0].IDTag != "APP" {
			t.Errorf("journal %+v", truth)
		}
		want := []map[string]any{{"commandId": 7.0, "result": "ACCEPTED"}}
		if diff := cmp.Diff(want, s.results); diff != "" {
			t.Errorf("results (-want +got):\n%s", diff)
		}
	})
}

// cloudServer is a fake cloudcharge platform with the signature of the
// contract's words: it recomputes the text from the decoded request.
type cloudServer struct {
	*csms
	answers  map[string]string // by request id
	commands []string          // JSON, handed out once each
	results  []map[string]any
	amounts  []any // of stops; nil where the charger says none
}

func (s *cloudServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req struct {
		RequestID, APIVersion, Timestamp, Signature, DeviceCode, SessionID, Action string
		Data                                                                       json.RawMessage
	}
	body := new(bytes.Buffer)
	_, _ = body.ReadFrom(r.Body)
	reply := func(status int, data string) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"code":"` + http.StatusText(status) + `","data":` + data + `}`))
	}
	if err := json.Unmarshal(body.Bytes(), &req); err != nil {
		reply(http.StatusBadRequest, "null")
		return
	}
	if want := signatureOf(s.t, "secret", req.RequestID, req.Timestamp, req.DeviceCode, req.SessionID, req.Action, req.Data); want != req.Signature {
		s.t.Errorf("signature %s, want %s of %s", req.Signature, want, body)
		reply(http.StatusUnauthorized, "null")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.answers[req.RequestID]; old != "" && req.Action != "heartbeat" {
		reply(http.StatusOK, old)
		return
	}
	var data map[string]any
	must(s.t, json.Unmarshal(req.Data, &data))
	answer := s.act(req.Action, req.SessionID, data)
	s.answers[req.RequestID] = answer
	reply(http.StatusOK, answer)
}

func (s *cloudServer) act(action, session string, data map[string]any) string {
	switch action {
	case "heartbeat":
		if results, ok := data["commandResults"].([]any); ok {
			for _, one := range results {
				s.results = append(s.results, one.(map[string]any))
			}
		}
		return `{"nextHeartbeat":60,"commands":[` + strings.Join(s.commands, ",") + `]}`
	case "start":
		s.starts[session]++
		return `{"sessionId":"` + session + `","orderNo":"ORD-1"}`
	case "meter":
		s.meters[session]++
		return `{"accepted":1}`
	case "stop":
		s.stops[1] = append(s.stops[1], 0)
		s.amounts = append(s.amounts, data["amount"])
		return `{"sessionId":"` + session + `","orderNo":"ORD-1"}`
	}
	return `{}`
}
