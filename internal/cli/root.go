package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	root := newRoot(e)
	root.SetArgs(p.Args)
	if completing(p.Args) {
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

// newRoot builds the tree of commands. It opens nothing and reads nothing.
func newRoot(e *env) *cobra.Command {
	root := group("evcsctl", "Operate an EV charging system from the command line")
	for _, part := range parts(e) {
		root.AddGroup(&cobra.Group{ID: part.id, Title: part.title})
		for _, c := range part.commands {
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
	commands  []*cobra.Command
}

func parts(e *env) []part {
	return []part{
		{"self", "Yourself and where you work:", []*cobra.Command{newLogin(e), newLogout(e), newWhoami(e), newPassword(e), newContextGroup(e)}},
		{"access", "Tenants, people and machines:", []*cobra.Command{
			newTenantGroup(e), newQuotaGroup(e), newUserGroup(e), newRoleGroup(e), newKeyGroup(e), newAuditGroup(e),
		}},
		{"field", "Stations and chargers:", []*cobra.Command{
			newStationGroup(e), newChargerGroup(e), newConnectorGroup(e), newTagGroup(e), newCommandGroup(e),
			newConnectionGroup(e), newRejectionGroup(e), newMessageGroup(e),
		}},
		{"trade", "Charging and money:", []*cobra.Command{
			newPlanGroup(e), newSessionGroup(e), newOrderGroup(e), newPaymentGroup(e), newRefundGroup(e), newReconcileGroup(e), newLedgerGroup(e),
		}},
		{"watch", "Watching:", []*cobra.Command{
			newDashboard(e), newStatsGroup(e), newEventGroup(e), newAlertGroup(e), newAlertRuleGroup(e), newNotifyGroup(e), newWebhookGroup(e),
			newOverview(e), newHealth(e), newVersions(e), newMetricsGroup(e), newLogGroup(e),
		}},
		{"tools", "Tools:", []*cobra.Command{newExport(e), newAPI(e), newSimulate(e), newDebugGroup(e), newVersion(e)}},
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
