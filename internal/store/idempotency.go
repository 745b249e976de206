package store

import (
	"context"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// The refusals of a repeated request.
var (
	ErrKeyReused  = evcs.NewError(evcs.CodeIdempotencyKeyReused, "the idempotency key was used for another request")
	ErrInProgress = evcs.NewError(evcs.CodeIdempotencyInProgress, "the request with this key is still running")
)

const (
	// answerKept is how long an answer can be repeated.
	answerKept = 24 * time.Hour
	// claimHeld is how long a request may run before its key can be claimed
	// anew: whoever ran it is gone.
	claimHeld = 2 * time.Minute
)

// Idempotency keeps the answers of requests with an Idempotency-Key, per tenant
// and operation. Whoever claims a key runs the request; everybody else gets its
// answer, or is told to wait.
type Idempotency struct {
	db    *DB
	clock evcs.Clock
	node  string
}

// Idempotency returns the kept answers. Claims are made in the name of a node,
// so that its next life can give them back; see Abandon.
func (db *DB) Idempotency(clock evcs.Clock, node string) Idempotency {
	return Idempotency{db, clock, node}
}

// Abandon gives back the keys that an earlier life of this node had claimed and
// did not finish, so that whoever repeats such a request need not wait for the
// claim to end. It is for the start, before the first request.
func (i Idempotency) Abandon(ctx context.Context) (int64, error) {
	var n int64
	err := i.db.Transact(ctx, func(tx *Tx) error {
		var err error
		n, err = tx.q.exec(ctx, "abandon idempotency keys", `DELETE FROM idempotency WHERE done = ? AND answer = ?`, false, i.node)
		return err
	})
	return n, err
}

// Begin claims a key for a request with this digest. A status other than zero
// is the kept answer. It refuses with 9410 when the key was used for another
// request and with 9411 while the first one runs.
func (i Idempotency) Begin(ctx context.Context, tenant evcs.TenantID, operation, key, digest string) (status int, body []byte, err error) {
	now := i.clock.Now()
	var state error
	err = i.db.Transact(ctx, func(tx *Tx) error {
		status, body, state = 0, nil, nil
		claimed, err := tx.q.exec(ctx, "claim idempotency key", `
			INSERT INTO idempotency (tenant_id, operation, key, digest, done, status, answer, created_at, expires_at)
			VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)
			ON CONFLICT (tenant_id, operation, key) DO UPDATE SET digest = EXCLUDED.digest, done = EXCLUDED.done, status = 0, answer = EXCLUDED.answer,
				created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at
			WHERE idempotency.expires_at <> 0 AND idempotency.expires_at <= ?`,
			tenant, operation, key, digest, false, i.node, evcs.Millis(now), evcs.Millis(now.Add(claimHeld)), evcs.Millis(now))
		if err != nil || claimed > 0 {
			return err
		}
		var had, answer string
		var done bool
		if err := tx.q.one(ctx, "read idempotency key", evcs.ErrStale, []any{&had, &done, &status, &answer},
			`SELECT digest, done, status, answer FROM idempotency WHERE tenant_id = ? AND operation = ? AND key = ?`, tenant, operation, key); err != nil {
			return err
		}
		switch {
		case had != digest:
			state = ErrKeyReused
		case !done:
			state = ErrInProgress
		}
		body = []byte(answer)
		return nil
	})
	if err == nil {
		err = state
	}
	if err != nil {
		return 0, nil, err
	}
	return status, body, nil
}

// Keep stores the answer of a claimed key, for ever or for 24 h.
func (i Idempotency) Keep(ctx context.Context, tenant evcs.TenantID, operation, key string, status int, body []byte, forever bool) error {
	expires := int64(0)
	if !forever {
		expires = evcs.Millis(i.clock.Now().Add(answerKept))
	}
	return i.db.Transact(ctx, func(tx *Tx) error {
		_, err := tx.q.exec(ctx, "keep answer", `UPDATE idempotency SET done = ?, status = ?, answer = ?, expires_at = ?
			WHERE tenant_id = ? AND operation = ? AND key = ?`, true, status, string(body), expires, tenant, operation, key)
		return err
	})
}

// Release gives a claimed key back: the answer is not to be kept.
func (i Idempotency) Release(ctx context.Context, tenant evcs.TenantID, operation, key string) error {
	return i.db.Transact(ctx, func(tx *Tx) error {
		_, err := tx.q.exec(ctx, "release idempotency key", `DELETE FROM idempotency WHERE tenant_id = ? AND operation = ? AND key = ? AND done = ?`,
			tenant, operation, key, false)
		return err
	})
}

// Prune deletes up to n answers whose time is over and returns how many.
func (i Idempotency) Prune(ctx context.Context, n int) (int64, error) {
	var pruned int64
	err := i.db.Transact(ctx, func(tx *Tx) error {
		var err error
		pruned, err = tx.q.exec(ctx, "prune idempotency keys", `
			DELETE FROM idempotency WHERE expires_at <> 0 AND expires_at <= ? AND (tenant_id, operation, key) IN (
				SELECT tenant_id, operation, key FROM idempotency WHERE expires_at <> 0 AND expires_at <= ? LIMIT ?)`,
			evcs.Millis(i.clock.Now()), evcs.Millis(i.clock.Now()), n)
		return err
	})
	return pruned, err
}
