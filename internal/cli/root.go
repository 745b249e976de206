package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const (
	defaultTimeout = 30 * time.Second
	defaultWidth   = 80
)

// Main runs one command line and returns its exit code. It is the whole of
// evcsctl but for the process: streams, arguments and environment come in by p.
func Main(ctx context.Context, p Program) int {
	e := newEnv(p)
	named := append([]string{}, p.Args...) // not nil: nothing named, nothing built
	if completing(p.Args) {
		named = nil
	}
	root := newRootFor(e, named)
	root.SetArgs(p.Args)
	if named == nil {
		addCompletions(e, root)
	}
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var exit *exitError
	if !e.running && !errors.As(err, &exit) {
		err = usage("%v\nSee evcsctl --help.", err)
	}
	e.report(err)
	return exitCode(err)
}

func newEnv(p Program) *env {
	e := &env{Program: p, inTTY: terminal(p.In), outTTY: terminal(p.Out), errTTY: terminal(p.Err)}
	e.width = func() int {
		if f, ok := p.Out.(interface{ Fd() uintptr }); ok && e.outTTY {
			if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
				return width
			}
			return defaultWidth
		}
		return 0
	}
	return e
}

func terminal(stream any) bool {
	f, ok := stream.(interface{ Fd() uintptr })
	return ok && isatty.IsTerminal(f.Fd())
}

// newRoot builds the whole tree of commands. It opens nothing and reads nothing.
func newRoot(e *env) *cobra.Command { return newRootFor(e, nil) }

// newRootFor builds what a command line needs of the tree: of the nouns that
// args do not name only the names; nil builds everything.
func newRootFor(e *env, args []string) *cobra.Command {
	root := group("evcsctl", "Operate an EV charging system from the command line")
	for _, part := range parts() {
		root.AddGroup(&cobra.Group{ID: part.id, Title: part.title})
		for _, noun := range part.nouns {
			c := noun.command(e, args)
			c.GroupID = part.id
			root.AddCommand(c)
		}
	}
	root.Long = "evcsctl operates evcsd: tenants, stations, chargers, orders, money and the day's reconciliation.\n\n" +
		"A person gets tables, a pipe gets tab-separated values, a program asks for -o json.\n" +
		"Exit codes, output forms and environment variables: evcsctl help exit-codes, output, environment."
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetIn(e.In)
	root.SetOut(e.Out)
	root.SetErr(e.Err)
	root.PersistentPreRun = func(*cobra.Command, []string) { e.running = true }
	globalFlags(root, &e.globals)
	root.AddCommand(helpTopics()...)
	root.InitDefaultCompletionCmd()
	helpInLanguage(e, root)
	return root
}

// part is some commands under one heading of the help.
type part struct {
	id, title string
	nouns     []noun
}

// noun is a command at the top. What is below it is built only when the line
// names it: nobody waits for flags of others. A test holds the texts together.
type noun struct {
	name, short string
	build       func(*env) *cobra.Command
}

func (n noun) command(e *env, args []string) *cobra.Command {
	if args == nil || slices.Contains(args, n.name) || n.name == eventNoun && slices.Contains(args, eventNoun+"s") {
		return n.build(e)
	}
	return &cobra.Command{Use: n.name, Short: n.short, RunE: func(*cobra.Command, []string) error { return nil }}
}

const eventNoun = "event"

