package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/evcs/evcs/internal/judge"
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
	doc, err := judge.Read(printed.json)
	if err != nil {
		t.Fatal(err)
	}
	return judged(t, doc, s)
}

func judged(t *testing.T, doc *judge.Document, s http.Handler) http.Handler {
	t.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		manner := judge.Exact
		if r.Method != http.MethodGet || r.URL.RawQuery != "" {
			manner = judge.Lenient // flat parameters in the query, objects sent back, times without zone
		}
		switch r.Header.Get("X-Manner") {
		case "exact":
			manner = judge.Exact
		case "lenient":
			manner = judge.Lenient
		case "unseen":
			manner = judge.Unseen
		}
		e := judge.Exchange{Method: r.Method, URL: r.URL.String(), Header: r.Header.Clone(), Body: body}
		r.Body = io.NopCloser(bytes.NewReader(body))
		held := httptest.NewRecorder()
		s.ServeHTTP(held, r)
		e.Status, e.AnswerHeader, e.Answer = held.Code, held.Header(), held.Body.Bytes()
		doc.Check(t, e, manner)
		for name, values := range held.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(held.Code)
		w.Write(held.Body.Bytes()) // a recorder
	})
}
