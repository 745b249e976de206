package httpapi

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// ChargerReader reads chargers; store.Stations satisfies it.
type ChargerReader interface {
	ChargerRow(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (*station.ChargerRow, error)
	ChargerPage(ctx context.Context, scope evcs.Scope, want station.ChargerFilter, r evcs.PageRequest) (evcs.Page[station.ChargerRow], error)
	ConnectorList(ctx context.Context, scope evcs.Scope, chargers []evcs.ChargerID) ([]station.ConnectorRow, error)
	Census(ctx context.Context, scope evcs.Scope, at evcs.StationID) (station.Census, error)
	ChargerCodeTaken(ctx context.Context, t evcs.TenantID, code string, except evcs.ChargerID) (bool, error)
	Station(ctx context.Context, scope evcs.Scope, id evcs.StationID) (*station.Station, error)
}

// Chargers are the operations of chargers and connectors that ask nothing of
// the device.
type Chargers struct {
	Clock evcs.Clock
	Read  ChargerReader
	Write station.Fleet

	s *Server
}

type chargerPath struct {
	ChargerID evcs.ChargerID `path:"chargerId"`
}

type connectorPath struct {
	chargerPath
	ConnectorNo int `path:"connectorNo" minimum:"1" maximum:"32"`
}

type chargerFilter struct {
	Paging
	ChargerName string              `query:"chargerName" maxLength:"100"`
	ChargerCode string              `query:"chargerCode" maxLength:"64"`
	Keyword     string              `query:"keyword" maxLength:"200" doc:"Name, code or device id"`
	StationID   Opt[evcs.StationID] `query:"stationId" minimum:"1"`
	Status      []int               `query:"status" maxItems:"6" minimum:"0" maximum:"5"`
	Enabled     Opt[api.Flag]       `query:"enabled"`
	ChargerType []int               `query:"chargerType" maxItems:"3" minimum:"1" maximum:"3"`
	Protocol    []string            `query:"protocol" maxItems:"4" enum:"OCPP16,OCPP201,YKC,CLOUDCHARGE"`
	Brand       string              `query:"brand" maxLength:"64" doc:"Exact"`
	Connected   Opt[api.Flag]       `query:"connected"`
	Simulated   Opt[api.Flag]       `query:"simulated"`
}

func (p Chargers) register(s *Server) {
	p.s = s
	p.registerReads(s)
	op := func(id, method, path string, permission evcs.Permission, summary string, errors ...evcs.Code) operation {
		return operation{ID: id, Method: method, Path: path, Group: "charger", Permission: permission, Summary: summary, Errors: errors}
	}
	create := op("createCharger", http.MethodPost, "/api/charger", "charger:add", "Create a charger with its connectors",
		evcs.CodeStationNotFound, evcs.CodeChargerCodeExists, evcs.CodeDeviceIDExists, evcs.CodePlanNotFound, evcs.CodeQuotaExceeded, evcs.CodeTenantNotFound)
	create.Said, create.ReadOnly = created, []any{api.Charger{}}
	register(s, create, p.create)
	update := op("updateCharger", http.MethodPut, "/api/charger", "charger:edit", "Change a charger",
		evcs.CodeChargerNotFound, evcs.CodeChargerCodeExists, evcs.CodeChargerState, evcs.CodePlanNotFound)
	update.ReadOnly = []any{api.Charger{}}
	register(s, update, p.update)
	one := "/api/charger/{chargerId}"
	register(s, op("deleteCharger", http.MethodDelete, one, "charger:remove", "Delete a charger without a running session",
		evcs.CodeChargerNotFound, evcs.CodeChargerState), p.remove)
	register(s, op("setChargerStatus", http.MethodPut, one+"/status", "charger:edit", "Write the status of a charger",
		evcs.CodeChargerNotFound, evcs.CodeChargerState), p.status)
	register(s, op("enableCharger", http.MethodPut, one+"/enable", "charger:edit", "Let new sessions begin, or refuse them", evcs.CodeChargerNotFound), p.enable)
	register(s, op("updateConnector", http.MethodPut, one+"/connectors/{connectorNo}", "charger:edit", "Change a connector",
		evcs.CodeChargerNotFound, evcs.CodeConnectorNotFound), p.updateConnector)
}

func (p Chargers) registerReads(s *Server) {
	sorts := []string{"chargerId", "createTime", "chargerCode", "chargerName", "stationId", "status", "lastHeartbeat"}
	registerList(s, operation{
		ID: "listChargers", Path: "/api/charger", Group: "charger", Permission: "charger:list", Summary: "Chargers", Sorts: sorts,
	}, p.list)
	get := func(id, path, summary string, errors ...evcs.Code) operation {
		return operation{ID: id, Method: http.MethodGet, Path: path, Group: "charger", Permission: "charger:query", Summary: summary, Errors: errors}
	}
	offline := get("offlineChargers", "/api/charger/offline", "Chargers that are not connected, and for how long")
	offline.paged, offline.plain, offline.Sorts = true, true, sorts
	register(s, offline, func(ctx context.Context, a *evcs.Actor, in *offlineFilter) (*[]api.OfflineCharger, error) {
		return plainAnswer(ctx, a, in.pagingInput(), in, p.offline)
	})
	fault := get("faultChargers", "/api/charger/fault", "Chargers with a connector in fault")
	fault.paged, fault.plain, fault.Sorts = true, true, sorts
	register(s, fault, func(ctx context.Context, a *evcs.Actor, in *faultFilter) (*[]api.Charger, error) {
		return plainAnswer(ctx, a, in.pagingInput(), in, p.fault)
	})
	register(s, get("chargerStatistics", "/api/charger/statistics", "Live chargers and connectors by status and type", evcs.CodeStationNotFound), p.statistics)
	register(s, get("checkChargerCode", "/api/charger/check-code", "Is the code taken in the tenant? true = taken"), p.checkCode)
	register(s, get("chargerByCode", "/api/charger/code/{chargerCode}", "One charger by its exact code", evcs.CodeChargerNotFound), p.byCode)
	register(s, get("getCharger", "/api/charger/{chargerId}", "One charger with its connectors", evcs.CodeChargerNotFound), p.get)
	register(s, get("listConnectors", "/api/charger/{chargerId}/connectors", "The connectors of a charger", evcs.CodeChargerNotFound), p.connectors)
	register(s, get("getConnector", "/api/charger/{chargerId}/connectors/{connectorNo}", "One connector",
		evcs.CodeChargerNotFound, evcs.CodeConnectorNotFound), p.connector)
}

func (p Chargers) list(ctx context.Context, a *evcs.Actor, in *chargerFilter, page evcs.PageRequest) (evcs.Page[api.Charger], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Charger]{}, err
	}
	if len(page.Sort) == 0 {
		page.Sort = []evcs.Sort{{Field: "stationId"}, {Field: "chargerCode"}}
	}
	found, err := p.Read.ChargerPage(ctx, scope, station.ChargerFilter{
		Name: in.ChargerName, Code: in.ChargerCode, Keyword: in.Keyword, Brand: in.Brand, Station: in.StationID.Or(0), Status: in.Status,
		Types: in.ChargerType, Protocols: in.Protocol, Enabled: flagPtr(in.Enabled), Connected: flagPtr(in.Connected), Simulated: flagPtr(in.Simulated),
	}, page)
	return pageOf(found, chargerJSON), err
}

