package httpapi

import (
	"context"
	"net/http"
	"strconv"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
)

// SessionReader reads sessions; store.Orders satisfies it.
type SessionReader interface {
	SessionPage(ctx context.Context, scope evcs.Scope, w order.SessionFilter, r evcs.PageRequest) (evcs.Page[order.ListedSession], error)
	ListedSession(ctx context.Context, scope evcs.Scope, uid string) (order.ListedSession, error)
	EachSample(ctx context.Context, x *order.Session, from, to int64, f func(evcs.Sample)) error
	CountSamples(ctx context.Context, x *order.Session, from, to int64) (int64, error)
}

// Sessions are the operations of sessions and their curves.
type Sessions struct {
	Read     SessionReader
	Orders   Orders
	Chargers ChargerReader
	Engine   *charging.Engine
}

type sessionPath struct {
	SessionID string `path:"sessionId" minLength:"1" maxLength:"64"`
}

// SessionTerms is what narrows the list of a connector's sessions.
type SessionTerms struct {
	Paging
	StationID Opt[evcs.StationID] `query:"stationId" minimum:"1"`
	UserID    Opt[int64]          `query:"userId" minimum:"1"`
	State     []string            `query:"state" maxItems:"4" enum:"ACTIVE,SUSPENDED,ENDED,ORPHAN"`
	Anomaly   string              `query:"anomaly" maxLength:"40"`
	StartTime Opt[api.Time]       `query:"startTime"`
	EndTime   Opt[api.Time]       `query:"endTime"`
}

// SessionQuery is what narrows a list of sessions.
type SessionQuery struct {
	SessionTerms
	ChargerID   Opt[evcs.ChargerID] `query:"chargerId" minimum:"1"`
	ConnectorNo Opt[int]            `query:"connectorNo" minimum:"1" maximum:"32"`
}

type connectorSessions struct {
	connectorPath
	SessionTerms
}

func (f *connectorSessions) pagingInput() *Paging { return &f.Paging }

func (p Sessions) register(s *Server) {
	sorts := []string{"createTime", "startTime", "stopTime"}
	registerList(s, operation{
		ID: "listSessions", Path: "/api/session", Group: "session", Permission: "session:query", Summary: "What devices did", Sorts: sorts,
	}, p.list)
	registerPages(s, operation{
		ID: "listConnectorSessions", Path: "/api/charger/{chargerId}/connectors/{connectorNo}/sessions", Group: "session", Permission: "session:query",
		Summary: "The sessions of a connector", Sorts: sorts, Errors: []evcs.Code{evcs.CodeChargerNotFound, evcs.CodeConnectorNotFound},
	}, p.ofConnector)
	op := func(id, method, path string, permission evcs.Permission, summary string, errors ...evcs.Code) operation {
		return operation{
			ID: id, Method: method, Path: "/api/session/{sessionId}" + path, Group: "session", Permission: permission, Summary: summary,
			Errors: append(errors, evcs.CodeSessionNotFound),
		}
	}
	register(s, op("getSession", http.MethodGet, "", "session:query", "One session"), p.get)
	curve := op("sessionCurve", http.MethodGet, "/curve", "session:query", "The readings of a session, thinned to maxPoints",
		evcs.CodeChargerNotFound, evcs.CodeConnectorNotFound)
	register(s, curve, p.curve)
	curve.ID, curve.Path = "connectorSessionCurve", "/api/charger/{chargerId}/connectors/{connectorNo}/sessions/{sessionId}/curve"
	register(s, curve, p.curveOfConnector)
	register(s, op("adoptSession", http.MethodPost, "/adopt", "session:manage", "Make an order of an orphan session",
		evcs.CodeSessionState, evcs.CodeNoBillingPlan), p.adopt)
	register(s, op("closeSession", http.MethodPost, "/close", "session:manage", "End a session whose device is gone", evcs.CodeSessionState), p.close)
}

