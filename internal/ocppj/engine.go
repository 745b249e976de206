package ocppj

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Options are the limits of every connection of one Engine. Zero values take
// the defaults named here.
type Options struct {
	Clock evcs.Clock
	Log   *slog.Logger
	// Queue is how many calls of one station may wait behind the one being
	// answered; then nothing more is read from it (16).
	Queue int
	// Rate is the messages per second of one charger, Burst how many may come at
	// once (100, 200). A faster one is read more slowly; one that does not stop
	// for the time Flood is closed with 1008 (60 s).
	Rate, Burst int
	Flood       time.Duration
	// Waiting is how many commands may wait for the wire of one charger (64).
	Waiting int
	// Ping is the silence after which a ping is sent (60 s), Silence the one
	// after which the connection is dead (5 min). A connection that has never
	// answered a ping is given three times as long: some stations never do.
	Ping, Silence time.Duration
}

func (o Options) withDefaults() Options {
	fill(&o.Queue, 16)
	fill(&o.Rate, 100)
	fill(&o.Burst, 2*o.Rate)
	fill(&o.Flood, time.Minute)
	fill(&o.Waiting, 64)
	fill(&o.Ping, time.Minute)
	fill(&o.Silence, 5*time.Minute)
	if o.Clock == nil {
		o.Clock = evcs.SystemClock{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func fill[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Counters count what all connections of an Engine did, for metrics.
type Counters struct {
	In, Out   atomic.Int64 // messages
	Refused   atomic.Int64 // calls answered with CALLERROR
	Silent    atomic.Int64 // calls left unanswered
	Broken    atomic.Int64 // messages that were none
	Stray     atomic.Int64 // answers to nothing that was asked
	Late      atomic.Int64 // answers after the deadline
	Throttled atomic.Int64 // messages that had to wait for the rate limit
	Flooded   atomic.Int64 // connections closed for not stopping
	Dead      atomic.Int64 // connections closed for silence
	Slow      atomic.Int64 // connections closed because the station did not read
}

// Engine makes connections that share limits, counters and buffers.
type Engine struct {
	options  Options
	counters Counters
	buffers  sync.Pool // of *[]byte: answers on their way out
}

// NewEngine returns an Engine with these limits.
func NewEngine(o Options) *Engine {
	return &Engine{
		options: o.withDefaults(),
		buffers: sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }},
	}
}

// Counters are the live counters.
func (e *Engine) Counters() *Counters { return &e.counters }

// maxPooled keeps a rare huge answer from staying in memory.
const maxPooled = 16 << 10

func (e *Engine) giveBack(buffer *[]byte) {
	if cap(*buffer) <= maxPooled {
		e.buffers.Put(buffer)
	}
}
