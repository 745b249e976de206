package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
)

// Auth keeps users, roles, sign-ins, API keys and second factors. It implements auth.Store.
type Auth struct {
	Users
	Roles
	SignIns
	APIKeys
	Factors
}

// Auth is what this transaction sees and changes of users, sign-ins and keys.
func (tx *Tx) Auth() auth.Store { return authOf(tx.q) }

// Auth is the committed state of users, sign-ins and keys.
func (r Reader) Auth() Auth { return authOf(r.q) }

func authOf(q querier) Auth { return Auth{Users{q}, Roles{q}, SignIns{q}, APIKeys{q}, Factors{q}} }

// Users keeps users.
type Users struct{ q querier }

const userColumns = `u.id, u.tenant_id, u.username, u.identifier, u.password_hash, u.real_name, u.phone, u.email, u.gender, u.avatar,
	u.status, u.must_change, u.last_login_at, u.last_login_ip, u.permission_version, u.created_at, u.updated_at, u.created_by, u.version`

func scanUser(r row) (auth.User, error) {
	var u auth.User
	var status int
	var lastLogin, created, updated int64
	err := r.Scan(&u.ID, &u.Tenant, &u.Username, &u.Identifier, &u.PasswordHash, &u.RealName, &u.Phone, &u.Email, &u.Gender, &u.Avatar,
		&status, &u.MustChange, &lastLogin, &u.LastLoginIP, &u.PermissionVersion, &created, &updated, &u.CreatedBy, &u.Version)
	u.Enabled = status == 1
	u.LastLogin, u.Created, u.Updated = evcs.FromMillis(lastLogin), evcs.FromMillis(created), evcs.FromMillis(updated)
	return u, err
}

// one is the only live user that f leaves, with his roles; nil when none.
func (s Users) one(ctx context.Context, f filter) (*auth.User, error) {
	f.add("u.deleted_at = 0")
	list, err := all(ctx, s.q, userListing, f)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	if err := s.addRoles(ctx, list[:1]); err != nil {
		return nil, err
	}
	return &list[0], nil
}

var userListing = listing[auth.User]{
	what: "list users", columns: userColumns, from: "users u", id: "u.id",
	sorts: map[string]sortColumn{
		"userId": {expr: "u.id"}, "username": {expr: "u.username", text: true},
		"createTime": {expr: "u.created_at"}, "lastLoginTime": {expr: "u.last_login_at"},
	},
	scan: scanUser,
}

// addRoles reads the roles of the users.
func (s Users) addRoles(ctx context.Context, users []auth.User) error {
	for part := range slices.Chunk(users, 500) {
		at := make(map[evcs.UserID]int, len(part))
		ids := make([]any, len(part))
		for i := range part {
			at[part[i].ID], ids[i] = i, part[i].ID
		}
		err := s.q.rows(ctx, "read roles of users", func(rows row) error {
			var user evcs.UserID
			role, err := scanRole(rows, &user)
			if i, ok := at[user]; ok && err == nil {
				part[i].Roles = append(part[i].Roles, role)
			}
			return err
		}, `SELECT `+roleColumns+`, ur.user_id FROM user_roles ur JOIN roles r ON r.id = ur.role_id
			JOIN users u ON u.id = ur.user_id AND u.tenant_id = ur.tenant_id
			WHERE ur.user_id IN (`+binds(len(ids))+`) AND r.deleted_at = 0 ORDER BY ur.user_id, r.id`, ids...)
		if err != nil {
			return err
		}
	}
	return nil
}

// User implements auth.People.
func (s Users) User(ctx context.Context, scope evcs.Scope, id evcs.UserID) (*auth.User, error) {
	var f filter
	f.scope("u.tenant_id", scope)
	f.add("u.id = ?", id)
	u, err := s.one(ctx, f)
	if err == nil && u == nil {
		err = evcs.With(auth.ErrUserNotFound, map[string]any{"userId": id})
	}
	return u, err
}

// Find implements auth.People. It looks over all tenants by design: whoever
// signs in is not yet known. The stored identifier wins over username@tenant.
func (s Users) Find(ctx context.Context, identifier string) (*auth.User, error) {
	key := strings.ToLower(identifier)
	var f filter
	f.add("u.identifier_key = ?", key)
	u, err := s.one(ctx, f)
	at := strings.LastIndexByte(key, '@')
	if u != nil || err != nil || at < 0 {
		return u, err
	}
	name, where := key[:at], key[at+1:]
	var byTenant filter
	byTenant.add("u.username_key = ?", name)
	var id int64
	if n, err := fmt.Sscanf(where, "tenant%d", &id); n == 1 && err == nil && where == fmt.Sprintf("tenant%d", id) {
		byTenant.add("u.tenant_id = ?", id)
	} else {
		byTenant.add("u.tenant_id = (SELECT id FROM tenants WHERE LOWER(code) = ? AND deleted_at = 0)", where)
	}
	return s.one(ctx, byTenant)
}

