package store

import (
	"context"
	"database/sql"
	"reflect"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
)

func orderFilter(scope evcs.Scope, w order.Filter) filter {
	var f filter
	column := "o.tenant_id"
	if scope == evcs.Subtree(evcs.PlatformTenant) && reflect.ValueOf(w).IsZero() {
		column += " + 0" // everybody's orders: by their own order, not tenant by tenant and then sorted
	}
	f.scope(column, scope)
	if w.Station != 0 {
		f.add("o.station_id = ?", w.Station)
	}
	if w.Charger != 0 {
		f.add("o.charger_id = ?", w.Charger)
	}
	if w.Connector != 0 {
		f.add("o.connector_no = ?", w.Connector)
	}
	if w.User != 0 {
		f.add("o.user_ref = ?", w.User)
	}
	among(&f, "o.status", w.Statuses)
	f.exact("o.session_uid", w.Session)
	f.contains(w.No, "o.order_no")
	f.within("o.started_at", w.From, w.To)
	f.within("o.paid_at", w.PaidFrom, w.PaidTo)
	if w.Held != nil {
		f.add("o.held = ?", *w.Held)
	}
	if w.Anomaly != "" {
		f.add(`',' || o.anomalies || ',' LIKE ?`, "%,"+w.Anomaly+",%")
	}
	if w.City != "" {
		f.add("o.station_id IN (SELECT st.id FROM stations st WHERE st.city = ?)", w.City)
	}
	return f
}

var orderListing = listing[order.Listed]{
	what: "list orders", columns: orderColumns + `, COALESCE(t.name, '')`, from: "orders o LEFT JOIN tenants t ON t.id = o.tenant_id", id: "o.id",
	scan: func(r row) (order.Listed, error) {
		var x order.Listed
		var err error
		x.Order, err = scanOrder(r, &x.TenantName)
		return x, err
	},
	sorts: map[string]sortColumn{
		"orderId": {expr: "o.id"}, "startTime": {expr: "o.started_at"}, "endTime": {expr: "o.ended_at"}, "paidTime": {expr: "o.paid_at"},
		"amount": {expr: "o.amount"}, "energy": {expr: "o.energy"}, "createTime": {expr: "o.created_at"},
	},
}

// OrderPage lists orders.
func (s Orders) OrderPage(ctx context.Context, scope evcs.Scope, w order.Filter, r evcs.PageRequest) (evcs.Page[order.Listed], error) {
	counted := !r.Keyset && !r.NoTotal && onlyStatuses(w)
	if !counted {
		return page(ctx, s.q, orderListing, orderFilter(scope, w), r)
	}
	total, err := s.total(ctx, scope, w.Statuses)
	if err != nil {
		return evcs.Page[order.Listed]{}, err
	}
	r.NoTotal = true
	found, err := page(ctx, s.q, orderListing, orderFilter(scope, w), r)
	found.Total = total
	return found, err
}

// CountLines counts the lines of the orders that a list would hold.
func (s Orders) CountLines(ctx context.Context, scope evcs.Scope, w order.Filter) (int64, error) {
	f := orderFilter(scope, w)
	var n int64
	err := s.q.one(ctx, "count order lines", sql.ErrNoRows, []any{&n},
		`SELECT COUNT(*) FROM order_lines l JOIN orders o ON o.id = l.order_id AND o.tenant_id = l.tenant_id`+f.where(), f.args...)
	return n, err
}

// onlyStatuses reports whether a filter asks for nothing but statuses.
func onlyStatuses(w order.Filter) bool {
	w.Statuses = nil
	return reflect.ValueOf(w).IsZero()
}

// total counts orders by status: those in the figures without looking at them.
func (s Orders) total(ctx context.Context, scope evcs.Scope, statuses []order.Status) (int64, error) {
	var rolled, young filter
	rolled.scope("r.tenant_id", scope)
	among(&rolled, "r.status", statuses)
	young.scope("o.tenant_id", scope)
	young.add("NOT o.rolled")
	among(&young, "o.status + 0", statuses)
	var n int64
	err := s.q.one(ctx, "count orders", sql.ErrNoRows, []any{&n}, `SELECT CAST((SELECT COALESCE(SUM(r.orders), 0) FROM report_orders r`+rolled.where()+`)
		+ (SELECT COUNT(*) FROM orders o`+young.where()+`) AS BIGINT)`, append(rolled.args, young.args...)...)
	return n, err
}

var sessionListing = listing[order.ListedSession]{
	what: "list sessions", columns: sessionColumns + `, COALESCE(o.order_no, '')`,
	from: "sessions s LEFT JOIN orders o ON o.id = s.order_id AND o.tenant_id = s.tenant_id", id: "s.id",
	scan: func(r row) (order.ListedSession, error) {
		var x order.ListedSession
		var err error
		x.Session, err = scanSession(r, &x.OrderNo)
		return x, err
	},
	sorts: map[string]sortColumn{"startTime": {expr: "s.started_at"}, "stopTime": {expr: "s.stopped_at"}, "createTime": {expr: "s.created_at"}},
}

// SessionPage lists sessions.
func (s Orders) SessionPage(ctx context.Context, scope evcs.Scope, w order.SessionFilter, r evcs.PageRequest) (evcs.Page[order.ListedSession], error) {
	var f filter
	f.scope("s.tenant_id", scope)
	if w.Station != 0 {
		f.add("s.station_id = ?", w.Station)
	}
	if w.Charger != 0 {
		f.add("s.charger_id = ?", w.Charger)
	}
	if w.Connector != 0 {
		f.add("s.connector_no = ?", w.Connector)
	}
	if w.User != 0 {
		f.add("s.user_ref = ?", w.User)
	}
	among(&f, "s.state", w.States)
	if w.Anomaly != "" {
		f.add(`',' || s.anomalies || ',' LIKE ?`, "%,"+w.Anomaly+",%")
	}
	f.within("s.started_at", w.From, w.To)
	return page(ctx, s.q, sessionListing, f, r)
}

// ListedSession finds a session by its public id in the scope, with the number
// of its order.
func (s Orders) ListedSession(ctx context.Context, scope evcs.Scope, uid string) (order.ListedSession, error) {
	var f filter
	f.scope("s.tenant_id", scope)
	f.add("s.uid = ?", uid)
	list, err := all(ctx, s.q, sessionListing, f)
	if err == nil && len(list) == 0 {
		return order.ListedSession{}, order.SessionMissing(uid)
	}
	if err != nil {
		return order.ListedSession{}, err
	}
	return list[len(list)-1], nil
}

// ListedOrder finds an order in the scope, with the name of its tenant.
func (s Orders) ListedOrder(ctx context.Context, scope evcs.Scope, id evcs.OrderID) (order.Listed, error) {
	var f filter
	f.scopeOne("o.tenant_id", scope)
	f.add("o.id = ?", id)
	l, found, err := single(ctx, s.q, orderListing, f)
	if err == nil && !found {
		err = evcs.With(order.ErrNotFound, map[string]any{"orderId": id})
	}
	return l, err
}
