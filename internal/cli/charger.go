package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

const (
	defaultWait    = 30 * time.Second
	maxWaitSeconds = 120
)

func newChargerGroup(e *env) *cobra.Command {
	return group(
		"charger", "Chargers, what they do and how they prove who they are",
		newChargerList(e),
		newShow(e, "<charger-id>", "Show a charger with its connectors", func(c *client.Client) func(context.Context, int64) (api.Charger, error) {
			return c.Chargers.Get
		}),
		newCreate(e, "Create a charger with its connectors", chargerFlags(true), func(c *client.Client) func(context.Context, api.CreateCharger) (api.Charger, error) {
			return c.Chargers.Create
		}),
		newUpdate(e, "<charger-id>", "Change a charger", chargerFlags(false), func(c *client.Client) func(context.Context, int64, api.UpdateCharger) (api.Charger, error) {
			return func(ctx context.Context, id int64, body api.UpdateCharger) (api.Charger, error) {
				body.ChargerID, body.ID = &id, nil
				return c.Chargers.Update(ctx, body)
			}
		}),
		newDelete(e, "<charger-id>", "Delete a charger", func(c *client.Client) func(context.Context, int64) error { return c.Chargers.Delete }),
		newSwitch(e, "enable", "<charger-id>", "Enable a charger", func(ctx context.Context, c *client.Client, id int64) (api.ChargerEnabled, error) {
			return c.Chargers.Enable(ctx, id, true)
		}),
		newSwitch(e, "disable", "<charger-id>", "Disable a charger for new sessions", func(ctx context.Context, c *client.Client, id int64) (api.ChargerEnabled, error) {
			return c.Chargers.Enable(ctx, id, false)
		}),
		newChargerStatus(e), newChargerStatistics(e), newChargerOffline(e), newChargerFaulty(e),
		newNamed(e, "find <charger-code>", "Show the charger with a code", func(ctx context.Context, c *client.Client, code string) (api.Charger, error) {
			return c.Chargers.ByCode(ctx, code)
		}),
		newCodeCheck(e, "chargerCode", func(c *client.Client) func(context.Context, client.Query) (bool, error) { return c.Chargers.CodeTaken }),
		newStart(e, "start <charger-id> <connector-no>"), newStop(e, "stop <charger-id> <connector-no>"),
		newReset(e), newUnlock(e, "unlock <charger-id> <connector-no>"),
		newCredential(e), newSendCommand(e), newMessages(e),
	)
}

func newChargerList(e *env) *cobra.Command {
	return newList(e, listSpec[api.Charger]{
		short: "List chargers",
		columns: []column{
			{"chargerId", "ID", "编号", nil},
			{"chargerCode", "CODE", "编码", nil},
			{"chargerName", "NAME", "名称", nil},
			{"stationName", "STATION", "站点", nil},
			{"status", "STATUS", "状态", chargerStatus},
			{"enabled", "ENABLED", "启用", enabled},
			{"protocol", "PROTOCOL", "协议", nil},
			{"ratedPower", "KW", "功率", nil},
			{"currentPower", "NOW KW", "当前功率", nil},
			{"lastHeartbeat", "HEARD", "最近通信", ago},
		},
		filters: []filter{
			{"station", "stationId", "station id"},
			{"status", "status", "0 offline, 1 idle, 2 charging, 3 fault, 4 maintenance, 5 reserved; several with commas"},
			{"name", "chargerName", "name contains"},
			{"code", "chargerCode", "code contains"},
			{"keyword", "keyword", "name or code contains"},
			{"enabled", "enabled", "0 or 1"},
			{"type", "chargerType", "1 DC, 2 AC, 3 both"},
			{"protocol", "protocol", "OCPP16, OCPP201, YKC, CLOUDCHARGE"},
			{"connected", "connected", "true or false"},
			{"simulated", "simulated", "true or false"},
		},
		fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Charger], error) {
			return c.Chargers.List
		},
	})
}

func newChargerOffline(e *env) *cobra.Command {
	return newRead(e, readSpec[api.OfflineCharger]{
		use: "offline", short: "List the chargers that have been away for some minutes",
		columns: []column{
			{"chargerId", "ID", "编号", nil},
			{"chargerCode", "CODE", "编码", nil},
			{"stationName", "STATION", "站点", nil},
			{"offlineMinutes", "MINUTES", "分钟", nil},
			{"offlineSince", "SINCE", "离线于", ago},
			{"lastHeartbeat", "HEARD", "最近通信", ago},
		},
		filters: []filter{{"minutes", "minutes", "at least this long"}, {"station", "stationId", "station id"}},
		fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.OfflineCharger, error) {
			return c.Chargers.Offline
		},
	})
}

