//go:build unix

package ocppj

import (
	"errors"
	"fmt"
	"syscall"
)

// canReadNow says that readNow works here.
const canReadNow = true

// errNothing says that nothing has arrived.
var errNothing = errors.New("nothing to read yet")

// readNow reads from a socket that does not block. Nothing and no error is the
// end.
func readNow(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p) //nolint:gosec // a file descriptor fits
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return 0, errNothing
		default:
			return 0, fmt.Errorf("read: %w", err)
		}
	}
}
