package health

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	buckets  = 145 // of 0.25 ms × 2^(k/8), k from 0: 0.25 ms to 65.536 s
	overflow = buckets
	finest   = 250 * time.Microsecond
)

// bounds are the upper ends of the buckets.
var bounds = sync.OnceValue(func() *[buckets]time.Duration {
	var b [buckets]time.Duration
	for k := range b {
		b[k] = time.Duration(math.Round(float64(finest) * math.Exp2(float64(k)/8)))
	}
	return &b
})

// Histogram counts durations in buckets that grow by 9 %, with exact count, sum
// and extremes. The zero Histogram is empty.
type Histogram struct {
	Count    int64
	Sum      time.Duration
	Min, Max time.Duration // 0 when empty
	in       [buckets + 1]uint32
}

// Observe adds a duration; a negative one counts as none at all.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	place, _ := slices.BinarySearch(bounds()[:], d) // the first bound that is not below d
	h.in[place]++
	if h.Count == 0 || d < h.Min {
		h.Min = d
	}
	h.Max = max(h.Max, d)
	h.Count++
	h.Sum += d
}

// Merge adds another histogram.
func (h *Histogram) Merge(o *Histogram) {
	if o.Count == 0 {
		return
	}
	if h.Count == 0 || o.Min < h.Min {
		h.Min = o.Min
	}
	h.Max = max(h.Max, o.Max)
	h.Count += o.Count
	h.Sum += o.Sum
	for k, n := range o.in {
		h.in[k] += n
	}
}

// Quantile is the duration that permille of 1000 do not exceed: the linear
// interpolation inside the bucket that holds the rank, limited to [Min, Max]. It
// is less than 9.1 % off, and less than 0.25 ms below that. 0 when empty.
func (h *Histogram) Quantile(permille int64) time.Duration {
	rank := max((permille*h.Count+999)/1000, 1)
	var before int64
	for k, n := range h.in {
		if before+int64(n) < rank {
			before += int64(n)
			continue
		}
		lower, upper := time.Duration(0), h.Max
		if k > 0 {
			lower = bounds()[k-1]
		}
		if k < overflow {
			upper = bounds()[k]
		}
		d := lower + time.Duration(float64(upper-lower)*float64(rank-before)/float64(n))
		return min(max(d, h.Min), h.Max)
	}
	return 0
}

// Mean is Sum over Count; 0 when empty.
func (h *Histogram) Mean() time.Duration {
	if h.Count == 0 {
		return 0
	}
	return h.Sum / time.Duration(h.Count)
}

// Buckets is the sparse form of the buckets: pairs of the distance to the one
// before and the number in it, as varints.
func (h *Histogram) Buckets() []byte {
	b := []byte{}
	last := 0
	for k, n := range h.in {
		if n > 0 {
			b = binary.AppendUvarint(b, uint64(k-last)) //nolint:gosec // never negative
			b = binary.AppendUvarint(b, uint64(n))
			last = k
		}
	}
	return b
}

var errBuckets = errors.New("not the buckets of a histogram")

// SetBuckets reads what Buckets wrote.
func (h *Histogram) SetBuckets(b []byte) error {
	h.in = [buckets + 1]uint32{}
	place := uint64(0)
	for len(b) > 0 {
		gap, n := binary.Uvarint(b)
		if n <= 0 {
			return errBuckets
		}
		count, m := binary.Uvarint(b[n:])
		if m <= 0 || gap > overflow || place+gap > overflow || count > math.MaxUint32 {
			return errBuckets
		}
		place += gap
		h.in[place] = uint32(count)
		b = b[n+m:]
	}
	return nil
}
