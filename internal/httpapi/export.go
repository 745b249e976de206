package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tenant"
)

// Exports are the operations that write whole lists as CSV.
type Exports struct {
	Orders   Orders
	Sessions Sessions
	Payments Payments
	Stations Stations
	Chargers Chargers
	Recon    Recon
	Audit    Audit
	Clock    evcs.Clock
	// Limit is how many rows an export may have; 0: a million.
	Limit int64
	// Note audits an export, before its first byte.
	Note func(ctx context.Context, a *evcs.Actor, row tenant.AuditRow) error
}

const (
	exportLimit = 1_000_000 // rows
	exportPage  = 500
)

// Columns chooses and orders the columns of an export.
type Columns struct {
	Columns []string `query:"columns" maxItems:"100" doc:"Names of the list's fields, comma separated, in the order wanted; all when absent"`
}

func (c *Columns) chosen() []string { return c.Columns }

// The filters of the lists, under names that an input may embed.
type (
	// OrderFilter narrows orders.
	OrderFilter = orderFilter
	// PaymentFilter narrows payments.
	PaymentFilter = paymentFilter
	// RefundFilter narrows refunds.
	RefundFilter = refundFilter
	// StationFilter narrows stations.
	StationFilter = stationFilter
	// ChargerFilter narrows chargers.
	ChargerFilter = chargerFilter
	// DifferenceFilter narrows differences.
	DifferenceFilter = differenceFilter
	// AuditFilter narrows the audit record.
	AuditFilter = auditFilter
)

type (
	exportOrders struct {
		OrderFilter
		Columns
	}
	exportPayments struct {
		PaymentFilter
		Columns
	}
	exportRefunds struct {
		RefundFilter
		Columns
	}
	exportSessions struct {
		SessionQuery
		Columns
	}
	exportStations struct {
		StationFilter
		Columns
	}
	exportChargers struct {
		ChargerFilter
		Columns
	}
	exportDifferences struct {
		DifferenceFilter
		Columns
	}
	exportAudit struct {
		AuditFilter
		Columns
	}
)

// exportedLine is a row of the export of order lines.
type exportedLine struct {
	OrderID  int64  `json:"orderId"`
	OrderNo  string `json:"orderNo"`
	TenantID int64  `json:"tenantId"`
	api.Line
}

func (e Exports) register(s *Server) {
	e.Limit = cmp.Or(e.Limit, exportLimit)
	e.Recon.s, e.Stations.s, e.Chargers.s = s, s, s
	export := func(resource string, perm evcs.Permission, like string) operation {
		op := operation{
			ID: "export" + camel(resource), Method: http.MethodGet, Pace: paceExport, Path: "/api/export/" + resource, Group: "exports", Permission: "export:create",
			Summary: "Everything of a list as CSV", Content: "text/csv; charset=utf-8", Errors: []evcs.Code{evcs.CodeTenantNotFound, evcs.CodeResultTooLarge},
			Description: "The rows of " + like + " under its filters and sort (permission " + string(perm) + " as well). UTF-8 with a byte order mark, a header row, times in " +
				"the tenant's zone; texts that a spreadsheet would take for a formula begin with '. The last line is #rows and their number: a stream that broke off lacks it. " +
				"At most 1000000 rows (9412 before the first byte), ten exports a minute.",
		}
		for _, d := range s.operations {
			if d.Path == like && len(d.Sorts) > 0 {
				op.Sorts, op.WideByDefault = d.Sorts, d.WideByDefault
			}
		}
		return op
	}
	registerExport(s, e, export("order", "order:list", "/api/order"), "order:list", func(ctx context.Context, a *evcs.Actor, in *exportOrders, r evcs.PageRequest) (evcs.Page[api.Order], error) {
		return e.Orders.list(ctx, a, &in.OrderFilter, r)
	})
	registerExport(s, e, export("order-line", "order:list", "/api/order"), "order:list", e.lines)
	registerExport(s, e, export("payment", "payment:query", "/api/payment"), "payment:query", func(ctx context.Context, a *evcs.Actor, in *exportPayments, r evcs.PageRequest) (evcs.Page[api.Payment], error) {
		return e.Payments.list(ctx, a, &in.PaymentFilter, r)
	})
	registerExport(s, e, export("refund", "payment:query", "/api/payment/refund"), "payment:query", func(ctx context.Context, a *evcs.Actor, in *exportRefunds, r evcs.PageRequest) (evcs.Page[api.Refund], error) {
		return e.Payments.refunds(ctx, a, &in.RefundFilter, r)
	})
	registerExport(s, e, export("session", "session:query", "/api/session"), "session:query", func(ctx context.Context, a *evcs.Actor, in *exportSessions, r evcs.PageRequest) (evcs.Page[api.Session], error) {
		return e.Sessions.list(ctx, a, &in.SessionQuery, r)
	})
	registerExport(s, e, export("station", "station:list", "/api/station"), "station:list", func(ctx context.Context, a *evcs.Actor, in *exportStations, r evcs.PageRequest) (evcs.Page[api.Station], error) {
		return e.Stations.list(ctx, a, &in.StationFilter, r)
	})
	registerExport(s, e, export("charger", "charger:list", "/api/charger"), "charger:list", func(ctx context.Context, a *evcs.Actor, in *exportChargers, r evcs.PageRequest) (evcs.Page[api.Charger], error) {
		return e.Chargers.list(ctx, a, &in.ChargerFilter, r)
	})
	registerExport(s, e, export("difference", "reconciliation:query", "/api/reconciliation/difference"), "reconciliation:query", func(ctx context.Context, a *evcs.Actor, in *exportDifferences, r evcs.PageRequest) (evcs.Page[api.Difference], error) {
		return e.Recon.differences(ctx, a, &in.DifferenceFilter, r)
	})
	registerExport(s, e, export("audit-log", "tenant:audit", "/api/tenant/audit-log/page"), "tenant:audit", func(ctx context.Context, a *evcs.Actor, in *exportAudit, r evcs.PageRequest) (evcs.Page[api.AuditRow], error) {
		return e.Audit.page(ctx, a, &in.AuditFilter, r)
	})
}

