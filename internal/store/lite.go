package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// lite is a connection to SQLite: the one that writes, or one that reads. It calls the library below
// database/sql: a hot statement costs no allocation, no lock and no copy of its
// own. One goroutine at a time may use it. What is not hot goes through
// database/sql over the very same connection, see liteDriver.
type lite struct {
	tls    *libc.TLS
	db     uintptr
	byText map[string]*liteStmt
	// memory is where texts lie while a statement runs.
	memory  uintptr
	size    int
	most    int          // statements that are kept
	told    func(string) // of each new text; nil: nobody
	reading bool         // a statement of each is running
	// waiting is the context of whoever waits for it; nil: nobody does.
	waiting    context.Context //nolint:containedctx // SQLite asks for it in the middle of a statement
	id         uintptr         // by which SQLite names this connection
	statements atomic.Int64    // that were run, for those who measure
}

// liteStmt is a prepared statement that lite keeps.
type liteStmt struct {
	handle uintptr
	binds  int
	// inserted: the text returned the id of the row it adds, which SQLite knows
	// anyway. RETURNING would build and read a table for it.
	inserted bool
}

// liteError is what SQLite says, with its extended code.
type liteError struct {
	code int
	text string
}

// Error implements error.
func (e *liteError) Error() string { return fmt.Sprintf("%s (%d)", e.text, e.code) }

var errMemory = errors.New("SQLite has no memory")

// firstMemory holds the texts of most statements; more is taken when needed.
const firstMemory = 64 << 10

// openLite opens the database file for one goroutine and sets it up.
func openLite(path string, pragmas []string) (*lite, error) {
	l := &lite{tls: libc.NewTLS(), byText: make(map[string]*liteStmt), most: maxStatements}
	if err := l.open(path); err != nil {
		return nil, errors.Join(err, l.close())
	}
	for _, pragma := range pragmas {
		if _, err := l.exec(`PRAGMA `+pragma, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("set %s: %w", pragma, err), l.close())
		}
	}
	return l, nil
}

func (l *lite) open(path string) error {
	if err := l.reserve(firstMemory); err != nil {
		return err
	}
	name, err := libc.CString(path)
	if err != nil {
		return errMemory
	}
	defer libc.Xfree(l.tls, name)
	handle := l.memory // its first word is where the handle comes
	const flags = sqlite3.SQLITE_OPEN_READWRITE | sqlite3.SQLITE_OPEN_CREATE | sqlite3.SQLITE_OPEN_NOMUTEX
	rc := sqlite3.Xsqlite3_open_v2(l.tls, name, handle, flags, 0)
	l.db = *(*uintptr)(at(handle))
	if rc != sqlite3.SQLITE_OK {
		return l.fault(rc)
	}
	sqlite3.Xsqlite3_extended_result_codes(l.tls, l.db, 1)
	l.id = liteIDs.Add(1)
	lites.Store(l.id, l)
	sqlite3.Xsqlite3_progress_handler(l.tls, l.db, patience, givenUp, l.id)
	return nil
}

// patience is after how many of its instructions SQLite asks whether its answer
// is still wanted: some thousand times a second. That needs no goroutine and no
// memory for each statement, as an interruption from outside does.
const patience = 2000

var (
	lites   sync.Map // connections by id: SQLite's memory holds no pointer of Go's
	liteIDs atomic.Uintptr
	// givenUp is how SQLite calls a function of Go's.
	givenUp = *(*uintptr)(unsafe.Pointer(&struct {
		f func(*libc.TLS, uintptr) int32
	}{isGivenUp}))
)

// isGivenUp says 1 when nobody waits any more for what a connection does.
func isGivenUp(_ *libc.TLS, id uintptr) int32 {
	found, _ := lites.Load(id)
	if l, ok := found.(*lite); ok && l.waiting != nil && l.waiting.Err() != nil {
		return 1
	}
	return 0
}

// at is the memory of SQLite at an address: never Go's, so the collector
// neither moves nor frees it.
func at(address uintptr) unsafe.Pointer { return unsafe.Add(nil, address) }

// reserve makes room for n bytes of texts.
func (l *lite) reserve(n int) error {
	if n <= l.size {
		return nil
	}
	if l.memory != 0 {
		libc.Xfree(l.tls, l.memory)
	}
	l.size = max(n, 2*l.size)
	if l.memory = libc.Xmalloc(l.tls, libc.Tsize_t(l.size)); l.memory == 0 { //nolint:gosec // sizes are not negative
		l.size = 0
		return errMemory
	}
	return nil
}

// close gives everything back. It may be called once.
func (l *lite) close() error {
	for text, s := range l.byText {
		sqlite3.Xsqlite3_finalize(l.tls, s.handle)
		delete(l.byText, text)
	}
	var err error
	if l.db != 0 {
		if rc := sqlite3.Xsqlite3_close_v2(l.tls, l.db); rc != sqlite3.SQLITE_OK {
			err = l.fault(rc)
		}
		l.db = 0
		lites.Delete(l.id)
	}
	if l.memory != 0 {
		libc.Xfree(l.tls, l.memory)
		l.memory, l.size = 0, 0
	}
	l.tls.Close()
	return err
}

func (l *lite) fault(rc int32) error {
	text := libc.GoString(sqlite3.Xsqlite3_errstr(l.tls, rc))
	if l.db != 0 {
		if told := libc.GoString(sqlite3.Xsqlite3_errmsg(l.tls, l.db)); told != text {
			text += ": " + told
		}
	}
	return &liteError{code: int(rc), text: text}
}

