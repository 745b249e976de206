package api

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ErrDecimal says that a text is not a plain decimal number of its unit: it has
// too many decimals, an exponent, quotes, or is out of range.
var ErrDecimal = errors.New("not a plain decimal number with the decimals allowed")

// The exact decimal types of the contract (§1.5). Each counts the smallest
// unit as an integer, is written from it, and is read from the decimal text;
// no floating type is ever between.
type (
	// Money is CNY in fen; written as yuan with exactly two decimals.
	Money int64
	// Price is CNY per kWh, minute or hour in 1e-5; written with four decimals,
	// five when the fifth is not zero.
	Price int64
	// KWh is energy in 1e-4 kWh; written with exactly four decimals.
	KWh int64
	// Measure is kW, V, A, °C, % or km in thousandths; written without trailing
	// zeros.
	Measure int64
	// Percent is a share in hundredths of a percent; written with exactly two
	// decimals.
	Percent int64
	// Degree is a geographic degree in 1e-7; written without trailing zeros.
	Degree int64
)

// decimal is how a unit is written: how many decimals it has and how many are
// always shown.
type decimal struct{ scale, least int }

// JSONType says that Money is a JSON number.
func (Money) JSONType() (kind, format string) { return "number", "" }

// String writes yuan with two decimals.
func (m Money) String() string { return decimal{2, 2}.format(int64(m)) }

// MarshalJSON writes yuan with two decimals.
func (m Money) MarshalJSON() ([]byte, error) { return m.appendJSON(nil), nil }

func (m Money) appendJSON(b []byte) []byte { return decimal{2, 2}.append(b, int64(m)) }

// UnmarshalJSON reads yuan with at most two decimals.
func (m *Money) UnmarshalJSON(text []byte) error { return decimal{2, 2}.read((*int64)(m), text) }

// UnmarshalText reads yuan with at most two decimals.
func (m *Money) UnmarshalText(text []byte) error { return m.UnmarshalJSON(text) }

// JSONType says that Price is a JSON number.
func (Price) JSONType() (kind, format string) { return "number", "" }

// String writes CNY with four or five decimals.
func (p Price) String() string { return decimal{5, 4}.format(int64(p)) }

// MarshalJSON writes CNY with four or five decimals.
func (p Price) MarshalJSON() ([]byte, error) { return p.appendJSON(nil), nil }

func (p Price) appendJSON(b []byte) []byte { return decimal{5, 4}.append(b, int64(p)) }

// UnmarshalJSON reads CNY with at most five decimals.
func (p *Price) UnmarshalJSON(text []byte) error { return decimal{5, 4}.read((*int64)(p), text) }

// UnmarshalText reads CNY with at most five decimals.
func (p *Price) UnmarshalText(text []byte) error { return p.UnmarshalJSON(text) }

// JSONType says that KWh is a JSON number.
func (KWh) JSONType() (kind, format string) { return "number", "" }

// String writes kWh with four decimals.
func (e KWh) String() string { return decimal{4, 4}.format(int64(e)) }

// MarshalJSON writes kWh with four decimals.
func (e KWh) MarshalJSON() ([]byte, error) { return e.appendJSON(nil), nil }

func (e KWh) appendJSON(b []byte) []byte { return decimal{4, 4}.append(b, int64(e)) }

// UnmarshalJSON reads kWh with at most four decimals.
func (e *KWh) UnmarshalJSON(text []byte) error { return decimal{4, 4}.read((*int64)(e), text) }

// UnmarshalText reads kWh with at most four decimals.
func (e *KWh) UnmarshalText(text []byte) error { return e.UnmarshalJSON(text) }

// JSONType says that Measure is a JSON number.
func (Measure) JSONType() (kind, format string) { return "number", "" }

// String writes the figure without trailing zeros.
func (m Measure) String() string { return decimal{3, 0}.format(int64(m)) }

// MarshalJSON writes the figure without trailing zeros.
func (m Measure) MarshalJSON() ([]byte, error) { return m.appendJSON(nil), nil }

