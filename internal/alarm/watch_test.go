package alarm_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// clock is a clock that a test sets.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func noon() *clock { return &clock{at: time.Date(2026, 2, 10, 4, 0, 0, 0, time.UTC)} }

// dials are gauges that a test sets: the figures come from outside.
type dials struct {
	readings map[string][]alarm.Reading
	broken   map[string]bool
}

var errBroken = errors.New("cannot be measured")

func (d *dials) Read(_ context.Context, metric string, _ time.Time) ([]alarm.Reading, error) {
	if d.broken[metric] {
		return nil, errBroken
	}
	return d.readings[metric], nil
}

type bench struct {
	t     *testing.T
	db    *store.DB
	clock *clock
	dials *dials

	serial int
}

func newBench(t *testing.T, db *store.DB) *bench {
	t.Helper()
	return &bench{t: t, db: db, clock: noon(), dials: &dials{make(map[string][]alarm.Reading), make(map[string]bool)}}
}

func (b *bench) watch(node string) *alarm.Watch {
	return &alarm.Watch{
		Clock: b.clock, Log: slog.New(slog.DiscardHandler), Gauges: b.dials, Node: node,
		Transact: func(ctx context.Context, fn func(alarm.Store, alarm.Conditions) error) error {
			return b.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx.Alarms(), store.ConditionsOf(tx)) })
		},
	}
}

func (b *bench) evaluate(w *alarm.Watch) int {
	b.t.Helper()
	n, err := w.Evaluate(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// open is the open alert of a rule on a target; nil when there is none.
func (b *bench) open(t evcs.TenantID, rule alarm.Rule, target alarm.Target) *alarm.Alert {
	b.t.Helper()
	a, err := b.db.Reader().Alarms().OpenAlert(b.t.Context(), evcs.Only(t), rule, target)
	if err != nil && !errors.Is(err, alarm.ErrNotFound) {
		b.t.Fatal(err)
	}
	return a
}

// barely is a value on the side asked for of a threshold, as near as can be.
func barely(op alarm.Op, threshold evcs.Milli, holds bool) evcs.Milli {
	for _, v := range []evcs.Milli{threshold, threshold + 1, threshold - 1} {
		if op.Holds(v, threshold) == holds {
			return v
		}
	}
	return threshold
}

// Every built-in rule on a metric: quiet just below, raised after its time and
// not before, one alert however long it lasts, ended by itself.
func TestEveryRuleFiresAndEnds(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, rule := range alarm.BuiltIns() {
		if rule.Metric == "" {
			continue
		}
		seen++
		t.Run(string(rule.Name), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, storetest.SQLite(t))
			w := b.watch("a")
			owner, target := evcs.TenantID(7), alarm.Target{Type: "THING", ID: "9"}
			if rule.Host {
				owner = 0
			}
			m, _ := alarm.MetricOf(rule.Metric)
			if m.PerNode {
				target = alarm.NodeTarget("a")
			}
			slow := max(10*time.Minute, m.Every) // the metric is read no oftener
			read := func(holds bool, samples int64) {
				b.dials.readings[rule.Metric] = []alarm.Reading{{Tenant: owner, Target: target, Value: barely(rule.Op, rule.Threshold, holds), Samples: samples}}
			}
			read(false, rule.MinSamples)
			for range 3 {
				b.evaluate(w)
				b.clock.pass(max(rule.For, slow))
			}
			if rule.MinSamples > 0 {
				read(true, rule.MinSamples-1)
				b.evaluate(w)
				b.clock.pass(max(rule.For, slow))
				b.evaluate(w)
			}
			if a := b.open(owner, rule.Name, target); a != nil {
				t.Fatalf("raised below its threshold or with too few samples: %+v", a)
			}
			b.clock.pass(slow)
			read(true, rule.MinSamples)
			b.evaluate(w)
			if a := b.open(owner, rule.Name, target); (a != nil) != (rule.For == 0) {
				t.Fatalf("at once: %v, although its time is %s", a, rule.For)
			}
			if rule.For > 0 {
				b.clock.pass(rule.For - time.Second)
				b.evaluate(w)
				if a := b.open(owner, rule.Name, target); a != nil {
					t.Fatal("raised before its time")
				}
				b.clock.pass(max(time.Second, m.Every)) // a slow metric is read at its own pace
				b.evaluate(w)
			}
			a := b.open(owner, rule.Name, target)
			if a == nil {
				t.Fatal("not raised")
			}
			if a.Severity != rule.Severity || a.Source != rule.Source || a.Title != rule.Title.ZH || a.Value == nil || a.Message == "" || rule.Title.EN == "" {
				t.Errorf("alert: %+v", a)
			}
			b.clock.pass(time.Minute)
			b.evaluate(w)
			if again := b.open(owner, rule.Name, target); again == nil || again.ID != a.ID {
				t.Fatal("it did not stay the one alert")
			}
			read(false, rule.MinSamples)
			b.clock.pass(slow)
			b.evaluate(w)
			if !rule.Event {
				b.clock.pass(2*time.Minute - time.Second)
				b.evaluate(w)
				if b.open(owner, rule.Name, target) == nil {
					t.Fatal("ended before it was false for two minutes")
				}
				b.clock.pass(time.Second + time.Minute)
				b.evaluate(w)
			}
			if a := b.open(owner, rule.Name, target); a != nil {
				t.Fatalf("not ended: %+v", a)
			}
			ended, err := b.db.Reader().Alarms().Alert(t.Context(), evcs.Only(owner), a.ID)
			if err != nil || !ended.Automatic || ended.Resolution == nil || *ended.Resolution != "AUTO" {
				t.Errorf("how it ended: %+v %v", ended, err)
			}
		})
	}
	if seen < 25 {
		t.Errorf("only %d rules were tried", seen)
	}
}

