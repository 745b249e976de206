package payment

import (
	"strings"
	"unicode"
)

// PlainText is text as every channel takes it and as its statements can be read
// back: no control characters, commas, backticks, quotes or angle brackets; at
// most limit characters.
func PlainText(text string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if unicode.IsControl(r) || strings.ContainsRune(",`\"'<>\\&=", r) || r == unicode.ReplacementChar {
			r = ' '
		}
		if n++; n > limit {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(b.String())
}
