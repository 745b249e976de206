package contracttest

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
)

// raw sends bytes as they are and reads the one answer.
func raw(t *testing.T, base, request string) (status int, header http.Header, body string) {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(evcs.Monotonic().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, request)
		sent <- err
	}()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v (sent: %v)", err, <-sent)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(text)
}

// request is the text of a request that ends its connection.
func request(line, token, body string, headers ...string) string {
	lines := []string{line, "Host: evcs", "Connection: close", "Accept-Language: en"}
	if token != "" {
		lines = append(lines, "Authorization: Bearer "+token)
	}
	if body != "" {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)), "Content-Type: application/json")
	}
	return strings.Join(append(lines, headers...), "\r\n") + "\r\n\r\n" + body
}

// signed is a token with a header of the attacker's choice.
func signed(header string, claims any, key []byte) string {
	text, _ := json.Marshal(claims) // a map
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(text)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(unsigned))
	return unsigned + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// forged are tokens that nobody was given, made from one that somebody was.
func forged(t *testing.T, genuine string) map[string]string {
	t.Helper()
	parts := strings.Split(genuine, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || len(parts) != 3 {
		t.Fatalf("%s: %v", genuine, err)
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	bare := func(header string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + parts[1] + "."
	}
	other := map[string]any{}
	for name, value := range claims {
		other[name] = value
	}
	other["sub"] = "2"
	changed, err := json.Marshal(other)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"none":                    bare(`{"alg":"none","typ":"JWT"}`),
		"NoNe":                    bare(`{"alg":"NoNe","typ":"JWT"}`),
		"none, with a signature":  strings.TrimSuffix(bare(`{"alg":"none"}`), ".") + "." + parts[2],
		"no signature":            parts[0] + "." + parts[1] + ".",
		"RS256, signed by HS256":  signed(`{"alg":"RS256","typ":"JWT"}`, claims, []byte("evcs")),
		"HS384":                   base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS384","typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"another key":             signed(`{"alg":"HS256","typ":"JWT"}`, claims, []byte("a key of the attacker's, long enough")),
		"an empty key":            signed(`{"alg":"HS256","typ":"JWT"}`, claims, nil),
		"a key in the header":     signed(`{"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"YQ"},"kid":"../../dev/null","jku":"http://192.0.2.1/"}`, claims, []byte("a")),
		"other claims":            parts[0] + "." + base64.RawURLEncoding.EncodeToString(changed) + "." + parts[2],
		"cut":                     genuine[:len(genuine)-2],
		"two parts":               parts[0] + "." + parts[1],
		"very long":               strings.Repeat("a", 20<<10),
		"an API key of nobody":    "evcs_" + strings.Repeat("A", 43),
		"a quote":                 "' OR 1=1 --",
		"the signature of others": parts[0] + "." + parts[1] + "." + parts[2] + ".x",
	}
}

// hostile is a request and what it must be answered with.
type hostile struct {
	request string
	status  int
	code    evcs.Code // 0: refused before it is an operation's matter
	field   string    // of data.errors
}

// TestHostileRequests sends a running daemon what no client of good will sends:
// the answer is precise, tells nothing of the inside, and nothing is changed.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.admin.Token()
	user, _ := w.newUser(t, w.newTenant(t, 1, nil), "ADMIN")
	get := func(target string, headers ...string) string {
		return request("GET "+target+" HTTP/1.1", token, "", headers...)
	}
	post := func(body string, headers ...string) string {
		return request("POST /api/id-tag HTTP/1.1", token, body, headers...)
	}
	station := evcstest.Path("/api/station/%d", w.station)
	cases := map[string]hostile{
		"two slashes":            {get("//api/station"), 404, 9404, ""},
		"two slashes inside":     {get("/api//station"), 404, 9404, ""},
		"dots":                   {get("/api/station/../user"), 404, 9404, ""},
		"dots, coded":            {get("/api/station/%2e%2e/user"), 404, 9404, ""},
		"a dot":                  {get("/api/./station"), 404, 9404, ""},
		"a slash, coded":         {get("/api%2fstation"), 404, 9404, ""},
		"a slash in an id":       {get("/api/station/1%2f2"), 400, 9400, "stationId"},
		"NUL in an id":           {get("/api/station/1%00"), 400, 9400, "stationId"},
		"NUL behind a word":      {get("/api/station%00"), 404, 9404, ""},
		"a slash at the end":     {get("/api/station/"), 404, 9404, ""},
		"capitals":               {get("/API/station"), 404, 9404, ""},
		"a path parameter":       {get("/api/station;v=1"), 404, 9404, ""},
		"broken coding":          {get("/api/station/%zz"), 400, 0, ""},
		"an address":             {get("http://192.0.2.1/api/nothing"), 404, 9404, ""},
		"internal":               {get("/internal/api/v1/tenant-hierarchy/descendant"), 404, 9404, ""},
		"internal, from inside":  {get("/internal/api/v1/tenant-hierarchy/descendant", "X-Forwarded-For: 127.0.0.1"), 404, 9404, ""},
		"another's station":      {request("GET "+station+" HTTP/1.1", user.Token(), ""), 404, evcs.CodeStationNotFound, ""},
		"nobody's station":       {request("GET /api/station/999999 HTTP/1.1", user.Token(), ""), 404, evcs.CodeStationNotFound, ""},
		"named by headers":       {request("GET /api/auth/userinfo HTTP/1.1", "", "", "X-User-Id: 1", "X-Tenant-Id: 1"), 401, 6006, ""},
		"a wrong proxy":          {request("GET /api/auth/userinfo HTTP/1.1", "", "", "X-User-Id: 1", "X-Tenant-Id: 1", "X-Proxy-Secret: guess"), 401, 6006, ""},
		"named twice":            {request("GET /api/auth/userinfo HTTP/1.1", token, "", "Authorization: Bearer "+token), 401, 6006, ""},
		"a user by proxy, twice": {request("GET /api/auth/userinfo HTTP/1.1", "", "", "X-User-Id: 1", "X-User-Id: 2", "X-Tenant-Id: 1", "X-Proxy-Secret: "+proxySecret), 401, 6006, ""},
		"a user without tenant":  {request("GET /api/auth/userinfo HTTP/1.1", "", "", "X-User-Id: 1", "X-Proxy-Secret: "+proxySecret), 401, evcs.CodeTenantContextMissing, ""},
		"a user of another":      {request("GET /api/auth/userinfo HTTP/1.1", "", "", "X-User-Id: 1", "X-Tenant-Id: 2", "X-Proxy-Secret: "+proxySecret), 401, 6006, ""},
		"another path, inside":   {get("/api/nothing", "X-Original-URL: /api/station", "X-Rewrite-URL: /api/station"), 404, 9404, ""},
		"no route to metrics":    {request("GET /api/nothing HTTP/1.1", "", "", "X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1"), 404, 9404, ""},
		"another method, inside": {request("POST "+station+" HTTP/1.1", token, "{}", "X-HTTP-Method-Override: DELETE"), 405, 9405, ""},
		"TRACE":                  {request("TRACE /api/station HTTP/1.1", token, ""), 405, 9405, ""},
		"OPTIONS":                {request("OPTIONS /api/station HTTP/1.1", token, ""), 405, 9405, ""},
		"OPTIONS of nothing":     {request("OPTIONS /api/nothing HTTP/1.1", token, ""), 404, 9404, ""},
		"packed":                 {post("\x1f\x8b\x08\x00", "Content-Encoding: gzip"), 415, 9415, ""},
		"large":                  {strings.Replace(post("{}"), "Content-Length: 2", "Content-Length: 99999999999", 1), 413, 9413, ""},
		"no UTF-8":               {post("{\"idTag\":\"\xc3\x28\"}"), 400, 9400, "body"},
		"a lone surrogate":       {post(`{"idTag":"\ud800"}`), 400, 9400, "idTag"},
		"NUL":                    {post(`{"idTag":"a\u0000b"}`), 400, 9400, "idTag"},
		"deep":                   {post(`{"idTag":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `}`), 400, 9400, "body"},
		"a huge number":          {post(`{"idTag":"X1","userId":1e400}`), 400, 9400, "userId"},
		"many digits":            {post(`{"idTag":"X2","userId":` + strings.Repeat("9", 5000) + `}`), 400, 9400, "userId"},
		"twice":                  {post(`{"idTag":"X3","idTag":"X4"}`), 400, 9400, "idTag"},
		"twice, escaped":         {post(`{"idTag":"X3","id\u0054ag":"X4"}`), 400, 9400, "idTag"},
		"twice, in capitals":     {post(`{"idTag":"X3","IDTAG":"X4"}`), 400, 9400, "IDTAG"},
		"body and query":         {strings.Replace(post(`{"idTag":"X3"}`), "/api/id-tag ", "/api/id-tag?idTag=X4 ", 1), 400, 9400, "idTag"},
		"a byte order mark":      {post("\xef\xbb\xbf{}"), 400, 9400, "body"},
		"an overlong form":       {post("{\"idTag\":\"\xc0\xaf\"}"), 400, 9400, "body"},
		"UTF-16":                 {post("{\x00\"\x00}\x00"), 400, 9400, "body"},
		"the prototype":          {post(`{"idTag":"X5","__proto__":{"admin":true}}`), 400, 9400, "__proto__"},
		"an object for a text":   {post(`{"idTag":{"$gt":""}}`), 400, 9400, "idTag"},
		"many parameters":        {get("/api/station?" + strings.Repeat("a=1&", 10000) + "b=1"), 400, 9400, "query"},
		"many names":             {get("/api/station?" + manyNames(5000)), 400, 9400, "p0"},
		"huge headers":           {get("/api/station", "X-Large: "+strings.Repeat("a", 100<<10)), 431, 0, ""},
		"a long address":         {get("/api/station/" + strings.Repeat("a", 100<<10)), 431, 0, ""},
		"broken query":           {get("/api/station?stationName=%zz"), 400, 9400, "query"},
		"two lengths":            {post("{}", "Content-Length: 3"), 400, 0, ""},
		"length and chunks":      {request("POST /api/id-tag HTTP/1.1", token, "{}", "Transfer-Encoding: gzip"), 501, 0, ""},
		"a new line in a header": {get("/api/station", "X-Request-Id: a\x00b"), 400, 0, ""},
	}
	for name, forgedToken := range forged(t, token) {
		cases["token: "+name] = hostile{request("GET /api/auth/userinfo HTTP/1.1", forgedToken, ""), 401, 6006, ""}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			status, header, body := raw(t, w.d.URL, c.request)
			refusedWell(t, c, status, header, body)
		})
	}
	var tags struct{ Total int }
	w.admin.OK(t, "GET", "/api/id-tag", nil).Into(t, &tags)
	if tags.Total != 0 {
		t.Errorf("%d id tags came of it", tags.Total)
	}
	w.admin.OK(t, "GET", station, nil)

	if status, _, body := raw(t, w.d.URL, request("GET /api/auth/userinfo HTTP/1.0", token, "")); status != http.StatusOK {
		t.Errorf("HTTP/1.0: %d %s", status, body)
	}
}

// refusedWell checks an answer to something hostile.
func refusedWell(t *testing.T, c hostile, status int, header http.Header, body string) {
	t.Helper()
	if status != c.status {
		t.Fatalf("%d %.600s, want %d", status, body, c.status)
	}
	for _, inside := range []string{"goroutine", ".go:", "runtime", "sqlite", "SELECT", "panic"} {
		if strings.Contains(body, inside) {
			t.Errorf("it tells of the inside: %.600s", body)
		}
	}
	if c.code == 0 {
		return // the server's own refusal
	}
	var f struct {
		Code    evcs.Code
		TraceID string
		Data    struct {
			Errors []struct{ Field, Message string }
		}
	}
	if err := json.NewDecoder(bytes.NewReader([]byte(body))).Decode(&f); err != nil || f.Code != c.code || f.TraceID == "" || header.Get("X-Request-Id") != f.TraceID {
		t.Fatalf("%v %.600s, want %d", err, body, c.code)
	}
	found := c.field == ""
	for _, e := range f.Data.Errors {
		found = found || e.Field == c.field && e.Message != ""
	}
	if !found {
		t.Errorf("nothing about %s: %.600s", c.field, body)
	}
	if len(body) > 64<<10 {
		t.Errorf("the answer has %d bytes", len(body))
	}
}

func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "p%d=1&", i)
	}
	return strings.TrimSuffix(b.String(), "&")
}

// TestEndedTokens: a token is refused when its time is over, and says so.
func TestEndedTokens(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t)
	admin := d.Admin()
	d.Clock.Advance(d.Config.Auth.AccessTTL + time.Minute)
	if a := admin.Call(t, "GET", "/api/auth/userinfo", nil); a.Status != http.StatusUnauthorized || a.Code != 6003 {
		t.Errorf("%d %d %s", a.Status, a.Code, a.Message)
	}
}
