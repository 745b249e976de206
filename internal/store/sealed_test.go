package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/station"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// Every kind of sealed row is found and sealed anew; a row that moved on in the
// meantime keeps what it has, and the next pass finds it.
func TestSealedAnew(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		one, two := [32]byte{1}, [32]byte{2}
		old, err := auth.NewSealer(one)
		must(t, err)
		both, err := auth.NewSealer(two, one)
		must(t, err)
		seal := func(text string) string {
			sealed, err := old.Seal([]byte(text))
			must(t, err)
			return sealed
		}
		for _, text := range []string{
			`INSERT INTO totp (user_id, tenant_id, sealed, confirmed_at, last_step, recovery, created_at, version) VALUES (1, 1, '` + seal("totp") + `', 0, 0, '[]', 0, 1)`,
			`INSERT INTO merchants (tenant_id, channel, name, mode, status, config, secrets, callback_token, fee_rate, created_at, updated_at, deleted_at, version)
				VALUES (1, 'alipay', 'm', 'LIVE', 0, '{}', '{"privateKey":{"version":1,"sealed":"` + seal("vault") + `"},"appCertificate":{"version":1,"sealed":"` + seal("app") +
				`"},"alipayRootCertificate":{"version":1,"sealed":"` + seal("root") + `"},"alipayCertificates/00ff":{"version":1,"sealed":"` + seal("theirs") + `"}}', 'T', 0, 0, 0, 0, 1)`,
			`INSERT INTO webhooks (tenant_id, owner_id, name, url, types, include_descendants, enabled, sealed, last_success_at, last_error, claimed_until, created_at, updated_at, deleted_at, version)
				VALUES (1, 1, 'w', '', '', FALSE, FALSE, '` + seal("hook") + `', 0, '', 0, 0, 0, 0, 1), (1, 1, 'gone', '', '', FALSE, FALSE, '', 0, '', 0, 0, 0, 1, 1)`,
			`INSERT INTO notification_channels (tenant_id, type, name, recipients, url_shown, sealed, secret_print, secret_at, min_severity, quiet_from, quiet_to, group_seconds, repeat_minutes,
				include_descendants, enabled, last_success_at, last_error, claimed_until, created_at, updated_at, deleted_at, version)
				VALUES (1, 'WEBHOOK', 'c', '', '', '` + seal("channel") + `', '', 0, 'LOW', '', '', 0, 0, FALSE, FALSE, 0, '', 0, 0, 0, 0, 1)`,
		} {
			must(t, store.Meddle(ctx, db, text))
		}
		book := db.Replies(old)
		for id, secret := range map[string]bool{"a": true, "b": false, "c": true} {
			must(t, book.Remember(ctx, evcs.Only(1), 7, id, store.DeviceReply{Digest: "d", Status: 200, Answer: []byte(`{"x":"` + id + `"}`), At: day, Secret: secret}))
		}
		a := build(t, db)
		must(t, db.Transact(ctx, func(tx *store.Tx) error {
			return tx.Stations().PutCredential(ctx, evcs.Only(a.tenant), &station.Credential{Charger: a.charger.ID, Tenant: a.tenant, Secret: seal("now"), Previous: seal("before")})
		}))
		rotation := auth.Rotation{
			Clock: evcs.SystemClock{}, Store: db.Sealed(), Sealer: both,
			Vault: func(kind, text string, reseal func(string) (string, error)) (string, error) {
				if kind == store.SealedMerchants {
					return payment.ResealVault(text, reseal)
				}
				return reseal(text)
			},
			Holders: func(context.Context) ([]auth.KeyHolder, error) { return nil, nil },
		}
		counts := func() map[string]int64 {
			uses, err := rotation.Uses(ctx)
			must(t, err)
			found := make(map[string]int64)
			for _, u := range uses {
				found[u.Name] = u.Count
			}
			return found
		}
		was, is := old.Keys()[0], both.Keys()[0]
		if d := cmp.Diff(map[string]int64{is: 0, was: 11}, counts()); d != "" {
			t.Fatalf("before:\n%s", d)
		}
		rows, err := db.Sealed().SealedRows(ctx, "webhooks", auth.SealedRow{}, 10)
		must(t, err)
		stale := rows[0]
		stale.Version++
		n, err := db.Sealed().PutSealed(ctx, "webhooks", rows[:1], []auth.SealedRow{stale})
		if n != 0 || err != nil {
			t.Errorf("a row that moved on: %d %v", n, err)
		}
		must(t, db.Sealed().AddSealingKey(ctx, was, time.Unix(1, 0)))
		done, err := rotation.Reseal(ctx, nil)
		must(t, err)
		if d := cmp.Diff(auth.Resealed{Rows: 7, Gone: []string{was}}, done); d != "" {
			t.Errorf("sealed anew:\n%s", d)
		}
		if d := cmp.Diff(map[string]int64{is: 11, was: 0}, counts()); d != "" {
			t.Errorf("after:\n%s", d)
		}
		fresh, err := auth.NewSealer(two)
		must(t, err)
		cred, err := db.Reader().Stations().Credential(ctx, evcs.Only(a.tenant), a.charger.ID)
		must(t, err)
		for want, sealed := range map[string]string{"now": cred.Secret, "before": cred.Previous} {
			if plain, err := fresh.Open(sealed); err != nil || string(plain) != want {
				t.Errorf("%q, want %q: %v", plain, want, err)
			}
		}
		for _, id := range []string{"a", "b", "c"} {
			got, found, err := db.Replies(fresh).Recall(ctx, evcs.Only(1), 7, id)
			if err != nil || !found || string(got.Answer) != `{"x":"`+id+`"}` {
				t.Errorf("reply %s: %s %v", id, got.Answer, err)
			}
		}
		listed, err := db.Sealed().SealingKeys(ctx)
		if err != nil || strings.Join(listed, " ") != is {
			t.Errorf("listed: %v %v", listed, err)
		}
	})
}
