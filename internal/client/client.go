// Package client speaks the REST contract: one method per operation, errors
// back as the rows of the error table, and the event stream. It repeats only
// what repeats harmlessly (reads, and writes that carry an idempotency key) and
// renews an expired access token once, with the refresh token it was given.
// Deadlines come from the context of each call.
package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-resty/resty/v2"

	"github.com/evcs/evcs/internal/api"
)

// Config is what a client needs. Server is required, the rest has defaults.
type Config struct {
	Server       string // such as http://localhost:8080
	Token        string // access token or API key
	RefreshToken string // empty: an expired token is final
	Language     string // zh or en, for messages
	UserAgent    string
	TenantID     int64  // target tenant of creations and lists; 0: the own one
	Scope        string // api.ScopeSelf or api.ScopeSubtree; empty: the server's default
	Transport    http.RoundTripper
	// OnTokens is told of every renewed pair of tokens, to store them.
	OnTokens func(api.LoginResult) error
	// Shared makes several processes with one stored sign-in renew it one after
	// another: it waits until no other renews, and returns the pair that is stored
	// then and what ends the renewal. It may be nil.
	Shared func(ctx context.Context) (token, refresh string, done func(), err error)
	// Retries is how often a harmless call is repeated; negative means never,
	// zero means 3 times.
	Retries int
	// RetryWait is the first pause between two tries; zero means 200 ms.
	RetryWait time.Duration
}

// Client is the operations of the contract, by noun. It is safe for concurrent
// use.
type Client struct {
	Auth       Auth
	Users      Users
	Roles      Roles
	Keys       Keys
	Tenants    Tenants
	Quotas     Quotas
	Stations   Stations
	Chargers   Chargers
	Connectors Connectors
	Devices    Devices
	Commands   Commands
	Tags       Tags
	Sessions   Sessions
	Orders     Orders
	Plans      Plans
	Prices     Prices
	Payments   Payments
	Merchants  Merchants
	Recon      Recon
	Ledger     Ledger
	Exports    Exports
	Monitor    Monitor
	Figures    Figures
	Host       Host
	Logs       Logs
	Rules      Rules
	Notices    Notices
	Webhooks   Webhooks
	Audit      Audit
	Events     Events
	Debug      Debug
	Raw        Raw
}

// ErrServer says that the address of the server cannot be used.
var ErrServer = errors.New("the server must be an http or https address")

// New makes a client; it opens no connection.
func New(config Config) (*Client, error) {
	base, err := url.Parse(config.Server)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.User != nil {
		return nil, fmt.Errorf("%q: %w", config.Server, ErrServer)
	}
	w := newWire(config)
	return &Client{
		Auth: Auth{w}, Users: Users{w}, Roles: Roles{w}, Keys: Keys{w}, Tenants: Tenants{w}, Quotas: Quotas{w},
		Stations: Stations{w}, Chargers: Chargers{w}, Connectors: Connectors{w}, Devices: Devices{w}, Commands: Commands{w}, Tags: Tags{w},
		Sessions: Sessions{w}, Orders: Orders{w}, Plans: Plans{w}, Prices: Prices{w}, Payments: Payments{w}, Merchants: Merchants{w}, Recon: Recon{w},
		Ledger: Ledger{w}, Exports: Exports{w},
		Monitor: Monitor{w}, Figures: Figures{w}, Host: Host{w}, Logs: Logs{w}, Rules: Rules{w}, Notices: Notices{w}, Webhooks: Webhooks{w},
		Audit: Audit{w}, Events: Events{w}, Debug: Debug{w}, Raw: Raw{w},
	}, nil
}

// Query is the filters, the page and the order of a list, by their names in
// the contract.
type Query map[string]string

// With returns a copy with one more parameter; an empty value adds nothing.
func (q Query) With(name, value string) Query {
	out := make(Query, len(q)+1)
	for k, v := range q {
		out[k] = v
	}
	if value != "" {
		out[name] = value
	}
	return out
}

// wire is the connection to the server that all nouns share.
type wire struct {
	http     *resty.Client
	tenant   int64
	scope    string
	onTokens func(api.LoginResult) error
	shared   func(ctx context.Context) (token, refresh string, done func(), err error)

	mu      sync.Mutex // guards the tokens; held while they are renewed
	token   string
	refresh string
}

