//go:build unix

package ocppj

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// line is a connection over TCP: the end that is read and the one that writes.
func line(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func TestFeedGivesWhatWasSentInAnyPieces(t *testing.T) {
	t.Parallel()
	whole := []byte(strings.Repeat("0123456789abcdef", 3000)) // more than ten chunks
	for _, c := range []struct {
		name        string
		sent, asked int
		behind      int // bytes that the server has read before
	}{
		{"byte by byte", 1, 7, 0},
		{"small pieces", 100, 5, 0},
		{"asked for much", 5000, 20_000, 0},
		{"all at once", len(whole), 14, 0},
		{"some behind the handshake", 1000, 50, 300},
		{"a full buffer behind it", 9000, 4096, 4096},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := whole
			if c.sent == 1 {
				text = whole[:2000]
			}
			near, far := line(t)
			behind := bufio.NewReader(io.MultiReader(bytes.NewReader(text[:c.behind]), near))
			if _, err := behind.Peek(c.behind); err != nil {
				t.Fatal(err)
			}
			go func() {
				for rest := text[c.behind:]; len(rest) > 0; rest = rest[min(c.sent, len(rest)):] {
					far.Write(rest[:min(c.sent, len(rest))])
				}
				far.Close()
			}()
			var shared chunks
			from := shared.reader(near, behind)
			var got []byte
			piece := make([]byte, c.asked)
			for {
				n, err := from.Read(piece)
				got = append(got, piece[:n]...)
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, text) {
				t.Errorf("%d bytes came, %d were sent, or others", len(got), len(text))
			}
		})
	}
}

func TestFeedHoldsNoBufferWhenAllIsRead(t *testing.T) {
	t.Parallel()
	near, far := line(t)
	wire, err := near.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	f := &feed{conn: near, wire: wire, chunks: new(chunks)}
	f.fill = f.take
	if _, err := far.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	half := make([]byte, 3)
	if _, err := io.ReadFull(f, half); err != nil || f.chunk == nil {
		t.Fatalf("after a part: %v, %v", err, f.chunk == nil)
	}
	if _, err := io.ReadFull(f, half[:2]); err != nil || f.chunk != nil {
		t.Errorf("after all: %v, a buffer is held %v", err, f.chunk != nil)
	}
	near.Close()
	if _, err := f.Read(half); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed by this side: %v", err)
	}
}
