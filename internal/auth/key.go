package auth

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// KeyRing has the verbs on API keys.
type KeyRing struct {
	Clock    evcs.Clock
	Transact Transact
	// Changed is called after each commit; see Guard.Forget.
	Changed func()
}

// NewKey asks for an API key; a zero User is the actor.
type NewKey struct {
	Name      string
	User      evcs.UserID
	Scopes    []string
	AllowCIDR []string
	Expires   time.Time
}

const (
	maxKeyLife  = 2 // years
	maxKeyCIDR  = 16
	maxKeyScope = 200
)

// Create makes a key and returns its secret, which is not kept. Its scopes are
// within what the actor holds; it acts with what its owner holds at the time.
func (r *KeyRing) Create(ctx context.Context, a *evcs.Actor, n NewKey) (*Key, string, error) {
	now := r.Clock.Now()
	if err := n.check(now); err != nil {
		return nil, "", err
	}
	if err := MayGrant(a, n.Scopes); err != nil {
		return nil, "", err
	}
	if n.User == 0 {
		n.User = a.User
	}
	secret := newSecret(keyPrefix, keyLetters)
	var made Key
	err := r.Transact(ctx, func(tx Tx) error {
		owner, err := tx.Auth().User(ctx, evcs.Subtree(a.Tenant), n.User)
		if err != nil {
			return err
		}
		if _, err := reachable(ctx, tx, a, owner.Tenant); err != nil {
			return err
		}
		made = Key{
			Tenant: owner.Tenant, User: owner.ID, Name: n.Name, Prefix: secret[:8], Hash: digest(secret), Scopes: n.Scopes,
			AllowCIDR: n.AllowCIDR, Enabled: true, Expires: n.Expires, Created: now, CreatedBy: a.User,
		}
		if err := tx.Auth().InsertKey(ctx, &made); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, keyRow(&made, now, tenant.Created(tenant.KindAPIKey), map[string]any{
			"name": made.Name, "userId": made.User, "scopes": made.Scopes,
		}))
	})
	if err != nil {
		return nil, "", fmt.Errorf("create API key: %w", err)
	}
	return &made, secret, nil
}

func (n *NewKey) check(now time.Time) error {
	var faults []evcs.FieldFault
	if len(n.Scopes) == 0 || len(n.Scopes) > maxKeyScope {
		faults = append(faults, evcs.FieldFault{Field: "scopes", Message: "must have 1 to 200 entries"})
	}
	for i, scope := range n.Scopes {
		if !Known(scope) {
			faults = append(faults, evcs.FieldFault{Field: fmt.Sprintf("scopes[%d]", i), Message: "is no permission: " + scope})
		}
	}
	faults = append(faults, checkLife(n.Expires, now)...)
	return evcs.Invalid(append(faults, checkNetworks(n.AllowCIDR)...)...)
}

func checkLife(expires, now time.Time) []evcs.FieldFault {
	if expires.After(now) && !expires.After(now.AddDate(maxKeyLife, 0, 0)) {
		return nil
	}
	return []evcs.FieldFault{{Field: "expireTime", Message: "must lie within the next two years"}}
}

func checkNetworks(list []string) []evcs.FieldFault {
	var faults []evcs.FieldFault
	if len(list) > maxKeyCIDR {
		faults = append(faults, evcs.FieldFault{Field: "allowCidr", Message: "must have at most 16 entries"})
	}
	for i, text := range list {
		if _, err := netip.ParsePrefix(text); err != nil {
			faults = append(faults, evcs.FieldFault{Field: fmt.Sprintf("allowCidr[%d]", i), Message: "is no network: " + clip(text, 50)})
		}
	}
	return faults
}

func keyRow(k *Key, at time.Time, action tenant.Action, details map[string]any) tenant.AuditRow {
	return tenant.AuditRow{
		At: at, Action: action, Target: k.Tenant, TargetType: tenant.KindAPIKey, TargetID: fmt.Sprint(k.ID), Success: true, Details: details,
	}
}

