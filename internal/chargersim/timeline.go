package chargersim

import "time"

// timeline relates the real time to the simulated one, which runs speed times
// as fast. Cars and meters live in simulated time, sockets in real time.
type timeline struct {
	real, sim time.Time // the same moment
	speed     time.Duration
	mode      TimeMode
}

func newTimeline(c Config) timeline {
	now := c.Clock.Now()
	t := timeline{real: now, sim: now, speed: time.Duration(c.Speed), mode: c.Time}
	if c.Time == ShiftedClock {
		t.sim = now.Add(-c.Lead)
	}
	return t
}

// at is the simulated time of a real one.
func (t timeline) at(now time.Time) time.Time { return t.sim.Add(now.Sub(t.real) * t.speed) }

// when is the real time of a simulated one.
func (t timeline) when(sim time.Time) time.Time { return t.real.Add(sim.Sub(t.sim) / t.speed) }

// told is what the charger's clock shows at a simulated time.
func (t timeline) told(sim time.Time) time.Time {
	if t.mode == ScaledPower {
		return t.when(sim)
	}
	return sim
}

// power is what the charger says of a power of the curve.
func (t timeline) power(watts int64) int64 {
	if t.mode == ScaledPower {
		return watts * int64(t.speed)
	}
	return watts
}
