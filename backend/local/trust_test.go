package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"limit/backend"

	"golang.org/x/sys/unix"
)

// modes fails unless the store's files have these modes: the directories, and everything in them.
func modes(t *testing.T, dir string, dirs, files fs.FileMode) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := files
		if d.IsDir() {
			want = dirs
		}
		if got := info.Mode() & (fs.ModePerm | fs.ModeSetgid); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// everything makes a store have every file that it may have.
func everything(t *testing.T, s *Store) {
	t.Helper()
	limitPool(t, s, "p", 1)
	holder, waiter := enter(t, s, "p"), enter(t, s, "p")
	for _, e := range []backend.Entry{holder, waiter} {
		if err := e.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAStoreIsItsUsersOwnWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o077} {
		was := unix.Umask(umask)
		dir := filepath.Join(t.TempDir(), "store")
		s := open(t, dir)
		everything(t, s)
		unix.Umask(was)
		s.Close()
		modes(t, dir, 0o700, 0o600)
	}
}

func TestInASetgidDirectoryTheGroupHasAllThatTheOwnerHas(t *testing.T) {
	for _, umask := range []int{0, 0o077} {
		was := unix.Umask(umask)
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o770|fs.ModeSetgid); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		everything(t, s)
		unix.Umask(was)
		s.Close()
		modes(t, dir, 0o770|fs.ModeSetgid, 0o660)
	}
}

// plants are what a member of the group may put in the place of a file, and victim is a file of somebody else's that it
// leads to.
func plants(victim string) map[string]func(path string) error {
	return map[string]func(path string) error{
		"a link":           func(path string) error { return os.Symlink(victim, path) },
		"a second name":    func(path string) error { return os.Link(victim, path) },
		"a FIFO":           func(path string) error { return unix.Mkfifo(path, 0o660) },
		"an ordinary file": func(path string) error { return os.WriteFile(path, []byte("planted"), 0o660) },
		"a directory":      func(path string) error { return os.Mkdir(path, 0o770) },
	}
}

// TestWhatAMemberOfTheGroupPlantsIsNeitherChangedNorWaitedFor puts everything in the place of every file of a shared
// store. Its users may fail, for whoever shares it may break it; they may not hang, and nothing outside may change.
func TestWhatAMemberOfTheGroupPlantsIsNeitherChangedNorWaitedFor(t *testing.T) {
	names := []string{"state", "settings", "settings.tmp", "tokens", "tokens.tmp", "details.0", "history", "history.old", "gate", "claims", "claims/0", "claims/1", "../format", "../format.tmp", "../.new"}
	for _, name := range names {
		for what := range plants("") {
			t.Run(strings.ReplaceAll(name, "/", "-")+" "+what, func(t *testing.T) {
				t.Parallel()
				dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
				if err := os.Chmod(dir, 0o770|fs.ModeSetgid); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
					t.Fatal(err)
				}
				s := open(t, dir)
				everything(t, s)
				path := filepath.Join(s.path, name)
				s.Close()
				if err := errors.Join(os.RemoveAll(path), plants(victim)[what](path)); err != nil {
					t.Fatal(err)
				}
				used(t, dir)
				info, err := os.Stat(victim)
				if err != nil || info.Mode() != 0o600 {
					t.Errorf("the victim has mode %v, %v", info.Mode(), err)
				}
				if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
					t.Errorf("the victim is now %q, %v", b, err)
				}
			})
		}
	}
}

// used does with a store whatever can be done. It fails where that takes for ever.
func used(t *testing.T, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, namespace := range []string{"default", "another"} {
			use(ctx, Options{Dir: dir, Namespace: namespace, Create: true})
		}
		Examine(ctx, Options{Dir: dir})
	}()
	select {
	case <-done:
	case <-time.After(2 * patience):
		t.Fatal("it hangs")
	}
}

func use(ctx context.Context, o Options) {
	s, err := Open(ctx, o)
	if err != nil {
		return
	}
	defer s.Close()
	var entries []backend.Entry
	for range 3 {
		if e, err := s.Enter(ctx, newClaim("p", 1), backend.EnterOptions{}); err == nil {
			entries = append(entries, e)
		}
	}
	s.Snapshot(ctx)
	s.History(ctx)
	s.ChangeSettings(ctx, func(st *backend.Settings, _ bool) error { st.MaxRuns = 7; return nil })
	for _, e := range entries {
		e.Release(ctx)
	}
}

// TestALinkInThePlaceOfClaimsReachesNothing: in the directory that it leads to, files have numbers for names, as claims
// have.
func TestALinkInThePlaceOfClaimsReachesNothing(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	if err := os.Chmod(dir, 0o770|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	for n := range 40 {
		write(t, filepath.Join(elsewhere, fmt.Sprint(n)), "precious")
	}
	s := open(t, dir)
	everything(t, s)
	held, err := s.Enter(t.Context(), newClaim("p", 1), backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	claims := s.file("claims")
	if err := errors.Join(os.Rename(claims, claims+".was"), os.Symlink(elsewhere, claims)); err != nil { // while the store is open
		t.Fatal(err)
	}
	held.Release(t.Context())
	unix.Truncate(s.file("state"), 0) // a new state clears the claims that are left over
	s.Close()
	used(t, dir)
	for n := range 40 {
		if b, err := os.ReadFile(filepath.Join(elsewhere, fmt.Sprint(n))); err != nil || string(b) != "precious" {
			t.Fatalf("file %d elsewhere is now %q, %v", n, b, err)
		}
	}
	refused(t, Options{Dir: dir}, "claims")
}

func TestALinkToAStoreIsFollowedIfItsMakerMayBeTrusted(t *testing.T) {
	needRoot(t)
	dir, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	open(t, dir).Close()
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	open(t, link).Close()
	if err := os.Lchown(link, stranger, stranger); err != nil {
		t.Fatal(err)
	}
	refused(t, Options{Dir: link}, "symbolic link made by user 65534", "name the directory itself")
}

// TestANamespaceInADirectoryThatEverybodyCanWriteIsRefused: it may be replaced at any moment, whatever its own mode.
func TestANamespaceInADirectoryThatEverybodyCanWriteIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir).Close()
	for _, mode := range []fs.FileMode{0o777, 0o777 | fs.ModeSticky} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		refused(t, Options{Dir: dir, Create: true}, "everybody", "chmod o-w")
	}
}
