package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/mux"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
	"go.yaml.in/yaml/v3"

	"github.com/evcs/evcs/internal/evcs"
)

// documentGroups are the groups of /v3/api-docs/{group}: the seed's services
// with the tags that belong to each.
func documentGroups() map[string][]string {
	return map[string][]string{
		"auth":       {"auth", "user", "role"},
		"tenant":     {"tenant", "quota", "audit", "dashboard"},
		"station":    {"station", "charger", "command", "id-tag"},
		"order":      {"order", "session", "billing"},
		"payment":    {"payment", "reconciliation", "merchant", "ledger"},
		"protocol":   {"cloudcharge", "debug", "connections", "protocol"},
		"monitoring": {"monitoring", "events", "webhooks", "exports", "internal", "health"},
	}
}

// documents are the OpenAPI documents. Each is rendered when it is first asked
// for, so that a start costs nothing for it.
type documents struct {
	whole *huma.OpenAPI
	mu    *sync.Mutex
	done  map[string]*rendered // guarded by mu; by group, "" is everything
}

// rendered is one document in its four forms.
type rendered struct {
	json, yaml     []byte
	json30, yaml30 []byte // OpenAPI 3.0.3
}

func documentsOf(whole *huma.OpenAPI) documents {
	whole.Tags = tagsOf(whole)
	return documents{whole: whole, mu: new(sync.Mutex), done: make(map[string]*rendered)}
}

// of renders a group; it is known to exist.
func (d documents) of(group string) (*rendered, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.done[group]; r != nil {
		return r, nil
	}
	doc := d.whole
	if group != "" {
		doc = partOf(d.whole, documentGroups()[group])
	}
	r, err := renderDocument(doc)
	if err == nil {
		d.done[group] = r
	}
	return r, err
}

func renderDocument(doc *huma.OpenAPI) (*rendered, error) {
	var r rendered
	var err error
	if r.json, err = doc.MarshalJSON(); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	if r.yaml, err = yamlOf(r.json); err != nil {
		return nil, err
	}
	older, err := doc.Downgrade()
	if err != nil {
		return nil, fmt.Errorf("write the document for 3.0: %w", err)
	}
	if r.json30, err = withoutNullType(older); err != nil {
		return nil, err
	}
	r.yaml30, err = yamlOf(r.json30)
	return &r, err
}

// withoutNullType words for OpenAPI 3.0 what the library's downgrade leaves in
// the words of 3.1: "a reference or null".
func withoutNullType(text []byte) ([]byte, error) {
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	return json.Marshal(rewordNull(tree))
}

func rewordNull(node any) any {
	switch n := node.(type) {
	case []any:
		for i := range n {
			n[i] = rewordNull(n[i])
		}
	case map[string]any:
		for name := range n {
			n[name] = rewordNull(n[name])
		}
		if n["type"] == "null" {
			return map[string]any{"nullable": true, "type": "object", "maxProperties": 0}
		}
		if either, ok := n["anyOf"].([]any); ok && len(either) == 2 {
			delete(n, "anyOf")
			n["nullable"], n["allOf"] = true, either[:1]
		}
	}
	return node
}

// yamlOf writes JSON as YAML with sorted keys.
func yamlOf(text []byte) ([]byte, error) {
	var tree any
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&tree); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(tree); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	return out.Bytes(), enc.Close()
}

func tagsOf(doc *huma.OpenAPI) []*huma.Tag {
	seen := make(map[string]bool)
	for _, item := range doc.Paths {
		for _, op := range operationsOf(item) {
			for _, tag := range op.Tags {
				seen[tag] = true
			}
		}
	}
	var tags []*huma.Tag
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		tags = append(tags, &huma.Tag{Name: name})
	}
	return tags
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

