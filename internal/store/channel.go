package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/alarm"
	"github.com/evcs/evcs/internal/evcs"
)

// Channels keeps notification channels. It implements alarm.ChannelStore.
type Channels struct{ q querier }

// ChannelsOf are the channels as the transaction sees and changes them.
func ChannelsOf(tx *Tx) Channels { return Channels{tx.q} }

// Channels are the committed channels.
func (r Reader) Channels() Channels { return Channels(r) }

const channelColumns = `c.id, c.tenant_id, c.type, c.name, c.recipients, c.url_shown, c.sealed, c.secret_print, c.secret_at, c.min_severity,
	c.quiet_from, c.quiet_to, c.group_seconds, c.repeat_minutes, c.include_descendants, c.enabled, c.last_success_at, c.last_error,
	c.created_at, c.updated_at, c.deleted_at, c.version`

var channelListing = listing[alarm.Channel]{
	what: "list notification channels", columns: channelColumns, from: "notification_channels c", id: "c.id",
	sorts: map[string]sortColumn{"channelId": {expr: "c.id"}, "createTime": {expr: "c.created_at"}, "name": {expr: "c.name", text: true}},
	scan:  scanChannel,
}

func scanChannel(r row) (alarm.Channel, error) {
	var c alarm.Channel
	var recipients string
	var secret, group, success, created, updated, deleted int64
	err := r.Scan(&c.ID, &c.Tenant, &c.Type, &c.Name, &recipients, &c.URLShown, &c.Sealed, &c.SecretPrint, &secret, &c.MinSeverity,
		&c.QuietFrom, &c.QuietTo, &group, &c.RepeatMinutes, &c.IncludeDescendants, &c.Enabled, &success, &c.LastError,
		&created, &updated, &deleted, &c.Version)
	if err != nil {
		return c, err
	}
	c.SecretAt, c.Group, c.LastSuccess = evcs.FromMillis(secret), time.Duration(group)*time.Second, evcs.FromMillis(success)
	c.Created, c.Updated, c.Deleted = evcs.FromMillis(created), evcs.FromMillis(updated), evcs.FromMillis(deleted)
	if err := json.Unmarshal([]byte(recipients), &c.Recipients); err != nil {
		return c, fmt.Errorf("recipients of channel %d: %w", c.ID, err)
	}
	return c, nil
}

// Channel implements alarm.ChannelStore.
func (s Channels) Channel(ctx context.Context, scope evcs.Scope, id evcs.ChannelID) (*alarm.Channel, error) {
	var f filter
	f.scope("c.tenant_id", scope)
	f.add("c.id = ?", id)
	f.add("c.deleted_at = 0")
	list, err := all(ctx, s.q, channelListing, f)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, evcs.With(alarm.ErrChannelNotFound, map[string]any{"channelId": id})
	}
	return &list[0], nil
}

// ChannelPage lists the channels of a scope.
func (s Channels) ChannelPage(ctx context.Context, scope evcs.Scope, r evcs.PageRequest) (evcs.Page[alarm.Channel], error) {
	var f filter
	f.scope("c.tenant_id", scope)
	f.add("c.deleted_at = 0")
	return page(ctx, s.q, channelListing, f, r)
}

// CountChannels implements alarm.ChannelStore.
func (s Channels) CountChannels(ctx context.Context, scope evcs.Scope) (int, error) {
	in, tenant := scopeCond("tenant_id", scope)
	n := 0
	err := s.q.one(ctx, "count channels", sql.ErrNoRows, []any{&n}, `SELECT COUNT(*) FROM notification_channels WHERE deleted_at = 0 AND `+in, tenant)
	return n, err
}

func channelValues(c *alarm.Channel) ([]any, error) {
	recipients, err := json.Marshal(append([]string{}, c.Recipients...))
	if err != nil {
		return nil, fmt.Errorf("encode recipients: %w", err)
	}
	return []any{
		c.Name, string(recipients), c.URLShown, c.Sealed, c.SecretPrint, evcs.Millis(c.SecretAt), c.MinSeverity, c.QuietFrom, c.QuietTo,
		int64(c.Group / time.Second), c.RepeatMinutes, c.IncludeDescendants, c.Enabled, evcs.Millis(c.Updated), evcs.Millis(c.Deleted),
	}, nil
}

