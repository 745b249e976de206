// Package ref holds the reference servers that evcsd is measured against in the
// same run: the least a server of the same kind can do. A ratio to them never
// depends on a downloaded peer, and says more than a figure of one machine.
package ref

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
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

// Stream is the least event stream: what is posted to /emit is written at once
// to everybody who has asked for /, until ctx ends.
func Stream(ctx context.Context, l net.Listener) error {
	s := &stream{readers: make(map[chan []byte]struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /emit", s.emit)
	mux.HandleFunc("GET /", s.follow)
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: mux}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // ends the loop below
	defer stop()
	if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("stream: %w", err)
	}
	return nil
}

type stream struct {
	mu      sync.Mutex
	readers map[chan []byte]struct{} // guarded by mu
}

// emit answers when every reader has been given the bytes.
func (s *stream) emit(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.readers {
		select {
		case c <- text:
		default: // it reads too slowly: the client will miss the event
		}
	}
}

func (s *stream) follow(w http.ResponseWriter, r *http.Request) {
	c := make(chan []byte, 1000)
	s.mu.Lock()
	s.readers[c] = struct{}{}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.readers, c)
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	_, err := io.WriteString(w, "retry: 3000\n\n")
	for err = errors.Join(err, out.Flush()); err == nil; err = errors.Join(err, out.Flush()) {
		select {
		case text := <-c:
			_, err = w.Write(text)
		case <-r.Context().Done():
			return
		}
	}
}
