package recon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// errTooMany says that a day is larger than the matcher can be.
var errTooMany = errors.New("more rows in a day than can be matched")

// ErrUnlike says that so many keys differ that the statement cannot be of this
// day and these accounts; listing them would help nobody.
var ErrUnlike = fmt.Errorf("more than %d rows differ: it does not look like the statement of this day and account", maxDifferences)

const (
	// maxRows bounds a day.
	maxRows = 40_000_000
	// maxTable is how many local rows are matched in memory; a day with more goes
	// through scratch files.
	maxTable = 1_250_000
	// maxDifferences bounds what is listed of a day.
	maxDifferences = 100_000
)

// Find reads the local rows of numbers, whatever their day and state, with
// their details.
type Find func(ctx context.Context, d payment.Direction, numbers []string) ([]Local, error)

// Matcher joins a day: first every local row, then every statement row, then
// the outcome. Matching rows leave nothing behind. It is closed at the end.
type Matcher struct {
	day      string
	from, to time.Time
	accounts []payment.Merchant
	scratch  Scratch
	limit    int // of the table
	table    *table
	ours     *bins // local rows that do not fit in the table; nil: they do
	theirs   *bins // statement rows, when ours is not nil
	rows     int   // local ones
	counts   map[payment.MerchantID]int
	digest   hash.Hash
	line     []byte
	system   evcs.Money
	figures  Figures
	differs  map[int]*pair              // by place in the table
	pairs    []*pair                    // of tables that are done
	unknown  map[string]*pair           // by key: rows that are not of our day
	order    []string                   // of unknown
	waiting  map[string]evcs.Money      // suspended keys of days before, and their amounts
	early    map[string]evcs.Money      // those that the statements of days before had
	statuses map[payment.MerchantID]int // place of an account plus one
}

// pair is a key on which something differs, or seems to.
type pair struct {
	merchant  int
	direction payment.Direction
	no        string
	row       payment.Row
	channel   bool // the statement has it
	amount    evcs.Money
	done      bool // the channel calls one of its rows succeeded
	doubles   int
	entry     entry // of a row that the statement lacks
	local     *Local
	kinds     []Kind
	facets    []string
}

// NewMatcher begins a day over the accounts of its channel. waiting are the
// suspended differences of days before. scratch is for days that do not fit in
// memory; without it they are refused.
func NewMatcher(day string, accounts []payment.Merchant, waiting []Difference, scratch Scratch) *Matcher {
	m := &Matcher{
		day: day, accounts: accounts, scratch: scratch, limit: maxTable, table: newTable(), digest: sha256.New(), differs: make(map[int]*pair),
		counts:  make(map[payment.MerchantID]int),
		unknown: make(map[string]*pair), waiting: make(map[string]evcs.Money), early: make(map[string]evcs.Money), statuses: make(map[payment.MerchantID]int, len(accounts)),
	}
	m.from, m.to, _ = Bounds(day)
	for i, a := range accounts {
		m.statuses[a.ID] = i + 1
	}
	for i := range waiting {
		d := &waiting[i]
		before := d.State == AutoResolved && d.Resolution != nil && d.Resolution.Day == day // by an earlier run of this day
		switch {
		case !d.Unsettled() && !before:
		case d.Kind == LocalOnly && d.LocalAmount != nil:
			m.waiting[d.Key] = *d.LocalAmount
		case d.Kind == ChannelOnly && d.ChannelAmount != nil:
			m.early[d.Key] = *d.ChannelAmount
		}
	}
	return m
}

// Limit sets how many local rows are matched in memory.
func (m *Matcher) Limit(rows int) { m.limit = rows }

// Close gives the scratch files back. Closing again changes nothing.
func (m *Matcher) Close() error { return errors.Join(m.ours.close(), m.theirs.close()) }

func (m *Matcher) place(id payment.MerchantID) (int, bool) {
	at := m.statuses[id]
	return at - 1, at > 0
}

// Local adds a row of ours; the rows must always come in the same order.
func (m *Matcher) Local(l *Local) error {
	at, ok := m.place(l.Merchant)
	if !ok {
		return fmt.Errorf("%s %s runs over account %d, which the channel's day does not have", l.Direction, l.No, l.Merchant)
	}
	if m.rows >= maxRows || len(l.No) > maxNumber || at > 0xffff {
		return errTooMany
	}
	m.rows++
	m.counts[l.Merchant]++
	if l.Direction == payment.Pay {
		m.system += l.Amount
	} else {
		m.system -= l.Amount
	}
	m.sign(l)
	e := entry{amount: l.Amount, merchant: uint16(at), flags: refundFlag(l.Direction)} //nolint:gosec // checked above
	if l.Twice {
		e.flags |= flagTwice
	}
	if m.ours == nil {
		m.table.add(e, l.No)
		if len(m.table.rows) <= m.limit {
			return nil
		}
		return m.spill()
	}
	e.size = uint8(len(l.No)) //nolint:gosec // bounded by maxNumber
	part := binOf(m.table.hash(e.merchant, e.flags&flagRefund, l.No))
	return m.ours.keep(part, append(appendLocal(m.ours.room(part), &e), l.No...))
}

