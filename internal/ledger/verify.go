package ledger

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"slices"

	"github.com/evcs/evcs/internal/evcs"
)

// Defect is what is wrong with a journal.
type Defect string

// The defects.
const (
	// Changed: an entry is not what it was when its day was sealed.
	Changed Defect = "CHANGED"
	// Removed: an entry that was sealed is gone.
	Removed Defect = "REMOVED"
	// Added: an entry came into a sealed day later.
	Added Defect = "ADDED"
	// Broken: a seal does not follow the one before, or is not what it was.
	Broken Defect = "BROKEN"
	// Unbalanced: the postings of an entry do not add up to zero.
	Unbalanced Defect = "UNBALANCED"
)

// Problem is one defect and where it is.
type Problem struct {
	Tenant evcs.TenantID
	Day    string // of the seal; "": behind the last one
	Defect Defect
	Entry  int64 // 0: the seal itself
}

// Checked is what was checked of a tenant's journal.
type Checked struct {
	Tenant   evcs.TenantID
	Seals    int64
	Entries  int64 // that are sealed
	Open     int64 // that are not sealed yet
	First    string
	Last     string
	Hash     string // of the newest seal
	Problems []Problem
	// More says that there are more problems than are listed.
	More bool
}

// Sound reports whether nothing is wrong.
func (c *Checked) Sound() bool { return len(c.Problems) == 0 }

// maxProblems bounds the list of one tenant.
const maxProblems = 100

// Range is the days that are checked, both included; an empty end is open.
type Range struct{ From, To string }

// Verify reads the journals of the scope's tenants again and compares them with
// their seals, by tenant. A change, a removal, an addition and a forged seal are
// told apart and traced to the entry. What is not sealed yet is counted, and
// checked for balance.
func Verify(ctx context.Context, j Journal, scope evcs.Scope, r Range) ([]Checked, error) {
	v := &verifier{j: j, all: make(map[evcs.TenantID]*checker), open: r.To == ""}
	var err error
	if v.sealed, err = j.Sealed(ctx); err != nil {
		return nil, err
	}
	if r.From != "" {
		heads, err := j.Heads(ctx, scope, r.From)
		if err != nil {
			return nil, err
		}
		for _, h := range heads {
			v.of(h.Tenant).before = h
		}
	}
	seals, err := j.Seals(ctx, scope, r.From, r.To)
	if err != nil {
		return nil, err
	}
	upto := int64(0)
	for _, s := range seals {
		c := v.of(s.Tenant)
		c.seals = append(c.seals, s)
		upto = max(upto, s.Upto)
	}
	if upto > 0 || v.open {
		if v.open {
			upto = 0
		}
		if err := each(ctx, j, scope, v.start(r), upto, v.entry); err != nil {
			return nil, err
		}
	}
	return v.finish(ctx)
}

// verifier walks through the journals of several tenants at once.
type verifier struct {
	j      Journal
	all    map[evcs.TenantID]*checker
	open   bool
	sealed int64
}

// checker is one tenant's part.
type checker struct {
	Checked
	before Seal
	seals  []Seal // still to come
	digest *digest
	wrong  []suspect
}

// suspect is a seal whose entries are not those it was made of.
type suspect struct {
	seal  Seal
	marks []byte
}

func (v *verifier) of(t evcs.TenantID) *checker {
	c := v.all[t]
	if c == nil {
		c = &checker{Checked: Checked{Tenant: t}, before: Seal{Tenant: t}, digest: newDigest()}
		v.all[t] = c
	}
	return c
}

// start is the id behind which the reading begins.
func (v *verifier) start(r Range) int64 {
	if r.From == "" {
		return math.MinInt64 // no number is too low to be looked at
	}
	start := v.sealed
	for _, c := range v.all {
		if len(c.seals) > 0 {
			start = min(start, cmp.Or(c.before.Upto, c.seals[0].After))
		}
	}
	return start
}

