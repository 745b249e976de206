package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

const maxBody = 1 << 20

// bodyFlag is a flag that fills a field of a request body. A required one must
// be given by flag, --set or --file.
type bodyFlag struct {
	flag, field, usage string
	required           bool
}

// bodyFlags gathers a request body from flags, --set and --file, in that order
// of precedence, and checks it against the type of the contract before it is
// sent: a misspelt field is an error here.
type bodyFlags struct {
	env   *env
	flags []bodyFlag
	given []string
	sets  []string
	file  string
	cmd   *cobra.Command
}

func (b *bodyFlags) register(c *cobra.Command) {
	b.cmd = c
	b.given = make([]string, len(b.flags))
	for i, f := range b.flags {
		help := f.usage
		if f.required {
			help += " (required)"
		}
		c.Flags().StringVar(&b.given[i], f.flag, "", help)
	}
	c.Flags().StringArrayVar(&b.sets, "set", nil, "field=value of the API, repeatable; field=null clears")
	c.Flags().StringVarP(&b.file, "file", "f", "", "read the body from a JSON or YAML file, - for standard input")
}

// read makes the body. kinds tells which fields are texts.
func readBody[B any](b *bodyFlags) (B, error) {
	var body B
	fields := map[string]json.RawMessage{}
	if b.file != "" {
		if err := b.env.readFile(b.file, &fields); err != nil {
			return body, err
		}
	}
	kinds := fieldTypes(reflect.TypeFor[B]())
	for _, set := range b.sets {
		name, value, ok := strings.Cut(set, "=")
		if !ok {
			return body, usage("--set %q: want field=value", set)
		}
		if kinds[name] == nil {
			return body, usage("--set %s: there is no such field", name)
		}
		fields[name] = literal(kinds[name], value)
	}
	for i, f := range b.flags {
		if b.cmd.Flags().Changed(f.flag) {
			fields[f.field] = literal(kinds[f.field], b.given[i])
		}
	}
	for _, f := range b.flags {
		if _, have := fields[f.field]; f.required && !have {
			return body, usage("--%s is required", f.flag)
		}
	}
	if len(fields) == 0 {
		return body, usage("%v", errNothing)
	}
	joined, err := json.Marshal(fields)
	if err != nil {
		return body, usage("a value is not JSON: %v", err)
	}
	return body, strict(joined, &body)
}

// strict decodes JSON and refuses fields the type does not have.
func strict(joined []byte, body any) error {
	decoder := json.NewDecoder(bytes.NewReader(joined))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(body); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return usage("%s: %s is no %s", kind.Field, kind.Value, kind.Type)
		}
		return usage("%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// readFile reads a JSON or YAML object from a file or standard input.
func (e *env) readFile(name string, fields *map[string]json.RawMessage) error {
	content, err := e.slurp(name)
	if err != nil {
		return err
	}
	if json.Unmarshal(content, fields) == nil {
		return nil
	}
	var node yaml.Node
	if err := yaml.Unmarshal(content, &node); err != nil {
		return usage("%s is neither JSON nor YAML: %v", name, err)
	}
	converted, err := yamlJSON(&node)
	if err != nil {
		return usage("%s: %v", name, err)
	}
	if err := json.Unmarshal(converted, fields); err != nil {
		return usage("%s holds no object", name)
	}
	return nil
}

// slurp reads a whole small file, - being standard input.
func (e *env) slurp(name string) ([]byte, error) {
	in := e.In
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, usage("%v", err)
		}
		defer file.Close()
		in = file
	}
	content, err := io.ReadAll(io.LimitReader(in, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(content) > maxBody {
		return nil, usage("%s is larger than %d bytes", name, maxBody)
	}
	return content, nil
}

// yamlJSON writes YAML as JSON and keeps numbers as they are written: no price
// passes a floating type.
func yamlJSON(node *yaml.Node) ([]byte, error) {
	switch node.Kind {
	case yaml.DocumentNode:
		return yamlJSON(node.Content[0])
	case yaml.MappingNode:
		var out bytes.Buffer
		for i := 0; i+1 < len(node.Content); i += 2 {
			name, err := json.Marshal(node.Content[i].Value)
			if err != nil {
				return nil, err
			}
			value, err := yamlJSON(node.Content[i+1])
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&out, ",%s:%s", name, value)
		}
		return enclose('{', out.Bytes(), '}'), nil
	case yaml.SequenceNode:
		var out bytes.Buffer
		for _, child := range node.Content {
			value, err := yamlJSON(child)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&out, ",%s", value)
		}
		return enclose('[', out.Bytes(), ']'), nil
	case yaml.ScalarNode:
		switch node.Tag {
		case "!!null":
			return []byte("null"), nil
		case "!!bool", "!!int", "!!float":
			if json.Valid([]byte(node.Value)) {
				return []byte(node.Value), nil
			}
		}
		return json.Marshal(node.Value)
	default:
		return nil, usage("line %d: anchors are not accepted", node.Line)
	}
}

