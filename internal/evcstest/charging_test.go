package evcstest_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/evcstest"
)

// point is a charge point that calls and reads the answer.
type point struct {
	t    *testing.T
	conn *websocket.Conn
	n    int
}

func connect(t *testing.T, d *evcstest.Daemon, id, secret string) *point {
	t.Helper()
	h := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))}}
	dialer := websocket.Dialer{Subprotocols: []string{"ocpp1.6"}, HandshakeTimeout: 5 * time.Second}
	conn, answer, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(d.DeviceURL, "http")+"/ocpp/"+id, h)
	if err != nil {
		t.Fatalf("connect %s: %v %v", id, err, answer)
	}
	t.Cleanup(func() { conn.Close() })
	return &point{t: t, conn: conn}
}

func (p *point) call(action string, payload, into any) {
	p.t.Helper()
	p.n++
	id := fmt.Sprint(p.n)
	if err := p.conn.WriteJSON([]any{2, id, action, payload}); err != nil {
		p.t.Fatal(err)
	}
	for {
		var frame []json.RawMessage
		if err := p.conn.ReadJSON(&frame); err != nil {
			p.t.Fatalf("%s: %v", action, err)
		}
		if string(frame[0]) == "2" {
			continue // a call of the platform, which this test leaves unanswered
		}
		if string(frame[0]) != "3" || string(frame[1]) != `"`+id+`"` {
			p.t.Fatalf("%s: %s", action, frame)
		}
		if into != nil {
			if err := json.Unmarshal(frame[2], into); err != nil {
				p.t.Fatal(err)
			}
		}
		return
	}
}

// accept waits for a call of the platform and says yes to it.
func (p *point) accept(action string) {
	p.t.Helper()
	for {
		var frame []json.RawMessage
		if err := p.conn.ReadJSON(&frame); err != nil {
			p.t.Fatalf("wait for %s: %v", action, err)
		}
		if string(frame[0]) != "2" || string(frame[2]) != `"`+action+`"` {
			continue
		}
		if err := p.conn.WriteJSON([]any{3, frame[1], map[string]any{"status": "Accepted"}}); err != nil {
			p.t.Fatal(err)
		}
		return
	}
}

func TestASessionThroughRealSockets(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		begun := time.Date(2027, 2, 10, 2, 0, 0, 0, time.UTC)
		d.Clock.Set(begun)
		admin := d.Admin()
		var made struct{ StationID, ChargerID, PlanID int64 }
		admin.OK(t, http.MethodPost, "/api/station", map[string]any{"stationCode": "S1", "stationName": "One", "address": "Road 1"}).Into(t, &made)
		admin.OK(t, http.MethodPost, "/api/billing/plan", map[string]any{
			"code": "P1", "name": "Flat", "stationId": made.StationID, "status": 1,
			"segments": []map[string]any{{"startTime": "00:00", "endTime": "24:00", "periodKind": "FLAT", "energyPrice": 1, "serviceFee": 0.5}},
		}).Into(t, &made)
		admin.OK(t, http.MethodPost, "/api/charger", map[string]any{
			"stationId": made.StationID, "chargerCode": "C1", "chargerName": "C1", "deviceId": "CP-1", "protocol": "OCPP16", "chargerType": 1, "ratedPower": 60, "gunCount": 1,
		}).Into(t, &made)
		var key struct{ Secret string }
		admin.OK(t, http.MethodPost, evcstest.Path("/api/charger/%d/credential", made.ChargerID), map[string]any{}).Into(t, &key)
		admin.OK(t, http.MethodPost, "/api/id-tag", map[string]any{"idTag": "T1"})
		p := connect(t, d, "CP-1", key.Secret)
		p.call("BootNotification", map[string]any{"chargePointVendor": "V", "chargePointModel": "M"}, nil)
		p.call("StatusNotification", map[string]any{"connectorId": 1, "errorCode": "NoError", "status": "Available"}, nil)
		var started struct {
			TransactionID int64           `json:"transactionId"`
			Info          json.RawMessage `json:"idTagInfo"`
		}
		p.call("StartTransaction", map[string]any{"connectorId": 1, "idTag": "T1", "meterStart": 1000, "timestamp": begun.Format(time.RFC3339)}, &started)
		d.Clock.Advance(time.Hour)
		p.call("StopTransaction", map[string]any{"transactionId": started.TransactionID, "meterStop": 11_000, "timestamp": begun.Add(time.Hour).Format(time.RFC3339)}, nil)
		var orders []struct {
			Status         int
			Energy, Amount json.Number
		}
		admin.OK(t, http.MethodGet, "/api/dashboard/recent-orders", nil).Into(t, &orders)
		if len(orders) != 1 || orders[0].Energy != "10.0000" || orders[0].Amount != "15.00" {
			t.Errorf("%+v; the start was answered with %s", orders, started.Info)
		}
	})
}
