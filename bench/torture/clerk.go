package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/evcs/evcs/bench/probe"
	"github.com/evcs/evcs/internal/api"
)

// clerks reconcile the day, again and again, while customers pay and evcsd is
// killed: one proposes what to do about differences, the other approves. At the
// end they close the day. They remember what was acknowledged.
type clerks struct {
	t              *torture
	maker, checker *probe.Client
	stop           chan struct{}
	done           sync.WaitGroup

	// All of one goroutine at a time: work, then close.
	days    map[day]api.ReconResult // the last acknowledged run by day
	reviews map[int64]string        // acknowledged ends of differences
	runs    int
	holds   map[string]int64 // fen at a channel at the end of its last closed day
	busy    atomic.Bool      // a reconciliation is on its way
}

// day is a day of a channel.
type day struct{ channel, date string }

func (d day) String() string { return d.date + " of " + d.channel }

// sandbox is the channel inside evcsd, whose day can be reconciled while it goes on.
const sandbox = "sandbox"

// bankZone is the zone of statements.
func bankZone() *time.Location { return time.FixedZone("CST", 8*3600) }

func (c *clerks) today() string { return c.t.clock.Now().In(bankZone()).Format(time.DateOnly) }

// seed says what is wrong with today's statement. It names rows that are there
// from the beginning, so that it stays the same.
func (c *clerks) seed(ctx context.Context) error {
	return c.t.admin.Do(ctx, http.MethodPut, "/api/payment/sandbox/statement-faults", "",
		map[string]any{"date": c.today(), "amount": 1, "extra": 3, "fee": 1, "missing": 1}, nil)
}

// hireClerks makes two people who may reconcile.
func hireClerks(ctx context.Context, t *torture) (*clerks, error) {
	c := &clerks{t: t, stop: make(chan struct{}), days: map[day]api.ReconResult{}, reviews: map[int64]string{}, holds: map[string]int64{}}
	for name, who := range map[string]**probe.Client{"maker": &c.maker, "checker": &c.checker} {
		password := probe.NewPassword(t.clock)
		err := t.admin.Do(ctx, http.MethodPost, "/api/user", "", map[string]any{
			"username": name, "password": password, "roles": []string{"ADMIN"}, "mustChangePassword": 0,
		}, nil)
		if err != nil {
			return nil, fmt.Errorf("hire the %s: %w", name, err)
		}
		*who = probe.NewClient(t.daemon.BaseURL(), 2)
		if err := (*who).Login(ctx, name+"@TORTURE", password); err != nil {
			return nil, err
		}
	}
	if err := c.seed(ctx); err != nil {
		return nil, fmt.Errorf("seed the statement: %w", err)
	}
	return c, nil
}

// begin lets them work until end.
func (c *clerks) begin(ctx context.Context) {
	c.done.Go(func() {
		for n := 0; !ended(c.stop) && ctx.Err() == nil; n++ {
			if err := c.work(ctx, n); err != nil && ctx.Err() == nil {
				c.t.faulty.add(notTaken, "a clerk was refused: %v", err)
				return
			}
			pause(ctx, 300*time.Millisecond)
		}
	})
}

func (c *clerks) end() {
	close(c.stop)
	c.done.Wait()
}

// work reconciles today and deals with one difference; now and then it fetches
// the statements of a real channel and reconciles its day.
func (c *clerks) work(ctx context.Context, n int) error {
	if c.t.gate != nil && n%3 == 2 {
		d := day{channels()[n/3%2], c.t.gate.day}
		if _, err := c.execute(ctx, d, true); err != nil && !refusedWith(err, 4011) { // 4011: nobody has paid yet
			return err
		}
	}
	r, err := c.execute(ctx, day{sandbox, c.today()}, false)
	if err != nil {
		return err
	}
	open, err := c.differences(ctx, fmt.Sprintf("batchId=%d&state=OPEN", r.BatchID))
	if err != nil || n%4 != 0 {
		return err
	}
	// Rows that nobody knows are strange for good. What else differs while people
	// pay may be on its way, and nothing to write off yet.
	if i := slices.IndexFunc(open, func(d api.Difference) bool { return d.Kind == "CHANNEL_ONLY" && d.LocalAmount == nil }); i >= 0 {
		return c.review(ctx, open[i], nil)
	}
	return nil
}

