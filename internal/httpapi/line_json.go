package httpapi

import (
	"github.com/evcs/evcs/internal/api"
	"github.com/evcs/evcs/internal/tariff"
)

// linesJSON are the lines of a bill, numbered from 1; a figure that a kind of
// line does not have is null.
func linesJSON(lines []tariff.Line) []api.Line {
	out := make([]api.Line, len(lines))
	for i, l := range lines {
		out[i] = lineJSON(i+1, l)
	}
	return out
}

func lineJSON(no int, l tariff.Line) api.Line {
	out := api.Line{
		LineNo: no, Kind: l.Kind, PeriodKind: textOrNil(string(l.PeriodKind)), From: api.At(l.From), To: api.At(l.To),
		ElectricityAmount: api.Money(l.Electricity), ServiceAmount: api.Money(l.Service), Amount: api.Money(l.Amount), Reason: textOrNil(l.Reason),
	}
	switch l.Kind {
	case tariff.KindEnergy:
		out.Energy, out.EnergyPrice, out.ServiceFee = api.Ptr(api.KWh(l.Energy)), api.Ptr(api.Price(l.EnergyPrice)), api.Ptr(api.Price(l.ServicePrice))
	case tariff.KindIdle, tariff.KindParking:
		out.Minutes, out.MinutePrice = api.Ptr(l.Minutes), api.Ptr(api.Price(l.MinutePrice))
	}
	return out
}
