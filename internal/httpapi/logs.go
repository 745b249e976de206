package httpapi

import (
	"context"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
)

// LogFinder finds kept log lines of this node.
type LogFinder interface {
	Find(ctx context.Context, q health.LogQuery, place health.LogPlace) (health.LogsFound, error)
}

// Logs are the operations of the local logs.
type Logs struct {
	Find  LogFinder
	Clock evcs.Clock

	s *Server
}

const (
	seeLogs  evcs.Permission = "monitoring:log"
	logsSpan                 = 7 * 24 * time.Hour
	// searchLimit is how long a search may read files.
	searchLimit = 10 * time.Second
	tailLines   = 100
)

// LogFilter narrows log lines.
type LogFilter struct {
	Service string `query:"serviceName" maxLength:"50" doc:"Exact"`
	Level   string `query:"level" enum:"DEBUG,INFO,WARN,ERROR" doc:"This level and above"`
	Keyword string `query:"keyword" maxLength:"100" doc:"In the message or in the value of an attribute"`
}

type tailFilter struct {
	Target
	LogFilter
	Lines   Opt[int]   `query:"lines" minimum:"1" maximum:"1000" doc:"Default 100"`
	AfterID Opt[int64] `query:"afterId" minimum:"0" doc:"Only lines with a greater logId, oldest of them first; without it the newest"`
}

type searchFilter struct {
	Paging
	LogFilter
	Trace string        `query:"traceId" maxLength:"64" pattern:"^[A-Za-z0-9._-]*$"`
	From  Opt[api.Time] `query:"startTime" doc:"Default: 1 h before endTime"`
	To    Opt[api.Time] `query:"endTime" doc:"Default: now"`
}

func (l Logs) register(s *Server) {
	l.s = s
	register(s, observing("tailLogs", "logs/realtime", seeLogs, "The newest lines of this node's log",
		"Newest last. With afterId the lines that follow it, so that a reader who goes on from the last logId misses none. "+
			"Without monitoring:system only lines that name a tenant in scope. Each node keeps its own log.", evcs.CodeTenantNotFound), l.tail)
	search := observing("searchLogs", "logs/search", seeLogs, "Search this node's log",
		"Newest first. total is exact up to 10 000. Without monitoring:system only lines that name a tenant in scope. "+
			"Secrets, tokens, signatures, phone numbers and payer ids were masked before a line was written.", evcs.CodeTenantNotFound)
	search.paged, search.Sorts = true, []string{"logId", "time"}
	register(s, search, l.search)
}

// query words the filter. Who may not see the system sees the lines of the
// tenants in scope; who may sees all, unless a tenant or a scope is asked for.
func (l Logs) query(ctx context.Context, a *evcs.Actor, t *Target, f LogFilter) (health.LogQuery, error) {
	q := health.LogQuery{Service: f.Service, Keyword: f.Keyword, AnyLevel: f.Level == ""}
	if f.Level != "" {
		if err := q.Level.UnmarshalText([]byte(f.Level)); err != nil {
			return q, evcs.Invalid(evcs.FieldFault{Field: "level", Message: "is not a level"})
		}
	}
	scope, err := t.Scope(ctx, a)
	if err != nil {
		return q, err
	}
	if !a.May(seeSystem) || t.TenantID.Set || t.TenantScope != "" {
		q.May = l.within(ctx, scope)
	}
	return q, nil
}

// within answers whether a tenant lies in a scope, asking for each once.
func (l Logs) within(ctx context.Context, scope evcs.Scope) func(evcs.TenantID) bool {
	known := map[evcs.TenantID]bool{scope.Tenant: true}
	return func(t evcs.TenantID) bool {
		in, asked := known[t]
		if !asked && scope.Descendants {
			below, err := l.s.cfg.Tree.Below(ctx, scope.Tenant, t)
			in = err == nil && below
			known[t] = in
		}
		return in
	}
}

func (l Logs) tail(ctx context.Context, a *evcs.Actor, in *tailFilter) (*[]string, error) {
	q, err := l.query(ctx, a, &in.Target, in.LogFilter)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, searchLimit)
	defer cancel()
	found, err := l.Find.Find(ctx, q, health.LogPlace{OldestFirst: in.AfterID.Set, After: in.AfterID.Value, N: in.Lines.Or(tailLines)})
	if err != nil {
		return nil, err
	}
	lines := make([]string, len(found.Lines))
	for i, line := range found.Lines {
		if in.AfterID.Set {
			lines[i] = line.Line
		} else {
			lines[len(lines)-1-i] = line.Line
		}
	}
	return &lines, nil
}

func (l Logs) search(ctx context.Context, a *evcs.Actor, in *searchFilter) (*api.LogPage, error) {
	q, err := l.query(ctx, a, &in.Target, in.LogFilter)
	if err != nil {
		return nil, err
	}
	q.Trace, q.To = in.Trace, l.Clock.Now().Add(time.Millisecond) // this moment included
	if in.To.Set {
		q.To = in.To.Value.Std()
	}
	q.From = q.To.Add(-time.Hour)
	if in.From.Set {
		q.From = in.From.Value.Std()
	}
	switch {
	case !q.From.Before(q.To):
		return nil, evcs.Invalid(evcs.FieldFault{Field: "endTime", Message: "must be after startTime"})
	case q.To.Sub(q.From) > logsSpan:
		return nil, evcs.Invalid(evcs.FieldFault{Field: "endTime", Message: "is more than 7 days after startTime"})
	}
	req, err := in.request()
	if err != nil {
		return nil, err
	}
	place := health.LogPlace{OldestFirst: len(req.Sort) > 0 && !req.Sort[0].Desc, N: req.Size, Count: !req.Keyset}
	if req.After != nil {
		place.After = req.After.ID
	}
	if !req.Keyset {
		place.Skip = int64(req.Page-1) * int64(req.Size)
	}
	ctx, cancel := context.WithTimeout(ctx, searchLimit)
	defer cancel()
	found, err := l.Find.Find(ctx, q, place)
	if err != nil {
		return nil, err
	}
	records := listOf(found.Lines, logJSON)
	if !req.Keyset {
		return &api.LogPage{Page: api.NumberedPage(records, found.Total, req.Page, req.Size), TotalCapped: found.Capped}, nil
	}
	next := ""
	if n := len(found.Lines); found.More && n > 0 {
		next = makeCursor(evcs.PlaceAfter{ID: found.Lines[n-1].ID}, in.x.queryMark())
	}
	return &api.LogPage{Page: api.CursorPage(records, req.Size, next)}, nil
}

func logJSON(l health.LogLine) api.LogLine {
	return api.LogLine{
		LogID: l.ID, Time: api.AtMS(l.Time), Level: logLevel(l.Level), ServiceName: l.Service, Logger: l.Logger, Message: l.Message,
		TraceID: textOrNil(l.Trace), TenantID: idOrNil(l.Tenant), UserID: idOrNil(l.User), ChargerID: idOrNil(l.Charger), OrderID: idOrNil(l.Order),
		Attributes: l.Attributes, Line: l.Line,
	}
}

// logLevel is one of the contract's four.
func logLevel(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError:
		return "WARN"
	}
	return "ERROR"
}
