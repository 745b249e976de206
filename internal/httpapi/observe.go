package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/report"
)

// Watcher knows how the installation is; *health.Watch is one.
type Watcher interface {
	System() health.System
	Nodes(ctx context.Context) []health.Node
	Requests(ctx context.Context, w health.Window) ([]health.Minute, error)
}

// BusinessReader reads the figures of the trade; store.Reports is one.
type BusinessReader interface {
	Now(ctx context.Context, scope evcs.Scope, now time.Time, day report.Bounds) (report.Now, error)
	Business(ctx context.Context, scope evcs.Scope, from, to time.Time) (report.Business, error)
	Outcomes(ctx context.Context, scope evcs.Scope, from, to time.Time) (report.Outcomes, error)
}

// Observation are the operations that show what is measured.
type Observation struct {
	Watch  Watcher
	Read   BusinessReader
	Alerts AlertReader
	Clock  evcs.Clock
}

const (
	seeMonitoring evcs.Permission = "monitoring:view"
	seeSystem     evcs.Permission = "monitoring:system"
)

// ServicePath names a part of the daemon.
type ServicePath struct {
	Name string `path:"serviceName" maxLength:"50"`
}

type performanceFilter struct {
	From     Opt[api.Time] `query:"startTime" doc:"Default: 15 min before endTime"`
	To       Opt[api.Time] `query:"endTime" doc:"Default: now"`
	Endpoint string        `query:"endpoint" maxLength:"200" doc:"Path template, exact"`
	Method   string        `query:"method" enum:"GET,POST,PUT,DELETE,PATCH" doc:"Exact"`
}

// observing declares one read of monitoring under both prefixes.
func observing(id, rest string, perm evcs.Permission, summary, description string, errs ...evcs.Code) operation {
	return operation{
		ID: id, Method: http.MethodGet, Path: monitoringPath + rest, Aliases: []string{monitoringV1Path + rest}, Group: "monitoring",
		Permission: perm, Summary: summary, Description: description, WideByDefault: true, Errors: errs,
	}
}

func (o Observation) register(s *Server) {
	register(s, observing("monitoringOverview", "overview", seeMonitoring, "Everything at one look",
		"Host figures need monitoring:system and are null without it; so are alerts of the host left out."), o.overview)
	register(s, observing("versions", "versions", seeSystem, "What every node runs",
		"One entry per part and node. A node that stopped in order leaves at once; one that fell silent stays for 24 h as not reachable."), o.versions)
	register(s, observing("servicesHealth", "services/health", seeMonitoring, "State of every part of the daemon",
		"Checks run every 10 s with a limit of 2 s. What has nothing to be compared with on this platform is not listed: the clock on SQLite."), o.services)
	register(s, observing("serviceHealth", "services/{serviceName}/health", seeMonitoring, "State of one part of the daemon", "", evcs.CodeServiceUnknown), o.service)
	register(s, observing("systemMetrics", "metrics/system", seeSystem, "Host, process and database of the answering node",
		"Sampled every 10 s. What the platform does not tell is null."), o.system)
	register(s, observing("performanceMetrics", "metrics/performance", seeSystem, "Response times and outcomes by operation, over all nodes",
		"The window is widened to whole minutes. Streams, and answers that a wait parameter delayed, are counted but not timed. "+
			"Other nodes' minutes appear when they are over; kept for 7 days."), o.performance)
	register(s, observing("businessMetrics", "metrics/business", seeMonitoring, "Figures of the trade now",
		"startSuccessRate is of the starts decided in the last hour, by card or by request; adopted orders do not count.", evcs.CodeTenantNotFound), o.business)
}

func (o Observation) parts(ctx context.Context) []health.Part {
	return health.Judge(o.Watch.Nodes(ctx), o.Clock.Now())
}

func (o Observation) overview(ctx context.Context, a *evcs.Actor, in *Target) (*api.MonitoringOverview, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	parts := o.parts(ctx)
	view := api.MonitoringOverview{Status: string(health.Overall(parts)), Services: listOf(parts, worded(ctx, partJSON))}
	for i := range view.Services {
		view.Services[i].Details = nil
	}
	if a.May(seeSystem) {
		if view.Metrics, err = o.system(ctx, a, nil); err != nil {
			return nil, err
		}
	}
	business, err := o.figures(ctx, a, scope)
	if err != nil {
		return nil, err
	}
	view.Business = *business
	open := AlertQuery{Statuses: []string{api.AlertActive, api.AlertAcknowledged}, Host: a.May(seeSystem)}
	newest, err := o.Alerts.AlertPage(ctx, scope, open, evcs.PageRequest{Page: 1, Size: 20, NoTotal: true})
	if err != nil {
		return nil, err
	}
	view.Alerts = listOf(newest.Records, alertWords(ctx))
	counts, err := o.Alerts.CountAlerts(ctx, scope, open)
	if err != nil {
		return nil, err
	}
	view.AlertCounts = alertCounts(counts)
	return &view, nil
}

