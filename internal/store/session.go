package store

import (
	"context"
	"database/sql"
	"strconv"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
)

const sessionColumns = `s.id, s.tenant_id, s.uid, s.order_id, s.station_id, s.charger_id, s.connector_no, s.user_ref, s.id_tag, s.protocol,
	s.device_key, s.state, s.started_at, s.stopped_at, s.received_start_at, s.received_stop_at, s.meter_start, s.meter_stop, s.energy, s.seconds,
	s.stop_reason, s.stop_reason_raw, s.stop_digest, s.samples, s.last_at, s.last_have, s.last_register, s.last_energy, s.last_power,
	s.last_voltage, s.last_current, s.last_soc, s.last_temperature, s.last_rise_at, s.device_energy, s.device_amount, s.device_seconds,
	s.estimated, s.anomalies, s.idle_since, s.created_at, s.updated_at, s.version`

func scanSession(r row, more ...any) (*order.Session, error) {
	s := new(order.Session)
	var idTag, key, reason, reasonRaw, digest sql.NullString
	var meterStart, meterStop, deviceEnergy, deviceAmount, deviceSeconds sql.NullInt64
	var started, stopped, receivedStart, receivedStop, last, rise, idle, created, updated int64
	var anomalies string
	err := r.Scan(append([]any{
		&s.ID, &s.Tenant, &s.UID, &s.Order, &s.Station, &s.Charger, &s.Connector, &s.User, &idTag, &s.Protocol,
		&key, &s.State, &started, &stopped, &receivedStart, &receivedStop, &meterStart, &meterStop, &s.Energy, &s.Seconds,
		&reason, &reasonRaw, &digest, &s.Samples, &last, &s.Last.Have, &s.Last.Register, &s.Last.Energy, &s.Last.Power,
		&s.Last.Voltage, &s.Last.Current, &s.Last.SoC, &s.Last.Temperature, &rise, &deviceEnergy, &deviceAmount, &deviceSeconds,
		&s.Estimated, &anomalies, &idle, &created, &updated, &s.Version,
	}, more...)...)
	s.IDTag, s.DeviceKey, s.StopReason, s.StopReasonRaw, s.StopDigest = idTag.String, key.String, reason.String, reasonRaw.String, digest.String
	s.StartedAt, s.StoppedAt = evcs.FromMillis(started), evcs.FromMillis(stopped)
	s.ReceivedStartAt, s.ReceivedStopAt = evcs.FromMillis(receivedStart), evcs.FromMillis(receivedStop)
	s.MeterStart, s.MeterStop = pointer[evcs.Energy](meterStart), pointer[evcs.Energy](meterStop)
	s.DeviceEnergy, s.DeviceAmount, s.DeviceSeconds = pointer[evcs.Energy](deviceEnergy), pointer[evcs.Money](deviceAmount), pointer[int64](deviceSeconds)
	s.Last.At, s.RiseAt, s.IdleSince = evcs.FromMillis(last), evcs.FromMillis(rise), evcs.FromMillis(idle)
	s.CreatedAt, s.UpdatedAt, s.Anomalies = evcs.FromMillis(created), evcs.FromMillis(updated), order.ParseAnomalies(anomalies)
	return s, err
}

// pointer is nil for NULL.
func pointer[T ~int64](n sql.NullInt64) *T {
	if !n.Valid {
		return nil
	}
	v := T(n.Int64)
	return &v
}

// Session finds a session by its public id in the scope.
func (s Orders) Session(ctx context.Context, scope evcs.Scope, uid string) (*order.Session, error) {
	return s.oneSession(ctx, scope, uid, `s.uid = ?`, uid)
}

// SessionByKey finds a session by the natural key of its start on the charger.
func (s Orders) SessionByKey(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID, key string) (*order.Session, error) {
	return s.oneSession(ctx, scope, key, `s.charger_id = ? AND s.device_key = ?`, charger, key)
}

// SessionByNumber finds a session by its transaction number, on this charger
// only.
func (s Orders) SessionByNumber(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID, number int64) (*order.Session, error) {
	return s.oneSession(ctx, scope, "", `s.charger_id = ? AND s.id = ?`, charger, number)
}

func (s Orders) oneSession(ctx context.Context, scope evcs.Scope, name, cond string, args ...any) (*order.Session, error) {
	in, tenant := scopeCond("s.tenant_id", scope)
	var found *order.Session
	err := s.q.rows(ctx, "read session", func(rows row) (err error) {
		found, err = scanSession(rows)
		return err
	}, `SELECT `+sessionColumns+` FROM sessions s WHERE `+cond+` AND `+in+` ORDER BY s.id LIMIT 1`, append(args, tenant)...)
	if err == nil && found == nil {
		return nil, order.SessionMissing(name)
	}
	return found, err
}

