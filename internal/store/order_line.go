package store

import (
	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/tariff"
)

// scanLine reads one line of a bill; figures that its kind does not have are
// NULL.
func scanLine(r row) (tariff.Line, error) {
	var l tariff.Line
	var from, to int64
	var period, reason *string
	var energy *evcs.Energy
	var energyPrice, servicePrice, minutePrice *evcs.UnitPrice
	var minutes *int64
	err := r.Scan(&l.Kind, &period, &from, &to, &energy, &energyPrice, &servicePrice, &minutes, &minutePrice,
		&l.Electricity, &l.Service, &l.Amount, &reason)
	l.From, l.To = evcs.FromMillis(from), evcs.FromMillis(to)
	if period != nil {
		l.PeriodKind = tariff.PeriodKind(*period)
	}
	l.Energy, l.EnergyPrice, l.ServicePrice = or0(energy), or0(energyPrice), or0(servicePrice)
	l.Minutes, l.MinutePrice = or0(minutes), or0(minutePrice)
	if reason != nil {
		l.Reason = *reason
	}
	return l, err
}

func or0[T any](v *T) T {
	var zero T
	if v == nil {
		return zero
	}
	return *v
}

// lineValues are the binds of a line from its kind on.
func lineValues(l tariff.Line) []cell {
	var energy, energyPrice, servicePrice, minutes, minutePrice cell
	switch l.Kind {
	case tariff.KindEnergy:
		energy, energyPrice, servicePrice = whole(l.Energy), whole(l.EnergyPrice), whole(l.ServicePrice)
	case tariff.KindIdle, tariff.KindParking:
		minutes, minutePrice = whole(l.Minutes), whole(l.MinutePrice)
	}
	return []cell{
		words(l.Kind), worded(string(l.PeriodKind)), moment(l.From), moment(l.To), energy, energyPrice, servicePrice, minutes, minutePrice,
		whole(l.Electricity), whole(l.Service), whole(l.Amount), worded(l.Reason),
	}
}
