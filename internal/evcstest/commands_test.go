package evcstest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/judge"
)

// wire is a charge point of raw frames: what it says and what it answers to
// the platform's calls is written here, byte for byte.
type wire struct {
	t       *testing.T
	conn    *websocket.Conn
	asked   chan called // calls of the platform, in their order
	answers chan string // answers of the platform, in their order
	writing sync.Mutex
}

// called is a call of the platform.
type called struct{ id, action, payload string }

// plugIn connects the yard's charger and reads until the connection ends.
func (y *yard) plugIn(t *testing.T) *wire {
	t.Helper()
	conn, err := y.socket(t)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, conn: conn, asked: make(chan called, 64), answers: make(chan string, 1024)}
	var reading sync.WaitGroup
	reading.Go(w.read)
	t.Cleanup(func() {
		conn.Close()
		reading.Wait()
	})
	return w
}

func (w *wire) read() {
	defer close(w.answers)
	for {
		_, text, err := w.conn.ReadMessage()
		if err != nil {
			return
		}
		var frame []json.RawMessage
		if json.Unmarshal(text, &frame) != nil || len(frame) < 3 {
			w.t.Errorf("the platform sent %s", text)
			return
		}
		if string(frame[0]) == "2" {
			w.asked <- called{strings.Trim(string(frame[1]), `"`), strings.Trim(string(frame[2]), `"`), string(frame[3])}
			continue
		}
		w.answers <- string(text)
	}
}

// send writes a frame as it is.
func (w *wire) send(frame string) {
	w.t.Helper()
	w.writing.Lock()
	defer w.writing.Unlock()
	if err := w.conn.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		w.t.Error(err)
	}
}

// answer is the next answer of the platform.
func (w *wire) answer() string {
	w.t.Helper()
	select {
	case a, ok := <-w.answers:
		if !ok {
			w.t.Fatal("the connection ended before the answer")
		}
		return a
	case <-time.After(10 * time.Second):
		w.t.Fatal("no answer")
		return ""
	}
}

// says sends a frame and returns the answer.
func (w *wire) says(frame string) string {
	w.t.Helper()
	w.send(frame)
	return w.answer()
}

// want sends a frame that must be answered so.
func (w *wire) want(frame, answer string) {
	w.t.Helper()
	if got := w.says(frame); got != answer {
		w.t.Errorf("%s\nis answered with %s\nwant %s", frame, got, answer)
	}
}

// next is the next call of the platform.
func (w *wire) next() called {
	w.t.Helper()
	select {
	case a := <-w.asked:
		return a
	case <-time.After(10 * time.Second):
		w.t.Fatal("the platform asks nothing")
		return called{}
	}
}

// reply answers a call of the platform.
func (w *wire) reply(a called, result string) { w.send(`[3,"` + a.id + `",` + result + `]`) }

const boot = `[2,"b","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]`

// asked is what a test reads of a command.
type asked struct {
	CommandID                 int64
	State                     string
	Reason                    *string
	Params, Result            json.RawMessage
	SentTime, AnswerTime, End *string
}

func (y *yard) command(t *testing.T, id int64) asked {
	t.Helper()
	var c asked
	y.by.OK(t, http.MethodGet, evcstest.Path("/api/command/%d", id), nil).Into(t, &c)
	return c
}

func (y *yard) ask(t *testing.T, body map[string]any) evcstest.Answer {
	t.Helper()
	return y.by.Call(t, http.MethodPost, evcstest.Path("/api/charger/%d/command", y.ChargerID), body)
}

