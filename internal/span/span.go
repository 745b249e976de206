// Package span marks stretches of work in a trace. Where the context carries no
// trace, which is so whenever none is exported, it costs a look and nothing more.
package span

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/evcs/evcs/internal/evcs"
)

// Scope is the name under which evcs makes spans.
const Scope = "github.com/evcs/evcs"

// The kinds of work.
const (
	Use    = "use"    // of package charging, cashier or closing
	SQL    = "sql"    // one statement or one transaction; never its values
	Device = "device" // something asked of a charger, until it answered
)

// Begin begins a span named "kind what" under the one of the context. The
// function it returns ends it with what became of the work; of an error only its
// code is told, since its words may name people.
func Begin(ctx context.Context, kind, what string) (context.Context, func(error)) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, ignore
	}
	ctx, own := parent.TracerProvider().Tracer(Scope).Start(ctx, kind+" "+what)
	return ctx, func(err error) {
		if err != nil {
			code, _, _ := evcs.Classify(err)
			own.SetStatus(codes.Error, code.Name())
		}
		own.End()
	}
}

func ignore(error) {}
