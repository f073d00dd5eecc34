package local

import (
	"fmt"
	"os"
	"strconv"
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
	if err == nil {
		d.fine("inotify", "works")
		return
	}
	remedy, why := remedyInotify(err, readNumber)
	d.warn("inotify", remedy, "the kernel has no watch to give (%s): deaths are noticed by a poll every 100 ms", why)
}

// remedyInotify says what to do about an error of inotify, and why, given the numbers of the kernel's settings.
func remedyInotify(err error, setting func(name string) (int64, bool)) (remedy, why string) {
	variable := "fs.inotify.max_user_instances"
	switch {
	case err == unix.ENOSPC:
		variable = "fs.inotify.max_user_watches"
	case err != unix.EMFILE:
		return "go on without it: nothing else is wrong", err.Error()
	case !spareDescriptor():
		return remedyDescriptors, err.Error()
	}
	now, known := setting(variable)
	if !known {
		return "let root raise " + variable + " with sysctl", err.Error()
	}
	return fmt.Sprintf("raise it: sysctl %s=%d", variable, max(2*now, 1024)),
		fmt.Sprintf("%v; %s is %d", err, variable, now)
}

// spareDescriptor reports whether this process can open one more file: where it cannot, inotify fails as where its own
// limit is reached.
func spareDescriptor() bool {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	unix.Close(fd)
	return err == nil
}

// readNumber reads a setting of the kernel.
func readNumber(name string) (int64, bool) {
	b, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil
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
	case zfsMagic:
		return "zfs"
	}
	return ""
}
