package store

import (
	"context"
	"fmt"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// LiveRows keeps what chargers say of themselves.
type LiveRows struct{ q querier }

const settingsSequence = "assets"

// changed has the transaction count a change of settings, last of all, so that
// those who change other settings wait as briefly as can be.
func (q querier) changed() { q.bulk.changed = true }

// countChange raises the mark when settings were changed.
func (q querier) countChange(ctx context.Context) error {
	if !q.bulk.changed {
		return nil
	}
	q.bulk.changed = false
	_, err := q.execCells(ctx, "count change", `UPDATE sequences SET next = next + 1 WHERE name = ?`, []cell{words(settingsSequence)})
	return err
}

// Mark implements station.Live.
func (s LiveRows) Mark(ctx context.Context) (int64, error) {
	return s.q.number(ctx, "read mark", errNoMark, `SELECT next FROM sequences WHERE name = ?`, words(settingsSequence))
}

var errNoMark = fmt.Errorf("the sequence %q is missing: the schema is damaged", settingsSequence)

// KeepCharger implements station.Live. Of the columns of indexes only the status
// is in it.
func (s LiveRows) KeepCharger(ctx context.Context, c *station.Charger) error {
	n, err := s.q.alter(ctx, "keep charger", `
		UPDATE chargers SET protocol = ?, brand = ?, model = ?, status = ?, fault_code = ?, fault_detail = ?, fault_since = ?, connected = ?,
			connected_since = ?, last_seen_at = CASE WHEN last_seen_at > ? THEN last_seen_at ELSE ? END, offline_since = ?, remote_address = ?,
			node = ?, firmware = ?, signal_strength = ?, total_sessions = ?, total_energy = ?, total_seconds = ?, updated_at = ?,
			version = version + 1
		WHERE id = ? AND version = ? AND deleted_at = 0 AND tenant_id = ?`,
		worded(c.Protocol), textOrNone(c.Brand), textOrNone(c.Model), whole(c.Status), textOrNone(c.FaultCode), textOrNone(c.FaultDetail),
		moment(c.FaultSince), truth(c.Connected), moment(c.ConnectedSince), moment(c.LastSeen), moment(c.LastSeen), moment(c.OfflineSince),
		textOrNone(c.RemoteAddress), words(c.Node), textOrNone(c.Firmware), wholeOrNull(c.SignalStrength), whole(c.TotalSessions),
		whole(c.TotalEnergy), whole(c.TotalSeconds), moment(c.Updated), whole(c.ID), whole(c.Version), whole(c.Tenant))
	return moved("keep charger", n, err, &c.Version)
}

// KeepConnector implements station.Live.
func (s LiveRows) KeepConnector(ctx context.Context, c *station.Connector) error {
	l := c.Live
	n, err := s.q.alter(ctx, "keep connector", `
		UPDATE connectors SET status = ?, reported = ?, hold = ?, latched = ?, fault_code = ?, fault_detail = ?, plugged = ?, session_id = ?,
			voltage = ?, current = ?, power = ?, soc = ?, temperature = ?, register = ?, last_meter_at = ?, updated_at = ?, version = version + 1
		WHERE charger_id = ? AND no = ? AND version = ? AND tenant_id = ?`,
		whole(c.Status), whole(c.Reported), worded(c.Hold), truth(c.Latched), textOrNone(c.FaultCode), textOrNone(c.FaultDetail),
		truthOrNone(c.Plugged), whole(c.SessionID), figure(l, evcs.HasVoltage, l.Voltage), figure(l, evcs.HasCurrent, l.Current),
		figure(l, evcs.HasPower, l.Power), figure(l, evcs.HasSoC, l.SoC), figure(l, evcs.HasTemperature, l.Temperature),
		figure(l, evcs.HasRegister, l.Register), moment(c.LastMeter), moment(c.Updated), whole(c.Charger), whole(c.No), whole(c.Version), whole(c.Tenant))
	return moved("keep connector", n, err, &c.Version)
}

// moved is the end of a compare-and-swap: no row is ErrStale, one counts the
// version up.
func moved(what string, n int64, err error, version *int64) error {
	switch {
	case err != nil:
		return err
	case n == 0:
		return fmt.Errorf("%s: %w", what, evcs.ErrStale)
	}
	*version++
	return nil
}

// moveRolled is a compare-and-swap of a row whose figures may stand in the report
// tables, see swapRolled: update says AND NOT rolled.
func moveRolled(what string, version *int64, unroll func() (bool, error), update func() (int64, error)) error {
	n, err := update()
	if err == nil && n == 0 {
		was, failed := unroll()
		if failed != nil {
			return failed
		}
		if was {
			n, err = update()
		}
	}
	return moved(what, n, err, version)
}

func textOrNone(s *string) cell {
	if s == nil {
		return cell{}
	}
	return words(*s)
}

func truthOrNone(b *bool) cell {
	if b == nil {
		return cell{}
	}
	return truth(*b)
}

// figure is a sample's quantity, NULL when it was not measured.
func figure[T ~int64](s evcs.Sample, q evcs.Quantity, v T) cell {
	if !s.Has(q) {
		return cell{}
	}
	return whole(v)
}
