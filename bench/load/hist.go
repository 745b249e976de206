package main

import (
	"math/bits"
	"sync"
	"time"
)

// histogram counts durations in log-linear buckets: 128 in every octave, so
// that no figure is off by more than 0.8 %. It counts microseconds.
type histogram struct {
	counts [buckets]uint64
	total  uint64
	most   time.Duration
}

const (
	perOctave = 128
	octaves   = 32
	buckets   = perOctave * octaves
)

func bucketOf(us uint64) int {
	if us < perOctave {
		return int(us) //nolint:gosec // below 128
	}
	shift := bits.Len64(us) - 8
	return min((shift+1)*perOctave+int(us>>shift)-perOctave, buckets-1) //nolint:gosec // below 256
}

// valueOf is the highest microsecond of a bucket.
func valueOf(bucket int) uint64 {
	octave, rest := bucket/perOctave, bucket%perOctave
	if octave == 0 {
		return uint64(rest) //nolint:gosec // not negative
	}
	shift := octave - 1
	return uint64(rest+perOctave+1)<<shift - 1 //nolint:gosec // not negative
}

func (h *histogram) add(d time.Duration) {
	us := uint64(max(d.Microseconds(), 0)) //nolint:gosec // not negative
	h.counts[bucketOf(us)]++
	h.total++
	h.most = max(h.most, d)
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
	h.most = max(h.most, o.most)
}

// quantile is the duration that share/1000 of all do not exceed.
func (h *histogram) quantile(share uint64) time.Duration {
	if h.total == 0 {
		return 0
	}
	need := (h.total*share + 999) / 1000
	var seen uint64
	for i, n := range h.counts {
		seen += n
		if seen >= need {
			return min(time.Duration(valueOf(i))*time.Microsecond, h.most) //nolint:gosec // fits
		}
	}
	return h.most
}

// shard is a histogram that several stations fill: one for each would take more
// memory than the connections.
type shard struct {
	mu sync.Mutex
	h  histogram // guarded by mu
}

func (s *shard) add(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h.add(d)
}