// execute reconciles a day and holds the answer against the last one: the same
// batch, runs that only count up, and the same figures for the same run.
func (c *clerks) execute(ctx context.Context, d day, force bool) (api.ReconResult, error) {
	var r api.ReconResult
	body := map[string]any{"reconciliationDate": d.date, "channel": d.channel}
	if force {
		body["force"] = 1
	}
	c.busy.Store(true)
	defer c.busy.Store(false)
	if err := until(ctx, c.maker, http.MethodPost, "/api/reconciliation/execute", "", body, &r); err != nil {
		return r, fmt.Errorf("reconcile %s: %w", d, err)
	}
	c.runs++
	if last, ran := c.days[d]; ran {
		fault := &c.t.faulty
		switch {
		case r.BatchID != last.BatchID:
			fault.add(doubled, "%s has the batches %d and %d", d, last.BatchID, r.BatchID)
		case r.RunNo < last.RunNo:
			fault.add(movedBack, "%s: run %d was acknowledged, now it is run %d", d, last.RunNo, r.RunNo)
		case r.RunNo == last.RunNo && (r.TotalCount != last.TotalCount || r.SystemTotalAmount != last.SystemTotalAmount):
			fault.add(changed, "%s: run %d had %d rows of %s, now %d of %s", d, r.RunNo, last.TotalCount, last.SystemTotalAmount, r.TotalCount, r.SystemTotalAmount)
		}
	}
	c.days[d] = r
	return r, nil
}

func (c *clerks) differences(ctx context.Context, query string) ([]api.Difference, error) {
	var list []api.Difference
	err := all(ctx, c.maker, "/api/reconciliation/difference", query, func(d api.Difference) { list = append(list, d) })
	if err != nil && !customerFault(err) && ctx.Err() == nil {
		pause(ctx, 30*time.Millisecond)
		return c.differences(ctx, query)
	}
	return list, err
}

// review proposes and approves one difference. die, when it is not nil, is
// called while the two calls are on their way. A state that the call was to
// bring about counts as its answer: an earlier copy was done and its answer lost.
func (c *clerks) review(ctx context.Context, d api.Difference, die func()) error {
	action := "EXPLAIN"
	ofAccount := slices.ContainsFunc(d.Facets, func(f string) bool { return f == "FUND_FLOW" || f == "BALANCE" || f == "OPENING" || f == ofCharger })
	if !ofAccount && (d.Kind == "AMOUNT_MISMATCH" || d.Kind == "CHANNEL_ONLY" && d.DifferenceID%2 == 0) {
		action = "WRITE_OFF" // what only the account or a charger shows moves no money of ours: it can be explained alone
	}
	path := fmt.Sprintf("/api/reconciliation/difference/%d", d.DifferenceID)
	steps := []struct {
		who  *probe.Client
		path string
		body map[string]any
		ends map[string]bool
	}{
		{c.maker, path + "/resolve", map[string]any{"action": action, "reason": "torture"}, map[string]bool{api.DifferencePendingReview: true}},
		{c.checker, path + "/approve", map[string]any{"note": "torture"}, map[string]bool{api.DifferenceResolved: true, api.DifferenceWrittenOff: true}},
	}
	for _, step := range steps {
		var after api.Difference
		if die != nil {
			die()
		}
		err := until(ctx, step.who, http.MethodPost, step.path, "", step.body, &after)
		if refusedWith(err, 4015) {
			err = until(ctx, c.maker, http.MethodGet, path, "", nil, &after)
		}
		if err != nil {
			return err
		}
		if after.State == api.DifferenceSuperseded { // the rows it was about have moved on
			return nil
		}
		if !step.ends[after.State] {
			return fmt.Errorf("%w: %s left difference %d %s", errUnkept, step.path, d.DifferenceID, after.State)
		}
		c.reviews[d.DifferenceID] = after.State
	}
	return nil
}

