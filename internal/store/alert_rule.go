package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
)

// AlertRules keeps what tenants have set of alert rules. It implements
// alarm.RuleStore. The number of a tenant's own rule is that of its row behind
// the built-in ones.
type AlertRules struct{ q querier }

// AlertRulesOf are the rules as the transaction sees and changes them.
func AlertRulesOf(tx *Tx) AlertRules { return AlertRules{tx.q} }

// AlertRules are the committed rules.
func (r Reader) AlertRules() AlertRules { return AlertRules(r) }

const ruleColumns = `r.id, r.tenant_id, r.built_in, r.name, r.metric, r.op, r.threshold, r.for_seconds, r.severity, r.min_samples,
	r.filter, r.channels, r.enabled, r.created_at, r.updated_at, r.version`

func scanRule(r row) (alarm.Setting, error) {
	var s alarm.Setting
	var id, created, updated int64
	var seconds, samples sql.NullInt64
	var severity sql.NullString
	var filter, channels string
	if err := r.Scan(&id, &s.Tenant, &s.BuiltIn, &s.Name, &s.Metric, &s.Op, &s.Threshold, &seconds, &severity, &samples, &filter, &channels,
		&s.Enabled, &created, &updated, &s.Version); err != nil {
		return s, err
	}
	s.ID = alarm.FirstOwnRule + evcs.RuleID(id)
	if s.BuiltIn != 0 {
		s.ID = s.BuiltIn
	}
	s.For, s.MinSamples, s.Severity = time.Duration(seconds.Int64)*time.Second, samples.Int64, alarm.Severity(severity.String)
	s.Created, s.Updated = evcs.FromMillis(created), evcs.FromMillis(updated)
	if err := errors.Join(json.Unmarshal([]byte(filter), &s.Filter), json.Unmarshal([]byte(channels), &s.Channels)); err != nil {
		return s, fmt.Errorf("alert rule %d: %w", s.ID, err)
	}
	return s, nil
}

func (s AlertRules) rules(ctx context.Context, f filter) ([]alarm.Setting, error) {
	f.add("r.deleted_at = 0")
	var list []alarm.Setting
	err := s.q.rows(ctx, "read alert rules", func(rows row) error {
		rule, err := scanRule(rows)
		list = append(list, rule)
		return err
	}, `SELECT `+ruleColumns+` FROM alert_rules r`+f.where()+` ORDER BY r.id`, f.args...)
	return list, err
}

func (s AlertRules) rule(ctx context.Context, f filter, id evcs.RuleID) (*alarm.Setting, error) {
	list, err := s.rules(ctx, f)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, evcs.With(alarm.ErrRuleNotFound, map[string]any{"ruleId": id})
	}
	return &list[0], nil
}

// Override implements alarm.RuleStore.
func (s AlertRules) Override(ctx context.Context, scope evcs.Scope, builtIn evcs.RuleID) (*alarm.Setting, error) {
	var f filter
	f.scope("r.tenant_id", scope)
	f.add("r.built_in = ?", builtIn)
	return s.rule(ctx, f, builtIn)
}

// OwnRule implements alarm.RuleStore.
func (s AlertRules) OwnRule(ctx context.Context, scope evcs.Scope, id evcs.RuleID) (*alarm.Setting, error) {
	var f filter
	f.scope("r.tenant_id", scope)
	f.add("r.built_in = 0")
	f.add("r.id = ?", id-alarm.FirstOwnRule)
	return s.rule(ctx, f, id)
}

// Settings implements alarm.RuleStore.
func (s AlertRules) Settings(ctx context.Context, scope evcs.Scope) ([]alarm.Setting, error) {
	var f filter
	f.scope("r.tenant_id", scope)
	return s.rules(ctx, f)
}

