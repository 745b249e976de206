package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

const (
	// enough failures in a row, the last one not longer ago than recent, are
	// trouble. One failure is nobody's business: the caller asks again.
	enough = 3
	recent = 10 * time.Minute
)

// record is what became of the last exchanges.
type record struct {
	mu       sync.Mutex
	failures int
	why      string
	at       time.Time // of the monotonic clock
}

// note takes down an exchange. What the caller gave up, and what was never sent,
// says nothing of the other side.
func (k *record) note(ctx context.Context, status int, err error) {
	if errors.Is(err, ErrHost) || err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil:
		k.why = Reason(err)
	case status >= http.StatusInternalServerError:
		k.why = fmt.Sprintf("HTTP %d", status)
	default:
		k.failures = 0
		return
	}
	k.failures++
	k.at = evcs.Monotonic()
}

// Trouble says why the hosts do not answer, "" when they do or when nobody asked
// lately. It asks nobody itself.
func (g *Guard) Trouble() string {
	g.record.mu.Lock()
	defer g.record.mu.Unlock()
	if g.record.failures < enough || evcs.Monotonic().Sub(g.record.at) > recent {
		return ""
	}
	return g.record.why
}
