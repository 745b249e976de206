package alarm_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// keen is a watch that reads the store itself.
func (b *bench) keen() *alarm.Watch {
	return &alarm.Watch{
		Clock: b.clock, Log: slog.New(slog.DiscardHandler), Gauges: b.db.Reader().Gauges(), Node: "a",
		Transact: func(ctx context.Context, fn func(alarm.Store, alarm.Conditions) error) error {
			return b.db.Transact(ctx, func(tx *store.Tx) error { return fn(tx.Alarms(), store.ConditionsOf(tx)) })
		},
	}
}

// From rows of the store to the alert and its end.
func TestAQuotaNearItsLimit(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		w, children := b.keen(), int64(10)
		root := &tenant.Tenant{Code: "R", Name: "r", Type: tenant.Platform, Enabled: true, Limits: tenant.Limits{Children: &children}}
		b.tenant(root)
		target := alarm.Target{Type: "QUOTA", ID: "children"}
		for range 8 {
			b.tenant(&tenant.Tenant{Code: string(rune('A' + b.serial)), Name: "x", Type: tenant.Operator, Parent: root.ID, Level: 1, Enabled: true})
		}
		b.evaluate(w)
		if a := b.open(root.ID, alarm.QuotaNearLimit, target); a != nil {
			t.Fatalf("8 of 10: %+v", a)
		}
		b.tenant(&tenant.Tenant{Code: "LAST", Name: "x", Type: tenant.Operator, Parent: root.ID, Level: 1, Enabled: true})
		b.clock.pass(time.Minute)
		b.evaluate(w)
		if a := b.open(root.ID, alarm.QuotaNearLimit, target); a == nil || a.Severity != alarm.Low || *a.Value != 90_000 {
			t.Fatalf("9 of 10: %+v", a)
		}
		if err := b.db.Transact(t.Context(), func(tx *store.Tx) error {
			children = 11
			return tx.Tenants().Update(t.Context(), root)
		}); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			b.clock.pass(time.Minute)
			b.evaluate(w)
		}
		if a := b.open(root.ID, alarm.QuotaNearLimit, target); a != nil {
			t.Errorf("9 of 11: %+v", a)
		}
	})
}

func TestATenantThatExpires(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		b := newBench(t, db)
		const days, slow = 24 * time.Hour, 10 * time.Minute // the metric is read no oftener
		w := b.keen()
		x := b.tenant(&tenant.Tenant{Code: "R", Name: "r", Type: tenant.Platform, Enabled: true, Expires: b.clock.Now().Add(31 * days)})
		target := alarm.OfTenant(x.ID)
		for _, step := range []struct {
			pass time.Duration
			want alarm.Severity
		}{
			{0, ""},
			{days - time.Millisecond, ""},
			{slow, alarm.Low},
			{23*days - slow, alarm.Low},
			{slow, alarm.Medium},
			{6*days - slow, alarm.Medium},
			{slow, alarm.High},
		} {
			b.clock.pass(step.pass)
			b.evaluate(w)
			var got alarm.Severity
			if a := b.open(x.ID, alarm.TenantExpiring, target); a != nil {
				got = a.Severity
			}
			if got != step.want {
				t.Fatalf("%s before its end: %q, want %q", x.Expires.Sub(b.clock.Now()), got, step.want)
			}
		}
		x.Expires = b.clock.Now().Add(365 * days)
		if err := b.db.Transact(t.Context(), func(tx *store.Tx) error { return tx.Tenants().Update(t.Context(), x) }); err != nil {
			t.Fatal(err)
		}
		b.clock.pass(slow)
		b.evaluate(w)
		if a := b.open(x.ID, alarm.TenantExpiring, target); a != nil {
			t.Errorf("renewed: %+v", a)
		}
	})
}

// Two readings of one target: the worse one counts, in whatever order.
func TestTheWorstReadingCounts(t *testing.T) {
	t.Parallel()
	b := newBench(t, storetest.SQLite(t))
	w := b.watch("a")
	target := alarm.Target{Type: "CERTIFICATE", ID: "device authority CN=one"}
	read := func(days ...evcs.Milli) {
		var list []alarm.Reading
		for _, d := range days {
			list = append(list, alarm.Reading{Target: target, Value: d * 1000})
		}
		b.dials.readings["certificate_days_left"] = list
		b.evaluate(w)
		b.clock.pass(time.Hour)
	}
	read(25, 400)
	if a := b.open(0, alarm.CertificateExpiring, target); a == nil || a.Severity != alarm.Medium {
		t.Errorf("%+v", a)
	}
	read(400, 5)
	if a := b.open(0, alarm.CertificateExpiring, target); a == nil || a.Severity != alarm.Critical {
		t.Errorf("%+v", a)
	}
	read(400, 401)
	if a := b.open(0, alarm.CertificateExpiring, target); a != nil {
		t.Errorf("renewed: %+v", a)
	}
}

// tenant stores a tenant.
func (b *bench) tenant(x *tenant.Tenant) *tenant.Tenant {
	b.t.Helper()
	b.serial++
	if err := b.db.Transact(b.t.Context(), func(tx *store.Tx) error { return tx.Tenants().Insert(b.t.Context(), x) }); err != nil {
		b.t.Fatal(err)
	}
	return x
}
