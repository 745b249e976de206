package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// BenchmarkSealAndVerify seals a day of 100 thousand entries of ten tenants and
// reads it again. One operation is one entry.
func BenchmarkSealAndVerify(b *testing.B) {
	const entries = 100_000
	engines := map[string]func() *store.DB{"sqlite": func() *store.DB { return storetest.SQLite(b) }}
	if storetest.Server(b) != "" {
		engines["postgres"] = func() *store.DB { return storetest.Postgres(b) }
	}
	for name, open := range engines {
		b.Run(name, func(b *testing.B) {
			db := open()
			plant(b, db)
			for _, text := range []string{
				`INSERT INTO accounts (tenant_id, kind, name, created_at) VALUES (1, 'RECEIVABLE', '', 0), (1, 'CLEARING', 'alipay', 0)`,
				`INSERT INTO tenant_ancestors (tenant_id, ancestor_id, depth) WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i, 1, 1 FROM n`,
				`INSERT INTO journal (tenant_id, key, kind, at, order_id, payment_id, refund_id, memo, sandbox, booked_at, phase, refers)
					WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
					SELECT 1 + i % 10, 'payment/' || i || '/captured', 'CAPTURED', 1770000000000, i, i, 0, '', FALSE, 1770000000000 + i, 'POSTED', '' FROM n`,
				`INSERT INTO postings (entry_id, line_no, tenant_id, account_id, amount) SELECT j.id, a.id, j.tenant_id, a.id, (2 * a.id - 3) * 6138 FROM journal j, accounts a`,
			} {
				if err := store.Meddle(b.Context(), db, text); err != nil {
					b.Fatal(err)
				}
			}
			clock := &lateClock{at: time.UnixMilli(1770000000000).AddDate(0, 0, 2)}
			seals := db.Reader().Ledger().Seals()
			sealer := &ledger.Sealer{
				Clock: clock, Read: seals, Done: func(context.Context, ledger.Seal) {},
				Transact: func(ctx context.Context, fn func(ledger.SealTx) error) error {
					return db.Transact(ctx, func(tx *store.Tx) error { return fn(store.SealsOf(tx)) })
				},
			}
			begun := time.Now()
			if n, err := sealer.Run(b.Context()); n != 1 || err != nil {
				b.Fatal(n, err)
			}
			rate := entries / time.Since(begun).Seconds()
			read := 0
			for b.Loop() {
				found, err := ledger.Verify(b.Context(), seals, evcs.Subtree(1), ledger.Range{})
				if err != nil || len(found) != 10 || !found[0].Sound() || found[0].Entries != entries/10 {
					b.Fatalf("%v %+v", err, found)
				}
				read += entries
			}
			b.ReportMetric(rate, "sealed/s")
			b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "verified/s")
		})
	}
}
