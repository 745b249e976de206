package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/jobs"
)

func TestJobs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		backlog, ticks, panics := 25, 0, 0
		r := jobs.Runner{Clock: evcs.SystemClock{}, Log: slog.New(slog.DiscardHandler), Jobs: []jobs.Job{
			{Name: "backlog", Every: time.Hour, Full: 10, Run: func(context.Context) (int, error) {
				n := min(backlog, 10)
				backlog -= n
				return n, nil
			}},
			{Name: "ticks", Every: time.Minute, Run: func(context.Context) (int, error) {
				ticks++
				return 0, errors.New("fails every time")
			}},
			{Name: "panics", Every: time.Minute, Run: func(context.Context) (int, error) {
				panics++
				panic("always")
			}},
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if backlog != 0 || ticks != 3 || panics != 3 {
			t.Errorf("backlog %d, ticks %d, panics %d; want 0, 3, 3", backlog, ticks, panics)
		}
	})
}
