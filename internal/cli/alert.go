package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

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
		newQuery(e, "statistics", "Count the alerts of some days", []filter{{"from", "startDate", "first day, yyyy-MM-dd"}, {"to", "endDate", "last day, yyyy-MM-dd"}},
			func(ctx context.Context, c *client.Client, q client.Query) (api.AlertStatistics, error) {
				return c.Monitor.AlertStatistics(ctx, q)
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

func ruleFlags(create bool) []bodyFlag {
	list := []bodyFlag{
		{"name", "name", "name, the type of its alerts", create},
		{"metric", "metric", "what is watched: evcsctl alert-rule metrics", create},
		{"op", "op", "gt, ge, lt or le", create},
		{"threshold", "threshold", "bound", create},
		{"severity", "severity", "CRITICAL, HIGH, MEDIUM or LOW", create},
		{"for", "forSeconds", "seconds it must last", false},
		{"filter", "filter", "JSON with stationId, chargerId, label", false},
		{"channels", "channelIds", "notification channels, comma separated; all when empty", false},
		{"enabled", "enabled", "0 or 1", false},
	}
	if !create {
		list = append(list, bodyFlag{"min-samples", "minSamples", "samples it needs", false})
	}
	return list
}

func newAlertRuleGroup(e *env) *cobra.Command {
	return group(
		"alert-rule", "What raises alerts",
		newList(e, listSpec[api.AlertRule]{
			short: "List alert rules",
			columns: []column{
				{"ruleId", "ID", "编号", nil},
				{"name", "NAME", "名称", nil},
				{"severity", "SEVERITY", "级别", nil},
				{"metric", "METRIC", "指标", nil},
				{"op", "OP", "比较", nil},
				{"threshold", "THRESHOLD", "阈值", nil},
				{"forSeconds", "FOR S", "持续秒", nil},
				{"enabled", "STATUS", "状态", enabled},
				{"builtIn", "BUILT IN", "内置", yesNo},
				{"title", "TITLE", "标题", nil},
			},
			filters: []filter{{"name", "name", "name contains"}, {"enabled", "enabled", "0 or 1"}},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.AlertRule], error) {
				return c.Rules.List
			},
		}),
		newShow(e, "<rule-id>", "Show an alert rule", func(c *client.Client) func(context.Context, int64) (api.AlertRule, error) { return c.Rules.Get }),
		newCreate(e, "Create an alert rule", ruleFlags(true), func(c *client.Client) func(context.Context, api.CreateAlertRule) (api.AlertRule, error) {
			return c.Rules.Create
		}),
		newUpdate(e, "<rule-id>", "Change an alert rule; of a built-in one only your own values", ruleFlags(false),
			func(c *client.Client) func(context.Context, int64, api.UpdateAlertRule) (api.AlertRule, error) {
				return c.Rules.Update
			}),
		newDelete(e, "<rule-id>", "Delete an alert rule", func(c *client.Client) func(context.Context, int64) error {
			return c.Rules.Delete
		}),
		newRead(e, readSpec[api.AlertMetric]{
			use: "metrics", short: "List what rules can watch",
			columns: []column{{"metric", "METRIC", "指标", nil}, {"unit", "UNIT", "单位", nil}, {"labels", "LABELS", "标签", nil}, {"help", "HELP", "说明", nil}},
			fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.AlertMetric, error) {
				return func(ctx context.Context, _ client.Query) ([]api.AlertMetric, error) { return c.Rules.Metrics(ctx) }
			},
		}),
	)
}

