package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/tenant"
)

// Gauges reads the metrics of alert rules that the store knows, for all
// tenants at once. It implements alarm.Gauges.
type Gauges struct{ q querier }

// Gauges are the metrics of the committed state.
func (r Reader) Gauges() Gauges { return Gauges(r) }

// Read implements alarm.Gauges; a metric that the store does not know has no
// readings.
func (s Gauges) Read(ctx context.Context, metric string, now time.Time) ([]alarm.Reading, error) {
	minutesAgo := func(n int) int64 { return evcs.Millis(now.Add(-time.Duration(n) * time.Minute)) }
	switch metric {
	case "order_failure_rate":
		return s.rates(ctx, startRates, minutesAgo(5))
	case "order_held_rate":
		return s.rates(ctx, heldRates, minutesAgo(26*60), minutesAgo(60))
	case "payment_failure_rate":
		return s.rates(ctx, paymentRates, minutesAgo(5), minutesAgo(5))
	case "charger_offline_rate":
		return s.rates(ctx, offlineRates)
	case "running_sessions":
		return s.counts(ctx, runningSessions)
	case "running_sessions_daytime":
		return s.daytime(ctx, now)
	case "held_orders":
		return s.counts(ctx, `SELECT tenant_id, COUNT(*), 0 FROM orders WHERE held GROUP BY tenant_id`)
	case "unpaid_orders":
		return s.counts(ctx, `SELECT t.id, (SELECT COUNT(*) FROM orders o WHERE o.tenant_id = t.id AND o.status = 10), 0 FROM tenants t WHERE t.deleted_at = 0`)
	case "orphan_sessions":
		return s.counts(ctx, `SELECT tenant_id, COUNT(*), 0 FROM sessions WHERE state = 'ORPHAN' GROUP BY tenant_id`)
	case "open_differences":
		return s.counts(ctx, `SELECT tenant_id, COUNT(*), 0 FROM recon_differences WHERE state = 'OPEN' GROUP BY tenant_id`)
	case "charging_without_session":
		return s.devices(ctx, stray)
	case "record_overdue":
		return s.devices(ctx, overdue)
	case "charger_offline_minutes":
		return s.devices(ctx, offlineMinutes, evcs.Millis(now))
	case "connector_temperature":
		return s.devices(ctx, temperatures, minutesAgo(10))
	case "suspense_rising_days":
		return s.suspense(ctx, now)
	case "clearing_age_days":
		return s.aged(ctx, ledger.Clearing, now)
	case "refund_clearing_age_days":
		return s.aged(ctx, ledger.RefundPayable, now)
	case "suspense_age_days":
		return s.aged(ctx, ledger.Suspense, now)
	case "quota_usage":
		return s.quotas(ctx)
	case "tenant_days_left":
		return s.daysLeft(ctx, now)
	case "webhook_undelivered":
		return s.undelivered(ctx, now)
	}
	return nil, nil
}

// Each gives a tenant, the part and the whole.
const (
	// Starts that are decided, by card or by request; adopted orders began
	// without one.
	startRates = `SELECT t.id, COUNT(*) FILTER (WHERE o.start_state = 'FAILED'), COUNT(*) FROM tenants t JOIN orders o ON o.tenant_id = t.id AND o.started_at >= ?
		WHERE o.start_state IN ('STARTED', 'FAILED') AND o.source <> 'ADOPTED' GROUP BY t.id`
	heldRates = `SELECT t.id, COUNT(*) FILTER (WHERE o.held), COUNT(*) FROM tenants t JOIN orders o ON o.tenant_id = t.id AND o.started_at >= ?
		WHERE o.ended_at >= ? AND o.status <> 2 GROUP BY t.id`
	paymentRates = `SELECT t.id, COUNT(*) FILTER (WHERE p.status = 3), COUNT(*) FROM tenants t JOIN payments p ON p.tenant_id = t.id AND p.updated_at >= ?
		WHERE p.status >= 2 AND (p.status = 3 OR p.paid_at >= ?) GROUP BY t.id`
	offlineRates = `SELECT tenant_id, COUNT(*) FILTER (WHERE status = 0), COUNT(*) FROM chargers WHERE deleted_at = 0 AND enabled GROUP BY tenant_id`
	// And with samples the enabled chargers.
	runningSessions = `SELECT c.tenant_id, (SELECT COUNT(*) FROM sessions s WHERE s.state IN ('ACTIVE', 'SUSPENDED') AND NOT s.rolled AND s.tenant_id = c.tenant_id), COUNT(*)
		FROM chargers c WHERE c.deleted_at = 0 AND c.enabled GROUP BY c.tenant_id`
)

