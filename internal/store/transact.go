package store

import (
	"context"
	"errors"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/span"
)

// attempts is how often Transact runs a function whose rows had moved on.
const attempts = 4

// Transact runs fn in one transaction, durably committed when it returns nil.
// When fn returns evcs.ErrStale (somebody else was first) it is run again from
// the beginning, three times at most, so it must touch nothing but tx and
// variables that a rerun overwrites. Inside fn only SQL is allowed: on SQLite
// every writer waits for it, and a Transact inside a Transact waits for itself.
// A context that ends before fn begins stops it; what has begun is finished.
func (db *DB) Transact(ctx context.Context, fn func(*Tx) error) error {
	return db.transact(ctx, true, fn)
}

// Gather is Transact for what may wait up to 3 ms for company in one commit:
// meter values and status reports, not money.
func (db *DB) Gather(ctx context.Context, fn func(*Tx) error) error {
	return db.transact(ctx, false, fn)
}

func (db *DB) transact(ctx context.Context, urgent bool, fn func(*Tx) error) (err error) {
	ctx, end := span.Begin(ctx, span.SQL, "transaction")
	defer func() { end(err) }()
	for attempt := 1; ; attempt++ {
		emitted := false
		counted := func(tx *Tx) error {
			err := fn(tx)
			emitted = tx.emitted
			return err
		}
		var err error
		if db.writer != nil {
			err = db.writer.do(ctx, urgent, counted)
		} else {
			err = db.transactPostgres(ctx, counted)
		}
		switch {
		case err == nil:
			if emitted {
				db.wake()
			}
			return nil
		case !errors.Is(err, evcs.ErrStale) || attempt == attempts:
			return err
		}
		if err := pause(ctx, time.Duration(attempt)*time.Millisecond); err != nil {
			return err
		}
	}
}

// transactPostgres runs fn, again carefully when a statement that was not
// waited for has moved no row.
func (db *DB) transactPostgres(ctx context.Context, fn func(*Tx) error) error {
	err := db.throughPipe(ctx, false, fn)
	if errors.Is(err, errUnmoved) {
		return db.throughPipe(ctx, true, fn)
	}
	return err
}

// throughPipe takes a connection with the caller's context and then runs
// without it.
func (db *DB) throughPipe(ctx context.Context, again bool, fn func(*Tx) error) error {
	c, err := db.pool.Conn(ctx)
	if err != nil {
		return unavailable("connect", err)
	}
	p := &pipe{c: c, careful: true, again: again}
	err = db.runWhole(ctx, p, fn)
	if err == nil {
		err = p.failed // fn may have thought nothing of it
	}
	if answerFirst {
		go func() {
			commitLater()
			_, _ = p.commit(ctx), c.Close()
		}()
		return err
	}
	defer c.Close() // goes back to the pool
	if err == nil {
		err = p.commit(ctx)
		if err == nil {
			return nil
		}
	}
	return p.undo(ctx, err)
}

// runWhole runs fn and writes what it has added.
func (db *DB) runWhole(ctx context.Context, c conn, fn func(*Tx) error) error {
	tx := &Tx{q: querier{c: c, dollars: true, wall: db.walled, bulk: &bulk{accounts: &db.accounts, clock: db.clock}}}
	if err := run(tx, fn); err != nil {
		return err
	}
	return tx.q.finish(ctx)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
