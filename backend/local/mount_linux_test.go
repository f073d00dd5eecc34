package local

import (
	"testing"

	"golang.org/x/sys/unix"
)

func mountTmpfs(dir, options string) error { return unix.Mount("tmpfs", dir, "tmpfs", 0, options) }

func remountReadOnly(dir string) error {
	return unix.Mount("tmpfs", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

func unmount(dir string) { unix.Unmount(dir, unix.MNT_DETACH) }

func TestNetworkFileSystemsAreKnownByNumberOrByTheirTypeUnderFUSE(t *testing.T) {
	for kind, want := range map[int64]string{
		unix.NFS_SUPER_MAGIC: "nfs", unix.SMB2_SUPER_MAGIC: "smb", unix.CIFS_SUPER_MAGIC: "smb", unix.V9FS_MAGIC: "9p",
		unix.CEPH_SUPER_MAGIC: "ceph", unix.EXT4_SUPER_MAGIC: "", unix.TMPFS_MAGIC: "", unix.OVERLAYFS_SUPER_MAGIC: "",
	} {
		if got := networkByMagic(kind); got != want {
			t.Errorf("%x is %q, want %q", kind, got, want)
		}
	}
	const mounts = `22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
36 22 0:42 / /mnt/far rw,nosuid shared:5 - fuse.sshfs host:/home rw,user_id=0
37 22 0:43 / /mnt/near rw - fuse.gocryptfs /cipher rw
38 22 0:44 / /host rw - virtiofs host rw
`
	for device, want := range map[string]string{"0:42": "fuse.sshfs", "0:43": "", "0:44": "virtiofs", "8:1": "", "9:9": ""} {
		if got := networkByType(mountType(mounts, device)); got != want {
			t.Errorf("device %s is %q, want %q", device, got, want)
		}
	}
}
