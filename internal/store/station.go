package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// Stations keeps stations, chargers, connectors, credentials and id tags. It
// implements station.Store.
type Stations struct {
	Places
	ChargerRows
	ConnectorRows
	Credentials
	IDTags
	LiveRows
}

// Stations is the stations as this transaction sees and changes them.
func (tx *Tx) Stations() station.Store { return stationsOf(tx.q) }

// Stations is the committed stations.
func (r Reader) Stations() Stations { return stationsOf(r.q) }

func stationsOf(q querier) Stations {
	return Stations{Places{q}, ChargerRows{q}, ConnectorRows{q}, Credentials{q}, IDTags{q}, LiveRows{q}}
}

// Places keeps stations.
type Places struct{ q querier }

const stationColumns = `s.id, s.tenant_id, s.code, s.name, s.address, s.latitude, s.longitude, s.status, s.province, s.city, s.district, s.type,
	s.operator_name, s.operator_phone, s.service_hours, s.facilities, s.time_zone, s.remark, s.created_at, s.updated_at, s.created_by, s.updated_by, s.version`

func scanStation(r row, more ...any) (station.Station, error) {
	var s station.Station
	var status int
	var created, updated int64
	var facilities string
	dest := []any{
		&s.ID, &s.Tenant, &s.Code, &s.Name, &s.Address, &s.Latitude, &s.Longitude, &status, &s.Province, &s.City, &s.District, &s.Type,
		&s.OperatorName, &s.OperatorPhone, &s.ServiceHours, &facilities, &s.TimeZone, &s.Remark, &created, &updated, &s.CreatedBy, &s.UpdatedBy, &s.Version,
	}
	if err := r.Scan(append(dest, more...)...); err != nil {
		return s, err
	}
	s.Enabled, s.Created, s.Updated = status == 1, evcs.FromMillis(created), evcs.FromMillis(updated)
	if err := json.Unmarshal([]byte(facilities), &s.Facilities); err != nil {
		return s, fmt.Errorf("facilities of station %d: %w", s.ID, err)
	}
	return s, nil
}

// Station implements station.Places.
func (p Places) Station(ctx context.Context, scope evcs.Scope, id evcs.StationID) (*station.Station, error) {
	cond, arg := scopeCond("s.tenant_id", scope)
	return first(ctx, p.q, "read station", station.StationMissing(id), func(r row) (station.Station, error) { return scanStation(r) },
		`SELECT `+stationColumns+` FROM stations s WHERE s.id = ? AND s.deleted_at = 0 AND `+cond, id, arg)
}

// StationCodeTaken implements station.Places.
func (p Places) StationCodeTaken(ctx context.Context, t evcs.TenantID, code string, except evcs.StationID) (bool, error) {
	return p.q.exists(ctx, "look for station code",
		`SELECT 1 FROM stations WHERE tenant_id = ? AND code = ? AND id <> ? AND deleted_at = 0`, t, code, except)
}

// InsertStation implements station.Places.
func (p Places) InsertStation(ctx context.Context, s *station.Station) error {
	facilities, err := list(s.Facilities)
	if err != nil {
		return err
	}
	id, err := p.q.insertID(ctx, "insert station", `
		INSERT INTO stations (tenant_id, code, name, address, latitude, longitude, status, province, city, district, type, operator_name,
			operator_phone, service_hours, facilities, time_zone, remark, created_at, updated_at, created_by, updated_by, deleted_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1) RETURNING id`,
		s.Tenant, s.Code, s.Name, s.Address, s.Latitude, s.Longitude, flag(s.Enabled), s.Province, s.City, s.District, s.Type, s.OperatorName,
		s.OperatorPhone, s.ServiceHours, facilities, s.TimeZone, s.Remark, evcs.Millis(s.Created), evcs.Millis(s.Updated), s.CreatedBy, s.UpdatedBy)
	s.ID, s.Version = evcs.StationID(id), 1
	return err
}

