package ocpp16

import (
	"github.com/evcs/evcs/internal/ocppj"
)

// The hot messages are read by hand, in one pass and without allocating: a
// field is a view into the message. Names and enumerated words are taken in
// any case, unknown fields are passed over, of a field given twice the last
// counts, and null is as good as absent.

// number is an integer that a station may also write as a text or with
// decimals; text is what it wrote.
type number struct {
	text []byte
	told bool
}

type startRequest struct {
	connector number
	tag       []byte
	tagTold   bool
	meter     number
	time      []byte
}

type stopRequest struct {
	transaction number
	tag         []byte
	meter       number
	time        []byte
	reason      []byte
	data        []byte // the raw transactionData
}

type statusRequest struct {
	connector   number
	status      []byte
	statusTold  bool
	fault       []byte
	info        []byte
	vendorFault []byte
	time        []byte
}

type meterRequest struct {
	connector   number
	transaction number
	values      []byte // the raw meterValue
}

type authorizeRequest struct {
	tag  []byte
	told bool
}

// reader reads one payload and remembers the first fault.
type reader struct {
	s     ocppj.Scanner
	fault *ocppj.CallError
	fold  [32]byte
}

// open steps into the object that a payload has to be.
func (r *reader) open(payload []byte) {
	r.s = ocppj.NewScanner(payload)
	r.s.Enter('{')
}

// next is the lower-case name of the next field; ok is false at the end.
func (r *reader) next() (name []byte, ok bool) {
	if r.fault != nil || !r.s.More('}') {
		return nil, false
	}
	key := r.s.Key()
	return r.lower(key), !r.s.Bad()
}

// lower folds a short word to lower case. A longer one is nothing that is
// known here and stays as it is.
func (r *reader) lower(word []byte) []byte {
	if len(word) > len(r.fold) {
		return word
	}
	for i, c := range word {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		r.fold[i] = c
	}
	return r.fold[:len(word)]
}

// done reports the fault of the whole payload.
func (r *reader) done() *ocppj.CallError {
	if r.fault != nil {
		return r.fault
	}
	if !r.s.End() {
		return faultJSON()
	}
	return nil
}

// text reads a string; null is nothing, a number or truth value its own text.
func (r *reader) text(field string) []byte {
	switch r.s.Peek() {
	case '"':
		text, _ := r.s.Text()
		return text
	case '{', '[':
		r.fault = faultType(field)
		return nil
	case 'n':
		r.s.Skip()
		return nil
	}
	return r.s.Raw()
}

// number reads a number, also one in quotes.
func (r *reader) number(field string) number {
	quoted := r.s.Peek() == '"'
	text := r.text(field)
	if quoted {
		text = trim(text)
	}
	if len(text) == 0 {
		return number{}
	}
	if _, ok := parseScaled(text, 0); !ok && !r.s.Bad() && r.fault == nil {
		r.fault = faultType(field)
	}
	return number{text: text, told: true}
}

// loose is number for a message that is answered whatever it says: what is no
// number is not told.
func (r *reader) loose() number {
	if p := r.s.Peek(); p == '{' || p == '[' {
		r.s.Skip()
		return number{}
	}
	text := r.text("")
	if _, ok := parseScaled(text, 0); !ok {
		return number{}
	}
	return number{text: trim(text), told: true}
}

// list reads an array as it is.
func (r *reader) list(field string) []byte {
	switch r.s.Peek() {
	case '[':
		return r.s.Raw()
	case 'n':
		r.s.Skip()
	case 0:
		r.s.Skip()
	default:
		r.fault = faultType(field)
	}
	return nil
}

func (m *startRequest) decode(payload []byte) *ocppj.CallError {
	var r reader
	for r.open(payload); ; {
		name, ok := r.next()
		if !ok {
			return r.done()
		}
		switch string(name) {
		case "connectorid":
			m.connector = r.number("connectorId")
		case "idtag":
			m.tagTold = r.s.Peek() != 'n'
			m.tag = r.text("idTag")
		case "meterstart":
			m.meter = r.number("meterStart")
		case "timestamp":
			m.time = r.text("timestamp")
		default:
			r.s.Skip()
		}
	}
}

func (m *stopRequest) decode(payload []byte) *ocppj.CallError {
	var r reader
	for r.open(payload); ; {
		name, ok := r.next()
		if !ok {
			return r.done()
		}
		switch string(name) {
		case "transactionid":
			m.transaction = r.loose()
		case "idtag":
			m.tag = r.text("idTag")
		case "meterstop":
			m.meter = r.loose()
		case "timestamp":
			m.time = r.text("timestamp")
		case "reason":
			m.reason = r.text("reason")
		case "transactiondata":
			m.data = r.list("transactionData")
		default:
			r.s.Skip()
		}
	}
}

func (m *statusRequest) decode(payload []byte) *ocppj.CallError {
	var r reader
	for r.open(payload); ; {
		name, ok := r.next()
		if !ok {
			return r.done()
		}
		switch string(name) {
		case "connectorid":
			m.connector = r.number("connectorId")
		case "status":
			m.statusTold = r.s.Peek() != 'n'
			m.status = r.text("status")
		case "errorcode":
			m.fault = r.text("errorCode")
		case "info":
			m.info = r.text("info")
		case "vendorerrorcode":
			m.vendorFault = r.text("vendorErrorCode")
		case "timestamp":
			m.time = r.text("timestamp")
		default:
			r.s.Skip()
		}
	}
}

func (m *meterRequest) decode(payload []byte) *ocppj.CallError {
	var r reader
	for r.open(payload); ; {
		name, ok := r.next()
		if !ok {
			return r.done()
		}
		switch string(name) {
		case "connectorid":
			m.connector = r.number("connectorId")
		case "transactionid":
			m.transaction = r.number("transactionId")
		case "metervalue":
			m.values = r.list("meterValue")
		default:
			r.s.Skip()
		}
	}
}

func (m *authorizeRequest) decode(payload []byte) *ocppj.CallError {
	var r reader
	for r.open(payload); ; {
		name, ok := r.next()
		if !ok {
			return r.done()
		}
		switch string(name) {
		case "idtag":
			m.told = r.s.Peek() != 'n'
			m.tag = r.text("idTag")
		default:
			r.s.Skip()
		}
	}
}

// decodeEmpty reads a payload whose fields nobody needs (Heartbeat).
func decodeEmpty(payload []byte) *ocppj.CallError {
	var r reader
	for r.open(payload); ; {
		if _, ok := r.next(); !ok {
			return r.done()
		}
		r.s.Skip()
	}
}

// The CALLERRORs of a payload, in the spellings of OCPP-J 1.6.
const (
	codeFormat         = "FormationViolation"
	codeProtocol       = "ProtocolError"
	codeOccurrence     = "OccurenceConstraintViolation" // sic
	codeType           = "TypeConstraintViolation"
	codeProperty       = "PropertyConstraintViolation"
	codeNotImplemented = "NotImplemented"
)

func faultJSON() *ocppj.CallError {
	return &ocppj.CallError{Code: codeFormat, Description: "the payload is not a JSON object"}
}

func faultMissing(field string) *ocppj.CallError {
	return &ocppj.CallError{Code: codeOccurrence, Description: field + " is missing"}
}

func faultType(field string) *ocppj.CallError {
	return &ocppj.CallError{Code: codeType, Description: field + " has the wrong type"}
}

func faultValue(field string) *ocppj.CallError {
	return &ocppj.CallError{Code: codeProperty, Description: field + " has a value that is not allowed"}
}
