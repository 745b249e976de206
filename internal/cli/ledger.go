package cli

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

func newLedgerGroup(e *env) *cobra.Command {
	return group(
		"ledger", "The journal of money",
		newLedgerBalance(e),
		newReadOf(e, readSpec[api.LedgerEntry]{
			use: "order <order-id>", short: "List the journal entries of an order, oldest first", columns: entryColumns(),
		}, func(ctx context.Context, c *client.Client, id int64) ([]api.LedgerEntry, error) {
			return c.Ledger.OfOrder(ctx, id)
		}),
		newLedgerAccount(e),
		group("entry", "Entries of the journal", newList(e, listSpec[api.LedgerEntry]{
			short: "List entries, newest first", columns: entryColumns(),
			filters: append([]filter{{"kind", "kind", "BILLED, CAPTURED, REFUNDED, FEES, …; several comma separated"}, {"order", "orderId", "order id"}}, timeFilters...),
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.LedgerEntry], error) {
				return c.Ledger.Entries
			},
		})),
		newLedgerVerify(e), newLedgerCheck(e),
		newMovement("book", newCreate(e, "Book money that moved outside of the platform: a pay-out, a share", movementFlags(
			bodyFlag{"amount", "amount", "yuan", true}, bodyFlag{"time", "time", "when it happened, RFC 3339; now by default", false}, bodyFlag{"memo", "memo", "remark", false},
		), func(c *client.Client) func(context.Context, api.BookMovement) (api.LedgerEntry, error) {
			return c.Ledger.Book
		})),
		newMovement("reverse", newCreate(e, "Take a booked movement back by another entry", movementFlags(bodyFlag{"reason", "reason", "why", true}),
			func(c *client.Client) func(context.Context, api.ReverseMovement) (api.LedgerEntry, error) {
				return c.Ledger.Reverse
			})),
	)
}

// newMovement gives a verb that sends a movement its name.
func newMovement(name string, c *cobra.Command) *cobra.Command {
	c.Use = name
	return c
}

func movementFlags(more ...bodyFlag) []bodyFlag {
	return append([]bodyFlag{
		{"kind", "kind", "PAID_OUT, SHARED or SHARE_PAID", true},
		{"channel", "channel", "alipay, wechat, sandbox or offline; of PAID_OUT and SHARE_PAID", false},
		{"party", "party", "who has the share; of SHARED and SHARE_PAID", false},
		{"reference", "reference", "number on the paper that says so", true},
	}, more...)
}

func entryColumns() []column {
	return []column{
		{"entryId", "ID", "编号", nil},
		{"time", "TIME", "时间", nil},
		{"kind", "KIND", "类型", nil},
		{"phase", "PHASE", "阶段", nil},
		{"paymentId", "PAYMENT", "支付", nil},
		{"refundId", "REFUND", "退款", nil},
		{"sandbox", "SANDBOX", "沙箱", yesNo},
		{"postings", "POSTINGS", "分录", postings},
	}
}

func newLedgerAccount(e *env) *cobra.Command {
	return group(
		"account", "Accounts of the journal and their statements",
		newList(e, listSpec[api.LedgerAccount]{
			short: "List the accounts and what they hold",
			columns: []column{
				{"tenantId", "TENANT", "租户", nil},
				{"account", "ACCOUNT", "科目", nil},
				{"name", "NAME", "名称", nil},
				{"accountName", "MEANING", "说明", nil},
				{"debit", "DEBIT", "借方", nil},
				{"credit", "CREDIT", "贷方", nil},
				{"net", "NET", "余额", nil},
			},
			filters: []filter{{"before", "before", "only entries before this moment"}},
			fetch: func(c *client.Client) func(context.Context, client.Query) (api.Page[api.LedgerAccount], error) {
				return c.Ledger.Accounts
			},
		}),
		newLedgerTurnover(e), newLedgerStatement(e),
	)
}

func newLedgerTurnover(e *env) *cobra.Command {
	var name, from, to string
	c := verb("show <account>", "Show what an account held at both ends of a period, and what moved between", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		q := client.Query{}.With("name", name).With("startTime", from).With("endTime", to)
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.LedgerTurnover, error) {
			return c.Ledger.Turnover(ctx, args[0], q)
		})
	})
	c.Flags().StringVar(&name, "name", "", "channel of CLEARING, party of SHARING_PAYABLE")
	c.Flags().StringVar(&from, "from", "", "not before")
	c.Flags().StringVar(&to, "to", "", "before")
	return c
}

