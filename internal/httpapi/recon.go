package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/closing"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/recon"
	"github.com/evcs/evcs/internal/tenant"
)

// ReconReader reads days and differences; store.Recon satisfies it.
type ReconReader interface {
	Batch(ctx context.Context, scope evcs.Scope, id evcs.BatchID) (recon.Batch, error)
	BatchPage(ctx context.Context, scope evcs.Scope, w recon.BatchFilter, r evcs.PageRequest) (evcs.Page[recon.Batch], error)
	Difference(ctx context.Context, scope evcs.Scope, id evcs.DifferenceID) (recon.Difference, error)
	DifferencePage(ctx context.Context, scope evcs.Scope, w recon.DifferenceFilter, r evcs.PageRequest) (evcs.Page[recon.Difference], error)
}

// FaultSetter seeds statements of the pretended bank; daemon satisfies it.
type FaultSetter interface {
	SetFaults(ctx context.Context, a *evcs.Actor, owner evcs.TenantID, f StatementFaults) error
}

// StatementFaults are how many rows of a day's statement are wrong in which
// way.
type StatementFaults struct {
	Day                                            string
	Amount, Missing, Extra, Status, Duplicate, Fee int
	NotReady, Broken                               bool
}

// Recon are the operations of reconciliation.
type Recon struct {
	Clock  evcs.Clock
	Read   ReconReader
	Closer *closing.Closer
	Faults FaultSetter

	s *Server
}

type batchPath struct {
	BatchID evcs.BatchID `path:"batchId"`
}

type differencePath struct {
	DifferenceID evcs.DifferenceID `path:"differenceId"`
}

type batchFilter struct {
	Paging
	Channel   string        `query:"channel" enum:"alipay,wechat,sandbox"`
	Status    []string      `query:"status" maxItems:"4" enum:"SUCCESS,PARTIAL,FAILED,RUNNING"`
	StartDate Opt[api.Date] `query:"startDate"`
	EndDate   Opt[api.Date] `query:"endDate"`
	Closed    Opt[api.Flag] `query:"closed"`
}

type differenceFilter struct {
	Paging
	BatchID    Opt[evcs.BatchID] `query:"batchId" minimum:"1"`
	Channel    string            `query:"channel" enum:"alipay,wechat,sandbox"`
	Kind       []string          `query:"kind" maxItems:"6" enum:"LOCAL_ONLY,CHANNEL_ONLY,AMOUNT_MISMATCH,STATUS_MISMATCH,DUPLICATE,FEE_MISMATCH"`
	State      []string          `query:"state" maxItems:"7" enum:"OPEN,SUSPENDED,AUTO_RESOLVED,PENDING_REVIEW,RESOLVED,WRITTEN_OFF,SUPERSEDED"`
	OrderID    Opt[evcs.OrderID] `query:"orderId" minimum:"1"`
	TradeNo    string            `query:"tradeNo" maxLength:"64"`
	MinAgeDays Opt[int]          `query:"minAgeDays" minimum:"0" maximum:"3650"`
}

