package store

import (
	"context"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// Frames reads the raw evidence of device messages.
type Frames struct{ q querier }

// Frames reads the raw evidence of device messages.
func (r Reader) Frames() Frames { return Frames(r) }

// FrameFilter is station.FrameFilter.
type FrameFilter = station.FrameFilter

const frameColumns = `f.id, f.tenant_id, f.charger_id, f.at, f.out, f.protocol, f.type, f.session_uid, f.message_id, f.raw, f.outcome`

func scanFrame(r row) (evcs.Frame, error) {
	var f evcs.Frame
	var at int64
	err := r.Scan(&f.ID, &f.Tenant, &f.Charger, &at, &f.Out, &f.Protocol, &f.Type, &f.Session, &f.MessageID, &f.Raw, &f.Outcome)
	f.Time = evcs.FromMillis(at)
	return f, err
}

// FramePage lists frames, newest first.
func (s Frames) FramePage(ctx context.Context, scope evcs.Scope, want FrameFilter, r evcs.PageRequest) (evcs.Page[evcs.Frame], error) {
	var f filter
	f.scope("f.tenant_id", scope)
	if want.Charger != 0 {
		f.add("f.charger_id = ?", want.Charger)
	}
	if want.In != want.Out {
		f.add("f.out = ?", want.Out)
	}
	among(&f, "f.type", want.Types)
	f.exact("f.session_uid", want.Session)
	f.within("f.at", want.From, want.To)
	return page(ctx, s.q, listing[evcs.Frame]{
		what: "list frames", columns: frameColumns, from: "frames f", id: "f.id", scan: scanFrame,
		sorts: map[string]sortColumn{"messageId": {expr: "f.id"}, "time": {expr: "f.at"}},
	}, f, r)
}

// FrameCount is station.FrameCount.
type FrameCount = station.FrameCount

// FrameCounts counts the frames received in a scope by protocol and type, and tells
// when the oldest came, in milliseconds.
func (s Frames) FrameCounts(ctx context.Context, scope evcs.Scope) (counts []FrameCount, since int64, err error) {
	in, tenant := scopeCond("tenant_id", scope)
	err = s.q.rows(ctx, "count frames", func(rows row) error {
		var c FrameCount
		var first int64
		err := rows.Scan(&c.Protocol, &c.Type, &c.Count, &first)
		if since == 0 || first < since {
			since = first
		}
		counts = append(counts, c)
		return err
	}, `SELECT protocol, type, COUNT(*), MIN(at) FROM frames WHERE NOT out AND `+in+` GROUP BY protocol, type ORDER BY protocol, type`, tenant)
	return counts, since, err
}

// NewestFrame is the id of the newest frame received of the charger; zero when it has none.
func (s Frames) NewestFrame(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID) (int64, error) {
	in, tenant := scopeCond("tenant_id", scope)
	var id int64
	err := s.q.one(ctx, "newest frame", nil, []any{&id},
		`SELECT id FROM frames WHERE charger_id = ? AND NOT out AND `+in+` ORDER BY at DESC, id DESC LIMIT 1`, charger, tenant)
	return id, err
}
