// Package station is where people charge: stations, their chargers and
// connectors with the status rules of contract §5.2, the chargers' credentials
// and the id tags they know. It decides what may be created, changed and
// written; it talks to no device.
package station

import (
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Degree is an angle in 1e-7 degrees.
type Degree int64

// Station is a place with chargers.
type Station struct {
	ID            evcs.StationID
	Tenant        evcs.TenantID
	Code, Name    string
	Address       string
	Latitude      *Degree // both or none
	Longitude     *Degree
	Enabled       bool
	Province      *string
	City          *string
	District      *string
	Type          int // 1 public, 2 dedicated, 3 private
	OperatorName  *string
	OperatorPhone *string
	ServiceHours  *string
	Facilities    []string
	TimeZone      *string // nil: the tenant's
	Remark        *string
	Created       time.Time
	Updated       time.Time
	CreatedBy     evcs.UserID
	UpdatedBy     evcs.UserID
	Version       int64
}

// Zone is the station's time zone, or the tenant's when it has none.
func (s *Station) Zone(tenants *time.Location) *time.Location {
	if s.TimeZone == nil {
		return tenants
	}
	zone, err := evcs.Zone(*s.TimeZone)
	if err != nil {
		return tenants
	}
	return zone
}

// Counts are the live chargers and connectors of a station at one moment.
type Counts struct {
	Chargers, Available, Charging, Fault, Offline int64
	Connectors, AvailableConnectors               int64
}

// AddCharger counts a live charger.
func (n *Counts) AddCharger(status Status, enabled bool) {
	n.Chargers++
	switch {
	case status == Idle && enabled:
		n.Available++
	case status == Charging:
		n.Charging++
	case status == Fault:
		n.Fault++
	case status == Offline:
		n.Offline++
	}
}

// AddConnector counts a connector of a live charger; works says that both are
// enabled.
func (n *Counts) AddConnector(status Status, works bool) {
	n.Connectors++
	if status == Idle && works {
		n.AvailableConnectors++
	}
}

// The refusals of stations.
var (
	ErrStationNotFound = evcs.NewError(evcs.CodeStationNotFound, "no such station")
	ErrStationCode     = evcs.NewError(evcs.CodeStationCodeExists, "the station code is taken")
	ErrStationDisabled = evcs.NewError(evcs.CodeStationState, "the station is disabled")
	ErrHasChargers     = evcs.NewError(evcs.CodeStationHasChargers, "the station has chargers")
)

// StationMissing is 1002 with its fact.
func StationMissing(id evcs.StationID) error {
	return evcs.With(ErrStationNotFound, map[string]any{"stationId": id})
}

// MayCharge refuses new sessions at a disabled station (1003).
func (s *Station) MayCharge() error {
	if s.Enabled {
		return nil
	}
	return evcs.With(ErrStationDisabled, map[string]any{"stationId": s.ID, "currentStatus": 0})
}
