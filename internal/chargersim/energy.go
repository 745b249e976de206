package chargersim

import (
	"fmt"
	"time"
)

// Energy is an amount of energy, or a register of a meter, in 0.1 Wh.
type Energy int64

// KWh is one kilowatt-hour.
const KWh Energy = 10_000

// Wh is the energy in whole watt-hours, rounded down, as OCPP 1.6 registers are.
func (e Energy) Wh() int64 { return int64(e) / 10 }

// String writes kWh with four decimals.
func (e Energy) String() string {
	sign, n := "", int64(e)
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%04d", sign, n/int64(KWh), n%int64(KWh))
}

// wattMillis is how many W·ms make 0.1 Wh.
const wattMillis = 360_000

// meter is the counter of one connector. It counts W·ms, so that a reading
// never depends on how often it was read.
type meter struct {
	count  int64  // W·ms since the meter was built
	offset Energy // added to readings; a fault moves it
}

func (m *meter) add(watts int64, d time.Duration) { m.count += watts * d.Milliseconds() }

// pure is the energy counted since the meter was built, whatever faults did to
// the readings.
func (m *meter) pure() Energy { return Energy(m.count / wattMillis) }

// register is what the display shows.
func (m *meter) register() Energy { return m.pure() + m.offset }
