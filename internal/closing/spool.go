package closing

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/evcs/evcs/internal/bill"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/payment"
	"github.com/evcs/evcs/internal/recon"
)

// pieceSize is how much of a packed statement lies in one row, and is written by
// one transaction.
const pieceSize = 512 << 10

// abandoned is how old pieces are that no statement will name any more.
const abandoned = 24 * time.Hour

// receivers is how many statements are taken in at a time.
const receivers = 4

// spooled is a file on disk while it is worked on: a statement, or rows that do
// not fit in memory. Nothing is left of it when it is closed or the daemon dies.
type spooled struct{ *os.File }

func (c *Closer) spool() (*spooled, error) {
	if c.cfg.Spool != "" {
		if err := os.MkdirAll(c.cfg.Spool, 0o700); err != nil {
			return nil, fmt.Errorf("make room for a statement on disk: %w", err)
		}
	}
	f, err := os.CreateTemp(c.cfg.Spool, "statement-*")
	if err != nil {
		return nil, fmt.Errorf("make room for a statement on disk: %w", err)
	}
	_ = os.Remove(f.Name()) // an open file needs no name; where it does, Close removes it
	return &spooled{f}, nil
}

// Close removes the file.
func (s *spooled) Close() error {
	err := s.File.Close()
	_ = os.Remove(s.Name()) // most have no name any more
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func (c *Closer) scratch() (recon.ScratchFile, error) { return c.spool() }

// File is a statement on disk.
type File interface {
	io.ReadSeeker
	io.ReaderAt
	io.Closer
}

// Receive takes a statement in, at most MaxStatement of it. The file is gone
// when it is closed.
func (c *Closer) Receive(ctx context.Context, r io.Reader) (File, error) {
	select {
	case c.receiving <- struct{}{}:
		defer func() { <-c.receiving }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f, err := c.receive(r)
	if err != nil {
		return nil, err // and no File that holds nothing
	}
	return f, nil
}

// ErrLarge says that a statement is larger than MaxStatement.
var ErrLarge = errors.New("the statement is larger than 512 MiB")

// diskError is a failure of our own disk, not of the one who sends.
type diskError struct{ error }

// Unwrap makes the cause known.
func (e diskError) Unwrap() error { return e.error }

// Spooling reports whether an error is one of our own disk.
func Spooling(err error) bool {
	_, ok := errors.AsType[diskError](err)
	return ok
}

// diskWriter marks the errors of writing.
type diskWriter struct{ io.Writer }

// Write implements io.Writer.
func (w diskWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = diskError{err}
	}
	return n, err
}

func (c *Closer) receive(r io.Reader) (*spooled, error) {
	f, err := c.spool()
	if err != nil {
		return nil, diskError{err}
	}
	n, err := io.Copy(diskWriter{f}, io.LimitReader(r, MaxStatement+1))
	if err == nil && n > MaxStatement {
		err = ErrLarge
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func rewind(f io.Seeker) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// packingOf tells how a file is packed.
func packingOf(f io.ReaderAt) (bill.Packing, error) {
	head := make([]byte, 4)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return bill.PackingOf(head[:n]), nil
}

// digest is the SHA-256 of a statement: of its text, or of the archive that
// several texts came in.
func digest(f File) (string, error) {
	sum := sha256.New()
	packing, err := packingOf(f)
	if err != nil {
		return "", err
	}
	if packing == bill.Zip {
		err = rewind(f)
		if err == nil {
			_, err = io.Copy(sum, f)
		}
	} else {
		err = bill.Each(f, func(_ string, text io.Reader) error {
			_, err := io.Copy(sum, text)
			return err
		})
	}
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// pieces cuts what is written into rows, each of its own transaction: a large
// statement must not keep the writer from devices.
type pieces struct {
	keep func(no int, piece []byte) error
	no   int
	size int64
	held bytes.Buffer
}

// Write implements io.Writer.
func (p *pieces) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		take := min(len(b), pieceSize-p.held.Len())
		p.held.Write(b[:take])
		b = b[take:]
		if p.held.Len() == pieceSize {
			if err := p.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (p *pieces) flush() error {
	if p.held.Len() == 0 && p.no > 0 {
		return nil
	}
	err := p.keep(p.no, bytes.Clone(p.held.Bytes()))
	p.no++
	p.size += int64(p.held.Len())
	p.held.Reset()
	return err
}

// put stores a file in pieces, packed. They are of nothing until a statement
// names them.
func (c *Closer) put(ctx context.Context, owner evcs.TenantID, f File) (name string, size int64, err error) {
	packing, err := packingOf(f)
	if err != nil {
		return "", 0, err
	}
	if err := rewind(f); err != nil {
		return "", 0, err
	}
	name = rand.Text()
	p := &pieces{keep: func(no int, piece []byte) error {
		return c.cfg.Transact(ctx, func(tx Tx) error {
			return tx.Recon().KeepPiece(ctx, evcs.Only(owner), recon.Piece{File: name, No: no, At: c.now(), Body: piece})
		})
	}}
	if packing == bill.Plain {
		z, _ := gzip.NewWriterLevel(p, gzip.BestSpeed) // a level that exists
		_, err = io.Copy(z, f)
		err = errors.Join(err, z.Close())
	} else {
		_, err = io.Copy(p, f)
	}
	if err == nil {
		err = p.flush()
	}
	if err != nil {
		return "", 0, fmt.Errorf("keep a statement: %w", err)
	}
	return name, p.size, nil
}

// stored spools a statement that was kept.
func (c *Closer) stored(ctx context.Context, st *recon.Statement) (*spooled, error) {
	f, err := c.spool()
	if err != nil {
		return nil, err
	}
	if err := c.cfg.Read.EachPiece(ctx, evcs.Only(st.Tenant), st, func(piece []byte) error {
		_, err := f.Write(piece)
		return err
	}); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// given spools a statement that the channel gave.
func (c *Closer) given(st payment.Statement) (*spooled, error) {
	if st.File == nil {
		return c.receive(bytes.NewReader(st.Body))
	}
	f, err := c.receive(st.File)
	return f, errors.Join(err, st.File.Close())
}

// CleanUp removes pieces of statements that came to nothing. It answers how
// many.
func (c *Closer) CleanUp(ctx context.Context, n int) (gone int, err error) {
	err = c.cfg.Transact(ctx, func(tx Tx) (err error) {
		gone, err = tx.Recon().DropPieces(ctx, c.now().Add(-abandoned), n)
		return err
	})
	return gone, err
}
