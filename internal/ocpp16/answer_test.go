package ocpp16

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ocppj"
)

// fixed is a clock that stands.
type fixed struct{}

func (fixed) Now() time.Time { return time.Date(2026, 2, 10, 10, 30, 0, 0, time.UTC) }

func newSession(p *platform) *session {
	s, _ := New(Config{Handler: p, Clock: fixed{}}).Open(device.Identity{
		Tenant: 2, Charger: 10001, DeviceID: "CP-1", Heartbeat: 300 * time.Second, Zone: time.FixedZone("", 8*3600),
	}, "", nil).(*session)
	return s
}

// ask gives one call and returns the result, or the code of the CALLERROR, or
// "silence".
func ask(t *testing.T, s *session, action, payload string) string {
	t.Helper()
	raw := `[2,"m1","` + action + `",` + payload + `]`
	out, err := s.Answer(t.Context(), ocppj.Call{
		Action: []byte(action), Payload: []byte(payload), Raw: []byte(raw), ID: []byte(`"m1"`), Received: fixed{}.Now(),
	}, nil)
	var refusal *ocppj.CallError
	switch {
	case errors.As(err, &refusal):
		return refusal.Code
	case err != nil:
		return "silence"
	}
	checkSchema(t, action+"Response", out)
	return string(out)
}

func TestAnswersOfTheStandard(t *testing.T) {
	t.Parallel()
	accepted := `{"idTagInfo":{"status":"Accepted"}}`
	for _, c := range []struct{ action, payload, want string }{
		{"Heartbeat", `{}`, `{"currentTime":"2026-02-10T10:30:00.000Z"}`},
		{
			"BootNotification", `{"chargePointVendor":"V","chargePointModel":"M","iccid":"","x":{"y":[1]}}`,
			`{"status":"Accepted","currentTime":"2026-02-10T10:30:00.000Z","interval":300}`,
		},
		{"BootNotification", `{"chargePointVendor":"V"}`, codeOccurrence},
		{"BootNotification", `{"chargePointVendor":5,"chargePointModel":"M"}`, codeType},
		{"BootNotification", `{"chargePointVendor":`, codeFormat},
		{"Authorize", `{"idTag":"ABC"}`, accepted},
		{"Authorize", `{}`, codeOccurrence},
		{"Authorize", `{"idTag":{}}`, codeType},
		{"Authorize", `{"idTag":"` + strings.Repeat("A", 37) + `"}`, codeProperty},
		{"StatusNotification", `{"connectorId":0,"errorCode":"NoError","status":"Available"}`, `{}`},
		{"StatusNotification", `{"connectorId":"1","errorCode":"","status":"CHARGING","timestamp":"","info":""}`, `{}`},
		{"StatusNotification", `{"connectorId":1,"errorCode":"NoError"}`, codeOccurrence},
		{"StatusNotification", `{"connectorId":1,"status":"Dancing"}`, codeProperty},
		{"StatusNotification", `{"connectorId":-1,"status":"Available"}`, codeProperty},
		{"StatusNotification", `{"connectorId":true,"status":"Available"}`, codeType},
		{"StatusNotification", `{"connectorId":1,"status":"Available"},{}`, codeFormat},
		{"StatusNotification", `[]`, codeFormat},
		{
			"StartTransaction", `{"connectorId":1,"idTag":"ABC","meterStart":100,"timestamp":"2026-02-10T10:00:00Z"}`,
			`{"transactionId":1,"idTagInfo":{"status":"Accepted"}}`,
		},
		{"StartTransaction", `{"idTag":"ABC","meterStart":100}`, codeOccurrence},
		{"StartTransaction", `{"connectorId":0,"idTag":"ABC"}`, codeProperty},
		{"StopTransaction", `{"transactionId":7,"meterStop":100,"timestamp":"2026-02-10T10:00:00Z","idTag":"ABC"}`, accepted},
		{"StopTransaction", `{"transactionId":-1,"meterStop":"x1"}`, `{}`},
		{"StopTransaction", `{"transactionId":"7f3a-xyz","meterStop":{"v":1},"idTag":"ABC"}`, accepted},
		{"StopTransaction", `{"transactionId":[],"meterStop":true}`, `{}`},
		{"StopTransaction", `{}`, `{}`}, // kept as an orphan, never repeated for ever
		{"MeterValues", `{"connectorId":1,"transactionId":7,"meterValue":[]}`, `{}`},
		{"MeterValues", `{"connectorId":1}`, codeOccurrence},
		{"MeterValues", `{"connectorId":1,"meterValue":{}}`, codeType},
		{"MeterValues", `{"connectorId":1,"meterValue":[1]}`, codeType},
		{"DataTransfer", `{"vendorId":"V","data":"x"}`, `{"status":"UnknownVendorId"}`},
		{"FirmwareStatusNotification", `{"status":"Idle"}`, `{}`},
		{"DiagnosticsStatusNotification", `{"status":"Idle"}`, `{}`},
		{"SignCertificate", `{"csr":"x"}`, codeNotImplemented},
		{"Нечто", `{}`, codeNotImplemented},
	} {
		p := &platform{}
		if got := ask(t, newSession(p), c.action, c.payload); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.action, c.payload, got, c.want)
		}
		if !strings.HasPrefix(c.want, "{") && len(p.noted) != 1 { // what is refused is kept
			t.Errorf("%s %s: noted %v", c.action, c.payload, p.noted)
		}
	}
}

