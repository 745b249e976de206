package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// UserReader reads users; store.Auth satisfies it.
type UserReader interface {
	User(ctx context.Context, scope evcs.Scope, id evcs.UserID) (*auth.User, error)
	UserPage(ctx context.Context, scope evcs.Scope, want auth.WantedUsers, r evcs.PageRequest) (evcs.Page[auth.User], error)
	Locks(ctx context.Context, users []auth.User, now time.Time) (map[evcs.UserID]time.Time, error)
}

// Users are the operations of users.
type Users struct {
	Clock   evcs.Clock
	Write   *auth.Registry
	Read    UserReader
	Tenants ChainReader
}

type userPath struct {
	UserID evcs.UserID `path:"userId"`
}

type userFilter struct {
	Paging
	Username   string   `query:"username" maxLength:"50"`
	Identifier string   `query:"identifier" maxLength:"100"`
	RealName   string   `query:"realName" maxLength:"100"`
	RoleCode   []string `query:"roleCode" maxItems:"20"`
	Status     Opt[int] `query:"status" minimum:"0" maximum:"1"`
}

func (p Users) register(s *Server) {
	one := operation{Path: "/api/user/{userId}", Group: "user", Errors: []evcs.Code{evcs.CodeUserNotFound}}
	add := func(id, method, path string, permission evcs.Permission, summary string, errors ...evcs.Code) operation {
		op := one
		op.ID, op.Method, op.Path, op.Permission, op.Summary = id, method, one.Path+path, permission, summary
		op.Errors = append(errors, evcs.CodeUserNotFound)
		return op
	}
	registerList(s, operation{
		ID: "listUsers", Path: "/api/user", Group: "user", Permission: "user:query", Summary: "Users",
		Sorts: []string{"userId", "createTime", "username", "lastLoginTime"},
	}, p.list)
	register(s, operation{
		ID: "createUser", Method: http.MethodPost, Path: "/api/user", Group: "user", Permission: "user:add", Summary: "Create a user",
		Said: created, Secret: true, NoReplay: true, ReadOnly: []any{api.User{}},
		Errors: []evcs.Code{evcs.CodeUserExists, evcs.CodePasswordPolicy, evcs.CodeRoleNotFound, evcs.CodeGrantExceedsOwn, evcs.CodeQuotaExceeded, evcs.CodeTenantNotFound},
	}, p.create)
	register(s, add("getUser", http.MethodGet, "", "user:query", "One user"), p.get)
	update := add("updateUser", http.MethodPut, "", "user:edit", "Change a user", evcs.CodeUserExists, evcs.CodeLastAdmin, evcs.CodeGrantExceedsOwn, evcs.CodeRoleNotFound)
	update.ReadOnly = []any{api.User{}}
	register(s, update, p.update)
	register(s, add("setUserStatus", http.MethodPut, "/status", "user:edit", "Enable or disable a user", evcs.CodeLastAdmin), p.status)
	register(s, add("getUserRoles", http.MethodGet, "/roles", "user:query", "Roles of a user"), p.roles)
	register(s, add("setUserRoles", http.MethodPut, "/roles", "user:edit", "Replace the roles of a user",
		evcs.CodeRoleNotFound, evcs.CodeLastAdmin, evcs.CodeGrantExceedsOwn), p.setRoles)
	reset := add("resetPassword", http.MethodPost, "/reset-password", "user:reset", "Give a user a new password", evcs.CodePasswordPolicy, evcs.CodeGrantExceedsOwn)
	reset.Secret, reset.NoReplay = true, true
	register(s, reset, p.reset)
	register(s, add("unlockUser", http.MethodPost, "/unlock", "user:reset", "Forget the failed sign-ins of a user"), p.unlock)
	register(s, add("deleteUser", http.MethodDelete, "", "user:remove", "Delete a user", evcs.CodeLastAdmin), p.remove)
}

func (p Users) list(ctx context.Context, a *evcs.Actor, in *userFilter, page evcs.PageRequest) (evcs.Page[api.User], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.User]{}, err
	}
	found, err := p.Read.UserPage(ctx, scope, auth.WantedUsers{
		Username: in.Username, Identifier: in.Identifier, RealName: in.RealName, Roles: in.RoleCode, Enabled: boolOf(in.Status),
	}, page)
	if err != nil {
		return evcs.Page[api.User]{}, err
	}
	list, err := p.json(ctx, found.Records)
	return evcs.Page[api.User]{Records: list, Total: found.Total, Next: found.Next}, err
}

// json is the wire form of users, with their locks and what their tenants are.
func (p Users) json(ctx context.Context, users []auth.User) ([]api.User, error) {
	locks, err := p.Read.Locks(ctx, users, p.Clock.Now())
	if err != nil {
		return nil, err
	}
	platform := make(map[evcs.TenantID]bool)
	list := make([]api.User, len(users))
	for i := range users {
		t := users[i].Tenant
		if _, known := platform[t]; !known {
			chain, err := p.Tenants.Chain(ctx, t)
			if err != nil {
				return nil, err
			}
			platform[t] = chain.Self().Type == tenant.Platform
		}
		list[i] = userJSON(&users[i], locks[users[i].ID], platform[t])
	}
	return list, nil
}

