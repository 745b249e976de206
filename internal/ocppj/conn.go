package ocppj

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/evcs/evcs/internal/evcs"
)

// The WebSocket close codes that this side uses.
const (
	CloseNormal    = 1000
	CloseGoingAway = 1001
	ClosePolicy    = 1008
	CloseInternal  = 1011
)

// Message is one received message. Its bytes are valid until Close.
type Message interface {
	Bytes() []byte
	Close() error
}

// Transport carries whole text messages. Read is called by one goroutine,
// Write and Ping by several but one at a time; both end in bounded time when
// the other side does not read. Close says goodbye with a code, in bounded
// time, and makes Read return.
type Transport interface {
	Read() (Message, error)
	Write(text []byte) error
	Ping() error
	Close(code int, reason string)
}

// Call is one call of the station. Its slices are valid until the answer.
type Call struct {
	Action   []byte
	Payload  []byte // not checked: may not even be JSON
	Raw      []byte // the whole message
	ID       []byte // as it stands in the message
	Received time.Time
}

// MessageID is the id for logs and evidence; never a key.
func (c Call) MessageID() string { return messageID(c.ID) }

// Handler answers the calls of one station, one after another in the order of
// the wire.
type Handler interface {
	// Answer appends the result, a JSON object, to out. A *CallError becomes a
	// CALLERROR, ErrSilent and every other error no answer.
	Answer(ctx context.Context, call Call, out []byte) ([]byte, error)
	// Answered says that the answer to the call before is on the wire.
	Answered()
}

// Conn is one connection with a station.
type Conn struct {
	engine    *Engine
	transport Transport
	station   Station
	limiter   *rate.Limiter
	since     time.Time
	in, out   atomic.Int64
	last      atomic.Int64 // ms of the last message or pong
	ponged    atomic.Bool
	flooding  time.Time // since when without pause; the reader's
	broken    int       // messages that were none; the reader's
	done      chan struct{}

	writing sync.Mutex // one writer at a time

	mu      sync.Mutex
	work    sync.WaitGroup
	ended   bool   // guarded by mu: no new goroutine may start
	closed  bool   // guarded by mu
	reason  string // guarded by mu: why it was closed by this side
	queue   []item // guarded by mu: calls waiting for their answer
	working bool   // guarded by mu: a goroutine answers
	room    sync.Cond
	turn    chan struct{} // guarded by mu; nil: nobody called yet. Who holds it may call
	pending *outgoing     // guarded by mu
	late    []*outgoing   // guarded by mu: asked in vain so far
	serial  uint64        // guarded by mu
	prefix  string
	waiting atomic.Int32
	beat    *time.Timer // guarded by mu
}

// item is a call waiting for its answer.
type item struct {
	message  Message
	frame    frame
	received time.Time
}

// Words are the spellings in which the versions of OCPP differ.
type Words struct {
	Format string // FormationViolation, FormatViolation: not JSON
	Frame  string // ProtocolError, RpcFrameworkError: no message
}

// Station is what a connection has to know of the other side.
type Station struct {
	Name  string // for logs
	Words Words
	// Heartbeat is the interval it was told: silence is never judged before
	// three of them.
	Heartbeat time.Duration
	// Heard is called for every valid message, ping and pong. It may be nil.
	Heard func(at time.Time)
}

// NewConn returns a connection with s over t.
func (e *Engine) NewConn(t Transport, s Station) *Conn {
	now := e.options.Clock.Now()
	c := &Conn{
		engine: e, transport: t, station: s, since: now,
		limiter: rate.NewLimiter(rate.Limit(e.options.Rate), e.options.Burst),
		done:    make(chan struct{}),
		prefix:  newPrefix(),
	}
	c.room.L = &c.mu
	c.last.Store(evcs.Millis(now))
	return c
}

// Run reads until the connection or ctx ends, and returns when every goroutine
// of the connection has. Calls already read are still answered to h.
func (c *Conn) Run(ctx context.Context, h Handler) error {
	stop := context.AfterFunc(ctx, func() { c.Close(CloseGoingAway, "shutting down") })
	defer stop()
	return c.run(ctx, h)
}

// run is Run for a caller that closes the connection itself.
func (c *Conn) run(ctx context.Context, h Handler) error {
	c.startBeat()
	err := c.read(ctx, h)
	c.Close(CloseNormal, "")
	c.mu.Lock()
	c.ended = true
	if c.beat != nil {
		c.beat.Stop()
	}
	c.mu.Unlock()
	c.work.Wait()
	return err
}

// Close ends the connection: it returns at once and may be called often; the
// first reason counts.
func (c *Conn) Close(code int, reason string) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	c.reason = reason
	close(c.done)
	c.room.Broadcast()
	c.mu.Unlock()
	if !c.spawn(func() { c.transport.Close(code, reason) }) {
		c.transport.Close(code, reason)
	}
}

// Reason is why this side closed the connection; empty when it was the other.
func (c *Conn) Reason() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

// Info is what monitoring shows of the connection.
func (c *Conn) Info() Info {
	return Info{
		Since: c.since, Last: evcs.FromMillis(c.last.Load()),
		In: c.in.Load(), Out: c.out.Load(), Pending: int(c.waiting.Load()),
	}
}

