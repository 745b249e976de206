package evcstest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcstest"
)

// outside is a receiver of everything that evcsd sends out.
type outside struct {
	mu     sync.Mutex
	events []map[string]any // guarded by mu
}

func (o *outside) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var m map[string]any
	text, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(text, &m) != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, m)
}

func (o *outside) find(ok func(map[string]any) bool) map[string]any {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := slices.IndexFunc(o.events, ok); i >= 0 {
		return o.events[i]
	}
	return nil
}

func outbound(c *config.Config) {
	c.Outbound.PlainHTTP, c.Outbound.AllowCIDR = true, []string{"127.0.0.0/8"}
}

// A quota that refuses is an event, a webhook hears of it with a genuine body,
// and nothing of it is lost or doubled by a restart.
func TestWebhookAcrossARestart(t *testing.T) {
	t.Parallel()
	receiver := new(outside)
	server := httptest.NewServer(receiver)
	defer server.Close()
	dir := t.TempDir()
	d := evcstest.StartOn(t, "", dir, evcstest.WithConfig(outbound))
	boss := d.Admin()
	var made struct {
		WebhookID int64  `json:"webhookId"`
		Secret    string `json:"secret"`
	}
	boss.OK(t, http.MethodPost, "/api/webhook", map[string]any{"name": "w", "url": server.URL, "types": []string{"quota.*", "tenant.*"}, "includeDescendants": 1}).Into(t, &made)
	if !strings.HasPrefix(made.Secret, "whsec_") {
		t.Errorf("secret %q", made.Secret)
	}
	if read := boss.OK(t, http.MethodGet, evcstest.Path("/api/webhook/%d", made.WebhookID), nil); strings.Contains(string(read.Data), "whsec_") {
		t.Errorf("the secret can be read back: %s", read.Data)
	}
	boss.OK(t, http.MethodPost, evcstest.Path("/api/webhook/%d/test", made.WebhookID), nil)
	var child struct {
		TenantID int64 `json:"tenantId"`
	}
	boss.OK(t, http.MethodPost, "/api/tenant", map[string]any{
		"tenantCode": "FT", "tenantName": "Futian", "contactPerson": "Li", "contactPhone": "13800138000", "tenantType": 2, "maxStations": 1,
	}).Into(t, &child)
	station := map[string]any{"tenantId": child.TenantID, "stationCode": "S1", "stationName": "one", "address": "x"}
	boss.OK(t, http.MethodPost, "/api/station", station)
	station["stationCode"] = "S2"
	if a := boss.Call(t, http.MethodPost, "/api/station", station); a.Code != 5006 {
		t.Fatalf("over the quota: %d %s", a.Code, a.Message)
	}
	exceeded := func(m map[string]any) bool {
		return m["type"] == "quota.exceeded" && m["tenantId"] == float64(child.TenantID)
	}
	evcstest.Eventually(t, "quota.exceeded at the receiver", func() bool { return receiver.find(exceeded) != nil })
	// A stop between a delivery and its record is a failure: it would come again.
	evcstest.Eventually(t, "every delivery on record", func() bool {
		type delivery struct {
			State string `json:"state"`
		}
		var page struct {
			Records []delivery `json:"records"`
		}
		boss.OK(t, http.MethodGet, evcstest.Path("/api/webhook/%d/delivery", made.WebhookID), nil).Into(t, &page)
		return len(page.Records) > 0 && !slices.ContainsFunc(page.Records, func(x delivery) bool { return x.State != "DELIVERED" })
	})
	d.Stop()
	d = evcstest.StartOn(t, "", dir, evcstest.WithConfig(outbound))
	boss = d.Admin()
	boss.OK(t, http.MethodPut, evcstest.Path("/api/tenant/%d/status", child.TenantID), map[string]any{"status": 0})
	evcstest.Eventually(t, "tenant.status after the restart", func() bool {
		return receiver.find(func(m map[string]any) bool { return m["type"] == "tenant.status" }) != nil
	})
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	seen := make(map[float64]bool)
	for _, m := range receiver.events {
		id, _ := m["eventId"].(float64)
		if id != 0 && seen[id] {
			t.Errorf("event %v came twice although nothing failed", id)
		}
		seen[id] = true
	}
}