// TestEveryCommandOverTheWire asks a charge point for everything that OCPP 1.6
// knows: the exact call, and what each answer makes of the command.
func TestEveryCommandOverTheWire(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	y := build(t, d, d.Admin(), "CMD-1")
	w := y.plugIn(t)
	w.says(boot)
	for _, c := range []struct {
		body            map[string]any
		action, payload string
		answer          string // result, or the tail of a CALLERROR
		state, reason   string
	}{
		{map[string]any{"type": "RESET"}, "Reset", `{"type":"Soft"}`, `{"status":"Accepted"}`, "ACCEPTED", ""},
		{map[string]any{"type": "RESET", "params": map[string]any{"type": "hard"}}, "Reset", `{"type":"Hard"}`, `{"status":"Rejected"}`, "REJECTED", "Rejected"},
		{map[string]any{"type": "UNLOCK", "connectorNo": 1}, "UnlockConnector", `{"connectorId":1}`, `{"status":"UnlockFailed"}`, "REJECTED", "UnlockFailed"},
		{map[string]any{"type": "UNLOCK", "connectorNo": 1}, "UnlockConnector", `{"connectorId":1}`, `{"status":"Unlocked"}`, "ACCEPTED", ""},
		{map[string]any{"type": "AVAILABILITY", "params": map[string]any{"operative": false}}, "ChangeAvailability", `{"connectorId":0,"type":"Inoperative"}`, `{"status":"Scheduled"}`, "ACCEPTED", ""},
		{map[string]any{"type": "AVAILABILITY", "connectorNo": 1, "params": map[string]any{"operative": true}}, "ChangeAvailability", `{"connectorId":1,"type":"Operative"}`, `{"status":"Accepted"}`, "ACCEPTED", ""},
		{map[string]any{"type": "TRIGGER", "connectorNo": 1, "params": map[string]any{"message": "MeterValues"}}, "TriggerMessage", `{"requestedMessage":"MeterValues","connectorId":1}`, `{"status":"NotImplemented"}`, "REJECTED", "NotImplemented"},
		{map[string]any{"type": "GET_CONFIG", "params": map[string]any{"keys": []string{"A"}}}, "GetConfiguration", `{"key":["A"]}`, `{"configurationKey":[{"key":"A","readonly":false,"value":"1"}],"unknownKey":[]}`, "ACCEPTED", ""},
		{map[string]any{"type": "SET_CONFIG", "params": map[string]any{"key": "A", "value": "2"}}, "ChangeConfiguration", `{"key":"A","value":"2"}`, `{"status":"RebootRequired"}`, "ACCEPTED", ""},
		{map[string]any{"type": "SET_CONFIG", "params": map[string]any{"key": "A", "value": ""}}, "ChangeConfiguration", `{"key":"A","value":""}`, `error "NotSupported","no"`, "REJECTED", "NotSupported: no"},
		{map[string]any{"type": "SEND_LOCAL_LIST", "params": map[string]any{"full": true}}, "SendLocalList", "", `{"status":"VersionMismatch"}`, "REJECTED", "VersionMismatch"},
		{map[string]any{"type": "SEND_LOCAL_LIST"}, "SendLocalList", "", `{"status":"Accepted"}`, "ACCEPTED", ""},
	} {
		c.body["wait"] = 0
		var made asked
		y.ask(t, c.body).Into(t, &made)
		got := w.next()
		if got.action != c.action || c.payload != "" && got.payload != c.payload {
			t.Errorf("%v asks %+v, want %s %s", c.body, got, c.action, c.payload)
		}
		if mid := y.command(t, made.CommandID); mid.State != "SENT" || mid.SentTime == nil || mid.AnswerTime != nil {
			t.Errorf("%v on the wire: %+v", c.body, mid)
		}
		if tail, failed := strings.CutPrefix(c.answer, "error "); failed {
			w.send(`[4,"` + got.id + `",` + tail + `,{}]`)
		} else {
			w.reply(got, c.answer)
		}
		var end asked
		y.by.OK(t, http.MethodGet, evcstest.Path("/api/command/%d?wait=10", made.CommandID), nil).Into(t, &end)
		reason := ""
		if end.Reason != nil {
			reason = *end.Reason
		}
		if end.State != c.state || reason != c.reason || end.AnswerTime == nil {
			t.Errorf("%v answered %s: %+v", c.body, c.answer, end)
		}
	}
}

