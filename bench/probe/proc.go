// Package probe is what the load tool and the crash test share: child processes
// and what they cost, an evcsd on a temporary database, and the few REST calls
// that provision it. It uses evcsd only as a stranger could: its program, its
// sockets, its public API.
package probe

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of /proc/PID/stat: 1/100 s on every Linux.
const tick = 10 * time.Millisecond

// CPU is the processor time process pid has used, in user and kernel mode, all
// threads. It comes in ticks of 10 ms: measure seconds.
func CPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, fmt.Errorf("processor time of %d: %w", pid, err)
	}
	// The name is in brackets and may contain anything; fields count from after it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("processor time of %d: %d fields", pid, len(fields))
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("processor time of %d: %w", pid, err)
	}
	kernel, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("processor time of %d: %w", pid, err)
	}
	return time.Duration(user+kernel) * tick, nil
}

// RSS is the resident memory of process pid in bytes.
func RSS(pid int) (int64, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		return 0, fmt.Errorf("memory of %d: %w", pid, err)
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("memory of %d: %d fields", pid, len(fields))
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("memory of %d: %w", pid, err)
	}
	return pages * int64(os.Getpagesize()), nil
}

// spareFiles are the descriptors a process needs beside its connections.
const spareFiles = 64

// CheckFiles refuses n connections when the limit of open files is too low for
// them, here and in the children, which inherit it.
func CheckFiles(n int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("limit of open files: %w", err)
	}
	if uint64(n)+spareFiles > limit.Cur {
		return fmt.Errorf("%d connections need %d open files, the limit is %d: raise it with ulimit -n or ask for fewer",
			n, n+spareFiles, limit.Cur)
	}
	return nil
}
