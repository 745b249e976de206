package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// The exit codes; `evcsctl help exit-codes` documents them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDenied      = 4
	exitNotFound    = 5
	exitConflict    = 6
	exitUnavailable = 7
	exitInterrupted = 130
)

// usageError is a command used wrongly.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// exitError carries an exit code of its own. A nil cause prints nothing more.
type exitError struct {
	code  int
	cause error
}

func (e *exitError) Error() string {
	if e.cause == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.cause.Error()
}

func (e *exitError) Unwrap() error { return e.cause }

// exitCode derives the exit code from an error: a refusal by its row of the
// error table (contract §2), everything else by its kind.
func exitCode(err error) int {
	var exit *exitError
	var wrong *usageError
	var refused *client.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &wrong):
		return exitUsage
	case errors.As(err, &refused):
		return refusalCode(refused)
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, errNotSignedIn):
		return exitDenied
	case errors.Is(err, client.ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	default:
		return exitFailed
	}
}

func refusalCode(e *client.Error) int {
	if e.Code == api.CodeChargerOffline {
		return exitUnavailable
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		return exitUsage
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitDenied
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict:
		return exitConflict
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return exitUnavailable
	default:
		return exitFailed
	}
}

// report words an error on standard error: one line, then the facts, then a
// hint. With -o json a refusal is the server's own envelope.
func (e *env) report(err error) {
	var exit *exitError
	if errors.As(err, &exit) && exit.cause == nil {
		return
	}
	var refused *client.Error
	if !errors.As(err, &refused) {
		fmt.Fprintf(e.Err, "evcsctl: %v\n", err)
		return
	}
	if e.globals.output == formatJSON && json.Valid(refused.Raw) {
		fmt.Fprintf(e.Err, "%s\n", refused.Raw)
		return
	}
	fmt.Fprintf(e.Err, "evcsctl: %v\n", err)
	writeFacts(e.Err, refused)
	if hint := e.hint(refused); hint != "" {
		fmt.Fprintf(e.Err, "  %s\n", hint)
	}
}

func writeFacts(w io.Writer, refused *client.Error) {
	var faults api.Faults
	if json.Unmarshal(refused.Data, &faults) == nil && len(faults.Errors) > 0 {
		for _, fault := range faults.Errors {
			fmt.Fprintf(w, "  %s: %s\n", fault.Field, fault.Message)
		}
		return
	}
	row := parseRow(refused.Data)
	for _, name := range row.names {
		if value := row.text(name); value != "" {
			fmt.Fprintf(w, "  %s: %s\n", name, value)
		}
	}
	if refused.Status == http.StatusInternalServerError && refused.TraceID != "" {
		fmt.Fprintf(w, "  traceId: %s\n", refused.TraceID)
	}
}

func (e *env) hint(refused *client.Error) string {
	signIn := []int{api.CodeTokenExpired, api.CodeRefreshTokenInvalid, api.CodeUnauthenticated}
	switch {
	case slices.Contains(signIn, refused.Code):
		return e.say("Sign in again: evcsctl login", "请重新登录: evcsctl login")
	case refused.Code == api.CodePasswordChangeRequired:
		return e.say("Change the password: evcsctl password", "请先修改密码: evcsctl password")
	case refused.Code == api.CodeChargerOffline:
		return e.say("See evcsctl connection list and evcsctl rejection list", "参见 evcsctl connection list 与 evcsctl rejection list")
	case refused.RetryAfter > 0:
		return fmt.Sprintf(e.say("Try again in %s", "请在 %s 后重试"), refused.RetryAfter)
	case refused.Replayed:
		return e.say("This is the answer stored under the idempotency key; ask anew with another --key", "这是该幂等键已保存的应答; 如需重新请求, 请换一个 --key")
	default:
		return ""
	}
}

// oneOf checks a flag with a closed set of values.
func oneOf(flag, value string, allowed ...string) error {
	if value == "" || slices.Contains(allowed, value) {
		return nil
	}
	return usage("--%s %q: want one of %s", flag, value, strings.Join(allowed, ", "))
}
