package cloudcharge

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

// TestSignedTexts reads the vectors of testdata: what is signed, byte for byte.
func TestSignedTexts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/signatures.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Name, Operation, Body, Signed, Signature string }
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors) < 7 {
		t.Fatal(err, len(vectors))
	}
	for _, v := range vectors {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(v.Signed))
		sum := hex.EncodeToString(mac.Sum(nil))
		if v.Signature != "" && v.Signature != sum {
			t.Errorf("%s: the vector's signature is %s, not %s", v.Name, sum, v.Signature)
		}
		q, err := parseRequest(v.Operation, []byte(strings.Replace(v.Body, `"S"`, `"`+sum+`"`, 1)))
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
			continue
		}
		if q.signed() != v.Signed || !q.verify(secret) || q.verify(secret[1:]) {
			t.Errorf("%s: signed\n%s\nwant\n%s", v.Name, q.signed(), v.Signed)
		}
		q.signature = strings.ToUpper(sum)
		if q.verify(secret) {
			t.Errorf("%s: an upper-case signature is taken", v.Name)
		}
	}
}

// heard is everything else the server talks to: it remembers what it was told.
type heard struct {
	*outside
	started device.Started
	metered device.Metered
	status  []device.Status
	answer  device.StartAnswer
}

func (h *heard) Started(_ context.Context, m device.Started) (device.StartAnswer, error) {
	h.started = m
	return h.answer, h.err
}

func (h *heard) Metered(_ context.Context, m device.Metered) (device.MeterAnswer, error) {
	h.metered = m
	return device.MeterAnswer{Accepted: len(m.Samples) - 1, Ignored: 1}, h.err
}

func (h *heard) StatusReported(_ context.Context, m device.Status) error {
	h.status = append(h.status, m)
	return h.err
}

func hearing() (*Server, *heard) {
	s, o := newServer()
	h := &heard{outside: o, answer: device.StartAnswer{Session: "S-1", OrderNo: "ORD-1", Tag: device.TagAccepted}}
	s.config.Handler = h
	return s, h
}

// call signs and sends a request, with the time of the clock.
func (h *heard) call(s *Server, operation, id, session, data string) (int, string) {
	top, err := scanObject([]byte(data))
	if err != nil {
		panic(err)
	}
	now := h.clock.Format(time.RFC3339)
	body := fmt.Sprintf(`{"requestId":%q,"apiVersion":"3.0","timestamp":%q,"deviceCode":"CP-001","data":%s,"signature":"S"`, id, now, data)
	if session != "" {
		body += fmt.Sprintf(`,"sessionId":%q`, session)
	}
	q := &request{}
	q.fixed = newSignedText(id, session, top)
	q.timestamp = now
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(q.signed()))
	return post(s, operation, strings.Replace(body, `"S"`, `"`+hex.EncodeToString(mac.Sum(nil))+`"`, 1)+"}")
}

func newSignedText(id, session string, data []field) string {
	f := newFields(nil)
	f.plain = map[string]string{"requestId": id, "apiVersion": "3.0", "deviceCode": "CP-001", "sessionId": session}
	if session != "" {
		f.raw["sessionId"] = []byte(`"x"`)
	}
	return f.fixedText(data)
}

