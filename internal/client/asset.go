package client

import (
	"context"

	"github.com/evcs/evcs/internal/api"
)

// Stations is charging stations.
type Stations struct{ w *wire }

// List reads a page of stations.
func (s Stations) List(ctx context.Context, q Query) (api.Page[api.Station], error) {
	return page[api.Station](ctx, s.w, "/api/station", q)
}

// Get reads one station.
func (s Stations) Get(ctx context.Context, id int64) (api.Station, error) {
	return get[api.Station](ctx, s.w, at("/api/station/%s", id), nil)
}

// Create makes a station.
func (s Stations) Create(ctx context.Context, body api.CreateStation) (api.Station, error) {
	return post[api.Station](ctx, s.w, "/api/station", body)
}

// Update changes a station.
func (s Stations) Update(ctx context.Context, id int64, body api.UpdateStation) (api.Station, error) {
	return put[api.Station](ctx, s.w, at("/api/station/%s", id), body)
}

// SetStatus enables or disables a station.
func (s Stations) SetStatus(ctx context.Context, id int64, status int) (api.StationStatus, error) {
	return put[api.StationStatus](ctx, s.w, at("/api/station/%s/status", id), api.StatusWrite{Status: status})
}

// Delete removes a station without chargers.
func (s Stations) Delete(ctx context.Context, id int64) error {
	return remove(ctx, s.w, at("/api/station/%s", id))
}

// Nearby reads the stations around a point, nearest first.
func (s Stations) Nearby(ctx context.Context, q Query) ([]api.NearbyStation, error) {
	return get[[]api.NearbyStation](ctx, s.w, "/api/station/nearby", q)
}

// CodeTaken reports whether a station of the tenant has the code.
func (s Stations) CodeTaken(ctx context.Context, q Query) (bool, error) {
	return get[bool](ctx, s.w, "/api/station/check-code", s.w.scoped(q))
}

// Count counts the stations of a scope.
func (s Stations) Count(ctx context.Context, q Query) (int64, error) {
	return get[int64](ctx, s.w, "/api/station/count", s.w.scoped(q))
}

// Chargers is chargers.
type Chargers struct{ w *wire }

// List reads a page of chargers.
func (c Chargers) List(ctx context.Context, q Query) (api.Page[api.Charger], error) {
	return page[api.Charger](ctx, c.w, "/api/charger", q)
}

// Get reads one charger with its connectors.
func (c Chargers) Get(ctx context.Context, id int64) (api.Charger, error) {
	return get[api.Charger](ctx, c.w, at("/api/charger/%s", id), nil)
}

// Create makes a charger with its connectors.
func (c Chargers) Create(ctx context.Context, body api.CreateCharger) (api.Charger, error) {
	return post[api.Charger](ctx, c.w, "/api/charger", body)
}

// Update changes the charger named in the body.
func (c Chargers) Update(ctx context.Context, body api.UpdateCharger) (api.Charger, error) {
	return put[api.Charger](ctx, c.w, "/api/charger", body)
}

// Delete removes a charger without a running session.
func (c Chargers) Delete(ctx context.Context, id int64) error {
	return remove(ctx, c.w, at("/api/charger/%s", id))
}

// SetStatus writes a status report of an operator.
func (c Chargers) SetStatus(ctx context.Context, id int64, status int) (api.ChargerStatus, error) {
	return put[api.ChargerStatus](ctx, c.w, at("/api/charger/%s/status", id), api.SetChargerStatus{Status: status})
}

// Enable enables or disables a charger for new sessions.
func (c Chargers) Enable(ctx context.Context, id int64, enabled bool) (api.ChargerEnabled, error) {
	return put[api.ChargerEnabled](ctx, c.w, at("/api/charger/%s/enable", id), api.EnableCharger{Enabled: api.Flag(enabled)})
}

// Statistics counts the chargers of a scope.
func (c Chargers) Statistics(ctx context.Context, q Query) (api.ChargerStatistics, error) {
	return get[api.ChargerStatistics](ctx, c.w, "/api/charger/statistics", c.w.scoped(q))
}

// ByCode reads the charger with a code.
func (c Chargers) ByCode(ctx context.Context, code string) (api.Charger, error) {
	return get[api.Charger](ctx, c.w, at("/api/charger/code/%s", code), nil)
}

// CodeTaken reports whether a charger of the tenant has the code.
func (c Chargers) CodeTaken(ctx context.Context, q Query) (bool, error) {
	return get[bool](ctx, c.w, "/api/charger/check-code", c.w.scoped(q))
}

// Offline reads the chargers that have been away for some minutes.
func (c Chargers) Offline(ctx context.Context, q Query) ([]api.OfflineCharger, error) {
	return get[[]api.OfflineCharger](ctx, c.w, "/api/charger/offline", c.w.scoped(q))
}

// Faulty reads the chargers that report a fault.
func (c Chargers) Faulty(ctx context.Context, q Query) ([]api.Charger, error) {
	return get[[]api.Charger](ctx, c.w, "/api/charger/fault", c.w.scoped(q))
}

// Connectors is the connectors of a charger.
type Connectors struct{ w *wire }

