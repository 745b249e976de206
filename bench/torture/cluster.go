package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/evcs/evcs/bench/probe"
)

// cluster is a PostgreSQL of our own, which may be killed. It is as durable as
// one in earnest: fsync is on.
type cluster struct {
	bin, dir string
	port     int
	as       *syscall.Credential // nil: who we are
	log      *os.File
	cmd      *exec.Cmd
	done     chan struct{} // closed when cmd has ended
}

// startTime is how long PostgreSQL may take to come up, crash recovery included.
const startTime = 60 * time.Second

// startCluster makes a cluster in a temporary folder and starts it.
func startCluster(ctx context.Context) (*cluster, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	ports, err := probe.FreePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	c := &cluster{bin: bin, port: ports[0]}
	if err := c.prepare(ctx); err != nil {
		c.remove()
		return nil, err
	}
	if err := c.start(ctx); err != nil {
		c.remove()
		return nil, err
	}
	return c, nil
}

// postgresBin is the folder of the newest PostgreSQL of this machine.
func postgresBin() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.New("no PostgreSQL on this machine: -dbkills needs initdb and postgres")
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// prepare makes the folder, as a user that PostgreSQL accepts: not root.
func (c *cluster) prepare(ctx context.Context) (err error) {
	if c.dir, err = os.MkdirTemp("", "evcs-torture-pg-"); err != nil {
		return fmt.Errorf("temporary folder: %w", err)
	}
	if os.Geteuid() == 0 {
		if err := c.becomePostgres(); err != nil {
			return err
		}
	}
	if c.log, err = os.OpenFile(filepath.Join(c.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return fmt.Errorf("log of PostgreSQL: %w", err)
	}
	make := c.command(ctx, "initdb", "-D", c.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
	if err := make.Run(); err != nil {
		return fmt.Errorf("initdb (log %s): %w", c.log.Name(), err)
	}
	return nil
}

func (c *cluster) becomePostgres() error {
	who, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, errUser := strconv.ParseUint(who.Uid, 10, 32)
	gid, errGroup := strconv.ParseUint(who.Gid, 10, 32)
	if err := errors.Join(errUser, errGroup); err != nil {
		return fmt.Errorf("user postgres: %w", err)
	}
	c.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(c.dir, int(uid), int(gid)); err != nil {
		return fmt.Errorf("folder of PostgreSQL: %w", err)
	}
	return nil
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

// command is one of PostgreSQL's programs.
func (c *cluster) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.bin, name), args...) //nolint:gosec // of this machine's PostgreSQL
	cmd.Stdout, cmd.Stderr, cmd.Dir = c.log, c.log, c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.as}
	return cmd
}

func (c *cluster) dsn() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", c.port)
}

// start runs the server until it answers. After a kill that may take several
// attempts: the sessions of the dead one hold its memory until they notice.
func (c *cluster) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	db, err := sql.Open("pgx", c.dsn())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer db.Close() // only asked
	for {
		if c.done == nil || ended(c.done) {
			if err := c.launch(context.WithoutCancel(ctx)); err != nil {
				return err
			}
		}
		if err = db.PingContext(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("PostgreSQL (log %s) does not start: %w", c.log.Name(), err)
		}
		pause(ctx, 50*time.Millisecond)
	}
}

func (c *cluster) launch(ctx context.Context) error {
	c.cmd = c.command(ctx, "postgres", "-D", c.data(), "-p", strconv.Itoa(c.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
		"-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "max_connections=100")
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	cmd, done := c.cmd, make(chan struct{})
	c.done = done
	go func() {
		_ = cmd.Wait() // how it ended does not matter
		close(done)
	}()
	return nil
}

func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// kill ends the server with SIGKILL.
func (c *cluster) kill() {
	_ = c.cmd.Process.Kill() // it may have ended already
	<-c.done
}

// remove ends the server and takes its folder away. A nil cluster has none.
func (c *cluster) remove() {
	if c == nil {
		return
	}
	if c.done != nil {
		c.kill()
	}
	if c.log != nil {
		_ = c.log.Close() // not needed any more
	}
	_ = os.RemoveAll(c.dir) // temporary
}