const (
	defaultRetries   = 3
	defaultRetryWait = 200 * time.Millisecond
	maxRetryWait     = 5 * time.Second
	maxAnswer        = 64 << 20
)

func newWire(config Config) *wire {
	w := &wire{
		tenant: config.TenantID, scope: config.Scope, onTokens: config.OnTokens, shared: config.Shared,
		token: config.Token, refresh: config.RefreshToken,
	}
	if config.Retries == 0 {
		config.Retries = defaultRetries
	}
	if config.RetryWait == 0 {
		config.RetryWait = defaultRetryWait
	}
	c := resty.New().
		SetBaseURL(strings.TrimRight(config.Server, "/")).
		SetResponseBodyLimit(maxAnswer).
		SetRedirectPolicy(resty.NoRedirectPolicy()).
		SetLogger(silent{}).
		SetHeader("Accept", "application/json").
		SetRetryCount(max(config.Retries, 0)).
		SetRetryWaitTime(config.RetryWait).
		SetRetryMaxWaitTime(maxRetryWait).
		AddRetryCondition(again)
	if config.Transport != nil {
		c.SetTransport(config.Transport)
	}
	if config.Language != "" {
		c.SetHeader("Accept-Language", config.Language)
	}
	if config.UserAgent != "" {
		c.SetHeader("User-Agent", config.UserAgent)
	}
	w.http = c
	return w
}

// silent keeps resty from writing to standard error: errors are returned.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}

// again reports whether a try may be repeated: only a read or a write with a
// key, and only when the server did not take it up.
func again(r *resty.Response, err error) bool {
	if r == nil || r.Request == nil {
		return false
	}
	if r.Request.Context().Err() != nil {
		return false
	}
	if r.Request.Method != http.MethodGet && r.Request.Header.Get(api.HeaderIdempotencyKey) == "" {
		return false
	}
	if err != nil {
		return true
	}
	switch r.StatusCode() {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	case http.StatusServiceUnavailable:
		// 9503 says nothing was changed; the other 503s are answers (a charger
		// that stayed silent, a statement that is not there).
		var failure api.Failure
		return json.Unmarshal(r.Body(), &failure) != nil || failure.Code == codeUnavailable
	default:
		return false
	}
}

const codeUnavailable = 9503

// call is one request.
type call struct {
	method string
	path   string
	query  Query
	body   any
	header http.Header // more headers
	key    string      // idempotency key; empty: none
	public bool        // send no token
}

// do sends c and returns the bytes of a success, renewing the token once.
func (w *wire) do(ctx context.Context, c call) ([]byte, error) {
	answer, err := w.exchange(ctx, c)
	return answer.Body, err
}

// exchange sends c and returns the whole of a success, renewing the token once.
func (w *wire) exchange(ctx context.Context, c call) (Response, error) {
	token := w.current()
	answer, err := w.once(ctx, c, token)
	if c.public || !expired(err) {
		return answer, err
	}
	token, renewErr := w.renew(ctx, token)
	if renewErr != nil {
		return Response{}, renewErr
	}
	if token == "" {
		return Response{}, err
	}
	return w.once(ctx, c, token)
}

// expired reports whether a call was refused for an access token that ended.
func expired(err error) bool {
	var refused *Error
	return errors.As(err, &refused) && refused.Code == api.CodeTokenExpired
}

func (w *wire) once(ctx context.Context, c call, token string) (Response, error) {
	r := w.http.R().SetContext(ctx)
	if token != "" && !c.public {
		r.SetAuthToken(token)
	}
	if c.body != nil {
		r.SetHeader("Content-Type", "application/json").SetBody(c.body)
	}
	for name, values := range c.header {
		r.Header[name] = values
	}
	if c.key != "" {
		r.SetHeader(api.HeaderIdempotencyKey, c.key)
	}
	if len(c.query) > 0 {
		r.SetQueryParams(c.query)
	}
	response, err := r.Execute(c.method, c.path)
	if err != nil {
		return Response{}, lost(ctx, c.method, c.path, err)
	}
	if response.StatusCode() == http.StatusOK {
		return Response{response.StatusCode(), response.Header(), response.Body()}, nil
	}
	return Response{}, refusal(response.StatusCode(), response.Body(), response.Header())
}

