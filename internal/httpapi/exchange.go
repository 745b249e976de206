package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
)

// exchange is one request and what is known of it on its way.
type exchange struct {
	s       *Server
	op      *declared // nil outside operations
	w       http.ResponseWriter
	r       *http.Request
	actor   *evcs.Actor
	english bool
	path    string
	trace   string
	address string
	query   url.Values
	// queryBroken: not all of the query could be read.
	queryBroken bool
	found       []evcs.FieldFault
	// bodyBroken: the body could not be read at all, what the schema says of
	// it is no use.
	bodyBroken bool
	// bodyReplayKey is the body's idempotentKey.
	bodyReplayKey string
	target        evcs.TenantID // whom the request is about, when it is said
	status        statusWriter
	code          evcs.Code
	cause         error
	delayed       bool       // the caller asked to wait
	span          trace.Span // nil: not traced
}

// endSpan ends the request's span with its status.
func (x *exchange) endSpan() {
	if x.span == nil {
		return
	}
	x.span.SetAttributes(attribute.Int("http.response.status_code", x.status.code()))
	if x.status.code() >= http.StatusInternalServerError {
		x.span.SetStatus(codes.Error, x.code.Name())
	}
	x.span.End()
}

// streamed reports whether an answer of this media type lasts as long as its
// reader wants.
func streamed(content string) bool {
	return content != "" && content != "text/plain" && content != "application/json"
}

// delayed notes that an answer waits because its caller asked for it, so that
// how long it took says nothing of the daemon, and returns the wait.
func delayed(ctx context.Context, wait time.Duration) time.Duration {
	if x := exchangeOf(ctx); x != nil && wait > 0 {
		x.delayed = true
	}
	return wait
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

func (x *exchange) operationID() string {
	if x.op == nil {
		return ""
	}
	return x.op.ID
}

// serve is the way of every request: trace, language, recover, log, then the
// checks in the order of §1.4, then the operation.
func (s *Server) serve(d *declared, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, r := s.begin(w, r, d)
		defer x.end(evcs.Monotonic())
		if err := x.admit(); err != nil {
			x.answer(x.fail(r.Context(), err))
			return
		}
		if err := x.readRequest(); err != nil {
			x.answer(x.fail(r.Context(), err))
			return
		}
		x.run(x.r, next)
	})
}

func (s *Server) begin(w http.ResponseWriter, r *http.Request, d *declared) (*exchange, *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	x := &exchange{
		s: s, op: d, path: r.URL.Path, english: prefersEnglish(r.Header.Get("Accept-Language")),
		trace: traceOf(r), address: s.clientAddress(r), query: query, queryBroken: err != nil, status: statusWriter{ResponseWriter: w},
	}
	x.w = &x.status
	h := w.Header()
	h.Set("X-Request-Id", x.trace)
	h.Set("Content-Language", languageTag(x.english))
	ctx := context.WithValue(evcs.WithTrace(r.Context(), x.trace), exchangeKey{}, x)
	if s.cfg.Tracer != nil && d != nil {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
		ctx, x.span = s.cfg.Tracer.Start(ctx, d.Method+" "+d.Path, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("http.request.method", d.Method), attribute.String("http.route", d.Path), attribute.String("evcs.trace_id", x.trace),
		))
	}
	x.r = r.WithContext(ctx)
	return x, x.r
}

// end recovers, logs once and counts.
func (x *exchange) end(begun time.Time) {
	if v := recover(); v != nil {
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v) //nolint:forbidigo // the server's own way to drop a connection
		}
		x.s.cfg.Log.ErrorContext(x.r.Context(), "request panicked", slog.String("operation", x.operationID()),
			slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))
		x.code = evcs.CodeInternalError
		if !x.status.written {
			x.answer(x.failure(evcs.CodeInternalError, "", nil))
		}
	}
	took := evcs.Monotonic().Sub(begun)
	x.endSpan()
	x.log(took)
	if m := x.s.cfg.Meter; m != nil && x.op != nil {
		m.Served(health.Served{
			Endpoint: x.op.Path, Method: x.op.Method, Status: x.status.code(), Took: took,
			Untimed: x.delayed || streamed(x.op.Content), Refused: x.code,
		})
	}
}

