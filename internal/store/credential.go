package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/station"
)

// Credentials keeps what chargers prove themselves with.
type Credentials struct{ q querier }

// Credential implements station.Credentials.
func (s Credentials) Credential(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) (*station.Credential, error) {
	cond, arg := scopeCond("tenant_id", scope)
	c := station.Credential{Charger: id, SecurityProfile: 1, Heartbeat: station.DefaultHeartbeat}
	var cidrs string
	var heartbeat, validFrom, previousUntil, lastUsed, updated int64
	err := s.q.one(ctx, "read credential", errNone, []any{
		&c.Tenant, &c.Secret, &c.Fingerprint, &validFrom, &c.Previous, &previousUntil, &lastUsed, &c.SecurityProfile, &cidrs,
		&c.ClientCert, &c.PinICCID, &heartbeat, &updated, &c.Version,
	}, `SELECT tenant_id, secret, fingerprint, valid_from, previous, previous_until, last_used_at, security_profile, allow_cidr, client_cert,
			pin_iccid, heartbeat_seconds, updated_at, version FROM credentials WHERE charger_id = ? AND `+cond, id, arg)
	if errors.Is(err, errNone) {
		return &c, nil
	}
	if err != nil {
		return nil, err
	}
	c.ValidFrom, c.PreviousUntil, c.LastUsed, c.Updated = evcs.FromMillis(validFrom), evcs.FromMillis(previousUntil), evcs.FromMillis(lastUsed), evcs.FromMillis(updated)
	c.Heartbeat = time.Duration(heartbeat) * time.Second
	for text := range strings.FieldsSeq(cidrs) {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("allowed addresses of charger %d: %w", id, err)
		}
		c.AllowCIDR = append(c.AllowCIDR, prefix)
	}
	return &c, nil
}

// PutCredential implements station.Credentials.
func (s Credentials) PutCredential(ctx context.Context, scope evcs.Scope, c *station.Credential) error {
	cidrs := make([]string, len(c.AllowCIDR))
	for i, p := range c.AllowCIDR {
		cidrs[i] = p.String()
	}
	allow, heartbeat := strings.Join(cidrs, " "), int64(c.Heartbeat/time.Second)
	cond, arg := scopeCond("tenant_id", scope)
	var err error
	if c.Version == 0 {
		_, err = s.q.exec(ctx, "insert credential", `
			INSERT INTO credentials (charger_id, tenant_id, secret, fingerprint, valid_from, previous, previous_until, last_used_at, security_profile,
				allow_cidr, client_cert, pin_iccid, heartbeat_seconds, updated_at, version)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`,
			c.Charger, c.Tenant, c.Secret, c.Fingerprint, evcs.Millis(c.ValidFrom), c.Previous, evcs.Millis(c.PreviousUntil), evcs.Millis(c.LastUsed),
			c.SecurityProfile, allow, c.ClientCert, c.PinICCID, heartbeat, evcs.Millis(c.Updated))
	} else {
		err = s.q.swap(ctx, "update credential", `
			UPDATE credentials SET secret = ?, fingerprint = ?, valid_from = ?, previous = ?, previous_until = ?, last_used_at = ?, security_profile = ?,
				allow_cidr = ?, client_cert = ?, pin_iccid = ?, heartbeat_seconds = ?, updated_at = ?, version = version + 1
			WHERE charger_id = ? AND version = ? AND `+cond,
			c.Secret, c.Fingerprint, evcs.Millis(c.ValidFrom), c.Previous, evcs.Millis(c.PreviousUntil), evcs.Millis(c.LastUsed),
			c.SecurityProfile, allow, c.ClientCert, c.PinICCID, heartbeat, evcs.Millis(c.Updated), c.Charger, c.Version, arg)
	}
	if err == nil {
		c.Version++
	}
	return err
}

// CredentialUsed implements station.Credentials.
func (s Credentials) CredentialUsed(ctx context.Context, scope evcs.Scope, id evcs.ChargerID, at time.Time) error {
	cond, arg := scopeCond("tenant_id", scope)
	_, err := s.q.exec(ctx, "note the use of a credential",
		`UPDATE credentials SET last_used_at = ? WHERE charger_id = ? AND last_used_at < ? AND `+cond, evcs.Millis(at), id, evcs.Millis(at), arg)
	return err
}

// DeleteCredential implements station.Credentials.
func (s Credentials) DeleteCredential(ctx context.Context, scope evcs.Scope, id evcs.ChargerID) error {
	cond, arg := scopeCond("tenant_id", scope)
	_, err := s.q.exec(ctx, "delete credential", `DELETE FROM credentials WHERE charger_id = ? AND `+cond, id, arg)
	return err
}

// IDTags keeps the id tags that chargers know.
type IDTags struct{ q querier }

