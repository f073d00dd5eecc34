//go:build !linux || (!cgo && !amd64 && !arm64) || portable

package inherited

import (
	"os/signal"
	"syscall"
)

// AtStart returns what is left to see of what this program inherited.
func AtStart() State {
	var s State
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(sig) {
			s.Ignored |= 1 << (sig - 1)
		}
	}
	return s
}
