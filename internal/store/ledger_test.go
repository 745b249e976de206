package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/ledger"
	"github.com/evcs/evcs/internal/store"
	"github.com/evcs/evcs/internal/store/storetest"
	"github.com/evcs/evcs/internal/tenant"
)

// lateClock is a clock that a test moves.
type lateClock struct {
	mu sync.Mutex
	at time.Time // guarded by mu
}

func (h *lateClock) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *lateClock) set(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = at
}

// vault is a store whose files are also in somebody else's hands.
type vault struct {
	t     *testing.T
	db    *store.DB
	raw   *sql.DB
	lite  bool
	clock *lateClock
	told  []ledger.Seal
}

func eachVault(t *testing.T, test func(v *vault)) {
	t.Helper()
	open := func(t *testing.T, url, driver, raw string) {
		t.Parallel()
		v := &vault{t: t, clock: &lateClock{at: day}, lite: driver == "sqlite"}
		var err error
		if v.db, err = store.Open(t.Context(), store.Config{URL: url, SyncOff: true, Clock: v.clock, RowSecurity: storetest.RowSecurity(url)}); err != nil {
			t.Fatal(err)
		}
		if v.raw, err = sql.Open(driver, raw); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := v.raw.Close(); err != nil {
				t.Error(err)
			}
			if err := v.db.Close(); err != nil {
				t.Error(err)
			}
		})
		test(v)
	}
	t.Run("sqlite", func(t *testing.T) {
		url := storetest.SQLiteURL(t)
		open(t, url, "sqlite", "file:"+strings.TrimPrefix(url, "sqlite:")+"?_pragma=busy_timeout(10000)")
	})
	if storetest.Server(t) != "" {
		t.Run("postgres", func(t *testing.T) {
			url := storetest.PostgresURL(t)
			open(t, url, "pgx", url)
		})
	}
}

// meddle changes rows behind the store's back.
func (v *vault) meddle(statements ...string) {
	v.t.Helper()
	for _, text := range statements {
		if _, err := v.raw.ExecContext(v.t.Context(), text); err != nil {
			v.t.Fatalf("%s: %v", text, err)
		}
	}
}

// unlock takes the triggers away, as somebody who owns the database can.
func (v *vault) unlock() {
	v.t.Helper()
	for _, table := range []string{"journal", "postings", "accounts", "journal_seals"} {
		if v.lite {
			v.meddle("DROP TRIGGER "+table+"_no_update", "DROP TRIGGER "+table+"_no_delete")
		} else {
			v.meddle("DROP TRIGGER " + table + "_fixed ON " + table)
		}
	}
}

// book books a payment of an order of a tenant.
func (v *vault) book(owner evcs.TenantID, n int64, amount evcs.Money) {
	v.t.Helper()
	within(v.t, v.db, func(ctx context.Context, tx *store.Tx) error {
		return ledger.Book(ctx, tx.Ledger(), ledger.Captured(ledger.Money{
			Tenant: owner, Order: evcs.OrderID(n), Payment: evcs.PaymentID(n), Channel: "alipay", Amount: amount, At: v.clock.Now().Add(-time.Hour), Owed: true,
		}))
	})
}

func (v *vault) sealer() *ledger.Sealer {
	return &ledger.Sealer{
		Clock: v.clock, Read: v.db.Reader().Ledger().Seals(), Done: func(_ context.Context, s ledger.Seal) { v.told = append(v.told, s) },
		Transact: func(ctx context.Context, fn func(ledger.SealTx) error) error {
			return v.db.Transact(ctx, func(tx *store.Tx) error { return fn(store.SealsOf(tx)) })
		},
	}
}

// seal seals until nothing is due, and counts the days.
func (v *vault) seal() int {
	v.t.Helper()
	for days := 0; ; days++ {
		n, err := v.sealer().Run(v.t.Context())
		if err != nil {
			v.t.Fatal(err)
		}
		if n == 0 {
			return days
		}
	}
}

func (v *vault) verify(scope evcs.Scope, r ledger.Range) []ledger.Checked {
	v.t.Helper()
	found, err := ledger.Verify(v.t.Context(), v.db.Reader().Ledger().Seals(), scope, r)
	if err != nil {
		v.t.Fatal(err)
	}
	return found
}

