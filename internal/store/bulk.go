package store

import (
	"context"
	"fmt"
	"math/bits"
	"strings"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/span"
)

// The tables whose rows are only added. Their rows gather in the transaction
// (on SQLite: in the batch) and are written many to a statement before its
// commit, or before a statement that names their table.
const (
	bulkFrames = iota
	bulkSamples
	bulkOutbox
	bulkTimeline
	bulkLines
	bulkPostings
	bulkTables
)

// bulkTable is one of them.
type bulkTable struct {
	name    string
	columns string
	width   int
	tail    string
	texts   [maxBulkBits + 1]string // for 1, 2, 4 … rows
}

// A statement adds at most 64 rows: few texts, and few enough binds.
const maxBulkBits = 6

var bulkKinds = [bulkTables]*bulkTable{
	bulkFrames:  newBulkTable("frames", "tenant_id, charger_id, at, out, protocol, type, session_uid, message_id, raw, outcome", ""),
	bulkSamples: newBulkTable("samples", "session_id, at, tenant_id, have, register, energy, power, voltage, current, soc, temperature", " ON CONFLICT (session_id, at) DO NOTHING"),
	bulkOutbox: newBulkTable("outbox",
		"seq, type, at, tenant_id, station_id, charger_id, connector_no, order_id, order_no, session_uid, data, trace", ""),
	bulkTimeline: newBulkTable("order_timeline", "tenant_id, order_id, at, event, from_status, to_status, by_whom, detail", ""),
	bulkLines: newBulkTable("order_lines", `order_id, line_no, tenant_id, kind, period_kind, from_at, to_at, energy, energy_price, service_price,
		minutes, minute_price, electricity_amount, service_amount, amount, reason`, ""),
	bulkPostings: newBulkTable("postings", "entry_id, line_no, tenant_id, account_id, amount", ""),
}

func newBulkTable(name, columns, tail string) *bulkTable {
	t := &bulkTable{name: name, columns: columns, width: strings.Count(columns, ",") + 1, tail: tail}
	row := "(" + binds(t.width) + ")"
	for i := range t.texts {
		n := 1 << i
		t.texts[i] = "INSERT INTO " + name + " (" + columns + ") VALUES " + strings.TrimSuffix(strings.Repeat(row+", ", n), ", ") + tail
		dollarTexts.Store(t.texts[i], turnDollars(t.texts[i])) // many binds, but few texts
	}
	return t
}

// bulk is the rows of one transaction or batch that are not written yet.
type bulk struct {
	cells [bulkTables][]cell
	have  uint8 // a bit for each table with rows
	// events are what outbox rows tell, with their places once these are given:
	// for those who listen in this process.
	events []evcs.Event
	// named remembers which tables a text names; nil remembers nothing.
	named map[string]uint8
	// place gives n events their places in the published sequence and returns
	// the first; nil where the relay does that after the commit.
	place    func(ctx context.Context, n int) (int64, error)
	accounts *accounts
	clock    evcs.Clock
	opened   bool // an account was opened
	changed  bool // settings were changed: the mark goes up at the end
}

// maxNamed bounds the texts that are remembered.
const maxNamed = 2000

func (b *bulk) add(table int, row ...cell) {
	b.cells[table] = append(b.cells[table], row...)
	b.have |= 1 << table
}

// clear drops everything.
func (b *bulk) clear() {
	b.drop(0)
	b.opened, b.changed = false, false
}

// drop drops what is not written, and the events behind the first n.
func (b *bulk) drop(n int) {
	clear(b.events[n:])
	b.events = b.events[:n]
	for i := range b.cells {
		clear(b.cells[i]) // lets go of the texts
		b.cells[i] = b.cells[i][:0]
	}
	b.have = 0
}

// touched is the tables with rows that a text names.
func (b *bulk) touched(query string) uint8 {
	if b.have == 0 {
		return 0
	}
	mask, known := b.named[query]
	if !known {
		for i, t := range bulkKinds {
			if names(query, t.name) {
				mask |= 1 << i
			}
		}
		if b.named != nil && len(b.named) < maxNamed {
			b.named[strings.Clone(query)] = mask
		}
	}
	return mask & b.have
}

// names reports whether a text reads or writes a table. Columns may be
// called like it: sessions has one that is called samples.
func names(query, table string) bool {
	for rest := query; ; {
		before, after, found := strings.Cut(rest, table)
		if !found {
			return false
		}
		rest = after
		before = strings.TrimRight(before, " \t\n")
		for _, word := range [...]string{"FROM", "JOIN", "INTO", "UPDATE"} {
			if strings.HasSuffix(before, word) {
				return true
			}
		}
	}
}

