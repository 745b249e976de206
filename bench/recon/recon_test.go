package main

import (
	"io"
	"testing"

	"github.com/evcs/evcs/internal/store/storetest"
)

// TestADayOf100kRows: every seeded difference of every class is found and none
// is invented, in memory and through scratch files, packed and plain.
func TestADayOf100kRows(t *testing.T) {
	t.Parallel()
	w := world{100_000}
	dir := t.TempDir()
	if err := w.write(dir); err != nil {
		t.Fatal(err)
	}
	want := len(w.wanted())
	for name, o := range map[string]*options{
		"in memory":             {rows: w.n, dir: dir, out: io.Discard},
		"through scratch files": {rows: w.n, dir: dir, out: io.Discard, limit: 5_000, gz: true},
	} {
		out, err := o.match(t.Context(), w)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := check(w, out.Differences); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if f := out.Figures; f.Total != int64(w.n) || f.Matched != int64(w.n-want) || f.Counts.Total() != int64(want) {
			t.Errorf("%s: %+v", name, f)
		}
		out.Differences[0].Kind = "DUPLICATE_OR_SO"
		if check(w, out.Differences) == nil || check(w, out.Differences[1:]) == nil {
			t.Errorf("%s: a wrong and a missing difference pass", name)
		}
	}
}

// TestTheWholeRun does the same over either database, with the differences stored.
func TestTheWholeRun(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{"sqlite": "", "postgres": storetest.Server(t)} {
		if name == "postgres" && dsn == "" {
			continue // CI requires it, see storetest
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world{10_000}
			o := &options{rows: w.n, dir: t.TempDir(), out: io.Discard, child: "stored", gz: true, store: true, dsn: dsn}
			if err := w.write(o.dir); err != nil {
				t.Fatal(err)
			}
			drop, err := o.database(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(drop)
			if err := o.reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}
