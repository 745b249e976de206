package health

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Served is one answered request.
type Served struct {
	Endpoint string // the path's template
	Method   string
	Status   int
	Took     time.Duration // first byte read to last byte written
	// Untimed requests are counted only: streams, and answers that the caller
	// asked to be delayed.
	Untimed bool
	// Refused is the error code of a failure; 0 for a success.
	Refused evcs.Code
}

// Minute is what happened at one endpoint in one minute, or in several merged.
type Minute struct {
	At               time.Time // its beginning
	Endpoint, Method string
	Requests         int64
	Succeeded        int64 // below 400
	ClientErrors     int64 // 4xx
	ServerErrors     int64 // 5xx
	Durations        Histogram
}

func (m *Minute) count(s Served) {
	m.Requests++
	switch {
	case s.Status < 400:
		m.Succeeded++
	case s.Status < 500:
		m.ClientErrors++
	default:
		m.ServerErrors++
	}
	if !s.Untimed {
		m.Durations.Observe(s.Took)
	}
}

func (m *Minute) merge(o *Minute) {
	m.Requests += o.Requests
	m.Succeeded += o.Succeeded
	m.ClientErrors += o.ClientErrors
	m.ServerErrors += o.ServerErrors
	m.Durations.Merge(&o.Durations)
}

// SuccessShare is the share of requests that were not the server's fault, in
// hundredths of a percent, rounded down.
func (m *Minute) SuccessShare() int64 {
	if m.Requests == 0 {
		return 0
	}
	return (m.Requests - m.ServerErrors) * 10_000 / m.Requests
}

// Recorder counts the requests of this node. Its methods may be called at once.
type Recorder struct {
	clock evcs.Clock
	mu    sync.RWMutex
	cells map[cellKey]*cell // guarded by mu
}

type cellKey struct {
	endpoint, method string
	minute           int64 // milliseconds
}

type cell struct {
	mu sync.Mutex
	m  Minute // guarded by mu
}

// NewRecorder makes an empty one.
func NewRecorder(clock evcs.Clock) *Recorder {
	return &Recorder{clock: clock, cells: make(map[cellKey]*cell)}
}

// Record counts a request in the minute it ended in.
func (r *Recorder) Record(s Served) {
	minute := r.clock.Now().Truncate(time.Minute)
	key := cellKey{s.Endpoint, s.Method, minute.UnixMilli()}
	r.mu.RLock()
	c := r.cells[key]
	if c != nil { // counted under the read lock, so that take never misses it
		c.mu.Lock()
		c.m.count(s)
		c.mu.Unlock()
	}
	r.mu.RUnlock()
	if c != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c = r.cells[key]; c == nil {
		c = &cell{m: Minute{At: minute, Endpoint: s.Endpoint, Method: s.Method}}
		r.cells[key] = c
	}
	c.m.count(s)
}

// take removes the minutes that began before a time, to be written.
func (r *Recorder) take(before time.Time) []Minute {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Minute
	for key, c := range r.cells {
		if key.minute < before.UnixMilli() {
			list = append(list, c.m)
			delete(r.cells, key)
		}
	}
	return list
}

// keptMinutes is how much a node holds back while the store cannot be written.
const keptMinutes = 15 * time.Minute

// giveBack holds minutes that could not be written, unless they are too old.
func (r *Recorder) giveBack(list []Minute) {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := r.clock.Now().Add(-keptMinutes)
	for _, m := range list {
		key := cellKey{m.Endpoint, m.Method, m.At.UnixMilli()}
		switch c := r.cells[key]; {
		case m.At.Before(oldest):
		case c == nil:
			r.cells[key] = &cell{m: m}
		default:
			c.m.merge(&m)
		}
	}
}

// held are the minutes of a window that are not written yet.
func (r *Recorder) held(w Window) []Minute {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list []Minute
	for _, c := range r.cells {
		c.mu.Lock()
		if m := c.m; w.takes(&m) {
			list = append(list, m)
		}
		c.mu.Unlock()
	}
	return list
}

// Window is which minutes are asked for: those that begin in [From, To), of all
// endpoints or of one.
type Window struct {
	From, To         time.Time
	Endpoint, Method string // "" is any
}

func (w Window) takes(m *Minute) bool {
	return !m.At.Before(w.From) && m.At.Before(w.To) && (w.Endpoint == "" || w.Endpoint == m.Endpoint) && (w.Method == "" || w.Method == m.Method)
}

// WholeMinutes is the window widened to whole minutes.
func (w Window) WholeMinutes() Window {
	w.From = w.From.Truncate(time.Minute)
	if whole := w.To.Truncate(time.Minute); whole.Before(w.To) {
		w.To = whole.Add(time.Minute)
	}
	return w
}

// tally merges minutes by endpoint and method.
type tally map[[2]string]*Minute

func (t tally) add(m *Minute) {
	key := [2]string{m.Endpoint, m.Method}
	if t[key] == nil {
		t[key] = &Minute{At: m.At, Endpoint: m.Endpoint, Method: m.Method}
	}
	t[key].merge(m)
}

// list is the tally with most requests first.
func (t tally) list() []Minute {
	list := make([]Minute, 0, len(t))
	for _, m := range t {
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b Minute) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Method, b.Method))
	})
	return list
}
