package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

func newHolidayGroup(e *env) *cobra.Command {
	return group("holiday", "Days that do not count as what the week says", newHolidayList(e), newHolidaySet(e), newHolidayClear(e))
}

// aimed is a query with the tenant of --tenant or the context.
func (e *env) aimed(q client.Query) (client.Query, error) {
	t, err := e.target()
	if err == nil && t.Tenant != 0 {
		q = q.With("tenantId", fmt.Sprint(t.Tenant))
	}
	return q, err
}

func newHolidayList(e *env) *cobra.Command {
	var from, to string
	c := verb("list", "List the special days of a tenant", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return holidayList(ctx, e, from, to)
	})
	c.Flags().StringVar(&from, "from", "", "first day")
	c.Flags().StringVar(&to, "to", "", "last day")
	return c
}

func holidayList(ctx context.Context, e *env, from, to string) error {
	q, err := e.aimed(client.Query{}.With("startDate", from).With("endDate", to))
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	ctx, cancel := e.deadline(ctx, 0)
	defer cancel()
	days, err := c.Prices.Holidays(ctx, q)
	if err != nil {
		return err
	}
	return e.list(ctx, days, []column{
		{"date", "DATE", "日期", nil},
		{"countsAs", "COUNTS AS", "按", dayClass},
		{"name", "NAME", "名称", nil},
	}, -1)
}

// holidayOptions is what days count as.
type holidayOptions struct{ name, as string }

func newHolidaySet(e *env) *cobra.Command {
	var opts holidayOptions
	c := verb("set <date>...", "Say what days count as; plans with calendars get a new revision", cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
		return holidaySet(ctx, e, args, opts)
	})
	c.Flags().StringVar(&opts.name, "name", "", "name of the day")
	c.Flags().StringVar(&opts.as, "as", "HOLIDAY", "what it counts as: HOLIDAY, or MON to SUN for a day that is worked like one")
	return c
}

func holidaySet(ctx context.Context, e *env, dates []string, opts holidayOptions) error {
	if err := oneOf("as", opts.as, "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN", "HOLIDAY"); err != nil {
		return err
	}
	var body api.SetHolidays
	for _, given := range dates {
		day := api.Holiday{Name: text(opts.name), CountsAs: opts.as}
		if err := day.Date.UnmarshalText([]byte(given)); err != nil {
			return usage("%v", err)
		}
		body.Days = append(body.Days, day)
	}
	if err := e.aimTenant(&body); err != nil {
		return err
	}
	return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.HolidaysChanged, error) {
		return c.Prices.SetHolidays(ctx, body)
	})
}

func newHolidayClear(e *env) *cobra.Command {
	return verb("clear <date> <date>", "Forget the special days from a date to another", cobra.ExactArgs(2), func(ctx context.Context, args []string) error {
		for _, given := range args {
			var day api.Date
			if err := day.UnmarshalText([]byte(given)); err != nil {
				return usage("%v", err)
			}
		}
		q, err := e.aimed(client.Query{"startDate": args[0], "endDate": args[1]})
		if err != nil {
			return err
		}
		if err := e.confirm(fmt.Sprintf(e.say("Forget the special days from %s to %s?", "清除 %s 至 %s 的特殊日期?"), args[0], args[1])); err != nil {
			return err
		}
		return act(ctx, e, 0, func(ctx context.Context, c *client.Client) (api.HolidaysChanged, error) {
			return c.Prices.ClearHolidays(ctx, q)
		})
	})
}