// InsertChannel implements alarm.ChannelStore.
func (s Channels) InsertChannel(ctx context.Context, c *alarm.Channel) error {
	values, err := channelValues(c)
	if err != nil {
		return err
	}
	id, err := s.q.insertID(ctx, "insert channel", `
		INSERT INTO notification_channels (name, recipients, url_shown, sealed, secret_print, secret_at, min_severity, quiet_from, quiet_to,
			group_seconds, repeat_minutes, include_descendants, enabled, updated_at, deleted_at,
			tenant_id, type, created_at, last_success_at, last_error, claimed_until, version)
		VALUES (`+binds(18)+`, 0, '', 0, 1) RETURNING id`, append(values, c.Tenant, c.Type, evcs.Millis(c.Created))...)
	c.ID, c.Version = evcs.ChannelID(id), 1
	return err
}

// UpdateChannel implements alarm.ChannelStore.
func (s Channels) UpdateChannel(ctx context.Context, c *alarm.Channel) error {
	values, err := channelValues(c)
	if err != nil {
		return err
	}
	err = s.q.swap(ctx, "update channel", `UPDATE notification_channels SET name = ?, recipients = ?, url_shown = ?, sealed = ?, secret_print = ?,
		secret_at = ?, min_severity = ?, quiet_from = ?, quiet_to = ?, group_seconds = ?, repeat_minutes = ?, include_descendants = ?, enabled = ?,
		updated_at = ?, deleted_at = ?, version = version + 1
		WHERE id = ? AND tenant_id = ? AND version = ? AND deleted_at = 0`, append(values, c.ID, c.Tenant, c.Version)...)
	if err == nil {
		c.Version++
	}
	return err
}

// NoteChannel implements alarm.ChannelStore.
func (s Channels) NoteChannel(ctx context.Context, c *alarm.Channel, at time.Time, failure string) error {
	set, args := `last_error = ?`, []any{failure}
	if failure == "" {
		set, args = `last_error = '', last_success_at = ?`, []any{evcs.Millis(at)}
	}
	_, err := s.q.exec(ctx, "note channel", `UPDATE notification_channels SET `+set+` WHERE id = ? AND tenant_id = ?`, append(args, c.ID, c.Tenant)...)
	return err
}

// Hearing implements alarm.ChannelStore.
func (s Channels) Hearing(ctx context.Context, t evcs.TenantID) ([]alarm.Channel, error) {
	var f filter
	f.add("c.enabled")
	f.add("c.deleted_at = 0")
	if t == 0 {
		f.add("c.tenant_id = ?", evcs.PlatformTenant)
	} else {
		f.add(`(c.tenant_id = ? OR c.include_descendants AND c.tenant_id IN (SELECT ancestor_id FROM tenant_ancestors WHERE tenant_id = ?))`, t, t)
	}
	return all(ctx, s.q, channelListing, f)
}

// Notices keeps notices. It implements alarm.NoticeStore and, committed,
// alarm.HeraldReads.
type Notices struct{ q querier }

// NoticesOf are the notices in the transaction.
func NoticesOf(tx *Tx) Notices { return Notices{tx.q} }

// Notices are the committed notices.
func (r Reader) Notices() Notices { return Notices(r) }

const noticeColumns = `n.id, n.tenant_id, n.channel_id, n.alert_id, n.kind, n.severity, n.state, n.due_at, n.attempts, n.last_error,
	n.created_at, n.ended_at, n.version`

func (s Notices) notices(ctx context.Context, f filter, rest string, args ...any) ([]alarm.Notice, error) {
	var list []alarm.Notice
	err := s.q.each(ctx, "read notices", func(rows *sql.Rows) error {
		var n alarm.Notice
		var due, created, ended int64
		err := rows.Scan(&n.ID, &n.Tenant, &n.Channel, &n.Alert, &n.Kind, &n.Severity, &n.State, &due, &n.Attempts, &n.LastError, &created, &ended, &n.Version)
		n.Due, n.Created, n.Ended = evcs.FromMillis(due), evcs.FromMillis(created), evcs.FromMillis(ended)
		list = append(list, n)
		return err
	}, `SELECT `+noticeColumns+` FROM notices n`+f.where()+rest, append(f.args, args...)...)
	return list, err
}

// InsertNotice implements alarm.NoticeStore.
func (s Notices) InsertNotice(ctx context.Context, n *alarm.Notice) error {
	id, err := s.q.insertID(ctx, "insert notice", `
		INSERT INTO notices (tenant_id, channel_id, alert_id, kind, severity, state, due_at, attempts, last_error, created_at, ended_at, version)
		VALUES (?, ?, ?, ?, ?, ?, ?, 0, '', ?, 0, 1) RETURNING id`,
		n.Tenant, n.Channel, n.Alert, n.Kind, n.Severity, n.State, evcs.Millis(n.Due), evcs.Millis(n.Created))
	n.ID, n.Version = id, 1
	return err
}