func (p Recon) register(s *Server) {
	p.s = s
	op := func(id, method, path string, permission evcs.Permission, summary string, errors ...evcs.Code) operation {
		return operation{
			ID: id, Method: method, Path: "/api/reconciliation" + path, Group: "reconciliation", Permission: permission, Summary: summary, Errors: errors,
		}
	}
	const query, execute, approve = evcs.Permission("reconciliation:query"), evcs.Permission("reconciliation:execute"), evcs.Permission("reconciliation:approve")
	running := []evcs.Code{
		evcs.CodeChannelNotConfigured, evcs.CodeStatementNotReady, evcs.CodeStatementInvalid, evcs.CodeReconciliationRunning, evcs.CodeBatchClosed,
		evcs.CodeTenantNotFound,
	}
	register(s, op("executeReconciliation", http.MethodPost, "/execute", execute, "Reconcile one day of a channel", running...), p.execute)
	register(s, op("dailyReconciliation", http.MethodPost, "/daily/{channel}", execute, "Reconcile yesterday of a channel", running...), p.daily)
	registerList(s, operation{
		ID: "listBatches", Path: "/api/reconciliation/batch", Group: "reconciliation", Permission: query, Summary: "Reconciled days",
		Sorts: []string{"batchId", "createTime", "reconciliationDate"},
	}, p.batches)
	register(s, op("getBatch", http.MethodGet, "/batch/{batchId}", query, "One reconciled day", evcs.CodeBatchNotFound), p.batch)
	register(s, op("closeBatch", http.MethodPost, "/batch/{batchId}/close", "reconciliation:close", "Close a day with its proof",
		evcs.CodeBatchNotFound, evcs.CodeCloseBlocked, evcs.CodeBatchClosed, evcs.CodeReconciliationRunning), p.close)
	register(s, op("reopenBatch", http.MethodPost, "/batch/{batchId}/reopen", approve, "Open the newest closed day again",
		evcs.CodeBatchNotFound, evcs.CodeCheckerRequired), p.reopen)
	register(s, op("getProof", http.MethodGet, "/batch/{batchId}/proof", query, "The proof of a closed day", evcs.CodeBatchNotFound), p.proof)
	registerList(s, operation{
		ID: "listDifferences", Path: "/api/reconciliation/difference", Group: "reconciliation", Permission: query, Summary: "Differences",
		Description: "Facets say which leg a difference is of. With CHARGER it is between our bill for energy (electricity and service) and the charger's own: " +
			"`localAmount` and `localEnergy` are ours, `channelAmount` and `channelEnergy` the charger's; ENERGY and MONEY say what is off. It is of the day on which both the payment and the charger's bill were known. " +
			"EXPLAIN and REFUND are what can be done about it; WRITE_OFF and ADOPT_CHANNEL are refused (9400). It stands in the way of the close like any other.",
		Sorts: []string{"differenceId", "createTime"},
	}, p.differences)
	register(s, op("getDifference", http.MethodGet, "/difference/{differenceId}", query, "One difference with both raw sides", evcs.CodeDifferenceNotFound), p.difference)
	register(s, op("resolveDifference", http.MethodPost, "/difference/{differenceId}/resolve", "reconciliation:resolve", "Propose what to do about a difference",
		evcs.CodeDifferenceNotFound, evcs.CodeDifferenceState), p.resolve)
	register(s, op("approveDifference", http.MethodPost, "/difference/{differenceId}/approve", approve, "Do what was proposed; by another person",
		evcs.CodeDifferenceNotFound, evcs.CodeDifferenceState, evcs.CodeCheckerRequired, evcs.CodePaymentFailed, evcs.CodePaymentTimeout,
		evcs.CodePaymentState, evcs.CodeRefundExceeds), p.approve)
	register(s, op("rejectDifference", http.MethodPost, "/difference/{differenceId}/reject", approve, "Send a proposal back; by another person",
		evcs.CodeDifferenceNotFound, evcs.CodeDifferenceState, evcs.CodeCheckerRequired), p.reject)
	register(s, operation{
		ID: "setStatementFaults", Method: http.MethodPut, Path: "/api/payment/sandbox/statement-faults", Group: "payment", Permission: "payment:merchant",
		Summary: "Seed the sandbox's statement of a day with faults", Errors: []evcs.Code{evcs.CodeChannelNotConfigured, evcs.CodeTenantNotFound},
	}, p.setFaults)
	p.registerUpload(s)
}

// runWait is how many seconds a run is waited for.
const runWait = 60

func (p Recon) execute(ctx context.Context, a *evcs.Actor, in *struct{ Body api.ExecuteRecon }) (*api.ReconResult, error) {
	return p.run(ctx, a, in.Body.Channel, string(in.Body.ReconciliationDate), in.Body.RunDaily)
}

type dailyInput struct {
	Channel string `path:"channel" enum:"alipay,wechat,sandbox"`
	Body    api.RunDaily
}

func (p Recon) daily(ctx context.Context, a *evcs.Actor, in *dailyInput) (*api.ReconResult, error) {
	return p.run(ctx, a, in.Channel, recon.After(recon.DayOf(p.Clock.Now()), -1), in.Body)
}

func (p Recon) run(ctx context.Context, a *evcs.Actor, channel, day string, b api.RunDaily) (*api.ReconResult, error) {
	owner, err := p.s.createFor(ctx, a, b.TenantID)
	if err != nil {
		return nil, err
	}
	wait := runWait
	if b.Wait != nil {
		wait = *b.Wait
	}
	q := closing.Request{Tenant: owner, Channel: channel, Day: day, Force: bool(orZero(b.Force)), DryRun: bool(orZero(b.DryRun))}
	batch, err := p.Closer.Execute(ctx, q, delayed(ctx, time.Duration(wait)*time.Second))
	result := p.result(batch, inEnglish(ctx))
	result.DryRun = q.DryRun
	if err != nil && batch.FailureCode != 0 {
		return nil, withResult(err, result)
	}
	return &result, err
}

// withResult puts the result of a failed run into the data of its refusal.
func withResult(err error, result any) error {
	text, marshalErr := json.Marshal(result)
	if marshalErr != nil {
		return marshalErr
	}
	var data map[string]json.RawMessage
	if unmarshalErr := json.Unmarshal(text, &data); unmarshalErr != nil {
		return unmarshalErr
	}
	facts := make(map[string]any, len(data))
	for name, value := range data {
		facts[name] = value
	}
	return evcs.With(err, facts)
}

func (p Recon) batches(ctx context.Context, a *evcs.Actor, in *batchFilter, page evcs.PageRequest) (evcs.Page[api.ReconResult], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.ReconResult]{}, err
	}
	found, err := p.Read.BatchPage(ctx, scope, recon.BatchFilter{
		Channel: in.Channel, Statuses: in.Status, From: string(in.StartDate.Or("")), To: string(in.EndDate.Or("")), Closed: flagPtr(in.Closed),
	}, page)
	return pageOf(found, worded(ctx, p.result)), err
}