func flagPtr(o Opt[api.Flag]) *bool {
	if !o.Set {
		return nil
	}
	return api.Ptr(bool(o.Value))
}

type offlineFilter struct {
	Paging
	Minutes   Opt[int]            `query:"minutes" minimum:"1" maximum:"43200" doc:"5 when absent"`
	StationID Opt[evcs.StationID] `query:"stationId" minimum:"1"`
}

func (p Chargers) offline(ctx context.Context, a *evcs.Actor, in *offlineFilter, page evcs.PageRequest) (evcs.Page[api.OfflineCharger], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.OfflineCharger]{}, err
	}
	now := p.Clock.Now()
	found, err := p.Read.ChargerPage(ctx, scope, station.ChargerFilter{
		Station: in.StationID.Or(0), UnheardSince: evcs.Millis(now.Add(-time.Duration(in.Minutes.Or(5)) * time.Minute)),
	}, page)
	return pageOf(found, func(r station.ChargerRow) api.OfflineCharger {
		o := api.OfflineCharger{Charger: chargerJSON(r), OfflineSince: api.AtOrNil(r.LastSeen)}
		if !r.LastSeen.IsZero() {
			o.OfflineMinutes = api.Ptr(int64(now.Sub(r.LastSeen) / time.Minute))
		}
		return o
	}), err
}

