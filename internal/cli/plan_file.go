package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// planColumns are the columns of prices in CSV: a row is a segment. Days is
// empty for the plan's own segments, else the days of a calendar with spaces.
var planColumns = []string{"code", "name", "days", "startTime", "endTime", "periodKind", "energyPrice", "serviceFee"}

func newPlanExport(e *env) *cobra.Command {
	c := verb("export <plan-id>...", "Write plans to be imported: YAML, -o json, or the prices alone with -o csv", cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string) error {
			targets := make([]int64, len(args))
			for i, arg := range args {
				var err error
				if targets[i], err = parseID(arg); err != nil {
					return err
				}
			}
			return planExport(ctx, e, targets)
		})
	return c
}

func planExport(ctx context.Context, e *env, targets []int64) error {
	form, err := e.format()
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	var body api.ImportPlans
	for _, target := range targets {
		p, err := c.Plans.Get(ctx, target)
		if err != nil {
			return err
		}
		body.Plans = append(body.Plans, created(p))
	}
	if form == formatCSV {
		return planCSV(e.Out, body.Plans)
	}
	content, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write plans: %w", err)
	}
	if form != formatJSON {
		form = formatYAML
	}
	return e.structured(ctx, form, content)
}

// created is what has to be said to make a plan again.
func created(p api.Plan) api.CreatePlan {
	return api.CreatePlan{
		StationID: p.StationID, Name: p.Name, Code: p.Code, Status: &p.Status, IsDefault: &p.IsDefault, Priority: &p.Priority,
		EffectiveStartDate: p.EffectiveStartDate, EffectiveEndDate: p.EffectiveEndDate, Segments: p.Segments, Calendars: p.Calendars,
		StartFee: p.StartFee, MinAmount: p.MinAmount, MaxAmount: p.MaxAmount, IdleFreeMinutes: &p.IdleFreeMinutes, IdleMinutePrice: p.IdleMinutePrice,
		IdleMaxAmount: p.IdleMaxAmount, ParkingFreeMinutes: &p.ParkingFreeMinutes, ParkingHourPrice: p.ParkingHourPrice, Remark: p.Remark,
	}
}

func planCSV(to io.Writer, plans []api.CreatePlan) error {
	out := csv.NewWriter(to)
	_ = out.Write(planColumns) // Error below reports
	for _, p := range plans {
		rows := func(days string, list []api.Segment) {
			for _, s := range list {
				_ = out.Write([]string{p.Code, spreadsheet(p.Name), days, s.StartTime, s.EndTime, s.PeriodKind, s.EnergyPrice.String(), s.ServiceFee.String()})
			}
		}
		rows("", p.Segments)
		for _, c := range p.Calendars {
			rows(strings.Join(c.Days, " "), c.Segments)
		}
	}
	out.Flush()
	return out.Error()
}

// spreadsheet is a text that no spreadsheet takes for a formula.
func spreadsheet(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t", rune(text[0])) {
		return "'" + text
	}
	return text
}

// importOptions is how plans are taken over.
type importOptions struct{ replace, dry bool }

func newPlanImport(e *env) *cobra.Command {
	var opts importOptions
	c := verb("import <file>", "Take over plans, all or none: YAML, JSON, or prices as CSV; - for standard input", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error { return planImport(ctx, e, args[0], opts) })
	c.Long = "Take over plans, all or none. A file holds one plan, or several under plans:, as `plan export` writes them.\n" +
		"A plan is whole: what it does not say is as for a new one. A CSV file (by its name) holds prices alone, with\n" +
		"the columns " + strings.Join(planColumns, ", ") + ";\nwith --replace everything else of the plan stays as it is."
	c.Flags().BoolVar(&opts.replace, "replace", false, "plans take the place of those with their codes")
	c.Flags().BoolVar(&opts.dry, "dry-run", false, "check everything and store nothing")
	return c
}