// RunningSessions lists the charger's running sessions.
func (s Orders) RunningSessions(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID) ([]*order.Session, error) {
	return s.sessions(ctx, scope, `s.charger_id = ? AND s.state IN ('ACTIVE', 'SUSPENDED') ORDER BY s.id`, charger)
}

// RecentSessions lists the charger's newest sessions. The limit stands in the
// text: SQLite plans a statement with a bound limit anew at every run.
func (s Orders) RecentSessions(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID, n int) ([]*order.Session, error) {
	return s.sessions(ctx, scope, `s.charger_id = ? ORDER BY s.id DESC LIMIT `+strconv.Itoa(n), charger)
}

// OverdueSessions lists running sessions of any tenant that were idle since
// before idle, or silent since before silent. The sum keeps SQLite from walking
// every session there ever was by its id.
func (s Orders) OverdueSessions(ctx context.Context, idle, silent int64, n int) ([]*order.Session, error) {
	return s.everySession(ctx, `s.state IN ('ACTIVE', 'SUSPENDED') AND s.received_start_at > 0
		AND (s.idle_since > 0 AND s.idle_since < ? OR s.updated_at < ?) ORDER BY s.id + 0 LIMIT ?`, idle, silent, n)
}

// EveryRunning lists running sessions of any tenant behind an id, for the
// recovery at boot.
func (s Orders) EveryRunning(ctx context.Context, after int64, n int) ([]*order.Session, error) {
	return s.everySession(ctx, `s.state IN ('ACTIVE', 'SUSPENDED') AND s.id + 0 > ? ORDER BY s.id + 0 LIMIT ?`, after, n)
}

// sessions reads sessions of a charger. The plus keeps SQLite from walking all of
// the tenant's sessions by an index that begins with the tenant: the cost of a
// start would grow with the day.
func (s Orders) sessions(ctx context.Context, scope evcs.Scope, cond string, args ...any) ([]*order.Session, error) {
	in, tenant := scopeCond("+s.tenant_id", scope)
	return s.everySession(ctx, in+` AND `+cond, append([]any{tenant}, args...)...)
}

// everySession reads sessions whoever's they are: for the daemon's own work.
func (s Orders) everySession(ctx context.Context, cond string, args ...any) ([]*order.Session, error) {
	var list []*order.Session
	err := s.q.rows(ctx, "read sessions", func(rows row) error {
		found, err := scanSession(rows)
		list = append(list, found)
		return err
	}, `SELECT `+sessionColumns+` FROM sessions s WHERE `+cond, args...)
	return list, err
}

// InsertSession gives the session its id.
func (s Orders) InsertSession(ctx context.Context, x *order.Session) error {
	args := append([]cell{whole(x.Tenant), words(x.UID), whole(x.Station), whole(x.Charger), whole(x.Connector), moment(x.CreatedAt), whole(1)},
		sessionValues(x)...)
	id, err := s.q.number(ctx, "insert session", sql.ErrNoRows, `
		INSERT INTO sessions (tenant_id, uid, station_id, charger_id, connector_no, created_at, version,
			order_id, user_ref, id_tag, protocol, device_key, state, started_at, stopped_at, received_start_at, received_stop_at,
			meter_start, meter_stop, stop_reason, stop_reason_raw, stop_digest, device_energy, device_amount, device_seconds, estimated,
			energy, seconds, samples, last_at, last_have, last_register, last_energy, last_power, last_voltage, last_current, last_soc,
			last_temperature, last_rise_at, anomalies, idle_since, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`, args...)
	x.ID, x.Version = id, 1
	return err
}

func sessionValues(x *order.Session) []cell {
	return append([]cell{
		whole(x.Order), whole(x.User), worded(x.IDTag), words(x.Protocol), worded(x.DeviceKey), words(x.State), moment(x.StartedAt),
		moment(x.StoppedAt), moment(x.ReceivedStartAt), moment(x.ReceivedStopAt), wholeOrNull(x.MeterStart), wholeOrNull(x.MeterStop),
		worded(x.StopReason), worded(x.StopReasonRaw), worded(x.StopDigest), wholeOrNull(x.DeviceEnergy), wholeOrNull(x.DeviceAmount),
		wholeOrNull(x.DeviceSeconds), truth(x.Estimated),
	}, readingValues(x)...)
}