func newLedgerStatement(e *env) *cobra.Command {
	spec := listSpec[api.LedgerLine]{
		use: "statement <account>", short: "Show the statement of an account, with the balance behind each line",
		columns: []column{
			{"time", "TIME", "时间", nil},
			{"bookedTime", "BOOKED", "入账", nil},
			{"entryId", "ENTRY", "分录", nil},
			{"kind", "KIND", "类型", nil},
			{"phase", "PHASE", "阶段", nil},
			{"orderId", "ORDER", "订单", nil},
			{"memo", "MEMO", "摘要", nil},
			{"amount", "AMOUNT", "金额", nil},
			{"balance", "BALANCE", "余额", nil},
		},
		filters: append([]filter{{"name", "name", "channel of CLEARING, party of SHARING_PAYABLE"}}, timeFilters...),
	}
	return listVerb(e, spec, spec.use, cobra.ExactArgs(1), func(args []string) (func(*client.Client) fetcher[api.LedgerLine], error) {
		return func(c *client.Client) fetcher[api.LedgerLine] {
			return func(ctx context.Context, q client.Query) (api.Page[api.LedgerLine], error) {
				if q["sort"] == "" {
					q = q.With("sort", "time")
				}
				return c.Ledger.Statement(ctx, args[0], q)
			}
		}, nil
	})
}

// The findings about the journal.
var (
	errLedgerBroken     = errors.New("the journal is not what it was when it was sealed")
	errLedgerIncomplete = errors.New("not everything is booked as it happened")
)

// patience is how much longer than others a check of the whole journal may take.
const patience = 10 * time.Minute

func newLedgerVerify(e *env) *cobra.Command {
	return newLedgerFinding(e, "verify", "Read the journal again and compare it with its seals; exit code 1 when something was altered", errLedgerBroken,
		func(ctx context.Context, c *client.Client, q client.Query) (api.LedgerVerified, bool, error) {
			found, err := c.Ledger.Verify(ctx, q)
			return found, found.Valid, err
		}, filter{"seal", "seal", "a hash that was kept outside: it must be that of a seal"})
}

func newLedgerCheck(e *env) *cobra.Command {
	return newLedgerFinding(e, "check", "Compare the journal with orders, payments and refunds; exit code 1 when something is missing", errLedgerIncomplete,
		func(ctx context.Context, c *client.Client, q client.Query) (api.LedgerCompleteness, bool, error) {
			found, err := c.Ledger.Completeness(ctx, q)
			return found, found.Complete, err
		})
}

// newLedgerFinding is a verb that checks some days and fails for what it finds.
func newLedgerFinding[T any](e *env, use, short string, finding error, check func(context.Context, *client.Client, client.Query) (T, bool, error), filters ...filter) *cobra.Command {
	filters = append([]filter{{"from", "startDate", "first day"}, {"to", "endDate", "last day"}}, filters...)
	values := make([]string, len(filters))
	c := verb(use, short, cobra.NoArgs, func(ctx context.Context, _ []string) error {
		q := client.Query{}
		for i, f := range filters {
			q = q.With(f.param, values[i])
		}
		good := false
		err := act(ctx, e, patience, func(ctx context.Context, c *client.Client) (T, error) {
			found, ok, err := check(ctx, c, q)
			good = ok
			return found, err
		})
		if err == nil && !good {
			return &exitError{exitFailed, finding}
		}
		return err
	})
	for i, f := range filters {
		c.Flags().StringVar(&values[i], f.flag, "", f.usage)
	}
	return c
}

// postings words the lines of an entry: account and signed amount.
func postings(_ *env, text string) string {
	rows := parseRows([]byte(text))
	words := make([]string, len(rows))
	for i, r := range rows {
		words[i] = strings.TrimSpace(r.text("account")+" "+r.text("name")) + " " + r.text("amount")
	}
	return strings.Join(words, ", ")
}

// errUnbalanced says that the debits are not the credits.
var errUnbalanced = errors.New("the journal does not balance")

func newLedgerBalance(e *env) *cobra.Command {
	var before string
	c := verb("trial-balance", "Show all accounts and whether they balance; exit code 1 when not", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		balanced := false
		err := act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.TrialBalance, error) {
			found, err := c.Ledger.TrialBalance(ctx, client.Query{}.With("before", before))
			balanced = found.Balanced
			return found, err
		})
		if err == nil && !balanced {
			return &exitError{exitFailed, errUnbalanced}
		}
		return err
	})
	c.Flags().StringVar(&before, "before", "", "only entries before this moment")
	return c
}
