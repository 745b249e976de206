package ocppj

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

// The message types of OCPP-J.
const (
	typeCall   = 2
	typeResult = 3
	typeError  = 4
)

// CallError is a CALLERROR: what one side says instead of a result.
type CallError struct {
	Code        string
	Description string
}

// Error implements error.
func (e *CallError) Error() string { return "CALLERROR " + e.Code + ": " + e.Description }

// ErrSilent makes a connection send no answer at all, so that the station
// repeats its call later.
var ErrSilent = errors.New("the call is not answered, so that it is repeated")

// frame is one parsed message; its views point into the message.
type frame struct {
	kind int
	// id is the message id exactly as it stands in the message, with quotes. It
	// is echoed, never interpreted: stations send UUIDs, "1" after every boot,
	// and plain numbers.
	id      []byte
	name    []byte // the action of a call, the code of an error
	detail  []byte // the description of an error
	payload []byte // not checked yet
}

// fault says what is wrong with a message.
type fault int

const (
	faultNone    fault = iota
	faultNoID          // nothing that an answer could name
	faultType          // a message type that nobody knows
	faultFormat        // not JSON
	faultMessage       // JSON, but no message: parts are missing or of another type
)

// parseFrame reads the envelope. The payload of a call or result is what
// stands between the last comma of the envelope and its closing bracket: it is
// left to the decoder of the message, which reads it once.
func parseFrame(text []byte) (f frame, bad fault) {
	s := NewScanner(text)
	if s.Peek() != '[' || !s.Enter('[') || !s.More(']') {
		return f, faultNoID
	}
	kind := s.Raw()
	if s.Bad() || !s.More(']') {
		return f, faultNoID
	}
	if c := s.Peek(); c != '"' && (c < '0' || c > '9') {
		return f, faultNoID
	}
	f.id = s.Raw()
	if s.Bad() || len(f.id) > maxMessageID || !utf8.Valid(f.id) { // it could not be echoed
		f.id = nil
		return f, faultNoID
	}
	if len(kind) != 1 || kind[0] < '2' || kind[0] > '4' {
		return f, faultType
	}
	f.kind = int(kind[0] - '0')
	if f.kind == typeResult {
		return f, f.rest(&s)
	}
	if !s.More(']') {
		return f, s.fault()
	}
	name, ok := s.Text()
	if !ok {
		return f, s.fault()
	}
	f.name = name
	if f.kind == typeError {
		return f, f.errorRest(&s)
	}
	return f, f.rest(&s)
}

// maxMessageID bounds what is echoed; OCPP allows 36 characters.
const maxMessageID = 256

func (s *Scanner) fault() fault {
	if s.bad {
		return faultFormat
	}
	return faultMessage
}

// rest takes the payload as the last element.
func (f *frame) rest(s *Scanner) fault {
	if !s.More(']') {
		return s.fault()
	}
	tail := bytes.TrimRight(s.data[s.pos:], " \t\r\n")
	if len(tail) == 0 || tail[len(tail)-1] != ']' {
		return faultFormat
	}
	f.payload = tail[:len(tail)-1]
	return faultNone
}

// errorRest reads description and details, both of which some stations omit.
func (f *frame) errorRest(s *Scanner) fault {
	if s.More(']') {
		if text, ok := s.Text(); ok {
			f.detail = text
		} else {
			s.Skip()
		}
		for s.More(']') {
			s.Skip()
		}
	}
	if !s.End() {
		return faultFormat
	}
	return faultNone
}

// messageID is the id for people: without quotes, printable and valid UTF-8.
func messageID(raw []byte) string {
	if len(raw) >= 2 && raw[0] == '"' {
		raw = raw[1 : len(raw)-1]
	}
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	}
	return string(raw)
}

// AppendCall appends a call.
func AppendCall(out []byte, id, action string, payload []byte) []byte {
	out = append(out, `[2,"`...)
	out = append(out, id...)
	out = append(out, `","`...)
	out = append(out, action...)
	out = append(out, `",`...)
	out = append(out, payload...)
	return append(out, ']')
}

// AppendError appends the CALLERROR that answers the call with the id.
func AppendError(out, id []byte, e *CallError) []byte {
	out = append(out, `[4,`...)
	out = append(out, id...)
	out = append(out, ',')
	out = AppendText(out, e.Code)
	out = append(out, ',')
	out = AppendText(out, clip(e.Description, maxDescription))
	return append(out, `,{}]`...)
}

// maxDescription is the length that OCPP gives an error description.
const maxDescription = 255

func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// AppendText appends text as a JSON string.
func AppendText(out []byte, text string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < ' ':
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			out = append(out, c)
		default:
			r, size := utf8.DecodeRuneInString(text[i:])
			out = utf8.AppendRune(out, r) // U+FFFD for a byte that is none
			i += size - 1
		}
	}
	return append(out, '"')
}
