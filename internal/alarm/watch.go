package alarm

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Reading is one value of a metric.
type Reading struct {
	Tenant  evcs.TenantID // zero: the host
	Target  Target
	Station evcs.StationID
	Charger evcs.ChargerID
	Label   string
	Value   evcs.Milli
	Samples int64 // behind a rate; 0 when it is none
	// Since is when the condition began, where that is known; else the zero time.
	Since time.Time
	Note  string // names the target for people
}

// DaysUntil is how many days are left until a moment, negative after it, in
// thousandths rounded up: a rule on 30 days does not hold before 30 days.
func DaysUntil(at, now time.Time) evcs.Milli {
	const perThousandth = 24 * 3600 // milliseconds
	ms := at.Sub(now).Milliseconds()
	days := ms / perThousandth
	if ms > days*perThousandth {
		days++
	}
	return evcs.Milli(days)
}

// Gauges reads metrics. What cannot be measured here gives no reading.
type Gauges interface {
	Read(ctx context.Context, metric string, now time.Time) ([]Reading, error)
}

// Condition is what is remembered of a rule and target between evaluations.
type Condition struct {
	Tenant     evcs.TenantID
	Rule       Rule
	Target     Target
	TrueSince  time.Time // zero: it does not hold
	FalseSince time.Time // zero: it holds, or there is no alert to end
	Level      int       // of the alert that came of it; 0: none
	Hit        time.Time // when it was last counted
}

// Conditions keeps them.
type Conditions interface {
	// Claim takes or renews a lease of a name and reports whether holder has it.
	Claim(ctx context.Context, name, holder string, now, until time.Time) (bool, error)
	Conditions(ctx context.Context) ([]Condition, error)
	// Condition is one of them; the zero times and level when nothing is kept.
	Condition(ctx context.Context, t evcs.TenantID, rule Rule, target Target) (Condition, error)
	// EverySetting are the settings of every tenant and of the host.
	EverySetting(ctx context.Context) ([]Setting, error)
	KeepCondition(ctx context.Context, c *Condition) error
	DropCondition(ctx context.Context, c *Condition) error
}

// calm is how long a condition must be false until its alert ends by itself.
const calm = 2 * time.Minute

// leastBetweenHits bounds how often a lasting condition is counted anew.
const leastBetweenHits = 5 * time.Minute

// Watch evaluates the rules that read metrics. On several nodes the holder of
// a lease does it for the whole installation, and each node for what is its own
// alone.
type Watch struct {
	Clock  evcs.Clock
	Log    *slog.Logger
	Gauges Gauges
	Node   string
	// Alive are the nodes that are there; alerts of others end.
	Alive    func(ctx context.Context) []string
	Transact func(ctx context.Context, fn func(Store, Conditions) error) error

	mu   sync.Mutex
	read map[string]time.Time // when a slow metric was read last; guarded by mu
}

// leaseFor is longer than two evaluations, so that one slow round does not move
// the watch to another node.
const leaseFor = time.Minute

// Evaluate reads the metrics once and raises, counts and ends alerts. It
// returns how many alerts it raised or ended. A metric that cannot be read is
// logged and leaves its alerts as they are.
func (w *Watch) Evaluate(ctx context.Context) (int, error) {
	now := w.Clock.Now()
	var mine bool
	var settings []Setting
	var conditions []Condition
	err := w.Transact(ctx, func(_ Store, c Conditions) (err error) {
		if mine, err = c.Claim(ctx, "alert watch", w.Node, now, now.Add(leaseFor)); err != nil {
			return err
		}
		if settings, err = c.EverySetting(ctx); err != nil {
			return err
		}
		conditions, err = c.Conditions(ctx)
		return err
	})
	if err != nil {
		return 0, err
	}
	judged := w.judge(ctx, newRules(settings), mine, now)
	changed := 0
	var failed error
	for _, key := range judged.keys(conditions) {
		n, err := w.move(ctx, judged, key, now)
		changed += n
		failed = errors.Join(failed, err)
	}
	return changed, failed
}

