// Command demo shows the main job in a minute, on the embedded default: it
// starts evcsd on a temporary SQLite database, provisions a two-level tree of
// operators through the public API, lets simulated chargers charge cars through
// real sockets, pays, refunds, and reconciles the day with differences found and
// resolved by two people at evcsctl, and closes it. On a terminal it then opens the dashboard while the chargers go on;
// otherwise it prints the day's summary. It exits 0 only if everything it
// checked was right.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
	"github.com/evcs/evcs/internal/evcs"
)

// options are the flags of the demo.
type options struct {
	evcsd, evcsctl string
	keep           bool
	plain          bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	var o options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&o.evcsd, "evcsd", "bin/evcsd", "the daemon")
	flags.StringVar(&o.evcsctl, "evcsctl", "bin/evcsctl", "the command line")
	flags.BoolVar(&o.keep, "keep", false, "keep the database and the log")
	flags.BoolVar(&o.plain, "plain", false, "print the summary even on a terminal")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if err := demo(ctx, o, out); err != nil {
		fmt.Fprintf(errOut, "demo: %v\n", err)
		return 1
	}
	return 0
}

func demo(ctx context.Context, o options, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "evcs-demo-")
	if err != nil {
		return err
	}
	clock := evcs.SystemClock{}
	d := &probe.Daemon{Binary: o.evcsd, Dir: dir, Password: probe.NewPassword(clock)}
	defer func() {
		if o.keep || err != nil {
			fmt.Fprintf(out, "kept: %s (the report of the day: day.html, day.csv)\n", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	begun := clock.Now()
	if err := start(ctx, d); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, d.Process().Stop(30*time.Second), d.Close())
	}()
	say(out, "evcsd is up on SQLite in %d ms: REST %s, chargers %s", clock.Now().Sub(begun).Milliseconds(), d.BaseURL(), d.DeviceURL())

	admin, err := signIn(ctx, d.BaseURL(), "admin@tenant1", d.Password)
	if err != nil {
		return err
	}
	w, err := provision(ctx, admin, d, out)
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	w.evcsctl, w.dir = o.evcsctl, dir
	if err := w.charge(ctx, out); err != nil {
		return fmt.Errorf("charge: %w", err)
	}
	if err := w.collect(ctx, out); err != nil {
		return fmt.Errorf("pay and refund: %w", err)
	}
	if err := w.reconcile(ctx, out); err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	if err := w.summary(ctx, out); err != nil {
		return err
	}
	if !o.plain && isatty.IsTerminal(os.Stdout.Fd()) && isatty.IsTerminal(os.Stdin.Fd()) {
		return w.dashboard(ctx, o.evcsctl, dir)
	}
	return nil
}

func start(ctx context.Context, d *probe.Daemon) error {
	if err := d.Prepare(ctx); err != nil {
		return err
	}
	return d.Start(ctx, 30*time.Second)
}

func say(out io.Writer, format string, args ...any) {
	fmt.Fprintf(out, "• "+format+"\n", args...)
}

// signIn makes a client that acts as somebody.
func signIn(ctx context.Context, server, identifier, password string) (*client.Client, error) {
	anonymous, err := client.New(client.Config{Server: server})
	if err != nil {
		return nil, err
	}
	login, err := anonymous.Auth.Login(ctx, api.Login{Identifier: identifier, Password: password})
	if err != nil {
		return nil, fmt.Errorf("sign in as %s: %w", identifier, err)
	}
	return client.New(client.Config{Server: server, Token: login.Token})
}

// dashboard hands the terminal to evcsctl while the chargers go on in real
// time.
func (w *world) dashboard(ctx context.Context, evcsctl, dir string) error {
	path, err := filepath.Abs(evcsctl)
	if err != nil {
		return err
	}
	env := append(os.Environ(), "XDG_CONFIG_HOME="+dir, "EVCS_SERVER="+w.daemon.BaseURL())
	login := exec.CommandContext(ctx, path, "login", w.operator.user, "--password-stdin")
	login.Env = env
	in, err := login.StdinPipe()
	if err != nil {
		return err
	}
	if err := login.Start(); err != nil {
		return err
	}
	if _, err := io.WriteString(in, w.operator.password+"\n"); err != nil {
		return err
	}
	if err := errors.Join(in.Close(), login.Wait()); err != nil {
		return fmt.Errorf("evcsctl login: %w", err)
	}
	live, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.live(live) }()
	view := exec.CommandContext(ctx, path, "dashboard", "--scope", "SELF_AND_DESCENDANTS")
	view.Env, view.Stdin, view.Stdout, view.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	err = view.Run()
	stop()
	return errors.Join(err, <-ended)
}