// An account that is locked three times in a day is an alert; its channel is
// told, its detail says so, and a person ends it on the record.
func TestAlertIsToldAndEnded(t *testing.T) {
	t.Parallel()
	receiver := new(outside)
	server := httptest.NewServer(receiver)
	defer server.Close()
	d := evcstest.Start(t, evcstest.WithConfig(outbound), evcstest.WithConfig(func(c *config.Config) { c.RateLimit.LoginPerMinute = 0 }))
	boss := d.Admin()
	boss.OK(t, http.MethodPost, "/api/user", map[string]any{"username": "bo", "roles": []string{"VIEWER"}, "password": "Another-staple-9"})
	created := boss.OK(t, http.MethodPost, "/api/v1/monitoring/notification-channel", map[string]any{
		"type": "WEBHOOK", "name": "duty", "minSeverity": "LOW", "groupSeconds": 0, "config": map[string]any{"url": server.URL + "/x?key=hidden", "secret": "0123456789abcdef"},
	})
	if strings.Contains(string(created.Data), "0123456789abcdef") || strings.Contains(string(created.Data), "hidden") {
		t.Errorf("secrets are shown: %s", created.Data)
	}
	var channel map[string]any
	created.Into(t, &channel)
	path := evcstest.Path("/api/monitoring/notification-channel/%v", channel["channelId"])
	channel["minSeverity"] = "MEDIUM"
	boss.OK(t, http.MethodPut, path, channel) // a read object can be sent back
	boss.OK(t, http.MethodPost, path+"/test", nil)
	if receiver.find(func(m map[string]any) bool { return m["test"] == true }) == nil {
		t.Fatal("the test did not arrive, or at another address")
	}
	found := func() (n int) {
		var page struct {
			Total int `json:"total"`
		}
		d.Admin().OK(t, http.MethodGet, "/api/monitoring/alerts?alertType=LoginLockout", nil).Into(t, &page)
		return page.Total
	}
	for lockouts := range 3 {
		if n := found(); n != 0 {
			t.Errorf("%d alerts after %d lockouts", n, lockouts)
		}
		for range 5 {
			d.Anyone().Call(t, http.MethodPost, "/api/auth/login", map[string]any{"identifier": "bo@tenant1", "password": "wrong"})
		}
		d.Clock.Advance(16 * time.Minute)
	}
	boss = d.Admin()
	told := func(m map[string]any) bool {
		list, _ := m["alerts"].([]any)
		return len(list) == 1 && list[0].(map[string]any)["alertType"] == "LoginLockout"
	}
	evcstest.Eventually(t, "LoginLockout at the receiver", func() bool { return receiver.find(told) != nil })
	var page struct {
		Records []struct {
			AlertID int64  `json:"alertId"`
			Title   string `json:"title"`
		} `json:"records"`
	}
	boss.OK(t, http.MethodGet, "/api/monitoring/alerts?alertType=LoginLockout", nil, "Accept-Language", "en").Into(t, &page)
	if len(page.Records) != 1 || page.Records[0].Title != "Account locked repeatedly" {
		t.Fatalf("alerts: %+v", page)
	}
	one := evcstest.Path("/api/monitoring/alerts/%d", page.Records[0].AlertID)
	var detail struct {
		Deliveries []struct {
			OK bool `json:"ok"`
		} `json:"deliveries"`
		History []any `json:"history"`
	}
	evcstest.Eventually(t, "the delivery in the detail", func() bool {
		boss.OK(t, http.MethodGet, one, nil).Into(t, &detail)
		return len(detail.Deliveries) == 1 && detail.Deliveries[0].OK
	})
	boss.OK(t, http.MethodPost, one+"/acknowledge", map[string]any{"note": "looking"})
	boss.OK(t, http.MethodPost, one+"/resolve", map[string]any{"resolution": "talked to bo"})
	var audit struct {
		Total int `json:"total"`
	}
	boss.OK(t, http.MethodGet, "/api/tenant/audit-log/page?action=ALERT_ACKNOWLEDGE,ALERT_RESOLVE", nil).Into(t, &audit)
	if audit.Total != 2 {
		t.Errorf("%d rows on the record, want 2", audit.Total)
	}
}

