package ocpp16

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/evcs/evcs/internal/evcs"
)

const meterFrame = `{"connectorId":1,"transactionId":4711,"meterValue":[{"timestamp":"2026-02-10T10:30:00.000Z","sampledValue":[` +
	`{"value":"1234567","context":"Sample.Periodic","format":"Raw","measurand":"Energy.Active.Import.Register","location":"Outlet","unit":"Wh"},` +
	`{"value":"7.36","measurand":"Power.Active.Import","unit":"kW"},{"value":"230.1","measurand":"Voltage","phase":"L1-N","unit":"V"},` +
	`{"value":"16.0","measurand":"Current.Import","phase":"L1","unit":"A"},{"value":"55","measurand":"SoC","unit":"Percent"}]}]}`

// TestDecodingAllocatesNothing does not run in parallel: it counts.
func TestDecodingAllocatesNothing(t *testing.T) {
	received := time.Unix(0, 0)
	meter := []byte(meterFrame)
	start := []byte(`{"connectorId":1,"idTag":"ABC","meterStart":100,"timestamp":"2026-02-10T10:00:00Z"}`)
	stop := []byte(`{"transactionId":1,"idTag":"ABC","meterStop":100,"timestamp":"2026-02-10T10:00:00Z","reason":"Local"}`)
	status := []byte(`{"connectorId":1,"errorCode":"NoError","status":"Charging","timestamp":"2026-02-10T10:00:00Z"}`)
	beat := []byte(`{}`)
	var last evcs.Sample
	if n := testing.AllocsPerRun(100, func() {
		var m meterRequest
		var a startRequest
		var b stopRequest
		var c statusRequest
		var d authorizeRequest
		if m.decode(meter) != nil || a.decode(start) != nil || b.decode(stop) != nil || c.decode(status) != nil ||
			d.decode(start) != nil || decodeEmpty(beat) != nil ||
			decodeSamples(m.values, nil, received, func(s evcs.Sample) { last = s }) != nil {
			t.Error("not decoded")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if last.Register != 12345670 || last.Power != 7360 || last.SoC != 55000 {
		t.Errorf("%+v", last)
	}
}

// FuzzHot: what the scanners accept is what encoding/json accepts as an
// object, and the fields mean the same.
func FuzzHot(f *testing.F) {
	for _, s := range []string{
		meterFrame, `{"connectorId":1,"idTag":"A\u0042","meterStart":1,"timestamp":"x"}`, `{"connectorId":"1"}`, `{"connectorId":null,"idTag":null}`,
		`{"connectorid":2,"CONNECTORID":3}`, `{"status":"Charging","errorCode":"NoError","connectorId":1,"info":""}`, `{"connectorId":1`, `[]`, ``,
		`{"transactionId":-1,"reason":"","transactionData":[{"timestamp":"","sampledValue":[{"value":"1e3"}]}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var object map[string]json.RawMessage
		valid := json.Unmarshal(text, &object) == nil && object != nil
		var a startRequest
		var b stopRequest
		var c statusRequest
		var d meterRequest
		var e authorizeRequest
		ok := 0
		if a.decode(text) == nil {
			ok++
		}
		if b.decode(text) == nil {
			ok++
		}
		if c.decode(text) == nil {
			ok++
		}
		if d.decode(text) == nil {
			ok++
			_ = decodeSamples(d.values, nil, time.Time{}, func(evcs.Sample) {})
		}
		if e.decode(text) == nil {
			ok++
		}
		if ok > 0 && !valid {
			t.Fatalf("%q was accepted", text)
		}
		if a = (startRequest{}); a.decode(text) == nil {
			same(t, object, map[string][]byte{"idTag": a.tag, "timestamp": a.time})
			same(t, object, map[string][]byte{"connectorId": a.connector.text, "meterStart": a.meter.text})
		}
		if b = (stopRequest{}); b.decode(text) == nil {
			same(t, object, map[string][]byte{"idTag": b.tag, "timestamp": b.time, "reason": b.reason})
		}
		if c = (statusRequest{}); c.decode(text) == nil {
			same(t, object, map[string][]byte{
				"status": c.status, "errorCode": c.fault, "info": c.info, "vendorErrorCode": c.vendorFault, "timestamp": c.time,
			})
		}
		if d = (meterRequest{}); d.decode(text) == nil {
			same(t, object, map[string][]byte{"connectorId": d.connector.text, "transactionId": d.transaction.text, "meterValue": d.values})
		}
		if e = (authorizeRequest{}); e.decode(text) == nil {
			same(t, object, map[string][]byte{"idTag": e.tag})
		}
	})
}

// same compares fields with what encoding/json read. A field given in several
// spellings is left out: there the last counts, and a map knows no last.
func same(t *testing.T, object map[string]json.RawMessage, fields map[string][]byte) {
	t.Helper()
	for name, got := range fields {
		spellings := 0
		var raw json.RawMessage
		for key, value := range object {
			if strings.EqualFold(key, name) {
				spellings++
				raw = value
			}
		}
		want := string(raw)
		switch {
		case spellings != 1 || want == "null" || !utf8.ValidString(want): // what is no text is replaced in two ways
			continue
		case raw[0] == '"':
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatalf("%s: %v", raw, err)
			}
		}
		if plain(got) != plain([]byte(want)) {
			t.Fatalf("%s is %q, want %q", name, got, want)
		}
	}
}

func plain(text []byte) string { return word(text, 1<<20) }

func BenchmarkDecodeMeterValues(b *testing.B) {
	text := []byte(meterFrame)
	b.Run("scanner", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var m meterRequest
			_ = m.decode(text)
			_ = decodeSamples(m.values, nil, time.Time{}, func(evcs.Sample) {})
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var m struct {
				ConnectorID, TransactionID int
				MeterValue                 []struct {
					Timestamp    time.Time
					SampledValue []struct{ Value, Context, Format, Measurand, Location, Unit, Phase string }
				}
			}
			_ = json.Unmarshal(text, &m)
		}
	})
}
