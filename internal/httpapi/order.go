package httpapi

import (
	"context"
	"net/http"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/tariff"
)

// OrderReader reads orders; store.Orders satisfies it.
type OrderReader interface {
	OrderPage(ctx context.Context, scope evcs.Scope, w order.Filter, r evcs.PageRequest) (evcs.Page[order.Listed], error)
	ListedOrder(ctx context.Context, scope evcs.Scope, id evcs.OrderID) (order.Listed, error)
	OrderBySession(ctx context.Context, scope evcs.Scope, uid string) (*order.Order, error)
	RunningSessions(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID) ([]*order.Session, error)
	Lines(ctx context.Context, scope evcs.Scope, id evcs.OrderID) ([]tariff.Line, error)
	CountLines(ctx context.Context, scope evcs.Scope, w order.Filter) (int64, error)
	Timeline(ctx context.Context, scope evcs.Scope, id evcs.OrderID) ([]order.Entry, error)
}

// Orders are the operations of charging orders.
type Orders struct {
	Clock    evcs.Clock
	Read     OrderReader
	Chargers ChargerReader
	Engine   *charging.Engine
	Bills    charging.Bills
}

type orderPath struct {
	OrderID evcs.OrderID `path:"orderId"`
}

type orderFilter struct {
	Paging
	StationID   Opt[evcs.StationID] `query:"stationId" minimum:"1"`
	ChargerID   Opt[evcs.ChargerID] `query:"chargerId" minimum:"1"`
	ConnectorNo Opt[int]            `query:"connectorNo" minimum:"1" maximum:"32"`
	UserID      Opt[int64]          `query:"userId" minimum:"1"`
	Status      []int               `query:"status" maxItems:"7" enum:"0,1,2,10,11,12,13"`
	SessionID   string              `query:"sessionId" maxLength:"64" doc:"Exact"`
	OrderNo     string              `query:"orderNo" maxLength:"32"`
	StartTime   Opt[api.Time]       `query:"startTime" doc:"Of the start"`
	EndTime     Opt[api.Time]       `query:"endTime" doc:"Of the start"`
	PaidStart   Opt[api.Time]       `query:"paidStart"`
	PaidEnd     Opt[api.Time]       `query:"paidEnd"`
	Held        Opt[api.Flag]       `query:"held"`
	Anomaly     string              `query:"anomaly" maxLength:"40"`
	City        string              `query:"city" maxLength:"50" doc:"Exact"`
}

func (p Orders) register(s *Server) {
	p.registerReads(s)
	p.registerCharge(s)
	op := func(id, path string, permission evcs.Permission, summary string, errors ...evcs.Code) operation {
		return operation{
			ID: id, Method: http.MethodPost, Path: "/api/order/{orderId}/" + path, Group: "order", Permission: permission, Summary: summary,
			Errors: append(errors, evcs.CodeOrderNotFound),
		}
	}
	register(s, op("orderToPay", "to-pay", "order:manage", "Ask for the money; releases a hold", evcs.CodeOrderTransition), p.toPay)
	register(s, op("cancelOrder", "cancel", "order:manage", "Cancel an order, or waive its bill", evcs.CodeOrderTransition, evcs.CodeOrderHasPayment,
		evcs.CodeOrderHasEnergy, evcs.CodeChargerOffline, evcs.CodeCommandRejected, evcs.CodeCommandTimeout), p.cancel)
	register(s, op("adjustOrder", "adjust", "order:adjust", "Set the discount of an ended order", evcs.CodeOrderState, evcs.CodeOrderHasPayment), p.adjust)
	reprice := op("repriceOrder", "reprice", "order:adjust", "Price a held order by another plan; the answer holds the lines before and after", evcs.CodeOrderState, evcs.CodePlanNotFound)
	reprice.Description = "By the plan's present revision, whether it is enabled and in its dates or not; not by a plan of another station (9400)."
	register(s, reprice, p.reprice)
}

