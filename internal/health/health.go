// Package health words what is measured of the installation itself: which nodes
// serve, how each part of them is, how long requests took, and what the host
// gives. A figure that could not be measured is absent, never zero.
package health

import (
	"cmp"
	"slices"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// ErrUnknown is 7001: no part of the daemon has this name.
var ErrUnknown = evcs.NewError(evcs.CodeServiceUnknown, "no part of the daemon has this name")

// Status is how a check, a node or a part is.
type Status string

// The states, best first.
const (
	Up       Status = "UP"
	Degraded Status = "DEGRADED"
	Unknown  Status = "UNKNOWN"
	Down     Status = "DOWN"
)

func (s Status) rank() int { return slices.Index([]Status{Up, Degraded, Unknown, Down}, s) }

// worse is the worse of two states.
func worse(a, b Status) Status {
	if b.rank() > a.rank() {
		return b
	}
	return a
}

// The checks, by what they try.
const (
	StoreRead      = "store read"
	StoreWrite     = "store write"
	RESTListener   = "REST listener"
	DeviceListener = "device listener"
	Outbox         = "outbox"
	Jobs           = "jobs"
	Settlement     = "settlement queue"
	Channels       = "payment channels"
	LogStore       = "log store"
	ClockSkew      = "clock"
	SealingKeys    = "sealing keys"
)

// The parts of the daemon, contract §14.2.
const (
	Gateway    = "evcs-gateway"
	Auth       = "evcs-auth"
	Tenant     = "evcs-tenant"
	Station    = "evcs-station"
	Order      = "evcs-order"
	Payment    = "evcs-payment"
	Protocol   = "evcs-protocol"
	Monitoring = "evcs-monitoring"
)

// Parts are the names of the parts of the daemon.
func Parts() []string {
	return []string{Gateway, Auth, Tenant, Station, Order, Payment, Protocol, Monitoring}
}

// checksOf names the checks that a part stands on.
func checksOf(part string) []string {
	switch part {
	case Gateway:
		return []string{RESTListener, StoreRead}
	case Payment:
		return []string{StoreRead, StoreWrite, Settlement, Channels, SealingKeys}
	case Protocol:
		return []string{DeviceListener, StoreRead, StoreWrite, SealingKeys}
	case Auth:
		return []string{StoreRead, StoreWrite, SealingKeys}
	case Order:
		return []string{StoreRead, StoreWrite, Outbox}
	case Monitoring:
		return []string{StoreRead, StoreWrite, Outbox, Jobs, LogStore, ClockSkew}
	}
	return []string{StoreRead, StoreWrite}
}

// vital reports whether a part cannot work when this check fails.
func vital(check string) bool { return check != Channels && check != ClockSkew }

// Check is the outcome of one check.
type Check struct {
	Name    string        `json:"name"`
	Status  Status        `json:"status"` // Up, Degraded (not vital) or Down
	Message string        `json:"message,omitempty"`
	Took    time.Duration `json:"took"`
}

// Build says what program a node runs, and where its chargers come in.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Built   string `json:"built,omitempty"` // RFC 3339, as the build says
	Go      string `json:"go"`
	Image   string `json:"image,omitempty"`
	Schema  int64  `json:"schema"`
	// DevicePort is where chargers of the node connect.
	DevicePort int `json:"devicePort"`
	// SealingKeys are the names of the keys that the node has, the sealing one
	// first; none of an older program.
	SealingKeys []string `json:"sealingKeys,omitempty"`
}

// State is what a node last said of itself.
type State struct {
	Checks      []Check `json:"checks"`
	MemoryUsed  int64   `json:"memoryUsed"`            // bytes
	MemoryMax   *int64  `json:"memoryMax,omitempty"`   // bytes; nil: no limit
	Threads     *int    `json:"threads,omitempty"`     // of the process
	PeakThreads *int    `json:"peakThreads,omitempty"` // since its start
	Goroutines  int     `json:"goroutines"`
}

