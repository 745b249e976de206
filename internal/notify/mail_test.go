package notify

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/alarm"
)

// post is a mail server: plain or with STARTTLS, with a sign-in or without.
type post struct {
	t      *testing.T
	listen net.Listener
	cert   *tls.Certificate // nil: STARTTLS is not offered
	tls    bool             // from the first byte
	mute   chan struct{}    // not nil: it says nothing, and tells when it was called
	login  string           // "user\x00password" that is taken; "": nobody signs in

	mu     sync.Mutex
	got    []letter // guarded by mu
	refuse string   // what MAIL is answered instead of 250; guarded by mu
}

// letter is a mail as it was handed in.
type letter struct {
	secure, known bool
	from          string
	to            []string
	text          string
}

func openPost(t *testing.T, p *post) (host string, port int) {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.t, p.listen = t, listen
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := listen.Accept()
			if err != nil {
				return
			}
			all.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		if err := listen.Close(); err != nil {
			t.Error(err)
		}
		all.Wait()
	})
	at, ok := listen.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal(listen.Addr())
	}
	return "127.0.0.1", at.Port
}

// serve speaks SMTP as far as a sender needs it.
func (p *post) serve(c net.Conn) {
	defer func() { _ = c.Close() }() // the other side may have gone
	l := letter{secure: p.tls}
	if p.tls {
		c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*p.cert}, MinVersion: tls.VersionTLS12})
	}
	if p.mute != nil {
		close(p.mute)
		_, _ = io.Copy(io.Discard, c) // until the caller hangs up
		return
	}
	r := bufio.NewReader(c)
	say := func(format string, args ...any) bool {
		_, err := fmt.Fprintf(c, format+"\r\n", args...)
		return err == nil
	}
	say("220 post")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			say("250-post")
			if p.cert != nil && !l.secure {
				say("250-STARTTLS")
			}
			if p.login != "" && l.secure {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*p.cert}, MinVersion: tls.VersionTLS12})
			if secure.Handshake() != nil {
				return
			}
			c, r, l = secure, bufio.NewReader(secure), letter{secure: true}
		case "AUTH":
			plain, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			if l.known = string(plain) == "\x00"+p.login; !l.known {
				say("535 wrong")
				continue
			}
			say("235 welcome")
		case "MAIL":
			p.mu.Lock()
			refuse := p.refuse
			p.mu.Unlock()
			switch {
			case refuse != "":
				say("%s", refuse)
			case p.login != "" && !l.known:
				say("530 sign in")
			default:
				l.from = rest
				say("250 ok")
			}
		case "RCPT":
			l.to = append(l.to, rest)
			say("250 ok")
		case "DATA":
			say("354 go on")
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				l.text += strings.TrimPrefix(line, ".")
			}
			p.mu.Lock()
			p.got = append(p.got, l)
			p.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (p *post) answer(refuse string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
}

// take are the mails that came since it was last asked.
func (p *post) take() []letter {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got
	p.got = nil
	return got
}

// read is the subject, the header and the body of a mail, decoded.
func (l letter) read(t *testing.T) (subject string, header mail.Header, body string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(l.text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, l.text)
	}
	if subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	content := m.Body
	switch m.Header.Get("Content-Transfer-Encoding") {
	case "quoted-printable":
		content = quotedprintable.NewReader(m.Body)
	case "base64":
		content = base64.NewDecoder(base64.StdEncoding, m.Body)
	}
	text, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	return subject, m.Header, strings.ReplaceAll(string(text), "\r\n", "\n")
}

func byMail(english bool, items ...alarm.Item) alarm.Message {
	m := message(alarm.ByEmail, alarm.Endpoint{}, items...)
	m.English, m.Channel.Recipients = english, []string{"duty@example.com", "boss@example.com"}
	return m
}

// A mail in each language, as a person reads it.
func TestMailIsSent(t *testing.T) {
	t.Parallel()
	p := new(post)
	host, port := openPost(t, p)
	c := Crier{Mail: NewMailer(MailServer{Host: host, Port: port, From: "evcs@example.com", Security: "none"})}
	for english, want := range map[bool][]string{
		true:  {"[ALERT][MEDIUM] Charger offline", "FT-DC-03", "since 2020-09-06 10:40:00 · CHARGER 10003 #57", "Sent by EVCS · 2020-09-06 10:47:53"},
		false: {"[告警][中] 充电桩离线", "FT-DC-03", "发生时间 2020-09-06 10:40:00 · CHARGER 10003 #57", "由 EVCS 充电运营平台发送 · 2020-09-06 10:47:53"},
	} {
		if _, err := c.Send(t.Context(), byMail(english, item(alarm.Raised))); err != nil {
			t.Fatal(err)
		}
		got := p.take()
		if len(got) != 1 {
			t.Fatalf("%d mails", len(got))
		}
		subject, header, body := got[0].read(t)
		if text := strings.Join(append([]string{want[0]}, want[1:]...), "\n"); subject != want[0] || strings.TrimSpace(body) != text {
			t.Errorf("subject %q, body\n%s\nwant\n%s", subject, body, text)
		}
		if header.Get("Bcc") != "" || strings.Contains(got[0].text, "duty@example.com") || len(got[0].to) != 2 {
			t.Errorf("recipients see each other: %v in\n%s", got[0].to, got[0].text)
		}
		if !strings.Contains(header.Get("From"), "evcs@example.com") || header.Get("Date") == "" || header.Get("Message-Id") == "" {
			t.Errorf("header: %v", header)
		}
	}
	if _, err := c.Send(t.Context(), byMail(true, slices.Repeat([]alarm.Item{item(alarm.Raised)}, 3)...)); err != nil {
		t.Fatal(err)
	}
	if subject, _, body := p.take()[0].read(t); subject != "EVCS: 3 alerts" || strings.Count(body, "Charger offline") != 3 {
		t.Errorf("three together: %q\n%s", subject, body)
	}
}

