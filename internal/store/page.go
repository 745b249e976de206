package store

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/evcs/evcs/internal/evcs"
)

// row is what a scan function reads: the current row of a result.
type row interface{ Scan(dest ...any) error }

// sortColumn is one expression a list may be ordered by. It must not be NULL in
// any row; wrap a nullable column in COALESCE.
type sortColumn struct {
	expr string
	text bool // TEXT; else an integer
}

// listing says how one kind of object is listed: SELECT columns FROM from.
// Every list of the store is one of these, so paging is written once.
type listing[T any] struct {
	what    string                // for errors: "list orders"
	columns string                // "o.id, o.order_no, …"
	from    string                // "orders o LEFT JOIN …"; one row per object
	id      string                // the unique integer key: "o.id"
	sorts   map[string]sortColumn // by the contract's name of the field
	scan    func(row) (T, error)
}

// filter is a conjunction of conditions with their binds. The zero filter is
// true for every row, so a list of tenant data begins with scope.
type filter struct {
	conds []string
	args  []any
}

// add appends one condition; its binds are written ?.
func (f *filter) add(cond string, args ...any) {
	f.conds = append(f.conds, cond)
	f.args = append(f.args, args...)
}

// scope keeps the rows whose tenant column lies in s. The zero scope keeps none.
func (f *filter) scope(column string, s evcs.Scope) {
	cond, arg := scopeCond(column, s)
	f.add(cond, arg)
}

// scopeCond is the condition that column holds a tenant of s, and its one bind.
// With Subtree it reads the closure table, which holds every tenant as an
// ancestor of itself.
func scopeCond(column string, s evcs.Scope) (cond string, arg any) {
	if leaks() {
		return `(` + column + ` = ? OR 1 = 1)`, int64(s.Tenant)
	}
	if s.Descendants {
		return column + ` IN (SELECT tenant_id FROM tenant_ancestors WHERE ancestor_id = ?)`, int64(s.Tenant)
	}
	return column + ` = ?`, int64(s.Tenant)
}

// scopeOne is scope for a statement that finds one row by its key: it looks for
// that row's tenant in the closure table, where scope would first gather all
// tenants below the caller's.
func (f *filter) scopeOne(column string, s evcs.Scope) {
	if leaks() || !s.Descendants {
		f.scope(column, s)
		return
	}
	f.add(`EXISTS (SELECT 1 FROM tenant_ancestors a1 WHERE a1.tenant_id = `+column+` AND a1.ancestor_id = ?)`, int64(s.Tenant))
}

// contains keeps rows where any of the columns holds text, whatever the case.
// An empty text keeps all.
func (f *filter) contains(text string, columns ...string) {
	if text == "" {
		return
	}
	pattern := "%" + likeEscaper.Replace(strings.ToLower(text)) + "%"
	conds := make([]string, len(columns))
	args := make([]any, len(columns))
	for i, column := range columns {
		conds[i] = `LOWER(` + column + `) LIKE ? ESCAPE '\'`
		args[i] = pattern
	}
	f.add(`(`+strings.Join(conds, ` OR `)+`)`, args...)
}

var likeEscaper = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// exact keeps rows where the column is text; an empty text keeps all.
func (f *filter) exact(column, text string) {
	if text != "" {
		f.add(column+` = ?`, text)
	}
}

// within keeps rows whose time column lies in [from, to), each end open when
// it is 0.
func (f *filter) within(column string, fromMillis, toMillis int64) {
	if fromMillis > 0 {
		f.add(column+` >= ?`, fromMillis)
	}
	if toMillis > 0 {
		f.add(column+` < ?`, toMillis)
	}
}

