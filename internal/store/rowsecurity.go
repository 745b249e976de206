package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/evcs/evcs/internal/evcs"
)

// Row security is a second wall on PostgreSQL behind the scope that every
// statement names: while somebody's request is served, the database itself
// shows no row of a tenant outside his subtree, whatever a statement forgot.
// What the daemon does by itself (devices, jobs, sign-ins, callbacks) sees all.
const (
	// rowRole is the role that the policies bind: owners are exempt from them.
	rowRole = "evcs_rows"
	// scopeName is the setting of a connection that the policies read: a tenant's
	// id, or * for everything. Without it nothing is seen.
	scopeName = "evcs.scope"
	everybody = "*"
)

// scopeOf is the setting for what a context is about.
func scopeOf(ctx context.Context) string {
	if a := evcs.ActorFrom(ctx); a != nil && a.Tenant != 0 {
		return strconv.FormatInt(int64(a.Tenant), 10)
	}
	return everybody
}

// openWalled opens a pool whose connections act as rowRole and are given the
// scope of whoever takes them. It makes the role when it may.
func openWalled(ctx context.Context, url string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open PostgreSQL: %w", err)
	}
	owner := stdlib.OpenDB(*config)
	err = errors.Join(makeRole(ctx, owner), owner.Close())
	if err != nil {
		return nil, err
	}
	set := func(ctx context.Context, c *pgx.Conn) error {
		want := scopeOf(ctx)
		if data := c.PgConn().CustomData(); data[scopeName] != want {
			if _, err := c.Exec(ctx, `SELECT set_config('`+scopeName+`', $1, false)`, want); err != nil {
				return fmt.Errorf("set the scope of a connection: %w", err)
			}
			data[scopeName] = want
		}
		return nil
	}
	return stdlib.OpenDB(*config,
		stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
			if _, err := c.Exec(ctx, `SET ROLE `+rowRole); err != nil {
				return fmt.Errorf("act as %s: %w", rowRole, err)
			}
			return set(ctx, c)
		}),
		stdlib.OptionResetSession(set)), nil
}

// makeRole sees to it that rowRole is there, is bound by policies, and may be
// taken by the user of the database URL.
func makeRole(ctx context.Context, owner *sql.DB) error {
	var bound, member bool
	read := func() error {
		return owner.QueryRowContext(ctx, `SELECT NOT (rolsuper OR rolbypassrls), pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = $1`,
			rowRole).Scan(&bound, &member)
	}
	err := read()
	if errors.Is(err, sql.ErrNoRows) {
		// Another node may be first: then it is there when it is looked for again.
		_, made := owner.ExecContext(ctx, `CREATE ROLE `+rowRole+` NOLOGIN`)
		if err = read(); errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("row security needs the role %s; make it as a superuser: CREATE ROLE %s NOLOGIN; GRANT %s TO the user of database.url: %w",
				rowRole, rowRole, rowRole, made)
		}
	}
	if err != nil {
		return fmt.Errorf("look for the role %s: %w", rowRole, err)
	}
	if !bound {
		return fmt.Errorf("the role %s is exempt from row security: it must be neither superuser nor BYPASSRLS", rowRole)
	}
	if !member {
		if _, err := owner.ExecContext(ctx, `GRANT `+rowRole+` TO CURRENT_USER`); err != nil {
			return fmt.Errorf("row security needs GRANT %s TO the user of database.url: %w", rowRole, err)
		}
	}
	return nil
}

// subtree is the condition that a column holds a tenant of the scope. Each
// subselect is run once a statement, not once a row.
func subtree(column string) string {
	return `(SELECT current_setting('` + scopeName + `', true)) = '*' OR ` + column + ` IN (SELECT a.tenant_id FROM tenant_ancestors a
		WHERE a.ancestor_id = (SELECT CASE WHEN current_setting('` + scopeName + `', true) ~ '^[0-9]+$' THEN CAST(current_setting('` + scopeName + `', true) AS BIGINT) END))`
}

// wall lays the policies on every table with tenants' data and gives rowRole
// what it needs. It runs as the owner after the migrations; again changes
// nothing but what is new.
func wall(ctx context.Context, owner *sql.DB) error {
	tx, err := owner.BeginTx(ctx, nil)
	if err != nil {
		return unavailable("begin", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to undo
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext('evcs row security'))`); err != nil {
		return translate("lock row security", err)
	}
	tables, err := walled(ctx, tx)
	if err != nil {
		return err
	}
	for table, using := range tables {
		check := using
		if table == "tenants" {
			check = `true` // a new one is not in the tree yet
		}
		if _, err := tx.ExecContext(ctx, `ALTER TABLE `+table+` ENABLE ROW LEVEL SECURITY; DROP POLICY IF EXISTS evcs_scope ON `+table+`;
			CREATE POLICY evcs_scope ON `+table+` TO `+rowRole+` USING (`+using+`) WITH CHECK (`+check+`)`); err != nil {
			return translate("lay a policy on "+table, err)
		}
	}
	if _, err := tx.ExecContext(ctx, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO `+rowRole+`;
		GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO `+rowRole); err != nil {
		return translate("grant to "+rowRole, err)
	}
	return translate("commit row security", tx.Commit())
}

// walled are the tables with tenants' data and who may see a row of each.
// Tenant 0 is the installation: built-in roles, what concerns the machine.
func walled(ctx context.Context, tx *sql.Tx) (map[string]string, error) {
	rows, err := tx.QueryContext(ctx, `SELECT c.table_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
		WHERE c.table_schema = 'public' AND c.column_name = 'tenant_id' AND t.table_type = 'BASE TABLE' AND c.table_name <> 'tenant_ancestors'`)
	if err != nil {
		return nil, translate("list tables", err)
	}
	defer rows.Close() // rows.Err is what counts
	tables := map[string]string{
		"audit": subtree("operator_tenant_id") + ` OR ` + subtree("target_tenant_id"),
		// The ancestors decide about status, settings and quotas.
		"tenants": subtree("id") + ` OR id IN (SELECT b.ancestor_id FROM tenant_ancestors b WHERE CAST(b.tenant_id AS TEXT) = (SELECT current_setting('` + scopeName + `', true)))`,
	}
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return nil, translate("list tables", err)
		}
		tables[table] = `tenant_id = 0 OR ` + subtree("tenant_id")
	}
	return tables, translate("list tables", rows.Err())
}

// everywhere runs f with all tenants in view, for the three things that are not a
// matter of one subtree: what counts against the quota of an ancestor, names
// that are unique in the installation, and the places of the stream of events.
func (q querier) everywhere(ctx context.Context, f func(context.Context) error) error {
	wide := evcs.WithActor(ctx, nil) // a pooled connection is taken with this
	if !q.wall {
		return f(wide)
	}
	set := func(scope string) error {
		return q.each(ctx, "set the scope", func(*sql.Rows) error { return nil }, `SELECT set_config('`+scopeName+`', ?, true)`, scope)
	}
	if err := set(everybody); err != nil {
		return err
	}
	return errors.Join(f(wide), set(scopeOf(ctx)))
}
