package httpapi

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/evcs/evcs/internal/api"
)

// form is what a JSON value may look like.
type form int

const (
	formAny form = iota // json.RawMessage, any
	formObject
	formArray
	formMap
	formString
	formInteger
	formBoolean
	formFlag
	formTime
	formScalar // read by its own UnmarshalJSON: money, energy, dates
)

// shape is what the reader of bodies knows of a Go type: enough to find what a
// JSON schema cannot say (a field given twice, an unknown field, a decimal too
// many) before anything is decoded.
type shape struct {
	form   form
	t      reflect.Type
	fields map[string]*shape
	elem   *shape
	null   bool // may be null
}

// param is a parameter outside the body.
type param struct {
	where string // path, query, header
	shape *shape
}

type jsonTyped interface{ JSONType() (kind, format string) }

type elementTyped interface{ Elem() reflect.Type }

var shapes sync.Map // reflect.Type -> *shape; types are few and never change

// shapeOf reads a type; types may refer to themselves.
func shapeOf(t reflect.Type) *shape {
	if known, ok := shapes.Load(t); ok {
		return known.(*shape) //nolint:errcheck,forcetypeassert // only shapes are stored
	}
	s := readShape(t, make(map[reflect.Type]*shape))
	shapes.Store(t, s)
	return s
}

func readShape(t reflect.Type, seen map[reflect.Type]*shape) *shape {
	if s, ok := seen[t]; ok {
		return s
	}
	s := &shape{t: t}
	seen[t] = s
	zero := reflect.Zero(t).Interface()
	if t.Kind() == reflect.Pointer {
		inner := *readShape(t.Elem(), seen)
		inner.null = true
		*s = inner
		return s
	}
	if o, ok := zero.(elementTyped); ok {
		inner := *readShape(o.Elem(), seen)
		inner.null = true
		*s = inner
		return s
	}
	if j, ok := zero.(jsonTyped); ok {
		switch _, format := j.JSONType(); format {
		case "flag":
			s.form = formFlag
		case "date-time":
			s.form = formTime
		default:
			s.form = formScalar
		}
		return s
	}
	readKind(s, t, seen)
	return s
}

func readKind(s *shape, t reflect.Type, seen map[reflect.Type]*shape) {
	switch {
	case t == reflect.TypeFor[json.RawMessage]() || t.Kind() == reflect.Interface:
		s.form, s.null = formAny, true
	case t.Kind() == reflect.Struct:
		s.form, s.fields = formObject, make(map[string]*shape)
		readFields(s, t, seen)
	case t.Kind() == reflect.Slice || t.Kind() == reflect.Array:
		s.form, s.elem = formArray, readShape(t.Elem(), seen)
	case t.Kind() == reflect.Map:
		s.form, s.elem = formMap, readShape(t.Elem(), seen)
	case t.Kind() == reflect.String:
		s.form = formString
	case t.Kind() == reflect.Bool:
		s.form = formBoolean
	default:
		s.form = formInteger
	}
}

func readFields(s *shape, t reflect.Type, seen map[reflect.Type]*shape) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			readFields(s, inner, seen)
		case !f.IsExported() || name == "-":
		default:
			if name == "" {
				name = f.Name
			}
			s.fields[name] = readShape(f.Type, seen)
		}
	}
}

// with is the union of two objects' fields.
func (s *shape) with(o *shape) *shape {
	if s == nil {
		return o
	}
	both := &shape{form: formObject, fields: make(map[string]*shape)}
	for _, from := range []*shape{o, s} {
		for name, f := range from.fields {
			both.fields[name] = f
		}
	}
	return both
}

// field is the shape of a field, nil when there is none.
func (s *shape) field(name string) *shape {
	if s == nil {
		return nil
	}
	return s.fields[name]
}

func (s *shape) element() *shape {
	if s == nil {
		return nil
	}
	return s.elem
}

func (s *shape) flat() bool {
	return s != nil && s.form != formObject && s.form != formArray && s.form != formMap && s.form != formAny
}

// number reports whether values are JSON numbers, when they come as text.
func (s *shape) number() bool {
	switch s.form {
	case formInteger, formFlag:
		return true
	case formScalar:
		kind, _ := reflect.Zero(s.t).Interface().(jsonTyped).JSONType() //nolint:errcheck,forcetypeassert // formScalar has it
		return kind == "number" || kind == "integer"
	case formAny, formObject, formArray, formMap, formString, formBoolean, formTime:
	}
	return false
}

// paramsOf finds the parameters of an input, embedded ones included.
func paramsOf(t reflect.Type) map[string]param {
	params := make(map[string]param)
	for f := range t.Fields() {
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			for name, p := range paramsOf(f.Type) {
				params[name] = p
			}
			continue
		}
		for _, where := range [...]string{"path", "query", "header"} {
			if name, _, _ := strings.Cut(f.Tag.Get(where), ","); name != "" {
				ft := f.Type
				if o, ok := reflect.Zero(ft).Interface().(interface{ kind() reflect.Type }); ok {
					ft = o.kind()
				}
				params[name] = param{where: where, shape: shapeOf(ft)}
			}
		}
	}
	return params
}

// zoned writes a time that came without a zone as one of loc.
func zoned(text string, loc *time.Location) (string, bool) {
	var t api.Time
	if err := t.UnmarshalText([]byte(text)); err != nil {
		return text, false
	}
	return t.In(loc).UTC().Format(time.RFC3339Nano), true
}