// partOf is the document of some tags. It keeps the whole set of schemas, so
// that every reference resolves.
func partOf(whole *huma.OpenAPI, tags []string) *huma.OpenAPI {
	part := *whole
	part.Paths = make(map[string]*huma.PathItem)
	part.Tags = nil
	for _, tag := range whole.Tags {
		if slices.Contains(tags, tag.Name) {
			part.Tags = append(part.Tags, tag)
		}
	}
	for path, item := range whole.Paths {
		if ops := operationsOf(item); len(ops) > 0 && slices.Contains(tags, ops[0].Tags[0]) {
			part.Paths[path] = item
		}
	}
	return &part
}

// Document is the OpenAPI document of everything, in YAML.
func (s *Server) Document() ([]byte, error) {
	r, err := s.documents.of("")
	if err != nil {
		return nil, err
	}
	return r.yaml, nil
}

func (s *Server) serveDocuments() {
	s.router.HandleFunc("/v3/api-docs", s.documentAs("json", "")).Methods(http.MethodGet)
	s.router.HandleFunc("/v3/api-docs.yaml", s.documentAs("yaml", "")).Methods(http.MethodGet)
	s.router.HandleFunc("/v3/api-docs/{group}", func(w http.ResponseWriter, r *http.Request) {
		group, asYAML := strings.CutSuffix(mux.Vars(r)["group"], ".yaml")
		if _, ok := documentGroups()[group]; !ok {
			s.notFound(w, r)
			return
		}
		format := "json"
		if asYAML {
			format = "yaml"
		}
		s.documentAs(format, group)(w, r)
	}).Methods(http.MethodGet)
	urls := []map[string]string{{"url": "/v3/api-docs", "name": "evcs"}}
	for _, group := range slices.Sorted(maps.Keys(documentGroups())) {
		urls = append(urls, map[string]string{"url": "/v3/api-docs/" + group, "name": group})
	}
	list, err := json.Marshal(urls)
	if err != nil {
		list = []byte("[]")
	}
	page := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "EVCS", SwaggerJSON: "/v3/api-docs", BasePath: "/swagger-ui.html", ShowTopBar: true,
		SettingsUI: map[string]string{"urls": string(list), "urls.primaryName": `"evcs"`},
	})
	s.router.PathPrefix("/swagger-ui.html").Handler(page).Methods(http.MethodGet)
}

func (s *Server) documentAs(format, group string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		doc, err := s.documents.of(group)
		if err != nil {
			x, r := s.begin(w, r, nil)
			defer x.end(evcs.Monotonic())
			x.answer(x.fail(r.Context(), err))
			return
		}
		text := doc.json
		switch old := strings.HasPrefix(r.URL.Query().Get("version"), "3.0"); {
		case format == "yaml" && old:
			text = doc.yaml30
		case format == "yaml":
			text = doc.yaml
		case old:
			text = doc.json30
		}
		media := "application/json"
		if format == "yaml" {
			media = "application/yaml"
		}
		w.Header().Set("Content-Type", media)
		w.Write(text) //nolint:errcheck // the client is gone
	}
}

// Declared is what a guard test reads of an operation.
type Declared struct {
	ID, Method, Path string
	Permission       evcs.Permission
	Public           bool
	Group            string
	Errors           []evcs.Code
}

// Operations lists what is declared, in the order of declaration.
func (s *Server) Operations() []Declared {
	list := make([]Declared, len(s.operations))
	for i, d := range s.operations {
		list[i] = Declared{
			ID: d.ID, Method: d.Method, Path: d.Path, Permission: d.Permission, Public: d.Access == public,
			Group: d.Group, Errors: d.Errors,
		}
	}
	return list
}

// allowed are the methods that a path has.
func (s *Server) allowed(r *http.Request) []string {
	var methods []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		probe := r.Clone(r.Context())
		probe.Method = method
		var match mux.RouteMatch
		if s.router.Match(probe, &match) && match.MatchErr == nil && match.Route != nil {
			methods = append(methods, method)
		}
	}
	return methods
}
