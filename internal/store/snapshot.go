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
	if db.reads != nil {
		c = preparedIn{tx, db.reads}
	}
	err = fn(querier{c: c, dollars: db.engine == migrations.Postgres})
	if end := tx.Rollback(); end != nil && !errors.Is(end, sql.ErrTxDone) && err == nil {
		return translate("end reading", end)
	}
	return err
}

// preparedIn runs prepared statements within a transaction.
type preparedIn struct {
	tx    *sql.Tx
	stmts *statements
}

// ExecContext implements conn.
func (p preparedIn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := p.stmts.get(ctx, query)
	if err != nil {
		return nil, err
	}
	return p.tx.StmtContext(ctx, stmt).ExecContext(ctx, args...) //nolint:sqlclosecheck // closed with the transaction
}

// QueryContext implements conn.
func (p preparedIn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := p.stmts.get(ctx, query)
	if err != nil {
		return nil, err
	}
	return p.tx.StmtContext(ctx, stmt).QueryContext(ctx, args...) //nolint:sqlclosecheck // closed with the transaction
}
