// Package logstore keeps the last log lines of this node in segment files of
// JSON lines, bounded in bytes and age, and finds them again. A line is written
// when Handle returns; it is flushed to the disk within a second. A crash loses
// at most lines that were not flushed; a torn last line is cut off.
package logstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

const (
	// MinBytes is the smallest bound that still leaves several segments.
	MinBytes     = 1 << 20
	segmentShare = 16      // segments that fill the store
	segmentMost  = 4 << 20 // bytes; one is read whole to be searched
	lineMost     = 128 << 10
	ageShare     = 8 // a segment spans at most this part of the age
	flushEvery   = time.Second
)

// Config says where lines are kept and how many.
type Config struct {
	Dir      string
	MaxBytes int64         // at least MinBytes
	MaxAge   time.Duration // of a segment's newest line
	Clock    evcs.Clock
}

// Store keeps lines. Its methods may be called at once.
type Store struct {
	cfg     Config
	segment int64 // bytes of a full one

	mu       sync.Mutex
	segments []segment // guarded by mu; oldest first, the last one is written
	file     *os.File  // guarded by mu; nil before the first line
	next     int64     // guarded by mu: the next line's number
	total    int64     // guarded by mu: bytes of all segments
	dirty    bool      // guarded by mu
	fault    error     // guarded by mu: why the last line could not be written
	closed   bool      // guarded by mu
}

// segment is one file and what is known of it without reading it.
type segment struct {
	First int64 `json:"first"` // numbers of its lines
	Last  int64 `json:"last"`
	From  int64 `json:"from"` // milliseconds of its earliest line
	To    int64 `json:"to"`   // and of its latest
	Bytes int64 `json:"bytes"`
}

const (
	lineSuffix  = ".log"
	indexSuffix = ".idx"
)

func (g segment) name() string { return fmt.Sprintf("%016d", g.First) }

