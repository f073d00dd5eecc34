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
	"testing"
)

// build makes the binary in a directory that Clean removes.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "limit-binary-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "limit")
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("building limit: %w\n%s", err, output.Bytes())
	}
	return path, nil
})

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

// Run is what TestMain returns to os.Exit: it runs the tests and removes the binary.
func Run(m *testing.M) int {
	code := m.Run()
	if os.Getenv("LIMIT_TEST_BINARY") != "" {
		return code
	}
	if path, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	return code
}
