package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/evcs/evcs/internal/api"
)

// The exit codes of evcsctl that tell how a day went.
const (
	exitDone       = 0
	exitForbidden  = 4
	exitDifference = 6
)

// reconcile closes the day from the command line, as finance would: differences
// are seeded into the bank's statement and found, one person proposes what to
// do, who may not approve it, another one approves, closes the day and keeps
// its report.
func (w *world) reconcile(ctx context.Context, out io.Writer) error {
	maker, err := sit(ctx, w.evcsctl, w.dir, w.daemon.BaseURL(), w.operator)
	if err != nil {
		return err
	}
	checker, err := sit(ctx, w.evcsctl, w.dir, w.daemon.BaseURL(), w.checker)
	if err != nil {
		return err
	}
	today := string(api.DateOf(demoClock.Now().In(time.FixedZone("CST", 8*3600))))
	if err := maker.run(ctx, exitDone, nil, "payment", "sandbox", "faults", "--date", today, "--amount", "1", "--missing", "1", "--extra", "1"); err != nil {
		return err
	}
	if err := maker.run(ctx, exitDifference, &w.result, "reconcile", "execute", "sandbox", today); err != nil {
		return err
	}
	batch := strconv.FormatInt(w.result.BatchID, 10)
	var found []api.Difference
	if err := maker.run(ctx, exitDone, &found, "reconcile", "difference", "list", "--batch", batch); err != nil {
		return err
	}
	own := 0 // between our bills and those of chargers with wrong prices
	for _, d := range found {
		if ofCharger(d) {
			own++
		}
	}
	say(out, "evcsctl reconcile execute sandbox %s: %d rows, %d match, %d differ (exit code %d)", today, w.result.TotalCount, w.result.MatchedCount, len(found)-own, exitDifference)
	if len(found)-own != 3 {
		return fmt.Errorf("%d differences with the bank, 3 were seeded", len(found)-own)
	}
	if c := w.result.Chargers; c == nil || own == 0 || c.TotalCount != int64(own) {
		return fmt.Errorf("%d differences with chargers' own bills, %+v", own, c)
	}
	say(out, "%d chargers' own bills differ from ours: %s CNY, ours %s", own, w.result.Chargers.ChargerAmount, w.result.Chargers.LocalAmount)
	if err := w.review(ctx, maker, checker, found); err != nil {
		return err
	}
	if err := checker.run(ctx, exitDone, &w.closed, "reconcile", "batch", "close", batch, "--yes", "--note", "演示关账"); err != nil {
		return err
	}
	say(out, "%d differences resolved by one person, who could not approve them, approved by another; the day is closed, proof %.16s…", len(found), w.closed.Hash)
	return w.keepReport(ctx, checker, batch, out)
}

// review has the maker propose and the checker approve what to do.
func (w *world) review(ctx context.Context, maker, checker *ctl, found []api.Difference) error {
	actions := map[string]string{"LOCAL_ONLY": "EXPLAIN", "CHANNEL_ONLY": "WRITE_OFF", "AMOUNT_MISMATCH": "WRITE_OFF"}
	for _, d := range found {
		id, action := strconv.FormatInt(d.DifferenceID, 10), actions[d.Kind]
		if ofCharger(d) {
			action = "EXPLAIN"
		}
		for _, step := range []struct {
			who  *ctl
			code int
			args []string
		}{
			{maker, exitDone, []string{"resolve", id, "--action", action, "--reason", "演示: 人为制造的差异"}},
			{maker, exitForbidden, []string{"approve", id}},
			{checker, exitDone, []string{"approve", id, "--note", "已复核"}},
		} {
			if err := step.who.run(ctx, step.code, nil, append([]string{"reconcile", "difference"}, step.args...)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// ofCharger reports whether a difference is with a charger's own bill.
func ofCharger(d api.Difference) bool { return slices.Contains(d.Facets, "CHARGER") }

// keepReport writes the report in all its forms, and has the journal checked.
func (w *world) keepReport(ctx context.Context, who *ctl, batch string, out io.Writer) error {
	if err := who.run(ctx, exitDone, &w.report, "reconcile", "report", batch); err != nil {
		return err
	}
	for _, form := range []string{"html", "csv"} {
		name := filepath.Join(w.dir, "day."+form)
		if err := who.run(ctx, exitDone, nil, "reconcile", "report", batch, "--as", form, "--out", name, "--lang", "zh"); err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), w.closed.Hash) {
			return fmt.Errorf("the report in %s does not carry the proof", form)
		}
	}
	for _, check := range []string{"verify", "check"} {
		if err := who.run(ctx, exitDone, nil, "ledger", check); err != nil {
			return err
		}
	}
	say(out, "the report is written as JSON, CSV and a page to print; the journal is complete and as it was booked")
	return nil
}

// signed prints what finance signs: the differences and the proof.
func (w *world) signed(out io.Writer) error {
	fmt.Fprintf(out, "\nThe day closed\n")
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "  difference\tours\ttheirs\tstate\twhat was done\n")
	for _, d := range w.report.Differences {
		done := ""
		if r := d.Resolution; r != nil {
			done = r.Action
			if r.Effect != nil {
				done += ", " + *r.Effect
			}
		}
		kind := d.Kind
		if ofCharger(d) {
			kind += " (charger)"
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", kind, moneyOr(d.LocalAmount), moneyOr(d.ChannelAmount), d.State, done)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	p := w.closed
	if p.Closing != p.Opening+p.Payments-p.Refunds-p.Fees+p.Adjustments {
		return fmt.Errorf("the proof does not add up: %+v", p)
	}
	fmt.Fprintf(out, "  proof           opening %s + payments %s − refunds %s − fees %s + adjustments %s = closing %s CNY\n", p.Opening, p.Payments, p.Refunds, p.Fees, p.Adjustments, p.Closing)
	fmt.Fprintf(out, "                  journal %s CNY, sha-256 %s\n", p.LedgerClosing, p.Hash)
	return nil
}
