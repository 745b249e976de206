package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/evcs/evcs/internal/api"
)

// Health are /healthz, /readyz and /metrics.
type Health struct {
	// Reasons says what is missing to serve; nil when nothing is.
	Reasons func(ctx context.Context) []string
	// Metrics writes the Prometheus text.
	Metrics http.Handler
}

func (h Health) register(s *Server) {
	s.Handle("/healthz", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writePlain(w, http.StatusOK, api.Live{Status: "ok"})
	}))
	s.Handle("/readyz", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var reasons []string
		if h.Reasons != nil {
			reasons = h.Reasons(r.Context())
		}
		if len(reasons) > 0 {
			slices.Sort(reasons)
			writePlain(w, http.StatusServiceUnavailable, api.Ready{Status: "not_ready", Reasons: reasons})
			return
		}
		writePlain(w, http.StatusOK, api.Ready{Status: "ready"})
	}))
	if h.Metrics != nil {
		s.Handle("/metrics", s.guardMetrics(h.Metrics))
	}
}

// guardMetrics lets the peers of metrics.allowCidr and holders of
// monitoring:system read; for anyone else the path does not exist.
func (s *Server) guardMetrics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if contains(s.cfg.MetricsCIDR, s.clientAddress(r)) || s.mayReadMetrics(r) {
			next.ServeHTTP(w, r)
			return
		}
		s.hidden(w, r)
	})
}

func (s *Server) mayReadMetrics(r *http.Request) bool {
	bearer := bearerOf(r)
	if bearer == "" || s.cfg.Guard == nil {
		return false
	}
	a, err := s.cfg.Guard.Authenticate(r.Context(), bearer, s.clientAddress(r))
	return err == nil && a.May("monitoring:system")
}

func writePlain(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) //nolint:errcheck,errchkjson // the client is gone; nobody is left to tell
}
