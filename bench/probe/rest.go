package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Client calls the public REST API.
type Client struct {
	Base string
	HTTP *http.Client

	mu    sync.Mutex
	token string // guarded by mu
}

// NewClient returns a client without credential.
func NewClient(base string, connections int) *Client {
	return &Client{Base: base, HTTP: &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		MaxIdleConns: connections, MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections,
	}}}
}

// Refusal is an answer that is no success.
type Refusal struct {
	Status  int
	Code    int
	Message string
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("HTTP %d: %d %s", r.Status, r.Code, r.Message) }

// Final reports whether asking again would give the same.
func (r *Refusal) Final() bool {
	return r.Status < http.StatusInternalServerError && r.Status != http.StatusTooManyRequests
}

// Token is the present access token.
func (c *Client) Token() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

// Login signs in; later calls act as that user.
func (c *Client) Login(ctx context.Context, identifier, password string) error {
	var res struct {
		Token string `json:"token"`
	}
	if err := c.Do(ctx, http.MethodPost, "/api/auth/login", "", map[string]any{"identifier": identifier, "password": password}, &res); err != nil {
		return fmt.Errorf("sign in as %s: %w", identifier, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = res.Token
	return nil
}

// Do calls one operation. key is the idempotency key, body and out may be nil.
// A failure is a *Refusal when the server answered.
func (c *Client) Do(ctx context.Context, method, path, key string, body, out any) error {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		in = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, in)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token := c.Token(); token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	req.Header.Set("Accept-Language", "en")
	res, err := c.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer res.Body.Close() // read to its end
	if err := read(res, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// maxAnswer bounds an answer of the API.
const maxAnswer = 64 << 20

func read(res *http.Response, out any) error {
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	var envelope struct {
		Code    int             `json:"code"`
		Message string          `json:"message"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &envelope); err != nil {
		return fmt.Errorf("HTTP %d with an unreadable answer: %w", res.StatusCode, err)
	}
	if res.StatusCode != http.StatusOK {
		message := envelope.Message
		if len(envelope.Data) > 0 && len(envelope.Data) < 1000 {
			message += " " + string(envelope.Data)
		}
		return &Refusal{Status: res.StatusCode, Code: envelope.Code, Message: message}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(envelope.Data, out); err != nil {
		return fmt.Errorf("read the data: %w", err)
	}
	return nil
}
