package httpapi

import (
	"flag"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
)

var update = flag.Bool("update", false, "write docs/openapi.yaml anew")

const documentFile = "../../docs/openapi.yaml"

// everything declares every part, without anything behind it: enough to print
// the document and to look at the declarations.
func everything() *Server {
	return New(Config{Clock: fixedClock{time.Unix(0, 0)}, Log: slog.New(slog.DiscardHandler), Version: "1", Parts: []Part{
		Auth{},
		SecondFactor{},
		Users{},
		Roles{},
		Tenants{},
		Audit{},
		Stations{},
		Chargers{},
		DeviceKeys{},
		Plans{},
		Devices{},
		Orders{},
		Sessions{},
		Commands{},
		Debug{},
		Payments{},
		Merchants{},
		Callbacks{},
		Ledger{},
		Recon{},
		ReconReports{},
		Dashboard{},
		Monitoring{},
		Alerting{},
		Webhooks{},
		Exports{Clock: fixedClock{}},
		Observation{},
		Logs{},
		Events{Clock: fixedClock{}},
		Internal{},
		DevicePort{},
		Health{},
	}})
}

func TestDocumentIsPrinted(t *testing.T) {
	t.Parallel()
	s := everything()
	text, err := s.Document()
	if err != nil {
		t.Fatal(err)
	}
	checked(t, s) // it is a valid document
	if *update {
		if err := os.WriteFile(documentFile, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), string(text)); diff != "" {
		t.Errorf("docs/openapi.yaml is not what the operations say; run go test ./internal/httpapi -update\n%.2000s", diff)
	}
}

func TestEveryOperationIsGuarded(t *testing.T) {
	t.Parallel()
	known := make(map[evcs.Permission]bool)
	for _, p := range auth.Permissions() {
		known[p.Code] = true
	}
	open := []string{
		"/api/auth/login", "/api/auth/refresh",
		// channels prove themselves by the signature of each callback
		"/api/payment/callback/alipay", "/api/payment/callback/alipay/refund", "/api/payment/callback/wechat", "/api/payment/callback/wechat/refund",
		"/api/payment/callback/{channel}/{callbackToken}", "/api/payment/callback/{channel}/{callbackToken}/refund",
	}
	ids := make(map[string]bool)
	s := everything()
	for _, d := range s.operations {
		switch {
		case d.Access == deviceOnly:
		case d.Access == public && !slices.Contains(open, d.Path):
			t.Errorf("%s %s is public and not on the list", d.Method, d.Path)
		case (d.Access == permitted || d.Access == selfChecked) && d.Permission == "":
			t.Errorf("%s %s has no permission", d.Method, d.Path)
		case d.Permission != "" && !known[d.Permission]:
			t.Errorf("%s %s needs %q, which nobody can hold", d.Method, d.Path, d.Permission)
		}
		if ids[d.ID] {
			t.Errorf("two operations are called %s", d.ID)
		}
		ids[d.ID] = true
		if d.Summary == "" || d.Group == "" {
			t.Errorf("%s has no summary or group", d.ID)
		}
	}
}

func TestEveryGroupIsInADocument(t *testing.T) {
	t.Parallel()
	var tags []string
	for _, list := range documentGroups() {
		tags = append(tags, list...)
	}
	for _, d := range everything().operations {
		if !slices.Contains(tags, d.Group) {
			t.Errorf("%s: the group %q is in no document", d.ID, d.Group)
		}
	}
}

func TestEveryCodeIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := everything().Document()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range everything().operations {
		for _, code := range d.Errors {
			if !strings.Contains(string(text), code.Name()) {
				t.Errorf("%s gives %s, which the document does not name", d.ID, code.Name())
			}
		}
	}
}

// TestEverythingIsDescribed: every operation, parameter and field of a body says
// what it is.
func TestEverythingIsDescribed(t *testing.T) {
	t.Parallel()
	root, err := everything().tree()
	if err != nil {
		t.Fatal(err)
	}
	schemas := child(child(root, "components"), "schemas")
	bodies := make(map[string]bool)
	var below func(v any)
	below = func(v any) {
		walk(v, func(ref string) {
			if name, ok := strings.CutPrefix(ref, schemaPrefix); ok && !bodies[name] {
				bodies[name] = true
				below(schemas[name])
			}
		})
	}
	parameters := 0
	eachOperation(root, func(path, method string, op node) {
		if text := textOf(op, "description"); text == "" || textOf(op, "summary") == "" {
			t.Errorf("%s %s is not described", method, path)
		}
		list, _ := op["parameters"].([]any)
		for _, p := range list {
			parameter, _ := p.(node)
			if ref := refOf(p); ref != "" {
				parameter, _ = child(child(root, "components"), "parameters")[ref[strings.LastIndex(ref, "/")+1:]].(node)
			}
			parameters++
			if textOf(parameter, "description") == "" {
				t.Errorf("%s %s: the parameter %s is not described", method, path, textOf(parameter, "name"))
			}
		}
		below(op["requestBody"])
	})
	fields := 0
	for name := range bodies {
		schema, _ := schemas[name].(node)
		for field, f := range child(schema, "properties") {
			fields++
			if refOf(f) == "" && textOf(f.(node), "description") == "" { //nolint:forcetypeassert // a schema
				t.Errorf("the field %s of %s is not described", field, name)
			}
		}
	}
	if parameters < 1000 || fields < 500 {
		t.Errorf("only %d parameters and %d fields", parameters, fields)
	}
}
