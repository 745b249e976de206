package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/tenant"
)

// ReconReports are the reports of reconciled days: for programs, for a
// spreadsheet, and on paper.
type ReconReports struct {
	Recon Recon
	Lists LedgerLists
	Clock evcs.Clock
	// Note audits a report that is written to keep, before its first byte.
	Note func(ctx context.Context, a *evcs.Actor, row tenant.AuditRow) error
}

const (
	// reportMost bounds the differences in a report that is held in memory.
	reportMost = 1000
	// reportDays is how many days a trend shows.
	reportDays = 30
	reportPage = 100
)

func (p ReconReports) register(s *Server) {
	op := func(id, path, summary, description string) operation {
		return operation{
			ID: id, Method: http.MethodGet, Path: "/api/reconciliation/batch/{batchId}/report" + path, Group: "reconciliation", Permission: "reconciliation:query",
			Summary: summary, Description: description, Errors: []evcs.Code{evcs.CodeBatchNotFound},
		}
	}
	register(s, op("reconReport", "", "The report of a reconciled day", "Figures, differences and what became of them, the suspense pool, the journal, the days before, and the proof of a closed day."), p.json)
	table := op("reconReportCSV", "/csv", "The report of a reconciled day as CSV",
		"One table: section is SUMMARY, CHARGERS, PROOF or DIFFERENCE; all but the last give item and value. Every difference is in it. UTF-8 with a byte order mark, times in the tenant's zone; "+
			"texts that a spreadsheet would take for a formula begin with '. The last line is #rows and their number: a stream that broke off lacks it. It is put on the audit record.")
	table.Content, table.Pace = "text/csv; charset=utf-8", paceExport
	registerRaw(s, table, p.csv)
	page := op("reconReportPage", "/html", "The report of a reconciled day, to print",
		"One page without scripts and without anything that is loaded from elsewhere, in the language of the request; it may be kept as a file. Its policy lets its own style in by its hash. It is put on the audit record.")
	page.Content, page.Pace = "text/html; charset=utf-8", paceExport
	registerRaw(s, page, p.page)
}

func (p ReconReports) json(ctx context.Context, a *evcs.Actor, in *batchPath) (*api.ReconReport, error) {
	r, err := p.report(ctx, a, in.BatchID)
	if err != nil {
		return nil, err
	}
	return &r.ReconReport, nil
}

// dayReport is a report with what only its own pages need.
type dayReport struct {
	api.ReconReport
	batch recon.Batch
}

func (p ReconReports) report(ctx context.Context, a *evcs.Actor, id evcs.BatchID) (*dayReport, error) {
	b, err := p.Recon.one(ctx, a, id)
	if err != nil {
		return nil, err
	}
	r := &dayReport{batch: b, ReconReport: api.ReconReport{
		Batch: p.Recon.result(b, inEnglish(ctx)), Kinds: []api.ReconKind{}, Differences: []api.Difference{}, CreateTime: api.At(p.Clock.Now()),
	}}
	if b.Proof != nil {
		r.Proof = proofJSON(b.Proof)
	}
	if err := p.gather(ctx, r); err != nil {
		return nil, err
	}
	if err := p.ledger(ctx, r); err != nil {
		return nil, err
	}
	return r, p.trend(ctx, r)
}

// each gives every difference of a batch that a later run has not superseded.
func (p ReconReports) each(ctx context.Context, b recon.Batch, f func(*recon.Difference) error) error {
	page := evcs.PageRequest{Size: reportPage, Keyset: true, Sort: []evcs.Sort{{Field: "differenceId"}}}
	for {
		found, err := p.Recon.Read.DifferencePage(ctx, evcs.Only(b.Tenant), recon.DifferenceFilter{Batch: b.ID}, page)
		if err != nil {
			return err
		}
		for i := range found.Records {
			if found.Records[i].State == recon.Superseded {
				continue
			}
			if err := f(&found.Records[i]); err != nil {
				return err
			}
		}
		if page.After = found.Next; page.After == nil {
			return nil
		}
	}
}

