package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

// result is a batch on the wire; what failed is said in a language.
func (p Recon) result(b recon.Batch, english bool) api.ReconResult {
	f := b.Figures
	status := b.Shown(p.Clock.Now())
	r := api.ReconResult{
		BatchID: int64(b.ID), RunNo: int(b.RunNo), TenantID: int64(b.Tenant), ReconciliationDate: api.Date(b.Day), Channel: b.Channel,
		Status: string(status), TotalCount: f.Total, MatchedCount: f.Matched, SystemTotalAmount: api.Money(f.System),
		Counts: api.ReconCounts{
			LocalOnly: f.Counts.LocalOnly, ChannelOnly: f.Counts.ChannelOnly, AmountMismatch: f.Counts.AmountMismatch,
			StatusMismatch: f.Counts.StatusMismatch, Duplicate: f.Counts.Duplicate, FeeMismatch: f.Counts.FeeMismatch, Suspense: f.Counts.Suspense,
		},
		SuspenseIn: f.SuspenseIn, SuspenseOut: f.SuspenseOut, StatementSHA256: textOrNil(b.StatementSHA256), FailureMessage: sentence(b.FailureMessage, english),
		OpenDifferences: b.OpenDifferences, PendingReview: b.PendingReview, Closed: b.Closed(), StartedTime: api.At(b.StartedAt),
		FinishedTime: api.AtOrNil(b.FinishedAt), StatementProblems: problemsJSON(f.Problems, english), Funds: fundsJSON(f.Funds),
		Chargers: chargersJSON(f.Claims),
	}
	for _, n := range f.Ignored {
		r.IgnoredCount += int64(n)
	}
	if b.FailureCode != 0 {
		r.FailureCode = api.Ptr(int(b.FailureCode))
	}
	if status == recon.Running {
		r.RunNo, r.FinishedTime = r.RunNo+1, nil
	}
	if !status.Verified() {
		return r
	}
	r.MismatchCount = api.Ptr(f.Total - f.Matched)
	r.ChannelTotalAmount, r.AmountDifference = api.Ptr(api.Money(f.Channel())), api.Ptr(api.Money(f.System-f.Channel()))
	r.FeeTotal = api.Ptr(api.Money(f.Fees))
	const whole = 100_00
	rate := int64(whole)
	if f.Total > 0 {
		rate = f.Matched * whole / f.Total
	}
	r.SuccessRate = api.Ptr(api.Percent(rate))
	return r
}

func chargersJSON(f *recon.ClaimFigures) *api.ReconChargers {
	if f == nil {
		return nil
	}
	return &api.ReconChargers{
		TotalCount: f.Count, MatchedCount: f.Matched, EnergyMismatch: f.EnergyOff, AmountMismatch: f.MoneyOff, LocalAmount: api.Money(f.Ours),
		ChargerAmount: api.Money(f.Theirs), LocalEnergy: api.KWh(f.OurEnergy), ChargerEnergy: api.KWh(f.TheirEnergy), UnlistedCount: f.Unlisted,
	}
}

func fundsJSON(f *recon.FundFigures) *api.ReconFunds {
	if f == nil {
		return nil
	}
	out := &api.ReconFunds{
		StatementSHA256: f.SHA256, MovementCount: f.Movements, TotalCount: f.Keys, MatchedCount: f.Matched, PaymentAmount: api.Money(f.Payments),
		RefundAmount: api.Money(f.Refunds), FeeAmount: api.Money(f.Fees), LedgerMovement: api.Money(f.Ledger), ExplainedAmount: api.Money(f.Explained),
		UnexplainedDrift: api.Money(f.Drift),
	}
	for _, amount := range f.Other {
		out.OtherAmount += api.Money(amount)
	}
	if f.Balanced {
		out.OpeningBalance, out.ClosingBalance = api.Ptr(api.Money(f.Opening)), api.Ptr(api.Money(f.Closing))
	}
	return out
}

func problemsJSON(list []payment.Problem, english bool) []api.Problem {
	if len(list) == 0 {
		return nil
	}
	return listOf(list, func(p payment.Problem) api.Problem {
		return api.Problem{Line: int64(p.Line), Message: evcs.Worded(p.Message, english)}
	})
}

func proofJSON(p *recon.Proof) *api.Proof {
	return &api.Proof{
		BatchID: int64(p.Batch), Channel: p.Channel, ReconciliationDate: api.Date(p.Day), Opening: api.Money(p.Opening), Payments: api.Money(p.Payments),
		Refunds: api.Money(p.Refunds), Fees: api.Money(p.Fees), SuspenseIn: api.Money(p.SuspenseIn), SuspenseOut: api.Money(p.SuspenseOut),
		Adjustments: api.Money(p.Adjustments), Closing: api.Money(p.Closing), LedgerClosing: api.Money(p.LedgerClosing),
		StatementSHA256: textOrNil(p.StatementSHA256), StatementRows: p.StatementRows, ClosedBy: idOrNil(p.ClosedBy), ClosedTime: api.AtOrNil(p.ClosedAt),
		PreviousHash: textOrNil(p.PreviousHash), Hash: p.Hash,
	}
}

