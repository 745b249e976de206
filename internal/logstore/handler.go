package logstore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

const (
	// The attributes that say which part of the daemon writes, and which piece
	// of it.
	serviceKey = "service"
	loggerKey  = "logger"
	// unnamed is who writes when nobody is named: the daemon itself.
	unnamedService = "evcs-monitoring"
	unnamedLogger  = "evcsd"

	textMost  = 8 << 10 // bytes of a message or a value
	depthMost = 6       // of nested values
	partsMost = 100     // attributes, or parts of one
)

// Handler masks every record, keeps it, and hands it on.
type Handler struct {
	store *Store
	out   slog.Handler
	level slog.Level
	attrs []slog.Attr // masked; outside groups
	group []string
}

// Tee is a handler that masks records, keeps those of a level and above, and
// hands all that out wants on to it.
func Tee(store *Store, out slog.Handler, level slog.Level) *Handler {
	return &Handler{store: store, out: out, level: level}
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= h.level || h.out.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	masked := maskAttrs(attrs)
	own := *h
	own.attrs = append(slices.Clip(h.attrs), h.grouped(masked)...)
	own.out = h.out.WithAttrs(masked)
	return &own
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	own := *h
	own.group = append(slices.Clip(h.group), name)
	own.out = h.out.WithGroup(name)
	return &own
}

// grouped puts attributes under the open groups.
func (h *Handler) grouped(attrs []slog.Attr) []slog.Attr {
	for _, name := range slices.Backward(h.group) {
		attrs = []slog.Attr{{Key: name, Value: slog.GroupValue(attrs...)}}
	}
	return attrs
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	attrs := make([]slog.Attr, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, a)
		return len(attrs) < partsMost
	})
	attrs = maskAttrs(attrs)
	message := mask(shorten(r.Message))
	if r.Level >= h.level {
		h.keep(ctx, r.Time, r.Level, message, attrs)
	}
	if !h.out.Enabled(ctx, r.Level) {
		return nil
	}
	own := slog.NewRecord(r.Time, r.Level, message, r.PC)
	own.AddAttrs(attrs...)
	return h.out.Handle(ctx, own)
}

// stored is a line as it is written. The first fields stand first, so that a
// line can be passed over without being read whole.
type stored struct {
	ID         int64           `json:"logId"`
	Time       string          `json:"time"`
	Level      string          `json:"level"`
	Service    string          `json:"serviceName"`
	Logger     string          `json:"logger"`
	Message    string          `json:"message"`
	Trace      *string         `json:"traceId"`
	Tenant     *int64          `json:"tenantId"`
	User       *int64          `json:"userId"`
	Charger    *int64          `json:"chargerId"`
	Order      *int64          `json:"orderId"`
	Attributes json.RawMessage `json:"attributes"`
}

const timeForm = "2006-01-02T15:04:05.000Z"

func (h *Handler) keep(ctx context.Context, at time.Time, level slog.Level, message string, attrs []slog.Attr) {
	line := stored{Time: at.UTC().Format(timeForm), Level: levelName(level), Service: unnamedService, Logger: unnamedLogger, Message: message}
	if trace := evcs.Trace(ctx); trace != "" {
		line.Trace = &trace
	}
	if a := evcs.ActorFrom(ctx); a != nil {
		line.Tenant, line.User = known(int64(a.Tenant)), known(int64(a.User))
	}
	rest := make(map[string]any)
	for _, a := range append(slices.Clip(h.attrs), h.grouped(attrs)...) {
		if !line.take(a) && a.Key != "" {
			rest[a.Key] = plain(a.Value, 0)
		}
	}
	text, err := encode(rest)
	if err != nil || len(text) > lineMost/2 {
		text = []byte(`{"dropped":"the attributes were too long"}`)
	}
	line.Attributes = text
	h.store.append(at, func(id int64) []byte {
		line.ID = id
		text, err := encode(line)
		if err != nil {
			return nil
		}
		return append(text, '\n')
	})
}

func known(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

// take puts an attribute that the line has a place for there.
func (l *stored) take(a slog.Attr) bool {
	v := a.Value
	switch a.Key {
	case serviceKey:
		l.Service = v.String()
	case loggerKey:
		l.Logger = v.String()
	case "trace_id":
		trace := v.String()
		l.Trace = &trace
	case "tenant_id":
		return takeNumber(&l.Tenant, v)
	case "user_id":
		return takeNumber(&l.User, v)
	case "charger_id":
		return takeNumber(&l.Charger, v)
	case "order_id":
		return takeNumber(&l.Order, v)
	default:
		return false
	}
	return true
}

func takeNumber(place **int64, v slog.Value) bool {
	switch v.Kind() {
	case slog.KindInt64:
		*place = known(v.Int64())
	case slog.KindUint64:
		*place = known(int64(min(v.Uint64(), math.MaxInt64))) //nolint:gosec // limited just here
	default:
		return false
	}
	return true
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

// plain is a masked value as JSON holds it.
func plain(v slog.Value, depth int) any {
	switch v.Kind() {
	case slog.KindInt64:
		return v.Int64()
	case slog.KindUint64:
		return v.Uint64()
	case slog.KindBool:
		return v.Bool()
	case slog.KindFloat64:
		if f := v.Float64(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
	case slog.KindGroup:
		if depth >= depthMost {
			return hidden
		}
		group := make(map[string]any)
		for _, a := range v.Group() {
			group[a.Key] = plain(a.Value, depth+1)
		}
		return group
	default:
	}
	return v.String()
}

// maskAttrs masks values by their names and by what they look like.
func maskAttrs(attrs []slog.Attr) []slog.Attr {
	masked := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		masked[i] = maskAttr(a, 0)
	}
	return masked
}

func maskAttr(a slog.Attr, depth int) slog.Attr {
	a.Value = a.Value.Resolve()
	if secretName(a.Key) {
		return slog.String(a.Key, hidden)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		return slog.String(a.Key, mask(shorten(a.Value.String())))
	case slog.KindInt64, slog.KindUint64:
		if text := a.Value.String(); mask(text) != text { // a phone number as a number
			return slog.String(a.Key, mask(text))
		}
		return a
	case slog.KindGroup:
		if depth >= depthMost {
			return slog.String(a.Key, hidden)
		}
		group := a.Value.Group()
		masked := make([]slog.Attr, 0, len(group))
		for _, inner := range group[:min(len(group), partsMost)] {
			masked = append(masked, maskAttr(inner, depth+1))
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(masked...)}
	case slog.KindAny:
		return slog.String(a.Key, mask(shorten(worded(a.Value.Any()))))
	default:
		return a
	}
}

// worded is any value as text, JSON when it has no words of its own.
func worded(v any) string {
	switch x := v.(type) {
	case error:
		return x.Error()
	case fmt.Stringer:
		return x.String()
	case []byte:
		return string(x)
	}
	if text, err := encode(v); err == nil {
		return string(text)
	}
	return fmt.Sprint(v)
}

func shorten(text string) string {
	if len(text) <= textMost {
		return text
	}
	return text[:textMost] + "…"
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError:
		return "WARN"
	}
	return "ERROR"
}
