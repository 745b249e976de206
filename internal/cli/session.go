package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

func newSessionGroup(e *env) *cobra.Command {
	return group(
		"session", "What chargers did: sessions and their curves",
		newList(e, listSpec[api.Session]{
			short:   "List sessions",
			columns: sessionColumns(),
			filters: append([]filter{
				{"charger", "chargerId", "charger id"},
				{"station", "stationId", "station id"},
				{"user", "userId", "driver"},
				{"state", "state", "ACTIVE, SUSPENDED, ENDED, ORPHAN"},
				{"anomaly", "anomaly", "anomaly code"},
			}, timeFilters...),
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Session], error) {
				return c.Sessions.List
			},
		}),
		verb("show <session-id>", "Show a session", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Session, error) { return c.Sessions.Get(ctx, args[0]) })
		}),
		newSessionCurve(e), newSessionAdopt(e), newSessionClose(e),
	)
}

func sessionColumns() []column {
	return []column{
		{"sessionId", "SESSION", "会话", nil},
		{"chargerId", "CHARGER", "充电桩", nil},
		{"connectorNo", "NO", "枪号", nil},
		{"state", "STATE", "状态", nil},
		{"energy", "KWH", "电量", nil},
		{"orderNo", "ORDER", "订单", nil},
		{"startTime", "STARTED", "开始", ago},
		{"anomalies", "ANOMALIES", "异常", nil},
	}
}

func newSessionCurve(e *env) *cobra.Command {
	var points string
	c := verb("curve <session-id>", "Show the readings of a session", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return curveRun(ctx, e, func(ctx context.Context, c *client.Client) (api.Curve, error) {
			return c.Sessions.Curve(ctx, args[0], client.Query{}.With("maxPoints", points))
		})
	})
	c.Flags().StringVar(&points, "points", "", "most points, 2 to 5000")
	return c
}

// curveRun writes readings; a person also sees the power as a line of bars.
func curveRun(ctx context.Context, e *env, fetch func(context.Context, *client.Client) (api.Curve, error)) error {
	spec := readSpec[api.Sample]{draw: "power", columns: []column{
		{"time", "TIME", "时间", nil},
		{"meter", "METER", "表底", nil},
		{"energy", "KWH", "电量", nil},
		{"power", "KW", "功率", nil},
		{"voltage", "V", "电压", nil},
		{"current", "A", "电流", nil},
		{"soc", "SOC %", "电量%", nil},
		{"temperature", "°C", "温度", nil},
	}}
	return readRun(ctx, e, spec, func(ctx context.Context, c *client.Client) ([]api.Sample, error) {
		curve, err := fetch(ctx, c)
		return curve.Points, err
	})
}

// adoptOptions is why and for whom an orphan becomes an order.
type adoptOptions struct {
	reason     string
	user, plan int64
}

func newSessionAdopt(e *env) *cobra.Command {
	var opts adoptOptions
	c := verb("adopt <session-id>", "Make an order of an orphan session", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if opts.reason == "" {
			return usage("--reason is required")
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Order, error) {
			return c.Sessions.Adopt(ctx, args[0], api.AdoptSession{Reason: opts.reason, UserID: id(opts.user), BillingPlanID: id(opts.plan)})
		})
	})
	c.Flags().StringVar(&opts.reason, "reason", "", "why (required)")
	c.Flags().Int64Var(&opts.user, "user", 0, "driver")
	c.Flags().Int64Var(&opts.plan, "plan", 0, "billing plan")
	return c
}

// closeOptions is how a session ends whose device is gone.
type closeOptions struct{ reason, meter, energy, at string }

func newSessionClose(e *env) *cobra.Command {
	var opts closeOptions
	c := verb("close <session-id>", "End a session whose device is gone", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if opts.reason == "" {
			return usage("--reason is required")
		}
		return sessionClose(ctx, e, args[0], opts)
	})
	c.Flags().StringVar(&opts.reason, "reason", "", "why (required)")
	c.Flags().StringVar(&opts.meter, "meter-stop", "", "register at the end, kWh")
	c.Flags().StringVar(&opts.energy, "energy", "", "energy of the session, kWh")
	c.Flags().StringVar(&opts.at, "at", "", "when it ended, RFC 3339")
	return c
}

func sessionClose(ctx context.Context, e *env, session string, opts closeOptions) error {
	meter, err := decimal[api.KWh]("meter-stop", opts.meter)
	if err != nil {
		return err
	}
	energy, err := decimal[api.KWh]("energy", opts.energy)
	if err != nil {
		return err
	}
	at, err := moment("at", opts.at)
	if err != nil {
		return err
	}
	if err := e.confirm(fmt.Sprintf(e.say("Close session %s?", "关闭会话 %s?"), session)); err != nil {
		return err
	}
	return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Order, error) {
		return c.Sessions.Close(ctx, session, api.CloseSession{Reason: opts.reason, MeterStop: meter, Energy: energy, StopTime: at})
	})
}

var sessionFilters = append([]filter{{"user", "userId", "driver"}, {"state", "state", "ACTIVE, SUSPENDED, ENDED, ORPHAN"}, {"anomaly", "anomaly", "anomaly code"}}, timeFilters...)

// newConnectorSessions lists the sessions of one connector.
func newConnectorSessions(e *env) *cobra.Command {
	spec := listSpec[api.Session]{short: "List the sessions of a connector", columns: sessionColumns(), filters: sessionFilters}
	return listVerb(e, spec, "sessions <charger-id> <connector-no>", cobra.ExactArgs(2), func(args []string) (func(*client.Client) fetcher[api.Session], error) {
		charger, no, err := parseConnector(args)
		return func(c *client.Client) fetcher[api.Session] {
			return func(ctx context.Context, q client.Query) (api.Page[api.Session], error) {
				return c.Connectors.Sessions(ctx, charger, no, q)
			}
		}, err
	})
}

// newConnectorCurve shows the readings of a session of one connector.
func newConnectorCurve(e *env) *cobra.Command {
	var points string
	c := verb("curve <charger-id> <connector-no> <session-id>", "Show the readings of a session of a connector", cobra.ExactArgs(3), func(ctx context.Context, args []string) error {
		charger, no, err := parseConnector(args)
		if err != nil {
			return err
		}
		return curveRun(ctx, e, func(ctx context.Context, c *client.Client) (api.Curve, error) {
			return c.Connectors.Curve(ctx, charger, no, args[2], client.Query{}.With("maxPoints", points))
		})
	})
	c.Flags().StringVar(&points, "points", "", "most points, 2 to 5000")
	return c
}
