package ocppj

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/lxzan/gws"

	"github.com/evcs/evcs/internal/evcs"
)

// socket is the Transport over a WebSocket.
type socket struct {
	noStorage
	ws      *gws.Conn
	conn    *Conn
	clock   evcs.Clock
	timeout time.Duration

	mu    sync.Mutex
	until time.Time // guarded by mu: the write deadline that is set
}

// extend keeps the write deadline between one and two timeouts ahead, which
// spares most messages the call.
func (s *socket) extend() {
	now := s.clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until.Sub(now) < s.timeout {
		s.until = now.Add(2 * s.timeout)
		_ = s.ws.NetConn().SetWriteDeadline(s.until) // a dead socket shows at the write
	}
}

// Read implements Transport.
func (s *socket) Read() (Message, error) {
	m, err := s.ws.ReadMessage()
	if err != nil {
		return nil, err //nolint:wrapcheck // the engine says what was being done
	}
	return m, nil
}

// Write implements Transport.
func (s *socket) Write(text []byte) error {
	s.extend()
	if err := s.ws.WriteMessage(gws.OpcodeText, text); err != nil {
		return fmt.Errorf("writing a message: %w", err)
	}
	return nil
}

// Ping implements Transport.
func (s *socket) Ping() error {
	s.extend()
	if err := s.ws.WritePing(nil); err != nil {
		return fmt.Errorf("writing a ping: %w", err)
	}
	return nil
}

// goodbye is how long a close frame may take, and a write that is stuck.
const goodbye = time.Second

// Close implements Transport.
func (s *socket) Close(code int, reason string) {
	s.mu.Lock()
	s.until = s.clock.Now().Add(goodbye)
	_ = s.ws.NetConn().SetWriteDeadline(s.until) // frees a writer that is stuck
	s.mu.Unlock()
	_ = s.ws.WriteClose(uint16(code), []byte(reason)) // it may be closed already
	_ = s.ws.NetConn().Close()
}

// events hears the control frames of all sockets.
type events struct{ gws.BuiltinEventHandler }

// OnPing answers a ping.
func (events) OnPing(ws *gws.Conn, payload []byte) {
	s := ofSocket(ws)
	if s == nil || s.conn.Control() != nil {
		return
	}
	s.extend()
	_ = ws.WritePong(payload) // a failed write ends the reading too
}

// OnPong notes a sign of life.
func (events) OnPong(ws *gws.Conn, _ []byte) {
	if s := ofSocket(ws); s != nil {
		_ = s.conn.Pong() // a closed connection ends the reading by itself
	}
}

func ofSocket(ws *gws.Conn) *socket {
	s, _ := ws.Session().(*socket)
	return s
}

// noStorage lets a socket stand where gws keeps what belongs to a connection,
// in place of a map of its own for each.
type noStorage struct{}

func (noStorage) Len() int                     { return 0 }
func (noStorage) Load(string) (any, bool)      { return nil, false }
func (noStorage) Delete(string)                {}
func (noStorage) Store(string, any)            {}
func (noStorage) Range(func(string, any) bool) {}

var errNoHijack = errors.New("the server cannot hand the connection over")

// upgrade answers the handshake and takes the connection from the server.
// Bytes that the station sent behind its request are not lost.
func (g *Gateway) upgrade(w http.ResponseWriter, r *http.Request, d Dialect) (*socket, error) {
	taker, ok := w.(http.Hijacker)
	if !ok {
		return nil, errNoHijack
	}
	raw, behind, err := taker.Hijack()
	if err != nil {
		return nil, fmt.Errorf("taking the connection: %w", err)
	}
	if err := raw.SetDeadline(time.Time{}); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("taking the connection: %w", err)
	}
	r.Header.Set("Sec-WebSocket-Protocol", d.Subprotocol())
	ws, err := g.upgraders[d.Subprotocol()].UpgradeFromConn(raw, g.chunks.reader(raw, behind.Reader), r)
	if err != nil {
		return nil, fmt.Errorf("upgrading: %w", err)
	}
	s := ofSocket(ws)
	s.ws, s.clock, s.timeout = ws, g.engine.options.Clock, g.writeTimeout
	return s, nil
}

// early is a reader of what was seen already, then of the network.
func early(raw net.Conn, seen []byte) *bufio.Reader {
	if len(seen) == 0 {
		return bufio.NewReaderSize(raw, readBuffer)
	}
	return bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(seen)), raw), readBuffer)
}

func newUpgrader(subprotocol string, limit int, handshake time.Duration) *gws.Upgrader {
	return gws.NewUpgrader(events{}, &gws.ServerOption{
		ReadBufferSize: readBuffer, ReadMaxPayloadSize: limit, HandshakeTimeout: handshake,
		SubProtocols: []string{subprotocol}, Logger: quiet{},
		NewSession: func() gws.SessionStorage { return &socket{} },
	})
}

// quiet drops what gws would print: its errors come back from its methods.
type quiet struct{}

func (quiet) Error(...any) {}
