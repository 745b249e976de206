package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/evcs/evcs/internal/evcstest"
)

// TestDaemonScripts runs the scripts that need a daemon, each against one of
// its own, with evcsctl in this process.
func TestDaemonScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script/daemon",
		Setup: func(e *testscript.Env) error {
			d := evcstest.Start(t)
			d.Clock.Set(present)
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, "config"))
			e.Setenv("LANG", "en_US.UTF-8")
			e.Setenv("EVCS_SERVER", d.URL)
			password := filepath.Join(e.WorkDir, "password")
			e.Setenv("PASSWORD_FILE", password)
			return os.WriteFile(password, []byte(evcstest.Password+"\n"), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"evcsctl": inProcess},
	})
}
