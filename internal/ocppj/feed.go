package ocppj

import (
	"bufio"
	"io"
	"net"
	"sync"
	"syscall"
)

const (
	// chunkSize is how much is read from a connection at once.
	chunkSize = 4096
	// headBuffer is what the frame reader keeps for a connection's whole life:
	// a frame's head, and no more.
	headBuffer = 16
	// readBuffer is kept in its place where the connection cannot be asked
	// whether there is something to read, as with TLS.
	readBuffer = 1024
)

// chunks are buffers that connections read into; they have one only while
// something lies in it.
type chunks struct{ pool sync.Pool }

func (c *chunks) get() *[chunkSize]byte {
	if chunk, ok := c.pool.Get().(*[chunkSize]byte); ok {
		return chunk
	}
	return new([chunkSize]byte)
}

// feed reads from a connection. While it waits it holds no buffer.
type feed struct {
	conn     net.Conn
	wire     syscall.RawConn
	chunks   *chunks
	fill     func(fd uintptr) bool // take, made once
	chunk    *[chunkSize]byte      // nil: everything in it was read
	from, to int                   // what is not read yet of chunk
	err      error                 // what the last take met
}

// Read implements io.Reader.
func (f *feed) Read(p []byte) (int, error) {
	if f.chunk == nil {
		if len(p) >= chunkSize {
			return f.conn.Read(p) //nolint:wrapcheck // a reader hands errors on as they are
		}
		if err := f.wire.Read(f.fill); err != nil {
			return 0, err //nolint:wrapcheck // a reader hands errors on as they are
		}
		if f.err != nil {
			return 0, f.err
		}
	}
	n := copy(p, f.chunk[f.from:f.to])
	if f.from += n; f.from == f.to {
		f.chunks.pool.Put(f.chunk)
		f.chunk = nil
	}
	return n, nil
}

// take reads what there is into a chunk; it reports false when there is
// nothing yet.
func (f *feed) take(fd uintptr) bool {
	chunk := f.chunks.get()
	n, err := readNow(fd, chunk[:])
	if n > 0 {
		f.chunk, f.from, f.to, f.err = chunk, 0, n, nil
		return true
	}
	f.chunks.pool.Put(chunk)
	if err == errNothing { //nolint:errorlint // it is never wrapped
		return false
	}
	if f.err = err; err == nil {
		f.err = io.EOF
	}
	return true
}

// reader reads what the server had read already, which behind holds, then from
// the network.
func (c *chunks) reader(raw net.Conn, behind *bufio.Reader) *bufio.Reader {
	seen, _ := behind.Peek(behind.Buffered()) // they are there
	taker, ok := raw.(syscall.Conn)
	if !ok || !canReadNow {
		return early(raw, seen)
	}
	wire, err := taker.SyscallConn()
	if err != nil || len(seen) > chunkSize {
		return early(raw, seen)
	}
	f := &feed{conn: raw, wire: wire, chunks: c}
	f.fill = f.take
	if len(seen) > 0 {
		f.chunk = c.get()
		f.to = copy(f.chunk[:], seen)
	}
	return bufio.NewReaderSize(f, headBuffer)
}
