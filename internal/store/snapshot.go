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
	if db.reads != nil {
		return db.reads.readers.snapshot(ctx, func(c conn) error { return fn(querier{c: c}) })
	}
	opts := &sql.TxOptions{ReadOnly: true}
	if db.engine == migrations.Postgres {
		opts.Isolation = sql.LevelRepeatableRead
	}
	tx, err := db.pool.BeginTx(ctx, opts)
	if err != nil {
		return translate("begin to read", err)
	}
	err = fn(querier{c: tx, dollars: db.engine == migrations.Postgres})
	if end := tx.Rollback(); end != nil && !errors.Is(end, sql.ErrTxDone) && err == nil {
		return translate("end reading", end)
	}
	return err
}

// liteView is a reader of SQLite within a transaction.
type liteView struct{ l *lite }

var errView = errors.New("a snapshot is read row by row")

// snapshot runs fn on one connection, within a transaction.
func (r *liteReaders) snapshot(ctx context.Context, fn func(conn) error) (err error) {
	l, err := r.take(ctx)
	if err != nil {
		return translate("begin to read", err)
	}
	defer func() { r.slots <- l }()
	if _, err := l.exec(`BEGIN`, nil); err != nil {
		return translate("begin to read", err)
	}
	defer func() {
		_, end := l.exec(`ROLLBACK`, nil)
		err = errors.Join(err, translate("end reading", end))
	}()
	return fn(liteView{l})
}

func (v liteView) rows(ctx context.Context, query string, args []any, scan func(row) error) error {
	cells, err := cellsOf(args)
	if err != nil {
		return err
	}
	return v.l.each(ctx, query, cells, scan)
}

// ExecContext implements conn.
func (liteView) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, errView
}

// QueryContext implements conn.
func (liteView) QueryContext(context.Context, string, ...any) (*sql.Rows, error) {
	return nil, errView
}