// spill moves the table into scratch files.
func (m *Matcher) spill() (err error) {
	if m.ours, err = newBins(m.scratch); err != nil {
		return err
	}
	if m.theirs, err = newBins(m.scratch); err != nil {
		return err
	}
	for i := range m.table.rows {
		e := &m.table.rows[i]
		no := m.table.no(e)
		part := binOf(m.table.hash(e.merchant, e.flags&flagRefund, string(no)))
		if err := m.ours.keep(part, append(appendLocal(m.ours.room(part), e), no...)); err != nil {
			return err
		}
	}
	m.table.reset()
	return nil
}

// sign adds what matching looks at to the digest of the local side.
func (m *Matcher) sign(l *Local) {
	b := append(m.line[:0], l.Direction...)
	b = append(append(b, ' '), l.No...)
	b = append(append(b, ' '), l.ChannelNo...)
	b = strconv.AppendInt(append(b, ' '), int64(l.Merchant), 10)
	b = strconv.AppendInt(append(b, ' '), int64(l.Amount), 10)
	b = strconv.AppendInt(append(b, ' '), evcs.Millis(l.At), 10)
	b = strconv.AppendBool(append(b, ' '), l.Twice)
	b = strconv.AppendBool(append(b, ' '), l.Returned)
	m.line = append(b, '\n')
	m.digest.Write(m.line) // a hash takes every write
}

// Digest is the fingerprint of the local rows given so far.
func (m *Matcher) Digest() string { return hex.EncodeToString(m.digest.Sum(nil)) }

// Before are the figures of a day whose statement is missing or wrong.
func (m *Matcher) Before() Figures {
	return Figures{Status: Failed, Total: int64(m.rows), System: m.system}
}

// RowsOf is how many local rows an account has.
func (m *Matcher) RowsOf(id payment.MerchantID) int { return m.counts[id] }

// numberOf is the number by which a row is known: ours, or the channel's when it
// does not say ours.
func numberOf(r *payment.Row) string {
	no := r.TradeNo
	if r.Direction == payment.RefundBack {
		no = r.RefundNo
	}
	if no == "" {
		no = r.ChannelNo
	}
	return no[:min(len(no), maxNumber)]
}

// Row matches one row of an account's statement. ErrUnlike ends the matching.
func (m *Matcher) Row(account payment.MerchantID, r payment.Row) error {
	at, ok := m.place(account)
	if !ok {
		return fmt.Errorf("a statement of account %d, which the channel's day does not have", account)
	}
	m.sum(&r)
	if m.ours == nil {
		return m.match(at, &r)
	}
	merchant := uint16(at) //nolint:gosec // Local and NewMatcher bound it
	part := binOf(m.table.hash(merchant, refundFlag(r.Direction), numberOf(&r)))
	return m.theirs.keep(part, appendRow(m.theirs.room(part), merchant, &r))
}

// match looks a statement row up in the table.
func (m *Matcher) match(at int, r *payment.Row) error {
	no := numberOf(r)
	place, _ := m.table.find(uint16(at), refundFlag(r.Direction), no) //nolint:gosec // Local and NewMatcher bound it
	if place < 0 {
		m.stranger(at, no, r)
		return m.check()
	}
	e := &m.table.rows[place]
	if e.flags&flagSeen != 0 {
		m.double(place, at, no, r)
		return nil
	}
	e.flags |= flagSeen
	if kinds := m.compare(at, e, r); len(kinds) > 0 {
		m.differs[place] = newPair(at, no, r, kinds)
		return m.check()
	}
	return nil
}

func (m *Matcher) check() error {
	if len(m.pairs)+len(m.differs)+len(m.unknown) > maxDifferences {
		return ErrUnlike
	}
	return nil
}

func (m *Matcher) sum(r *payment.Row) {
	m.figures.Rows++
	if !r.Succeeded {
		return
	}
	if r.Direction == payment.Pay {
		m.figures.Payments += r.Amount
	} else {
		m.figures.Refunds += r.Amount
	}
	m.figures.Fees += r.Fee
}

