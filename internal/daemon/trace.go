package daemon

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/evcs/evcs/internal/otlp"
	"github.com/evcs/evcs/internal/span"
)

// tracer makes the spans of requests; nil when they go nowhere.
func (d *Daemon) tracer() trace.Tracer {
	c := d.opt.Config.Telemetry
	exporter := d.opt.Spans
	if exporter == nil && c.OTLPEndpoint != "" {
		exporter = otlp.New(c.OTLPEndpoint)
	}
	if exporter == nil {
		return nil
	}
	const all = 100
	d.spans = sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter), // bounded: what a slow collector does not take is dropped
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(float64(c.SamplePercent)/all))),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "evcsd"), attribute.String("service.version", d.opt.Build.Version), attribute.String("service.instance.id", d.node()),
		)),
	)
	return d.spans.Tracer(span.Scope)
}

// runSpans sends what is left when everything else has stopped.
func (d *Daemon) runSpans(ctx context.Context) error {
	<-ctx.Done()
	if d.spans == nil {
		return nil
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := d.spans.Shutdown(limit); err != nil {
		d.opt.Log.WarnContext(ctx, "the last spans were not sent", slog.Any("error", err))
	}
	return nil
}
