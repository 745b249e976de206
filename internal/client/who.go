package client

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/evcs/evcs/internal/api"
)

// Auth is signing in and out.
type Auth struct{ w *wire }

// Login signs in and uses the tokens from then on.
func (a Auth) Login(ctx context.Context, body api.Login) (api.LoginResult, error) {
	result, err := send[api.LoginResult](ctx, a.w, call{
		method: http.MethodPost, path: "/api/auth/login", body: body, public: true,
	})
	if err == nil {
		a.w.keep(result)
	}
	return result, err
}

// UserInfo says who the token belongs to.
func (a Auth) UserInfo(ctx context.Context) (api.UserInfo, error) {
	return get[api.UserInfo](ctx, a.w, "/api/auth/userinfo", nil)
}

// Logout ends this sign-in, or all of the user.
func (a Auth) Logout(ctx context.Context, body api.Logout) error {
	_, err := postOnce[json.RawMessage](ctx, a.w, "/api/auth/logout", body)
	return err
}

// ChangePassword replaces the own password.
func (a Auth) ChangePassword(ctx context.Context, body api.ChangePassword) error {
	_, err := postOnce[json.RawMessage](ctx, a.w, "/api/auth/password", body)
	return err
}

// Totp reads the state of the own second factor.
func (a Auth) Totp(ctx context.Context) (api.SecondFactor, error) {
	return get[api.SecondFactor](ctx, a.w, "/api/auth/totp", nil)
}

// EnrolTotp makes the secret of a second factor, shown once.
func (a Auth) EnrolTotp(ctx context.Context, body api.EnrolTotp) (api.TotpEnrolment, error) {
	return postOnce[api.TotpEnrolment](ctx, a.w, "/api/auth/totp/enrol", body)
}

// ConfirmTotp makes sign-ins ask for the second factor; the recovery codes are
// shown once.
func (a Auth) ConfirmTotp(ctx context.Context, body api.ConfirmTotp) (api.RecoveryCodes, error) {
	return postOnce[api.RecoveryCodes](ctx, a.w, "/api/auth/totp/confirm", body)
}

// DisableTotp ends the own second factor.
func (a Auth) DisableTotp(ctx context.Context, body api.DisableTotp) error {
	_, err := postOnce[json.RawMessage](ctx, a.w, "/api/auth/totp/disable", body)
	return err
}

// Users is people who sign in.
type Users struct{ w *wire }

// List reads a page of users.
func (u Users) List(ctx context.Context, q Query) (api.Page[api.User], error) {
	return page[api.User](ctx, u.w, "/api/user", q)
}

// Get reads one user.
func (u Users) Get(ctx context.Context, id int64) (api.User, error) {
	return get[api.User](ctx, u.w, at("/api/user/%s", id), nil)
}

// Create makes a user; a generated password is in the answer, once.
func (u Users) Create(ctx context.Context, body api.CreateUser) (api.NewUser, error) {
	return postOnce[api.NewUser](ctx, u.w, "/api/user", body)
}

// Update changes a user.
func (u Users) Update(ctx context.Context, id int64, body api.UpdateUser) (api.User, error) {
	return put[api.User](ctx, u.w, at("/api/user/%s", id), body)
}

// SetStatus enables or disables a user.
func (u Users) SetStatus(ctx context.Context, id int64, status int) (api.UserStatus, error) {
	return put[api.UserStatus](ctx, u.w, at("/api/user/%s/status", id), api.StatusWrite{Status: status})
}

// SetRoles replaces the roles of a user.
func (u Users) SetRoles(ctx context.Context, id int64, roles []string) (api.UserRoles, error) {
	return put[api.UserRoles](ctx, u.w, at("/api/user/%s/roles", id), api.SetRoles{Roles: roles})
}

// ResetPassword gives a user another password.
func (u Users) ResetPassword(ctx context.Context, id int64, body api.ResetPassword) (api.PasswordReset, error) {
	return postOnce[api.PasswordReset](ctx, u.w, at("/api/user/%s/reset-password", id), body)
}

// Unlock clears the lock of a user.
func (u Users) Unlock(ctx context.Context, id int64) error {
	_, err := post[json.RawMessage](ctx, u.w, at("/api/user/%s/unlock", id), nil)
	return err
}

// ResetTotp takes the second factor from a user who has lost it.
func (u Users) ResetTotp(ctx context.Context, id int64) error {
	_, err := post[json.RawMessage](ctx, u.w, at("/api/user/%s/totp/reset", id), nil)
	return err
}

