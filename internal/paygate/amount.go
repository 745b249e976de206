package paygate

import (
	"fmt"
	"strconv"
	"strings"
)

// yuan writes fen as Alipay and the statements do.
func yuan(amount int64) string {
	sign := ""
	if amount < 0 {
		sign, amount = "-", -amount
	}
	return fmt.Sprintf("%s%d.%02d", sign, amount/100, amount%100)
}

// fen reads an amount of Alipay: two decimals, no sign.
func fen(text string) (int64, bool) {
	if !yuanAmount.MatchString(text) {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.Replace(text, ".", "", 1), 10, 64)
	return n, err == nil
}

// feeOn is the channel's fee on an amount, half up.
func feeOn(amount int64) int64 { return (amount*feeRate + 50_000) / 100_000 }

func contains(text, part string) bool { return strings.Contains(text, part) }
