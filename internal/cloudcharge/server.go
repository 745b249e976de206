// Package cloudcharge serves the signed HTTP operations of chargers without a
// socket: heartbeat with commands, status, start, stop and meter. Every answer
// follows its effect's commit and is remembered, so that a repeat with the
// same requestId gets the same bytes.
package cloudcharge

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

// Replays remembers the answers of requests for 72 hours.
type Replays interface {
	// Recall finds the answer of a request, and the digest of its content.
	Recall(ctx context.Context, s evcs.Scope, c evcs.ChargerID, requestID string) (r Reply, found bool, err error)
	// Remember stores an answer durably, sealed when it is secret. When the request
	// has one already, that one stays and is no error.
	Remember(ctx context.Context, s evcs.Scope, c evcs.ChargerID, requestID string, r Reply) error
}

// Reply is a remembered answer. It is an alias, so that the store can
// implement Replays without knowing this package.
type Reply = struct {
	Digest string
	Status int
	Answer []byte
	At     time.Time
	Secret bool // the answer holds one: it may not be kept in plain
}

// Config is what a Server needs.
type Config struct {
	Gate     device.Gate
	Presence device.Presence
	Hub      *device.Hub
	Handler  device.Handler
	Replays  Replays
	Clock    evcs.Clock
	Log      *slog.Logger
	// Late hears the results of commands that came after Send had given up. It
	// may be nil.
	Late func(ctx context.Context, id device.Identity, c device.Command, a device.Answer)
	// Journal keeps what is sent to chargers, and their answers. It may be nil.
	Journal device.Journal
	// MaxBody is the size limit of a request (256 KiB).
	MaxBody int64
	// Rate is the requests per second of one charger (100); the burst is twice it.
	Rate int
}

// Server is the http.Handler of /api/cloudcharge/. Run must be running.
type Server struct {
	config   Config
	failures *device.Failures
	stopping chan struct{}

	mu       sync.Mutex
	pollers  map[evcs.ChargerID]*poller       // guarded by mu
	inflight map[flight]chan struct{}         // guarded by mu
	limits   map[evcs.ChargerID]*rate.Limiter // guarded by mu; as many as chargers are registered
}

// flight is a request being worked on.
type flight struct {
	charger evcs.ChargerID
	request string
}

// NewServer returns a Server.
func NewServer(c Config) *Server {
	if c.Clock == nil {
		c.Clock = evcs.SystemClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.MaxBody <= 0 {
		c.MaxBody = 256 << 10
	}
	if c.Rate <= 0 {
		c.Rate = 100
	}
	return &Server{
		config: c, failures: device.NewFailures(), stopping: make(chan struct{}),
		pollers: make(map[evcs.ChargerID]*poller), inflight: make(map[flight]chan struct{}),
		limits: make(map[evcs.ChargerID]*rate.Limiter),
	}
}

const (
	nextHeartbeat = 60 * time.Second
	// away is the silence after which a charger counts as disconnected.
	away    = 3 * nextHeartbeat
	sweep   = 15 * time.Second
	maxSkew = 300 * time.Second
	maxWait = 50
)

// Run notices chargers that stopped calling, until ctx ends; then it ends
// every long poll. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(sweep)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.sweep(ctx)
		case <-ctx.Done():
			close(s.stopping)
			for _, p := range s.all() {
				s.end(context.WithoutCancel(ctx), p, "shutting down")
			}
			return nil
		}
	}
}

func (s *Server) all() []*poller {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*poller, 0, len(s.pollers))
	for _, p := range s.pollers {
		list = append(list, p)
	}
	return list
}

func (s *Server) sweep(ctx context.Context) {
	now := s.config.Clock.Now()
	for _, p := range s.all() {
		if now.Sub(evcs.FromMillis(p.last.Load())) >= away {
			s.end(ctx, p, "no call for three heartbeats")
		}
	}
}

// end forgets a charger that is gone.
func (s *Server) end(ctx context.Context, p *poller, reason string) {
	s.mu.Lock()
	if s.pollers[p.id.Charger] == p {
		delete(s.pollers, p.id.Charger)
	}
	s.mu.Unlock()
	p.Close(reason)
	if s.config.Hub.Drop(p) {
		s.config.Presence.Disconnected(ctx, p, reason)
	}
}

