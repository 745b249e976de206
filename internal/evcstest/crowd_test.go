package evcstest_test

import (
	"encoding/base64"
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

	"github.com/evcs/evcs/internal/evcstest"
)

const crowd = 8

// socket opens a connection as the yard's charger; it fails softly, because a
// crowd of connections with one name throw each other out.
func (y *yard) socket(t *testing.T) (*websocket.Conn, error) {
	t.Helper()
	h := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(y.device+":"+y.secret))}}
	dialer := websocket.Dialer{Subprotocols: []string{"ocpp1.6"}}
	conn, answer, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(y.d.DeviceURL, "http")+"/ocpp/"+y.device, h)
	if answer != nil {
		err = errors.Join(err, answer.Body.Close())
	}
	return conn, err
}

// startOnce sends one start over a connection of its own and returns the
// transaction of the answer.
func (y *yard) startOnce(t *testing.T, id string) (int64, error) {
	t.Helper()
	conn, err := y.socket(t)
	if err != nil {
		return 0, err
	}
	defer conn.Close() // what came is all that matters
	err = conn.WriteJSON([]any{2, id, "StartTransaction", map[string]any{"connectorId": 1, "idTag": "T1", "meterStart": 7, "timestamp": begun}})
	for err == nil {
		var frame []json.RawMessage
		if err = conn.ReadJSON(&frame); err != nil || string(frame[0]) != "3" {
			continue
		}
		var answer struct{ TransactionID int64 }
		return answer.TransactionID, json.Unmarshal(frame[2], &answer)
	}
	return 0, err
}

// startUntil is startOnce until it is answered: a handshake of the crowd that
// the daemon finishes late throws a newer connection out.
func (y *yard) startUntil(t *testing.T, id string) int64 {
	t.Helper()
	var err error
	for try := range 2 * crowd {
		var answer int64
		if answer, err = y.startOnce(t, fmt.Sprint(id, "-", try)); err == nil {
			return answer
		}
	}
	t.Fatalf("start %s was never answered: %v", id, err)
	return 0
}

// TestACrowdOfEqualStartsIsOneOrder tells one start over eight connections at
// once. Each connection of the charger replaces the one before, so most lose
// their answer; then every one of them asks again and must get the same.
func TestACrowdOfEqualStartsIsOneOrder(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun)
		y := build(t, d, d.Admin(), "CROWD-1")
		var early [crowd]int64
		var wg sync.WaitGroup
		for i := range crowd {
			wg.Go(func() {
				if id, err := y.startOnce(t, fmt.Sprint("early-", i)); err == nil {
					early[i] = id
				}
			})
		}
		wg.Wait()
		first := int64(0)
		for i := range crowd {
			id := y.startUntil(t, fmt.Sprint("late-", i))
			if first == 0 {
				first = id
			}
			if id == 0 || id != first || early[i] != 0 && early[i] != first {
				t.Errorf("start %d is %d, early it was %d, the first is %d", i, id, early[i], first)
			}
		}
		if b := y.order(t); b.Status != 0 {
			t.Errorf("%+v", b)
		}
	})
}

// TestACrowdOfEqualCallsIsOneOrder asks eight times at once for the same
// session, first as a customer, then as a gateway that tells of a device.
func TestACrowdOfEqualCallsIsOneOrder(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun)
		y := build(t, d, d.Admin(), "CROWD-1")
		connect(t, d, y.device, y.secret).call("BootNotification", map[string]any{"chargePointVendor": "V", "chargePointModel": "M"}, nil)
		asked := map[string]any{"chargerId": y.ChargerID, "connectorNo": 1, "sessionId": "ASKED-1", "wait": 0}
		y.sameOrder(t, asked)
		z := y.another(t, "C2", "CROWD-2")
		told := map[string]any{"chargerId": z.ChargerID, "connectorNo": 1, "sessionId": "TOLD-1", "source": "DEVICE", "startTime": begun, "initialEnergy": 7}
		z.sameOrder(t, told)
		if all := y.orders(t); len(all) != 2 {
			t.Errorf("%d orders, want two: %+v", len(all), all)
		}
	})
}

// sameOrder starts with the same body eight times at once.
func (y *yard) sameOrder(t *testing.T, body map[string]any) {
	t.Helper()
	var answers [crowd]evcstest.Answer
	var wg sync.WaitGroup
	for i := range crowd {
		wg.Go(func() { answers[i] = y.by.Call(t, http.MethodPost, "/api/order/start", body) })
	}
	wg.Wait()
	ids, fresh := map[int64]bool{}, 0
	for _, a := range answers {
		if a.Status != http.StatusOK {
			t.Fatalf("%d %d %s %s", a.Status, a.Code, a.Message, a.Data)
		}
		var b bill
		a.Into(t, &b)
		ids[b.OrderID] = true
		if !b.Duplicate {
			fresh++
		}
	}
	if len(ids) != 1 || fresh < 1 {
		t.Errorf("orders %v, %d of %d not called a duplicate", ids, fresh, crowd)
	}
}