// TestLocalListsTellWhatChanged sends all tags first and then only what is new.
func TestLocalListsTellWhatChanged(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	d.Clock.Set(begun)
	y := build(t, d, d.Admin(), "CMD-1")
	w := y.plugIn(t)
	w.says(boot)
	tag := func(body map[string]any) (id int64) {
		var made struct{ IDTagID int64 }
		y.by.OK(t, http.MethodPost, "/api/id-tag", body).Into(t, &made)
		return made.IDTagID
	}
	t2 := tag(map[string]any{"idTag": "T2", "status": "BLOCKED"})
	list := func(params map[string]any, want string) {
		t.Helper()
		var made asked
		y.ask(t, map[string]any{"type": "SEND_LOCAL_LIST", "params": params}).Into(t, &made)
		got := w.next()
		want = strings.Replace(want, "N", evcstest.Path("%d", made.CommandID), 1)
		if got.payload != want {
			t.Errorf("sent %s\nwant %s", got.payload, want)
		}
		w.reply(got, `{"status":"Accepted"}`)
		y.by.OK(t, http.MethodGet, evcstest.Path("/api/command/%d?wait=10", made.CommandID), nil)
	}
	d.Clock.Advance(time.Minute)
	list(nil, `{"listVersion":N,"updateType":"Full","localAuthorizationList":[`+
		`{"idTag":"T1","idTagInfo":{"status":"Accepted"}},{"idTag":"T2","idTagInfo":{"status":"Blocked"}}]}`)
	d.Clock.Advance(time.Minute)
	y.by.OK(t, http.MethodDelete, evcstest.Path("/api/id-tag/%d", t2), nil)
	tag(map[string]any{"idTag": "T3", "expireTime": "2027-03-01T00:00:00Z"})
	list(nil, `{"listVersion":N,"updateType":"Differential","localAuthorizationList":[`+
		`{"idTag":"T2"},{"idTag":"T3","idTagInfo":{"status":"Accepted","expiryDate":"2027-03-01T00:00:00.000Z"}}]}`)
	d.Clock.Advance(time.Minute)
	list(map[string]any{"full": 1}, `{"listVersion":N,"updateType":"Full","localAuthorizationList":[`+
		`{"idTag":"T1","idTagInfo":{"status":"Accepted"}},{"idTag":"T3","idTagInfo":{"status":"Accepted","expiryDate":"2027-03-01T00:00:00.000Z"}}]}`)
}

// TestAFirmwareUpdateEndsWithItsReport: the station's yes to an update says
// nothing; its last report does. The password of the address is told to the
// station alone.
func TestAFirmwareUpdateEndsWithItsReport(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	d.Clock.Set(begun)
	y := build(t, d, d.Admin(), "CMD-1")
	w := y.plugIn(t)
	w.says(boot)
	for report, want := range map[string]string{"Installed": "COMPLETED", "InstallationFailed": "FAILED", "DownloadFailed": "FAILED"} {
		var made asked
		y.ask(t, map[string]any{"type": "UPDATE_FIRMWARE", "params": map[string]any{
			"url": "ftp://u:hush@files.example/a.bin", "sha256": strings.Repeat("ab", 32), "retrieveTime": "2027-02-10T04:00:00Z",
		}}).Into(t, &made)
		got := w.next()
		if got.payload != `{"location":"ftp://u:hush@files.example/a.bin","retrieveDate":"2027-02-10T04:00:00.000Z"}` {
			t.Errorf("sent %s", got.payload)
		}
		w.reply(got, `{}`)
		evcstest.Eventually(t, "it is accepted", func() bool { return y.command(t, made.CommandID).State == "ACCEPTED" })
		w.want(`[2,"f","FirmwareStatusNotification",{"status":"Downloading"}]`, `[3,"f",{}]`)
		if c := y.command(t, made.CommandID); c.State != "ACCEPTED" || strings.Contains(string(c.Params), "hush") {
			t.Errorf("while it downloads: %+v", c)
		}
		w.want(`[2,"f","FirmwareStatusNotification",{"status":"`+report+`"}]`, `[3,"f",{}]`)
		if c := y.command(t, made.CommandID); c.State != want || c.Reason == nil || *c.Reason != report {
			t.Errorf("%s: %+v", report, c)
		}
	}
}

