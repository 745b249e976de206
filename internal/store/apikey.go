package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/evcs/evcs/internal/auth"
	"github.com/evcs/evcs/internal/evcs"
)

// errNone says that a row is not there where that is no failure.
var errNone = errors.New("no such row")

// APIKeys keeps API keys.
type APIKeys struct{ q querier }

const keyColumns = `k.id, k.tenant_id, k.user_id, k.name, k.prefix, k.hash, k.previous_hash, k.previous_until, k.scopes, k.allow_cidr,
	k.status, k.expire_at, k.last_used_at, k.last_used_ip, k.created_at, k.created_by, k.version`

var keyListing = listing[auth.Key]{
	what: "list API keys", columns: keyColumns, from: "api_keys k", id: "k.id",
	sorts: map[string]sortColumn{
		"keyId": {expr: "k.id"}, "createTime": {expr: "k.created_at"}, "expireTime": {expr: "k.expire_at"}, "name": {expr: "k.name", text: true},
	},
	scan: scanKey,
}

func scanKey(r row) (auth.Key, error) {
	var k auth.Key
	var status int
	var previousUntil, expires, used, created int64
	var scopes, cidr string
	if err := r.Scan(&k.ID, &k.Tenant, &k.User, &k.Name, &k.Prefix, &k.Hash, &k.Previous, &previousUntil, &scopes, &cidr,
		&status, &expires, &used, &k.LastUsedIP, &created, &k.CreatedBy, &k.Version); err != nil {
		return k, err
	}
	k.Enabled = status == 1
	k.PreviousUntil, k.Expires = evcs.FromMillis(previousUntil), evcs.FromMillis(expires)
	k.LastUsed, k.Created = evcs.FromMillis(used), evcs.FromMillis(created)
	if err := errors.Join(json.Unmarshal([]byte(scopes), &k.Scopes), json.Unmarshal([]byte(cidr), &k.AllowCIDR)); err != nil {
		return k, fmt.Errorf("scopes of API key %d: %w", k.ID, err)
	}
	return k, nil
}

func (s APIKeys) oneKey(ctx context.Context, f filter) (*auth.Key, error) {
	f.add("k.deleted_at = 0")
	list, err := all(ctx, s.q, keyListing, f)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// Key implements auth.Keys.
func (s APIKeys) Key(ctx context.Context, scope evcs.Scope, id evcs.KeyID) (*auth.Key, error) {
	var f filter
	f.scope("k.tenant_id", scope)
	f.add("k.id = ?", id)
	k, err := s.oneKey(ctx, f)
	if err == nil && k == nil {
		err = evcs.With(auth.ErrKeyNotFound, map[string]any{"keyId": id})
	}
	return k, err
}

// KeyByHash implements auth.Keys. It looks over all tenants by design: the key
// says whose it is.
func (s APIKeys) KeyByHash(ctx context.Context, hash string) (*auth.Key, error) {
	var f filter
	f.add("(k.hash = ? OR k.previous_hash = ?)", hash, hash)
	return s.oneKey(ctx, f)
}

func keyValues(k *auth.Key) ([]any, error) {
	scopes, err := json.Marshal(append([]string{}, k.Scopes...))
	if err != nil {
		return nil, fmt.Errorf("encode scopes: %w", err)
	}
	cidr, err := json.Marshal(append([]string{}, k.AllowCIDR...))
	if err != nil {
		return nil, fmt.Errorf("encode networks: %w", err)
	}
	return []any{
		k.Name, k.Prefix, k.Hash, k.Previous, evcs.Millis(k.PreviousUntil), string(scopes), string(cidr), flag(k.Enabled),
		evcs.Millis(k.Expires), evcs.Millis(k.Deleted),
	}, nil
}

// InsertKey implements auth.Keys.
func (s APIKeys) InsertKey(ctx context.Context, k *auth.Key) error {
	args, err := keyValues(k)
	if err != nil {
		return err
	}
	id, err := s.q.insertID(ctx, "insert API key", `
		INSERT INTO api_keys (name, prefix, hash, previous_hash, previous_until, scopes, allow_cidr, status, expire_at, deleted_at,
			tenant_id, user_id, last_used_at, last_used_ip, created_at, created_by, version)
		VALUES (`+binds(10)+`, ?, ?, 0, '', ?, ?, 1) RETURNING id`, append(args, k.Tenant, k.User, evcs.Millis(k.Created), k.CreatedBy)...)
	if err == nil {
		k.ID, k.Version = evcs.KeyID(id), 1
	}
	return err
}

// UpdateKey implements auth.Keys.
func (s APIKeys) UpdateKey(ctx context.Context, k *auth.Key) error {
	args, err := keyValues(k)
	if err != nil {
		return err
	}
	err = s.q.swap(ctx, "update API key", `UPDATE api_keys SET name = ?, prefix = ?, hash = ?, previous_hash = ?, previous_until = ?,
		scopes = ?, allow_cidr = ?, status = ?, expire_at = ?, deleted_at = ?, version = version + 1
		WHERE id = ? AND tenant_id = ? AND version = ? AND deleted_at = 0`, append(args, k.ID, k.Tenant, k.Version)...)
	if err == nil {
		k.Version++
	}
	return err
}

// TouchKey implements auth.Keys. It is no change of the key and leaves its
// version alone.
func (s APIKeys) TouchKey(ctx context.Context, k *auth.Key, at time.Time, address string) error {
	ms := evcs.Millis(at)
	_, err := s.q.exec(ctx, "touch API key", `UPDATE api_keys SET last_used_at = ?, last_used_ip = ?
		WHERE id = ? AND tenant_id = ? AND last_used_at < ?`, ms, address, k.ID, k.Tenant, ms)
	return err
}

// KeyPage lists the keys of scope that are wanted.
func (s APIKeys) KeyPage(ctx context.Context, scope evcs.Scope, want auth.WantedKeys, r evcs.PageRequest) (evcs.Page[auth.Key], error) {
	var f filter
	f.scope("k.tenant_id", scope)
	f.add("k.deleted_at = 0")
	f.contains(want.Name, "k.name")
	if want.User != 0 {
		f.add("k.user_id = ?", want.User)
	}
	if want.Enabled != nil {
		f.add("k.status = ?", flag(*want.Enabled))
	}
	return page(ctx, s.q, keyListing, f, r)
}
