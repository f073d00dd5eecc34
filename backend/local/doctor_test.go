package local

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"limit/backend"

	"golang.org/x/sys/unix"
)

// worst are the findings that are not fine.
func worst(findings []backend.Finding) []backend.Finding {
	var bad []backend.Finding
	for _, f := range findings {
		if f.Level != backend.Fine {
			bad = append(bad, f)
		}
	}
	return bad
}

// finds fails unless Examine finds exactly one thing that is not fine, with all the words, and every such finding has a
// remedy.
func finds(t *testing.T, opts Options, level backend.Level, words ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	found(t, Examine(ctx, opts), level, words...)
}

// found is finds for what was found already.
func found(t *testing.T, all []backend.Finding, level backend.Level, words ...string) {
	t.Helper()
	bad := worst(all)
	for _, f := range bad {
		if f.Remedy == "" {
			t.Errorf("no remedy is named for %+v", f)
		}
		if f.Level != level {
			continue
		}
		text := f.About + ": " + f.Fact + "; " + f.Remedy
		missing := 0
		for _, w := range words {
			if !strings.Contains(text, w) {
				missing++
			}
		}
		if missing == 0 {
			return
		}
	}
	t.Errorf("no %s finding has all of %q in\n%+v", level, words, all)
}

func TestDoctorHasNothingToSayOfAStoreThatIsWell(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	opts := Options{Dir: dir, cleaned: map[string]string{}}
	if bad := worst(Examine(t.Context(), opts)); len(bad) > 0 {
		t.Errorf("of one that is not made yet: %+v", bad)
	}
	if _, err := os.Stat(dir); !notFound(err) {
		t.Errorf("doctor has made the directory")
	}
	s := open(t, dir)
	defer s.Close()
	e, err := s.Enter(t.Context(), backend.Claim{ID: backend.NewID(), Pools: map[string]int{"p": 1}, PID: os.Getpid()}, backend.EnterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Release(t.Context())
	findings := Examine(t.Context(), opts)
	if bad := worst(findings); len(bad) > 0 {
		t.Errorf("of one in use: %+v", bad)
	}
	about := map[string]string{}
	for _, f := range findings {
		about[f.About] = f.Fact
	}
	if about["claims"] != "1 held, 0 waiting" || about["locks"] != "flock works" || about["directory"] == "" || about["space"] == "" || about["latency"] == "" {
		t.Errorf("found %+v", about)
	}
}

func TestDoctorFindsWhatIsWrongWithADirectoryAndHowToMendIt(t *testing.T) {
	for _, c := range []struct {
		name  string
		plant func(t *testing.T, dir string, o *Options)
		level backend.Level
		words []string
	}{
		{"a network file system", func(_ *testing.T, _ string, o *Options) { o.fileSystem = func() string { return onNetwork("nfs") } },
			backend.Broken, []string{"network file system (nfs)", "--backend etcd://"}},
		{"a directory that everybody can write", func(t *testing.T, dir string, _ *Options) { chmod(t, dir, 0o777) },
			backend.Broken, []string{"written by everybody", "chmod o-w"}},
		{"a group's directory without setgid", func(t *testing.T, dir string, _ *Options) { chmod(t, dir, 0o770) },
			backend.Warning, []string{"written by its group", "chmod g+s"}},
		{"a parent in which everybody can rename", func(t *testing.T, dir string, _ *Options) { chmod(t, filepath.Dir(dir), 0o777) },
			backend.Warning, []string{"everybody can rename", "chmod o-w"}},
		{"a foreign directory", func(t *testing.T, dir string, _ *Options) {
			os.RemoveAll(dir)
			os.Mkdir(dir, 0o700)
			write(t, filepath.Join(dir, "thesis.tex"), "x")
		}, backend.Broken, []string{"thesis.tex", "choose an empty directory"}},
		{"a newer format", func(t *testing.T, dir string, _ *Options) { write(t, filepath.Join(dir, "format"), "limit 99\n") },
			backend.Broken, []string{"newer limit", "use that version"}},
		{"damaged settings", func(t *testing.T, dir string, _ *Options) { write(t, filepath.Join(dir, "default", "settings"), "{") },
			backend.Broken, []string{"damaged", "remove it"}},
		{"a file in place of the directory", func(t *testing.T, dir string, _ *Options) {
			os.RemoveAll(dir)
			write(t, dir, "x")
		}, backend.Broken, []string{"is no directory", "--backend local:DIR"}},
		{"a store below a directory that is cleaned", func(t *testing.T, dir string, o *Options) {
			o.cleaned = map[string]string{filepath.Dir(dir): "somebody cleans it"}
		}, backend.Warning, []string{"somebody cleans it", "choose another directory"}},
		{"a directory as /tmp is", func(t *testing.T, dir string, _ *Options) { chmod(t, dir, 0o777|os.ModeSticky) },
			backend.Broken, []string{"written by everybody", "name a directory within it"}},
		{"a directory whose owner took his own rights", func(t *testing.T, dir string, _ *Options) {
			chmod(t, dir, 0o500)
		}, backend.Broken, []string{"cannot be written", "chmod u+rwx"}},
		{"a file before the directory", func(t *testing.T, dir string, o *Options) {
			write(t, filepath.Join(filepath.Dir(dir), "file"), "x")
			o.Dir = filepath.Join(filepath.Dir(dir), "file", "store")
		}, backend.Broken, []string{"not a directory; choose another"}},
		{"a lock that somebody does not give back", func(t *testing.T, dir string, _ *Options) { holdLock(t, filepath.Join(dir, "default", "state")) },
			backend.Broken, []string{"in the middle of a change"}},
		{"a full disk", func(t *testing.T, dir string, _ *Options) { moveToTmpfs(t, dir, "size=128k", true) },
			backend.Broken, []string{"is full", "free some"}},
		{"a disk with little space", func(t *testing.T, dir string, _ *Options) { moveToTmpfs(t, dir, "size=4m", false) },
			backend.Warning, []string{"KiB are free", "free some"}},
		{"a disk with few inodes", func(t *testing.T, dir string, _ *Options) { moveToTmpfs(t, dir, "size=64m,nr_inodes=100", false) },
			backend.Warning, []string{"inodes are left", "free some"}},
		{"a read-only disk", func(t *testing.T, dir string, _ *Options) {
			moveToTmpfs(t, dir, "size=64m", false)
			if err := remountReadOnly(dir); err != nil {
				t.Fatal(err)
			}
		}, backend.Broken, []string{"cannot be written", "--backend local:DIR"}},
	} {
		if os.Geteuid() == 0 && c.name == "a directory whose owner took his own rights" {
			continue // root may do everything
		}
		t.Run(c.name, func(t *testing.T) {
			parent := filepath.Join(t.TempDir(), "parent")
			if err := os.Mkdir(parent, 0o700); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(parent, "store")
			s := open(t, dir)
			if err := s.ChangeSettings(t.Context(), func(*backend.Settings, bool) error { return nil }); err != nil {
				t.Fatal(err)
			}
			s.Close()
			opts := Options{Dir: dir}
			c.plant(t, dir, &opts)
			finds(t, opts, c.level, c.words...)
		})
	}
}

func chmod(t *testing.T, dir string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
}

// holdLock takes the lock of a state and keeps it to the end of the test.
func holdLock(t *testing.T, file string) {
	t.Helper()
	fd, err := unix.Open(file, unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatal(err)
	}
}

// moveToTmpfs mounts a small file system in place of a store, with a store on it, filled to the last block where that
// is wanted.
func moveToTmpfs(t *testing.T, dir, options string, filled bool) {
	t.Helper()
	needRoot(t)
	if err := mountTmpfs(dir, options+",mode=700"); err != nil {
		t.Skipf("SKIPPED: no tmpfs can be mounted here: %v", err)
	}
	t.Cleanup(func() { unmount(dir) })
	open(t, dir).Close()
	if !filled {
		return
	}
	f, err := os.Create(filepath.Join(dir, "default", "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
}