// meet finds or makes the session of the charger that calls. The identity of
// a later call may differ in its settings only.
func (s *Server) meet(ctx context.Context, id device.Identity, address string) *poller {
	now := s.config.Clock.Now()
	s.mu.Lock()
	p := s.pollers[id.Charger]
	fresh := p == nil
	if !fresh {
		select {
		case <-p.done:
			fresh = true
		default:
		}
	}
	if fresh {
		p = s.newPoller(id, address, now)
		s.pollers[id.Charger] = p
	}
	s.mu.Unlock()
	p.last.Store(evcs.Millis(now))
	p.in.Add(1)
	if fresh {
		if old := s.config.Hub.Put(p); old != nil {
			old.Close("replaced by a newer connection")
		}
		if err := s.config.Presence.Connected(ctx, p); err != nil {
			s.config.Log.ErrorContext(ctx, "noting a connection failed", slog.String("device", id.DeviceID), slog.Any("error", err))
		}
	}
	s.config.Presence.Heard(id, now)
	return p
}

// The refusals of the port itself.
var (
	errRoute  = evcs.NewError(evcs.CodeRouteNotFound, "no such operation")
	errMethod = evcs.NewError(evcs.CodeMethodNotAllowed, "only POST")
	errLarge  = evcs.NewError(evcs.CodeBodyTooLarge, "the body is too large")
	errFast   = evcs.NewError(evcs.CodeRateLimited, "the charger sends too fast")
	errClock  = evcs.NewError(evcs.CodeDeviceClock, "the timestamp is too far off")
	errReused = evcs.NewError(evcs.CodeRequestIDReused, "the requestId had other content")
)

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := strings.TrimPrefix(r.URL.Path, "/api/cloudcharge/")
	do, known := map[string]operationFunc{
		"heartbeat": s.heartbeat, "status": s.status, "start": s.start, "stop": s.stop, "meter": s.meter,
	}[operation]
	var q *request
	var err error
	switch {
	case !known:
		err = errRoute
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		err = errMethod
	default:
		q, err = s.read(w, r, operation)
	}
	english := prefersEnglish(r.Header.Get("Accept-Language"))
	var reply Reply
	if err == nil {
		reply, err = s.serve(r, q, do, english)
	}
	if err != nil {
		reply = s.refuse(r.Context(), q, err, english)
	}
	writeReply(w, reply)
}

func (s *Server) read(w http.ResponseWriter, r *http.Request, operation string) (*request, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.config.MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, evcs.With(errLarge, map[string]any{"limitBytes": large.Limit})
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, evcs.Invalid(evcs.FieldFault{Field: "body", Message: "did not arrive in time"})
	case err != nil:
		return nil, evcs.Invalid(evcs.FieldFault{Field: "body", Message: "could not be read"})
	}
	return parseRequest(operation, body)
}

// serve answers a request of good form: who it is, whether it is a repeat,
// whether it is fresh, and then what it asks.
func (s *Server) serve(r *http.Request, q *request, do operationFunc, english bool) (Reply, error) {
	ctx := r.Context()
	id, err := s.admit(r, q)
	if err != nil {
		return Reply{}, err
	}
	if !s.limiter(id.Charger).AllowN(s.config.Clock.Now(), 1) {
		return Reply{}, evcs.With(errFast, map[string]any{"retryAfter": 1})
	}
	release, err := s.board(ctx, flight{id.Charger, q.requestID})
	if err != nil {
		return Reply{}, err
	}
	defer release()
	scope := evcs.Only(id.Tenant)
	stored, found, err := s.config.Replays.Recall(ctx, scope, id.Charger, q.requestID)
	switch {
	case err != nil:
		return Reply{}, err //nolint:wrapcheck // classified, and logged where it is answered
	case found && stored.Digest != q.digest():
		_, _ = q.at(id.Zone)
		return Reply{}, evcs.With(errReused, map[string]any{"requestId": q.requestID})
	case found:
		return stored, nil
	}
	if err := s.fresh(q, id); err != nil {
		return Reply{}, err
	}
	p := s.meet(ctx, id, r.RemoteAddr)
	data, err := do(ctx, p, q)
	reply := s.word(ctx, q, data, err, english)
	if beat, ok := data.(heartbeatJSON); ok {
		reply.Secret = slices.ContainsFunc(beat.Commands, commandJSON.secret)
	}
	p.out.Add(1)
	s.journal(p, q, data, reply)
	if reply.Status == http.StatusTooManyRequests || reply.Status >= http.StatusInternalServerError {
		return reply, nil
	}
	if err := s.config.Replays.Remember(ctx, scope, id.Charger, q.requestID, reply); err != nil {
		return Reply{}, err //nolint:wrapcheck // classified, and logged where it is answered
	}
	return reply, nil
}

