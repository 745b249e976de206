package store

import (
	"context"
	"database/sql"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
)

// AddSample stores a reading of a session; false when it has one of that
// moment already. The newest reading of a running session is new for certain:
// the caller writes the session in the same transaction, and its version
// proves it.
func (s Orders) AddSample(ctx context.Context, x *order.Session, r evcs.Sample) (bool, error) {
	if x.Running() && r.At.Equal(x.Last.At) {
		s.q.bulk.add(bulkSamples, whole(x.ID), moment(r.At), whole(x.Tenant), whole(r.Have), whole(r.Register), whole(r.Energy), whole(r.Power),
			whole(r.Voltage), whole(r.Current), whole(r.SoC), whole(r.Temperature))
		return true, nil
	}
	n, err := s.q.exec(ctx, "insert sample", `
		INSERT INTO samples (session_id, at, tenant_id, have, register, energy, power, voltage, current, soc, temperature)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session_id, at) DO NOTHING`,
		x.ID, evcs.Millis(r.At), x.Tenant, r.Have, r.Register, r.Energy, r.Power, r.Voltage, r.Current, r.SoC, r.Temperature)
	return n > 0, err
}

const sampleColumns = `at, have, register, energy, power, voltage, current, soc, temperature`

func scanSample(rows row) (evcs.Sample, error) {
	var r evcs.Sample
	var at int64
	err := rows.Scan(&at, &r.Have, &r.Register, &r.Energy, &r.Power, &r.Voltage, &r.Current, &r.SoC, &r.Temperature)
	r.At = evcs.FromMillis(at)
	return r, err
}

// Curve lists the readings of a session by time.
func (s Orders) Curve(ctx context.Context, x *order.Session) ([]evcs.Sample, error) {
	var list []evcs.Sample
	err := s.EachSample(ctx, x, 0, 0, func(r evcs.Sample) { list = append(list, r) })
	return list, err
}

// EachSample calls f for every reading of a session in [from, to) milliseconds
// by time, each end open when 0.
func (s Orders) EachSample(ctx context.Context, x *order.Session, from, to int64, f func(evcs.Sample)) error {
	if to == 0 {
		to = 1<<63 - 1
	}
	return s.q.rows(ctx, "read samples", func(rows row) error {
		r, err := scanSample(rows)
		f(r)
		return err
	}, `SELECT `+sampleColumns+` FROM samples WHERE session_id = ? AND tenant_id = ? AND at >= ? AND at < ? ORDER BY at`, x.ID, x.Tenant, from, to)
}

// CountSamples counts the readings of a session in [from, to) milliseconds.
func (s Orders) CountSamples(ctx context.Context, x *order.Session, from, to int64) (int64, error) {
	if to == 0 {
		to = 1<<63 - 1
	}
	var n int64
	err := s.q.one(ctx, "count samples", sql.ErrNoRows, []any{&n},
		`SELECT COUNT(*) FROM samples WHERE session_id = ? AND tenant_id = ? AND at >= ? AND at < ?`, x.ID, x.Tenant, from, to)
	return n, err
}