// prepare compiles one statement.
func (l *lite) prepare(query string) (*liteStmt, error) {
	text, err := libc.CString(query)
	if err != nil {
		return nil, errMemory
	}
	defer libc.Xfree(l.tls, text)
	out := l.memory
	if rc := sqlite3.Xsqlite3_prepare_v2(l.tls, l.db, text, -1, out, 0); rc != sqlite3.SQLITE_OK {
		return nil, l.fault(rc)
	}
	handle := *(*uintptr)(at(out))
	if handle == 0 {
		return nil, errors.New("an empty statement")
	}
	return &liteStmt{handle: handle, binds: int(sqlite3.Xsqlite3_bind_parameter_count(l.tls, handle))}, nil
}

// kept finds the statement of a text, or keeps it.
func (l *lite) kept(query string) (*liteStmt, error) {
	if s := l.byText[query]; s != nil {
		return s, nil
	}
	if l.told != nil {
		l.told(query)
	}
	plain, inserted := addsOne(query)
	s, err := l.prepare(plain)
	if err != nil {
		return nil, err
	}
	s.inserted = inserted
	if len(l.byText) >= l.most {
		for text, old := range l.byText { // any one: texts built by count are the many
			sqlite3.Xsqlite3_finalize(l.tls, old.handle)
			delete(l.byText, text)
			break
		}
	}
	l.byText[strings.Clone(query)] = s
	return s, nil
}

// addsOne takes RETURNING id off a text that adds a row or does nothing.
func addsOne(query string) (plain string, yes bool) {
	plain, returns := strings.CutSuffix(query, " RETURNING id")
	if !returns || !strings.HasPrefix(strings.TrimLeft(query, " \t\n"), "INSERT INTO") || strings.Contains(query, "DO UPDATE") {
		return query, false
	}
	return plain, true
}

// bind gives a statement its values. Texts lie in memory until the next bind.
func (l *lite) bind(s *liteStmt, args []cell) error {
	if len(args) != s.binds {
		return fmt.Errorf("%d values for %d binds", len(args), s.binds)
	}
	need := 1
	for i := range args {
		need += len(args[i].s)
	}
	if err := l.reserve(need); err != nil {
		return err
	}
	place := l.memory
	for i := range args {
		c := &args[i]
		var rc int32
		n := int32(i + 1) //nolint:gosec // SQLite allows 32,766
		switch c.kind {
		case cellInt, cellBool:
			rc = sqlite3.Xsqlite3_bind_int64(l.tls, s.handle, n, c.n)
		case cellText:
			rc = sqlite3.Xsqlite3_bind_text(l.tls, s.handle, n, place, int32(len(c.s)), 0) //nolint:gosec // bounded by the protocols' limits
		case cellBlob:
			rc = sqlite3.Xsqlite3_bind_blob(l.tls, s.handle, n, place, int32(len(c.s)), 0) //nolint:gosec // as above
		default:
			rc = sqlite3.Xsqlite3_bind_null(l.tls, s.handle, n)
		}
		if rc != sqlite3.SQLITE_OK {
			return l.fault(rc)
		}
		copy(unsafe.Slice((*byte)(at(place)), len(c.s)), c.s)
		place += uintptr(len(c.s))
	}
	return nil
}

// total is how many rows were changed since the beginning.
func (l *lite) total() int64 { return int64(sqlite3.Xsqlite3_total_changes(l.tls, l.db)) }

// exec runs a statement to its end and returns how many rows it changed.
func (l *lite) exec(query string, args []cell) (int64, error) {
	_, _, changed, err := l.run(query, args)
	return changed, err
}

// number runs a statement to its end and returns the number in the first column of
// its first row; found is false when there is no row.
func (l *lite) number(query string, args []cell) (n int64, found bool, err error) {
	n, found, _, err = l.run(query, args)
	return n, found, err
}

func (l *lite) run(query string, args []cell) (n int64, found bool, changed int64, err error) {
	s, err := l.kept(query)
	if err != nil {
		return 0, false, 0, err
	}
	if err := l.bind(s, args); err != nil {
		return 0, false, 0, err
	}
	rc := sqlite3.Xsqlite3_step(l.tls, s.handle)
	for rc == sqlite3.SQLITE_ROW {
		if !found {
			n, found = sqlite3.Xsqlite3_column_int64(l.tls, s.handle, 0), true
		}
		rc = sqlite3.Xsqlite3_step(l.tls, s.handle)
	}
	if rc != sqlite3.SQLITE_DONE {
		err = l.fault(rc)
	} else {
		changed = int64(sqlite3.Xsqlite3_changes(l.tls, l.db))
		if s.inserted && changed > 0 {
			n, found = sqlite3.Xsqlite3_last_insert_rowid(l.tls, l.db), true
		}
	}
	l.statements.Add(1)
	sqlite3.Xsqlite3_reset(l.tls, s.handle) // repeats the error that step gave
	return n, found, changed, err
}

// column is a copy of the bytes of a column that stand at an address.
func (l *lite) column(address uintptr, handle uintptr, n int32) []byte {
	size := int(sqlite3.Xsqlite3_column_bytes(l.tls, handle, n))
	return append(make([]byte, 0, size), unsafe.Slice((*byte)(at(address)), size)...)
}
