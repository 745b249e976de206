// Package simulate is `evcsctl simulate`: a fleet of simulated chargers on the
// command line.
package simulate

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/chargersim"
	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/evcs"
)

// The exit codes of Command, those of evcsctl.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 7
)

const (
	maxDuration = 24 * time.Hour
	windUpTime  = 2 * time.Minute
	maxListFile = 8 << 20
)

type options struct {
	url, http, file, scenario, faults, output, journal string
	chargers                                           []string
	seed                                               uint64
	sessions, speed                                    int
	duration, lead, meterEvery                         time.Duration
	scaled, allowRemote                                bool
	tags                                               []string
}

// Command is `evcsctl simulate`: it parses args, runs a fleet and writes a
// summary to out. It returns the exit code: 0 done, 1 the platform broke a
// promise or did not take everything, 2 used wrongly, 7 not reachable. help, when
// it is not nil, sees the command before it runs: its help is whose who calls.
func Command(ctx context.Context, args []string, out, errOut io.Writer, help func(*cobra.Command)) int {
	var o options
	ran, code := false, exitOK
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Run simulated chargers against a server",
		Long: "Runs chargers that speak real OCPP 1.6J or cloudcharge, with cars that come, charge and leave, and with faults on\n" +
			"request. The same seed brings the same cars and faults. The summary says what the server acknowledged.\n" +
			"Customers show cards that the server must know: see --tag and evcsctl id-tag create.",
		Example: "  evcsctl simulate --url ws://127.0.0.1:8085/ocpp --charger CP-1:SECRET --tag DEMO --duration 1m --speed 60\n" +
			"  evcsctl simulate --chargers chargers.csv --faults honest=100 --sessions 3 --speed 120 -o json",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ran = true
			cfg, err := o.config()
			if err != nil {
				code = exitUsage
				return err
			}
			code, err = o.run(cmd.Context(), cfg, out, errOut)
			return err
		},
	}
	o.flags(cmd)
	root := &cobra.Command{Use: "evcsctl", SilenceUsage: true, SilenceErrors: true}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(cmd)
	if help != nil {
		help(cmd)
	}
	root.SetArgs(append([]string{"simulate"}, args...))
	root.SetOut(out)
	root.SetErr(errOut)
	if err := root.ExecuteContext(ctx); err != nil {
		if !ran {
			code = exitUsage
		}
		fmt.Fprintf(errOut, "evcsctl simulate: %v\n", err) // nowhere left to tell
	}
	return code
}

func (o *options) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.url, "url", "ws://127.0.0.1:8085/ocpp", "OCPP address without the charger's id")
	f.StringVar(&o.http, "http", "http://127.0.0.1:8085", "cloudcharge address")
	f.StringVar(&o.file, "chargers", "", "file of chargers: JSON list, or CSV deviceId,secret[,protocol[,kind[,connectors]]]")
	f.StringArrayVar(&o.chargers, "charger", nil, "one charger as ID:SECRET (others can see it in the process list); repeatable")
	f.StringVar(&o.scenario, "profile", "default", "what the cars do: "+strings.Join(slices.Sorted(maps.Keys(chargersim.Scenarios())), ", "))
	f.StringVar(&o.faults, "faults", "none", "faults as NAME=once-in-so-many-messages, or honest, all, none")
	f.Uint64Var(&o.seed, "seed", 1, "seed of cars and faults")
	f.IntVar(&o.sessions, "sessions", 0, "sessions per connector; 0 keeps the profile's")
	f.DurationVar(&o.duration, "duration", time.Minute, "real time after which no more cars come; at most 24h")
	f.IntVar(&o.speed, "speed", 1, "simulated seconds per real second, 1 to 3600")
	f.BoolVar(&o.scaled, "scaled-power", false, "keep real times and scale the power by the speed, instead of shifting the clock")
	f.DurationVar(&o.lead, "lead", 0, "how far in the past shifted clocks begin; 0 fits the duration")
	f.DurationVar(&o.meterEvery, "meter-interval", time.Minute, "simulated time between meter values")
	f.StringSliceVar(&o.tags, "tag", nil, "id tags the customers use")
	f.StringVar(&o.journal, "journal", "", "file for the acknowledged messages, as JSON lines")
	f.StringVarP(&o.output, "output", "o", "text", "summary as text or json")
	f.BoolVar(&o.allowRemote, "allow-remote", false, "permit a server that is not on this machine")
}

