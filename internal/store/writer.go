package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
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
	lite *lite
	pool *sql.DB // of the lite alone
	conn liteConn
	rows bulk // of the batch
	log  *slog.Logger
	// published takes the events of a batch after its commit.
	published func([]evcs.Event)
	queue     chan *job
	done      chan struct{}
	mu        sync.RWMutex
	closed    bool // guarded by mu
	// careful counts down the batches that run apart; the writing goroutine's.
	careful          int
	commits, changed atomic.Int64 // for those who measure
}

// job is one caller's transaction.
type job struct {
	ctx    context.Context //nolint:containedctx // the caller's, looked at once before its function begins
	run    func(*Tx) error
	urgent bool
	answer chan error
}

func newWriter(ctx context.Context, path string, pragmas []string, told func(string), log *slog.Logger, db *DB) (*writer, error) {
	l, err := openLite(path, pragmas)
	if err != nil {
		return nil, err
	}
	pool := l.pool()
	stmts := newStatements(pool.PrepareContext)
	l.told, stmts.told = told, told
	w := &writer{
		lite: l, pool: pool, conn: liteConn{l, stmts}, log: log, published: db.recent.keep,
		queue: make(chan *job, queueMax), done: make(chan struct{}),
	}
	w.rows.named, w.rows.place, w.rows.accounts, w.rows.clock = make(map[string]uint8), w.place, &db.accounts, db.clock
	go w.write(context.WithoutCancel(ctx))
	return w, nil
}

// place gives events their places in the published sequence before their
// commit: with one writer nothing can become visible before what has a lower
// place.
func (w *writer) place(_ context.Context, n int) (int64, error) {
	changed, err := w.lite.exec(`UPDATE sequences SET next = next + ? WHERE name = ?`, []cell{whole(n), words(outboxSequence)})
	if err == nil && changed == 0 {
		err = errNoSequence
	}
	if err != nil {
		return 0, translate("place events", err)
	}
	next, _, err := w.lite.number(`SELECT next FROM sequences WHERE name = ?`, []cell{words(outboxSequence)})
	return next - int64(n), translate("place events", err)
}

// liteConn is the writer's connection: what changes rows runs directly, what
// reads them through database/sql. Statements run to their end whatever becomes
// of the caller's context: what has begun is finished.
type liteConn struct {
	l     *lite
	stmts *statements
}

// ExecContext implements conn.
func (c liteConn) ExecContext(_ context.Context, query string, args ...any) (sql.Result, error) {
	var few [48]cell
	cells := few[:0]
	for _, v := range args {
		x, err := cellOf(v)
		if err != nil {
			return nil, err
		}
		cells = append(cells, x)
	}
	n, err := c.l.exec(query, cells)
	return driver.RowsAffected(n), err
}

// QueryContext implements conn.
func (c liteConn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return c.stmts.QueryContext(context.WithoutCancel(ctx), query, args...)
}

func (c liteConn) execCells(_ context.Context, query string, args []cell) (int64, error) {
	return c.l.exec(query, args)
}

func (c liteConn) numberCells(_ context.Context, query string, args []cell) (n int64, found bool, err error) {
	return c.l.number(query, args)
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
	if !first {
		return nil
	}
	w.conn.stmts.close()
	return errors.Join(w.pool.Close(), w.lite.close())
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
		if events := w.rows.events; err == nil && len(events) > 0 {
			w.published(events)
		}
		w.rows.clear()
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
	w.rows.clear()
	if _, err := w.lite.exec(`BEGIN IMMEDIATE`, nil); err != nil {
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
	if err := w.tx().q.finish(ctx); err != nil {
		return len(batch) > 1 && !apart, w.undo(ctx, err)
	}
	if answerFirst {
		answer(batch, results, nil)
		commitLater()
	}
	if _, err := w.lite.exec(`COMMIT`, nil); err != nil {
		return false, w.undo(ctx, unavailable("commit", err))
	}
	w.commits.Add(1)
	w.changed.Store(w.lite.total())
	return false, nil
}

// member runs one job, in a savepoint of its own when apart. The returned
// error means that SQLite may have undone everything (disk full, input/output
// error).
func (w *writer) member(ctx context.Context, j *job, apart bool, result *error) error {
	tx := w.tx()
	if !apart {
		*result = run(tx, j.run)
		return nil
	}
	if _, err := w.lite.exec(`SAVEPOINT job`, nil); err != nil {
		return unavailable("savepoint", err)
	}
	told := len(w.rows.events)
	if *result = run(tx, j.run); *result == nil {
		*result = tx.q.finish(ctx)
	}
	if *result != nil {
		w.rows.drop(told)
		w.rows.changed = false
		if _, err := w.lite.exec(`ROLLBACK TO job`, nil); err != nil {
			return unavailable("rollback to savepoint", err)
		}
	}
	if _, err := w.lite.exec(`RELEASE job`, nil); err != nil {
		return unavailable("release savepoint", err)
	}
	return nil
}

func (w *writer) tx() *Tx { return &Tx{q: querier{c: w.conn, bulk: &w.rows}} }

// undo rolls the transaction back, if SQLite has not done so already, and
// returns err.
func (w *writer) undo(ctx context.Context, err error) error {
	w.rows.clear()
	if _, rollback := w.lite.exec(`ROLLBACK`, nil); rollback != nil && err == nil {
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
