package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/charging"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/station"
)

// FrameCounter reads what was heard of devices; store.Frames satisfies it.
type FrameCounter interface {
	FrameReader
	FrameCounts(ctx context.Context, scope evcs.Scope) (counts []station.FrameCount, since int64, err error)
	NewestFrame(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID) (int64, error)
}

// Debug are the operations that speak for simulated chargers, through the same
// use cases as a real device. The daemon has this part only when it is
// switched on.
type Debug struct {
	Clock    evcs.Clock
	Read     OrderReader
	Chargers ChargerReader
	Frames   FrameCounter
	Engine   *charging.Engine
}

// simulatedType begins the type of every message that is simulated.
const simulatedType = "simulate/"

var errNotSimulated = evcs.NewError(evcs.CodeNotSimulated, "the charger is not simulated")

func (p Debug) register(s *Server) {
	op := func(id, method, path, summary string, errors ...evcs.Code) operation {
		return operation{
			ID: id, Method: method, Path: "/debug/protocol/" + path, Group: "debug", Permission: "protocol:debug", Summary: summary,
			Errors: append(errors, evcs.CodeRouteNotFound), // unless the settings open it
		}
	}
	simulate := func(id, path, summary string, errors ...evcs.Code) operation {
		return op(id, http.MethodPost, "simulate/"+path, summary, append(errors, evcs.CodeNotSimulated)...)
	}
	register(s, simulate("simulateHeartbeat", "heartbeat", "A sign of life of a simulated charger", evcs.CodeChargerNotFound), p.heartbeat)
	register(s, simulate("simulateStatus", "status", "A status report of a simulated charger",
		evcs.CodeChargerNotFound, evcs.CodeChargerState, evcs.CodeConnectorNotFound), p.status)
	register(s, simulate("simulateStart", "start", "A session begun by a simulated charger", append(startErrors, evcs.CodeOrderNotFound)...), p.start)
	register(s, simulate("simulateStop", "stop", "A session ended by a simulated charger", evcs.CodeOrderNotFound, evcs.CodeChargerNotFound), p.stop)
	register(s, op("protocolHistory", http.MethodGet, "events/history", "What chargers said, newest first", evcs.CodeChargerNotFound), p.history)
	register(s, op("protocolStats", http.MethodGet, "stats", "How much chargers said"), p.stats)
}