// Taken implements auth.People.
func (s Users) Taken(ctx context.Context, u *auth.User) (string, error) {
	var field string
	err := s.q.everywhere(ctx, func(ctx context.Context) error {
		return s.q.one(ctx, "look for taken names", nil, []any{&field}, `
		SELECT CASE WHEN identifier_key = ? THEN 'identifier' ELSE 'username' END FROM users
		WHERE deleted_at = 0 AND id <> ? AND (identifier_key = ? OR tenant_id = ? AND username_key = ?) ORDER BY 1 LIMIT 1`,
			strings.ToLower(u.Identifier), u.ID, strings.ToLower(u.Identifier), u.Tenant, strings.ToLower(u.Username))
	})
	return field, err
}

// userValues are the columns that creation and change have in common.
func userValues(u *auth.User) (columns []string, args []any) {
	columns = []string{
		"identifier", "identifier_key", "password_hash", "real_name", "phone", "email", "gender", "avatar", "status", "must_change",
		"permission_version", "updated_at",
	}
	args = []any{
		u.Identifier, strings.ToLower(u.Identifier), u.PasswordHash, u.RealName, u.Phone, u.Email, u.Gender, u.Avatar, flag(u.Enabled), u.MustChange,
		u.PermissionVersion, evcs.Millis(u.Updated),
	}
	return columns, args
}

// InsertUser implements auth.People.
func (s Users) InsertUser(ctx context.Context, u *auth.User) error {
	columns, args := userValues(u)
	columns = append(columns, "tenant_id", "username", "username_key", "created_at", "created_by", "last_login_at", "last_login_ip", "deleted_at", "version")
	args = append(args, u.Tenant, u.Username, strings.ToLower(u.Username), evcs.Millis(u.Created), u.CreatedBy, 0, "", 0, 1)
	id, err := s.q.insertID(ctx, "insert user", `INSERT INTO users (`+strings.Join(columns, ", ")+`) VALUES (`+binds(len(columns))+`) RETURNING id`, args...)
	if err != nil {
		return err
	}
	u.ID, u.Version = evcs.UserID(id), 1
	return s.setRoles(ctx, u)
}

// UpdateUser implements auth.People.
func (s Users) UpdateUser(ctx context.Context, u *auth.User) error {
	columns, args := userValues(u)
	err := s.q.swap(ctx, "update user", `UPDATE users SET `+strings.Join(columns, " = ?, ")+` = ?, version = version + 1
		WHERE id = ? AND tenant_id = ? AND version = ? AND deleted_at = 0`, append(args, u.ID, u.Tenant, u.Version)...)
	if err != nil {
		return err
	}
	u.Version++
	return s.setRoles(ctx, u)
}

func (s Users) setRoles(ctx context.Context, u *auth.User) error {
	args := []any{u.ID, u.Tenant}
	keep := ""
	if len(u.Roles) > 0 {
		keep = ` AND role_id NOT IN (` + binds(len(u.Roles)) + `)`
		for i := range u.Roles {
			args = append(args, u.Roles[i].ID)
		}
	}
	if _, err := s.q.exec(ctx, "take roles", `DELETE FROM user_roles WHERE user_id = ? AND tenant_id = ?`+keep, args...); err != nil {
		return err
	}
	for i := range u.Roles {
		if _, err := s.q.exec(ctx, "give role", `
			INSERT INTO user_roles (user_id, role_id, tenant_id) VALUES (?, ?, ?) ON CONFLICT (user_id, role_id) DO NOTHING`,
			u.ID, u.Roles[i].ID, u.Tenant); err != nil {
			return err
		}
	}
	return nil
}

// NoteSignIn implements auth.People.
func (s Users) NoteSignIn(ctx context.Context, u *auth.User, at time.Time, address string) error {
	_, err := s.q.exec(ctx, "note sign-in", `UPDATE users SET last_login_at = ?, last_login_ip = ? WHERE id = ? AND tenant_id = ?`,
		evcs.Millis(at), address, u.ID, u.Tenant)
	return err
}

// DeleteUser implements auth.People. His keys go with him.
func (s Users) DeleteUser(ctx context.Context, u *auth.User, at time.Time) error {
	ms := evcs.Millis(at)
	if err := s.q.swap(ctx, "delete user", `UPDATE users SET deleted_at = ?, updated_at = ?, version = version + 1
		WHERE id = ? AND tenant_id = ? AND version = ? AND deleted_at = 0`, ms, ms, u.ID, u.Tenant, u.Version); err != nil {
		return err
	}
	if _, err := s.q.exec(ctx, "delete second factor of user", `DELETE FROM totp WHERE user_id = ? AND tenant_id = ?`, u.ID, u.Tenant); err != nil {
		return err
	}
	_, err := s.q.exec(ctx, "delete keys of user",
		`UPDATE api_keys SET deleted_at = ?, version = version + 1 WHERE user_id = ? AND deleted_at = 0 AND tenant_id = ?`, ms, u.ID, u.Tenant)
	return err
}

