package cli

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/paygate"
)

// scriptKeys are key pairs for merchant accounts, made once.
var scriptKeys = sync.OnceValue(func() map[string]string {
	files := make(map[string]string)
	files["own.pem"], files["own.pub.pem"] = evcstest.KeyPair()
	_, files["channel.pem"] = evcstest.KeyPair()
	_, files["next.pem"] = evcstest.KeyPair()
	gate, err := paygate.NewKeys(present)
	if err != nil {
		panic(err)
	}
	account, err := gate.CertifiedMerchant()
	if err != nil {
		panic(err)
	}
	files["certified.json"] = string(account)
	for name, text := range gate.Certificates() {
		files[name] = string(text)
	}
	return files
})

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
			for name, text := range scriptKeys() {
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), []byte(text), 0o600); err != nil {
					return err
				}
			}
			password := filepath.Join(e.WorkDir, "password")
			e.Setenv("PASSWORD_FILE", password)
			return os.WriteFile(password, []byte(evcstest.Password+"\n"), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"evcsctl": inProcess},
	})
}
