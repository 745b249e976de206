package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// liteDriver shows a lite to database/sql, so that what is seldom written reads
// and scans there, in the same transaction.
type liteDriver struct{ l *lite }

var errOneConnection = errors.New("the writer has one connection and begins its own transactions")

// pool is a database/sql pool of the one connection.
func (l *lite) pool() *sql.DB {
	p := sql.OpenDB(liteDriver{l})
	p.SetMaxOpenConns(1)
	p.SetMaxIdleConns(1)
	return p
}

// Connect implements driver.Connector.
func (d liteDriver) Connect(context.Context) (driver.Conn, error) { return d, nil }

// Driver implements driver.Connector.
func (d liteDriver) Driver() driver.Driver { return d }

// Open implements driver.Driver; there is nothing to open by name.
func (d liteDriver) Open(string) (driver.Conn, error) { return nil, errOneConnection }

// Begin implements driver.Conn; the writer begins by itself.
func (d liteDriver) Begin() (driver.Tx, error) { return nil, errOneConnection }

// Close implements driver.Conn: the writer closes the lite.
func (d liteDriver) Close() error { return nil }

// Prepare implements driver.Conn.
func (d liteDriver) Prepare(query string) (driver.Stmt, error) {
	s, err := d.l.prepare(query)
	if err != nil {
		return nil, err
	}
	return liteRowsOf{d.l, s}, nil
}

// liteRowsOf is a statement that database/sql runs.
type liteRowsOf struct {
	l *lite
	s *liteStmt
}

// Close implements driver.Stmt.
func (p liteRowsOf) Close() error {
	if p.l.db != 0 { // else it went with the connection
		sqlite3.Xsqlite3_finalize(p.l.tls, p.s.handle)
	}
	return nil
}

// NumInput implements driver.Stmt.
func (p liteRowsOf) NumInput() int { return p.s.binds }

// Exec implements driver.Stmt; only tests use it.
func (p liteRowsOf) Exec(args []driver.Value) (driver.Result, error) {
	rows, err := p.Query(args)
	if err != nil {
		return nil, err
	}
	defer rows.Close() // only resets
	for {
		if err := rows.Next(make([]driver.Value, len(rows.Columns()))); errors.Is(err, io.EOF) {
			return driver.RowsAffected(sqlite3.Xsqlite3_changes(p.l.tls, p.l.db)), nil
		} else if err != nil {
			return nil, err
		}
	}
}

// Query implements driver.Stmt. Texts are copied: the caller may run other
// statements between two rows.
func (p liteRowsOf) Query(args []driver.Value) (driver.Rows, error) {
	for i, v := range args {
		c, err := cellOf(v)
		if err != nil {
			return nil, err
		}
		if err := p.l.bindCopy(p.s.handle, int32(i+1), c); err != nil { //nolint:gosec // SQLite allows 32,766
			return nil, err
		}
	}
	return liteRows{p, int(sqlite3.Xsqlite3_column_count(p.l.tls, p.s.handle))}, nil
}

// transient has SQLite copy a text.
const transient = ^uintptr(0)

func (l *lite) bindCopy(handle uintptr, n int32, c cell) error {
	var rc int32
	switch c.kind {
	case cellInt, cellBool:
		rc = sqlite3.Xsqlite3_bind_int64(l.tls, handle, n, c.n)
	case cellText, cellBlob:
		text, err := libc.CString(c.s)
		if err != nil {
			return errMemory
		}
		defer libc.Xfree(l.tls, text)
		if c.kind == cellText {
			rc = sqlite3.Xsqlite3_bind_text(l.tls, handle, n, text, int32(len(c.s)), transient) //nolint:gosec // bounded by SQLite
		} else {
			rc = sqlite3.Xsqlite3_bind_blob(l.tls, handle, n, text, int32(len(c.s)), transient) //nolint:gosec // bounded by SQLite
		}
	default:
		rc = sqlite3.Xsqlite3_bind_null(l.tls, handle, n)
	}
	if rc != sqlite3.SQLITE_OK {
		return l.fault(rc)
	}
	return nil
}

// liteRows steps through the rows of a statement.
type liteRows struct {
	of      liteRowsOf
	columns int
}

// Columns implements driver.Rows.
func (r liteRows) Columns() []string {
	names := make([]string, r.columns)
	for i := range names {
		names[i] = libc.GoString(sqlite3.Xsqlite3_column_name(r.of.l.tls, r.of.s.handle, int32(i))) //nolint:gosec // at most 2,000
	}
	return names
}

// Close implements driver.Rows.
func (r liteRows) Close() error {
	sqlite3.Xsqlite3_reset(r.of.l.tls, r.of.s.handle) // repeats the error that step gave
	sqlite3.Xsqlite3_clear_bindings(r.of.l.tls, r.of.s.handle)
	return nil
}

// Next implements driver.Rows.
func (r liteRows) Next(dest []driver.Value) error {
	l, handle := r.of.l, r.of.s.handle
	switch rc := sqlite3.Xsqlite3_step(l.tls, handle); rc {
	case sqlite3.SQLITE_ROW:
	case sqlite3.SQLITE_DONE:
		return io.EOF
	default:
		return l.fault(rc)
	}
	for i := range dest {
		n := int32(i) //nolint:gosec // at most 2,000
		switch kind := sqlite3.Xsqlite3_column_type(l.tls, handle, n); kind {
		case sqlite3.SQLITE_INTEGER:
			dest[i] = sqlite3.Xsqlite3_column_int64(l.tls, handle, n)
		case sqlite3.SQLITE_TEXT:
			dest[i] = string(l.column(sqlite3.Xsqlite3_column_text(l.tls, handle, n), handle, n))
		case sqlite3.SQLITE_BLOB:
			dest[i] = l.column(sqlite3.Xsqlite3_column_blob(l.tls, handle, n), handle, n)
		case sqlite3.SQLITE_FLOAT:
			dest[i] = sqlite3.Xsqlite3_column_double(l.tls, handle, n)
		case sqlite3.SQLITE_NULL:
			dest[i] = nil
		default:
			return fmt.Errorf("column %d has a value of kind %d", i+1, kind)
		}
	}
	return nil
}