// key names a condition.
type key struct {
	tenant evcs.TenantID
	rule   Rule
	target Target
}

// verdict is what a rule says of a target now.
type verdict struct {
	spec    spec
	reading Reading
	level   int // 0: the condition does not hold
}

// judged is what all rules say now.
type judged struct {
	rules    rules
	node     string
	alive    []string        // nil: this node does not speak for the others
	metrics  map[string]bool // those that could be read
	verdicts map[key]verdict
}

// judge reads every metric that a rule watches and is due; without the lease
// those of this node alone.
func (w *Watch) judge(ctx context.Context, r rules, lease bool, now time.Time) judged {
	j := judged{rules: r, node: w.Node, metrics: make(map[string]bool), verdicts: make(map[key]verdict)}
	if lease && w.Alive != nil {
		j.alive = append(w.Alive(ctx), w.Node)
	}
	for _, m := range metrics {
		if !m.PerNode && !lease || !r.watched(m.Name) || !w.due(m, now) {
			continue
		}
		readings, err := w.Gauges.Read(ctx, m.Name, now)
		if err != nil {
			w.Log.WarnContext(ctx, "a metric of the alert rules cannot be read", slog.String("metric", m.Name), slog.Any("error", err))
			continue
		}
		j.metrics[m.Name] = true
		for _, x := range readings {
			for _, s := range r.on(m.Name, x.Tenant) {
				if !s.covers(x) {
					continue
				}
				// Of several readings of one target, as of certificates of one name, the
				// worst counts.
				k, v := key{x.Tenant, s.rule, x.Target}, verdict{s, x, s.level(x)}
				if known, ok := j.verdicts[k]; !ok || known.level < v.level {
					j.verdicts[k] = v
				}
			}
		}
	}
	return j
}

func (w *Watch) due(m Metric, now time.Time) bool {
	if m.Every == 0 {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if last, ok := w.read[m.Name]; ok && now.Sub(last) < m.Every && !now.Before(last) {
		return false
	}
	if w.read == nil {
		w.read = make(map[string]time.Time)
	}
	w.read[m.Name] = now
	return true
}

// keys are the conditions to look at: what a rule speaks of now, and what is
// remembered and no longer spoken of although its metric was read.
func (j judged) keys(remembered []Condition) []key {
	all := make(map[key]bool)
	for k, v := range j.verdicts {
		if v.level > 0 {
			all[k] = true
		}
	}
	for _, c := range remembered {
		k := key{c.Tenant, c.Rule, c.Target}
		s, ok := j.rules.find(c.Rule, c.Tenant)
		m, _ := MetricOf(s.metric)
		switch {
		case m.PerNode:
			own := c.Target == NodeTarget(j.node)
			gone := j.alive != nil && c.Target.Type == "NODE" && !slices.Contains(j.alive, c.Target.ID)
			all[k] = all[k] || own && j.metrics[s.metric] || gone
		case !ok || j.metrics[s.metric]:
			all[k] = true
		}
	}
	maps.DeleteFunc(all, func(_ key, here bool) bool { return !here })
	return slices.SortedFunc(maps.Keys(all), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.rule, b.rule), cmp.Compare(a.target.Type, b.target.Type), cmp.Compare(a.target.ID, b.target.ID))
	})
}

// move brings one condition forward in a transaction of its own.
func (w *Watch) move(ctx context.Context, j judged, k key, now time.Time) (changed int, err error) {
	v, spoken := j.verdicts[k]
	if !spoken {
		v.spec, _ = j.rules.find(k.rule, k.tenant) // gone rules have no spec: their alerts end
		v.reading = Reading{Tenant: k.tenant, Target: k.target}
	}
	err = w.Transact(ctx, func(s Store, c Conditions) error {
		changed = 0
		known, err := c.Condition(ctx, k.tenant, k.rule, k.target)
		if err != nil {
			return err
		}
		open, err := s.OpenAlert(ctx, evcs.Only(k.tenant), k.rule, k.target)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		next, act := v.spec.step(known, v, open != nil, now)
		switch act {
		case fire:
			changed = 1
			err = Raise(ctx, s, v.alert(next), now)
		case hit:
			err = Raise(ctx, s, v.alert(next), now)
		case cure:
			changed = 1
			err = Cure(ctx, s, k.rule, k.tenant, k.target, "the condition is over", now)
		case rest:
			err = nil
		}
		if err != nil {
			return err
		}
		if next.TrueSince.IsZero() && next.FalseSince.IsZero() && next.Level == 0 {
			return c.DropCondition(ctx, &next)
		}
		if next == known {
			return nil
		}
		return c.KeepCondition(ctx, &next)
	})
	return changed, err
}