func (p Recon) one(ctx context.Context, a *evcs.Actor, id evcs.BatchID) (recon.Batch, error) {
	b, err := p.Read.Batch(ctx, evcs.Subtree(a.Tenant), id)
	if err != nil {
		return b, err
	}
	return b, tenant.Reach(a, b.Tenant, false)
}

func (p Recon) batch(ctx context.Context, a *evcs.Actor, in *batchPath) (*api.ReconResult, error) {
	b, err := p.one(ctx, a, in.BatchID)
	if err != nil {
		return nil, err
	}
	result := p.result(b, inEnglish(ctx))
	return &result, nil
}

func (p Recon) proof(ctx context.Context, a *evcs.Actor, in *batchPath) (*api.Proof, error) {
	b, err := p.one(ctx, a, in.BatchID)
	if err != nil {
		return nil, err
	}
	if b.Proof == nil {
		return nil, evcs.WithDetail(recon.ErrNoBatch, evcs.Detail{ZH: "批次尚未关账", EN: "the batch is not closed"}, map[string]any{"batchId": b.ID})
	}
	return proofJSON(b.Proof), nil
}

func (p Recon) close(ctx context.Context, a *evcs.Actor, in *struct {
	batchPath
	Body api.Note
},
) (*api.Proof, error) {
	proof, err := p.Closer.Close(ctx, a, in.BatchID, orZero(in.Body.Note))
	if err != nil {
		return nil, err
	}
	return proofJSON(&proof), nil
}

func (p Recon) reopen(ctx context.Context, a *evcs.Actor, in *struct {
	batchPath
	Body api.ReopenBatch
},
) (*api.ReconResult, error) {
	b, err := p.Closer.Reopen(ctx, a, in.BatchID, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	result := p.result(b, inEnglish(ctx))
	return &result, nil
}

func (p Recon) differences(ctx context.Context, a *evcs.Actor, in *differenceFilter, page evcs.PageRequest) (evcs.Page[api.Difference], error) {
	scope, err := in.Scope(ctx, a)
	if err != nil {
		return evcs.Page[api.Difference]{}, err
	}
	want := recon.DifferenceFilter{
		Batch: in.BatchID.Or(0), Channel: in.Channel, Kinds: in.Kind, States: in.State, Order: in.OrderID.Or(0), TradeNo: in.TradeNo,
	}
	if in.MinAgeDays.Set {
		want.CreatedUntil = p.Clock.Now().AddDate(0, 0, -in.MinAgeDays.Value)
	}
	found, err := p.Read.DifferencePage(ctx, scope, want, page)
	return pageOf(found, p.differenceJSON), err
}

func (p Recon) difference(ctx context.Context, a *evcs.Actor, in *differencePath) (*api.DifferenceDetail, error) {
	d, err := p.Read.Difference(ctx, evcs.Subtree(a.Tenant), in.DifferenceID)
	if err == nil {
		err = tenant.Reach(a, d.Tenant, false)
	}
	if err != nil {
		return nil, err
	}
	return &api.DifferenceDetail{Difference: p.differenceJSON(d), LocalRaw: textOrNil(d.LocalRaw), ChannelRaw: textOrNil(d.ChannelRaw)}, nil
}

func (p Recon) resolve(ctx context.Context, a *evcs.Actor, in *struct {
	differencePath
	Body api.ResolveDifference
},
) (*api.Difference, error) {
	d, err := p.Closer.Resolve(ctx, a, in.DifferenceID, closing.Proposal{Action: recon.Action(in.Body.Action), Reason: in.Body.Reason, Version: in.Body.Version})
	return p.answered(d, err)
}

func (p Recon) approve(ctx context.Context, a *evcs.Actor, in *struct {
	differencePath
	Body api.Note
},
) (*api.Difference, error) {
	d, err := p.Closer.Approve(ctx, a, in.DifferenceID, orZero(in.Body.Note))
	return p.answered(d, err)
}

func (p Recon) reject(ctx context.Context, a *evcs.Actor, in *struct {
	differencePath
	Body api.Note
},
) (*api.Difference, error) {
	d, err := p.Closer.Reject(ctx, a, in.DifferenceID, orZero(in.Body.Note))
	return p.answered(d, err)
}

func (p Recon) answered(d recon.Difference, err error) (*api.Difference, error) {
	if err != nil {
		return nil, err
	}
	out := p.differenceJSON(d)
	return &out, nil
}

func (p Recon) setFaults(ctx context.Context, a *evcs.Actor, in *struct{ Body api.StatementFaults }) (*api.StatementFaults, error) {
	owner, err := p.s.createFor(ctx, a, in.Body.TenantID)
	if err != nil {
		return nil, err
	}
	b := in.Body
	err = p.Faults.SetFaults(ctx, a, owner, StatementFaults{
		Day: string(b.Date), Amount: orZero(b.Amount), Missing: orZero(b.Missing), Extra: orZero(b.Extra), Status: orZero(b.Status),
		Duplicate: orZero(b.Duplicate), Fee: orZero(b.Fee), NotReady: bool(orZero(b.NotReady)), Broken: bool(orZero(b.Broken)),
	})
	if err != nil {
		return nil, err
	}
	return &b, nil
}