type faultFilter struct {
	Paging
	StationID Opt[evcs.StationID] `query:"stationId" minimum:"1"`
}

func (p Chargers) fault(ctx context.Context, a *evcs.Actor, in *faultFilter, page evcs.PageRequest) (evcs.Page[api.Charger], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Charger]{}, err
	}
	found, err := p.Read.ChargerPage(ctx, scope, station.ChargerFilter{Station: in.StationID.Or(0), WithFault: true}, page)
	if err != nil {
		return evcs.Page[api.Charger]{}, err
	}
	ids := make([]evcs.ChargerID, len(found.Records))
	for i := range found.Records {
		ids[i] = found.Records[i].ID
	}
	connectors, err := p.Read.ConnectorList(ctx, scope, ids)
	if err != nil {
		return evcs.Page[api.Charger]{}, err
	}
	byCharger := make(map[evcs.ChargerID][]api.Connector)
	for _, k := range connectors {
		byCharger[k.Charger] = append(byCharger[k.Charger], connectorJSON(k))
	}
	return pageOf(found, func(r station.ChargerRow) api.Charger {
		c := chargerJSON(r)
		c.Connectors = byCharger[r.ID]
		return c
	}), nil
}

func (p Chargers) statistics(ctx context.Context, a *evcs.Actor, in *struct {
	Target
	StationID Opt[evcs.StationID] `query:"stationId" minimum:"1"`
},
) (*api.ChargerStatistics, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	if in.StationID.Set {
		if _, err := p.Read.Station(ctx, scope, in.StationID.Value); err != nil {
			return nil, err
		}
	}
	n, err := p.Read.Census(ctx, scope, in.StationID.Or(0))
	if err != nil {
		return nil, err
	}
	return censusJSON(n), nil
}

func censusJSON(n station.Census) *api.ChargerStatistics {
	s := &api.ChargerStatistics{
		Total: n.Total, Enabled: n.Enabled, Disabled: n.Total - n.Enabled, Simulated: n.Simulated, ByStatus: make(map[string]int64), ByType: make(map[string]int64),
		Offline: n.ByStatus[0], Idle: n.ByStatus[1], Charging: n.ByStatus[2], Fault: n.ByStatus[3], Maintenance: n.ByStatus[4], Reserved: n.ByStatus[5],
	}
	for i, count := range n.ByStatus {
		s.ByStatus[strconv.Itoa(i)] = count
	}
	for i, count := range n.ByType[1:] {
		s.ByType[strconv.Itoa(i+1)] = count
	}
	k := n.Connectors
	s.Connectors = api.ConnectorCounts{
		Total: k[0] + k[1] + k[2] + k[3] + k[4] + k[5], Offline: k[0], Idle: k[1], Charging: k[2], Fault: k[3], Maintenance: k[4], Reserved: k[5],
	}
	if n.Enabled > 0 {
		s.OnlineRate = api.Percent((n.EnabledOnline*10_000 + n.Enabled/2) / n.Enabled)
	}
	return s
}

func (p Chargers) checkCode(ctx context.Context, a *evcs.Actor, in *struct {
	ChargerCode string              `query:"chargerCode" required:"true" minLength:"1" maxLength:"64"`
	ExcludeID   Opt[evcs.ChargerID] `query:"excludeId" minimum:"1"`
},
) (*bool, error) {
	taken, err := p.Read.ChargerCodeTaken(ctx, a.Tenant, in.ChargerCode, in.ExcludeID.Or(0))
	return &taken, err
}

func (p Chargers) byCode(ctx context.Context, a *evcs.Actor, in *struct {
	ChargerCode string `path:"chargerCode" minLength:"1" maxLength:"64"`
},
) (*api.Charger, error) {
	found, err := p.Read.ChargerPage(ctx, evcs.Only(a.Tenant), station.ChargerFilter{ExactCode: in.ChargerCode}, evcs.PageRequest{Page: 1, Size: 1, NoTotal: true})
	if err != nil {
		return nil, err
	}
	if len(found.Records) == 0 {
		return nil, evcs.With(station.ErrChargerNotFound, map[string]any{"chargerId": nil})
	}
	return p.whole(ctx, found.Records[0])
}

