package httpapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/gorilla/mux"
	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

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
		"protocol":   {"cloudcharge", "ocpp", "debug", "protocol"},
		"monitoring": {"monitoring", "events", "webhooks", "exports", "internal", "health"},
	}
}

// documents are the OpenAPI documents. Each is rendered when it is first asked
// for, so that a start costs nothing for it.
type documents struct {
	make func() (node, error)
	mu   *sync.Mutex
	all  node                 // guarded by mu; everything, nil until it is needed
	done map[string]*rendered // guarded by mu; by group, "" is everything
}

func documentsOf(s *Server) *documents {
	return &documents{make: s.tree, mu: new(sync.Mutex), done: make(map[string]*rendered)}
}

// deviceDocument is the name of the document of the device listener.
const deviceDocument = "device"

// of renders a group; it is known to exist.
func (d *documents) of(group string) (*rendered, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.done[group]; r != nil {
		return r, nil
	}
	if d.all == nil {
		all, err := d.make()
		if err != nil {
			return nil, err
		}
		d.all = all
	}
	doc, err := d.all, error(nil)
	switch group {
	case "":
	case deviceDocument:
		doc, err = devicePart(d.all)
	default:
		doc, err = partOf(d.all, documentGroups()[group])
	}
	if err != nil {
		return nil, err
	}
	r, err := render(doc)
	if err == nil {
		d.done[group] = r
	}
	return r, err
}

// partOf is the document of some tags, with the components that it uses.
func partOf(all node, tags []string) (node, error) {
	part, err := copyOf(all)
	if err != nil {
		return nil, err
	}
	paths := child(part, "paths")
	for path, item := range paths {
		for _, op := range item.(node) { //nolint:forcetypeassert,errcheck // made so
			if o, ok := op.(node); ok && !slices.Contains(tags, firstTag(o)) {
				delete(paths, path)
			}
		}
	}
	part["tags"] = tagsOf(part)
	prune(part)
	return part, nil
}

// devicePart is the group protocol as the device listener serves it: its own
// operations are at home there, those of the REST listener are elsewhere.
func devicePart(all node) (node, error) {
	part, err := partOf(all, documentGroups()["protocol"])
	if err != nil {
		return nil, err
	}
	eachOperation(part, func(_, _ string, op node) {
		if op["servers"] != nil {
			delete(op, "servers")
			return
		}
		op["servers"] = []any{node{
			"url": "{scheme}://{host}", "description": "REST 监听端口 / the REST listener",
			"variables": node{"scheme": node{"default": "http", "enum": []any{"http", "https"}}, "host": node{"default": "localhost:8080"}},
		}}
	})
	return part, nil
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
	s.router.PathPrefix(pagePath).Handler(swaggerPage(urls)).Methods(http.MethodGet)
}

// swaggerPage is the page over some documents; its parts are embedded. It is
// written once, because its policy names what is written in it.
func swaggerPage(urls []map[string]string) http.Handler {
	list, err := json.Marshal(urls)
	if err != nil {
		list = []byte("[]")
	}
	parts := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "EVCS", SwaggerJSON: urls[0]["url"], BasePath: pagePath, ShowTopBar: true,
		SettingsUI: map[string]string{"urls": string(list), `"urls.primaryName"`: `"` + urls[0]["name"] + `"`},
	})
	page := &heldWriter{header: make(http.Header), status: http.StatusOK}
	parts.ServeHTTP(page, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: pagePath}})
	text := page.body.Bytes()
	policy := fmt.Sprintf(pagePolicy, hashesOf(text, "<script>", "</script>"), hashesOf(text, "<style>", "</style>"))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Cache-Control", "no-cache")
		if strings.TrimSuffix(r.URL.Path, "/") != pagePath {
			parts.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(text) //nolint:errcheck // the client is gone
	})
}

// hashesOf are the hashes, as a policy writes them, of what stands in a page
// between two tags.
func hashesOf(page []byte, begin, end string) string {
	var list strings.Builder
	for {
		_, rest, ok := bytes.Cut(page, []byte(begin))
		inside, rest, closed := bytes.Cut(rest, []byte(end))
		if !ok || !closed {
			return list.String()
		}
		sum := sha256.Sum256(inside)
		list.WriteString(" 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
		page = rest
	}
}

// DeviceDocuments serves the documents of the device listener: the group
// protocol under /v3/api-docs and the page over it.
func (s *Server) DeviceDocuments() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /v3/api-docs", s.documentAs("json", deviceDocument))
	m.HandleFunc("GET /v3/api-docs.yaml", s.documentAs("yaml", deviceDocument))
	m.HandleFunc("GET /v3/api-docs/protocol", s.documentAs("json", deviceDocument))
	m.HandleFunc("GET /v3/api-docs/protocol.yaml", s.documentAs("yaml", deviceDocument))
	page := swaggerPage([]map[string]string{{"url": "/v3/api-docs", "name": "protocol"}})
	m.Handle("GET /swagger-ui.html", page)
	m.Handle("GET /swagger-ui.html/", page)
	m.HandleFunc("/", s.notFound)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.protect(w, r)
		m.ServeHTTP(w, r)
	})
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
	Device           bool // served by the device listener, not by this one
	Group            string
	Errors           []evcs.Code
}

// Operations lists what is declared, in the order of declaration.
func (s *Server) Operations() []Declared {
	list := make([]Declared, len(s.operations))
	for i, d := range s.operations {
		list[i] = Declared{
			ID: d.ID, Method: d.Method, Path: d.Path, Permission: d.Permission, Public: d.Access == public, Device: d.Access == deviceOnly,
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
