package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/evcs/evcs/internal/evcs"
)

// node is an object of a document on its way out. What the library writes is
// taken apart and worded for readers: answers and parameters that many
// operations have become components, so that the whole stays small.
type node = map[string]any

// tree is the document of everything.
func (s *Server) tree() (node, error) {
	text, err := s.doc.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	var root node
	if err := json.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	w := writer{root: root, byID: make(map[string]*declared), failures: make(node), examples: make(node)}
	for _, d := range s.operations {
		w.byID[d.ID] = d
	}
	if w.words, err = readVocabulary(); err != nil {
		return nil, err
	}
	w.write()
	return root, nil
}

// writer words the document.
type writer struct {
	root     node
	byID     map[string]*declared
	words    vocabulary
	failures node // components: the answers to what did not succeed
	examples node // components
}

func (w *writer) write() {
	w.describeFields()
	w.foldEnvelopes()
	eachOperation(w.root, func(_, _ string, op node) {
		if d := w.byID[textOf(op, "operationId")]; d != nil {
			w.bodyFields(op, d)
		}
	})
	eachOperation(w.root, func(path, _ string, op node) {
		d := w.byID[textOf(op, "operationId")]
		if d == nil {
			return
		}
		w.describe(op, d)
		w.answers(op, d, path)
		w.requestExample(op)
	})
	w.shareParameters()
	components := child(w.root, "components")
	components["responses"], components["examples"], components["headers"] = w.failures, w.examples, sharedHeaders()
	w.root["tags"] = tagsOf(w.root)
	prune(w.root)
}

// describe puts what the declaration knows into the operation's description.
func (w *writer) describe(op node, d *declared) {
	var lines []string
	if d.Description != "" {
		lines = append(lines, d.Description)
	}
	lines = append(lines, permissionText(d))
	switch {
	case d.paged && !d.plain:
		lines = append(lines, "Pages: `page` and `size`, or `cursor` (empty to begin, then `nextCursor`), which is stable while rows are added.")
	case d.paged:
		lines = append(lines, "The whole list, at most 1000 rows; a longer one is refused with 9412, never cut. With `page` or `size` it is that page as an array.")
	}
	if d.paged && len(d.Sorts) > 0 {
		lines = append(lines, "Sorts by `"+strings.Join(d.Sorts, "`, `")+"`; newest first when nothing is asked.")
	}
	if d.WideByDefault {
		lines = append(lines, "Covers the descendants as well when the caller may read them and `tenantScope` is not given; `X-Tenant-Scope` tells.")
	}
	if d.replayable() {
		text := "Repeats with the same `Idempotency-Key` get the first answer, for 24 hours."
		if d.ReplayForever {
			text = "Repeats with the same `Idempotency-Key` get the first answer, for ever."
		}
		lines = append(lines, text)
	}
	if len(d.Errors) > 0 {
		lines = append(lines, "Refuses with "+codeWords(d.Errors)+", besides what every operation may answer.")
	}
	op["description"] = strings.Join(lines, "\n\n")
}

// replayable reports whether an Idempotency-Key is honoured.
func (d *declared) replayable() bool {
	return d.Method == http.MethodPost && !d.NoReplay && !d.Secret && d.Content == "" && d.Access != public && d.Access != internalOnly && d.Access != deviceOnly
}

func permissionText(d *declared) string {
	switch d.Access {
	case permitted:
		text := "Permission: `" + string(d.Permission) + "`"
		if d.Or != "" {
			text += " or `" + string(d.Or) + "`"
		}
		return text + "."
	case anyPrincipal:
		return "Permission: any user or API key."
	case anyUser:
		return "Permission: any user; API keys are refused."
	case internalOnly:
		return "Needs `X-Internal-Token` and an address in `internal.allowCidr`; for anybody else the path does not exist (9404)."
	case selfChecked:
		return "Permission: `" + string(d.Permission) + "`, or the ticket of somebody who has it."
	case deviceOnly:
		return "On the device listener only. The message proves itself by its signature; no token is used."
	case public:
	}
	return "Public: no credential is needed."
}

func codeWords(codes []evcs.Code) string {
	words := make([]string, len(codes))
	for i, code := range codes {
		words[i] = fmt.Sprintf("%d %s", code, code.Name())
	}
	return strings.Join(words, ", ")
}