// Node is one evcsd on the database.
type Node struct {
	ID      string
	Host    string
	Port    int
	Build   Build
	Started time.Time
	Seen    time.Time
	State   State
}

const (
	// Silence is how long a node may say nothing before its state is unknown.
	Silence = time.Minute
	// forgetAfter is how long a silent node stays in the list.
	forgetAfter = 24 * time.Hour
)

// Heard reports whether the node spoke within Silence.
func (n Node) Heard(now time.Time) bool { return now.Sub(n.Seen) <= Silence }

// Instance is one node's share of a part.
type Instance struct {
	Node   Node
	Status Status
	Checks []Check
}

// Part is the state of one part of the daemon over all nodes.
type Part struct {
	Name      string
	Status    Status
	Healthy   int // instances that are UP
	Checked   time.Time
	Checks    []Check // the worst outcome of each over the nodes heard
	Instances []Instance
}

// Took is how long the slowest check took; false when none was made.
func (p Part) Took() (time.Duration, bool) {
	if len(p.Checks) == 0 {
		return 0, false
	}
	return slices.MaxFunc(p.Checks, func(a, b Check) int { return cmp.Compare(a.Took, b.Took) }).Took, true
}

// Judge says how every part is: UP when all checks of all nodes pass, DEGRADED
// when a check that is not vital fails or some nodes are down or silent, DOWN
// when no node is left for which every vital check passes, UNKNOWN when no node
// was heard.
func Judge(nodes []Node, now time.Time) []Part {
	parts := make([]Part, 0, len(Parts()))
	for _, name := range Parts() {
		parts = append(parts, judge(name, nodes, now))
	}
	return parts
}

// JudgeOne is Judge for one part; ErrUnknown when there is none of this name.
func JudgeOne(name string, nodes []Node, now time.Time) (Part, error) {
	if !slices.Contains(Parts(), name) {
		return Part{}, evcs.With(ErrUnknown, map[string]any{"serviceName": name})
	}
	return judge(name, nodes, now), nil
}

func judge(name string, nodes []Node, now time.Time) Part {
	p := Part{Name: name, Status: Unknown}
	var count [4]int
	for _, n := range nodes {
		i := Instance{Node: n, Status: Unknown}
		if n.Heard(now) {
			i.Status, i.Checks = instance(name, n.State.Checks)
			p.Checks = worst(p.Checks, i.Checks)
		}
		if n.Seen.After(p.Checked) {
			p.Checked = n.Seen
		}
		count[i.Status.rank()]++
		p.Instances = append(p.Instances, i)
	}
	p.Healthy = count[Up.rank()]
	working := p.Healthy + count[Degraded.rank()]
	switch {
	case len(nodes) == 0 || count[Unknown.rank()] == len(nodes):
	case working == 0:
		p.Status = Down
	case p.Healthy == len(nodes):
		p.Status = Up
	default:
		p.Status = Degraded
	}
	return p
}

// instance is how a part is on one node.
func instance(part string, checks []Check) (Status, []Check) {
	status := Up
	var own []Check
	for _, name := range checksOf(part) {
		i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == name })
		if i < 0 {
			continue // what cannot be measured here is not checked
		}
		status = worse(status, checks[i].Status)
		own = append(own, checks[i])
	}
	if len(own) == 0 {
		status = Unknown
	}
	return status, own
}

func worst(have, more []Check) []Check {
	for _, c := range more {
		i := slices.IndexFunc(have, func(x Check) bool { return x.Name == c.Name })
		switch {
		case i < 0:
			have = append(have, c)
		case c.Status.rank() > have[i].Status.rank():
			have[i] = c
		}
	}
	return have
}

// Overall is the worst state of all parts that is not excused by another node.
func Overall(parts []Part) Status {
	status := Up
	for _, p := range parts {
		status = worse(status, p.Status)
	}
	return status
}
