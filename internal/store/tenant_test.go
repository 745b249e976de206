package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

var day = time.Date(2026, 2, 10, 10, 30, 0, 0, time.UTC)

// boss may do everything from the root down.
func boss() *evcs.Actor {
	return &evcs.Actor{
		User: 1, Name: "boss", Tenant: evcs.PlatformTenant, Platform: true,
		Permissions: map[evcs.Permission]bool{tenant.ReadDescendants: true, tenant.WriteDescendants: true},
	}
}

func plant(t testing.TB, db *store.DB) {
	t.Helper()
	root := tenant.Tenant{ID: 1, Code: "SYSTEM", Name: "root", Type: tenant.Platform, Enabled: true, Created: day, Updated: day}
	if err := db.Transact(t.Context(), func(tx *store.Tx) error {
		r := root
		return tx.Tenants().Insert(t.Context(), &r)
	}); err != nil {
		t.Fatal(err)
	}
}

func sprout(ctx context.Context, db *store.DB, parent evcs.TenantID, code string, limits tenant.Limits) (evcs.TenantID, error) {
	var id evcs.TenantID
	err := db.Transact(ctx, func(tx *store.Tx) error {
		made, err := tenant.Create(ctx, tx.Tenants(), boss(), day, tenant.New{
			Code: code, Name: code, Parent: parent, Type: tenant.Operator, ContactPerson: "a", ContactPhone: "13800138000", Limits: limits,
		})
		if err == nil {
			id = made.ID
		}
		return err
	})
	return id, err
}

func mustSprout(t *testing.T, db *store.DB, parent evcs.TenantID, code string, limits tenant.Limits) evcs.TenantID {
	t.Helper()
	id, err := sprout(t.Context(), db, parent, code, limits)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func limit(n int64) *int64 { return &n }

func registry(db *store.DB, clock evcs.Clock) *tenant.Registry {
	return &tenant.Registry{Clock: clock, Changed: func() {}, Transact: tenantTx(db)}
}

func tenantTx(db *store.DB) tenant.Transact {
	return func(ctx context.Context, fn func(tenant.Tx) error) error {
		return db.Transact(ctx, func(tx *store.Tx) error { return fn(tx) })
	}
}

// atOnce runs f n times together and counts what succeeded and what the quota
// refused; anything else fails the test.
func atOnce(t testing.TB, n int, f func(i int) error) (done, refused int) {
	t.Helper()
	results := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { results[i] = f(i) })
	}
	all.Wait()
	for _, err := range results {
		switch {
		case err == nil:
			done++
		case errors.Is(err, tenant.ErrQuota):
			refused++
		default:
			t.Errorf("unexpected: %v", err)
		}
	}
	return done, refused
}

func TestQuotaHoldsUnderConcurrency(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		own := mustSprout(t, db, 1, "own", tenant.Limits{Children: limit(5), Users: limit(5)})
		if done, refused := atOnce(t, 8, func(i int) error {
			_, err := sprout(t.Context(), db, own, fmt.Sprintf("c%d", i), tenant.Limits{})
			return err
		}); done != 5 || refused != 3 {
			t.Errorf("children: %d created, %d refused; want 5 and 3", done, refused)
		}
		left := mustSprout(t, db, 1, "above", tenant.Limits{Users: limit(5)})
		a, b := mustSprout(t, db, left, "a", tenant.Limits{}), mustSprout(t, db, left, "b", tenant.Limits{})
		if done, refused := atOnce(t, 8, func(i int) error {
			return addUser(t.Context(), db, []evcs.TenantID{a, b}[i%2], fmt.Sprintf("u%d", i))
		}); done != 5 || refused != 3 {
			t.Errorf("users below a limited ancestor: %d created, %d refused; want 5 and 3", done, refused)
		}
		if done, refused := atOnce(t, 8, func(i int) error { return addUser(t.Context(), db, own, fmt.Sprintf("o%d", i)) }); done != 5 || refused != 3 {
			t.Errorf("own users: %d created, %d refused; want 5 and 3", done, refused)
		}
	})
}

