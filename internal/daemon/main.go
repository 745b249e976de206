package daemon

import (
	"bytes"
	"context"
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/help"
	"github.com/evcs/evcs/internal/host"
)

// errUsage marks faults of flags and settings: exit code 2.
var errUsage = errors.New("usage")

// errNotReady is the answer of "evcsd health" when the daemon is not ready:
// exit code 7, like every "not now" of the contract.
var errNotReady = errors.New("not ready")

// program is one call of evcsd.
type program struct {
	build    Build
	env      []string
	out, err io.Writer
}

// Main is evcsd: it runs the command in args until ctx ends and returns the
// exit code: 0, 1 for a failure, 2 for wrong flags or settings, 7 for a health
// check that says no and for what another node must be ready for first.
func Main(ctx context.Context, build Build, args, env []string, out, errOut io.Writer) int {
	p := program{build: build, env: env, out: out, err: errOut}
	root := p.command()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNotReady), errors.Is(err, auth.ErrNotYet):
		fmt.Fprintln(errOut, "evcsd:", err)
		return 7
	case errors.Is(err, errUsage):
		fmt.Fprintln(errOut, "evcsd:", err)
		return 2
	}
	fmt.Fprintln(errOut, "evcsd:", err)
	return 1
}

func (p program) command() *cobra.Command {
	root := &cobra.Command{
		Use: "evcsd", Short: "EVCS charging platform daemon", SilenceErrors: true, SilenceUsage: true,
		Long: "evcsd serves charging stations, their chargers and their money.\n\nSettings come from defaults, a file (--config), the environment (EVCS_...) and flags, in this order.",
		Args: cobra.NoArgs,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return errors.Join(errUsage, err) })
	config.AddFlags(root.PersistentFlags())
	help.Speak(root, p.lang, func() help.Texts { return help.Read(chinese) }, nil)
	root.AddCommand(
		p.with("serve", "Serve until interrupted", p.serve),
		p.with("init", "Make the database, the platform tenant and its administrator", p.initialise),
		p.with("migrate", "Bring the database's schema forward", p.migrate),
		p.with("config", "Print the settings in effect, secrets masked", p.config),
		p.keys(),
		p.with("health", "Ask the running daemon whether it is ready", p.health),
		&cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.out, "evcsd", p.build)
			return err
		}},
	)
	return root
}

// chinese is the texts of the help, one a line: English, tab, Chinese.
//
//go:embed zh.tsv
var chinese string

// lang is the language of the help: what the environment asks for.
func (p program) lang() string {
	return help.EnvLang(func(name string) string {
		for _, pair := range slices.Backward(p.env) {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
		return ""
	})
}

// with is a command that needs the settings.
func (p program) with(name, short string, run func(ctx context.Context, c config.Config) error) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(cmd.Flags(), p.env)
		if err != nil {
			return fmt.Errorf("%w: settings:\n%w", errUsage, err)
		}
		return run(cmd.Context(), c)
	}}
}

func (p program) options(c config.Config) Options {
	return Options{Config: c, Log: newLog(p.err, c.Logs), Notices: p.out, Build: p.build}
}

func (p program) serve(ctx context.Context, c config.Config) error {
	d, err := New(ctx, p.options(c))
	if err != nil {
		return err
	}
	heap := host.Heap{Fixed: slices.ContainsFunc(p.env, func(v string) bool { return strings.HasPrefix(v, "GOGC=") })}
	watching, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	var g errgroup.Group
	g.Go(func() error { return heap.Run(watching) }) // the process's: tests run several daemons in one
	err = d.Run(ctx)
	done()
	return errors.Join(err, g.Wait())
}

func (p program) initialise(ctx context.Context, c config.Config) error {
	c.Server.REST, c.Server.Device = "127.0.0.1:0", "127.0.0.1:0" // nothing is served
	c.Server.TLS.Device = ""
	opt := p.options(c)
	opt.Migrate = true
	d, err := New(ctx, opt)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(p.out, "the database is ready:", hidePassword(databaseURL(c))); err != nil {
		return errors.Join(err, d.Close())
	}
	return d.Close()
}

func (p program) migrate(ctx context.Context, c config.Config) error {
	db, err := openStore(ctx, p.options(c))
	if err != nil {
		return err
	}
	applied, err := db.Migrate(ctx)
	if err != nil {
		return errors.Join(err, db.Close())
	}
	if len(applied) == 0 {
		_, err = fmt.Fprintln(p.out, "the schema is up to date")
	} else {
		_, err = fmt.Fprintln(p.out, "applied:", applied)
	}
	return errors.Join(err, db.Close())
}

func (p program) config(_ context.Context, c config.Config) error { return c.Print(p.out) }

func (p program) health(ctx context.Context, c config.Config) error {
	host, port, err := net.SplitHostPort(c.Server.REST)
	if err != nil {
		return fmt.Errorf("%w: server.rest: %w", errUsage, err)
	}
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "127.0.0.1"
	}
	scheme := "http"
	if c.Server.TLS.Cert != "" {
		scheme = "https"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	caller, err := ownClient(c)
	if err != nil {
		return fmt.Errorf("%w: server.tls: %w", errUsage, err)
	}
	answer, err := caller.Do(r)
	if err != nil {
		return errors.Join(errNotReady, err)
	}
	defer answer.Body.Close() // read below or not at all
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4096))
	if err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errNotReady, text)
	}
	_, err = p.out.Write(text)
	return err
}

// ownClient calls this host's own daemon: over TLS it trusts the certificate of
// the settings alone, whatever name that is for.
func ownClient(c config.Config) (*http.Client, error) {
	if c.Server.TLS.Cert == "" {
		return http.DefaultClient, nil
	}
	m, err := readPair([]string{c.Server.TLS.Cert, c.Server.TLS.Key})
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
		MinVersion: tls.VersionTLS12, InsecureSkipVerify: true, // the certificate itself is compared
		VerifyConnection: func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, m.chain[0].Raw) {
				return errForeign
			}
			return nil
		},
	}}}, nil
}

var errForeign = errors.New("another certificate than that of the settings is in use")

// newLog writes to a terminal or file, as the settings say; every line of a
// request carries its trace id.
func newLog(w io.Writer, c config.Logs) *slog.Logger {
	level := logLevel(c)
	if c.Format == "json" {
		return slog.New(traced{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})})
	}
	return slog.New(traced{tint.NewTextHandler(w, &tint.Options{Level: level, NoColor: true, TimeFormat: time.RFC3339})})
}

// traced adds the trace id of the context.
type traced struct{ slog.Handler }

// Handle implements slog.Handler.
func (t traced) Handle(ctx context.Context, r slog.Record) error {
	if id := evcs.Trace(ctx); id != "" {
		r.AddAttrs(slog.String("trace_id", id))
	}
	return t.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (t traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{t.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (t traced) WithGroup(name string) slog.Handler { return traced{t.Handler.WithGroup(name)} }