func TestAlertRulesOverTheWire(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	boss := d.Admin()
	var page struct {
		Total   int              `json:"total"`
		Records []map[string]any `json:"records"`
	}
	boss.OK(t, http.MethodGet, "/api/monitoring/alert-rule?size=100&sort=ruleId", nil).Into(t, &page)
	if page.Total != 44 || page.Records[0]["name"] != "ServiceDown" || page.Records[0]["tenantId"] != nil {
		t.Errorf("%d rules, first %v", page.Total, page.Records[0])
	}
	var metrics []map[string]any
	boss.OK(t, http.MethodGet, "/api/v1/monitoring/alert-rule/metrics", nil).Into(t, &metrics)
	if len(metrics) < 25 {
		t.Errorf("%d metrics", len(metrics))
	}
	rule := map[string]any{"name": "hot", "metric": "connector_temperature", "op": "gt", "threshold": 75.5, "severity": "HIGH"}
	var made map[string]any
	boss.OK(t, http.MethodPost, "/api/monitoring/alert-rule", rule).Into(t, &made)
	if made["ruleId"] != 1001.0 || made["threshold"] != 75.5 || made["forSeconds"] != 300.0 || made["enabled"] != true {
		t.Errorf("made: %v", made)
	}
	for _, x := range []struct {
		code   int
		method string
		path   string
		body   any
	}{
		{9400, http.MethodPost, "/alert-rule", rule}, // the name is taken
		{9400, http.MethodPost, "/alert-rule", map[string]any{"name": "ServiceDown", "metric": "connector_temperature", "op": "gt", "threshold": 1, "severity": "HIGH"}},
		{9400, http.MethodPost, "/alert-rule", map[string]any{"name": "x", "metric": "nothing", "op": "gt", "threshold": 1, "severity": "HIGH"}},
		{7005, http.MethodPost, "/alert-rule", map[string]any{"name": "x", "metric": "connector_temperature", "op": "gt", "threshold": 1, "severity": "HIGH", "channelIds": []int{77}}},
		{200, http.MethodPut, "/alert-rule/1001", map[string]any{"threshold": 80}},
		{9409, http.MethodPut, "/alert-rule/1001", map[string]any{"threshold": 80, "version": 1}},
		{200, http.MethodPut, "/alert-rule/23", map[string]any{"threshold": 30, "severity": "CRITICAL", "minSamples": 2}},
		{9400, http.MethodPut, "/alert-rule/23", map[string]any{"metric": "held_orders"}},
		{9400, http.MethodPut, "/alert-rule/22", map[string]any{"threshold": 3}},
		{7008, http.MethodDelete, "/alert-rule/23", nil},
		{7004, http.MethodGet, "/alert-rule/999", nil},
		{7004, http.MethodGet, "/alert-rule/4711", nil},
		{200, http.MethodDelete, "/alert-rule/1001", nil},
		{7004, http.MethodDelete, "/alert-rule/1001", nil},
		{7005, http.MethodGet, "/notification-channel/5", nil},
		{9400, http.MethodPost, "/notification-channel", map[string]any{"type": "WEBHOOK", "name": "x", "config": map[string]any{"url": "http://example.com", "secret": "0123456789abcdef"}}},
		{9400, http.MethodPost, "/notification-channel", map[string]any{"type": "WEBHOOK", "name": "x", "config": map[string]any{"url": "https://example.com", "secret": "short"}}},
		{9400, http.MethodPost, "/notification-channel", map[string]any{"type": "EMAIL", "name": "x", "config": map[string]any{"to": []string{"nobody"}}}},
		{9400, http.MethodPost, "/notification-channel", map[string]any{"type": "EMAIL", "name": "x", "config": map[string]any{"to": []string{"a@b.cn"}}, "quietHours": map[string]any{"from": "22:00", "to": "22:00"}}},
	} {
		if a := boss.Call(t, x.method, "/api/monitoring"+x.path, x.body); a.Code != x.code {
			t.Errorf("%s %s %v: %d %s %s, want %d", x.method, x.path, x.body, a.Code, a.Message, a.Data, x.code)
		}
	}
	var shown map[string]any
	boss.OK(t, http.MethodGet, "/api/monitoring/alert-rule/23", nil).Into(t, &shown)
	if shown["threshold"] != 30.0 || shown["severity"] != "CRITICAL" || shown["minSamples"] != 2.0 || shown["forSeconds"] != 600.0 || shown["builtIn"] != true {
		t.Errorf("the tenant's values: %v", shown)
	}
}

func TestExports(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	boss := d.Admin()
	for _, name := range []string{"=1+1", "plain", "-x", "北京, \"东\""} {
		boss.OK(t, http.MethodPost, "/api/station", map[string]any{"stationCode": evcstest.Path("S%d", len(name)), "stationName": name, "address": "x"})
	}
	get := func(path string) (int, string, http.Header) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+boss.Token())
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text), answer.Header
	}
	status, text, header := get("/api/export/station?columns=stationName,status,createTime&sort=stationId")
	if status != http.StatusOK || header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Fatalf("%d %v %s", status, header, text)
	}
	lines := strings.Split(text, "\r\n")
	if !strings.HasPrefix(text, "\uFEFFstationName,status,createTime\r\n") || len(lines) != 7 || lines[5] != "#rows,4" {
		t.Errorf("export:\n%s", text)
	}
	for i, want := range []string{"'=1+1,1,", "plain,1,", "'-x,1,", `"北京, ""东""",1,`} {
		if !strings.HasPrefix(lines[i+1], want) {
			t.Errorf("line %d: %q, want %q", i+1, lines[i+1], want)
		}
	}
	for path, want := range map[string]int{
		"/api/export/station?columns=nothing": http.StatusBadRequest, "/api/export/station?page=2": http.StatusBadRequest,
		"/api/export/station?sort=nothing": http.StatusBadRequest, "/api/export/everything": http.StatusNotFound,
	} {
		if status, text, _ := get(path); status != want {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	limited := false
	for _, resource := range []string{"order", "order-line", "payment", "refund", "session", "charger", "difference", "audit-log", "station", "station", "station"} {
		status, text, _ := get("/api/export/" + resource)
		if status == http.StatusTooManyRequests {
			limited = true
			continue
		}
		if status != http.StatusOK || !bytes.Contains([]byte(text), []byte("#rows,")) {
			t.Errorf("%s: %d %.200s", resource, status, text)
		}
	}
	if !limited {
		t.Error("more than ten exports within a minute")
	}
	var audit struct {
		Total int `json:"total"`
	}
	boss.OK(t, http.MethodGet, "/api/tenant/audit-log/page?action=EXPORT", nil).Into(t, &audit)
	if audit.Total < 7 { // ten a minute, three of which were bad requests
		t.Errorf("%d exports on the record", audit.Total)
	}
}
