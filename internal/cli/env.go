// Package cli is evcsctl: it parses flags, calls the client and words the
// answer for a person, a pipe or a program. It holds no rule of the trade; what
// is allowed is the server's to say. A command is an options struct, a newX
// that only parses, and an xRun that works. Building the command tree opens
// nothing: a command pays for what it uses.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/client"
	"github.com/evcs/evcs/internal/help"
)

// Simulator runs simulated chargers for `evcsctl simulate` and returns an exit
// code. Its command is shown to help before it runs, so that its help is in the
// reader's language.
type Simulator func(ctx context.Context, args []string, out, errOut io.Writer, help func(*cobra.Command)) int

// Gateway is `evcsctl gateway`: a payment gateway on this machine. It returns an
// exit code; help is as for a Simulator.
type Gateway func(ctx context.Context, args []string, out, errOut io.Writer, now func() time.Time, help func(*cobra.Command)) int

// Program is what the outside world gives a run of evcsctl.
type Program struct {
	Args         []string // without the program's name
	In           io.Reader
	Out          io.Writer
	Err          io.Writer
	Getenv       func(string) string
	Now          func() time.Time
	Version      Version
	Simulate     Simulator                       // nil: this build has none
	Gateway      Gateway                         // nil: this build has none
	ReadPassword func(io.Reader) ([]byte, error) // nil: the terminal's, without echo
}

// Version says which build this is.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Built   string `json:"built"`
	Go      string `json:"go"`
}

// env is what the commands of one run share: the program's streams, the global
// flags and a lazy client.
type env struct {
	Program
	globals globals
	inTTY   bool
	outTTY  bool
	errTTY  bool
	width   func() int
	running bool // parsing is over: what fails now is not wrong usage

	made   *client.Client
	server string // of the made client
}

// globals are the flags of every command.
type globals struct {
	server   string
	context  string
	tenant   int64
	scope    string
	timeout  time.Duration
	yes      bool
	quiet    bool
	noColor  bool
	output   string
	jq       string
	template string
	lang     string
}

// errNotSignedIn says that there is nothing to prove who is asking.
var errNotSignedIn = errors.New("not signed in: run `evcsctl login`, or set EVCS_TOKEN")

// client makes the client on first use: the address and the sign-in of the
// chosen context, overridden by flags and environment.
func (e *env) client() (*client.Client, error) {
	if e.made != nil {
		return e.made, nil
	}
	target, err := e.target()
	if err != nil {
		return nil, err
	}
	config, err := e.clientConfig(target)
	if err != nil {
		return nil, err
	}
	if config.Token == "" {
		return nil, fmt.Errorf("%w (server %s)", errNotSignedIn, config.Server)
	}
	return e.dial(config)
}

func (e *env) dial(config client.Config) (*client.Client, error) {
	made, err := client.New(config)
	if err != nil {
		return nil, usage("%v", err)
	}
	e.made, e.server = made, config.Server
	return made, nil
}

// clientConfig joins a target with the stored sign-in.
func (e *env) clientConfig(t target) (client.Config, error) {
	config := client.Config{
		Server: t.Server, Language: e.lang(), UserAgent: "evcsctl/" + e.Version.Version,
		TenantID: t.Tenant, Scope: e.globals.scope,
	}
	if key := e.Getenv("EVCS_TOKEN"); key != "" {
		config.Token = key
		return config, nil
	}
	tokens, err := e.profiles().tokens(t.Name)
	if err != nil {
		return config, err
	}
	if tokens.Server != "" && tokens.Server != t.Server {
		// A token is never shown to another server than the one that made it.
		return config, nil
	}
	config.Token, config.RefreshToken = tokens.Token, tokens.Refresh
	config.OnTokens = e.keepTokens(t)
	config.Shared = func(ctx context.Context) (token, refresh string, done func(), err error) {
		if done, err = e.profiles().lock(ctx); err != nil {
			return "", "", nil, err
		}
		stored, err := e.profiles().tokens(t.Name)
		if err != nil {
			done()
			return "", "", nil, err
		}
		if stored.Server != "" && stored.Server != t.Server {
			stored = signIn{} // somebody signed in to another server meanwhile
		}
		return stored.Token, stored.Refresh, done, nil
	}
	return config, nil
}

// deadline bounds a call by --timeout, or by the command's own wait when that
// is longer.
func (e *env) deadline(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	limit := e.globals.timeout
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	if wait > 0 {
		limit += wait
	}
	return context.WithTimeout(ctx, limit)
}

// lang is zh or en: flag, EVCS_LANG, then the locale.
func (e *env) lang() string {
	return help.Lang(e.globals.lang, help.EnvLang(e.Getenv))
}

// say chooses between the two languages.
func (e *env) say(en, zh string) string {
	if e.lang() == "zh" {
		return zh
	}
	return en
}

// color reports whether standard output takes colour.
func (e *env) color() bool {
	return e.outTTY && !e.globals.noColor && e.Getenv("NO_COLOR") == "" && e.Getenv("CLICOLOR") != "0" && e.Getenv("TERM") != "dumb"
}

// note tells a person something on standard error; programs do not hear it.
func (e *env) note(format string, args ...any) {
	if e.errTTY && !e.globals.quiet {
		fmt.Fprintf(e.Err, format+"\n", args...)
	}
}

// confirm asks a person, or demands --yes when there is none.
func (e *env) confirm(question string) error {
	if e.globals.yes {
		return nil
	}
	if !e.inTTY || !e.outTTY {
		return usage("this changes things for good: confirm with --yes")
	}
	fmt.Fprintf(e.Err, "%s [y/N] ", question)
	answer, err := readLine(e.In)
	if err != nil && answer == "" {
		return errDeclined
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes", "是":
		return nil
	default:
		return errDeclined
	}
}

// errDeclined says that the person answered no.
var errDeclined = errors.New("not confirmed, nothing was changed")

// readLine reads one line byte by byte, so that nothing after it is swallowed.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < 4096 {
		n, err := r.Read(b[:])
		if n == 1 {
			if b[0] == '\n' {
				break
			}
			line = append(line, b[0])
		}
		if err != nil {
			return string(line), err
		}
	}
	return strings.TrimSuffix(string(line), "\r"), nil
}
