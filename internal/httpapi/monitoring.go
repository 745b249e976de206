package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// AlertQuery is what a list of alerts is narrowed by.
type AlertQuery struct {
	Rules, Severities, Statuses, Sources []string
	Station                              evcs.StationID
	Charger                              evcs.ChargerID
	From, To                             time.Time
	Host                                 bool // with the alerts of the host itself
}

// AlertCount is how many alerts of one rule, severity and status there are.
type AlertCount struct {
	Rule, Severity, Status            string
	N                                 int64
	Acknowledged, MillisToAcknowledge int64
	Resolved, MillisToResolve         int64
}

// AlertReader reads alerts.
type AlertReader interface {
	AlertPage(ctx context.Context, scope evcs.Scope, q AlertQuery, r evcs.PageRequest) (evcs.Page[alarm.Alert], error)
	Alert(ctx context.Context, scope evcs.Scope, id evcs.AlertID) (*alarm.Alert, error)
	AlertSteps(ctx context.Context, scope evcs.Scope, id evcs.AlertID) ([]alarm.Step, error)
	CountAlerts(ctx context.Context, scope evcs.Scope, q AlertQuery) ([]AlertCount, error)
	// Notices are the notices of an alert on the channels of a scope.
	Notices(ctx context.Context, scope evcs.Scope, id evcs.AlertID) ([]alarm.Notice, error)
}

// Monitoring are the operations of alerts.
type Monitoring struct {
	Read     AlertReader
	Transact func(ctx context.Context, fn func(alarm.Store, tenant.Trail) error) error
	Clock    evcs.Clock

	s *Server
}

// AlertPath names an alert.
type AlertPath struct {
	ID evcs.AlertID `path:"id"`
}

type alertFilter struct {
	Paging
	Type     []string            `query:"alertType"`
	Severity []string            `query:"severity" enum:"CRITICAL,HIGH,MEDIUM,LOW"`
	Status   []string            `query:"status" enum:"ACTIVE,ACKNOWLEDGED,RESOLVED"`
	Source   []string            `query:"source"`
	Station  Opt[evcs.StationID] `query:"stationId" minimum:"1"`
	Charger  Opt[evcs.ChargerID] `query:"chargerId" minimum:"1"`
	From     Opt[api.Time]       `query:"startTime"`
	To       Opt[api.Time]       `query:"endTime"`
}

type alertDays struct {
	Target
	From Opt[api.Date] `query:"startDate" doc:"Default: six days ago"`
	To   Opt[api.Date] `query:"endDate" doc:"Default: today"`
}

type acknowledgeAlert struct {
	AlertPath
	Body api.Note
}

type resolveAlert struct {
	AlertPath
	Body api.ResolveAlert
}

const (
	monitoringPath   = "/api/monitoring/"
	monitoringV1Path = "/api/v1/monitoring/"
)

func (m Monitoring) register(s *Server) {
	m.s = s
	op := func(id, method, rest string, perm evcs.Permission, summary string, errs ...evcs.Code) operation {
		return operation{
			ID: id, Method: method, Path: monitoringPath + rest, Aliases: []string{monitoringV1Path + rest}, Group: "monitoring",
			Permission: perm, Summary: summary, WideByDefault: true, Errors: errs,
		}
	}
	list := op("listAlerts", http.MethodGet, "alerts", "monitoring:view", "Alerts")
	list.Sorts = []string{"alertId", "lastTime", "severity", "createTime"}
	registerPages(s, list, m.list)
	register(s, op("alertStatistics", http.MethodGet, "alerts/statistics", "monitoring:view", "Counts of the alerts created in some days", evcs.CodeTenantNotFound), m.statistics)
	register(s, op("getAlert", http.MethodGet, "alerts/{id}", "monitoring:view", "One alert with its history", evcs.CodeAlertNotFound), m.get)
	register(s, op("acknowledgeAlert", http.MethodPost, "alerts/{id}/acknowledge", "monitoring:alert", "Somebody takes care", evcs.CodeAlertNotFound, evcs.CodeAlertState), m.acknowledge)
	register(s, op("resolveAlert", http.MethodPost, "alerts/{id}/resolve", "monitoring:alert", "The alert is over", evcs.CodeAlertNotFound), m.resolve)
}

func (m Monitoring) list(ctx context.Context, a *evcs.Actor, in *alertFilter, page evcs.PageRequest) (evcs.Page[api.Alert], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Alert]{}, err
	}
	found, err := m.Read.AlertPage(ctx, scope, AlertQuery{
		Rules: in.Type, Severities: in.Severity, Statuses: in.Status, Sources: in.Source, Station: in.Station.Value,
		Charger: in.Charger.Value, From: in.From.Value.Std(), To: in.To.Value.Std(), Host: a.May("monitoring:system"),
	}, page)
	return pageOf(found, alertWords(ctx)), err
}

