package daemon

import (
	"context"
	"errors"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/httpapi"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/tenant"
)

// The store knows none of those who use it, so their small interfaces are
// filled here.

// tree answers httpapi.Tree.
type tree struct{ db *store.DB }

// Below implements httpapi.Tree.
func (t tree) Below(ctx context.Context, under, other evcs.TenantID) (bool, error) {
	_, err := t.db.Reader().Tenants().Tenant(ctx, evcs.Subtree(under), other)
	if errors.Is(err, tenant.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// events answers httpapi.EventReader.
type events struct{ db *store.DB }

// ReadEvents implements httpapi.EventReader.
func (e events) ReadEvents(ctx context.Context, scope evcs.Scope, types []string, station evcs.StationID, charger evcs.ChargerID, after evcs.EventID, n int) ([]evcs.Event, error) {
	return e.db.Reader().Events(ctx, scope, store.EventFilter{Types: types, Station: station, Charger: charger}, after, n)
}

// EventBounds implements httpapi.EventReader.
func (e events) EventBounds(ctx context.Context) (oldest, newest evcs.EventID, err error) {
	return e.db.Reader().EventBounds(ctx)
}

// alerts answers httpapi.AlertReader.
type alerts struct {
	store.Alarms
	notices store.Notices
}

// Notices implements httpapi.AlertReader.
func (a alerts) Notices(ctx context.Context, scope evcs.Scope, id evcs.AlertID) ([]alarm.Notice, error) {
	return a.notices.OfAlert(ctx, scope, id)
}

func alertFilter(q httpapi.AlertQuery) store.AlertFilter {
	return store.AlertFilter{
		Rules: q.Rules, Severities: q.Severities, Statuses: q.Statuses, Sources: q.Sources, Station: q.Station, Charger: q.Charger,
		From: evcs.Millis(q.From), To: evcs.Millis(q.To), Host: q.Host,
	}
}

// AlertPage implements httpapi.AlertReader.
func (a alerts) AlertPage(ctx context.Context, scope evcs.Scope, q httpapi.AlertQuery, r evcs.PageRequest) (evcs.Page[alarm.Alert], error) {
	return a.Alarms.AlertPage(ctx, scope, alertFilter(q), r)
}

// CountAlerts implements httpapi.AlertReader.
func (a alerts) CountAlerts(ctx context.Context, scope evcs.Scope, q httpapi.AlertQuery) ([]httpapi.AlertCount, error) {
	found, err := a.Alarms.CountAlerts(ctx, scope, alertFilter(q))
	counts := make([]httpapi.AlertCount, len(found))
	for i, c := range found {
		counts[i] = httpapi.AlertCount(c)
	}
	return counts, err
}
