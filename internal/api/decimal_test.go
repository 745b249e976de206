package api_test

import (
	"encoding/json"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/evcs/evcs/internal/api"
)

func TestDecimalsAreWrittenExactly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value any
		want  string
	}{
		{api.Money(6138), "61.38"},
		{api.Money(-5), "-0.05"},
		{api.Money(0), "0.00"},
		{api.Price(80000), "0.8000"},
		{api.Price(80005), "0.80005"},
		{api.KWh(425000), "42.5000"},
		{api.Measure(120000), "120"},
		{api.Measure(438), "0.438"},
		{api.Percent(10000), "100.00"},
		{api.Degree(225405000), "22.5405"},
		{api.Degree(-1), "-0.0000001"},
		{api.Flag(true), "1"},
		{api.Flag(false), "0"},
	} {
		got, err := json.Marshal(c.value)
		if err != nil || string(got) != c.want {
			t.Errorf("%T: got %s (%v), want %s", c.value, got, err, c.want)
		}
	}
}

func TestDecimalsRefuseWhatIsNotPlain(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`"1.00"`, `1e2`, `1.001`, `01`, `.5`, `1.`, `+1`, `NaN`, `92233720368547758.08`, `--1`, ``} {
		var m api.Money
		if err := m.UnmarshalJSON([]byte(text)); !errors.Is(err, api.ErrDecimal) {
			t.Errorf("%q: got %v (%v), want ErrDecimal", text, m, err)
		}
	}
}

func TestDecimalsComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(-1<<60, 1<<60).Draw(t, "n")
		comesBack(t, api.Money(n))
		comesBack(t, api.Price(n))
		comesBack(t, api.KWh(n))
		comesBack(t, api.Measure(n))
		comesBack(t, api.Percent(n))
		comesBack(t, api.Degree(n))
	})
}

func comesBack[T comparable](t *rapid.T, v T) {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var back T
	if err := json.Unmarshal(text, &back); err != nil || back != v {
		t.Fatalf("%T %s came back as %v (%v)", v, text, back, err)
	}
}

func FuzzMoney(f *testing.F) {
	for _, s := range []string{"1.5", "-0.01", "1e9", "9223372036854775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var m, again api.Money
		if m.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(m.String())); err != nil || again != m {
			t.Fatalf("%q -> %v -> %v (%v)", s, m, again, err)
		}
	})
}
