// Package alarm keeps what wants a person. One alert per rule, tenant and
// target is open at a time: a condition that holds again raises its count, a
// cure or a person ends it, and what is ended stays ended.
package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Severity is how much an alert matters.
type Severity string

// The severities, worst first.
const (
	Critical Severity = "CRITICAL"
	High     Severity = "HIGH"
	Medium   Severity = "MEDIUM"
	Low      Severity = "LOW"
)

// Weight orders severities: Critical is 4, Low 1, an unknown one 0.
func (s Severity) Weight() int {
	switch s {
	case Critical:
		return 4
	case High:
		return 3
	case Medium:
		return 2
	case Low:
		return 1
	}
	return 0
}

// Status is where an alert stands.
type Status string

// The life of an alert; Resolved is final.
const (
	Active       Status = "ACTIVE"
	Acknowledged Status = "ACKNOWLEDGED"
	Resolved     Status = "RESOLVED"
)

// Target is what an alert is about.
type Target struct {
	Type string // CHARGER, SESSION, ORDER, PAYMENT, BATCH, DIFFERENCE, DEVICE, USER, ...
	ID   string // a number, or a name such as a device id
}

// OfCharger is a charger as a target.
func OfCharger(id evcs.ChargerID) Target { return Target{"CHARGER", strconv.FormatInt(int64(id), 10)} }

// OfNumber is a target named by a number.
func OfNumber(kind string, id int64) Target { return Target{kind, strconv.FormatInt(id, 10)} }

// Alert is a condition that wants a person.
type Alert struct {
	ID        evcs.AlertID
	Tenant    evcs.TenantID // zero: the host
	Rule      Rule
	Severity  Severity // empty: the rule's own
	Title     string   // empty: the rule's own
	Message   string
	Source    string
	Status    Status
	Target    Target
	Station   evcs.StationID
	Charger   evcs.ChargerID
	Value     *evcs.Milli
	Threshold *evcs.Milli

	Occurrences    int64
	First, Last    time.Time
	AcknowledgedAt time.Time
	AcknowledgedBy evcs.UserID
	ResolvedAt     time.Time
	ResolvedBy     evcs.UserID
	Resolution     *string
	Automatic      bool
	Created        time.Time
	Updated        time.Time
	Version        int64
}

// Step is one step of an alert's history.
type Step struct {
	At    time.Time
	Event string // RAISED, REPEATED, ACKNOWLEDGED, RESOLVED
	By    string // a user id, or "" for the platform itself
	Note  string
}

// The refusals.
var (
	ErrNotFound = evcs.NewError(evcs.CodeAlertNotFound, "no such alert")
	ErrResolved = evcs.NewError(evcs.CodeAlertState, "the alert is resolved")
)

// Store keeps alerts; store.Tx.Alarms implements it.
type Store interface {
	// OpenAlert is the alert of a rule and target that is not resolved;
	// ErrNotFound when there is none.
	OpenAlert(ctx context.Context, scope evcs.Scope, rule Rule, target Target) (*Alert, error)
	Alert(ctx context.Context, scope evcs.Scope, id evcs.AlertID) (*Alert, error)
	InsertAlert(ctx context.Context, a *Alert) error
	// UpdateAlert compares the version and increments it.
	UpdateAlert(ctx context.Context, scope evcs.Scope, a *Alert) error
	AddStep(ctx context.Context, a *Alert, s Step) error
	// Override is what the tenant has set of a built-in rule; ErrRuleNotFound
	// when it has set nothing.
	Override(ctx context.Context, scope evcs.Scope, builtIn evcs.RuleID) (*Setting, error)
	Emit(ctx context.Context, e evcs.Event) error
}

// Raise opens an alert, or counts one more occurrence of the one that is open.
// at is when the condition was seen.
func Raise(ctx context.Context, s Store, a Alert, at time.Time) error {
	open, err := s.OpenAlert(ctx, evcs.Only(a.Tenant), a.Rule, a.Target)
	if errors.Is(err, ErrNotFound) {
		return begin(ctx, s, a, at)
	}
	if err != nil {
		return err
	}
	open.Occurrences++
	open.Last, open.Updated = at, at
	if a.Message != "" {
		open.Message = a.Message
	}
	if a.Value != nil {
		open.Value = a.Value
	}
	if a.Severity.Weight() > open.Severity.Weight() {
		open.Severity = a.Severity
	}
	if err := s.UpdateAlert(ctx, evcs.Only(a.Tenant), open); err != nil {
		return err
	}
	return emit(ctx, s, evcs.EventAlertUpdated, open, at)
}

