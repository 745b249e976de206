package store

import (
	"context"
	"database/sql"
	"sync"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/tariff"
)

// Orders keeps orders and sessions.
type Orders struct{ q querier }

// Orders keeps orders and sessions in the transaction.
func (tx *Tx) Orders() order.Store { return Orders{tx.q} }

// Orders reads orders and sessions.
func (r Reader) Orders() Orders { return Orders(r) }

// orderColumns reads a running order's energy and duration from its session,
// which is always up to the last reading.
const orderColumns = `o.id, o.tenant_id, o.order_no, o.station_id, o.station_name, o.charger_id, o.charger_code, o.connector_no,
	o.session_id, o.session_uid, o.user_ref, o.user_name, o.id_tag, o.status, o.start_state, o.source, o.started_at, o.ended_at,
	CASE WHEN o.status = 0 THEN COALESCE((SELECT s.energy FROM sessions s WHERE s.id = o.session_id AND s.tenant_id = o.tenant_id), o.energy) ELSE o.energy END,
	CASE WHEN o.status = 0 THEN COALESCE((SELECT s.seconds FROM sessions s WHERE s.id = o.session_id AND s.tenant_id = o.tenant_id), o.seconds) ELSE o.seconds END,
	o.plan_id, o.snapshot_id, o.electricity_amount, o.service_amount, o.parking_amount, o.idle_amount, o.discount_amount, o.amount,
	o.paid_amount, o.refunded_amount, o.payment_id, o.trade_no, o.payment_method, o.paid_at, o.sandbox, o.stop_reason, o.cancel_reason,
	o.stop_requested_at, o.held, o.anomalies, o.estimated, o.created_at, o.updated_at, o.version, o.zone`

// orderRow is where a row of orderColumns is read to. Rows come and go by the
// thousand, so the places are used again; what was read is copied out of them.
type orderRow struct {
	order                                                            order.Order
	userName, idTag, tradeNo, method, stopReason, cancelReason, zone sql.NullString
	started, ended, paid, requested, created, updated                int64
	anomalies                                                        string
	places                                                           []any
}

var orderRows = sync.Pool{New: func() any {
	x := new(orderRow)
	o := &x.order
	x.places = []any{
		(*int64)(&o.ID), (*int64)(&o.Tenant), &o.No, (*int64)(&o.Station), &o.StationName, (*int64)(&o.Charger), &o.ChargerCode, &o.Connector,
		&o.SessionID, &o.Session, &o.User, &x.userName, &x.idTag, (*int)(&o.Status), (*string)(&o.StartState), (*string)(&o.Source), &x.started, &x.ended,
		(*int64)(&o.Energy), &o.Seconds,
		(*int64)(&o.Plan), (*int64)(&o.Snapshot), (*int64)(&o.ElectricityAmount), (*int64)(&o.ServiceAmount), (*int64)(&o.ParkingAmount),
		(*int64)(&o.IdleAmount), (*int64)(&o.DiscountAmount), (*int64)(&o.Amount),
		(*int64)(&o.PaidAmount), (*int64)(&o.RefundedAmount), (*int64)(&o.Payment), &x.tradeNo, &x.method, &x.paid, &o.Sandbox, &x.stopReason, &x.cancelReason,
		&x.requested, &o.Held, &x.anomalies, &o.Estimated, &x.created, &x.updated, &o.Version, &x.zone,
	}
	return x
}}

// scanOrder reads orderColumns and what follows them.
func scanOrder(r row, more ...any) (*order.Order, error) {
	x, _ := orderRows.Get().(*orderRow)
	own := len(x.places)
	defer func() {
		x.order = order.Order{} // a column that is not read, or keeps no text, leaves nothing to the next
		clear(x.places[own:])
		x.places = x.places[:own]
		orderRows.Put(x)
	}()
	x.places = append(x.places, more...)
	err := r.Scan(x.places...)
	o := x.order
	o.UserName, o.IDTag, o.TradeNo, o.PaymentMethod = x.userName.String, x.idTag.String, x.tradeNo.String, x.method.String
	o.StopReason, o.CancelReason, o.Zone = x.stopReason.String, x.cancelReason.String, x.zone.String
	o.StartedAt, o.EndedAt, o.PaidAt = evcs.FromMillis(x.started), evcs.FromMillis(x.ended), evcs.FromMillis(x.paid)
	o.StopRequestedAt, o.CreatedAt, o.UpdatedAt = evcs.FromMillis(x.requested), evcs.FromMillis(x.created), evcs.FromMillis(x.updated)
	o.Anomalies = order.ParseAnomalies(x.anomalies)
	return &o, err
}

// textOrNull is NULL for an empty text.
func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Order finds an order in the scope.
func (s Orders) Order(ctx context.Context, scope evcs.Scope, id evcs.OrderID) (*order.Order, error) {
	return s.oneOrder(ctx, scope, evcs.With(order.ErrNotFound, map[string]any{"orderId": id}), `o.id = ?`, id)
}

// OrderBySession finds the order of a session in the scope.
func (s Orders) OrderBySession(ctx context.Context, scope evcs.Scope, uid string) (*order.Order, error) {
	return s.oneOrder(ctx, scope, evcs.With(order.ErrNotFound, map[string]any{"sessionId": uid}), `o.session_uid = ?`, uid)
}

