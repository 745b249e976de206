package chargersim

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/chargersim/journal"
)

func TestCurves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := curves()[rapid.SampledFrom(Kinds()).Draw(t, "kind")]
		soc := rapid.Int64Range(50_000, fullSoC-1).Draw(t, "soc")
		p, next := c.Power(soc), c.Power(soc+1)
		if p <= 0 || p > c.Peak || next > p {
			t.Fatalf("%s gives %d W at %d and %d W after", c.Name, p, soc, next)
		}
	})
	for _, kind := range Kinds() {
		if c := curves()[kind]; c.Power(fullSoC) != 0 {
			t.Errorf("%s charges a full battery", kind)
		}
	}
}

// TestMeterIsExact reads the meter at arbitrary moments: no reading changes
// what the others show, the register never falls, and the sum of the readings
// is what the curve gives.
func TestMeterIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		curve := curves()[rapid.SampledFrom(Kinds()).Draw(t, "kind")]
		car := newCar(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))) //nolint:gosec // play
		begin := time.UnixMilli(1_700_000_000_000)
		at := func() *connector {
			return &connector{car: &car, charge: &charge{}, counted: begin, stepEnd: begin}
		}
		often, once := at(), at()
		now, last := begin, journal.Energy(0)
		for _, ms := range rapid.SliceOfN(rapid.Int64Range(1, 200_000), 1, 60).Draw(t, "pauses") {
			now = now.Add(time.Duration(ms) * time.Millisecond)
			often.count(curve, now)
			if r := often.meter.register(); r < last {
				t.Fatalf("register falls from %s to %s", last, r)
			}
			last = often.meter.register()
		}
		once.count(curve, now)
		if often.meter != once.meter {
			t.Fatalf("read often %d, read once %d", often.meter.count, once.meter.count)
		}
		// The peak for all the time, in 0.1 Wh.
		if most := journal.Energy(curve.Peak * now.Sub(begin).Milliseconds() / wattMillis); last > most {
			t.Fatalf("%s kWh, possible are %s", last, most)
		}
		if often.soc() > fullSoC {
			t.Fatalf("battery at %d", often.soc())
		}
	})
}

func TestEnergyText(t *testing.T) {
	t.Parallel()
	for e, want := range map[journal.Energy]string{0: "0.0000", 1: "0.0001", 42_5000: "42.5000", -3: "-0.0003"} {
		if e.String() != want {
			t.Errorf("Energy(%d) is written %s, want %s", int64(e), e, want)
		}
	}
	if got := journal.Energy(19).Wh(); got != 1 {
		t.Errorf("19 units are %d Wh, want 1", got)
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.UnixMilli(1_700_000_000_000).UTC()
		line := timeline{real: start, sim: start.Add(-time.Hour), speed: time.Duration(rapid.IntRange(1, maxSpeed).Draw(t, "speed"))}
		now := start.Add(time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "after")))
		if back := line.when(line.at(now)); !back.Equal(now) {
			t.Fatalf("%v became %v", now, back)
		}
		if line.at(now).Before(line.sim) {
			t.Fatal("simulated time runs backwards")
		}
	})
}