// wrong is what a check of everything finds, in words.
func (v *vault) wrong() string {
	v.t.Helper()
	var words []string
	for _, c := range v.verify(evcs.Subtree(1), ledger.Range{}) {
		for _, p := range c.Problems {
			words = append(words, fmt.Sprintf("%d %s %s %d", p.Tenant, p.Day, p.Defect, p.Entry))
		}
	}
	return strings.Join(words, ", ")
}

// filled has three sealed days of two tenants and an open one: ids 1 to 9.
func (v *vault) filled() (left, right evcs.TenantID) {
	v.t.Helper()
	plant(v.t, v.db)
	left, right = mustSprout(v.t, v.db, 1, "left", tenant.Limits{}), mustSprout(v.t, v.db, 1, "right", tenant.Limits{})
	n := int64(0)
	for d := range 3 {
		v.clock.set(day.AddDate(0, 0, d))
		for _, owner := range []evcs.TenantID{left, right, left} {
			if d == 1 && owner == right {
				continue // a day without
			}
			n++
			v.book(owner, n, 1000+evcs.Money(n))
		}
	}
	v.clock.set(day.AddDate(0, 0, 3))
	if days := v.seal(); days != 3 {
		v.t.Fatalf("%d days were sealed", days)
	}
	v.book(left, 9, 1009)
	return left, right
}

func TestDaysAreSealedOnceTheyHaveEnded(t *testing.T) {
	t.Parallel()
	eachVault(t, func(v *vault) {
		left, right := v.filled()
		if n := v.seal(); n != 0 {
			t.Errorf("again: %d", n)
		}
		v.clock.set(time.Date(2026, 2, 13, 16, 59, 0, 0, time.UTC)) // 00:59 in China
		if n := v.seal(); n != 0 {
			t.Errorf("before the grace is over: %d", n)
		}
		if got := v.wrong(); got != "" {
			t.Errorf("nobody touched it: %s", got)
		}
		checked := v.verify(evcs.Subtree(1), ledger.Range{})
		if len(checked) != 2 || checked[0].Tenant != left || checked[0].Seals != 3 || checked[0].Entries != 6 || checked[0].Open != 1 ||
			checked[1].Tenant != right || checked[1].Seals != 2 || checked[1].Entries != 2 || checked[1].First != "2026-02-10" || checked[1].Last != "2026-02-12" {
			t.Errorf("%+v", checked)
		}
		if len(v.told) != 5 || v.told[4].Hash != checked[0].Hash && v.told[4].Hash != checked[1].Hash {
			t.Errorf("%d seals were told", len(v.told))
		}
		one := v.verify(evcs.Only(left), ledger.Range{From: "2026-02-12", To: "2026-02-12"})
		if len(one) != 1 || one[0].Seals != 1 || one[0].Entries != 2 || one[0].Open != 0 || !one[0].Sound() {
			t.Errorf("one day: %+v", one)
		}
		if none := v.verify(evcs.Only(1), ledger.Range{}); len(none) != 0 {
			t.Errorf("a tenant without entries: %+v", none)
		}
		v.clock.set(time.Date(2026, 2, 13, 17, 0, 0, 0, time.UTC))
		if n := v.seal(); n != 1 {
			t.Errorf("after the grace: %d", n)
		}
	})
}

