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

// AuthReader reads users and keys; store.Auth satisfies it.
type AuthReader interface {
	User(ctx context.Context, scope evcs.Scope, id evcs.UserID) (*auth.User, error)
	Key(ctx context.Context, scope evcs.Scope, id evcs.KeyID) (*auth.Key, error)
	KeyPage(ctx context.Context, scope evcs.Scope, want auth.WantedKeys, r evcs.PageRequest) (evcs.Page[auth.Key], error)
}

// ChainReader reads a tenant with its ancestors; store.Tenants satisfies it.
type ChainReader interface {
	Chain(ctx context.Context, id evcs.TenantID) (tenant.Chain, error)
}

// Auth are the operations of sign-in and of API keys.
type Auth struct {
	Guard   *auth.Guard
	Keys    *auth.KeyRing
	Read    AuthReader
	Tenants ChainReader
}

type keyPath struct {
	KeyID evcs.KeyID `path:"keyId"`
}

type keyFilter struct {
	Paging
	Name   string           `query:"name" maxLength:"64"`
	User   Opt[evcs.UserID] `query:"userId" minimum:"1"`
	Status Opt[int]         `query:"status" minimum:"0" maximum:"1"`
}

const manageKeys evcs.Permission = "apikey:manage"

func (p Auth) register(s *Server) {
	p.registerSignIn(s)
	keys := operation{Path: "/api/auth/api-keys", Group: "auth", Access: anyUser, Permission: manageKeys}
	one := keys
	one.Path, one.Errors = "/api/auth/api-keys/{keyId}", []evcs.Code{evcs.CodeAPIKeyNotFound}

	list := keys
	list.ID, list.Summary, list.Sorts = "listApiKeys", "API keys", []string{"keyId", "createTime", "expireTime", "name"}
	registerList(s, list, p.list)

	create := keys
	create.ID, create.Method, create.Summary, create.Said = "createApiKey", http.MethodPost, "Create an API key", created
	create.Secret, create.NoReplay = true, true
	create.Errors = []evcs.Code{evcs.CodeGrantExceedsOwn, evcs.CodeUserNotFound}
	register(s, create, p.create)

	get := one
	get.ID, get.Method, get.Summary = "getApiKey", http.MethodGet, "One API key"
	register(s, get, p.get)

	update := one
	update.ID, update.Method, update.Summary = "updateApiKey", http.MethodPut, "Change an API key"
	update.Errors = []evcs.Code{evcs.CodeAPIKeyNotFound, evcs.CodeGrantExceedsOwn}
	update.ReadOnly = []any{api.APIKey{}}
	register(s, update, p.update)

	rotate := one
	rotate.ID, rotate.Method, rotate.Path = "rotateApiKey", http.MethodPost, one.Path+"/rotate"
	rotate.Summary, rotate.Secret, rotate.NoReplay = "Give an API key a new secret", true, true
	register(s, rotate, p.rotate)

	remove := one
	remove.ID, remove.Method, remove.Summary = "deleteApiKey", http.MethodDelete, "Delete an API key at once"
	register(s, remove, p.remove)
}

func (p Auth) registerSignIn(s *Server) {
	register(s, operation{
		ID: "login", Method: http.MethodPost, Path: "/api/auth/login", Group: "auth", Access: public, Summary: "Sign in",
		Description: "A user with a confirmed second factor gives its code, or a recovery code, in totp. Without it, or with a wrong one, a right password is answered " +
			"with 6001 and the data {\"totpRequired\": true}: this tells nothing to anybody who does not know the password already. Both count towards the lockout. " +
			"Everybody else's totp is ignored.",
		Said: signedIn, Secret: true, NoReplay: true,
		Errors: []evcs.Code{evcs.CodeBadCredentials, evcs.CodeAccountLocked, evcs.CodeAccountDisabled, evcs.CodeTenantDisabled, evcs.CodeTenantExpired},
	}, p.login)
	register(s, operation{
		ID: "userinfo", Method: http.MethodGet, Path: "/api/auth/userinfo", Group: "auth", Access: anyPrincipal,
		Summary: "Who the principal is and what it may do", OpenPassword: true,
	}, p.userinfo)
	register(s, operation{
		ID: "refreshToken", Method: http.MethodPost, Path: "/api/auth/refresh", Group: "auth", Access: public,
		Summary: "Replace a refresh token", Secret: true, NoReplay: true,
		Errors: []evcs.Code{evcs.CodeRefreshTokenInvalid, evcs.CodeAccountDisabled, evcs.CodeTenantDisabled, evcs.CodeTenantExpired},
	}, p.refresh)
	register(s, operation{
		ID: "logout", Method: http.MethodPost, Path: "/api/auth/logout", Group: "auth", Access: anyUser,
		Summary: "End this sign-in, or all of the user", NoReplay: true, OpenPassword: true,
	}, p.logout)
	register(s, operation{
		ID: "changePassword", Method: http.MethodPost, Path: "/api/auth/password", Group: "auth", Access: anyUser,
		Summary: "Change the own password", Secret: true, NoReplay: true, OpenPassword: true,
		Errors: []evcs.Code{evcs.CodePasswordPolicy, evcs.CodeOldPasswordWrong, evcs.CodeAccountLocked},
	}, p.password)
}

