// Package device is the language without an accent that every charger protocol
// is translated to: what any charger can tell us, what we can ask of it, and
// who is connected. It knows no protocol, no order and no store. Its one
// promise: when a Handler method returns without error, what was told is
// durable, and only then may the protocol answer the charger.
package device

import (
	"context"
	"crypto/x509"
	"net/netip"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// The protocols, as the contract names them.
const (
	OCPP16      = "OCPP16"
	OCPP201     = "OCPP201"
	YKC         = "YKC"
	CloudCharge = "CLOUDCHARGE"
)

// Identity is a device that proved who it is.
type Identity struct {
	Tenant   evcs.TenantID
	Charger  evcs.ChargerID
	DeviceID string
	// Heartbeat is the interval the device is to be told.
	Heartbeat time.Duration
	// Zone is the zone of times without one.
	Zone *time.Location
}

// From says who told us something, when we received it, and the raw evidence.
type From struct {
	Identity
	Protocol string
	Received time.Time
	// Type, MessageID and Raw are the frame kept as evidence. Raw is owned by
	// the receiver of the call and has its secrets redacted already.
	Type      string
	MessageID string
	Raw       []byte
}

// Frame is the evidence row of what was told.
func (f From) Frame() evcs.Frame {
	return evcs.Frame{
		Tenant: f.Tenant, Charger: f.Charger, Time: f.Received, Protocol: f.Protocol,
		Type: f.Type, MessageID: f.MessageID, Raw: f.Raw,
	}
}

// Boot is what a charger says of itself after a (re)start or reconnect.
type Boot struct {
	From
	Vendor, Model, Serial, Firmware, ICCID string
}

// Status is a report of one connector, or of the whole charger.
type Status struct {
	From
	Connector int // from 1; 0 is the charger itself
	State     State
	// Raw state word of the protocol, for the log.
	Word string
	// Plugged is nil when the protocol cannot tell.
	Plugged     *bool
	FaultCode   string
	FaultDetail string
	At          time.Time // device time, zero when not told
	Sample      evcs.Sample
}

// State is the connector state of contract §5.2.
type State int

// The states, with the contract's numbers.
const (
	Offline     State = 0
	Idle        State = 1
	Charging    State = 2
	Fault       State = 3
	Maintenance State = 4
	Reserved    State = 5
)

// TagStatus is the judgement on an id tag.
type TagStatus string

// The judgements a protocol has to word.
const (
	TagAccepted     TagStatus = "ACCEPTED"
	TagUnknown      TagStatus = "UNKNOWN"
	TagBlocked      TagStatus = "BLOCKED"
	TagExpired      TagStatus = "EXPIRED"
	TagConcurrentTx TagStatus = "CONCURRENT"
)

// Authorize asks whether a tag may charge here.
type Authorize struct {
	From
	Connector int // 0 when the protocol does not say
	IDTag     string
}

// Authorization is the answer.
type Authorization struct {
	Status  TagStatus
	Expires time.Time // zero: never
	Parent  string
}

// Started tells that a charging session has begun, now or in the past.
type Started struct {
	From
	Connector int
	// Key is the protocol's natural key of this start, the same in every repeat
	// of it and unique on the charger: OCPP 1.6 connector, time, register and
	// tag; OCPP 2.0.1 transaction id; cloudcharge session id.
	Key string
	// Session is the platform's session id, when the device was given it.
	Session string
	Command evcs.CommandID
	IDTag   string
	User    int64
	// Register is the lifetime register at the start; nil when not told.
	Register *evcs.Energy
	At       time.Time // device time, zero when not told
	// Offline says that the device declares it began without us: it is stored
	// whatever the rules say, with anomalies.
	Offline bool
}

// StartAnswer is what was stored, the same for every repeat.
type StartAnswer struct {
	Session string
	// Transaction is the number the charger is to use (OCPP 1.6 transactionId):
	// positive, below 2^31, never reused on the charger.
	Transaction int64
	Tag         TagStatus
	Order       evcs.OrderID
	OrderNo     string
}

// Metered brings readings of a session.
type Metered struct {
	From
	Connector   int
	Session     string // when the device knows it
	Transaction int64  // when the protocol has numbers; 0 or less: not told
	Samples     []evcs.Sample
}

// MeterAnswer counts what was new.
type MeterAnswer struct{ Accepted, Ignored int }

// Stopped tells that a session has ended, now or in the past.
type Stopped struct {
	From
	Connector   int // 0 when the protocol does not say
	Session     string
	Transaction int64
	IDTag       string
	Register    *evcs.Energy
	Energy      *evcs.Energy  // since the start, as the device declares it
	Duration    time.Duration // as declared; 0 when not told
	At          time.Time
	Reason      string // one of the words of contract §6.1
	ReasonRaw   string
	Samples     []evcs.Sample // the transaction data sent along
	Offline     bool
	// Bill is what the device says itself that the session cost; nil: not told.
	Bill *evcs.ChargerBill
}

// StopAnswer is what was settled, the same for every repeat.
type StopAnswer struct {
	Session  string
	OrderNo  string
	Energy   evcs.Energy
	Duration time.Duration
	Amount   evcs.Money
	// Orphan says that no session was known: the stop was kept as an orphan.
	Orphan bool
	// Cancelled says that the order was cancelled before.
	Cancelled bool
	Tag       TagStatus
}

// Note is anything else worth keeping: DataTransfer, diagnostics and firmware
// status, messages nobody knows.
type Note struct {
	From
	Outcome string // the protocol's word for what it was answered with; "": a plain yes
	// Work says what the note tells of a command that takes its time; nil: nothing.
	Work *Work
}

// Work is the end of what a command set in motion.
type Work struct {
	Kind Kind
	Done bool   // false: it failed
	Word string // the protocol's
}

// Handler hears what chargers tell. It is called from one goroutine per
// connection, in the order of the wire, but for one charger possibly from
// several at once (a REST call, an old connection). Every method is idempotent
// by the natural key of what is told, across reconnects and restarts. An error
// means that nothing was stored: a protocol answers it with silence or "try
// again" when evcs.Classify gives 9503 or 9999, and with its own words
// otherwise.
type Handler interface {
	Booted(ctx context.Context, m Boot) error
	StatusReported(ctx context.Context, m Status) error
	Authorize(ctx context.Context, m Authorize) (Authorization, error)
	Started(ctx context.Context, m Started) (StartAnswer, error)
	Metered(ctx context.Context, m Metered) (MeterAnswer, error)
	Stopped(ctx context.Context, m Stopped) (StopAnswer, error)
	Noted(ctx context.Context, m Note) error
}

// Presence hears who is there. A protocol puts a session into the Hub and then
// calls Connected; when the session ends it drops it and calls Disconnected only
// if it was still the present one. Heard is called for every valid message of any
// kind and for every pong; it is cheap and remembers in memory, the database
// follows within a minute.
type Presence interface {
	Connected(ctx context.Context, s Session) error
	Disconnected(ctx context.Context, s Session, reason string)
	Heard(id Identity, at time.Time)
}

// Journal keeps messages that no transaction keeps: what was sent to devices and
// what they answered to it. Keep returns at once, the frame is stored soon
// after; its Raw has its secrets redacted and belongs to the journal.
type Journal interface{ Keep(f evcs.Frame) }

// Credential is what a device shows when it connects.
type Credential struct {
	DeviceID string
	Protocol string
	Address  netip.Addr
	TLS      bool
	// Verify is asked with each secret that is valid now (the present one, and
	// the previous one within its grace) and reports whether it fits. It must
	// compare in constant time. Nil: the device showed no secret (OCPP security
	// profile 0, which the charger must allow together with allowCidr).
	Verify func(secret string) bool
	// Signed: Verify is over the message itself, so it must fit whatever else
	// proves the device.
	Signed bool
	// Certificates is the chain of the certificate whose key the device has proved
	// to hold, its own first. Who issued it is for the Gate to judge.
	Certificates []*x509.Certificate
	// Settling: the device only reports what has happened (a stop, meter values,
	// a status). It must prove who it is, but a disabled charger (2007) or a
	// blocked tenant (5004, 5005) does not refuse it: that energy was delivered.
	Settling bool
}

// The refusals of a Gate. The first five are all 2020 to the device; the person
// who installs it is told which.
var (
	ErrAuthFailed  = evcs.NewError(evcs.CodeDeviceAuthFailed, "device authentication failed")
	ErrAddress     = evcs.NewError(evcs.CodeDeviceAuthFailed, "the device's address is not among the allowed ones")
	ErrNeedsTLS    = evcs.NewError(evcs.CodeDeviceAuthFailed, "the device's security profile needs TLS")
	ErrCertificate = evcs.NewError(evcs.CodeDeviceAuthFailed, "the device's certificate is missing, out of date or not its own")
	ErrProtocol    = evcs.NewError(evcs.CodeDeviceAuthFailed, "the device is registered for another protocol")
	ErrUnknown     = evcs.NewError(evcs.CodeDeviceUnknown, "the device is not registered")
)

// Gate decides who may talk. Besides ErrAuthFailed and ErrUnknown it refuses
// with 2007 (charger disabled), 5004 and 5005 (tenant blocked).
type Gate interface {
	Admit(ctx context.Context, c Credential) (Identity, error)
	// Refused lists a refused device with the reason and a hint for the person
	// who installs it. Rows are bounded and repeats are counted.
	Refused(ctx context.Context, r Refusal)
}

// Refusal is one line of the list of refused devices.
type Refusal struct {
	DeviceID string
	Protocol string
	Address  string
	Reason   string // MISSING_SUBPROTOCOL, WRONG_PATH, BAD_CREDENTIAL, UNKNOWN_ID, TENANT_DISABLED, …
	Hint     string // what to change
	At       time.Time
}

// Command is something asked of a charger.
type Command struct {
	ID        evcs.CommandID
	Kind      Kind
	Connector int // 0: the whole charger
	Session   string
	// Transaction is the number given in StartAnswer, for STOP.
	Transaction int64
	OrderNo     string
	IDTag       string
	User        int64
	Hard        bool     // RESET
	Operative   bool     // AVAILABILITY
	Message     string   // TRIGGER
	Keys        []string // GET_CONFIG
	Key, Value  string   // SET_CONFIG
	URL         string   // UPDATE_FIRMWARE
	Retrieve    time.Time
	// Full and Tags are of SEND_LOCAL_LIST: the whole list, or what changed.
	Full bool
	Tags []Tag
}

// Tag is an entry of the list of id tags that a device keeps.
type Tag struct {
	Tag     string
	Status  TagStatus // "": take it off the list
	Expires time.Time
	Parent  string
}

// Commands lists what can be asked of a device that speaks a protocol.
func Commands(protocol string) []Kind {
	switch protocol {
	case OCPP16:
		return []Kind{
			KindStart, KindStop, KindReset, KindUnlock, KindAvailability, KindTrigger, KindGetConfig, KindSetConfig, KindClearCache,
			KindFirmware, KindLocalList,
		}
	case CloudCharge:
		return []Kind{
			KindStart, KindStop, KindReset, KindUnlock, KindAvailability, KindTrigger, KindGetConfig, KindSetConfig, KindClearCache, KindSyncTime,
		}
	}
	return nil
}

// Kind is the type of a command, contract §5.4.
type Kind string

// The kinds.
const (
	KindStart        Kind = "START"
	KindStop         Kind = "STOP"
	KindReset        Kind = "RESET"
	KindUnlock       Kind = "UNLOCK"
	KindAvailability Kind = "AVAILABILITY"
	KindTrigger      Kind = "TRIGGER"
	KindGetConfig    Kind = "GET_CONFIG"
	KindSetConfig    Kind = "SET_CONFIG"
	KindClearCache   Kind = "CLEAR_CACHE"
	KindSyncTime     Kind = "SYNC_TIME"
	KindPushTariff   Kind = "PUSH_TARIFF"
	KindReadData     Kind = "READ_DATA"
	KindFirmware     Kind = "UPDATE_FIRMWARE"
	KindLocalList    Kind = "SEND_LOCAL_LIST"
)

// Answer is what the charger said to a command.
type Answer struct {
	Accepted bool
	Reason   string // the protocol's word when it is not a plain yes
	Result   []byte // JSON for people, nil when there is none
}

// The failures of Session.Send beside the context's.
var (
	// ErrUnsupported: the protocol has no such command (2014).
	ErrUnsupported = evcs.NewError(evcs.CodeCommandUnsupported, "the protocol has no such command")
	// ErrGone: the connection ended before the answer (2004).
	ErrGone = evcs.NewError(evcs.CodeChargerOffline, "the connection is gone")
)

// Session is one live connection.
type Session interface {
	Identity() Identity
	Info() Info
	// Send asks and waits for the answer, at most until ctx ends. One command is
	// on the wire at a time; others wait their turn.
	Send(ctx context.Context, c Command) (Answer, error)
	// Close ends the connection; it returns at once and may be called twice.
	Close(reason string)
}

// Info is what monitoring shows of a connection.
type Info struct {
	Protocol, Version, Address string
	Since, Last                time.Time
	In, Out                    int64
	Pending                    int
}