func ruleValues(r *alarm.Setting) ([]any, error) {
	filter, err := json.Marshal(r.Filter)
	if err != nil {
		return nil, fmt.Errorf("encode the filter of a rule: %w", err)
	}
	channels, err := json.Marshal(append([]evcs.ChannelID{}, r.Channels...))
	if err != nil {
		return nil, fmt.Errorf("encode the channels of a rule: %w", err)
	}
	return []any{
		r.Name, r.Metric, r.Op, r.Threshold, int64(r.For / time.Second), string(r.Severity), r.MinSamples, string(filter), string(channels), r.Enabled,
		evcs.Millis(r.Updated), evcs.Millis(r.Deleted),
	}, nil
}

// InsertRule implements alarm.RuleStore.
func (s AlertRules) InsertRule(ctx context.Context, r *alarm.Setting) error {
	values, err := ruleValues(r)
	if err != nil {
		return err
	}
	id, err := s.q.insertID(ctx, "insert alert rule", `
		INSERT INTO alert_rules (name, metric, op, threshold, for_seconds, severity, min_samples, filter, channels, enabled, updated_at, deleted_at,
			tenant_id, built_in, created_at, version)
		VALUES (`+binds(15)+`, 1) RETURNING id`, append(values, r.Tenant, r.BuiltIn, evcs.Millis(r.Created))...)
	if err != nil {
		return err
	}
	r.Version = 1
	if r.BuiltIn == 0 {
		r.ID = alarm.FirstOwnRule + evcs.RuleID(id)
	}
	return nil
}

// UpdateRule implements alarm.RuleStore.
func (s AlertRules) UpdateRule(ctx context.Context, r *alarm.Setting) error {
	values, err := ruleValues(r)
	if err != nil {
		return err
	}
	which, arg := "id = ?", int64(r.ID-alarm.FirstOwnRule)
	if r.BuiltIn != 0 {
		which, arg = "built_in = ?", int64(r.BuiltIn)
	}
	err = s.q.swap(ctx, "update alert rule", `UPDATE alert_rules SET name = ?, metric = ?, op = ?, threshold = ?, for_seconds = ?, severity = ?,
		min_samples = ?, filter = ?, channels = ?, enabled = ?, updated_at = ?, deleted_at = ?, version = version + 1
		WHERE tenant_id = ? AND version = ? AND deleted_at = 0 AND `+which, append(values, r.Tenant, r.Version, arg)...)
	if err == nil {
		r.Version++
	}
	return err
}

// Channel implements alarm.RuleStore.
func (s AlertRules) Channel(ctx context.Context, scope evcs.Scope, id evcs.ChannelID) (*alarm.Channel, error) {
	return Channels(s).Channel(ctx, scope, id)
}

// Override implements alarm.Store.
func (s Alarms) Override(ctx context.Context, scope evcs.Scope, builtIn evcs.RuleID) (*alarm.Setting, error) {
	return AlertRules{s.q}.Override(ctx, scope, builtIn)
}

// Conditions keeps what the evaluation of rules remembers, for all tenants. It
// implements alarm.Conditions.
type Conditions struct{ q querier }

// ConditionsOf are the conditions as the transaction sees and changes them.
func ConditionsOf(tx *Tx) Conditions { return Conditions{tx.q} }

// Claim implements alarm.Conditions.
func (s Conditions) Claim(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	var got string
	err := s.q.one(ctx, "claim lease", nil, []any{&got}, `
		INSERT INTO leases (name, holder, until_at) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, until_at = EXCLUDED.until_at
			WHERE leases.until_at <= ? OR leases.holder = EXCLUDED.holder RETURNING holder`,
		name, holder, evcs.Millis(until), evcs.Millis(now))
	return got == holder, err
}

const conditionColumns = `tenant_id, rule, target_type, target_id, true_since, false_since, level, hit_at`

