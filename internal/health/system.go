package health

import "time"

// System is what the host, the process and the database were seen to have.
// Sizes are bytes, shares hundredths of a percent; nil was not measurable.
type System struct {
	At       time.Time
	CPU      CPU
	Memory   *Space
	Disk     *Space // the file system of the data directory
	Network  *Network
	Runtime  Runtime
	Process  Process
	Database Database
}

// CPU is the use of all cores since the sample before.
type CPU struct {
	Usage *int64 // hundredths of a percent
	Load  *int64 // of 1 min, thousandths
	Cores int
}

// Space is room that is used up.
type Space struct{ Total, Used, Free int64 }

// Share is the used part in hundredths of a percent.
func (s Space) Share() int64 { return share(s.Used, s.Total) }

func share(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	const all = 10_000
	if part > 1<<48 { // so large that the product would not fit
		return min(part/(whole/all+1), all)
	}
	return min(part*all/whole, all)
}

// Network counts since boot, without loopback.
type Network struct{ BytesIn, BytesOut, PacketsIn, PacketsOut int64 }

// Runtime is the memory of the Go runtime.
type Runtime struct {
	HeapUsed int64
	HeapMax  *int64 // limit of the process or its cgroup
	NonHeap  int64
	Threads  *int
	Peak     *int // threads since the start
	GCs      int64
	GCTime   time.Duration
}

// HeapShare is the used part of the limit in hundredths of a percent.
func (r Runtime) HeapShare() *int64 {
	if r.HeapMax == nil {
		return nil
	}
	s := share(r.HeapUsed, *r.HeapMax)
	return &s
}

// Process is this evcsd.
type Process struct {
	RSS        *int64
	Files      *int64
	Goroutines int
	GoVersion  string
	Uptime     time.Duration
}

// Database is the store as this node sees it. What only a server knows is nil
// on SQLite.
type Database struct {
	Engine     string
	Size       *int64
	WAL        *int64 // SQLite's
	Open, Max  int    // connections of this node
	ServerOpen *int64
	ServerMax  *int64
	// Longest is the age of the oldest transaction, Lag that of the slowest
	// replica, Skew by how much this host's clock is ahead of the server's.
	Longest, Lag, Skew *time.Duration
	// Commits, Statements and Changed (rows) count what this node has written
	// since it began; zero on PostgreSQL, which counts them itself.
	Commits, Statements, Changed int64
}