func TestLevelsRise(t *testing.T) {
	t.Parallel()
	b := newBench(t, storetest.SQLite(t))
	w := b.watch("a")
	target := alarm.OfTenant(7)
	for _, step := range []struct {
		days     evcs.Milli
		severity alarm.Severity
	}{{30_000, alarm.Low}, {20_000, alarm.Low}, {7000, alarm.Medium}, {1000, alarm.High}} {
		b.dials.readings["tenant_days_left"] = []alarm.Reading{{Tenant: 7, Target: target, Value: step.days}}
		b.evaluate(w)
		if a := b.open(7, alarm.TenantExpiring, target); a == nil || a.Severity != step.severity {
			t.Fatalf("%s days: %+v, want %s", step.days, a, step.severity)
		}
		b.clock.pass(time.Hour)
	}
	a := b.open(7, alarm.TenantExpiring, target)
	err := b.db.Transact(t.Context(), func(tx *store.Tx) error {
		return alarm.Resolve(t.Context(), tx.Alarms(), &evcs.Actor{User: 5}, a, "known", b.clock.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	b.evaluate(w)
	b.clock.pass(time.Hour)
	b.evaluate(w)
	if a := b.open(7, alarm.TenantExpiring, target); a != nil {
		t.Error("what a person has ended came again although nothing was new")
	}
}

func TestEndedByAPersonItMustHoldAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, storetest.SQLite(t))
	w := b.watch("a")
	target := alarm.OfTenant(7)
	b.dials.readings["charger_offline_rate"] = []alarm.Reading{{Tenant: 7, Target: target, Value: 50_000, Samples: 10}}
	b.evaluate(w)
	b.clock.pass(10 * time.Minute)
	b.evaluate(w)
	first := b.open(7, alarm.HighChargerOfflineRate, target)
	if first == nil {
		t.Fatal("not raised")
	}
	if err := b.db.Transact(t.Context(), func(tx *store.Tx) error {
		return alarm.Resolve(t.Context(), tx.Alarms(), &evcs.Actor{User: 5}, first, "done", b.clock.Now())
	}); err != nil {
		t.Fatal(err)
	}
	b.evaluate(w)
	b.clock.pass(9 * time.Minute)
	b.evaluate(w)
	if b.open(7, alarm.HighChargerOfflineRate, target) != nil {
		t.Fatal("raised again before its time")
	}
	b.clock.pass(time.Minute)
	b.evaluate(w)
	if a := b.open(7, alarm.HighChargerOfflineRate, target); a == nil || a.ID == first.ID {
		t.Errorf("after its time: %+v", a)
	}
}

func TestTenantsValuesAndOwnRules(t *testing.T) {
	t.Parallel()
	b := newBench(t, storetest.SQLite(t))
	w := b.watch("a")
	threshold := evcs.Milli(60_000)
	err := b.db.Transact(t.Context(), func(tx *store.Tx) error {
		rules := store.AlertRulesOf(tx)
		return errors.Join(
			rules.InsertRule(t.Context(), &alarm.Setting{Tenant: 7, BuiltIn: 23, Name: "HighChargerOfflineRate", Threshold: &threshold, Severity: alarm.Critical, MinSamples: 1, Enabled: true}),
			rules.InsertRule(t.Context(), &alarm.Setting{Tenant: 8, BuiltIn: 23, Name: "HighChargerOfflineRate", Severity: alarm.High, Enabled: false}),
			rules.InsertRule(t.Context(), &alarm.Setting{Tenant: 7, BuiltIn: 22, Name: "ChargerOffline", Severity: alarm.Low, Enabled: false}),
			rules.InsertRule(t.Context(), &alarm.Setting{
				Tenant: 7, Name: "hot", Metric: "connector_temperature", Op: alarm.Above, Threshold: &threshold, Severity: alarm.High,
				Filter: alarm.Filter{Charger: 10001}, Enabled: true,
			}))
	})
	if err != nil {
		t.Fatal(err)
	}
	b.dials.readings["charger_offline_rate"] = []alarm.Reading{
		{Tenant: 7, Target: alarm.OfTenant(7), Value: 61_000, Samples: 2}, {Tenant: 8, Target: alarm.OfTenant(8), Value: 100_000, Samples: 9},
	}
	b.dials.readings["connector_temperature"] = []alarm.Reading{
		{Tenant: 7, Charger: 10001, Target: alarm.Target{Type: "CONNECTOR", ID: "10001/1"}, Value: 61_000},
		{Tenant: 7, Charger: 10002, Target: alarm.Target{Type: "CONNECTOR", ID: "10002/1"}, Value: 99_000},
		{Tenant: 8, Charger: 10003, Target: alarm.Target{Type: "CONNECTOR", ID: "10003/1"}, Value: 99_000},
	}
	b.evaluate(w)
	if a := b.open(7, alarm.HighChargerOfflineRate, alarm.OfTenant(7)); a == nil || a.Severity != alarm.Critical || *a.Threshold != threshold {
		t.Errorf("the tenant's own values: %+v", a)
	}
	if a := b.open(8, alarm.HighChargerOfflineRate, alarm.OfTenant(8)); a != nil {
		t.Errorf("a rule that is off was raised: %+v", a)
	}
	if a := b.open(7, "hot", alarm.Target{Type: "CONNECTOR", ID: "10001/1"}); a == nil || a.Source != "CUSTOM" || a.Title != "hot" {
		t.Errorf("own rule: %+v", a)
	}
	for tenant, id := range map[evcs.TenantID]string{7: "10002/1", 8: "10003/1"} {
		if a := b.open(tenant, "hot", alarm.Target{Type: "CONNECTOR", ID: id}); a != nil {
			t.Errorf("outside the filter or the tenant: %+v", a)
		}
	}
	raise := func(t2 evcs.TenantID) *alarm.Alert {
		if err := b.db.Transact(t.Context(), func(tx *store.Tx) error {
			return alarm.Raise(t.Context(), tx.Alarms(), alarm.Alert{Tenant: t2, Rule: alarm.ChargerOffline, Target: alarm.OfCharger(1)}, b.clock.Now())
		}); err != nil {
			t.Fatal(err)
		}
		return b.open(t2, alarm.ChargerOffline, alarm.OfCharger(1))
	}
	if raise(7) != nil {
		t.Error("an event rule that is off was raised")
	}
	if raise(9) == nil {
		t.Error("the rule of another tenant was off too")
	}
}

func TestAMetricThatCannotBeReadEndsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, storetest.SQLite(t))
	w := b.watch("a")
	target := alarm.OfTenant(7)
	b.dials.readings["quota_usage"] = []alarm.Reading{{Tenant: 7, Target: target, Value: 95_000}}
	b.evaluate(w)
	b.dials.broken["quota_usage"] = true
	for range 5 {
		b.clock.pass(5 * time.Minute)
		b.evaluate(w)
	}
	if b.open(7, alarm.QuotaNearLimit, target) == nil {
		t.Error("ended although nobody could look")
	}
}