func newPair(merchant int, no string, r *payment.Row, kinds []Kind) *pair {
	kept := *r
	kept.Raw, kept.GBK = r.Text(), false
	kept.Raw = kept.Raw[:min(len(kept.Raw), maxRaw)]
	return &pair{
		merchant: merchant, direction: r.Direction, no: no, row: kept, channel: true, amount: counted(r), done: r.Succeeded, kinds: kinds,
	}
}

func counted(r *payment.Row) evcs.Money {
	if r.Succeeded {
		return r.Amount
	}
	return 0
}

// compare lists what differs between a row of ours that succeeded and its row
// in the statement, the first that applies first.
func (m *Matcher) compare(merchant int, e *entry, r *payment.Row) []Kind {
	var kinds []Kind
	if e.flags&flagTwice != 0 {
		kinds = append(kinds, Duplicate)
	}
	if e.amount != r.Amount {
		kinds = append(kinds, AmountMismatch)
	}
	if !r.Succeeded {
		kinds = append(kinds, StatusMismatch)
	}
	if r.Succeeded && r.Direction == payment.Pay && r.Fee != m.accounts[merchant].FeeOn(e.amount) {
		kinds = append(kinds, FeeMismatch)
	}
	return kinds
}

// double is a second row for a number that has one.
func (m *Matcher) double(place, merchant int, no string, r *payment.Row) {
	p := m.differs[place]
	if p == nil { // the first one matched, so it said what ours says
		first := *r
		first.Amount, first.Succeeded = m.table.rows[place].amount, true
		p = newPair(merchant, no, &first, nil)
		p.row.Fee = m.accounts[merchant].FeeOn(first.Amount)
		m.differs[place] = p
	}
	p.again(r)
}

func (p *pair) again(r *payment.Row) {
	p.doubles++
	p.amount += counted(r)
	p.done = p.done || r.Succeeded
	if r.Succeeded && p.doubles > 0 {
		p.row.Fee += r.Fee
	}
	if !slices.Contains(p.kinds, Duplicate) {
		p.kinds = append([]Kind{Duplicate}, p.kinds...)
	}
	if len(p.row.Raw) < maxRaw {
		p.row.Raw += "\n" + r.Text()
	}
}

func (m *Matcher) stranger(merchant int, no string, r *payment.Row) {
	key := keyOf(r.Direction, m.accounts[merchant].ID, no)
	if p := m.unknown[key]; p != nil {
		p.again(r)
		return
	}
	m.unknown[key] = newPair(merchant, no, r, nil)
	m.order = append(m.order, key)
}

// Outcome is what matching found.
type Outcome struct {
	Figures     Figures
	Differences []Difference
	// Crossed are the suspended keys of days before that this statement has.
	Crossed []string
}

