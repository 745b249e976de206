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
}

// newList parses the flags of a list.
func newList[T any](e *env, spec listSpec[T]) *cobra.Command {
	var opts listOptions
	var sort string
	values := make([]string, len(spec.filters))
	c := verb(firstOf(spec.use, "list"), spec.short, cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if opts.limit < 1 || opts.limit > maxLimit {
			return usage("--limit %d: want 1 to %d", opts.limit, maxLimit)
		}
		opts.query = client.Query{}.With("sort", sort)
		for i, f := range spec.filters {
			opts.query = opts.query.With(f.param, values[i])
		}
		return listRun(ctx, e, spec, opts)
	})
	if c.Name() == "list" {
		c.Aliases = []string{"ls"}
	}
	for i, f := range spec.filters {
		c.Flags().StringVar(&values[i], f.flag, "", f.usage)
	}
	c.Flags().IntVarP(&opts.limit, "limit", "L", defaultLimit, "most rows to read")
	c.Flags().StringVar(&sort, "sort", "", "order by field or field,desc")
	return c
}

// listRun reads up to the limit and writes it.
func listRun[T any](ctx context.Context, e *env, spec listSpec[T], opts listOptions) error {
	if _, err := e.format(); err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	records, total, err := collect(ctx, spec.fetch(c), opts)
	if err != nil {
		return err
	}
	return e.list(ctx, records, spec.columns, total)
}

// collect reads a list: by page when one is enough, else by cursor, which stays
// right while rows are added.
func collect[T any](ctx context.Context, fetch func(context.Context, client.Query) (api.Page[T], error), opts listOptions) ([]T, int64, error) {
	records := []T{}
	if opts.limit <= maxPageSize {
		page, err := fetch(ctx, opts.query.With("size", strconv.Itoa(opts.limit)))
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
	return verb("show "+noun, short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
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
