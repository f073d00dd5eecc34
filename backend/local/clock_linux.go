package local

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clock is the time since the machine was booted, with the time that it slept: the same for all processes of the
// machine, whatever time namespace they are in.
func (s *Store) clock() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) // cannot fail: the clock exists since Linux 2.6.39
	return time.Duration(ts.Nano()) - s.ahead
}

// clockAhead is how far the time namespace of this process has moved CLOCK_BOOTTIME; a process stays in its namespace.
func clockAhead() time.Duration {
	b, err := readFileAt(unix.AT_FDCWD, "/proc/self/timens_offsets")
	if err != nil {
		return 0 // a kernel without such namespaces, before Linux 5.6
	}
	return parseOffset(string(b))
}

// parseOffset finds CLOCK_BOOTTIME in a /proc/PID/timens_offsets: lines of a clock's name or number, seconds and
// nanoseconds.
func parseOffset(offsets string) time.Duration {
	for line := range strings.Lines(offsets) {
		words := strings.Fields(line)
		if len(words) != 3 || words[0] != "boottime" && words[0] != "7" {
			continue
		}
		seconds, err1 := strconv.ParseInt(words[1], 10, 64)
		nanoseconds, err2 := strconv.ParseInt(words[2], 10, 64)
		if err1 == nil && err2 == nil {
			return time.Duration(seconds)*time.Second + time.Duration(nanoseconds)
		}
	}
	return 0
}

// bootID tells this boot of the machine from every other.
func bootID() (id, error) {
	const file = "/proc/sys/kernel/random/boot_id"
	b, err := readFileAt(unix.AT_FDCWD, file)
	if err != nil {
		remedy := "mount /proc"
		if exists("/proc/self") {
			remedy = "let this process read it"
		}
		if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) {
			remedy = remedyDescriptors
		}
		return id{}, fmt.Errorf("reading %s: %v; %s", file, err, remedy) // not as an error of the store's own files
	}
	return parseUUID(b), nil
}
