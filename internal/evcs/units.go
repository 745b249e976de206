package evcs

import (
	"strings"
	"time"
)

// Money is an amount in fen, the hundredth of a yuan (CNY).
type Money int64

// ParseMoney reads yuan with at most two decimals ("61.38").
func ParseMoney(text string) (Money, error) {
	n, err := parseDecimal(text, 2)
	return Money(n), err
}

// RoundMoney reads CNY with any number of decimals, half a fen away from zero:
// what a device got from a division. Money that is owed is never read so.
func RoundMoney(text string) (Money, error) {
	whole, fraction, _ := strings.Cut(text, ".")
	if len(fraction) <= 2 || strings.Trim(fraction, "0123456789") != "" {
		return ParseMoney(text)
	}
	m, err := ParseMoney(whole + "." + fraction[:2])
	switch {
	case err != nil || fraction[2] < '5':
	case strings.HasPrefix(whole, "-"):
		m--
	default:
		m++
	}
	return m, err
}

// String writes yuan with exactly two decimals.
func (m Money) String() string { return formatDecimal(int64(m), 2, 2) }

// UnitPrice is a price in 1e-5 CNY, per kWh unless a name says otherwise.
type UnitPrice int64

// MaxUnitPrice is the highest price the contract takes: 100 CNY.
const MaxUnitPrice UnitPrice = 100_00000

// ParseUnitPrice reads CNY with at most five decimals ("1.20005").
func ParseUnitPrice(text string) (UnitPrice, error) {
	n, err := parseDecimal(text, 5)
	return UnitPrice(n), err
}

// String writes CNY with four decimals, five when the fifth is not zero.
func (p UnitPrice) String() string { return formatDecimal(int64(p), 5, 4) }

// Energy is an amount of energy, or a register of a meter, in 0.1 Wh (1e-4 kWh).
type Energy int64

// KWh is one kilowatt-hour.
const KWh Energy = 10_000

// ParseEnergy reads kWh with at most four decimals ("42.5000").
func ParseEnergy(text string) (Energy, error) {
	n, err := parseDecimal(text, 4)
	return Energy(n), err
}

// String writes kWh with exactly four decimals.
func (e Energy) String() string { return formatDecimal(int64(e), 4, 4) }

// Cost is the price of energy at p per kWh, rounded half up to the fen
// (contract §8.4: fen = (e·p + 5 000 000) div 10 000 000). e and p are not
// negative.
func Cost(e Energy, p UnitPrice) Money {
	const unit = 10_000_000
	// e·p overflows only above 9.2e18, that is 92 GWh at the highest price; the
	// whole and the rest are multiplied apart so that it cannot.
	whole, rest := int64(e)/unit, int64(e)%unit
	return Money(whole*int64(p) + (rest*int64(p)+unit/2)/unit)
}

// Power is an electric power in watts.
type Power int64

// ParsePower reads kW with at most three decimals ("120").
func ParsePower(text string) (Power, error) {
	n, err := parseDecimal(text, 3)
	return Power(n), err
}

// String writes kW without trailing zeros.
func (p Power) String() string { return formatDecimal(int64(p), 3, 0) }

// Milli is a measured figure in thousandths of its unit: V, A, °C or %.
type Milli int64

// ParseMilli reads a figure with at most three decimals.
func ParseMilli(text string) (Milli, error) {
	n, err := parseDecimal(text, 3)
	return Milli(n), err
}

// String writes the figure without trailing zeros.
func (m Milli) String() string { return formatDecimal(int64(m), 3, 0) }

// EnergyOver is the energy of p held for d, rounded up to 0.1 Wh.
func EnergyOver(p Power, d time.Duration) Energy {
	if p <= 0 || d <= 0 {
		return 0
	}
	// W·ms / 360 000 = 0.1 Wh
	const perUnit = 360_000
	return Energy((int64(p)*d.Milliseconds() + perUnit - 1) / perUnit)
}
