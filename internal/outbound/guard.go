package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// What a guard refuses by itself.
var (
	ErrHost     = errors.New("the host is not one of the channel's")
	ErrRedirect = errors.New("the answer is a redirect, which is not followed")
	ErrTooLong  = errors.New("the answer is longer than it may be")
)

const (
	patience    = 15 * time.Second
	mostReply   = 1 << 20
	mostHeaders = 64 << 10
)

// Config says where a Guard may go.
type Config struct {
	// Hosts are the names that may be asked; all of them over https.
	Hosts []string
	// Gateway stands for all of the hosts when it is set; see ParseGateway.
	Gateway *url.URL
	// Open are private networks that may be reached all the same.
	Open Open
	// Trust is nil for the machine's own authorities.
	Trust *tls.Config
	// Log gets a line of each exchange at level debug: who was asked what, the
	// status and the time, and nothing of the content; nil: no lines.
	Log *slog.Logger
}

// Guard is a round tripper to a few hosts of one counterpart. It is safe for
// concurrent use.
type Guard struct {
	cfg    Config
	next   *http.Transport
	record record
}

// New makes a Guard.
func New(c Config) *Guard {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	g := &Guard{cfg: c}
	dialer := &net.Dialer{
		Timeout: patience,
		// Control sees the very address that is dialled, after the name was resolved.
		Control: func(_, address string, _ syscall.RawConn) error {
			if g.Loopback() {
				return onlyLoopback(address)
			}
			return c.Open.Allow(address)
		},
	}
	g.next = &http.Transport{
		Proxy: nil, DialContext: dialer.DialContext, TLSClientConfig: c.Trust, ForceAttemptHTTP2: true, DisableCompression: true,
		TLSHandshakeTimeout: patience, ResponseHeaderTimeout: patience, MaxResponseHeaderBytes: mostHeaders,
		MaxIdleConns: 64, MaxIdleConnsPerHost: 16, MaxConnsPerHost: 64, IdleConnTimeout: 90 * time.Second,
	}
	return g
}

// ParseGateway reads the base URL of a gateway that stands for the hosts of a
// channel: https, or http on this machine, and nothing behind the host, because
// paths are signed. "" is nil: the hosts themselves.
func ParseGateway(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("must be a base URL such as http://127.0.0.1:9100, without path")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, errors.New("must begin with https://; http:// is for this machine only")
	}
	u.Path = ""
	return u, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// Loopback reports whether the guard leads to a gateway on this machine, whose
// money is not real.
func (g *Guard) Loopback() bool {
	return g.cfg.Gateway != nil && isLoopback(g.cfg.Gateway.Hostname())
}

// Client is for exchanges whose reply is of ordinary size: 1 MiB within 15 s.
func (g *Guard) Client() *http.Client { return g.Bulk(mostReply, patience) }

// Bulk is for replies of up to most bytes that may take as long as within.
func (g *Guard) Bulk(most int64, within time.Duration) *http.Client {
	return &http.Client{Transport: exchange{g, most, within}}
}

// exchange is a guard with the bounds of one kind of reply. It keeps the time by
// itself: a client's own timeout ends only when the body is closed, which not
// every library does.
type exchange struct {
	guard  *Guard
	most   int64
	within time.Duration
}

// RoundTrip implements http.RoundTripper.
func (x exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	began := evcs.Monotonic()
	ctx, cancel := context.WithTimeout(r.Context(), x.within)
	answer, err := x.send(r.WithContext(ctx))
	if err != nil {
		cancel()
	} else {
		answer.Body = &capped{answer.Body, x.most, cancel}
	}
	status := 0
	if answer != nil {
		status = answer.StatusCode
	}
	x.guard.record.note(r.Context(), status, err)
	x.guard.cfg.Log.DebugContext(r.Context(), "a counterpart was asked",
		slog.String("host", r.URL.Hostname()), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", status), slog.Duration("took", evcs.Monotonic().Sub(began)), slog.String("failure", reasonOrNone(err)))
	return answer, err
}

func (x exchange) send(r *http.Request) (*http.Response, error) {
	out, err := x.guard.aim(r)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // a round tripper must close it
		}
		return nil, err
	}
	answer, err := x.guard.next.RoundTrip(out)
	if err != nil {
		return nil, err
	}
	switch {
	case answer.StatusCode >= http.StatusMultipleChoices && answer.StatusCode < http.StatusBadRequest:
		err = fmt.Errorf("HTTP %d: %w", answer.StatusCode, ErrRedirect)
	case answer.ContentLength > x.most:
		err = ErrTooLong
	}
	if err != nil {
		_ = answer.Body.Close() // it is not wanted
		return nil, err
	}
	return answer, nil
}

// aim turns a request to one of the hosts into the one that is sent.
func (g *Guard) aim(r *http.Request) (*http.Request, error) {
	host := strings.ToLower(r.URL.Hostname())
	plainPort := r.URL.Port() == "" || r.URL.Port() == "443" || r.URL.Port() == "80" && r.URL.Scheme == "http"
	if !slices.Contains(g.cfg.Hosts, host) || !plainPort || r.URL.User != nil {
		return nil, fmt.Errorf("%w: %s", ErrHost, host)
	}
	out := r.Clone(r.Context())
	out.Host = ""
	out.URL.Scheme, out.URL.Host = "https", host
	if g.cfg.Gateway != nil {
		out.URL.Scheme, out.URL.Host = g.cfg.Gateway.Scheme, g.cfg.Gateway.Host
	}
	return out, nil
}

// capped fails when a body is longer than it may be, instead of cutting it, and
// ends the exchange's time with it.
type capped struct {
	io.ReadCloser
	left int64
	done context.CancelFunc
}

// Close implements io.Closer.
func (c *capped) Close() error {
	defer c.done()
	return c.ReadCloser.Close()
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left < 0 {
		return 0, ErrTooLong
	}
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.ReadCloser.Read(p)
	if err != nil {
		c.done()
	}
	c.left -= int64(n)
	if c.left < 0 {
		return n - 1, ErrTooLong
	}
	return n, err
}

func reasonOrNone(err error) string {
	if err == nil {
		return ""
	}
	return Reason(err)
}

// Reason words a failure of an exchange without its URL and without anything
// that the other side sent.
func Reason(err error) string {
	for _, known := range []error{ErrAddress, ErrHost, ErrRedirect, ErrTooLong} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if errors.Is(err, context.Canceled) {
		return "the call was given up"
	}
	if timeout, ok := errors.AsType[net.Error](err); errors.Is(err, context.DeadlineExceeded) || ok && timeout.Timeout() {
		return "no answer in time"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate does not verify"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is of another host"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "the host's name cannot be resolved"
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection broke off"
	}
	return "it cannot be reached"
}
