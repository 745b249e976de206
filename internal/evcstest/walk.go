package evcstest

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/evcs/evcs/internal/store/storetest"
)

// asked are the statements that a daemon asked SQLite. When it has stopped, their
// plans are looked at: nothing it does may walk a table that grows with every
// charging.
type asked struct {
	mu    sync.Mutex
	texts map[string]bool // guarded by mu
}

// borne marks the walks that are no fault: the newest rows of everybody and the
// oldest that retention takes away end soon; what debugging reads of frames is
// open only where somebody opened it.
var borne = [...]string{
	"tenant_id + 0 IN (SELECT tenant_id FROM tenant_ancestors WHERE ancestor_id = ?) ORDER BY o.id DESC LIMIT", "in DELETE FROM ",
	"FROM frames WHERE NOT out AND tenant_id = ?", "FROM frames f WHERE f.tenant_id = ? AND f.out = ?",
}

// explained are the statements whose plans were looked at, by any test.
var explained sync.Map

func (a *asked) note(query string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.texts == nil {
		a.texts = make(map[string]bool)
	}
	a.texts[query] = true
}

func (a *asked) judge(t testing.TB, path string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []string
	for text := range a.texts {
		if _, done := explained.LoadOrStore(text, true); !done {
			list = append(list, text)
		}
	}
	walks, err := storetest.Walks(context.WithoutCancel(t.Context()), path, list)
	if err != nil {
		t.Errorf("explain what evcsd asked: %v", err)
	}
	for _, w := range walks {
		if slices.ContainsFunc(borne[:], func(part string) bool { return strings.Contains(w, part) }) {
			continue
		}
		t.Errorf("a growing table is walked: %s", w)
	}
}