// List reads the connectors of a charger.
func (c Connectors) List(ctx context.Context, charger int64) ([]api.Connector, error) {
	return get[[]api.Connector](ctx, c.w, at("/api/charger/%s/connectors", charger), nil)
}

// Get reads one connector.
func (c Connectors) Get(ctx context.Context, charger int64, no int) (api.Connector, error) {
	return get[api.Connector](ctx, c.w, at("/api/charger/%s/connectors/%s", charger, no), nil)
}

// Update changes a connector.
func (c Connectors) Update(ctx context.Context, charger int64, no int, body api.UpdateConnector) (api.Connector, error) {
	return put[api.Connector](ctx, c.w, at("/api/charger/%s/connectors/%s", charger, no), body)
}

// Sessions reads a page of the sessions of a connector.
func (c Connectors) Sessions(ctx context.Context, charger int64, no int, q Query) (api.Page[api.Session], error) {
	return get[api.Page[api.Session]](ctx, c.w, at("/api/charger/%s/connectors/%s/sessions", charger, no), q)
}

// Curve reads the readings of a session of a connector.
func (c Connectors) Curve(ctx context.Context, charger int64, no int, session string, q Query) (api.Curve, error) {
	return get[api.Curve](ctx, c.w, at("/api/charger/%s/connectors/%s/sessions/%s/curve", charger, no, session), q)
}

// Commands is what is asked of chargers and what became of it.
type Commands struct{ w *wire }

// Start starts a session on a connector and waits as long as the body says.
func (c Commands) Start(ctx context.Context, id int64, no int, body api.StartConnector) (api.OrderResult, error) {
	return post[api.OrderResult](ctx, c.w, at("/api/charger/%s/connectors/%s/start", id, no), body)
}

// Stop stops the session of a connector.
func (c Commands) Stop(ctx context.Context, id int64, no int, body api.StopOrder) (api.OrderResult, error) {
	return post[api.OrderResult](ctx, c.w, at("/api/charger/%s/connectors/%s/stop", id, no), body)
}

// Reset resets a charger.
func (c Commands) Reset(ctx context.Context, id int64, body api.ResetCharger) (api.Command, error) {
	return post[api.Command](ctx, c.w, at("/api/charger/%s/reset", id), body)
}

// Unlock releases the plug of a connector.
func (c Commands) Unlock(ctx context.Context, id int64, no int, body api.UnlockConnector) (api.Command, error) {
	return post[api.Command](ctx, c.w, at("/api/charger/%s/connectors/%s/unlock", id, no), body)
}

// Send sends another command to a charger.
func (c Commands) Send(ctx context.Context, id int64, body api.SendCommand) (api.Command, error) {
	return post[api.Command](ctx, c.w, at("/api/charger/%s/command", id), body)
}

// List reads a page of commands.
func (c Commands) List(ctx context.Context, q Query) (api.Page[api.Command], error) {
	return page[api.Command](ctx, c.w, "/api/command", q)
}

// Get reads one command, waiting for its end when the query says so.
func (c Commands) Get(ctx context.Context, id int64, q Query) (api.Command, error) {
	return get[api.Command](ctx, c.w, at("/api/command/%s", id), q)
}

// Cancel takes back a command that was not sent.
func (c Commands) Cancel(ctx context.Context, id int64) (api.Command, error) {
	return post[api.Command](ctx, c.w, at("/api/command/%s/cancel", id), nil)
}

// Devices is credentials and connections of chargers.
type Devices struct{ w *wire }

// NewCredential makes a secret for a charger; it is shown only here.
func (d Devices) NewCredential(ctx context.Context, id int64, body api.CreateCredential) (api.NewCredential, error) {
	return postOnce[api.NewCredential](ctx, d.w, at("/api/charger/%s/credential", id), body)
}

// Credential says how a charger proves who it is.
func (d Devices) Credential(ctx context.Context, id int64) (api.Credential, error) {
	return get[api.Credential](ctx, d.w, at("/api/charger/%s/credential", id), nil)
}

// UpdateCredential changes how a charger proves who it is, not the secret.
func (d Devices) UpdateCredential(ctx context.Context, id int64, body api.UpdateCredential) (api.Credential, error) {
	return put[api.Credential](ctx, d.w, at("/api/charger/%s/credential", id), body)
}

// DeleteCredential takes the secret away and closes the connection.
func (d Devices) DeleteCredential(ctx context.Context, id int64) error {
	return remove(ctx, d.w, at("/api/charger/%s/credential", id))
}

// Connections reads a page of open connections.
func (d Devices) Connections(ctx context.Context, q Query) (api.Page[api.Connection], error) {
	return page[api.Connection](ctx, d.w, "/api/protocol/connection", q)
}

// Rejections reads a page of refused connection attempts.
func (d Devices) Rejections(ctx context.Context, q Query) (api.Page[api.Rejection], error) {
	return page[api.Rejection](ctx, d.w, "/api/protocol/rejection", q)
}

// Messages reads a page of stored device messages.
func (d Devices) Messages(ctx context.Context, q Query) (api.Page[api.Message], error) {
	return page[api.Message](ctx, d.w, "/api/protocol/message", q)
}
