package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"sync/atomic"
	"unsafe"

	sqlite3 "modernc.org/sqlite/lib"
)

// liteReads is how SQLite is read: rows through connections of its own below
// database/sql, the rest through prepared statements over the pool.
type liteReads struct {
	*statements
	readers *liteReaders
}

// rower is a conn that reads rows by itself.
type rower interface {
	rows(ctx context.Context, query string, args []any, scan func(row) error) error
}

func (r liteReads) rows(ctx context.Context, query string, args []any, scan func(row) error) error {
	return r.readers.rows(ctx, query, args, scan)
}

// liteReaders are the connections that only read. They are opened when first
// needed. One that a function of scan reads through again takes another: such
// functions must not read.
type liteReaders struct {
	path    string
	pragmas []string
	slots   chan *lite // nil: not open yet
	closed  atomic.Bool
	told    func(string)
}

// readerStatements bounds the statements that each of them keeps.
const readerStatements = 200

func newLiteReaders(path string, pragmas []string, n int, told func(string)) *liteReaders {
	r := &liteReaders{path: path, pragmas: pragmas, slots: make(chan *lite, n), told: told}
	for range n {
		r.slots <- nil
	}
	return r
}

// rows calls scan for every row. Only what is read when ctx ends is given up.
func (r *liteReaders) rows(ctx context.Context, query string, args []any, scan func(row) error) error {
	cells, err := cellsOf(args)
	if err != nil {
		return err
	}
	l, err := r.take(ctx)
	if err != nil {
		return err
	}
	defer func() { r.slots <- l }()
	return l.each(ctx, query, cells, scan)
}

// take waits for a connection. Who took it gives it back to slots.
func (r *liteReaders) take(ctx context.Context) (*lite, error) {
	var l *lite
	select {
	case l = <-r.slots:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r.closed.Load() {
		r.slots <- l
		return nil, sql.ErrConnDone
	}
	if l != nil {
		return l, nil
	}
	l, err := openLite(r.path, r.pragmas)
	if err != nil {
		r.slots <- nil
		return nil, err
	}
	l.most, l.told = readerStatements, r.told
	return l, nil
}

func cellsOf(args []any) ([]cell, error) {
	cells := make([]cell, len(args))
	for i, v := range args {
		c, err := cellOf(v)
		if err != nil {
			return nil, err
		}
		cells[i] = c
	}
	return cells, nil
}

// close waits for what is being read. Nothing is read after it.
func (r *liteReaders) close() error {
	r.closed.Store(true)
	var faults []error
	for range cap(r.slots) {
		if l := <-r.slots; l != nil {
			faults = append(faults, l.close())
		}
	}
	for range cap(r.slots) {
		r.slots <- nil
	}
	return errors.Join(faults...)
}

// each calls scan for every row of a statement.
func (l *lite) each(ctx context.Context, query string, args []cell, scan func(row) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.reading {
		return errNested
	}
	l.reading = true
	defer func() { l.reading = false }()
	s, err := l.kept(query)
	if err != nil {
		return err
	}
	if err := l.bind(s, args); err != nil {
		return err
	}
	l.statements.Add(1)
	defer sqlite3.Xsqlite3_reset(l.tls, s.handle) // repeats the error that step gave
	l.waiting = ctx
	defer func() {
		l.waiting = nil
		if e, ok := errors.AsType[*liteError](err); ok && e.code&0xff == sqlite3.SQLITE_INTERRUPT && ctx.Err() != nil {
			err = ctx.Err()
		}
	}()
	r := liteRow{l, s.handle, int(sqlite3.Xsqlite3_column_count(l.tls, s.handle))}
	for {
		switch rc := sqlite3.Xsqlite3_step(l.tls, s.handle); rc {
		case sqlite3.SQLITE_ROW:
			if err := scan(r); err != nil {
				return err
			}
		case sqlite3.SQLITE_DONE:
			return nil
		default:
			return l.fault(rc)
		}
	}
}

// liteRow is the current row of a statement.
type liteRow struct {
	l       *lite
	handle  uintptr
	columns int
}

var (
	errNested  = errors.New("a row is read while another statement runs")
	errNull    = errors.New("NULL for a value that cannot be absent")
	errNoFit   = errors.New("the value does not fit")
	errNoPlace = errors.New("no such kind of destination")
)

// Scan implements row as sql.Rows does: what is absent needs a pointer to a
// pointer or a sql.Scanner.
func (r liteRow) Scan(dest ...any) error {
	if len(dest) != r.columns {
		return fmt.Errorf("%d destinations for %d columns", len(dest), r.columns)
	}
	for i, d := range dest {
		if err := r.column(int32(i), d); err != nil { //nolint:gosec // SQLite allows 32,767 columns
			return fmt.Errorf("column %d into %T: %w", i, d, err)
		}
	}
	return nil
}

func (r liteRow) column(n int32, dest any) error {
	kind := sqlite3.Xsqlite3_column_type(r.l.tls, r.handle, n)
	switch d := dest.(type) {
	case *int64:
		return r.whole(kind, n, d)
	case *string:
		return r.text(kind, n, d)
	case *int:
		return r.small(kind, n, d)
	case *bool:
		return r.truth(kind, n, d)
	case *sql.NullString:
		d.Valid = kind != sqlite3.SQLITE_NULL
		if !d.Valid {
			d.String = ""
			return nil
		}
		return r.text(kind, n, &d.String)
	case *[]byte:
		*d = r.bytes(kind, n)
		return nil
	case *any:
		*d = r.value(kind, n)
		return nil
	case sql.Scanner:
		return d.Scan(r.value(kind, n))
	}
	v := reflect.ValueOf(dest)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return errNoPlace
	}
	return r.set(kind, n, v.Elem())
}

