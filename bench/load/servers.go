package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/bench/ref"
	"github.com/evcs/evcs/internal/evcs"
)

// target is a server under test.
type target struct {
	name string
	url  string
	pid  int
	who  []identity
	echo bool
	stop func() error
}

// newRef is the hidden command that this program runs as its own child: a
// reference server that says its address on its first line.
func newRef() *cobra.Command {
	return &cobra.Command{
		Use: "ref echo|hello|stream", Hidden: true, Args: cobra.ExactArgs(1), ValidArgs: []string{"echo", "hello", "stream"},
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				return fmt.Errorf("listen: %w", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), l.Addr()) // the parent waits for it
			switch args[0] {
			case "hello":
				return ref.Hello(cmd.Context(), l)
			case "stream":
				return ref.Stream(cmd.Context(), l)
			}
			return ref.Echo(cmd.Context(), l)
		},
	}
}

// reference starts a reference server as a child.
func reference(ctx context.Context, kind string) (target, error) {
	self, err := os.Executable()
	if err != nil {
		return target{}, fmt.Errorf("start the reference: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, "ref", kind) //nolint:gosec // this very program
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	if err != nil {
		return target{}, fmt.Errorf("start the reference: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return target{}, fmt.Errorf("start the reference: %w", err)
	}
	stop := func() error {
		_ = cmd.Process.Kill() // may be gone
		_ = cmd.Wait()         // it was killed
		return nil
	}
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return target{}, fmt.Errorf("start the reference: %w (%w)", err, stop())
	}
	address = strings.TrimSpace(address)
	t := target{name: kind, url: "ws://" + address + "/ocpp", pid: cmd.Process.Pid, echo: true, stop: stop}
	if kind != "echo" {
		t.url = "http://" + address
	}
	return t, nil
}

// platform is an evcsd with a site.
type platform struct {
	target
	daemon *probe.Daemon
	site   probe.Site
	api    *probe.Client
	booted time.Duration // from exec to ready
}

// start runs evcsd in a temporary folder and builds a site of n chargers.
func (o *options) start(ctx context.Context, clock evcs.Clock, n int) (*platform, error) {
	if o.evcsd == "" {
		return nil, errors.New("--evcsd is needed: the path of the program")
	}
	dir, err := os.MkdirTemp("", "evcs-load-")
	if err != nil {
		return nil, fmt.Errorf("temporary folder: %w", err)
	}
	extra, err := o.settings()
	if err != nil {
		return nil, err
	}
	p := &platform{daemon: &probe.Daemon{Binary: o.evcsd, Dir: dir, DSN: o.dsn, Extra: extra, Password: probe.NewPassword(clock)}}
	if o.data != "" {
		if p.daemon.Password = os.Getenv("EVCS_ADMIN_PASSWORD"); p.daemon.Password == "" {
			return nil, errors.New("--data needs EVCS_ADMIN_PASSWORD as it was when the data set was made")
		}
	}
	p.stop = func() error {
		if proc := p.daemon.Process(); proc != nil {
			if err := proc.Stop(20 * time.Second); err != nil {
				return fmt.Errorf("evcsd (log %s): %w", p.daemon.LogPath(), err)
			}
		}
		_ = p.daemon.Close() // only a log
		return os.RemoveAll(dir)
	}
	if err := p.daemon.Prepare(ctx); err != nil {
		return nil, err
	}
	if err := o.copyData(dir); err != nil {
		return nil, err
	}
	if err := p.daemon.Migrate(ctx); err != nil {
		return nil, err
	}
	began := probe.Monotonic()
	if err := p.daemon.Start(ctx, 30*time.Second); err != nil {
		return nil, err
	}
	p.booted = probe.Monotonic() - began
	if err := p.build(ctx, n); err != nil {
		return nil, errors.Join(err, p.daemon.Process().Stop(20*time.Second))
	}
	return p, nil
}

// copyData gives evcsd a copy of the data set, if there is one.
func (o *options) copyData(dir string) (err error) {
	if o.data == "" {
		return nil
	}
	if o.dsn != "" {
		return errors.New("--data is SQLite's, --dsn PostgreSQL's: one of them")
	}
	from, err := os.Open(filepath.Clean(o.data))
	if err != nil {
		return fmt.Errorf("data set: %w", err)
	}
	defer from.Close() // only read
	to, err := os.OpenFile(filepath.Join(dir, "evcs.db"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("data set: %w", err)
	}
	_, err = io.Copy(to, from)
	return errors.Join(err, to.Close())
}

func (o *options) settings() (string, error) {
	if o.config == "" {
		return probe.LimitsOff, nil
	}
	text, err := os.ReadFile(filepath.Clean(o.config))
	if err != nil {
		return "", fmt.Errorf("settings for evcsd: %w", err)
	}
	return string(text), nil
}

// build makes the chargers.
func (p *platform) build(ctx context.Context, n int) error {
	p.name, p.url, p.pid = "evcsd", p.daemon.DeviceURL(), p.daemon.Process().PID()
	p.api = probe.NewClient(p.daemon.BaseURL(), 16)
	if err := p.api.Login(ctx, "admin@tenant1", p.daemon.Password); err != nil {
		return fmt.Errorf("evcsd (log %s): %w", p.daemon.LogPath(), err)
	}
	if n == 0 {
		return nil
	}
	site, err := probe.Build(ctx, p.api, probe.SiteOptions{Code: "LOAD", Chargers: n, Connectors: 1, RatedKW: 60, Protocol: "OCPP16"})
	if err != nil {
		return fmt.Errorf("evcsd (log %s): %w", p.daemon.LogPath(), err)
	}
	p.site = site
	for _, c := range site.Chargers {
		p.who = append(p.who, identity{c.DeviceID, c.Secret})
	}
	return nil
}
