package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// Retention lets go what tenants need no longer, in bounded batches. Its
// cutoffs are the tenants' settings at the last Plan.
type Retention struct{ db *DB }

// Retention returns the jobs on old data.
func (db *DB) Retention() Retention { return Retention{db} }

// Plan notes for every tenant, deleted ones too, before which moment its data
// may go, and returns the newest moment of each kind.
func (r Retention) Plan(ctx context.Context, now time.Time) (Cutoffs, error) {
	chains, err := r.chains(ctx)
	if err != nil {
		return Cutoffs{}, err
	}
	var newest Cutoffs
	for id, chain := range chains {
		s := chain.Settings()
		c := Cutoffs{Frames: daysBefore(now, s.MessageRetentionDays), Samples: daysBefore(now, s.MeterRetentionDays), Audit: daysBefore(now, s.AuditRetentionDays)}
		err := r.db.Gather(ctx, func(tx *Tx) error {
			_, err := tx.q.exec(ctx, "plan retention", `
				INSERT INTO retention (tenant_id, frames_before, samples_before, audit_before) VALUES (?, ?, ?, ?)
				ON CONFLICT (tenant_id) DO UPDATE SET frames_before = excluded.frames_before, samples_before = excluded.samples_before,
					audit_before = excluded.audit_before`, id, c.Frames, c.Samples, c.Audit)
			return err
		})
		if err != nil {
			return Cutoffs{}, err
		}
		newest = Cutoffs{max(newest.Frames, c.Frames), max(newest.Samples, c.Samples), max(newest.Audit, c.Audit)}
	}
	return newest, nil
}

// Cutoffs are moments in milliseconds: what is older may go.
type Cutoffs struct{ Frames, Samples, Audit int64 }

func daysBefore(now time.Time, days int) int64 { return evcs.Millis(now.AddDate(0, 0, -days)) }

// chains are all tenants with their ancestors, as far as settings matter.
func (r Retention) chains(ctx context.Context) (map[evcs.TenantID]tenant.Chain, error) {
	all := make(map[evcs.TenantID]tenant.Tenant)
	err := r.db.Reader().q.rows(ctx, "read settings", func(rows row) error {
		var t tenant.Tenant
		var settings string
		if err := rows.Scan(&t.ID, &t.Parent, &settings); err != nil {
			return err
		}
		var own settingsRow
		if err := json.Unmarshal([]byte(settings), &own); err != nil {
			return fmt.Errorf("settings of tenant %d: %w", t.ID, err)
		}
		t.Own = tenant.Overrides(own)
		all[t.ID] = t
		return nil
	}, `SELECT id, parent_id, settings FROM tenants`)
	chains := make(map[evcs.TenantID]tenant.Chain, len(all))
	for id := range all {
		for at := id; at != 0; at = all[at].Parent {
			chains[id] = append(chains[id], all[at])
		}
	}
	return chains, err
}

// Frames deletes the raw messages that are over among the next n behind after,
// which is a frame's id, and returns the id reached; 0 when the pass is over:
// the rest is newer than newest.
func (r Retention) Frames(ctx context.Context, newest, after int64, n int) (next int64, err error) {
	oldest := newest
	err = r.db.Reader().q.rows(ctx, "look for old frames", func(rows row) error {
		var at int64
		err := rows.Scan(&next, &at)
		oldest = min(oldest, at)
		return err
	}, `SELECT id, at FROM frames WHERE id > ? ORDER BY id LIMIT ?`, after, n)
	if err != nil || oldest >= newest {
		return 0, err
	}
	return next, r.db.Gather(ctx, func(tx *Tx) error {
		_, err := tx.q.exec(ctx, "prune frames", `DELETE FROM frames WHERE id > ? AND id <= ?
			AND at < (SELECT r.frames_before FROM retention r WHERE r.tenant_id = frames.tenant_id)`, after, next)
		return err
	})
}

// thinned is the sequence that holds up to which session all curves are thin.
const thinned = "retention/samples"

// Thinned is the session id up to which every curve has been thinned, which is
// where a pass begins.
func (r Retention) Thinned(ctx context.Context) (int64, error) {
	var id int64
	err := r.db.Reader().q.one(ctx, "read thinned", nil, []any{&id}, `SELECT next FROM sequences WHERE name = ?`, thinned)
	return id, err
}