// TestCommandsThatAreRefused never reach the charger and leave no record.
func TestCommandsThatAreRefused(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	y := build(t, d, d.Admin(), "CMD-1")
	refused(t, y.ask(t, map[string]any{"type": "RESET"}), 0, evcs.CodeChargerOffline, nil)
	w := y.plugIn(t)
	w.says(boot)
	for _, kind := range []string{"SYNC_TIME", "PUSH_TARIFF", "READ_DATA"} {
		var facts struct{ Type, Protocol string }
		refused(t, y.ask(t, map[string]any{"type": kind}), 0, evcs.CodeCommandUnsupported, &facts)
		if facts.Type != kind || facts.Protocol != "OCPP16" {
			t.Errorf("%s: %+v", kind, facts)
		}
	}
	for _, body := range []map[string]any{
		{"type": "START"},
		{"type": "STOP"},
		{"type": "NOTHING"},
		{"type": "AVAILABILITY"},
		{"type": "TRIGGER"},
		{"type": "SET_CONFIG", "params": map[string]any{"key": "A"}},
		{"type": "SET_CONFIG", "params": map[string]any{"value": "A"}},
		{"type": "SET_CONFIG", "params": map[string]any{"key": strings.Repeat("k", 51), "value": "1"}},
		{"type": "GET_CONFIG", "params": map[string]any{"keys": []string{""}}},
		{"type": "UPDATE_FIRMWARE"},
		{"type": "UPDATE_FIRMWARE", "params": map[string]any{"url": "file:///etc/passwd"}},
		{"type": "UPDATE_FIRMWARE", "params": map[string]any{"url": "http://h/f", "sha256": "ab"}},
		{"type": "RESET", "params": map[string]any{"type": "medium"}},
		{"type": "RESET", "params": map[string]any{"kind": "soft"}},
		{"type": "RESET", "params": []int{1}},
		{"type": "RESET", "wait": 121},
	} {
		wrong := *y
		wrong.by = y.by.As(judge.Unseen) // params may be any object
		refused(t, wrong.ask(t, body), http.StatusBadRequest, evcs.CodeValidationFailed, nil)
	}
	refused(t, y.ask(t, map[string]any{"type": "UNLOCK", "connectorNo": 2}), 0, evcs.CodeConnectorNotFound, nil)
	refused(t, y.by.Call(t, http.MethodGet, "/api/command/999", nil), 0, evcs.CodeCommandNotFound, nil)
	var page struct{ Total int }
	y.by.OK(t, http.MethodGet, "/api/command", nil).Into(t, &page)
	select {
	case a := <-w.asked:
		t.Errorf("the charger was asked %+v", a)
	default:
	}
	if page.Total != 0 {
		t.Errorf("%d commands are on record", page.Total)
	}
}

// TestALateAnswerIsRecorded: a command ends at its deadline; what the charger
// says after that is kept with it. A second one waits its turn and may be taken
// back until it is sent.
func TestALateAnswerIsRecorded(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	y := build(t, d, d.Admin(), "CMD-1")
	w := y.plugIn(t)
	w.says(boot)
	var facts struct{ CommandID int64 }
	refused(t, y.ask(t, map[string]any{"type": "GET_CONFIG", "wait": 1}), 0, evcs.CodeCommandTimeout, &facts)
	if c := y.command(t, facts.CommandID); c.State != "TIMEOUT" || c.Result != nil && string(c.Result) != "null" {
		t.Errorf("at its deadline: %+v", c)
	}
	w.reply(w.next(), `{"configurationKey":[]}`)
	evcstest.Eventually(t, "the late answer is recorded", func() bool {
		c := y.command(t, facts.CommandID)
		return c.State == "TIMEOUT" && c.AnswerTime != nil && strings.Contains(string(c.Result), "configurationKey")
	})
	var ended asked
	refused(t, y.by.Call(t, http.MethodPost, evcstest.Path("/api/command/%d/cancel", facts.CommandID), map[string]any{}), 0, evcs.CodeCommandState, nil)
	y.ask(t, map[string]any{"type": "RESET"}).Into(t, &ended)
	w.next()
	w.conn.Close()
	evcstest.Eventually(t, "the command ends with the connection", func() bool { return y.command(t, ended.CommandID).State == "TIMEOUT" })
}