// log writes the one line of the request: of a refusal at INFO, else at DEBUG,
// which is seldom kept.
func (x *exchange) log(took time.Duration) {
	level := slog.LevelDebug
	if x.code != 0 {
		level = slog.LevelInfo
	}
	if !x.s.cfg.Log.Enabled(x.r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", x.r.Method), slog.String("path", x.path), slog.Int("status", x.status.code()),
		slog.Duration("took", took), slog.String("address", x.address),
	}
	if x.actor != nil {
		attrs = append(attrs, slog.Int64("tenant_id", int64(x.actor.Tenant)), slog.Int64("user_id", int64(x.actor.User)))
	}
	if x.code != 0 {
		attrs = append(attrs, slog.Int("code", int(x.code)))
		if x.cause != nil && x.code != evcs.CodeInternalError {
			attrs = append(attrs, slog.String("reason", x.cause.Error()))
		}
	}
	x.s.cfg.Log.LogAttrs(x.r.Context(), level, "request", attrs...)
}

// admit runs the checks that come before anything about the shape is said.
func (x *exchange) admit() error {
	d := x.op
	if d.Access == internalOnly {
		return x.admitInternal()
	}
	if d.Access == public || d.Access == selfChecked && x.r.Header.Get("Authorization") == "" {
		return x.s.limits.admit(d.Pace, nil, x.address)
	}
	actor, err := x.authenticate()
	if err != nil {
		return err
	}
	actor.Address, actor.Agent = x.address, limitText(x.r.UserAgent(), 200)
	x.setActor(actor)
	if err := x.s.limits.admit(d.Pace, actor, x.address); err != nil {
		return err
	}
	switch {
	case actor.MustChangePassword && !d.OpenPassword:
		return errMustChange
	case d.Access == anyUser && actor.Key != 0:
		return errForbidden
	case d.Permission != "" && !actor.May(d.Permission) && (d.Or == "" || !actor.May(d.Or)):
		return evcs.With(errForbidden, map[string]any{"permission": string(d.Permission)})
	}
	return nil
}

func (x *exchange) setActor(a *evcs.Actor) {
	x.actor = a
	x.r = x.r.WithContext(evcs.WithActor(x.r.Context(), a))
}

// several reports whether a header that says who calls is given more than once:
// one may be the client's and one a proxy's, so nobody knows who it is.
func (x *exchange) several(name string) bool { return len(x.r.Header.Values(name)) > 1 }

func (x *exchange) authenticate() (*evcs.Actor, error) {
	if x.several("Authorization") {
		return nil, errUnauthenticated
	}
	if header := x.r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" || x.s.cfg.Guard == nil {
			return nil, errUnauthenticated
		}
		actor, err := x.s.cfg.Guard.Authenticate(x.r.Context(), strings.TrimSpace(token), x.address)
		if err != nil {
			return nil, err
		}
		own := *actor // the guard may hand out one it keeps
		return &own, nil
	}
	return x.fromProxy()
}

// fromProxy honours identity headers of a trusted proxy; from anyone else they
// are as if absent.
func (x *exchange) fromProxy() (*evcs.Actor, error) {
	proxies, ok := x.s.cfg.Guard.(Proxies)
	if !ok || !x.s.proxied(x.r) || x.several("X-User-Id") || x.several("X-Tenant-Id") {
		return nil, errUnauthenticated
	}
	user, tenant := x.r.Header.Get("X-User-Id"), x.r.Header.Get("X-Tenant-Id")
	if user == "" && tenant == "" {
		return nil, errUnauthenticated
	}
	if user == "" || tenant == "" {
		return nil, errNoTenantContext
	}
	u, errUser := strconv.ParseInt(user, 10, 64)
	t, errTenant := strconv.ParseInt(tenant, 10, 64)
	if errUser != nil || errTenant != nil {
		return nil, errUnauthenticated
	}
	actor, err := proxies.Impersonate(x.r.Context(), evcs.UserID(u), evcs.TenantID(t), x.address)
	if err != nil {
		return nil, err
	}
	own := *actor
	return &own, nil
}

func (x *exchange) admitInternal() error {
	cfg := x.s.cfg
	if cfg.InternalToken == "" || !contains(cfg.InternalCIDR, x.address) || !sameSecret(x.r.Header.Get("X-Internal-Token"), cfg.InternalToken) {
		return errNoRoute
	}
	return nil
}

// run calls the operation, through the kept answers when the request has a key.
func (x *exchange) run(r *http.Request, next http.HandlerFunc) {
	key, ok := x.replayKey()
	if !ok {
		next(x.w, r)
		return
	}
	if len(key) > 64 || !plainName(key) {
		x.addFault("header.Idempotency-Key", "must be at most 64 of A-Z a-z 0-9 _ -")
		x.answer(x.fail(r.Context(), x.faults()))
		return
	}
	replays, tenant := x.s.cfg.Replays, x.actor.Tenant
	status, body, err := replays.Begin(r.Context(), tenant, x.op.ID, key, x.digest(r))
	if err != nil {
		x.answer(x.fail(r.Context(), err))
		return
	}
	if status != 0 {
		x.w.Header().Set("Idempotency-Replayed", "true")
		x.write(status, body)
		return
	}
	x.keep(r, next, tenant, key)
}

