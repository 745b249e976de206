package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/evcs/evcs/internal/api"
)

// Events is the event stream.
type Events struct{ w *wire }

// Follow is what to follow and whom to tell. Handle is required; it is called
// from one goroutine, in order. An error of it ends the stream.
type Follow struct {
	Query  Query // types, stationId, chargerId, tenantScope
	LastID int64 // resume after this event; 0: from now
	Handle func(api.Event) error
	// OnState is told when the stream opens (nil) and when it is lost (why).
	OnState func(error)
	// Quiet is how long the stream may say nothing at all before it counts as
	// lost; the server speaks every 15 s. Zero means 45 s.
	Quiet time.Duration
	// FirstWait is the first pause before connecting again; zero means 500 ms.
	FirstWait time.Duration
}

const (
	defaultQuiet     = 45 * time.Second
	defaultFirstWait = 500 * time.Millisecond
	maxEventLine     = 1 << 20
)

// errQuiet says that a stream went silent without being closed.
var errQuiet = errors.New("the event stream went silent")

// List reads stored events after an id, oldest first.
func (e Events) List(ctx context.Context, q Query) ([]api.Event, error) {
	return get[[]api.Event](ctx, e.w, "/api/events", q)
}

// Follow reads the stream until ctx ends, an answer says that trying again is
// useless (401, 403, 400), or Handle fails. A lost stream is opened again where
// it broke off. An event of type reset is passed on: read the lists anew.
func (e Events) Follow(ctx context.Context, f Follow) error {
	if f.Quiet == 0 {
		f.Quiet = defaultQuiet
	}
	if f.FirstWait == 0 {
		f.FirstWait = defaultFirstWait
	}
	if f.OnState == nil {
		f.OnState = func(error) {}
	}
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = f.FirstWait, 30*time.Second
	for {
		err := e.connect(ctx, &f, waits.Reset)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var stop *stopError
		if errors.As(err, &stop) {
			return stop.error
		}
		f.OnState(err)
		if err := pause(ctx, waits.NextBackOff()); err != nil {
			return err
		}
	}
}

// stopError wraps what ends Follow for good.
type stopError struct{ error }

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// connect opens the stream once and reads it to its end.
func (e Events) connect(ctx context.Context, f *Follow, opened func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(f.Quiet, func() { cancel(errQuiet) })
	defer silence.Stop()

	body, err := e.open(ctx, f)
	if err != nil {
		return err
	}
	defer body.Close()
	opened()
	f.OnState(nil)
	err = readEvents(&beating{body, silence, f.Quiet}, func(event api.Event) error {
		if err := f.Handle(event); err != nil {
			return &stopError{err}
		}
		if event.EventID > 0 {
			f.LastID = event.EventID
		}
		return nil
	})
	if cause := context.Cause(ctx); errors.Is(cause, errQuiet) {
		return cause
	}
	return err
}

// open asks for the stream, renewing the token once.
func (e Events) open(ctx context.Context, f *Follow) (io.ReadCloser, error) {
	token := e.w.current()
	body, err := e.ask(ctx, f, token)
	var refused *Error
	if !errors.As(err, &refused) {
		return body, err
	}
	if refused.Code == api.CodeTokenExpired {
		renewed, renewErr := e.w.renew(ctx, token)
		if renewErr != nil {
			return nil, finalIfRefused(renewErr)
		}
		if renewed != "" {
			body, err = e.ask(ctx, f, renewed)
		}
	}
	return body, finalIfRefused(err)
}

// finalIfRefused marks a refusal that a later try cannot cure.
func finalIfRefused(err error) error {
	var refused *Error
	if errors.As(err, &refused) && refused.Status < http.StatusInternalServerError && refused.Status != http.StatusTooManyRequests {
		return &stopError{err}
	}
	return err
}

func (e Events) ask(ctx context.Context, f *Follow, token string) (io.ReadCloser, error) {
	header := map[string]string{}
	if f.LastID > 0 {
		header[api.HeaderLastEventID] = strconv.FormatInt(f.LastID, 10)
	}
	return e.w.open(ctx, "/api/events/stream", e.w.scoped(f.Query), "text/event-stream", token, header)
}

// beating starts the timer of silence anew with everything read.
type beating struct {
	io.Reader
	silence *time.Timer
	quiet   time.Duration
}

func (b *beating) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if n > 0 {
		b.silence.Reset(b.quiet)
	}
	return n, err
}

// readEvents reads Server-Sent Events until r ends.
func readEvents(r io.Reader, handle func(api.Event) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxEventLine)
	var id, kind string
	var text bytes.Buffer
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			if err := dispatch(id, kind, text.Bytes(), handle); err != nil {
				return err
			}
			id, kind = "", ""
			text.Reset()
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			if text.Len() > 0 {
				text.WriteByte('\n')
			}
			text.WriteString(value)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the event stream: %w", err)
	}
	return fmt.Errorf("read the event stream: %w", io.EOF)
}

// dispatch hands on one complete event; a block without data is none.
func dispatch(id, kind string, text []byte, handle func(api.Event) error) error {
	if len(text) == 0 {
		return nil
	}
	if kind == api.EventReset {
		return handle(api.Event{Type: kind, Data: bytes.Clone(text)})
	}
	var event api.Event
	if err := json.Unmarshal(text, &event); err != nil {
		return fmt.Errorf("an event is not of the contract: %w", err)
	}
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && event.EventID == 0 {
		event.EventID = n
	}
	return handle(event)
}
