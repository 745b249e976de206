package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/chargersim/journal"
)

func zone() *time.Location { return time.FixedZone("CST", 8*3600) }

func session(points ...journal.Entry) journal.Session {
	last := len(points) - 1
	return journal.Session{Start: &points[0], Samples: points[1:last], Stop: &points[last]}
}

func entry(at time.Time, register int64) journal.Entry {
	return journal.Entry{Time: at, Register: journal.Energy(register)}
}

func TestPrice(t *testing.T) {
	t.Parallel()
	day := func(h, m int) time.Time { return time.Date(2026, 2, 10, h, m, 0, 0, zone()) }
	for name, test := range map[string]struct {
		s    journal.Session
		want int64
	}{
		// 10 kWh at 0.6871 + 0.45
		"one segment": {session(entry(day(12, 0), 0), entry(day(13, 0), 100_000)), 687 + 450},
		// 08:00 halves it: 5 kWh at 0.35 + 0.40, 5 kWh at 1.0523 + 0.45
		"a boundary":  {session(entry(day(7, 30), 7), entry(day(8, 30), 100_007)), 175 + 200 + 526 + 225},
		"no energy":   {session(entry(day(7, 30), 7), entry(day(8, 30), 7)), 0},
		"at midnight": {session(entry(day(23, 30), 0), entry(day(24, 30), 20_000)), 69 + 40 + 35 + 40},
		// A sample at the boundary says that all of it came before.
		"a sample": {session(entry(day(7, 30), 0), entry(day(8, 0), 100_000), entry(day(8, 30), 100_000)), 350 + 400},
	} {
		if got := price(test.s, zone()); got != test.want {
			t.Errorf("%s: %d fen, want %d", name, got, test.want)
		}
	}
}

// TestPriceIsBetweenTheCheapestAndTheDearest holds for any curve.
func TestPriceIsBetweenTheCheapestAndTheDearest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(1.7e12, 1.8e12).Draw(t, "begin"))
		register := int64(0)
		points := []journal.Entry{entry(at, 0)}
		for range rapid.IntRange(1, 30).Draw(t, "samples") {
			at = at.Add(time.Duration(rapid.Int64Range(1, 3600_000).Draw(t, "pause")) * time.Millisecond)
			register += rapid.Int64Range(0, 200_000).Draw(t, "energy")
			points = append(points, entry(at, register))
		}
		got, lines := price(session(points...), zone()), int64(len(cuts(points[0].Time.UnixMilli(), at.UnixMilli(), zone())))
		if low, high := fen(register, 75_000)-lines, fen(register, 173_450)+lines; got < low || got > high {
			t.Fatalf("%d fen for %d units, between %d and %d are possible", got, register, low, high)
		}
	})
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"", "-evcsd x -engine oracle", "-evcsd x -engine postgres", "-evcsd x -kills -1", "-evcsd x -kills 100000", "-evcsd x -min 0s",
		"-evcsd x -chargers 0", "-nonsense", "-evcsd x -min 2s -max 1s",
	} {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), "", &out, &errOut); code != 2 {
			t.Errorf("%q: exit code %d", args, code)
		}
	}
}
