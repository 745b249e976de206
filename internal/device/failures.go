package device

import (
	"net/netip"
	"sync"
	"time"
)

// Failures counts refused attempts to connect, so that secrets cannot be
// guessed and strangers cost little. It holds a bounded number of counts and
// forgets them every minute. One device behind a shared address does not lock
// out its neighbours: each pair of address and device has its own count, the
// address a larger one.
type Failures struct {
	mu     sync.Mutex
	since  time.Time          // guarded by mu: start of the present minute
	counts map[attempt]uint16 // guarded by mu
}

type attempt struct {
	address netip.Addr
	device  string
}

const (
	failureWindow    = time.Minute
	failuresOfDevice = 30
	failuresOfPeer   = 600
	failureEntries   = 20_000
)

// NewFailures returns an empty count.
func NewFailures() *Failures { return &Failures{counts: make(map[attempt]uint16)} }

// Add counts one refused attempt.
func (f *Failures) Add(address netip.Addr, deviceID string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn(now)
	f.count(attempt{address, deviceID})
	f.count(attempt{address: address})
}

// count is called with mu held. When the table is full, new pairs are not
// counted; the address they come from, if it is known, still is.
func (f *Failures) count(a attempt) {
	n, known := f.counts[a]
	if (known || len(f.counts) < failureEntries) && n < failuresOfPeer {
		f.counts[a] = n + 1
	}
}

// Wait is how long the device at this address has to wait; 0 when it may try.
func (f *Failures) Wait(address netip.Addr, deviceID string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn(now)
	if f.counts[attempt{address, deviceID}] < failuresOfDevice &&
		f.counts[attempt{address: address}] < failuresOfPeer {
		return 0
	}
	return f.since.Add(failureWindow).Sub(now)
}

// turn is called with mu held.
func (f *Failures) turn(now time.Time) {
	if age := now.Sub(f.since); age >= failureWindow || age < 0 {
		f.since = now
		clear(f.counts)
	}
}