const idTagColumns = `id, tenant_id, tag, user_ref, status, expire_at, parent, remark, created_at, updated_at, version`

func scanIDTag(r row) (station.IDTag, error) {
	var t station.IDTag
	var status string
	var expires, created, updated int64
	err := r.Scan(&t.ID, &t.Tenant, &t.Tag, &t.User, &status, &expires, &t.Parent, &t.Remark, &created, &updated, &t.Version)
	t.Blocked = status == "BLOCKED"
	t.Expires, t.Created, t.Updated = evcs.FromMillis(expires), evcs.FromMillis(created), evcs.FromMillis(updated)
	return t, err
}

func tagStatus(t *station.IDTag) string {
	if t.Blocked {
		return "BLOCKED"
	}
	return "ACTIVE"
}

// IDTagByTag implements station.Credentials.
func (s IDTags) IDTagByTag(ctx context.Context, t evcs.TenantID, tag string) (*station.IDTag, error) {
	return first(ctx, s.q, "read id tag", station.ErrTagNotFound, scanIDTag,
		`SELECT `+idTagColumns+` FROM id_tags WHERE tenant_id = ? AND tag = ? AND deleted_at = 0`, t, tag)
}

// IDTag implements station.Credentials.
func (s IDTags) IDTag(ctx context.Context, scope evcs.Scope, id int64) (*station.IDTag, error) {
	cond, arg := scopeCond("tenant_id", scope)
	return first(ctx, s.q, "read id tag", evcs.With(station.ErrTagNotFound, map[string]any{"idTagId": id}), scanIDTag,
		`SELECT `+idTagColumns+` FROM id_tags WHERE id = ? AND deleted_at = 0 AND `+cond, id, arg)
}

// tail is a row with columns behind those that its reader knows.
type tail struct {
	row
	more []any
}

func (t tail) Scan(dest ...any) error { return t.row.Scan(append(dest, t.more...)...) }

// IDTagsSince implements station.Credentials.
func (s IDTags) IDTagsSince(ctx context.Context, scope evcs.Scope, since time.Time) ([]station.ListedTag, error) {
	cond, arg := scopeCond("tenant_id", scope)
	var list []station.ListedTag
	err := s.q.rows(ctx, "list id tags for a charger", func(rows row) error {
		var x station.ListedTag
		var err error
		if x.IDTag, err = scanIDTag(tail{rows, []any{&x.Deleted}}); err != nil {
			return err
		}
		list = append(list, x)
		return nil
	}, `SELECT `+idTagColumns+`, deleted_at <> 0 FROM id_tags WHERE `+cond+` AND (deleted_at = 0 AND updated_at >= ? OR ? > 0 AND deleted_at >= ?) ORDER BY id`,
		arg, evcs.Millis(since), evcs.Millis(since), evcs.Millis(since))
	return list, err
}

// InsertIDTag implements station.Credentials.
func (s IDTags) InsertIDTag(ctx context.Context, t *station.IDTag) error {
	s.q.changed()
	id, err := s.q.insertID(ctx, "insert id tag", `
		INSERT INTO id_tags (tenant_id, tag, user_ref, status, expire_at, parent, remark, created_at, updated_at, deleted_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1) RETURNING id`,
		t.Tenant, t.Tag, t.User, tagStatus(t), evcs.Millis(t.Expires), t.Parent, t.Remark, evcs.Millis(t.Created), evcs.Millis(t.Updated))
	t.ID, t.Version = id, 1
	return err
}

// UpdateIDTag implements station.Credentials.
func (s IDTags) UpdateIDTag(ctx context.Context, scope evcs.Scope, t *station.IDTag) error {
	s.q.changed()
	cond, arg := scopeCond("tenant_id", scope)
	err := s.q.swap(ctx, "update id tag", `
		UPDATE id_tags SET tag = ?, user_ref = ?, status = ?, expire_at = ?, parent = ?, remark = ?, updated_at = ?, version = version + 1
		WHERE id = ? AND version = ? AND deleted_at = 0 AND `+cond,
		t.Tag, t.User, tagStatus(t), evcs.Millis(t.Expires), t.Parent, t.Remark, evcs.Millis(t.Updated), t.ID, t.Version, arg)
	if err == nil {
		t.Version++
	}
	return err
}

// DeleteIDTag implements station.Credentials.
func (s IDTags) DeleteIDTag(ctx context.Context, scope evcs.Scope, t *station.IDTag, at time.Time) error {
	s.q.changed()
	cond, arg := scopeCond("tenant_id", scope)
	return s.q.swap(ctx, "delete id tag",
		`UPDATE id_tags SET deleted_at = ?, version = version + 1 WHERE id = ? AND version = ? AND deleted_at = 0 AND `+cond,
		evcs.Millis(at), t.ID, t.Version, arg)
}