// whole is a charger with its connectors.
func (p Chargers) whole(ctx context.Context, r station.ChargerRow) (*api.Charger, error) {
	list, err := p.Read.ConnectorList(ctx, evcs.Only(r.Tenant), []evcs.ChargerID{r.ID})
	if err != nil {
		return nil, err
	}
	c := chargerJSON(r)
	c.Connectors = listOf(list, connectorJSON)
	return &c, nil
}

// load reads a charger the actor may see.
func (p Chargers) load(ctx context.Context, a *evcs.Actor, id evcs.ChargerID) (*station.ChargerRow, error) {
	row, err := p.Read.ChargerRow(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	return row, readable(ctx, a, row.Tenant)
}

func (p Chargers) get(ctx context.Context, a *evcs.Actor, in *chargerPath) (*api.Charger, error) {
	row, err := p.load(ctx, a, in.ChargerID)
	if err != nil {
		return nil, err
	}
	return p.whole(ctx, *row)
}

func (p Chargers) connectors(ctx context.Context, a *evcs.Actor, in *chargerPath) (*[]api.Connector, error) {
	row, err := p.load(ctx, a, in.ChargerID)
	if err != nil {
		return nil, err
	}
	list, err := p.Read.ConnectorList(ctx, evcs.Only(row.Tenant), []evcs.ChargerID{row.ID})
	return api.Ptr(listOf(list, connectorJSON)), err
}

func (p Chargers) connector(ctx context.Context, a *evcs.Actor, in *connectorPath) (*api.Connector, error) {
	row, err := p.load(ctx, a, in.ChargerID)
	if err != nil {
		return nil, err
	}
	list, err := p.Read.ConnectorList(ctx, evcs.Only(row.Tenant), []evcs.ChargerID{row.ID})
	if err != nil {
		return nil, err
	}
	for _, k := range list {
		if k.No == in.ConnectorNo {
			return api.Ptr(connectorJSON(k)), nil
		}
	}
	return nil, station.ConnectorMissing(row.ID, in.ConnectorNo)
}

func (p Chargers) create(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateCharger }) (*api.Charger, error) {
	b := in.Body
	owner, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	if b.Simulated != nil && *b.Simulated && !a.May("protocol:debug") {
		return nil, evcs.With(errForbidden, map[string]any{"permission": "protocol:debug"})
	}
	made, _, err := p.Write.Create(ctx, a, station.Charger{
		Tenant: owner, Station: evcs.StationID(b.StationID), Code: b.ChargerCode, Name: b.ChargerName, DeviceID: orZero(b.DeviceID), Protocol: orZero(b.Protocol),
		Type: b.ChargerType, RatedPower: evcs.Power(b.RatedPower), GunTypes: b.GunTypes, Brand: b.Brand, Model: b.Model, Manufacturer: b.Manufacturer,
		ProductionDate: (*string)(b.ProductionDate), OperationDate: (*string)(b.OperationDate), InputVoltage: (*evcs.Milli)(b.InputVoltage),
		OutputVoltageRange: b.OutputVoltageRange, OutputCurrentRange: b.OutputCurrentRange, SupportedProtocols: b.SupportedProtocols, Remark: b.Remark,
		Plan: evcs.PlanID(orZero(b.BillingPlanID)), Simulated: orZero(b.Simulated), Enabled: b.Enabled == nil || bool(*b.Enabled),
	}, cmp.Or(orZero(b.GunCount), 1))
	if err != nil {
		return nil, err
	}
	return p.answer(ctx, a, made.ID)
}