// Nothing is acknowledged that was not stored; what a rule refuses is kept and
// answered, or the station would repeat it for ever.
func TestStoreFailureIsSilenceAndRefusalIsAnAnswer(t *testing.T) {
	t.Parallel()
	messages := map[string]string{
		"StartTransaction":   `{"connectorId":1,"idTag":"A","meterStart":1,"timestamp":"2026-02-10T10:00:00Z"}`,
		"StopTransaction":    `{"transactionId":1,"meterStop":1,"timestamp":"2026-02-10T10:00:00Z"}`,
		"MeterValues":        `{"connectorId":1,"meterValue":[]}`,
		"StatusNotification": `{"connectorId":1,"errorCode":"NoError","status":"Available"}`,
		"BootNotification":   `{"chargePointVendor":"V","chargePointModel":"M"}`,
		"Authorize":          `{"idTag":"A"}`,
	}
	for _, err := range []error{evcs.ErrUnavailable, errors.New("disk full"), context.Canceled} {
		p := &platform{err: err}
		for action, payload := range messages {
			if got := ask(t, newSession(p), action, payload); got != "silence" {
				t.Errorf("%s with %v: %s", action, err, got)
			}
		}
		if len(p.noted) != 0 {
			t.Errorf("noted %v", p.noted)
		}
	}
	p := &platform{err: evcs.NewError(evcs.CodeConnectorBusy, "busy")}
	for action, payload := range messages {
		if got := ask(t, newSession(p), action, payload); !strings.HasPrefix(got, "{") {
			t.Errorf("%s refused by a rule: %s", action, got)
		}
	}
	if len(p.noted) != len(messages) {
		t.Errorf("kept %v", p.noted)
	}
	if got := ask(t, newSession(p), "StartTransaction", messages["StartTransaction"]); got != `{"transactionId":0,"idTagInfo":{"status":"ConcurrentTx"}}` {
		t.Error(got)
	}
}

