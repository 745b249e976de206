package recon

import (
	"hash/maphash"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// entry is a local row while it waits for its row in the statement: 16 bytes
// and its number.
type entry struct {
	amount   evcs.Money
	at       uint32 // where its number begins in the text
	merchant uint16 // its place among the accounts
	size     uint8  // of the number
	flags    uint8
}

const (
	flagRefund uint8 = 1 << iota
	flagSeen
	flagTwice
)

// table is the local side of the join: open addressing over compact rows, so
// that a day of a million rows fits in about 60 MB.
type table struct {
	seed  maphash.Seed
	slots []uint32 // place in rows plus one; 0: free
	rows  []entry
	text  []byte
}

func newTable() *table {
	return &table{seed: maphash.MakeSeed(), slots: make([]uint32, 1024)}
}

func (t *table) no(e *entry) []byte { return t.text[e.at : e.at+uint32(e.size)] }

func refundFlag(d payment.Direction) uint8 {
	if d == payment.RefundBack {
		return flagRefund
	}
	return 0
}

func (t *table) hash(merchant uint16, refund uint8, no string) uint64 {
	return maphash.String(t.seed, no) + (uint64(merchant)<<1|uint64(refund))*0x9e3779b97f4a7c15
}

// find is the row of a key, or -1 and the free slot where it would go.
func (t *table) find(merchant uint16, refund uint8, no string) (row, slot int) {
	mask := uint64(len(t.slots) - 1)
	for i := t.hash(merchant, refund, no) & mask; ; i = (i + 1) & mask {
		at := t.slots[i]
		if at == 0 {
			return -1, int(i)
		}
		e := &t.rows[at-1]
		if e.merchant == merchant && e.flags&flagRefund == refund && string(t.no(e)) == no {
			return int(at - 1), int(i)
		}
	}
}

// maxNumber bounds the numbers of both sides; ours have 28 characters and the
// longest of a channel 64.
const maxNumber = 255

// add keeps a local row; a key that is there already is ours twice, which the
// store's unique indexes exclude, and is kept once. The number is bounded by
// maxNumber.
func (t *table) add(e entry, no string) {
	if len(t.rows)*2 >= len(t.slots) {
		t.grow()
	}
	row, slot := t.find(e.merchant, e.flags&flagRefund, no)
	if row >= 0 {
		return
	}
	e.at, e.size = uint32(len(t.text)), uint8(len(no)) //nolint:gosec // bounded: at most 2^32 bytes of numbers
	t.text = append(t.text, no...)
	t.rows = append(t.rows, e)
	t.slots[slot] = uint32(len(t.rows)) //nolint:gosec // bounded by text
}

// reset empties the table; its memory is used again, but for that of a table
// that was much larger.
func (t *table) reset() {
	const most = 1 << 20
	if len(t.slots) > most {
		t.slots, t.rows, t.text = make([]uint32, 1024), nil, nil
		return
	}
	clear(t.slots)
	t.rows, t.text = t.rows[:0], t.text[:0]
}

func (t *table) grow() {
	t.slots = make([]uint32, 2*len(t.slots))
	mask := uint64(len(t.slots) - 1)
	for i := range t.rows {
		e := &t.rows[i]
		at := t.hash(e.merchant, e.flags&flagRefund, string(t.no(e))) & mask
		for t.slots[at] != 0 {
			at = (at + 1) & mask
		}
		t.slots[at] = uint32(i + 1) //nolint:gosec // as in add
	}
}
