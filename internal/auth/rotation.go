package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// ErrKeyMissing says that something in the store is sealed with a key that this
// program was not given.
var ErrKeyMissing = errors.New("a sealing key is missing")

// ErrNotYet says that another node must be given its keys first.
var ErrNotYet = errors.New("not yet")

// SealedRow is a row that holds sealed texts. Of its Texts "" holds none.
type SealedRow struct {
	ID      int64
	Request string // of a device's reply: what follows ID in the key
	Version int64
	Texts   []string
}

// SealedStore finds every sealed text of the installation, whosever it is.
type SealedStore interface {
	// SealedKinds are the tables with sealed texts.
	SealedKinds() []string
	// SealedRows are up to n rows of a table behind one, by key.
	SealedRows(ctx context.Context, kind string, after SealedRow, n int) ([]SealedRow, error)
	// PutSealed writes the texts of rows, was being those that were read, in one
	// transaction. A row that has moved on meanwhile is left as it is. It returns
	// how many were written.
	PutSealed(ctx context.Context, kind string, was, rows []SealedRow) (int, error)
	// SealingKeys are the names of the keys that may be in use.
	SealingKeys(ctx context.Context) ([]string, error)
	// AddSealingKey adds a name; again changes nothing.
	AddSealingKey(ctx context.Context, name string, at time.Time) error
	// RemoveSealingKey takes a name away; one that is not there changes nothing.
	RemoveSealingKey(ctx context.Context, name string) error
}

// KeyHolder is a running node and the names of its keys, the sealing one first;
// none of a program that does not tell.
type KeyHolder struct {
	Node string
	Keys []string
}

// Rotation brings an installation from one sealing key to the next: every node
// is given both, then everything is sealed anew, then the old one may go.
type Rotation struct {
	Clock  evcs.Clock
	Store  SealedStore
	Sealer *Sealer
	// Vault replaces every sealed text of a stored vault of secrets; other texts
	// are sealed texts themselves.
	Vault func(kind, text string, reseal func(string) (string, error)) (string, error)
	// Holders are the nodes that run now.
	Holders func(ctx context.Context) ([]KeyHolder, error)
}

const (
	resealBatch = 200
	// resealPasses bound the search for what was sealed while we looked.
	resealPasses = 5
	// shownFaults is how many secrets that cannot be opened are told one by one.
	shownFaults = 20
)

// Hold notes that this program seals with its first key, before it does. It
// refuses with ErrKeyMissing when something may be sealed with a key that is
// not here; then nothing is noted.
func (r *Rotation) Hold(ctx context.Context) error {
	listed, err := r.Store.SealingKeys(ctx)
	if err != nil {
		return err
	}
	own := r.Sealer.Keys()
	for _, name := range listed {
		if !slices.Contains(own, name) {
			return fmt.Errorf("%w: secrets in the store are sealed with %s, here is %s; give it back, or see \"evcsd keys\"", ErrKeyMissing, name, strings.Join(own, ", "))
		}
	}
	if slices.Contains(listed, own[0]) {
		return nil
	}
	if len(listed) == 0 { // of an earlier program, or new
		if err := r.fits(ctx); err != nil {
			return err
		}
	}
	return r.Store.AddSealingKey(ctx, own[0], r.Clock.Now())
}

// fits looks whether the first rows that hold secrets can be opened.
func (r *Rotation) fits(ctx context.Context) error {
	for _, kind := range r.Store.SealedKinds() {
		rows, err := r.Store.SealedRows(ctx, kind, SealedRow{}, resealBatch)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if _, _, err := r.anew(kind, row); err != nil {
				return fmt.Errorf("%w: %s of %d: %w", ErrKeyMissing, kind, row.ID, err)
			}
		}
	}
	return nil
}

// anew is a row with its texts under the first key, and whether that is another
// row.
func (r *Rotation) anew(kind string, row SealedRow) (SealedRow, bool, error) {
	fresh, moved := row, false
	fresh.Texts = slices.Clone(row.Texts)
	for i, text := range row.Texts {
		if text == "" {
			continue
		}
		changed, err := r.Vault(kind, text, r.Sealer.Reseal)
		if err != nil {
			return row, false, err
		}
		fresh.Texts[i], moved = changed, moved || changed != text
	}
	return fresh, moved, nil
}

// each calls f with every batch of rows that hold sealed texts.
func (r *Rotation) each(ctx context.Context, f func(kind string, rows []SealedRow) error) error {
	for _, kind := range r.Store.SealedKinds() {
		for after := (SealedRow{}); ; {
			rows, err := r.Store.SealedRows(ctx, kind, after, resealBatch)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				break
			}
			after = rows[len(rows)-1]
			if err := f(kind, rows); err != nil {
				return err
			}
		}
	}
	return nil
}

// KeyUse is how many texts are sealed with a key. Name "" stands for keys that
// are not here and not named by the text.
type KeyUse struct {
	Name  string
	Held  bool // this program has it
	Seals bool // and seals with it
	Count int64
}

