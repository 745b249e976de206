package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/evcs/evcs/migrations"
)

// snapshot runs fn with a querier whose every statement sees the store as it
// was at the first. Nothing can be written through it.
func (db *DB) snapshot(ctx context.Context, fn func(querier) error) error {
	opts := &sql.TxOptions{ReadOnly: true}
	if db.engine == migrations.Postgres {
		opts.Isolation = sql.LevelRepeatableRead
	}
	tx, err := db.pool.BeginTx(ctx, opts)
	if err != nil {
		return translate("begin to read", err)
	}
	var c conn = tx
	var fresh []string
	if db.reads != nil {
		c = preparedIn{tx, db.reads.statements, &fresh}
	}
	err = fn(querier{c: c, dollars: db.engine == migrations.Postgres})
	if end := tx.Rollback(); end != nil && !errors.Is(end, sql.ErrTxDone) && err == nil {
		return translate("end reading", end)
	}
	for _, query := range fresh {
		if err == nil {
			_, err = db.reads.get(ctx, query) //nolint:sqlclosecheck // kept by the cache
		}
	}
	return err
}

// preparedIn runs prepared statements within a transaction. To prepare one takes
// a connection: who holds one already must not wait for another, or as many
// snapshots as there are connections would wait for each other. So a text that is
// new runs as it is, and is prepared when the transaction is over.
type preparedIn struct {
	tx    *sql.Tx
	stmts *statements
	fresh *[]string
}

// ExecContext implements conn.
func (p preparedIn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return p.tx.ExecContext(ctx, query, args...) // a snapshot changes nothing
}

// QueryContext implements conn.
func (p preparedIn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt := p.stmts.have(query)
	if stmt == nil {
		*p.fresh = append(*p.fresh, query)
		return p.tx.QueryContext(ctx, query, args...)
	}
	return p.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...) //nolint:sqlclosecheck // closed with the transaction
}
