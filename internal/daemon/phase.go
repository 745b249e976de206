package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"
)

// part is something long-lived: Run returns when its context ends and has
// waited for what it started.
type part struct {
	name string
	run  func(ctx context.Context) error
}

// phase is what stops together. Phases stop one after the other; each has a
// deadline.
type phase struct {
	name  string
	limit time.Duration
	parts []part

	cancel context.CancelFunc
	done   chan struct{}
	err    error // set before done is closed
}

// start runs the parts. The first that fails, or returns although nobody asked
// it to, is reported to failed.
func (p *phase) start(ctx context.Context, failed chan<- error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel, p.done = cancel, make(chan struct{})
	group, work := errgroup.WithContext(own)
	for _, one := range p.parts {
		group.Go(func() error {
			err := one.run(work)
			if work.Err() == nil && err == nil {
				err = errors.New("it ended by itself")
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", one.name, err)
			}
			return nil
		})
	}
	go func() {
		p.err = group.Wait()
		close(p.done)
		if own.Err() == nil {
			select {
			case failed <- p.err:
			default:
			}
		}
	}()
}

// finish stops the parts and says what it waits for.
func (p *phase) finish(log *slog.Logger) error {
	log.Debug("stopping", slog.String("phase", p.name))
	p.cancel()
	notice := time.NewTimer(time.Second)
	defer notice.Stop()
	limit := time.NewTimer(p.limit)
	defer limit.Stop()
	for {
		select {
		case <-p.done:
			return p.err
		case <-notice.C:
			log.Info("waiting for parts to stop", slog.String("phase", p.name), slog.Duration("at_most", p.limit))
		case <-limit.C:
			return fmt.Errorf("%s did not stop within %s", p.name, p.limit)
		}
	}
}