// answer is a charger after a verb.
func (p Chargers) answer(ctx context.Context, a *evcs.Actor, id evcs.ChargerID) (*api.Charger, error) {
	row, err := p.Read.ChargerRow(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	return p.whole(ctx, *row)
}

func (p Chargers) update(ctx context.Context, a *evcs.Actor, in *struct{ Body api.UpdateCharger }) (*api.Charger, error) {
	b := in.Body
	id := evcs.ChargerID(cmp.Or(orZero(b.ChargerID), orZero(b.ID)))
	switch {
	case id == 0:
		return nil, evcs.Invalid(evcs.FieldFault{Field: "chargerId", Message: "is required"})
	case b.ChargerID != nil && b.ID != nil && *b.ChargerID != *b.ID:
		return nil, evcs.Invalid(evcs.FieldFault{Field: "id", Message: "differs from chargerId"})
	}
	if _, err := p.Write.Update(ctx, a, id, b.Version, b.GunCount, func(c *station.Charger) error { return applyCharger(c, b) }); err != nil {
		return nil, err
	}
	return p.answer(ctx, a, id)
}

func applyCharger(c *station.Charger, b api.UpdateCharger) error {
	if err := cmp.Or(
		fixed("tenantId", b.TenantID, int64(c.Tenant)), fixed("stationId", b.StationID, int64(c.Station)),
		fixed("deviceId", b.DeviceID, c.DeviceID), fixed("simulated", b.Simulated, c.Simulated),
	); err != nil {
		return err
	}
	put(&c.Code, b.ChargerCode)
	put(&c.Name, b.ChargerName)
	put(&c.Type, b.ChargerType)
	put(&c.RatedPower, (*evcs.Power)(b.RatedPower))
	if b.Protocol.Set {
		c.Protocol = b.Protocol.Value
	}
	if b.BillingPlanID.Set {
		c.Plan = evcs.PlanID(b.BillingPlanID.Value)
	}
	if b.SupportedProtocols.Set {
		c.SupportedProtocols = b.SupportedProtocols.Value
	}
	if b.InputVoltage.Set {
		c.InputVoltage = (*evcs.Milli)(b.InputVoltage.Ptr())
	}
	if b.ProductionDate.Set {
		c.ProductionDate = (*string)(b.ProductionDate.Ptr())
	}
	if b.OperationDate.Set {
		c.OperationDate = (*string)(b.OperationDate.Ptr())
	}
	b.GunTypes.Into(&c.GunTypes)
	b.Brand.Into(&c.Brand)
	b.Model.Into(&c.Model)
	b.Manufacturer.Into(&c.Manufacturer)
	b.OutputVoltageRange.Into(&c.OutputVoltageRange)
	b.OutputCurrentRange.Into(&c.OutputCurrentRange)
	b.Remark.Into(&c.Remark)
	return nil
}

func (p Chargers) remove(ctx context.Context, a *evcs.Actor, in *chargerPath) (*Null, error) {
	return nil, p.Write.Delete(ctx, a, in.ChargerID)
}

func (p Chargers) status(ctx context.Context, a *evcs.Actor, in *struct {
	chargerPath
	Body api.SetChargerStatus
},
) (*api.ChargerStatus, error) {
	c, err := p.Write.SetStatus(ctx, a, in.ChargerID, in.Body.Version, station.Status(in.Body.Status))
	if err != nil {
		return nil, err
	}
	return &api.ChargerStatus{ChargerID: int64(c.ID), Status: int(c.Status), UpdateTime: api.At(c.Updated)}, nil
}

func (p Chargers) enable(ctx context.Context, a *evcs.Actor, in *struct {
	chargerPath
	Body api.EnableCharger
},
) (*api.ChargerEnabled, error) {
	c, running, err := p.Write.Enable(ctx, a, in.ChargerID, in.Body.Version, bool(in.Body.Enabled))
	if err != nil {
		return nil, err
	}
	return &api.ChargerEnabled{ChargerID: int64(c.ID), Enabled: api.Flag(c.Enabled), RunningSessions: running, UpdateTime: api.At(c.Updated)}, nil
}

func (p Chargers) updateConnector(ctx context.Context, a *evcs.Actor, in *struct {
	connectorPath
	Body api.UpdateConnector
},
) (*api.Connector, error) {
	b := in.Body
	_, err := p.Write.UpdateConnector(ctx, a, in.ChargerID, in.ConnectorNo, b.Version, func(k *station.Connector) error {
		b.ConnectorType.Into(&k.Type)
		b.ParkingNo.Into(&k.ParkingNo)
		if b.RatedPower.Set {
			k.RatedPower = (*evcs.Power)(b.RatedPower.Ptr())
		}
		if b.Enabled != nil {
			k.Enabled = bool(*b.Enabled)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p.connector(ctx, a, &in.connectorPath)
}