// close goes through the end of the day with evcsd being killed all the time:
// runs, reviews, the close itself. The figures must stay those of the receipts.
//
// A refusal is a violation; an error means that there is no evcsd any more.
func (c *clerks) close(ctx context.Context, s *summary) error {
	err := c.finish(ctx, s)
	if customerFault(err) || errors.Is(err, errUnkept) {
		c.t.faulty.add(lostReview, "the clerks cannot close the day: %v", err)
		err = nil
	}
	s.Runs, s.Reviews = c.runs, len(c.reviews)
	return err
}

// errUnkept: an answer was not kept.
var errUnkept = errors.New("evcsd did not keep what it had answered")

func (c *clerks) finish(ctx context.Context, s *summary) error {
	for d := range c.t.till.byDay() {
		if _, ran := c.days[d]; !ran {
			if _, err := c.execute(ctx, d, false); err != nil {
				return err
			}
		}
	}
	closed := map[string]api.Proof{} // the last of a channel
	for _, d := range sortedDays(c.days) {
		proof, err := c.finishDay(ctx, s, d)
		if err != nil {
			return err
		}
		if last, is := closed[d.channel]; is && proof.Opening != last.Closing {
			c.t.faulty.add(wrongDay, "%s opens with %s, the day before closed with %s", d, proof.Opening, last.Closing)
		}
		closed[d.channel] = proof
	}
	return nil
}

// finishDay runs a day again and again and closes it.
func (c *clerks) finishDay(ctx context.Context, s *summary, d day) (api.Proof, error) {
	deaths := max(2, c.t.kills/8)
	switch {
	case c.t.kills == 0:
		deaths = 0
	case d.channel != sandbox:
		deaths = max(1, c.t.kills/24)
	}
	if err := c.rerun(ctx, s, d, deaths); err != nil {
		return api.Proof{}, err
	}
	if d.channel != sandbox {
		if err := c.agrees(d); err != nil {
			return api.Proof{}, err
		}
	}
	return c.closeDay(ctx, s, d, deaths > 0)
}

// agrees holds the last run of a real channel's day against what the gateway
// did: every row is there and matches, and no money has moved besides.
func (c *clerks) agrees(d day) error {
	want, err := c.t.gate.books(d.channel)
	if err != nil {
		return err
	}
	r := c.days[d]
	fees, theirs := amount(r.FeeTotal), amount(r.ChannelTotalAmount)
	if r.Status != api.ReconSuccess || r.TotalCount != want.rows || r.MatchedCount != want.rows || int64(r.SystemTotalAmount) != want.paid-want.back ||
		theirs != want.paid-want.back || fees != want.fees || r.OpenDifferences != 0 || r.Counts != (api.ReconCounts{}) {
		c.t.faulty.add(wrongDay, "%s: the gateway did %+v, run %d says %s: %d rows, %d match, ours %s, theirs %s, fees %s, %d open, %+v", d, want, r.RunNo, r.Status,
			r.TotalCount, r.MatchedCount, r.SystemTotalAmount, api.Money(theirs), api.Money(fees), r.OpenDifferences, r.Counts)
	}
	if f := r.Funds; f == nil || f.MatchedCount != f.TotalCount || int64(f.PaymentAmount) != want.paid || int64(f.RefundAmount) != want.back ||
		int64(f.FeeAmount) != want.fees || f.UnexplainedDrift != 0 {
		c.t.faulty.add(wrongDay, "%s: the gateway moved %+v, run %d says %+v", d, want, r.RunNo, f)
	}
	return nil
}

// die kills evcsd a moment from now and starts it again. The returned function
// waits for that.
func (c *clerks) die(ctx context.Context, s *summary, within time.Duration) func() error {
	after := time.Duration(c.t.luck.Int64N(int64(within)))
	done, caught := make(chan error, 1), make(chan bool, 1)
	go func() {
		pause(ctx, after)
		caught <- c.busy.Load()
		c.t.daemon.Process().Kill()
		done <- c.t.rise(ctx, s)
	}()
	s.AtClose++
	return func() error {
		if <-caught {
			s.interrupted++
		}
		return <-done
	}
}