// settle completes an alert from its rule, as the tenant has set it, and
// reports whether the rule is on.
func (a *Alert) settle(ctx context.Context, s Store) (bool, error) {
	row, known := Built(a.Rule)
	if known {
		own, err := s.Override(ctx, evcs.Only(a.Tenant), row.ID)
		switch {
		case errors.Is(err, ErrRuleNotFound):
		case err != nil:
			return false, err
		case !own.Enabled:
			return false, nil
		case own.Severity != "":
			a.Severity = own.Severity
		}
	}
	if a.Severity == "" {
		a.Severity = row.Severity
	}
	if a.Title == "" {
		a.Title = TitleOf(a.Rule).ZH
	}
	if a.Source == "" {
		a.Source = row.Source
	}
	if !known {
		a.Source = "CUSTOM"
	}
	return true, nil
}

func begin(ctx context.Context, s Store, a Alert, at time.Time) error {
	on, err := a.settle(ctx, s)
	if err != nil || !on {
		return err
	}
	a.Status, a.Occurrences = Active, 1
	a.First, a.Last, a.Created, a.Updated = at, at, at, at
	if err := s.InsertAlert(ctx, &a); err != nil {
		return err
	}
	if err := s.AddStep(ctx, &a, Step{At: at, Event: "RAISED", Note: a.Message}); err != nil {
		return err
	}
	return emit(ctx, s, evcs.EventAlertRaised, &a, at)
}

// Cure ends the open alert of a rule and target by itself; none is no fault.
// by says what cured it.
func Cure(ctx context.Context, s Store, rule Rule, tenant evcs.TenantID, target Target, by string, at time.Time) error {
	a, err := s.OpenAlert(ctx, evcs.Only(tenant), rule, target)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	a.Automatic = true
	return a.end(ctx, s, "AUTO", Step{At: at, Event: "RESOLVED", Note: by})
}

// Acknowledge says that somebody takes care. A repeat changes nothing.
func Acknowledge(ctx context.Context, s Store, who *evcs.Actor, a *Alert, note string, at time.Time) error {
	switch a.Status {
	case Acknowledged:
		return nil
	case Resolved:
		return evcs.With(ErrResolved, map[string]any{"alertId": a.ID, "status": string(a.Status)})
	case Active:
	}
	a.Status, a.AcknowledgedAt, a.AcknowledgedBy, a.Updated = Acknowledged, at, who.User, at
	if err := s.UpdateAlert(ctx, evcs.Only(a.Tenant), a); err != nil {
		return err
	}
	if err := s.AddStep(ctx, a, Step{At: at, Event: "ACKNOWLEDGED", By: name(who), Note: note}); err != nil {
		return err
	}
	return emit(ctx, s, evcs.EventAlertUpdated, a, at)
}

// Resolve ends an alert by a person. A repeat changes nothing.
func Resolve(ctx context.Context, s Store, who *evcs.Actor, a *Alert, resolution string, at time.Time) error {
	if a.Status == Resolved {
		return nil
	}
	a.ResolvedBy = who.User
	return a.end(ctx, s, resolution, Step{At: at, Event: "RESOLVED", By: name(who), Note: resolution})
}

func (a *Alert) end(ctx context.Context, s Store, resolution string, step Step) error {
	a.Status, a.ResolvedAt, a.Updated, a.Resolution = Resolved, step.At, step.At, &resolution
	if err := s.UpdateAlert(ctx, evcs.Only(a.Tenant), a); err != nil {
		return err
	}
	if err := s.AddStep(ctx, a, step); err != nil {
		return err
	}
	return emit(ctx, s, evcs.EventAlertUpdated, a, step.At)
}

func name(who *evcs.Actor) string { return strconv.FormatInt(int64(who.User), 10) }

func emit(ctx context.Context, s Store, kind string, a *Alert, at time.Time) error {
	data, err := json.Marshal(map[string]any{
		"alertId": a.ID, "alertType": a.Rule, "severity": a.Severity, "status": a.Status, "title": a.Title,
		"message": a.Message, "targetType": a.Target.Type, "targetId": a.Target.ID, "occurrences": a.Occurrences,
	})
	if err != nil {
		return fmt.Errorf("write alert event: %w", err)
	}
	return s.Emit(ctx, evcs.Event{Type: kind, Time: at, Tenant: a.Tenant, Station: a.Station, Charger: a.Charger, Data: data})
}
