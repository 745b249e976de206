package device

import (
	"sync"

	"github.com/evcs/evcs/internal/evcs"
)

// Hub knows which chargers are connected to this node. The newest
// authenticated connection of a charger replaces the one before: the old one
// is most likely a dead socket that nobody has noticed.
type Hub struct {
	mu       sync.RWMutex
	sessions map[evcs.ChargerID]Session // guarded by mu
}

// NewHub returns an empty hub.
func NewHub() *Hub { return &Hub{sessions: make(map[evcs.ChargerID]Session)} }

// Put registers s and returns the session it replaced, or nil. The caller
// closes the replaced one, outside any lock.
func (h *Hub) Put(s Session) Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := s.Identity().Charger
	old := h.sessions[id]
	h.sessions[id] = s
	if old == s {
		return nil
	}
	return old
}

// Drop forgets s, unless a newer session has taken its place; it reports
// whether s was the present one.
func (h *Hub) Drop(s Session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := s.Identity().Charger
	if h.sessions[id] != s {
		return false
	}
	delete(h.sessions, id)
	return true
}

// Get returns the charger's session on this node, or nil.
func (h *Hub) Get(id evcs.ChargerID) Session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.sessions[id]
}

// All returns the present sessions, in no order.
func (h *Hub) All() []Session {
	h.mu.RLock()
	defer h.mu.RUnlock()
	all := make([]Session, 0, len(h.sessions))
	for _, s := range h.sessions {
		all = append(all, s)
	}
	return all
}
