package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

const (
	defaultLimit = 30
	maxPageSize  = 100
	maxLimit     = 1_000_000
)

// listSpec says how a noun is listed.
type listSpec[T any] struct {
	use     string // default "list"
	short   string
	columns []column
	filters []filter
	fetch   func(*client.Client) func(context.Context, client.Query) (api.Page[T], error)
}

// filter is a flag that becomes a parameter of the list.
type filter struct{ flag, param, usage string }

// listOptions is what a list was asked for.
type listOptions struct {
	query client.Query
	limit int
	page  int
	all   bool
}

// fetcher reads one page of a list.
type fetcher[T any] = func(context.Context, client.Query) (api.Page[T], error)

// newList is a verb that lists a noun.
func newList[T any](e *env, spec listSpec[T]) *cobra.Command {
	return listVerb(e, spec, firstOf(spec.use, "list"), cobra.NoArgs, func([]string) (func(*client.Client) fetcher[T], error) {
		return func(c *client.Client) fetcher[T] { return spec.fetch(c) }, nil
	})
}

// newListOf is a verb that lists what belongs to one object.
func newListOf[T any](e *env, spec listSpec[T], fetch func(*client.Client, int64, client.Query) func(context.Context) (api.Page[T], error)) *cobra.Command {
	return listVerb(e, spec, spec.use, cobra.ExactArgs(1), func(args []string) (func(*client.Client) fetcher[T], error) {
		target, err := parseID(args[0])
		return func(c *client.Client) fetcher[T] {
			return func(ctx context.Context, q client.Query) (api.Page[T], error) { return fetch(c, target, q)(ctx) }
		}, err
	})
}

// listVerb parses the flags of a list.
func listVerb[T any](e *env, spec listSpec[T], use string, args cobra.PositionalArgs, aim func([]string) (func(*client.Client) fetcher[T], error)) *cobra.Command {
	var opts listOptions
	var sort string
	values := make([]string, len(spec.filters))
	var c *cobra.Command
	c = verb(use, spec.short, args, func(ctx context.Context, args []string) error {
		fetch, err := aim(args)
		if err != nil {
			return err
		}
		if err := opts.check(c); err != nil {
			return err
		}
		opts.query = client.Query{}.With("sort", sort)
		for i, f := range spec.filters {
			opts.query = opts.query.With(f.param, values[i])
		}
		return listRun(ctx, e, spec.columns, fetch, opts)
	})
	if c.Name() == "list" {
		c.Aliases = []string{"ls"}
	}
	for i, f := range spec.filters {
		c.Flags().StringVar(&values[i], f.flag, "", f.usage)
	}
	c.Flags().IntVarP(&opts.limit, "limit", "L", defaultLimit, "most rows to read")
	c.Flags().IntVar(&opts.page, "page", 0, "page to read, of --limit rows (at most 100)")
	c.Flags().BoolVar(&opts.all, "all", false, "every row, written as it is read")
	c.Flags().StringVar(&sort, "sort", "", "order by field or field,desc")
	return c
}

// check says what does not go together.
func (o *listOptions) check(c *cobra.Command) error {
	limited := c.Flags().Changed("limit")
	switch {
	case o.limit < 1 || o.limit > maxLimit:
		return usage("--limit %d: want 1 to %d", o.limit, maxLimit)
	case o.page < 0 || o.page == 0 && c.Flags().Changed("page"):
		return usage("--page %d: want 1 or more", o.page)
	case o.page > 0 && o.limit > maxPageSize:
		return usage("--limit %d: a page has at most %d rows", o.limit, maxPageSize)
	case o.all && (limited || o.page > 0):
		return usage("--all does not go with --limit and --page")
	}
	return nil
}

