package store

import (
	"context"
	"database/sql"
	"os"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
)

// Measure is what can be measured of the database; what cannot is nil.
func (db *DB) Measure(ctx context.Context) health.Database {
	stats := db.pool.Stats()
	m := health.Database{Engine: db.engine, Open: stats.OpenConnections, Max: stats.MaxOpenConnections}
	if db.writer != nil { // has a connection of its own
		m.Open, m.Max = m.Open+1, m.Max+1
		m.Commits, m.Statements, m.Changed = db.writer.commits.Load(), db.writer.lite.statements.Load(), db.writer.changed.Load()
	}
	db.sizes(ctx, &m)
	return m
}

// sizesSQLite looks at the files.
func sizesSQLite(path string) func(context.Context, *health.Database) {
	size := func(path string) *int64 {
		info, err := os.Stat(path)
		if err != nil {
			return nil
		}
		n := info.Size()
		return &n
	}
	return func(_ context.Context, m *health.Database) { m.Size, m.WAL = size(path), size(path+"-wal") }
}

// sizesPostgres asks the server. Ages of transactions of other roles need
// pg_monitor; without it their rows say nothing and only our own count.
func sizesPostgres(pool *sql.DB) func(context.Context, *health.Database) {
	return func(ctx context.Context, m *health.Database) {
		var size, open, limit, now int64
		var longest, lag sql.NullInt64
		before := evcs.SystemClock{}.Now()
		err := pool.QueryRowContext(ctx, `SELECT pg_database_size(current_database()),
			(SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend' OR backend_type IS NULL AND datname IS NOT NULL), CAST(current_setting('max_connections') AS BIGINT),
			CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT),
			(SELECT CAST(MAX(EXTRACT(EPOCH FROM clock_timestamp() - xact_start)) * 1000 AS BIGINT) FROM pg_stat_activity
				WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()),
			(SELECT CAST(MAX(EXTRACT(EPOCH FROM replay_lag)) * 1000 AS BIGINT) FROM pg_stat_replication)`).
			Scan(&size, &open, &limit, &now, &longest, &lag)
		if err != nil {
			return // not measured, so nil; the check of the store says why
		}
		after := evcs.SystemClock{}.Now()
		m.Size, m.ServerOpen, m.ServerMax = &size, &open, &limit
		skew := before.Add(after.Sub(before) / 2).Sub(evcs.FromMillis(now))
		m.Skew = &skew
		m.Longest, m.Lag = millisOrNil(longest), millisOrNil(lag)
	}
}

func millisOrNil(n sql.NullInt64) *time.Duration {
	if !n.Valid {
		return nil
	}
	d := time.Duration(n.Int64) * time.Millisecond
	return &d
}
