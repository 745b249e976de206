package store_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// meddle changes the store behind its back.
func meddle(t *testing.T, db *store.DB, statement string, args ...any) {
	t.Helper()
	if err := store.Meddle(t.Context(), db, fmt.Sprintf(statement, args...)); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// keeping sets how long a tenant keeps its data, in days.
func keeping(t *testing.T, db *store.DB, id evcs.TenantID, meter, message, audit int) {
	t.Helper()
	meddle(t, db, `UPDATE tenants SET settings = '{"meterRetentionDays":%d,"messageRetentionDays":%d,"auditRetentionDays":%d}' WHERE id = %d`, meter, message, audit, id)
}

func ago(days int) int64 { return evcs.Millis(day.AddDate(0, 0, -days)) }

func TestMessagesGoWhenTheirTenantSays(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		plant(t, db)
		short := mustSprout(t, db, 1, "short", tenant.Limits{})
		child := mustSprout(t, db, short, "heir", tenant.Limits{}) // inherits
		long := mustSprout(t, db, 1, "long", tenant.Limits{})
		keeping(t, db, short, 400, 10, 1100)
		keeping(t, db, long, 400, 1000, 1100)
		for _, owner := range []evcs.TenantID{long, short, child, 1} {
			for _, days := range []int{120, 50, 11, 9} {
				meddle(t, db, `INSERT INTO frames (tenant_id, charger_id, at, out, protocol, type, session_uid, message_id, raw, outcome)
					VALUES (%d, 1, %d, false, 'OCPP16', 'X', '', '%d', '', '')`, owner, ago(days), days)
			}
		}
		for pass := range 2 { // a second pass finds nothing more
			newest, err := db.Retention().Plan(ctx, day)
			if err != nil {
				t.Fatal(err)
			}
			calls := 0
			for after := int64(0); ; calls++ {
				if after, err = db.Retention().Frames(ctx, newest.Frames, after, 3); err != nil {
					t.Fatal(err)
				}
				if after == 0 {
					break
				}
			}
			if pass == 0 && calls < 4 {
				t.Errorf("%d calls for 16 rows in threes", calls)
			}
			kept := make(map[evcs.TenantID]string)
			if err := store.Look(ctx, db, `SELECT tenant_id, message_id FROM frames ORDER BY tenant_id, id`, func(rows *sql.Rows) error {
				var owner evcs.TenantID
				var days string
				err := rows.Scan(&owner, &days)
				kept[owner] += days + " "
				return err
			}); err != nil {
				t.Fatal(err)
			}
			want := map[evcs.TenantID]string{1: "50 11 9 ", short: "9 ", child: "9 ", long: "120 50 11 9 "}
			if diff := cmp.Diff(want, kept); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
		}
	})
}

