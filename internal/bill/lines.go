package bill

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// MaxLine bounds a line in bytes.
const MaxLine = 64 << 10

// Lines reads a text line by line.
type Lines struct {
	r   *bufio.Reader
	n   int
	err error
}

// NewLines begins a text. A byte order mark is left out.
func NewLines(r io.Reader) *Lines {
	l := &Lines{r: bufio.NewReaderSize(r, MaxLine)}
	if mark, err := l.r.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = l.r.Discard(len(mark)) // it was peeked
	}
	return l
}

// Next is the next line without its end, valid until the line after it; ok is
// false at the end of the text, and when it cannot be read.
func (l *Lines) Next() (line []byte, ok bool) {
	line, err := l.r.ReadSlice('\n')
	switch {
	case err == nil:
		line = line[:len(line)-1]
	case errors.Is(err, bufio.ErrBufferFull):
		l.n++
		l.err = broken("line %d is longer than %d KiB", l.n, MaxLine>>10)
		return nil, false
	case !errors.Is(err, io.EOF):
		l.err = err
		return nil, false
	case len(line) == 0:
		return nil, false
	}
	l.n++
	return bytes.TrimSuffix(line, []byte{'\r'}), true
}

// Number is the number of the last line, from 1.
func (l *Lines) Number() int { return l.n }

// Err is why the text ended before its end: a *Fault, or an error of reading.
func (l *Lines) Err() error { return l.err }

// Columns are where the columns of a table stand, by their names.
type Columns struct {
	at    map[string]int
	width int
}

// maxColumns bounds a table.
const maxColumns = 64

// NewColumns reads the names of a header. A name that comes twice, a table that
// is too wide and one without a needed column are faults. Columns that nobody
// asks for do no harm.
func NewColumns(names []string, needed ...string) (Columns, error) {
	c := Columns{at: make(map[string]int, len(names)), width: len(names)}
	if len(names) > maxColumns {
		return c, broken("the table has %d columns", len(names))
	}
	for i, name := range names {
		name = strings.Trim(name, " \t`")
		if _, twice := c.at[name]; twice && name != "" {
			return c, broken("the column %q comes twice", Clip(name))
		}
		c.at[name] = i
	}
	for _, name := range needed {
		if _, ok := c.at[name]; !ok {
			return c, broken("the column %q is missing", name)
		}
	}
	return c, nil
}

// At is where a column stands; -1: nowhere.
func (c Columns) At(name string) int {
	if i, ok := c.at[name]; ok {
		return i
	}
	return -1
}

// Any is where the first of several names of one column stands; -1: nowhere.
func (c Columns) Any(names ...string) int {
	for _, name := range names {
		if i := c.At(name); i >= 0 {
			return i
		}
	}
	return -1
}

// Width is how many columns there are.
func (c Columns) Width() int { return c.width }

var (
	errAmount = errors.New("is no amount of whole fen")
	errTime   = errors.New("is no time yyyy-MM-dd HH:mm:ss")
)

// maxMoney bounds an amount: a hundred thousand million yuan.
const maxMoney = 1e13

// Money reads an amount in yuan: an optional sign, digits, and decimals of
// which only the first two may be other than zero. What does not fit is an
// error; nothing is rounded.
func Money(text string) (evcs.Money, error) {
	text = strings.Trim(text, " \t")
	if dot := strings.IndexByte(text, '.'); dot >= 0 {
		end := len(text)
		for end > dot+3 && text[end-1] == '0' {
			end--
		}
		text = text[:end]
	}
	m, err := evcs.ParseMoney(strings.TrimPrefix(text, "+"))
	if err != nil || m > maxMoney || m < -maxMoney || strings.HasPrefix(text, "+-") {
		return 0, fmt.Errorf("%q %w", Clip(text), errAmount)
	}
	return m, nil
}

// Optional is Money for a column that may be empty or absent.
func Optional(text string) (evcs.Money, error) {
	if strings.Trim(text, " \t") == "" {
		return 0, nil
	}
	return Money(text)
}

// Moment reads "2026-02-09 12:30:59" in a zone.
func Moment(text string, zone *time.Location) (time.Time, error) {
	text = strings.Trim(text, " \t")
	if len(text) != len(time.DateTime) || text[4] != '-' || text[7] != '-' || text[10] != ' ' || text[13] != ':' || text[16] != ':' {
		return time.Time{}, fmt.Errorf("%q %w", Clip(text), errTime)
	}
	var part [6]int
	for i, from := range [...]int{0, 5, 8, 11, 14, 17} {
		to := from + 2
		if i == 0 {
			to = 4
		}
		for ; from < to; from++ {
			d := text[from] - '0'
			if d > 9 {
				return time.Time{}, fmt.Errorf("%q %w", Clip(text), errTime)
			}
			part[i] = part[i]*10 + int(d)
		}
	}
	at := time.Date(part[0], time.Month(part[1]), part[2], part[3], part[4], part[5], 0, zone)
	if at.Day() != part[2] || at.Hour() != part[3] || at.Minute() != part[4] || part[5] > 59 || part[1] > 12 || part[1] < 1 {
		return time.Time{}, fmt.Errorf("%q %w", Clip(text), errTime)
	}
	return at, nil
}

// Count reads a number of rows, which some channels print as "20.0".
func Count(text string) (int, error) {
	text = strings.Trim(text, " \t")
	whole, decimals, dotted := strings.Cut(text, ".")
	if dotted && strings.Trim(decimals, "0") != "" || whole == "" || len(whole) > 9 {
		return 0, fmt.Errorf("%q is no count", Clip(text))
	}
	n := 0
	for i := range len(whole) {
		d := whole[i] - '0'
		if d > 9 {
			return 0, fmt.Errorf("%q is no count", Clip(text))
		}
		n = n*10 + int(d)
	}
	return n, nil
}