func userJSON(u *auth.User, locked time.Time, platform bool) api.User {
	return api.User{
		UserID: int64(u.ID), TenantID: int64(u.Tenant), Username: u.Username, Identifier: u.Identifier, RealName: textOrNil(u.RealName),
		Phone: textOrNil(u.Phone), Email: textOrNil(u.Email), Gender: u.Gender, Avatar: textOrNil(u.Avatar), Status: flagOf(u.Enabled),
		UserType: userType(u, platform), Roles: u.RoleCodes(), LockedUntil: api.AtOrNil(locked), MustChangePassword: u.MustChange,
		LastLoginTime: api.AtOrNil(u.LastLogin), LastLoginIP: textOrNil(u.LastLoginIP), CreateTime: api.At(u.Created),
		UpdateTime: api.At(u.Updated), Version: u.Version,
	}
}

func (p Users) one(ctx context.Context, u *auth.User) (*api.User, error) {
	list, err := p.json(ctx, []auth.User{*u})
	if err != nil {
		return nil, err
	}
	return &list[0], nil
}

func (p Users) create(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateUser }) (*api.NewUser, error) {
	b := in.Body
	n := auth.NewUser{
		Tenant: a.Tenant, Username: b.Username, Password: orZero(b.Password), Identifier: orZero(b.Identifier), RealName: orZero(b.RealName),
		Phone: orZero(b.Phone), Email: orZero(b.Email), Gender: 2, Avatar: orZero(b.Avatar), Disabled: b.Status != nil && *b.Status == 0, Roles: b.Roles,
	}
	if b.Gender != nil {
		n.Gender = *b.Gender
	}
	if b.TenantID != nil {
		n.Tenant = evcs.TenantID(*b.TenantID)
	}
	if b.MustChangePassword != nil {
		n.MustChange = api.Ptr(bool(*b.MustChangePassword))
	}
	made, err := p.Write.CreateUser(ctx, a, n)
	if err != nil {
		return nil, err
	}
	u, err := p.one(ctx, made.User)
	if err != nil {
		return nil, err
	}
	return &api.NewUser{User: *u, Password: textOrNil(made.Password)}, nil
}

func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func (p Users) read(ctx context.Context, a *evcs.Actor, id evcs.UserID) (*auth.User, error) {
	u, err := p.Read.User(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	return u, readable(ctx, a, u.Tenant)
}

func (p Users) get(ctx context.Context, a *evcs.Actor, in *userPath) (*api.User, error) {
	u, err := p.read(ctx, a, in.UserID)
	if err != nil {
		return nil, err
	}
	return p.one(ctx, u)
}

// cleared is the text a PUT gives; null is the empty text.
func cleared(o api.Optional[string]) *string {
	if !o.Set {
		return nil
	}
	return &o.Value
}

func (p Users) update(ctx context.Context, a *evcs.Actor, in *struct {
	userPath
	Body api.UpdateUser
},
) (*api.User, error) {
	b := in.Body
	c := auth.UserChange{
		Identifier: b.Identifier, RealName: cleared(b.RealName), Phone: cleared(b.Phone), Email: cleared(b.Email), Avatar: cleared(b.Avatar),
		Gender: b.Gender, Enabled: boolPtr(b.Status), Roles: b.Roles, Version: b.Version,
	}
	if b.MustChangePassword != nil {
		c.MustChange = api.Ptr(bool(*b.MustChangePassword))
	}
	u, err := p.Write.UpdateUser(ctx, a, in.UserID, c)
	if err != nil {
		return nil, err
	}
	return p.one(ctx, u)
}

func (p Users) status(ctx context.Context, a *evcs.Actor, in *struct {
	userPath
	Body api.StatusWrite
},
) (*api.UserStatus, error) {
	u, err := p.Write.UpdateUser(ctx, a, in.UserID, auth.UserChange{Enabled: api.Ptr(in.Body.Status == 1), Version: in.Body.Version})
	if err != nil {
		return nil, err
	}
	return &api.UserStatus{UserID: int64(u.ID), Status: flagOf(u.Enabled)}, nil
}

func (p Users) roles(ctx context.Context, a *evcs.Actor, in *userPath) (*api.UserRoles, error) {
	u, err := p.read(ctx, a, in.UserID)
	if err != nil {
		return nil, err
	}
	return &api.UserRoles{UserID: int64(u.ID), Roles: u.RoleCodes()}, nil
}

func (p Users) setRoles(ctx context.Context, a *evcs.Actor, in *struct {
	userPath
	Body api.SetRoles
},
) (*api.UserRoles, error) {
	u, err := p.Write.UpdateUser(ctx, a, in.UserID, auth.UserChange{Roles: &in.Body.Roles, Version: in.Body.Version})
	if err != nil {
		return nil, err
	}
	return &api.UserRoles{UserID: int64(u.ID), Roles: u.RoleCodes()}, nil
}

func (p Users) reset(ctx context.Context, a *evcs.Actor, in *struct {
	userPath
	Body api.ResetPassword
},
) (*api.PasswordReset, error) {
	must := in.Body.MustChangePassword == nil || bool(*in.Body.MustChangePassword)
	generated, err := p.Write.ResetPassword(ctx, a, in.UserID, orZero(in.Body.NewPassword), must)
	if err != nil {
		return nil, err
	}
	return &api.PasswordReset{UserID: int64(in.UserID), Password: textOrNil(generated)}, nil
}

func (p Users) unlock(ctx context.Context, a *evcs.Actor, in *userPath) (*Null, error) {
	return nil, p.Write.Unlock(ctx, a, in.UserID)
}

func (p Users) remove(ctx context.Context, a *evcs.Actor, in *userPath) (*Null, error) {
	return nil, p.Write.DeleteUser(ctx, a, in.UserID)
}