// Outcome ends the matching. It reads the details of rows that differ, and
// looks for statement rows that are not of our day.
//
// A row that was not paid when the local rows were read, and is when its details
// are, is evcs.ErrStale: the day is to be read again.
func (m *Matcher) Outcome(ctx context.Context, find Find) (Outcome, error) {
	if err := m.join(ctx); err != nil {
		return Outcome{}, err
	}
	known, err := m.details(ctx, find)
	if err != nil {
		return Outcome{}, err
	}
	m.byChannelNumber(known)
	out := Outcome{Figures: m.figures}
	pairs := make([]*pair, 0, len(m.pairs)+len(m.order))
	out.Crossed = m.arrived()
	for _, p := range m.pairs {
		if p.local = known[keyOf(p.direction, m.accounts[p.merchant].ID, p.no)]; p.local == nil {
			return out, fmt.Errorf("the details of %s %s: %w", p.direction, p.no, evcs.ErrStale)
		}
		pairs = append(pairs, p)
	}
	out.Figures.Total = int64(m.rows + len(m.unknown))
	for _, key := range m.order {
		p, ok := m.unknown[key]
		if !ok {
			continue // found by the channel's number
		}
		p.local = known[key]
		if l := p.local; l != nil && l.Succeeded && !l.At.Before(m.from) && l.At.Before(m.to) {
			return out, fmt.Errorf("%s %s was settled meanwhile: %w", p.direction, p.no, evcs.ErrStale)
		}
		if m.judge(key, p) {
			out.Crossed = append(out.Crossed, key)
		}
		if len(p.kinds) > 0 {
			pairs = append(pairs, p)
		}
	}
	for _, p := range pairs {
		out.Differences = append(out.Differences, m.difference(p))
	}
	slices.SortFunc(out.Differences, func(a, b Difference) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	out.Figures.tally(out.Differences, m.system, len(out.Crossed))
	return out, nil
}

// Add counts differences that were settled while they were found, each on a key
// that matches now.
func (o *Outcome) Add(list []Difference) {
	taken := make(map[string]bool, len(o.Differences))
	for i := range o.Differences {
		taken[o.Differences[i].Key] = true
	}
	for i := range list {
		if taken[list[i].Key] {
			continue
		}
		o.Differences = append(o.Differences, list[i])
		o.Figures.Counts.add(list[i].Kind)
		o.Figures.Matched--
		o.Figures.Status = Partial
	}
}

func (f *Figures) tally(list []Difference, system evcs.Money, crossed int) {
	f.System, f.SuspenseOut = system, int64(crossed)
	for i := range list {
		f.Counts.add(list[i].Kind)
	}
	f.Matched = f.Total - int64(len(list))
	f.Status = Success
	if len(list) > 0 {
		f.Status = Partial
	}
}

func (c *Counts) add(k Kind) {
	switch k {
	case Duplicate:
		c.Duplicate++
	case ChannelOnly:
		c.ChannelOnly++
	case LocalOnly:
		c.LocalOnly++
	case AmountMismatch:
		c.AmountMismatch++
	case StatusMismatch:
		c.StatusMismatch++
	case FeeMismatch:
		c.FeeMismatch++
	}
}

// join ends the tables: the one in memory, or that of each part in turn.
func (m *Matcher) join(ctx context.Context) error {
	if m.ours == nil {
		return m.settle()
	}
	for part := range binCount {
		if err := ctx.Err(); err != nil {
			return err
		}
		m.table.reset()
		if err := m.ours.read(part, func(text []byte) (int, error) {
			return eachLocal(text, func(e entry, no string) { m.table.add(e, no) })
		}); err != nil {
			return err
		}
		if err := m.theirs.read(part, func(text []byte) (int, error) {
			return eachRow(text, func(merchant uint16, r payment.Row) error { return m.match(int(merchant), &r) })
		}); err != nil {
			return err
		}
		if err := m.settle(); err != nil {
			return err
		}
	}
	m.table.reset()
	return nil
}

// settle makes pairs of the local rows that no statement row has met, and takes
// what differs out of the table.
func (m *Matcher) settle() error {
	for i := range m.table.rows {
		e := &m.table.rows[i]
		if e.flags&flagSeen != 0 {
			continue
		}
		d := payment.Pay
		if e.flags&flagRefund != 0 {
			d = payment.RefundBack
		}
		m.pairs = append(m.pairs, &pair{
			merchant: int(e.merchant), direction: d, no: string(m.table.no(e)), kinds: []Kind{LocalOnly}, entry: *e,
		})
		if len(m.pairs) > maxDifferences {
			return ErrUnlike
		}
	}
	for _, p := range m.differs {
		m.pairs = append(m.pairs, p)
	}
	clear(m.differs)
	return m.check()
}

// byChannelNumber joins what is left of both sides by the channel's numbers.
func (m *Matcher) byChannelNumber(known map[string]*Local) {
	if len(m.unknown) == 0 {
		return
	}
	type name struct {
		merchant  int
		direction payment.Direction
		no        string
	}
	left := make(map[name]int)
	for i, p := range m.pairs {
		if p.channel {
			continue
		}
		if l := known[keyOf(p.direction, m.accounts[p.merchant].ID, p.no)]; l != nil && l.ChannelNo != "" {
			left[name{p.merchant, p.direction, l.ChannelNo}] = i
		}
	}
	for _, key := range m.order {
		s := m.unknown[key]
		i, ok := left[name{s.merchant, s.direction, s.row.ChannelNo}]
		if !ok || m.pairs[i] == nil || m.pairs[i].channel {
			continue
		}
		p := m.pairs[i]
		s.kinds = append(s.kinds, m.compare(s.merchant, &p.entry, &s.row)...)
		s.no, s.facets = p.no, []string{FacetNumber}
		delete(m.unknown, key)
		m.pairs[i] = s
		if len(s.kinds) == 0 {
			m.pairs[i] = nil
		}
	}
	m.pairs = slices.DeleteFunc(m.pairs, func(p *pair) bool { return p == nil })
}

// arrived takes the rows of ours out that only the statement of a day before
// has, and returns their keys.
func (m *Matcher) arrived() (keys []string) {
	m.pairs = slices.DeleteFunc(m.pairs, func(p *pair) bool {
		if p.channel {
			return false
		}
		key := keyOf(p.direction, m.accounts[p.merchant].ID, p.no)
		amount, ok := m.early[key]
		if ok = ok && amount == p.entry.amount; ok {
			keys = append(keys, key)
		}
		return ok
	})
	return keys
}

// details reads the rows of ours that differ, and those that statement rows of
// other days may mean.
func (m *Matcher) details(ctx context.Context, find Find) (map[string]*Local, error) {
	wanted := make(map[payment.Direction][]string, 2)
	for _, p := range m.pairs {
		wanted[p.direction] = append(wanted[p.direction], p.no)
	}
	for _, p := range m.unknown {
		wanted[p.direction] = append(wanted[p.direction], p.no)
	}
	known := make(map[string]*Local)
	for d, numbers := range wanted {
		slices.Sort(numbers)
		for chunk := range slices.Chunk(numbers, 500) {
			list, err := find(ctx, d, chunk)
			if err != nil {
				return nil, err
			}
			for i := range list {
				known[keyOf(d, list[i].Merchant, list[i].No)] = &list[i]
			}
		}
	}
	return known, nil
}

// judge says what a statement row is that no local row of the day has met. It
// reports whether a day before waits for it.
func (m *Matcher) judge(key string, p *pair) bool {
	amount, waits := m.waiting[key]
	switch {
	case p.local == nil:
		p.kinds = append(p.kinds, ChannelOnly)
	case waits && p.done && p.doubles == 0 && amount == p.amount:
		return true
	case p.local.Succeeded:
		p.kinds = append(p.kinds, ChannelOnly)
		p.facets = append(p.facets, FacetOtherDay)
		if !p.local.At.Before(m.to) && p.local.Amount == p.amount {
			p.facets = append(p.facets, FacetLater)
		}
	case p.done && p.local.Amount != p.row.Amount:
		p.kinds = append(p.kinds, AmountMismatch, StatusMismatch)
	case p.done:
		p.kinds = append(p.kinds, StatusMismatch)
	}
	return false
}

func (m *Matcher) difference(p *pair) Difference {
	account := m.accounts[p.merchant]
	d := Difference{
		Tenant: account.Tenant, Day: m.day, Channel: account.Channel, Key: keyOf(p.direction, account.ID, p.no), Kind: p.kinds[0],
		Direction: p.direction, Merchant: account.ID, Facets: []string{},
	}
	for _, k := range p.kinds[1:] {
		d.Facets = append(d.Facets, string(k))
	}
	d.Facets = append(d.Facets, p.facets...)
	if p.direction == payment.RefundBack {
		d.RefundNo = p.no
	} else {
		d.TradeNo = p.no
	}
	if p.channel {
		d.theirs(p)
	}
	if p.local != nil {
		d.ours(p, account)
	}
	return d
}

func (d *Difference) theirs(p *pair) {
	amount, fee := p.amount, p.row.Fee
	if !p.done {
		amount = p.row.Amount
	}
	d.ChannelAmount, d.ChannelFee, d.ChannelStatus = &amount, &fee, p.row.Status
	d.ChannelNo, d.ChannelRaw = p.row.ChannelNo, p.row.Raw
	if d.TradeNo == "" {
		d.TradeNo = p.row.TradeNo
	}
	if d.ChannelDone = p.done; p.done {
		d.ChannelAt = orDay(p.row.At, d.Day)
	}
}

// orDay is a moment, or the beginning of the day when there is none: a side
// that succeeded has a time.
func orDay(at time.Time, day string) time.Time {
	if at.IsZero() {
		at, _, _ = Bounds(day)
	}
	return at
}

func (d *Difference) ours(p *pair, account payment.Merchant) {
	l := p.local
	fee := evcs.Money(0)
	if p.direction == payment.Pay {
		fee = account.FeeOn(l.Amount)
	}
	d.LocalFee, d.TradeNo = &fee, l.TradeNo
	d.Payment, d.Order, d.OrderNo = l.Payment, l.Order, l.OrderNo
	if d.ChannelNo == "" {
		d.ChannelNo = l.ChannelNo
	}
	d.Adopted(*l)
	d.LocalRaw = l.raw()
	if slices.Contains(p.facets, FacetOtherDay) {
		d.LocalDone, d.LocalAt = false, time.Time{} // not of this day
	}
	if l.Twice && d.Kind == Duplicate {
		d.Facets = append(d.Facets, FacetSameOrder)
		if l.Returned && p.doubles == 0 && *d.LocalAmount == p.amount && len(p.kinds) == 1 {
			d.LocalStatus = statusReturned
		}
	}
}

func (l *Local) raw() string {
	return fmt.Sprintf("%s,%s,%s,%s,%s,%s", l.Direction, l.No, l.ChannelNo, l.Amount, l.Status, l.At.UTC().Format(time.RFC3339))
}
