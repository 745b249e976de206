package evcstest_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/store/storetest"
)

func TestMain(m *testing.M) {
	beEvcsd()
	goleak.VerifyTestMain(m)
}

// each runs a test on a daemon of either engine.
func each(t *testing.T, test func(t *testing.T, d *evcstest.Daemon)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, evcstest.Start(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		if storetest.Server(t) == "" {
			return
		}
		test(t, evcstest.StartOn(t, storetest.PostgresURL(t), t.TempDir()))
	})
}

func TestSignInAndHealth(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	admin := d.Admin()
	var me struct {
		Username   string `json:"username"`
		TenantCode string `json:"tenantCode"`
	}
	admin.OK(t, http.MethodGet, "/api/auth/userinfo", nil).Into(t, &me)
	if me.Username != "admin" || me.TenantCode != "SYSTEM" {
		t.Errorf("%+v", me)
	}
	var stats struct {
		TenantCount, UserCount int
		Sandbox                bool
	}
	admin.OK(t, http.MethodGet, "/api/dashboard/stats", nil).Into(t, &stats)
	if stats.TenantCount != 1 || stats.UserCount != 1 || !stats.Sandbox {
		t.Errorf("%+v", stats)
	}
	for _, path := range []string{"charger-status", "charging-trend?days=3", "revenue-trend", "order-period-distribution", "recent-orders", "station-ranking", "charger-utilization"} {
		admin.OK(t, http.MethodGet, "/api/dashboard/"+path, nil)
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/v3/api-docs", "/v3/api-docs.yaml?version=3.0", "/v3/api-docs/auth", "/swagger-ui.html"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
}

func TestStreamResumes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		admin := d.Admin()
		live := stream(t, d.URL, admin.Token(), "")
		var made struct {
			ID int64 `json:"tenantId"`
		}
		admin.OK(t, http.MethodPost, "/api/tenant", map[string]any{
			"tenantCode": "A", "tenantName": "A", "tenantType": 2, "contactPerson": "a", "contactPhone": "13800000000",
		}).Into(t, &made)
		for status := range 2 {
			admin.OK(t, http.MethodPut, evcstest.Path("/api/tenant/%d/status", made.ID), map[string]any{"status": status})
		}
		first, second := next(t, live), next(t, live)
		if first.Type != "tenant.status" || second.EventID <= first.EventID {
			t.Errorf("%+v, then %+v", first, second)
		}
		again := next(t, stream(t, d.URL, admin.Token(), strconv.FormatInt(first.EventID, 10)))
		if again.EventID != second.EventID {
			t.Errorf("resumed behind %d with %d, want %d", first.EventID, again.EventID, second.EventID)
		}
		ahead := next(t, stream(t, d.URL, admin.Token(), "999999"))
		if ahead.Type != "" || ahead.Oldest == 0 {
			t.Errorf("a place nobody knows: %+v", ahead)
		}
		var list []sent
		admin.OK(t, http.MethodGet, "/api/events?types=tenant.*&tenantScope=SELF_AND_DESCENDANTS", nil).Into(t, &list)
		if len(list) != 2 || list[1].EventID != second.EventID {
			t.Errorf("%+v", list)
		}
	})
}

// sent is what a test reads of an event.
type sent struct {
	EventID int64  `json:"eventId"`
	Type    string `json:"type"`
	Oldest  int64  `json:"oldestEventId"`
}

// next is the next event of a stream.
func next(t *testing.T, r *bufio.Reader) sent {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended: %v", err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var e sent
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				t.Fatalf("%v in %s", err, data)
			}
			return e
		}
	}
}

func stream(t *testing.T, url, token, last string) *bufio.Reader {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/events/stream?tenantScope=SELF_AND_DESCENDANTS", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("stream: %d", answer.StatusCode)
	}
	return bufio.NewReader(answer.Body)
}
