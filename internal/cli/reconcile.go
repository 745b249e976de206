package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// The outcomes of a reconciliation that are no errors of the call.
var (
	errDifferences  = errors.New("reconciled, and differences were found: evcsctl reconcile difference list --state OPEN")
	errReconFailed  = errors.New("the reconciliation failed")
	errReconRunning = errors.New("the reconciliation is still running")
)

func newReconcileGroup(e *env) *cobra.Command {
	return group(
		"reconcile", "Reconcile days with the channels' statements",
		newReconcileDaily(e), newReconcileExecute(e), newReconcileBatch(e), newReconcileDifference(e), newReconcileStatement(e), newReconcileReport(e),
	)
}

// reconOptions is how a day is reconciled.
type reconOptions struct {
	force, dryRun bool
	wait          time.Duration
}

func (o *reconOptions) register(c *cobra.Command) {
	c.Flags().BoolVar(&o.force, "force", false, "fetch the statement and run anew")
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "store nothing")
	c.Flags().DurationVar(&o.wait, "wait", time.Minute, "how long it may take; longer ones go on by themselves")
}

func (o *reconOptions) body(e *env) (api.RunDaily, error) {
	wait, err := seconds(o.wait, 600)
	if err != nil {
		return api.RunDaily{}, err
	}
	target, err := e.target()
	if err != nil {
		return api.RunDaily{}, err
	}
	body := api.RunDaily{Wait: wait, TenantID: id(target.Tenant)}
	if o.force {
		body.Force = api.Ptr(api.Flag(true))
	}
	if o.dryRun {
		body.DryRun = api.Ptr(api.Flag(true))
	}
	return body, nil
}

func newReconcileDaily(e *env) *cobra.Command {
	var opts reconOptions
	c := verb("daily <channel>", "Reconcile yesterday; made for cron", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		body, err := opts.body(e)
		if err != nil {
			return err
		}
		return reconRun(ctx, e, opts.wait, func(ctx context.Context, c *client.Client) (api.ReconResult, error) {
			return c.Recon.Daily(ctx, args[0], body)
		})
	})
	c.Long = "Reconcile yesterday (Asia/Shanghai) of a channel: alipay, wechat or sandbox.\n\n" +
		"Exit codes: 0 everything matches, 6 differences were found, 7 the statement is not ready or the run is\n" +
		"not finished (try again later), 1 the statement does not verify or the run failed, 2, 4, 5 as everywhere."
	opts.register(c)
	return c
}

func newReconcileExecute(e *env) *cobra.Command {
	var opts reconOptions
	c := verb("execute <channel> <date>", "Reconcile one day, yyyy-MM-dd", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		body, err := opts.body(e)
		if err != nil {
			return err
		}
		var day api.Date
		if err := day.UnmarshalText([]byte(args[1])); err != nil {
			return usage("%v", err)
		}
		return reconRun(ctx, e, opts.wait, func(ctx context.Context, c *client.Client) (api.ReconResult, error) {
			return c.Recon.Execute(ctx, api.ExecuteRecon{ReconciliationDate: day, Channel: args[0], RunDaily: body})
		})
	})
	opts.register(c)
	return c
}

// reconRun writes the result, also the one that comes with a failure, and makes
// the exit code speak of the day.
func reconRun(ctx context.Context, e *env, wait time.Duration, call func(context.Context, *client.Client) (api.ReconResult, error)) error {
	var result api.ReconResult
	err := act(ctx, e, wait, func(ctx context.Context, c *client.Client) (api.ReconResult, error) {
		found, err := call(ctx, c)
		result = found
		return found, err
	})
	var refused *client.Error
	if errors.As(err, &refused) {
		if json.Unmarshal(refused.Data, &result) == nil && result.BatchID != 0 && e.globals.output != formatJSON {
			_ = e.object(ctx, result) // the refusal itself is reported in any case
		}
		if refused.Code == api.CodeStatementInvalid {
			return &exitError{exitFailed, err}
		}
	}
	if err != nil {
		return err
	}
	switch result.Status {
	case api.ReconSuccess:
		return nil
	case api.ReconPartial:
		return &exitError{exitConflict, errDifferences}
	case api.ReconRunning:
		return &exitError{exitUnavailable, errReconRunning}
	default:
		return &exitError{exitFailed, errReconFailed}
	}
}

func newReconcileBatch(e *env) *cobra.Command {
	return group(
		"batch", "Reconciled days",
		newList(e, listSpec[api.ReconResult]{
			short: "List batches",
			columns: []column{
				{"batchId", "ID", "编号", nil},
				{"reconciliationDate", "DATE", "日期", nil},
				{"channel", "CHANNEL", "渠道", nil},
				{"status", "STATUS", "状态", nil},
				{"totalCount", "TOTAL", "总数", nil},
				{"matchedCount", "MATCHED", "一致", nil},
				{"mismatchCount", "DIFFER", "差异", nil},
				{"amountDifference", "YUAN", "差额", nil},
				{"openDifferences", "OPEN", "未处理", nil},
				{"closed", "CLOSED", "关账", yesNo},
			},
			filters: []filter{{"channel", "channel", "channel"}, {"status", "status", "SUCCESS, PARTIAL, FAILED"}, {"from", "startDate", "first day"}, {"to", "endDate", "last day"}, {"closed", "closed", "true or false"}},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.ReconResult], error) {
				return c.Recon.Batches
			},
		}),
		newShow(e, "<batch-id>", "Show a batch", func(c *client.Client) func(context.Context, int64) (api.ReconResult, error) { return c.Recon.Batch }),
		newBatchClose(e),
		newBodyVerb(e, "reopen <batch-id>", "Open the newest closed day again", []bodyFlag{{"reason", "reason", "why", true}},
			func(ctx context.Context, c *client.Client, id int64, b api.ReopenBatch) (api.ReconResult, error) {
				return c.Recon.Reopen(ctx, id, b)
			}),
		newSwitch(e, "proof", "<batch-id>", "Show the proof of a day", func(ctx context.Context, c *client.Client, id int64) (api.Proof, error) {
			return c.Recon.Proof(ctx, id)
		}),
	)
}