func (p Recon) differenceJSON(d recon.Difference) api.Difference {
	out := api.Difference{
		DifferenceID: int64(d.ID), BatchID: int64(d.Batch), Kind: string(d.Kind), State: string(d.State), Direction: string(d.Direction),
		MerchantID: idOrNil(d.Merchant), OrderID: idOrNil(d.Order), OrderNo: textOrNil(d.OrderNo), PaymentID: idOrNil(d.Payment),
		TradeNo: textOrNil(d.TradeNo), RefundNo: textOrNil(d.RefundNo), ChannelTradeNo: textOrNil(d.ChannelNo),
		LocalAmount: (*api.Money)(d.LocalAmount), ChannelAmount: (*api.Money)(d.ChannelAmount), LocalFee: (*api.Money)(d.LocalFee),
		ChannelFee: (*api.Money)(d.ChannelFee), LocalEnergy: (*api.KWh)(d.LocalEnergy), ChannelEnergy: (*api.KWh)(d.ChannelEnergy), LocalStatus: textOrNil(d.LocalStatus), ChannelStatus: textOrNil(d.ChannelStatus),
		LocalTime: api.AtOrNil(d.LocalAt), ChannelTime: api.AtOrNil(d.ChannelAt), Facets: d.Facets, SuspendedUntil: dateOrNil(d.SuspendedUntil),
		AgeDays: d.AgeDays(p.Clock.Now()), CreateTime: api.At(d.CreatedAt), Version: d.Version,
	}
	if out.Facets == nil {
		out.Facets = []string{}
	}
	if r := d.Resolution; r != nil {
		out.Resolution = &api.Resolution{
			Action: string(r.Action), Reason: r.Reason, Maker: idOrNil(r.Maker), MakerTime: api.AtOrNil(r.MadeAt), Checker: idOrNil(r.Checker),
			CheckTime: api.AtOrNil(r.CheckedAt), Note: textOrNil(r.Note), Effect: textOrNil(r.Effect),
		}
	}
	return out
}

// registerUpload declares the upload of a statement, the one operation that
// takes a file.
func (p Recon) registerUpload(s *Server) {
	registerRaw(s, operation{
		ID: "uploadStatement", Method: http.MethodPost, Path: "/api/reconciliation/statement", Group: "reconciliation",
		Permission: "reconciliation:execute", Summary: "Hand in a channel's statement",
		Description: "The file is verified; the next run of the day uses it. A file that is not whole is refused with what was read of it in `data`. " +
			"Alipay: the zip archive, or its detail file, in GBK or UTF-8. WeChat Pay: the text or gzip of the bill of type ALL, and of the fund flow of BASIC. " +
			"Both kinds may be handed in for a day; with FUND the run also proves that the money moved. It is read as it comes and never held whole.",
		Errors: []evcs.Code{
			evcs.CodeStatementInvalid, evcs.CodeBatchClosed, evcs.CodeMerchantNotFound, evcs.CodeChannelNotConfigured, evcs.CodeTenantNotFound,
		},
		Content: "application/json", MaxBody: closing.MaxStatement + 1<<20,
		Form: statementFields(), Data: reflect.TypeFor[api.Envelope[*api.Statement]](),
	}, p.upload)
}

// statementFields are the fields of the upload for the document.
func statementFields() *huma.Schema {
	least := 1.0
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"channel", "statementDate", "file"}, AdditionalProperties: false,
		Properties: map[string]*huma.Schema{
			"channel":       {Type: huma.TypeString, Enum: []any{payment.ChannelAlipay, payment.ChannelWechat, payment.ChannelSandbox}, Description: "Whose statement it is"},
			"statementDate": {Type: huma.TypeString, Format: "date", Description: "The day it is of"},
			"kind":          {Type: huma.TypeString, Enum: []any{recon.KindTrade, recon.KindFund}, Default: recon.KindTrade, Description: "Payments and refunds, or the account's movements"},
			"merchantId":    {Type: huma.TypeInteger, Format: "int64", Minimum: &least, Description: "The merchant account, when there are several"},
			"tenantId":      {Type: huma.TypeInteger, Format: "int64", Minimum: &least, Description: "The tenant it is of; the caller's own when absent"},
			"file":          {Type: huma.TypeString, Format: "binary", Description: "The statement as the channel gave it: csv, zip or gz, at most 512 MiB"},
		},
	}
}

// statementForm is what a multipart upload says.
type statementForm struct {
	fields map[string]string
	file   closing.File // nil: none; the caller closes it
}

