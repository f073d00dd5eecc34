package local

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// inotify tries to get a watch: without one the waiters of a namespace poll.
func (d *doctor) inotify() {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err == nil {
		_, err = unix.InotifyAddWatch(fd, d.at, unix.IN_CLOSE_WRITE)
		unix.Close(fd)
	}
	limit, variable := "", "fs.inotify.max_user_instances"
	if err == unix.ENOSPC {
		variable = "fs.inotify.max_user_watches"
	}
	if b, readErr := os.ReadFile("/proc/sys/" + strings.ReplaceAll(variable, ".", "/")); readErr == nil {
		limit = strings.TrimSpace(string(b))
	}
	if err != nil {
		d.warn("inotify", "raise it: sysctl "+variable+"=1024", "the kernel has no watch to give (%v; %s is %s): deaths are noticed by a poll every 100 ms", err, variable, limit)
		return
	}
	d.fine("inotify", "works; %s is %s", variable, limit)
}

// fileSystemName names the usual file systems, "" for others.
func fileSystemName(fd int) string {
	var f unix.Statfs_t
	if unix.Fstatfs(fd, &f) != nil {
		return ""
	}
	switch int64(f.Type) & 0xffffffff {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return "tmpfs"
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	case 0x2fc12fc1:
		return "zfs"
	}
	return ""
}