func (w *wire) current() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.token
}

// keep stores a new pair of tokens.
func (w *wire) keep(result api.LoginResult) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.token, w.refresh = result.Token, result.RefreshToken
}

// renew exchanges the refresh token, unless another call has done so since
// stale was read. It returns "" when there is nothing to renew with.
//
// The lock is held while calling out on purpose: a refresh token works once,
// and a second use would revoke the whole sign-in.
func (w *wire) renew(ctx context.Context, stale string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.token != stale {
		return w.token, nil
	}
	if w.refresh == "" {
		return "", nil
	}
	if w.shared != nil {
		token, refresh, done, err := w.shared(ctx)
		if err != nil {
			return "", fmt.Errorf("renew the sign-in: %w", err)
		}
		defer done()
		w.token, w.refresh = token, refresh
		if token != stale || refresh == "" {
			return token, nil // another process was first, or has signed out
		}
	}
	answer, err := w.once(ctx, call{
		method: http.MethodPost, path: "/api/auth/refresh", body: api.Refresh{RefreshToken: w.refresh}, public: true,
	}, "")
	if err != nil {
		return "", fmt.Errorf("renew the sign-in: %w", err)
	}
	result, err := data[api.LoginResult](answer.Body)
	if err != nil {
		return "", fmt.Errorf("renew the sign-in: %w", err)
	}
	w.token, w.refresh = result.Token, result.RefreshToken
	if w.onTokens != nil {
		if err := w.onTokens(result); err != nil {
			return "", fmt.Errorf("store the renewed sign-in: %w", err)
		}
	}
	return w.token, nil
}

// scoped adds the tenant and the scope of the client to a list's query.
func (w *wire) scoped(q Query) Query {
	if w.tenant != 0 && q["tenantId"] == "" {
		q = q.With("tenantId", fmt.Sprint(w.tenant))
	}
	if w.scope != "" && q["tenantScope"] == "" {
		q = q.With("tenantScope", w.scope)
	}
	return q
}

// data takes the data out of an envelope.
func data[T any](body []byte) (T, error) {
	var envelope api.Envelope[T]
	if err := json.Unmarshal(body, &envelope); err != nil {
		return envelope.Data, fmt.Errorf("the answer is not of the contract: %w", err)
	}
	if envelope.Code != api.CodeOK {
		return envelope.Data, fmt.Errorf("code %d: %w", envelope.Code, ErrAnswer)
	}
	return envelope.Data, nil
}

func get[T any](ctx context.Context, w *wire, path string, query Query) (T, error) {
	return send[T](ctx, w, call{method: http.MethodGet, path: path, query: query})
}

// page reads one page of a list in the client's scope.
func page[T any](ctx context.Context, w *wire, path string, query Query) (api.Page[T], error) {
	return get[api.Page[T]](ctx, w, path, w.scoped(query))
}

// post writes with a fresh idempotency key, so that it may be repeated.
func post[T any](ctx context.Context, w *wire, path string, body any) (T, error) {
	return send[T](ctx, w, call{method: http.MethodPost, path: path, body: body, key: NewKey()})
}

// postOnce writes without a key: sign-in, and what shows a secret once.
func postOnce[T any](ctx context.Context, w *wire, path string, body any) (T, error) {
	return send[T](ctx, w, call{method: http.MethodPost, path: path, body: body})
}

func put[T any](ctx context.Context, w *wire, path string, body any) (T, error) {
	return send[T](ctx, w, call{method: http.MethodPut, path: path, body: body})
}

func remove(ctx context.Context, w *wire, path string) error {
	_, err := send[json.RawMessage](ctx, w, call{method: http.MethodDelete, path: path})
	return err
}

func send[T any](ctx context.Context, w *wire, c call) (T, error) {
	body, err := w.do(ctx, c)
	if err != nil {
		var none T
		return none, err
	}
	return data[T](body)
}

// NewKey makes an idempotency key that nobody used before.
func NewKey() string { return rand.Text() }

// at fills the parameters of a path, escaped.
func at(format string, parts ...any) string {
	escaped := make([]any, len(parts))
	for i, part := range parts {
		escaped[i] = url.PathEscape(fmt.Sprint(part))
	}
	return fmt.Sprintf(format, escaped...)
}