func (f *statementForm) close() {
	if f.file != nil {
		_ = f.file.Close() // a scratch file
	}
}

// maxField bounds a field of a multipart body that is not the file.
const maxField = 1 << 10

// readStatement takes the parts in as they come; the fields may stand before or
// behind the file.
func (p Recon) readStatement(r *http.Request) (f statementForm, err error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return f, evcs.With(errMediaType, map[string]any{"accepted": []string{"multipart/form-data"}})
	}
	f.fields = make(map[string]string)
	for range maxParts {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return f, nil
		}
		if err != nil {
			return f, uploadFault(err)
		}
		if part.FormName() == "file" {
			if f.file != nil {
				return f, evcs.Invalid(evcs.FieldFault{Field: "file", Message: "is given twice"})
			}
			if f.file, err = p.Closer.Receive(r.Context(), part); err != nil {
				return f, uploadFault(err)
			}
			continue
		}
		text, err := io.ReadAll(io.LimitReader(part, maxField+1))
		switch {
		case err != nil:
			return f, uploadFault(err)
		case int64(len(text)) > maxField:
			return f, evcs.With(errBodyTooLarge, map[string]any{"limitBytes": maxField})
		}
		f.fields[part.FormName()] = string(text)
	}
	return f, evcs.Invalid(evcs.FieldFault{Field: "body", Message: "has too many parts"})
}

// maxParts bounds a multipart body.
const maxParts = 16

func uploadFault(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return evcs.With(errBodyTooLarge, map[string]any{"limitBytes": tooLarge.Limit})
	}
	if errors.Is(err, closing.ErrLarge) {
		return evcs.With(errBodyTooLarge, map[string]any{"limitBytes": int64(closing.MaxStatement)})
	}
	if closing.Spooling(err) {
		return err
	}
	return unread(err)
}

// request reads the fields; everything wrong is named at once.
func (f statementForm) request() (u closing.Upload, target *int64, err error) {
	var faults []evcs.FieldFault
	fault := func(field, message string) { faults = append(faults, evcs.FieldFault{Field: field, Message: message}) }
	id := func(name string) (n int64) {
		text := f.fields[name]
		if text == "" {
			return 0
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n <= 0 || n >= 1<<53 {
			fault(name, "must be a positive integer")
		}
		return n
	}
	u = closing.Upload{Channel: f.fields["channel"], Day: f.fields["statementDate"], Kind: f.fields["kind"], File: f.file}
	u.Merchant = payment.MerchantID(id("merchantId"))
	if n := id("tenantId"); n > 0 {
		target = &n
	}
	if u.Kind == "" {
		u.Kind = recon.KindTrade
	}
	if u.Kind != recon.KindTrade && u.Kind != recon.KindFund {
		fault("kind", "must be TRADE or FUND")
	}
	if u.Channel != payment.ChannelAlipay && u.Channel != payment.ChannelWechat && u.Channel != payment.ChannelSandbox {
		fault("channel", "must be alipay, wechat or sandbox")
	}
	if _, _, ok := recon.Bounds(u.Day); !ok {
		fault("statementDate", "must be a date: yyyy-MM-dd")
	}
	if u.File == nil {
		fault("file", "is required")
	}
	known := map[string]bool{"channel": true, "statementDate": true, "kind": true, "merchantId": true, "tenantId": true}
	for name := range f.fields {
		if !known[name] {
			fault(name, "is not a field of this operation")
		}
	}
	return u, target, evcs.Invalid(faults...)
}

func (p Recon) upload(ctx context.Context, a *evcs.Actor, _ *struct{}, out Reply) error {
	form, err := p.readStatement(out.Request)
	defer form.close()
	if err != nil {
		return err
	}
	u, target, err := form.request()
	if err != nil {
		return err
	}
	if u.Tenant, err = p.s.createFor(ctx, a, target); err != nil {
		return err
	}
	st, err := p.Closer.HandIn(ctx, u)
	answer := api.Statement{
		StatementID: st.ID, Channel: st.Channel, StatementDate: api.Date(st.Day), Kind: st.Kind, SHA256: st.SHA256, Rows: int64(st.Summary.Rows),
		PayTotal: api.Money(st.Summary.PayTotal), RefundTotal: api.Money(st.Summary.RefundTotal), FeeTotal: api.Money(st.Summary.FeeTotal),
		Problems: append([]api.Problem{}, problemsJSON(st.Summary.Problems, out.English)...),
	}
	if errors.Is(err, recon.ErrInvalid) {
		return withResult(err, answer)
	}
	if err != nil {
		return err
	}
	text, err := json.Marshal(exchangeOf(ctx).succeed(&answer))
	if err != nil {
		return err
	}
	out.Header().Set("Content-Type", "application/json")
	_, err = out.Write(text)
	return err
}
