package station

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Store keeps stations, chargers and what belongs to them. Every update
// compares the version and counts it up in the value; a row that moved on is
// evcs.ErrStale, as is a taken code or device id.
type Store interface {
	Places
	Chargers
	Connectors
	Credentials
	Live
}

// Live keeps what chargers say of themselves: it moves with every session and
// is no change of the charger's settings.
type Live interface {
	// KeepCharger is UpdateCharger for status, presence, totals and what the
	// charger calls itself.
	KeepCharger(ctx context.Context, c *Charger) error
	// KeepConnector is UpdateConnector for status, figures and session.
	KeepConnector(ctx context.Context, c *Connector) error
	// Mark counts the committed changes of settings: of tenants, stations,
	// chargers, connectors, plans and cards. While it stands, what was read
	// after it holds.
	Mark(ctx context.Context) (int64, error)
}

// Places keeps stations.
type Places interface {
	// Station finds a live station; ErrStationNotFound.
	Station(ctx context.Context, scope evcs.Scope, id evcs.StationID) (*Station, error)
	// StationCodeTaken reports whether another live station of the tenant has it.
	StationCodeTaken(ctx context.Context, t evcs.TenantID, code string, except evcs.StationID) (bool, error)
	InsertStation(ctx context.Context, s *Station) error
	UpdateStation(ctx context.Context, scope evcs.Scope, s *Station) error
	DeleteStation(ctx context.Context, scope evcs.Scope, s *Station, at time.Time) error
	// LiveChargers counts the station's live chargers.
	LiveChargers(ctx context.Context, scope evcs.Scope, id evcs.StationID) (int64, error)
}

// Chargers keeps chargers.
type Chargers interface {
	// Charger finds a live charger; ErrChargerNotFound.
	Charger(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (*Charger, error)
	// ChargerByDevice finds a live charger by what it calls itself, whoever's it
	// is: the one question that is asked before the tenant is known.
	ChargerByDevice(ctx context.Context, deviceID string) (*Charger, error)
	// PlanStation finds a live billing plan's station, zero when it is
	// tenant-wide; ErrPlanNotFound.
	PlanStation(ctx context.Context, scope evcs.Scope, id evcs.PlanID) (evcs.StationID, error)
	ChargerCodeTaken(ctx context.Context, t evcs.TenantID, code string, except evcs.ChargerID) (bool, error)
	InsertCharger(ctx context.Context, c *Charger) error
	UpdateCharger(ctx context.Context, scope evcs.Scope, c *Charger) error
	DeleteCharger(ctx context.Context, scope evcs.Scope, c *Charger, at time.Time) error
	// RunningOrder is the number of the running order of the charger's lowest
	// connector, "" when none runs, and how many run.
	RunningOrder(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (orderNo string, running int64, err error)
	// EverUsed reports whether the charger had a session or was ever heard.
	EverUsed(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (bool, error)
}

// Connectors keeps connectors.
type Connectors interface {
	// Connectors lists the charger's connectors by number.
	Connectors(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) ([]*Connector, error)
	InsertConnector(ctx context.Context, c *Connector) error
	UpdateConnector(ctx context.Context, scope evcs.Scope, c *Connector) error
	// DeleteConnector removes a connector that never had a session.
	DeleteConnector(ctx context.Context, scope evcs.Scope, c *Connector) error
	HadSession(ctx context.Context, scope evcs.Scope, id evcs.ChargerID, no int) (bool, error)
}

// Credentials keeps credentials and id tags.
type Credentials interface {
	// Credential is the charger's, a zero one with the defaults when none was
	// made yet.
	Credential(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (*Credential, error)
	// PutCredential inserts or, comparing the version, updates.
	PutCredential(ctx context.Context, scope evcs.Scope, c *Credential) error
	// CredentialUsed notes that the charger was let in with its credential; without
	// one it does nothing. It moves no version: nobody decides by it.
	CredentialUsed(ctx context.Context, scope evcs.Scope, id evcs.ChargerID, at time.Time) error
	DeleteCredential(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) error
	// IDTagByTag finds a live tag of the tenant; ErrTagNotFound.
	IDTagByTag(ctx context.Context, t evcs.TenantID, tag string) (*IDTag, error)
	IDTag(ctx context.Context, scope evcs.Scope, id int64) (*IDTag, error)
	// IDTagsSince lists what changed in the tenant's tags since a moment, deleted
	// ones too; without a moment all live ones.
	IDTagsSince(ctx context.Context, scope evcs.Scope, since time.Time) ([]ListedTag, error)
	InsertIDTag(ctx context.Context, t *IDTag) error
	UpdateIDTag(ctx context.Context, scope evcs.Scope, t *IDTag) error
	DeleteIDTag(ctx context.Context, scope evcs.Scope, t *IDTag, at time.Time) error
}
