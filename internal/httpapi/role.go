package httpapi

import (
	"context"
	"net/http"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// RoleReader reads roles; store.Auth satisfies it.
type RoleReader interface {
	Role(ctx context.Context, scope evcs.Scope, id evcs.RoleID) (*auth.Role, error)
	RolePage(ctx context.Context, scope evcs.Scope, name string, r evcs.PageRequest) (evcs.Page[auth.Role], error)
}

// Roles are the operations of roles.
type Roles struct {
	Write   *auth.Registry
	Read    RoleReader
	Tenants ChainReader
}

type rolePath struct {
	RoleID evcs.RoleID `path:"roleId"`
}

type roleFilter struct {
	Paging
	Name string `query:"roleName" maxLength:"100"`
}

func (p Roles) register(s *Server) {
	const query, edit = evcs.Permission("role:query"), evcs.Permission("role:edit")
	registerList(s, operation{
		ID: "listRoles", Path: "/api/role", Group: "role", Permission: query, Summary: "Roles",
		Sorts: []string{"roleId", "createTime", "roleCode", "roleName"},
	}, p.list)
	register(s, operation{
		ID: "listPermissions", Method: http.MethodGet, Path: "/api/role/permissions", Group: "role", Permission: query, Summary: "All permissions",
	}, p.permissions)
	register(s, operation{
		ID: "createRole", Method: http.MethodPost, Path: "/api/role", Group: "role", Permission: edit, Summary: "Create a role",
		Said: created, ReadOnly: []any{api.Role{}}, Errors: []evcs.Code{evcs.CodeRoleExists, evcs.CodeGrantExceedsOwn, evcs.CodeTenantNotFound},
	}, p.create)
	register(s, operation{
		ID: "getRole", Method: http.MethodGet, Path: "/api/role/{roleId}", Group: "role", Permission: query, Summary: "One role",
		Errors: []evcs.Code{evcs.CodeRoleNotFound},
	}, p.get)
	register(s, operation{
		ID: "updateRole", Method: http.MethodPut, Path: "/api/role/{roleId}", Group: "role", Permission: edit, Summary: "Change a role",
		ReadOnly: []any{api.Role{}}, Errors: []evcs.Code{evcs.CodeRoleNotFound, evcs.CodeRoleInUse, evcs.CodeGrantExceedsOwn},
	}, p.update)
	register(s, operation{
		ID: "deleteRole", Method: http.MethodDelete, Path: "/api/role/{roleId}", Group: "role", Permission: edit, Summary: "Delete a role nobody has",
		Errors: []evcs.Code{evcs.CodeRoleNotFound, evcs.CodeRoleInUse},
	}, p.remove)
}

func (p Roles) list(ctx context.Context, a *evcs.Actor, in *roleFilter, page evcs.PageRequest) (evcs.Page[api.Role], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Role]{}, err
	}
	chain, err := p.Tenants.Chain(ctx, scope.Tenant)
	if err != nil {
		return evcs.Page[api.Role]{}, err
	}
	found, err := p.Read.RolePage(ctx, scope, in.Name, page)
	platform := chain.Self().Type == tenant.Platform
	return pageOf(found, func(r auth.Role) api.Role { return roleJSON(r, platform) }), err
}

// roleJSON is the wire form; what a built-in role holds depends on whether the
// asking tenant is a platform.
func roleJSON(r auth.Role, platform bool) api.Role {
	grants := r.Grants
	if auth.BuiltIn(r.ID) {
		grants = auth.BuiltInGrants(r.ID, platform)
	}
	return api.Role{
		RoleID: int64(r.ID), TenantID: idOrNil(r.Tenant), RoleCode: r.Code, RoleName: r.Name, BuiltIn: auth.BuiltIn(r.ID),
		Permissions: append([]string{}, grants...), UserCount: r.Users, Remark: textOrNil(r.Remark), CreateTime: api.At(r.Created), Version: r.Version,
	}
}

func (p Roles) permissions(ctx context.Context, _ *evcs.Actor, _ *struct{}) (*[]api.Permission, error) {
	english := exchangeOf(ctx).english
	list := listOf(auth.Permissions(), func(l auth.Listed) api.Permission {
		return api.Permission{Code: string(l.Code), Module: l.Module, Name: words{l.Name.ZH, l.Name.EN}.in(english)}
	})
	return &list, nil
}

func (p Roles) create(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateRole }) (*api.Role, error) {
	b := in.Body
	n := auth.NewRole{Tenant: a.Tenant, Code: b.RoleCode, Name: b.RoleName, Grants: b.Permissions, Remark: orZero(b.Remark)}
	if b.TenantID != nil {
		n.Tenant = evcs.TenantID(*b.TenantID)
	}
	r, err := p.Write.CreateRole(ctx, a, n)
	if err != nil {
		return nil, err
	}
	return api.Ptr(roleJSON(*r, a.Platform)), nil
}

func (p Roles) get(ctx context.Context, a *evcs.Actor, in *rolePath) (*api.Role, error) {
	r, err := p.Read.Role(ctx, evcs.Subtree(a.Tenant), in.RoleID)
	if err != nil {
		return nil, err
	}
	if r.Tenant != 0 {
		if err := readable(ctx, a, r.Tenant); err != nil {
			return nil, err
		}
	}
	chain, err := p.Tenants.Chain(ctx, a.Tenant)
	if err != nil {
		return nil, err
	}
	return api.Ptr(roleJSON(*r, chain.Self().Type == tenant.Platform)), nil
}

func (p Roles) update(ctx context.Context, a *evcs.Actor, in *struct {
	rolePath
	Body api.UpdateRole
},
) (*api.Role, error) {
	b := in.Body
	r, err := p.Write.UpdateRole(ctx, a, in.RoleID, auth.RoleChange{Name: b.RoleName, Remark: cleared(b.Remark), Grants: b.Permissions, Version: b.Version})
	if err != nil {
		return nil, err
	}
	return api.Ptr(roleJSON(*r, a.Platform)), nil
}

func (p Roles) remove(ctx context.Context, a *evcs.Actor, in *rolePath) (*Null, error) {
	return nil, p.Write.DeleteRole(ctx, a, in.RoleID)
}