func TestOldCurvesAreThinned(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		plant(t, db)
		long := mustSprout(t, db, 1, "long", tenant.Limits{})
		keeping(t, db, long, 3000, 90, 1100)
		// old, old of one who keeps it, old, running since long, new
		for i, s := range []struct {
			owner evcs.TenantID
			days  int
			runs  bool
		}{{1, 500, false}, {long, 500, false}, {1, 450, false}, {1, 420, true}, {1, 3, false}} {
			begun := day.AddDate(0, 0, -s.days).Truncate(time.Hour)
			stopped := evcs.Millis(begun.Add(40 * time.Minute))
			if s.runs {
				stopped = 0
			}
			meddle(t, db, `INSERT INTO sessions (tenant_id, uid, order_id, station_id, charger_id, connector_no, user_ref, protocol, state, started_at, stopped_at,
				received_start_at, received_stop_at, energy, seconds, samples, last_at, last_have, last_register, last_energy, last_power, last_voltage,
				last_current, last_soc, last_temperature, last_rise_at, estimated, anomalies, idle_since, created_at, updated_at, version)
				VALUES (%d, 'S-%d', 0, 1, 1, 1, 0, 'OCPP16', 'ENDED', %d, %d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, '', 0, 0, 0, 1)`,
				s.owner, i+1, evcs.Millis(begun), stopped)
			for minute := 1; minute <= 40; minute++ {
				meddle(t, db, `INSERT INTO samples (session_id, at, tenant_id, have, register, energy, power, voltage, current, soc, temperature)
					VALUES (%d, %d, %d, 0, 0, %d, 0, 0, 0, 0, 0)`, i+1, evcs.Millis(begun.Add(time.Duration(minute)*time.Minute)), s.owner, minute)
			}
		}
		newest, err := db.Retention().Plan(ctx, day)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			after, err := db.Retention().Thinned(ctx)
			for whole := true; err == nil; {
				if after, whole, err = db.Retention().Curves(ctx, newest.Samples, after, whole, 2); after == 0 {
					break
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			kept := make(map[int]string)
			if err := store.Look(ctx, db, `SELECT session_id, energy FROM samples ORDER BY session_id, at`, func(rows *sql.Rows) error {
				var session, minute int
				err := rows.Scan(&session, &minute)
				kept[session] += fmt.Sprint(minute, " ")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			every := ""
			for minute := 1; minute <= 40; minute++ {
				every += fmt.Sprint(minute, " ")
			}
			// The first and the last of each quarter of an hour.
			want := map[int]string{1: "1 14 15 29 30 40 ", 2: every, 3: "1 14 15 29 30 40 ", 4: every, 5: every}
			if diff := cmp.Diff(want, kept); diff != "" {
				t.Errorf("kept (-want +got):\n%s", diff)
			}
			if mark, err := db.Retention().Thinned(ctx); err != nil || mark != 1 {
				t.Errorf("the next pass begins behind %d, want 1: the second is not over; %v", mark, err)
			}
		}
	})
}

func TestAnOldRecordGoesAndTheRestCanBeVerified(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		plant(t, db)
		for i := range 20 {
			if err := db.Transact(ctx, func(tx *store.Tx) error {
				return tenant.Audit(ctx, tx.Tenants(), boss(), tenant.AuditRow{
					At: day.AddDate(0, 0, -1110+i), Action: tenant.UpdateTenant, Target: 1, Success: true, Details: map[string]any{"i": i},
				})
			}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Retention().Plan(ctx, day); err != nil {
			t.Fatal(err)
		}
		due, err := db.Retention().Chains(ctx, 0, 10)
		if err != nil || !cmp.Equal(due, []evcs.TenantID{1}) {
			t.Fatalf("due: %v, %v", due, err)
		}
		verify := func() tenant.Verification {
			t.Helper()
			v, err := db.Reader().Tenants().Verify(ctx, evcs.Subtree(1))
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		for _, want := range []int64{4, 4, 2, 0} { // ten are older than 1100 days
			if gone, err := db.Retention().Audit(ctx, 1, day, 4); err != nil || gone != want {
				t.Errorf("%d rows went, want %d; %v", gone, want, err)
			}
			if v := verify(); !v.OK() {
				t.Errorf("after %d more: %+v", want, v)
			}
		}
		if v := verify(); v.Rows != 10 {
			t.Errorf("%+v, want 10 rows", v)
		}
		if due, err := db.Retention().Chains(ctx, 0, 10); err != nil || len(due) != 0 {
			t.Errorf("still due: %v, %v", due, err)
		}
		// All of it is over: the last row stays, so that a cut can be told from it.
		meddle(t, db, `UPDATE retention SET audit_before = %d`, ago(0))
		for gone := int64(1); gone > 0; {
			if gone, err = db.Retention().Audit(ctx, 1, day, 100); err != nil {
				t.Fatal(err)
			}
		}
		if v := verify(); v != (tenant.Verification{Rows: 1}) {
			t.Errorf("%+v, want the last row", v)
		}
		meddle(t, db, `UPDATE audit_anchors SET chain_no = 18`)
		if v := verify(); v.OK() {
			t.Errorf("a moved anchor is not noticed: %+v", v)
		}
		meddle(t, db, `UPDATE audit_anchors SET chain_no = 19`)
		meddle(t, db, `DELETE FROM audit`)
		if v := verify(); v.OK() {
			t.Errorf("an emptied record is not noticed: %+v", v)
		}
	})
}