func enclose(open byte, joined []byte, closing byte) []byte {
	joined = bytes.TrimPrefix(joined, []byte(","))
	out := append(make([]byte, 0, len(joined)+2), open)
	return append(append(out, joined...), closing)
}

// fieldTypes maps the JSON names of a body to the types behind pointers and
// Optional.
func fieldTypes(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if field.Anonymous && name == "" {
			for k, v := range fieldTypes(field.Type) {
				out[k] = v
			}
			continue
		}
		kind := field.Type
		if optional, ok := reflect.Zero(kind).Interface().(interface{ Elem() reflect.Type }); ok {
			kind = optional.Elem()
		}
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		out[name] = kind
	}
	return out
}

// literal turns the text of a flag into JSON: texts and times are quoted, lists
// are split at commas, everything else is taken as it is.
func literal(kind reflect.Type, value string) json.RawMessage {
	if value == "null" {
		return json.RawMessage(value)
	}
	switch {
	case kind == reflect.TypeFor[json.RawMessage]():
		return json.RawMessage(value)
	case kind.Kind() == reflect.String, kind == reflect.TypeFor[api.Time](), kind == reflect.TypeFor[api.Date]():
		quoted, _ := json.Marshal(value) // a string always marshals
		return quoted
	case kind.Kind() == reflect.Slice && !strings.HasPrefix(value, "["):
		items := strings.Split(value, ",")
		if value == "" {
			items = nil
		}
		var out bytes.Buffer
		for _, item := range items {
			fmt.Fprintf(&out, ",%s", literal(kind.Elem(), strings.TrimSpace(item)))
		}
		return enclose('[', out.Bytes(), ']')
	default:
		return json.RawMessage(value)
	}
}

// newCreate is a verb that makes an object out of flags.
func newCreate[B, T any](e *env, short string, flags []bodyFlag, send func(*client.Client) func(context.Context, B) (T, error)) *cobra.Command {
	body := &bodyFlags{env: e, flags: flags}
	c := verb("create", short, cobra.NoArgs, func(ctx context.Context, _ []string) error {
		request, err := readBody[B](body)
		if err != nil {
			return err
		}
		if err := e.aimTenant(&request); err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (T, error) { return send(c)(ctx, request) })
	})
	body.register(c)
	return c
}

// aimTenant fills tenantId of a body that has one from --tenant or the context.
func (e *env) aimTenant(body any) error {
	field := reflect.ValueOf(body).Elem().FieldByName("TenantID")
	if !field.IsValid() || field.Type() != reflect.TypeFor[*int64]() || !field.IsNil() {
		return nil
	}
	t, err := e.target()
	if err == nil && t.Tenant != 0 {
		field.Set(reflect.ValueOf(&t.Tenant))
	}
	return err
}

// newUpdate is a verb that changes the fields given by flags.
func newUpdate[B, T any](e *env, noun, short string, flags []bodyFlag, send func(*client.Client) func(context.Context, int64, B) (T, error)) *cobra.Command {
	body := &bodyFlags{env: e, flags: flags}
	c := verb("update "+noun, short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		request, err := readBody[B](body)
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (T, error) { return send(c)(ctx, target, request) })
	})
	body.register(c)
	return c
}

// switches lets flags of 0 or 1 stand without a value, for 1.
func switches(c *cobra.Command, names ...string) *cobra.Command {
	for _, name := range names {
		c.Flags().Lookup(name).NoOptDefVal = "1"
	}
	return c
}