// UpdateStation implements station.Places.
func (p Places) UpdateStation(ctx context.Context, scope evcs.Scope, s *station.Station) error {
	p.q.changed()
	facilities, err := list(s.Facilities)
	if err != nil {
		return err
	}
	cond, arg := scopeCond("tenant_id", scope)
	err = p.q.swap(ctx, "update station", `
		UPDATE stations SET code = ?, name = ?, address = ?, latitude = ?, longitude = ?, status = ?, province = ?, city = ?, district = ?, type = ?,
			operator_name = ?, operator_phone = ?, service_hours = ?, facilities = ?, time_zone = ?, remark = ?, updated_at = ?, updated_by = ?,
			version = version + 1
		WHERE id = ? AND version = ? AND deleted_at = 0 AND `+cond,
		s.Code, s.Name, s.Address, s.Latitude, s.Longitude, flag(s.Enabled), s.Province, s.City, s.District, s.Type,
		s.OperatorName, s.OperatorPhone, s.ServiceHours, facilities, s.TimeZone, s.Remark, evcs.Millis(s.Updated), s.UpdatedBy,
		s.ID, s.Version, arg)
	if err != nil {
		return err
	}
	s.Version++
	return p.moveChargers(ctx, scope, s)
}

// moveChargers keeps the place that chargers carry of their station.
func (p Places) moveChargers(ctx context.Context, scope evcs.Scope, s *station.Station) error {
	latitude, longitude := s.Latitude, s.Longitude
	if !s.Enabled {
		latitude, longitude = nil, nil
	}
	cond, arg := scopeCond("tenant_id", scope)
	_, err := p.q.exec(ctx, "move chargers of a station", `
		UPDATE chargers SET latitude = ?, longitude = ? WHERE station_id = ? AND (latitude IS DISTINCT FROM ? OR longitude IS DISTINCT FROM ?) AND `+cond,
		latitude, longitude, s.ID, latitude, longitude, arg)
	return err
}

// DeleteStation implements station.Places.
func (p Places) DeleteStation(ctx context.Context, scope evcs.Scope, s *station.Station, at time.Time) error {
	p.q.changed()
	cond, arg := scopeCond("tenant_id", scope)
	return p.q.swap(ctx, "delete station",
		`UPDATE stations SET deleted_at = ?, version = version + 1 WHERE id = ? AND version = ? AND deleted_at = 0 AND `+cond,
		evcs.Millis(at), s.ID, s.Version, arg)
}

// LiveChargers implements station.Places.
func (p Places) LiveChargers(ctx context.Context, scope evcs.Scope, id evcs.StationID) (int64, error) {
	cond, arg := scopeCond("tenant_id", scope)
	return p.q.count(ctx, "count chargers of station", `SELECT COUNT(*) FROM chargers WHERE station_id = ? AND deleted_at = 0 AND `+cond, id, arg)
}

// first scans one object; missing when there is none.
func first[T any](ctx context.Context, q querier, what string, missing error, scan func(row) (T, error), query string, args ...any) (*T, error) {
	var found *T
	err := q.rows(ctx, what, func(rows row) error {
		v, err := scan(rows)
		found = &v
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, missing
	}
	return found, nil
}

// exists reports whether the query has a row.
func (q querier) exists(ctx context.Context, what, query string, args ...any) (bool, error) {
	found := false
	err := q.each(ctx, what, func(*sql.Rows) error { found = true; return nil }, query+` LIMIT 1`, args...)
	return found, err
}

// count scans one number.
func (q querier) count(ctx context.Context, what, query string, args ...any) (int64, error) {
	var n int64
	err := q.one(ctx, what, nil, []any{&n}, query, args...)
	return n, err
}

// list is a list of texts as the store keeps it.
func list(texts []string) (string, error) {
	if texts == nil {
		return "[]", nil
	}
	raw, err := json.Marshal(texts)
	return string(raw), err
}
