package httpapi

import (
	"encoding/json"
	"fmt"
	"sync"

	"github.com/evcs/evcs/internal/evcs"
)

// maxWorded bounds the events whose words are kept: what is happening now.
const maxWorded = 256

// wordedEvents are events as a stream sends them. All streams send the same
// bytes, so the newest are worded once for all of them.
type wordedEvents struct {
	mu    sync.Mutex
	texts map[evcs.EventID][]byte // guarded by mu
	order [maxWorded]evcs.EventID // guarded by mu: a ring
	next  int                     // guarded by mu: the oldest of it
}

// text is an event in the words of a stream; it is not to be changed.
func (w *wordedEvents) text(e evcs.Event) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text, ok := w.texts[e.ID]; ok {
		return text, nil
	}
	data, err := json.Marshal(eventJSON(e))
	if err != nil {
		return nil, fmt.Errorf("write event: %w", err)
	}
	text := fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Type, data)
	delete(w.texts, w.order[w.next])
	w.texts[e.ID], w.order[w.next] = text, e.ID
	w.next = (w.next + 1) % maxWorded
	return text, nil
}