// listRun reads up to the limit and writes it, or passes on every row.
func listRun[T any](ctx context.Context, e *env, columns []column, fetch func(*client.Client) fetcher[T], opts listOptions) error {
	form, err := e.format()
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	if opts.all {
		return listAll(ctx, e, form, columns, fetch(c), opts.query)
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	records, total, err := collect(ctx, fetch(c), opts)
	if err != nil {
		return err
	}
	return e.list(ctx, records, columns, total)
}

// listAll reads every row by cursor. --timeout bounds each page, not the whole.
func listAll[T any](ctx context.Context, e *env, form string, columns []column, fetch fetcher[T], query client.Query) error {
	out := e.rows(form, columns)
	query = query.With("size", strconv.Itoa(maxPageSize))
	query["cursor"] = ""
	for {
		page, err := onePage(ctx, e, fetch, query)
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
		query["cursor"] = *next
	}
}

func onePage[T any](ctx context.Context, e *env, fetch fetcher[T], query client.Query) (api.Page[T], error) {
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	return fetch(ctx, query)
}

// collect reads a list: by page when one is enough, else by cursor, which stays
// right while rows are added.
func collect[T any](ctx context.Context, fetch fetcher[T], opts listOptions) ([]T, int64, error) {
	records := []T{}
	if opts.limit <= maxPageSize {
		query := opts.query.With("size", strconv.Itoa(opts.limit))
		if opts.page > 0 {
			query["page"] = strconv.Itoa(opts.page)
		}
		page, err := fetch(ctx, query)
		if err != nil {
			return nil, 0, err
		}
		total := int64(-1)
		if page.Total != nil {
			total = *page.Total
		}
		return append(records, page.Records...), total, nil
	}
	query := opts.query.With("size", strconv.Itoa(maxPageSize))
	query["cursor"] = "" // empty begins; With would leave it out
	for {
		page, err := fetch(ctx, query)
		if err != nil {
			return nil, 0, err
		}
		records = append(records, page.Records...)
		next := page.NextCursor.Ptr()
		if len(records) >= opts.limit || next == nil {
			return records[:min(len(records), opts.limit)], -1, nil
		}
		query["cursor"] = *next
	}
}

// readSpec says how something is read that comes whole, without pages.
type readSpec[T any] struct {
	use, short string
	columns    []column
	filters    []filter
	fetch      func(*client.Client) func(context.Context, client.Query) ([]T, error)
	draw       string // the field a person also sees as a line of bars
}

// newRead is a verb that lists what comes whole.
func newRead[T any](e *env, spec readSpec[T]) *cobra.Command {
	values := make([]string, len(spec.filters))
	c := verb(spec.use, spec.short, cobra.NoArgs, func(ctx context.Context, _ []string) error {
		q := client.Query{}
		for i, f := range spec.filters {
			q = q.With(f.param, values[i])
		}
		return readRun(ctx, e, spec, func(ctx context.Context, c *client.Client) ([]T, error) { return spec.fetch(c)(ctx, q) })
	})
	for i, f := range spec.filters {
		c.Flags().StringVar(&values[i], f.flag, "", f.usage)
	}
	return c
}

func readRun[T any](ctx context.Context, e *env, spec readSpec[T], fetch func(context.Context, *client.Client) ([]T, error)) error {
	form, err := e.format()
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	records, err := fetch(ctx, c)
	if err != nil {
		return err
	}
	if err := e.list(ctx, records, spec.columns, -1); err != nil || spec.draw == "" || form != formatTable {
		return err
	}
	return e.bars(records, spec.draw)
}

// newReadOf is a verb that lists what belongs to one object and comes whole.
func newReadOf[T any](e *env, spec readSpec[T], fetch func(context.Context, *client.Client, int64) ([]T, error)) *cobra.Command {
	return verb(spec.use, spec.short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		return readRun(ctx, e, spec, func(ctx context.Context, c *client.Client) ([]T, error) { return fetch(ctx, c, target) })
	})
}

// newQuery is a verb that reads one thing, narrowed by filters.
func newQuery[T any](e *env, use, short string, filters []filter, get func(context.Context, *client.Client, client.Query) (T, error)) *cobra.Command {
	values := make([]string, len(filters))
	c := verb(use, short, cobra.NoArgs, func(ctx context.Context, _ []string) error {
		q := client.Query{}
		for i, f := range filters {
			q = q.With(f.param, values[i])
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (T, error) { return get(ctx, c, q) })
	})
	for i, f := range filters {
		c.Flags().StringVar(&values[i], f.flag, "", f.usage)
	}
	return c
}

// newNamed is a verb that reads one object by a name or a number that is no id.
func newNamed[T any](e *env, use, short string, get func(context.Context, *client.Client, string) (T, error)) *cobra.Command {
	return verb(use, short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (T, error) { return get(ctx, c, args[0]) })
	})
}

// taken is the answer of a code check.
type taken struct {
	Code  string `json:"code"`
	Taken bool   `json:"taken"`
}

// newCodeCheck is a verb that asks whether a code is taken; exit code 6 says
// that it is.
func newCodeCheck(e *env, param string, ask func(*client.Client) func(context.Context, client.Query) (bool, error)) *cobra.Command {
	var exclude string
	c := verb("check-code <code>", "Ask whether a code is taken; exit code 6 when it is", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		q := client.Query{}.With(param, args[0]).With("excludeId", exclude)
		var found bool
		err := act(ctx, e, 0, func(ctx context.Context, c *client.Client) (taken, error) {
			answer, err := ask(c)(ctx, q)
			found = answer
			return taken{args[0], answer}, err
		})
		if err == nil && found {
			return &exitError{exitConflict, nil}
		}
		return err
	})
	c.Flags().StringVar(&exclude, "exclude", "", "id of an object that may have it")
	return c
}