func (p Sessions) list(ctx context.Context, a *evcs.Actor, in *SessionQuery, page evcs.PageRequest) (evcs.Page[api.Session], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Session]{}, err
	}
	w := in.wanted(a)
	w.Charger, w.Connector = in.ChargerID.Or(0), in.ConnectorNo.Or(0)
	found, err := p.Read.SessionPage(ctx, scope, w, page)
	return pageOf(found, sessionJSON), err
}

func (f *SessionTerms) wanted(a *evcs.Actor) order.SessionFilter {
	w := order.SessionFilter{Station: f.StationID.Or(0), User: f.UserID.Or(0), Anomaly: f.Anomaly}
	w.From, w.To = span(a, f.StartTime, f.EndTime)
	for _, state := range f.State {
		w.States = append(w.States, order.State(state))
	}
	return w
}

func (p Sessions) ofConnector(ctx context.Context, a *evcs.Actor, in *connectorSessions, page evcs.PageRequest) (evcs.Page[api.Session], error) {
	owner, err := p.connector(ctx, a, &in.connectorPath)
	if err != nil {
		return evcs.Page[api.Session]{}, err
	}
	if covered, err := in.covers(ctx, a, owner); err != nil || !covered {
		return evcs.Page[api.Session]{}, err
	}
	w := in.wanted(a)
	w.Charger, w.Connector = in.ChargerID, in.ConnectorNo
	found, err := p.Read.SessionPage(ctx, evcs.Only(owner), w, page)
	return pageOf(found, sessionJSON), err
}

// connector checks that the actor may see a connector and returns its owner.
func (p Sessions) connector(ctx context.Context, a *evcs.Actor, in *connectorPath) (evcs.TenantID, error) {
	if _, err := (Chargers{Read: p.Chargers}).connector(ctx, a, in); err != nil {
		return 0, err
	}
	c, err := p.Chargers.ChargerRow(ctx, evcs.Subtree(a.Tenant), in.ChargerID)
	if err != nil {
		return 0, err
	}
	return c.Tenant, nil
}

func (p Sessions) load(ctx context.Context, a *evcs.Actor, uid string) (order.ListedSession, error) {
	l, err := p.Read.ListedSession(ctx, evcs.Subtree(a.Tenant), uid)
	if err != nil {
		return l, err
	}
	return l, readable(ctx, a, l.Tenant)
}

func (p Sessions) get(ctx context.Context, a *evcs.Actor, in *sessionPath) (*api.Session, error) {
	l, err := p.load(ctx, a, in.SessionID)
	if err != nil {
		return nil, err
	}
	return api.Ptr(sessionJSON(l)), nil
}

// transactionID is what the device calls the session; nil until it has begun.
func transactionID(s *order.Session) *string {
	if !s.Begun() {
		return nil
	}
	return api.Ptr(strconv.FormatInt(s.ID, 10))
}

// CurveQuery is the part of a curve that is asked for.
type CurveQuery struct {
	StartTime Opt[api.Time] `query:"startTime"`
	EndTime   Opt[api.Time] `query:"endTime"`
	MaxPoints Opt[int]      `query:"maxPoints" minimum:"2" maximum:"5000" doc:"500 when absent"`
}

func (p Sessions) curve(ctx context.Context, a *evcs.Actor, in *struct {
	sessionPath
	CurveQuery
},
) (*api.Curve, error) {
	l, err := p.load(ctx, a, in.SessionID)
	if err != nil {
		return nil, err
	}
	return p.thinned(ctx, a, l.Session, in.CurveQuery)
}

func (p Sessions) curveOfConnector(ctx context.Context, a *evcs.Actor, in *struct {
	connectorPath
	sessionPath
	CurveQuery
},
) (*api.Curve, error) {
	if _, err := p.connector(ctx, a, &in.connectorPath); err != nil {
		return nil, err
	}
	l, err := p.load(ctx, a, in.SessionID)
	if err != nil {
		return nil, err
	}
	if l.Charger != in.ChargerID || l.Connector != in.ConnectorNo {
		return nil, order.SessionMissing(in.SessionID)
	}
	return p.thinned(ctx, a, l.Session, in.CurveQuery)
}

