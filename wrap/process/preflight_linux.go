package process

import (
	"fmt"
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
	return nil
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
