package daemon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener of connections in memory, whose clock a test has.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestAnswersAreTakenInTime: who reads slowly gets everything, however long it
// takes; who stops reading is let go, and the next request on a connection that
// was idle longer than the patience is answered.
func TestAnswersAreTakenInTime(t *testing.T) {
	const patience, size = 20 * time.Second, 512 << 10
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		large := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/empty" {
				return
			}
			_, err := w.Write(bytes.Repeat([]byte("x"), size))
			ended <- err
		})
		listener := make(pipes)
		server := &http.Server{Handler: patiently(large, patience, patience), ReadHeaderTimeout: time.Second}
		done := make(chan error, 1)
		go func() { done <- server.Serve(listener) }()
		defer func() {
			close(listener)
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			_ = server.Close() // its connections
		}()
		dial := func() net.Conn {
			client, peer := net.Pipe()
			listener <- peer
			return client
		}
		ask := func(c net.Conn, path string) {
			if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: evcs\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}

		slow, drop := dial(), time.NewTicker(3*time.Second)
		defer drop.Stop()
		began := time.Now()
		ask(slow, "/")
		answer, err := http.ReadResponse(bufio.NewReaderSize(&dripping{slow, drop.C}, 8<<10), nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, answer.Body)
		if took := time.Since(began); n != size || err != nil || took < 10*patience {
			t.Errorf("a slow reader got %d bytes in %v: %v", n, took, err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the answer to a slow reader ended with %v", err)
		}
		<-time.After(3 * patience)
		ask(slow, "/empty")
		if answer, err := http.ReadResponse(bufio.NewReader(slow), nil); err != nil || answer.StatusCode != http.StatusOK {
			t.Errorf("after a pause: %v", err)
		}

		stalled := dial()
		began = time.Now()
		ask(stalled, "/")
		if _, err := stalled.Read(make([]byte, 1)); err != nil { // and no more
			t.Fatal(err)
		}
		if err, took := <-ended, time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took > 2*patience {
			t.Errorf("who stopped reading was let go after %v with %v", took, err)
		}
		if _, err := io.Copy(io.Discard, stalled); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("its connection: %v", err)
		}
	})
}

// TestAnswersMayBeLong: over HTTP/2 too a handler thinks longer than the patience,
// and a client who stops reading is let go.
func TestAnswersMayBeLong(t *testing.T) {
	const patience, size = 20 * time.Second, 16 << 20
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/late" {
				news := time.NewTicker(2 * patience)
				defer news.Stop()
				for range 3 {
					<-news.C
					_, _ = io.WriteString(w, "late")
					_ = http.NewResponseController(w).Flush() // the client tells
				}
				return
			}
			_, err := w.Write(bytes.Repeat([]byte("x"), size))
			ended <- err
		})
		var h2 http.Protocols
		h2.SetUnencryptedHTTP2(true)
		listener := make(pipes)
		server := &http.Server{Handler: patiently(handler, patience, patience), ReadHeaderTimeout: time.Second, Protocols: &h2}
		done := make(chan error, 1)
		go func() { done <- server.Serve(listener) }()
		transport := &http.Transport{Protocols: &h2, DialContext: func(context.Context, string, string) (net.Conn, error) {
			client, peer := net.Pipe()
			listener <- peer
			return client, nil
		}}
		defer func() {
			transport.CloseIdleConnections()
			close(listener)
			if err := <-done; !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			_ = server.Close() // its connections
		}()
		get := func(path string) *http.Response {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://evcs"+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := transport.RoundTrip(r)
			if err != nil || answer.ProtoMajor != 2 {
				t.Fatalf("%s: %v", path, err)
			}
			return answer
		}

		late := get("/late")
		text, err := io.ReadAll(late.Body)
		if string(text) != "latelatelate" || err != nil {
			t.Errorf("a late answer: %q, %v", text, err)
		}
		late.Body.Close()

		began := time.Now()
		stalled := get("/") // and nobody reads its body
		if err, took := <-ended, time.Since(began); err == nil || took > 2*patience {
			t.Errorf("who stopped reading was let go after %v with %v", took, err)
		}
		stalled.Body.Close()
	})
}

// dripping reads 8 KiB at most, at each tick.
type dripping struct {
	from io.Reader
	tick <-chan time.Time
}

func (d *dripping) Read(p []byte) (int, error) {
	<-d.tick
	return d.from.Read(p[:min(len(p), 8<<10)])
}
