package evcstest_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// found makes a tenant below the platform and signs its administrator in.
func found(t *testing.T, d *evcstest.Daemon, admin evcstest.Caller, code string) evcstest.Caller {
	t.Helper()
	var made struct{ TenantID int64 }
	admin.OK(t, http.MethodPost, "/api/tenant", map[string]any{
		"tenantCode": code, "tenantName": code, "tenantType": 3, "contactPerson": "b", "contactPhone": "13800000000",
	}).Into(t, &made)
	const password = "Strong-pass-1"
	admin.OK(t, http.MethodPost, "/api/user", map[string]any{
		"username": "boss", "identifier": "boss@" + code, "password": password, "roles": []string{"ADMIN"}, "tenantId": made.TenantID, "mustChangePassword": 0,
	})
	return d.SignIn("boss@"+code, password)
}

// partSeen is what a test reads of a part's health.
type partSeen struct {
	ServiceName, Status                                 string
	InstanceCount, HealthyInstances, UnhealthyInstances int
	Checks                                              []struct{ Name, Status, Message string }
	Details                                             []struct {
		InstanceID, Status string
		Port, Goroutines   int
		Memory             struct{ Used int64 }
	}
}

func ask[T any](t *testing.T, c evcstest.Caller, path string) T {
	t.Helper()
	var v T
	c.OK(t, http.MethodGet, path, nil).Into(t, &v)
	return v
}

var prefixes = []string{"/api/monitoring/", "/api/v1/monitoring/"}

func TestHealthVersionsAndHost(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		admin := d.Admin()
		evcstest.Eventually(t, "the first round of checks", func() bool {
			return ask[partSeen](t, admin, prefixes[0]+"services/evcs-monitoring/health").Status == "UP"
		})
		for _, prefix := range prefixes {
			parts := ask[[]partSeen](t, admin, prefix+"services/health")
			if len(parts) != 8 {
				t.Fatalf("%+v", parts)
			}
			for _, p := range parts {
				if p.Status != "UP" || p.InstanceCount != 1 || p.HealthyInstances != 1 || len(p.Details) != 1 || len(p.Checks) < 2 || p.Details[0].Goroutines < 10 || p.Details[0].Memory.Used < 1<<20 {
					t.Errorf("%+v", p)
				}
			}
			if a := admin.Call(t, http.MethodGet, prefix+"services/evcs-nothing/health", nil); a.Status != http.StatusNotFound || a.Code != 7001 {
				t.Errorf("an unknown part: %+v", a)
			}
			versions := ask[[]struct {
				ServiceName, BuildVersion, GoVersion string
				Reachable                            bool
				Port                                 int
				SchemaVersion                        int64
			}](t, admin, prefix+"versions")
			if len(versions) != 8 || versions[0].BuildVersion != "test" || !versions[0].Reachable || versions[0].Port == 0 || versions[0].SchemaVersion < 4 || !strings.HasPrefix(versions[0].GoVersion, "go") {
				t.Errorf("%+v", versions)
			}
			m := ask[struct {
				CPU     struct{ Cores int }
				Memory  struct{ Total, Used, Free int64 }
				Disk    struct{ Total, Used, Free int64 }
				JVM     struct{ HeapUsed, NonHeapUsed int64 }
				Process struct {
					RSS, Uptime int64
					Goroutines  int
				}
				Database struct {
					Engine    string
					SizeBytes int64
				}
			}](t, admin, prefix+"metrics/system")
			if m.CPU.Cores < 1 || m.Memory.Total <= m.Memory.Used || m.Memory.Used+m.Memory.Free != m.Memory.Total || m.Disk.Total < m.Disk.Used ||
				m.JVM.HeapUsed < 1<<20 || m.JVM.NonHeapUsed < 1<<10 || m.Process.Goroutines < 10 || m.Database.SizeBytes < 4096 {
				t.Errorf("%+v", m)
			}
			over := ask[struct {
				Status   string
				Services []map[string]json.RawMessage
				Metrics  json.RawMessage
			}](t, admin, prefix+"overview")
			if over.Status != "UP" || len(over.Services) != 8 || over.Services[0]["details"] != nil || string(over.Metrics) == "null" {
				t.Errorf("%+v", over)
			}
		}
		// A tenant's own administrator sees no host.
		boss := found(t, d, admin, "B")
		over := ask[map[string]json.RawMessage](t, boss, prefixes[0]+"overview")
		if string(over["metrics"]) != "null" {
			t.Errorf("a tenant sees the host: %s", over["metrics"])
		}
		for _, path := range []string{"metrics/system", "metrics/performance", "versions"} {
			if a := boss.Call(t, http.MethodGet, prefixes[1]+path, nil); a.Status != http.StatusForbidden || a.Code != 9403 {
				t.Errorf("%s for a tenant: %+v", path, a)
			}
		}
	})
}

