package health

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// LogLine is one kept line of the logs of this node. Zero numbers and empty
// texts were not said.
type LogLine struct {
	ID         int64
	Time       time.Time
	Level      slog.Level
	Service    string // the part that wrote it
	Logger     string // the piece of the part
	Message    string
	Trace      string
	Tenant     evcs.TenantID
	User       evcs.UserID
	Charger    evcs.ChargerID
	Order      evcs.OrderID
	Attributes json.RawMessage // an object
	Line       string          // as it is kept: one JSON object
}

// LogQuery narrows lines; its zero value takes all.
type LogQuery struct {
	Service, Trace string
	Keyword        string // in the message or an attribute's value, whatever the case
	Level          slog.Level
	AnyLevel       bool // Level is not looked at
	From, To       time.Time
	// May says whose lines are seen; nil: everybody's and nobody's.
	May func(t evcs.TenantID) bool
}

// LogPlace says which part of the found lines is wanted: After a line (0: from
// the beginning), or after Skip lines, N of them.
type LogPlace struct {
	OldestFirst bool
	After       int64
	Skip        int64
	N           int
	Count       bool // how many there are in all
}

// LogsFound are lines and how many there are: exact up to LogTotalCap.
type LogsFound struct {
	Lines  []LogLine
	Total  int64
	Capped bool // there are more than Total
	More   bool // behind Lines
}

// LogTotalCap is how far found lines are counted.
const LogTotalCap = 10_000
