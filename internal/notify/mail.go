package notify

import (
	"context"
	"crypto/tls"
	"fmt"

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
	options := []mail.Option{mail.WithPort(m.server.Port), mail.WithTimeout(patience)}
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
	limit, cancel := context.WithTimeout(ctx, 3*patience)
	defer cancel()
	if err := client.DialAndSendWithContext(limit, message); err != nil {
		return fmt.Errorf("send mail: %w", err)
	}
	return nil
}
