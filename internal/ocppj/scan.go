package ocppj

import "unicode/utf8"

// maxDepth bounds how deep values may nest; no OCPP message passes eight.
const maxDepth = 64

// Scanner walks one JSON text without allocating. It accepts exactly the JSON
// grammar; the first fault is remembered, ends every loop and is reported by
// End. Views that it returns point into the text.
type Scanner struct {
	data  []byte
	pos   int
	first bool // the container just entered has given no element yet
	bad   bool
}

// NewScanner returns a Scanner at the start of text.
func NewScanner(text []byte) Scanner { return Scanner{data: text} }

// Bad reports whether a fault of grammar was met.
func (s *Scanner) Bad() bool { return s.bad }

// End reports whether the text was read to its end without a fault.
func (s *Scanner) End() bool {
	s.space()
	return !s.bad && s.pos == len(s.data)
}

// Peek is the first byte of the next value: one of {["-0123456789tfn, or 0
// when there is none.
func (s *Scanner) Peek() byte {
	s.space()
	if s.bad || s.pos >= len(s.data) {
		return 0
	}
	return s.data[s.pos]
}

// Enter steps into an object ('{') or array ('['), if that is what comes.
func (s *Scanner) Enter(open byte) bool {
	if s.Peek() != open {
		s.bad = true
		return false
	}
	s.pos++
	s.first = true
	return true
}

// More reports whether the container entered last has another element, and
// steps out of it when it has none. end is '}' or ']'.
func (s *Scanner) More(end byte) bool {
	c := s.Peek()
	first := s.first
	s.first = false
	switch {
	case c == 0:
		s.bad = true
		return false
	case c == end:
		s.pos++
		return false
	case first:
		return true
	case c != ',':
		s.bad = true
		return false
	}
	s.pos++
	if c = s.Peek(); c == 0 || c == end {
		s.bad = true
	}
	return !s.bad
}

// Key reads the name of an object's element and the colon behind it.
func (s *Scanner) Key() []byte {
	key, ok := s.Text()
	if !ok || s.Peek() != ':' {
		s.bad = true
		return nil
	}
	s.pos++
	return key
}

// Text reads a string and decodes it; ok is false, and nothing is read, when
// another kind of value comes. It allocates only for strings with escapes.
func (s *Scanner) Text() (text []byte, ok bool) {
	if s.Peek() != '"' {
		return nil, false
	}
	start := s.pos + 1
	escaped := s.skipText()
	if s.bad {
		return nil, false
	}
	text = s.data[start : s.pos-1]
	if escaped {
		text = unescape(text)
	}
	return text, true
}

// Raw reads any value and returns its exact bytes.
func (s *Scanner) Raw() []byte {
	s.space()
	start := s.pos
	s.skip(0)
	if s.bad {
		return nil
	}
	return s.data[start:s.pos]
}

// Skip reads any value and forgets it.
func (s *Scanner) Skip() {
	s.space()
	s.skip(0)
}

func (s *Scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

func (s *Scanner) skip(depth int) {
	if depth > maxDepth {
		s.bad = true
		return
	}
	switch c := s.Peek(); c {
	case '"':
		s.skipText()
	case '{':
		for s.Enter('{'); s.More('}'); {
			s.skipKey()
			s.skip(depth + 1)
		}
	case '[':
		for s.Enter('['); s.More(']'); {
			s.skip(depth + 1)
		}
	case 't':
		s.word("true")
	case 'f':
		s.word("false")
	case 'n':
		s.word("null")
	default:
		s.skipNumber()
	}
}

func (s *Scanner) skipKey() {
	if s.Peek() != '"' {
		s.bad = true
		return
	}
	s.skipText()
	if s.Peek() != ':' {
		s.bad = true
		return
	}
	s.pos++
}

func (s *Scanner) word(w string) {
	if len(s.data)-s.pos < len(w) || string(s.data[s.pos:s.pos+len(w)]) != w {
		s.bad = true
		return
	}
	s.pos += len(w)
}

// skipText reads a string, with the opening quote at pos, and tells whether it
// holds escapes.
func (s *Scanner) skipText() (escaped bool) {
	for i := s.pos + 1; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.pos = i + 1
			return escaped
		case c == '\\':
			escaped = true
			n := escapeLength(s.data[i:])
			if n == 0 {
				s.bad = true
				return escaped
			}
			i += n - 1
		case c < ' ':
			s.bad = true
			return escaped
		}
	}
	s.bad = true
	return escaped
}

// escapeLength is the length of the escape that b starts with, 0 for none.
func escapeLength(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

func (s *Scanner) skipNumber() {
	i := s.pos
	if i < len(s.data) && s.data[i] == '-' {
		i++
	}
	switch {
	case i < len(s.data) && s.data[i] == '0':
		i++
	default:
		n := digits(s.data[i:])
		if n == 0 {
			s.bad = true
			return
		}
		i += n
	}
	if i < len(s.data) && s.data[i] == '.' {
		n := digits(s.data[i+1:])
		if n == 0 {
			s.bad = true
			return
		}
		i += 1 + n
	}
	if i < len(s.data) && s.data[i]|0x20 == 'e' {
		i++
		if i < len(s.data) && (s.data[i] == '+' || s.data[i] == '-') {
			i++
		}
		n := digits(s.data[i:])
		if n == 0 {
			s.bad = true
			return
		}
		i += n
	}
	s.pos = i
}

func digits(b []byte) int {
	for i, c := range b {
		if c < '0' || c > '9' {
			return i
		}
	}
	return len(b)
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// unescape decodes a checked string that holds escapes. A surrogate without
// its partner becomes U+FFFD, as in encoding/json.
func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		if b[i] != '\\' {
			out = append(out, b[i])
			i++
			continue
		}
		c := b[i+1]
		if c != 'u' {
			out = append(out, plainEscape(c))
			i += 2
			continue
		}
		r, _ := hex4(b[i+2:])
		i += 6
		if r >= 0xD800 && r < 0xE000 {
			r, i = joinSurrogate(r, b, i)
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

func plainEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// joinSurrogate reads the second half of a pair at i, if it is there.
func joinSurrogate(high rune, b []byte, i int) (rune, int) {
	if high < 0xDC00 && len(b) >= i+6 && b[i] == '\\' && b[i+1] == 'u' {
		if low, ok := hex4(b[i+2:]); ok && low >= 0xDC00 && low < 0xE000 {
			return (high-0xD800)<<10 | (low - 0xDC00) + 0x10000, i + 6
		}
	}
	return utf8.RuneError, i
}
