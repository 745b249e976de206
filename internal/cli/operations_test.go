package cli

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// withoutCommand are the operations a person at a command line has no use for.
var withoutCommand = map[string]string{
	"refreshToken":          "the client renews a sign-in by itself",
	"streamEvents":          "opened by Follow, not by a path of its own: event follow",
	"tenantDescendants":     "for programs beside the daemon, with the internal token",
	"orderPaymentCallback":  "for programs beside the daemon, with the internal token",
	"callback":              "called by payment channels, proved by their signature",
	"callback_alipay":       "called by payment channels, proved by their signature",
	"callback_wechat":       "called by payment channels, proved by their signature",
	"ocpp.connect":          "the device port",
	"cloudcharge.heartbeat": "the device port",
	"cloudcharge.status":    "the device port",
	"cloudcharge.start":     "the device port",
	"cloudcharge.meter":     "the device port",
	"cloudcharge.stop":      "the device port",
}

// operation is one of the document.
type operation struct{ id, method, path, template string }

// alias reports whether the operation is another path of one that has a
// command: the forms /page, /list and /api/v1 of the contract.
func (o operation) alias() bool {
	device := strings.HasPrefix(o.id, "cloudcharge.") || strings.HasPrefix(o.id, "ocpp.")
	return !device && strings.Contains(o.id, ".") || strings.HasSuffix(o.id, "Plain") && strings.HasSuffix(o.path, "/list")
}

var (
	documentPath   = regexp.MustCompile(`^  (/\S*):$`)
	documentMethod = regexp.MustCompile(`^    (get|post|put|delete|patch):$`)
	documentID     = regexp.MustCompile(`^      operationId: (\S+)$`)
	parameter      = regexp.MustCompile(`\{[^}]*\}`)
)

// readDocument reads the operations of docs/openapi.yaml, line by line: it is
// printed by the code and always looks the same.
func readDocument(t *testing.T) []operation {
	t.Helper()
	file, err := os.Open("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var all []operation
	var path, template, method string
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		if m := documentPath.FindStringSubmatch(line); m != nil {
			template, path = m[1], parameter.ReplaceAllString(m[1], "%s")
		} else if m := documentMethod.FindStringSubmatch(line); m != nil {
			method = strings.ToUpper(m[1])
		} else if m := documentID.FindStringSubmatch(line); m != nil {
			all = append(all, operation{m[1], method, path, template})
		}
	}
	if len(all) < 200 {
		t.Fatalf("only %d operations were read", len(all))
	}
	return all
}

// sends maps the functions of the client that send to the method they use.
var sends = map[string]string{
	"get": "GET", "page": "GET", "stream": "GET", "post": "POST", "postOnce": "POST", "keyed": "POST", "put": "PUT", "remove": "DELETE", "erase": "DELETE",
}

// readClient maps "METHOD /path" to the client's method, such as Orders.List.
func readClient(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, file := range parseDir(t, "../client") {
		for _, declared := range file.Decls {
			f, is := declared.(*ast.FuncDecl)
			if !is || f.Recv == nil || f.Body == nil {
				continue
			}
			noun, is := f.Recv.List[0].Type.(*ast.Ident)
			if !is {
				continue
			}
			method, path := asks(f.Body)
			if path != "" {
				// what an exported method does by another one counts as its own
				found[method+" "+path] = noun.Name + "." + strings.ToUpper(f.Name.Name[:1]) + f.Name.Name[1:]
			}
		}
	}
	return found
}

// asks finds the method and the path that a function of the client sends.
func asks(body *ast.BlockStmt) (method, path string) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			fun := n.Fun
			if generic, is := fun.(*ast.IndexExpr); is {
				fun = generic.X
			}
			switch fun := fun.(type) {
			case *ast.Ident:
				method = firstOf(sends[fun.Name], method)
			case *ast.SelectorExpr:
				switch fun.Sel.Name {
				case "Post":
					method = "POST"
				case "stream", "open":
					method = "GET"
				}
			}
		case *ast.SelectorExpr:
			if n.Sel.Name == "MethodPost" {
				method = "POST"
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && (strings.HasPrefix(text, "/api/") || strings.HasPrefix(text, "/debug/")) {
				path = text
			}
		}
		return true
	})
	return method, path
}

func parseDir(t *testing.T, dir string) []*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// readCommands is the client's methods that commands use, such as Orders.List.
func readCommands(t *testing.T) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	for _, file := range parseDir(t, ".") {
		ast.Inspect(file, func(n ast.Node) bool {
			if method, is := n.(*ast.SelectorExpr); is {
				if noun, is := method.X.(*ast.SelectorExpr); is {
					used[noun.Sel.Name+"."+method.Sel.Name] = true
				}
			}
			return true
		})
	}
	return used
}

// TestEveryOperationHasACommand reads the document, the client and the
// commands: an operation without a method of the client, a method without a
// command and a path that is not of the document are failures.
func TestEveryOperationHasACommand(t *testing.T) {
	t.Parallel()
	methods, used := readClient(t), readCommands(t)
	unknown := maps.Clone(methods)
	explained := maps.Clone(withoutCommand)
	for _, o := range readDocument(t) {
		key := o.method + " " + o.path
		delete(unknown, key)
		if what, is := strings.CutPrefix(key, "GET /api/export/"); is {
			if _, known := exported[what]; !known {
				t.Errorf("%s (%s) cannot be exported", key, o.id)
			}
			continue
		}
		if _, is := explained[o.id]; is {
			delete(explained, o.id)
			continue
		}
		method, known := methods[key]
		switch {
		case o.alias():
		case !known:
			t.Errorf("%s (%s) has no method of the client", key, o.id)
		case !used[method]:
			t.Errorf("%s (%s) has client.%s, and no command uses it", key, o.id, method)
		}
	}
	delete(unknown, "GET /api/export/%s")
	delete(unknown, "POST /api/auth/refresh")
	for _, key := range slices.Sorted(maps.Keys(unknown)) {
		t.Errorf("client.%s asks for %s, which the document does not have", unknown[key], key)
	}
	for id := range explained {
		t.Errorf("%s is explained and is not in the document", id)
	}
}

// TestDocsOperationsAreListed prints the list that completes `evcsctl api` and
// fails when it is not that of the document; -update writes it.
func TestDocsOperationsAreListed(t *testing.T) {
	t.Parallel()
	var lines []string
	for _, o := range readDocument(t) {
		if !o.alias() && !strings.HasPrefix(o.id, "cloudcharge.") && !strings.HasPrefix(o.id, "ocpp.") {
			lines = append(lines, o.method+" "+o.template+"\n")
		}
	}
	slices.Sort(lines)
	want := strings.Join(lines, "")
	if *update {
		if err := os.WriteFile("operations.txt", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if operationList != want {
		t.Error("operations.txt is not that of the document; run go test ./internal/cli -run Docs -update")
	}
}