// action is what follows from a step.
type action int

const (
	rest action = iota
	fire
	hit
	cure
)

// step is the life of a condition: true for its time fires; true again and
// again counts; false for two minutes ends. An event rule fires at once, and
// again only for a higher level or after it was false.
func (s spec) step(c Condition, v verdict, open bool, now time.Time) (Condition, action) {
	if v.level == 0 {
		return s.falling(c, open, now)
	}
	c.FalseSince = time.Time{}
	if c.TrueSince.IsZero() {
		c.TrueSince = now
		if since := v.reading.Since; !since.IsZero() && since.Before(now) {
			c.TrueSince = since
		}
	}
	once := s.event || s.wait == 0
	switch {
	case !open && c.Level > 0 && !once: // a person has ended it while it holds: it must hold for its time again
		c.TrueSince, c.Level, c.Hit = now, 0, time.Time{}
		return c, rest
	case !open && c.Level >= v.level: // ended by a person; it fires again after it was false
		return c, rest
	case now.Sub(c.TrueSince) < s.wait && !open:
		return c, rest
	case !open, v.level > c.Level:
		c.Level, c.Hit = v.level, now
		return c, fire
	case now.Sub(c.Hit) >= max(s.wait, leastBetweenHits) && !s.event:
		c.Hit = now
		return c, hit
	}
	return c, rest
}

func (s spec) falling(c Condition, open bool, now time.Time) (Condition, action) {
	c.TrueSince = time.Time{}
	if !open {
		return Condition{Tenant: c.Tenant, Rule: c.Rule, Target: c.Target}, rest
	}
	if c.FalseSince.IsZero() {
		c.FalseSince = now
	}
	if !s.event && now.Sub(c.FalseSince) < calm {
		return c, rest
	}
	return Condition{Tenant: c.Tenant, Rule: c.Rule, Target: c.Target}, cure
}

func (v verdict) alert(c Condition) Alert {
	value, threshold := v.reading.Value, v.spec.thresholdOf(v.level)
	a := Alert{
		Tenant: v.reading.Tenant, Rule: v.spec.rule, Severity: v.spec.severityOf(v.level), Target: c.Target, Station: v.reading.Station,
		Charger: v.reading.Charger, Value: &value, Threshold: &threshold, Source: v.spec.source,
	}
	m, _ := MetricOf(v.spec.metric)
	a.Message = v.spec.metric + " " + value.String()
	if m.Unit != "" && m.Unit != "1" {
		a.Message += " " + m.Unit
	}
	a.Message += " (" + string(v.spec.op) + " " + threshold.String() + ")"
	if v.reading.Note != "" {
		a.Message = v.reading.Note + ": " + a.Message
	}
	return a
}

// spec is a rule as it is evaluated for one tenant.
type spec struct {
	rule       Rule
	source     string
	metric     string
	op         Op
	levels     []Level // at least one
	wait       time.Duration
	minSamples int64
	filter     Filter
	event      bool
	enabled    bool
}

func (s spec) covers(r Reading) bool {
	f := s.filter
	return (f.Station == 0 || f.Station == r.Station) && (f.Charger == 0 || f.Charger == r.Charger) && (f.Label == "" || f.Label == r.Label)
}

// level is the highest step that the reading has reached; 0: none.
func (s spec) level(r Reading) int {
	if !s.enabled || r.Samples < s.minSamples {
		return 0
	}
	reached := 0
	for i, l := range s.levels {
		if s.op.Holds(r.Value, l.Threshold) {
			reached = i + 1
		}
	}
	return reached
}

