package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/evcs"
)

// Commands keeps what was asked of chargers.
type Commands struct{ q querier }

// Commands keeps commands in the transaction.
func (tx *Tx) Commands() command.Store { return Commands{tx.q} }

// Commands reads commands.
func (r Reader) Commands() Commands { return Commands(r) }

const commandColumns = `c.id, c.tenant_id, c.charger_id, c.connector_no, c.type, c.state, c.params, c.result, c.reason, c.order_id, c.session_uid,
	c.requested_by, c.created_at, c.sent_at, c.answered_at, c.ended_at, c.deadline, c.node, c.version`

func scanCommand(r row) (*command.Command, error) {
	c := new(command.Command)
	var params string
	var result, reason sql.NullString
	var created, sent, answered, ended, deadline int64
	err := r.Scan(&c.ID, &c.Tenant, &c.Charger, &c.Connector, &c.Type, &c.State, &params, &result, &reason, &c.Order, &c.Session,
		&c.RequestedBy, &created, &sent, &answered, &ended, &deadline, &c.Node, &c.Version)
	c.Params, c.Reason = json.RawMessage(params), reason.String
	if result.Valid {
		c.Result = json.RawMessage(result.String)
	}
	c.CreatedAt, c.SentAt, c.AnsweredAt = evcs.FromMillis(created), evcs.FromMillis(sent), evcs.FromMillis(answered)
	c.EndedAt, c.Deadline = evcs.FromMillis(ended), evcs.FromMillis(deadline)
	return c, err
}

// Command finds a command in the scope.
func (s Commands) Command(ctx context.Context, scope evcs.Scope, id evcs.CommandID) (*command.Command, error) {
	list, err := s.commands(ctx, scope, `c.id = ?`, id)
	if err == nil && len(list) == 0 {
		return nil, evcs.With(command.ErrNotFound, map[string]any{"commandId": id})
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

func params(c *command.Command) string {
	if len(c.Params) == 0 {
		return "{}"
	}
	return string(c.Params)
}

// NewestAccepted implements command.Store.
func (s Commands) NewestAccepted(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID, typ string) (*command.Command, error) {
	list, err := s.commands(ctx, scope, `c.charger_id = ? AND c.type = ? AND c.state IN ('ACCEPTED', 'COMPLETED') ORDER BY c.id DESC LIMIT 1`, charger, typ)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// InsertCommand gives the command its id.
func (s Commands) InsertCommand(ctx context.Context, c *command.Command) error {
	id, err := s.q.insertID(ctx, "insert command", `
		INSERT INTO commands (tenant_id, charger_id, connector_no, type, state, params, result, reason, order_id, session_uid, requested_by,
			created_at, sent_at, answered_at, ended_at, deadline, node, version)
		VALUES (`+binds(18)+`) RETURNING id`,
		c.Tenant, c.Charger, c.Connector, c.Type, c.State, params(c), textOrNull(string(c.Result)), textOrNull(c.Reason), c.Order, c.Session,
		c.RequestedBy, evcs.Millis(c.CreatedAt), evcs.Millis(c.SentAt), evcs.Millis(c.AnsweredAt), evcs.Millis(c.EndedAt),
		evcs.Millis(c.Deadline), c.Node, 1)
	c.ID, c.Version = evcs.CommandID(id), 1
	return err
}

// UpdateCommand compares the version and counts it up.
func (s Commands) UpdateCommand(ctx context.Context, scope evcs.Scope, c *command.Command) error {
	in, tenant := scopeCond("tenant_id", scope)
	err := s.q.swap(ctx, "update command", `
		UPDATE commands SET state = ?, params = ?, result = ?, reason = ?, sent_at = ?, answered_at = ?, ended_at = ?, deadline = ?, node = ?, version = version + 1
		WHERE id = ? AND version = ? AND `+in,
		c.State, params(c), textOrNull(string(c.Result)), textOrNull(c.Reason), evcs.Millis(c.SentAt), evcs.Millis(c.AnsweredAt), evcs.Millis(c.EndedAt),
		evcs.Millis(c.Deadline), c.Node, c.ID, c.Version, tenant)
	if err == nil {
		c.Version++
	}
	return err
}

// OpenCommands lists the charger's commands whose outcome is awaited.
func (s Commands) OpenCommands(ctx context.Context, scope evcs.Scope, charger evcs.ChargerID) ([]*command.Command, error) {
	return s.commands(ctx, scope, `c.charger_id = ? AND c.state IN ('PENDING', 'SENT', 'ACCEPTED')
		AND (c.state <> 'ACCEPTED' OR c.type IN ('START', 'STOP', 'UPDATE_FIRMWARE')) ORDER BY c.id`, charger)
}

// DueCommands lists open commands of any tenant whose deadline has passed.
func (s Commands) DueCommands(ctx context.Context, now time.Time, n int) ([]*command.Command, error) {
	return s.everyCommand(ctx, `c.state IN ('PENDING', 'SENT', 'ACCEPTED') AND c.deadline <= ?
		AND (c.state <> 'ACCEPTED' OR c.type IN ('START', 'STOP', 'UPDATE_FIRMWARE')) ORDER BY c.id + 0 LIMIT ?`, evcs.Millis(now), n)
}

// WaitingCommands lists PENDING commands of any tenant, oldest first.
func (s Commands) WaitingCommands(ctx context.Context, n int) ([]*command.Command, error) {
	return s.everyCommand(ctx, `c.state IN ('PENDING', 'SENT', 'ACCEPTED') AND c.state = 'PENDING' ORDER BY c.id + 0 LIMIT ?`, n)
}

func (s Commands) commands(ctx context.Context, scope evcs.Scope, cond string, args ...any) ([]*command.Command, error) {
	in, tenant := scopeCond("c.tenant_id", scope)
	return s.everyCommand(ctx, in+` AND `+cond, append([]any{tenant}, args...)...)
}

// everyCommand reads commands whoever's they are: for the daemon's own work.
func (s Commands) everyCommand(ctx context.Context, cond string, args ...any) ([]*command.Command, error) {
	var list []*command.Command
	err := s.q.rows(ctx, "read commands", func(rows row) error {
		c, err := scanCommand(rows)
		list = append(list, c)
		return err
	}, `SELECT `+commandColumns+` FROM commands c WHERE `+cond, args...)
	return list, err
}

// CommandPage lists commands.
func (s Commands) CommandPage(ctx context.Context, scope evcs.Scope, f command.Filter, r evcs.PageRequest) (evcs.Page[*command.Command], error) {
	var where filter
	where.scope("c.tenant_id", scope)
	if f.Charger != 0 {
		where.add("c.charger_id = ?", f.Charger)
	}
	if f.Order != 0 {
		where.add("c.order_id = ?", f.Order)
	}
	among(&where, "c.type", f.Types)
	among(&where, "c.state", f.States)
	where.within("c.created_at", f.From, f.To)
	return page(ctx, s.q, listing[*command.Command]{
		what: "list commands", columns: commandColumns, from: "commands c", id: "c.id", scan: scanCommand,
		sorts: map[string]sortColumn{"commandId": {expr: "c.id"}, "createTime": {expr: "c.created_at"}},
	}, where, r)
}
