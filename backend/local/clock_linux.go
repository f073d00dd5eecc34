package local

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// clock is the time since the machine was booted, with the time that it slept.
func clock() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail: the clock exists since Linux 2.6.39
	return time.Duration(ts.Nano())
}

// bootID tells this boot of the machine from every other.
func bootID() (id, error) {
	const file = "/proc/sys/kernel/random/boot_id"
	b, err := readFileAt(unix.AT_FDCWD, file)
	if err != nil {
		return id{}, fmt.Errorf("reading %s: %w; mount /proc", file, err)
	}
	return parseUUID(b), nil
}
