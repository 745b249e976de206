package alarm

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// Filter narrows a rule of a tenant's own; zero fields keep every target.
type Filter struct {
	Station evcs.StationID `json:"stationId,omitempty"`
	Charger evcs.ChargerID `json:"chargerId,omitempty"`
	Label   string         `json:"label,omitempty"` // the target's label, exact
}

// Setting is a rule as a tenant has it: one of its own, or what it has set of a
// built-in one.
type Setting struct {
	ID         evcs.RuleID
	Tenant     evcs.TenantID // zero: the host
	BuiltIn    evcs.RuleID   // zero: the tenant's own
	Name       string
	Metric     string
	Op         Op
	Threshold  *evcs.Milli // nil of a built-in: none, or the default
	For        time.Duration
	Severity   Severity // empty of an event rule: that of its cause
	MinSamples int64
	Filter     Filter
	Channels   []evcs.ChannelID // empty: every channel of the tenant
	Enabled    bool
	Created    time.Time
	Updated    time.Time
	Deleted    time.Time
	Version    int64 // 0: a built-in rule that the tenant has not touched
}

// setting is a built-in rule as it is without anybody's change.
func (b BuiltIn) setting(t evcs.TenantID) Setting {
	s := Setting{
		ID: b.ID, Tenant: t, BuiltIn: b.ID, Name: string(b.Name), Metric: b.Metric, Op: b.Op, For: b.For, Severity: b.Severity,
		MinSamples: b.MinSamples, Enabled: true,
	}
	if b.Metric != "" {
		threshold := b.Threshold
		s.Threshold = &threshold
	}
	return s
}

// Shown is a tenant's own setting of the rule on top of its defaults; own may
// be nil.
func (b BuiltIn) Shown(t evcs.TenantID, own *Setting) Setting {
	s := b.setting(t)
	if own == nil {
		return s
	}
	if own.Threshold != nil && b.Metric != "" {
		s.Threshold = own.Threshold
	}
	s.For, s.MinSamples, s.Channels, s.Enabled = own.For, own.MinSamples, own.Channels, own.Enabled
	s.Created, s.Updated, s.Version = own.Created, own.Updated, own.Version
	s.Severity = cmp.Or(own.Severity, b.Severity)
	return s
}

// The refusals of rules.
var (
	ErrRuleNotFound    = evcs.NewError(evcs.CodeRuleNotFound, "no such rule")
	ErrChannelNotFound = evcs.NewError(evcs.CodeChannelNotFound, "no such channel")
	ErrBuiltIn         = evcs.NewError(evcs.CodeRuleBuiltIn, "a built-in rule cannot be deleted")
)

// RuleStore keeps what tenants have set of rules.
type RuleStore interface {
	// Override is what the tenant has set of a built-in rule; ErrRuleNotFound
	// when it has set nothing.
	Override(ctx context.Context, scope evcs.Scope, builtIn evcs.RuleID) (*Setting, error)
	// OwnRule is a rule of a tenant's own.
	OwnRule(ctx context.Context, scope evcs.Scope, id evcs.RuleID) (*Setting, error)
	// Settings are the own rules and the overrides of a scope.
	Settings(ctx context.Context, scope evcs.Scope) ([]Setting, error)
	// InsertRule fails with ErrStale when the name is taken.
	InsertRule(ctx context.Context, s *Setting) error
	// UpdateRule compares the version and increments it.
	UpdateRule(ctx context.Context, s *Setting) error
	// Channel is a channel of the scope; ErrChannelNotFound when there is none.
	Channel(ctx context.Context, scope evcs.Scope, id evcs.ChannelID) (*Channel, error)
}

// Tx is what the verbs of rules and channels need of a transaction.
type Tx interface {
	Tenants() tenant.Store
	AlertRules() RuleStore
	Channels() ChannelStore
}

// Transact runs a function in one durable transaction; see store.DB.Transact.
type Transact func(ctx context.Context, fn func(Tx) error) error

// Rulebook has the verbs on rules.
type Rulebook struct {
	Clock    evcs.Clock
	Transact Transact
}

// NewRule asks for a rule on a metric.
type NewRule struct {
	Tenant    evcs.TenantID
	Name      string
	Metric    string
	Op        Op
	Threshold evcs.Milli
	For       time.Duration
	Severity  Severity
	Filter    Filter
	Channels  []evcs.ChannelID
	Enabled   bool
}