// bodyFields adds to a body what may be sent besides what its type says: the
// fields of the object that was read, which are ignored, and the key of repeats.
func (w *writer) bodyFields(op node, d *declared) {
	body, _ := op["requestBody"].(node)
	media, _ := child(body, "content")["application/json"].(node)
	schemas := child(child(w.root, "components"), "schemas")
	schema, _ := schemas[strings.TrimPrefix(refOf(media["schema"]), schemaPrefix)].(node)
	if schema == nil {
		return
	}
	fields := child(schema, "properties")
	for _, object := range d.ReadOnly {
		read, _ := schemas[schemaName(reflect.TypeOf(object), "")].(node)
		for name, field := range child(read, "properties") {
			if fields[name] == nil {
				f, _ := field.(node)
				fields[name] = ignoredField(f)
			}
		}
	}
	if d.replayable() && fields["idempotentKey"] == nil {
		fields["idempotentKey"] = node{
			"type": "string", "minLength": 1.0, "maxLength": 64.0, "pattern": "^[A-Za-z0-9_-]+$", "description": w.words.of("", "idempotentKey").description,
		}
	}
}

// ignoredField is a field of an answer in a body: whatever it holds is ignored.
func ignoredField(field node) node {
	text := "Ignored when it is sent back"
	if what := textOf(field, "description"); what != "" {
		text = what + "; ignored when it is sent back"
	}
	return node{"readOnly": true, "description": text}
}

// answers replaces the failures by shared ones, named after their codes, and
// gives the success its headers and example.
func (w *writer) answers(op node, d *declared, path string) {
	all := child(op, "responses")
	for status, codes := range codesByStatus(d) {
		key := fmt.Sprint(status)
		if d.OwnFailures && (status == 400 || status == 401 || status == 503) || d.Access == deviceOnly {
			continue
		}
		all[key] = reference("responses", w.failure(codes))
	}
	ok, _ := all["200"].(node)
	if ok == nil {
		return
	}
	headers := node{"X-Request-Id": reference("headers", "X-Request-Id"), "Content-Language": reference("headers", "Content-Language")}
	if d.paged || d.WideByDefault {
		headers["X-Tenant-Scope"] = reference("headers", "X-Tenant-Scope")
	}
	if d.replayable() {
		headers["Idempotency-Replayed"] = reference("headers", "Idempotency-Replayed")
	}
	ok["headers"] = headers
	ok["description"] = successText(&d.operation).en
	w.answerExample(ok, d, path)
}

// failure is the name of the shared answer with these codes of one status.
func (w *writer) failure(codes []evcs.Code) string {
	slices.Sort(codes)
	name, lines, enum, examples := "E", make([]string, len(codes)), make([]any, len(codes)), make(node)
	for i, code := range codes {
		name += fmt.Sprintf(".%d", code)
		lines[i] = fmt.Sprintf("%d %s: %s (%s)", code, code.Name(), code.Text(true), code.Text(false))
		enum[i] = float64(code)
		examples[code.Name()] = reference("examples", w.failureExample(code))
	}
	name = strings.Replace(name, "E.", "E", 1)
	w.failures[name] = node{
		"description": strings.Join(lines, "; "),
		"headers":     node{"X-Request-Id": reference("headers", "X-Request-Id"), "Content-Language": reference("headers", "Content-Language")},
		"content": node{"application/json": node{
			"schema": node{"allOf": []any{
				reference("schemas", "Failure"),
				node{"type": "object", "properties": node{"code": node{"type": "integer", "enum": enum}}},
			}},
			"examples": examples,
		}},
	}
	if slices.Contains(codes, evcs.CodeRateLimited) || slices.Contains(codes, evcs.CodeServiceUnavailable) {
		child(w.failures[name].(node), "headers")["Retry-After"] = reference("headers", "Retry-After") //nolint:forcetypeassert,errcheck // made above
	}
	return name
}