func (o *options) config() (chargersim.Config, error) {
	scenario, ok := chargersim.Scenarios()[o.scenario]
	if !ok {
		return chargersim.Config{}, fmt.Errorf("profile %q is not known", o.scenario)
	}
	if o.duration <= 0 || o.duration > maxDuration {
		return chargersim.Config{}, fmt.Errorf("duration %v: up to %v", o.duration, maxDuration)
	}
	if o.output != "text" && o.output != "json" {
		return chargersim.Config{}, fmt.Errorf("output %q: text or json", o.output)
	}
	if o.sessions > 0 {
		scenario.Sessions = o.sessions
	}
	if len(o.tags) > 0 {
		scenario.Tags = o.tags
	}
	faults, err := chargersim.ParseFaults(o.faults)
	if err != nil {
		return chargersim.Config{}, err
	}
	list, err := o.list()
	if err != nil {
		return chargersim.Config{}, err
	}
	cfg := chargersim.Config{
		Endpoint: o.url, HTTP: o.http, Chargers: list, Seed: o.seed, Speed: o.speed, Scenario: &scenario, Faults: faults,
		MeterInterval: o.meterEvery, Lead: o.lead, AllowRemote: o.allowRemote,
	}
	if o.scaled {
		cfg.Time = chargersim.ScaledPower
	} else if o.lead == 0 {
		cfg.Lead = min(o.duration*time.Duration(max(o.speed-1, 0)), chargersim.MaxLead)
	}
	return cfg, nil
}

func (o *options) list() ([]chargersim.ChargerConfig, error) {
	var list []chargersim.ChargerConfig
	for _, text := range o.chargers {
		id, secret, found := strings.Cut(text, ":")
		if !found {
			return nil, fmt.Errorf("charger %q: ID:SECRET is needed", id)
		}
		list = append(list, chargersim.ChargerConfig{DeviceID: id, Secret: secret})
	}
	if o.file == "" {
		return list, nil
	}
	file, err := os.Open(o.file)
	if err != nil {
		return nil, fmt.Errorf("list of chargers: %w", err)
	}
	defer file.Close() // only read
	text, err := io.ReadAll(io.LimitReader(file, maxListFile))
	if err != nil {
		return nil, fmt.Errorf("list of chargers: %w", err)
	}
	more, err := ReadChargers(text)
	return append(list, more...), err
}

// ReadChargers reads a list of chargers: a JSON array, or CSV lines
// deviceId,secret[,protocol[,kind[,connectors]]], a head line and lines that
// begin with # skipped.
func ReadChargers(text []byte) ([]chargersim.ChargerConfig, error) {
	var list []chargersim.ChargerConfig
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '[' {
		dec := json.NewDecoder(bytes.NewReader(trimmed))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&list); err != nil {
			return nil, fmt.Errorf("list of chargers: %w", err)
		}
		return list, nil
	}
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.Comment, r.TrimLeadingSpace = -1, '#', true
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("list of chargers: %w", err)
	}
	for i, row := range rows {
		if i == 0 && row[0] == "deviceId" {
			continue
		}
		c, err := fromRow(row)
		if err != nil {
			return nil, fmt.Errorf("list of chargers, line %d: %w", i+1, err)
		}
		list = append(list, c)
	}
	return list, nil
}

func fromRow(row []string) (chargersim.ChargerConfig, error) {
	if len(row) < 2 || len(row) > 5 {
		return chargersim.ChargerConfig{}, fmt.Errorf("%d fields, 2 to 5 are needed", len(row))
	}
	row = append(row, "", "", "")
	c := chargersim.ChargerConfig{DeviceID: row[0], Secret: row[1], Protocol: row[2], Kind: row[3]}
	if row[4] != "" {
		n, err := strconv.Atoi(row[4])
		if err != nil || n < 1 {
			return c, fmt.Errorf("connectors: %q is not a positive number", row[4])
		}
		c.Connectors = n
	}
	return c, nil
}

// Summary is what a run of Command prints.
type Summary struct {
	Chargers     int            `json:"chargers"`
	Seed         uint64         `json:"seed"`
	Sessions     int            `json:"sessions"`
	Started      int            `json:"started"`
	Stopped      int            `json:"stopped"`
	Samples      int            `json:"samples"`
	EnergyKWh    json.Number    `json:"energyKWh"`
	Falsified    int            `json:"falsified"`
	Undelivered  int            `json:"undelivered"`
	Refused      map[string]int `json:"refused"`
	Violations   []string       `json:"violations"`
	Counts       map[string]int `json:"counts"`
	Seconds      json.Number    `json:"seconds"`
	Disconnected string         `json:"lastConnectError,omitempty"`
}