// sight is what a run of a day shows.
type sight struct {
	api.ReconResult
	differences map[string]int
}

func (c *clerks) see(ctx context.Context, d day, force bool) (sight, error) {
	r, err := c.execute(ctx, d, force)
	if err != nil {
		return sight{}, err
	}
	found, err := c.found(ctx, r.BatchID)
	return sight{r, found}, err
}

// look runs a day twice: it has the money of the receipts, and the second run
// shows what the first did.
func (c *clerks) look(ctx context.Context, d day) error {
	first, err := c.see(ctx, d, true)
	if err != nil {
		return err
	}
	if want := c.t.till.byDay()[d]; int64(first.SystemTotalAmount) != want {
		c.t.faulty.add(wrongMoney, "%s: the platform counts %s, the customers %s", d, first.SystemTotalAmount, api.Money(want))
	}
	second, err := c.see(ctx, d, false)
	if err == nil {
		c.same(d, first, second)
	}
	return err
}

// same holds two runs over the same rows against each other.
func (c *clerks) same(d day, a, b sight) {
	if a.TotalCount != b.TotalCount || a.MatchedCount != b.MatchedCount || a.SystemTotalAmount != b.SystemTotalAmount || a.Counts != b.Counts {
		c.t.faulty.add(wrongDay, "%s: run %d counts %d, %d matched, %s, %+v; run %d %d, %d, %s, %+v", d, a.RunNo, a.TotalCount,
			a.MatchedCount, a.SystemTotalAmount, a.Counts, b.RunNo, b.TotalCount, b.MatchedCount, b.SystemTotalAmount, b.Counts)
	}
	for key, n := range b.differences {
		switch was := a.differences[key]; {
		case was == 0:
			c.t.faulty.add(wrongDay, "%s: difference %s was not there before the kill", d, key)
		case n > was:
			c.t.faulty.add(doubled, "%s: difference %s is there %d times, before the kill %d times", d, key, n, was)
		}
	}
	for key := range a.differences {
		if b.differences[key] == 0 {
			c.t.faulty.add(wrongDay, "%s: difference %s is gone after the kill", d, key)
		}
	}
}

// rerun kills evcsd during runs of a day. Every run after that has the figures
// of the first, and the same differences.
func (c *clerks) rerun(ctx context.Context, s *summary, d day, deaths int) error {
	if err := c.look(ctx, d); err != nil {
		return err
	}
	began := probe.Monotonic()
	first, err := c.see(ctx, d, true)
	if err != nil {
		return err
	}
	took := probe.Monotonic() - began
	for range deaths {
		wait := c.die(ctx, s, took)
		_, err := c.execute(ctx, d, true)
		if waited := wait(); waited != nil || err != nil {
			return errors.Join(err, waited)
		}
		after, err := c.see(ctx, d, false)
		if err != nil {
			return err
		}
		c.same(d, first, after)
	}
	return nil
}

// found counts the differences of a batch that stand, by what they are about.
func (c *clerks) found(ctx context.Context, batch int64) (map[string]int, error) {
	list, err := c.differences(ctx, fmt.Sprintf("batchId=%d", batch))
	found := map[string]int{}
	for _, d := range list {
		if d.State != api.DifferenceSuperseded {
			found[subject(d)]++
		}
	}
	return found, err
}

// ofCharger is the facet of a difference with a charger's own bill.
const ofCharger = "CHARGER"

