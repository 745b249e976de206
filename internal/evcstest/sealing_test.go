package evcstest_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/daemon"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/store/storetest"
)

// asEvcsd has the test's binary be evcsd, for tests that kill one.
const asEvcsd = "EVCSTEST_AS_EVCSD"

func beEvcsd() {
	if os.Getenv(asEvcsd) != "" {
		os.Exit(daemon.Main(context.Background(), daemon.Build{Version: "test"}, os.Args[1:], nil, os.Stdout, os.Stderr))
	}
}

// house is an installation that is started, stopped and worked on from the
// shell.
type house struct {
	t        *testing.T
	url, dir string
}

func (h house) args(words ...string) []string {
	args := append(words, "--dataDir", h.dir)
	if h.url != "" {
		args = append(args, "--database.url", h.url)
	}
	return args
}

// evcsd runs a command and returns its exit code and all it printed.
func (h house) evcsd(words ...string) (int, string) {
	h.t.Helper()
	var out bytes.Buffer
	code := daemon.Main(h.t.Context(), daemon.Build{Version: "test"}, h.args(words...), nil, &out, &out)
	return code, out.String()
}

func (h house) says(code int, text string, words ...string) {
	h.t.Helper()
	if got, out := h.evcsd(words...); got != code || !strings.Contains(out, text) {
		h.t.Fatalf("evcsd %s: %d, want %d with %q\n%s", strings.Join(words, " "), got, code, text, out)
	}
}

// keys are the keys of the data directory, as a Sealer.
func (h house) keys() (*auth.Sealer, []byte) {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, "sealing.key"))
	if err != nil {
		h.t.Fatal(err)
	}
	var keys [][32]byte
	for _, line := range strings.Fields(string(text)) {
		raw, err := hex.DecodeString(line)
		if err != nil {
			h.t.Fatal(err)
		}
		keys = append(keys, [32]byte(raw))
	}
	s, err := auth.NewSealer(keys[0], keys[1:]...)
	if err != nil {
		h.t.Fatal(err)
	}
	return s, text
}

// put replaces the file of keys.
func (h house) put(text []byte) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, "sealing.key"), text, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

const nobodies = 1500

