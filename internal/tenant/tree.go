package tenant

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/evcs/evcs/internal/evcs"
)

// Switched is what enabling or disabling a tenant did.
type Switched struct {
	Tenant   *Tenant
	State    State
	Affected int64 // tenants of the subtree
	Running  int64 // sessions in it that go on to their end
}

// SetStatus enables or disables a tenant and with it, by evaluation, all below
// it; their own status stays.
func (r *Registry) SetStatus(ctx context.Context, a *evcs.Actor, id evcs.TenantID, enabled bool, expected *int64) (Switched, error) {
	var done Switched
	_, err := r.change(ctx, "switch tenant", func(tx Tx) (*Tenant, error) {
		s := tx.Tenants()
		t, err := load(ctx, s, a, id, expected)
		if err != nil {
			return nil, err
		}
		if err := selfChange(a, t, map[string]any{"status": true}); err != nil {
			return nil, err
		}
		before := t.Enabled
		t.Enabled, t.Updated = enabled, r.Clock.Now()
		if err := s.Update(ctx, t); err != nil {
			return nil, err
		}
		if done, err = r.switched(ctx, s, t); err != nil {
			return nil, err
		}
		if err := r.announce(ctx, tx, t); err != nil {
			return nil, err
		}
		details := map[string]any{"status": map[string]any{"before": statusNumber(before), "after": statusNumber(enabled)}}
		if err := Audit(ctx, s, a, t.row(t.Updated, UpdateStatus, details)); err != nil || enabled {
			return t, err
		}
		return t, Audit(ctx, s, a, t.row(t.Updated, DisableRecursive, map[string]any{"tenants": done.Affected}))
	})
	return done, err
}

func (r *Registry) switched(ctx context.Context, s Store, t *Tenant) (Switched, error) {
	chain, err := s.Chain(ctx, t.ID)
	if err != nil {
		return Switched{}, err
	}
	done := Switched{Tenant: t}
	done.State, _ = chain.State(t.Updated)
	if done.Affected, err = s.Usage(ctx, t.ID, Subtree); err != nil {
		return Switched{}, err
	}
	done.Running, err = s.Usage(ctx, t.ID, Sessions)
	return done, err
}

// decides reports whether a change is one that others keep in memory: status,
// expiry, type and quotas, not how somebody is called.
func decides(details map[string]any) bool {
	for field := range details {
		if field == "status" || field == "expireTime" || field == "tenantType" || strings.HasPrefix(field, "max") {
			return true
		}
	}
	return false
}

// announce tells listeners that what holds for a tenant and all below it has
// changed: its status, expiry, place, quotas or settings. Who keeps a Chain
// that has the tenant in it reads it anew.
func (r *Registry) announce(ctx context.Context, tx Tx, t *Tenant) error {
	data, err := json.Marshal(map[string]any{"tenantId": t.ID, "status": statusNumber(t.Enabled)})
	if err != nil {
		return fmt.Errorf("word the event: %w", err)
	}
	return tx.Emit(ctx, evcs.Event{Type: evcs.EventTenantStatus, Time: t.Updated, Tenant: t.ID, Data: data})
}

// Move puts a tenant with all below it under another parent. Both ends lie in
// the actor's subtree, the new place is not below the tenant (5010), and the
// quotas of its new ancestors hold (5006).
func (r *Registry) Move(ctx context.Context, a *evcs.Actor, id, parent evcs.TenantID, expected *int64) (*Tenant, error) {
	return r.change(ctx, "move tenant", func(tx Tx) (*Tenant, error) {
		s := tx.Tenants()
		t, err := load(ctx, s, a, id, expected)
		if err != nil {
			return nil, err
		}
		if _, err := s.Tenant(ctx, evcs.Subtree(a.Tenant), parent); err != nil {
			return nil, err
		}
		old, err := s.LockChain(ctx, id)
		if err != nil {
			return nil, err
		}
		place, err := s.LockChain(ctx, parent)
		if err != nil {
			return nil, err
		}
		if id == a.Tenant || t.Parent == 0 || place.Has(id) || t.Type == Platform && place.Self().Type != Platform {
			return nil, evcs.With(ErrMove, map[string]any{"tenantId": id, "parentId": parent})
		}
		if t.Parent == parent {
			return t, nil
		}
		if err := fits(ctx, s, id, old, place); err != nil {
			return nil, err
		}
		from := t.Parent
		t.Updated = r.Clock.Now()
		if err := s.Move(ctx, t, parent); err != nil {
			return nil, err
		}
		if err := r.announce(ctx, tx, t); err != nil {
			return nil, err
		}
		return t, Audit(ctx, s, a, t.row(t.Updated, MoveTenant, map[string]any{"parentId": map[string]any{"before": from, "after": parent}}))
	})
}

// fits refuses with 5006 when what lies below id does not fit under the
// ancestors it gets.
func fits(ctx context.Context, s Store, id evcs.TenantID, old, place Chain) error {
	f, err := place.Forecast(ctx, s, Children, 1)
	if err != nil {
		return err
	}
	if err := f.Refusal(); err != nil {
		return err
	}
	gained := slices.DeleteFunc(slices.Clone(place), func(t Tenant) bool { return old.Has(t.ID) })
	if slices.ContainsFunc(gained, func(t Tenant) bool { return t.Limits.Sessions != nil }) {
		if err := s.HoldStarts(ctx, id); err != nil {
			return err
		}
	}
	for _, kind := range [...]Resource{Users, Stations, Chargers, Sessions} {
		n, err := s.Usage(ctx, id, kind)
		if err != nil {
			return err
		}
		f, err := gained.Forecast(ctx, s, kind, int(n))
		if err != nil {
			return err
		}
		if err := f.Refusal(); err != nil && n > 0 {
			return err
		}
	}
	return nil
}

// Delete ends an empty tenant with its users, roles and keys; 5008 names what
// it still has.
func (r *Registry) Delete(ctx context.Context, a *evcs.Actor, id evcs.TenantID) error {
	_, err := r.change(ctx, "delete tenant", func(tx Tx) (*Tenant, error) {
		s := tx.Tenants()
		if _, err := load(ctx, s, a, id, nil); err != nil {
			return nil, err
		}
		if _, err := s.LockChain(ctx, id); err != nil {
			return nil, err
		}
		t, err := s.Tenant(ctx, evcs.Subtree(a.Tenant), id)
		if err != nil {
			return nil, err
		}
		if id == a.Tenant || t.Parent == 0 {
			return nil, evcs.With(ErrSelfChange, map[string]any{"fields": []string{"tenantId"}})
		}
		left, total := make(map[string]any), int64(0)
		for _, kind := range [...]Resource{Children, Stations, Chargers, Orders} {
			n, err := s.Usage(ctx, id, kind)
			if err != nil {
				return nil, err
			}
			left[string(kind)] = n
			total += n
		}
		if total > 0 {
			return nil, evcs.With(ErrNotEmpty, left)
		}
		now := r.Clock.Now()
		if err := s.Delete(ctx, t, now); err != nil {
			return nil, err
		}
		return t, Audit(ctx, s, a, t.row(now, DeleteTenant, map[string]any{"tenantCode": t.Code, "tenantName": t.Name}))
	})
	return err
}