func (m Measure) appendJSON(b []byte) []byte { return decimal{3, 0}.append(b, int64(m)) }

// UnmarshalJSON reads a figure with at most three decimals.
func (m *Measure) UnmarshalJSON(text []byte) error { return decimal{3, 0}.read((*int64)(m), text) }

// UnmarshalText reads a figure with at most three decimals.
func (m *Measure) UnmarshalText(text []byte) error { return m.UnmarshalJSON(text) }

// JSONType says that Percent is a JSON number.
func (Percent) JSONType() (kind, format string) { return "number", "" }

// String writes the share with two decimals.
func (p Percent) String() string { return decimal{2, 2}.format(int64(p)) }

// MarshalJSON writes the share with two decimals.
func (p Percent) MarshalJSON() ([]byte, error) { return p.appendJSON(nil), nil }

func (p Percent) appendJSON(b []byte) []byte { return decimal{2, 2}.append(b, int64(p)) }

// UnmarshalJSON reads a share with at most two decimals.
func (p *Percent) UnmarshalJSON(text []byte) error { return decimal{2, 2}.read((*int64)(p), text) }

// UnmarshalText reads a share with at most two decimals.
func (p *Percent) UnmarshalText(text []byte) error { return p.UnmarshalJSON(text) }

// JSONType says that Degree is a JSON number.
func (Degree) JSONType() (kind, format string) { return "number", "" }

// String writes the degree without trailing zeros.
func (d Degree) String() string { return decimal{7, 0}.format(int64(d)) }

// MarshalJSON writes the degree without trailing zeros.
func (d Degree) MarshalJSON() ([]byte, error) { return d.appendJSON(nil), nil }

func (d Degree) appendJSON(b []byte) []byte { return decimal{7, 0}.append(b, int64(d)) }

// UnmarshalJSON reads a degree with at most seven decimals.
func (d *Degree) UnmarshalJSON(text []byte) error { return decimal{7, 0}.read((*int64)(d), text) }

// UnmarshalText reads a degree with at most seven decimals.
func (d *Degree) UnmarshalText(text []byte) error { return d.UnmarshalJSON(text) }

// read parses text into place. A null leaves it alone, as encoding/json asks
// of every Unmarshaler; a pointer field never gets here with null.
func (d decimal) read(place *int64, text []byte) error {
	if string(text) == "null" {
		return nil
	}
	n, err := d.parse(string(text))
	if err != nil {
		return fmt.Errorf("%.32q: %w", text, err)
	}
	*place = n
	return nil
}

func (d decimal) parse(text string) (int64, error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, dotted := strings.Cut(digits, ".")
	if whole == "" || len(whole) > 1 && whole[0] == '0' || dotted && fraction == "" || len(fraction) > d.scale {
		return 0, ErrDecimal
	}
	var n int64
	for _, part := range [...]string{whole, fraction, "0000000"[:d.scale-len(fraction)]} {
		for i := range len(part) {
			digit := part[i] - '0'
			if digit > 9 || n > (math.MaxInt64-int64(digit))/10 {
				return 0, ErrDecimal
			}
			n = n*10 + int64(digit)
		}
	}
	if negative {
		n = -n
	}
	return n, nil
}

func (d decimal) format(n int64) string { return string(d.append(nil, n)) }

func (d decimal) append(b []byte, n int64) []byte {
	units := uint64(n)
	if n < 0 {
		b, units = append(b, '-'), -units
	}
	const zeros = "0000000" // as many as the largest scale
	var room [len(zeros) + 20]byte
	text := strconv.AppendUint(append(room[:0], zeros...), units, 10)
	text = text[min(len(zeros), len(text)-d.scale-1):]
	end, least := len(text), len(text)-d.scale+d.least
	for end > least && text[end-1] == '0' {
		end--
	}
	point := len(text) - d.scale
	b = append(b, text[:point]...)
	if end == point {
		return b
	}
	return append(append(b, '.'), text[point:end]...)
}
