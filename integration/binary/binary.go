// Package binary builds limit once for the tests that drive it as a user does.
package binary

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"limit/wrap/process/inherited"
)

// build makes the binary, buildRecord and buildSoak the commands that tests put behind it, without the race detector,
// which would take longer to start than what is measured. Each is in a directory that Run removes.
var (
	build       = sync.OnceValues(func() (string, error) { return compile(".") })
	buildRecord = sync.OnceValues(func() (string, error) { return compile("./integration/record") })
	buildSoak   = sync.OnceValues(func() (string, error) { return compile("./integration/soak/command") })
)

// made are the directories to remove.
var made struct {
	sync.Mutex
	dirs []string
}

func compile(what string) (string, error) {
	dir, err := os.MkdirTemp("", "limit-binary-")
	if err != nil {
		return "", err
	}
	made.Lock()
	made.dirs = append(made.dirs, dir)
	made.Unlock()
	path := filepath.Join(dir, "limit")
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command("go", "build", "-o", path, what)
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("building %s: %w\n%s", what, err, output.Bytes())
	}
	return path, nil
}

// Path returns the path of the binary; where LIMIT_TEST_BINARY names one, that is tested.
func Path(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("LIMIT_TEST_BINARY"); path != "" {
		return path
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Record returns the path of the command record, see its package.
func Record(t testing.TB) string {
	t.Helper()
	path, err := buildRecord()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// SoakCommand returns the path of the command that soaks run, see its package.
func SoakCommand(t testing.TB) string {
	t.Helper()
	path, err := buildSoak()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Run is what TestMain returns to os.Exit: it runs the tests and removes what was built.
func Run(m *testing.M) int {
	if err := defaultSignals(); err != nil {
		fmt.Fprintln(os.Stderr, "binary:", err)
		return 1
	}
	state, err := os.MkdirTemp("", "limit-state-")
	if err == nil {
		err = os.Setenv("XDG_STATE_HOME", state) // nothing of a test is left among the user's own
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "binary:", err)
		return 1
	}
	made.dirs = append(made.dirs, state)
	code := m.Run()
	for _, dir := range made.dirs {
		os.RemoveAll(dir)
	}
	return code
}

// signalsAreDefault marks a test program that defaultSignals has started.
const signalsAreDefault = "TEST_SIGNALS_ARE_DEFAULT"

// defaultSignals starts the test program anew where it was started with signals ignored, as a shell does with the INT
// and QUIT of a job in the background: limit would rightly go on to ignore them, and the tests send them.
func defaultSignals() error {
	if inherited.AtStart().Ignored == 0 || os.Getenv(signalsAreDefault) != "" {
		return nil
	}
	env, err := exec.LookPath("env")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	argv := append([]string{"env", "--default-signal", self}, os.Args[1:]...)
	return syscall.Exec(env, argv, append(os.Environ(), signalsAreDefault+"=1"))
}
