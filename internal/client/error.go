package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/api"
)

// The failures that are not refusals of the server.
var (
	// ErrUnreachable says that no answer came.
	ErrUnreachable = errors.New("the server cannot be reached")
	// ErrAnswer says that an answer is not of the contract.
	ErrAnswer = errors.New("the answer is not of the contract")
)

// Error is a refusal of the server: a row of its error table with the facts.
type Error struct {
	Status     int // HTTP
	Code       int // of the table; 0 when the answer had no envelope
	Message    string
	Data       json.RawMessage
	Path       string
	TraceID    string
	RetryAfter time.Duration
	Replayed   bool   // the stored answer to an idempotency key
	Raw        []byte // the whole answer
}

// Error is the server's text and the code.
func (e *Error) Error() string {
	if e.Code == 0 {
		return fmt.Sprintf("HTTP %d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("%s (%d)", e.Message, e.Code)
}

// Is lets errors.Is ask for an answer that is not of the contract.
func (e *Error) Is(target error) bool { return target == ErrAnswer && e.Code == 0 }

// Facts reads the data of the refusal into a map; nil when there are none.
func (e *Error) Facts() map[string]any {
	var facts map[string]any
	if json.Unmarshal(e.Data, &facts) != nil {
		return nil
	}
	return facts
}

// refusal makes an Error of an answer that is no success.
func refusal(status int, body []byte, header http.Header) *Error {
	e := &Error{Status: status, Raw: body, Replayed: header.Get(api.HeaderIdempotencyReplayed) == "true"}
	var failure api.Failure
	if json.Unmarshal(body, &failure) == nil {
		e.Code, e.Message, e.Data = failure.Code, failure.Message, failure.Data
		e.Path, e.TraceID = failure.Path, failure.TraceID
	}
	if seconds, err := strconv.Atoi(header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// lost says what became of a call without an answer.
func lost(ctx context.Context, method, path string, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s %s: %w", method, path, cause)
	}
	return fmt.Errorf("%s %s: %w: %w", method, path, ErrUnreachable, err)
}
