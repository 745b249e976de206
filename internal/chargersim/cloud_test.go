package chargersim

import (
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

func TestSignatureVectorOfTheContract(t *testing.T) {
	t.Parallel()
	body, err := signed("k3Zt9vQmX2bR7wLpD5yHsE8uJ4nGfA1c", cloudRequest{
		id: "REQ-0001", stamp: "2026-02-10T18:30:05", device: "CP-001", session: "S-7f3a", action: "stop", data: fields{
			"connectorNo": 1, "duration": 60, "endTime": "2026-02-10T18:30:00", "energy": json.RawMessage("42.5000"), "reason": "EV full",
		},
	})
	must(t, err)
	want := `{"requestId":"REQ-0001","apiVersion":"3.0","timestamp":"2026-02-10T18:30:05","deviceCode":"CP-001",` +
		`"sessionId":"S-7f3a","action":"stop","data":{"connectorNo":1,"duration":60,"endTime":"2026-02-10T18:30:00",` +
		`"energy":42.5000,"reason":"EV full"},"signature":"cc4e369289496a56ae666851f64af0ed8b588f101f1be66b66ff36017e073517"}`
	if diff := cmp.Diff(want, string(body)); diff != "" {
		t.Errorf("signed request (-want +got):\n%s", diff)
	}
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
