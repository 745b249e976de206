package ref

import (
	"bufio"
	"bytes"
	"fmt"
	"hash/maphash"
	"io"
)

// Joined is what a bare hash join of two files counts.
type Joined struct{ Left, Right, Matched, Differ int }

// Join is the least that reconciling can be: the first file, lines of
// "number,amount", goes into an open table, the second, a bill of WeChat Pay, is
// looked up in it line by line. It checks nothing, keeps nothing and says nothing
// of what differs but how many.
func Join(left, right io.Reader) (Joined, error) {
	t := &openTable{seed: maphash.MakeSeed(), slots: make([]uint32, 1<<10)}
	var j Joined
	lines := bufio.NewReaderSize(left, 1<<16)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 {
			no, rest, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte{','})
			amount, _, _ := bytes.Cut(rest, []byte{','})
			t.add(no, fen(amount))
			j.Left++
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return j, fmt.Errorf("join: %w", err)
		}
	}
	lines.Reset(right)
	for {
		line, err := lines.ReadSlice('\n')
		if len(line) > 0 && line[0] == '`' {
			if no, amount, ok := billed(line); ok {
				j.Right++
				if i := t.find(no); i >= 0 && t.rows[i].amount == amount {
					j.Matched++
				} else {
					j.Differ++
				}
			}
		}
		if err == io.EOF {
			return j, nil
		}
		if err != nil {
			return j, fmt.Errorf("join: %w", err)
		}
	}
}

// billed is our number and the amount of a line: columns 7 and 25 of a payment,
// 16 and 26 of a refund.
func billed(line []byte) (no []byte, amount int64, ok bool) {
	var f [27][]byte
	rest := line[1:]
	n := 0
	for ; n < len(f); n++ {
		v, more, found := bytes.Cut(rest, []byte(",`"))
		f[n] = v
		if !found {
			n++
			break
		}
		rest = more
	}
	if n < len(f) {
		return nil, 0, false
	}
	if string(f[9]) == "REFUND" {
		return f[15], fen(f[25]), true
	}
	return f[6], fen(f[24]), true
}

func fen(text []byte) (n int64) {
	for _, c := range text {
		if c != '.' {
			n = n*10 + int64(c-'0')
		}
	}
	return n
}

type openRow struct {
	at     uint32
	size   uint32
	amount int64
}

type openTable struct {
	seed  maphash.Seed
	slots []uint32
	rows  []openRow
	text  []byte
}

func (t *openTable) find(no []byte) int {
	mask := uint64(len(t.slots) - 1)
	for i := maphash.Bytes(t.seed, no) & mask; t.slots[i] != 0; i = (i + 1) & mask {
		r := &t.rows[t.slots[i]-1]
		if bytes.Equal(t.text[r.at:r.at+r.size], no) {
			return int(t.slots[i] - 1)
		}
	}
	return -1
}

func (t *openTable) add(no []byte, amount int64) {
	if len(t.rows)*2 >= len(t.slots) {
		t.slots = make([]uint32, 2*len(t.slots))
		for i := range t.rows {
			t.put(i)
		}
	}
	t.rows = append(t.rows, openRow{uint32(len(t.text)), uint32(len(no)), amount}) //nolint:gosec // bounded by the files of a benchmark
	t.text = append(t.text, no...)
	t.put(len(t.rows) - 1)
}

func (t *openTable) put(row int) {
	r := &t.rows[row]
	mask := uint64(len(t.slots) - 1)
	i := maphash.Bytes(t.seed, t.text[r.at:r.at+r.size]) & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = uint32(row + 1) //nolint:gosec // bounded by the files of a benchmark
}
