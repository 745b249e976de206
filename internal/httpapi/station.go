package httpapi

import (
	"cmp"
	"context"
	"math"
	"net/http"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// StationReader reads stations; store.Stations satisfies it.
type StationReader interface {
	StationRow(ctx context.Context, scope evcs.Scope, id evcs.StationID) (*station.StationRow, error)
	StationPage(ctx context.Context, scope evcs.Scope, want station.StationFilter, r evcs.PageRequest) (evcs.Page[station.StationRow], error)
	CountRunning(ctx context.Context, scope evcs.Scope, id evcs.StationID) (int64, error)
	CountStations(ctx context.Context, scope evcs.Scope, status []int) (int64, error)
	Nearby(ctx context.Context, scope evcs.Scope, want station.NearFilter, c station.Circle, limit int) ([]station.Near, error)
	StationCodeTaken(ctx context.Context, t evcs.TenantID, code string, except evcs.StationID) (bool, error)
}

// Stations are the operations of stations.
type Stations struct {
	Read  StationReader
	Write *station.Registry

	s *Server
}

type stationPath struct {
	StationID evcs.StationID `path:"stationId"`
}

type stationFilter struct {
	Paging
	StationName string `query:"stationName" maxLength:"100"`
	StationCode string `query:"stationCode" maxLength:"64"`
	Keyword     string `query:"keyword" maxLength:"200" doc:"Name, code or address"`
	Status      []int  `query:"status" maxItems:"2" minimum:"0" maximum:"1"`
	StationType []int  `query:"stationType" maxItems:"3" minimum:"1" maximum:"3"`
	Province    string `query:"province" maxLength:"50" doc:"Exact"`
	City        string `query:"city" maxLength:"50" doc:"Exact"`
	District    string `query:"district" maxLength:"50" doc:"Exact"`
}

func (p Stations) register(s *Server) {
	p.s = s
	one := operation{Path: "/api/station/{stationId}", Group: "station", Errors: []evcs.Code{evcs.CodeStationNotFound}}
	registerList(s, operation{
		ID: "listStations", Path: "/api/station", Group: "station", Permission: "station:list", Summary: "Stations",
		Sorts: []string{"stationId", "createTime", "stationName", "stationCode", "totalChargers"},
	}, p.list)
	register(s, operation{
		ID: "createStation", Method: http.MethodPost, Path: "/api/station", Group: "station", Permission: "station:add", Summary: "Create a station",
		Said: created, ReadOnly: []any{api.Station{}}, Errors: []evcs.Code{evcs.CodeStationCodeExists, evcs.CodeQuotaExceeded, evcs.CodeTenantNotFound},
	}, p.create)
	register(s, operation{
		ID: "stationsNearby", Method: http.MethodGet, Path: "/api/station/nearby", Group: "station", Permission: "station:query",
		Summary: "Enabled stations around a point, nearest first", Description: "Great circle on a sphere of 6371 km. The order is that of the distance as it is, then stationId; distance is rounded to a metre.",
	}, p.nearby)
	register(s, operation{
		ID: "checkStationCode", Method: http.MethodGet, Path: "/api/station/check-code", Group: "station", Permission: "station:query",
		Summary: "Is the code taken in the tenant? true = taken",
	}, p.checkCode)
	register(s, operation{
		ID: "countStations", Method: http.MethodGet, Path: "/api/station/count", Group: "station", Permission: "station:query", Summary: "How many live stations there are",
	}, p.count)
	get := one
	get.ID, get.Method, get.Permission, get.Summary = "getStation", http.MethodGet, "station:query", "One station"
	register(s, get, p.get)
	put := one
	put.ID, put.Method, put.Permission, put.Summary = "updateStation", http.MethodPut, "station:edit", "Change a station"
	put.ReadOnly, put.Errors = []any{api.Station{}}, []evcs.Code{evcs.CodeStationNotFound, evcs.CodeStationCodeExists}
	register(s, put, p.update)
	remove := one
	remove.ID, remove.Method, remove.Permission, remove.Summary = "deleteStation", http.MethodDelete, "station:remove", "Delete a station without chargers"
	remove.Errors = []evcs.Code{evcs.CodeStationNotFound, evcs.CodeStationHasChargers}
	register(s, remove, p.remove)
	status := one
	status.ID, status.Method, status.Permission, status.Summary = "setStationStatus", http.MethodPut, "station:edit", "Enable or disable a station"
	status.Path += "/status"
	status.Description = "Disabling refuses new sessions; running ones go on to their end."
	register(s, status, p.status)
}

func (p Stations) list(ctx context.Context, a *evcs.Actor, in *stationFilter, page evcs.PageRequest) (evcs.Page[api.Station], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Station]{}, err
	}
	found, err := p.Read.StationPage(ctx, scope, station.StationFilter{
		Name: in.StationName, Code: in.StationCode, Keyword: in.Keyword, Province: in.Province, City: in.City, District: in.District,
		Status: in.Status, Types: in.StationType,
	}, page)
	return pageOf(found, stationJSON), err
}

