package contracttest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/evcs/evcs/internal/config"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/judge"
)

// FuzzRouter sends anything to every path of both listeners, as an
// administrator, so that it comes as far as it can, but for what would end him. Whatever it is, the answer
// comes in time, is the document's, tells nothing of the inside and is never a
// defect.
func FuzzRouter(f *testing.F) {
	doc := judge.Committed(f)
	for _, path := range slices.Sorted(maps.Keys(doc.Paths.Map())) {
		target := parameter.ReplaceAllString(path, "1")
		for _, method := range slices.Sorted(maps.Keys(doc.Paths.Find(path).Operations())) {
			f.Add(method, target, "Content-Type: application/json", examplesOf(f, doc.Paths.Find(path).GetOperation(method)))
		}
	}
	for _, seed := range [][4]string{
		{"GET", "/api/station?page=0&size=101&sort=no,desc,asc&cursor=%00&tenantScope=ALL", "Accept-Language: *;q=9", ""},
		{"GET", "/api/order?startTime=2026-02-30&endTime=-1&status=,,9", "Last-Event-ID: x", ""},
		{"PUT", "/api/station/9007199254740993", "If-Match: W/\"1\"", `{"version":-1}`},
		{"POST", "/api/order/start", "Idempotency-Key: a b", `{"chargerId":1e400,"connectorNo":[[]],"wait":-1}`},
		{"POST", "/api/station", "Content-Type: application/x-www-form-urlencoded", "stationCode=%zz&stationName"},
		{"POST", "/api/payment/callback/wechat/x", "Wechatpay-Signature: a\r\nWechatpay-Timestamp: 9", `{"resource":{"ciphertext":""}}`},
		{"POST", "/api/cloudcharge/start", "", `{"requestId":"1","apiVersion":"3.0","timestamp":"x","deviceCode":"a","data":{"connectorNo":1e9},"signature":"00"}`},
		{"POST", "/api/reconciliation/statement", "Content-Type: multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n1\r\n--x--\r\n"},
		{"GET", "/v3/api-docs/nothing?version=9", "", ""},
		{"GET", "/ocpp/%2e%2e", "", ""},
		{"PATCH", "/api/user/1", "X-HTTP-Method-Override: DELETE", "null"},
	} {
		f.Add(seed[0], seed[1], seed[2], []byte(seed[3]))
	}
	d := evcstest.Start(f, evcstest.WithConfig(func(c *config.Config) {
		open(c)
		c.RateLimit = config.RateLimit{}
		c.Server.BodyTimeout = 2 * time.Second
	}))
	d.Admin().OK(f, http.MethodPost, "/api/user", object{"username": "fuzz", "password": evcstest.Password, "roles": []string{"ADMIN"}, "mustChangePassword": 0})
	line := &line{d: d, token: d.SignIn("fuzz@tenant1", evcstest.Password).Token()}
	f.Cleanup(line.hangUp)
	f.Fuzz(func(t *testing.T, method, target, headers string, body []byte) {
		r := wellFramed(method, target, headers, body)
		if r == nil {
			return // no request of HTTP/1.1: refused before it is ours
		}
		e := line.ask(t, r, body)
		if e.Status == http.StatusUnauthorized && r.Header.Get("Authorization") == "" { // he signed himself out
			line.signIn(t)
			e = line.ask(t, r, body)
		}
		sound(t, doc, r, e)
	})
}

// examplesOf is the first example of an operation's body.
func examplesOf(f *testing.F, op *openapi3.Operation) []byte {
	f.Helper()
	if op.RequestBody == nil {
		return nil
	}
	media := op.RequestBody.Value.Content["application/json"]
	if media == nil {
		return nil
	}
	names := slices.Sorted(maps.Keys(media.Examples))
	if len(names) == 0 {
		return []byte("{}")
	}
	text, err := json.Marshal(media.Examples[names[0]].Value.Value)
	if err != nil {
		f.Fatal(err)
	}
	return text
}

// wellFramed is what is to be asked, with a body of known length; nil when HTTP
// itself refuses it.
func wellFramed(method, target, headers string, body []byte) *http.Request {
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: evcs\r\n%s\r\n\r\n", method, target, strings.TrimSpace(headers))
	reader := bufio.NewReaderSize(strings.NewReader(head), len(head))
	r, err := http.ReadRequest(reader)
	if err != nil || reader.Buffered() > 0 || len(head) > 32<<10 || method == http.MethodConnect || len(body) > 2<<20 {
		return nil
	}
	for _, framing := range []string{"Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Upgrade", "Expect", "Te"} {
		if len(r.Header.Values(framing)) > 0 {
			return nil
		}
	}
	if strings.HasPrefix(r.URL.Path, "/api/user/2") {
		return nil // himself
	}
	if len(r.TransferEncoding) > 0 || r.URL.Host != "" || len(r.Trailer) > 0 || strings.Contains(target, " ") {
		return nil
	}
	return r
}

