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
	"net/netip"
	"syscall"
	"time"
)

const (
	patience   = 10 * time.Second
	mostAnswer = 64 << 10
)

// ErrAddress says that a receiver's name resolves to an address that may not
// be reached.
var ErrAddress = errors.New("the address lies in a private, local or reserved network")

// Sender posts to receivers that tenants have named.
type Sender struct {
	client *http.Client
}

// Open are the networks that may be reached although they are private.
type Open []netip.Prefix

// NewSender makes a Sender. trust is nil for the machine's own authorities.
func NewSender(open Open, trust *tls.Config) *Sender {
	dialer := &net.Dialer{
		Timeout: patience,
		// Control runs after the name was resolved, for the very address that is
		// dialled: a name that changes between check and use gains nothing.
		Control: func(_, address string, _ syscall.RawConn) error { return open.allow(address) },
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

// reserved are networks beyond what netip tells apart.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// allow refuses an address that may not be reached.
func (o Open) allow(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrAddress, address)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("%w: %s", ErrAddress, host)
	}
	ip = ip.Unmap().WithZone("")
	for _, p := range o {
		if p.Contains(ip) {
			return nil
		}
	}
	bad := !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsMulticast() || ip.IsUnspecified()
	for _, p := range reserved {
		bad = bad || p.Contains(ip)
	}
	if bad {
		return fmt.Errorf("%w: %s", ErrAddress, ip)
	}
	return nil
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
	if errors.Is(err, ErrAddress) {
		return ErrAddress
	}
	if inner := errors.Unwrap(err); inner != nil { // of url.Error
		return inner
	}
	return errors.New("the receiver cannot be reached")
}