func (s spec) severityOf(level int) Severity      { return s.levels[max(level, 1)-1].Severity }
func (s spec) thresholdOf(level int) evcs.Milli   { return s.levels[max(level, 1)-1].Threshold }
func (b BuiltIn) levelsWith(own *Setting) []Level { return withOwn(b, b.Shown(0, own), own != nil) }

// withOwn is the ladder of a rule; a tenant's own threshold and severity move
// its first step.
func withOwn(b BuiltIn, s Setting, changed bool) []Level {
	if len(b.Levels) == 0 {
		return []Level{{*s.Threshold, s.Severity}}
	}
	ladder := slices.Clone(b.Levels)
	if changed {
		ladder[0] = Level{*s.Threshold, s.Severity}
	}
	return ladder
}

func (b BuiltIn) spec(own *Setting) spec {
	shown := b.Shown(0, own)
	return spec{
		rule: b.Name, source: b.Source, metric: b.Metric, op: b.Op, levels: b.levelsWith(own), wait: shown.For, minSamples: shown.MinSamples,
		event: b.Event, enabled: shown.Enabled,
	}
}

func (s *Setting) spec() spec {
	return spec{
		rule: Rule(s.Name), source: "CUSTOM", metric: s.Metric, op: s.Op, levels: []Level{{*s.Threshold, s.Severity}}, wait: s.For,
		minSamples: s.MinSamples, filter: s.Filter, enabled: s.Enabled,
	}
}

// rules are all rules as tenants have them.
type rules struct {
	builtIn   map[string][]BuiltIn // by metric
	overrides map[evcs.TenantID]map[evcs.RuleID]*Setting
	own       map[evcs.TenantID][]spec
}

func newRules(settings []Setting) rules {
	r := rules{builtIn: make(map[string][]BuiltIn), overrides: make(map[evcs.TenantID]map[evcs.RuleID]*Setting), own: make(map[evcs.TenantID][]spec)}
	for _, b := range builtIns {
		if b.Metric != "" {
			r.builtIn[b.Metric] = append(r.builtIn[b.Metric], b)
		}
	}
	for i := range settings {
		s := &settings[i]
		if s.BuiltIn == 0 {
			m, _ := MetricOf(s.Metric)
			owner := s.Tenant
			if m.Host {
				owner = 0
			}
			r.own[owner] = append(r.own[owner], s.spec())
			continue
		}
		if r.overrides[s.Tenant] == nil {
			r.overrides[s.Tenant] = make(map[evcs.RuleID]*Setting)
		}
		r.overrides[s.Tenant][s.BuiltIn] = s
	}
	return r
}

func (r rules) watched(metric string) bool {
	if len(r.builtIn[metric]) > 0 {
		return true
	}
	for _, list := range r.own {
		if slices.ContainsFunc(list, func(s spec) bool { return s.metric == metric }) {
			return true
		}
	}
	return false
}

// on are the rules of a tenant on a metric.
func (r rules) on(metric string, t evcs.TenantID) []spec {
	var list []spec
	for _, b := range r.builtIn[metric] {
		list = append(list, b.spec(r.overrides[t][b.ID]))
	}
	for _, s := range r.own[t] {
		if s.metric == metric {
			list = append(list, s)
		}
	}
	return list
}

func (r rules) find(name Rule, t evcs.TenantID) (spec, bool) {
	if b, ok := Built(name); ok && b.Metric != "" {
		return b.spec(r.overrides[t][b.ID]), true
	}
	for _, s := range r.own[t] {
		if s.rule == name {
			return s, true
		}
	}
	return spec{}, false
}

// NodeTarget is a node of the installation as a target.
func NodeTarget(node string) Target { return Target{"NODE", node} }

// OfTenant is a tenant as a target.
func OfTenant(id evcs.TenantID) Target { return Target{"TENANT", strconv.FormatInt(int64(id), 10)} }
