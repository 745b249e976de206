package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Zone is where a day of the journal begins and ends: China, as the channels'
// statements.
func Zone() *time.Location { return time.FixedZone("Asia/Shanghai", 8*60*60) }

// DayOf is the day of a moment.
func DayOf(at time.Time) string { return at.In(Zone()).Format(time.DateOnly) }

// dayEnd is the first moment behind the day of a moment.
func dayEnd(at time.Time) time.Time {
	y, m, d := at.In(Zone()).Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, Zone()).UTC()
}

// Seal closes a day of a tenant's journal: every entry behind the seal before,
// up to Upto. It is never changed; whoever changes, removes or slips in an
// entry behind it must also forge every later seal.
type Seal struct {
	Tenant   evcs.TenantID
	No       int64 // from 1, without a gap
	Day      string
	After    int64 // the id behind which the installation's day began
	Upto     int64 // the last id it covers
	Entries  int64
	Debit    evcs.Money // the sum of all debits
	Previous string     // the hash of the seal before; "" for the first
	Hash     string
	// Marks are 16 bytes an entry, its id and the beginning of its hash: they
	// tell which entry is wrong. Lists of seals come without them.
	Marks    []byte
	SealedAt time.Time
}

const markSize = 16

// digest is the hash of a seal while its entries are read.
type digest struct {
	sum     hash.Hash
	entries int64
	debit   evcs.Money
	marks   []byte
}

func newDigest() *digest { return &digest{sum: sha256.New()} }

// print is everything that an entry says, in one text.
func (e *Entry) print() []byte {
	text := fmt.Appendf(nil, "%d %q %q %d %d %d %d %d %q %t %q %q\n", e.ID, e.Key, string(e.Kind), evcs.Millis(e.At), evcs.Millis(e.Booked), e.Order,
		e.Payment, e.Refund, e.Memo, e.Sandbox, string(e.Phase), e.Refers)
	for _, p := range e.Postings {
		text = fmt.Appendf(text, "%q %q %d\n", string(p.Account.Kind), p.Account.Name, int64(p.Amount))
	}
	return text
}

func (d *digest) add(e *Entry) {
	sum := sha256.Sum256(e.print())
	d.sum.Write(sum[:])                                            // a hash takes every write
	d.marks = binary.BigEndian.AppendUint64(d.marks, uint64(e.ID)) //nolint:gosec // a row's number
	d.marks = append(d.marks, sum[:8]...)
	d.entries++
	for _, p := range e.Postings {
		d.debit += max(p.Amount, 0)
	}
}

// seal ends the digest behind the seal before.
func (d *digest) seal(before Seal, day string, after, upto int64) Seal {
	s := Seal{
		Tenant: before.Tenant, No: before.No + 1, Day: day, After: after, Upto: upto, Entries: d.entries, Debit: d.debit, Previous: before.Hash, Marks: d.marks,
	}
	fmt.Fprintf(d.sum, "evcs journal 1\n%d\n%d\n%s\n%d\n%d\n%d\n%d\n%s\n", s.Tenant, s.No, s.Day, s.After, s.Upto, s.Entries, int64(s.Debit), s.Previous)
	s.Hash = hex.EncodeToString(d.sum.Sum(nil))
	return s
}

// Journal reads what was committed.
type Journal interface {
	// Begin is when the first entry of the scope behind an id was booked; found is
	// false when there is none.
	Begin(ctx context.Context, scope evcs.Scope, after int64) (at time.Time, found bool, err error)
	// Last is the highest id behind another that was booked before a moment; 0:
	// none.
	Last(ctx context.Context, scope evcs.Scope, after int64, before time.Time) (int64, error)
	// Entries are the next n entries of the scope behind an id, up to another (0:
	// all), by id.
	Entries(ctx context.Context, scope evcs.Scope, after, upto int64, n int) ([]Entry, error)
	// Sealed is the id up to which the journal of the installation is sealed.
	Sealed(ctx context.Context) (int64, error)
	// Heads are the newest seals of the scope's tenants before a day ("": of all),
	// without marks.
	Heads(ctx context.Context, scope evcs.Scope, before string) ([]Seal, error)
	// Seals are the seals of the scope from one day to another ("": open), both
	// included, without marks, by tenant and number.
	Seals(ctx context.Context, scope evcs.Scope, from, to string) ([]Seal, error)
	// Marks are the marks of a seal.
	Marks(ctx context.Context, scope evcs.Scope, no int64) ([]byte, error)
}

