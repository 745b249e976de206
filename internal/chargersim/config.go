package chargersim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/evcs/evcs/internal/chargersim/journal"
	"github.com/evcs/evcs/internal/evcs"
)

// The protocols a charger may speak, as the platform names them.
const (
	OCPP16      = "OCPP16"
	CloudCharge = "CLOUDCHARGE"
)

// Bounds of a fleet.
const (
	maxChargers   = 20_000
	maxConnectors = 32
	maxSpeed      = 3600
	maxJournal    = 2_000_000
)

// MaxLead is how far a shifted clock may stray from the real one: platforms
// distrust a clock that is off by a day.
const MaxLead = 22 * time.Hour

// ChargerConfig is one charger. Zero fields take the defaults named.
type ChargerConfig struct {
	DeviceID   string `json:"deviceId"`
	Secret     string `json:"secret"`
	Protocol   string `json:"protocol"`   // OCPP16
	Kind       string `json:"kind"`       // DC60
	Connectors int    `json:"connectors"` // 1
}

// TimeMode says what time a charger tells when its meter runs fast.
type TimeMode int

// The modes.
const (
	// ShiftedClock: the charger's clock begins in the past and runs Speed times
	// as fast; powers and durations are those of a real car.
	ShiftedClock TimeMode = iota
	// ScaledPower: times are real; the meter turns Speed times as fast, and the
	// power says so.
	ScaledPower
)