func (m Monitoring) statistics(ctx context.Context, a *evcs.Actor, in *alertDays) (*api.AlertStatistics, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	days, err := daysOf(a, m.Clock.Now(), in.From, in.To, 7)
	if err != nil {
		return nil, err
	}
	counts, err := m.Read.CountAlerts(ctx, scope, AlertQuery{From: days.from, To: days.to, Host: a.May("monitoring:system")})
	if err != nil {
		return nil, err
	}
	stats := alertStatistics(counts)
	return &stats, nil
}

func alertStatistics(counts []AlertCount) api.AlertStatistics {
	s := api.AlertStatistics{AlertsByType: map[string]int64{}, AlertsBySeverity: map[string]int64{}}
	var sum AlertCount
	for _, c := range counts {
		s.TotalAlerts += c.N
		s.AlertsByType[c.Rule] += c.N
		s.AlertsBySeverity[c.Severity] += c.N
		switch alarm.Status(c.Status) {
		case alarm.Active:
			s.ActiveAlerts += c.N
		case alarm.Acknowledged:
			s.AcknowledgedAlerts += c.N
		case alarm.Resolved:
			s.ResolvedAlerts += c.N
		}
		sum.Acknowledged += c.Acknowledged
		sum.MillisToAcknowledge += c.MillisToAcknowledge
		sum.Resolved += c.Resolved
		sum.MillisToResolve += c.MillisToResolve
	}
	s.CriticalAlerts, s.HighAlerts = s.AlertsBySeverity[api.SeverityCritical], s.AlertsBySeverity[api.SeverityHigh]
	s.MediumAlerts, s.LowAlerts = s.AlertsBySeverity[api.SeverityMedium], s.AlertsBySeverity[api.SeverityLow]
	if sum.Acknowledged > 0 {
		s.MeanSecondsToAcknowledge = api.Ptr(sum.MillisToAcknowledge / sum.Acknowledged / 1000)
	}
	if sum.Resolved > 0 {
		s.MeanSecondsToResolve = api.Ptr(sum.MillisToResolve / sum.Resolved / 1000)
	}
	return s
}

func (m Monitoring) find(ctx context.Context, a *evcs.Actor, id evcs.AlertID, needed evcs.Permission) (*alarm.Alert, error) {
	found, err := m.Read.Alert(ctx, evcs.Subtree(a.Tenant), id)
	if errors.Is(err, alarm.ErrNotFound) && a.May("monitoring:system") {
		return m.Read.Alert(ctx, evcs.Only(0), id) // of the host
	}
	if err != nil {
		return nil, err
	}
	return found, m.s.reach(ctx, a, found.Tenant, needed)
}

func (m Monitoring) get(ctx context.Context, a *evcs.Actor, in *AlertPath) (*api.AlertDetail, error) {
	found, err := m.find(ctx, a, in.ID, readDescendants)
	if err != nil {
		return nil, err
	}
	steps, err := m.Read.AlertSteps(ctx, evcs.Only(found.Tenant), in.ID)
	if err != nil {
		return nil, err
	}
	notices, err := m.Read.Notices(ctx, evcs.Subtree(a.Tenant), in.ID)
	if err != nil {
		return nil, err
	}
	return &api.AlertDetail{Alert: alertWords(ctx)(*found), History: listOf(steps, worded(ctx, stepJSON)), Deliveries: noticesJSON(notices, inEnglish(ctx))}, nil
}

// noticesJSON are the attempts to tell: what waits for its first, or was muted,
// has been no delivery.
func noticesJSON(list []alarm.Notice, english bool) []api.AlertDelivery {
	out := []api.AlertDelivery{}
	for _, n := range list {
		if n.Attempts > 0 {
			out = append(out, api.AlertDelivery{
				ChannelID: int64(n.Channel), Time: api.At(n.Ended), OK: n.State == alarm.NoticeSent, Error: remark(n.LastError, english),
			})
		}
	}
	return out
}

func (m Monitoring) acknowledge(ctx context.Context, a *evcs.Actor, in *acknowledgeAlert) (*api.Alert, error) {
	note := ""
	if in.Body.Note != nil {
		note = *in.Body.Note
	}
	return m.change(ctx, a, in.ID, tenant.AlertAcknowledge, note, func(s alarm.Store, alert *alarm.Alert) error {
		return alarm.Acknowledge(ctx, s, a, alert, note, m.Clock.Now())
	})
}

