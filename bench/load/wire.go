package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// conn is a WebSocket client of the least cost: hand-made frames with the mask
// key 0, which is legal and leaves the payload as it is, and one small buffer.
// The cheaper the client, the more of the machine is left to the server.
type conn struct {
	net.Conn
	in   []byte // unread bytes are in[from:to]
	f, t int
	out  []byte
}

const (
	bufferSize = 512
	maxFrame   = 64 << 10
)

var errClosed = errors.New("the server closed the connection")

// dial connects to base/id and offers OCPP 1.6. secret may be empty.
func dial(ctx context.Context, base, id, secret string) (*conn, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	c, err := (&net.Dialer{Timeout: 20 * time.Second}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	if err := handshake(c, u, id, secret); err != nil {
		return nil, errors.Join(fmt.Errorf("handshake of %s: %w", id, err), c.Close())
	}
	return &conn{Conn: c, in: make([]byte, bufferSize)}, nil
}

func handshake(c net.Conn, u *url.URL, id, secret string) error {
	var key [16]byte
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	if secret != "" {
		secret = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret)) + "\r\n"
	}
	if _, err := fmt.Fprintf(c, "GET %s/%s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: ocpp1.6\r\n%s\r\n",
		u.Path, url.PathEscape(id), u.Host, base64.StdEncoding.EncodeToString(key[:]), secret); err != nil {
		return err
	}
	// The server speaks only when spoken to, so nothing is lost in this reader.
	res, err := http.ReadResponse(bufio.NewReaderSize(c, 1024), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close() // it has none
	if res.StatusCode != http.StatusSwitchingProtocols {
		return fmt.Errorf("server answered %s", res.Status)
	}
	return nil
}

// send writes one text frame.
func (c *conn) send(payload []byte) error { return c.frame(0x1, payload) }

func (c *conn) frame(op byte, payload []byte) error {
	b := append(c.out[:0], 0x80|op)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, 0x80|126)
		b = binary.BigEndian.AppendUint16(b, uint16(n)) //nolint:gosec // below 65536
	default:
		return fmt.Errorf("frame of %d bytes", n)
	}
	b = append(append(b, 0, 0, 0, 0), payload...)
	c.out = b
	_, err := c.Write(b)
	return err
}

// receive reads one text frame; the bytes are valid until the next call. Pings
// are answered.
func (c *conn) receive() ([]byte, error) {
	for {
		if err := c.need(2); err != nil {
			return nil, err
		}
		op, size, head := c.in[c.f]&0xf, int(c.in[c.f+1]&0x7f), 2
		if size == 126 {
			if err := c.need(4); err != nil {
				return nil, err
			}
			size, head = int(binary.BigEndian.Uint16(c.in[c.f+2:])), 4
		}
		if size > maxFrame || c.in[c.f+1]&0x80 != 0 {
			return nil, errors.New("the server sent a frame that is too long or masked")
		}
		if err := c.need(head + size); err != nil {
			return nil, err
		}
		payload := c.in[c.f+head : c.f+head+size]
		c.f += head + size
		switch op {
		case 0x1:
			return payload, nil
		case 0x8:
			return nil, errClosed
		case 0x9:
			if err := c.frame(0xa, payload); err != nil {
				return nil, err
			}
		}
	}
}

// need makes sure that n unread bytes are in the buffer.
func (c *conn) need(n int) error {
	if c.t-c.f >= n {
		return nil
	}
	if c.f > 0 {
		copy(c.in, c.in[c.f:c.t])
		c.f, c.t = 0, c.t-c.f
	}
	if n > len(c.in) {
		c.in = append(c.in, make([]byte, n-len(c.in))...)
	}
	got, err := io.ReadAtLeast(c.Conn, c.in[c.t:], n-c.t)
	c.t += got
	return err
}
