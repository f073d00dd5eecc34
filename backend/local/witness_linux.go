package local

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of start times in /proc: USER_HZ is 100 on all that Go runs on.
const tick = 10 * time.Millisecond

// pidNamespace names the PID namespace of this process; 0 where /proc does not tell.
func pidNamespace() uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &st) != nil {
		return 0
	}
	return st.Ino
}

// find returns a process of a PID namespace by the number that it has here; ok is false where it does not live or
// cannot be seen.
func (s *Store) find(p lifeOf, namespace uint64) (here lifeOf, ok bool) {
	if namespace == pidNamespace() {
		return p, s.lives(p)
	}
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range processes {
		pid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		if number, below := numberWithin(pid); !below || number != p.pid {
			continue
		}
		var st unix.Stat_t
		foreign := unix.Stat(path+"/ns/pid", &st) == nil && st.Ino != namespace
		if here = (lifeOf{pid, p.seen}); !foreign && s.lives(here) {
			return here, true
		}
	}
	return p, false
}

// lives reports whether a process lives that lived at the moment. One that cannot be examined is taken for it, a zombie
// is not: nothing of it runs.
func (s *Store) lives(p lifeOf) bool {
	if p.pid <= 0 {
		return false
	}
	fd, err := unix.PidfdOpen(p.pid, 0)
	switch {
	case err == nil:
		defer unix.Close(fd)
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL): // none, or a thread of another
		return false
	case errors.Is(unix.Kill(p.pid, 0), unix.ESRCH): // a kernel before Linux 5.3, or one that does not let us
		return false
	}
	if start, known := startOf(p.pid); known && start-s.ahead > p.seen {
		return false
	}
	if err != nil {
		return processState(p.pid) != 'Z'
	}
	return !ended(fd)
}

// ended reports whether the process of a pidfd has: all its threads.
func ended(pidfd int) bool {
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 0)
		if err != unix.EINTR {
			return n > 0
		}
	}
}

// startOf is when a process started, by the clock of this process's time namespace.
func startOf(pid int) (time.Duration, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	const after = 19 // fields from the state to the start
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) <= after {
		return 0, false
	}
	ticks, err := strconv.ParseInt(fields[after], 10, 64)
	return time.Duration(ticks) * tick, err == nil
}

// openExit opens what tells of a process's end.
func openExit(pid int) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// awaitExit returns when the process has ended or the file is closed. It costs nothing meanwhile.
func awaitExit(exit *os.File) {
	if conn, err := exit.SyscallConn(); err == nil {
		conn.Read(func(fd uintptr) bool { return ended(int(fd)) })
	}
}
