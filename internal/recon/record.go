package recon

import (
	"encoding/binary"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
)

// Rows that wait in a scratch file. Numbers are little endian; texts stand
// behind their lengths.

const (
	recordRefund uint8 = 1 << iota
	recordSucceeded
	recordGBK
)

const localHead = 1 + 2 + 8 + 1

// appendLocal begins the record of a local row; its number comes behind.
func appendLocal(b []byte, e *entry) []byte {
	b = append(b, e.flags&(flagRefund|flagTwice))
	b = binary.LittleEndian.AppendUint16(b, e.merchant)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.amount)) //nolint:gosec // read back as it is
	return append(b, e.size)
}

// eachLocal hands the local rows of a text on and returns what is whole of it.
func eachLocal(b []byte, fn func(e entry, no string)) (int, error) {
	n := 0
	for {
		r := b[n:]
		if len(r) < localHead {
			return n, nil
		}
		e := entry{
			flags: r[0], merchant: binary.LittleEndian.Uint16(r[1:]), amount: evcs.Money(binary.LittleEndian.Uint64(r[3:])), size: r[11], //nolint:gosec // written from one
		}
		end := localHead + int(e.size)
		if len(r) < end {
			return n, nil
		}
		fn(e, string(r[localHead:end]))
		n += end
	}
}

const rowHead = 1 + 2 + 4*8 + 4 + 4 + 2

// maxRaw bounds what is kept of a line.
const maxRaw = 4096

func appendRow(b []byte, merchant uint16, r *payment.Row) []byte {
	var flags uint8
	if r.Direction == payment.RefundBack {
		flags |= recordRefund
	}
	if r.Succeeded {
		flags |= recordSucceeded
	}
	if r.GBK {
		flags |= recordGBK
	}
	raw := r.Raw[:min(len(r.Raw), maxRaw)]
	b = append(b, flags)
	b = binary.LittleEndian.AppendUint16(b, merchant)
	for _, n := range [...]int64{int64(r.Amount), int64(r.Settled), int64(r.Fee), evcs.Millis(r.At)} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n)) //nolint:gosec // read back as it is
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(r.Line)) //nolint:gosec // for people
	texts := [...]string{r.TradeNo, r.RefundNo, r.ChannelNo, r.Status}
	for i := range texts {
		texts[i] = texts[i][:min(len(texts[i]), maxNumber)]
		b = append(b, uint8(len(texts[i]))) //nolint:gosec // bounded by maxNumber
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(raw))) //nolint:gosec // bounded by maxRaw
	for _, text := range texts {
		b = append(b, text...)
	}
	return append(b, raw...)
}

// eachRow hands the statement rows of a text on and returns what is whole of it.
func eachRow(b []byte, fn func(merchant uint16, r payment.Row) error) (int, error) {
	n := 0
	for {
		r := b[n:]
		if len(r) < rowHead {
			return n, nil
		}
		var size [5]int
		for i := range 4 {
			size[i] = int(r[39+i])
		}
		size[4] = int(binary.LittleEndian.Uint16(r[43:]))
		end := rowHead
		for _, s := range size {
			end += s
		}
		if len(r) < end {
			return n, nil
		}
		if err := fn(binary.LittleEndian.Uint16(r[1:]), rowOf(r, size)); err != nil {
			return n, err
		}
		n += end
	}
}

func rowOf(r []byte, size [5]int) payment.Row {
	number := func(i int) int64 { return int64(binary.LittleEndian.Uint64(r[3+8*i:])) } //nolint:gosec // written from one
	at := rowHead
	text := func(i int) string {
		at += size[i]
		return string(r[at-size[i] : at])
	}
	row := payment.Row{
		Direction: payment.Pay, Amount: evcs.Money(number(0)), Settled: evcs.Money(number(1)), Fee: evcs.Money(number(2)),
		Succeeded: r[0]&recordSucceeded != 0, GBK: r[0]&recordGBK != 0, Line: int(binary.LittleEndian.Uint32(r[35:])),
	}
	if ms := number(3); ms != 0 {
		row.At = time.UnixMilli(ms).UTC()
	}
	if r[0]&recordRefund != 0 {
		row.Direction = payment.RefundBack
	}
	row.TradeNo, row.RefundNo, row.ChannelNo, row.Status, row.Raw = text(0), text(1), text(2), text(3), text(4)
	return row
}
