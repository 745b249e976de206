package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// serve starts a server and a client of it that pauses next to nothing.
func serve(t *testing.T, config client.Config, handler http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	config.Server, config.RetryWait = server.URL, time.Microsecond
	c, err := client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func succeed(w http.ResponseWriter, data any) {
	writeJSON(w, http.StatusOK, map[string]any{"code": 200, "message": "OK", "data": data, "timestamp": "2026-02-10T10:35:00Z", "traceId": "t"})
}

func fail(w http.ResponseWriter, status, code int, message string, data any) {
	writeJSON(w, status, map[string]any{
		"code": code, "message": message, "data": data, "timestamp": "2026-02-10T10:35:00Z", "path": "/p", "traceId": "t",
	})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, _ := json.Marshal(body)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

func TestRefusalsComeBackAsRowsOfTheTable(t *testing.T) {
	t.Parallel()
	c := serve(t, client.Config{Token: "a"}, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.URL.Path, "/api/charger/10001"; got != want {
			t.Errorf("path %s, want %s", got, want)
		}
		fail(w, http.StatusConflict, 2004, "Charger is offline", map[string]any{"chargerId": 10001})
	})
	_, err := c.Chargers.Get(t.Context(), 10001)
	var refused *client.Error
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a refusal", err)
	}
	if refused.Code != 2004 || refused.Status != http.StatusConflict || refused.Facts()["chargerId"] != 10001.0 || refused.TraceID != "t" {
		t.Errorf("got %+v", refused)
	}
	if got, want := err.Error(), "Charger is offline (2004)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOnlyHarmlessCallsAreRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		code  int
		call  func(context.Context, *client.Client) error
		tries int
	}{
		{"read, unavailable", 9503, read, 4},
		{"read, an answer that is a 503", 2010, read, 1},
		{"write with a key", 9503, func(ctx context.Context, c *client.Client) error {
			_, err := c.Orders.ToPay(ctx, 1)
			return err
		}, 4},
		{"sign-in", 9503, func(ctx context.Context, c *client.Client) error {
			_, err := c.Auth.Login(ctx, api.Login{})
			return err
		}, 1},
		{"a secret is shown once", 9503, func(ctx context.Context, c *client.Client) error {
			_, err := c.Devices.NewCredential(ctx, 1, api.CreateCredential{})
			return err
		}, 1},
		{"change", 9503, func(ctx context.Context, c *client.Client) error {
			_, err := c.Stations.SetStatus(ctx, 1, 0)
			return err
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var tries atomic.Int64
			keys := make(chan string, 10)
			remote := serve(t, client.Config{}, func(w http.ResponseWriter, r *http.Request) {
				tries.Add(1)
				keys <- r.Header.Get(api.HeaderIdempotencyKey)
				fail(w, http.StatusServiceUnavailable, c.code, "no", nil)
			})
			var refused *client.Error
			if err := c.call(t.Context(), remote); !errors.As(err, &refused) || refused.Code != c.code {
				t.Errorf("got %v, want %d", err, c.code)
			}
			if got := int(tries.Load()); got != c.tries {
				t.Errorf("tried %d times, want %d", got, c.tries)
			}
			close(keys)
			first := <-keys
			for key := range keys {
				if key != first {
					t.Errorf("a repeat changed the key from %q to %q", first, key)
				}
			}
		})
	}
}

func read(ctx context.Context, c *client.Client) error {
	_, err := c.Stations.Get(ctx, 1)
	return err
}

func TestAnExpiredTokenIsRenewedOnceForAll(t *testing.T) {
	t.Parallel()
	var renewals atomic.Int64
	var stored atomic.Value
	c := serve(t, client.Config{Token: "old", RefreshToken: "r1", OnTokens: func(r api.LoginResult) error {
		stored.Store(r.RefreshToken)
		return nil
	}}, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/api/auth/refresh":
			var body api.Refresh
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.RefreshToken != "r1" || r.Header.Get("Authorization") != "" {
				t.Errorf("renewed with %+v (%v)", body, err)
			}
			renewals.Add(1)
			succeed(w, api.LoginResult{Token: "new", RefreshToken: "r2"})
		case r.Header.Get("Authorization") == "Bearer new":
			succeed(w, api.Station{StationID: 7})
		default:
			fail(w, http.StatusUnauthorized, api.CodeTokenExpired, "expired", nil)
		}
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if s, err := c.Stations.Get(t.Context(), 7); err != nil || s.StationID != 7 {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
	all.Wait()
	if renewals.Load() != 1 || stored.Load() != "r2" {
		t.Errorf("renewed %d times, stored %v", renewals.Load(), stored.Load())
	}
}

func TestARefusedRenewalIsTheError(t *testing.T) {
	t.Parallel()
	c := serve(t, client.Config{Token: "old", RefreshToken: "r1"}, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/auth/refresh" {
			fail(w, http.StatusUnauthorized, api.CodeRefreshTokenInvalid, "refresh token", nil)
			return
		}
		fail(w, http.StatusUnauthorized, api.CodeTokenExpired, "expired", nil)
	})
	var refused *client.Error
	if err := read(t.Context(), c); !errors.As(err, &refused) || refused.Code != api.CodeRefreshTokenInvalid {
		t.Errorf("got %v", err)
	}
}