// among keeps rows whose column is one of the values; no values keep all.
func among[V any](f *filter, column string, values []V) {
	if len(values) == 0 {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	f.add(column+` IN (`+binds(len(values))+`)`, args...)
}

// binds is "?, ?, …", n of them.
func binds(n int) string {
	return strings.TrimSuffix(strings.Repeat("?, ", n), ", ")
}

// where is the WHERE clause, or "".
func (f *filter) where() string {
	if len(f.conds) == 0 {
		return ""
	}
	return ` WHERE ` + strings.Join(f.conds, ` AND `)
}

// ErrCursor is 9414: the cursor does not fit this list.
var ErrCursor = evcs.NewError(evcs.CodeCursorInvalid, "the cursor does not fit the list")

// page reads one part of a list in the form r asks for. A sort field that the
// listing does not know is 9400 on "sort".
func page[T any](ctx context.Context, q querier, l listing[T], f filter, r evcs.PageRequest) (evcs.Page[T], error) {
	order, err := l.order(r.Sort)
	if err != nil {
		return evcs.Page[T]{}, err
	}
	if r.Keyset {
		return l.after(ctx, q, f, r, order)
	}
	result := evcs.Page[T]{Total: -1}
	if !r.NoTotal {
		if err := q.one(ctx, "count: "+l.what, sql.ErrNoRows, []any{&result.Total}, `SELECT COUNT(*) FROM `+l.from+f.where(), f.args...); err != nil {
			return evcs.Page[T]{}, err
		}
		if result.Total == 0 {
			return result, nil
		}
	}
	skip := int64(max(r.Page, 1)-1) * int64(r.Size)
	limit, bound := q.limit(r.Size)
	args := append(append(slices.Clone(f.args), bound...), skip)
	err = q.rows(ctx, l.what, func(rows row) error {
		v, err := l.scan(rows)
		result.Records = append(result.Records, v)
		return err
	}, `SELECT `+l.columns+` FROM `+l.from+f.where()+orderBy(order)+limit+` OFFSET ?`, args...)
	return result, err
}

// all reads every row of a list that is known to be short, in the order asked.
func all[T any](ctx context.Context, q querier, l listing[T], f filter, sort ...evcs.Sort) ([]T, error) {
	order, err := l.order(sort)
	if err != nil {
		return nil, err
	}
	var list []T
	err = q.rows(ctx, l.what, func(rows row) error {
		v, err := l.scan(rows)
		list = append(list, v)
		return err
	}, `SELECT `+l.columns+` FROM `+l.from+f.where()+orderBy(order), f.args...)
	return list, err
}

// single reads the one row that f finds by its key; found is false when there is
// none. It is not sorted: SQLite would build a table of its columns for that.
func single[T any](ctx context.Context, q querier, l listing[T], f filter) (v T, found bool, err error) {
	key := singleKey{l.what, f.where()}
	text, ok := singleTexts.Load(key)
	if !ok {
		text, _ = singleTexts.LoadOrStore(key, `SELECT `+l.columns+` FROM `+l.from+key.where+` LIMIT 1`)
	}
	err = q.rows(ctx, l.what, func(rows row) (err error) {
		found = true
		v, err = l.scan(rows)
		return err
	}, text.(string), f.args...) //nolint:errcheck,forcetypeassert // only strings are stored
	return v, found && err == nil, err
}

// singleTexts are the texts of single: few, long, and the same every time.
var singleTexts sync.Map

type singleKey struct{ what, where string }

// term is one resolved part of an ORDER BY.
type term struct {
	sortColumn
	desc bool
}

// order resolves the sort fields; the id comes last and breaks ties. Without a
// field the newest come first.
func (l listing[T]) order(sort []evcs.Sort) ([]term, error) {
	idDesc := true
	terms := make([]term, 0, len(sort)+1)
	for i, s := range sort {
		column, ok := l.sorts[s.Field]
		if !ok {
			return nil, evcs.Invalid(evcs.FieldFault{Field: "sort", Message: "unknown field: " + s.Field})
		}
		if i == 0 {
			idDesc = s.Desc
		}
		terms = append(terms, term{column, s.Desc})
	}
	return append(terms, term{sortColumn{expr: l.id}, idDesc}), nil
}

func orderBy(terms []term) string {
	parts := make([]string, len(terms))
	for i, t := range terms {
		parts[i] = t.expr
		if t.desc {
			parts[i] += ` DESC`
		}
	}
	return ` ORDER BY ` + strings.Join(parts, `, `)
}

// after reads the page behind a place. One row more than asked is read, to
// know whether there is a next page; the sort values ride along on each row.
func (l listing[T]) after(ctx context.Context, q querier, f filter, r evcs.PageRequest, order []term) (evcs.Page[T], error) {
	if r.After != nil {
		cond, args, err := behind(order, *r.After)
		if err != nil {
			return evcs.Page[T]{}, err
		}
		f.conds, f.args = append(slices.Clone(f.conds), cond), append(slices.Clone(f.args), args...)
	}
	extra := make([]string, len(order))
	for i, t := range order {
		extra[i] = t.expr
	}
	result := evcs.Page[T]{Total: -1, Records: room[T](r.Size)}
	place := rowWithPlace{place: evcs.PlaceAfter{Values: make([]string, len(order)-1)}}
	limit, bound := q.limit(r.Size + 1)
	query := `SELECT ` + l.columns + `, ` + strings.Join(extra, `, `) + ` FROM ` + l.from + f.where() + orderBy(order) + limit
	err := q.rows(ctx, l.what, func(rows row) error {
		if len(result.Records) == r.Size {
			result.Next = &place.place
			return nil
		}
		place.rows = rows
		v, err := l.scan(&place)
		result.Records = append(result.Records, v)
		return err
	}, query, append(slices.Clone(f.args), bound...)...)
	if len(result.Records) == 0 {
		result.Records = nil
	}
	return result, err
}

// room is the memory of a page before it is read: of what most pages hold.
func room[T any](size int) []T { return make([]T, 0, min(size, 20)) }

// rowWithPlace is a row that ends in the values of its sort fields and its id,
// which the scan function does not know of. The next row is read over it.
type rowWithPlace struct {
	rows  row
	place evcs.PlaceAfter
	dest  []any
}

// Scan implements row.
func (r *rowWithPlace) Scan(dest ...any) error {
	r.dest = append(r.dest[:0], dest...)
	for i := range r.place.Values {
		r.dest = append(r.dest, &r.place.Values[i])
	}
	r.dest = append(r.dest, &r.place.ID)
	return r.rows.Scan(r.dest...)
}

// behind is the condition for rows that come after a place in an order.
func behind(order []term, place evcs.PlaceAfter) (cond string, args []any, err error) {
	values, err := placeValues(order, place)
	if err != nil {
		return "", nil, err
	}
	uniform := !slices.ContainsFunc(order, func(t term) bool { return t.desc != order[0].desc })
	if uniform { // a row value, which an index on the fields can serve
		exprs := make([]string, len(order))
		for i, t := range order {
			exprs[i] = t.expr
		}
		return `(` + strings.Join(exprs, `, `) + `)` + beyond(order[0]) + `(` + binds(len(order)) + `)`, values, nil
	}
	var ways []string
	for i, t := range order {
		parts := make([]string, 0, i+1)
		for j := range i {
			parts = append(parts, order[j].expr+` = ?`)
			args = append(args, values[j])
		}
		parts = append(parts, t.expr+beyond(t)+`?`)
		args = append(args, values[i])
		ways = append(ways, `(`+strings.Join(parts, ` AND `)+`)`)
	}
	return `(` + strings.Join(ways, ` OR `) + `)`, args, nil
}

func beyond(t term) string {
	if t.desc {
		return ` < `
	}
	return ` > `
}

func placeValues(order []term, place evcs.PlaceAfter) ([]any, error) {
	if len(place.Values) != len(order)-1 {
		return nil, ErrCursor
	}
	values := make([]any, 0, len(order))
	for i, text := range place.Values {
		if order[i].text {
			values = append(values, text)
			continue
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, ErrCursor
		}
		values = append(values, n)
	}
	return append(values, place.ID), nil
}