// UpdateNotice implements alarm.NoticeStore.
func (s Notices) UpdateNotice(ctx context.Context, n *alarm.Notice) error {
	err := s.q.swap(ctx, "update notice", `UPDATE notices SET state = ?, due_at = ?, attempts = ?, last_error = ?, ended_at = ?, version = version + 1
		WHERE id = ? AND tenant_id = ? AND version = ?`,
		n.State, evcs.Millis(n.Due), n.Attempts, n.LastError, evcs.Millis(n.Ended), n.ID, n.Tenant, n.Version)
	if err == nil {
		n.Version++
	}
	return err
}

// NoticesOf implements alarm.NoticeStore; they are the channel's tenant's.
func (s Notices) NoticesOf(ctx context.Context, alert evcs.AlertID, c evcs.ChannelID) ([]alarm.Notice, error) {
	var f filter
	f.add("n.alert_id = ?", alert)
	f.add("n.channel_id = ?", c)
	return s.notices(ctx, f, ` ORDER BY n.id`)
}

// OfAlert are the notices of an alert on the channels of a scope, oldest first,
// 500 at most.
func (s Notices) OfAlert(ctx context.Context, scope evcs.Scope, alert evcs.AlertID) ([]alarm.Notice, error) {
	var f filter
	f.scope("n.tenant_id", scope)
	f.add("n.alert_id = ?", alert)
	return s.notices(ctx, f, ` ORDER BY n.id LIMIT 500`)
}

// ClaimChannel implements alarm.NoticeStore; it serves channels of every
// tenant.
func (s Notices) ClaimChannel(ctx context.Context, id evcs.ChannelID, now, until time.Time) (*alarm.Channel, bool, error) {
	n, err := s.q.exec(ctx, "claim channel", `UPDATE notification_channels SET claimed_until = ? WHERE id = ? AND claimed_until <= ?`,
		evcs.Millis(until), id, evcs.Millis(now))
	if err != nil || n == 0 {
		return nil, false, err
	}
	var f filter
	f.add("c.id = ?", id)
	list, err := all(ctx, s.q, channelListing, f)
	if err != nil || len(list) == 0 {
		return nil, false, err
	}
	return &list[0], true, nil
}

// ReleaseChannel implements alarm.NoticeStore; it serves channels of every
// tenant.
func (s Notices) ReleaseChannel(ctx context.Context, id evcs.ChannelID) error {
	_, err := s.q.exec(ctx, "release channel", `UPDATE notification_channels SET claimed_until = 0 WHERE id = ?`, id)
	return err
}

// DueNotices implements alarm.NoticeStore; they are the channel's tenant's.
func (s Notices) DueNotices(ctx context.Context, id evcs.ChannelID, now time.Time, n int) ([]alarm.Notice, error) {
	var f filter
	f.add("n.channel_id = ?", id)
	f.add("n.state = 'PENDING'")
	f.add("n.due_at <= ?", evcs.Millis(now))
	return s.notices(ctx, f, ` ORDER BY n.id LIMIT ?`, n)
}

// Standing implements alarm.NoticeStore; it serves every tenant.
func (s Notices) Standing(ctx context.Context) ([]alarm.Told, error) {
	var list []alarm.Told
	err := s.q.each(ctx, "read standing notices", func(rows *sql.Rows) error {
		var t alarm.Told
		var last, waiting int64
		err := rows.Scan(&t.Channel, &t.Alert, &last, &waiting)
		t.Last, t.Waiting = evcs.FromMillis(last), waiting > 0
		list = append(list, t)
		return err
	}, `SELECT n.channel_id, n.alert_id, MAX(n.ended_at), COUNT(*) FILTER (WHERE n.state = 'PENDING')
		FROM notices n JOIN alerts a ON a.id = n.alert_id WHERE a.status = 'ACTIVE' AND n.state <> 'MUTED'
		GROUP BY n.channel_id, n.alert_id ORDER BY n.channel_id, n.alert_id`)
	return list, err
}

// AnyAlert implements alarm.NoticeStore; the event said whose it is.
func (s Notices) AnyAlert(ctx context.Context, id evcs.AlertID) (*alarm.Alert, error) {
	var f filter
	f.add("a.id = ?", id)
	return Alarms{q: s.q}.one(ctx, f)
}

