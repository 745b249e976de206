// Package otlp sends spans to an OpenTelemetry collector: OTLP over HTTP in its
// JSON form, which every collector takes and which needs no further library.
package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// sendLimit is how long one batch may take.
const sendLimit = 10 * time.Second

// Exporter sends spans. It implements the SDK's SpanExporter.
type Exporter struct {
	url    string
	client *http.Client
}

// New makes an exporter for a collector's base address, "http://host:4318".
func New(endpoint string) *Exporter {
	return &Exporter{url: strings.TrimRight(endpoint, "/") + "/v1/traces", client: &http.Client{Timeout: sendLimit}}
}

// ExportSpans implements the SDK's SpanExporter.
func (e *Exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if len(spans) == 0 {
		return nil
	}
	text, err := json.Marshal(requestOf(spans))
	if err != nil {
		return fmt.Errorf("write spans: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := e.client.Do(r)
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	defer answer.Body.Close() // its text is not needed
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16)); err != nil {
		return fmt.Errorf("read the collector's answer: %w", err)
	}
	if answer.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("the collector answered %s", answer.Status)
	}
	return nil
}

// Shutdown implements the SDK's SpanExporter.
func (e *Exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

// The JSON of opentelemetry/proto/collector/trace/v1: ids in hexadecimal,
// 64-bit numbers as text.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []keyValue `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope  `json:"scope"`
		Spans []wire `json:"spans"`
	}
	scope struct {
		Name string `json:"name"`
	}
	wire struct {
		TraceID    string     `json:"traceId"`
		SpanID     string     `json:"spanId"`
		ParentID   string     `json:"parentSpanId,omitempty"`
		Name       string     `json:"name"`
		Kind       int        `json:"kind"`
		Start      string     `json:"startTimeUnixNano"`
		End        string     `json:"endTimeUnixNano"`
		Attributes []keyValue `json:"attributes,omitempty"`
		Status     status     `json:"status"`
	}
	status struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	keyValue struct {
		Key   string         `json:"key"`
		Value map[string]any `json:"value"`
	}
)

func requestOf(spans []sdktrace.ReadOnlySpan) request {
	group := resourceSpans{ScopeSpans: []scopeSpans{{Scope: scope{spans[0].InstrumentationScope().Name}}}}
	if r := spans[0].Resource(); r != nil { // one program has one resource
		group.Resource.Attributes = attributes(r.Attributes())
	}
	for _, s := range spans {
		group.ScopeSpans[0].Spans = append(group.ScopeSpans[0].Spans, wireOf(s))
	}
	return request{[]resourceSpans{group}}
}

func wireOf(s sdktrace.ReadOnlySpan) wire {
	w := wire{
		TraceID: s.SpanContext().TraceID().String(), SpanID: s.SpanContext().SpanID().String(), Name: s.Name(), Kind: int(s.SpanKind()),
		Start: strconv.FormatInt(s.StartTime().UnixNano(), 10), End: strconv.FormatInt(s.EndTime().UnixNano(), 10),
		Attributes: attributes(s.Attributes()), Status: status{Message: s.Status().Description},
	}
	if p := s.Parent(); p.HasSpanID() {
		w.ParentID = p.SpanID().String()
	}
	const failed = 2
	if s.Status().Code.String() == "Error" {
		w.Status.Code = failed
	}
	return w
}

func attributes(list []attribute.KeyValue) []keyValue {
	out := make([]keyValue, len(list))
	for i, a := range list {
		value := map[string]any{"stringValue": a.Value.String()}
		if a.Value.Type() == attribute.INT64 {
			value = map[string]any{"intValue": strconv.FormatInt(a.Value.AsInt64(), 10)}
		}
		out[i] = keyValue{string(a.Key), value}
	}
	return out
}