// Open opens the store in a directory, which it makes, and cuts off what a
// crash left half written.
func Open(c Config) (*Store, error) {
	if c.MaxBytes < MinBytes {
		return nil, fmt.Errorf("the log store needs at least %d bytes", MinBytes)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the log directory: %w", err)
	}
	s := &Store{cfg: c, segment: min(c.MaxBytes/segmentShare, segmentMost), next: 1}
	names, err := filepath.Glob(filepath.Join(c.Dir, "*"+lineSuffix))
	if err != nil {
		return nil, fmt.Errorf("list the logs: %w", err)
	}
	for _, path := range names {
		first, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(path), lineSuffix), 10, 64)
		if err != nil {
			continue // not ours
		}
		g, err := s.load(segment{First: first})
		if err != nil {
			return nil, err
		}
		if g.Bytes > 0 {
			s.segments = append(s.segments, g)
		}
	}
	slices.SortFunc(s.segments, func(a, b segment) int { return cmp.Compare(a.First, b.First) })
	for _, g := range s.segments {
		s.total += g.Bytes
		s.next = max(s.next, g.Last+1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune(0)
	return s, nil
}

func (s *Store) path(g segment, suffix string) string {
	return filepath.Join(s.cfg.Dir, g.name()+suffix)
}

// load reads what is known of a segment: from its index when it has one that
// fits, else from the lines themselves.
func (s *Store) load(g segment) (segment, error) {
	info, err := os.Stat(s.path(g, lineSuffix))
	if err != nil {
		return g, fmt.Errorf("read the logs: %w", err)
	}
	if text, err := os.ReadFile(s.path(g, indexSuffix)); err == nil {
		var known segment
		if json.Unmarshal(text, &known) == nil && known.First == g.First && known.Bytes == info.Size() {
			return known, nil
		}
	}
	text, err := os.ReadFile(s.path(g, lineSuffix))
	if err != nil {
		return g, fmt.Errorf("read the logs: %w", err)
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if whole == 0 {
		return g, os.Remove(s.path(g, lineSuffix))
	}
	if whole < len(text) {
		if err := os.Truncate(s.path(g, lineSuffix), int64(whole)); err != nil {
			return g, fmt.Errorf("cut a torn log line: %w", err)
		}
	}
	g.Last = g.First
	for line := range bytes.Lines(text[:whole]) {
		if l, ok := parse(line); ok {
			g.note(l.ID, l.Time.UnixMilli(), 0)
		}
	}
	g.Bytes = int64(whole)
	return g, nil
}

// note widens what is known by a line.
func (g *segment) note(id, at, size int64) {
	g.Last = max(g.Last, id)
	if g.From == 0 || at < g.From {
		g.From = at
	}
	g.To = max(g.To, at)
	g.Bytes += size
}

// append writes one line; make words it with the number it gets.
func (s *Store) append(at time.Time, word func(id int64) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	line := word(s.next)
	if len(line) > lineMost {
		return // word keeps lines shorter; a longer one would not be read again
	}
	s.fault = s.write(at, line)
}

func (s *Store) write(at time.Time, line []byte) error {
	size := int64(len(line))
	if err := s.prepare(at, size); err != nil {
		return err
	}
	if n, err := s.file.Write(line); err != nil {
		return errors.Join(err, s.undo(n))
	}
	s.segments[len(s.segments)-1].note(s.next, at.UnixMilli(), size)
	s.total += size
	s.next++
	s.dirty = true
	return nil
}

// undo cuts a line off that was written in part.
func (s *Store) undo(written int) error {
	if written == 0 {
		return nil
	}
	return s.file.Truncate(s.segments[len(s.segments)-1].Bytes)
}

// prepare makes room for a line: it opens the segment to write, begins another
// when that is full or spans too long, and drops the oldest.
func (s *Store) prepare(at time.Time, size int64) error {
	if n := len(s.segments); n > 0 {
		g := s.segments[n-1]
		full := g.Bytes+size > s.segment || at.UnixMilli()-g.From > int64(s.cfg.MaxAge/ageShare/time.Millisecond)
		if full {
			if err := s.finish(); err != nil {
				return err
			}
		} else if s.file == nil {
			return s.open(g, os.O_WRONLY|os.O_APPEND)
		}
	}
	s.prune(size)
	if s.file != nil {
		return nil
	}
	g := segment{First: s.next}
	if err := s.open(g, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL); err != nil {
		return err
	}
	s.segments = append(s.segments, g)
	return nil
}

func (s *Store) open(g segment, flags int) error {
	if err := os.Remove(s.path(g, indexSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(s.path(g, lineSuffix), flags, 0o600)
	if err == nil {
		s.file = file
	}
	return err
}

// finish closes the segment that is written and notes what it holds.
func (s *Store) finish() error {
	if s.file == nil {
		return nil
	}
	g := s.segments[len(s.segments)-1]
	text, err := json.Marshal(g)
	if err != nil {
		return err
	}
	err = errors.Join(s.file.Sync(), s.file.Close(), os.WriteFile(s.path(g, indexSuffix), text, 0o600))
	s.file, s.dirty = nil, false
	return err
}

// prune drops the oldest segments until there is room for size bytes more and
// nothing is too old. The one that is written stays.
func (s *Store) prune(size int64) {
	oldest := s.cfg.Clock.Now().Add(-s.cfg.MaxAge).UnixMilli()
	for len(s.segments) > 0 && (len(s.segments) > 1 || s.file == nil) {
		g := s.segments[0]
		if s.total+size <= s.cfg.MaxBytes && g.To >= oldest {
			return
		}
		if err := errors.Join(os.Remove(s.path(g, lineSuffix)), ignoreMissing(os.Remove(s.path(g, indexSuffix)))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.fault = err
			return
		}
		s.total -= g.Bytes
		s.segments = s.segments[1:]
	}
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Run flushes lines to the disk every second and drops what is too old, until
// ctx ends.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			s.flush()
		}
	}
}

func (s *Store) flush() {
	s.mu.Lock()
	file := s.file
	if !s.dirty {
		file = nil
	}
	s.dirty = false
	s.prune(0)
	s.mu.Unlock()
	if file == nil {
		return
	}
	// Nobody who logs waits for the disk. A segment that was finished meanwhile
	// has been flushed.
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		s.mu.Lock()
		s.fault = err
		s.mu.Unlock()
	}
}

// Check says why lines cannot be kept; nil when they can.
func (s *Store) Check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("the log store is closed")
	}
	if s.fault != nil {
		return s.fault
	}
	probe := filepath.Join(s.cfg.Dir, ".probe")
	return errors.Join(os.WriteFile(probe, []byte("1"), 0o600), os.Remove(probe))
}

// Bytes is how much is kept.
func (s *Store) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// Close flushes and ends it; lines that come later are not kept.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.finish()
}
