package evcstest_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/evcstest"
)

// TestRealStations does what charging stations in the field do, one test for
// each line of the list in the engineers' reference, in raw frames over a real
// socket against a whole daemon.
func TestRealStations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line int
		name string
		test func(t *testing.T, y *yard)
	}{
		{1, "reconnects without a boot and goes on, also after a restart here", line1},
		{2, "reboots in the middle of a transaction and resumes it", line2},
		{3, "stops twice, with new message ids, with and without a reason", line3},
		{4, "tells late and out of order", line4},
		{5, "has a bad clock", line5},
		{6, "begins its message ids anew at every boot", line6},
		{7, "writes JSON in its own way", line7},
		{8, "does not wait for answers, and swaps messages", line8},
		{9, "refuses our calls, or leaves because of one", line9},
		{10, "is not kept waiting by a call of ours that it does not answer", line10},
		{11, "never hears Rejected to its boot", line11},
		{12, "replays its offline queue", line12},
		{13, "ends, pings and negotiates as it likes", line13},
		{14, "has serial numbers that do not agree with its address", line14},
		{15, "knows no password", line15},
		{17, "is there twice", line17},
	} {
		t.Run(fmt.Sprintf("line %d %s", c.line, c.name), func(t *testing.T) {
			t.Parallel()
			d := evcstest.Start(t)
			d.Clock.Set(begun)
			c.test(t, build(t, d, d.Admin(), "REAL-1"))
		})
	}
}

// at is a moment after begun, as a station writes it.
func at(d time.Duration) string { return begun.Add(d).Format(time.RFC3339) }

func startFrame(id string, register int, when string) string {
	return fmt.Sprintf(`[2,%q,"StartTransaction",{"connectorId":1,"idTag":"T1","meterStart":%d,"timestamp":%q}]`, id, register, when)
}

func meterFrame(id string, transaction, register int64, when string) string {
	return fmt.Sprintf(`[2,%q,"MeterValues",{"connectorId":1,"transactionId":%d,"meterValue":[{"timestamp":%q,"sampledValue":[{"value":"%d","measurand":"Energy.Active.Import.Register","unit":"Wh"}]}]}]`,
		id, transaction, when, register)
}

func stopFrame(id string, transaction, register int64, when, more string) string {
	return fmt.Sprintf(`[2,%q,"StopTransaction",{"transactionId":%d,"meterStop":%d,"timestamp":%q%s}]`, id, transaction, register, when, more)
}

// begin starts a transaction and returns its id.
func (w *wire) begin(id string, register int, when string) int64 {
	w.t.Helper()
	text := w.says(startFrame(id, register, when))
	var frame []json.RawMessage
	var answer struct {
		TransactionID int64
		IDTagInfo     struct{ Status string }
	}
	if err := json.Unmarshal([]byte(text), &frame); err != nil || len(frame) != 3 || json.Unmarshal(frame[2], &answer) != nil || answer.TransactionID <= 0 {
		w.t.Fatalf("start answered with %s", text)
	}
	if answer.IDTagInfo.Status != "Accepted" {
		w.t.Errorf("start answered with %s", text)
	}
	return answer.TransactionID
}

func line1(t *testing.T, y *yard) {
	w := y.plugIn(t)
	w.says(boot)
	n := w.begin("1", 0, at(0))
	w.conn.Close()
	y.pass(time.Hour)
	y.restart(t)
	w = y.plugIn(t)
	w.want(meterFrame("2", n, 10_000, at(time.Hour)), `[3,"2",{}]`)
	if b := y.order(t); b.Status != 0 || b.Energy != "10.0000" {
		t.Errorf("after the restart: %+v", b)
	}
	y.pass(time.Hour)
	w.want(stopFrame("3", n, 20_000, at(2*time.Hour), ""), `[3,"3",{}]`)
	y.billed(t, "20.0000", "25.00", "11.00", "36.00")
	if next := w.begin("4", 20_000, at(2*time.Hour)); next <= n {
		t.Errorf("transaction %d after %d", next, n)
	}
}

