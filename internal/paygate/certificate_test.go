package paygate

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Calls that name certificates must name the merchant's and the root's.
func TestCallsOfTheCertificateMode(t *testing.T) {
	t.Parallel()
	g, server := gateway(t)
	app, err := testKeys().authority.appSN()
	if err != nil {
		t.Fatal(err)
	}
	root, err := testKeys().authority.rootSN()
	if err != nil {
		t.Fatal(err)
	}
	with := func(app, root, method, content string) string {
		return aliCall(func(f map[string]string) {
			f["app_cert_sn"], f["alipay_root_cert_sn"] = app, root
			if method != "" {
				f["method"], f["biz_content"] = method, content
			}
		}, nil)
	}
	first := testKeys().authority.first
	for name, x := range map[string]struct{ body, want, signed string }{
		"right":            {with(app, root, "", ""), "ACQ.TRADE_NOT_EXIST", `"alipay_cert_sn":"` + first.sn + `"`},
		"no application":   {with("", root, "", ""), "isv.missing-app-cert-sn", ""},
		"no root":          {with(app, "", "", ""), "isv.missing-alipay-root-cert-sn", ""},
		"another":          {with(root, root, "", ""), "isv.app-cert-not-exist", ""},
		"another root":     {with(app, app, "", ""), "isv.invalid-alipay-root-cert-sn", ""},
		"unknown download": {with(app, root, "alipay.open.app.alipaycert.download", `{"alipay_cert_sn":"0"}`), "isv.alipay-cert-not-exist", first.sn},
		"download":         {with(app, root, "alipay.open.app.alipaycert.download", `{"alipay_cert_sn":"`+first.sn+`"}`), "alipay_cert_content", first.sn},
	} {
		_, answer := post(t, server.URL+"/gateway.do", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, x.body)
		if !strings.Contains(answer, x.want) || !strings.Contains(answer, x.signed) || strings.Contains(answer, `"sign"`) != (x.signed != "") {
			t.Errorf("%s: %s", name, answer)
		}
	}
	if _, _, err := g.Certify("none"); err == nil {
		t.Error("a kind that there is not")
	}
}

// Keys of before the certificates get some, and stay as they are.
func TestOldKeysGetCertificates(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "gateway")
	k := *testKeys()
	if err := k.write(dir); err != nil {
		t.Fatal(err)
	}
	var kept map[string]any
	text, err := os.ReadFile(filepath.Join(dir, keysFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &kept); err != nil {
		t.Fatal(err)
	}
	delete(kept, "authority")
	if text, err = json.Marshal(kept); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, keysFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := OpenKeys(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	before, err1 := k.Merchant(Alipay)
	after, err2 := opened.Merchant(Alipay)
	if err1 != nil || err2 != nil || !bytes.Equal(before, after) || opened.authority == nil || opened.authority.first.sn == k.authority.first.sn {
		t.Errorf("other keys: %v %v", err1, err2)
	}
	again, err := OpenKeys(dir, time.Now())
	if err != nil || again.authority.first.sn != opened.authority.first.sn {
		t.Errorf("the certificates are not kept: %v", err)
	}
	for name, text := range opened.Certificates() {
		if file, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(file, text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheCommandChangesTheCertificate(t *testing.T) {
	t.Parallel()
	g, server := gateway(t)
	var out, errs bytes.Buffer
	if code := Command(t.Context(), []string{"certificate", "--gateway", server.URL}, &out, &errs, time.Now, nil); code != 0 || !strings.Contains(out.String(), "BEGIN CERTIFICATE") {
		t.Errorf("%d %s %s", code, out.String(), errs.String())
	}
	g.mu.Lock()
	changed := g.certificate.sn != testKeys().authority.first.sn && string(g.certificate.handed) == out.String()
	g.mu.Unlock()
	if !changed {
		t.Error("Alipay signs with the old one")
	}
	if code := Command(t.Context(), []string{"certificate", "worse", "--gateway", server.URL}, &out, &errs, time.Now, nil); code != 1 || !strings.Contains(errs.String(), "not known") {
		t.Errorf("%d %s", code, errs.String())
	}
}