func readingValues(x *order.Session) []cell {
	return append(make([]cell, 0, 20), whole(x.Energy), whole(x.Seconds), whole(x.Samples), moment(x.Last.At), whole(x.Last.Have), whole(x.Last.Register),
		whole(x.Last.Energy), whole(x.Last.Power), whole(x.Last.Voltage), whole(x.Last.Current), whole(x.Last.SoC), whole(x.Last.Temperature),
		moment(x.RiseAt), words(x.Anomalies.String()), moment(x.IdleSince), moment(x.UpdatedAt))
}

// UpdateSession compares the version and counts it up. What began and goes on
// as it began moves fewer columns, and no index but those of its state.
func (s Orders) UpdateSession(ctx context.Context, scope evcs.Scope, x *order.Session) error {
	all := sessionValues(x)
	unroll := func() (bool, error) { return s.q.unrollSession(ctx, x.Tenant, x.ID, x.Version) }
	return moveRolled("update session", &x.Version, unroll, func() (int64, error) {
		n, err := s.q.alter(ctx, "update session", `
			UPDATE sessions SET order_id = ?, state = ?, stopped_at = ?, received_stop_at = ?, meter_stop = ?, stop_reason = ?, stop_reason_raw = ?,
				stop_digest = ?, device_energy = ?, device_amount = ?, device_seconds = ?, estimated = ?, `+readingSet+`
			WHERE id = ? AND version = ? AND NOT rolled AND tenant_id = ? AND user_ref = ? AND protocol = ? AND device_key = ? AND started_at = ?
				AND received_start_at = ? AND id_tag IS NOT DISTINCT FROM ? AND meter_start IS NOT DISTINCT FROM ?`,
			append(append(append(append([]cell{}, all[0], all[5], all[7], all[9]), all[11:]...), whole(x.ID), whole(x.Version), whole(x.Tenant)),
				all[1], all[3], all[4], all[6], all[8], all[2], all[10])...)
		if err != nil || n > 0 {
			return n, err
		}
		in, _ := scopeCond("tenant_id", scope)
		return s.q.alter(ctx, "update session", `
			UPDATE sessions SET order_id = ?, user_ref = ?, id_tag = ?, protocol = ?, device_key = ?, state = ?, started_at = ?, stopped_at = ?,
				received_start_at = ?, received_stop_at = ?, meter_start = ?, meter_stop = ?, stop_reason = ?, stop_reason_raw = ?, stop_digest = ?,
				device_energy = ?, device_amount = ?, device_seconds = ?, estimated = ?, `+readingSet+`
			WHERE id = ? AND version = ? AND NOT rolled AND `+in, append(all[:len(all):len(all)], whole(x.ID), whole(x.Version), whole(scope.Tenant))...)
	})
}

const readingSet = `energy = ?, seconds = ?, samples = ?, last_at = ?, last_have = ?, last_register = ?, last_energy = ?,
	last_power = ?, last_voltage = ?, last_current = ?, last_soc = ?, last_temperature = ?, last_rise_at = ?, anomalies = ?, idle_since = ?,
	updated_at = ?, version = version + 1`

// UpdateReading is UpdateSession for what a reading moves. The state, on which
// indexes stand, is written only when it moved.
func (s Orders) UpdateReading(ctx context.Context, x *order.Session) error {
	unroll := func() (bool, error) { return s.q.unrollSession(ctx, x.Tenant, x.ID, x.Version) }
	return moveRolled("update reading", &x.Version, unroll, func() (int64, error) {
		n, err := s.q.alter(ctx, "update reading", `UPDATE sessions SET `+readingSet+` WHERE id = ? AND version = ? AND NOT rolled AND tenant_id = ? AND state = ?`,
			append(readingValues(x), whole(x.ID), whole(x.Version), whole(x.Tenant), words(x.State))...)
		if err != nil || n > 0 {
			return n, err
		}
		return s.q.alter(ctx, "update reading", `UPDATE sessions SET `+readingSet+`, state = ? WHERE id = ? AND version = ? AND NOT rolled AND tenant_id = ?`,
			append(readingValues(x), words(x.State), whole(x.ID), whole(x.Version), whole(x.Tenant))...)
	})
}

// Link writes the order of a new session.
func (s Orders) Link(ctx context.Context, x *order.Session) error {
	n, err := s.q.alter(ctx, "link session", `UPDATE sessions SET order_id = ?, version = version + 1 WHERE id = ? AND version = ? AND tenant_id = ?`,
		whole(x.Order), whole(x.ID), whole(x.Version), whole(x.Tenant))
	return moved("link session", n, err, &x.Version)
}
