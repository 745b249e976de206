package closing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/bill"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

// lease is how long a run may take before another may begin.
const lease = 15 * time.Minute

// Request asks for the reconciliation of a day.
type Request struct {
	Tenant  evcs.TenantID
	Channel string
	Day     string // yyyy-MM-dd in Asia/Shanghai
	Force   bool   // fetch and run anew
	DryRun  bool   // store nothing
	// funds says that the day stands and only its fund statement is asked for:
	// what goes wrong changes nothing.
	funds bool
}

// check refuses a day that has not ended; the sandbox's may still go on.
func (q Request) check(now time.Time) error {
	today := recon.DayOf(now)
	if _, _, ok := recon.Bounds(q.Day); !ok || q.Day > today || q.Day == today && q.Channel != payment.ChannelSandbox {
		return evcs.Invalid(evcs.FieldFault{Field: "reconciliationDate", Message: "must be a day before today (Asia/Shanghai)"})
	}
	return nil
}

// Execute reconciles a day. It answers when the run ends, or after wait with
// the batch RUNNING; the run goes on. With an error that is 4011 or 4012 the
// batch says what was found.
func (c *Closer) Execute(ctx context.Context, q Request, wait time.Duration) (recon.Batch, error) {
	r, err := c.begin(ctx, q)
	if err != nil {
		return recon.Batch{}, err
	}
	type outcome struct {
		batch recon.Batch
		err   error
	}
	running := r.batch
	done := make(chan outcome, 1)
	c.runs.Go(func() {
		batch, err := c.guarded(context.WithoutCancel(ctx), r)
		done <- outcome{batch, err}
	})
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case o := <-done:
		return o.batch, o.err
	case <-timer.C:
	case <-ctx.Done():
	}
	if q.DryRun {
		running.Status = recon.Running
	}
	return running, nil
}

// guarded is the run until it ends or the daemon stops.
func (c *Closer) guarded(ctx context.Context, r *run) (recon.Batch, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.runs.Go(func() {
		select {
		case <-c.stopping:
			cancel()
		case <-ctx.Done():
		}
	})
	return c.perform(ctx, r)
}

// run is one run of a day.
type run struct {
	Request
	ch       payment.Channel
	accounts []payment.Merchant
	batch    recon.Batch
	stored   bool // the outcome is
	waiting  []recon.Difference
	matcher  *recon.Matcher
	flows    *recon.Flows // nil: there are no fund statements
	claims   *recon.Claims
	sources  []*source
	funds    []*source // of every account, or none
	sha      string
	fundSHA  string
	denied   map[string]string  // keys of LOCAL_ONLY rows that the channel denies
	moved    []recon.Difference // of the second leg and the chargers'
	figures  *recon.FundFigures // nil: there is none
	paidOut  []ledger.Outside   // what the fund statements say left for the bank
}

// close gives the files of a run back.
func (r *run) close() error {
	return errors.Join(closeAll(r.sources), r.closeFunds(), r.dropJoin())
}

func (r *run) closeFunds() error { return closeAll(r.funds) }

func closeAll(list []*source) error {
	var errs []error
	for _, s := range list {
		if s.file != nil {
			errs = append(errs, s.file.Close())
		}
	}
	return errors.Join(errs...)
}

// dropJoin gives the matcher and the flows back.
func (r *run) dropJoin() error {
	var errs []error
	if r.matcher != nil {
		errs = append(errs, r.matcher.Close())
	}
	if r.flows != nil {
		errs = append(errs, r.flows.Close())
	}
	return errors.Join(errs...)
}

// source is an account's statement.
type source struct {
	account payment.Merchant
	kind    string           // as it is kept when it was fetched
	kept    *recon.Statement // nil: it was fetched
	file    *spooled         // nil: not needed yet
	sha     string
	fault   string // what is wrong with the file as a whole
	empty   string // the channel's word for a day without rows; there is no file then
	summary payment.Summary
}

