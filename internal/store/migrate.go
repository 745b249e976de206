package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pressly/goose/v3"
	gstore "github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"

	"github.com/evcs/evcs/migrations"
)

// SchemaState compares the database with this program.
type SchemaState struct {
	Have int64 // the newest migration applied; 0 on an empty database
	Want int64 // the newest this program knows
}

// Current says that the program may serve this database.
func (s SchemaState) Current() bool { return s.Have == s.Want }

// Schema reads the database's schema version; it changes nothing.
func (db *DB) Schema(ctx context.Context) (SchemaState, error) {
	list, err := migrations.For(db.engine)
	if err != nil {
		return SchemaState{}, err
	}
	state := SchemaState{Want: list[len(list)-1].Version}
	exists := false
	query := `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'goose_db_version')`
	if db.engine == migrations.Postgres {
		query = `SELECT to_regclass('goose_db_version') IS NOT NULL`
	}
	if err := db.pool.QueryRowContext(ctx, query).Scan(&exists); err != nil {
		return state, translate("read schema", err)
	}
	if exists {
		err = db.pool.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version`).Scan(&state.Have)
	}
	return state, translate("read schema version", err)
}

// Migrate brings the schema forward to this program's, under a lock, so that
// two daemons cannot race. It refuses a newer one. It returns the versions
// applied. With row security it also lays the policies, on what is there
// already too.
func (db *DB) Migrate(ctx context.Context) (applied []int64, err error) {
	state, err := db.Schema(ctx)
	if err != nil {
		return nil, err
	}
	if state.Have > state.Want {
		return nil, fmt.Errorf("the database has schema %d, this program knows %d: use the newer program", state.Have, state.Want)
	}
	owner := db.pool
	if db.walled {
		if owner, err = sql.Open("pgx", db.url); err != nil {
			return nil, fmt.Errorf("open PostgreSQL: %w", err)
		}
		defer func() { err = errors.Join(err, owner.Close()) }()
	}
	provider, err := db.provider(owner)
	if err != nil {
		return nil, err
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	applied = make([]int64, len(results))
	for i, r := range results {
		applied[i] = r.Source.Version
	}
	if db.walled {
		err = wall(ctx, owner)
	}
	return applied, err
}

func (db *DB) provider(owner *sql.DB) (*goose.Provider, error) {
	list, err := migrations.For(db.engine)
	if err != nil {
		return nil, err
	}
	steps := make([]*goose.Migration, len(list))
	for i, m := range list {
		steps[i] = goose.NewGoMigration(m.Version, &goose.GoFunc{RunTx: func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, m.SQL)
			return err
		}}, nil)
	}
	options := []goose.ProviderOption{goose.WithGoMigrations(steps...), goose.WithDisableGlobalRegistry(true)}
	dialect := gstore.DialectSQLite3
	if db.engine == migrations.Postgres {
		dialect = gstore.DialectPostgres
		locker, err := lock.NewPostgresSessionLocker()
		if err != nil {
			return nil, fmt.Errorf("migration lock: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(dialect, owner, nil, options...)
	if err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	return p, nil
}
