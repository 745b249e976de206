package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/health"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
)

func TestNodes(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, w := t.Context(), db.Watched()
		begun := time.Date(2026, 2, 10, 12, 0, 0, 0, time.UTC)
		limit := int64(1 << 30)
		a := health.Node{
			ID: "a", Host: "h", Port: 8080, Started: begun, Seen: begun.Add(time.Minute), Build: health.Build{Version: "1", Go: "go1", Schema: 4, DevicePort: 8085},
			State: health.State{Checks: []health.Check{{Name: health.Jobs, Status: health.Down, Message: "x", Took: 5}}, MemoryUsed: 7, MemoryMax: &limit, Goroutines: 9},
		}
		b := health.Node{ID: "b", Host: "h", Started: begun, Seen: begun}
		for _, n := range []health.Node{a, b} {
			if err := w.SaveNode(ctx, n); err != nil {
				t.Fatal(err)
			}
		}
		older := a // a process that was replaced and does not know it yet
		older.Started, older.Host = begun.Add(-time.Hour), "old"
		if err := w.SaveNode(ctx, older); err != nil {
			t.Fatal(err)
		}
		got, err := w.Nodes(ctx, begun)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]health.Node{a, b}, got); diff != "" {
			t.Error(diff)
		}
		if err := w.ForgetNodes(ctx, begun.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if got, err = w.Nodes(ctx, begun); err != nil || len(got) != 1 || got[0].ID != "a" {
			t.Errorf("after forgetting: %+v %v", got, err)
		}
		if err := w.RemoveNode(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if got, err = w.Nodes(ctx, begun); err != nil || len(got) != 0 {
			t.Errorf("after leaving: %+v %v", got, err)
		}
	})
}

func TestRequestMinutes(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, w := t.Context(), db.Watched()
		noon := time.Date(2026, 2, 10, 12, 0, 0, 0, time.UTC)
		minute := func(at time.Time, endpoint string, took ...time.Duration) health.Minute {
			m := health.Minute{At: at, Endpoint: endpoint, Method: "GET", Requests: int64(len(took)), Succeeded: int64(len(took))}
			for _, d := range took {
				m.Durations.Observe(d)
			}
			return m
		}
		first, second := minute(noon, "/a", time.Millisecond, 3*time.Second), minute(noon.Add(time.Minute), "/b", time.Hour)
		for node, list := range map[string][]health.Minute{"x": {first, second}, "y": {first}} {
			if err := w.AddMinutes(ctx, node, list); err != nil {
				t.Fatal(err)
			}
		}
		read := func(window health.Window) (requests int64, whole health.Histogram) {
			err := w.EachMinute(ctx, window, func(m *health.Minute) error {
				requests += m.Requests
				whole.Merge(&m.Durations)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return requests, whole
		}
		all := health.Window{From: noon, To: noon.Add(time.Hour)}
		if n, h := read(all); n != 5 || h.Count != 5 || h.Min != time.Millisecond || h.Max != time.Hour || h.Sum != 2*(time.Millisecond+3*time.Second)+time.Hour {
			t.Errorf("%d %+v", n, h)
		}
		all.Endpoint = "/a"
		if n, h := read(all); n != 4 || h.Quantile(1000) != 3*time.Second {
			t.Errorf("of one endpoint: %d, longest %s", n, h.Quantile(1000))
		}
		all.Method = "POST"
		if n, _ := read(all); n != 0 {
			t.Errorf("of another method: %d", n)
		}
		if n, _ := read(health.Window{From: noon.Add(time.Minute), To: noon.Add(2 * time.Minute)}); n != 1 {
			t.Errorf("of the second minute: %d", n)
		}
		for round, want := range []int64{2, 0} {
			var n int64
			err := db.Transact(ctx, func(tx *store.Tx) (err error) {
				n, err = tx.PruneMinutes(ctx, noon.Add(time.Minute).UnixMilli(), 10)
				return err
			})
			if err != nil || n != want {
				t.Errorf("round %d: %d rows pruned, want %d (%v)", round, n, want, err)
			}
		}
	})
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		m := db.Measure(t.Context())
		if m.Engine != db.Engine() || m.Size == nil || *m.Size < 4096 || m.Max < 1 || m.Open < 1 || m.Open > m.Max {
			t.Errorf("%+v", m)
		}
		server := db.Engine() == "postgres"
		if (m.WAL == nil) != server || (m.Skew != nil) != server || (m.ServerMax != nil) != server {
			t.Errorf("of another engine: %+v", m)
		}
		if server && (m.Skew.Abs() > time.Minute || *m.ServerOpen < 1 || *m.ServerMax < *m.ServerOpen) {
			t.Errorf("skew %s, %d of %d connections", m.Skew, *m.ServerOpen, *m.ServerMax)
		}
	})
}
