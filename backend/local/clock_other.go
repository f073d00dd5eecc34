//go:build !linux

package local

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// clock is a time that only grows, and that on darwin goes on while the machine sleeps.
func (s *Store) clock() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

// clockAhead is nothing: there are no time namespaces.
func clockAhead() time.Duration { return 0 }

// bootID tells this boot of the machine from every other.
func bootID() (id, error) {
	uuid, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return id{}, fmt.Errorf("asking for the boot's identity: %w", err)
	}
	return parseUUID([]byte(uuid)), nil
}