func camel(resource string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(resource, "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// lines are the lines of a page of orders; a page may hold more rows than it
// was asked for.
func (e Exports) lines(ctx context.Context, a *evcs.Actor, in *exportOrders, r evcs.PageRequest) (evcs.Page[exportedLine], error) {
	if !r.Keyset { // only how many there are
		scope, err := in.Scope(ctx, a)
		if err != nil {
			return evcs.Page[exportedLine]{}, err
		}
		n, err := e.Orders.Read.CountLines(ctx, scope, in.filter(a))
		return evcs.Page[exportedLine]{Total: n}, err
	}
	found, err := e.Orders.list(ctx, a, &in.OrderFilter, r)
	if err != nil {
		return evcs.Page[exportedLine]{}, err
	}
	page := evcs.Page[exportedLine]{Total: found.Total, Next: found.Next}
	for _, o := range found.Records {
		lines, err := e.Orders.Read.Lines(ctx, evcs.Only(evcs.TenantID(o.TenantID)), evcs.OrderID(o.OrderID))
		if err != nil {
			return page, err
		}
		for _, l := range linesJSON(lines) {
			page.Records = append(page.Records, exportedLine{o.OrderID, o.OrderNo, o.TenantID, l})
		}
	}
	return page, nil
}

// registerExport declares an export of a list: its own filters and sort, but
// no pages.
func registerExport[In, Record any, P interface {
	*In
	pagedInput
	chosen() []string
}](s *Server, e Exports, op operation, perm evcs.Permission,
	list func(context.Context, *evcs.Actor, *In, evcs.PageRequest) (evcs.Page[Record], error),
) {
	columns := columnsOf(reflect.TypeFor[Record](), nil)
	registerRaw(s, op, func(ctx context.Context, a *evcs.Actor, in *In, reply Reply) error {
		if !a.May(perm) {
			return evcs.With(errForbidden, map[string]any{"permission": string(perm)})
		}
		wanted, err := choose(columns, P(in).chosen())
		if err != nil {
			return err
		}
		p := P(in).pagingInput()
		x := exchangeOf(ctx)
		p.x = x
		r := evcs.PageRequest{Page: 1, Size: 1, Sort: p.sorts}
		first, err := list(ctx, a, in, r)
		if err != nil {
			return err
		}
		if first.Total > e.Limit {
			return evcs.With(errTooBig, map[string]any{"total": first.Total, "limit": e.Limit})
		}
		if err := e.note(ctx, a, op, x, first.Total); err != nil {
			return err
		}
		r = evcs.PageRequest{Size: exportPage, Sort: p.sorts, Keyset: true}
		return writeCSV(reply, a, wanted, func() ([]Record, bool, error) {
			page, err := list(ctx, a, in, r)
			r.After = page.Next
			return page.Records, page.Next != nil, err
		})
	})
	withoutPages(s, op.Path)
}

// withoutPages takes the parameters of pages from an operation: an export has
// none.
func withoutPages(s *Server, path string) {
	pages := []string{"page", "current", "size", "cursor"}
	for _, d := range s.operations {
		if d.Path == path {
			for _, name := range pages {
				delete(d.params, name)
			}
		}
	}
	if item := s.doc.Paths[path]; item != nil && item.Get != nil {
		item.Get.Parameters = slices.DeleteFunc(item.Get.Parameters, func(p *huma.Param) bool { return p.In == "query" && slices.Contains(pages, p.Name) })
	}
}

func (e Exports) note(ctx context.Context, a *evcs.Actor, op operation, x *exchange, rows int64) error {
	if e.Note == nil {
		return nil
	}
	target := a.Tenant
	if given, err := strconv.ParseInt(x.query.Get("tenantId"), 10, 64); err == nil {
		target = evcs.TenantID(given)
	}
	resource := strings.TrimPrefix(op.Path, "/api/export/")
	return e.Note(ctx, a, tenant.AuditRow{
		At: e.Clock.Now(), Action: tenant.Export, Target: target, TargetType: strings.ToUpper(strings.ReplaceAll(resource, "-", "_")), Success: true,
		Details: map[string]any{"resource": resource, "rows": rows, "query": limitText(x.query.Encode(), 1000)},
	})
}

// column is one field of a record.
type column struct {
	name  string
	index []int
}

// columnsOf are the fields of a record that every row has.
func columnsOf(t reflect.Type, at []int) []column {
	var list []column
	for f := range t.Fields() {
		index := append(slices.Clone(at), f.Index...)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			list = append(list, columnsOf(f.Type, index)...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "" && name != "-" && options == "" {
			list = append(list, column{name, index})
		}
	}
	return list
}

func choose(all []column, names []string) ([]column, error) {
	if len(names) == 0 {
		return all, nil
	}
	var list []column
	var faults []evcs.FieldFault
	for _, name := range names {
		i := slices.IndexFunc(all, func(c column) bool { return c.name == name })
		if i < 0 {
			faults = append(faults, evcs.FieldFault{Field: "columns", Message: "has no such column: " + limitText(name, 40)})
			continue
		}
		list = append(list, all[i])
	}
	return list, evcs.Invalid(faults...)
}

// writeCSV writes a header, every row that next gives until it has no more, and
// their number. Memory holds one page.
func writeCSV[Record any](reply Reply, a *evcs.Actor, columns []column, next func() ([]Record, bool, error)) error {
	rows, more, err := next()
	if err != nil {
		return err // nothing is written yet
	}
	h := reply.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="export.csv"`)
	if _, err := reply.Write([]byte("\uFEFF")); err != nil {
		return nil //nolint:nilerr // the reader is gone
	}
	w := csv.NewWriter(reply.ResponseWriter)
	w.UseCRLF = true
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.name
	}
	written := w.Write(cells)
	zone, n := zoneOf(a), 0
	for written == nil {
		for i := range rows {
			v := reflect.ValueOf(&rows[i]).Elem()
			for j, c := range columns {
				cells[j] = cell(v.FieldByIndex(c.index), zone)
			}
			if written = w.Write(cells); written != nil {
				break
			}
			n++
		}
		w.Flush()
		if w.Error() != nil {
			return nil //nolint:nilerr // the reader is gone
		}
		if !more {
			break
		}
		if rows, more, err = next(); err != nil {
			return err // the stream breaks off without its last line
		}
	}
	if written == nil {
		_ = w.Write([]string{"#rows", strconv.Itoa(n)}) // a reader who is gone misses it
	}
	w.Flush()
	return nil
}

// cell is a value as a spreadsheet takes it.
func cell(v reflect.Value, zone *time.Location) string {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case api.TimeMS:
		return local(x.Std(), zone, "2006-01-02 15:04:05.000")
	case api.Time:
		return local(x.Std(), zone, "2006-01-02 15:04:05")
	}
	if v.Kind() == reflect.String {
		return harmless(v.String())
	}
	text, err := json.Marshal(v.Interface())
	if err != nil || bytes.Equal(text, []byte("null")) {
		return ""
	}
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map || v.Kind() == reflect.Struct {
		return harmless(string(text))
	}
	return string(text) // a number or a flag
}

func local(at time.Time, zone *time.Location, layout string) string {
	if at.IsZero() {
		return ""
	}
	return at.In(zone).Format(layout)
}

// harmless keeps a spreadsheet from taking a text for a formula.
func harmless(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t", rune(text[0])) {
		return "'" + text
	}
	return text
}
