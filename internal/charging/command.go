package charging

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/command"
	"github.com/evcs/evcs/internal/device"
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/order"
	"github.com/evcs/evcs/internal/span"
	"github.com/evcs/evcs/internal/tenant"
)

// CommandRequest is something asked of a charger beside start and stop.
type CommandRequest struct {
	Charger   evcs.ChargerID
	Connector int // zero: the whole charger
	Kind      device.Kind
	Params    Params
	Wait      time.Duration // zero: answer at once
	// Force stops running sessions first (RESET).
	Force bool
	// Session is set for a session that has no order.
	Session string
}

// Params are the parameters of a command, as the contract names them.
type Params struct {
	Hard      bool     `json:"hard,omitempty"`
	Operative *bool    `json:"operative,omitempty"`
	Message   string   `json:"message,omitempty"`
	Keys      []string `json:"keys,omitempty"`
	Key       string   `json:"key,omitempty"`
	Value     string   `json:"value,omitempty"`
	IDTag     string   `json:"idTag,omitempty"`
	User      int64    `json:"userId,omitempty"`
	Number    int64    `json:"transaction,omitempty"`
	OrderNo   string   `json:"orderNo,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	URL       string   `json:"url,omitempty"`
	SHA256    string   `json:"sha256,omitempty"`
	// Retrieve is when the device fetches the firmware, in milliseconds; 0: now.
	Retrieve int64 `json:"retrieveAt,omitempty"`
	Full     bool  `json:"full,omitempty"`
	// Cancel says that a STOP takes the order back when it delivered nothing.
	Cancel bool `json:"cancel,omitempty"`
}

// The waiting times of commands without a wait.
const (
	deadlineOCPP     = 60 * time.Second
	deadlineOther    = 90 * time.Second
	deadlineFirmware = 30 * time.Minute
)

// Ask sends a command to a charger of owner and, when asked to, waits for its
// outcome: REJECTED is 2009, TIMEOUT 2010. A charger that is not connected is
// 2004.
func (e *Engine) Ask(ctx context.Context, a *evcs.Actor, owner evcs.TenantID, q CommandRequest) (*command.Command, error) {
	if q.Kind == device.KindReset && q.Force {
		if err := e.stopAll(ctx, a, owner, q); err != nil {
			return nil, err
		}
	}
	var c *command.Command
	now := e.Clock.Now()
	err := e.act(ctx, place{owner, q.Charger}, e.Urgent, reread, func(tx Tx, s *site) error {
		c = nil
		if q.Connector != 0 {
			if _, err := s.connector(q.Connector); err != nil {
				return err
			}
		}
		if !s.charger.Connected {
			return s.charger.OfflineError()
		}
		if !slices.Contains(device.Commands(s.charger.Protocol), q.Kind) {
			return evcs.With(command.ErrUnsupported, map[string]any{"type": q.Kind, "protocol": s.charger.Protocol})
		}
		if r := s.busy(); q.Kind == device.KindReset && r != nil {
			return s.busyError(r)
		}
		var err error
		c, err = e.put(ctx, tx, s, a, q, now)
		return err
	})
	if err != nil {
		return nil, err
	}
	if c, err = e.outcome(ctx, c, q.Wait); err != nil || q.Wait <= 0 {
		return c, err
	}
	return c, CommandError(c, nil)
}

// put stores a command that is to be sent.
func (e *Engine) put(ctx context.Context, tx Tx, s *site, a *evcs.Actor, q CommandRequest, now time.Time) (*command.Command, error) {
	params, err := json.Marshal(q.Params)
	if err != nil {
		return nil, err
	}
	c := &command.Command{
		Tenant: s.tenant, Charger: s.place.id, Connector: q.Connector, Type: string(q.Kind), State: command.Pending, Params: params,
		RequestedBy: a.Name, CreatedAt: now, Deadline: now.Add(s.patience(q, now)), Session: q.Session,
	}
	if r := s.running[q.Connector]; r != nil && r.order != nil && c.AwaitsSession() {
		c.Order, c.Session = r.order.ID, r.session.UID
	}
	if err := tx.Commands().InsertCommand(ctx, c); err != nil {
		return nil, err
	}
	if err := auditCommand(ctx, tx, a, c, nil, now); err != nil {
		return nil, err
	}
	return c, tx.Emit(ctx, c.Event(now))
}

// auditCommand records that a person or a key asked something of a charger, or
// took it back: before is the state that was left, nil for a new command. What
// evcsd asks by itself is no audit row. Parameters, which may hold secrets, stay
// with the command.
func auditCommand(ctx context.Context, tx Tx, a *evcs.Actor, c *command.Command, before *command.State, now time.Time) error {
	if a.User == 0 && a.Key == 0 {
		return nil
	}
	details := map[string]any{"type": c.Type, "chargerId": c.Charger}
	if c.Connector != 0 {
		details["connectorNo"] = c.Connector
	}
	if c.Order != 0 {
		details["orderId"] = c.Order
	}
	if before != nil {
		tenant.Differ(details, "state", *before, c.State)
	}
	return tenant.Audit(ctx, tx.Tenants(), a, tenant.AuditRow{
		At: now, Action: tenant.DeviceCommand, Target: c.Tenant, TargetType: tenant.KindCommand, TargetID: strconv.FormatInt(int64(c.ID), 10),
		Success: true, Details: details,
	})
}

// patience is how long the outcome of a command is waited for; of a firmware
// update, from when the device is to fetch it.
func (s *site) patience(q CommandRequest, now time.Time) time.Duration {
	d := q.Wait
	switch {
	case q.Kind == device.KindFirmware:
		return deadlineFirmware + max(evcs.FromMillis(q.Params.Retrieve).Sub(now), 0)
	case d <= 0 && (s.charger.Protocol == device.CloudCharge || s.charger.Protocol == device.YKC):
		d = deadlineOther
	case d <= 0:
		d = deadlineOCPP
	}
	if s.charger.Protocol == device.CloudCharge { // it may poll at its next heartbeat only
		d = max(d, 75*time.Second)
	}
	return d
}

// outcome sends a command that was committed and waits for what becomes of it.
func (e *Engine) outcome(ctx context.Context, c *command.Command, wait time.Duration) (*command.Command, error) {
	woken := e.wait(c.ID)
	defer e.unwait(c.ID, woken)
	e.sendSoon(ctx, c)
	if wait <= 0 {
		return c, nil
	}
	c, err := e.Await(ctx, evcs.Only(c.Tenant), c.ID, c.Deadline.Sub(e.Clock.Now()))
	if err != nil {
		return nil, err
	}
	if !c.Final() {
		if c, err = e.expire(ctx, c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Await waits until the outcome of a command is known, at most d, and returns
// it as it is then.
func (e *Engine) Await(ctx context.Context, scope evcs.Scope, id evcs.CommandID, d time.Duration) (*command.Command, error) {
	woken := e.wait(id)
	defer e.unwait(id, woken)
	limit := time.NewTimer(max(d, 0))
	defer limit.Stop()
	again := time.NewTicker(time.Second) // another node may have sent it
	defer again.Stop()
	for {
		c, err := e.Rolls.Command(ctx, scope, id)
		if err != nil || c.Final() {
			return c, err
		}
		select {
		case <-woken:
		case <-again.C:
		case <-limit.C:
			return c, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (e *Engine) wait(id evcs.CommandID) chan struct{} {
	c := make(chan struct{}, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiters[id] == nil {
		e.waiters[id] = make(map[chan struct{}]struct{})
	}
	e.waiters[id][c] = struct{}{}
	return c
}

func (e *Engine) unwait(id evcs.CommandID, c chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.waiters[id], c)
	if len(e.waiters[id]) == 0 {
		delete(e.waiters, id)
	}
}

// CommandError words the end of a command as a refusal: 2009, 2010, 2014; nil
// when it worked.
func CommandError(c *command.Command, o *order.Order) error {
	facts := map[string]any{"commandId": c.ID, "chargerId": c.Charger, "connectorNo": nil, "reason": nil, "orderId": nil, "orderNo": nil, "orderStatus": nil}
	if c.Connector > 0 {
		facts["connectorNo"] = c.Connector
	}
	if c.Reason != "" {
		facts["reason"] = c.Reason
	}
	if o != nil {
		facts["orderId"], facts["orderNo"], facts["orderStatus"] = o.ID, o.No, o.Status
	}
	switch c.State {
	case command.Rejected, command.Cancelled:
		return evcs.With(command.ErrRejected, facts)
	case command.Timeout:
		return evcs.With(command.ErrTimeout, facts)
	case command.Failed:
		if c.Reason == unsupported {
			return evcs.With(command.ErrUnsupported, map[string]any{"type": c.Type, "protocol": protocolOf(c)})
		}
		return evcs.With(command.ErrTimeout, facts)
	case command.Pending, command.Sent, command.Accepted, command.Completed:
	}
	return nil
}

const unsupported = "UNSUPPORTED"

// protocolOf is the protocol that does not know a command: its result says it.
func protocolOf(c *command.Command) any {
	var said struct{ Protocol string }
	if err := json.Unmarshal(c.Result, &said); err != nil || said.Protocol == "" {
		return nil
	}
	return said.Protocol
}

// notKnown is the result of a command that the charger's protocol lacks.
func (s *site) notKnown() json.RawMessage {
	raw, _ := json.Marshal(map[string]string{"protocol": s.charger.Protocol}) // a text
	return raw
}

// sendSoon sends a command in a goroutine that Drain waits for.
func (e *Engine) sendSoon(ctx context.Context, c *command.Command) {
	own := *c
	ctx = context.WithoutCancel(ctx)
	e.sending.Go(func() {
		if err := e.send(ctx, &own); err != nil {
			e.Log.WarnContext(ctx, "command not sent", slog.Any("command", own.ID), slog.Any("charger", own.Charger), slog.Any("error", err))
		}
	})
}

// Drain waits for the commands that are on the wire. Close the sessions first.
func (e *Engine) Drain() { e.sending.Wait() }

// send puts a command on the wire, if this node holds the charger, nobody was
// first and no other command of its kind is outstanding, and records the answer. No lock is held while the device thinks.
func (e *Engine) send(ctx context.Context, c *command.Command) error {
	session := e.Hub.Get(c.Charger)
	if session == nil {
		return nil // its node claims it, or its deadline ends it
	}
	who := place{c.Tenant, c.Charger}
	var asked device.Command
	claimed := false
	err := e.act(ctx, who, e.Urgent, remembered, func(tx Tx, s *site) error {
		claimed = false
		now, err := tx.Commands().Command(ctx, who.scope(), c.ID)
		if err != nil || now.State != command.Pending {
			return err
		}
		// Its turn comes in a round, when the one before has ended.
		if open, err := tx.Commands().OpenCommands(ctx, who.scope(), c.Charger); err != nil || command.Blocked(now, open) {
			return err
		}
		if err := now.Send(e.Node, e.Clock.Now()); err != nil {
			return err
		}
		if asked, err = s.wording(ctx, tx, now); err != nil {
			return err
		}
		claimed = true
		return s.saveCommand(ctx, tx, now, e.Clock.Now())
	})
	if err != nil || !claimed {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, max(c.Deadline.Sub(e.Clock.Now()), time.Second))
	defer cancel()
	limit, end := span.Begin(limit, span.Device, string(asked.Kind))
	answer, err := session.Send(limit, asked)
	end(err)
	return e.answered(ctx, who, c.ID, answer, err)
}

// wording is the command as a protocol is asked.
func (s *site) wording(ctx context.Context, tx Tx, c *command.Command) (device.Command, error) {
	var p Params
	if err := json.Unmarshal(c.Params, &p); err != nil {
		return device.Command{}, err
	}
	d := device.Command{
		ID: c.ID, Kind: device.Kind(c.Type), Connector: c.Connector, Session: c.Session, Transaction: p.Number, OrderNo: p.OrderNo, IDTag: p.IDTag,
		User: p.User, Hard: p.Hard, Message: p.Message, Keys: p.Keys, Key: p.Key, Value: p.Value, URL: p.URL, Retrieve: evcs.FromMillis(p.Retrieve),
	}
	d.Operative = p.Operative != nil && *p.Operative
	if d.Kind == device.KindFirmware && d.Retrieve.IsZero() {
		d.Retrieve = c.CreatedAt
	}
	if d.Kind != device.KindLocalList {
		return d, nil
	}
	return d, s.localList(ctx, tx, &d, p.Full)
}

// answered records what the device said to a command, or that it said nothing.
func (e *Engine) answered(ctx context.Context, who place, id evcs.CommandID, a device.Answer, failure error) error {
	return e.act(ctx, who, e.Urgent, remembered, func(tx Tx, s *site) error {
		now := e.Clock.Now()
		c, err := tx.Commands().Command(ctx, who.scope(), id)
		if err != nil {
			return err
		}
		switch {
		case failure == nil:
			c.Answer(a.Accepted, a.Reason, a.Result, now)
		case errors.Is(failure, device.ErrUnsupported):
			c.Answer(false, unsupported, s.notKnown(), now)
			if c.State == command.Rejected {
				c.State = command.Failed
			}
		case errors.Is(failure, context.DeadlineExceeded):
			if !c.Expire("no answer", now) {
				return nil
			}
		default: // the connection ended: the device may have heard it
			if !c.AwaitsSession() || c.Type == command.Start {
				c.Expire("connection lost", now)
			}
		}
		if c.Type == string(device.KindReset) && failure == nil && a.Accepted {
			if err := s.clearHolds(ctx, tx, now); err != nil {
				return err
			}
		}
		if err := s.saveCommand(ctx, tx, c, now); err != nil {
			return err
		}
		return e.consequence(ctx, tx, s, c, now)
	})
}

// clearHolds forgets latched faults and holds after a reset that was accepted.
func (s *site) clearHolds(ctx context.Context, tx Tx, now time.Time) error {
	for _, c := range s.connectors {
		if !c.Latched && c.Hold == "" {
			continue
		}
		before := c.Status
		c.Latched, c.Hold, c.FaultCode, c.FaultDetail = false, "", nil, nil
		c.Refresh(true)
		c.Updated = now
		if err := s.saveConnector(ctx, tx, c, before, now); err != nil {
			return err
		}
	}
	return s.refresh(ctx, tx, now)
}

// consequence cancels the order of a start that came to nothing.
func (e *Engine) consequence(ctx context.Context, tx Tx, s *site, c *command.Command, now time.Time) error {
	if c.Type != command.Start || c.State.Open() || c.State == command.Completed {
		return nil
	}
	r := s.findRunning(c.Session, 0)
	if r == nil || r.order == nil || r.session.Begun() {
		return nil
	}
	why := order.StartFailed
	switch c.State {
	case command.Rejected:
		why = order.StartRejected
	case command.Timeout:
		why = order.StartTimeout
	case command.Pending, command.Sent, command.Accepted, command.Completed, command.Failed, command.Cancelled:
	}
	return e.drop(ctx, tx, s, r, why, "", now)
}

// drop cancels an order whose session the device never began.
func (e *Engine) drop(ctx context.Context, tx Tx, s *site, r *running, why, by string, now time.Time) error {
	s.shifted()
	if r.order == nil {
		return nil
	}
	c, err := r.order.Cancel(why, now)
	if err != nil {
		return err
	}
	c.By, c.Detail = by, why
	if err := order.Record(ctx, tx, r.order, c); err != nil {
		return err
	}
	r.session.State, r.session.StoppedAt, r.session.UpdatedAt = order.SessionEnded, now, now
	if err := tx.Orders().UpdateSession(ctx, s.scope(), r.session); err != nil {
		return err
	}
	delete(s.running, r.session.Connector)
	open, err := tx.Commands().OpenCommands(ctx, s.scope(), s.place.id)
	if err != nil {
		return err
	}
	for _, c := range open {
		if c.Session != r.session.UID || c.Type != command.Start {
			continue
		}
		c.State, c.Reason, c.EndedAt = command.Failed, why, now
		if err := s.saveCommand(ctx, tx, c, now); err != nil {
			return err
		}
	}
	return nil
}

// done completes the commands that waited for the end of a session.
func (e *Engine) done(ctx context.Context, tx Tx, s *site, session string, now time.Time) error {
	open, err := tx.Commands().OpenCommands(ctx, s.scope(), s.place.id)
	if err != nil {
		return err
	}
	for _, c := range open {
		if c.Session == session && c.AwaitsSession() && c.Complete(now) {
			if err := s.saveCommand(ctx, tx, c, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// expire ends a command whose time is up.
func (e *Engine) expire(ctx context.Context, old *command.Command) (*command.Command, error) {
	var c *command.Command
	who := place{old.Tenant, old.Charger}
	err := e.act(ctx, who, e.Urgent, remembered, func(tx Tx, s *site) error {
		var err error
		now := e.Clock.Now()
		if c, err = tx.Commands().Command(ctx, who.scope(), old.ID); err != nil {
			return err
		}
		if !c.Expire("no answer", now) {
			return nil
		}
		if err := s.saveCommand(ctx, tx, c, now); err != nil {
			return err
		}
		return e.consequence(ctx, tx, s, c, now)
	})
	return c, err
}

// CancelCommand takes back a command that was not sent yet.
func (e *Engine) CancelCommand(ctx context.Context, a *evcs.Actor, scope evcs.Scope, id evcs.CommandID) (*command.Command, error) {
	found, err := e.Rolls.Command(ctx, scope, id)
	if err != nil {
		return nil, err
	}
	var c *command.Command
	who := place{found.Tenant, found.Charger}
	err = e.act(ctx, who, e.Urgent, remembered, func(tx Tx, s *site) error {
		var err error
		now := e.Clock.Now()
		if c, err = tx.Commands().Command(ctx, who.scope(), id); err != nil {
			return err
		}
		before := c.State
		if err := c.Cancel(now); err != nil {
			return err
		}
		if err := auditCommand(ctx, tx, a, c, &before, now); err != nil {
			return err
		}
		if err := s.saveCommand(ctx, tx, c, now); err != nil {
			return err
		}
		return e.consequence(ctx, tx, s, c, now)
	})
	return c, err
}
