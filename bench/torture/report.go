package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// kind is what is wrong in a violation.
type kind string

// The kinds of violation.
const (
	lostStart     kind = "lost start"
	lostStop      kind = "lost stop"
	lostMeter     kind = "lost meter value"
	lostOrder     kind = "lost order"
	lostPayment   kind = "lost payment"
	lostRefund    kind = "lost refund"
	lostReview    kind = "lost review"
	lostNotice    kind = "lost notification"
	lostBill      kind = "lost bill of a charger"
	unknown       kind = "unknown to evcsd"
	doubled       kind = "doubled"
	changed       kind = "changed"
	wrongEnergy   kind = "wrong energy"
	wrongMoney    kind = "wrong money"
	unbalanced    kind = "unbalanced journal"
	movedBack     kind = "moved back"
	invented      kind = "never acknowledged"
	notTaken      kind = "not taken"
	wrongDay      kind = "wrong reconciliation"
	notRecovering kind = "not recovering"
)

// summary is the outcome.
type summary struct {
	Engine      string         `json:"engine"`
	Seed        uint64         `json:"seed"`
	Kills       int            `json:"kills"`
	AtStart     int            `json:"killsAtStart"`
	AtClose     int            `json:"killsWhileClosing"`
	DBKills     int            `json:"databaseKills"`
	Full        int            `json:"fullStores"`
	Chargers    int            `json:"chargers"`
	Customers   int            `json:"customers"`
	Seconds     int64          `json:"seconds"`
	WindUp      int64          `json:"windUpSeconds"`
	SlowestMs   int64          `json:"slowestRestartMs"`
	Sessions    int            `json:"sessions"`
	Starts      int            `json:"acknowledgedStarts"`
	Stops       int            `json:"acknowledgedStops"`
	Samples     int            `json:"acknowledgedMeterValues"`
	Offline     int            `json:"offlineSessions"`
	Cloud       int            `json:"cloudchargeSessions"`
	Payments    int            `json:"acknowledgedPayments"`
	Refunds     int            `json:"acknowledgedRefunds"`
	Channels    map[string]int `json:"paymentsByChannel"`
	Notices     int            `json:"acknowledgedNotifications"`
	Repeated    int            `json:"acknowledgedRepeats"`
	Bills       int            `json:"acknowledgedChargerBills"`
	BillsOff    int            `json:"chargerBillsThatDiffer"`
	Runs        int            `json:"acknowledgedReconciliations"`
	Reviews     int            `json:"acknowledgedReviews"`
	Energy      string         `json:"energyKWh"`
	Billed      string         `json:"billed"`
	Paid        string         `json:"paid"`
	Refunded    string         `json:"refunded"`
	WrittenOff  string         `json:"writtenOff"`
	Priced      int            `json:"billsRecomputed"`
	Counts      map[string]int `json:"chargerCounts"`
	Found       int            `json:"violationsFound"`
	Kinds       map[kind]int   `json:"violationsByKind"`
	Violations  []string       `json:"violations"`
	interrupted int            // reconciliations that a kill caught
}

// table is the outcome for a person.
func (s summary) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) } // Flush tells
	line("engine", fmt.Sprintf("%s, seed %d", s.Engine, s.Seed))
	line("SIGKILLs under load", fmt.Sprintf("%d, and %d during start", s.Kills, s.AtStart))
	line("SIGKILLs while the day is closed", fmt.Sprintf("%d, %d caught a reconciliation", s.AtClose, s.interrupted))
	line("database killed", s.DBKills)
	line("store full", s.Full)
	line("chargers, customers", fmt.Sprintf("%d, %d", s.Chargers, s.Customers))
	line("sessions", fmt.Sprintf("%d, %d offline, %d cloudcharge", s.Sessions, s.Offline, s.Cloud))
	line("acknowledged starts, stops", fmt.Sprintf("%d, %d", s.Starts, s.Stops))
	line("acknowledged meter values", s.Samples)
	line("acknowledged payments, refunds", fmt.Sprintf("%d, %d", s.Payments, s.Refunds))
	for _, channel := range slices.Sorted(maps.Keys(s.Channels)) {
		line("  of them by "+channel, s.Channels[channel])
	}
	line("acknowledged notifications of the channels", fmt.Sprintf("%d, %d of them again", s.Notices, s.Repeated))
	line("acknowledged bills of chargers", fmt.Sprintf("%d, %d differ from ours", s.Bills, s.BillsOff))
	line("acknowledged reconciliations, reviews", fmt.Sprintf("%d, %d", s.Runs, s.Reviews))
	line("energy", s.Energy+" kWh")
	line("billed, paid, refunded, written off", fmt.Sprintf("%s, %s, %s, %s", s.Billed, s.Paid, s.Refunded, s.WrittenOff))
	line("bills recomputed", s.Priced)
	line("slowest restart", fmt.Sprintf("%d ms", s.SlowestMs))
	line("time, of it after the last kill", fmt.Sprintf("%d s, %d s", s.Seconds, s.WindUp))
	for _, what := range slices.Sorted(maps.Keys(s.Kinds)) {
		line("VIOLATIONS: "+string(what), s.Kinds[what])
	}
	line("violations", s.Found)
	for _, v := range s.Violations {
		fmt.Fprintln(w, v) // Flush tells
	}
	return w.Flush()
}

// keep writes the table into a folder.
func (s summary) keep(dir string, now time.Time) (path string, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", err
	}
	path = filepath.Join(dir, fmt.Sprintf("%s-torture-%s.txt", now.UTC().Format(time.DateOnly), s.Engine))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	return path, errors.Join(s.table(f), f.Close())
}