func TestStatusUnderEveryName(t *testing.T) {
	t.Parallel()
	s, h := hearing()
	for i, name := range []string{"connectorNo", "connectorId", "gunNo", "gunId", "port", "connector"} {
		status, body := h.call(s, "status", fmt.Sprint("R", i), "", `{"`+name+`":2,"status":3,"errCode":17,"errorMessage":"hot","plugged":true,"voltage":380.5,"power":59.9,"soc":81}`)
		if status != 200 || !strings.Contains(body, `"status":"received"`) {
			t.Fatalf("%s: %d %s", name, status, body)
		}
		m := h.status[len(h.status)-1]
		if m.Connector != 2 || m.State != device.Fault || m.FaultCode != "17" || m.FaultDetail != "hot" || m.Plugged == nil || !*m.Plugged {
			t.Errorf("%s: %+v", name, m)
		}
	}
	h.call(s, "status", "ALL", "", `{"status":1,"faultCode":"X"}`)
	if m := h.status[len(h.status)-1]; m.Connector != 0 || m.State != device.Idle || m.FaultCode != "" {
		t.Errorf("the whole charger: %+v", m)
	}
	told := len(h.status)
	for i, bad := range []string{`{}`, `{"status":6}`, `{"status":"1"}`, `{"status":1,"connectorNo":0}`, `{"status":1,"soc":-1}`, `{"status":1.5}`, `{"status":1e0}`} {
		if status, body := h.call(s, "status", fmt.Sprint("B", i), "", bad); status != 400 || !strings.Contains(body, `"errorCode":9400`) || !strings.Contains(body, "data.") {
			t.Errorf("%s: %d %s", bad, status, body)
		}
	}
	if len(h.status) != told {
		t.Error("a refused report was told")
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	s, h := hearing()
	status, body := h.call(s, "start", "R1", "", `{"connectorNo":2,"idTag":"T1","initialEnergy":12.5,"startTime":"2026-02-10T18:00:00","commandId":7,"offline":true}`)
	if status != 200 || !strings.Contains(body, `"sessionId":"S-1"`) || !strings.Contains(body, `"orderNo":"ORD-1"`) || !strings.Contains(body, `"status":"charging"`) {
		t.Fatalf("%d %s", status, body)
	}
	m := h.started
	if m.Connector != 2 || m.IDTag != "T1" || *m.Register != 125_000 || !m.At.Equal(time.Date(2026, 2, 10, 10, 0, 0, 0, time.UTC)) || m.Command != 7 || !m.Offline {
		t.Errorf("%+v", m)
	}
	h.call(s, "start", "R2", "", `{"connectorNo":2,"startTime":"2026-02-10T18:00:00"}`)
	if h.started.Key == m.Key || h.started.Key == "" || h.started.Session != "" {
		t.Errorf("starts of two requests have the keys %q and %q", m.Key, h.started.Key)
	}
	h.call(s, "start", "R3", "S-OWN", `{"userId":20031}`)
	if h.started.Session != "S-OWN" || h.started.Key != "S-OWN" || h.started.Connector != 1 || h.started.User != 20031 || h.started.Offline {
		t.Errorf("%+v", h.started)
	}
	h.answer = device.StartAnswer{Tag: device.TagBlocked}
	if status, body := h.call(s, "start", "R4", "", `{"idTag":"T9"}`); status != 403 || !strings.Contains(body, `"errorCode":2017`) {
		t.Errorf("%d %s", status, body)
	}
}

// TestStopForms: by energy, by register, with and without an end; minutes may
// have decimals; the answer is the stored one.
func TestStopForms(t *testing.T) {
	t.Parallel()
	s, h := hearing()
	quantity := func(n int64) *evcs.Energy { e := evcs.Energy(n); return &e }
	for i, c := range []struct {
		data string
		want device.Stopped
	}{
		{`{"energy":0}`, device.Stopped{Energy: quantity(0), Reason: "LOCAL", ReasonRaw: "Manual stop"}},
		{`{"meterStop":100.0001,"connectorNo":3}`, device.Stopped{Register: quantity(1_000_001), Connector: 3, Reason: "LOCAL", ReasonRaw: "Manual stop"}},
		{`{"energy":1,"duration":1.5,"reason":"unplugged by user"}`, device.Stopped{Energy: quantity(10_000), Duration: 90 * time.Second, Reason: "EV_DISCONNECTED", ReasonRaw: "unplugged by user"}},
		{
			`{"energy":1,"duration":0.333333333,"endTime":"2026-02-10T10:30:00Z","reason":"EMERGENCY"}`,
			device.Stopped{Energy: quantity(10_000), Duration: 19_980 * time.Millisecond, At: time.Date(2026, 2, 10, 10, 30, 0, 0, time.UTC), Reason: "EMERGENCY", ReasonRaw: "EMERGENCY"},
		},
	} {
		status, body := h.call(s, "stop", fmt.Sprint("R", i), "S-1", c.data)
		got := h.last
		got.From, c.want.Session = device.From{}, "S-1"
		if diff := cmp.Diff(c.want, got); status != 200 || diff != "" {
			t.Errorf("%s: %d %s %s", c.data, status, body, diff)
		}
	}
	stops := h.stops
	for i, bad := range []string{
		`{}`, `{"energy":-1}`, `{"energy":"1"}`, `{"energy":1.00001}`, `{"energy":1,"duration":-1}`, `{"energy":1,"duration":600000}`, `{"energy":1,"endTime":"yesterday"}`,
		`{"energy":99999999999999999999}`, `{"energy":1,"connectorNo":4294967297}`,
	} {
		if status, body := h.call(s, "stop", fmt.Sprint("B", i), "S-1", bad); status != 400 || !strings.Contains(body, `"errorCode":9400`) {
			t.Errorf("%s: %d %s", bad, status, body)
		}
	}
	if status, body := h.call(s, "stop", "NOBODY", "", `{"energy":1}`); status != 400 || !strings.Contains(body, "sessionId") {
		t.Errorf("without a session: %d %s", status, body)
	}
	if h.stops != stops {
		t.Errorf("%d refused stops were told", h.stops-stops)
	}
}

// TestStopWithTheChargersBill: what the charger says that it cost is told with the
// stop. What cannot be is refused by its name, nothing is told, and the stop is
// taken when it comes right.
func TestStopWithTheChargersBill(t *testing.T) {
	t.Parallel()
	s, h := hearing()
	for i, c := range []struct{ data, fault string }{
		{`"amount":-0.01`, "data.amount: 不能为负"},
		{`"amount":-0.005`, "data.amount: 不能为负"},
		{`"amount":6e1`, "data.amount: 不是人民币金额"},
		{`"amount":"much"`, "data.amount: 不是人民币金额"},
		{`"amount":1.2e3`, "data.amount: 不是人民币金额"},
		{`"amount":99999999999999999999`, "data.amount: 不是人民币金额"},
		{`"amount":1000000.01`, "data.amount: 不能大于 1000000.00"},
		{`"periods":{}`, "data.periods: 不是数组"},
		{`"periods":[{},{},{},{},{}]`, "data.periods: 不是至多 4 个对象的数组"},
		{`"periods":[{"periodKind":"NIGHT","energy":1,"amount":1}]`, "data.periods[0].periodKind: 必须是 SHARP"},
		{`"periods":[{"energy":1,"amount":1}]`, "data.periods[0].periodKind: 缺失"},
		{`"periods":[{"periodKind":"FLAT","amount":1}]`, "data.periods[0].energy: 缺失"},
		{`"periods":[{"periodKind":"FLAT","energy":1,"amount":-1}]`, "data.periods[0].amount: 不能为负"},
		{`"periods":[{"periodKind":"FLAT","energy":1,"amount":1},{"periodKind":"FLAT","energy":1,"amount":1}]`, "data.periods[1].periodKind: 重复出现"},
	} {
		id := fmt.Sprint("B", i)
		status, body := h.call(s, "stop", id, "S-1", `{"energy":1,`+c.data+`}`)
		if field, message, _ := strings.Cut(c.fault, ": "); status != 400 || !strings.Contains(body, `"errorCode":9400`) || !strings.Contains(body, field) || !strings.Contains(body, message) {
			t.Errorf("%s: %d %s", c.data, status, body)
		}
		if h.stops != i {
			t.Fatalf("%s: the refused stop was told", c.data)
		}
		if status, body = h.call(s, "stop", id+"-right", "S-1", `{"energy":1,"amount":61.38}`); status != 200 || h.stops != i+1 || *h.last.Bill.Amount != 6138 {
			t.Fatalf("%s put right: %d %s", c.data, status, body)
		}
	}
	fen := func(m evcs.Money) *evcs.Money { return &m }
	for i, c := range []struct {
		data string
		want *evcs.ChargerBill
	}{
		{`{"energy":1}`, nil},
		{`{"energy":1,"amount":null}`, nil},
		{`{"energy":1,"amount":0,"endTime":"2026-02-10T10:30:00Z"}`, &evcs.ChargerBill{Amount: fen(0), Ended: time.Date(2026, 2, 10, 10, 30, 0, 0, time.UTC)}},
		{`{"energy":1,"amount":61.38499999999999}`, &evcs.ChargerBill{Amount: fen(6138)}},
		{`{"energy":1,"amount":61.385}`, &evcs.ChargerBill{Amount: fen(6139)}},
		{`{"energy":1,"amount":"61.38"}`, &evcs.ChargerBill{Amount: fen(6138)}},
		{`{"energy":3,"periods":[{"periodKind":"PEAK","energy":1,"amount":1.20},{"periodKind":"VALLEY","energy":2.0001,"amount":0.8}]}`, &evcs.ChargerBill{
			Amount: fen(200), Periods: []evcs.ChargerPeriod{{Kind: "PEAK", Energy: 10_000, Amount: 120}, {Kind: "VALLEY", Energy: 20_001, Amount: 80}},
		}},
	} {
		status, body := h.call(s, "stop", fmt.Sprint("R", i), "S-1", c.data)
		if diff := cmp.Diff(c.want, h.last.Bill); status != 200 || diff != "" {
			t.Errorf("%s: %d %s %s", c.data, status, body, diff)
		}
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	s, h := hearing()
	status, body := h.call(s, "meter", "R1", "", `{"samples":[{"time":"2026-02-10T18:20:00","meter":10},{"time":"2026-02-10T10:25:00Z","energy":1.5,"power":60,"soc":50.5,"temperature":-3.5}]}`)
	if status != 200 || !strings.Contains(body, `"accepted":1`) || !strings.Contains(body, `"ignored":1`) {
		t.Fatalf("%d %s", status, body)
	}
	m := h.metered
	if len(m.Samples) != 2 || m.Connector != 1 || m.Session != "" || m.Samples[0].Register != 100_000 || m.Samples[1].Energy != 15_000 ||
		!m.Samples[0].At.Equal(time.Date(2026, 2, 10, 10, 20, 0, 0, time.UTC)) || m.Samples[1].Temperature != -3500 {
		t.Errorf("%+v", m)
	}
	sample := `{"time":"2026-02-10T10:25:00Z","meter":1}`
	if status, body := h.call(s, "meter", "R2", "S-1", `{"samples":[`+strings.Repeat(sample+",", 499)+sample+`]}`); status != 200 || len(h.metered.Samples) != 500 {
		t.Errorf("500 samples: %d %s", status, body)
	}
	for i, bad := range []string{
		`{}`, `{"samples":[]}`, `{"samples":{}}`, `{"samples":[1]}`, `{"samples":[{"meter":1}]}`, `{"samples":[{"time":"2026-02-10T10:25:00Z"}]}`,
		`{"samples":[` + strings.Repeat(sample+",", 500) + sample + `]}`,
	} {
		if status, body := h.call(s, "meter", fmt.Sprint("B", i), "S-1", bad); status != 400 || !strings.Contains(body, `"errorCode":9400`) {
			t.Errorf("%.60s: %d %s", bad, status, body)
		}
	}
}

// TestErrorTable is the table of the contract: every rule a use may refuse with,
// and its place on the wire. What may be tried again is not remembered.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	for code, status := range map[evcs.Code]int{
		evcs.CodeTenantDisabled: 403, evcs.CodeTenantExpired: 403, evcs.CodeChargerDisabled: 403, evcs.CodeIDTagRefused: 403, evcs.CodeQuotaExceeded: 403,
		evcs.CodeConnectorNotFound: 404, evcs.CodeSessionNotFound: 404, evcs.CodeConnectorBusy: 409, evcs.CodeOrderCancelled: 409,
		evcs.CodeRateLimited: 429, evcs.CodeServiceUnavailable: 503, evcs.CodeInternalError: 500,
	} {
		s, h := hearing()
		h.err = evcs.NewError(code, "secret reason for the log")
		got, body := h.call(s, "stop", "R1", "S-1", `{"energy":1}`)
		if got != status || !strings.Contains(body, fmt.Sprintf(`"errorCode":%d`, code)) || !strings.Contains(body, fmt.Sprintf(`"code":"%d"`, status)) ||
			!strings.Contains(body, `"success":false`) || !strings.Contains(body, `"requestId":"R1"`) || strings.Contains(body, "secret reason") {
			t.Errorf("%s: %d %s", code.Name(), got, body)
		}
		if code == evcs.CodeOrderCancelled && !strings.Contains(body, `"action":"stop"`) {
			t.Errorf("a cancelled order does not end the charge: %s", body)
		}
		if kept := len(h.replies) == 1; kept != (status < 500 && status != 429) {
			t.Errorf("%s: remembered %v", code.Name(), kept)
		}
	}
}

