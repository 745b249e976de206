package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/tenant"
)

// writable is nil when the actor may change what owner owns (5003).
func writable(a *evcs.Actor, owner evcs.TenantID) error { return tenant.Reach(a, owner, true) }

// waitOr is a wait in seconds, or the operation's own when absent.
func waitOr(seconds *int, other int) time.Duration {
	if seconds == nil {
		seconds = &other
	}
	return time.Duration(*seconds) * time.Second
}

// defaultWait is how long start, stop and reset wait when nothing is said.
const defaultWait = 30

var startErrors = []evcs.Code{
	evcs.CodeStationNotFound, evcs.CodeStationState, evcs.CodeChargerNotFound, evcs.CodeChargerState, evcs.CodeChargerOffline, evcs.CodeConnectorNotFound,
	evcs.CodeConnectorBusy, evcs.CodeChargerDisabled, evcs.CodeCommandRejected, evcs.CodeCommandTimeout, evcs.CodeIDTagRefused, evcs.CodeOrderState,
	evcs.CodeOrderCancelled, evcs.CodeSessionConflict, evcs.CodeNoBillingPlan, evcs.CodeQuotaExceeded,
}

var stopErrors = []evcs.Code{
	evcs.CodeOrderNotFound, evcs.CodeSessionNotFound, evcs.CodeChargerOffline, evcs.CodeCommandRejected, evcs.CodeCommandTimeout, evcs.CodeOrderCancelled,
	evcs.CodeChargerNotFound, evcs.CodeConnectorNotFound,
}

func (p Orders) registerCharge(s *Server) {
	op := func(id, path string, permission evcs.Permission, group, summary string, errors []evcs.Code) operation {
		return operation{ID: id, Method: http.MethodPost, Path: path, Group: group, Permission: permission, Summary: summary, Errors: errors}
	}
	const told = " With source DEVICE a gateway tells what a device has done by itself: needs protocol:event, sends no command."
	start := op("startOrder", "/api/order/start", "order:control", "order", "Start a charge", startErrors)
	start.Or, start.Pace = "charger:charge", paceStart
	start.Description = "With a wait the answer is final: the device began, or the order is cancelled and the failure says why." + told
	register(s, start, p.start)
	stop := op("stopOrder", "/api/order/stop", "order:control", "order", "Stop a charge", stopErrors)
	stop.Or = "charger:charge"
	stop.Description = "Settles from the device's own stop." + told
	register(s, stop, p.stop)
	const connector = "/api/charger/{chargerId}/connectors/{connectorNo}"
	startOn := op("startConnector", connector+"/start", "charger:charge", "charger", "Start a charge on a connector", startErrors)
	startOn.Pace = paceStart
	register(s, startOn, p.startConnector)
	register(s, op("stopConnector", connector+"/stop", "charger:charge", "charger", "Stop the running charge of a connector", stopErrors), p.stopConnector)
}

func (p Orders) start(ctx context.Context, a *evcs.Actor, in *struct{ Body api.StartOrder }) (*api.OrderResult, error) {
	b := in.Body
	return p.begin(ctx, a, evcs.ChargerID(b.ChargerID), orZero(b.ConnectorNo), evcs.StationID(orZero(b.StationID)), b.StartConnector)
}

func (p Orders) startConnector(ctx context.Context, a *evcs.Actor, in *struct {
	connectorPath
	Body *api.StartConnector
},
) (*api.OrderResult, error) {
	return p.begin(ctx, a, in.ChargerID, in.ConnectorNo, 0, orZero(in.Body))
}