// Uses counts the sealed texts by key; keys that this program has come first,
// in its order.
func (r *Rotation) Uses(ctx context.Context) ([]KeyUse, error) {
	var list []KeyUse
	for i, name := range r.Sealer.Keys() {
		list = append(list, KeyUse{Name: name, Held: true, Seals: i == 0})
	}
	count := func(name string, n int64) {
		i := slices.IndexFunc(list, func(u KeyUse) bool { return u.Name == name })
		if i < 0 {
			i, list = len(list), append(list, KeyUse{Name: name})
		}
		list[i].Count += n
	}
	listed, err := r.Store.SealingKeys(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range listed {
		count(name, 0)
	}
	err = r.each(ctx, func(kind string, rows []SealedRow) error {
		for _, row := range rows {
			for _, text := range row.Texts {
				if text == "" {
					continue
				}
				if _, err := r.Vault(kind, text, func(sealed string) (string, error) {
					count(r.Sealer.KeyOf(sealed), 1)
					return sealed, nil
				}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return list, err
}

// Resealed is what Reseal did.
type Resealed struct {
	Rows   int      // sealed anew
	Faults []string // rows that cannot be opened, the first of them
	Failed int      // how many those are
	Gone   []string // keys that nothing is sealed with any more
}

// Reseal seals everything anew that is not sealed with the first key, in
// batches, each of them durable by itself: whatever ends it, the next call does
// the rest. Nodes go on meanwhile. It refuses with ErrNotYet while a node seals
// with another key. Rows that cannot be opened are left as they are and told;
// the keys that they are sealed with stay listed.
func (r *Rotation) Reseal(ctx context.Context, progress func(rows int)) (Resealed, error) {
	var done Resealed
	if err := r.ready(ctx); err != nil { // before the key is noted: then nodes must have it
		return done, err
	}
	if err := r.Hold(ctx); err != nil {
		return done, err
	}
	for pass := 1; ; pass++ {
		found, err := r.pass(ctx, &done, progress)
		switch {
		case err != nil:
			return done, err
		case found > 0 && pass == resealPasses:
			return done, fmt.Errorf("%w: rows are still being sealed with another key", ErrNotYet)
		}
		if found == 0 {
			break
		}
	}
	if done.Failed > 0 {
		return done, nil
	}
	if err := r.ready(ctx); err != nil { // a node that came meanwhile
		return done, err
	}
	listed, err := r.Store.SealingKeys(ctx)
	if err != nil {
		return done, err
	}
	for _, name := range listed {
		if name == r.Sealer.Keys()[0] {
			continue
		}
		if err := r.Store.RemoveSealingKey(ctx, name); err != nil {
			return done, err
		}
		done.Gone = append(done.Gone, name)
	}
	return done, nil
}

// pass seals anew what it finds and returns how many rows that were, also those
// that moved on meanwhile.
func (r *Rotation) pass(ctx context.Context, done *Resealed, progress func(rows int)) (found int, err error) {
	done.Faults, done.Failed = nil, 0
	err = r.each(ctx, func(kind string, rows []SealedRow) error {
		var was, now []SealedRow
		for _, row := range rows {
			fresh, other, err := r.anew(kind, row)
			switch {
			case err != nil:
				if done.Failed++; done.Failed <= shownFaults {
					done.Faults = append(done.Faults, fmt.Sprintf("%s of %d: %v", kind, row.ID, err))
				}
			case other:
				was, now = append(was, row), append(now, fresh)
			}
		}
		if len(now) == 0 {
			return nil
		}
		n, err := r.Store.PutSealed(ctx, kind, was, now)
		found, done.Rows = found+len(now), done.Rows+n
		if progress != nil && err == nil {
			progress(done.Rows)
		}
		return err
	})
	return found, err
}

// ready refuses with ErrNotYet while a node seals with another key.
func (r *Rotation) ready(ctx context.Context) error {
	holders, err := r.Holders(ctx)
	if err != nil {
		return err
	}
	first := r.Sealer.Keys()[0]
	var wait []error
	for _, h := range holders {
		switch {
		case len(h.Keys) == 0:
			wait = append(wait, fmt.Errorf("node %s does not tell its keys", h.Node))
		case !slices.Contains(h.Keys, first):
			wait = append(wait, fmt.Errorf("node %s does not have the key %s: give it the key and start it again", h.Node, first))
		case h.Keys[0] != first:
			wait = append(wait, fmt.Errorf("node %s still seals with %s: put %s first and start it again", h.Node, h.Keys[0], first))
		}
	}
	if len(wait) > 0 {
		return fmt.Errorf("%w: %w", ErrNotYet, errors.Join(wait...))
	}
	return nil
}

// Spare refuses with ErrNotYet unless everything is sealed with the first key.
func (r *Rotation) Spare(ctx context.Context) error {
	if err := r.ready(ctx); err != nil {
		return err
	}
	uses, err := r.Uses(ctx)
	if err != nil {
		return err
	}
	listed, err := r.Store.SealingKeys(ctx)
	if err != nil {
		return err
	}
	for _, u := range uses {
		if !u.Seals && (u.Count > 0 || slices.Contains(listed, u.Name)) {
			return fmt.Errorf("%w: %d secrets may be sealed with %s: run \"evcsd keys reseal\" first", ErrNotYet, u.Count, u.Name)
		}
	}
	return nil
}

// Abandon gives a key up that is lost: programs serve without it, and what it
// sealed must be set anew. It refuses a key that this program has.
func (r *Rotation) Abandon(ctx context.Context, name string) error {
	own := r.Sealer.Keys()
	if slices.Contains(own, name) {
		return fmt.Errorf("the key %s is here: it is not lost", name)
	}
	if err := r.Store.AddSealingKey(ctx, own[0], r.Clock.Now()); err != nil {
		return err
	}
	return r.Store.RemoveSealingKey(ctx, name)
}