// TestTenantsWithEqualCodesAreStrangers builds the same station twice, under
// two tenants, and lets each look for the other's.
func TestTenantsWithEqualCodesAreStrangers(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun)
		admin := d.Admin()
		var yards [2]*yard
		for i, code := range []string{"AAA", "BBB"} {
			admin.OK(t, http.MethodPost, "/api/tenant", map[string]any{
				"tenantCode": code, "tenantName": code, "tenantType": 2, "contactPerson": "a", "contactPhone": "13800000000",
				"admin": map[string]any{"username": "boss", "password": evcstest.Password},
			})
			yards[i] = build(t, d, d.SignIn("boss@"+code, evcstest.Password), "CP-"+code)
			p := connect(t, d, yards[i].device, yards[i].secret)
			p.call("StartTransaction", map[string]any{"connectorId": 1, "idTag": "T1", "meterStart": 0, "timestamp": begun}, nil)
		}
		for i, y := range yards {
			y.alone(t, yards[1-i])
		}
	})
}

// alone checks that the yard's tenant sees its own things and none of another's.
func (y *yard) alone(t *testing.T, other *yard) {
	t.Helper()
	for _, path := range []string{"/api/station", "/api/charger", "/api/order", "/api/session", "/api/billing/plan", "/api/id-tag"} {
		var page struct{ Records []struct{ TenantID int64 } }
		y.by.OK(t, http.MethodGet, path+"?tenantScope=SELF_AND_DESCENDANTS", nil).Into(t, &page)
		if len(page.Records) != 1 {
			t.Errorf("%s of %s: %+v", path, y.device, page.Records)
		}
	}
	hidden, mine := other.order(t), y.order(t)
	if hidden.OrderID == mine.OrderID || mine.ChargerID != y.ChargerID {
		t.Errorf("%+v and %+v", mine, hidden)
	}
	for _, path := range []string{
		evcstest.Path("/api/station/%d", other.StationID), evcstest.Path("/api/charger/%d", other.ChargerID),
		evcstest.Path("/api/order/%d", hidden.OrderID), evcstest.Path("/api/order/%d/timeline", hidden.OrderID),
		"/api/session/" + hidden.SessionID, "/api/session/" + hidden.SessionID + "/curve",
		evcstest.Path("/api/billing/plan/%d", other.PlanID), evcstest.Path("/api/charger/%d/messages", other.ChargerID),
	} {
		if a := y.by.Call(t, http.MethodGet, path, nil); a.Status != http.StatusNotFound {
			t.Errorf("%s sees %s: %d %d %s", y.device, path, a.Status, a.Code, a.Data)
		}
	}
	if a := y.by.Call(t, http.MethodPost, "/api/order/stop", map[string]any{"orderId": hidden.OrderID, "wait": 0}); a.Status != http.StatusNotFound {
		t.Errorf("%s stops the other's order: %d %d", y.device, a.Status, a.Code)
	}
}

// TestABadNeighbourHarmsNobody lets one charger send garbage, one flood, one
// stop in the middle of a frame and one in the middle of the handshake, while
// another charges.
func TestABadNeighbourHarmsNobody(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun)
		y := build(t, d, d.Admin(), "GOOD-1")
		dial := func(z *yard) *websocket.Conn {
			conn, err := z.socket(t)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			return conn
		}
		stalled := dial(y.another(t, "C2", "STALLED")).NetConn()
		if _, err := stalled.Write([]byte{0x81, 0xfe, 0x10}); err != nil {
			t.Fatal(err)
		}
		half, err := net.Dial("tcp", strings.TrimPrefix(d.DeviceURL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { half.Close() })
		if _, err := half.Write([]byte("GET /ocpp/GOOD-1 HTTP/1.1\r\nHost: x\r\nUpgr")); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		flood := func(conn *websocket.Conn, frame string) {
			wg.Go(func() { // a flooder never reads; it ends when it is thrown out or the good one is done
				for range 20_000 {
					if conn.WriteMessage(websocket.TextMessage, []byte(frame)) != nil {
						return
					}
				}
			})
		}
		garbage, flooding := dial(y.another(t, "C3", "GARBAGE")), dial(y.another(t, "C4", "FLOODING"))
		flood(garbage, `[2,"x","StartTransaction",{"connectorId":1e999,"idTag":[[[["`)
		flood(flooding, `[2,"1","Heartbeat",{}]`)
		good := connect(t, d, y.device, y.secret)
		var started struct{ TransactionID int64 }
		good.call("StartTransaction", map[string]any{"connectorId": 1, "idTag": "T1", "meterStart": 0, "timestamp": begun}, &started)
		for range 20 {
			good.call("Heartbeat", map[string]any{}, nil)
		}
		y.pass(2 * time.Hour)
		good.call("StopTransaction", map[string]any{"transactionId": started.TransactionID, "meterStop": 20_000, "timestamp": begun.Add(2 * time.Hour)}, nil)
		for _, conn := range []*websocket.Conn{garbage, flooding} {
			conn.Close() // to free a writer that waits
		}
		wg.Wait()
		y.billed(t, "20.0000", "25.00", "11.00", "36.00")
	})
}