func stationJSON(r station.StationRow) api.Station {
	return api.Station{
		StationID: int64(r.ID), TenantID: int64(r.Tenant), TenantName: r.TenantName, StationCode: r.Code, StationName: r.Name, Address: r.Address,
		Latitude: (*api.Degree)(r.Latitude), Longitude: (*api.Degree)(r.Longitude), Status: flagOf(r.Enabled), Province: r.Province, City: r.City,
		District: r.District, StationType: r.Type, OperatorName: r.OperatorName, OperatorPhone: r.OperatorPhone, ServiceHours: r.ServiceHours,
		Remark: r.Remark, Facilities: append([]string{}, r.Facilities...), TimeZone: r.TimeZone, TotalChargers: r.Counts.Chargers,
		AvailableChargers: r.Counts.Available, ChargingChargers: r.Counts.Charging, FaultChargers: r.Counts.Fault, OfflineChargers: r.Counts.Offline,
		TotalConnectors: r.Counts.Connectors, AvailableConnectors: r.Counts.AvailableConnectors, CreateTime: api.At(r.Created),
		UpdateTime: api.At(r.Updated), CreateBy: idOrNil(r.CreatedBy), UpdateBy: idOrNil(r.UpdatedBy), Version: r.Version,
	}
}

// answer is a station after a verb, with its counts.
func (p Stations) answer(ctx context.Context, a *evcs.Actor, id evcs.StationID) (*api.Station, error) {
	row, err := p.Read.StationRow(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return nil, err
	}
	return api.Ptr(stationJSON(*row)), nil
}

func (p Stations) get(ctx context.Context, a *evcs.Actor, in *stationPath) (*api.Station, error) {
	row, err := p.Read.StationRow(ctx, evcs.Subtree(a.Tenant), in.StationID)
	if err != nil {
		return nil, err
	}
	if err := readable(ctx, a, row.Tenant); err != nil {
		return nil, err
	}
	return api.Ptr(stationJSON(*row)), nil
}

func (p Stations) create(ctx context.Context, a *evcs.Actor, in *struct{ Body api.CreateStation }) (*api.Station, error) {
	b := in.Body
	owner, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	made, err := p.Write.CreateStation(ctx, a, station.Station{
		Tenant: owner, Code: b.StationCode, Name: b.StationName, Address: b.Address, Latitude: (*station.Degree)(b.Latitude),
		Longitude: (*station.Degree)(b.Longitude), Enabled: b.Status == nil || *b.Status == 1, Province: b.Province, City: b.City, District: b.District,
		Type: cmp.Or(orZero(b.StationType), 1), OperatorName: b.OperatorName, OperatorPhone: b.OperatorPhone, ServiceHours: b.ServiceHours,
		Facilities: b.Facilities, TimeZone: b.TimeZone, Remark: b.Remark,
	})
	if err != nil {
		return nil, err
	}
	return p.answer(ctx, a, made.ID)
}

