package tenant

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// AuditRow is one line of the record: who did what to whom, and how it ended.
type AuditRow struct {
	ID             int64
	OperatorTenant evcs.TenantID
	OperatorUser   evcs.UserID // zero: none
	OperatorName   string
	Key            evcs.KeyID // zero: a person
	Target         evcs.TenantID
	TargetName     string // of the tenant; filled by reads
	TargetType     string // "STATION", "ORDER", …
	TargetID       string
	Action         Action
	Success        bool
	ErrorCode      evcs.Code
	ErrorMessage   string
	CrossLayer     bool
	Count          int64
	Details        map[string]any // changed fields, secrets masked
	Trace          string
	Address        string
	Agent          string
	At             time.Time
	ChainNo        int64
	Hash           string
}

// Trail appends to the audit record. Rows are never changed, but for the count
// of folded reads.
type Trail interface {
	// Record appends the row to the chain of its operator tenant and sets its
	// ID, ChainNo and Hash.
	Record(ctx context.Context, row *AuditRow) error
	// Fold adds n to the count of a row that stands for several: a
	// CROSS_LAYER_READ or a refusal.
	Fold(ctx context.Context, id int64, n int64) error
}

var errNoTime = errors.New("an audit row needs its time")

// Audit records what the actor did, in the transaction of its effect. The
// caller fills At (its clock's now), Action, Target (the tenant that owns what
// was touched), TargetType, TargetID, Details, and Success or the error fields;
// the rest comes from the actor and the context. What was done below the
// actor's own tenant leaves a CROSS_LAYER_WRITE row as well.
func Audit(ctx context.Context, s Trail, a *evcs.Actor, row AuditRow) error {
	if row.At.IsZero() {
		return errNoTime
	}
	row.signedBy(ctx, a)
	row.CrossLayer = row.CrossLayer || row.Target != 0 && row.Target != row.OperatorTenant
	if err := s.Record(ctx, &row); err != nil {
		return fmt.Errorf("audit %s: %w", row.Action, err)
	}
	if !row.CrossLayer || row.Action == CrossLayerRead || row.Action == CrossLayerWrite {
		return nil
	}
	cross := row
	cross.Action = CrossLayerWrite
	cross.Details = map[string]any{"action": string(row.Action)}
	if err := s.Record(ctx, &cross); err != nil {
		return fmt.Errorf("audit %s: %w", cross.Action, err)
	}
	return nil
}

func (r *AuditRow) signedBy(ctx context.Context, a *evcs.Actor) {
	if a != nil {
		r.OperatorTenant, r.OperatorUser, r.Key = a.Tenant, a.User, a.Key
		r.Address, r.Agent = a.Address, clip(a.Agent, 256)
		if r.OperatorName == "" {
			r.OperatorName = a.Name
		}
	}
	if r.OperatorTenant == 0 {
		r.OperatorTenant = evcs.PlatformTenant
	}
	if r.Trace == "" {
		r.Trace = evcs.Trace(ctx)
	}
	if r.Count == 0 {
		r.Count = 1
	}
}

// Differ notes in details that a field changed, before and after.
func Differ[T comparable](details map[string]any, field string, before, after T) {
	if before != after {
		details[field] = map[string]any{"before": before, "after": after}
	}
}

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 { // not inside a character
		n--
	}
	return s[:n]
}

// Seal is the hash of the row behind the hash of the row before it in the
// chain of its tenant. Everything the row says goes in, but its count, which
// folding raises, and the name of the target, which is looked up. details is
// the exact text that is stored.
func (r *AuditRow) Seal(previous, details string) string {
	h := sha256.New()
	for _, part := range [...]string{
		previous, number(r.ChainNo), number(r.OperatorTenant), number(r.OperatorUser), r.OperatorName, number(r.Key),
		number(r.Target), r.TargetType, r.TargetID, string(r.Action), strconv.FormatBool(r.Success), number(r.ErrorCode),
		r.ErrorMessage, strconv.FormatBool(r.CrossLayer), details, r.Trace, r.Address, r.Agent, number(evcs.Millis(r.At)),
	} {
		io.WriteString(h, number(len(part))+":"+part) //nolint:errcheck // a hash takes every write
	}
	return hex.EncodeToString(h.Sum(nil))
}

// DetailsText is how details are stored and hashed.
func (r *AuditRow) DetailsText() (string, error) {
	if len(r.Details) == 0 {
		return "{}", nil
	}
	text, err := json.Marshal(r.Details)
	if err != nil {
		return "", fmt.Errorf("encode audit details: %w", err)
	}
	return string(text), nil
}

func number[N ~int | ~int64](n N) string { return strconv.FormatInt(int64(n), 10) }

// Verification is what a check of the record found.
type Verification struct {
	Rows        int64
	FirstBroken int64 // id of the first row that does not fit; zero: all fit
	// Gone: the rows at the end of a chain, or all of it, are missing.
	Gone bool
}

// OK reports whether nothing is wrong.
func (v Verification) OK() bool { return v.FirstBroken == 0 && !v.Gone }

// Verifier checks rows given in the order of tenant and chain number, each
// chain from its anchor on, and then the ends.
type Verifier struct {
	found  Verification
	chains map[evcs.TenantID]link
}

// link is the place reached in a chain.
type link struct {
	row  int64 // zero: none yet
	no   int64
	hash string
}

// Anchor says where the kept part of a chain begins: behind the row with this
// number and hash.
func (v *Verifier) Anchor(t evcs.TenantID, no int64, hash string) {
	v.reach(t, link{no: no, hash: hash})
}

func (v *Verifier) reach(t evcs.TenantID, l link) {
	if v.chains == nil {
		v.chains = make(map[evcs.TenantID]link)
	}
	v.chains[t] = l
}

// Add checks the next row. A row that is missing is found at the row behind it.
func (v *Verifier) Add(row *AuditRow, details string) {
	last := v.chains[row.OperatorTenant]
	v.found.Rows++
	if fits := row.ChainNo == last.no+1 && row.Hash == row.Seal(last.hash, details); !fits {
		v.broken(row.ID)
	}
	v.reach(row.OperatorTenant, link{row.ID, row.ChainNo, row.Hash})
}

// End says which number the last row of a chain has at least.
func (v *Verifier) End(t evcs.TenantID, no int64) {
	if last := v.chains[t]; last.no < no {
		v.found.Gone = true
		v.broken(last.row)
	}
}

func (v *Verifier) broken(row int64) {
	if v.found.FirstBroken == 0 {
		v.found.FirstBroken = row
	}
}

// Result is what was found so far.
func (v *Verifier) Result() Verification { return v.found }
