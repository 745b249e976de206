package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
)

// Watched keeps what nodes say of themselves. It implements health.Store.
type Watched struct{ db *DB }

// Watched keeps what nodes say of themselves.
func (db *DB) Watched() Watched { return Watched{db} }

// SaveNode implements health.Store.
func (s Watched) SaveNode(ctx context.Context, n health.Node) error {
	build, err := json.Marshal(n.Build)
	if err != nil {
		return err
	}
	state, err := json.Marshal(n.State)
	if err != nil {
		return err
	}
	return s.db.Transact(ctx, func(tx *Tx) error {
		_, err := tx.q.exec(ctx, "save node", `
			INSERT INTO nodes (id, host, port, version, build, state, started_at, last_seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET host = excluded.host, port = excluded.port, version = excluded.version, build = excluded.build,
				state = excluded.state, started_at = excluded.started_at, last_seen_at = excluded.last_seen_at
			WHERE nodes.started_at <= excluded.started_at`,
			n.ID, n.Host, n.Port, n.Build.Version, string(build), string(state), evcs.Millis(n.Started), evcs.Millis(n.Seen))
		return err
	})
}

// RemoveNode implements health.Store.
func (s Watched) RemoveNode(ctx context.Context, id string) error {
	return s.db.Transact(ctx, func(tx *Tx) error {
		_, err := tx.q.exec(ctx, "remove node", `DELETE FROM nodes WHERE id = ?`, id)
		return err
	})
}

// Nodes implements health.Store.
func (s Watched) Nodes(ctx context.Context, since time.Time) ([]health.Node, error) {
	var list []health.Node
	err := s.db.Reader().q.rows(ctx, "read nodes", func(rows row) error {
		var n health.Node
		var build, state string
		var started, seen int64
		if err := rows.Scan(&n.ID, &n.Host, &n.Port, &n.Build.Version, &build, &state, &started, &seen); err != nil {
			return err
		}
		n.Started, n.Seen = evcs.FromMillis(started), evcs.FromMillis(seen)
		if build != "" { // a row of an older program says nothing
			if err := json.Unmarshal([]byte(build), &n.Build); err != nil {
				return err
			}
		}
		if state != "" {
			if err := json.Unmarshal([]byte(state), &n.State); err != nil {
				return err
			}
		}
		list = append(list, n)
		return nil
	}, `SELECT id, host, port, version, build, state, started_at, last_seen_at FROM nodes WHERE last_seen_at >= ? ORDER BY id`, evcs.Millis(since))
	return list, err
}

// ForgetNodes implements health.Store.
func (s Watched) ForgetNodes(ctx context.Context, before time.Time) error {
	return s.db.Gather(ctx, func(tx *Tx) error {
		_, err := tx.q.exec(ctx, "forget nodes", `DELETE FROM nodes WHERE last_seen_at < ?`, evcs.Millis(before))
		return err
	})
}

// AddMinutes implements health.Store.
func (s Watched) AddMinutes(ctx context.Context, node string, list []health.Minute) error {
	return s.db.Gather(ctx, func(tx *Tx) error {
		for i := range list {
			m := &list[i]
			h := &m.Durations
			_, err := tx.q.exec(ctx, "add request minute", `
				INSERT INTO request_minutes (minute, node, endpoint, method, requests, succeeded, client_errors, server_errors, timed, total, least, most, buckets)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
				evcs.Millis(m.At), node, m.Endpoint, m.Method, m.Requests, m.Succeeded, m.ClientErrors, m.ServerErrors,
				h.Count, int64(h.Sum), int64(h.Min), int64(h.Max), h.Buckets())
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// EachMinute implements health.Store.
func (s Watched) EachMinute(ctx context.Context, w health.Window, f func(*health.Minute) error) error {
	var where filter
	where.add(`minute >= ?`, evcs.Millis(w.From))
	where.add(`minute < ?`, evcs.Millis(w.To))
	where.exact(`endpoint`, w.Endpoint)
	where.exact(`method`, w.Method)
	return s.db.Reader().q.rows(ctx, "read request minutes", func(rows row) error {
		var m health.Minute
		var at int64
		var packed []byte
		err := rows.Scan(&at, &m.Endpoint, &m.Method, &m.Requests, &m.Succeeded, &m.ClientErrors, &m.ServerErrors,
			&m.Durations.Count, &m.Durations.Sum, &m.Durations.Min, &m.Durations.Max, &packed)
		if err != nil {
			return err
		}
		m.At = evcs.FromMillis(at)
		if err := m.Durations.SetBuckets(packed); err != nil {
			return err
		}
		return f(&m)
	}, `SELECT minute, endpoint, method, requests, succeeded, client_errors, server_errors, timed, total, least, most, buckets
		FROM request_minutes`+where.where(), where.args...)
}

// PruneMinutes deletes up to n minutes of requests older than before and
// returns how many.
func (tx *Tx) PruneMinutes(ctx context.Context, before int64, n int) (int64, error) {
	return tx.q.exec(ctx, "prune request minutes",
		`DELETE FROM request_minutes WHERE id IN (SELECT id FROM request_minutes WHERE minute < ? ORDER BY minute LIMIT ?)`, before, n)
}