func (v *verifier) entry(e *Entry) {
	c := v.of(e.Tenant)
	if c.before.No > 0 && e.ID <= c.before.Upto {
		return
	}
	for len(c.seals) > 0 && e.ID > c.seals[0].Upto {
		c.close()
	}
	day := ""
	if len(c.seals) > 0 {
		day = c.seals[0].Day
		c.digest.add(e)
	} else if !v.open {
		return
	}
	if day == "" && e.ID <= v.sealed {
		c.problem(Problem{Defect: Added, Entry: e.ID})
	} else if day == "" {
		c.Open++
	}
	sum := evcs.Money(0)
	for _, p := range e.Postings {
		sum += p.Amount
	}
	if sum != 0 || len(e.Postings) < 2 {
		c.problem(Problem{Day: day, Defect: Unbalanced, Entry: e.ID})
	}
}

func (c *checker) problem(p Problem) {
	p.Tenant = c.Tenant
	if len(c.Problems) == maxProblems {
		c.More = true
		return
	}
	c.Problems = append(c.Problems, p)
}

// close compares the next seal with what was read.
func (c *checker) close() {
	s := c.seals[0]
	c.seals = c.seals[1:]
	made := c.digest.seal(Seal{Tenant: s.Tenant, No: s.No - 1, Hash: s.Previous}, s.Day, s.After, s.Upto)
	c.digest = newDigest()
	if s.No != c.before.No+1 || s.Previous != c.before.Hash {
		c.problem(Problem{Day: s.Day, Defect: Broken})
	}
	if s.Hash != made.Hash {
		c.wrong = append(c.wrong, suspect{s, made.Marks})
	}
	c.Seals++
	c.Entries += made.Entries
	if c.First == "" {
		c.First = s.Day
	}
	c.Last, c.Hash = s.Day, s.Hash
	c.before = s
}

func (v *verifier) finish(ctx context.Context) ([]Checked, error) {
	var list []Checked
	for _, c := range v.all {
		for len(c.seals) > 0 {
			c.close()
		}
		for _, w := range c.wrong {
			marks, err := v.j.Marks(ctx, evcs.Only(c.Tenant), w.seal.No)
			if err != nil {
				return nil, err
			}
			c.blame(w, marks)
		}
		if c.Hash == "" {
			c.Hash = c.before.Hash
		}
		if c.Seals > 0 || c.Open > 0 || !c.Sound() {
			list = append(list, c.Checked)
		}
	}
	slices.SortFunc(list, func(a, b Checked) int { return int(a.Tenant - b.Tenant) })
	return list, nil
}

// blame finds the entries that make a seal wrong; when there are none, it is
// the seal that was touched.
func (c *checker) blame(w suspect, kept []byte) {
	day, touched := w.seal.Day, false
	tell := func(d Defect, id int64) {
		touched = true
		c.problem(Problem{Day: day, Defect: d, Entry: id})
	}
	was, is := readMarks(kept), readMarks(w.marks)
	for len(was) > 0 && len(is) > 0 {
		switch a, b := was[0], is[0]; {
		case a.id < b.id:
			tell(Removed, a.id)
			was = was[1:]
		case a.id > b.id:
			tell(Added, b.id)
			is = is[1:]
		default:
			if a.sum != b.sum {
				tell(Changed, a.id)
			}
			was, is = was[1:], is[1:]
		}
	}
	for _, m := range was {
		tell(Removed, m.id)
	}
	for _, m := range is {
		tell(Added, m.id)
	}
	if !touched {
		c.problem(Problem{Day: day, Defect: Broken})
	}
}

type mark struct {
	id  int64
	sum [8]byte
}

func readMarks(text []byte) []mark {
	list := make([]mark, 0, len(text)/markSize)
	for ; len(text) >= markSize; text = text[markSize:] {
		list = append(list, mark{int64(binary.BigEndian.Uint64(text)), [8]byte(text[8:16])}) //nolint:gosec // a row's number
	}
	return list
}
