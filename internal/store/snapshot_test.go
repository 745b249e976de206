package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// As many snapshots as there are connections may ask at once what was never
// asked before: none waits for a connection that another holds.
func TestSnapshotsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	const connections = 4 // of SQLite's readers
	db := storetest.SQLite(t)
	var inside sync.WaitGroup
	inside.Add(connections)
	done := make(chan error, connections)
	for i := range connections {
		go func() {
			done <- store.Snapshot(t.Context(), db, func(look func(string) error) error {
				err := look(`SELECT 1`) // holds a connection from here on
				inside.Done()
				inside.Wait()
				if err == nil {
					err = look(fmt.Sprintf(`SELECT %d FROM tenants`, i))
				}
				return err
			})
		}()
	}
	patience := time.NewTimer(30 * time.Second)
	defer patience.Stop()
	for range connections {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-patience.C:
			t.Fatal("snapshots wait for each other")
		}
	}
}