// CriticalOpen implements alarm.NoticeStore.
func (s Notices) CriticalOpen(ctx context.Context, t evcs.TenantID, target alarm.Target) (bool, error) {
	open := false
	err := s.q.one(ctx, "look for a critical alert", nil, []any{&open}, `SELECT EXISTS (SELECT 1 FROM alerts
		WHERE tenant_id = ? AND target_type = ? AND target_id = ? AND severity = 'CRITICAL' AND status <> 'RESOLVED')`, t, target.Type, target.ID)
	return open, err
}

// Behind implements alarm.HeraldReads and webhook.Reads.
func (s Notices) Behind(ctx context.Context, reader string) (bool, error) {
	return outboxPlaces{s.q}.Behind(ctx, reader)
}

// DueChannels implements alarm.HeraldReads; it serves channels of every
// tenant.
func (s Notices) DueChannels(ctx context.Context, now time.Time, n int) ([]evcs.ChannelID, error) {
	var list []evcs.ChannelID
	err := s.q.each(ctx, "read due channels", func(rows *sql.Rows) error {
		var id evcs.ChannelID
		err := rows.Scan(&id)
		list = append(list, id)
		return err
	}, `SELECT n.channel_id FROM notices n WHERE n.state = 'PENDING' AND n.due_at <= ? GROUP BY n.channel_id ORDER BY MIN(n.due_at) LIMIT ?`,
		evcs.Millis(now), n)
	return list, err
}

// PruneNotices deletes up to n notices that ended before a moment.
func PruneNotices(tx *Tx, ctx context.Context, before int64, n int) (int64, error) { //nolint:revive // as Tx's own methods, for the table of jobs
	return tx.q.exec(ctx, "prune notices",
		`DELETE FROM notices WHERE id IN (SELECT id FROM notices WHERE state <> 'PENDING' AND created_at < ? ORDER BY id LIMIT ?)`, before, n)
}

// outboxPlaces are the lasting readers of the outbox.
type outboxPlaces struct{ q querier }

// Outbox is the outbox as its lasting readers see it in the transaction. It
// implements alarm.Outbox and the same part of webhook.Queue.
type Outbox = outboxPlaces

// OutboxOf is the outbox in the transaction.
func OutboxOf(tx *Tx) Outbox { return outboxPlaces{tx.q} }

// Behind reports whether a reader has something to read.
func (s outboxPlaces) Behind(ctx context.Context, reader string) (bool, error) {
	behind := false
	err := s.q.one(ctx, "look behind a reader", nil, []any{&behind},
		`SELECT COALESCE((SELECT MAX(seq) FROM outbox WHERE seq IS NOT NULL), 0) > place FROM outbox_readers WHERE name = ?`, reader)
	return behind, err
}

// Unread are up to n events of some types (none: all) behind a reader's place,
// whoever's they are, and the place to advance to.
func (s outboxPlaces) Unread(ctx context.Context, reader string, types []string, n int) (events []evcs.Event, from, to evcs.EventID, err error) {
	if err := s.q.one(ctx, "read a reader's place", errNone, []any{&from, &to},
		`SELECT place, COALESCE((SELECT MAX(seq) FROM outbox WHERE seq IS NOT NULL), 0) FROM outbox_readers WHERE name = ?`, reader); err != nil {
		return nil, 0, 0, err
	}
	kinds, args := "", []any{from, to}
	if len(types) > 0 {
		kinds = ` AND type IN (` + strings.TrimSuffix(strings.Repeat("?, ", len(types)), ", ") + `)`
		for _, t := range types {
			args = append(args, t)
		}
	}
	err = s.q.each(ctx, "read unread events", func(rows *sql.Rows) error {
		e, err := scanEvent(rows)
		events = append(events, e)
		return err
	}, `SELECT `+eventColumns+` FROM outbox WHERE seq > ? AND seq <= ?`+kinds+` ORDER BY seq LIMIT ?`, append(args, n)...)
	if len(events) == n {
		to = events[n-1].ID
	}
	return events, from, max(from, to), err
}

// Advance moves a reader on; ErrStale when another node was first.
func (s outboxPlaces) Advance(ctx context.Context, reader string, from, to evcs.EventID) error {
	return s.q.swap(ctx, "advance a reader", `UPDATE outbox_readers SET place = ? WHERE name = ? AND place = ?`, to, reader, from)
}

// Skip moves a reader to the newest place.
func (s outboxPlaces) Skip(ctx context.Context, reader string) error {
	_, err := s.q.exec(ctx, "skip a reader", `UPDATE outbox_readers
		SET place = COALESCE((SELECT MAX(seq) FROM outbox WHERE seq IS NOT NULL), 0) WHERE name = ?`, reader)
	return err
}
