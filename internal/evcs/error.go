package evcs

import (
	"errors"
	"maps"
)

// Error is a refusal with its row of the closed table. Rules are package
// variables made by NewError; the facts of one refusal are added with With.
type Error struct {
	code   Code
	reason string // for logs, and the rule's identity
	detail Detail
	data   map[string]any
	rule   *Error // the variable this was made from, nil in the variable itself
}

// Detail is the concrete part of a message, in both languages.
type Detail struct{ ZH, EN string }

// NewError makes a rule that can refuse. reason is for logs.
func NewError(code Code, reason string) error { return &Error{code: code, reason: reason} }

// Error is the text for logs.
func (e *Error) Error() string { return e.reason }

// Is makes errors.Is find the rule that an error with facts was made from.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && (t == e || e.rule != nil && t == e.rule)
}

// With is the refusal err (a rule made by NewError) together with its facts,
// under the contract's field names. An err that is no rule is returned as is.
func With(err error, data map[string]any) error {
	return withFacts(err, Detail{}, data)
}

// WithDetail is With and a concrete sentence for people.
func WithDetail(err error, detail Detail, data map[string]any) error {
	return withFacts(err, detail, data)
}

func withFacts(err error, detail Detail, data map[string]any) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	made := *e
	if made.rule == nil {
		made.rule = e
	}
	if detail != (Detail{}) {
		made.detail = detail
	}
	made.data = maps.Clone(e.data)
	if made.data == nil {
		made.data = make(map[string]any, len(data))
	}
	maps.Copy(made.data, data)
	return &made
}

// Classify finds the row, the facts and the detail of an error. An error that
// nobody classified is 9999 with no facts: its text goes to the log, never out.
func Classify(err error) (Code, map[string]any, Detail) {
	var e *Error
	if errors.As(err, &e) {
		return e.code, e.data, e.detail
	}
	return CodeInternalError, nil, Detail{}
}

// Status is the HTTP status of the row; 500 for a number that is no row.
func (c Code) Status() int {
	if r, ok := codeTable[c]; ok {
		return r.status
	}
	return 500
}

// Name is the row's name, such as "CHARGER_OFFLINE".
func (c Code) Name() string { return codeTable[c].name }

// Text is the catalogue text; english chooses English over Chinese.
func (c Code) Text(english bool) string {
	if english {
		return codeTable[c].en
	}
	return codeTable[c].zh
}

// Codes lists every row's number, in no order.
func Codes() []Code {
	codes := make([]Code, 0, len(codeTable))
	for c := range codeTable {
		codes = append(codes, c)
	}
	return codes
}

// FieldFault is one fault of a request: which field, and what is wrong with it.
type FieldFault struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// ErrInvalid is the rule behind 9400; Invalid adds the faults.
var ErrInvalid = NewError(CodeValidationFailed, "the request is not valid")

// Invalid is 9400 with every fault found, or nil when there is none.
func Invalid(faults ...FieldFault) error {
	if len(faults) == 0 {
		return nil
	}
	zh, _ := faults[0].Chinese()
	return withFacts(ErrInvalid, Detail{ZH: zh.Field + " " + zh.Message, EN: faults[0].Field + " " + faults[0].Message}, map[string]any{"errors": faults})
}

// ErrVersion is 9409: the caller's version of an object is not the present one.
var ErrVersion = NewError(CodeVersionConflict, "the object was changed meanwhile")

// ErrStale says that a row was not what the transaction had read: the version
// moved on, somebody was first at a unique index, or the engine asks for a
// retry. store.Transact reruns the function; it reaches a caller only after
// the reruns are used up.
var ErrStale = errors.New("stale: the row changed meanwhile")

// ErrUnavailable is 9503: the store cannot be written or the daemon is on its
// way up or down. Nothing was changed.
var ErrUnavailable = NewError(CodeServiceUnavailable, "the service is not available")
