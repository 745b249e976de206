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

// Status is where an alert stands.
type Status string

// The life of an alert; Resolved is final.
const (
	Active       Status = "ACTIVE"
	Acknowledged Status = "ACKNOWLEDGED"
	Resolved     Status = "RESOLVED"
)

// Rule names what an alert is about.
type Rule string

// The built-in rules that are raised by events.
const (
	ChargerOffline           Rule = "ChargerOffline"
	ChargerFault             Rule = "ChargerFault"
	OrphanSession            Rule = "OrphanSession"
	EnergyImplausible        Rule = "EnergyImplausible"
	DuplicatePayment         Rule = "DuplicatePayment"
	LatePayment              Rule = "LatePayment"
	CallbackRejected         Rule = "CallbackRejected"
	ReconciliationFailed     Rule = "ReconciliationFailed"
	ReconciliationDifference Rule = "ReconciliationDifference"
	DeviceAuthFailure        Rule = "DeviceAuthFailure"
	DeviceFlapping           Rule = "DeviceFlapping"
	LoginLockout             Rule = "LoginLockout"
)

// ruleRow is what the table of contract §14.3 says of a rule.
type ruleRow struct {
	severity      Severity
	source, title string
}

// row looks a rule up; an unknown name is a rule of medium weight.
func (r Rule) row() ruleRow {
	switch r {
	case ChargerOffline:
		return ruleRow{Medium, "DEVICE", "充电桩离线"}
	case ChargerFault:
		return ruleRow{High, "DEVICE", "充电桩故障"}
	case DeviceAuthFailure:
		return ruleRow{High, "DEVICE", "设备鉴权连续失败"}
	case DeviceFlapping:
		return ruleRow{High, "DEVICE", "设备频繁重连"}
	case OrphanSession:
		return ruleRow{High, "ORDER", "孤立充电会话"}
	case EnergyImplausible:
		return ruleRow{High, "ORDER", "电量异常"}
	case DuplicatePayment:
		return ruleRow{High, "PAYMENT", "重复支付已自动退款"}
	case LatePayment:
		return ruleRow{High, "PAYMENT", "迟到支付已自动退款"}
	case CallbackRejected:
		return ruleRow{Critical, "PAYMENT", "支付回调被拒绝"}
	case ReconciliationFailed:
		return ruleRow{High, "RECONCILIATION", "对账失败"}
	case ReconciliationDifference:
		return ruleRow{High, "RECONCILIATION", "存在对账差异"}
	case LoginLockout:
		return ruleRow{Medium, "SECURITY", "账号多次锁定"}
	}
	return ruleRow{Medium, "CUSTOM", string(r)}
}

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
	if a.Severity == Critical || a.Severity == High && open.Severity != Critical {
		open.Severity = a.Severity
	}
	if err := s.UpdateAlert(ctx, evcs.Only(a.Tenant), open); err != nil {
		return err
	}
	return emit(ctx, s, evcs.EventAlertUpdated, open, at)
}

func begin(ctx context.Context, s Store, a Alert, at time.Time) error {
	row := a.Rule.row()
	if a.Severity == "" {
		a.Severity = row.severity
	}
	if a.Title == "" {
		a.Title = row.title
	}
	if a.Source == "" {
		a.Source = row.source
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
