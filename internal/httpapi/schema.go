package httpapi

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/evcs"
)

const schemaPrefix = "#/components/schemas/"

func inputOf[In any]() reflect.Type { return reflect.TypeFor[In]() }

func outputOf[Out any]() reflect.Type { return reflect.TypeFor[Out]() }

// newDocument is a document without operations.
func newDocument(version string) *huma.OpenAPI {
	if version == "" {
		version = "1"
	}
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: "EVCS", Version: version, Description: introduction},
		Servers: []*huma.Server{{URL: "/", Description: "本机 REST 监听端口 / the REST listener this document came from"}},
		Components: &huma.Components{
			Schemas:         huma.NewMapRegistry(schemaPrefix, schemaName),
			SecuritySchemes: securitySchemes(),
		},
	}
}

// schemaName names wire types as they are; what several packages could name
// alike is told apart by its outer type.
func schemaName(t reflect.Type, hint string) string { return huma.DefaultSchemaNamer(t, hint) }

// integerFlag, dateText and the like stand for wire types in the document.
type flagNumber int

// Schema implements huma.SchemaProvider.
func (flagNumber) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Enum: []any{0, 1}, Description: "0 or 1; true and false are taken too"}
}

type dateText string

// Schema implements huma.SchemaProvider.
func (dateText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date"}
}

type decimalNumber float64

// Schema implements huma.SchemaProvider.
func (decimalNumber) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeNumber} }

// alias teaches the registry every wire type below t that is not what its Go
// type looks like.
func (s *Server) alias(t reflect.Type) { s.aliasBelow(t, make(map[reflect.Type]bool)) }

func (s *Server) aliasBelow(t reflect.Type, seen map[reflect.Type]bool) {
	if seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		s.aliasBelow(t.Elem(), seen)
		return
	}
	registry := s.doc.Components.Schemas
	switch v := reflect.Zero(t).Interface().(type) {
	case elementTyped:
		s.aliasBelow(v.Elem(), seen)
		registry.RegisterTypeAlias(t, v.Elem())
	case interface{ kind() reflect.Type }:
		s.aliasBelow(v.kind(), seen)
	case jsonTyped:
		registry.RegisterTypeAlias(t, standIn(v))
	default:
		if t.Kind() == reflect.Struct {
			for f := range t.Fields() {
				s.aliasBelow(f.Type, seen)
			}
		}
	}
}

func standIn(v jsonTyped) reflect.Type {
	switch kind, format := v.JSONType(); {
	case format == "flag":
		return reflect.TypeFor[flagNumber]()
	case format == "date-time":
		return reflect.TypeFor[time.Time]()
	case format == "date":
		return reflect.TypeFor[dateText]()
	case kind == "number":
		return reflect.TypeFor[decimalNumber]()
	case kind == "integer":
		return reflect.TypeFor[int64]()
	}
	return reflect.TypeFor[string]()
}

// humaOperation words a declaration for the library: documentation, errors,
// security.
func (s *Server) humaOperation(d *declared) huma.Operation {
	op := huma.Operation{
		OperationID: d.ID, Method: d.Method, Path: d.Path, Summary: d.Summary, Tags: []string{d.Group},
		Metadata: map[string]any{metaKey: d}, Responses: s.responses(d), Extensions: map[string]any{},
		Description: d.Description, BodyReadTimeout: -1, MaxBodyBytes: -1,
	}
	eitherBearer := []map[string][]string{{"bearerAuth": {}}, {"apiKey": {}}}
	switch d.Access {
	case permitted:
		op.Extensions["x-permission"] = string(d.Permission)
		op.Security = eitherBearer
	case selfChecked:
		op.Extensions["x-permission"] = string(d.Permission)
		op.Security = eitherBearer
	case anyPrincipal:
		op.Security = eitherBearer
	case anyUser:
		op.Security = []map[string][]string{{"bearerAuth": {}}}
	case internalOnly:
		op.Security = []map[string][]string{{"internalToken": {}}}
	case deviceOnly:
		op.Servers = []*huma.Server{{
			URL: "{scheme}://{host}", Description: "设备监听端口 / the device listener",
			Variables: map[string]*huma.ServerVariable{"scheme": {Default: "http", Enum: []string{"http", "https"}}, "host": {Default: "localhost:8085"}},
		}}
		op.Security = []map[string][]string{}
	case public:
		op.Security = []map[string][]string{}
	}
	return op
}

