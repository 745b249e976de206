package httpapi

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/rs/cors"
)

// proxied reports whether a request comes from a trusted proxy: its peer is in
// server.trustedProxy.cidrs and it sends the secret (§3.3).
func (s *Server) proxied(r *http.Request) bool {
	return s.cfg.ProxySecret != "" && contains(s.cfg.ProxyCIDR, peerOf(r)) && sameSecret(r.Header.Get("X-Proxy-Secret"), s.cfg.ProxySecret)
}

// maxHops bounds how much of X-Forwarded-For is read.
const maxHops = 32

// clientAddress is where a request began: the peer, or behind a trusted proxy
// the last address of X-Forwarded-For that is no trusted proxy itself. What
// stands before that address was written by the client and says nothing.
func (s *Server) clientAddress(r *http.Request) string {
	peer := peerOf(r)
	if !s.proxied(r) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && i >= len(hops)-maxHops; i-- {
		hop, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(hops[i]), "[]"))
		if err != nil {
			return peer
		}
		peer = hop.Unmap().WithZone("").String()
		if !contains(s.cfg.ProxyCIDR, peer) {
			return peer
		}
	}
	return peer
}

// encrypted reports whether the client speaks TLS, with evcsd or with a
// trusted proxy in front of it.
func (s *Server) encrypted(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") && s.proxied(r)
}

const (
	// closedPolicy is for answers that are data: nothing may be loaded for
	// them, nobody may frame them.
	closedPolicy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	// pagePolicy is for Swagger UI, whose script and style are in the page: they
	// and nothing else inline is let in, by their hashes. The one written here is
	// of the style element that the library adds when it shows an answer.
	pagePolicy = "default-src 'none'; script-src 'self'%s; style-src 'self'%s 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='; img-src 'self' data:; " +
		"font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	pagePath = "/swagger-ui.html"
)

// protect sets what every answer says to browsers. The page of the documents
// says otherwise of what it loads.
func (s *Server) protect(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for i := range protections {
		h[protections[i].name] = protections[i].value[:1:1]
	}
	if len(s.cfg.CORSOrigins) > 0 {
		h.Set("Cross-Origin-Resource-Policy", "cross-origin") // CORS says whose
	}
	if s.encrypted(r) {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// protections are the headers of every answer. Their values are shared, and
// whoever says otherwise sets a value of his own.
var protections = [...]struct {
	name  string // in its canonical form
	value [1]string
}{
	{"X-Content-Type-Options", [1]string{"nosniff"}},
	{"X-Frame-Options", [1]string{"DENY"}},
	{"Referrer-Policy", [1]string{"no-referrer"}},
	{"Cross-Origin-Resource-Policy", [1]string{"same-origin"}},
	{"Content-Security-Policy", [1]string{closedPolicy}},
	{"Cache-Control", [1]string{"no-store"}},
}

// crossOrigin lets pages of the given origins call (cors.origins). Nobody is
// let in by a cookie, so no credentials are allowed.
func crossOrigin(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return cors.New(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowedHeaders: []string{
			"Authorization", "Content-Type", "Accept-Language", "Idempotency-Key", "If-Match", "Last-Event-ID", "X-Request-Id", "X-Trace-Id",
		},
		ExposedHeaders: []string{"X-Request-Id", "X-Tenant-Scope", "Idempotency-Replayed", "Retry-After", "Content-Language", "Content-Disposition"},
		MaxAge:         600,
	}).Handler(next)
}
