package local

import "golang.org/x/sys/unix"

func mkfifoat(dir int, _, name string, mode uint32) error { return unix.Mkfifoat(dir, name, mode) }

// fifoAt reports which FIFO a path leads to. It does not ask the file system, which may hang: the path is that of some
// process's file.
func fifoAt(path string) (inode, bool) {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE|unix.STATX_INO, &st)
	return inode{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino}, err == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}
