package ocpp16

import (
	"encoding/json"
	"testing"
	"time"

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
		if e.decode(text) != nil || len(object) != 1 {
			return
		}
		var want string
		if raw, told := object["idTag"]; told && json.Unmarshal(raw, &want) == nil && raw[0] == '"' &&
			word(e.tag, 1000) != word([]byte(want), 1000) {
			t.Fatalf("idTag %q, want %q", e.tag, want)
		}
	})
}

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
