package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Process is a child.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed
}

// Start runs a program whose output goes to log. The child dies with ctx.
func Start(ctx context.Context, log *os.File, env []string, name string, args ...string) (*Process, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the caller names the program under test
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, env
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the process with SIGKILL and waits for its end.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.done
}

// Stop asks the process to end, and kills it when it has not within grace. It
// returns an error when it had to, or when the process did not end well.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop: %w", err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.err
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("did not stop within %v", grace)
	}
}

// FreePorts are n loopback ports that were free a moment ago.
func FreePorts(ctx context.Context, n int) ([]int, error) {
	ports := make([]int, 0, n)
	var open []net.Listener
	defer func() {
		for _, l := range open {
			_ = l.Close() // only held to reserve the port
		}
	}()
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		open = append(open, l)
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return nil, fmt.Errorf("find a free port: %v is no TCP address", l.Addr())
		}
		ports = append(ports, addr.Port)
	}
	return ports, nil
}

// Daemon is an evcsd on a folder of its own. It can be killed and started again
// on the same ports and data.
type Daemon struct {
	// Binary is the program; Dir its data; DSN a PostgreSQL URL, empty for SQLite.
	Binary, Dir, DSN string
	// Extra are more lines of its configuration file.
	Extra    string
	Password string // of admin@tenant1

	rest, device int
	log          *os.File
	mu           sync.Mutex
	proc         *Process // guarded by mu
}

// Prepare chooses ports and writes the configuration.
func (d *Daemon) Prepare(ctx context.Context) error {
	ports, err := FreePorts(ctx, 2)
	if err != nil {
		return err
	}
	d.rest, d.device = ports[0], ports[1]
	if d.Binary, err = filepath.Abs(d.Binary); err != nil {
		return fmt.Errorf("path of evcsd: %w", err)
	}
	if err := os.WriteFile(d.path("evcsd.yaml"), []byte(d.settings()), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	d.log, err = os.OpenFile(d.path("evcsd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	return nil
}

func (d *Daemon) path(name string) string { return filepath.Join(d.Dir, name) }

// LogPath is where the output of all its lives is.
func (d *Daemon) LogPath() string { return d.path("evcsd.log") }

// BaseURL is the address of the REST port, DeviceURL of OCPP.
func (d *Daemon) BaseURL() string { return fmt.Sprintf("http://127.0.0.1:%d", d.rest) }

// DeviceURL is the OCPP address without the charger's id.
func (d *Daemon) DeviceURL() string { return fmt.Sprintf("ws://127.0.0.1:%d/ocpp", d.device) }

// CloudURL is the cloudcharge address.
func (d *Daemon) CloudURL() string { return fmt.Sprintf("http://127.0.0.1:%d", d.device) }

// Launch runs evcsd and does not wait for it.
func (d *Daemon) Launch(ctx context.Context) (*Process, error) {
	p, err := Start(ctx, d.log, d.environment(), d.Binary, d.arguments()...)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.proc = p
	return p, nil
}

// Start runs evcsd and waits until it says it is ready.
func (d *Daemon) Start(ctx context.Context, patience time.Duration) error {
	p, err := d.Launch(ctx)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := d.ready(wait, p); err != nil {
		p.Kill()
		return fmt.Errorf("evcsd (log %s): %w", d.LogPath(), err)
	}
	return nil
}

func (d *Daemon) ready(ctx context.Context, p *Process) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		if d.isReady(ctx, client) {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return fmt.Errorf("ended at once: %w", p.err)
		case <-ctx.Done():
			return fmt.Errorf("is not ready: %w", ctx.Err())
		}
	}
}

func (d *Daemon) isReady(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.BaseURL()+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close() // the status is all
	return res.StatusCode == http.StatusOK
}

// Migrate brings the schema of a PostgreSQL database forward, which evcsd does
// by itself only on SQLite.
func (d *Daemon) Migrate(ctx context.Context) error {
	if d.DSN == "" {
		return nil
	}
	p, err := Start(ctx, d.log, d.environment(), d.Binary, "migrate", "--config", d.path("evcsd.yaml"))
	if err != nil {
		return err
	}
	<-p.done
	if p.err != nil {
		return fmt.Errorf("evcsd migrate (log %s): %w", d.LogPath(), p.err)
	}
	return nil
}

// Process is the running child.
func (d *Daemon) Process() *Process {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.proc
}

// Close releases the log.
func (d *Daemon) Close() error {
	if d.log == nil {
		return nil
	}
	return d.log.Close()
}

// NewPassword makes a password nobody needs to know.
func NewPassword(clock evcs.Clock) string {
	return fmt.Sprintf("Bench-%x-%x", clock.Now().UnixNano(), os.Getpid())
}

func lines(text ...string) string { return strings.Join(text, "\n") + "\n" }
