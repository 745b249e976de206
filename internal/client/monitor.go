package client

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/evcs/evcs/internal/api"
)

// Monitor is the dashboard and the alerts.
type Monitor struct{ w *wire }

// Stats reads the figures of now and of today.
func (m Monitor) Stats(ctx context.Context) (api.DashboardStats, error) {
	return get[api.DashboardStats](ctx, m.w, "/api/dashboard/stats", m.w.scoped(nil))
}

// ChargerStatus counts the enabled chargers by status.
func (m Monitor) ChargerStatus(ctx context.Context) (api.ChargerStatusCounts, error) {
	return get[api.ChargerStatusCounts](ctx, m.w, "/api/dashboard/charger-status", m.w.scoped(nil))
}

// RecentOrders reads the newest orders.
func (m Monitor) RecentOrders(ctx context.Context, q Query) ([]api.RecentOrder, error) {
	return get[[]api.RecentOrder](ctx, m.w, "/api/dashboard/recent-orders", m.w.scoped(q))
}

// Alerts reads a page of alerts.
func (m Monitor) Alerts(ctx context.Context, q Query) (api.Page[api.Alert], error) {
	return page[api.Alert](ctx, m.w, "/api/monitoring/alerts", q)
}

// Alert reads one alert with its history.
func (m Monitor) Alert(ctx context.Context, id int64) (api.AlertDetail, error) {
	return get[api.AlertDetail](ctx, m.w, at("/api/monitoring/alerts/%s", id), nil)
}

// Acknowledge says that somebody looks after an alert.
func (m Monitor) Acknowledge(ctx context.Context, id int64, body api.Note) (api.Alert, error) {
	return post[api.Alert](ctx, m.w, at("/api/monitoring/alerts/%s/acknowledge", id), body)
}

// Resolve ends an alert.
func (m Monitor) Resolve(ctx context.Context, id int64, body api.ResolveAlert) (api.Alert, error) {
	return post[api.Alert](ctx, m.w, at("/api/monitoring/alerts/%s/resolve", id), body)
}

// Raw is any operation by its method and path.
type Raw struct{ w *wire }

// Do sends body (nil: none) and returns the whole answer of a success.
func (r Raw) Do(ctx context.Context, method, path string, q Query, body json.RawMessage) ([]byte, error) {
	c := call{method: strings.ToUpper(method), path: path, query: q}
	if len(body) > 0 {
		c.body = []byte(body)
	}
	return r.w.do(ctx, c)
}
