package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/report"
)

// ReportReader reads the figures of dashboards; store.Reports implements it.
type ReportReader interface {
	Now(ctx context.Context, scope evcs.Scope, now time.Time, day report.Bounds) (report.Now, error)
	ChargerStatus(ctx context.Context, scope evcs.Scope, station evcs.StationID) (report.ChargerStatus, error)
	OrderCounts(ctx context.Context, scope evcs.Scope, station evcs.StationID, day report.Bounds, hours int) ([]int64, error)
	Energy(ctx context.Context, scope evcs.Scope, station evcs.StationID, b report.Bounds) ([]evcs.Energy, error)
	Revenue(ctx context.Context, scope evcs.Scope, station evcs.StationID, b report.Bounds) (list []report.Revenue, sandbox bool, err error)
	RecentOrders(ctx context.Context, scope evcs.Scope, station evcs.StationID, n int) ([]report.Order, error)
	StationRanks(ctx context.Context, scope evcs.Scope, b report.Bounds, by string, n int) ([]report.StationRank, error)
	Utilizations(ctx context.Context, scope evcs.Scope, station evcs.StationID, from, now time.Time) ([]report.Utilization, error)
	Cities(ctx context.Context, scope evcs.Scope, from, to time.Time, zone *time.Location) ([]order.CityFigures, error)
}

// Dashboard are the operations of the dashboard.
type Dashboard struct {
	Read  ReportReader
	Clock evcs.Clock
}

// OfStation narrows a figure to one station.
type OfStation struct {
	Target
	Station Opt[evcs.StationID] `query:"stationId" minimum:"1"`
}

type trendFilter struct {
	OfStation
	Days Opt[int] `query:"days" minimum:"1" maximum:"366" doc:"Default 7"`
}

type slotFilter struct {
	OfStation
	Date        Opt[api.Date] `query:"date" doc:"Default: today"`
	Granularity Opt[int]      `query:"granularity" enum:"1,2,3,4,6,8,12,24" doc:"Hours, a divisor of 24; default 3"`
}

type recentFilter struct {
	OfStation
	Limit Opt[int] `query:"limit" minimum:"1" maximum:"100" doc:"Default 10"`
}

type rankFilter struct {
	Target
	Days  Opt[int] `query:"days" minimum:"1" maximum:"366" doc:"Default 30"`
	Limit Opt[int] `query:"limit" minimum:"1" maximum:"50" doc:"Default 5"`
	By    string   `query:"by" enum:"orders,energy,revenue" doc:"Default orders"`
}

type useFilter struct {
	OfStation
	Days  Opt[int] `query:"days" minimum:"1" maximum:"366" doc:"Default 30"`
	Limit Opt[int] `query:"limit" minimum:"1" maximum:"50" doc:"Default 5"`
	Order string   `query:"order" enum:"desc,asc" doc:"Default desc"`
}

func (d Dashboard) register(s *Server) {
	op := func(id, rest, summary string) operation {
		return operation{
			ID: id, Method: http.MethodGet, Path: "/api/dashboard/" + rest, Group: "dashboard", Permission: "dashboard:view",
			Summary: summary, WideByDefault: true, Errors: []evcs.Code{evcs.CodeTenantNotFound},
		}
	}
	stats := op("dashboardStats", "stats", "The figures of now and of today")
	stats.Aliases = []string{"/api/dashboard/statistics", "/api/dashboard/summary"}
	register(s, stats, d.stats)
	register(s, op("chargerStatus", "charger-status", "Enabled chargers by status"), d.chargerStatus)
	register(s, op("chargingTrend", "charging-trend", "Metered energy by day, oldest first"), d.chargingTrend)
	register(s, op("revenueTrend", "revenue-trend", "Revenue by day, oldest first"), d.revenueTrend)
	register(s, op("orderPeriodDistribution", "order-period-distribution", "Orders of a day by slot"), d.slots)
	register(s, op("recentOrders", "recent-orders", "The newest orders"), d.recent)
	register(s, op("stationRanking", "station-ranking", "Stations by orders, energy or revenue"), d.ranking)
	register(s, operation{
		ID: "ordersByCity", Method: http.MethodGet, Path: "/api/order/statistics/city", Group: "order", Permission: "order:list",
		Summary: "Orders by city of their station", Description: "Orders that are not cancelled, by their start; the last 30 days when no time is given.",
	}, d.byCity)
	register(s, op("chargerUtilization", "charger-utilization", "How much chargers were used"), d.utilization)
}