// Whatever is done to a sealed journal is found, and where.
func TestATouchedJournalIsFound(t *testing.T) {
	t.Parallel()
	eachVault(t, func(v *vault) {
		left, right := v.filled()
		for _, text := range []string{
			`UPDATE journal SET memo = 'x' WHERE id = 1`, `DELETE FROM postings WHERE entry_id = 1`, `UPDATE accounts SET kind = 'FEE'`, `DELETE FROM journal_seals`,
		} {
			if _, err := v.raw.ExecContext(t.Context(), text); err == nil || !strings.Contains(err.Error(), "is only added to") {
				t.Errorf("%s: %v", text, err)
			}
		}
		v.unlock()
		l, r := fmt.Sprint(left), fmt.Sprint(right)
		copyOf := func(id int) string {
			return fmt.Sprintf(`INSERT INTO journal (id, tenant_id, key, kind, at, order_id, payment_id, refund_id, memo, sandbox, booked_at, phase, refers)
				SELECT %d, tenant_id, 'copy', kind, at, order_id, payment_id, refund_id, memo, sandbox, booked_at, phase, refers FROM journal WHERE id = 1`, id)
		}
		postingsOf := func(id int) string {
			return fmt.Sprintf(`INSERT INTO postings (entry_id, line_no, tenant_id, account_id, amount) SELECT %d, line_no, tenant_id, account_id, amount FROM postings WHERE entry_id = 1`, id)
		}
		for name, c := range map[string]struct {
			do, undo []string
			want     string
		}{
			"a payment made greater": {
				[]string{`UPDATE postings SET amount = amount * 2 WHERE entry_id = 2`},
				[]string{`UPDATE postings SET amount = amount / 2 WHERE entry_id = 2`},
				r + " 2026-02-10 CHANGED 2",
			},
			"when it happened": {
				[]string{`UPDATE journal SET at = at - 86400000 WHERE id = 5`},
				[]string{`UPDATE journal SET at = at + 86400000 WHERE id = 5`},
				l + " 2026-02-11 CHANGED 5",
			},
			"an account renamed": {
				[]string{`UPDATE accounts SET kind = 'SUSPENSE' WHERE kind = 'RECEIVABLE' AND tenant_id = ` + r},
				[]string{`UPDATE accounts SET kind = 'RECEIVABLE' WHERE kind = 'SUSPENSE' AND tenant_id = ` + r},
				r + " 2026-02-10 CHANGED 2, " + r + " 2026-02-12 CHANGED 7",
			},
			"an entry slipped in": {
				[]string{copyOf(-5), postingsOf(-5)},
				[]string{`DELETE FROM postings WHERE entry_id = -5`, `DELETE FROM journal WHERE id = -5`},
				l + " 2026-02-10 ADDED -5",
			},
			"a seal forged": {
				[]string{`UPDATE journal_seals SET hash = 'f' || hash WHERE no = 1 AND tenant_id = ` + r},
				[]string{`UPDATE journal_seals SET hash = SUBSTR(hash, 2) WHERE no = 1 AND tenant_id = ` + r},
				r + " 2026-02-12 BROKEN 0, " + r + " 2026-02-10 BROKEN 0",
			},
			"an open entry that does not balance": {
				[]string{`UPDATE postings SET amount = amount + 1 WHERE entry_id = 9 AND line_no = 1`},
				[]string{`UPDATE postings SET amount = amount - 1 WHERE entry_id = 9 AND line_no = 1`},
				l + "  UNBALANCED 9",
			},
		} {
			v.meddle(c.do...)
			if got := v.wrong(); got != c.want {
				t.Errorf("%s: found %q, want %q", name, got, c.want)
			}
			v.meddle(c.undo...)
			if got := v.wrong(); got != "" {
				t.Fatalf("%s, undone: %q", name, got)
			}
		}
		// These are not undone.
		v.meddle(`DELETE FROM postings WHERE entry_id = 8`, `DELETE FROM journal WHERE id = 8`)
		if got := v.wrong(); got != l+" 2026-02-12 REMOVED 8" {
			t.Errorf("an entry removed: %q", got)
		}
		v.meddle(`DELETE FROM journal_seals WHERE no = 3 AND tenant_id = ` + l)
		if got := v.wrong(); got != l+"  ADDED 6" {
			t.Errorf("the last seal removed too: %q", got)
		}
	})
}

// Of several that seal at once, and of those that are killed before they end,
// one makes the seals of a day.
func TestSealingAtOnce(t *testing.T) {
	t.Parallel()
	eachVault(t, func(v *vault) {
		plant(t, v.db)
		for n := range int64(20) {
			v.book(1, n+1, 100)
		}
		v.clock.set(day.AddDate(0, 0, 2))
		killed := v.sealer()
		killed.Transact = func(ctx context.Context, fn func(ledger.SealTx) error) error {
			return v.db.Transact(ctx, func(tx *store.Tx) error {
				if err := fn(store.SealsOf(tx)); err != nil {
					return err
				}
				return context.Canceled // killed before the commit
			})
		}
		if _, err := killed.Run(t.Context()); err == nil {
			t.Error("it was not killed")
		}
		var all sync.WaitGroup
		done := make([]int, 4)
		for i := range done {
			all.Go(func() {
				s := v.sealer()
				s.Done = func(context.Context, ledger.Seal) {}
				done[i], _ = s.Run(t.Context()) // those who are late may be told so
			})
		}
		all.Wait()
		sum := 0
		for _, n := range done {
			sum += n
		}
		checked := v.verify(evcs.Only(1), ledger.Range{})
		if sum != 1 || len(checked) != 1 || checked[0].Seals != 1 || checked[0].Entries != 20 || !checked[0].Sound() {
			t.Errorf("%v %+v", done, checked)
		}
	})
}