func noticeFlags(create bool) []bodyFlag {
	list := []bodyFlag{
		{"name", "name", "name", create},
		{"config", "config", "JSON with url, secret, to; a secret is better in --file", create},
		{"min-severity", "minSeverity", "CRITICAL, HIGH, MEDIUM or LOW", false},
		{"quiet", "quietHours", `JSON such as {"from":"22:00","to":"07:00"}, null for none`, false},
		{"group-seconds", "groupSeconds", "tells together what comes within", false},
		{"repeat-minutes", "repeatMinutes", "tells again while it lasts", false},
		{"descendants", "includeDescendants", "1: also alerts of the tenants below", false},
		{"enabled", "enabled", "0 or 1", false},
	}
	if create {
		list = append(list, bodyFlag{"type", "type", "WEBHOOK, EMAIL, DINGTALK, WECOM or FEISHU", true})
	}
	return list
}

func newNotifyGroup(e *env) *cobra.Command {
	return group(
		"notify", "Channels that tell people of alerts",
		newList(e, listSpec[api.NotificationChannel]{
			short: "List notification channels",
			columns: []column{
				{"channelId", "ID", "编号", nil},
				{"type", "TYPE", "类型", nil},
				{"name", "NAME", "名称", nil},
				{"minSeverity", "FROM", "起始级别", nil},
				{"enabled", "STATUS", "状态", enabled},
				{"lastSuccessTime", "LAST SENT", "最近成功", ago},
				{"lastError", "LAST ERROR", "最近错误", nil},
			},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.NotificationChannel], error) {
				return c.Notices.List
			},
		}),
		newShow(e, "<channel-id>", "Show a notification channel, without its secret", func(c *client.Client) func(context.Context, int64) (api.NotificationChannel, error) {
			return c.Notices.Get
		}),
		newCreate(e, "Create a notification channel", noticeFlags(true), func(c *client.Client) func(context.Context, api.CreateChannel) (api.NotificationChannel, error) {
			return c.Notices.Create
		}),
		newUpdate(e, "<channel-id>", "Change a notification channel", noticeFlags(false),
			func(c *client.Client) func(context.Context, int64, api.UpdateChannel) (api.NotificationChannel, error) {
				return c.Notices.Update
			}),
		newDelete(e, "<channel-id>", "Delete a notification channel", func(c *client.Client) func(context.Context, int64) error {
			return c.Notices.Delete
		}),
		newTrial(e, "test <channel-id>", "Send a notice now; exit code 7 when it is not delivered", func(ctx context.Context, c *client.Client, id int64) (api.DeliveryTrial, error) {
			return c.Notices.Test(ctx, id)
		}),
	)
}

// errNotDelivered says that a trial did not arrive.
var errNotDelivered = errors.New("not delivered")

// newTrial is a verb that sends something on trial.
func newTrial(e *env, use, short string, send func(context.Context, *client.Client, int64) (api.DeliveryTrial, error)) *cobra.Command {
	return verb(use, short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		var seen api.DeliveryTrial
		err = act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.DeliveryTrial, error) {
			found, err := send(ctx, c, target)
			seen = found
			return found, err
		})
		if err == nil && !seen.OK {
			return &exitError{exitUnavailable, errNotDelivered}
		}
		return err
	})
}

func webhookFlags(create bool) []bodyFlag {
	return []bodyFlag{
		{"name", "name", "name", create},
		{"url", "url", "https address", create},
		{"types", "types", "event types or families such as charger.*, comma separated", create},
		{"descendants", "includeDescendants", "1: also events of the tenants below", false},
		{"enabled", "enabled", "0 or 1", false},
	}
}

