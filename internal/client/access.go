package client

import (
	"context"
	"encoding/json"

	"github.com/evcs/evcs/internal/api"
)

// Roles is sets of permissions.
type Roles struct{ w *wire }

// List reads a page of roles.
func (r Roles) List(ctx context.Context, q Query) (api.Page[api.Role], error) {
	return page[api.Role](ctx, r.w, "/api/role", q)
}

// Get reads one role.
func (r Roles) Get(ctx context.Context, id int64) (api.Role, error) {
	return get[api.Role](ctx, r.w, at("/api/role/%s", id), nil)
}

// Create makes a role.
func (r Roles) Create(ctx context.Context, body api.CreateRole) (api.Role, error) {
	return post[api.Role](ctx, r.w, "/api/role", body)
}

// Update changes a role.
func (r Roles) Update(ctx context.Context, id int64, body api.UpdateRole) (api.Role, error) {
	return put[api.Role](ctx, r.w, at("/api/role/%s", id), body)
}

// Delete removes a role nobody has.
func (r Roles) Delete(ctx context.Context, id int64) error {
	return remove(ctx, r.w, at("/api/role/%s", id))
}

// Permissions reads every permission there is.
func (r Roles) Permissions(ctx context.Context) ([]api.Permission, error) {
	return get[[]api.Permission](ctx, r.w, "/api/role/permissions", nil)
}

// Keys is the keys of machines.
type Keys struct{ w *wire }

// List reads a page of keys.
func (k Keys) List(ctx context.Context, q Query) (api.Page[api.APIKey], error) {
	return page[api.APIKey](ctx, k.w, "/api/auth/api-keys", q)
}

// Get reads one key, without its secret.
func (k Keys) Get(ctx context.Context, id int64) (api.APIKey, error) {
	return get[api.APIKey](ctx, k.w, at("/api/auth/api-keys/%s", id), nil)
}

// Create makes a key; its secret is shown only here.
func (k Keys) Create(ctx context.Context, body api.CreateAPIKey) (api.NewAPIKey, error) {
	return postOnce[api.NewAPIKey](ctx, k.w, "/api/auth/api-keys", body)
}

// Update changes a key; its scopes may only shrink.
func (k Keys) Update(ctx context.Context, id int64, body api.UpdateAPIKey) (api.APIKey, error) {
	return put[api.APIKey](ctx, k.w, at("/api/auth/api-keys/%s", id), body)
}

// Delete ends a key at once.
func (k Keys) Delete(ctx context.Context, id int64) error {
	return remove(ctx, k.w, at("/api/auth/api-keys/%s", id))
}

// Rotate makes a new secret; the old one works on for the hours of the body.
func (k Keys) Rotate(ctx context.Context, id int64, body api.RotateAPIKey) (api.NewAPIKey, error) {
	return postOnce[api.NewAPIKey](ctx, k.w, at("/api/auth/api-keys/%s/rotate", id), body)
}

// Quotas is what a tenant may have and what it has.
type Quotas struct{ w *wire }

// Usage reads what a tenant uses of its quotas.
func (u Quotas) Usage(ctx context.Context, tenant int64) (api.Usage, error) {
	return get[api.Usage](ctx, u.w, at("/api/tenant/quota/usage/%s", tenant), nil)
}

// Set changes the quotas of a tenant.
func (u Quotas) Set(ctx context.Context, tenant int64, body api.Quota) (api.Usage, error) {
	return put[api.Usage](ctx, u.w, at("/api/tenant/quota/%s", tenant), body)
}

// AddStation forecasts whether stations may be added.
func (u Quotas) AddStation(ctx context.Context, tenant int64, q Query) (api.QuotaCheck, error) {
	return get[api.QuotaCheck](ctx, u.w, at("/api/tenant/quota/check/add-station/%s", tenant), q)
}