// gather adds up the differences and keeps the first.
func (p ReconReports) gather(ctx context.Context, r *dayReport) error {
	kinds := make(map[recon.Kind]*api.ReconKind)
	err := p.each(ctx, r.batch, func(d *recon.Difference) error {
		k := kinds[d.Kind]
		if k == nil {
			k = &api.ReconKind{Kind: string(d.Kind)}
			kinds[d.Kind] = k
		}
		k.Count++
		k.Gap += api.Money(d.Gap())
		if d.Unsettled() {
			k.Unsettled++
		}
		if r.Listed++; r.Listed <= reportMost {
			r.Differences = append(r.Differences, p.Recon.differenceJSON(*d))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, k := range kinds {
		r.Kinds = append(r.Kinds, *k)
	}
	slices.SortFunc(r.Kinds, func(a, b api.ReconKind) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind))
	})
	return p.pool(ctx, r)
}

// pool is what waits in suspense of every day of the channel.
func (p ReconReports) pool(ctx context.Context, r *dayReport) error {
	page := evcs.PageRequest{Size: reportPage, Keyset: true, Sort: []evcs.Sort{{Field: "differenceId"}}}
	now := p.Clock.Now()
	for {
		found, err := p.Recon.Read.DifferencePage(ctx, evcs.Only(r.batch.Tenant),
			recon.DifferenceFilter{Channel: r.batch.Channel, States: []string{string(recon.Suspended)}}, page)
		if err != nil {
			return err
		}
		for i := range found.Records {
			d := &found.Records[i]
			r.Pool.Count++
			r.Pool.Gap += api.Money(d.Gap())
			r.Pool.OldestDays = max(r.Pool.OldestDays, d.AgeDays(now))
		}
		if page.After = found.Next; page.After == nil {
			return nil
		}
	}
}

// ledger is what our journal says of the day.
func (p ReconReports) ledger(ctx context.Context, r *dayReport) error {
	from, to, _ := recon.Bounds(r.batch.Day)
	account := ledger.Account{Kind: ledger.Clearing, Name: r.batch.Channel}
	opening, b, err := p.Lists.Turnover(ctx, evcs.Only(r.batch.Tenant), ledger.StatementFilter{Account: account, From: from, To: to})
	r.Ledger = api.LedgerTurnover{
		Account: string(account.Kind), Name: account.Name, AccountName: labelOf(ctx, account.Kind), StartTime: api.AtOrNil(from), EndTime: api.At(to),
		Opening: api.Money(opening), Debit: api.Money(b.Debit), Credit: api.Money(b.Credit), Closing: api.Money(opening + b.Net()),
	}
	return err
}

// trend are the days before, and this one.
func (p ReconReports) trend(ctx context.Context, r *dayReport) error {
	found, err := p.Recon.Read.BatchPage(ctx, evcs.Only(r.batch.Tenant), recon.BatchFilter{Channel: r.batch.Channel, To: r.batch.Day},
		evcs.PageRequest{Page: 1, Size: reportDays, NoTotal: true, Sort: []evcs.Sort{{Field: "reconciliationDate", Desc: true}}})
	if err != nil {
		return err
	}
	now := p.Clock.Now()
	r.Trend = listOf(found.Records, func(b recon.Batch) api.ReconTrend {
		return api.ReconTrend{
			ReconciliationDate: api.Date(b.Day), Status: string(b.Shown(now)), TotalCount: b.Figures.Total, MatchedCount: b.Figures.Matched,
			OpenDifferences: b.OpenDifferences, Closed: b.Closed(),
		}
	})
	slices.Reverse(r.Trend)
	return nil
}

// note audits that a report leaves the house in a form.
func (p ReconReports) note(ctx context.Context, a *evcs.Actor, b *recon.Batch, form string) error {
	return p.Note(ctx, a, tenant.AuditRow{
		At: p.Clock.Now(), Action: tenant.Export, Target: b.Tenant, TargetType: tenant.KindBatch, TargetID: strconv.FormatInt(int64(b.ID), 10), Success: true,
		Details: map[string]any{"resource": "reconciliation-report", "form": form},
	})
}