func line2(t *testing.T, y *yard) {
	w := y.plugIn(t)
	w.says(boot)
	n := w.begin("1", 0, at(0))
	w.conn.Close()
	y.pass(time.Hour)
	w = y.plugIn(t)
	w.says(boot)
	w.want(`[2,"1","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Charging"}]`, `[3,"1",{}]`)
	if b := y.order(t); b.Status != 0 {
		t.Errorf("the boot ended it: %+v", b)
	}
	w.want(meterFrame("2", n, 10_000, at(time.Hour)), `[3,"2",{}]`)
	y.pass(time.Hour)
	w.want(stopFrame("3", n, 20_000, at(2*time.Hour), `,"reason":"EVDisconnected"`), `[3,"3",{}]`)
	y.billed(t, "20.0000", "25.00", "11.00", "36.00")
}

func line3(t *testing.T, y *yard) {
	w := y.plugIn(t)
	n := w.begin("1", 0, at(0))
	y.pass(2 * time.Hour)
	w.send(stopFrame("2", n, 20_000, at(2*time.Hour), `,"idTag":"T1","reason":"EVDisconnected"`))
	w.send(stopFrame("3", n, 20_000, at(2*time.Hour), `,"idTag":"T1"`))
	first, second := w.answer(), w.answer()
	if strings.Replace(first, `"2"`, `"3"`, 1) != second || !strings.Contains(first, `"Accepted"`) {
		t.Errorf("answered with %s and %s", first, second)
	}
	y.billed(t, "20.0000", "25.00", "11.00", "36.00")
	if b := y.order(t); len(b.Anomalies) != 0 {
		t.Errorf("%+v", b)
	}
}

func line4(t *testing.T, y *yard) {
	y.pass(3 * time.Hour)
	w := y.plugIn(t)
	w.want(`[2,"1","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Charging","timestamp":"`+at(0)+`"}]`, `[3,"1",{}]`)
	n := w.begin("2", 0, at(0))
	w.want(meterFrame("3", n, 20_000, at(2*time.Hour)), `[3,"3",{}]`)
	w.want(meterFrame("4", n, 10_000, at(time.Hour)), `[3,"4",{}]`)
	w.want(meterFrame("5", n, 10_000, at(time.Hour)), `[3,"5",{}]`) // again
	w.want(stopFrame("6", n, 20_000, at(2*time.Hour-time.Second), ""), `[3,"6",{}]`)
	b := y.order(t)
	if b.Status != 10 || b.Held || b.Energy != "20.0000" {
		t.Errorf("%+v", b)
	}
	w.want(meterFrame("7", n, 5_000, at(30*time.Minute)), `[3,"7",{}]`) // after the bill: kept, nothing is billed anew
	if late := y.order(t); late.Amount != b.Amount || late.Status != 10 {
		t.Errorf("before %+v, after a late reading %+v", b, late)
	}
}

func line5(t *testing.T, y *yard) {
	w := y.plugIn(t)
	early := `[2,"0","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"1970-01-01T0%d:00:12Z","sampledValue":[{"value":"0"}]}]}]`
	w.want(fmt.Sprintf(early, 0), `[3,"0",{}]`)
	w.want(fmt.Sprintf(early, 3), `[3,"0",{}]`)
	w.says(boot)
	w.want(`[2,"1","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Preparing"}]`, `[3,"1",{}]`)
	n := w.begin("2", 0, at(0))
	y.pass(2 * time.Hour)
	for i, when := range []string{"2027-02-10T03:30:00Z", "2027-02-10T04:00:00.250Z", "2027-02-10T04:30:00.123456+00:00", "1970-01-01T00:00:40Z"} {
		w.want(meterFrame("3", n, int64(i+1)*4000, when), `[3,"3",{}]`)
	}
	w.want(stopFrame("4", n, 20_000, "2027-02-10T13:00:00Z", ""), `[3,"4",{}]`) // local time that says it is UTC
	b := y.order(t)
	if b.Energy != "20.0000" || b.Status == 0 {
		t.Errorf("%+v", b)
	}
	var curve struct {
		Points []struct{ Time time.Time }
	}
	y.by.OK(t, http.MethodGet, "/api/session/"+b.SessionID+"/curve", nil).Into(t, &curve)
	for _, p := range curve.Points {
		if p.Time.Year() != 2027 {
			t.Errorf("a reading of %v is in the curve", p.Time)
		}
	}
}