func TestStatementsOfAccounts(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		left := mustSprout(t, db, 1, "left", tenant.Limits{})
		pay := func(owner evcs.TenantID, n int64, amount evcs.Money, at time.Time) {
			within(t, db, func(ctx context.Context, tx *store.Tx) error {
				return ledger.Book(ctx, tx.Ledger(), ledger.Captured(ledger.Money{
					Tenant: owner, Order: evcs.OrderID(n), Payment: evcs.PaymentID(n), Channel: "alipay", Amount: amount, At: at, Owed: true,
				}))
			})
		}
		pay(1, 1, 100, day)
		pay(1, 2, 200, day.Add(2*time.Hour))
		pay(1, 3, 300, day.Add(time.Hour)) // booked later, happened before
		pay(left, 4, 1000, day.Add(time.Hour))
		within(t, db, func(ctx context.Context, tx *store.Tx) error {
			return ledger.Book(ctx, tx.Ledger(), ledger.Outside{Tenant: 1, Kind: ledger.KindPaidOut, Channel: "alipay", Reference: "B1", Amount: 250, At: day.Add(3 * time.Hour)}.Entry())
		})
		lists, alipay := db.Reader().Ledger().Lists(), ledger.Account{Kind: ledger.Clearing, Name: "alipay"}
		read := func(scope evcs.Scope, from time.Time, r evcs.PageRequest) (words []string, next *evcs.PlaceAfter) {
			t.Helper()
			found, err := lists.Statement(t.Context(), scope, ledger.StatementFilter{Account: alipay, From: from}, r)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range found.Records {
				words = append(words, fmt.Sprintf("%s %s %s", l.Entry.Kind, l.Amount, l.Balance))
			}
			return words, found.Next
		}
		up := []evcs.Sort{{Field: "time"}}
		all := []string{"CAPTURED 1.00 1.00", "CAPTURED 3.00 4.00", "CAPTURED 2.00 6.00", "PAID_OUT -2.50 3.50"}
		got, _ := read(evcs.Only(1), time.Time{}, evcs.PageRequest{Page: 1, Size: 10, Sort: up})
		if d := cmp.Diff(all, got); d != "" {
			t.Error(d)
		}
		got, _ = read(evcs.Only(1), day.Add(90*time.Minute), evcs.PageRequest{Page: 1, Size: 10})
		if d := cmp.Diff([]string{all[3], all[2]}, got); d != "" {
			t.Error("the newest first: " + d)
		}
		var paged []string
		for r := (evcs.PageRequest{Size: 3, Keyset: true, Sort: up}); ; {
			part, next := read(evcs.Only(1), time.Time{}, r)
			paged = append(paged, part...)
			if r.After = next; next == nil {
				break
			}
		}
		if d := cmp.Diff(all, paged); d != "" {
			t.Error("by cursor: " + d)
		}
		got, _ = read(evcs.Subtree(1), day.Add(90*time.Minute), evcs.PageRequest{Page: 1, Size: 1, Sort: up})
		if d := cmp.Diff([]string{"CAPTURED 2.00 16.00"}, got); d != "" {
			t.Error("of the subtree: " + d)
		}
		opening, b, err := lists.Turnover(t.Context(), evcs.Only(1), ledger.StatementFilter{Account: alipay, From: day.Add(90 * time.Minute), To: day.Add(24 * time.Hour)})
		if err != nil || opening != 400 || b.Debit != 200 || b.Credit != 250 {
			t.Errorf("%s %+v %v", opening, b, err)
		}
		accounts, err := lists.Accounts(t.Context(), evcs.Only(left), day.Add(24*time.Hour), evcs.PageRequest{Page: 1, Size: 10, Sort: []evcs.Sort{{Field: "account"}}})
		if err != nil || accounts.Total != 2 || accounts.Records[0].Account != alipay || accounts.Records[0].Net() != 1000 || accounts.Records[1].Net() != -1000 {
			t.Errorf("%+v %v", accounts, err)
		}
		entries, err := lists.EntryPage(t.Context(), evcs.Only(1), ledger.EntryFilter{Kinds: []string{"PAID_OUT"}}, evcs.PageRequest{Page: 1, Size: 10})
		if err != nil || entries.Total != 1 || len(entries.Records[0].Postings) != 2 || entries.Records[0].Key != "outside/PAID_OUT/alipay//B1" {
			t.Errorf("%+v %v", entries, err)
		}
		moved, err := db.Reader().Ledger().Moved(t.Context(), evcs.Only(1), alipay, ledger.OutsideKinds(), day, time.Time{})
		if err != nil || moved != -250 {
			t.Errorf("%s %v", moved, err)
		}
	})
}

