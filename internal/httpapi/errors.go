package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
)

var (
	errUnauthenticated = evcs.NewError(evcs.CodeUnauthenticated, "no usable credential")
	errForbidden       = evcs.NewError(evcs.CodePermissionDenied, "the permission is missing")
	errMustChange      = evcs.NewError(evcs.CodePasswordChangeRequired, "the password must be changed first")
	errNoRoute         = evcs.NewError(evcs.CodeRouteNotFound, "no such path")
	errMethod          = evcs.NewError(evcs.CodeMethodNotAllowed, "the path has no such method")
	errBodyTooLarge    = evcs.NewError(evcs.CodeBodyTooLarge, "the body is over its bound")
	errMediaType       = evcs.NewError(evcs.CodeUnsupportedMediaType, "the media type is not taken")
	errTooMany         = evcs.NewError(evcs.CodeRateLimited, "over the rate limit")
	errNoTenantContext = evcs.NewError(evcs.CodeTenantContextMissing, "an identity header is missing")
)

// failure is a refusal on its way out: the error envelope with its status.
type failure struct {
	status int
	code   evcs.Code
	body   api.Failure
}

// Error implements error.
func (f *failure) Error() string { return f.code.Name() }

// MarshalJSON writes the envelope.
func (f *failure) MarshalJSON() ([]byte, error) { return json.Marshal(f.body) }

// fail is the one function from an error to its answer. What is unclassified
// is logged here, with the trace id, and leaves as 9999 without its text.
func (x *exchange) fail(ctx context.Context, err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	code, data, detail := evcs.Classify(err)
	if errors.Is(err, evcs.ErrStale) && code == evcs.CodeInternalError {
		code = evcs.CodeServiceUnavailable // the reruns were used up: try again
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		code, data, detail = evcs.CodeServiceUnavailable, nil, evcs.Detail{}
	}
	x.note(ctx, code, err)
	x.auditRefusal(ctx, code)
	if code == evcs.CodeQuotaExceeded && x.s.cfg.Exceeded != nil {
		x.s.cfg.Exceeded(ctx, err)
	}
	text := detail.ZH
	if x.english {
		text = detail.EN
	}
	return x.failure(code, text, data)
}

// note remembers why a request failed for its one log line.
func (x *exchange) note(ctx context.Context, code evcs.Code, err error) {
	x.code, x.cause = code, err
	if code.Status() >= http.StatusInternalServerError && code == evcs.CodeInternalError {
		x.s.cfg.Log.ErrorContext(ctx, "request failed", slog.String("operation", x.operationID()), slog.Any("error", err))
	}
}

func (x *exchange) failure(code evcs.Code, detail string, data map[string]any) *failure {
	message := code.Text(x.english)
	if detail != "" {
		message += ":" + detail
		if x.english {
			message = code.Text(true) + ": " + detail
		}
	}
	var raw json.RawMessage
	if data != nil {
		text, err := json.Marshal(quantities(evcs.FactsIn(data, x.english)))
		if err == nil {
			raw = text
		}
	}
	if raw == nil {
		raw = json.RawMessage("null")
	}
	switch after := data["retryAfter"].(type) {
	case int, int64:
		x.w.Header().Set("Retry-After", fmt.Sprint(after))
	}
	return &failure{status: code.Status(), code: code, body: api.Failure{
		Code: int(code), Message: message, Data: raw, Timestamp: api.At(x.s.cfg.Clock.Now()), Path: x.path, TraceID: x.trace,
	}}
}

// quantities words the amounts among the facts of a refusal in the units of the
// wire: yuan and kWh, where the domain counts fen and tenths of a Wh.
func quantities(data map[string]any) map[string]any {
	worded := maps.Clone(data)
	for name, value := range worded {
		switch v := value.(type) {
		case evcs.Money:
			worded[name] = json.Number(v.String())
		case evcs.Energy:
			worded[name] = json.Number(v.String())
		case evcs.UnitPrice:
			worded[name] = json.Number(v.String())
		}
	}
	return worded
}

// maxFaults bounds what one answer names.
const maxFaults = 100

// addFault collects a fault of the request. location is huma's, such as
// "body.connectors[0].type"; only the first fault of a field is kept.
func (x *exchange) addFault(location, message string) {
	where, field, _ := strings.Cut(location, ".")
	if where != "body" && where != "query" && where != "path" && where != "header" {
		field = location
	}
	if field == "" {
		field = where
	}
	if name, ok := strings.CutPrefix(message, "expected required property "); ok {
		name, _, _ = strings.Cut(name, " ")
		message = "is required"
		if field == "body" {
			field = name
		} else {
			field += "." + name
		}
	}
	message = plainFault(message)
	if where == "body" && (x.bodyBroken || field == "body" && len(x.found) > 0) {
		return
	}
	if len(x.found) < maxFaults && !slices.ContainsFunc(x.found, func(f evcs.FieldFault) bool { return f.Field == field }) {
		x.found = append(x.found, evcs.FieldFault{Field: field, Message: message})
	}
}

// faults is 9400 with the faults found so far, nil when there are none.
func (x *exchange) faults() error { return evcs.Invalid(x.found...) }

// plainFault words what the library says about a value as the rest is worded.
func plainFault(message string) string {
	for _, w := range [...]struct{ theirs, ours string }{
		{"expected number >= ", "must be at least "},
		{"expected number > ", "must be more than "},
		{"expected number <= ", "must be at most "},
		{"expected number < ", "must be less than "},
		{"expected length >= ", "must have at least # characters"},
		{"expected length <= ", "must have at most # characters"},
		{"expected array length >= ", "must have at least # entries"},
		{"expected array length <= ", "must have at most # entries"},
		{"expected value to be one of ", "must be one of "},
		{"expected string to match pattern ", "must have the form "},
		{"expected string to be RFC 3339 date-time", "must be a time: RFC 3339, or yyyy-MM-ddTHH:mm:ss"},
		{"expected string to be RFC 3339 date", "must be a date: yyyy-MM-dd"},
		{"expected string to be ", "does not have the form that is wanted"},
		{"expected boolean", "must be true or false"},
		{"expected number", "must be a number"},
		{"expected integer", "must be an integer"},
		{"invalid integer", "must be an integer"},
		{"invalid number", "must be a number"},
		{"invalid boolean", "must be true or false"},
		{"invalid float", "must be a number"},
		{"expected string", "must be a string"},
		{"expected array items to be unique", "must not repeat entries"},
		{"expected array", "must be a list"},
		{"expected object", "must be an object"},
		{"required ", "is required"},
		{"expected value", "does not have the form that is wanted"},
		{"request body is required", "is required"},
		{"unexpected property", "is not a field of this body"},
	} {
		rest, ok := strings.CutPrefix(message, w.theirs)
		switch {
		case !ok:
		case strings.Contains(w.ours, "#"):
			return strings.Replace(w.ours, "#", rest, 1)
		case strings.HasSuffix(w.ours, " "):
			return w.ours + strings.Trim(rest, `"`)
		default:
			return w.ours
		}
	}
	return message
}
