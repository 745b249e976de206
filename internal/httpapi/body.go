package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gorilla/mux"

	"github.com/evcs/evcs/internal/evcs"
)

const (
	defaultMaxBody = 1 << 20
	maxDepth       = 32
	maxJSONField   = 8 << 10
)

// keptBody is a body that has been read whole.
type keptBody struct {
	text []byte
	*bytes.Reader
}

// Close implements io.Closer.
func (*keptBody) Close() error { return nil }

func keep(text []byte) *keptBody { return &keptBody{text: text, Reader: bytes.NewReader(text)} }

// readRequest reads parameters and body and puts them into their exact form.
// Faults are collected; an error is a refusal that ends it at once.
func (x *exchange) readRequest() error {
	d := x.op
	if coding := x.r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return x.mediaRefused() // nothing is unpacked, so that nothing small becomes large
	}
	var fields map[string]any
	if !d.raw && x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		text, form, err := x.readBody()
		if err != nil {
			return err
		}
		fields = x.parseBody(text, form)
	} else if d.raw {
		x.r.Body = http.MaxBytesReader(x.w, x.r.Body, x.maxBody())
	}
	x.readPath(fields)
	if x.queryBroken {
		x.addFault("query", "is not a valid form")
	}
	x.readQuery(fields)
	r := x.r
	if fields == nil {
		return nil
	}
	x.mergeVersion(fields)
	x.check("body", fields, x.bodyShape(), d.ignore)
	if d.body == nil {
		r.Body = keep(nil)
		return nil
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("write the body anew: %w", err)
	}
	r.Body = keep(text)
	r.ContentLength = int64(len(text))
	r.Header.Set("Content-Type", "application/json")
	return nil
}

func (x *exchange) bodyShape() *shape {
	if x.op.body == nil {
		return &shape{form: formObject}
	}
	return x.op.body
}

func (x *exchange) maxBody() int64 {
	if x.op.MaxBody > 0 {
		return x.op.MaxBody
	}
	return defaultMaxBody
}

// readBody reads the body within its bound and says whether it is a form.
func (x *exchange) readBody() (text []byte, form bool, err error) {
	limit := x.maxBody()
	if x.r.ContentLength > limit {
		return nil, false, evcs.With(errBodyTooLarge, map[string]any{"limitBytes": limit})
	}
	text, err = io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, limit))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, false, evcs.With(errBodyTooLarge, map[string]any{"limitBytes": tooLarge.Limit})
	}
	if err != nil {
		return nil, false, unread(err)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, false, nil
	}
	switch media, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); {
	case x.r.Header.Get("Content-Type") == "":
		return text, false, nil
	case err != nil || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8"):
		return nil, false, x.mediaRefused()
	case media == "application/json" || strings.HasSuffix(media, "+json"):
		return text, false, nil
	case media == "application/x-www-form-urlencoded" && !x.op.Secret:
		return text, true, nil
	}
	return nil, false, x.mediaRefused()
}

// unread says why a body did not arrive whole. The server's deadline is its
// own: how long a client may take is the listener's matter.
func unread(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return evcs.Invalid(evcs.FieldFault{Field: "body", Message: "did not arrive in time"})
	}
	return evcs.Invalid(evcs.FieldFault{Field: "body", Message: "could not be read whole"})
}

// mediaRefused names what would be taken. A form may say what a query may, so
// no secret.
func (x *exchange) mediaRefused() error {
	accepted := []string{"application/json"}
	if !x.op.Secret {
		accepted = append(accepted, "application/x-www-form-urlencoded")
	}
	return evcs.With(errMediaType, map[string]any{"accepted": accepted})
}

// parseBody reads the fields of a JSON object or of a form.
func (x *exchange) parseBody(text []byte, form bool) map[string]any {
	if len(text) == 0 {
		return map[string]any{}
	}
	if form {
		values, err := url.ParseQuery(string(text))
		if err != nil {
			x.addFault("body", "is not a valid form")
			x.bodyBroken = true
			return map[string]any{}
		}
		fields := make(map[string]any)
		for name, given := range values {
			x.mergeField(fields, name, given)
		}
		return fields
	}
	if !utf8.Valid(text) {
		x.addFault("body", "is not UTF-8")
		x.bodyBroken = true
		return map[string]any{}
	}
	reader := jsonReader{
		x: x, dec: json.NewDecoder(bytes.NewReader(text)),
		whole: !bytes.ContainsRune(text, utf8.RuneError) && !bytes.Contains(bytes.ToLower(text), []byte(`\ufffd`)),
	}
	reader.dec.UseNumber()
	value, err := reader.value("body", 0)
	if err == nil {
		if _, more := reader.dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something after the JSON value")
		}
	}
	if err != nil {
		x.addFault("body", "is not valid JSON: "+err.Error())
		x.bodyBroken = true
		return map[string]any{}
	}
	fields, ok := value.(map[string]any)
	if !ok {
		x.addFault("body", "must be a JSON object")
		x.bodyBroken = true
		return map[string]any{}
	}
	return fields
}

// jsonReader reads JSON into a tree with exact numbers and notes keys given
// twice.
type jsonReader struct {
	x   *exchange
	dec *json.Decoder
	// whole: the text itself has no U+FFFD, so where one is read there was half
	// of a character.
	whole bool
}