func from(ctx context.Context) auth.From {
	x := exchangeOf(ctx)
	return auth.From{Address: x.address, Agent: limitText(x.r.UserAgent(), 200)}
}

func (p Auth) login(ctx context.Context, _ *evcs.Actor, in *struct{ Body api.Login }) (*api.LoginResult, error) {
	tokens, err := p.Guard.SignIn(ctx, in.Body.Identifier, auth.Proof{Password: in.Body.Password, Code: in.Body.Totp}, from(ctx))
	if err != nil {
		return nil, err
	}
	return loginJSON(tokens), nil
}

func (p Auth) refresh(ctx context.Context, _ *evcs.Actor, in *struct{ Body api.Refresh }) (*api.LoginResult, error) {
	tokens, err := p.Guard.Refresh(ctx, in.Body.RefreshToken, from(ctx))
	if err != nil {
		return nil, err
	}
	return loginJSON(tokens), nil
}

func loginJSON(t *auth.Tokens) *api.LoginResult {
	return &api.LoginResult{
		Token: t.Access, ExpireTime: api.At(t.AccessEnd), RefreshToken: t.Refresh, RefreshExpireTime: api.At(t.RefreshEnd),
		UserInfo: loginUserJSON(t.User),
	}
}

func loginUserJSON(u *auth.User) api.LoginUser {
	return api.LoginUser{
		UserID: int64(u.ID), Username: u.Username, TenantID: int64(u.Tenant), Identifier: u.Identifier, Roles: u.RoleCodes(),
	}
}

func (p Auth) userinfo(ctx context.Context, a *evcs.Actor, _ *struct{}) (*api.UserInfo, error) {
	u, err := p.Read.User(ctx, evcs.Only(a.Tenant), a.User)
	if err != nil {
		return nil, err
	}
	chain, err := p.Tenants.Chain(ctx, a.Tenant)
	if err != nil {
		return nil, err
	}
	t := chain.Self()
	info := &api.UserInfo{
		LoginUser: loginUserJSON(u), RealName: textOrNil(u.RealName), Phone: textOrNil(auth.MaskPhone(u.Phone)),
		Email: textOrNil(auth.MaskEmail(u.Email)), Avatar: textOrNil(u.Avatar), Gender: u.Gender, Status: flagOf(u.Enabled),
		UserType: userType(u, t.Type == tenant.Platform), TenantCode: t.Code, TenantName: t.Name, TenantType: int(t.Type),
		Permissions: auth.Codes(a), PermissionVersion: u.PermissionVersion, MustChangePassword: u.MustChange,
		LastLoginTime: api.AtOrNil(u.LastLogin), TimeZone: chain.Settings().TimeZone, PrincipalType: api.PrincipalUser,
	}
	if a.Key != 0 {
		info.PrincipalType, info.KeyID = api.PrincipalAPIKey, api.Ptr(int64(a.Key))
	}
	return info, nil
}

// userType is derived: 0 platform administrator, 1 tenant administrator, 2 other.
func userType(u *auth.User, platform bool) int {
	switch {
	case u.Admin() && platform:
		return 0
	case u.Admin():
		return 1
	}
	return 2
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func idOrNil[N ~int64](id N) *int64 {
	if id == 0 {
		return nil
	}
	return api.Ptr(int64(id))
}

func flagOf(b bool) int {
	if b {
		return 1
	}
	return 0
}

// boolOf is a filter or a field that says 0 or 1; nil when absent.
func boolOf(n Opt[int]) *bool {
	if !n.Set {
		return nil
	}
	return api.Ptr(n.Value == 1)
}

func boolPtr(n *int) *bool {
	if n == nil {
		return nil
	}
	return api.Ptr(*n == 1)
}

func (p Auth) logout(ctx context.Context, a *evcs.Actor, in *struct{ Body api.Logout }) (*Null, error) {
	return nil, p.Guard.SignOut(ctx, a, in.Body.All != nil && bool(*in.Body.All))
}

func (p Auth) password(ctx context.Context, a *evcs.Actor, in *struct{ Body api.ChangePassword }) (*Null, error) {
	return nil, p.Guard.ChangePassword(ctx, a, in.Body.OldPassword, in.Body.NewPassword)
}

func (p Auth) list(ctx context.Context, a *evcs.Actor, in *keyFilter, page evcs.PageRequest) (evcs.Page[api.APIKey], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.APIKey]{}, err
	}
	found, err := p.Read.KeyPage(ctx, scope, auth.WantedKeys{Name: in.Name, User: in.User.Value, Enabled: boolOf(in.Status)}, page)
	return pageOf(found, keyJSON), err
}

