package contracttest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
)

// slowly sends the beginning of a request, then a byte of drip every tenth of a
// second until the connection ends. It returns the answer, how long it took to
// come and to the end of the connection.
func slowly(t *testing.T, base, head, drip string) (status int, body string, answered, ended time.Duration) {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begun := evcs.Monotonic()
	if err := conn.SetDeadline(begun.Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, head); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		pace := time.NewTicker(100 * time.Millisecond)
		defer pace.Stop()
		for i := 0; drip != ""; i++ {
			select {
			case <-stop:
				return
			case <-pace.C:
				if _, err := conn.Write([]byte{drip[i%len(drip)]}); err != nil {
					return
				}
			}
		}
	}()
	defer func() {
		close(stop)
		<-stopped
	}()
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatalf("no answer after %v: %v", evcs.Monotonic().Sub(begun), err)
	}
	answered = evcs.Monotonic().Sub(begun)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, reader); err != nil && evcs.Monotonic().Sub(begun) > 25*time.Second {
		t.Fatalf("the connection stays open: %v", err)
	}
	return answer.StatusCode, string(text), answered, evcs.Monotonic().Sub(begun)
}

// TestSlowBodies: a client who sends his body slowly, or not at all, is told so
// in time on either listener, whoever he is, and his connection is closed.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	const patience = 500 * time.Millisecond
	w := newWorld(t, evcstest.WithConfig(func(c *config.Config) { c.Server.BodyTimeout = patience }))
	token := w.admin.Token()
	post := func(target, token, media, framing, begin string) string {
		head := "POST " + target + " HTTP/1.1\r\nHost: evcs\r\nAccept-Language: en\r\nContent-Type: " + media + "\r\n" + framing + "\r\n"
		if token != "" {
			head += "Authorization: Bearer " + token + "\r\n"
		}
		return head + "\r\n" + begin
	}
	const announced, chunked = "Content-Length: 100000", "Transfer-Encoding: chunked"
	for name, c := range map[string]struct {
		base, head, drip string
		status           int
		text             string
	}{
		"nothing comes":              {w.d.URL, post("/api/id-tag", token, "application/json", announced, ""), "", 400, "did not arrive in time"},
		"a byte now and then":        {w.d.URL, post("/api/id-tag", token, "application/json", announced, `{"idTag":"`), "a", 400, "did not arrive in time"},
		"a chunk that does not end":  {w.d.URL, post("/api/id-tag", token, "application/json", chunked, "ffff\r\n{"), " ", 400, "did not arrive in time"},
		"small chunks":               {w.d.URL, post("/api/id-tag", token, "application/json", chunked, "1\r\n{\r\n"), "1\r\n \r\n", 400, "did not arrive in time"},
		"a sign-in":                  {w.d.URL, post("/api/auth/login", "", "application/json", announced, `{"identifier":"`), "a", 400, "did not arrive in time"},
		"nobody":                     {w.d.URL, post("/api/id-tag", "", "application/json", announced, "{"), "a", 401, `"code":6006`},
		"a path that is none":        {w.d.URL, post("/api/nothing", "", "application/json", announced, "{"), "a", 404, `"code":9404`},
		"a callback":                 {w.d.URL, post("/api/payment/callback/sandbox/none", "", "application/json", "Content-Length: 5000", "{"), "a", 400, "did not arrive in time"},
		"a statement":                {w.d.URL, post("/api/reconciliation/statement", token, "multipart/form-data; boundary=x", announced, "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n"), "a", 400, "did not arrive in time"},
		"a device":                   {w.d.DeviceURL, post("/api/cloudcharge/heartbeat", "", "application/json", announced, `{"requestId":"`), "a", 400, "did not arrive in time"},
		"a device's path that is no": {w.d.DeviceURL, post("/api/nothing", "", "application/json", announced, "{"), "a", 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body, answered, ended := slowly(t, c.base, c.head, c.drip)
			if status != c.status || !strings.Contains(body, c.text) {
				t.Errorf("%d %s, want %d %s", status, body, c.status, c.text)
			}
			if answered > 10*time.Second || ended > 15*time.Second {
				t.Errorf("answered after %v, ended after %v", answered, ended)
			}
		})
	}
}

// TestASteadyBodyMayTakeLonger: each MiB has the time anew, so that a large
// statement arrives over a slow line.
func TestASteadyBodyMayTakeLonger(t *testing.T) {
	t.Parallel()
	const patience = time.Second
	w := newWorld(t, evcstest.WithConfig(func(c *config.Config) { c.Server.BodyTimeout = patience }))
	const parts, size = 12, 512 << 10 // 6 MiB, half a MiB every quarter of a second
	boundary := "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n"
	tail := "\r\n--x--\r\n"
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(w.d.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	begun := evcs.Monotonic()
	if err := conn.SetDeadline(begun.Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /api/reconciliation/statement HTTP/1.1\r\nHost: evcs\r\nConnection: close\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n%s",
		w.admin.Token(), len(boundary)+parts*size+len(tail), boundary)
	pace := time.NewTicker(250 * time.Millisecond)
	defer pace.Stop()
	for range parts {
		<-pace.C
		if _, err := conn.Write(bytes.Repeat([]byte("1"), size)); err != nil {
			t.Fatalf("cut off after %v: %v", evcs.Monotonic().Sub(begun), err)
		}
	}
	if _, err := io.WriteString(conn, tail); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if took := evcs.Monotonic().Sub(begun); took < 2*patience {
		t.Fatalf("it took only %v", took)
	}
	if answer.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "statementDate") || strings.Contains(string(text), "in time") {
		t.Errorf("%d %s, want what is wrong with its fields", answer.StatusCode, text)
	}
}

// TestAnEndlessBodyIsRefusedEarly: a body without announced length is refused
// when it is over its bound, long before its end, also by operations of other
// bounds and by the device port.
func TestAnEndlessBodyIsRefusedEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		base, target, token string
		bound, status       int
	}{
		"json":     {w.d.URL, "/api/id-tag", w.admin.Token(), 1 << 20, 413},
		"sign-in":  {w.d.URL, "/api/auth/login", "", 1 << 20, 413},
		"nobody":   {w.d.URL, "/api/id-tag", "", 1 << 20, 401},
		"callback": {w.d.URL, "/api/payment/callback/sandbox/none", "", 64 << 10, 400}, // the channel's own words
		"device":   {w.d.DeviceURL, "/api/cloudcharge/heartbeat", "", 256 << 10, 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var dialer net.Dialer
			conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(c.base, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.(*net.TCPConn).SetWriteBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetDeadline(evcs.Monotonic().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			head := "POST " + c.target + " HTTP/1.1\r\nHost: evcs\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
			if c.token != "" {
				head += "Authorization: Bearer " + c.token + "\r\n"
			}
			sent := make(chan int, 1)
			go func() {
				total, chunk := 0, "10000\r\n"+strings.Repeat(" ", 64<<10)+"\r\n"
				_, err := io.WriteString(conn, head+"\r\n")
				for err == nil { // until the server hangs up
					_, err = io.WriteString(conn, chunk)
					total += 64 << 10
				}
				sent <- total
			}()
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != c.status {
				t.Errorf("%d, want %d", answer.StatusCode, c.status)
			}
			const buffers = 8 << 20 // of the kernel, both sides, and what is thrown away before the end
			if total := <-sent; total > c.bound+buffers {
				t.Errorf("%d bytes were taken before the end", total)
			}
		})
	}
}
