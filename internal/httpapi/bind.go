package httpapi

import (
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/mux"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
)

// binding is how the input of an operation is filled, read once from its type.
// Schemas and their checks are the library's; its own registration is a generic
// function that would be compiled anew for every operation.
type binding struct {
	in     reflect.Type
	params []boundParam
	body   []int        // index of Body; nil: none
	schema *huma.Schema // of the body
}

// boundParam is a parameter outside the body and the field it goes to.
type boundParam struct {
	index       []int
	where, name string
	schema      *huma.Schema
	required    bool
}

// received is a field that notes whether a value was given, see Opt.
type received interface {
	Receiver() reflect.Value
	OnParamSet(set bool, parsed any)
}

// resolving is an input with rules across its parameters.
type resolving interface{ resolve(x *exchange) }

// bind reads the type of an input and documents what it takes.
func (s *Server) bind(d *declared, in reflect.Type) {
	d.binding.in = in
	s.bindFields(d, in, nil)
	f, ok := in.FieldByName("Body")
	if !ok {
		return
	}
	hint := d.ID + "Request"
	if in.Name() != "" {
		hint = in.Name() + f.Name
	}
	schema := huma.SchemaFromField(s.doc.Components.Schemas, f, hint)
	schema.PrecomputeMessages()
	d.binding.body, d.binding.schema = f.Index, schema
	d.huma.RequestBody = &huma.RequestBody{
		Required: f.Type.Kind() != reflect.Pointer, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
	}
}

func (s *Server) bindFields(d *declared, t reflect.Type, at []int) {
	for f := range t.Fields() {
		index := append(append([]int(nil), at...), f.Index...)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			s.bindFields(d, f.Type, index)
			continue
		}
		for _, where := range [...]string{"path", "query", "header"} {
			if name, _, _ := strings.Cut(f.Tag.Get(where), ","); name != "" {
				s.bindParam(d, f, boundParam{index: index, where: where, name: name, required: where == "path" || f.Tag.Get("required") == "true"})
			}
		}
	}
}

func (s *Server) bindParam(d *declared, f reflect.StructField, p boundParam) {
	p.schema = huma.SchemaFromField(s.doc.Components.Schemas, f, "")
	d.binding.params = append(d.binding.params, p)
	doc := &huma.Param{Name: p.name, In: p.where, Required: p.required, Schema: p.schema, Description: p.schema.Description}
	if p.where == "query" {
		doc.Explode = new(bool) // lists are joined with commas
	}
	d.huma.Parameters = append(d.huma.Parameters, doc)
}

// describe documents the answer of an operation and adds it to the document.
func (s *Server) describe(d *declared, answer reflect.Type) {
	op := &d.huma
	if op.Responses["200"] == nil && answer != nil {
		op.Responses["200"] = &huma.Response{}
	}
	if ok := op.Responses["200"]; ok != nil {
		ok.Description = http.StatusText(http.StatusOK)
		if ok.Content == nil {
			schema := s.doc.Components.Schemas.Schema(answer, true, d.ID+"Response")
			ok.Content = map[string]*huma.MediaType{"application/json": {Schema: schema}}
		}
	}
	s.doc.AddOperation(op)
}

// offer puts an operation on the router: its input is filled and checked, then
// handle is called with a pointer to it.
func (s *Server) offer(d *declared, handle func(ctx context.Context, x *exchange, in any)) {
	s.pending = append(s.pending, route{d.Path, d.Method, s.serve(d, func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		in := reflect.New(d.binding.in)
		x.fill(in.Elem())
		if resolver, ok := in.Interface().(resolving); ok {
			resolver.resolve(x)
		}
		if err := x.faults(); err != nil {
			x.answer(x.fail(r.Context(), err))
			return
		}
		if t, ok := in.Interface().(targetedInput); ok {
			t.targetInput().x = x
		}
		handle(r.Context(), x, in.Interface())
	})})
}

// validation is what checking a value against its schema needs; it is kept
// between requests.
type validation struct {
	path   *huma.PathBuffer
	result huma.ValidateResult
}

var validations = sync.Pool{New: func() any { return &validation{path: huma.NewPathBuffer(make([]byte, 0, 128), 0)} }}

// fill sets the fields of an input and collects what is wrong with them.
func (x *exchange) fill(in reflect.Value) {
	v, _ := validations.Get().(*validation)
	defer func() {
		v.result.Reset()
		validations.Put(v)
	}()
	b := &x.op.binding
	vars := mux.Vars(x.r)
	for i := range b.params {
		p := &b.params[i]
		x.fillParam(v, p, in.FieldByIndex(p.index), x.given(p, vars))
	}
	if b.body != nil {
		x.fillBody(v, in.FieldByIndex(b.body))
	}
	for _, err := range v.result.Errors {
		if detail, ok := errors.AsType[*huma.ErrorDetail](err); ok {
			x.addFault(detail.Location, detail.Message)
		}
	}
}

func (x *exchange) given(p *boundParam, vars map[string]string) string {
	switch p.where {
	case "path":
		return vars[p.name]
	case "header":
		return x.r.Header.Get(p.name)
	}
	return x.query.Get(p.name)
}