func keyJSON(k auth.Key) api.APIKey {
	return api.APIKey{
		KeyID: int64(k.ID), Name: k.Name, Prefix: k.Prefix, UserID: int64(k.User), TenantID: int64(k.Tenant),
		Scopes: append([]string{}, k.Scopes...), AllowCIDR: append([]string{}, k.AllowCIDR...), Status: flagOf(k.Enabled),
		ExpireTime: api.At(k.Expires), LastUsedTime: api.AtOrNil(k.LastUsed), LastUsedIP: textOrNil(k.LastUsedIP),
		CreateTime: api.At(k.Created), CreateBy: idOrNil(k.CreatedBy), Version: k.Version,
	}
}

func (p Auth) create(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateAPIKey }) (*api.NewAPIKey, error) {
	n := auth.NewKey{Name: in.Body.Name, Scopes: in.Body.Scopes, AllowCIDR: in.Body.AllowCIDR, Expires: in.Body.ExpireTime.In(a.Zone)}
	if in.Body.UserID != nil {
		n.User = evcs.UserID(*in.Body.UserID)
	}
	k, secret, err := p.Keys.Create(ctx, a, n)
	if err != nil {
		return nil, err
	}
	return &api.NewAPIKey{APIKey: keyJSON(*k), Key: secret}, nil
}

func (p Auth) get(ctx context.Context, a *evcs.Actor, in *keyPath) (*api.APIKey, error) {
	k, err := p.Read.Key(ctx, evcs.Subtree(a.Tenant), in.KeyID)
	if err != nil {
		return nil, err
	}
	if err := readable(ctx, a, k.Tenant); err != nil {
		return nil, err
	}
	return api.Ptr(keyJSON(*k)), nil
}

func (p Auth) update(ctx context.Context, a *evcs.Actor, in *struct {
	keyPath
	Body api.UpdateAPIKey
},
) (*api.APIKey, error) {
	b := in.Body
	c := auth.KeyChange{Name: b.Name, Enabled: boolPtr(b.Status), AllowCIDR: b.AllowCIDR, Scopes: b.Scopes, Version: b.Version}
	if b.ExpireTime != nil {
		c.Expires = api.Ptr(b.ExpireTime.In(a.Zone))
	}
	k, err := p.Keys.Update(ctx, a, in.KeyID, c)
	if err != nil {
		return nil, err
	}
	return api.Ptr(keyJSON(*k)), nil
}

const defaultOverlap = 24

func (p Auth) rotate(ctx context.Context, a *evcs.Actor, in *struct {
	keyPath
	Body api.RotateAPIKey
},
) (*api.NewAPIKey, error) {
	hours := defaultOverlap
	if in.Body.OverlapHours != nil {
		hours = *in.Body.OverlapHours
	}
	k, secret, err := p.Keys.Rotate(ctx, a, in.KeyID, time.Duration(hours)*time.Hour)
	if err != nil {
		return nil, err
	}
	return &api.NewAPIKey{APIKey: keyJSON(*k), Key: secret}, nil
}

func (p Auth) remove(ctx context.Context, a *evcs.Actor, in *keyPath) (*Null, error) {
	return nil, p.Keys.Delete(ctx, a, in.KeyID)
}

// readable is nil when the actor may see what owner owns (5003). A look below
// the own tenant is audited.
func readable(ctx context.Context, a *evcs.Actor, owner evcs.TenantID) error {
	if err := tenant.Reach(a, owner, false); err != nil {
		return err
	}
	x := exchangeOf(ctx)
	if owner != a.Tenant && x != nil && x.s.cfg.Crossings != nil {
		x.s.cfg.Crossings.CrossedRead(ctx, a, x.op.ID, owner)
	}
	return nil
}
