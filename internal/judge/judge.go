// Package judge lets the OpenAPI document judge requests and answers in tests:
// what it refuses the daemon must refuse, and every answer must be its.
package judge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// committed is docs/openapi.yaml. A test of httpapi holds the file to the code;
// it is read once for all tests of a package.
var committed = sync.OnceValues(func() (*Document, error) {
	file, err := documentFile()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Read(text)
})

// asText has the validator take tables, pages and streams for what their schema says they
// are: a text. It would read a table by itself, and refuse ours, whose last line
// has fewer fields.
var asText = sync.OnceFunc(func() {
	for _, media := range []string{"text/csv", "text/event-stream", "text/html"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.PlainBodyDecoder)
	}
})

// Document judges exchanges by an OpenAPI document.
type Document struct {
	*openapi3.T
	router routers.Router
}

// Read reads a document in JSON or YAML and checks that it is valid,
// with its examples.
func Read(text []byte) (*Document, error) {
	asText()
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(text)
	if err != nil {
		return nil, fmt.Errorf("the document does not load: %w", err)
	}
	nullIsAnything(doc)
	if err := doc.Validate(loader.Context); err != nil {
		return nil, fmt.Errorf("the document is not valid: %w", err)
	}
	router, err := gorillamux.NewRouter(doc)
	return &Document{doc, router}, err
}

// Committed is the committed document, docs/openapi.yaml.
func Committed(tb testing.TB) *Document {
	tb.Helper()
	doc, err := committed()
	if err != nil {
		tb.Fatal(err)
	}
	return doc
}

// documentFile looks for docs/openapi.yaml here and in the folders above.
func documentFile() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		file := filepath.Join(dir, "docs", "openapi.yaml")
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", errors.New("docs/openapi.yaml is not here or above")
		}
		dir = above
	}
}

// nullIsAnything tells the validator what JSON Schema says: a schema without
// any word takes null as well.
func nullIsAnything(doc *openapi3.T) {
	for _, object := range doc.Components.Schemas {
		for _, field := range object.Value.Properties {
			if s := field.Value; field.Ref == "" && s.Type == nil && len(s.AnyOf)+len(s.OneOf)+len(s.AllOf) == 0 {
				s.Type = &openapi3.Types{"object", "array", "string", "number", "boolean", "null"}
			}
		}
	}
}

// Exchange is one request and its answer.
type Exchange struct {
	Method       string      `json:"method"`
	URL          string      `json:"url"`
	Header       http.Header `json:"header"`
	Body         []byte      `json:"body"`
	Status       int         `json:"status"`
	AnswerHeader http.Header `json:"answerHeader"`
	Answer       []byte      `json:"answer"`
}

// Judge says what the document says of an exchange: known is false when the
// document has no such operation; request is why it refuses the request, answer
// why it refuses the answer.
func (d *Document) Judge(ctx context.Context, e Exchange) (known bool, request, answer error) {
	r, err := http.NewRequestWithContext(ctx, e.Method, e.URL, bytes.NewReader(e.Body))
	if err != nil {
		return false, nil, err
	}
	r.Header = e.Header.Clone()
	if u, err := url.Parse(e.URL); err == nil {
		r.URL = u
	}
	route, vars, err := d.router.FindRoute(r)
	if err != nil {
		return false, nil, nil //nolint:nilerr // a path that is no operation is not the document's matter
	}
	input := &openapi3filter.RequestValidationInput{
		Request: r, PathParams: vars, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true},
	}
	request = openapi3filter.ValidateRequest(ctx, input)
	answer = openapi3filter.ValidateResponse(ctx, &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: e.Status, Header: e.AnswerHeader,
		Body: io.NopCloser(bytes.NewReader(e.Answer)), Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	return true, request, answer
}

// Manner says how a request keeps to the document.
type Manner int

const (
	// Exact requests are judged by the document and the daemon alike.
	Exact Manner = iota
	// Lenient requests use the liberties of the contract that a schema cannot
	// word: flat parameters in query or form, objects sent back, times without
	// zone, booleans for flags, another alias of a field.
	Lenient
	// Unseen requests are wrong in a way that a schema cannot see.
	Unseen
)

// Check fails the test when the document and the daemon disagree about an
// exchange, and records it for other validators.
func (d *Document) Check(tb testing.TB, e Exchange, m Manner) {
	tb.Helper()
	if err := record(e, m); err != nil {
		tb.Error(err)
	}
	known, request, answer := d.Judge(context.WithoutCancel(tb.Context()), e)
	switch {
	case !known:
		return
	case request != nil && e.Status < http.StatusBadRequest && m != Lenient:
		tb.Errorf("%s %s: the document refuses what the daemon takes: %.600s\n%.600s", e.Method, e.URL, request.Error(), e.Body)
	case request == nil && e.Status == http.StatusBadRequest && m != Unseen && schemaFault(e.Answer):
		tb.Errorf("%s %s: the daemon refuses what the document takes: %s\n%s", e.Method, e.URL, e.Answer, e.Body)
	}
	if answer != nil {
		tb.Errorf("%s %s: the answer is not the document's: %.600s\n%.2000s", e.Method, e.URL, answer.Error(), e.Answer)
	}
}

// schemaFault reports whether an answer refuses what a schema can say: a type,
// a range, a length, an enumeration, a form. Faults of other kinds (two fields
// that do not fit each other, something given twice) are none of its.
func schemaFault(answer []byte) bool {
	var f struct {
		Code int
		Data struct{ Errors []struct{ Message string } }
	}
	if json.Unmarshal(answer, &f) != nil || f.Code != 9400 {
		return false
	}
	for _, e := range f.Data.Errors {
		if schemaWords.MatchString(e.Message) {
			return true
		}
	}
	return false
}

// schemaWords are what the daemon says of values that a schema refuses.
var schemaWords = regexp.MustCompile(`^(must be (at least|more than|at most|less than) [0-9.]+|must have at (least|most) [0-9]+ (characters|entries)|must be one of [^/]*|` +
	`must have the form .*|must be (a string|a list|an object|true or false)|(不能小于|必须大于|不能大于|必须小于) [0-9.]+|(至少|至多) [0-9]+ (个字符|项)|` +
	`必须是以下之一:[^/]*|格式必须为 .*|必须是(字符串|数组|对象)|必须是 true 或 false)$`)