func newChargerFaulty(e *env) *cobra.Command {
	return newRead(e, readSpec[api.Charger]{
		use: "faulty", short: "List the chargers that report a fault",
		columns: []column{
			{"chargerId", "ID", "编号", nil},
			{"chargerCode", "CODE", "编码", nil},
			{"stationName", "STATION", "站点", nil},
			{"status", "STATUS", "状态", chargerStatus},
			{"faultCode", "FAULT", "故障码", nil},
			{"faultSince", "SINCE", "故障于", ago},
			{"faultDescription", "WHAT", "描述", nil},
		},
		filters: []filter{{"station", "stationId", "station id"}},
		fetch: func(c *client.Client) func(context.Context, client.Query) ([]api.Charger, error) {
			return c.Chargers.Faulty
		},
	})
}

func chargerFlags(create bool) []bodyFlag {
	flags := []bodyFlag{
		{"code", "chargerCode", "code, unique in the tenant", create},
		{"name", "chargerName", "name", create},
		{"type", "chargerType", "1 DC, 2 AC, 3 both", create},
		{"power", "ratedPower", "rated power in kW", create},
		{"connectors", "gunCount", "number of connectors", false},
		{"connector-types", "gunTypes", "such as GB/T,CCS", false},
		{"protocol", "protocol", "OCPP16, OCPP201, YKC, CLOUDCHARGE; decided by the first connection if absent", false},
		{"plan", "billingPlanId", "billing plan", false},
		{"remark", "remark", "remark", false},
	}
	if create {
		flags = append(flags, bodyFlag{"station", "stationId", "station it belongs to", true}, bodyFlag{"device", "deviceId", "identity at the device port; the code by default", false})
	}
	return flags
}

// newChargerStatus writes a status report of an operator.
func newChargerStatus(e *env) *cobra.Command {
	names := map[string]int{"offline": api.ChargerOffline, "idle": api.ChargerIdle, "fault": api.ChargerFault, "maintenance": api.ChargerMaintenance, "reserved": api.ChargerReserved}
	return verb("set-status <charger-id> <offline|idle|fault|maintenance|reserved>", "Set the status of a charger", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		status, known := names[args[1]]
		if !known {
			return usage("%q is no status: want offline, idle, fault, maintenance or reserved", args[1])
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.ChargerStatus, error) {
			return c.Chargers.SetStatus(ctx, target, status)
		})
	})
}

func newChargerStatistics(e *env) *cobra.Command {
	var station string
	c := verb("statistics", "Count the chargers by status", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.ChargerStatistics, error) {
			return c.Chargers.Statistics(ctx, client.Query{}.With("stationId", station))
		})
	})
	c.Flags().StringVar(&station, "station", "", "only of this station")
	return c
}

// startOptions is for whom a session is started and by which plan.
type startOptions struct {
	charger   int64
	connector int
	user      int64
	plan      int64
	card      string
	session   string
	wait      time.Duration
}

func newStart(e *env, use string) *cobra.Command {
	var opts startOptions
	c := verb(use, "Start charging and wait until the charger confirms it", cobra.ExactArgs(2), func(ctx context.Context, args []string) (err error) {
		if opts.charger, opts.connector, err = parseConnector(args); err != nil {
			return err
		}
		return startRun(ctx, e, opts)
	})
	c.Flags().Int64Var(&opts.user, "user", 0, "driver, in your own numbering")
	c.Flags().Int64Var(&opts.plan, "plan", 0, "billing plan instead of the charger's")
	c.Flags().StringVar(&opts.card, "card", "", "card the session belongs to")
	c.Flags().StringVar(&opts.session, "session", "", "session id of your own; repeating it starts nothing twice")
	c.Flags().DurationVar(&opts.wait, "wait", defaultWait, "how long the charger may take; 0 returns at once")
	return c
}

func startRun(ctx context.Context, e *env, opts startOptions) error {
	wait, err := seconds(opts.wait, maxWaitSeconds)
	if err != nil {
		return err
	}
	e.waiting(opts.charger, opts.wait)
	return act(ctx, e, opts.wait, func(ctx context.Context, c *client.Client) (api.OrderResult, error) {
		return c.Commands.Start(ctx, opts.charger, opts.connector, api.StartConnector{
			UserID: id(opts.user), BillingPlanID: id(opts.plan), IDTag: text(opts.card), SessionID: text(opts.session), Wait: wait,
		})
	})
}

// waiting tells a person why nothing happens for a while.
func (e *env) waiting(charger int64, wait time.Duration) {
	if wait > 0 {
		e.note(e.say("Waiting for charger %d, up to %s …", "等待充电桩 %d, 最长 %s …"), charger, wait)
	}
}

// stopOptions is which session is stopped and why.
type stopOptions struct {
	charger   int64
	connector int
	reason    string
	wait      time.Duration
}