func newBatchClose(e *env) *cobra.Command {
	var note string
	c := verb("close <batch-id>", "Close a day and show its proof", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		if err := e.confirm(fmt.Sprintf(e.say("Close batch %d?", "关账批次 %d?"), target)); err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Proof, error) {
			return c.Recon.Close(ctx, target, api.Note{Note: text(note)})
		})
	})
	c.Flags().StringVar(&note, "note", "", "remark")
	return c
}

func newReconcileDifference(e *env) *cobra.Command {
	return group(
		"difference", "Differences between our books and a statement",
		newList(e, listSpec[api.Difference]{
			short: "List differences",
			columns: []column{
				{"differenceId", "ID", "编号", nil},
				{"batchId", "BATCH", "批次", nil},
				{"kind", "KIND", "类型", nil},
				{"state", "STATE", "状态", nil},
				{"direction", "DIR", "方向", nil},
				{"tradeNo", "TRADE NO", "交易号", nil},
				{"localAmount", "OURS", "本方", nil},
				{"channelAmount", "THEIRS", "渠道", nil},
				{"facets", "FACETS", "说明", nil},
				{"ageDays", "DAYS", "天数", nil},
			},
			filters: []filter{{"batch", "batchId", "batch id"}, {"channel", "channel", "channel"}, {"kind", "kind", "kind"}, {"state", "state", "OPEN, SUSPENDED, PENDING_REVIEW, …"}, {"trade", "tradeNo", "trade number"}, {"order", "orderId", "order id"}},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.Difference], error) {
				return c.Recon.Differences
			},
		}),
		newShow(e, "<difference-id>", "Show a difference with both raw sides", func(c *client.Client) func(context.Context, int64) (api.DifferenceDetail, error) {
			return c.Recon.Difference
		}),
		newBodyVerb(e, "resolve <difference-id>", "Propose what to do", []bodyFlag{
			{"action", "action", "ADOPT_CHANNEL, REFUND, EXPLAIN or WRITE_OFF", true}, {"reason", "reason", "why", true},
		}, func(ctx context.Context, c *client.Client, id int64, b api.ResolveDifference) (api.Difference, error) {
			return c.Recon.Resolve(ctx, id, b)
		}),
		newReview(e, "approve", "Approve a proposal; another person than its maker", func(ctx context.Context, c *client.Client, id int64, note api.Note) (api.Difference, error) {
			return c.Recon.Approve(ctx, id, note)
		}),
		newReview(e, "reject", "Reject a proposal", func(ctx context.Context, c *client.Client, id int64, note api.Note) (api.Difference, error) {
			return c.Recon.Reject(ctx, id, note)
		}),
	)
}

func newReview(e *env, verdict, short string, call func(context.Context, *client.Client, int64, api.Note) (api.Difference, error)) *cobra.Command {
	var note string
	c := verb(verdict+" <difference-id>", short, cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Difference, error) {
			return call(ctx, c, target, api.Note{Note: text(note)})
		})
	})
	c.Flags().StringVar(&note, "note", "", "remark")
	return c
}

// statementOptions is whose statement of which day a file holds.
type statementOptions struct{ channel, date, kind, merchant string }

func newReconcileStatement(e *env) *cobra.Command {
	var opts statementOptions
	upload := verb("upload <file>", "Hand in a channel's statement (csv, zip or gz)", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		if opts.channel == "" || opts.date == "" {
			return usage("--channel and --date are required")
		}
		return statementUpload(ctx, e, args[0], opts)
	})
	upload.Flags().StringVar(&opts.channel, "channel", "", "channel (required)")
	upload.Flags().StringVar(&opts.date, "date", "", "day of the statement, yyyy-MM-dd (required)")
	upload.Flags().StringVar(&opts.kind, "kind", "", "TRADE or FUND")
	upload.Flags().StringVar(&opts.merchant, "merchant", "", "merchant account, with several")
	return group("statement", "Statements of channels", upload)
}

func statementUpload(ctx context.Context, e *env, name string, opts statementOptions) error {
	if err := oneOf("kind", opts.kind, "TRADE", "FUND"); err != nil {
		return err
	}
	file, err := openFile(name)
	if err != nil {
		return err
	}
	defer file.Close()
	fields := client.Query{"channel": opts.channel, "statementDate": opts.date}.With("kind", opts.kind).With("merchantId", opts.merchant)
	return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.Statement, error) {
		return c.Recon.Upload(ctx, fields, filepath.Base(name), file)
	})
}