// The age of what is in an account is that of its oldest money, first in first
// out.
func TestMoneyThatWaits(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		plant(t, db)
		now := day.AddDate(0, 0, 20)
		age := func(metric string) string {
			t.Helper()
			list, err := db.Reader().Gauges().Read(t.Context(), metric, now)
			if err != nil {
				t.Fatal(err)
			}
			var words []string
			for _, r := range list {
				words = append(words, fmt.Sprintf("%d %s %s %s", r.Tenant, r.Target.ID, r.Value, r.Note))
			}
			return strings.Join(words, ", ")
		}
		book := func(entries ...ledger.Entry) {
			t.Helper()
			within(t, db, func(ctx context.Context, tx *store.Tx) error {
				for _, e := range entries {
					if err := ledger.Book(ctx, tx.Ledger(), e); err != nil {
						return err
					}
				}
				return nil
			})
		}
		money := func(n int64, amount evcs.Money, ago int, owed bool) ledger.Money {
			return ledger.Money{Tenant: 1, Order: evcs.OrderID(n), Payment: evcs.PaymentID(n), Refund: evcs.RefundID(n), Channel: "alipay", Amount: amount, At: now.AddDate(0, 0, -ago), Owed: owed}
		}
		pretended := money(50, 100, 20, true)
		pretended.Channel, pretended.Sandbox = "sandbox", true
		book(ledger.Captured(pretended))
		if got := age("clearing_age_days"); got != "" {
			t.Errorf("pretended money: %s", got)
		}
		book(ledger.Captured(money(1, 100, 12, true)), ledger.Captured(money(2, 200, 10, true)), ledger.Captured(money(3, 300, 2, true)))
		if got := age("clearing_age_days"); got != "1 CLEARING/alipay 12 CLEARING/alipay 6.00" {
			t.Error(got)
		}
		out := func(ref string, amount evcs.Money) ledger.Entry {
			return ledger.Outside{Tenant: 1, Kind: ledger.KindPaidOut, Channel: "alipay", Reference: ref, Amount: amount, At: now}.Entry()
		}
		book(out("1", 100))
		if got := age("clearing_age_days"); got != "1 CLEARING/alipay 10 CLEARING/alipay 5.00" {
			t.Error(got)
		}
		book(out("2", 250))
		if got := age("clearing_age_days"); got != "1 CLEARING/alipay 2 CLEARING/alipay 2.50" {
			t.Error(got)
		}
		book(out("3", 250))
		if got := age("clearing_age_days"); got != "" {
			t.Errorf("back at zero: %s", got)
		}
		book(ledger.RefundBegun(money(1, 100, 5, true)))
		if got := age("refund_clearing_age_days"); got != "1 REFUND_PAYABLE 5 REFUND_PAYABLE -1.00" {
			t.Error(got)
		}
		book(ledger.RefundFailed(money(1, 100, 4, true)))
		if got := age("refund_clearing_age_days"); got != "" {
			t.Errorf("taken back: %s", got)
		}
		book(ledger.Captured(money(9, 700, 3, false)))
		if got := age("suspense_age_days"); got != "1 SUSPENSE 3 SUSPENSE -7.00" {
			t.Error(got)
		}
	})
}
