package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/evcs/evcs/bench/probe"
)

// TestMain lets this test binary play evcsd: the crash test starts it as
// `serve --config FILE`.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "serve" {
		if err := forgetful(os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	shared.remove()
	os.Exit(code)
}

// forgetful is a platform that does everything right and keeps nothing on disk:
// what a SIGKILL finds is lost. When it is stopped it writes its journal.
func forgetful(config string) error {
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	w := newWorld(func(args ...any) { fmt.Fprintln(os.Stderr, args...) })
	w.doubling = os.Getenv("TORTURE_DOUBLING") != ""
	for line := range strings.Lines(string(text)) {
		name, address, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name == "rest" || name == "device" {
			srv := &http.Server{Addr: address, Handler: w, ReadHeaderTimeout: time.Minute}
			go func() { _ = srv.ListenAndServe() }()
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.book(filepath.Join(filepath.Dir(config), "evcs.db"))
}

// book writes a journal that agrees with the orders.
func (w *world) book(path string) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	owed, held := int64(0), int64(0)
	for _, o := range w.orders {
		owed += fenOf(o["payableAmount"])
		held += fenOf(o["paidAmount"]) - fenOf(o["refundedAmount"])
	}
	_, err = db.ExecContext(context.Background(), `
		CREATE TABLE accounts (id BIGINT, kind TEXT);
		CREATE TABLE journal (id BIGINT, kind TEXT);
		CREATE TABLE postings (entry_id BIGINT, account_id BIGINT, amount BIGINT);
		CREATE TABLE charger_bills (order_id BIGINT, amount BIGINT);
		CREATE TABLE callbacks (channel TEXT, event_id TEXT);
		INSERT INTO accounts VALUES (1, 'RECEIVABLE'), (2, 'CLEARING'), (3, 'REVENUE');
		INSERT INTO journal VALUES (1, 'ALL');
		INSERT INTO postings VALUES (1, 1, ?), (1, 2, ?), (1, 3, ?)`, owed, held, -owed-held)
	return err
}

func crash(t *testing.T, kills string, args ...string) (int, summary, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	code := run(t.Context(), append([]string{
		"-evcsd", self, "-json", "-channels=false", "-cloud", "0", "-kills", kills, "-chargers", "6", "-customers", "2", "-speed", "900", "-min", "700ms", "-max", "900ms", "-drain", "40s", "-after", "1500ms",
	}, args...), "", &out, &errOut)
	var s summary
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(errOut.String()) { // what it keeps for a person, a test removes
		if _, dir, found := strings.Cut(strings.TrimSpace(line), "are kept in "); found {
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
		}
	}
	return code, s, errOut.String()
}

func TestARightPlatformPasses(t *testing.T) {
	t.Parallel()
	code, s, said := crash(t, "0")
	if code != 0 || s.Found != 0 || s.Starts == 0 || s.Samples == 0 || s.Payments == 0 || s.Priced == 0 {
		t.Errorf("exit code %d, %+v\n%s", code, s, said)
	}
}

func TestAPlatformThatForgetsFails(t *testing.T) {
	t.Parallel()
	code, s, said := crash(t, "2")
	if code != 1 || s.Found == 0 {
		t.Fatalf("exit code %d, %+v\n%s", code, s, said)
	}
	if all := strings.Join(s.Violations, "\n"); !strings.Contains(all, "lost") {
		t.Errorf("nothing is said to be lost:\n%s", all)
	}
}

// TestAPlatformThatDoublesFails: one that answers a repeated start with a new
// order is found without any kill.
func TestAPlatformThatDoublesFails(t *testing.T) {
	t.Setenv("TORTURE_DOUBLING", "yes")
	code, s, said := crash(t, "0", "-faults", "lost-answer=10,duplicate=4")
	if code != 1 || s.Kinds[doubled] == 0 || s.Kinds[invented] == 0 {
		t.Errorf("exit code %d, %v\n%s\n%s", code, s.Kinds, strings.Join(s.Violations, "\n"), said)
	}
}

// TestACrookedJournalIsFound breaks what only the journal shows.
func TestACrookedJournalIsFound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sql  string
		want kind
	}{
		"right":                     {"SELECT 1", ""},
		"an entry does not balance": {"UPDATE postings SET amount = amount + 1 WHERE account_id = 3", unbalanced},
		"an entry has no postings":  {"INSERT INTO journal VALUES (2, 'CAPTURED')", unbalanced},
		"a posting is there twice":  {"INSERT INTO postings SELECT * FROM postings", wrongMoney},
		"a write-off twice":         {"INSERT INTO journal VALUES (2, 'WRITTEN_OFF')", doubled},
		"a refund never left":       {"INSERT INTO accounts VALUES (4, 'REFUND_PAYABLE'); INSERT INTO postings VALUES (1, 4, 5), (1, 3, -5)", wrongMoney},
	} {
		dir := t.TempDir()
		w := newWorld(t.Error)
		w.orders = []record{{"payableAmount": fenJSON(5), "paidAmount": fenJSON(700), "refundedAmount": fenJSON(300)}}
		if err := w.book(filepath.Join(dir, "evcs.db")); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", filepath.Join(dir, "evcs.db"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), test.sql); err != nil {
			t.Fatal(err)
		}
		db.Close()
		tor := &torture{options: options{engine: sqlite}, daemon: &probe.Daemon{Dir: dir}}
		v := &verifier{torture: tor, s: &summary{}, payable: 5, paid: 700, refunded: 300}
		if err := v.leftBehind(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := tor.faulty.kinds; len(got) > 0 != (test.want != "") || test.want != "" && got[test.want] == 0 {
			t.Errorf("%s: found %v, want %q", name, tor.faulty.texts, test.want)
		}
	}
}
