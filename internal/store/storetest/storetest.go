// Package storetest gives tests a migrated database of their own on each
// engine. SQLite always; PostgreSQL when EVCS_TEST_POSTGRES holds the URL of a
// server where databases may be created. With EVCS_REQUIRE_POSTGRES=1 a missing
// server is a failure.
package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/evcs/evcs/internal/store"
)

// Each runs a test once on every engine, each time with an empty, migrated
// database. The runs are parallel subtests named after the engine.
func Each(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, SQLite(t))
	})
	if admin := Server(t); admin != "" {
		t.Run("postgres", func(t *testing.T) {
			t.Parallel()
			test(t, Postgres(t))
		})
	}
}

// RowSecurity reports whether a test's database is behind row security: every
// one on PostgreSQL is, so that the second wall is seen not to be in the way.
func RowSecurity(url string) bool { return strings.HasPrefix(url, "postgres") }

// Server is the PostgreSQL server for tests, or "" when there is none and none
// is required.
func Server(tb testing.TB) string {
	tb.Helper()
	admin := os.Getenv("EVCS_TEST_POSTGRES")
	if admin == "" && os.Getenv("EVCS_REQUIRE_POSTGRES") == "1" {
		tb.Fatal("EVCS_TEST_POSTGRES is not set: run the tests with `make test`, or `scripts/with-postgres go test …`")
	}
	return admin
}

// SQLite opens a migrated database in a file of the test's own.
func SQLite(tb testing.TB) *store.DB {
	tb.Helper()
	return open(tb, SQLiteURL(tb))
}

// SQLiteURL is the URL of a migrated database file of the test's own.
func SQLiteURL(tb testing.TB) string {
	tb.Helper()
	template, err := sqliteTemplate()
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(tb.TempDir(), "evcs.db")
	if err := os.WriteFile(path, template, 0o600); err != nil {
		tb.Fatal(err)
	}
	return "sqlite:" + path
}

// sqliteTemplate is the content of an empty, migrated database.
var sqliteTemplate = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "evcs-template-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // a temporary folder
	path := filepath.Join(dir, "evcs.db")
	if err := migrate("sqlite:" + path); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func migrate(url string) error {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Config{URL: url, SyncOff: true, RowSecurity: RowSecurity(url)})
	if err != nil {
		return err
	}
	if _, err := db.Migrate(ctx); err != nil {
		return err
	}
	return db.Close()
}

// Postgres opens a migrated database of the test's own on the test server.
func Postgres(tb testing.TB) *store.DB {
	tb.Helper()
	return open(tb, PostgresURL(tb))
}

// PostgresURL is the URL of a migrated database of the test's own; it is
// dropped when the test ends.
func PostgresURL(tb testing.TB) string {
	tb.Helper()
	admin := Server(tb)
	if admin == "" {
		tb.Fatal("EVCS_TEST_POSTGRES is not set")
	}
	template, err := postgresTemplate()
	if err != nil {
		tb.Fatal(err)
	}
	name := databaseName()
	if err := adminExec(admin, fmt.Sprintf(`CREATE DATABASE %s TEMPLATE %s`, name, template)); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := adminExec(admin, fmt.Sprintf(`DROP DATABASE %s WITH (FORCE)`, name)); err != nil {
			tb.Error(err)
		}
	})
	return withDatabase(tb, admin, name)
}

// postgresTemplate is the name of an empty, migrated database of this process.
var postgresTemplate = sync.OnceValues(func() (string, error) {
	admin := os.Getenv("EVCS_TEST_POSTGRES")
	name := databaseName()
	if err := adminExec(admin, `CREATE DATABASE `+name); err != nil {
		return "", err
	}
	u, err := replaceDatabase(admin, name)
	if err != nil {
		return "", err
	}
	return name, migrate(u)
})

var databases atomic.Int64

func databaseName() string {
	return fmt.Sprintf("evcs_test_%d_%d", os.Getpid(), databases.Add(1))
}

// createMutex keeps this process from copying one template twice at once,
// which PostgreSQL refuses.
var createMutex sync.Mutex

func adminExec(admin, statement string) error {
	createMutex.Lock()
	defer createMutex.Unlock()
	db, err := sql.Open("pgx", admin)
	if err != nil {
		return err
	}
	defer db.Close() // a connection for one statement
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		return fmt.Errorf("%s: %w", statement, err)
	}
	return nil
}

func withDatabase(tb testing.TB, admin, name string) string {
	tb.Helper()
	u, err := replaceDatabase(admin, name)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func replaceDatabase(admin, name string) (string, error) {
	u, err := url.Parse(admin)
	if err != nil {
		return "", fmt.Errorf("EVCS_TEST_POSTGRES: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

func open(tb testing.TB, url string) *store.DB {
	tb.Helper()
	db, err := store.Open(tb.Context(), store.Config{URL: url, SyncOff: true, RowSecurity: RowSecurity(url)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}