// line is a connection to each listener, used again and again.
type line struct {
	d     *evcstest.Daemon
	token string
	to    map[string]*dialled
}

type dialled struct {
	net.Conn
	answers *bufio.Reader
}

func (l *line) hangUp() {
	for _, c := range l.to {
		c.Close()
	}
	l.to = nil
}

func (l *line) signIn(t *testing.T) {
	t.Helper()
	body, err := json.Marshal(object{"identifier": "fuzz@tenant1", "password": evcstest.Password})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Data struct{ Token string } }
	e := exchange(t, http.MethodPost, l.d.URL+"/api/auth/login", body, "Content-Type", "application/json")
	if err := json.Unmarshal(e.Answer, &answer); err != nil || answer.Data.Token == "" {
		t.Fatalf("the administrator cannot sign in any more: %d %s", e.Status, e.Answer)
	}
	l.token = answer.Data.Token
}

// ask sends a request and reads its answer, whose head alone is read of an
// event stream.
func (l *line) ask(t *testing.T, r *http.Request, body []byte) judge.Exchange {
	t.Helper()
	base := l.d.URL
	if strings.HasPrefix(r.URL.Path, "/api/cloudcharge") || strings.HasPrefix(r.URL.Path, "/ocpp") {
		base = l.d.DeviceURL
	}
	header := r.Header.Clone()
	if header.Get("Authorization") == "" {
		header.Set("Authorization", "Bearer "+l.token)
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: evcs\r\nContent-Length: %d\r\n", r.Method, r.RequestURI, len(body))
	if err := header.Write(&text); err != nil {
		t.Fatal(err)
	}
	text.WriteString("\r\n")
	text.Write(body)
	c := l.connection(t, base)
	if err := c.SetDeadline(evcs.Monotonic().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, failed := c.Write(text.Bytes())
	answer, err := http.ReadResponse(c.answers, r)
	if err != nil {
		l.drop(base)
		t.Fatalf("%s %s: no answer: %v (sent: %v)", r.Method, r.RequestURI, err, failed)
	}
	defer answer.Body.Close()
	e := judge.Exchange{Method: r.Method, URL: base + r.RequestURI, Header: header, Body: body, Status: answer.StatusCode, AnswerHeader: answer.Header}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		l.drop(base)
		return e
	}
	if e.Answer, err = io.ReadAll(answer.Body); err != nil {
		t.Fatalf("%s %s: half an answer: %v", r.Method, r.RequestURI, err)
	}
	if answer.Close {
		l.drop(base)
	}
	return e
}

func (l *line) connection(t *testing.T, base string) *dialled {
	t.Helper()
	if c := l.to[base]; c != nil {
		return c
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil { // nothing of it stays behind
		t.Fatal(err)
	}
	if l.to == nil {
		l.to = make(map[string]*dialled)
	}
	l.to[base] = &dialled{conn, bufio.NewReader(conn)}
	return l.to[base]
}

func (l *line) drop(base string) {
	if c := l.to[base]; c != nil {
		c.Close()
		delete(l.to, base)
	}
}

// allowedStatuses are those of contract §1.3, without 500.
var allowedStatuses = []int{200, 400, 401, 403, 404, 405, 409, 413, 415, 429, 503}

func sound(t *testing.T, doc *judge.Document, r *http.Request, e judge.Exchange) {
	t.Helper()
	say := func(what string) {
		t.Errorf("%s %q %v %.300q: %s: %d %.600s", e.Method, r.RequestURI, r.Header, e.Body, what, e.Status, e.Answer)
	}
	if !slices.Contains(allowedStatuses, e.Status) {
		say("no status of the contract")
	}
	for _, inside := range []string{"goroutine ", ".go:", "runtime error", "sqlite", "SELECT ", "panic"} {
		if bytes.Contains(e.Answer, []byte(inside)) && !bytes.Contains(e.Body, []byte(inside)) && !strings.Contains(r.RequestURI, inside) && e.Status != http.StatusOK {
			say("it tells of the inside")
		}
	}
	if e.Method == http.MethodHead {
		return // without a body
	}
	if e.Status != http.StatusOK && strings.HasPrefix(r.URL.Path, "/api/") && !strings.HasPrefix(r.URL.Path, "/api/payment/callback/") {
		var f struct {
			Code      json.RawMessage
			ErrorCode evcs.Code
			Message   string
			TraceID   string
			RequestID *string
		}
		if json.Unmarshal(e.Answer, &f) != nil || f.Message == "" || f.TraceID == "" && f.RequestID == nil {
			say("no envelope")
		}
		if string(f.Code) == fmt.Sprint(int(evcs.CodeInternalError)) || f.ErrorCode == evcs.CodeInternalError {
			say("a defect")
		}
	}
	if e.AnswerHeader.Get("Content-Type") != "application/json" {
		return
	}
	if known, _, answer := doc.Judge(t.Context(), e); known && answer != nil {
		say("not the document's: " + answer.Error())
	}
}
