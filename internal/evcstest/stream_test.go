package evcstest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/store/storetest"
)

// listening is an open event stream.
type listening struct {
	t      *testing.T
	lines  chan string // closed at the end
	cancel context.CancelFunc
}

func openStream(t *testing.T, d *evcstest.Daemon, token, query string, headers ...string) *listening {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.URL+"/api/events/stream"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("stream%s: %d", query, answer.StatusCode)
	}
	l := &listening{t, make(chan string, 1000), cancel}
	go func() {
		defer close(l.lines)
		defer answer.Body.Close()
		for s := bufio.NewScanner(answer.Body); s.Scan(); {
			l.lines <- s.Text()
		}
	}()
	t.Cleanup(cancel)
	return l
}

// line is the next line that begins so; "" when the stream ends or nothing
// comes for ten seconds.
func (l *listening) line(prefix string) string {
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for {
		select {
		case text, open := <-l.lines:
			if !open {
				return ""
			}
			if rest, ok := strings.CutPrefix(text, prefix); ok {
				return rest
			}
		case <-patience.C:
			return ""
		}
	}
}

// ended waits for the end of the stream.
func (l *listening) ended(within time.Duration) bool {
	patience := time.NewTimer(within)
	defer patience.Stop()
	for {
		select {
		case _, open := <-l.lines:
			if !open {
				return true
			}
		case <-patience.C:
			return false
		}
	}
}

// A reader that resumes by Last-Event-ID across a restart of the daemon misses
// nothing and hears nothing twice.
func TestStreamAcrossARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := evcstest.StartOn(t, "", dir)
	boss := d.Admin()
	make1 := func(boss evcstest.Caller, code string) int64 {
		var made struct {
			TenantID int64 `json:"tenantId"`
		}
		boss.OK(t, http.MethodPost, "/api/tenant", map[string]any{
			"tenantCode": code, "tenantName": code, "contactPerson": "Li", "contactPhone": "13800138000", "tenantType": 2,
		}).Into(t, &made)
		return made.TenantID
	}
	child := make1(boss, "FT")
	s := openStream(t, d, boss.Token(), "?types=tenant.*&tenantScope=SELF_AND_DESCENDANTS")
	if retry := s.line("retry: "); retry != "3000" {
		t.Fatalf("first line: %q", retry)
	}
	var ids []string
	flip := func(boss evcstest.Caller, status int) {
		boss.OK(t, http.MethodPut, evcstest.Path("/api/tenant/%d/status", child), map[string]any{"status": status})
	}
	flip(boss, 0)
	ids = append(ids, s.line("id: "))
	if kind := s.line("event: "); kind != "tenant.status" {
		t.Errorf("event %q", kind)
	}
	var event struct {
		TenantID int64 `json:"tenantId"`
	}
	if err := json.Unmarshal([]byte(s.line("data: ")), &event); err != nil || event.TenantID != child {
		t.Errorf("event of tenant %d, want %d: %v", event.TenantID, child, err)
	}
	s.cancel()
	flip(boss, 1) // nobody listens
	d.Stop()
	d = evcstest.StartOn(t, "", dir)
	boss = d.Admin()
	flip(boss, 0)
	s = openStream(t, d, boss.Token(), "?types=tenant.status&tenantScope=SELF_AND_DESCENDANTS", "Last-Event-ID", ids[0])
	for range 2 {
		ids = append(ids, s.line("id: "))
	}
	flip(boss, 1)
	ids = append(ids, s.line("id: "))
	if slices.Contains(ids, "") || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != 4 {
		t.Errorf("ids %v, want four different ones", ids)
	}
	gone := openStream(t, d, boss.Token(), "?lastEventId=999999")
	if kind := gone.line("event: "); kind != "reset" {
		t.Errorf("an id that is not known: event %q, want reset", kind)
	}
}

// A stream ends within a moment when its credential does, and a ticket opens
// one stream.
func TestStreamEndsWithItsCredential(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t, evcstest.WithConfig(func(c *config.Config) { c.RateLimit.LoginPerMinute = 0 }))
	boss := d.Admin()
	boss.OK(t, http.MethodPost, "/api/user", map[string]any{"username": "bo", "roles": []string{"VIEWER"}, "password": "Another-staple-9", "mustChangePassword": 0})
	bo := d.SignIn("bo@tenant1", "Another-staple-9")
	var ticket struct {
		Ticket string `json:"ticket"`
	}
	bo.OK(t, http.MethodPost, "/api/events/ticket", nil).Into(t, &ticket)
	byTicket := openStream(t, d, "", "?ticket="+ticket.Ticket)
	if a := d.Anyone().Call(t, http.MethodGet, "/api/events/stream?ticket="+ticket.Ticket, nil); a.Code != 6006 {
		t.Errorf("a ticket used twice: %d", a.Code)
	}
	s := openStream(t, d, bo.Token(), "")
	if s.line("retry: ") == "" || byTicket.line("retry: ") == "" {
		t.Fatal("the streams did not begin")
	}
	bo.OK(t, http.MethodPost, "/api/auth/logout", nil)
	if !s.ended(5*time.Second) || !byTicket.ended(5*time.Second) {
		t.Error("a stream outlives its sign-in")
	}
}

// What one node writes reaches a stream of another, and a reader that moves to
// the other node misses nothing.
func TestStreamsAcrossNodes(t *testing.T) {
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
	boss := one.Admin()
	var child struct {
		TenantID int64 `json:"tenantId"`
	}
	boss.OK(t, http.MethodPost, "/api/tenant", map[string]any{
		"tenantCode": "FT", "tenantName": "FT", "contactPerson": "Li", "contactPhone": "13800138000", "tenantType": 2,
	}).Into(t, &child)
	const query = "?types=tenant.status&tenantScope=SELF_AND_DESCENDANTS"
	s := openStream(t, two, boss.Token(), query)
	if s.line("retry: ") == "" {
		t.Fatal("the stream did not begin")
	}
	flip := func(d *evcstest.Daemon, status int) {
		d.Admin().OK(t, http.MethodPut, evcstest.Path("/api/tenant/%d/status", child.TenantID), map[string]any{"status": status})
	}
	flip(one, 0)
	first := s.line("id: ")
	if first == "" {
		t.Fatal("an event of the other node did not come")
	}
	flip(two, 1)
	second := s.line("id: ")
	flip(one, 0)
	third := s.line("id: ")
	moved := openStream(t, one, boss.Token(), query, "Last-Event-ID", first)
	if a, b := moved.line("id: "), moved.line("id: "); a != second || b != third || a == b || third == "" {
		t.Errorf("resumed at the other node: %q %q, want %q %q", a, b, second, third)
	}
}
