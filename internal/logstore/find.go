package logstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
)

// parse reads a stored line; false when it is none.
func parse(line []byte) (health.LogLine, bool) {
	line = bytes.TrimRight(line, "\n")
	var s stored
	if json.Unmarshal(line, &s) != nil || s.ID <= 0 {
		return health.LogLine{}, false
	}
	at, err := time.Parse(timeForm, s.Time)
	if err != nil {
		return health.LogLine{}, false
	}
	l := health.LogLine{
		ID: s.ID, Time: at, Service: s.Service, Logger: s.Logger, Message: s.Message, Attributes: s.Attributes, Line: string(line),
		Tenant: evcs.TenantID(orZero(s.Tenant)), User: evcs.UserID(orZero(s.User)), Charger: evcs.ChargerID(orZero(s.Charger)),
		Order: evcs.OrderID(orZero(s.Order)),
	}
	if s.Trace != nil {
		l.Trace = *s.Trace
	}
	return l, l.Level.UnmarshalText([]byte(s.Level)) == nil
}

func orZero[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// finder is a query made ready to look at many lines.
type finder struct {
	health.LogQuery
	place   health.LogPlace
	keyword []byte   // in lower case; nil: none, or one that JSON would write differently
	words   [][]byte // every line that is wanted has one of each
	levels  [][]byte
}

func newFinder(q health.LogQuery, place health.LogPlace) *finder {
	f := &finder{LogQuery: q, place: place}
	f.Keyword = strings.ToLower(q.Keyword)
	if !strings.ContainsAny(f.Keyword, "\\\"") && f.Keyword != "" {
		f.keyword = []byte(f.Keyword)
	}
	if q.Trace != "" {
		f.words = append(f.words, []byte(`"traceId":"`+q.Trace+`"`))
	}
	if q.Service != "" {
		f.words = append(f.words, []byte(`"serviceName":"`+q.Service+`"`))
	}
	if !q.AnyLevel {
		for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			if l >= q.Level {
				f.levels = append(f.levels, []byte(`"level":"`+levelName(l)+`"`))
			}
		}
	}
	return f
}

// wants reports whether a segment may hold lines that are looked for.
func (f *finder) wants(g segment) bool {
	return (f.From.IsZero() || g.To >= f.From.UnixMilli()) && (f.To.IsZero() || g.From < f.To.UnixMilli()) && f.beyondSegment(g)
}

func (f *finder) beyondSegment(g segment) bool {
	switch {
	case f.place.After == 0:
		return true
	case f.place.OldestFirst:
		return g.Last > f.place.After
	}
	return g.First < f.place.After
}

// match reads a line that is looked for.
func (f *finder) match(line []byte) (health.LogLine, bool) {
	for _, w := range f.words {
		if !bytes.Contains(line, w) {
			return health.LogLine{}, false
		}
	}
	if f.levels != nil && !slices.ContainsFunc(f.levels, func(l []byte) bool { return bytes.Contains(line, l) }) {
		return health.LogLine{}, false
	}
	if f.keyword != nil && !bytes.Contains(bytes.ToLower(line), f.keyword) {
		return health.LogLine{}, false
	}
	l, ok := parse(line)
	return l, ok && f.right(&l)
}

// right looks at the fields themselves.
func (f *finder) right(l *health.LogLine) bool {
	switch {
	case !f.AnyLevel && l.Level < f.Level,
		f.Service != "" && l.Service != f.Service,
		f.Trace != "" && l.Trace != f.Trace,
		!f.From.IsZero() && l.Time.Before(f.From),
		!f.To.IsZero() && !l.Time.Before(f.To),
		f.place.After > 0 && f.place.OldestFirst && l.ID <= f.place.After,
		f.place.After > 0 && !f.place.OldestFirst && l.ID >= f.place.After,
		f.May != nil && (l.Tenant == 0 || !f.May(l.Tenant)):
		return false
	}
	return f.Keyword == "" || strings.Contains(strings.ToLower(l.Message), f.Keyword) || f.inAttributes(l.Attributes)
}

// inAttributes looks for the keyword in the values, not in the names.
func (f *finder) inAttributes(text json.RawMessage) bool {
	var v any
	return json.Unmarshal(text, &v) == nil && f.inValue(v)
}

func (f *finder) inValue(v any) bool {
	switch x := v.(type) {
	case map[string]any:
		for _, inner := range x {
			if f.inValue(inner) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(x, f.inValue)
	case string:
		return strings.Contains(strings.ToLower(x), f.Keyword)
	case nil:
	default:
		text, err := json.Marshal(x)
		return err == nil && strings.Contains(string(text), f.Keyword)
	}
	return false
}

// Find answers which kept lines fit a query. It ends with ctx.
func (s *Store) Find(ctx context.Context, q health.LogQuery, place health.LogPlace) (health.LogsFound, error) {
	f := newFinder(q, place)
	s.mu.Lock()
	segments := slices.Clone(s.segments)
	s.mu.Unlock()
	if !place.OldestFirst {
		slices.Reverse(segments)
	}
	var found health.LogsFound
	for _, g := range segments {
		if err := ctx.Err(); err != nil {
			return found, err
		}
		if !f.wants(g) {
			continue
		}
		done, err := f.look(s.path(g, lineSuffix), g.Bytes, &found)
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped meanwhile
		}
		if err != nil || done {
			return found, err
		}
	}
	return found, nil
}

// look searches one segment and says whether enough was found.
func (f *finder) look(path string, size int64, found *health.LogsFound) (done bool, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	text = text[:min(int64(len(text)), size)] // what is written meanwhile may be half a line
	for len(text) > 0 {
		var line []byte
		if f.place.OldestFirst {
			end := bytes.IndexByte(text, '\n') + 1
			if end == 0 {
				return false, nil
			}
			line, text = text[:end], text[end:]
		} else {
			begin := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
			line, text = text[begin:], text[:begin]
		}
		if l, ok := f.match(line); ok && f.take(l, found) {
			return true, nil
		}
	}
	return false, nil
}

// take counts a found line, keeps it when it lies in the part that is asked
// for, and says whether enough is known.
func (f *finder) take(l health.LogLine, found *health.LogsFound) bool {
	if found.Total == health.LogTotalCap {
		found.Capped = true
	} else {
		found.Total++
	}
	switch seen := f.place.Skip; {
	case seen > 0:
		f.place.Skip--
	case len(found.Lines) < f.place.N:
		found.Lines = append(found.Lines, l)
	default:
		found.More = true
	}
	return found.More && (!f.place.Count || found.Capped)
}
