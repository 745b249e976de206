package main

import (
	"context"
	"fmt"
	"io"
	"sort"
	"text/tabwriter"

	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/client"
)

// period is what one kind of period of the day brought.
type period struct {
	energy               api.KWh
	electricity, service api.Money
}

// summary prints the day: sessions, energy, money by period, refunds and the
// reconciliation, all read back from the API; it fails when the lines of the
// bills do not add up to them, or the books are not balanced.
func (w *world) summary(ctx context.Context, out io.Writer) error {
	orders, err := w.orders(ctx)
	if err != nil {
		return err
	}
	periods := make(map[string]period)
	var energy api.KWh
	var amount, paid, refunded, lines api.Money
	for _, o := range orders {
		whole, err := w.operator.api.Orders.Get(ctx, o.OrderID)
		if err != nil {
			return err
		}
		energy, amount, paid, refunded = energy+o.Energy, amount+o.Amount, paid+o.PaidAmount, refunded+o.RefundedAmount
		for _, l := range whole.Lines {
			lines += l.Amount
			if l.PeriodKind == nil || l.Energy == nil {
				continue
			}
			p := periods[*l.PeriodKind]
			p.energy, p.electricity, p.service = p.energy+*l.Energy, p.electricity+l.ElectricityAmount, p.service+l.ServiceAmount
			periods[*l.PeriodKind] = p
		}
	}
	fmt.Fprintf(out, "\nThe day\n")
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "period\tkWh\telectricity CNY\tservice CNY\t\n")
	kinds := make([]string, 0, len(periods))
	for kind := range periods {
		kinds = append(kinds, kind)
	}
	sort.Strings(kinds)
	for _, kind := range kinds {
		p := periods[kind]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t\n", kind, p.energy, p.electricity, p.service)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "  sessions        %d\n  energy          %s kWh\n  billed          %s CNY (sum of the lines %s)\n  paid            %s CNY, refunded %s CNY\n",
		len(orders), energy, amount, lines, paid, refunded)
	fmt.Fprintf(out, "  reconciliation  %s: %d of %d rows match, system %s, channel %s CNY\n",
		w.result.Status, w.result.MatchedCount, w.result.TotalCount, w.result.SystemTotalAmount, moneyOr(w.result.ChannelTotalAmount))
	if lines != amount {
		return fmt.Errorf("the lines add up to %s, the orders to %s", lines, amount)
	}
	return w.books(ctx, out)
}

func moneyOr(m *api.Money) string {
	if m == nil {
		return "-"
	}
	return m.String()
}

// books proves that the journal is balanced.
func (w *world) books(ctx context.Context, out io.Writer) error {
	t, err := w.operator.api.Ledger.TrialBalance(ctx, client.Query{"tenantScope": api.ScopeSubtree})
	if err != nil {
		return err
	}
	if !t.Balanced || t.DebitTotal == 0 {
		return fmt.Errorf("the journal is not balanced: %s against %s", t.DebitTotal, t.CreditTotal)
	}
	fmt.Fprintf(out, "  journal         balanced, %s CNY on both sides\n", t.DebitTotal)
	return w.signed(out)
}
