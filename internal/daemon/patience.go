package daemon

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// stride is how much of a body may take the time of server.bodyTimeout.
const stride = 1 << 20

// patiently bounds how long a client may take to send a body, also one that
// nobody reads: patience for each MiB of it. Afterwards reads of the body fail
// with os.ErrDeadlineExceeded and the connection is not used again.
func patiently(h http.Handler, patience time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			b := &timedBody{ReadCloser: r.Body, w: w, conn: http.NewResponseController(w), patience: patience}
			b.extend()
			r.Body = b
		}
		h.ServeHTTP(w, r)
	})
}

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