func newWebhookGroup(e *env) *cobra.Command {
	return group(
		"webhook", "Receivers of events",
		newList(e, listSpec[api.Webhook]{
			short: "List webhooks",
			columns: []column{
				{"webhookId", "ID", "编号", nil},
				{"name", "NAME", "名称", nil},
				{"url", "URL", "地址", nil},
				{"types", "TYPES", "类型", nil},
				{"enabled", "STATUS", "状态", enabled},
				{"pending", "PENDING", "待发", nil},
				{"lastSuccessTime", "LAST SENT", "最近成功", ago},
				{"lastError", "LAST ERROR", "最近错误", nil},
			},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Webhook], error) {
				return c.Webhooks.List
			},
		}),
		newShow(e, "<webhook-id>", "Show a webhook, without its secret", func(c *client.Client) func(context.Context, int64) (api.Webhook, error) { return c.Webhooks.Get }),
		newWebhookCreate(e), newWebhookUpdate(e), newWebhookRotate(e),
		newDelete(e, "<webhook-id>", "Delete a webhook and what waits for it", func(c *client.Client) func(context.Context, int64) error { return c.Webhooks.Delete }),
		newTrial(e, "test <webhook-id>", "Send a trial event now; exit code 7 when it is not delivered", func(ctx context.Context, c *client.Client, id int64) (api.DeliveryTrial, error) {
			return c.Webhooks.Test(ctx, id)
		}),
		newListOf(e, listSpec[api.WebhookDelivery]{
			use: "deliveries <webhook-id>", short: "List what was sent to a webhook, and with what success",
			columns: []column{
				{"deliveryId", "ID", "编号", nil},
				{"eventId", "EVENT", "事件", nil},
				{"type", "TYPE", "类型", nil},
				{"state", "STATE", "状态", nil},
				{"attempts", "TRIES", "次数", nil},
				{"lastStatus", "HTTP", "HTTP", nil},
				{"nextTime", "NEXT", "下次", ago},
				{"lastError", "LAST ERROR", "最近错误", nil},
			},
			filters: []filter{{"state", "state", "PENDING, DELIVERED or FAILED"}},
		}, func(c *client.Client, id int64, q client.Query) func(context.Context) (api.Page[api.WebhookDelivery], error) {
			return func(ctx context.Context) (api.Page[api.WebhookDelivery], error) {
				return c.Webhooks.Deliveries(ctx, id, q)
			}
		}),
		newBodyVerb(e, "redeliver <webhook-id>", "Send one delivery again, or everything from an event on", []bodyFlag{
			{"delivery", "deliveryId", "delivery id", false}, {"from-event", "fromEventId", "event id", false},
		}, func(ctx context.Context, c *client.Client, id int64, b api.Redeliver) (api.Redelivered, error) {
			return c.Webhooks.Redeliver(ctx, id, b)
		}),
	)
}

func newWebhookCreate(e *env) *cobra.Command {
	var file string
	body := &bodyFlags{env: e, flags: webhookFlags(true)}
	c := verb("create", "Create a webhook; the secret that signs is shown only now", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		request, err := readBody[api.CreateWebhook](body)
		if err != nil {
			return err
		}
		if err := e.aimTenant(&request); err != nil {
			return err
		}
		return webhookMade(ctx, e, file, func(ctx context.Context, c *client.Client) (api.NewWebhook, error) {
			return c.Webhooks.Create(ctx, request)
		})
	})
	body.register(c)
	secretFlag(c, &file)
	return c
}

func newWebhookUpdate(e *env) *cobra.Command {
	return newUpdate(e, "<webhook-id>", "Change a webhook", webhookFlags(false), func(c *client.Client) func(context.Context, int64, api.UpdateWebhook) (api.NewWebhook, error) {
		return c.Webhooks.Update
	})
}

func newWebhookRotate(e *env) *cobra.Command {
	var file string
	c := verb("rotate <webhook-id>", "Make a new secret; it is shown only now", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		return webhookMade(ctx, e, file, func(ctx context.Context, c *client.Client) (api.NewWebhook, error) {
			return c.Webhooks.Update(ctx, target, api.UpdateWebhook{RotateSecret: api.Ptr(api.Flag(true))})
		})
	})
	secretFlag(c, &file)
	return c
}

func webhookMade(ctx context.Context, e *env, file string, call func(context.Context, *client.Client) (api.NewWebhook, error)) error {
	return withSecret(ctx, e, file, call, func(made *api.NewWebhook) *string { return &made.Secret })
}
