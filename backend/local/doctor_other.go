//go:build !linux

package local

import "golang.org/x/sys/unix"

// inotify says what this system has in its place.
func (d *doctor) inotify() {
	d.fine("watching", "no inotify on this system: deaths are noticed by a poll every 100 ms")
}

// fileSystemName names the file system.
func fileSystemName(fd int) string {
	var f unix.Statfs_t
	if unix.Fstatfs(fd, &f) != nil {
		return ""
	}
	return unix.ByteSliceToString(f.Fstypename[:])
}
