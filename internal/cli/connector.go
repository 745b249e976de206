package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

func newConnectorGroup(e *env) *cobra.Command {
	flags := []bodyFlag{
		{"type", "connectorType", "such as GB/T", false},
		{"power", "ratedPower", "kW", false},
		{"parking", "parkingNo", "parking lot", false},
		{"enabled", "enabled", "0 or 1", false},
	}
	body := &bodyFlags{env: e, flags: flags}
	update := verb("update <charger-id> <connector-no>", "Change a connector", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		charger, no, err := parseConnector(args)
		if err != nil {
			return err
		}
		request, err := readBody[api.UpdateConnector](body)
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Connector, error) {
			return c.Connectors.Update(ctx, charger, no, request)
		})
	})
	body.register(update)
	show := verb("show <charger-id> <connector-no>", "Show a connector", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		charger, no, err := parseConnector(args)
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Connector, error) {
			return c.Connectors.Get(ctx, charger, no)
		})
	})
	return group("connector", "Connectors of a charger", newConnectorList(e), show, update, newConnectorSessions(e), newConnectorCurve(e),
		newStart(e, "start <charger-id> <connector-no>"), newStop(e, "stop <charger-id> <connector-no>"), newUnlock(e, "unlock <charger-id> <connector-no>"))
}

func newConnectorList(e *env) *cobra.Command {
	c := verb("list <charger-id>", "List the connectors of a charger", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		return connectorList(ctx, e, target)
	})
	c.Aliases = []string{"ls"}
	return c
}

func connectorList(ctx context.Context, e *env, charger int64) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	found, err := c.Connectors.List(ctx, charger)
	if err != nil {
		return err
	}
	return e.list(ctx, found, []column{
		{"connectorNo", "NO", "枪号", nil},
		{"connectorType", "TYPE", "类型", nil},
		{"status", "STATUS", "状态", chargerStatus},
		{"power", "KW", "功率", nil},
		{"soc", "SOC %", "电量%", nil},
		{"chargedEnergy", "KWH", "电量", nil},
		{"orderNo", "ORDER", "订单", nil},
		{"lastMeterTime", "METERED", "最近读数", ago},
	}, -1)
}

func newCommandGroup(e *env) *cobra.Command {
	var wait time.Duration
	show := verb("show <command-id>", "Show a command, waiting for its end with --wait", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		n, err := seconds(wait, 60)
		if err != nil {
			return err
		}
		q := client.Query{}
		if *n > 0 {
			q = q.With("wait", strconv.Itoa(*n))
		}
		return act(ctx, e, wait, func(ctx context.Context, c *client.Client) (api.Command, error) {
			return c.Commands.Get(ctx, target, q)
		})
	})
	show.Flags().DurationVar(&wait, "wait", 0, "wait for a final state")
	return group(
		"command", "What was asked of chargers and what became of it",
		newList(e, listSpec[api.Command]{
			short: "List commands",
			columns: []column{
				{"commandId", "ID", "编号", nil},
				{"chargerId", "CHARGER", "充电桩", nil},
				{"connectorNo", "NO", "枪号", nil},
				{"type", "TYPE", "类型", nil},
				{"state", "STATE", "状态", nil},
				{"reason", "REASON", "原因", nil},
				{"createTime", "ASKED", "下发", ago},
				{"endTime", "ENDED", "结束", ago},
			},
			filters: []filter{
				{"charger", "chargerId", "charger id"},
				{"type", "type", "command type"},
				{"state", "state", "command state"},
				{"order", "orderId", "order id"},
				{"from", "startTime", "not before"},
				{"to", "endTime", "before"},
			},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Command], error) {
				return c.Commands.List
			},
		}),
		show,
		newSwitch(e, "cancel", "<command-id>", "Take back a command that was not sent", func(ctx context.Context, c *client.Client, id int64) (api.Command, error) {
			return c.Commands.Cancel(ctx, id)
		}),
	)
}

func newConnectionGroup(e *env) *cobra.Command {
	return group("connection", "Open connections of chargers", newList(e, listSpec[api.Connection]{
		short: "List open connections",
		columns: []column{
			{"chargerId", "CHARGER", "充电桩", nil},
			{"deviceId", "DEVICE", "设备标识", nil},
			{"protocol", "PROTOCOL", "协议", nil},
			{"remoteAddress", "ADDRESS", "地址", nil},
			{"connectedSince", "SINCE", "连接于", ago},
			{"lastMessageTime", "HEARD", "最近通信", ago},
			{"messagesIn", "IN", "收", nil},
			{"messagesOut", "OUT", "发", nil},
			{"pendingCommands", "PENDING", "待执行", nil},
		},
		filters: []filter{{"protocol", "protocol", "protocol"}, {"charger", "chargerId", "charger id"}},
		fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Connection], error) {
			return c.Devices.Connections
		},
	}))
}

func newRejectionGroup(e *env) *cobra.Command {
	return group("rejection", "Refused connection attempts, with the reason", newList(e, listSpec[api.Rejection]{
		short: "List refused connection attempts",
		columns: []column{
			{"time", "TIME", "时间", ago},
			{"deviceId", "DEVICE", "设备标识", nil},
			{"remoteAddress", "ADDRESS", "地址", nil},
			{"reason", "REASON", "原因", nil},
			{"count", "COUNT", "次数", nil},
			{"hint", "HINT", "提示", nil},
		},
		filters: []filter{{"device", "deviceId", "device id"}, {"from", "startTime", "not before"}, {"to", "endTime", "before"}},
		fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Rejection], error) {
			return c.Devices.Rejections
		},
	}))
}
