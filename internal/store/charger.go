package store

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// ChargerRows keeps chargers.
type ChargerRows struct{ q querier }

const chargerColumns = `c.id, c.tenant_id, c.station_id, c.code, c.name, c.device_id, c.protocol, c.type, c.rated_power, c.gun_types, c.brand, c.model,
	c.manufacturer, c.production_date, c.operation_date, c.input_voltage, c.output_voltage_range, c.output_current_range, c.supported_protocols,
	c.remark, c.plan_id, c.simulated, c.status, c.enabled, c.fault_code, c.fault_detail, c.fault_since, c.connected, c.connected_since,
	c.last_seen_at, c.offline_since, c.remote_address, c.node, c.firmware, c.signal_strength, c.total_sessions, c.total_energy, c.total_seconds,
	c.created_at, c.updated_at, c.created_by, c.updated_by, c.version`

func scanCharger(r row, more ...any) (station.Charger, error) {
	var c station.Charger
	var protocol, supported *string
	var faultSince, connectedSince, lastSeen, offlineSince, created, updated int64
	dest := []any{
		&c.ID, &c.Tenant, &c.Station, &c.Code, &c.Name, &c.DeviceID, &protocol, &c.Type, &c.RatedPower, &c.GunTypes, &c.Brand, &c.Model,
		&c.Manufacturer, &c.ProductionDate, &c.OperationDate, &c.InputVoltage, &c.OutputVoltageRange, &c.OutputCurrentRange, &supported,
		&c.Remark, &c.Plan, &c.Simulated, &c.Status, &c.Enabled, &c.FaultCode, &c.FaultDetail, &faultSince, &c.Connected, &connectedSince,
		&lastSeen, &offlineSince, &c.RemoteAddress, &c.Node, &c.Firmware, &c.SignalStrength, &c.TotalSessions, &c.TotalEnergy, &c.TotalSeconds,
		&created, &updated, &c.CreatedBy, &c.UpdatedBy, &c.Version,
	}
	if err := r.Scan(append(dest, more...)...); err != nil {
		return c, err
	}
	if protocol != nil {
		c.Protocol = *protocol
	}
	if supported != nil {
		c.SupportedProtocols = []byte(*supported)
	}
	c.FaultSince, c.ConnectedSince, c.LastSeen = evcs.FromMillis(faultSince), evcs.FromMillis(connectedSince), evcs.FromMillis(lastSeen)
	c.OfflineSince, c.Created, c.Updated = evcs.FromMillis(offlineSince), evcs.FromMillis(created), evcs.FromMillis(updated)
	return c, nil
}

func chargerOf(r row) (station.Charger, error) { return scanCharger(r) }

