package auth

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// NewRole asks for a role.
type NewRole struct {
	Tenant evcs.TenantID
	Code   string
	Name   string
	Grants []string
	Remark string
}

var roleForm = regexp.MustCompile(`^[A-Z][A-Z0-9_]{1,49}$`)

// CreateRole creates a role in the actor's tenant or below it.
func (r *Registry) CreateRole(ctx context.Context, a *evcs.Actor, n NewRole) (*Role, error) {
	if !roleForm.MatchString(n.Code) {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "roleCode", Message: "must be a capital and 1 to 49 of A-Z 0-9 _"})
	}
	if err := known("permissions", n.Grants); err != nil {
		return nil, err
	}
	if err := MayGrant(a, n.Grants); err != nil {
		return nil, err
	}
	var made Role
	err := r.Transact(ctx, func(tx Tx) error {
		now := r.Clock.Now()
		made = Role{Tenant: n.Tenant, Code: n.Code, Name: n.Name, Grants: n.Grants, Remark: n.Remark, Created: now, Updated: now}
		if _, err := reachable(ctx, tx, a, n.Tenant); err != nil {
			return err
		}
		if list, err := tx.Auth().RolesByCode(ctx, n.Tenant, []string{n.Code}); err == nil && len(list) > 0 {
			return evcs.With(ErrRoleExists, map[string]any{"roleCode": n.Code})
		}
		if err := tx.Auth().InsertRole(ctx, &made); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, roleRow(&made, tenant.Created(tenant.KindRole), map[string]any{
			"roleCode": made.Code, "roleName": made.Name, "permissions": made.Grants,
		}))
	})
	if err != nil {
		return nil, fmt.Errorf("create role: %w", err)
	}
	return &made, nil
}

// known refuses with 9400 grants that stand for nothing.
func known(field string, grants []string) error {
	var faults []evcs.FieldFault
	for i, grant := range grants {
		if !Known(grant) {
			faults = append(faults, evcs.FieldFault{Field: fmt.Sprintf("%s[%d]", field, i), Message: "is no permission: " + grant})
		}
	}
	return evcs.Invalid(faults...)
}

func roleRow(r *Role, action tenant.Action, details map[string]any) tenant.AuditRow {
	return tenant.AuditRow{
		At: r.Updated, Action: action, Target: r.Tenant, TargetType: tenant.KindRole, TargetID: fmt.Sprint(r.ID),
		Success: true, Details: details,
	}
}

// RoleChange is what changes of a role; nil fields stay.
type RoleChange struct {
	Name, Remark *string
	Grants       *[]string
	Version      *int64 // expected
}

// UpdateRole changes a role of the actor's subtree; built-in ones are 6015.
func (r *Registry) UpdateRole(ctx context.Context, a *evcs.Actor, id evcs.RoleID, c RoleChange) (*Role, error) {
	if c.Grants != nil {
		if err := known("permissions", *c.Grants); err != nil {
			return nil, err
		}
	}
	var changed *Role
	err := r.Transact(ctx, func(tx Tx) error {
		role, err := r.ownRole(ctx, tx, a, id)
		if err != nil {
			return err
		}
		if err := expect(role.Version, c.Version); err != nil {
			return err
		}
		details := make(map[string]any)
		if c.Grants != nil {
			if err := MayGrant(a, added(role.Grants, *c.Grants)); err != nil {
				return err
			}
			tenant.Differ(details, "permissions", strings.Join(role.Grants, ","), strings.Join(*c.Grants, ","))
			role.Grants = *c.Grants
		}
		before := role.Name
		set(&role.Name, c.Name)
		set(&role.Remark, c.Remark)
		tenant.Differ(details, "roleName", before, role.Name)
		changed = role
		if err := tx.Auth().UpdateRole(ctx, role); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, roleRow(role, tenant.Updated(tenant.KindRole), details))
	})
	if err != nil {
		return nil, fmt.Errorf("change role: %w", err)
	}
	r.Changed()
	return changed, nil
}

// ownRole is a role that the actor may change.
func (r *Registry) ownRole(ctx context.Context, tx Tx, a *evcs.Actor, id evcs.RoleID) (*Role, error) {
	role, err := tx.Auth().Role(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	if BuiltIn(role.ID) {
		return nil, evcs.With(ErrRoleInUse, map[string]any{"roleId": id, "users": role.Users})
	}
	role.Updated = r.Clock.Now()
	_, err = reachable(ctx, tx, a, role.Tenant)
	return role, err
}

// DeleteRole ends a role that nobody has; assigned ones are 6015.
func (r *Registry) DeleteRole(ctx context.Context, a *evcs.Actor, id evcs.RoleID) error {
	err := r.Transact(ctx, func(tx Tx) error {
		role, err := r.ownRole(ctx, tx, a, id)
		if err != nil {
			return err
		}
		// Giving a role reserves no lock; the tenant's does for both.
		if _, err := tx.Tenants().LockChain(ctx, role.Tenant); err != nil {
			return err
		}
		n, err := tx.Auth().Holders(ctx, evcs.Subtree(role.Tenant), id)
		if err != nil {
			return err
		}
		if n > 0 {
			return evcs.With(ErrRoleInUse, map[string]any{"roleId": id, "users": n})
		}
		if err := tx.Auth().DeleteRole(ctx, role, role.Updated); err != nil {
			return err
		}
		return tenant.Audit(ctx, tx.Tenants(), a, roleRow(role, tenant.Deleted(tenant.KindRole), map[string]any{"roleCode": role.Code}))
	})
	if err != nil {
		return fmt.Errorf("delete role: %w", err)
	}
	r.Changed()
	return nil
}