func (p Orders) registerReads(s *Server) {
	registerList(s, operation{
		ID: "listOrders", Path: "/api/order", Group: "order", Permission: "order:list", Summary: "Charging orders, without their lines",
		Sorts: []string{"orderId", "createTime", "startTime", "endTime", "paidTime", "amount", "energy"},
	}, p.list)
	register(s, operation{
		ID: "orderBySession", Method: http.MethodGet, Path: "/api/order/by-session", Group: "order", Permission: "order:query",
		Summary: "The order of a session", Errors: []evcs.Code{evcs.CodeOrderNotFound},
	}, p.bySession)
	register(s, operation{
		ID: "getOrder", Method: http.MethodGet, Path: "/api/order/{id}", Group: "order", Permission: "order:query",
		Summary: "One order with its lines", Errors: []evcs.Code{evcs.CodeOrderNotFound},
	}, p.get)
	register(s, operation{
		ID: "orderTimeline", Method: http.MethodGet, Path: "/api/order/{orderId}/timeline", Group: "order", Permission: "order:query",
		Summary: "What happened to an order", Errors: []evcs.Code{evcs.CodeOrderNotFound},
	}, p.timeline)
	register(s, operation{
		ID: "explainOrder", Method: http.MethodGet, Path: "/api/order/{orderId}/explain", Group: "order", Permission: "order:query",
		Summary: "Why an order costs what it does, line by line",
		Description: "Prices the session's readings again by the prices frozen at its start and names for every line the segment, the day's calendar, the readings at " +
			"the cuts and the sums. agrees tells whether that is what was billed.",
		Errors: []evcs.Code{evcs.CodeOrderNotFound},
	}, p.explain)
}

func (p Orders) list(ctx context.Context, a *evcs.Actor, in *orderFilter, page evcs.PageRequest) (evcs.Page[api.Order], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Order]{}, err
	}
	found, err := p.Read.OrderPage(ctx, scope, in.filter(a), page)
	return pageOf(found, orderJSON), err
}

// filter is what the input asks for, its times in the actor's zone.
func (in *orderFilter) filter(a *evcs.Actor) order.Filter {
	w := order.Filter{
		Station: in.StationID.Or(0), Charger: in.ChargerID.Or(0), Connector: in.ConnectorNo.Or(0), User: in.UserID.Or(0), Session: in.SessionID,
		No: in.OrderNo, Held: flagPtr(in.Held), Anomaly: in.Anomaly, City: in.City,
	}
	w.From, w.To = span(a, in.StartTime, in.EndTime)
	w.PaidFrom, w.PaidTo = span(a, in.PaidStart, in.PaidEnd)
	for _, status := range in.Status {
		w.Statuses = append(w.Statuses, order.Status(status))
	}
	return w
}

// whole is an order with its lines, as the actor may see it.
func (p Orders) whole(ctx context.Context, a *evcs.Actor, id evcs.OrderID) (*api.Order, error) {
	l, err := p.load(ctx, a, id)
	if err != nil {
		return nil, err
	}
	lines, err := p.Read.Lines(ctx, evcs.Only(l.Order.Tenant), id)
	if err != nil {
		return nil, err
	}
	return api.Ptr(orderWithLines(l, lines)), nil
}

func (p Orders) load(ctx context.Context, a *evcs.Actor, id evcs.OrderID) (order.Listed, error) {
	l, err := p.Read.ListedOrder(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return l, err
	}
	return l, readable(ctx, a, l.Order.Tenant)
}