// Two nodes: one of them evaluates for the installation, each for itself.
func TestOneNodeWatchesForAll(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		one, two := b.watch("one"), b.watch("two")
		b.dials.readings["outbox_lag"] = []alarm.Reading{{Target: alarm.Target{Type: "SYSTEM", ID: "outbox"}, Value: 100_000}}
		raised := 0
		for range 12 {
			raised += b.evaluate(one) + b.evaluate(two)
			b.clock.pass(15 * time.Second)
		}
		if raised != 1 {
			t.Errorf("raised %d times, want once", raised)
		}
		b.dials.readings["cpu_usage"] = []alarm.Reading{{Target: alarm.NodeTarget("two"), Value: 99_000}}
		for range 12 {
			b.evaluate(two)
			b.clock.pass(15 * time.Second)
		}
		if b.open(0, alarm.CPUSaturated, alarm.NodeTarget("two")) == nil {
			t.Error("the second node does not watch itself")
		}
		one.Alive = func(context.Context) []string { return []string{"two"} }
		b.dials.readings["cpu_usage"] = nil
		b.clock.pass(time.Hour) // the lease of two is over
		b.evaluate(one)
		if b.open(0, alarm.CPUSaturated, alarm.NodeTarget("two")) == nil {
			t.Error("the first node ended what is the second's")
		}
		one.Alive = func(context.Context) []string { return nil }
		b.evaluate(one)
		b.clock.pass(3 * time.Minute)
		b.evaluate(one)
		if b.open(0, alarm.CPUSaturated, alarm.NodeTarget("two")) != nil {
			t.Error("the alert of a node that is gone stays for ever")
		}
	})
}
