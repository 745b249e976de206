package evcs_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/evcs"
)

// The table of the contract, row for row.
func TestCodesAreTheContractsTable(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/errors.tsv")
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(string(raw)), "\n")[1:]
	for _, row := range rows {
		f := strings.Split(row, "\t")
		var number, status int
		if _, err := fmt.Sscan(f[0]+" "+f[1], &number, &status); err != nil {
			t.Fatalf("row %q: %v", row, err)
		}
		c := evcs.Code(number)
		if c.Status() != status || c.Name() != f[2] || c.Text(false) != f[3] || c.Text(true) != f[4] {
			t.Errorf("%d is %d %s %q %q, the contract says %q", number, c.Status(), c.Name(), c.Text(false), c.Text(true), row)
		}
	}
	if got := len(evcs.Codes()); got != len(rows) {
		t.Errorf("the table has %d rows, the contract %d", got, len(rows))
	}
}

func TestErrorKeepsRuleAndFacts(t *testing.T) {
	t.Parallel()
	rule := evcs.NewError(evcs.CodeOrderState, "the order is not charging")
	other := evcs.NewError(evcs.CodeOrderState, "the order is held")
	err := fmt.Errorf("stop: %w", evcs.With(rule, map[string]any{"orderId": 7}))
	if !errors.Is(err, rule) {
		t.Error("the rule is not found behind its facts")
	}
	if errors.Is(err, other) {
		t.Error("another rule of the same code is found")
	}
	code, data, _ := evcs.Classify(err)
	if code != evcs.CodeOrderState || data["orderId"] != 7 {
		t.Errorf("classified as %d %v", code, data)
	}
	if code, data, _ := evcs.Classify(errors.New("disk on fire")); code != evcs.CodeInternalError || data != nil {
		t.Errorf("an unclassified error is %d %v", code, data)
	}
}

func TestDecimalTexts(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "-", ".", "1.", ".5", "1.234", "1e3", "+1", "01", "1,5", " 1", "1 ", "NaN", "--1", "9999999999999999999"} {
		if m, err := evcs.ParseMoney(bad); err == nil {
			t.Errorf("money %q was taken as %d", bad, m)
		}
	}
	for text, want := range map[string]evcs.Money{"0": 0, "0.00": 0, "61.38": 6138, "61.3": 6130, "61": 6100, "-0.01": -1} {
		if m, err := evcs.ParseMoney(text); err != nil || m != want {
			t.Errorf("money %q is %d, %v", text, m, err)
		}
	}
	for text, want := range map[string]evcs.Money{"61.3": 6130, "61.384999": 6138, "61.385": 6139, "0.995": 100, "-0.004": 0, "-61.385": -6139, "1.000": 100} {
		if m, err := evcs.RoundMoney(text); err != nil || m != want {
			t.Errorf("money %q is rounded to %d, %v", text, m, err)
		}
	}
	for _, bad := range []string{"", ".555", "1.23e5", "1.2.345", "x.999", "9999999999999999999.999"} {
		if m, err := evcs.RoundMoney(bad); err == nil {
			t.Errorf("money %q was rounded to %d", bad, m)
		}
	}
	for p, want := range map[evcs.UnitPrice]string{80000: "0.8000", 80001: "0.80001", 0: "0.0000", 1: "0.00001"} {
		if got := p.String(); got != want {
			t.Errorf("price %d is written %q", p, got)
		}
	}
}

func TestDecimalRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(-1<<53, 1<<53).Draw(t, "n")
		if m, err := evcs.ParseMoney(evcs.Money(n).String()); err != nil || int64(m) != n {
			t.Fatalf("money %d came back as %d, %v", n, m, err)
		}
		if e, err := evcs.ParseEnergy(evcs.Energy(n).String()); err != nil || int64(e) != n {
			t.Fatalf("energy %d came back as %d, %v", n, e, err)
		}
		if p, err := evcs.ParseUnitPrice(evcs.UnitPrice(n).String()); err != nil || int64(p) != n {
			t.Fatalf("price %d came back as %d, %v", n, p, err)
		}
	})
}

func TestCostRoundsHalfUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		energy, price string
		want          evcs.Money
	}{
		{"21.7500", "0.8", 1740}, {"20.7500", "0.5", 1038}, {"0.0001", "1", 0}, {"0.0050", "1", 1}, {"0.0049", "1", 0}, {"2000000.0000", "100", 20000000000},
	} {
		e, err := evcs.ParseEnergy(c.energy)
		if err != nil {
			t.Fatal(err)
		}
		p, err := evcs.ParseUnitPrice(c.price)
		if err != nil {
			t.Fatal(err)
		}
		if got := evcs.Cost(e, p); got != c.want {
			t.Errorf("%s kWh at %s is %s, want %s", c.energy, c.price, got, c.want)
		}
	}
}

func TestEnergyOverIsRoundedUp(t *testing.T) {
	t.Parallel()
	if got := evcs.EnergyOver(120_000, time.Hour); got != 120*evcs.KWh {
		t.Errorf("120 kW for an hour are %s", got)
	}
	if got := evcs.EnergyOver(1, time.Millisecond); got != 1 {
		t.Errorf("the smallest energy is %d", got)
	}
}
