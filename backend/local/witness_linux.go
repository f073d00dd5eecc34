package local

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"limit/backend/proc"
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
	for _, pid := range proc.All() {
		if number, below := numberWithin(pid); !below || number != p.pid {
			continue
		}
		var st unix.Stat_t
		foreign := unix.Stat(fmt.Sprintf("/proc/%d/ns/pid", pid), &st) == nil && st.Ino != namespace
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
		return proc.Of(p.pid).State != 'Z'
	}
	return !proc.Ended(fd)
}

// startOf is when a process started, by the clock of this process's time namespace.
func startOf(pid int) (time.Duration, bool) {
	p := proc.Of(pid)
	return time.Duration(p.Start) * tick, p.PID != 0
}