func alertCounts(list []AlertCount) api.AlertCounts {
	s := alertStatistics(list)
	return api.AlertCounts{
		Total: s.ActiveAlerts + s.AcknowledgedAlerts, Active: s.ActiveAlerts, Acknowledged: s.AcknowledgedAlerts,
		Critical: s.CriticalAlerts, High: s.HighAlerts, Medium: s.MediumAlerts, Low: s.LowAlerts,
	}
}

func (o Observation) versions(ctx context.Context, _ *evcs.Actor, _ *struct{}) (*[]api.ServiceVersion, error) {
	now := o.Clock.Now()
	list := []api.ServiceVersion{}
	nodes := o.Watch.Nodes(ctx)
	for _, part := range health.Parts() {
		for _, n := range nodes {
			v := api.ServiceVersion{
				ServiceName: part, InstanceID: n.ID, Host: n.Host, Port: portOf(part, n), Reachable: n.Heard(now),
				BuildVersion: n.Build.Version, BuildTime: textOrNil(n.Build.Built), GitCommit: textOrNil(n.Build.Commit),
				GoVersion: n.Build.Go, ImageTag: textOrNil(n.Build.Image), SchemaVersion: n.Build.Schema, StartTime: api.At(n.Started),
			}
			if !v.Reachable {
				v.Error = sentence("not heard since "+api.At(n.Seen).String(), inEnglish(ctx))
			}
			list = append(list, v)
		}
	}
	return &list, nil
}

func portOf(part string, n health.Node) int {
	if part == health.Protocol {
		return n.Build.DevicePort
	}
	return n.Port
}

func (o Observation) services(ctx context.Context, _ *evcs.Actor, _ *struct{}) (*[]api.Health, error) {
	list := listOf(o.parts(ctx), worded(ctx, partJSON))
	return &list, nil
}

func (o Observation) service(ctx context.Context, _ *evcs.Actor, in *ServicePath) (*api.Health, error) {
	part, err := health.JudgeOne(in.Name, o.Watch.Nodes(ctx), o.Clock.Now())
	if err != nil {
		return nil, err
	}
	return api.Ptr(partJSON(part, inEnglish(ctx))), nil
}

func partJSON(p health.Part, english bool) api.Health {
	h := api.Health{
		ServiceName: p.Name, Status: string(p.Status), InstanceCount: len(p.Instances), HealthyInstances: p.Healthy,
		UnhealthyInstances: len(p.Instances) - p.Healthy, LastCheckTime: api.At(p.Checked), Checks: listOf(p.Checks, func(c health.Check) api.HealthCheck { return checkJSON(c, english) }),
	}
	if took, ok := p.Took(); ok {
		h.ResponseTime = millis(took)
	}
	for _, i := range p.Instances {
		n, s := i.Node, i.Node.State
		one := api.HealthInstance{
			InstanceID: n.ID, Host: n.Host, Port: portOf(p.Name, n), Status: string(i.Status), Uptime: int64(n.Seen.Sub(n.Started) / time.Second),
			Memory: api.HealthMemory{Used: s.MemoryUsed, Max: s.MemoryMax}, Threads: api.HealthThreads{Active: s.Threads, Peak: s.PeakThreads},
			Goroutines: s.Goroutines,
		}
		if s.MemoryMax != nil {
			one.Memory.UsagePercent = api.Ptr(api.Percent(report.Share(s.MemoryUsed, *s.MemoryMax)))
		}
		h.Details = append(h.Details, one)
	}
	return h
}

func checkJSON(c health.Check, english bool) api.HealthCheck {
	return api.HealthCheck{Name: c.Name, Status: string(c.Status), Message: sentence(c.Message, english), ResponseTime: millis(c.Took)}
}

// millis is a duration in milliseconds with three decimals.
func millis(d time.Duration) *api.Measure { return api.Ptr(api.Measure(d.Microseconds())) }

func (o Observation) system(context.Context, *evcs.Actor, *struct{}) (*api.SystemMetrics, error) {
	s := o.Watch.System()
	if s.At.IsZero() {
		return nil, evcs.With(evcs.ErrUnavailable, map[string]any{"reason": "nothing was measured yet"})
	}
	m := api.SystemMetrics{
		CPU:    api.CPUMetrics{Usage: percentOrNil(s.CPU.Usage), Cores: s.CPU.Cores},
		Memory: spaceJSON(s.Memory), Disk: spaceJSON(s.Disk),
		JVM: api.RuntimeMetrics{
			HeapUsed: s.Runtime.HeapUsed, HeapMax: s.Runtime.HeapMax, HeapUsagePercent: percentOrNil(s.Runtime.HeapShare()),
			NonHeapUsed: s.Runtime.NonHeap, ThreadCount: s.Runtime.Threads, GCCount: s.Runtime.GCs, GCTime: s.Runtime.GCTime.Milliseconds(),
		},
		Process: api.ProcessMetrics{
			RSS: s.Process.RSS, OpenFiles: s.Process.Files, Goroutines: s.Process.Goroutines, GoVersion: s.Process.GoVersion,
			Uptime: int64(s.Process.Uptime / time.Second),
		},
		Database: api.DatabaseMetrics{
			Engine: s.Database.Engine, SizeBytes: s.Database.Size, OpenConnections: s.Database.Open, MaxConnections: s.Database.Max,
			WALBytes: s.Database.WAL,
		},
	}
	if s.CPU.Load != nil {
		m.CPU.SystemLoad = api.Ptr(api.Measure(*s.CPU.Load))
	}
	if n := s.Network; n != nil {
		m.Network = api.Ptr(api.NetworkMetrics(*n))
	}
	return &m, nil
}

