// Package jobs does what happens by the clock: each job runs alone, at once
// after the start and then at its interval; one that fails or panics is logged
// and tried again at the next tick.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Job is one row of the table. Run does what is due and says how much it did;
// when that was a full load it is called again at once, so that a backlog is
// worked off and a missed tick caught up.
type Job struct {
	Name  string
	Every time.Duration
	Full  int // what Run does at most in one call; 0: one call is all
	Run   func(ctx context.Context) (int, error)
}

// rounds bounds how often a job is called at one tick.
const rounds = 1000

// Runner runs jobs.
type Runner struct {
	Jobs  []Job
	Clock evcs.Clock
	Log   *slog.Logger

	mu   sync.Mutex
	last map[string]State // guarded by mu
}

// State is what is known of the last run of a job.
type State struct {
	Begun time.Time
	Err   error
}

// Run runs every job until ctx ends, and waits for those at work.
func (r *Runner) Run(ctx context.Context) error {
	var all sync.WaitGroup
	for _, j := range r.Jobs {
		all.Go(func() { r.repeat(ctx, j) })
	}
	<-ctx.Done()
	all.Wait()
	return nil
}

func (r *Runner) repeat(ctx context.Context, j Job) {
	ticker := time.NewTicker(j.Every)
	defer ticker.Stop()
	for {
		r.tick(ctx, j)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (r *Runner) tick(ctx context.Context, j Job) {
	begun := r.Clock.Now()
	var err error
	for range rounds {
		var n int
		if n, err = safely(ctx, j); err != nil || j.Full == 0 || n < j.Full || ctx.Err() != nil {
			break
		}
	}
	if err != nil && ctx.Err() == nil {
		r.Log.ErrorContext(ctx, "job failed", slog.String("job", j.Name), slog.Any("error", err))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = make(map[string]State)
	}
	r.last[j.Name] = State{begun, err}
}

var errPanic = errors.New("the job panicked")

// safely turns a panic into an error, so that one job cannot stop the others.
func safely(ctx context.Context, j Job) (n int, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: %v\n%s", errPanic, v, debug.Stack())
		}
	}()
	return j.Run(ctx)
}

// Overdue names the jobs that have not begun for two intervals.
func (r *Runner) Overdue() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	now := r.Clock.Now()
	for _, j := range r.Jobs {
		if s, ok := r.last[j.Name]; ok && now.Sub(s.Begun) > 2*j.Every+time.Minute {
			names = append(names, j.Name)
		}
	}
	return names
}