// A repeat of a start, also with another message id after a reconnect, is the
// same start; other starts are others.
func TestStartKey(t *testing.T) {
	t.Parallel()
	p := &platform{}
	key := func(payload string) string {
		ask(t, newSession(p), "StartTransaction", payload)
		m, _ := p.last().(device.Started)
		return m.Key
	}
	a := key(`{"connectorId":1,"idTag":"A","meterStart":100,"timestamp":"2026-02-10T10:00:00Z"}`)
	if b := key(`{"timestamp":"2026-02-10T13:00:00.000+03","idTag":"A","meterStart":"100","connectorId":1,"reservationId":null}`); a != b {
		t.Errorf("%q and %q differ", a, b)
	}
	for _, other := range []string{
		`{"connectorId":2,"idTag":"A","meterStart":100,"timestamp":"2026-02-10T10:00:00Z"}`,
		`{"connectorId":1,"idTag":"B","meterStart":100,"timestamp":"2026-02-10T10:00:00Z"}`,
		`{"connectorId":1,"idTag":"A","meterStart":101,"timestamp":"2026-02-10T10:00:00Z"}`,
		`{"connectorId":1,"idTag":"A","meterStart":100,"timestamp":"2026-02-10T10:00:01Z"}`,
		`{"connectorId":1,"idTag":"A","meterStart":100}`,
		`{"connectorId":1,"idTag":"A","meterStart":100,"timestamp":"1970-01-01T00:00:12Z"}`,
	} {
		if b := key(other); a == b {
			t.Errorf("%s has the same key", other)
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 8*3600)
	want := time.Date(2026, 2, 10, 10, 30, 5, 0, time.UTC)
	for text, at := range map[string]time.Time{
		"2026-02-10T10:30:05Z": want, "2026-02-10t10:30:05z": want, "2026-02-10T10:30:05.000Z": want,
		"2026-02-10T10:30:05.123456+00:00": want.Add(123 * time.Millisecond), "2026-02-10T13:30:05+03": want,
		"2026-02-10T13:30:05+0300": want, "2026-02-10T13:30:05+03:00": want, "2026-02-10T05:30:05-05:00": want,
		"2026-02-10T18:30:05": want, "2026-02-10 18:30:05": want, "2026-02-10T18:30": want.Add(-5 * time.Second),
		"1970-01-01T00:00:12Z": time.Unix(12, 0).UTC(),
	} {
		if got, ok := parseTime([]byte(text), zone); !ok || !got.Equal(at) {
			t.Errorf("%s is %v %v, want %v", text, got, ok, at)
		}
	}
	for _, text := range []string{"", "now", "2026-13-10T10:30:05Z", "2026-02-10T10:30:05X", "2026-02-10T10:30:0", "2026-02-10T10:30:05+3", "10.02.2026 10:30:05"} {
		if _, ok := parseTime([]byte(text), zone); ok {
			t.Errorf("%q was read", text)
		}
	}
}

func TestDecimalsAreExact(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		scale int
		want  int64
		ok    bool
	}{
		{"0.1", 4, 1000, true},
		{"12345.6789", 4, 123456789, true},
		{"1234", 1, 12340, true},
		{"1.00005", 4, 10001, true},
		{"-2.5", 3, -2500, true},
		{"1.5e3", 1, 15000, true},
		{"15E-1", 1, 15, true},
		{" 7 ", 0, 7, true},
		{"+7", 0, 7, true},
		{"0.00004", 4, 0, true},
		{"922337203685477580799", 4, 0, false},
		{"", 0, 0, false},
		{"x", 0, 0, false},
		{"1.2.3", 0, 0, false},
		{".", 0, 0, false},
		{"1e99", 0, 0, false},
		{"NaN", 0, 0, false},
		{"5.", 0, 5, true},
		{".5", 1, 5, true},
		{"0.0000000000000000000000000001", 4, 0, true},
	} {
		if got, ok := parseScaled([]byte(c.text), c.scale); ok != c.ok || ok && got != c.want {
			t.Errorf("%q at %d is %d %v, want %d %v", c.text, c.scale, got, ok, c.want, c.ok)
		}
	}
}

