package contracttest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"regexp"
	"strings"
	"testing"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/evcstest"
	"github.com/evcs/evcs/internal/judge"
)

//go:embed testdata/endpoints.tsv
var endpointTable string

type endpoint struct{ method, path, group string }

func endpoints(t *testing.T) []endpoint {
	t.Helper()
	var list []endpoint
	for line := range strings.Lines(endpointTable) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) == 3 && !strings.HasPrefix(f[0], "#") {
			list = append(list, endpoint{f[0], f[1], f[2]})
		}
	}
	if len(list) < 100 {
		t.Fatalf("only %d rows", len(list))
	}
	return list
}

var parameter = regexp.MustCompile(`\{[^}]+\}`)

// TestEveryEndpointIsServed: each row of the contract's table is in the
// document and is answered by a running daemon.
func TestEveryEndpointIsServed(t *testing.T) {
	t.Parallel()
	d := evcstest.Start(t, evcstest.WithConfig(open))
	admin, doc := d.Admin(), judge.Committed(t)
	for _, e := range endpoints(t) {
		t.Run(e.method+" "+e.path, func(t *testing.T) {
			item := doc.Paths.Find(e.path)
			if item == nil || item.GetOperation(e.method) == nil {
				t.Fatal("it is not in the document")
			}
			base := d.URL
			if e.group == "cloudcharge" {
				base = d.DeviceURL
			}
			target := base + parameter.ReplaceAllString(e.path, "1")
			var body []byte
			if e.method != "GET" {
				body = []byte("{}")
			}
			headers := []string{"Content-Type", "application/json"}
			if e.group == "internal" || strings.HasSuffix(e.path, "/order/payment/callback") {
				headers = append(headers, "X-Internal-Token", internalToken)
			}
			answered(t, exchange(t, e.method, target, body, headers...).Status, exchange(t, e.method, target, body, headers...).Answer)
			with := exchange(t, e.method, target, body, append(headers, "Authorization", "Bearer "+admin.Token())...)
			doc.Check(t, with, judge.Unseen)
			answered(t, with.Status, with.Answer)
			if e.group != "cloudcharge" && e.group != "internal" && with.Status == 401 && !strings.Contains(e.path, "callback") {
				t.Errorf("an administrator is refused: %s", with.Answer)
			}
		})
	}
}

func answered(t *testing.T, status int, answer []byte) {
	t.Helper()
	var f struct {
		Code      json.RawMessage
		ErrorCode evcs.Code
	}
	_ = json.Unmarshal(answer, &f) // callbacks answer in a channel's words
	for _, no := range []evcs.Code{evcs.CodeRouteNotFound, evcs.CodeMethodNotAllowed, evcs.CodeInternalError} {
		if string(f.Code) == fmt.Sprint(int(no)) || f.ErrorCode == no || status == 405 || status == 500 {
			t.Errorf("%d %s", status, answer)
			return
		}
	}
}

// TestInternal: the operation of §17.1 answers both questions, and to anybody
// else the path does not exist.
func TestInternal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	parent := w.newTenant(t, 1, nil)
	child := w.newTenant(t, parent, nil)
	other := w.newTenant(t, 1, nil)
	const path = "/internal/api/v1/tenant-hierarchy/descendant"
	for query, want := range map[string]string{
		fmt.Sprintf("currentTenantId=1&targetTenantId=%d", child):          "true",
		fmt.Sprintf("currentTenantId=%d&targetTenantId=%d", parent, child): "true",
		fmt.Sprintf("currentTenantId=%d&targetTenantId=%d", child, parent): "false",
		fmt.Sprintf("currentTenantId=%d&targetTenantId=%d", child, child):  "false",
		"currentTenantId=1&targetTenantId=999":                             "false",
		"currentTenantId=999&targetTenantId=1":                             "false",
		"currentTenantId=1":                                                fmt.Sprintf("[%d,%d,%d]", parent, child, other),
		fmt.Sprintf("currentTenantId=%d", child):                           "[]",
		"currentTenantId=999":                                              "[]",
	} {
		if a := w.d.Anyone().OK(t, "GET", path+"?"+query, nil, "X-Internal-Token", internalToken); string(a.Data) != want {
			t.Errorf("%s: %s, want %s", query, a.Data, want)
		}
	}
	if a := w.d.Anyone().Call(t, "GET", path, nil, "X-Internal-Token", internalToken); a.Code != int(evcs.CodeValidationFailed) {
		t.Errorf("without a tenant: %+v", a)
	}
	none := w.d.Anyone().Call(t, "GET", "/internal/api/v1/nothing", nil)
	for name, a := range map[string]evcstest.Answer{
		"no token":    w.d.Anyone().Call(t, "GET", path+"?currentTenantId=1", nil),
		"wrong token": w.d.Anyone().Call(t, "GET", path+"?currentTenantId=1", nil, "X-Internal-Token", internalToken[1:]+"x"),
		"a user":      w.admin.Call(t, "GET", path+"?currentTenantId=1", nil),
	} {
		if a.Status != none.Status || a.Code != none.Code || a.Message != none.Message || string(a.Data) != string(none.Data) {
			t.Errorf("%s: %+v, unlike %+v", name, a, none)
		}
	}
}

// statement is a multipart body with an empty statement.
func statement(t *testing.T, fields map[string]string) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for name, value := range fields {
		if err := form.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	file, err := form.CreateFormFile("file", "statement.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("direction,tradeNo,refundNo,channelNo,amount,fee,status,time\nTOTAL,0,0.00,0.00,0.00\n")); err != nil {
		t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), form.FormDataContentType()
}