func TestListsCarryScopeAndTenant(t *testing.T) {
	t.Parallel()
	c := serve(t, client.Config{TenantID: 3, Scope: api.ScopeSubtree}, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.URL.RawQuery, "status=1&tenantId=3&tenantScope=SELF_AND_DESCENDANTS"; got != want {
			t.Errorf("query %s, want %s", got, want)
		}
		succeed(w, api.NumberedPage([]api.Station{{StationID: 1}}, 1, 1, 10))
	})
	page, err := c.Stations.List(t.Context(), client.Query{"status": "1"})
	if err != nil || len(page.Records) != 1 || *page.Total != 1 {
		t.Errorf("got %+v, %v", page, err)
	}
}

func TestNoAnswerAndAForeignAnswer(t *testing.T) {
	t.Parallel()
	c, err := client.New(client.Config{Server: "http://127.0.0.1:1", Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := read(t.Context(), c); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	html := serve(t, client.Config{}, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<html>")
	})
	if err := read(t.Context(), html); !errors.Is(err, client.ErrAnswer) {
		t.Errorf("got %v, want ErrAnswer", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := read(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
	for _, bad := range []string{"", "localhost:8080", "ftp://x", "http://u:p@x", "http://"} {
		if _, err := client.New(client.Config{Server: bad}); !errors.Is(err, client.ErrServer) {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestPathParametersAreEscaped(t *testing.T) {
	t.Parallel()
	c := serve(t, client.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if got, want := r.URL.EscapedPath(), "/api/session/a%2Fb%3Fc"; got != want {
			t.Errorf("path %s, want %s", got, want)
		}
		succeed(w, api.Session{SessionID: "a/b?c"})
	})
	if _, err := c.Sessions.Get(t.Context(), "a/b?c"); err != nil {
		t.Error(err)
	}
}

func TestTheStreamResumesWhereItBroke(t *testing.T) {
	t.Parallel()
	var opened atomic.Int64
	c := serve(t, client.Config{Token: "a"}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		switch opened.Add(1) {
		case 1:
			_, _ = io.WriteString(w, "retry: 3000\n\n: hello\n\n"+block(5, "charger.status")+"id: 6\ndata: {\"ev") // cut off
		case 2:
			if got := r.Header.Get(api.HeaderLastEventID); got != "5" {
				t.Errorf("resumed after %q, want 5", got)
			}
			fail(w, http.StatusServiceUnavailable, 9503, "stopping", nil)
		case 3:
			_, _ = io.WriteString(w, "event: reset\ndata: {\"oldestEventId\":9}\n\n"+block(9, "order.status"))
		default:
			fail(w, http.StatusUnauthorized, api.CodeUnauthenticated, "no", nil)
		}
	})
	var got []string
	states := 0
	err := c.Events.Follow(t.Context(), client.Follow{FirstWait: time.Microsecond, Handle: func(e api.Event) error {
		got = append(got, fmt.Sprint(e.EventID, " ", e.Type))
		return nil
	}, OnState: func(error) { states++ }})
	var refused *client.Error
	if !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
		t.Errorf("ended with %v", err)
	}
	if diff := cmp.Diff([]string{"5 charger.status", "0 reset", "9 order.status"}, got); diff != "" {
		t.Error(diff)
	}
	if states != 5 { // open, lost, lost, open, lost
		t.Errorf("told of %d states", states)
	}
}

func block(id int, kind string) string {
	return fmt.Sprintf("id: %d\nevent: %s\ndata: {\"eventId\":%d,\"type\":%q,\ndata: \"time\":\"2026-02-10T10:35:00.000Z\",\"data\":{}}\n\n", id, kind, id, kind)
}

func TestASilentStreamIsLost(t *testing.T) {
	t.Parallel()
	c := serve(t, client.Config{}, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var why error
	err := c.Events.Follow(ctx, client.Follow{Quiet: 20 * time.Millisecond, Handle: func(api.Event) error { return nil }, OnState: func(err error) {
		if err != nil {
			why = err
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || why == nil || !strings.Contains(why.Error(), "silent") {
		t.Errorf("ended with %v, lost because of %v", err, why)
	}
}

func TestAnErrorOfTheHandlerEndsTheStream(t *testing.T) {
	t.Parallel()
	c := serve(t, client.Config{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, block(1, "charger.status"))
	})
	mine := errors.New("enough")
	if err := c.Events.Follow(t.Context(), client.Follow{Handle: func(api.Event) error { return mine }}); !errors.Is(err, mine) {
		t.Errorf("got %v", err)
	}
}