// OrderByNo finds an order by its number in the scope; the oldest when several
// tenants of the scope use the number.
func (s Orders) OrderByNo(ctx context.Context, scope evcs.Scope, no string) (*order.Order, error) {
	return s.oneOrder(ctx, scope, evcs.With(order.ErrNotFound, map[string]any{"orderNo": no}), `o.order_no = ?`, no)
}

func (s Orders) oneOrder(ctx context.Context, scope evcs.Scope, missing error, cond string, arg any) (*order.Order, error) {
	in, tenant := scopeCond("o.tenant_id", scope)
	var found *order.Order
	err := s.q.rows(ctx, "read order", func(rows row) (err error) {
		found, err = scanOrder(rows)
		return err
	}, `SELECT `+orderColumns+` FROM orders o WHERE `+cond+` AND `+in+` ORDER BY o.id LIMIT 1`, arg, tenant)
	if err == nil && found == nil {
		return nil, missing
	}
	return found, err
}

// InsertOrder gives the order its id.
func (s Orders) InsertOrder(ctx context.Context, o *order.Order) error {
	id, err := s.q.number(ctx, "insert order", sql.ErrNoRows, `
		INSERT INTO orders (tenant_id, order_no, station_id, station_name, charger_id, charger_code, connector_no, session_id, session_uid,
			user_ref, user_name, id_tag, status, start_state, source, started_at, ended_at, energy, seconds, plan_id, snapshot_id,
			electricity_amount, service_amount, parking_amount, idle_amount, discount_amount, amount, paid_amount, refunded_amount,
			payment_id, trade_no, payment_method, paid_at, sandbox, stop_reason, cancel_reason, stop_requested_at, held, anomalies,
			estimated, created_at, updated_at, version, zone)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
		whole(o.Tenant), words(o.No), whole(o.Station), words(o.StationName), whole(o.Charger), words(o.ChargerCode), whole(o.Connector),
		whole(o.SessionID), words(o.Session), whole(o.User), worded(o.UserName), worded(o.IDTag), whole(o.Status), words(o.StartState),
		words(o.Source), moment(o.StartedAt), moment(o.EndedAt), whole(o.Energy), whole(o.Seconds), whole(o.Plan), whole(o.Snapshot),
		whole(o.ElectricityAmount), whole(o.ServiceAmount), whole(o.ParkingAmount), whole(o.IdleAmount), whole(o.DiscountAmount), whole(o.Amount),
		whole(o.PaidAmount), whole(o.RefundedAmount), whole(o.Payment), worded(o.TradeNo), worded(o.PaymentMethod), moment(o.PaidAt),
		truth(o.Sandbox), worded(o.StopReason), worded(o.CancelReason), moment(o.StopRequestedAt), truth(o.Held), words(o.Anomalies.String()),
		truth(o.Estimated), moment(o.CreatedAt), moment(o.UpdatedAt), whole(1), worded(o.Zone))
	o.ID, o.Version = evcs.OrderID(id), 1
	return err
}

// UpdateOrder compares the version and counts it up. Every index of orders
// costs when one of its columns is named, moved or not, so columns that seldom
// move are first only compared.
func (s Orders) UpdateOrder(ctx context.Context, scope evcs.Scope, o *order.Order) error {
	moving := []cell{
		whole(o.SessionID), worded(o.UserName), worded(o.IDTag), words(o.StartState), moment(o.EndedAt), whole(o.Energy), whole(o.Seconds),
		whole(o.Plan), whole(o.Snapshot), whole(o.ElectricityAmount), whole(o.ServiceAmount), whole(o.ParkingAmount), whole(o.IdleAmount),
		whole(o.DiscountAmount), whole(o.Amount), whole(o.PaidAmount), whole(o.RefundedAmount), whole(o.Payment), worded(o.TradeNo),
		worded(o.PaymentMethod), truth(o.Sandbox), worded(o.StopReason), worded(o.CancelReason), moment(o.StopRequestedAt), truth(o.Held),
		words(o.Anomalies.String()), truth(o.Estimated), moment(o.UpdatedAt),
	}
	still := []cell{whole(o.ID), whole(o.Version), whole(scope.Tenant), whole(o.User), moment(o.StartedAt), moment(o.PaidAt)}
	unroll := func() (bool, error) { return s.q.unrollOrder(ctx, o.Tenant, o.ID, o.Version) }
	return moveRolled("update order", &o.Version, unroll, func() (n int64, err error) {
		if o.Status == order.Charging && !scope.Descendants {
			n, err = s.q.alter(ctx, "update order", `UPDATE orders SET `+orderSet+`
				WHERE id = ? AND version = ? AND NOT rolled AND tenant_id = ? AND user_ref = ? AND started_at = ? AND paid_at = ? AND status = 0`,
				append(moving[:len(moving):len(moving)], still...)...)
		} else if !scope.Descendants {
			n, err = s.q.alter(ctx, "update order", `UPDATE orders SET `+orderSet+`, status = ?
				WHERE id = ? AND version = ? AND NOT rolled AND tenant_id = ? AND user_ref = ? AND started_at = ? AND paid_at = ?`,
				append(append(moving[:len(moving):len(moving)], whole(o.Status)), still...)...)
		}
		if err != nil || n > 0 {
			return n, err
		}
		in, _ := scopeCond("tenant_id", scope)
		return s.q.alter(ctx, "update order", `UPDATE orders SET `+orderSet+`, status = ?, user_ref = ?, started_at = ?, paid_at = ?
			WHERE id = ? AND version = ? AND NOT rolled AND `+in, append(moving[:len(moving):len(moving)],
			whole(o.Status), whole(o.User), moment(o.StartedAt), moment(o.PaidAt), whole(o.ID), whole(o.Version), whole(scope.Tenant))...)
	})
}

const orderSet = `session_id = ?, user_name = ?, id_tag = ?, start_state = ?, ended_at = ?, energy = ?, seconds = ?, plan_id = ?, snapshot_id = ?,
	electricity_amount = ?, service_amount = ?, parking_amount = ?, idle_amount = ?, discount_amount = ?, amount = ?, paid_amount = ?,
	refunded_amount = ?, payment_id = ?, trade_no = ?, payment_method = ?, sandbox = ?, stop_reason = ?, cancel_reason = ?,
	stop_requested_at = ?, held = ?, anomalies = ?, estimated = ?, updated_at = ?, version = version + 1`

// Lines lists the lines of an order.
func (s Orders) Lines(ctx context.Context, scope evcs.Scope, id evcs.OrderID) ([]tariff.Line, error) {
	in, tenant := scopeCond("tenant_id", scope)
	var lines []tariff.Line
	err := s.q.rows(ctx, "read order lines", func(rows row) error {
		l, err := scanLine(rows)
		lines = append(lines, l)
		return err
	}, `SELECT kind, period_kind, from_at, to_at, energy, energy_price, service_price, minutes, minute_price,
			electricity_amount, service_amount, amount, reason
		FROM order_lines WHERE order_id = ? AND `+in+` ORDER BY line_no`, id, tenant)
	return lines, err
}

// SetLines replaces the lines of an order.
func (s Orders) SetLines(ctx context.Context, o *order.Order, lines []tariff.Line) error {
	if s.q.bulk.holds(bulkLines, int64(o.ID)) {
		if err := s.q.flush(ctx, 1<<bulkLines); err != nil {
			return err
		}
	}
	// Lines that wait are of other orders: they need not be written first.
	if _, err := s.q.execCells(ctx, "delete order lines", `DELETE FROM order_lines WHERE order_id = ? AND tenant_id = ?`,
		[]cell{whole(o.ID), whole(o.Tenant)}); err != nil {
		return err
	}
	for i, l := range lines {
		s.q.bulk.add(bulkLines, append([]cell{whole(o.ID), whole(i + 1), whole(o.Tenant)}, lineValues(l)...)...)
	}
	return nil
}

// Note adds a line to an order's timeline.
func (s Orders) Note(_ context.Context, e order.Entry) error {
	s.q.bulk.add(bulkTimeline, whole(e.Tenant), whole(e.Order), moment(e.At), words(e.Event), whole(e.From), whole(e.To), words(e.By), words(e.Detail))
	return nil
}

// Timeline lists what happened to an order, oldest first.
func (s Orders) Timeline(ctx context.Context, scope evcs.Scope, id evcs.OrderID) ([]order.Entry, error) {
	in, tenant := scopeCond("tenant_id", scope)
	var list []order.Entry
	err := s.q.rows(ctx, "read timeline", func(rows row) error {
		e := order.Entry{Order: id}
		var at int64
		err := rows.Scan(&e.Tenant, &at, &e.Event, &e.From, &e.To, &e.By, &e.Detail)
		e.At = evcs.FromMillis(at)
		list = append(list, e)
		return err
	}, `SELECT tenant_id, at, event, from_status, to_status, by_whom, detail FROM order_timeline WHERE order_id = ? AND `+in+` ORDER BY id`, id, tenant)
	return list, err
}

// NextNumber is the running number of a tenant's day, from 1.
func (s Orders) NextNumber(ctx context.Context, tenant evcs.TenantID, day string) (int64, error) {
	return s.q.number(ctx, "next order number", sql.ErrNoRows, `
		INSERT INTO order_numbers (tenant_id, day, next) VALUES (?, ?, 1)
		ON CONFLICT (tenant_id, day) DO UPDATE SET next = order_numbers.next + 1 RETURNING next`, whole(tenant), words(day))
}

// Unpaid is the oldest order of the driver that waits for money; zero when
// there is none.
func (s Orders) Unpaid(ctx context.Context, scope evcs.Scope, user int64) (evcs.OrderID, error) {
	in, tenant := scopeCond("tenant_id", scope)
	var id evcs.OrderID
	err := s.q.one(ctx, "look for unpaid orders", nil, []any{&id},
		`SELECT id FROM orders WHERE user_ref = ? AND status = 10 AND `+in+` ORDER BY id LIMIT 1`, user, tenant)
	return id, err
}