func parts() []part {
	return []part{
		{"self", "Yourself and where you work:", []noun{
			{"login", "Sign in and store the tokens", newLogin},
			{"logout", "Sign out and forget the tokens", newLogout},
			{"whoami", "Show who is signed in", newWhoami},
			{"password", "Change the own password", newPassword},
			{"context", "Where to work: servers and tenants under a name", newContextGroup},
		}},
		{"access", "Tenants, people and machines:", []noun{
			{"tenant", "Tenants, their tree, quotas and settings", newTenantGroup},
			{"quota", "What tenants may have, and what they have", newQuotaGroup},
			{"user", "Users", newUserGroup},
			{"role", "Roles and permissions", newRoleGroup},
			{"key", "API keys of machines", newKeyGroup},
			{"audit", "The audit record", newAuditGroup},
		}},
		{"field", "Stations and chargers:", []noun{
			{"station", "Charging stations", newStationGroup},
			{"charger", "Chargers, what they do and how they prove who they are", newChargerGroup},
			{"connector", "Connectors of a charger", newConnectorGroup},
			{"id-tag", "Cards, vehicles and accounts that chargers ask about", newTagGroup},
			{"command", "What was asked of chargers and what became of it", newCommandGroup},
			{"connection", "Open connections of chargers", newConnectionGroup},
			{"rejection", "Refused connection attempts, with the reason", newRejectionGroup},
			{"message", "What chargers and the platform said to each other", newMessageGroup},
		}},
		{"trade", "Charging and money:", []noun{
			{"plan", "Billing plans: what energy costs at which time", newPlanGroup},
			{"price", "Why a session costs what it does", newPriceGroup},
			{"holiday", "Days that do not count as what the week says", newHolidayGroup},
			{"session", "What chargers did: sessions and their curves", newSessionGroup},
			{"order", "Charging orders", newOrderGroup},
			{"payment", "Payments", newPaymentGroup},
			{"refund", "Refunds", newRefundGroup},
			{"merchant", "Accounts at Alipay and WeChat Pay", newMerchantGroup},
			{"reconcile", "Reconcile days with the channels' statements", newReconcileGroup},
			{"ledger", "The journal of money", newLedgerGroup},
		}},
		{"watch", "Watching:", []noun{
			{"dashboard", "Watch chargers, sessions, money and alerts live", newDashboard},
			{"stats", "Figures of the dashboards: now, by day, by station", newStatsGroup},
			{"event", "What happened: read it, or follow it as it happens", newEventGroup},
			{"alert", "Alerts", newAlertGroup},
			{"alert-rule", "What raises alerts", newAlertRuleGroup},
			{"notify", "Channels that tell people of alerts", newNotifyGroup},
			{"webhook", "Receivers of events", newWebhookGroup},
			{"overview", "Show the installation at one look: parts, figures, alerts", newOverview},
			{"health", "Show the state of every part, or of one with its nodes; exit code 7 when not all is up", newHealth},
			{"versions", "List what each node of the server runs", newVersions},
			{"metrics", "Measured figures of the host, the operations and the trade", newMetricsGroup},
			{"log", "The log of the server: search it, or follow it", newLogGroup},
		}},
		{"tools", "Tools:", []noun{
			{"export", "Write a whole list as CSV, up to a million rows", newExport},
			{"api", "Call any operation and write its data", newAPI},
			{"simulate", "Run simulated chargers against a server; see evcsctl simulate --help", newSimulate},
			{"gateway", "Run a payment gateway on this machine, without money; see evcsctl gateway --help", newGateway},
			{"debug", "Messages of simulated chargers, where the server allows them", newDebugGroup},
			{"version", "Show which build this is", newVersion},
		}},
	}
}

func globalFlags(root *cobra.Command, g *globals) {
	f := root.PersistentFlags()
	f.StringVar(&g.server, "server", "", "address of evcsd (default "+defaultServer+")")
	f.StringVar(&g.context, "context", "", "context to use instead of the current one")
	f.Int64Var(&g.tenant, "tenant", 0, "tenant to work on: the own one or a descendant")
	f.StringVar(&g.scope, "scope", "", "widen lists to the subtree: SELF or SELF_AND_DESCENDANTS")
	f.DurationVar(&g.timeout, "timeout", defaultTimeout, "longest wait for an answer; 0 waits for ever")
	f.BoolVarP(&g.yes, "yes", "y", false, "confirm what changes things for good")
	f.BoolVarP(&g.quiet, "quiet", "q", false, "no progress and no remarks")
	f.BoolVar(&g.noColor, "no-color", false, "no colour, also by NO_COLOR")
	f.StringVarP(&g.output, "output", "o", "", "table, tsv, json, yaml or csv (default table on a terminal, else tsv)")
	f.StringVar(&g.jq, "jq", "", "select from the JSON with a jq expression")
	f.StringVar(&g.template, "template", "", "write the JSON through a Go template")
	f.StringVar(&g.lang, "lang", "", "en or zh (default from the locale)")
}