// keep runs the operation and stores its answer before it is sent. 5xx, 429
// and answers to a wrong shape are given back, not stored.
func (x *exchange) keep(r *http.Request, next http.HandlerFunc, tenant evcs.TenantID, key string) {
	held := &heldWriter{header: x.w.Header(), status: http.StatusOK}
	finished := false
	ctx := context.WithoutCancel(r.Context())
	defer func() {
		if !finished {
			x.release(ctx, tenant, key)
		}
	}()
	out := x.w
	x.w = held
	next(held, r)
	x.w = out
	finished = true
	if held.status >= http.StatusInternalServerError || held.status == http.StatusTooManyRequests {
		x.release(ctx, tenant, key)
	} else if err := x.s.cfg.Replays.Keep(ctx, tenant, x.op.ID, key, held.status, held.body.Bytes(), x.op.ReplayForever); err != nil {
		x.s.cfg.Log.ErrorContext(ctx, "answer not kept", slog.String("operation", x.op.ID), slog.Any("error", err))
	}
	x.write(held.status, held.body.Bytes())
}

func (x *exchange) release(ctx context.Context, tenant evcs.TenantID, key string) {
	if err := x.s.cfg.Replays.Release(ctx, tenant, x.op.ID, key); err != nil {
		x.s.cfg.Log.ErrorContext(ctx, "idempotency key not released", slog.String("operation", x.op.ID), slog.Any("error", err))
	}
}

// replayKey is the request's Idempotency-Key, when the operation takes one.
func (x *exchange) replayKey() (string, bool) {
	key := x.r.Header.Get("Idempotency-Key")
	if key == "" {
		key = x.bodyReplayKey
	}
	ok := key != "" && x.op.Method == http.MethodPost && x.s.cfg.Replays != nil && x.actor != nil &&
		!x.op.NoReplay && !x.op.Secret && x.op.Content == ""
	return key, ok
}

// digest is the fingerprint of what was asked: path, query and body as read.
func (x *exchange) digest(r *http.Request) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n", x.path, x.query.Encode())
	if b, ok := r.Body.(*keptBody); ok {
		h.Write(b.text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (x *exchange) answer(f *failure) {
	body, err := json.Marshal(f)
	if err != nil {
		body = []byte(`{"code":9999,"message":"","data":null}`)
	}
	x.write(f.status, body)
}

func (x *exchange) write(status int, body []byte) {
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(status)
	x.w.Write(body) //nolint:errcheck // the client is gone; nobody is left to tell
}

// notFound answers for what the router did not find: 9405 when the path exists
// under another method, else 9404. Paths under /internal are never told.
func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	x, r := s.begin(w, r, nil)
	defer x.end(evcs.Monotonic())
	if methods := s.allowed(r); len(methods) > 0 && !strings.HasPrefix(x.path, "/internal/") {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		x.answer(x.fail(r.Context(), errMethod))
		return
	}
	x.answer(x.fail(r.Context(), errNoRoute))
}

// hidden answers for a path that exists, but not for this caller.
func (s *Server) hidden(w http.ResponseWriter, r *http.Request) {
	x, r := s.begin(w, r, nil)
	defer x.end(evcs.Monotonic())
	x.answer(x.fail(r.Context(), errNoRoute))
}

// statusWriter remembers the status that went out.
type statusWriter struct {
	http.ResponseWriter
	sent    int
	written bool
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if !w.written {
		w.sent, w.written = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *statusWriter) Write(b []byte) (int, error) {
	if !w.written {
		w.sent, w.written = http.StatusOK, true
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) code() int {
	if w.sent == 0 {
		return http.StatusOK
	}
	return w.sent
}

// heldWriter holds an answer back until it is stored.
type heldWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *heldWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *heldWriter) WriteHeader(status int) { w.status = status }

// Write implements io.Writer.
func (w *heldWriter) Write(b []byte) (int, error) { return w.body.Write(b) }

func traceOf(r *http.Request) string {
	for _, name := range [...]string{"X-Request-Id", "X-Trace-Id"} {
		if id := r.Header.Get(name); id != "" && len(id) <= 64 && plainID(id) {
			return id
		}
	}
	var id [8]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

func plainID(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

func plainName(s string) bool { return plainID(s) && !strings.Contains(s, ".") }

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

func contains(nets []netip.Prefix, address string) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, n := range nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func sameSecret(given, want string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1
}

func limitText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
