package store

import (
	"context"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
)

// Alarms keeps alerts. It implements alarm.Store.
type Alarms struct {
	q  querier
	tx *Tx // nil for readers
}

// Alarms are the alerts as this transaction sees and changes them.
func (tx *Tx) Alarms() alarm.Store { return Alarms{tx.q, tx} }

// Alarms are the committed alerts.
func (r Reader) Alarms() Alarms { return Alarms{q: r.q} }

const alertColumns = `a.id, a.tenant_id, a.rule, a.severity, a.title, a.message, a.source, a.status, a.target_type, a.target_id,
	a.station_id, a.charger_id, a.value, a.threshold, a.occurrences, a.first_at, a.last_at, a.acknowledged_at, a.acknowledged_by,
	a.resolved_at, a.resolved_by, a.resolution, a.automatic, a.created_at, a.updated_at, a.version`

func scanAlert(r row) (alarm.Alert, error) {
	var a alarm.Alert
	var first, last, acknowledged, resolved, created, updated int64
	err := r.Scan(&a.ID, &a.Tenant, &a.Rule, &a.Severity, &a.Title, &a.Message, &a.Source, &a.Status, &a.Target.Type, &a.Target.ID,
		&a.Station, &a.Charger, &a.Value, &a.Threshold, &a.Occurrences, &first, &last, &acknowledged, &a.AcknowledgedBy,
		&resolved, &a.ResolvedBy, &a.Resolution, &a.Automatic, &created, &updated, &a.Version)
	a.First, a.Last, a.Created, a.Updated = evcs.FromMillis(first), evcs.FromMillis(last), evcs.FromMillis(created), evcs.FromMillis(updated)
	a.AcknowledgedAt, a.ResolvedAt = evcs.FromMillis(acknowledged), evcs.FromMillis(resolved)
	return a, err
}

func (s Alarms) one(ctx context.Context, f filter) (*alarm.Alert, error) {
	found, err := all(ctx, s.q, alertListing, f)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, alarm.ErrNotFound
	}
	return &found[0], nil
}

// OpenAlert implements alarm.Store.
func (s Alarms) OpenAlert(ctx context.Context, scope evcs.Scope, rule alarm.Rule, target alarm.Target) (*alarm.Alert, error) {
	var f filter
	f.scope("a.tenant_id", scope)
	f.add("a.rule = ?", rule)
	f.add("a.target_type = ?", target.Type)
	f.add("a.target_id = ?", target.ID)
	f.add("a.status <> 'RESOLVED'")
	return s.one(ctx, f)
}

// Alert implements alarm.Store.
func (s Alarms) Alert(ctx context.Context, scope evcs.Scope, id evcs.AlertID) (*alarm.Alert, error) {
	var f filter
	f.scope("a.tenant_id", scope)
	f.add("a.id = ?", id)
	return s.one(ctx, f)
}

// InsertAlert implements alarm.Store.
func (s Alarms) InsertAlert(ctx context.Context, a *alarm.Alert) error {
	a.Version = 1
	id, err := s.q.insertID(ctx, "insert alert", `
		INSERT INTO alerts (tenant_id, rule, severity, title, message, source, status, target_type, target_id, station_id, charger_id,
			value, threshold, occurrences, first_at, last_at, acknowledged_at, acknowledged_by, resolved_at, resolved_by, resolution,
			automatic, created_at, updated_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0, 0, NULL, ?, ?, ?, 1) RETURNING id`,
		a.Tenant, a.Rule, a.Severity, a.Title, a.Message, a.Source, a.Status, a.Target.Type, a.Target.ID, a.Station, a.Charger,
		a.Value, a.Threshold, a.Occurrences, evcs.Millis(a.First), evcs.Millis(a.Last), false, evcs.Millis(a.Created), evcs.Millis(a.Updated))
	a.ID = evcs.AlertID(id)
	return err
}

// UpdateAlert implements alarm.Store.
func (s Alarms) UpdateAlert(ctx context.Context, scope evcs.Scope, a *alarm.Alert) error {
	in, tenant := scopeCond("tenant_id", scope)
	err := s.q.swap(ctx, "update alert", `
		UPDATE alerts SET severity = ?, message = ?, status = ?, occurrences = ?, last_at = ?, acknowledged_at = ?, acknowledged_by = ?,
			resolved_at = ?, resolved_by = ?, resolution = ?, automatic = ?, updated_at = ?, version = version + 1
		WHERE id = ? AND version = ? AND `+in,
		a.Severity, a.Message, a.Status, a.Occurrences, evcs.Millis(a.Last), evcs.Millis(a.AcknowledgedAt), a.AcknowledgedBy,
		evcs.Millis(a.ResolvedAt), a.ResolvedBy, a.Resolution, a.Automatic, evcs.Millis(a.Updated), a.ID, a.Version, tenant)
	if err == nil {
		a.Version++
	}
	return err
}

// AddStep implements alarm.Store.
func (s Alarms) AddStep(ctx context.Context, a *alarm.Alert, step alarm.Step) error {
	_, err := s.q.exec(ctx, "add alert step", `INSERT INTO alert_history (tenant_id, alert_id, at, event, by_whom, note) VALUES (?, ?, ?, ?, ?, ?)`,
		a.Tenant, a.ID, evcs.Millis(step.At), step.Event, step.By, step.Note)
	return err
}

// Emit implements alarm.Store.
func (s Alarms) Emit(ctx context.Context, e evcs.Event) error { return s.tx.Emit(ctx, e) }