// Delete removes a user.
func (u Users) Delete(ctx context.Context, id int64) error {
	return remove(ctx, u.w, at("/api/user/%s", id))
}

// Roles reads the roles of a user.
func (u Users) Roles(ctx context.Context, id int64) (api.UserRoles, error) {
	return get[api.UserRoles](ctx, u.w, at("/api/user/%s/roles", id), nil)
}

// Tenants is the tree of tenants.
type Tenants struct{ w *wire }

// List reads a page of tenants.
func (t Tenants) List(ctx context.Context, q Query) (api.Page[api.Tenant], error) {
	return page[api.Tenant](ctx, t.w, "/api/tenant", q)
}

// Tree reads the subtree of a tenant.
func (t Tenants) Tree(ctx context.Context, q Query) (json.RawMessage, error) {
	return get[json.RawMessage](ctx, t.w, "/api/tenant/tree", q)
}

// Get reads one tenant.
func (t Tenants) Get(ctx context.Context, id int64) (api.Tenant, error) {
	return get[api.Tenant](ctx, t.w, at("/api/tenant/%s", id), nil)
}

// Create makes a tenant, with its first administrator when asked to.
func (t Tenants) Create(ctx context.Context, body api.CreateTenant) (api.NewTenant, error) {
	if body.Admin != nil && body.Admin.Password == nil {
		return postOnce[api.NewTenant](ctx, t.w, "/api/tenant", body)
	}
	return post[api.NewTenant](ctx, t.w, "/api/tenant", body)
}

// Update changes a tenant.
func (t Tenants) Update(ctx context.Context, id int64, body api.UpdateTenant) (api.Tenant, error) {
	return put[api.Tenant](ctx, t.w, at("/api/tenant/%s", id), body)
}

// SetStatus enables or disables a tenant and with it its subtree.
func (t Tenants) SetStatus(ctx context.Context, id int64, status int) (api.TenantStatus, error) {
	return put[api.TenantStatus](ctx, t.w, at("/api/tenant/%s/status", id), api.StatusWrite{Status: status})
}

// Delete removes an empty tenant.
func (t Tenants) Delete(ctx context.Context, id int64) error {
	return remove(ctx, t.w, at("/api/tenant/%s", id))
}

// Move gives a tenant and its subtree another parent.
func (t Tenants) Move(ctx context.Context, id int64, body api.MoveTenant) (api.Tenant, error) {
	return post[api.Tenant](ctx, t.w, at("/api/tenant/%s/move", id), body)
}

// Children reads the direct children of a tenant.
func (t Tenants) Children(ctx context.Context, id int64) ([]api.Tenant, error) {
	return get[[]api.Tenant](ctx, t.w, at("/api/tenant/%s/children", id), nil)
}

// CodeTaken reports whether a tenant has the code.
func (t Tenants) CodeTaken(ctx context.Context, q Query) (bool, error) {
	return get[bool](ctx, t.w, "/api/tenant/check-code", q)
}

// Settings reads the effective settings of a tenant.
func (t Tenants) Settings(ctx context.Context, id int64) (api.Settings, error) {
	return get[api.Settings](ctx, t.w, at("/api/tenant/%s/settings", id), nil)
}

// UpdateSettings changes settings of a tenant.
func (t Tenants) UpdateSettings(ctx context.Context, id int64, body api.UpdateSettings) (api.Settings, error) {
	return put[api.Settings](ctx, t.w, at("/api/tenant/%s/settings", id), body)
}

// Audit is the audit record.
type Audit struct{ w *wire }

// List reads a page of the audit record.
func (a Audit) List(ctx context.Context, q Query) (api.Page[api.AuditRow], error) {
	return page[api.AuditRow](ctx, a.w, "/api/tenant/audit-log/page", q)
}

// Verify walks the hash chain of the audit record.
func (a Audit) Verify(ctx context.Context) (api.AuditVerification, error) {
	return get[api.AuditVerification](ctx, a.w, "/api/tenant/audit-log/verify", nil)
}

// Actions reads every action the record knows, with its name.
func (a Audit) Actions(ctx context.Context) (map[string]string, error) {
	return get[map[string]string](ctx, a.w, "/api/tenant/audit-log/actions", nil)
}

// CrossLayer counts what was done across tenants, by action.
func (a Audit) CrossLayer(ctx context.Context, q Query) ([]api.CrossLayerCount, error) {
	return get[[]api.CrossLayerCount](ctx, a.w, "/api/tenant/audit-log/statistics/cross-layer", a.w.scoped(q))
}
