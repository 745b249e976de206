package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"github.com/evcs/evcs/bench/probe"
)

// due reports whether, before kill n, one of so many accidents is to happen:
// they are spread over the run.
func (t *torture) due(n, accidents int) bool {
	return (n+1)*accidents/t.kills > n*accidents/t.kills
}

// accident is what else befalls an evcsd before it is killed.
func (t *torture) accident(ctx context.Context, n int) error {
	if t.due(n, t.dbKills) {
		if err := t.loseDatabase(ctx); err != nil {
			return fmt.Errorf("kill the database: %w", err)
		}
	}
	if t.due(n, t.full) {
		if err := t.fill(ctx, n%2 == 0); err != nil {
			return fmt.Errorf("fill the store: %w", err)
		}
	}
	return nil
}

const (
	// outage is how long the database stays away, backAfter how soon after its
	// return evcsd has to serve.
	outage    = 700 * time.Millisecond
	backAfter = 30 * time.Second
	// fullSize is what a full store has room for: no page behind it can be written.
	fullSize = 64 << 10
	fillTime = 20 * time.Second
	fullTime = time.Second
)

// loseDatabase kills PostgreSQL and starts it again. Meanwhile evcsd takes
// nothing, and afterwards it serves without having been restarted.
func (t *torture) loseDatabase(ctx context.Context) error {
	pid := t.daemon.Process().PID()
	t.cluster.kill()
	pause(ctx, outage)
	t.refuses(ctx, "PostgreSQL was dead")
	if err := t.cluster.start(ctx); err != nil {
		return err
	}
	return t.back(ctx, pid, "PostgreSQL is back")
}

// fill takes all room from the store of evcsd. It has to say 9503 then, and to
// serve again when there is room, or, killed while full, after its restart.
func (t *torture) fill(ctx context.Context, room bool) error {
	pid := t.daemon.Process().PID()
	if err := limitFiles(pid, fullSize); err != nil {
		return err
	}
	deadline := probe.Monotonic() + fillTime
	for {
		err := t.write(ctx)
		if unavailable(err) {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if probe.Monotonic() > deadline {
			return fmt.Errorf("the store did not fill in %v: %w", fillTime, err)
		}
		pause(ctx, 20*time.Millisecond)
	}
	pause(ctx, fullTime)
	t.refuses(ctx, "the store was full")
	if !room {
		return nil // the kill follows at once
	}
	if err := limitFiles(pid, unix.RLIM_INFINITY); err != nil {
		return err
	}
	return t.back(ctx, pid, "there is room again")
}

func unavailable(err error) bool {
	var r *probe.Refusal
	return errors.As(err, &r) && r.Status == http.StatusServiceUnavailable && r.Code == 9503
}

// refuses wants 9503 for a write.
func (t *torture) refuses(ctx context.Context, while string) {
	if err := t.write(ctx); !unavailable(err) {
		t.faulty.add(notRecovering, "while %s a write was answered with %v, right is 9503", while, err)
	}
}

// limitFiles bounds the size of every file that a process writes.
func limitFiles(pid int, size uint64) error {
	limit := unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		return fmt.Errorf("limit the files of evcsd: %w", err)
	}
	return nil
}

// write changes something harmless.
func (t *torture) write(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return t.clerks.seed(ctx)
}

// back waits until evcsd, the same process, takes a write.
func (t *torture) back(ctx context.Context, pid int, since string) error {
	deadline := probe.Monotonic() + backAfter
	for {
		err := t.write(ctx)
		switch {
		case err == nil && t.daemon.Process().PID() == pid:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case probe.Monotonic() > deadline:
			t.faulty.add(notRecovering, "%s for %v, and evcsd still says %v", since, backAfter, err)
			return nil
		}
		select {
		case <-t.daemon.Process().Done():
			return fmt.Errorf("%s, and evcsd has ended: see %s", since, t.daemon.LogPath())
		default:
		}
		pause(ctx, 50*time.Millisecond)
	}
}
