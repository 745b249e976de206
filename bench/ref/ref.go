// Package ref holds the reference servers that evcsd is measured against in the
// same run: the least a server of the same kind can do. A ratio to them never
// depends on a downloaded peer, and says more than a figure of one machine.
package ref

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/lxzan/gws"
)

// Echo answers every WebSocket message on l with itself, stores nothing, checks
// nothing, until ctx ends.
func Echo(ctx context.Context, l net.Listener) error {
	up := gws.NewUpgrader(echo{}, &gws.ServerOption{ReadBufferSize: 1024})
	stop := context.AfterFunc(ctx, func() { _ = l.Close() }) // ends the loop below
	defer stop()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("echo: %w", err)
		}
		go func() {
			if err := serve(up, c); err != nil {
				_ = c.Close() // no WebSocket
			}
		}()
	}
}

func serve(up *gws.Upgrader, c net.Conn) error {
	br := bufio.NewReaderSize(c, 1024)
	r, err := http.ReadRequest(br)
	if err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	socket, err := up.UpgradeFromConn(c, br, r)
	if err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	socket.ReadLoop()
	return nil
}

type echo struct{ gws.BuiltinEventHandler }

// OnMessage implements gws.Event.
func (echo) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()                         // gives a buffer back
	_ = c.WriteMessage(m.Opcode, m.Bytes()) // a broken connection ends by itself
}

// Hello answers every HTTP request on l with ten bytes, until ctx ends.
func Hello(ctx context.Context, l net.Listener) error {
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte("hello you\n")) // a broken connection ends by itself
	})}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // ends the loop below
	defer stop()
	if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("hello: %w", err)
	}
	return nil
}
