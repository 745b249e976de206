package store

import (
	"context"
	"strings"

	"github.com/evcs/evcs/internal/evcs"
)

// EventFilter narrows a reading of events; zero fields keep all. A type may end
// in ".*".
type EventFilter struct {
	Types   []string
	Station evcs.StationID
	Charger evcs.ChargerID
}

// Events returns up to n published events of a scope behind a place, oldest
// first.
func (r Reader) Events(ctx context.Context, scope evcs.Scope, w EventFilter, after evcs.EventID, n int) ([]evcs.Event, error) {
	var f filter
	f.scope("tenant_id", scope)
	f.add("seq > ?", after)
	if w.Station != 0 {
		f.add("station_id = ?", w.Station)
	}
	if w.Charger != 0 {
		f.add("charger_id = ?", w.Charger)
	}
	if len(w.Types) > 0 {
		conds := make([]string, len(w.Types))
		args := make([]any, len(w.Types))
		for i, kind := range w.Types {
			conds[i], args[i] = "type = ?", kind
			if family, ok := strings.CutSuffix(kind, ".*"); ok {
				conds[i], args[i] = "type LIKE ?", family+".%"
			}
		}
		f.add("("+strings.Join(conds, " OR ")+")", args...)
	}
	var list []evcs.Event
	err := r.q.rows(ctx, "read events", func(rows row) error {
		e, err := scanEvent(rows)
		list = append(list, e)
		return err
	}, `SELECT `+eventColumns+` FROM outbox`+f.where()+` ORDER BY seq LIMIT ?`, append(f.args, n)...)
	return list, err
}
