package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Afresh is fn for a transaction that judges and changes only what it has read
// or copied itself, or remembers as a version compared in the store: it may be
// undone after its end and run again. On PostgreSQL its statements share round
// trips, see pipe; elsewhere nothing changes.
func Afresh(fn func(*Tx) error) func(*Tx) error {
	return func(tx *Tx) error {
		if p, ok := tx.q.c.(*pipe); ok {
			p.careful = p.again
		}
		return fn(tx)
	}
}

// pipe is one transaction on PostgreSQL. Where it is not careful, a statement whose result nobody needs
// at once waits and goes with the next that is needed, or with the last: one
// round trip for many. What must move a row (a compare-and-swap) is taken to
// have moved it; where it did not, the transaction is undone and runs again
// carefully, each statement at once.
type pipe struct {
	c       *sql.Conn
	careful bool // each statement at once
	again   bool // a run after one that was undone
	begun   bool
	waiting []piped
	failed  error // the first failure: the transaction cannot be committed
}

// piped is a statement on its way.
type piped struct {
	what, query string
	args        []any
	moves       bool // no row is errUnmoved
}

// errUnmoved says that the transaction deserves a careful run.
var errUnmoved = errors.New("a statement that was not waited for has moved no row")

var errUndone = errors.New("the server has undone the transaction")

// later keeps a statement for the next round trip; false when it must run now.
func (p *pipe) later(what, query string, args []cell, moves bool) bool {
	if p.careful {
		return false
	}
	p.waiting = append(p.waiting, piped{what, query, valuesOf(args), moves})
	return true
}

func valuesOf(cells []cell) []any {
	values := make([]any, len(cells))
	for i := range cells {
		values[i] = cells[i].value()
	}
	return values
}

// ExecContext implements conn.
func (p *pipe) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	values := make([]any, len(args))
	for i, v := range args {
		c, err := cellOf(v)
		if err != nil {
			return nil, err
		}
		values[i] = c.value()
	}
	tag, err := p.send(ctx, &piped{query: query, args: values}, nil)
	return driver.RowsAffected(tag.RowsAffected()), err
}

// QueryContext implements conn.
func (p *pipe) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if !p.begun || len(p.waiting) > 0 {
		if _, err := p.send(ctx, nil, nil); err != nil {
			return nil, err
		}
	}
	rows, err := p.c.QueryContext(context.WithoutCancel(ctx), query, args...)
	return rows, p.fail(err)
}

func (p *pipe) execCells(ctx context.Context, query string, args []cell) (int64, error) {
	tag, err := p.send(ctx, &piped{query: dollars(query), args: valuesOf(args)}, nil)
	return tag.RowsAffected(), err
}

func (p *pipe) numberCells(ctx context.Context, query string, args []cell) (n int64, found bool, err error) {
	tag, err := p.send(ctx, &piped{query: dollars(query), args: valuesOf(args)}, &n)
	return n, tag.RowsAffected() > 0, err
}

func (p *pipe) fail(err error) error {
	if p.failed == nil {
		p.failed = err
	}
	return err
}

// send sends what waits, then last; its first number goes to n. It returns what
// the server says of last. Statements run to their end whatever becomes of the
// caller's context: one that is cancelled half-way costs its connection.
func (p *pipe) send(ctx context.Context, last *piped, n *int64) (tag pgconn.CommandTag, err error) {
	if p.failed != nil {
		return tag, p.failed
	}
	list := p.waiting
	if !p.begun {
		list = append([]piped{{what: "begin", query: "BEGIN"}}, list...)
	}
	if last != nil {
		list = append(list, *last)
	}
	if len(list) == 0 {
		return tag, nil
	}
	p.begun, p.waiting = true, nil
	if lost := p.c.Raw(func(raw any) error {
		c, ok := raw.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("%T is no connection of pgx", raw)
		}
		if tag, err = exchange(context.WithoutCancel(ctx), c.Conn(), list, n); c.Conn().IsClosed() {
			return driver.ErrBadConn
		}
		return nil
	}); lost != nil && err == nil {
		err = lost
	}
	return tag, p.fail(err)
}

// exchange is one round trip. The error is that of the first statement that
// failed; those behind it did not run.
func exchange(ctx context.Context, c *pgx.Conn, list []piped, n *int64) (tag pgconn.CommandTag, err error) {
	var batch pgx.Batch
	for _, s := range list {
		batch.Queue(s.query, s.args...)
	}
	results := c.SendBatch(ctx, &batch)
	for i, s := range list {
		if i == len(list)-1 && n != nil {
			tag, err = firstNumber(results, n)
		} else {
			tag, err = results.Exec()
		}
		if err == nil && s.moves && tag.RowsAffected() == 0 {
			err = errUnmoved
		}
		if err != nil {
			if s.what != "" {
				err = translate(s.what, err)
			}
			_ = results.Close() // repeats the error
			return tag, err
		}
	}
	return tag, results.Close()
}

func firstNumber(results pgx.BatchResults, n *int64) (pgconn.CommandTag, error) {
	rows, err := results.Query()
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer rows.Close() // again: it must be closed before its tag is known
	if rows.Next() {
		if err := rows.Scan(n); err != nil {
			return pgconn.CommandTag{}, err
		}
	}
	rows.Close()
	return rows.CommandTag(), rows.Err()
}

// commit sends what waits and commits: together when nothing of it could be
// found to have moved no row.
func (p *pipe) commit(ctx context.Context) error {
	if p.failed == nil && !p.begun && len(p.waiting) == 0 {
		return nil // it did nothing
	}
	for _, s := range p.waiting {
		if s.moves {
			if _, err := p.send(ctx, nil, nil); err != nil {
				return err
			}
			break
		}
	}
	tag, err := p.send(ctx, &piped{what: "commit", query: "COMMIT"}, nil)
	if err == nil && tag.String() != "COMMIT" {
		return unavailable("commit", errUndone)
	}
	return err
}

// undo rolls back after an error of the transaction's function. What the
// function judged by rows that only seemed to move does not count.
func (p *pipe) undo(ctx context.Context, err error) error {
	for _, s := range p.waiting {
		if s.moves && p.failed == nil {
			_, _ = p.send(ctx, nil, nil) // its failure is looked at next
			break
		}
	}
	if errors.Is(p.failed, errUnmoved) {
		err = p.failed
	}
	if !p.begun {
		return err
	}
	if _, rollback := p.c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); rollback != nil {
		return errors.Join(err, fmt.Errorf("rollback: %w", rollback))
	}
	return err
}
