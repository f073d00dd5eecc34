//go:build !linux

package local

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

func mkfifoat(_ int, path, name string, mode uint32) error {
	return unix.Mkfifo(filepath.Join(path, name), mode)
}

func fifoAt(path string) (inode, bool) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return inode{uint64(st.Dev), st.Ino}, err == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}
