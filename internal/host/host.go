// Package host measures the machine and the process: processors, memory, disk,
// network, the Go runtime. What the platform does not tell stays nil. It also
// keeps the process's heap near what is in use.
package host

import (
	"context"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/disk"
	"github.com/shirou/gopsutil/v4/load"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/shirou/gopsutil/v4/net"
	"github.com/shirou/gopsutil/v4/process"

	"github.com/evcs/evcs/internal/evcs"
	"github.com/evcs/evcs/internal/health"
)

// Sampler measures again and again; the use of processors is that since the
// sample before.
type Sampler struct {
	clock   evcs.Clock
	dir     string // the data directory, whose disk counts
	begun   time.Time
	process *process.Process // nil: not measurable

	mu      sync.Mutex
	busy    float64 // guarded by mu: seconds of all cores until the last sample
	whole   float64 // guarded by mu
	threads int     // guarded by mu: most seen
}

// New makes a Sampler for the process it runs in.
func New(clock evcs.Clock, dataDir string) *Sampler {
	s := &Sampler{clock: clock, dir: dataDir, begun: evcs.Monotonic()}
	if p, err := process.NewProcess(int32(os.Getpid())); err == nil { //nolint:gosec // a process id fits
		s.process = p
	}
	return s
}

// Sample measures now.
func (s *Sampler) Sample(ctx context.Context) health.System {
	s.mu.Lock()
	defer s.mu.Unlock()
	return health.System{
		At: s.clock.Now(), CPU: s.cpu(ctx), Memory: memory(ctx), Disk: s.disk(ctx), Network: network(ctx),
		Runtime: s.runtime(ctx), Process: s.own(ctx),
	}
}

func (s *Sampler) cpu(ctx context.Context) health.CPU {
	c := health.CPU{Cores: runtime.NumCPU()}
	if n, err := cpu.CountsWithContext(ctx, true); err == nil && n > 0 {
		c.Cores = n
	}
	if l, err := load.AvgWithContext(ctx); err == nil {
		c.Load = ptr(int64(math.Round(l.Load1 * 1000)))
	}
	times, err := cpu.TimesWithContext(ctx, false)
	if err != nil || len(times) == 0 {
		return c
	}
	t := times[0]
	idle := t.Idle + t.Iowait
	busy := t.User + t.System + t.Nice + t.Irq + t.Softirq + t.Steal
	whole := busy + idle
	if s.whole > 0 && whole > s.whole {
		usage := (busy - s.busy) / (whole - s.whole)
		c.Usage = ptr(int64(math.Round(math.Min(math.Max(usage, 0), 1) * 10_000)))
	}
	s.busy, s.whole = busy, whole
	return c
}

func memory(ctx context.Context) *health.Space {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return nil
	}
	return &health.Space{Total: whole(m.Total), Used: whole(m.Total - min(m.Available, m.Total)), Free: whole(m.Available)}
}

func (s *Sampler) disk(ctx context.Context) *health.Space {
	d, err := disk.UsageWithContext(ctx, s.dir)
	if err != nil {
		return nil
	}
	return &health.Space{Total: whole(d.Used + d.Free), Used: whole(d.Used), Free: whole(d.Free)}
}

func network(ctx context.Context) *health.Network {
	cards, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		return nil
	}
	loop := loopbacks(ctx)
	var n health.Network
	for _, c := range cards {
		if loop[c.Name] {
			continue
		}
		n.BytesIn += whole(c.BytesRecv)
		n.BytesOut += whole(c.BytesSent)
		n.PacketsIn += whole(c.PacketsRecv)
		n.PacketsOut += whole(c.PacketsSent)
	}
	return &n
}

func loopbacks(ctx context.Context) map[string]bool {
	names := map[string]bool{"lo": true, "lo0": true}
	cards, err := net.InterfacesWithContext(ctx)
	if err != nil {
		return names
	}
	for _, c := range cards {
		for _, flag := range c.Flags {
			if flag == "loopback" {
				names[c.Name] = true
			}
		}
	}
	return names
}

func (s *Sampler) runtime(ctx context.Context) health.Runtime {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	r := health.Runtime{
		HeapUsed: whole(m.HeapAlloc), HeapMax: memoryLimit(),
		NonHeap: whole(m.StackInuse + m.MSpanInuse + m.MCacheInuse + m.BuckHashSys + m.GCSys + m.OtherSys),
		GCs:     int64(m.NumGC), GCTime: time.Duration(whole(m.PauseTotalNs)),
	}
	if s.process != nil {
		if n, err := s.process.NumThreadsWithContext(ctx); err == nil {
			s.threads = max(s.threads, int(n))
			r.Threads, r.Peak = ptr(int(n)), ptr(s.threads)
		}
	}
	return r
}

func (s *Sampler) own(ctx context.Context) health.Process {
	p := health.Process{Goroutines: runtime.NumGoroutine(), GoVersion: runtime.Version(), Uptime: evcs.Monotonic().Sub(s.begun)}
	if s.process == nil {
		return p
	}
	if m, err := s.process.MemoryInfoWithContext(ctx); err == nil {
		p.RSS = ptr(whole(m.RSS))
	}
	if n, err := s.process.NumFDsWithContext(ctx); err == nil {
		p.Files = ptr(int64(n))
	}
	return p
}

// memoryLimit is the least limit on the process's memory: the runtime's own
// (GOMEMLIMIT) or its control group's; nil without one.
func memoryLimit() *int64 {
	limit := int64(math.MaxInt64)
	if own := debug.SetMemoryLimit(-1); own > 0 {
		limit = own
	}
	for _, file := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
			limit = min(limit, n)
		}
	}
	const noLimit = 1 << 60 // version 1 writes almost all bits for "none"
	if limit >= noLimit {
		return nil
	}
	return &limit
}

// whole is a count of the platform, which is never too large for the sign.
func whole(n uint64) int64 { return int64(min(n, math.MaxInt64)) } //nolint:gosec // limited just here

func ptr[T any](v T) *T { return &v }