const (
	maxOwnRules = 200
	maxFor      = 24 * time.Hour
)

var (
	ruleName   = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,50}$`)
	seeSystem  = evcs.Permission("monitoring:system")
	severities = []Severity{Critical, High, Medium, Low}
)

// Create makes a rule of a tenant's own. The caller has checked that the actor
// may write in the tenant.
func (b *Rulebook) Create(ctx context.Context, a *evcs.Actor, n NewRule) (*Setting, error) {
	now := b.Clock.Now()
	threshold := n.Threshold
	s := Setting{
		Tenant: n.Tenant, Name: n.Name, Metric: n.Metric, Op: n.Op, Threshold: &threshold, For: n.For, Severity: n.Severity, Filter: n.Filter,
		Channels: n.Channels, Enabled: n.Enabled, Created: now, Updated: now,
	}
	if err := evcs.Invalid(s.check(a)...); err != nil {
		return nil, err
	}
	var made Setting
	err := b.Transact(ctx, func(tx Tx) error {
		made = s
		list, err := tx.AlertRules().Settings(ctx, evcs.Only(s.Tenant))
		if err != nil {
			return err
		}
		own := slices.DeleteFunc(list, func(x Setting) bool { return x.BuiltIn != 0 })
		if slices.ContainsFunc(own, func(x Setting) bool { return x.Name == s.Name }) {
			return evcs.Invalid(evcs.FieldFault{Field: "name", Message: "is the name of another rule"})
		}
		if len(own) >= maxOwnRules {
			return evcs.Invalid(evcs.FieldFault{Field: "name", Message: fmt.Sprintf("a tenant has at most %d rules of its own", maxOwnRules)})
		}
		if err := known(ctx, tx, made.Tenant, made.Channels); err != nil {
			return err
		}
		if err := tx.AlertRules().InsertRule(ctx, &made); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, made.row(now, tenant.Created(tenant.KindAlertRule), map[string]any{
			"name": made.Name, "metric": made.Metric, "op": string(made.Op), "threshold": made.Threshold.String(), "severity": string(made.Severity),
		}))
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

// check finds every fault of a rule of a tenant's own.
func (s *Setting) check(a *evcs.Actor) []evcs.FieldFault {
	var faults []evcs.FieldFault
	fault := func(bad bool, field, message string) {
		if bad {
			faults = append(faults, evcs.FieldFault{Field: field, Message: message})
		}
	}
	if s.BuiltIn == 0 {
		_, builtIn := Built(Rule(s.Name))
		metric, ok := MetricOf(s.Metric)
		fault(!ruleName.MatchString(s.Name), "name", "must be 1 to 50 of A-Z a-z 0-9 _ . -")
		fault(builtIn, "name", "is the name of a built-in rule")
		fault(!ok || metric.Host && !a.May(seeSystem), "metric", "must be one of GET /api/monitoring/alert-rule/metrics")
		fault(!slices.Contains([]Op{Above, AtLeast, Below, AtMost}, s.Op), "op", "must be gt, ge, lt or le")
	}
	fault(s.For < 0 || s.For > maxFor, "forSeconds", "must be 0 to 86400")
	fault(!slices.Contains(severities, s.Severity), "severity", "must be CRITICAL, HIGH, MEDIUM or LOW")
	fault(s.MinSamples < 0 || s.MinSamples > 1_000_000, "minSamples", "must be 0 to 1000000")
	fault(len(s.Channels) > maxChannels, "channelIds", "must have at most 50 entries")
	return faults
}

// known refuses channels that the tenant does not have (7005).
func known(ctx context.Context, tx Tx, t evcs.TenantID, channels []evcs.ChannelID) error {
	if t == 0 {
		t = evcs.PlatformTenant // host alerts go through the platform's channels
	}
	for _, id := range channels {
		if _, err := tx.AlertRules().Channel(ctx, evcs.Only(t), id); err != nil {
			return err
		}
	}
	return nil
}

func (s *Setting) row(at time.Time, action tenant.Action, details map[string]any) tenant.AuditRow {
	target := s.Tenant
	if target == 0 {
		target = evcs.PlatformTenant
	}
	return tenant.AuditRow{
		At: at, Action: action, Target: target, TargetType: tenant.KindAlertRule, TargetID: strconv.FormatInt(int64(s.ID), 10), Success: true, Details: details,
	}
}

// RuleChange is what changes of a rule; nil fields stay. Of a built-in rule
// only Enabled, Threshold, For, Severity, Channels and MinSamples can be set.
type RuleChange struct {
	Name       *string
	Metric     *string
	Op         *Op
	Threshold  *evcs.Milli
	For        *time.Duration
	Severity   *Severity
	MinSamples *int64
	Filter     *Filter
	Channels   *[]evcs.ChannelID
	Enabled    *bool
	Version    *int64
}

func (c *RuleChange) apply(s *Setting) []evcs.FieldFault {
	var faults []evcs.FieldFault
	if s.BuiltIn != 0 {
		fixed := func(bad bool, field string) {
			if bad {
				faults = append(faults, evcs.FieldFault{Field: field, Message: "is fixed for a built-in rule"})
			}
		}
		fixed(c.Name != nil && *c.Name != s.Name, "name")
		fixed(c.Metric != nil && *c.Metric != s.Metric, "metric")
		fixed(c.Op != nil && *c.Op != s.Op, "op")
		fixed(c.Filter != nil && *c.Filter != (Filter{}), "filter")
		fixed(s.Metric == "" && c.Threshold != nil, "threshold")
	} else {
		take(&s.Name, c.Name)
		take(&s.Metric, c.Metric)
		take(&s.Op, c.Op)
		take(&s.Filter, c.Filter)
	}
	if c.Threshold != nil {
		v := *c.Threshold
		s.Threshold = &v
	}
	take(&s.For, c.For)
	take(&s.Severity, c.Severity)
	take(&s.MinSamples, c.MinSamples)
	take(&s.Channels, c.Channels)
	take(&s.Enabled, c.Enabled)
	return faults
}

func take[T any](place, given *T) {
	if given != nil {
		*place = *given
	}
}

// SetBuiltIn changes a built-in rule for one tenant; zero is the host, whose
// rules need monitoring:system.
func (b *Rulebook) SetBuiltIn(ctx context.Context, a *evcs.Actor, t evcs.TenantID, id evcs.RuleID, c RuleChange) (*Setting, error) {
	row, err := builtInFor(a, id)
	if err != nil {
		return nil, err
	}
	if row.Host {
		t = 0
	}
	now := b.Clock.Now()
	var made Setting
	err = b.Transact(ctx, func(tx Tx) error {
		own, err := tx.AlertRules().Override(ctx, evcs.Only(t), id)
		if code, _, _ := evcs.Classify(err); code == evcs.CodeRuleNotFound {
			own, err = nil, nil
		}
		if err != nil {
			return err
		}
		before := row.Shown(t, own)
		made = before
		if c.Version != nil && *c.Version != before.Version {
			return evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": before.Version})
		}
		faults := c.apply(&made)
		if err := evcs.Invalid(append(faults, made.check(a)...)...); err != nil {
			return err
		}
		if err := known(ctx, tx, t, made.Channels); err != nil {
			return err
		}
		made.Updated = now
		if own == nil {
			made.Created = now
			err = tx.AlertRules().InsertRule(ctx, &made)
		} else {
			made.Created = own.Created
			err = tx.AlertRules().UpdateRule(ctx, &made)
		}
		if err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, made.row(now, tenant.Updated(tenant.KindAlertRule), differences(before, made)))
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

// builtInFor is a built-in rule that the actor may see: those of the host are
// unknown to who may not see the host.
func builtInFor(a *evcs.Actor, id evcs.RuleID) (BuiltIn, error) {
	for _, row := range builtIns {
		if row.ID == id && (!row.Host || a.May(seeSystem)) {
			return row, nil
		}
	}
	return BuiltIn{}, evcs.With(ErrRuleNotFound, map[string]any{"ruleId": id})
}

func differences(before, after Setting) map[string]any {
	details := map[string]any{"name": after.Name}
	tenant.Differ(details, "enabled", before.Enabled, after.Enabled)
	tenant.Differ(details, "severity", before.Severity, after.Severity)
	tenant.Differ(details, "forSeconds", before.For/time.Second, after.For/time.Second)
	tenant.Differ(details, "minSamples", before.MinSamples, after.MinSamples)
	tenant.Differ(details, "threshold", text(before.Threshold), text(after.Threshold))
	tenant.Differ(details, "channelIds", fmt.Sprint(before.Channels), fmt.Sprint(after.Channels))
	return details
}

func text(m *evcs.Milli) string {
	if m == nil {
		return ""
	}
	return m.String()
}

// Change changes a rule of a tenant's own. The caller has checked that the
// actor may write in its tenant.
func (b *Rulebook) Change(ctx context.Context, a *evcs.Actor, t evcs.TenantID, id evcs.RuleID, c RuleChange) (*Setting, error) {
	now := b.Clock.Now()
	var made Setting
	err := b.Transact(ctx, func(tx Tx) error {
		s, err := tx.AlertRules().OwnRule(ctx, evcs.Only(t), id)
		if err != nil {
			return err
		}
		if c.Version != nil && *c.Version != s.Version {
			return evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": s.Version})
		}
		before := *s
		faults := c.apply(s)
		if err := evcs.Invalid(append(faults, s.check(a)...)...); err != nil {
			return err
		}
		if err := known(ctx, tx, t, s.Channels); err != nil {
			return err
		}
		list, err := tx.AlertRules().Settings(ctx, evcs.Only(t))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(list, func(x Setting) bool { return x.BuiltIn == 0 && x.ID != id && x.Name == s.Name }) {
			return evcs.Invalid(evcs.FieldFault{Field: "name", Message: "is the name of another rule"})
		}
		s.Updated = now
		if err := tx.AlertRules().UpdateRule(ctx, s); err != nil {
			return err
		}
		made = *s
		return tenant.Audit(ctx, tx.Tenants(), a, s.row(now, tenant.Updated(tenant.KindAlertRule), differences(before, *s)))
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

// Delete deletes a rule of a tenant's own; alerts that came of it end with the
// next evaluation.
func (b *Rulebook) Delete(ctx context.Context, a *evcs.Actor, t evcs.TenantID, id evcs.RuleID, version *int64) error {
	now := b.Clock.Now()
	return b.Transact(ctx, func(tx Tx) error {
		s, err := tx.AlertRules().OwnRule(ctx, evcs.Only(t), id)
		if err != nil {
			return err
		}
		if version != nil && *version != s.Version {
			return evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": s.Version})
		}
		s.Deleted, s.Updated = now, now
		if err := tx.AlertRules().UpdateRule(ctx, s); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, s.row(now, tenant.Deleted(tenant.KindAlertRule), map[string]any{"name": s.Name}))
	})
}

// IsBuiltIn reports whether id is that of a built-in rule.
func IsBuiltIn(id evcs.RuleID) bool { return id > 0 && id <= lastBuilt }

// FirstOwnRule is the number before that of the first rule of a tenant's own.
const FirstOwnRule evcs.RuleID = lastBuilt

// RulesFor are the rules that an actor sees in a scope: the built-in ones with
// the values of its tenant, and the own rules of the scope, by id.
func RulesFor(a *evcs.Actor, scope evcs.Scope, settings []Setting, host []Setting) []Setting {
	overrides := make(map[evcs.RuleID]*Setting)
	for i, s := range settings {
		if s.BuiltIn != 0 && s.Tenant == scope.Tenant {
			overrides[s.BuiltIn] = &settings[i]
		}
	}
	for i, s := range host {
		if s.BuiltIn != 0 {
			overrides[s.BuiltIn] = &host[i]
		}
	}
	var list []Setting
	for _, row := range builtIns {
		switch {
		case !row.Host:
			list = append(list, row.Shown(scope.Tenant, overrides[row.ID]))
		case a.May(seeSystem):
			list = append(list, row.Shown(0, overrides[row.ID]))
		}
	}
	for _, s := range settings {
		if s.BuiltIn == 0 {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(x, y Setting) int { return cmp.Compare(x.ID, y.ID) })
	return list
}

// Named keeps the rules whose name contains text, whatever the case.
func Named(list []Setting, text string) []Setting {
	text = strings.ToLower(text)
	return slices.DeleteFunc(list, func(s Setting) bool { return !strings.Contains(strings.ToLower(s.Name), text) })
}