func line6(t *testing.T, y *yard) {
	first := y.plugIn(t)
	n := first.begin("1", 0, at(0))
	y.pass(time.Hour)
	first.want(stopFrame("2", n, 1000, at(time.Hour), ""), `[3,"2",{}]`)
	first.conn.Close()
	second := y.plugIn(t)
	second.want(`[2,"1","Heartbeat",{}]`, `[3,"1",{"currentTime":"2027-02-10T04:00:00.000Z"}]`)
	if m := second.begin("2", 1000, at(time.Hour)); m == n {
		t.Error("a message id of another connection was taken for a repeat")
	}
	// The same start under another id is a repeat, whatever the id.
	if m, again := second.begin("00000000-0000-0000-0000-000000000001", 1000, at(time.Hour)), second.begin("1234567890", 1000, at(time.Hour)); m != again || m == n {
		t.Errorf("repeats are %d and %d", m, again)
	}
	second.want(`[2,17,"Heartbeat",{}]`, `[3,17,{"currentTime":"2027-02-10T04:00:00.000Z"}]`)
	if all := y.orders(t); len(all) != 2 {
		t.Errorf("%+v", all)
	}
}

func line7(t *testing.T, y *yard) {
	w := y.plugIn(t)
	w.want(`[ 2 , "1" , "BootNotification" , { "chargePointVendor" : "V", "chargePointModel" : "M", "firmwareVersion" : "", "iccid" : "", "somethingNew" : {"a":[1,2]} } ]`,
		`[3,"1",{"status":"Accepted","currentTime":"2027-02-10T03:00:00.000Z","interval":60}]`)
	w.want(`[2,"2","StatusNotification",{"connectorId":0,"errorCode":"NoError","status":"Available","info":"","vendorId":""}]`, `[3,"2",{}]`)
	w.want(`[2,"3","MeterValues",{"connectorId":0,"transactionId":null,"meterValue":[{"timestamp":"`+at(0)+`","sampledValue":[{"value":"1","measurand":"","unit":"","phase":""}]}]}]`, `[3,"3",{}]`)
	w.want(`[2, "4", "statusnotification", {}]`, `[4,"4","NotImplemented","this action is not known here",{}]`)
	var made asked
	y.ask(t, map[string]any{"type": "GET_CONFIG"}).Into(t, &made)
	w.reply(w.next(), `{"configurationKey": [{"key": "A", "readonly": false, "value": ""}, {"key": "B", "readonly": true}], "unknownKey": []}`)
	y.by.OK(t, http.MethodGet, evcstest.Path("/api/command/%d?wait=10", made.CommandID), nil).Into(t, &made)
	if made.State != "ACCEPTED" || !strings.Contains(string(made.Result), `"unknownKey"`) {
		t.Errorf("%+v", made)
	}
}

func line8(t *testing.T, y *yard) {
	w := y.plugIn(t)
	w.send(`[2,"1","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Charging"}]`) // swapped with the start
	w.send(startFrame("2", 0, at(0)))
	w.send(`[2,"3","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"SuspendedEV"}]`)
	w.send(`[2,"4","MeterValues",{"connectorId":1,"meterValue":[{"timestamp":"` + at(0) + `","sampledValue":[{"value":"0"}]}]}]`) // it does not know its transaction yet
	for _, id := range []string{"1", "2", "3", "4"} {
		if got := w.answer(); !strings.HasPrefix(got, `[3,"`+id+`",`) {
			t.Errorf("answered %s, want that of %s", got, id)
		}
	}
	if b := y.order(t); b.Status != 0 {
		t.Errorf("%+v", b)
	}
}

func line9(t *testing.T, y *yard) {
	w := y.plugIn(t)
	w.says(boot)
	n := w.begin("1", 0, at(0))
	for _, c := range []struct{ answer, reason string }{
		{`[4,"ID","NotSupported","",{}]`, "NotSupported"},
		{`[4,"ID","NotImplemented","what?",{}]`, "NotImplemented: what?"},
		{`[4,"ID","NotImplemented"]`, "NotImplemented"}, // without its last parts
		{`[3,"ID",{"status":"Rejected"}]`, "Rejected"},
	} {
		var made asked
		y.ask(t, map[string]any{"type": "TRIGGER", "params": map[string]any{"message": "Heartbeat"}}).Into(t, &made)
		w.send(strings.Replace(c.answer, "ID", w.next().id, 1))
		y.by.OK(t, http.MethodGet, evcstest.Path("/api/command/%d?wait=10", made.CommandID), nil).Into(t, &made)
		if made.State != "REJECTED" || made.Reason == nil || *made.Reason != c.reason {
			t.Errorf("%s: %+v", c.answer, made)
		}
	}
	var made asked
	y.ask(t, map[string]any{"type": "TRIGGER", "params": map[string]any{"message": "Heartbeat"}}).Into(t, &made)
	w.next()
	w.conn.Close() // it does not know the message and leaves
	evcstest.Eventually(t, "the command is over", func() bool { return y.command(t, made.CommandID).State == "TIMEOUT" })
	w = y.plugIn(t)
	w.want(meterFrame("2", n, 1000, at(time.Minute)), `[3,"2",{}]`)
	if b := y.order(t); b.Status != 0 {
		t.Errorf("its session: %+v", b)
	}
}

