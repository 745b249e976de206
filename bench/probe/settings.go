package probe

import (
	"fmt"
	"os"
	"strings"
)

// What follows is all that these tools know of how evcsd is configured.

// LimitsOff are settings under which one charger may speak, and one tenant
// call, as fast as it can.
const LimitsOff = "rateLimit:\n  tenantPerSecond: 0\n  devicePerSecond: 0\n  streamsPerTenant: 0\n"

func (d *Daemon) arguments() []string { return []string{"serve", "--config", d.path("evcsd.yaml")} }

func (d *Daemon) settings() string {
	text := lines(
		fmt.Sprintf("dataDir: %q", d.Dir),
		"server:",
		fmt.Sprintf("  rest: 127.0.0.1:%d", d.rest),
		fmt.Sprintf("  device: 127.0.0.1:%d", d.device),
		"logs:",
		"  level: warn",
	)
	return text + d.Extra
}

// environment is the caller's without settings of evcsd, which would change
// what is measured. Secrets go this way, so that they are in no file.
func (d *Daemon) environment() []string {
	env := []string{"EVCS_ADMIN_PASSWORD=" + d.Password}
	if d.DSN != "" {
		env = append(env, "EVCS_DATABASE_URL="+d.DSN)
	}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "EVCS_") {
			env = append(env, e)
		}
	}
	return env
}
