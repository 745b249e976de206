package evcs

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// ErrDecimal is what every parser of a decimal text returns: not a plain
// decimal number, more decimals than the unit has, or out of range.
var ErrDecimal = errors.New("not a decimal number of this unit")

// parseDecimal reads a plain decimal text ("61.38") as an integer count of
// 10^-scale units. Exponents, signs other than one leading minus, and more
// than scale decimals are refused; trailing zeros beyond scale are not excused.
func parseDecimal(text string, scale int) (int64, error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, dotted := strings.Cut(digits, ".")
	if whole == "" || len(whole) > 1 && whole[0] == '0' || dotted && fraction == "" || len(fraction) > scale {
		return 0, ErrDecimal
	}
	var n int64
	for _, part := range [...]string{whole, fraction, zeros[:scale-len(fraction)]} {
		for i := range len(part) {
			d := part[i] - '0'
			if d > 9 || n > (math.MaxInt64-int64(d))/10 {
				return 0, ErrDecimal
			}
			n = n*10 + int64(d)
		}
	}
	if negative {
		n = -n
	}
	return n, nil
}

const zeros = "000000000"

// formatDecimal writes n units of 10^-scale with least decimals or more.
func formatDecimal(n int64, scale, least int) string {
	var digits, room [40]byte
	out := room[:0]
	u := uint64(n)
	if n < 0 {
		out, u = append(out, '-'), -u
	}
	text := strconv.AppendUint(digits[:0], u, 10)
	if missing := scale + 1 - len(text); missing > 0 {
		n := copy(digits[missing:], text)
		copy(digits[:missing], zeros)
		text = digits[:missing+n]
	}
	out = append(out, text[:len(text)-scale]...)
	fraction := text[len(text)-scale:]
	for len(fraction) > least && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	if len(fraction) > 0 {
		out = append(append(out, '.'), fraction...)
	}
	return string(out)
}