// holds reports whether a row that begins with a number waits in a table.
func (b *bulk) holds(table int, first int64) bool {
	width := bulkKinds[table].width
	for i := 0; i < len(b.cells[table]); i += width {
		if b.cells[table][i].n == first {
			return true
		}
	}
	return false
}

// settle writes the rows of the tables that a text is about to name.
func (q querier) settle(ctx context.Context, query string) error {
	if q.bulk == nil {
		return nil
	}
	return q.flush(ctx, q.bulk.touched(query))
}

const everyTable = 1<<bulkTables - 1

// finish writes what a transaction still owes.
func (q querier) finish(ctx context.Context) error {
	if err := q.flush(ctx, everyTable); err != nil {
		return err
	}
	return q.countChange(ctx)
}

// flush writes the waiting rows of tables.
func (q querier) flush(ctx context.Context, mask uint8) error {
	for mask &= q.bulk.have; mask != 0; mask &= mask - 1 {
		if err := q.flushTable(ctx, bits.TrailingZeros8(mask)); err != nil {
			return err
		}
	}
	return nil
}

func (q querier) flushTable(ctx context.Context, table int) error {
	t, rows := bulkKinds[table], q.bulk.cells[table]
	if table == bulkOutbox && q.bulk.place != nil {
		first, err := q.bulk.place(ctx, len(rows)/t.width)
		if err != nil {
			return err
		}
		events := q.bulk.events[len(q.bulk.events)-len(rows)/t.width:]
		for i := range events {
			rows[i*t.width] = whole(first)
			events[i].ID = evcs.EventID(first)
			first++
		}
	}
	for len(rows) > 0 {
		size := min(bits.Len(uint(len(rows)/t.width))-1, maxBulkBits) //nolint:gosec // a length
		n := t.width << size
		if _, err := q.execCells(ctx, "insert "+t.name, t.texts[size], rows[:n]); err != nil {
			return err
		}
		rows = rows[n:]
	}
	clear(q.bulk.cells[table])
	q.bulk.cells[table] = q.bulk.cells[table][:0]
	q.bulk.have &^= 1 << table
	return nil
}

// direct is a conn that takes cells as they are.
type direct interface {
	execCells(ctx context.Context, query string, args []cell) (int64, error)
	numberCells(ctx context.Context, query string, args []cell) (n int64, found bool, err error)
}

// execCells is exec for cells of a statement whose effect nobody asks for: on
// PostgreSQL it may run later and then returns 0.
func (q querier) execCells(ctx context.Context, what, query string, args []cell) (n int64, err error) {
	ctx, end := span.Begin(ctx, span.SQL, what)
	defer func() { end(err) }()
	if p, ok := q.c.(*pipe); ok && p.later(what, dollars(query), args, false) {
		return 0, nil
	}
	if d, ok := q.c.(direct); ok {
		n, err := d.execCells(ctx, query, args)
		return n, translate(what, err)
	}
	values := make([]any, len(args))
	for i := range args {
		values[i] = args[i].value()
	}
	res, err := q.c.ExecContext(ctx, q.text(query), values...)
	if err != nil {
		return 0, translate(what, err)
	}
	n, err = res.RowsAffected()
	return n, translate(what, err)
}

// alter is a compare-and-swap: it returns how many rows have moved, at most one.
// On PostgreSQL it may run later and then returns 1, see pipe.
func (q querier) alter(ctx context.Context, what, query string, args ...cell) (int64, error) {
	if err := q.settle(ctx, query); err != nil {
		return 0, err
	}
	if p, ok := q.c.(*pipe); ok && p.later(what, dollars(query), args, true) {
		return 1, nil
	}
	return q.execCells(ctx, what, query, args)
}

// number runs a statement that returns a number in its first row, or missing.
func (q querier) number(ctx context.Context, what string, missing error, query string, args ...cell) (int64, error) {
	if err := q.settle(ctx, query); err != nil {
		return 0, err
	}
	if d, ok := q.c.(direct); ok {
		ctx, end := span.Begin(ctx, span.SQL, what)
		n, found, err := d.numberCells(ctx, query, args)
		end(err)
		if err != nil {
			return 0, translate(what, err)
		}
		if !found {
			return 0, fmt.Errorf("%s: %w", what, missing)
		}
		return n, nil
	}
	values := make([]any, len(args))
	for i := range args {
		values[i] = args[i].value()
	}
	var n int64
	err := q.one(ctx, what, missing, []any{&n}, query, values...)
	return n, err
}
