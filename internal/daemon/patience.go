package daemon

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// stride is how much of a body may take the time of server.bodyTimeout, piece
// how much of an answer that of server.answerTimeout: a line of a few kilobytes a
// second carries both.
const (
	stride = 1 << 20
	piece  = 16 << 10
)

// patiently bounds how long a client may take to send a body, also one that
// nobody reads, and to take an answer: patience for each MiB of the body, answering
// for each 16 KiB of the answer. Afterwards reads and writes fail with
// os.ErrDeadlineExceeded and the connection is not used again.
func patiently(h http.Handler, patience, answering time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &timedWriter{ResponseWriter: w, conn: http.NewResponseController(w), patience: answering, stream: r.ProtoMajor > 1}
		out.extend()       // the deadline of the answer before may be over, and a 100 is written by itself
		out.rest()         // a handler may think as long as it likes
		defer out.extend() // for what is written when the handler is done
		w = out
		if r.Body != nil && r.Body != http.NoBody {
			b := &timedBody{ReadCloser: r.Body, w: w, conn: http.NewResponseController(w), patience: patience}
			b.extend()
			r.Body = b
		}
		h.ServeHTTP(w, r)
	})
}

// timedWriter is an answer with a deadline that moves on with what was taken.
type timedWriter struct {
	http.ResponseWriter
	conn     *http.ResponseController
	patience time.Duration
	stream   bool // of HTTP/2, which a deadline ends also when nobody writes
	taken    bool // by another protocol, whose deadlines are its own
}

func (w *timedWriter) extend() {
	if !w.taken {
		_ = w.conn.SetWriteDeadline(evcs.Monotonic().Add(w.patience)) // every connection of ours has one
	}
}

// rest takes the deadline away from a stream until the next write. A connection
// keeps its own: only writes feel it, and each moves it on.
func (w *timedWriter) rest() {
	if w.stream {
		_ = w.conn.SetWriteDeadline(time.Time{}) // as above
	}
}

// Write implements io.Writer.
func (w *timedWriter) Write(p []byte) (n int, err error) {
	for {
		w.extend()
		m, err := w.ResponseWriter.Write(p[n:min(len(p), n+piece)])
		w.rest()
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}

// FlushError sends what was written; http.ResponseController calls it.
func (w *timedWriter) FlushError() error {
	w.extend()
	defer w.rest()
	return w.conn.Flush()
}

// Hijack implements http.Hijacker, for WebSockets.
func (w *timedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, behind, err := w.conn.Hijack()
	if err != nil {
		return nil, nil, err
	}
	w.taken = true
	return conn, behind, conn.SetDeadline(time.Time{})
}

// Unwrap is for http.ResponseController.
func (w *timedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// timedBody is a body with a deadline that moves on with what has arrived.
type timedBody struct {
	io.ReadCloser
	w        http.ResponseWriter
	conn     *http.ResponseController
	patience time.Duration
	arrived  int
}

func (b *timedBody) extend() {
	_ = b.conn.SetReadDeadline(evcs.Monotonic().Add(b.patience)) // every connection of ours has one
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	before := b.arrived / stride
	b.arrived += n
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.w.Header().Set("Connection", "close")
	case errors.Is(err, io.EOF):
		_ = b.conn.SetReadDeadline(time.Time{}) // or the end of it would look like a client who left
	case b.arrived/stride > before:
		b.extend()
	}
	return n, err
}
