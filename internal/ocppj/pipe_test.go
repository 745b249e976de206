package ocppj_test

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/evcs/evcs/internal/ocppj"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// text is a message in memory.
type text []byte

func (t text) Bytes() []byte { return t }
func (text) Close() error    { return nil }

// pipe is a Transport whose other end the test holds.
type pipe struct {
	in     chan text
	out    chan string
	pings  chan struct{}
	gone   chan struct{}
	once   sync.Once
	code   int
	reason string
	limit  time.Duration // of a write
}

func newPipe() *pipe {
	return &pipe{
		in: make(chan text), out: make(chan string), pings: make(chan struct{}, 100),
		gone: make(chan struct{}), limit: 10 * time.Second,
	}
}

func (p *pipe) Read() (ocppj.Message, error) {
	select {
	case m := <-p.in:
		return m, nil
	case <-p.gone:
		return nil, io.EOF
	}
}

func (p *pipe) Write(b []byte) error {
	limit := time.NewTimer(p.limit)
	defer limit.Stop()
	select {
	case p.out <- string(b):
		return nil
	case <-p.gone:
		return io.ErrClosedPipe
	case <-limit.C:
		return os.ErrDeadlineExceeded
	}
}

func (p *pipe) Ping() error {
	select {
	case p.pings <- struct{}{}:
	default:
	}
	return nil
}

func (p *pipe) Close(code int, reason string) {
	p.once.Do(func() {
		p.code, p.reason = code, reason
		close(p.gone)
	})
}

// send is what the station writes.
func (p *pipe) send(t *testing.T, message string) {
	t.Helper()
	select {
	case p.in <- text(message):
	case <-p.gone:
		t.Errorf("connection closed before %s", message)
	}
}

// expect is what the station reads.
func (p *pipe) expect(t *testing.T, want string) {
	t.Helper()
	if got := p.next(t); got != want {
		t.Errorf("station read %s, want %s", got, want)
	}
}

func (p *pipe) next(t *testing.T) string {
	t.Helper()
	select {
	case got := <-p.out:
		return got
	case <-p.gone:
		t.Errorf("connection closed")
		return ""
	case <-time.After(time.Hour):
		t.Errorf("nothing came")
		return ""
	}
}

// answers is a Handler made of a function.
type answers func(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error)

func (a answers) Answer(ctx context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	return a(ctx, call, out)
}
func (answers) Answered() {}

// echo answers with the payload.
func echo(_ context.Context, call ocppj.Call, out []byte) ([]byte, error) {
	return append(out, call.Payload...), nil
}

// run starts a connection and returns what ends it.
func run(t *testing.T, o ocppj.Options, s ocppj.Station, h answers) (*pipe, *ocppj.Conn, *ocppj.Engine, func() error) {
	t.Helper()
	p, e := newPipe(), ocppj.NewEngine(o)
	s.Words = ocppj.Words{Format: "FormationViolation", Frame: "ProtocolError"}
	c := e.NewConn(p, s)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(context.Background(), h) }()
	return p, c, e, func() error {
		c.Close(ocppj.CloseNormal, "test over")
		return <-ended
	}
}

var errAny = errors.New("any")
