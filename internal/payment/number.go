package payment

import (
	"fmt"
	"io"
	"time"
)

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Number makes a trade or refund number: 28 of [0-9A-Z], two letters for the
// kind, then the time and 80 random bits from random. Every channel takes it,
// and no two are ever the same.
func Number(kind string, now time.Time, random io.Reader) (string, error) {
	var noise [10]byte
	if _, err := io.ReadFull(random, noise[:]); err != nil {
		return "", fmt.Errorf("make a number: %w", err)
	}
	var text [28]byte
	copy(text[:2], kind)
	ms := uint64(max(now.UnixMilli(), 0)) //nolint:gosec // not negative
	for i := 11; i >= 2; i-- {
		text[i] = alphabet[ms&31]
		ms >>= 5
	}
	var bits uint64
	have := 0
	next := 0
	for i := 12; i < 28; i++ {
		if have < 5 {
			bits = bits<<8 | uint64(noise[next])
			next++
			have += 8
		}
		have -= 5
		text[i] = alphabet[bits>>have&31]
	}
	return string(text[:]), nil
}

// The kinds of numbers.
const (
	TradeNumber  = "EV"
	RefundNumber = "ER"
)

// ValidNumber reports whether text can be a number of ours.
func ValidNumber(text string) bool {
	if len(text) != 28 {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
