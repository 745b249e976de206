package ocpp16

import (
	"math"
	"time"
)

// parseScaled reads a decimal text, with sign, fraction and exponent where a
// station writes them, as an integer count of 10^-scale units. Digits below
// the unit are rounded half away from zero. There is no floating point.
func parseScaled(text []byte, scale int) (n int64, ok bool) {
	text = trim(text)
	negative := false
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		negative = text[0] == '-'
		text = text[1:]
	}
	mantissa, exponent, ok := splitExponent(text)
	if !ok {
		return 0, false
	}
	// point is how many digits from the left the unit's last digit stands.
	digits, point := 0, -1
	for i, c := range mantissa {
		switch {
		case c == '.' && point < 0:
			point = i
		case c >= '0' && c <= '9':
			digits++
		default:
			return 0, false
		}
	}
	if digits == 0 {
		return 0, false
	}
	if point < 0 {
		point = digits
	}
	n, ok = takeDigits(mantissa, digits, point+exponent+scale)
	if negative {
		n = -n
	}
	return n, ok
}

// takeDigits reads the first count digits of mantissa as a number, adds zeros
// when there are fewer and rounds by the next when there are more.
func takeDigits(mantissa []byte, digits, count int) (n int64, ok bool) {
	taken := 0
	for _, c := range mantissa {
		if c == '.' {
			continue
		}
		if taken >= count {
			if taken == count && c >= '5' {
				n++
			}
			break
		}
		if n > (math.MaxInt64-9)/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
		taken++
	}
	if n == 0 {
		return 0, true
	}
	for range count - digits {
		if n > math.MaxInt64/10 {
			return 0, false
		}
		n *= 10
	}
	return n, true
}

// maxExponent bounds what an exponent may say; energies need no more.
const maxExponent = 30

func splitExponent(text []byte) (mantissa []byte, exponent int, ok bool) {
	for i, c := range text {
		if c|0x20 != 'e' {
			continue
		}
		rest := text[i+1:]
		negative := false
		if len(rest) > 0 && (rest[0] == '-' || rest[0] == '+') {
			negative = rest[0] == '-'
			rest = rest[1:]
		}
		exponent, ok = parseDigits(rest)
		if !ok || exponent > maxExponent {
			return nil, 0, false
		}
		if negative {
			exponent = -exponent
		}
		return text[:i], exponent, true
	}
	return text, 0, true
}

func parseDigits(text []byte) (n int, ok bool) {
	if len(text) == 0 || len(text) > 9 {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func trim(text []byte) []byte {
	for len(text) > 0 && text[0] <= ' ' {
		text = text[1:]
	}
	for len(text) > 0 && text[len(text)-1] <= ' ' {
		text = text[:len(text)-1]
	}
	return text
}

// parseTime reads the times that stations write: a date, 'T' or a space, hours
// and minutes, and perhaps seconds, a fraction and a zone (Z, +03, +0300,
// +03:00). Without a zone it is local time of zone. Milliseconds are kept.
func parseTime(text []byte, zone *time.Location) (time.Time, bool) {
	text = trim(text)
	if len(text) < len("2006-01-02T15:04") || text[4] != '-' || text[7] != '-' ||
		text[10]|0x20 != 't' && text[10] != ' ' || text[13] != ':' {
		return time.Time{}, false
	}
	var field [5]int
	for i, part := range [...][]byte{text[0:4], text[5:7], text[8:10], text[11:13], text[14:16]} {
		n, ok := parseDigits(part)
		if !ok {
			return time.Time{}, false
		}
		field[i] = n
	}
	second, ms, rest, ok := parseSeconds(text[16:])
	if !ok || field[1] < 1 || field[1] > 12 || field[2] < 1 || field[2] > 31 || field[3] > 24 || field[4] > 59 || second > 60 {
		return time.Time{}, false
	}
	offset, local, ok := parseZone(trim(rest))
	if !ok {
		return time.Time{}, false
	}
	if !local || zone == nil {
		zone = time.UTC
	}
	at := time.Date(field[0], time.Month(field[1]), field[2], field[3], field[4], second, ms*int(time.Millisecond), zone)
	return at.Add(-offset).UTC(), true
}

func parseSeconds(text []byte) (second, ms int, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != ':' {
		return 0, 0, text, true
	}
	if len(text) < 3 {
		return 0, 0, nil, false
	}
	second, ok = parseDigits(text[1:3])
	text = text[3:]
	if !ok || len(text) == 0 || text[0] != '.' && text[0] != ',' {
		return second, 0, text, ok
	}
	n := 1
	for unit := 100; n < len(text) && text[n] >= '0' && text[n] <= '9'; n++ {
		ms += int(text[n]-'0') * unit
		unit /= 10
	}
	return second, ms, text[n:], true
}

// parseZone reads what stands behind the seconds; local says that it is nothing.
func parseZone(text []byte) (offset time.Duration, local, ok bool) {
	if len(text) == 0 {
		return 0, true, true
	}
	if len(text) == 1 && text[0]|0x20 == 'z' {
		return 0, false, true
	}
	sign := time.Duration(1)
	switch text[0] {
	case '+':
	case '-':
		sign = -1
	default:
		return 0, false, false
	}
	text = text[1:]
	minutes := 0
	switch len(text) {
	case 2:
	case 4:
		minutes, ok = parseDigits(text[2:])
	case 5:
		if text[2] == ':' {
			minutes, ok = parseDigits(text[3:])
		}
	default:
		return 0, false, false
	}
	hours, good := parseDigits(text[:2])
	if !good || len(text) > 2 && !ok || hours > 23 || minutes > 59 {
		return 0, false, false
	}
	return sign * (time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute), false, true
}
