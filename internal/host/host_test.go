package host_test

import (
	"path/filepath"
	"testing"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/host"
)

func TestSample(t *testing.T) {
	t.Parallel()
	s := host.New(evcs.SystemClock{}, t.TempDir())
	first := s.Sample(t.Context())
	if first.CPU.Usage != nil {
		t.Errorf("use of the processors without a sample before: %d", *first.CPU.Usage)
	}
	work := 0
	for i := range 200_000_000 { // some ticks of the processor's clock
		work += i
	}
	second := s.Sample(t.Context())
	if u := second.CPU.Usage; work == 0 || u == nil || *u < 0 || *u > 10_000 {
		t.Errorf("use of the processors: %v", u)
	}
	m := second.Memory
	if m == nil || m.Total <= 0 || m.Used+m.Free != m.Total || m.Share() <= 0 || m.Share() > 10_000 {
		t.Errorf("memory: %+v", m)
	}
	if d := second.Disk; d == nil || d.Total <= 0 || d.Used < 0 {
		t.Errorf("disk: %+v", d)
	}
	r, p := second.Runtime, second.Process
	if r.HeapUsed <= 0 || r.NonHeap <= 0 || r.Threads == nil || *r.Threads < 1 || *r.Peak < *r.Threads {
		t.Errorf("runtime: %+v", r)
	}
	if p.RSS == nil || *p.RSS < 1<<20 || p.Files == nil || *p.Files < 1 || p.Goroutines < 1 || p.Uptime <= 0 {
		t.Errorf("process: %+v", p)
	}
}

// What cannot be measured is absent.
func TestNoDisk(t *testing.T) {
	t.Parallel()
	s := host.New(evcs.SystemClock{}, filepath.Join(t.TempDir(), "nothing"))
	if d := s.Sample(t.Context()).Disk; d != nil {
		t.Errorf("a disk that is not there: %+v", d)
	}
}
