package api

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Append appends v as JSON: what encoding/json writes without HTML escapes, byte
// for byte, at a fraction of its cost. The shapes of this package are written
// here, anything else by encoding/json.
func Append(b []byte, v any) ([]byte, error) {
	if v == nil {
		return append(b, "null"...), nil
	}
	value := reflect.ValueOf(v)
	return writerOf(value.Type())(b, value)
}

// appender is a value that writes itself. What it writes is JSON.
type appender interface{ appendJSON(b []byte) []byte }

// writer appends the JSON of a value of one type.
type writer func(b []byte, v reflect.Value) ([]byte, error)

// writers by type; a type is looked at once.
var writers sync.Map

func writerOf(t reflect.Type) writer {
	if w, ok := writers.Load(t); ok {
		return w.(writer) //nolint:errcheck,forcetypeassert // only writers are stored
	}
	// A type that holds itself finds this one while its own is being made.
	var ready sync.WaitGroup
	ready.Add(1)
	var made writer
	if w, loaded := writers.LoadOrStore(t, writer(func(b []byte, v reflect.Value) ([]byte, error) {
		ready.Wait()
		return made(b, v)
	})); loaded {
		return w.(writer) //nolint:errcheck,forcetypeassert // only writers are stored
	}
	made = newWriter(t)
	ready.Done()
	writers.Store(t, made)
	return made
}

var (
	appenderType = reflect.TypeFor[appender]()
	jsonType     = reflect.TypeFor[json.Marshaler]()
	textType     = reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()
)

func newWriter(t reflect.Type) writer {
	own := reflect.PointerTo(t)
	switch {
	case t.Kind() != reflect.Pointer && t.Implements(appenderType):
		return writeOwn
	case t.Kind() == reflect.Pointer:
		return pointerWriter(t)
	case own.Implements(jsonType), own.Implements(textType):
		return writeOther
	}
	switch t.Kind() {
	case reflect.Bool:
		return func(b []byte, v reflect.Value) ([]byte, error) { return strconv.AppendBool(b, v.Bool()), nil }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(b []byte, v reflect.Value) ([]byte, error) { return strconv.AppendInt(b, v.Int(), 10), nil }
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(b []byte, v reflect.Value) ([]byte, error) { return strconv.AppendUint(b, v.Uint(), 10), nil }
	case reflect.String:
		return func(b []byte, v reflect.Value) ([]byte, error) { return appendText(b, v.String()) }
	case reflect.Interface:
		return writeDynamic
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return writeOther
		}
		return sliceWriter(t)
	case reflect.Struct:
		return structWriter(t)
	default:
		return writeOther
	}
}

func writeOwn(b []byte, v reflect.Value) ([]byte, error) {
	if v.CanAddr() { // no copy for the interface
		v = v.Addr()
	}
	return v.Interface().(appender).appendJSON(b), nil //nolint:errcheck,forcetypeassert // newWriter asked
}

// writeOther leaves it to encoding/json.
func writeOther(b []byte, v reflect.Value) ([]byte, error) {
	if v.CanAddr() {
		v = v.Addr()
	}
	buffer := bytes.NewBuffer(b)
	enc := json.NewEncoder(buffer)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v.Interface()); err != nil {
		return b, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

func writeDynamic(b []byte, v reflect.Value) ([]byte, error) {
	if v.IsNil() {
		return append(b, "null"...), nil
	}
	v = v.Elem()
	return writerOf(v.Type())(b, v)
}

func pointerWriter(t reflect.Type) writer {
	to := writerOf(t.Elem())
	return func(b []byte, v reflect.Value) ([]byte, error) {
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		return to(b, v.Elem())
	}
}

func sliceWriter(t reflect.Type) writer {
	of := writerOf(t.Elem())
	return func(b []byte, v reflect.Value) ([]byte, error) {
		if v.IsNil() {
			return append(b, "null"...), nil
		}
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = of(b, v.Index(i)); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	}
}

// member is one field of an object.
type member struct {
	index []int
	key   string // with quotes and colon
	omit  func(v reflect.Value) bool
	write writer
}

// structWriter writes an object whose fields are plain or embedded structs
// without a name of their own, each name once. Others are left to encoding/json.
func structWriter(t reflect.Type) writer {
	members, ok := membersOf(t, nil, make(map[string]bool))
	if !ok {
		return writeOther
	}
	return func(b []byte, v reflect.Value) ([]byte, error) {
		b = append(b, '{')
		first := true
		for i := range members {
			m := &members[i]
			field := v.Field(m.index[0])
			for _, n := range m.index[1:] {
				field = field.Field(n)
			}
			if m.omit != nil && m.omit(field) {
				continue
			}
			if !first {
				b = append(b, ',')
			}
			first = false
			b = append(b, m.key...)
			var err error
			if b, err = m.write(b, field); err != nil {
				return b, err
			}
		}
		return append(b, '}'), nil
	}
}

func membersOf(t reflect.Type, at []int, seen map[string]bool) ([]member, bool) {
	var list []member
	for f := range t.Fields() {
		tag := f.Tag.Get("json")
		index := append(append([]int(nil), at...), f.Index...)
		if f.Anonymous && tag == "" {
			if f.Type.Kind() != reflect.Struct {
				return nil, false
			}
			inner, ok := membersOf(f.Type, index, seen)
			if !ok {
				return nil, false
			}
			list = append(list, inner...)
			continue
		}
		if !f.IsExported() || tag == "-" {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		if name == "" {
			name = f.Name
		}
		m := member{index: index, write: writerOf(f.Type)}
		switch option {
		case "":
		case "omitempty":
			m.omit = isEmpty
		case "omitzero":
			m.omit = isZero
		default:
			return nil, false
		}
		key, err := appendText(nil, name)
		if err != nil || seen[name] {
			return nil, false
		}
		m.key = string(key) + ":"
		seen[name] = true
		list = append(list, m)
	}
	return list, true
}

// isEmpty is omitempty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	default:
		return v.IsZero()
	}
}

// isZero is omitzero.
func isZero(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		return v.IsNil()
	}
	if v.CanAddr() {
		if z, ok := v.Addr().Interface().(interface{ IsZero() bool }); ok {
			return z.IsZero()
		}
	} else if z, ok := v.Interface().(interface{ IsZero() bool }); ok {
		return z.IsZero()
	}
	return v.IsZero()
}

// appendText writes a JSON string.
func appendText(b []byte, s string) ([]byte, error) {
	plain := true
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == '"' || c == '\\' || c == 0x7f {
			return writeOther(b, reflect.ValueOf(s))
		}
		plain = plain && c < utf8.RuneSelf
	}
	// U+2028 and U+2029 end a line in JavaScript: encoding/json escapes them.
	if !plain && (!utf8.ValidString(s) || strings.Contains(s, "\u2028") || strings.Contains(s, "\u2029")) {
		return writeOther(b, reflect.ValueOf(s))
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"'), nil
}
