package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// The group commit of the SQLite writer.
const (
	batchMax = 256
	queueMax = 4096
	// linger is how long a batch without an urgent member waits for company
	// when the disk was busy less than quiet ago.
	linger = 3 * time.Millisecond
	quiet  = 5 * time.Millisecond
)

// writer owns the one connection that writes. Transactions are queued to it;
// while one batch is being made durable the next gathers by itself.
type writer struct {
	conn   *sql.Conn
	stmts  *statements
	log    *slog.Logger
	queue  chan *job
	done   chan struct{}
	mu     sync.RWMutex
	closed bool // guarded by mu
	// careful counts down the batches that run apart; the writing goroutine's.
	careful int
}

// job is one caller's transaction.
type job struct {
	ctx    context.Context //nolint:containedctx // the caller's, looked at once before its function begins
	run    func(*Tx) error
	urgent bool
	answer chan error
}

func newWriter(ctx context.Context, pool *sql.DB, log *slog.Logger) (*writer, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	w := &writer{
		conn: conn, stmts: newStatements(conn.PrepareContext), log: log,
		queue: make(chan *job, queueMax), done: make(chan struct{}),
	}
	go w.write(context.WithoutCancel(ctx))
	return w, nil
}

// do queues fn and waits for the commit of its batch. A context that ends
// before fn begins takes it back; once begun it is finished.
func (w *writer) do(ctx context.Context, urgent bool, fn func(*Tx) error) error {
	j := &job{ctx: ctx, run: fn, urgent: urgent, answer: make(chan error, 1)}
	w.mu.RLock()
	if w.closed {
		w.mu.RUnlock()
		return evcs.With(evcs.ErrUnavailable, map[string]any{"reason": "the store is closed"})
	}
	select {
	case w.queue <- j:
		w.mu.RUnlock()
	case <-ctx.Done():
		w.mu.RUnlock()
		return ctx.Err()
	}
	return <-j.answer
}

func (w *writer) close() error {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	if first {
		close(w.queue)
	}
	<-w.done
	w.stmts.close()
	return w.conn.Close()
}

// write commits what is queued, in batches, until the queue closes.
func (w *writer) write(ctx context.Context) {
	defer close(w.done)
	clock := time.NewTimer(0)
	<-clock.C
	var last time.Time
	for first := range w.queue {
		batch := w.gather(first, clock, last)
		results := make([]error, len(batch))
		err := w.commit(ctx, batch, results)
		last = evcs.Monotonic()
		answer(batch, results, err)
	}
}

// answer tells every member what became of it: its own error, or that of the
// commit, because nothing is durable unless the commit is.
func answer(batch []*job, results []error, commit error) {
	for i, j := range batch {
		result := results[i]
		if result == nil {
			result = commit
		}
		select {
		case j.answer <- result:
		default: // told already, see answerFirst
		}
	}
}

// gather takes what is queued behind first. A batch that only holds patient
// members lingers while the disk is in use anyway, so that light load does not
// pay one fsync a row.
func (w *writer) gather(first *job, clock *time.Timer, last time.Time) []*job {
	batch := append(make([]*job, 0, 16), first)
	urgent := first.urgent
	take := func(j *job) {
		batch = append(batch, j)
		urgent = urgent || j.urgent
	}
	for len(batch) < batchMax && len(w.queue) > 0 {
		j, ok := <-w.queue
		if !ok {
			return batch
		}
		take(j)
	}
	if urgent || evcs.Monotonic().Sub(last) > quiet {
		return batch
	}
	clock.Reset(linger)
	defer clock.Stop()
	for !urgent && len(batch) < batchMax {
		select {
		case j, ok := <-w.queue:
			if !ok {
				return batch
			}
			take(j)
		case <-clock.C:
			return batch
		}
	}
	return batch
}

// carefully is for how many batches after a failure every job gets a savepoint
// of its own at once.
const carefully = 16

// commit runs every job of a batch in one transaction. A job that fails is
// undone alone: the batch begins again with a savepoint for each. Savepoints
// copy pages and are two statements more, and jobs seldom fail. An error means that the
// whole batch is undone.
func (w *writer) commit(ctx context.Context, batch []*job, results []error) error {
	if w.careful == 0 || len(batch) == 1 {
		again, err := w.try(ctx, batch, results, false)
		if !again {
			return err
		}
		w.careful = carefully
	}
	w.careful--
	_, err := w.try(ctx, batch, results, true)
	return err
}

// try runs and commits a batch, each job in a savepoint when apart. Without
// them the first failure undoes all; again says that the others deserve
// another run.
func (w *writer) try(ctx context.Context, batch []*job, results []error, apart bool) (again bool, err error) {
	clear(results)
	if _, err := w.stmts.ExecContext(ctx, `BEGIN IMMEDIATE`); err != nil {
		return false, unavailable("begin", err)
	}
	for i, j := range batch {
		if results[i] = j.ctx.Err(); results[i] != nil {
			continue
		}
		if err := w.member(ctx, j, apart, &results[i]); err != nil {
			return false, w.undo(ctx, err)
		}
		if results[i] != nil && !apart {
			return len(batch) > 1, w.undo(ctx, nil)
		}
	}
	if answerFirst {
		answer(batch, results, nil)
		commitLater()
	}
	if _, err := w.stmts.ExecContext(ctx, `COMMIT`); err != nil {
		return false, w.undo(ctx, unavailable("commit", err))
	}
	return false, nil
}

// member runs one job, in a savepoint of its own when apart. The returned
// error means that SQLite may have undone everything (disk full, input/output
// error).
func (w *writer) member(ctx context.Context, j *job, apart bool, result *error) error {
	tx := &Tx{q: querier{c: uninterrupted{w.stmts}}}
	if !apart {
		*result = run(tx, j.run)
		return nil
	}
	if _, err := w.stmts.ExecContext(ctx, `SAVEPOINT job`); err != nil {
		return unavailable("savepoint", err)
	}
	if *result = run(tx, j.run); *result != nil {
		if _, err := w.stmts.ExecContext(ctx, `ROLLBACK TO job`); err != nil {
			return unavailable("rollback to savepoint", err)
		}
	}
	if _, err := w.stmts.ExecContext(ctx, `RELEASE job`); err != nil {
		return unavailable("release savepoint", err)
	}
	return nil
}

// uninterrupted runs every statement to its end whatever becomes of the
// caller's context: what has begun is finished. The driver would keep a
// goroutine for each statement that can be cancelled.
type uninterrupted struct{ *statements }

func (u uninterrupted) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return u.statements.ExecContext(context.WithoutCancel(ctx), query, args...)
}

func (u uninterrupted) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return u.statements.QueryContext(context.WithoutCancel(ctx), query, args...)
}

// undo rolls the transaction back, if SQLite has not done so already, and
// returns err.
func (w *writer) undo(ctx context.Context, err error) error {
	if _, rollback := w.stmts.ExecContext(ctx, `ROLLBACK`); rollback != nil && err == nil {
		w.log.WarnContext(ctx, "rollback failed", slog.Any("error", rollback))
	}
	return err
}

// run calls fn and turns a panic into its error, so that one caller's defect
// does not take the others' transactions along.
func run(tx *Tx, fn func(*Tx) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic in a transaction: %v\n%s", r, debug.Stack())
		}
	}()
	return fn(tx)
}

// unavailable is 9503 with the engine's own words for the log.
func unavailable(what string, err error) error {
	return errors.Join(evcs.With(evcs.ErrUnavailable, map[string]any{"reason": "the store cannot be written"}), fmt.Errorf("%s: %w", what, err))
}