// Config is a fleet.
type Config struct {
	// Endpoint is the OCPP address without the charger's id, "ws://host:8085/ocpp";
	// HTTP the cloudcharge address, "http://host:8085". Each is needed only when a
	// charger speaks it.
	Endpoint, HTTP string
	Chargers       []ChargerConfig
	Seed           uint64
	Speed          int // simulated seconds per real second; 0 is 1
	Time           TimeMode
	// Lead is how far in the past a shifted clock begins; at most 22 h.
	Lead time.Duration
	// Scenario moves cars; nil leaves the chargers to the caller.
	Scenario *Scenario
	Faults   FaultPlan
	// MeterInterval and Heartbeat are the station's own settings until the server
	// changes them. Meter values follow simulated time, heartbeats real time.
	MeterInterval, Heartbeat time.Duration
	// Reckon is what a cloudcharge charger says itself that a session cost, in fen;
	// it gets the session as it was acknowledged, with the stop that is to be told.
	// 0: this one says nothing. Nil: none does.
	Reckon func(journal.Session) int64
	// AnswerTimeout is how long an answer is awaited, Backoff the pause before the
	// first reconnect; it doubles up to 16 times, with jitter.
	AnswerTimeout, Backoff time.Duration
	// MaxQueue bounds the messages a charger keeps while offline.
	MaxQueue int
	// JournalLimit bounds the entries of the journal.
	JournalLimit int
	// PlainTimes makes every charger write times as UTC with milliseconds instead
	// of the various ways of real stations.
	PlainTimes bool
	// AllowRemote permits servers that are not on this machine.
	AllowRemote bool
	Clock       evcs.Clock // the machine's when nil
	// Dial replaces the network, for tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Scenario is what the cars do, in simulated time. Every figure of a car is
// drawn between the two values.
type Scenario struct {
	Sessions int // per connector; 0 means until the fleet is stopped
	First    [2]time.Duration
	Gap      [2]time.Duration // between two cars
	Stay     [2]time.Duration // at most
	// OfflinePerMille of the sessions see the connection lost in between.
	OfflinePerMille int
	// Remote leaves starting to the server: cars plug in and wait, at most Stay.
	Remote bool
	// Tags are what customers present. A "*" becomes the number of the connector
	// in the fleet: few people charge two cars at once.
	Tags []string
}

// Scenarios are the scenarios known by name.
func Scenarios() map[string]Scenario {
	tags := []string{"SIM*A", "SIM*B", "SIM*C"}
	return map[string]Scenario{
		"default": {
			First: [2]time.Duration{0, 20 * time.Minute}, Gap: [2]time.Duration{2 * time.Minute, 40 * time.Minute},
			Stay: [2]time.Duration{10 * time.Minute, 90 * time.Minute}, OfflinePerMille: 30, Tags: tags,
		},
		"busy": {
			First: [2]time.Duration{0, 2 * time.Minute}, Gap: [2]time.Duration{30 * time.Second, 3 * time.Minute},
			Stay: [2]time.Duration{3 * time.Minute, 15 * time.Minute}, OfflinePerMille: 50, Tags: tags,
		},
		"office-morning": {
			Sessions: 1, First: [2]time.Duration{0, 10 * time.Minute}, Stay: [2]time.Duration{4 * time.Hour, 9 * time.Hour}, Tags: tags,
		},
		"mass-start": {Sessions: 1, Stay: [2]time.Duration{20 * time.Minute, 40 * time.Minute}, Tags: tags},
		"remote": {
			First: [2]time.Duration{0, time.Minute}, Gap: [2]time.Duration{time.Minute, 5 * time.Minute},
			Stay: [2]time.Duration{10 * time.Minute, 60 * time.Minute}, Remote: true, Tags: tags,
		},
	}
}

// prepare fills in defaults and returns every fault of the configuration.
func (c *Config) prepare() error {
	def(&c.Speed, 1)
	def(&c.MeterInterval, time.Minute)
	def(&c.Heartbeat, time.Minute)
	def(&c.AnswerTimeout, 30*time.Second)
	def(&c.Backoff, 500*time.Millisecond)
	def(&c.MaxQueue, 10_000)
	def(&c.JournalLimit, maxJournal)
	if c.Clock == nil {
		c.Clock = evcs.SystemClock{}
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	faults := []error{c.checkNumbers(), c.Scenario.check()}
	if len(c.Chargers) == 0 || len(c.Chargers) > maxChargers {
		faults = append(faults, fmt.Errorf("%d chargers: 1 to %d are possible", len(c.Chargers), maxChargers))
	}
	seen := map[string]bool{}
	for i := range c.Chargers {
		faults = append(faults, c.prepareCharger(&c.Chargers[i], seen))
	}
	return errors.Join(faults...)
}

func (c *Config) checkNumbers() error {
	var faults []error
	if c.Speed < 1 || c.Speed > maxSpeed {
		faults = append(faults, fmt.Errorf("speed %d: 1 to %d", c.Speed, maxSpeed))
	}
	if c.Lead < 0 || c.Lead > MaxLead {
		faults = append(faults, fmt.Errorf("lead %v: 0 to %v", c.Lead, MaxLead))
	}
	for f, n := range c.Faults {
		if n < 1 {
			faults = append(faults, fmt.Errorf("fault %s: once in %d messages is not possible", f, n))
		}
	}
	if c.MeterInterval < time.Second || c.Heartbeat < time.Second {
		faults = append(faults, errors.New("meter and heartbeat intervals are at least a second"))
	}
	if c.JournalLimit > maxJournal {
		faults = append(faults, fmt.Errorf("journal limit %d: at most %d", c.JournalLimit, maxJournal))
	}
	return errors.Join(faults...)
}

func (c *Config) prepareCharger(ch *ChargerConfig, seen map[string]bool) error {
	def(&ch.Protocol, OCPP16)
	def(&ch.Kind, "DC60")
	def(&ch.Connectors, 1)
	var faults []error
	if ch.DeviceID == "" || seen[ch.DeviceID] {
		faults = append(faults, fmt.Errorf("charger %q: an id is needed, once", ch.DeviceID))
	}
	seen[ch.DeviceID] = true
	if ch.Connectors < 1 || ch.Connectors > maxConnectors {
		faults = append(faults, fmt.Errorf("charger %q: %d connectors: 1 to %d", ch.DeviceID, ch.Connectors, maxConnectors))
	}
	if _, err := curveOf(ch.Kind); err != nil {
		faults = append(faults, fmt.Errorf("charger %q: %w", ch.DeviceID, err))
	}
	switch ch.Protocol {
	case OCPP16:
		faults = append(faults, c.checkAddress(c.Endpoint, "ws", "wss"))
	case CloudCharge:
		faults = append(faults, c.checkAddress(c.HTTP, "http", "https"))
	default:
		faults = append(faults, fmt.Errorf("charger %q: protocol %q: %s or %s", ch.DeviceID, ch.Protocol, OCPP16, CloudCharge))
	}
	return errors.Join(faults...)
}

func (c *Config) checkAddress(address, scheme, secure string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || (u.Scheme != scheme && u.Scheme != secure) {
		return fmt.Errorf("address %q: a %s:// or %s:// address is needed", address, scheme, secure)
	}
	if c.AllowRemote || u.Hostname() == "localhost" {
		return nil
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("address %q is not on this machine: that must be allowed explicitly", address)
	}
	return nil
}

func (s *Scenario) check() error {
	if s == nil {
		return nil
	}
	for _, span := range [][2]time.Duration{s.First, s.Gap, s.Stay} {
		if span[0] < 0 || span[1] < span[0] {
			return fmt.Errorf("scenario: %v to %v is no span", span[0], span[1])
		}
	}
	if s.Sessions < 0 || s.OfflinePerMille < 0 || s.OfflinePerMille > 1000 || len(s.Tags) == 0 || s.Stay[1] <= 0 {
		return errors.New("scenario: sessions from 0, offline share 0 to 1000, at least one tag and a stay are needed")
	}
	return nil
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func positive(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%q is not a positive number", text)
	}
	return n, nil
}