// charger finds a charger that the actor may charge at.
func (p Orders) charger(ctx context.Context, a *evcs.Actor, id evcs.ChargerID) (*station.ChargerRow, error) {
	c, err := p.Chargers.ChargerRow(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	return c, writable(a, c.Tenant)
}

func (p Orders) begin(ctx context.Context, a *evcs.Actor, id evcs.ChargerID, connector int, at evcs.StationID, b api.StartConnector) (*api.OrderResult, error) {
	c, err := p.charger(ctx, a, id)
	if err != nil {
		return nil, err
	}
	if orZero(b.Source) == api.SourceDevice {
		return p.began(ctx, a, c, connector, b)
	}
	if b.StartTime != nil || b.InitialEnergy != nil {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "startTime", Message: "and initialEnergy are told by devices only"})
	}
	res, err := p.Engine.Start(ctx, a, charging.StartRequest{
		Tenant: c.Tenant, Charger: id, Connector: connector, Station: at, User: orZero(b.UserID), Session: orZero(b.SessionID),
		Plan: evcs.PlanID(orZero(b.BillingPlanID)), IDTag: orZero(b.IDTag), Wait: delayed(ctx, waitOr(b.Wait, defaultWait)),
	})
	if err != nil {
		return nil, err
	}
	return p.result(ctx, res)
}

// result is what became of a start or a stop, with the order as it is now.
func (p Orders) result(ctx context.Context, res charging.Result) (*api.OrderResult, error) {
	scope := evcs.Only(res.Order.Tenant)
	l, err := p.Read.ListedOrder(ctx, scope, res.Order.ID)
	if err != nil {
		return nil, err
	}
	lines, err := p.Read.Lines(ctx, scope, res.Order.ID)
	if err != nil {
		return nil, err
	}
	out := &api.OrderResult{Order: orderWithLines(l, lines), Duplicate: res.Duplicate}
	if res.Command != nil {
		out.Command = api.Ptr(commandJSON(res.Command, inEnglish(ctx)))
	}
	return out, nil
}

// mayTell is 9403 without the permission to speak for devices.
func mayTell(a *evcs.Actor) error {
	if a.May("protocol:event") {
		return nil
	}
	return evcs.With(errForbidden, map[string]any{"permission": "protocol:event"})
}

// tell is how a REST call speaks for a device.
func (p Orders) tell(c *station.ChargerRow, kind string, body any) (device.From, error) {
	raw, err := json.Marshal(body)
	return device.From{
		Identity: device.Identity{Tenant: c.Tenant, Charger: c.ID, DeviceID: c.DeviceID}, Protocol: cmp.Or(c.Protocol, device.CloudCharge),
		Received: p.Clock.Now(), Type: kind, Raw: raw,
	}, err
}

// began is a start that a device has made by itself.
func (p Orders) began(ctx context.Context, a *evcs.Actor, c *station.ChargerRow, connector int, b api.StartConnector) (*api.OrderResult, error) {
	if err := mayTell(a); err != nil {
		return nil, err
	}
	if connector == 0 {
		connector = 1
	}
	scope := evcs.Only(c.Tenant)
	known := false
	if b.SessionID != nil {
		_, err := p.Read.OrderBySession(ctx, scope, *b.SessionID)
		known = err == nil
	}
	told, err := p.tell(c, "rest start", b)
	if err != nil {
		return nil, err
	}
	m := device.Started{
		From: told, Connector: connector, Session: orZero(b.SessionID), Key: "rest|" + orZero(b.SessionID), IDTag: orZero(b.IDTag), User: orZero(b.UserID),
		Register: (*evcs.Energy)(b.InitialEnergy), Offline: true,
	}
	if b.SessionID == nil {
		m.Key = "rest|" + evcs.Trace(ctx)
	}
	if b.StartTime != nil {
		m.At = b.StartTime.In(a.Zone)
	}
	made, err := p.Engine.Started(ctx, m)
	if err != nil {
		return nil, err
	}
	return p.told(ctx, scope, made.Session, known)
}

// told is the order of a session that a device told of.
func (p Orders) told(ctx context.Context, scope evcs.Scope, session string, duplicate bool) (*api.OrderResult, error) {
	o, err := p.Read.OrderBySession(ctx, scope, session)
	if err != nil {
		return nil, evcs.With(err, map[string]any{"sessionId": session})
	}
	return p.result(ctx, charging.Result{Order: o, Duplicate: duplicate})
}