func newStop(e *env, use string) *cobra.Command {
	var opts stopOptions
	c := verb(use, "Stop charging and show the bill", cobra.ExactArgs(2), func(ctx context.Context, args []string) (err error) {
		if opts.charger, opts.connector, err = parseConnector(args); err != nil {
			return err
		}
		return stopRun(ctx, e, opts)
	})
	c.Flags().StringVar(&opts.reason, "reason", "", "reason, kept with the order")
	c.Flags().DurationVar(&opts.wait, "wait", defaultWait, "how long the charger may take; 0 returns at once")
	return c
}

func stopRun(ctx context.Context, e *env, opts stopOptions) error {
	wait, err := seconds(opts.wait, maxWaitSeconds)
	if err != nil {
		return err
	}
	if err := e.confirmIfPerson(fmt.Sprintf(e.say("Stop charging at charger %d connector %d?", "停止充电桩 %d 枪 %d 的充电?"), opts.charger, opts.connector)); err != nil {
		return err
	}
	e.waiting(opts.charger, opts.wait)
	return act(ctx, e, opts.wait, func(ctx context.Context, c *client.Client) (api.OrderResult, error) {
		return c.Commands.Stop(ctx, opts.charger, opts.connector, api.StopOrder{Reason: text(opts.reason), Wait: wait})
	})
}

// confirmIfPerson asks a person and lets a program pass: what it guards can be
// begun again.
func (e *env) confirmIfPerson(question string) error {
	if !e.inTTY || !e.outTTY {
		return nil
	}
	return e.confirm(question)
}

// resetOptions is how a charger is reset.
type resetOptions struct {
	hard, force bool
	wait        time.Duration
}

func newReset(e *env) *cobra.Command {
	var opts resetOptions
	c := verb("reset <charger-id>", "Reset a charger", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		return resetRun(ctx, e, target, opts)
	})
	c.Flags().BoolVar(&opts.hard, "hard", false, "restart the hardware")
	c.Flags().BoolVar(&opts.force, "force", false, "stop running sessions first")
	c.Flags().DurationVar(&opts.wait, "wait", defaultWait, "how long the charger may take; 0 returns at once")
	return c
}

func resetRun(ctx context.Context, e *env, charger int64, opts resetOptions) error {
	wait, err := seconds(opts.wait, maxWaitSeconds)
	if err != nil {
		return err
	}
	if err := e.confirm(fmt.Sprintf(e.say("Reset charger %d?", "重启充电桩 %d?"), charger)); err != nil {
		return err
	}
	body := api.ResetCharger{Type: text("soft"), Wait: wait}
	if opts.hard {
		body.Type = text("hard")
	}
	if opts.force {
		body.Force = api.Ptr(api.Flag(true))
	}
	e.waiting(charger, opts.wait)
	return act(ctx, e, opts.wait, func(ctx context.Context, c *client.Client) (api.Command, error) {
		return c.Commands.Reset(ctx, charger, body)
	})
}

func newUnlock(e *env, use string) *cobra.Command {
	var wait time.Duration
	c := verb(use, "Release the plug of a connector", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		charger, no, err := parseConnector(args)
		if err != nil {
			return err
		}
		n, err := seconds(wait, maxWaitSeconds)
		if err != nil {
			return err
		}
		e.waiting(charger, wait)
		return act(ctx, e, wait, func(ctx context.Context, c *client.Client) (api.Command, error) {
			return c.Commands.Unlock(ctx, charger, no, api.UnlockConnector{Wait: n})
		})
	})
	c.Flags().DurationVar(&wait, "wait", defaultWait, "how long the charger may take; 0 returns at once")
	return c
}

func newCredential(e *env) *cobra.Command {
	return group(
		"credential", "The secret a charger proves itself with",
		newShow(e, "<charger-id>", "Show how a charger proves who it is, without the secret", func(c *client.Client) func(context.Context, int64) (api.Credential, error) {
			return c.Devices.Credential
		}),
		newCredentialCreate(e),
		newBodyVerb(e, "update <charger-id>", "Change how a charger proves who it is, not the secret", []bodyFlag{
			{"profile", "securityProfile", "OCPP security profile, 0 to 3", false},
			{"allow", "allowCidr", "networks it may come from, comma separated", false},
			{"fingerprint", "clientCertFingerprint", "of its certificate, null for none", false},
			{"iccid", "pinIccid", "SIM card it must report, null for any", false},
			{"heartbeat", "heartbeatInterval", "seconds, null for the default", false},
		}, func(ctx context.Context, c *client.Client, id int64, b api.UpdateCredential) (api.Credential, error) {
			return c.Devices.UpdateCredential(ctx, id, b)
		}),
		newDelete(e, "<charger-id>", "Take the secret away and close the connection", func(c *client.Client) func(context.Context, int64) error {
			return c.Devices.DeleteCredential
		}),
	)
}

