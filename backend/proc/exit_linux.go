package proc

import (
	"os"

	"golang.org/x/sys/unix"
)

// OpenExit opens a descriptor that becomes readable when the process has ended.
func OpenExit(pid int) (*os.File, error) {
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

// AwaitExit returns true when all threads of the process have ended, false when exit is closed. It costs nothing
// meanwhile.
func AwaitExit(exit *os.File) (ended bool) {
	conn, err := exit.SyscallConn()
	if err != nil {
		return false
	}
	conn.Read(func(fd uintptr) bool {
		ended = Ended(int(fd))
		return ended
	})
	return ended
}

// Ended reports whether the process of a pidfd has: all its threads.
func Ended(pidfd int) bool {
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 0)
		if err != unix.EINTR {
			return err == nil && n > 0
		}
	}
}