func scanCondition(rows row) (alarm.Condition, error) {
	var c alarm.Condition
	var yes, no, hit int64
	err := rows.Scan(&c.Tenant, &c.Rule, &c.Target.Type, &c.Target.ID, &yes, &no, &c.Level, &hit)
	c.TrueSince, c.FalseSince, c.Hit = evcs.FromMillis(yes), evcs.FromMillis(no), evcs.FromMillis(hit)
	return c, err
}

// Conditions implements alarm.Conditions: those of every tenant.
func (s Conditions) Conditions(ctx context.Context) ([]alarm.Condition, error) {
	var list []alarm.Condition
	err := s.q.rows(ctx, "read alert conditions", func(rows row) error {
		c, err := scanCondition(rows)
		list = append(list, c)
		return err
	}, `SELECT `+conditionColumns+` FROM alert_conditions`)
	return list, err
}

// Condition implements alarm.Conditions.
func (s Conditions) Condition(ctx context.Context, t evcs.TenantID, rule alarm.Rule, target alarm.Target) (alarm.Condition, error) {
	found := alarm.Condition{Tenant: t, Rule: rule, Target: target}
	err := s.q.rows(ctx, "read alert condition", func(rows row) (err error) {
		found, err = scanCondition(rows)
		return err
	}, `SELECT `+conditionColumns+` FROM alert_conditions WHERE rule = ? AND tenant_id = ? AND target_type = ? AND target_id = ?`,
		rule, t, target.Type, target.ID)
	return found, err
}

// EverySetting implements alarm.Conditions.
func (s Conditions) EverySetting(ctx context.Context) ([]alarm.Setting, error) {
	return AlertRules(s).rules(ctx, filter{})
}

// KeepCondition implements alarm.Conditions.
func (s Conditions) KeepCondition(ctx context.Context, c *alarm.Condition) error {
	_, err := s.q.exec(ctx, "keep alert condition", `
		INSERT INTO alert_conditions (tenant_id, rule, target_type, target_id, true_since, false_since, level, hit_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (rule, tenant_id, target_type, target_id) DO UPDATE SET
			true_since = EXCLUDED.true_since, false_since = EXCLUDED.false_since, level = EXCLUDED.level, hit_at = EXCLUDED.hit_at`,
		c.Tenant, c.Rule, c.Target.Type, c.Target.ID, evcs.Millis(c.TrueSince), evcs.Millis(c.FalseSince), c.Level, evcs.Millis(c.Hit))
	return err
}

// DropCondition implements alarm.Conditions.
func (s Conditions) DropCondition(ctx context.Context, c *alarm.Condition) error {
	_, err := s.q.exec(ctx, "drop alert condition", `DELETE FROM alert_conditions WHERE rule = ? AND tenant_id = ? AND target_type = ? AND target_id = ?`,
		c.Rule, c.Tenant, c.Target.Type, c.Target.ID)
	return err
}

// NoteLockout counts a lockout of a user and returns how many there were since
// a moment, this one included.
func NoteLockout(ctx context.Context, tx *Tx, t evcs.TenantID, user evcs.UserID, at, since time.Time) (int, error) {
	if _, err := tx.q.exec(ctx, "note lockout", `INSERT INTO lockouts (tenant_id, user_id, at) VALUES (?, ?, ?)`, t, user, evcs.Millis(at)); err != nil {
		return 0, err
	}
	var n int
	err := tx.q.one(ctx, "count lockouts", sql.ErrNoRows, []any{&n}, `SELECT COUNT(*) FROM lockouts WHERE tenant_id = ? AND user_id = ? AND at > ?`,
		t, user, evcs.Millis(since))
	return n, err
}

// PruneLockouts deletes up to n lockouts older than before.
func PruneLockouts(tx *Tx, ctx context.Context, before int64, n int) (int64, error) { //nolint:revive // as Tx's own methods, for the table of jobs
	return tx.q.exec(ctx, "prune lockouts", `DELETE FROM lockouts WHERE id IN (SELECT id FROM lockouts WHERE at < ? ORDER BY at LIMIT ?)`, before, n)
}