func TestRandomTreesNeverExceedAQuota(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		round := 0
		rapid.Check(t, func(r *rapid.T) {
			round++
			type node struct {
				id    evcs.TenantID
				users *int64
			}
			nodes := []node{{id: 1}}
			for i := range rapid.IntRange(1, 5).Draw(r, "tenants") {
				parent := rapid.SampledFrom(nodes).Draw(r, "parent")
				n := node{}
				if rapid.Bool().Draw(r, "limited") {
					n.users = limit(rapid.Int64Range(1, 4).Draw(r, "limit"))
				}
				var err error
				if n.id, err = sprout(t.Context(), db, parent.id, fmt.Sprintf("r%d-%d", round, i), tenant.Limits{Users: n.users}); err != nil {
					r.Fatal(err)
				}
				nodes = append(nodes, n)
			}
			places := rapid.SliceOfN(rapid.SampledFrom(nodes[1:]), 1, 8).Draw(r, "users")
			atOnce(t, len(places), func(i int) error { return addUser(t.Context(), db, places[i].id, fmt.Sprintf("u%d-%d", round, i)) })
			for _, n := range nodes[1:] {
				used, err := db.Reader().Tenants().Usage(t.Context(), n.id, tenant.Users)
				if err != nil || n.users != nil && used > *n.users {
					r.Fatalf("tenant %d has %d users, its limit is %d (%v)", n.id, used, *n.users, err)
				}
			}
		})
	})
}

func TestTreeMovesAndBlocks(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, reg := t.Context(), registry(db, fixed{day})
		plant(t, db)
		a, b := mustSprout(t, db, 1, "a", tenant.Limits{}), mustSprout(t, db, 1, "b", tenant.Limits{Users: limit(1)})
		aa := mustSprout(t, db, a, "aa", tenant.Limits{})
		aaa := mustSprout(t, db, aa, "aaa", tenant.Limits{})
		if _, err := sprout(ctx, db, 1, "AAA", tenant.Limits{}); !errors.Is(err, tenant.ErrCodeTaken) {
			t.Errorf("a taken code in capitals: %v", err)
		}
		if _, err := reg.Move(ctx, boss(), aa, aaa, nil); !errors.Is(err, tenant.ErrMove) {
			t.Errorf("move below itself: %v", err)
		}
		if moved, err := reg.Move(ctx, boss(), aa, b, nil); err != nil || moved.Parent != b || moved.Level != 2 {
			t.Fatalf("move: %+v, %v", moved, err)
		}
		chain, err := db.Reader().Tenants().Chain(ctx, aaa)
		if err != nil || len(chain) != 4 || chain[2].ID != b || chain[0].Level != 3 {
			t.Fatalf("chain after the move: %+v, %v", chain, err)
		}
		for i := range 2 { // two users fit at home, not under b
			if err := addUser(ctx, db, a, fmt.Sprintf("u%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := reg.Move(ctx, boss(), a, b, nil); !errors.Is(err, tenant.ErrQuota) {
			t.Errorf("move beyond a quota: %v", err)
		}
		done, err := reg.SetStatus(ctx, boss(), b, false, nil)
		if err != nil || done.Affected != 3 || done.State != tenant.Disabled {
			t.Errorf("disable: %+v, %v", done, err)
		}
		if chain, err = db.Reader().Tenants().Chain(ctx, aaa); err != nil || !errors.Is(chain.Blocked(day), tenant.ErrDisabled) {
			t.Errorf("below a disabled tenant: %v, %v", chain.Blocked(day), err)
		}
		if err := reg.Delete(ctx, boss(), b); !errors.Is(err, tenant.ErrNotEmpty) {
			t.Errorf("delete with children: %v", err)
		}
		if err := reg.Delete(ctx, boss(), aaa); err != nil {
			t.Errorf("delete an empty one: %v", err)
		}
		if _, err := db.Reader().Tenants().Chain(ctx, aaa); !errors.Is(err, tenant.ErrNotFound) {
			t.Errorf("deleted: %v", err)
		}
		list, err := db.Reader().Tenants().Page(ctx, evcs.Subtree(1), tenant.Wanted{State: tenant.Disabled, Now: day}, evcs.PageRequest{Page: 1, Size: 10})
		if err != nil || list.Total != 2 || list.Records[0].BlockedBy != b {
			t.Errorf("disabled tenants: %+v, %v", list, err)
		}
	})
}

