package client

import (
	"context"
	"io"
	"maps"
	"net/http"
	"strings"
)

// Raw is any operation by its method and path.
type Raw struct{ w *wire }

// Request is a call of Raw. A Content-Type, an Idempotency-Key and any other
// header may be given; Authorization is the client's own.
type Request struct {
	Method string
	Path   string
	Query  Query
	Header http.Header
	Body   []byte // nil: none
}

// Response is a whole answer of success.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request and returns the answer; a refusal is an *Error.
func (r Raw) Do(ctx context.Context, request Request) (Response, error) {
	c := call{method: strings.ToUpper(request.Method), path: request.Path, query: maps.Clone(request.Query), header: request.Header.Clone()}
	if len(request.Body) > 0 {
		c.body = request.Body
	}
	c.header.Del("Authorization")
	return r.w.exchange(ctx, c)
}

// stream reads a success as it arrives, renewing the token once. It is sent
// once: what was passed on cannot be taken back.
func (w *wire) stream(ctx context.Context, path string, q Query, accept string, read func(io.Reader) error) error {
	token := w.current()
	body, err := w.open(ctx, path, q, accept, token, nil)
	if expired(err) {
		renewed, renewErr := w.renew(ctx, token)
		if renewErr != nil {
			return renewErr
		}
		if renewed != "" {
			body, err = w.open(ctx, path, q, accept, renewed, nil)
		}
	}
	if err != nil {
		return err
	}
	defer body.Close()
	return read(body)
}

// open asks once for a body to be read as it arrives. It takes a client of its
// own: the shared one would repeat the call by itself and bounds the answer.
func (w *wire) open(ctx context.Context, path string, q Query, accept, token string, header map[string]string) (io.ReadCloser, error) {
	r := w.http.Clone().SetRetryCount(0).R().SetContext(ctx).SetDoNotParseResponse(true).
		SetHeader("Accept", accept).SetHeaders(header).SetQueryParams(q)
	if token != "" {
		r.SetAuthToken(token)
	}
	response, err := r.Get(path)
	if err != nil {
		return nil, lost(ctx, http.MethodGet, path, err)
	}
	if response.StatusCode() == http.StatusOK {
		return response.RawBody(), nil
	}
	defer response.RawBody().Close()
	text, err := io.ReadAll(io.LimitReader(response.RawBody(), maxRefusal))
	if err != nil {
		return nil, lost(ctx, http.MethodGet, path, err)
	}
	return nil, refusal(response.StatusCode(), text, response.Header())
}

const maxRefusal = 1 << 20
