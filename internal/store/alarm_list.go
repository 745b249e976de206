package store

import (
	"context"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
)

var alertListing = listing[alarm.Alert]{
	what: "list alerts", columns: alertColumns, from: "alerts a", id: "a.id",
	scan: scanAlert,
	sorts: map[string]sortColumn{
		"alertId": {expr: "a.id"}, "createTime": {expr: "a.created_at"}, "lastTime": {expr: "a.last_at"},
		"severity": {expr: "CASE a.severity WHEN 'CRITICAL' THEN 4 WHEN 'HIGH' THEN 3 WHEN 'MEDIUM' THEN 2 ELSE 1 END"},
	},
}

// AlertFilter narrows a list of alerts; zero fields keep all. Times are
// milliseconds of creation.
type AlertFilter struct {
	Rules, Severities, Statuses, Sources []string
	Station                              evcs.StationID
	Charger                              evcs.ChargerID
	From, To                             int64
	// Host includes alerts of the host itself.
	Host bool
}

func (w AlertFilter) filter(scope evcs.Scope) filter {
	var f filter
	in, tenant := scopeCond("a.tenant_id", scope)
	if w.Host {
		in = `(` + in + ` OR a.tenant_id = 0)`
	}
	f.add(in, tenant)
	among(&f, "a.rule", w.Rules)
	among(&f, "a.severity", w.Severities)
	among(&f, "a.status", w.Statuses)
	among(&f, "a.source", w.Sources)
	if w.Station != 0 {
		f.add("a.station_id = ?", w.Station)
	}
	if w.Charger != 0 {
		f.add("a.charger_id = ?", w.Charger)
	}
	f.within("a.created_at", w.From, w.To)
	return f
}

// AlertPage lists alerts.
func (s Alarms) AlertPage(ctx context.Context, scope evcs.Scope, w AlertFilter, r evcs.PageRequest) (evcs.Page[alarm.Alert], error) {
	return page(ctx, s.q, alertListing, w.filter(scope), r)
}

// AlertSteps is the history of an alert, oldest first.
func (s Alarms) AlertSteps(ctx context.Context, scope evcs.Scope, id evcs.AlertID) ([]alarm.Step, error) {
	in, tenant := scopeCond("a.tenant_id", scope)
	var list []alarm.Step
	err := s.q.rows(ctx, "read alert steps", func(rows row) error {
		var step alarm.Step
		var at int64
		err := rows.Scan(&at, &step.Event, &step.By, &step.Note)
		step.At = evcs.FromMillis(at)
		list = append(list, step)
		return err
	}, `SELECT h.at, h.event, h.by_whom, h.note FROM alert_history h JOIN alerts a ON a.id = h.alert_id
		WHERE a.id = ? AND (`+in+` OR a.tenant_id = 0) ORDER BY h.id LIMIT 1000`, id, tenant)
	return list, err
}

// AlertCount is how many alerts of one rule, severity and status there are and
// how long they took.
type AlertCount struct {
	Rule, Severity, Status            string
	N                                 int64
	Acknowledged, MillisToAcknowledge int64
	Resolved, MillisToResolve         int64
}

// CountAlerts counts the alerts that w keeps.
func (s Alarms) CountAlerts(ctx context.Context, scope evcs.Scope, w AlertFilter) ([]AlertCount, error) {
	f := w.filter(scope)
	var list []AlertCount
	err := s.q.rows(ctx, "count alerts", func(rows row) error {
		var c AlertCount
		err := rows.Scan(&c.Rule, &c.Severity, &c.Status, &c.N, &c.Acknowledged, &c.MillisToAcknowledge, &c.Resolved, &c.MillisToResolve)
		list = append(list, c)
		return err
	}, `SELECT a.rule, a.severity, a.status, COUNT(*),
			COUNT(*) FILTER (WHERE a.acknowledged_at > 0), CAST(COALESCE(SUM(a.acknowledged_at - a.created_at) FILTER (WHERE a.acknowledged_at > 0), 0) AS BIGINT),
			COUNT(*) FILTER (WHERE a.resolved_at > 0), CAST(COALESCE(SUM(a.resolved_at - a.created_at) FILTER (WHERE a.resolved_at > 0), 0) AS BIGINT)
		FROM alerts a`+f.where()+` GROUP BY a.rule, a.severity, a.status`, f.args...)
	return list, err
}
