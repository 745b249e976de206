// Package ocpp16 speaks OCPP 1.6J, Core profile, with charge points: it turns
// their messages into the words of package device and our commands into
// messages. It reads leniently, because stations are as they are, and judges
// what it cannot use with the CALLERROR of the standard; every message, also a
// refused one, reaches the handler as evidence.
package ocpp16

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ocppj"
)

// Config is what the protocol needs.
type Config struct {
	Handler device.Handler
	Clock   evcs.Clock
	Log     *slog.Logger
	// Late hears the answers to commands that came after Send had given up. It
	// may be nil.
	Late func(ctx context.Context, id device.Identity, c device.Command, a device.Answer)
	// Journal keeps what is sent to stations, and their answers. It may be nil.
	Journal device.Journal
	// Settle is how long a silent station is left alone after it connected,
	// before commands are sent to it (5 s). Its first message ends the wait: some
	// stations get confused by a command before the answer to their boot, others
	// never boot again after a reconnect.
	Settle time.Duration
}

// Protocol is OCPP 1.6J as a dialect of the gateway.
type Protocol struct{ config Config }

// New returns the protocol.
func New(c Config) *Protocol {
	if c.Settle <= 0 {
		c.Settle = 5 * time.Second
	}
	if c.Clock == nil {
		c.Clock = evcs.SystemClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Protocol{config: c}
}

// Subprotocol implements ocppj.Dialect.
func (*Protocol) Subprotocol() string { return "ocpp1.6" }

// Protocol implements ocppj.Dialect.
func (*Protocol) Protocol() string { return device.OCPP16 }

// Words implements ocppj.Dialect.
func (*Protocol) Words() ocppj.Words { return ocppj.Words{Format: codeFormat, Frame: codeProtocol} }

// Open implements ocppj.Dialect.
func (p *Protocol) Open(id device.Identity, address string, c *ocppj.Conn) ocppj.Session {
	return &session{
		config: &p.config, id: id, address: address, conn: c, opened: p.config.Clock.Now(),
		settled: make(chan struct{}),
	}
}

// session is one connection.
type session struct {
	config  *Config
	id      device.Identity
	address string
	conn    *ocppj.Conn
	opened  time.Time
	settled chan struct{} // closed after the first answer
	once    sync.Once
	silent  atomic.Bool // a failure to store was logged, and none succeeded since
	about   string      // the charging session of the call at hand; the answering goroutine's
}

// Identity implements device.Session.
func (s *session) Identity() device.Identity { return s.id }

// Info implements device.Session.
func (s *session) Info() device.Info {
	i := s.conn.Info()
	return device.Info{
		Protocol: device.OCPP16, Version: "ocpp1.6", Address: s.address,
		Since: i.Since, Last: i.Last, In: i.In, Out: i.Out, Pending: i.Pending,
	}
}

// Close implements device.Session.
func (s *session) Close(reason string) { s.conn.Close(ocppj.CloseNormal, reason) }

// Answered implements ocppj.Handler: the station has its first answer.
func (s *session) Answered() { s.once.Do(func() { close(s.settled) }) }
