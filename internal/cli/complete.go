package cli

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// operationList is the operations of the document, one a line: method and path.
// A test prints it.
//
//go:embed operations.txt
var operationList string

const (
	completionTime = 2 * time.Second // a shell does not wait longer
	completionMost = 50
)

// completing reports whether the shell asks for completions.
func completing(args []string) bool {
	return len(args) > 0 && (args[0] == cobra.ShellCompRequestCmd || args[0] == cobra.ShellCompNoDescRequestCmd)
}

// suggest completes one word.
type suggest = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// live are the words that the server knows, by the name of the flag or of the
// argument.
func live(e *env) map[string]suggest {
	return map[string]suggest{
		"tenant": fromServer(e, func(ctx context.Context, c *client.Client, q client.Query) ([]string, error) {
			found, err := c.Tenants.List(ctx, q)
			return words(found.Records, func(t api.Tenant) (int64, string) { return t.TenantID, t.TenantCode + " " + t.TenantName }), err
		}),
		"station": fromServer(e, func(ctx context.Context, c *client.Client, q client.Query) ([]string, error) {
			found, err := c.Stations.List(ctx, q)
			return words(found.Records, func(s api.Station) (int64, string) { return s.StationID, s.StationCode + " " + s.StationName }), err
		}),
		"charger": fromServer(e, func(ctx context.Context, c *client.Client, q client.Query) ([]string, error) {
			found, err := c.Chargers.List(ctx, q)
			return words(found.Records, func(s api.Charger) (int64, string) { return s.ChargerID, s.ChargerCode + " " + s.ChargerName }), err
		}),
		"plan": fromServer(e, func(ctx context.Context, c *client.Client, q client.Query) ([]string, error) {
			found, err := c.Plans.List(ctx, q)
			return words(found.Records, func(p api.Plan) (int64, string) { return p.PlanID, p.Code + " " + p.Name }), err
		}),
		"user": fromServer(e, func(ctx context.Context, c *client.Client, q client.Query) ([]string, error) {
			found, err := c.Users.List(ctx, q)
			return words(found.Records, func(u api.User) (int64, string) { return u.UserID, u.Identifier }), err
		}),
	}
}

// words are completions: an id, and after a tab what it stands for.
func words[T any](records []T, say func(T) (int64, string)) []string {
	out := make([]string, len(records))
	for i, record := range records {
		id, text := say(record)
		out[i] = fmt.Sprintf("%d\t%s", id, flat(text))
	}
	return out
}

// fromServer completes by asking; whatever fails completes nothing.
func fromServer(e *env, ask func(context.Context, *client.Client, client.Query) ([]string, error)) suggest {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		c, err := e.client()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		found, err := ask(ctx, c, client.Query{"size": fmt.Sprint(completionMost)})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}

// addCompletions gives every command its completions; it is done only when a
// shell asks.
func addCompletions(e *env, root *cobra.Command) {
	known := live(e)
	closed := map[string][]string{
		"output": {formatTable, formatTSV, formatJSON, formatYAML, formatCSV}, "lang": {"en", "zh"}, "scope": {api.ScopeSelf, api.ScopeSubtree},
	}
	for name, choices := range closed {
		_ = root.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)) // fails only for an unknown flag
	}
	_ = root.RegisterFlagCompletionFunc("tenant", known["tenant"])
	for _, c := range leaves(root) {
		for _, name := range []string{"station", "charger", "plan"} {
			if c.LocalNonPersistentFlags().Lookup(name) != nil {
				_ = c.RegisterFlagCompletionFunc(name, known[name])
			}
		}
		if c.ValidArgsFunction == nil && len(c.ValidArgs) == 0 {
			c.ValidArgsFunction = completeFirst(known, c.Use)
		}
	}
}

// leaves are the commands that work.
func leaves(c *cobra.Command) []*cobra.Command {
	if !c.HasSubCommands() {
		return []*cobra.Command{c}
	}
	var all []*cobra.Command
	for _, child := range c.Commands() {
		all = append(all, leaves(child)...)
	}
	return all
}

// completeFirst completes the first argument when the command's use names one
// that the server knows.
func completeFirst(known map[string]suggest, use string) suggest {
	for name, ask := range known {
		if _, first, _ := strings.Cut(use, " "); strings.HasPrefix(first, "<"+name+"-id>") {
			return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
				if len(args) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return ask(cmd, args, word)
			}
		}
	}
	if strings.Contains(use, "<file>") {
		return nil
	}
	return cobra.NoFileCompletions
}

// completeAPI completes a method and the paths of the document that have it.
func completeAPI(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 1 {
		return nil, none
	}
	method := http.MethodGet
	var out []string
	if len(args) == 1 {
		method = strings.ToUpper(args[0])
	} else {
		out = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}
	}
	for line := range strings.Lines(operationList) {
		if has, path, _ := strings.Cut(strings.TrimSpace(line), " "); has == method {
			out = append(out, path)
		}
	}
	return slices.DeleteFunc(out, func(s string) bool { return !strings.HasPrefix(s, word) }), none
}
