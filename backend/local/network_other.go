//go:build !linux

package local

import "golang.org/x/sys/unix"

// networkFileSystem returns the name of the network file system that a directory is on, or "".
func networkFileSystem(fd int, _ *unix.Stat_t) (string, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return "", err
	}
	kind := unix.ByteSliceToString(fs.Fstypename[:])
	switch kind {
	case "nfs", "smbfs", "afpfs", "webdav", "ftp", "cifs", "macfuse", "osxfuse":
		return kind, nil
	}
	return "", nil
}
