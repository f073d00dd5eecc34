package etcd

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

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
