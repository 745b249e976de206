package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/evcs/evcs/internal/store/storetest"
)

// buildEvcsd builds the program under test, with build tags.
func buildEvcsd(t *testing.T, tags string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "evcsd")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", tags, "-o", path, "github.com/evcs/evcs/cmd/evcsd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build evcsd: %v\n%s", err, out)
	}
	return path
}

// torment runs the crash test on an evcsd, with quick deaths and few enough
// bills that paying them does not take minutes.
func torment(t *testing.T, args ...string) (int, summary, string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(t.Context(), append(args, "-chargers", "8", "-customers", "8", "-speed", "120", "-min", "200ms", "-max", "900ms", "-after", "500ms", "-answer", "1s", "-drain", "2m"),
		storetest.Server(t), &out, &errOut)
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
	return code, s, errOut.String()
}

// TestEvcsdSurvivesItsDeaths is the promise of the house: what evcsd has
// answered is there after SIGKILL, once.
func TestEvcsdSurvivesItsDeaths(t *testing.T) {
	evcsd := buildEvcsd(t, "")
	for engine, kills := range map[string]string{"sqlite": "20", "postgres": "5"} {
		if engine == "postgres" && storetest.Server(t) == "" {
			continue // CI requires it, see storetest
		}
		t.Run(engine, func(t *testing.T) {
			code, s, said := torment(t, "-evcsd", evcsd, "-engine", engine, "-kills", kills)
			if code != 0 || s.Starts == 0 || s.Stops == 0 || s.Samples == 0 || s.Payments == 0 || s.Refunds == 0 {
				t.Errorf("exit code %d, %+v\n%s", code, s, said)
			}
			t.Logf("%d s, slowest restart %d ms, %d sessions, %d payments", s.Seconds, s.SlowestMs, s.Sessions, s.Payments)
		})
	}
}
