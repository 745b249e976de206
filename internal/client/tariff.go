package client

import (
	"context"
	"net/http"

	"github.com/evcs/evcs/internal/api"
)

// Prices is what energy costs and why, and the days with prices of their own.
type Prices struct{ w *wire }

// Explain prices a session that did not happen and says why.
func (p Prices) Explain(ctx context.Context, body api.ExplainRequest) (api.Explanation, error) {
	return postOnce[api.Explanation](ctx, p.w, "/api/billing/explain", body)
}

// ExplainOrder says why an order costs what it does.
func (p Prices) ExplainOrder(ctx context.Context, order int64) (api.Explanation, error) {
	return get[api.Explanation](ctx, p.w, at("/api/order/%s/explain", order), nil)
}

// Import takes over billing plans, all or none.
func (p Prices) Import(ctx context.Context, body api.ImportPlans) ([]api.ImportedPlan, error) {
	return post[[]api.ImportedPlan](ctx, p.w, "/api/billing/plan/import", body)
}

// Holidays reads the special days of a tenant.
func (p Prices) Holidays(ctx context.Context, q Query) ([]api.Holiday, error) {
	return get[[]api.Holiday](ctx, p.w, "/api/billing/holiday", q)
}

// SetHolidays says what days count as.
func (p Prices) SetHolidays(ctx context.Context, body api.SetHolidays) (api.HolidaysChanged, error) {
	return post[api.HolidaysChanged](ctx, p.w, "/api/billing/holiday", body)
}

// ClearHolidays forgets special days.
func (p Prices) ClearHolidays(ctx context.Context, q Query) (api.HolidaysChanged, error) {
	return erase[api.HolidaysChanged](ctx, p.w, "/api/billing/holiday", q)
}

// erase deletes what a query names.
func erase[T any](ctx context.Context, w *wire, path string, query Query) (T, error) {
	return send[T](ctx, w, call{method: http.MethodDelete, path: path, query: query})
}