// charger finds a simulated charger that the actor may speak for.
func (p Debug) charger(ctx context.Context, a *evcs.Actor, id evcs.ChargerID) (*station.ChargerRow, error) {
	c, err := p.Chargers.ChargerRow(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	if err := writable(a, c.Tenant); err != nil {
		return nil, err
	}
	if !c.Simulated {
		return nil, evcs.With(errNotSimulated, map[string]any{"chargerId": id})
	}
	return c, nil
}

// from is who speaks, with the request as the evidence.
func (p Debug) from(ctx context.Context, c *station.ChargerRow, protocol *string, kind string, body any) (device.From, error) {
	raw, err := json.Marshal(body)
	spoken := device.OCPP16
	switch orZero(protocol) {
	case "CLOUDCHARGE":
		spoken = device.CloudCharge
	case "YKC":
		spoken = device.YKC
	}
	return device.From{
		Identity: device.Identity{Tenant: c.Tenant, Charger: c.ID, DeviceID: c.DeviceID}, Protocol: spoken, Received: p.Clock.Now(),
		Type: simulatedType + kind, MessageID: evcs.Trace(ctx), Raw: raw,
	}, err
}

// event is the id of the message that was kept last.
func (p Debug) event(ctx context.Context, c *station.ChargerRow) (int64, error) {
	return p.Frames.NewestFrame(ctx, evcs.Only(c.Tenant), c.ID)
}

func (p Debug) heartbeat(ctx context.Context, a *evcs.Actor, in *struct{ Body api.SimulateHeartbeat }) (*api.SimulatedHeartbeat, error) {
	c, err := p.charger(ctx, a, evcs.ChargerID(in.Body.ChargerID))
	if err != nil {
		return nil, err
	}
	from, err := p.from(ctx, c, in.Body.ProtocolType, "heartbeat", in.Body)
	if err != nil {
		return nil, err
	}
	if err := p.Engine.Noted(ctx, device.Note{From: from}); err != nil {
		return nil, err
	}
	p.Engine.Heard(from.Identity, from.Received)
	event, err := p.event(ctx, c)
	return &api.SimulatedHeartbeat{ChargerID: int64(c.ID), EventID: event, Time: api.AtMS(from.Received)}, err
}

func (p Debug) status(ctx context.Context, a *evcs.Actor, in *struct{ Body api.SimulateStatus }) (*api.SimulatedStatus, error) {
	b := in.Body
	if b.NewStatus == nil {
		b.NewStatus = b.Status
	}
	switch {
	case b.NewStatus == nil:
		return nil, evcs.Invalid(evcs.FieldFault{Field: "newStatus", Message: "is required"})
	case b.Status != nil && *b.Status != *b.NewStatus:
		return nil, evcs.Invalid(evcs.FieldFault{Field: "status", Message: "differs from newStatus"})
	}
	c, err := p.charger(ctx, a, evcs.ChargerID(b.ChargerID))
	if err != nil {
		return nil, err
	}
	targets, before, err := p.targets(ctx, c, b.ConnectorNo)
	if err != nil {
		return nil, err
	}
	if b.OldStatus != nil && station.Status(*b.OldStatus) != before {
		return nil, c.StateError("", evcs.Detail{ZH: "原状态不符", EN: "the old status is another"})
	}
	m := device.Status{State: device.State(*b.NewStatus), Word: orZero(b.StatusDesc)}
	if m.State == device.Fault {
		m.FaultCode, m.FaultDetail = "SIMULATED", orZero(b.StatusDesc)
	}
	if m.From, err = p.from(ctx, c, b.ProtocolType, "status", in.Body); err != nil {
		return nil, err
	}
	for _, m.Connector = range targets {
		if err := p.Engine.StatusReported(ctx, m); err != nil {
			return nil, err
		}
	}
	event, err := p.event(ctx, c)
	return &api.SimulatedStatus{ChargerID: int64(c.ID), EventID: event, OldStatus: int(before), NewStatus: *b.NewStatus}, err
}

// targets are the connectors a report is about, and the state before.
func (p Debug) targets(ctx context.Context, c *station.ChargerRow, no *int) ([]int, station.Status, error) {
	list, err := p.Chargers.ConnectorList(ctx, evcs.Only(c.Tenant), []evcs.ChargerID{c.ID})
	if err != nil {
		return nil, 0, err
	}
	var numbers []int
	before := c.Status
	for _, x := range list {
		if no == nil || *no == x.No {
			numbers = append(numbers, x.No)
		}
		if no != nil && *no == x.No {
			before = x.Status
		}
	}
	if no != nil && len(numbers) == 0 {
		return nil, 0, station.ConnectorMissing(c.ID, *no)
	}
	return numbers, before, nil
}

func (p Debug) start(ctx context.Context, a *evcs.Actor, in *struct{ Body api.SimulateStart }) (*api.SimulatedStart, error) {
	b := in.Body
	c, err := p.charger(ctx, a, evcs.ChargerID(b.ChargerID))
	if err != nil {
		return nil, err
	}
	m := device.Started{Connector: 1, Session: orZero(b.SessionID), User: orZero(b.UserID), Register: new(evcs.Energy)}
	if b.ConnectorNo != nil {
		m.Connector = *b.ConnectorNo
	}
	if b.InitialEnergy != nil {
		*m.Register = evcs.Energy(*b.InitialEnergy)
	}
	if m.Session == "" {
		m.Key = simulatedType + evcs.Trace(ctx)
	}
	if m.From, err = p.from(ctx, c, b.ProtocolType, "start", b); err != nil {
		return nil, err
	}
	m.At = m.Received
	if err := p.free(ctx, c, m); err != nil {
		return nil, err
	}
	made, err := p.Engine.Started(ctx, m)
	if err != nil {
		return nil, err
	}
	event, err := p.event(ctx, c)
	return &api.SimulatedStart{SessionID: made.Session, OrderID: int64(made.Order), OrderNo: made.OrderNo, EventID: event}, err
}

// free is 2006 when another session runs on the connector.
func (p Debug) free(ctx context.Context, c *station.ChargerRow, m device.Started) error {
	running, err := p.Read.RunningSessions(ctx, evcs.Only(c.Tenant), c.ID)
	if err != nil {
		return err
	}
	for _, x := range running {
		if x.Connector == m.Connector && x.UID != m.Session {
			return evcs.With(station.ErrConnectorBusy, map[string]any{
				"chargerId": c.ID, "connectorNo": m.Connector, "currentStatus": int(station.Charging), "orderId": nil, "sessionId": x.UID,
			})
		}
	}
	return nil
}

func (p Debug) stop(ctx context.Context, a *evcs.Actor, in *struct{ Body api.SimulateStop }) (*api.SimulatedStop, error) {
	b := in.Body
	o, err := p.order(ctx, a, b)
	if err != nil {
		return nil, err
	}
	c, err := p.charger(ctx, a, o.Charger)
	if err != nil {
		return nil, err
	}
	m := device.Stopped{
		Connector: o.Connector, Session: o.Session, Energy: (*evcs.Energy)(&b.Energy), Duration: time.Duration(orZero(b.Duration)) * time.Minute,
		Reason: order.StopOther, ReasonRaw: "Normal stop",
	}
	if b.Reason != nil {
		m.ReasonRaw = *b.Reason
	}
	if m.From, err = p.from(ctx, c, nil, "stop", b); err != nil {
		return nil, err
	}
	done, err := p.Engine.Stopped(ctx, m)
	if err != nil {
		return nil, err
	}
	event, err := p.event(ctx, c)
	return &api.SimulatedStop{SessionID: o.Session, OrderID: int64(o.ID), OrderNo: o.No, Amount: api.Money(done.Amount), EventID: event}, err
}

// order is the order that a stop names.
func (p Debug) order(ctx context.Context, a *evcs.Actor, b api.SimulateStop) (*order.Order, error) {
	scope := evcs.Subtree(a.Tenant)
	if b.SessionID != nil {
		o, err := p.Read.OrderBySession(ctx, scope, *b.SessionID)
		if err == nil && b.OrderNo != nil && *b.OrderNo != o.No {
			err = evcs.Invalid(evcs.FieldFault{Field: "orderNo", Message: "is not the session's order"})
		}
		return o, err
	}
	if b.OrderNo == nil {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "sessionId", Message: "or orderNo is required"})
	}
	found, err := p.Read.OrderPage(ctx, scope, order.Filter{No: *b.OrderNo}, evcs.PageRequest{Page: 1, Size: 100})
	if err != nil {
		return nil, err
	}
	for _, l := range found.Records {
		if l.Order.No == *b.OrderNo {
			return l.Order, nil
		}
	}
	return nil, evcs.With(order.ErrNotFound, map[string]any{"orderNo": *b.OrderNo})
}

