// Package recipes runs the recipes of the manual, as they stand there, with the real programs.
package recipes

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

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

// recipe returns the first block of code of a recipe, by the first words of its title.
func (k *kitchen) recipe(title string) string { k.Helper(); return k.recipes(title, 1)[0] }

// recipes returns the first blocks of code of a recipe.
func (k *kitchen) recipes(title string, blocks int) []string {
	k.Helper()
	return k.blocks("recipes", "\n**"+title, blocks)
}

// blocks returns so many blocks of code that follow a text in a page of the manual.
func (k *kitchen) blocks(page, after string, n int) (blocks []string) {
	k.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "wrap", "cli", "manual", page+".md"))
	k.must(err)
	_, rest, found := strings.Cut(string(text), after)
	for range n {
		var block string
		_, rest, _ = strings.Cut(rest, "\n```")
		_, rest, _ = strings.Cut(rest, "\n")
		block, rest, found = strings.Cut(rest, "\n```\n")
		blocks = append(blocks, block+"\n")
	}
	if !found {
		k.Fatalf("the page %s does not have %d blocks after %q", page, n, after)
	}
	return blocks
}

// strictly decodes YAML documents, which may have no other fields than those they are decoded into.
func (k *kitchen) strictly(text string, documents ...any) {
	k.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	decoder.KnownFields(true)
	for _, document := range documents {
		k.must(decoder.Decode(document))
	}
	if err := decoder.Decode(new(any)); err != io.EOF {
		k.Fatalf("there are more than %d documents: %v", len(documents), err)
	}
}

// recordScript is a program that notes when it starts and ends, and works a little in between.
func (k *kitchen) recordScript(seconds string) string {
	return fmt.Sprintf("#!/bin/sh\necho \"start $*\" >>%[1]s/record\nsleep %[2]s\necho \"end $*\" >>%[1]s/record\n", k.dir, seconds)
}

// most is how many of the record worked at once, and how many there were.
func (k *kitchen) most() (most, all int) { return k.mostOf("") }

// mostOf is most of those with a word among their arguments.
func (k *kitchen) mostOf(word string) (most, all int) {
	now := 0
	for line := range strings.Lines(k.read("record")) {
		if !strings.Contains(line, word) {
			continue
		}
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
