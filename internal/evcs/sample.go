package evcs

import "time"

// Quantity is a set of measured quantities.
type Quantity uint8

// The quantities a sample may carry.
const (
	HasRegister Quantity = 1 << iota
	HasEnergy
	HasPower
	HasVoltage
	HasCurrent
	HasSoC
	HasTemperature
)

// Sample is one reading of a connector at one moment. Have says which fields
// were measured; the others are meaningless, never "zero".
type Sample struct {
	At          time.Time
	Have        Quantity
	Register    Energy // lifetime register of the meter
	Energy      Energy // since the start of the session
	Power       Power
	Voltage     Milli
	Current     Milli
	SoC         Milli
	Temperature Milli
}

// Has reports whether every quantity of q was measured.
func (s Sample) Has(q Quantity) bool { return s.Have&q == q }