// TestRepeats: the same request is answered with the same bytes for as long as
// the answer is kept, under any later timestamp; other content is refused.
func TestRepeats(t *testing.T) {
	t.Parallel()
	s, h := hearing()
	_, first := h.call(s, "stop", "R1", "S-1", `{"energy":1}`)
	for _, later := range []time.Duration{time.Second, time.Hour, 71 * time.Hour} {
		h.clock = h.clock.Add(later)
		if status, again := h.call(s, "stop", "R1", "S-1", `{"energy":1}`); status != 200 || again != first {
			t.Errorf("after %v: %d %s, first %s", later, status, again, first)
		}
	}
	for _, other := range []struct{ operation, session, data string }{
		{"stop", "S-1", `{"energy":1.0}`}, {"stop", "S-2", `{"energy":1}`}, {"meter", "S-1", `{"energy":1}`},
	} {
		if status, body := h.call(s, other.operation, "R1", other.session, other.data); status != 409 || !strings.Contains(body, `"errorCode":2023`) {
			t.Errorf("%+v: %d %s", other, status, body)
		}
	}
	if h.stops != 1 {
		t.Errorf("%d effects", h.stops)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	for off, want := range map[time.Duration]int{-300 * time.Second: 200, 300 * time.Second: 200, -301 * time.Second: 401, 301 * time.Second: 401} {
		s, h := hearing()
		now := h.clock
		h.clock = now.Add(off)
		body := func() (int, string) { // signed with the device's clock, judged by ours
			defer func() { h.clock = now }()
			return h.callAt(s, now)
		}
		if status, text := body(); status != want || want == 401 && (!strings.Contains(text, `"errorCode":2022`) || !strings.Contains(text, `"serverTime":"2026-02-10T10:30:05Z"`)) {
			t.Errorf("%v off: %d %s", off, status, text)
		}
	}
}

// callAt sends a stop stamped with the present clock when the server's is now.
func (h *heard) callAt(s *Server, now time.Time) (int, string) {
	stamp := h.clock.Format(time.RFC3339)
	h.clock = now
	q := &request{timestamp: stamp, fixed: newSignedText("R1", "S-1", []field{{"energy", []byte("1")}})}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(q.signed()))
	return post(s, "stop", fmt.Sprintf(`{"requestId":"R1","apiVersion":"3.0","timestamp":%q,"deviceCode":"CP-001","sessionId":"S-1","data":{"energy":1},"signature":%q}`,
		stamp, hex.EncodeToString(mac.Sum(nil))))
}

