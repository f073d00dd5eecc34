package local

import "golang.org/x/sys/unix"

func mkfifoat(dir int, _, name string, mode uint32) error { return unix.Mkfifoat(dir, name, mode) }
