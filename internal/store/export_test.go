package store

import "context"

// Meddle changes rows behind the nouns' backs, as somebody with the database
// in his hands could.
func Meddle(ctx context.Context, db *DB, statement string) error {
	return db.Transact(ctx, func(tx *Tx) error {
		_, err := tx.q.exec(ctx, "meddle", statement)
		return err
	})
}
