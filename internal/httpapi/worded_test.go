package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/evcs/evcs/internal/evcs"
)

func TestWordedEventsAreBounded(t *testing.T) {
	t.Parallel()
	w := &wordedEvents{texts: make(map[evcs.EventID][]byte)}
	for i := range 3 * maxWorded {
		id := evcs.EventID(i + 1)
		for range 2 { // the second from memory
			text, err := w.text(evcs.Event{ID: id, Type: evcs.EventOrderStatus, Tenant: 7})
			if err != nil || !strings.HasPrefix(string(text), fmt.Sprintf("id: %d\nevent: order.status\ndata: {", id)) || !strings.HasSuffix(string(text), "}\n\n") {
				t.Fatalf("%d: %q %v", id, text, err)
			}
		}
	}
	if len(w.texts) != maxWorded {
		t.Errorf("%d are kept", len(w.texts))
	}
}