func planImport(ctx context.Context, e *env, name string, opts importOptions) error {
	prices := strings.EqualFold(path.Ext(name), ".csv")
	var plans []api.CreatePlan
	var err error
	if prices {
		var content []byte
		if content, err = e.slurp(name); err == nil {
			plans, err = readPlanCSV(content)
		}
	} else {
		plans, err = e.readPlans(name)
	}
	if err != nil {
		return err
	}
	body := api.ImportPlans{Plans: plans, Replace: api.Ptr(api.Flag(opts.replace)), DryRun: api.Ptr(api.Flag(opts.dry))}
	if err := e.aimTenant(&body); err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	if prices && opts.replace {
		if err := keepRest(ctx, c, body.Plans); err != nil {
			return err
		}
	}
	done, err := c.Prices.Import(ctx, body)
	if err != nil {
		return err
	}
	return e.list(ctx, done, []column{
		{"code", "CODE", "编码", nil},
		{"action", "ACTION", "结果", nil},
		{"planId", "ID", "编号", nil},
		{"revision", "REV", "版本", nil},
	}, -1)
}

// given are the fields of a plan that only the server sets.
var given = []string{
	"planId", "tenantId", "kind", "revision", "tariffSnapshotId", "gridMinutes", "pushable", "createTime", "updateTime", "version",
}

// readPlans reads one plan, or several under plans.
func (e *env) readPlans(name string) ([]api.CreatePlan, error) {
	fields := map[string]json.RawMessage{}
	if err := e.readFile(name, &fields); err != nil {
		return nil, err
	}
	list := []map[string]json.RawMessage{fields}
	if several, have := fields["plans"]; have {
		if len(fields) > 1 {
			return nil, usage("%s: beside plans there is something else", name)
		}
		list = nil
		if err := json.Unmarshal(several, &list); err != nil {
			return nil, usage("%s: plans is no list of plans", name)
		}
	}
	plans := make([]api.CreatePlan, len(list))
	for i, one := range list {
		for _, field := range given {
			delete(one, field)
		}
		joined, err := json.Marshal(one)
		if err != nil {
			return nil, usage("%s: %v", name, err)
		}
		if err := strict(joined, &plans[i]); err != nil {
			return nil, fmt.Errorf("%s, plan %d: %w", name, i+1, err)
		}
	}
	return plans, nil
}

// readPlanCSV reads prices; a fault names its line.
func readPlanCSV(content []byte) ([]api.CreatePlan, error) {
	in := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\ufeff"))))
	head, err := in.Read()
	if err != nil || !slices.Equal(head, planColumns) {
		return nil, usage("the first line must be %s", strings.Join(planColumns, ","))
	}
	var plans []api.CreatePlan
	for {
		cells, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, usage("%v", err)
		}
		line, _ := in.FieldPos(0)
		s := api.Segment{StartTime: cells[3], EndTime: cells[4], PeriodKind: cells[5]}
		if err := errors.Join(s.EnergyPrice.UnmarshalText([]byte(cells[6])), s.ServiceFee.UnmarshalText([]byte(cells[7]))); err != nil {
			return nil, usage("line %d: a price %v", line, err)
		}
		at := slices.IndexFunc(plans, func(p api.CreatePlan) bool { return p.Code == cells[0] })
		if at < 0 {
			at = len(plans)
			plans = append(plans, api.CreatePlan{Code: cells[0], Name: strings.TrimPrefix(cells[1], "'")})
		}
		addSegment(&plans[at], strings.Fields(cells[2]), s)
	}
	if len(plans) == 0 {
		return nil, usage("there are no prices")
	}
	return plans, nil
}

// addSegment puts a segment to the plan's own or to the calendar of its days.
func addSegment(p *api.CreatePlan, days []string, s api.Segment) {
	if len(days) == 0 {
		p.Segments = append(p.Segments, s)
		return
	}
	for i := range p.Calendars {
		if slices.Equal(p.Calendars[i].Days, days) {
			p.Calendars[i].Segments = append(p.Calendars[i].Segments, s)
			return
		}
	}
	p.Calendars = append(p.Calendars, api.Calendar{Days: days, Segments: []api.Segment{s}})
}

// keepRest fills what a file of prices does not say from the plans that there
// are.
func keepRest(ctx context.Context, c *client.Client, plans []api.CreatePlan) error {
	for i, p := range plans {
		found, err := c.Plans.List(ctx, client.Query{"code": p.Code, "size": "100"})
		if err != nil {
			return err
		}
		for _, known := range found.Records {
			if known.Code == p.Code {
				plans[i] = created(known)
				plans[i].Name, plans[i].Segments, plans[i].Calendars = p.Name, p.Segments, p.Calendars
			}
		}
	}
	return nil
}
