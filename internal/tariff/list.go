package tariff

import "github.com/evcs/evcs/internal/evcs"

// PlanFilter narrows a list of billing plans; zero fields narrow nothing.
type PlanFilter struct {
	Station    evcs.StationID
	Name, Code string // contains
	Status     []int
	Default    *bool
}
