package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"limit/backend"

	"golang.org/x/sys/unix"
)

func TestDoctorSeesEachFileThatACleanerHasRemoved(t *testing.T) {
	for _, name := range storeFiles {
		if name == "default/history" || name == "default" || name == "default/claims/1" {
			continue // nobody misses them
		}
		t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			defer s.Close()
			everything(t, s)
			defer enter(t, s, "p").Release(t.Context())
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			found(t, Examine(t.Context(), Options{Dir: dir}), backend.Warning, filepath.Join(dir, name)+" is missing", "the next claim makes it again")
			if exists(filepath.Join(dir, name)) {
				t.Error("doctor has made it again")
			}
		})
	}
}

func TestTheRemedyForInotifyNeverMakesItWorse(t *testing.T) {
	setting := func(n int64) func(string) (int64, bool) { return func(string) (int64, bool) { return n, true } }
	for _, c := range []struct {
		err     error
		setting func(string) (int64, bool)
		want    string
	}{
		{unix.EMFILE, setting(128), "raise it: sysctl fs.inotify.max_user_instances=1024"},
		{unix.EMFILE, setting(8192), "raise it: sysctl fs.inotify.max_user_instances=16384"},
		{unix.ENOSPC, setting(524288), "raise it: sysctl fs.inotify.max_user_watches=1048576"},
		{unix.ENOSPC, func(string) (int64, bool) { return 0, false }, "let root raise fs.inotify.max_user_watches with sysctl"},
		{unix.ENOSYS, setting(1), "go on without it: nothing else is wrong"},
	} {
		if got, why := remedyInotify(c.err, c.setting); got != c.want || strings.Contains(why, "is )") {
			t.Errorf("%v: %q (%s), want %q", c.err, got, why, c.want)
		}
	}
}
