package payment_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

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

// A day without a statement is told by the channel's words for that very day,
// and by nothing else.
func TestNothing(t *testing.T) {
	t.Parallel()
	st, err := payment.Nothing("wechat", "2026-02-09", "NO_STATEMENT_EXIST")
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		text, channel, day string
		want               bool
	}{
		"the day":         {string(st.Body), "wechat", "2026-02-09", true},
		"another day":     {string(st.Body), "wechat", "2026-02-10", false},
		"another channel": {string(st.Body), "alipay", "2026-02-09", false},
		"empty":           {"", "wechat", "2026-02-09", false},
		"cut":             {string(st.Body[:20]), "wechat", "2026-02-09", false},
		"more behind":     {string(st.Body) + "x", "wechat", "2026-02-09", false},
		"null":            {`{"noStatement":null}`, "wechat", "2026-02-09", false},
		"a statement":     {strings.Repeat("`a,`b\n", 1000), "wechat", "2026-02-09", false},
	} {
		for _, r := range []io.Reader{strings.NewReader(x.text), iotest.HalfReader(bytes.NewReader([]byte(x.text)))} {
			rest, none, err := payment.IsNothing(r, x.channel, x.day)
			if err != nil || none != x.want {
				t.Errorf("%s: %v %v", name, none, err)
				continue
			}
			if text, err := io.ReadAll(rest); err != nil || string(text) != x.text {
				t.Errorf("%s: the rest is %q %v", name, text, err)
			}
			if _, seeks := r.(io.Seeker); seeks && rest != r {
				t.Errorf("%s: another reader", name)
			}
		}
	}
	if _, _, err := payment.IsNothing(iotest.ErrReader(io.ErrClosedPipe), "wechat", "2026-02-09"); err == nil {
		t.Error("a text that cannot be read")
	}
}
