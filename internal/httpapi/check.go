package httpapi

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// check walks a value along its shape: unknown fields, exact numbers, times,
// texts. It changes the tree to the exact form.
func (x *exchange) check(at string, value any, s, ignored *shape) any {
	if value == nil {
		return nil // the schema knows what may be null
	}
	switch s.form {
	case formObject:
		if fields, ok := value.(map[string]any); ok {
			x.checkObject(at, fields, s, ignored)
		}
	case formArray:
		if list, ok := value.([]any); ok {
			for i := range list {
				list[i] = x.check(at+"["+strconv.Itoa(i)+"]", list[i], s.elem, ignored.element())
			}
		}
	case formMap:
		if fields, ok := value.(map[string]any); ok {
			for name := range fields {
				fields[name] = x.check(at+"."+name, fields[name], s.elem, nil)
			}
		}
	case formString:
		if text, ok := value.(string); ok {
			return x.checkText(at, text, true)
		}
	case formAny:
		if text, err := json.Marshal(value); err == nil && len(text) > maxJSONField {
			x.addFault(at, "must not be larger than 8 KiB")
		}
	case formInteger, formBoolean, formFlag, formTime, formScalar:
		return x.checkScalar(at, value, s)
	}
	return value
}

func (x *exchange) checkObject(at string, fields map[string]any, s, ignored *shape) {
	for _, name := range slices.Sorted(maps.Keys(fields)) { // sorted, so that faults come in one order
		f, value := s.field(name), fields[name]
		switch {
		case f != nil:
			fields[name] = x.check(at+"."+name, value, f, ignored.field(name))
		case at == "body" && name == "idempotentKey" && x.op.Method == http.MethodPost:
			x.bodyReplayKey, _ = value.(string)
			delete(fields, name)
		case ignored.field(name) != nil:
			delete(fields, name) // a read object sent back
		default:
			x.addFault(at+"."+name, "is not a field of this body")
			delete(fields, name)
		}
	}
}

func (x *exchange) checkScalar(at string, value any, s *shape) any {
	switch s.form {
	case formInteger:
		n, ok := value.(json.Number)
		if _, err := strconv.ParseInt(string(n), 10, 64); !ok || err != nil {
			x.addFault(at, "must be an integer")
		}
	case formFlag:
		switch v := value.(type) {
		case bool:
			if v {
				return json.Number("1")
			}
			return json.Number("0")
		case json.Number:
			if v == "0" || v == "1" {
				return value
			}
		}
		x.addFault(at, "must be 0 or 1")
	case formTime:
		text, ok := value.(string)
		if exact, valid := zoned(text, x.zone()); ok && valid {
			return exact
		}
		x.addFault(at, "must be a time: RFC 3339, or yyyy-MM-ddTHH:mm:ss")
	case formScalar:
		raw, err := json.Marshal(value)
		if err == nil {
			u, ok := reflect.New(s.t).Interface().(json.Unmarshaler)
			if ok {
				err = u.UnmarshalJSON(raw)
			}
		}
		if err != nil {
			x.addFault(at, "is "+lastPart(err))
		}
	case formAny, formObject, formArray, formMap, formString, formBoolean:
	}
	return value
}

// lastPart is the innermost sentence of an error of package api.
func lastPart(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// checkText trims a text and refuses control characters. Line breaks are for
// remarks only, and a secret or key is left exactly as it is.
func (x *exchange) checkText(at, text string, trim bool) string {
	name := strings.ToLower(at[strings.LastIndexByte(at, '.')+1:])
	for _, secret := range []string{"password", "secret", "token", "privatekey", "publickey", "apiv3key", "appcertificate", "alipayrootcertificate", "alipaycertificates"} {
		if strings.Contains(name, secret) {
			return text
		}
	}
	lines := strings.Contains(name, "remark") || strings.Contains(name, "note") || strings.Contains(name, "resolution")
	for _, r := range text {
		if unicode.IsControl(r) && !(lines && (r == '\n' || r == '\r' || r == '\t')) {
			x.addFault(at, "must not contain control characters")
			break
		}
	}
	if !trim {
		return text
	}
	return strings.TrimSpace(text)
}
