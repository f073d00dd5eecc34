// Package recipes runs the recipes of the manual, as they stand there, with the real programs.
package recipes

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"limit/integration/binary"
	"limit/integration/until"
)

func TestMain(m *testing.M) { os.Exit(binary.Run(m)) }

// kitchen is a directory with an embedded store, and limit first on the PATH.
type kitchen struct {
	*testing.T
	dir string
	env []string
}

func newKitchen(t *testing.T) *kitchen {
	t.Helper()
	k := &kitchen{T: t}
	k.dir, k.env = binary.Home(t)
	return k
}

func (k *kitchen) must(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// need skips a test where a program is missing.
func (k *kitchen) need(program, debianPackage string) string {
	k.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		k.Skipf("SKIPPED: no %s here; apt-get install %s", program, debianPackage)
	}
	return path
}

func (k *kitchen) needRoot() {
	k.Helper()
	if os.Getuid() != 0 {
		k.Skip("SKIPPED: this needs root")
	}
}

// write writes a file; one that begins with #! can be executed.
func (k *kitchen) write(name, text string) string {
	k.Helper()
	path := filepath.Join(k.dir, name)
	k.must(os.MkdirAll(filepath.Dir(path), 0o755))
	mode := os.FileMode(0o644)
	if strings.HasPrefix(text, "#!") {
		mode = 0o755
	}
	k.must(os.WriteFile(path, []byte(text), mode))
	return path
}

func (k *kitchen) read(name string) string {
	b, err := os.ReadFile(filepath.Join(k.dir, name))
	if err != nil && !os.IsNotExist(err) {
		k.Fatal(err)
	}
	return string(b)
}

func (k *kitchen) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = k.dir, k.env
	if !strings.Contains(name, "/") { // as found on the PATH of the kitchen
		if path := filepath.Join(k.dir, "bin", name); exists(path) {
			cmd.Path, cmd.Err = path, nil
		}
	}
	return cmd
}

// run runs a command, which is to end with a code, and returns its output.
func (k *kitchen) run(code int, name string, args ...string) string {
	k.Helper()
	return k.ended(code, k.command(name, args...))
}

func (k *kitchen) ended(code int, cmd *exec.Cmd) string {
	k.Helper()
	out, err := cmd.CombinedOutput()
	if got := codeOf(cmd.ProcessState); cmd.ProcessState == nil || got != code {
		k.Fatalf("%v ends with %d (%v), want %d:\n%s", cmd.Args, got, err, code, out)
	}
	return string(out)
}

func codeOf(s *os.ProcessState) int {
	if s == nil {
		return -1
	}
	if ws := s.Sys().(syscall.WaitStatus); ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return s.ExitCode()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// until polls for something of the outside world that must come true.
func (k *kitchen) until(patience time.Duration, what string, holds func() bool) {
	k.Helper()
	until.That(k, patience, what, holds)
}

// held are the names of those that hold a slot.
func (k *kitchen) held() []string {
	k.Helper()
	var s struct {
		Held []struct {
			Name string `json:"name"`
		} `json:"held"`
	}
	k.must(json.Unmarshal([]byte(k.run(0, "limit", "status", "--json")), &s))
	var names []string
	for _, h := range s.Held {
		names = append(names, h.Name)
	}
	return names
}

// recipe returns the first block of code after a recipe's title in the manual.
func (k *kitchen) recipe(title string) string {
	k.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "wrap", "cli", "manual", "recipes.md"))
	k.must(err)
	_, after, found := strings.Cut(string(page), "\n**"+title)
	_, after, opened := strings.Cut(after, "\n```")
	_, after, _ = strings.Cut(after, "\n")
	text, _, closed := strings.Cut(after, "\n```")
	if !found || !opened || !closed {
		k.Fatalf("the manual has no recipe %q", title)
	}
	return text + "\n"
}

// recordScript is a program that notes when it starts and ends, and works a little in between.
func (k *kitchen) recordScript(seconds string) string {
	return fmt.Sprintf("#!/bin/sh\necho \"start $*\" >>%[1]s/record\nsleep %[2]s\necho \"end $*\" >>%[1]s/record\n", k.dir, seconds)
}

// most is how many of the record worked at once, and how many there were.
func (k *kitchen) most() (most, all int) {
	now := 0
	for line := range strings.Lines(k.read("record")) {
		if strings.HasPrefix(line, "start") {
			now++
			all++
		} else {
			now--
		}
		most = max(most, now)
	}
	return most, all
}
