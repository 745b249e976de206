// Package store keeps everything: one SQL text on SQLite (embedded, one node)
// and PostgreSQL (several nodes). It decides nothing; rules live in the nouns.
// Its one promise: when Transact returns nil, what its function did is durable;
// when it returns an error, none of it happened.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/migrations"
)

// Config says where the data is.
type Config struct {
	// URL is "sqlite:PATH" or a PostgreSQL URL ("postgres://…").
	URL string
	// Readers bounds the connections that read (SQLite) or all connections
	// (PostgreSQL). Zero: 4 and 16.
	Readers int
	// SyncOff gives up durability for speed. Only the tests of other packages set it.
	SyncOff bool
	// RowSecurity has PostgreSQL itself keep tenants apart; see openWalled.
	RowSecurity bool
	// Clock tells when an entry of the journal is booked; nil: the machine's.
	Clock  evcs.Clock
	Logger *slog.Logger
	// Statements is told each text that SQLite prepares, for those who look at
	// its plans; it must not block.
	Statements func(query string)
}

// DB is an open store.
type DB struct {
	url      string // PostgreSQL
	walled   bool   // row security is on
	engine   string
	pool     *sql.DB // reads; on PostgreSQL also writes
	log      *slog.Logger
	writer   *writer // SQLite only
	reads    *liteReads
	woken    atomic.Pointer[func()] // called after a commit that emitted events
	recent   recent                 // SQLite only
	swept    atomic.Bool            // SQLite only: every event has its place
	accounts accounts
	clock    evcs.Clock
	sizes    func(context.Context, *health.Database)
	closed   sync.Once
}

// Open opens the store; it changes nothing in it. See Migrate.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = evcs.SystemClock{}
	}
	if path, ok := strings.CutPrefix(c.URL, "sqlite:"); ok {
		return openSQLite(ctx, path, c)
	}
	if strings.HasPrefix(c.URL, "postgres://") || strings.HasPrefix(c.URL, "postgresql://") {
		return openPostgres(ctx, c)
	}
	return nil, errors.New(`the database URL must begin with "sqlite:" or "postgres://"`)
}

// The page caches of SQLite in KiB, negative as its pragma has it. Each reader
// has its own, behind that of the system.
const (
	writerCache = "-16000"
	readerCache = "-4000"
)

func openSQLite(ctx context.Context, path string, c Config) (*DB, error) {
	if path == "" || strings.Contains(path, ":memory:") {
		return nil, errors.New("the SQLite database needs a file")
	}
	synchronous := "FULL"
	if c.SyncOff {
		synchronous = "OFF"
	}
	pragmas := []string{
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(" + synchronous + ")", "foreign_keys(1)", "temp_store(MEMORY)",
		"wal_autocheckpoint(8000)",
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=" + strings.Join(pragmas, "&_pragma=") + "&_pragma=cache_size(" + readerCache + ")&_txlock=immediate"
	pool, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if c.Readers <= 0 {
		c.Readers = 4
	}
	pool.SetMaxOpenConns(c.Readers)
	pool.SetMaxIdleConns(c.Readers)
	db := &DB{engine: migrations.SQLite, pool: pool, log: c.Logger, clock: c.Clock, sizes: sizesSQLite(path)}
	reading := append(slices.Clone(pragmas), "query_only(1)", "cache_size("+readerCache+")")
	db.reads = &liteReads{newStatements(pool.PrepareContext), newLiteReaders(path, reading, c.Readers, c.Statements)}
	db.reads.told = c.Statements
	if db.writer, err = newWriter(ctx, path, append(pragmas, "cache_size("+writerCache+")"), c.Statements, c.Logger, db); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), pool.Close())
	}
	return db, nil
}

func openPostgres(ctx context.Context, c Config) (*DB, error) {
	open := sql.Open
	if c.RowSecurity {
		open = func(_, url string) (*sql.DB, error) { return openWalled(ctx, url) }
	}
	pool, err := open("pgx", c.URL)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	if c.Readers <= 0 {
		c.Readers = 16
	}
	pool.SetMaxOpenConns(c.Readers)
	pool.SetMaxIdleConns(c.Readers)
	pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to PostgreSQL: %w", err), pool.Close())
	}
	return &DB{engine: migrations.Postgres, url: c.URL, walled: c.RowSecurity, pool: pool, log: c.Logger, clock: c.Clock, sizes: sizesPostgres(pool)}, nil
}

// Engine is "sqlite" or "postgres", for people and for health reports.
func (db *DB) Engine() string { return db.engine }

// Close waits for what is being committed, refuses the rest, and closes.
func (db *DB) Close() error {
	var err error
	db.closed.Do(func() {
		if db.writer != nil {
			err = db.writer.close()
		}
		if db.reads != nil {
			db.reads.close()
			err = errors.Join(err, db.reads.readers.close())
		}
		err = errors.Join(err, db.pool.Close())
	})
	return err
}

// Ping proves that the store can be read.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	return db.pool.QueryRowContext(ctx, `SELECT 1`).Scan(&one)
}

// Stats are the pool's figures, for monitoring.
func (db *DB) Stats() sql.DBStats { return db.pool.Stats() }

// OnEmit has f called after every commit that emitted an event. f must not
// block. Only the event relay uses it.
func (db *DB) OnEmit(f func()) { db.woken.Store(&f) }

func (db *DB) wake() {
	if f := db.woken.Load(); f != nil {
		(*f)()
	}
}

// Reader is the store without the right to write: each call sees what was
// committed before it.
type Reader struct{ q querier }

// Reader returns the readers of the nouns' tables.
func (db *DB) Reader() Reader {
	if db.reads != nil {
		return Reader{querier{c: db.reads}}
	}
	return Reader{querier{c: db.pool, dollars: true}}
}

// Tx is one transaction. Its nouns' stores are valid until the function that
// was given it returns.
type Tx struct {
	q       querier
	emitted bool
}
