package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestAnExportThatBreaksOffLeavesNoFile(t *testing.T) {
	t.Parallel()
	whole := "\ufeffstationId\n1\n2\n#rows,2\n"
	for _, c := range []struct {
		body string
		cut  bool
		want int
	}{{whole, false, exitOK}, {"\ufeffstationId\n1\n", false, exitFailed}, {"\ufeffstationId\n1", true, exitUnavailable}} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/csv")
			if c.cut {
				w.Header().Set("Content-Length", "500")
			}
			_, _ = io.WriteString(w, c.body)
		}))
		t.Cleanup(server.Close)
		file := filepath.Join(t.TempDir(), "out.csv")
		got := run(t, signedIn(t, server.URL), "", "export", "station", "--out", file)
		text, err := os.ReadFile(file)
		if got.code != c.want || (err == nil) != (c.want == exitOK) || c.want == exitOK && string(text) != c.body {
			t.Errorf("%q: got %+v, file %q, %v", c.body, got, text, err)
		}
	}
}

// TestALogIsFollowedFromItsLastLine has a server that is away once: no line is
// shown twice and none is missed.
func TestALogIsFollowedFromItsLastLine(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		lines := `"{\"logId\":7,\"time\":\"T\",\"level\":\"INFO\",\"msg\":\"one two\",\"charger\":\"a b\"}"`
		switch len(asked) {
		case 1:
		case 2:
			lines = `"{\"logId\":8,\"time\":\"T\",\"level\":\"WARN\",\"msg\":\"three\"}"`
		case 3:
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, `{"code":9429,"message":"slow","data":null}`)
			return
		default:
			lines = ""
			cancel()
		}
		fmt.Fprintf(w, `{"code":200,"message":"","data":[%s],"timestamp":"2026-02-10T10:35:00Z","traceId":""}`, lines)
	}))
	t.Cleanup(server.Close)
	vars := signedIn(t, server.URL)
	var out, errOut strings.Builder
	code := Main(ctx, Program{
		Args: []string{"log", "tail", "-f", "-n", "3", "--interval", "200ms"}, In: strings.NewReader(""), Out: &out, Err: &errOut,
		Now: func() time.Time { return present }, Getenv: func(name string) string { return vars[name] },
	})
	if want := "T\tINFO\tone two\tcharger=\"a b\"\nT\tWARN\tthree\n"; code != exitInterrupted || out.String() != want {
		t.Errorf("code %d, out %q, err %q", code, out.String(), errOut.String())
	}
	if len(asked) < 3 || asked[0] != "lines=3" || asked[1] != "afterId=7&lines=1000" || asked[2] != "afterId=8&lines=1000" {
		t.Errorf("asked %q", asked)
	}
}

func TestFollowingEndsAfterSoManyEvents(t *testing.T) {
	t.Parallel()
	var header string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header.Get("Last-Event-ID")
		for id := 6; id < 9; id++ {
			fmt.Fprintf(w, "id: %d\nevent: order.status\ndata: {\"eventId\":%d,\"type\":\"order.status\",\"time\":\"2026-02-10T10:35:00.000Z\"}\n\n", id, id)
		}
	}))
	t.Cleanup(server.Close)
	got := run(t, signedIn(t, server.URL), "", "event", "follow", "--after", "5", "-L", "2")
	if got.code != 0 || strings.Count(got.out, "\n") != 2 || !strings.HasPrefix(got.out, "6\t") || header != "5" {
		t.Errorf("got %+v, Last-Event-ID %q", got, header)
	}
}

func TestAnObjectOfObjectsIsReadable(t *testing.T) {
	t.Parallel()
	_, server := script(t, map[string]answer{"GET /api/order/318": {data: `{"orderId":318,"orderNo":"O-1","payableAmount":61.38,"lines":[{"periodKind":"PEAK","energy":1.0000,"amount":1.20},{"periodKind":"VALLEY","energy":2.0000,"amount":0.90}]}`}})
	got := run(t, signedIn(t, server), "", "order", "show", "318", "-o", "table")
	for _, want := range []string{"orderNo", "\nlines\n", "PEAK", "VALLEY"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is missing in\n%s", want, got.out)
		}
	}
	if strings.Contains(got.out, `{"`) {
		t.Errorf("JSON for a person:\n%s", got.out)
	}
}

func TestSparkline(t *testing.T) {
	t.Parallel()
	for text, values := range map[string][]string{"▁▄█": {"0", "5.5", "11.0000"}, "▁▁": {"0.00", "0"}, "▁█": {"-3.5", "0"}, "██": {"2", "2.0"}} {
		numbers := make([]int64, len(values))
		for i, v := range values {
			numbers[i] = digits(v)
		}
		if got := sparkline(numbers); got != text {
			t.Errorf("%v: got %s, want %s", values, got, text)
		}
	}
}
