package httpapi

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// checked lets every request and answer of a test be judged by the document
// as well: an answer that the document does not know fails the test, and what
// the document refuses the server must refuse too.
func checked(t *testing.T, s *Server) http.Handler {
	t.Helper()
	printed, err := s.documents.of("")
	if err != nil {
		t.Fatal(err)
	}
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(printed.json)
	if err != nil {
		t.Fatalf("the document does not load: %v", err)
	}
	anyHoldsNull(doc)
	anythingMayBeNull(doc)
	if err := doc.Validate(loader.Context); err != nil { // examples included
		t.Fatalf("the document is not valid: %v", err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, vars, err := router.FindRoute(r)
		if err != nil {
			s.ServeHTTP(w, r)
			return
		}
		judge(t, s, route, vars, w, r)
	})
}

// anythingMayBeNull tells the validator what JSON Schema says: a schema without
// any word takes null as well.
func anythingMayBeNull(doc *openapi3.T) {
	for _, object := range doc.Components.Schemas {
		for _, field := range object.Value.Properties {
			if s := field.Value; field.Ref == "" && s.Type == nil && len(s.AnyOf)+len(s.OneOf)+len(s.AllOf) == 0 {
				s.Type = &openapi3.Types{"object", "array", "string", "number", "boolean", "null"}
			}
		}
	}
}

func judge(t *testing.T, s *Server, route *routers.Route, vars map[string]string, w http.ResponseWriter, r *http.Request) {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	input := &openapi3filter.RequestValidationInput{
		Request: r.Clone(r.Context()), PathParams: vars, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true},
	}
	input.Request.Body = io.NopCloser(bytes.NewReader(body))
	refused := openapi3filter.ValidateRequest(context.WithoutCancel(r.Context()), input)
	r.Body = io.NopCloser(bytes.NewReader(body))
	held := httptest.NewRecorder()
	s.ServeHTTP(held, r)
	if refused != nil && held.Code == http.StatusOK && !lenient(r) {
		t.Errorf("%s %s: the document refuses what the server takes: %v\n%s", r.Method, r.URL, refused, body)
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: held.Code, Header: held.Header(),
		Body: io.NopCloser(bytes.NewReader(held.Body.Bytes())), Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	if err := openapi3filter.ValidateResponse(r.Context(), answer); err != nil {
		t.Errorf("%s %s: the answer is not the document's: %v\n%s", r.Method, r.URL, err, held.Body)
	}
	for name, values := range held.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(held.Code)
	w.Write(held.Body.Bytes()) // a recorder
}

// lenient requests use the liberties of contract §1.4 that a schema cannot
// word: parameters of a body in query or form, read objects sent back,
// zone-less times, booleans for flags.
func lenient(r *http.Request) bool {
	return r.Header.Get("X-Lenient") != "" || r.Method != http.MethodGet || r.URL.RawQuery != ""
}