// KeyChange is what changes of a key; nil fields stay.
type KeyChange struct {
	Name      *string
	Enabled   *bool
	Expires   *time.Time
	AllowCIDR *[]string
	Scopes    *[]string // may only shrink
	Version   *int64    // expected
}

// Update changes a key; its scopes may only shrink (6017).
func (r *KeyRing) Update(ctx context.Context, a *evcs.Actor, id evcs.KeyID, c KeyChange) (*Key, error) {
	now := r.Clock.Now()
	var faults []evcs.FieldFault
	if c.Expires != nil {
		faults = checkLife(*c.Expires, now)
	}
	if c.AllowCIDR != nil {
		faults = append(faults, checkNetworks(*c.AllowCIDR)...)
	}
	if err := evcs.Invalid(faults...); err != nil {
		return nil, err
	}
	return r.change(ctx, a, id, tenant.Updated(tenant.KindAPIKey), func(k *Key, details map[string]any) error {
		if err := expect(k.Version, c.Version); err != nil {
			return err
		}
		if c.Scopes != nil {
			if err := shrinks(k.Scopes, *c.Scopes); err != nil {
				return err
			}
			k.Scopes = *c.Scopes
			details["scopes"] = k.Scopes
		}
		before := *k
		set(&k.Name, c.Name)
		set(&k.Enabled, c.Enabled)
		set(&k.Expires, c.Expires)
		set(&k.AllowCIDR, c.AllowCIDR)
		tenant.Differ(details, "name", before.Name, k.Name)
		tenant.Differ(details, "status", status(before.Enabled), status(k.Enabled))
		tenant.Differ(details, "expireTime", before.Expires, k.Expires)
		return nil
	})
}

// shrinks refuses scopes that hold what the old ones did not.
func shrinks(old, scopes []string) error {
	if err := known("scopes", scopes); err != nil {
		return err
	}
	had := make(map[evcs.Permission]bool)
	for _, scope := range old {
		for _, code := range expand(scope) {
			had[code] = true
		}
	}
	return MayGrant(&evcs.Actor{Permissions: had}, scopes)
}

// Rotate gives a key a new secret; the old one works for overlap more.
func (r *KeyRing) Rotate(ctx context.Context, a *evcs.Actor, id evcs.KeyID, overlap time.Duration) (*Key, string, error) {
	secret := newSecret(keyPrefix, keyLetters)
	k, err := r.change(ctx, a, id, tenant.Updated(tenant.KindAPIKey), func(k *Key, details map[string]any) error {
		if err := MayGrant(a, k.Scopes); err != nil {
			return err // whoever sees the secret can use it
		}
		k.Previous, k.PreviousUntil = k.Hash, r.Clock.Now().Add(overlap)
		k.Hash, k.Prefix = digest(secret), secret[:8]
		details["rotated"] = true
		return nil
	})
	return k, secret, err
}

// Delete ends a key at once.
func (r *KeyRing) Delete(ctx context.Context, a *evcs.Actor, id evcs.KeyID) error {
	_, err := r.change(ctx, a, id, tenant.Deleted(tenant.KindAPIKey), func(k *Key, _ map[string]any) error {
		k.Deleted = r.Clock.Now()
		return nil
	})
	return err
}

func (r *KeyRing) change(ctx context.Context, a *evcs.Actor, id evcs.KeyID, action tenant.Action, f func(*Key, map[string]any) error) (*Key, error) {
	var changed *Key
	err := r.Transact(ctx, func(tx Tx) error {
		k, err := tx.Auth().Key(ctx, evcs.Subtree(a.Tenant), id)
		if err != nil {
			return err
		}
		if _, err := reachable(ctx, tx, a, k.Tenant); err != nil {
			return err
		}
		details := map[string]any{"name": k.Name}
		k.Scopes = slices.Clone(k.Scopes)
		if err := f(k, details); err != nil {
			return err
		}
		changed = k
		if err := tx.Auth().UpdateKey(ctx, k); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, keyRow(k, r.Clock.Now(), action, details))
	})
	if err != nil {
		return nil, fmt.Errorf("change API key: %w", err)
	}
	r.Changed()
	return changed, nil
}