// subject is what a difference of a batch is about.
func subject(d api.Difference) string {
	leg := ""
	if slices.Contains(d.Facets, ofCharger) {
		leg = ofCharger
	}
	return fmt.Sprint(leg, " ", d.Kind, " ", d.Direction, " ", text(d.TradeNo), " ", text(d.RefundNo), " ", text(d.ChannelTradeNo))
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// maxDeadly bounds how many reviews evcsd is killed in: chargers may have told
// hundreds of bills that are not ours.
const maxDeadly = 6

// closeDay deals with what is open and closes the day.
func (c *clerks) closeDay(ctx context.Context, s *summary, d day, deadly bool) (api.Proof, error) {
	var proof api.Proof
	batch := c.days[d].BatchID
	open, err := c.differences(ctx, fmt.Sprintf("batchId=%d&state=OPEN", batch))
	if err != nil {
		return proof, err
	}
	var waits []func() error
	die := func() {
		for _, wait := range waits {
			err = errors.Join(err, wait())
		}
		waits = append(waits[:0], c.die(ctx, s, 20*time.Millisecond))
	}
	if !deadly {
		die = func() {}
	}
	for i, one := range open {
		kill := die
		if i >= maxDeadly {
			kill = nil
		}
		if reviewed := c.review(ctx, one, kill); reviewed != nil {
			for _, wait := range waits { // or it dies while everything is compared
				err = errors.Join(err, wait())
			}
			return proof, errors.Join(reviewed, err)
		}
	}
	die()
	path := fmt.Sprintf("/api/reconciliation/batch/%d", batch)
	closed := until(ctx, c.maker, http.MethodPost, path+"/close", "", map[string]any{"note": "torture"}, &proof)
	for _, wait := range waits {
		err = errors.Join(err, wait())
	}
	if closed != nil && !refusedWith(closed, 4014) || err != nil { // 4014: an earlier copy has closed it
		return proof, errors.Join(closed, err)
	}
	again := proof
	if err := until(ctx, c.maker, http.MethodGet, path+"/proof", "", nil, &again); err != nil {
		return proof, err
	}
	if closed == nil && again.Hash != proof.Hash {
		c.t.faulty.add(changed, "%s was closed with proof %s, now it is %s", d, proof.Hash, again.Hash)
	}
	if err := c.prove(ctx, d, batch, again); err != nil {
		return proof, err
	}
	if _, err := c.execute(ctx, d, true); !refusedWith(err, 4014) {
		c.t.faulty.add(wrongDay, "%s is closed and was reconciled: %v", d, err)
	}
	return again, nil
}

// prove holds what the proof of a day says the channel holds against the
// receipts: what was paid and not given back until then, less fees, with what
// was written off.
func (c *clerks) prove(ctx context.Context, d day, batch int64, p api.Proof) error {
	written, err := c.differences(ctx, fmt.Sprintf("batchId=%d&state=WRITTEN_OFF", batch))
	if err != nil {
		return err
	}
	c.holds[d.channel] += c.t.till.byDay()[d] - int64(p.Fees)
	for _, one := range written {
		c.holds[d.channel] += amount(one.ChannelAmount) - amount(one.LocalAmount)
	}
	if int64(p.LedgerClosing) != c.holds[d.channel] {
		c.t.faulty.add(wrongMoney, "%s closes with %s at the channel, the receipts give %s", d, p.LedgerClosing, api.Money(c.holds[d.channel]))
	}
	return nil
}

func amount(m *api.Money) int64 {
	if m == nil {
		return 0
	}
	return int64(*m)
}

// byDay is what the customers paid less what they got back, by the day of
// statements. What goes through the gateway is of its day, whenever evcsd heard.
func (l *till) byDay() map[day]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	days := map[day]int64{}
	add := func(channel string, at *api.Time, amount api.Money) {
		switch {
		case slices.Contains(channels(), channel):
			days[day{channel, l.t.gate.day}] += int64(amount)
		case at != nil && channel != atDesk:
			days[day{channel, at.Std().In(bankZone()).Format(time.DateOnly)}] += int64(amount)
		}
	}
	over := map[string]string{} // channels by trade
	for _, p := range l.pays {
		over[p.TradeNo] = cmp.Or(p.Channel, sandbox)
		add(over[p.TradeNo], p.PaidTime, p.Amount)
	}
	for _, r := range l.refunds {
		add(over[r.TradeNo], r.SuccessTime, -r.RefundAmount)
	}
	return days
}

func sortedDays(m map[day]api.ReconResult) []day {
	return slices.SortedFunc(maps.Keys(m), func(a, b day) int { return cmp.Or(cmp.Compare(a.channel, b.channel), cmp.Compare(a.date, b.date)) })
}
