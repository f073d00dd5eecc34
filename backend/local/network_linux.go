package local

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// networkFileSystem returns the name of the network file system that a directory is on, or "".
func networkFileSystem(fd int, st *unix.Stat_t) (string, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return "", err
	}
	kind := int64(fs.Type) & 0xffffffff
	if name := networkByMagic(kind); name != "" || kind != unix.FUSE_SUPER_MAGIC {
		return name, nil
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", nil // no way to tell one FUSE from another
	}
	device := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev)))
	return networkByType(mountType(string(mounts), device)), nil
}

func networkByMagic(kind int64) string {
	switch kind {
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC:
		return "smb"
	case unix.V9FS_MAGIC:
		return "9p"
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
	if kind == "virtiofs" {
		return kind
	}
	for _, known := range []string{"sshfs", "s3", "gluster", "ceph", "gcsfuse", "rclone", "davfs", "curlftpfs",
		"juicefs", "mfs", "moosefs", "lizardfs", "blobfuse", "seaweedfs", "goofys", "mountpoint", "nfs", "smb", "lustre", "beegfs", "google-drive"} {
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