func line10(t *testing.T, y *yard) {
	w := y.plugIn(t)
	w.says(boot)
	y.ask(t, map[string]any{"type": "RESET"})
	w.next() // and never an answer
	w.says(boot)
	n := w.begin("1", 0, at(0))
	y.pass(time.Hour)
	w.want(stopFrame("2", n, 10_000, at(time.Hour), ""), `[3,"2",{}]`)
	y.restart(t)
	w = y.plugIn(t)
	w.want(stopFrame("3", n, 10_000, at(time.Hour), ""), `[3,"3",{}]`) // the first thing after the restart
}

func line11(t *testing.T, y *yard) {
	y.prove(t, map[string]any{"heartbeatInterval": 300})
	w := y.plugIn(t)
	accepted := `{"status":"Accepted","currentTime":"2027-02-10T03:00:00.000Z","interval":300}]`
	for range 3 { // a station in the retry loop of Pending
		w.want(`[2,"1","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]`, `[3,"1",`+accepted)
	}
	for _, bad := range []string{`{}`, `{"chargePointVendor":"V"}`, `{"chargePointVendor":{}}`, `[]`} {
		if got := w.says(`[2,"2","BootNotification",` + bad + `]`); strings.Contains(got, "Rejected") || !strings.HasPrefix(got, `[4,"2",`) {
			t.Errorf("%s: %s", bad, got)
		}
	}
	w.want(`[2,"3","BootNotification",{"chargePointVendor":"","chargePointModel":""}]`, `[3,"3",`+accepted)
}

func line12(t *testing.T, y *yard) {
	w := y.plugIn(t)
	n := w.begin("1", 0, at(0))
	w.conn.Close()
	y.pass(3 * time.Hour)
	w = y.plugIn(t)
	w.want(`[2,"1","StatusNotification",{"connectorId":1,"errorCode":"NoError","status":"Charging","timestamp":"`+at(2*time.Hour)+`"}]`, `[3,"1",{}]`)
	w.want(stopFrame("2", n, 10_000, at(time.Hour), `,"reason":"PowerLoss"`), `[3,"2",{}]`)
	next := w.begin("3", 10_000, at(90*time.Minute))
	if next == n {
		t.Errorf("the next session is transaction %d again", n)
	}
	w.want(stopFrame("4", next, 16_000, at(150*time.Minute), ""), `[3,"4",{}]`)
	all := y.orders(t)
	if len(all) != 2 || all[0].Energy != "10.0000" || all[1].Energy != "6.0000" || all[0].Status != 10 || all[1].Status != 10 {
		t.Errorf("%+v", all)
	}
}

func line13(t *testing.T, y *yard) {
	gone := func(how string) {
		t.Helper()
		evcstest.Eventually(t, "the charger is gone after "+how, func() bool {
			var page struct{ Total int }
			y.by.OK(t, http.MethodGet, "/api/protocol/connection", nil).Into(t, &page)
			return page.Total == 0
		})
	}
	for _, code := range []int{websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived} {
		w := y.plugIn(t)
		w.says(boot)
		if err := w.conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, "")); err != nil {
			t.Error(err)
		}
		gone(fmt.Sprint(code))
	}
	w := y.plugIn(t)
	pongs := make(chan string, 1)
	w.conn.SetPongHandler(func(text string) error { pongs <- text; return nil })
	if err := w.conn.WriteControl(websocket.PingMessage, []byte("there?"), time.Now().Add(5*time.Second)); err != nil {
		t.Error(err)
	}
	if got := <-pongs; got != "there?" {
		t.Errorf("pong %q", got)
	}
	w.conn.NetConn().Close() // 1006
	gone("1006")
	for name, c := range map[string]struct {
		head   string
		status string
	}{
		"no user agent, compression offered": {"Sec-WebSocket-Protocol: ocpp1.6\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n", "101"},
		"a newer version first":              {"Sec-WebSocket-Protocol: ocpp2.1, ocpp1.6\r\n", "101"},
		"no subprotocol":                     {"", "400"},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(y.d.DeviceURL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /ocpp/%s HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Basic %s\r\n%s\r\n",
			y.device, base64.StdEncoding.EncodeToString([]byte(y.device+":"+y.secret)), c.head)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || !strings.HasPrefix(answer.Status, c.status) || answer.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Errorf("%s: %v %+v", name, err, answer)
		}
		conn.Close()
	}
	if hint := y.hint(t); !strings.HasPrefix(hint, "MISSING_SUBPROTOCOL") || !strings.Contains(hint, "ocpp1.6") {
		t.Errorf("told %q", hint)
	}
}