// eventTypes name the messages of every protocol by what they tell.
var eventTypes = map[string][]string{ //nolint:gochecknoglobals // a table
	"HEARTBEAT":      {"Heartbeat", "heartbeat", simulatedType + "heartbeat"},
	"STATUS_CHANGE":  {"StatusNotification", "status", simulatedType + "status"},
	"CHARGING_START": {"StartTransaction", "start", simulatedType + "start", "rest start"},
	"CHARGING_STOP":  {"StopTransaction", "stop", simulatedType + "stop", "rest stop"},
	"TELEMETRY":      {"MeterValues", "meter", "telemetry"},
}

func eventType(f evcs.Frame) string {
	if f.Outcome != "" {
		return "ERROR"
	}
	for name, types := range eventTypes {
		if slices.Contains(types, f.Type) {
			return name
		}
	}
	return "OTHER"
}

// maxHistory is how many messages one answer looks at.
const maxHistory = 1000

func (p Debug) history(ctx context.Context, a *evcs.Actor, in *struct {
	ChargerID Opt[evcs.ChargerID] `query:"chargerId" minimum:"1"`
	EventType string              `query:"eventType" enum:"HEARTBEAT,STATUS_CHANGE,CHARGING_START,CHARGING_STOP,TELEMETRY,ERROR"`
	Limit     Opt[int]            `query:"limit" minimum:"1" maximum:"1000" doc:"20 when absent"`
},
) (*[]api.ProtocolEvent, error) {
	scope := evcs.Only(a.Tenant)
	if in.ChargerID.Set {
		c, err := p.Chargers.ChargerRow(ctx, evcs.Subtree(a.Tenant), in.ChargerID.Value)
		if err != nil {
			return nil, err
		}
		if err := readable(ctx, a, c.Tenant); err != nil {
			return nil, err
		}
		scope = evcs.Only(c.Tenant)
	}
	limit := in.Limit.Or(20)
	asked := limit
	if in.EventType != "" {
		asked = maxHistory // a refused start is an ERROR, whatever its type
	}
	found, err := p.Frames.FramePage(ctx, scope, station.FrameFilter{
		Charger: in.ChargerID.Or(0), In: true, Types: eventTypes[in.EventType],
	}, evcs.PageRequest{Page: 1, Size: asked, Sort: []evcs.Sort{{Field: "time", Desc: true}}})
	if err != nil {
		return nil, err
	}
	list := make([]api.ProtocolEvent, 0, min(limit, len(found.Records)))
	for _, f := range found.Records {
		kind := eventType(f)
		if len(list) < limit && (in.EventType == "" || in.EventType == kind) {
			list = append(list, api.ProtocolEvent{
				EventID: f.ID, EventType: kind, EventTime: api.AtMS(f.Time), ChargerID: int64(f.Charger), TenantID: int64(f.Tenant),
				ProtocolType: protocolType(f.Protocol), Payload: payload(f.Raw),
			})
		}
	}
	return &list, nil
}

