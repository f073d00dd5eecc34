package local

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// fileSystemFault says why locks in a directory cannot be relied on, and what to do; "" where they can.
func fileSystemFault(fd int, st *unix.Stat_t) (string, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return "", err
	}
	kind := int64(fs.Type) & 0xffffffff
	if name := networkByMagic(kind); name != "" {
		return onNetwork(name), nil
	}
	if name := sharedByMagic(kind); name != "" {
		return onShared(name), nil
	}
	if ordinary(kind) {
		return "", nil
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil && kind == unix.FUSE_SUPER_MAGIC {
		return onShared("FUSE, of a kind that cannot be told without /proc"), nil
	}
	device := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))
	return faultOfType(mountType(string(mounts), device), kind == unix.FUSE_SUPER_MAGIC), nil
}

// ordinary reports whether a file system is one of those that most machines have: they keep locks themselves, and their
// types need not be looked for among the mounts.
func ordinary(kind int64) bool {
	switch kind {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC, unix.RAMFS_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, zfsMagic:
		return true
	}
	return false
}

const zfsMagic = 0x2fc12fc1

// faultOfType judges a file system by the type that its mount has.
func faultOfType(kind string, fuse bool) string {
	switch {
	case networkByType(kind) != "":
		return onNetwork(kind)
	case kind == "fuseblk", kind == "fuse.fuse-overlayfs":
		return "" // of a disk, which has no other mount; what containers without root have as overlayfs
	case fuse, sharedByType(kind):
		return onShared(cmp.Or(kind, "FUSE, of an unknown kind"))
	}
	return ""
}

// sharedByType knows what shows the files of another machine or file system, and keeps locks of its own.
func sharedByType(kind string) bool {
	switch kind {
	case "virtiofs", "9p", "fakeowner", "grpcfuse", "osxfs", "vboxsf", "vmhgfs", "prl_fs", "drvfs", "wslfs", "shiftfs",
		"ecryptfs", "aufs":
		return true
	}
	return false
}

// sharedByMagic knows the same by their numbers.
func sharedByMagic(kind int64) string {
	switch kind {
	case unix.V9FS_MAGIC:
		return "9p"
	case 0x786f4256:
		return "vboxsf"
	case 0xbacbacbc:
		return "vmhgfs"
	case 0x7c7c6673:
		return "prl_fs"
	case 0x53464846:
		return "drvfs"
	case unix.ECRYPTFS_SUPER_MAGIC:
		return "ecryptfs"
	}
	return ""
}

func networkByMagic(kind int64) string {
	switch kind {
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return "smb"
	case unix.CEPH_SUPER_MAGIC:
		return "ceph"
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		return "afs"
	case unix.CODA_SUPER_MAGIC:
		return "coda"
	case unix.OCFS2_SUPER_MAGIC:
		return "ocfs2"
	case 0x01161970:
		return "gfs2"
	case 0x0bd00bd0:
		return "lustre"
	case 0x47504653:
		return "gpfs"
	case 0x19830326:
		return "beegfs"
	}
	return ""
}

// networkByType knows those that FUSE hides.
func networkByType(kind string) string {
	for _, known := range []string{"sshfs", "s3", "gluster", "ceph", "gcsfuse", "rclone", "davfs", "curlftpfs",
		"juicefs", "mfs", "moosefs", "lizardfs", "blobfuse", "seaweedfs", "goofys", "mountpoint", "nfs", "smb",
		"lustre", "beegfs", "google-drive"} {
		if strings.HasPrefix(kind, "fuse.") && strings.Contains(kind, known) {
			return kind
		}
	}
	return ""
}

// mountType finds the type of the file system on a device in the text of /proc/self/mountinfo.
func mountType(mounts, device string) string {
	lines := bufio.NewScanner(strings.NewReader(mounts))
	for lines.Scan() {
		before, after, found := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		if found && len(fields) > 2 && fields[2] == device {
			kind, _, _ := strings.Cut(after, " ")
			return kind
		}
	}
	return ""
}
