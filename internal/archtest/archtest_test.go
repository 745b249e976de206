// Package archtest holds the one test that keeps the packages in their order.
package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/evcs/evcs/"

// step is one step of the order. A package may import any package of an
// earlier step. On its own step it may import those to its left, or, among
// strangers, none.
type step struct {
	strangers bool
	names     string
}

const nouns = "tenant auth station tariff order ledger payment recon command report health alarm webhook"

// order lists every package from the ground up, without "internal/". Adding a
// package means deciding where it stands.
var order = []step{
	{strangers: true, names: "evcs api migrations judge help"},
	{strangers: true, names: "span bill"},
	{names: nouns},
	{names: "event device ocppj outbound"},
	{names: "charging cashier closing"},
	{strangers: true, names: "store jobs ocpp16 ocpp201 ykc cloudcharge alipay wechatpay sandboxpay notify logstore host otlp httpapi config"},
	{names: "daemon"},
	{names: "client tui cli"},
	{names: "chargersim/journal chargersim/wire paygate"},
	{strangers: true, names: "chargersim/ocpp16 chargersim/cloud"},
	{names: "chargersim chargersim/simulate"},
	{strangers: true, names: "store/storetest archtest"},
	{names: "evcstest"},
	{strangers: true, names: "contracttest"},
	{strangers: true, names: "cmd/evcsd cmd/evcsctl"},
	{names: "bench/ref bench/probe bench/seed bench/load bench/recon bench/torture scripts/demo bench"},
}

// only narrows the order: the whole of what a package may import of ours.
var only = map[string]string{
	"device": "evcs", "event": "evcs", "ocppj": "evcs device",
	"ocpp16": "evcs device ocppj", "ocpp201": "evcs device ocppj", "ykc": "evcs device", "cloudcharge": "evcs device",
	"outbound": "evcs", "alipay": "evcs bill payment outbound", "wechatpay": "evcs bill payment outbound", "sandboxpay": "evcs bill payment",
	"notify": "evcs alarm event webhook outbound",
	"span":   "evcs", "bill": "evcs", "otlp": "",
	"host": "evcs health", "logstore": "evcs health",
	"paygate": "evcs", "client": "api", "tui": "api client", "cli": "api client tui help",
	"chargersim/journal": "", "chargersim/wire": "chargersim/journal", "chargersim/ocpp16": "evcs chargersim/journal chargersim/wire",
	"chargersim/cloud": "evcs chargersim/journal chargersim/wire",
	"chargersim":       "evcs chargersim/journal chargersim/wire chargersim/ocpp16 chargersim/cloud", "chargersim/simulate": "evcs chargersim chargersim/journal",
	"cmd/evcsd": "daemon", "cmd/evcsctl": "cli chargersim/simulate paygate",
}

// knownTo narrows it from the other end: the only packages that may import one.
var knownTo = map[string]string{
	"api":        "httpapi client tui cli evcstest bench/load bench/torture scripts/demo",
	"migrations": "store store/storetest",
	"evcstest":   "bench/torture contracttest",
	"judge":      "evcstest contracttest",
	"help":       "cli daemon",
}

// never is what the order would allow and the design does not.
var never = map[string]string{
	"store": "device ocppj charging cashier closing",
}

// unlinked is what a program must not contain, even through others.
var unlinked = map[string]string{
	"cmd/evcsctl": "modernc.org/sqlite github.com/jackc/pgx/v5/stdlib store daemon " + nouns,
	"cmd/evcsd":   "github.com/charmbracelet/bubbletea client chargersim evcstest",
}

type place struct{ step, column int }

func TestOrder(t *testing.T) {
	t.Parallel()
	imports := readImports(t, os.DirFS("../.."))
	at := make(map[string]place)
	for i, s := range order {
		for j, name := range strings.Fields(s.names) {
			at[name] = place{i, j}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		from, placed := at[name]
		if !placed {
			t.Errorf("%s has no place in the order", name)
			continue
		}
		for _, dep := range imports[name] {
			if fault := judge(name, dep, from, at); fault != "" {
				t.Errorf("%s imports %s%s", name, dep, fault)
			}
		}
		linked := closure(imports, name)
		for bad := range strings.FieldsSeq(unlinked[name]) {
			if linked[bad] {
				t.Errorf("%s links %s", name, bad)
			}
		}
	}
}

// judge says what is wrong with one import, or "".
func judge(name, dep string, from place, at map[string]place) string {
	to, ours := at[dep]
	narrow, narrowed := only[name]
	known, kept := knownTo[dep]
	switch {
	case !ours:
		if name == "api" && strings.Contains(dep, ".") {
			return "; it is to need the standard library only"
		}
	case to.step > from.step, to.step == from.step && to.column > from.column:
		return ", which stands above it"
	case to.step == from.step && order[from.step].strangers:
		return "; they are to be strangers"
	case narrowed && !in(narrow, dep), kept && !in(known, name), in(never[name], dep):
		return ", which it is not to know"
	}
	return ""
}

func in(names, name string) bool { return slices.Contains(strings.Fields(names), name) }

// closure returns everything name imports, directly or through this module.
func closure(imports map[string][]string, name string) map[string]bool {
	seen := make(map[string]bool)
	for todo := []string{name}; len(todo) > 0; todo = todo[1:] {
		for _, dep := range imports[todo[0]] {
			if !seen[dep] {
				seen[dep] = true
				todo = append(todo, dep)
			}
		}
	}
	return seen
}

// readImports reads the non-test imports of every package under root. It reads
// the files itself, not through the go command, so that the test cache sees
// them change.
func readImports(t *testing.T, root fs.FS) map[string][]string {
	t.Helper()
	imports := make(map[string][]string)
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != "." && (d.Name()[0] == '.' || slices.Contains([]string{"testdata", "vendor", "node_modules", "dist", "bin"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		return readFile(root, file, imports)
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}

func readFile(root fs.FS, file string, imports map[string][]string) error {
	src, err := fs.ReadFile(root, file)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
	if err != nil {
		return err
	}
	name := short(path.Dir(file))
	imports[name] = append(imports[name], []string{}...) // a package without imports still has a place
	for _, spec := range f.Imports {
		dep, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		imports[name] = append(imports[name], short(strings.TrimPrefix(dep, module)))
	}
	return nil
}

// short drops the prefix that all but a few of our packages share.
func short(name string) string { return strings.TrimPrefix(name, "internal/") }