func TestPerformance(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		admin := d.Admin()
		for range 5 {
			admin.OK(t, http.MethodGet, "/api/station", nil)
		}
		admin.Call(t, http.MethodGet, "/api/station/99", nil)
		type stats struct {
			Endpoint, Method                                                   string
			RequestCount, SuccessCount, ClientErrorCount, ErrorCount           int64
			MinResponseTime, P50ResponseTime, P99ResponseTime, MaxResponseTime json.Number
			SuccessRate, QPS                                                   json.Number
		}
		list := ask[[]stats](t, admin, prefixes[0]+"metrics/performance?endpoint=/api/station&method=GET")
		if len(list) != 1 || list[0].RequestCount != 5 || list[0].SuccessCount != 5 || list[0].P50ResponseTime == "" || list[0].QPS == "0" {
			t.Fatalf("%+v", list)
		}
		numbers := make([]float64, 0, 4)
		for _, n := range []json.Number{list[0].MinResponseTime, list[0].P50ResponseTime, list[0].P99ResponseTime, list[0].MaxResponseTime} {
			f, err := n.Float64()
			if err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, f)
		}
		if !slices.IsSorted(numbers) || numbers[0] <= 0 {
			t.Errorf("not in order: %v", numbers)
		}
		one := ask[[]stats](t, admin, prefixes[1]+"metrics/performance?endpoint=/api/station/{stationId}")
		if len(one) != 1 || one[0].ClientErrorCount != 1 || one[0].SuccessRate != "100.00" {
			t.Errorf("%+v", one)
		}
		if none := ask[[]stats](t, admin, prefixes[0]+"metrics/performance?endpoint=/api/nowhere"); len(none) != 0 {
			t.Errorf("%+v", none)
		}
		now := d.Clock.Now()
		for _, query := range []string{
			"startTime=" + now.Format(time.RFC3339) + "&endTime=" + now.Add(-time.Hour).Format(time.RFC3339),
			"startTime=" + now.Add(-25*time.Hour).Format(time.RFC3339),
			"startTime=" + now.AddDate(0, 0, -8).Format(time.RFC3339) + "&endTime=" + now.AddDate(0, 0, -8).Add(time.Hour).Format(time.RFC3339),
			"method=SEARCH",
		} {
			if a := admin.Call(t, http.MethodGet, prefixes[0]+"metrics/performance?"+query, nil); a.Status != http.StatusBadRequest || a.Code != 9400 {
				t.Errorf("%s: %+v", query, a)
			}
		}
	})
}

func TestBusinessMetricsFollowASession(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		d.Clock.Set(begun)
		y := build(t, d, d.Admin(), "CP-M")
		type figures struct {
			ActiveOrders, DailyOrders, ActiveChargers, OnlineChargers, HeldOrders, OrphanSessions, OpenDifferences int64
			ActiveUsers, DailyNewUsers                                                                             int64
			StartSuccessRate, PaymentSuccessRate, ChargerOnlineRate                                                *json.Number
		}
		read := func() figures { return ask[figures](t, y.by, prefixes[0]+"metrics/business") }
		if f := read(); f.ActiveOrders != 0 || f.StartSuccessRate != nil || f.PaymentSuccessRate != nil || f.ChargerOnlineRate == nil || *f.ChargerOnlineRate != "0.00" {
			t.Errorf("before anything: %+v", f)
		}
		p := connect(t, d, y.device, y.secret)
		p.call("BootNotification", map[string]any{"chargePointVendor": "v", "chargePointModel": "m"}, nil)
		p.call("StatusNotification", map[string]any{"connectorId": 1, "status": "Preparing", "errorCode": "NoError"}, nil)
		var started struct{ TransactionID int64 }
		p.call("StartTransaction", map[string]any{"connectorId": 1, "idTag": "T1", "meterStart": 0, "timestamp": begun.Format(time.RFC3339)}, &started)
		f := read()
		if f.ActiveOrders != 1 || f.DailyOrders != 1 || f.ActiveChargers != 1 || f.OnlineChargers != 1 || f.StartSuccessRate == nil || *f.StartSuccessRate != "100.00" || *f.ChargerOnlineRate != "100.00" {
			t.Errorf("while charging: %+v", f)
		}
		y.pass(10 * time.Minute)
		p.call("StopTransaction", map[string]any{"transactionId": started.TransactionID, "meterStop": 900_000_000, "timestamp": d.Clock.Now().Format(time.RFC3339)}, nil)
		if f = read(); f.ActiveOrders != 0 || f.ActiveChargers != 0 || f.DailyOrders != 1 || f.HeldOrders != 1 {
			t.Errorf("after an absurd stop: %+v", f)
		}
	})
}

