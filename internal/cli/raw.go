package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// apiOptions is a raw call.
type apiOptions struct {
	method   string
	path     string
	fields   []string
	strings  []string
	headers  []string
	input    string
	paginate bool
	include  bool
}

func newAPI(e *env) *cobra.Command {
	var opts apiOptions
	c := verb("api [<method>] <path>", "Call any operation and write its data", cobra.RangeArgs(1, 2), func(ctx context.Context, args []string) error {
		opts.path = args[len(args)-1]
		opts.method = ""
		if len(args) == 2 {
			opts.method = strings.ToUpper(args[0])
		}
		return apiRun(ctx, e, opts)
	})
	c.Long = "Call an operation by its method and path, signed in as everywhere, and write the data of the answer. Without a\n" +
		"method it is GET, or POST when there are fields or --input. Fields are parameters of the query for GET and\n" +
		"DELETE, else fields of the body: -F takes true, false, null, numbers, lists and objects as JSON and anything else\n" +
		"as text, -f takes everything as text. --paginate follows the cursor of a list and writes all its rows as one list."
	f := c.Flags()
	f.StringArrayVarP(&opts.fields, "field", "F", nil, "name=value, read as JSON when it is, repeatable")
	f.StringArrayVarP(&opts.strings, "raw-field", "f", nil, "name=value, always a text, repeatable")
	f.StringArrayVarP(&opts.headers, "header", "H", nil, "'Name: value', repeatable")
	f.StringVar(&opts.input, "input", "", "JSON body from a file, - for standard input; fields go to the query then")
	f.BoolVar(&opts.paginate, "paginate", false, "read every page of a list")
	f.BoolVarP(&opts.include, "include", "i", false, "write the status and the headers of the answer first")
	c.ValidArgsFunction = completeAPI
	return c
}

func apiRun(ctx context.Context, e *env, opts apiOptions) error {
	request, err := opts.request(e)
	if err != nil {
		return err
	}
	if _, err := e.format(); err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	if opts.paginate {
		return apiPages(ctx, e, c, request)
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	answer, err := c.Raw.Do(ctx, request)
	if err != nil {
		return err
	}
	if opts.include {
		if err := e.head(answer); err != nil {
			return err
		}
	}
	return e.answer(ctx, answer)
}

// request checks the options and makes the call of them.
func (o apiOptions) request(e *env) (client.Request, error) {
	r := client.Request{Method: o.method, Query: client.Query{}, Header: http.Header{}}
	if r.Method == "" {
		r.Method = http.MethodGet
		if o.input != "" || len(o.fields)+len(o.strings) > 0 && !o.paginate {
			r.Method = http.MethodPost
		}
	}
	if err := oneOf("method", r.Method, http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete); err != nil {
		return r, err
	}
	var given string
	r.Path, given, _ = strings.Cut(o.path, "?")
	if !strings.HasPrefix(r.Path, "/") {
		return r, usage("%q is no path: want one such as /api/station", o.path)
	}
	if err := parameters(r.Query, given); err != nil {
		return r, err
	}
	if err := o.header(r.Header); err != nil {
		return r, err
	}
	if o.paginate && r.Method != http.MethodGet {
		return r, usage("--paginate is for GET")
	}
	if o.paginate && o.include {
		return r, usage("--paginate and --include do not go together")
	}
	return r, o.body(e, &r)
}

// parameters reads what stands behind the question mark of a path.
func parameters(q client.Query, text string) error {
	if text == "" {
		return nil
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		return usage("%q: %v", text, err)
	}
	for name, all := range values {
		q[name] = strings.Join(all, ",")
	}
	return nil
}

func (o apiOptions) header(h http.Header) error {
	for _, line := range o.headers {
		name, value, ok := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		if !ok || name == "" || strings.ContainsAny(line, "\r\n") {
			return usage("--header %q: want 'Name: value'", line)
		}
		if name == "Authorization" {
			return usage("--header: sign in, or set EVCS_TOKEN, instead of sending Authorization")
		}
		h.Add(name, strings.TrimSpace(value))
	}
	return nil
}

// body puts the fields where they belong and reads --input.
func (o apiOptions) body(e *env, r *client.Request) error {
	fields := map[string]json.RawMessage{}
	for _, one := range o.strings {
		name, value, ok := strings.Cut(one, "=")
		if !ok {
			return usage("--raw-field %q: want name=value", one)
		}
		fields[name], _ = json.Marshal(value) // a string always marshals
	}
	for _, one := range o.fields {
		name, value, ok := strings.Cut(one, "=")
		if !ok {
			return usage("--field %q: want name=value", one)
		}
		fields[name] = json.RawMessage(value)
		if !json.Valid([]byte(value)) {
			fields[name], _ = json.Marshal(value) // a string always marshals
		}
	}
	if o.input != "" {
		if r.Method == http.MethodGet {
			return usage("--input is not for GET")
		}
		content, err := e.slurp(o.input)
		if err != nil {
			return err
		}
		if !json.Valid(content) {
			return usage("%s is no JSON", o.input)
		}
		r.Body = content
	}
	if o.input != "" || r.Method == http.MethodGet || r.Method == http.MethodDelete {
		for name, value := range fields {
			r.Query[name] = plain(value)
		}
		return nil
	}
	if len(fields) == 0 {
		return nil
	}
	joined, err := json.Marshal(fields)
	r.Body = joined
	return err
}

// plain is a JSON value as a parameter of the query.
func plain(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	return string(value)
}

// head writes the status line and the headers, ordered by name.
func (e *env) head(answer client.Response) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP %d %s\n", answer.Status, http.StatusText(answer.Status))
	for _, name := range slices.Sorted(maps.Keys(answer.Header)) {
		for _, value := range answer.Header[name] {
			fmt.Fprintf(&out, "%s: %s\n", name, flat(value))
		}
	}
	out.WriteByte('\n')
	_, err := e.Out.Write(out.Bytes())
	return err
}

