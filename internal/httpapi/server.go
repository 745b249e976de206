package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/mux"
	"go.opentelemetry.io/otel/trace"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/tenant"
)

// Guard says who a credential belongs to. It refuses with 6003, 6004, 6006,
// 5002, 5004 or 5005.
type Guard interface {
	Authenticate(ctx context.Context, bearer, address string) (*evcs.Actor, error)
}

// Proxies is what a Guard offers besides when identity headers of a trusted
// proxy may be honoured (§3.3).
type Proxies interface {
	Impersonate(ctx context.Context, user evcs.UserID, tenant evcs.TenantID, address string) (*evcs.Actor, error)
}

// Tree answers for the tenants below another.
type Tree interface {
	// Below reports whether t is tenant under itself or anywhere below it.
	Below(ctx context.Context, under, t evcs.TenantID) (bool, error)
}

// Crossings audits reads and writes across layers of the tree (§1.8).
type Crossings interface {
	CrossedRead(ctx context.Context, a *evcs.Actor, operation string, target evcs.TenantID)
	// Refused audits a write or a crossing that was refused with 403.
	Refused(ctx context.Context, a *evcs.Actor, r tenant.Refusal)
}

// Replays keeps the answers of requests with an Idempotency-Key (§1.7).
type Replays interface {
	// Begin claims a key for a request with this digest. A status other than
	// zero is the stored answer. It refuses with 9410 and 9411.
	Begin(ctx context.Context, tenant evcs.TenantID, operation, key, digest string) (status int, body []byte, err error)
	// Keep stores the answer, for ever or for 24 h.
	Keep(ctx context.Context, tenant evcs.TenantID, operation, key string, status int, body []byte, forever bool) error
	// Release gives the key back: the answer is not to be kept.
	Release(ctx context.Context, tenant evcs.TenantID, operation, key string) error
}

// Meter counts requests for the metrics.
type Meter interface {
	Served(s health.Served)
}

// Config is what a Server is made of. A nil Tree, Crossings, Replays or Meter
// leaves out what it serves; the document can be printed without any.
type Config struct {
	Clock     evcs.Clock
	Log       *slog.Logger
	Guard     Guard
	Tree      Tree
	Crossings Crossings
	// Exceeded is told of every 5006; nil: nobody cares.
	Exceeded func(ctx context.Context, refusal error)
	Replays  Replays
	Meter    Meter
	// Tracer makes a span for each request of an operation; nil: none.
	Tracer  trace.Tracer
	Version string
	// Internal guards /internal (§17.1); an empty token closes it.
	InternalToken string
	InternalCIDR  []netip.Prefix
	// ProxyCIDR and ProxySecret: whose identity headers are honoured.
	ProxyCIDR   []netip.Prefix
	ProxySecret string
	MetricsCIDR []netip.Prefix
	Limits      Limits
	// CORSOrigins are the web origins whose pages may call; none: no page may.
	CORSOrigins []string
	Parts       []Part
}

// Server is the REST listener's handler.
type Server struct {
	cfg        Config
	router     *mux.Router
	segments   map[string]*mux.Router // by first path segment
	doc        *huma.OpenAPI
	operations []*declared
	pending    []route // declared, not yet on the router
	limits     limits
	handler    http.Handler // the router behind what holds for every request
	documents  *documents
}

// declared is an operation with what its types say.
type declared struct {
	operation
	huma   huma.Operation
	body   *shape // nil: no Body field
	ignore *shape // read-only fields, may be nil
	params map[string]param
	raw    bool // the handler reads the body by itself
	// binding is how In is filled.
	binding binding
}

