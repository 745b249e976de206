// Package api is the JSON of the REST contract: the envelope, the pages, the
// decimal and time forms, and one struct per object and per request body. The
// server writes these types and the client reads them, so neither can drift.
// It holds no rule and needs only the standard library.
//
// Conventions. A field that may be null is a pointer (or json.RawMessage). In
// request bodies a required field is plain, an optional one is a pointer with
// omitempty, and one that a PUT may clear with null is an [Optional]. Fields
// that some answers leave out (lines of an order, connectors of a charger) are
// marked omitzero. The struct tags doc, minimum, maximum, minLength, maxLength,
// pattern and enum carry the limits of the contract into the OpenAPI document;
// the scalar types of this package say what they are on the wire by JSONType.
package api

import (
	"encoding/json"
	"reflect"
)

// CodeOK is the code of every success.
const CodeOK = 200

// Envelope is the success answer of every operation. Data is null when an
// operation has nothing to return.
type Envelope[T any] struct {
	Code      int    `json:"code" doc:"200 in every success"`
	Message   string `json:"message" doc:"For people; never decide by it"`
	Data      T      `json:"data"`
	Timestamp Time   `json:"timestamp"`
	TraceID   string `json:"traceId"`
}

// Failure is the answer to everything that did not succeed, sent with its real
// HTTP status. Code is a row of the closed error table.
type Failure struct {
	Code      int             `json:"code" doc:"A row of the error table" minimum:"1000" maximum:"9999"`
	Message   string          `json:"message" doc:"Catalogue text, then a colon and the detail when there is one"`
	Data      json.RawMessage `json:"data" doc:"The facts of the failure, or null"`
	Timestamp Time            `json:"timestamp"`
	Path      string          `json:"path" doc:"The request path without its query"`
	TraceID   string          `json:"traceId"`
}

// Fault is one fault of a request, of data.errors in 9400, 3010 and 6007.
type Fault struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Faults is the data of 9400, 3010 and 6007.
type Faults struct {
	Errors []Fault `json:"errors"`
}

// Page is a part of a list. In the page form Total, Current and Pages are set
// and nextCursor is absent; in the cursor form they are null and nextCursor is
// present, null at the end.
type Page[T any] struct {
	Records    []T              `json:"records"`
	Total      *int64           `json:"total"`
	Size       int              `json:"size"`
	Current    *int             `json:"current"`
	Pages      *int64           `json:"pages"`
	NextCursor Optional[string] `json:"nextCursor,omitzero"`
}

// NumberedPage makes the page form: page current of size rows out of total.
func NumberedPage[T any](records []T, total int64, current, size int) Page[T] {
	pages := int64(0)
	if size > 0 {
		pages = (total + int64(size) - 1) / int64(size)
	}
	return Page[T]{Records: list(records), Total: &total, Size: size, Current: &current, Pages: &pages}
}

// CursorPage makes the cursor form; an empty next ends the list.
func CursorPage[T any](records []T, size int, next string) Page[T] {
	page := Page[T]{Records: list(records), Size: size, NextCursor: Null[string]()}
	if next != "" {
		page.NextCursor = Some(next)
	}
	return page
}

func list[T any](records []T) []T {
	if records == nil {
		return []T{}
	}
	return records
}

// Optional is a field of a PUT body that may be absent (leave it), null (clear
// it) or given. The zero value is absent; give such fields `omitzero`.
type Optional[T any] struct {
	Value T
	Set   bool // the field was present, null or not
	Null  bool // it was present and null
}

// Some is a given value.
func Some[T any](v T) Optional[T] { return Optional[T]{Value: v, Set: true} }

// Null is a present null.
func Null[T any]() Optional[T] { return Optional[T]{Set: true, Null: true} }

// IsZero reports whether the field was absent; encoding/json asks it for
// omitzero.
func (o Optional[T]) IsZero() bool { return !o.Set }

// Into writes what the field says to a nullable place: nothing when absent,
// nil when null, else the value.
func (o Optional[T]) Into(place **T) {
	switch {
	case !o.Set:
	case o.Null:
		*place = nil
	default:
		v := o.Value
		*place = &v
	}
}

// Ptr is the value, or nil when it is absent or null.
func (o Optional[T]) Ptr() *T {
	if !o.Set || o.Null {
		return nil
	}
	return &o.Value
}

// Elem is the type of a given value; it is for the writer of the OpenAPI
// document, which cannot see through a generic type.
func (Optional[T]) Elem() reflect.Type { return reflect.TypeFor[T]() }

// MarshalJSON writes the value, or null when it is null or absent.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	if !o.Set || o.Null {
		return []byte("null"), nil
	}
	return json.Marshal(o.Value)
}

// UnmarshalJSON records that the field was present and what it held.
func (o *Optional[T]) UnmarshalJSON(text []byte) error {
	*o = Optional[T]{Set: true}
	if string(text) == "null" {
		o.Null = true
		return nil
	}
	return json.Unmarshal(text, &o.Value)
}

// Ptr is a pointer to v, for optional fields.
func Ptr[T any](v T) *T { return &v }

// StatusWrite is the body of the operations that switch a status or a flag
// named status.
type StatusWrite struct {
	Status  int    `json:"status" doc:"0 disabled, 1 enabled" minimum:"0" maximum:"1"`
	Version *int64 `json:"version,omitempty" doc:"Expected version" minimum:"0"`
}

// Reason is the body of the operations that only want to know why.
type Reason struct {
	Reason string `json:"reason" minLength:"1" maxLength:"200"`
}

// Note is the body of the operations that take an optional remark.
type Note struct {
	Note *string `json:"note,omitempty" maxLength:"500"`
}
