package contracttest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
)

// TestStalledReaders: clients who ask on and never read an answer are cut off on
// either listener, and hold up nobody meanwhile.
func TestStalledReaders(t *testing.T) {
	t.Parallel()
	const patience, many = time.Second, 3
	w := newWorld(t, evcstest.WithConfig(func(c *config.Config) {
		c.Server.AnswerTimeout, c.RateLimit = patience, config.RateLimit{} // refusals are too short to fill what lies between
	}))
	for name, c := range map[string]struct{ base, path, token string }{
		"a document":          {w.d.URL, "/v3/api-docs", ""},
		"a list":              {w.d.URL, "/api/role/permission", w.admin.Token()},
		"an export":           {w.d.URL, "/api/export/audit-log", w.admin.Token()}, // each is a row of the next
		"a device's listener": {w.d.DeviceURL, "/v3/api-docs", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, many)
			for range many {
				go func() { ended <- neverReads(t, c.base, c.path, c.token) }()
			}
			for range many {
				if err := <-ended; err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("still connected: %v", err)
				}
			}
		})
	}
	w.admin.OK(t, http.MethodGet, "/api/auth/userinfo", nil)
}

// neverReads sends the same request again and again until the connection ends,
// and returns why it could not go on.
func neverReads(t *testing.T, base, path, token string) error {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		return nil // the caller takes nil for a client that was not cut off
	}
	defer conn.Close()
	if err := conn.SetDeadline(evcs.Monotonic().Add(3 * time.Minute)); err != nil {
		return nil // as before
	}
	head := "GET " + path + " HTTP/1.1\r\nHost: evcs\r\n"
	if token != "" {
		head += "Authorization: Bearer " + token + "\r\n"
	}
	for {
		if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
			return err
		}
	}
}
