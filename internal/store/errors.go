package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/evcs/evcs/internal/evcs"
)

// ErrReferenced says that a row is still used by another, or names a parent
// that does not exist.
var ErrReferenced = errors.New("a referenced row is missing or still in use")

// translate is the one place that knows what drivers say. A unique violation
// and a serialisation failure both mean that somebody was first: the function
// runs again, and its own read finds who.
func translate(what string, err error) error {
	if err == nil {
		return nil
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fmt.Errorf("%s: %w", what, classPostgres(pg))
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return fmt.Errorf("%s: %w", what, classSQLite(lite.Code(), lite))
	}
	if lite, ok := errors.AsType[*liteError](err); ok {
		return fmt.Errorf("%s: %w", what, classSQLite(lite.code, lite))
	}
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || isNetwork(err) {
		return unavailable(what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func isNetwork(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	_, ok := errors.AsType[net.Error](err)
	return ok
}

func classPostgres(err *pgconn.PgError) error {
	switch err.Code {
	case "23505", "40001", "40P01": // unique, serialisation, deadlock
		return errors.Join(evcs.ErrStale, err)
	case "23503": // foreign key
		return errors.Join(ErrReferenced, err)
	case "53100", "53200", "53300", "57P01", "57P02", "57P03", "25006": // disk, memory, connections, shutdown, read-only
		return errors.Join(evcs.ErrUnavailable, err)
	}
	return err
}

func classSQLite(code int, err error) error {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return errors.Join(evcs.ErrStale, err)
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return errors.Join(ErrReferenced, err)
	}
	switch code & 0xff { // the primary code of an extended one
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return errors.Join(evcs.ErrUnavailable, err)
	}
	return err
}