// limiter is the rate limit of one charger.
func (s *Server) limiter(id evcs.ChargerID) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.limits[id]
	if l == nil {
		l = rate.NewLimiter(rate.Limit(s.config.Rate), 2*s.config.Rate)
		s.limits[id] = l
	}
	return l
}

// fresh judges the timestamp.
func (s *Server) fresh(q *request, id device.Identity) error {
	at, err := q.at(id.Zone)
	if err != nil {
		return err
	}
	now := s.config.Clock.Now()
	if off := now.Sub(at).Abs(); off > maxSkew {
		return evcs.With(errClock, map[string]any{"serverTime": q.time(now)})
	}
	return nil
}

// board waits until no other request with this id is worked on.
func (s *Server) board(ctx context.Context, f flight) (release func(), err error) {
	for {
		s.mu.Lock()
		other, busy := s.inflight[f]
		if !busy {
			mine := make(chan struct{})
			s.inflight[f] = mine
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.inflight, f)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		s.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, evcs.ErrUnavailable
		}
	}
}

// admit asks the Gate who calls. A stop, meter values and a status report
// what has happened; they are taken from a blocked charger too.
func (s *Server) admit(r *http.Request, q *request) (device.Identity, error) {
	address, _ := netip.ParseAddrPort(r.RemoteAddr)
	peer := address.Addr().Unmap()
	now := s.config.Clock.Now()
	if wait := s.failures.Wait(peer, q.deviceCode, now); wait > 0 {
		return device.Identity{}, evcs.With(errFast, map[string]any{"retryAfter": int(wait.Seconds()) + 1})
	}
	shown := device.Credential{
		DeviceID: q.deviceCode, Protocol: device.CloudCharge, Address: peer, TLS: r.TLS != nil,
		Settling: q.operation != "heartbeat" && q.operation != "start",
		Verify:   q.verify, Signed: true,
	}
	if r.TLS != nil {
		shown.Certificates = r.TLS.PeerCertificates
	}
	id, err := s.config.Gate.Admit(r.Context(), shown)
	if err == nil {
		return id, nil
	}
	code, _, _ := evcs.Classify(err)
	if code.Status() >= http.StatusInternalServerError {
		return id, err //nolint:wrapcheck // classified, and logged where it is answered
	}
	s.failures.Add(peer, q.deviceCode, now)
	reason, hint := hintFor(code, err)
	s.config.Gate.Refused(r.Context(), device.Refusal{
		DeviceID: q.deviceCode, Protocol: device.CloudCharge, Address: r.RemoteAddr,
		Reason: reason, Hint: hint, At: now,
	})
	return id, err //nolint:wrapcheck // classified
}

func hintFor(code evcs.Code, err error) (reason, hint string) {
	switch code {
	case evcs.CodeDeviceAuthFailed:
		for rule, hint := range map[error]string{
			device.ErrAddress:     "the charger's address is not in its allowCidr",
			device.ErrNeedsTLS:    "the charger's security profile needs TLS: set its address to https://",
			device.ErrCertificate: "the charger's security profile needs a client certificate: the stored one, or one of a known authority with its device id as name",
			device.ErrProtocol:    "the charger is registered for another protocol than CLOUDCHARGE",
		} {
			if errors.Is(err, rule) {
				return "BAD_CREDENTIAL", hint
			}
		}
		return "BAD_CREDENTIAL", "the signature is not made with the charger's secret, or not over the exact text of the contract"
	case evcs.CodeDeviceUnknown:
		return "UNKNOWN_ID", "create a charger with this device id, or correct the charger's deviceCode"
	case evcs.CodeTenantDisabled:
		return "TENANT_DISABLED", "enable the operator of this charger"
	case evcs.CodeTenantExpired:
		return "TENANT_EXPIRED", "extend the expiry of the operator of this charger"
	case evcs.CodeChargerDisabled:
		return "CHARGER_DISABLED", "enable the charger"
	}
	return code.Name(), ""
}
