package station

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strings"
	"time"

	"github.com/evcs/evcs/internal/evcs"
)

// Credential is how a charger proves who it is. Secrets are sealed and never
// leave the daemon.
type Credential struct {
	Charger         evcs.ChargerID
	Tenant          evcs.TenantID
	Secret          string // sealed; "": none was made yet
	Fingerprint     string
	ValidFrom       time.Time
	Previous        string // sealed
	PreviousUntil   time.Time
	LastUsed        time.Time
	SecurityProfile int // 0 none, 1 password, 2 the same over TLS, 3 client certificate
	AllowCIDR       []netip.Prefix
	ClientCert      *string // SHA-256 of the certificate, in hexadecimal
	PinICCID        *string
	Heartbeat       time.Duration
	Updated         time.Time
	Version         int64
}

// DefaultHeartbeat is the interval of a charger that was given none.
const DefaultHeartbeat = 60 * time.Second

// Sealed lists the sealed secrets that are valid at a moment: the present one,
// and the previous one within its grace.
func (c *Credential) Sealed(at time.Time) []string {
	var list []string
	if c.Secret != "" {
		list = append(list, c.Secret)
	}
	if c.Previous != "" && at.Before(c.PreviousUntil) {
		list = append(list, c.Previous)
	}
	return list
}

// Allows reports whether the address is allowed; an empty list allows all.
func (c *Credential) Allows(a netip.Addr) bool {
	if len(c.AllowCIDR) == 0 {
		return true
	}
	for _, p := range c.AllowCIDR {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// normalise brings the fingerprint of the client certificate into its one form,
// 64 lower-case hexadecimal digits, from the forms in which tools print it.
func (c *Credential) normalise() error {
	if c.ClientCert == nil {
		return nil
	}
	digits := strings.ToLower(strings.ReplaceAll(*c.ClientCert, ":", ""))
	if sum, err := hex.DecodeString(digits); err != nil || len(sum) != sha256.Size {
		return evcs.Invalid(evcs.FieldFault{Field: "clientCertFingerprint", Message: "must be the SHA-256 of a certificate, 64 hexadecimal digits"})
	}
	c.ClientCert = &digits
	return nil
}

// IDTag is an RFID card, a VIN or an account known to chargers.
type IDTag struct {
	ID      int64
	Tenant  evcs.TenantID
	Tag     string
	User    int64
	Blocked bool
	Expires time.Time // zero: never
	Parent  *string
	Remark  *string
	Created time.Time
	Updated time.Time
	Version int64
}

// The reasons of ErrTagRefused.
const (
	TagUnknown = "UNKNOWN"
	TagBlocked = "BLOCKED"
	TagExpired = "EXPIRED"
)

// The refusals of id tags.
var (
	ErrTagNotFound = evcs.NewError(evcs.CodeIDTagNotFound, "no such id tag")
	ErrTagExists   = evcs.NewError(evcs.CodeIDTagExists, "the id tag exists")
	ErrTagRefused  = evcs.NewError(evcs.CodeIDTagRefused, "the id tag is not authorised")
)

// Judge says why the tag may not charge at a moment, or "".
func (t *IDTag) Judge(at time.Time) string {
	switch {
	case t.Blocked:
		return TagBlocked
	case !t.Expires.IsZero() && !at.Before(t.Expires):
		return TagExpired
	}
	return ""
}

// Mask keeps the ends of a tag, so that people can tell two apart and nobody
// can copy one.
func Mask(tag string) string {
	r := []rune(tag)
	if len(r) <= 4 {
		return "****"
	}
	keep := min(2+len(r)/6, 4)
	return string(r[:keep]) + "****" + string(r[len(r)-2:])
}

// TagRefused is 2017 with its facts.
func TagRefused(tag, reason string) error {
	return evcs.With(ErrTagRefused, map[string]any{"idTag": Mask(tag), "reason": reason})
}