// act is a verb that calls the server and writes the object that comes back.
// wait is how much longer than --timeout the server may take.
func act[T any](ctx context.Context, e *env, wait time.Duration, call func(context.Context, *client.Client) (T, error)) error {
	if _, err := e.format(); err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, wait)
	defer cancel()
	thing, err := call(ctx, c)
	if err != nil {
		return err
	}
	return e.object(ctx, thing)
}

// do is a verb that calls the server and has nothing to show but that it is
// done.
func do(ctx context.Context, e *env, done string, call func(context.Context, *client.Client) error) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	if err := call(ctx, c); err != nil {
		return err
	}
	e.note("%s", done)
	return nil
}

// newShow is a verb that reads one object by its id.
func newShow[T any](e *env, noun, short string, get func(*client.Client) func(context.Context, int64) (T, error)) *cobra.Command {
	return newShowAs(e, "show "+noun, short, get)
}

// newShowAs is newShow under another name.
func newShowAs[T any](e *env, use, short string, get func(*client.Client) func(context.Context, int64) (T, error)) *cobra.Command {
	return verb(use, short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		id, err := parseID(args[0])
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (T, error) { return get(c)(ctx, id) })
	})
}

// newDelete is a verb that removes one object by its id, after asking.
func newDelete(e *env, noun, short string, remove func(*client.Client) func(context.Context, int64) error) *cobra.Command {
	c := verb("delete "+noun, short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		id, err := parseID(args[0])
		if err != nil {
			return err
		}
		what := strings.ToLower(strings.TrimSuffix(strings.Trim(noun, "<>"), "-id"))
		if err := e.confirm(fmt.Sprintf(e.say("Delete %s %d?", "删除 %s %d?"), what, id)); err != nil {
			return err
		}
		return do(ctx, e, e.say("Deleted", "已删除"), func(ctx context.Context, c *client.Client) error { return remove(c)(ctx, id) })
	})
	c.Aliases = []string{"rm"}
	return c
}

// newSwitch is a verb that enables or disables one object.
func newSwitch[T any](e *env, name, noun, short string, call func(context.Context, *client.Client, int64) (T, error)) *cobra.Command {
	return verb(name+" "+noun, short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		id, err := parseID(args[0])
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (T, error) { return call(ctx, c, id) })
	})
}

// parseID reads a positive id.
func parseID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, usage("%q is no id: want a positive number", text)
	}
	return id, nil
}

// parseConnector reads a charger's id and a connector's number.
func parseConnector(args []string) (int64, int, error) {
	id, err := parseID(args[0])
	if err != nil {
		return 0, 0, err
	}
	no, err := strconv.Atoi(args[1])
	if err != nil || no < 1 || no > 32 {
		return 0, 0, usage("%q is no connector number: want 1 to 32", args[1])
	}
	return id, no, nil
}

// seconds is a --wait as the contract counts it.
func seconds(wait time.Duration, most int) (*int, error) {
	n := int(wait / time.Second)
	if wait < 0 || wait%time.Second != 0 || n > most {
		return nil, usage("--wait %s: want whole seconds up to %ds", wait, most)
	}
	return &n, nil
}

// text is a pointer to a given text, nil for an empty one.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// id is a pointer to a given id, nil for zero.
func id(n int64) *int64 {
	if n == 0 {
		return nil
	}
	return &n
}

// decimal reads a flag with one of the exact decimal types of the contract.
func decimal[T any, P interface {
	*T
	json.Unmarshaler
}](flag, value string,
) (*T, error) {
	if value == "" {
		return nil, nil //nolint:nilnil // nothing was given and nothing is wrong
	}
	var v T
	if err := P(&v).UnmarshalJSON([]byte(value)); err != nil {
		return nil, usage("--%s: %v", flag, err)
	}
	return &v, nil
}

// moment reads a flag with a time; one without zone is the tenant's, which only
// the server knows, so it is refused.
func moment(flag, value string) (*api.Time, error) {
	if value == "" {
		return nil, nil //nolint:nilnil // nothing was given and nothing is wrong
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return nil, usage("--%s %q: want RFC 3339 with a zone, such as 2026-02-10T18:30:00+08:00", flag, value)
	}
	return api.Ptr(api.At(at)), nil
}

// errNothing says that an update changes nothing.
var errNothing = errors.New("nothing to change: give at least one flag, --set or --file")
