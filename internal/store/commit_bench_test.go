package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

// The gain of group commit over one commit a row, both durable, in one run:
// rows per second are 1e9 / (ns/op).
func BenchmarkGroupCommit(b *testing.B) {
	frame := evcs.Frame{Tenant: 1, Charger: 10001, Time: time.UnixMilli(1), Protocol: "OCPP16", Type: "MeterValues", MessageID: "12345", Raw: make([]byte, 300)}
	for _, callers := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			db, err := store.Open(b.Context(), store.Config{URL: storetest.SQLiteURL(b)})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close() // a temporary database
			b.SetParallelism(callers)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := db.Transact(context.Background(), func(tx *store.Tx) error { return tx.KeepFrame(context.Background(), frame) }); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
