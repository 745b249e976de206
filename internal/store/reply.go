package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// DeviceReply is the remembered answer of one request of a device.
type DeviceReply = struct {
	Digest string
	Status int
	Answer []byte
	At     time.Time
	Secret bool
}

// Sealer closes what may not lie in the store in plain; auth.Sealer is one.
type Sealer interface {
	Seal(plain []byte) (string, error)
	Open(sealed string) ([]byte, error)
}

// Replies remembers what devices were answered, per charger and request id.
// Answers that hold a secret are sealed.
type Replies struct {
	db     *DB
	sealer Sealer
}

// Replies is what devices were answered.
func (db *DB) Replies(s Sealer) Replies { return Replies{db, s} }

// sealedMark begins the text of a sealed answer; others begin with a brace.
const sealedMark = "sealed:"

// Recall finds the answer of a request, and the digest of its content.
func (r Replies) Recall(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID, request string) (reply DeviceReply, found bool, err error) {
	in, tenant := scopeCond("tenant_id", scope)
	err = r.db.Reader().q.rows(ctx, "recall device reply", func(rows row) error {
		found = true
		var answer string
		var at int64
		err := rows.Scan(&reply.Digest, &reply.Status, &answer, &at)
		reply.Answer, reply.At = []byte(answer), evcs.FromMillis(at)
		return err
	}, `SELECT digest, status, answer, created_at FROM device_replies WHERE charger_id = ? AND request_id = ? AND `+in, charger, request, tenant)
	if sealed, ok := strings.CutPrefix(string(reply.Answer), sealedMark); ok && err == nil {
		reply.Secret = true
		if reply.Answer, err = r.sealer.Open(sealed); err != nil {
			err = fmt.Errorf("open the answer of request %s: %w", request, err)
		}
	}
	return reply, found, err
}

// Remember stores an answer durably. When the request has one already, that
// one stays and is no error.
func (r Replies) Remember(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID, request string, reply DeviceReply) error {
	answer := string(reply.Answer)
	if reply.Secret {
		sealed, err := r.sealer.Seal(reply.Answer)
		if err != nil {
			return fmt.Errorf("seal the answer of request %s: %w", request, err)
		}
		answer = sealedMark + sealed
	}
	return r.db.Gather(ctx, func(tx *Tx) error {
		_, err := tx.q.exec(ctx, "remember device reply", `
			INSERT INTO device_replies (charger_id, request_id, tenant_id, digest, status, answer, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (charger_id, request_id) DO NOTHING`,
			charger, request, scope.Tenant, reply.Digest, reply.Status, answer, evcs.Millis(reply.At))
		return err
	})
}

// PruneReplies deletes up to n answers given before a moment and returns how
// many.
func (tx *Tx) PruneReplies(ctx context.Context, before int64, n int) (int64, error) {
	return tx.q.exec(ctx, "prune device replies", `DELETE FROM device_replies WHERE created_at < ? AND (charger_id, request_id) IN (
		SELECT charger_id, request_id FROM device_replies WHERE created_at < ? LIMIT ?)`, before, before, n)
}
