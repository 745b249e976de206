package store

import (
	"context"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

const stationCounts = `,
	(SELECT t.name FROM tenants t WHERE t.id = s.tenant_id),
	(SELECT COUNT(*) FROM chargers c WHERE c.station_id = s.id AND c.deleted_at = 0),
	(SELECT COUNT(*) FROM chargers c WHERE c.station_id = s.id AND c.deleted_at = 0 AND c.status = 1 AND c.enabled),
	(SELECT COUNT(*) FROM chargers c WHERE c.station_id = s.id AND c.deleted_at = 0 AND c.status = 2),
	(SELECT COUNT(*) FROM chargers c WHERE c.station_id = s.id AND c.deleted_at = 0 AND c.status = 3),
	(SELECT COUNT(*) FROM chargers c WHERE c.station_id = s.id AND c.deleted_at = 0 AND c.status = 0),
	(SELECT COUNT(*) FROM connectors k JOIN chargers c ON c.id = k.charger_id WHERE c.station_id = s.id AND c.deleted_at = 0),
	(SELECT COUNT(*) FROM connectors k JOIN chargers c ON c.id = k.charger_id
		WHERE c.station_id = s.id AND c.deleted_at = 0 AND c.enabled AND k.enabled AND k.status = 1)`

const stationTotal = `(SELECT COUNT(*) FROM chargers c WHERE c.station_id = s.id AND c.deleted_at = 0)`

func scanStationRow(r row) (station.StationRow, error) {
	var v station.StationRow
	var err error
	n := &v.Counts
	v.Station, err = scanStation(r, &v.TenantName, &n.Chargers, &n.Available, &n.Charging, &n.Fault, &n.Offline, &n.Connectors, &n.AvailableConnectors)
	return v, err
}

var stationListing = listing[station.StationRow]{
	what: "list stations", columns: stationColumns + stationCounts, from: "stations s", id: "s.id", scan: scanStationRow,
	sorts: map[string]sortColumn{
		"stationId": {expr: "s.id"}, "createTime": {expr: "s.created_at"}, "stationName": {expr: "s.name", text: true},
		"stationCode": {expr: "s.code", text: true}, "totalChargers": {expr: stationTotal},
	},
}

func stationFilter(scope evcs.Scope, want station.StationFilter) filter {
	var f filter
	f.scope("s.tenant_id", scope)
	f.add("s.deleted_at = 0")
	f.contains(want.Name, "s.name")
	f.contains(want.Code, "s.code")
	f.contains(want.Keyword, "s.name", "s.code", "s.address")
	f.exact("s.province", want.Province)
	f.exact("s.city", want.City)
	f.exact("s.district", want.District)
	among(&f, "s.status", want.Status)
	among(&f, "s.type", want.Types)
	if want.Available || len(want.ChargerTypes) > 0 {
		f.withCharger(want.ChargerTypes, want.Available)
	}
	return f
}

// withCharger keeps stations that have a live charger of one of the types, an
// available one when that is asked. The + 0 keeps the search to the station's own.
func (f *filter) withCharger(types []int, available bool) {
	chargers := filter{conds: []string{"c.station_id = s.id", "c.tenant_id + 0 = s.tenant_id", "c.deleted_at = 0"}}
	among(&chargers, "c.type", types)
	if available {
		chargers.add("c.status = 1 AND c.enabled")
	}
	f.add("EXISTS (SELECT 1 FROM chargers c"+chargers.where()+")", chargers.args...)
}

// StationPage lists the stations of scope that are wanted.
func (p Places) StationPage(ctx context.Context, scope evcs.Scope, want station.StationFilter, r evcs.PageRequest) (evcs.Page[station.StationRow], error) {
	return page(ctx, p.q, stationListing, stationFilter(scope, want), r)
}

// StationRow reads one station as lists show it.
func (p Places) StationRow(ctx context.Context, scope evcs.Scope, id evcs.StationID) (*station.StationRow, error) {
	cond, arg := scopeCond("s.tenant_id", scope)
	return first(ctx, p.q, "read station", station.StationMissing(id), scanStationRow,
		`SELECT `+stationColumns+stationCounts+` FROM stations s WHERE s.id = ? AND s.deleted_at = 0 AND `+cond, id, arg)
}

// CountRunning counts the running orders of a station.
func (p Places) CountRunning(ctx context.Context, scope evcs.Scope, id evcs.StationID) (int64, error) {
	cond, arg := scopeCond("o.tenant_id", scope)
	return p.q.count(ctx, "count running orders",
		`SELECT COUNT(*) FROM chargers c JOIN orders o ON o.charger_id = c.id AND o.status = 0 WHERE c.station_id = ? AND `+cond, id, arg)
}

// CountStations counts live stations; no status counts both.
func (p Places) CountStations(ctx context.Context, scope evcs.Scope, status []int) (int64, error) {
	f := stationFilter(scope, station.StationFilter{Status: status})
	return p.q.count(ctx, "count stations", `SELECT COUNT(*) FROM stations s`+f.where(), f.args...)
}

const chargerFrom = "chargers c JOIN stations s ON s.id = c.station_id"

const chargerMore = `, s.code, s.name, (SELECT COUNT(*) FROM connectors k WHERE k.charger_id = c.id),
	(SELECT CAST(SUM(k.power) AS BIGINT) FROM connectors k WHERE k.charger_id = c.id), (SELECT MAX(k.voltage) FROM connectors k WHERE k.charger_id = c.id),
	(SELECT CAST(SUM(k.current) AS BIGINT) FROM connectors k WHERE k.charger_id = c.id), (SELECT MAX(k.temperature) FROM connectors k WHERE k.charger_id = c.id)`

func scanChargerRow(r row) (station.ChargerRow, error) {
	var v station.ChargerRow
	var err error
	v.Charger, err = scanCharger(r, &v.StationCode, &v.StationName, &v.Connectors, &v.Power, &v.Voltage, &v.Current, &v.Temperature)
	return v, err
}

var chargerListing = listing[station.ChargerRow]{
	what: "list chargers", columns: chargerColumns + chargerMore, from: chargerFrom, id: "c.id", scan: scanChargerRow,
	sorts: map[string]sortColumn{
		"chargerId": {expr: "c.id"}, "createTime": {expr: "c.created_at"}, "chargerCode": {expr: "c.code", text: true},
		"chargerName": {expr: "c.name", text: true}, "stationId": {expr: "c.station_id"}, "status": {expr: "c.status"},
		"lastHeartbeat": {expr: "c.last_seen_at"},
	},
}

func chargerFilter(scope evcs.Scope, want station.ChargerFilter) filter {
	var f filter
	f.scope("c.tenant_id", scope)
	f.add("c.deleted_at = 0")
	f.contains(want.Name, "c.name")
	f.contains(want.Code, "c.code")
	f.contains(want.Keyword, "c.name", "c.code", "c.device_id")
	f.exact("c.brand", want.Brand)
	f.exact("c.code", want.ExactCode)
	if want.Station != 0 {
		f.add("c.station_id = ?", want.Station)
	}
	among(&f, "c.status", want.Status)
	among(&f, "c.type", want.Types)
	among(&f, "c.protocol", want.Protocols)
	for column, v := range map[string]*bool{"c.enabled": want.Enabled, "c.connected": want.Connected, "c.simulated": want.Simulated} {
		if v != nil {
			f.add(column+" = ?", *v)
		}
	}
	if want.UnheardSince > 0 {
		f.add("c.connected = ? AND c.last_seen_at < ?", false, want.UnheardSince)
	}
	if want.WithFault {
		f.add("EXISTS (SELECT 1 FROM connectors k WHERE k.charger_id = c.id AND k.status = 3)")
	}
	return f
}

// ChargerPage lists the chargers of scope that are wanted.
func (s ChargerRows) ChargerPage(ctx context.Context, scope evcs.Scope, want station.ChargerFilter, r evcs.PageRequest) (evcs.Page[station.ChargerRow], error) {
	return page(ctx, s.q, chargerListing, chargerFilter(scope, want), r)
}

// ChargerRow reads one charger as lists show it.
func (s ChargerRows) ChargerRow(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (*station.ChargerRow, error) {
	cond, arg := scopeCond("c.tenant_id", scope)
	return first(ctx, s.q, "read charger", station.ChargerMissing(id), scanChargerRow,
		`SELECT `+chargerColumns+chargerMore+` FROM `+chargerFrom+` WHERE c.id = ? AND c.deleted_at = 0 AND `+cond, id, arg)
}

// ConnectorList lists connectors of chargers with their running sessions.
func (s ConnectorRows) ConnectorList(ctx context.Context, scope evcs.Scope, chargers []evcs.ChargerID) ([]station.ConnectorRow, error) {
	if len(chargers) == 0 {
		return nil, nil
	}
	var f filter
	f.scope("k.tenant_id", scope)
	among(&f, "k.charger_id", chargers)
	var found []station.ConnectorRow
	err := s.q.rows(ctx, "list connectors", func(rows row) error {
		v, err := scanConnectorRow(rows)
		found = append(found, v)
		return err
	}, `SELECT `+connectorColumns+`, u.uid, u.order_id, o.order_no, u.user_ref, u.started_at, u.energy, u.seconds
		FROM connectors k LEFT JOIN sessions u ON u.id = k.session_id AND k.session_id <> 0 LEFT JOIN orders o ON o.id = u.order_id
		`+f.where()+` ORDER BY k.charger_id, k.no`, f.args...)
	return found, err
}

func scanConnectorRow(r row) (station.ConnectorRow, error) {
	var v station.ConnectorRow
	var started, seconds *int64
	var err error
	v.Connector, err = scanConnector(r, &v.Session, &v.Order, &v.OrderNo, &v.User, &started, &v.Energy, &seconds)
	v.StartedAt, v.Seconds = or0(started), or0(seconds)
	return v, err
}

// Census counts by status and type; a station narrows it.
func (s ChargerRows) Census(ctx context.Context, scope evcs.Scope, at evcs.StationID) (station.Census, error) {
	var n station.Census
	f := chargerFilter(scope, station.ChargerFilter{Station: at})
	err := s.q.rows(ctx, "count chargers", func(rows row) error {
		var status, kind int
		var enabled, simulated bool
		var count int64
		if err := rows.Scan(&status, &kind, &enabled, &simulated, &count); err != nil {
			return err
		}
		n.Total += count
		n.ByStatus[status] += count
		n.ByType[kind] += count
		if simulated {
			n.Simulated += count
		}
		if enabled {
			n.Enabled += count
			if status != int(station.Offline) {
				n.EnabledOnline += count
			}
		}
		return nil
	}, `SELECT c.status, c.type, c.enabled, c.simulated, COUNT(*) FROM chargers c`+f.where()+` GROUP BY c.status, c.type, c.enabled, c.simulated`, f.args...)
	if err != nil {
		return n, err
	}
	err = s.q.rows(ctx, "count connectors", func(rows row) error {
		var status int
		var count int64
		err := rows.Scan(&status, &count)
		n.Connectors[status] += count
		return err
	}, `SELECT k.status, COUNT(*) FROM connectors k JOIN chargers c ON c.id = k.charger_id`+f.where()+` GROUP BY k.status`, f.args...)
	return n, err
}

var idTagListing = listing[station.IDTag]{
	what: "list id tags", columns: idTagColumns, from: "id_tags", id: "id", scan: scanIDTag,
	sorts: map[string]sortColumn{"idTagId": {expr: "id"}, "createTime": {expr: "created_at"}},
}

// IDTagPage lists the id tags of scope that are wanted.
func (s IDTags) IDTagPage(ctx context.Context, scope evcs.Scope, want station.IDTagFilter, r evcs.PageRequest) (evcs.Page[station.IDTag], error) {
	var f filter
	f.scope("tenant_id", scope)
	f.add("deleted_at = 0")
	f.contains(want.Tag, "tag")
	if want.User != 0 {
		f.add("user_ref = ?", want.User)
	}
	among(&f, "status", want.Status)
	return page(ctx, s.q, idTagListing, f, r)
}
