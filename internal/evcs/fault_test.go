package evcs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryFaultIsInChinese reads the sources: what is said about a field
// anywhere is in the catalogue.
func TestEveryFaultIsInChinese(t *testing.T) {
	t.Parallel()
	found := 0
	eachSource(t, func(file string, parsed *ast.File) {
		ast.Inspect(parsed, func(n ast.Node) bool {
			if said := said(n); said != "" {
				found++
				if said == "is 5" {
					return true // a sentence of package api, which is in the catalogue with these words
				}
				if _, ok := (FieldFault{Message: said}).Chinese(); !ok {
					t.Errorf("%s: %q is not in faults.tsv", file, said)
				}
			}
			return true
		})
	})
	if found < 100 {
		t.Errorf("only %d texts were found", found)
	}
}

// eachSource hands every source of the platform to fn: not the programs beside it
// and what has words of its own, each named in not.
func eachSource(t *testing.T, fn func(file string, parsed *ast.File), not ...string) {
	t.Helper()
	not = append(not, "chargersim", "cli", "tui", "client", "api", "config")
	root := os.DirFS("..")
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains(not, file):
			return fs.SkipDir
		case d.IsDir() || path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		text, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, 0)
		if err == nil {
			fn(file, parsed)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// said is the text about a field that a node holds, 5 for what varies.
func said(n ast.Node) string {
	switch n := n.(type) {
	case *ast.CompositeLit:
		name, ok := n.Type.(*ast.SelectorExpr)
		if !ok || name.Sel.Name != "FieldFault" {
			return ""
		}
		for _, e := range n.Elts {
			if pair, ok := e.(*ast.KeyValueExpr); ok && pair.Key.(*ast.Ident).Name == "Message" {
				return words(pair.Value)
			}
		}
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		if len(n.Args) > 0 && slices.Contains([]string{"addFault", "fault", "badFile", "uploadFault"}, name) {
			return words(n.Args[len(n.Args)-1])
		}
	}
	return ""
}

var verb = regexp.MustCompile(`%[a-z]`)

func words(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err == nil {
			return text
		}
	case *ast.BinaryExpr:
		left, right := words(e.X), words(e.Y)
		if left == "" {
			return ""
		}
		if right == "" {
			right = "5"
		}
		return left + right
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" {
			return verb.ReplaceAllString(words(e.Args[0]), "5")
		}
	}
	return ""
}

func TestFaultsInChinese(t *testing.T) {
	t.Parallel()
	for en, zh := range map[string]string{
		"is required":                         "必填",
		"must be at least 1":                  "不能小于 1",
		"must be 0.00 to 61.38":               "必须为 0.00 到 61.38",
		"is not a whole number from 0 to 5":   "不是 0 到 5 的整数",
		"12:15 is covered twice":              "12:15 被重复覆盖",
		"must have 8 to 64 characters":        "必须为 8 到 64 个字符",
		"something that nobody ever has said": "",
	} {
		got, ok := FieldFault{"f", en}.Chinese()
		if ok != (zh != "") || ok && got.Message != zh || got.Field != "f" {
			t.Errorf("%s: %+v %v, want %s", en, got, ok, zh)
		}
	}
}