// rates are percentages, with the whole as their samples.
func (s Gauges) rates(ctx context.Context, query string, args ...any) ([]alarm.Reading, error) {
	list, err := s.counts(ctx, query, args...)
	for i := range list {
		r := &list[i]
		if r.Samples > 0 {
			r.Value = r.Value * 100 / evcs.Milli(r.Samples)
		}
	}
	return list, err
}

// counts are whole numbers by tenant_id.
func (s Gauges) counts(ctx context.Context, query string, args ...any) ([]alarm.Reading, error) {
	var list []alarm.Reading
	err := s.q.rows(ctx, "read a metric", func(rows row) error {
		var r alarm.Reading
		var n int64
		err := rows.Scan(&r.Tenant, &n, &r.Samples)
		r.Value, r.Target = evcs.Milli(n*1000), alarm.OfTenant(r.Tenant)
		list = append(list, r)
		return err
	}, query, args...)
	return list, err
}

// daytime is runningSessions of the tenants whose clock shows 08:00 to 22:00.
func (s Gauges) daytime(ctx context.Context, now time.Time) ([]alarm.Reading, error) {
	all, err := s.counts(ctx, runningSessions)
	if err != nil {
		return nil, err
	}
	var list []alarm.Reading
	for _, r := range all {
		chain, err := tenantsOf(s.q).Chain(ctx, r.Tenant)
		if err != nil {
			return nil, err
		}
		if h := now.In(chain.Settings().Zone()).Hour(); h >= 8 && h < 22 && chain.Blocked(now) == nil {
			list = append(list, r)
		}
	}
	return list, nil
}

// Each gives tenant_id, station, charger, connector (0: the charger), thousandths,
// since and a name.
const (
	stray = `SELECT k.tenant_id, k.station_id, k.charger_id, k.no, 1000, k.updated_at, c.code FROM connectors k JOIN chargers c ON c.id = k.charger_id
		WHERE k.status = 2 AND k.session_id = 0 AND c.deleted_at = 0`
	overdue = `SELECT s.tenant_id, s.station_id, s.charger_id, s.connector_no, 1000, s.idle_since, c.code || ' ' || s.uid
		FROM sessions s JOIN chargers c ON c.id = s.charger_id WHERE s.state IN ('ACTIVE', 'SUSPENDED') AND s.idle_since > 0`
	offlineMinutes = `SELECT c.tenant_id, c.station_id, c.id, 0, (? - c.offline_since) / 60, c.offline_since, c.code FROM chargers c
		WHERE c.status = 0 AND c.deleted_at = 0 AND c.enabled AND c.offline_since > 0`
	temperatures = `SELECT k.tenant_id, k.station_id, k.charger_id, k.no, k.temperature, 0, c.code FROM connectors k JOIN chargers c ON c.id = k.charger_id
		WHERE k.temperature IS NOT NULL AND k.last_meter_at >= ? AND c.deleted_at = 0`
)

func (s Gauges) devices(ctx context.Context, query string, args ...any) ([]alarm.Reading, error) {
	var list []alarm.Reading
	err := s.q.rows(ctx, "read a metric of devices", func(rows row) error {
		var r alarm.Reading
		var no, since int64
		err := rows.Scan(&r.Tenant, &r.Station, &r.Charger, &no, &r.Value, &since, &r.Note)
		r.Since, r.Target = evcs.FromMillis(since), alarm.OfCharger(r.Charger)
		if no > 0 {
			r.Label = strconv.FormatInt(no, 10)
			r.Target = alarm.Target{Type: "CONNECTOR", ID: r.Target.ID + "/" + r.Label}
			r.Note += " #" + r.Label
		}
		list = append(list, r)
		return err
	}, query, args...)
	return list, err
}

