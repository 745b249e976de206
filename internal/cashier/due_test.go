package cashier

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// A lane asks at its pace, begins no question that its lease may not outlast,
// and gives up on somebody who says nothing.
func TestALaneKeepsItsPaceAndItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := evcs.SystemClock{}
		begun := clock.Now()
		w := worker{till: New(Config{Clock: clock, Pace: 50 * time.Millisecond}), until: begun.Add(lease)}
		n := 0
		for ; w.next(t.Context()); n++ {
		}
		if took := clock.Now().Sub(begun); took < lease-callLimit || took > lease-callLimit+50*time.Millisecond || n != int((lease-callLimit)/(50*time.Millisecond)) {
			t.Errorf("%d questions in %s", n, took)
		}

		w = worker{till: w.till, until: clock.Now().Add(lease)}
		ctx, cancel := context.WithCancel(t.Context())
		if !w.next(ctx) {
			t.Error("the first question waits")
		}
		cancel()
		begun = clock.Now()
		if w.next(ctx) || clock.Now() != begun {
			t.Error("a daemon that stops is kept waiting")
		}
	})
}

func TestALaneGivesUpOnSilence(t *testing.T) {
	t.Parallel()
	clock := evcs.SystemClock{}
	dead := errors.New("the line is dead")
	till := New(Config{Clock: clock, Transact: func(context.Context, func(Tx) error) error { return dead }})
	w := worker{till: till, until: clock.Now().Add(lease)}
	asked := 0
	follow := func(err error) func(context.Context, payment.Payment) error {
		return func(context.Context, payment.Payment) error {
			asked++
			return err
		}
	}
	for range 2 {
		w.done(t.Context(), follow(dead), payment.Payment{})
	}
	w.done(t.Context(), follow(nil), payment.Payment{}) // somebody is there after all
	for w.next(t.Context()) {
		w.done(t.Context(), follow(dead), payment.Payment{})
	}
	if asked != 2+1+maxSilent {
		t.Errorf("asked %d times", asked)
	}
}
