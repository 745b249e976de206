package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
	"github.com/evcs/evcs/internal/tui"
)

// eventOptions is which events, and from where on.
type eventOptions struct {
	follow bool
	after  int64
	query  client.Query
}

func newEvents(e *env) *cobra.Command {
	var opts eventOptions
	var types, station, charger string
	c := verb("events", "Show events; --follow stays and shows them as they happen", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		opts.query = client.Query{}.With("types", types).With("stationId", station).With("chargerId", charger)
		return eventsRun(ctx, e, opts)
	})
	c.Flags().BoolVarP(&opts.follow, "follow", "f", false, "stay connected; a lost stream is resumed without a gap")
	c.Flags().Int64Var(&opts.after, "after", 0, "begin after this event id")
	c.Flags().StringVar(&types, "types", "", "comma list such as charger.*,order.status")
	c.Flags().StringVar(&station, "station", "", "only of this station")
	c.Flags().StringVar(&charger, "charger", "", "only of this charger")
	return c
}

func eventsRun(ctx context.Context, e *env, opts eventOptions) error {
	form, err := e.format()
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	if !opts.follow {
		ctx, cancel := e.deadline(ctx, 0)
		defer cancel()
		found, err := c.Events.List(ctx, opts.query.With("afterId", fmt.Sprint(opts.after)))
		if err != nil {
			return err
		}
		return e.list(ctx, found, eventColumns(), -1)
	}
	return c.Events.Follow(ctx, client.Follow{
		Query: opts.query, LastID: opts.after,
		Handle: func(event api.Event) error { return e.event(ctx, form, event) },
		OnState: func(err error) {
			if err != nil {
				e.note(e.say("Connection lost, trying again: %v", "连接中断, 正在重连: %v"), err)
			}
		},
	})
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

func newAlertGroup(e *env) *cobra.Command {
	return group(
		"alert", "Alerts",
		newList(e, listSpec[api.Alert]{
			short: "List alerts",
			columns: []column{
				{"alertId", "ID", "编号", nil},
				{"severity", "SEVERITY", "级别", nil},
				{"status", "STATUS", "状态", nil},
				{"alertType", "TYPE", "类型", nil},
				{"title", "TITLE", "标题", nil},
				{"message", "MESSAGE", "内容", nil},
				{"occurrences", "COUNT", "次数", nil},
				{"lastTime", "LAST", "最近", ago},
			},
			filters: append([]filter{
				{"type", "alertType", "rule name"},
				{"severity", "severity", "CRITICAL, HIGH, MEDIUM, LOW"},
				{"status", "status", "ACTIVE, ACKNOWLEDGED, RESOLVED"},
				{"source", "source", "SYSTEM, DEVICE, …"},
				{"station", "stationId", "station id"},
				{"charger", "chargerId", "charger id"},
			}, timeFilters...),
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Alert], error) {
				return c.Monitor.Alerts
			},
		}),
		newShow(e, "<alert-id>", "Show an alert with its history", func(c *client.Client) func(context.Context, int64) (api.AlertDetail, error) { return c.Monitor.Alert }),
		newAlertAck(e),
		newBodyVerb(e, "resolve <alert-id>", "End an alert", []bodyFlag{{"resolution", "resolution", "what was done", true}},
			func(ctx context.Context, c *client.Client, id int64, b api.ResolveAlert) (api.Alert, error) {
				return c.Monitor.Resolve(ctx, id, b)
			}),
	)
}

func newAlertAck(e *env) *cobra.Command {
	var note string
	c := verb("ack <alert-id>", "Say that somebody looks after an alert", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Alert, error) {
			return c.Monitor.Acknowledge(ctx, target, api.Note{Note: text(note)})
		})
	})
	c.Flags().StringVar(&note, "note", "", "remark")
	return c
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
	c := verb("simulate [flags]", "Run simulated chargers against a server; see evcsctl simulate --help", cobra.ArbitraryArgs, func(ctx context.Context, args []string) error {
		if e.Simulate == nil {
			return errNoSimulator
		}
		if code := e.Simulate(ctx, args, e.Out, e.Err); code != exitOK {
			return &exitError{code, nil}
		}
		return nil
	})
	c.DisableFlagParsing = true // the simulator has flags of its own
	return c
}

// apiOptions is the body and the query of a raw call.
type apiOptions struct {
	input  string
	fields []string
}

func newAPI(e *env) *cobra.Command {
	var opts apiOptions
	c := verb("api <method> <path>", "Call any operation and write its data", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		return apiRun(ctx, e, strings.ToUpper(args[0]), args[1], opts)
	})
	c.Flags().StringVar(&opts.input, "input", "", "JSON body from a file, - for standard input")
	c.Flags().StringArrayVarP(&opts.fields, "field", "F", nil, "name=value of the query, repeatable")
	return c
}

func apiRun(ctx context.Context, e *env, method, path string, opts apiOptions) error {
	if err := oneOf("method", method, "GET", "POST", "PUT", "DELETE"); err != nil {
		return err
	}
	if !strings.HasPrefix(path, "/") {
		return usage("%q is no path: want one such as /api/station", path)
	}
	query := client.Query{}
	for _, field := range opts.fields {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			return usage("--field %q: want name=value", field)
		}
		query[name] = value
	}
	var body json.RawMessage
	if opts.input != "" {
		content, err := e.slurp(opts.input)
		if err != nil {
			return err
		}
		if !json.Valid(content) {
			return usage("%s is no JSON", opts.input)
		}
		body = content
	}
	return rawRun(ctx, e, method, path, query, body)
}

// rawRun writes the data of an enveloped answer as JSON, any other answer as it
// is.
func rawRun(ctx context.Context, e *env, method, path string, query client.Query, body json.RawMessage) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	answer, err := c.Raw.Do(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	var envelope api.Envelope[json.RawMessage]
	if json.Unmarshal(answer, &envelope) != nil || envelope.Code != api.CodeOK {
		_, err := e.Out.Write(answer)
		return err
	}
	form, err := e.format()
	if err != nil {
		return err
	}
	if form != formatYAML {
		form = formatJSON
	}
	return e.structured(ctx, form, envelope.Data)
}