// TestRate: a charger that sends too fast is refused; it alone.
func TestRate(t *testing.T) {
	t.Parallel()
	s, h := hearing()
	s.config.Rate = 5
	refused := 0
	for i := range 12 { // the clock stands: a burst of twice the rate, then nothing
		if status, body := h.call(s, "heartbeat", fmt.Sprint("R", i), "", `{}`); status == 429 {
			refused++
			if !strings.Contains(body, `"errorCode":9429`) || !strings.Contains(body, `"retryAfter":1`) {
				t.Errorf("%s", body)
			}
		}
	}
	if refused != 2 {
		t.Errorf("%d of 12 refused, want 2", refused)
	}
	if !s.limiter(10002).AllowN(h.clock, 1) {
		t.Error("another charger is refused too")
	}
	h.clock = h.clock.Add(time.Second)
	if status, body := h.call(s, "heartbeat", "LATER", "", `{}`); status != 200 {
		t.Errorf("a second later: %d %s", status, body)
	}
}

// TestLongPoll: a heartbeat that waits is answered as soon as there is a
// command, else when its time is up; a newer poll lets the older one go.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, h := hearing()
		h.call(s, "heartbeat", "R0", "", `{}`)
		session := s.config.Hub.Get(10001)
		began := time.Now()
		poll := func(id string, into chan<- string) {
			_, body := h.call(s, "heartbeat", id, "", `{"wait":20}`)
			into <- body
		}
		first, second := make(chan string, 1), make(chan string, 1)
		go poll("R1", first)
		synctest.Wait()
		go poll("R2", second)
		if body := <-first; !strings.Contains(body, `"commands":[]`) || time.Since(began) != 0 {
			t.Errorf("the older poll after %v: %s", time.Since(began), body)
		}
		time.Sleep(3 * time.Second)
		sent := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := session.Send(ctx, device.Command{ID: 9, Kind: device.KindReset, Hard: true})
			sent <- err
		}()
		if body := <-second; !strings.Contains(body, `"commandId":9`) || !strings.Contains(body, `"type":"hard"`) || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %s", time.Since(began), body)
		}
		cancel()
		if err := <-sent; err == nil {
			t.Error("a command nobody answered worked")
		}
		began = time.Now()
		go poll("R3", first)
		if body := <-first; !strings.Contains(body, `"commands":[]`) || time.Since(began) != 20*time.Second {
			t.Errorf("a poll in vain after %v: %s", time.Since(began), body)
		}
	})
}

