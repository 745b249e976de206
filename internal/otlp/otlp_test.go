package otlp_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/evcs/evcs/internal/otlp"
)

func TestExport(t *testing.T) {
	t.Parallel()
	got := make(chan []byte, 1)
	status := http.StatusOK
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v %v", r.URL, r.Header, err)
		}
		got <- body
		w.WriteHeader(status)
	}))
	defer collector.Close()
	e := otlp.New(collector.URL + "/")
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(e))
	ctx, root := provider.Tracer("scope").Start(t.Context(), "root")
	_, child := provider.Tracer("scope").Start(ctx, "child")
	child.SetAttributes(attribute.Int("n", 7), attribute.String("s", "x"))
	child.End()
	var told struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Scope struct{ Name string }
				Spans []struct {
					TraceID, SpanID, ParentSpanID, Name, StartTimeUnixNano string
					Kind                                                   int
					Attributes                                             []struct {
						Key   string
						Value map[string]any
					}
				}
			}
		}
	}
	if err := json.Unmarshal(<-got, &told); err != nil {
		t.Fatal(err)
	}
	s := told.ResourceSpans[0].ScopeSpans[0].Spans[0]
	if s.Name != "child" || s.ParentSpanID != root.SpanContext().SpanID().String() || s.TraceID != root.SpanContext().TraceID().String() ||
		s.Kind != 1 || len(s.StartTimeUnixNano) != 19 || s.Attributes[0].Value["intValue"] != "7" || s.Attributes[1].Value["stringValue"] != "x" {
		t.Errorf("%+v", s)
	}
	status = http.StatusServiceUnavailable
	spans := []sdktrace.ReadOnlySpan{child.(sdktrace.ReadOnlySpan)} //nolint:forcetypeassert // the SDK's own
	if err := e.ExportSpans(t.Context(), spans); err == nil {
		t.Error("a refusal was taken for success")
	}
	<-got
}