// fill adds second factors of nobody, so that sealing anew takes many batches.
func (h house) fill(s *auth.Sealer) {
	h.t.Helper()
	driver, url := "pgx", h.url
	if url == "" {
		driver, url = "sqlite", "file:"+filepath.Join(h.dir, "evcs.db")+"?_pragma=busy_timeout(10000)"
	}
	db, err := sql.Open(driver, url)
	if err != nil {
		h.t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(h.t.Context(), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := range nobodies {
		sealed, err := s.Seal(fmt.Appendf(nil, "secret %d", i))
		if err != nil {
			h.t.Fatal(err)
		}
		if _, err := tx.ExecContext(h.t.Context(), fmt.Sprintf(
			`INSERT INTO totp (user_id, tenant_id, sealed, confirmed_at, last_step, recovery, created_at, version) VALUES (%d, 1, '%s', 0, 0, '[]', 0, 1)`,
			1_000_000+i, sealed)); err != nil {
			h.t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		h.t.Fatal(err)
	}
}

// killed runs a command in a process of its own and kills it at its first word.
func (h house) killed(words ...string) {
	h.t.Helper()
	cmd := exec.CommandContext(h.t.Context(), os.Args[0], h.args(words...)...)
	cmd.Env = append(os.Environ(), asEvcsd+"=1")
	said, err := cmd.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	first, err := bufio.NewReader(said).ReadString('\n')
	if err := errors.Join(err, cmd.Process.Kill()); err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.HasPrefix(first, "sealed anew: ") {
		h.t.Fatalf("it was not killed in the middle: %v, %q", err, first)
	}
}

// TestSealingKeysAreRotated changes the key of an installation at work: a node
// without the new key is waited for, a kill in the middle loses nothing, and in
// the end everything is opened by the new key alone.
func TestSealingKeysAreRotated(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func() string{"sqlite": func() string { return "" }, "postgres": func() string { return storetest.PostgresURL(t) }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "postgres" && storetest.Server(t) == "" {
				return
			}
			rotate(t, house{t, url(), t.TempDir()})
		})
	}
}

func rotate(t *testing.T, h house) {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	defer receiver.Close()
	guarded := evcstest.WithConfig(outbound)
	s := lay(t, func(o evcstest.Option) *evcstest.Daemon { return evcstest.StartOn(t, h.url, h.dir, o, guarded) })
	k := s.tenant("SEAL")
	var hook struct{ WebhookID int64 }
	k.boss.OK(t, http.MethodPost, "/api/webhook", map[string]any{"name": "w", "url": receiver.URL, "types": []string{"tenant.*"}}).Into(t, &hook)
	secret := k.post(t, fmt.Sprintf("/api/charger/%v/credential", k.ids["chargerId"]), map[string]any{})["secret"].(string)
	restart := func() {
		t.Helper()
		s.d.Stop()
		s.d = evcstest.StartOn(t, h.url, h.dir, s.with, guarded)
		s.tap.aim(s.d.URL)
		k.boss = s.d.SignIn("boss@SEAL", evcstest.Password)
	}
	works := func(when string) {
		t.Helper()
		p := connect(t, s.d, "CP-SEAL", secret)
		p.call("BootNotification", map[string]any{"chargePointVendor": "V", "chargePointModel": "M"}, nil)
		p.conn.Close()
		var accounts struct{ Records []api.Merchant }
		k.boss.OK(t, http.MethodGet, "/api/payment/merchant", nil).Into(t, &accounts)
		if len(accounts.Records) != 2 {
			t.Fatalf("%s: %d accounts", when, len(accounts.Records))
		}
		for _, m := range accounts.Records {
			var trial api.MerchantTrial
			if k.boss.OK(t, http.MethodPost, evcstest.Path("/api/payment/merchant/%d/verify", m.MerchantID), nil).Into(t, &trial); !trial.OK {
				t.Errorf("%s: %s: %+v", when, m.Channel, trial)
			}
		}
		k.boss.OK(t, http.MethodPost, evcstest.Path("/api/webhook/%d/test", hook.WebhookID), nil)
	}
	old, oldText := h.keys()
	h.fill(old)
	works("before")

	h.says(0, old.Keys()[0]+" is the only sealing key", "keys", "drop")
	h.says(0, "the new sealing key is", "keys", "new")
	both, bothText := h.keys()
	if got := both.Keys(); len(got) != 2 || got[1] != old.Keys()[0] {
		t.Fatalf("the keys are %v", got)
	}
	fresh := both.Keys()[0]
	h.says(7, "does not have the key "+fresh, "keys", "reseal")
	h.put(oldText) // what was refused has noted nothing
	if _, out := h.evcsd("keys", "list"); strings.Contains(out, "not here") {
		t.Errorf("a key that nobody has is noted:\n%s", out)
	}
	h.put(bothText)
	works("with a key that nobody else has")

	restart()
	works("with both keys")
	h.killed("keys", "reseal")
	h.says(7, "reseal", "keys", "drop")
	restart()
	works("half way")
	if _, out := h.evcsd("keys", "list"); strings.Contains(out, "nothing is sealed with it") || !strings.Contains(out, old.Keys()[0]) {
		t.Errorf("half way:\n%s", out)
	}
	h.says(0, "nothing is sealed with "+old.Keys()[0]+" any more", "keys", "reseal")
	h.says(0, "sealed anew: 0 rows", "keys", "reseal")
	h.says(0, "nothing is sealed with it", "keys", "list")
	works("sealed anew")
	h.says(0, fresh+" is the only sealing key", "keys", "drop")
	restart()
	works("without the old key")

	s.d.Stop()
	_, freshText := h.keys()
	h.put(oldText)
	h.says(1, "secrets in the store are sealed with "+fresh+", here is "+old.Keys()[0], "serve", "--server.rest", "127.0.0.1:0", "--server.device", "127.0.0.1:0")
	if err := os.Remove(filepath.Join(h.dir, "sealing.key")); err != nil {
		t.Fatal(err)
	}
	h.says(1, "is not there", "serve", "--server.rest", "127.0.0.1:0", "--server.device", "127.0.0.1:0")
	if _, err := os.Stat(filepath.Join(h.dir, "sealing.key")); err == nil {
		t.Error("a new key was made although secrets are sealed with another")
	}
	h.put(bothText)
	h.says(0, "", "keys", "list")
	h.put(freshText)
	h.says(1, fresh+" is here", "keys", "abandon", fresh)
	h.put(oldText) // the new one is lost
	h.says(0, fresh+" is given up", "keys", "abandon", fresh)
	restart()
	h.says(0, "not here", "keys", "list")
	if code, out := h.evcsd("keys", "reseal"); code != 1 || !strings.Contains(out, "could not be opened") {
		t.Errorf("%d %s", code, out)
	}
	var again struct{ Secret string }
	k.boss.OK(t, http.MethodPost, evcstest.Path("/api/charger/%v/credential", k.ids["chargerId"]), map[string]any{}).Into(t, &again)
	connect(t, s.d, "CP-SEAL", again.Secret).conn.Close()
	onRecord(t, s.d.Admin(), []string{
		"SEALING_KEY_DROP " + old.Keys()[0] + " done", "SEALING_KEY_NEW " + fresh + " done", "SEALING_KEY_RESEAL " + fresh + " refused",
		"SEALING_KEY_DROP " + fresh + " refused", "SEALING_KEY_RESEAL " + fresh + " done", "SEALING_KEY_RESEAL " + fresh + " done",
		"SEALING_KEY_DROP " + fresh + " done", "SEALING_KEY_ABANDON " + fresh + " refused", "SEALING_KEY_ABANDON " + fresh + " done",
		"SEALING_KEY_RESEAL " + old.Keys()[0] + " refused",
	}, strings.Fields(string(bothText)))
}

// onRecord compares what the record says of sealing keys, in order, and looks
// for the keys themselves.
func onRecord(t *testing.T, platform evcstest.Caller, want, keys []string) {
	t.Helper()
	var got []string
	for _, row := range slices.Backward(auditOf(t, platform)) {
		if !strings.HasPrefix(row.Action, "SEALING_KEY_") {
			continue
		}
		line := fmt.Sprintf("%s %s done", row.Action, *row.TargetID)
		if row.Result != "SUCCESS" {
			line = strings.TrimSuffix(line, "done") + "refused"
		}
		got = append(got, line)
		text := fmt.Sprintf("%+v %s", row, row.Details)
		if *row.OperatorUserName != "local operator" || *row.TargetType != "SEALING_KEY" || !strings.Contains(text, `"program":"evcsd test"`) {
			t.Errorf("%s", text)
		}
		if slices.ContainsFunc(keys, func(key string) bool { return strings.Contains(text, key) }) {
			t.Errorf("a key is on the record: %s", text)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