func TestPagesAndCursorsAgree(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		plant(t, db)
		for i := range 7 {
			mustSprout(t, db, 1, fmt.Sprintf("p%d", i%7), tenant.Limits{})
		}
		read := db.Reader().Tenants()
		for _, sort := range [][]evcs.Sort{
			nil, {{Field: "tenantCode"}}, {{Field: "createTime", Desc: true}}, {{Field: "createTime"}, {Field: "tenantCode", Desc: true}},
		} {
			var paged, walked []evcs.TenantID
			for p := 1; p <= 3; p++ {
				part, err := read.Page(ctx, evcs.Subtree(1), tenant.Wanted{Now: day}, evcs.PageRequest{Page: p, Size: 3, Sort: sort})
				if err != nil || part.Total != 8 {
					t.Fatalf("page %d by %v: %+v, %v", p, sort, part, err)
				}
				for _, r := range part.Records {
					paged = append(paged, r.ID)
				}
			}
			for request := (evcs.PageRequest{Size: 3, Keyset: true, Sort: sort}); ; {
				part, err := read.Page(ctx, evcs.Subtree(1), tenant.Wanted{Now: day}, request)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range part.Records {
					walked = append(walked, r.ID)
				}
				if request.After = part.Next; part.Next == nil {
					break
				}
			}
			if fmt.Sprint(paged) != fmt.Sprint(walked) || len(paged) != 8 {
				t.Errorf("by %v: pages %v, cursor %v", sort, paged, walked)
			}
		}
		if _, err := read.Page(ctx, evcs.Subtree(1), tenant.Wanted{Now: day}, evcs.PageRequest{Page: 1, Size: 1, Sort: []evcs.Sort{{Field: "nope"}}}); !errors.Is(err, evcs.ErrInvalid) {
			t.Errorf("unknown sort field: %v", err)
		}
	})
}

func TestAuditChain(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx := t.Context()
		plant(t, db)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				if err := db.Transact(ctx, func(tx *store.Tx) error {
					return tenant.Audit(ctx, tx.Tenants(), boss(), tenant.AuditRow{
						At: day, Action: tenant.UpdateTenant, Target: 1, Success: true, Details: map[string]any{"i": i},
					})
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		read := db.Reader().Tenants()
		if v, err := read.Verify(ctx, evcs.Subtree(1)); err != nil || v != (tenant.Verification{Rows: 8}) {
			t.Fatalf("whole chain: %+v, %v", v, err)
		}
		for name, statement := range map[string]string{
			"changed": `UPDATE audit SET details = '{"i":99}' WHERE chain_no = 4`,
			"cut":     `DELETE FROM audit WHERE chain_no = 8`,
		} {
			if err := store.Meddle(ctx, db, statement); err != nil {
				t.Fatal(err)
			}
			if v, err := read.Verify(ctx, evcs.Subtree(1)); err != nil || v.FirstBroken == 0 {
				t.Errorf("%s row: %+v, %v", name, v, err)
			}
		}
	})
}

// fixed is a clock that stands.
type fixed struct{ at time.Time }

func (f fixed) Now() time.Time { return f.at }

func TestFoldedReadsCountOnOneRow(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		ctx, clock := t.Context(), &hand{at: day}
		plant(t, db)
		child := mustSprout(t, db, 1, "child", tenant.Limits{})
		crossings := &tenant.Crossings{Clock: clock, Transact: tenantTx(db), Log: slog.New(slog.DiscardHandler)}
		for range 5 {
			crossings.CrossedRead(ctx, boss(), "listStations", child)
		}
		crossings.CrossedRead(ctx, boss(), "listOrders", child)
		clock.pass(61 * time.Second)
		if err := crossings.Flush(ctx, false); err != nil {
			t.Fatal(err)
		}
		crossings.CrossedRead(ctx, boss(), "listStations", child)
		read := db.Reader().Tenants()
		rows, err := read.AuditPage(ctx, evcs.Only(1), tenant.AuditWanted{Actions: []tenant.Action{tenant.CrossLayerRead}}, evcs.PageRequest{Page: 1, Size: 9})
		if err != nil || rows.Total != 3 || rows.Records[2].Count != 5 || rows.Records[2].TargetName != "child" || rows.Records[0].Count != 1 {
			t.Errorf("rows: %+v, %v", rows, err)
		}
		counts, err := read.CrossLayer(ctx, evcs.Subtree(1), tenant.AuditWanted{})
		if err != nil || len(counts) == 0 || counts[0] != (tenant.ActionCount{Action: tenant.CrossLayerRead, Count: 7, Succeeded: 7}) {
			t.Errorf("counts: %+v, %v", counts, err)
		}
		if v, err := read.Verify(ctx, evcs.Subtree(1)); err != nil || v.FirstBroken != 0 {
			t.Errorf("verify: %+v, %v", v, err)
		}
		if seen, err := read.AuditPage(ctx, evcs.Only(99), tenant.AuditWanted{}, evcs.PageRequest{Page: 1, Size: 9}); err != nil || seen.Total != 0 {
			t.Errorf("a stranger sees %+v, %v", seen, err)
		}
	})
}