func (x *exchange) fillParam(v *validation, p *boundParam, field reflect.Value, text string) {
	v.path.Reset()
	v.path.Push(p.where)
	v.path.Push(p.name)
	if text == "" {
		if p.required {
			v.result.Add(v.path, "", "required "+p.where+" parameter is missing")
		}
		return
	}
	into := field
	opt, optional := field.Addr().Interface().(received)
	if optional {
		into = opt.Receiver()
	}
	parsed, err := parseText(into, text)
	if err != nil {
		v.result.Add(v.path, text, err.Error())
		return
	}
	if optional {
		opt.OnParamSet(true, parsed)
	}
	huma.Validate(x.s.doc.Components.Schemas, p.schema, v.path, huma.ModeWriteToServer, parsed, &v.result)
}

var (
	errNoInteger = errors.New("invalid integer")
	errNoNumber  = errors.New("invalid number")
	errNoBoolean = errors.New("invalid boolean")
	errNoSuch    = errors.New("cannot be given as text")
)

// parseText sets a field from the text of a parameter and returns the value as
// its schema sees it.
func parseText(field reflect.Value, text string) (any, error) {
	if u, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return nil, errors.New("invalid value: " + err.Error())
		}
		return text, nil
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
		return text, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, field.Type().Bits())
		if err != nil {
			return nil, errNoInteger
		}
		field.SetInt(n)
		return n, nil
	case reflect.Float64: // a coordinate: plain decimals, no exponent, no NaN
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || strings.Trim(text, "-0123456789.") != "" {
			return nil, errNoNumber
		}
		field.SetFloat(n)
		return n, nil
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, errNoBoolean
		}
		field.SetBool(b)
		return b, nil
	case reflect.Slice:
		return parseList(field, strings.Split(text, ","))
	}
	return nil, errNoSuch
}

// parseList sets a list whose values were joined with commas.
func parseList(field reflect.Value, texts []string) (any, error) {
	list := reflect.MakeSlice(field.Type(), len(texts), len(texts))
	seen := make([]any, len(texts))
	for i, text := range texts {
		value, err := parseText(list.Index(i), text)
		if err != nil {
			return nil, err
		}
		seen[i] = value
	}
	field.Set(list)
	return seen, nil
}

// fillBody checks the body, which readRequest has brought into its exact form,
// and decodes it when nothing is wrong with the request.
func (x *exchange) fillBody(v *validation, field reflect.Value) {
	kept, ok := x.r.Body.(*keptBody)
	if !ok || len(kept.text) == 0 {
		v.path.Reset()
		v.path.Push("body")
		v.result.Add(v.path, nil, "is required")
		return
	}
	var tree any
	if err := json.Unmarshal(kept.text, &tree); err != nil {
		x.addFault("body", "is not valid JSON: "+err.Error())
		return
	}
	v.path.Reset()
	v.path.Push("body")
	before := len(v.result.Errors)
	huma.Validate(x.s.doc.Components.Schemas, x.op.binding.schema, v.path, huma.ModeWriteToServer, tree, &v.result)
	if len(v.result.Errors) > before || len(x.found) > 0 {
		return
	}
	if err := json.Unmarshal(kept.text, field.Addr().Interface()); err != nil {
		x.addFault("body", err.Error())
	}
}

// success is the envelope of every answer; Data is a pointer, or nil.
type success struct {
	Code      int      `json:"code"`
	Message   string   `json:"message"`
	Data      any      `json:"data"`
	Timestamp api.Time `json:"timestamp"`
	TraceID   string   `json:"traceId"`
}

// succeed is the envelope around data, a pointer that may be nil. A list in it
// is never null.
func (x *exchange) succeed(data any) *success {
	if v := reflect.ValueOf(data); v.Kind() == reflect.Pointer && !v.IsNil() && v.Elem().Kind() == reflect.Slice && v.Elem().IsNil() {
		v.Elem().Set(reflect.MakeSlice(v.Elem().Type(), 0, 0))
	}
	return &success{
		Code: api.CodeOK, Message: successText(&x.op.operation).in(x.english), Data: data,
		Timestamp: api.At(x.s.cfg.Clock.Now()), TraceID: x.trace,
	}
}

// answers are the memory of answers that were written; none of a long one.
var answers = sync.Pool{New: func() any { return new([]byte) }}

const maxKeptAnswer = 64 << 10

// reply writes the answer of an operation.
func (x *exchange) reply(ctx context.Context, data any, err error) {
	if err != nil {
		x.answer(x.fail(ctx, err))
		return
	}
	room, _ := answers.Get().(*[]byte)
	body, err := api.Append((*room)[:0], x.succeed(data))
	if err == nil {
		body = append(body, '\n')
		x.write(http.StatusOK, body)
	}
	if cap(body) <= maxKeptAnswer {
		*room = body
		answers.Put(room)
	}
	if err != nil {
		x.answer(x.fail(ctx, err))
	}
}

// handler is the operation of a declaration without its types.
type handler func(ctx context.Context, a *evcs.Actor, in any) (any, error)