// SealTx is what sealing writes.
type SealTx interface {
	// KeepSeals stores the seals of a day and moves the id up to which the journal
	// is sealed; evcs.ErrStale when somebody else has moved it.
	KeepSeals(ctx context.Context, was, now int64, seals []Seal) error
}

// grace is how long after its end a day is sealed: no transaction that began
// in it is under way any more.
const grace = time.Hour

// page is how many entries are read at once.
const page = 1000

// Sealer seals the days that have ended, the oldest first.
type Sealer struct {
	Clock    evcs.Clock
	Read     Journal
	Transact func(ctx context.Context, fn func(SealTx) error) error
	// Done is told of every new seal.
	Done func(ctx context.Context, s Seal)
}

// everything is the scope of the whole installation.
func everything() evcs.Scope { return evcs.Subtree(evcs.PlatformTenant) }

// Run seals one day of every tenant that booked something in it, and says
// whether there was one: 1, or 0. Killed at any moment it has done nothing, and
// of several at once one succeeds.
func (s *Sealer) Run(ctx context.Context) (int, error) {
	was, err := s.Read.Sealed(ctx)
	if err != nil {
		return 0, err
	}
	begun, found, err := s.Read.Begin(ctx, everything(), was)
	if err != nil || !found {
		return 0, err
	}
	end := dayEnd(begun)
	now := s.Clock.Now()
	if now.Before(end.Add(grace)) {
		return 0, nil
	}
	upto, err := s.Read.Last(ctx, everything(), was, end)
	if err != nil {
		return 0, err
	}
	seals, err := s.digest(ctx, DayOf(begun), was, upto, now)
	if err != nil {
		return 0, err
	}
	if err := s.Transact(ctx, func(tx SealTx) error { return tx.KeepSeals(ctx, was, upto, seals) }); err != nil {
		return 0, fmt.Errorf("seal %s: %w", DayOf(begun), err)
	}
	for _, seal := range seals {
		s.Done(ctx, seal)
	}
	return 1, nil
}

// digest reads the entries of a day and makes the seals of their tenants.
func (s *Sealer) digest(ctx context.Context, day string, after, upto int64, now time.Time) ([]Seal, error) {
	digests := make(map[evcs.TenantID]*digest)
	var order []evcs.TenantID
	err := each(ctx, s.Read, everything(), after, upto, func(e *Entry) {
		d := digests[e.Tenant]
		if d == nil {
			d = newDigest()
			digests[e.Tenant] = d
			order = append(order, e.Tenant)
		}
		d.add(e)
	})
	if err != nil {
		return nil, err
	}
	heads, err := s.Read.Heads(ctx, everything(), "")
	if err != nil {
		return nil, err
	}
	before := make(map[evcs.TenantID]Seal, len(heads))
	for _, h := range heads {
		before[h.Tenant] = h
	}
	seals := make([]Seal, 0, len(order))
	for _, t := range order {
		head := before[t]
		head.Tenant = t
		seal := digests[t].seal(head, day, after, upto)
		seal.SealedAt = now
		seals = append(seals, seal)
	}
	return seals, nil
}

// each gives every entry of the scope behind an id, up to another, in order.
func each(ctx context.Context, j Journal, scope evcs.Scope, after, upto int64, f func(*Entry)) error {
	for {
		list, err := j.Entries(ctx, scope, after, upto, page)
		if err != nil {
			return err
		}
		for i := range list {
			f(&list[i])
			after = list[i].ID
		}
		if len(list) < page {
			return nil
		}
	}
}