func sharedHeaders() node {
	text := func(description, example string) node {
		return node{"description": description, "schema": node{"type": "string"}, "example": example}
	}
	return node{
		"X-Request-Id":         text("The request's id, also traceId in bodies, logs and the audit", "9f2c6a10b7d84e51"),
		"Content-Language":     text("The language of message: zh-CN or en", "zh-CN"),
		"X-Tenant-Scope":       text("What was covered: SELF or SELF_AND_DESCENDANTS", "SELF"),
		"Idempotency-Replayed": text("true when the answer is the stored one of an earlier request", "true"),
		"Retry-After":          node{"description": "Seconds after which to try again, when known", "schema": node{"type": "integer", "minimum": 0.0}, "example": 1.0},
	}
}

// foldEnvelopes words "the envelope with this data" as one shared envelope and
// the data, instead of one schema for each.
func (w *writer) foldEnvelopes() {
	schemas := child(child(w.root, "components"), "schemas")
	folded := make(map[string]node)
	for name, s := range schemas {
		schema, _ := s.(node)
		props, _ := schema["properties"].(node)
		if name == "Envelope" || !strings.HasPrefix(name, "Envelope") || props["data"] == nil || props["traceId"] == nil {
			continue
		}
		folded["#/components/schemas/"+name] = node{"allOf": []any{
			reference("schemas", "Envelope"),
			node{"type": "object", "properties": node{"data": withoutNull(props["data"])}},
		}}
		if schemas["Envelope"] == nil {
			props = maps.Clone(props)
			props["data"] = node{"description": "What the operation returns; null when it returns nothing"}
			props["code"] = node{"type": "integer", "enum": []any{200.0}, "description": "200 in every success"}
			schema = maps.Clone(schema)
			schema["properties"] = props
			schemas["Envelope"] = schema
		}
	}
	for name := range folded {
		delete(schemas, strings.TrimPrefix(name, "#/components/schemas/"))
	}
	eachOperation(w.root, func(_, _ string, op node) {
		for _, r := range child(op, "responses") {
			for _, media := range child(r, "content") {
				m, _ := media.(node)
				if whole := folded[refOf(m["schema"])]; whole != nil {
					m["schema"] = whole
				}
			}
		}
	})
}

// withoutNull takes null away from data that is only null in the type.
func withoutNull(data any) any {
	d, _ := data.(node)
	if either, ok := d["anyOf"].([]any); ok && len(either) == 2 {
		return either[0]
	}
	return data
}

// eachOperation visits every operation, in the order of paths and methods.
func eachOperation(root node, visit func(path, method string, op node)) {
	paths := child(root, "paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := child(paths, path)
		for _, method := range []string{"get", "post", "put", "delete", "patch"} {
			if op, ok := item[method].(node); ok {
				visit(path, method, op)
			}
		}
	}
}

// prune drops the components that nothing refers to any more.
func prune(root node) {
	components := child(root, "components")
	used := make(map[string]bool)
	todo := []any{root["paths"]}
	for len(todo) > 0 {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		walk(next, func(ref string) {
			if used[ref] {
				return
			}
			used[ref] = true
			parts := strings.Split(ref, "/")
			if len(parts) == 4 {
				todo = append(todo, child(components, parts[2])[parts[3]])
			}
		})
	}
	for kind := range components {
		if kind == "securitySchemes" {
			continue
		}
		group := child(components, kind)
		for name := range group {
			if !used["#/components/"+kind+"/"+name] {
				delete(group, name)
			}
		}
	}
}

// walk visits every reference below v.
func walk(v any, visit func(ref string)) {
	switch v := v.(type) {
	case node:
		if ref := refOf(v); ref != "" {
			visit(ref)
		}
		for _, inner := range v {
			walk(inner, visit)
		}
	case []any:
		for _, inner := range v {
			walk(inner, visit)
		}
	}
}

func reference(kind, name string) node { return node{"$ref": "#/components/" + kind + "/" + name} }

func refOf(v any) string {
	n, _ := v.(node)
	ref, _ := n["$ref"].(string)
	return ref
}

// child is the object under a name, made when it is not there.
func child(parent any, name string) node {
	p, _ := parent.(node)
	if p == nil {
		return nil
	}
	c, ok := p[name].(node)
	if !ok {
		c = make(node)
		if _, taken := p[name]; !taken {
			p[name] = c
		}
	}
	return c
}

func textOf(n node, name string) string {
	text, _ := n[name].(string)
	return text
}
