package chargersim

import (
	"time"

	"github.com/evcs/evcs/internal/chargersim/journal"
)

// wattMillis is how many W·ms make 0.1 Wh.
const wattMillis = 360_000

// meter is the counter of one connector. It counts W·ms, so that a reading
// never depends on how often it was read.
type meter struct {
	count  int64          // W·ms since the meter was built
	offset journal.Energy // added to readings; a fault moves it
}

func (m *meter) add(watts int64, d time.Duration) { m.count += watts * d.Milliseconds() }

// pure is the energy counted since the meter was built, whatever faults did to
// the readings.
func (m *meter) pure() journal.Energy { return journal.Energy(m.count / wattMillis) }

// register is what the display shows.
func (m *meter) register() journal.Energy { return m.pure() + m.offset }
