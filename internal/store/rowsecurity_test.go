package store_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// forgetful are statements that forgot their scope.
var forgetful = map[string]string{
	"stations":    `SELECT tenant_id FROM stations`,
	"users":       `SELECT tenant_id FROM users`,
	"a count":     `SELECT tenant_id FROM stations GROUP BY tenant_id`,
	"a join":      `SELECT s.tenant_id FROM stations s JOIN tenants t ON t.id = s.tenant_id`,
	"the record":  `SELECT target_tenant_id FROM audit`,
	"true anyway": `SELECT tenant_id FROM stations WHERE tenant_id = 1 OR 1 = 1`,
}

// A statement that lost its scope shows nothing of a stranger, because the
// database itself knows whose request it is.
func TestRowSecurityStandsBehindTheScope(t *testing.T) {
	t.Parallel()
	if storetest.Server(t) == "" {
		return // row security is PostgreSQL's
	}
	db := storetest.Postgres(t)
	ctx := t.Context()
	plant(t, db)
	left, right := mustSprout(t, db, 1, "left", tenant.Limits{}), mustSprout(t, db, 1, "right", tenant.Limits{})
	below := mustSprout(t, db, left, "below", tenant.Limits{})
	for _, owner := range []evcs.TenantID{1, left, right, below} {
		meddle(t, db, `INSERT INTO stations (tenant_id, code, name, address, status, type, facilities, created_at, updated_at, created_by, updated_by, deleted_at, version)
			VALUES (%d, 'S', 'S', '', 1, 1, '[]', 0, 0, 0, 0, 0, 1)`, owner)
		meddle(t, db, `INSERT INTO users (tenant_id, username, username_key, identifier, identifier_key, password_hash, real_name, phone, email, gender, avatar, status,
			must_change, last_login_at, last_login_ip, permission_version, created_at, updated_at, created_by, deleted_at, version)
			SELECT %d, 'u', 'u', 'u%d', 'u%d', '', '', '', '', 2, '', 1, false, 0, '', 1, 0, 0, 0, 0, 1`, owner, owner, owner)
		if err := db.Transact(ctx, func(tx *store.Tx) error {
			return tenant.Audit(ctx, tx.Tenants(), &evcs.Actor{Tenant: owner}, tenant.AuditRow{At: day, Action: tenant.UpdateTenant, Target: owner, Success: true})
		}); err != nil {
			t.Fatal(err)
		}
	}
	seen := func(ctx context.Context, query string) string {
		t.Helper()
		var b strings.Builder
		known := make(map[evcs.TenantID]bool)
		if err := store.Look(ctx, db, query, func(rows *sql.Rows) error {
			var owner evcs.TenantID
			err := rows.Scan(&owner)
			known[owner] = true
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for name, id := range map[string]evcs.TenantID{"1": 1, "2left": left, "3right": right, "4below": below} {
			if known[id] {
				b.WriteString(name)
			}
		}
		return sorted(b.String())
	}
	for who, c := range map[string]struct {
		actor *evcs.Actor
		want  string
	}{
		"the daemon itself": {nil, "1 2left 3right 4below"},
		"the platform":      {&evcs.Actor{Tenant: 1}, "1 2left 3right 4below"},
		"left":              {&evcs.Actor{Tenant: left}, "2left 4below"},
		"right":             {&evcs.Actor{Tenant: right}, "3right"},
		"below":             {&evcs.Actor{Tenant: below}, "4below"},
		"nobody's tenant":   {&evcs.Actor{Tenant: 999}, ""},
	} {
		mine := evcs.WithActor(ctx, c.actor)
		for name, query := range forgetful {
			if got := seen(mine, query); got != sorted(strings.ReplaceAll(c.want, " ", "")) {
				t.Errorf("%s sees in %s: %s, want %s", who, name, got, c.want)
			}
		}
	}
	// Nor does a write that forgot it reach a stranger's rows.
	mine := evcs.WithActor(ctx, &evcs.Actor{Tenant: right})
	if err := store.Meddle(mine, db, `UPDATE stations SET name = 'mine now'`); err != nil {
		t.Fatal(err)
	}
	renamed := seen(ctx, `SELECT tenant_id FROM stations WHERE name = 'mine now'`)
	if renamed != "3right" {
		t.Errorf("a forgetful update of right's reached %s", renamed)
	}
	if err := store.Meddle(mine, db, `UPDATE users SET tenant_id = 1`); err == nil {
		t.Error("a row was given to a stranger")
	}
}

func sorted(names string) string {
	var b strings.Builder
	for _, name := range []string{"1", "2left", "3right", "4below"} {
		if strings.Contains(names, name) {
			b.WriteString(name)
		}
	}
	return b.String()
}