// TestWhatIsSaidIsOnRecord reads both directions back through the API: calls,
// results, errors, commands and their answers, and not one secret.
func TestWhatIsSaidIsOnRecord(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	d.Clock.Set(begun)
	y := build(t, d, d.Admin(), "TALK-1")
	w := y.plugIn(t)
	w.says(boot)
	started := w.says(`[2, "s", "StartTransaction", {"connectorId":1,"idTag":"T1","meterStart":0,"timestamp":"2027-02-10T03:00:00Z"}]`)
	w.want(`[2,"m","MeterValues",{"connectorId":1,"meterValue":[]}]`, `[3,"m",{}]`)
	w.says(`[2,"x","Unheard",{}]`)
	var made asked
	y.ask(t, map[string]any{"type": "SET_CONFIG", "params": map[string]any{"key": "AuthorizationKey", "value": "hunter2-hunter2"}}).Into(t, &made)
	got := w.next()
	if got.payload != `{"key":"AuthorizationKey","value":"hunter2-hunter2"}` {
		t.Errorf("the charger is told %s", got.payload)
	}
	w.reply(got, `{"status":"Accepted"}`)
	y.by.OK(t, http.MethodGet, evcstest.Path("/api/command/%d?wait=10", made.CommandID), nil)
	y.ask(t, map[string]any{"type": "GET_CONFIG"}).Into(t, &made)
	w.reply(w.next(), `{"configurationKey":[{"key":"AuthorizationKey","readonly":false,"value":"hunter2-hunter2"}]}`)
	y.by.OK(t, http.MethodGet, evcstest.Path("/api/command/%d?wait=10", made.CommandID), nil)

	type line struct{ Direction, Type, Raw, Outcome string }
	var list []line
	read := func(query string) []line {
		var page struct{ Records []line }
		a := y.by.OK(t, http.MethodGet, evcstest.Path("/api/protocol/message?chargerId=%d&size=100&sort=messageId%s", y.ChargerID, query), nil)
		if strings.Contains(string(a.Data), "hunter2") {
			t.Errorf("a secret is shown: %s", a.Data)
		}
		a.Into(t, &page)
		return page.Records
	}
	evcstest.Eventually(t, "all of it is stored", func() bool { list = read(""); return len(list) == 11 })
	want := []line{
		{"OUT", "StartTransaction", started, ""},
		{"OUT", "Unheard", `[4,"x","NotImplemented","this action is not known here",{}]`, "NotImplemented"},
		{"IN", "Unheard", `[2,"x","Unheard",{}]`, "NotImplemented"},
		{"OUT", "ChangeConfiguration", `[2,"` + got.id + `","ChangeConfiguration",{"key":"AuthorizationKey","value":"***"}]`, ""},
		{"IN", "ChangeConfiguration", `[3,"` + got.id + `",{"status":"Accepted"}]`, ""},
	}
	for _, x := range want {
		found := 0
		for _, l := range list {
			if l == x {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d times %+v in\n%+v", found, x, list)
		}
	}
	for query, n := range map[string]int{
		"&direction=OUT": 5, "&direction=IN": 6, "&type=GetConfiguration": 2, "&type=MeterValues,Unheard": 3, "&direction=OUT&type=StartTransaction": 1,
		"&sessionId=" + y.order(t).SessionID: 3, "&startTime=2027-02-10T03:00:01Z": 0, "&endTime=2027-02-10T03:00:00Z": 0,
	} {
		if found := read(query); len(found) != n {
			t.Errorf("%s: %d, want %d: %+v", query, len(found), n, found)
		}
	}
	refused(t, y.by.Call(t, http.MethodGet, evcstest.Path("/api/protocol/message?chargerId=%d&direction=UP", y.ChargerID), nil), 0, evcs.CodeValidationFailed, nil)
	refused(t, y.by.Call(t, http.MethodGet, "/api/protocol/message", nil), 0, evcs.CodeValidationFailed, nil)
	refused(t, y.by.Call(t, http.MethodGet, "/api/protocol/message?chargerId=99", nil), 0, evcs.CodeChargerNotFound, nil)
}
