package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/evcs/evcs/internal/evcs"
)

// Emit writes an event into the outbox of this transaction. It is published
// after the commit, never before.
func (tx *Tx) Emit(ctx context.Context, e evcs.Event) error {
	if e.Trace == "" {
		e.Trace = evcs.Trace(ctx)
	}
	tx.emitted = true
	tx.q.bulk.add(bulkOutbox, cell{}, words(e.Type), moment(e.Time), whole(e.Tenant), whole(e.Station), whole(e.Charger), whole(e.Connector),
		whole(e.Order), words(e.OrderNo), words(e.Session), textOf(e.Data), words(e.Trace))
	if tx.q.bulk.place != nil {
		tx.q.bulk.events = append(tx.q.bulk.events, e)
	}
	return nil
}

// KeepFrame keeps the raw evidence of a device message in the transaction of
// its effect.
func (tx *Tx) KeepFrame(ctx context.Context, f evcs.Frame) error {
	raw := f.Raw
	if raw == nil {
		raw = []byte{}
	}
	tx.q.bulk.add(bulkFrames, whole(f.Tenant), whole(f.Charger), moment(f.Time), truth(f.Out), words(f.Protocol), words(f.Type), words(f.Session),
		words(f.MessageID), blob(raw), words(f.Outcome))
	return nil
}

const outboxSequence = "outbox"

// Sequence gives the next n committed events that have none their place in the
// published sequence and returns how many there were. Because a place is given
// only after the event's commit, under the lock of the sequence, no event can
// appear before one that a reader has passed, on either engine.
func (db *DB) Sequence(ctx context.Context, n int) (int, error) {
	given := 0
	fresh := false
	if err := db.Reader().q.one(ctx, "look for fresh events", nil, []any{&fresh},
		`SELECT EXISTS (SELECT 1 FROM outbox WHERE seq IS NULL)`); err != nil || !fresh {
		return 0, err // no transaction for nothing
	}
	err := db.Transact(ctx, func(tx *Tx) error {
		given = 0
		var next int64
		if err := tx.q.one(ctx, "lock sequence", errNoSequence, []any{&next},
			`UPDATE sequences SET next = next WHERE name = ? RETURNING next`, outboxSequence); err != nil {
			return err
		}
		count, err := tx.q.exec(ctx, "sequence events", `
			WITH fresh AS (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS place FROM outbox WHERE seq IS NULL ORDER BY id LIMIT `+strconv.Itoa(n)+`)
			UPDATE outbox SET seq = ? + fresh.place FROM fresh WHERE outbox.id = fresh.id`, next-1)
		if err != nil || count == 0 {
			return err
		}
		given = int(count)
		_, err = tx.q.exec(ctx, "advance sequence", `UPDATE sequences SET next = next + ? WHERE name = ?`, count, outboxSequence)
		return err
	})
	return given, err
}

var errNoSequence = fmt.Errorf("the sequence %q is missing: the schema is damaged", outboxSequence)

const eventColumns = `seq, type, at, tenant_id, station_id, charger_id, connector_no, order_id, order_no, session_uid, data, trace`

func scanEvent(rows row) (evcs.Event, error) {
	var e evcs.Event
	var at int64
	var data string
	err := rows.Scan(&e.ID, &e.Type, &at, &e.Tenant, &e.Station, &e.Charger, &e.Connector, &e.Order, &e.OrderNo, &e.Session, &data, &e.Trace)
	e.Time, e.Data = evcs.FromMillis(at), []byte(data)
	return e, err
}

// Source is the outbox as the event relay reads it.
type Source struct{ db *DB }

// Source returns the outbox as the event relay reads it.
func (db *DB) Source() Source { return Source{db} }

// Sequence is DB.Sequence.
// SQLite's writer gives the places itself, so there it has only once something
// to do: what an older program left.
func (s Source) Sequence(ctx context.Context, n int) (int, error) {
	if s.db.writer != nil && s.db.swept.Load() {
		return 0, nil
	}
	given, err := s.db.Sequence(ctx, n)
	if err == nil && given == 0 {
		s.db.swept.Store(true)
	}
	return given, err
}

// EventsAfter is Reader.EventsAfter, from memory where it can.
func (s Source) EventsAfter(ctx context.Context, after evcs.EventID, n int) ([]evcs.Event, error) {
	if list := s.db.recent.after(after, n); len(list) > 0 {
		return list, nil
	}
	return s.db.Reader().EventsAfter(ctx, after, n)
}

// Newest is the newest place given; zero when there is none.
func (s Source) Newest(ctx context.Context) (evcs.EventID, error) {
	_, newest, err := s.db.Reader().EventBounds(ctx)
	return newest, err
}

// EventsAfter returns up to n published events behind after, oldest first,
// whoever's they are: the relay's view.
func (r Reader) EventsAfter(ctx context.Context, after evcs.EventID, n int) ([]evcs.Event, error) {
	var list []evcs.Event
	err := r.q.rows(ctx, "read events", func(rows row) error {
		e, err := scanEvent(rows)
		list = append(list, e)
		return err
	}, `SELECT `+eventColumns+` FROM outbox WHERE seq > ? ORDER BY seq LIMIT `+strconv.Itoa(n), after) // a bound limit is planned anew every time
	return list, err
}

// EventBounds returns the oldest and the newest published place, whoever's the
// events are: who resumes has missed nothing when the events behind its place
// are kept. Zero when there is none.
func (r Reader) EventBounds(ctx context.Context) (oldest, newest evcs.EventID, err error) {
	err = r.q.everywhere(ctx, func(ctx context.Context) error {
		return r.q.one(ctx, "read event bounds", nil, []any{&oldest, &newest},
			`SELECT COALESCE(MIN(seq), 0), COALESCE(MAX(seq), 0) FROM outbox WHERE seq IS NOT NULL`)
	})
	return oldest, newest, err
}

// OutboxAge is the time of the oldest event without a place, in milliseconds;
// 0 when all have one.
func (r Reader) OutboxAge(ctx context.Context) (int64, error) {
	var at int64
	err := r.q.one(ctx, "read outbox age", nil, []any{&at}, `SELECT COALESCE(MIN(at), 0) FROM outbox WHERE seq IS NULL`)
	return at, err
}

// PruneEvents deletes up to n published events older than before and returns
// how many.
func (tx *Tx) PruneEvents(ctx context.Context, before int64, n int) (int64, error) {
	return tx.q.exec(ctx, "prune events",
		`DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE seq IS NOT NULL AND at < ? ORDER BY id LIMIT ?)`, before, n)
}
