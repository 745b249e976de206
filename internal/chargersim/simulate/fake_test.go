package simulate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// platform takes every charger and every transaction, and counts the starts.
// One that knows no cards takes none.
type platform struct {
	t      *testing.T
	noTags bool
	mu     sync.Mutex
	starts int
}

func (p *platform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, secret, _ := r.BasicAuth(); secret != "secret" {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	conn, err := (&websocket.Upgrader{Subprotocols: []string{"ocpp1.6"}}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		var frame []json.RawMessage
		if conn.ReadJSON(&frame) != nil || len(frame) < 4 {
			return
		}
		answer := map[string]any{"idTagInfo": map[string]any{"status": "Accepted"}, "status": "Accepted", "interval": 300}
		if p.noTags && string(frame[2]) == `"Authorize"` {
			answer["idTagInfo"] = map[string]any{"status": "Invalid"}
		}
		if string(frame[2]) == `"StartTransaction"` {
			p.mu.Lock()
			p.starts++
			answer["transactionId"] = p.starts
			p.mu.Unlock()
		}
		answer["currentTime"] = time.Now().UTC().Format(time.RFC3339)
		text, err := json.Marshal(answer)
		if err != nil {
			p.t.Error(err)
			return
		}
		if conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "[3,%s,%s]", frame[1], text)) != nil {
			return
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