func (p Orders) stop(ctx context.Context, a *evcs.Actor, in *struct{ Body api.StopOrder }) (*api.OrderResult, error) {
	b := in.Body
	var o *order.Order
	var err error
	switch {
	case b.OrderID != nil:
		o, err = p.change(ctx, a, evcs.OrderID(*b.OrderID))
		if err == nil && b.SessionID != nil && *b.SessionID != o.Session {
			err = evcs.Invalid(evcs.FieldFault{Field: "sessionId", Message: "is not the order's session"})
		}
	case b.SessionID != nil:
		if o, err = p.Read.OrderBySession(ctx, evcs.Subtree(a.Tenant), *b.SessionID); err != nil {
			return nil, evcs.With(err, map[string]any{"sessionId": *b.SessionID})
		}
		err = writable(a, o.Tenant)
	default:
		err = evcs.Invalid(evcs.FieldFault{Field: "sessionId", Message: "or orderId is required"})
	}
	if err != nil {
		return nil, err
	}
	return p.end(ctx, a, o, b)
}

func (p Orders) stopConnector(ctx context.Context, a *evcs.Actor, in *struct {
	connectorPath
	Body *api.StopOrder
},
) (*api.OrderResult, error) {
	b := orZero(in.Body)
	if b.SessionID != nil || b.OrderID != nil {
		return p.stop(ctx, a, &struct{ Body api.StopOrder }{b})
	}
	c, err := p.charger(ctx, a, in.ChargerID)
	if err != nil {
		return nil, err
	}
	running, err := p.Read.RunningSessions(ctx, evcs.Only(c.Tenant), c.ID)
	if err != nil {
		return nil, err
	}
	for _, x := range running {
		if x.Connector != in.ConnectorNo || x.Order == 0 {
			continue
		}
		o, err := p.Read.OrderBySession(ctx, evcs.Only(c.Tenant), x.UID)
		if err != nil {
			return nil, err
		}
		return p.end(ctx, a, o, b)
	}
	return nil, evcs.With(order.ErrSessionNotFound, map[string]any{"sessionId": nil})
}

func (p Orders) end(ctx context.Context, a *evcs.Actor, o *order.Order, b api.StopOrder) (*api.OrderResult, error) {
	if orZero(b.Source) == api.SourceDevice {
		return p.ended(ctx, a, o, b)
	}
	if b.Energy != nil || b.MeterStop != nil || b.Duration != nil || b.EndTime != nil {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "energy", Message: "meterStop, duration and endTime are measured by devices only"})
	}
	res, err := p.Engine.Stop(ctx, a, o, orZero(b.Reason), delayed(ctx, waitOr(b.Wait, defaultWait)))
	if err != nil {
		return nil, err
	}
	return p.result(ctx, res)
}

// ended is a stop that a device has made by itself.
func (p Orders) ended(ctx context.Context, a *evcs.Actor, o *order.Order, b api.StopOrder) (*api.OrderResult, error) {
	if err := mayTell(a); err != nil {
		return nil, err
	}
	if b.Energy == nil && b.MeterStop == nil {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "energy", Message: "or meterStop is required"})
	}
	c, err := p.Chargers.ChargerRow(ctx, evcs.Only(o.Tenant), o.Charger)
	if err != nil {
		return nil, err
	}
	told, err := p.tell(c, "rest stop", b)
	if err != nil {
		return nil, err
	}
	m := device.Stopped{
		From: told, Connector: o.Connector, Session: o.Session, Register: (*evcs.Energy)(b.MeterStop), Energy: (*evcs.Energy)(b.Energy),
		Duration: time.Duration(orZero(b.Duration)) * time.Minute, Reason: order.StopOther, ReasonRaw: orZero(b.Reason),
	}
	if b.EndTime != nil {
		m.At = b.EndTime.In(a.Zone)
	}
	duplicate := o.Status != order.Charging
	if _, err := p.Engine.Stopped(ctx, m); err != nil {
		return nil, err
	}
	return p.told(ctx, evcs.Only(o.Tenant), o.Session, duplicate)
}
