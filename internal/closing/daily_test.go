package closing_test

import (
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/sandboxpay"
)

// A day whose statement is late is asked for from 10:20, each half hour, a last
// time at 14:00; then somebody is told, and it is asked for again the next day.
func TestTheMorningOfADay(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		s.faults(first, sandboxpay.Faults{NotReady: true})
		for _, step := range []struct {
			day          string
			hour, minute int
			want         int
		}{
			{second, 10, 19, 0},
			{second, 10, 20, 1},
			{second, 10, 25, 0},
			{second, 10, 49, 0},
			{second, 10, 50, 1},
			{second, 12, 0, 1},
			{second, 13, 59, 1},
			{second, 14, 0, 1},
			{second, 14, 30, 0},
			{second, 23, 0, 0},
			{third, 10, 19, 0},
			{third, 10, 20, 2},
			{third, 10, 25, 0},
		} {
			s.clock.set(at(step.day, step.hour).Add(time.Duration(step.minute) * time.Minute))
			if n, err := s.closer.Daily(t.Context()); n != step.want || err != nil {
				t.Errorf("%s %02d:%02d: %d runs, want %d (%v)", step.day, step.hour, step.minute, n, step.want, err)
			}
			b, err := s.db.Reader().Recon().BatchOf(t.Context(), evcs.Only(1), "sandbox", first)
			if err != nil {
				continue
			}
			s.alert(t, alarm.ReconciliationFailed, "BATCH", int64(b.ID), step.day > second || step.hour >= 14)
		}
		s.faults(first, sandboxpay.Faults{})
		s.clock.set(at(third, 11))
		if n, err := s.closer.Daily(t.Context()); n != 1 || err != nil {
			t.Errorf("it is there: %d %v", n, err)
		}
		b, err := s.db.Reader().Recon().BatchOf(t.Context(), evcs.Only(1), "sandbox", first)
		if err != nil || b.Status != recon.Success {
			t.Fatalf("%+v %v", b, err)
		}
		s.alert(t, alarm.ReconciliationFailed, "BATCH", int64(b.ID), false)
	})
}

// After a long stop the last thirty days are made up for, and of two nodes that
// start at once each day is run by one.
func TestTwoNodesCatchUp(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, s *shop) {
		s.sell()
		sealer, err := auth.NewSealer([32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		const today = "2026-03-21" // 40 days later
		s.clock.set(at(today, 11))
		var all sync.WaitGroup
		for _, node := range []string{"a", "b"} {
			closer := closing.New(closing.Config{
				Node: node, Clock: s.clock, Channels: map[string]payment.Channel{"sandbox": s.bank}, Sealer: sealer, Cashier: s.till,
				Read: days{s.db.Reader().Recon(), s.db.Reader().Payments().PaymentDesk}, Transact: s.transact(),
			})
			all.Go(func() {
				if _, err := closer.Daily(t.Context()); err != nil {
					t.Errorf("node %s: %v", node, err)
				}
			})
		}
		all.Wait()
		found, err := s.db.Reader().Recon().BatchPage(t.Context(), evcs.Only(1), recon.BatchFilter{}, evcs.PageRequest{Page: 1, Size: 100})
		if err != nil || len(found.Records) != 30 {
			t.Fatalf("%d days (%v)", len(found.Records), err)
		}
		for _, b := range found.Records {
			if b.RunNo != 1 || b.Status != recon.Success || b.Day < recon.After(today, -30) || b.Day >= today {
				t.Errorf("%s: run %d, %s", b.Day, b.RunNo, b.Status)
			}
		}
	})
}
