package notify

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/wneessen/go-mail"
)

// MailServer is where mail is handed in.
type MailServer struct {
	Host     string
	Port     int
	Username string // empty: no sign-in
	Password string
	From     string
	// Security is "starttls" (must be offered), "tls" or "none".
	Security string
	Trust    *tls.Config // nil: the machine's own authorities
}

// Mailer sends mail through one server. Its address is the operator's own
// setting, so it may lie in a private network.
type Mailer struct{ server MailServer }

// NewMailer makes a Mailer.
func NewMailer(s MailServer) *Mailer { return &Mailer{s} }

func (m *Mailer) send(ctx context.Context, to []string, subject, text string) error {
	message := mail.NewMsg()
	if err := message.From(m.server.From); err != nil {
		return fmt.Errorf("mail.from: %w", err)
	}
	if err := message.Bcc(to...); err != nil { // recipients need not know of each other
		return fmt.Errorf("recipients: %w", err)
	}
	message.Subject(subject)
	message.SetDate()
	message.SetMessageID()
	message.SetBulk()
	message.SetBodyString(mail.TypeTextPlain, text)
	limit, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	options := []mail.Option{mail.WithPort(m.server.Port), mail.WithTimeout(patience), mail.WithDialContextFunc(m.dial(limit))}
	switch m.server.Security {
	case "tls":
		options = append(options, mail.WithSSL())
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if m.server.Trust != nil {
		options = append(options, mail.WithTLSConfig(m.server.Trust))
	}
	if m.server.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthPlain), mail.WithUsername(m.server.Username), mail.WithPassword(m.server.Password))
	}
	client, err := mail.NewClient(m.server.Host, options...)
	if err != nil {
		return fmt.Errorf("mail server: %w", err)
	}
	if err := client.DialAndSendWithContext(limit, message); err != nil {
		if why := unreached(err); why != nil {
			err = why
		}
		return fmt.Errorf("send mail: %w", err)
	}
	return nil
}

// dial makes connections that end with ctx: the library leaves one open that
// fails before the mail, and waits for ever on a server that says nothing.
func (m *Mailer) dial(ctx context.Context) mail.DialContextFunc {
	return func(limit context.Context, network, address string) (net.Conn, error) {
		plain := new(net.Dialer)
		dial := plain.DialContext
		if m.server.Security == "tls" {
			trust := m.server.Trust
			if trust == nil {
				trust = &tls.Config{ServerName: m.server.Host, MinVersion: tls.VersionTLS12}
			}
			dial = (&tls.Dialer{NetDialer: plain, Config: trust}).DialContext
		}
		c, err := dial(limit, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = c.Close() }) // or closed before
		}
		return c, err
	}
}