func protocolType(protocol string) string {
	if strings.HasPrefix(protocol, "OCPP") {
		return "OCPP"
	}
	return protocol
}

// payload is a message as JSON; what is not JSON is a text.
func payload(raw []byte) json.RawMessage {
	if json.Valid(raw) {
		return raw
	}
	text, _ := json.Marshal(string(raw)) // a text
	return text
}

func (p Debug) stats(ctx context.Context, a *evcs.Actor, _ *struct{}) (*api.ProtocolStats, error) {
	counts, since, err := p.Frames.FrameCounts(ctx, evcs.Only(a.Tenant))
	if err != nil {
		return nil, err
	}
	out := &api.ProtocolStats{ByType: make(map[string]int64)}
	for _, n := range counts {
		out.TotalEvents += n.Count
		switch protocolType(n.Protocol) {
		case "OCPP":
			out.OCPPEvents += n.Count
		case device.CloudCharge:
			out.CloudChargeEvents += n.Count
		case device.YKC:
			out.YKCEvents += n.Count
		}
		if strings.HasPrefix(n.Type, simulatedType) {
			out.SimulatedEvents += n.Count
		}
		out.ByType[eventType(evcs.Frame{Type: n.Type})] += n.Count
	}
	if since > 0 {
		out.Since = api.Ptr(api.AtMS(evcs.FromMillis(since)))
	}
	return out, nil
}
