package evcstest_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/evcs/evcs/internal/evcstest"
)

// A charger whose socket ends is shown as gone, and as there again when it
// comes back.
func TestAClosedSocketIsSeen(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, d *evcstest.Daemon) {
		y := build(t, d, d.Admin(), "GONE-1")
		connected := func() bool {
			var c struct{ Connected bool }
			d.Admin().OK(t, http.MethodGet, fmt.Sprintf("/api/charger/%d", y.ChargerID), nil).Into(t, &c)
			return c.Connected
		}
		for range 2 {
			conn, err := y.socket(t)
			if err != nil {
				t.Fatal(err)
			}
			evcstest.Eventually(t, "the charger is connected", connected)
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			evcstest.Eventually(t, "the charger is gone", func() bool { return !connected() })
		}
	})
}