func (p Stations) update(ctx context.Context, a *evcs.Actor, in *struct {
	stationPath
	Body api.UpdateStation
},
) (*api.Station, error) {
	b := in.Body
	_, err := p.Write.UpdateStation(ctx, a, in.StationID, b.Version, func(s *station.Station) error {
		if err := fixed("tenantId", b.TenantID, int64(s.Tenant)); err != nil {
			return err
		}
		put(&s.Code, b.StationCode)
		put(&s.Name, b.StationName)
		put(&s.Address, b.Address)
		put(&s.Type, b.StationType)
		put(&s.Facilities, b.Facilities)
		if b.Status != nil {
			s.Enabled = *b.Status == 1
		}
		setDegree(&s.Latitude, b.Latitude)
		setDegree(&s.Longitude, b.Longitude)
		b.Province.Into(&s.Province)
		b.City.Into(&s.City)
		b.District.Into(&s.District)
		b.OperatorName.Into(&s.OperatorName)
		b.OperatorPhone.Into(&s.OperatorPhone)
		b.ServiceHours.Into(&s.ServiceHours)
		b.TimeZone.Into(&s.TimeZone)
		b.Remark.Into(&s.Remark)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p.answer(ctx, a, in.StationID)
}

// fixed refuses another value for a field that creation fixed (contract §1.4).
func fixed[T comparable](field string, given *T, have T) error {
	if given == nil || *given == have {
		return nil
	}
	return evcs.Invalid(evcs.FieldFault{Field: field, Message: "is fixed at creation"})
}

// put sets a field that a PUT brought.
func put[T any](field *T, given *T) {
	if given != nil {
		*field = *given
	}
}

func setDegree(field **station.Degree, given api.Optional[api.Degree]) {
	if given.Set {
		*field = (*station.Degree)(given.Ptr())
	}
}

func (p Stations) remove(ctx context.Context, a *evcs.Actor, in *stationPath) (*Null, error) {
	return nil, p.Write.DeleteStation(ctx, a, in.StationID)
}

func (p Stations) status(ctx context.Context, a *evcs.Actor, in *struct {
	stationPath
	Body struct {
		Status  int    `json:"status" minimum:"0" maximum:"1"`
		Version *int64 `json:"version,omitempty" minimum:"0"`
	}
},
) (*api.StationStatus, error) {
	made, err := p.Write.UpdateStation(ctx, a, in.StationID, in.Body.Version, func(s *station.Station) error {
		s.Enabled = in.Body.Status == 1
		return nil
	})
	if err != nil {
		return nil, err
	}
	running, err := p.Read.CountRunning(ctx, evcs.Only(made.Tenant), made.ID)
	return &api.StationStatus{StationID: int64(made.ID), Status: flagOf(made.Enabled), RunningSessions: running, UpdateTime: api.At(made.Updated)}, err
}

func (p Stations) checkCode(ctx context.Context, a *evcs.Actor, in *struct {
	StationCode string              `query:"stationCode" required:"true" minLength:"1" maxLength:"64"`
	ExcludeID   Opt[evcs.StationID] `query:"excludeId" minimum:"1"`
},
) (*bool, error) {
	taken, err := p.Read.StationCodeTaken(ctx, a.Tenant, in.StationCode, in.ExcludeID.Or(0))
	return &taken, err
}

func (p Stations) count(ctx context.Context, a *evcs.Actor, in *struct {
	Target
	Status []int `query:"status" maxItems:"2" minimum:"0" maximum:"1"`
},
) (*int64, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	n, err := p.Read.CountStations(ctx, scope, in.Status)
	return &n, err
}

type nearbyQuery struct {
	Target
	Latitude      float64       `query:"latitude" required:"true" minimum:"-90" maximum:"90"`
	Longitude     float64       `query:"longitude" required:"true" minimum:"-180" maximum:"180"`
	Radius        Opt[float64]  `query:"radius" exclusiveMinimum:"0" maximum:"50" doc:"km; 10 when absent"`
	Limit         Opt[int]      `query:"limit" minimum:"1" maximum:"100" doc:"20 when absent"`
	AvailableOnly Opt[api.Flag] `query:"availableOnly" doc:"Only stations with an idle charger"`
	ChargerType   Opt[int]      `query:"chargerType" minimum:"1" maximum:"3"`
}

func (p Stations) nearby(ctx context.Context, a *evcs.Actor, in *nearbyQuery) (*[]api.NearbyStation, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	radius := in.Radius.Or(10)
	if math.IsNaN(in.Latitude + in.Longitude + radius) { // neither below nor above a bound
		return nil, evcs.Invalid(evcs.FieldFault{Field: "latitude", Message: "longitude and radius must be numbers"})
	}
	here := station.Circle{
		Latitude: station.Degree(math.Round(in.Latitude * 1e7)), Longitude: station.Degree(math.Round(in.Longitude * 1e7)), RadiusKM: radius,
	}
	want := station.NearFilter{Available: bool(in.AvailableOnly.Value)}
	if in.ChargerType.Set {
		want.ChargerTypes = []int{in.ChargerType.Value, 3} // 3 is both
	}
	found, err := p.Read.Nearby(ctx, scope, want, here, in.Limit.Or(20))
	if err != nil {
		return nil, err
	}
	near := make([]api.NearbyStation, len(found))
	for i, r := range found {
		near[i] = api.NearbyStation{Station: stationJSON(r.StationRow), Distance: api.Measure(math.Round(r.DistanceKM * 1000))}
	}
	return &near, nil
}
