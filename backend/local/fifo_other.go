//go:build !linux

package local

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

func mkfifoat(_ int, path, name string, mode uint32) error {
	return unix.Mkfifo(filepath.Join(path, name), mode)
}
