package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// enoughDescriptors is what limit opens at once, and some more.
const enoughDescriptors = 16

// Preflight returns an error where this process lacks what the Go runtime cannot do without: it would give up with a
// traceback, in the midst of anything.
func Preflight() error {
	var fds []int
	defer func() { closeAll(fds) }()
	open := func(fd int, err error) (int, error) {
		if err == nil {
			fds = append(fds, fd)
		}
		return fd, err
	}
	poll, err := open(unix.EpollCreate1(unix.EPOLL_CLOEXEC))
	if err != nil {
		return lacking(err)
	}
	for range enoughDescriptors {
		if _, err = open(unix.FcntlInt(uintptr(poll), unix.F_DUPFD_CLOEXEC, 0)); err != nil {
			return lacking(err)
		}
	}
	event, err := open(unix.Eventfd(0, unix.EFD_CLOEXEC))
	if err != nil {
		return lacking(err)
	}
	if err = unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, event, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		return lacking(err)
	}
	return enoughTasks()
}

const tasksNeeded = 8 // processes and threads that limit starts, and some more

// enoughTasks returns an error where the control group may not have the threads and the command that this process
// needs; package inherited looks at the limit of the user.
func enoughTasks() error {
	if dir, most := taskLimit(); most > 0 && readNumber(dir+"/pids.current")+tasksNeeded > most {
		return fmt.Errorf("too few processes are allowed; limit needs room for %d more processes and threads "+
			"than this control group has: raise pids.max of %s, which is %d", tasksNeeded, dir, most)
	}
	return nil
}

// taskLimit returns the control group of this process and how many tasks may be in it; 0: that is not known, or not
// limited.
func taskLimit() (dir string, most int) {
	groups, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) == 3 && (fields[1] == "" || fields[1] == "pids") {
			dir = filepath.Join("/sys/fs/cgroup", fields[1], fields[2])
			if most = readNumber(dir + "/pids.max"); most > 0 {
				return dir, most
			}
		}
	}
	return "", 0
}

// readNumber reads a file with a number; 0 where there is none.
func readNumber(path string) int {
	text, _ := os.ReadFile(path)
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

func lacking(err error) error {
	switch err {
	case syscall.EMFILE:
		return fmt.Errorf("too few file descriptors are free; limit needs %d: raise the limit (ulimit -n) or "+
			"close some", enoughDescriptors+2)
	case syscall.ENOSPC:
		return fmt.Errorf("waiting for files: %w; raise the sysctl fs.epoll.max_user_watches", err)
	}
	return fmt.Errorf("starting: %w", err)
}