func TestSamples(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 10, 10, 0, 0, 0, time.UTC)
	have := func(s evcs.Sample) evcs.Sample { s.At = at; return s }
	for name, c := range map[string]struct {
		values string
		want   evcs.Sample
	}{
		"defaults to Wh":  {`{"value":"1234"}`, evcs.Sample{Have: evcs.HasRegister, Register: 12340}},
		"kWh":             {`{"value":"1.2345","unit":"kWh"}`, evcs.Sample{Have: evcs.HasRegister, Register: 12345}},
		"number":          {`{"value":1234.5,"unit":"WH","measurand":"energy.active.import.register"}`, evcs.Sample{Have: evcs.HasRegister, Register: 12345}},
		"power of phases": {`{"value":"1000","measurand":"Power.Active.Import","phase":"L1"},{"value":"1","unit":"kW","measurand":"Power.Active.Import","phase":"L2"},{"value":"500.4","measurand":"Power.Active.Import","phase":"L3"}`, evcs.Sample{Have: evcs.HasPower, Power: 2500}},
		"power as a whole": {
			`{"value":"1000","measurand":"Power.Active.Import","phase":"L1"},{"value":"3","unit":"kW","measurand":"Power.Active.Import"},{"value":"9","measurand":"Power.Active.Import","phase":"L2"}`,
			evcs.Sample{Have: evcs.HasPower, Power: 3000},
		},
		"voltage":         {`{"value":"231.5","measurand":"Voltage","phase":"L1-N"},{"value":"400","measurand":"Voltage","phase":"L1-L2"}`, evcs.Sample{Have: evcs.HasVoltage, Voltage: 231500}},
		"current":         {`{"value":"15.9","measurand":"Current.Import","phase":"L1"},{"value":"16.1","measurand":"Current.Import","phase":"L2"}`, evcs.Sample{Have: evcs.HasCurrent, Current: 16100}},
		"soc and Celcius": {`{"value":"55","measurand":"SoC","unit":"Percent","location":"EV"},{"value":"25.5","measurand":"Temperature","unit":"Celcius"}`, evcs.Sample{Have: evcs.HasSoC | evcs.HasTemperature, SoC: 55000, Temperature: 25500}},
		"Kelvin":          {`{"value":"300","measurand":"Temperature","unit":"K"}`, evcs.Sample{Have: evcs.HasTemperature, Temperature: 26850}},
		"end wins":        {`{"value":"20","context":"Transaction.End"},{"value":"10","context":"Transaction.Begin"}`, evcs.Sample{Have: evcs.HasRegister, Register: 200}},
		"outlet wins":     {`{"value":"20","location":"Outlet"},{"value":"30","location":"Inlet"}`, evcs.Sample{Have: evcs.HasRegister, Register: 200}},
		"others":          {`{"value":"1","measurand":"Frequency"},{"value":"a0f","format":"SignedData"},{"value":""},{"value":"1","measurand":"` + strings.Repeat("x", 40) + `"},{"value":"-5"}`, evcs.Sample{}},
	} {
		var got evcs.Sample
		fault := decodeSamples([]byte(`[{"timestamp":"2026-02-10T10:00:00Z","sampledValue":[`+c.values+`]}]`), nil, at, func(s evcs.Sample) { got = s })
		if c.want.Have != 0 {
			c.want = have(c.want)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || fault != nil {
			t.Errorf("%s: %v %s", name, fault, diff)
		}
	}
}

func TestStopWords(t *testing.T) {
	t.Parallel()
	p := &platform{}
	s := newSession(p)
	for reason, want := range map[string]string{
		"": "LOCAL", "Local": "LOCAL", "Remote": "REMOTE", "EVDisconnected": "EV_DISCONNECTED", "EmergencyStop": "EMERGENCY",
		"PowerLoss": "POWER_LOSS", "HardReset": "REBOOT", "DeAuthorized": "DEAUTHORIZED", "UnlockCommand": "FORCED", "Whatever": "OTHER",
	} {
		ask(t, s, "StopTransaction", `{"transactionId":5,"meterStop":1000,"timestamp":"x","reason":"`+reason+`","transactionData":[{"timestamp":"1970-01-01T00:00:05Z","sampledValue":[{"value":"9"}]}]}`)
		m, _ := p.last().(device.Stopped)
		if m.Reason != want || m.ReasonRaw != reason || !m.At.IsZero() || *m.Register != 10000 || len(m.Samples) != 1 {
			t.Errorf("%q: %+v", reason, m)
		}
	}
}

// A message without a time, or of a clock that was never set, reaches the
// handler as it is, with the time of receipt beside it.
func TestBadClocks(t *testing.T) {
	t.Parallel()
	p := &platform{}
	s := newSession(p)
	ask(t, s, "MeterValues", `{"connectorId":1,"meterValue":[{"timestamp":"1970-01-01T01:00:00Z","sampledValue":[{"value":"1"}]},{"sampledValue":[{"value":"2"}]}]}`)
	m, _ := p.last().(device.Metered)
	if m.Transaction != 0 || len(m.Samples) != 2 || m.Samples[0].At.Year() != 1970 || !m.Samples[1].At.Equal(fixed{}.Now()) {
		t.Errorf("%+v", m)
	}
	ask(t, s, "StatusNotification", `{"connectorId":1,"errorCode":"HighTemperature","status":"Faulted","info":"hot","vendorErrorCode":"E7"}`)
	st, _ := p.last().(device.Status)
	if st.State != device.Fault || st.FaultCode != "HighTemperature" || st.FaultDetail != "hot (E7)" || !st.At.IsZero() || st.Plugged != nil {
		t.Errorf("%+v", st)
	}
}