// begin takes the lease of the day.
func (c *Closer) begin(ctx context.Context, q Request) (*run, error) {
	if err := q.check(c.now()); err != nil {
		return nil, err
	}
	ch, accounts, err := c.channel(ctx, q.Tenant, q.Channel)
	if err != nil {
		return nil, err
	}
	r := &run{Request: q, ch: ch, accounts: accounts}
	if q.DryRun {
		r.batch, err = c.cfg.Read.BatchOf(ctx, evcs.Only(q.Tenant), q.Channel, q.Day)
		if errors.Is(err, recon.ErrNoBatch) {
			r.batch, err = recon.Batch{Tenant: q.Tenant, Channel: q.Channel, Day: q.Day}, nil
		}
		if err == nil {
			err = r.batch.CheckOpen()
		}
		r.batch.StartedAt = c.now()
		return r, err
	}
	return r, c.cfg.Transact(ctx, func(tx Tx) error {
		now := c.now()
		b, err := tx.Recon().BatchOf(ctx, evcs.Only(q.Tenant), q.Channel, q.Day)
		fresh := errors.Is(err, recon.ErrNoBatch)
		if fresh {
			b, err = recon.Batch{Tenant: q.Tenant, Channel: q.Channel, Day: q.Day}, nil
		}
		if err != nil {
			return err
		}
		if err := b.Begin(c.cfg.Node, now, now.Add(lease)); err != nil {
			return err
		}
		if fresh {
			err = tx.Recon().InsertBatch(ctx, &b)
		} else {
			err = tx.Recon().UpdateBatch(ctx, evcs.Only(q.Tenant), &b)
		}
		r.batch = b
		return err
	})
}

// perform does the run, and gives the lease back when it could not.
func (c *Closer) perform(ctx context.Context, r *run) (recon.Batch, error) {
	b, err := c.reconcile(ctx, r)
	err = errors.Join(err, r.close())
	if err == nil || r.stored || r.DryRun {
		return b, err
	}
	return b, errors.Join(err, c.release(context.WithoutCancel(ctx), r))
}

func (c *Closer) release(ctx context.Context, r *run) error {
	return c.change(ctx, r, func(_ Tx, b *recon.Batch) error {
		b.Interrupt()
		return nil
	})
}

