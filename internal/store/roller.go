package store

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
	"github.com/evcs/evcs/internal/tenant"
)

// untouched is for how long a row must not have changed before it is rolled:
// a young one is likely to change again.
const untouched = 10 * time.Minute

// Roller keeps the figures of dashboards by day and month. It may run on
// several nodes at once: each row is rolled by one.
type Roller struct {
	db    *DB
	batch int
}

// NewRoller rolls the rows of a store, at most batch of a kind at a time.
func NewRoller(db *DB, batch int) Roller { return Roller{db, batch} }

// rollable says which rows of a kind may be rolled, and what is read of them.
// The last two binds are the moment before which it was last touched.
var rollable = [kinds]struct{ table, cond, columns string }{
	kindOrder: {"orders", `NOT rolled AND tenant_id > 0 AND status <> 0 AND updated_at < ?`, rolledOrderColumns},
	kindSession: {
		"sessions", `NOT rolled AND tenant_id > 0 AND (state = 'ENDED' AND stopped_at > 0 OR state = 'ORPHAN' OR started_at = 0 AND state = 'ENDED')
			AND updated_at < ? AND stopped_at < ?`, rolledSessionColumns,
	},
	kindPayment: {"payments", `NOT rolled AND paid_at > 0 AND tenant_id > 0 AND updated_at < ?`, rolledPaymentColumns},
	kindRefund:  {"refunds", `NOT rolled AND status = 2 AND tenant_id > 0 AND updated_at < ?`, rolledRefundColumns},
}

func (k kind) binds(before int64) []any {
	if k == kindSession {
		return []any{before, before}
	}
	return []any{before}
}

// Roll adds rows that were not touched lately to the figures and returns how
// many of a kind at most; a whole batch means that there may be more. A repeat adds
// nothing twice.
func (r Roller) Roll(ctx context.Context, now time.Time) (int, error) {
	most := 0
	for k := range kinds {
		n, err := r.roll(ctx, k, evcs.Millis(now.Add(-untouched)))
		if err != nil {
			return most, err
		}
		most = max(most, n)
	}
	return most, nil
}