// group is a command that only holds others. A word it does not know is an
// error, not a request for help.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs, SuggestionsMinimumDistance: 2}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		text := fmt.Sprintf("there is no command %q in %s", args[0], cmd.CommandPath())
		if close := cmd.SuggestionsFor(args[0]); len(close) > 0 {
			text += "; did you mean " + strings.Join(close, " or ") + "?"
		}
		return usage("%s", text)
	}
	c.AddCommand(commands...)
	return c
}

// verb is a command that works. run gets the arguments when parsing is over.
func verb(use, short string, args cobra.PositionalArgs, run func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), args) },
	}
}

// readSecret reads a password from a person, without echo.
func (e *env) readSecret(prompt string) (string, error) {
	fmt.Fprint(e.Err, prompt)
	defer fmt.Fprintln(e.Err)
	read := e.ReadPassword
	if read == nil {
		read = func(in io.Reader) ([]byte, error) {
			f, ok := in.(interface{ Fd() uintptr })
			if !ok {
				return nil, usage("there is no terminal to ask for a password")
			}
			return term.ReadPassword(int(f.Fd()))
		}
	}
	secret, err := read(e.In)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return string(secret), nil
}

func helpTopics() []*cobra.Command {
	return []*cobra.Command{
		{Use: "exit-codes", Short: "What the exit codes mean", Long: `0    done
1    failed: a defect, here or there
2    used wrongly: a flag, an argument or a value is not accepted (HTTP 400, 405, 413, 415)
4    not signed in, or not allowed (HTTP 401, 403)
5    not found (HTTP 404)
6    conflict: the state forbids it, or somebody else was faster (HTTP 409)
7    not now: no answer, too slow, charger offline or silent (HTTP 429, 503, code 2004)
130  interrupted

"evcsctl reconcile daily" and "reconcile execute" are made for cron and speak of the day:
0    reconciled, everything matches
6    reconciled, differences were found (status PARTIAL); or the same day is being reconciled or is closed
7    the channel's statement is not ready (4011): try again later; or still running after --wait
1    the statement does not verify (4012), or another failure`},
		{Use: "output", Short: "Forms of output, --jq and --template", Long: `On a terminal lists are tables: a header, short times, cut to the width. In a pipe they are
tab-separated, without header, whole values, times in RFC 3339. -o json, yaml and csv carry the
field names of the API; they are part of the contract and do not change with the language. An empty
list is [] in JSON.

--jq 'EXPRESSION' selects from the JSON, strings without quotes; --template takes a Go template over
the same JSON. Both work on what -o json would print:

  evcsctl charger list --jq '.[] | select(.status==3) | .chargerCode'
  evcsctl order show 318 --template '{{.orderNo}} {{.amount}}{{"\n"}}'

Messages for people go to standard error. With -o json a refusal is the server's envelope there.
"evcsctl event follow -o json" writes one event per line.`},
		{Use: "environment", Short: "Environment variables and files", Long: `EVCS_SERVER     address of evcsd, like --server
EVCS_TOKEN      API key or access token; used instead of a stored sign-in
EVCS_CONTEXT    context to use, like --context
EVCS_TENANT     tenant to work on, like --tenant
EVCS_LANG       en or zh; else LC_ALL, LC_MESSAGES, LANG decide
NO_COLOR        no colour when set; also CLICOLOR=0 and TERM=dumb
XDG_CONFIG_HOME where the directory evcsctl lies (default ~/.config):
                contexts.json holds the contexts, tokens.json (0600) the sign-ins`},
	}
}