// Curves thins the curves that are over among the next n sessions behind after
// to the first and the last reading of every quarter of an hour, the grid of
// tariffs: enough to price the energy again, to the fen, for ever. It returns
// the session
// reached; 0 when the pass is over. whole says that the pass has left none out
// so far, and is returned for the next call.
func (r Retention) Curves(ctx context.Context, newest, after int64, whole bool, n int) (next int64, stillWhole bool, err error) {
	type curve struct{ id, tenant int64 }
	var due []curve
	reached, over := after, true
	err = r.db.Reader().q.rows(ctx, "look for old curves", func(rows row) error {
		var c curve
		var started, stopped, before int64
		if err := rows.Scan(&c.id, &c.tenant, &started, &stopped, &before); err != nil {
			return err
		}
		if over = started >= newest; over {
			return nil
		}
		next = c.id
		if stopped > 0 && stopped < before {
			due = append(due, c)
		} else {
			whole = false
		}
		if whole {
			reached = c.id
		}
		return nil
	}, `SELECT s.id, s.tenant_id, s.started_at, s.stopped_at, COALESCE(r.samples_before, 0)
		FROM sessions s LEFT JOIN retention r ON r.tenant_id = s.tenant_id WHERE s.id > ? ORDER BY s.id LIMIT ?`, after, n)
	if err != nil {
		return 0, whole, err
	}
	err = r.db.Gather(ctx, func(tx *Tx) error {
		for _, c := range due {
			if _, err := tx.q.exec(ctx, "thin curve", `DELETE FROM samples WHERE session_id = ? AND tenant_id = ?
				AND at NOT IN (SELECT MAX(k.at) FROM samples k WHERE k.session_id = ? GROUP BY k.at / 900000)
				AND at NOT IN (SELECT MIN(k.at) FROM samples k WHERE k.session_id = ? GROUP BY k.at / 900000)`, c.id, c.tenant, c.id, c.id); err != nil {
				return err
			}
		}
		if reached == after {
			return nil
		}
		_, err := tx.q.exec(ctx, "note thinned", `INSERT INTO sequences (name, next) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET next = excluded.next`, thinned, reached)
		return err
	})
	if over {
		next = 0
	}
	return next, whole, err
}

// Chains lists the tenants behind after whose record begins with rows that are
// over.
func (r Retention) Chains(ctx context.Context, after evcs.TenantID, n int) ([]evcs.TenantID, error) {
	var list []evcs.TenantID
	err := r.db.Reader().q.rows(ctx, "look for old audit rows", func(rows row) error {
		var t evcs.TenantID
		err := rows.Scan(&t)
		list = append(list, t)
		return err
	}, `SELECT r.tenant_id FROM retention r LEFT JOIN audit_anchors a ON a.tenant_id = r.tenant_id
		JOIN audit f ON f.operator_tenant_id = r.tenant_id AND f.chain_no = COALESCE(a.chain_no, 0) + 1
		WHERE r.tenant_id > ? AND f.at < r.audit_before ORDER BY r.tenant_id LIMIT ?`, after, n)
	return list, err
}

// Audit lets go up to n rows at the beginning of a tenant's chain that are
// over, never its last row, and moves the anchor. It returns how many went.
func (r Retention) Audit(ctx context.Context, t evcs.TenantID, now time.Time, n int) (int64, error) {
	var gone int64
	err := r.db.Transact(ctx, func(tx *Tx) error {
		gone = 0
		var last, reached int64
		var hash string
		running := true
		err := tx.q.rows(ctx, "read old audit rows", func(rows row) error {
			var no int64
			var h string
			var old bool
			if err := rows.Scan(&no, &h, &old, &last); err != nil {
				return err
			}
			if running = running && old && no < last; running {
				reached, hash = no, h
			}
			return nil
		}, `SELECT a.chain_no, a.hash, a.at < r.audit_before, (SELECT MAX(m.chain_no) FROM audit m WHERE m.operator_tenant_id = a.operator_tenant_id)
			FROM audit a JOIN retention r ON r.tenant_id = a.operator_tenant_id WHERE a.operator_tenant_id = ? ORDER BY a.chain_no LIMIT ?`, t, n)
		if err != nil || reached == 0 {
			return err
		}
		if _, err := tx.q.exec(ctx, "anchor audit chain", `INSERT INTO audit_anchors (tenant_id, chain_no, hash, at) VALUES (?, ?, ?, ?)
			ON CONFLICT (tenant_id) DO UPDATE SET chain_no = excluded.chain_no, hash = excluded.hash, at = excluded.at`,
			t, reached, hash, evcs.Millis(now)); err != nil {
			return err
		}
		gone, err = tx.q.exec(ctx, "prune audit rows", `DELETE FROM audit WHERE operator_tenant_id = ? AND chain_no <= ?`, t, reached)
		return err
	})
	return gone, err
}
