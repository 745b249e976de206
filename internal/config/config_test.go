package config_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
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

func TestTheCallbackAddressIsChecked(t *testing.T) {
	t.Parallel()
	for base, ok := range map[string]bool{
		"https://pay.example": true, "http://10.0.0.1:8080/evcs": true, "pay.example": false, "ftp://pay.example": false,
		"https://u:p@pay.example": false, "https://pay.example?a=1": false, "https://": false,
	} {
		if _, err := load(t, "", []string{"EVCS_PAYMENT_CALLBACK_BASE=" + base}); (err == nil) != ok {
			t.Errorf("%s: %v", base, err)
		}
	}
}

// A setting that nothing reads is a lie to whoever sets it. The daemon is the
// only one who reads them, by their Go names.
func TestEverySettingIsRead(t *testing.T) {
	t.Parallel()
	read := map[string]bool{}
	files, err := filepath.Glob("../daemon/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				read[s.Sel.Name] = true
			}
			return true
		})
	}
	var walk func(of reflect.Type, path string)
	walk = func(of reflect.Type, path string) {
		for f := range of.Fields() {
			name := path + f.Tag.Get("koanf")
			if !read[f.Name] {
				t.Errorf("%s is read nowhere in the daemon", name)
			}
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type, name+".")
			}
		}
	}
	walk(reflect.TypeFor[config.Config](), "")
}
