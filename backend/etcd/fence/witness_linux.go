package etcd

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// witness sees a process that is no child of ours, and never mistakes another of the same number for it.
type witness struct {
	pid int
	fd  int // of the process; -1: it was gone already
}

func watchProcess(pid int) *witness {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		fd = -1
	}
	return &witness{pid: pid, fd: fd}
}

func (w *witness) alive() bool {
	if w.fd < 0 {
		return false
	}
	ended := []unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(ended, 0)
	return err != nil || n == 0
}

func (w *witness) signal(sig syscall.Signal) {
	if w.fd >= 0 {
		unix.PidfdSendSignal(w.fd, sig, nil, 0) // gone is what was wanted
	}
}

func (w *witness) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
		w.fd = -1
	}
}

// stoppedProcess tells whether a process is stopped by a signal.
func stoppedProcess(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" "))
	return len(rest) > 0 && (rest[0] == 'T' || rest[0] == 't')
}

// closeInherited closes descriptors that the wrapper was given by whoever started it and that are not for us; those of
// this program's own are closed at exec, which tells them apart.
func closeInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 3 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}