// Admins implements auth.People.
func (s Users) Admins(ctx context.Context, t evcs.TenantID) (int, error) {
	var n int
	err := s.q.one(ctx, "count admins", sql.ErrNoRows, []any{&n}, `
		SELECT COUNT(*) FROM users u JOIN user_roles ur ON ur.user_id = u.id AND ur.role_id = ?
		WHERE u.tenant_id = ? AND u.status = 1 AND u.deleted_at = 0`, auth.RoleAdmin, t)
	return n, err
}

// UserPage lists the users of scope that are wanted.
func (s Users) UserPage(ctx context.Context, scope evcs.Scope, want auth.WantedUsers, r evcs.PageRequest) (evcs.Page[auth.User], error) {
	var f filter
	f.scope("u.tenant_id", scope)
	f.add("u.deleted_at = 0")
	f.contains(want.Username, "u.username")
	f.contains(want.Identifier, "u.identifier")
	f.contains(want.RealName, "u.real_name")
	if want.Enabled != nil {
		f.add("u.status = ?", flag(*want.Enabled))
	}
	if len(want.Roles) > 0 {
		args := make([]any, len(want.Roles))
		for i, code := range want.Roles {
			args[i] = code
		}
		f.add(`EXISTS (SELECT 1 FROM user_roles ur JOIN roles r ON r.id = ur.role_id
			WHERE ur.user_id = u.id AND r.deleted_at = 0 AND r.code IN (`+binds(len(args))+`))`, args...)
	}
	result, err := page(ctx, s.q, userListing, f, r)
	if err == nil {
		err = s.addRoles(ctx, result.Records)
	}
	return result, err
}

// Locks tells until when the accounts are locked, for those that are at now.
func (s Users) Locks(ctx context.Context, users []auth.User, now time.Time) (map[evcs.UserID]time.Time, error) {
	locks := make(map[evcs.UserID]time.Time)
	for part := range slices.Chunk(users, 500) {
		byKey := make(map[string]evcs.UserID, len(part))
		args := []any{evcs.Millis(now)}
		for i := range part {
			key := auth.AccountKey(part[i].ID)
			byKey[key] = part[i].ID
			args = append(args, key)
		}
		err := s.q.rows(ctx, "read locks", func(rows row) error {
			var key string
			var until int64
			err := rows.Scan(&key, &until)
			locks[byKey[key]] = evcs.FromMillis(until)
			return err
		}, `SELECT identifier_key, locked_until FROM login_failures WHERE locked_until > ? AND identifier_key IN (`+binds(len(part))+`)`, args...)
		if err != nil {
			return nil, err
		}
	}
	return locks, nil
}

// Roles keeps roles.
type Roles struct{ q querier }

const roleColumns = `r.id, r.tenant_id, r.code, r.name, r.permissions, r.remark, r.created_at, r.updated_at, r.version`

func scanRole(from row, more ...any) (auth.Role, error) {
	var r auth.Role
	var grants string
	var created, updated int64
	dest := []any{&r.ID, &r.Tenant, &r.Code, &r.Name, &grants, &r.Remark, &created, &updated, &r.Version}
	if err := from.Scan(append(dest, more...)...); err != nil {
		return r, err
	}
	r.Created, r.Updated = evcs.FromMillis(created), evcs.FromMillis(updated)
	if err := json.Unmarshal([]byte(grants), &r.Grants); err != nil {
		return r, fmt.Errorf("permissions of role %d: %w", r.ID, err)
	}
	return r, nil
}

// rolesOf keeps the live roles of the scope and the built-in ones.
func rolesOf(f *filter, scope evcs.Scope) {
	cond, arg := scopeCond("r.tenant_id", scope)
	f.add(`(r.tenant_id = 0 OR `+cond+`)`, arg)
	f.add("r.deleted_at = 0")
}

func (s Roles) list(ctx context.Context, f filter) ([]auth.Role, error) {
	return all(ctx, s.q, plainRoles, f, evcs.Sort{Field: "roleId"})
}

var plainRoles = listing[auth.Role]{
	what: "read roles", columns: roleColumns, from: "roles r", id: "r.id", sorts: map[string]sortColumn{"roleId": {expr: "r.id"}},
	scan: func(r row) (auth.Role, error) { return scanRole(r) },
}