// thinned reads the curve with flat memory: it keeps the first and the last
// reading, and of each interval between them the one of the highest power.
func (p Sessions) thinned(ctx context.Context, a *evcs.Actor, s *order.Session, q CurveQuery) (*api.Curve, error) {
	from, to := span(a, q.StartTime, q.EndTime)
	total, err := p.Read.CountSamples(ctx, s, from, to)
	if err != nil {
		return nil, err
	}
	points := int64(q.MaxPoints.Or(500))
	out := &api.Curve{SessionID: s.UID, Total: total, Downsampled: total > points, Points: []api.Sample{}}
	t := thinner{total: total, buckets: max(points-2, 0), all: total <= points}
	if err := p.Read.EachSample(ctx, s, from, to, t.take); err != nil {
		return nil, err
	}
	for _, r := range t.kept {
		out.Points = append(out.Points, sampleJSON(r))
	}
	return out, nil
}

// thinner takes the readings of a curve in their order.
type thinner struct {
	total, buckets, n int64
	all               bool
	bucket            int64
	kept              []evcs.Sample
}

func (t *thinner) take(r evcs.Sample) {
	i := t.n
	t.n++
	if t.all || i == 0 || i == t.total-1 {
		t.kept = append(t.kept, r)
		return
	}
	if t.buckets == 0 {
		return
	}
	bucket := 1 + (i-1)*t.buckets/(t.total-2)
	if bucket != t.bucket {
		t.bucket = bucket
		t.kept = append(t.kept, r)
		return
	}
	if last := &t.kept[len(t.kept)-1]; r.Power > last.Power {
		*last = r
	}
}

func sampleJSON(r evcs.Sample) api.Sample {
	return api.Sample{
		Time: api.AtMS(r.At), Meter: measured(r, evcs.HasRegister, api.KWh(r.Register)), Energy: api.KWh(r.Energy),
		Power: measured(r, evcs.HasPower, api.Measure(r.Power)), Voltage: measured(r, evcs.HasVoltage, api.Measure(r.Voltage)),
		Current: measured(r, evcs.HasCurrent, api.Measure(r.Current)), SoC: measured(r, evcs.HasSoC, api.Measure(r.SoC)),
		Temperature: measured(r, evcs.HasTemperature, api.Measure(r.Temperature)),
	}
}

func (p Sessions) adopt(ctx context.Context, a *evcs.Actor, in *struct {
	sessionPath
	Body api.AdoptSession
},
) (*api.Order, error) {
	l, err := p.Read.ListedSession(ctx, evcs.Subtree(a.Tenant), in.SessionID)
	if err != nil {
		return nil, err
	}
	if err := writable(a, l.Tenant); err != nil {
		return nil, err
	}
	o, err := p.Engine.Adopt(ctx, a, l.Session, charging.Adoption{
		Reason: in.Body.Reason, User: orZero(in.Body.UserID), Plan: evcs.PlanID(orZero(in.Body.BillingPlanID)),
	})
	if err != nil {
		return nil, err
	}
	return p.Orders.whole(ctx, a, o.ID)
}

func (p Sessions) close(ctx context.Context, a *evcs.Actor, in *struct {
	sessionPath
	Body api.CloseSession
},
) (*api.Order, error) {
	l, err := p.Read.ListedSession(ctx, evcs.Subtree(a.Tenant), in.SessionID)
	if err != nil {
		return nil, err
	}
	if err := writable(a, l.Tenant); err != nil {
		return nil, err
	}
	b := in.Body
	if b.MeterStop != nil && b.Energy != nil {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "energy", Message: "and meterStop are given one at a time"})
	}
	c := charging.Closing{Reason: b.Reason, MeterStop: (*evcs.Energy)(b.MeterStop), Energy: (*evcs.Energy)(b.Energy)}
	if b.StopTime != nil {
		c.StopTime = b.StopTime.In(a.Zone)
	}
	o, err := p.Engine.Close(ctx, a, l.Session, c)
	if err != nil {
		return nil, err
	}
	return p.Orders.whole(ctx, a, o.ID)
}