// answer writes the data of an enveloped answer as JSON, any other answer as it
// is.
func (e *env) answer(ctx context.Context, answer client.Response) error {
	var envelope api.Envelope[json.RawMessage]
	if json.Unmarshal(answer.Body, &envelope) != nil || envelope.Code != api.CodeOK {
		_, err := e.Out.Write(answer.Body)
		return err
	}
	return e.json(ctx, envelope.Data)
}

// json writes JSON, as YAML when that is asked for.
func (e *env) json(ctx context.Context, text json.RawMessage) error {
	form := formatJSON
	if e.globals.output == formatYAML {
		form = formatYAML
	}
	return e.structured(ctx, form, text)
}

// apiPages follows the cursor of a list.
func apiPages(ctx context.Context, e *env, c *client.Client, r client.Request) error {
	if r.Query["size"] == "" {
		r.Query["size"] = strconv.Itoa(maxPageSize)
	}
	delete(r.Query, "page")
	delete(r.Query, "current")
	r.Query["cursor"] = ""
	form := formatJSON
	if e.globals.output == formatYAML {
		form = formatYAML
	}
	out := e.rows(form, nil)
	for {
		page, err := onePage(ctx, e, func(ctx context.Context, q client.Query) (api.Page[json.RawMessage], error) {
			r.Query = q
			return rawPage(ctx, c, r)
		}, r.Query)
		if err != nil {
			return err
		}
		for _, record := range page.Records {
			if err := out.add(record); err != nil {
				return err
			}
		}
		next := page.NextCursor.Ptr()
		if next == nil {
			return out.end(ctx)
		}
		r.Query["cursor"] = *next
	}
}

func rawPage(ctx context.Context, c *client.Client, r client.Request) (api.Page[json.RawMessage], error) {
	var envelope api.Envelope[json.RawMessage]
	var page api.Page[json.RawMessage]
	answer, err := c.Raw.Do(ctx, r)
	if err != nil {
		return page, err
	}
	if json.Unmarshal(answer.Body, &envelope) != nil || json.Unmarshal(envelope.Data, &page) != nil || page.Records == nil {
		return page, usage("%s is no list with pages", r.Path)
	}
	return page, nil
}