// What a device or a person has written stays in the body: it adds no header
// and no second mail.
func TestMailIsNotWrittenByItsContent(t *testing.T) {
	t.Parallel()
	p := new(post)
	host, port := openPost(t, p)
	c := Crier{Mail: NewMailer(MailServer{Host: host, Port: port, From: "evcs@example.com", Security: "none"})}
	const evil = "X\r\nBcc: victim@example.com\r\n\r\n.\r\nMAIL FROM:<x@y.z>\r\n"
	odd := item(alarm.Raised)
	odd.Alert.Rule, odd.Alert.Message, odd.Alert.Target.ID = evil, evil, evil
	if _, err := c.Send(t.Context(), byMail(true, odd)); err != nil {
		t.Fatal(err)
	}
	got := p.take()
	if len(got) != 1 || len(got[0].to) != 2 || !strings.Contains(got[0].from, "evcs@example.com") {
		t.Fatalf("%+v", got)
	}
	_, header, body := got[0].read(t)
	if header.Get("Bcc") != "" || !strings.Contains(body, "victim@example.com") {
		t.Errorf("header %v, body\n%s", header, body)
	}
	m := byMail(true, item(alarm.Raised))
	m.Channel.Recipients = []string{"duty@example.com>\r\nRCPT TO:<victim@example.com"}
	if _, err := c.Send(t.Context(), m); err == nil || len(p.take()) != 0 {
		t.Errorf("an address of two lines: %v", err)
	}
}

// certificate is one for 127.0.0.1, and who trusts it.
func certificate(t *testing.T) (*tls.Certificate, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

// STARTTLS is demanded before anything is said, and the password with it.
func TestMailOverTLSWithSignIn(t *testing.T) {
	t.Parallel()
	cert, trust := certificate(t)
	p := &post{cert: cert, login: "evcs\x00hunter2-hunter2"}
	host, port := openPost(t, p)
	server := MailServer{Host: host, Port: port, Username: "evcs", Password: "hunter2-hunter2", From: "evcs@example.com", Security: "starttls", Trust: trust}
	send := func(change func(*MailServer)) error {
		s := server
		change(&s)
		_, err := Crier{Mail: NewMailer(s)}.Send(t.Context(), byMail(true, item(alarm.Raised)))
		return err
	}
	if err := send(func(*MailServer) {}); err != nil {
		t.Fatal(err)
	}
	if got := p.take(); len(got) != 1 || !got[0].secure || !got[0].known {
		t.Errorf("%+v", got)
	}
	for what, change := range map[string]func(*MailServer){
		"a wrong password":         func(s *MailServer) { s.Password = "wrong-password" },
		"a certificate of nobody":  func(s *MailServer) { s.Trust = nil },
		"a password without TLS":   func(s *MailServer) { s.Security = "none" },
		"nobody signs in":          func(s *MailServer) { s.Username = "" },
		"a port of something else": func(s *MailServer) { s.Port = 1 },
	} {
		err := send(change)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "wrong-password") {
			t.Errorf("%s: %v", what, err)
		}
		if got := p.take(); len(got) != 0 {
			t.Errorf("%s: sent %+v", what, got)
		}
	}
	whole := &post{cert: cert, tls: true, login: p.login}
	_, port = openPost(t, whole)
	if err := send(func(s *MailServer) { s.Port, s.Security = port, "tls" }); err != nil {
		t.Errorf("TLS from the first byte: %v", err)
	}
	if got := whole.take(); len(got) != 1 || !got[0].secure || !got[0].known {
		t.Errorf("TLS from the first byte: %+v", got)
	}
	plain := new(post)
	server.Host, server.Port = openPost(t, plain)
	if err := send(func(*MailServer) {}); err == nil || len(plain.take()) != 0 {
		t.Errorf("a server without STARTTLS was used: %v", err)
	}
}

// A refusal is an error, so that the caller tries again.
func TestMailThatIsRefused(t *testing.T) {
	t.Parallel()
	p := new(post)
	host, port := openPost(t, p)
	c := Crier{Mail: NewMailer(MailServer{Host: host, Port: port, From: "evcs@example.com", Security: "none"})}
	for _, refuse := range []string{"451 later", "550 never"} {
		p.answer(refuse)
		if _, err := c.Send(t.Context(), byMail(false, item(alarm.Raised))); err == nil || !strings.Contains(err.Error(), refuse[:3]) {
			t.Errorf("%s: %v", refuse, err)
		}
	}
	p.answer("")
	if _, err := c.Send(t.Context(), byMail(false, item(alarm.Raised))); err != nil || len(p.take()) != 1 {
		t.Errorf("later: %v", err)
	}
}

// A server that says nothing is left when its time is over.
func TestMailServerThatSaysNothing(t *testing.T) {
	t.Parallel()
	p := &post{mute: make(chan struct{})}
	host, port := openPost(t, p)
	c := Crier{Mail: NewMailer(MailServer{Host: host, Port: port, From: "evcs@example.com", Security: "none"})}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-p.mute
		cancel()
	}()
	if _, err := c.Send(ctx, byMail(true, item(alarm.Raised))); err == nil {
		t.Error("a mail was sent to nobody")
	}
}
