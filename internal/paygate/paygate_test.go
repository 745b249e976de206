package paygate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var testKeys = sync.OnceValue(func() *Keys {
	k, err := NewKeys(time.Now())
	if err != nil {
		panic(err)
	}
	return k
})

func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "gateway")
	k, err := OpenKeys(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v %v", info.Mode(), err)
	}
	again, err := OpenKeys(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]Channel{alipayMerchant: Alipay, wechatMerchant: Wechat} {
		first, err1 := k.Merchant(c)
		second, err2 := again.Merchant(c)
		kept, err3 := os.ReadFile(filepath.Join(dir, name))
		if err1 != nil || err2 != nil || err3 != nil || !bytes.Equal(first, second) || !bytes.Equal(bytes.TrimSpace(kept), first) {
			t.Errorf("%s is another one: %v %v %v", name, err1, err2, err3)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, keysFile), []byte(`{"private":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeys(dir, time.Now()); err == nil {
		t.Error("damaged keys are read")
	}
}

// gateway is one whose notifications are not sent.
func gateway(t *testing.T) (*Gateway, *httptest.Server) {
	t.Helper()
	g := New(Config{Keys: testKeys(), Now: time.Now})
	server := httptest.NewServer(g.Handler())
	t.Cleanup(server.Close)
	return g, server
}

func post(t *testing.T, to string, header http.Header, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	if host := header.Get("X-Host"); host != "" {
		r.Host = host
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func aliCall(change func(map[string]string), after func(url.Values)) string {
	f := map[string]string{
		"app_id": testKeys().AppID, "method": "alipay.trade.query", "format": "JSON", "charset": "utf-8", "sign_type": "RSA2", "version": "1.0",
		"timestamp": time.Now().In(zone).Format(aliTime), "biz_content": `{"out_trade_no":"EV1"}`,
	}
	change(f)
	f["sign"] = sign(testKeys().aliMerchant, joined(f, true))
	v := url.Values{}
	for name, value := range f {
		v.Set(name, value)
	}
	if after != nil {
		after(v)
	}
	return v.Encode()
}

// The gateway refuses every call that Alipay would refuse, without a signature.
func TestAlipayCallsThatAreRefused(t *testing.T) {
	t.Parallel()
	_, server := gateway(t)
	nothing := func(map[string]string) {}
	for name, x := range map[string]struct{ body, want string }{
		"the right call":        {aliCall(nothing, nil), "ACQ.TRADE_NOT_EXIST"},
		"another application":   {aliCall(func(f map[string]string) { f["app_id"] = "1" }, nil), "isv.invalid-app-id"},
		"SHA-1":                 {aliCall(func(f map[string]string) { f["sign_type"] = "RSA" }, nil), "isv.invalid-signature-type"},
		"a time without +08:00": {aliCall(func(f map[string]string) { f["timestamp"] = time.Now().UTC().Format(aliTime) }, nil), "isv.invalid-timestamp"},
		"tampered":              {aliCall(nothing, func(v url.Values) { v.Set("biz_content", `{"out_trade_no":"EV2"}`) }), "isv.invalid-signature"},
		"a field more":          {aliCall(nothing, func(v url.Values) { v.Set("x", "1") }), "isv.invalid-signature"},
		"unsigned":              {aliCall(nothing, func(v url.Values) { v.Del("sign") }), "isv.invalid-signature"},
		"a field twice":         {aliCall(nothing, nil) + "&method=x", "isv.invalid-form"},
		"an address with query": {aliCall(func(f map[string]string) { f["notify_url"] = "https://x.example/?a=1" }, nil), "isv.invalid-parameter"},
		"an address elsewhere":  {aliCall(func(f map[string]string) { f["notify_url"] = "http://10.0.0.1/" }, nil), "isv.invalid-parameter"},
		"another method":        {aliCall(func(f map[string]string) { f["method"] = "alipay.trade.steal" }, nil), "isv.invalid-method"},
	} {
		status, text := post(t, server.URL+"/gateway.do", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, x.body)
		signed := strings.Contains(text, `"sign":`)
		if status != http.StatusOK || !strings.Contains(text, x.want) || signed == strings.Contains(text, `"40002"`) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, _ := post(t, server.URL+"/gateway.do", nil, strings.Repeat("x", maxBody+1)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("too long: %d", status)
	}
}

func authorization(k *Keys, method, uri, stamp, body string) http.Header {
	signature := sign(k.wxMerchant, method+"\n"+uri+"\n"+stamp+"\nNONCE\n"+body+"\n")
	return http.Header{"Authorization": {fmt.Sprintf(`WECHATPAY2-SHA256-RSA2048 mchid="%s",nonce_str="NONCE",timestamp="%s",serial_no="%s",signature="%s"`, k.MchID, stamp, k.merchantSerial, signature)}}
}

func TestWechatCallsThatAreRefused(t *testing.T) {
	t.Parallel()
	_, server := gateway(t)
	const uri = "/v3/pay/transactions/out-trade-no/EV0000/close"
	k := testKeys()
	body := `{"mchid":"` + k.MchID + `"}`
	now := strconv.FormatInt(time.Now().Unix(), 10)
	old := strconv.FormatInt(time.Now().Add(-10*time.Minute).Unix(), 10)
	other := func(from, to string) http.Header {
		h := authorization(k, "POST", uri, now, body)
		h.Set("Authorization", strings.Replace(h.Get("Authorization"), from, to, 1))
		return h
	}
	for name, x := range map[string]struct {
		header http.Header
		body   string
		status int
	}{
		"the right call":   {authorization(k, "POST", uri, now, body), body, http.StatusNotFound},
		"no authorization": {http.Header{}, body, http.StatusUnauthorized},
		"another body":     {authorization(k, "POST", uri, now, body), body + " ", http.StatusUnauthorized},
		"another path":     {authorization(k, "POST", uri+"?", now, body), body, http.StatusUnauthorized},
		"another method":   {authorization(k, "GET", uri, now, body), body, http.StatusUnauthorized},
		"an old call":      {authorization(k, "POST", uri, old, body), body, http.StatusUnauthorized},
		"another merchant": {other(k.MchID, "1600000001"), body, http.StatusUnauthorized},
		"another serial":   {other(k.merchantSerial, "00"), body, http.StatusUnauthorized},
		"another scheme":   {other("WECHATPAY2-SHA256", "WECHATPAY2-SM3"), body, http.StatusUnauthorized},
		"a field twice":    {other("mchid=", `mchid="1",mchid=`), body, http.StatusUnauthorized},
		"no nonce":         {other("NONCE", ""), body, http.StatusUnauthorized},
		"another platform": {authorization(k, "POST", uri, now, `{"mchid":"1"}`), `{"mchid":"1"}`, http.StatusBadRequest},
	} {
		if status, text := post(t, server.URL+uri, x.header, x.body); status != x.status {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

// Nobody but this machine presses the button.
func TestTheButtonIsLocal(t *testing.T) {
	t.Parallel()
	g, server := gateway(t)
	kind := http.Header{"Content-Type": {"application/json"}}
	with := func(name, value string) http.Header {
		h := kind.Clone()
		h.Set(name, value)
		return h
	}
	for name, x := range map[string]struct {
		path   string
		header http.Header
		body   string
		status int
	}{
		"an unknown trade":     {"/gateway/pay", kind, `{"tradeNo":"EV1"}`, http.StatusNotFound},
		"an unknown outcome":   {"/gateway/pay", kind, `{"tradeNo":"EV1","outcome":"MAYBE"}`, http.StatusBadRequest},
		"an unknown field":     {"/gateway/pay", kind, `{"tradeNo":"EV1","amount":1}`, http.StatusBadRequest},
		"an order of nobody":   {"/gateway/pay", kind, `{"orderString":"app_id=1"}`, http.StatusBadRequest},
		"no JSON":              {"/gateway/pay", with("Content-Type", "text/plain"), `{}`, http.StatusUnsupportedMediaType},
		"through another name": {"/gateway/pay", with("X-Host", "evil.example"), `{"tradeNo":"EV1"}`, http.StatusForbidden},
		"a fault":              {"/gateway/fault", kind, `{"call":"refund","kind":"busy","times":2}`, http.StatusNoContent},
		"a fault of no kind":   {"/gateway/fault", kind, `{"call":"refund","kind":"slow","times":2}`, http.StatusBadRequest},
		"a fault for ever":     {"/gateway/fault", kind, `{"call":"refund","kind":"busy","times":1001}`, http.StatusBadRequest},
		"a form of elsewhere":  {"/", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"cross-site"}}, "tradeNo=EV1", http.StatusForbidden},
		"a form for no trade":  {"/", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}}, "tradeNo=EV1", http.StatusBadRequest},
		"the form of the page": {"/", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Sec-Fetch-Site": {"same-origin"}}, "tradeNo=EV9&outcome=SUCCESS", http.StatusSeeOther},
	} {
		if name == "the form of the page" {
			g.mu.Lock()
			g.trades[key(Alipay, "EV9")] = &trade{channel: Alipay, no: "EV9", subject: "<b>", amount: 1, state: isNew, expires: time.Now().Add(time.Minute)}
			g.mu.Unlock()
		}
		if status, text := post(t, server.URL+x.path, x.header, x.body); status != x.status {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(text), "EV9") || !strings.Contains(string(text), "&lt;b&gt;") || !strings.Contains(string(text), "没有真实资金") {
		t.Errorf("the page: %v\n%s", err, text)
	}
	if got := g.Trades(); len(got) != 1 || got[0].State != "PAID" || got[0].Amount != "0.01" {
		t.Errorf("trades %+v", got)
	}
}

// What the calls and the button may name as an address.
func TestAddressesOfNotifications(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"https://pay.example/x": true, "http://127.0.0.1:8080/x": true, "http://localhost/x": true, "http://[::1]/x": true,
		"http://pay.example/x": false, "https://pay.example/x?a=1": false, "https://u@pay.example/": false, "ftp://127.0.0.1/": false, "": false, "x": false,
	} {
		if notifiable(text) != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://10.255.255.1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := caller(false).Do(r)
	if err == nil {
		answer.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), errNotThisMachine.Error()) {
		t.Errorf("beyond this machine: %v", err)
	}
}

func TestAmounts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"0.01": 1, "61.38": 6138, "100000000.00": 10_000_000_000, "0.00": 0} {
		if got, good := fen(text); !good || got != want || yuan(want) != text {
			t.Errorf("%s: %d %v, %s", text, got, good, yuan(want))
		}
	}
	for _, text := range []string{"", "1", "1.0", "1.000", "-1.00", "+1.00", "01.00", "1e3", ".10", "1.00 ", "9999999999.00"} {
		if got, good := fen(text); good {
			t.Errorf("%q is %d", text, got)
		}
	}
	if feeOn(6138) != 37 || feeOn(83) != 0 || feeOn(84) != 1 || yuan(-5) != "-0.05" {
		t.Error("fees are 0.6 %, half up")
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	run := func(ctx context.Context, args ...string) (int, string, string) {
		var out, errOut bytes.Buffer
		code := Command(ctx, args, &out, &errOut, time.Now, nil)
		return code, out.String(), errOut.String()
	}
	for name, x := range map[string]struct {
		args []string
		code int
	}{
		"an unknown verb":   {[]string{"steal"}, exitUsage},
		"an unknown flag":   {[]string{"serve", "--steal"}, exitUsage},
		"beyond":            {[]string{"serve", "--listen", "0.0.0.0:0"}, exitUsage},
		"no port":           {[]string{"serve", "--listen", "127.0.0.1"}, exitUsage},
		"no trade":          {[]string{"pay"}, exitUsage},
		"both":              {[]string{"pay", "EV1", "--order-string", "x"}, exitUsage},
		"a page of nothing": {[]string{"pay", "EV1", "--page", "x"}, exitUsage},
		"nobody there":      {[]string{"pay", "EV1", "--gateway", "http://127.0.0.1:1"}, exitUnreachable},
		"nowhere":           {[]string{"trades", "--gateway", "x"}, exitUsage},
	} {
		if code, _, said := run(t.Context(), x.args...); code != x.code || !strings.HasPrefix(said, "evcsctl gateway: ") {
			t.Errorf("%s: %d %q", name, code, said)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- Command(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--dir", t.TempDir(), "--quiet"}, writer, io.Discard, time.Now, nil)
		writer.Close()
	}()
	line := make([]byte, 512)
	n, err := reader.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	first, _, _ := strings.Cut(string(line[:n]), "\n")
	at := strings.TrimPrefix(first, "gateway at ")
	if code, out, said := run(t.Context(), "trades", "-o", "json", "--gateway", at); code != exitOK || !json.Valid([]byte(out)) {
		t.Errorf("trades: %d %q %q", code, out, said)
	}
	if code, out, _ := run(t.Context(), "trades", "--gateway", at); code != exitOK || !strings.HasPrefix(out, "TRADE") {
		t.Errorf("trades: %d %q", code, out)
	}
	if code, _, said := run(t.Context(), "pay", "EV1", "--gateway", at); code != exitFailed || !strings.Contains(said, ErrNoTrade.Error()) {
		t.Errorf("pay: %d %q", code, said)
	}
	if code, _, said := run(t.Context(), "fault", "refund", FaultBusy, "--gateway", at, "--times", "3"); code != exitOK {
		t.Errorf("fault: %d %q", code, said)
	}
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("serve ended with %d", code)
	}
}