func (d Dashboard) stats(ctx context.Context, a *evcs.Actor, in *Target) (*api.DashboardStats, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	now := d.Clock.Now()
	n, err := d.Read.Now(ctx, scope, now, report.OneDay(now, zoneOf(a)))
	if err != nil {
		return nil, err
	}
	return &api.DashboardStats{
		TenantCount: n.Tenants, UserCount: n.Users, StationCount: n.StationsOpen, StationTotal: n.Stations,
		ChargerCount: n.ChargersEnabled, ChargerTotal: n.Chargers, ConnectorCount: n.Connectors, OnlineChargerCount: n.Online,
		ActiveSessionCount: n.Sessions, TodayOrderCount: n.Orders, TodayChargingAmount: api.KWh(n.Energy),
		TodayRevenue: api.Money(n.Revenue.Net()), TodayGrossRevenue: api.Money(n.Revenue.Gross), TodayRefund: api.Money(n.Revenue.Refund),
		Sandbox: n.Sandbox,
	}, nil
}

func (d Dashboard) chargerStatus(ctx context.Context, a *evcs.Actor, in *OfStation) (*api.ChargerStatusCounts, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	c, err := d.Read.ChargerStatus(ctx, scope, in.Station.Value)
	if err != nil {
		return nil, err
	}
	return &api.ChargerStatusCounts{
		Total: c.Total(), Online: c.Total() - c[api.ChargerOffline], Offline: c[api.ChargerOffline], Charging: c[api.ChargerCharging],
		Idle: c[api.ChargerIdle], Fault: c[api.ChargerFault], Maintenance: c[api.ChargerMaintenance], Reserved: c[api.ChargerReserved],
	}, nil
}

func (d Dashboard) chargingTrend(ctx context.Context, a *evcs.Actor, in *trendFilter) (*[]api.EnergyOfDay, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	days := report.LastDays(d.Clock.Now(), zoneOf(a), in.Days.Or(7))
	found, err := d.Read.Energy(ctx, scope, in.Station.Value, days)
	if err != nil {
		return nil, err
	}
	list := make([]api.EnergyOfDay, len(found))
	for i, e := range found {
		list[i] = api.EnergyOfDay{Date: api.DateOf(days[i]), Value: api.KWh(e)}
	}
	return &list, nil
}

func (d Dashboard) revenueTrend(ctx context.Context, a *evcs.Actor, in *trendFilter) (*[]api.RevenueOfDay, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	days := report.LastDays(d.Clock.Now(), zoneOf(a), in.Days.Or(7))
	found, _, err := d.Read.Revenue(ctx, scope, in.Station.Value, days)
	if err != nil {
		return nil, err
	}
	list := make([]api.RevenueOfDay, len(found))
	for i, r := range found {
		list[i] = api.RevenueOfDay{Date: api.DateOf(days[i]), Value: api.Money(r.Net()), Gross: api.Money(r.Gross), Refund: api.Money(r.Refund)}
	}
	return &list, nil
}

func (d Dashboard) slots(ctx context.Context, a *evcs.Actor, in *slotFilter) (*[]api.OrderSlot, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	day := report.OneDay(d.Clock.Now(), zoneOf(a))
	if in.Date.Set {
		y, m, date := in.Date.Value.In(time.UTC).Date()
		day = report.OneDay(time.Date(y, m, date, 12, 0, 0, 0, zoneOf(a)), zoneOf(a)) // noon is there on every day
	}
	hours := in.Granularity.Or(3)
	counts, err := d.Read.OrderCounts(ctx, scope, in.Station.Value, day, hours)
	if err != nil {
		return nil, err
	}
	list := make([]api.OrderSlot, len(counts))
	for i, n := range counts {
		list[i] = api.OrderSlot{Slot: fmt.Sprintf("%d-%d时", i*hours, (i+1)*hours), StartHour: i * hours, EndHour: (i + 1) * hours, Count: n}
	}
	return &list, nil
}

