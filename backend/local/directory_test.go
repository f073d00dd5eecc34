package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"limit/backend"

	"golang.org/x/sys/unix"
)

// refused fails unless opening a directory fails with a text that has all the words.
func refused(t *testing.T, opts Options, words ...string) {
	t.Helper()
	s, err := Open(t.Context(), opts)
	if err == nil {
		s.Close()
		t.Fatalf("%s was opened", opts.Dir)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreThatDoesNotExistIsMadeOnlyOnDemand(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	_, err := Open(t.Context(), Options{Dir: dir})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("error %v, want fs.ErrNotExist", err)
	}
	if _, err := os.Stat(filepath.Dir(dir)); !notFound(err) {
		t.Errorf("a reader has made the directory: %v", err)
	}
	s := open(t, dir)
	defer s.Close()
	if got, want := s.String(), "local:"+dir; got != want {
		t.Errorf("String is %q, want %q", got, want)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v (%v), want 0700: command lines may hold secrets", st.Mode(), err)
	}
	if _, err := Open(t.Context(), Options{Dir: dir, Namespace: "other"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a namespace that does not exist: %v, want fs.ErrNotExist", err)
	}
}

func TestNamespacesAreApart(t *testing.T) {
	dir := t.TempDir()
	one, err := Open(t.Context(), Options{Dir: dir, Namespace: "one", Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	two, err := Open(t.Context(), Options{Dir: dir, Namespace: "two/../one", Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	defer enter(t, one, "p").Release(t.Context())
	e := enter(t, two, "p")
	defer e.Release(t.Context())
	if e.Claim().Grant == nil {
		t.Error("a claim waits for one of another namespace")
	}
}

func TestForeignDirectoriesAreRefusedAndLeftAlone(t *testing.T) {
	foreign := t.TempDir()
	write(t, filepath.Join(foreign, "thesis.txt"), "")
	refused(t, Options{Dir: foreign, Create: true}, "not empty", "thesis.txt", "choose an empty directory")

	other := t.TempDir()
	write(t, filepath.Join(other, formatName), "something else\n")
	refused(t, Options{Dir: other, Create: true}, "not of an embedded store", "choose another")

	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	refused(t, Options{Dir: file, Create: true}, "not a directory", "choose another with --backend local:DIR")
	refused(t, Options{Dir: filepath.Join(file, "below"), Create: true}, "not a directory", "choose another")
	refused(t, Options{}, "no directory given")
}

func TestForeignFilesInAStoreAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	foreign := []string{filepath.Join(dir, "README"), s.file("notes"), s.file("claims/thesis"), s.file("claims/007")}
	for _, f := range foreign {
		write(t, f, "x")
	}
	for range 3 {
		e := enter(t, s, "p")
		if err := e.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Truncate(s.file("state"), 0); err != nil { // a new state looks at all the claims
		t.Fatal(err)
	}
	enter(t, s, "p").Release(t.Context())
	for _, f := range foreign {
		if _, err := os.Stat(f); err != nil {
			t.Error(err)
		}
	}
}

func TestAStoreOfANewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	enter(t, s, "p").Release(t.Context())
	header := readState(t, s)
	s.Close()
	header[8] = formatVersion + 1
	if err := os.WriteFile(s.file("state"), header, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	if _, err := s.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), "written by a newer limit") {
		t.Errorf("a newer state: %v", err)
	}
	s.Close()
	write(t, filepath.Join(dir, formatName), fmt.Sprintf("limit %d\n", formatVersion+1))
	refused(t, Options{Dir: dir, Create: true}, "written by a newer limit")
}

func readState(t *testing.T, s *Store) []byte {
	t.Helper()
	b, err := os.ReadFile(s.file("state"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestANetworkFileSystemIsRefusedWithTheAdviceToUseEtcd(t *testing.T) {
	network := func() string { return onNetwork("nfs") }
	refused(t, Options{Dir: t.TempDir(), Create: true, fileSystem: network}, "nfs", "etcd://")
	dir := t.TempDir()
	open(t, dir).Close()
	refused(t, Options{Dir: dir, fileSystem: network}, "nfs", "etcd://")
}

func TestADirectoryThatEverybodyCanWriteIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	refused(t, Options{Dir: dir, Create: true}, "everybody", "chmod o-w")
}

func TestASymbolicLinkInAStoreIsNotFollowed(t *testing.T) {
	for _, name := range []string{"state", "details.0", "settings.tmp", "tokens.tmp", "claims/0", "gate"} {
		t.Run(name, func(t *testing.T) {
			dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
			write(t, victim, "precious")
			s := open(t, dir)
			os.Remove(s.file(name))
			if err := os.Symlink(victim, s.file(name)); err != nil {
				t.Fatal(err)
			}
			s.Close()
			if s, err := Open(t.Context(), Options{Dir: dir}); err == nil {
				e, err := s.Enter(t.Context(), newClaim("p", 1), backend.EnterOptions{})
				if err == nil {
					next, _ := s.Enter(t.Context(), newClaim("p", 1), backend.EnterOptions{})
					if next != nil {
						next.Release(t.Context())
					}
					e.Release(t.Context())
				}
				s.ChangeSettings(t.Context(), func(*backend.Settings, bool) error { return nil })
				s.Close()
			}
			if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
				t.Errorf("the link's target is now %q, %v", b, err)
			}
		})
	}
}

// needRoot skips a test that becomes another user or mounts.
func needRoot(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("SKIPPED: not root on Linux")
	}
}

// stranger is a user that owns nothing.
const stranger = 65534

// public returns a directory that other users can reach, with this test's binary in it.
func public(t *testing.T) (dir, binary string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "limit-local-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary = filepath.Join(dir, "helper")
	in, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(binary, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(out.Close(), os.Chmod(dir, 0o755), os.Chmod(binary, 0o755)); err != nil {
		t.Fatal(err)
	}
	return dir, binary
}

// asStranger runs the helper visit as another user, and returns what it said.
func asStranger(t *testing.T, binary string, umask int, groups []uint32, args ...string) string {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", fmt.Sprintf(`umask %04o; exec "$0" "$@"`, umask), binary}, args...)...)
	cmd.Env = append(os.Environ(), helperVariable+"=visit")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger, Groups: groups}}
	out, err := cmd.CombinedOutput()
	if err != nil && len(out) == 0 {
		t.Fatal(err)
	}
	return string(out)
}

// helperVisit (DIR) reads the store, claims and releases.
func helperVisit(args []string) error {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: args[0], Create: true})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer s.Close()
	snap, err := s.Snapshot(ctx)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	fmt.Println("sees", len(snap.Held))
	e, err := s.Enter(ctx, newClaim("visit", 1), backend.EnterOptions{})
	if err != nil {
		return fmt.Errorf("enter: %w", err)
	}
	if len(args) > 1 {
		if err := s.Cancel(ctx, args[1], "from a stranger"); err != nil {
			return fmt.Errorf("cancel: %w", err)
		}
	}
	if err := e.Release(ctx); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	fmt.Println("released")
	return nil
}

func TestUsersOfAGroupShareASetgidDirectoryWhateverTheirUmask(t *testing.T) {
	needRoot(t)
	const group = 54321
	base, binary := public(t)
	dir := filepath.Join(base, "store")
	if err := errors.Join(os.Mkdir(dir, 0o770), os.Chown(dir, 0, group), os.Chmod(dir, 0o770|fs.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	if out := asStranger(t, binary, 0o077, []uint32{group}, dir); !strings.Contains(out, "released") { // makes the store
		t.Fatalf("the first user: %s", out)
	}
	s := open(t, dir)
	defer s.Close()
	limitPool(t, s, "p", 1)
	e := enter(t, s, "p")
	defer e.Release(t.Context())
	if out := asStranger(t, binary, 0o077, []uint32{group}, dir, e.Claim().ID); !strings.Contains(out, "sees 1") || !strings.Contains(out, "released") {
		t.Fatalf("the second user: %s", out)
	}
	for ev := range e.Events() {
		if ev.Kind == backend.Cancelled {
			break // the stranger could wake it
		}
	}
	if out := asStranger(t, binary, 0o022, nil, dir); !strings.Contains(out, "permission denied") || !strings.Contains(out, "ask the owner") {
		t.Errorf("somebody outside the group: %s", out)
	}
}

func TestADirectoryOfSomebodyElseCanBeReadOnly(t *testing.T) {
	needRoot(t)
	base, binary := public(t)
	dir := filepath.Join(base, "store")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	defer s.Close()
	defer enter(t, s, "p").Release(t.Context())
	out := asStranger(t, binary, 0o022, nil, dir)
	if !strings.Contains(out, "sees 1") || !strings.Contains(out, "error enter") || !strings.Contains(out, "permission denied") {
		t.Errorf("another user of a directory that all may read: %s", out)
	}
	if err := os.Chown(s.path, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	theirs, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if _, err := theirs.Snapshot(t.Context()); err != nil {
		t.Errorf("reading a stranger's store: %v", err)
	}
	_, err = theirs.Enter(t.Context(), newClaim("p", 1), backend.EnterOptions{})
	if err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("claiming in a stranger's store: %v", err)
	}
}

// mount mounts a small file system of its own.
func mount(t *testing.T, options string) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	if err := mountTmpfs(dir, options); err != nil {
		t.Skipf("SKIPPED: mounting: %v", err)
	}
	t.Cleanup(func() { unmount(dir) })
	return dir
}

func TestAReadOnlyDirectoryCanBeLookedAt(t *testing.T) {
	dir := mount(t, "size=1m")
	store := filepath.Join(dir, "store")
	s := open(t, store)
	e := enter(t, s, "p")
	e.Release(t.Context())
	s.Close()
	if err := remountReadOnly(dir); err != nil {
		t.Skipf("SKIPPED: mounting again: %v", err)
	}
	s = open(t, store)
	defer s.Close()
	if snap := snapshot(t, s); len(snap.Held)+len(snap.Waiting) != 0 {
		t.Errorf("snapshot %+v", snap)
	}
	_, err := s.Enter(t.Context(), newClaim("p", 1), backend.EnterOptions{})
	for what, err := range map[string]error{"Enter": err, "Cancel": s.Cancel(t.Context(), backend.NewID(), ""),
		"ChangeSettings": s.ChangeSettings(t.Context(), func(*backend.Settings, bool) error { return nil })} {
		if err == nil || !strings.Contains(err.Error(), "read-only file system") || !strings.Contains(err.Error(), "--backend") {
			t.Errorf("%s: %v, want that the file system is read-only and what to do", what, err)
		}
	}
	refused(t, Options{Dir: filepath.Join(dir, "another"), Create: true}, "read-only file system", "--backend")
}

func TestOnAFullDiskEntersFailWholeAndReleasesWork(t *testing.T) {
	dir := mount(t, "size=256k")
	s := open(t, filepath.Join(dir, "store"))
	defer s.Close()
	holder, waiter := enter(t, s, "p"), enter(t, s, "p")
	fillUp(t, filepath.Join(dir, "ballast"))
	var failed error
	for range 100 { // the room that is left in the last pages goes first
		c := newClaim("q", 1)
		c.Command = []string{strings.Repeat("x", 4000)}
		e, err := s.Enter(t.Context(), c, backend.EnterOptions{})
		if failed = err; err != nil {
			break
		}
		defer e.Release(context.WithoutCancel(t.Context()))
	}
	if !errors.Is(failed, unix.ENOSPC) || !strings.Contains(failed.Error(), "free some space") {
		t.Fatalf("error %v, want that the disk is full and what to do", failed)
	}
	before := len(snapshot(t, s).Waiting)
	c := newClaim("q", 1)
	c.Command = []string{strings.Repeat("x", 8000)}
	if _, err := s.Enter(t.Context(), c, backend.EnterOptions{}); err == nil {
		t.Error("an Enter on a full disk succeeded after one had failed")
	}
	if after := len(snapshot(t, s).Waiting); after != before {
		t.Errorf("a failed Enter left something behind: %d wait, there were %d", after, before)
	}
	if err := holder.Release(t.Context()); err != nil {
		t.Fatalf("a release on a full disk: %v", err)
	}
	awaitGrant(t, t.Context(), waiter)
	if err := waiter.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// fillUp writes until there is no space left.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
}
