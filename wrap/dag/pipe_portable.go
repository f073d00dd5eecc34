//go:build !linux

package dag

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeCloseOnExec keeps forks away until both ends are marked: there is no one call for it.
func pipeCloseOnExec(fds *[2]int) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := unix.Pipe(fds[:]); err != nil {
		return err
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	return nil
}

// unread is how many bytes a pipe holds at most: how many it has cannot be asked everywhere.
func unread(int) int { return 64 << 10 }
