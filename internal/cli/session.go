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
			short: "List sessions",
			columns: []column{
				{"sessionId", "SESSION", "会话", nil},
				{"chargerId", "CHARGER", "充电桩", nil},
				{"connectorNo", "NO", "枪号", nil},
				{"state", "STATE", "状态", nil},
				{"energy", "KWH", "电量", nil},
				{"orderNo", "ORDER", "订单", nil},
				{"startTime", "STARTED", "开始", ago},
				{"anomalies", "ANOMALIES", "异常", nil},
			},
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

func newSessionCurve(e *env) *cobra.Command {
	var points string
	c := verb("curve <session-id>", "Show the readings of a session", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		c, err := e.client()
		if err != nil {
			return err
		}
		ctx, cancel := e.deadline(ctx, 0)
		defer cancel()
		curve, err := c.Sessions.Curve(ctx, args[0], client.Query{}.With("maxPoints", points))
		if err != nil {
			return err
		}
		return e.list(ctx, curve.Points, []column{
			{"time", "TIME", "时间", nil},
			{"meter", "METER", "表底", nil},
			{"energy", "KWH", "电量", nil},
			{"power", "KW", "功率", nil},
			{"voltage", "V", "电压", nil},
			{"current", "A", "电流", nil},
			{"soc", "SOC %", "电量%", nil},
			{"temperature", "°C", "温度", nil},
		}, -1)
	})
	c.Flags().StringVar(&points, "points", "", "most points, 2 to 5000")
	return c
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
