package local

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dupOnto puts a descriptor in the place of another, which others may be using at the moment.
func dupOnto(from, to int) error { return unix.Dup3(from, to, unix.O_CLOEXEC) }

// openElsewhere opens a file of the namespace that was removed, by a process that still has it open: one of those that
// hold locks, as each claim does. -1: there is none, or none that this process may look into.
func (s *Store) openElsewhere(name string) int {
	var directory unix.Stat_t
	if unix.Fstat(s.fd, &directory) != nil {
		return -1
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return -1
	}
	asked := map[string]bool{}
	for line := range strings.Lines(string(locks)) {
		fields := strings.Fields(line)
		if len(fields) <= 5 || fields[1] != "FLOCK" || asked[fields[4]] {
			continue
		}
		asked[fields[4]] = true
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 {
			if fd := removedFile(pid, s.file(name), directory.Dev); fd >= 0 {
				return fd
			}
		}
	}
	return -1
}

// removedFile opens a file that a process has open, and that was at a path of a file system.
func removedFile(pid int, path string, dev uint64) int {
	links, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != path+" (deleted)" {
			continue
		}
		fd, err := unix.Open(link, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil && st.Dev == dev && st.Mode&unix.S_IFMT == unix.S_IFREG {
			return fd
		}
		unix.Close(fd)
	}
	return -1
}
