package store

import (
	"sync"

	"github.com/evcs/evcs/internal/evcs"
)

// recent is the newest committed events of this process, without a gap: the
// relay need not read back what was just written.
type recent struct {
	mu   sync.Mutex
	list []evcs.Event // guarded by mu
}

// maxRecent bounds them. The relay follows each commit, so few are enough.
const maxRecent = 2048

// keep adds events that were committed, in the order of their places.
func (r *recent) keep(events []evcs.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.list); n > 0 && r.list[n-1].ID+1 != events[0].ID {
		clear(r.list)
		r.list = r.list[:0] // another process wrote in between
	}
	r.list = append(r.list, events...)
	if over := len(r.list) - maxRecent; over > maxRecent/2 {
		n := copy(r.list, r.list[over:])
		clear(r.list[n:])
		r.list = r.list[:n]
	}
}

// after is up to n events behind a place; none when that is too long ago, or
// when there is none.
func (r *recent) after(place evcs.EventID, n int) []evcs.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == 0 || r.list[0].ID > place+1 {
		return nil
	}
	from := int(place + 1 - r.list[0].ID)
	if from >= len(r.list) {
		return nil
	}
	return append([]evcs.Event(nil), r.list[from:min(from+n, len(r.list))]...)
}
