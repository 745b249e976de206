//go:build !unix

package ocppj

import "errors"

// canReadNow says that readNow works here.
const canReadNow = false

var errNothing = errors.New("nothing to read yet")

func readNow(uintptr, []byte) (int, error) { return 0, errNothing }
