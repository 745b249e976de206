package httpapi

import (
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/evcs/evcs/internal/evcs"
)

// Limits are the bounds of contract §1.9 that this package keeps; 0 is off.
type Limits struct {
	TenantPerSecond   int // requests of a tenant
	TenantBurst       int
	StartPerSecond    int // starts of charges of a tenant
	CallbackPerSecond int // payment callbacks of an address
	ExportPerMinute   int // exports of a user
	StreamsPerTenant  int // event streams that are open at once
}

// DefaultLimits are those of contract §1.9.
func DefaultLimits() Limits {
	return Limits{
		TenantPerSecond: 5000, TenantBurst: 10_000, StartPerSecond: 1000, CallbackPerSecond: 200, ExportPerMinute: 10, StreamsPerTenant: 100,
	}
}

// pace is a bound of an operation besides that of its tenant.
type pace int

const (
	paceTenant   pace = iota // none besides
	paceStart                // starts of charges, by tenant
	paceCallback             // payment callbacks, by address
	paceExport               // exports, by user
)

// limits keeps how fast callers come.
type limits struct {
	tenants   *gate[evcs.TenantID]
	starts    *gate[evcs.TenantID]
	callbacks *gate[string]
	exports   *gate[exporter]
}

// exporter is who exports: a user, whether by himself or by his keys.
type exporter struct {
	tenant evcs.TenantID
	user   evcs.UserID
}

func newLimits(c Limits) limits {
	return limits{
		tenants:   newGate[evcs.TenantID](rate.Limit(c.TenantPerSecond), max(c.TenantBurst, c.TenantPerSecond)),
		starts:    newGate[evcs.TenantID](rate.Limit(c.StartPerSecond), c.StartPerSecond),
		callbacks: newGate[string](rate.Limit(c.CallbackPerSecond), c.CallbackPerSecond),
		exports:   newGate[exporter](rate.Limit(c.ExportPerMinute)/60, c.ExportPerMinute),
	}
}

// admit refuses a caller who comes too fast with 9429. An anonymous caller is
// held to what his address may do.
func (l limits) admit(p pace, a *evcs.Actor, address string) error {
	var wait time.Duration
	if a != nil {
		wait = l.tenants.wait(a.Tenant)
	}
	if wait == 0 {
		switch {
		case p == paceCallback:
			wait = l.callbacks.wait(address)
		case p == paceStart && a != nil:
			wait = l.starts.wait(a.Tenant)
		case p == paceExport && a != nil:
			wait = l.exports.wait(exporter{a.Tenant, a.User})
		}
	}
	if wait == 0 {
		return nil
	}
	return evcs.With(errTooMany, map[string]any{"retryAfter": int((wait + time.Second - 1) / time.Second)})
}

// maxBuckets bounds the memory of a gate: a bucket takes about 200 bytes.
const maxBuckets = 50_000

// gate bounds how often each of many callers may pass.
type gate[K comparable] struct {
	rate  rate.Limit
	burst int
	mu    sync.Mutex
	by    map[K]*rate.Limiter // guarded by mu
}

func newGate[K comparable](r rate.Limit, burst int) *gate[K] {
	return &gate[K]{rate: r, burst: burst, by: make(map[K]*rate.Limiter)}
}

// wait is how long the caller has to wait; zero: he has passed.
func (g *gate[K]) wait(who K) time.Duration {
	if g.rate <= 0 {
		return 0
	}
	now := evcs.Monotonic()
	g.mu.Lock()
	bucket := g.by[who]
	if bucket == nil {
		if len(g.by) >= maxBuckets {
			g.shrink(now)
		}
		bucket = rate.NewLimiter(g.rate, g.burst)
		g.by[who] = bucket
	}
	g.mu.Unlock()
	r := bucket.ReserveN(now, 1)
	d := r.DelayFrom(now)
	if d > 0 {
		r.CancelAt(now)
	}
	return d
}

// shrink forgets callers who have been away long enough to have a full bucket,
// which is what a new one is, and when there are few of them any others: half
// of the room is free afterwards. The caller holds mu.
func (g *gate[K]) shrink(now time.Time) {
	for who, bucket := range g.by {
		if bucket.TokensAt(now) >= float64(g.burst) {
			delete(g.by, who)
		}
	}
	for who := range g.by {
		if len(g.by) <= maxBuckets/2 {
			return
		}
		delete(g.by, who)
	}
}

// streamCount bounds the streams of each tenant.
type streamCount struct {
	limit int // 0: none
	mu    sync.Mutex
	by    map[evcs.TenantID]int // guarded by mu
}

func newStreamCount(limit int) *streamCount {
	return &streamCount{limit: limit, by: make(map[evcs.TenantID]int)}
}

func (c *streamCount) enter(t evcs.TenantID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.limit > 0 && c.by[t] >= c.limit {
		return false
	}
	c.by[t]++
	return true
}

func (c *streamCount) leave(t evcs.TenantID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by[t]--; c.by[t] == 0 {
		delete(c.by, t)
	}
}

// peerOf is the address a request came from.
func peerOf(r *http.Request) string { return hostOf(r.RemoteAddr) }
