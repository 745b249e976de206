package store_test

import (
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// Every metric of tenants can be read on both engines, and those of the tenant
// itself say what is there.
func TestGauges(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		now := time.Date(2026, 2, 10, 4, 0, 0, 0, time.UTC)
		gauges := db.Reader().Gauges()
		for _, m := range alarm.Metrics() {
			if list, err := gauges.Read(t.Context(), m.Name, now); err != nil || len(list) != 0 {
				t.Errorf("%s of an empty store: %v %v", m.Name, list, err)
			}
		}
		limit := int64(2)
		root := &tenant.Tenant{Code: "R", Name: "r", Type: tenant.Platform, Enabled: true, Expires: now.Add(60 * time.Hour), Limits: tenant.Limits{Children: &limit}}
		err := db.Transact(t.Context(), func(tx *store.Tx) error {
			if err := tx.Tenants().Insert(t.Context(), root); err != nil {
				return err
			}
			return tx.Tenants().Insert(t.Context(), &tenant.Tenant{Code: "C", Name: "c", Type: tenant.Operator, Parent: root.ID, Level: 1, Enabled: true})
		})
		if err != nil {
			t.Fatal(err)
		}
		read := func(metric string) alarm.Reading {
			list, err := gauges.Read(t.Context(), metric, now)
			if err != nil || len(list) != 1 || list[0].Tenant != root.ID {
				t.Fatalf("%s: %v %v", metric, list, err)
			}
			return list[0]
		}
		if r := read("quota_usage"); r.Value != 50_000 || r.Label != "children" {
			t.Errorf("quota: %+v", r)
		}
		if r := read("tenant_days_left"); r.Value != 2500 {
			t.Errorf("days left: %+v", r)
		}
	})
}

func TestLockoutsAreCountedWithinTheSpan(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		at := time.Date(2026, 2, 10, 4, 0, 0, 0, time.UTC)
		for i, want := range []int{1, 2, 3, 3} {
			now := at.Add(time.Duration(i) * 11 * time.Hour)
			n := 0
			err := db.Transact(t.Context(), func(tx *store.Tx) (err error) {
				if _, err = store.NoteLockout(t.Context(), tx, 1, evcs.UserID(6), now, now.Add(-24*time.Hour)); err != nil {
					return err
				}
				n, err = store.NoteLockout(t.Context(), tx, 1, evcs.UserID(5), now, now.Add(-24*time.Hour))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if n != want {
				t.Errorf("lockout %d: %d in 24 h, want %d", i+1, n, want)
			}
		}
	})
}
