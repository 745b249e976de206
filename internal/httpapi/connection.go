package httpapi

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"unicode/utf8"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// RejectionReader reads refused devices; store.Rejections satisfies it.
type RejectionReader interface {
	RejectionPage(ctx context.Context, scope evcs.Scope, unknown bool, device string, from, to int64, r evcs.PageRequest) (evcs.Page[station.Rejection], error)
}

// FrameReader reads raw device messages; store.Frames satisfies it.
type FrameReader interface {
	FramePage(ctx context.Context, scope evcs.Scope, want station.FrameFilter, r evcs.PageRequest) (evcs.Page[evcs.Frame], error)
}

// Devices are the operations on connections, refusals and raw messages.
type Devices struct {
	Hub        *device.Hub
	Chargers   ChargerReader
	Rejections RejectionReader
	Frames     FrameReader
	Tree       Tree
}

func (p Devices) register(s *Server) {
	op := func(id, path, summary string, sorts ...string) operation {
		return operation{ID: id, Path: path, Aliases: []string{path + "/page"}, Group: "protocol", Permission: "protocol:view", Summary: summary, Sorts: sorts}
	}
	registerPages(s, op("listConnections", "/api/protocol/connection", "Chargers connected to this node", "chargerId", "connectedSince"), p.connections)
	registerPages(s, op("listRejections", "/api/protocol/rejection", "Refused devices, with the reason and what to change", "time"), p.rejections)
	messages := op("listMessages", "/api/protocol/message", "Raw messages of a charger in both directions, secrets hidden", "messageId", "time")
	messages.Description = "What the charger said is stored with its effect, what was said to it within a second after. Heartbeats, and the routine answers to " +
		"meter values and status reports, are not kept: the call is the evidence of its answer."
	messages.Errors = []evcs.Code{evcs.CodeChargerNotFound}
	registerPages(s, messages, p.messages)
}

type connectionFilter struct {
	Paging
	Protocol  []string            `query:"protocol" maxItems:"4" enum:"OCPP16,OCPP201,YKC,CLOUDCHARGE"`
	ChargerID Opt[evcs.ChargerID] `query:"chargerId" minimum:"1"`
}

func (p Devices) connections(ctx context.Context, a *evcs.Actor, in *connectionFilter, page evcs.PageRequest) (evcs.Page[api.Connection], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Connection]{}, err
	}
	var list []api.Connection
	for _, session := range p.Hub.All() {
		id, info := session.Identity(), session.Info()
		if in.ChargerID.Set && in.ChargerID.Value != id.Charger || len(in.Protocol) > 0 && !slices.Contains(in.Protocol, info.Protocol) {
			continue
		}
		seen, err := p.sees(ctx, scope, id.Tenant)
		if err != nil {
			return evcs.Page[api.Connection]{}, err
		}
		if !seen {
			continue
		}
		list = append(list, api.Connection{
			ChargerID: int64(id.Charger), DeviceID: id.DeviceID, Protocol: info.Protocol, Version: info.Version, RemoteAddress: info.Address,
			ConnectedSince: api.At(info.Since), LastMessageTime: api.AtOrNil(info.Last), MessagesIn: info.In, MessagesOut: info.Out, PendingCommands: int64(info.Pending),
		})
	}
	return pageOfConnections(list, page)
}

func (p Devices) sees(ctx context.Context, scope evcs.Scope, owner evcs.TenantID) (bool, error) {
	if owner == scope.Tenant || !scope.Descendants {
		return owner == scope.Tenant, nil
	}
	return p.Tree.Below(ctx, scope.Tenant, owner)
}

// pageOfConnections sorts and cuts what is in memory.
func pageOfConnections(list []api.Connection, page evcs.PageRequest) (evcs.Page[api.Connection], error) {
	order := func(x, y api.Connection) int { return compareConnections(page.Sort, x, y) }
	slices.SortFunc(list, order)
	if !page.Keyset {
		from := min((max(page.Page, 1)-1)*page.Size, len(list))
		return evcs.Page[api.Connection]{Records: list[from:min(from+page.Size, len(list))], Total: int64(len(list))}, nil
	}
	if page.After != nil {
		place := api.Connection{ChargerID: page.After.ID}
		if len(page.After.Values) != 1 || json.Unmarshal([]byte(page.After.Values[0]), &place.ConnectedSince) != nil {
			return evcs.Page[api.Connection]{}, errCursor
		}
		list = slices.DeleteFunc(list, func(c api.Connection) bool { return order(c, place) <= 0 })
	}
	found := evcs.Page[api.Connection]{Records: list[:min(page.Size, len(list))], Total: -1}
	if len(list) <= page.Size {
		return found, nil
	}
	last := found.Records[page.Size-1]
	since, err := json.Marshal(last.ConnectedSince)
	found.Next = &evcs.PlaceAfter{Values: []string{string(since)}, ID: last.ChargerID}
	return found, err
}

