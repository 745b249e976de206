package device_test

import (
	"context"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
)

// link is a session that is only there.
type link struct{ id device.Identity }

func (l *link) Identity() device.Identity { return l.id }
func (*link) Info() device.Info           { return device.Info{} }
func (*link) Close(string)                {}
func (*link) Send(context.Context, device.Command) (device.Answer, error) {
	return device.Answer{}, device.ErrGone
}

func newLink(charger evcs.ChargerID) *link { return &link{device.Identity{Charger: charger}} }

func TestNewestConnectionReplacesTheOld(t *testing.T) {
	t.Parallel()
	h := device.NewHub()
	first, second, other := newLink(1), newLink(1), newLink(2)
	again := h.Put(first) != nil
	again = h.Put(first) != nil || again
	if again || h.Put(other) != nil {
		t.Error("something was replaced")
	}
	if old := h.Put(second); old != device.Session(first) {
		t.Errorf("replaced %v", old)
	}
	if h.Drop(first) || h.Get(1) != device.Session(second) {
		t.Error("the end of the old connection took the new one along")
	}
	if len(h.All()) != 2 {
		t.Errorf("%d are there", len(h.All()))
	}
	if !h.Drop(second) || h.Drop(second) || h.Get(1) != nil || len(h.All()) != 1 {
		t.Error("the session was not dropped once")
	}
}

// Of many connections of one charger at once, exactly one stays, and every
// other is handed to somebody who closes it.
func TestManyConnectionsAtOnce(t *testing.T) {
	t.Parallel()
	h := device.NewHub()
	const n = 64
	replaced := make(chan device.Session, n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if old := h.Put(newLink(1)); old != nil {
				replaced <- old
			}
		})
	}
	wg.Wait()
	close(replaced)
	seen := map[device.Session]bool{h.Get(1): true}
	for old := range replaced {
		if seen[old] {
			t.Error("replaced twice")
		}
		seen[old] = true
	}
	if len(seen) != n {
		t.Errorf("%d of %d are accounted for", len(seen), n)
	}
}

func TestFailuresSlowDownWhoGuesses(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 2, 10, 10, 0, 0, 0, time.UTC)
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	f := device.NewFailures()
	for range 29 {
		f.Add(a, "CP-1", now)
	}
	if w := f.Wait(a, "CP-1", now); w != 0 {
		t.Errorf("waits %v after 29 failures", w)
	}
	f.Add(a, "CP-1", now)
	if w := f.Wait(a, "CP-1", now.Add(10*time.Second)); w != 50*time.Second {
		t.Errorf("waits %v, want 50s", w)
	}
	if f.Wait(a, "CP-2", now) != 0 || f.Wait(b, "CP-1", now) != 0 {
		t.Error("a neighbour waits too")
	}
	for i := range 600 {
		f.Add(a, strconv.Itoa(i), now)
	}
	if f.Wait(a, "CP-9", now) == 0 || f.Wait(b, "CP-9", now) != 0 {
		t.Error("the address that guesses over many ids does not wait alone")
	}
	if f.Wait(a, "CP-1", now.Add(time.Minute)) != 0 {
		t.Error("the failures are not forgotten after a minute")
	}
	f.Add(a, "CP-1", now.Add(time.Minute))
	if f.Wait(a, "CP-1", now) != 0 { // the clock was set back
		t.Error("a clock set back locks out")
	}
}

// The table is bounded: ids made up by strangers cannot fill the memory, and
// an address that is known is counted all the same.
func TestFailuresAreBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 2, 10, 10, 0, 0, 0, time.UTC)
	f := device.NewFailures()
	a := netip.MustParseAddr("192.0.2.1")
	for i := range 30_000 {
		f.Add(a, "X"+strconv.Itoa(i), now)
	}
	if f.Wait(a, "anything", now) == 0 {
		t.Error("the address may go on")
	}
}
