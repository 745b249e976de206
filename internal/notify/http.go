// Package notify delivers: events to webhooks, alerts to webhooks, mail and the
// group robots of DingTalk, WeCom and Feishu. Addresses come from tenants, so
// it never reaches into a network that the settings do not open, follows no
// redirect and reads little of an answer.
package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/evcs/evcs/internal/outbound"
)

const (
	patience   = 10 * time.Second
	mostAnswer = 64 << 10
)

// Sender posts to receivers that tenants have named.
type Sender struct {
	client *http.Client
}

// NewSender makes a Sender. trust is nil for the machine's own authorities.
func NewSender(open outbound.Open, trust *tls.Config) *Sender {
	dialer := &net.Dialer{
		Timeout: patience,
		// Control runs after the name was resolved, for the very address that is
		// dialled: a name that changes between check and use gains nothing.
		Control: func(_, address string, _ syscall.RawConn) error { return open.Allow(address) },
	}
	return &Sender{&http.Client{
		Timeout: patience,
		Transport: &http.Transport{
			Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: trust, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: patience, ResponseHeaderTimeout: patience, MaxResponseHeaderBytes: mostAnswer,
			MaxIdleConns: 64, MaxIdleConnsPerHost: 2, MaxConnsPerHost: 8, IdleConnTimeout: 90 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Post implements webhook.Courier: 2xx within ten seconds is taken, everything
// else is not.
func (s *Sender) Post(ctx context.Context, url string, header map[string]string, body []byte) (int, error) {
	status, _, err := s.post(ctx, url, header, body)
	return status, err
}

func (s *Sender) post(ctx context.Context, url string, header map[string]string, body []byte) (int, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, errors.New("the URL cannot be used")
	}
	r.Header.Set("User-Agent", "evcsd")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return 0, nil, withoutURL(err)
	}
	defer answer.Body.Close() // what is left is not wanted
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	switch {
	case answer.StatusCode >= http.StatusMultipleChoices && answer.StatusCode < http.StatusBadRequest:
		return answer.StatusCode, nil, fmt.Errorf("HTTP %d: redirects are not followed", answer.StatusCode)
	case answer.StatusCode < http.StatusOK || answer.StatusCode >= http.StatusBadRequest:
		return answer.StatusCode, nil, fmt.Errorf("HTTP %d", answer.StatusCode)
	case err != nil:
		return answer.StatusCode, nil, errors.New("the answer broke off")
	}
	return answer.StatusCode, text, nil
}

// withoutURL is a failure without the URL, which may hold a key.
func withoutURL(err error) error {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return errors.New("no answer within 10 s")
	}
	if why := unreached(err); why != nil {
		return why
	}
	if inner := errors.Unwrap(err); inner != nil { // of url.Error
		return inner
	}
	return errors.New("the receiver cannot be reached")
}

// unreached words why a host was not reached without naming what lies between,
// such as our name server; nil when it was reached.
func unreached(err error) error {
	if errors.Is(err, outbound.ErrAddress) {
		return outbound.ErrAddress
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New("the name of the host has no address")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New("the certificate of the host is not trusted")
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return errors.New("the host does not speak TLS")
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("the host refused the connection")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended without an answer")
	}
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return errors.New("the receiver cannot be reached")
	}
	return nil
}
