package evcstest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/judge"
)

// spot is a place of a request where an identifier can stand.
type spot struct{ in, name string }

// described is one operation as the document says it.
type described struct {
	ID, Method, Path string
	Group            string
	Media            string // of the success answer
	Spots            []spot // every parameter and every field of the body
	required         map[spot]bool
	schemas          map[spot]map[string]any
	hasBody          bool
}

// document reads the operations of the REST listener from the document that
// the daemon serves.
type document struct{ root map[string]any }

func readDocument(t *testing.T, d *evcstest.Daemon) []described {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+"/v3/api-docs", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var doc document
	if err := json.NewDecoder(answer.Body).Decode(&doc.root); err != nil {
		t.Fatal(err)
	}
	var list []described
	for path, item := range object(doc.root["paths"]) {
		if strings.HasPrefix(path, "/api/cloudcharge") || strings.HasPrefix(path, "/ocpp") || strings.HasPrefix(path, "/internal") {
			continue // the device port, where devices prove themselves, and what needs a token of its own
		}
		for method, op := range object(item) {
			if method = strings.ToUpper(method); slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete}, method) {
				list = append(list, doc.describe(path, method, object(op)))
			}
		}
	}
	slices.SortFunc(list, func(a, b described) int { return strings.Compare(a.Path+a.Method, b.Path+b.Method) })
	return list
}

func object(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// resolve follows references.
func (d document) resolve(v any) map[string]any {
	m := object(v)
	for {
		ref, ok := m["$ref"].(string)
		if !ok {
			return m
		}
		m = d.root
		for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			m = object(m[step])
		}
	}
}

func (d document) describe(path, method string, op map[string]any) described {
	x := described{ID: op["operationId"].(string), Method: method, Path: path, required: make(map[spot]bool), schemas: make(map[spot]map[string]any)}
	if tags, ok := op["tags"].([]any); ok && len(tags) > 0 {
		x.Group, _ = tags[0].(string)
	}
	for _, entry := range listOf(op["parameters"]) {
		p := d.resolve(entry)
		at := spot{p["in"].(string), p["name"].(string)}
		x.Spots = append(x.Spots, at)
		x.required[at], _ = p["required"].(bool)
		x.schemas[at] = d.resolve(p["schema"])
	}
	body := object(d.resolve(op["requestBody"])["content"])
	if content, ok := body["application/json"]; ok {
		x.hasBody = true
		d.fields(&x, d.resolve(object(content)["schema"]))
	}
	slices.SortFunc(x.Spots, func(a, b spot) int { return strings.Compare(a.in+a.name, b.in+b.name) })
	for media := range object(d.resolve(object(op["responses"])["200"])["content"]) {
		x.Media = media
	}
	return x
}

func (d document) fields(x *described, schema map[string]any) {
	for _, part := range listOf(schema["allOf"]) {
		d.fields(x, d.resolve(part))
	}
	var must []string
	for _, name := range listOf(schema["required"]) {
		must = append(must, name.(string))
	}
	for name, field := range object(schema["properties"]) {
		if object(field)["readOnly"] == true {
			continue // it is ignored
		}
		at := spot{"body", name}
		x.Spots = append(x.Spots, at)
		x.required[at] = slices.Contains(must, name)
		x.schemas[at] = d.resolve(field)
	}
}

func listOf(v any) []any {
	l, _ := v.([]any)
	return l
}

// names of things end so.
var names = regexp.MustCompile(`(?i)(id|ids|no|code|codes|idtag|token|roles)$`)

// idSpots are where the operation takes an identifier.
func (x described) idSpots() []spot {
	var found []spot
	for _, s := range x.Spots {
		if s.in != "header" && (names.MatchString(s.name) || s.in == "path") {
			found = append(found, s)
		}
	}
	return found
}

// sample is any value that the schema allows.
func sample(schema map[string]any) any {
	if list := listOf(schema["enum"]); len(list) > 0 {
		return list[0]
	}
	if list := listOf(schema["examples"]); len(list) > 0 {
		return list[0]
	}
	kind, _ := schema["type"].(string)
	if kinds := listOf(schema["type"]); len(kinds) > 0 {
		kind, _ = kinds[0].(string)
	}
	switch kind {
	case "integer", "number":
		if least, ok := schema["minimum"].(float64); ok {
			return max(least, 1)
		}
		return 1
	case "boolean":
		return true
	case "array":
		return []any{sample(object(schema["items"]))}
	case "object":
		return map[string]any{}
	}
	switch schema["format"] {
	case "date-time":
		return "2027-12-01T00:00:00Z"
	case "date":
		return "2027-02-09"
	}
	return "sample"
}

// given are values for the places of a request.
type given map[spot]any

// ask sends the operation with these values; what is required and not given is
// a sample.
func (x described) ask(t *testing.T, base, bearer string, values given) (*http.Response, string) {
	t.Helper()
	answer, e := x.exchange(t, base, bearer, values)
	return answer, string(e.Answer)
}

// judged is ask whose answer must be the document's.
func (x described) judged(t *testing.T, base, bearer string, values given) (*http.Response, string) {
	t.Helper()
	answer, e := x.exchange(t, base, bearer, values)
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		judge.Committed(t).Check(t, e, judge.Unseen)
	}
	return answer, string(e.Answer)
}

func (x described) exchange(t *testing.T, base, bearer string, values given) (*http.Response, judge.Exchange) {
	t.Helper()
	path, query, body := x.Path, make([]string, 0, 4), make(map[string]any)
	for _, s := range x.Spots {
		v, ok := values[s]
		if !ok && x.required[s] {
			v, ok = sample(x.schemas[s]), true
		}
		if !ok {
			continue
		}
		switch s.in {
		case "path":
			path = strings.ReplaceAll(path, "{"+s.name+"}", text(v))
		case "query":
			query = append(query, s.name+"="+text(v))
		case "body":
			body[s.name] = v
		}
	}
	if len(query) > 0 {
		path += "?" + strings.Join(query, "&")
	}
	var reader io.Reader = http.NoBody
	e := judge.Exchange{Method: x.Method, URL: base + path}
	if x.hasBody {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		e.Body, reader = raw, bytes.NewReader(raw)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second) // nothing that is asked here waits
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, x.Method, base+path, reader)
	if err != nil {
		t.Fatal(err)
	}
	if x.hasBody {
		r.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%s: %v", x.ID, err)
	}
	defer answer.Body.Close()
	e.Header, e.Status, e.AnswerHeader = r.Header, answer.StatusCode, answer.Header
	if x.Media == "text/event-stream" && answer.StatusCode == http.StatusOK {
		e.Answer = replayed(t, answer.Body) // what comes later is for the listeners
		return answer, e
	}
	if e.Answer, err = io.ReadAll(answer.Body); err != nil {
		t.Fatalf("%s: %v", x.ID, err)
	}
	return answer, e
}

// replayed is what a stream sends of the past: all before its first comment.
func replayed(t *testing.T, stream io.Reader) []byte {
	t.Helper()
	var said []byte
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		if lines.Text() == ":" {
			return said
		}
		said = append(append(said, lines.Bytes()...), '\n')
	}
	t.Errorf("a stream ended within the past: %v: %s", lines.Err(), said)
	return said
}

func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(raw)
}