func (r Roller) roll(ctx context.Context, k kind, before int64) (int, error) {
	what := rollable[k]
	ids := make([]any, 0, r.batch)
	err := r.db.Reader().q.rows(ctx, "look for rows to roll", func(rows row) error {
		var id int64
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT id FROM `+what.table+` WHERE `+what.cond+` LIMIT `+strconv.Itoa(r.batch), k.binds(before)...)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	n := len(ids)
	for len(ids) < r.batch { // one text for every number
		ids = append(ids, 0)
	}
	return n, r.db.Gather(ctx, func(tx *Tx) error {
		if err := tx.lockReports(ctx); err != nil {
			return err
		}
		query := `UPDATE ` + what.table + ` SET rolled = TRUE WHERE id IN (` + binds(len(ids)) + `) AND ` + what.cond + ` RETURNING ` + what.columns
		return tx.roll(ctx, k, query, slices.Concat(ids, k.binds(before))...)
	})
}

var errNoReportSequence = errNoSequence

// lockReports lets one node at a time change which rows are rolled by which
// zones.
func (tx *Tx) lockReports(ctx context.Context) error {
	var next int64
	return tx.q.one(ctx, "lock the figures", errNoReportSequence, []any{&next}, `UPDATE sequences SET next = next WHERE name = 'report' RETURNING next`)
}

// roll adds what a query returns to the figures.
func (tx *Tx) roll(ctx context.Context, k kind, query string, args ...any) error {
	rows, err := tx.rolling(ctx, k, query, args...)
	if err != nil {
		return err
	}
	zones, err := zonesOf(ctx, tx.q, rows.tenants(), false)
	if err != nil {
		return err
	}
	f := newFigures(1, zones)
	for _, o := range rows.orders {
		f.order(o)
	}
	for _, m := range rows.money {
		f.money(m, f.of(m.tenant, k, m.id))
	}
	for _, s := range rows.sessions {
		if err := f.session(s, f.of(s.tenant, k, s.id), tx.readings(ctx, s), nil); err != nil {
			return err
		}
	}
	return f.write(ctx, tx.q)
}

func (tx *Tx) readings(ctx context.Context, s rolledSession) func() ([]tariff.Point, error) {
	return func() ([]tariff.Point, error) { return points(ctx, tx.q, s.tenant, s.id) }
}

// rollingRows are rows of one kind.
type rollingRows struct {
	orders   []rolledOrder
	sessions []rolledSession
	money    []rolledMoney
}

func (tx *Tx) rolling(ctx context.Context, k kind, query string, args ...any) (rollingRows, error) {
	var found rollingRows
	var err error
	switch k {
	case kindOrder:
		err = tx.q.rows(ctx, "roll orders", func(rows row) error {
			o, err := scanRolledOrder(rows)
			found.orders = append(found.orders, o)
			return err
		}, query, args...)
	case kindSession:
		err = tx.q.rows(ctx, "roll sessions", func(rows row) error {
			s, err := scanRolledSession(rows)
			found.sessions = append(found.sessions, s)
			return err
		}, query, args...)
	case kindPayment, kindRefund, kinds:
		found.money, err = tx.q.rolledMoney(ctx, "roll money", k, query, args...)
	}
	return found, err
}

func (r rollingRows) tenants() []evcs.TenantID {
	set := make(map[evcs.TenantID]bool)
	for _, o := range r.orders {
		set[o.tenant] = true
	}
	for _, s := range r.sessions {
		set[s.tenant] = true
	}
	for _, m := range r.money {
		set[m.tenant] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// pair is a tenant and the name of a zone.
type pair struct {
	tenant evcs.TenantID
	zone   string
}

// Zones sees to it that the figures of every tenant are kept by its own days
// and by those of its ancestors, and builds what is new a part at a time. It
// returns how many parts are still to be built.
func (r Roller) Zones(ctx context.Context) (int, error) {
	missing, err := r.missing(ctx)
	if err != nil {
		return 0, err
	}
	if len(missing) > 0 {
		if err := r.db.Gather(ctx, func(tx *Tx) error { return tx.addZones(ctx, missing) }); err != nil {
			return 0, err
		}
	}
	return r.build(ctx)
}

// missing are the zones that ought to be there and are not.
func (r Roller) missing(ctx context.Context) ([]pair, error) {
	q := r.db.Reader().q
	list, err := tenantRows(ctx, q, "read tenants", `SELECT `+tenantColumns+` FROM tenants t WHERE t.deleted_at = 0 ORDER BY t.level`)
	if err != nil {
		return nil, err
	}
	have := make(map[pair]bool)
	if err := q.rows(ctx, "read zones of tenants", func(rows row) error {
		var p pair
		err := rows.Scan(&p.tenant, &p.zone)
		have[p] = true
		return err
	}, `SELECT r.tenant_id, z.name FROM report_zones r JOIN zones z ON z.id = r.zone_id`); err != nil {
		return nil, err
	}
	chains := make(map[evcs.TenantID]tenant.Chain, len(list))
	zones := make(map[evcs.TenantID][]string, len(list))
	var missing []pair
	for _, t := range list {
		chains[t.ID] = append(tenant.Chain{t}, chains[t.Parent]...)
		own := append(slices.Clone(zones[t.Parent]), chains[t.ID].Settings().Zone().String())
		slices.Sort(own)
		zones[t.ID] = slices.Compact(own)
		for _, zone := range zones[t.ID] {
			if p := (pair{t.ID, zone}); !have[p] {
				missing = append(missing, p)
			}
		}
	}
	return missing, nil
}

func (tx *Tx) addZones(ctx context.Context, list []pair) error {
	if err := tx.lockReports(ctx); err != nil {
		return err
	}
	for _, p := range list {
		if _, err := tx.q.exec(ctx, "add zone", `INSERT INTO zones (name) VALUES (?) ON CONFLICT (name) DO NOTHING`, p.zone); err != nil {
			return err
		}
		if _, err := tx.q.exec(ctx, "add zone of a tenant", `
			INSERT INTO report_zones (tenant_id, zone_id, orders_to, sessions_to, payments_to, refunds_to, ready)
			SELECT CAST(? AS BIGINT), id, 0, 0, 0, 0, FALSE FROM zones WHERE name = ? ON CONFLICT (tenant_id, zone_id) DO NOTHING`, p.tenant, p.zone); err != nil {
			return err
		}
	}
	return nil
}

// build adds the next rolled rows to zones that do not hold them yet.
func (r Roller) build(ctx context.Context) (int, error) {
	type part struct {
		tenant evcs.TenantID
		zone   int64
	}
	var parts []part
	if err := r.db.Reader().q.rows(ctx, "look for zones to build", func(rows row) error {
		var p part
		err := rows.Scan(&p.tenant, &p.zone)
		parts = append(parts, p)
		return err
	}, `SELECT tenant_id, zone_id FROM report_zones WHERE NOT ready ORDER BY tenant_id, zone_id`); err != nil {
		return 0, err
	}
	open := 0
	for _, p := range parts {
		ready := false
		err := r.db.Gather(ctx, func(tx *Tx) (err error) {
			ready, err = tx.build(ctx, p.tenant, p.zone, r.batch)
			return err
		})
		if err != nil {
			return open, err
		}
		if !ready {
			open++
		}
	}
	return open, nil
}

// columnTo are the columns of report_zones that say how far a zone is built.
var columnTo = [kinds]string{"orders_to", "sessions_to", "payments_to", "refunds_to"}

// build takes the next rows of each kind and reports whether these were the
// last.
func (tx *Tx) build(ctx context.Context, tenantID evcs.TenantID, zone int64, batch int) (bool, error) {
	if err := tx.lockReports(ctx); err != nil {
		return false, err
	}
	zones, err := zonesOf(ctx, tx.q, []evcs.TenantID{tenantID}, true)
	if err != nil {
		return false, err
	}
	at := slices.IndexFunc(zones[tenantID], func(z dayZone) bool { return z.id == zone })
	if at < 0 {
		return true, nil
	}
	only := zones[tenantID][at : at+1]
	f := newFigures(1, nil)
	done := true
	for k := range kinds {
		if only[0].to[k] == everyRow {
			continue
		}
		last, err := tx.buildKind(ctx, k, f, tenantID, only, batch)
		if err != nil {
			return false, err
		}
		done = done && last == everyRow
		if _, err := tx.q.exec(ctx, "note how far a zone is built", `UPDATE report_zones SET `+columnTo[k]+` = ? WHERE tenant_id = ? AND zone_id = ?`,
			last, tenantID, zone); err != nil {
			return false, err
		}
	}
	if done {
		if _, err := tx.q.exec(ctx, "note that a zone is built", `UPDATE report_zones SET ready = TRUE WHERE tenant_id = ? AND zone_id = ?`, tenantID, zone); err != nil {
			return false, err
		}
	}
	return done, f.write(ctx, tx.q)
}

func (tx *Tx) buildKind(ctx context.Context, k kind, f *figures, tenantID evcs.TenantID, only []dayZone, batch int) (int64, error) {
	var ids []int64
	if err := tx.q.rows(ctx, "look for rows to build", func(rows row) error {
		var id int64
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT id FROM `+rollable[k].table+` WHERE tenant_id = ? AND id > ? ORDER BY id LIMIT `+strconv.Itoa(batch), tenantID, only[0].to[k]); err != nil {
		return 0, err
	}
	if len(ids) == 0 {
		return everyRow, nil
	}
	last := ids[len(ids)-1]
	rows, err := tx.rolling(ctx, k, `SELECT `+rollable[k].columns+` FROM `+rollable[k].table+` WHERE tenant_id = ? AND id > ? AND id <= ? AND rolled`,
		tenantID, only[0].to[k], last)
	if err != nil {
		return 0, err
	}
	for _, o := range rows.orders {
		f.orderDays(o, only)
	}
	for _, m := range rows.money {
		f.money(m, only)
	}
	for _, s := range rows.sessions {
		if err := f.session(s, only, tx.readings(ctx, s), nil); err != nil {
			return 0, err
		}
	}
	if len(ids) < batch {
		last = everyRow
	}
	return last, nil
}