func (j jsonReader) value(at string, depth int) (any, error) {
	token, err := j.dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	open, ok := token.(json.Delim)
	if !ok {
		if s, _ := token.(string); j.whole && strings.ContainsRune(s, utf8.RuneError) {
			j.x.addFault(at, "is not UTF-8")
		}
		return token, nil
	}
	if depth >= maxDepth {
		return nil, errors.New("it is nested too deeply")
	}
	if open == '[' {
		return j.array(at, depth)
	}
	return j.object(at, depth)
}

func (j jsonReader) array(at string, depth int) (any, error) {
	list := []any{}
	for j.dec.More() {
		v, err := j.value(at+"["+strconv.Itoa(len(list))+"]", depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := j.dec.Token()
	return list, err
}

func (j jsonReader) object(at string, depth int) (any, error) {
	fields := make(map[string]any)
	for j.dec.More() {
		token, err := j.dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := token.(string)
		where := at + "." + name
		v, err := j.value(where, depth+1)
		if err != nil {
			return nil, err
		}
		if _, twice := fields[name]; twice {
			j.x.addFault(where, "is given twice")
		}
		fields[name] = v
	}
	_, err := j.dec.Token()
	return fields, err
}

// readPath checks path ids and that a body names the same.
func (x *exchange) readPath(fields map[string]any) {
	for name, text := range mux.Vars(x.r) {
		p, ok := x.op.params[name]
		if !ok {
			continue
		}
		if p.shape.form == formInteger {
			if id, err := strconv.ParseInt(text, 10, 64); err != nil || id <= 0 || id >= 1<<53 {
				x.addFault("path."+name, "must be a positive integer")
			}
		}
		inBody, given := fields[name]
		if !given || inBody == nil {
			continue
		}
		if fmt.Sprint(inBody) != text {
			x.addFault("body."+name, "must agree with the path")
		}
		if x.op.body.field(name) == nil {
			delete(fields, name)
		}
	}
}

// readQuery refuses unknown names, puts values into their exact form, and moves
// flat fields of the body into it.
func (x *exchange) readQuery(fields map[string]any) {
	for _, name := range slices.Sorted(maps.Keys(x.query)) {
		given := x.query[name]
		p, known := x.op.params[name]
		switch {
		case strings.HasPrefix(name, "_"):
			delete(x.query, name)
		case known && p.where == "query":
			x.query[name] = x.readParam(name, given, p)
		case fields != nil && !x.op.Secret && x.op.body.field(name).flat():
			x.mergeField(fields, name, given)
			delete(x.query, name)
		case fields != nil && name == "idempotentKey":
			x.mergeField(fields, name, given)
			delete(x.query, name)
		default:
			x.addFault("query."+name, "is not a parameter of this operation")
			delete(x.query, name)
		}
	}
}

func (x *exchange) readParam(name string, given []string, p param) []string {
	if p.shape.form != formArray && slices.ContainsFunc(given, func(text string) bool { return text != given[0] }) {
		x.addFault("query."+name, "is given twice with different values")
	}
	for i, text := range given {
		if text == "" {
			continue
		}
		switch p.shape.form {
		case formFlag:
			switch text {
			case "true":
				given[i] = "1"
			case "false":
				given[i] = "0"
			case "0", "1":
			default:
				x.addFault("query."+name, "must be 0 or 1")
			}
		case formTime:
			exact, ok := zoned(text, x.zone())
			if !ok {
				x.addFault("query."+name, "is not a time: RFC 3339, or yyyy-MM-ddTHH:mm:ss")
			}
			given[i] = exact
		case formScalar:
			if err := readText(p.shape.t, text); err != nil {
				x.addFault("query."+name, err.Error())
			}
		case formString:
			given[i] = strings.TrimSpace(text)
			x.checkText("query."+name, text, false)
		case formAny, formObject, formArray, formMap, formInteger, formBoolean:
		}
	}
	return given
}

func readText(t reflect.Type, text string) error {
	u, ok := reflect.New(t).Interface().(interface{ UnmarshalText([]byte) error })
	if !ok {
		return nil
	}
	return u.UnmarshalText([]byte(text))
}

func (x *exchange) zone() *time.Location {
	if x.actor != nil && x.actor.Zone != nil {
		return x.actor.Zone
	}
	loc, err := evcs.Zone(evcs.DefaultTimeZone)
	if err != nil {
		return time.UTC
	}
	return loc
}

// mergeField adds a flat field that came as text.
func (x *exchange) mergeField(fields map[string]any, name string, given []string) {
	for _, text := range given {
		var value any = text
		s := x.op.body.field(name)
		if s.flat() && s.number() && text != "true" && text != "false" {
			value = json.Number(text)
		} else if s.flat() && (s.form == formBoolean || s.form == formFlag) {
			value = text == "true"
		}
		if n, ok := value.(json.Number); ok && !json.Valid([]byte(n)) {
			value = text // not a number: the check says so
		}
		if old, twice := fields[name]; twice && fmt.Sprint(old) != fmt.Sprint(value) {
			x.addFault("body."+name, "is given twice with different values")
			continue
		}
		fields[name] = value
	}
}

// mergeVersion moves If-Match into the body's version.
func (x *exchange) mergeVersion(fields map[string]any) {
	header := x.r.Header.Get("If-Match")
	if header == "" || header == "*" || x.op.body.field("version") == nil {
		return
	}
	v, ok := versionOf(header)
	if !ok {
		x.addFault("header.If-Match", "must be a quoted version number")
		return
	}
	given, twice := fields["version"]
	if twice && fmt.Sprint(given) != strconv.FormatInt(v, 10) {
		x.addFault("body.version", "must agree with If-Match")
		return
	}
	fields["version"] = json.Number(strconv.FormatInt(v, 10))
}
