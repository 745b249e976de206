package order

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"time"
)

// DayOf is the day part of an order number: the day of t in the tenant's zone.
func DayOf(t time.Time, zone *time.Location) string { return t.In(zone).Format("20060102") }

// Number is the n-th order number of a tenant's day: ORD-yyyyMMddNNNNNN, more
// than six digits when needed.
func Number(day string, n int64) string { return fmt.Sprintf("ORD-%s%06d", day, n) }

// crockford is the alphabet without letters that look like digits.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var sessionText = base32.NewEncoding(crockford).WithPadding(base32.NoPadding)

// NewSession makes a session id: "S-" and 26 characters, sorted by time to the
// millisecond, with 80 random bits.
func NewSession(at time.Time) string {
	var b [17]byte                                                // 6 of time, 10 of chance, and room for the 26th character
	binary.BigEndian.PutUint64(b[:8], uint64(at.UnixMilli())<<16) //nolint:gosec // years after 1970
	_, _ = rand.Read(b[6:16])                                     // never fails (crypto/rand)
	return "S-" + sessionText.EncodeToString(b[:])[:26]
}
