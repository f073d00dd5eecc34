package boot

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Now reads CLOCK_MONOTONIC, which goes on during sleep on this system.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("clock_gettime(CLOCK_MONOTONIC): " + err.Error()) // since macOS 10.12
	}
	return time.Duration(t.Nano())
}

// ID is not known here.
func ID() (string, error) {
	return "", errors.New("agents are for Linux: this system does not say which boot this is")
}