// suspense counts for how many reconciled days in a row more waited in suspense
// than the day before, by tenant_id and channel.
func (s Gauges) suspense(ctx context.Context, now time.Time) ([]alarm.Reading, error) {
	type series struct {
		reading alarm.Reading
		newest  int64
		broken  bool
	}
	var order []string
	all := make(map[string]*series)
	err := s.q.rows(ctx, "read suspense", func(rows row) error {
		var t evcs.TenantID
		var channel, day, result string
		if err := rows.Scan(&t, &channel, &day, &result); err != nil {
			return err
		}
		var figures recon.Figures
		if err := json.Unmarshal([]byte(result), &figures); err != nil {
			return fmt.Errorf("figures of %s %s: %w", channel, day, err)
		}
		key := fmt.Sprintf("%d/%s", t, channel)
		x := all[key]
		switch {
		case x == nil:
			target := alarm.Target{Type: "CHANNEL", ID: channel}
			all[key] = &series{reading: alarm.Reading{Tenant: t, Target: target, Label: channel, Note: channel}, newest: figures.Counts.Suspense}
			order = append(order, key)
		case !x.broken && figures.Counts.Suspense < x.newest:
			x.reading.Value += 1000
			x.newest = figures.Counts.Suspense
		default:
			x.broken = true
		}
		return nil
	}, `SELECT tenant_id, channel, day, result FROM recon_batches WHERE day >= ? AND status IN ('SUCCESS', 'PARTIAL') ORDER BY tenant_id, channel, day DESC`,
		now.AddDate(0, 0, -10).Format(time.DateOnly))
	list := make([]alarm.Reading, 0, len(order))
	for _, key := range order {
		list = append(list, all[key].reading)
	}
	return list, err
}

// quotas are the limits that somebody has, in percent of their use.
func (s Gauges) quotas(ctx context.Context) ([]alarm.Reading, error) {
	tenants, err := tenantRows(ctx, s.q, "read limits", `SELECT `+tenantColumns+` FROM tenants t WHERE t.deleted_at = 0
		AND (t.max_users > 0 OR t.max_stations > 0 OR t.max_chargers > 0 OR t.max_children > 0 OR t.max_sessions > 0)`)
	if err != nil {
		return nil, err
	}
	var list []alarm.Reading
	for i := range tenants {
		t := &tenants[i]
		for _, kind := range tenant.Quotas() {
			limit := t.Limits.Of(kind)
			if limit == nil || *limit <= 0 {
				continue
			}
			used, err := tenantsOf(s.q).Usage(ctx, t.ID, kind)
			if err != nil {
				return nil, err
			}
			list = append(list, alarm.Reading{
				Tenant: t.ID, Target: alarm.Target{Type: "QUOTA", ID: string(kind)}, Label: string(kind), Value: evcs.Milli(used * 100_000 / *limit),
				Note: fmt.Sprintf("%s %d/%d", kind, used, *limit),
			})
		}
	}
	return list, nil
}

// daysLeft are the days until tenants expire.
func (s Gauges) daysLeft(ctx context.Context, now time.Time) ([]alarm.Reading, error) {
	var list []alarm.Reading
	err := s.q.rows(ctx, "read expiry", func(rows row) error {
		var r alarm.Reading
		var at int64
		err := rows.Scan(&r.Tenant, &at)
		r.Target, r.Value = alarm.OfTenant(r.Tenant), alarm.DaysUntil(evcs.FromMillis(at), now)
		r.Note = evcs.FromMillis(at).Format(time.RFC3339)
		list = append(list, r)
		return err
	}, `SELECT id AS tenant_id, expire_at FROM tenants WHERE deleted_at = 0 AND status = 1 AND expire_at > 0`)
	return list, err
}

// undelivered are the minutes that webhooks have been trying their next event.
func (s Gauges) undelivered(ctx context.Context, now time.Time) ([]alarm.Reading, error) {
	var list []alarm.Reading
	err := s.q.rows(ctx, "read undelivered events", func(rows row) error {
		var r alarm.Reading
		var id, first int64
		err := rows.Scan(&r.Tenant, &id, &r.Note, &first)
		r.Label = strconv.FormatInt(id, 10)
		r.Target = alarm.OfNumber("WEBHOOK", id)
		r.Value = evcs.Milli(now.Sub(evcs.FromMillis(first)).Milliseconds() / 60)
		list = append(list, r)
		return err
	}, `SELECT tenant_id, id, name, first_at FROM (SELECT w.tenant_id, w.id, w.name, COALESCE((SELECT d.first_at FROM webhook_deliveries d
		WHERE d.webhook_id = w.id AND d.state = 'PENDING' ORDER BY d.event_id, d.id LIMIT 1), 0) AS first_at
		FROM webhooks w WHERE w.enabled AND w.deleted_at = 0) x WHERE first_at > 0`)
	return list, err
}
