package config

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	kyaml "github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// envPrefix begins every variable: server.rest is EVCS_SERVER_REST,
// auth.jwtSecret is EVCS_AUTH_JWT_SECRET.
const envPrefix = "EVCS_"

// Key is one setting as people meet it.
type Key struct {
	Name   string // server.rest
	Env    string // EVCS_SERVER_REST
	Doc    string
	Secret bool
	kind   reflect.Type
}

// Keys lists every setting, sorted by name.
func Keys() []Key {
	keys := keysOf(reflect.TypeFor[Config](), "")
	slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
	return keys
}

func keysOf(t reflect.Type, prefix string) []Key {
	var keys []Key
	for f := range t.Fields() {
		name := prefix + f.Tag.Get("koanf")
		if f.Type.Kind() == reflect.Struct {
			keys = append(keys, keysOf(f.Type, name+".")...)
			continue
		}
		keys = append(keys, Key{Name: name, Env: envName(name), Doc: f.Tag.Get("doc"), Secret: f.Tag.Get("secret") != "", kind: f.Type})
	}
	return keys
}

func envName(key string) string {
	var b strings.Builder
	b.WriteString(envPrefix)
	for _, r := range key {
		switch {
		case r == '.':
			b.WriteByte('_')
		case r >= 'A' && r <= 'Z':
			b.WriteByte('_')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return strings.ToUpper(strings.ReplaceAll(b.String(), "__", "_"))
}

// AddFlags adds one flag per setting, plus --config.
func AddFlags(flags *pflag.FlagSet) {
	flags.String("config", "", "settings file (YAML)")
	for _, k := range Keys() {
		if k.Secret {
			continue // a command line is no place for a secret
		}
		flags.String(k.Name, "", k.Doc)
	}
}

// Load reads defaults, the file of --config (or EVCS_CONFIG), the environment
// and the flags given, in this order, and checks the result. It reports every
// fault at once.
func Load(flags *pflag.FlagSet, environ []string) (Config, error) {
	k := koanf.New(".")
	var faults []error
	path, env := fileOf(flags, environ)
	if path != "" {
		if err := k.Load(file.Provider(path), kyaml.Parser()); err != nil {
			return Config{}, fmt.Errorf("read %s: %w", path, err)
		}
	}
	known := make(map[string]Key)
	for _, key := range Keys() {
		known[key.Name] = key
	}
	for _, name := range k.Keys() {
		if _, ok := known[name]; !ok {
			faults = append(faults, fmt.Errorf("%s: unknown key %s", path, name))
		}
	}
	values, envFaults := fromEnv(env, known)
	faults = append(faults, envFaults...)
	given := fromFlags(flags, known)
	for _, layer := range []map[string]any{values, given} {
		if err := k.Load(confmap.Provider(layer, "."), nil); err != nil {
			return Config{}, fmt.Errorf("merge settings: %w", err)
		}
	}
	c := Defaults()
	err := k.UnmarshalWithConf("", &c, koanf.UnmarshalConf{Tag: "koanf", DecoderConfig: &mapstructure.DecoderConfig{
		Result: &c, WeaklyTypedInput: true, TagName: "koanf",
		DecodeHook: mapstructure.ComposeDecodeHookFunc(mapstructure.StringToTimeDurationHookFunc(), commaList),
	}})
	if err != nil {
		return Config{}, errors.Join(append(faults, err)...)
	}
	return c, errors.Join(append(faults, c.Check())...)
}

// commaList splits "a,b" for lists that come as one text.
func commaList(from, to reflect.Type, value any) (any, error) {
	text, ok := value.(string)
	if !ok || from.Kind() != reflect.String || to.Kind() != reflect.Slice {
		return value, nil
	}
	list := []string{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list, nil
}

func fileOf(flags *pflag.FlagSet, environ []string) (path string, env map[string]string) {
	env = make(map[string]string)
	for _, pair := range environ {
		if name, value, ok := strings.Cut(pair, "="); ok && strings.HasPrefix(name, envPrefix) {
			env[name] = value
		}
	}
	path = env[envPrefix+"CONFIG"]
	if flags != nil {
		if f := flags.Lookup("config"); f != nil && f.Changed {
			path = f.Value.String()
		}
	}
	return path, env
}

// foreign are variables of our prefix that belong to other programs: the
// client's profile and the tests.
func foreign(name string) bool {
	return name == envPrefix+"CONFIG" || strings.HasPrefix(name, "EVCS_TEST_") || strings.HasPrefix(name, "EVCS_CTL_") ||
		slices.Contains([]string{"EVCS_SERVER", "EVCS_TOKEN", "EVCS_PROFILE", "EVCS_PASSWORD", "EVCS_CONTEXT", "EVCS_LANG", "EVCS_CONFIG_DIR"}, name)
}

func fromEnv(env map[string]string, known map[string]Key) (values map[string]any, faults []error) {
	values = make(map[string]any)
	byName := make(map[string]string, len(known))
	for name, key := range known {
		byName[key.Env] = name
	}
	for name, value := range env {
		key, ok := byName[name]
		switch {
		case ok:
			values[key] = value
		case !foreign(name):
			faults = append(faults, fmt.Errorf("unknown variable %s", name))
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return values, faults
}

func fromFlags(flags *pflag.FlagSet, known map[string]Key) map[string]any {
	values := make(map[string]any)
	if flags == nil {
		return values
	}
	flags.Visit(func(f *pflag.Flag) {
		if _, ok := known[f.Name]; ok {
			values[f.Name] = f.Value.String()
		}
	})
	return values
}

// Print writes the settings as YAML, secrets masked.
func (c Config) Print(w io.Writer) error {
	var last []string
	for _, k := range Keys() {
		path := strings.Split(k.Name, ".")
		for depth := range len(path) - 1 {
			if depth >= len(last)-1 || !slices.Equal(last[:depth+1], path[:depth+1]) {
				if _, err := fmt.Fprintf(w, "%s%s:\n", strings.Repeat("  ", depth), path[depth]); err != nil {
					return err
				}
			}
		}
		last = path
		if _, err := fmt.Fprintf(w, "%s%s: %s\n", strings.Repeat("  ", len(path)-1), path[len(path)-1], c.text(k)); err != nil {
			return err
		}
	}
	return nil
}

func (c Config) text(k Key) string {
	v := reflect.ValueOf(c)
	for part := range strings.SplitSeq(k.Name, ".") {
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("koanf") == part {
				v = v.Field(i)
				break
			}
		}
	}
	switch value := v.Interface().(type) {
	case time.Duration:
		return value.String()
	case string:
		if k.Secret && value != "" {
			return `"***"`
		}
		return strconv.Quote(value)
	case []string:
		quoted := make([]string, len(value))
		for i, s := range value {
			quoted[i] = strconv.Quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}
