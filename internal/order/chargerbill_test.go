package order

import (
	"testing"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

func ptr[T any](v T) *T { return &v }

func TestChargersBillBesideOurs(t *testing.T) {
	t.Parallel()
	const kwh = evcs.KWh
	two := []tariff.Line{ // 6.00 in FLAT, in two lines, 8.00 in PEAK; the rest is not the charger's
		{Kind: tariff.KindStart, Amount: 200, Service: 200},
		{Kind: tariff.KindEnergy, PeriodKind: tariff.Flat, Energy: 2 * kwh, Amount: 300},
		{Kind: tariff.KindEnergy, PeriodKind: tariff.Peak, Energy: 4 * kwh, Amount: 800},
		{Kind: tariff.KindEnergy, PeriodKind: tariff.Flat, Energy: 2 * kwh, Amount: 300},
		{Kind: tariff.KindIdle, Amount: 500},
		{Kind: tariff.KindCap, Amount: -100},
	}
	parts := func(flat, peak evcs.Money) []evcs.ChargerPeriod {
		return []evcs.ChargerPeriod{{Kind: "FLAT", Amount: flat}, {Kind: "PEAK", Amount: peak}}
	}
	for name, c := range map[string]struct {
		bill          evcs.ChargerBill
		energy, money bool
	}{
		"nothing told":                         {evcs.ChargerBill{}, false, false},
		"the same":                             {evcs.ChargerBill{Energy: ptr(8 * kwh), Amount: ptr[evcs.Money](1400)}, false, false},
		"0.01 kWh":                             {evcs.ChargerBill{Energy: ptr(8*kwh + kwh/100)}, false, false},
		"a little more":                        {evcs.ChargerBill{Energy: ptr(8*kwh + kwh/100 + 1)}, true, false},
		"less energy":                          {evcs.ChargerBill{Energy: ptr(7 * kwh)}, true, false},
		"0.01 in each of two periods":          {evcs.ChargerBill{Amount: ptr[evcs.Money](1398)}, false, false},
		"0.03 in two periods":                  {evcs.ChargerBill{Amount: ptr[evcs.Money](1397)}, false, true},
		"the order's amount, with our fees":    {evcs.ChargerBill{Amount: ptr[evcs.Money](2000)}, false, true},
		"periods that agree":                   {evcs.ChargerBill{Amount: ptr[evcs.Money](1400), Periods: parts(601, 799)}, false, false},
		"a right sum of wrong periods":         {evcs.ChargerBill{Amount: ptr[evcs.Money](1400), Periods: parts(602, 798)}, false, true},
		"a period that we do not have":         {evcs.ChargerBill{Periods: append(parts(600, 800), evcs.ChargerPeriod{Kind: "VALLEY", Amount: 2})}, false, true},
		"an empty period that we do not have":  {evcs.ChargerBill{Periods: append(parts(600, 800), evcs.ChargerPeriod{Kind: "VALLEY"})}, false, false},
		"a period that the charger lacks":      {evcs.ChargerBill{Periods: parts(600, 800)[:1]}, false, true},
		"the largest that a charger can say":   {evcs.ChargerBill{Amount: ptr(evcs.MaxChargerAmount)}, false, true},
		"nothing, where we bill fourteen yuan": {evcs.ChargerBill{Amount: ptr[evcs.Money](0)}, false, true},
	} {
		got := CheckClaim(c.bill, 8*kwh, two)
		if got.EnergyOff != c.energy || got.AmountOff != c.money || got.Agrees() == (c.energy || c.money) || got.Amount != 1400 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := CheckClaim(evcs.ChargerBill{Amount: ptr[evcs.Money](500)}, kwh, nil); !got.Agrees() {
		t.Errorf("energy that nobody has priced: %+v", got)
	}
	if got := CheckClaim(evcs.ChargerBill{Amount: ptr[evcs.Money](500)}, 0, nil); !got.AmountOff {
		t.Errorf("money for nothing: %+v", got)
	}
}