// compareConnections orders by the fields asked, newest charger first without.
func compareConnections(sort []evcs.Sort, x, y api.Connection) int {
	for _, s := range sort {
		d := cmp.Compare(x.ChargerID, y.ChargerID)
		if s.Field == "connectedSince" { // in whole seconds, as a cursor holds it
			d = cmp.Compare(x.ConnectedSince.Std().Unix(), y.ConnectedSince.Std().Unix())
		}
		if s.Desc {
			d = -d
		}
		if d != 0 {
			return d
		}
	}
	return cmp.Compare(y.ChargerID, x.ChargerID)
}

type rejectionFilter struct {
	Paging
	DeviceID  string        `query:"deviceId" maxLength:"48"`
	StartTime Opt[api.Time] `query:"startTime"`
	EndTime   Opt[api.Time] `query:"endTime"`
}

func (p Devices) rejections(ctx context.Context, a *evcs.Actor, in *rejectionFilter, page evcs.PageRequest) (evcs.Page[api.Rejection], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Rejection]{}, err
	}
	from, to := span(a, in.StartTime, in.EndTime)
	found, err := p.Rejections.RejectionPage(ctx, scope, a.Platform, in.DeviceID, from, to, page)
	return pageOf(found, func(r station.Rejection) api.Rejection {
		return api.Rejection{
			Time: api.At(evcs.FromMillis(r.Last)), DeviceID: r.DeviceID, Protocol: textOrNil(r.Protocol), RemoteAddress: r.Address, Reason: r.Reason,
			Hint: textOrNil(r.Hint), Count: r.Count,
		}
	}), err
}

// span is a range of time as the store takes it; 0 is open.
func span(a *evcs.Actor, from, to Opt[api.Time]) (int64, int64) {
	var begin, end int64
	if from.Set {
		begin = evcs.Millis(from.Value.In(a.Zone))
	}
	if to.Set {
		end = evcs.Millis(to.Value.In(a.Zone))
	}
	return begin, end
}

type messageFilter struct {
	Paging
	ChargerID evcs.ChargerID `query:"chargerId" required:"true" minimum:"1"`
	Direction string         `query:"direction" enum:"IN,OUT"`
	Type      []string       `query:"type" maxItems:"20"`
	SessionID string         `query:"sessionId" maxLength:"64"`
	StartTime Opt[api.Time]  `query:"startTime"`
	EndTime   Opt[api.Time]  `query:"endTime"`
}

func (p Devices) messages(ctx context.Context, a *evcs.Actor, in *messageFilter, page evcs.PageRequest) (evcs.Page[api.Message], error) {
	charger, err := p.Chargers.ChargerRow(ctx, evcs.Subtree(a.Tenant), in.ChargerID)
	if err != nil {
		return evcs.Page[api.Message]{}, err
	}
	if err := readable(ctx, a, charger.Tenant); err != nil {
		return evcs.Page[api.Message]{}, err
	}
	if covered, err := in.covers(ctx, a, charger.Tenant); err != nil || !covered {
		return evcs.Page[api.Message]{}, err
	}
	from, to := span(a, in.StartTime, in.EndTime)
	found, err := p.Frames.FramePage(ctx, evcs.Only(charger.Tenant), station.FrameFilter{
		Charger: in.ChargerID, In: in.Direction == "IN", Out: in.Direction == "OUT", Types: in.Type, Session: in.SessionID, From: from, To: to,
	}, page)
	return pageOf(found, messageJSON), err
}

func messageJSON(f evcs.Frame) api.Message {
	m := api.Message{
		MessageID: f.ID, Time: api.AtMS(f.Time), Direction: "IN", Protocol: f.Protocol, Type: f.Type, Raw: string(f.Raw), Outcome: textOrNil(f.Outcome),
		Decoded: []byte("null"),
	}
	if f.Out {
		m.Direction = "OUT"
	}
	if json.Valid(f.Raw) {
		m.Decoded = f.Raw
	}
	if !utf8.Valid(f.Raw) {
		m.Raw = hex.EncodeToString(f.Raw)
	}
	return m
}