// set fills what has a type of its own.
func (r liteRow) set(kind, n int32, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var whole int64
		if err := r.whole(kind, n, &whole); err != nil {
			return err
		}
		if v.OverflowInt(whole) {
			return errNoFit
		}
		v.SetInt(whole)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		var whole int64
		if err := r.whole(kind, n, &whole); err != nil {
			return err
		}
		if whole < 0 || v.OverflowUint(uint64(whole)) {
			return errNoFit
		}
		v.SetUint(uint64(whole))
	case reflect.String:
		var text string
		if err := r.text(kind, n, &text); err != nil {
			return err
		}
		v.SetString(text)
	case reflect.Bool:
		var yes bool
		if err := r.truth(kind, n, &yes); err != nil {
			return err
		}
		v.SetBool(yes)
	case reflect.Float64:
		f, err := r.float(kind, n)
		if err != nil {
			return err
		}
		v.SetFloat(f)
	case reflect.Pointer:
		if kind == sqlite3.SQLITE_NULL {
			v.SetZero()
			return nil
		}
		to := reflect.New(v.Type().Elem())
		if err := r.column(n, to.Interface()); err != nil {
			return err
		}
		v.Set(to)
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Uint8 {
			return errNoPlace
		}
		v.SetBytes(r.bytes(kind, n))
	default:
		return errNoPlace
	}
	return nil
}

func (r liteRow) whole(kind, n int32, into *int64) error {
	switch kind {
	case sqlite3.SQLITE_INTEGER:
		*into = sqlite3.Xsqlite3_column_int64(r.l.tls, r.handle, n)
		return nil
	case sqlite3.SQLITE_NULL:
		return errNull
	case sqlite3.SQLITE_FLOAT:
		f := sqlite3.Xsqlite3_column_double(r.l.tls, r.handle, n)
		if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return errNoFit
		}
		*into = int64(f)
		return nil
	}
	whole, err := strconv.ParseInt(string(r.bytes(kind, n)), 10, 64)
	if err != nil {
		return errNoFit
	}
	*into = whole
	return nil
}

func (r liteRow) small(kind, n int32, into *int) error {
	var whole int64
	if err := r.whole(kind, n, &whole); err != nil {
		return err
	}
	if int64(int(whole)) != whole {
		return errNoFit
	}
	*into = int(whole)
	return nil
}

func (r liteRow) truth(kind, n int32, into *bool) error {
	var whole int64
	if err := r.whole(kind, n, &whole); err != nil {
		return err
	}
	if whole&^1 != 0 {
		return errNoFit
	}
	*into = whole == 1
	return nil
}

func (r liteRow) float(kind, n int32) (float64, error) {
	switch kind {
	case sqlite3.SQLITE_FLOAT, sqlite3.SQLITE_INTEGER:
		return sqlite3.Xsqlite3_column_double(r.l.tls, r.handle, n), nil
	case sqlite3.SQLITE_NULL:
		return 0, errNull
	}
	f, err := strconv.ParseFloat(string(r.shared(n)), 64)
	if err != nil {
		return 0, errNoFit
	}
	return f, nil
}

func (r liteRow) text(kind, n int32, into *string) error {
	switch kind {
	case sqlite3.SQLITE_NULL:
		return errNull
	case sqlite3.SQLITE_INTEGER:
		*into = strconv.FormatInt(sqlite3.Xsqlite3_column_int64(r.l.tls, r.handle, n), 10)
	case sqlite3.SQLITE_FLOAT:
		*into = strconv.FormatFloat(sqlite3.Xsqlite3_column_double(r.l.tls, r.handle, n), 'g', -1, 64)
	default:
		*into = string(r.shared(n))
	}
	return nil
}

// bytes is a copy of a text or blob, nil for NULL and an empty blob.
func (r liteRow) bytes(kind, n int32) []byte {
	shared := r.shared(n)
	if kind == sqlite3.SQLITE_NULL || kind == sqlite3.SQLITE_BLOB && len(shared) == 0 {
		return nil
	}
	return append(make([]byte, 0, len(shared)), shared...)
}

// value is a column as a driver of database/sql hands it over.
func (r liteRow) value(kind, n int32) any {
	switch kind {
	case sqlite3.SQLITE_INTEGER:
		return sqlite3.Xsqlite3_column_int64(r.l.tls, r.handle, n)
	case sqlite3.SQLITE_FLOAT:
		return sqlite3.Xsqlite3_column_double(r.l.tls, r.handle, n)
	case sqlite3.SQLITE_TEXT:
		return string(r.shared(n))
	case sqlite3.SQLITE_BLOB:
		return r.bytes(kind, n)
	default:
		return nil
	}
}

// shared is a text or blob where SQLite keeps it until the next step.
func (r liteRow) shared(n int32) []byte {
	address := sqlite3.Xsqlite3_column_blob(r.l.tls, r.handle, n)
	size := int(sqlite3.Xsqlite3_column_bytes(r.l.tls, r.handle, n))
	if address == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(at(address)), size)
}