// Charger implements station.Chargers.
func (s ChargerRows) Charger(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (*station.Charger, error) {
	cond, arg := scopeCond("c.tenant_id", scope)
	return first(ctx, s.q, "read charger", station.ChargerMissing(id), chargerOf,
		`SELECT `+chargerColumns+` FROM chargers c WHERE c.id = ? AND c.deleted_at = 0 AND `+cond, id, arg)
}

// ChargerByDevice implements station.Chargers.
func (s ChargerRows) ChargerByDevice(ctx context.Context, deviceID string) (c *station.Charger, err error) {
	err = s.q.everywhere(ctx, func(ctx context.Context) error {
		c, err = first(ctx, s.q, "read charger by device id", station.ErrChargerNotFound, chargerOf,
			`SELECT `+chargerColumns+` FROM chargers c WHERE c.device_id = ? AND c.deleted_at = 0`, deviceID)
		return err
	})
	return c, err
}

// PlanStation implements station.Chargers.
func (s ChargerRows) PlanStation(ctx context.Context, scope evcs.Scope, id evcs.PlanID) (evcs.StationID, error) {
	cond, arg := scopeCond("tenant_id", scope)
	var at evcs.StationID
	err := s.q.one(ctx, "read station of plan", station.PlanMissing(id), []any{&at},
		`SELECT station_id FROM plans WHERE id = ? AND deleted_at = 0 AND `+cond, id, arg)
	return at, err
}

// ChargerCodeTaken implements station.Chargers.
func (s ChargerRows) ChargerCodeTaken(ctx context.Context, t evcs.TenantID, code string, except evcs.ChargerID) (bool, error) {
	return s.q.exists(ctx, "look for charger code",
		`SELECT 1 FROM chargers WHERE tenant_id = ? AND code = ? AND id <> ? AND deleted_at = 0`, t, code, except)
}

// InsertCharger implements station.Chargers.
func (s ChargerRows) InsertCharger(ctx context.Context, c *station.Charger) error {
	latitude, longitude, err := s.placeOf(ctx, c.Tenant, c.Station)
	if err != nil {
		return err
	}
	id, err := s.q.insertID(ctx, "insert charger", `
		INSERT INTO chargers (tenant_id, station_id, code, name, device_id, protocol, type, rated_power, gun_types, brand, model, manufacturer,
			production_date, operation_date, input_voltage, output_voltage_range, output_current_range, supported_protocols, remark, plan_id,
			simulated, status, enabled, fault_code, fault_detail, fault_since, connected, connected_since, last_seen_at, offline_since,
			remote_address, node, firmware, signal_strength, total_sessions, total_energy, total_seconds, created_at, updated_at, created_by,
			updated_by, deleted_at, version, latitude, longitude)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, 0, ?, 0, 0, 0, NULL, '', NULL, NULL, 0, 0, 0,
			?, ?, ?, ?, 0, 1, ?, ?) RETURNING id`,
		c.Tenant, c.Station, c.Code, c.Name, c.DeviceID, optional(c.Protocol), c.Type, c.RatedPower, c.GunTypes, c.Brand, c.Model, c.Manufacturer,
		c.ProductionDate, c.OperationDate, c.InputVoltage, c.OutputVoltageRange, c.OutputCurrentRange, rawText(c.SupportedProtocols), c.Remark, c.Plan,
		c.Simulated, c.Status, c.Enabled, false, evcs.Millis(c.Created), evcs.Millis(c.Updated), c.CreatedBy, c.UpdatedBy, latitude, longitude)
	c.ID, c.Version = evcs.ChargerID(id), 1
	return err
}

// placeOf is where a station stands while it is shown, nil otherwise. The station
// neither moves nor closes before the transaction ends.
func (s ChargerRows) placeOf(ctx context.Context, tenant evcs.TenantID, id evcs.StationID) (latitude, longitude *station.Degree, err error) {
	err = s.q.rows(ctx, "hold the place of a station", func(r row) error { return r.Scan(&latitude, &longitude) },
		`UPDATE stations SET remark = remark WHERE id = ? AND tenant_id = ? RETURNING CASE WHEN deleted_at = 0 AND status = 1 THEN latitude END,
			CASE WHEN deleted_at = 0 AND status = 1 THEN longitude END`, id, tenant)
	return latitude, longitude, err
}

// UpdateCharger implements station.Chargers.
func (s ChargerRows) UpdateCharger(ctx context.Context, scope evcs.Scope, c *station.Charger) error {
	s.q.changed()
	cond, arg := scopeCond("tenant_id", scope)
	err := s.q.swap(ctx, "update charger", `
		UPDATE chargers SET code = ?, name = ?, protocol = ?, type = ?, rated_power = ?, gun_types = ?, brand = ?, model = ?, manufacturer = ?,
			production_date = ?, operation_date = ?, input_voltage = ?, output_voltage_range = ?, output_current_range = ?, supported_protocols = ?,
			remark = ?, plan_id = ?, status = ?, enabled = ?, fault_code = ?, fault_detail = ?, fault_since = ?, connected = ?, connected_since = ?,
			last_seen_at = CASE WHEN last_seen_at > ? THEN last_seen_at ELSE ? END, offline_since = ?, remote_address = ?, node = ?, firmware = ?,
			signal_strength = ?, total_sessions = ?, total_energy = ?, total_seconds = ?, updated_at = ?, updated_by = ?, version = version + 1
		WHERE id = ? AND version = ? AND deleted_at = 0 AND `+cond,
		c.Code, c.Name, optional(c.Protocol), c.Type, c.RatedPower, c.GunTypes, c.Brand, c.Model, c.Manufacturer,
		c.ProductionDate, c.OperationDate, c.InputVoltage, c.OutputVoltageRange, c.OutputCurrentRange, rawText(c.SupportedProtocols),
		c.Remark, c.Plan, c.Status, c.Enabled, c.FaultCode, c.FaultDetail, evcs.Millis(c.FaultSince), c.Connected, evcs.Millis(c.ConnectedSince),
		evcs.Millis(c.LastSeen), evcs.Millis(c.LastSeen), evcs.Millis(c.OfflineSince), c.RemoteAddress, c.Node, c.Firmware,
		c.SignalStrength, c.TotalSessions, c.TotalEnergy, c.TotalSeconds, evcs.Millis(c.Updated), c.UpdatedBy,
		c.ID, c.Version, arg)
	if err == nil {
		c.Version++
	}
	return err
}

// DeleteCharger implements station.Chargers.
func (s ChargerRows) DeleteCharger(ctx context.Context, scope evcs.Scope, c *station.Charger, at time.Time) error {
	s.q.changed()
	cond, arg := scopeCond("tenant_id", scope)
	return s.q.swap(ctx, "delete charger",
		`UPDATE chargers SET deleted_at = ?, connected = ?, version = version + 1 WHERE id = ? AND version = ? AND deleted_at = 0 AND `+cond,
		evcs.Millis(at), false, c.ID, c.Version, arg)
}

// RunningOrder implements station.Chargers.
func (s ChargerRows) RunningOrder(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (orderNo string, running int64, err error) {
	cond, arg := scopeCond("tenant_id", scope)
	err = s.q.rows(ctx, "look for running orders", func(rows row) error {
		var no string
		if err := rows.Scan(&no); err != nil {
			return err
		}
		if running == 0 {
			orderNo = no
		}
		running++
		return nil
	}, `SELECT order_no FROM orders WHERE charger_id = ? AND status = 0 AND `+cond+` ORDER BY connector_no`, id, arg)
	return orderNo, running, err
}

// EverUsed implements station.Chargers.
func (s ChargerRows) EverUsed(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (bool, error) {
	cond, arg := scopeCond("c.tenant_id", scope)
	return s.q.exists(ctx, "look for use of charger", `
		SELECT 1 FROM chargers c WHERE c.id = ? AND `+cond+` AND (c.last_seen_at > 0 OR EXISTS (SELECT 1 FROM sessions s WHERE s.charger_id = c.id))`, id, arg)
}

// ConnectorRows keeps connectors.
type ConnectorRows struct{ q querier }

const connectorColumns = `k.charger_id, k.no, k.tenant_id, k.station_id, k.type, k.rated_power, k.parking_no, k.enabled, k.status, k.reported, k.hold,
	k.latched, k.fault_code, k.fault_detail, k.plugged, k.session_id, k.voltage, k.current, k.power, k.soc, k.temperature, k.register,
	k.last_meter_at, k.updated_at, k.version`

func scanConnector(r row, more ...any) (station.Connector, error) {
	var c station.Connector
	var hold *string
	var voltage, current, soc, temperature *evcs.Milli
	var power *evcs.Power
	var register *evcs.Energy
	var lastMeter, updated int64
	dest := []any{
		&c.Charger, &c.No, &c.Tenant, &c.Station, &c.Type, &c.RatedPower, &c.ParkingNo, &c.Enabled, &c.Status, &c.Reported, &hold,
		&c.Latched, &c.FaultCode, &c.FaultDetail, &c.Plugged, &c.SessionID, &voltage, &current, &power, &soc, &temperature, &register,
		&lastMeter, &updated, &c.Version,
	}
	if err := r.Scan(append(dest, more...)...); err != nil {
		return c, err
	}
	if hold != nil {
		c.Hold = *hold
	}
	c.LastMeter, c.Updated = evcs.FromMillis(lastMeter), evcs.FromMillis(updated)
	c.Live.At = c.LastMeter
	measured(&c.Live, evcs.HasVoltage, &c.Live.Voltage, voltage)
	measured(&c.Live, evcs.HasCurrent, &c.Live.Current, current)
	measured(&c.Live, evcs.HasSoC, &c.Live.SoC, soc)
	measured(&c.Live, evcs.HasTemperature, &c.Live.Temperature, temperature)
	measured(&c.Live, evcs.HasPower, &c.Live.Power, power)
	measured(&c.Live, evcs.HasRegister, &c.Live.Register, register)
	return c, nil
}

// measured puts a nullable column into a sample.
func measured[T any](s *evcs.Sample, q evcs.Quantity, dest, from *T) {
	if from != nil {
		*dest = *from
		s.Have |= q
	}
}

// measure is a sample's quantity as a nullable bind.
func measure[T any](s evcs.Sample, q evcs.Quantity, v T) *T {
	if !s.Has(q) {
		return nil
	}
	return &v
}

// Connectors implements station.Connectors.
func (s ConnectorRows) Connectors(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) ([]*station.Connector, error) {
	cond, arg := scopeCond("k.tenant_id", scope)
	var found []*station.Connector
	err := s.q.rows(ctx, "read connectors", func(rows row) error {
		c, err := scanConnector(rows)
		found = append(found, &c)
		return err
	}, `SELECT `+connectorColumns+` FROM connectors k WHERE k.charger_id = ? AND `+cond+` ORDER BY k.no`, id, arg)
	return found, err
}

// InsertConnector implements station.Connectors.
func (s ConnectorRows) InsertConnector(ctx context.Context, c *station.Connector) error {
	s.q.changed()
	_, err := s.q.exec(ctx, "insert connector", `
		INSERT INTO connectors (charger_id, no, tenant_id, station_id, type, rated_power, parking_no, enabled, status, reported, hold, latched,
			fault_code, fault_detail, plugged, session_id, last_meter_at, updated_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, 0, 0, ?, 1)`,
		c.Charger, c.No, c.Tenant, c.Station, c.Type, c.RatedPower, c.ParkingNo, c.Enabled, c.Status, c.Reported, optional(c.Hold), c.Latched,
		evcs.Millis(c.Updated))
	c.Version = 1
	return err
}

// UpdateConnector implements station.Connectors.
func (s ConnectorRows) UpdateConnector(ctx context.Context, scope evcs.Scope, c *station.Connector) error {
	s.q.changed()
	cond, arg := scopeCond("tenant_id", scope)
	l := c.Live
	err := s.q.swap(ctx, "update connector", `
		UPDATE connectors SET type = ?, rated_power = ?, parking_no = ?, enabled = ?, status = ?, reported = ?, hold = ?, latched = ?, fault_code = ?,
			fault_detail = ?, plugged = ?, session_id = ?, voltage = ?, current = ?, power = ?, soc = ?, temperature = ?, register = ?,
			last_meter_at = ?, updated_at = ?, version = version + 1
		WHERE charger_id = ? AND no = ? AND version = ? AND `+cond,
		c.Type, c.RatedPower, c.ParkingNo, c.Enabled, c.Status, c.Reported, optional(c.Hold), c.Latched, c.FaultCode,
		c.FaultDetail, c.Plugged, c.SessionID, measure(l, evcs.HasVoltage, l.Voltage), measure(l, evcs.HasCurrent, l.Current),
		measure(l, evcs.HasPower, l.Power), measure(l, evcs.HasSoC, l.SoC), measure(l, evcs.HasTemperature, l.Temperature),
		measure(l, evcs.HasRegister, l.Register), evcs.Millis(c.LastMeter), evcs.Millis(c.Updated),
		c.Charger, c.No, c.Version, arg)
	if err == nil {
		c.Version++
	}
	return err
}

// DeleteConnector implements station.Connectors.
func (s ConnectorRows) DeleteConnector(ctx context.Context, scope evcs.Scope, c *station.Connector) error {
	s.q.changed()
	cond, arg := scopeCond("tenant_id", scope)
	return s.q.swap(ctx, "delete connector", `DELETE FROM connectors WHERE charger_id = ? AND no = ? AND version = ? AND `+cond, c.Charger, c.No, c.Version, arg)
}

// HadSession implements station.Connectors.
func (s ConnectorRows) HadSession(ctx context.Context, scope evcs.Scope, id evcs.ChargerID, no int) (bool, error) {
	cond, arg := scopeCond("tenant_id", scope)
	return s.q.exists(ctx, "look for sessions of connector", `SELECT id FROM sessions WHERE charger_id = ? AND connector_no = ? AND `+cond+` ORDER BY id`, id, no, arg)
}

// optional is an empty text as NULL.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// rawText is JSON as a nullable text.
func rawText(raw []byte) *string {
	if len(raw) == 0 {
		return nil
	}
	s := string(raw)
	return &s
}
