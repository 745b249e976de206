package charging

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Journal stores the frames that no transaction keeps, many at a time and behind
// the answers, so that they cost a device no waiting. It implements
// device.Journal. What is on its way when the process dies is lost: it is
// evidence of what was said, not of what happened.
type Journal struct {
	Store Transact // may wait for company
	Log   *slog.Logger

	mu      sync.Mutex
	waiting []evcs.Frame  // guarded by mu
	bytes   int           // guarded by mu: in waiting
	dropped int           // guarded by mu: since the last complaint
	wake    chan struct{} // guarded by mu; holds one
}

const (
	journalFrames = 16_384
	journalBytes  = 16 << 20
	journalBatch  = 64 // frames of one transaction
	journalPause  = 100 * time.Millisecond
)

// Keep takes a frame, or drops it when the store has fallen far behind.
func (j *Journal) Keep(f evcs.Frame) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) >= journalFrames || j.bytes+len(f.Raw) > journalBytes {
		j.dropped++
		return
	}
	j.waiting = append(j.waiting, f)
	j.bytes += len(f.Raw)
	select {
	case j.bell() <- struct{}{}:
	default: // rung before
	}
}

// bell is called with mu held.
func (j *Journal) bell() chan struct{} {
	if j.wake == nil {
		j.wake = make(chan struct{}, 1)
	}
	return j.wake
}

func (j *Journal) ring() chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.bell()
}

// Run stores what Keep takes, until ctx ends; then it stores the rest.
func (j *Journal) Run(ctx context.Context) error {
	wake := j.ring()
	for {
		select {
		case <-wake:
		case <-ctx.Done():
			j.flush(context.WithoutCancel(ctx))
			return nil
		}
		company := time.NewTimer(journalPause)
		select {
		case <-company.C:
		case <-ctx.Done():
			company.Stop()
		}
		j.flush(context.WithoutCancel(ctx))
	}
}

// flush stores what waits. Frames that cannot be stored are given up: they must
// not fill the memory while the store is away.
func (j *Journal) flush(ctx context.Context) {
	for {
		batch, dropped := j.take()
		if dropped > 0 {
			j.Log.WarnContext(ctx, "frames were sent faster than they can be stored", slog.Int("dropped", dropped))
		}
		if len(batch) == 0 {
			return
		}
		err := j.Store(ctx, func(tx Tx) error {
			for _, f := range batch {
				if err := tx.KeepFrame(ctx, f); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			j.Log.WarnContext(ctx, "frames that were sent are not stored", slog.Int("frames", len(batch)), slog.Any("error", err))
		}
	}
}

func (j *Journal) take() (batch []evcs.Frame, dropped int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := min(len(j.waiting), journalBatch)
	batch, j.waiting = j.waiting[:n:n], j.waiting[n:]
	for _, f := range batch {
		j.bytes -= len(f.Raw)
	}
	if len(j.waiting) == 0 {
		j.waiting = nil
	}
	dropped, j.dropped = j.dropped, 0
	return batch, dropped
}
