package report_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/report"
)

func TestBetweenStaysBetween(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		begin := time.UnixMilli(rapid.Int64Range(0, 1<<41).Draw(t, "begin"))
		span := time.Duration(rapid.Int64Range(1, 1<<36).Draw(t, "span")) * time.Millisecond
		part := time.Duration(rapid.Int64Range(0, int64(span/time.Millisecond)).Draw(t, "part")) * time.Millisecond
		low := evcs.Energy(rapid.Int64Range(0, 1<<40).Draw(t, "low"))
		high := low + evcs.Energy(rapid.Int64Range(0, 1<<40).Draw(t, "rise"))
		got := report.Between(report.Point{At: begin, Energy: low}, report.Point{At: begin.Add(span), Energy: high}, begin.Add(part))
		if got < low || got > high {
			t.Fatalf("%d is not within %d and %d", got, low, high)
		}
	})
}

func TestLastDaysAndPlace(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("+08", 8*3600)
	b := report.LastDays(time.Date(2026, 2, 9, 17, 0, 0, 0, time.UTC), zone, 7) // 10 February there
	if got := b.First().Format(time.DateOnly); got != "2026-02-04" {
		t.Errorf("first day %s", got)
	}
	if got := b.Last().Format(time.DateOnly); got != "2026-02-11" {
		t.Errorf("end %s", got)
	}
	for at, want := range map[string]int{"2026-02-04T00:00:00+08:00": 0, "2026-02-10T23:59:59+08:00": 6, "2026-02-11T00:00:00+08:00": -1, "2026-02-03T23:00:00+08:00": -1} {
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Place(moment); got != want {
			t.Errorf("%s lies in %d, want %d", at, got, want)
		}
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ part, whole, want int64 }{{1, 3, 3333}, {2, 3, 6667}, {0, 0, 0}, {5, 5, 10000}, {7, 5, 10000}} {
		if got := report.Share(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d: %d, want %d", c.part, c.whole, got, c.want)
		}
	}
}
