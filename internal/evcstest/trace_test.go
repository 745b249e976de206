package evcstest_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/daemon"
	"github.com/evcs/evcs/internal/evcstest"
)

func closedMetrics(o *daemon.Options) { o.Config.Metrics.AllowCIDR = []string{} }

// One request to start leaves one trace, from the request down to the
// statements and to what the charger was asked.
func TestAStartIsOneTrace(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	d := evcstest.Start(t, func(o *daemon.Options) { o.Spans = spans }, evcstest.WithConfig(func(c *config.Config) { c.Telemetry.SamplePercent = 100 }))
	y := build(t, d, d.Admin(), "CP-T")
	p := connect(t, d, y.device, y.secret)
	p.call("BootNotification", map[string]any{"chargePointVendor": "v", "chargePointModel": "m"}, nil)
	p.call("StatusNotification", map[string]any{"connectorId": 1, "status": "Preparing", "errorCode": "NoError"}, nil)
	go func() { // the charger says yes
		for {
			var frame []json.RawMessage
			if p.conn.ReadJSON(&frame) != nil {
				return
			}
			if string(frame[0]) == "2" && p.conn.WriteJSON([]any{3, frame[1], map[string]any{"status": "Accepted"}}) != nil {
				return
			}
		}
	}()
	y.by.Call(t, http.MethodPost, "/api/order/start", map[string]any{"chargerId": y.ChargerID, "connectorNo": 1, "userId": 13812345678, "wait": 1})
	var root tracetest.SpanStub
	evcstest.Eventually(t, "the request and its command among the spans", func() bool {
		list := spans.GetSpans()
		for _, s := range list {
			if s.Name == "POST /api/order/start" {
				root = s
			}
		}
		return slices.ContainsFunc(list, func(s tracetest.SpanStub) bool {
			return s.Name == "device START" && s.SpanContext.TraceID() == root.SpanContext.TraceID()
		})
	})
	parents := make(map[string]sdktrace.ReadOnlySpan)
	kinds := make(map[string]int)
	for _, s := range spans.GetSpans().Snapshots() {
		if s.SpanContext().TraceID() != root.SpanContext.TraceID() {
			continue
		}
		parents[s.SpanContext().SpanID().String()] = s
		kind, _, _ := strings.Cut(s.Name(), " ")
		kinds[kind]++
		for _, a := range s.Attributes() {
			if strings.Contains(a.Value.String(), "13812345678") || strings.Contains(a.Value.String(), y.secret) {
				t.Errorf("%s tells %s", s.Name(), a.Value.String())
			}
		}
	}
	if kinds["sql"] < 5 || kinds["device"] != 1 || kinds["use"] < 1 {
		t.Errorf("spans by kind: %v", kinds)
	}
	for id, s := range parents {
		steps := 0
		for at := s; at.Parent().HasSpanID(); steps++ {
			up, ok := parents[at.Parent().SpanID().String()]
			if !ok || steps > 10 {
				t.Fatalf("%s (%s) does not hang under the request", s.Name(), id)
			}
			at = up
		}
	}
}