func TestTwoNodes(t *testing.T) {
	t.Parallel()
	if storetest.Server(t) == "" {
		return
	}
	url := storetest.PostgresURL(t)
	named := func(name string) evcstest.Option {
		return evcstest.WithConfig(func(c *config.Config) {
			c.Node, c.Auth.JWTSecret, c.Auth.SealingKey = name, strings.Repeat("k", 32), strings.Repeat("a", 64)
		})
	}
	one := evcstest.StartOn(t, url, t.TempDir(), named("one"))
	two := evcstest.StartOn(t, url, t.TempDir(), named("two"))
	admin := one.Admin()
	health1 := func() partSeen { return ask[partSeen](t, admin, prefixes[0]+"services/evcs-order/health") }
	evcstest.Eventually(t, "both nodes seen by one", func() bool {
		p := health1()
		return p.InstanceCount == 2 && p.HealthyInstances == 2 && p.Status == "UP"
	})
	two.Admin().OK(t, http.MethodGet, "/api/charger", nil)
	two.Stop()
	if p := health1(); p.InstanceCount != 1 || p.Status != "UP" {
		t.Errorf("after an orderly stop: %+v", p)
	}
	// What the other node counted was written when it stopped.
	list := ask[[]struct{ RequestCount int64 }](t, admin, prefixes[0]+"metrics/performance?endpoint=/api/charger")
	if len(list) != 1 || list[0].RequestCount != 1 {
		t.Errorf("requests of the other node: %+v", list)
	}
	// One that fell silent is known, as unknown.
	db, err := store.Open(t.Context(), store.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	gone := health.Node{ID: "gone", Host: "h", Started: one.Clock.Now().Add(-time.Hour), Seen: one.Clock.Now().Add(-2 * health.Silence)}
	if err := db.Watched().SaveNode(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	p := health1()
	if p.InstanceCount != 2 || p.UnhealthyInstances != 1 || p.Status != "DEGRADED" || p.Details[0].InstanceID != "gone" || p.Details[0].Status != "UNKNOWN" {
		t.Errorf("with a silent node: %+v", p)
	}
	var seen []struct {
		InstanceID string
		Reachable  bool
		Error      *string
	}
	admin.OK(t, http.MethodGet, prefixes[0]+"versions", nil).Into(t, &seen)
	if len(seen) != 16 || seen[0].Reachable || seen[0].Error == nil || !seen[1].Reachable || seen[1].Error != nil {
		t.Errorf("versions: %+v", seen)
	}
}

// The figures that alert rules ask for say when there is nothing to judge by.
func TestFiguresOfTenants(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clock := new(evcstest.Clock)
		f := health.Figures{Trade: store.NewReports(db), Clock: clock}
		for _, m := range health.Metrics() {
			if m.Host {
				continue
			}
			got, ok, err := f.Figure(t.Context(), m.Name, evcs.Subtree(1))
			if err != nil {
				t.Fatalf("%s: %v", m.Name, err)
			}
			if rate := m.Unit == "%"; ok == rate || got.Value != 0 {
				t.Errorf("%s of an empty platform: %+v %v", m.Name, got, ok)
			}
		}
		if _, ok, err := f.Figure(t.Context(), "nothing", evcs.Subtree(1)); ok || err != nil {
			t.Errorf("an unknown metric: %v %v", ok, err)
		}
	})
}
