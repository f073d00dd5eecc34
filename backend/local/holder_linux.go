package local

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"limit/backend/proc"
)

// describeHolder adds to an error who has the lock of the state: changes take microseconds, so it hangs or is stopped.
func describeHolder(fd int, err error) error {
	var st unix.Stat_t
	locks, readErr := os.ReadFile("/proc/locks")
	if readErr != nil || unix.Fstat(fd, &st) != nil {
		return err
	}
	pid := lockHolder(string(locks), st.Ino)
	switch {
	case pid == 0:
		return err
	case proc.Of(pid).State == 'T':
		return fmt.Errorf("process %d (%s) is in the middle of a change, and stopped; kill -CONT %d: %w", pid,
			commandOf(pid), pid, err)
	}
	return fmt.Errorf("process %d (%s) is in the middle of a change; wait or end it: %w", pid, commandOf(pid), err)
}

// commandOf is the command line of a process, or its name where there is none.
func commandOf(pid int) string {
	const most = 80
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if len(b) == 0 {
		b, _ = os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	}
	words := strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " "))
	if runes := []rune(words); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return words
}

// lockHolder finds the process that holds an flock on an inode in the text of /proc/locks. Those who wait have an
// arrow.
func lockHolder(locks string, inode uint64) int {
	for line := range strings.Lines(locks) {
		fields := strings.Fields(line)
		if len(fields) > 5 && fields[1] == "FLOCK" && strings.HasSuffix(fields[5], ":"+strconv.FormatUint(inode, 10)) {
			pid, _ := strconv.Atoi(fields[4])
			return max(pid, 0)
		}
	}
	return 0
}
