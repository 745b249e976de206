package span_test

import (
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/span"
)

func TestNothingWithoutATrace(t *testing.T) {
	ctx := t.Context()
	allocations := testing.AllocsPerRun(100, func() {
		_, end := span.Begin(ctx, span.SQL, "read order")
		end(nil)
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestUnderItsParent(t *testing.T) {
	t.Parallel()
	kept := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept))
	ctx, root := provider.Tracer("test").Start(t.Context(), "root")
	_, end := span.Begin(ctx, span.SQL, "read order")
	end(evcs.NewError(evcs.CodeOrderNotFound, "13812345678 is unknown"))
	root.End()
	list := kept.GetSpans()
	if len(list) != 2 || list[0].Name != "sql read order" || list[0].Parent.SpanID() != list[1].SpanContext.SpanID() {
		t.Fatalf("%+v", list)
	}
	if list[0].Status.Description != "ORDER_NOT_FOUND" || len(list[0].Events) != 0 || len(list[0].Attributes) != 0 {
		t.Errorf("%+v", list[0])
	}
}
