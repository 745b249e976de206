package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/span"
)

// conn is what runs SQL: a pool, a transaction, or cached statements over one.
type conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// querier runs the one SQL text on either engine: written with ?, turned into
// $n for PostgreSQL. what names the doing for errors ("insert order").
type querier struct {
	c       conn
	dollars bool
	bulk    *bulk // rows that wait; nil outside a transaction
	wall    bool  // a transaction behind row security
}

func (q querier) text(query string) string {
	if q.dollars {
		return dollars(query)
	}
	return query
}

// exec runs a statement and returns how many rows it touched.
func (q querier) exec(ctx context.Context, what, query string, args ...any) (n int64, err error) {
	ctx, end := span.Begin(ctx, span.SQL, what)
	defer func() { end(err) }()
	if err := q.settle(ctx, query); err != nil {
		return 0, err
	}
	res, err := q.c.ExecContext(ctx, q.text(query), args...)
	if err != nil {
		return 0, translate(what, err)
	}
	n, err = res.RowsAffected()
	return n, translate(what, err)
}

// swap is exec for an update that compares the version: no row is ErrStale.
func (q querier) swap(ctx context.Context, what, query string, args ...any) error {
	n, err := q.exec(ctx, what, query, args...)
	if err == nil && n == 0 {
		return fmt.Errorf("%s: %w", what, evcs.ErrStale)
	}
	return err
}

// insertID runs an INSERT … RETURNING id.
func (q querier) insertID(ctx context.Context, what, query string, args ...any) (int64, error) {
	cells, err := cellsOf(args)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	return q.number(ctx, what, sql.ErrNoRows, query, cells...)
}

// one scans the only row; when there is none the error is missing, which the
// noun names.
func (q querier) one(ctx context.Context, what string, missing error, dest []any, query string, args ...any) error {
	found := false
	err := q.rows(ctx, what, func(rows row) error {
		found = true
		return rows.Scan(dest...)
	}, query, args...)
	if err == nil && !found {
		return missing
	}
	return err
}

// rows calls scan for every row. What scan is given is valid during the call;
// scan must not use the store.
func (q querier) rows(ctx context.Context, what string, scan func(row) error, query string, args ...any) (err error) {
	direct, ok := q.c.(rower)
	if !ok {
		return q.each(ctx, what, func(r *sql.Rows) error { return scan(r) }, query, args...)
	}
	ctx, end := span.Begin(ctx, span.SQL, what)
	defer func() { end(err) }()
	return translate(what, direct.rows(ctx, query, args, scan))
}

// limit bounds a statement. SQLite plans anew for every bound LIMIT; PostgreSQL
// is better off with few texts.
func (q querier) limit(n int) (text string, args []any) {
	if q.dollars {
		return ` LIMIT ?`, []any{n}
	}
	return ` LIMIT ` + strconv.Itoa(n), nil
}

// each calls scan for every row.
func (q querier) each(ctx context.Context, what string, scan func(*sql.Rows) error, query string, args ...any) (err error) {
	ctx, end := span.Begin(ctx, span.SQL, what)
	defer func() { end(err) }()
	if err := q.settle(ctx, query); err != nil {
		return err
	}
	rows, err := q.c.QueryContext(ctx, q.text(query), args...)
	if err != nil {
		return translate(what, err)
	}
	defer rows.Close() // rows.Err is what counts
	for rows.Next() {
		if err := scan(rows); err != nil {
			return translate(what, err)
		}
	}
	return translate(what, rows.Err())
}

// dollars turns ? into $1, $2, … There is no ? in a literal or a comment of
// ours. The texts are few, so each is turned once.
func dollars(query string) string {
	if done, ok := dollarTexts.Load(query); ok {
		return done.(string) //nolint:errcheck,forcetypeassert // only strings are stored
	}
	turned := turnDollars(query)
	if strings.Count(query, "?") < dynamicBinds {
		dollarTexts.Store(query, turned)
	}
	return turned
}

func turnDollars(query string) string {
	var b strings.Builder
	n := 0
	for _, r := range query {
		if r == '?' {
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// dollarTexts remembers turned texts. Texts with many binds are built by count
// and are not worth keeping.
var dollarTexts sync.Map

const dynamicBinds = 64

// statements prepares each text once. It serves the readers of SQLite (over
// the pool) and its writer (over the one connection that writes).
type statements struct {
	prepare func(ctx context.Context, query string) (*sql.Stmt, error)
	told    func(string) // of each new text; nil: nobody
	mu      sync.RWMutex
	byText  map[string]*sql.Stmt // guarded by mu
}

const maxStatements = 1000

func newStatements(prepare func(context.Context, string) (*sql.Stmt, error)) *statements {
	return &statements{prepare: prepare, byText: make(map[string]*sql.Stmt)}
}

// have is the statement of a text, nil when it is not prepared yet.
func (s *statements) have(query string) *sql.Stmt {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byText[query]
}

func (s *statements) get(ctx context.Context, query string) (*sql.Stmt, error) {
	stmt := s.have(query)
	if stmt != nil {
		return stmt, nil
	}
	if s.told != nil {
		s.told(query)
	}
	stmt, err := s.prepare(context.WithoutCancel(ctx), query)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.byText[query]; first != nil {
		return first, stmt.Close() //nolint:sqlclosecheck // the loser of a race, closed here
	}
	if len(s.byText) >= maxStatements {
		for text, old := range s.byText { // any one: texts built by count are the many
			delete(s.byText, text)
			defer old.Close() // in use or not, database/sql closes it when it can
			break
		}
	}
	s.byText[query] = stmt
	return stmt, nil
}

func (s *statements) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stmt := range s.byText {
		stmt.Close() // the database is closed next
	}
	clear(s.byText)
}

// ExecContext implements conn.
func (s *statements) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	stmt, err := s.get(ctx, query) //nolint:sqlclosecheck // kept, that is the point
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, args...)
}

// QueryContext implements conn.
func (s *statements) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := s.get(ctx, query) //nolint:sqlclosecheck // kept, that is the point
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}
