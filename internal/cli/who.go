package cli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// loginOptions is who signs in and where the password comes from.
type loginOptions struct {
	identifier string
	stdin      bool
	file       string
	code       string // file with the code of the second factor
}

func newLogin(e *env) *cobra.Command {
	var opts loginOptions
	c := verb("login [<identifier>]", "Sign in and store the tokens", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		if len(args) == 1 {
			opts.identifier = args[0]
		}
		if opts.stdin && opts.file != "" {
			return usage("--password-stdin and --password-file do not go together")
		}
		return loginRun(ctx, e, opts)
	})
	c.Long = "Sign in with an identifier such as admin@tenant1. The password is asked for without echo, or read from\n" +
		"standard input or a file; it is never an argument. The code of a second factor is asked for when there\n" +
		"is one. The tokens are stored in tokens.json (0600). Where no context exists yet, the server becomes one."
	c.Flags().BoolVar(&opts.stdin, "password-stdin", false, "read the password from standard input")
	c.Flags().StringVar(&opts.file, "password-file", "", "read the password from a file")
	c.Flags().StringVar(&opts.code, "code-file", "", "read the code of the second factor, or a recovery code, from a file")
	return c
}

func loginRun(ctx context.Context, e *env, opts loginOptions) error {
	target, err := e.target()
	if err != nil {
		return err
	}
	if opts.identifier == "" {
		stored, err := e.profiles().tokens(target.Name)
		if err != nil {
			return err
		}
		opts.identifier = stored.Identifier
	}
	if opts.identifier == "" {
		return usage("say who signs in: evcsctl login <identifier>")
	}
	password, err := e.password(opts)
	if err != nil {
		return err
	}
	c, err := e.dial(client.Config{Server: target.Server, Language: e.lang(), UserAgent: "evcsctl/" + e.Version.Version})
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	body := api.Login{Identifier: opts.identifier, Password: password}
	if opts.code != "" {
		if body.Totp, err = e.password(loginOptions{file: opts.code}); err != nil {
			return err
		}
	}
	result, err := c.Auth.Login(ctx, body)
	if body.Totp == "" && asksForCode(err) {
		if body.Totp, err = e.askCode(); err != nil {
			return err
		}
		ctx, cancel := e.deadline(ctx, 0) // of its own: somebody looked for the telephone
		defer cancel()
		result, err = c.Auth.Login(ctx, body)
	}
	if err != nil {
		return err
	}
	unlock, err := e.profiles().lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.keepTokens(target)(result); err != nil {
		return err
	}
	if err := e.settle(target); err != nil {
		return err
	}
	e.note(e.say("Signed in to %s as %s", "已登录 %s: %s"), target.Server, result.UserInfo.Identifier)
	return nil
}

// settle makes the server of the first sign-in the place where commands go:
// who has no context yet does not want to say --server every time.
func (e *env) settle(t target) error {
	all, err := e.profiles().contexts()
	if err != nil || len(all.Contexts) > 0 || t.Server == defaultServer {
		return err
	}
	all.Current, all.Contexts[t.Name] = t.Name, place{Server: t.Server}
	return e.profiles().setContexts(all)
}

// askCode asks for the code of the second factor, where there is somebody to ask.
func (e *env) askCode() (string, error) {
	if !e.inTTY && e.ReadPassword == nil {
		return "", usage("this account has a second factor: use --code-file")
	}
	return (&totpOptions{}).code(e)
}

// password takes the password from where the flags say; one line break at its
// end does not count.
func (e *env) password(opts loginOptions) (string, error) {
	var content []byte
	var err error
	switch {
	case opts.stdin:
		content, err = e.slurp("-")
	case opts.file != "":
		content, err = e.slurp(opts.file)
	case e.inTTY || e.ReadPassword != nil:
		return e.readSecret(fmt.Sprintf(e.say("Password of %s: ", "%s 的密码: "), opts.identifier))
	default:
		return "", usage("there is no terminal to ask for a password: use --password-stdin or --password-file")
	}
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"), nil
}

func newLogout(e *env) *cobra.Command {
	var all bool
	c := verb("logout", "Sign out and forget the tokens", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return logoutRun(ctx, e, all)
	})
	c.Flags().BoolVar(&all, "all", false, "end every sign-in of this user")
	return c
}

// logoutRun ends the sign-in at the server and forgets it here, also when the
// server cannot be asked or has ended it already.
func logoutRun(ctx context.Context, e *env, all bool) error {
	target, err := e.target()
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	body := api.Logout{}
	if all {
		body.All = api.Ptr(api.Flag(true))
	}
	asked := c.Auth.Logout(ctx, body)
	if err := e.profiles().changeTokens(ctx, target.Name, nil); err != nil {
		return err
	}
	if asked != nil && exitCode(asked) != exitDenied {
		return fmt.Errorf("the tokens are forgotten here, but the server was not told: %w", asked)
	}
	e.note("%s", e.say("Signed out", "已退出登录"))
	return nil
}

func newWhoami(e *env) *cobra.Command {
	return verb("whoami", "Show who is signed in", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.UserInfo, error) { return c.Auth.UserInfo(ctx) })
	})
}

// passwordOptions is where the two passwords come from when nobody is asked.
type passwordOptions struct{ oldFile, newFile string }

