package process

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"limit/backend/proc"
)

// processes returns all processes that /proc shows, and whether there may be more: one was gone before its turn to be
// read, or no descriptor was left to read it. Each is read soon after it was listed, with its mark, since processes
// come and go meanwhile.
func processes(mark string) (all []info, vanished bool) {
	dir, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err != unix.ENOENT
	}
	defer unix.Close(dir)
	var buf [512]byte // some twenty names
	for {
		n, err := unix.Getdents(dir, buf[:])
		if err != nil || n <= 0 {
			return all, vanished
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			pid, err := strconv.Atoi(name)
			if err != nil {
				continue
			}
			i := find(pid)
			if i.pid == 0 {
				vanished = true
				continue
			}
			i.marked, i.unsure = i.hasMark(mark)
			all = append(all, i)
		}
	}
}

// find returns what is known of a process; all zero where there is none.
func find(pid int) info {
	p := proc.Of(pid)
	return info{pid: p.PID, parent: p.Parent, group: p.Group, session: p.Session, state: p.State, threads: p.Threads,
		start: p.Start}
}

// hasMark reports whether a process was started with this entry in its environment. In the midst of an exec or of its
// end nobody can tell; a process whose first thread has exited shows none.
func (i info) hasMark(mark string) (is, unsure bool) {
	if mark == "" || i.dead() || i.state == 'Z' {
		return false, false
	}
	env, err := os.ReadFile("/proc/" + strconv.Itoa(i.pid) + "/environ")
	if err != nil {
		return false, !errors.Is(err, os.ErrPermission) // it has exited meanwhile
	}
	if len(env) == 0 {
		return false, i.midExec()
	}
	for entry := range bytes.SplitSeq(env, []byte{0}) {
		if string(entry) == mark {
			return true, false
		}
	}
	return false, false
}

// midExec reports whether a process without environment has no arguments either, as is so for a moment during exec. Of
// the kernel's own threads it is always so.
func (i info) midExec() bool {
	const kthreadd = 2
	if i.pid == kthreadd || i.parent == kthreadd {
		return false
	}
	line, err := os.ReadFile("/proc/" + strconv.Itoa(i.pid) + "/cmdline")
	return err == nil && len(line) == 0
}

// signal sends sig to this very process, not to one that has its number by now. The error is ESRCH where there is none
// any more, EPERM where it may not be signalled.
func (i info) signal(sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(i.pid, 0)
	switch {
	case err == unix.ESRCH, err == unix.EINVAL:
		return unix.ESRCH
	case err != nil: // an old kernel, or no descriptor is left
		if find(i.pid).start != i.start {
			return unix.ESRCH
		}
		return syscall.Kill(i.pid, sig)
	}
	defer unix.Close(fd)
	if find(i.pid).start != i.start {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

const (
	running = iota
	stopped
)

// stateOf reports whether a process is stopped by a signal.
func stateOf(pid int) int {
	if find(pid).state == 'T' {
		return stopped
	}
	return running
}

func parentOf(pid int) int { return find(pid).parent }

// wasContinued tells, once each time, whether a child was continued.
func wasContinued(pid int) bool {
	var seen unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &seen, unix.WCONTINUED|unix.WNOHANG, nil)
	return err == nil && seen.Signo != 0
}

const clockBoot = unix.CLOCK_BOOTTIME

// becomeSubreaper makes orphaned descendants children of this process.
func becomeSubreaper() { unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// forbidCore keeps this process from leaving a core file: the limit does for files, not being
// dumpable for programs that core_pattern pipes to.
func forbidCore() {
	unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

func systemAttributes(c *Command) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: c.Group && !c.Session, Setsid: c.Session, Pdeathsig: c.DeathSignal}
}

// groupLeft and killGroup are for systems where processes sees nothing.
func groupLeft(*Process) []info { return nil }

func killGroup(int) {}
