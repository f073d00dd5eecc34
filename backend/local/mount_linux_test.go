package local

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"limit/backend"

	"golang.org/x/sys/unix"
)

func mountTmpfs(dir, options string) error { return unix.Mount("tmpfs", dir, "tmpfs", 0, options) }

func remountReadOnly(dir string) error {
	return unix.Mount("tmpfs", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

func unmount(dir string) { unix.Unmount(dir, unix.MNT_DETACH) }

func TestNetworkFileSystemsAreKnownByNumberOrByTheirTypeUnderFUSE(t *testing.T) {
	for kind, want := range map[int64]string{
		unix.NFS_SUPER_MAGIC: "nfs", unix.SMB2_SUPER_MAGIC: "smb", unix.CIFS_SUPER_MAGIC: "smb", unix.V9FS_MAGIC: "",
		unix.CEPH_SUPER_MAGIC: "ceph", unix.EXT4_SUPER_MAGIC: "", unix.TMPFS_MAGIC: "", unix.OVERLAYFS_SUPER_MAGIC: "",
	} {
		if got := networkByMagic(kind); got != want {
			t.Errorf("%x is %q, want %q", kind, got, want)
		}
	}
}

func TestAFileSystemWithLocksOfItsOwnIsRefused(t *testing.T) {
	const mounts = `22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
36 22 0:42 / /mnt/far rw,nosuid shared:5 - fuse.sshfs host:/home rw,user_id=0
37 22 0:43 / /mnt/near rw - fuse.gocryptfs /cipher rw
38 22 0:44 / /host rw - virtiofs host rw
39 22 0:45 / /mac rw - fakeowner /run/host_mark/Users rw
40 22 0:46 / /stick rw - fuseblk /dev/sdb1 rw
41 22 0:47 / / rw - fuse.fuse-overlayfs fuse-overlayfs rw
42 22 0:48 / /mac2 rw - fuse.grpcfuse grpcfuse rw
`
	for device, want := range map[string]string{
		"0:42": onNetwork("fuse.sshfs"), "0:43": onShared("fuse.gocryptfs"), "0:44": onShared("virtiofs"), "0:45": onShared("fakeowner"),
		"0:46": "", "0:47": "", "0:48": onShared("fuse.grpcfuse"), "8:1": "", "9:9": onShared("FUSE, of an unknown kind"),
	} {
		kind := mountType(mounts, device)
		if got := faultOfType(kind, strings.HasPrefix(kind, "fuse") || kind == ""); got != want {
			t.Errorf("device %s is on %q, want %q", device, got, want)
		}
	}
	for kind, want := range map[int64]string{unix.V9FS_MAGIC: "9p", 0x786f4256: "vboxsf", unix.EXT4_SUPER_MAGIC: "", unix.FUSE_SUPER_MAGIC: ""} {
		if got := sharedByMagic(kind); got != want {
			t.Errorf("%x is %q, want %q", kind, got, want)
		}
	}
}

// TestADirectoryThroughAFUSEMountIsRefused: its locks are not those of the files below.
func TestADirectoryThroughAFUSEMountIsRefused(t *testing.T) {
	needRoot(t)
	base, mount := t.TempDir(), t.TempDir()
	if out, err := exec.Command("bindfs", base, mount).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no FUSE can be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() { unmount(mount) })
	open(t, filepath.Join(base, "store")).Close()
	dir := filepath.Join(mount, "store")
	refused(t, Options{Dir: dir}, "fuse", "locks of its own", "choose a directory")
	refused(t, Options{Dir: filepath.Join(mount, "new"), Create: true}, "fuse", "locks of its own")
	finds(t, Options{Dir: dir}, backend.Broken, "file system", "locks of its own")
}

// TestTwoPathsToOneDirectoryGiveNoSlotTwice: by the one the locks of the other do not show, and the files have other
// identities.
func TestTwoPathsToOneDirectoryGiveNoSlotTwice(t *testing.T) {
	needRoot(t)
	base, mount := t.TempDir(), t.TempDir()
	if out, err := exec.Command("bindfs", base, mount).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no FUSE can be mounted here: %v: %s", err, out)
	}
	t.Cleanup(func() { unmount(mount) })
	direct := open(t, filepath.Join(base, "store"))
	defer direct.Close()
	through, err := Open(t.Context(), Options{Dir: filepath.Join(mount, "store"), fileSystem: func() string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	defer through.Close()
	defer enter(t, through, "p").Release(t.Context())
	busy(t, direct, "p") // the other way about the mount may show what it has remembered: it is refused for that, too
}

// TestAFileOfAnotherOnAMountThatHangsHoldsNobodyUp: who looks for orphans looks at the files of every process.
func TestAFileOfAnotherOnAMountThatHangsHoldsNobodyUp(t *testing.T) {
	needRoot(t)
	base, mount := t.TempDir(), t.TempDir()
	bindfs := exec.Command("bindfs", "-f", "-o", "attr_timeout=0", base, mount)
	if err := bindfs.Start(); err != nil {
		t.Skipf("SKIPPED: no FUSE can be mounted here: %v: apt-get install bindfs fuse3", err)
	}
	sleeper := exec.Command("sleep", "600")
	t.Cleanup(func() { // the mount first: without its server it fails, and hangs no more
		bindfs.Process.Kill()
		bindfs.Wait()
		if sleeper.Process != nil {
			sleeper.Process.Kill()
			sleeper.Wait()
		}
		for _, f := range sleeper.ExtraFiles {
			f.Close()
		}
		unmount(mount)
	})
	eventually(t, "the mount is there", func() bool {
		var st unix.Statfs_t
		return unix.Statfs(mount, &st) == nil && st.Type == unix.FUSE_SUPER_MAGIC
	})
	file, err := os.OpenFile(filepath.Join(mount, "file"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	sleeper.ExtraFiles = []*os.File{file}
	if err := errors.Join(sleeper.Start(), bindfs.Process.Signal(syscall.SIGSTOP)); err != nil {
		t.Fatal(err)
	}
	looked := make(chan []inode, 1)
	go func() { looked <- openFiles(sleeper.Process.Pid) }()
	select {
	case <-looked:
	case <-time.After(patience):
		t.Error("it waits for the file system")
	}
}