// Role implements auth.RoleStore.
func (s Roles) Role(ctx context.Context, scope evcs.Scope, id evcs.RoleID) (*auth.Role, error) {
	var f filter
	rolesOf(&f, scope)
	f.add("r.id = ?", id)
	list, err := s.list(ctx, f)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, evcs.With(auth.ErrRoleNotFound, map[string]any{"roleId": id})
	}
	list[0].Users, err = s.Holders(ctx, scope, id)
	return &list[0], err
}

// RolesByCode implements auth.RoleStore.
func (s Roles) RolesByCode(ctx context.Context, t evcs.TenantID, codes []string) ([]auth.Role, error) {
	if len(codes) == 0 {
		return nil, nil
	}
	var f filter
	rolesOf(&f, evcs.Only(t))
	among(&f, "r.code", codes)
	list, err := s.list(ctx, f)
	if err != nil {
		return nil, err
	}
	for _, code := range codes {
		if !slices.ContainsFunc(list, func(r auth.Role) bool { return r.Code == code }) {
			return nil, evcs.With(auth.ErrRoleNotFound, map[string]any{"roleCode": code})
		}
	}
	return list, nil
}

// InsertRole implements auth.RoleStore.
func (s Roles) InsertRole(ctx context.Context, r *auth.Role) error {
	grants, err := json.Marshal(r.Grants)
	if err != nil {
		return fmt.Errorf("encode permissions: %w", err)
	}
	id, err := s.q.insertID(ctx, "insert role", `
		INSERT INTO roles (tenant_id, code, name, permissions, remark, created_at, updated_at, deleted_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0, 1) RETURNING id`,
		r.Tenant, r.Code, r.Name, string(grants), r.Remark, evcs.Millis(r.Created), evcs.Millis(r.Updated))
	if err == nil {
		r.ID, r.Version = evcs.RoleID(id), 1
	}
	return err
}

// UpdateRole implements auth.RoleStore.
func (s Roles) UpdateRole(ctx context.Context, r *auth.Role) error {
	grants, err := json.Marshal(r.Grants)
	if err != nil {
		return fmt.Errorf("encode permissions: %w", err)
	}
	if err := s.q.swap(ctx, "update role", `UPDATE roles SET name = ?, permissions = ?, remark = ?, updated_at = ?, version = version + 1
		WHERE id = ? AND tenant_id = ? AND version = ? AND deleted_at = 0`,
		r.Name, string(grants), r.Remark, evcs.Millis(r.Updated), r.ID, r.Tenant, r.Version); err != nil {
		return err
	}
	r.Version++
	_, err = s.q.exec(ctx, "raise permission versions", `UPDATE users SET permission_version = permission_version + 1
		WHERE tenant_id = ? AND id IN (SELECT user_id FROM user_roles WHERE role_id = ?)`, r.Tenant, r.ID)
	return err
}

// DeleteRole implements auth.RoleStore.
func (s Roles) DeleteRole(ctx context.Context, r *auth.Role, at time.Time) error {
	return s.q.swap(ctx, "delete role", `UPDATE roles SET deleted_at = ?, version = version + 1
		WHERE id = ? AND tenant_id = ? AND version = ? AND deleted_at = 0`, evcs.Millis(at), r.ID, r.Tenant, r.Version)
}

// holders counts the live users of a scope who have role r.
func holders(scope evcs.Scope) (query string, arg any) {
	cond, arg := scopeCond("u.tenant_id", scope)
	return `SELECT COUNT(*) FROM user_roles ur JOIN users u ON u.id = ur.user_id WHERE u.deleted_at = 0 AND ` + cond + ` AND ur.role_id = `, arg
}

// Holders implements auth.RoleStore.
func (s Roles) Holders(ctx context.Context, scope evcs.Scope, id evcs.RoleID) (int64, error) {
	query, arg := holders(scope)
	var n int64
	err := s.q.one(ctx, "count holders of role", sql.ErrNoRows, []any{&n}, query+`?`, arg, id)
	return n, err
}

// RolePage lists the roles of scope and the built-in ones, with how many users
// of scope have each.
func (s Roles) RolePage(ctx context.Context, scope evcs.Scope, name string, r evcs.PageRequest) (evcs.Page[auth.Role], error) {
	var f filter
	rolesOf(&f, scope)
	f.contains(name, "r.name", "r.code")
	result, err := page(ctx, s.q, listing[auth.Role]{
		what: "list roles", columns: roleColumns, from: "roles r", id: "r.id",
		sorts: map[string]sortColumn{
			"roleId": {expr: "r.id"}, "createTime": {expr: "r.created_at"},
			"roleCode": {expr: "r.code", text: true}, "roleName": {expr: "r.name", text: true},
		},
		scan: func(r row) (auth.Role, error) { return scanRole(r) },
	}, f, r)
	for i := range result.Records {
		if err == nil {
			result.Records[i].Users, err = s.Holders(ctx, scope, result.Records[i].ID)
		}
	}
	return result, err
}