// Recover gives back the leases of runs that an earlier life of this node did
// not end, and returns how many. It is for the start, before the first run.
func (c *Closer) Recover(ctx context.Context) (int, error) {
	n := 0
	err := c.cfg.Transact(ctx, func(tx Tx) error {
		held, err := tx.Recon().LeasedTo(ctx, c.cfg.Node)
		if err != nil {
			return err
		}
		n = len(held)
		for i := range held {
			held[i].Interrupt()
			if err := tx.Recon().UpdateBatch(ctx, evcs.Only(held[i].Tenant), &held[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// change updates the batch of a run while its lease holds.
func (c *Closer) change(ctx context.Context, r *run, fn func(Tx, *recon.Batch) error) error {
	scope := evcs.Only(r.Tenant)
	var after recon.Batch
	err := c.cfg.Transact(ctx, func(tx Tx) error {
		b, err := tx.Recon().Batch(ctx, scope, r.batch.ID)
		if err != nil {
			return err
		}
		if b.Version != r.batch.Version {
			return evcs.With(recon.ErrRunning, map[string]any{"batchId": b.ID})
		}
		if err := fn(tx, &b); err != nil {
			return err
		}
		if err := tx.Recon().UpdateBatch(ctx, scope, &b); err != nil {
			return err
		}
		after, err = tx.Recon().Batch(ctx, scope, b.ID) // with its open differences
		return err
	})
	if err == nil {
		r.batch, r.stored = after, true
	}
	return err
}

// reconcile fetches, matches and stores.
func (c *Closer) reconcile(ctx context.Context, r *run) (recon.Batch, error) {
	trouble, err := c.collect(ctx, r)
	if err != nil {
		return r.batch, err
	}
	if err := c.locals(ctx, r); err != nil {
		return r.batch, err
	}
	if trouble == nil {
		trouble = r.deniedDay()
	}
	if trouble != nil {
		return c.failed(ctx, r, trouble)
	}
	if !r.Force && r.batch.Same(r.sha, r.digest()) {
		if r.DryRun {
			r.batch.Release()
			return r.batch, nil
		}
		err = c.release(ctx, r)
		return r.batch, err
	}
	out, trouble, err := c.outcome(ctx, r)
	if err != nil {
		return r.batch, err
	}
	if trouble != nil {
		return c.failed(ctx, r, trouble)
	}
	if r.DryRun {
		out.Figures.Funds = r.figures
		r.batch.Finish(out.Figures, r.sha, r.digest(), c.now())
		return r.batch, nil
	}
	if out, err = c.ask(ctx, r, out); err != nil {
		return r.batch, err
	}
	err = c.finish(ctx, r, out)
	return r.batch, err
}

// deniedDay is the trouble when a channel says that a day had no rows, and we
// have some.
func (r *run) deniedDay() *trouble {
	for _, s := range r.sources {
		if s.empty != "" && r.matcher.RowsOf(s.account.ID) > 0 {
			return &trouble{rule: payment.ErrNotReady, message: s.empty}
		}
	}
	return nil
}

// digest is the fingerprint of what a run works on beside its statements.
func (r *run) digest() string {
	digest := r.matcher.Digest()
	for _, more := range [...]string{r.fundSHA, r.claims.Digest()} {
		if more != "" {
			digest += " " + more
		}
	}
	return digest
}

// maxJoins bounds how often a day is read again because it changed meanwhile.
const maxJoins = 4

// outcome matches the day. The local rows were read; when one of them is found
// to have been settled meanwhile they are read again.
func (c *Closer) outcome(ctx context.Context, r *run) (out recon.Outcome, t *trouble, err error) {
	for range maxJoins {
		if t, err = c.match(ctx, r); err != nil || t != nil {
			return out, t, err
		}
		out, err = r.matcher.Outcome(ctx, c.finder(r))
		if err == nil {
			err = c.flow(ctx, r, &out)
		}
		if list, figures := r.claims.Outcome(); err == nil {
			if out.Figures.Claims = figures; len(list) > 0 {
				out.Figures.Status = recon.Partial
			}
			r.moved = append(r.moved, list...)
		}
		switch {
		case errors.Is(err, recon.ErrUnlike):
			return out, &trouble{rule: recon.ErrInvalid, message: err.Error()}, nil
		case !errors.Is(err, evcs.ErrStale):
			return out, nil, err
		}
		if err := c.locals(ctx, r); err != nil {
			return out, nil, err
		}
	}
	return out, nil, err
}

func (c *Closer) finder(r *run) recon.Find {
	return func(ctx context.Context, d payment.Direction, numbers []string) ([]recon.Local, error) {
		return c.cfg.Read.FindLocal(ctx, evcs.Only(r.Tenant), r.Channel, d, numbers)
	}
}

// trouble is why there is no verified statement.
type trouble struct {
	rule     error // ErrNotReady or ErrInvalid
	message  string
	problems []payment.Problem
}

// collect gets every account's statement: the one that was handed in, or, when
// there is none or the run is forced, the channel's. Fund statements are taken
// when every account has one.
func (c *Closer) collect(ctx context.Context, r *run) (*trouble, error) {
	for _, account := range r.accounts {
		s, t, err := c.source(ctx, r, account, recon.KindTrade, recon.KindFetched, r.ch.Fetch)
		if err != nil || t != nil {
			return t, err
		}
		r.sources = append(r.sources, s)
	}
	r.sha = combined(r.sources)
	return c.collectFunds(ctx, r)
}

// collectFunds gets the fund statements. A channel that has none yet is none: the
// second leg is run when they are there.
func (c *Closer) collectFunds(ctx context.Context, r *run) (*trouble, error) {
	channel, ok := r.ch.(payment.FundChannel)
	if !ok {
		return nil, nil //nolint:nilnil // no trouble, no error
	}
	for i, account := range r.accounts {
		fetch := channel.FetchFund
		if r.sources[i].kept != nil {
			fetch = noFund // whoever hands one in hands the other in too
		}
		s, t, err := c.source(ctx, r, account, recon.KindFund, recon.KindFundFetched, fetch)
		if err != nil {
			return nil, err
		}
		if t != nil {
			err := r.closeFunds()
			r.funds = nil
			c.cfg.Log.InfoContext(ctx, "there is no fund statement", slog.String("channel", r.Channel), slog.String("day", r.Day), slog.String("message", t.message))
			return nil, err
		}
		r.funds = append(r.funds, s)
	}
	r.fundSHA = combined(r.funds)
	return nil, nil //nolint:nilnil // no trouble, no error
}

// emptySHA is the SHA-256 of nothing.
var emptySHA = hex.EncodeToString(sha256.New().Sum(nil))

// empty reports whether the word of a channel that has no statement means that
// there were no rows. WeChat Pay says so; Alipay says the same before and after
// it has made its statements, which it has by 14:00 of the next day.
func (c *Closer) empty(r *run, word string) bool {
	switch r.Channel {
	case payment.ChannelWechat:
		return word == "NO_STATEMENT_EXIST" || word == "NO_BILL_EXIST"
	case payment.ChannelAlipay:
		_, end, _ := recon.Bounds(r.Day)
		return strings.Contains(strings.ToLower(word), "bill_not_exist") && !c.now().Before(end.Add(ends))
	}
	return false
}

func noFund(context.Context, payment.Merchant, string) (payment.Statement, error) {
	return payment.Statement{}, payment.ErrNotReady
}

// combined is the SHA-256 of one statement, or over those of several.
func combined(list []*source) string {
	if len(list) == 1 {
		return list[0].sha
	}
	total := sha256.New()
	for _, s := range list {
		total.Write([]byte(s.sha)) // a hash takes every write
	}
	return hex.EncodeToString(total.Sum(nil))
}

// source is the statement of an account that was handed in as kind, or the
// channel's.
func (c *Closer) source(ctx context.Context, r *run, account payment.Merchant, kind, fetched string,
	fetch func(context.Context, payment.Merchant, string) (payment.Statement, error),
) (*source, *trouble, error) {
	s := &source{account: account, kind: fetched}
	if !r.Force {
		kept, err := c.cfg.Read.StatementOf(ctx, evcs.Only(r.Tenant), account.ID, r.Day, kind)
		if err != nil {
			return nil, nil, err
		}
		if kept != nil {
			s.kept, s.sha = kept, kept.SHA256
			return s, nil, nil
		}
	}
	st, err := fetch(ctx, account, r.Day)
	if err != nil {
		_, data, _ := evcs.Classify(err)
		message, _ := data["channelMessage"].(string) // absent is ""
		if errors.Is(err, payment.ErrNotReady) && c.empty(r, message) {
			s.empty, s.sha = message, emptySHA
			return s, nil, nil
		}
		if message == "" {
			message = "the channel did not give its statement"
		}
		return nil, &trouble{rule: errors.Join(payment.ErrNotReady, err), message: message}, ctx.Err()
	}
	if s.file, err = c.given(st); err != nil {
		return nil, nil, err
	}
	s.sha, err = digest(s.file)
	if f, ok := bill.FaultOf(err); ok {
		s.fault, err = f.Message, nil
	}
	if err != nil {
		return nil, nil, errors.Join(err, s.file.Close())
	}
	if st.SHA256 != "" && st.SHA256 != s.sha {
		s.fault = "the SHA-256 is " + s.sha + ", the channel declares " + st.SHA256
	}
	return s, nil, nil
}

// open is the file of a statement from its beginning.
func (c *Closer) openSource(ctx context.Context, s *source) (_ *spooled, err error) {
	if s.file == nil {
		if s.file, err = c.stored(ctx, s.kept); err != nil {
			return nil, err
		}
	}
	return s.file, rewind(s.file)
}

// locals gives our side of the day to a new matcher.
func (c *Closer) locals(ctx context.Context, r *run) error {
	from, to, _ := recon.Bounds(r.Day)
	var err error
	if r.waiting, err = c.cfg.Read.Suspense(ctx, evcs.Only(r.Tenant), r.Channel, r.Day, from); err != nil {
		return err
	}
	if err := r.dropJoin(); err != nil {
		return err
	}
	r.matcher, r.flows = recon.NewMatcher(r.Day, r.accounts, r.waiting, c.scratch), nil
	if err := c.cfg.Read.EachLocal(ctx, evcs.Only(r.Tenant), r.Channel, from, to, r.matcher.Local); err != nil {
		return err
	}
	r.claims = recon.NewClaims(r.Channel, r.Day)
	return c.cfg.Read.EachClaimed(ctx, evcs.Only(r.Tenant), r.Channel, from, to, r.claims.Add)
}

// match reads the statements; what is wrong with them is known at their end.
func (c *Closer) match(ctx context.Context, r *run) (t *trouble, err error) {
	if len(r.funds) > 0 {
		if r.flows, err = recon.NewFlows(r.Day, r.accounts, r.waiting, c.scratch); err != nil {
			return nil, err
		}
	}
	var problems []payment.Problem
	for _, s := range r.sources {
		if s.empty != "" {
			continue
		}
		f, err := c.openSource(ctx, s)
		if err != nil {
			return nil, err
		}
		s.summary, err = r.ch.Read(ctx, s.account, r.Day, f, func(row payment.Row) error {
			if r.flows != nil {
				if err := r.flows.Trade(s.account.ID, &row); err != nil {
					return err
				}
			}
			return r.matcher.Row(s.account.ID, row)
		})
		if errors.Is(err, recon.ErrUnlike) {
			return &trouble{rule: recon.ErrInvalid, message: recon.ErrUnlike.Error()}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the statement of merchant %d: %w", s.account.ID, err)
		}
		problems = append(problems, s.problems()...)
	}
	moved, err := c.readFunds(ctx, r)
	if err != nil {
		return nil, err
	}
	if problems = append(problems, moved...); len(problems) > 0 {
		return &trouble{rule: recon.ErrInvalid, message: problems[0].Message, problems: problems}, nil
	}
	return nil, nil //nolint:nilnil // no trouble, no error
}

func (s *source) problems() []payment.Problem {
	if s.fault == "" {
		return s.summary.Problems
	}
	return append([]payment.Problem{{Message: s.fault}}, s.summary.Problems...)
}

// failed records a run without a verified statement.
func (c *Closer) failed(ctx context.Context, r *run, t *trouble) (recon.Batch, error) {
	if r.Request.funds {
		c.cfg.Log.InfoContext(ctx, "a day stands without its fund statement", slog.Int64("batch_id", int64(r.batch.ID)), slog.String("message", t.message))
		err := c.release(ctx, r)
		return r.batch, err
	}
	code, _, _ := evcs.Classify(t.rule)
	figures := r.matcher.Before()
	figures.Problems = t.problems
	cause := evcs.WithDetail(t.rule, evcs.Detail{
		ZH: r.Channel + " " + r.Day + " " + evcs.Worded(t.message, false), EN: r.Channel + " " + r.Day + " " + t.message,
	}, nil)
	if r.DryRun {
		r.batch.Fail(figures, code, t.message, r.sha, c.now())
		return r.batch, cause
	}
	kept, err := c.evidence(ctx, r)
	if err != nil {
		return r.batch, err
	}
	err = c.change(ctx, r, func(tx Tx, b *recon.Batch) error {
		b.Fail(figures, code, t.message, r.sha, c.now())
		if err := keep(ctx, tx, kept); err != nil {
			return err
		}
		return emit(ctx, tx, b)
	})
	if err != nil {
		return r.batch, err
	}
	return r.batch, cause
}

// keep stores the statements that the channel gave, as evidence. Their content
// was put down before.
func keep(ctx context.Context, tx Tx, kept []recon.Statement) error {
	for i := range kept {
		if err := tx.Recon().KeepStatement(ctx, &kept[i]); err != nil {
			return err
		}
	}
	return nil
}

// evidence puts the content of the statements that the channel gave down.
func (c *Closer) evidence(ctx context.Context, r *run) ([]recon.Statement, error) {
	var kept []recon.Statement
	for _, s := range slices.Concat(r.sources, r.funds) {
		if s.kept != nil || s.file == nil || s.sha == "" {
			continue
		}
		name, size, err := c.put(ctx, r.Tenant, s.file)
		if err != nil {
			return nil, err
		}
		kept = append(kept, recon.Statement{
			Tenant: r.Tenant, Channel: r.Channel, Merchant: s.account.ID, Day: r.Day, Kind: s.kind, SHA256: s.sha, Summary: s.summary,
			File: name, Size: size, CreatedAt: c.now(),
		})
	}
	return kept, nil
}
