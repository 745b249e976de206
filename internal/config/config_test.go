package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/evcs/evcs/internal/config"
)

func load(t *testing.T, yaml string, env []string, args ...string) (config.Config, error) {
	t.Helper()
	flags := pflag.NewFlagSet("evcsd", pflag.ContinueOnError)
	config.AddFlags(flags)
	if yaml != "" {
		path := filepath.Join(t.TempDir(), "evcs.yaml")
		if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return config.Load(flags, env)
}

func TestLayers(t *testing.T) {
	t.Parallel()
	c, err := load(t, "server:\n  rest: \":1\"\n  device: \":2\"\nauth:\n  accessTtl: 3h\ninternal:\n  allowCidr: [10.0.0.0/8]\n",
		[]string{"EVCS_SERVER_DEVICE=:3", "EVCS_AUTH_ACCESS_TTL=4h", "EVCS_METRICS_ALLOW_CIDR=10.1.0.0/16, 192.168.0.1", "HOME=/x", "EVCS_TOKEN=x"}, "--auth.accessTtl", "5h")
	if err != nil {
		t.Fatal(err)
	}
	if c.Server.REST != ":1" || c.Server.Device != ":3" || c.Auth.AccessTTL != 5*time.Hour || c.Auth.RefreshTTL != 168*time.Hour {
		t.Errorf("%+v", c)
	}
	if len(c.Metrics.AllowCIDR) != 2 || len(c.Internal.AllowCIDR) != 1 {
		t.Errorf("lists: %v %v", c.Metrics.AllowCIDR, c.Internal.AllowCIDR)
	}
}

func TestEveryFaultAtOnce(t *testing.T) {
	t.Parallel()
	_, err := load(t, "server:\n  rset: \":1\"\nlogs:\n  level: loud\nauth:\n  jwtSecret: short\ndatabase:\n  url: mysql://x\n",
		[]string{"EVCS_SERVR_REST=:3", "EVCS_INTERNAL_ALLOW_CIDR=nonsense"})
	if err == nil {
		t.Fatal("no fault")
	}
	for _, want := range []string{"unknown key server.rset", "unknown variable EVCS_SERVR_REST", "logs.level", "auth.jwtSecret", "database.url", "internal.allowCidr"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in:\n%v", want, err)
		}
	}
}

func TestPrintMasksSecretsAndReadsBack(t *testing.T) {
	t.Parallel()
	c := config.Defaults()
	c.Internal.Token = "0123456789abcdef0123456789abcdef"
	var text strings.Builder
	if err := c.Print(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "0123456789") || !strings.Contains(text.String(), `token: "***"`) {
		t.Errorf("not masked:\n%s", text.String())
	}
	clean := config.Defaults()
	text.Reset()
	if err := clean.Print(&text); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t, text.String(), nil); err != nil {
		t.Errorf("what is printed does not load: %v\n%s", err, text.String())
	}
}
