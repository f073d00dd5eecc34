//go:build linux

package wrapper

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

const peersFile = "peers.md"

// TestPeers runs every case on limit and on its peers with -peers, and writes how each did to peers.md, which
// TestPeersTableIsComplete looks at.
func TestPeers(t *testing.T) {
	if !*writePeers {
		return
	}
	wrappers := append([]*wrapper{limit(limitBinary(t))}, peers()...)
	rows := make([][]string, len(allCases()))
	turns := make(chan struct{}, runtime.NumCPU())
	var all sync.WaitGroup
	for i, c := range allCases() {
		rows[i] = make([]string, len(wrappers))
		for j, w := range wrappers {
			all.Go(func() {
				turns <- struct{}{}
				defer func() { <-turns }()
				rows[i][j] = try(t, c, w)
			})
		}
	}
	all.Wait()
	if err := os.WriteFile(peersFile, []byte(table(wrappers, rows)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// try runs a case on a wrapper: ✓ passed, ✗ failed, – does not apply.
func try(t *testing.T, c testCase, w *wrapper) string {
	if !w.has(c.need) {
		return "–"
	}
	log := &logbook{t: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer log.clean()
		c.run(newBench(log, w))
	}()
	<-done
	for _, line := range log.lines {
		t.Logf("%s, %s: %s", w.name, c.title(), short(line))
	}
	switch {
	case log.failed:
		return "✗"
	case log.skipped:
		t.Errorf("%s, %s: skipped, the table would not tell", w.name, c.title())
	}
	return "✓"
}

// table is the file: with the versions, which say what was looked at.
func table(wrappers []*wrapper, rows [][]string) string {
	var s strings.Builder
	s.WriteString("# limit run beside its peers\n\nHow `limit run` and other programs that stand in front of a command do in the cases of this directory:\n" +
		"✓ passes, ✗ fails, – does not apply (it has no slots, or no bound on the run time, or the case is about flags of limit).\n" +
		"Written by `go test ./integration/wrapper -run TestPeers -peers -timeout 30m`; not by hand.\n\n")
	for _, w := range wrappers {
		if w.name != "limit" {
			fmt.Fprintf(&s, "- %s: %s\n", w.name, version(w.name))
		}
	}
	s.WriteString("\n| | case |")
	for _, w := range wrappers {
		s.WriteString(" " + w.name + " |")
	}
	s.WriteString("\n|---|---|" + strings.Repeat("---|", len(wrappers)) + "\n")
	passed := make([]int, len(wrappers))
	asked := make([]int, len(wrappers))
	for i, c := range allCases() {
		fmt.Fprintf(&s, "| %d | %s |", c.number, c.name)
		for j, mark := range rows[i] {
			s.WriteString(" " + mark + " |")
			if mark != "–" {
				asked[j]++
			}
			if mark == "✓" {
				passed[j]++
			}
		}
		s.WriteString("\n")
	}
	s.WriteString("| | passed |")
	for j := range wrappers {
		fmt.Fprintf(&s, " %d of %d |", passed[j], asked[j])
	}
	s.WriteString("\n")
	return s.String()
}

func version(program string) string {
	out, _ := exec.Command(program, "--version").CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// logbook is a T that keeps what goes wrong to itself.
type logbook struct {
	t       *testing.T
	mu      sync.Mutex
	lines   []string
	failed  bool
	skipped bool
	cleanup []func()
}

func (l *logbook) Helper() {}

func (l *logbook) Cleanup(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cleanup = append(l.cleanup, f)
}

func (l *logbook) clean() {
	for _, f := range slices.Backward(l.cleanup) {
		f()
	}
}

func (l *logbook) TempDir() string {
	dir, err := os.MkdirTemp("", "peer-")
	if err != nil {
		l.Fatalf("%v", err)
	}
	l.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (l *logbook) note(failed, skipped bool, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = l.failed || failed
	l.skipped = l.skipped || skipped
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logbook) Logf(format string, args ...any) {}

func (l *logbook) Errorf(format string, args ...any) { l.note(true, false, format, args...) }

func (l *logbook) Fatalf(format string, args ...any) {
	l.note(true, false, format, args...)
	runtime.Goexit()
}

func (l *logbook) Skipf(format string, args ...any) {
	l.note(false, true, format, args...)
	runtime.Goexit()
}

func TestPeersTableIsComplete(t *testing.T) {
	data, err := os.ReadFile(peersFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range allCases() {
		if row := fmt.Sprintf("| %d | %s | ✓ |", c.number, c.name); !strings.Contains(string(data), row) {
			t.Errorf("%s has no row %q; write it anew with -run TestPeers -peers", peersFile, row)
		}
	}
	if rows := strings.Count(string(data), "\n| ") - 2; rows != len(allCases()) {
		t.Errorf("%s has %d rows for %d cases", peersFile, rows, len(allCases()))
	}
}

// Every case is there, once.
func TestThereAre55Cases(t *testing.T) {
	var numbers []int
	for _, c := range allCases() {
		numbers = append(numbers, c.number)
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != i+1 {
			t.Fatalf("case %d is missing or twice: %v", i+1, numbers)
		}
	}
	if len(numbers) != 55 {
		t.Errorf("%d cases, want 55", len(numbers))
	}
}
