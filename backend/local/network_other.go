//go:build !linux

package local

import "golang.org/x/sys/unix"

// fileSystemFault says why locks in a directory cannot be relied on, and what to do; "" where they can.
func fileSystemFault(fd int, _ *unix.Stat_t) (string, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return "", err
	}
	switch kind := unix.ByteSliceToString(fs.Fstypename[:]); kind {
	case "nfs", "smbfs", "afpfs", "webdav", "ftp", "cifs":
		return onNetwork(kind), nil
	case "macfuse", "osxfuse", "fuse", "AppleVirtIOFS", "virtiofs", "vmhgfs", "prl_fs", "vboxfs":
		return onShared(kind), nil
	}
	return "", nil
}