// kept is a journal in memory.
type kept struct{ frames []evcs.Frame }

func (k *kept) Keep(f evcs.Frame) { k.frames = append(k.frames, f) }

// TestJournal: answers that say something are kept, and no secret is.
func TestJournal(t *testing.T) {
	t.Parallel()
	s, h := hearing()
	k := &kept{}
	s.config.Journal = k
	h.call(s, "heartbeat", "R0", "", `{}`)
	h.call(s, "meter", "R1", "S-1", `{"samples":[{"time":"2026-02-10T10:25:00Z","meter":1}]}`)
	if len(k.frames) != 0 {
		t.Errorf("routine answers are kept: %+v", k.frames)
	}
	h.call(s, "stop", "R2", "S-1", `{"energy":1}`)
	session := s.config.Hub.Get(10001)
	done := make(chan device.Answer, 1)
	go func() {
		a, _ := session.Send(t.Context(), device.Command{ID: 9, Kind: device.KindSetConfig, Key: "AuthorizationKey", Value: "hunter2"})
		done <- a
	}()
	_, told := h.call(s, "heartbeat", "R3", "", `{"wait":50}`)
	if !strings.Contains(told, "hunter2") {
		t.Errorf("the charger is told %s", told)
	}
	if _, again := h.call(s, "heartbeat", "R3", "", `{"wait":50}`); again != told {
		t.Errorf("the same request is answered %s", again)
	}
	if !h.replies["R3"].Secret || h.replies["R2"].Secret || h.replies["R0"].Secret {
		t.Errorf("answers that are secret: %+v", h.replies)
	}
	h.call(s, "heartbeat", "R4", "", `{"commandResults":[{"commandId":9,"result":"ACCEPTED"}]}`)
	<-done
	var got []string
	for _, f := range k.frames {
		got = append(got, fmt.Sprint(f.Out, " ", f.Type, " ", f.MessageID, " ", f.Session))
		if strings.Contains(string(f.Raw), "hunter2") {
			t.Errorf("a secret is kept: %s", f.Raw)
		}
	}
	if diff := cmp.Diff([]string{"true stop R2 S-1", "true heartbeat R3 ", "false heartbeat R4 ", "true heartbeat R4 "}, got); diff != "" {
		t.Error(diff)
	}
}
