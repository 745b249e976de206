package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// An export that is too long says so, and is not on the record, before its
// first byte; the lines of orders are counted as lines.
func TestExportsAreLimited(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clock, read := fixedClock{payday}, db.Reader()
		within := func(fn func(tx *store.Tx) error) {
			t.Helper()
			if err := db.Transact(t.Context(), fn); err != nil {
				t.Fatal(err)
			}
		}
		within(func(tx *store.Tx) error {
			for i, code := range []string{"SYSTEM", "FT"} {
				x := tenant.Tenant{Code: code, Name: code, Type: tenant.Platform, Parent: evcs.TenantID(i), Level: i, Enabled: true, Created: payday, Updated: payday}
				if err := tx.Tenants().Insert(t.Context(), &x); err != nil {
					return err
				}
			}
			return nil
		})
		orders := 0
		sell := func(owner evcs.TenantID, lines int) {
			orders++
			no := fmt.Sprintf("ORD-%d", orders)
			within(func(tx *store.Tx) error {
				o := &order.Order{
					Tenant: owner, No: no, Session: "S-" + no, Station: 1, Charger: 10001, Connector: 1, Status: order.ToPay, StartState: order.Started,
					Source: order.FromClient, StartedAt: payday, EndedAt: payday, CreatedAt: payday, UpdatedAt: payday,
				}
				if err := tx.Orders().InsertOrder(t.Context(), o); err != nil {
					return err
				}
				return tx.Orders().SetLines(t.Context(), o, make([]tariff.Line, lines))
			})
		}
		noted := 0
		all := map[evcs.Permission]bool{"export:create": true, "order:list": true, readDescendants: true}
		server := New(Config{
			Clock: clock, Log: slog.New(slog.DiscardHandler), Tree: read.Tenants(), Replays: db.Idempotency(clock, "n"),
			Guard: guards{"boss": {User: 1, Name: "boss", Tenant: 1, Zone: time.UTC, Permissions: all}},
			Parts: []Part{
				Orders{Clock: clock, Read: read.Orders(), Chargers: read.Stations()},
				Exports{Orders: Orders{Clock: clock, Read: read.Orders(), Chargers: read.Stations()}, Clock: clock, Limit: 3, Note: func(context.Context, *evcs.Actor, tenant.AuditRow) error {
					noted++
					return nil
				}},
			},
		})
		get := func(path string) *httptest.ResponseRecorder {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
			r.Header.Set("Authorization", "Bearer boss")
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			return w
		}
		want := func(path string, status, rows int) {
			t.Helper()
			before := noted
			w := get(path)
			switch body := w.Body.String(); {
			case w.Code != status:
				t.Errorf("%s: %d %s", path, w.Code, body)
			case status == http.StatusOK && (!strings.HasSuffix(body, fmt.Sprintf("\r\n#rows,%d\r\n", rows)) || noted != before+1):
				t.Errorf("%s: noted %d times\n%s", path, noted-before, body)
			case status != http.StatusOK && (!strings.Contains(body, `"code":9412`) || strings.Contains(body, "\uFEFF") || noted != before):
				t.Errorf("%s: noted %d times\n%s", path, noted-before, body)
			}
		}
		sell(1, 2)
		sell(1, 1)
		sell(2, 9) // another tenant's
		want("/api/export/order", http.StatusOK, 2)
		want("/api/export/order-line", http.StatusOK, 3)
		want("/api/export/order-line?tenantScope=SELF_AND_DESCENDANTS", http.StatusBadRequest, 0)
		sell(1, 1)
		want("/api/export/order", http.StatusOK, 3)
		want("/api/export/order-line", http.StatusBadRequest, 0)
		want("/api/export/order-line?orderNo=ORD-1", http.StatusOK, 2)
		sell(1, 0)
		want("/api/export/order", http.StatusBadRequest, 0)
	})
}

// drain is a reader that keeps nothing.
type drain struct {
	header http.Header
	bytes  int
}

func (d *drain) Header() http.Header              { return d.header }
func (d *drain) WriteHeader(int)                  {}
func (d *drain) SetWriteDeadline(time.Time) error { return nil }

func (d *drain) Write(p []byte) (int, error) {
	d.bytes += len(p)
	return len(p), nil
}

// A long export holds one page of it in memory.
func TestExportsKeepMemoryFlat(t *testing.T) {
	const rows = 200_000
	columns, given, most := columnsOf(reflect.TypeFor[api.Order](), nil), 0, uint64(0)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	out := &drain{header: make(http.Header)}
	before := heap()
	err := writeCSV(Reply{ResponseWriter: out}, &evcs.Actor{Zone: time.UTC}, columns, func() ([]api.Order, bool, error) {
		if given%50_000 == 0 {
			most = max(most, heap())
		}
		page := make([]api.Order, exportPage)
		for i := range page {
			page[i].OrderNo = strings.Repeat("x", 200)
		}
		given += len(page)
		return page, given < rows, nil
	})
	if err != nil || given != rows || out.bytes < rows*200 {
		t.Fatalf("%v: %d rows, %d bytes", err, given, out.bytes)
	}
	if most > before+4<<20 {
		t.Errorf("an export of %d bytes held %d bytes", out.bytes, most-before)
	}
}