// AddCharger forecasts whether chargers may be added.
func (u Quotas) AddCharger(ctx context.Context, tenant int64, q Query) (api.QuotaCheck, error) {
	return get[api.QuotaCheck](ctx, u.w, at("/api/tenant/quota/check/add-charger/%s", tenant), q)
}

// AddUser forecasts whether users may be added.
func (u Quotas) AddUser(ctx context.Context, tenant int64, q Query) (api.QuotaCheck, error) {
	return get[api.QuotaCheck](ctx, u.w, at("/api/tenant/quota/check/add-user/%s", tenant), q)
}

// AddChild forecasts whether child tenants may be added.
func (u Quotas) AddChild(ctx context.Context, tenant int64, q Query) (api.QuotaCheck, error) {
	return get[api.QuotaCheck](ctx, u.w, at("/api/tenant/quota/check/create-child/%s", tenant), q)
}

// Tags is cards, vehicles and accounts known to chargers.
type Tags struct{ w *wire }

// List reads a page of tags.
func (t Tags) List(ctx context.Context, q Query) (api.Page[api.IDTag], error) {
	return page[api.IDTag](ctx, t.w, "/api/id-tag", q)
}

// Get reads one tag.
func (t Tags) Get(ctx context.Context, id int64) (api.IDTag, error) {
	return get[api.IDTag](ctx, t.w, at("/api/id-tag/%s", id), nil)
}

// Create makes a tag.
func (t Tags) Create(ctx context.Context, body api.CreateIDTag) (api.IDTag, error) {
	return post[api.IDTag](ctx, t.w, "/api/id-tag", body)
}

// Update changes a tag.
func (t Tags) Update(ctx context.Context, id int64, body api.UpdateIDTag) (api.IDTag, error) {
	return put[api.IDTag](ctx, t.w, at("/api/id-tag/%s", id), body)
}

// Delete removes a tag.
func (t Tags) Delete(ctx context.Context, id int64) error {
	return remove(ctx, t.w, at("/api/id-tag/%s", id))
}

// Debug is simulated messages of simulated chargers, and what was said.
type Debug struct{ w *wire }

// Heartbeat lets a simulated charger report itself.
func (d Debug) Heartbeat(ctx context.Context, body api.SimulateHeartbeat) (api.SimulatedHeartbeat, error) {
	return post[api.SimulatedHeartbeat](ctx, d.w, "/debug/protocol/simulate/heartbeat", body)
}

// Status lets a simulated charger report a status.
func (d Debug) Status(ctx context.Context, body api.SimulateStatus) (api.SimulatedStatus, error) {
	return post[api.SimulatedStatus](ctx, d.w, "/debug/protocol/simulate/status", body)
}

// Start lets a simulated charger begin a session.
func (d Debug) Start(ctx context.Context, body api.SimulateStart) (api.SimulatedStart, error) {
	return post[api.SimulatedStart](ctx, d.w, "/debug/protocol/simulate/start", body)
}

// Stop lets a simulated charger end a session.
func (d Debug) Stop(ctx context.Context, body api.SimulateStop) (api.SimulatedStop, error) {
	return post[api.SimulatedStop](ctx, d.w, "/debug/protocol/simulate/stop", body)
}

// History reads the newest messages, newest first.
func (d Debug) History(ctx context.Context, q Query) ([]api.ProtocolEvent, error) {
	return get[[]api.ProtocolEvent](ctx, d.w, "/debug/protocol/events/history", q)
}

// Counts counts the messages that are kept.
func (d Debug) Counts(ctx context.Context) (api.ProtocolStats, error) {
	return get[api.ProtocolStats](ctx, d.w, "/debug/protocol/stats", nil)
}

// Ticket makes what opens one event stream within a minute without a header.
func (e Events) Ticket(ctx context.Context) (api.Ticket, error) {
	return postOnce[api.Ticket](ctx, e.w, "/api/events/ticket", json.RawMessage("{}"))
}
