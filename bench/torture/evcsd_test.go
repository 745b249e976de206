package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evcs/evcs/internal/store/storetest"
)

// programs are the evcsd that tests of this package share.
type programs struct {
	once  sync.Once
	dir   string
	built map[string]error
}

// shared are built once for all tests.
var shared programs

// build returns the path of an evcsd with build tags: "" or "ackfirst".
func (p *programs) build(t *testing.T, tags string) string {
	t.Helper()
	p.once.Do(func() {
		p.built = map[string]error{}
		var err error
		if p.dir, err = os.MkdirTemp("", "evcs-torture-bin-"); err != nil {
			p.built[tags] = err
			return
		}
		for _, tags := range []string{"", "ackfirst"} {
			cmd := exec.CommandContext(t.Context(), "go", "build", "-tags", tags, "-o", filepath.Join(p.dir, "evcsd"+tags), "github.com/evcs/evcs/cmd/evcsd")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Logf("%s", out)
				p.built[tags] = err
			}
		}
	})
	if err := p.built[tags]; err != nil {
		t.Fatalf("build evcsd: %v", err)
	}
	return filepath.Join(p.dir, "evcsd"+tags)
}

func (p *programs) remove() {
	if p.dir != "" {
		_ = os.RemoveAll(p.dir) // temporary
	}
}

// torment runs the crash test on an evcsd, with quick deaths and few enough
// chargers that it is a matter of a minute.
func torment(t *testing.T, args ...string) (int, summary, string) {
	t.Helper()
	var out, errOut bytes.Buffer
	usual := []string{"-json", "-chargers", "24", "-customers", "8", "-speed", "120", "-min", "250ms", "-max", "1200ms", "-after", "500ms", "-answer", "2s", "-drain", "150s"}
	code := run(t.Context(), append(usual, args...), storetest.Server(t), &out, &errOut)
	for line := range strings.Lines(errOut.String()) { // what it keeps for a person, a test removes
		if _, dir, found := strings.Cut(strings.TrimSpace(line), "are kept in "); found {
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
		}
	}
	var s summary
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v", s.Kinds)
	t.Logf("%d s, slowest restart %d ms, %d sessions, %d payments, %d refunds, %d runs", s.Seconds, s.SlowestMs, s.Sessions, s.Payments, s.Refunds, s.Runs)
	return code, s, errOut.String()
}

func survives(t *testing.T, args ...string) {
	t.Helper()
	code, s, said := torment(t, append([]string{"-evcsd", shared.build(t, "")}, args...)...)
	if code != 0 || s.Starts == 0 || s.Stops == 0 || s.Samples == 0 || s.Payments == 0 || s.Refunds == 0 || s.Runs == 0 || s.Cloud == 0 ||
		s.Channels["alipay"] == 0 || s.Channels["wechat"] == 0 || s.Channels["sandbox"] == 0 || s.Notices == 0 || s.Repeated == 0 || s.BillsOff == 0 || s.Bills == s.BillsOff {
		t.Errorf("exit code %d, %+v\n%s", code, s, said)
	}
}

// TestEvcsdSurvivesItsDeaths is the promise of the house: what evcsd has
// answered is there after SIGKILL, once. On the way its store is full for a
// while.
func TestEvcsdSurvivesItsDeaths(t *testing.T) {
	survives(t, "-engine", sqlite, "-kills", "20", "-full", "2")
}

// TestEvcsdSurvivesTheDeathOfItsDatabase kills PostgreSQL too, one of its own
// with fsync on.
func TestEvcsdSurvivesTheDeathOfItsDatabase(t *testing.T) {
	if storetest.Server(t) == "" {
		return // CI requires it, see storetest
	}
	survives(t, "-engine", postgres, "-kills", "6", "-dbkills", "2")
}

// TestABrokenEvcsdIsFound tortures an evcsd that answers before its commit.
// Starts that were acknowledged are lost, and so are notifications of the payment
// channels, and the crash test says so.
func TestABrokenEvcsdIsFound(t *testing.T) {
	code, s, said := torment(t, "-evcsd", shared.build(t, ""), "-under", shared.build(t, "ackfirst"), "-kills", "12", "-drain", "8s")
	if code != 1 || s.Kinds[lostStart] == 0 || s.Kinds[lostMeter] == 0 || s.Kinds[lostNotice] == 0 {
		t.Errorf("exit code %d, %v\n%s\n%s", code, s.Kinds, strings.Join(s.Violations, "\n"), said)
	}
	if !slices.ContainsFunc(s.Violations, func(v string) bool { return strings.HasPrefix(v, "lost start: TORTURE-") }) {
		t.Errorf("no lost start is named:\n%s", strings.Join(s.Violations, "\n"))
	}
}
