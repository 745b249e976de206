package chargersim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/chargersim/journal"
)

// fullSoC is 100 % in thousandths of a percent.
const fullSoC = 100_000

// step is how long a power is held before the curve is asked again. Steps are
// counted from the start of the charge, so that the energy does not depend on
// when somebody looks.
const step = 5 * time.Second

// Curve is what a connector gives at a state of charge.
type Curve struct {
	Name  string
	Peak  int64 // W
	DC    bool
	Phase int64 // number of phases, 0 for DC
}

// taper is the share of the peak, in thousandths, a battery takes from a DC
// charger: all of it up to half full, little at the end.
var taper = []struct{ soc, share int64 }{
	{0, 900}, {5_000, 1000}, {50_000, 1000}, {65_000, 760}, {80_000, 450}, {90_000, 220}, {fullSoC, 60},
}

// Power is the power in W at soc, in thousandths of a percent. A full battery
// takes nothing.
func (c Curve) Power(soc int64) int64 {
	if soc >= fullSoC {
		return 0
	}
	if !c.DC {
		return c.Peak
	}
	for i := 1; i < len(taper); i++ {
		low, high := taper[i-1], taper[i]
		if soc <= high.soc {
			share := low.share + (high.share-low.share)*(max(soc, 0)-low.soc)/(high.soc-low.soc)
			return c.Peak * share / 1000
		}
	}
	return 0
}

// Voltage and current of a power, in V and mA.
func (c Curve) electric(watts int64) (volts, milliamps int64) {
	if c.DC {
		return 400, watts * 1000 / 400
	}
	return 230, watts * 1000 / (230 * max(c.Phase, 1))
}

// curves are the kinds of connector a charger may be configured with.
func curves() map[string]Curve {
	return map[string]Curve{
		"AC7":   {Name: "AC7", Peak: 7_040, Phase: 1},
		"AC11":  {Name: "AC11", Peak: 11_040, Phase: 3},
		"AC22":  {Name: "AC22", Peak: 22_080, Phase: 3},
		"DC60":  {Name: "DC60", Peak: 60_000, DC: true},
		"DC120": {Name: "DC120", Peak: 120_000, DC: true},
		"DC180": {Name: "DC180", Peak: 180_000, DC: true},
	}
}

// Kinds are the names of connector kinds, in order.
func Kinds() []string { return slices.Sorted(maps.Keys(curves())) }

func curveOf(kind string) (Curve, error) {
	c, ok := curves()[kind]
	if !ok {
		return Curve{}, fmt.Errorf("kind %q: not one of %v", kind, Kinds())
	}
	return c, nil
}

// car is a vehicle that has come to charge.
type car struct {
	capacity journal.Energy // battery
	arrival  int64          // SoC on arrival, thousandths of a percent
	limit    int64          // SoC at which its owner wants to leave
}

func newCar(r *rand.Rand) car {
	arrival := 8_000 + r.Int64N(50_000)
	return car{
		capacity: journal.Energy(35+r.Int64N(60)) * journal.KWh,
		arrival:  arrival,
		limit:    min(fullSoC, arrival+20_000+r.Int64N(60_000)),
	}
}

// soc is the state of charge after given energy.
func (c car) soc(given journal.Energy) int64 {
	return min(fullSoC, c.arrival+int64(given)*fullSoC/int64(c.capacity))
}
