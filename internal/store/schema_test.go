package store_test

import (
	"database/sql"
	"fmt"
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

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/store/storetest"
)

// column is what both engines must agree on.
type column struct {
	Null  bool
	Class string // number, text, bytes, bool
}

// Both catalogs, reduced to tables, columns and indexes, are the same.
func TestBothEnginesHaveTheSameSchema(t *testing.T) {
	t.Parallel()
	if storetest.Server(t) == "" {
		return // the comparison is made where PostgreSQL is required
	}
	lite, pg := readSQLite(t), readPostgres(t)
	if diff := cmp.Diff(lite, pg); diff != "" {
		t.Errorf("SQLite (-) and PostgreSQL (+) differ:\n%s", diff)
	}
	if len(lite) < 300 {
		t.Errorf("only %d columns and indexes were compared", len(lite))
	}
}

func class(typ string) string {
	switch {
	case strings.Contains(typ, "INT"), strings.Contains(typ, "int"):
		return "number"
	case strings.EqualFold(typ, "boolean"):
		return "bool"
	case strings.EqualFold(typ, "bytea"):
		return "bytes"
	}
	return strings.ToLower(typ)
}

func readSQLite(t *testing.T) map[string]column {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+strings.TrimPrefix(storetest.SQLiteURL(t), "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	catalog := make(map[string]column)
	query(t, db, `SELECT m.name, c.name, c.type, c."notnull" FROM sqlite_master m, pragma_table_info(m.name) c
		WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'goose_%'`, func(rows *sql.Rows) error {
		var table, name, typ string
		var notNull bool
		err := rows.Scan(&table, &name, &typ, &notNull)
		// a rowid key is never NULL although SQLite does not say so
		catalog[table+"."+name] = column{Null: !notNull && name != "id", Class: class(typ)}
		return err
	})
	query(t, db, `SELECT tbl_name, name FROM sqlite_master WHERE type = 'index' AND name NOT LIKE 'sqlite_%' AND tbl_name NOT LIKE 'goose_%'`,
		func(rows *sql.Rows) error {
			var table, name string
			err := rows.Scan(&table, &name)
			catalog["index "+table+"."+name] = column{}
			return err
		})
	return catalog
}

func readPostgres(t *testing.T) map[string]column {
	t.Helper()
	db, err := sql.Open("pgx", storetest.PostgresURL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	catalog := make(map[string]column)
	query(t, db, `SELECT table_name, column_name, data_type, is_nullable = 'YES' FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name NOT LIKE 'goose_%'`, func(rows *sql.Rows) error {
		var table, name, typ string
		var null bool
		err := rows.Scan(&table, &name, &typ, &null)
		catalog[table+"."+name] = column{Null: null, Class: class(typ)}
		return err
	})
	query(t, db, `SELECT tablename, indexname FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE 'goose_%' AND indexname NOT LIKE '%_pkey'`,
		func(rows *sql.Rows) error {
			var table, name string
			err := rows.Scan(&table, &name)
			catalog["index "+table+"."+name] = column{}
			return err
		})
	return catalog
}

func query(t *testing.T, db *sql.DB, text string, scan func(*sql.Rows) error) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// withoutTenant names the functions whose SQL reaches tenant data without
// saying whose, each with the reason why it may.
var withoutTenant = map[string]string{
	"EventsAfter":   "the relay's view; who may see an event is decided by the reader of the stream",
	"EventBounds":   "places only",
	"OutboxAge":     "an age only",
	"Sequence":      "gives places, shows nothing",
	"PruneEvents":   "retention",
	"PruneReplies":  "retention",
	"Frames":        "retention",
	"Curves":        "retention",
	"PruneMessages": "retention",
	"SettlementDue": "an age only",
	"GaugeCounts":   "counts of the whole installation for Prometheus; no tenant's figure can be told from them",
	"Trim":          "retention",
	"Abandon":       "a node takes back at its start what it left unfinished, whosever it was",

	"ChargerByDevice": "a device names itself before its tenant is known; the device port alone asks",
	"everyCommand":    "the daemon's own rounds (deadlines, waiting commands); commands() adds the scope for everybody else",
	"everySession":    "the daemon's own rounds (silent sessions, recovery at boot); sessions() adds the scope for everybody else",
	"payments":        "the where its callers bring names the tenant (moneyWithin); due work is every tenant's",
	"refunds":         "the where its callers bring names the tenant (moneyWithin); due work is every tenant's",
	"HoldStarts":      "inSubtree names the tenant: it and all below are held",
	"merchants":       "the where its callers bring names the tenant; a callback is found by its secret token before the tenant is known",
	"batches":         "the where its callers bring names the tenant",
	"trades":          "every caller's condition names the tenant; due notifications are every tenant's",
	"rules":           "its callers bring the scope; the evaluation reads every tenant's",
	"Conditions":      "the evaluation of alert rules, one for all tenants",
	"PruneLockouts":   "retention",
	"notices":         "its callers bring the channel or the scope; due notices are every tenant's",
	"ClaimChannel":    "the herald serves every tenant's channels",
	"ReleaseChannel":  "the herald serves every tenant's channels",
	"Standing":        "the herald repeats every tenant's alerts",
	"DueChannels":     "the herald serves every tenant's channels",
	"PruneNotices":    "retention",
	"Behind":          "places only",
	"Unread":          "a lasting reader's view; who may see an event is decided when it is queued and when it is sent",
	"Skip":            "places only",
	"Any":             "the pump serves every tenant's webhooks",
	"Due":             "the pump serves every tenant's webhooks",
	"Claim":           "the pump serves every tenant's webhooks",
	"Release":         "the pump serves every tenant's webhooks",
	"Head":            "the pump serves every tenant's webhooks",
	"PruneDeliveries": "retention",
	"shownStations":   "owners.narrow adds the scope",
	"shownChargers":   "owners.narrow adds the scope",
	"nameStations":    "names stations that a scoped query found just before",
	"countOrders":     "view.raw and view.days add the scope",
	"rawMoney":        "view.raw adds the scope",
	"rawSessions":     "view.raw adds the scope",
	"sealedText":      "sealing anew is of the whole installation, done from the shell",
	"rank":            "view.raw and view.rolled add the scope",
	"occupied":        "view.raw and view.rolled add the scope",
}

var tableName = regexp.MustCompile(`(?i)\b(?:FROM|JOIN|UPDATE|INTO)\s+([a-z_]+)`)

// No statement on a table with tenant data forgets the tenant.
func TestEveryStatementSaysWhoseRows(t *testing.T) {
	t.Parallel()
	tenantTables := make(map[string]bool)
	for name := range readSQLite(t) {
		if table, found := strings.CutSuffix(name, ".tenant_id"); found {
			tenantTables[table] = true
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	statements, used := 0, make(map[string]bool)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		statements += judgeFile(t, file, tenantTables, used)
	}
	if statements < 10 {
		t.Errorf("only %d statements were found", statements)
	}
	for _, name := range slices.Sorted(maps.Keys(withoutTenant)) {
		if !used[name] && os.Getenv("EVCS_STRICT_GUARDS") == "1" {
			t.Errorf("%s needs no exception any more", name)
		}
	}
}

// judgeFile looks at every function's SQL and returns how many there were. A
// text may come in pieces: what counts is that the function names the tenant.
func judgeFile(t *testing.T, file string, tenantTables, used map[string]bool) int {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, decl := range parsed.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		var tables []string
		names := false
		ast.Inspect(fn, func(node ast.Node) bool {
			switch x := node.(type) {
			case *ast.BasicLit:
				if x.Kind == token.STRING {
					text, err := strconv.Unquote(x.Value)
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range tableName.FindAllStringSubmatch(text, -1) {
						if tenantTables[m[1]] {
							tables = append(tables, m[1])
						}
					}
					names = names || strings.Contains(text, "tenant_id")
				}
			case *ast.Ident:
				names = names || strings.HasPrefix(strings.ToLower(x.Name), "scope")
			}
			return true
		})
		if len(tables) == 0 {
			continue
		}
		n++
		if _, excepted := withoutTenant[fn.Name.Name]; excepted {
			used[fn.Name.Name] = true
			continue
		}
		if !names {
			t.Errorf("%s: %s reaches %s without naming a tenant", file, fn.Name.Name, fmt.Sprint(tables))
		}
	}
	return n
}
