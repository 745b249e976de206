package tenant

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Change is what changes of a tenant; nil and unset fields stay. Expires and
// the texts are pointers to what they become.
type Change struct {
	Name, ContactPerson, ContactPhone                     *string
	ContactEmail, Address, SocialCode, LicenseURL, Remark **string
	Type                                                  *Type
	Enabled                                               *bool
	Expires                                               *time.Time
	Limits                                                LimitChange
	Version                                               *int64 // expected
}

// LimitChange is what changes of the quotas; a nil entry of the map is
// unlimited, a missing one stays.
type LimitChange map[Resource]*int64

func (l *Limits) apply(c LimitChange) {
	for kind, limit := range c {
		switch kind {
		case Users:
			l.Users = limit
		case Stations:
			l.Stations = limit
		case Chargers:
			l.Chargers = limit
		case Children:
			l.Children = limit
		case Sessions:
			l.Sessions = limit
		case Orders, Subtree:
		}
	}
	*l = l.tidy()
}

// load is a tenant of the actor's subtree that he may write.
func load(ctx context.Context, s Store, a *evcs.Actor, id evcs.TenantID, expected *int64) (*Tenant, error) {
	t, err := s.Tenant(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	if err := Reach(a, id, true); err != nil {
		return nil, err
	}
	if expected != nil && *expected != t.Version {
		return nil, evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": t.Version})
	}
	return t, nil
}

// selfChange refuses with 5009 what a tenant may not change of itself. Only
// the root's quota is its own business.
func selfChange(a *evcs.Actor, t *Tenant, details map[string]any) error {
	var fields []string
	for _, field := range slices.Sorted(maps.Keys(details)) {
		quota := strings.HasPrefix(field, "max")
		rooted := t.Parent == 0 && (field == "status" || field == "expireTime" || field == "tenantType")
		own := t.ID == a.Tenant && (field == "status" || field == "expireTime" || field == "tenantType" || quota && (t.Parent != 0 || !a.Platform))
		if rooted || own {
			fields = append(fields, field)
		}
	}
	if len(fields) == 0 {
		return nil
	}
	return evcs.With(ErrSelfChange, map[string]any{"fields": fields})
}

// Update changes a tenant of the actor's subtree, or itself but for what only
// an ancestor may change (5009).
func (r *Registry) Update(ctx context.Context, a *evcs.Actor, id evcs.TenantID, c Change) (*Tenant, error) {
	return r.change(ctx, "change tenant", func(tx Tx) (*Tenant, error) {
		s := tx.Tenants()
		t, err := load(ctx, s, a, id, c.Version)
		if err != nil {
			return nil, err
		}
		before := *t
		c.apply(t)
		t.Updated = r.Clock.Now()
		details := diff(&before, t)
		if err := selfChange(a, t, details); err != nil {
			return nil, err
		}
		if err := permitted(a, details); err != nil {
			return nil, err
		}
		faults := t.check()
		if t.Type != before.Type && t.Parent != 0 {
			parents, err := s.Chain(ctx, t.Parent)
			if err != nil {
				return nil, err
			}
			if f := typeFault(a, t.Type, parents.Self().Type); f != nil {
				faults = append(faults, *f)
			}
		}
		if err := evcs.Invalid(faults...); err != nil {
			return nil, err
		}
		if err := s.Update(ctx, t); err != nil {
			return nil, err
		}
		if decides(details) {
			if err := r.announce(ctx, tx, t); err != nil {
				return nil, err
			}
		}
		return t, Audit(ctx, s, a, t.row(t.Updated, c.action(), details))
	})
}

// errDenied is 9403.
var errDenied = evcs.NewError(evcs.CodePermissionDenied, "the permission for this field is missing")

// permitted refuses with 9403 what has a permission of its own beside that of
// changing a tenant: its status and its quotas.
func permitted(a *evcs.Actor, details map[string]any) error {
	for field := range details {
		var need evcs.Permission
		switch {
		case field == "status":
			need = "tenant:status"
		case strings.HasPrefix(field, "max"):
			need = "tenant:quota"
		}
		if need != "" && !a.May(need) {
			return evcs.With(errDenied, map[string]any{"permission": string(need)})
		}
	}
	return nil
}

// action is UPDATE_QUOTA when nothing but quotas was asked for.
func (c *Change) action() Action {
	if len(c.Limits) > 0 && c.Name == nil && c.Type == nil && c.Enabled == nil && c.Expires == nil && c.ContactPerson == nil && c.ContactPhone == nil {
		return UpdateQuota
	}
	return UpdateTenant
}

func (c *Change) apply(t *Tenant) {
	take(&t.Name, c.Name)
	take(&t.ContactPerson, c.ContactPerson)
	take(&t.ContactPhone, c.ContactPhone)
	take(&t.ContactEmail, c.ContactEmail)
	take(&t.Address, c.Address)
	take(&t.SocialCode, c.SocialCode)
	take(&t.LicenseURL, c.LicenseURL)
	take(&t.Remark, c.Remark)
	take(&t.Type, c.Type)
	take(&t.Enabled, c.Enabled)
	take(&t.Expires, c.Expires)
	t.Limits.apply(c.Limits)
}

// diff is what changed, before and after, under the contract's names.
func diff(before, after *Tenant) map[string]any {
	d := make(map[string]any)
	Differ(d, "tenantName", before.Name, after.Name)
	Differ(d, "contactPerson", before.ContactPerson, after.ContactPerson)
	Differ(d, "contactPhone", before.ContactPhone, after.ContactPhone)
	Differ(d, "contactEmail", text(before.ContactEmail), text(after.ContactEmail))
	Differ(d, "address", text(before.Address), text(after.Address))
	Differ(d, "socialCode", text(before.SocialCode), text(after.SocialCode))
	Differ(d, "licenseUrl", text(before.LicenseURL), text(after.LicenseURL))
	Differ(d, "remark", text(before.Remark), text(after.Remark))
	Differ(d, "tenantType", int(before.Type), int(after.Type))
	Differ(d, "status", statusNumber(before.Enabled), statusNumber(after.Enabled))
	Differ(d, "expireTime", evcs.Millis(before.Expires), evcs.Millis(after.Expires))
	for kind, field := range quotaFields {
		Differ(d, field, quota(before.Limits.Of(kind)), quota(after.Limits.Of(kind)))
	}
	return d
}

var quotaFields = map[Resource]string{
	Users: "maxUsers", Stations: "maxStations", Chargers: "maxChargers", Children: "maxChildren", Sessions: "maxSessions",
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func quota(limit *int64) int64 {
	if limit == nil {
		return 0
	}
	return *limit
}

func statusNumber(enabled bool) int {
	if enabled {
		return 1
	}
	return 0
}
