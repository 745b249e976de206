package evcs

import (
	"encoding/json"
	"strconv"
)

// Object is a JSON object that is written name by name, without a map and
// without reflection. The zero value is an empty one; each method returns the
// longer object. Names are ours and need no escape.
type Object []byte

func (o Object) name(name string) Object {
	if len(o) == 0 {
		o = append(make(Object, 0, 256), '{')
	} else {
		o = append(o, ',')
	}
	o = append(o, '"')
	o = append(o, name...)
	return append(o, '"', ':')
}

// Text adds a text.
func (o Object) Text(name, v string) Object { return appendQuoted(o.name(name), v) }

// TextOrNull adds a text, or null for nil.
func (o Object) TextOrNull(name string, v *string) Object {
	if v == nil {
		return o.Null(name)
	}
	return o.Text(name, *v)
}

// Number adds what prints itself as a JSON number.
func (o Object) Number(name string, v interface{ String() string }) Object {
	return append(o.name(name), v.String()...)
}

// Whole adds a whole number.
func (o Object) Whole(name string, n int64) Object { return strconv.AppendInt(o.name(name), n, 10) }

// Truth adds true or false.
func (o Object) Truth(name string, v bool) Object { return strconv.AppendBool(o.name(name), v) }

// Null adds null.
func (o Object) Null(name string) Object { return append(o.name(name), "null"...) }

// JSON is the finished object.
func (o Object) JSON() []byte {
	if len(o) == 0 {
		return []byte("{}")
	}
	return append(o, '}')
}

// Texts adds a list of texts; an empty one is [].
func Texts[T ~string](o Object, name string, list []T) Object {
	o = append(o.name(name), '[')
	for i, v := range list {
		if i > 0 {
			o = append(o, ',')
		}
		o = appendQuoted(o, string(v))
	}
	return append(o, ']')
}

func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a text always can be
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
