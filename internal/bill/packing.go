// Package bill is what the statement files of channels have in common: how they
// are packed, their lines and columns, their amounts and times. It believes
// nothing a file says about itself: every size is counted while it is read. Its
// one invariant: reading takes the same memory for a file of any length.
package bill

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// The bounds of a file.
const (
	// MaxText bounds a text when it is unpacked: about thirty million rows.
	MaxText = 8 << 30
	// maxRatio bounds how much larger than its file a text is, behind the first
	// ratioFrom bytes. Statements of one merchant pack to a tenth or so.
	maxRatio  = 150
	ratioFrom = 8 << 20
	// maxEntries and maxDirectory bound an archive.
	maxEntries   = 16
	maxDirectory = 64 << 10
	// maxLoose bounds an archive that comes as a stream and so has to be held.
	maxLoose = 64 << 20
)

// Fault is something wrong with a file as a whole. Its text is for the one who
// handed it in.
type Fault struct{ Message string }

// Error implements error.
func (f *Fault) Error() string { return f.Message }

func broken(format string, args ...any) error {
	return &Fault{fmt.Sprintf(format, args...)}
}

// FaultOf is the fault within an error; ok is false for one of reading the disk
// or of the caller.
func FaultOf(err error) (f *Fault, ok bool) {
	ok = errors.As(err, &f)
	return f, ok
}

// Packing is how a file is packed.
type Packing string

// The packings.
const (
	Plain Packing = ""
	Gzip  Packing = "gzip"
	Zip   Packing = "zip"
)

// magic is how many bytes tell the packing.
const magic = 4

// PackingOf tells the packing by the first bytes of a file.
func PackingOf(head []byte) Packing {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return Gzip
	case bytes.HasPrefix(head, []byte("PK\x03\x04")), bytes.HasPrefix(head, []byte("PK\x05\x06")):
		return Zip
	}
	return Plain
}

// Each hands the texts of a file to fn, one after the other, whatever the file
// is packed in. name is what an archive calls the text: it is for messages and
// is never a path. A fault of the file is a *Fault; an error of fn is returned as
// it is. A zip archive needs r to be an io.ReaderAt with Seek, or to be small.
func Each(r io.Reader, fn func(name string, text io.Reader) error) error {
	if at, size, ok := randomAccess(r); ok {
		var head [magic]byte
		n, err := at.ReadAt(head[:], 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read a statement: %w", err)
		}
		if PackingOf(head[:n]) == Zip {
			return entries(at, size, fn)
		}
		return single(io.NewSectionReader(at, 0, size), PackingOf(head[:n]), fn)
	}
	buffered := bufio.NewReader(r)
	head, err := buffered.Peek(magic)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read a statement: %w", err)
	}
	if PackingOf(head) != Zip {
		return single(buffered, PackingOf(head), fn)
	}
	held, err := io.ReadAll(io.LimitReader(buffered, maxLoose+1))
	if err != nil {
		return fmt.Errorf("read a statement: %w", err)
	}
	if len(held) > maxLoose {
		return broken("the archive is larger than %d MiB", maxLoose>>20)
	}
	return entries(bytes.NewReader(held), int64(len(held)), fn)
}

// randomAccess is a reader as a file of a size, from its beginning.
func randomAccess(r io.Reader) (io.ReaderAt, int64, bool) {
	at, ok := r.(io.ReaderAt)
	if !ok {
		return nil, 0, false
	}
	seeker, ok := r.(io.Seeker)
	if !ok {
		return nil, 0, false
	}
	size, err := seeker.Seek(0, io.SeekEnd)
	return at, size, err == nil
}

func single(r io.Reader, p Packing, fn func(string, io.Reader) error) error {
	if p != Gzip {
		return fn("", &bounded{r: r, packed: nil})
	}
	packed := &counter{r: r}
	z, err := gzip.NewReader(bufio.NewReader(packed))
	if err != nil {
		return unpackFault("", err)
	}
	defer z.Close() // read only
	return fn("", &bounded{r: z, packed: &packed.n})
}

// entries hands over the texts of a zip archive.
func entries(at io.ReaderAt, size int64, fn func(string, io.Reader) error) error {
	if err := checkDirectory(at, size); err != nil {
		return err
	}
	z, err := zip.NewReader(at, size)
	if err != nil {
		return broken("the archive cannot be read: %v", err)
	}
	if len(z.File) == 0 || len(z.File) > maxEntries {
		return broken("the archive has %d files", len(z.File))
	}
	for _, f := range z.File {
		if f.FileInfo().IsDir() {
			continue
		}
		if err := entry(f, fn); err != nil {
			return err
		}
	}
	return nil
}

func entry(f *zip.File, fn func(string, io.Reader) error) error {
	name := Name(f.Name)
	inner, err := f.Open()
	if err != nil {
		return broken("the file %q of the archive cannot be read: %v", name, err)
	}
	defer inner.Close()                             // read only
	packed := int64(min(f.CompressedSize64, 1<<62)) //nolint:gosec // bounded
	return fn(name, &bounded{r: inner, packed: &packed})
}

// checkDirectory refuses an archive whose list of files is long: the library
// would hold all of it. The list must stand at the archive's end.
func checkDirectory(at io.ReaderAt, size int64) error {
	const record = 22
	tail := min(size, record+maxDirectory)
	text := make([]byte, tail)
	if _, err := at.ReadAt(text, size-tail); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read a statement: %w", err)
	}
	i := bytes.LastIndex(text, []byte("PK\x05\x06"))
	if i < 0 || len(text)-i < record {
		return broken("the archive is not whole")
	}
	end := size - tail + int64(i)
	count := binary.LittleEndian.Uint16(text[i+10:])
	length := int64(binary.LittleEndian.Uint32(text[i+12:]))
	start := int64(binary.LittleEndian.Uint32(text[i+16:]))
	if count > maxEntries || length > maxDirectory || start > end || end-start > maxDirectory {
		return broken("the archive has more than %d files", maxEntries)
	}
	return nil
}

// Name is a file name of an archive as text for messages: what is no UTF-8 is
// GB18030, as Alipay writes it. It is clipped and is never a path.
func Name(raw string) string {
	if !utf8.ValidString(raw) {
		if text, err := simplifiedchinese.GB18030.NewDecoder().String(raw); err == nil {
			raw = text
		}
	}
	return Clip(raw)
}

// Clip shortens a text of a file for a message.
func Clip(text string) string {
	const most = 40
	n := 0
	for i := range text {
		if n == most {
			return text[:i] + "…"
		}
		n++
	}
	return text
}

// counter counts what is read of a packed file.
type counter struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// bounded is a text that ends with a fault when it is too long, or much longer
// than what it was packed in.
type bounded struct {
	r      io.Reader
	packed *int64 // how much of the packed file was read; nil: it is not packed
	n      int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	switch {
	case b.n > MaxText:
		return 0, broken("the text is longer than %d GiB", MaxText>>30)
	case b.packed != nil && b.n > ratioFrom && b.n/maxRatio > *b.packed:
		return 0, broken("the text is more than %d times as long as its file", maxRatio)
	case err != nil && !errors.Is(err, io.EOF) && b.packed != nil:
		return n, unpackFault("", err)
	}
	return n, err
}

func unpackFault(name string, err error) error {
	if name != "" {
		return broken("%q cannot be unpacked: %v", name, err)
	}
	return broken("the file cannot be unpacked: %v", err)
}