// change loads an order that the actor may change.
func (p Orders) change(ctx context.Context, a *evcs.Actor, id evcs.OrderID) (*order.Order, error) {
	l, err := p.Read.ListedOrder(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	return l.Order, writable(a, l.Order.Tenant)
}

func (p Orders) get(ctx context.Context, a *evcs.Actor, in *struct {
	ID evcs.OrderID `path:"id"`
},
) (*api.Order, error) {
	return p.whole(ctx, a, in.ID)
}

func (p Orders) bySession(ctx context.Context, a *evcs.Actor, in *struct {
	SessionID string `query:"sessionId" required:"true" minLength:"1" maxLength:"64" doc:"Exact"`
},
) (*api.Order, error) {
	o, err := p.Read.OrderBySession(ctx, evcs.Subtree(a.Tenant), in.SessionID)
	if err != nil {
		return nil, evcs.With(err, map[string]any{"sessionId": in.SessionID})
	}
	return p.whole(ctx, a, o.ID)
}

func (p Orders) timeline(ctx context.Context, a *evcs.Actor, in *orderPath) (*[]api.TimelineEntry, error) {
	l, err := p.load(ctx, a, in.OrderID)
	if err != nil {
		return nil, err
	}
	list, err := p.Read.Timeline(ctx, evcs.Only(l.Order.Tenant), in.OrderID)
	return api.Ptr(listOf(list, func(e order.Entry) api.TimelineEntry {
		out := api.TimelineEntry{Time: api.AtMS(e.At), Event: e.Event, To: api.Ptr(int(e.To)), By: textOrNil(e.By), Detail: remark(e.Detail, inEnglish(ctx))}
		if e.From != order.None {
			out.From = api.Ptr(int(e.From))
		}
		return out
	})), err
}

func (p Orders) toPay(ctx context.Context, a *evcs.Actor, in *orderPath) (*api.Order, error) {
	o, err := p.change(ctx, a, in.OrderID)
	if err != nil {
		return nil, err
	}
	if _, err := p.Engine.ToPay(ctx, a, o); err != nil {
		return nil, err
	}
	return p.whole(ctx, a, in.OrderID)
}

func (p Orders) cancel(ctx context.Context, a *evcs.Actor, in *struct {
	orderPath
	Body *api.CancelOrder
},
) (*api.Order, error) {
	o, err := p.change(ctx, a, in.OrderID)
	if err != nil {
		return nil, err
	}
	reason := ""
	if in.Body != nil {
		reason = orZero(in.Body.Reason)
	}
	if reason == "" && o.Amount > 0 && o.Status != order.Charging && o.Status != order.Cancelled {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "reason", Message: "is required: the order has an amount"})
	}
	if _, err := p.Engine.CancelOrder(ctx, a, o, reason); err != nil {
		return nil, err
	}
	return p.whole(ctx, a, in.OrderID)
}

func (p Orders) adjust(ctx context.Context, a *evcs.Actor, in *struct {
	orderPath
	Body api.AdjustOrder
},
) (*api.Order, error) {
	o, err := p.change(ctx, a, in.OrderID)
	if err != nil {
		return nil, err
	}
	if _, err := p.Engine.Adjust(ctx, a, o, evcs.Money(in.Body.DiscountAmount), in.Body.Reason); err != nil {
		return nil, err
	}
	return p.whole(ctx, a, in.OrderID)
}

func (p Orders) reprice(ctx context.Context, a *evcs.Actor, in *struct {
	orderPath
	Body api.RepriceOrder
},
) (*api.RepricedOrder, error) {
	o, err := p.change(ctx, a, in.OrderID)
	if err != nil {
		return nil, err
	}
	dry := bool(orZero(in.Body.DryRun))
	made, err := p.Engine.Reprice(ctx, a, o, evcs.PlanID(in.Body.BillingPlanID), in.Body.Reason, dry)
	if err != nil {
		return nil, err
	}
	l, err := p.load(ctx, a, in.OrderID)
	if err != nil {
		return nil, err
	}
	l.Order = made.Order
	return &api.RepricedOrder{
		Order: orderWithLines(l, made.Lines), AmountBefore: api.Money(made.AmountBefore), LinesBefore: linesJSON(made.Before),
		Difference: api.Money(made.Order.Amount - made.AmountBefore),
	}, nil
}

func (p Orders) explain(ctx context.Context, a *evcs.Actor, in *orderPath) (*api.Explanation, error) {
	l, err := p.load(ctx, a, in.OrderID)
	if err != nil {
		return nil, err
	}
	x, err := p.Bills.Explain(ctx, l.Order)
	if err != nil {
		return nil, err
	}
	out := explanationJSON(x)
	out.OrderID, out.OrderNo = api.Ptr(int64(l.Order.ID)), &l.Order.No
	if !x.Running {
		out.BilledAmount = api.Ptr(api.Money(l.Order.Amount))
	}
	return out, nil
}
