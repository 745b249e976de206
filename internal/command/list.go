package command

import "github.com/evcs/evcs/internal/evcs"

// Filter narrows a list of commands; zero fields keep all.
type Filter struct {
	Charger evcs.ChargerID
	Order   evcs.OrderID
	Types   []string
	States  []string
	From    int64 // creation, milliseconds
	To      int64
}