// reportColumns are the columns of the CSV.
var reportColumns = []string{
	"section", "item", "value", "kind", "state", "direction", "orderNo", "tradeNo", "refundNo", "channelTradeNo", "localAmount", "channelAmount", "localFee",
	"channelFee", "localStatus", "channelStatus", "localTime", "channelTime", "action", "reason", "maker", "checker", "note", "effect",
	"facets", "localEnergy", "channelEnergy",
}

// fields are the fields of a flat object under their names.
func fields(v any, zone *time.Location) [][2]string {
	rv := reflect.ValueOf(v)
	columns := columnsOf(rv.Type(), nil)
	list := make([][2]string, 0, len(columns))
	for _, c := range columns {
		list = append(list, [2]string{c.name, cell(rv.FieldByIndex(c.index), zone)})
	}
	return list
}

// csv streams the report; memory holds one page.
func (p ReconReports) csv(ctx context.Context, a *evcs.Actor, in *batchPath, reply Reply) error {
	b, err := p.Recon.one(ctx, a, in.BatchID)
	if err != nil {
		return err
	}
	if err := p.note(ctx, a, &b, "csv"); err != nil {
		return err
	}
	zone, rows := zoneOf(a), 0
	h := reply.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="reconciliation-`+b.Channel+`-`+b.Day+`.csv"`)
	if _, err := reply.Write([]byte("\uFEFF")); err != nil {
		return nil //nolint:nilerr // the reader is gone
	}
	w := csv.NewWriter(reply.ResponseWriter)
	w.UseCRLF = true
	write := func(cells ...string) {
		full := make([]string, len(reportColumns))
		copy(full, cells)
		_ = w.Write(full) // kept until Flush, which tells
		rows++
	}
	_ = w.Write(reportColumns)
	for _, f := range fields(p.Recon.result(b, reply.English), zone) {
		write("SUMMARY", f[0], f[1])
	}
	if c := chargersJSON(b.Figures.Claims); c != nil {
		for _, f := range fields(*c, zone) {
			write("CHARGERS", f[0], f[1])
		}
	}
	if b.Proof != nil {
		for _, f := range fields(*proofJSON(b.Proof), zone) {
			write("PROOF", f[0], f[1])
		}
	}
	err = p.each(ctx, b, func(d *recon.Difference) error {
		write(differenceCells(p.Recon.differenceJSON(*d), zone)...)
		if rows%reportPage == 0 {
			w.Flush()
		}
		return w.Error()
	})
	if w.Error() != nil {
		return nil //nolint:nilerr // the reader is gone
	}
	if err != nil {
		return err // the stream breaks off without its last line
	}
	_ = w.Write([]string{"#rows", strconv.Itoa(rows)}) // a reader who is gone misses it
	w.Flush()
	return nil
}

func differenceCells(d api.Difference, zone *time.Location) []string {
	text := func(v any) string { return cell(reflect.ValueOf(v), zone) }
	cells := []string{
		"DIFFERENCE", text(d.DifferenceID), "", d.Kind, d.State, d.Direction, text(d.OrderNo), text(d.TradeNo), text(d.RefundNo), text(d.ChannelTradeNo),
		text(d.LocalAmount), text(d.ChannelAmount), text(d.LocalFee), text(d.ChannelFee), text(d.LocalStatus), text(d.ChannelStatus), text(d.LocalTime),
		text(d.ChannelTime),
	}
	if r := d.Resolution; r != nil {
		cells = append(cells, r.Action, text(r.Reason), text(r.Maker), text(r.Checker), text(r.Note), text(r.Effect))
	} else {
		cells = append(cells, "", "", "", "", "", "")
	}
	return append(cells, strings.Join(d.Facets, " "), text(d.LocalEnergy), text(d.ChannelEnergy))
}

func (p ReconReports) page(ctx context.Context, a *evcs.Actor, in *batchPath, reply Reply) error {
	r, err := p.report(ctx, a, in.BatchID)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := reportPages().Execute(&text, newReportPage(r, zoneOf(a), reply.English)); err != nil {
		return err
	}
	if err := p.note(ctx, a, &r.batch, "html"); err != nil {
		return err
	}
	h := reply.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", reportPolicy())
	reply.Write(text.Bytes()) //nolint:errcheck // the client is gone
	return nil
}