func (d Dashboard) recent(ctx context.Context, a *evcs.Actor, in *recentFilter) (*[]api.RecentOrder, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	found, err := d.Read.RecentOrders(ctx, scope, in.Station.Value, in.Limit.Or(10))
	if err != nil {
		return nil, err
	}
	list := listOf(found, func(o report.Order) api.RecentOrder {
		return api.RecentOrder{
			OrderID: int64(o.ID), OrderNo: o.No, SessionID: o.Session, TenantID: int64(o.Tenant), StationName: o.StationName,
			ChargerCode: o.ChargerCode, ConnectorNo: o.Connector, UserName: o.UserName, Energy: api.KWh(o.Energy),
			Amount: api.Money(o.Amount), Status: o.Status, StatusName: order.Status(o.Status).Name(), CreateTime: api.At(o.Created),
		}
	})
	return &list, nil
}

func (d Dashboard) ranking(ctx context.Context, a *evcs.Actor, in *rankFilter) (*[]api.StationRank, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	period := report.LastDays(d.Clock.Now(), zoneOf(a), in.Days.Or(30))
	found, err := d.Read.StationRanks(ctx, scope, period, in.By, in.Limit.Or(5))
	if err != nil {
		return nil, err
	}
	list := listOf(found, func(r report.StationRank) api.StationRank {
		return api.StationRank{
			StationID: int64(r.Station), StationName: r.Name, Orders: r.Orders, Energy: api.KWh(r.Energy), Revenue: api.Money(r.Revenue),
			Percentage: api.Percent(report.Share(r.By(in.By), found[0].By(in.By))),
		}
	})
	return &list, nil
}

func (d Dashboard) utilization(ctx context.Context, a *evcs.Actor, in *useFilter) (*[]api.ChargerUtilization, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	now := d.Clock.Now()
	period := report.LastDays(now, zoneOf(a), in.Days.Or(30))
	found, err := d.Read.Utilizations(ctx, scope, in.Station.Value, period.First(), now)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(x, y report.Utilization) int {
		if in.Order == "asc" {
			return cmp.Compare(x.Share(), y.Share())
		}
		return cmp.Compare(y.Share(), x.Share())
	})
	list := listOf(found[:min(len(found), in.Limit.Or(5))], func(u report.Utilization) api.ChargerUtilization {
		return api.ChargerUtilization{
			ChargerID: int64(u.Charger), ChargerCode: u.Code, StationName: u.StationName, OccupiedMinutes: int64(u.Occupied.Minutes()),
			AvailableMinutes: int64(u.Available.Minutes()), Utilization: api.Percent(u.Share()),
		}
	})
	return &list, nil
}

// cityDays is how far back the city figures go when no time is given.
const cityDays = 30 * 24 * time.Hour

func (d Dashboard) byCity(ctx context.Context, a *evcs.Actor, in *struct {
	Target
	StartTime Opt[api.Time] `query:"startTime"`
	EndTime   Opt[api.Time] `query:"endTime"`
},
) (*[]api.CityStatistics, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	from, to := span(a, in.StartTime, in.EndTime)
	if to == 0 {
		to = evcs.Millis(d.Clock.Now()) + 1
	}
	if from == 0 {
		from = to - cityDays.Milliseconds()
	}
	if to < from {
		return nil, evcs.Invalid(evcs.FieldFault{Field: "endTime", Message: "lies before startTime"})
	}
	list, err := d.Read.Cities(ctx, scope, evcs.FromMillis(from), evcs.FromMillis(to), zoneOf(a))
	return api.Ptr(listOf(list, func(c order.CityFigures) api.CityStatistics {
		return api.CityStatistics{
			Province: textOrNil(c.Province), City: textOrNil(c.City), OrderCount: c.Orders, StationCount: c.Stations, TotalEnergy: api.KWh(c.Energy),
			TotalAmount: api.Money(c.Amount), NetPaidAmount: api.Money(c.NetPaid),
		}
	})), err
}
