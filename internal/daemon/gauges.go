package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
)

const (
	// countsFresh is how long one count serves all gauges of a scrape.
	countsFresh = 5 * time.Second
	countsLimit = 2 * time.Second
)

// counts reads the figures behind several gauges once for all of them.
type counts struct {
	read func(ctx context.Context) (store.GaugeCounts, error)

	mu   sync.Mutex
	last store.GaugeCounts // guarded by mu
	err  error             // guarded by mu
	at   time.Time         // guarded by mu
}

// now are the figures of now; false when they could not be read.
func (c *counts) now(ctx context.Context) (store.GaugeCounts, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || evcs.Monotonic().Sub(c.at) > countsFresh {
		limit, cancel := context.WithTimeout(ctx, countsLimit)
		defer cancel()
		c.last, c.err = c.read(limit)
		c.at = evcs.Monotonic()
	}
	return c.last, c.err == nil
}

// countGauges are the figures that are counted in the store. One that cannot be
// counted is absent.
func (d *Daemon) countGauges(ctx context.Context, p *parts) {
	c := &counts{read: store.NewReports(d.db).GaugeCounts}
	from := func(pick func(store.GaugeCounts) map[string]float64) func() map[string]float64 {
		return func() map[string]float64 {
			if g, ok := c.now(ctx); ok {
				return pick(g)
			}
			return nil
		}
	}
	p.metrics.Gauges(
		httpapi.Gauge{Name: "evcs_order_active", Help: "Running orders.", Read: from(func(g store.GaugeCounts) map[string]float64 {
			return map[string]float64{"": float64(g.ActiveOrders)}
		})},
		httpapi.Gauge{Name: "evcs_charger", Help: "Enabled chargers by status.", Label: "status", Read: from(func(g store.GaugeCounts) map[string]float64 {
			by := make(map[string]float64)
			for i, name := range map[int]string{
				int(station.Offline): "offline", int(station.Idle): "idle", int(station.Charging): "charging", int(station.Fault): "fault",
				int(station.Maintenance): "maintenance", int(station.Reserved): "reserved",
			} {
				by[name] = float64(g.Chargers[i])
			}
			return by
		})},
		httpapi.Gauge{Name: "evcs_reconciliation_open_differences", Help: "Differences that nobody resolved.", Label: "channel", Read: from(func(g store.GaugeCounts) map[string]float64 {
			by := map[string]float64{}
			if p.bank != nil {
				by[sandboxChannel] = 0
			}
			for channel, n := range g.Differences {
				by[channel] = float64(n)
			}
			return by
		})},
		httpapi.Gauge{Name: "evcs_alert_open", Help: "Alerts that are not resolved.", Label: "severity", Read: from(func(g store.GaugeCounts) map[string]float64 {
			by := map[string]float64{"CRITICAL": 0, "HIGH": 0, "MEDIUM": 0, "LOW": 0}
			for severity, n := range g.Alerts {
				by[severity] = float64(n)
			}
			return by
		})},
	)
}
