//go:build !linux

package process

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Without /proc and without subreapers, the tree of a command is its group: what leaves that is not seen.

func processes(string) (all []info, vanished bool) { return nil, false }

func find(int) info { return info{} }

func (i info) signal(sig syscall.Signal) error { return syscall.Kill(i.pid, sig) }

const (
	running = iota
	stopped
)

// stateOf is asked of a child that has just been reported as stopped.
func stateOf(int) int { return stopped }

func parentOf(int) int { return 0 }

func wasContinued(int) bool { return false }

const clockBoot = unix.CLOCK_MONOTONIC // which counts sleep on darwin

func becomeSubreaper() {}

func forbidCore() { unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }

func systemAttributes(c *Command) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: c.Group && !c.Session, Setsid: c.Session}
}

// groupLeft returns what is left of the group of a command, as one.
func groupLeft(p *Process) []info {
	if p.c.ownGroup() && syscall.Kill(-p.pid, 0) == nil {
		return []info{{pid: -p.pid, group: p.pid}}
	}
	return nil
}

func killGroup(root int) {
	if root > 1 {
		syscall.Kill(root, syscall.SIGKILL)
		syscall.Kill(-root, syscall.SIGKILL)
	}
}