func newCredentialCreate(e *env) *cobra.Command {
	var grace int
	var file string
	c := verb("create <charger-id>", "Make a new secret; it is shown only now", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if grace < 0 || grace > 168 {
			return usage("--grace-hours %d: want 0 to 168", grace)
		}
		return withSecret(ctx, e, file, func(ctx context.Context, c *client.Client) (api.NewCredential, error) {
			return c.Devices.NewCredential(ctx, target, api.CreateCredential{GraceHours: &grace})
		}, func(made *api.NewCredential) *string { return &made.Secret })
	})
	c.Aliases = []string{"rotate"}
	c.Flags().IntVar(&grace, "grace-hours", 24, "how long the old secret stays valid")
	secretFlag(c, &file)
	return c
}

func secretFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "secret-file", "", "write the secret to this new file (0600) instead of showing it")
}

// withSecret makes something with a secret that is shown once. The file is made
// first: a secret that cannot be kept is not asked for.
func withSecret[T any](ctx context.Context, e *env, name string, call func(context.Context, *client.Client) (T, error), secret func(*T) *string) error {
	if name == "" {
		return act(ctx, e, 0, call)
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return usage("%v", err)
	}
	kept := false
	err = act(ctx, e, 0, func(ctx context.Context, c *client.Client) (T, error) {
		made, err := call(ctx, c)
		if err != nil {
			return made, err
		}
		text := secret(&made)
		if _, err := fmt.Fprintln(file, *text); err == nil && file.Sync() == nil {
			kept = true
			*text = "(" + name + ")"
		}
		return made, nil // a secret that could not be kept is shown after all
	})
	closed := file.Close()
	if !kept {
		closed = errors.Join(closed, os.Remove(name))
	}
	return errors.Join(err, closed)
}

// commandOptions is what else is asked of a charger.
type commandOptions struct {
	kind      string
	connector int
	params    string
	wait      time.Duration
}

func newSendCommand(e *env) *cobra.Command {
	var opts commandOptions
	c := verb("command <charger-id> <type>", "Send another command to a charger", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		opts.kind = args[1]
		return sendCommand(ctx, e, target, opts)
	})
	c.Long = "Send a command: RESET, UNLOCK, AVAILABILITY, TRIGGER, GET_CONFIG, SET_CONFIG, SYNC_TIME, PUSH_TARIFF, READ_DATA,\n" +
		"UPDATE_FIRMWARE or SEND_LOCAL_LIST. --params takes its JSON object, such as '{\"key\":\"HeartbeatInterval\",\"value\":\"60\"}'."
	c.Flags().IntVar(&opts.connector, "connector", 0, "connector it is for")
	c.Flags().StringVar(&opts.params, "params", "", "JSON object of the command")
	c.Flags().DurationVar(&opts.wait, "wait", 0, "wait for the outcome")
	return c
}

func sendCommand(ctx context.Context, e *env, charger int64, opts commandOptions) error {
	wait, err := seconds(opts.wait, maxWaitSeconds)
	if err != nil {
		return err
	}
	body := api.SendCommand{Type: opts.kind, Wait: wait}
	if opts.connector != 0 {
		body.ConnectorNo = &opts.connector
	}
	if opts.params != "" {
		var object map[string]json.RawMessage
		if json.Unmarshal([]byte(opts.params), &object) != nil {
			return usage("--params is no JSON object")
		}
		body.Params = json.RawMessage(opts.params)
	}
	return act(ctx, e, opts.wait, func(ctx context.Context, c *client.Client) (api.Command, error) {
		return c.Commands.Send(ctx, charger, body)
	})
}

func newMessageGroup(e *env) *cobra.Command {
	return group("message", "What chargers and the platform said to each other", newList(e, messageSpec("list", "List the stored messages of a charger (--charger)")))
}

func newMessages(e *env) *cobra.Command {
	return newList(e, messageSpec("messages", "List the stored messages of a charger (--charger), as message list does"))
}

func messageSpec(use, short string) listSpec[api.Message] {
	return listSpec[api.Message]{
		use: use, short: short,
		columns: []column{
			{"time", "TIME", "时间", nil}, {"direction", "DIR", "方向", nil}, {"type", "TYPE", "类型", nil}, {"outcome", "OUTCOME", "结果", nil}, {"raw", "RAW", "原文", nil},
		},
		filters: []filter{
			{"charger", "chargerId", "charger id (required)"},
			{"direction", "direction", "IN or OUT"},
			{"type", "type", "message name"},
			{"session", "sessionId", "session id"},
			{"from", "startTime", "not before"},
			{"to", "endTime", "before"},
		},
		fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Message], error) {
			return c.Devices.Messages
		},
	}
}
