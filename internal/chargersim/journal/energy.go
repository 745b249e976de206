package journal

import "fmt"

// Energy is an amount of energy, or a register of a meter, in 0.1 Wh.
type Energy int64

// KWh is one kilowatt-hour.
const KWh Energy = 10_000

// Wh is the energy in whole watt-hours, rounded down, as OCPP 1.6 registers are.
func (e Energy) Wh() int64 { return int64(e) / 10 }

// Fen is the energy at a price in fen for a kWh, rounded down as many chargers
// do.
func (e Energy) Fen(price int64) int64 { return int64(e) * price / int64(KWh) }

// String writes kWh with four decimals.
func (e Energy) String() string {
	sign, n := "", int64(e)
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%d.%04d", sign, n/int64(KWh), n%int64(KWh))
}
