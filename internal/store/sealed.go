package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
)

// Sealed finds what is sealed in the store. It implements auth.SealedStore.
type Sealed struct{ db *DB }

// Sealed finds what is sealed in the store.
func (db *DB) Sealed() Sealed { return Sealed{db} }

// SealedMerchants is the kind whose texts are vaults.
const SealedMerchants = "merchants"

const sealedReplies = "device_replies"

// SealedKinds implements auth.SealedStore.
func (s Sealed) SealedKinds() []string {
	return []string{"credentials", SealedMerchants, "notification_channels", "webhooks", "totp", sealedReplies}
}

// sealedText is how the rows of a kind are read behind a key and written.
func sealedText(kind string) (read, write string, texts int) {
	switch kind {
	case "credentials":
		return `SELECT charger_id, '', version, secret, previous FROM credentials WHERE charger_id > ? AND ? = '' ORDER BY charger_id`,
			`UPDATE credentials SET secret = ?, previous = ?, version = version + 1 WHERE charger_id = ? AND version = ?`, 2
	case SealedMerchants:
		return `SELECT id, '', version, secrets FROM merchants WHERE id > ? AND ? = '' ORDER BY id`,
			`UPDATE merchants SET secrets = ?, version = version + 1 WHERE id = ? AND version = ?`, 1
	case "notification_channels":
		return `SELECT id, '', version, sealed FROM notification_channels WHERE id > ? AND ? = '' ORDER BY id`,
			`UPDATE notification_channels SET sealed = ?, version = version + 1 WHERE id = ? AND version = ?`, 1
	case "webhooks":
		return `SELECT id, '', version, sealed FROM webhooks WHERE id > ? AND ? = '' ORDER BY id`,
			`UPDATE webhooks SET sealed = ?, version = version + 1 WHERE id = ? AND version = ?`, 1
	case "totp":
		return `SELECT user_id, '', version, sealed FROM totp WHERE user_id > ? AND ? = '' ORDER BY user_id`,
			`UPDATE totp SET sealed = ?, version = version + 1 WHERE user_id = ? AND version = ?`, 1
	}
	return `SELECT charger_id, request_id, 0, CASE WHEN substr(answer, 1, 7) = '` + sealedMark + `' THEN substr(answer, 8) ELSE '' END
			FROM device_replies WHERE (charger_id, request_id) > (?, ?) ORDER BY charger_id, request_id`,
		`UPDATE device_replies SET answer = '` + sealedMark + `' || ? WHERE charger_id = ? AND request_id = ? AND answer = '` + sealedMark + `' || ?`, 1
}

// SealedRows implements auth.SealedStore.
func (s Sealed) SealedRows(ctx context.Context, kind string, after auth.SealedRow, n int) ([]auth.SealedRow, error) {
	text, _, texts := sealedText(kind)
	q := s.db.Reader().q
	limit, args := q.limit(n)
	var list []auth.SealedRow
	err := q.rows(ctx, "read what is sealed", func(r row) error {
		found := auth.SealedRow{Texts: make([]string, texts)}
		dest := []any{&found.ID, &found.Request, &found.Version}
		for i := range found.Texts {
			dest = append(dest, &found.Texts[i])
		}
		err := r.Scan(dest...)
		list = append(list, found)
		return err
	}, text+limit, append([]any{after.ID, after.Request}, args...)...)
	return list, err
}

// PutSealed implements auth.SealedStore.
func (s Sealed) PutSealed(ctx context.Context, kind string, was, rows []auth.SealedRow) (moved int, err error) {
	_, text, _ := sealedText(kind)
	err = s.db.Transact(ctx, func(tx *Tx) error {
		moved = 0
		for i, r := range rows {
			args := make([]any, 0, 4)
			for _, sealed := range r.Texts {
				args = append(args, sealed)
			}
			args = append(args, r.ID)
			if kind == sealedReplies { // they never change, so they have no version
				args = append(args, r.Request, strings.Join(was[i].Texts, ""))
			} else {
				args = append(args, r.Version)
			}
			n, err := tx.q.exec(ctx, "seal anew", text, args...)
			if err != nil {
				return fmt.Errorf("%s of %d: %w", kind, r.ID, err)
			}
			moved += int(n)
		}
		return nil
	})
	return moved, err
}

// SealingKeys implements auth.SealedStore.
func (s Sealed) SealingKeys(ctx context.Context) ([]string, error) {
	var names []string
	err := s.db.Reader().q.rows(ctx, "read sealing keys", func(r row) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	}, `SELECT name FROM sealing_keys ORDER BY created_at, name`)
	return names, err
}

// AddSealingKey implements auth.SealedStore.
func (s Sealed) AddSealingKey(ctx context.Context, name string, at time.Time) error {
	return s.db.Transact(ctx, func(tx *Tx) error {
		_, err := tx.q.exec(ctx, "add sealing key", `INSERT INTO sealing_keys (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, name, evcs.Millis(at))
		return err
	})
}

// RemoveSealingKey implements auth.SealedStore.
func (s Sealed) RemoveSealingKey(ctx context.Context, name string) error {
	return s.db.Transact(ctx, func(tx *Tx) error {
		_, err := tx.q.exec(ctx, "remove sealing key", `DELETE FROM sealing_keys WHERE name = ?`, name)
		return err
	})
}
