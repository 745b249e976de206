package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain lets the test binary stand for evcsctl in a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("EVCS_TEST_AS_EVCSCTL") != "" {
		os.Exit(Main(context.Background(), Program{
			Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Now: time.Now, Getenv: os.Getenv, Version: Version{Version: "1.0.0"},
		}))
	}
	os.Exit(m.Run())
}

// rotating is a server whose refresh tokens work once: a second use ends the
// whole sign-in, as the contract says. It answers no expired token before
// crowd processes have shown one.
type rotating struct {
	crowd int

	mu       sync.Mutex
	expired  int           // guarded by mu: calls with the expired token
	all      chan struct{} // closed when crowd of them are there
	renewed  int           // guarded by mu
	revoked  bool          // guarded by mu
	accepted int           // guarded by mu: calls with the new token
}

func (s *rotating) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if r.URL.Path != "/api/auth/refresh" && token == "expired" {
		s.mu.Lock()
		if s.expired++; s.expired == s.crowd {
			close(s.all)
		}
		s.mu.Unlock()
		<-s.all
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	var body struct{ RefreshToken string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	switch {
	case r.URL.Path == "/api/auth/refresh" && body.RefreshToken == "refresh-1" && s.renewed == 0:
		s.renewed++
		fmt.Fprint(w, `{"code":200,"data":{"token":"fresh","refreshToken":"refresh-2","userInfo":{"identifier":"boss@A"}}}`)
	case r.URL.Path == "/api/auth/refresh":
		s.revoked = true
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"code":6012,"message":"reused","data":null}`)
	case token == "fresh" && !s.revoked:
		s.accepted++
		fmt.Fprint(w, `{"code":200,"data":{"username":"boss","identifier":"boss@A"}}`)
	default:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"code":6003,"message":"expired","data":null}`)
	}
}

// Two processes that find the same token expired renew it once: the second
// would otherwise use a refresh token twice, which revokes the sign-in.
func TestProcessesRenewOneSignInOnce(t *testing.T) {
	t.Parallel()
	s := &rotating{crowd: 2, all: make(chan struct{})}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "evcsctl"), 0o700); err != nil {
		t.Fatal(err)
	}
	stored := fmt.Sprintf(`{"default":{"server":%q,"identifier":"boss@A","token":"expired","refreshToken":"refresh-1"}}`, server.URL)
	if err := os.WriteFile(filepath.Join(home, "evcsctl", "tokens.json"), []byte(stored), 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range s.crowd {
		wg.Go(func() {
			c := exec.CommandContext(t.Context(), os.Args[0], "whoami", "-o", "json")
			c.Env = []string{"EVCS_TEST_AS_EVCSCTL=1", "XDG_CONFIG_HOME=" + home, "EVCS_SERVER=" + server.URL, "LANG=en_US.UTF-8"}
			if out, err := c.CombinedOutput(); err != nil || !strings.Contains(string(out), "boss@A") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	if s.expired != s.crowd || s.renewed != 1 || s.revoked || s.accepted != s.crowd {
		t.Errorf("%d calls with the old token, %d renewals, revoked %v, %d answered", s.expired, s.renewed, s.revoked, s.accepted)
	}
	kept, err := (profiles{filepath.Join(home, "evcsctl")}).tokens("default")
	if err != nil || kept.Token != "fresh" || kept.Refresh != "refresh-2" {
		t.Errorf("stored: %+v, %v", kept, err)
	}
}
