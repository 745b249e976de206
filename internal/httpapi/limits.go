package httpapi

import (
	"sync"

	"golang.org/x/time/rate"

	"github.com/evcs/evcs/internal/evcs"
)

// limits bounds the requests per second of each tenant. There are as many
// buckets as tenants that have ever asked, which the tree bounds.
type limits struct {
	rate  rate.Limit
	burst int
	mu    *sync.Mutex
	by    map[evcs.TenantID]*rate.Limiter // guarded by mu
}

func newLimits(cfg Config) limits {
	return limits{rate: rate.Limit(cfg.TenantRate), burst: max(cfg.TenantBurst, cfg.TenantRate), mu: new(sync.Mutex), by: make(map[evcs.TenantID]*rate.Limiter)}
}

func (l limits) allow(t evcs.TenantID) bool {
	if l.rate <= 0 {
		return true
	}
	l.mu.Lock()
	bucket := l.by[t]
	if bucket == nil {
		bucket = rate.NewLimiter(l.rate, l.burst)
		l.by[t] = bucket
	}
	l.mu.Unlock()
	return bucket.Allow()
}
