package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
	"github.com/evcs/evcs/internal/tui"
)

var eventFilters = []filter{
	{"types", "types", "comma list such as charger.*,order.status"},
	{"station", "stationId", "only of this station"},
	{"charger", "chargerId", "only of this charger"},
}

func newEventGroup(e *env) *cobra.Command {
	c := group(
		"event", "What happened: read it, or follow it as it happens",
		newEventList(e), newEventFollow(e),
		newQuery(e, "ticket", "Make a ticket that opens one stream within a minute, for a browser", nil, func(ctx context.Context, c *client.Client, _ client.Query) (api.Ticket, error) {
			return c.Events.Ticket(ctx)
		}),
	)
	c.Aliases = []string{"events"}
	return c
}

func newEventList(e *env) *cobra.Command {
	c := newRead(e, readSpec[api.Event]{
		use: "list", short: "List stored events after an id, oldest first", columns: eventColumns(),
		filters: append([]filter{{"after", "afterId", "begin after this event id"}, {"limit", "size", "most events, 1 to 1000"}}, eventFilters...),
		fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.Event, error) {
			return c.Events.List
		},
	})
	c.Aliases = []string{"ls"}
	return c
}

// followOptions is which events are followed, and from where on.
type followOptions struct {
	after int64
	limit int
	query client.Query
}

func newEventFollow(e *env) *cobra.Command {
	var opts followOptions
	values := make([]string, len(eventFilters))
	c := verb("follow", "Show events as they happen; a lost stream is resumed without a gap", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if opts.after < 0 || opts.limit < 0 {
			return usage("--after and --limit are not negative")
		}
		opts.query = client.Query{}
		for i, f := range eventFilters {
			opts.query = opts.query.With(f.param, values[i])
		}
		return eventFollow(ctx, e, opts)
	})
	c.Aliases = []string{"tail"}
	for i, f := range eventFilters {
		c.Flags().StringVar(&values[i], f.flag, "", f.usage)
	}
	c.Flags().Int64Var(&opts.after, "after", 0, "begin after this event id instead of now")
	c.Flags().IntVarP(&opts.limit, "limit", "L", 0, "end after so many events; 0 never")
	return c
}

// errEnough ends a stream that has shown what was asked for.
var errEnough = errors.New("that is all")

func eventFollow(ctx context.Context, e *env, opts followOptions) error {
	form, err := e.format()
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	seen := 0
	err = c.Events.Follow(ctx, client.Follow{
		Query: opts.query, LastID: opts.after,
		Handle: func(event api.Event) error {
			if err := e.event(ctx, form, event); err != nil {
				return err
			}
			if seen++; seen == opts.limit {
				return errEnough
			}
			return nil
		},
		OnState: func(err error) {
			if err != nil {
				e.note(e.say("Connection lost, trying again: %v", "连接中断, 正在重连: %v"), err)
			}
		},
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

func eventColumns() []column {
	return []column{
		{"eventId", "ID", "编号", nil},
		{"time", "TIME", "时间", nil},
		{"type", "TYPE", "类型", nil},
		{"chargerId", "CHARGER", "充电桩", nil},
		{"connectorNo", "NO", "枪号", nil},
		{"orderNo", "ORDER", "订单", nil},
		{"data", "DATA", "数据", nil},
	}
}

// event writes one event on one line.
func (e *env) event(ctx context.Context, form string, event api.Event) error {
	text, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("write an event: %w", err)
	}
	switch {
	case e.globals.jq != "" || e.globals.template != "" || form == formatYAML:
		return e.structured(ctx, form, text)
	case form == formatJSON:
		_, err := fmt.Fprintf(e.Out, "%s\n", text)
		return err
	case form == formatCSV:
		return usage("events cannot be followed as csv: take tsv or json")
	default:
		return e.tsv(eventColumns(), []row{parseRow(text)})
	}
}

func newDashboard(e *env) *cobra.Command {
	return verb("dashboard", "Watch chargers, sessions, money and alerts live", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return dashboardRun(ctx, e)
	})
}

// dashboardRun runs the screens on a terminal; without one it writes the day's
// figures once.
func dashboardRun(ctx context.Context, e *env) error {
	if !e.inTTY || !e.outTTY {
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.DashboardStats, error) { return c.Monitor.Stats(ctx) })
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	return tui.Run(ctx, tui.Options{
		Source: tui.NewSource(c), In: e.In, Out: e.Out, Lang: e.lang(), Color: e.color(), Now: e.Now, Server: e.server,
	})
}

// errNoSimulator says that this build has no simulator.
var errNoSimulator = errors.New("this build has no simulator")

func newSimulate(e *env) *cobra.Command {
	return guest("simulate", "Run simulated chargers against a server; see evcsctl simulate --help", func(ctx context.Context, args []string) error {
		if e.Simulate == nil {
			return errNoSimulator
		}
		return exited(e.Simulate(ctx, args, e.Out, e.Err, helpOfGuests(e)))
	})
}

// errNoGateway says that this build has no gateway.
var errNoGateway = errors.New("this build has no payment gateway")

func newGateway(e *env) *cobra.Command {
	return guest("gateway", "Run a payment gateway on this machine, without money; see evcsctl gateway --help", func(ctx context.Context, args []string) error {
		if e.Gateway == nil {
			return errNoGateway
		}
		return exited(e.Gateway(ctx, args, e.Out, e.Err, e.Now, helpOfGuests(e)))
	})
}

// guest is a command of another package, with flags of its own.
func guest(name, short string, run func(ctx context.Context, args []string) error) *cobra.Command {
	c := verb(name+" [flags]", short, cobra.ArbitraryArgs, run)
	c.DisableFlagParsing = true
	c.SetHelpFunc(func(c *cobra.Command, _ []string) {
		if err := run(c.Context(), []string{"--help"}); err != nil {
			c.PrintErrln(err)
		}
	})
	return c
}

func exited(code int) error {
	if code != exitOK {
		return &exitError{code, nil}
	}
	return nil
}
