package payment_test

import (
	"strings"
	"testing"

	"github.com/evcs/evcs/internal/payment"
)

func TestPlainText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"充电订单 ORD-1": "充电订单 ORD-1", "a,b\tc`d\r\ne": "a b c d  e", "<b>&\"'": "b", "": "", " x ": "x", "a\x00b": "a b", "=1+1": "1+1",
		strings.Repeat("充", 50): strings.Repeat("充", 42), "a\xffb": "a b",
	} {
		if got := payment.PlainText(text, 42); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}
