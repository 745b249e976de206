// Package journal is the truth about what simulated chargers did: what a server
// has acknowledged, written down exactly as it was sent.
package journal

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is what an entry of the journal tells.
type Kind string

// The kinds of entry.
const (
	KindStart Kind = "START"
	KindMeter Kind = "METER"
	KindStop  Kind = "STOP"
)

// Entry is one transaction message the server has acknowledged, as it was sent.
type Entry struct {
	Seq       int    `json:"seq"`
	Kind      Kind   `json:"kind"`
	DeviceID  string `json:"deviceId"`
	Connector int    `json:"connector"`
	// Local names the session inside the simulator, "CP-1/1/3" for the third of
	// connector 1. It is unique in the fleet.
	Local string `json:"local"`
	// Transaction is the number the server gave (OCPP), Session the id it gave or
	// was given (cloudcharge).
	Transaction int64  `json:"transaction,omitempty"`
	Session     string `json:"session,omitempty"`
	OrderNo     string `json:"orderNo,omitempty"`
	IDTag       string `json:"idTag,omitempty"`
	// Time is the device time that was sent, Register the register, both exactly.
	Time     time.Time `json:"time"`
	Register Energy    `json:"register"`
	Reason   string    `json:"reason,omitempty"`
	// Bill is what the charger said itself that the session cost, in fen; 0: it
	// told none.
	Bill    int64 `json:"bill,omitempty"`
	Offline bool  `json:"offline,omitempty"`
	// Answered is when the acknowledgement was read, Attempts how often the
	// message was sent until then.
	Answered time.Time `json:"answered"`
	Attempts int       `json:"attempts"`
	// Tampered names the fault that falsified the figures, if one did.
	Tampered string `json:"tampered,omitempty"`
}

// Session is what the journal knows of one charging session.
type Session struct {
	DeviceID    string
	Connector   int
	Local       string
	Transaction int64
	Session     string
	OrderNo     string
	IDTag       string
	Offline     bool
	Tampered    string
	Start, Stop *Entry // nil until acknowledged
	Samples     []Entry
}

// Energy is the energy of an ended session by its registers.
func (s Session) Energy() Energy {
	if s.Start == nil || s.Stop == nil {
		return 0
	}
	return s.Stop.Register - s.Start.Register
}

// Journal is the truth: what the server acknowledged. It may be read while the
// fleet runs.
type Journal struct {
	mu         sync.Mutex
	limit      int
	entries    []Entry        // guarded by mu
	dropped    int            // guarded by mu
	violations []string       // guarded by mu
	refused    map[string]int // guarded by mu
}

// maxViolations bounds the list of violations; more than that is one disaster.
const maxViolations = 1000

// New is an empty journal that keeps up to limit entries.
func New(limit int) *Journal { return &Journal{limit: limit, refused: map[string]int{}} }

// Add writes an entry down and numbers it.
func (j *Journal) Add(e Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.entries) >= j.limit {
		j.dropped++
		return
	}
	e.Seq = len(j.entries) + 1
	j.entries = append(j.entries, e)
}

// Violate writes down a promise the server broke.
func (j *Journal) Violate(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.violations) < maxViolations {
		j.violations = append(j.violations, fmt.Sprintf(format, args...))
	}
}

// Refuse counts a message given up because the server refused it for good.
func (j *Journal) Refuse(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.refused[what]++
}

// Entries is a copy of all entries, in the order of their acknowledgement.
func (j *Journal) Entries() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// Violations are the promises the server broke as far as a charger can see,
// such as a second transaction number for a repeated start.
func (j *Journal) Violations() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.violations)
}

// Refused counts the transaction messages given up because the server refused
// them for good, by action and error.
func (j *Journal) Refused() map[string]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.refused)
}

// Dropped is the number of entries that did not fit under the limit. A journal
// with dropped entries proves nothing.
func (j *Journal) Dropped() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}

// Sessions is the journal by session, in the order of local names.
func (j *Journal) Sessions() []Session {
	found := map[string]*Session{}
	for _, e := range j.Entries() {
		s := found[e.Local]
		if s == nil {
			s = &Session{DeviceID: e.DeviceID, Connector: e.Connector, Local: e.Local}
			found[e.Local] = s
		}
		s.take(e)
	}
	all := make([]Session, 0, len(found))
	for _, s := range found {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b Session) int { return strings.Compare(a.Local, b.Local) })
	return all
}

// Session is one session by its local name, as far as it was acknowledged.
func (j *Journal) Session(local string) Session {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Session{Local: local}
	for _, e := range j.entries {
		if e.Local == local {
			s.DeviceID, s.Connector = e.DeviceID, e.Connector
			s.take(e)
		}
	}
	return s
}

func (s *Session) take(e Entry) {
	if e.Tampered != "" {
		s.Tampered = e.Tampered
	}
	switch e.Kind {
	case KindStart:
		s.Start, s.Transaction, s.Session, s.OrderNo = &e, e.Transaction, e.Session, e.OrderNo
		s.IDTag, s.Offline = e.IDTag, e.Offline
	case KindMeter:
		s.Samples = append(s.Samples, e)
	case KindStop:
		s.Stop = &e
	}
}

// WriteTo writes the entries as JSON lines.
func (j *Journal) WriteTo(w io.Writer) (int64, error) {
	count := &counter{w: w}
	buffered := bufio.NewWriter(count)
	enc := json.NewEncoder(buffered)
	for _, e := range j.Entries() {
		if err := enc.Encode(e); err != nil {
			return count.n, fmt.Errorf("write journal entry %d: %w", e.Seq, err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return count.n, fmt.Errorf("write journal: %w", err)
	}
	return count.n, nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
