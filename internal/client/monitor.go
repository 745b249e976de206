package client

import (
	"context"

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

// AlertStatistics counts the alerts created in some days.
func (m Monitor) AlertStatistics(ctx context.Context, q Query) (api.AlertStatistics, error) {
	return get[api.AlertStatistics](ctx, m.w, "/api/monitoring/alerts/statistics", m.w.scoped(q))
}

// Figures is what the dashboards draw.
type Figures struct{ w *wire }

// EnergyTrend reads the energy of the last days, oldest first.
func (f Figures) EnergyTrend(ctx context.Context, q Query) ([]api.EnergyOfDay, error) {
	return get[[]api.EnergyOfDay](ctx, f.w, "/api/dashboard/charging-trend", f.w.scoped(q))
}

// RevenueTrend reads the money of the last days, oldest first.
func (f Figures) RevenueTrend(ctx context.Context, q Query) ([]api.RevenueOfDay, error) {
	return get[[]api.RevenueOfDay](ctx, f.w, "/api/dashboard/revenue-trend", f.w.scoped(q))
}

// Slots counts the orders of a day by time of day.
func (f Figures) Slots(ctx context.Context, q Query) ([]api.OrderSlot, error) {
	return get[[]api.OrderSlot](ctx, f.w, "/api/dashboard/order-period-distribution", f.w.scoped(q))
}

// Stations ranks the stations.
func (f Figures) Stations(ctx context.Context, q Query) ([]api.StationRank, error) {
	return get[[]api.StationRank](ctx, f.w, "/api/dashboard/station-ranking", f.w.scoped(q))
}

// Utilization ranks the chargers by how busy they are.
func (f Figures) Utilization(ctx context.Context, q Query) ([]api.ChargerUtilization, error) {
	return get[[]api.ChargerUtilization](ctx, f.w, "/api/dashboard/charger-utilization", f.w.scoped(q))
}

// Cities sums the orders by city.
func (f Figures) Cities(ctx context.Context, q Query) ([]api.CityStatistics, error) {
	return get[[]api.CityStatistics](ctx, f.w, "/api/order/statistics/city", f.w.scoped(q))
}

// Host is the state of the installation itself.
type Host struct{ w *wire }

// Overview reads everything at one look.
func (h Host) Overview(ctx context.Context) (api.MonitoringOverview, error) {
	return get[api.MonitoringOverview](ctx, h.w, "/api/monitoring/overview", h.w.scoped(nil))
}

// Services reads the state of every part.
func (h Host) Services(ctx context.Context) ([]api.Health, error) {
	return get[[]api.Health](ctx, h.w, "/api/monitoring/services/health", nil)
}

// Service reads the state of one part with its nodes.
func (h Host) Service(ctx context.Context, name string) (api.Health, error) {
	return get[api.Health](ctx, h.w, at("/api/monitoring/services/%s/health", name), nil)
}

// Versions reads what each node runs.
func (h Host) Versions(ctx context.Context) ([]api.ServiceVersion, error) {
	return get[[]api.ServiceVersion](ctx, h.w, "/api/monitoring/versions", nil)
}

// System reads what a node measured of its host.
func (h Host) System(ctx context.Context) (api.SystemMetrics, error) {
	return get[api.SystemMetrics](ctx, h.w, "/api/monitoring/metrics/system", nil)
}

// Performance reads how operations were answered.
func (h Host) Performance(ctx context.Context, q Query) ([]api.EndpointStats, error) {
	return get[[]api.EndpointStats](ctx, h.w, "/api/monitoring/metrics/performance", q)
}

// Business reads the figures of the trade now.
func (h Host) Business(ctx context.Context) (api.BusinessMetrics, error) {
	return get[api.BusinessMetrics](ctx, h.w, "/api/monitoring/metrics/business", h.w.scoped(nil))
}

// Rules is what raises alerts.
type Rules struct{ w *wire }

// List reads a page of rules.
func (r Rules) List(ctx context.Context, q Query) (api.Page[api.AlertRule], error) {
	return page[api.AlertRule](ctx, r.w, "/api/monitoring/alert-rule", q)
}

// Get reads one rule as the tenant has it.
func (r Rules) Get(ctx context.Context, id int64) (api.AlertRule, error) {
	return get[api.AlertRule](ctx, r.w, at("/api/monitoring/alert-rule/%s", id), nil)
}

// Create makes a rule.
func (r Rules) Create(ctx context.Context, body api.CreateAlertRule) (api.AlertRule, error) {
	return post[api.AlertRule](ctx, r.w, "/api/monitoring/alert-rule", body)
}

// Update changes a rule, of a built-in one the values of the tenant.
func (r Rules) Update(ctx context.Context, id int64, body api.UpdateAlertRule) (api.AlertRule, error) {
	return put[api.AlertRule](ctx, r.w, at("/api/monitoring/alert-rule/%s", id), body)
}

// Delete removes a rule, of a built-in one the changes of the tenant.
func (r Rules) Delete(ctx context.Context, id int64) error {
	return remove(ctx, r.w, at("/api/monitoring/alert-rule/%s", id))
}

// Metrics reads what rules can watch.
func (r Rules) Metrics(ctx context.Context) ([]api.AlertMetric, error) {
	return get[[]api.AlertMetric](ctx, r.w, "/api/monitoring/alert-rule/metrics", nil)
}

// Notices is the channels that tell people of alerts.
type Notices struct{ w *wire }

// List reads a page of channels.
func (n Notices) List(ctx context.Context, q Query) (api.Page[api.NotificationChannel], error) {
	return page[api.NotificationChannel](ctx, n.w, "/api/monitoring/notification-channel", q)
}

// Get reads one channel, without its secret.
func (n Notices) Get(ctx context.Context, id int64) (api.NotificationChannel, error) {
	return get[api.NotificationChannel](ctx, n.w, at("/api/monitoring/notification-channel/%s", id), nil)
}

// Create makes a channel.
func (n Notices) Create(ctx context.Context, body api.CreateChannel) (api.NotificationChannel, error) {
	return post[api.NotificationChannel](ctx, n.w, "/api/monitoring/notification-channel", body)
}

// Update changes a channel.
func (n Notices) Update(ctx context.Context, id int64, body api.UpdateChannel) (api.NotificationChannel, error) {
	return put[api.NotificationChannel](ctx, n.w, at("/api/monitoring/notification-channel/%s", id), body)
}

// Delete removes a channel.
func (n Notices) Delete(ctx context.Context, id int64) error {
	return remove(ctx, n.w, at("/api/monitoring/notification-channel/%s", id))
}

// Test sends a notice now.
func (n Notices) Test(ctx context.Context, id int64) (api.DeliveryTrial, error) {
	return post[api.DeliveryTrial](ctx, n.w, at("/api/monitoring/notification-channel/%s/test", id), nil)
}

// Webhooks is the receivers of events.
type Webhooks struct{ w *wire }

// List reads a page of webhooks.
func (h Webhooks) List(ctx context.Context, q Query) (api.Page[api.Webhook], error) {
	return page[api.Webhook](ctx, h.w, "/api/webhook", q)
}

// Get reads one webhook, without its secret.
func (h Webhooks) Get(ctx context.Context, id int64) (api.Webhook, error) {
	return get[api.Webhook](ctx, h.w, at("/api/webhook/%s", id), nil)
}

// Create makes a webhook; its secret is shown only here.
func (h Webhooks) Create(ctx context.Context, body api.CreateWebhook) (api.NewWebhook, error) {
	return postOnce[api.NewWebhook](ctx, h.w, "/api/webhook", body)
}

// Update changes a webhook; a rotated secret is in the answer, once.
func (h Webhooks) Update(ctx context.Context, id int64, body api.UpdateWebhook) (api.NewWebhook, error) {
	return put[api.NewWebhook](ctx, h.w, at("/api/webhook/%s", id), body)
}

// Delete removes a webhook with what waits for it.
func (h Webhooks) Delete(ctx context.Context, id int64) error {
	return remove(ctx, h.w, at("/api/webhook/%s", id))
}

// Test sends a trial event now.
func (h Webhooks) Test(ctx context.Context, id int64) (api.DeliveryTrial, error) {
	return post[api.DeliveryTrial](ctx, h.w, at("/api/webhook/%s/test", id), nil)
}

// Deliveries reads a page of what was sent to a webhook, and with what success.
func (h Webhooks) Deliveries(ctx context.Context, id int64, q Query) (api.Page[api.WebhookDelivery], error) {
	return get[api.Page[api.WebhookDelivery]](ctx, h.w, at("/api/webhook/%s/delivery", id), q)
}

// Redeliver sends one delivery again, or everything from an event on.
func (h Webhooks) Redeliver(ctx context.Context, id int64, body api.Redeliver) (api.Redelivered, error) {
	return post[api.Redelivered](ctx, h.w, at("/api/webhook/%s/redeliver", id), body)
}

// Logs is the log that the answering node keeps.
type Logs struct{ w *wire }

// Tail reads the newest lines, or those after the query's afterId; each is a
// line of JSON with its logId.
func (l Logs) Tail(ctx context.Context, q Query) ([]string, error) {
	return get[[]string](ctx, l.w, "/api/monitoring/logs/realtime", l.w.scoped(q))
}

// Search reads a page of lines, newest first.
func (l Logs) Search(ctx context.Context, q Query) (api.Page[api.LogLine], error) {
	return page[api.LogLine](ctx, l.w, "/api/monitoring/logs/search", q)
}
