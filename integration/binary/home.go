package binary

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Home makes a directory for a test, and the environment of the commands in it. limit is first on the PATH, the
// embedded store is the folder store, and everything else that limit keeps is in the directory too. Nothing is
// inherited from a limit or a make that runs the test.
func Home(t testing.TB) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	bin := filepath.Join(dir, "bin")
	for _, err := range []error{os.Chmod(dir, 0o755), os.Mkdir(bin, 0o755),
		os.Symlink(Path(t), filepath.Join(bin, "limit"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "LIMIT_") && !strings.HasPrefix(entry, "MAKE") {
			env = append(env, entry)
		}
	}
	return dir, append(env, "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+dir, "XDG_CONFIG_HOME="+dir,
		"XDG_STATE_HOME="+dir,
		"LIMIT_BACKEND=local:"+filepath.Join(dir, "store"))
}