// run lets the fleet live for the duration, winds it up and reports.
func (o *options) run(ctx context.Context, cfg chargersim.Config, out, errOut io.Writer) (int, error) {
	fleet, err := chargersim.New(cfg)
	if err != nil {
		return exitUsage, err
	}
	clock := evcs.SystemClock{}
	began := clock.Now()
	life, stop := context.WithTimeout(ctx, o.duration+windUpTime)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- fleet.Run(life) }()
	err = o.wait(ctx, life, fleet, ended)
	s := summarise(fleet, cfg.Seed, clock.Now().Sub(began))
	if werr := o.report(s, fleet.Journal(), out); werr != nil {
		return exitFailed, werr
	}
	if s.Counts[chargersim.TagsRefused] > 0 {
		fmt.Fprintln(errOut, tagHint)
	}
	return s.code(), err
}

// tagHint is for who wonders why no car charged.
const tagHint = "evcsctl simulate: the server does not accept some cards of the customers (tags refused). Register them\n" +
	"(evcsctl id-tag create --tag DEMO) and let the customers use them (--tag DEMO), or charge by evcsctl charger start\n" +
	"with --profile remote."

func (o *options) wait(ctx, life context.Context, fleet *chargersim.Fleet, ended chan error) error {
	timer := time.NewTimer(o.duration)
	defer timer.Stop()
	select {
	case err := <-ended:
		return err
	case <-timer.C:
	case <-ctx.Done():
		return errors.Join(<-ended, ctx.Err())
	}
	if err := fleet.WindUp(life); err != nil {
		return errors.Join(err, <-ended)
	}
	return <-ended
}

func summarise(f *chargersim.Fleet, seed uint64, took time.Duration) Summary {
	j := f.Journal()
	s := Summary{
		Chargers: len(f.Chargers()), Seed: seed, Refused: j.Refused(), Violations: j.Violations(),
		Counts: f.Counts(), Seconds: json.Number(strconv.FormatFloat(took.Seconds(), 'f', 3, 64)),
	}
	if s.Violations == nil {
		s.Violations = []string{}
	}
	var energy journal.Energy
	for _, session := range j.Sessions() {
		s.Samples += len(session.Samples)
		if session.Start != nil {
			s.Started++
		}
		if session.Stop != nil {
			s.Stopped++
		}
		if session.Tampered != "" {
			s.Falsified++
			continue
		}
		energy += session.Energy()
	}
	s.EnergyKWh = json.Number(energy.String())
	for _, c := range f.Chargers() {
		last := c.Snapshot()
		s.Sessions += last.Sessions
		s.Undelivered += last.Queued
	}
	if err := f.LastError(); err != nil {
		s.Disconnected = err.Error()
	}
	return s
}

func (s Summary) code() int {
	switch {
	case s.Counts["connected"] == 0:
		return exitUnreachable
	case s.Undelivered > 0 || len(s.Violations) > 0 || len(s.Refused) > 0:
		return exitFailed
	}
	return exitOK
}

func (o *options) report(s Summary, j *journal.Journal, out io.Writer) error {
	if o.journal != "" {
		if err := saveJournal(o.journal, j); err != nil {
			return err
		}
	}
	if o.output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(s); err != nil {
			return fmt.Errorf("write summary: %w", err)
		}
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name string, value any) { fmt.Fprintf(w, "%s\t%v\n", name, value) } // Flush tells
	line("chargers", s.Chargers)
	line("sessions begun", s.Sessions)
	line("starts acknowledged", s.Started)
	line("stops acknowledged", s.Stopped)
	line("meter values acknowledged", s.Samples)
	line("energy of honest sessions", s.EnergyKWh+" kWh")
	line("sessions with falsified figures", s.Falsified)
	line("messages not delivered", s.Undelivered)
	for _, what := range slices.Sorted(maps.Keys(s.Refused)) {
		line("refused: "+what, s.Refused[what])
	}
	for _, v := range s.Violations {
		line("VIOLATION", v)
	}
	for _, what := range slices.Sorted(maps.Keys(s.Counts)) {
		line(what, s.Counts[what])
	}
	if s.Disconnected != "" {
		line("last failure to connect", s.Disconnected)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}

func saveJournal(path string, j *journal.Journal) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if _, err := j.WriteTo(file); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}
