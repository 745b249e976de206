package station

import (
	"context"
	"strconv"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// Tx is the part of a transaction that the registry needs.
type Tx interface {
	Tenants() tenant.Store
	Stations() Store
	Emit(ctx context.Context, e evcs.Event) error
}

// Registry is the verbs of stations; Fleet, Keys and Tags are those of what
// belongs to them. Each verb is one transaction with its quota, audit row and
// events.
type Registry struct {
	Transact func(ctx context.Context, fn func(Tx) error) error
	Clock    evcs.Clock
	Sealer   *auth.Sealer
	// Touched is told of a charger whose row changed, after the commit, so that
	// what is kept of it in memory is read again.
	Touched func(evcs.ChargerID)
}

// audit writes the row of a verb.
func (r *Registry) audit(ctx context.Context, tx Tx, a *evcs.Actor, action tenant.Action, owner evcs.TenantID, kind string, id int64, details map[string]any) error {
	return tenant.Audit(ctx, tx.Tenants(), a, tenant.AuditRow{
		Target: owner, TargetType: kind, TargetID: strconv.FormatInt(id, 10), Action: action, Details: details, Success: true, At: r.Clock.Now(),
	})
}

// seen refuses a version that is not the one the caller saw (9409); nil sees
// everything.
func seen(want *int64, have int64) error {
	if want != nil && *want != have {
		return evcs.With(evcs.ErrVersion, map[string]any{"currentVersion": have})
	}
	return nil
}

// CreateStation adds a station. A taken code is 1001, no room 5006.
func (r *Registry) CreateStation(ctx context.Context, a *evcs.Actor, s Station) (*Station, error) {
	if err := tenant.Reach(a, s.Tenant, true); err != nil {
		return nil, err
	}
	var made Station
	err := r.Transact(ctx, func(tx Tx) error {
		made = s
		made.Created, made.CreatedBy = r.Clock.Now(), a.User
		made.Updated, made.UpdatedBy = made.Created, a.User
		if err := made.check(); err != nil {
			return err
		}
		if err := freeCode(ctx, tx, &made); err != nil {
			return err
		}
		if err := tenant.Reserve(ctx, tx.Tenants(), made.Tenant, tenant.Stations, 1); err != nil {
			return err
		}
		if err := tx.Stations().InsertStation(ctx, &made); err != nil {
			return err
		}
		return r.audit(ctx, tx, a, "CREATE_STATION", made.Tenant, "STATION", int64(made.ID), map[string]any{"stationCode": made.Code})
	})
	if err != nil {
		return nil, err
	}
	return &made, nil
}

func freeCode(ctx context.Context, tx Tx, s *Station) error {
	taken, err := tx.Stations().StationCodeTaken(ctx, s.Tenant, s.Code, s.ID)
	if err != nil || !taken {
		return err
	}
	return evcs.With(ErrStationCode, map[string]any{"stationCode": s.Code})
}

// loadStation finds a station in the actor's subtree for a change.
func (r *Registry) loadStation(ctx context.Context, tx Tx, a *evcs.Actor, id evcs.StationID, want *int64) (*Station, error) {
	s, err := tx.Stations().Station(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	if err := tenant.Reach(a, s.Tenant, true); err != nil {
		return nil, err
	}
	return s, seen(want, s.Version)
}

// UpdateStation changes a station; change is given the present one and alters
// it. want is the version the caller saw, nil: whatever it is.
func (r *Registry) UpdateStation(ctx context.Context, a *evcs.Actor, id evcs.StationID, want *int64, change func(*Station) error) (*Station, error) {
	var made *Station
	err := r.Transact(ctx, func(tx Tx) error {
		s, err := r.loadStation(ctx, tx, a, id, want)
		if err != nil {
			return err
		}
		before := *s
		if err := change(s); err != nil {
			return err
		}
		if err := s.check(); err != nil {
			return err
		}
		if err := freeCode(ctx, tx, s); err != nil {
			return err
		}
		s.Updated, s.UpdatedBy = r.Clock.Now(), a.User
		if err := tx.Stations().UpdateStation(ctx, evcs.Only(s.Tenant), s); err != nil {
			return err
		}
		made = s
		return r.audit(ctx, tx, a, "UPDATE_STATION", s.Tenant, "STATION", int64(s.ID), s.differs(&before))
	})
	if err == nil {
		r.touch(0)
	}
	return made, err
}

// DeleteStation removes a station without live chargers (1004).
func (r *Registry) DeleteStation(ctx context.Context, a *evcs.Actor, id evcs.StationID) error {
	return r.Transact(ctx, func(tx Tx) error {
		s, err := r.loadStation(ctx, tx, a, id, nil)
		if err != nil {
			return err
		}
		// nobody adds a charger while they are counted: both hold the tenant
		if _, err := tx.Tenants().LockChain(ctx, s.Tenant); err != nil {
			return err
		}
		n, err := tx.Stations().LiveChargers(ctx, evcs.Only(s.Tenant), id)
		if err != nil {
			return err
		}
		if n > 0 {
			return evcs.With(ErrHasChargers, map[string]any{"stationId": id, "chargerCount": n})
		}
		if err := tx.Stations().DeleteStation(ctx, evcs.Only(s.Tenant), s, r.Clock.Now()); err != nil {
			return err
		}
		return r.audit(ctx, tx, a, "DELETE_STATION", s.Tenant, "STATION", int64(s.ID), map[string]any{"stationCode": s.Code})
	})
}

// check is what a station must be.
func (s *Station) check() error {
	var faults []evcs.FieldFault
	if (s.Latitude == nil) != (s.Longitude == nil) {
		faults = append(faults, evcs.FieldFault{Field: "latitude", Message: "and longitude are given both or not at all"})
	}
	if s.TimeZone != nil {
		if _, err := evcs.Zone(*s.TimeZone); err != nil || *s.TimeZone == "" || *s.TimeZone == "Local" {
			faults = append(faults, evcs.FieldFault{Field: "timeZone", Message: "is not a known time zone"})
		}
	}
	return evcs.Invalid(faults...)
}

// touch tells of changes; 0 is every charger.
func (r *Registry) touch(id evcs.ChargerID) {
	if r.Touched != nil {
		r.Touched(id)
	}
}