func line14(t *testing.T, y *yard) {
	other := y.another(t, "C2", "REAL-2")
	w := y.plugIn(t)
	w.says(`[2,"1","BootNotification",{"chargePointVendor":"V","chargePointModel":"M","chargePointSerialNumber":"REAL-2","chargeBoxSerialNumber":"SOMETHING"}]`)
	w.begin("2", 0, at(0))
	if b := y.order(t); b.ChargerID != y.ChargerID || b.ChargerID == other.ChargerID {
		t.Errorf("%+v", b)
	}
}

func line15(t *testing.T, y *yard) {
	if got := y.knock(t, y.d.DeviceURL, ""); got != http.StatusUnauthorized {
		t.Errorf("without a password: %d", got)
	}
	if hint := y.hint(t); !strings.Contains(hint, "no password") {
		t.Errorf("told %q", hint)
	}
	y.prove(t, map[string]any{"securityProfile": 0, "allowCidr": []string{"127.0.0.1"}})
	if got := y.knock(t, y.d.DeviceURL, ""); got != http.StatusSwitchingProtocols {
		t.Errorf("allowed: %d", got)
	}
	if got := y.another(t, "C2", "REAL-2").knock(t, y.d.DeviceURL, ""); got != http.StatusUnauthorized {
		t.Errorf("its neighbour: %d", got)
	}
	var shown struct {
		SecurityProfile int
		AllowCIDR       []string
	}
	y.by.OK(t, http.MethodGet, evcstest.Path("/api/charger/%d/credential", y.ChargerID), nil).Into(t, &shown)
	if shown.SecurityProfile != 0 || len(shown.AllowCIDR) != 1 {
		t.Errorf("it does not show: %+v", shown)
	}
}

func line17(t *testing.T, y *yard) {
	from := func(host string) *websocket.Conn {
		t.Helper()
		dialer := websocket.Dialer{
			Subprotocols:   []string{"ocpp1.6"},
			NetDialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}).DialContext,
		}
		h := http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(y.device+":"+y.secret))}}
		conn, _, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(y.d.DeviceURL, "http")+"/ocpp/"+y.device, h)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	connected := func(host string) {
		t.Helper()
		evcstest.Eventually(t, host+" is the one that is connected", func() bool {
			var page struct {
				Records []struct{ RemoteAddress string }
			}
			y.by.OK(t, http.MethodGet, "/api/protocol/connection", nil).Into(t, &page)
			return len(page.Records) == 1 && strings.HasPrefix(page.Records[0].RemoteAddress, host+":")
		})
	}
	old := from("127.0.0.1")
	connected("127.0.0.1")
	for _, host := range []string{"127.0.0.2", "127.0.0.1"} {
		newer := from(host)
		connected(host)
		var closed *websocket.CloseError
		if _, _, err := old.ReadMessage(); !errors.As(err, &closed) || closed.Code != websocket.CloseNormalClosure {
			t.Errorf("the older one ends with %v", err)
		}
		old = newer
	}
	type alert struct {
		AlertType, Message string
		ChargerID          int64
	}
	var page struct{ Records []alert }
	evcstest.Eventually(t, "there is an alert", func() bool {
		y.by.OK(t, http.MethodGet, "/api/monitoring/alerts?alertType=DeviceFlapping", nil).Into(t, &page)
		return len(page.Records) == 1
	})
	if a := page.Records[0]; a.ChargerID != y.ChargerID || !strings.Contains(a.Message, "127.0.0.2, 127.0.0.1") {
		t.Errorf("%+v", a)
	}
}