func (m Monitoring) resolve(ctx context.Context, a *evcs.Actor, in *resolveAlert) (*api.Alert, error) {
	return m.change(ctx, a, in.ID, tenant.AlertResolve, in.Body.Resolution, func(s alarm.Store, alert *alarm.Alert) error {
		return alarm.Resolve(ctx, s, a, alert, in.Body.Resolution, m.Clock.Now())
	})
}

func (m Monitoring) change(ctx context.Context, a *evcs.Actor, id evcs.AlertID, action tenant.Action, words string, verb func(alarm.Store, *alarm.Alert) error) (*api.Alert, error) {
	found, err := m.find(ctx, a, id, writeDescendants)
	if err != nil {
		return nil, err
	}
	var changed api.Alert
	err = m.Transact(ctx, func(s alarm.Store, trail tenant.Trail) error {
		alert, err := s.Alert(ctx, evcs.Only(found.Tenant), id)
		if err != nil {
			return err
		}
		before := alert.Version
		if err := verb(s, alert); err != nil {
			return err
		}
		changed = alertWords(ctx)(*alert)
		if alert.Version == before {
			return nil // a repeat
		}
		target := alert.Tenant
		if target == 0 {
			target = a.Tenant // the host's own
		}
		return tenant.Audit(ctx, trail, a, tenant.AuditRow{
			At: m.Clock.Now(), Action: action, Target: target, TargetType: tenant.KindAlert, TargetID: strconv.FormatInt(int64(id), 10), Success: true,
			Details: map[string]any{"alertType": string(alert.Rule), "words": words},
		})
	})
	if err != nil {
		return nil, err
	}
	return &changed, nil
}

// alertWords is alertJSON in the language asked.
func alertWords(ctx context.Context) func(alarm.Alert) api.Alert { return worded(ctx, alertJSON) }

func alertJSON(a alarm.Alert, english bool) api.Alert {
	out := api.Alert{
		AlertID: int64(a.ID), TenantID: idOrNil(a.Tenant), AlertType: string(a.Rule), Severity: string(a.Severity), Title: a.Title,
		Message: evcs.Worded(a.Message, english), Source: a.Source, Status: string(a.Status), TargetType: textOrNil(a.Target.Type),
		StationID: idOrNil(a.Station), ChargerID: idOrNil(a.Charger), Occurrences: a.Occurrences,
		FirstTime: api.At(a.First), LastTime: api.At(a.Last), CreateTime: api.At(a.Created), UpdateTime: api.At(a.Updated),
		AcknowledgedTime: api.AtOrNil(a.AcknowledgedAt), AcknowledgedBy: idOrNil(a.AcknowledgedBy),
		ResolvedTime: api.AtOrNil(a.ResolvedAt), ResolvedBy: idOrNil(a.ResolvedBy), Resolution: a.Resolution,
		AutoResolved: a.Automatic, Version: a.Version,
	}
	if title := alarm.TitleOf(a.Rule); english && a.Title == title.ZH {
		out.Title = title.EN
	}
	if n, err := strconv.ParseInt(a.Target.ID, 10, 64); err == nil {
		out.TargetID = &n
	}
	if a.Value != nil {
		out.Value = api.Ptr(api.Measure(*a.Value))
	}
	if a.Threshold != nil {
		out.Threshold = api.Ptr(api.Measure(*a.Threshold))
	}
	return out
}

func stepJSON(s alarm.Step, english bool) api.AlertStep {
	step := api.AlertStep{Time: api.At(s.At), Event: s.Event, Note: sentence(s.Note, english)}
	if n, err := strconv.ParseInt(s.By, 10, 64); err == nil {
		step.By, step.Note = &n, textOrNil(s.Note) // a person's own words
	}
	return step
}

// days is a range of whole days in a tenant's zone, half open.
type days struct{ from, to time.Time }

// daysOf reads a range of dates that includes both ends; without one the last n
// days.
func daysOf(a *evcs.Actor, now time.Time, from, to Opt[api.Date], n int) (days, error) {
	zone := zoneOf(a)
	today := now.In(zone)
	last := time.Date(today.Year(), today.Month(), today.Day(), 0, 0, 0, 0, zone)
	if to.Set {
		last = to.Value.In(zone)
	}
	first := last.AddDate(0, 0, 1-n)
	if from.Set {
		first = from.Value.In(zone)
	}
	if first.After(last) {
		return days{}, evcs.Invalid(evcs.FieldFault{Field: "endDate", Message: "must not be before startDate"})
	}
	return days{first.UTC(), last.AddDate(0, 0, 1).UTC()}, nil
}

func zoneOf(a *evcs.Actor) *time.Location {
	if a != nil && a.Zone != nil {
		return a.Zone
	}
	loc, err := evcs.Zone(evcs.DefaultTimeZone)
	if err != nil {
		return time.UTC
	}
	return loc
}
