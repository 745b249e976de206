package store_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// A remembered answer comes back byte for byte; one with a secret does not lie
// in the store in plain.
func TestRepliesAreRemembered(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sealer, err := auth.NewSealer([32]byte{1})
		must(t, err)
		book, scope := db.Replies(sealer), evcs.Only(1)
		for _, secret := range []bool{false, true} {
			id := map[bool]string{false: "plain", true: "secret"}[secret]
			given := store.DeviceReply{Digest: "d", Status: 200, Answer: []byte(`{"value":"hunter2 ` + id + `"}`), At: day, Secret: secret}
			must(t, book.Remember(t.Context(), scope, 7, id, given))
			again := given
			again.Answer = []byte(`{}`)
			must(t, book.Remember(t.Context(), scope, 7, id, again))
			got, found, err := book.Recall(t.Context(), scope, 7, id)
			if d := cmp.Diff(given, got); err != nil || !found || d != "" {
				t.Errorf("%s: %v %v\n%s", id, found, err, d)
			}
			if _, found, err := book.Recall(t.Context(), evcs.Only(2), 7, id); found || err != nil {
				t.Errorf("%s of a stranger: %v %v", id, found, err)
			}
			must(t, store.Look(t.Context(), db, `SELECT answer FROM device_replies WHERE request_id = '`+id+`'`, func(rows *sql.Rows) error {
				var text string
				if err := rows.Scan(&text); err != nil {
					return err
				}
				if strings.Contains(text, "hunter2") == secret {
					t.Errorf("%s is stored as %s", id, text)
				}
				return nil
			}))
		}
		other, err := auth.NewSealer([32]byte{2})
		must(t, err)
		if _, _, err := db.Replies(other).Recall(t.Context(), scope, 7, "secret"); err == nil {
			t.Error("opened with another key")
		}
	})
}
