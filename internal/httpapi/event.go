package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/event"
)

// EventReader reads published events from the outbox.
type EventReader interface {
	ReadEvents(ctx context.Context, scope evcs.Scope, types []string, station evcs.StationID, charger evcs.ChargerID, after evcs.EventID, n int) ([]evcs.Event, error)
	EventBounds(ctx context.Context) (oldest, newest evcs.EventID, err error)
}

// Events are the operations of the event stream.
type Events struct {
	Read   EventReader
	Broker *event.Broker
	Guard  Guard
	Clock  evcs.Clock
	// Stopping ends every stream when it is closed.
	Stopping <-chan struct{}

	tickets *tickets
	streams *streamCount
	worded  *wordedEvents
	tree    Tree
}

// EventFilter is what events a caller wants.
type EventFilter struct {
	Target
	Types   []string            `query:"types" doc:"Types, comma separated; charger.* is every type of chargers" maxItems:"30"`
	Station Opt[evcs.StationID] `query:"stationId" minimum:"1"`
	Charger Opt[evcs.ChargerID] `query:"chargerId" minimum:"1"`
}

type listEvents struct {
	EventFilter
	After Opt[evcs.EventID] `query:"afterId" minimum:"0" doc:"Events behind this id; default: the oldest kept"`
	Size  Opt[int]          `query:"size" minimum:"1" maximum:"1000" doc:"Default 100"`
}

type streamEvents struct {
	EventFilter
	LastHeader string            `header:"Last-Event-ID" maxLength:"20"`
	Last       Opt[evcs.EventID] `query:"lastEventId" minimum:"0"`
	Ticket     string            `query:"ticket" maxLength:"100"`
}

func (e Events) register(s *Server) {
	e.tickets, e.streams, e.tree = newTickets(e.Clock), newStreamCount(s.cfg.Limits.StreamsPerTenant), s.cfg.Tree
	e.worded = &wordedEvents{texts: make(map[evcs.EventID][]byte)}
	if e.Guard == nil {
		e.Guard = s.cfg.Guard
	}
	register(s, operation{
		ID: "listEvents", Method: http.MethodGet, Path: "/api/events", Group: "events", Permission: "event:subscribe",
		Summary: "Events as a plain list, oldest first", Errors: []evcs.Code{evcs.CodeTenantNotFound},
	}, e.list)
	register(s, operation{
		ID: "createEventTicket", Method: http.MethodPost, Path: "/api/events/ticket", Group: "events", Permission: "event:subscribe",
		Summary: "A ticket that opens one stream within a minute, for clients that cannot set headers", Secret: true,
	}, e.ticket)
	registerRaw(s, operation{
		ID: "streamEvents", Method: http.MethodGet, Path: "/api/events/stream", Group: "events", Permission: "event:subscribe", Access: selfChecked,
		Summary: "Events as they happen (Server-Sent Events)", Content: "text/event-stream",
		Description: "id is the eventId, event the type, data the Event. Last-Event-ID replays what came after it; when that is no longer kept, one event `reset` says so.",
		Errors:      []evcs.Code{evcs.CodeTenantNotFound},
	}, e.stream)
}

func (e Events) list(ctx context.Context, a *evcs.Actor, in *listEvents) (*[]api.Event, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	found, err := e.Read.ReadEvents(ctx, scope, in.Types, in.Station.Value, in.Charger.Value, in.After.Value, in.Size.Or(100))
	if err != nil {
		return nil, err
	}
	list := listOf(found, eventJSON)
	return &list, nil
}

func (e Events) ticket(ctx context.Context, a *evcs.Actor, _ *struct{}) (*api.Ticket, error) {
	x := exchangeOf(ctx)
	_, bearer, _ := strings.Cut(x.r.Header.Get("Authorization"), " ")
	text, expires := e.tickets.make(a, bearer)
	return &api.Ticket{Ticket: text, ExpireTime: api.At(expires)}, nil
}

// wanted reports whether a type is one of the types asked for.
func wanted(types []string, kind string) bool {
	if len(types) == 0 {
		return true
	}
	for _, t := range types {
		if family, ok := strings.CutSuffix(t, "*"); t == kind || ok && strings.HasPrefix(kind, family) {
			return true
		}
	}
	return false
}

func eventJSON(e evcs.Event) api.Event {
	data := e.Data
	if len(data) == 0 {
		data = []byte("null")
	}
	return api.Event{
		EventID: int64(e.ID), Type: e.Type, Time: api.AtMS(e.Time), TenantID: idOrNil(e.Tenant), StationID: idOrNil(e.Station),
		ChargerID: idOrNil(e.Charger), ConnectorNo: numberOrNil(e.Connector), OrderID: idOrNil(e.Order),
		OrderNo: textOrNil(e.OrderNo), SessionID: textOrNil(e.Session), Data: data,
	}
}

// numberOrNil is the wire form of a number where zero means none.
func numberOrNil(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}
