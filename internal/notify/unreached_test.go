package notify

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/outbound"
)

// TestWhatFailsIsSaidPlainly: who tries a webhook or a mail address learns why
// it failed in both languages, and nothing about the network of the platform.
func TestWhatFailsIsSaidPlainly(t *testing.T) {
	t.Parallel()
	dial := func(inner error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 25}, Err: inner}
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{dial(&net.DNSError{Name: "nobody.invalid", Server: "10.1.2.3:53", IsNotFound: true}), "the name of the host has no address"},
		{dial(syscall.ECONNREFUSED), "the host refused the connection"},
		{dial(syscall.ECONNRESET), "the connection ended without an answer"},
		{dial(syscall.ENETUNREACH), "the receiver cannot be reached"},
		{dial(fmt.Errorf("%w: %s", outbound.ErrAddress, "10.1.2.3")), "the address lies in a private, local or reserved network"},
		{fmt.Errorf("post: %w", io.ErrUnexpectedEOF), "the connection ended without an answer"},
		{&tls.CertificateVerificationError{Err: errors.New("10.1.2.3")}, "the certificate of the host is not trusted"},
		{tls.RecordHeaderError{Msg: "10.1.2.3"}, "the host does not speak TLS"},
	} {
		got := unreached(c.err)
		if got == nil || got.Error() != c.want {
			t.Errorf("%v is said as %v, want %s", c.err, got, c.want)
			continue
		}
		if zh := evcs.WordedAmong("HTTP 0: "+got.Error(), false); strings.Contains(zh, got.Error()) {
			t.Errorf("%s is not said in Chinese", got)
		}
	}
	if got := unreached(errors.New("550 no such mailbox")); got != nil {
		t.Errorf("what a server answered is not an unreached host: %v", got)
	}
}