func percentOrNil(n *int64) *api.Percent {
	if n == nil {
		return nil
	}
	return api.Ptr(api.Percent(*n))
}

func spaceJSON(s *health.Space) *api.SpaceMetrics {
	if s == nil {
		return nil
	}
	return &api.SpaceMetrics{Total: s.Total, Used: s.Used, Free: s.Free, UsagePercent: api.Percent(s.Share())}
}

const (
	performanceSpan = 15 * time.Minute
	performanceMost = 24 * time.Hour
	// PerformanceKept is how long durations are kept.
	PerformanceKept = 7 * 24 * time.Hour
)

func (o Observation) performance(ctx context.Context, _ *evcs.Actor, in *performanceFilter) (*[]api.EndpointStats, error) {
	now := o.Clock.Now()
	w := health.Window{To: now, Endpoint: in.Endpoint, Method: in.Method}
	if in.To.Set {
		w.To = in.To.Value.Std()
	}
	w.From = w.To.Add(-performanceSpan)
	if in.From.Set {
		w.From = in.From.Value.Std()
	}
	switch {
	case !w.From.Before(w.To):
		return nil, evcs.Invalid(evcs.FieldFault{Field: "endTime", Message: "must be after startTime"})
	case w.To.Sub(w.From) > performanceMost:
		return nil, evcs.Invalid(evcs.FieldFault{Field: "endTime", Message: "must be at most 24 h after startTime"})
	case now.Sub(w.From) > PerformanceKept:
		return nil, evcs.Invalid(evcs.FieldFault{Field: "startTime", Message: "must be at most 7 days ago"})
	}
	w = w.WholeMinutes()
	found, err := o.Watch.Requests(ctx, w)
	if err != nil {
		return nil, err
	}
	end := w.To
	if end.After(now) {
		end = now
	}
	covered := max(end.Sub(w.From), time.Second)
	list := make([]api.EndpointStats, len(found))
	for i := range found {
		list[i] = endpointJSON(&found[i], covered)
	}
	return &list, nil
}

func endpointJSON(m *health.Minute, covered time.Duration) api.EndpointStats {
	s := api.EndpointStats{
		Endpoint: m.Endpoint, Method: m.Method, RequestCount: m.Requests, SuccessCount: m.Succeeded, ClientErrorCount: m.ClientErrors,
		ErrorCount: m.ServerErrors, SuccessRate: api.Percent(m.SuccessShare()), QPS: api.Measure(m.Requests * 1_000_000 / covered.Milliseconds()),
	}
	if h := &m.Durations; h.Count > 0 {
		s.AvgResponseTime, s.MinResponseTime, s.MaxResponseTime = millis(h.Mean()), millis(h.Min), millis(h.Max)
		s.P50ResponseTime, s.P90ResponseTime = millis(h.Quantile(500)), millis(h.Quantile(900))
		s.P95ResponseTime, s.P99ResponseTime = millis(h.Quantile(950)), millis(h.Quantile(990))
	}
	return s
}

func (o Observation) business(ctx context.Context, a *evcs.Actor, in *Target) (*api.BusinessMetrics, error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return nil, err
	}
	return o.figures(ctx, a, scope)
}

func (o Observation) figures(ctx context.Context, a *evcs.Actor, scope evcs.Scope) (*api.BusinessMetrics, error) {
	now := o.Clock.Now()
	today := report.OneDay(now, zoneOf(a))
	c, err := o.Read.Now(ctx, scope, now, today)
	if err != nil {
		return nil, err
	}
	b, err := o.Read.Business(ctx, scope, today.First(), today.Last())
	if err != nil {
		return nil, err
	}
	hour, err := o.Read.Outcomes(ctx, scope, now.Add(-time.Hour), now.Add(time.Millisecond)) // this moment included
	if err != nil {
		return nil, err
	}
	return &api.BusinessMetrics{
		ActiveOrders: b.ActiveOrders, DailyOrders: c.Orders, ActiveChargers: b.ActiveChargers, OnlineChargers: c.Online,
		DailyRevenue: api.Money(c.Revenue.Net()), ActiveUsers: b.ActiveUsers, DailyNewUsers: b.NewUsers,
		StartSuccessRate:   percentOrNil(report.Rate(hour.Starts-hour.FailedStarts, hour.Starts)),
		PaymentSuccessRate: percentOrNil(report.Rate(hour.Paid, hour.Paid+hour.FailedPayments)),
		ChargerOnlineRate:  percentOrNil(report.Rate(c.Online, c.ChargersEnabled)),
		HeldOrders:         b.Held, OrphanSessions: b.Orphans, OpenDifferences: b.OpenDifference,
	}, nil
}
