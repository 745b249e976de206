package store_test

import (
	"testing"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tariff"
)

// TestReadsBehindAnotherKeepTheirScope asks what the API reaches only through
// another scoped read, so that the cross-tenant sweep cannot see its scope:
// the owner finds it, a stranger with the id finds nothing. `make test-leaks`
// removes the scope of each.
func TestReadsBehindAnotherKeepTheirScope(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, ctx := build(t, db), t.Context()
		_, _, _, err := (station.Keys{Registry: a.registry}).Issue(ctx, boss(), a.charger.ID, 0)
		must(t, err)
		target := alarm.OfCharger(a.charger.ID)
		must(t, db.Transact(ctx, func(tx *store.Tx) error {
			return alarm.Raise(ctx, tx.Alarms(), alarm.Alert{Tenant: a.tenant, Rule: alarm.ChargerOffline, Target: target, Charger: a.charger.ID, Message: "C1"}, day)
		}))
		var alert *alarm.Alert
		must(t, db.Transact(ctx, func(tx *store.Tx) (err error) {
			alert, err = tx.Alarms().OpenAlert(ctx, evcs.Only(a.tenant), alarm.ChargerOffline, target)
			return err
		}))
		a.plan(t, "DEFAULT", func(p *tariff.Plan) { p.Default = true })
		read := db.Reader()
		for name, found := range map[string]func(s evcs.Scope) (int, error){
			"AlertSteps": func(s evcs.Scope) (int, error) {
				list, err := read.Alarms().AlertSteps(ctx, s, alert.ID)
				return len(list), err
			},
			"Connectors": func(s evcs.Scope) (int, error) {
				list, err := read.Stations().Connectors(ctx, s, a.charger.ID)
				return len(list), err
			},
			"ConnectorList": func(s evcs.Scope) (int, error) {
				list, err := read.Stations().ConnectorList(ctx, s, []evcs.ChargerID{a.charger.ID})
				return len(list), err
			},
			"DefaultPlan": func(s evcs.Scope) (int, error) {
				p, err := read.Tariffs().DefaultPlan(ctx, s, 0)
				if err != nil || p == nil {
					return 0, err
				}
				return 1, nil
			},
			"Credential": func(s evcs.Scope) (int, error) {
				c, err := read.Stations().Credential(ctx, s, a.charger.ID)
				if err != nil || c.Version == 0 {
					return 0, err
				}
				return 1, nil
			},
		} {
			if n, err := found(evcs.Only(a.tenant)); err != nil || n == 0 {
				t.Errorf("%s: the owner finds %d (%v)", name, n, err)
			}
			for _, s := range []evcs.Scope{evcs.Only(a.other), evcs.Subtree(a.other)} {
				if n, err := found(s); err != nil || n != 0 {
					t.Errorf("%s: a stranger finds %d (%v)", name, n, err)
				}
			}
		}
	})
}
