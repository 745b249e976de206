package evcstest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/evcs/evcs/internal/evcstest"
)

type logSeen struct {
	LogID                                     int64
	Level, ServiceName, Logger, Message, Line string
	TraceID                                   *string
	TenantID                                  *int64
	Attributes                                map[string]any
}

type logsSeen struct {
	Records     []logSeen
	Total       *int64
	TotalCapped bool
	NextCursor  *string
}

func TestLogsAreFoundAndKeptApart(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	admin := d.Admin()
	boss := found(t, d, admin, "B")
	for range 3 { // refusals are logged
		admin.Call(t, http.MethodGet, "/api/station/99", nil, "X-Request-Id", "of-the-platform")
		boss.Call(t, http.MethodGet, "/api/charger/99?x=13812345678", nil, "X-Request-Id", "of-the-tenant")
	}
	for _, prefix := range prefixes {
		all := ask[logsSeen](t, admin, prefix+"logs/search?traceId=of-the-platform&serviceName=evcs-gateway")
		if all.Total == nil || *all.Total != 3 || all.TotalCapped || len(all.Records) != 3 || all.Records[0].LogID <= all.Records[2].LogID {
			t.Fatalf("%+v", all)
		}
		if l := all.Records[0]; l.Level != "INFO" || l.Message != "request" || l.Logger != "http" || *l.TraceID != "of-the-platform" || *l.TenantID != 1 ||
			l.Attributes["status"] != 404.0 || !strings.HasPrefix(l.Line, `{"logId":`) {
			t.Errorf("%+v", l)
		}
	}
	// Pages, and the cursor form, meet every line once.
	second := ask[logsSeen](t, admin, prefixes[0]+"logs/search?traceId=of-the-tenant&size=2&page=2")
	if len(second.Records) != 1 || *second.Total != 3 {
		t.Errorf("second page: %+v", second)
	}
	one := ask[logsSeen](t, admin, prefixes[0]+"logs/search?traceId=of-the-tenant&size=2&cursor=&sort=logId")
	if one.NextCursor == nil || len(one.Records) != 2 || one.Records[0].LogID > one.Records[1].LogID {
		t.Fatalf("first part: %+v", one)
	}
	two := ask[logsSeen](t, admin, prefixes[0]+"logs/search?traceId=of-the-tenant&size=2&sort=logId&cursor="+*one.NextCursor)
	if two.NextCursor != nil || len(two.Records) != 1 || two.Records[0].LogID <= one.Records[1].LogID {
		t.Errorf("second part: %+v", two)
	}
	// A tenant sees its own lines and nobody else's, also not those of nobody.
	if own := ask[logsSeen](t, boss, prefixes[0]+"logs/search?traceId=of-the-tenant"); len(own.Records) != 3 {
		t.Errorf("own lines: %+v", own)
	}
	for _, l := range ask[logsSeen](t, boss, prefixes[0]+"logs/search?size=100").Records {
		if l.TenantID == nil || *l.TenantID == 1 {
			t.Errorf("a tenant sees %+v", l)
		}
	}
	if other := ask[logsSeen](t, boss, prefixes[0]+"logs/search?traceId=of-the-platform"); len(other.Records) != 0 || *other.Total != 0 {
		t.Errorf("a tenant finds the platform's lines: %+v", other)
	}
	// The platform may look at one tenant alone.
	if a := ask[logsSeen](t, admin, prefixes[0]+"logs/search?traceId=of-the-platform&tenantScope=SELF&tenantId=1"); len(a.Records) != 3 {
		t.Errorf("of the platform alone: %+v", a)
	}
	tail := ask[[]string](t, admin, prefixes[1]+"logs/realtime?lines=2&keyword=station")
	if len(tail) != 2 {
		t.Fatalf("%q", tail)
	}
	var last logSeen
	if err := json.Unmarshal([]byte(tail[0]), &last); err != nil {
		t.Fatal(err)
	}
	if rest := ask[[]string](t, admin, evcstest.Path("%slogs/realtime?keyword=station&afterId=%d", prefixes[0], last.LogID)); len(rest) < 1 || rest[0] != tail[1] {
		t.Errorf("behind %d: %q", last.LogID, rest)
	}
	for _, query := range []string{"search?startTime=2026-01-01T00:00:00Z&endTime=2026-01-09T00:00:00Z", "search?level=LOUD", "realtime?lines=1001", "realtime?page=1", "search?traceId=%22"} {
		if a := admin.Call(t, http.MethodGet, prefixes[0]+"logs/"+query, nil); a.Status != http.StatusBadRequest || a.Code != 9400 {
			t.Errorf("%s: %+v", query, a)
		}
	}
}

func TestLogsSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := evcstest.StartOn(t, "", dir)
	first.Admin().Call(t, http.MethodGet, "/api/station/99", nil, "X-Request-Id", "before")
	first.Stop()
	second := evcstest.StartOn(t, "", dir)
	if f := ask[logsSeen](t, second.Admin(), prefixes[0]+"logs/search?traceId=before"); len(f.Records) != 1 {
		t.Errorf("%+v", f)
	}
}