// New makes the handler of everything that parts declare.
func New(cfg Config) *Server {
	takeOverHuma()
	s := &Server{cfg: cfg, router: mux.NewRouter().UseEncodedPath().SkipClean(true), segments: make(map[string]*mux.Router)}
	s.doc = newDocument(cfg.Version)
	s.limits = newLimits(cfg.Limits)
	for _, part := range cfg.Parts {
		part.register(s)
	}
	s.mount()
	s.finishSchemas()
	s.documents = documentsOf(s)
	s.serveDocuments()
	s.router.NotFoundHandler = http.HandlerFunc(s.notFound)
	s.router.MethodNotAllowedHandler = s.router.NotFoundHandler
	s.handler = crossOrigin(cfg.CORSOrigins, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.protect(w, r)
		s.route(w, r)
	}))
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// route is the router's ServeHTTP without a copy of the request for what nobody
// reads. The router finds a handler for everything.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	var found mux.RouteMatch
	if !s.router.Match(r, &found) || found.Handler == nil {
		s.router.ServeHTTP(w, r)
		return
	}
	if len(found.Vars) > 0 {
		r = mux.SetURLVars(r, found.Vars)
	}
	found.Handler.ServeHTTP(w, r)
}

// Handle adds a route that is no operation of the document.
func (s *Server) Handle(path string, h http.Handler) {
	s.router.Handle(path, h).Methods(http.MethodGet)
}

// route is a path of an operation.
type route struct {
	path, method string
	handler      http.Handler
}

// mount puts the declared paths on the router. mux takes the first that
// matches, so words come before parameters: /charger/page before /charger/{id}.
func (s *Server) mount() {
	slices.SortStableFunc(s.pending, func(a, b route) int {
		return slices.Compare(rank(a.path), rank(b.path))
	})
	for _, r := range s.pending {
		s.routes(r.path).Path(r.path).Methods(r.method).Handler(r.handler)
	}
	s.pending = nil
}

func rank(path string) []int {
	var ranks []int
	for segment := range strings.SplitSeq(path, "/") {
		place := 0
		if strings.HasPrefix(segment, "{") {
			place = 1
		}
		ranks = append(ranks, place)
	}
	return ranks
}

// routes is the subrouter of a path's first two segments: mux tries its routes
// one after the other.
func (s *Server) routes(path string) *mux.Router {
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 3)
	prefix := "/" + parts[0]
	if len(parts) > 1 && !strings.HasPrefix(parts[1], "{") {
		prefix += "/" + parts[1]
	}
	if s.segments[prefix] == nil {
		s.segments[prefix] = s.router.MatcherFunc(underPrefix(prefix)).Subrouter()
	}
	return s.segments[prefix]
}

func underPrefix(prefix string) mux.MatcherFunc {
	return func(r *http.Request, _ *mux.RouteMatch) bool {
		rest, ok := strings.CutPrefix(r.URL.Path, prefix)
		return ok && (rest == "" || rest[0] == '/')
	}
}

const metaKey = "declared"

// takeOverHuma sets the library's process-wide switch once.
var takeOverHuma = sync.OnceFunc(func() { huma.DefaultArrayNullable = false })

// declare checks a declaration, reads its types and words it for huma.
func (s *Server) declare(op operation, in, out reflect.Type) *declared {
	d := &declared{operation: op}
	s.alias(in)
	s.alias(out)
	d.params = paramsOf(in)
	if f, ok := in.FieldByName("Body"); ok {
		d.body = shapeOf(f.Type)
	}
	for _, object := range op.ReadOnly {
		d.ignore = d.ignore.with(shapeOf(reflect.TypeOf(object)))
	}
	d.raw = op.Content != "" && d.body == nil
	d.huma = s.humaOperation(d)
	s.bind(d, in)
	s.operations = append(s.operations, d)
	return d
}

// aliasID names the operation of a further path after what distinguishes it.
func aliasID(op operation, path string) string {
	if rest, ok := strings.CutPrefix(path, op.Path+"/"); ok {
		return op.ID + "." + strings.ReplaceAll(rest, "/", ".")
	}
	return op.ID + "." + strings.Trim(strings.NewReplacer("/", ".", "{", "", "}", "").Replace(path), ".")
}