func newPassword(e *env) *cobra.Command {
	var opts passwordOptions
	c := verb("password", "Change the own password", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return passwordRun(ctx, e, opts)
	})
	c.Flags().StringVar(&opts.oldFile, "old-file", "", "read the old password from a file")
	c.Flags().StringVar(&opts.newFile, "new-file", "", "read the new password from a file")
	return c
}

func passwordRun(ctx context.Context, e *env, opts passwordOptions) error {
	ask := func(file, prompt string) (string, error) {
		if file == "" {
			return e.readSecret(prompt)
		}
		return e.password(loginOptions{file: file})
	}
	previous, err := ask(opts.oldFile, e.say("Old password: ", "原密码: "))
	if err != nil {
		return err
	}
	next, err := ask(opts.newFile, e.say("New password: ", "新密码: "))
	if err != nil {
		return err
	}
	return do(ctx, e, e.say("Password changed", "密码已修改"), func(ctx context.Context, c *client.Client) error {
		return c.Auth.ChangePassword(ctx, api.ChangePassword{OldPassword: previous, NewPassword: next})
	})
}

func newContextGroup(e *env) *cobra.Command {
	return group("context", "Where to work: servers and tenants under a name", newContextAdd(e), newContextUse(e), newContextList(e), newContextRemove(e))
}

func newContextAdd(e *env) *cobra.Command {
	c := verb("add <name>", "Add or change a context and use it", cobra.ExactArgs(1), func(_ context.Context, args []string) error {
		return contextAdd(e, args[0])
	})
	c.Long = "Add a context for --server (and --tenant) and make it the current one."
	return c
}

func contextAdd(e *env, name string) error {
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' }) || name == "" {
		return usage("a context needs a name without spaces")
	}
	server := firstOf(e.globals.server, e.Getenv("EVCS_SERVER"), defaultServer)
	if _, err := client.New(client.Config{Server: server}); err != nil {
		return usage("%v", err)
	}
	all, err := e.profiles().contexts()
	if err != nil {
		return err
	}
	all.Current = name
	all.Contexts[name] = place{Server: server, Tenant: e.globals.tenant}
	if err := e.profiles().setContexts(all); err != nil {
		return err
	}
	e.note(e.say("Using context %s: %s", "当前上下文 %s: %s"), name, server)
	return nil
}

func newContextUse(e *env) *cobra.Command {
	return verb("use <name>", "Make a context the current one", cobra.ExactArgs(1), func(_ context.Context, args []string) error {
		all, err := e.profiles().contexts()
		if err != nil {
			return err
		}
		if _, known := all.Contexts[args[0]]; !known {
			return usage("there is no context %q; see evcsctl context list", args[0])
		}
		all.Current = args[0]
		return e.profiles().setContexts(all)
	})
}

// contextRow is a line of context list.
type contextRow struct {
	Name       string `json:"name"`
	Current    bool   `json:"current"`
	Server     string `json:"server"`
	TenantID   *int64 `json:"tenantId"`
	Identifier string `json:"identifier"`
}

func newContextList(e *env) *cobra.Command {
	c := verb("list", "List the contexts", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return contextList(ctx, e)
	})
	c.Aliases = []string{"ls"}
	return c
}

func contextList(ctx context.Context, e *env) error {
	all, err := e.profiles().contexts()
	if err != nil {
		return err
	}
	rows := []contextRow{}
	for _, name := range slices.Sorted(maps.Keys(all.Contexts)) {
		tokens, err := e.profiles().tokens(name)
		if err != nil {
			return err
		}
		one := all.Contexts[name]
		rows = append(rows, contextRow{name, name == all.Current, one.Server, id(one.Tenant), tokens.Identifier})
	}
	return e.list(ctx, rows, []column{
		{"name", "NAME", "名称", nil},
		{"current", "CURRENT", "当前", yesNo},
		{"server", "SERVER", "服务器", nil},
		{"tenantId", "TENANT", "租户", nil},
		{"identifier", "SIGNED IN AS", "登录身份", nil},
	}, -1)
}

func newContextRemove(e *env) *cobra.Command {
	c := verb("remove <name>", "Remove a context and its sign-in", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return contextRemove(ctx, e, args[0])
	})
	c.Aliases = []string{"rm"}
	return c
}

func contextRemove(ctx context.Context, e *env, name string) error {
	all, err := e.profiles().contexts()
	if err != nil {
		return err
	}
	if _, known := all.Contexts[name]; !known {
		return usage("there is no context %q; see evcsctl context list", name)
	}
	if err := e.confirm(fmt.Sprintf(e.say("Remove context %s?", "移除上下文 %s?"), name)); err != nil {
		return err
	}
	delete(all.Contexts, name)
	if all.Current == name {
		all.Current = ""
	}
	if err := e.profiles().setContexts(all); err != nil {
		return err
	}
	return e.profiles().changeTokens(ctx, name, nil)
}

func newVersion(e *env) *cobra.Command {
	return verb("version", "Show which build this is", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return e.object(ctx, e.Version)
	})
}

// openFile opens a file for reading, as wrong usage when it cannot.
func openFile(name string) (*os.File, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, usage("%v", err)
	}
	return file, nil
}
