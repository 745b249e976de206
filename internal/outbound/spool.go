package outbound

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// File is a reply that was kept on disk, at its beginning; closing it removes
// it.
type File struct{ *os.File }

// Close implements io.Closer.
func (f File) Close() error { return errors.Join(f.File.Close(), os.Remove(f.Name())) }

// Spool keeps a long reply in a temporary file, so that it can be looked at
// before it is believed and memory stays flat. What fails leaves nothing behind.
func Spool(r io.Reader) (File, error) {
	kept, err := os.CreateTemp("", "evcs-reply-*")
	if err != nil {
		return File{}, fmt.Errorf("keep a reply: %w", err)
	}
	f := File{kept}
	if _, err = io.Copy(f, r); err == nil {
		err = f.Rewind()
	}
	if err != nil {
		return File{}, errors.Join(err, f.Close())
	}
	return f, nil
}

// Rewind goes back to the beginning.
func (f File) Rewind() error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}