// Info describes a connection.
type Info struct {
	Since, Last time.Time
	In, Out     int64
	Pending     int // commands without answer
}

// spawn runs f in a goroutine that Run waits for, unless Run is over.
func (c *Conn) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.work.Go(f)
	return true
}

func (c *Conn) read(ctx context.Context, h Handler) error {
	for {
		m, err := c.transport.Read()
		if err != nil {
			return fmt.Errorf("reading from station: %w", err)
		}
		now := c.engine.options.Clock.Now()
		if !c.admit(now) {
			_ = m.Close() // only gives a buffer back
			return errEnded
		}
		c.in.Add(1)
		c.engine.counters.In.Add(1)
		if !c.take(ctx, h, m, now) {
			_ = m.Close()
		}
	}
}

// take routes one message; it reports whether the message is kept for later.
func (c *Conn) take(ctx context.Context, h Handler, m Message, now time.Time) bool {
	f, bad := parseFrame(m.Bytes())
	if bad != faultNone {
		c.refuse(f, bad, m.Bytes())
		return false
	}
	c.hear(now)
	if f.kind != typeCall {
		c.settle(f, m.Bytes())
		return false
	}
	return c.enqueue(ctx, h, item{message: m, frame: f, received: now})
}

// refuse answers a broken message where it can be answered, and counts it.
func (c *Conn) refuse(f frame, bad fault, raw []byte) {
	c.engine.counters.Broken.Add(1)
	c.broken++
	if c.broken == 1 || c.broken%1000 == 0 {
		c.engine.options.Log.Warn("the station sent a broken message",
			slog.String("device", c.station.Name), slog.Int("broken", c.broken),
			slog.String("start", string(raw[:min(len(raw), 80)])))
	}
	if bad == faultNoID || bad == faultType || f.kind != typeCall {
		return
	}
	e := &CallError{Code: c.station.Words.Frame, Description: "the message lacks parts or has others"}
	if bad == faultFormat {
		e = &CallError{Code: c.station.Words.Format, Description: "the message is not JSON"}
	}
	c.engine.counters.Refused.Add(1)
	c.write(AppendError(nil, f.id, e))
}

// enqueue hands a call to the answering goroutine and starts one if none is
// there. It waits while the queue is full.
func (c *Conn) enqueue(ctx context.Context, h Handler, i item) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.queue) >= c.engine.options.Queue && !c.closed {
		c.room.Wait()
	}
	if c.closed {
		return false
	}
	c.queue = append(c.queue, i)
	if !c.working {
		c.working = true
		c.work.Go(func() { c.answerAll(ctx, h) })
	}
	return true
}

// next takes the first waiting call, or ends the answering goroutine.
func (c *Conn) next() (item, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.working = false
		return item{}, false
	}
	i := c.queue[0]
	n := copy(c.queue, c.queue[1:])
	c.queue[n] = item{}
	c.queue = c.queue[:n]
	c.room.Signal()
	return i, true
}

func (c *Conn) answerAll(ctx context.Context, h Handler) {
	buffer, _ := c.engine.buffers.Get().(*[]byte)
	defer c.engine.giveBack(buffer)
	for {
		i, ok := c.next()
		if !ok {
			return
		}
		*buffer = c.answer(ctx, h, i, (*buffer)[:0])
		_ = i.message.Close() // only gives a buffer back
	}
}

// answer asks the handler and writes what it says. It returns the buffer.
func (c *Conn) answer(ctx context.Context, h Handler, i item, out []byte) []byte {
	out = append(out, `[3,`...)
	out = append(out, i.frame.id...)
	out = append(out, ',')
	call := Call{
		Action: i.frame.name, Payload: i.frame.payload, Raw: i.message.Bytes(),
		ID: i.frame.id, Received: i.received,
	}
	result, err := c.ask(ctx, h, call, out)
	var refusal *CallError
	switch {
	case err == nil:
		out = append(result, ']')
	case errors.As(err, &refusal):
		c.engine.counters.Refused.Add(1)
		out = AppendError(out[:0], i.frame.id, refusal)
	default:
		c.engine.counters.Silent.Add(1)
		return out
	}
	c.write(out)
	h.Answered()
	return out
}

// ask calls the handler; a defect in it costs this connection, not the daemon.
func (c *Conn) ask(ctx context.Context, h Handler, call Call, out []byte) (result []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.engine.options.Log.Error("answering a station failed", slog.String("device", c.station.Name),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			c.Close(CloseInternal, "internal error")
			err = ErrSilent
		}
	}()
	return h.Answer(ctx, call, out)
}

// write sends one message. A station that does not read in time is closed.
func (c *Conn) write(text []byte) {
	c.writing.Lock()
	err := c.transport.Write(text)
	c.writing.Unlock()
	if err != nil {
		c.fail(err)
		return
	}
	c.out.Add(1)
	c.engine.counters.Out.Add(1)
}

func (c *Conn) fail(err error) {
	select {
	case <-c.done:
		return // it is over already
	default:
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.engine.counters.Slow.Add(1)
	}
	c.engine.options.Log.Info("writing to a station failed",
		slog.String("device", c.station.Name), slog.Any("error", err))
	c.Close(CloseGoingAway, "the station does not read")
}
