package recon

import (
	"fmt"
	"io"
)

// Scratch makes a file for what does not fit in memory. Closing it removes it.
type Scratch func() (ScratchFile, error)

// ScratchFile is written from its beginning and then read anywhere.
type ScratchFile interface {
	io.Writer
	io.ReaderAt
	io.Closer
}

const (
	// binCount is into how many parts rows are dealt. A part of a day of forty
	// million rows fits in about 40 MB.
	binCount = 128
	binBlock = 64 << 10
)

// bins deal records into parts by a hash of their key, so that both sides of a
// key are in one part and one part at a time is in memory. Each part is a
// stream of blocks; all blocks lie in one file.
type bins struct {
	file   ScratchFile
	at     int64
	open   [binCount][]byte // what is not written yet
	blocks [binCount][]block
}

type block struct {
	at   int64
	size int
}

func newBins(scratch Scratch) (*bins, error) {
	if scratch == nil {
		return nil, errTooMany
	}
	f, err := scratch()
	if err != nil {
		return nil, fmt.Errorf("open a scratch file: %w", err)
	}
	return &bins{file: f}, nil
}

func binOf(hash uint64) int { return int(hash >> 57) } //nolint:gosec // seven bits

// room is the part's buffer to append one record to; keep takes it back.
func (b *bins) room(part int) []byte { return b.open[part] }

func (b *bins) keep(part int, record []byte) error {
	b.open[part] = record
	if len(record) < binBlock {
		return nil
	}
	return b.write(part)
}

func (b *bins) write(part int) error {
	n, err := b.file.Write(b.open[part])
	if err != nil {
		return fmt.Errorf("write a scratch file: %w", err)
	}
	b.blocks[part] = append(b.blocks[part], block{b.at, n})
	b.at += int64(n)
	b.open[part] = b.open[part][:0]
	return nil
}

// read hands the blocks of a part to each, which takes whole records off the
// front and returns how much it took.
func (b *bins) read(part int, each func([]byte) (int, error)) error {
	var text []byte
	take := func() error {
		n, err := each(text)
		text = text[:copy(text, text[n:])]
		return err
	}
	for _, k := range b.blocks[part] {
		from := len(text)
		text = append(text, make([]byte, k.size)...)
		if _, err := b.file.ReadAt(text[from:], k.at); err != nil {
			return fmt.Errorf("read a scratch file: %w", err)
		}
		if err := take(); err != nil {
			return err
		}
	}
	text = append(text, b.open[part]...)
	if err := take(); err != nil {
		return err
	}
	if len(text) > 0 {
		return fmt.Errorf("a scratch file ends within a record")
	}
	return nil
}

func (b *bins) close() error {
	if b == nil || b.file == nil {
		return nil
	}
	err := b.file.Close()
	b.file = nil
	return err
}