// everyError are the codes of §1.10.
func everyError(d *declared) []evcs.Code {
	codes := []evcs.Code{
		evcs.CodeValidationFailed, evcs.CodeMethodNotAllowed, evcs.CodeBodyTooLarge, evcs.CodeUnsupportedMediaType, evcs.CodeRateLimited, evcs.CodeServiceUnavailable, evcs.CodeInternalError,
	}
	if d.Access == internalOnly {
		codes = append(codes, evcs.CodeRouteNotFound)
	}
	if d.Access != public && d.Access != internalOnly && d.Access != deviceOnly {
		codes = append(codes, evcs.CodeTokenExpired, evcs.CodeAccountDisabled, evcs.CodeUnauthenticated,
			evcs.CodePasswordChangeRequired, evcs.CodeTenantContextMissing, evcs.CodeTenantDisabled,
			evcs.CodeTenantExpired, evcs.CodePermissionDenied, evcs.CodeCrossTenantDenied)
	}
	if d.paged {
		codes = append(codes, evcs.CodeTenantNotFound, evcs.CodeResultTooLarge, evcs.CodeCursorInvalid)
	}
	if d.Method != http.MethodGet {
		codes = append(codes, evcs.CodeVersionConflict, evcs.CodeIdempotencyKeyReused, evcs.CodeIdempotencyInProgress)
	}
	return codes
}

// codesByStatus are the codes an operation may answer with.
func codesByStatus(d *declared) map[int][]evcs.Code {
	byStatus := make(map[int][]evcs.Code)
	for _, code := range append(everyError(d), d.Errors...) {
		if !slices.Contains(byStatus[code.Status()], code) {
			byStatus[code.Status()] = append(byStatus[code.Status()], code)
		}
	}
	return byStatus
}

// responses are the answers that are not the library's own: the failures are
// worded when the document is written.
func (s *Server) responses(d *declared) map[string]*huma.Response {
	schema := s.doc.Components.Schemas
	s.alias(reflect.TypeFor[api.Failure]())
	schema.RegisterTypeAlias(reflect.TypeFor[failure](), reflect.TypeFor[api.Failure]())
	ref := schema.Schema(reflect.TypeFor[api.Failure](), true, "Failure")
	all := make(map[string]*huma.Response)
	for status := range codesByStatus(d) {
		all[strconv.Itoa(status)] = &huma.Response{Content: map[string]*huma.MediaType{"application/json": {Schema: ref}}}
	}
	if d.OwnFailures {
		for _, status := range []string{"400", "401", "503"} {
			all[status] = &huma.Response{Description: "The channel's own refusal, or the daemon's", Content: map[string]*huma.MediaType{
				"application/json": {Schema: &huma.Schema{Type: huma.TypeObject}}, "text/plain": {Schema: &huma.Schema{Type: huma.TypeString}},
			}}
		}
		all["204"] = &huma.Response{Description: "Taken, as WeChat Pay wants to be told"}
	}
	if d.Content != "" {
		all["200"] = &huma.Response{Content: map[string]*huma.MediaType{d.Content: {Schema: &huma.Schema{Type: huma.TypeString}}}}
	}
	return all
}

// finishSchemas says in the document which fields may be null: pointers that
// are always present, and those that a PUT may clear. Path ids are positive.
func (s *Server) finishSchemas() {
	registry := s.doc.Components.Schemas
	for name, schema := range registry.Map() {
		if t := registry.TypeFromRef(schemaPrefix + name); t != nil && t.Kind() == reflect.Struct {
			finishFields(schema, t)
		}
	}
	for _, d := range s.operations {
		for _, p := range s.parametersOf(d) {
			if p.In == "path" && p.Schema != nil && p.Schema.Type == huma.TypeInteger {
				least := 1.0
				p.Schema.Minimum = &least
				p.Schema.PrecomputeMessages()
			}
		}
	}
}

// parametersOf are the parameters of an operation as the document has them.
func (s *Server) parametersOf(d *declared) []*huma.Param {
	item := s.doc.Paths[d.Path]
	if item == nil {
		return nil
	}
	for _, op := range operationsOf(item) {
		if op.OperationID == d.ID {
			return op.Parameters
		}
	}
	return nil
}

func finishFields(schema *huma.Schema, t reflect.Type) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			if inner.Kind() == reflect.Struct {
				finishFields(schema, inner)
			}
			continue
		}
		field := schema.Properties[name]
		if field == nil {
			continue
		}
		_, clears := reflect.Zero(f.Type).Interface().(elementTyped)
		pointer := f.Type.Kind() == reflect.Pointer && !strings.Contains(options, "omitempty")
		if !clears && !pointer {
			continue
		}
		schema.Properties[name] = nullable(field, f.Type)
	}
}

func nullable(field *huma.Schema, t reflect.Type) *huma.Schema {
	switch {
	case t == reflect.TypeFor[*Null]():
		return &huma.Schema{Type: "null"}
	case field.Ref != "":
		return &huma.Schema{Description: field.Description, AnyOf: []*huma.Schema{{Ref: field.Ref}, {Type: "null"}}}
	case field.Type == "" || field.Type == "null" || len(field.AnyOf) > 0:
		return field
	case field.Type == huma.TypeArray && t.Kind() == reflect.Pointer:
		return field // the data of a list, never null
	}
	if field.Enum != nil && !slices.Contains(field.Enum, nil) {
		field.Enum = append(slices.Clone(field.Enum), nil)
	}
	field.Nullable = true
	field.PrecomputeMessages()
	return field
}

func operationsOf(item *huma.PathItem) []*huma.Operation {
	var list []*huma.Operation
	for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete, item.Patch} {
		if op != nil {
			list = append(list, op)
		}
	}
	return list
}
